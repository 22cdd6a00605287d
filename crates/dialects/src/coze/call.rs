//! Calls of tools as Coze writes them: the text of a JSON object.

use std::collections::VecDeque;

use parlance_domain::{Error, ItemContent, ItemKind, ItemType, Json, Reason};
use serde_json::{Value, json};

use crate::kit::fields::Fields;

/// The calls among a chat's messages that nothing has answered yet. Coze's have no ids: an output belongs
/// to the first of them.
#[derive(Default)]
pub(super) struct Open {
    ids: VecDeque<String>,
    made: usize,
}

impl Open {
    /// A `function_call`: its content is the text of an object with the tool's `name` and `arguments`.
    pub(super) fn call(&mut self, fields: &Fields<'_>) -> Result<ItemContent, Error> {
        let text = fields.required_string("content")?;
        let expected = "the JSON text of an object with name and arguments";
        let malformed = || fields.error("content", Reason::Malformed { expected });
        let call: Value = serde_json::from_str(text).map_err(|_| malformed())?;
        let name = call.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(malformed)?;
        let arguments = match call.get("arguments") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Object(object)) => json!(object).to_string(),
            None | Some(Value::Null) => "{}".to_owned(),
            Some(_) => return Err(malformed()),
        };
        self.made += 1;
        let id = format!("call_{}", self.made);
        let content = ItemContent::function_call(&id, name, &arguments, true);
        self.ids.push_back(id);
        Ok(content)
    }

    /// A `tool_response`, whose content is whatever the tool gave.
    pub(super) fn output(&mut self, fields: &Fields<'_>) -> Result<ItemContent, Error> {
        let text = fields.required_string("content")?;
        let expected = "the output of a function_call before it";
        let unasked = || fields.error("type", Reason::Malformed { expected });
        let id = self.ids.pop_front().ok_or_else(unasked)?;
        let payload = json!({"type": "function_call_output", "call_id": id, "output": text});
        Ok(ItemContent {
            kind: ItemKind::Typed(ItemType::FUNCTION_CALL_OUTPUT),
            payload: Json::from(&payload),
            native: None,
        })
    }
}

/// The type and the content of a call, or of what it gave; none of what is neither.
pub(super) fn shown(content: &ItemContent) -> Option<(&'static str, String)> {
    let ItemKind::Typed(item_type) = &content.kind else {
        return None;
    };
    let payload = content.payload.value();
    match item_type.name() {
        "function_call" => {
            let arguments = payload.get("arguments").and_then(Value::as_str)?;
            // What the model wrote may be no JSON: then it is shown as text.
            let arguments: Value =
                serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into());
            let call: Value = json!({"name": payload.get("name")?, "arguments": arguments});
            Some(("function_call", call.to_string()))
        }
        "function_call_output" => {
            let output = payload.get("output")?;
            let text = output.as_str().map(str::to_owned);
            Some(("tool_response", text.unwrap_or_else(|| output.to_string())))
        }
        _ => None,
    }
}
