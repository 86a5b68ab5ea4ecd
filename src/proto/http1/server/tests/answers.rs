//! What applications do with their answers: too large, bad, none, several, or a panic.

use super::rig::{FILE, S, each, pattern};

fn get(path: &str) -> Vec<u8> {
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn an_application_that_answers_nothing_gets_a_500_and_keeps_the_connection() {
    each(|talk| {
        talk.say(&[get("none"), get("a")].concat());
        let answers = talk.heard(&["GET", "GET"]);
        assert_eq!((answers[0].status, answers[0].text()), (500, "500 Internal Server Error\n"));
        assert_eq!(answers[1].text(), "GET /a ");
    });
}

#[test]
fn the_first_of_several_answers_counts() {
    each(|talk| {
        talk.say(&[get("twice"), get("a")].concat());
        let answers = talk.heard(&["GET", "GET"]);
        assert_eq!((answers[0].text(), answers[1].text()), ("first", "GET /a "));
    });
}

#[test]
fn bad_fields_and_statuses_become_a_500_of_which_nothing_leaks() {
    for path in ["bad", "badname", "status/99", "status/1000", "status/100", "status/101"] {
        each(|talk| {
            talk.say(&[get(path), get("a")].concat());
            let answers = talk.heard(&["GET", "GET"]);
            assert_eq!((answers[0].status, answers[1].text()), (500, "GET /a "), "{path}");
            assert_eq!(answers[0].field("Y"), None);
        });
    }
}

#[test]
fn statuses_without_a_body_have_none() {
    each(|talk| {
        talk.say(&[get("status/204"), get("status/304"), get("status/205"), get("a")].concat());
        let answers = talk.heard(&["GET"; 4]);
        let lengths: Vec<_> = answers.iter().map(|a| a.field("Content-Length")).collect();
        assert_eq!(lengths, [None, None, Some("0"), Some("7")]);
        assert_eq!(answers[3].text(), "GET /a ");
    });
}

#[test]
fn an_application_that_panics_costs_its_connection_only() {
    each(|talk| {
        let other = talk.probe.accept();
        talk.say(&get("a"));
        assert_eq!(talk.one().text(), "GET /a ");
        talk.probe.select(0);
        talk.probe.recv(&[get("panic"), get("a")].concat());
        assert_eq!(talk.probe.closed().expect("it was reset").reason.name(), "task.panicked");
        talk.probe.select(other);
        talk.still_answers();
    });
}

#[test]
fn a_head_that_does_not_fit_what_room_is_left_takes_its_body_with_it() {
    each(|talk| {
        // Each answer is 3 KB or more, so that one of them meets a nearly full buffer while the peer reads nothing.
        for (path, n, times) in
            [("fields/3000", 3000, 25), ("fields/30000", 30_000, 3), ("fields/60000", 60_000, 2)]
        {
            let one = get(path);
            talk.say(&[one.repeat(times), get("a")].concat());
            let answers = talk.heard(&vec!["GET"; times + 1]);
            for answer in &answers[..times] {
                let field = answer.field("X").expect("the field is there");
                assert_eq!((field.len(), answer.text()), (n, "behind the fields"));
            }
            assert_eq!(answers[times].text(), "GET /a ");
        }
    });
}

#[test]
fn a_head_that_no_buffer_holds_becomes_a_500() {
    each(|talk| {
        talk.say(&[get("fields/70000"), get("a")].concat());
        let answers = talk.heard(&["GET", "GET"]);
        assert_eq!((answers[0].status, answers[1].text()), (500, "GET /a "));
    });
}

#[test]
fn a_file_that_ends_early_ends_the_connection_without_filler() {
    each(|talk| {
        talk.widen();
        talk.say(&get("file/100010"));
        let raw = talk.raw();
        let body = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(raw[body..] == pattern(FILE));
        assert!(talk.probe.finished());
        assert_eq!(talk.probe.closed().unwrap().reason.name(), "http.file_truncated");
    });
}

#[test]
fn a_peer_that_resets_while_it_is_sent_to_costs_nothing_more() {
    for path in ["big/1000000", "file/90000", "shared/1000000"] {
        each(|talk| {
            talk.probe.set_room(1000);
            talk.probe.recv(&[get(path), get("a")].concat());
            talk.probe.sent_up_to(5000);
            talk.probe.reset();
            let report = talk.probe.closed().expect("the reset is seen");
            assert!(report.reason.name().starts_with("tcp."), "{}", report.reason);
            assert!(report.reason.unsent > 0);
            assert_eq!(report.ledger.sum(), report.ledger.total);
            talk.probe.accept();
            talk.still_answers();
        });
    }
}

#[test]
fn a_peer_that_stops_reading_is_found_by_the_stall_deadline() {
    for path in ["big/1000000", "file/90000", "shared/1000000"] {
        each(|talk| {
            talk.probe.set_room(1000);
            talk.probe.recv(&get(path));
            talk.probe.advance(29 * S);
            assert!(talk.probe.closed().is_none(), "{path}");
            talk.probe.advance(10 * S);
            assert_eq!(talk.probe.closed().expect("it stalls").reason.name(), "tcp.stalled");
        });
    }
}

#[test]
fn a_peer_that_reads_slowly_is_waited_for() {
    each(|talk| {
        talk.probe.set_room(1000);
        talk.probe.recv(&get("file/30000"));
        let mut got = Vec::new();
        while got.len() < 30_000 {
            talk.probe.advance(20 * S);
            got.extend(talk.probe.sent_up_to(1000));
        }
        got.extend(talk.probe.sent());
        let answers = super::rig::read_answers(&got, &["GET"]);
        assert!(answers[0].body == pattern(30_000));
        assert!(talk.probe.closed().is_none());
    });
}

#[test]
fn an_interim_answer_comes_before_the_final_one_and_never_to_an_old_client() {
    super::desk::each(|talk| {
        talk.get("/hints");
        let answers = talk.heard(&["GET"]);
        assert_eq!((answers[0].status, answers[0].field("Link")), (103, Some("</a>")));
        assert_eq!((answers[1].status, answers[1].text()), (200, "true"));
        talk.say(b"GET /hints HTTP/1.0\r\n\r\n");
        let answers = talk.heard(&["GET"]);
        assert_eq!((answers.len(), answers[0].text()), (1, "false"));
    });
}
