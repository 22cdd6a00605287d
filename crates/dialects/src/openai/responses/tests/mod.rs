//! What is rendered is what was recorded, and what is told twice is told in the same bytes.

mod requests;
mod streams;
mod traces;
