//! One conversation, any dialect: for every ordered pair of dialects, made through the one, then
//! listed, read, continued, renamed and deleted through the other, and gone from all.

use axum::body::Body;
use http::Request;
use parlance_dialects::DIALECTS;
use parlance_domain::{ConversationId, ConversationRef, Id, Ref};
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};

/// What a message says, and who: `user` or `assistant`.
type Said = (String, String);

/// A client of one dialect.
struct Client<'a> {
    app: &'a TestApp,
    dialect: &'static str,
    key: String,
    user: &'a str,
}

impl<'a> Client<'a> {
    fn new(app: &'a TestApp, dialect: &'static str, user: &'a str) -> Self {
        Self {
            app,
            dialect,
            key: app.key(&format!("{dialect}.{user}")).to_owned(),
            user,
        }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/{}{path}", self.dialect));
        request = match self.dialect {
            "openhands" => request.header("x-session-api-key", &self.key),
            _ => request.header("authorization", format!("Bearer {}", self.key)),
        };
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.app
            .send(request.body(Body::from(body)).expect("a request"))
            .await
    }

    async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.send(method, path, body).await;
        assert!(
            answer.status.is_success(),
            "{} {method} {path}: {}",
            self.dialect,
            answer.text()
        );
        let body = if answer.body.is_empty() {
            Value::Null
        } else {
            answer.json()
        };
        if self.dialect == "coze" {
            assert_eq!(body["code"], 0, "{method} {path}: {body}");
        }
        body
    }

    /// A conversation's id as this client writes it.
    fn id(&self, id: ConversationId) -> String {
        match self.dialect {
            "openai" => format!("conv_{}", id.hex()),
            "dify" => id.dashed(),
            "coze" => id.decimal().to_string(),
            "openhands" => id.hex(),
            other => panic!("how does {other} write ids?"),
        }
    }

    /// Makes a conversation in which the user says `hello`.
    async fn create(&self) -> ConversationRef {
        let (path, body, pointer) = match self.dialect {
            "openai" => (
                "/v1/conversations",
                json!({"items": [{"role": "user", "content": "hello"}]}),
                "/id",
            ),
            "dify" => (
                "/v1/chat-messages",
                json!({"query": "hello", "inputs": {}, "user": self.user}),
                "/conversation_id",
            ),
            "coze" => (
                "/v1/conversation/create",
                json!({"bot_id": self.app.app.id.decimal().to_string(),
                    "messages": [{"role": "user", "content": "hello", "content_type": "text"}]}),
                "/data/id",
            ),
            "openhands" => (
                "/api/conversations",
                json!({"initial_user_msg": "hello"}),
                "/conversation_id",
            ),
            other => panic!("how does {other} make a conversation?"),
        };
        let made = self.good("POST", path, body).await;
        let id = made
            .pointer(pointer)
            .and_then(Value::as_str)
            .expect("an id")
            .to_owned();
        let entry = parlance_dialects::dialect(self.dialect).expect("the dialect exists");
        (entry.conversation)(&id).expect("an id in the dialect's own form")
    }

    /// The ids of all conversations.
    async fn list(&self) -> Vec<String> {
        let (path, list, id) = match self.dialect {
            "openai" => ("/v1/conversations".to_owned(), "/data", "id"),
            "dify" => (
                format!("/v1/conversations?user={}", self.user),
                "/data",
                "id",
            ),
            "coze" => {
                let bot = self.app.app.id.decimal();
                (
                    format!("/v1/conversations?bot_id={bot}"),
                    "/data/conversations",
                    "id",
                )
            }
            "openhands" => (
                "/api/conversations".to_owned(),
                "/results",
                "conversation_id",
            ),
            other => panic!("how does {other} list?"),
        };
        let listed = self.good("GET", &path, Value::Null).await;
        let rows = listed
            .pointer(list)
            .and_then(Value::as_array)
            .expect("a list");
        rows.iter()
            .map(|row| row[id].as_str().expect("an id").to_owned())
            .collect()
    }

    /// Everything that was said, oldest first.
    async fn messages(&self, id: ConversationId) -> Vec<Said> {
        let id = self.id(id);
        let said =
            |role: &str, text: &Value| (role.to_owned(), text.as_str().expect("a text").to_owned());
        match self.dialect {
            "openai" => {
                let path = format!("/v1/conversations/{id}/items?order=asc&limit=100");
                let page = self.good("GET", &path, Value::Null).await;
                let rows = page["data"].as_array().expect("a list");
                let row = |row: &Value| {
                    said(
                        row["role"].as_str().expect("a role"),
                        &row["content"][0]["text"],
                    )
                };
                rows.iter().map(row).collect()
            }
            "dify" => {
                let path = format!("/v1/messages?conversation_id={id}&user={}", self.user);
                let page = self.good("GET", &path, Value::Null).await;
                let rows = page["data"].as_array().expect("a list").clone();
                let both = |row: &Value| {
                    [
                        said("user", &row["query"]),
                        said("assistant", &row["answer"]),
                    ]
                };
                rows.iter()
                    .flat_map(both)
                    .filter(|(_, text)| !text.is_empty())
                    .collect()
            }
            "coze" => {
                let path = format!("/v1/conversation/message/list?conversation_id={id}");
                let page = self.good("POST", &path, json!({"order": "asc"})).await;
                let rows = page["data"].as_array().expect("a list");
                let row =
                    |row: &Value| said(row["role"].as_str().expect("a role"), &row["content"]);
                rows.iter().map(row).collect()
            }
            "openhands" => {
                let path = format!("/api/conversations/{id}/events?limit=100");
                let page = self.good("GET", &path, Value::Null).await;
                let rows = page["events"].as_array().expect("a list");
                let messages = rows.iter().filter(|row| row["action"] == "message");
                let row = |row: &Value| {
                    let role = if row["source"] == "user" {
                        "user"
                    } else {
                        "assistant"
                    };
                    said(role, &row["args"]["content"])
                };
                messages.map(row).collect()
            }
            other => panic!("how does {other} read?"),
        }
    }

    /// Whether what is said through this dialect is answered.
    fn is_answered(&self) -> bool {
        ["dify", "openhands"].contains(&self.dialect)
    }

    /// Says `again` as the user, and waits for the answer if there is one.
    async fn say_again(&self, id: ConversationId) {
        let id = self.id(id);
        let (path, body) = match self.dialect {
            "openai" => (
                format!("/v1/conversations/{id}/items"),
                json!({"items": [{"role": "user", "content": "again"}]}),
            ),
            "dify" => (
                "/v1/chat-messages".to_owned(),
                json!({"query": "again", "inputs": {}, "user": self.user, "conversation_id": id}),
            ),
            "coze" => (
                format!("/v1/conversation/message/create?conversation_id={id}"),
                json!({"role": "user", "content": "again", "content_type": "text"}),
            ),
            "openhands" => {
                self.good("POST", &format!("/api/conversations/{id}/start"), json!({}))
                    .await;
                (
                    format!("/api/conversations/{id}/events"),
                    json!({"action": "message", "args": {"content": "again"}}),
                )
            }
            other => panic!("how does {other} continue?"),
        };
        self.good("POST", &path, body).await;
        self.app.settle().await;
    }

    /// Gives the conversation another title, where the dialect has titles.
    async fn rename(&self, id: ConversationId, title: &str) -> bool {
        let id = self.id(id);
        match self.dialect {
            "openai" => return false,
            "dify" => {
                let path = format!("/v1/conversations/{id}/name");
                self.good("POST", &path, json!({"name": title, "user": self.user}))
                    .await
            }
            "coze" => {
                self.good(
                    "PUT",
                    &format!("/v1/conversations/{id}"),
                    json!({"name": title}),
                )
                .await
            }
            "openhands" => {
                let path = format!("/api/conversations/{id}");
                self.good("PATCH", &path, json!({"title": title})).await
            }
            other => panic!("how does {other} rename?"),
        };
        true
    }

    /// The title, where the dialect has titles.
    async fn title(&self, id: ConversationId) -> Option<String> {
        let text = self.id(id);
        let (path, pointer) = match self.dialect {
            "openai" => return None,
            "dify" => (
                format!("/v1/conversations?user={}&limit=1", self.user),
                "/data/0/name",
            ),
            "coze" => (
                format!("/v1/conversation/retrieve?conversation_id={text}"),
                "/data/name",
            ),
            "openhands" => (format!("/api/conversations/{text}"), "/title"),
            other => panic!("how does {other} show a title?"),
        };
        let read = self.good("GET", &path, Value::Null).await;
        Some(
            read.pointer(pointer)
                .and_then(Value::as_str)
                .expect("a title")
                .to_owned(),
        )
    }

    async fn delete(&self, id: ConversationId) -> Answer {
        let id = self.id(id);
        let (path, body) = match self.dialect {
            "openai" | "coze" => (format!("/v1/conversations/{id}"), Value::Null),
            "dify" => (
                format!("/v1/conversations/{id}"),
                json!({"user": self.user}),
            ),
            "openhands" => (format!("/api/conversations/{id}"), Value::Null),
            other => panic!("how does {other} delete?"),
        };
        self.send("DELETE", &path, body).await
    }

    /// Whether an answer to a delete says that something was deleted.
    fn has_deleted(&self, answer: &Answer) -> bool {
        match self.dialect {
            "openai" => answer.status == 200 && answer.json()["deleted"] == true,
            "dify" => answer.status == 204 && answer.body.is_empty(),
            "coze" => answer.status == 200 && answer.json()["code"] == 0,
            "openhands" => answer.status == 200 && answer.json() == true,
            other => panic!("how does {other} say that something is deleted?"),
        }
    }
}

fn is(role: &str, text: &str) -> Said {
    (role.to_owned(), text.to_owned())
}

async fn check_pair(maker: &'static str, user_of_it: &'static str) {
    let app = TestApp::new().await;
    let (maker, other) = (
        Client::new(&app, maker, "alice"),
        Client::new(&app, user_of_it, "alice"),
    );
    let pair = format!("{} and {}", maker.dialect, other.dialect);
    let made = maker.create().await;
    app.settle().await;
    let id = whole_id(&app, made).await;
    assert_eq!(other.list().await, [other.id(id)], "{pair}: listed");
    let mut expected = vec![is("user", "hello")];
    if maker.is_answered() {
        expected.push(is("assistant", "[echo, not a model] You said: hello"));
    }
    assert_eq!(other.messages(id).await, expected, "{pair}: read");
    expected.push(is("user", "again"));
    other.say_again(id).await;
    if other.is_answered() {
        expected.push(is("assistant", "[echo, not a model] You said: again"));
    }
    assert_eq!(
        other.messages(id).await,
        expected,
        "{pair}: continued, read by the one"
    );
    assert_eq!(
        maker.messages(id).await,
        expected,
        "{pair}: continued, read by the other"
    );
    check_rename(&maker, &other, id).await;
    check_delete(&app, &other, id).await;
}

async fn check_rename(maker: &Client<'_>, other: &Client<'_>, id: ConversationId) {
    if !other.rename(id, "A new name").await {
        return;
    }
    for client in [maker, other] {
        if let Some(title) = client.title(id).await {
            assert_eq!(
                title, "A new name",
                "{}, by {}",
                client.dialect, other.dialect
            );
        }
    }
}

async fn check_delete(app: &TestApp, other: &Client<'_>, id: ConversationId) {
    let bob = Client::new(app, other.dialect, "bob");
    assert!(
        bob.list().await.is_empty(),
        "{}: nobody else's",
        other.dialect
    );
    assert!(
        !bob.has_deleted(&bob.delete(id).await),
        "{}: nobody else's",
        other.dialect
    );
    let deleted = other.delete(id).await;
    assert!(
        other.has_deleted(&deleted),
        "{}: {}",
        other.dialect,
        deleted.text()
    );
    for entry in DIALECTS {
        let client = Client::new(app, entry.name, "alice");
        assert!(
            client.list().await.is_empty(),
            "{}: gone from {}",
            other.dialect,
            entry.name
        );
        let again = client.delete(id).await;
        assert!(
            !client.has_deleted(&again),
            "{}: gone: {}",
            entry.name,
            again.text()
        );
        assert!(!again.status.is_server_error());
    }
}

/// The whole id behind what a dialect calls it.
async fn whole_id(app: &TestApp, made: ConversationRef) -> ConversationId {
    let user = parlance_domain::User::parse("alice").expect("a user");
    let alice = parlance_domain::Principal {
        project: app.project.id,
        user,
        app: None,
        realm: parlance_domain::Realm::Conversations,
    };
    match Ref::whole(made) {
        Some(id) => id,
        None => {
            app.service
                .conversation(&alice, made)
                .await
                .expect("it is there")
                .id
        }
    }
}

#[tokio::test]
async fn a_conversation_is_the_same_through_every_pair_of_dialects() {
    for maker in DIALECTS {
        for other in DIALECTS {
            check_pair(maker.name, other.name).await;
        }
    }
}
