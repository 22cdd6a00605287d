//! Conversations that are used and deleted at once, in many orders of events.
//!
//! The service is the real one; the store is the one in memory, which does each call in a task of its
//! own, as a real one does in a thread: what was asked for is done, whoever has gone meanwhile.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a model that goes wrong should say so at once"
)]

mod model;
mod store;
mod world;

mod deletes;
mod everything;
mod lists;
mod turns;
