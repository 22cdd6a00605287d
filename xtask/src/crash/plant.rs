//! Damage that is done on purpose, between a kill and the restart, to show that the comparison sees it.

use anyhow::{Context, bail};
use rusqlite::{Connection, params};

use super::journal::{Conversation, Known, Presence};
use super::operator::{App, Key};
use super::run::Run;
use super::verify::Depth;
use super::{Canaries, Options};
use crate::tools::{Shop, say};

/// Fewest rounds of load and a kill before damage is done.
const ROUNDS_MIN: usize = 4;
/// Most of them: by then everything that can be damaged has been made.
const ROUNDS_MAX: usize = 100;

/// Damage to the database, and to the journal where that is easier.
struct Plant {
    /// What is shown.
    name: &'static str,
    /// What the complaint that has to follow begins with, or has within, and what it has after that.
    seen: [&'static str; 2],
    damage: fn(&Connection, &mut Run) -> anyhow::Result<()>,
}

/// Each group is damage that can be told apart when it is done to the same data.
const PLANTS: &[&[Plant]] = &[
    &[Plant {
        name: "a lost item that was acknowledged is seen",
        seen: ["was acknowledged", "and is not there"],
        damage: lose_an_item,
    }],
    &[Plant {
        name: "a deleted conversation that is back is seen",
        seen: ["was deleted", "and is listed"],
        damage: bring_one_back,
    }],
    &[Plant {
        name: "a call that is half there is seen",
        seen: ["a call", "is half there"],
        damage: tear_a_call,
    }],
    &[Plant {
        name: "a lost conversation is seen",
        seen: ["conv_", "is gone"],
        damage: lose_a_conversation,
    }],
    &[Plant {
        name: "a conversation that nobody made is seen",
        seen: ["nobody made", "conv_"],
        damage: invent_one,
    }],
    &[
        Plant {
            name: "a lost title is seen",
            seen: ["the title is", "the journal has"],
            damage: lose_a_title,
        },
        Plant {
            name: "a lost key is seen",
            seen: ["the key of", "was acknowledged and is not there"],
            damage: lose_a_key,
        },
        Plant {
            name: "a revoked key that works again is seen",
            seen: ["was revoked", "and is active"],
            damage: bring_a_key_back,
        },
        Plant {
            name: "a lost app is seen",
            seen: ["app app-", "was acknowledged and is not there"],
            damage: lose_an_app,
        },
        Plant {
            name: "a lost response is seen",
            seen: ["response resp_", "was acknowledged and is not there"],
            damage: lose_a_response,
        },
        Plant {
            name: "a deleted response that is back is seen",
            seen: ["response resp_", "was deleted: "],
            damage: bring_a_response_back,
        },
    ],
];

/// Shows for each damage that it is seen; false if one is not.
pub(super) fn prove(shop: &Shop, seed: u64) -> anyhow::Result<bool> {
    let mut all = true;
    for plants in PLANTS {
        let complaints = planted(shop, plants, seed)?;
        for Plant { name, seen, .. } in *plants {
            let [before, after] = seen;
            let says = |what: &String| {
                let rest = what.split_once(before).map(|(_, rest)| rest);
                rest.is_some_and(|rest| rest.contains(after))
            };
            let seen = complaints.iter().any(says);
            let said = if seen { "ok" } else { "NOT SEEN" };
            say(&format!("  {name}: {said}\n"));
            if !seen {
                say(&format!("    seen instead: {complaints:?}\n"));
            }
            all &= seen;
        }
    }
    Ok(all)
}

fn planted(shop: &Shop, plants: &[Plant], seed: u64) -> anyhow::Result<Vec<String>> {
    let options = Options {
        count: None,
        length: None,
        seed,
        canaries: Canaries::Report,
    };
    let mut run = Run::new(shop, "crash-proof", &options)?;
    ripen(&mut run)?;
    run.server.kill()?;
    let file = run.server.folder().join("data").join("parlance.db");
    let db = Connection::open(file).context("could not open the database")?;
    for plant in plants {
        (plant.damage)(&db, &mut run).with_context(|| plant.name)?;
    }
    drop(db);
    run.server.restart()?;
    Ok(run.compare(Depth::Everything)?.wrong)
}

/// Load and kills until there is something of everything that is to be damaged: how much a round makes
/// is up to the machine.
fn ripen(run: &mut Run) -> anyhow::Result<()> {
    for round in 1..=ROUNDS_MAX {
        run.load_and_kill()?;
        run.server.restart()?;
        let verdict = run.compare(Depth::Everything)?;
        if !verdict.wrong.is_empty() {
            bail!("something is wrong without damage: {:?}", verdict.wrong);
        }
        if round >= ROUNDS_MIN && lacking(run).is_ok() {
            return Ok(());
        }
    }
    lacking(run).with_context(|| format!("{ROUNDS_MAX} rounds have not made what is damaged"))
}

/// An error that names the first thing that there is nothing of.
fn lacking(run: &mut Run) -> anyhow::Result<()> {
    with_batch(run)?;
    any(run)?;
    deleted(run)?;
    titled(run)?;
    key(run, true)?;
    key(run, false)?;
    app(run)?;
    let (lost, _) = responses(run, None)?;
    responses(run, Some(lost))?;
    Ok(())
}

fn id(conversation: &Conversation) -> [u8; 16] {
    conversation.name.whole.unwrap_or_default().to_be_bytes()
}

/// A conversation with a call of several items, and the id of the call's last one.
fn with_batch(run: &mut Run) -> anyhow::Result<(&mut Conversation, usize, [u8; 16])> {
    for conversation in run
        .clients
        .iter_mut()
        .flat_map(|client| &mut client.conversations)
    {
        let batch = conversation.entries.iter().position(|entry| {
            let there = entry
                .items
                .iter()
                .all(|item| item.presence == Presence::There);
            entry.items.len() > 1 && there && entry.items.iter().all(|item| item.id.is_some())
        });
        let Some(at) = batch else { continue };
        let items = conversation.entries.get(at).map(|entry| &entry.items);
        let last = items.and_then(|items| items.last()?.id);
        if let Some(last) = last {
            return Ok((conversation, at, last.to_be_bytes()));
        }
    }
    bail!("no call with several items")
}

fn any(run: &Run) -> anyhow::Result<&Conversation> {
    let mut all = run.clients.iter().flat_map(|client| &client.conversations);
    all.next().context("no conversation")
}

/// Runs a statement that has to change one row.
fn change(db: &Connection, text: &str, values: impl rusqlite::Params) -> anyhow::Result<()> {
    let changed = db
        .execute(text, values)
        .context("could not do the damage")?;
    if changed != 1 {
        bail!("the damage changed {changed} rows");
    }
    Ok(())
}

const LOSE_ITEM: &str = "DELETE FROM items WHERE conversation = ?1 AND id = ?2";

fn lose_an_item(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let (conversation, _, item) = with_batch(run)?;
    change(db, LOSE_ITEM, params![id(conversation), item])
}

/// As if nobody had been told that it was done.
fn tear_a_call(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let (conversation, at, item) = with_batch(run)?;
    if let Some(entry) = conversation.entries.get_mut(at) {
        entry.known = Known::Sent;
    }
    change(db, LOSE_ITEM, params![id(conversation), item])
}

fn lose_a_conversation(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let lose = "DELETE FROM conversations WHERE id = ?1";
    change(db, lose, params![id(any(run)?)])
}

/// The row of one conversation under the id of another.
const COPY: &str = "\
    INSERT INTO conversations (project, id, app, owner, updated_at, active, next_seq, turns, \
        slot, generation) \
    SELECT project, ?2, app, owner, updated_at, 0, 0, 0, slot, generation FROM conversations WHERE id = ?1";

fn bring_one_back(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let (living, gone) = deleted(run)?;
    change(db, COPY, params![id(living), gone.to_be_bytes()])
}

/// A conversation of a client, and the id of one that the same client has deleted.
fn deleted(run: &Run) -> anyhow::Result<(&Conversation, u128)> {
    let both = run.clients.iter().find_map(|client| {
        let gone = client.gone.iter().find_map(|gone| gone.name.whole)?;
        Some((client.conversations.first()?, gone))
    });
    both.context("nobody has deleted anything")
}

/// The ids of two responses of the same client that stand alone: one that there is, but for this one, and one
/// that was deleted.
fn responses(run: &Run, but: Option<u128>) -> anyhow::Result<(u128, u128)> {
    let both = run.clients.iter().find_map(|client| {
        let journal = &client.alone_responses;
        let mut living = journal.replies.iter().filter_map(|reply| reply.id);
        let gone = journal.absent.iter().find(|absent| absent.is_deleted)?;
        Some((living.find(|id| Some(*id) != but)?, gone.id))
    });
    both.context("nobody has deleted a response and has another")
}

fn lose_a_response(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let (living, _) = responses(run, None)?;
    let lose = "DELETE FROM conversations WHERE id = ?1";
    change(db, lose, params![living.to_be_bytes()])
}

/// The turn of one response under the id of another, without what is sealed.
const COPY_TURN: &str = "\
    INSERT INTO turns (project, conversation, id, app, owner, state, started_at, finished_at, input_tokens, \
        cached_tokens, output_tokens, reasoning_tokens, first_seq, output_seq, end_seq) \
    SELECT project, ?2, ?2, app, owner, state, started_at, finished_at, input_tokens, cached_tokens, \
        output_tokens, reasoning_tokens, first_seq, output_seq, end_seq FROM turns WHERE id = ?1";

fn bring_a_response_back(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let (lost, _) = responses(run, None)?;
    let (living, gone) = responses(run, Some(lost))?;
    let ids = params![living.to_be_bytes(), gone.to_be_bytes()];
    change(db, COPY, ids)?;
    change(db, COPY_TURN, ids)
}

fn invent_one(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let living = any(run)?;
    let other = living.name.whole.unwrap_or_default() ^ (1 << 90);
    change(db, COPY, params![id(living), other.to_be_bytes()])
}

/// The id of a key of the operator's that is revoked, or that works.
fn key(run: &Run, is_working: bool) -> anyhow::Result<u128> {
    let mut keys = run.operator.yards.iter().flat_map(|yard| &yard.keys);
    let fits = |key: &&Key| key.is_working() == Some(is_working) && key.id.is_some();
    let key = keys.find(fits).context("no such key")?;
    let id = key.id.as_deref().unwrap_or_default();
    u128::from_str_radix(id, 16).context("a key's id is not hexadecimal")
}

fn lose_a_key(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let lose = "DELETE FROM keys WHERE id = ?1";
    change(db, lose, params![key(run, true)?.to_be_bytes()])
}

fn bring_a_key_back(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let back = "UPDATE keys SET revoked_at = NULL WHERE id = ?1";
    change(db, back, params![key(run, false)?.to_be_bytes()])
}

fn lose_an_app(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    change(db, "DELETE FROM apps WHERE name = ?1", [&app(run)?.name])
}

/// An app of the operator's that there is.
fn app(run: &Run) -> anyhow::Result<&App> {
    let mut apps = run.operator.yards.iter().flat_map(|yard| &yard.apps);
    apps.find(|app| app.is_known()).context("no app")
}

fn lose_a_title(db: &Connection, run: &mut Run) -> anyhow::Result<()> {
    let lose = "UPDATE conversations SET title = NULL WHERE id = ?1";
    change(db, lose, params![id(titled(run)?)])
}

fn titled(run: &Run) -> anyhow::Result<&Conversation> {
    let mut all = run.clients.iter().flat_map(|client| &client.conversations);
    let titled = all.find(|conversation| conversation.title.held.is_some());
    titled.context("no conversation with a title")
}
