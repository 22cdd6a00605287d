//! Compares the responses of a restarted server with its clients' journals.

use std::collections::BTreeSet;

use rand::RngExt;
use serde_json::Value;

use super::check::{check, said, settled};
use super::{Absent, text};
use crate::crash::dialect::bits;
use crate::crash::journal::{Conversation, Known, Pairs, Presence};
use crate::crash::load::Client;
use crate::crash::read::{Reader, pairs};
use crate::crash::verify::{Depth, SAMPLE, Verdict};

/// Earlier absences that each client looks for, beside its newest.
const EARLIER: usize = 2;

/// Lists a user's responses that stand alone, those that are new or all: each must be known, or be one that was being made.
pub(in crate::crash) async fn adopt(
    user: usize,
    clients: &mut [Client],
    reader: &mut Reader<'_>,
    verdict: &mut Verdict,
    depth: Depth,
) -> anyhow::Result<()> {
    let theirs = || clients.iter().filter(|client| client.keys.user == user);
    let journals = || theirs().map(|client| &client.alone_responses);
    let since = match depth {
        Depth::Everything => 0,
        Depth::Sample | Depth::Living => journals().map(|one| one.newest).max().unwrap_or(0),
    };
    let replies = journals().flat_map(|journal| &journal.replies);
    let known: BTreeSet<u128> = replies.filter_map(|reply| reply.id).collect();
    let absent = journals().flat_map(|journal| &journal.absent);
    let absent: BTreeSet<u128> = absent.map(|absent| absent.id).collect();
    let listed = reader.replies(since).await?;
    let newest = listed.iter().filter_map(id_of).max();
    for (id, metadata) in alone(&listed) {
        let name = text(id);
        if absent.contains(&id) {
            let wrong = format!("user {user}: {name} was deleted and is listed");
            verdict.wrong.push(wrong);
        } else if !known.contains(&id) && !made(user, clients, id, &metadata) {
            let wrong = format!("user {user}: nobody made {name}, which holds {metadata:?}");
            verdict.wrong.push(wrong);
        }
    }
    for client in clients.iter_mut().filter(|client| client.keys.user == user) {
        // What was not made by now must never appear.
        client.alone_responses.making.clear();
        client.alone_responses.newest = newest.unwrap_or(since);
    }
    Ok(())
}

fn id_of(object: &Value) -> Option<u128> {
    object.get("id").and_then(Value::as_str).and_then(bits)
}

/// The ids and metadata of those that stand alone.
fn alone(listed: &[Value]) -> Vec<(u128, Pairs)> {
    let mut alone = Vec::new();
    for object in listed
        .iter()
        .filter(|object| object.get("conversation").is_none())
    {
        alone.extend(id_of(object).map(|id| (id, pairs(object.get("metadata")))));
    }
    alone
}

/// Whether a client was making this one, which it then has made.
fn made(user: usize, clients: &mut [Client], id: u128, metadata: &Pairs) -> bool {
    for client in clients.iter_mut().filter(|client| client.keys.user == user) {
        let journal = &mut client.alone_responses;
        let is = |reply: &super::Reply| reply.metadata == *metadata;
        if let Some(at) = journal.making.iter().position(is) {
            let mut reply = journal.making.swap_remove(at);
            (reply.id, reply.known) = (Some(id), Known::Acknowledged);
            journal.replies.push(reply);
            return true;
        }
    }
    false
}

/// Compares what one client knows of responses that stand alone.
pub(in crate::crash) async fn compare(
    client: &mut Client,
    reader: &mut Reader<'_>,
    verdict: &mut Verdict,
    depth: Depth,
) -> anyhow::Result<()> {
    let number = client.number;
    for mut reply in std::mem::take(&mut client.alone_responses.replies) {
        let sampled = depth != Depth::Sample || client.rng.random_bool(SAMPLE);
        if (reply.touched || sampled)
            && let Some(id) = reply.id
        {
            let seen = reader.reply(id).await?;
            let found = check(&mut reply, &seen).into_iter();
            let found = found.map(|what| format!("client {number}: response {what}"));
            verdict.wrong.extend(found);
            verdict.replies += 1;
        }
        if reply.presence == Presence::Gone {
            client.alone_responses.bury(&reply);
        } else {
            client.alone_responses.replies.push(reply);
        }
    }
    Ok(())
}

/// Compares the responses of a conversation with what is known of their questions.
pub(in crate::crash) async fn compare_told(
    of: &mut Conversation,
    reader: &mut Reader<'_>,
) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let name = of.name.prefixed();
    for entry in &mut of.entries {
        let Some(answer) = entry.answer.as_mut() else {
            continue;
        };
        let Some(told) = answer.response.as_mut() else {
            continue;
        };
        let (seen, id) = (reader.reply(told.id).await?, text(told.id));
        match (told.presence, seen.status) {
            (Presence::Leaving | Presence::Gone, 404) => {
                told.presence = Presence::Gone;
                continue;
            }
            (Presence::There | Presence::Leaving, 200) => told.presence = Presence::There,
            (presence, status) => {
                wrong.push(format!("{id} is {presence:?}, and answered {status}"));
                continue;
            }
        }
        let object = &seen.object;
        if let Err(why) = settled(answer.state, object) {
            wrong.push(format!("{id} {why}"));
        }
        let texts = said(object);
        let wanted = Some(&answer.item.text.held);
        let is_right = match texts.first() {
            None => answer.state != super::Answered::Yes,
            text => text == wanted && texts.len() == 1,
        };
        let conversation = object.pointer("/conversation/id").and_then(Value::as_str);
        if !is_right || conversation != Some(&name) {
            wrong.push(format!("{id} is {object}"));
        }
    }
    Ok(wrong)
}

/// Looks for responses that must not be there: the newest, and a sample of the others.
pub(in crate::crash) async fn seek(
    client: &mut Client,
    reader: &mut Reader<'_>,
    verdict: &mut Verdict,
    depth: Depth,
) -> anyhow::Result<()> {
    let count = client.alone_responses.absent.len();
    let mut wanted: BTreeSet<usize> = (0..EARLIER)
        .map(|_| client.rng.random_range(0..count.max(1)))
        .collect();
    let absent = client.alone_responses.absent.iter().enumerate();
    let fresh = absent.filter(|(_, one)| one.fresh || depth == Depth::Everything);
    wanted.extend(fresh.map(|(at, _)| at));
    for at in wanted {
        let Some(absent) = client.alone_responses.absent.get_mut(at) else {
            continue;
        };
        absent.fresh = false;
        verdict.sought += 1;
        let Absent { id, is_deleted, .. } = *absent;
        let was = if is_deleted {
            "was deleted"
        } else {
            "was not to be stored"
        };
        for remains in reader.reply_remains(id).await? {
            let id = text(id);
            verdict
                .wrong
                .push(format!("response {id} {was}: {remains}"));
        }
    }
    Ok(())
}
