//! The dialects as a client sees them, in one process: no socket, no disk, fixed time and ids.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::let_underscore_must_use,
    reason = "a test that cannot go on should say so at once"
)]

mod across;
mod app;
mod authorisation;
mod chat;
mod coze;
mod coze_chats;
mod dify;
mod holds;
mod models;
mod openhands;
mod openhands_agent;
mod receipts;
mod responses;
mod root;
mod scenario;
mod script;
