//! Compares a restarted server with its clients' journals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use rand::RngExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::canary;
use super::check::check;
use super::control::{Order, Said, Socket};
use super::dialect::{Dialect, Keys, Name};
use super::journal::{Answered, Conversation, Deed, Outcome};
use super::load::{Client, created};
use super::read::{Lists, Reader, Seen};
use super::responses;

/// Share of what nobody has touched that is compared nevertheless.
pub(super) const SAMPLE: f64 = 0.1;
/// Earlier deletes that each client looks for by their ids, beside its newest.
const EARLIER: usize = 2;

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What was touched, and a sample.
    Sample,
    /// All that lives, and a sample of what was deleted.
    Living,
    /// Everything.
    Everything,
}

/// What was compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// Everything that is wrong, in words.
    pub(super) wrong: Vec<String>,
    /// Conversations that were read through all dialects.
    pub(super) compared: u64,
    /// Deleted conversations that were looked for by their ids.
    pub(super) sought: u64,
    /// Creates without an answer that were done.
    pub(super) made: u64,
    /// Turns that were interrupted.
    pub(super) interrupted: u64,
    /// Responses that stand alone and were read.
    pub(super) replies: u64,
}

impl Verdict {
    fn add(&mut self, other: Self) {
        self.wrong.extend(other.wrong);
        self.compared += other.compared;
        self.sought += other.sought;
        self.made += other.made;
        self.interrupted += other.interrupted;
        self.replies += other.replies;
    }
}

/// Compares everything that clients know with what the server has.
pub(super) async fn verify(
    mut clients: Vec<Client>,
    address: &str,
    socket: &Socket,
    depth: Depth,
) -> anyhow::Result<(Vec<Client>, Verdict)> {
    let mut verdict = Verdict::default();
    let keys: BTreeMap<usize, Keys> = clients
        .iter()
        .map(|client| (client.keys.user, client.keys.clone()))
        .collect();
    let mut lists = BTreeMap::new();
    for (user, keys) in &keys {
        let mut reader = Reader::connect(address, keys).await?;
        let found = reader.lists().await?;
        agree(*user, &found, &mut verdict.wrong);
        adopt(*user, &mut clients, &mut reader, &found, &mut verdict).await?;
        responses::adopt(*user, &mut clients, &mut reader, &mut verdict, depth).await?;
        lists.insert(*user, found);
    }
    let lists = Arc::new(lists);
    let mut running = JoinSet::new();
    for client in clients {
        let (address, socket) = (address.to_owned(), socket.clone());
        running.spawn(compare(client, address, socket, Arc::clone(&lists), depth));
    }
    let mut clients = Vec::new();
    while let Some(done) = running.join_next().await {
        let (client, found) = done.context("a comparison broke off")??;
        verdict.add(found);
        clients.push(client);
    }
    clients.sort_by_key(|client| client.number);
    if depth == Depth::Everything {
        verdict.wrong.extend(receipts(&clients, socket).await);
    }
    Ok((clients, verdict))
}

/// Everything that was deleted has a receipt. There may be more of them: an order on the command line that was
/// killed may have erased what nobody knew yet.
async fn receipts(clients: &[Client], socket: &Socket) -> Option<String> {
    let gone = clients.iter().map(|client| {
        let absent = client.alone_responses.absent.iter();
        client.gone.len() + absent.filter(|absent| absent.is_deleted).count()
    });
    let gone: usize = gone.sum();
    match socket.order(&Order::ListReceipts, &Notify::new()).await {
        Said::Done(text) if text.lines().count() >= gone => None,
        Said::Done(text) => {
            let count = text.lines().count();
            Some(format!(
                "{gone} were deleted, and there are {count} receipts"
            ))
        }
        said @ (Said::Refused(_) | Said::Unheard | Said::Unknown) => {
            Some(format!("the list of receipts is answered {said:?}"))
        }
    }
}

/// All dialects list the same, each once.
fn agree(user: usize, lists: &Lists, wrong: &mut Vec<String>) {
    for (dialect, decimal) in &lists.doubled {
        let name = dialect.name();
        wrong.push(format!("user {user}: {name} lists {decimal} twice"));
    }
    let openai = lists.listed.get(&Dialect::OpenAi);
    for (dialect, listed) in &lists.listed {
        let Some(openai) = openai.filter(|openai| *openai != listed) else {
            continue;
        };
        let differ: Vec<&u64> = openai.symmetric_difference(listed).collect();
        let name = dialect.name();
        wrong.push(format!(
            "user {user}: OpenAI and {name} list different conversations: {differ:?}"
        ));
    }
}

/// Finds out whose the conversations are that nobody knows: each must be one that was being made.
async fn adopt(
    user: usize,
    clients: &mut [Client],
    reader: &mut Reader<'_>,
    lists: &Lists,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let theirs = || clients.iter().filter(|client| client.keys.user == user);
    let known = theirs().flat_map(|client| {
        let living = client.conversations.iter().map(|one| one.name.decimal);
        living.chain(client.gone.iter().map(|gone| gone.name.decimal))
    });
    let known: BTreeSet<u64> = known.collect();
    let listed = lists.listed.get(&Dialect::OpenAi);
    let strangers = listed.into_iter().flatten();
    let strangers: Vec<u64> = strangers
        .filter(|decimal| !known.contains(decimal))
        .copied()
        .collect();
    for decimal in strangers {
        let whole = lists.whole.get(&decimal).copied();
        let name = Name { decimal, whole };
        let seen = reader.conversation(name).await?;
        let canaries = canaries(&seen);
        let mut makers = clients
            .iter_mut()
            .filter(|client| client.keys.user == user)
            .filter_map(|client| {
                let made = |(_, deeds): &(Conversation, Vec<Deed>)| wrote(deeds, &canaries);
                let at = client.making.iter().position(made)?;
                Some((client, at))
            });
        let Some((client, at)) = makers.next() else {
            let name = name.prefixed();
            let wrong = format!("user {user}: nobody made {name}, which holds {canaries:?}");
            verdict.wrong.push(wrong);
            continue;
        };
        let (mut made, deeds) = client.making.swap_remove(at);
        made.name = name;
        let begun = Outcome::Broken {
            begun: true,
            ended: false,
        };
        created(&mut made, &deeds, &begun);
        client.conversations.push(made);
        verdict.made += 1;
    }
    for client in clients.iter_mut() {
        if client.keys.user == user {
            // What was not made by now must never appear.
            client.making.clear();
        }
    }
    Ok(())
}

fn canaries(seen: &Seen) -> BTreeSet<String> {
    let [metadata, _] = &seen.metadata;
    let texts = seen.openai.iter().map(|row| row.text.as_str());
    let texts = texts.chain(metadata.values().map(String::as_str));
    texts
        .chain(seen.title.as_deref())
        .filter_map(canary::within)
        .map(str::to_owned)
        .collect()
}

fn wrote(deeds: &[Deed], canaries: &BTreeSet<String>) -> bool {
    deeds.iter().any(|deed| match deed {
        Deed::Add(items) => items.iter().any(|item| canaries.contains(&item.canary)),
        Deed::Ask(question, _) | Deed::Say(question) => canaries.contains(&question.canary),
        Deed::Metadata(pairs) => pairs.values().any(|value| canaries.contains(value)),
        Deed::Title(title) => canaries.contains(title),
        Deed::Clear
        | Deed::Remove(_)
        | Deed::Forget(_)
        | Deed::Alone(_)
        | Deed::Edit(..)
        | Deed::Active(_)
        | Deed::Delete
        | Deed::Look => false,
    })
}

/// Compares what one client knows.
async fn compare(
    mut client: Client,
    address: String,
    socket: Socket,
    lists: Arc<BTreeMap<usize, Lists>>,
    depth: Depth,
) -> anyhow::Result<(Client, Verdict)> {
    let mut verdict = Verdict::default();
    let keys = client.keys.clone();
    let mut reader = Reader::connect(&address, &keys).await?;
    let empty = Lists::default();
    let lists = lists.get(&keys.user).unwrap_or(&empty);
    let listed = lists.listed.get(&Dialect::OpenAi);
    let is_listed = |name: Name| listed.is_some_and(|listed| listed.contains(&name.decimal));
    verdict.wrong.append(&mut client.wrong);
    for mut conversation in std::mem::take(&mut client.conversations) {
        let label = label(&client, &conversation);
        match (is_listed(conversation.name), conversation.leaving) {
            (false, true) => {
                client.bury(&conversation, None);
                continue;
            }
            (false, false) => {
                verdict.wrong.push(format!("{label} is gone"));
                continue;
            }
            (true, _) => conversation.leaving = false,
        }
        let whole = lists.whole.get(&conversation.name.decimal);
        conversation.name.whole = conversation.name.whole.or(whole.copied());
        let sampled = depth != Depth::Sample || client.rng.random_bool(SAMPLE);
        if conversation.touched || sampled {
            let before = failed(&conversation);
            match reader.conversation(conversation.name).await {
                Ok(seen) => {
                    let mut found = check(&mut conversation, &seen);
                    let told = responses::compare_told(&mut conversation, &mut reader);
                    found.extend(told.await?);
                    let found = found.into_iter().map(|what| format!("{label}: {what}"));
                    verdict.wrong.extend(found);
                }
                Err(error) => verdict.wrong.push(format!("{label}: {error:#}")),
            }
            verdict.interrupted += failed(&conversation).saturating_sub(before);
            verdict.compared += 1;
        }
        client.conversations.push(conversation);
    }
    for gone in client.gone.iter().filter(|gone| is_listed(gone.name)) {
        let decimal = gone.name.decimal;
        verdict
            .wrong
            .push(format!("{decimal} was deleted and is listed"));
    }
    responses::compare(&mut client, &mut reader, &mut verdict, depth).await?;
    seek(&mut client, &mut reader, &socket, &mut verdict, depth).await?;
    responses::seek(&mut client, &mut reader, &mut verdict, depth).await?;
    Ok((client, verdict))
}

fn failed(conversation: &Conversation) -> u64 {
    let answers = conversation
        .entries
        .iter()
        .filter_map(|entry| entry.answer.as_ref());
    let failed = answers.filter(|answer| answer.state == Answered::Failed);
    u64::try_from(failed.count()).unwrap_or(u64::MAX)
}

fn label(client: &Client, conversation: &Conversation) -> String {
    format!(
        "{} ({}, by client {} through {})",
        conversation.name.prefixed(),
        conversation.name.decimal,
        client.number,
        conversation.maker.name()
    )
}

/// Looks for deleted conversations by their ids: the newest, and a sample of the others.
async fn seek(
    client: &mut Client,
    reader: &mut Reader<'_>,
    socket: &Socket,
    verdict: &mut Verdict,
    depth: Depth,
) -> anyhow::Result<()> {
    let count = client.gone.len();
    let mut wanted: BTreeSet<usize> = (0..EARLIER)
        .map(|_| client.rng.random_range(0..count.max(1)))
        .collect();
    let fresh = |at: &usize| {
        let gone = client.gone.get(*at);
        depth == Depth::Everything || gone.is_some_and(|gone| gone.fresh)
    };
    wanted.extend((0..count).filter(fresh));
    for at in wanted {
        let Some(gone) = client.gone.get_mut(at) else {
            continue;
        };
        gone.fresh = false;
        verdict.sought += 1;
        let mut remains = reader.remains(gone.name, gone.item).await?;
        if let Some(response) = gone.response {
            remains.extend(reader.reply_remains(response).await?);
        }
        for remains in remains {
            let decimal = gone.name.decimal;
            verdict
                .wrong
                .push(format!("{decimal} was deleted: {remains}"));
        }
        if let Some(id) = gone.receipt.clone() {
            let order = Order::ShowReceipt { id };
            let said = socket.order(&order, &Notify::new()).await;
            if !matches!(said, Said::Done(_)) {
                let wrong = format!("{order:?} is answered {said:?}");
                verdict.wrong.push(wrong);
            }
        }
    }
    Ok(())
}

/// All canaries of what clients have and have not deleted.
pub(super) fn living(clients: &[Client]) -> BTreeSet<String> {
    let mut living = BTreeSet::new();
    for conversation in clients.iter().flat_map(|client| &client.conversations) {
        living.extend(conversation.items().map(|item| item.canary.clone()));
        living.extend(conversation.metadata.held.values().cloned());
        let title = conversation.title.held.as_deref();
        living.extend(title.and_then(canary::within).map(str::to_owned));
    }
    living
}
