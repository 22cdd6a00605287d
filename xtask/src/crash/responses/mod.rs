//! OpenAI's responses: those that stand alone, with a journal of their own; and those in a conversation,
//! which the conversation's journal has as questions and answers.

mod calls;
mod check;
mod load;
mod verify;

use super::journal::{Answered, Known, Pairs, Presence};

pub(super) use calls::told;
pub(super) use load::body;
pub(super) use verify::{adopt, compare, compare_told, seek};

/// A response that stands alone.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// None until a client was told of it.
    pub(super) id: Option<u128>,
    /// The response that it continues.
    pub(super) previous: Option<u128>,
    /// What is asked.
    pub(super) input: String,
    pub(super) instructions: String,
    /// What a tool is for.
    pub(super) tool: String,
    pub(super) metadata: Pairs,
    pub(super) known: Known,
    pub(super) state: Answered,
    pub(super) presence: Presence,
    /// Something was sent since it was last compared.
    pub(super) touched: bool,
}

/// A response that must not be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absent {
    pub(super) id: u128,
    /// Whether it was there and was deleted. Otherwise it was never to be stored.
    pub(super) is_deleted: bool,
    /// It was noted since the last comparison.
    pub(super) fresh: bool,
}

/// What a client knows of responses that stand alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    pub(super) replies: Vec<Reply>,
    /// Some that may have been made.
    pub(super) making: Vec<Reply>,
    pub(super) absent: Vec<Absent>,
    /// The user's newest response when it was last compared: what was made since has a higher id.
    pub(super) newest: u128,
}

impl Journal {
    /// How many there are for certain, and how many there may be.
    pub(super) fn counts(&self) -> (usize, usize) {
        let certain = |reply: &&Reply| reply.presence == Presence::There;
        let most = self.replies.len() + self.making.len();
        (self.replies.iter().filter(certain).count(), most)
    }

    /// Notes that all of them are about to be deleted.
    pub(super) fn leave(&mut self) {
        for reply in &mut self.replies {
            (reply.presence, reply.touched) = (Presence::Leaving, true);
        }
    }

    /// Notes that none of them is there any more.
    pub(super) fn bury_all(&mut self) {
        for reply in std::mem::take(&mut self.replies) {
            self.bury(&reply);
        }
    }

    /// Notes that one is deleted.
    pub(super) fn bury(&mut self, reply: &Reply) {
        self.absent.extend(reply.id.map(|id| Absent {
            id,
            is_deleted: true,
            fresh: true,
        }));
    }
}

/// The form of an id on the wire.
pub(super) fn text(id: u128) -> String {
    format!("resp_{id:032x}")
}
