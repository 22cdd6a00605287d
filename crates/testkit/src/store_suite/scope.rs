//! Nobody sees or changes what is another principal's.

use parlance_domain::ids::{ConversationId, ItemId, TurnId};
use parlance_domain::model::{
    Cursor, ItemQuery, Metadata, Order, Page, Principal, Sort, TurnState, Usage,
};
use parlance_domain::store::{Batch, Require, Write};

use super::bench::{Bench, Refusal, elsewhere, first, refused};
use crate::samples::{app, principal, question};

/// Everybody who is not the given principal.
pub(super) fn others(user: &str) -> Vec<Principal> {
    let other_app = Principal {
        app: Some(app(9)),
        ..principal(user)
    };
    let strangers = ["ann", "ANN", "ann ", "bob", ""].into_iter();
    let mut others: Vec<_> = strangers
        .filter(|stranger| *stranger != user)
        .map(principal)
        .collect();
    others.extend([other_app, elsewhere(user), elsewhere("bob")]);
    others
}

/// For an owner with and without a user: a conversation with an item and a running turn.
async fn owned(bench: &Bench, user: &str) -> (Principal, ConversationId, ItemId, TurnId) {
    let owner = principal(user);
    let (conversation, items) = bench.make_with(&owner, 1).await;
    let turn = bench.start(&owner, conversation, vec![]).await.unwrap();
    (owner, conversation, items[0], turn)
}

pub async fn another_principal_sees_no_conversation(bench: &Bench) {
    for user in ["ann", ""] {
        let (owner, id, ..) = owned(bench, user).await;
        assert!(bench.read(&owner, id).await.is_some());
        for other in others(user) {
            assert_eq!(bench.read(&other, id).await, None, "{other:?}");
        }
    }
}

pub async fn another_principal_lists_nothing(bench: &Bench) {
    let (owner, id, ..) = owned(bench, "ann").await;
    for sort in [Sort::Created, Sort::Updated] {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let query = first(sort, order, 10);
            assert_eq!(bench.listed(&owner, &query).await, (vec![id], false));
            for other in others("ann") {
                let listed = bench.store.conversations(&other, &query).await.unwrap();
                assert_eq!(listed, Page::default(), "{other:?}");
            }
        }
    }
}

pub async fn another_principal_reads_no_items_and_no_turns(bench: &Bench) {
    for user in ["ann", ""] {
        let (owner, id, item, turn) = owned(bench, user).await;
        let store = &bench.store;
        let query = ItemQuery::first(Order::OldestFirst, 10);
        assert_eq!(
            store.turns(&owner, id.into(), &[turn]).await.unwrap().len(),
            1
        );
        for other in others(user) {
            let why = Refusal::NoConversation;
            refused(store.items(&other, id.into(), &query).await, why);
            refused(store.item(&other, id.into(), &item.into()).await, why);
            refused(store.turns(&other, id.into(), &[turn]).await, why);
        }
    }
}

pub async fn another_principal_changes_nothing(bench: &Bench) {
    for user in ["ann", ""] {
        let (owner, conversation, item, turn) = owned(bench, user).await;
        let before = bench.read(&owner, conversation).await;
        let items = bench.all_items(&owner, conversation).await;
        bench.tick();
        for other in others(user) {
            for write in all_writes(bench, conversation, item, turn) {
                refused(bench.apply(&other, write).await, Refusal::NoConversation);
            }
        }
        assert_eq!(bench.read(&owner, conversation).await, before);
        assert_eq!(bench.all_items(&owner, conversation).await, items);
    }
}

/// One of each write that needs a conversation.
pub(super) fn all_writes(
    bench: &Bench,
    conversation: ConversationId,
    item: ItemId,
    turn: TurnId,
) -> Vec<Write> {
    let at = bench.now();
    vec![
        Write::Append {
            conversation,
            items: bench.questions(1),
            at,
        },
        Write::SetTitle {
            conversation,
            title: Some("stolen".to_owned()),
            at,
        },
        Write::SetMetadata {
            conversation,
            metadata: Metadata::default(),
            at,
        },
        Write::SetActive {
            conversation: conversation.into(),
            active: true,
        },
        Write::StartSection {
            conversation,
            section: bench.id(),
            at,
        },
        Write::ReplaceItem {
            conversation,
            item,
            content: question("stolen"),
            at,
        },
        Write::RemoveItems {
            conversation,
            items: vec![item],
            at,
        },
        Write::StartTurn {
            conversation,
            turn: bench.id(),
            app: app(1),
            record: Box::default(),
            input: vec![],
            at,
        },
        Write::FinishTurn {
            conversation,
            turn,
            state: TurnState::Completed,
            usage: Usage::default(),
            record: None,
            output: vec![],
            at,
        },
        Write::RemoveTurn { conversation, turn },
        bench.deletion(conversation.into()),
    ]
}

pub async fn another_principal_meets_no_precondition(bench: &Bench) {
    let (owner, conversation, item, _) = owned(bench, "ann").await;
    let batch = Batch {
        require: vec![Require::ItemAsRead {
            conversation,
            item,
            modified_at: None,
        }],
        writes: vec![],
    };
    bench.store.apply(&owner, &batch).await.unwrap();
    for other in others("ann") {
        refused(bench.store.apply(&other, &batch).await, Refusal::Changed);
    }
}

pub async fn another_principals_conversation_is_no_anchor_by_change(bench: &Bench) {
    let (owner, living, ..) = owned(bench, "ann").await;
    let gone = bench.make(&owner).await;
    bench.delete(&owner, gone).await.unwrap();
    for anchor in [living, gone] {
        let mut query = first(Sort::Updated, Order::OldestFirst, 10);
        query.cursor = Cursor {
            after: Some(anchor.into()),
            before: None,
        };
        bench.store.conversations(&owner, &query).await.unwrap();
        for other in others("ann") {
            let listed = bench.store.conversations(&other, &query).await;
            refused(listed, Refusal::NoAnchor);
        }
    }
}

pub async fn a_principal_bound_to_an_app_sees_that_app_alone(bench: &Bench) {
    let owner = principal("ann");
    let one = bench.make_in(&owner, app(1)).await;
    let two = bench.make_in(&owner, app(2)).await;
    let bound = Principal {
        app: Some(app(2)),
        ..owner.clone()
    };
    assert_eq!(bench.read(&bound, one).await, None);
    assert!(bench.read(&bound, two).await.is_some());
    for sort in [Sort::Created, Sort::Updated] {
        let mut query = first(sort, Order::NewestFirst, 10);
        assert_eq!(bench.listed(&owner, &query).await, (vec![two, one], false));
        assert_eq!(bench.listed(&bound, &query).await, (vec![two], false));
        query.app = Some(app(1));
        assert_eq!(bench.listed(&bound, &query).await, (vec![], false));
    }
}

pub async fn a_principal_bound_to_an_app_changes_that_app_alone(bench: &Bench) {
    let owner = principal("ann");
    let bound = Principal {
        app: Some(app(2)),
        ..owner.clone()
    };
    let one = bench.make_in(&owner, app(1)).await;
    let two = bench.make_in(&bound, app(2)).await;
    refused(bench.delete(&bound, one).await, Refusal::NoConversation);
    bench.delete(&owner, two).await.unwrap();
    assert!(bench.read(&owner, one).await.is_some());
}
