//! `kill -9`: what was acknowledged is there, what was deleted stays deleted.

use crate::process::Place;

#[test]
fn every_acknowledged_write_is_there_after_a_kill() {
    let place = Place::new();
    let (mut kept, mut deleted) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let server = place.serve(&[]);
        let key = place.key("openai");
        for at in 0..20 {
            let body =
                "{\"metadata\":{\"a\":\"b\"},\"items\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
            let id = server
                .send("POST", "/v1/conversations", &key, body)
                .string("id");
            if at % 2 == 0 {
                let path = format!("/v1/conversations/{id}");
                assert_eq!(server.send("DELETE", &path, &key, "").status, 200);
                deleted.push(id);
            } else {
                kept.push(id);
            }
        }
        server.kill();
    }
    let server = place.serve(&[]);
    let key = place.key("openai");
    for id in kept {
        let items = server.send("GET", &format!("/v1/conversations/{id}/items"), &key, "");
        assert!(items.body.contains("\"text\":\"hi\""), "{items:?}");
    }
    for id in deleted {
        let path = format!("/v1/conversations/{id}");
        assert_eq!(server.send("GET", &path, &key, "").status, 404);
        assert_eq!(server.send("DELETE", &path, &key, "").status, 404);
    }
}

#[test]
fn logs_hold_no_content_no_credential_and_no_query_even_when_everything_is_logged() {
    let place = Place::new();
    let server = place.serve(&[
        ("PARLANCE_LOG_FILTER", "trace"),
        ("PARLANCE_LOG_FORMAT", "json"),
    ]);
    let key = place.key("openai");
    let body = "{\"metadata\":{\"k-canary\":\"v-canary\"},\"items\":[{\"role\":\"user\",\"content\":\"i-canary\"}]}";
    let id = server
        .send("POST", "/v1/conversations?q=q-canary", &key, body)
        .string("id");
    server.send(
        "POST",
        "/v1/conversations",
        &key,
        "{\"metadata\": \"b-canary\"",
    );
    server.send("GET", "/v1/conversations/conv_x?limit=l-canary", &key, "");
    server.send(
        "GET",
        &format!("/v1/conversations/{id}"),
        "sk-canary-key",
        "",
    );
    let log = server.log();
    assert!(
        log.contains("answered a request"),
        "requests are logged: {log}"
    );
    assert!(!log.contains("canary") && !log.contains(&key), "{log}");
}
