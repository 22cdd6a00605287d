//! Reads back what a server has, through all dialects.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::dialect::{Dialect, Keys, Name, bits, decimal};
use super::journal::{Kind, Pairs};
use super::responses;
use crate::http::{Asked, Client};

/// How a dialect tells an item from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowId {
    Whole(u128),
    Decimal(u64),
    Number(u64),
    None,
}

/// An item as a dialect shows it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: RowId,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// A message of Dify's.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) query: String,
    pub(super) failed: bool,
}

/// A conversation as all dialects show it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// OpenAI's metadata, and Coze's.
    pub(super) metadata: [Pairs; 2],
    /// Coze's name.
    pub(super) title: Option<String>,
    /// OpenHands' title.
    pub(super) shown_title: String,
    pub(super) section: u64,
    pub(super) active: bool,
    pub(super) messages: Vec<Message>,
    /// What each dialect shows, by the order of [`Dialect::ALL`].
    pub(super) openai: Vec<Row>,
    pub(super) dify: Vec<Row>,
    pub(super) coze: Vec<Row>,
    pub(super) openhands: Vec<Row>,
}

/// A response as OpenAI shows it.
#[derive(Clone, Debug)]
pub(super) struct Replied {
    pub(super) status: u16,
    pub(super) object: Value,
    /// What was asked; nothing, if it is not there.
    pub(super) input: Vec<Row>,
}

/// A person's lists of conversations.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    /// The ids of each dialect's list in Coze's form.
    pub(super) listed: BTreeMap<Dialect, BTreeSet<u64>>,
    /// The whole ids.
    pub(super) whole: BTreeMap<u64, u128>,
    /// Ids that a list had twice.
    pub(super) doubled: Vec<(Dialect, u64)>,
}

/// Asks a server that has to answer.
pub(super) struct Reader<'a> {
    line: Client,
    keys: &'a Keys,
}

fn text(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn rows<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a Vec<Value>> {
    let rows = value.get(name).and_then(Value::as_array);
    rows.with_context(|| format!("an answer without `{name}`: {value}"))
}

fn truth(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn pairs(value: Option<&Value>) -> Pairs {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

impl<'a> Reader<'a> {
    pub(super) async fn connect(address: &str, keys: &'a Keys) -> anyhow::Result<Self> {
        let line = Client::connect(address).await?;
        Ok(Self { line, keys })
    }

    /// The answer to a request, with its status; null for one without a body.
    async fn ask(
        &mut self,
        dialect: Dialect,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let request = self.keys.request(dialect, method, path, body);
        self.line.send(&request).await?;
        let Asked::Whole(answer) = self.line.answer().await else {
            bail!("{} {method} {path}: no answer", dialect.name());
        };
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok((answer.status, body))
    }

    async fn good(
        &mut self,
        dialect: Dialect,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (status, answer) = self.ask(dialect, method, path, body).await?;
        let code = answer.get("code").and_then(Value::as_i64).unwrap_or(0);
        if status != 200 || (dialect == Dialect::Coze && code != 0) {
            bail!("{} {method} {path}: {status} {answer}", dialect.name());
        }
        Ok(answer)
    }

    async fn get(&mut self, dialect: Dialect, path: &str) -> anyhow::Result<Value> {
        self.good(dialect, "GET", path, None).await
    }

    /// All of the person's conversations, through all dialects.
    pub(super) async fn lists(&mut self) -> anyhow::Result<Lists> {
        let mut lists = Lists::default();
        for dialect in Dialect::ALL {
            let mut listed = BTreeSet::new();
            for name in self.list(dialect).await? {
                if !listed.insert(name.decimal) {
                    lists.doubled.push((dialect, name.decimal));
                }
                if let Some(whole) = name.whole {
                    lists.whole.insert(name.decimal, whole);
                }
            }
            lists.listed.insert(dialect, listed);
        }
        Ok(lists)
    }

    async fn list(&mut self, dialect: Dialect) -> anyhow::Result<Vec<Name>> {
        let bot = self.keys.bot.clone();
        let mut names: Vec<Name> = Vec::new();
        let mut token = String::new();
        for number in 1.. {
            let last = names.last().copied();
            let path = match (dialect, last) {
                (Dialect::OpenAi | Dialect::Dify, None) => "/v1/conversations?limit=100".to_owned(),
                (Dialect::OpenAi, Some(last)) => {
                    format!("/v1/conversations?limit=100&after={}", last.prefixed())
                }
                (Dialect::Dify, Some(last)) => {
                    format!("/v1/conversations?limit=100&last_id={}", last.dashed())
                }
                (Dialect::Coze, _) => {
                    format!("/v1/conversations?bot_id={bot}&page_size=50&page_num={number}")
                }
                (Dialect::OpenHands, None) => "/api/conversations?limit=100".to_owned(),
                (Dialect::OpenHands, Some(_)) => {
                    format!("/api/conversations?limit=100&page_id={token}")
                }
            };
            let page = self.get(dialect, &path).await?;
            let (data, id) = match dialect {
                Dialect::OpenAi | Dialect::Dify => (rows(&page, "data")?, "id"),
                Dialect::Coze => (
                    rows(page.get("data").unwrap_or_default(), "conversations")?,
                    "id",
                ),
                Dialect::OpenHands => (rows(&page, "results")?, "conversation_id"),
            };
            let name = |row: &Value| match dialect {
                Dialect::Coze => text(row, id).parse().ok().map(Name::partial),
                Dialect::OpenAi | Dialect::Dify | Dialect::OpenHands => {
                    bits(&text(row, id)).map(Name::of)
                }
            };
            names.extend(data.iter().filter_map(name));
            token = text(&page, "next_page_id");
            let more = match dialect {
                Dialect::OpenAi | Dialect::Dify => truth(&page, "has_more"),
                Dialect::Coze => truth(page.get("data").unwrap_or_default(), "has_more"),
                Dialect::OpenHands => !token.is_empty(),
            };
            if !more {
                break;
            }
        }
        Ok(names)
    }

    /// A conversation, through all dialects.
    pub(super) async fn conversation(&mut self, name: Name) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        let path = format!("/v1/conversations/{}", name.prefixed());
        let its = self.get(Dialect::OpenAi, &path).await?;
        let openai = pairs(its.get("metadata"));
        seen.openai = self.openai(name).await?;
        let path = format!("/v1/conversation/retrieve?conversation_id={}", name.decimal);
        let its = self.get(Dialect::Coze, &path).await?;
        let its = its.get("data").unwrap_or_default();
        seen.title = Some(text(its, "name")).filter(|title| !title.is_empty());
        seen.section = text(its, "last_section_id").parse().unwrap_or(0);
        seen.metadata = [openai, pairs(its.get("meta_data"))];
        seen.coze = self.coze(name).await?;
        let path = format!("/api/conversations/{}", name.hex());
        let its = self.get(Dialect::OpenHands, &path).await?;
        seen.shown_title = text(&its, "title");
        seen.active = text(&its, "status") == "RUNNING";
        seen.openhands = self.openhands(name).await?;
        self.dify(name, &mut seen).await?;
        Ok(seen)
    }

    async fn openai(&mut self, name: Name) -> anyhow::Result<Vec<Row>> {
        let mut found: Vec<Row> = Vec::new();
        let mut after = String::new();
        loop {
            let of = name.prefixed();
            let path = format!("/v1/conversations/{of}/items?order=asc&limit=100{after}");
            let page = self.get(Dialect::OpenAi, &path).await?;
            found.extend(rows(&page, "data")?.iter().map(row));
            if !truth(&page, "has_more") {
                return Ok(found);
            }
            after = format!("&after={}", text(&page, "last_id"));
        }
    }

    async fn coze(&mut self, name: Name) -> anyhow::Result<Vec<Row>> {
        let mut found: Vec<Row> = Vec::new();
        let mut after = String::new();
        loop {
            let of = name.decimal;
            let path = format!("/v1/conversation/message/list?conversation_id={of}");
            let body = json!({"order": "asc", "limit": 50, "after_id": after});
            let page = self.good(Dialect::Coze, "POST", &path, Some(&body)).await?;
            let row = |row: &Value| Row {
                id: RowId::Decimal(text(row, "id").parse().unwrap_or(0)),
                kind: speaker(row, "role"),
                text: text(row, "content"),
            };
            found.extend(rows(&page, "data")?.iter().map(row));
            if !truth(&page, "has_more") {
                return Ok(found);
            }
            after = text(&page, "last_id");
        }
    }

    async fn openhands(&mut self, name: Name) -> anyhow::Result<Vec<Row>> {
        let mut found: Vec<Row> = Vec::new();
        let mut start = 0;
        loop {
            let of = name.hex();
            let path = format!("/api/conversations/{of}/events?limit=100&start_id={start}");
            let page = self.get(Dialect::OpenHands, &path).await?;
            for event in rows(&page, "events")? {
                let number = event.get("id").and_then(Value::as_u64);
                let number = number.context("an event without a number")?;
                start = number + 1;
                let row = |kind, text| Row {
                    id: RowId::Number(number),
                    kind,
                    text,
                };
                let args = event.get("args").unwrap_or_default();
                found.push(match event.get("action").and_then(Value::as_str) {
                    Some("message") => row(speaker(event, "source"), text(args, "content")),
                    Some("run") => row(Kind::Event, text(args, "command")),
                    Some(action) => row(Kind::Event, action.to_owned()),
                    None => {
                        let extras = event.get("extras").unwrap_or_default();
                        row(Kind::Event, text(extras, "agent_state"))
                    }
                });
            }
            if !truth(&page, "has_more") {
                return Ok(found);
            }
        }
    }

    async fn dify(&mut self, name: Name, seen: &mut Seen) -> anyhow::Result<()> {
        let mut pages = Vec::new();
        let mut first = String::new();
        loop {
            let of = name.dashed();
            let path = format!("/v1/messages?conversation_id={of}&limit=100{first}");
            let page = self.get(Dialect::Dify, &path).await?;
            let data = rows(&page, "data")?.clone();
            let oldest = data.first().map(|oldest| text(oldest, "id"));
            first = format!("&first_id={}", oldest.unwrap_or_default());
            pages.push(data);
            if !truth(&page, "has_more") {
                break;
            }
        }
        for message in pages.into_iter().rev().flatten() {
            let (query, answer) = (text(&message, "query"), text(&message, "answer"));
            let id = bits(&text(&message, "id")).map_or(RowId::None, RowId::Whole);
            let row = |id, kind, text| Row { id, kind, text };
            let unasked = query.is_empty();
            if !unasked {
                seen.dify.push(row(id, Kind::User, query.clone()));
            }
            if !answer.is_empty() {
                let id = if unasked { id } else { RowId::None };
                seen.dify.push(row(id, Kind::Assistant, answer));
            }
            seen.messages.push(Message {
                query,
                failed: text(&message, "status") == "error",
            });
        }
        Ok(())
    }

    /// A response, and what was asked.
    pub(super) async fn reply(&mut self, id: u128) -> anyhow::Result<Replied> {
        let path = format!("/v1/responses/{}", responses::text(id));
        let (status, object) = self.ask(Dialect::OpenAi, "GET", &path, None).await?;
        let mut input = Vec::new();
        if status == 200 {
            let path = format!("{path}/input_items?order=asc&limit=100");
            let page = self.get(Dialect::OpenAi, &path).await?;
            input.extend(rows(&page, "data")?.iter().map(row));
        }
        Ok(Replied {
            status,
            object,
            input,
        })
    }

    /// The person's responses that were made after this one.
    pub(super) async fn replies(&mut self, since: u128) -> anyhow::Result<Vec<Value>> {
        let mut found: Vec<Value> = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/responses?order=desc&limit=100{after}");
            let page = self.get(Dialect::OpenAi, &path).await?;
            let made = |row: &&Value| bits(&text(row, "id")).unwrap_or_default();
            let wanted = |row: &&Value| made(row) > since;
            let data = rows(&page, "data")?;
            found.extend(data.iter().filter(wanted).cloned());
            if !truth(&page, "has_more") || !data.iter().all(|row| wanted(&row)) {
                return Ok(found);
            }
            after = format!("&after={}", text(&page, "last_id"));
        }
    }

    /// What is still told of a response that must not be there.
    pub(super) async fn reply_remains(&mut self, id: u128) -> anyhow::Result<Vec<String>> {
        let path = format!("/v1/responses/{}", responses::text(id));
        let mut remains = Vec::new();
        for path in [path.clone(), format!("{path}/input_items")] {
            let (status, answer) = self.ask(Dialect::OpenAi, "GET", &path, None).await?;
            if status != 404 {
                remains.push(format!("{path} answers {status} {answer}"));
            }
        }
        Ok(remains)
    }

    /// The dialects that still know a conversation that is deleted, or an item of it.
    pub(super) async fn remains(
        &mut self,
        name: Name,
        item: Option<u128>,
    ) -> anyhow::Result<Vec<String>> {
        let mut remains = Vec::new();
        let mut note = |gone: bool, what: &str, answer: &Value| {
            if !gone {
                remains.push(format!("{what} answers {answer}"));
            }
        };
        let path = format!("/v1/conversation/retrieve?conversation_id={}", name.decimal);
        let (_, answer) = self.ask(Dialect::Coze, "GET", &path, None).await?;
        let code = answer.get("code").and_then(Value::as_i64);
        note(code == Some(4200), "Coze's retrieve", &answer);
        let path = format!(
            "/v1/conversation/message/list?conversation_id={}",
            name.decimal
        );
        let (_, answer) = self
            .ask(Dialect::Coze, "POST", &path, Some(&json!({})))
            .await?;
        let code = answer.get("code").and_then(Value::as_i64);
        note(code == Some(4200), "Coze's message list", &answer);
        if name.whole.is_none() {
            return Ok(remains);
        }
        let of = format!("/v1/conversations/{}", name.prefixed());
        let item = item.map(|item| format!("{of}/items/msg_{item:032x}"));
        let paths = [of.clone(), format!("{of}/items")];
        for path in paths.iter().chain(&item) {
            let (status, answer) = self.ask(Dialect::OpenAi, "GET", path, None).await?;
            note(status == 404, "OpenAI's read", &answer);
        }
        let path = format!("/v1/messages?conversation_id={}", name.dashed());
        let (status, answer) = self.ask(Dialect::Dify, "GET", &path, None).await?;
        note(status == 404, "Dify's messages", &answer);
        let path = format!("/api/conversations/{}", name.hex());
        let (status, answer) = self.ask(Dialect::OpenHands, "GET", &path, None).await?;
        let gone = status == 200 && answer.is_null();
        note(gone, "OpenHands' read", &answer);
        let events = format!("{path}/events");
        let (status, answer) = self.ask(Dialect::OpenHands, "GET", &events, None).await?;
        note(status == 404, "OpenHands' events", &answer);
        Ok(remains)
    }
}

fn speaker(row: &Value, name: &str) -> Kind {
    match text(row, name).as_str() {
        "user" => Kind::User,
        "assistant" | "agent" => Kind::Assistant,
        _ => Kind::System,
    }
}

pub(super) fn row(item: &Value) -> Row {
    let id = bits(&text(item, "id")).map_or(RowId::None, RowId::Whole);
    if text(item, "type") != "message" {
        let text = text(item, "arguments");
        let kind = Kind::Call;
        return Row { id, kind, text };
    }
    let parts = item.get("content").and_then(Value::as_array);
    let parts = parts.into_iter().flatten();
    Row {
        id,
        kind: speaker(item, "role"),
        text: parts.map(|part| text(part, "text")).collect(),
    }
}

/// The form in which Coze would show an id.
pub(super) fn in_decimal(id: RowId) -> Option<u64> {
    match id {
        RowId::Whole(bits) => Some(decimal(bits)),
        RowId::Decimal(decimal) => Some(decimal),
        RowId::Number(_) | RowId::None => None,
    }
}
