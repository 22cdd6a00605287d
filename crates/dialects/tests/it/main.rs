//! The dialects as a client sees them, in one process: no socket, no disk, fixed time and ids.

mod app;
mod coze;
mod scenario;
