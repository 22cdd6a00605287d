//! `echo` in the words of OpenAI's chat completions.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parlance_domain::json::Json;
use parlance_domain::upstream::{ModelError, RawAnswer, RefusalText};
use serde_json::{Value, json};

use super::{PREAMBLE, pieces, usage, words};

/// Answers a request of `/v1/chat/completions`. `created` is 0: what has no clock says no time.
pub(super) fn answer(model: &str, body: &Json) -> Result<RawAnswer, ModelError> {
    let question = body.value();
    let messages = question.get("messages").and_then(Value::as_array);
    let Some(messages) = messages.filter(|messages| !messages.is_empty()) else {
        return Err(ModelError::Refused {
            status: 400,
            said: Some(RefusalText {
                message: "`messages` has to be an array with at least one message".to_owned(),
                code: None,
            }),
        });
    };
    let texts: Vec<String> = messages.iter().map(text_of).collect();
    let said = texts.last().map(String::as_str).unwrap_or_default();
    let answer = format!("{PREAMBLE}{said}");
    let usage = usage(texts.iter().map(|text| words(text)).sum(), &answer);
    let usage = json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total(),
    });
    let flag = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
    if flag(question.get("stream")) {
        let wants_usage = flag(question.pointer("/stream_options/include_usage"));
        let frames = frames(model, &answer, wants_usage.then_some(usage));
        return Ok(raw("text/event-stream; charset=utf-8", frames));
    }
    let whole = json!({
        "id": "chatcmpl-echo",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": answer, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage,
    });
    Ok(raw("application/json", vec![whole.to_string()]))
}

fn frames(model: &str, answer: &str, usage: Option<Value>) -> Vec<String> {
    let chunk = |choices: Value, usage: Option<&Value>| {
        let mut chunk = json!({
            "id": "chatcmpl-echo",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": model,
            "choices": choices,
        });
        if let (Some(usage), Some(fields)) = (usage, chunk.as_object_mut()) {
            fields.insert("usage".to_owned(), usage.clone());
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, reason: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason});
        chunk(json!([choice]), None)
    };
    let mut frames = vec![delta(json!({"role": "assistant", "content": ""}), None)];
    let said = pieces(answer).into_iter();
    frames.extend(said.map(|piece| delta(json!({"content": piece}), None)));
    frames.push(delta(json!({}), Some("stop")));
    frames.extend(usage.map(|usage| chunk(json!([]), Some(&usage))));
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

fn raw(content_type: &str, pieces: Vec<String>) -> RawAnswer {
    let pieces = pieces.into_iter().map(|piece| Ok(Bytes::from(piece)));
    RawAnswer {
        status: 200,
        content_type: Some(content_type.to_owned()),
        retry_after: None,
        body: stream::iter(pieces).boxed(),
    }
}

/// The text in a message, be its content text or parts.
fn text_of(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let text = |part: &Value| Some(part.get("text")?.as_str()?.to_owned());
            parts.iter().filter_map(text).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
