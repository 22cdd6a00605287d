//! Who asks.

use crate::fault::Reason;
use crate::ids::AppId;
use crate::limits::USER_CHARS_MAX;
use crate::model::app::ProjectId;
use crate::secret::Secret;

/// The person whose data it is: an opaque string of the client's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User(Secret);

impl User {
    /// Reads a user. The empty string is no user.
    pub fn parse(text: &str) -> Result<Option<Self>, Reason> {
        let got = text.chars().count();
        if got > USER_CHARS_MAX {
            return Err(Reason::TooLong {
                max: USER_CHARS_MAX,
                got,
            });
        }
        Ok((!text.is_empty()).then(|| Self(Secret::new(text))))
    }

    /// The text: for comparing and hashing, never for a log.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Whose conversations are meant. A conversation belongs to the project and user that made it, and
/// only the very same see it: no user matches only no user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The tenant.
    pub project: ProjectId,
    /// The user, or none.
    pub user: Option<User>,
    /// The only app whose conversations are seen, where the dialect's keys see no others (Dify).
    /// It narrows what the principal sees and is no part of who owns a conversation.
    pub app: Option<AppId>,
    /// Which of the principal's things are meant.
    pub realm: Realm,
}

/// The two kinds of things that a principal has. Each kind is invisible to whoever means the other, and
/// whoever erases a user erases both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Realm {
    /// Conversations.
    #[default]
    Conversations,
    /// What turns that stand alone have in place of a conversation: nobody lists or names it.
    LoneTurns,
}

impl Principal {
    /// The same, meaning the other kind of things.
    #[must_use]
    pub fn in_realm(&self, realm: Realm) -> Self {
        Self {
            realm,
            ..self.clone()
        }
    }
}
