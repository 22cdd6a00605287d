//! Lists conversations.
//!
//! The indexes lead with the app, so a list over all apps is merged from one short list per app: its
//! cost grows with the page and the number of apps, never with the number of conversations.

use parlance_domain::ConversationRef;
use parlance_domain::ids::{Id, Ref};
use parlance_domain::model::{Conversation, ConversationQuery, Cursor, Order, Page, Sort};
use parlance_domain::store::StoreError;
use rusqlite::{OptionalExtension, params};

use super::read::{Reader, page, reversed};
use super::sql;
use super::value::{Bits, Span, Trouble};

/// A place in the list by change: time and id.
type Place = (i64, Bits);

/// What lies between two places of a list, in rising order.
enum Range {
    /// Both ends included.
    Created(Span),
    /// Both ends excluded.
    Updated(Place, Place),
}

impl Reader<'_> {
    /// A page of the principal's conversations.
    pub(super) fn conversations(
        &self,
        query: &ConversationQuery,
    ) -> Result<Page<Conversation>, Trouble> {
        let Some(range) = self.range(query)? else {
            return Ok(Page::default());
        };
        let backwards = query.cursor.after.is_none() && query.cursor.before.is_some();
        let order = if backwards {
            reversed(query.order)
        } else {
            query.order
        };
        let rows = i64::from(query.rows_max).saturating_add(1);
        let mut keys = Vec::new();
        for app in self.apps_of(query)? {
            self.keys(app, &range, order, rows, &mut keys)?;
        }
        match range {
            Range::Created(_) => keys.sort_unstable_by_key(|(_, id)| *id),
            Range::Updated(..) => keys.sort_unstable(),
        }
        if order == Order::NewestFirst {
            keys.reverse();
        }
        let keys = page(keys, query.rows_max, backwards);
        // The same transaction has just read them in the index; one that is not there any more has
        // lost its key meanwhile.
        let rows = keys.rows.iter().map(|(_, id)| {
            self.conversation(Span {
                low: *id,
                high: *id,
            })
        });
        Ok(Page {
            rows: rows
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?,
            has_more: keys.has_more,
        })
    }

    /// The range that the cursor leaves; none if nothing can be in it.
    fn range(&self, query: &ConversationQuery) -> Result<Option<Range>, Trouble> {
        let Cursor { after, before } = query.cursor.clone();
        let (low, high) = match query.order {
            Order::OldestFirst => (after, before),
            Order::NewestFirst => (before, after),
        };
        Ok(match query.sort {
            Sort::Created => between(low, high).map(Range::Created),
            Sort::Updated => {
                let low = low.map(|of| self.anchor(of)).transpose()?;
                let high = high.map(|of| self.anchor(of)).transpose()?;
                Some(Range::Updated(
                    low.unwrap_or((i64::MIN, Bits::MIN)),
                    high.unwrap_or((i64::MAX, Bits::MAX)),
                ))
            }
        })
    }

    /// Where a conversation stands in the list by change, or stood when it was deleted.
    fn anchor(&self, of: ConversationRef) -> Result<Place, Trouble> {
        let of = Span::from(of);
        for anchor in [sql::ANCHOR_LIVING, sql::ANCHOR_DELETED] {
            let found = self
                .db
                .prepare_cached(anchor)?
                .query_row(self.who.looking_for(of), |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            if let Some(place) = found {
                return Ok(place);
            }
        }
        Err(StoreError::NoAnchor.into())
    }

    /// The apps whose conversations are listed.
    fn apps_of(&self, query: &ConversationQuery) -> Result<Vec<Bits>, Trouble> {
        let asked = query.app.map(Bits::of);
        match (self.who.app, asked) {
            (Some(own), Some(asked)) if own != asked => Ok(Vec::new()),
            (Some(app), _) | (None, Some(app)) => Ok(vec![app]),
            (None, None) => self.all_apps(),
        }
    }

    /// All apps of which the principal has conversations, found by leaping through the index.
    fn all_apps(&self) -> Result<Vec<Bits>, Trouble> {
        let mut select = self.db.prepare_cached(sql::NEXT_APP)?;
        let mut apps: Vec<Bits> = Vec::new();
        loop {
            let last = apps.last().copied();
            let last: &dyn rusqlite::ToSql = match &last {
                Some(last) => last,
                // The empty blob sorts before every id.
                None => &NOTHING,
            };
            let next = select
                .query_row(params![self.who.project, self.who.owner, last], |row| {
                    row.get(0)
                })
                .optional()?;
            match next {
                Some(app) => apps.push(app),
                None => return Ok(apps),
            }
        }
    }

    fn keys(
        &self,
        app: Bits,
        range: &Range,
        order: Order,
        rows: i64,
        keys: &mut Vec<Place>,
    ) -> Result<(), Trouble> {
        let statement = match (range, order) {
            (Range::Created(_), Order::OldestFirst) => sql::LIST_CREATED_RISING,
            (Range::Created(_), Order::NewestFirst) => sql::LIST_CREATED_FALLING,
            (Range::Updated(..), Order::OldestFirst) => sql::LIST_UPDATED_RISING,
            (Range::Updated(..), Order::NewestFirst) => sql::LIST_UPDATED_FALLING,
        };
        let (project, owner) = (self.who.project, self.who.owner);
        let mut select = self.db.prepare_cached(statement)?;
        let mut found = match range {
            Range::Created(ids) => {
                select.query(params![project, owner, app, ids.low, ids.high, rows])?
            }
            Range::Updated(low, high) => select.query(params![
                project, owner, app, low.0, low.1, high.0, high.1, rows
            ])?,
        };
        while let Some(row) = found.next()? {
            keys.push((row.get(0)?, row.get(1)?));
        }
        Ok(())
    }
}

/// The empty blob.
const NOTHING: &[u8] = &[];

/// The ids between two references; none if there can be none. A reference that names nothing that
/// lives marks its place all the same.
pub(super) fn between<I: Id>(low: Option<Ref<I>>, high: Option<Ref<I>>) -> Option<Span> {
    let low = match low {
        None => u128::MIN,
        Some(low) => low.high().checked_add(1)?,
    };
    let high = match high {
        None => u128::MAX,
        Some(high) => high.low().checked_sub(1)?,
    };
    Some(Span {
        low: low.into(),
        high: high.into(),
    })
}
