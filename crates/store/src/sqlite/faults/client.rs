//! What clients do: made up from chance, out of what there may be.

use std::sync::Arc;
use std::time::Duration;

use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::erasing::EraseQuery;
use parlance_domain::ids::{ConversationId, HoldId, Id, IdSource, ItemId, KeyId, TurnId};
use parlance_domain::model::{
    App, AppMode, KeyDigest, KeyRecord, NewItem, Principal, Project, Realm, Scopes, TurnState,
    Usage, User,
};
use parlance_domain::store::{AdminWrite, Batch, Write};
use parlance_faultdisk::Chance;
use parlance_testkit::ManualClock;
use parlance_testkit::samples::{self, PROJECT, app, metadata, principal, question};

use super::erase::Chosen;

/// What every text holds, and no file may.
pub(super) const CANARY: &str = "canary";
/// As long as a tombstone is kept.
const DAY: Duration = Duration::from_hours(24);

/// Something that is done with a store.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Batches that are waiting at the same time, and so are committed together.
    Batches(Vec<(Principal, Batch)>),
    Administer(AdminWrite),
    /// What operators erase at once.
    Erase(EraseQuery, Chosen),
    /// All turns that run are over.
    EndTurns(Timestamp),
    Sweep(Timestamp),
    /// Gives pages back and empties the log.
    EmptyLog,
    /// Signs the receipts that are due.
    Sign,
    /// Fills the keyring, as its thread does.
    Fill,
    /// Writes the log of erasures, as a task does every second.
    Log,
    /// Replaces the root.
    RenewRoot,
    /// Reads everything.
    Read,
    /// Begins to read, and goes on for some time.
    Look,
    /// Ends that.
    LookAway,
}

/// A conversation that may be there.
struct Made {
    id: ConversationId,
    who: usize,
    items: Vec<ItemId>,
    turns: Vec<TurnId>,
}

/// All that was ever made, whether it was done or not.
pub(super) struct World {
    pub(super) chance: Chance,
    clock: Arc<ManualClock>,
    pub(super) ids: IdSource,
    principals: [Principal; 3],
    conversations: Vec<Made>,
    keys: Vec<(KeyId, KeyDigest)>,
    /// Holds that may be there.
    pub(super) holds: Vec<HoldId>,
    number: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::default());
        let ann = principal("ann the canary");
        Self {
            chance: Chance::new(seed),
            ids: samples::ids(Arc::<ManualClock>::clone(&clock)),
            clock,
            principals: [ann.clone(), principal(""), ann.in_realm(Realm::LoneTurns)],
            conversations: Vec::new(),
            keys: Vec::new(),
            holds: Vec::new(),
            number: 0,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) const fn principals(&self) -> &[Principal] {
        &self.principals
    }

    pub(super) fn conversations(&self) -> impl Iterator<Item = (ConversationId, &Principal)> {
        let made = self.conversations.iter();
        made.map(|made| (made.id, &self.principals[made.who]))
    }

    pub(super) fn turns(&self, of: ConversationId) -> &[TurnId] {
        let made = self.conversations.iter().find(|made| made.id == of);
        made.map_or(&[], |made| &made.turns)
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = &KeyDigest> {
        self.keys.iter().map(|(_, digest)| digest)
    }

    /// A text with a number of its own; some are longer than a page.
    fn text(&mut self) -> String {
        self.number += 1;
        let more = match self.chance.below(12) {
            0 => 9_000,
            1 | 2 => 1_500,
            _ => 20,
        };
        let number = self.number;
        format!("{CANARY} {number} {}", "x".repeat(more))
    }

    fn items(&mut self, count: u64) -> Vec<NewItem> {
        let item = |_| {
            let text = self.text();
            let mut item = samples::item(&self.ids, question(&text));
            if self.chance.one_in(3) {
                item.alias = Some(format!("{CANARY} alias {}", self.number));
            }
            item
        };
        (0..count).map(item).collect()
    }

    /// What chance wants next.
    pub(super) fn act(&mut self) -> Act {
        self.clock.advance(Duration::from_millis(3));
        match self.chance.below(53) {
            0..24 => Act::Batches(vec![self.batch(self.conversations.len())]),
            24..29 => {
                // What comes at the same time cannot know of each other.
                let (known, count) = (self.conversations.len(), 2 + self.chance.below(3));
                Act::Batches((0..count).map(|_| self.batch(known)).collect())
            }
            29 | 30 => Act::Administer(self.administration()),
            31..34 => Act::Sweep(self.now().earlier(DAY)),
            34 => {
                self.clock.advance(2 * DAY);
                Act::Sweep(self.now().earlier(DAY))
            }
            35 => Act::EmptyLog,
            36 | 37 => Act::Sign,
            51 | 52 => Act::RenewRoot,
            38 => Act::Fill,
            48..51 => Act::Log,
            39 | 40 => Act::Look,
            41 => Act::LookAway,
            42 | 43 => Act::Administer(self.holding()),
            44 | 45 => self.erasure(),
            _ => Act::Read,
        }
    }

    fn batch(&mut self, known: usize) -> (Principal, Batch) {
        let make = known == 0 || self.chance.one_in(5);
        let (at, write) = if make {
            self.create()
        } else {
            let at = known - 1 - self.chance.index(known.min(5));
            (at, self.change(at))
        };
        let mut batch = Batch::of(write);
        // What stands alone begins with its turn.
        if make && self.principals[self.conversations[at].who].realm == Realm::LoneTurns {
            batch.writes.push(self.start_turn(at));
        }
        // Now and then two writes, which are done together or not at all.
        if self.chance.one_in(6) {
            batch.writes.push(self.change(at));
        }
        let who = self.conversations[at].who;
        (self.principals[who].clone(), batch)
    }

    pub(super) fn create(&mut self) -> (usize, Write) {
        let mut new = samples::conversation(&self.ids, app(1), self.now());
        new.title = Some(self.text());
        new.metadata = metadata(&[(CANARY, &format!("{CANARY} {}", self.number))]);
        let count = self.chance.below(4);
        new.items = self.items(count);
        let who = self.chance.index(self.principals.len());
        self.conversations.push(Made {
            id: new.id,
            who,
            items: new.items.iter().map(|item| item.id).collect(),
            turns: Vec::new(),
        });
        let at = self.conversations.len() - 1;
        (at, Write::Create(Box::new(new)))
    }

    pub(super) fn append(&mut self, to: usize, count: u64) -> Write {
        let items = self.items(count);
        let made = &mut self.conversations[to];
        made.items.extend(items.iter().map(|item| item.id));
        Write::Append {
            conversation: made.id,
            items,
            at: self.clock.now(),
        }
    }

    pub(super) fn rename(&mut self, to: usize) -> Write {
        Write::SetTitle {
            title: Some(self.text()),
            conversation: self.conversations[to].id,
            at: self.now(),
        }
    }

    pub(super) fn remove(&mut self, to: usize) -> Write {
        let made = &self.conversations[to];
        let item = self.chance.index(made.items.len());
        Write::RemoveItems {
            conversation: made.id,
            items: made.items.get(item).copied().into_iter().collect(),
            at: self.now(),
        }
    }

    pub(super) fn delete(&self, to: usize) -> Write {
        Write::Delete {
            conversation: self.conversations[to].id.into(),
            receipt: self.ids.next(),
            requested_at: self.now(),
            at: self.now(),
        }
    }

    fn change(&mut self, to: usize) -> Write {
        let at = self.now();
        let id = self.conversations[to].id;
        match self.chance.below(17) {
            0..5 => {
                let count = 1 + self.chance.below(4);
                self.append(to, count)
            }
            5 => self.rename(to),
            6 | 7 => self.remove(to),
            8 => Write::SetMetadata {
                conversation: id,
                metadata: metadata(&[(CANARY, &self.text()[..20])]),
                at,
            },
            9 => Write::SetActive {
                conversation: id.into(),
                active: self.chance.one_in(2),
            },
            10 => self.replace(to),
            11 => self.start_turn(to),
            12 => self.finish_turn(to),
            13 => self.remove_turn(to),
            _ => self.delete(to),
        }
    }

    fn replace(&mut self, to: usize) -> Write {
        let text = self.text();
        let made = &self.conversations[to];
        let item = made.items.get(self.chance.index(made.items.len()));
        Write::ReplaceItem {
            conversation: made.id,
            item: item.copied().unwrap_or(ItemId::from_bits(1)),
            content: question(&text),
            at: self.now(),
        }
    }

    fn start_turn(&mut self, to: usize) -> Write {
        let (text, input) = (self.text(), self.items(1));
        let made = &mut self.conversations[to];
        let turn = match self.principals[made.who].realm {
            Realm::LoneTurns if made.turns.is_empty() => TurnId::from_bits(made.id.bits()),
            Realm::Conversations | Realm::LoneTurns => self.ids.next(),
        };
        made.items.extend(input.iter().map(|item| item.id));
        made.turns.push(turn);
        Write::StartTurn {
            conversation: made.id,
            turn,
            app: app(1),
            record: Box::new(samples::record(&text)),
            input,
            at: self.clock.now(),
        }
    }

    fn finish_turn(&mut self, to: usize) -> Write {
        let (text, output) = (self.text(), self.items(1));
        let record = self.chance.one_in(2);
        let made = &mut self.conversations[to];
        made.items.extend(output.iter().map(|item| item.id));
        Write::FinishTurn {
            conversation: made.id,
            turn: made.turns.last().copied().unwrap_or(TurnId::from_bits(1)),
            state: TurnState::Completed,
            usage: Usage::default(),
            record: record.then(|| Box::new(samples::record(&text))),
            output,
            at: self.clock.now(),
        }
    }

    fn remove_turn(&self, to: usize) -> Write {
        let made = &self.conversations[to];
        Write::RemoveTurn {
            conversation: made.id,
            turn: made.turns.last().copied().unwrap_or(TurnId::from_bits(1)),
        }
    }

    fn administration(&mut self) -> AdminWrite {
        self.number += 1;
        let (number, created_at) = (self.number, self.now());
        match self.chance.below(6) {
            0 => AdminWrite::CreateProject(Project {
                id: PROJECT,
                name: "one".to_owned(),
                created_at,
            }),
            1 => AdminWrite::CreateApp(App {
                id: self.ids.next(),
                project: PROJECT,
                name: format!("app {number}"),
                mode: AppMode::AgentChat,
                model: Some("echo".to_owned()),
                instructions: Some(format!("{CANARY} {number}")),
                created_at,
            }),
            2 if !self.keys.is_empty() => {
                let (key, _) = self.keys[self.chance.index(self.keys.len())];
                let (project, at) = (PROJECT, created_at);
                match self.principals[0]
                    .user
                    .clone()
                    .filter(|_| self.chance.one_in(2))
                {
                    Some(user) => AdminWrite::RetireKey {
                        project,
                        key,
                        user,
                        at,
                    },
                    None => AdminWrite::RevokeKey { project, key, at },
                }
            }
            _ => self.key(number),
        }
    }

    fn key(&mut self, number: u64) -> AdminWrite {
        let digest = KeyDigest::of(&number.to_string());
        let key = KeyRecord {
            id: self.ids.next(),
            project: PROJECT,
            app: app(1),
            dialect: "coze".to_owned(),
            scopes: Scopes::All,
            user: User::parse(&format!("{CANARY} {number}")).unwrap(),
            created_at: self.now(),
            revoked_at: None,
        };
        self.keys.push((key.id, digest));
        AdminWrite::CreateKey { key, digest }
    }

    /// A little of everything, always the same.
    pub(super) fn tour(&mut self) -> Vec<Act> {
        let mut acts = vec![Act::Fill, Act::Administer(self.key(1))];
        let alone = |world: &Self, at: usize, write| {
            let who = world.conversations[at].who;
            Act::Batches(vec![(world.principals[who].clone(), Batch::of(write))])
        };
        for _ in 0..2 {
            let (at, create) = self.create();
            acts.push(alone(self, at, create));
        }
        let append = self.append(0, 4);
        acts.push(alone(self, 0, append));
        let rename = self.rename(1);
        acts.push(alone(self, 1, rename));
        let remove = self.remove(0);
        acts.push(alone(self, 0, remove));
        let mut together = Vec::new();
        for at in [self.create(), (0, self.append(0, 1)), (1, self.delete(1))] {
            let (at, write) = at;
            let who = self.conversations[at].who;
            together.push((self.principals[who].clone(), Batch::of(write)));
        }
        acts.extend([Act::Batches(together), Act::Sign, Act::EmptyLog]);
        for turn in [self.start_turn(0), self.finish_turn(0), self.remove_turn(0)] {
            acts.push(alone(self, 0, turn));
        }
        let delete = self.delete(0);
        acts.push(alone(self, 0, delete));
        let hold = self.holding();
        let release = self.holding();
        acts.extend([Act::Administer(hold), Act::Administer(release)]);
        acts.push(self.erasure());
        acts.push(Act::Sweep(self.now().earlier(DAY)));
        acts.extend([Act::RenewRoot, Act::Log, Act::Sign, Act::Read]);
        acts
    }
}
