//! What is to be known of the server and of the key's app. Nobody's data, so no user and no mode.

use parlance_domain::Service;
use serde_json::json;

use crate::dify::{SERVER_VERSION, answer};
use crate::kit::{Call, Reply};

/// `GET /v1/`, open to everybody.
pub(super) async fn index(_service: Service) -> Reply {
    Ok(answer::ok(&json!({
        "welcome": "Dify OpenAPI", "api_version": "v1", "server_version": SERVER_VERSION,
    })))
}

/// `GET /v1/info`.
pub(super) async fn info(call: Call) -> Reply {
    let app = &call.access.app;
    Ok(answer::ok(&json!({
        "name": app.name, "description": "", "tags": [], "mode": app.mode.name(),
        "author_name": "",
    })))
}

/// `GET /v1/parameters`: Dify's defaults for an app that has no features switched on
/// (`api/core/app/app_config/common/parameters_mapping/__init__.py`).
pub(super) async fn parameters(_call: Call) -> Reply {
    let off = json!({"enabled": false});
    Ok(answer::ok(&json!({
        "opening_statement": "",
        "suggested_questions": [],
        "suggested_questions_after_answer": off,
        "speech_to_text": off,
        "text_to_speech": {
            "enabled": false, "voice": "", "language": "", "autoPlay": "disabled",
        },
        "retriever_resource": off,
        "annotation_reply": off,
        "more_like_this": off,
        "user_input_form": [],
        "sensitive_word_avoidance": off,
        "file_upload": {"image": {
            "enabled": false, "number_limits": 3, "detail": "high",
            "transfer_methods": ["remote_url", "local_file"],
        }},
        "system_parameters": {
            "image_file_size_limit": 10,
            "video_file_size_limit": 100,
            "audio_file_size_limit": 50,
            "file_size_limit": 15,
            "workflow_file_upload_limit": 10,
        },
    })))
}
