//! `parlance audit`, beside a running server and without one.

use std::fs;

use crate::process::Place;
use crate::receipts::{delete, make};

const SECRET: &str = "the spare key hangs behind the third flower pot";

#[test]
fn an_audit_counts_what_it_looked_at_and_fails_with_what_it_found() {
    let place = Place::new();
    let server = place.serve(&[]);
    let key = place.key("openai");
    let body = format!("{{\"items\":[{{\"role\":\"user\",\"content\":\"{SECRET}\"}}]}}");
    server.send("POST", "/v1/conversations", &key, &body);
    delete(&server, &key, &make(&server, &key, 100));
    let logs = place.file("logs");
    fs::create_dir(&logs).expect("a folder");
    let also = ["audit", "--also", logs.to_str().expect("a path")];
    let mut server = Some(server);
    for running in [true, false] {
        if !running {
            drop(server.take());
        }
        let well = place.run(&also);
        assert_eq!((well.code, well.stderr.as_str()), (0, ""), "{well:?}");
        assert!(well.stdout.contains("erased in slots   1\n"), "{well:?}");
        fs::write(logs.join("debug.log"), format!("... {SECRET} ...")).expect("a leak");
        let leaks = place.run(&also);
        assert_eq!(leaks.code, 1, "{leaks:?}");
        let lines: Vec<&str> = leaks.stdout.lines().collect();
        let told = lines.iter().all(|line| {
            line.starts_with("plaintext: `")
                && line.contains("debug.log` at byte 4: body of table items")
        });
        assert!(!lines.is_empty() && told, "{leaks:?}");
        assert!(!leaks.stdout.contains("flower") && leaks.stderr.contains("the audit found"));
        let inside = place.run(&["audit"]);
        assert_eq!(inside.code, 0, "it is not in the data: {inside:?}");
        fs::remove_file(logs.join("debug.log")).expect("it is mended");
    }
    let nowhere = place.run(&["audit", "--also", "/no/such/file"]);
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
}

#[test]
fn erasures_are_in_their_log_within_about_a_second() {
    let place = Place::new();
    let server = place.serve(&[]);
    let key = place.key("openai");
    for _ in 0..3 {
        delete(&server, &key, &make(&server, &key, 1));
    }
    let log = place.data().join("erasures.log");
    let erased = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with("erased "))
            .count()
    };
    crate::process::wait_until("they are in the log", || erased() == 3);
    let before = fs::read(&log).expect("the log");
    delete(&server, &key, &make(&server, &key, 1));
    server.kill();
    drop(place.serve(&[]));
    let after = fs::read(&log).expect("the log");
    assert!(after.starts_with(&before), "it is only ever appended to");
    crate::process::wait_until("what the kill has cut off is there", || erased() >= 4);
}
