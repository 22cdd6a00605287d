//! The listener: HTTP/1.1 with timeouts that fire, a bound on connections, and an end that lets
//! running requests finish.
//!
//! hyper is driven directly, because `axum::serve` has no timeouts, and the version-sniffing builder
//! of hyper-util waits for the first byte without one. HTTP/2 and TLS are a reverse proxy's business.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parlance_domain::fault::Chain;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::config::Http;
use crate::patience::Patient;

/// File descriptors that are not for connections: files of the store, sockets, logs.
const DESCRIPTORS_KEPT: usize = 64;
/// The pause after the system refused a connection, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stopping`, then lets running requests finish, within the time that is set.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &Http,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(connections_max(settings)));
    let timeouts = Timeouts {
        header: Duration::from_secs(settings.header_timeout_s),
        write: Duration::from_secs(settings.write_timeout_s),
    };
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let Some(slot) = stopping.run_until_cancelled(slot).await else {
            break;
        };
        let slot = slot.context("the connections' bound is gone")?;
        let accepted = match stopping.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => stream,
            Some(Err(error)) => {
                tracing::warn!(error = %Chain(&error), "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, stopping) = (router.clone(), stopping.clone());
        connections.spawn(async move {
            converse(accepted, router, timeouts, stopping).await;
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    let limit = Duration::from_secs(settings.shutdown_timeout_s);
    if tokio::time::timeout(limit, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            requests = connections.len(),
            "stopped before every request was answered"
        );
    }
    Ok(())
}

/// How many connections there can be: as many as are set, if the system gives so many descriptors.
fn connections_max(settings: &Http) -> usize {
    let limits = getrlimit(Resource::Nofile);
    // As many as may be had; if that fails, the present limit holds.
    let raised = Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(_) => limits.current,
    };
    let wanted = settings.connections_max.get();
    let given = current
        .and_then(|current| usize::try_from(current).ok())
        .unwrap_or(usize::MAX);
    let possible = given.saturating_sub(DESCRIPTORS_KEPT).max(1);
    if possible < wanted {
        tracing::warn!(
            connections = possible,
            "the system gives {given} file descriptors, too few for `http.connections_max`"
        );
    }
    wanted.min(possible)
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Timeouts {
    /// To send the head of a request.
    header: Duration,
    /// To take something of an answer.
    write: Duration,
}

/// Answers the requests of one connection.
async fn converse(
    stream: TcpStream,
    router: Router,
    timeouts: Timeouts,
    stopping: CancellationToken,
) {
    // Answers are small and written at once; waiting to fill packets would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.header)
        .serve_connection(TokioIo::new(Patient::new(stream, timeouts.write)), service);
    let mut connection = std::pin::pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        // Clients go away and dawdle; that is worth a look only when looking for it.
        tracing::debug!(error = %Chain(&error), "a connection broke off");
    }
}
