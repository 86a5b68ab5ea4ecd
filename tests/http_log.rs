//! What a log is told of each request: its status, bytes and end, and parts that add up to the time that really passed.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::fs::{self, File};
use std::rc::Rc;
use std::time::Duration;

use tidemill::proto::http1::head::Head;
use tidemill::proto::http1::{
    App, BodyPlan, Cx, Http, HttpConfig, Log, Record, Reply, Request, Response, Ticket,
};
use tidemill::reactor::testing::Probe;
use tidemill::service::files::{FileApp, Files, Limits, Root};

/// A record that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    target: Option<String>,
    nth: u32,
    status: u16,
    bytes: (u64, u64),
    request: [Option<u64>; 3],
    response: [Option<u64>; 3],
    end: String,
    class: Option<&'static str>,
}

impl Kept {
    /// Status and end.
    fn code(&self) -> String {
        format!("{} {}", self.status, self.end)
    }

    fn total(&self) -> Duration {
        Duration::from_nanos(self.request.iter().chain(&self.response).flatten().sum())
    }
}

#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<Kept>>>);

impl Log for Notes {
    fn record(&mut self, record: &Record<'_>) {
        let parts = record.request.iter().chain(&record.response).flatten();
        assert_eq!(record.total(), parts.sum::<u64>());
        self.0.borrow_mut().push(Kept {
            target: record.head.map(|head| String::from_utf8_lossy(head.target).into_owned()),
            nth: record.nth,
            status: record.status,
            bytes: (record.bytes_in, record.bytes_out),
            request: record.request,
            response: record.response,
            end: String::from_utf8(record.end.code().to_vec()).unwrap(),
            class: record.class.map(|class| class.name),
        });
    }
}

impl Notes {
    /// What was noted since the last question.
    fn take(&self) -> Vec<Kept> {
        std::mem::take(&mut self.0.borrow_mut())
    }

    /// The one record.
    fn one(&self) -> Kept {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

/// Answers by path: at once, later, with much, not at all, or with a panic.
#[derive(Default)]
struct Site {
    later: Option<Ticket>,
}

impl App for Site {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match head.path {
            b"/refuse" => BodyPlan::Refuse,
            b"/collect" => BodyPlan::Collect(10),
            _ => BodyPlan::Skip,
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        match request.head.path {
            b"/later" => self.later = Some(reply.later()),
            b"/large" => reply.send(200, &[], &vec![b'x'; 300_000]),
            b"/304" => reply.status(304),
            b"/panic" => panic!("this request's handler panics, as it should"),
            path => reply.send(200, &[], path),
        }
    }
}

const S: Duration = Duration::from_secs(1);

fn talk_with(config: HttpConfig) -> (Probe<Http<Site>>, Notes) {
    let notes = Notes::default();
    let http = Http::with_config(Site::default(), config).with_log(Box::new(notes.clone()));
    let mut probe = Probe::new(http);
    probe.accept();
    (probe, notes)
}

fn talk() -> (Probe<Http<Site>>, Notes) {
    talk_with(HttpConfig::default())
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn post(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

#[test]
fn requests_of_a_kept_connection_are_told_one_by_one() {
    let (mut probe, notes) = talk();
    probe.recv(
        &[get("/a"), get("/bc"), b"HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), get("/304")].concat(),
    );
    probe.sent();
    let all = notes.take();
    let told: Vec<_> = all.iter().map(|r| (r.target.as_deref().unwrap(), r.nth, r.code(), r.bytes)).collect();
    assert_eq!(
        told,
        [
            ("/a", 1, "200 --".to_owned(), (0, 2)),
            ("/bc", 2, "200 --".to_owned(), (0, 3)),
            ("/large", 3, "200 --".to_owned(), (0, 0)),
            ("/304", 4, "304 --".to_owned(), (0, 0)),
        ]
    );
    assert!(all.iter().all(|r| r.class.is_none() && r.request[2].is_none()));
    probe.hang_up();
    assert_eq!(notes.take(), [], "an idle connection's end is no request");
}

#[test]
fn a_slow_request_and_a_slow_answer_have_their_parts() {
    let (mut probe, notes) = talk();
    probe.advance(7 * S);
    probe.recv(b"POST /later HT");
    probe.advance(S);
    probe.recv(b"TP/1.1\r\nHost: a\r\nContent-Le");
    probe.advance(2 * S);
    probe.recv(b"ngth: 4\r\n\r\nab");
    probe.advance(3 * S);
    probe.recv(b"cd");
    probe.advance(4 * S);
    assert_eq!(notes.take(), []);
    probe.with(|http, table| {
        http.in_task(table, |site, cx| assert!(cx.respond(site.later.unwrap(), Response::from("late"))))
    });
    probe.sent();
    let record = notes.one();
    let seconds = |parts: [Option<u64>; 3]| parts.map(|part| part.map(|ns| ns / 1_000_000_000));
    assert_eq!(seconds(record.request), [Some(1), Some(2), Some(3)]);
    assert_eq!(seconds(record.response)[0], Some(4));
    assert_eq!((record.code(), record.bytes), ("200 --".to_owned(), (4, 4)));
    assert!(record.total() >= 10 * S && record.total() < 10 * S + S / 10, "{:?}", record.total());
}

#[test]
fn an_answer_that_is_read_slowly_has_a_long_body() {
    let (mut probe, notes) = talk();
    probe.set_room(10_000);
    probe.recv(&get("/large"));
    for _ in 0..3 {
        probe.sent_up_to(50_000);
        assert_eq!(notes.take(), []);
        probe.advance(5 * S);
    }
    probe.sent();
    let record = notes.one();
    assert_eq!((record.code(), record.bytes), ("200 --".to_owned(), (0, 300_000)));
    assert!(record.response[2].is_some_and(|ns| ns >= 15_000_000_000), "{record:?}");
}

#[test]
fn clients_that_leave_are_blamed_in_the_phase_they_leave() {
    let cases: [(&[u8], &str, bool, &str); 5] = [
        (b"GET / HTTP/1.1\r\nHos", "", true, "0 CR"),
        (b"GET / HTTP/1.1\r\nHos", "", false, "400 CR"),
        (&post("/", 9), "abc", true, "0 CB"),
        (&post("/", 9), "abc", false, "400 CB"),
        (&get("/later"), "", true, "0 CW"),
    ];
    for (head, body, resets, code) in cases {
        let (mut probe, notes) = talk();
        probe.recv(&[head, body.as_bytes()].concat());
        assert_eq!(notes.take(), []);
        if resets {
            probe.reset();
        } else {
            probe.eof();
            probe.sent();
        }
        let record = notes.one();
        assert_eq!(record.code(), code, "{}", head.escape_ascii());
        assert!(record.class.is_some());
        assert_eq!(record.target.is_some(), head.ends_with(b"\r\n\r\n"), "{record:?}");
    }
    let (mut probe, notes) = talk();
    probe.recv(&get("/large"));
    probe.sent_up_to(1000);
    probe.reset();
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.target.as_deref()), ("200 CD", Some("/large")));
}

#[test]
fn deadlines_are_named_with_their_phase() {
    let (mut probe, notes) = talk();
    probe.recv(b"GET / HTTP/1.1\r\nHos");
    probe.advance(11 * S);
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.class), ("408 TR", Some("http.head_timeout")));
    assert!(record.total() >= 10 * S && record.total() < 11 * S, "{record:?}");

    let (mut probe, notes) = talk();
    probe.recv(&[&post("/", 9)[..], b"abc"].concat());
    probe.advance(31 * S);
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.class), ("408 TB", Some("http.body_timeout")));
    assert_eq!((record.target.as_deref(), record.bytes.0), (Some("/"), 3));
    assert!(record.total() >= 30 * S && record.total() < 31 * S, "{record:?}");

    let (mut probe, notes) = talk();
    probe.recv(&get("/large"));
    probe.sent_up_to(1000);
    probe.advance(60 * S);
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.class), ("200 TD", Some("tcp.stalled")));
}

#[test]
fn what_is_refused_is_told_with_its_class() {
    let big = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(17_000));
    let chunked =
        b"POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n14\r\nabcdefghijklmnopqrst";
    let cases: [(&[u8], &str, &str); 5] = [
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400 LR", "http.bad_request_line"),
        (big.as_bytes(), "431 LR", "http.head_too_large"),
        (&post("/collect", 11), "413 LR", "http.body_too_large"),
        (chunked, "413 LB", "http.body_too_large"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501 LR", "http.not_implemented"),
    ];
    for (bytes, code, class) in cases {
        let (mut probe, notes) = talk();
        probe.recv(bytes);
        probe.sent();
        let record = notes.one();
        assert_eq!((record.code().as_str(), record.class), (code, Some(class)));
    }
}

#[test]
fn an_answer_before_the_body_is_told_once() {
    let (mut probe, notes) = talk();
    probe.recv(&post("/refuse", 9));
    probe.sent();
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.request[2]), ("200 --", None));
    probe.recv(b"123456789");
    probe.recv(&get("/next"));
    assert_eq!(notes.one().nth, 2);
}

#[test]
fn a_panic_is_the_servers() {
    let (mut probe, notes) = talk();
    probe.recv(&get("/panic"));
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.class), ("0 SW", Some("task.panicked")));
    assert_eq!(record.nth, 1);
}

#[test]
fn a_drain_is_told_where_it_cuts() {
    let (mut probe, notes) = talk();
    probe.recv(&get("/later"));
    probe.reactor().stop(S);
    probe.advance(2 * S);
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.class), ("0 DW", Some("tcp.drained")));
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_is_the_servers_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large");
    fs::write(&path, vec![b'x'; 2_000_000]).unwrap();
    let files = Files::new(Root::open(dir.path()).unwrap(), Limits::default());
    let notes = Notes::default();
    let mut probe = Probe::new(Http::new(FileApp::new(files)).with_log(Box::new(notes.clone())));
    probe.accept();
    probe.recv(&get("/large"));
    probe.sent_up_to(10_000);
    assert_eq!(notes.take(), []);
    File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
    probe.sent();
    let record = notes.one();
    assert_eq!((record.code().as_str(), record.class), ("200 SD", Some("http.file_truncated")));
    assert_eq!(record.target.as_deref(), Some("/large"));
}

#[test]
fn a_file_is_told_when_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("large"), vec![b'x'; 2_000_000]).unwrap();
    let files = Files::new(Root::open(dir.path()).unwrap(), Limits::default());
    let notes = Notes::default();
    let mut probe = Probe::new(Http::new(FileApp::new(files)).with_log(Box::new(notes.clone())));
    probe.accept();
    probe.recv(&get("/large"));
    probe.advance(S);
    assert_eq!(notes.take(), []);
    probe.sent();
    let record = notes.one();
    assert_eq!((record.code(), record.bytes), ("200 --".to_owned(), (0, 2_000_000)));
    assert!(record.response[2].is_some_and(|ns| ns >= 1_000_000_000), "{record:?}");
}
