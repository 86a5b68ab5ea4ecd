//! The ends of connections: the peer's end of file at every place, resets, and drains.

use super::rig::{S, Way, each, pattern};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn an_end_of_file_behind_whole_requests_lets_every_answer_come_whole() {
    let requests: [&[u8]; 4] = [
        GET,
        b"GET /big/70000 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /file/70000 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    ];
    for request in requests {
        each(|talk| {
            talk.widen();
            if talk.way == Way::Bytewise {
                talk.probe.recv_bytewise(&[request, GET].concat());
            } else {
                talk.probe.recv(&[request, GET].concat());
            }
            talk.probe.eof();
            let answers = talk.heard(&["GET", "GET"]);
            assert!(answers.iter().all(|a| a.status == 200));
            assert!(answers[0].body.len() < 100 || answers[0].body == pattern(70_000));
            assert_eq!(talk.ended(), "finished");
        });
    }
}

#[test]
fn an_end_of_file_without_a_request_closes_without_a_byte() {
    for behind in [&b""[..], b"\r\n", b"\r"] {
        each(|talk| {
            talk.say(behind);
            talk.probe.eof();
            assert!(talk.raw().is_empty(), "{}", behind.escape_ascii());
            assert_eq!(talk.ended(), "finished");
        });
    }
}

#[test]
fn an_end_of_file_inside_a_head_is_told() {
    each(|talk| {
        talk.say(&[GET, b"GET /b HTTP/1.1\r\nHo"].concat());
        talk.probe.eof();
        let answers = talk.heard(&["GET", "GET"]);
        assert_eq!((answers[0].status, answers[1].status, answers[1].closes()), (200, 400, true));
        assert_eq!(talk.ended(), "http.bad_request_line");
    });
}

#[test]
fn an_end_of_file_inside_a_body_is_told_and_the_application_does_not_hear_of_it() {
    for body in [
        "Content-Length: 5\r\n\r\nhell",
        "Content-Length: 5\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        each(|talk| {
            talk.say(format!("POST /a HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
            talk.probe.eof();
            assert_eq!(talk.one().status, 400);
            assert_eq!(talk.ended(), "http.body_truncated");
            assert_eq!(talk.probe.with(|http, _| http.state().asked), 0);
        });
    }
}

#[test]
fn an_end_of_file_inside_a_body_that_was_refused_gives_no_second_answer() {
    each(|talk| {
        talk.say(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        talk.probe.eof();
        assert_eq!(talk.heard(&["POST"]).len(), 1);
        talk.ended();
    });
}

#[test]
fn a_reset_at_any_place_ends_the_connection_once() {
    let whole = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for cut in 0..whole.len() {
        each(|talk| {
            talk.say(&whole[..cut]);
            talk.probe.reset();
            let report = talk.probe.closed().expect("the reset is seen");
            assert_eq!((report.reason.name(), report.ledger.sum()), ("tcp.reset", report.ledger.total));
        });
    }
}

#[test]
fn a_drain_closes_idle_and_half_sent_connections_at_once() {
    let half: [&[u8]; 4] = [
        b"",
        b"GET /b HTTP/1.1\r\nHo",
        b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
        b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
    ];
    for behind in half {
        each(|talk| {
            talk.say(GET);
            assert_eq!(talk.one().status, 200);
            talk.say(behind);
            talk.raw();
            talk.probe.reactor().stop(30 * S);
            assert!(talk.raw().is_empty());
            assert_eq!(talk.ended(), "finished", "{}", behind.escape_ascii());
        });
    }
}

#[test]
fn a_drain_waits_for_nobody_who_has_not_been_answered_yet() {
    let half: [&[u8]; 3] =
        [b"", b"GET /b HTTP/1.1\r\nHo", b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"];
    for behind in half {
        each(|talk| {
            talk.say(behind);
            talk.probe.reactor().stop(30 * S);
            assert!(talk.raw().is_empty());
            let report = talk.probe.closed();
            let linger = report.map(|report| report.ledger.teardown.linger);
            assert_eq!(linger, Some(None), "{}", behind.escape_ascii());
        });
    }
}

#[test]
fn a_drain_lets_an_answer_under_way_complete_and_answers_nothing_behind_it() {
    for path in ["big/100000", "file/100000", "shared/100000"] {
        each(|talk| {
            talk.widen();
            let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
            talk.probe.set_room(1000);
            talk.probe.recv(request.as_bytes());
            talk.probe.reactor().stop(300 * S);
            let answer = talk.one();
            assert!(answer.body == pattern(100_000), "{path}, {:?}", talk.way);
            assert_eq!(talk.ended(), "finished");
        });
    }
}

#[test]
fn requests_that_were_there_before_a_drain_are_answered_with_a_close() {
    each(|talk| {
        talk.say(GET);
        assert!(!talk.one().closes());
        talk.probe.reactor().stop(30 * S);
        talk.probe.recv(GET);
        let raw = talk.raw();
        // The drain is told one turn later: a request that comes in between is answered, and told of the close.
        if !raw.is_empty() {
            assert!(super::rig::read_answers(&raw, &["GET"])[0].closes());
        }
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn a_drain_whose_time_is_over_resets_what_is_left() {
    each(|talk| {
        talk.probe.set_room(1000);
        talk.probe.recv(b"GET /big/1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.reactor().stop(5 * S);
        talk.probe.advance(6 * S);
        assert_eq!(talk.probe.closed().expect("time is over").reason.name(), "tcp.drained");
    });
}
