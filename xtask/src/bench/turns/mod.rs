//! `cargo xtask bench --turns`: what the server adds to a model's own time, to the first word and for each
//! word, and what an answer takes in memory that is waited for.
//!
//! Clients and model share the cores with the server, as everywhere here: ratios travel, times do not.

mod client;
mod model;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::conformance::Server;
use crate::tools::say;
use client::{Client, Ends, Times, Way};
use model::Model;

/// Connections at a time.
const CONNECTIONS: &[usize] = &[1, 16];
/// Answers of one word that each connection asks for.
const ANSWERS: usize = 200;
/// Words of a long answer, and how many of these each connection asks for.
const WORDS: usize = 2_000;
const LONG_ANSWERS: usize = 5;
/// How often each measurement is repeated; the medians count.
const ROUNDS: usize = 5;
/// Streams that wait, unless told otherwise.
const STREAMS_DEFAULT: usize = 5_000;
/// How long what is done after their first word is left alone.
const SETTLING: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    streams: usize,
}

impl Options {
    /// Reads `[--streams N]`.
    pub(super) fn read(words: &[&str]) -> anyhow::Result<Self> {
        let streams = match words {
            [] => STREAMS_DEFAULT,
            ["--streams", count] => match count.parse() {
                Ok(count) if count > 0 => count,
                _ => bail!("`{count}` is no whole number from 1 on"),
            },
            _ => bail!("`bench --turns` does not know `{}`", words.join(" ")),
        };
        Ok(Self { streams })
    }
}

/// Asks, and tells.
pub(super) fn measure(
    binary: PathBuf,
    folder: PathBuf,
    settings: &[(&str, &str)],
    options: &Options,
) -> anyhow::Result<()> {
    let model = Model::start()?;
    let url = format!("http://{}", model.address);
    let mut settings = settings.to_vec();
    settings.extend([
        ("PARLANCE_MODEL_URL", url.as_str()),
        ("PARLANCE_MODEL", "m"),
    ]);
    let server = Server::launch(binary, folder, &settings)?;
    let key = |dialect: &str| server.command(&["keys", "create", "--dialect", dialect]);
    let (openai, dify) = (key("openai")?, key("dify")?);
    let ends = Ends {
        model: &model.address,
        server: server.address(),
        openai: &openai,
        dify: &dify,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("could not start the clients")?;
    say(
        "\n| connections | asked | first word p50 | p99 | added p50 | a word of a long answer | added | of the model's |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for &connections in CONNECTIONS {
        runtime.block_on(compare(&model, &ends, connections))?;
    }
    runtime.block_on(wait(&model, &ends, &server, options.streams))?;
    server.stop()
}

/// What one way took in one round.
#[derive(Clone, Default)]
struct Taken {
    firsts: Vec<Duration>,
    /// Medians, one for each round.
    medians: Vec<Duration>,
    words: Vec<Duration>,
}

async fn compare(model: &Model, ends: &Ends<'_>, connections: usize) -> anyhow::Result<()> {
    let mut taken = vec![Taken::default(); Way::ALL.len()];
    // Round by round, so that what disturbs the machine disturbs all alike.
    for round in 0..=ROUNDS {
        for (way, taken) in Way::ALL.into_iter().zip(&mut taken) {
            model.say(1);
            let short = ask(way, ends, connections, ANSWERS).await?;
            model.say(WORDS);
            let long = ask(way, ends, connections, LONG_ANSWERS).await?;
            // The first round warms caches and grows files, and does not count.
            if round > 0 {
                let mut firsts: Vec<Duration> = short.iter().map(|times| times.first).collect();
                firsts.sort_unstable();
                taken.medians.push(at(&firsts, 50));
                taken.firsts.extend(firsts);
                let each = |times: &Times| times.whole.saturating_sub(times.first) / whole(WORDS);
                let mut words: Vec<Duration> = long.iter().map(each).collect();
                words.sort_unstable();
                taken.words.push(at(&words, 50));
            }
        }
    }
    for taken in &mut taken {
        taken.firsts.sort_unstable();
        taken.medians.sort_unstable();
        taken.words.sort_unstable();
    }
    let own = taken.first().cloned().unwrap_or_default();
    let (own_first, own_word) = (at(&own.medians, 50), at(&own.words, 50));
    for (way, taken) in Way::ALL.into_iter().zip(&taken) {
        let (first, word) = (at(&taken.medians, 50), at(&taken.words, 50));
        say(&format!(
            "| {connections} | {} | {:.3} ms | {:.3} ms | {:.3} ms | {:.2} us | {:.2} us | {:.2} |\n",
            way.name(),
            millis(first),
            millis(at(&taken.firsts, 99)),
            millis(first.saturating_sub(own_first)),
            1_000.0 * millis(word),
            1_000.0 * millis(word.saturating_sub(own_word)),
            word.as_secs_f64() / own_word.as_secs_f64(),
        ));
    }
    Ok(())
}

/// Lets so many clients ask so often, each one thing after the other.
async fn ask(
    way: Way,
    ends: &Ends<'_>,
    connections: usize,
    answers: usize,
) -> anyhow::Result<Vec<Times>> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (address, request) = way.request(ends);
        let mut client = Client::connect(address).await?;
        clients.spawn(async move {
            let mut times = Vec::with_capacity(answers);
            for _ in 0..answers {
                times.push(client.ask(&request).await?);
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = clients.join_next().await {
        all.extend(done.context("a client broke off")??);
    }
    Ok(all)
}

/// Opens streams whose model pauses, and tells what the server needs for them.
async fn wait(
    model: &Model,
    ends: &Ends<'_>,
    server: &Server,
    streams: usize,
) -> anyhow::Result<()> {
    model.say(2);
    model.hold(true);
    let begun = model.begun();
    let before = resident(server.process())?;
    let mut clients = Vec::with_capacity(streams);
    let since = Instant::now();
    for _ in 0..streams {
        let (address, request) = Way::Responses.request(ends);
        let mut client = Client::connect(address).await?;
        client.begin(&request).await?;
        clients.push(client);
    }
    if model.begun() - begun != streams {
        bail!("not every stream has a model");
    }
    // What is done after the first word is not waited for by anybody.
    sleep(SETTLING).await;
    let after = resident(server.process())?;
    let each = (after - before) * 1_024 / u64::from(whole(streams));
    say(&format!(
        "\n{streams} streams that wait, begun in {:.1} s: {before} kB resident before, {after} kB with them: \
         {each} bytes each\n",
        since.elapsed().as_secs_f64(),
    ));
    model.hold(false);
    Ok(())
}

/// Memory of a process, in kB.
fn resident(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.context("could not read the server's memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.context("the server's memory makes no sense")
}

/// The value at so many percent of sorted ones.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    let place = sorted.len() * percent / 100;
    let place = place.min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    1_000.0 * time.as_secs_f64()
}

fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_streams_is_read() {
        let streams = |words: &[&str]| Options::read(words).map(|options| options.streams).ok();
        assert_eq!(streams(&[]), Some(STREAMS_DEFAULT));
        assert_eq!(streams(&["--streams", "7"]), Some(7));
        for wrong in [&["--streams", "0"][..], &["--streams"], &["--count", "1"]] {
            assert_eq!(streams(wrong), None, "{wrong:?}");
        }
    }
}
