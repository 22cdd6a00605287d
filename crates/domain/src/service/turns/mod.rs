//! Turns: asking the model and keeping what it says.
//!
//! Invariant: a turn runs in a task of its own and outlives whoever reads it. Its input is durable
//! before its first event, its output before its last.

mod context;
mod log;
mod output;
mod queue;
mod registry;
mod run;
mod stored;

use std::sync::Arc;

use tokio::sync::oneshot;

use super::conversations::ConversationDraft;
use super::items::ItemDraft;
use super::{Service, fault, missing_instead};
use crate::clock::Timestamp;
use crate::fault::{Chain, Error, Fault, Noun};
use crate::ids::{ConversationId, ConversationRef, Id, ItemId, Ref, TurnId};
use crate::limits::CONTEXT_TOKENS_DEFAULT;
use crate::model::{App, ItemContent, ItemKind, Native, Principal, Realm, TurnRecord, TurnState};
use crate::store::{Batch, Outcome, Write};
use crate::upstream::{FunctionTool, ModelOptions, ModelRequest};

use context::{Past, Source, text_tokens};
use run::Run;

pub use context::Overflow;
pub use log::{Begun, OutputKind, PieceKind, TurnEnd, TurnEvent, TurnStream};
pub(super) use queue::Waiting;
pub(super) use registry::Registry;
pub use stored::Half;

/// Where a turn takes place.
#[derive(Clone, Debug)]
pub enum TurnTarget {
    /// In a new conversation, made with the turn.
    New(Box<ConversationDraft>),
    /// In one that exists.
    Existing(ConversationRef),
    /// In none that anybody sees: it is stored with a key of its own.
    Alone {
        /// The turn that it continues.
        previous: Option<Ref<TurnId>>,
    },
    /// In none, and nothing of it is stored.
    Unstored {
        /// The turn that it continues.
        previous: Option<Ref<TurnId>>,
        /// The conversation that it reads.
        conversation: Option<ConversationRef>,
    },
}

/// Makes the item that stands behind a turn's output, from how the turn ended and why it failed, in words
/// for the client if there are any.
pub type Closing = fn(TurnState, Option<&str>) -> ItemContent;

/// Writes an item's id as a dialect does.
pub type ItemName = fn(&ItemKind, ItemId) -> String;

/// A turn that a client wants.
#[derive(Clone, Debug)]
pub struct TurnDraft {
    /// The app that answers.
    pub app: Arc<App>,
    /// The model that the client names; the app's own if none, or if there is none of that name.
    pub model: Option<String>,
    /// Where.
    pub target: TurnTarget,
    /// What is asked. Nothing, where that is in the conversation already.
    pub input: Vec<ItemDraft>,
    /// What the model is told first, in place of the app's own instructions.
    pub instructions: Option<String>,
    /// What is wanted of the answer.
    pub options: ModelOptions,
    /// What happens where there is more than the model can read.
    pub overflow: Overflow,
    /// Whether a call of a tool that has no output is an error, [`Fault::NoToolOutput`]. Otherwise it is left
    /// out of what the model reads.
    pub needs_tool_outputs: bool,
    /// Whether it is kept in which pieces the answer came.
    pub keeps_pieces: bool,
    /// What the dialect keeps with it.
    pub native: Option<Native>,
    /// How the dialect writes an item's id, where it tells clients those of the output before that is stored. An
    /// item that gets another id when it is stored than it was announced with (somebody else has added one
    /// meanwhile) keeps this as its alias.
    pub item_name: Option<ItemName>,
    /// Whatever belongs to no turn and comes after this item waits for an answer: the model reads it last,
    /// behind the answers that were given meanwhile.
    pub unread_after: Option<u64>,
    /// What is added behind the output and with it, where the dialect notes how its turns end. Nobody is told
    /// of it, and a turn that gets lost (the server is killed) ends without.
    pub closing: Option<Closing>,
}

impl TurnDraft {
    /// A turn of this input, with nothing else said.
    pub fn new(app: Arc<App>, target: TurnTarget, input: Vec<ItemDraft>) -> Self {
        Self {
            app,
            model: None,
            target,
            input,
            instructions: None,
            options: ModelOptions::default(),
            overflow: Overflow::default(),
            needs_tool_outputs: false,
            keeps_pieces: false,
            native: None,
            item_name: None,
            unread_after: None,
            closing: None,
        }
    }
}

/// What a turn is stored as when it begins.
struct Start {
    turn: TurnId,
    batch: Batch,
    /// Whose things it is written among.
    who: Principal,
    /// The conversation's next sequence number, as it was when the past was read.
    read_up_to: Option<u64>,
    /// What is read and is not where the turn is stored.
    reads: Vec<Source>,
}

/// What a model is to be asked.
struct Question {
    request: ModelRequest,
    /// Most tokens of what it may be given to read.
    tokens_max: u64,
    unread_after: Option<u64>,
}

/// A turn as it was stored when it began.
struct Stored {
    conversation: Option<ConversationId>,
    input: Vec<ItemId>,
    /// Its input's first sequence number.
    first_seq: Option<u64>,
    record: Option<Box<TurnRecord>>,
    at: Timestamp,
}

impl Service {
    /// Begins a turn: stores its input, then lets the model answer in a task of its own.
    ///
    /// [`Fault::NotFound`] of the conversation, or of the turn that it continues; `ConversationBusy` if one
    /// is running there.
    pub async fn start_turn(&self, who: &Principal, draft: TurnDraft) -> Result<TurnStream, Error> {
        let model = self.model_name(&draft.app, draft.model.as_deref());
        let tokens_max = self.tokens_to_read(&model, &draft);
        let (question, start) = self.prepare(who, &draft, model, tokens_max).await?;
        let (begun, begins) = oneshot::channel();
        let (service, who) = (self.clone(), who.clone());
        // From here on in a task of its own: a client that goes away between the commit and the
        // first event must not leave a turn behind that is recorded as running and never ends.
        self.tasks().spawn(async move {
            let (run, started) = service.begin_turn(who, draft, question, start).await;
            // Whoever asked may be gone; the turn is run all the same.
            drop(begun.send(started));
            if let Some((run, request)) = run {
                service.run_turn(run, request).await;
            }
        });
        begins.await.unwrap_or_else(|_| Err(Fault::Internal.into()))
    }

    /// About how many tokens a turn's model would be given to read.
    pub async fn count_tokens(&self, who: &Principal, draft: &TurnDraft) -> Result<u64, Error> {
        let model = self.model_name(&draft.app, draft.model.as_deref());
        // All of it, whether or not a model can read it.
        let (question, _) = self.prepare(who, draft, model, u64::MAX).await?;
        let request = &question.request;
        let instructions = request.instructions.as_deref().map_or(0, text_tokens);
        let messages: u64 = request.messages.iter().map(context::tokens).sum();
        let tool = |tool: &FunctionTool| {
            let texts = [Some(tool.name.as_str()), tool.description.as_deref()];
            let schema = tool.parameters.as_ref().map_or("", crate::json::Json::text);
            texts
                .into_iter()
                .flatten()
                .chain([schema])
                .map(text_tokens)
                .sum::<u64>()
        };
        let tools: u64 = request.options.tools.iter().map(tool).sum();
        Ok(instructions + messages + tools)
    }

    /// Reads what came before a turn, as much as there is room for, and says what is to be written.
    async fn prepare(
        &self,
        who: &Principal,
        draft: &TurnDraft,
        model: String,
        tokens_max: u64,
    ) -> Result<(Question, Start), Error> {
        let mut past = Past::new(tokens_max, draft.overflow).with_unread(draft.unread_after);
        past.add_input(&draft.input)?;
        let start = self.read_past(who, draft, &model, &mut past).await?;
        let (messages, missing) = past.messages();
        if let Some(call_id) = missing.filter(|_| draft.needs_tool_outputs) {
            return Err(Fault::NoToolOutput { call_id }.into());
        }
        let own = draft.app.instructions.as_ref();
        let request = ModelRequest {
            model,
            instructions: draft.instructions.as_ref().or(own).cloned(),
            messages,
            options: draft.options.clone(),
        };
        let question = Question {
            request,
            tokens_max,
            unread_after: draft.unread_after,
        };
        Ok((question, start))
    }

    /// The model that answers: the one that is named, if it is configured, else the app's, else the default.
    pub fn model_name(&self, app: &App, named: Option<&str>) -> String {
        let configured = named.filter(|name| self.inner.ports.model.model(name).is_some());
        let name = configured.or(app.model.as_deref());
        name.unwrap_or(&self.inner.settings.default_model)
            .to_owned()
    }

    /// The names of the models that are configured, in the operator's order.
    pub fn model_names(&self) -> Vec<String> {
        let models = self.inner.ports.model.models();
        models.into_iter().map(|model| model.name).collect()
    }

    /// How much a model can read, so that there is room left to answer.
    fn tokens_to_read(&self, model: &str, draft: &TurnDraft) -> u64 {
        let context = self.inner.ports.model.model(model);
        let context = context.and_then(|model| model.context_tokens);
        let context = context.unwrap_or(CONTEXT_TOKENS_DEFAULT);
        let answer = draft.options.output_tokens_max.unwrap_or(context / 8);
        let instructions = draft
            .instructions
            .as_ref()
            .or(draft.app.instructions.as_ref());
        let instructions = instructions.map_or(0, |text| text_tokens(text));
        context
            .saturating_sub(answer.saturating_add(instructions))
            .max(context / 4)
    }

    async fn read_past(
        &self,
        who: &Principal,
        draft: &TurnDraft,
        model: &str,
        past: &mut Past,
    ) -> Result<Start, Error> {
        let mut start = Start {
            turn: self.new_id(),
            batch: Batch::default(),
            who: who.clone(),
            read_up_to: None,
            reads: Vec::new(),
        };
        let mut record = TurnRecord {
            model: model.to_owned(),
            native: draft.native.clone(),
            ..TurnRecord::default()
        };
        let conversation = match &draft.target {
            TurnTarget::New(new) => {
                past.add_input(&new.items)?;
                let new = self.draft_conversation(new.as_ref().clone());
                start.read_up_to = u64::try_from(new.items.len()).ok();
                let id = new.id;
                start.batch.writes.push(Write::Create(Box::new(new)));
                id
            }
            TurnTarget::Existing(of) => {
                let (id, next_seq) = self.add_conversation(who, *of, past).await?;
                start.read_up_to = Some(next_seq);
                id
            }
            TurnTarget::Alone { previous } => {
                record.previous = self
                    .add_previous(who, *previous, past, &mut start.reads)
                    .await?;
                start.who = who.in_realm(Realm::LoneTurns);
                start.read_up_to = Some(0);
                // A conversation to itself, of the same bits: its key is the turn's alone.
                let mut new = self.draft_conversation(ConversationDraft::new(draft.app.id));
                new.id = ConversationId::from_bits(start.turn.bits());
                let id = new.id;
                start.batch.writes.push(Write::Create(Box::new(new)));
                id
            }
            TurnTarget::Unstored {
                previous,
                conversation,
            } => {
                self.add_previous(who, *previous, past, &mut start.reads)
                    .await?;
                if let Some(of) = conversation {
                    start.reads.push(Source {
                        realm: who.realm,
                        conversation: self.add_conversation(who, *of, past).await?.0,
                        missing: Noun::Conversation,
                    });
                }
                return Ok(start);
            }
        };
        start.batch.writes.push(Write::StartTurn {
            conversation,
            turn: start.turn,
            app: draft.app.id,
            record: Box::new(record),
            input: self.draft_items(draft.input.clone()),
            at: self.now(),
        });
        Ok(start)
    }

    async fn add_previous(
        &self,
        who: &Principal,
        previous: Option<Ref<TurnId>>,
        past: &mut Past,
        reads: &mut Vec<Source>,
    ) -> Result<Option<TurnId>, Error> {
        let Some(previous) = previous else {
            return Ok(None);
        };
        let found = self.store().turn(who, previous).await.map_err(fault)?;
        let found = found.ok_or(Fault::NotFound(Noun::PreviousTurn))?;
        self.add_chain(who, &found, past, reads).await?;
        Ok(Some(found.id))
    }

    async fn begin_turn(
        &self,
        asker: Principal,
        draft: TurnDraft,
        mut question: Question,
        mut start: Start,
    ) -> (Option<(Run, ModelRequest)>, Result<TurnStream, Error>) {
        let entered = start.turn;
        // Entered first, so that whoever deletes the conversation at once finds the turn.
        let turns = &self.inner.turns;
        let reads = start.reads.iter().map(|read| read.conversation).collect();
        let is_stored = !start.batch.writes.is_empty();
        let owner = asker.clone();
        let (cancelled, teller) = turns.enter(entered, owner, draft.app.id, reads, is_stored);
        let stored = match self.store_start(&asker, &mut start).await {
            Ok(stored) => stored,
            Err(error) => {
                turns.leave(entered);
                return (None, Err(error));
            }
        };
        turns.rename(entered, start.turn);
        if start.read_up_to != stored.first_seq {
            // Somebody has added something since. If it cannot be read now, the turn answers what it knows.
            question = self.read_again(&asker, stored.conversation, question).await;
        }
        let stream = TurnStream {
            turn: start.turn,
            conversation: stored.conversation,
            input: stored.input,
            model: question.request.model.clone(),
            started_at: stored.at,
            reader: teller.reader(),
        };
        let run = Run {
            who: start.who,
            turn: start.turn,
            conversation: stored.conversation,
            record: stored.record,
            keeps_pieces: draft.keeps_pieces,
            item_name: draft.item_name,
            closing: draft.closing,
            teller,
            cancelled,
        };
        (Some((run, question.request)), Ok(stream))
    }

    /// Stores that a turn begins, unless nothing of it is stored.
    async fn store_start(&self, asker: &Principal, start: &mut Start) -> Result<Stored, Error> {
        // Whoever deletes what is read finds the turn from here on; whoever has done so before is found here.
        for read in &start.reads {
            let who = asker.in_realm(read.realm);
            let found = self.conversation(&who, read.conversation.into()).await;
            found.map_err(|error| missing_instead(error, read.missing))?;
        }
        if start.batch.writes.is_empty() {
            return Ok(Stored {
                conversation: None,
                input: Vec::new(),
                first_seq: start.read_up_to,
                record: None,
                at: self.now(),
            });
        }
        let outcomes = self.apply(&start.who, &mut start.batch).await;
        let outcome = outcomes.map_err(fault)?.pop();
        // Ids may have been renewed when they were written.
        let Some(Write::StartTurn {
            conversation,
            turn,
            record,
            input,
            at,
            ..
        }) = start.batch.writes.pop()
        else {
            return Err(Fault::Internal.into());
        };
        start.turn = turn;
        let first_seq = match outcome {
            Some(Outcome::Added { first_seq, .. }) => Some(first_seq),
            _ => None,
        };
        Ok(Stored {
            conversation: Some(conversation),
            input: input.iter().map(|item| item.id).collect(),
            first_seq,
            record: Some(record),
            at,
        })
    }

    /// The question after all that is in the conversation by now, the turn's own input included.
    async fn read_again(
        &self,
        who: &Principal,
        conversation: Option<ConversationId>,
        mut question: Question,
    ) -> Question {
        let Some(conversation) = conversation else {
            return question;
        };
        let past = Past::new(question.tokens_max, Overflow::LeaveOut);
        let mut past = past.with_unread(question.unread_after);
        match self
            .add_conversation(who, conversation.into(), &mut past)
            .await
        {
            Ok(_) => question.request.messages = past.messages().0,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "could not read a conversation again");
            }
        }
        question
    }
}

#[cfg(test)]
mod tests;
