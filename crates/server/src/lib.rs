//! The server and its command line: configuration, wiring, start and end.
//!
//! Invariant: the only crate that names concrete stores and models, reads the environment, and writes
//! to standard output. It holds no rule of the domain and no word of a dialect.

mod background;
mod bootstrap;
mod cli;
mod config;
mod control;
mod data_dir;
mod http;
mod patience;
mod receipts;
mod retention;
mod serve;
mod telemetry;
mod wiring;

pub use cli::run;
pub use config::Config;
