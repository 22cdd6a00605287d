//! An operator at work beside the clients: makes projects, apps and keys, revokes keys, and keeps a
//! journal as the clients do.
//!
//! What has come of an order is known, or unknown where the server was killed before it answered. Then
//! it is done as a whole or not at all: a key that is listed has all that was ordered, an app that is
//! not there has left its name free.

mod check;

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::canary::canary;
use super::control::{Order, Said, Socket};
use super::dialect::{self, Dialect};
use super::journal::{Cell, Known};
use super::load::{Counts, Moments};
use crate::http::{Asked, Client as Line};

/// Most keys of a project, before another is begun: a list is read after every restart.
const KEYS_MAX: usize = 40;
/// Most apps of a project.
const APPS_MAX: usize = 6;
/// What is left to the clients between two orders.
const PAUSE: Duration = Duration::from_millis(4);
/// Modes in which every dialect has conversations.
const MODES: [&str; 3] = ["advanced-chat", "chat", "agent-chat"];

/// A project.
#[derive(Clone, Debug)]
pub(super) struct Yard {
    pub(super) name: String,
    known: Known,
    pub(super) apps: Vec<App>,
    pub(super) keys: Vec<Key>,
    /// Something was ordered since it was last compared.
    touched: bool,
}

/// An app.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) name: String,
    mode: &'static str,
    /// What is shown of it, its ids included.
    line: Option<String>,
    known: Known,
}

impl App {
    /// Whether it is there.
    pub(super) fn is_known(&self) -> bool {
        self.known == Known::Acknowledged
    }
}

/// A key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Whose it is: nobody else's.
    pub(super) user: String,
    dialect: Dialect,
    app: String,
    secret: Option<String>,
    pub(super) id: Option<String>,
    known: Known,
    pub(super) revoked: Cell<bool>,
    /// Something was ordered since it was last compared.
    touched: bool,
}

impl Key {
    /// Whether requests with it are answered; none if that cannot be tried.
    pub(super) fn is_working(&self) -> Option<bool> {
        let known = self.known == Known::Acknowledged && self.secret.is_some();
        (known && self.revoked.sent.is_none()).then_some(!self.revoked.held)
    }
}

/// What an order is about, in the newest project.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    Project,
    App(usize),
    /// An app whose name is taken: it must be refused.
    Clash,
    Key(usize),
    Revocation(usize),
    Ids,
}

/// An operator with the journal.
pub(super) struct Operator {
    rng: StdRng,
    pub(super) yards: Vec<Yard>,
    pub(super) counts: Counts,
    /// Answers that should not have been.
    wrong: Vec<String>,
    names: u64,
}

impl Operator {
    pub(super) fn new(rng: StdRng) -> Self {
        Self {
            rng,
            yards: Vec::new(),
            counts: Counts::default(),
            wrong: Vec::new(),
            names: 0,
        }
    }

    /// Works until the server is gone.
    pub(super) async fn work(
        mut self,
        address: String,
        socket: Socket,
        moments: Arc<Moments>,
    ) -> Self {
        while self.act(&address, &socket, &moments).await {
            sleep(PAUSE).await;
        }
        self
    }

    /// Gives an order, and uses the key that it was about. False if the server is gone.
    async fn act(&mut self, address: &str, socket: &Socket, moments: &Moments) -> bool {
        let (order, about) = self.next();
        let said = socket.order(&order, &moments.order).await;
        let goes_on = self.learn(&order, about, &said);
        let tried = match about {
            About::Key(at) | About::Revocation(at) => Some(at).filter(|_| goes_on),
            About::Project | About::App(_) | About::Clash | About::Ids => None,
        };
        let key = tried.and_then(|at| self.yards.last()?.keys.get(at));
        if let Some(key) = key.cloned()
            && let Ok(Some(wrong)) = try_key(address, &key).await
        {
            self.wrong.push(wrong);
        }
        goes_on
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}", self.names)
    }

    /// Chooses an order, and notes that it is sent.
    pub(super) fn next(&mut self) -> (Order, About) {
        let usable = |yard: &&Yard| yard.known == Known::Acknowledged && yard.keys.len() < KEYS_MAX;
        let Some(yard) = self.yards.last().filter(usable) else {
            return self.project();
        };
        let apps = yard.apps.iter();
        let apps = apps.filter(|app| app.is_known()).count();
        let is_free = |app: &App| app.known == Known::Refused;
        let free = yard.apps.iter().position(is_free);
        match self.rng.random_range(0..100) {
            _ if apps == 0 => self.app(free),
            0..10 if yard.apps.len() < APPS_MAX || free.is_some() => self.app(free),
            10..15 => self.clash(),
            15..50 => self.revocation(),
            _ => self.key(),
        }
    }

    fn project(&mut self) -> (Order, About) {
        let project = self.name("project");
        self.yards.push(Yard {
            name: project.clone(),
            known: Known::Sent,
            apps: Vec::new(),
            keys: Vec::new(),
            touched: true,
        });
        (Order::CreateProject { project }, About::Project)
    }

    /// The newest project, which there is.
    fn yard(&mut self) -> Option<&mut Yard> {
        let yard = self.yards.last_mut()?;
        yard.touched = true;
        Some(yard)
    }

    /// An app: the one that was not made when its order was interrupted, or a new one.
    fn app(&mut self, again: Option<usize>) -> (Order, About) {
        let at = self.rng.random_range(0..MODES.len());
        let mode = MODES.get(at).copied().unwrap_or_default();
        let (name, instructions) = (self.name("app"), canary(&mut self.rng));
        self.counts.canaries += 1;
        let Some(yard) = self.yard() else {
            return self.project();
        };
        let new = App {
            name,
            mode,
            line: None,
            known: Known::Sent,
        };
        let at = again.unwrap_or(yard.apps.len());
        let mut app = new;
        match yard.apps.get_mut(at) {
            Some(refused) => {
                app.name.clone_from(&refused.name);
                *refused = app.clone();
            }
            None => yard.apps.push(app.clone()),
        }
        let order = Order::CreateApp {
            project: yard.name.clone(),
            name: app.name,
            mode,
            instructions,
        };
        (order, About::App(at))
    }

    fn clash(&mut self) -> (Order, About) {
        let app = self.yards.last().and_then(|yard| {
            let app = yard.apps.iter().find(|app| app.is_known())?;
            Some((yard.name.clone(), app.name.clone()))
        });
        let Some((project, name)) = app else {
            return self.project();
        };
        let order = Order::CreateApp {
            project,
            name,
            mode: "chat",
            instructions: String::new(),
        };
        (order, About::Clash)
    }

    fn key(&mut self) -> (Order, About) {
        let user = format!("user-{}", canary(&mut self.rng));
        let (number, which) = (self.rng.random_range(0..4), self.rng.random_range(0..8));
        let dialect = Dialect::ALL.get::<usize>(number).copied();
        let dialect = dialect.unwrap_or(Dialect::OpenAi);
        self.counts.canaries += 1;
        let Some(yard) = self.yard() else {
            return self.project();
        };
        let apps = yard.apps.iter().filter(|app| app.is_known());
        let apps: Vec<&App> = apps.collect();
        let app = apps.get::<usize>(which % apps.len().max(1));
        let app = app.map_or_else(String::new, |app| app.name.clone());
        yard.keys.push(Key {
            user: user.clone(),
            dialect,
            app: app.clone(),
            secret: None,
            id: None,
            known: Known::Sent,
            revoked: Cell::new(false),
            touched: true,
        });
        let order = Order::CreateKey {
            project: yard.name.clone(),
            dialect,
            app,
            user,
        };
        (order, About::Key(yard.keys.len() - 1))
    }

    /// The end of a key whose id is known; else the ids are asked for.
    fn revocation(&mut self) -> (Order, About) {
        let number: usize = self.rng.random_range(0..KEYS_MAX);
        let Some(yard) = self.yard() else {
            return self.project();
        };
        let project = yard.name.clone();
        let living = |(at, key): (usize, &mut Key)| {
            let living = key.known == Known::Acknowledged && !key.revoked.held;
            Some((at, key.id.clone()?)).filter(|_| living)
        };
        let ids: Vec<(usize, String)> = yard
            .keys
            .iter_mut()
            .enumerate()
            .filter_map(living)
            .collect();
        let Some((at, id)) = ids.get(number % ids.len().max(1)).cloned() else {
            return (Order::ListKeys { project }, About::Ids);
        };
        if let Some(key) = yard.keys.get_mut(at) {
            key.revoked.send(true);
            key.touched = true;
        }
        (Order::RevokeKey { project, id }, About::Revocation(at))
    }

    /// Notes what has come of an order. True if the server is there for more.
    pub(super) fn learn(&mut self, order: &Order, about: About, said: &Said) -> bool {
        match said {
            Said::Done(text) => {
                let name = order.name();
                *self.counts.acknowledged.entry(name).or_default() += 1;
                self.done(about, text);
                true
            }
            Said::Refused(why) => {
                if !matches!(about, About::Clash) {
                    let name = order.name();
                    self.wrong
                        .push(format!("operator: {name} was refused: {why}"));
                }
                true
            }
            Said::Unheard => false,
            Said::Unknown => {
                self.counts.unknown += 1;
                self.counts.orders += 1;
                false
            }
        }
    }

    fn done(&mut self, about: About, text: &str) {
        let Some(yard) = self.yards.last_mut() else {
            return;
        };
        let text = text.trim_end();
        match about {
            About::Project => yard.known = Known::Acknowledged,
            About::App(at) => {
                if let Some(app) = yard.apps.get_mut(at) {
                    app.known = Known::Acknowledged;
                    app.line = Some(text.to_owned());
                }
            }
            About::Clash => {
                let wrong = format!("operator: two apps have the same name: {text}");
                self.wrong.push(wrong);
            }
            About::Key(at) => {
                if let Some(key) = yard.keys.get_mut(at) {
                    key.known = Known::Acknowledged;
                    key.secret = Some(text.to_owned());
                }
            }
            About::Revocation(at) => {
                if let Some(key) = yard.keys.get_mut(at) {
                    key.revoked.acknowledge();
                }
            }
            About::Ids => check::ids(yard, text),
        }
    }
}

/// Uses a key; what is wrong, if it works and should not, or the reverse. An error if the server does
/// not answer.
pub(super) async fn try_key(address: &str, key: &Key) -> anyhow::Result<Option<String>> {
    let (Some(works), Some(secret)) = (key.is_working(), &key.secret) else {
        return Ok(None);
    };
    let path = match key.dialect {
        Dialect::OpenAi | Dialect::Dify => "/v1/conversations?limit=1",
        // Its answer is 200 whether there is such a conversation or not.
        Dialect::Coze => "/v1/conversation/retrieve?conversation_id=1",
        Dialect::OpenHands => "/api/conversations?limit=1",
    };
    let mut line = Line::connect(address).await?;
    line.send(&dialect::request(key.dialect, secret, "GET", path, None))
        .await?;
    let Asked::Whole(answer) = line.answer().await else {
        anyhow::bail!("no answer to a request with a key");
    };
    let wanted = if works { 200 } else { 401 };
    let is = if works { "was made" } else { "was revoked" };
    let (user, name) = (&key.user, key.dialect.name());
    let wrong = format!(
        "the {name} key of {user} {is}, and is answered {}",
        answer.status
    );
    Ok((answer.status != wanted).then_some(wrong))
}
