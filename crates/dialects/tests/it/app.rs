//! The whole server but for its socket, its disk and its clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use parlance_dialects::{DIALECTS, HttpOptions, mount};
use parlance_domain::service::{NewKey, Ports};
use parlance_domain::tasks::Tasks;
use parlance_domain::upstream::Model;
use parlance_domain::{
    App, AppMode, Clock, IdSource, Project, Scopes, Service, Settings, Store, User,
};
use parlance_store::memory::Memory;
use parlance_testkit::ManualClock;
use parlance_testkit::samples::notary;
use parlance_upstream::Echo;
use tower::ServiceExt;

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }
}

/// A server for one test.
pub(crate) struct TestApp {
    router: Router,
    pub(crate) service: Service,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) project: Project,
    pub(crate) app: App,
    keys: BTreeMap<String, String>,
}

impl TestApp {
    /// A server with project and app `default` and, for every dialect `d`, the keys `d`, `d.alice`
    /// and `d.bob` (bound to these users), `d.completion` (for an app of that mode), `d.second` (for
    /// another app) and `d.stranger` (for another project). `coze.reader` has two scopes only.
    pub(crate) async fn new() -> Self {
        Self::with_model(Arc::new(Echo)).await
    }

    /// The same with another model.
    pub(crate) async fn with_model(model: Arc<dyn Model>) -> Self {
        Self::with_settings(model, Settings::default()).await
    }

    /// The same with other settings too.
    pub(crate) async fn with_settings(model: Arc<dyn Model>, settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        // What is there before the test has ids from a source of its own, so that the ids that a
        // scenario shows do not depend on how many keys were made.
        let furnish = service(&store, Arc::new(Echo), &clock, [1; 32], Settings::default());
        let project = create_project(&furnish, "default").await;
        let app = create_app(&furnish, &project, "default", AppMode::AdvancedChat).await;
        let service = service(&store, model, &clock, [2; 32], settings);
        let router = mount(&service, HttpOptions::default());
        let mut test = Self {
            router,
            service: furnish,
            store,
            clock,
            project,
            app,
            keys: BTreeMap::new(),
        };
        test.make_keys().await;
        test.service = service;
        test
    }

    async fn make_keys(&mut self) {
        let (home, first) = (self.project.clone(), self.app.clone());
        let completion = create_app(&self.service, &home, "completion", AppMode::Completion).await;
        let second = create_app(&self.service, &home, "second", AppMode::AdvancedChat).await;
        let away = create_project(&self.service, "away").await;
        let stranger = create_app(&self.service, &away, "default", AppMode::AdvancedChat).await;
        for entry in DIALECTS {
            for (name, app, user) in [
                ("", &first, None),
                (".alice", &first, Some("alice")),
                (".bob", &first, Some("bob")),
                (".completion", &completion, None),
                (".second", &second, None),
                (".stranger", &stranger, None),
            ] {
                let secret = self.make_key(entry.name, app, user, Scopes::All).await;
                self.keys.insert(format!("{}{name}", entry.name), secret);
            }
        }
        let scopes = ["retrieveConversation", "listConversation"];
        self.name_key("coze.reader", "coze", &scopes).await;
    }

    /// All apps of the project.
    pub(crate) async fn apps(&self) -> Vec<App> {
        self.service
            .apps(self.project.id)
            .await
            .expect("the store answers")
    }

    /// Makes a key and gives its secret.
    pub(crate) async fn make_key(
        &self,
        dialect: &str,
        app: &App,
        user: Option<&str>,
        scopes: Scopes,
    ) -> String {
        let entry = parlance_dialects::dialect(dialect).expect("the dialect exists");
        let user = user.and_then(|user| User::parse(user).expect("a user"));
        let new = NewKey {
            project: app.project,
            app: app.id,
            dialect: dialect.to_owned(),
            prefix: entry.key_prefix,
            scopes,
            user,
        };
        let made = self.service.create_key(new).await.expect("a key");
        made.secret.expose().to_owned()
    }

    /// Makes a key that has only these scopes, under a name for scenarios.
    pub(crate) async fn name_key(&mut self, name: &str, dialect: &str, scopes: &[&str]) {
        let scopes = Scopes::Only(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        let secret = self
            .make_key(dialect, &self.app.clone(), None, scopes)
            .await;
        self.keys.insert(name.to_owned(), secret);
    }

    /// The key of that name.
    pub(crate) fn key(&self, name: &str) -> &str {
        self.keys
            .get(name)
            .unwrap_or_else(|| panic!("there is no key `{name}`"))
    }

    /// `text` with every `{key}` replaced.
    pub(crate) fn fill_in(&self, text: &str) -> String {
        let replace = |text: String, (name, key): (&String, &String)| {
            text.replace(&format!("{{{name}}}"), key)
        };
        self.keys.iter().fold(text.to_owned(), replace)
    }

    /// Waits until nothing is being answered any more.
    pub(crate) async fn settle(&self) {
        self.service.tasks().idle().await;
    }

    /// Sends a request and gives the answer as it comes.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }
}

fn service(
    store: &Arc<dyn Store>,
    model: Arc<dyn Model>,
    clock: &Arc<ManualClock>,
    seed: [u8; 32],
    settings: Settings,
) -> Service {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    let ids = Arc::new(IdSource::new(Arc::clone(&clock), seed));
    let (store, tasks) = (Arc::clone(store), Tasks::default());
    Service::new(
        Ports {
            store,
            model,
            clock,
            ids,
            tasks,
            notary: notary(),
        },
        settings,
    )
}

async fn create_project(service: &Service, name: &str) -> Project {
    service
        .create_project(name)
        .await
        .expect("the store answers")
        .expect("the name is free")
}

async fn create_app(service: &Service, project: &Project, name: &str, mode: AppMode) -> App {
    let made = service.create_app(project.id, name, mode, None, None).await;
    made.expect("the store answers").expect("the name is free")
}
