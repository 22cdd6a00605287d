//! One turn on its way: from the question to the last event.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;

use super::super::Service;
use super::log::{Teller, TurnEnd};
use super::output::{Output, Stop};
use super::{Closing, ItemName};
use crate::fault::Chain;
use crate::ids::{ConversationId, TurnId};
use crate::model::{NewItem, Principal, TurnFailure, TurnRecord, TurnState, Usage};
use crate::store::{Batch, StoreError, Write};
use crate::upstream::{ModelError, ModelRequest, ModelStream};

/// First pause before a turn's failure is recorded again, where the store did not take it.
const SETTLING_PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause.
const SETTLING_PAUSE_MAX: Duration = Duration::from_secs(10);

/// One turn on its way.
pub(super) struct Run {
    pub(super) who: Principal,
    pub(super) turn: TurnId,
    /// Where it is stored; none if nowhere.
    pub(super) conversation: Option<ConversationId>,
    /// What was stored of it when it began; none if it is not stored.
    pub(super) record: Option<Box<TurnRecord>>,
    pub(super) keeps_pieces: bool,
    pub(super) item_name: Option<ItemName>,
    pub(super) closing: Option<Closing>,
    pub(super) teller: Teller,
    pub(super) cancelled: CancellationToken,
}

/// What has become of a question.
#[derive(Default)]
struct Answer {
    output: Output,
    /// Why there is no more, in the words of the model's server.
    error: Option<String>,
    /// When to ask again, if the model's server said so.
    retry_after: Option<Duration>,
}

impl Service {
    pub(super) async fn run_turn(&self, run: Run, request: ModelRequest) {
        if AssertUnwindSafe(self.run_to_its_end(&run, request))
            .catch_unwind()
            .await
            .is_err()
        {
            // A defect, whose message the panic hook has written. The conversation must not stay
            // locked for it, nor its reader wait for ever.
            self.settle_later(&run);
            let state = TurnState::Failed(TurnFailure::Internal);
            run.teller.end(TurnEnd::of(state, self.now()));
        }
        self.inner.turns.leave(run.turn);
    }

    async fn run_to_its_end(&self, run: &Run, request: ModelRequest) {
        let mut answer = Answer::default();
        let stopping = self.tasks().stopping();
        let state = tokio::select! {
            biased;
            () = run.cancelled.cancelled() => TurnState::Cancelled,
            () = stopping.cancelled() => TurnState::Failed(TurnFailure::Interrupted),
            state = self.ask(run, request, &mut answer) => state,
        };
        answer.output.finish(&run.teller, state);
        let end = self.finish(run, state, answer).await;
        // Before its last event, so that whoever has read that can begin another turn.
        self.inner.turns.leave(run.turn);
        run.teller.end(end);
    }

    async fn ask(&self, run: &Run, request: ModelRequest, answer: &mut Answer) -> TurnState {
        match self.inner.ports.model.answer(request).await {
            Ok(stream) => self.listen(run, stream, answer).await,
            Err(error) => failed(run.turn, error, answer),
        }
    }

    /// Passes on what the model says, as it comes.
    async fn listen(&self, run: &Run, mut stream: ModelStream, answer: &mut Answer) -> TurnState {
        while let Some(event) = stream.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => return failed(run.turn, error, answer),
            };
            match answer.output.take(event, &run.teller, || self.new_id()) {
                Ok(()) => {}
                Err(Stop::Forgotten) => return TurnState::Cancelled,
                Err(Stop::Ended(state)) => return state,
            }
            // A model that always has more to say would never let a cancellation through.
            consume_budget().await;
        }
        answer.output.state()
    }

    /// Stores how a turn ended, and says what there is to tell of it.
    async fn finish(&self, run: &Run, state: TurnState, answer: Answer) -> TurnEnd {
        let mut end = TurnEnd {
            output: answer.output.items,
            usage: answer.output.usage,
            error: answer.error,
            retry_after: answer.retry_after,
            ..TurnEnd::of(state, self.now())
        };
        let Some(conversation) = run.conversation else {
            return end;
        };
        match self.store_end(run, conversation, &mut end).await {
            Ok(()) => {}
            // Deleted meanwhile: nothing is kept, and nothing may come back.
            Err(StoreError::NoConversation | StoreError::NoTurn) => run.teller.forget(),
            Err(error) => {
                report(run.turn, &error);
                end.state = TurnState::Failed(TurnFailure::Internal);
                // Nobody is promised an item that is not there.
                end.output.clear();
                self.settle_later(run);
            }
        }
        end
    }

    async fn store_end(
        &self,
        run: &Run,
        conversation: ConversationId,
        end: &mut TurnEnd,
    ) -> Result<(), StoreError> {
        let mut record = run
            .record
            .clone()
            .filter(|_| run.keeps_pieces || end.error.is_some());
        if let Some(record) = &mut record {
            record.error.clone_from(&end.error);
            if run.keeps_pieces {
                record.pieces = run.teller.pieces();
            }
        }
        let announced = std::mem::take(&mut end.output);
        let mut output: Vec<NewItem> = announced.iter().map(|item| NewItem::clone(item)).collect();
        output.extend(run.closing.map(|close| NewItem {
            id: self.new_id(),
            alias: None,
            content: close(end.state, end.error.as_deref()),
        }));
        let mut batch = Batch::of(Write::FinishTurn {
            conversation,
            turn: run.turn,
            state: end.state,
            usage: end.usage,
            record,
            output,
            at: end.at,
        });
        // Where somebody has added an item since these began, their ids would not rise with the places any
        // more. Clients know them by the ids that they were announced with.
        let renewed = |batch: &mut Batch| {
            for write in &mut batch.writes {
                if let Write::FinishTurn { output, .. } = write {
                    for (item, known) in output.iter_mut().zip(&announced) {
                        let name = |name: ItemName| name(&known.content.kind, known.id);
                        item.alias = run.item_name.map(name);
                    }
                }
            }
        };
        self.apply_renewing(&run.who, &mut batch, renewed).await?;
        if let Some(Write::FinishTurn { output, .. }) = batch.writes.pop() {
            let told = output.into_iter().take(announced.len());
            end.output = told.map(Arc::new).collect();
        }
        Ok(())
    }

    /// Goes on trying to record that a turn has failed, since the conversation takes no other before.
    /// Ends with the server at the latest; the next start does it then.
    fn settle_later(&self, run: &Run) {
        let Some(conversation) = run.conversation else {
            return;
        };
        let (service, who, turn) = (self.clone(), run.who.clone(), run.turn);
        self.tasks().spawn(async move {
            let mut pause = SETTLING_PAUSE_FIRST;
            while service.tasks().pause(pause).await {
                let write = Write::FinishTurn {
                    conversation,
                    turn,
                    state: TurnState::Failed(TurnFailure::Internal),
                    usage: Usage::default(),
                    record: None,
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

/// What a turn's state is whose model does not answer.
fn failed(turn: TurnId, error: ModelError, answer: &mut Answer) -> TurnState {
    report(turn, &error);
    TurnState::Failed(match error {
        ModelError::Busy { retry_after } => {
            answer.retry_after = retry_after;
            TurnFailure::Busy
        }
        ModelError::Refused { said, .. } => {
            answer.error = said.map(|said| said.message);
            TurnFailure::Refused
        }
        ModelError::Unknown | ModelError::Unable => TurnFailure::Refused,
        ModelError::Down(_) | ModelError::Silent(_) => TurnFailure::Upstream,
    })
}

fn report(turn: TurnId, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(turn.id = %turn, error = %Chain(error), "turn {turn} failed");
}
