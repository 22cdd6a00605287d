//! One run: load, kill, restart, comparison, again and again on the same data.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::calls::Request;
use super::canary::{canary, search, write_control};
use super::control::{Order, Said, Socket};
use super::dialect::{Dialect, Keys};
use super::load::{Client, Counts, Moments};
use super::operator::Operator;
use super::report::{Report, sum};
use super::responses;
use super::verify::{Depth, Verdict, living, verify};
use super::{Canaries, Options};
use crate::conformance::{PROFILE, Server};
use crate::http;
use crate::tools::{Shop, complain, say};

const USERS: usize = 4;
const CLIENTS: usize = 16;
/// Clients with a user of their own, who is erased now and then; their users come after the others.
const ALONE: usize = 2;
/// Kills between two lines of the report, and between two comparisons of everything.
const LINE_EVERY: u64 = 50;
/// Longest wait for the moment of a kill, in milliseconds.
const LOAD_MS_MAX: u64 = 250;
/// Complaints that are shown.
const SHOWN_MAX: usize = 20;
/// Longest wait before a command is killed, in microseconds.
const COMMAND_US_MAX: u64 = 60_000;
/// How often a command line is used before a restart.
const OFFLINE: f64 = 0.1;

/// When a server is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the load began.
    After(Duration),
    /// After the load began, as soon as a delete is sent, and so much later.
    Delete(Duration, Duration),
    /// The same for a question.
    Ask(Duration, Duration),
    /// The same for an operator's order.
    Order(Duration, Duration),
}

/// A server, its clients, and what they have seen.
pub(super) struct Run {
    pub(super) server: Server,
    pub(super) clients: Vec<Client>,
    pub(super) operator: Operator,
    socket: Socket,
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
        let operator = Operator::new(StdRng::seed_from_u64(rng.random()));
        let socket = Socket::of(&server.folder().join("data"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Ok(Self {
            server,
            clients,
            operator,
            socket,
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
            "{CLIENTS} clients of {USERS} users, {ALONE} with users of their own, an operator; seed {}\n",
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
        let clients = self.clients.iter().map(|client| &client.counts);
        sum(&clients.chain([&self.operator.counts]).collect::<Vec<_>>())
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
        if self.rng.random_bool(OFFLINE) {
            self.order_offline()?;
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
        let operator = self.take_operator();
        let (server, socket) = (&mut self.server, self.socket.clone());
        let work = async {
            let mut working = JoinSet::new();
            for client in clients {
                let (address, socket) = (address.clone(), socket.clone());
                working.spawn(client.work(address, socket, Arc::clone(&moments)));
            }
            let mut ordering = JoinSet::new();
            ordering.spawn(operator.work(address.clone(), socket, Arc::clone(&moments)));
            wait(moment, &moments).await;
            server.kill()?;
            let mut clients = Vec::new();
            while let Some(client) = working.join_next().await {
                clients.push(client.context("a client broke off")?);
            }
            let operator = ordering.join_next().await.context("no operator")?;
            anyhow::Ok((clients, operator.context("the operator broke off")?))
        };
        let (mut clients, operator) = self.runtime.block_on(work)?;
        clients.sort_by_key(|client| client.number);
        (self.clients, self.operator) = (clients, operator);
        self.report.kills += 1;
        Ok(())
    }

    /// The operator, who comes back with what is done meanwhile.
    fn take_operator(&mut self) -> Operator {
        let nobody = Operator::new(StdRng::seed_from_u64(0));
        std::mem::replace(&mut self.operator, nobody)
    }

    fn moment(&mut self) -> Moment {
        let kind = self.rng.random_range(0..10);
        let mut millis = |max| Duration::from_millis(self.rng.random_range(1..max));
        let (long, short) = (millis(LOAD_MS_MAX), millis(40));
        let tail = Duration::from_micros(self.rng.random_range(0..3_000));
        match kind {
            0..4 => Moment::After(long),
            4..6 => Moment::Delete(short, tail),
            6..8 => Moment::Ask(short, tail),
            _ => Moment::Order(short, tail),
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
        let mut clients = std::mem::take(&mut self.clients);
        let operator = self.take_operator();
        let address = self.server.address().to_owned();
        let comparing = async {
            ready(&address).await?;
            for client in &mut clients {
                client.let_in(&self.socket).await?;
            }
            let (clients, mut verdict) = verify(clients, &address, &self.socket, depth).await?;
            let (operator, wrong) = operator.verify(&self.socket, &address, depth).await?;
            verdict.wrong.extend(wrong);
            anyhow::Ok((clients, operator, verdict))
        };
        let (clients, operator, verdict) = self.runtime.block_on(comparing)?;
        (self.clients, self.operator) = (clients, operator);
        self.report.count(&verdict);
        Ok(verdict)
    }

    /// Gives an order on the command line while no server runs, and kills that half of the time, too.
    fn order_offline(&mut self) -> anyhow::Result<()> {
        if self.rng.random_bool(0.4) {
            let (order, about) = self.operator.next();
            let said = self.command(&order)?;
            self.operator.learn(&order, about, &said);
            return Ok(());
        }
        let at = self.rng.random_range(0..self.clients.len());
        let mut client = self.clients.swap_remove(at);
        if let Some((call, erased)) = client.offline()
            && let Request::Order(order) = &call.request
        {
            let said = self.command(order)?;
            client.offline_done(&call, erased, said);
        }
        self.clients.push(client);
        self.clients.sort_by_key(|client| client.number);
        Ok(())
    }

    fn command(&mut self, order: &Order) -> anyhow::Result<Said> {
        let mut child = self.server.begin_command(&order.words())?;
        if self.rng.random_bool(0.5) {
            let pause = Duration::from_micros(self.rng.random_range(0..COMMAND_US_MAX));
            self.runtime.block_on(async { sleep(pause).await });
            child.kill().context("could not kill a command")?;
        }
        self.report.offline += 1;
        let done = child.wait_with_output();
        let done = done.context("could not wait for a command")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(match done.status.code() {
            Some(0) => Said::Done(text(done.stdout)),
            Some(_) => Said::Refused(text(done.stderr)),
            None => Said::Unknown,
        })
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
        Moment::Order(first, tail) => (first, &moments.order, tail),
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
    let users: Vec<String> = (0..USERS + ALONE)
        .map(|_| format!("user-{}", canary(rng)))
        .collect();
    let mut keys = Vec::new();
    // Two sets of keys for each user whom several clients have, then one for each of the others.
    let twice = (0..USERS).chain(0..USERS);
    for user in twice.chain(USERS..USERS + ALONE) {
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
    let (shared, own) = keys.split_at(USERS * 2);
    let shared = shared.iter().cycle().take(CLIENTS).map(|keys| (keys, None));
    let own = own.iter().zip(users.iter().skip(USERS));
    let own = own.map(|(keys, name)| (keys, Some(name.clone())));
    let client = |(number, (keys, alone)): (usize, (&Keys, Option<String>))| Client {
        number,
        keys: keys.clone(),
        alone,
        is_locked_out: false,
        rng: StdRng::seed_from_u64(rng.random()),
        conversations: Vec::new(),
        making: Vec::new(),
        gone: Vec::new(),
        alone_responses: responses::Journal::default(),
        counts: Counts::default(),
        wrong: Vec::new(),
    };
    Ok(shared.chain(own).enumerate().map(client).collect())
}
