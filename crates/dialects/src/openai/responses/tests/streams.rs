//! A stream that is read again is the stream of before.

use std::sync::Arc;

use parlance_domain::service::{Begun, OutputKind, PieceKind, TurnEnd, TurnEvent};
use parlance_domain::{
    AppId, ConversationId, Cutoff, Id, Item, ItemContent, ItemId, ItemKind, Json, Native, NewItem,
    SectionId, Timestamp, Turn, TurnFailure, TurnId, TurnRecord, TurnState, Usage,
};
use proptest::prelude::*;

use crate::openai::item;
use crate::openai::responses::kept::Kept;
use crate::openai::responses::object::Head;
use crate::openai::responses::replay::Replay;
use crate::openai::responses::stream::Encoder;

/// An item that a model says: what it is, and its pieces.
#[derive(Clone, Debug)]
struct Said {
    what: OutputKind,
    pieces: Vec<(PieceKind, String)>,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ]{1,20}",
        Just("\u{1f600}\"\\\n".to_owned()),
        Just("\u{e9}".to_owned())
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let words = prop_oneof![3 => Just(PieceKind::Text), 1 => Just(PieceKind::Refusal)];
    let message = prop::collection::vec((words, text()), 1..8).prop_map(|pieces| Said {
        what: OutputKind::Message,
        pieces,
    });
    let thought = prop::collection::vec(text(), 1..5).prop_map(|pieces| Said {
        what: OutputKind::Reasoning,
        pieces: pieces
            .into_iter()
            .map(|piece| (PieceKind::Reasoning, piece))
            .collect(),
    });
    let call = prop::collection::vec(text(), 0..5).prop_map(|pieces| Said {
        what: OutputKind::FunctionCall {
            call_id: "call_1".to_owned(),
            name: "f".to_owned(),
        },
        pieces: pieces
            .into_iter()
            .map(|piece| (PieceKind::Arguments, piece))
            .collect(),
    });
    prop_oneof![3 => message, 1 => thought, 1 => call]
}

fn state() -> impl Strategy<Value = TurnState> {
    prop::sample::select(vec![
        TurnState::Completed,
        TurnState::Incomplete(Cutoff::Length),
        TurnState::Incomplete(Cutoff::ContentFilter),
        TurnState::Failed(TurnFailure::Upstream),
        TurnState::Failed(TurnFailure::Refused),
        TurnState::Cancelled,
    ])
}

/// A turn that is told and stored.
struct Stage {
    turn: Turn,
    items: Vec<Item>,
    events: Vec<TurnEvent>,
}

impl Stage {
    /// `renamed`: the items got other ids when they were stored.
    fn new(said: &[Said], state: TurnState, background: bool, renamed: bool) -> Self {
        let turn_id = TurnId::from_bits(0x019b_76da_a800_7115_a8f6_04db_4d5b_f38a);
        let kept = Kept {
            background,
            temperature: 0.3,
            ..Kept::default()
        };
        let native = Native {
            dialect: "openai".to_owned(),
            json: Json::of(&kept).unwrap(),
        };
        let (mut events, mut items, mut output, mut pieces) = (vec![], vec![], vec![], vec![]);
        let said_count = said.len();
        for (at, said) in said.iter().enumerate() {
            let id = ItemId::from_bits(turn_id.bits() + 1 + u128::try_from(at).unwrap());
            let is_whole = at + 1 < said_count || state == TurnState::Completed;
            let content = content(said, is_whole);
            events.push(TurnEvent::Begun(Arc::new(Begun {
                index: at,
                id,
                what: said.what.clone(),
            })));
            for (kind, text) in &said.pieces {
                let (kind, text) = (*kind, text.clone());
                events.push(TurnEvent::Piece { kind, text });
            }
            let told = NewItem {
                id,
                alias: None,
                content: content.clone(),
            };
            events.push(TurnEvent::Done(Arc::new(told)));
            let length = |(_, text): &(PieceKind, String)| u32::try_from(text.len()).unwrap();
            pieces.push(said.pieces.iter().map(length).collect());
            let stored = stored(id, content, renamed);
            items.push(item_of(&stored, turn_id));
            output.push(Arc::new(stored));
        }
        let (at, error) = (
            Timestamp::from_millis(5_000),
            Some("It said no.".to_owned()),
        );
        let usage = Usage {
            input_tokens: 3,
            output_tokens: 4,
            ..Usage::default()
        };
        events.push(TurnEvent::Ended(Arc::new(TurnEnd {
            output,
            usage,
            error: error.clone(),
            ..TurnEnd::of(state, at)
        })));
        let record = TurnRecord {
            model: "m".to_owned(),
            previous: Some(TurnId::from_bits(7)),
            native: Some(native),
            error,
            pieces,
        };
        let turn = turn(turn_id, (state, at), usage, record);
        Self {
            turn,
            items,
            events,
        }
    }

    fn live(&self, obfuscates: bool, after: Option<u64>) -> String {
        let head = Head {
            turn: self.turn.id,
            created_at: self.turn.started_at,
            conversation: None,
            previous: self.turn.record.previous,
            model: self.turn.record.model.clone(),
            kept: Kept::of(&self.turn),
        };
        let mut encoder = Encoder::new(head, obfuscates, after);
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for event in &self.events {
            encoder.take(event, &mut out);
        }
        assert!(encoder.is_over());
        String::from_utf8(out).unwrap()
    }

    fn again(&self, obfuscates: bool, after: Option<u64>) -> String {
        let encoder = Encoder::new(Head::of(&self.turn), obfuscates, after);
        let mut replay = Replay::new(encoder, &self.turn, &self.items);
        let mut out = Vec::new();
        while let Some(frames) = replay.next() {
            out.extend_from_slice(&frames);
        }
        String::from_utf8(out).unwrap()
    }
}

/// An item as it is stored: under other ids, if somebody has added items meanwhile.
fn stored(id: ItemId, content: ItemContent, renamed: bool) -> NewItem {
    NewItem {
        id: ItemId::from_bits(id.bits() + if renamed { 1000 } else { 0 }),
        alias: renamed.then(|| item::name(&content.kind, id)),
        content,
    }
}

fn turn(id: TurnId, (state, at): (TurnState, Timestamp), usage: Usage, record: TurnRecord) -> Turn {
    Turn {
        id,
        conversation: ConversationId::from_bits(id.bits()),
        app: AppId::from_bits(1),
        state,
        started_at: Timestamp::from_millis(1_000),
        finished_at: Some(at),
        usage,
        first_seq: 0,
        output_seq: Some(1),
        record,
    }
}

fn content(said: &Said, is_whole: bool) -> ItemContent {
    let whole: String = said.pieces.iter().map(|(_, text)| text.as_str()).collect();
    match &said.what {
        OutputKind::Message => {
            let mut parts: Vec<(bool, String)> = Vec::new();
            for (kind, text) in &said.pieces {
                let is_refusal = *kind == PieceKind::Refusal;
                match parts.last_mut() {
                    Some((last, said)) if *last == is_refusal => said.push_str(text),
                    _ => parts.push((is_refusal, text.clone())),
                }
            }
            ItemContent::answer(&parts, is_whole)
        }
        OutputKind::Reasoning => ItemContent::reasoning(&whole),
        OutputKind::FunctionCall { call_id, name } => {
            ItemContent::function_call(call_id, name, &whole, is_whole)
        }
    }
}

fn item_of(new: &NewItem, turn: TurnId) -> Item {
    Item {
        id: new.id,
        seq: 1,
        section: SectionId::from_bits(1),
        turn: Some(turn),
        modified_at: None,
        alias: new.alias.clone(),
        content: new.content.clone(),
    }
}

fn frames(stream: &str) -> Vec<&str> {
    stream.split_inclusive("\n\n").collect()
}

fn data(frame: &str) -> serde_json::Value {
    let (_, data) = frame.split_once("\ndata: ").unwrap();
    serde_json::from_str(data).unwrap()
}

proptest! {
    #[test]
    fn a_stored_response_is_told_in_the_bytes_of_its_stream(
        said in prop::collection::vec(said(), 0..5), state in state(),
        background: bool, obfuscates: bool, renamed: bool, after in prop::option::of(0_u64..40),
    ) {
        let stage = Stage::new(&said, state, background, renamed);
        let live = stage.live(obfuscates, None);
        prop_assert_eq!(&live, &stage.again(obfuscates, None));
        // Whoever has had some of it gets the rest.
        let had = after.map_or(0, |after| usize::try_from(after).unwrap() + 1);
        let rest: String = frames(&live).into_iter().skip(had).collect();
        prop_assert_eq!(&rest, &stage.live(obfuscates, after));
        prop_assert_eq!(&rest, &stage.again(obfuscates, after));
    }

    #[test]
    fn every_event_has_its_number_and_every_delta_a_length_that_says_nothing(
        said in prop::collection::vec(said(), 0..5), state in state(), background: bool,
    ) {
        let stage = Stage::new(&said, state, background, false);
        let live = stage.live(true, None);
        let mut whole = String::new();
        for (at, frame) in frames(&live).into_iter().enumerate() {
            let data = data(frame);
            prop_assert_eq!(&data["sequence_number"], at);
            let begin = format!("event: {}\n", data["type"].as_str().unwrap());
            prop_assert!(frame.starts_with(&begin));
            if let Some(delta) = data["delta"].as_str() {
                whole.push_str(delta);
                let filler = data["obfuscation"].as_str().unwrap();
                prop_assert!(!filler.is_empty());
                prop_assert_eq!((delta.chars().count() + filler.len()) % 16, 0);
            }
        }
        let told: String = said.iter().flat_map(|said| &said.pieces).map(|(_, text)| text.as_str()).collect();
        prop_assert_eq!(whole, told);
        prop_assert!(!stage.live(false, None).contains("obfuscation"));
    }
}

#[test]
fn an_answer_whose_pieces_nobody_knows_is_told_part_by_part() {
    let said = Said {
        what: OutputKind::Message,
        pieces: vec![
            (PieceKind::Text, "a".to_owned()),
            (PieceKind::Text, "b".to_owned()),
            (PieceKind::Refusal, "c".to_owned()),
        ],
    };
    for pieces in [
        vec![],
        vec![vec![1, 1]],
        vec![vec![3]],
        vec![vec![1, 1, 1], vec![1]],
    ] {
        let mut stage = Stage::new(
            std::slice::from_ref(&said),
            TurnState::Completed,
            false,
            false,
        );
        stage.turn.record.pieces = pieces;
        let told = stage.again(false, None);
        let deltas: Vec<String> = frames(&told)
            .into_iter()
            .filter_map(|frame| data(frame)["delta"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(deltas, ["ab", "c"]);
    }
}

#[test]
fn items_that_no_model_makes_are_told_whole() {
    let mut stage = Stage::new(&[], TurnState::Completed, false, false);
    let payload = Json::parse("{\"type\":\"from_the_future\",\"n\":1.10}").unwrap();
    let content = ItemContent {
        kind: ItemKind::Typed(parlance_domain::ItemType::parse("from_the_future").unwrap()),
        payload,
        native: None,
    };
    let new = NewItem {
        id: ItemId::from_bits(1),
        alias: None,
        content,
    };
    stage.items.push(item_of(&new, stage.turn.id));
    let told = stage.again(false, None);
    assert_eq!(told.matches("\"n\":1.10").count(), 3, "{told}");
}

#[test]
fn a_response_that_is_deleted_meanwhile_ends_with_an_error() {
    let mut stage = Stage::new(&[], TurnState::Cancelled, false, false);
    stage.events = vec![TurnEvent::Ended(Arc::new(TurnEnd {
        is_deleted: true,
        ..TurnEnd::of(TurnState::Cancelled, Timestamp::from_millis(0))
    }))];
    let told = stage.live(true, None);
    let last = frames(&told).pop().unwrap();
    assert_eq!(
        last,
        "event: error\ndata: {\"type\":\"error\",\"sequence_number\":2,\"code\":\"response_not_found\",\
         \"message\":\"Response with id 'resp_019b76daa8007115a8f604db4d5bf38a' not found.\",\
         \"param\":null}\n\n"
    );
}
