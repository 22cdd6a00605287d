//! Lists of conversations.

use parlance_domain::ids::{ConversationId, ConversationRef, Id};
use parlance_domain::model::{ConversationQuery, Cursor, Order, Page, Principal, Sort};

use super::bench::{Bench, Refusal, first, refused};
use crate::samples::{app, principal};

const SORTS: [Sort; 2] = [Sort::Created, Sort::Updated];
const ORDERS: [Order; 2] = [Order::OldestFirst, Order::NewestFirst];

fn after(query: &ConversationQuery, id: ConversationId) -> ConversationQuery {
    let mut query = query.clone();
    query.cursor.after = Some(id.into());
    query
}

fn before(query: &ConversationQuery, id: ConversationId) -> ConversationQuery {
    let mut query = query.clone();
    query.cursor.before = Some(id.into());
    query
}

fn ordered(mut ids: Vec<ConversationId>, order: Order) -> Vec<ConversationId> {
    if order == Order::NewestFirst {
        ids.reverse();
    }
    ids
}

/// Changes a conversation now.
async fn touch(bench: &Bench, who: &Principal, conversation: ConversationId) {
    bench.append(who, conversation, vec![]).await.unwrap();
}

/// Conversations of three apps, in the order of both sorts.
async fn some(bench: &Bench, who: &Principal, count: u8) -> Vec<ConversationId> {
    let mut made = Vec::new();
    for number in 0..count {
        made.push(bench.make_in(who, app(number % 3)).await);
        bench.tick();
    }
    bench.make(&principal("somebody else")).await;
    made
}

pub async fn conversations_are_listed_by_creation_in_both_directions(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 7).await;
    touch(bench, &who, made[2]).await;
    for order in ORDERS {
        let listed = bench.listed(&who, &first(Sort::Created, order, 100)).await;
        assert_eq!(listed, (ordered(made.clone(), order), false));
    }
}

pub async fn conversations_are_listed_by_change_in_both_directions(bench: &Bench) {
    let who = principal("ann");
    let mut made = some(bench, &who, 7).await;
    touch(bench, &who, made[2]).await;
    let touched = made.remove(2);
    made.push(touched);
    for order in ORDERS {
        let listed = bench.listed(&who, &first(Sort::Updated, order, 100)).await;
        assert_eq!(listed, (ordered(made.clone(), order), false));
    }
}

pub async fn equal_times_are_told_apart_by_the_id(bench: &Bench) {
    let who = principal("ann");
    let mut made = Vec::new();
    for number in 0..6 {
        made.push(bench.make_in(&who, app(number % 2)).await);
    }
    for order in ORDERS {
        let wanted = ordered(made.clone(), order);
        let mut query = first(Sort::Updated, order, 1);
        for id in &wanted {
            let (listed, _) = bench.listed(&who, &query).await;
            assert_eq!(listed, [*id]);
            query = after(&query, *id);
        }
        assert_eq!(bench.listed(&who, &query).await, (vec![], false));
    }
}

pub async fn every_page_size_gives_the_same_list(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 7).await;
    for (sort, order) in SORTS.into_iter().zip(ORDERS.into_iter().cycle()) {
        for rows_max in 1..=8 {
            let (mut query, mut all) = (first(sort, order, rows_max), Vec::new());
            loop {
                let (rows, has_more) = bench.listed(&who, &query).await;
                query = after(&query, *rows.last().unwrap());
                all.extend(rows);
                if !has_more {
                    break;
                }
            }
            assert_eq!(all, ordered(made.clone(), order));
        }
    }
}

pub async fn a_page_before_an_anchor_is_next_to_it(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 6).await;
    for sort in SORTS {
        for order in ORDERS {
            let made = ordered(made.clone(), order);
            let query = before(&first(sort, order, 2), made[4]);
            let listed = bench.listed(&who, &query).await;
            assert_eq!(listed, (made[2..4].to_vec(), true));
            let query = before(&first(sort, order, 2), made[2]);
            let listed = bench.listed(&who, &query).await;
            assert_eq!(listed, (made[..2].to_vec(), false));
            let query = before(&first(sort, order, 2), made[0]);
            assert_eq!(bench.listed(&who, &query).await, (vec![], false));
        }
    }
}

pub async fn a_page_between_two_anchors_holds_what_lies_between(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 6).await;
    for sort in SORTS {
        for order in ORDERS {
            let made = ordered(made.clone(), order);
            for (rows_max, wanted) in [(2, (1..3, true)), (3, (1..4, false)), (9, (1..4, false))] {
                let query = before(&after(&first(sort, order, rows_max), made[0]), made[4]);
                let listed = bench.listed(&who, &query).await;
                assert_eq!(listed, (made[wanted.0].to_vec(), wanted.1));
            }
            let crossed = before(&after(&first(sort, order, 9), made[4]), made[0]);
            assert_eq!(bench.listed(&who, &crossed).await, (vec![], false));
        }
    }
}

pub async fn a_page_that_is_exactly_full_has_no_more(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 4).await;
    for sort in SORTS {
        let query = first(sort, Order::OldestFirst, 4);
        let listed = bench.listed(&who, &query).await;
        assert_eq!(listed, (made.clone(), false));
        let query = first(sort, Order::OldestFirst, 3);
        let listed = bench.listed(&who, &query).await;
        assert_eq!(listed, (made[..3].to_vec(), true));
    }
}

pub async fn a_page_of_no_rows_is_empty(bench: &Bench) {
    let who = principal("ann");
    let query = first(Sort::Created, Order::OldestFirst, 0);
    let page = bench.store.conversations(&who, &query).await.unwrap();
    assert_eq!(page, Page::default());
    bench.make(&who).await;
    for sort in SORTS {
        let query = first(sort, Order::OldestFirst, 0);
        assert_eq!(bench.listed(&who, &query).await, (vec![], true));
    }
}

pub async fn a_deleted_anchor_keeps_its_place(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 5).await;
    bench.delete(&who, made[2]).await.unwrap();
    for sort in SORTS {
        for order in ORDERS {
            let made = ordered(made.clone(), order);
            let query = after(&first(sort, order, 9), made[2]);
            let listed = bench.listed(&who, &query).await;
            assert_eq!(listed, (made[3..].to_vec(), false));
            let query = before(&first(sort, order, 9), made[2]);
            let listed = bench.listed(&who, &query).await;
            assert_eq!(listed, (made[..2].to_vec(), false));
        }
    }
}

pub async fn an_unknown_anchor_is_a_place_by_creation_and_none_by_change(bench: &Bench) {
    let who = principal("ann");
    let old = bench.make(&who).await;
    bench.tick();
    let never: ConversationId = bench.id();
    bench.tick();
    let new = bench.make(&who).await;
    let query = after(&first(Sort::Created, Order::OldestFirst, 9), never);
    assert_eq!(bench.listed(&who, &query).await, (vec![new], false));
    let query = before(&first(Sort::Created, Order::OldestFirst, 9), never);
    assert_eq!(bench.listed(&who, &query).await, (vec![old], false));
    let query = first(Sort::Updated, Order::OldestFirst, 9);
    for query in [after(&query, never), before(&query, never)] {
        let listed = bench.store.conversations(&who, &query).await;
        refused(listed, Refusal::NoAnchor);
    }
}

pub async fn a_prefix_is_an_anchor(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 5).await;
    bench.delete(&who, made[2]).await.unwrap();
    for sort in SORTS {
        for at in [1, 2] {
            // The third is gone, so both are followed by the fourth.
            let mut query = first(sort, Order::OldestFirst, 9);
            query.cursor = Cursor {
                after: ConversationRef::from_decimal(&made[at].decimal().to_string()),
                before: None,
            };
            let (listed, _) = bench.listed(&who, &query).await;
            assert_eq!(listed, made[3..]);
        }
    }
}

pub async fn a_list_can_be_of_one_app(bench: &Bench) {
    let who = principal("ann");
    let made = some(bench, &who, 9).await;
    for sort in SORTS {
        let mut query = first(sort, Order::OldestFirst, 2);
        query.app = Some(app(1));
        let listed = bench.listed(&who, &query).await;
        assert_eq!(listed, (vec![made[1], made[4]], true));
        // An anchor of another app is a place in the list all the same.
        let query = after(&query, made[5]);
        assert_eq!(bench.listed(&who, &query).await, (vec![made[7]], false));
    }
}
