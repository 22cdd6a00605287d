//! What has to hold, whatever happened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parlance_domain::ConversationId;
use parlance_domain::model::ReceiptState;
use parlance_domain::store::Store;
use parlance_testkit::samples::PROJECT;

use super::super::sql;
use super::super::value::{Bits, read_key_ref};
use super::client::{Act, CANARY};
use super::run::{Answer, Run, Violation};
use super::view::View;
use crate::erasures;
use crate::keyring::KeyRef;

/// Bytes of a slot in the keyring's file.
const SLOT: usize = 80;
/// Bytes of its generation.
const GENERATION: usize = 8;

impl Run {
    /// Compares all that can be read with what may be there, and keeps the models that agree.
    pub(super) async fn compare(&mut self) -> Result<(), Violation> {
        let found = View::of(self.store()?, &self.world).await;
        let Answer::Done(found) = self.judge(found)? else {
            return Ok(());
        };
        let mut left = Vec::new();
        let mut difference = String::new();
        for model in std::mem::take(&mut self.models) {
            let wanted = View::of(&model, &self.world).await;
            let wanted = wanted.map_err(|error| error.to_string())?;
            if found == wanted {
                left.push(model);
            } else {
                difference = found.difference(&wanted);
            }
        }
        if left.is_empty() {
            return Err(format!("what is there was not promised: {difference}"));
        }
        self.models = left;
        self.learn_keys().await
    }

    /// The keys that the database refers to.
    async fn living_keys(&self) -> Result<Option<BTreeMap<ConversationId, KeyRef>>, Violation> {
        let read = self.store()?.read("reading keys", |db, _| {
            let mut select = db.prepare(sql::EVERY_CONVERSATION)?;
            let rows = select.query_map([], |row| {
                let id: Bits = row.get(1)?;
                Ok((id.id(), read_key_ref(row, 2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        match self.judge(read.await)? {
            Answer::Done(keys) => Ok(Some(keys)),
            Answer::Refused(_) | Answer::Unknown => Ok(None),
        }
    }

    async fn learn_keys(&mut self) -> Result<(), Violation> {
        let living = self.living_keys().await?.unwrap_or_default();
        self.keys.extend(living);
        Ok(())
    }

    /// Whether nothing is left of a conversation's key: not for the store, and not on the disk.
    pub(super) fn is_wiped(&self, conversation: ConversationId) -> Result<(), Violation> {
        let Some(key) = self.keys.get(&conversation) else {
            return Ok(());
        };
        let slots: PathBuf = self.disk().root().join("keyring/slots");
        let slots = self.disk().on_disk(&slots).unwrap_or_default();
        let keyring = self.store()?.vault.keyring();
        let place = keyring.and_then(|keyring| keyring.place_of(key.slot));
        let at = usize::try_from(place.unwrap_or(0)).unwrap() * SLOT;
        let slot = slots.get(at..at + SLOT).unwrap_or_default();
        let generation = slot.first_chunk::<GENERATION>();
        let generation = generation.map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let is_zero = slot.iter().all(|byte| *byte == 0);
        if !is_zero && generation <= key.generation {
            return Err(format!("a key that was destroyed is on the disk: {key:?}"));
        }
        if let Some(Ok(Some(_))) = keyring.map(|keyring| keyring.key(*key)) {
            return Err(format!("a key that was destroyed can be had: {key:?}"));
        }
        Ok(())
    }

    /// Everything, in a process that no fault is planned for.
    pub(super) async fn check(&mut self) -> Result<(), Violation> {
        self.compare().await?;
        if !self.disk().fired().is_empty() {
            return Err("a fault came where none was planned".to_owned());
        }
        let integrity = self.store()?.read("checking the database", |db, _| {
            Ok(db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))?)
        });
        let integrity = integrity.await.map_err(|error| error.to_string())?;
        if integrity != "ok" {
            return Err(format!("the database is damaged: {integrity}"));
        }
        let living = self.living_keys().await?.unwrap_or_default();
        for id in self.keys.keys().filter(|id| !living.contains_key(id)) {
            self.is_wiped(*id)?;
        }
        self.check_log(&living).await?;
        self.look_for_canaries()
    }

    /// The log of erasures has every key that was destroyed, and none that lives.
    async fn check_log(&self, living: &BTreeMap<ConversationId, KeyRef>) -> Result<(), Violation> {
        let logged = self.store()?.log_erasures().await;
        logged.map_err(|error| error.to_string())?;
        let path = self.disk().root().join(erasures::FILE);
        let bytes = self.disk().on_disk(&path).unwrap_or_default();
        let known = erasures::parse(&bytes).map_err(|error| error.to_string())?;
        let erased: BTreeMap<u32, u64> = known
            .iter()
            .flat_map(erasures::Known::erased)
            .map(|key| (key.slot, key.generation))
            .collect();
        for (id, key) in &self.keys {
            let is_logged = erased
                .get(&key.slot)
                .is_some_and(|last| *last >= key.generation);
            if is_logged == living.contains_key(id) {
                return Err(format!("the log of erasures is wrong about {key:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn look_for_canaries(&self) -> Result<(), Violation> {
        let holding = self.disk().holding(CANARY.as_bytes());
        if holding.is_empty() {
            return Ok(());
        }
        Err(format!("content that is not sealed is in {holding:?}"))
    }

    /// Lets all that was begun come to its end, and looks for what is left.
    pub(super) async fn finish(&mut self) -> Result<(), Violation> {
        let before = self
            .world
            .now()
            .earlier(std::time::Duration::from_hours(24));
        self.act(&Act::Sweep(before)).await?;
        self.act(&Act::Sign).await?;
        self.act(&Act::EmptyLog).await?;
        self.check().await?;
        let receipts = self.store()?.receipts(PROJECT, None, 1_000).await;
        let receipts = receipts.map_err(|error| error.to_string())?;
        if let Some(open) = receipts
            .iter()
            .find(|receipt| receipt.state != ReceiptState::Complete)
        {
            return Err(format!("a receipt is not complete: {open:?}"));
        }
        let left = self.store()?.read("looking for what is left", |db, _| {
            let count = "SELECT (SELECT count(*) FROM purges) + \
                (SELECT count(*) FROM items AS i WHERE NOT EXISTS (SELECT 1 FROM conversations \
                 AS c WHERE c.project = i.project AND c.id = i.conversation)) + \
                (SELECT count(*) FROM aliases AS a WHERE NOT EXISTS (SELECT 1 FROM conversations \
                 AS c WHERE c.project = a.project AND c.id = a.conversation)) + \
                (SELECT count(*) FROM turns AS t WHERE NOT EXISTS (SELECT 1 FROM conversations \
                 AS c WHERE c.project = t.project AND c.id = t.conversation))";
            Ok(db.query_row(count, [], |row| row.get::<_, i64>(0))?)
        });
        match left.await.map_err(|error| error.to_string())? {
            0 => Ok(()),
            rows => Err(format!("{rows} rows of what was deleted are left")),
        }
    }
}
