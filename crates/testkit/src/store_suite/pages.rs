//! Pages of items.

use parlance_domain::ids::{ConversationId, Id, ItemId, Ref};
use parlance_domain::model::{
    ItemFilter, ItemKind, ItemQuery, ItemRef, ItemType, NewItem, Order, Page, Principal, Role,
    SeqRange,
};

use super::bench::Bench;
use crate::samples::{answer, event, principal, question, typed};

const ORDERS: [Order; 2] = [Order::OldestFirst, Order::NewestFirst];

fn after(query: &ItemQuery, position: impl Into<ItemRef>) -> ItemQuery {
    let mut query = query.clone();
    query.cursor.after = Some(position.into());
    query
}

fn before(query: &ItemQuery, position: impl Into<ItemRef>) -> ItemQuery {
    let mut query = query.clone();
    query.cursor.before = Some(position.into());
    query
}

fn ordered(mut seqs: Vec<u64>, order: Order) -> Vec<u64> {
    if order == Order::NewestFirst {
        seqs.reverse();
    }
    seqs
}

/// Ten items, of which those numbered 0, 3, 4 and 9 are gone.
async fn holed(bench: &Bench, who: &Principal) -> (ConversationId, Vec<ItemId>) {
    let conversation = bench.make(who).await;
    let mut items = Vec::new();
    for _ in 0..10 {
        bench.tick();
        items.extend(bench.questions(1));
    }
    let ids: Vec<_> = items.iter().map(|item| item.id).collect();
    bench.append(who, conversation, items).await.unwrap();
    let gone = [0, 3, 4, 9].map(|at: usize| ids[at]).to_vec();
    bench.remove(who, conversation, gone).await.unwrap();
    (conversation, ids)
}

const LEFT: [u64; 6] = [1, 2, 5, 6, 7, 8];

pub async fn items_are_paged_in_both_directions_at_every_size(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = holed(bench, &who).await;
    for order in ORDERS {
        for rows_max in 1..=7 {
            let (mut query, mut all) = (ItemQuery::first(order, rows_max), Vec::new());
            loop {
                let (seqs, has_more) = bench.seqs(&who, conversation, &query).await;
                let last = usize::try_from(*seqs.last().unwrap()).unwrap();
                query = after(&query, ids[last]);
                all.extend(seqs);
                if !has_more {
                    break;
                }
            }
            assert_eq!(all, ordered(LEFT.to_vec(), order));
        }
    }
}

pub async fn a_page_before_an_anchor_is_next_to_it(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = holed(bench, &who).await;
    let cases = [
        (Order::OldestFirst, 7, vec![5, 6], true),
        (Order::OldestFirst, 5, vec![1, 2], false),
        (Order::OldestFirst, 2, vec![1], false),
        (Order::OldestFirst, 1, vec![], false),
        (Order::NewestFirst, 2, vec![6, 5], true),
        (Order::NewestFirst, 6, vec![8, 7], false),
        (Order::NewestFirst, 8, vec![], false),
    ];
    for (order, anchor, seqs, has_more) in cases {
        let query = before(&ItemQuery::first(order, 2), ids[anchor]);
        let page = bench.seqs(&who, conversation, &query).await;
        assert_eq!(page, (seqs, has_more), "{order:?} before {anchor}");
    }
}

pub async fn a_page_between_two_anchors_holds_what_lies_between(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = holed(bench, &who).await;
    let between = |order, low, high, rows_max| {
        let query = ItemQuery::first(order, rows_max);
        before(&after(&query, ids[low]), ids[high])
    };
    let cases = [
        (
            between(Order::OldestFirst, 1, 8, 9),
            vec![2, 5, 6, 7],
            false,
        ),
        (between(Order::OldestFirst, 1, 8, 3), vec![2, 5, 6], true),
        (between(Order::OldestFirst, 0, 9, 9), LEFT.to_vec(), false),
        (between(Order::NewestFirst, 8, 1, 2), vec![7, 6], true),
        (
            between(Order::NewestFirst, 8, 1, 4),
            vec![7, 6, 5, 2],
            false,
        ),
        (between(Order::OldestFirst, 8, 1, 9), vec![], false),
    ];
    for (query, seqs, has_more) in cases {
        let page = bench.seqs(&who, conversation, &query).await;
        assert_eq!(page, (seqs, has_more), "{query:?}");
    }
}

pub async fn a_page_that_is_exactly_full_has_no_more(bench: &Bench) {
    let who = principal("ann");
    let (conversation, _) = holed(bench, &who).await;
    for order in ORDERS {
        for (rows_max, has_more) in [(6, false), (5, true)] {
            let page = bench
                .page(&who, conversation, &ItemQuery::first(order, rows_max))
                .await;
            assert_eq!(page.has_more, has_more);
        }
    }
}

pub async fn a_page_of_no_rows_is_empty(bench: &Bench) {
    let who = principal("ann");
    let query = ItemQuery::first(Order::OldestFirst, 0);
    let empty = bench.make(&who).await;
    assert_eq!(bench.page(&who, empty, &query).await, Page::default());
    let (conversation, _) = holed(bench, &who).await;
    let page = bench.seqs(&who, conversation, &query).await;
    assert_eq!(page, (vec![], true));
}

pub async fn the_place_of_a_removed_item_is_still_an_anchor(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = holed(bench, &who).await;
    for (at, id) in (0..).zip(ids) {
        let prefix: Ref<ItemId> = Ref::from_decimal(&id.decimal().to_string()).unwrap();
        for position in [ItemRef::from(id), ItemRef::Id(prefix), ItemRef::Seq(at)] {
            for order in ORDERS {
                let follows = |seq: &u64| (*seq > at) == (order == Order::OldestFirst);
                let others = LEFT.into_iter().filter(|seq| *seq != at);
                let (next, previous): (Vec<_>, Vec<_>) = others.partition(follows);
                let query = ItemQuery::first(order, 99);
                let page = bench
                    .seqs(&who, conversation, &after(&query, position.clone()))
                    .await;
                assert_eq!(page, (ordered(next, order), false));
                let page = bench
                    .seqs(&who, conversation, &before(&query, position.clone()))
                    .await;
                assert_eq!(page, (ordered(previous, order), false));
            }
        }
    }
}

pub async fn an_alias_is_an_anchor_and_an_unknown_one_gives_nothing(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let mut items = bench.questions(3);
    items[1].alias = Some("mine".to_owned());
    bench.append(&who, conversation, items).await.unwrap();
    let query = ItemQuery::first(Order::OldestFirst, 9);
    let mine = ItemRef::Alias("mine".to_owned());
    let page = bench
        .seqs(&who, conversation, &after(&query, mine.clone()))
        .await;
    assert_eq!(page, (vec![2], false));
    let page = bench.seqs(&who, conversation, &before(&query, mine)).await;
    assert_eq!(page, (vec![0], false));
    let unknown = ItemRef::Alias("yours".to_owned());
    for query in [after(&query, unknown.clone()), before(&query, unknown)] {
        assert_eq!(
            bench.page(&who, conversation, &query).await,
            Page::default()
        );
    }
}

pub async fn a_number_is_an_anchor_wherever_it_lies(bench: &Bench) {
    let who = principal("ann");
    let (conversation, _) = holed(bench, &who).await;
    let query = ItemQuery::first(Order::OldestFirst, 9);
    for (seq, next) in [(0, &LEFT[..]), (4, &LEFT[2..]), (8, &[]), (u64::MAX, &[])] {
        let page = bench
            .seqs(&who, conversation, &after(&query, ItemRef::Seq(seq)))
            .await;
        assert_eq!(page, (next.to_vec(), false));
        let previous: Vec<_> = LEFT.into_iter().filter(|left| *left < seq).collect();
        let page = bench
            .seqs(&who, conversation, &before(&query, ItemRef::Seq(seq)))
            .await;
        assert_eq!(page, (previous, false));
    }
}

pub async fn a_span_of_numbers_bounds_a_page(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = holed(bench, &who).await;
    let within = |first, last, rows_max, order| ItemQuery {
        within: SeqRange { first, last },
        ..ItemQuery::first(order, rows_max)
    };
    let cases = [
        (within(2, 6, 9, Order::OldestFirst), vec![2, 5, 6], false),
        (within(2, 6, 2, Order::NewestFirst), vec![6, 5], true),
        (within(3, 4, 9, Order::OldestFirst), vec![], false),
        (within(6, 2, 9, Order::OldestFirst), vec![], false),
        (
            within(7, u64::MAX, 9, Order::OldestFirst),
            vec![7, 8],
            false,
        ),
        (
            after(&within(2, 7, 9, Order::OldestFirst), ids[5]),
            vec![6, 7],
            false,
        ),
        (
            before(&within(2, 7, 1, Order::OldestFirst), ids[6]),
            vec![5],
            true,
        ),
    ];
    for (query, seqs, has_more) in cases {
        let page = bench.seqs(&who, conversation, &query).await;
        assert_eq!(page, (seqs, has_more), "{query:?}");
    }
}

/// One item of each kind; their numbers are those of the table below.
async fn of_all_kinds(bench: &Bench, who: &Principal) -> ConversationId {
    let conversation = bench.make(who).await;
    let role = |role, text| {
        let mut content = question(text);
        content.kind = ItemKind::Message(role);
        content
    };
    let contents = [
        question("0"),
        answer("1"),
        role(Role::System, "2"),
        role(Role::Developer, "3"),
        role(Role::Other, "4"),
        typed("function_call"),
        typed("reasoning"),
        event("7"),
    ];
    let items: Vec<NewItem> = contents.into_iter().map(|one| bench.item(one)).collect();
    bench.append(who, conversation, items).await.unwrap();
    conversation
}

pub async fn filters_leave_out_the_other_kinds(bench: &Bench) {
    let who = principal("ann");
    let conversation = of_all_kinds(bench, &who).await;
    let of_type = |name| ItemFilter::OfType(ItemType::parse(name).unwrap());
    let cases = [
        (ItemFilter::Everything, vec![0, 1, 2, 3, 4, 5, 6, 7]),
        (ItemFilter::NoEvents, vec![0, 1, 2, 3, 4, 5, 6]),
        (ItemFilter::Dialogue, vec![0, 1]),
        (ItemFilter::DialogueAndEvents, vec![0, 1, 7]),
        (of_type("message"), vec![0, 1, 2, 3, 4]),
        (of_type("function_call"), vec![5]),
        (of_type("reasoning"), vec![6]),
        (of_type("event"), vec![]),
        (of_type("Message"), vec![]),
        (of_type("mcp_call"), vec![]),
    ];
    for (filter, seqs) in cases {
        for order in ORDERS {
            let query = ItemQuery {
                filter: filter.clone(),
                ..ItemQuery::first(order, 99)
            };
            let page = bench.seqs(&who, conversation, &query).await;
            assert_eq!(page, (ordered(seqs.clone(), order), false), "{filter:?}");
        }
    }
}

pub async fn a_filter_fills_its_page(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    for number in 0..20 {
        let content = if number % 4 == 3 {
            answer("a")
        } else {
            event("e")
        };
        let items = vec![bench.item(content)];
        bench.append(&who, conversation, items).await.unwrap();
    }
    let mut query = ItemQuery::first(Order::OldestFirst, 3);
    query.filter = ItemFilter::Dialogue;
    let page = bench.seqs(&who, conversation, &query).await;
    assert_eq!(page, (vec![3, 7, 11], true));
    let page = bench
        .seqs(&who, conversation, &after(&query, ItemRef::Seq(11)))
        .await;
    assert_eq!(page, (vec![15, 19], false));
}
