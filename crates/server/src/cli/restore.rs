//! `parlance restore`: brings a backup back where no server runs.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use parlance_domain::{Clock, IdSource, SystemClock, Timestamp};
use parlance_store::backup::{Restore, Restored, Way};

use super::args::Restore as Args;
use crate::config::Config;
use crate::control::time;
use crate::data_dir::DataDir;
use crate::telemetry;
use crate::wiring::{root_beside, seed};

/// Restores, and prints what has come back.
pub(super) fn restore(args: &Args, config: &Config) -> anyhow::Result<()> {
    let from = args
        .dir
        .canonicalize()
        .with_context(|| format!("there is no backup in `{}`", args.dir.display()))?;
    let dir = DataDir::create(&config.data)?;
    let Some(_lock) = dir.lock()? else {
        bail!(
            "a server is using `{}`: stop it first; nothing was changed",
            dir.path().display()
        );
    };
    let clock = Arc::new(SystemClock);
    let ids = IdSource::new(Arc::<SystemClock>::clone(&clock), seed()?);
    let restore = Restore {
        from: &from,
        to: dir.path(),
        erasures: args.erasures.as_deref(),
        accept_expired: args.accept_expired,
        replace: args.yes || (dir.has_store() && confirmed()?),
        mirror: config.keyring.mirror.as_deref(),
        root: &|folder| root_beside(&config.keyring, folder),
        now: clock.now(),
        event: ids.next(),
    };
    let restored = restore.run().context("nothing was restored")?;
    for unused in &restored.unused {
        telemetry::complain(&format!("not used: {unused}"));
    }
    io::stdout()
        .write_all(describe(&restored).as_bytes())
        .context("could not write to standard output")
}

fn describe(restored: &Restored) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        text.extend([format!("{name:<14}").as_str(), "  ", value, "\n"]);
    };
    say("data of", &time(restored.taken_at));
    match restored.way {
        Way::Today => say(
            "keyring",
            "the one that was there: what was erased stays erased",
        ),
        Way::Snapshot { taken_at, expired } => {
            let expired = if expired { ", expired" } else { "" };
            say(
                "keyring",
                &format!("snapshot of {}{expired}", time(taken_at)),
            );
            say("keys destroyed", &restored.destroyed.to_string());
            for (from, to) in &restored.gaps {
                say("gap", &gap(*from, *to));
            }
        }
    }
    if restored.aside.exists() {
        say("replaced", &restored.aside.display().to_string());
    }
    text
}

/// What was erased in this time is there again, and nobody can tell what it is.
fn gap(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.seconds().saturating_sub(from.seconds());
    format!(
        "nothing is known of erasures from {} to {} ({seconds} s)",
        time(from),
        time(to)
    )
}

/// Asks on the terminal, if there is one.
fn confirmed() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    super::ask("There are data already: they are moved aside. Restore the backup?")
}
