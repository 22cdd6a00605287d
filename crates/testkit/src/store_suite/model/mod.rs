//! Random operations, on which a store and the model of it must agree.

mod compare;
mod erasing;

use std::sync::Arc;
use std::time::Duration;

use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::ids::{ConversationId, ConversationRef, HoldId, Id, IdSource, ItemId, TurnId};
use parlance_domain::model::{ItemContent, NewItem, Principal, Realm, TurnState};
use parlance_domain::receipt_log::{Event, NewBatch, Stated};
use parlance_domain::store::{Batch, Outcome, Require, Store, StoreError, Write};
use proptest::collection::vec;
use proptest::prelude::*;

use self::compare::{agree_on_lists, agree_on_log, agree_on_one, agree_on_turns};
use self::erasing::{agree_on_erasing, agree_on_event, agree_on_holding};
use super::bench::{Refusal, USAGE, elsewhere, refusal};
use super::receipts::next_batch;
use crate::clock::ManualClock;
use crate::samples::{self, answer, app, event, metadata, principal, question, typed};

/// One step: something that a client, the sweeper or a start does.
#[derive(Clone, Debug)]
pub enum Step {
    /// A batch of somebody's.
    Apply {
        who: usize,
        /// So many milliseconds pass before; a clock may be set back.
        passed: i64,
        as_read: Option<(usize, usize, bool)>,
        writes: Vec<Change>,
    },
    Sweep {
        /// Forget all deletions.
        forget: bool,
    },
    /// Sign at most so many receipts.
    Sign {
        count_max: u32,
    },
    Checkpoint,
    /// A hold is added: on a conversation, on a user or on all.
    Hold {
        to: usize,
        covers: u8,
    },
    /// A hold is removed.
    Release {
        hold: usize,
    },
    /// An operator erases what is there: of a user, or what is old.
    Erase {
        user: bool,
        age: i64,
        count_max: u32,
    },
    /// Something happens that comes into the log: that again, now and then.
    Happen {
        again: bool,
    },
    Restart,
}

/// A write whose numbers choose among what there is.
#[derive(Clone, Debug)]
pub enum Change {
    Create {
        app: u8,
        clash: bool,
        items: Items,
    },
    Append {
        to: usize,
        items: Items,
    },
    Title {
        to: usize,
        text: Option<String>,
    },
    Metadata {
        to: usize,
        pairs: usize,
    },
    Active {
        to: usize,
        active: bool,
    },
    Section {
        to: usize,
    },
    Replace {
        to: usize,
        item: usize,
    },
    Remove {
        to: usize,
        items: Vec<usize>,
    },
    Start {
        to: usize,
        app: u8,
        input: Items,
    },
    /// A turn that stands alone, in a conversation of the same bits.
    Ask {
        app: u8,
        clash: bool,
        input: Items,
    },
    Finish {
        to: usize,
        turn: usize,
        record: bool,
        output: Items,
    },
    /// A turn is removed.
    Forget {
        to: usize,
        turn: usize,
    },
    Delete {
        to: usize,
        prefix: bool,
    },
}

/// New items.
#[derive(Clone, Debug)]
pub struct Items {
    kinds: Vec<(u8, Option<u8>)>,
    stale: bool,
}

fn items(count_max: usize) -> impl Strategy<Value = Items> {
    let alias = prop_oneof![2 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    (vec((0..5_u8, alias), 0..=count_max), 0..20_u8).prop_map(|(kinds, stale)| Items {
        kinds,
        stale: stale == 0,
    })
}

/// Which of the things there are; the latest more often.
fn which() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..2_usize, 1 => 0..12_usize]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (0..3_u8, 0..3_u8, items(3)).prop_map(|(app, clash, items)| Change::Create {
            app, clash: clash == 0, items,
        }),
        4 => (which(), items(4)).prop_map(|(to, items)| Change::Append { to, items }),
        1 => (which(), proptest::option::of("[a-zé]{0,3}"))
            .prop_map(|(to, text)| Change::Title { to, text }),
        1 => (which(), 0..3_usize).prop_map(|(to, pairs)| Change::Metadata { to, pairs }),
        1 => (which(), any::<bool>()).prop_map(|(to, active)| Change::Active { to, active }),
        1 => which().prop_map(|to| Change::Section { to }),
        1 => (which(), which()).prop_map(|(to, item)| Change::Replace { to, item }),
        2 => (which(), vec(which(), 0..3)).prop_map(|(to, items)| Change::Remove { to, items }),
        4 => (which(), 0..3_u8, items(2))
            .prop_map(|(to, app, input)| Change::Start { to, app, input }),
        3 => (which(), 0..2_usize, any::<bool>(), items(2))
            .prop_map(|(to, turn, record, output)| Change::Finish { to, turn, record, output }),
        2 => (which(), which()).prop_map(|(to, turn)| Change::Forget { to, turn }),
        2 => (0..3_u8, 0..3_u8, items(2)).prop_map(|(app, clash, input)| Change::Ask {
            app, clash: clash == 0, input,
        }),
        2 => (which(), any::<bool>()).prop_map(|(to, prefix)| Change::Delete { to, prefix }),
    ]
}

/// Steps to agree on.
pub fn steps(count_max: usize) -> impl Strategy<Value = Vec<Step>> {
    let as_read = proptest::option::weighted(0.1, (which(), which(), any::<bool>()));
    // Mostly one principal, so that something comes together; the others try their luck.
    let who = prop_oneof![6 => Just(0_usize), 2 => Just(5), 1 => 0..6_usize];
    let count = prop_oneof![3 => Just(1_usize), 1 => 2..4_usize];
    let writes = count.prop_flat_map(|count| vec(change(), count));
    let apply =
        (who, -2..4_i64, as_read, writes).prop_map(|(who, passed, as_read, writes)| Step::Apply {
            who,
            passed,
            as_read,
            writes,
        });
    let step = prop_oneof![
        30 => apply,
        1 => any::<bool>().prop_map(|forget| Step::Sweep { forget }),
        2 => (1..4_u32).prop_map(|count_max| Step::Sign { count_max }),
        1 => Just(Step::Checkpoint),
        1 => any::<bool>().prop_map(|again| Step::Happen { again }),
        2 => (which(), 0..3_u8).prop_map(|(to, covers)| Step::Hold { to, covers }),
        3 => (0..3_usize).prop_map(|hold| Step::Release { hold }),
        1 => (any::<bool>(), -1..6_i64, 1..4_u32)
            .prop_map(|(user, age, count_max)| Step::Erase { user, age, count_max }),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..=count_max)
}

/// What was made so far, refused things included; the latest first.
struct World {
    clock: Arc<ManualClock>,
    ids: IdSource,
    principals: [Principal; 6],
    conversations: Vec<ConversationId>,
    items: Vec<ItemId>,
    turns: Vec<TurnId>,
    last_event: Option<Event>,
    holds: Vec<HoldId>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let bound = Principal {
            app: Some(app(1)),
            ..principal("ann")
        };
        Self {
            ids: samples::ids(Arc::<ManualClock>::clone(&clock)),
            clock,
            principals: [
                principal("ann"),
                principal("bob"),
                principal(""),
                elsewhere("ann"),
                bound,
                principal("ann").in_realm(Realm::LoneTurns),
            ],
            conversations: Vec::new(),
            items: Vec::new(),
            turns: Vec::new(),
            last_event: None,
            holds: Vec::new(),
        }
    }

    fn pass(&self, millis: i64) {
        let micros = self.clock.now().micros() + millis * 1_000;
        self.clock.set(Timestamp::from_micros(micros));
    }

    fn conversation(&self, at: usize) -> ConversationId {
        let found = self.conversations.iter().rev().nth(at);
        found.copied().unwrap_or(ConversationId::from_bits(1))
    }

    fn item(&self, at: usize) -> ItemId {
        let found = self.items.iter().rev().nth(at);
        found.copied().unwrap_or(ItemId::from_bits(1))
    }

    fn turn(&self, at: usize) -> TurnId {
        let found = self.turns.iter().rev().nth(at);
        found.copied().unwrap_or(TurnId::from_bits(1))
    }

    fn new_items(&mut self, items: &Items) -> Vec<NewItem> {
        let mut made = Vec::new();
        for (kind, alias) in &items.kinds {
            let content = content(*kind);
            let id = if items.stale && !self.items.is_empty() {
                self.item(0)
            } else {
                self.ids.next()
            };
            self.items.push(id);
            made.push(NewItem {
                id,
                alias: alias.map(|alias| format!("alias {alias}")),
                content,
            });
        }
        made
    }

    fn batch(&mut self, as_read: Option<(usize, usize, bool)>, writes: &[Change]) -> Batch {
        let require = as_read.map(|(conversation, item, changed)| Require::ItemAsRead {
            conversation: self.conversation(conversation),
            item: self.item(item),
            modified_at: changed.then(|| self.clock.now()),
        });
        Batch {
            require: require.into_iter().collect(),
            writes: writes
                .iter()
                .flat_map(|change| self.writes(change))
                .collect(),
        }
    }

    fn writes(&mut self, change: &Change) -> Vec<Write> {
        let Change::Ask { app, clash, input } = change else {
            return vec![self.write(change)];
        };
        let at = self.clock.now();
        let nothing = Items {
            kinds: Vec::new(),
            stale: false,
        };
        let create = self.create(*app, *clash, &nothing, at);
        let conversation = self.conversation(0);
        let turn = TurnId::from_bits(conversation.bits());
        self.turns.push(turn);
        let start = self.begin(conversation, turn, *app, input, at);
        vec![create, start]
    }

    fn write(&mut self, change: &Change) -> Write {
        let at = self.clock.now();
        match change {
            Change::Create {
                app,
                clash,
                items: kinds,
            }
            | Change::Ask {
                app,
                clash,
                input: kinds,
            } => self.create(*app, *clash, kinds, at),
            Change::Append { to, items } => Write::Append {
                conversation: self.conversation(*to),
                items: self.new_items(items),
                at,
            },
            Change::Title { to, text } => Write::SetTitle {
                conversation: self.conversation(*to),
                title: text.clone(),
                at,
            },
            Change::Metadata { to, pairs } => Write::SetMetadata {
                conversation: self.conversation(*to),
                metadata: metadata(&[("b", "1"), ("a", "é")][..*pairs]),
                at,
            },
            Change::Active { to, active } => Write::SetActive {
                conversation: self.conversation(*to).into(),
                active: *active,
            },
            Change::Section { to } => Write::StartSection {
                conversation: self.conversation(*to),
                section: self.ids.next(),
                at,
            },
            Change::Replace { to, item } => Write::ReplaceItem {
                conversation: self.conversation(*to),
                item: self.item(*item),
                content: question("replaced"),
                at,
            },
            Change::Remove { to, items } => Write::RemoveItems {
                conversation: self.conversation(*to),
                items: items.iter().map(|item| self.item(*item)).collect(),
                at,
            },
            Change::Start { to, app, input } => self.start(*to, *app, input, at),
            Change::Finish {
                to,
                turn,
                record,
                output,
            } => self.finish((*to, *turn), *record, output, at),
            Change::Forget { to, turn } => Write::RemoveTurn {
                conversation: self.conversation(*to),
                turn: self.turn(*turn),
            },
            Change::Delete { to, prefix } => self.delete(*to, *prefix, at),
        }
    }

    fn delete(&self, to: usize, prefix: bool, at: Timestamp) -> Write {
        let id = self.conversation(to);
        let decimal = ConversationRef::from_decimal(&id.decimal().to_string());
        let conversation = decimal.filter(|_| prefix).unwrap_or(id.into());
        Write::Delete {
            conversation,
            receipt: self.ids.next(),
            requested_at: at,
            at,
        }
    }

    fn create(&mut self, app: u8, clash: bool, items: &Items, at: Timestamp) -> Write {
        let mut new = samples::conversation(&self.ids, samples::app(app), at);
        if clash && !self.conversations.is_empty() {
            new.id = ConversationId::from_bits(self.conversation(0).bits() ^ 1);
        }
        new.items = self.new_items(items);
        self.conversations.push(new.id);
        Write::Create(Box::new(new))
    }

    fn start(&mut self, to: usize, app: u8, input: &Items, at: Timestamp) -> Write {
        let turn = self.ids.next();
        self.turns.push(turn);
        self.begin(self.conversation(to), turn, app, input, at)
    }

    fn begin(
        &mut self,
        conversation: ConversationId,
        turn: TurnId,
        app: u8,
        input: &Items,
        at: Timestamp,
    ) -> Write {
        Write::StartTurn {
            conversation,
            turn,
            app: samples::app(app),
            record: Box::new(samples::record("begun")),
            input: self.new_items(input),
            at,
        }
    }

    fn finish(
        &mut self,
        (to, turn): (usize, usize),
        record: bool,
        output: &Items,
        at: Timestamp,
    ) -> Write {
        Write::FinishTurn {
            conversation: self.conversation(to),
            turn: self.turn(turn),
            state: TurnState::Completed,
            usage: USAGE,
            record: record.then(|| Box::new(samples::record("over"))),
            output: self.new_items(output),
            at,
        }
    }
}

fn content(kind: u8) -> ItemContent {
    match kind {
        0 | 1 => question("q"),
        2 => answer("a"),
        3 => typed("reasoning"),
        _ => event("e"),
    }
}

/// What a store says, so that two can be compared.
fn said<T>(result: Result<T, StoreError>) -> Result<T, Refusal> {
    result.map_err(|error| refusal(&error))
}

/// Signs on both stores. What they say differs, because the model seals nothing; of what, does not.
async fn agree_on_signing(model: &dyn Store, store: &dyn Store, now: Timestamp, count_max: u32) {
    let wanted = next_batch(model, now, count_max).await;
    let found = next_batch(store, now, count_max).await;
    let said = |batch: &Option<NewBatch>| -> Option<Vec<_>> {
        let entries = batch.as_ref()?.entries.iter();
        let of = entries.map(|said| match said.of.clone() {
            Stated::Receipt {
                receipt,
                project,
                state,
                ..
            } => Stated::Receipt {
                receipt,
                project,
                state,
                key_destroyed_at: None,
                root_renewed_at: None,
            },
            event @ Stated::Event(_) => event,
        });
        Some(of.collect())
    };
    assert_eq!(said(&found), said(&wanted));
    for (store, batch) in [(model, wanted), (store, found)] {
        if let Some(batch) = batch {
            store.append_to_log(batch).await.unwrap();
        }
    }
}

async fn agree_on_batch(model: &dyn Store, store: &dyn Store, who: &Principal, batch: &Batch) {
    let wanted: Result<Vec<Outcome>, _> = said(model.apply(who, batch).await);
    assert_eq!(said(store.apply(who, batch).await), wanted, "{batch:?}");
}

async fn agree_on_restart(model: &dyn Store, store: &dyn Store, at: Timestamp) {
    let wanted = model.fail_running_turns(at).await.unwrap();
    assert_eq!(store.fail_running_turns(at).await.unwrap(), wanted);
}

async fn agree_on_checkpoint(model: &dyn Store, store: &dyn Store, now: Timestamp) {
    let mut kept = Vec::new();
    for store in [model, store] {
        let new = samples::notary().checkpoint(&store.log_head().await.unwrap(), now);
        kept.push(match new.after.tree.size() {
            0 => None,
            _ => Some(said(store.keep_checkpoint(new).await)),
        });
    }
    assert_eq!(kept[0], kept[1]);
}

/// Takes the steps on both stores, and compares what they say and then all that can be read.
pub async fn agree(model: &dyn Store, store: &dyn Store, steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        match step {
            Step::Apply {
                who,
                passed,
                as_read,
                writes,
            } => {
                world.pass(*passed);
                let who = world.principals[*who].clone();
                let batch = world.batch(*as_read, writes);
                agree_on_batch(model, store, &who, &batch).await;
            }
            Step::Sweep { forget } => {
                let later = if *forget {
                    Duration::from_secs(1)
                } else {
                    Duration::ZERO
                };
                world.clock.advance(later);
                for store in [model, store] {
                    while store.sweep(world.clock.now()).await.unwrap() {}
                }
            }
            Step::Sign { count_max } => {
                let now = world.clock.now();
                agree_on_signing(model, store, now, *count_max).await;
            }
            Step::Checkpoint => agree_on_checkpoint(model, store, world.clock.now()).await,
            Step::Hold { to, covers } => {
                agree_on_holding(model, store, &world.hold(*to, *covers)).await;
            }
            Step::Release { hold } => {
                agree_on_holding(model, store, &world.release(*hold)).await;
            }
            Step::Erase {
                user,
                age,
                count_max,
            } => {
                let what = world.order(*user, *age);
                agree_on_erasing(model, store, &world, &what, *count_max).await;
            }
            Step::Happen { again } => {
                agree_on_event(model, store, world.happening(*again)).await;
            }
            Step::Restart => agree_on_restart(model, store, world.clock.now()).await,
        }
    }
    agree_on_log(model, store).await;
    for who in &world.principals {
        agree_on_lists(model, store, &world, who).await;
        agree_on_turns(model, store, &world, who).await;
        for id in &world.conversations {
            agree_on_one(model, store, &world, who, *id).await;
        }
    }
}
