//! The model, the rules and the ports of Parlance: what a conversation is, who may do what with it,
//! and what a store and a model have to offer.
//!
//! Invariant: knows no HTTP, no SQL and no vendor. Everything of the outside world (time, ids,
//! storage, models) comes in through a port, so that every rule can be tested without it.

pub mod canonical;
pub mod clock;
pub mod fault;
pub mod ids;
pub mod json;
pub mod limits;
pub mod model;
pub mod notary;
pub mod receipt_log;
pub mod secret;
pub mod service;
pub mod store;
pub mod tasks;
pub mod upstream;

mod sync;

pub use clock::{Clock, SystemClock, Timestamp};
pub use fault::{Conflict, Error, Fault, Noun, Reason};
pub use ids::{
    AppId, ConversationId, ConversationRef, EventId, HoldId, Id, IdSource, ItemId, KeyId,
    ReceiptId, Ref, SectionId, TurnId,
};
pub use json::Json;
pub use model::*;
pub use notary::Notary;
pub use service::{Service, Settings};
pub use store::{Batch, ReceiptLog, Store, StoreError, Write};
