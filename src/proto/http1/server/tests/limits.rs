//! Heads that are too large or broken: the right answer, the same for every cut, and nothing behind it answered.

use super::rig::{Answer, Talk, Way, each};

fn refused(talk: &mut Talk, bytes: &[u8]) -> (Answer, &'static str) {
    talk.say(bytes);
    let answer = talk.one();
    assert!(answer.closes());
    let reason = talk.ended();
    assert!(answer.text().contains(reason), "{} does not name {reason}", answer.text());
    assert_eq!(talk.probe.with(|http, _| http.state().asked), 0);
    (answer, reason)
}

#[test]
fn heads_over_a_limit_are_refused_alike_for_every_cut() {
    let a = |n: usize| "a".repeat(n);
    let fields = |n: usize| "X: y\r\n".repeat(n);
    let cases = [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", a(8 * 1024)), 414, "http.uri_too_long"),
        (format!("GET /{}", a(20_000)), 414, "http.uri_too_long"),
        (a(20_000), 414, "http.uri_too_long"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", a(16 * 1024)), 431, "http.head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", a(20_000)), 431, "http.head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(100)), 431, "http.too_many_fields"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}", fields(3000)), 431, "http.too_many_fields"),
    ];
    for (head, status, name) in &cases {
        each(|talk| {
            let (answer, reason) = refused(talk, head.as_bytes());
            assert_eq!((answer.status, reason), (*status, *name), "{:?}", talk.way);
        });
    }
}

#[test]
fn heads_just_within_the_limits_are_served() {
    let a = |n: usize| "a".repeat(n);
    let fill = |n: usize| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", a(n));
        (head.len(), head)
    };
    let (empty, _) = fill(0);
    let cases = [
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", a(8 * 1024 - 1)),
        fill(16 * 1024 - empty).1,
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(99)),
    ];
    for head in &cases {
        each(|talk| {
            talk.say(head.as_bytes());
            assert_eq!(talk.one().status, 200);
            talk.still_answers();
        });
    }
}

#[test]
fn broken_heads_are_refused_and_nothing_behind_them_is_answered() {
    let cases: &[(&str, u16, &str)] = &[
        ("GET / HTTP/1.1\r\n\r\n", 400, "http.bad_host"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "http.bad_field"),
        ("GET /\r\n\r\n", 400, "http.bad_request_line"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "http.unsupported_version"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http.h2_preface"),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", 400, "http.proxy_line"),
        ("\x16\x03\x01\x02\x00\x01", 400, "http.tls_on_plain"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "http.bad_framing",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400, "http.bad_framing"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "http.not_implemented",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\n",
            417,
            "http.expectation_failed",
        ),
    ];
    for (head, status, name) in cases {
        each(|talk| {
            let bytes = format!("{head}GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
            let (answer, reason) = refused(talk, bytes.as_bytes());
            assert_eq!((answer.status, reason), (*status, *name), "{:?}", talk.way);
        });
    }
}

#[test]
fn answers_before_a_broken_head_still_come() {
    each(|talk| {
        talk.say(
            b"GET /big/70000 HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nbroken\r\n\r\n",
        );
        let answers = talk.heard(&["GET"; 3]);
        assert_eq!(answers.iter().map(|a| a.status).collect::<Vec<_>>(), [200, 200, 400]);
        assert_eq!(talk.ended(), "http.bad_request_line");
    });
}

#[test]
fn the_answer_to_a_broken_head_request_has_no_body() {
    each(|talk| {
        talk.say(b"HEAD / HTTP/1.1\r\n\r\n");
        let answers = talk.heard(&["HEAD"]);
        assert_eq!(answers[0].status, 400);
        assert_eq!(talk.ended(), "http.bad_host");
    });
}

#[test]
fn a_peer_that_sends_on_after_a_refusal_still_reads_it() {
    each(|talk| {
        if talk.way == Way::OneByteTx {
            return;
        }
        talk.probe.recv(b"broken\r\n\r\n");
        for _ in 0..100 {
            talk.probe.recv(&[b'x'; 5000]);
        }
        assert_eq!(talk.one().status, 400);
        assert_eq!(talk.ended(), "http.bad_request_line");
    });
}
