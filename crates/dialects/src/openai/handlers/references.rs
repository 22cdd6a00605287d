//! Items of a body that name others.

use parlance_domain::service::ItemDraft;
use parlance_domain::{
    Conflict, ConversationRef, Cursor, Error, Fault, Id, Item, ItemRef, Noun, Order, Principal,
    Ref, TurnId, TurnQuery,
};

use super::items::{exists, find};
use crate::kit::{Call, Failure};
use crate::openai::error::{item_missing, item_not_kept};
use crate::openai::item::{self, Given};

/// Most responses of a chain that are searched for what a body names.
const TURNS_MAX: usize = 100;

/// Most turns that are searched for an item which a body names without saying where it is.
const NEARBY_TURNS_MAX: u32 = 64;

/// Most bytes that the items have which one body names: a name is short, and can be given many times.
const COPIED_BYTES_MAX: usize = 16 << 20;

/// How much of that is left.
struct Room(usize);

impl Room {
    /// Makes place for a copy.
    fn take(&mut self, item: Item) -> Result<Item, Error> {
        let native = item.content.native.as_ref();
        let bytes =
            item.content.payload.text().len() + native.map_or(0, |native| native.json.text().len());
        let too_large = || Fault::BodyTooLarge {
            bytes_max: u64::try_from(COPIED_BYTES_MAX).unwrap_or(u64::MAX),
        };
        self.0 = self.0.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(item)
    }
}

/// Where the items are that a body can name.
#[derive(Clone, Copy)]
pub(in crate::openai) enum Place {
    /// In a conversation.
    Conversation(ConversationRef),
    /// In a response and those before it.
    Chain(Ref<TurnId>),
    /// Nowhere.
    None,
}

/// The items to add: new ones as they are, references as copies of what they name. [`Fault::BodyTooLarge`] if
/// the copies are too much for one body.
pub(in crate::openai) async fn resolve(
    call: &Call,
    who: &Principal,
    place: Place,
    given: Vec<Given>,
) -> Result<Vec<ItemDraft>, Failure> {
    let mut room = Room(COPIED_BYTES_MAX);
    let mut named = match place {
        Place::Chain(last) => in_chain(call, who, last, &given, &mut room).await?,
        Place::Conversation(_) | Place::None => Vec::new(),
    };
    let mut drafts = Vec::with_capacity(given.len());
    for given in given {
        let draft = match (given, place) {
            (Given::Reference(id), Place::Conversation(of)) => {
                let found = find(call, who, of, &id).await;
                // The path does not say which one is missing.
                let found = found.map_err(|error| item_missing(error, &id))?;
                room.take(found)?.content.into()
            }
            (Given::Reference(id), Place::Chain(_) | Place::None) => {
                let at = named.iter().position(|(named, _)| *named == id);
                let found = match at {
                    Some(at) => Some(named.swap_remove(at).1),
                    None => match nearby(call, who, &id).await? {
                        Some(found) => Some(room.take(found)?),
                        None => None,
                    },
                };
                found.ok_or_else(|| item_not_kept(&id))?.content.into()
            }
            (Given::New(draft), Place::Conversation(of)) => {
                // An id that the client has from us must not come to name two items.
                let taken = match draft.alias.as_deref().and_then(item::ours) {
                    Some(id) => exists(call, who, of, &id).await?,
                    None => false,
                };
                if taken {
                    return Err(Fault::Conflict(Conflict::DuplicateItem).into());
                }
                draft
            }
            (Given::New(draft), Place::Chain(_) | Place::None) => draft,
        };
        drafts.push(draft);
    }
    Ok(drafts)
}

/// What of a chain of responses a body names, with the names.
async fn in_chain(
    call: &Call,
    who: &Principal,
    last: Ref<TurnId>,
    given: &[Given],
    room: &mut Room,
) -> Result<Vec<(String, Item)>, Error> {
    let names = given.iter().filter_map(|given| match given {
        Given::Reference(id) => Some(id.clone()),
        Given::New(_) => None,
    });
    let (mut missing, mut found): (Vec<String>, _) = (names.collect(), Vec::new());
    let mut next = Some(last);
    for _ in 0..TURNS_MAX {
        let Some(turn) = next.filter(|_| !missing.is_empty()) else {
            break;
        };
        let turn = match call.service.turn(who, turn).await {
            Ok(turn) => turn,
            // Whether the first one is there is asked when the turn begins.
            Err(error) if error.fault == Fault::NotFound(Noun::Turn) => break,
            Err(error) => return Err(error),
        };
        let owner = who.in_realm(turn.realm());
        let mut left = Vec::new();
        for id in missing {
            match find(call, &owner, turn.conversation.into(), &id).await {
                Ok(item) => found.push((id, room.take(item)?)),
                Err(Error {
                    fault: Fault::NotFound(_),
                    ..
                }) => left.push(id),
                Err(error) => return Err(error),
            }
        }
        missing = left;
        next = turn
            .record
            .previous
            .filter(|_| turn.stands_alone())
            .map(Ref::from);
    }
    Ok(found)
}

/// An item that some response of the principal's was asked or has said. Items are made while their turn runs, so
/// that it is looked for in the turns that had begun when it was made, the latest first. Programs that keep no
/// chain name what was said so.
async fn nearby(call: &Call, who: &Principal, id: &str) -> Result<Option<Item>, Error> {
    let Some(ItemRef::Id(named)) = item::ours(id) else {
        return Ok(None);
    };
    let query = TurnQuery {
        order: Order::NewestFirst,
        cursor: Cursor {
            after: Some(TurnId::from_bits(named.high()).into()),
            before: None,
        },
        conversation: None,
        app: None,
        rows_max: NEARBY_TURNS_MAX,
    };
    for turn in call.service.turn_page(who, &query).await?.rows {
        let owner = who.in_realm(turn.realm());
        match find(call, &owner, turn.conversation.into(), id).await {
            Ok(item) if item.turn == Some(turn.id) => return Ok(Some(item)),
            Ok(_)
            | Err(Error {
                fault: Fault::NotFound(_),
                ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
