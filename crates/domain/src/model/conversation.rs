//! Conversations.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::fault::{Error, Reason};
use crate::ids::{AppId, ConversationId, Id, SectionId, TurnId};
use crate::json::Json;
use crate::limits::{
    METADATA_KEY_CHARS_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_CHARS_MAX, TITLE_CHARS_MAX,
};
use crate::model::item::NewItem;

/// What only the dialect that made a conversation can show of it, under that dialect's name: Dify's
/// inputs, OpenHands's repository. Set at creation, never changed.
pub type Extras = BTreeMap<String, Json>;

/// A conversation without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its id, from which the time of its creation follows.
    pub id: ConversationId,
    /// The app that it was made with.
    pub app: AppId,
    /// When it, its items, its title or its metadata last changed.
    pub updated_at: Timestamp,
    /// The section that new items belong to.
    pub section: SectionId,
    /// Whether its agent is started (OpenHands).
    pub active: bool,
    /// The turn that is running in it.
    pub running: Option<TurnId>,
    /// The sequence number that the next item gets: at least the number of items.
    pub next_seq: u64,
    /// Its title. Content.
    pub title: Option<String>,
    /// Its metadata. Content.
    pub metadata: Metadata,
    /// What single dialects keep with it. Content.
    pub extras: Extras,
}

impl Conversation {
    /// When it was made.
    pub fn created_at(&self) -> Timestamp {
        self.id.made_at()
    }
}

/// A conversation about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConversation {
    /// Its id.
    pub id: ConversationId,
    /// The app that it is made with.
    pub app: AppId,
    /// Its title.
    pub title: Option<String>,
    /// Its metadata.
    pub metadata: Metadata,
    /// What the dialect keeps with it.
    pub extras: Extras,
    /// Whether its agent is started.
    pub active: bool,
    /// Its first items.
    pub items: Vec<NewItem>,
    /// When it is made.
    pub at: Timestamp,
}

/// Pairs of text, in the client's order. At most 16, keys of 1 to 64 and values of at most 512
/// characters, no key twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// Checks `pairs`. The error's field is `field`, or `field.key` for one pair.
    pub fn new(field: &str, pairs: Vec<(String, String)>) -> Result<Self, Error> {
        if pairs.len() > METADATA_PAIRS_MAX {
            let why = Reason::TooMany {
                max: METADATA_PAIRS_MAX,
                got: pairs.len(),
            };
            return Err(Error::invalid(field, why));
        }
        let mut seen = BTreeSet::new();
        for (key, value) in &pairs {
            let at = || format!("{field}.{key}");
            let got = key.chars().count();
            if got > METADATA_KEY_CHARS_MAX {
                let why = Reason::TooLong {
                    max: METADATA_KEY_CHARS_MAX,
                    got,
                };
                return Err(Error::invalid(field, why));
            }
            let got = value.chars().count();
            if got > METADATA_VALUE_CHARS_MAX {
                return Err(Error::invalid(
                    at(),
                    Reason::TooLong {
                        max: METADATA_VALUE_CHARS_MAX,
                        got,
                    },
                ));
            }
            if key.is_empty() {
                return Err(Error::invalid(field, Reason::Blank));
            }
            if !seen.insert(key) {
                return Err(Error::invalid(
                    at(),
                    Reason::Malformed {
                        expected: "a key given once",
                    },
                ));
            }
        }
        Ok(Self(pairs))
    }

    /// What a store has kept; checked when it was written.
    pub const fn stored(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The pairs in order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks the length of a title. The error's field is `field`.
pub fn check_title(field: &str, title: &str, chars_max: usize) -> Result<(), Error> {
    let max = chars_max.min(TITLE_CHARS_MAX);
    let got = title.chars().count();
    if got > max {
        return Err(Error::invalid(field, Reason::TooLong { max, got }));
    }
    Ok(())
}
