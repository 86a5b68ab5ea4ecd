//! What the log is told: every request once, with its status, bytes, times and end.

use std::cell::RefCell;
use std::rc::Rc;

use super::desk::Desk;
use super::rig::{S, Site, Talk, Way, each_of};
use crate::proto::http1::{Http, Log, Record};
use crate::reactor::testing::Probe;

#[derive(Debug, Clone)]
struct Line {
    target: String,
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    request: [Option<u64>; 3],
    response: [Option<u64>; 3],
    code: String,
    class: &'static str,
    nth: u32,
    total: u64,
}

#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<Line>>>);

impl Log for Lines {
    fn record(&mut self, record: &Record<'_>) {
        self.0.borrow_mut().push(Line {
            target: record.head.map_or("-".into(), |head| String::from_utf8_lossy(head.target).into_owned()),
            status: record.status,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            request: record.request,
            response: record.response,
            code: String::from_utf8(record.end.code().to_vec()).unwrap(),
            class: record.class.map_or("-", |class| class.name),
            nth: record.nth,
            total: record.total(),
        });
    }
}

fn logged(mut script: impl FnMut(&mut Talk<Desk>, &mut dyn FnMut() -> Vec<Line>)) {
    let lines = Lines::default();
    let make = || Http::new(Desk::default()).with_log(Box::new(lines.clone()));
    each_of(make, |talk| {
        lines.0.borrow_mut().clear();
        let taken = lines.clone();
        let mut take = move || std::mem::take(&mut *taken.0.borrow_mut());
        script(talk, &mut take);
    });
}

fn short(lines: &[Line]) -> Vec<(&str, u16, &str)> {
    lines.iter().map(|line| (line.target.as_str(), line.status, line.code.as_str())).collect()
}

#[test]
fn each_request_is_told_once_with_its_bytes() {
    logged(|talk, lines| {
        talk.get("/a?b");
        talk.say(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        talk.say(b"HEAD /c HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.get("/pieces");
        talk.get("/push");
        let ticket = talk.desk(|desk, _| desk.tickets.pop().unwrap());
        talk.desk(move |_, cx| cx.write(ticket, b"third") == Some(5) && cx.end(ticket));
        talk.get("/big");
        talk.raw();
        let lines = lines();
        let want = [
            ("/a?b", 200, "--"),
            ("/b", 200, "--"),
            ("/c", 200, "--"),
            ("/pieces", 200, "--"),
            ("/push", 200, "--"),
            ("/big", 200, "--"),
        ];
        assert_eq!(short(&lines), want);
        let bytes: Vec<_> = lines.iter().map(|line| (line.bytes_in, line.bytes_out)).collect();
        let pieces = (0..3000).map(|n| format!("{n},").len() as u64).sum();
        assert_eq!(bytes, [(0, 3), (4, 7), (0, 0), (0, pieces), (0, 18), (0, 200_000)]);
        assert_eq!(lines.iter().map(|line| line.nth).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert!(lines[0].request[2].is_none() && lines[1].request[2].is_some());
        assert!(lines[2].response[2].is_none() && lines[3].response[2].is_some());
    });
}

#[test]
fn times_are_those_of_the_parts_and_add_up() {
    logged(|talk, lines| {
        if talk.way != Way::Whole {
            return;
        }
        let second = S.as_nanos() as u64;
        talk.say(b"POST /timer HT");
        talk.probe.advance(S);
        talk.say(b"TP/1.1\r\nHost: a\r\n");
        talk.probe.advance(2 * S);
        talk.say(b"Content-Length: 4\r\n\r\nbo");
        talk.probe.advance(3 * S);
        talk.say(b"dy");
        talk.probe.advance(2 * S);
        assert_eq!(talk.heard(&["POST"])[0].text(), "late");
        let line = lines().remove(0);
        let near = |part: Option<u64>, seconds: u64| {
            let part = part.unwrap();
            assert!(part.abs_diff(seconds * second) < second / 10, "{part} is not {seconds} s: {line:?}");
        };
        near(line.request[0], 1);
        near(line.request[1], 2);
        near(line.request[2], 3);
        near(line.response[0], 1);
        let sum: u64 = line.request.iter().chain(&line.response).flatten().sum();
        assert_eq!(sum, line.total);
    });
}

#[test]
fn refusals_say_which_bound_or_fault_it_was_and_in_which_phase() {
    let bad: [(&[u8], &str, u16, &str, &str); 5] = [
        (b"GET /a HTTP/1.1\r\nHost : a\r\n\r\n", "-", 400, "LR", "http.bad_field"),
        (b"BREW\r\n", "-", 400, "LR", "http.bad_request_line"),
        (
            b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
            "/sink",
            413,
            "LR",
            "http.body_too_large",
        ),
        (
            b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz",
            "/b",
            400,
            "LB",
            "http.bad_chunk",
        ),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "a:1", 501, "LR", "http.not_implemented"),
    ];
    for (bytes, target, status, code, class) in bad {
        logged(|talk, lines| {
            talk.say(bytes);
            talk.raw();
            let line = lines().remove(0);
            let got = (line.target.as_str(), line.status, line.code.as_str(), line.class);
            assert_eq!(got, (target, status, code, class));
        });
    }
}

#[test]
fn deadlines_and_clients_that_leave_are_told_apart() {
    logged(|talk, lines| {
        talk.say(b"GET /a HT");
        talk.probe.advance(11 * S);
        talk.raw();
        assert_eq!(short(&lines()), [("-", 408, "TR")]);
    });
    logged(|talk, lines| {
        talk.say(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
        talk.probe.advance(31 * S);
        talk.raw();
        assert_eq!(short(&lines()), [("/a", 408, "TB")]);
    });
    logged(|talk, lines| {
        talk.say(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
        talk.probe.reset();
        talk.probe.advance(S / 10);
        assert_eq!(short(&lines()), [("/a", 0, "CB")]);
    });
    logged(|talk, lines| {
        talk.say(b"GET /");
        talk.probe.eof();
        let answer = talk.one();
        let line = lines().remove(0);
        assert_eq!((line.status, line.code.as_str(), line.bytes_out), (400, "CR", answer.body.len() as u64));
    });
    logged(|talk, lines| {
        talk.get("/later");
        talk.probe.reset();
        talk.probe.advance(S / 10);
        assert_eq!(short(&lines()), [("/later", 0, "CW")]);
    });
    logged(|talk, lines| {
        talk.get("/push");
        talk.raw();
        talk.probe.reset();
        talk.probe.advance(S / 10);
        assert_eq!(short(&lines()), [("/push", 200, "CD")]);
    });
    logged(|talk, lines| {
        talk.get("/abort");
        talk.raw();
        assert_eq!(short(&lines()), [("/abort", 200, "SD")]);
    });
    logged(|talk, lines| {
        talk.get("/later");
        talk.probe.advance(61 * S);
        talk.raw();
        assert_eq!(short(&lines()), [("/later", 503, "TW")]);
    });
}

#[test]
fn a_refused_body_has_the_number_of_its_request() {
    logged(|talk, lines| {
        talk.get("/a");
        talk.say(b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
        talk.raw();
        assert_eq!(lines().iter().map(|line| line.nth).collect::<Vec<_>>(), [1, 2]);
    });
}

#[test]
fn an_answer_that_was_cut_counts_no_more_bytes_than_were_sent() {
    logged(|talk, lines| {
        if talk.way != Way::Whole {
            return;
        }
        talk.probe.set_room(1000);
        talk.probe.recv(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.sent_up_to(1000);
        talk.probe.reset();
        talk.probe.advance(S / 10);
        let line = lines().remove(0);
        assert_eq!(line.code, "CD");
        assert!((500..=3000).contains(&line.bytes_out), "{line:?}");
    });
}

#[test]
fn a_file_that_was_cut_counts_no_more_bytes_than_were_sent() {
    let lines = Lines::default();
    let mut probe = Probe::new(Http::new(Site::new()).with_log(Box::new(lines.clone())));
    probe.accept();
    probe.set_room(1000);
    probe.recv(b"GET /file/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    probe.sent_up_to(1000);
    probe.reset();
    probe.advance(S / 10);
    let line = lines.0.borrow_mut().remove(0);
    assert_eq!((line.status, line.code.as_str()), (200, "CD"));
    assert!(line.bytes_out <= 3000, "{line:?}");
}
