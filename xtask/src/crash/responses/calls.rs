//! What clients send to OpenAI's responses, and what the answers say.

use rand::RngExt;
use serde_json::{Value, json};

use super::{Reply, text};
use crate::crash::answers::RESPONDED;
use crate::crash::calls::{Call, Caller, PREAMBLE, echo, item};
use crate::crash::canary::canary;
use crate::crash::dialect::{Dialect, bits};
use crate::crash::journal::{Answered, Conversation, Deed, Errand, Kind, Known, Pairs, Presence};
use crate::http::find;

const PATH: &str = "/v1/responses";
/// What an id stands behind.
const ID: &[u8] = b"\"id\":\"resp_";
/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 32;

/// How an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As a whole.
    Whole,
    /// As a stream.
    Stream,
    /// Not at all.
    Background,
}

impl Caller<'_> {
    /// A question in a conversation.
    pub(in crate::crash) fn respond_in(&mut self, of: &Conversation) -> Call {
        let question = item(self.rng, Kind::User);
        let answer = echo(&question);
        let more = json!({
            "stream": self.rng.random_bool(0.5), "conversation": of.name.prefixed(),
        });
        let body = self.body(&question.text.held, more);
        let deed = Deed::Ask(question, answer);
        let mut call = self.call(Dialect::OpenAi, "POST", PATH, Some(&body), deed);
        // The turn that nobody waits for may still be running.
        call.may_fail = of.is_busy();
        call
    }

    /// A question that has no conversation.
    pub(super) fn reply(&mut self, previous: Option<u128>, mode: Mode) -> (Reply, Call) {
        let asked = item(self.rng, Kind::User);
        let more = json!({
            "stream": mode == Mode::Stream, "background": mode == Mode::Background,
            "previous_response_id": previous.map(text),
        });
        let body = self.body(&asked.text.held, more);
        let said = |pointer: &str| {
            let text = body.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let reply = Reply {
            id: None,
            previous,
            input: asked.text.held,
            instructions: said("/instructions"),
            tool: said("/tools/0/description"),
            metadata: Pairs::from([("key".to_owned(), said("/metadata/key"))]),
            known: Known::Sent,
            state: Answered::Perhaps,
            presence: Presence::There,
            touched: true,
        };
        let deed = Deed::Alone(Errand::Ask);
        let call = self.call(Dialect::OpenAi, "POST", PATH, Some(&body), deed);
        (reply, call)
    }

    /// A question of which nothing is to be stored, and what is asked.
    pub(super) fn in_passing(&mut self, previous: Option<u128>) -> (String, Call) {
        let asked = item(self.rng, Kind::User).text.held;
        let more = json!({
            "stream": self.rng.random_bool(0.5), "store": false,
            "previous_response_id": previous.map(text),
        });
        let body = self.body(&asked, more);
        let deed = Deed::Alone(Errand::AskInPassing);
        let call = self.call(Dialect::OpenAi, "POST", PATH, Some(&body), deed);
        (asked, call)
    }

    /// What all questions have, a canary in every field that has room for one.
    fn body(&mut self, input: &str, more: Value) -> Value {
        let [instructions, tool, value] = [(); 3].map(|()| canary(self.rng));
        let parameters = json!({
            "type": "object", "additionalProperties": false, "required": ["a"],
            "properties": {"a": {"type": "string", "description": tool}},
        });
        let mut body = json!({
            "model": "echo", "input": input, "instructions": instructions, "truncation": "auto",
            "metadata": {"key": value},
            "tools": [{
                "type": "function", "name": "look", "description": tool, "strict": true,
                "parameters": parameters,
            }],
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body
    }

    /// The delete of a response.
    pub(in crate::crash) fn forget(&self, id: u128, deed: Deed) -> Call {
        let path = format!("{PATH}/{}", text(id));
        self.call(Dialect::OpenAi, "DELETE", &path, None, deed)
    }

    pub(super) fn read_reply(&self, id: u128) -> Call {
        let path = format!("{PATH}/{}", text(id));
        let deed = Deed::Alone(Errand::Read);
        self.call(Dialect::OpenAi, "GET", &path, None, deed)
    }
}

/// The id of the response that an answer is about, even if it has broken off.
pub(in crate::crash) fn told(body: &[u8]) -> Option<u128> {
    let digits = body.get(find(body, ID)? + ID.len()..)?;
    // An id that is cut off is none.
    let (digits, rest) = digits.split_at_checked(ID_DIGITS)?;
    let digits = std::str::from_utf8(digits).ok();
    digits.filter(|_| rest.starts_with(b"\"")).and_then(bits)
}

/// The response in an answer, as it is in the end.
pub(super) fn object(body: &[u8]) -> Option<Value> {
    let Some(at) = find(body, RESPONDED) else {
        return serde_json::from_slice(body).ok();
    };
    let rest = body.get(at..)?;
    let data = rest.get(find(rest, b"data: ")? + 6..)?;
    let line = data.split(|byte| *byte == b'\n').next()?;
    let event: Value = serde_json::from_slice(line).ok()?;
    event.get("response").cloned()
}

/// What the built-in model answers.
pub(super) fn answer_to(input: &str) -> String {
    format!("{PREAMBLE}{input}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_cut_off_is_none() {
        let text = format!("data: {{\"id\":\"{}\"", text(7));
        assert_eq!(told(text.as_bytes()), Some(7));
        assert_eq!(told(&text.as_bytes()[..text.len() - 1]), None);
        assert_eq!(told(b"{\"id\":\"msg_1\"}"), None);
    }

    #[test]
    fn the_response_of_a_stream_is_in_its_last_event() {
        let stream = b"event: response.created\ndata: {\"response\":{\"id\":1}}\n\n\
            event: response.completed\ndata: {\"response\":{\"id\":2}}\n\n";
        assert_eq!(object(stream), Some(json!({"id": 2})));
        assert_eq!(object(b"{\"id\":3}"), Some(json!({"id": 3})));
        assert_eq!(object(b"event: response.created\n"), None);
    }
}
