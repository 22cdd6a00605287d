//! What clients send: a call in a dialect, and what it changes.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::canary::canary;
use super::control::Order;
use super::dialect::{Dialect, Keys, decimal};
use super::journal::{Conversation, Deed, Item, Kind, Pairs, Presence};

/// What every answer of the built-in model begins with.
pub(super) const PREAMBLE: &str = "[echo, not a model] You said: ";
/// Characters of a question that Dify makes a title of.
const TITLE_CHARS: usize = 20;
/// Most items in one call.
const BATCH_MAX: usize = 20;

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// To its end.
    Whole,
    /// Until it begins; then the client goes away.
    Beginning,
}

/// How a call is made.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// Over HTTP.
    Http(Vec<u8>),
    /// By an operator.
    Order(Order),
}

/// A call that is about to be sent.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Whose words the answer has. An operator's are as plain as OpenAI's: the status says it all.
    pub(super) dialect: Dialect,
    pub(super) request: Request,
    /// What it changes: one thing, or several when a conversation is made.
    pub(super) deeds: Vec<Deed>,
    pub(super) reading: Reading,
    /// Whether it may be refused.
    pub(super) may_fail: bool,
}

/// Words of a random length, a canary before and after longer ones.
fn words(rng: &mut StdRng, canary: &str) -> String {
    let count = match rng.random_range(0..100) {
        0..70 => rng.random_range(0..12),
        70..97 => rng.random_range(50..600),
        _ => rng.random_range(600..3_000),
    };
    let filler = " word".repeat(count);
    let end = if count > 50 { canary } else { "." };
    format!("{canary}{filler} {end}")
}

/// What the built-in model answers.
pub(super) fn echo(said: &Item) -> Item {
    let text = format!("{PREAMBLE}{}", said.text.held);
    Item::new(Kind::Assistant, said.canary.clone(), text)
}

pub(super) fn item(rng: &mut StdRng, kind: Kind) -> Item {
    let canary = canary(rng);
    let text = words(rng, &canary);
    Item::new(kind, canary, text)
}

fn pairs(rng: &mut StdRng) -> Pairs {
    let count = rng.random_range(1..4);
    (0..count)
        .map(|number| (format!("key{number}"), canary(rng)))
        .collect()
}

fn wire(item: &Item) -> Value {
    let text = &item.text.held;
    match item.kind {
        Kind::User => json!({"role": "user", "content": text}),
        Kind::Assistant => json!({"type": "message", "role": "assistant", "content": text}),
        Kind::System => json!({"role": "system", "content": text}),
        Kind::Call | Kind::Event => json!({
            "type": "function_call", "call_id": "call", "name": "look", "arguments": text,
        }),
    }
}

fn batch(rng: &mut StdRng, large: bool) -> Vec<Item> {
    let count = if large {
        BATCH_MAX
    } else {
        rng.random_range(1..6)
    };
    let kind = |rng: &mut StdRng| match rng.random_range(0..10) {
        0..5 => Kind::User,
        5..8 => Kind::Assistant,
        8 => Kind::System,
        _ => Kind::Call,
    };
    (0..count)
        .map(|_| {
            let kind = kind(rng);
            item(rng, kind)
        })
        .collect()
}

/// The order to erase a conversation.
pub(super) fn erase(of: &Conversation) -> Call {
    let id = match of.name.whole {
        Some(_) => of.name.prefixed(),
        None => of.name.decimal.to_string(),
    };
    Call {
        dialect: Dialect::OpenAi,
        request: Request::Order(Order::EraseConversation { id }),
        deeds: vec![Deed::Delete],
        reading: Reading::Whole,
        may_fail: false,
    }
}

/// Makes calls for a person.
pub(super) struct Caller<'a> {
    pub(super) keys: &'a Keys,
    pub(super) rng: &'a mut StdRng,
}

impl Caller<'_> {
    pub(super) fn call(
        &self,
        dialect: Dialect,
        method: &str,
        path: &str,
        body: Option<&Value>,
        deed: Deed,
    ) -> Call {
        Call {
            dialect,
            request: Request::Http(self.keys.request(dialect, method, path, body)),
            deeds: vec![deed],
            reading: Reading::Whole,
            may_fail: false,
        }
    }

    /// A new conversation, through any dialect.
    pub(super) fn create(&mut self) -> (Conversation, Call) {
        let dialect = self.dialect();
        let mut made = Conversation::new(dialect);
        made.large = self.rng.random_bool(0.15);
        let (path, body, deeds) = match dialect {
            Dialect::OpenAi => {
                let items = batch(self.rng, made.large);
                let metadata = pairs(self.rng);
                let body: Vec<Value> = items.iter().map(wire).collect();
                let body = json!({"items": body, "metadata": metadata});
                let deeds = vec![Deed::Add(items), Deed::Metadata(metadata)];
                ("/v1/conversations", body, deeds)
            }
            Dialect::Dify => {
                let mut call = self.ask(None);
                if let Some(Deed::Ask(question, _)) = call.deeds.first() {
                    let text = &question.text.held;
                    let mut title: String = text.chars().take(TITLE_CHARS).collect();
                    title.push('…');
                    call.deeds.push(Deed::Title(title));
                }
                return (made, call);
            }
            Dialect::Coze => {
                let items: Vec<Item> = (0..self.rng.random_range(1..4))
                    .map(|_| item(self.rng, Kind::User))
                    .collect();
                let message = |item: &Item| {
                    let text = &item.text.held;
                    json!({"role": "user", "content": text, "content_type": "text"})
                };
                let messages: Vec<Value> = items.iter().map(message).collect();
                let (metadata, title) = (pairs(self.rng), canary(self.rng));
                let body = json!({
                    "bot_id": self.keys.bot, "messages": messages, "meta_data": metadata,
                    "name": title,
                });
                let deeds = vec![
                    Deed::Add(items),
                    Deed::Metadata(metadata),
                    Deed::Title(title),
                ];
                ("/v1/conversation/create", body, deeds)
            }
            Dialect::OpenHands => {
                let first = item(self.rng, Kind::User);
                let body = json!({"initial_user_msg": first.text.held});
                ("/api/conversations", body, vec![Deed::Say(first)])
            }
        };
        let mut call = self.call(dialect, "POST", path, Some(&body), Deed::Look);
        call.deeds = deeds;
        (made, call)
    }

    fn dialect(&mut self) -> Dialect {
        let [openai, dify, coze, openhands] = Dialect::ALL;
        match self.rng.random_range(0..4) {
            0 => openai,
            1 => dify,
            2 => coze,
            _ => openhands,
        }
    }

    /// A question in a conversation, to Dify or as a response of OpenAI's.
    pub(super) fn question(&mut self, of: &Conversation) -> Call {
        if of.is_readable() && self.rng.random_bool(0.4) {
            self.respond_in(of)
        } else {
            self.ask(Some(of))
        }
    }

    /// A question to Dify, in a conversation or in a new one.
    pub(super) fn ask(&mut self, of: Option<&Conversation>) -> Call {
        let question = item(self.rng, Kind::User);
        let answer = echo(&question);
        let (mode, reading) = match self.rng.random_range(0..10) {
            0..4 => ("blocking", Reading::Whole),
            4..9 => ("streaming", Reading::Whole),
            // Only a conversation whose id is known can be looked for later.
            _ if of.is_some() => ("streaming", Reading::Beginning),
            _ => ("streaming", Reading::Whole),
        };
        let body = json!({
            "inputs": {}, "query": question.text.held, "response_mode": mode,
            "conversation_id": of.map(|of| of.name.dashed()),
        });
        let deed = Deed::Ask(question, answer);
        let path = "/v1/chat-messages";
        let mut call = self.call(Dialect::Dify, "POST", path, Some(&body), deed);
        call.reading = reading;
        // The turn that nobody waits for may still be running.
        call.may_fail = of.is_some_and(Conversation::is_busy);
        call
    }

    /// A delete, through any dialect or by an operator.
    pub(super) fn delete(&mut self, of: &Conversation) -> Call {
        if self.rng.random_bool(0.2) {
            return erase(of);
        }
        let dialect = match of.name.whole {
            Some(_) => self.dialect(),
            None => Dialect::Coze,
        };
        let path = match dialect {
            Dialect::OpenAi => format!("/v1/conversations/{}", of.name.prefixed()),
            Dialect::Dify => format!("/v1/conversations/{}", of.name.dashed()),
            Dialect::Coze => format!("/v1/conversations/{}", of.name.decimal),
            Dialect::OpenHands => format!("/api/conversations/{}", of.name.hex()),
        };
        self.call(dialect, "DELETE", &path, None, Deed::Delete)
    }

    /// Anything but a delete, through any dialect.
    pub(super) fn change(&mut self, of: &Conversation) -> Call {
        let dialect = match of.name.whole {
            Some(_) => self.dialect(),
            None => Dialect::Coze,
        };
        match dialect {
            Dialect::OpenAi => self.openai(of),
            Dialect::Dify => self.dify(of),
            Dialect::Coze => self.coze(of),
            Dialect::OpenHands => self.openhands(of),
        }
    }

    /// Items for the end of a conversation.
    pub(super) fn append(&mut self, of: &Conversation) -> Call {
        let path = format!("/v1/conversations/{}/items", of.name.prefixed());
        let items = batch(self.rng, of.large);
        let body: Vec<Value> = items.iter().map(wire).collect();
        let body = json!({"items": body});
        let deed = Deed::Add(items);
        self.call(Dialect::OpenAi, "POST", &path, Some(&body), deed)
    }

    fn openai(&mut self, of: &Conversation) -> Call {
        let path = format!("/v1/conversations/{}", of.name.prefixed());
        let dialect = Dialect::OpenAi;
        match self.rng.random_range(0..10) {
            // What is appended beside a turn may come before its answer, and be echoed.
            0..5 if !of.is_busy() => self.append(of),
            5..7 => {
                let metadata = pairs(self.rng);
                let body = json!({"metadata": metadata});
                self.call(
                    dialect,
                    "POST",
                    &path,
                    Some(&body),
                    Deed::Metadata(metadata),
                )
            }
            7..9 => match self.some_item(of, |kind| kind != Kind::Event) {
                Some((canary, id)) => {
                    let prefix = "msg";
                    let (prefix, canary) = match of.items().find(|item| item.canary == canary) {
                        Some(item) if item.kind == Kind::Call => ("fc", canary),
                        _ => (prefix, canary),
                    };
                    let path = format!("{path}/items/{prefix}_{id:032x}");
                    self.call(dialect, "DELETE", &path, None, Deed::Remove(canary))
                }
                None => self.call(dialect, "GET", &path, None, Deed::Look),
            },
            _ => {
                if let Some((canary, id)) = of.responses().next() {
                    return self.forget(id, Deed::Forget(canary.to_owned()));
                }
                let path = format!("{path}/items?limit=100");
                self.call(dialect, "GET", &path, None, Deed::Look)
            }
        }
    }

    /// An item that is there, that is no answer, and whose id is known.
    fn some_item(&mut self, of: &Conversation, fits: fn(Kind) -> bool) -> Option<(String, u128)> {
        let entries = of.entries.iter().flat_map(|entry| &entry.items);
        let items: Vec<(&Item, u128)> = entries
            .filter(|item| item.presence == Presence::There && fits(item.kind))
            .filter_map(|item| Some((item, item.id?)))
            .collect();
        let at = self.rng.random_range(0..items.len().max(1));
        let (item, id) = items.get(at)?;
        Some((item.canary.clone(), *id))
    }

    fn dify(&mut self, of: &Conversation) -> Call {
        let dialect = Dialect::Dify;
        match self.rng.random_range(0..10) {
            0..7 => self.question(of),
            7..9 => {
                let path = format!("/v1/conversations/{}/name", of.name.dashed());
                let title = canary(self.rng);
                let body = json!({"name": title});
                self.call(dialect, "POST", &path, Some(&body), Deed::Title(title))
            }
            _ => {
                let path = format!("/v1/messages?conversation_id={}", of.name.dashed());
                self.call(dialect, "GET", &path, None, Deed::Look)
            }
        }
    }

    fn coze(&mut self, of: &Conversation) -> Call {
        let (dialect, id) = (Dialect::Coze, of.name.decimal);
        let message = |what: &str| format!("/v1/conversation/message/{what}?conversation_id={id}");
        match self.rng.random_range(0..10) {
            0..4 if !of.is_busy() => {
                let kind = if self.rng.random_bool(0.7) {
                    Kind::User
                } else {
                    Kind::Assistant
                };
                let item = item(self.rng, kind);
                let role = if kind == Kind::User {
                    "user"
                } else {
                    "assistant"
                };
                let text = &item.text.held;
                let body = json!({"role": role, "content": text, "content_type": "text"});
                let path = message("create");
                self.call(dialect, "POST", &path, Some(&body), Deed::Add(vec![item]))
            }
            4 => {
                let path = format!("/v1/conversations/{id}");
                let title = canary(self.rng);
                let body = json!({"name": title});
                self.call(dialect, "PUT", &path, Some(&body), Deed::Title(title))
            }
            5 if !of.is_busy() => {
                let path = format!("/v1/conversations/{id}/clear");
                self.call(dialect, "POST", &path, Some(&json!({})), Deed::Clear)
            }
            number @ 6..9 => {
                let spoken = |kind| matches!(kind, Kind::User | Kind::Assistant);
                let Some((canary, item)) = self.some_item(of, spoken) else {
                    let path = format!("/v1/conversation/retrieve?conversation_id={id}");
                    return self.call(dialect, "GET", &path, None, Deed::Look);
                };
                let of_item = |what| format!("{}&message_id={}", message(what), decimal(item));
                if number == 6 {
                    let (path, deed) = (of_item("delete"), Deed::Remove(canary));
                    return self.call(dialect, "POST", &path, Some(&json!({})), deed);
                }
                let text = words(self.rng, &canary);
                let body = json!({"content": text, "content_type": "text"});
                let (path, deed) = (of_item("modify"), Deed::Edit(canary, text));
                self.call(dialect, "POST", &path, Some(&body), deed)
            }
            _ => {
                let path = message("list");
                self.call(dialect, "POST", &path, Some(&json!({})), Deed::Look)
            }
        }
    }

    fn openhands(&mut self, of: &Conversation) -> Call {
        let dialect = Dialect::OpenHands;
        let path = format!("/api/conversations/{}", of.name.hex());
        let to = |what: &str| format!("{path}/{what}");
        match self.rng.random_range(0..10) {
            0..6 if !of.active.held => {
                let deed = Deed::Active(true);
                self.call(dialect, "POST", &to("start"), Some(&json!({})), deed)
            }
            // One after the other, whatever is still to be answered: the agent's turns echo what was said last.
            0..3 if !of.loose => {
                let said = item(self.rng, Kind::User);
                let body = json!({"action": "message", "args": {"content": said.text.held}});
                let deed = Deed::Say(said);
                self.call(dialect, "POST", &to("events"), Some(&body), deed)
            }
            3..6 => {
                let item = item(self.rng, Kind::Event);
                let body = json!({"action": "run", "args": {"command": item.text.held}});
                let deed = Deed::Add(vec![item]);
                self.call(dialect, "POST", &to("events"), Some(&body), deed)
            }
            // A turn that is stopped says only half of what it would.
            6 if of.active.held && !of.is_busy() => {
                let deed = Deed::Active(false);
                self.call(dialect, "POST", &to("stop"), Some(&json!({})), deed)
            }
            7..9 => {
                let title = canary(self.rng);
                let body = json!({"title": title});
                self.call(dialect, "PATCH", &path, Some(&body), Deed::Title(title))
            }
            _ => self.call(dialect, "GET", &to("trajectory"), None, Deed::Look),
        }
    }

    /// The newest events of a conversation.
    pub(super) fn newest_events(&self, of: &Conversation) -> Call {
        let path = format!(
            "/api/conversations/{}/events?reverse=true&limit=20",
            of.name.hex()
        );
        self.call(Dialect::OpenHands, "GET", &path, None, Deed::Look)
    }

    /// The newest conversations, which tell all bits of the ids that Coze has shortened.
    pub(super) fn newest(&self) -> Call {
        let path = "/v1/conversations?limit=20";
        self.call(Dialect::OpenAi, "GET", path, None, Deed::Look)
    }
}
