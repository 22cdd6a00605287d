//! Pages: everything that could be on one, sorted, then cut.

use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{ConversationId, ConversationRef, Id};
use parlance_domain::model::{
    Conversation, ConversationQuery, Item, ItemFilter, ItemKind, ItemQuery, ItemRef, Order, Page,
    Position, Principal, Role, Sort, Turn, TurnQuery,
};
use parlance_domain::store::StoreError;

use super::{Living, State, sees};

pub(super) fn conversations(
    state: &State,
    who: &Principal,
    query: &ConversationQuery,
) -> Result<Page<Conversation>, StoreError> {
    let own = state.living.iter().filter(|((project, _), living)| {
        *project == who.project && sees(who, &living.owner, living.conversation.app)
    });
    let mut rows: Vec<Conversation> = own
        .map(|(_, living)| living.conversation.clone())
        .filter(|own| query.app.is_none_or(|app| app == own.app))
        .collect();
    match query.sort {
        Sort::Created => rows.sort_by_key(|row| row.id),
        Sort::Updated => rows.sort_by_key(|row| (row.updated_at, row.id)),
    }
    let (low, high) = match query.order {
        Order::OldestFirst => (query.cursor.after, query.cursor.before),
        Order::NewestFirst => (query.cursor.before, query.cursor.after),
    };
    if let Some(low) = low {
        let place = place(state, who, query.sort, low)?;
        rows.retain(|row| place.is_before(row));
    }
    if let Some(high) = high {
        let place = place(state, who, query.sort, high)?;
        rows.retain(|row| place.is_after(row));
    }
    let only_before = query.cursor.after.is_none() && query.cursor.before.is_some();
    Ok(cut(rows, query.order, only_before, query.rows_max))
}

/// Where an anchor stands.
enum Place {
    Created(ConversationRef),
    Updated(Timestamp, ConversationId),
}

impl Place {
    fn is_before(&self, row: &Conversation) -> bool {
        match self {
            Self::Created(of) => row.id.bits() > of.high(),
            Self::Updated(time, id) => (row.updated_at, row.id) > (*time, *id),
        }
    }

    fn is_after(&self, row: &Conversation) -> bool {
        match self {
            Self::Created(of) => row.id.bits() < of.low(),
            Self::Updated(time, id) => (row.updated_at, row.id) < (*time, *id),
        }
    }
}

fn place(
    state: &State,
    who: &Principal,
    sort: Sort,
    of: ConversationRef,
) -> Result<Place, StoreError> {
    if sort == Sort::Created {
        return Ok(Place::Created(of));
    }
    if let Some(living) = state.find(who, of) {
        let Conversation { updated_at, id, .. } = living.conversation;
        return Ok(Place::Updated(updated_at, id));
    }
    let mut deleted = state.deleted.iter();
    let found = deleted.find(|((project, id), tombstone)| {
        *project == who.project && of.names(*id) && sees(who, &tombstone.owner, tombstone.app)
    });
    match found {
        Some(((_, id), tombstone)) => Ok(Place::Updated(tombstone.updated_at, *id)),
        None => Err(StoreError::NoAnchor),
    }
}

/// The principal's turns of both realms, oldest first.
pub(super) fn turns(state: &State, who: &Principal) -> Vec<Turn> {
    let own = state.living.iter().filter(|((project, _), living)| {
        let who = who.in_realm(living.owner.realm);
        *project == who.project && sees(&who, &living.owner, living.conversation.app)
    });
    let mut turns: Vec<Turn> = own
        .flat_map(|(_, living)| living.turns.values().cloned())
        .collect();
    turns.sort_by_key(|turn| (turn.id, turn.conversation));
    turns
}

pub(super) fn turn_page(
    state: &State,
    who: &Principal,
    query: &TurnQuery,
) -> Result<Page<Turn>, StoreError> {
    let mut rows = turns(state, who);
    if let Some(of) = query.conversation {
        let of = state.needed(who, of)?.conversation.id;
        rows.retain(|row| row.conversation == of);
    }
    if let Some(app) = query.app {
        rows.retain(|row| row.app == app);
    }
    let (low, high) = match query.order {
        Order::OldestFirst => (query.cursor.after, query.cursor.before),
        Order::NewestFirst => (query.cursor.before, query.cursor.after),
    };
    if let Some(low) = low {
        rows.retain(|row| row.id.bits() > low.high());
    }
    if let Some(high) = high {
        rows.retain(|row| row.id.bits() < high.low());
    }
    let only_before = query.cursor.after.is_none() && query.cursor.before.is_some();
    Ok(cut(rows, query.order, only_before, query.rows_max))
}

pub(super) fn items(of: &Living, query: &ItemQuery) -> Page<Item> {
    let mut rows: Vec<Item> = of.items.values().cloned().collect();
    let (low, high) = match query.order {
        Order::OldestFirst => (&query.cursor.after, &query.cursor.before),
        Order::NewestFirst => (&query.cursor.before, &query.cursor.after),
    };
    if let Some(low) = low {
        rows.retain(|row| lies(of, row, low) == Some(Side::After));
    }
    if let Some(high) = high {
        rows.retain(|row| lies(of, row, high) == Some(Side::Before));
    }
    rows.retain(|row| (query.within.first..=query.within.last).contains(&row.seq));
    rows.retain(|row| passes(row, &query.filter));
    if let Some(running) = of.conversation.running.filter(|_| query.settled) {
        rows.retain(|row| row.turn != Some(running));
    }
    if let Some(turn) = query.turn {
        rows.retain(|row| row.turn == Some(turn) && of.turns.contains_key(&turn));
    }
    let only_before = query.cursor.after.is_none() && query.cursor.before.is_some();
    cut(rows, query.order, only_before, query.rows_max)
}

#[derive(PartialEq, Eq)]
enum Side {
    Before,
    At,
    After,
}

/// On which side of a position an item lies; none if nothing is known of the position.
fn lies(of: &Living, item: &Item, position: &Position) -> Option<Side> {
    let seq = match position {
        ItemRef::Seq(seq) => *seq,
        ItemRef::Id(ids) if item.id.bits() < ids.low() => return Some(Side::Before),
        ItemRef::Id(ids) if item.id.bits() > ids.high() => return Some(Side::After),
        ItemRef::Id(_) => return Some(Side::At),
        ItemRef::Alias(_) => of.items.values().find(|own| position.names(own))?.seq,
    };
    Some(match item.seq.cmp(&seq) {
        std::cmp::Ordering::Less => Side::Before,
        std::cmp::Ordering::Equal => Side::At,
        std::cmp::Ordering::Greater => Side::After,
    })
}

fn passes(item: &Item, filter: &ItemFilter) -> bool {
    let kind = &item.content.kind;
    match filter {
        ItemFilter::Everything => true,
        ItemFilter::NoEvents => *kind != ItemKind::Event,
        ItemFilter::OfType(item_type) => {
            *kind != ItemKind::Event && kind.type_name() == item_type.name()
        }
        ItemFilter::Dialogue => matches!(kind, ItemKind::Message(Role::User | Role::Assistant)),
        ItemFilter::DialogueAndEvents => matches!(
            kind,
            ItemKind::Message(Role::User | Role::Assistant) | ItemKind::Event
        ),
    }
}

/// Cuts a page from rows in rising order.
fn cut<T>(mut rows: Vec<T>, order: Order, only_before: bool, rows_max: u32) -> Page<T> {
    if order == Order::NewestFirst {
        rows.reverse();
    }
    let rows_max = usize::try_from(rows_max).unwrap_or(usize::MAX);
    let has_more = rows.len() > rows_max;
    if only_before {
        // The rows that are next to the anchor are the last ones.
        rows.drain(..rows.len().saturating_sub(rows_max));
    } else {
        rows.truncate(rows_max);
    }
    Page { rows, has_more }
}
