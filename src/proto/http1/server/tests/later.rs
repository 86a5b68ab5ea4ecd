//! Deferred answers: by timer, by ticket, from a thread, and what becomes of those that never come.

use std::time::Duration;

use super::desk::{Desk, each, each_with};
use super::rig::{S, Way};
use crate::proto::http1::{HttpConfig, Response};

#[test]
fn a_timer_answers_and_pipelined_requests_wait_in_order() {
    each(|talk| {
        talk.get("/timer");
        talk.get("/after");
        talk.silent();
        talk.probe.advance(S + S / 100);
        let answers = talk.heard(&["GET", "GET"]);
        assert_eq!((answers[0].text(), answers[1].text()), ("late", "/after "));
        talk.get("/timer");
        talk.probe.advance(S + S / 100);
        assert_eq!(talk.one().text(), "late");
    });
}

#[test]
fn an_answer_may_be_given_by_ticket_in_the_same_call() {
    each(|talk| {
        talk.get("/now");
        talk.get("/now");
        let answers = talk.heard(&["GET", "GET"]);
        assert!(answers.iter().all(|answer| answer.text() == "at once"));
    });
}

#[test]
fn a_responder_answers_once_and_dropped_it_answers_500() {
    each(|talk| {
        talk.get("/responder");
        talk.silent();
        let responder = talk.desk(|desk, _| desk.responders.pop().unwrap());
        std::thread::spawn(move || responder.send(Response::json("[1]"))).join().unwrap();
        talk.probe.advance(S / 100);
        let answer = talk.one();
        assert_eq!((answer.text(), answer.field("Content-Type")), ("[1]", Some("application/json")));
        talk.get("/responder");
        talk.desk(|desk, _| desk.responders.clear());
        talk.probe.advance(S / 100);
        assert_eq!(talk.one().status, 500);
        talk.get("/next");
        assert_eq!(talk.one().text(), "/next ");
        assert!(talk.heard_by_desk().is_empty());
    });
}

#[test]
fn a_ticket_answers_its_own_request_only_and_only_once() {
    each(|talk| {
        talk.get("/later");
        let ticket = talk.desk(|desk, cx| {
            assert!(cx.is_open(desk.tickets[0]));
            desk.tickets.pop().unwrap()
        });
        assert!(talk.desk(move |_, cx| cx.respond(ticket, "one")));
        assert!(!talk.desk(move |_, cx| cx.respond(ticket, "two")));
        assert_eq!(talk.one().text(), "one");
        talk.get("/later");
        assert!(!talk.desk(move |_, cx| cx.respond(ticket, "three") || cx.is_open(ticket)));
        talk.silent();
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        talk.desk(move |_, cx| cx.respond(ticket, "two"));
        assert_eq!(talk.one().text(), "two");
    });
}

#[test]
fn head_gets_the_head_of_a_deferred_answer_and_old_clients_their_end() {
    each(|talk| {
        talk.say(b"HEAD /timer HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.advance(S + S / 100);
        let answer = talk.heard(&["HEAD"]).remove(0);
        assert_eq!((answer.field("Content-Length"), answer.body.len()), (Some("4"), 0));
        talk.say(b"GET /timer HTTP/1.0\r\n\r\n");
        talk.probe.advance(S + S / 100);
        let answer = talk.one();
        assert!(answer.closes());
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn an_answer_that_does_not_come_is_a_503_and_the_caller_is_told() {
    let config = HttpConfig { answer_timeout: Some(5 * S), ..HttpConfig::default() };
    each_with(&config, |talk| {
        talk.get("/later");
        talk.probe.advance(5 * S - S / 100);
        talk.silent();
        talk.probe.advance(S / 50);
        let answer = talk.one();
        assert_eq!((answer.status, answer.closes()), (503, true));
        assert_eq!(talk.ended(), "http.answer_timeout");
        assert_eq!(talk.heard_by_desk(), ["gone"]);
    });
}

#[test]
fn the_answers_time_ends_with_it() {
    let config = HttpConfig { answer_timeout: Some(2 * S), ..HttpConfig::default() };
    each_with(&config, |talk| {
        for _ in 0..3 {
            talk.get("/timer");
            talk.probe.advance(S + S / 100);
            assert_eq!(talk.one().text(), "late");
            talk.probe.advance(5 * S);
            talk.silent();
        }
    });
}

#[test]
fn a_client_that_resets_is_gone_and_one_that_only_finishes_sending_gets_its_answer() {
    each(|talk| {
        talk.get("/later");
        talk.probe.eof();
        talk.probe.advance(S);
        assert!(talk.heard_by_desk().is_empty());
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        assert!(talk.desk(move |_, cx| cx.respond(ticket, "still here")));
        assert_eq!(talk.one().text(), "still here");
    });
    each(|talk| {
        talk.get("/later");
        talk.probe.reset();
        talk.probe.advance(S / 100);
        assert_eq!(talk.heard_by_desk(), ["gone"]);
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        assert!(!talk.desk(move |_, cx| cx.respond(ticket, "nobody")));
    });
}

#[test]
fn work_on_a_thread_asks_again_with_the_same_request() {
    each(|talk| {
        talk.get("/work");
        talk.say(b"POST /work HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        talk.get("/worktwice");
        talk.probe.advance(S);
        let answers = talk.heard(&["GET", "POST", "GET"]);
        let texts: Vec<_> = answers.iter().map(|answer| answer.text()).collect();
        assert_eq!(texts, ["None  ", "None body body", "Some(Ok(7))  "]);
        assert_eq!(talk.desk(|desk, _| desk.asked), 7);
    });
}

#[test]
fn work_without_an_end_is_a_500_and_work_that_panics_says_so() {
    each(|talk| {
        talk.get("/loop");
        talk.probe.advance(S);
        assert_eq!(talk.one().status, 500);
        assert_eq!(talk.desk(|desk, _| desk.asked), 9);
        talk.get("/workpanic");
        talk.probe.advance(S);
        assert_eq!(talk.one().text(), "Err(Panicked)");
    });
}

#[test]
fn a_body_that_is_not_read_is_skipped_behind_a_deferred_answer() {
    each(|talk| {
        talk.say(b"POST /unreadlater HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        talk.desk(move |_, cx| cx.respond(ticket, "no"));
        let answer = talk.one();
        assert_eq!(answer.text(), "no");
        // The end of an unfinished body is not known to be one: the connection goes.
        assert!(answer.closes());
        talk.say(b"loGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(talk.raw(), b"");
    });
}

#[test]
fn a_drain_waits_for_the_deferred_answer_which_says_close() {
    each(|talk| {
        talk.get("/timer");
        talk.probe.reactor().handle().stop(Duration::from_secs(10));
        talk.probe.advance(S / 2);
        talk.silent();
        talk.probe.advance(S);
        let answer = talk.one();
        assert_eq!((answer.text(), answer.closes()), ("late", true));
    });
}

#[test]
fn many_pipelined_requests_behind_a_slow_one_wait_in_bounded_memory() {
    each(|talk| {
        if talk.way != Way::Whole {
            return;
        }
        talk.get("/later");
        let one = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        let taken = talk.probe.recv(&one.repeat(100_000));
        assert!(taken < 1 << 20, "{taken} bytes were taken in");
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        talk.desk(move |_, cx| cx.respond(ticket, "slow"));
        let answers = talk.heard(&vec!["GET"; 1 + taken / one.len()]);
        assert_eq!(answers[0].text(), "slow");
        assert!(answers[1..].iter().all(|answer| answer.text() == "/x "));
        let _: &Desk = &Desk::default();
    });
}
