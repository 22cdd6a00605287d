//! Erasing what is being answered: by an operator, beside the server and without one.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::model::Words;
use crate::process::{Place, Server, read_answer, request};

const ASK: &str = "/dify/v1/chat-messages";

/// A user's keys.
struct Person {
    openai: String,
    dify: String,
}

impl Person {
    fn new(place: &Place, user: &str) -> Self {
        let key = |dialect| {
            let made = place.run(&["keys", "create", "--dialect", dialect, "--user", user]);
            assert_eq!(made.code, 0, "{made:?}");
            made.stdout.trim().to_owned()
        };
        Self {
            openai: key("openai"),
            dify: key("dify"),
        }
    }

    /// The statuses of reads of a conversation through two dialects.
    fn read(&self, server: &Server, id: &str) -> [u16; 2] {
        let hex = id.replace('-', "");
        let conversation = format!("/openai/v1/conversations/conv_{hex}");
        let messages = format!("/dify/v1/messages?conversation_id={id}");
        [
            server.send("GET", &conversation, &self.openai, "").status,
            server.send("GET", &messages, &self.dify, "").status,
        ]
    }
}

/// An answer that comes piece by piece.
struct Stream {
    connection: TcpStream,
    read: String,
}

impl Stream {
    /// Asks in a new conversation.
    fn ask(server: &Server, who: &Person, mode: &str) -> Self {
        let body = format!("{{\"inputs\":{{}},\"query\":\"Why?\",\"response_mode\":\"{mode}\"}}");
        let mut connection = server.connect();
        connection
            .write_all(request("POST", ASK, &who.dify, &body).as_bytes())
            .expect("the question is sent");
        Self {
            connection,
            read: String::new(),
        }
    }

    /// Reads until this has come.
    fn until(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.read.contains(text) {
            let read = self
                .connection
                .read(&mut bytes)
                .expect("more of the answer");
            assert!(read > 0, "the stream has ended: {}", self.read);
            let more = std::str::from_utf8(&bytes[..read]).expect("text");
            self.read.push_str(more);
        }
    }

    /// Every event, to the end of the stream.
    fn events(mut self) -> Vec<Value> {
        self.connection
            .read_to_string(&mut self.read)
            .expect("the stream ends");
        let frames = self.read.lines();
        let frames = frames.filter_map(|line| line.strip_prefix("data: "));
        frames
            .map(|frame| serde_json::from_str(frame).expect("JSON"))
            .collect()
    }
}

/// The id of the conversation that an event belongs to.
fn conversation(stream: &Stream) -> String {
    let (_, rest) = stream
        .read
        .split_once("\"conversation_id\":\"")
        .expect("an event with a conversation");
    rest[..36].to_owned()
}

fn names(events: &[Value]) -> Vec<&str> {
    let name = |event: &Value| event["event"].as_str().map(str::len);
    assert!(events.iter().all(|event| name(event).is_some()));
    events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect()
}

/// The stream has told of the deletion, and of nothing that comes after an answer.
#[track_caller]
fn ended_with_not_found(stream: Stream) {
    let events = stream.events();
    let names = names(&events);
    let last = events.last().expect("an event");
    assert_eq!(names.last(), Some(&"error"), "{names:?}");
    assert_eq!(last["code"], "not_found");
    assert_eq!(last["status"], 404);
    for name in ["message_end", "workflow_finished"] {
        assert!(!names.contains(&name), "{names:?}");
    }
}

#[test]
fn an_open_stream_ends_with_an_error_when_an_operator_erases_its_conversation() {
    let (place, words) = (Place::new(), Words::new());
    let server = words.serve(&place);
    let (alice, bob) = (Person::new(&place, "alice"), Person::new(&place, "bob"));
    let mut hers = Stream::ask(&server, &alice, "streaming");
    let mut her_call = words.call();
    her_call.say("first");
    hers.until("\"answer\":\"first\"");
    let mut his = Stream::ask(&server, &bob, "streaming");
    let mut his_call = words.call();
    his_call.say("first");
    his.until("\"answer\":\"first\"");
    let id = conversation(&hers);
    // Its key and its rows are where they are looked for first.
    assert_eq!(alice.read(&server, &id), [200, 200]);
    let erased = place.run(&["erase", "--conversation", &id]);
    assert_eq!(
        (erased.code, erased.stdout.lines().count()),
        (0, 1),
        "{erased:?}"
    );
    assert_eq!(alice.read(&server, &id), [404, 404]);
    ended_with_not_found(hers);
    her_call.wait_until_given_up();
    his_call.say("second");
    drop(his_call);
    let his_id = conversation(&his);
    let events = his.events();
    assert!(names(&events).ends_with(&["message_end", "workflow_finished"]));
    assert_eq!(
        events.last().expect("an event")["data"]["outputs"]["answer"],
        "firstsecond"
    );
    assert_eq!(bob.read(&server, &his_id), [200, 200]);
    assert_eq!(
        alice.read(&server, &id),
        [404, 404],
        "nothing has come back"
    );
}

#[test]
fn erasing_a_user_ends_all_of_their_streams_and_nobody_elses() {
    let (place, words) = (Place::new(), Words::new());
    let server = words.serve(&place);
    let (alice, bob) = (Person::new(&place, "alice"), Person::new(&place, "bob"));
    let open = |who: &Person| {
        let mut stream = Stream::ask(&server, who, "streaming");
        let mut call = words.call();
        call.say("first");
        stream.until("\"answer\":\"first\"");
        let id = conversation(&stream);
        (stream, call, id)
    };
    let hers = [open(&alice), open(&alice)];
    let (his, his_call, his_id) = open(&bob);
    let ids = [hers[0].2.clone(), hers[1].2.clone()];
    for id in &ids {
        assert_eq!(alice.read(&server, id), [200, 200]);
    }
    let erased = place.run(&["erase", "--user", "alice"]);
    assert_eq!(
        (erased.code, erased.stdout.lines().count()),
        (0, 2),
        "{erased:?}"
    );
    let again = Person::new(&place, "alice");
    for id in &ids {
        assert_eq!(alice.read(&server, id), [401, 401], "her keys are revoked");
        assert_eq!(again.read(&server, id), [404, 404]);
    }
    for (stream, call, _) in hers {
        ended_with_not_found(stream);
        call.wait_until_given_up();
    }
    drop(his_call);
    assert!(names(&his.events()).ends_with(&["message_end", "workflow_finished"]));
    assert_eq!(bob.read(&server, &his_id), [200, 200]);
}

#[test]
fn a_question_that_waits_for_its_whole_answer_is_told_that_its_conversation_is_erased() {
    let (place, words) = (Place::new(), Words::new());
    let server = words.serve(&place);
    let alice = Person::new(&place, "alice");
    let mut asked = Stream::ask(&server, &alice, "blocking");
    let call = words.call();
    assert_eq!(
        place
            .run(&["erase", "--user", "alice"])
            .stdout
            .lines()
            .count(),
        1
    );
    let answer = read_answer(&mut asked.connection);
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.string("code"), "not_found");
    call.wait_until_given_up();
}

#[test]
fn what_was_being_answered_at_a_kill_is_erased_without_a_server_and_stays_so() {
    let (place, words) = (Place::new(), Words::new());
    let server = words.serve(&place);
    let (alice, bob) = (Person::new(&place, "alice"), Person::new(&place, "bob"));
    let mut ids = Vec::new();
    let mut calls = Vec::new();
    for who in [&alice, &alice, &bob, &bob] {
        let mut stream = Stream::ask(&server, who, "streaming");
        let mut call = words.call();
        call.say("first");
        stream.until("\"answer\":\"first\"");
        ids.push(conversation(&stream));
        calls.push(call);
    }
    server.kill();
    let erased = place.run(&["erase", "--user", "alice"]);
    assert_eq!(
        (erased.code, erased.stdout.lines().count()),
        (0, 2),
        "{erased:?}"
    );
    let erased = place.run(&["erase", "--conversation", &ids[2]]);
    assert_eq!(
        (erased.code, erased.stdout.lines().count()),
        (0, 1),
        "{erased:?}"
    );
    let server = place.serve(&[]);
    let again = Person::new(&place, "alice");
    assert_eq!(
        alice.read(&server, &ids[0]),
        [401, 401],
        "her keys are revoked"
    );
    assert_eq!(again.read(&server, &ids[0]), [404, 404]);
    assert_eq!(again.read(&server, &ids[1]), [404, 404]);
    assert_eq!(bob.read(&server, &ids[2]), [404, 404]);
    assert_eq!(bob.read(&server, &ids[3]), [200, 200]);
}
