//! What operators erase, whoever's it is.

use async_trait::async_trait;
use parlance_domain::erasing::{Erasable, ErasePlace, EraseQuery, Erasing};
use parlance_domain::model::{HoldEntry, ProjectId, Realm};
use parlance_domain::store::{Outcome, StoreError};
use parlance_domain::{ConversationId, ConversationRef, ReceiptId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::encode::{Burial, Change, Encoded, Meant, What};
use super::value::{Bits, Owner, Span, Trouble, Who, Whose, time};
use super::{Sqlite, holds, sql};
use crate::seal::Vault;

#[async_trait]
impl Erasing for Sqlite {
    async fn located(
        &self,
        project: ProjectId,
        of: ConversationRef,
    ) -> Result<Option<Erasable>, StoreError> {
        self.read("looking for a conversation", move |db, _| {
            let Span { low, high } = of.into();
            let mut select = db.prepare_cached(sql::LOCATED)?;
            let mut rows = select.query(params![project.0, low, high])?;
            rows.next()?
                .map(|row| of_anybody(db, project.0, row))
                .transpose()
        })
        .await
    }

    async fn erasable(
        &self,
        what: &EraseQuery,
        after: Option<ErasePlace>,
        count_max: u32,
    ) -> Result<Vec<Erasable>, StoreError> {
        let what = what.clone();
        self.read("looking for what is to be erased", move |db, vault| {
            let whose = whose(vault, &what);
            let search = Search {
                db,
                project: what.project.0,
                before: what.unchanged_since.map_or(i64::MAX, Timestamp::micros),
                count_max,
            };
            match whose {
                None => search.of_all(after),
                Some(_) => search.of_user(whose, after),
            }
        })
        .await
    }

    async fn erase_some(
        &self,
        what: &EraseQuery,
        which: &[(ConversationId, ReceiptId)],
        at: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        let batch = erasures(&self.vault, what, which, at);
        let outcomes = self.writer()?.apply(batch).await?;
        self.forget_deleted(what.project, &outcomes);
        Ok(outcomes)
    }

    async fn holds(&self, project: ProjectId) -> Result<Vec<HoldEntry>, StoreError> {
        self.read("listing holds", move |db, vault| {
            holds::list(db, vault, project)
        })
        .await
    }
}

/// Looks for conversations of a project in the order of their last change.
struct Search<'a> {
    db: &'a Connection,
    project: i64,
    /// Only what was last changed before this time.
    before: i64,
    count_max: u32,
}

impl Search<'_> {
    fn of_all(&self, after: Option<ErasePlace>) -> Result<Vec<Erasable>, Trouble> {
        let (updated_at, id) = below(after);
        let mut select = self.db.prepare_cached(sql::OLDEST)?;
        let mut rows = select.query(params![
            self.project,
            updated_at,
            id,
            self.before,
            self.count_max
        ])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(of_anybody(self.db, self.project, row)?);
        }
        Ok(found)
    }

    /// Goes from app to app, because that is how the index is ordered.
    fn of_user(&self, whose: Whose, after: Option<ErasePlace>) -> Result<Vec<Erasable>, Trouble> {
        let owners = [Realm::Conversations, Realm::LoneTurns].map(|realm| Owner::Of(whose, realm));
        let mut found = Vec::new();
        let mut app = after
            .and_then(|place| place.app)
            .map_or(Bits::MIN, Bits::of);
        self.of_app(owners, app, below(after), &mut found)?;
        while found.len() < self.wanted() {
            let next = owners.map(|owner| self.next_app(owner, app));
            let [one, other] = next;
            let Some(next) = one?.into_iter().chain(other?).min() else {
                break;
            };
            app = next;
            self.of_app(owners, app, below(None), &mut found)?;
        }
        Ok(found)
    }

    fn next_app(&self, owner: Owner, app: Bits) -> Result<Option<Bits>, Trouble> {
        let mut select = self.db.prepare_cached(sql::NEXT_APP)?;
        let next = select.query_row(params![self.project, owner, app], |row| row.get(0));
        Ok(next.optional()?)
    }

    /// Both realms of one app, merged.
    fn of_app(
        &self,
        owners: [Owner; 2],
        app: Bits,
        after: (i64, Bits),
        found: &mut Vec<Erasable>,
    ) -> Result<(), Trouble> {
        let left = self.wanted().saturating_sub(found.len());
        let mut both = Vec::new();
        for owner in owners {
            self.of_realm(owner, app, after, left, &mut both)?;
        }
        both.sort_unstable_by_key(|one| one.place);
        both.truncate(left);
        found.append(&mut both);
        Ok(())
    }

    fn of_realm(
        &self,
        owner: Owner,
        app: Bits,
        (updated_at, id): (i64, Bits),
        left: usize,
        found: &mut Vec<Erasable>,
    ) -> Result<(), Trouble> {
        let mut select = self.db.prepare_cached(sql::OLDEST_OF_OWNER)?;
        let mut rows = select.query(params![
            self.project,
            owner,
            app,
            updated_at,
            id,
            self.before,
            i64::try_from(left).unwrap_or(i64::MAX)
        ])?;
        while let Some(row) = rows.next()? {
            let id: Bits = row.get(1)?;
            found.push(Erasable {
                place: ErasePlace {
                    app: Some(app.id()),
                    updated_at: time(row.get(0)?),
                    id: id.id(),
                },
                is_held: holds::covers(self.db, self.project, id, owner)?,
            });
        }
        Ok(())
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.count_max).unwrap_or(usize::MAX)
    }
}

/// Reads a conversation, whoever's it is.
fn of_anybody(db: &Connection, project: i64, row: &Row<'_>) -> Result<Erasable, Trouble> {
    let (id, owner): (Bits, Owner) = (row.get(1)?, row.get(2)?);
    Ok(Erasable {
        place: ErasePlace {
            app: None,
            updated_at: time(row.get(0)?),
            id: id.id(),
        },
        is_held: holds::covers(db, project, id, owner)?,
    })
}

/// The place in an index after which to look.
fn below(after: Option<ErasePlace>) -> (i64, Bits) {
    after.map_or((i64::MIN, Bits::MIN), |place| {
        (place.updated_at.micros(), Bits::of(place.id))
    })
}

/// A batch that deletes a conversation, whoever's it is.
pub(super) fn erasure(
    project: ProjectId,
    of: ConversationRef,
    receipt: ReceiptId,
    at: Timestamp,
) -> Encoded {
    let delete = change(of, at, What::Delete(burial(receipt, at)));
    batch(project, vec![delete])
}

/// A batch that deletes conversations, as far as they are to be erased.
fn erasures(
    vault: &Vault,
    what: &EraseQuery,
    which: &[(ConversationId, ReceiptId)],
    at: Timestamp,
) -> Encoded {
    let meant = Meant {
        whose: whose(vault, what),
        before: what.unchanged_since.map(Timestamp::micros),
    };
    let erase = |(id, receipt): &(ConversationId, ReceiptId)| {
        let erase = What::Erase(burial(*receipt, at), meant);
        change((*id).into(), at, erase)
    };
    batch(what.project, which.iter().map(erase).collect())
}

/// The user that is meant; none if whoever is.
fn whose(vault: &Vault, what: &EraseQuery) -> Whose {
    let user = what.user.as_ref();
    user.map(|user| vault.owner_hash(what.project, user))
}

/// What an operator's delete leaves: it is requested when it is done.
fn burial(receipt: ReceiptId, at: Timestamp) -> Burial {
    Burial {
        receipt: Bits::of(receipt),
        requested_at: at.micros(),
    }
}

fn change(of: ConversationRef, at: Timestamp, what: What) -> Change {
    Change {
        of: of.into(),
        at: at.micros(),
        sealed_with: None,
        what,
    }
}

/// A batch of an operator's, in whatever app, whosever the conversations are.
const fn batch(project: ProjectId, writes: Vec<Change>) -> Encoded {
    Encoded {
        who: Who {
            project: project.0,
            owner: Owner::Anybody,
            app: None,
        },
        require: Vec::new(),
        writes,
        keyless: false,
        taken: Vec::new(),
    }
}
