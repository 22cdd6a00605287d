//! The one client that all models' servers are asked with.

use std::sync::Arc;
use std::time::Duration;

use parlance_domain::upstream::ModelError;
use parlance_domain::{Clock, IdSource};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::Patience;
use super::body::Body;
use super::failure::{self, Cause};
use super::retry;

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause before one asks again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Most bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Asks models' servers: HTTP/1.1, connections that are kept, TLS where the URL says so. Cloned freely; all
/// clones are one.
#[derive(Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<IdSource>,
    retry_pause: Duration,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The system has no certificates of authorities.
    #[error(
        "no certificates of authorities were found: install your system's `ca-certificates`, or set \
         `SSL_CERT_FILE`"
    )]
    NoAuthorities(#[source] rustls::Error),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
    /// The client could not be set up.
    #[error("the HTTP client could not be set up")]
    Http(#[from] reqwest::Error),
}

impl Client {
    /// A client. `encrypts` says whether any server is asked over TLS, which needs the system's
    /// certificates. Proxies of the environment are not used: content goes where it is configured to go.
    pub fn new(
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
        encrypts: bool,
    ) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(encrypts)?)
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            // A key goes to the server that it is for, and to no other.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("parlance/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            clock,
            ids,
            retry_pause: RETRY_PAUSE,
        })
    }

    /// The same, with another first pause before it asks again.
    #[cfg(test)]
    pub(super) fn retrying_after(mut self, pause: Duration) -> Self {
        self.retry_pause = pause;
        self
    }

    /// Asks until there is an answer that `is_answer`, or asking again is of no use. `request` is made
    /// anew each time.
    pub(super) async fn ask(
        &self,
        patience: Patience,
        request: impl Fn() -> RequestBuilder,
        is_answer: impl Fn(u16) -> bool,
    ) -> Result<Response, ModelError> {
        let mut count = 0;
        loop {
            let sent = tokio::time::timeout(patience.first_byte, request().send()).await;
            let sent = sent.map_err(|_| ModelError::Silent(patience.first_byte))?;
            let (error, retry_after) = match sent {
                Ok(response) => {
                    let status = response.status().as_u16();
                    if is_answer(status) {
                        return Ok(response);
                    }
                    let retry_after = retry::retry_after(response.headers(), self.clock.now());
                    let error = self.refusal(response, retry_after, patience).await;
                    if !retry::can_help(status) {
                        return Err(error);
                    }
                    (error, retry_after)
                }
                Err(error) if error.is_builder() => return Err(Cause::Unwritable.into()),
                Err(error) => (failure::connection(error), None),
            };
            let pause = retry::pause(self.retry_pause, count, retry_after, &self.ids);
            let Some(pause) = pause.filter(|_| count < retry::RETRIES_MAX) else {
                return Err(error);
            };
            count += 1;
            tracing::debug!(count, error = %error, "the model's server is asked again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn refusal(
        &self,
        response: Response,
        retry_after: Option<Duration>,
        patience: Patience,
    ) -> ModelError {
        let status = response.status().as_u16();
        let body = Body::new(response, patience).whole(REFUSAL_BYTES_MAX).await;
        // A refusal whose words do not come is a refusal.
        failure::of_status(status, retry_after, &body.unwrap_or_default())
    }
}

/// TLS on ring, which trusts whom the system trusts.
fn tls(encrypts: bool) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    if !encrypts {
        // Nobody is trusted, and nobody is asked.
        return Ok(builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth());
    }
    let verifier = Verifier::new(provider).map_err(ClientError::NoAuthorities)?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// The `content-type` of an answer.
pub(super) fn content_type(response: &Response) -> Option<&str> {
    response.headers().get(CONTENT_TYPE)?.to_str().ok()
}
