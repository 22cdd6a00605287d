//! What else the log of receipts holds: events that decide what its receipts are worth. A hold keeps things
//! from being erased, and a restore brings things back.
//!
//! An event holds no content, no user and no id of what it is about, as a receipt does not.

use super::statement::{Place, Speaker, read_time, time};
use crate::canonical::Canonical;
use crate::clock::Timestamp;
use crate::ids::{EventId, HoldId};
use crate::model::{ProjectId, hex, unhex};

/// What an event of this form calls itself.
pub(super) const FORM: &str = "parlance-event/1";

const EVENT: &str = "event";
const FACTS: &str = "facts";
const COVERS: &str = "covers";
const SUBJECT: &str = "subject";

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// What can happen: a closed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A legal hold begins.
    HoldAdded {
        /// The hold.
        hold: HoldId,
        /// The tenant.
        project: ProjectId,
        /// What may not be erased.
        covers: Covered,
    },
    /// A legal hold ends.
    HoldRemoved {
        /// The hold.
        hold: HoldId,
        /// The tenant.
        project: ProjectId,
    },
    /// A backup was brought back.
    Restored(Restoration),
}

/// What a hold covers, as far as a stranger may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// One conversation: HMAC-SHA256 of its 16 bytes, keyed with the hold's salt.
    Conversation([u8; 32]),
    /// All that is a user's: HMAC-SHA256 of the user's name, keyed with the hold's salt.
    User([u8; 32]),
    /// The whole project.
    Project,
}

/// What was brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restoration {
    /// When the copy of the data was made.
    pub copied_at: Timestamp,
    /// The snapshot of the keyring that came with it; none where the present keyring was kept, with
    /// which nothing comes back that was erased.
    pub snapshot: Option<RestoredSnapshot>,
}

/// A snapshot of the keyring that was brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredSnapshot {
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Until when it was to be used. If that is before the event, an operator has insisted.
    pub expires_at: Timestamp,
    /// How many erasures of after it was taken were applied to it.
    pub erasures_applied: u64,
    /// From when on nothing tells what was erased: what was between this time and the event's may be
    /// back. None where all was applied.
    pub gap_from: Option<Timestamp>,
}

impl Event {
    /// Its canonical JSON, as a store keeps it until it is stated.
    pub fn text(&self) -> String {
        self.canonical().to_string()
    }

    /// Reads [`Event::text`]. None if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(&Canonical::read(text).ok()?).ok()
    }

    fn canonical(&self) -> Canonical {
        Canonical::object([
            ("v", Canonical::text(FORM)),
            ("id", Canonical::Text(self.id.text())),
            ("at_us", time(Some(self.at))),
            (EVENT, Canonical::text(self.what.name())),
            (FACTS, self.what.facts()),
        ])
    }

    /// Reads an event. Members that are not known are left to whoever knows them.
    ///
    /// The error names the member that is missing or wrong.
    fn read(value: &Canonical) -> Result<Self, &'static str> {
        if text(value, "v")? != FORM {
            return Err("v");
        }
        let facts = value.get(FACTS).ok_or(FACTS)?;
        Ok(Self {
            id: EventId::parse(text(value, "id")?).ok_or("id")?,
            at: read_time(value, "at_us")?.ok_or("at_us")?,
            what: Happening::read(text(value, EVENT)?, facts)?,
        })
    }
}

impl Happening {
    const HOLD_ADDED: &str = "hold_added";
    const HOLD_REMOVED: &str = "hold_removed";
    const RESTORED: &str = "restored";

    /// Its name in the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HoldAdded { .. } => Self::HOLD_ADDED,
            Self::HoldRemoved { .. } => Self::HOLD_REMOVED,
            Self::Restored(_) => Self::RESTORED,
        }
    }

    fn facts(&self) -> Canonical {
        match self {
            Self::HoldAdded {
                hold,
                project,
                covers,
            } => {
                let (name, subject) = covers.parts();
                let subject = subject.map_or(Canonical::Null, |hash| Canonical::Text(hex(&hash)));
                Canonical::object([
                    ("hold", Canonical::Text(hold.text())),
                    ("project", Canonical::Integer(project.0)),
                    (COVERS, Canonical::text(name)),
                    (SUBJECT, subject),
                ])
            }
            Self::HoldRemoved { hold, project } => Canonical::object([
                ("hold", Canonical::Text(hold.text())),
                ("project", Canonical::Integer(project.0)),
            ]),
            Self::Restored(restored) => {
                let snapshot = restored.snapshot.as_ref();
                Canonical::object([
                    ("copied_at_us", time(Some(restored.copied_at))),
                    (
                        "snapshot",
                        snapshot.map_or(Canonical::Null, RestoredSnapshot::canonical),
                    ),
                ])
            }
        }
    }

    fn read(name: &str, facts: &Canonical) -> Result<Self, &'static str> {
        let hold = || HoldId::parse(text(facts, "hold")?).ok_or("hold");
        let project = || {
            let project = facts.get("project").and_then(Canonical::as_integer);
            project.map(ProjectId).ok_or("project")
        };
        match name {
            Self::HOLD_ADDED => Ok(Self::HoldAdded {
                hold: hold()?,
                project: project()?,
                covers: Covered::read(facts)?,
            }),
            Self::HOLD_REMOVED => Ok(Self::HoldRemoved {
                hold: hold()?,
                project: project()?,
            }),
            Self::RESTORED => Ok(Self::Restored(Restoration {
                copied_at: needed_time(facts, "copied_at_us")?,
                snapshot: read_optional(facts, "snapshot", RestoredSnapshot::read)?,
            })),
            _ => Err(EVENT),
        }
    }
}

impl Covered {
    /// Its name in the log, and what it is about.
    const fn parts(&self) -> (&'static str, Option<[u8; 32]>) {
        match self {
            Self::Conversation(subject) => ("conversation", Some(*subject)),
            Self::User(subject) => ("user", Some(*subject)),
            Self::Project => ("project", None),
        }
    }

    fn read(facts: &Canonical) -> Result<Self, &'static str> {
        let subject = || unhex(text(facts, SUBJECT)?).ok_or(SUBJECT);
        match text(facts, COVERS)? {
            "conversation" => Ok(Self::Conversation(subject()?)),
            "user" => Ok(Self::User(subject()?)),
            "project" if facts.get(SUBJECT) == Some(&Canonical::Null) => Ok(Self::Project),
            _ => Err(COVERS),
        }
    }
}

impl RestoredSnapshot {
    fn canonical(&self) -> Canonical {
        Canonical::object([
            ("taken_at_us", time(Some(self.taken_at))),
            ("expires_at_us", time(Some(self.expires_at))),
            ("erasures_applied", Canonical::count(self.erasures_applied)),
            ("gap_from_us", time(self.gap_from)),
        ])
    }

    fn read(value: &Canonical) -> Result<Self, &'static str> {
        let applied = "erasures_applied";
        Ok(Self {
            taken_at: needed_time(value, "taken_at_us")?,
            expires_at: needed_time(value, "expires_at_us")?,
            erasures_applied: value
                .get(applied)
                .and_then(Canonical::as_count)
                .ok_or(applied)?,
            gap_from: read_time(value, "gap_from_us")?,
        })
    }
}

/// A member that may be null. The error is the name of what is missing or wrong.
fn read_optional<T>(
    value: &Canonical,
    key: &'static str,
    read: impl FnOnce(&Canonical) -> Result<T, &'static str>,
) -> Result<Option<T>, &'static str> {
    let found = value.get(key).ok_or(key)?;
    if *found == Canonical::Null {
        return Ok(None);
    }
    read(found).map(Some)
}

fn needed_time(value: &Canonical, key: &'static str) -> Result<Timestamp, &'static str> {
    read_time(value, key)?.ok_or(key)
}

fn text<'a>(value: &'a Canonical, key: &'static str) -> Result<&'a str, &'static str> {
    value.get(key).and_then(Canonical::as_text).ok_or(key)
}

/// An entry of the log that states an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventStatement {
    pub(crate) event: Event,
    /// The program that speaks, and the key that it signs with.
    pub(crate) speaker: Speaker,
}

impl EventStatement {
    /// The statement at a place.
    pub(crate) fn canonical(&self, place: Place) -> Canonical {
        let mut statement = self.event.canonical();
        self.speaker.insert(&mut statement);
        place.insert(&mut statement);
        statement
    }

    /// Reads a statement. The error names the member that is missing or wrong.
    pub(crate) fn read(value: &Canonical) -> Result<Self, &'static str> {
        Ok(Self {
            event: Event::read(value)?,
            speaker: Speaker::read(value)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Id;

    const PLACE: Place = Place {
        index: 7,
        prev: Some([3; 32]),
    };

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn hold_added(covers: Covered) -> Happening {
        Happening::HoldAdded {
            hold: HoldId::from_bits(5),
            project: ProjectId(1),
            covers,
        }
    }

    fn restored(snapshot: Option<RestoredSnapshot>) -> Happening {
        Happening::Restored(Restoration {
            copied_at: at(30),
            snapshot,
        })
    }

    fn snapshot() -> RestoredSnapshot {
        RestoredSnapshot {
            taken_at: at(29),
            expires_at: at(39),
            erasures_applied: 2,
            gap_from: Some(at(35)),
        }
    }

    /// Everything that can happen.
    fn all() -> Vec<Happening> {
        let whole = RestoredSnapshot {
            gap_from: None,
            ..snapshot()
        };
        vec![
            hold_added(Covered::Conversation([1; 32])),
            hold_added(Covered::User([2; 32])),
            hold_added(Covered::Project),
            Happening::HoldRemoved {
                hold: HoldId::from_bits(5),
                project: ProjectId(1),
            },
            restored(None),
            restored(Some(snapshot())),
            restored(Some(whole)),
        ]
    }

    fn statement(what: Happening) -> EventStatement {
        EventStatement {
            event: Event {
                id: EventId::from_bits(9),
                at: at(40),
                what,
            },
            speaker: Speaker {
                build: "parlance 0".to_owned(),
                key_id: "ed25519:00".to_owned(),
            },
        }
    }

    #[test]
    fn an_event_is_read_back_from_its_text_and_from_its_statement() {
        for what in all() {
            let said = statement(what);
            assert_eq!(Event::parse(&said.event.text()), Some(said.event.clone()));
            let written = said.canonical(PLACE).to_string();
            let read = Canonical::read(&written).unwrap();
            assert_eq!(EventStatement::read(&read), Ok(said));
            assert_eq!(Place::read(&read), Ok(PLACE));
        }
        assert_eq!(Event::parse("{}"), None);
    }

    #[test]
    fn a_hold_is_stated_in_one_form() {
        let said = statement(hold_added(Covered::User([2; 32])));
        let subject = "02".repeat(32);
        let prev = "03".repeat(32);
        let wanted = format!(
            "{{\"at_us\":40,\"event\":\"hold_added\",\"facts\":{{\"covers\":\"user\",\
             \"hold\":\"ho_00000000000000000000000000000005\",\"project\":1,\
             \"subject\":\"{subject}\"}},\"id\":\"ev_00000000000000000000000000000009\",\
             \"log\":{{\"index\":7,\"prev\":\"sha256:{prev}\"}},\
             \"server\":{{\"build\":\"parlance 0\",\"key_id\":\"ed25519:00\"}},\
             \"v\":\"parlance-event/1\"}}"
        );
        assert_eq!(said.canonical(PLACE).to_string(), wanted);
    }

    #[test]
    fn the_first_member_that_is_wrong_is_named() {
        let wrong = |what: Happening, key: &'static str, value: Canonical| {
            let mut written = statement(what).canonical(PLACE);
            written.insert(key, value);
            EventStatement::read(&written).err()
        };
        let project = || hold_added(Covered::Project);
        let text = Canonical::text;
        assert_eq!(wrong(project(), "v", text("parlance-event/2")), Some("v"));
        assert_eq!(wrong(project(), "id", text("er_9")), Some("id"));
        assert_eq!(wrong(project(), "at_us", Canonical::Null), Some("at_us"));
        assert_eq!(wrong(project(), "event", text("moved")), Some("event"));
        assert_eq!(wrong(project(), "server", Canonical::Null), Some("build"));
        let restored = restored(None);
        assert_eq!(wrong(restored, "event", text("hold_removed")), Some("hold"));
        assert_eq!(wrong(project(), "more", Canonical::Null), None);
    }

    #[test]
    fn a_hold_covers_one_thing_and_names_it_as_it_must() {
        let facts = |covers: &str, subject: Canonical| {
            let mut facts = hold_added(Covered::Project).facts();
            facts.insert(COVERS, Canonical::text(covers));
            facts.insert(SUBJECT, subject);
            Happening::read(Happening::HOLD_ADDED, &facts).err()
        };
        let hash = || Canonical::Text(hex(&[1; 32]));
        assert_eq!(facts("user", hash()), None);
        assert_eq!(facts("user", Canonical::Null), Some(SUBJECT));
        assert_eq!(facts("conversation", Canonical::text("01")), Some(SUBJECT));
        assert_eq!(facts("project", hash()), Some(COVERS));
        assert_eq!(facts("everything", hash()), Some(COVERS));
    }
}
