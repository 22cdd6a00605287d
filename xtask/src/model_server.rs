//! The scripted model server alone, for SDKs and measurements: says its URL on standard output.

use anyhow::{Context, bail};
use parlance_model_server::ModelServer;

use crate::tools::say;

/// Serves until it is killed.
pub(crate) fn command(words: &[&str]) -> anyhow::Result<bool> {
    let port = match words {
        [] => 0,
        ["--port", port] => port.parse().context("a port is a number up to 65535")?,
        _ => bail!("write `cargo xtask model-server [--port N]`"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("could not start the runtime")?;
    runtime.block_on(async {
        let server = ModelServer::start_on(port).await;
        let server = server.context("could not listen")?;
        say(&format!("{}\n", server.url()));
        server.serve().await;
        Ok(true)
    })
}
