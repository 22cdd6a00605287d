//! What the tests of several crates share. Never part of a server.
//!
//! Invariant: nothing here asks the machine for time or chance, so every test that fails, fails again;
//! `explore` does, and says what it was given.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

pub mod clock;
#[cfg(feature = "models")]
pub mod explore;
pub mod samples;
pub mod store_suite;

pub use clock::ManualClock;
pub use parlance_model_server as model_server;
