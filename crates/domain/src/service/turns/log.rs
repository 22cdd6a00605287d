//! What is said in a turn, from the one that says it to those who read it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::ids::{ConversationId, ItemId, TurnId};
use crate::model::{ItemKind, NewItem, Role, TurnState, Usage};
use crate::sync::{Mutex, point};

/// What happens in a turn, in order. Items come one after the other: each begins, comes in pieces, and is
/// done before the next. The last event is [`TurnEvent::Ended`], exactly once; the item before it may have
/// begun and not be done, if the turn was stopped by a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEvent {
    /// The next item of the output begins.
    Begun(Arc<Begun>),
    /// The next piece of the item that began last. Never empty.
    Piece {
        /// What it is a piece of.
        kind: PieceKind,
        /// The piece.
        text: String,
    },
    /// The item that began last is complete, or as complete as it will be.
    Done(Arc<NewItem>),
    /// It is over, and stored.
    Ended(Arc<TurnEnd>),
}

/// An item of the output that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its place in the output, from 0.
    pub index: usize,
    /// Its id.
    pub id: ItemId,
    /// What it is.
    pub what: OutputKind,
}

/// What the items of an output can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Words to the person.
    Message,
    /// What the model thinks.
    Reasoning,
    /// The model asks for a function.
    FunctionCall {
        /// What the output will name it by.
        call_id: String,
        /// The function's name.
        name: String,
    },
}

/// What a piece is a piece of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Of a message: text.
    Text,
    /// Of a message: a refusal.
    Refusal,
    /// Of what the model thinks.
    Reasoning,
    /// Of a call's arguments.
    Arguments,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnEnd {
    /// How.
    pub state: TurnState,
    /// When.
    pub at: Timestamp,
    /// The output, as it is stored, as far as it came; nothing if its conversation was deleted meanwhile.
    pub output: Vec<Arc<NewItem>>,
    /// What it cost.
    pub usage: Usage,
    /// Why it failed, in words for the client, if the model's server gave any. Content.
    pub error: Option<String>,
    /// When to try again, if the model's server had too much to do and said so.
    pub retry_after: Option<Duration>,
    /// Whether its conversation was deleted meanwhile.
    pub is_deleted: bool,
}

impl TurnEnd {
    /// An end of which nothing else is known.
    pub const fn of(state: TurnState, at: Timestamp) -> Self {
        Self {
            state,
            at,
            output: Vec::new(),
            usage: Usage {
                input_tokens: 0,
                cached_tokens: 0,
                output_tokens: 0,
                reasoning_tokens: 0,
            },
            error: None,
            retry_after: None,
            is_deleted: false,
        }
    }

    /// The words to the person, put together.
    pub fn text(&self) -> String {
        self.messages().map(|item| item.content.text()).collect()
    }

    /// What the model has thought, put together.
    pub fn thought(&self) -> String {
        let thoughts = self.output.iter();
        thoughts.map(|item| item.content.thought()).collect()
    }

    /// The item that holds the words to the person, the last if there are several.
    pub fn answer(&self) -> Option<ItemId> {
        self.messages().last().map(|item| item.id)
    }

    fn messages(&self) -> impl Iterator<Item = &Arc<NewItem>> {
        let is_message =
            |item: &&Arc<NewItem>| item.content.kind == ItemKind::Message(Role::Assistant);
        self.output.iter().filter(is_message)
    }
}

/// A reader of a turn's events, from the first on. Dropping it changes nothing for the turn.
pub struct TurnStream {
    /// The turn.
    pub turn: TurnId,
    /// Its conversation; one that nobody sees if it stands alone, none if it is not stored.
    pub conversation: Option<ConversationId>,
    /// The items of its input; empty for whoever comes later.
    pub input: Vec<ItemId>,
    /// The name of the model that answers.
    pub model: String,
    /// When it began.
    pub started_at: Timestamp,
    pub(super) reader: Reader,
}

impl TurnStream {
    /// The next event; none after the last.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        self.reader.next().await
    }

    /// Waits for the end, whatever is said before it; none if the turn has got lost.
    pub async fn end(&mut self) -> Option<Arc<TurnEnd>> {
        self.reader.end().await
    }
}

/// What was said in one turn: all text in one piece, and marks that say what it is. Bounded by the longest
/// answer that is accepted.
pub(super) struct Log {
    said: Mutex<Said>,
    changed: watch::Receiver<()>,
}

#[derive(Default)]
struct Said {
    text: String,
    marks: Vec<Mark>,
    begun: Vec<Arc<Begun>>,
    done: Vec<Arc<NewItem>>,
    end: Option<Arc<TurnEnd>>,
    /// Its conversation is deleted: nothing but that it ended is told any more.
    forgotten: bool,
}

/// One event, without its text.
#[derive(Clone, Copy)]
enum Mark {
    Begun,
    /// The text goes from where the one before ends to here.
    Piece(PieceKind, u32),
    Done,
}

impl Log {
    /// A log in which nothing is said yet, with the one who tells.
    pub(super) fn new() -> (Arc<Self>, Teller) {
        let (told, changed) = watch::channel(());
        let log = Arc::new(Self {
            said: Mutex::new(Said::default()),
            changed,
        });
        let teller = Teller {
            log: Arc::clone(&log),
            told,
        };
        (log, teller)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Said) -> T) -> T {
        work(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its conversation is deleted: from here on nobody reads what was said or will be.
    pub(super) fn forget(&self) {
        self.with(|said| {
            *said = Said {
                end: said.end.take(),
                forgotten: true,
                ..Said::default()
            };
        });
    }

    /// One who reads it from the beginning.
    pub(super) fn reader(self: &Arc<Self>) -> Reader {
        Reader {
            log: Arc::clone(self),
            changed: self.changed.clone(),
            marks: 0,
            begun: 0,
            done: 0,
            text: 0,
            over: false,
        }
    }
}

/// Who tells what happens. There is one, and when it is gone readers wait for nothing more.
pub(super) struct Teller {
    log: Arc<Log>,
    told: watch::Sender<()>,
}

impl Teller {
    /// Tells that an item begins; false if nobody is to have it.
    pub(super) fn begin(&self, begun: Begun) -> bool {
        self.tell(|said| {
            said.begun.push(Arc::new(begun));
            said.marks.push(Mark::Begun);
        })
    }

    /// Tells a piece of the item; false if nobody is to have it.
    pub(super) fn piece(&self, kind: PieceKind, piece: &str) -> bool {
        self.tell(|said| {
            said.text.push_str(piece);
            let end = u32::try_from(said.text.len()).unwrap_or(u32::MAX);
            said.marks.push(Mark::Piece(kind, end));
        })
    }

    /// Tells that the item is done; false if nobody is to have it.
    pub(super) fn done(&self, item: Arc<NewItem>) -> bool {
        self.tell(|said| {
            said.done.push(item);
            said.marks.push(Mark::Done);
        })
    }

    fn tell(&self, work: impl FnOnce(&mut Said)) -> bool {
        let kept = self.log.with(|said| {
            if !said.forgotten {
                work(said);
            }
            !said.forgotten
        });
        self.told.send_replace(());
        kept
    }

    /// One who reads it from the beginning.
    pub(super) fn reader(&self) -> Reader {
        self.log.reader()
    }

    /// The bytes of every piece of every item that is done.
    pub(super) fn pieces(&self) -> Vec<Vec<u32>> {
        self.log.with(|said| {
            let (mut items, mut pieces, mut before) = (Vec::new(), Vec::new(), 0);
            for mark in &said.marks {
                match mark {
                    Mark::Begun => pieces.clear(),
                    Mark::Piece(_, end) => {
                        pieces.push(end.saturating_sub(before));
                        before = *end;
                    }
                    Mark::Done => items.push(std::mem::take(&mut pieces)),
                }
            }
            items
        })
    }

    /// Its conversation is deleted: nothing is told any more but the end.
    pub(super) fn forget(&self) {
        self.log.forget();
    }

    /// Tells the end.
    pub(super) fn end(&self, mut end: TurnEnd) {
        self.log.with(|said| {
            if said.forgotten {
                end = TurnEnd {
                    is_deleted: true,
                    ..TurnEnd::of(TurnState::Cancelled, end.at)
                };
            }
            said.end = Some(Arc::new(end));
        });
        self.told.send_replace(());
    }
}

/// Who reads it.
pub(super) struct Reader {
    log: Arc<Log>,
    changed: watch::Receiver<()>,
    marks: usize,
    begun: usize,
    done: usize,
    text: usize,
    over: bool,
}

impl Reader {
    pub(super) async fn next(&mut self) -> Option<TurnEvent> {
        self.wait(Self::told).await
    }

    pub(super) async fn end(&mut self) -> Option<Arc<TurnEnd>> {
        self.wait(Self::told_end).await
    }

    /// Waits until `look` finds something; none if there is nothing more to come.
    async fn wait<T: Send>(&mut self, look: fn(&mut Self) -> Option<T>) -> Option<T> {
        loop {
            if self.over {
                return None;
            }
            if let Some(found) = look(self) {
                return Some(found);
            }
            point();
            if self.changed.changed().await.is_err() {
                // The teller is gone. What it told last may have come after the look above.
                let last = look(self);
                self.over |= last.is_none();
                return last;
            }
        }
    }

    /// What was told already and not read yet.
    fn told(&mut self) -> Option<TurnEvent> {
        let log = Arc::clone(&self.log);
        log.with(|said| {
            let Some(mark) = said.marks.get(self.marks) else {
                let end = said.end.clone()?;
                self.over = true;
                return Some(TurnEvent::Ended(end));
            };
            self.marks += 1;
            Some(match *mark {
                Mark::Begun => {
                    self.begun += 1;
                    TurnEvent::Begun(Arc::clone(said.begun.get(self.begun - 1)?))
                }
                Mark::Piece(kind, end) => {
                    let end = usize::try_from(end).unwrap_or(usize::MAX);
                    let text = said.text.get(self.text..end)?.to_owned();
                    self.text = end;
                    TurnEvent::Piece { kind, text }
                }
                Mark::Done => {
                    self.done += 1;
                    TurnEvent::Done(Arc::clone(said.done.get(self.done - 1)?))
                }
            })
        })
    }

    fn told_end(&mut self) -> Option<Arc<TurnEnd>> {
        let end = self.log.with(|said| said.end.clone())?;
        self.over = true;
        Some(end)
    }
}
