//! Writes, one after the other, on a copy of the state that is thrown away if one is refused.

use std::collections::BTreeMap;

use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{ConversationRef, ItemId, ReceiptId, Ref, TurnId};
use parlance_domain::model::{
    Conversation, Erasure, Hold, HoldScope, Item, ItemsBucket, NewConversation, NewItem, Principal,
    ReceiptState, Turn, TurnRecord, TurnState, Usage, first_section,
};
use parlance_domain::receipt_log::Event;
use parlance_domain::store::{AdminWrite, Batch, Outcome, Require, StoreError, Write};

use super::receipts::{self, Receipt};
use super::{Living, Owner, State, Tombstone};

pub(super) fn apply(
    state: &mut State,
    who: &Principal,
    batch: &Batch,
) -> Result<Vec<Outcome>, StoreError> {
    for require in &batch.require {
        let Require::ItemAsRead {
            conversation,
            item,
            modified_at,
        } = require;
        let holds = state.find(who, (*conversation).into()).is_some_and(|own| {
            let mut items = own.items.values();
            items.any(|own| own.id == *item && own.modified_at == *modified_at)
        });
        if !holds {
            return Err(StoreError::Changed);
        }
    }
    batch
        .writes
        .iter()
        .map(|one| write(state, who, one))
        .collect()
}

fn write(state: &mut State, who: &Principal, write: &Write) -> Result<Outcome, StoreError> {
    match write {
        Write::Create(new) => create(state, who, new),
        Write::Delete {
            conversation,
            receipt,
            requested_at,
            at,
        } => delete(state, who, *conversation, (*receipt, *requested_at, *at)),
        Write::SetActive {
            conversation,
            active,
        } => {
            living(state, who, *conversation)?.conversation.active = *active;
            Ok(Outcome::Done)
        }
        Write::RemoveTurn { conversation, turn } => {
            let of = (*conversation).into();
            refuse_held(state, who, of)?;
            remove_turn(living(state, who, of)?, *turn)
        }
        Write::Append {
            conversation, at, ..
        }
        | Write::SetTitle {
            conversation, at, ..
        }
        | Write::SetMetadata {
            conversation, at, ..
        }
        | Write::StartSection {
            conversation, at, ..
        }
        | Write::ReplaceItem {
            conversation, at, ..
        }
        | Write::RemoveItems {
            conversation, at, ..
        }
        | Write::StartTurn {
            conversation, at, ..
        }
        | Write::FinishTurn {
            conversation, at, ..
        } => {
            if destroys(write) {
                refuse_held(state, who, (*conversation).into())?;
            }
            let living = living(state, who, (*conversation).into())?;
            living.conversation.updated_at = living.conversation.updated_at.max(*at);
            change(living, write, *at)
        }
    }
}

/// Whether a write destroys what an item says.
const fn destroys(write: &Write) -> bool {
    matches!(write, Write::ReplaceItem { .. } | Write::RemoveItems { .. })
}

fn refuse_held(state: &State, who: &Principal, of: ConversationRef) -> Result<(), StoreError> {
    let living = state.needed(who, of)?;
    let id = living.conversation.id;
    if state.holds(who.project, Some(id), living.owner.user.as_ref()) {
        return Err(StoreError::Held);
    }
    Ok(())
}

fn change(living: &mut Living, write: &Write, at: Timestamp) -> Result<Outcome, StoreError> {
    match write {
        // Done above.
        Write::Create(_)
        | Write::Delete { .. }
        | Write::SetActive { .. }
        | Write::RemoveTurn { .. } => {}
        Write::Append { items, .. } => return add(living, items, None),
        Write::SetTitle { title, .. } => living.conversation.title.clone_from(title),
        Write::SetMetadata { metadata, .. } => living.conversation.metadata = metadata.clone(),
        Write::StartSection { section, .. } => living.conversation.section = *section,
        Write::ReplaceItem { item, content, .. } => {
            let mut items = living.items.values_mut();
            let found = items.find(|own| own.id == *item);
            let item = found.ok_or(StoreError::NoItem)?;
            item.content.payload = content.payload.clone();
            item.content.native.clone_from(&content.native);
            item.modified_at = Some(at);
        }
        Write::RemoveItems { items, .. } => {
            for id in items {
                let found = living.items.values().find(|own| own.id == *id);
                let seq = found.ok_or(StoreError::NoItem)?.seq;
                living.items.remove(&seq);
            }
        }
        Write::StartTurn {
            turn,
            app,
            record,
            input,
            ..
        } => {
            let turn = Turn {
                id: *turn,
                conversation: living.conversation.id,
                app: *app,
                state: TurnState::Running,
                started_at: at,
                finished_at: None,
                usage: Usage::default(),
                first_seq: living.conversation.next_seq,
                output_seq: None,
                record: TurnRecord::clone(record),
            };
            return start_turn(living, turn, input);
        }
        Write::FinishTurn {
            turn,
            state,
            usage,
            record,
            output,
            ..
        } => {
            if living.conversation.running != Some(*turn) {
                return Err(StoreError::NoTurn);
            }
            living.conversation.running = None;
            if let Some(turn) = living.turns.get_mut(turn) {
                turn.state = *state;
                turn.usage = *usage;
                turn.finished_at = Some(at);
                turn.output_seq = Some(living.conversation.next_seq);
                if let Some(record) = record {
                    turn.record.clone_from(record);
                }
            }
            return add(living, output, Some(*turn));
        }
    }
    Ok(Outcome::Done)
}

fn start_turn(living: &mut Living, turn: Turn, input: &[NewItem]) -> Result<Outcome, StoreError> {
    if living.conversation.running.is_some() {
        return Err(StoreError::TurnRunning);
    }
    check_rising(living.last_item, input)?;
    let id = turn.id;
    if living.turns.insert(id, turn).is_some() {
        return Err(StoreError::IdClash);
    }
    living.conversation.running = Some(id);
    add(living, input, Some(id))
}

fn remove_turn(living: &mut Living, turn: TurnId) -> Result<Outcome, StoreError> {
    if living.conversation.running == Some(turn) {
        return Err(StoreError::TurnRunning);
    }
    let removed = living.turns.remove(&turn);
    removed.map(|_| Outcome::Done).ok_or(StoreError::NoTurn)
}

fn living<'a>(
    state: &'a mut State,
    who: &Principal,
    of: ConversationRef,
) -> Result<&'a mut Living, StoreError> {
    let id = state.needed(who, of)?.conversation.id;
    let found = state.living.get_mut(&(who.project, id));
    found.ok_or(StoreError::NoConversation)
}

fn create(
    state: &mut State,
    who: &Principal,
    new: &NewConversation,
) -> Result<Outcome, StoreError> {
    let clashing = Ref::clashing_with(new.id);
    let mut taken = state.living.keys().chain(state.deleted.keys());
    if taken.any(|(project, id)| *project == who.project && clashing.names(*id)) {
        return Err(StoreError::IdClash);
    }
    let mut living = Living {
        owner: Owner::of(who),
        conversation: Conversation {
            id: new.id,
            app: new.app,
            updated_at: new.at,
            section: first_section(new.id),
            active: new.active,
            running: None,
            next_seq: 0,
            title: new.title.clone(),
            metadata: new.metadata.clone(),
            extras: new.extras.clone(),
        },
        last_item: None,
        items: BTreeMap::new(),
        turns: BTreeMap::new(),
    };
    add(&mut living, &new.items, None)?;
    state.living.insert((who.project, new.id), living);
    Ok(Outcome::Done)
}

pub(super) fn delete(
    state: &mut State,
    who: &Principal,
    of: ConversationRef,
    (receipt, requested_at, at): (ReceiptId, Timestamp, Timestamp),
) -> Result<Outcome, StoreError> {
    refuse_held(state, who, of)?;
    let gone = state.needed(who, of)?.clone();
    let Conversation {
        id,
        running,
        next_seq,
        ..
    } = gone.conversation;
    if state.receipts.contains_key(&(who.project, receipt)) {
        return Err(StoreError::IdClash);
    }
    let erasure = Erasure {
        receipt,
        project: who.project,
        conversation: id,
        commitment: None,
        requested_at,
        tombstoned_at: at,
        key_destroyed_at: None,
        root_renewed_at: None,
        is_purged: true,
        is_renewed: false,
        items: ItemsBucket::of(next_seq),
    };
    let kept = Receipt {
        erasure,
        state: ReceiptState::Pending,
    };
    state.receipts.insert((who.project, receipt), kept);
    state.living.remove(&(who.project, id));
    let tombstone = Tombstone {
        owner: gone.owner,
        app: gone.conversation.app,
        updated_at: gone.conversation.updated_at,
        deleted_at: at,
        receipt,
    };
    state.deleted.insert((who.project, id), tombstone);
    Ok(Outcome::Deleted {
        conversation: id,
        running,
        receipt,
    })
}

fn check_rising(mut last: Option<ItemId>, items: &[NewItem]) -> Result<(), StoreError> {
    for item in items {
        if let Some(last) = last.filter(|last| *last >= item.id) {
            return Err(StoreError::StaleItemId { last });
        }
        last = Some(item.id);
    }
    Ok(())
}

fn add(
    living: &mut Living,
    items: &[NewItem],
    turn: Option<TurnId>,
) -> Result<Outcome, StoreError> {
    check_rising(living.last_item, items)?;
    let Conversation {
        next_seq: first_seq,
        section,
        ..
    } = living.conversation;
    for new in items {
        let taken = |own: &Item| new.alias.is_some() && own.alias == new.alias;
        if living.items.values().any(taken) {
            return Err(StoreError::DuplicateItem);
        }
        let seq = living.conversation.next_seq;
        living.items.insert(
            seq,
            Item {
                id: new.id,
                seq,
                section,
                turn,
                modified_at: None,
                alias: new.alias.clone(),
                content: new.content.clone(),
            },
        );
        living.conversation.next_seq += 1;
        living.last_item = Some(new.id);
    }
    Ok(Outcome::Added { first_seq, section })
}

pub(super) fn administer(state: &mut State, write: &AdminWrite) -> Result<(), StoreError> {
    match write {
        AdminWrite::CreateProject(new) => {
            if state.projects.values().any(|own| own.name == new.name) {
                return Err(StoreError::NameTaken);
            }
            if state.projects.contains_key(&new.id) {
                return Err(StoreError::IdClash);
            }
            state.projects.insert(new.id, new.clone());
        }
        AdminWrite::CreateApp(new) => {
            let mut apps = state.apps.values();
            if apps.any(|own| own.project == new.project && own.name == new.name) {
                return Err(StoreError::NameTaken);
            }
            if state.apps.contains_key(&(new.project, new.id)) {
                return Err(StoreError::IdClash);
            }
            state.apps.insert((new.project, new.id), new.clone());
        }
        AdminWrite::CreateKey { key, digest } => {
            let taken = state.keys.contains_key(&(key.project, key.id));
            if taken || state.keys.values().any(|(own, _)| own == digest) {
                return Err(StoreError::IdClash);
            }
            let entry = (*digest, key.clone());
            state.keys.insert((key.project, key.id), entry);
        }
        AdminWrite::RevokeKey { project, key, at } => {
            let found = state.keys.get_mut(&(*project, *key));
            let (_, key) = found.ok_or(StoreError::NoKey)?;
            key.revoked_at = key.revoked_at.or(Some(*at));
        }
        AdminWrite::RetireKey {
            project,
            key,
            user,
            at,
        } => {
            if state.holds(*project, None, Some(user)) {
                return Err(StoreError::Held);
            }
            let found = state.keys.get_mut(&(*project, *key));
            let (_, key) = found.ok_or(StoreError::NoKey)?;
            key.revoked_at = key.revoked_at.or(Some(*at));
            key.user = None;
        }
        AdminWrite::AddHold { hold, event } => add_hold(state, hold, event)?,
        AdminWrite::RemoveHold {
            project,
            hold,
            event,
        } => {
            let removed = state.holds.remove(&(*project, *hold));
            removed.ok_or(StoreError::NoHold)?;
            receipts::record(state, event.clone())?;
        }
    }
    Ok(())
}

fn add_hold(state: &mut State, hold: &Hold, event: &Event) -> Result<(), StoreError> {
    if let HoldScope::Conversation(id) = hold.covers
        && !state.living.contains_key(&(hold.project, id))
    {
        return Err(StoreError::NoConversation);
    }
    if state.holds.contains_key(&(hold.project, hold.id)) {
        return Err(StoreError::IdClash);
    }
    receipts::record(state, event.clone())?;
    state.holds.insert((hold.project, hold.id), hold.clone());
    Ok(())
}
