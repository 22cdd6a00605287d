//! What operators do: holds, erasing many at once, what comes into the log besides.

use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::erasing::EraseQuery;
use parlance_domain::ids::{HoldId, Id};
use parlance_domain::model::{Hold, HoldScope};
use parlance_domain::receipt_log::Event;
use parlance_domain::store::{AdminWrite, Store};

use super::super::holds::user;
use super::{World, said};
use crate::samples;

impl World {
    pub(super) fn happening(&mut self, again: bool) -> Event {
        let last = self.last_event.take().filter(|_| again);
        let event = last.unwrap_or_else(|| samples::happening(&self.ids, self.clock.now()));
        self.last_event = Some(event.clone());
        event
    }

    pub(super) fn hold(&mut self, to: usize, covers: u8) -> AdminWrite {
        let (id, at) = (self.ids.next(), self.clock.now());
        self.holds.push(id);
        let covers = match covers {
            0 => HoldScope::Conversation(self.conversation(to)),
            1 => HoldScope::User(user("ann")),
            _ => HoldScope::Project,
        };
        AdminWrite::AddHold {
            hold: Hold {
                id,
                project: samples::PROJECT,
                covers,
                note: None,
                added_at: at,
            },
            event: samples::happening(&self.ids, at),
        }
    }

    pub(super) fn release(&self, at: usize) -> AdminWrite {
        let found = self.holds.iter().rev().nth(at);
        AdminWrite::RemoveHold {
            project: samples::PROJECT,
            hold: found.copied().unwrap_or(HoldId::from_bits(1)),
            event: samples::happening(&self.ids, self.clock.now()),
        }
    }

    pub(super) fn order(&self, of_user: bool, age: i64) -> EraseQuery {
        let before = self.clock.now().micros() - age * 1_000;
        EraseQuery {
            project: samples::PROJECT,
            user: of_user.then(|| user("ann")),
            unchanged_since: (age >= 0).then(|| Timestamp::from_micros(before)),
        }
    }
}

/// Records an event on both stores.
pub(super) async fn agree_on_event(model: &dyn Store, store: &dyn Store, event: Event) {
    let wanted = said(model.record_event(event.clone()).await);
    assert_eq!(said(store.record_event(event).await), wanted);
}

/// Adds or removes a hold on both stores.
pub(super) async fn agree_on_holding(model: &dyn Store, store: &dyn Store, write: &AdminWrite) {
    let wanted = said(model.administer(write).await);
    assert_eq!(said(store.administer(write).await), wanted);
}

/// Erases on both stores some of what they say is to be erased.
pub(super) async fn agree_on_erasing(
    model: &dyn Store,
    store: &dyn Store,
    world: &World,
    what: &EraseQuery,
    count_max: u32,
) {
    let mut after = None;
    loop {
        let wanted = model.erasable(what, after, count_max).await.unwrap();
        let found = store.erasable(what, after, count_max).await.unwrap();
        assert_eq!(found, wanted, "{what:?}");
        let Some(last) = wanted.last() else {
            break;
        };
        after = Some(last.place);
    }
    let some = world.conversations.iter().rev().take(3);
    let some: Vec<_> = some.map(|id| (*id, world.ids.next())).collect();
    let at = world.clock.now();
    let wanted = said(model.erase_some(what, &some, at).await);
    assert_eq!(said(store.erase_some(what, &some, at).await), wanted);
    let wanted = model.holds(what.project).await.unwrap();
    assert_eq!(store.holds(what.project).await.unwrap(), wanted);
}
