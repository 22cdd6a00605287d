//! What OpenHands' agent has answered, and what OpenHands notes by itself among a conversation's events: how
//! the conversation began, and when the agent began to answer and had ended.

use crate::crash::calls::PREAMBLE;
use crate::crash::canary;
use crate::crash::dialect::Dialect;
use crate::crash::journal::{Conversation, Kind};
use crate::crash::read::{Row, RowId};

/// What a conversation with a message begins with; the message has number 2.
const OPENING: &[(u64, &str)] = &[(0, "loading"), (1, "system"), (3, "change_agent_state")];
/// The agent begins to answer.
pub(in crate::crash) const BEGINS: &str = "running";
/// It has answered, and waits.
pub(in crate::crash) const ENDS: &str = "awaiting_user_input";

/// Whether nobody has posted an event.
pub(super) fn is_own(row: &Row) -> bool {
    row.kind == Kind::Event && canary::within(&row.text).is_none()
}

/// Whether a row is an answer of the agent's.
pub(super) fn is_agents(of: &Conversation, row: &Row) -> bool {
    row.kind == Kind::Assistant && is_about_said(of, row)
}

/// Whether a row has what was said to the agent.
fn is_about_said(of: &Conversation, row: &Row) -> bool {
    let canary = canary::within(&row.text);
    canary.is_some_and(|canary| of.agent.said.contains(canary))
}

/// What is being read of the agent's turns.
#[derive(Default)]
struct Turns<'a> {
    /// What was said to the agent last before the turn began, and what was said since: the model may have read
    /// either as the last.
    last: Vec<&'a str>,
    is_running: bool,
    /// The number of an answer whose end comes next.
    answered: Option<u64>,
    noted: Vec<(u64, String)>,
    wrong: Vec<String>,
}

/// Every answer of the agent's is between the notes that it begins and has ended, and those come in no other
/// way: a turn that the kill has interrupted has a beginning and no end. It echoes what was said to the agent
/// last, whatever else was asked and answered meanwhile. What was there once stays, and nothing comes unless
/// something was said.
pub(super) fn check(of: &mut Conversation, rows: &[Row]) -> Vec<String> {
    let opening = match of.maker {
        Dialect::OpenHands => OPENING,
        Dialect::OpenAi | Dialect::Dify | Dialect::Coze => &[],
    };
    let mut turns = Turns::default();
    for row in rows {
        let RowId::Number(number) = row.id else {
            continue;
        };
        if is_agents(of, row) {
            // What an earlier one echoes may have been deleted or changed since.
            let is_new = of.agent.noted.iter().all(|(at, _)| *at != number);
            turns.answer(number, row, is_new);
        } else if is_own(row) {
            turns.note(number, row, opening.len());
        }
        if row.kind == Kind::User && is_about_said(of, row) {
            turns.last.push(&row.text);
        }
    }
    let Turns {
        noted,
        answered,
        mut wrong,
        ..
    } = turns;
    if let Some(answer) = answered {
        wrong.push(format!("the answer {answer} has no end"));
    }
    wrong.extend(stays(of, opening, &noted));
    of.agent.noted = noted;
    of.agent.heard.clear();
    (of.agent.is_busy, of.agent.is_asked) = (false, false);
    wrong
}

/// What is wrong with this beside what was noted before.
fn stays(of: &Conversation, opening: &[(u64, &str)], noted: &[(u64, String)]) -> Option<String> {
    let agent = &of.agent;
    let begins = noted.iter().map(|(at, what)| (*at, what.as_str()));
    let is_open = begins.take(opening.len()).eq(opening.iter().copied());
    let stays = noted.starts_with(&agent.noted);
    let is_heard = agent.heard.iter().all(|heard| noted.contains(heard));
    let is_more = noted.len() > agent.noted.len().max(opening.len());
    if is_open && stays && is_heard && (agent.is_asked || !is_more) {
        return None;
    }
    let list = |all: &[(u64, String)]| -> Vec<String> {
        let brief = |(at, what): &(u64, String)| format!("{at} {what:.40}");
        all.iter().map(brief).collect()
    };
    let (is, was, heard) = (list(noted), list(&agent.noted), list(&agent.heard));
    Some(format!(
        "its own events are {is:?}, were {was:?}, heard were {heard:?}"
    ))
}

impl Turns<'_> {
    fn answer(&mut self, number: u64, row: &Row, is_new: bool) {
        if !self.is_running || self.answered.is_some() {
            self.wrong
                .push(format!("the answer {number} has no beginning"));
        }
        let echoed = row.text.strip_prefix(PREAMBLE);
        if is_new && !self.last.iter().any(|last| Some(*last) == echoed) {
            self.wrong
                .push(format!("the answer {number} echoes something else"));
        }
        self.answered = Some(number);
        self.noted.push((number, row.text.clone()));
    }

    fn note(&mut self, number: u64, row: &Row, opening_len: usize) {
        let is_opening = self.noted.len() < opening_len;
        self.noted.push((number, row.text.clone()));
        match row.text.as_str() {
            _ if is_opening => {}
            BEGINS if self.answered.is_none() => {
                self.is_running = true;
                let before = self.last.len().saturating_sub(1);
                self.last.drain(..before);
            }
            ENDS if self.is_running && self.answered.is_some_and(|at| at + 1 == number) => {
                (self.is_running, self.answered) = (false, None);
            }
            other => self
                .wrong
                .push(format!("its own event {number} is {other:?}")),
        }
    }
}
