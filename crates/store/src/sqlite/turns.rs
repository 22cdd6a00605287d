//! Reads turns, in conversations and alone, inside a read transaction.

use std::collections::BTreeSet;

use parlance_domain::TurnId;
use parlance_domain::ids::Ref;
use parlance_domain::limits::PAGE_BYTES_MAX;
use parlance_domain::model::{Order, Page, Turn, TurnQuery, TurnRecord, TurnState, Usage};
use parlance_domain::store::StoreError;
use rusqlite::{OptionalExtension, Row, Rows, params};

use super::apply::Scope;
use super::list::between;
use super::read::{Reader, page, reversed};
use super::search::Gap;
use super::sql;
use super::value::{Bits, Span, Trouble, corrupt, count, read_key_ref, time};
use crate::codec;
use crate::seal::{Field, Record, Sealed, Sealer};

/// Columns of a turn that come before those of its conversation.
const COLUMNS: usize = 13;
const RECORD: usize = COLUMNS - 1;

/// A turn's row, its content still sealed.
struct TurnRow {
    plain: Turn,
    state: i64,
    record: Option<Sealed>,
}

/// Turns as they are read, until there are as many as are wanted, or enough bytes of them for a page.
struct Reading {
    turns: Vec<Turn>,
    count_max: usize,
    bytes: usize,
    is_cut: bool,
}

impl Reading {
    fn of(count_max: usize) -> Self {
        Self {
            turns: Vec::new(),
            count_max,
            bytes: 0,
            is_cut: false,
        }
    }

    /// Whether the row has room.
    fn takes(&mut self, row: &Row<'_>) -> Result<bool, Trouble> {
        if self.turns.len() >= self.count_max {
            return Ok(false);
        }
        let record = row.get_ref(RECORD)?.as_blob_or_null();
        let bytes = record.ok().flatten().map_or(0, <[u8]>::len);
        self.bytes = self.bytes.saturating_add(bytes);
        self.is_cut = self.bytes > PAGE_BYTES_MAX && !self.turns.is_empty();
        Ok(!self.is_cut)
    }
}

impl Reader<'_> {
    /// Those of `turns` that the conversation has.
    pub(super) fn turns(&self, of: Span, turns: &[TurnId]) -> Result<Vec<Turn>, Trouble> {
        let head = self.head(of)?;
        let wanted: BTreeSet<TurnId> = turns.iter().copied().collect();
        let mut select = self.db.prepare_cached(sql::TURN)?;
        let mut found = Vec::with_capacity(wanted.len());
        for turn in wanted {
            let Scope {
                project,
                conversation,
            } = head.scope;
            let key = params![project, conversation, Bits::of(turn)];
            if let Some(row) = select.query_row(key, turn_row).optional()? {
                found.push(self.open_turn(&head.sealer, row)?);
            }
        }
        Ok(found)
    }

    /// The numbers between which a turn's items lie, both ends included.
    pub(super) fn turn_span(&self, of: Scope, turn: TurnId) -> Result<Option<Gap>, Trouble> {
        let mut select = self.db.prepare_cached(sql::TURN_SPAN)?;
        let key = params![of.project, of.conversation, Bits::of(turn)];
        let span = select.query_row(key, |row| {
            Ok(Gap {
                below: row.get(0)?,
                above: row.get::<_, Option<i64>>(1)?.unwrap_or(i64::MAX),
            })
        });
        Ok(span.optional()?)
    }

    /// The oldest turn of the principal's that is meant.
    pub(super) fn turn(&self, turn: Ref<TurnId>) -> Result<Option<Turn>, Trouble> {
        let found = self.turns_between(turn.into(), None, Order::OldestFirst, 1)?;
        Ok(found.turns.into_iter().next())
    }

    /// A page of the principal's turns.
    pub(super) fn turn_page(&self, query: &TurnQuery) -> Result<Page<Turn>, Trouble> {
        let head = query.conversation.map(|of| self.head(of.into()));
        let head = head.transpose()?;
        let (low, high) = match query.order {
            Order::OldestFirst => (query.cursor.after, query.cursor.before),
            Order::NewestFirst => (query.cursor.before, query.cursor.after),
        };
        let Some(ids) = between(low, high) else {
            return Ok(Page::default());
        };
        let backwards = query.cursor.after.is_none() && query.cursor.before.is_some();
        let order = if backwards {
            reversed(query.order)
        } else {
            query.order
        };
        let app = query.app.map(Bits::of);
        let rows = usize::try_from(query.rows_max).unwrap_or(usize::MAX);
        let rows = rows.saturating_add(1);
        let found = match head {
            Some(head) => self.turns_within((head.scope, &head.sealer), ids, app, order, rows)?,
            None => self.turns_between(ids, app, order, rows)?,
        };
        let mut page = page(found.turns, query.rows_max, backwards);
        page.has_more |= found.is_cut;
        Ok(page)
    }

    /// The principal's turns of both realms.
    fn turns_between(
        &self,
        ids: Span,
        app: Option<Bits>,
        order: Order,
        count_max: usize,
    ) -> Result<Reading, Trouble> {
        let mut select = self.db.prepare_cached(match order {
            Order::OldestFirst => sql::TURNS_RISING,
            Order::NewestFirst => sql::TURNS_FALLING,
        })?;
        let who = &self.who;
        let rows = select.query(params![
            who.project,
            ids.low,
            ids.high,
            who.owner.base(),
            who.app,
            app
        ])?;
        self.read_turns(rows, count_max, |row| {
            self.sealer(read_key_ref(row, COLUMNS)?)
        })
    }

    /// The turns of one conversation.
    fn turns_within(
        &self,
        (of, sealer): (Scope, &Sealer),
        ids: Span,
        app: Option<Bits>,
        order: Order,
        count_max: usize,
    ) -> Result<Reading, Trouble> {
        let mut select = self.db.prepare_cached(match order {
            Order::OldestFirst => sql::TURNS_WITHIN_RISING,
            Order::NewestFirst => sql::TURNS_WITHIN_FALLING,
        })?;
        let rows = select.query(params![of.project, of.conversation, ids.low, ids.high, app])?;
        self.read_turns(rows, count_max, |_| Ok(Some(sealer.clone())))
    }

    /// Turns until there are enough of them; `sealer` gives what opens a row.
    fn read_turns(
        &self,
        mut rows: Rows<'_>,
        count_max: usize,
        sealer: impl Fn(&Row<'_>) -> Result<Option<Sealer>, Trouble>,
    ) -> Result<Reading, Trouble> {
        let mut found = Reading::of(count_max);
        while let Some(row) = rows.next()? {
            if !found.takes(row)? {
                break;
            }
            // Without its key it is gone, though this transaction still sees its row.
            if let Some(sealer) = sealer(row)? {
                found.turns.push(self.open_turn(&sealer, turn_row(row)?)?);
            }
        }
        Ok(found)
    }

    fn open_turn(&self, sealer: &Sealer, row: TurnRow) -> Result<Turn, StoreError> {
        let mut turn = row.plain;
        turn.state = codec::read_state(row.state).ok_or(corrupt("turns", "state"))?;
        if let Some(record) = row.record {
            let of = Record::Turn {
                conversation: turn.conversation,
                turn: turn.id,
            };
            let plain = self.open(sealer, of, Field::TurnRecord, record)?;
            turn.record = codec::read_record(&plain).ok_or(corrupt("turns", "record"))?;
        }
        Ok(turn)
    }
}

fn turn_row(row: &Row<'_>) -> rusqlite::Result<TurnRow> {
    let plain = Turn {
        id: row.get::<_, Bits>(0)?.id(),
        conversation: row.get::<_, Bits>(1)?.id(),
        app: row.get::<_, Bits>(2)?.id(),
        state: TurnState::Running,
        started_at: time(row.get(4)?),
        finished_at: row.get::<_, Option<i64>>(5)?.map(time),
        usage: Usage {
            input_tokens: count(row.get(6)?),
            cached_tokens: count(row.get(7)?),
            output_tokens: count(row.get(8)?),
            reasoning_tokens: count(row.get(9)?),
        },
        first_seq: count(row.get(10)?),
        output_seq: row.get::<_, Option<i64>>(11)?.map(count),
        record: TurnRecord::default(),
    };
    Ok(TurnRow {
        plain,
        state: row.get(3)?,
        record: row.get(RECORD)?,
    })
}
