//! Lists of turns.

use parlance_domain::ids::{AppId, ConversationId, Id, Ref, TurnId};
use parlance_domain::model::{Cursor, Order, Page, Principal, Realm, TurnQuery};
use parlance_domain::store::Write;

use super::bench::{Bench, Refusal, refused};
use super::scope::others;
use crate::samples::{app, principal};

const ORDERS: [Order; 2] = [Order::OldestFirst, Order::NewestFirst];

/// The first page of all turns.
pub(super) fn first(order: Order, rows_max: u32) -> TurnQuery {
    TurnQuery {
        order,
        cursor: Cursor::default(),
        conversation: None,
        app: None,
        rows_max,
    }
}

/// The ids of a page, and whether there are more.
async fn listed(bench: &Bench, who: &Principal, query: &TurnQuery) -> (Vec<TurnId>, bool) {
    let page = bench.store.turn_page(who, query).await.unwrap();
    for row in &page.rows {
        let alone = bench.turn(who, row.id).await;
        assert_eq!(alone.as_ref(), Some(row), "a page says what one turn says");
    }
    (page.rows.iter().map(|row| row.id).collect(), page.has_more)
}

/// A turn of an app, in a conversation of app 1.
async fn turn_in(bench: &Bench, who: &Principal, of: ConversationId, answers: AppId) -> TurnId {
    let turn = bench.id();
    let write = Write::StartTurn {
        conversation: of,
        turn,
        app: answers,
        record: Box::default(),
        input: bench.questions(1),
        at: bench.now(),
    };
    bench.apply(who, write).await.unwrap();
    bench.finish(who, of, turn, vec![]).await.unwrap();
    turn
}

/// Turns of both realms in turns, oldest first: two conversations and some that stand alone.
async fn make(bench: &Bench, who: &Principal) -> (Vec<TurnId>, [ConversationId; 2]) {
    let conversations = [bench.make(who).await, bench.make(who).await];
    let mut turns = Vec::new();
    for round in 0..3 {
        turns.push(turn_in(bench, who, conversations[0], app(1)).await);
        turns.push(bench.ask(who, app(2)).await);
        if round > 0 {
            bench.tick();
        }
        turns.push(turn_in(bench, who, conversations[1], app(2)).await);
    }
    (turns, conversations)
}

fn ordered(mut turns: Vec<TurnId>, order: Order) -> Vec<TurnId> {
    if order == Order::NewestFirst {
        turns.reverse();
    }
    turns
}

pub async fn turns_of_both_realms_are_paged_in_both_directions_at_every_size(bench: &Bench) {
    let who = principal("ann");
    let (turns, _) = make(bench, &who).await;
    for order in ORDERS {
        let wanted = ordered(turns.clone(), order);
        for realm in [Realm::Conversations, Realm::LoneTurns] {
            let who = who.in_realm(realm);
            for rows_max in 1..=10 {
                let (mut found, mut query) = (Vec::new(), first(order, rows_max));
                loop {
                    let (page, has_more) = listed(bench, &who, &query).await;
                    query.cursor.after = page.last().map(|id| (*id).into());
                    found.extend(page);
                    assert_eq!(has_more, found.len() < wanted.len());
                    if !has_more {
                        break;
                    }
                }
                assert_eq!(found, wanted);
            }
        }
    }
}

pub async fn a_page_before_an_anchor_is_next_to_it(bench: &Bench) {
    let who = principal("ann");
    let (turns, _) = make(bench, &who).await;
    for order in ORDERS {
        let wanted = ordered(turns.clone(), order);
        for at in 0..wanted.len() {
            let mut query = first(order, 2);
            query.cursor.before = Some(wanted[at].into());
            let page = wanted[at.saturating_sub(2)..at].to_vec();
            assert_eq!(listed(bench, &who, &query).await, (page, at > 2));
        }
    }
}

pub async fn a_page_between_two_anchors_holds_what_lies_between(bench: &Bench) {
    let who = principal("ann");
    let (turns, _) = make(bench, &who).await;
    for order in ORDERS {
        let wanted = ordered(turns.clone(), order);
        let mut query = first(order, 9);
        query.cursor = Cursor {
            after: Some(wanted[1].into()),
            before: Some(wanted[5].into()),
        };
        let page = wanted[2..5].to_vec();
        assert_eq!(listed(bench, &who, &query).await, (page, false));
        std::mem::swap(&mut query.cursor.after, &mut query.cursor.before);
        assert_eq!(listed(bench, &who, &query).await, (vec![], false));
    }
}

pub async fn a_page_that_is_exactly_full_has_no_more(bench: &Bench) {
    let who = principal("ann");
    let (turns, _) = make(bench, &who).await;
    let count = u32::try_from(turns.len()).unwrap();
    for order in ORDERS {
        let (_, has_more) = listed(bench, &who, &first(order, count)).await;
        assert!(!has_more);
        let (_, has_more) = listed(bench, &who, &first(order, count - 1)).await;
        assert!(has_more);
    }
}

pub async fn a_page_of_no_rows_is_empty(bench: &Bench) {
    let who = principal("ann");
    assert_eq!(
        listed(bench, &who, &first(Order::OldestFirst, 9)).await,
        (vec![], false)
    );
    make(bench, &who).await;
    let none = listed(bench, &who, &first(Order::OldestFirst, 0)).await;
    assert_eq!(none.0, []);
}

pub async fn an_anchor_that_is_gone_keeps_its_place(bench: &Bench) {
    let who = principal("ann");
    let (turns, [one, _]) = make(bench, &who).await;
    // The fourth was in a conversation and is removed, the fifth stood alone and is deleted.
    bench.forget(&who, one, turns[3]).await.unwrap();
    let lone = who.in_realm(Realm::LoneTurns);
    let alone = ConversationId::from_bits(turns[4].bits());
    bench.delete(&lone, alone).await.unwrap();
    let never = TurnId::from_bits(turns[3].bits() + 1);
    for (gone, next) in [(turns[3], 5), (turns[4], 5), (never, 5)] {
        let mut query = first(Order::OldestFirst, 2);
        query.cursor.after = Some(gone.into());
        let page = turns[next..next + 2].to_vec();
        assert_eq!(listed(bench, &who, &query).await, (page, true));
        query.order = Order::NewestFirst;
        let page = vec![turns[2], turns[1]];
        assert_eq!(listed(bench, &who, &query).await, (page, true));
    }
    let prefix = Ref::from_decimal(&turns[6].decimal().to_string()).unwrap();
    let mut query = first(Order::OldestFirst, 9);
    query.cursor.after = Some(prefix);
    let page = turns[7..].to_vec();
    assert_eq!(listed(bench, &who, &query).await, (page, false));
}

pub async fn a_page_can_be_of_one_conversation_and_of_one_app(bench: &Bench) {
    let who = principal("ann");
    let (turns, conversations) = make(bench, &who).await;
    let some = |wanted: &[usize]| -> Vec<TurnId> { wanted.iter().map(|at| turns[*at]).collect() };
    let cases = [
        (None, Some(app(1)), some(&[0, 3, 6])),
        (None, Some(app(2)), some(&[1, 2, 4, 5, 7, 8])),
        (None, Some(app(3)), vec![]),
        (Some(conversations[0]), None, some(&[0, 3, 6])),
        (Some(conversations[1]), Some(app(2)), some(&[2, 5, 8])),
        (Some(conversations[1]), Some(app(1)), vec![]),
    ];
    for (conversation, app, wanted) in cases {
        for order in ORDERS {
            let query = TurnQuery {
                conversation: conversation.map(Into::into),
                app,
                ..first(order, 9)
            };
            let wanted = ordered(wanted.clone(), order);
            assert_eq!(listed(bench, &who, &query).await, (wanted.clone(), false));
            let mut query = TurnQuery {
                rows_max: 1,
                ..query
            };
            query.cursor.after = wanted.first().map(|id| (*id).into());
            let rest = wanted.get(1..2).unwrap_or_default().to_vec();
            assert_eq!(
                listed(bench, &who, &query).await,
                (rest, wanted.len() > 2),
                "an anchor is one of the page's own"
            );
        }
    }
    let bound = Principal {
        app: Some(app(1)),
        ..who
    };
    let within = some(&[0, 2, 3, 5, 6, 8]);
    assert_eq!(
        listed(bench, &bound, &first(Order::OldestFirst, 9)).await,
        (within, false),
        "the app that a conversation was made with narrows what is seen"
    );
}

pub async fn a_conversation_that_is_not_the_principals_has_no_page(bench: &Bench) {
    let who = principal("ann");
    let (turns, [one, two]) = make(bench, &who).await;
    let alone = ConversationId::from_bits(turns[1].bits());
    bench.delete(&who, two).await.unwrap();
    let of = |id: ConversationId| TurnQuery {
        conversation: Some(id.into()),
        ..first(Order::OldestFirst, 9)
    };
    for id in [two, alone, bench.id()] {
        let page = bench.store.turn_page(&who, &of(id)).await;
        refused(page, Refusal::NoConversation);
    }
    for other in others("ann") {
        let page = bench.store.turn_page(&other, &of(one)).await;
        refused(page, Refusal::NoConversation);
    }
    assert_eq!(listed(bench, &who, &of(one)).await.0.len(), 3);
    let lone = who.in_realm(Realm::LoneTurns);
    let own = listed(bench, &lone, &of(alone)).await;
    assert_eq!(own, (vec![turns[1]], false), "whoever means lone turns");
}

pub async fn nobody_elses_turns_are_listed(bench: &Bench) {
    let (ann, nobody) = (principal("ann"), principal(""));
    let query = first(Order::OldestFirst, 99);
    let (anns, _) = make(bench, &ann).await;
    for other in others("ann") {
        let page = bench.store.turn_page(&other, &query).await.unwrap();
        assert_eq!(page, Page::default(), "{other:?}");
    }
    let (nobodys, _) = make(bench, &nobody).await;
    assert_eq!(listed(bench, &ann, &query).await, (anns, false));
    assert_eq!(listed(bench, &nobody, &query).await, (nobodys, false));
}
