//! What an entry says of a receipt, its place in the log, and who speaks.

use std::time::Duration;

use super::merkle::Hash;
use crate::canonical::Canonical;
use crate::clock::Timestamp;
use crate::ids::ReceiptId;
use crate::model::{ErasureLevel, ItemsBucket, ProjectId, Receipt, ReceiptState, hex, unhex};

/// What a receipt of this form calls itself.
pub(super) const FORM: &str = "erasure-receipt/1";
const SHA256: &str = "sha256:";

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// How many entries are before it.
    pub(crate) index: u64,
    /// The hash of the one before it.
    pub(crate) prev: Option<Hash>,
}

/// An entry that states a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) receipt: Receipt,
    /// How long a snapshot of the keyring may be kept.
    pub(crate) snapshots_kept: Duration,
    pub(crate) speaker: Speaker,
}

/// Who makes a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speaker {
    /// The program.
    pub(crate) build: String,
    /// The key that it signs with.
    pub(crate) key_id: String,
}

impl Statement {
    /// The statement at a place. Times are microseconds since 1970.
    pub(crate) fn canonical(&self, place: Place) -> Canonical {
        let receipt = &self.receipt;
        let everywhere = receipt.unreadable_everywhere_by(self.snapshots_kept);
        let mut times = vec![
            ("requested", time(Some(receipt.requested_at))),
            ("tombstoned", time(Some(receipt.tombstoned_at))),
            ("key_destroyed", time(receipt.key_destroyed_at)),
            ("rows_purged", time(receipt.rows_purged_at)),
            ("unreadable_everywhere_by", time(everywhere)),
        ];
        // Only where there is something to say: earlier versions know no such member.
        times.extend(
            receipt
                .root_renewed_at
                .map(|at| ("root_renewed", time(Some(at)))),
        );
        let mut statement = Canonical::object([
            ("v", Canonical::text(FORM)),
            ("id", Canonical::Text(receipt.id.text())),
            ("project", Canonical::Integer(receipt.project.0)),
            ("subject", Canonical::Text(hex(&receipt.subject))),
            ("key_commitment", optional_hash(receipt.commitment)),
            ("level", Canonical::text(receipt.level().name())),
            ("state", Canonical::text(receipt.state.name())),
            ("times_us", Canonical::object(times)),
            (
                "keyring_snapshots_kept_s",
                Canonical::count(self.snapshots_kept.as_secs()),
            ),
            ("items", Canonical::Text(receipt.items.name())),
            (
                "exclusions",
                Canonical::List(exclusions(receipt).map(Canonical::text).into()),
            ),
        ]);
        self.speaker.insert(&mut statement);
        place.insert(&mut statement);
        statement
    }

    /// Reads a statement. Members that are not known are left to whoever knows them.
    ///
    /// The error names the member that is missing, wrong or at odds with another.
    pub(crate) fn read(value: &Canonical) -> Result<Self, &'static str> {
        if text(value, "v") != Some(FORM) {
            return Err("v");
        }
        let receipt = read_receipt(value)?;
        if text(value, "level") != Some(receipt.level().name()) {
            return Err("level");
        }
        let kept = "keyring_snapshots_kept_s";
        let snapshots_kept = value.get(kept).and_then(Canonical::as_count);
        let snapshots_kept = snapshots_kept.map(Duration::from_secs).ok_or(kept)?;
        let times = value.get("times_us").ok_or("times_us")?;
        let everywhere = "unreadable_everywhere_by";
        if read_time(times, everywhere)? != receipt.unreadable_everywhere_by(snapshots_kept) {
            return Err(everywhere);
        }
        Ok(Self {
            receipt,
            snapshots_kept,
            speaker: Speaker::read(value)?,
        })
    }
}

impl Speaker {
    /// Adds who makes a statement to it.
    pub(super) fn insert(&self, statement: &mut Canonical) {
        let server = [
            ("build", Canonical::text(&self.build)),
            ("key_id", Canonical::text(&self.key_id)),
        ];
        statement.insert("server", Canonical::object(server));
    }

    /// Reads who makes a statement. The error names the member that is missing or wrong.
    pub(super) fn read(statement: &Canonical) -> Result<Self, &'static str> {
        let server = statement.get("server").ok_or("server")?;
        Ok(Self {
            build: text(server, "build").ok_or("build")?.to_owned(),
            key_id: text(server, "key_id").ok_or("key_id")?.to_owned(),
        })
    }
}

/// What a receipt does not speak of. A closed list: nobody's data comes into it.
fn exclusions(receipt: &Receipt) -> [&'static str; 5] {
    let copies = match receipt.level() {
        ErasureLevel::Unreachable | ErasureLevel::KeyOverwritten => {
            "exports, and backups of the keyring, from before the request"
        }
        // No backup of the keyring opens it.
        ErasureLevel::RootRenewed => "exports from before the request",
    };
    [
        "copies that clients have",
        "what model providers keep",
        copies,
        "logs of reverse proxies",
        "snapshots of the machine",
    ]
}

impl Place {
    /// Adds where a statement stands to it.
    pub(super) fn insert(self, statement: &mut Canonical) {
        let log = [
            ("index", Canonical::count(self.index)),
            ("prev", optional_hash(self.prev)),
        ];
        statement.insert("log", Canonical::object(log));
    }

    /// Reads where a statement stands. The error names the member that is missing or wrong.
    pub(crate) fn read(statement: &Canonical) -> Result<Self, &'static str> {
        let log = statement.get("log").ok_or("log")?;
        let index = log.get("index").and_then(Canonical::as_count);
        Ok(Self {
            index: index.ok_or("index")?,
            prev: read_optional_hash(log, "prev")?,
        })
    }
}

fn read_receipt(value: &Canonical) -> Result<Receipt, &'static str> {
    let named = |key| text(value, key).ok_or(key);
    let times = value.get("times_us").ok_or("times_us")?;
    let needed = |key| read_time(times, key)?.ok_or(key);
    let project = value.get("project").and_then(Canonical::as_integer);
    Ok(Receipt {
        id: ReceiptId::parse(named("id")?).ok_or("id")?,
        project: ProjectId(project.ok_or("project")?),
        subject: unhex(named("subject")?).ok_or("subject")?,
        commitment: read_optional_hash(value, "key_commitment")?,
        state: ReceiptState::parse(named("state")?).ok_or("state")?,
        requested_at: needed("requested")?,
        tombstoned_at: needed("tombstoned")?,
        key_destroyed_at: read_time(times, "key_destroyed")?,
        rows_purged_at: read_time(times, "rows_purged")?,
        root_renewed_at: read_later_time(times, "root_renewed")?,
        items: ItemsBucket::parse(named("items")?).ok_or("items")?,
    })
}

fn text<'a>(value: &'a Canonical, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Canonical::as_text)
}

pub(super) fn time(at: Option<Timestamp>) -> Canonical {
    at.map_or(Canonical::Null, |at| Canonical::Integer(at.micros()))
}

/// A time, or null. The error is the member's name.
pub(super) fn read_time(
    value: &Canonical,
    key: &'static str,
) -> Result<Option<Timestamp>, &'static str> {
    match value.get(key) {
        Some(Canonical::Null) => Ok(None),
        Some(Canonical::Integer(micros)) => Ok(Some(Timestamp::from_micros(*micros))),
        _ => Err(key),
    }
}

/// A time, or none where there is no such member. The error is the member's name.
fn read_later_time(
    value: &Canonical,
    key: &'static str,
) -> Result<Option<Timestamp>, &'static str> {
    match value.get(key) {
        None => Ok(None),
        Some(_) => read_time(value, key)?.ok_or(key).map(Some),
    }
}

pub(super) fn hash(hash: &Hash) -> Canonical {
    Canonical::Text(format!("{SHA256}{}", hex(hash)))
}

pub(super) fn optional_hash(value: Option<Hash>) -> Canonical {
    value.map_or(Canonical::Null, |value| hash(&value))
}

pub(super) fn read_hash(value: &Canonical) -> Option<Hash> {
    unhex(value.as_text()?.strip_prefix(SHA256)?)
}

/// A hash, or null. The error is the member's name.
pub(super) fn read_optional_hash(
    value: &Canonical,
    key: &'static str,
) -> Result<Option<Hash>, &'static str> {
    let found = value.get(key).ok_or(key)?;
    if *found == Canonical::Null {
        return Ok(None);
    }
    read_hash(found).map(Some).ok_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Id;

    fn statement() -> Statement {
        let at = Timestamp::from_micros;
        Statement {
            receipt: Receipt {
                id: ReceiptId::from_bits(0xabc),
                project: ProjectId(1),
                subject: [2; 32],
                commitment: Some([1; 32]),
                state: ReceiptState::Complete,
                requested_at: at(10),
                tombstoned_at: at(20),
                key_destroyed_at: Some(at(30)),
                rows_purged_at: Some(at(40)),
                root_renewed_at: None,
                items: ItemsBucket::of(12),
            },
            snapshots_kept: Duration::from_mins(1),
            speaker: Speaker {
                build: "parlance 0".to_owned(),
                key_id: "ed25519:00".to_owned(),
            },
        }
    }

    const PLACE: Place = Place {
        index: 7,
        prev: Some([3; 32]),
    };

    #[test]
    fn a_statement_is_read_back_from_its_text() {
        let at = Timestamp::from_micros;
        let written = statement().canonical(PLACE);
        let read = Canonical::read(&written.to_string()).unwrap();
        assert_eq!(Statement::read(&read), Ok(statement()));
        assert_eq!(Place::read(&read), Ok(PLACE));
        let mut renewed = statement();
        renewed.receipt = renewed.receipt.renewed(at(50));
        let said = renewed.canonical(PLACE);
        assert_eq!(Statement::read(&said), Ok(renewed));
        let text = (written.to_string(), said.to_string());
        let backups = "backups of the keyring";
        assert!(text.0.contains(backups) && !text.1.contains(backups));
        assert!(text.1.contains("\"level\":\"L3\"") && text.1.contains("\"root_renewed\":50"));
        let mut unsealed = statement();
        unsealed.receipt.commitment = None;
        unsealed.receipt.key_destroyed_at = None;
        let first = Place {
            index: 0,
            prev: None,
        };
        let written = unsealed.canonical(first);
        assert_eq!(Statement::read(&written), Ok(unsealed));
        assert_eq!(Place::read(&written), Ok(first));
    }

    #[test]
    fn the_first_member_that_is_wrong_is_named() {
        let wrong = |key: &'static str, value: Canonical| {
            let mut written = statement().canonical(PLACE);
            written.insert(key, value);
            Statement::read(&written).err()
        };
        assert_eq!(wrong("v", Canonical::text("erasure-receipt/2")), Some("v"));
        assert_eq!(wrong("level", Canonical::text("L1")), Some("level"));
        assert_eq!(wrong("state", Canonical::text("done")), Some("state"));
        assert_eq!(wrong("subject", Canonical::text("00")), Some("subject"));
        assert_eq!(wrong("items", Canonical::Null), Some("items"));
        let kept = "keyring_snapshots_kept_s";
        assert_eq!(wrong(kept, Canonical::Integer(-1)), Some(kept));
        let times = statement().canonical(PLACE);
        let mut times = times.get("times_us").unwrap().clone();
        times.insert("root_renewed", Canonical::Null);
        assert_eq!(wrong("times_us", times.clone()), Some("root_renewed"));
        times.insert("root_renewed", Canonical::Integer(50));
        assert_eq!(wrong("times_us", times), Some("level"));
        let other = wrong(kept, Canonical::Integer(61));
        assert_eq!(other, Some("unreadable_everywhere_by"));
        assert_eq!(wrong("more", Canonical::Null), None, "others are let be");
    }
}
