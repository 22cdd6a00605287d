//! All dialects on one port: each under paths of its own, and together at the root, where the
//! credential decides who answers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use axum::routing;
use http::{HeaderMap, HeaderValue};
use parlance_domain::{Fault, Service};
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::dispatch::{Endpoint, Meter, Mounted, filter};
use super::route::{Params, Route};
use super::{Entry, HttpOptions};
use crate::DIALECTS;

/// The routes of all dialects.
pub fn mount(service: &Service, options: HttpOptions) -> Router {
    let cors = cors(&options.cors_origins);
    let options = Arc::new(options);
    let mut all = Router::new();
    let mut root = Root {
        service: service.clone(),
        speakers: Vec::new(),
    };
    for entry in DIALECTS {
        let mounted = Mounted {
            entry,
            service: service.clone(),
            options: Arc::clone(&options),
        };
        let routes = (entry.routes)();
        let mounted = Arc::new(mounted);
        for prefix in entry.mounts {
            all = all.nest(prefix, router(&mounted, &routes));
        }
        root.speakers.push(Speaker {
            entry,
            router: router(&mounted, &routes),
            routes,
        });
    }
    let all = all.fallback(answer_at_root).with_state(Arc::new(root));
    match cors {
        Some(cors) => all.layer(cors),
        None => all,
    }
}

/// One dialect's routes, with its own words for what is not there.
fn router<S: Clone + Send + Sync + 'static>(mounted: &Arc<Mounted>, routes: &[Route]) -> Router<S> {
    let mut router = Router::new();
    for route in routes {
        let endpoint = Arc::new(Endpoint {
            mounted: Arc::clone(mounted),
            route: route.clone(),
            meter: Meter::new(mounted.entry.name, route.operation),
        });
        let handler = move |params: Result<RawPathParams, _>, request: Request| {
            let endpoint = Arc::clone(&endpoint);
            let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let params = params.map(|params: RawPathParams| params.iter().map(own).collect());
            async move { endpoint.answer(params.ok().map(Params), request).await }
        };
        router = router.route(route.path, routing::on(filter(&route.method), handler));
    }
    let (missing, wrong) = (Arc::clone(mounted), Arc::clone(mounted));
    router
        .fallback(async move |request: Request| missing.refuse(Fault::NoSuchRoute, request).await)
        .method_not_allowed_fallback(async move |request: Request| {
            wrong.refuse(Fault::MethodNotAllowed, request).await
        })
}

/// A router of these routes alone.
#[cfg(test)]
pub(super) fn router_of(entry: &'static Entry, service: &Service, routes: &[Route]) -> Router {
    let (service, options) = (service.clone(), Arc::default());
    router(
        &Arc::new(Mounted {
            entry,
            service,
            options,
        }),
        routes,
    )
}

/// What is needed to tell whom a request at the root is for.
struct Root {
    service: Service,
    speakers: Vec<Speaker>,
}

struct Speaker {
    entry: &'static Entry,
    routes: Vec<Route>,
    router: Router,
}

async fn answer_at_root(State(root): State<Arc<Root>>, request: Request) -> Response {
    let Some(speaker) = root.speaker(request.uri().path(), request.headers()).await else {
        return super::reply::empty(http::StatusCode::NOT_FOUND);
    };
    match speaker.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Root {
    /// Who answers: the credential's dialect, else that of its prefix, else the only one that has the
    /// path, else the first.
    async fn speaker(&self, path: &str, headers: &HeaderMap) -> Option<&Speaker> {
        let named = |name: &str| {
            self.speakers
                .iter()
                .find(|speaker| speaker.entry.name == name)
        };
        for speaker in &self.speakers {
            let Ok(Some(key)) = (speaker.entry.credential)(headers) else {
                continue;
            };
            if let Ok(access) = self.service.authenticate(key).await {
                return named(&access.key.dialect);
            }
            let looks = |speaker: &&Speaker| key.starts_with(speaker.entry.key_prefix);
            if let Some(speaker) = self.speakers.iter().find(looks) {
                return Some(speaker);
            }
        }
        let has = |speaker: &&Speaker| speaker.routes.iter().any(|route| route.has_path(path));
        let claims = |speaker: &&Speaker| {
            let first = path.split('/').nth(1).unwrap_or_default();
            speaker.entry.root.contains(&first)
        };
        only(self.speakers.iter().filter(has))
            .or_else(|| only(self.speakers.iter().filter(claims)))
            .or_else(|| self.speakers.first())
    }
}

/// The element, if there is exactly one.
fn only<T>(mut elements: impl Iterator<Item = T>) -> Option<T> {
    let first = elements.next()?;
    elements.next().is_none().then_some(first)
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok()),
        )
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(Any)
        .allow_headers(Any);
    Some(layer.expose_headers(Any))
}
