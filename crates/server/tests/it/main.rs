//! The built binary as operators and clients meet it: a process, files, a socket, signals.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on should say so at once"
)]

mod audit;
mod backup;
mod commands;
mod crash;
mod erasing;
mod listener;
mod model;
mod models;
mod process;
mod receipt_log;
mod receipts;
mod receipts_http;
mod rekey;
mod start;
mod streams;
