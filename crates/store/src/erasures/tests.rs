use std::path::Path;
use std::sync::Arc;

use parlance_faultdisk::{Disk, Fault, Unsynced};

use super::*;

const STORE: [u8; 16] = [7; 16];

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn erased(slot: u32, generation: u64, micros: i64) -> Erased {
    Erased {
        key: KeyRef { slot, generation },
        at: at(micros),
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text()).collect()
}

fn sample() -> String {
    text(&[
        Line::Began {
            store: STORE,
            at: at(10),
        },
        Line::Erased(erased(4, 2, 11)),
        Line::Erased(erased(5, 9, 12)),
        Line::Until(at(13)),
        Line::Erased(erased(4, 1, 14)),
    ])
}

fn keys(known: &Known) -> Vec<(u32, u64)> {
    let keys = known.erased();
    keys.map(|key| (key.slot, key.generation)).collect()
}

#[test]
fn what_is_written_is_read_back() {
    let known = parse(sample().as_bytes()).unwrap().unwrap();
    assert_eq!(known.store(), STORE);
    assert_eq!((known.from(), known.until()), (at(10), at(14)));
    assert_eq!(keys(&known), [(4, 2), (5, 9)], "the last one of each slot");
    assert_eq!(parse(b"").unwrap(), None);
}

#[test]
fn the_longest_line_fits() {
    let longest = [
        Line::Erased(erased(u32::MAX, u64::MAX, i64::MIN)),
        Line::Began {
            store: [0xff; 16],
            at: at(i64::MIN),
        },
    ];
    for line in longest {
        let text = line.text();
        assert!(text.len() <= LINE_BYTES_MAX, "{text}");
        assert_eq!(Line::parse(text.trim_end().as_bytes()), Some(line));
    }
}

#[test]
fn a_log_that_ends_anywhere_says_what_its_whole_lines_say() {
    let all = sample();
    for end in 0..=all.len() {
        let (part, _) = all.as_bytes().split_at(end);
        let whole = part.iter().rposition(|byte| *byte == b'\n');
        let (whole, _) = part.split_at(whole.map_or(0, |at| at + 1));
        let (torn, clean) = (parse(part), parse(whole));
        assert_eq!(torn.unwrap(), clean.unwrap(), "{end}");
    }
}

#[test]
fn damage_is_passed_over_only_where_the_log_was_begun_anew_after_it() {
    let all = sample();
    let again = Line::Began {
        store: STORE,
        at: at(20),
    };
    for garbage in [
        "eras",
        "\0\0\0\0",
        &"x".repeat(5_000),
        "",
        "erased 1 2 3",
        "until 5 . ",
    ] {
        let torn = format!("{all}{garbage}\n");
        assert_eq!(keys(&parse(torn.as_bytes()).unwrap().unwrap()).len(), 2);
        let mended = format!("{torn}{}{}", again.text(), "erased 8 8 21 .\n");
        let known = parse(mended.as_bytes()).unwrap().unwrap();
        assert_eq!(keys(&known), [(4, 2), (5, 9), (8, 8)], "{garbage:?}");
        let gone_on = format!("{torn}erased 8 8 21 .\n");
        let refused = parse(gone_on.as_bytes()).unwrap_err();
        assert!(
            matches!(refused, LogError::Damaged { line: 6, .. }),
            "{refused}"
        );
    }
}

#[test]
fn no_line_can_be_changed_by_a_byte_and_still_be_whole_unless_it_says_something_else() {
    let line = Line::Erased(erased(17, 42, 1_767)).text();
    let line = line.trim_end().as_bytes();
    for (place, byte) in (0..line.len()).flat_map(|place| (0..=255).map(move |byte| (place, byte)))
    {
        let mut changed = line.to_vec();
        changed[place] = byte;
        let (was, is) = (Line::parse(line), Line::parse(&changed));
        assert!(is != was || changed == line, "{changed:?}");
    }
}

#[test]
fn another_stores_lines_are_refused() {
    let other = Line::Began {
        store: [8; 16],
        at: at(20),
    };
    let mixed = format!("{}{}", sample(), other.text());
    assert!(matches!(parse(mixed.as_bytes()), Err(LogError::Foreign(_))));
}

fn log(disk: &Disk) -> ErasureLog {
    ErasureLog::new(Arc::new(disk.clone()), disk.root(), STORE)
}

fn on_disk(disk: &Disk) -> Vec<u8> {
    disk.on_disk(&disk.root().join(Path::new(FILE)))
        .unwrap_or_default()
}

#[test]
fn after_any_failure_and_a_power_cut_all_that_was_acknowledged_is_there() {
    let tour = |disk: &Disk| {
        let mut acknowledged = Vec::new();
        for process in 0..3_u32 {
            let mut log = log(disk);
            for number in 0..4 {
                let slot = process * 10 + number;
                let mut tries = 0;
                // As the store does: what was not acknowledged is said again.
                while log.append(at(5), &[erased(slot, 1, 5)]).is_err() && tries < 2 {
                    tries += 1;
                }
                if log.last().is_some() {
                    acknowledged.push((slot, 1));
                }
            }
        }
        acknowledged
    };
    let calls = {
        let disk = Disk::new(0);
        assert_eq!(tour(&disk).len(), 12);
        disk.calls()
    };
    assert!(calls > 24);
    for call in 0..calls {
        for fault in [
            Fault::Fails(std::io::ErrorKind::Other),
            Fault::NoSpace,
            Fault::Short,
        ] {
            for unsynced in [Unsynced::Lost, Unsynced::Torn] {
                let disk = Disk::new(call);
                disk.plan(call, fault);
                let acknowledged = tour(&disk);
                assert!(acknowledged.len() >= 11, "one failure at most");
                disk.stop();
                disk.reboot(unsynced);
                let bytes = on_disk(&disk);
                let known = parse(&bytes).unwrap().unwrap();
                let known = keys(&known);
                for key in acknowledged {
                    assert!(known.contains(&key), "{key:?} after {fault:?} at {call}");
                }
            }
        }
    }
}
