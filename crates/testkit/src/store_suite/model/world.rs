//! What there is to choose from, and the writes that are made of it.

use std::sync::Arc;

use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::ids::{ConversationId, ConversationRef, HoldId, Id, IdSource, ItemId, TurnId};
use parlance_domain::model::{ItemContent, NewItem, Principal, Realm, TurnState};
use parlance_domain::receipt_log::Event;
use parlance_domain::store::{Batch, Require, Write};

use super::super::bench::{USAGE, elsewhere};
use super::{Change, Items};
use crate::clock::ManualClock;
use crate::samples::{self, answer, app, event, metadata, principal, question, typed};

/// What was made so far, refused things included; the latest first.
pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) ids: IdSource,
    pub(super) principals: [Principal; 6],
    pub(super) conversations: Vec<ConversationId>,
    pub(super) items: Vec<ItemId>,
    pub(super) turns: Vec<TurnId>,
    pub(super) last_event: Option<Event>,
    pub(super) holds: Vec<HoldId>,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let bound = Principal {
            app: Some(app(1)),
            ..principal("ann")
        };
        Self {
            ids: samples::ids(Arc::<ManualClock>::clone(&clock)),
            clock,
            principals: [
                principal("ann"),
                principal("bob"),
                principal(""),
                elsewhere("ann"),
                bound,
                principal("ann").in_realm(Realm::LoneTurns),
            ],
            conversations: Vec::new(),
            items: Vec::new(),
            turns: Vec::new(),
            last_event: None,
            holds: Vec::new(),
        }
    }

    pub(super) fn pass(&self, millis: i64) {
        let micros = self.clock.now().micros() + millis * 1_000;
        self.clock.set(Timestamp::from_micros(micros));
    }

    pub(super) fn conversation(&self, at: usize) -> ConversationId {
        let found = self.conversations.iter().rev().nth(at);
        found.copied().unwrap_or(ConversationId::from_bits(1))
    }

    pub(super) fn item(&self, at: usize) -> ItemId {
        let found = self.items.iter().rev().nth(at);
        found.copied().unwrap_or(ItemId::from_bits(1))
    }

    pub(super) fn turn(&self, at: usize) -> TurnId {
        let found = self.turns.iter().rev().nth(at);
        found.copied().unwrap_or(TurnId::from_bits(1))
    }

    fn new_items(&mut self, items: &Items) -> Vec<NewItem> {
        let mut made = Vec::new();
        for (kind, alias) in &items.kinds {
            let content = content(*kind);
            let id = if items.stale && !self.items.is_empty() {
                self.item(0)
            } else {
                self.ids.next()
            };
            self.items.push(id);
            made.push(NewItem {
                id,
                alias: alias.map(|alias| format!("alias {alias}")),
                content,
            });
        }
        made
    }

    pub(super) fn batch(
        &mut self,
        as_read: Option<(usize, usize, bool)>,
        writes: &[Change],
    ) -> Batch {
        let require = as_read.map(|(conversation, item, changed)| Require::ItemAsRead {
            conversation: self.conversation(conversation),
            item: self.item(item),
            modified_at: changed.then(|| self.clock.now()),
        });
        Batch {
            require: require.into_iter().collect(),
            writes: writes
                .iter()
                .flat_map(|change| self.writes(change))
                .collect(),
        }
    }

    fn writes(&mut self, change: &Change) -> Vec<Write> {
        let Change::Ask { app, clash, input } = change else {
            return vec![self.write(change)];
        };
        let at = self.clock.now();
        let nothing = Items {
            kinds: Vec::new(),
            stale: false,
        };
        let create = self.create(*app, *clash, &nothing, at);
        let conversation = self.conversation(0);
        let turn = TurnId::from_bits(conversation.bits());
        self.turns.push(turn);
        let start = self.begin(conversation, turn, *app, input, at);
        vec![create, start]
    }

    fn write(&mut self, change: &Change) -> Write {
        let at = self.clock.now();
        match change {
            Change::Create {
                app,
                clash,
                items: kinds,
            }
            | Change::Ask {
                app,
                clash,
                input: kinds,
            } => self.create(*app, *clash, kinds, at),
            Change::Append { to, items } => Write::Append {
                conversation: self.conversation(*to),
                items: self.new_items(items),
                at,
            },
            Change::Title { to, text } => Write::SetTitle {
                conversation: self.conversation(*to),
                title: text.clone(),
                at,
            },
            Change::Metadata { to, pairs } => Write::SetMetadata {
                conversation: self.conversation(*to),
                metadata: metadata(&[("b", "1"), ("a", "é")][..*pairs]),
                at,
            },
            Change::Active { to, active } => Write::SetActive {
                conversation: self.conversation(*to).into(),
                active: *active,
            },
            Change::Section { to } => Write::StartSection {
                conversation: self.conversation(*to),
                section: self.ids.next(),
                at,
            },
            Change::Replace { to, item } => Write::ReplaceItem {
                conversation: self.conversation(*to),
                item: self.item(*item),
                content: question("replaced"),
                at,
            },
            Change::Remove { to, items } => Write::RemoveItems {
                conversation: self.conversation(*to),
                items: items.iter().map(|item| self.item(*item)).collect(),
                at,
            },
            Change::Start { to, app, input } => self.start(*to, *app, input, at),
            Change::Finish {
                to,
                turn,
                record,
                output,
            } => self.finish((*to, *turn), *record, output, at),
            Change::Forget { to, turn } => Write::RemoveTurn {
                conversation: self.conversation(*to),
                turn: self.turn(*turn),
            },
            Change::Delete { to, prefix } => self.delete(*to, *prefix, at),
        }
    }

    fn delete(&self, to: usize, prefix: bool, at: Timestamp) -> Write {
        let id = self.conversation(to);
        let decimal = ConversationRef::from_decimal(&id.decimal().to_string());
        let conversation = decimal.filter(|_| prefix).unwrap_or(id.into());
        Write::Delete {
            conversation,
            receipt: self.ids.next(),
            requested_at: at,
            at,
        }
    }

    fn create(&mut self, app: u8, clash: bool, items: &Items, at: Timestamp) -> Write {
        let mut new = samples::conversation(&self.ids, samples::app(app), at);
        if clash && !self.conversations.is_empty() {
            new.id = ConversationId::from_bits(self.conversation(0).bits() ^ 1);
        }
        new.items = self.new_items(items);
        self.conversations.push(new.id);
        Write::Create(Box::new(new))
    }

    fn start(&mut self, to: usize, app: u8, input: &Items, at: Timestamp) -> Write {
        let turn = self.ids.next();
        self.turns.push(turn);
        self.begin(self.conversation(to), turn, app, input, at)
    }

    fn begin(
        &mut self,
        conversation: ConversationId,
        turn: TurnId,
        app: u8,
        input: &Items,
        at: Timestamp,
    ) -> Write {
        Write::StartTurn {
            conversation,
            turn,
            app: samples::app(app),
            record: Box::new(samples::record("begun")),
            input: self.new_items(input),
            at,
        }
    }

    fn finish(
        &mut self,
        (to, turn): (usize, usize),
        record: bool,
        output: &Items,
        at: Timestamp,
    ) -> Write {
        Write::FinishTurn {
            conversation: self.conversation(to),
            turn: self.turn(turn),
            state: TurnState::Completed,
            usage: USAGE,
            record: record.then(|| Box::new(samples::record("over"))),
            output: self.new_items(output),
            at,
        }
    }
}

fn content(kind: u8) -> ItemContent {
    match kind {
        0 | 1 => question("q"),
        2 => answer("a"),
        3 => typed("reasoning"),
        _ => event("e"),
    }
}
