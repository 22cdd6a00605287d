//! What axum can do when there is nothing to do: the same runtime, the same loop around hyper and the
//! same allocator as the server's, and a handler that says hello.

use std::num::NonZeroUsize;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::tools::say;

/// Serves until it is killed.
pub(crate) fn serve(address: &str) -> anyhow::Result<bool> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // As many as the server takes.
        .worker_threads((cores / 2).max(1))
        .enable_all()
        .build();
    runtime
        .context("could not start the runtime")?
        .block_on(listen(address))
}

async fn listen(address: &str) -> anyhow::Result<bool> {
    let listener = TcpListener::bind(address)
        .await
        .context("could not listen")?;
    say(&format!(
        "{}\n",
        listener.local_addr().context("no address")?
    ));
    let router = Router::new().route("/", get(async || "hello\n"));
    let mut connections = JoinSet::new();
    // The server's own loop is a task of the runtime, too.
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(converse(stream, router.clone()));
        }
    });
    drop(accepting.join_next().await);
    Ok(true)
}

async fn converse(stream: TcpStream, router: Router) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    // Clients go away; that is the end of a measurement.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}
