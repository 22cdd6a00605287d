//! Pages of lists. Every list is keyset-paged: by a place in the order, never by a count of rows.

use crate::fault::Reason;
use crate::ids::{AppId, ConversationRef, TurnId};
use crate::limits::PAGE_ROWS_MAX;
use crate::model::item::{ItemRef, ItemType};

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ascending.
    OldestFirst,
    /// Descending.
    NewestFirst,
}

/// What conversations are sorted by. Equal times are told apart by the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// When they were made.
    Created,
    /// When they last changed.
    Updated,
}

/// Where a page lies, in the list's own order.
///
/// Only `after`: the rows that follow it. Only `before`: the rows next to it, in the list's order,
/// and [`Page::has_more`] tells of rows before those. Both: the rows that follow `after`, up to
/// `before`. None: the first rows. An anchor that is gone still marks its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor<P> {
    /// The row that the page comes after.
    pub after: Option<P>,
    /// The row that the page comes before.
    pub before: Option<P>,
}

impl<P> Default for Cursor<P> {
    fn default() -> Self {
        Self {
            after: None,
            before: None,
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// Whether there are rows beyond, in the direction that the page was read.
    pub has_more: bool,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            has_more: false,
        }
    }
}

/// A page of a principal's conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationQuery {
    /// What they are sorted by.
    pub sort: Sort,
    /// Which way.
    pub order: Order,
    /// Where the page lies.
    pub cursor: Cursor<ConversationRef>,
    /// Only those of this app.
    pub app: Option<AppId>,
    /// At most so many rows; 0 gives an empty page.
    pub rows_max: u32,
}

/// Which items are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemFilter {
    /// All.
    Everything,
    /// All but OpenHands's events: what OpenAI can show.
    NoEvents,
    /// Only those of a type, `message` included; never OpenHands's events, whatever the type.
    OfType(ItemType),
    /// Messages of the user and of the assistant: what Dify and Coze can show.
    Dialogue,
    /// Those and OpenHands's events: what OpenHands can show.
    DialogueAndEvents,
}

/// A span of sequence numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl SeqRange {
    /// Every sequence number there can be.
    pub const ALL: Self = Self {
        first: 0,
        last: i64::MAX.unsigned_abs(),
    };
}

/// A place among items.
pub type Position = ItemRef;

/// A page of a conversation's items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemQuery {
    /// Which way.
    pub order: Order,
    /// Where the page lies.
    pub cursor: Cursor<Position>,
    /// Only those within; unlike the cursor, this says nothing about where to start.
    pub within: SeqRange,
    /// Only these.
    pub filter: ItemFilter,
    /// Leave out the items of a turn that is still running.
    pub settled: bool,
    /// Only those of this turn; none if it was removed.
    pub turn: Option<TurnId>,
    /// At most so many rows; 0 gives an empty page. A page of very large items may end earlier.
    pub rows_max: u32,
}

impl ItemQuery {
    /// The first page of everything.
    pub const fn first(order: Order, rows_max: u32) -> Self {
        Self {
            order,
            cursor: Cursor {
                after: None,
                before: None,
            },
            within: SeqRange::ALL,
            filter: ItemFilter::Everything,
            settled: false,
            turn: None,
            rows_max,
        }
    }
}

/// Checks the size of a page against a dialect's own bounds.
pub fn check_rows(got: i64, min: u32, max: u32) -> Result<u32, Reason> {
    let max = max.min(PAGE_ROWS_MAX);
    if got > i64::from(max) {
        return Err(Reason::AboveMax {
            max: i64::from(max),
            got,
        });
    }
    match u32::try_from(got) {
        Ok(rows) if rows >= min => Ok(rows),
        _ => Err(Reason::BelowMin {
            min: i64::from(min),
            got,
        }),
    }
}
