//! What anybody may ask: whether the server lives, and how it is.

use std::fs;
use std::sync::OnceLock;

use parlance_domain::Service;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::{Reply, reply};

/// When the routes were made, which is when the server started.
static START: OnceLock<Instant> = OnceLock::new();

/// Starts the clock of `uptime`.
pub(super) fn note_start() {
    START.get_or_init(Instant::now);
}

/// `GET /alive`.
pub(in crate::openhands) async fn alive(_service: Service) -> Reply {
    reply::ok(&json!({"status": "ok"}))
}

/// `GET /health`.
pub(in crate::openhands) async fn health(_service: Service) -> Reply {
    reply::ok("OK")
}

/// `GET /server_info`. Idle time counts from the last command in a runtime, and there is none: so it
/// is the uptime, as recorded. The disk and the processor are nobody's business.
pub(in crate::openhands) async fn info(_service: Service) -> Reply {
    let start = START.get_or_init(Instant::now);
    let uptime = start.elapsed().as_secs_f64();
    reply::ok(&json!({
        "uptime": uptime,
        "idle_time": uptime,
        "resources": {
            "cpu_percent": 0.0,
            "memory": memory(),
            "disk": {"total": 0, "used": 0, "free": 0, "percent": 0.0},
            "io": {
                "read_bytes": field("/proc/self/io", "read_bytes:"),
                "write_bytes": field("/proc/self/io", "write_bytes:"),
            },
        },
    }))
}

fn memory() -> Value {
    let kilobytes = |file, name| field(file, name).saturating_mul(1024);
    let rss = kilobytes("/proc/self/status", "VmRSS:");
    let total = kilobytes("/proc/meminfo", "MemTotal:");
    json!({
        "rss": rss,
        "vms": kilobytes("/proc/self/status", "VmSize:"),
        "percent": percent(rss, total),
    })
}

/// To two digits.
fn percent(part: u64, whole: u64) -> f64 {
    let hundredths = part.saturating_mul(10_000).checked_div(whole).unwrap_or(0);
    u32::try_from(hundredths).map_or(100.0, f64::from) / 100.0
}

/// The number after `name` in one of the kernel's files; 0 where there is no such file. Reading
/// those never waits for a disk.
fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
