//! A service with its surroundings, and what has to hold of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parlance_domain::clock::Clock;
use parlance_domain::ids::{ConversationId, ReceiptId, TurnId};
use parlance_domain::model::{
    App, AppMode, Conversation, ConversationQuery, Cursor, ItemQuery, Metadata, Order, Principal,
    Sort, TurnFailure, TurnState,
};
use parlance_domain::service::{
    ConversationDraft, Deleted, Ports, TurnDraft, TurnEnd, TurnEvent, TurnStream, TurnTarget,
};
use parlance_domain::tasks::Tasks;
use parlance_domain::{Conflict, Error, Fault, Noun, Service, Settings};
use parlance_testkit::explore::{Plan, explore};
use parlance_testkit::{ManualClock, samples};
use shuttle::future::{JoinHandle, block_on, spawn};

use crate::model::Script;
use crate::store::{Diarist, Entry};

/// A service. Clones are one.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) store: Diarist,
    pub(crate) who: Principal,
    app: Arc<App>,
}

/// A conversation, and what is known of its deletion.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) id: ConversationId,
    /// Somebody was told that it is deleted, or that it is not there.
    gone: Arc<AtomicBool>,
    /// Whoever deleted it was told so: from then on nothing is told of its turns. Until then another
    /// may learn that it is gone before they are stopped.
    done: Arc<AtomicBool>,
}

/// What a reader was told of a turn.
pub(crate) struct Told {
    pub(crate) turn: TurnId,
    pub(crate) end: Arc<TurnEnd>,
}

const NOT_FOUND: Fault = Fault::NotFound(Noun::Conversation);

/// Explores what is done in a world, and then that all comes to an end in it.
pub(crate) fn explored<F, D>(plan: Plan, script: Script, done: D)
where
    D: Fn(World) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    explore(plan, move || {
        let world = World::new(script);
        block_on(async {
            done(world.clone()).await;
            world.check().await;
        });
    });
}

impl World {
    fn new(script: Script) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Diarist::default();
        let app = App {
            id: samples::app(1),
            project: samples::PROJECT,
            name: "default".to_owned(),
            mode: AppMode::AdvancedChat,
            model: None,
            instructions: None,
            created_at: clock.now(),
        };
        let ports = Ports {
            store: Arc::new(store.clone()),
            model: Arc::new(script),
            ids: Arc::new(samples::ids(Arc::<ManualClock>::clone(&clock))),
            clock,
            tasks: Tasks::default(),
            notary: samples::notary(),
        };
        Self {
            service: Service::new(ports, Settings::default()),
            store,
            who: samples::principal("ann"),
            app: Arc::new(app),
        }
    }

    /// Does something beside the rest.
    pub(crate) fn beside<T, F>(&self, done: impl FnOnce(Self) -> F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        spawn(done(self.clone()))
    }

    /// A conversation with one question in it.
    pub(crate) async fn conversation(&self) -> Target {
        let draft = ConversationDraft {
            items: vec![samples::question("what?").into()],
            ..ConversationDraft::new(self.app.id)
        };
        let made = self.service.create_conversation(&self.who, draft).await;
        Target::new(made.unwrap().id)
    }

    /// Begins a turn in a new conversation.
    pub(crate) async fn begin(&self) -> (Target, TurnStream) {
        let new = Box::new(ConversationDraft::new(self.app.id));
        let stream = self.start(TurnTarget::New(new)).await.unwrap();
        (Target::new(stream.conversation.unwrap()), stream)
    }

    /// Begins a turn in one that exists.
    pub(crate) async fn ask(&self, target: &Target) -> Result<TurnStream, Error> {
        let gone = target.is_gone();
        let asked = self.start(TurnTarget::Existing(target.id.into())).await;
        assert!(asked.is_err() || !gone, "a turn begins after the delete");
        asked
    }

    async fn start(&self, target: TurnTarget) -> Result<TurnStream, Error> {
        let input = vec![samples::question("and?").into()];
        let draft = TurnDraft::new(Arc::clone(&self.app), target, input);
        self.service.start_turn(&self.who, draft).await
    }

    /// Begins a turn, if the conversation is there and has none, and reads it to its end.
    pub(crate) async fn converse(&self, target: &Target) -> Option<Told> {
        match self.ask(target).await {
            Ok(stream) => Some(self.read(target, stream).await),
            Err(error) => {
                let busy = Fault::Conflict(Conflict::ConversationBusy);
                assert!(error.fault == NOT_FOUND || error.fault == busy, "{error:?}");
                None
            }
        }
    }

    /// Reads a turn: pieces, its end exactly once, and then nothing.
    pub(crate) async fn read(&self, target: &Target, mut stream: TurnStream) -> Told {
        let turn = stream.turn;
        let (mut text, mut late) = (String::new(), false);
        let end = loop {
            let done = target.done.load(Ordering::SeqCst);
            match stream.next().await {
                Some(TurnEvent::Piece { text: piece, .. }) => {
                    late |= done;
                    text.push_str(&piece);
                }
                Some(TurnEvent::Begun(_) | TurnEvent::Done(_)) => late |= done,
                Some(TurnEvent::Ended(end)) => break end,
                None => panic!("a turn ends without saying so"),
            }
        };
        for _ in 0..2 {
            assert_eq!(stream.next().await, None, "something comes after the end");
        }
        let told = Told { turn, end };
        self.check_end(target, &told);
        if !self.is_over_by_its_delete(target, &told) {
            assert!(!late, "the turn speaks on after the delete");
            assert_eq!(told.end.output, [], "the end repeats what is deleted");
        } else if told.end.state != TurnState::Failed(TurnFailure::Internal) {
            assert_eq!(told.end.text(), text);
        }
        told
    }

    /// Whether the turn was over before its conversation was deleted, if it was.
    fn is_over_by_its_delete(&self, target: &Target, told: &Told) -> bool {
        self.finished_before_its_delete(target, told)
            || told.end.state != TurnState::Cancelled
            || self.store.deletions(target.id) == 0
    }

    fn finished_before_its_delete(&self, target: &Target, told: &Told) -> bool {
        let diary = self.store.diary();
        let at = |entry| diary.iter().position(|other| *other == entry);
        let finished = at(Entry::Finished(told.turn));
        let deleted = at(Entry::Deleted(target.id));
        match (finished, deleted) {
            (Some(finished), Some(deleted)) => {
                assert!(finished < deleted, "an answer is stored after the delete");
                true
            }
            (finished, _) => finished.is_some(),
        }
    }

    fn check_end(&self, target: &Target, told: &Told) {
        let finished = self.finished_before_its_delete(target, told);
        assert_ne!(told.end.state, TurnState::Running);
        if told.end.answer().is_some() {
            assert!(finished, "an answer is promised that is not stored");
        }
        if !finished && self.store.diary().contains(&Entry::Deleted(target.id)) {
            assert!(
                matches!(told.end.state, TurnState::Cancelled | TurnState::Failed(_)),
                "{:?}",
                told.end.state
            );
        }
    }

    /// Deletes the conversation, unless it is gone already, and looks at what is left of it.
    pub(crate) async fn delete(&self, target: &Target) -> Option<Deleted> {
        let gone = target.is_gone();
        let at = self.service.now();
        let deleted = self
            .service
            .delete_conversation(&self.who, target.id.into(), at)
            .await;
        match deleted {
            Ok(deleted) => {
                assert!(!gone, "it is deleted again");
                assert_eq!(deleted.conversation, target.id);
                target.answered(true);
                self.check_gone(target, Some(deleted.receipt)).await;
                Some(deleted)
            }
            Err(error) => {
                assert_eq!(error.fault, NOT_FOUND);
                target.answered(false);
                self.check_gone(target, None).await;
                None
            }
        }
    }

    /// Nothing of the conversation can be read, and nothing is written to it.
    pub(crate) async fn check_gone(&self, target: &Target, receipt: Option<ReceiptId>) {
        let (service, who, id) = (&self.service, &self.who, target.id.into());
        let every_item = ItemQuery::first(Order::OldestFirst, 10);
        let question = vec![samples::question("still?").into()];
        let refused = [
            service.conversation(who, id).await.err(),
            service.items(who, id, &every_item).await.err(),
            service.append_items(who, id, question).await.err(),
            service.rename_conversation(who, id, None).await.err(),
            service
                .set_metadata(who, id, Metadata::default())
                .await
                .err(),
            service.start_section(who, id).await.err(),
            service.set_active(who, id, true).await.err(),
            self.ask(target).await.err(),
        ];
        for (number, error) in refused.into_iter().enumerate() {
            let fault = error.map(|error| error.fault);
            assert_eq!(fault, Some(NOT_FOUND), "call {number} after the delete");
        }
        let listed = self.list().await;
        assert!(listed.iter().all(|row| row.id != target.id), "it is listed");
        let found = service.receipt_of(who, id).await.unwrap();
        assert!(found.is_some(), "it has no receipt");
        assert!(receipt.is_none() || found == receipt, "another receipt");
    }

    /// All conversations.
    pub(crate) async fn list(&self) -> Vec<Conversation> {
        let query = ConversationQuery {
            sort: Sort::Updated,
            order: Order::NewestFirst,
            cursor: Cursor::default(),
            app: None,
            rows_max: 100,
        };
        let page = self.service.conversations(&self.who, &query).await;
        page.unwrap().rows
    }

    /// What has to hold when everybody is done: nothing runs any more, and nothing says it does.
    async fn check(&self) {
        self.service.tasks().idle().await;
        assert_eq!(self.service.running_turns(), 0, "turns are registered");
        for row in self.list().await {
            assert_eq!(row.running, None, "a turn is recorded as running");
        }
    }
}

impl Target {
    pub(crate) fn new(id: ConversationId) -> Self {
        Self {
            id,
            gone: Arc::default(),
            done: Arc::default(),
        }
    }

    /// A delete of it was answered: that it is done, or that it is not there.
    pub(crate) fn answered(&self, done: bool) {
        self.gone.store(true, Ordering::SeqCst);
        self.done.fetch_or(done, Ordering::SeqCst);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}

/// Waits for both.
pub(crate) async fn both<A, B>(first: JoinHandle<A>, second: JoinHandle<B>) -> (A, B) {
    (first.await.unwrap(), second.await.unwrap())
}
