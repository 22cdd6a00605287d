use std::io::Cursor;
use std::sync::Arc;

use super::super::{CHECKPOINT_EVERY, Covered, Event, LogHead, ProvenEntry, Stated};
use super::*;
use crate::ids::{ConversationId, EventId, HoldId, Id};
use crate::model::{Due, Erasure, ItemsBucket, ProjectId};
use crate::notary::Notary;

fn notary(signing: u8) -> Notary {
    Notary::new(&[1; 32], &[signing; 32], "parlance 0").unwrap()
}

fn added(hold: u128, covers: Covered) -> Happening {
    Happening::HoldAdded {
        hold: HoldId::from_bits(hold),
        project: ProjectId(1),
        covers,
    }
}

fn removed(hold: u128) -> Happening {
    Happening::HoldRemoved {
        hold: HoldId::from_bits(hold),
        project: ProjectId(1),
    }
}

/// A log as a server keeps it.
#[derive(Clone)]
struct Book {
    notary: Arc<Notary>,
    head: LogHead,
    now: Timestamp,
    lines: Vec<String>,
    /// Those of receipts.
    entries: Vec<ProvenEntry>,
}

impl Book {
    fn new(signing: u8) -> Self {
        Self {
            notary: Arc::new(notary(signing)),
            head: LogHead::default(),
            now: Timestamp::from_micros(1_000_000),
            lines: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// A log of everything that there can be: batches of one and of more, receipts that are complete
    /// at once, later and not yet, unsealed ones, events, checkpoints.
    fn full() -> Self {
        let mut book = Self::new(2);
        book.sign(&[(1, true)]);
        book.checkpoint();
        book.sign(&[(2, false), (3, true), (4, false)]);
        book.happen(&[added(1, Covered::User([7; 32])), added(2, Covered::Project)]);
        book.sign(&[(2, true), (5, true)]);
        book.checkpoint();
        book.happen(&[removed(1)]);
        book.sign(&[(6, true), (7, false), (8, true)]);
        book
    }

    /// States what has happened.
    fn happen(&mut self, events: &[Happening]) {
        let due = events.iter().enumerate().map(|(number, what)| {
            let number = self.head.tree.size() + u64::try_from(number).unwrap();
            Due::Event(Event {
                id: EventId::from_bits(number.into()),
                at: self.now,
                what: what.clone(),
            })
        });
        let due: Vec<Due> = due.collect();
        self.append(&due);
    }

    fn erasure(&self, number: u64, is_purged: bool) -> Erasure {
        let at = |micros| Timestamp::from_micros(i64::try_from(number * 10 + micros).unwrap());
        let number = u128::from(number);
        let first = self.entries.iter().find_map(|entry| {
            let value = Canonical::read(&entry.statement).ok()?;
            let said = Statement::read(&value).ok()?.receipt;
            (said.id.bits() == number).then_some(said.key_destroyed_at?)
        });
        Erasure {
            receipt: ReceiptId::from_bits(number),
            project: ProjectId(1),
            conversation: ConversationId::from_bits(number << 64),
            commitment: (number != 3).then_some([9; 32]),
            requested_at: at(1),
            tombstoned_at: at(2),
            key_destroyed_at: first,
            root_renewed_at: None,
            is_purged,
            is_renewed: false,
            items: ItemsBucket::of(3),
        }
    }

    /// Signs what has come of these erasures: the number of each, and whether its rows are gone.
    fn sign(&mut self, erasures: &[(u64, bool)]) {
        let due: Vec<Due> = erasures
            .iter()
            .map(|(number, is_purged)| Due::Erasure(self.erasure(*number, *is_purged)))
            .collect();
        self.append(&due);
    }

    /// The last thing that a receipt has said.
    fn said(&self, number: u128) -> String {
        let text = ReceiptId::from_bits(number).text();
        let mut entries = self.entries.iter().rev();
        let found = entries.find(|entry| entry.statement.contains(&text));
        found.unwrap().statement.clone()
    }

    /// States that the root was renewed since the key of a complete receipt was destroyed.
    fn renew(&mut self, number: u128) {
        let (receipt, said) = (ReceiptId::from_bits(number), self.said(number));
        self.append(&[Due::Renewed { receipt, said }]);
    }

    fn append(&mut self, due: &[Due]) {
        self.now = self.now.later(CHECKPOINT_EVERY);
        let batch = self.notary.state(&self.head, self.now, due).unwrap();
        self.lines.push(batch.signed.clone());
        for (place, entry) in (batch.first..).zip(&batch.entries) {
            self.lines.push(entry.statement.clone());
            if matches!(entry.of, Stated::Event(_)) {
                continue;
            }
            self.entries.push(ProvenEntry {
                place,
                statement: entry.statement.clone(),
                first: batch.first,
                leaves: batch.leaves.clone(),
                signed: batch.signed.clone(),
            });
        }
        self.head = batch.after;
    }

    fn checkpoint(&mut self) {
        let checkpoint = self.notary.checkpoint(&self.head, self.now);
        self.lines.push(checkpoint.signed);
        self.head = checkpoint.after;
    }

    /// The log as it is exported, line by line.
    fn export(&self) -> Vec<String> {
        let header = self.notary.export_header(&self.head, self.now);
        std::iter::once(header).chain(self.lines.clone()).collect()
    }

    fn last_statement(&self) -> Statement {
        let text = &self.entries.last().unwrap().statement;
        Statement::read(&Canonical::read(text).unwrap()).unwrap()
    }

    /// What comes next, as it should be.
    fn place(&self) -> Place {
        Place {
            index: self.head.tree.size(),
            prev: self.head.last,
        }
    }

    /// Signs something with the right key, whatever it is.
    fn sign_any(&self, document: Canonical) -> String {
        let key = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap();
        super::super::sign(document, &key, self.key().id())
    }

    /// Appends a batch of one entry, whatever it says, rightly signed.
    fn forge(&mut self, place: Place, statement: &Statement) {
        let text = statement.canonical(place).to_string();
        let leaf = merkle::leaf(text.as_bytes());
        let batch = Batch {
            first: self.head.tree.size(),
            count: 1,
            root: leaf,
        };
        self.lines.push(self.sign_any(batch.canonical()));
        self.lines.push(text);
        self.head.tree.push(leaf);
        self.head.last = Some(leaf);
        self.head.batches += 1;
    }

    /// What the whole is, as an export says it.
    fn header(&self) -> Header {
        Header {
            entries: self.head.tree.size(),
            batches: self.head.batches,
            checkpoints: self.head.checkpoints,
            root: self.head.tree.root(),
            at: self.now,
        }
    }

    fn key(&self) -> &PublicKey {
        self.notary.public_key()
    }
}

fn text(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| format!("{line}\n").into_bytes())
        .collect()
}

fn verified(file: &[u8], key: &PublicKey, anchor: Option<Anchor>) -> Result<Verified, Located> {
    match verify(&mut Cursor::new(file), key, anchor) {
        Ok(verified) => Ok(verified),
        Err(VerifyError::Flawed(located)) => Err(located),
        Err(VerifyError::Read(error)) => panic!("{error}"),
    }
}

/// What is wrong with these lines.
fn flaw(lines: &[String], key: &PublicKey) -> Option<Located> {
    verified(&text(lines), key, None).err()
}

#[test]
fn a_log_vouches_for_what_is_in_it() {
    let book = Book::full();
    let found = verified(&text(&book.export()), book.key(), None).unwrap();
    let wanted = Vouched {
        entries: 12,
        receipts: 8,
        complete: 6,
        events: 3,
        holds: 1,
        checkpoints: 2,
        at: book.now,
        root: book.head.tree.root(),
    };
    assert_eq!(found, Verified::Log(wanted));
    let empty = Book::new(2);
    let found = verified(&text(&empty.export()), empty.key(), None).unwrap();
    assert!(matches!(found, Verified::Log(Vouched { entries: 0, .. })));
    assert!(verified(b"", empty.key(), None).is_err());
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    let book = Book::full();
    let lines = book.export();
    let mut before = Verifier::new(book.key(), None);
    for (at, line) in lines.iter().enumerate() {
        for byte in 0..line.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut changed = line.clone().into_bytes();
                changed[byte] ^= mask;
                let rest = lines[at + 1..].iter().map(String::as_bytes);
                let mut lines = std::iter::once(changed.as_slice()).chain(rest);
                let mut verifier = before.clone();
                let read = lines.try_for_each(|line| verifier.line(line));
                let found = read.and_then(|()| verifier.finish());
                assert!(found.is_err(), "line {at}, byte {byte}, mask {mask}");
            }
        }
        before.line(line.as_bytes()).unwrap();
    }
    // The ends of the lines, which a line does not know.
    let file = text(&lines);
    for (at, _) in file.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        for other in [b'\r', b' ', 0] {
            let mut changed = file.clone();
            changed[at] = other;
            assert!(
                verified(&changed, book.key(), None).is_err(),
                "{at} {other}"
            );
        }
    }
}

#[test]
fn a_line_that_is_left_out_repeated_or_swapped_is_noticed() {
    let book = Book::full();
    let lines = book.export();
    let wrong = |lines: &[String], what: &str, at: usize| {
        assert!(flaw(lines, book.key()).is_some(), "{what} {at}");
    };
    for at in 0..lines.len() {
        let mut left_out = lines.clone();
        left_out.remove(at);
        wrong(&left_out, "left out", at);
        wrong(&lines[..at], "cut off before", at);
        let mut repeated = lines.clone();
        repeated.insert(at, lines[at].clone());
        wrong(&repeated, "repeated", at);
        let mut emptied = lines.clone();
        emptied[at].clear();
        wrong(&emptied, "emptied", at);
        for other in 0..at {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            wrong(&swapped, "swapped", at);
        }
    }
}

#[test]
fn a_file_that_is_cut_off_within_a_line_is_noticed() {
    let book = Book::full();
    let lines = book.export();
    let (mut file, mut number) = (Vec::new(), 0);
    for line in &lines {
        number += 1;
        for end in [1, line.len() / 2, line.len()] {
            let cut = [&file, &line.as_bytes()[..end]].concat();
            let wanted = Located {
                line: number,
                flaw: Flaw::CutOff,
            };
            assert_eq!(verified(&cut, book.key(), None), Err(wanted));
        }
        file.extend(format!("{line}\n").into_bytes());
    }
    assert!(verified(&file, book.key(), None).is_ok());
}

#[test]
fn the_log_of_another_key_is_not_verified() {
    let book = Book::full();
    let found = book.key().id().to_owned();
    let other = notary(3);
    let flawed = flaw(&book.export(), other.public_key()).unwrap();
    assert_eq!(
        flawed,
        Located {
            line: 1,
            flaw: Flaw::OtherKey { found }
        }
    );
    let mut mixed = Book::full().export();
    let mut theirs = Book::new(3);
    theirs.sign(&[(1, true)]);
    mixed[1] = theirs.export()[1].clone();
    assert_eq!(flaw(&mixed, book.key()).unwrap().line, 2);
}

#[test]
fn two_logs_of_one_key_cannot_be_put_together() {
    let (one, mut other) = (Book::full(), Book::new(2));
    // The same places, batches and checkpoints, but of other erasures.
    other.sign(&[(11, true)]);
    other.checkpoint();
    other.sign(&[(12, false), (13, true), (14, false)]);
    other.happen(&[added(3, Covered::Project), added(4, Covered::Project)]);
    other.sign(&[(12, true), (15, true)]);
    other.checkpoint();
    other.happen(&[removed(4)]);
    other.sign(&[(16, true), (17, false), (18, true)]);
    let (ours, theirs) = (one.export(), other.export());
    assert_eq!(ours.len(), theirs.len());
    for from in 0..ours.len() {
        for to in from + 1..=ours.len() {
            let mut spliced = ours.clone();
            spliced.splice(from..to, theirs[from..to].iter().cloned());
            let whole = (from, to) == (0, ours.len());
            assert_eq!(flaw(&spliced, one.key()).is_some(), !whole, "{from}..{to}");
        }
    }
    let longer = [ours, theirs[1..].to_vec()].concat();
    assert!(flaw(&longer, one.key()).is_some());
}

#[test]
fn a_receipt_says_nothing_new_once_it_is_complete_and_recants_nothing() {
    type Make = fn(&mut Book);
    let again: [(&str, Make); 4] = [
        ("complete twice", |book| book.sign(&[(1, true)])),
        ("destroyed after complete", |book| book.sign(&[(1, false)])),
        ("destroyed twice", |book| book.sign(&[(7, false)])),
        ("about something else", |book| {
            let mut other = book.erasure(7, true);
            other.conversation = ConversationId::from_bits(5);
            book.append(&[Due::Erasure(other)]);
        }),
    ];
    for (what, make) in again {
        let mut book = Book::full();
        make(&mut book);
        let lines = book.export();
        let line = u64::try_from(lines.len()).unwrap();
        let wanted = Located {
            line,
            flaw: Flaw::Recanted,
        };
        assert_eq!(flaw(&lines, book.key()), Some(wanted), "{what}");
    }
    let mut book = Book::full();
    book.sign(&[(7, true), (4, true)]);
    assert_eq!(flaw(&book.export(), book.key()), None);
}

#[test]
fn a_hold_begins_once_and_ends_once() {
    let found = |events: &[Happening]| {
        let mut book = Book::full();
        book.happen(events);
        flaw(&book.export(), book.key()).map(|located| located.flaw)
    };
    assert_eq!(found(&[removed(2), added(3, Covered::Project)]), None);
    for wrong in [
        added(1, Covered::Project),
        added(2, Covered::Project),
        removed(1),
        removed(9),
    ] {
        assert_eq!(found(&[wrong]), Some(Flaw::WrongHold));
    }
    let twice = [removed(2), removed(2)];
    assert_eq!(found(&twice), Some(Flaw::WrongHold));
}

#[test]
fn no_checkpoint_has_an_earlier_time_than_an_event_that_it_is_over() {
    let mut book = Book::full();
    book.now = book.now.later(CHECKPOINT_EVERY * 9);
    book.happen(&[removed(2)]);
    book.now = Timestamp::from_micros(1_000);
    let late = Checkpoint {
        size: book.head.tree.size(),
        root: book.head.tree.root(),
        last: book.head.last,
        at: book.now,
    };
    book.checkpoint();
    assert_eq!(flaw(&book.export(), book.key()), None);
    let end = book.lines.len() - 1;
    book.lines[end] = book.sign_any(late.canonical());
    let found = flaw(&book.export(), book.key()).unwrap();
    assert_eq!(found.flaw, Flaw::TimeGoesBack);
}

#[test]
fn a_receipt_says_once_more_that_the_root_was_renewed_and_its_level_only_rises() {
    type Make = fn(&mut Book, Erasure);
    let mut book = Book::full();
    let before = flaw(&book.export(), book.key());
    assert_eq!(before, None);
    book.renew(2);
    assert!(book.said(2).contains("\"level\":\"L3\""));
    // One whose rows are left says it before it is complete.
    let mut renewed = book.erasure(7, false);
    renewed.is_renewed = true;
    book.append(&[Due::Erasure(renewed)]);
    let mut last = book.erasure(7, true);
    let at = Canonical::read(&book.said(7)).unwrap();
    last.root_renewed_at = Statement::read(&at).unwrap().receipt.root_renewed_at;
    assert!(last.root_renewed_at.is_some());
    book.append(&[Due::Erasure(last.clone())]);
    assert_eq!(flaw(&book.export(), book.key()), None);
    let wrong: [(&str, Make); 5] = [
        ("twice", |book, _| book.renew(2)),
        ("twice, and complete in between", |book, _| book.renew(7)),
        ("back to L2", |book, _| book.sign(&[(2, true)])),
        ("of what had no key", |book, _| book.renew(3)),
        ("with other facts", |book, mut last| {
            last.receipt = ReceiptId::from_bits(5);
            last.is_renewed = true;
            book.append(&[Due::Erasure(last)]);
        }),
    ];
    for (what, make) in wrong {
        let mut book = book.clone();
        make(&mut book, last.clone());
        let found = flaw(&book.export(), book.key()).map(|located| located.flaw);
        assert_eq!(found, Some(Flaw::Recanted), "{what}");
    }
}

#[test]
fn an_entry_that_does_not_fit_is_noticed_though_it_is_rightly_signed() {
    let book = Book::full();
    let (size, last) = (book.head.tree.size(), book.head.last);
    let mut fresh = book.last_statement();
    fresh.receipt.id = ReceiptId::from_bits(99);
    let place = |index, prev| Place { index, prev };
    let found = |place: Place, change: &dyn Fn(&mut Statement)| {
        let (mut book, mut statement) = (Book::full(), fresh.clone());
        change(&mut statement);
        book.forge(place, &statement);
        flaw(&book.export(), book.key()).map(|located| located.flaw)
    };
    assert_eq!(found(book.place(), &|_| {}), None);
    let misplaced = |found| {
        let wanted = size;
        Some(Flaw::Misplaced { wanted, found })
    };
    assert_eq!(found(place(size + 1, last), &|_| {}), misplaced(size + 1));
    assert_eq!(found(place(0, last), &|_| {}), misplaced(0));
    let unchained = Some(Flaw::Unchained);
    assert_eq!(found(place(size, None), &|_| {}), unchained);
    assert_eq!(found(place(size, Some([0; 32])), &|_| {}), unchained);
    let other_key = found(book.place(), &|said| said.speaker.key_id.push('0'));
    assert!(matches!(other_key, Some(Flaw::OtherKey { .. })));
    let late = |said: &mut Statement| said.receipt.requested_at = Timestamp::from_micros(1 << 50);
    let contradiction = found(book.place(), &late);
    assert!(matches!(contradiction, Some(Flaw::Contradiction(_))));
}

#[test]
fn a_checkpoint_or_a_batch_that_does_not_fit_is_noticed_though_it_is_rightly_signed() {
    let book = Book::full();
    let right = Checkpoint {
        size: book.head.tree.size(),
        root: book.head.tree.root(),
        last: book.head.last,
        at: book.now,
    };
    let found = |document: Canonical| {
        let mut book = Book::full();
        book.lines.push(book.sign_any(document));
        book.head.checkpoints += 1;
        flaw(&book.export(), book.key()).map(|located| located.flaw)
    };
    assert_eq!(found(right.canonical()), None);
    let wrong: [fn(&mut Checkpoint); 3] = [
        |wrong| wrong.size -= 1,
        |wrong| wrong.root = [0; 32],
        |wrong| wrong.last = None,
    ];
    for make in wrong {
        let mut wrong = right.clone();
        make(&mut wrong);
        let flaw = found(wrong.canonical()).expect("it is noticed");
        assert!(matches!(flaw, Flaw::Misplaced { .. } | Flaw::OtherEntries));
    }
    let mut batch = Batch {
        first: right.size,
        count: 0,
        root: merkle::root(&[]),
    };
    assert_eq!(found(batch.canonical()), Some(Flaw::Member("count")));
    batch.count = u64::MAX >> 12;
    assert_eq!(found(batch.canonical()), Some(Flaw::Member("count")));
    (batch.first, batch.count) = (right.size + 1, 1);
    let misplaced = found(batch.canonical());
    assert!(matches!(misplaced, Some(Flaw::Misplaced { .. })));
}

#[test]
fn a_header_that_does_not_fit_is_noticed_though_it_is_rightly_signed() {
    let book = Book::full();
    let found = |header: &Header| {
        let mut lines = book.export();
        lines[0] = book.sign_any(header.canonical());
        flaw(&lines, book.key()).map(|located| located.flaw)
    };
    assert_eq!(found(&book.header()), None);
    let wrong: [fn(&mut Header); 5] = [
        |wrong| wrong.entries += 1,
        |wrong| wrong.batches -= 1,
        |wrong| wrong.checkpoints += 1,
        |wrong| wrong.root = [0; 32],
        |wrong| wrong.at = Timestamp::from_micros(9),
    ];
    for make in wrong {
        let mut wrong = book.header();
        make(&mut wrong);
        let flaw = found(&wrong).expect("it is noticed");
        let is_headers = matches!(
            flaw,
            Flaw::Number { .. } | Flaw::OtherEntries | Flaw::TimeGoesBack
        );
        assert!(is_headers, "{flaw}");
    }
}

#[test]
fn no_checkpoint_has_an_earlier_time_than_what_it_is_over_though_the_clock_is_set_back() {
    let mut book = Book::full();
    book.now = Timestamp::from_micros(1_000);
    book.checkpoint();
    assert_eq!(flaw(&book.export(), book.key()), None);
    let late = Checkpoint {
        size: book.head.tree.size(),
        root: book.head.tree.root(),
        last: book.head.last,
        at: Timestamp::from_micros(1_000),
    };
    let end = book.lines.len() - 1;
    book.lines[end] = book.sign_any(late.canonical());
    let found = flaw(&book.export(), book.key()).unwrap();
    assert_eq!(found.flaw, Flaw::TimeGoesBack);
}

#[test]
fn every_entry_can_be_given_out_and_verified_alone() {
    let book = Book::full();
    for entry in &book.entries {
        let text = entry.text().unwrap();
        let found = verified(format!("{text}\n").as_bytes(), book.key(), None).unwrap();
        let Verified::Receipt(vouched) = found else {
            panic!("a receipt is no log");
        };
        assert_eq!(vouched.place, entry.place);
        for (from, to) in [
            ("\"count\":3", "\"count\":4"),
            ("\"index\":", "\"index\":1"),
        ] {
            let changed = text.replace(from, to);
            assert!(changed == text || verified(changed.as_bytes(), book.key(), None).is_err());
        }
        let twice = format!("{text}\n{text}\n");
        assert_eq!(
            verified(twice.as_bytes(), book.key(), None)
                .unwrap_err()
                .line,
            2
        );
    }
}

#[test]
fn a_change_of_any_byte_of_a_receipt_is_noticed() {
    let book = Book::full();
    // One of three, so that it has a path.
    let text = book.entries[2].text().unwrap();
    assert!(!text.contains("\"path\":[]"));
    for at in 0..text.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= mask;
            let found = verified(&changed, book.key(), None);
            assert!(found.is_err(), "byte {at}, mask {mask}");
        }
    }
}

#[test]
fn a_later_log_holds_an_earlier_one_and_every_receipt_of_it() {
    let mut book = Book::full();
    let earlier = text(&book.export());
    let receipts: Vec<String> = book
        .entries
        .iter()
        .map(|entry| entry.text().unwrap())
        .collect();
    book.sign(&[(21, true), (22, true)]);
    let later = text(&book.export());
    let against = |file: &[u8], older: &[u8]| {
        let anchor = verified(older, book.key(), None).unwrap().anchor();
        verified(file, book.key(), Some(anchor))
            .err()
            .map(|located| located.flaw)
    };
    assert_eq!(against(&later, &earlier), None);
    assert_eq!(against(&later, &later), None);
    let empty = text(&Book::new(2).export());
    assert_eq!(against(&later, &empty), None);
    assert_eq!(against(&empty, &empty), None);
    let short = Flaw::Shorter {
        what: "the earlier log",
        wanted: 14,
        found: 12,
    };
    assert_eq!(against(&earlier, &later), Some(short));
    for receipt in &receipts {
        assert_eq!(against(&later, receipt.as_bytes()), None);
    }
    let last = book.entries.last().unwrap().text().unwrap();
    assert!(matches!(
        against(&earlier, last.as_bytes()),
        Some(Flaw::Shorter { .. })
    ));
}

#[test]
fn a_log_that_was_forked_does_not_hold_what_was_exported_before_the_fork() {
    // As after an older copy of the database was brought back.
    let (mut one, mut other) = (Book::full(), Book::full());
    let common = text(&one.export());
    one.sign(&[(21, true)]);
    other.sign(&[(22, true)]);
    let lost = one.entries.last().unwrap().text().unwrap();
    let (one, forked) = (text(&one.export()), text(&other.export()));
    let against = |older: &[u8]| {
        let anchor = verified(older, other.key(), None).unwrap().anchor();
        verified(&forked, other.key(), Some(anchor))
            .err()
            .map(|located| located.flaw)
    };
    assert_eq!(against(&common), None);
    let wanted = |what| Some(Flaw::Forked { what, place: 12 });
    assert_eq!(against(&one), wanted("the earlier log"));
    assert_eq!(against(lost.as_bytes()), wanted("the receipt"));
}

#[test]
fn a_line_without_an_end_is_not_read_for_ever() {
    let book = Book::new(2);
    let endless = vec![b'{'; LINE_BYTES_MAX * 2];
    let found = verified(&endless, book.key(), None).unwrap_err();
    assert_eq!(
        found,
        Located {
            line: 1,
            flaw: Flaw::TooLong
        }
    );
}
