//! When to ask again.

use std::time::{Duration, UNIX_EPOCH};

use parlance_domain::{IdSource, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How often one asks again.
pub(super) const RETRIES_MAX: u32 = 2;
/// The longest that a server may have one wait; where it wants more, the client is told instead.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest that is passed on.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// `retry-after` in milliseconds: OpenAI, Azure.
const RETRY_AFTER_MS: &str = "retry-after-ms";

/// Whether a status may change when one asks again.
pub(super) const fn can_help(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// When to try again, if the server said so: in milliseconds, in seconds, or as a date (RFC 9110, section
/// 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text(RETRY_AFTER_MS).and_then(|text| text.parse().ok());
    let after = millis.map(Duration::from_millis).or_else(|| {
        let text = text(RETRY_AFTER.as_str())?;
        seconds(text).or_else(|| until(text, now))
    });
    after.map(|after| after.min(RETRY_AFTER_MAX))
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

/// The time to a date; nothing to one that has passed.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_micros(u64::try_from(now.micros()).ok()?);
    Some(date.saturating_sub(now))
}

/// How long to wait before one asks again for the `count`th time, from 0; none where the server wants that
/// one waits too long. Half of a pause is by chance, so that many do not ask at once.
pub(super) fn pause(
    first: Duration,
    count: u32,
    retry_after: Option<Duration>,
    ids: &IdSource,
) -> Option<Duration> {
    if let Some(wanted) = retry_after {
        return (wanted <= WAIT_MAX).then_some(wanted);
    }
    let mut chance = [0];
    ids.fill_random(&mut chance);
    let chance: u32 = chance.iter().copied().map(u32::from).sum();
    let whole = first.saturating_mul(1 << count.min(16));
    Some(whole / 2 + whole * chance / 512)
}
