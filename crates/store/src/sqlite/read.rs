//! Reads conversations and items, inside a read transaction.

use parlance_domain::limits::PAGE_BYTES_MAX;
use parlance_domain::model::{
    Conversation, Item, ItemFilter, ItemQuery, ItemRef, Metadata, Order, Page, Position, ProjectId,
    first_section,
};
use parlance_domain::store::StoreError;
use parlance_domain::{ConversationId, ItemId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::apply::Scope;
use super::search::{Gap, first_within, gap};
use super::sql;
use super::value::{
    Bits, Span, Trouble, Who, corrupt, count, number, read_key_ref, time, unavailable,
};
use crate::codec;
use crate::keyring::KeyRef;
use crate::seal::{Field, Place, Record, Sealed, Sealer, Vault};

/// Reads for one principal.
pub(super) struct Reader<'a> {
    pub(super) db: &'a Connection,
    pub(super) project: ProjectId,
    pub(super) who: Who,
    pub(super) vault: &'a Vault,
}

/// A conversation as far as reading its items is concerned.
pub(super) struct Head {
    pub(super) scope: Scope,
    next_seq: i64,
    running: Option<Bits>,
    pub(super) sealer: Sealer,
}

/// A conversation's row, its content still sealed.
struct ConversationRow {
    plain: Conversation,
    title: Option<Sealed>,
    metadata: Option<Sealed>,
    extras: Option<Sealed>,
    key: KeyRef,
}

impl Reader<'_> {
    /// The conversation, if it lives and is the principal's.
    pub(super) fn conversation(&self, of: Span) -> Result<Option<Conversation>, Trouble> {
        let row = self
            .db
            .prepare_cached(sql::CONVERSATION)?
            .query_row(self.who.looking_for(of), conversation_row)
            .optional()?;
        let Some(row) = row else { return Ok(None) };
        // Without its key it is gone, though this transaction still sees its row.
        let Some(sealer) = self.sealer(row.key)? else {
            return Ok(None);
        };
        self.open_conversation(&sealer, row).map(Some)
    }

    /// The key of a conversation, if that lives and is the principal's.
    pub(super) fn key_of(&self, of: Span) -> Result<Option<KeyRef>, Trouble> {
        let mut select = self.db.prepare_cached(sql::KEY_OF)?;
        let found = select.query_row(self.who.looking_for(of), |row| read_key_ref(row, 0));
        Ok(found.optional()?)
    }

    pub(super) fn sealer(&self, key: KeyRef) -> Result<Option<Sealer>, Trouble> {
        let sealer = self.vault.sealer(key);
        Ok(sealer.map_err(|error| unavailable("reading a key", error))?)
    }

    fn open_conversation(
        &self,
        sealer: &Sealer,
        row: ConversationRow,
    ) -> Result<Conversation, Trouble> {
        let mut conversation = row.plain;
        let record = Record::Conversation(conversation.id);
        if let Some(title) = row.title {
            let bytes = self.open(sealer, record, Field::Title, title)?;
            let title = codec::text(&bytes).ok_or(corrupt("conversations", "title"))?;
            conversation.title = Some(title);
        }
        if let Some(metadata) = row.metadata {
            let bytes = self.open(sealer, record, Field::Metadata, metadata)?;
            conversation.metadata =
                codec::read_metadata(&bytes).ok_or(corrupt("conversations", "metadata"))?;
        }
        if let Some(extras) = row.extras {
            let bytes = self.open(sealer, record, Field::Extras, extras)?;
            conversation.extras =
                codec::read_extras(&bytes).ok_or(corrupt("conversations", "extras"))?;
        }
        Ok(conversation)
    }

    pub(super) fn open(
        &self,
        sealer: &Sealer,
        record: Record,
        field: Field,
        sealed: Sealed,
    ) -> Result<Vec<u8>, StoreError> {
        let place = Place {
            project: self.project,
            record,
            field,
        };
        open(sealer, &place, sealed)
    }

    pub(super) fn head(&self, of: Span) -> Result<Head, Trouble> {
        let found = self
            .db
            .prepare_cached(sql::HEAD)?
            .query_row(self.who.looking_for(of), |row| {
                let scope = Scope {
                    project: self.who.project,
                    conversation: row.get(0)?,
                };
                Ok((scope, row.get(4)?, row.get(5)?, read_key_ref(row, 8)?))
            })
            .optional()?;
        let (scope, running, next_seq, key) = found.ok_or(StoreError::NoConversation)?;
        let sealer = self.sealer(key)?.ok_or(StoreError::NoConversation)?;
        Ok(Head {
            scope,
            next_seq,
            running,
            sealer,
        })
    }

    /// One item.
    pub(super) fn item(&self, of: Span, item: &ItemRef) -> Result<Item, Trouble> {
        let head = self.head(of)?;
        let seq = match item {
            ItemRef::Id(ids) => {
                let found = first_within(self.db, head.scope, head.next_seq, (*ids).into())?;
                found.map(|item| item.seq)
            }
            ItemRef::Alias(alias) => self.aliased(head.scope, alias)?,
            ItemRef::Seq(seq) => i64::try_from(*seq).ok(),
        };
        let seq = seq.ok_or(StoreError::NoItem)?;
        let filter = Wanted {
            first: seq,
            last: seq,
            filter: &ItemFilter::Everything,
            turn: None,
            but_turn: None,
            rows: 1,
        };
        let (mut found, _) = self.scan(&head, &filter, Order::OldestFirst)?;
        found.pop().ok_or_else(|| StoreError::NoItem.into())
    }

    fn aliased(&self, of: Scope, alias: &str) -> Result<Option<i64>, Trouble> {
        let conversation: ConversationId = of.conversation.id();
        let hash = self.vault.alias_hash(self.project, conversation, alias);
        let hash = Bits::from(u128::from_be_bytes(hash));
        Ok(self
            .db
            .prepare_cached(sql::ALIAS)?
            .query_row(params![of.project, of.conversation, hash], |row| row.get(0))
            .optional()?)
    }

    /// A page of items.
    pub(super) fn items(&self, of: Span, query: &ItemQuery) -> Result<Page<Item>, Trouble> {
        let head = self.head(of)?;
        let (mut first, mut last) = (number(query.within.first), number(query.within.last));
        if let Some(after) = &query.cursor.after {
            let Some(gap) = self.place(&head, after)? else {
                return Ok(Page::default());
            };
            match query.order {
                Order::OldestFirst => first = first.max(gap.above),
                Order::NewestFirst => last = last.min(gap.below.saturating_sub(1)),
            }
        }
        if let Some(before) = &query.cursor.before {
            let Some(gap) = self.place(&head, before)? else {
                return Ok(Page::default());
            };
            match query.order {
                Order::OldestFirst => last = last.min(gap.below.saturating_sub(1)),
                Order::NewestFirst => first = first.max(gap.above),
            }
        }
        if let Some(turn) = query.turn {
            let Some(span) = self.turn_span(head.scope, turn)? else {
                return Ok(Page::default());
            };
            first = first.max(span.below);
            last = last.min(span.above);
        }
        let wanted = Wanted {
            first,
            last,
            filter: &query.filter,
            turn: query.turn.map(Bits::of),
            but_turn: head.running.filter(|_| query.settled),
            rows: i64::from(query.rows_max).saturating_add(1),
        };
        let backwards = query.cursor.after.is_none() && query.cursor.before.is_some();
        let order = if backwards {
            reversed(query.order)
        } else {
            query.order
        };
        let (rows, is_cut) = self.scan(&head, &wanted, order)?;
        let mut page = page(rows, query.rows_max, backwards);
        page.has_more |= is_cut;
        Ok(page)
    }

    /// Where a position lies; none if it is an alias that nothing has.
    fn place(&self, head: &Head, position: &Position) -> Result<Option<Gap>, Trouble> {
        Ok(match position {
            ItemRef::Seq(seq) => Some(Gap::at(number(*seq))),
            ItemRef::Id(ids) => Some(gap(self.db, head.scope, head.next_seq, *ids)?),
            ItemRef::Alias(alias) => self.aliased(head.scope, alias)?.map(Gap::at),
        })
    }

    /// The items that are wanted. True if there are too many bytes of them, and some are left out.
    fn scan(
        &self,
        head: &Head,
        wanted: &Wanted<'_>,
        order: Order,
    ) -> Result<(Vec<Item>, bool), Trouble> {
        let of = head.scope;
        let statement = match order {
            Order::OldestFirst => sql::ITEMS_RISING,
            Order::NewestFirst => sql::ITEMS_FALLING,
        };
        let (kinds, item_type) = codec::kinds(wanted.filter);
        let mut select = self.db.prepare_cached(statement)?;
        let mut rows = select.query(params![
            of.project,
            of.conversation,
            wanted.first,
            wanted.last,
            kinds,
            item_type,
            wanted.turn,
            wanted.but_turn,
            wanted.rows,
        ])?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(8)?.as_blob().map_or(0, <[u8]>::len);
            if bytes > PAGE_BYTES_MAX && !items.is_empty() {
                return Ok((items, true));
            }
            items.push(self.item_of(&head.sealer, of.conversation.id(), row)?);
        }
        Ok((items, false))
    }

    fn item_of(
        &self,
        sealer: &Sealer,
        conversation: ConversationId,
        row: &Row<'_>,
    ) -> Result<Item, Trouble> {
        let id: ItemId = row.get::<_, Bits>(1)?.id();
        let record = Record::Item {
            conversation,
            item: id,
        };
        let item_type: Option<String> = row.get(3)?;
        let kind = codec::read_kind(row.get(2)?, item_type.as_deref());
        let kind = kind.ok_or(corrupt("items", "kind"))?;
        let alias = match row.get::<_, Option<Sealed>>(7)? {
            None => None,
            Some(alias) => {
                let bytes = self.open(sealer, record, Field::Alias, alias)?;
                Some(codec::text(&bytes).ok_or(corrupt("items", "alias"))?)
            }
        };
        let body = self.open(sealer, record, Field::Body, row.get(8)?)?;
        Ok(Item {
            id,
            seq: count(row.get(0)?),
            section: row
                .get::<_, Option<Bits>>(5)?
                .map_or_else(|| first_section(conversation), Bits::id),
            turn: row.get::<_, Option<Bits>>(4)?.map(Bits::id),
            modified_at: row.get::<_, Option<i64>>(6)?.map(time),
            alias,
            content: codec::read_body(kind, &body).ok_or(corrupt("items", "body"))?,
        })
    }
}

/// Which items a scan gives.
struct Wanted<'a> {
    first: i64,
    last: i64,
    filter: &'a ItemFilter,
    turn: Option<Bits>,
    but_turn: Option<Bits>,
    rows: i64,
}

fn conversation_row(row: &Row<'_>) -> rusqlite::Result<ConversationRow> {
    let id: ConversationId = row.get::<_, Bits>(0)?.id();
    let plain = Conversation {
        id,
        app: row.get::<_, Bits>(1)?.id(),
        updated_at: time(row.get(2)?),
        section: row
            .get::<_, Option<Bits>>(3)?
            .map_or_else(|| first_section(id), Bits::id),
        active: row.get(4)?,
        running: row.get::<_, Option<Bits>>(5)?.map(Bits::id),
        next_seq: count(row.get(6)?),
        title: None,
        metadata: Metadata::default(),
        extras: parlance_domain::model::Extras::default(),
    };
    Ok(ConversationRow {
        plain,
        title: row.get(7)?,
        metadata: row.get(8)?,
        extras: row.get(9)?,
        key: read_key_ref(row, 10)?,
    })
}

/// Opens content; what does not open makes no sense.
pub(super) fn open(sealer: &Sealer, place: &Place, sealed: Sealed) -> Result<Vec<u8>, StoreError> {
    let (table, column) = match place.field {
        Field::Title => ("conversations", "title"),
        Field::Metadata => ("conversations", "metadata"),
        Field::Extras => ("conversations", "extras"),
        Field::Body => ("items", "body"),
        Field::Alias => ("items", "alias"),
        Field::User => ("keys", "user"),
        Field::Instructions => ("apps", "instructions"),
        Field::Hold => ("holds", "content"),
        Field::TurnRecord => ("turns", "record"),
    };
    sealer
        .open(place, sealed)
        .map_err(|_| corrupt(table, column))
}

pub(super) const fn reversed(order: Order) -> Order {
    match order {
        Order::OldestFirst => Order::NewestFirst,
        Order::NewestFirst => Order::OldestFirst,
    }
}

/// The page that follows from one row more than it may have. `backwards`: the rows were read towards
/// the start of the list.
pub(super) fn page<T>(mut rows: Vec<T>, rows_max: u32, backwards: bool) -> Page<T> {
    let rows_max = usize::try_from(rows_max).unwrap_or(usize::MAX);
    let has_more = rows.len() > rows_max;
    rows.truncate(rows_max);
    if backwards {
        rows.reverse();
    }
    Page { rows, has_more }
}
