//! Compares all that can be read of two stores.

use parlance_domain::ids::{ConversationId, Id, ReceiptId, Ref};
use parlance_domain::model::{
    ConversationQuery, Cursor, Item, ItemFilter, ItemQuery, ItemRef, ItemType, Order, Page,
    Principal, SeqRange, Sort, TurnQuery,
};
use parlance_domain::receipt_log::{LoggedBatch, ProvenEntry};
use parlance_domain::store::Store;

use super::{World, said};
use crate::samples::app;

pub(super) async fn agree_on_lists(
    model: &dyn Store,
    store: &dyn Store,
    world: &World,
    who: &Principal,
) {
    let anchors = world.conversations.iter().rev().take(6).copied();
    let cursors: Vec<_> = std::iter::once(Cursor::default())
        .chain(anchors.clone().map(|id| Cursor {
            after: Some(id.into()),
            before: None,
        }))
        .chain(anchors.clone().map(|id| Cursor {
            after: None,
            before: Some(id.into()),
        }))
        .chain(
            anchors
                .clone()
                .zip(anchors.skip(2))
                .map(|(one, two)| Cursor {
                    after: Some(one.into()),
                    before: Some(two.into()),
                }),
        )
        .collect();
    for sort in [Sort::Created, Sort::Updated] {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            for app in [None, Some(app(1))] {
                for cursor in &cursors {
                    let query = ConversationQuery {
                        sort,
                        order,
                        cursor: cursor.clone(),
                        app,
                        rows_max: 2,
                    };
                    agree_on_list(model, store, who, query).await;
                }
            }
        }
    }
}

/// Compares a list page by page.
async fn agree_on_list(
    model: &dyn Store,
    store: &dyn Store,
    who: &Principal,
    mut query: ConversationQuery,
) {
    loop {
        let wanted = said(model.conversations(who, &query).await);
        let found = said(store.conversations(who, &query).await);
        assert_eq!(found, wanted, "{query:?}");
        let Ok(Page {
            rows,
            has_more: true,
        }) = wanted
        else {
            return;
        };
        if query.cursor.after.is_none() && query.cursor.before.is_some() {
            query.cursor.before = Some(rows[0].id.into());
        } else {
            query.cursor.after = Some(rows[rows.len() - 1].id.into());
        }
    }
}

/// Compares the turns of a principal, alone and page by page.
pub(super) async fn agree_on_turns(
    model: &dyn Store,
    store: &dyn Store,
    world: &World,
    who: &Principal,
) {
    for turn in &world.turns {
        let decimal = Ref::from_decimal(&turn.decimal().to_string());
        for turn in std::iter::once((*turn).into()).chain(decimal) {
            let wanted = model.turn(who, turn).await.unwrap();
            assert_eq!(store.turn(who, turn).await.unwrap(), wanted);
        }
    }
    let anchors = world.turns.iter().rev().take(4);
    let anchors: Vec<_> = std::iter::once(None)
        .chain(anchors.map(|turn| Some((*turn).into())))
        .collect();
    let within = world.conversations.iter().rev().take(3);
    let within: Vec<_> = std::iter::once(None)
        .chain(within.map(|id| Some((*id).into())))
        .collect();
    for (after, before) in anchors
        .iter()
        .flat_map(|one| anchors.iter().map(move |other| (one, other)))
    {
        for conversation in &within {
            for (order, app) in [
                (Order::OldestFirst, None),
                (Order::NewestFirst, Some(app(1))),
            ] {
                let query = TurnQuery {
                    order,
                    cursor: Cursor {
                        after: *after,
                        before: *before,
                    },
                    conversation: *conversation,
                    app,
                    rows_max: 2,
                };
                agree_on_turn_page(model, store, who, query).await;
            }
        }
    }
}

async fn agree_on_turn_page(
    model: &dyn Store,
    store: &dyn Store,
    who: &Principal,
    mut query: TurnQuery,
) {
    loop {
        let wanted = said(model.turn_page(who, &query).await);
        let found = said(store.turn_page(who, &query).await);
        assert_eq!(found, wanted, "{query:?}");
        let Ok(Page {
            rows,
            has_more: true,
        }) = wanted
        else {
            return;
        };
        if query.cursor.after.is_none() && query.cursor.before.is_some() {
            query.cursor.before = Some(rows[0].id.into());
        } else {
            query.cursor.after = Some(rows[rows.len() - 1].id.into());
        }
    }
}

/// Compares the logs, but for what is said in them.
pub(super) async fn agree_on_log(model: &dyn Store, store: &dyn Store) {
    let (wanted, found) = (
        model.log_head().await.unwrap(),
        store.log_head().await.unwrap(),
    );
    assert_eq!(
        (
            found.tree.size(),
            found.batches,
            found.checkpoints,
            found.checkpointed
        ),
        (
            wanted.tree.size(),
            wanted.batches,
            wanted.checkpoints,
            wanted.checkpointed
        )
    );
    for (first, entries_max) in [(0, 1), (0, 5), (0, u32::MAX), (1, 3), (2, 1)] {
        let shape = |batches: Vec<LoggedBatch>| -> Vec<_> {
            let batches = batches.into_iter();
            let shape = |batch: LoggedBatch| {
                (
                    batch.first,
                    batch.statements.len(),
                    batch.checkpoint.is_some(),
                )
            };
            batches.map(shape).collect()
        };
        let wanted = shape(model.logged(first, entries_max).await.unwrap());
        assert_eq!(
            shape(store.logged(first, entries_max).await.unwrap()),
            wanted
        );
    }
}

pub(super) async fn agree_on_one(
    model: &dyn Store,
    store: &dyn Store,
    world: &World,
    who: &Principal,
    id: ConversationId,
) {
    let wanted = model.conversation(who, id.into()).await.unwrap();
    let found = store.conversation(who, id.into()).await.unwrap();
    assert_eq!(found, wanted);
    let wanted_receipt = model.receipt_of(who, id.into()).await.unwrap();
    let found = store.receipt_of(who, id.into()).await.unwrap();
    assert_eq!(found, wanted_receipt);
    if let Some(receipt) = wanted_receipt {
        agree_on_receipt(model, store, receipt).await;
    }
    let mut turns = said(model.turns(who, id.into(), &world.turns).await);
    let mut found = said(store.turns(who, id.into(), &world.turns).await);
    for turns in [&mut turns, &mut found].into_iter().flatten() {
        turns.sort_by_key(|turn| turn.id);
    }
    assert_eq!(found, turns);
    if wanted.is_none() {
        return;
    }
    let mut names: Vec<ItemRef> = (0..4)
        .map(|alias| ItemRef::Alias(format!("alias {alias}")))
        .collect();
    names.extend((0..8).map(ItemRef::Seq));
    names.extend(world.items.iter().rev().take(12).map(|id| (*id).into()));
    for name in &names {
        let wanted: Result<Item, _> = said(model.item(who, id.into(), name).await);
        assert_eq!(said(store.item(who, id.into(), name).await), wanted);
    }
    agree_on_items(model, store, world, who, id, &names).await;
}

async fn agree_on_receipt(model: &dyn Store, store: &dyn Store, receipt: ReceiptId) {
    let wanted = model.receipt(receipt).await.unwrap().unwrap();
    let found = store.receipt(receipt).await.unwrap().unwrap();
    assert_eq!(found.project, wanted.project);
    assert_eq!(found.entry.state, wanted.entry.state);
    let place = |proven: Option<ProvenEntry>| proven.map(|proven| (proven.place, proven.first));
    assert_eq!(place(found.proven), place(wanted.proven));
}

async fn agree_on_items(
    model: &dyn Store,
    store: &dyn Store,
    world: &World,
    who: &Principal,
    id: ConversationId,
    names: &[ItemRef],
) {
    let reasoning = ItemType::parse("reasoning").unwrap();
    let filters = [
        ItemFilter::Everything,
        ItemFilter::NoEvents,
        ItemFilter::Dialogue,
        ItemFilter::DialogueAndEvents,
        ItemFilter::OfType(reasoning),
    ];
    let mut anchors = vec![(None, None)];
    for (at, name) in names.iter().enumerate() {
        anchors.push((Some(name.clone()), None));
        anchors.push((None, Some(name.clone())));
        anchors.push((Some(name.clone()), names.get(at + 3).cloned()));
    }
    for (at, (after, before)) in anchors.into_iter().enumerate() {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let query = ItemQuery {
                order,
                cursor: Cursor {
                    after: after.clone(),
                    before: before.clone(),
                },
                within: match at % 3 {
                    0 => SeqRange { first: 1, last: 4 },
                    _ => SeqRange::ALL,
                },
                filter: filters[at % filters.len()].clone(),
                settled: at % 2 == 0,
                turn: world
                    .turns
                    .iter()
                    .rev()
                    .nth(at / 5)
                    .copied()
                    .filter(|_| at % 5 == 4),
                rows_max: 2,
            };
            let wanted = said(model.items(who, id.into(), &query).await);
            let found = said(store.items(who, id.into(), &query).await);
            assert_eq!(found, wanted, "{query:?}");
        }
    }
}
