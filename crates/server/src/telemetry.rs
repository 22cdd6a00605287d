//! Logs and metrics. Logs go to standard error and hold no content, credential, user or query.

use std::io::{self, Write};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Upper ends of the buckets of request times, in seconds.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper ends of the buckets of batch sizes.
const BATCHES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Sends logs to standard error.
pub(crate) fn start_logging(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("`log.filter` cannot be read: `{}`", log.filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Where standard error is closed a line is lost. To complain about that there would panic, in the
        // middle of whatever was to be logged.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("could not start logging: {error}"))
}

/// Counts and times from here on; the handle renders them.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    use metrics_exporter_prometheus::Matcher::Full;
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Full("parlance_request_seconds".to_owned()), SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Full("parlance_store_batch_size".to_owned()), BATCHES)
        });
    let handle = builder.and_then(PrometheusBuilder::install_recorder);
    let handle = handle.context("could not start metrics")?;
    metrics::describe_counter!("parlance_requests_total", "Requests answered");
    metrics::describe_histogram!("parlance_request_seconds", "Time to the answer's head");
    metrics::describe_histogram!("parlance_store_batch_size", "Batches committed together");
    Ok(handle)
}

/// Says something on standard error, past the log: for a command's user.
pub(crate) fn complain(message: &str) {
    // There is nobody left to tell when standard error is gone.
    drop(writeln!(io::stderr(), "{message}"));
}
