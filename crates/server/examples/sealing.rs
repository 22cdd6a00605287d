//! All dialects over a store that seals what it keeps, or over one that does not. The shipped server
//! cannot do the latter; `cargo xtask bench` measures with this what sealing costs.
//!
//! `sealing sealed|clear FOLDER`: serves on a free port, and prints its address and a key for OpenAI.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parlance_dialects::HttpOptions;
use parlance_domain::service::{NewKey, Ports};
use parlance_domain::tasks::Tasks;
use parlance_domain::{
    AppMode, Clock, IdSource, Notary, Scopes, Service, Settings, Store, SystemClock, Timestamp,
};
use parlance_store::{Keys, Options, Sqlite};
use parlance_upstream::Echo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often the server looks for receipts to sign and rows to sweep.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// What the server leaves to requests between two steps of that.
const SETTLE_PAUSE: Duration = Duration::from_millis(40);
const NAME: &str = "default";

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (keys, folder) = match words.as_slice() {
        ["sealed", folder] => (Options::default().keys, folder),
        ["clear", folder] => (Keys::None { hashing: [7; 32] }, folder),
        _ => bail!("`sealing sealed|clear FOLDER`"),
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // As many as the server takes.
        .worker_threads((cores / 2).max(1))
        .enable_all()
        .build();
    let options = Options {
        keys,
        ..Options::default()
    };
    runtime
        .context("could not start the runtime")?
        .block_on(serve(Path::new(folder), options))
}

/// Serves until it is killed.
async fn serve(folder: &Path, options: Options) -> anyhow::Result<()> {
    let store = Arc::new(Sqlite::open(folder, options).context("could not open the store")?);
    let service = service(&store)?;
    let key = key(&service).await?;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(local).await.context("could not listen")?;
    let address = listener.local_addr().context("no address")?;
    writeln!(std::io::stdout(), "{address} {key}").context("nobody reads the address")?;
    let router = parlance_dialects::mount(
        &service,
        HttpOptions {
            body_bytes_max: 16 << 20,
            body_pause_max: Duration::from_secs(30),
            cors_origins: Vec::new(),
        },
    );
    let mut running = JoinSet::new();
    running.spawn(settle(service, store));
    running.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(converse(stream, router.clone()));
        }
    });
    drop(running.join_next().await);
    bail!("stopped")
}

fn service(store: &Arc<Sqlite>) -> anyhow::Result<Service> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let port: Arc<dyn Store> = Arc::<Sqlite>::clone(store);
    let (salting, signing) = (
        store.secret("receipt salt"),
        store.secret("receipt signing"),
    );
    let notary = Notary::new(&salting, &signing, "").context("could not make a key")?;
    let ports = Ports {
        store: port,
        model: Arc::new(Echo),
        clock: Arc::clone(&clock),
        ids: Arc::new(IdSource::new(clock, [3; 32])),
        tasks: Tasks::default(),
        notary: Arc::new(notary),
    };
    Ok(Service::new(ports, Settings::default()))
}

/// A key for OpenAI, with what it needs.
async fn key(service: &Service) -> anyhow::Result<String> {
    let project = service.create_project(NAME).await?.context("not empty")?;
    let mode = AppMode::AdvancedChat;
    let app = service
        .create_app(project.id, NAME, mode, None, None)
        .await?;
    let new = NewKey {
        project: project.id,
        app: app.context("not empty")?.id,
        dialect: "openai".to_owned(),
        prefix: "sk-",
        scopes: Scopes::All,
        user: None,
    };
    let made = service.create_key(new).await?;
    Ok(made.secret.expose().to_owned())
}

/// What the server does beside requests after deletes; ends when it fails.
async fn settle(service: Service, store: Arc<Sqlite>) {
    while let Ok(swept) = store.sweep(Timestamp::default()).await {
        let signed = service.sign_some_receipts().await.unwrap_or(0);
        let pause = if swept || signed > 0 {
            SETTLE_PAUSE
        } else {
            SETTLE_EVERY
        };
        tokio::time::sleep(pause).await;
    }
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
