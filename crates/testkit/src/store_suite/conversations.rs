//! Making, reading and changing conversations.

use std::time::Duration;

use parlance_domain::ids::{ConversationRef, Id, ItemId, Ref, TurnId};
use parlance_domain::model::{Conversation, ItemContent, ItemKind, Native, Role, first_section};
use parlance_domain::store::{Outcome, Write};

use super::bench::{Bench, Refusal, elsewhere, refused};
use super::scope::all_writes;
use crate::samples::{self, app, json, metadata, principal};

/// JSON that a careless store would change: order of keys, text of numbers, spaces, escapes.
const TRICKY: [&str; 8] = [
    r#"{"b":1.10,"a":1e400,"c":-0.0}"#,
    r#"{"b": 1, "a" : [ 1 , 2.50 ]  , "b": 2}"#,
    r#""\u00e9 é 🦀 \ud83e\udd80 \/ \" \\ \u0000""#,
    "123456789012345678901234567890.000",
    "null",
    "[]",
    "{\n\t\"a\":\r\n  true }",
    r#"{"":{"":""}}"#,
];

pub async fn what_is_made_can_be_read(bench: &Bench) {
    let who = principal("ann");
    let mut new = samples::conversation(&bench.ids, app(3), bench.now());
    new.title = Some("Überschrift".to_owned());
    new.metadata = metadata(&[("z", "1"), ("a", ""), ("ключ", "значение")]);
    new.active = true;
    new.items = bench.questions(2);
    let made = bench
        .apply(&who, Write::Create(Box::new(new.clone())))
        .await;
    assert_eq!(made.unwrap(), Outcome::Done);
    let wanted = Conversation {
        id: new.id,
        app: app(3),
        updated_at: new.at,
        section: first_section(new.id),
        active: true,
        running: None,
        next_seq: 2,
        title: new.title.clone(),
        metadata: new.metadata.clone(),
        extras: new.extras.clone(),
    };
    assert_eq!(bench.read(&who, new.id).await, Some(wanted));
    let items = bench.all_items(&who, new.id).await;
    let ids: Vec<_> = items.iter().map(|item| item.id).collect();
    let wanted: Vec<_> = new.items.iter().map(|item| item.id).collect();
    assert_eq!(ids, wanted);
}

pub async fn a_prefix_names_a_conversation(bench: &Bench) {
    let who = principal("");
    let id = bench.make(&who).await;
    let prefix = ConversationRef::from_decimal(&id.decimal().to_string()).unwrap();
    let found = bench.store.conversation(&who, prefix).await.unwrap();
    assert_eq!(found.map(|found| found.id), Some(id));
    let set = Write::SetActive {
        conversation: prefix,
        active: true,
    };
    bench.apply(&who, set).await.unwrap();
    assert!(bench.read(&who, id).await.unwrap().active);
}

pub async fn opaque_text_comes_back_byte_for_byte(bench: &Bench) {
    let who = principal("ann");
    let mut new = samples::conversation(&bench.ids, app(1), bench.now());
    for (at, text) in TRICKY.into_iter().enumerate() {
        new.extras.insert(format!("dialect {at} \"é\""), json(text));
        let native = Native {
            dialect: "dify".to_owned(),
            json: json(text),
        };
        for native in [None, Some(native)] {
            new.items.push(bench.item(ItemContent {
                kind: ItemKind::Message(Role::Other),
                payload: json(text),
                native,
            }));
        }
    }
    bench
        .apply(&who, Write::Create(Box::new(new.clone())))
        .await
        .unwrap();
    assert_eq!(bench.read(&who, new.id).await.unwrap().extras, new.extras);
    let items = bench.all_items(&who, new.id).await;
    assert_eq!(items.len(), new.items.len());
    for (read, written) in items.into_iter().zip(new.items) {
        assert_eq!(read.content, written.content);
    }
}

pub async fn an_unknown_conversation_is_none(bench: &Bench) {
    let who = principal("ann");
    bench.make(&who).await;
    assert_eq!(bench.read(&who, bench.id()).await, None);
}

pub async fn an_id_that_shares_its_decimal_is_refused(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let mut twin = samples::conversation(&bench.ids, app(2), bench.now());
    for bits in [id.bits(), id.bits() ^ 1] {
        twin.id = Id::from_bits(bits);
        assert_eq!(twin.id.decimal(), id.decimal());
        for maker in [who.clone(), principal("bob")] {
            let made = bench.apply(&maker, Write::Create(Box::new(twin.clone())));
            refused(made.await, Refusal::IdClash);
        }
    }
}

pub async fn another_project_may_use_the_same_id(bench: &Bench) {
    let new = samples::conversation(&bench.ids, app(1), bench.now());
    let makers = [principal("ann"), elsewhere("ann")];
    for who in &makers {
        let made = bench.apply(who, Write::Create(Box::new(new.clone())));
        made.await.unwrap();
    }
    for who in &makers {
        bench.append(who, new.id, bench.questions(1)).await.unwrap();
    }
    bench.delete(&makers[0], new.id).await.unwrap();
    assert!(bench.read(&makers[1], new.id).await.is_some());
    assert_eq!(bench.all_items(&makers[1], new.id).await.len(), 1);
}

pub async fn the_title_is_set_and_removed(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    for title in [Some("one"), Some(""), None] {
        bench.tick();
        let title = title.map(ToOwned::to_owned);
        let at = bench.now();
        let set = Write::SetTitle {
            conversation,
            title: title.clone(),
            at,
        };
        assert_eq!(bench.apply(&who, set).await.unwrap(), Outcome::Done);
        let read = bench.read(&who, conversation).await.unwrap();
        assert_eq!((read.title, read.updated_at), (title, at));
    }
}

pub async fn the_metadata_is_replaced(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    for pairs in [&[("b", "1"), ("a", "2")][..], &[("c", "3")], &[]] {
        bench.tick();
        let (metadata, at) = (metadata(pairs), bench.now());
        let set = Write::SetMetadata {
            conversation,
            metadata: metadata.clone(),
            at,
        };
        bench.apply(&who, set).await.unwrap();
        let read = bench.read(&who, conversation).await.unwrap();
        assert_eq!((read.metadata, read.updated_at), (metadata, at));
    }
}

pub async fn the_agent_is_started_without_touching_the_time(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let before = bench.read(&who, id).await.unwrap();
    bench.tick();
    let set = Write::SetActive {
        conversation: id.into(),
        active: true,
    };
    bench.apply(&who, set).await.unwrap();
    let wanted = Conversation {
        active: true,
        ..before
    };
    assert_eq!(bench.read(&who, id).await, Some(wanted));
}

pub async fn a_new_section_holds_what_comes_later(bench: &Bench) {
    let who = principal("ann");
    let (conversation, _) = bench.make_with(&who, 1).await;
    let section = bench.id();
    bench.tick();
    let start = Write::StartSection {
        conversation,
        section,
        at: bench.now(),
    };
    bench.apply(&who, start).await.unwrap();
    let added = bench.append(&who, conversation, bench.questions(1)).await;
    let wanted = Outcome::Added {
        first_seq: 1,
        section,
    };
    assert_eq!(added.unwrap(), wanted);
    let read = bench.read(&who, conversation).await.unwrap();
    assert_eq!((read.section, read.updated_at), (section, bench.now()));
    let items = bench.all_items(&who, conversation).await;
    let sections: Vec<_> = items.iter().map(|item| item.section).collect();
    assert_eq!(sections, [first_section(conversation), section]);
}

pub async fn the_time_of_change_never_goes_back(bench: &Bench) {
    let who = principal("ann");
    let (conversation, items) = bench.make_with(&who, 1).await;
    let turn: TurnId = bench.id();
    let latest = bench.now();
    bench.clock.set(latest.earlier(Duration::from_mins(1)));
    for write in all_writes(bench, conversation, items[0], turn) {
        let needs_turn = matches!(write, Write::FinishTurn { .. } | Write::RemoveTurn { .. });
        if needs_turn || matches!(write, Write::Delete { .. }) {
            continue;
        }
        bench.apply(&who, write).await.unwrap();
        let read = bench.read(&who, conversation).await.unwrap();
        assert_eq!(read.updated_at, latest);
    }
}

pub async fn writes_to_what_is_not_there_are_refused(bench: &Bench) {
    let who = principal("ann");
    bench.make(&who).await;
    let (item, turn): (ItemId, TurnId) = (bench.id(), bench.id());
    for write in all_writes(bench, bench.id(), item, turn) {
        refused(bench.apply(&who, write).await, Refusal::NoConversation);
    }
    let nothing = Write::SetActive {
        conversation: Ref::from_decimal("1").unwrap(),
        active: true,
    };
    refused(bench.apply(&who, nothing).await, Refusal::NoConversation);
}
