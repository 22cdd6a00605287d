//! Responses: requests read and checked, objects and streams of events rendered. Nothing in here asks a store or a
//! model.

mod input;
pub(super) mod kept;
pub(super) mod object;
pub(super) mod replay;
pub(super) mod request;
mod shape;
pub(super) mod stream;
mod text;
mod tools;

#[cfg(test)]
mod tests;
