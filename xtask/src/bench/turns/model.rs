//! A model's server that does nothing but write what it has ready, so that what is measured is not its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The head of every answer.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    transfer-encoding: chunked\r\n\r\n";
/// What comes after the words: how many they were, and the end.
const TAIL: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
    \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\
    \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9,\"total_tokens\":18}}\n\n\
    data: [DONE]\n\n";
/// One word.
const WORD: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
    \"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";

/// The server, in a thread of its own until the process ends.
pub(super) struct Model {
    pub(super) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// Words of an answer.
    words: AtomicUsize,
    /// Answers that have begun.
    begun: AtomicUsize,
    /// Whether answers pause after their first word.
    holds: watch::Sender<bool>,
}

impl Model {
    /// Begins to listen.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("could not listen")?;
        let address = listener.local_addr().context("no address")?.to_string();
        listener
            .set_nonblocking(true)
            .context("could not set a socket")?;
        let shared = Arc::new(Shared {
            words: AtomicUsize::new(1),
            begun: AtomicUsize::new(0),
            holds: watch::Sender::new(false),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || serve(listener, served));
        Ok(Self { address, shared })
    }

    /// From here on answers have so many words.
    pub(super) fn say(&self, words: usize) {
        self.shared.words.store(words, Ordering::SeqCst);
    }

    /// Whether answers pause after their first word.
    pub(super) fn hold(&self, holds: bool) {
        self.shared.holds.send_replace(holds);
    }

    /// How many answers have begun.
    pub(super) fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::SeqCst)
    }
}

fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .context("could not start the model's runtime")?
        .block_on(async move {
            let listener = TcpListener::from_std(listener).context("could not listen")?;
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.context("could not accept")?;
                // A client that goes away is the end of its measurement.
                connections.spawn(converse(stream, Arc::clone(&shared)));
            }
        })
}

async fn converse(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    loop {
        read.clear();
        while !is_whole(&read) {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        answer(&mut stream, &shared).await?;
    }
}

async fn answer(stream: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    shared.begun.fetch_add(1, Ordering::SeqCst);
    stream.write_all(HEAD).await?;
    let word = chunk(WORD);
    let mut holds = shared.holds.subscribe();
    for _ in 0..shared.words.load(Ordering::SeqCst) {
        stream.write_all(&word).await?;
        // Whoever holds is told when that changes, or gone with the process.
        drop(holds.wait_for(|holds| !holds).await);
    }
    stream.write_all(&chunk(TAIL)).await?;
    stream.write_all(b"0\r\n\r\n").await
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Whether a request has come to its end.
fn is_whole(read: &[u8]) -> bool {
    let Some(head) = memmem::find(read, b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(read.get(..head).unwrap_or_default()).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok());
    read.len() >= head + 4 + length.unwrap_or(0)
}
