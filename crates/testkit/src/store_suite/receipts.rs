//! Receipts: written with a delete, signed later, kept for good.

use std::time::Duration;

use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{ConversationId, ConversationRef, Id, ReceiptId};
use parlance_domain::model::{Due, Erasure, ItemsBucket, Principal, ReceiptRecord, ReceiptState};
use parlance_domain::receipt_log::NewBatch;
use parlance_domain::store::{Outcome, Store, Write};

use super::bench::{Bench, Refusal, elsewhere, refused};
use crate::samples::{PROJECT, app, notary, principal};

/// Deletes, and gives the receipt.
pub(super) async fn delete(bench: &Bench, who: &Principal, id: ConversationId) -> ReceiptId {
    match bench.delete(who, id).await.unwrap() {
        Outcome::Deleted { receipt, .. } => receipt,
        Outcome::Done | Outcome::Added { .. } | Outcome::Left(_) => panic!("nothing was deleted"),
    }
}

async fn due(bench: &Bench) -> Vec<Erasure> {
    let due = bench.store.receipts_to_sign(100).await.unwrap();
    due.into_iter().map(erasure).collect()
}

fn erasure(due: Due) -> Erasure {
    match due {
        Due::Erasure(erasure) => erasure,
        Due::Carried { .. } | Due::Renewed { .. } | Due::Event(_) => {
            panic!("only receipts are due that have said nothing")
        }
    }
}

/// A batch that states what is due at the log's end, if anything is.
pub async fn next_batch(store: &dyn Store, now: Timestamp, count_max: u32) -> Option<NewBatch> {
    let head = store.log_head().await.unwrap();
    let due = store.receipts_to_sign(count_max).await.unwrap();
    let state = || notary().state(&head, now, &due).unwrap();
    (!due.is_empty()).then(state)
}

/// Signs all that is due, once. Gives how much.
pub(super) async fn sign(bench: &Bench) -> usize {
    match next_batch(&*bench.store, bench.now(), 100).await {
        None => 0,
        Some(batch) => {
            let count = batch.entries.len();
            bench.store.append_to_log(batch).await.unwrap();
            count
        }
    }
}

pub(super) async fn record(bench: &Bench, receipt: ReceiptId) -> ReceiptRecord {
    bench.store.receipt(receipt).await.unwrap().unwrap()
}

pub async fn a_delete_leaves_a_receipt_to_be_signed(bench: &Bench) {
    let who = principal("ann");
    for (count, bucket) in [(0, 0), (3, 1), (12, 2)] {
        let (id, _) = bench.make_with(&who, count).await;
        bench.tick();
        let receipt = delete(bench, &who, id).await;
        let due = due(bench).await;
        assert_eq!(due.len(), 1);
        let erasure = &due[0];
        assert_eq!((erasure.receipt, erasure.project), (receipt, PROJECT));
        assert_eq!(erasure.conversation, id);
        let requested = bench.now().earlier(Duration::from_millis(1));
        assert_eq!(
            (erasure.requested_at, erasure.tombstoned_at),
            (requested, bench.now())
        );
        assert_eq!((erasure.key_destroyed_at, erasure.is_purged), (None, true));
        assert_eq!(erasure.items, ItemsBucket::from_digits(bucket));
        let record = record(bench, receipt).await;
        assert_eq!(
            (record.project, record.entry.id, record.entry.state),
            (PROJECT, receipt, ReceiptState::Pending)
        );
        assert_eq!(record.proven, None);
        assert_eq!(sign(bench).await, 1);
    }
}

pub async fn a_receipt_is_found_again_by_its_principal_and_nobody_else(bench: &Bench) {
    for user in ["ann", ""] {
        let owner = principal(user);
        let id = bench.make(&owner).await;
        let of = |who: Principal, of: ConversationRef| async move {
            bench.store.receipt_of(&who, of).await.unwrap()
        };
        assert_eq!(of(owner.clone(), id.into()).await, None, "it lives");
        let receipt = delete(bench, &owner, id).await;
        let prefix = ConversationRef::from_decimal(&id.decimal().to_string()).unwrap();
        for named in [id.into(), prefix] {
            assert_eq!(of(owner.clone(), named).await, Some(receipt));
        }
        let bound = |number| Principal {
            app: Some(app(number)),
            ..principal(user)
        };
        assert_eq!(of(bound(1), id.into()).await, Some(receipt), "its app");
        for other in [
            principal("bob"),
            principal("ANN"),
            elsewhere(user),
            bound(2),
        ] {
            assert_eq!(of(other.clone(), id.into()).await, None, "{other:?}");
        }
    }
}

pub async fn a_receipt_is_forgotten_with_the_deletion_and_stays_itself(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let receipt = delete(bench, &who, id).await;
    bench.sweep(bench.now()).await;
    let found = bench.store.receipt_of(&who, id.into()).await.unwrap();
    assert_eq!(found, Some(receipt));
    bench.clock.advance(Duration::from_hours(24));
    bench.sweep(bench.now()).await;
    assert_eq!(bench.store.receipt_of(&who, id.into()).await.unwrap(), None);
    assert_eq!(due(bench).await.len(), 1, "it can still be signed");
    assert_eq!(sign(bench).await, 1);
    let state = record(bench, receipt).await.entry.state;
    assert_eq!(state, ReceiptState::Complete);
}

pub async fn a_second_delete_leaves_no_second_receipt(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let receipt = delete(bench, &who, id).await;
    refused(bench.delete(&who, id).await, Refusal::NoConversation);
    let other = bench.make(&who).await;
    refused(
        bench.delete(&principal("bob"), other).await,
        Refusal::NoConversation,
    );
    let due: Vec<_> = due(bench).await.iter().map(|due| due.receipt).collect();
    assert_eq!(due, [receipt]);
}

pub async fn a_receipts_id_is_taken_once(bench: &Bench) {
    let who = principal("ann");
    let (first, second) = (bench.make(&who).await, bench.make(&who).await);
    let receipt = delete(bench, &who, first).await;
    let again = Write::Delete {
        conversation: second.into(),
        receipt,
        requested_at: bench.now(),
        at: bench.now(),
    };
    refused(bench.apply(&who, again).await, Refusal::IdClash);
    assert!(
        bench.read(&who, second).await.is_some(),
        "nothing was deleted"
    );
}

pub async fn a_signed_receipt_is_found_by_whoever_has_its_id(bench: &Bench) {
    for who in [principal("ann"), elsewhere("ann")] {
        let id = bench.make(&who).await;
        let receipt = delete(bench, &who, id).await;
        let unknown = bench.store.receipt(bench.id()).await.unwrap();
        assert_eq!(unknown, None);
        assert_eq!(sign(bench).await, 1);
        assert_eq!(due(bench).await, []);
        let record = record(bench, receipt).await;
        assert_eq!(record.project, who.project);
        assert_eq!(record.entry.state, ReceiptState::Complete);
        assert_eq!(record.entry.tombstoned_at, bench.now());
        let text = record.proven.unwrap().text().unwrap();
        assert!(text.contains(&receipt.text()), "{text}");
    }
}

pub async fn a_large_conversations_receipt_is_complete_after_the_sweep(bench: &Bench) {
    let who = principal("ann");
    let (id, _) = bench.make_with(&who, 2_500).await;
    let receipt = delete(bench, &who, id).await;
    // Signed before the sweep where there is something to say: a key that is destroyed.
    sign(bench).await;
    let before = record(bench, receipt).await;
    let destroyed_at = bench.now();
    bench.clock.advance(Duration::from_secs(1));
    bench.sweep(Timestamp::default()).await;
    if before.entry.state != ReceiptState::Complete {
        let due = due(bench).await;
        assert_eq!(due.len(), 1);
        assert!(due[0].is_purged);
        assert_eq!(due[0].key_destroyed_at, Some(destroyed_at));
        assert_eq!(sign(bench).await, 1);
    }
    assert_eq!(due(bench).await, []);
    let after = record(bench, receipt).await;
    assert_eq!(after.entry.state, ReceiptState::Complete);
    let said = after.proven.unwrap().statement;
    assert!(said.contains("\"state\":\"complete\""), "{said}");
}

pub async fn receipts_are_listed_by_project_and_paged(bench: &Bench) {
    let away = elsewhere("ann");
    let foreign = bench.make(&away).await;
    let foreign = delete(bench, &away, foreign).await;
    let who = principal("ann");
    let mut made = Vec::new();
    for id in bench.make_some(&who, 5).await {
        made.push(delete(bench, &who, id).await);
    }
    let mut listed = Vec::new();
    loop {
        let after = listed.last().copied();
        let page = bench.store.receipts(PROJECT, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        listed.extend(page.iter().map(|entry| entry.id));
    }
    assert_eq!(listed, made);
    let theirs = bench.store.receipts(away.project, None, 9).await.unwrap();
    assert_eq!(
        theirs.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        [foreign]
    );
    assert!(
        theirs
            .iter()
            .all(|entry| entry.state == ReceiptState::Pending)
    );
}

pub async fn only_so_many_are_signed_at_once_and_the_oldest_first(bench: &Bench) {
    let mut made = Vec::new();
    for who in [elsewhere("ann"), principal("ann"), elsewhere("ann")] {
        let id = bench.make(&who).await;
        made.push(delete(bench, &who, id).await);
    }
    let some = bench.store.receipts_to_sign(2).await.unwrap();
    let some: Vec<ReceiptId> = some.iter().filter_map(Due::receipt).collect();
    assert_eq!(some, made[..2]);
    assert_eq!(sign(bench).await, 3);
    assert_eq!(sign(bench).await, 0);
}

pub async fn a_root_that_cannot_be_replaced_is_not_said_to_be(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let receipt = delete(bench, &who, id).await;
    for _ in 0..2 {
        refused(bench.store.renew_root().await, Refusal::FixedRoot);
        sign(bench).await;
        let record = record(bench, receipt).await;
        assert_ne!(record.entry.level.name(), "L3");
        assert!(!record.proven.unwrap().statement.contains("root_renewed"));
        assert_eq!(due(bench).await, []);
    }
}
