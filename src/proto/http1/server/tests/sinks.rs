//! Bodies of requests that are handed on as they come.

use super::desk::{each, each_with};
use super::rig::{S, Way, pattern};
use crate::proto::http1::HttpConfig;

fn post(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

#[test]
fn a_sink_takes_the_body_and_answers_behind_it() {
    each(|talk| {
        talk.say(&[post("/sink", 100_000), pattern(100_000)].concat());
        assert_eq!(talk.one().text(), "took 100000");
        assert_eq!(talk.desk(|desk, _| std::mem::take(&mut desk.taken)), pattern(100_000));
        talk.say(b"POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        assert_eq!(talk.one().text(), "took 5");
        talk.get("/next");
        assert_eq!(talk.one().text(), "/next ");
        assert_eq!(talk.heard_by_desk(), ["end", "end"]);
    });
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on_when_there_is_a_sink() {
    each(|talk| {
        talk.say(b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(talk.raw(), b"HTTP/1.1 100 Continue\r\n\r\n");
        talk.say(b"abc");
        let answer = talk.one();
        assert_eq!((answer.text(), answer.closes()), ("took 3", false));
    });
}

#[test]
fn a_sink_that_waits_stops_the_reading_until_it_is_woken() {
    each(|talk| {
        if talk.way == Way::Bytewise {
            return;
        }
        let body = pattern(3 << 18);
        let taken = talk.say(&[post("/park", body.len()), body.clone()].concat());
        assert!(taken < body.len(), "the kernel holds what a sink does not want");
        let held = talk.desk(|desk, _| desk.taken.len());
        assert!(held <= 1 << 16, "{held}");
        talk.probe.advance(200 * S);
        talk.silent();
        let ticket = talk.desk(|desk, _| desk.tickets[0]);
        let mut at = taken;
        let head = post("/park", body.len()).len();
        for _ in 0..1000 {
            talk.desk(move |_, cx| cx.wake(ticket));
            at += talk.probe.recv(&body[at - head..]);
            if talk.desk(|desk, _| desk.taken.len()) == body.len() {
                break;
            }
        }
        assert_eq!(talk.desk(|desk, _| std::mem::take(&mut desk.taken)), body);
        assert_eq!(talk.one().text(), format!("took {}", body.len()));
    });
}

#[test]
fn an_early_answer_ends_the_connection_behind_it() {
    each(|talk| {
        talk.say(&[post("/early", 100_000), pattern(50_000)].concat());
        let answer = talk.one();
        assert_eq!((answer.status, answer.text(), answer.closes()), (403, "enough", true));
        assert!(talk.heard_by_desk().is_empty());
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn a_body_that_never_becomes_whole_is_told() {
    each(|talk| {
        talk.say(&[post("/sink", 10), b"abc".to_vec()].concat());
        talk.probe.eof();
        assert_eq!(talk.one().status, 400);
        assert_eq!(talk.heard_by_desk(), ["sink gone http.body_truncated"]);
    });
    each(|talk| {
        talk.say(&[post("/sink", 10), b"abc".to_vec()].concat());
        talk.probe.advance(31 * S);
        assert_eq!(talk.one().status, 408);
        assert_eq!(talk.heard_by_desk(), ["sink gone http.body_timeout"]);
    });
    each(|talk| {
        talk.say(b"POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX");
        assert_eq!(talk.one().status, 400);
        assert_eq!(talk.heard_by_desk(), ["sink gone http.bad_chunk"]);
    });
    each(|talk| {
        talk.say(&[post("/sink", 10), b"abc".to_vec()].concat());
        talk.probe.reset();
        talk.probe.advance(S / 10);
        assert_eq!(talk.heard_by_desk(), ["sink gone tcp.reset"]);
    });
}

#[test]
fn the_bound_of_a_stream_holds_for_every_framing() {
    each(|talk| {
        talk.say(&post("/small", 11));
        assert_eq!(talk.one().status, 413);
    });
    each(|talk| {
        talk.say(
            b"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabcdefghi\r\n2\r\n",
        );
        assert_eq!(talk.one().status, 413);
        assert_eq!(talk.heard_by_desk(), ["sink gone http.body_too_large"]);
    });
    each(|talk| {
        talk.say(&[post("/small", 10), b"0123456789".to_vec()].concat());
        assert_eq!(talk.one().text(), "took 10");
    });
}

#[test]
fn a_thread_may_be_asked_before_the_body_is_read() {
    each(|talk| {
        talk.say(&[post("/auth", 5), b"abc".to_vec()].concat());
        talk.probe.advance(S);
        talk.say(b"de");
        assert_eq!(talk.one().text(), "took 5");
        talk.get("/next");
        assert_eq!(talk.one().text(), "/next ");
    });
}

#[test]
fn a_sink_may_answer_later() {
    each(|talk| {
        talk.say(&[post("/sinklater", 3), b"abc".to_vec()].concat());
        talk.silent();
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        talk.desk(move |_, cx| cx.respond(ticket, "stored"));
        assert_eq!(talk.one().text(), "stored");
    });
}

#[test]
fn a_slow_sender_is_cut_but_a_parked_sink_is_not_its_fault() {
    let config = HttpConfig { body_rate_min: 1000, ..HttpConfig::default() };
    each_with(&config, |talk| {
        talk.say(&[post("/park", 6), b"abc".to_vec()].concat());
        talk.probe.advance(100 * S);
        talk.silent();
        let ticket = talk.desk(|desk, _| desk.tickets[0]);
        for _ in 0..4 {
            talk.desk(move |_, cx| cx.wake(ticket));
        }
        talk.probe.advance(20 * S);
        talk.say(b"def");
        for _ in 0..4 {
            talk.desk(move |_, cx| cx.wake(ticket));
        }
        assert_eq!(talk.one().text(), "took 6");
    });
}
