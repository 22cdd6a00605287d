//! What clients do with responses that stand alone.

use std::ops::ControlFlow;

use rand::RngExt;

use super::calls::{Mode, answer_to, object};
use super::check::said;
use super::{Absent, Reply, text, told};
use crate::crash::calls::Call;
use crate::crash::journal::{Answered, Deed, Errand, Known, Outcome, Presence};
use crate::crash::load::{Came, Client, Lines, perform};
use crate::http::Asked;

/// Responses that a client keeps, about.
const KEPT: usize = 8;

impl Client {
    /// Asks without a conversation, or reads or deletes what has come of it.
    pub(in crate::crash) async fn respond(&mut self, lines: &mut Lines<'_>) -> ControlFlow<()> {
        let answered = |reply: &Reply| reply.state == Answered::Yes && reply.id.is_some();
        let count = self.alone_responses.replies.len();
        let at = self.rng.random_range(0..count.max(1));
        let chosen = self.alone_responses.replies.get(at);
        let readable = chosen.filter(|reply| answered(reply)).cloned();
        let previous = readable.as_ref().and_then(|reply| reply.id);
        let previous = previous.filter(|_| self.rng.random_bool(0.4));
        match (self.rng.random_range(0..10), readable) {
            (0..2, _) => self.ask_in_passing(lines, previous).await,
            (2, Some(reply)) => self.read_again(lines, reply).await,
            (3..5, _) if count > 0 => self.forget_reply(lines, at).await,
            _ if count >= KEPT => self.forget_reply(lines, at).await,
            _ => self.ask_alone(lines, previous).await,
        }
    }

    async fn ask_alone(
        &mut self,
        lines: &mut Lines<'_>,
        previous: Option<u128>,
    ) -> ControlFlow<()> {
        let mode = match self.rng.random_range(0..10) {
            0..4 => Mode::Whole,
            4..8 => Mode::Stream,
            _ => Mode::Background,
        };
        let (mut reply, call) = self.caller().reply(previous, mode);
        let Some((came, outcome)) = self.send_alone(lines, &call).await else {
            return ControlFlow::Break(());
        };
        let (flow, is_stored) = match outcome {
            Outcome::Done(_) => (ControlFlow::Continue(()), mode != Mode::Background),
            Outcome::Refused => return ControlFlow::Continue(()),
            Outcome::Broken { ended, .. } => (ControlFlow::Break(()), ended),
        };
        let body = body(&came);
        let Some(id) = told(body) else {
            self.alone_responses.making.push(reply);
            return flow;
        };
        // Its input is durable before its first event.
        (reply.id, reply.known) = (Some(id), Known::Acknowledged);
        if is_stored {
            reply.state = Answered::Yes;
        }
        if is_stored && flow.is_continue() {
            self.check_answer(id, body, &reply.input);
        }
        self.alone_responses.replies.push(reply);
        flow
    }

    async fn ask_in_passing(
        &mut self,
        lines: &mut Lines<'_>,
        previous: Option<u128>,
    ) -> ControlFlow<()> {
        let (asked, call) = self.caller().in_passing(previous);
        let Some((came, outcome)) = self.send_alone(lines, &call).await else {
            return ControlFlow::Break(());
        };
        let body = body(&came);
        let id = told(body);
        if let (Some(id), Outcome::Done(_)) = (id, &outcome) {
            self.check_answer(id, body, &asked);
        }
        self.alone_responses.absent.extend(id.map(|id| Absent {
            id,
            is_deleted: false,
            fresh: true,
        }));
        match outcome {
            Outcome::Broken { .. } => ControlFlow::Break(()),
            Outcome::Done(_) | Outcome::Refused => ControlFlow::Continue(()),
        }
    }

    async fn read_again(&mut self, lines: &mut Lines<'_>, reply: Reply) -> ControlFlow<()> {
        let id = reply.id.unwrap_or_default();
        let call = self.caller().read_reply(id);
        let Some((came, outcome)) = self.send_alone(lines, &call).await else {
            return ControlFlow::Break(());
        };
        match outcome {
            Outcome::Done(_) => {
                self.check_answer(id, body(&came), &reply.input);
                ControlFlow::Continue(())
            }
            Outcome::Refused => ControlFlow::Continue(()),
            Outcome::Broken { .. } => ControlFlow::Break(()),
        }
    }

    async fn forget_reply(&mut self, lines: &mut Lines<'_>, at: usize) -> ControlFlow<()> {
        let mut reply = self.alone_responses.replies.swap_remove(at);
        (reply.presence, reply.touched) = (Presence::Leaving, true);
        let id = reply.id.unwrap_or_default();
        let call = self.caller().forget(id, Deed::Alone(Errand::Delete));
        let Some((_, outcome)) = self.send_alone(lines, &call).await else {
            reply.presence = Presence::There;
            self.alone_responses.replies.push(reply);
            return ControlFlow::Break(());
        };
        match outcome {
            Outcome::Done(_) => {
                self.alone_responses.bury(&reply);
                return ControlFlow::Continue(());
            }
            Outcome::Refused => reply.presence = Presence::There,
            Outcome::Broken { .. } => {
                self.alone_responses.replies.push(reply);
                return ControlFlow::Break(());
            }
        }
        self.alone_responses.replies.push(reply);
        ControlFlow::Continue(())
    }

    /// Sends a call that is about no conversation. None if it could not be sent.
    async fn send_alone(&mut self, lines: &mut Lines<'_>, call: &Call) -> Option<(Came, Outcome)> {
        let mut line = lines.take().await?;
        self.counts.canaries += call.deeds.iter().map(Deed::canaries).sum::<usize>();
        let came = perform(&mut line, call, lines.place).await;
        lines.give(line, &came);
        let outcome = self.outcome(call, &came);
        Some((came, outcome))
    }

    /// An answer is what was asked, and complete.
    fn check_answer(&mut self, id: u128, body: &[u8], asked: &str) {
        let object = object(body).unwrap_or_default();
        let status = object.get("status").and_then(serde_json::Value::as_str);
        if status != Some("completed") || said(&object) != [answer_to(asked)] {
            let (number, id) = (self.number, text(id));
            self.wrong
                .push(format!("client {number}: {id} was answered {object}"));
        }
    }
}

/// What has come of an answer's body.
pub(in crate::crash) fn body(came: &Came) -> &[u8] {
    match came {
        Came::Asked(Asked::Whole(answer)) => &answer.body,
        Came::Asked(Asked::Broken(bytes)) => bytes,
        Came::Left => &[],
    }
}
