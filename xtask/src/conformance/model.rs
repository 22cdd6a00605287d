//! The scripted model behind the server under test.

use anyhow::Context;
use parlance_model_server::ModelServer;
use tokio::runtime::{Builder, Runtime};

/// The name of the model, which scripts know.
pub(super) const NAME: &str = "scripted";

/// A model server that answers as scripts tell it, as long as this lives.
pub(super) struct Model {
    url: String,
    // Dropped before the runtime that it runs in.
    _server: ModelServer,
    _runtime: Runtime,
}

impl Model {
    /// Starts one on a free port.
    pub(super) fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("could not start the model server's runtime")?;
        let server = runtime.block_on(ModelServer::start_on(0));
        let server = server.context("could not start the model server")?;
        Ok(Self {
            url: server.url(),
            _server: server,
            _runtime: runtime,
        })
    }

    /// `http://host:port`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}
