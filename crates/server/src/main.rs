//! `parlance`: the server and its command line. Everything is in the library.

use std::process::ExitCode;

/// Short-lived allocations of many threads are what a server does; mimalloc is faster at them than
/// the system's allocator, and far faster than that of musl. Without huge pages: they would keep a third more
/// memory resident at rest, and twice as much for each stream that waits.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    parlance_server::run()
}
