//! The one way in and out: every request of every dialect passes here, is authorised here, answered,
//! logged and counted here.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use metrics::{Counter, Histogram};
use parlance_domain::fault::{Chain, CredentialProblem};
use parlance_domain::service::Access;
use parlance_domain::{Error, Fault, Id, ReceiptId, Service, TurnId};
use tokio::time::Instant;

use super::route::{Call, Handler, Params, Query, Route};
use super::{Context, Entry, Failure, HttpOptions, Reply, body};

/// Most bytes that are read of a body that comes without a usable key.
const STRANGERS_BODY_BYTES_MAX: usize = 64 << 10;

/// Longest wait for it.
const STRANGERS_BODY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// What every answer to a delete carries: `er_...; salt=...`.
const RECEIPT_HEADER: HeaderName = HeaderName::from_static("parlance-erasure-receipt");

/// What all routes of a dialect share.
pub(super) struct Mounted {
    pub(super) entry: &'static Entry,
    pub(super) service: Service,
    pub(super) options: Arc<HttpOptions>,
}

/// A route with its meters.
pub(super) struct Endpoint {
    pub(super) mounted: Arc<Mounted>,
    pub(super) route: Route,
    pub(super) meter: Meter,
}

/// Counts and times the requests of one operation.
pub(super) struct Meter {
    dialect: &'static str,
    operation: &'static str,
    seconds: OnceLock<Histogram>,
    answered: [OnceLock<Counter>; STATUSES.len()],
}

/// The statuses that are counted apart; all others are counted as `other`.
const STATUSES: [(u16, &str); 19] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (412, "412"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (0, "other"),
];

impl Meter {
    pub(super) const fn new(dialect: &'static str, operation: &'static str) -> Self {
        let answered = [const { OnceLock::new() }; STATUSES.len()];
        Self {
            dialect,
            operation,
            seconds: OnceLock::new(),
            answered,
        }
    }

    fn record(&self, status: StatusCode, since: Instant) {
        let (dialect, operation) = (self.dialect, self.operation);
        let seconds = self.seconds.get_or_init(|| {
            metrics::histogram!("parlance_request_seconds", "dialect" => dialect, "operation" => operation)
        });
        seconds.record(since.elapsed().as_secs_f64());
        let at = STATUSES
            .iter()
            .position(|(code, _)| *code == status.as_u16());
        let at = at.unwrap_or(STATUSES.len() - 1);
        if let (Some(counter), Some((_, status))) = (self.answered.get(at), STATUSES.get(at)) {
            let counter = counter.get_or_init(|| {
                metrics::counter!("parlance_requests_total",
                    "dialect" => dialect, "operation" => operation, "status" => *status)
            });
            counter.increment(1);
        }
    }
}

impl Endpoint {
    /// Answers one request. Without parameters if its path is no text in UTF-8: such a path names
    /// nothing.
    pub(super) async fn answer(&self, params: Option<Params>, request: Request) -> Response {
        let Some(params) = params else {
            return self.mounted.refuse(Fault::NoSuchRoute, request).await;
        };
        let since = Instant::now();
        let context = self.mounted.context(params, &request);
        let handled = AssertUnwindSafe(self.handle(Arc::clone(&context), request)).catch_unwind();
        // A panic costs one request. Its own message has been written by the panic hook.
        let reply = handled
            .await
            .unwrap_or_else(|_| Err(Fault::Internal.into()));
        let response = self.mounted.finish(reply, &context, self.route.operation);
        self.meter.record(response.status(), since);
        response
    }

    async fn handle(&self, context: Arc<Context>, request: Request) -> Reply {
        let mounted = &self.mounted;
        let call = match &self.route.handler {
            Handler::Open(handler) => return handler(mounted.service.clone()).await,
            Handler::Keyed(call) => call,
        };
        let access = match self.authorise(request.headers()).await {
            Ok(access) => access,
            Err(error) => return Err(self.refusal(error, &context, request).await),
        };
        let (parts, body) = request.into_parts();
        let body = body::read(&parts.headers, body, &mounted.options).await;
        // What is left of it would be taken for the next request.
        let body = body.inspect_err(|_| context.close_connection())?;
        let query = Query::parse(parts.uri.query());
        let service = mounted.service.clone();
        let access = match context.params.get("app") {
            "" => access,
            name => service.speak_for(access, name).await?,
        };
        call(Call {
            service,
            access,
            context,
            headers: parts.headers,
            query,
            body,
        })
        .await
    }

    /// What a request without a usable key is told: that, unless the vendor looks at bodies first
    /// and finds this one wrong. Of a stranger's body only a little is read.
    async fn refusal(&self, error: Error, context: &Context, request: Request) -> Failure {
        let is_stranger = matches!(error.fault, Fault::Unauthenticated(_));
        let Some(check) = self.route.before_key.filter(|_| is_stranger) else {
            context.drain(request).await;
            return error.into();
        };
        let mut options = HttpOptions::clone(&self.mounted.options);
        options.body_bytes_max = options.body_bytes_max.min(STRANGERS_BODY_BYTES_MAX);
        options.body_pause_max = options.body_pause_max.min(STRANGERS_BODY_PAUSE_MAX);
        let (parts, body) = request.into_parts();
        let Ok(body) = body::read(&parts.headers, body, &options).await else {
            context.close_connection();
            return error.into();
        };
        check(&parts.headers, &body).map_or_else(|failure| failure, |()| error.into())
    }

    async fn authorise(&self, headers: &HeaderMap) -> Result<Arc<Access>, Error> {
        let problem = |problem| Error::from(Fault::Unauthenticated(problem));
        let entry = self.mounted.entry;
        let key = (entry.credential)(headers).map_err(problem)?;
        let key = key.ok_or_else(|| problem(CredentialProblem::Missing))?;
        let access = self.mounted.service.authenticate(key).await?;
        if access.key.dialect != entry.name {
            return Err(problem(CredentialProblem::Unknown));
        }
        match self
            .route
            .scopes
            .iter()
            .find(|scope| !access.key.scopes.allow(scope))
        {
            Some(scope) => Err(Fault::Forbidden { scope }.into()),
            None => Ok(access),
        }
    }
}

impl Context {
    /// The connection cannot be used again: something of the request is still to come.
    fn close_connection(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Reads a body that nobody will look at, so that the connection can be used again.
    async fn drain(&self, request: Request) {
        if !body::drain(request.into_body()).await {
            self.close_connection();
        }
    }
}

impl Mounted {
    pub(super) fn context(&self, params: Params, request: &Request) -> Arc<Context> {
        let uri = request.extensions().get::<axum::extract::OriginalUri>();
        let path = uri.map_or_else(|| request.uri().path(), |uri| uri.0.path());
        Arc::new(Context {
            request: self.service.new_id::<TurnId>().bits(),
            at: self.service.now(),
            method: request.method().clone(),
            path: path.to_owned(),
            params,
            receipt: OnceLock::new(),
            closing: AtomicBool::new(false),
        })
    }

    /// A fault outside every route, in the dialect's words.
    pub(super) async fn refuse(&self, fault: Fault, request: Request) -> Response {
        let context = self.context(Params::default(), &request);
        context.drain(request).await;
        self.finish(Err(fault.into()), &context, "none")
    }

    fn finish(&self, reply: Reply, context: &Context, operation: &'static str) -> Response {
        let request_id = format!("req_{:032x}", context.request);
        let mut response = match reply {
            Ok(response) => response,
            Err(Failure::Answer(response)) => *response,
            Err(Failure::Error(error)) => {
                let response = (self.entry.render)(&error.fault, context);
                if response.status().is_server_error() {
                    self.report(&error, &request_id, operation);
                }
                response
            }
        };
        (self.entry.decorate)(&mut response, context);
        tracing::debug!(
            request.id = %request_id,
            request.dialect = self.entry.name,
            request.operation = operation,
            response.status = response.status().as_u16(),
            "answered a request"
        );
        if let Some(receipt) = context.receipt.get() {
            self.add_receipt(&mut response, *receipt);
        }
        if context.closing.load(Ordering::Relaxed) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::try_from(request_id) {
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-request-id"), id);
        }
        response
    }

    /// Names the receipt, with the salt that nobody else is given.
    fn add_receipt(&self, response: &mut Response, receipt: ReceiptId) {
        let salt = self.service.receipt_salt(receipt);
        let text = format!("{}; salt={}", receipt.text(), salt.expose());
        if let Ok(mut value) = HeaderValue::try_from(text) {
            value.set_sensitive(true);
            response.headers_mut().insert(RECEIPT_HEADER, value);
        }
    }

    fn report(&self, error: &Error, request_id: &str, operation: &'static str) {
        tracing::error!(
            request.id = %request_id,
            request.dialect = self.entry.name,
            request.operation = operation,
            error = %Chain(error),
            "could not answer a request"
        );
    }
}

/// The filter that axum wants for a method.
pub(super) fn filter(method: &Method) -> axum::routing::MethodFilter {
    use axum::routing::MethodFilter;
    match *method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}
