//! A client that reads an answer piece by piece.

use std::time::Duration;

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::http::request;

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Its server itself.
    Direct,
    /// Through the server, as OpenAI's chat completions.
    Passed,
    /// As OpenAI's responses, stored alone.
    Responses,
    /// As OpenAI's responses, not stored.
    Unstored,
    /// As Dify's chat messages, in a new conversation each.
    Dify,
}

/// Where a way leads, and what opens it.
pub(super) struct Ends<'a> {
    pub(super) model: &'a str,
    pub(super) server: &'a str,
    pub(super) openai: &'a str,
    pub(super) dify: &'a str,
}

impl Way {
    pub(super) const ALL: [Self; 5] = [
        Self::Direct,
        Self::Passed,
        Self::Unstored,
        Self::Responses,
        Self::Dify,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "the model itself",
            Self::Passed => "chat/completions",
            Self::Unstored => "responses, store false",
            Self::Responses => "responses",
            Self::Dify => "chat-messages (Dify)",
        }
    }

    /// The address, and the request ready to be sent.
    pub(super) fn request<'a>(self, ends: &Ends<'a>) -> (&'a str, Vec<u8>) {
        const CHAT: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"What is the capital of France?"}]}"#;
        let (address, key, path, body) = match self {
            Self::Direct => (ends.model, "none", "/v1/chat/completions", CHAT),
            Self::Passed => (
                ends.server,
                ends.openai,
                "/openai/v1/chat/completions",
                CHAT,
            ),
            Self::Unstored => (
                ends.server,
                ends.openai,
                "/openai/v1/responses",
                r#"{"model":"m","stream":true,"store":false,"input":"What is the capital of France?"}"#,
            ),
            Self::Responses => (
                ends.server,
                ends.openai,
                "/openai/v1/responses",
                r#"{"model":"m","stream":true,"input":"What is the capital of France?"}"#,
            ),
            Self::Dify => (
                ends.server,
                ends.dify,
                "/dify/v1/chat-messages",
                r#"{"inputs":{},"query":"What is the capital of France?","response_mode":"streaming","user":"u"}"#,
            ),
        };
        (address, request(address, key, "POST", path, body))
    }
}

/// How long an answer took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// Until its first word.
    pub(super) first: Duration,
    /// Until its end.
    pub(super) whole: Duration,
}

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.context("could not connect")?;
        stream.set_nodelay(true).context("could not set a socket")?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(4 << 10),
        })
    }

    /// Asks, and reads to the end.
    pub(super) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Times> {
        let since = Instant::now();
        self.begin(request).await?;
        let first = since.elapsed();
        while !self.read.ends_with(b"\r\n0\r\n\r\n") {
            // Nothing of it is needed any more but how it ends.
            let keep = self.read.len().saturating_sub(8);
            self.read.drain(..keep);
            self.more().await?;
        }
        Ok(Times {
            first,
            whole: since.elapsed(),
        })
    }

    /// Asks, and reads to the first word.
    pub(super) async fn begin(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.read.clear();
        self.stream
            .write_all(request)
            .await
            .context("could not ask")?;
        let word = memmem::Finder::new(b"\" word\"");
        while word.find(&self.read).is_none() {
            self.more().await?;
        }
        if !self.read.starts_with(b"HTTP/1.1 200") {
            bail!("an answer is not 200");
        }
        Ok(())
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.read).await;
        if read.context("could not read")? == 0 {
            bail!(
                "an answer broke off: {}",
                String::from_utf8_lossy(&self.read)
            );
        }
        Ok(())
    }
}
