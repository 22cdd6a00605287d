//! The Responses API, and Foundry's list of responses.

mod create;
mod events;
mod stored;

pub(in crate::openai) use create::{compact, count, create};
pub(in crate::openai) use stored::{cancel, delete, input, list, retrieve};
