//! What clients do while they are measured.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::http::{Client, find, request};

/// A way of using a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    /// `GET /` of the bare server.
    Hello,
    /// Make a conversation, delete it.
    CreateDelete,
    /// Make a conversation, add an item, list its items, delete it.
    CreateAddListDelete,
    /// `CreateDelete`, over a store that seals, with nothing else of the server around it.
    Sealed,
    /// The same, over one that does not seal: what the one before it is to be compared with.
    Clear,
}

impl Load {
    pub(super) const ALL: &[Self] = &[
        Self::Hello,
        Self::CreateDelete,
        Self::CreateAddListDelete,
        Self::Sealed,
        Self::Clear,
    ];

    /// Its name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::CreateDelete => "create+delete",
            Self::CreateAddListDelete => "create+add+list+delete",
            Self::Sealed => "create+delete, sealed, bare",
            Self::Clear => "create+delete, in the clear, bare",
        }
    }
}

/// What one measurement has counted.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    /// How long each delete took.
    pub(super) deletes: Vec<Duration>,
}

/// Lets `connections` clients do this for so long.
pub(super) async fn run(
    load: Load,
    address: &str,
    key: &str,
    connections: usize,
    length: Duration,
) -> anyhow::Result<Sample> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let requests = Requests::new(address, key);
        let client = Client::connect(address).await?;
        clients.spawn(converse(client, requests, load, length));
    }
    let since = Instant::now();
    let mut requests: u32 = 0;
    let mut sample = Sample::default();
    while let Some(done) = clients.join_next().await {
        let (sent, deletes) = done.context("a client broke off")??;
        requests += sent;
        sample.deletes.extend(deletes);
    }
    sample.requests_per_second = f64::from(requests) / since.elapsed().as_secs_f64();
    Ok(sample)
}

async fn converse(
    mut client: Client,
    mut requests: Requests,
    load: Load,
    length: Duration,
) -> anyhow::Result<(u32, Vec<Duration>)> {
    let end = Instant::now() + length;
    let (mut sent, mut deletes) = (0, Vec::new());
    while Instant::now() < end {
        if load == Load::Hello {
            client.call(&requests.hello).await?;
            sent += 1;
            continue;
        }
        let made = client.call(&requests.create).await?;
        requests.name(made)?;
        if load == Load::CreateAddListDelete {
            client.call(&requests.add).await?;
            client.call(&requests.list).await?;
            sent += 2;
        }
        let since = Instant::now();
        client.call(&requests.delete).await?;
        deletes.push(since.elapsed());
        sent += 2;
    }
    Ok((sent, deletes))
}

/// Stands where a conversation's id will be.
const PLACE: &str = "conv_00000000000000000000000000000000";
/// What comes before an id in an answer.
const BEFORE_ID: &[u8] = b"\"id\":\"";

/// The requests of one client, ready to be sent.
struct Requests {
    hello: Vec<u8>,
    create: Vec<u8>,
    add: Vec<u8>,
    list: Vec<u8>,
    delete: Vec<u8>,
}

impl Requests {
    fn new(address: &str, key: &str) -> Self {
        let request = |method, path: &str, body| request(address, key, method, path, body);
        let item = r#"{"items":[{"type":"message","role":"user","content":"What is the capital of France?"}]}"#;
        let conversations = "/openai/v1/conversations";
        let (one, its) = (
            format!("{conversations}/{PLACE}"),
            format!("{conversations}/{PLACE}/items"),
        );
        Self {
            hello: b"GET / HTTP/1.1\r\nhost: hello\r\n\r\n".to_vec(),
            create: request(
                "POST",
                conversations,
                r#"{"metadata":{"topic":"geography"}}"#,
            ),
            add: request("POST", &its, item),
            list: request("GET", &its, ""),
            delete: request("DELETE", &one, ""),
        }
    }

    /// Puts the id of the conversation that was just made into the requests about it.
    fn name(&mut self, made: &[u8]) -> anyhow::Result<()> {
        let at = find(made, BEFORE_ID).context("a conversation has no id")? + BEFORE_ID.len();
        let id = made
            .get(at..at + PLACE.len())
            .context("an id is too short")?;
        for request in [&mut self.add, &mut self.list, &mut self.delete] {
            let at = find(request, b"conv_").context("a request without place")?;
            let place = request
                .get_mut(at..at + PLACE.len())
                .context("a request without place")?;
            place.copy_from_slice(id);
        }
        Ok(())
    }
}
