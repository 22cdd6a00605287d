//! OpenHands' agent: what was said to it, and clients that wait until it has answered.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::calls::Call;
use super::check::{BEGINS, ENDS};
use super::journal::{Conversation, Deed};
use super::load::{Came, Client, Lines, perform};
use crate::http::Asked;

/// What is left to the server between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// What OpenHands' agent does in a conversation. Several messages may be answered at once, and one that was
/// not answered when the server was killed never is.
#[derive(Clone, Debug, Default)]
pub(super) struct Agent {
    /// The canaries of what was said to it.
    pub(super) said: BTreeSet<String>,
    /// It may still answer.
    pub(super) is_busy: bool,
    /// Something was said since it was last compared.
    pub(super) is_asked: bool,
    /// Answers that a client has seen since then, with the numbers of their events.
    pub(super) heard: Vec<(u64, String)>,
    /// The answers and the notes when they were last compared: none goes, and none comes between.
    pub(super) noted: Vec<(u64, String)>,
}

/// What was said to the agent, if the call did.
pub(super) fn said(call: &Call) -> Option<String> {
    let mut said = call.deeds.iter().filter_map(Deed::said);
    said.next().map(|said| said.canary.clone())
}

impl Client {
    /// Looks at the newest events until a turn has ended that began after the last thing was said: then
    /// nothing waits for an answer any more.
    pub(super) async fn hear_out(
        &mut self,
        lines: &mut Lines<'_>,
        of: &mut Conversation,
        canary: &str,
    ) -> ControlFlow<()> {
        let look = self.caller().newest_events(of);
        let Some(mut line) = lines.take().await else {
            return ControlFlow::Break(());
        };
        loop {
            let came = perform(&mut line, &look, lines.place).await;
            let Came::Asked(Asked::Whole(answer)) = &came else {
                return ControlFlow::Break(());
            };
            if let Some(heard) = heard(&answer.body, canary) {
                of.agent.heard.push(heard);
                of.agent.is_busy = false;
                *self.counts.acknowledged.entry("hear").or_default() += 1;
                lines.give(line, &came);
                return ControlFlow::Continue(());
            }
            sleep(PAUSE).await;
        }
    }
}

/// The answer, with its number, of the turn that has read this, if that has ended. The newest events come
/// first.
fn heard(body: &[u8], canary: &str) -> Option<(u64, String)> {
    let page: Value = serde_json::from_slice(body).ok()?;
    let events = page.get("events")?.as_array()?;
    let text = |event: &Value, pointer: &str| {
        let text = event.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let state = |event: &Value| text(event, "/extras/agent_state");
    let is_said = |event: &Value| {
        text(event, "/source") == "user" && text(event, "/args/content").contains(canary)
    };
    let began = events.iter().position(|event| state(event) == BEGINS)?;
    let said = events.iter().position(is_said).unwrap_or(events.len());
    let answer = events
        .get(1)
        .filter(|event| text(event, "/source") == "agent")?;
    let has_ended = events.first().is_some_and(|event| state(event) == ENDS);
    let heard = (answer.get("id")?.as_u64()?, text(answer, "/args/content"));
    (has_ended && began < said).then_some(heard)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(state: &str) -> Value {
        json!({"source": "environment", "extras": {"agent_state": state}})
    }

    fn message(source: &str, text: &str) -> Value {
        json!({"id": 7, "source": source, "args": {"content": text}})
    }

    #[track_caller]
    fn is_heard(newest_first: &[Value], expected: bool) {
        let body = json!({"events": newest_first}).to_string();
        assert_eq!(heard(body.as_bytes(), "said").is_some(), expected);
    }

    #[test]
    fn an_answer_is_heard_when_its_turn_has_ended() {
        let (begins, ends) = (state(BEGINS), state(ENDS));
        let (said, answer) = (message("user", "said"), message("agent", "answer"));
        let whole = [&ends, &answer, &begins, &said].map(Value::clone);
        is_heard(&whole, true);
        is_heard(&whole[1..], false);
        is_heard(&whole[2..], false);
        is_heard(&[], false);
    }

    #[test]
    fn a_turn_that_began_before_something_was_said_is_not_its_answer() {
        let (begins, ends) = (state(BEGINS), state(ENDS));
        let (said, answer) = (message("user", "said"), message("agent", "answer"));
        is_heard(&[ends, answer, said, begins], false);
    }
}
