//! `parlance receipts verify`: with a file and a public key alone, so that nobody has to believe the server.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use parlance_domain::Timestamp;
use parlance_domain::receipt_log::{Anchor, PublicKey, Verified, VouchedReceipt, verify as read};

use super::args::Verify;
use crate::control::{Refusal, time};

/// The name of standard input.
const STDIN: &str = "-";

/// Verifies, and prints what is vouched for.
pub(super) fn verify(args: &Verify) -> anyhow::Result<()> {
    let key = read_key(&args.key)?;
    let anchor = match &args.against {
        None => None,
        Some(earlier) => Some(verify_file(earlier, &key, None)?.anchor()),
    };
    let is_compared = anchor.is_some();
    let verified = verify_file(&args.file, &key, anchor)?;
    if is_compared && matches!(verified, Verified::Receipt(_)) {
        let message = "a receipt holds nothing but itself: `--against` compares a log";
        return Err(Refusal::usage(message).into());
    }
    let text = match &verified {
        Verified::Log(log) => table(&[
            ("entries", &log.entries.to_string()),
            ("receipts", &log.receipts.to_string()),
            ("complete", &log.complete.to_string()),
            ("events", &log.events.to_string()),
            ("holds", &log.holds.to_string()),
            ("checkpoints", &log.checkpoints.to_string()),
            ("until", &time(log.at)),
            ("key", key.id()),
        ]),
        Verified::Receipt(receipt) => describe(receipt, &key),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .context("could not write to standard output")
}

fn read_key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("could not read `{}`", path.display()))?;
    PublicKey::from_pem(&text).with_context(|| format!("`{}` is not right", path.display()))
}

fn verify_file(path: &Path, key: &PublicKey, anchor: Option<Anchor>) -> anyhow::Result<Verified> {
    let mut file: Box<dyn BufRead> = if path == Path::new(STDIN) {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path);
        let file = file.with_context(|| format!("could not open `{}`", path.display()))?;
        Box::new(BufReader::new(file))
    };
    let verified = read(&mut *file, key, anchor);
    verified.map_err(|error| anyhow!(error).context(format!("`{}` is not right", path.display())))
}

fn describe(vouched: &VouchedReceipt, key: &PublicKey) -> String {
    let receipt = &vouched.receipt;
    let when = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), time);
    table(&[
        ("receipt", &receipt.id.text()),
        ("state", receipt.state.name()),
        ("level", receipt.level().name()),
        ("requested", &time(receipt.requested_at)),
        ("key destroyed", &when(receipt.key_destroyed_at)),
        ("rows purged", &when(receipt.rows_purged_at)),
        ("place", &vouched.place.to_string()),
        ("key", key.id()),
    ])
}

/// A name and a value a line.
fn table(rows: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in rows {
        text.extend([format!("{name:<13}  ").as_str(), value, "\n"]);
    }
    text
}
