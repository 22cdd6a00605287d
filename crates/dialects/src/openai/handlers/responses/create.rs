//! Asking, and what is asked without being kept.

use std::sync::Arc;

use bytes::Bytes;
use parlance_domain::fault::Conflict;
use parlance_domain::service::{ItemDraft, Overflow, TurnDraft, TurnEnd, TurnStream, TurnTarget};
use parlance_domain::{
    Error, Fault, ItemContent, Json, Native, Principal, Role, TurnFailure, TurnState,
};
use serde_json::{Map, Value, json};

use super::events;
use crate::kit::route::beside_runtime;
use crate::kit::{Call, Dialect, Failure, Reply, reply};
use crate::openai::caller::principal;
use crate::openai::handlers::references::{self, Place};
use crate::openai::responses::object::{self, Compacted, Form, Head, Standing};
use crate::openai::responses::request::{Context, Request};
use crate::openai::responses::stream::Encoder;
use crate::openai::{OpenAi, convert, error, item};

/// What a model is told that is to sum up what was said.
const SUMMARY_INSTRUCTIONS: &str = "You sum up conversations, so that they can go on without what was said. Keep \
    what was asked, decided and found out, names, numbers, open questions and what is to be done next. Leave out \
    greetings and repetitions. Answer with the summary alone.";
/// What it is asked after all that was said.
const SUMMARY_QUESTION: &str = "Sum up the conversation so far.";

/// `POST /v1/responses`.
pub(in crate::openai) async fn create(call: Call) -> Reply {
    let who = principal(&call)?;
    let mut request = read(&call, Request::read)?;
    let draft = draft(&call, &who, &mut request).await?;
    let turn = call.service.start_turn(&who, draft).await;
    let mut turn = turn.map_err(|error| refused(error, &request))?;
    let (conversation, previous) = match request.context {
        Context::None => (None, None),
        Context::Conversation(of) => (turn.conversation.or(of.whole()), None),
        Context::Previous(id) => (None, id.whole()),
    };
    let head = Head::begun(&turn, request.kept, conversation, previous);
    if request.stream {
        let encoder = Encoder::new(head, request.obfuscates, None);
        return Ok(events::live(turn, encoder));
    }
    if head.kept.background {
        let standing = Standing::open("queued");
        return reply::ok(&object::response(&head, &standing, Form::Whole));
    }
    // What came with the call would be kept for as long as the model takes.
    drop(call);
    let end = ended(&mut turn).await?;
    let standing = Standing::ended(&end);
    reply::ok(&object::response(&head, &standing, Form::Whole))
}

/// `POST /v1/responses/input_tokens`.
pub(in crate::openai) async fn count(call: Call) -> Reply {
    let who = principal(&call)?;
    let mut request = read(&call, Request::read_counted)?;
    let mut draft = draft(&call, &who, &mut request).await?;
    draft.needs_tool_outputs = false;
    let tokens = call.service.count_tokens(&who, &draft).await;
    let tokens = tokens.map_err(|error| refused(error, &request))?;
    reply::ok(&json!({"object": "response.input_tokens", "input_tokens": tokens}))
}

/// `POST /v1/responses/compact`: the model sums up what was said. Nothing of it is stored.
pub(in crate::openai) async fn compact(call: Call) -> Reply {
    let who = principal(&call)?;
    let mut request = read(&call, Request::read_compacted)?;
    request.kept.store = false;
    let mut draft = draft(&call, &who, &mut request).await?;
    draft.needs_tool_outputs = false;
    draft.overflow = Overflow::LeaveOut;
    draft.instructions = Some(match &request.instructions {
        Some(given) => format!("{SUMMARY_INSTRUCTIONS}\n\n{given}"),
        None => SUMMARY_INSTRUCTIONS.to_owned(),
    });
    let question = ItemContent::message(Role::User, SUMMARY_QUESTION);
    draft.input.push(ItemDraft::from(question));
    let turn = call.service.start_turn(&who, draft).await;
    let mut turn = turn.map_err(|error| refused(error, &request))?;
    let end = ended(&mut turn).await?;
    reply::ok(&Compacted::new(&turn, &end, call.service.new_id()))
}

/// Reads a body. It may be as large as bodies may be, and is not needed any more then.
fn read(
    call: &Call,
    read: fn(&Bytes, &Map<String, Value>) -> Result<Request, Failure>,
) -> Result<Request, Failure> {
    let body = call.object()?;
    beside_runtime(call.body.len(), || read(&call.body, &body))
}

/// The turn that a request asks for.
async fn draft(call: &Call, who: &Principal, request: &mut Request) -> Result<TurnDraft, Failure> {
    let named = request.model.as_deref();
    let chosen = call.service.choose_model(&call.access, named).await;
    let chosen = chosen.map_err(|error| error::model_missing(error, named))?;
    let (place, previous, conversation) = match request.context {
        Context::None => (Place::None, None, None),
        Context::Conversation(of) => (Place::Conversation(of), None, Some(of)),
        Context::Previous(id) => (Place::Chain(id), Some(id), None),
    };
    let given = std::mem::take(&mut request.input);
    let input = references::resolve(call, who, place, given).await;
    let input = input.map_err(input_refused)?;
    let target = match conversation {
        _ if !request.kept.store => TurnTarget::Unstored {
            previous,
            conversation,
        },
        Some(of) => TurnTarget::Existing(of),
        None => TurnTarget::Alone { previous },
    };
    let native =
        Json::of(&request.kept).map_err(|error| Error::caused_by(Fault::Internal, error))?;
    Ok(TurnDraft {
        model: Some(chosen.model),
        instructions: request.instructions.clone(),
        options: request.options.clone(),
        overflow: request.overflow,
        needs_tool_outputs: true,
        keeps_pieces: true,
        native: Some(Native {
            dialect: OpenAi::NAME.to_owned(),
            json: native,
        }),
        item_name: Some(item::name),
        ..TurnDraft::new(chosen.app, target, input)
    })
}

fn input_refused(failure: Failure) -> Failure {
    let duplicate = Fault::Conflict(Conflict::DuplicateItem);
    if matches!(&failure, Failure::Error(error) if error.fault == duplicate) {
        return error::duplicate_input();
    }
    failure
}

/// Why a turn does not begin, in words that say what the body has named.
fn refused(error: Error, request: &Request) -> Failure {
    input_refused(error::context_missing(error, &request.named))
}

/// Waits for the end, whatever becomes of the client. An answer that failed is an error here.
async fn ended(turn: &mut TurnStream) -> Result<Arc<TurnEnd>, Failure> {
    let end = turn.end().await.ok_or(Fault::Internal)?;
    if end.is_deleted {
        return Err(error::response_missing(&convert::response_text(turn.turn)));
    }
    let TurnState::Failed(why) = end.state else {
        return Ok(end);
    };
    Err(match why {
        TurnFailure::Busy => Fault::UpstreamBusy {
            retry_after: end.retry_after,
        }
        .into(),
        TurnFailure::Refused => Fault::UpstreamRefused {
            said: end.error.clone(),
        }
        .into(),
        TurnFailure::Upstream => Fault::UpstreamDown.into(),
        TurnFailure::Interrupted => error::interrupted(),
        TurnFailure::TooLong | TurnFailure::Internal => Fault::Internal.into(),
    })
}
