//! What there is: principals, projects, apps, keys, conversations, items, turns, holds.

mod app;
mod conversation;
mod hold;
mod item;
mod key;
mod page;
mod principal;
mod receipt;
mod turn;

pub use app::{App, AppMode, Project, ProjectId};
pub use conversation::{Conversation, Extras, Metadata, NewConversation, check_title};
pub use hold::{Hold, HoldEntry, HoldScope};
pub use item::{
    Item, ItemContent, ItemKind, ItemRef, ItemType, Native, NewItem, Role, first_section,
};
pub use key::{KeyDigest, KeyRecord, Scopes};
pub use page::{
    ConversationQuery, Cursor, ItemFilter, ItemQuery, Order, Page, Position, SeqRange, Sort,
    check_rows,
};
pub use principal::{Principal, Realm, User};
pub use receipt::{
    Due, Erasure, ErasureLevel, ItemsBucket, Receipt, ReceiptEntry, ReceiptRecord, ReceiptState,
};
pub(crate) use receipt::{hex, unhex};
pub use turn::{Cutoff, Turn, TurnFailure, TurnQuery, TurnRecord, TurnState, Usage};
