//! The log of receipts: appended to, never changed, read in order.

use parlance_domain::Timestamp;
use parlance_domain::ids::{Id, ReceiptId};
use parlance_domain::model::{Due, Principal, ReceiptState};
use parlance_domain::receipt_log::{Event, LogEntry, LogHead, LoggedBatch, NewBatch, Stated};
use parlance_domain::store::StoreError;

use super::bench::{Bench, Refusal};
use super::receipts::{delete, next_batch, record, sign};
use crate::samples::{PROJECT, happening, notary, principal};

/// Deletes so many conversations, which leave receipts to be signed.
async fn erase(bench: &Bench, who: &Principal, count: usize) {
    for id in bench.make_some(who, count).await {
        delete(bench, who, id).await;
    }
}

async fn head(bench: &Bench) -> LogHead {
    bench.store.log_head().await.unwrap()
}

async fn batch(bench: &Bench, count_max: u32) -> NewBatch {
    let batch = next_batch(&*bench.store, bench.now(), count_max).await;
    batch.unwrap()
}

/// The receipt of a batch's first entry.
fn receipt_of(batch: &NewBatch) -> ReceiptId {
    match batch.entries[0].of {
        Stated::Receipt { receipt, .. } => receipt,
        Stated::Event(_) => panic!("an event has no receipt"),
    }
}

/// What a batch's first entry is about, but of another receipt.
fn about(batch: &NewBatch, receipt: ReceiptId) -> Stated {
    match batch.entries[0].of.clone() {
        Stated::Receipt {
            project,
            state,
            key_destroyed_at,
            ..
        } => Stated::Receipt {
            receipt,
            project,
            state,
            key_destroyed_at,
            root_renewed_at: None,
        },
        Stated::Event(_) => panic!("an event has no receipt"),
    }
}

async fn due(bench: &Bench, count_max: u32) -> Vec<Due> {
    bench.store.receipts_to_sign(count_max).await.unwrap()
}

/// Something happens.
async fn happens(bench: &Bench) -> Event {
    bench.tick();
    let event = happening(&bench.ids, bench.now());
    bench.store.record_event(event.clone()).await.unwrap();
    event
}

async fn logged(bench: &Bench, first: u64, entries_max: u32) -> Vec<LoggedBatch> {
    bench.store.logged(first, entries_max).await.unwrap()
}

fn refused(result: &Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::Changed)), "{result:?}");
}

pub async fn a_new_log_is_empty(bench: &Bench) {
    assert_eq!(head(bench).await, LogHead::default());
    assert_eq!(logged(bench, 0, 9).await, []);
}

pub async fn batches_are_read_back_in_order_at_every_page_size(bench: &Bench) {
    let who = principal("ann");
    let mut wanted = Vec::new();
    for count in [1, 3, 2] {
        erase(bench, &who, count).await;
        let new = batch(bench, 100).await;
        let statements = new.entries.iter().map(|entry| entry.statement.clone());
        wanted.push(LoggedBatch {
            first: new.first,
            signed: new.signed.clone(),
            statements: statements.collect(),
            checkpoint: None,
        });
        let after = new.after.clone();
        bench.store.append_to_log(new).await.unwrap();
        assert_eq!(head(bench).await, after);
    }
    for (entries_max, batches) in [(0, 0), (1, 1), (2, 2), (4, 2), (5, 3), (9, 3)] {
        assert_eq!(logged(bench, 0, entries_max).await, wanted[..batches]);
    }
    assert_eq!(logged(bench, 4, 9).await, wanted[2..]);
    for nowhere in [2, 6, 7] {
        assert_eq!(logged(bench, nowhere, 9).await, [], "no batch begins there");
    }
}

pub async fn every_receipt_is_proven_by_its_batch(bench: &Bench) {
    let who = principal("ann");
    let mut receipts = Vec::new();
    for count in [1, 3, 2] {
        for id in bench.make_some(&who, count).await {
            receipts.push(delete(bench, &who, id).await);
        }
        sign(bench).await;
    }
    for (place, receipt) in (0..).zip(receipts) {
        let proven = record(bench, receipt).await.proven.unwrap();
        assert_eq!(proven.place, place);
        let first = [0, 1, 1, 1, 4, 4][usize::try_from(place).unwrap()];
        let count = [1, 3, 3, 3, 2, 2][usize::try_from(place).unwrap()];
        assert_eq!((proven.first, proven.leaves.len()), (first, count));
    }
}

pub async fn a_batch_that_does_not_follow_the_last_is_refused(bench: &Bench) {
    let who = principal("ann");
    erase(bench, &who, 2).await;
    let (one, other) = (batch(bench, 1).await, batch(bench, 2).await);
    let one_again = one.clone();
    bench.store.append_to_log(one).await.unwrap();
    let before = (head(bench).await, logged(bench, 0, 9).await);
    refused(&bench.store.append_to_log(other).await);
    refused(&bench.store.append_to_log(one_again).await);
    let mut beyond = batch(bench, 1).await;
    beyond.first = 2;
    refused(&bench.store.append_to_log(beyond).await);
    assert_eq!((head(bench).await, logged(bench, 0, 9).await), before);
    assert_eq!(sign(bench).await, 1, "the other one is still due");
}

pub async fn a_batch_of_what_was_said_or_is_not_there_is_refused_whole(bench: &Bench) {
    let who = principal("ann");
    erase(bench, &who, 1).await;
    let said = batch(bench, 1).await;
    bench.store.append_to_log(said.clone()).await.unwrap();
    erase(bench, &who, 1).await;
    let before = (head(bench).await, logged(bench, 0, 9).await);
    let new = batch(bench, 1).await;
    let mut again = new.clone();
    again.entries.extend(said.entries.clone());
    refused(&bench.store.append_to_log(again).await);
    let mut unknown = new.clone();
    unknown.entries.extend(said.entries);
    unknown.entries[1].of = about(&new, bench.id());
    refused(&bench.store.append_to_log(unknown).await);
    let mut earlier = new.clone();
    let receipt = receipt_of(&new);
    earlier.entries[0].of = Stated::Receipt {
        receipt,
        project: PROJECT,
        state: ReceiptState::Pending,
        key_destroyed_at: None,
        root_renewed_at: None,
    };
    refused(&bench.store.append_to_log(earlier).await);
    assert_eq!((head(bench).await, logged(bench, 0, 9).await), before);
    let untouched = record(bench, receipt).await.entry.state;
    assert_eq!(untouched, ReceiptState::Pending);
    bench.store.append_to_log(new).await.unwrap();
}

pub async fn what_is_said_of_the_root_is_said_once(bench: &Bench) {
    let who = principal("ann");
    erase(bench, &who, 1).await;
    let said = batch(bench, 1).await;
    bench.store.append_to_log(said.clone()).await.unwrap();
    erase(bench, &who, 3).await;
    let Stated::Receipt {
        receipt,
        project,
        state,
        key_destroyed_at,
        ..
    } = said.entries[0].of
    else {
        panic!("it is a receipt's");
    };
    let entry = |renewed_at: Option<i64>| LogEntry {
        of: Stated::Receipt {
            receipt,
            project,
            state,
            key_destroyed_at,
            root_renewed_at: renewed_at.map(Timestamp::from_micros),
        },
        statement: said.entries[0].statement.clone(),
    };
    for (renewed_at, accepted) in [
        (None, false),
        (Some(9), true),
        (Some(9), false),
        (None, false),
    ] {
        let mut new = batch(bench, 1).await;
        new.entries[0] = entry(renewed_at);
        let appended = bench.store.append_to_log(new).await;
        if accepted {
            appended.unwrap();
        } else {
            refused(&appended);
        }
    }
    let last = record(bench, receipt).await;
    assert_eq!(last.proven.unwrap().place, 1);
    assert_eq!(sign(bench).await, 3, "the others are still due");
}

pub async fn a_checkpoint_is_kept_with_the_batch_that_it_follows(bench: &Bench) {
    let who = principal("ann");
    for count in [1, 2] {
        erase(bench, &who, count).await;
        sign(bench).await;
    }
    let at = Timestamp::from_micros(7);
    let new = notary().checkpoint(&head(bench).await, at);
    bench.store.keep_checkpoint(new.clone()).await.unwrap();
    assert_eq!(head(bench).await, new.after);
    refused(&bench.store.keep_checkpoint(new.clone()).await);
    let (after, text) = (new.after.clone(), new.signed.clone());
    erase(bench, &who, 1).await;
    sign(bench).await;
    let before = head(bench).await;
    refused(&bench.store.keep_checkpoint(new).await);
    assert_eq!(head(bench).await, before);
    assert_eq!(
        (
            before.checkpoints,
            before.checkpointed,
            before.checkpointed_at
        ),
        (1, 3, after.checkpointed_at)
    );
    let found = logged(bench, 0, 9).await.into_iter();
    let found: Vec<_> = found.map(|batch| batch.checkpoint).collect();
    assert_eq!(found, [None, Some(text), None]);
}

pub async fn an_event_waits_until_it_is_stated_and_comes_before_receipts(bench: &Bench) {
    let who = principal("ann");
    erase(bench, &who, 2).await;
    // The later one has the smaller id, as after a clock was set back.
    let last = happens(bench).await;
    let mut first = happening(&bench.ids, bench.now());
    first.id = Id::from_bits(last.id.bits() - 1);
    bench.store.record_event(first.clone()).await.unwrap();
    let again = bench.store.record_event(first.clone()).await;
    super::bench::refused(again, Refusal::IdClash);
    let events = [last, first].map(Due::Event);
    let all = due(bench, 9).await;
    assert_eq!(all[..2], events);
    assert_eq!(all.len(), 4, "the receipts come after them");
    for count_max in 1..4_u32 {
        let some = due(bench, count_max).await;
        assert_eq!(some, all[..usize::try_from(count_max).unwrap()]);
    }
    let mut wanted = Vec::new();
    for count_max in [1, 9] {
        let new = batch(bench, count_max).await;
        wanted.extend(new.entries.iter().map(|entry| entry.statement.clone()));
        bench.store.append_to_log(new).await.unwrap();
    }
    assert_eq!(due(bench, 9).await, [], "all is stated");
    let found = logged(bench, 0, 9).await.into_iter();
    let found: Vec<_> = found.flat_map(|batch| batch.statements).collect();
    assert_eq!(found, wanted);
}

pub async fn an_event_that_waits_no_more_is_not_stated_again(bench: &Bench) {
    happens(bench).await;
    let stated = batch(bench, 9).await;
    bench.store.append_to_log(stated.clone()).await.unwrap();
    happens(bench).await;
    let before = (head(bench).await, logged(bench, 0, 9).await);
    let mut again = batch(bench, 9).await;
    again.entries.extend(stated.entries);
    refused(&bench.store.append_to_log(again).await);
    assert_eq!((head(bench).await, logged(bench, 0, 9).await), before);
    assert_eq!(sign(bench).await, 1, "the other one still waits");
}

pub async fn no_receipt_is_found_by_an_events_id(bench: &Bench) {
    let event = happens(bench).await;
    let looked_for = async |bits| bench.store.receipt(ReceiptId::from_bits(bits)).await;
    for _ in 0..2 {
        for bits in [event.id.bits(), 0] {
            assert_eq!(looked_for(bits).await.unwrap(), None);
        }
        sign(bench).await;
    }
}
