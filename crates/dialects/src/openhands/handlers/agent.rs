//! Starting and stopping a conversation's agent.

use http::StatusCode;
use serde_json::json;

use crate::kit::{Call, Reply, reply};
use crate::openhands::caller::{found, named, principal};
use crate::openhands::validate::Problems;
use crate::openhands::{body, convert, wire};

/// `POST /api/conversations/{conversation_id}/start`. The providers' tokens are no business of a
/// server that runs no tools.
pub(in crate::openhands) async fn start(call: Call) -> Reply {
    let given = body::given(&call)?;
    let (who, named) = (principal(&call)?, named(&call)?);
    Problems::body(given, &wire::PROVIDERS_SET)?;
    let Some(conversation) = found(named.find(&call, &who).await)? else {
        return reply::json(StatusCode::NOT_FOUND, &convert::not_started(&named));
    };
    let started = call
        .service
        .set_active(&who, conversation.id.into(), true)
        .await;
    if found(started)?.is_none() {
        return reply::json(StatusCode::NOT_FOUND, &convert::not_started(&named));
    }
    let status = if conversation.active {
        "RUNNING"
    } else {
        "STARTING"
    };
    reply::ok(&convert::outcome(named.text, None, status))
}

/// `POST /api/conversations/{conversation_id}/stop`. Answers with the status before stopping, and to
/// what is not there as to what is stopped. What is being answered breaks off.
pub(in crate::openhands) async fn stop(call: Call) -> Reply {
    let (who, named) = (principal(&call)?, named(&call)?);
    let conversation = found(named.find(&call, &who).await)?;
    let running = conversation.filter(|conversation| conversation.active);
    let stopped = match running {
        Some(running) => {
            let id = running.id.into();
            let stopped = found(call.service.set_active(&who, id, false).await)?;
            // Read again: a turn may have begun before the agent was stopped.
            let now = found(call.service.conversation(&who, id).await)?;
            if let Some(turn) = now.and_then(|now| now.running) {
                call.service.stop_turn(&who, turn.into());
            }
            stopped
        }
        None => None,
    };
    let said = match stopped {
        Some(()) => "Conversation stopped successfully",
        None => "Conversation was not running",
    };
    let status = convert::status(stopped.is_some());
    reply::ok(&convert::outcome(named.text, Some(said), status))
}

/// `GET /api/conversations/{conversation_id}/config`. There is no runtime that has an id.
pub(in crate::openhands) async fn config(call: Call) -> Reply {
    let (who, named) = (principal(&call)?, named(&call)?);
    named.find(&call, &who).await?;
    reply::ok(&json!({"runtime_id": null, "session_id": named.text}))
}
