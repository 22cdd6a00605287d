use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::ids::{ConversationId, IdSource};
use parlance_domain::receipt_log::Happening;
use parlance_domain::store::{Batch, Store, Write};
use parlance_testkit::ManualClock;
use parlance_testkit::samples::{app, conversation, ids, principal};

use super::manifest::Manifest;
use super::*;
use crate::erasures::{self, Known};
use crate::keyring::RootFile;
use crate::sqlite::Sqlite;

const DAY: Duration = Duration::from_hours(24);

/// A store, a folder for its backups, and a clock for both.
struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    ids: IdSource,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self {
            folder: tempfile::tempdir().unwrap(),
            ids: ids(Arc::<ManualClock>::clone(&clock)),
            clock,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("backup")
    }

    fn open(&self) -> Sqlite {
        fs::create_dir_all(self.data()).unwrap();
        let options = crate::Options {
            clock: Arc::<ManualClock>::clone(&self.clock),
            ..crate::Options::default()
        };
        Sqlite::open(&self.data(), options).unwrap()
    }

    async fn make(&self, store: &Sqlite) -> ConversationId {
        self.make_many(store, 1).await[0]
    }

    async fn make_many(&self, store: &Sqlite, count: usize) -> Vec<ConversationId> {
        self.clock.advance(Duration::from_secs(1));
        let (mut batch, mut made) = (Batch::default(), Vec::new());
        for _ in 0..count {
            let mut new = conversation(&self.ids, app(1), self.clock.now());
            new.title = Some("a title".to_owned());
            made.push(new.id);
            batch.writes.push(Write::Create(Box::new(new)));
        }
        store.apply(&principal("ann"), &batch).await.unwrap();
        made
    }

    async fn delete(&self, store: &Sqlite, id: ConversationId) {
        self.delete_many(store, &[id]).await;
    }

    async fn delete_many(&self, store: &Sqlite, ids: &[ConversationId]) {
        self.clock.advance(Duration::from_secs(1));
        let mut batch = Batch::default();
        for id in ids {
            batch.writes.push(Write::Delete {
                conversation: (*id).into(),
                receipt: self.ids.next(),
                requested_at: self.clock.now(),
                at: self.clock.now(),
            });
        }
        store.apply(&principal("ann"), &batch).await.unwrap();
    }

    async fn back_up(&self, store: &Sqlite) -> Result<Made, BackupError> {
        self.clock.advance(Duration::from_secs(1));
        let options = Options {
            snapshot_kept: Some(DAY),
        };
        store.back_up(self.backup(), options, || true).await
    }

    fn restore(&self, erasures: Option<&Path>) -> Result<Restored, BackupError> {
        self.restore_with(erasures, false)
    }

    fn restore_with(
        &self,
        erasures: Option<&Path>,
        accept_expired: bool,
    ) -> Result<Restored, BackupError> {
        self.clock.advance(Duration::from_secs(1));
        fs::create_dir_all(self.data()).unwrap();
        let restore = Restore {
            from: &self.backup(),
            to: &self.data(),
            erasures,
            accept_expired,
            replace: true,
            mirror: None,
            root: &|folder| Arc::new(RootFile::beside(folder, None)),
            now: self.clock.now(),
            event: self.ids.next(),
        };
        restore.run()
    }
}

async fn has(store: &Sqlite, id: ConversationId) -> bool {
    let found = store.conversation(&principal("ann"), id.into()).await;
    let found = found.unwrap();
    let is_whole =
        |found: &parlance_domain::Conversation| found.title.as_deref() == Some("a title");
    found.is_some_and(|found| is_whole(&found))
}

/// All files of a folder with their content.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = part::walk(dir).unwrap().into_iter();
    files
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_second_backup_of_the_same_writes_nothing_and_one_of_more_what_is_new() {
    let bench = Bench::new();
    let store = bench.open();
    bench.make(&store).await;
    let first = bench.back_up(&store).await.unwrap();
    assert!(first.written > 0 && first.unchanged == 0, "{first:?}");
    let before = content(&bench.backup());
    let second = bench.back_up(&store).await.unwrap();
    assert_eq!((second.written, second.unchanged), (0, first.files));
    assert_eq!(second.expires_at, Some(bench.clock.now().later(DAY)));
    let after = content(&bench.backup());
    let changed = after
        .iter()
        .filter(|(name, is)| before.get(*name) != Some(is));
    let changed: Vec<_> = changed.map(|(name, _)| name.as_str()).collect();
    assert_eq!(changed, ["data/manifest.json", "keyring/manifest.json"]);
    assert_eq!(before.len(), after.len());
    bench.make(&store).await;
    let third = bench.back_up(&store).await.unwrap();
    assert_eq!(
        third.unchanged,
        third.files - 1,
        "the database alone is new"
    );
    assert_eq!(content(&bench.backup()).len(), before.len());
}

#[tokio::test]
async fn a_file_of_a_backup_that_is_damaged_is_refused_and_mended_by_the_next_backup() {
    let bench = Bench::new();
    let store = bench.open();
    let id = bench.make(&store).await;
    bench.back_up(&store).await.unwrap();
    drop(store);
    let whole = content(&bench.backup());
    for name in whole.keys().filter(|name| !name.ends_with("manifest.json")) {
        if name == "parlance-backup" {
            continue;
        }
        fs::remove_dir_all(bench.data()).unwrap();
        let path = bench.backup().join(name);
        let mut bytes = whole[name].clone();
        match bytes.len() / 2 {
            0 => bytes.push(0),
            middle => bytes[middle] ^= 1,
        }
        fs::write(&path, &bytes).unwrap();
        let refused = bench.restore(None).unwrap_err();
        assert!(
            matches!(refused, BackupError::Damaged(_)),
            "{name}: {refused}"
        );
        assert!(!bench.data().join("parlance.db").exists());
        fs::write(&path, &whole[name]).unwrap();
    }
    bench.restore(None).unwrap();
    let store = bench.open();
    assert!(has(&store, id).await);
    let root = whole
        .keys()
        .find(|name| name.starts_with("keyring/root.key"))
        .unwrap();
    fs::write(bench.backup().join(root), "0".repeat(65)).unwrap();
    bench.back_up(&store).await.unwrap();
    assert_eq!(fs::read(bench.backup().join(root)).unwrap(), whole[root]);
}

#[tokio::test]
async fn with_the_keyring_of_the_day_nothing_comes_back_and_the_log_of_receipts_says_what_was_done()
{
    let bench = Bench::new();
    let store = bench.open();
    let (kept, gone) = (bench.make(&store).await, bench.make(&store).await);
    let made = bench.back_up(&store).await.unwrap();
    bench.delete(&store, gone).await;
    let later = bench.make(&store).await;
    store.close().await;
    drop(store);
    let restored = bench.restore(None).unwrap();
    assert_eq!((restored.way, restored.gaps.len()), (Way::Today, 0));
    assert_eq!(restored.taken_at, made.taken_at);
    let store = bench.open();
    assert!(has(&store, kept).await);
    assert!(!has(&store, gone).await && !has(&store, later).await);
    let due = store.receipts_to_sign(9).await.unwrap();
    let [parlance_domain::Due::Event(event)] = due.as_slice() else {
        panic!("{due:?}");
    };
    let Happening::Restored(facts) = &event.what else {
        panic!("{event:?}");
    };
    assert_eq!((facts.copied_at, facts.snapshot), (made.taken_at, None));
    assert!(restored.aside.join("parlance.db").exists());
    // And what comes after has keys of its own.
    let new = bench.make(&store).await;
    assert!(has(&store, new).await && has(&store, kept).await);
    let report = store.audit(Vec::new(), || true).await.unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn what_a_start_removes_comes_into_a_log_that_knows_nothing_of_it() {
    let bench = Bench::new();
    let store = bench.open();
    bench.make(&store).await;
    let gone = bench.make(&store).await;
    bench.back_up(&store).await.unwrap();
    bench.delete(&store, gone).await;
    store.close().await;
    drop(store);
    let log = bench.data().join(erasures::FILE);
    let erased = || Known::read(&log).unwrap().unwrap().erased().count();
    assert_eq!(erased(), 1);
    fs::remove_file(&log).unwrap();
    // The database that knows it too is lost.
    fs::remove_file(bench.data().join("parlance.db")).unwrap();
    bench.restore(None).unwrap();
    let store = bench.open();
    assert!(!has(&store, gone).await);
    assert_eq!(erased(), 1);
}

/// How the keyring gets lost, and what is known of erasures all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// The keyring alone.
    Keyring,
    /// The keyring, in a process that could not end well.
    KeyringInACrash,
    /// Everything; a copy of the log is elsewhere.
    AllButACopyOfTheLog,
    /// Everything.
    All,
}

#[tokio::test]
async fn with_the_snapshot_what_is_known_to_be_erased_does_not_come_back() {
    for loss in [
        Loss::Keyring,
        Loss::KeyringInACrash,
        Loss::AllButACopyOfTheLog,
        Loss::All,
    ] {
        let bench = Bench::new();
        let store = bench.open();
        let before = bench.make(&store).await;
        bench.delete(&store, before).await;
        let (kept, gone) = (bench.make(&store).await, bench.make(&store).await);
        bench.back_up(&store).await.unwrap();
        let snapshot_at = bench.clock.now();
        bench.delete(&store, gone).await;
        // A key that the snapshot has not handed out yet, and one of a later generation.
        let later = bench.make(&store).await;
        bench.delete(&store, later).await;
        if loss != Loss::KeyringInACrash {
            store.close().await;
        }
        drop(store);
        let (data, log) = (bench.data(), bench.folder.path().join("copy.log"));
        fs::copy(data.join("erasures.log"), &log).unwrap();
        match loss {
            Loss::Keyring | Loss::KeyringInACrash => {
                fs::remove_dir_all(data.join("keyring")).unwrap();
            }
            Loss::AllButACopyOfTheLog | Loss::All => fs::remove_dir_all(&data).unwrap(),
        }
        let copy = (loss == Loss::AllButACopyOfTheLog).then_some(log.as_path());
        let restored = bench.restore(copy).unwrap();
        let Way::Snapshot { expired: false, .. } = restored.way else {
            panic!("{restored:?}");
        };
        let known = loss != Loss::All;
        assert_eq!(restored.destroyed, if known { 2 } else { 0 }, "{loss:?}");
        let gap = |from| vec![(from, bench.clock.now())];
        let gaps = match loss {
            Loss::Keyring | Loss::KeyringInACrash => Vec::new(),
            Loss::AllButACopyOfTheLog => gap(Known::read(&log).unwrap().unwrap().until()),
            Loss::All => gap(snapshot_at),
        };
        assert_eq!(restored.gaps, gaps, "{loss:?}");
        let store = bench.open();
        assert!(has(&store, kept).await, "{loss:?}");
        assert_eq!(has(&store, gone).await, !known, "{loss:?}");
        assert!(!has(&store, before).await && !has(&store, later).await);
        // The two lives of the keyring never mean two keys by one name.
        let new = bench.make(&store).await;
        let known = Known::read(&log).unwrap().unwrap();
        let report = store.audit(Vec::new(), || true).await.unwrap();
        assert_eq!(report.findings, [], "{loss:?}");
        bench.back_up(&store).await.unwrap();
        store.close().await;
        drop(store);
        fs::remove_dir_all(&data).unwrap();
        bench.restore(Some(&log)).unwrap();
        let store = bench.open();
        assert!(has(&store, new).await, "{loss:?}: {known:?}");
        assert!(!has(&store, gone).await || loss == Loss::All, "{loss:?}");
    }
}

#[tokio::test]
async fn a_log_of_a_keyrings_lost_life_says_nothing_of_the_keys_of_its_new_one() {
    let bench = Bench::new();
    let store = bench.open();
    bench.make(&store).await;
    bench.back_up(&store).await.unwrap();
    // So many that slots get the generations again which they will get in the other life.
    for _ in 0..12 {
        let made = bench.make_many(&store, 600).await;
        bench.delete_many(&store, &made).await;
    }
    store.close().await;
    drop(store);
    let log = bench.folder.path().join("copy.log");
    fs::copy(bench.data().join("erasures.log"), &log).unwrap();
    let mut living = Vec::new();
    for round in 0..2 {
        fs::remove_dir_all(bench.data()).unwrap();
        bench.restore(Some(&log)).unwrap();
        let store = bench.open();
        for id in &living {
            assert!(has(&store, *id).await, "round {round}");
        }
        living.extend(bench.make_many(&store, 1_500).await);
        bench.back_up(&store).await.unwrap();
    }
}

#[tokio::test]
async fn an_expired_snapshot_is_refused_unless_told_and_destroyed_by_the_next_backup() {
    let bench = Bench::new();
    let store = bench.open();
    let kept = bench.make(&store).await;
    bench.back_up(&store).await.unwrap();
    store.close().await;
    drop(store);
    fs::remove_dir_all(bench.data()).unwrap();
    // With the second that a restore takes, a moment before the end.
    bench
        .clock
        .advance(DAY.saturating_sub(Duration::from_secs(2)));
    bench.restore(None).unwrap();
    fs::remove_dir_all(bench.data()).unwrap();
    bench.clock.advance(Duration::from_secs(1));
    let refused = bench.restore(None).unwrap_err();
    assert!(matches!(refused, BackupError::Expired(_)), "{refused}");
    assert_eq!(content(&bench.data()).len(), 0);
    let restored = bench.restore_with(None, true).unwrap();
    assert!(matches!(restored.way, Way::Snapshot { expired: true, .. }));
    let store = bench.open();
    assert!(has(&store, kept).await);
    let old: Vec<String> = content(&bench.backup().join("keyring"))
        .into_keys()
        .collect();
    bench.back_up(&store).await.unwrap();
    let new = content(&bench.backup().join("keyring"));
    let same = old.iter().filter(|name| new.contains_key(*name));
    let mut same: Vec<&str> = same
        .map(|name| {
            name.rsplit_once('-')
                .map_or(name.as_str(), |(name, _)| name)
        })
        .collect();
    same.sort_unstable();
    assert_eq!(
        same,
        ["manifest.json", "root.key", "segments", "segments-2"]
    );
    let none = Options {
        snapshot_kept: None,
    };
    store.back_up(bench.backup(), none, || true).await.unwrap();
    assert_eq!(content(&bench.backup().join("keyring")).len(), 0);
    drop(store);
    bench.restore(None).unwrap();
    fs::remove_dir_all(bench.data()).unwrap();
    let refused = bench.restore(None).unwrap_err();
    assert!(
        matches!(refused, BackupError::NoKeyring { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_backup_is_given_up_at_any_moment_and_the_one_before_stays_whole() {
    let bench = Bench::new();
    let store = bench.open();
    let kept = bench.make(&store).await;
    bench.back_up(&store).await.unwrap();
    bench.make(&store).await;
    let before = content(&bench.backup());
    let mut steps = 0;
    loop {
        let left = Arc::new(std::sync::atomic::AtomicI64::new(steps));
        let options = Options {
            snapshot_kept: Some(DAY),
        };
        let going_on = move || left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) > 0;
        let made = store.back_up(bench.backup(), options, going_on).await;
        if made.is_ok() {
            break;
        }
        assert!(matches!(made.unwrap_err(), BackupError::Stopped));
        let now = content(&bench.backup());
        for (name, bytes) in &before {
            assert!(now.get(name) == Some(bytes), "{name} after {steps} steps");
        }
        steps += 1;
    }
    assert!(steps >= 2);
    assert_eq!(
        content(&bench.backup()).len(),
        before.len(),
        "nothing is left over"
    );
    drop(store);
    fs::remove_dir_all(bench.data()).unwrap();
    bench.restore(None).unwrap();
    assert!(has(&bench.open(), kept).await);
}

#[tokio::test]
async fn the_newer_snapshot_fits_the_older_data_as_a_crash_between_the_two_leaves_them() {
    let bench = Bench::new();
    let store = bench.open();
    let (kept, gone) = (bench.make(&store).await, bench.make(&store).await);
    bench.back_up(&store).await.unwrap();
    let older = bench.folder.path().join("older");
    fs::create_dir_all(&older).unwrap();
    for (name, bytes) in content(&bench.backup().join("data")) {
        fs::write(older.join(name), bytes).unwrap();
    }
    bench.delete(&store, gone).await;
    bench.make_many(&store, 600).await;
    bench.back_up(&store).await.unwrap();
    store.close().await;
    drop(store);
    fs::remove_dir_all(bench.backup().join("data")).unwrap();
    fs::rename(&older, bench.backup().join("data")).unwrap();
    fs::remove_dir_all(bench.data()).unwrap();
    bench.restore(None).unwrap();
    let store = bench.open();
    assert!(has(&store, kept).await && !has(&store, gone).await);
}

#[tokio::test]
async fn a_folder_that_is_not_for_these_backups_is_refused_and_left_as_it_is() {
    let bench = Bench::new();
    let store = bench.open();
    bench.make(&store).await;
    let options = Options {
        snapshot_kept: None,
    };
    let full = bench.folder.path().join("full");
    fs::create_dir_all(&full).unwrap();
    fs::write(full.join("letter"), "dear").unwrap();
    let refused = store
        .back_up(full.clone(), options, || true)
        .await
        .unwrap_err();
    assert!(matches!(refused, BackupError::NotOurs(_)), "{refused}");
    assert_eq!(content(&full).len(), 1);
    let inside = bench.data().join("backup");
    let refused = store.back_up(inside, options, || true).await.unwrap_err();
    assert!(matches!(refused, BackupError::Inside(_)), "{refused}");
    bench.back_up(&store).await.unwrap();
    let other = Bench::new();
    let stranger = other.open();
    let refused = stranger
        .back_up(bench.backup(), options, || true)
        .await
        .unwrap_err();
    assert!(matches!(refused, BackupError::Foreign(_)), "{refused}");
    let held = make::lock(&bench.backup()).unwrap();
    let refused = bench.back_up(&store).await.unwrap_err();
    assert!(matches!(refused, BackupError::InUse(_)), "{refused}");
    drop(held);
    stranger.close().await;
    drop(stranger);
    fs::remove_file(other.data().join("parlance.db")).unwrap();
    fs::rename(bench.backup(), other.backup()).unwrap();
    let refused = other.restore(None).unwrap_err();
    assert!(matches!(refused, BackupError::Keyring(_)), "{refused}");
}

#[test]
fn a_manifest_that_leads_out_of_its_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let about = manifest::About {
        store: [1; 16],
        taken_at: Timestamp::default(),
        expires_at: None,
        mark: crate::Mark::default(),
    };
    for (name, fine) in [
        ("files/a/b", true),
        ("../x", false),
        ("/etc/passwd", false),
        ("files/../../x", false),
        ("", false),
    ] {
        let entry = manifest::Entry {
            name: name.to_owned(),
            kept_as: "a".to_owned(),
            bytes: 0,
            sha256: String::new(),
        };
        Manifest::new(about, vec![entry]).put(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).is_ok(), fine, "{name}");
    }
}

#[test]
fn a_restore_that_was_cut_off_anywhere_is_finished_or_has_not_begun() {
    let old = [
        ("parlance.db", "old"),
        ("parlance.db-wal", "old log"),
        ("parlance.db-shm", "old"),
        ("erasures.log", "old"),
        ("ballast", "room"),
    ];
    let new = [
        ("keyring/header", "new"),
        ("files/a/b", "new"),
        ("erasures.log", "new"),
        ("parlance.db", "new"),
    ];
    let put = |dir: &Path, files: &[(&str, &str)]| {
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    };
    // What is done, in its order: what is moved aside, or into place.
    let moves: [(&str, bool); 8] = [
        ("keyring", true),
        ("files", true),
        ("erasures.log", false),
        ("erasures.log", true),
        ("parlance.db-wal", false),
        ("parlance.db-shm", false),
        ("parlance.db", false),
        ("parlance.db", true),
    ];
    for done in 0..=moves.len() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        put(dir, &old);
        put(&dir.join("restored-5"), &new);
        fs::create_dir(dir.join("replaced-5")).unwrap();
        for (name, into_place) in &moves[..done] {
            let (from, to) = if *into_place {
                (dir.join("restored-5"), dir.to_owned())
            } else {
                (dir.to_owned(), dir.join("replaced-5"))
            };
            fs::rename(from.join(name), to.join(name)).unwrap();
        }
        finish_restore(dir).unwrap();
        finish_restore(dir).unwrap();
        let found = content(dir);
        let text = |name: &str| found.get(name).map(|bytes| String::from_utf8_lossy(bytes));
        for (name, wanted) in new {
            assert_eq!(text(name).as_deref(), Some(wanted), "{name} after {done}");
        }
        for (name, wanted) in old.iter().take(4) {
            let aside = text(&format!("replaced-5/{name}"));
            assert_eq!(aside.as_deref(), Some(*wanted), "{name} after {done}");
        }
        assert_eq!(found.len(), 9, "{found:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &old);
    put(&dir.path().join("restoring"), &new);
    finish_restore(dir.path()).unwrap();
    assert_eq!(content(dir.path()).len(), old.len(), "it had not begun");
}
