//! Deadlines of heads, bodies and idle connections, and answers that wait on purpose.

use std::time::Duration;

use super::super::HttpConfig;
use super::rig::{S, Way, each, each_with};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_head_has_its_time_in_total_however_its_bytes_come() {
    each(|talk| {
        for byte in b"GET / HTT" {
            talk.say(&[*byte]);
            talk.probe.advance(S);
        }
        talk.silent();
        talk.probe.advance(S - 2 * MS);
        talk.say(b"P");
        talk.silent();
        talk.probe.advance(10 * MS);
        let answer = talk.one();
        assert_eq!((answer.status, answer.closes()), (408, true));
        assert_eq!(talk.ended(), "http.head_timeout");
    });
}

#[test]
fn the_head_deadline_begins_anew_with_each_request_and_ends_with_its_head() {
    each(|talk| {
        for _ in 0..4 {
            talk.say(b"GET /a HTTP/1.1\r\n");
            talk.probe.advance(8 * S);
            talk.say(b"Host: a\r\n\r\n");
            assert_eq!(talk.one().text(), "GET /a ");
            talk.probe.advance(20 * S);
            talk.silent();
        }
    });
}

#[test]
fn an_empty_line_behind_a_request_begins_no_head() {
    each(|talk| {
        talk.say(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(talk.one().status, 200);
        talk.say(b"\r\n");
        talk.probe.advance(20 * S);
        talk.silent();
        talk.say(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(talk.one().text(), "GET /b ");
    });
}

#[test]
fn a_head_behind_an_answer_has_its_time_from_when_it_can_be_read() {
    each(|talk| {
        talk.probe.set_room(1000);
        talk.probe.recv(b"GET /big/80000 HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n");
        talk.probe.advance(20 * S);
        let mut got = talk.probe.sent();
        talk.probe.advance(9 * S);
        talk.probe.recv(b"Host: a\r\n\r\n");
        got.extend(talk.probe.sent());
        let answers = super::rig::read_answers(&got, &["GET", "GET"]);
        assert_eq!(answers[1].text(), "GET /b ");
    });
}

#[test]
fn a_body_that_makes_no_progress_times_out() {
    for body in ["Content-Length: 50\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello"] {
        each(|talk| {
            talk.say(format!("POST /a HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
            talk.probe.advance(30 * S - 5 * MS);
            talk.silent();
            talk.probe.advance(10 * MS);
            let answer = talk.one();
            assert_eq!((answer.status, answer.closes()), (408, true));
            assert_eq!(talk.ended(), "http.body_timeout");
        });
    }
}

#[test]
fn a_body_slower_than_the_least_rate_times_out_and_a_faster_one_does_not() {
    let head = b"POST /skip HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    each(|talk| {
        if talk.way == Way::OneByteTx {
            return;
        }
        talk.say(head);
        // Half of the least rate: the 30 s of grace are used up after a minute.
        let mut seconds = 0;
        while talk.probe.recv(&[b'x'; 512]) == 512 && !talk.probe.finished() && seconds < 100 {
            talk.probe.advance(S);
            talk.probe.sent_up_to(0);
            seconds += 1;
            if talk.probe.with(|_, table| table.is_empty() || table.ids().count() == 0) {
                break;
            }
        }
        assert!((55..65).contains(&seconds), "{seconds} s");
        assert_eq!(talk.one().status, 408);
        assert_eq!(talk.ended(), "http.body_timeout");
    });
    each(|talk| {
        if talk.way == Way::OneByteTx {
            return;
        }
        talk.say(head);
        for _ in 0..99 {
            talk.probe.recv(&[b'x'; 1000]);
            talk.probe.advance(S);
        }
        talk.silent();
        talk.probe.recv(&[b'x'; 1000]);
        assert_eq!(talk.one().text(), "POST /skip ");
    });
}

#[test]
fn the_time_that_an_early_answer_takes_does_not_count_as_the_bodys() {
    each(|talk| {
        talk.probe.set_room(1000);
        talk.probe.recv(b"POST /refusebig/100000 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        talk.probe.advance(25 * S);
        let mut got = talk.probe.sent_up_to(20_000);
        talk.probe.advance(25 * S);
        got.extend(talk.probe.sent());
        talk.probe.advance(20 * S);
        talk.probe.recv(b"worldGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        got.extend(talk.probe.sent());
        let answers = super::rig::read_answers(&got, &["GET", "GET"]);
        assert_eq!(answers[1].text(), "GET /b ");
    });
}

#[test]
fn a_refused_body_that_never_comes_ends_the_connection_without_a_second_answer() {
    each(|talk| {
        talk.say(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        assert_eq!(talk.one().status, 200);
        talk.probe.advance(31 * S);
        assert!(talk.raw().is_empty());
        assert_eq!(talk.ended(), "http.body_timeout");
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_byte() {
    each(|talk| {
        talk.probe.advance(59 * S);
        talk.silent();
        talk.probe.advance(2 * S);
        assert!(talk.raw().is_empty());
        assert_eq!(talk.ended(), "tcp.idle");
    });
    each(|talk| {
        talk.say(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.one();
        talk.probe.advance(59 * S);
        talk.silent();
        talk.probe.advance(2 * S);
        assert!(talk.raw().is_empty());
        assert_eq!(talk.ended(), "tcp.idle");
    });
}

fn delayed() -> HttpConfig {
    HttpConfig { delay: Some(2 * S), ..HttpConfig::default() }
}

#[test]
fn delayed_answers_come_one_after_the_other() {
    each_with(&delayed(), |talk| {
        let mut all = b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        all.extend(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        all.extend(b"HEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /big/70000 HTTP/1.1\r\nHost: a\r\n\r\n");
        all.extend(b"GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        talk.say(&all);
        talk.probe.advance(5 * MS);
        for (method, n) in [("GET", 7), ("POST", 10), ("HEAD", 0), ("GET", 70_000), ("GET", 7)] {
            talk.silent();
            talk.probe.advance(2 * S - 20 * MS);
            talk.silent();
            talk.probe.advance(20 * MS);
            assert_eq!(talk.heard(&[method])[0].body.len(), n);
        }
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn a_delayed_answer_outlives_the_idle_deadline_and_the_peers_end_of_file() {
    let config = HttpConfig { delay: Some(100 * S), ..HttpConfig::default() };
    each_with(&config, |talk| {
        talk.say(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.eof();
        talk.probe.advance(101 * S);
        assert_eq!(talk.one().text(), "GET /a ");
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn a_drain_between_request_and_delayed_answer_lets_it_come_and_closes() {
    each_with(&delayed(), |talk| {
        talk.say(b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.advance(S);
        talk.probe.reactor().stop(30 * S);
        talk.silent();
        talk.probe.advance(S + 10 * MS);
        let answer = talk.one();
        assert!(answer.closes() && answer.text() == "GET /0 ");
        assert_eq!(talk.ended(), "finished");
    });
}
