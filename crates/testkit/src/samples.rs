//! Values that tests begin with.

use std::sync::Arc;

use parlance_domain::clock::Clock;
use parlance_domain::ids::{AppId, Id, IdSource};
use parlance_domain::model::{
    Extras, ItemContent, ItemKind, ItemType, Metadata, Native, NewConversation, NewItem, Principal,
    ProjectId, Realm, Role, TurnRecord, User,
};
use parlance_domain::receipt_log::{Event, Happening, Restoration};
use parlance_domain::{Json, Notary, Timestamp};

/// The project of most samples.
pub const PROJECT: ProjectId = ProjectId(1);

/// A source of ids that makes the same ones in every run.
pub fn ids(clock: Arc<dyn Clock>) -> IdSource {
    IdSource::new(clock, [7; 32])
}

/// A notary that signs the same in every run.
pub fn notary() -> Arc<Notary> {
    Arc::new(Notary::new(&[8; 32], &[9; 32], "parlance test").unwrap())
}

/// A principal that sees all apps of [`PROJECT`]. The empty user is none.
pub fn principal(user: &str) -> Principal {
    Principal {
        project: PROJECT,
        user: User::parse(user).unwrap(),
        app: None,
        realm: Realm::Conversations,
    }
}

/// An event of the store's: a backup was brought back.
pub fn happening(ids: &IdSource, at: Timestamp) -> Event {
    Event {
        id: ids.next(),
        at,
        what: Happening::Restored(Restoration {
            copied_at: at,
            snapshot: None,
        }),
    }
}

/// The app with this number.
pub fn app(number: u8) -> AppId {
    AppId::from_bits(u128::from(number))
}

/// JSON from its text.
pub fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// A message of the user.
pub fn question(text: &str) -> ItemContent {
    ItemContent::message(Role::User, text)
}

/// A message of the assistant.
pub fn answer(text: &str) -> ItemContent {
    ItemContent::message(Role::Assistant, text)
}

/// An item of another type.
pub fn typed(item_type: &str) -> ItemContent {
    ItemContent {
        kind: ItemKind::Typed(ItemType::parse(item_type).unwrap()),
        payload: json(&format!(r#"{{"type":"{item_type}","n":1.10}}"#)),
        native: None,
    }
}

/// An event of OpenHands.
pub fn event(text: &str) -> ItemContent {
    ItemContent {
        kind: ItemKind::Event,
        payload: json(&format!(r#"{{"action":"{text}"}}"#)),
        native: Some(Native {
            dialect: "openhands".to_owned(),
            json: json(r#"{"source": "agent"}"#),
        }),
    }
}

/// An item without an alias.
pub fn item(ids: &IdSource, content: ItemContent) -> NewItem {
    NewItem {
        id: ids.next(),
        alias: None,
        content,
    }
}

/// What is kept of a turn, with something in every field.
pub fn record(text: &str) -> TurnRecord {
    TurnRecord {
        model: format!("model {text}"),
        previous: Some(Id::from_bits(u128::MAX - 1)),
        native: Some(Native {
            dialect: "openai".to_owned(),
            json: json(&format!(r#"{{"instructions":"{text}","n":1.10}}"#)),
        }),
        error: Some(format!("error {text}")),
        pieces: vec![vec![0, 127, 128, u32::MAX], vec![], vec![3]],
    }
}

/// Metadata of these pairs.
pub fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Metadata::new("metadata", pairs.iter().map(pair).collect()).unwrap()
}

/// A conversation with nothing in it.
pub fn conversation(ids: &IdSource, app: AppId, at: Timestamp) -> NewConversation {
    NewConversation {
        id: ids.next(),
        app,
        title: None,
        metadata: Metadata::default(),
        extras: Extras::new(),
        active: false,
        items: Vec::new(),
        at,
    }
}
