//! Clients at work: each has conversations of its own, and uses them through all dialects, mostly one
//! call at a time and sometimes two at once, until its server is gone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::Notify;

use super::answers::{ids, is_good, is_stored, name};
use super::calls::{Call, Caller, Reading, Request};
use super::control::{Said, Socket};
use super::dialect::{Dialect, Keys, Name, bits};
use super::journal::{Conversation, Deed, Errand, Kind, Outcome};
use super::responses::{self, told};
use super::said::said;
use crate::http::{Answer, Asked, Client as Line};

/// Conversations that a client keeps, about.
const KEPT: usize = 10;

/// How often a client asks without a conversation.
const ALONE: f64 = 0.2;
/// How often a client waits for what OpenHands' agent answers.
const HEARD: f64 = 0.6;

/// Conversations of a user who is erased, at least.
const ERASED_MIN: usize = 3;

/// Moments at which a kill is worth the most.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// A delete was just sent.
    pub(super) delete: Notify,
    /// A question was just sent.
    pub(super) ask: Notify,
    /// An order was just sent.
    pub(super) order: Notify,
}

/// A conversation that is deleted.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    pub(super) name: Name,
    /// One of its items.
    pub(super) item: Option<u128>,
    /// One of its responses.
    pub(super) response: Option<u128>,
    /// The receipt, where an operator was told it.
    pub(super) receipt: Option<String>,
    /// It was deleted since the last comparison.
    pub(super) fresh: bool,
}

/// What clients have counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Acknowledged calls by what they do.
    pub(super) acknowledged: BTreeMap<&'static str, u64>,
    /// Calls whose outcome was unknown when the server was killed.
    pub(super) unknown: u64,
    /// Orders of operators among them.
    pub(super) orders: u64,
    /// Answers that had begun when the server was killed.
    pub(super) streams: u64,
    /// Canaries that were sent.
    pub(super) canaries: usize,
}

/// A client with its journal.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) keys: Keys,
    /// The user's name, where nobody else has the same user.
    pub(super) alone: Option<String>,
    /// The keys may have been revoked, because the user was erased.
    pub(super) is_locked_out: bool,
    pub(super) rng: StdRng,
    pub(super) conversations: Vec<Conversation>,
    /// Conversations that may have been made.
    pub(super) making: Vec<(Conversation, Vec<Deed>)>,
    pub(super) gone: Vec<Gone>,
    pub(super) alone_responses: responses::Journal,
    pub(super) counts: Counts,
    /// Answers that should not have been.
    pub(super) wrong: Vec<String>,
}

/// What has come of a call.
pub(super) enum Came {
    Asked(Asked),
    /// The client has left after the answer began.
    Left,
}

/// One server, while it lives.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) address: &'a str,
    pub(super) socket: &'a Socket,
    pub(super) moments: &'a Moments,
}

/// Connections to it.
pub(super) struct Lines<'a> {
    pub(super) place: Place<'a>,
    idle: Vec<Line>,
}

impl Lines<'_> {
    pub(super) async fn take(&mut self) -> Option<Line> {
        match self.idle.pop() {
            Some(line) => Some(line),
            None => Line::connect(self.place.address).await.ok(),
        }
    }

    pub(super) fn give(&mut self, line: Line, came: &Came) {
        if matches!(came, Came::Asked(Asked::Whole(_))) {
            self.idle.push(line);
        }
    }
}

/// Sends a call and reads its answer.
pub(super) async fn perform(line: &mut Line, call: &Call, place: Place<'_>) -> Came {
    let request = match &call.request {
        Request::Http(request) => request,
        Request::Order(order) => {
            return came(place.socket.order(order, &place.moments.order).await);
        }
    };
    if line.send(request).await.is_err() {
        return Came::Asked(Asked::Broken(Vec::new()));
    }
    match call.deeds.first() {
        Some(Deed::Delete | Deed::Forget(_) | Deed::Alone(Errand::Delete)) => {
            place.moments.delete.notify_waiters();
        }
        Some(Deed::Ask(..) | Deed::Say(_) | Deed::Alone(Errand::Ask | Errand::AskInPassing)) => {
            place.moments.ask.notify_waiters();
        }
        _ => {}
    }
    match call.reading {
        Reading::Beginning if line.beginning().await => Came::Left,
        // An answer that does not begin well is read to its end all the same.
        Reading::Whole | Reading::Beginning => Came::Asked(line.answer().await),
    }
}

/// An order's outcome in the form of an answer.
pub(super) fn came(said: Said) -> Came {
    let answer = |status, text: String| {
        let body = text.into_bytes();
        Came::Asked(Asked::Whole(Answer { status, body }))
    };
    match said {
        Said::Done(text) => answer(200, text),
        Said::Refused(why) => answer(404, why),
        Said::Unheard | Said::Unknown => Came::Asked(Asked::Broken(Vec::new())),
    }
}

impl Client {
    /// Works until the server is gone.
    pub(super) async fn work(
        mut self,
        address: String,
        socket: Socket,
        moments: Arc<Moments>,
    ) -> Self {
        let place = Place {
            address: &address,
            socket: &socket,
            moments: &moments,
        };
        let mut lines = Lines {
            place,
            idle: Vec::new(),
        };
        while self.act(&mut lines).await.is_continue() {}
        self
    }

    pub(super) fn caller(&mut self) -> Caller<'_> {
        Caller {
            keys: &self.keys,
            rng: &mut self.rng,
        }
    }

    async fn act(&mut self, lines: &mut Lines<'_>) -> ControlFlow<()> {
        let count = self.conversations.len();
        let full = count >= KEPT;
        let fresh = if full { 0.02 } else { 0.3 };
        if self.rng.random_bool(ALONE) {
            return self.respond(lines).await;
        }
        if count == 0 || self.rng.random_bool(fresh) {
            return self.create(lines).await;
        }
        if count >= ERASED_MIN && self.rng.random_bool(0.04) {
            return self.erase_all(lines).await;
        }
        let at = self.rng.random_range(0..count);
        let conversation = self.conversations.swap_remove(at);
        match self.rng.random_range(0..100) {
            0..8 => {
                let delete = self.caller().delete(&conversation);
                self.one(lines, conversation, delete).await
            }
            8..18 if full => {
                let delete = self.caller().delete(&conversation);
                self.one(lines, conversation, delete).await
            }
            18..30 if conversation.name.whole.is_some() && !conversation.is_busy() => {
                self.race(lines, conversation).await
            }
            _ => {
                let change = self.caller().change(&conversation);
                self.one(lines, conversation, change).await
            }
        }
    }

    async fn create(&mut self, lines: &mut Lines<'_>) -> ControlFlow<()> {
        let Some(mut line) = lines.take().await else {
            return ControlFlow::Break(());
        };
        let (mut made, call) = self.caller().create();
        for deed in &call.deeds {
            made.send(deed);
        }
        self.counts.canaries += call.deeds.iter().map(Deed::canaries).sum::<usize>();
        let came = perform(&mut line, &call, lines.place).await;
        lines.give(line, &came);
        let outcome = self.outcome(&call, &came);
        let Some(name) = name(call.dialect, &came) else {
            if matches!(outcome, Outcome::Broken { .. }) {
                self.making.push((made, call.deeds));
                return ControlFlow::Break(());
            }
            return ControlFlow::Continue(());
        };
        made.name = name;
        created(&mut made, &call.deeds, &outcome);
        let flow = if matches!(outcome, Outcome::Broken { .. }) {
            ControlFlow::Break(())
        } else if call.dialect == Dialect::Coze {
            let look = self.caller().newest();
            let flow;
            (made, flow) = self.look_up(lines, made, &look).await;
            flow
        } else {
            self.maybe_hear(lines, &mut made, &call).await
        };
        self.conversations.push(made);
        flow
    }

    /// Waits now and then for the answer to what was said.
    async fn maybe_hear(
        &mut self,
        lines: &mut Lines<'_>,
        of: &mut Conversation,
        call: &Call,
    ) -> ControlFlow<()> {
        match said(call).filter(|_| self.rng.random_bool(HEARD)) {
            Some(canary) => self.hear_out(lines, of, &canary).await,
            None => ControlFlow::Continue(()),
        }
    }

    /// Finds all bits of an id, where the list has them still.
    async fn look_up(
        &mut self,
        lines: &mut Lines<'_>,
        mut made: Conversation,
        look: &Call,
    ) -> (Conversation, ControlFlow<()>) {
        let Some(mut line) = lines.take().await else {
            return (made, ControlFlow::Break(()));
        };
        let came = perform(&mut line, look, lines.place).await;
        lines.give(line, &came);
        let Came::Asked(Asked::Whole(answer)) = &came else {
            return (made, ControlFlow::Break(()));
        };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let rows = body.get("data").and_then(Value::as_array);
        let ids = rows.into_iter().flatten().filter_map(|row| row.get("id"));
        let names = ids.filter_map(|id| bits(id.as_str()?)).map(Name::of);
        let mut same = names.filter(|name| name.decimal == made.name.decimal);
        made.name = same.next().unwrap_or(made.name);
        (made, ControlFlow::Continue(()))
    }

    async fn one(
        &mut self,
        lines: &mut Lines<'_>,
        conversation: Conversation,
        call: Call,
    ) -> ControlFlow<()> {
        let Some(mut line) = lines.take().await else {
            self.conversations.push(conversation);
            return ControlFlow::Break(());
        };
        let mut conversation = self.sent(conversation, &[&call]);
        let came = perform(&mut line, &call, lines.place).await;
        lines.give(line, &came);
        let mut flow = self.learn(&mut conversation, &call, &came);
        if flow.is_continue() && is_good(call.dialect, &came) {
            flow = self.maybe_hear(lines, &mut conversation, &call).await;
        }
        self.put_back(conversation, &[(&call, &came)]);
        flow
    }

    /// Two calls at once, in the same conversation.
    async fn race(&mut self, lines: &mut Lines<'_>, conversation: Conversation) -> ControlFlow<()> {
        let (mut one, mut other) = self.rivals(&conversation);
        let doomed = |call: &Call| matches!(call.deeds.first(), Some(Deed::Delete));
        let asks = |call: &Call| matches!(call.deeds.first(), Some(Deed::Ask(..)));
        let either = (asks(&one) && asks(&other)) || doomed(&one) || doomed(&other);
        one.may_fail |= either && !doomed(&one);
        other.may_fail |= either && !doomed(&other);
        let (Some(mut first), Some(mut second)) = (lines.take().await, lines.take().await) else {
            self.conversations.push(conversation);
            return ControlFlow::Break(());
        };
        let mut conversation = self.sent(conversation, &[&one, &other]);
        let place = lines.place;
        let (came, too) = tokio::join!(
            perform(&mut first, &one, place),
            perform(&mut second, &other, place)
        );
        lines.give(first, &came);
        lines.give(second, &too);
        let flow = self.learn(&mut conversation, &one, &came);
        let other_flow = self.learn(&mut conversation, &other, &too);
        self.put_back(conversation, &[(&one, &came), (&other, &too)]);
        if flow.is_break() { flow } else { other_flow }
    }

    fn rivals(&mut self, of: &Conversation) -> (Call, Call) {
        let number = self.rng.random_range(0..5);
        let mut caller = self.caller();
        match number {
            0 => (caller.question(of), caller.delete(of)),
            1 => (caller.append(of), caller.delete(of)),
            2 => (caller.append(of), caller.append(of)),
            3 => (caller.question(of), caller.question(of)),
            _ => (caller.change(of), caller.delete(of)),
        }
    }

    pub(super) fn sent(&mut self, mut conversation: Conversation, calls: &[&Call]) -> Conversation {
        conversation.step += 1;
        for deed in calls.iter().flat_map(|call| &call.deeds) {
            self.counts.canaries += deed.canaries();
            conversation.send(deed);
        }
        conversation
    }

    pub(super) fn learn(
        &mut self,
        conversation: &mut Conversation,
        call: &Call,
        came: &Came,
    ) -> ControlFlow<()> {
        let outcome = self.outcome(call, came);
        conversation.loose |= matches!(came, Came::Left);
        for deed in &call.deeds {
            conversation.learn(deed, &outcome);
        }
        if let (Some(Deed::Ask(question, _)), Dialect::OpenAi) = (call.deeds.first(), call.dialect)
            && !matches!(outcome, Outcome::Refused)
            && let Some(id) = told(responses::body(came))
        {
            conversation.respond(&question.canary, id);
        }
        match (&outcome, came) {
            (Outcome::Broken { .. }, Came::Asked(Asked::Broken(_))) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Keeps a conversation, unless it is deleted.
    pub(super) fn put_back(&mut self, conversation: Conversation, calls: &[(&Call, &Came)]) {
        let deleted = calls.iter().find(|(call, came)| {
            matches!(call.deeds.first(), Some(Deed::Delete)) && is_good(call.dialect, came)
        });
        match deleted {
            Some((call, came)) => {
                let receipt = match call.request {
                    Request::Http(_) => None,
                    Request::Order(_) => self.receipts(came, 1..=1).pop(),
                };
                self.bury(&conversation, receipt);
            }
            None => self.conversations.push(conversation),
        }
    }

    /// Notes that a conversation is deleted.
    pub(super) fn bury(&mut self, conversation: &Conversation, receipt: Option<String>) {
        let messages = conversation.entries.iter().flat_map(|entry| &entry.items);
        let mut messages = messages.filter(|item| item.kind != Kind::Call);
        self.gone.push(Gone {
            name: conversation.name,
            item: messages.find_map(|item| item.id),
            response: conversation.responses().map(|(_, id)| id).next(),
            receipt,
            fresh: true,
        });
    }

    /// Reads an answer, and counts it.
    pub(super) fn outcome(&mut self, call: &Call, came: &Came) -> Outcome {
        let whole = match came {
            Came::Left => {
                return Outcome::Broken {
                    begun: true,
                    ended: false,
                };
            }
            Came::Asked(Asked::Broken(bytes)) => {
                let begun = !bytes.is_empty();
                self.counts.unknown += 1;
                self.counts.orders += u64::from(matches!(call.request, Request::Order(_)));
                self.counts.streams += u64::from(begun);
                let ended = is_stored(bytes);
                return Outcome::Broken { begun, ended };
            }
            Came::Asked(Asked::Whole(whole)) => whole,
        };
        if is_good(call.dialect, came) {
            let name = call.deeds.first().map_or("", Deed::name);
            let name = match &call.request {
                Request::Order(order) => order.name(),
                Request::Http(_) if call.deeds.len() > 1 => "create",
                Request::Http(_) => name,
            };
            *self.counts.acknowledged.entry(name).or_default() += 1;
            return Outcome::Done(ids(call, &whole.body));
        }
        // Whoever has deleted the conversation meanwhile may have been killed before that was done.
        let is_unknown = call.dialect == Dialect::OpenAi && whole.status == 404;
        // A stream has begun before it tells of a failure.
        let asked = matches!(call.deeds.first(), Some(Deed::Ask(..)));
        if !call.may_fail {
            let deed = call.deeds.first().map_or("", Deed::name);
            let said = String::from_utf8_lossy(&whole.body);
            let said: String = said.chars().take(500).collect();
            self.wrong.push(format!(
                "client {}: {deed} through {} was answered {} {said}",
                self.number,
                call.dialect.name(),
                whole.status
            ));
        }
        if asked && (whole.status == 200 || is_unknown) {
            return Outcome::Broken {
                begun: whole.status == 200,
                ended: false,
            };
        }
        Outcome::Refused
    }
}

/// Notes that a conversation was made, as a whole.
pub(super) fn created(made: &mut Conversation, deeds: &[Deed], outcome: &Outcome) {
    for deed in deeds {
        match (deed, outcome) {
            (Deed::Ask(..), outcome) => made.learn(deed, outcome),
            // The ids are those of the conversation.
            (_, Outcome::Done(_) | Outcome::Broken { .. }) => {
                made.learn(deed, &Outcome::Done(Vec::new()));
            }
            (_, Outcome::Refused) => {}
        }
    }
}
