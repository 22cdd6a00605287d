//! Other clients: they write at a pace that does not depend on the answers, all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::plant::{self, CONVERSATIONS};
use crate::http::{Client, request};

/// Clients that make conversations and append to them.
const WRITERS: u32 = 4;
/// The time from one write of a writer to its next.
const WRITE_EVERY: Duration = Duration::from_millis(20);
/// Appends to a conversation before the next is made.
const APPENDS: usize = 9;
/// The time from one small conversation to the next, of the one client that deletes what it makes.
const SMALL_EVERY: Duration = Duration::from_millis(50);

/// How long calls took.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Creates and appends.
    pub(crate) writes: Vec<Duration>,
    /// Deletes of conversations with one item.
    pub(crate) small_deletes: Vec<Duration>,
}

/// Clients at work.
pub(crate) struct Others {
    working: JoinSet<anyhow::Result<Times>>,
    stop: Arc<AtomicBool>,
}

impl Others {
    pub(crate) async fn start(address: &str, key: &str) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut working = JoinSet::new();
        let begin = Instant::now();
        for number in 0..WRITERS {
            let client = Other::new(address, key, &stop).await?;
            // Evenly spread, so that they do not wait for each other.
            let first = begin + WRITE_EVERY / WRITERS * number;
            working.spawn(client.write(first));
        }
        let client = Other::new(address, key, &stop).await?;
        working.spawn(client.delete(begin + WRITE_EVERY / WRITERS / 2));
        Ok(Self { working, stop })
    }

    /// Lets them end, and gives all of their times.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Times> {
        self.stop.store(true, Ordering::Release);
        let mut times = Times::default();
        while let Some(done) = self.working.join_next().await {
            let done = done.context("a client broke off")??;
            times.writes.extend(done.writes);
            times.small_deletes.extend(done.small_deletes);
        }
        Ok(times)
    }
}

struct Other {
    line: Client,
    address: String,
    key: String,
    stop: Arc<AtomicBool>,
    times: Times,
}

impl Other {
    async fn new(address: &str, key: &str, stop: &Arc<AtomicBool>) -> anyhow::Result<Self> {
        Ok(Self {
            line: Client::connect(address).await?,
            address: address.to_owned(),
            key: key.to_owned(),
            stop: Arc::clone(stop),
            times: Times::default(),
        })
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        request(&self.address, &self.key, method, path, body)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Creates and appends.
    async fn write(mut self, mut due: Instant) -> anyhow::Result<Times> {
        let item =
            json!({"items": [{"role": "user", "content": "What is the capital of France?"}]});
        let item = item.to_string();
        let create = self.request("POST", CONVERSATIONS, &item);
        while !self.is_over() {
            let since = wait_for(due).await;
            let id = plant::id(self.line.call(&create).await?)?;
            self.times.writes.push(since.elapsed());
            due += WRITE_EVERY;
            let append = self.request("POST", &format!("{CONVERSATIONS}/{id}/items"), &item);
            for _ in 0..APPENDS {
                let since = wait_for(due).await;
                self.line.call(&append).await?;
                self.times.writes.push(since.elapsed());
                due += WRITE_EVERY;
            }
        }
        Ok(self.times)
    }

    /// Deletes what it makes.
    async fn delete(mut self, mut due: Instant) -> anyhow::Result<Times> {
        let item =
            json!({"items": [{"role": "user", "content": "What is the capital of France?"}]});
        let create = self.request("POST", CONVERSATIONS, &item.to_string());
        while !self.is_over() {
            wait_for(due).await;
            let id = plant::id(self.line.call(&create).await?)?;
            let delete = self.request("DELETE", &format!("{CONVERSATIONS}/{id}"), "");
            let since = Instant::now();
            self.line.call(&delete).await?;
            self.times.small_deletes.push(since.elapsed());
            due += SMALL_EVERY;
        }
        Ok(self.times)
    }
}

/// Waits until something is due, and gives the time from which it counts: where the call before has
/// taken too long, that counts for this one as well, as it would for a person who waits.
async fn wait_for(due: Instant) -> Instant {
    if due < Instant::now() {
        return due;
    }
    sleep_until(due).await;
    // The timer's own delay is not the server's.
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_late_counts_from_when_it_was_due() {
        let due = Instant::now();
        tokio::task::yield_now().await;
        assert_eq!(wait_for(due).await, due);
    }
}
