//! The models that Parlance can ask.
//!
//! Invariant: knows no dialect and no store; a model is one folder here and one line in the server's
//! wiring.

pub mod echo;
mod models;
pub mod openai_chat;

pub use echo::Echo;
pub use models::Models;
