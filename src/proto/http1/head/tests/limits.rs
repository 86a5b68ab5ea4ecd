//! Limits: which answer, at which byte, and the same for every cut.

use super::*;

/// The length of the first prefix that gets a verdict, and the verdict.
fn first_verdict(head: &[u8], limits: &Limits) -> Option<(usize, &'static str)> {
    (0..=head.len()).find_map(|end| match fed(&head[..end], limits, &[]) {
        "partial" => None,
        verdict => Some((end, verdict)),
    })
}

fn line_of_target(target: usize) -> Vec<u8> {
    [b"GET /", "a".repeat(target - 1).as_bytes(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()
}

#[test]
fn a_target_may_be_as_long_as_its_limit() {
    assert_eq!(verdict(&line_of_target(8192)), "ok");
    assert_eq!(verdict(&line_of_target(8193)), "http.uri_too_long");
    assert_eq!(verdict(&line_of_target(20_000)), "http.uri_too_long");
    let head = line_of_target(9000);
    assert_eq!(first_verdict(&head, &Limits::default()), Some((4 + 8193, "http.uri_too_long")));
}

#[test]
fn a_target_over_its_limit_is_414_whatever_else_is_wrong() {
    let long = "a".repeat(9000);
    for head in [
        format!("GET /{long} HTTP/2.0\r\n\r\n"),
        format!("GET /{long}\r\n"),
        format!("GET /{long} x y z\r\n"),
        format!("G@T /{long} HTTP/1.1\r\n\r\n"),
        format!("GET {long} HTTP/1.1\nHost : a\n\n"),
        format!("GET /\0\t{long} HTTP/1.1\r\n\r\n"),
    ] {
        assert_eq!(verdict(head.as_bytes()), "http.uri_too_long", "{}", &head[..20]);
    }
    assert_eq!(verdict(format!("@ /{long} HTTP/1.1\r\n").as_bytes()), "http.bad_request_line");
}

#[test]
fn an_unfinished_request_line_at_the_head_limit_is_414() {
    let limits = Limits { head_bytes_max: 64, uri_bytes_max: 32, fields_max: 10 };
    for head in [
        "A".repeat(64),
        format!("GET / {}", "x".repeat(58)),
        format!("GET / HTTP/1.1 {}\r\nHost: a\r\n\r\n", "x".repeat(58)),
        format!("{} / HTTP/1.1\r\n", "A".repeat(58)),
        format!("\r\n{}", "A".repeat(62)),
    ] {
        assert_eq!(verdict_within(head.as_bytes(), &limits), "http.uri_too_long", "{head}");
        assert_eq!(first_verdict(head.as_bytes(), &limits), Some((64, "http.uri_too_long")));
        assert_eq!(verdict_within(&head.as_bytes()[..63], &limits), "partial");
    }
}

#[test]
fn past_the_request_line_the_head_limit_is_431() {
    let limits = Limits { head_bytes_max: 64, uri_bytes_max: 32, fields_max: 10 };
    let exact = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 - 32));
    assert_eq!(exact.len(), 64);
    assert_eq!(verdict_within(exact.as_bytes(), &limits), "ok");
    let followed = format!("{exact}GET / HTTP/1.1\r\n\r\n");
    assert_eq!(verdict_within(followed.as_bytes(), &limits), "ok");
    for head in [
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 - 31)),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX{}", "x".repeat(64)),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX : {}\r\n\r\n", "x".repeat(64)),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\n\n", "x".repeat(64)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(9)),
    ] {
        assert_eq!(verdict_within(head.as_bytes(), &limits), "http.head_too_large", "{head}");
        assert_eq!(first_verdict(head.as_bytes(), &limits), Some((64, "http.head_too_large")), "{head}");
    }
    let early = format!("GET / HTTP/1.1\r\nHost : a\r\nX: {}\r\n\r\n", "x".repeat(64));
    assert_eq!(verdict_within(early.as_bytes(), &limits), "http.bad_field");
}

#[test]
fn the_default_head_limit_holds() {
    let with_value = |len: usize| get(&format!("Cookie: {}\r\n", "c".repeat(len)));
    let overhead = with_value(0).len();
    assert_eq!(verdict(with_value(16_384 - overhead).as_bytes()), "ok");
    assert_eq!(verdict(with_value(16_385 - overhead).as_bytes()), "http.head_too_large");
}

#[test]
fn the_field_limit_is_judged_at_the_line_that_passes_it() {
    let with_fields =
        |count: usize, rest: &str| format!("GET / HTTP/1.0\r\n{}{rest}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(verdict(with_fields(100, "").as_bytes()), "ok");
    assert_eq!(verdict(with_fields(101, "").as_bytes()), "http.too_many_fields");
    assert_eq!(verdict(with_fields(101, "bad\r\n").as_bytes()), "http.too_many_fields");
    assert_eq!(verdict(with_fields(100, "bad\r\n").as_bytes()), "http.too_many_fields");
    assert_eq!(verdict(with_fields(99, "bad\r\n").as_bytes()), "http.bad_field");
    assert_eq!(verdict(with_fields(5000, "").as_bytes()), "http.too_many_fields");
    let limits = Limits { fields_max: 2, ..Limits::default() };
    assert_eq!(verdict_within(with_fields(2, "").as_bytes(), &limits), "ok");
    assert_eq!(verdict_within(with_fields(3, "").as_bytes(), &limits), "http.too_many_fields");
    let limits = Limits { fields_max: 5000, ..Limits::default() };
    assert_eq!(verdict_within(with_fields(101, "").as_bytes(), &limits), "http.too_many_fields");
    let limits = Limits { fields_max: 0, ..Limits::default() };
    assert_eq!(verdict_within(with_fields(0, "").as_bytes(), &limits), "ok");
    assert_eq!(verdict_within(with_fields(1, "").as_bytes(), &limits), "http.too_many_fields");
}

#[test]
fn faults_are_told_at_the_byte_that_makes_them_certain() {
    let limits = Limits::default();
    for (head, at) in [
        (&b"{"[..], 1),
        (b"\x16\x03\x01", 1),
        (b"PROXY TCP4", 6),
        (b"PRI * HTTP/2.0\r\n", 13),
        (b"\r\nPRI * HTTP/2.0\r\n", 15),
        (b"GET /\r\nHost: a\r\n\r\n", 7),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 16),
        (b"GET / HTTP/1.1\r\nHost : a\r\nX: y\r\n\r\n", 26),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX: y\r\n\r\n", 42),
    ] {
        assert_eq!(first_verdict(head, &limits).map(|(at, _)| at), Some(at), "{}", head.escape_ascii());
    }
}

#[test]
fn limits_of_nothing_refuse_everything() {
    let limits = Limits { head_bytes_max: 0, uri_bytes_max: 0, fields_max: 0 };
    assert_eq!(verdict_within(b"", &limits), "http.uri_too_long");
    let limits = Limits { head_bytes_max: 3, uri_bytes_max: 0, fields_max: 0 };
    assert_eq!(verdict_within(b"\r\n\r\n\0", &limits), "http.uri_too_long");
    let limits = Limits { uri_bytes_max: 0, ..Limits::default() };
    assert_eq!(verdict_within(b"PRI * HTTP/2.0\r\n\r\n", &limits), "http.h2_preface");
    assert_eq!(verdict_within(b"GET /a HTTP/1.1\r\n\r\n", &limits), "http.uri_too_long");
}
