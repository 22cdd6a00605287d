//! What Coze's clients see of chats, bots and long lists, which takes more than requests to set up.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use parlance_dialects::{HttpOptions, mount};
use parlance_domain::service::{ConversationDraft, NewKey, Ports};
use parlance_domain::tasks::Tasks;
use parlance_domain::{
    App, AppMode, Batch, Clock, ConversationId, Id, IdSource, ItemContent, ItemId, ItemKind,
    ItemType, Json, NewItem, Principal, Realm, Role, Scopes, Service, Settings, Store, TurnId,
    TurnState, Usage, Write,
};
use parlance_store::memory::Memory;
use parlance_testkit::ManualClock;
use parlance_testkit::clock::START;
use parlance_testkit::samples::notary;
use parlance_upstream::Echo;
use serde_json::{Value, json};
use tower::ServiceExt;

/// A server with a token and its store laid open.
struct Coze {
    router: Router,
    service: Service,
    store: Arc<dyn Store>,
    app: App,
    other: App,
    token: String,
}

impl Coze {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let ports = Ports {
            store: Arc::clone(&store),
            model: Arc::new(Echo),
            clock: Arc::clone(&clock),
            ids: Arc::new(IdSource::new(clock, [7; 32])),
            tasks: Tasks::default(),
            notary: notary(),
        };
        let service = Service::new(ports, Settings::default());
        let project = service.create_project("p").await.unwrap().unwrap();
        let app = async |name| {
            let mode = AppMode::AdvancedChat;
            let made = service.create_app(project.id, name, mode, None, None).await;
            made.unwrap().unwrap()
        };
        let (app, other) = (app("default").await, app("other").await);
        let new = NewKey {
            project: project.id,
            app: app.id,
            dialect: "coze".to_owned(),
            prefix: "pat_",
            scopes: Scopes::All,
            user: None,
        };
        let token = service.create_key(new).await.unwrap().secret;
        Self {
            router: mount(&service, HttpOptions::default()),
            token: token.expose().to_owned(),
            service,
            store,
            app,
            other,
        }
    }

    fn who(&self) -> Principal {
        Principal {
            project: self.app.project,
            user: None,
            app: None,
            realm: Realm::Conversations,
        }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("/coze{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, json!({})).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call("POST", path, body).await
    }

    /// Makes a conversation with this app.
    async fn conversation(&self, app: &App) -> ConversationId {
        let draft = ConversationDraft::new(app.id);
        let made = self.service.create_conversation(&self.who(), draft).await;
        made.unwrap().id
    }

    fn item(&self, content: ItemContent) -> NewItem {
        NewItem {
            id: self.service.new_id(),
            alias: None,
            content,
        }
    }

    /// A chat with a question, the given items before its answer, and the answer.
    async fn chat(&self, of: ConversationId, between: Vec<ItemContent>) -> (TurnId, Vec<ItemId>) {
        let turn = self.service.new_id();
        let input = vec![self.item(ItemContent::message(Role::User, "why?"))];
        let mut output: Vec<NewItem> = between.into_iter().map(|it| self.item(it)).collect();
        output.push(self.item(ItemContent::message(Role::Assistant, "because")));
        let ids = input.iter().chain(&output).map(|item| item.id).collect();
        let batch = Batch {
            require: Vec::new(),
            writes: vec![
                Write::StartTurn {
                    conversation: of,
                    turn,
                    app: self.app.id,
                    record: Box::default(),
                    input,
                    at: START,
                },
                Write::FinishTurn {
                    conversation: of,
                    turn,
                    state: TurnState::Completed,
                    usage: Usage::default(),
                    record: None,
                    output,
                    at: START,
                },
            ],
        };
        self.store.apply(&self.who(), &batch).await.unwrap();
        (turn, ids)
    }
}

fn typed(name: &str) -> ItemContent {
    ItemContent {
        kind: ItemKind::Typed(ItemType::parse(name).unwrap()),
        payload: Json::from(&json!({"type": name})),
        native: None,
    }
}

fn texts(answer: &Value) -> Vec<&str> {
    let messages = answer["data"].as_array().unwrap().iter();
    messages
        .map(|message| message["content"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn messages_of_a_chat_say_which_bot_and_what_they_are() {
    let coze = Coze::new().await;
    let conversation = coze.conversation(&coze.other).await;
    let (turn, ids) = coze.chat(conversation, vec![typed("function_call")]).await;
    let list = format!(
        "/v1/conversation/message/list?conversation_id={}",
        conversation.decimal()
    );
    let answer = coze.post(&list, json!({"order": "asc"})).await;
    let shown: Vec<Value> = answer["data"].as_array().unwrap().clone();
    assert_eq!(shown.len(), 2, "{answer}");
    for (message, kind) in shown.iter().zip(["question", "answer"]) {
        assert_eq!(message["type"], kind);
        assert_eq!(message["bot_id"], coze.other.id.decimal().to_string());
        assert_eq!(message["chat_id"], turn.decimal().to_string());
    }
    assert_eq!(answer["first_id"], ids[0].decimal().to_string());
    assert_eq!(answer["last_id"], ids[2].decimal().to_string());
}

#[tokio::test]
async fn a_list_can_be_narrowed_to_a_chat() {
    let coze = Coze::new().await;
    let conversation = coze.conversation(&coze.app).await;
    let of = format!("conversation_id={}", conversation.decimal());
    let say = async |text: &str| {
        let body = json!({"role": "user", "content": text, "content_type": "text"});
        coze.post(&format!("/v1/conversation/message/create?{of}"), body)
            .await
    };
    say("before").await;
    let (first, ids) = coze.chat(conversation, Vec::new()).await;
    say("between").await;
    let (second, _) = coze.chat(conversation, Vec::new()).await;
    say("after").await;
    let list = format!("/v1/conversation/message/list?{of}");
    for turn in [first, second] {
        let chat_id = turn.decimal().to_string();
        let answer = coze
            .post(&list, json!({"chat_id": chat_id, "limit": 2}))
            .await;
        assert_eq!(texts(&answer), ["because", "why?"]);
        assert_eq!(answer["has_more"], false);
    }
    let question = format!("message_id={}", ids[0].decimal());
    coze.post(
        &format!("/v1/conversation/message/delete?{of}&{question}"),
        json!({}),
    )
    .await;
    let answer = coze
        .post(&list, json!({"chat_id": first.decimal().to_string()}))
        .await;
    assert_eq!(texts(&answer), ["because"]);
    let answer = coze.post(&list, json!({"chat_id": "no id"})).await;
    assert_eq!(texts(&answer), [""; 0]);
}

#[tokio::test]
async fn deleting_an_answer_deletes_the_tool_calls_that_led_to_it_and_nothing_else() {
    let coze = Coze::new().await;
    let conversation = coze.conversation(&coze.app).await;
    let between = vec![
        typed("function_call"),
        ItemContent::message(Role::Assistant, "wait"),
        typed("function_call"),
        typed("function_call_output"),
    ];
    let (_, ids) = coze.chat(conversation, between).await;
    let path = format!(
        "/v1/conversation/message/delete?conversation_id={}&message_id={}",
        conversation.decimal(),
        ids[5].decimal()
    );
    let deleted = coze.post(&path, json!({})).await;
    assert_eq!(
        (&deleted["data"]["content"], &deleted["data"]["type"]),
        (&json!("because"), &json!("answer"))
    );
    let mut left = Vec::new();
    for id in ids {
        let item = coze
            .service
            .item(&coze.who(), conversation.into(), &id.into())
            .await;
        left.push(item.is_ok());
    }
    assert_eq!(left, [true, true, true, false, false, false]);
    assert_eq!(coze.post(&path, json!({})).await["code"], 4200);
}

#[tokio::test]
async fn a_tool_call_is_no_message() {
    let coze = Coze::new().await;
    let conversation = coze.conversation(&coze.app).await;
    let (_, ids) = coze.chat(conversation, vec![typed("function_call")]).await;
    let query = format!(
        "conversation_id={}&message_id={}",
        conversation.decimal(),
        ids[1].decimal()
    );
    let change = json!({"content": "x", "content_type": "text"});
    for (operation, body) in [
        ("retrieve", json!({})),
        ("delete", json!({})),
        ("modify", change),
    ] {
        let answer = coze
            .post(
                &format!("/v1/conversation/message/{operation}?{query}"),
                body,
            )
            .await;
        assert_eq!(answer["code"], 4200, "{operation}: {answer}");
    }
}

#[tokio::test]
async fn a_bot_is_named_by_its_id() {
    let coze = Coze::new().await;
    let bot = coze.other.id.decimal().to_string();
    let made = coze
        .post("/v1/conversation/create", json!({"bot_id": bot}))
        .await;
    let listed = coze.get(&format!("/v1/conversations?bot_id={bot}")).await;
    assert_eq!(listed["data"]["conversations"], json!([made["data"]]));
    let own = coze.app.id.decimal();
    let listed = coze.get(&format!("/v1/conversations?bot_id={own}")).await;
    assert_eq!(listed["data"]["conversations"], json!([]));
}

#[tokio::test]
async fn a_walk_by_page_numbers_meets_every_conversation_once_and_in_order() {
    const CONVERSATIONS: usize = 1_225;
    let coze = Coze::new().await;
    let mut made = Vec::new();
    for _ in 0..CONVERSATIONS {
        made.push(coze.conversation(&coze.app).await.decimal().to_string());
    }
    for order in ["ASC", "DESC"] {
        let mut met = Vec::new();
        for number in 1.. {
            let path = format!(
                "/v1/conversations?bot_id=1&page_num={number}&page_size=49&sort_order={order}"
            );
            let data = coze.get(&path).await["data"].take();
            let rows = data["conversations"].as_array().unwrap();
            met.extend(
                rows.iter()
                    .map(|row| row["id"].as_str().unwrap().to_owned()),
            );
            if data["has_more"] == false {
                break;
            }
            assert_eq!(rows.len(), 49);
        }
        assert_eq!(met, made, "{order}");
        made.reverse();
    }
}
