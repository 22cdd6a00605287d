//! Turns: asking the model and keeping what it says.
//!
//! Invariant: a turn runs in a task of its own and outlives whoever reads it. Its input is durable
//! before its first event, its output before its last.

mod log;
mod registry;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::oneshot;
use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;

use log::Teller;

use super::conversations::ConversationDraft;
use super::items::ItemDraft;
use super::{Service, fault};
use crate::fault::{Chain, Error, Fault};
use crate::ids::{ConversationId, ConversationRef, Ref, TurnId};
use crate::limits::ANSWER_BYTES_MAX;
use crate::model::{
    App, ItemContent, ItemFilter, ItemKind, ItemQuery, Order, Principal, Role, TurnFailure,
    TurnState, Usage,
};
use crate::store::{Batch, Outcome, StoreError, Write};
use crate::upstream::{ModelEvent, ModelMessage, ModelRequest, ModelStream};

pub use log::{TurnEnd, TurnEvent, TurnStream};
pub(super) use registry::Registry;

/// Newest messages that a model is given.
const HISTORY_MESSAGES_MAX: u32 = 100;

/// First pause before a turn's failure is recorded again, where the store did not take it.
const SETTLING_PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause.
const SETTLING_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Where a turn takes place.
#[derive(Clone, Debug)]
pub enum TurnTarget {
    /// In a new conversation, made with the turn.
    New(Box<ConversationDraft>),
    /// In one that exists.
    Existing(ConversationRef),
}

/// A turn that a client wants.
#[derive(Clone, Debug)]
pub struct TurnDraft {
    /// The app that answers.
    pub app: Arc<App>,
    /// Where.
    pub target: TurnTarget,
    /// What is asked.
    pub input: Vec<ItemDraft>,
}

/// One turn on its way.
struct Run {
    who: Principal,
    app: Arc<App>,
    turn: TurnId,
    conversation: ConversationId,
    teller: Teller,
    cancelled: CancellationToken,
}

/// What a model has said so far.
#[derive(Default)]
struct Answer {
    text: String,
    usage: Usage,
}

impl Service {
    /// Begins a turn: stores its input, then lets the model answer in a task of its own.
    pub async fn start_turn(&self, who: &Principal, draft: TurnDraft) -> Result<TurnStream, Error> {
        let turn = self.new_id();
        let mut writes = Vec::with_capacity(2);
        let conversation = match draft.target {
            TurnTarget::New(new) => {
                let new = self.draft_conversation(*new);
                let id = new.id;
                writes.push(Write::Create(Box::new(new)));
                id
            }
            TurnTarget::Existing(id) => self.whole_id(who, id).await?,
        };
        let input = self.draft_items(draft.input);
        writes.push(Write::StartTurn {
            conversation,
            turn,
            input,
            at: self.now(),
        });
        let batch = Batch {
            require: Vec::new(),
            writes,
        };
        let (begun, begins) = oneshot::channel();
        let (service, who, app) = (self.clone(), who.clone(), draft.app);
        // From here on in a task of its own: a client that goes away between the commit and the
        // first event must not leave a turn behind that is recorded as running and never ends.
        self.tasks().spawn(async move {
            let (run, started) = service.begin_turn(who, app, turn, batch).await;
            // Whoever asked may be gone; the turn is run all the same.
            drop(begun.send(started));
            if let Some(run) = run {
                service.run_turn(run).await;
            }
        });
        begins.await.unwrap_or_else(|_| Err(Fault::Internal.into()))
    }

    async fn begin_turn(
        &self,
        who: Principal,
        app: Arc<App>,
        turn: TurnId,
        mut batch: Batch,
    ) -> (Option<Run>, Result<TurnStream, Error>) {
        // Entered first, so that whoever deletes the conversation at once finds the turn.
        let (cancelled, log) = self.inner.turns.enter(turn, who.clone(), app.id);
        if let Err(error) = self.apply(&who, &mut batch).await {
            self.inner.turns.leave(turn);
            return (None, Err(fault(error)));
        }
        // Ids may have been renewed when they were written.
        let Some(Write::StartTurn {
            conversation,
            input,
            ..
        }) = batch.writes.pop()
        else {
            self.inner.turns.leave(turn);
            return (None, Err(Fault::Internal.into()));
        };
        let (teller, reader) = Teller::of(log);
        let input = input.iter().map(|item| item.id).collect();
        let stream = TurnStream::new(turn, conversation, input, reader);
        (
            Some(Run {
                who,
                app,
                turn,
                conversation,
                teller,
                cancelled,
            }),
            Ok(stream),
        )
    }

    /// How many turns are running here.
    #[cfg(feature = "models")]
    pub fn running_turns(&self) -> usize {
        self.inner.turns.len()
    }

    /// Stops a turn, if it runs here and is the principal's. Nobody is told which: for dialects whose
    /// clients name a turn without its conversation.
    pub fn stop_turn(&self, who: &Principal, turn: Ref<TurnId>) {
        self.inner.turns.stop(who, turn);
    }

    async fn run_turn(&self, run: Run) {
        if AssertUnwindSafe(self.run_to_its_end(&run))
            .catch_unwind()
            .await
            .is_err()
        {
            // A defect, whose message the panic hook has written. The conversation must not stay
            // locked for it, nor its reader wait for ever.
            self.settle_later(&run);
            let state = TurnState::Failed(TurnFailure::Internal);
            let end = TurnEnd {
                state,
                text: String::new(),
                answer: None,
                usage: Usage::default(),
            };
            run.teller.end(end);
        }
        self.inner.turns.leave(run.turn);
    }

    async fn run_to_its_end(&self, run: &Run) {
        let mut answer = Answer::default();
        let stopping = self.tasks().stopping();
        let state = tokio::select! {
            biased;
            () = run.cancelled.cancelled() => TurnState::Cancelled,
            () = stopping.cancelled() => TurnState::Failed(TurnFailure::Interrupted),
            state = self.ask(run, &mut answer) => state,
        };
        let end = self.finish(run, state, answer).await;
        // Before its last event, so that whoever has read that can begin another turn.
        self.inner.turns.leave(run.turn);
        run.teller.end(end);
    }

    async fn ask(&self, run: &Run, answer: &mut Answer) -> TurnState {
        let messages = match self.history(run).await {
            Ok(messages) => messages,
            Err(Error {
                fault: Fault::NotFound(_),
                ..
            }) => return TurnState::Cancelled,
            Err(error) => return failed(run.turn, &error, TurnFailure::Internal),
        };
        let request = ModelRequest {
            model: run.app.model.clone(),
            instructions: run.app.instructions.clone(),
            messages,
        };
        match self.inner.ports.model.answer(request).await {
            Ok(stream) => listen(run, stream, answer).await,
            Err(error) => failed(run.turn, &error, TurnFailure::Upstream),
        }
    }

    /// What the model is given: the newest messages of the section.
    async fn history(&self, run: &Run) -> Result<Vec<ModelMessage>, Error> {
        let query = ItemQuery {
            filter: ItemFilter::Dialogue,
            ..ItemQuery::first(Order::NewestFirst, HISTORY_MESSAGES_MAX)
        };
        let of = run.conversation.into();
        let (conversation, page) = self.conversation_with_items(&run.who, of, &query).await?;
        let message = |item: &crate::model::Item| {
            let ItemKind::Message(role) = item.content.kind else {
                return None;
            };
            Some(ModelMessage {
                role,
                text: item.content.text(),
            })
        };
        let in_section = page
            .rows
            .iter()
            .take_while(|item| item.section == conversation.section);
        let mut messages: Vec<ModelMessage> = in_section.filter_map(message).collect();
        messages.reverse();
        Ok(messages)
    }

    /// Stores how a turn ended, and tells it.
    async fn finish(&self, run: &Run, state: TurnState, answer: Answer) -> TurnEnd {
        let mut output = Vec::new();
        if !answer.text.is_empty() {
            let content = ItemContent::message(Role::Assistant, &answer.text);
            output = self.draft_items(vec![content.into()]);
        }
        let mut batch = Batch::of(Write::FinishTurn {
            conversation: run.conversation,
            turn: run.turn,
            state,
            usage: answer.usage,
            output,
            at: self.now(),
        });
        let mut end = TurnEnd {
            state,
            text: answer.text,
            answer: None,
            usage: answer.usage,
        };
        match self.apply(&run.who, &mut batch).await {
            Ok(outcomes) => {
                let stored = matches!(
                    outcomes.first(),
                    Some(Outcome::Added { .. } | Outcome::Done)
                );
                if let (true, Some(Write::FinishTurn { output, .. })) =
                    (stored, batch.writes.first())
                {
                    end.answer = output.first().map(|item| item.id);
                }
            }
            // Deleted meanwhile: nothing is kept, and nothing may come back.
            Err(StoreError::NoConversation | StoreError::NoTurn) => {
                end.state = TurnState::Cancelled;
                run.teller.forget();
            }
            Err(error) => {
                end.state = failed(run.turn, &error, TurnFailure::Internal);
                self.settle_later(run);
            }
        }
        end
    }

    /// Goes on trying to record that a turn has failed, since the conversation takes no other before.
    /// Ends with the server at the latest; the next start does it then.
    fn settle_later(&self, run: &Run) {
        let (service, who) = (self.clone(), run.who.clone());
        let (conversation, turn) = (run.conversation, run.turn);
        self.tasks().spawn(async move {
            let mut pause = SETTLING_PAUSE_FIRST;
            while service.tasks().pause(pause).await {
                let write = Write::FinishTurn {
                    conversation,
                    turn,
                    state: TurnState::Failed(TurnFailure::Internal),
                    usage: Usage::default(),
                    output: Vec::new(),
                    at: service.now(),
                };
                match service.apply(&who, &mut Batch::of(write)).await {
                    Err(StoreError::Unavailable { .. }) => {
                        pause = (pause * 2).min(SETTLING_PAUSE_MAX);
                    }
                    // Recorded, or the conversation is gone.
                    _ => return,
                }
            }
        });
    }
}

/// Passes on what the model says, as it comes.
async fn listen(run: &Run, mut stream: ModelStream, answer: &mut Answer) -> TurnState {
    while let Some(event) = stream.next().await {
        match event {
            Ok(ModelEvent::Text(text)) => {
                if answer.text.len() + text.len() > ANSWER_BYTES_MAX {
                    return TurnState::Failed(TurnFailure::TooLong);
                }
                if !run.teller.say(&text) {
                    return TurnState::Cancelled;
                }
                answer.text.push_str(&text);
            }
            Ok(ModelEvent::Usage(usage)) => answer.usage = usage,
            Err(error) => return failed(run.turn, &error, TurnFailure::Upstream),
        }
        // A model that always has more to say would never let a cancellation through.
        consume_budget().await;
    }
    TurnState::Completed
}

fn failed(turn: TurnId, error: &(dyn std::error::Error + 'static), why: TurnFailure) -> TurnState {
    tracing::warn!(turn.id = %turn, error = %Chain(error), "turn {turn} failed");
    TurnState::Failed(why)
}
