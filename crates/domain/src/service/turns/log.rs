//! What is said in a turn, from the one that says it to those who read it.

use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use crate::ids::{ConversationId, ItemId, TurnId};
use crate::model::{TurnState, Usage};
use crate::sync::{Mutex, point};

/// What happens in a turn, in order. The last one is [`TurnEvent::Ended`], exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEvent {
    /// The next piece of the answer.
    Text(Arc<str>),
    /// It is over, and stored.
    Ended(Arc<TurnEnd>),
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnEnd {
    /// How.
    pub state: TurnState,
    /// The answer, as far as it came; empty if its conversation was deleted meanwhile.
    pub text: String,
    /// The item that holds the answer, if there is any.
    pub answer: Option<ItemId>,
    /// What it cost.
    pub usage: Usage,
}

/// A reader of a turn's events, from the first on. Dropping it changes nothing for the turn.
pub struct TurnStream {
    /// The turn.
    pub turn: TurnId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The items of its input.
    pub input: Vec<ItemId>,
    reader: Reader,
}

impl TurnStream {
    pub(super) const fn new(
        turn: TurnId,
        conversation: ConversationId,
        input: Vec<ItemId>,
        reader: Reader,
    ) -> Self {
        Self {
            turn,
            conversation,
            input,
            reader,
        }
    }

    /// The next event; none after the last.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        self.reader.next().await
    }
}

/// What was said in one turn. Bounded by the longest answer that is accepted.
#[derive(Default)]
pub(super) struct Log {
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    pieces: Vec<Arc<str>>,
    end: Option<Arc<TurnEnd>>,
    /// Its conversation is deleted: nothing but that it ended is told any more.
    forgotten: bool,
}

impl Log {
    fn with<T>(&self, work: impl FnOnce(&mut Said) -> T) -> T {
        work(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its conversation is deleted: from here on nobody reads what was said or will be.
    pub(super) fn forget(&self) {
        self.with(|said| {
            said.forgotten = true;
            said.pieces = Vec::new();
        });
    }
}

/// Who tells what happens. There is one, and when it is gone readers wait for nothing more.
pub(super) struct Teller {
    log: Arc<Log>,
    told: watch::Sender<()>,
}

impl Teller {
    /// The teller of a log, with its reader.
    pub(super) fn of(log: Arc<Log>) -> (Self, Reader) {
        let (told, changed) = watch::channel(());
        let reader = Reader {
            log: Arc::clone(&log),
            changed,
            read: 0,
            over: false,
        };
        (Self { log, told }, reader)
    }

    /// Tells a piece of the answer; false if nobody is to have it.
    pub(super) fn say(&self, piece: &str) -> bool {
        let kept = self.log.with(|said| {
            if !said.forgotten {
                said.pieces.push(piece.into());
            }
            !said.forgotten
        });
        self.told.send_replace(());
        kept
    }

    /// Its conversation is deleted: nothing is told any more but the end.
    pub(super) fn forget(&self) {
        self.log.forget();
    }

    /// Tells the end.
    pub(super) fn end(&self, mut end: TurnEnd) {
        self.log.with(|said| {
            if said.forgotten {
                end.text = String::new();
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
    read: usize,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<TurnEvent> {
        loop {
            if self.over {
                return None;
            }
            if let Some(event) = self.told() {
                return Some(event);
            }
            point();
            if self.changed.changed().await.is_err() {
                // The teller is gone. What it told last may have come after the look above.
                let last = self.told();
                self.over |= last.is_none();
                return last;
            }
        }
    }

    /// What was told already and not read yet.
    fn told(&mut self) -> Option<TurnEvent> {
        let (piece, end) = self
            .log
            .with(|said| (said.pieces.get(self.read).cloned(), said.end.clone()));
        if let Some(piece) = piece {
            self.read += 1;
            return Some(TurnEvent::Text(piece));
        }
        let end = end?;
        self.over = true;
        Some(TurnEvent::Ended(end))
    }
}
