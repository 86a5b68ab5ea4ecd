//! Request bodies: expectations, lengths and chunks, the three plans, and the bound on each.

use super::super::HttpConfig;
use super::rig::{Talk, Way, each, each_with, pattern};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn post(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST /{path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}").into_bytes()
}

/// `body` in chunks of `size`.
fn chunks(body: &[u8], size: usize) -> String {
    let chunk = |part: &[u8]| format!("{:x};e=1\r\n{}\r\n", part.len(), String::from_utf8_lossy(part));
    body.chunks(size).map(chunk).chain(["0\r\nT: t\r\n\r\n".to_owned()]).collect()
}

/// The request in both framings, with a body of `n` bytes.
fn both(path: &str, n: usize) -> [Vec<u8>; 2] {
    let body = pattern(n);
    let text = String::from_utf8_lossy(&body);
    [
        post(path, &format!("Content-Length: {n}\r\n"), &text),
        post(path, "Transfer-Encoding: chunked\r\n", &chunks(&body, 7)),
    ]
}

fn small() -> HttpConfig {
    HttpConfig { body_bytes_max: 100, ..HttpConfig::default() }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        each(|talk| {
            talk.say(&post("a", &format!("Expect: 100-Continue\r\n{fields}"), ""));
            assert_eq!(talk.raw().escape_ascii().to_string(), CONTINUE.as_bytes().escape_ascii().to_string());
            talk.say(if fields.starts_with('C') { b"hello" } else { b"5\r\nhello\r\n0\r\n\r\n" });
            let answer = talk.one();
            assert_eq!((answer.status, answer.text(), answer.closes()), (200, "POST /a hello", false));
            talk.still_answers();
        });
    }
}

#[test]
fn a_client_whose_body_is_there_gets_no_100_continue() {
    each(|talk| {
        if talk.way == Way::Bytewise {
            return;
        }
        talk.say(&post("a", "Expect: 100-continue\r\nContent-Length: 5\r\n", "h"));
        talk.silent();
        talk.say(b"ello");
        assert_eq!(talk.one().text(), "POST /a hello");
    });
}

#[test]
fn nothing_is_continued_without_a_body_or_in_http_1_0() {
    each(|talk| {
        talk.say(&post("a", "Expect: 100-continue\r\nContent-Length: 0\r\n", ""));
        assert_eq!(talk.one().text(), "POST /a ");
        talk.say(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        talk.silent();
        talk.say(b"hi");
        assert_eq!(talk.one().text(), "POST /a hi");
    });
}

#[test]
fn an_expectation_that_cannot_be_met_is_refused() {
    each(|talk| {
        talk.say(&post("a", "Expect: 200-ok\r\nContent-Length: 5\r\n", ""));
        assert_eq!(talk.one().status, 417);
        assert_eq!(talk.ended(), "http.expectation_failed");
    });
}

#[test]
fn a_length_over_the_bound_is_refused_before_its_body_and_without_100_continue() {
    for path in ["skip", "collect/100"] {
        each_with(&small(), |talk| {
            talk.say(&post(path, "Expect: 100-continue\r\nContent-Length: 101\r\n", ""));
            let answers = talk.heard(&["POST"]);
            assert_eq!((answers.len(), answers[0].status, answers[0].closes()), (1, 413, true));
            assert_eq!(talk.ended(), "http.body_too_large");
        });
    }
}

#[test]
fn a_body_exactly_at_the_bound_is_taken_in_both_framings() {
    for path in ["skip", "collect/100", "refuse"] {
        for request in both(path, 100) {
            each_with(&small(), |talk| {
                talk.say(&request);
                let text = String::from_utf8(pattern(if path == "collect/100" { 100 } else { 0 })).unwrap();
                let answer = talk.one();
                let status = if path == "refuse" { "POST /refuse " } else { &format!("POST /{path} {text}") };
                assert_eq!((answer.status, answer.text(), answer.closes()), (200, status, false));
                talk.still_answers();
            });
        }
    }
}

#[test]
fn a_body_one_byte_over_the_bound_is_refused_in_both_framings() {
    for path in ["skip", "collect/100"] {
        for request in both(path, 101) {
            each_with(&small(), |talk| {
                talk.say(&[&request[..], b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
                let answer = talk.one();
                assert_eq!((answer.status, answer.closes()), (413, true), "{path}, {:?}", talk.way);
                assert_eq!(talk.ended(), "http.body_too_large");
                assert_eq!(talk.probe.with(|http, _| http.state().asked), 0);
            });
        }
    }
}

#[test]
fn a_collecting_application_may_take_more_than_the_default_bound() {
    for request in both("collect/5000", 5000) {
        each_with(&small(), |talk| {
            talk.say(&request);
            assert_eq!(talk.one().text().len(), "POST /collect/5000 ".len() + 5000);
        });
    }
}

#[test]
fn what_comes_first_of_too_large_and_malformed_is_answered_alike_for_every_cut() {
    // Eleven chunks of ten bytes pass the bound before the broken chunk comes.
    let body = "a\r\n0123456789\r\n".repeat(11) + "zz\r\n";
    each_with(&small(), |talk| {
        talk.say(&post("skip", "Transfer-Encoding: chunked\r\n", &body));
        assert_eq!(talk.one().status, 413, "{:?}", talk.way);
        assert_eq!(talk.ended(), "http.body_too_large");
    });
    each_with(&small(), |talk| {
        talk.say(&post("skip", "Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\nzz\r\n"));
        assert_eq!(talk.one().status, 400, "{:?}", talk.way);
        assert_eq!(talk.ended(), "http.bad_chunk");
    });
}

#[test]
fn the_body_behind_an_early_refusal_is_skipped_and_the_connection_kept() {
    for (path, n) in [("refuse", 7), ("refusebig/70000", 70_000), ("refusefile/70000", 70_000)] {
        for request in both(path, 90) {
            each_with(&small(), |talk| {
                talk.widen();
                talk.say(&[&request[..], b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
                let answers = talk.heard(&["POST", "GET"]);
                assert_eq!((answers[0].status, answers[0].closes()), (200, false));
                assert!(n == 7 || answers[0].body == pattern(n));
                assert_eq!(answers[1].text(), "GET /next ");
                talk.still_answers();
            });
        }
    }
}

#[test]
fn an_early_refusal_comes_before_the_body() {
    each(|talk| {
        talk.say(&post("refuse", "Content-Length: 5\r\n", ""));
        assert_eq!(talk.one().text(), "POST /refuse ");
        talk.say(b"hello");
        talk.silent();
        talk.still_answers();
    });
}

#[test]
fn an_early_refusal_of_a_client_that_waits_or_of_too_much_closes() {
    for fields in ["Expect: 100-continue\r\nContent-Length: 5\r\n", "Content-Length: 101\r\n"] {
        for path in ["refuse", "refusebig/70000", "refusefile/70000"] {
            each_with(&small(), |talk| {
                talk.widen();
                talk.say(&post(path, fields, ""));
                let answer = talk.one();
                assert!(answer.closes() && answer.status == 200);
                assert_eq!(talk.ended(), "finished");
            });
        }
    }
}

#[test]
fn the_body_of_a_client_that_was_refused_does_not_cost_it_the_answer() {
    for path in ["refuse", "refusebig/70000", "refusefile/70000"] {
        each_with(&small(), |talk| {
            if talk.way == Way::Bytewise {
                return;
            }
            talk.widen();
            // The peer reads nothing until it has sent its whole body, as many clients do.
            talk.probe.recv(&post(path, "Expect: 100-continue\r\nContent-Length: 90\r\n", ""));
            talk.probe.recv(&pattern(30));
            let answered = talk.probe.sent_up_to(60_000).len();
            talk.probe.recv(&pattern(30));
            let rest = talk.probe.sent();
            talk.probe.recv(&pattern(30));
            assert!(answered > 0 && (path == "refuse" || answered + rest.len() > 70_000), "{path}");
            assert_eq!(talk.ended(), "finished");
        });
    }
}

#[test]
fn a_refused_chunked_body_over_the_bound_ends_the_connection() {
    each_with(&small(), |talk| {
        talk.say(&post("refuse", "Transfer-Encoding: chunked\r\n", &chunks(&pattern(120), 50)));
        assert_eq!(talk.one().text(), "POST /refuse ");
        assert_eq!(talk.ended(), "http.body_too_large");
    });
    each_with(&small(), |talk| {
        talk.say(&post("refuse", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\nzz\r\n"));
        assert_eq!(talk.one().text(), "POST /refuse ");
        assert_eq!(talk.ended(), "http.bad_chunk");
    });
}

#[test]
fn a_broken_chunk_is_refused_and_nothing_behind_it_answered() {
    each(|talk| {
        let body = "5\r\nhelloXX0\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        talk.say(&post("a", "Transfer-Encoding: chunked\r\n", body));
        assert_eq!(talk.one().status, 400);
        assert_eq!(talk.ended(), "http.bad_chunk");
    });
}

#[test]
fn bodies_larger_than_a_buffer_are_collected_and_skipped() {
    let sum = |talk: &mut Talk, path: &str| {
        talk.say(&both(path, 100_000)[0]);
        let answer = talk.heard(&["POST"]).remove(0);
        answer.body.len()
    };
    each(|talk| {
        if talk.way == Way::OneByteTx {
            return;
        }
        assert_eq!(sum(talk, "collect/100000"), "POST /collect/100000 ".len() + 100_000);
        assert_eq!(sum(talk, "skip"), "POST /skip ".len());
    });
}
