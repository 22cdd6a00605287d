use std::collections::BTreeSet;

use parlance_domain::{AppId, ConversationId, Extras, ItemContent, Metadata, SectionId};
use proptest::prelude::*;

use super::*;

/// A dialogue, oldest first: `q` is said by the user, `a` by the assistant.
fn dialogue(said: &str) -> Vec<Item> {
    let item = |(seq, who): (u64, char)| {
        let role = if who == 'q' {
            Role::User
        } else {
            Role::Assistant
        };
        Item {
            id: ItemId::from_bits(u128::from(seq)),
            seq,
            section: SectionId::from_bits(0),
            turn: None,
            modified_at: None,
            alias: None,
            content: ItemContent::message(role, &format!("{who}{seq}")),
        }
    };
    (0..).zip(said.chars()).map(item).collect()
}

fn newest_first(mut items: Vec<Item>) -> Vec<Item> {
    items.reverse();
    items
}

/// The messages of a dialogue, newest first, each as the texts of its parts.
fn shown(messages: &[Message]) -> Vec<String> {
    let show = |message: &Message| match message {
        Message::Asked { question, answer } => {
            let answer = answer.as_ref().map(|answer| answer.content.text());
            format!("{}>{}", question.content.text(), answer.unwrap_or_default())
        }
        Message::Unasked(answer) => format!(">{}", answer.content.text()),
    };
    messages.iter().map(show).collect()
}

#[test]
fn a_question_goes_with_the_answer_that_follows_it() {
    let check = |said: &str, expected: &[&str]| {
        let (messages, left) = pair(newest_first(dialogue(said)), 100);
        assert_eq!(shown(&messages), expected, "{said}");
        assert!(!left);
    };
    check("", &[]);
    check("qa", &["q0>a1"]);
    check("qaqa", &["q2>a3", "q0>a1"]);
    check("q", &["q0>"]);
    check("a", &[">a0"]);
    check("qqa", &["q1>a2", "q0>"]);
    check("qaa", &[">a2", "q0>a1"]);
    check("aqqaaq", &["q5>", ">a4", "q2>a3", "q1>", ">a0"]);
}

#[test]
fn an_id_from_before_the_conversation_or_from_the_future_was_never_an_item() {
    let of = Conversation {
        id: v7(1_000, 5),
        app: AppId::from_bits(0),
        updated_at: Timestamp::from_millis(1_000),
        section: SectionId::from_bits(0),
        active: false,
        running: None,
        next_seq: 0,
        title: None,
        metadata: Metadata::default(),
        extras: Extras::new(),
    };
    let check = |id: ItemId, expected| {
        assert_eq!(
            may_have_been(id, &of, Timestamp::from_millis(2_000)),
            expected,
            "{id:?}"
        );
    };
    check(v7(999, 0), false);
    check(v7(1_000, 4), false);
    check(v7(1_000, 6), true);
    check(v7(2_000, 0), true);
    check(v7(2_001, 0), false);
    // Version 4: nothing that this server has ever made.
    check(
        ItemId::from_bits(v7::<ConversationId>(1_500, 0).bits() ^ (0x3 << 76)),
        false,
    );
}

fn v7<I: Id>(millis: u128, low: u128) -> I {
    I::from_bits((millis << 80) | (0x7 << 76) | (0b10 << 62) | low)
}

proptest! {
    #[test]
    fn every_item_is_in_one_message(said in "[qa]{0,40}") {
        let (messages, _) = pair(newest_first(dialogue(&said)), 100);
        let mut items = Vec::new();
        for message in &messages {
            items.push(message.head().id);
            if let Message::Asked { answer: Some(answer), .. } = message {
                items.push(answer.id);
            }
        }
        prop_assert_eq!(items.len(), said.len());
        prop_assert_eq!(items.into_iter().collect::<BTreeSet<_>>().len(), said.len());
    }

    #[test]
    fn pages_put_together_are_the_whole(said in "[qa]{0,40}", limit in 1_u32..6) {
        let whole = pair(newest_first(dialogue(&said)), 100).0;
        let mut rows = newest_first(dialogue(&said));
        let mut paged = Vec::new();
        loop {
            let rows_max = usize::try_from(items_max(limit)).unwrap();
            let page: Vec<Item> = rows.iter().take(rows_max).cloned().collect();
            let beyond = rows.len() > page.len();
            let (messages, left) = pair(page, limit);
            let has_more = left || beyond;
            prop_assert!(!has_more || messages.len() == usize::try_from(limit).unwrap());
            if let Some(last) = messages.last() {
                let head = last.head().seq;
                rows.retain(|item| item.seq < head);
            }
            paged.extend(messages);
            prop_assert_eq!(has_more, paged.len() < whole.len());
            if !has_more {
                break;
            }
        }
        prop_assert_eq!(paged, whole);
    }
}
