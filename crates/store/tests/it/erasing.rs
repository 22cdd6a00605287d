//! Operators' erasures as services carry them out: many conversations, holds, keys, interruptions.

use std::time::Duration;

use parlance_domain::service::{ConversationDraft, EraseOrder, HoldTarget, NewKey, Tally};
use parlance_domain::{
    AppMode, Clock, ConversationId, Fault, HoldId, Id, Principal, Scopes, Service, User,
};
use parlance_testkit::samples::{PROJECT, app, principal};

use crate::receipt_log::{Shared, export, verified};

const DAY: Duration = Duration::from_hours(24);

fn user(name: &str) -> User {
    User::parse(name).unwrap().unwrap()
}

fn all_of(name: &str) -> EraseOrder {
    EraseOrder {
        project: PROJECT,
        user: Some(user(name)),
        unchanged_for: None,
    }
}

fn older(than: Duration) -> EraseOrder {
    EraseOrder {
        project: PROJECT,
        user: None,
        unchanged_for: Some(than),
    }
}

async fn make(service: &Service, who: &Principal, count: usize) -> Vec<ConversationId> {
    let mut made = Vec::new();
    for _ in 0..count {
        let new = ConversationDraft::new(app(1));
        made.push(service.create_conversation(who, new).await.unwrap().id);
    }
    made
}

async fn make_key(service: &Service, name: &str) -> String {
    service.create_project("default").await.unwrap();
    let mode = AppMode::AdvancedChat;
    let apps = service.create_app(PROJECT, name, mode, None, None).await;
    let new = NewKey {
        project: PROJECT,
        app: apps.unwrap().unwrap().id,
        dialect: "openai".to_owned(),
        prefix: "sk-",
        scopes: Scopes::All,
        user: Some(user(name)),
    };
    let made = service.create_key(new).await.unwrap();
    made.secret.expose().to_owned()
}

async fn hold(service: &Service, target: HoldTarget) -> HoldId {
    let added = service.add_hold(PROJECT, target, None).await;
    added.unwrap().unwrap().id
}

async fn lives(service: &Service, who: &Principal, id: ConversationId) -> bool {
    service.conversation(who, id.into()).await.is_ok()
}

#[tokio::test]
async fn a_user_is_erased_with_all_conversations_and_keys_and_nobody_else_is() {
    for shared in Shared::both() {
        let service = shared.service();
        let (ann, bob) = (principal("ann"), principal("bob"));
        // More than one transaction takes.
        let (hers, his) = (
            make(&service, &ann, 70).await,
            make(&service, &bob, 2).await,
        );
        let (her_key, his_key) = (
            make_key(&service, "ann").await,
            make_key(&service, "bob").await,
        );
        assert!(service.authenticate(&her_key).await.is_ok());
        let wanted = Tally {
            conversations: 70,
            keys: 1,
            ..Tally::default()
        };
        let counted = service.count_erasable(&all_of("ann")).await.unwrap();
        assert_eq!(counted, wanted);
        assert!(lives(&service, &ann, hers[0]).await, "it was only counted");
        let (mut erasure, mut erased) = (service.erase(&all_of("ann")), Vec::new());
        while let Some(some) = erasure.next().await.unwrap() {
            assert!(some.len() <= 32, "others wait for one transaction");
            erased.extend(some.into_iter().map(|deleted| deleted.conversation));
        }
        assert_eq!(erasure.tally(), wanted);
        assert_eq!(erased, hers, "the oldest first");
        assert!(service.authenticate(&her_key).await.is_err(), "at once");
        assert!(service.authenticate(&his_key).await.is_ok());
        for id in his {
            assert!(lives(&service, &bob, id).await);
        }
        let keys = service.keys(PROJECT).await.unwrap();
        let users: Vec<_> = keys.iter().map(|key| key.user.clone()).collect();
        assert_eq!(users, [None, Some(user("bob"))]);
        let again = service.erase(&all_of("ann")).finish().await.unwrap();
        assert_eq!(again, Tally::default());
    }
}

#[tokio::test]
async fn what_is_old_is_erased_and_what_was_changed_since_is_not() {
    for shared in Shared::both() {
        let service = shared.service();
        let (ann, bob) = (principal("ann"), principal("bob"));
        let (old, touched) = (
            make(&service, &ann, 2).await,
            make(&service, &bob, 1).await[0],
        );
        shared.clock.advance(DAY * 20);
        service
            .rename_conversation(&bob, touched.into(), Some("a title".to_owned()))
            .await
            .unwrap();
        let young = make(&service, &ann, 1).await[0];
        shared.clock.advance(DAY * 10);
        let none = service.erase(&older(DAY * 31)).finish().await.unwrap();
        assert_eq!(none, Tally::default());
        let erased = service.erase(&older(DAY * 29)).finish().await.unwrap();
        assert_eq!(erased.conversations, 2);
        for id in old {
            assert!(!lives(&service, &ann, id).await);
        }
        assert!(lives(&service, &bob, touched).await && lives(&service, &ann, young).await);
        let of_bob = EraseOrder {
            user: Some(user("bob")),
            ..older(DAY)
        };
        let key = make_key(&service, "bob").await;
        let erased = service.erase(&of_bob).finish().await.unwrap();
        assert_eq!((erased.conversations, erased.keys), (1, 0));
        assert!(service.authenticate(&key).await.is_ok(), "bob stays");
        assert!(lives(&service, &ann, young).await);
    }
}

#[tokio::test]
async fn what_is_held_is_left_and_counted_once_and_the_rest_is_erased() {
    for shared in Shared::both() {
        let service = shared.service();
        let ann = principal("ann");
        let ids = make(&service, &ann, 40).await;
        let key = make_key(&service, "ann").await;
        let of = ids[7].into();
        let one = hold(&service, HoldTarget::Conversation(of)).await;
        let wanted = Tally {
            conversations: 39,
            keys: 1,
            held_conversations: 1,
            held_keys: 0,
        };
        let counted = service.count_erasable(&all_of("ann")).await.unwrap();
        assert_eq!(counted, wanted);
        let erased = service.erase(&all_of("ann")).finish().await.unwrap();
        assert_eq!(erased, wanted);
        assert!(erased.is_held() && lives(&service, &ann, ids[7]).await);
        assert!(service.authenticate(&key).await.is_err());
        service.remove_hold(PROJECT, one).await.unwrap();
        let user_hold = hold(&service, HoldTarget::User(user("ann"))).await;
        let key = make_key(&service, "ann again").await;
        let nothing = service.erase(&all_of("ann")).finish().await.unwrap();
        assert_eq!((nothing.conversations, nothing.held_conversations), (0, 1));
        assert!(service.authenticate(&key).await.is_ok());
        service.remove_hold(PROJECT, user_hold).await.unwrap();
        let rest = service.erase(&all_of("ann")).finish().await.unwrap();
        assert_eq!(rest.conversations, 1);
    }
}

#[tokio::test]
async fn a_held_user_keeps_name_and_keys() {
    for shared in Shared::both() {
        let service = shared.service();
        let key = make_key(&service, "ann").await;
        hold(&service, HoldTarget::Project).await;
        let counted = service.count_erasable(&all_of("ann")).await.unwrap();
        let erased = service.erase(&all_of("ann")).finish().await.unwrap();
        assert_eq!(counted, erased);
        assert_eq!((erased.keys, erased.held_keys), (0, 1));
        assert!(service.authenticate(&key).await.is_ok());
    }
}

#[tokio::test]
async fn an_erasure_that_is_broken_off_is_gone_on_with_by_the_same_order() {
    for shared in Shared::both() {
        let service = shared.service();
        let ann = principal("ann");
        make(&service, &ann, 70).await;
        let mut erasure = service.erase(&all_of("ann"));
        let first = erasure.next().await.unwrap().unwrap().len();
        drop(erasure);
        // Another process, after the first was killed.
        let next = shared.service_of(2);
        let rest = next.erase(&all_of("ann")).finish().await.unwrap();
        let first = u64::try_from(first).unwrap();
        assert_eq!(first + rest.conversations, 70);
        next.sign_receipts().await.unwrap();
        let log = verified(&export(&next).await, None);
        assert_eq!((log.receipts, log.complete), (70, 70));
    }
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_stops_erasing() {
    for shared in Shared::both() {
        let service = shared.service();
        make(&service, &principal("ann"), 70).await;
        let mut erasure = service.erase(&all_of("ann"));
        erasure.next().await.unwrap();
        service.tasks().shut_down().await;
        let stopped = erasure.next().await.unwrap_err();
        assert_eq!(stopped.fault, Fault::Cancelled);
        let left = service.count_erasable(&all_of("ann")).await.unwrap();
        assert_eq!(left.conversations, 70 - erasure.tally().conversations);
    }
}

#[tokio::test]
async fn what_is_made_meanwhile_is_erased_as_well() {
    for shared in Shared::both() {
        let service = shared.service();
        let ann = principal("ann");
        make(&service, &ann, 40).await;
        let mut erasure = service.erase(&all_of("ann"));
        erasure.next().await.unwrap();
        // Older than what is there, as after a clock was set back.
        shared.clock.set(shared.clock.now().earlier(DAY));
        make(&service, &ann, 1).await;
        let tally = erasure.finish().await.unwrap();
        assert_eq!(tally.conversations, 41);
    }
}

#[tokio::test]
async fn the_log_tells_of_holds_and_names_nobody() {
    for shared in Shared::both() {
        let service = shared.service();
        let id = make(&service, &principal("canary-user"), 1).await[0];
        let first = hold(&service, HoldTarget::User(user("canary-user"))).await;
        let second = hold(&service, HoldTarget::Conversation(id.into())).await;
        hold(&service, HoldTarget::Project).await;
        service.remove_hold(PROJECT, first).await.unwrap();
        let text = export(&service).await;
        let log = verified(&text, None);
        assert_eq!((log.entries, log.events, log.holds), (4, 4, 2));
        assert!(text.contains(&second.text()));
        for secret in ["canary", &id.hex(), &id.dashed()] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}
