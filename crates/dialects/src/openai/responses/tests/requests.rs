//! Requests that are refused, with the words in which they are.

use bytes::Bytes;
use futures_util::FutureExt;
use parlance_domain::service::Overflow;
use parlance_domain::upstream::{AnswerFormat, ToolChoice};
use parlance_domain::{Error, Timestamp};
use serde_json::{Value, json};

use crate::kit::{Context as Around, Failure, Params};
use crate::openai::error;
use crate::openai::responses::request::{Context, Request};

fn read(body: &Value) -> Result<Request, Failure> {
    Request::read(&Bytes::from(body.to_string()), body.as_object().unwrap())
}

/// The message, `param` and `code` with which a request is refused.
fn refusal(body: &Value) -> (String, Value, Value) {
    let Err(failure) = read(body) else {
        panic!("accepted: {body}");
    };
    let response = match failure {
        Failure::Answer(response) => *response,
        Failure::Error(error) => render(&error),
    };
    assert!(response.status().is_client_error());
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX);
    let bytes = bytes.now_or_never().unwrap().unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    let error = &body["error"];
    assert_eq!(error["type"], "invalid_request_error");
    let message = error["message"].as_str().unwrap().to_owned();
    (message, error["param"].clone(), error["code"].clone())
}

fn render(error: &Error) -> axum::response::Response {
    let context = Around {
        request: 1,
        at: Timestamp::from_millis(0),
        method: http::Method::POST,
        path: "/v1/responses".to_owned(),
        params: Params::default(),
        receipt: std::sync::OnceLock::new(),
        closing: std::sync::atomic::AtomicBool::new(false),
    };
    error::render(&error.fault, &context)
}

/// A body that is refused, with the message, `param` and `code`.
type Case = (Value, &'static str, Value, &'static str);

fn check(cases: Vec<Case>) {
    for (body, message, param, code) in cases {
        let code = if code.is_empty() {
            Value::Null
        } else {
            code.into()
        };
        assert_eq!(refusal(&body), (message.to_owned(), param, code), "{body}");
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of what is refused with which words"
)]
fn values_are_refused_in_the_words_of_live_answers() {
    check(vec![
        (
            json!({"input": "x", "bogus": 1}),
            "Unknown parameter: 'bogus'.",
            json!("bogus"),
            "unknown_parameter",
        ),
        (
            json!({"input": "x", "text": {"zzz": 1}}),
            "Unknown parameter: 'text.zzz'.",
            json!("text.zzz"),
            "unknown_parameter",
        ),
        (
            json!({"input": "x", "reasoning": {"bogus": 1}}),
            "Unknown parameter: 'reasoning.bogus'.",
            json!("reasoning.bogus"),
            "unknown_parameter",
        ),
        (
            json!({"input": "x", "stream_options": {"include_usage": true}}),
            "Unknown parameter: 'stream_options.include_usage'.",
            json!("stream_options.include_usage"),
            "unknown_parameter",
        ),
        (
            json!({"input": "x", "max_output_tokens": 0}),
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 0 instead.",
            json!("max_output_tokens"),
            "integer_below_min_value",
        ),
        (
            json!({"input": "x", "max_tool_calls": 0}),
            "Invalid 'max_tool_calls': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            json!("max_tool_calls"),
            "integer_below_min_value",
        ),
        (
            json!({"input": "x", "metadata": "x"}),
            "Invalid type for 'metadata': expected a metadata object, but got a string instead.",
            json!("metadata"),
            "invalid_type",
        ),
        (
            json!({"input": "x", "truncation": "bogus"}),
            "Invalid value: 'bogus'. Supported values are: 'auto' and 'disabled'.",
            json!("truncation"),
            "invalid_value",
        ),
        (
            json!({"input": "x", "truncation": 1}),
            "Invalid type for 'truncation': expected one of 'auto' or 'disabled', but got an integer instead.",
            json!("truncation"),
            "invalid_type",
        ),
        (
            json!({"input": "x", "temperature": 2.5}),
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
            json!("temperature"),
            "decimal_above_max_value",
        ),
        (
            json!({"input": "x", "top_p": -1}),
            "Invalid 'top_p': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
            json!("top_p"),
            "decimal_below_min_value",
        ),
        (
            json!({"input": "x", "temperature": "hot"}),
            "Invalid type for 'temperature': expected a decimal, but got a string instead.",
            json!("temperature"),
            "invalid_type",
        ),
        (
            json!({"input": "x", "instructions": {}}),
            "Invalid type for 'instructions': expected a string, but got an object instead.",
            json!("instructions"),
            "invalid_type",
        ),
        (
            json!({"input": "x", "safety_identifier": "x".repeat(65)}),
            "Invalid 'safety_identifier': string too long. Expected a string with maximum length 64, but got a string with length 65 instead.",
            json!("safety_identifier"),
            "string_above_max_length",
        ),
        (
            json!({"input": "x", "include": ["bogus.thing"]}),
            "Invalid value: 'bogus.thing'. Supported values are: 'file_search_call.results', 'web_search_call.results', 'web_search_call.action.sources', 'message.input_image.image_url', 'computer_call_output.output.image_url', 'code_interpreter_call.outputs', 'reasoning.encrypted_content', and 'message.output_text.logprobs'.",
            json!("include[0]"),
            "invalid_value",
        ),
        (
            json!({"input": "x", "text": {"format": {"type": "json_schema", "schema": {}}}}),
            "Missing required parameter: 'text.format.name'.",
            json!("text.format.name"),
            "missing_required_parameter",
        ),
        (
            json!({"input": "x", "prompt": {"id": "pmpt_x"}}),
            "Prompt with id 'pmpt_x' not found.",
            Value::Null,
            "",
        ),
        (
            json!({"input": "x", "background": true, "store": false}),
            "Background mode requires 'store' to be true.",
            json!("background"),
            "",
        ),
        (
            json!({"input": "x", "stream_options": {}}),
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            json!("stream_options"),
            "",
        ),
        (
            json!({}),
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided.",
            Value::Null,
            "missing_required_parameter",
        ),
        (
            json!({"input": "x", "previous_response_id": "resp_x"}),
            "Previous response with id 'resp_x' not found.",
            json!("previous_response_id"),
            "previous_response_not_found",
        ),
        (
            json!({"input": "x", "conversation": "conv_x"}),
            "Conversation with id 'conv_x' not found.",
            Value::Null,
            "",
        ),
        (
            json!({"input": "x", "conversation": {"id": "x"}}),
            "Invalid 'conversation'. Expected an ID that begins with 'conv_'.",
            json!("conversation"),
            "invalid_value",
        ),
    ]);
}

#[test]
fn input_is_refused_in_the_words_of_live_answers() {
    let image = |part: Value| json!({"input": [{"role": "user", "content": [part]}]});
    check(vec![
        (
            json!({"input": 1}),
            "Invalid type for 'input': expected one of an array of objects or string, but got an integer instead.",
            json!("input"),
            "invalid_type",
        ),
        (
            json!({"input": [{}]}),
            "Invalid value: ''. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
            json!("input[0]"),
            "invalid_value",
        ),
        (
            json!({"input": [{"role": "user"}]}),
            "Missing required parameter: 'input[0].content'.",
            json!("input[0].content"),
            "missing_required_parameter",
        ),
        (
            image(json!({"type": "input_text"})),
            "Missing required parameter: 'input[0].content[0].text'.",
            json!("input[0].content[0].text"),
            "missing_required_parameter",
        ),
        (
            image(json!({"type": "output_text", "text": "x"})),
            "Invalid value: 'output_text'. Supported values are: 'input_text', 'input_image', 'input_file', 'scoped_content', and 'input_audio'.",
            json!("input[0].content[0]"),
            "invalid_value",
        ),
        (
            image(json!({"type": "input_image"})),
            "Missing required parameter: 'input[0].content[0].image_url'.",
            json!("input[0].content[0].image_url"),
            "missing_required_parameter",
        ),
        (
            image(json!({"type": "input_file", "file_id": "file-1"})),
            "Invalid 'input[0].content[0].file_id': a file by its id is not supported by this server.",
            json!("input[0].content[0].file_id"),
            "unsupported_value",
        ),
        (
            image(json!({"type": "input_file", "file_url": "https://x"})),
            "Invalid 'input[0].content[0].file_url': a file by its URL is not supported by this server.",
            json!("input[0].content[0].file_url"),
            "unsupported_value",
        ),
        (
            json!({"input": [{"type": "function_call_output", "output": "x"}]}),
            "Missing required parameter: 'input[0].call_id'.",
            json!("input[0].call_id"),
            "missing_required_parameter",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "c"}]}),
            "Missing required parameter: 'input[0].output'.",
            json!("input[0].output"),
            "missing_required_parameter",
        ),
        (
            json!({"input": [{"type": "compaction", "encrypted_content": "gAAAA"}]}),
            "The encrypted content could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
            json!("input[0].encrypted_content"),
            "invalid_encrypted_content",
        ),
    ]);
}

#[test]
fn tools_that_the_vendor_runs_are_refused_by_name() {
    for name in [
        "web_search",
        "web_search_preview",
        "web_search_preview_2025_03_11",
        "file_search",
        "code_interpreter",
        "computer_use_preview",
        "image_generation",
        "mcp",
        "local_shell",
        "shell",
        "apply_patch",
        "tool_search",
        "custom",
    ] {
        let message =
            format!("Invalid 'tools[0].type': the tool '{name}' is not supported by this server.");
        let body = json!({"input": "x", "tools": [{"type": name}]});
        let expected = (message, json!("tools[0].type"), json!("unsupported_value"));
        assert_eq!(refusal(&body), expected);
        let body = json!({"input": "x", "tool_choice": {"type": name}});
        assert_eq!(refusal(&body).1, json!("tool_choice.type"));
    }
}

#[test]
fn tools_and_choices_are_refused_in_the_words_of_live_answers() {
    let tool = json!({"type": "function", "name": "f"});
    check(vec![
        (
            json!({"input": "x", "tools": {}}),
            "Invalid type for 'tools': expected an array of tools, but got an object instead.",
            json!("tools"),
            "invalid_type",
        ),
        (
            json!({"input": "x", "tools": [{}]}),
            "Missing required parameter: 'tools[0].type'.",
            json!("tools[0].type"),
            "missing_required_parameter",
        ),
        (
            json!({"input": "x", "tools": [{"type": "function"}]}),
            "Missing required parameter: 'tools[0].name'.",
            json!("tools[0].name"),
            "missing_required_parameter",
        ),
        (
            json!({"input": "x", "tools": [{"type": "function", "name": "a b"}]}),
            "Invalid 'tools[0].name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            json!("tools[0].name"),
            "invalid_value",
        ),
        (
            json!({"input": "x", "tool_choice": "required"}),
            "Tool choice 'required' must be specified with 'tools' parameter.",
            json!("tool_choice"),
            "",
        ),
        (
            json!({"input": "x", "tools": [tool], "tool_choice": {"type": "function", "name": "g"}}),
            "Tool choice 'g' not found in 'tools' parameter.",
            json!("tool_choice"),
            "",
        ),
        (
            json!({"input": "x", "tool_choice": "bogus"}),
            "Invalid value: 'bogus'. Supported values are: 'none', 'auto', and 'required'.",
            json!("tool_choice"),
            "invalid_value",
        ),
    ]);
}

#[test]
fn the_model_is_told_all_that_it_can_do() {
    let body = json!({
        "input": "x", "temperature": 1, "top_p": 0.5, "max_output_tokens": 16, "truncation": "auto",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1.5}}, "verbosity": "low"},
        "reasoning": {"effort": "high"}, "parallel_tool_calls": false, "instructions": "be brief",
        "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
    });
    let request = read(&body).unwrap_or_else(|_| panic!("accepted"));
    let options = &request.options;
    assert_eq!((options.temperature, options.top_p), (Some(1.0), Some(0.5)));
    assert_eq!(options.output_tokens_max, Some(16));
    assert_eq!(options.verbosity.as_deref(), Some("low"));
    assert_eq!(options.reasoning_effort.as_deref(), Some("high"));
    assert_eq!(options.parallel_tool_calls, Some(false));
    assert_eq!(options.tools.len(), 2);
    let allowed = ToolChoice::Allowed {
        required: true,
        names: vec!["g".to_owned()],
    };
    assert_eq!(options.tool_choice, Some(allowed));
    let AnswerFormat::JsonSchema {
        name,
        schema,
        strict,
        ..
    } = &options.format
    else {
        panic!("a schema");
    };
    assert_eq!(
        (name.as_str(), schema.text(), *strict),
        ("n", "{\"a\":1.5}", None)
    );
    assert_eq!(request.overflow, Overflow::LeaveOut);
    assert_eq!(request.instructions.as_deref(), Some("be brief"));
    assert_eq!(request.context, Context::None);
    let plain =
        read(&json!({"input": "x", "tool_choice": "auto"})).unwrap_or_else(|_| panic!("accepted"));
    assert_eq!(
        plain.options,
        parlance_domain::upstream::ModelOptions::default()
    );
    assert_eq!(plain.overflow, Overflow::Refuse);
}
