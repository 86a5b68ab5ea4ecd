//! Tables of request heads: RFC 9112, the smuggling catalogues, and what peers were seen to get wrong.
//! Every case runs whole, byte by byte and at each single cut, with the same verdict.

mod fields;
mod limits;
mod line;

use super::*;

/// The verdict on a head as a line of text: the class of the fault, or `ok`.
fn verdict(head: &[u8]) -> &'static str {
    verdict_within(head, &Limits::default())
}

/// As [`verdict`] with other limits; `partial` if nothing is certain. Asserts that no cut changes it.
fn verdict_within(head: &[u8], limits: &Limits) -> &'static str {
    let whole = fed(head, limits, &[]);
    let each: Vec<usize> = (0..head.len()).collect();
    assert_eq!(whole, fed(head, limits, &each), "byte by byte: {}", head.escape_ascii());
    let near_ends = head.len() > 600;
    for cut in each.into_iter().filter(|cut| !near_ends || *cut < 100 || cut % 97 == 0) {
        assert_eq!(whole, fed(head, limits, &[cut]), "cut at {cut}: {}", head.escape_ascii());
    }
    whole
}

fn fed(head: &[u8], limits: &Limits, cuts: &[usize]) -> &'static str {
    let mut progress = Progress::default();
    for &end in cuts.iter().chain([&head.len()]) {
        let mut store = FieldStore::new();
        match parse(&head[..end], limits, &mut progress, &mut store) {
            Ok(Status::Partial) => {}
            Ok(Status::Complete(_)) => return "ok",
            Err(fault) => return fault.class.name,
        }
    }
    "partial"
}

/// Asserts the class of each head, and its status.
fn refused(fault: &Fault, heads: &[&[u8]]) {
    for head in heads {
        assert_eq!(verdict(head), fault.class.name, "{}", head.escape_ascii());
    }
}

fn accepted(heads: &[&[u8]]) {
    for head in heads {
        assert_eq!(verdict(head), "ok", "{}", head.escape_ascii());
    }
}

/// Parses a good head and hands it to `check`.
fn with<T>(head: &str, check: impl FnOnce(Head<'_>) -> T) -> T {
    assert_eq!(verdict(head.as_bytes()), "ok", "{head}");
    let mut store = FieldStore::new();
    match parse(head.as_bytes(), &Limits::default(), &mut Progress::default(), &mut store) {
        Ok(Status::Complete(head)) => check(head),
        other => panic!("{other:?}: {head}"),
    }
}

/// A GET of `/` in HTTP/1.1 with a Host and these field lines.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn post(version: &str, lines: &str) -> String {
    format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn the_parts_of_a_head_are_told() {
    let text = "PUT /a/b?c=d?e HTTP/1.1\r\nHost: example.com:80\r\nX-One:\t 1 \t\r\nContent-Length: 3\r\nx-one: 2\r\nEmpty:\r\n\r\nabc";
    with(text, |head| {
        assert_eq!(head.consumed, text.len() - 3);
        assert_eq!((head.method, head.version, head.form), (Method::Put, Version::Http11, Form::Origin));
        assert_eq!(head.target, b"/a/b?c=d?e");
        assert_eq!((head.path, head.query), (&b"/a/b"[..], Some(&b"c=d?e"[..])));
        assert_eq!(head.authority, Some(&b"example.com:80"[..]));
        assert_eq!(head.framing, Framing::Length(3));
        assert!(head.keep_alive && !head.expect_continue && head.upgrade.is_none());
        assert_eq!(head.field("X-ONE"), Some(&b"1"[..]));
        assert_eq!(head.field("empty"), Some(&b""[..]));
        assert_eq!(head.field("none"), None);
        assert_eq!(head.field_all("x-one").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(head.fields().len(), 5);
        assert_eq!(head.fields().next(), Some(("Host", &b"example.com:80"[..])));
    });
}

#[test]
fn the_head_ends_where_the_next_request_begins() {
    let one = get("");
    let three = one.repeat(3);
    with(&three, |head| assert_eq!(head.consumed, one.len()));
}

#[test]
fn progress_starts_again_for_the_next_head() {
    let bytes = get("X: y\r\n").into_bytes();
    let mut progress = Progress::default();
    for _ in 0..3 {
        for end in 0..bytes.len() {
            let mut store = FieldStore::new();
            let status = parse(&bytes[..end], &Limits::default(), &mut progress, &mut store).unwrap();
            assert!(matches!(status, Status::Partial));
        }
        let mut store = FieldStore::new();
        let status = parse(&bytes, &Limits::default(), &mut progress, &mut store).unwrap();
        assert!(matches!(status, Status::Complete(_)));
        assert_eq!(progress, Progress::default());
    }
}

#[test]
fn the_state_between_calls_is_small() {
    assert!(size_of::<Progress>() <= 12);
    assert!(size_of::<Fault>() <= 16);
}

#[test]
fn an_empty_buffer_is_partial() {
    assert_eq!(verdict(b""), "partial");
}
