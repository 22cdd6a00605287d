//! What a model says, as it is told and as it is kept.

use proptest::prelude::*;

use super::super::log::{Log, OutputKind, PieceKind, Reader, TurnEnd, TurnEvent};
use super::super::output::{Output, Stop};
use crate::clock::Timestamp;
use crate::ids::{Id, ItemId};
use crate::json::Json;
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_ITEMS_MAX};
use crate::model::{Cutoff, TurnFailure, TurnState};
use crate::upstream::{FinishReason, ModelEvent};

/// Tells all that a model says, and gives the output with the events that a reader gets.
async fn told(said: Vec<ModelEvent>, state: TurnState) -> (Output, Vec<TurnEvent>, Vec<Vec<u32>>) {
    let (_, teller) = Log::new();
    let mut reader = teller.reader();
    let mut output = Output::default();
    let ids = std::cell::Cell::new(0);
    for event in said {
        let new_id = || {
            ids.set(ids.get() + 1);
            ItemId::from_bits(ids.get())
        };
        let taken = output.take(event, &teller, new_id);
        assert!(taken.is_ok(), "the model makes sense");
    }
    output.finish(&teller, state);
    let pieces = teller.pieces();
    teller.end(TurnEnd::of(state, Timestamp::default()));
    let events = read(&mut reader).await;
    (output, events, pieces)
}

async fn read(reader: &mut Reader) -> Vec<TurnEvent> {
    let mut events = Vec::new();
    while let Some(event) = reader.next().await {
        events.push(event);
    }
    events
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

fn call(call_id: &str) -> ModelEvent {
    ModelEvent::ToolCall {
        call_id: call_id.to_owned(),
        name: "weather".to_owned(),
    }
}

fn payloads(output: &Output) -> Vec<&str> {
    let items = output.items.iter();
    items.map(|item| item.content.payload.text()).collect()
}

#[tokio::test]
async fn thoughts_words_and_calls_become_items_one_after_the_other() {
    let said = vec![
        ModelEvent::Reasoning("hm".to_owned()),
        text("I "),
        text("look"),
        call("call_1"),
        ModelEvent::Arguments("{\"a\":".to_owned()),
        ModelEvent::Arguments("1}".to_owned()),
        call("call_2"),
        ModelEvent::Finished(FinishReason::Complete),
    ];
    let (output, events, pieces) = told(said, TurnState::Completed).await;
    assert_eq!(output.state(), TurnState::Completed);
    assert_eq!(
        payloads(&output),
        [
            r#"{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]}"#,
            r#"{"type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"I look"}],"role":"assistant"}"#,
            r#"{"type":"function_call","status":"completed","arguments":"{\"a\":1}","call_id":"call_1","name":"weather"}"#,
            r#"{"type":"function_call","status":"completed","arguments":"","call_id":"call_2","name":"weather"}"#,
        ]
    );
    assert_eq!(pieces, [vec![2], vec![2, 4], vec![5, 2], vec![]]);
    let names: Vec<&str> = events
        .iter()
        .map(|event| match event {
            TurnEvent::Begun(_) => "begun",
            TurnEvent::Piece { .. } => "piece",
            TurnEvent::Done(_) => "done",
            TurnEvent::Ended(_) => "ended",
        })
        .collect();
    assert_eq!(
        names.join(" "),
        "begun piece done begun piece piece done begun piece piece done begun done ended"
    );
    let indices: Vec<usize> = events
        .iter()
        .filter_map(|event| match event {
            TurnEvent::Begun(begun) => Some(begun.index),
            TurnEvent::Piece { .. } | TurnEvent::Done(_) | TurnEvent::Ended(_) => None,
        })
        .collect();
    assert_eq!(indices, [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_says_so_in_its_last_item_alone() {
    let said = vec![
        call("call_1"),
        text("half"),
        ModelEvent::Refusal("no".to_owned()),
        ModelEvent::Finished(FinishReason::Length),
    ];
    let state = TurnState::Incomplete(Cutoff::Length);
    let (output, _, _) = told(said, state).await;
    assert_eq!(output.state(), state);
    assert_eq!(
        payloads(&output),
        [
            r#"{"type":"function_call","status":"completed","arguments":"","call_id":"call_1","name":"weather"}"#,
            r#"{"type":"message","status":"incomplete","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"half"},{"type":"refusal","refusal":"no"}],"role":"assistant"}"#,
        ]
    );
}

#[test]
fn arguments_of_no_call_make_no_sense() {
    let (_, teller) = Log::new();
    let mut output = Output::default();
    let stop = output.take(ModelEvent::Arguments("{}".to_owned()), &teller, || {
        ItemId::from_bits(1)
    });
    let failed = TurnState::Failed(TurnFailure::Upstream);
    assert!(matches!(stop, Err(Stop::Ended(state)) if state == failed));
}

#[test]
fn an_answer_is_bounded_in_bytes_and_in_items() {
    let (_, teller) = Log::new();
    let too_long = TurnState::Failed(TurnFailure::TooLong);
    let new_id = || ItemId::from_bits(1);
    let mut output = Output::default();
    let all = "x".repeat(ANSWER_BYTES_MAX);
    assert!(output.take(text(&all), &teller, new_id).is_ok());
    let stop = output.take(text("y"), &teller, new_id);
    assert!(matches!(stop, Err(Stop::Ended(state)) if state == too_long));
    let mut output = Output::default();
    for _ in 0..ANSWER_ITEMS_MAX {
        assert!(output.take(call("c"), &teller, new_id).is_ok());
    }
    let stop = output.take(call("c"), &teller, new_id);
    assert!(matches!(stop, Err(Stop::Ended(state)) if state == too_long));
}

#[tokio::test]
async fn nothing_is_told_of_a_turn_whose_conversation_is_deleted_but_that_it_is() {
    let (log, teller) = Log::new();
    let (mut early, mut output) = (teller.reader(), Output::default());
    let new_id = || ItemId::from_bits(1);
    assert!(output.take(text("secret"), &teller, new_id).is_ok());
    log.forget();
    assert!(matches!(
        output.take(text("more"), &teller, new_id),
        Err(Stop::Forgotten)
    ));
    output.finish(&teller, TurnState::Completed);
    let end = TurnEnd {
        output: output.items.clone(),
        error: Some("words".to_owned()),
        ..TurnEnd::of(TurnState::Completed, Timestamp::default())
    };
    teller.end(end);
    let gone = TurnEnd {
        is_deleted: true,
        ..TurnEnd::of(TurnState::Cancelled, Timestamp::default())
    };
    for reader in [&mut early, &mut teller.reader()] {
        let events = read(reader).await;
        assert_eq!(events, [TurnEvent::Ended(gone.clone().into())]);
    }
    assert!(teller.pieces().is_empty());
}

#[tokio::test]
async fn whoever_comes_late_reads_the_same_and_whoever_waits_for_the_end_gets_it() {
    let (_, teller) = Log::new();
    let (mut early, mut waiting, mut output) =
        (teller.reader(), teller.reader(), Output::default());
    let new_id = || ItemId::from_bits(7);
    assert!(output.take(text("a"), &teller, new_id).is_ok());
    let first = early.next().await;
    assert!(matches!(first, Some(TurnEvent::Begun(_))), "{first:?}");
    assert!(output.take(text("ü"), &teller, new_id).is_ok());
    output.finish(&teller, TurnState::Completed);
    teller.end(TurnEnd::of(TurnState::Completed, Timestamp::default()));
    let mut seen = vec![first.unwrap()];
    seen.extend(read(&mut early).await);
    assert_eq!(seen, read(&mut teller.reader()).await);
    assert_eq!(
        waiting.end().await.map(|end| end.state),
        Some(TurnState::Completed)
    );
    assert_eq!(waiting.next().await, None);
}

#[tokio::test]
async fn readers_wait_for_nothing_when_the_teller_is_gone() {
    let (log, teller) = Log::new();
    let (mut reader, mut other) = (log.reader(), log.reader());
    drop(teller);
    assert_eq!(reader.next().await, None);
    assert_eq!(other.end().await, None);
}

fn said() -> impl Strategy<Value = ModelEvent> {
    prop_oneof![
        "[aü💡]{0,4}".prop_map(ModelEvent::Text),
        "[bß]{0,3}".prop_map(ModelEvent::Refusal),
        "[cö]{0,3}".prop_map(ModelEvent::Reasoning),
        Just(call("call_1")),
    ]
}

proptest! {
    #[test]
    fn the_pieces_put_together_are_the_items(said in prop::collection::vec(said(), 0..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (output, events, pieces) = runtime.block_on(told(said, TurnState::Completed));
        let mut items: Vec<(OutputKind, Vec<(PieceKind, String)>)> = Vec::new();
        for event in &events {
            match event {
                TurnEvent::Begun(begun) => items.push((begun.what.clone(), Vec::new())),
                TurnEvent::Piece { kind, text } => {
                    items.last_mut().unwrap().1.push((*kind, text.clone()));
                }
                TurnEvent::Done(_) | TurnEvent::Ended(_) => {}
            }
        }
        prop_assert_eq!(items.len(), output.items.len());
        prop_assert_eq!(items.len(), pieces.len());
        for (((what, told), item), pieces) in items.iter().zip(&output.items).zip(&pieces) {
            let lengths: Vec<usize> = told.iter().map(|(_, text)| text.len()).collect();
            let kept: Vec<usize> = pieces.iter().map(|n| usize::try_from(*n).unwrap()).collect();
            prop_assert_eq!(lengths, kept);
            let whole: String = told.iter().map(|(_, text)| text.as_str()).collect();
            prop_assert_eq!(whole, words(what, &item.content.payload));
        }
    }
}

/// All text in an item.
fn words(what: &OutputKind, payload: &Json) -> String {
    let payload = payload.value();
    let parts = |value: &serde_json::Value| -> String {
        let parts = value["content"].as_array().unwrap().iter();
        let text = |part: &serde_json::Value| {
            part["text"]
                .as_str()
                .or(part["refusal"].as_str())
                .unwrap()
                .to_owned()
        };
        parts.map(text).collect()
    };
    match what {
        OutputKind::Message | OutputKind::Reasoning => parts(&payload),
        OutputKind::FunctionCall { .. } => payload["arguments"].as_str().unwrap().to_owned(),
    }
}
