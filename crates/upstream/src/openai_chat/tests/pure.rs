use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderName};

use super::super::retry::{pause, retry_after};
use super::super::sse::{Events, TooLarge};
use super::*;

/// The events in bytes that come in these pieces.
fn events(pieces: &[&[u8]]) -> Vec<String> {
    let mut reader = Events::default();
    let mut found = Vec::new();
    let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
    for piece in pieces {
        let mut rest = *piece;
        while let Some(data) = reader.next(&mut rest).expect("small events") {
            found.push(text(data));
        }
    }
    found.extend(reader.last().expect("small events").map(text));
    found
}

#[test]
fn events_are_found_as_the_standard_says() {
    for (bytes, expected) in [
        ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
        ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
        ("data: a\n\r\n\r\ndata: b", vec!["a", "b"]),
        ("data:a\ndata:  b\ndata\ndata:\n\n", vec!["a\n b\n\n"]),
        (
            ": c\n\n:\nevent: x\nid: 1\n\ndatax: y\nDATA: z\ndata: a\n\n\n\n",
            vec!["a"],
        ),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", vec!["a"]),
        ("data: a", vec!["a"]),
        ("data: \u{1f30d}\u{e9}\n\n", vec!["\u{1f30d}\u{e9}"]),
        ("", vec![]),
    ] {
        assert_eq!(events(&[bytes.as_bytes()]), expected, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut(
        lines in prop::collection::vec("(data: ?|: |id:|)[a-z\u{e9}\u{1f30d} ]{0,4}", 0..8),
        ends in prop::collection::vec("\n|\r|\r\n|\n\n|\r\n\r\n", 8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let text: String = lines.iter().zip(&ends).flat_map(|(line, end)| [line.as_str(), end]).collect();
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(events(&pieces), events(&[bytes]));
        prop_assert_eq!(events(&bytewise), events(&[bytes]));
    }
}

#[test]
fn an_event_without_an_end_is_given_up() {
    let line = vec![b'x'; 1 << 20];
    let endless = |piece: &[u8]| {
        let mut reader = Events::default();
        (0..9).try_for_each(|_| reader.next(&mut &*piece).map(|_| ()))
    };
    assert_eq!(endless(&line), Err(TooLarge));
    let lines = [b"data: ", &line[..], b"\n"].concat();
    assert_eq!(endless(&lines), Err(TooLarge));
    assert_eq!(endless(b"data: x\n\n"), Ok(()));
}

#[test]
fn an_url_of_a_server_may_have_any_form_that_is_clear() {
    for (text, chat) in [
        ("http://h:8000", "http://h:8000/v1/chat/completions"),
        ("http://h:8000/", "http://h:8000/v1/chat/completions"),
        ("https://h/v1", "https://h/v1/chat/completions"),
        ("https://h/v1/", "https://h/v1/chat/completions"),
        (
            "https://h/openai/v3//",
            "https://h/openai/v3/chat/completions",
        ),
        (" http://[::1]:1 ", "http://[::1]:1/v1/chat/completions"),
    ] {
        let url = BaseUrl::parse(text).expect(text);
        assert_eq!(url.at(CHAT).as_str(), chat, "{text}");
    }
    for (text, error) in [
        ("", UrlError::NoUrl),
        ("h:8000", UrlError::Scheme),
        ("localhost", UrlError::NoUrl),
        ("ftp://h", UrlError::Scheme),
        ("http://u:p@h", UrlError::Parts),
        ("http://h?key=x", UrlError::Parts),
        ("http://h#x", UrlError::Parts),
    ] {
        assert_eq!(BaseUrl::parse(text), Err(error), "{text}");
    }
}

#[test]
fn openai_is_asked_in_its_own_words() {
    for (url, limit) in [
        (
            "https://api.openai.com/v1",
            OutputLimit::MaxCompletionTokens,
        ),
        (
            "https://x.openai.azure.com/openai/v1",
            OutputLimit::MaxCompletionTokens,
        ),
        ("https://notopenai.com", OutputLimit::MaxTokens),
        ("http://127.0.0.1:8000", OutputLimit::MaxTokens),
    ] {
        let url = BaseUrl::parse(url).expect(url);
        assert_eq!(OutputLimit::of(&url), limit, "{url}");
    }
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    let read = |headers: &[(&'static str, &str)]| {
        let header = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                value.parse().expect("a value"),
            )
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        retry_after(&headers, NOW).map(|after| after.as_millis())
    };
    let day = 24 * 60 * 60 * 1_000;
    for (headers, expected) in [
        (&[][..], None),
        (&[("retry-after", "3")], Some(3_000)),
        (&[("retry-after", " 0.5 ")], Some(500)),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "9999999")], Some(day)),
        (
            &[("retry-after", "Sun, 22 Nov 2026 10:00:09 GMT")],
            Some(9_000),
        ),
        (&[("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT")], Some(0)),
        (&[("retry-after", "9"), ("retry-after-ms", "20")], Some(20)),
        (
            &[("retry-after", "9"), ("retry-after-ms", "x")],
            Some(9_000),
        ),
    ] {
        assert_eq!(read(headers), expected, "{headers:?}");
    }
}

#[test]
fn pauses_grow_and_are_never_longer_than_what_one_would_wait() {
    let ids = client().ids;
    let first = Duration::from_millis(100);
    for (count, least, most) in [(0, 50, 100), (1, 100, 200), (2, 200, 400)] {
        let pause = pause(first, count, None, &ids).expect("a pause");
        assert!(
            (least..=most).contains(&pause.as_millis()),
            "{count}: {pause:?}"
        );
    }
    let wanted = |seconds| pause(first, 0, Some(Duration::from_secs(seconds)), &ids);
    assert_eq!(wanted(10), Some(Duration::from_secs(10)));
    assert_eq!(wanted(11), None);
}

#[test]
fn a_server_over_tls_needs_somebody_to_trust() {
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let ids = Arc::new(IdSource::new(Arc::clone(&clock), [7; 32]));
    match Client::new(clock, ids, true) {
        // A machine may have no certificates; that is said.
        Ok(_) | Err(ClientError::NoAuthorities(_)) => {}
        Err(error) => panic!("{error}"),
    }
}
