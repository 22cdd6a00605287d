//! Batches: all or nothing.

use parlance_domain::ids::{ConversationId, ItemId};
use parlance_domain::store::{Batch, Require, Write};
use parlance_domain::{Principal, Timestamp};

use super::bench::{Bench, Refusal, refused};
use crate::samples::{self, app, principal, question};

pub async fn a_batch_is_all_or_nothing(bench: &Bench) {
    let who = principal("ann");
    let (conversation, items) = bench.make_with(&who, 2).await;
    let doomed = bench.make(&who).await;
    let before = bench.read(&who, conversation).await;
    let new = samples::conversation(&bench.ids, app(1), bench.now());
    let made = new.id;
    bench.tick();
    let at = bench.now();
    let writes = vec![
        Write::Create(Box::new(new)),
        bench.deletion(doomed.into()),
        Write::SetTitle {
            conversation,
            title: Some("new".to_owned()),
            at,
        },
        Write::RemoveItems {
            conversation,
            items: vec![items[0]],
            at,
        },
        Write::Append {
            conversation,
            items: bench.questions(1),
            at,
        },
        Write::SetTitle {
            conversation: bench.id(),
            title: None,
            at,
        },
    ];
    let batch = Batch {
        require: vec![],
        writes,
    };
    let applied = bench.store.apply(&who, &batch).await;
    refused(applied, Refusal::NoConversation);
    assert_eq!(bench.read(&who, conversation).await, before);
    assert_eq!(bench.all_items(&who, conversation).await.len(), 2);
    assert_eq!(bench.read(&who, made).await, None);
    assert!(bench.read(&who, doomed).await.is_some());
    let mut batch = batch;
    batch.writes.pop();
    let outcomes = bench.store.apply(&who, &batch).await.unwrap();
    assert_eq!(outcomes.len(), 5);
    assert!(bench.read(&who, made).await.is_some());
    assert_eq!(bench.read(&who, doomed).await, None);
}

pub async fn a_batch_changes_what_is_there_until_it_makes_the_same_id_anew(bench: &Bench) {
    let who = principal("ann");
    let (conversation, _) = bench.make_with(&who, 1).await;
    let mut new = samples::conversation(&bench.ids, app(1), bench.now());
    new.id = conversation;
    let append = Write::Append {
        conversation,
        items: bench.questions(1),
        at: bench.now(),
    };
    let batch = Batch {
        require: vec![],
        writes: vec![append, Write::Create(Box::new(new))],
    };
    let applied = bench.store.apply(&who, &batch).await;
    refused(applied, Refusal::IdClash);
    assert_eq!(bench.all_items(&who, conversation).await.len(), 1);
}

pub async fn an_empty_batch_does_nothing(bench: &Bench) {
    let who = principal("ann");
    let outcomes = bench.store.apply(&who, &Batch::default()).await.unwrap();
    assert_eq!(outcomes, []);
}

fn edit(
    (conversation, item): (ConversationId, ItemId),
    modified_at: Option<Timestamp>,
    at: Timestamp,
) -> Batch {
    Batch {
        require: vec![Require::ItemAsRead {
            conversation,
            item,
            modified_at,
        }],
        writes: vec![Write::ReplaceItem {
            conversation,
            item,
            content: question("edited"),
            at,
        }],
    }
}

async fn text(bench: &Bench, who: &Principal, of: ConversationId) -> String {
    bench.all_items(who, of).await[0].content.text()
}

pub async fn a_precondition_that_fails_stops_the_batch(bench: &Bench) {
    let who = principal("ann");
    let (conversation, items) = bench.make_with(&who, 2).await;
    let (store, at) = (&bench.store, bench.now());
    let wrong_time = edit((conversation, items[0]), Some(at), at);
    refused(store.apply(&who, &wrong_time).await, Refusal::Changed);
    let no_item = edit((conversation, bench.id()), None, at);
    refused(store.apply(&who, &no_item).await, Refusal::Changed);
    let no_conversation = edit((bench.id(), items[0]), None, at);
    refused(store.apply(&who, &no_conversation).await, Refusal::Changed);
    assert_eq!(text(bench, &who, conversation).await, "question 0");
    bench
        .remove(&who, conversation, vec![items[0]])
        .await
        .unwrap();
    let gone = edit((conversation, items[0]), None, at);
    refused(store.apply(&who, &gone).await, Refusal::Changed);
}

pub async fn a_precondition_sees_every_replacement(bench: &Bench) {
    let who = principal("ann");
    let (conversation, items) = bench.make_with(&who, 2).await;
    let of = (conversation, items[0]);
    let mut seen = None;
    for _ in 0..3 {
        bench.tick();
        let batch = edit(of, seen, bench.now());
        bench.store.apply(&who, &batch).await.unwrap();
        refused(bench.store.apply(&who, &batch).await, Refusal::Changed);
        seen = Some(bench.now());
    }
    assert_eq!(text(bench, &who, conversation).await, "edited");
}
