//! Turns of a service over a store.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::clock::Clock;
use parlance_domain::ids::{Id, TurnId};
use parlance_domain::model::{
    App, AppMode, Cursor, Item, ItemContent, ItemKind, ItemQuery, ItemRef, Order, Principal, Role,
    Turn, TurnFailure, TurnQuery, TurnState,
};
use parlance_domain::service::{
    ConversationDraft, EraseOrder, Half, ItemDraft, Ports, TurnDraft, TurnEnd, TurnEvent,
    TurnStream, TurnTarget,
};
use parlance_domain::tasks::Tasks;
use parlance_domain::upstream::{
    Model, ModelError, ModelEvent, ModelMessage, ModelPart, ModelRequest, ModelStream,
};
use parlance_domain::{Fault, Noun, Service, Settings};
use parlance_store::Memory;
use parlance_testkit::{ManualClock, samples};
use tokio::sync::mpsc;

/// It always has more to say, and never lets anybody wait for it.
struct Talkative;

#[async_trait]
impl Model for Talkative {
    async fn answer(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let words = stream::repeat_with(|| Ok(ModelEvent::Text("and so on, ".to_owned())));
        Ok(words.boxed())
    }
}

/// What one answer consists of.
type Said = mpsc::UnboundedReceiver<Result<ModelEvent, ModelError>>;

/// It says what tests tell it to, and remembers what it was asked.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<ModelRequest>>,
    answers: Mutex<Vec<Said>>,
}

#[async_trait]
impl Model for Scripted {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.asked.lock().unwrap().push(request);
        let said = self.answers.lock().unwrap().remove(0);
        let next = |mut said: Said| async { said.recv().await.map(|event| (event, said)) };
        Ok(stream::unfold(said, next).boxed())
    }
}

struct Stage {
    service: Service,
    model: Arc<Scripted>,
    who: Principal,
    app: Arc<App>,
}

impl Stage {
    fn new() -> Self {
        let model = Arc::new(Scripted::default());
        let port: Arc<dyn Model> = Arc::<Scripted>::clone(&model);
        Self {
            service: service(port),
            model,
            who: samples::principal("ann"),
            app: Arc::new(app()),
        }
    }

    /// The next answer, to be said piece by piece.
    fn answer(&self) -> mpsc::UnboundedSender<Result<ModelEvent, ModelError>> {
        let (say, said) = mpsc::unbounded_channel();
        self.model.answers.lock().unwrap().push(said);
        say
    }

    /// The next answer, whole.
    fn answers(&self, text: &str) {
        say(&self.answer(), text);
    }

    fn draft(&self, target: TurnTarget, question: &str) -> TurnDraft {
        let input = vec![samples::question(question).into()];
        TurnDraft::new(Arc::clone(&self.app), target, input)
    }

    async fn start(&self, target: TurnTarget, question: &str) -> TurnStream {
        let draft = self.draft(target, question);
        self.service.start_turn(&self.who, draft).await.unwrap()
    }

    /// Asks and waits for the answer.
    async fn ask(&self, target: TurnTarget, question: &str, answer: &str) -> TurnStream {
        self.answers(answer);
        let mut stream = self.start(target, question).await;
        let end = stream.end().await.unwrap();
        assert_eq!(end.state, TurnState::Completed);
        assert_eq!(end.text(), answer);
        stream
    }

    async fn turn(&self, id: TurnId) -> Turn {
        self.service.turn(&self.who, id.into()).await.unwrap()
    }

    async fn half(&self, turn: &Turn, half: Half) -> Vec<String> {
        let query = ItemQuery::first(Order::OldestFirst, 10);
        let page = self.service.turn_items(&self.who, turn, half, &query).await;
        page.unwrap().rows.iter().map(text).collect()
    }

    /// What the model was asked last.
    fn asked(&self) -> Vec<String> {
        let asked = self.model.asked.lock().unwrap();
        let said = |message: &ModelMessage| match message {
            ModelMessage::Said { parts, .. } => match parts.as_slice() {
                [ModelPart::Text(text)] => text.clone(),
                _ => panic!("one text"),
            },
            ModelMessage::Called(_) | ModelMessage::ToolOutput { .. } => panic!("words alone"),
        };
        asked.last().unwrap().messages.iter().map(said).collect()
    }

    fn times_asked(&self) -> usize {
        self.model.asked.lock().unwrap().len()
    }

    async fn conversation(&self) -> parlance_domain::ConversationId {
        let draft = ConversationDraft::new(self.app.id);
        let made = self.service.create_conversation(&self.who, draft).await;
        made.unwrap().id
    }

    async fn all_turns(&self) -> Vec<TurnId> {
        let query = TurnQuery {
            order: Order::OldestFirst,
            cursor: Cursor::default(),
            conversation: None,
            app: None,
            rows_max: 100,
        };
        let page = self.service.turn_page(&self.who, &query).await.unwrap();
        page.rows.iter().map(|turn| turn.id).collect()
    }
}

fn say(to: &mpsc::UnboundedSender<Result<ModelEvent, ModelError>>, text: &str) {
    to.send(Ok(ModelEvent::Text(text.to_owned()))).unwrap();
}

fn text(item: &Item) -> String {
    item.content.text()
}

fn app() -> App {
    App {
        id: samples::app(1),
        project: samples::PROJECT,
        name: "default".to_owned(),
        mode: AppMode::AdvancedChat,
        model: None,
        instructions: Some("Be brief.".to_owned()),
        created_at: ManualClock::default().now(),
    }
}

fn service(model: Arc<dyn Model>) -> Service {
    let clock = Arc::new(ManualClock::default());
    let ports = Ports {
        store: Arc::new(Memory::default()),
        model,
        ids: Arc::new(samples::ids(Arc::<ManualClock>::clone(&clock))),
        clock,
        tasks: Tasks::default(),
        notary: samples::notary(),
    };
    Service::new(ports, Settings::default())
}

const ALONE: TurnTarget = TurnTarget::Alone { previous: None };

fn after(turn: TurnId) -> TurnTarget {
    let previous = Some(turn.into());
    TurnTarget::Alone { previous }
}

#[tokio::test]
async fn a_turn_is_stopped_although_its_model_never_pauses() {
    let (service, who) = (service(Arc::new(Talkative)), samples::principal("ann"));
    let new = TurnTarget::New(Box::new(ConversationDraft::new(app().id)));
    let draft = TurnDraft::new(
        Arc::new(app()),
        new,
        vec![samples::question("what?").into()],
    );
    let mut turn = service.start_turn(&who, draft).await.unwrap();
    service.stop_turn(&who, turn.turn.into());
    assert_eq!(turn.end().await.unwrap().state, TurnState::Cancelled);
}

#[tokio::test]
async fn a_turn_that_stands_alone_is_kept_with_both_its_halves_and_seen_by_nobody_else() {
    let stage = Stage::new();
    let stream = stage.ask(ALONE, "capital?", "Paris.").await;
    let turn = stage.turn(stream.turn).await;
    assert!(turn.stands_alone());
    assert_eq!(turn.state, TurnState::Completed);
    assert_eq!(turn.record.model, "echo");
    assert_eq!(stage.half(&turn, Half::Input).await, ["capital?"]);
    assert_eq!(stage.half(&turn, Half::Output).await, ["Paris."]);
    let of = parlance_domain::ConversationId::from_bits(turn.id.bits());
    let hidden = stage.service.conversation(&stage.who, of.into()).await;
    let not_found = Fault::NotFound(Noun::Conversation);
    assert_eq!(hidden.unwrap_err().fault, not_found);
    let bob = samples::principal("bob");
    let his = stage.service.turn(&bob, turn.id.into()).await;
    assert_eq!(his.unwrap_err().fault, Fault::NotFound(Noun::Turn));
    let his = stage.draft(after(turn.id), "and?");
    let his = stage.service.start_turn(&bob, his).await.err().unwrap();
    assert_eq!(his.fault, Fault::NotFound(Noun::PreviousTurn));
    assert_eq!(stage.times_asked(), 1);
}

#[tokio::test]
async fn a_chain_of_turns_is_read_from_its_beginning_and_what_was_erased_of_it_is_not() {
    let stage = Stage::new();
    let first = stage.ask(ALONE, "one", "1").await;
    let second = stage.ask(after(first.turn), "two", "2").await;
    let third = stage.ask(after(second.turn), "three", "3").await;
    assert_eq!(stage.asked(), ["one", "1", "two", "2", "three"]);
    let at = stage.service.now();
    let deleted = stage
        .service
        .delete_turn(&stage.who, second.turn.into(), at)
        .await;
    assert!(deleted.unwrap().is_some(), "it has a receipt");
    stage.ask(after(third.turn), "four", "4").await;
    assert_eq!(stage.asked(), ["three", "3", "four"]);
    let gone = stage.draft(after(second.turn), "again");
    let gone = stage.service.start_turn(&stage.who, gone).await;
    let not_found = Fault::NotFound(Noun::PreviousTurn);
    assert_eq!(gone.err().unwrap().fault, not_found);
}

#[tokio::test]
async fn what_continues_a_turn_in_a_conversation_reads_what_that_turn_could() {
    let stage = Stage::new();
    let of = stage.conversation().await;
    let one = stage.ask(TurnTarget::Existing(of.into()), "one", "1").await;
    stage.ask(TurnTarget::Existing(of.into()), "two", "2").await;
    assert_eq!(stage.asked(), ["one", "1", "two"]);
    stage.ask(after(one.turn), "and?", "so").await;
    assert_eq!(stage.asked(), ["one", "1", "and?"]);
    // Nothing of it is in the conversation.
    let query = ItemQuery::first(Order::OldestFirst, 10);
    let items = stage.service.items(&stage.who, of.into(), &query).await;
    assert_eq!(items.unwrap().rows.len(), 4);
}

#[tokio::test]
async fn what_continues_a_turn_reads_no_further_back_than_that_turn_could() {
    let stage = Stage::new();
    let of = stage.conversation().await;
    stage.ask(TurnTarget::Existing(of.into()), "one", "1").await;
    let cleared = stage.service.start_section(&stage.who, of.into()).await;
    cleared.unwrap();
    let two = stage.ask(TurnTarget::Existing(of.into()), "two", "2").await;
    assert_eq!(stage.asked(), ["two"]);
    stage.ask(after(two.turn), "three", "3").await;
    assert_eq!(stage.asked(), ["two", "2", "three"]);
}

#[tokio::test]
async fn a_turn_that_is_not_stored_reads_and_leaves_nothing() {
    let stage = Stage::new();
    let of = stage.conversation().await;
    let alone = stage.ask(ALONE, "one", "1").await;
    stage.ask(TurnTarget::Existing(of.into()), "two", "2").await;
    let before = stage.all_turns().await;
    let unstored = TurnTarget::Unstored {
        previous: Some(alone.turn.into()),
        conversation: None,
    };
    let first = stage.ask(unstored, "three", "3").await;
    assert_eq!(stage.asked(), ["one", "1", "three"]);
    let unstored = TurnTarget::Unstored {
        previous: None,
        conversation: Some(of.into()),
    };
    let second = stage.ask(unstored, "four", "4").await;
    assert_eq!(stage.asked(), ["two", "2", "four"]);
    assert_eq!(stage.all_turns().await, before);
    for turn in [first.turn, second.turn] {
        let found = stage.service.turn(&stage.who, turn.into()).await;
        assert_eq!(found.unwrap_err().fault, Fault::NotFound(Noun::Turn));
    }
    let query = ItemQuery::first(Order::OldestFirst, 10);
    let items = stage.service.items(&stage.who, of.into(), &query).await;
    assert_eq!(items.unwrap().rows.len(), 2);
}

#[tokio::test]
async fn a_turn_that_is_not_stored_ends_with_the_conversation_that_it_reads() {
    let stage = Stage::new();
    let of = stage.conversation().await;
    let answer = stage.answer();
    let unstored = TurnTarget::Unstored {
        previous: None,
        conversation: Some(of.into()),
    };
    let mut stream = stage.start(unstored, "one").await;
    say(&answer, "secret");
    assert!(matches!(stream.next().await, Some(TurnEvent::Begun(_))));
    let at = stage.service.now();
    let deleted = stage.service.delete_conversation(&stage.who, of.into(), at);
    deleted.await.unwrap();
    let Some(TurnEvent::Ended(end)) = stream.next().await else {
        panic!("nothing is told any more");
    };
    let gone = (TurnState::Cancelled, true, 0);
    assert_eq!((end.state, end.is_deleted, end.output.len()), gone);
    answer.closed().await;
}

#[tokio::test]
async fn a_turn_ends_with_any_turn_of_the_chain_that_it_reads() {
    let stage = Stage::new();
    for is_stored in [true, false] {
        let first = stage.ask(ALONE, "one", "1").await.turn;
        let after = |turn: TurnId| TurnTarget::Alone {
            previous: Some(turn.into()),
        };
        let second = stage.ask(after(first), "two", "2").await.turn;
        let answer = stage.answer();
        let third = if is_stored {
            after(second)
        } else {
            TurnTarget::Unstored {
                previous: Some(second.into()),
                conversation: None,
            }
        };
        let mut stream = stage.start(third, "three").await;
        assert_eq!(stage.asked(), ["one", "1", "two", "2", "three"]);
        let at = stage.service.now();
        let deleted = stage.service.delete_turn(&stage.who, first.into(), at);
        assert!(deleted.await.unwrap().is_some());
        // The model is not asked again, nor listened to.
        answer.closed().await;
        let end = stream.end().await.unwrap();
        // What is stored elsewhere stays there.
        assert_eq!(
            (end.state, end.is_deleted),
            (TurnState::Cancelled, !is_stored)
        );
        let found = stage.service.turn(&stage.who, stream.turn.into()).await;
        assert_eq!(found.is_ok(), is_stored);
    }
}

#[tokio::test]
async fn items_that_others_add_meanwhile_leave_an_answer_the_ids_that_it_was_announced_with() {
    let stage = Stage::new();
    let of = stage.conversation().await;
    let answer = stage.answer();
    let mut draft = stage.draft(TurnTarget::Existing(of.into()), "one");
    draft.item_name = Some(|kind, id| {
        assert_eq!(*kind, ItemKind::Message(Role::Assistant));
        format!("msg_{}", id.hex())
    });
    let started = stage.service.start_turn(&stage.who, draft).await;
    let mut stream = started.unwrap();
    say(&answer, "1");
    let Some(TurnEvent::Begun(begun)) = stream.next().await else {
        panic!("an item begins");
    };
    let more: ItemDraft = samples::question("meanwhile").into();
    let added = stage
        .service
        .append_items(&stage.who, of.into(), vec![more])
        .await;
    let added = added.unwrap().items.remove(0);
    drop(answer);
    let end = stream.end().await.unwrap();
    assert_eq!(end.state, TurnState::Completed);
    let alias = ItemRef::Alias(format!("msg_{}", begun.id.hex()));
    let found = stage.service.item(&stage.who, of.into(), &alias).await;
    let found = found.unwrap();
    assert_eq!(text(&found), "1");
    assert!(found.id > added.id && found.seq > added.seq);
    // It belongs to nobody's turn.
    let turn = stage.turn(stream.turn).await;
    assert_eq!(stage.half(&turn, Half::Input).await, ["one"]);
    assert_eq!(stage.half(&turn, Half::Output).await, ["1"]);
}

#[tokio::test]
async fn a_turn_is_followed_while_it_runs_and_cancelled_with_what_it_has_said() {
    let stage = Stage::new();
    let answer = stage.answer();
    let mut stream = stage.start(ALONE, "one").await;
    let running = stage.turn(stream.turn).await;
    assert_eq!(running.state, TurnState::Running);
    assert_eq!(stage.half(&running, Half::Input).await, ["one"]);
    assert!(stage.half(&running, Half::Output).await.is_empty());
    say(&answer, "half");
    let mut late = stage.service.follow_turn(&stage.who, &running).unwrap();
    for _ in 0..2 {
        assert_eq!(stream.next().await, late.next().await);
    }
    let bob = samples::principal("bob");
    assert!(stage.service.follow_turn(&bob, &running).is_none());
    let cancelled = stage
        .service
        .cancel_turn(&stage.who, running.id.into())
        .await;
    let cancelled = cancelled.unwrap();
    assert_eq!(cancelled.state, TurnState::Cancelled);
    assert_eq!(stage.half(&cancelled, Half::Output).await, ["half"]);
    assert!(stage.service.follow_turn(&stage.who, &running).is_none());
    let again = stage
        .service
        .cancel_turn(&stage.who, running.id.into())
        .await;
    assert_eq!(again.unwrap(), cancelled);
}

#[tokio::test]
async fn a_turn_that_runs_is_stopped_before_it_is_forgotten_and_its_items_stay_in_a_conversation() {
    let stage = Stage::new();
    let of = stage.conversation().await;
    let answer = stage.answer();
    let mut stream = stage.start(TurnTarget::Existing(of.into()), "one").await;
    say(&answer, "half");
    stream.next().await;
    let at = stage.service.now();
    let deleted = stage
        .service
        .delete_turn(&stage.who, stream.turn.into(), at)
        .await;
    assert!(deleted.unwrap().is_none(), "it has no receipt");
    assert_eq!(stream.end().await.unwrap().state, TurnState::Cancelled);
    let found = stage.service.turn(&stage.who, stream.turn.into()).await;
    assert_eq!(found.unwrap_err().fault, Fault::NotFound(Noun::Turn));
    let query = ItemQuery::first(Order::OldestFirst, 10);
    let items = stage.service.items(&stage.who, of.into(), &query).await;
    let texts: Vec<String> = items.unwrap().rows.iter().map(text).collect();
    assert_eq!(texts, ["one", "half"]);
    // There is room for another.
    stage.ask(TurnTarget::Existing(of.into()), "two", "2").await;
}

#[tokio::test]
async fn a_turn_alone_that_runs_is_erased_at_once() {
    let stage = Stage::new();
    let answer = stage.answer();
    let mut stream = stage.start(ALONE, "one").await;
    say(&answer, "half");
    stream.next().await;
    let at = stage.service.now();
    let deleted = stage
        .service
        .delete_turn(&stage.who, stream.turn.into(), at)
        .await;
    assert!(deleted.unwrap().is_some(), "it has a receipt");
    let end: Arc<TurnEnd> = stream.end().await.unwrap();
    assert!(end.is_deleted && end.output.is_empty());
    answer.closed().await;
    assert!(stage.all_turns().await.is_empty());
}

#[tokio::test]
async fn why_a_model_refused_is_kept_with_the_turn() {
    let stage = Stage::new();
    let answer = stage.answer();
    let mut stream = stage.start(ALONE, "one").await;
    say(&answer, "half");
    let refused = ModelError::Refused {
        status: 400,
        said: Some(parlance_domain::upstream::RefusalText {
            message: "too long".to_owned(),
            code: None,
        }),
    };
    answer.send(Err(refused)).unwrap();
    let end = stream.end().await.unwrap();
    assert_eq!(end.state, TurnState::Failed(TurnFailure::Refused));
    assert_eq!(end.error.as_deref(), Some("too long"));
    let turn = stage.turn(stream.turn).await;
    assert_eq!(turn.state, end.state);
    assert_eq!(turn.record.error, end.error);
    assert_eq!(stage.half(&turn, Half::Output).await, ["half"]);
}

#[tokio::test]
async fn a_call_without_output_is_refused_before_anything_is_stored_where_that_is_wanted() {
    let stage = Stage::new();
    let of = stage.conversation().await;
    let call = ItemContent::function_call("call_1", "weather", "{}", true);
    let added = stage
        .service
        .append_items(&stage.who, of.into(), vec![call.into()])
        .await;
    added.unwrap();
    let mut draft = stage.draft(TurnTarget::Existing(of.into()), "well?");
    draft.needs_tool_outputs = true;
    let refused = stage.service.start_turn(&stage.who, draft).await;
    let call_id = "call_1".to_owned();
    assert_eq!(
        refused.err().unwrap().fault,
        Fault::NoToolOutput { call_id }
    );
    assert!(stage.all_turns().await.is_empty());
    stage
        .ask(TurnTarget::Existing(of.into()), "well?", "fine")
        .await;
    assert_eq!(stage.asked(), ["well?"]);
}

#[tokio::test]
async fn a_request_has_its_own_instructions_or_the_apps() {
    let stage = Stage::new();
    stage.ask(ALONE, "one", "1").await;
    stage.answers("2");
    let mut draft = stage.draft(ALONE, "two");
    draft.instructions = Some("Be long.".to_owned());
    let started = stage.service.start_turn(&stage.who, draft).await;
    started.unwrap().end().await;
    let asked = stage.model.asked.lock().unwrap();
    let told: Vec<_> = asked
        .iter()
        .map(|request| request.instructions.as_deref())
        .collect();
    assert_eq!(told, [Some("Be brief."), Some("Be long.")]);
}

#[tokio::test]
async fn pieces_are_kept_where_that_is_wanted() {
    let stage = Stage::new();
    let mut turns = Vec::new();
    for keeps_pieces in [false, true] {
        let answer = stage.answer();
        for piece in ["a", "bc", "", "ü"] {
            say(&answer, piece);
        }
        drop(answer);
        let draft = TurnDraft {
            keeps_pieces,
            ..stage.draft(ALONE, "one")
        };
        let started = stage.service.start_turn(&stage.who, draft).await;
        let mut stream = started.unwrap();
        stream.end().await;
        turns.push(stage.turn(stream.turn).await.record.pieces);
    }
    assert_eq!(turns, [vec![], vec![vec![1, 2, 2]]]);
}

#[tokio::test]
async fn whoever_erases_a_user_stops_the_users_turns_that_are_stored_nowhere() {
    let stage = Stage::new();
    let (hers, his) = (stage.answer(), stage.answer());
    let unstored = TurnTarget::Unstored {
        previous: None,
        conversation: None,
    };
    let mut her_stream = stage.start(unstored.clone(), "one").await;
    say(&hers, "secret");
    her_stream.next().await;
    let bob = samples::principal("bob");
    let draft = stage.draft(unstored, "two");
    let mut his_stream = stage.service.start_turn(&bob, draft).await.unwrap();
    say(&his, "fine");
    let order = EraseOrder {
        project: samples::PROJECT,
        user: stage.who.user.clone(),
        unchanged_for: None,
    };
    stage.service.erase(&order).finish().await.unwrap();
    let end = her_stream.end().await.unwrap();
    assert!(end.is_deleted && end.output.is_empty());
    hers.closed().await;
    drop(his);
    assert_eq!(his_stream.end().await.unwrap().text(), "fine");
}
