//! Asking, and stopping what was asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use parlance_domain::service::{
    ConversationDraft, ItemDraft, PieceKind, TurnDraft, TurnEnd, TurnEvent, TurnStream, TurnTarget,
};
use parlance_domain::{
    App, ConversationId, ConversationRef, Error, Fault, Id, ItemContent, ItemId, Native, Noun,
    Principal, Reason, Role, Service, TurnId,
};
use serde_json::{Map, Value, json};

use crate::dify::run::{self, Ending, Timing};
use crate::dify::stream::{Encoder, Names, PING};
use crate::dify::{Dify, answer, caller, convert, error};
use crate::kit::fields::Fields;
use crate::kit::{Call, Dialect, Failure, Reply, sse};

/// Silence after which a ping is sent.
const PING_EVERY: Duration = Duration::from_secs(10);
const MODES: &[&str] = &["blocking", "streaming"];

/// What is asked. Files are not read: Dify ignores them for an app whose file upload is off.
struct Question {
    query: String,
    inputs: Map<String, Value>,
    streaming: bool,
    conversation: Option<ConversationRef>,
}

impl Question {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let fields = Fields::of(body);
        let inputs = fields.object("inputs")?;
        let inputs = inputs.ok_or_else(|| fields.error("inputs", Reason::Missing))?;
        let query = fields.required_string("query")?;
        fields.array("files")?;
        fields.boolean("auto_generate_name")?;
        let streaming = match fields.string("response_mode")? {
            None | Some("blocking") => false,
            Some("streaming") => true,
            Some(other) => {
                let why = Reason::NotOneOf {
                    got: other.to_owned(),
                    allowed: MODES,
                };
                return Err(fields.error("response_mode", why));
            }
        };
        let conversation = fields.string("conversation_id")?;
        let conversation = convert::optional_uuid("conversation_id", conversation)?;
        if query.is_empty() {
            return Err(fields.error("query", Reason::Blank));
        }
        Ok(Self {
            query: query.to_owned(),
            inputs: inputs.clone(),
            streaming,
            conversation,
        })
    }

    /// The turn that answers it.
    fn turn(&self, app: &Arc<App>) -> TurnDraft {
        let mut content = ItemContent::message(Role::User, &self.query);
        let kept = convert::kept_inputs(&self.inputs);
        content.native = kept.clone().map(|json| Native {
            dialect: Dify::NAME.to_owned(),
            json,
        });
        let target = match self.conversation {
            Some(id) => TurnTarget::Existing(id),
            None => TurnTarget::New(Box::new(ConversationDraft {
                title: Some(convert::name(&self.query)),
                extras: kept
                    .map(|json| BTreeMap::from([(Dify::NAME.to_owned(), json)]))
                    .unwrap_or_default(),
                ..ConversationDraft::new(app.id)
            })),
        };
        TurnDraft::new(Arc::clone(app), target, vec![ItemDraft::from(content)])
    }
}

/// `POST /v1/chat-messages`.
pub(super) async fn send(call: Call) -> Reply {
    let body = call.object()?;
    let who = caller::required(&call, &body)?;
    let question = Question::read(&body)?;
    check_workflow(&call, &body)?;
    let turn = call
        .service
        .start_turn(&who, question.turn(&call.access.app))
        .await?;
    let asked = Asked::new(&call, who, turn)?;
    if question.streaming {
        Ok(asked.stream(question).await)
    } else {
        asked.block().await
    }
}

/// The only workflow that there is to name is the app's own.
fn check_workflow(call: &Call, body: &Map<String, Value>) -> Result<(), Failure> {
    let fields = Fields::of(body);
    let Some(id) = fields.string("workflow_id")?.filter(|id| !id.is_empty()) else {
        return Ok(());
    };
    match convert::uuid(id) {
        Some(named) if named.names(call.access.app.id) => Ok(()),
        Some(_) => {
            let said = format!("Workflow not found with id: {id}");
            Err(error::envelope(StatusCode::NOT_FOUND, error::NOT_FOUND, &said).into())
        }
        None => {
            let said = format!("Invalid workflow_id format: '{id}'. ");
            Err(error::envelope(StatusCode::BAD_REQUEST, error::BAD_REQUEST, &said).into())
        }
    }
}

/// `POST /v1/chat-messages/{task_id}/stop`. Tells nobody whether there was anything to stop.
pub(super) async fn stop(call: Call) -> Reply {
    let body = call.object()?;
    let who = caller::required(&call, &body)?;
    if let Some(task) = convert::uuid(call.param("task_id")) {
        call.service.stop_turn(&who, task);
    }
    Ok(answer::ok(&json!({"result": "success"})))
}

/// A question that is being answered.
struct Asked {
    service: Service,
    who: Principal,
    app: Arc<App>,
    turn: TurnStream,
    conversation: ConversationId,
    message: ItemId,
    timing: Timing,
}

impl Asked {
    fn new(call: &Call, who: Principal, turn: TurnStream) -> Result<Self, Error> {
        let message = turn.input.first().copied();
        Ok(Self {
            service: call.service.clone(),
            who,
            app: Arc::clone(&call.access.app),
            conversation: turn.conversation.ok_or(Fault::Internal)?,
            message: message.ok_or(Fault::Internal)?,
            timing: Timing::new(call.service.now()),
            turn,
        })
    }

    /// The whole answer at once.
    async fn block(mut self) -> Reply {
        while let Some(event) = self.turn.next().await {
            match event {
                TurnEvent::Piece {
                    kind: PieceKind::Text | PieceKind::Refusal | PieceKind::Reasoning,
                    ..
                } => self.timing.piece(self.service.now()),
                TurnEvent::Begun(_) | TurnEvent::Piece { .. } | TurnEvent::Done(_) => {}
                TurnEvent::Ended(end) => return self.blocking(&end),
            }
        }
        Err(Fault::Internal.into())
    }

    fn blocking(&self, end: &TurnEnd) -> Reply {
        match Ending::of(end) {
            Ending::Completed | Ending::Stopped => {}
            Ending::Failed(why) => {
                let why = run::failure(why, &self.turn.model, end.error.as_deref());
                let said = format!("{}{why}", run::RUN_FAILED);
                let code = error::INVALID_PARAM;
                return Ok(error::envelope(StatusCode::BAD_REQUEST, code, &said));
            }
            Ending::Deleted => return Err(Fault::NotFound(Noun::Conversation).into()),
        }
        Ok(answer::blocking(&json!({
            "event": "message",
            "task_id": self.turn.turn.dashed(),
            "id": self.message.dashed(),
            "message_id": self.message.dashed(),
            "conversation_id": self.conversation.dashed(),
            "mode": self.app.mode.name(),
            "answer": end.text(),
            "metadata": self.timing.metadata(end, self.service.now()),
            "created_at": self.message.made_at().seconds(),
        })))
    }

    /// The answer as it comes.
    async fn stream(self, question: Question) -> Response {
        let user = self.who.user.as_ref();
        let user = user.map_or(caller::DEFAULT_USER, |user| user.expose());
        let app = self.app.id.dashed();
        let names = Names {
            conversation: self.conversation.dashed(),
            message: self.message.dashed(),
            task: self.turn.turn.dashed(),
            workflow: app.clone(),
            nodes: [(); 3].map(|()| self.service.new_id::<TurnId>().dashed()),
            model: self.turn.model.clone(),
            user: user.to_owned(),
        };
        let mut inputs = question.inputs;
        let system = [
            ("sys.query", Value::from(question.query)),
            ("sys.files", json!([])),
            ("sys.user_id", user.into()),
            ("sys.dialogue_count", self.dialogue_count().await.into()),
            ("sys.app_id", app.as_str().into()),
            ("sys.workflow_id", app.as_str().into()),
            ("sys.workflow_run_id", names.task.as_str().into()),
        ];
        inputs.extend(system.map(|(name, value)| (name.to_owned(), value)));
        let created_at = self.message.made_at().seconds();
        let encoder = Encoder::new(names, created_at, self.timing.started, inputs.into());
        sse::response("text/event-stream; charset=utf-8", self.frames(encoder))
    }

    /// Which of the conversation's messages this is, from 1: exact where every question was answered
    /// by one message, which spares counting them all.
    async fn dialogue_count(&self) -> u64 {
        let of = self.conversation.into();
        let item = self.service.item(&self.who, of, &self.message.into()).await;
        item.map_or(1, |item| item.seq / 2 + 1)
    }

    fn frames(self, encoder: Encoder) -> impl Stream<Item = Bytes> + Send {
        let first = Bytes::from(encoder.begin());
        let rest = stream::unfold((self, encoder), async |(mut asked, mut encoder)| {
            if encoder.is_over() {
                return None;
            }
            let frame = asked.frame(&mut encoder).await;
            Some((Bytes::from(frame), (asked, encoder)))
        });
        stream::once(async { first }).chain(rest)
    }

    async fn frame(&mut self, encoder: &mut Encoder) -> String {
        loop {
            let Ok(event) = tokio::time::timeout(PING_EVERY, self.turn.next()).await else {
                return PING.to_owned();
            };
            let frames = match event {
                Some(event) => encoder.take(&event, self.service.now()),
                None => encoder.lost(),
            };
            if !frames.is_empty() {
                return frames;
            }
        }
    }
}
