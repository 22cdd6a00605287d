//! Compares what a restarted server has of projects, apps and keys with the operator's journal. What was
//! unknown is known afterwards.

use std::collections::BTreeMap;

use anyhow::bail;
use rand::RngExt;
use tokio::sync::Notify;

use super::{Key, Operator, Yard, try_key};
use crate::crash::control::{Order, Said, Socket};
use crate::crash::journal::Known;
use crate::crash::verify::Depth;

/// Between two columns of a list.
const GAP: &str = "  ";
/// The project that there always is.
const DEFAULT: &str = "default";
/// Share of the keys that nobody has touched that are used nevertheless.
const SAMPLE: f64 = 0.05;

/// The rows of a list by what names them.
type Rows<'a> = BTreeMap<&'a str, &'a str>;

/// What an order that only reads has printed.
async fn read(socket: &Socket, order: Order) -> anyhow::Result<String> {
    match socket.order(&order, &Notify::new()).await {
        Said::Done(text) => Ok(text),
        said @ (Said::Refused(_) | Said::Unheard | Said::Unknown) => {
            bail!("{order:?} is answered {said:?}")
        }
    }
}

/// The rows of a list, by the column that names them. What is there twice is complained about.
fn rows<'a>(text: &'a str, column: usize, wrong: &mut Vec<String>) -> Rows<'a> {
    let mut rows = Rows::new();
    for line in text.lines() {
        let name = line.split(GAP).nth(column).unwrap_or_default();
        if rows.insert(name, line).is_some() {
            wrong.push(format!("{name} is there twice"));
        }
    }
    rows
}

/// Takes what was seen for what is; complains if it cannot be.
fn settle(known: &mut Known, is_there: bool, what: &str, wrong: &mut Vec<String>) {
    match (*known, is_there) {
        (Known::Acknowledged, false) => {
            wrong.push(format!("{what} was acknowledged and is not there"));
        }
        (Known::Refused, true) => wrong.push(format!("{what} was not made and is there")),
        (Known::Sent, true) => *known = Known::Acknowledged,
        (Known::Sent, false) => *known = Known::Refused,
        (Known::Acknowledged, true) | (Known::Refused, false) => {}
    }
}

/// Learns ids from a list of keys.
pub(super) fn ids(yard: &mut Yard, text: &str) {
    let rows = rows(text, 3, &mut Vec::new());
    for key in &mut yard.keys {
        let row = rows.get(key.user.as_str());
        let id = row.and_then(|row| row.split(GAP).next());
        key.id = key.id.take().or_else(|| id.map(str::to_owned));
    }
}

fn apps(yard: &mut Yard, text: &str, wrong: &mut Vec<String>) {
    let mut rows = rows(text, 0, wrong);
    for app in &mut yard.apps {
        let name = &app.name;
        let row = rows.remove(name.as_str());
        settle(&mut app.known, row.is_some(), &format!("app {name}"), wrong);
        let Some(row) = row else { continue };
        let line = app.line.get_or_insert_with(|| row.to_owned());
        let whole = row.starts_with(&format!("{name}{GAP}{}{GAP}echo{GAP}", app.mode));
        if line != row || !whole || row.split(GAP).count() != 7 {
            wrong.push(format!("app {name} is {row:?}, was {line:?}"));
        }
    }
    wrong.extend(rows.keys().map(|name| format!("nobody made app {name}")));
}

fn keys(yard: &mut Yard, text: &str, wrong: &mut Vec<String>) {
    let mut rows = rows(text, 3, wrong);
    for key in &mut yard.keys {
        let user = key.user.clone();
        let row = rows.remove(user.as_str());
        let what = format!("the key of {user}");
        settle(&mut key.known, row.is_some(), &what, wrong);
        match row {
            Some(row) => key_row(key, row, wrong),
            // It never was, and cannot be revoked.
            None => key.revoked.sent = None,
        }
    }
    wrong.extend(
        rows.keys()
            .map(|user| format!("nobody made a key of {user}")),
    );
}

/// A key that is there has all that was ordered.
fn key_row(key: &mut Key, row: &str, wrong: &mut Vec<String>) {
    let columns: Vec<&str> = row.split(GAP).collect();
    let &[id, dialect, app, user, "all", _, state] = columns.as_slice() else {
        wrong.push(format!("a key is {row:?}"));
        return;
    };
    let known = key.id.get_or_insert_with(|| id.to_owned());
    if known != id || dialect != key.dialect.name() || app != key.app {
        let (dialect, app) = (key.dialect.name(), &key.app);
        wrong.push(format!(
            "a key for {dialect} and {app} with id {known} is {row:?}"
        ));
    }
    let before = key.revoked.clone();
    let is_revoked = state.starts_with("revoked ");
    if !key.revoked.settle(&is_revoked) {
        let was = if before.held { "was" } else { "was not" };
        wrong.push(format!("the key of {user} {was} revoked, and is {state}"));
    }
}

impl Operator {
    /// Compares the newest project, what was touched, and one of the others; all of them where
    /// everything is to be compared.
    pub(in crate::crash) async fn verify(
        mut self,
        socket: &Socket,
        address: &str,
        depth: Depth,
    ) -> anyhow::Result<(Self, Vec<String>)> {
        let mut wrong = std::mem::take(&mut self.wrong);
        let all = read(socket, Order::ListProjects).await?;
        let mut projects = rows(&all, 0, &mut wrong);
        projects.remove(DEFAULT);
        for yard in &mut self.yards {
            let name = &yard.name;
            let is_there = projects.remove(name.as_str()).is_some();
            settle(
                &mut yard.known,
                is_there,
                &format!("project {name}"),
                &mut wrong,
            );
        }
        let strangers = projects.keys();
        wrong.extend(strangers.map(|name| format!("nobody made project {name}")));
        let other = self.rng.random_range(0..self.yards.len().max(1));
        for (at, yard) in self.yards.iter_mut().enumerate() {
            let wanted = yard.touched || at == other || depth == Depth::Everything;
            if !wanted || yard.known != Known::Acknowledged {
                continue;
            }
            let project = yard.name.clone();
            let text = read(socket, Order::ListApps { project }).await?;
            apps(yard, &text, &mut wrong);
            let project = yard.name.clone();
            let text = read(socket, Order::ListKeys { project }).await?;
            keys(yard, &text, &mut wrong);
            yard.touched = false;
            for key in &mut yard.keys {
                let sampled = depth == Depth::Everything || self.rng.random_bool(SAMPLE);
                if key.touched || sampled {
                    wrong.extend(try_key(address, key).await?);
                    key.touched = false;
                }
            }
        }
        Ok((self, wrong))
    }
}

#[cfg(test)]
mod tests;
