//! `parlance serve`: from an empty directory to the last answered request.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use hyper::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use parlance_domain::fault::Chain;
use parlance_domain::{Clock, Service, Store, SystemClock};
#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::control::{Control, Upkeep};
use crate::data_dir::DataDir;
use crate::retention::Keeper;
use crate::wiring::{Asking, Wired, wire};
use crate::{background, bootstrap, http, receipts, telemetry};

/// Serves until it is told to stop.
pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    config.check_keys()?;
    let dir = DataDir::create(&config.data)?;
    let Some(_lock) = dir.lock()? else {
        bail!("another process is using `{}`", dir.path().display());
    };
    forbid_core_dumps()?;
    let metrics = telemetry::start_metrics()?;
    let Wired {
        service,
        store,
        tasks,
    } = wire(&config, &dir, Asking::Models)?;
    recover(&*store).await?;
    if config.keyring.rekey_strict {
        // Whatever is said of deletes from here on must hold for those that a crash has left, too.
        let renewed = service.renew_root().await;
        renewed.context("could not renew the root key, as `keyring.rekey_strict` asks for")?;
    }
    let listener = TcpListener::bind(&config.listen)
        .await
        .with_context(|| format!("could not listen on `{}`", config.listen))?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let upkeep = Upkeep {
        store: Arc::clone(&store),
        stopping: tasks.stopping(),
    };
    let control = Control::start(&dir, (service.clone(), upkeep), &config.project, &tasks)?;
    let base = format!("http://{address}");
    if let Some(text) = bootstrap::bootstrap(&service, &base).await? {
        // Directly, never through the logger: keys are in it.
        io::stdout()
            .write_all(text.as_bytes())
            .context("could not show the new keys")?;
    }
    let keeper = Keeper::new(&service, &config.retention).await?;
    let rekey_every = config.keyring.rekey_every();
    background::start(
        (&tasks, &service),
        &store,
        keeper,
        rekey_every,
        metrics.clone(),
    );
    // Before it is said that the server listens: whoever reads that may tell it to stop.
    let stopping = on_signal()?;
    tracing::info!(
        listen = %address,
        data = %dir.path().display(),
        "listening on {base}; {}",
        which_model(&config)?
    );
    let router = router(service, config.http.options(), metrics);
    http::serve(listener, router, &config.http, stopping).await?;
    let limit = Duration::from_secs(config.http.shutdown_timeout_s);
    if tokio::time::timeout(limit, tasks.shut_down())
        .await
        .is_err()
    {
        tracing::warn!("stopped before all background work was done");
    }
    control.close();
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Which model answers, for the log.
fn which_model(config: &Config) -> anyhow::Result<String> {
    let name = config.default_model();
    let servers = config.servers()?;
    let found = servers.iter().find(|(info, _)| info.name == name);
    let mut text = match found {
        Some((_, server)) => format!("the model is `{name}` at {}", server.url),
        None => {
            "the model is `echo`, which is built in, repeats what it is told, and is not a model"
                .to_owned()
        }
    };
    let others = servers.iter().filter(|(info, _)| info.name != name);
    let others: Vec<String> = others.map(|(info, _)| format!("`{}`", info.name)).collect();
    if !others.is_empty() {
        text.extend(["; by name also ", &others.join(", ")]);
    }
    Ok(text)
}

/// Keys and content are in memory; no dump of it may come to a file, nor another process read it.
fn forbid_core_dumps() -> anyhow::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("could not forbid core dumps")?;
    #[cfg(target_os = "linux")]
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("could not forbid core dumps")?;
    Ok(())
}

/// Brings the store to order before anything is served.
async fn recover(store: &dyn Store) -> anyhow::Result<()> {
    let interrupted = store.fail_running_turns(SystemClock.now()).await;
    let interrupted = interrupted.context("could not recover the store")?;
    if interrupted > 0 {
        tracing::warn!(
            turns = interrupted,
            "{interrupted} turns were interrupted and have failed"
        );
    }
    Ok(())
}

/// Done at the first SIGTERM or SIGINT.
fn on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("could not wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not wait for SIGINT")?;
    let (stopping, told) = (CancellationToken::new(), CancellationToken::new());
    let stop = stopping.clone();
    let wait = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop: finishing the requests that are running");
        stop.cancel();
        drop(told);
    };
    // Outlives `Tasks`: nothing has to wait for it at the end.
    tokio_util::task::TaskTracker::new().spawn(wait);
    Ok(stopping)
}

#[derive(Clone)]
struct Operators {
    service: Service,
    metrics: PrometheusHandle,
}

/// All dialects, receipts, and what operators ask.
fn router(
    service: Service,
    options: parlance_dialects::HttpOptions,
    metrics: PrometheusHandle,
) -> Router {
    let dialects = parlance_dialects::mount(&service, options);
    let receipts = receipts::router(service.clone());
    let operators = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(async |State(operators): State<Operators>| operators.metrics.render()),
        )
        .with_state(Operators { service, metrics });
    // Said plainly, so that nobody takes a dialect's 404 for a wrong address.
    let later = [
        "/admin",
        "/admin/",
        "/admin/{*rest}",
        "/console",
        "/console/",
        "/console/{*rest}",
    ];
    let later = later.into_iter().fold(Router::new(), |router, path| {
        router.route(path, any(not_yet))
    });
    operators.merge(later).merge(receipts).merge(dialects)
}

async fn not_yet() -> impl IntoResponse {
    let body = "{\"error\":\"the admin API and the console are not in this version\"}\n";
    (
        StatusCode::NOT_IMPLEMENTED,
        [(header::CONTENT_TYPE, "application/json")],
        body,
    )
}

async fn ready(State(operators): State<Operators>) -> impl IntoResponse {
    match operators.service.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    }
}
