//! Random operations, on which a store and the model of it must agree.

mod compare;
mod erasing;
mod world;

use std::time::Duration;

use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::model::Principal;
use parlance_domain::receipt_log::{NewBatch, Stated};
use parlance_domain::store::{Batch, Outcome, Store, StoreError};
use proptest::collection::vec;
use proptest::prelude::*;

use self::compare::{agree_on_lists, agree_on_log, agree_on_one, agree_on_turns};
use self::erasing::{agree_on_erasing, agree_on_event, agree_on_holding};
use self::world::World;
use super::bench::{Refusal, refusal};
use super::receipts::next_batch;
use crate::samples;

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
    agree_on_all(model, store, &world).await;
}

async fn agree_on_all(model: &dyn Store, store: &dyn Store, world: &World) {
    agree_on_log(model, store).await;
    for who in &world.principals {
        agree_on_lists(model, store, world, who).await;
        agree_on_turns(model, store, world, who).await;
        for id in &world.conversations {
            agree_on_one(model, store, world, who, *id).await;
        }
    }
}
