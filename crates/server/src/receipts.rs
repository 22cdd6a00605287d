//! Receipts over HTTP, for whoever has the id: no key is asked for, and nothing personal is in them.
//!
//! Strangers may ask as often as they like, so an answer costs a bounded read, and few are read at once.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::{StatusCode, header};
use parlance_domain::fault::Chain;
use parlance_domain::{ReceiptId, ReceiptRecord, Service};
use tokio::sync::Semaphore;

/// Receipts that are read at once. Others wait; requests with a key have more readers than these.
const READ_AT_ONCE_MAX: usize = 1;
const JSON: &str = "application/json";
const PEM: &str = "application/x-pem-file";

#[derive(Clone)]
struct Asked {
    service: Service,
    reading: Arc<Semaphore>,
}

/// `/receipts/{id}` and `/receipts/key`, and plain errors for all else below `/receipts`.
pub(crate) fn router(service: Service) -> Router {
    Router::new()
        .route("/receipts/key", get(key))
        .route("/receipts/{id}", get(receipt))
        .route("/receipts", any(nothing))
        .route("/receipts/", any(nothing))
        .route("/receipts/{id}/{*rest}", any(nothing))
        .method_not_allowed_fallback(wrong_method)
        .with_state(Asked {
            service,
            reading: Arc::new(Semaphore::new(READ_AT_ONCE_MAX)),
        })
}

async fn key(State(asked): State<Asked>) -> Response {
    answer(StatusCode::OK, PEM, asked.service.receipts_key().pem())
}

async fn receipt(State(asked): State<Asked>, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.ok().and_then(|Path(id)| ReceiptId::parse(&id));
    let Some(id) = id else {
        return nothing().await;
    };
    let Ok(_reading) = asked.reading.acquire().await else {
        return failed();
    };
    match asked.service.receipt(id).await {
        Ok(None) => nothing().await,
        Ok(Some(found)) => show(&found),
        Err(error) => {
            log(&error);
            failed()
        }
    }
}

/// The receipt with its proof; of one that says nothing yet, that alone.
fn show(found: &ReceiptRecord) -> Response {
    let Some(proven) = &found.proven else {
        let (id, state) = (found.entry.id.text(), found.entry.state.name());
        let body = format!("{{\"id\":\"{id}\",\"state\":\"{state}\"}}\n");
        let soon = [(header::RETRY_AFTER, "1")];
        return (soon, answer(StatusCode::OK, JSON, body)).into_response();
    };
    match proven.text() {
        Ok(text) => answer(StatusCode::OK, JSON, format!("{text}\n")),
        Err(error) => {
            log(&error);
            failed()
        }
    }
}

fn log(error: &(dyn std::error::Error + 'static)) {
    tracing::error!(error = %Chain(error), "could not read a receipt");
}

async fn nothing() -> Response {
    refusal(StatusCode::NOT_FOUND, "there is no such receipt")
}

async fn wrong_method() -> Response {
    let message = "receipts can be read, and nothing else";
    refusal(StatusCode::METHOD_NOT_ALLOWED, message)
}

fn failed() -> Response {
    let message = "the receipt cannot be read now";
    refusal(StatusCode::SERVICE_UNAVAILABLE, message)
}

/// An error. The message is one of this page's.
fn refusal(status: StatusCode, message: &str) -> Response {
    answer(status, JSON, format!("{{\"error\":\"{message}\"}}\n"))
}

/// What a receipt says may be more in a moment, so that nothing is kept on the way.
fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}
