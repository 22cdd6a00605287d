//! The wire dialects: each translates one vendor's HTTP into the domain's use-cases and back.
//!
//! Invariant: knows no SQL and no model server, and no dialect knows another. A dialect is one folder
//! here and one line in [`DIALECTS`]; whatever is common to them is in `kit`.

mod coze;
mod dify;
mod kit;
mod openai;
mod openhands;

pub use kit::mount::mount;
pub use kit::{Entry, Example, HttpOptions, RouteInfo};

/// All dialects. The first is the one that answers where nothing tells which is meant.
pub const DIALECTS: &[Entry] = &[
    Entry::of::<openai::OpenAi>(),
    Entry::of::<dify::Dify>(),
    Entry::of::<coze::Coze>(),
    Entry::of::<openhands::OpenHands>(),
];

/// The dialect of that name.
pub fn dialect(name: &str) -> Option<&'static Entry> {
    DIALECTS.iter().find(|entry| entry.name == name)
}
