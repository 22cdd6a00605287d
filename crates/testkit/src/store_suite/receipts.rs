//! Receipts: written with a delete, signed later, kept for good.

use std::time::Duration;

use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{ConversationId, ConversationRef, Id, ReceiptId};
use parlance_domain::model::{Erasure, ItemsBucket, Principal, ReceiptState, SignedReceipt};
use parlance_domain::store::{Outcome, Write};

use super::bench::{Bench, Refusal, elsewhere, refused};
use crate::samples::{PROJECT, app, principal};

/// Deletes, and gives the receipt.
async fn delete(bench: &Bench, who: &Principal, id: ConversationId) -> ReceiptId {
    match bench.delete(who, id).await.unwrap() {
        Outcome::Deleted { receipt, .. } => receipt,
        Outcome::Done | Outcome::Added { .. } => panic!("nothing was deleted"),
    }
}

async fn due(bench: &Bench) -> Vec<Erasure> {
    bench.store.receipts_to_sign(100).await.unwrap()
}

/// What would be signed of an erasure now, without a signature.
fn signed(bench: &Bench, erasure: &Erasure) -> SignedReceipt {
    let (now, sealed) = (bench.now(), erasure.commitment.is_some());
    SignedReceipt {
        id: erasure.receipt,
        project: erasure.project,
        state: if erasure.is_purged {
            ReceiptState::Complete
        } else {
            ReceiptState::Destroyed
        },
        key_destroyed_at: erasure.key_destroyed_at.or(sealed.then_some(now)),
        json: format!("signed at {}", now.micros()),
    }
}

/// Signs all that is due, once. Gives how many.
async fn sign(bench: &Bench) -> usize {
    let due = due(bench).await;
    let receipts: Vec<_> = due.iter().map(|erasure| signed(bench, erasure)).collect();
    bench.store.store_signed(&receipts).await.unwrap();
    due.len()
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
        let record = bench
            .store
            .receipt(PROJECT, receipt)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (record.entry.state, record.json),
            (ReceiptState::Pending, None)
        );
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
    let record = bench.store.receipt(PROJECT, receipt).await.unwrap();
    assert_eq!(record.unwrap().entry.state, ReceiptState::Complete);
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

pub async fn a_signed_receipt_is_kept_and_never_goes_back(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let receipt = delete(bench, &who, id).await;
    let erasure = due(bench).await.remove(0);
    let last = signed(bench, &erasure);
    bench
        .store
        .store_signed(std::slice::from_ref(&last))
        .await
        .unwrap();
    assert_eq!(due(bench).await, []);
    let earlier = SignedReceipt {
        state: ReceiptState::Destroyed,
        json: "earlier".to_owned(),
        ..last.clone()
    };
    let again = SignedReceipt {
        json: "again".to_owned(),
        ..last.clone()
    };
    let unknown = SignedReceipt {
        id: bench.id(),
        ..last.clone()
    };
    bench
        .store
        .store_signed(&[earlier, again, unknown])
        .await
        .unwrap();
    let record = bench
        .store
        .receipt(PROJECT, receipt)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.entry.state, record.json),
        (ReceiptState::Complete, Some(last.json))
    );
    let elsewhere = bench.store.receipt(elsewhere("ann").project, receipt).await;
    assert_eq!(elsewhere.unwrap(), None);
}

pub async fn a_large_conversations_receipt_is_complete_after_the_sweep(bench: &Bench) {
    let who = principal("ann");
    let (id, _) = bench.make_with(&who, 2_500).await;
    let receipt = delete(bench, &who, id).await;
    // Signed before the sweep where there is something to say: a key that is destroyed.
    sign(bench).await;
    let before = bench
        .store
        .receipt(PROJECT, receipt)
        .await
        .unwrap()
        .unwrap();
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
    let after = bench
        .store
        .receipt(PROJECT, receipt)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.entry.state, ReceiptState::Complete);
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

pub async fn only_so_many_are_signed_at_once(bench: &Bench) {
    let who = principal("ann");
    for id in bench.make_some(&who, 3).await {
        delete(bench, &who, id).await;
    }
    assert_eq!(bench.store.receipts_to_sign(2).await.unwrap().len(), 2);
    assert_eq!(sign(bench).await, 3);
    assert_eq!(sign(bench).await, 0);
}
