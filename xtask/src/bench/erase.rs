//! `cargo xtask bench --erase`: how long it takes to erase a user with many conversations, and what other
//! clients notice meanwhile.
//!
//! Invariant: as an operator does it, with the command, beside the server as it is shipped. The database
//! is only looked into, to see when all receipts are complete.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use super::deletes::others::{Others, Times};
use super::deletes::{Looking, plant, table};
use crate::conformance::Server;
use crate::tools::say;

/// Conversations of the user, unless told otherwise.
const COUNT_DEFAULT: usize = 100_000;
/// Items of each: a question and an answer.
const ITEMS: usize = 2;
/// How long others write without any erasure, before it and after it.
const CONTROL: Duration = Duration::from_secs(10);
/// How often it is looked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it may take. It is far beyond the goal, so that a miss of that is measured.
const PATIENCE: Duration = Duration::from_mins(10);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    count: usize,
}

impl Options {
    /// Reads `[--count N]`.
    pub(super) fn read(words: &[&str]) -> anyhow::Result<Self> {
        let count = match words {
            [] => COUNT_DEFAULT,
            ["--count", count] => match count.parse() {
                Ok(count) if count > 0 => count,
                _ => bail!("`{count}` is no whole number from 1 on"),
            },
            _ => bail!("`bench --erase` does not know `{}`", words.join(" ")),
        };
        Ok(Self { count })
    }
}

/// What the erasure has come to.
struct Erased {
    /// Until the command has ended.
    took: Duration,
    /// Until all receipts were complete, from the beginning.
    complete_after: Duration,
    /// What others noticed until the command had ended.
    others: Times,
}

/// Plants, erases, and tells.
pub(super) fn measure(
    binary: PathBuf,
    folder: PathBuf,
    settings: &[(&str, &str)],
    options: &Options,
) -> anyhow::Result<()> {
    let mut server = Server::launch(binary, folder, settings)?;
    let key = |server: &Server, user: &str| {
        server.command(&["keys", "create", "--dialect", "openai", "--user", user])
    };
    let (owner, others) = (key(&server, "owner")?, key(&server, "others")?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("could not start the clients")?;
    let wanted = [(ITEMS, options.count)];
    runtime.block_on(plant::plant(server.address(), &owner, &wanted))?;
    // What planting has left in the write-ahead log is no business of the erasure.
    server.end()?;
    server.restart()?;
    let mut looking = Looking::open(&server)?;
    let mut rows = String::new();
    let control = || runtime.block_on(alone(server.address(), &others));
    rows.push_str(&table::others("none, before", control()?));
    say("erasing\n");
    let erased = runtime.block_on(erase(&server, &others, &mut looking, options.count))?;
    let name = format!("{} conversations", options.count);
    rows.push_str(&table::others(&name, erased.others));
    rows.push_str(&table::others("none, after", control()?));
    let count = f64::from(u32::try_from(options.count).unwrap_or(u32::MAX));
    let (took, complete) = (
        erased.took.as_secs_f64(),
        erased.complete_after.as_secs_f64(),
    );
    say(&format!(
        "\nerased {} conversations of {ITEMS} items in {took:.1} s: {:.0} a second; all receipts complete \
         after {complete:.1} s: {:.0} a second\n{}{rows}",
        options.count,
        count / took,
        count / complete,
        table::OTHERS,
    ));
    server.stop()
}

async fn alone(address: &str, key: &str) -> anyhow::Result<Times> {
    let others = Others::start(address, key).await?;
    sleep(CONTROL).await;
    others.stop().await
}

async fn erase(
    server: &Server,
    key: &str,
    looking: &mut Looking,
    count: usize,
) -> anyhow::Result<Erased> {
    let others = Others::start(server.address(), key).await?;
    let since = Instant::now();
    let command = server.begin_command(&["erase", "--user", "owner", "--yes"])?;
    // A thread of its own, because receipts have to be read while others write.
    let output = tokio::task::spawn_blocking(|| Child::wait_with_output(command));
    let output = output.await.context("the command was not waited for")?;
    let output = output.context("could not wait for the command")?;
    let took = since.elapsed();
    let others = others.stop().await?;
    let receipts = output.stdout.split(|byte| *byte == b'\n').count() - 1;
    if !output.status.success() || receipts != count {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{receipts} of {count} conversations were erased: {said}");
    }
    while looking.rows_are_left()? || looking.open_receipts()? > 0 {
        if since.elapsed() > PATIENCE {
            bail!("receipts are not complete");
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(Erased {
        took,
        complete_after: since.elapsed(),
        others,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_conversations_is_read() {
        let count = |words: &[&str]| Options::read(words).map(|options| options.count).ok();
        assert_eq!(count(&[]), Some(COUNT_DEFAULT));
        assert_eq!(count(&["--count", "7"]), Some(7));
        for wrong in [&["--count", "0"][..], &["--count"], &["--sizes", "1"]] {
            assert_eq!(count(wrong), None, "{wrong:?}");
        }
    }
}
