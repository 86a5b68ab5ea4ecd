//! Bodies that are made while they are sent: pulled, pushed, from iterators.

use super::desk::each;
use super::rig::{S, Way, pattern};

#[test]
fn an_iterator_and_a_source_are_sent_whole_and_the_connection_goes_on() {
    each(|talk| {
        let want: String = (0..3000).map(|n| format!("{n},")).collect();
        talk.get("/pieces");
        assert_eq!(talk.one().text(), want);
        talk.get("/pull");
        assert_eq!(talk.one().text(), "abcd\n".repeat(20_000));
        talk.get("/length");
        let answer = talk.one();
        assert_eq!((answer.text(), answer.field("Content-Length")), (&*"abcd\n".repeat(10), Some("50")));
        talk.get("/endless");
        assert_eq!(talk.one().text(), "abcd\n".repeat(10));
        talk.get("/big");
        assert_eq!(talk.one().body, pattern(200_000));
    });
}

#[test]
fn head_gets_no_body_and_an_old_client_one_that_ends_with_the_connection() {
    each(|talk| {
        for path in ["/pieces", "/pull", "/push"] {
            talk.say(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            assert_eq!(talk.heard(&["HEAD"])[0].field("Transfer-Encoding"), Some("chunked"), "{path}");
        }
        talk.say(b"GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let bytes = talk.until_end();
        let text = String::from_utf8(bytes).unwrap();
        let want: String = (0..3000).map(|n| format!("{n},")).collect();
        assert!(text.contains("Connection: close\r\n") && !text.contains("chunked"));
        assert!(text.ends_with(&format!("\r\n\r\n{want}")));
    });
}

#[test]
fn a_body_that_is_cut_never_looks_whole() {
    for path in ["/short", "/abort"] {
        each(|talk| {
            talk.get(path);
            let text = String::from_utf8(talk.raw()).unwrap();
            assert!(!text.ends_with("0\r\n\r\n"));
            assert_eq!(talk.probe.closed().unwrap().reason.name(), "tcp.aborted", "{path}");
        });
    }
}

#[test]
fn a_source_that_waits_is_woken_by_its_ticket() {
    each(|talk| {
        talk.get("/wait");
        let got = String::from_utf8(talk.raw()).unwrap();
        assert!(got.ends_with("\r\n\r\n5\r\nabcd\n\r\n"), "{got}");
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        talk.probe.advance(S);
        assert_eq!(talk.raw(), b"");
        assert!(talk.desk(move |_, cx| cx.wake(ticket)));
        assert_eq!(talk.raw(), b"5\r\nabcd\n\r\n");
        assert!(talk.desk(move |_, cx| cx.wake(ticket)));
        assert_eq!(talk.raw(), b"0\r\n\r\n");
        assert!(!talk.desk(move |_, cx| cx.wake(ticket)));
    });
}

#[test]
fn what_is_pushed_arrives_in_order_and_ends_when_it_is_told() {
    each(|talk| {
        talk.get("/push");
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        assert_eq!(talk.desk(move |_, cx| cx.write(ticket, b"third,")), Some(6));
        assert_eq!(talk.desk(move |_, cx| cx.write_whole(ticket, b"fourth")), Some(true));
        assert!(talk.desk(move |_, cx| cx.end(ticket)));
        assert_eq!(talk.desk(move |_, cx| cx.write(ticket, b"more")), None);
        assert_eq!(talk.one().text(), "first,second,third,fourth");
        talk.get("/next");
        assert_eq!(talk.one().text(), "/next ");
        assert!(talk.heard_by_desk().is_empty());
    });
}

#[test]
fn a_reader_that_does_not_read_shows_in_what_is_taken() {
    each(|talk| {
        if talk.way == Way::OneByteTx {
            return;
        }
        talk.get("/push");
        talk.raw();
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        talk.probe.set_room(1000);
        let piece = vec![b'x'; 1 << 16];
        let mut total = 0;
        for _ in 0..100 {
            let piece = piece.clone();
            let n = talk.desk(move |_, cx| cx.write(ticket, &piece)).unwrap();
            total += n;
            if n == 0 {
                break;
            }
        }
        assert!(total < 1 << 20, "{total} bytes were taken of a reader that reads nothing");
        let none = talk.desk(move |_, cx| cx.write_whole(ticket, &[b'y'; 60_000]));
        assert_eq!(none, Some(false));
    });
}

#[test]
fn events_are_kept_alive_by_comments_and_end_when_the_server_drains() {
    each(|talk| {
        talk.get("/events");
        talk.raw();
        talk.probe.advance(16 * S);
        assert_eq!(talk.raw(), b"");
        talk.probe.advance(15 * S);
        assert_eq!(talk.raw(), b"3\r\n:\n\n\r\n");
        for _ in 0..10 {
            talk.probe.advance(16 * S);
            assert_eq!(talk.raw(), b"3\r\n:\n\n\r\n");
        }
        talk.probe.reactor().handle().stop(10 * S);
        talk.probe.advance(S / 10);
        assert_eq!(talk.until_end(), b"0\r\n\r\n");
    });
}

#[test]
fn a_client_of_a_stream_that_vanishes_is_told_of_once() {
    each(|talk| {
        talk.get("/push");
        talk.raw();
        talk.probe.reset();
        talk.probe.advance(S / 10);
        assert_eq!(talk.heard_by_desk(), ["gone"]);
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        assert_eq!(talk.desk(move |_, cx| cx.write(ticket, b"x")), None);
    });
}
