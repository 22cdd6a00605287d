//! One run: load, kill, restart, comparison, again and again on the same data.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::canary::{canary, search, write_control};
use super::dialect::{Dialect, Keys};
use super::load::{Client, Counts, Moments};
use super::report::{Report, sum};
use super::verify::{Depth, Verdict, living, verify};
use super::{Canaries, Options};
use crate::conformance::{PROFILE, Server};
use crate::http;
use crate::tools::{Shop, complain, say};

const USERS: usize = 4;
const CLIENTS: usize = 16;
/// Kills between two lines of the report, and between two comparisons of everything.
const LINE_EVERY: u64 = 50;
/// Longest wait for the moment of a kill, in milliseconds.
const LOAD_MS_MAX: u64 = 250;
/// Complaints that are shown.
const SHOWN_MAX: usize = 20;

/// When a server is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the load began.
    After(Duration),
    /// After the load began, as soon as a delete is sent, and so much later.
    Delete(Duration, Duration),
    /// The same for a question.
    Ask(Duration, Duration),
}

/// A server, its clients, and what they have seen.
pub(super) struct Run {
    pub(super) server: Server,
    pub(super) clients: Vec<Client>,
    runtime: Runtime,
    rng: StdRng,
    control: String,
    options: Options,
    report: Report,
    began: Instant,
}

impl Run {
    /// Starts a server on an empty folder, and makes keys.
    pub(super) fn new(shop: &Shop, task: &str, options: &Options) -> anyhow::Result<Self> {
        let mut rng = StdRng::seed_from_u64(options.seed);
        let binary = shop.built(PROFILE, "parlance");
        let server = Server::launch(binary, shop.scratch(task), &[])?;
        let control = write_control(server.folder(), &mut rng)?;
        let clients = clients(&server, &mut rng)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Ok(Self {
            server,
            clients,
            runtime: runtime.context("could not start the clients")?,
            rng,
            control,
            options: options.clone(),
            report: Report::default(),
            began: Instant::now(),
        })
    }

    /// Kills as often as is asked for; false if anything was wrong.
    pub(super) fn through(mut self) -> bool {
        say(&format!(
            "{CLIENTS} clients of {USERS} users; seed {}\n",
            self.options.seed
        ));
        while !self.is_enough() {
            let verdict = self.round();
            if let Some(wrong) = complaints(verdict) {
                return self.violated(&wrong);
            }
            if self.report.kills.is_multiple_of(LINE_EVERY) {
                say(&self.report.line(&self.counts(), self.began.elapsed()));
            }
        }
        let verdict = self.finish();
        if let Some(wrong) = complaints(verdict) {
            return self.violated(&wrong);
        }
        say(&self.report.summary(&self.counts(), self.began.elapsed()));
        say("violations     none\n");
        true
    }

    fn violated(&mut self, wrong: &[String]) -> bool {
        self.server.keep();
        say(&self.report.summary(&self.counts(), self.began.elapsed()));
        complain(&format!(
            "VIOLATIONS     {} after kill {} with seed {}; the data are kept in {}",
            wrong.len(),
            self.report.kills,
            self.options.seed,
            self.server.folder().display()
        ));
        for what in wrong.iter().take(SHOWN_MAX) {
            complain(&format!("  {what}"));
        }
        false
    }

    fn counts(&self) -> Counts {
        sum(&self.clients)
    }

    fn is_enough(&self) -> bool {
        let options = &self.options;
        let counted = options
            .count
            .is_some_and(|count| self.report.kills >= count);
        counted
            || options
                .length
                .is_some_and(|length| self.began.elapsed() >= length)
    }

    /// Load, kill, restart, comparison.
    fn round(&mut self) -> anyhow::Result<Verdict> {
        self.load_and_kill()?;
        self.look_for_canaries()?;
        while self.rng.random_bool(0.15) {
            self.kill_early()?;
        }
        self.server.restart()?;
        let depth = if self.report.kills.is_multiple_of(LINE_EVERY) {
            Depth::Living
        } else {
            Depth::Sample
        };
        self.compare(depth)
    }

    /// Compares everything once more after a clean end, and searches what is left then.
    fn finish(&mut self) -> anyhow::Result<Verdict> {
        self.server.end()?;
        self.server.restart()?;
        let verdict = self.compare(Depth::Everything)?;
        self.server.end()?;
        self.look_for_canaries()?;
        Ok(verdict)
    }

    pub(super) fn load_and_kill(&mut self) -> anyhow::Result<()> {
        let moment = self.moment();
        let moments = Arc::new(Moments::default());
        let address = self.server.address().to_owned();
        let clients = std::mem::take(&mut self.clients);
        let server = &mut self.server;
        let work = async {
            let mut working = JoinSet::new();
            for client in clients {
                working.spawn(client.work(address.clone(), Arc::clone(&moments)));
            }
            wait(moment, &moments).await;
            server.kill()?;
            let mut clients = Vec::new();
            while let Some(client) = working.join_next().await {
                clients.push(client.context("a client broke off")?);
            }
            anyhow::Ok(clients)
        };
        let mut clients = self.runtime.block_on(work)?;
        clients.sort_by_key(|client| client.number);
        self.clients = clients;
        self.report.kills += 1;
        Ok(())
    }

    fn moment(&mut self) -> Moment {
        let kind = self.rng.random_range(0..10);
        let mut millis = |max| Duration::from_millis(self.rng.random_range(1..max));
        let (long, short) = (millis(LOAD_MS_MAX), millis(40));
        let tail = Duration::from_micros(self.rng.random_range(0..3_000));
        match kind {
            0..4 => Moment::After(long),
            4..7 => Moment::Delete(short, tail),
            _ => Moment::Ask(short, tail),
        }
    }

    /// Starts the server and kills it before it is ready, or soon after.
    fn kill_early(&mut self) -> anyhow::Result<()> {
        let pause = Duration::from_micros(self.rng.random_range(0..25_000));
        // Nobody reads the address.
        drop(self.server.begin()?);
        self.runtime.block_on(async { sleep(pause).await });
        self.server.kill()?;
        self.report.kills += 1;
        self.report.early += 1;
        Ok(())
    }

    pub(super) fn compare(&mut self, depth: Depth) -> anyhow::Result<Verdict> {
        let clients = std::mem::take(&mut self.clients);
        let address = self.server.address().to_owned();
        let comparing = async {
            ready(&address).await?;
            verify(clients, &address, depth).await
        };
        let (clients, verdict) = self.runtime.block_on(comparing)?;
        self.clients = clients;
        self.report.count(&verdict);
        Ok(verdict)
    }

    fn look_for_canaries(&mut self) -> anyhow::Result<()> {
        let found = search(self.server.folder(), &self.control)?;
        self.report.searched += found.bytes;
        if self.options.canaries == Canaries::Strict && !found.canaries.is_empty() {
            let shown: Vec<String> = found
                .canaries
                .iter()
                .take(3)
                .map(|found| format!("{found:?}"))
                .collect();
            bail!(
                "{} canaries in the clear: {}",
                found.canaries.len(),
                shown.join(", ")
            );
        }
        let living = living(&self.clients);
        let (alive, gone): (Vec<&String>, Vec<&String>) = found
            .canaries
            .iter()
            .map(|(_, canary)| canary)
            .partition(|canary| living.contains(*canary));
        let different = |mut canaries: Vec<&String>| {
            canaries.sort_unstable();
            canaries.dedup();
            canaries.len()
        };
        self.report.found = (different(alive), different(gone));
        Ok(())
    }
}

/// What is wrong, if anything is: an error is as much a violation as what a comparison finds.
fn complaints(verdict: anyhow::Result<Verdict>) -> Option<Vec<String>> {
    let wrong = match verdict {
        Ok(verdict) => verdict.wrong,
        Err(error) => vec![format!("{error:#}")],
    };
    (!wrong.is_empty()).then_some(wrong)
}

/// Waits for the moment of a kill.
async fn wait(moment: Moment, moments: &Moments) {
    // Where nobody sends what is waited for, the kill comes all the same.
    let longest = Duration::from_millis(LOAD_MS_MAX);
    let (first, sent, tail) = match moment {
        Moment::After(long) => {
            sleep(long).await;
            return;
        }
        Moment::Delete(first, tail) => (first, &moments.delete, tail),
        Moment::Ask(first, tail) => (first, &moments.ask, tail),
    };
    sleep(first).await;
    if timeout(longest, sent.notified()).await.is_ok() && tail > Duration::from_millis(1) {
        // Finer than the runtime's timer: short tails are none.
        sleep(tail).await;
    }
}

/// The server says that it is ready.
async fn ready(address: &str) -> anyhow::Result<()> {
    let mut line = http::Client::connect(address).await?;
    let request = b"GET /readyz HTTP/1.1\r\nhost: crash\r\n\r\n";
    let answer = line.call(request).await;
    answer.context("the server is not ready").map(drop)
}

/// Clients with keys of their own, several for each user.
fn clients(server: &Server, rng: &mut StdRng) -> anyhow::Result<Vec<Client>> {
    let apps = server.command(&["apps", "list"])?;
    let bot = apps
        .split_whitespace()
        .find_map(|word| word.strip_prefix("coze="));
    let bot = bot.context("the app has no id in Coze's form")?.to_owned();
    let users: Vec<String> = (0..USERS)
        .map(|_| format!("user-{}", canary(rng)))
        .collect();
    let mut keys = Vec::new();
    // Two sets of keys for each user.
    for number in 0..USERS * 2 {
        let user = number % USERS;
        let name = users.get(user).map(String::as_str).unwrap_or_default();
        let key = |dialect: Dialect| {
            let words = [
                "keys",
                "create",
                "--dialect",
                dialect.name(),
                "--user",
                name,
            ];
            server.command(&words)
        };
        let [one, two, three, four] = Dialect::ALL;
        keys.push(Keys {
            user,
            secrets: [key(one)?, key(two)?, key(three)?, key(four)?],
            bot: bot.clone(),
        });
    }
    let client = |number: usize| {
        let keys = keys.get(number % keys.len())?.clone();
        Some(Client {
            number,
            keys,
            rng: StdRng::seed_from_u64(rng.random()),
            conversations: Vec::new(),
            making: Vec::new(),
            gone: Vec::new(),
            counts: Counts::default(),
            wrong: Vec::new(),
        })
    };
    Ok((0..CLIENTS).filter_map(client).collect())
}
