//! Kept connections: pipelining, order, versions, closing on request.

use super::rig::{Answer, Way, each, pattern};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_kept_connection_answers_one_request_after_the_other() {
    each(|talk| {
        for _ in 0..3 {
            talk.say(GET);
            let answer = talk.one();
            assert_eq!((answer.status, answer.text()), (200, "GET /a "));
            assert_eq!((answer.field("Connection"), answer.field("Server")), (None, Some("tidemill")));
            assert!(answer.field("Date").is_some());
        }
        talk.probe.eof();
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    each(|talk| {
        let (mut all, mut methods) = (Vec::new(), Vec::new());
        for n in 0..20 {
            let method = ["GET", "HEAD", "DELETE", "POST"][n % 4];
            let body = if method == "POST" { "Content-Length: 2\r\n\r\nhi" } else { "\r\n" };
            all.extend(format!("{method} /{n} HTTP/1.1\r\nHost: a\r\n{body}").bytes());
            methods.push(method);
        }
        talk.say(&all);
        for (n, answer) in talk.heard(&methods).iter().enumerate() {
            let text = format!("{} /{n} {}", methods[n], if n % 4 == 3 { "hi" } else { "" });
            let expected = if methods[n] == "HEAD" { "" } else { &text };
            assert_eq!((answer.status, answer.text()), (200, expected));
            assert_eq!(answer.field("Content-Length"), Some(text.len().to_string().as_str()));
        }
    });
}

#[test]
fn more_requests_than_a_buffer_holds_wait_for_their_turn() {
    each(|talk| {
        // 24 requests of 8,000 bytes with small answers, and one in the middle whose answer fills the buffer.
        let filler = String::from_utf8(pattern(7_900)).unwrap();
        let mut all = Vec::new();
        for n in 0..24 {
            let path = if n == 12 { "big/66000".to_owned() } else { n.to_string() };
            all.extend(format!("GET /{path} HTTP/1.1\r\nHost: a\r\nX: {filler}\r\n\r\n").bytes());
        }
        assert_eq!(talk.say(&all), all.len());
        let answers = talk.heard(&["GET"; 24]);
        for (n, answer) in answers.iter().enumerate() {
            let expected = if n == 12 { pattern(66_000) } else { format!("GET /{n} ").into_bytes() };
            assert!(answer.body == expected, "answer {n}");
        }
    });
}

#[test]
fn answers_larger_than_a_buffer_come_whole_and_in_order() {
    each(|talk| {
        talk.widen();
        let mut all = Vec::new();
        let methods = ["GET", "HEAD", "GET", "GET", "HEAD", "GET", "GET"];
        let paths = ["big/70000", "big/70000", "a", "file/70000", "file/70000", "shared/70000", "b"];
        for (method, path) in methods.iter().zip(paths) {
            all.extend(format!("{method} /{path} HTTP/1.1\r\nHost: a\r\n\r\n").bytes());
        }
        talk.say(&all);
        let answers = talk.heard(&methods);
        let size = |answer: &Answer| answer.field("Content-Length").map(|n| n.parse().unwrap());
        for at in [0, 3, 5] {
            assert!(answers[at].body == pattern(70_000), "answer {at}, {:?}", talk.way);
        }
        for at in [1, 4] {
            assert_eq!((size(&answers[at]), answers[at].body.len()), (Some(70_000), 0));
        }
        assert_eq!((answers[2].text(), answers[6].text()), ("GET /a ", "GET /b "));
        talk.still_answers();
    });
}

#[test]
fn http_1_0_is_closed_unless_it_asks_to_be_kept_and_is_told_so() {
    each(|talk| {
        for _ in 0..2 {
            talk.say(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
            assert_eq!(talk.one().field("Connection"), Some("keep-alive"));
        }
        talk.say(b"GET /prepared HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(talk.one().field("Connection"), Some("keep-alive"));
        talk.say(b"GET /a HTTP/1.0\r\n\r\n");
        assert!(talk.one().closes());
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn what_follows_a_request_to_close_is_not_answered() {
    for close in ["GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /last HTTP/1.0\r\n\r\n"]
    {
        each(|talk| {
            talk.say(&[GET, close.as_bytes(), GET, b"nonsense"].concat());
            let answers = talk.heard(&["GET", "GET"]);
            assert!(!answers[0].closes() && answers[1].closes());
            assert_eq!(talk.probe.with(|http, _| http.state().asked), 2);
            assert_eq!(talk.ended(), "finished");
        });
    }
}

#[test]
fn a_large_last_answer_comes_whole_with_bytes_behind_its_request() {
    for path in ["big", "file", "shared"] {
        each(|talk| {
            let close = format!("GET /{path}/70000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            talk.widen();
            // Bytes that come only after the close may cost the answer's end; those that were there may not.
            let behind = if talk.way == Way::Bytewise { b"" } else { GET };
            talk.say(&[close.as_bytes(), behind].concat());
            let answer = talk.one();
            assert!(answer.closes() && answer.body == pattern(70_000), "{path}");
            assert_eq!(talk.ended(), "finished");
        });
    }
}

#[test]
fn an_empty_line_before_a_request_is_ignored() {
    each(|talk| {
        talk.say(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        let answers = talk.heard(&["POST", "GET"]);
        assert_eq!((answers[0].text(), answers[1].text()), ("POST /a hi", "GET /b "));
    });
}

#[test]
fn methods_that_are_none_are_refused_and_unknown_ones_go_to_the_application() {
    each(|talk| {
        talk.say(b"PURGE /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(talk.one().text(), "PURGE /a ");
        talk.say(b"get /a HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = talk.one();
        assert!((answer.status, answer.closes()) == (501, true));
        assert_eq!(talk.ended(), "http.not_implemented");
    });
    for unserved in [
        &b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"[..],
        b"TRACE /a HTTP/1.1\r\nHost: a\r\nCookie: b\r\n\r\n",
    ] {
        each(|talk| {
            talk.say(unserved);
            assert_eq!(talk.one().status, 501);
            assert_eq!(talk.ended(), "http.not_implemented");
        });
    }
}
