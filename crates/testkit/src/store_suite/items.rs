//! Adding, finding, replacing and removing items.

use parlance_domain::ids::{ConversationId, Id, ItemId, Ref};
use parlance_domain::model::{Item, ItemRef, NewItem, Principal, first_section};
use parlance_domain::store::{Outcome, StoreError, Write};

use super::bench::{Bench, Refusal, refused};
use crate::samples::{answer, event, principal, question, typed};

async fn find(
    bench: &Bench,
    who: &Principal,
    of: ConversationId,
    item: ItemRef,
) -> Result<Item, StoreError> {
    bench.store.item(who, of.into(), &item).await
}

fn aliased(bench: &Bench, alias: &str) -> NewItem {
    NewItem {
        alias: Some(alias.to_owned()),
        ..bench.item(question(alias))
    }
}

async fn replace(
    bench: &Bench,
    who: &Principal,
    conversation: ConversationId,
    item: ItemId,
    text: &str,
) -> Result<Outcome, StoreError> {
    let write = Write::ReplaceItem {
        conversation,
        item,
        content: question(text),
        at: bench.now(),
    };
    bench.apply(who, write).await
}

pub async fn items_are_numbered_in_the_order_of_appending(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let section = first_section(conversation);
    let contents = [
        question("q"),
        answer("a"),
        typed("function_call"),
        event("run"),
    ];
    for (first_seq, content) in (0..).zip(contents.clone()) {
        bench.tick();
        let items = vec![bench.item(content)];
        let added = bench.append(&who, conversation, items).await.unwrap();
        assert_eq!(added, Outcome::Added { first_seq, section });
    }
    let items = bench.all_items(&who, conversation).await;
    assert_eq!(items.len(), 4);
    for ((seq, content), item) in (0..).zip(contents).zip(&items) {
        let wanted = Item {
            id: item.id,
            seq,
            section,
            turn: None,
            modified_at: None,
            alias: None,
            content,
        };
        assert_eq!(*item, wanted);
    }
    let read = bench.read(&who, conversation).await.unwrap();
    assert_eq!((read.next_seq, read.updated_at), (4, bench.now()));
}

pub async fn an_item_is_found_by_id_prefix_number_and_alias(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let mut items = Vec::new();
    for number in 0..9 {
        items.push(aliased(bench, &format!("é{number}")));
        bench.tick();
    }
    let ids: Vec<_> = items.iter().map(|item| item.id).collect();
    bench.append(&who, conversation, items).await.unwrap();
    bench
        .remove(&who, conversation, vec![ids[3]])
        .await
        .unwrap();
    for (seq, id) in (0..).zip(ids).filter(|(seq, _)| *seq != 3) {
        let prefix = Ref::from_decimal(&id.decimal().to_string()).unwrap();
        let alias = ItemRef::Alias(format!("é{seq}"));
        for name in [id.into(), ItemRef::Id(prefix), ItemRef::Seq(seq), alias] {
            let found = find(bench, &who, conversation, name).await.unwrap();
            assert_eq!((found.id, found.seq), (id, seq));
            assert_eq!(found.alias, Some(format!("é{seq}")));
        }
    }
}

pub async fn an_item_is_not_found_by_what_names_another(bench: &Bench) {
    let who = principal("ann");
    let (empty, _) = bench.make_with(&who, 0).await;
    let conversation = bench.make(&who).await;
    let item = aliased(bench, "one");
    let id = item.id;
    bench.append(&who, conversation, vec![item]).await.unwrap();
    let names = |id: ItemId, alias: &str, seq| {
        [
            id.into(),
            ItemRef::Alias(alias.to_owned()),
            ItemRef::Seq(seq),
        ]
    };
    for name in names(id, "one", 0) {
        refused(find(bench, &who, empty, name).await, Refusal::NoItem);
    }
    let mut missing = names(bench.id(), "One", 1).to_vec();
    missing.push(ItemId::from_bits(id.bits() - 1).into());
    missing.push(ItemRef::Seq(u64::MAX));
    for name in missing {
        refused(find(bench, &who, conversation, name).await, Refusal::NoItem);
    }
}

pub async fn an_alias_is_unique_in_its_conversation_alone(bench: &Bench) {
    let who = principal("ann");
    let (one, two) = (bench.make(&who).await, bench.make(&who).await);
    for conversation in [one, two] {
        let items = vec![aliased(bench, "same")];
        bench.append(&who, conversation, items).await.unwrap();
    }
    let items = vec![bench.item(question("lost")), aliased(bench, "same")];
    refused(bench.append(&who, one, items).await, Refusal::DuplicateItem);
    let items = vec![aliased(bench, "twice"), aliased(bench, "twice")];
    refused(bench.append(&who, one, items).await, Refusal::DuplicateItem);
    assert_eq!(bench.all_items(&who, one).await.len(), 1);
    assert_eq!(bench.read(&who, one).await.unwrap().next_seq, 1);
}

pub async fn the_alias_of_a_removed_item_is_free_again(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    for seq in 0..3 {
        let item = aliased(bench, "again");
        let id = item.id;
        bench.append(&who, conversation, vec![item]).await.unwrap();
        let alias = ItemRef::Alias("again".to_owned());
        let found = find(bench, &who, conversation, alias.clone())
            .await
            .unwrap();
        assert_eq!((found.seq, found.id), (seq, id));
        bench.remove(&who, conversation, vec![id]).await.unwrap();
        let found = find(bench, &who, conversation, alias).await;
        refused(found, Refusal::NoItem);
    }
}

pub async fn ids_must_rise_above_those_that_are_there(bench: &Bench) {
    let who = principal("ann");
    let early = bench.questions(1);
    let (conversation, ids) = bench.make_with(&who, 2).await;
    let same = NewItem {
        id: ids[1],
        ..bench.item(question("same"))
    };
    for items in [early, vec![same]] {
        let added = bench.append(&who, conversation, items).await;
        refused(added, Refusal::StaleItemId(ids[1]));
    }
    assert_eq!(bench.all_items(&who, conversation).await.len(), 2);
    let later = bench.questions(1);
    bench.append(&who, conversation, later).await.unwrap();
}

pub async fn ids_must_rise_within_a_batch(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let mut items = bench.questions(2);
    items.reverse();
    let why = Refusal::StaleItemId(items[0].id);
    let added = bench.append(&who, conversation, items.clone()).await;
    refused(added, why);
    assert_eq!(bench.all_items(&who, conversation).await, []);
    let mut new = crate::samples::conversation(&bench.ids, crate::samples::app(1), bench.now());
    new.items = items;
    let id = new.id;
    refused(bench.apply(&who, Write::Create(Box::new(new))).await, why);
    assert_eq!(bench.read(&who, id).await, None);
}

pub async fn an_item_says_what_it_was_replaced_with(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = bench.make_with(&who, 3).await;
    bench.tick();
    let done = replace(bench, &who, conversation, ids[1], "new").await;
    assert_eq!(done.unwrap(), Outcome::Done);
    let items = bench.all_items(&who, conversation).await;
    let texts: Vec<_> = items.iter().map(|item| item.content.text()).collect();
    assert_eq!(texts, ["question 0", "new", "question 2"]);
    let times: Vec<_> = items.iter().map(|item| item.modified_at).collect();
    assert_eq!(times, [None, Some(bench.now()), None]);
    let read = bench.read(&who, conversation).await.unwrap();
    assert_eq!(read.updated_at, bench.now());
}

pub async fn a_replaced_item_keeps_its_alias_and_its_place(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let items = vec![aliased(bench, "a"), aliased(bench, "b")];
    let id = items[1].id;
    bench.append(&who, conversation, items).await.unwrap();
    replace(bench, &who, conversation, id, "new").await.unwrap();
    let alias = ItemRef::Alias("b".to_owned());
    let found = find(bench, &who, conversation, alias).await.unwrap();
    assert_eq!((found.id, found.seq), (id, 1));
    assert_eq!(found.alias.as_deref(), Some("b"));
}

pub async fn a_removed_item_leaves_a_hole(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = bench.make_with(&who, 4).await;
    bench.tick();
    let gone = vec![ids[3], ids[1]];
    let done = bench.remove(&who, conversation, gone).await.unwrap();
    assert_eq!(done, Outcome::Done);
    let later = bench.questions(1);
    bench.append(&who, conversation, later).await.unwrap();
    let items = bench.all_items(&who, conversation).await;
    let seqs: Vec<_> = items.iter().map(|item| item.seq).collect();
    assert_eq!(seqs, [0, 2, 4]);
    let read = bench.read(&who, conversation).await.unwrap();
    assert_eq!((read.next_seq, read.updated_at), (5, bench.now()));
}

pub async fn all_items_are_removed_or_none(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = bench.make_with(&who, 3).await;
    let before = bench.read(&who, conversation).await;
    bench.tick();
    for wrong in [vec![ids[0], bench.id()], vec![ids[0], ids[0]]] {
        let done = bench.remove(&who, conversation, wrong).await;
        refused(done, Refusal::NoItem);
    }
    assert_eq!(bench.all_items(&who, conversation).await.len(), 3);
    assert_eq!(bench.read(&who, conversation).await, before);
}

pub async fn what_is_gone_cannot_be_replaced_or_removed(bench: &Bench) {
    let who = principal("ann");
    let (conversation, ids) = bench.make_with(&who, 3).await;
    let (other, _) = bench.make_with(&who, 1).await;
    bench
        .remove(&who, conversation, vec![ids[1]])
        .await
        .unwrap();
    let done = replace(bench, &who, conversation, ids[1], "back").await;
    refused(done, Refusal::NoItem);
    let done = bench.remove(&who, conversation, vec![ids[1]]).await;
    refused(done, Refusal::NoItem);
    // An item of another conversation is none of this one.
    let done = replace(bench, &who, other, ids[0], "wrong").await;
    refused(done, Refusal::NoItem);
}
