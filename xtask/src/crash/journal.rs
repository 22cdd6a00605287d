//! What a client has sent, and what it knows of it: not sent, sent with an unknown outcome, or
//! acknowledged.

use std::collections::BTreeMap;

use super::dialect::{Dialect, Name};
use super::said::Agent;

/// Canaries in a question to a response: what is asked, the instructions, a tool, and the metadata.
const CANARIES_ALONE: usize = 4;

/// A conversation's metadata.
pub(super) type Pairs = BTreeMap<String, String>;

/// A value that is replaced as a whole: what was acknowledged last, and what may have replaced it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell<T> {
    /// The last that was acknowledged.
    pub(super) held: T,
    /// One that was sent since.
    pub(super) sent: Option<T>,
}

impl<T: PartialEq> Cell<T> {
    pub(super) const fn new(held: T) -> Self {
        Self { held, sent: None }
    }

    pub(super) fn send(&mut self, value: T) {
        self.sent = Some(value);
    }

    pub(super) fn acknowledge(&mut self) {
        if let Some(value) = self.sent.take() {
            self.held = value;
        }
    }

    /// Takes what was seen for what is; false if it can be neither.
    pub(super) fn settle(&mut self, seen: &T) -> bool {
        match self.sent.take() {
            Some(sent) if sent == *seen => {
                self.held = sent;
                true
            }
            _ => self.held == *seen,
        }
    }
}

/// What an item is, as far as dialects treat it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The user's words: every dialect shows them.
    User,
    /// The assistant's: the same.
    Assistant,
    /// The system's: OpenAI's alone.
    System,
    /// A tool call: OpenAI's alone.
    Call,
    /// An event that is no message: OpenHands' alone.
    Event,
}

/// Whether an item is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nobody has deleted it.
    There,
    /// A delete was sent.
    Leaving,
    /// A delete was acknowledged.
    Gone,
}

/// An item.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The canary in its text, which no other item has, but for the answer to a question.
    pub(super) canary: String,
    pub(super) kind: Kind,
    pub(super) text: Cell<String>,
    /// Its id's bits, where they are known.
    pub(super) id: Option<u128>,
    pub(super) presence: Presence,
}

impl Item {
    pub(super) const fn new(kind: Kind, canary: String, text: String) -> Self {
        Self {
            canary,
            kind,
            text: Cell::new(text),
            id: None,
            presence: Presence::There,
        }
    }
}

/// What is known of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Sent, outcome unknown.
    Sent,
    /// Acknowledged.
    Acknowledged,
    /// Not done, and never will be.
    Refused,
}

/// What is known of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It may be there; if it is not, the turn has failed.
    Perhaps,
    /// It is there.
    Yes,
    /// The server was killed before it was there: the turn has failed, for ever.
    Failed,
}

/// A response that a client was told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) id: u128,
    pub(super) presence: Presence,
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) item: Item,
    pub(super) state: Answered,
    /// The response that it is the output of, where that is known.
    pub(super) response: Option<Told>,
}

/// The items of one call: all of them or none.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Calls of one step were sent at the same time; their order is anybody's guess.
    pub(super) step: u64,
    pub(super) known: Known,
    pub(super) items: Vec<Item>,
    pub(super) answer: Option<Answer>,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) maker: Dialect,
    pub(super) name: Name,
    pub(super) title: Cell<Option<String>>,
    pub(super) metadata: Cell<Pairs>,
    /// The section, where a client was told which.
    pub(super) section: Cell<Option<u64>>,
    pub(super) active: Cell<bool>,
    pub(super) entries: Vec<Entry>,
    /// A delete was sent.
    pub(super) leaving: bool,
    /// An answer may still come that nobody waits for.
    pub(super) loose: bool,
    pub(super) agent: Agent,
    /// Something was sent since it was last compared.
    pub(super) touched: bool,
    /// It takes many items.
    pub(super) large: bool,
    pub(super) step: u64,
}

/// One call, as far as it changes something.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Items are added.
    Add(Vec<Item>),
    /// A question is asked; the second is the answer.
    Ask(Item, Item),
    /// Something is said to OpenHands' agent.
    Say(Item),
    /// The response that answers the question with this canary is deleted; its items stay.
    Forget(String),
    /// Something about a response that stands alone.
    Alone(Errand),
    Title(String),
    Metadata(Pairs),
    Clear,
    /// The item with this canary is deleted.
    Remove(String),
    /// The item with this canary is changed.
    Edit(String, String),
    Active(bool),
    Delete,
    /// Nothing is changed.
    Look,
}

/// What is done with a response that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Ask,
    /// Nothing of it is to be stored.
    AskInPassing,
    Read,
    Delete,
}

impl Deed {
    /// Its name in the summary.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "append",
            Self::Ask(..) => "ask",
            Self::Say(_) => "say",
            Self::Forget(_) => "delete response",
            Self::Alone(Errand::Ask) => "respond",
            Self::Alone(Errand::AskInPassing) => "respond unstored",
            Self::Alone(Errand::Read) => "read response",
            Self::Alone(Errand::Delete) => "delete lone response",
            Self::Title(_) => "rename",
            Self::Metadata(_) => "metadata",
            Self::Clear => "clear",
            Self::Remove(_) => "delete item",
            Self::Edit(..) => "edit item",
            Self::Active(_) => "agent",
            Self::Delete => "delete",
            Self::Look => "read",
        }
    }

    /// What it says to OpenHands' agent.
    pub(super) const fn said(&self) -> Option<&Item> {
        if let Self::Say(said) = self {
            Some(said)
        } else {
            None
        }
    }

    /// Canaries in it.
    pub(super) fn canaries(&self) -> usize {
        match self {
            Self::Add(items) => items.len(),
            Self::Metadata(pairs) => pairs.len(),
            Self::Ask(..) | Self::Say(_) | Self::Title(_) | Self::Edit(..) => 1,
            Self::Alone(Errand::Ask | Errand::AskInPassing) => CANARIES_ALONE,
            Self::Clear
            | Self::Remove(_)
            | Self::Forget(_)
            | Self::Alone(Errand::Read | Errand::Delete)
            | Self::Active(_)
            | Self::Delete
            | Self::Look => 0,
        }
    }
}

/// What a client learns of a call.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It is done; these are the ids of its items, where they were told, or that of its section.
    Done(Vec<u128>),
    /// It is not done.
    Refused,
    /// The connection broke off. Whether an answer to a question had begun, and whether it had ended.
    Broken { begun: bool, ended: bool },
}

impl Conversation {
    /// One that is about to be made.
    pub(super) fn new(maker: Dialect) -> Self {
        Self {
            maker,
            name: Name::default(),
            title: Cell::default(),
            metadata: Cell::default(),
            section: Cell::default(),
            active: Cell::new(maker == Dialect::OpenHands),
            entries: Vec::new(),
            leaving: false,
            loose: false,
            agent: Agent::default(),
            touched: true,
            large: false,
            step: 0,
        }
    }

    /// Whether something may still be answered that nobody waits for.
    pub(super) const fn is_busy(&self) -> bool {
        self.loose || self.agent.is_busy
    }

    /// Whether a response can read what is there: calls of tools have no outputs here.
    pub(super) fn is_readable(&self) -> bool {
        let items = self.entries.iter().flat_map(|entry| &entry.items);
        let mut there = items.filter(|item| item.presence != Presence::Gone);
        !there.any(|item| item.kind == Kind::Call)
    }

    /// The canary of a question and the response that has answered it, where that may be deleted.
    pub(super) fn responses(&self) -> impl Iterator<Item = (&str, u128)> {
        self.entries.iter().filter_map(|entry| {
            let answer = entry.answer.as_ref()?;
            let told = answer.response?;
            let is_done = answer.state == Answered::Yes && told.presence == Presence::There;
            is_done.then_some((answer.item.canary.as_str(), told.id))
        })
    }

    /// The items that are there as far as is known.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        let known = |entry: &&Entry| entry.known == Known::Acknowledged;
        let there = |item: &&Item| item.presence == Presence::There;
        self.entries
            .iter()
            .filter(known)
            .flat_map(|entry| {
                let answer = entry.answer.as_ref();
                let answer = answer.filter(|answer| answer.state == Answered::Yes);
                entry.items.iter().chain(answer.map(|answer| &answer.item))
            })
            .filter(there)
    }

    /// The item with this canary, where it is not an answer.
    fn item(&mut self, canary: &str) -> Option<&mut Item> {
        let mut items = self.entries.iter_mut().flat_map(|entry| &mut entry.items);
        items.find(|item| item.canary == canary)
    }

    /// Notes that a call is being sent.
    pub(super) fn send(&mut self, deed: &Deed) {
        self.touched = true;
        match deed {
            Deed::Add(items) => self.enter(items.clone(), None),
            Deed::Ask(question, answer) => {
                let answer = Answer {
                    item: answer.clone(),
                    state: Answered::Perhaps,
                    response: None,
                };
                self.enter(vec![question.clone()], Some(answer));
            }
            Deed::Say(said) => {
                self.agent.said.insert(said.canary.clone());
                (self.agent.is_busy, self.agent.is_asked) = (true, true);
                self.enter(vec![said.clone()], None);
            }
            Deed::Forget(canary) => self.set_presence(canary, Presence::Leaving),
            Deed::Title(title) => self.title.send(Some(title.clone())),
            Deed::Metadata(pairs) => self.metadata.send(pairs.clone()),
            Deed::Clear => self.section.send(None),
            Deed::Remove(canary) => {
                if let Some(item) = self.item(canary) {
                    item.presence = Presence::Leaving;
                }
            }
            Deed::Edit(canary, text) => {
                if let Some(item) = self.item(canary) {
                    item.text.send(text.clone());
                }
            }
            Deed::Active(active) => self.active.send(*active),
            Deed::Delete => self.leaving = true,
            Deed::Look | Deed::Alone(_) => {}
        }
    }

    fn enter(&mut self, items: Vec<Item>, answer: Option<Answer>) {
        self.entries.push(Entry {
            step: self.step,
            known: Known::Sent,
            items,
            answer,
        });
    }

    /// Notes what came of it. A delete that is done is the caller's business.
    pub(super) fn learn(&mut self, deed: &Deed, outcome: &Outcome) {
        match outcome {
            Outcome::Done(ids) => self.done(deed, ids),
            Outcome::Refused => self.refused(deed),
            Outcome::Broken { begun, ended } => {
                if let Deed::Ask(question, _) = deed
                    && *begun
                {
                    self.asked(&question.canary, *ended);
                }
            }
        }
    }

    /// Notes which response answers a question.
    pub(super) fn respond(&mut self, canary: &str, id: u128) {
        if let Some(answer) = self.answer_to(canary) {
            let presence = Presence::There;
            answer.response = Some(Told { id, presence });
        }
    }

    fn answer_to(&mut self, canary: &str) -> Option<&mut Answer> {
        self.entry_of(canary)?.answer.as_mut()
    }

    fn set_presence(&mut self, canary: &str, presence: Presence) {
        let answer = self.answer_to(canary);
        if let Some(told) = answer.and_then(|answer| answer.response.as_mut()) {
            told.presence = presence;
        }
    }

    fn entry_of(&mut self, canary: &str) -> Option<&mut Entry> {
        let has = |entry: &&mut Entry| entry.items.iter().any(|item| item.canary == canary);
        self.entries.iter_mut().find(has)
    }

    /// A question is durable before its answer begins.
    fn asked(&mut self, canary: &str, ended: bool) {
        if let Some(entry) = self.entry_of(canary) {
            entry.known = Known::Acknowledged;
            if let Some(answer) = entry.answer.as_mut().filter(|_| ended) {
                answer.state = Answered::Yes;
            }
        }
    }

    fn done(&mut self, deed: &Deed, ids: &[u128]) {
        match deed {
            Deed::Add(items) => {
                let first = items.first().map(|item| item.canary.clone());
                if let Some(entry) = first.and_then(|canary| self.entry_of(&canary)) {
                    entry.known = Known::Acknowledged;
                    for (item, id) in entry.items.iter_mut().zip(ids) {
                        item.id = Some(*id);
                    }
                }
            }
            Deed::Ask(question, _) => self.asked(&question.canary, true),
            Deed::Say(said) => self.asked(&said.canary, false),
            Deed::Forget(canary) => self.set_presence(canary, Presence::Gone),
            Deed::Title(_) => self.title.acknowledge(),
            Deed::Metadata(_) => self.metadata.acknowledge(),
            Deed::Clear => {
                let section = ids.first().and_then(|id| u64::try_from(*id).ok());
                self.section = Cell::new(section);
            }
            Deed::Remove(canary) => {
                if let Some(item) = self.item(canary) {
                    item.presence = Presence::Gone;
                }
            }
            Deed::Edit(canary, _) => {
                if let Some(item) = self.item(canary) {
                    item.text.acknowledge();
                }
            }
            Deed::Active(_) => self.active.acknowledge(),
            Deed::Delete | Deed::Look | Deed::Alone(_) => {}
        }
    }

    fn refused(&mut self, deed: &Deed) {
        match deed {
            Deed::Add(items) => self.refuse(items.first()),
            Deed::Ask(question, _) | Deed::Say(question) => self.refuse(Some(question)),
            Deed::Forget(canary) => self.set_presence(canary, Presence::There),
            Deed::Title(_) => self.title.sent = None,
            Deed::Metadata(_) => self.metadata.sent = None,
            Deed::Clear => self.section.sent = None,
            Deed::Remove(canary) => {
                if let Some(item) = self.item(canary) {
                    item.presence = Presence::There;
                }
            }
            Deed::Edit(canary, _) => {
                if let Some(item) = self.item(canary) {
                    item.text.sent = None;
                }
            }
            Deed::Active(_) => self.active.sent = None,
            Deed::Delete => self.leaving = false,
            Deed::Look | Deed::Alone(_) => {}
        }
    }

    fn refuse(&mut self, first: Option<&Item>) {
        if let Some(entry) = first.and_then(|first| self.entry_of(&first.canary)) {
            entry.known = Known::Refused;
        }
    }
}
