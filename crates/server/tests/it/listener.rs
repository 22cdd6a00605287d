//! Slow clients, large bodies, many connections.

use std::io::{Read, Write};

use crate::process::{Place, read_answer, request};

#[test]
fn a_client_that_sends_nothing_is_cut_off() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_HTTP_HEADER_TIMEOUT_S", "1")]);
    for first in ["", "GET /healthz HTTP/1.1\r\nhost: par"] {
        let mut stream = server.connect();
        stream.write_all(first.as_bytes()).expect("it is sent");
        let mut rest = Vec::new();
        // Ends only when the server closes the connection; otherwise the read times out.
        stream
            .read_to_end(&mut rest)
            .expect("the connection is closed");
    }
}

#[test]
fn an_idle_connection_is_cut_off_after_an_answer_too() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_HTTP_HEADER_TIMEOUT_S", "1")]);
    let mut stream = server.connect();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: parlance\r\n\r\n")
        .expect("it is sent");
    assert_eq!(read_answer(&mut stream).status, 200);
}

#[test]
fn a_body_that_does_not_go_on_is_answered_in_the_dialects_words() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_HTTP_BODY_TIMEOUT_S", "1")]);
    let key = place.key("openai");
    let request = request("POST", "/v1/conversations", &key, "{\"metadata\":{}}");
    let mut stream = server.connect();
    stream
        .write_all(&request.as_bytes()[..request.len() - 3])
        .expect("a part is sent");
    let answer = read_answer(&mut stream);
    assert_eq!(answer.status, 408);
    assert!(answer.body.contains("\"param\":null"), "{answer:?}");
}

#[test]
fn a_body_over_the_limit_is_answered_in_the_dialects_words() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_HTTP_BODY_BYTES_MAX", "100")]);
    let key = place.key("openai");
    let body = format!("{{\"metadata\":{{\"a\":\"{}\"}}}}", "x".repeat(100));
    let answer = server.send("POST", "/v1/conversations", &key, &body);
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("100 bytes"), "{answer:?}");
    let mut stream = server.connect();
    let chunked = format!(
        "POST /v1/conversations HTTP/1.1\r\nhost: parlance\r\nauthorization: Bearer {key}\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    stream.write_all(chunked.as_bytes()).expect("it is sent");
    assert_eq!(read_answer(&mut stream).status, 413);
}

#[test]
fn connections_over_the_limit_wait_for_a_place() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_HTTP_CONNECTIONS_MAX", "1")]);
    let first = server.connect();
    let mut second = server.connect();
    second
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: parlance\r\nconnection: close\r\n\r\n")
        .expect("it is sent");
    second
        .set_read_timeout(Some(std::time::Duration::from_millis(300)))
        .expect("a timeout");
    let mut byte = [0];
    assert!(second.read(&mut byte).is_err(), "there is no place yet");
    drop(first);
    second
        .set_read_timeout(Some(crate::process::PATIENCE))
        .expect("a timeout");
    assert_eq!(read_answer(&mut second).status, 200);
}

#[test]
fn a_browsers_preflight_is_answered_for_the_origins_that_are_set() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_HTTP_CORS_ORIGINS", "http://app.example")]);
    let preflight = |origin: &str| {
        let mut stream = server.connect();
        let request = format!(
            "OPTIONS /openai/v1/conversations HTTP/1.1\r\nhost: parlance\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it is sent");
        read_answer(&mut stream).head.to_lowercase()
    };
    let allowed = "access-control-allow-origin: http://app.example";
    assert!(preflight("http://app.example").contains(allowed));
    assert!(!preflight("http://evil.example").contains(allowed));
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let place = Place::new();
    let server = place.serve(&[
        ("PARLANCE_HTTP_WRITE_TIMEOUT_S", "1"),
        ("PARLANCE_HTTP_CONNECTIONS_MAX", "1"),
    ]);
    let mut stream = server.connect();
    stream
        .set_write_timeout(Some(crate::process::PATIENCE))
        .expect("a timeout");
    let request = b"GET /v1/nothing HTTP/1.1\r\nhost: parlance\r\n\r\n".repeat(64);
    // Goes on until the server gives the connection up; its answers are never read.
    while stream.write_all(&request).is_ok() {}
    assert_eq!(
        server.send("GET", "/healthz", "", "").status,
        200,
        "there is a place again"
    );
}

#[test]
fn a_body_that_trickles_is_cut_off_too() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_HTTP_BODY_TIMEOUT_S", "1")]);
    let key = place.key("openai");
    let request = request("POST", "/v1/conversations", &key, &" ".repeat(1 << 20));
    let mut stream = server.connect();
    let (head, body) = request.split_at(request.len() - (1 << 20));
    stream.write_all(head.as_bytes()).expect("the head is sent");
    // Never a pause as long as is allowed, and never enough either.
    for byte in body.as_bytes() {
        if stream.write_all(std::slice::from_ref(byte)).is_err() {
            break;
        }
        stream
            .set_read_timeout(Some(std::time::Duration::from_millis(100)))
            .expect("a timeout");
        let mut answer = [0; 12];
        if stream.read_exact(&mut answer).is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 408");
            return;
        }
    }
    panic!("the body was never cut off");
}

#[test]
fn a_refusal_leaves_the_connection_usable_or_says_that_it_does_not() {
    let place = Place::new();
    let server = place.serve(&[]);
    for bytes in [100, 1 << 20] {
        let mut stream = server.connect();
        let head = format!(
            "POST /v1/conversations HTTP/1.1\r\nhost: parlance\r\ncontent-length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the head is sent");
        // A large body is not read to its end, so that it may not be taken to its end.
        drop(stream.write_all(&vec![b' '; bytes]));
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert_eq!(
            answer.contains("connection: close"),
            bytes > 100,
            "{answer}"
        );
    }
}
