//! The examples that speak HTTP, asked with real requests.

use std::fs;
use std::io::{Read, Write};
use std::time::Instant;

use super::{Example, PATIENCE, line, start, start_with};

/// Sends a request; status and body of the answer, which ends with its connection.
fn ask(example: &Example, request: &str, body: &[u8]) -> (u16, String) {
    let mut stream = example.client();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{length}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    let status = all.get(9..12).and_then(|digits| digits.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer to {request}: {all}"));
    (status, all.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn is(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[test]
fn hello_answers_http() {
    let example = start("hello");
    assert_eq!(ask(&example, "GET /", b""), is(200, "Hello, World!"));
    let greeting = "Hello, high tide! You are the 1. to be greeted.\n";
    assert_eq!(ask(&example, "GET /hello/high%20tide", b""), is(200, greeting));
    assert_eq!(ask(&example, "GET /none", b"").0, 404);
}

#[test]
fn json_api_makes_lists_finds_and_removes_notes() {
    let example = start("json_api");
    assert_eq!(ask(&example, "GET /notes", b""), is(200, "[]\n"));
    let quoted = "{\"id\":1,\"text\":\"say \\\"hi\\\"\\u000a\"}\n";
    assert_eq!(ask(&example, "POST /notes", b"say \"hi\"\n"), is(201, quoted));
    assert_eq!(ask(&example, "GET /notes/1", b""), is(200, quoted));
    assert_eq!(ask(&example, "GET /notes/1/upper", b""), is(200, "\"SAY \\\"HI\\\"\\u000a\"\n"));
    assert_eq!(ask(&example, "GET /notes", b"").1, format!("[{}]\n", quoted.trim_end()));
    assert_eq!(ask(&example, "POST /notes", b"\xff").0, 415);
    assert_eq!(ask(&example, "POST /notes", &[b'x'; 65_537]).0, 413);
    assert_eq!(ask(&example, "GET /notes/x", b"").0, 400);
    assert_eq!(ask(&example, "PATCH /notes/1", b"").0, 405);
    assert_eq!(ask(&example, "DELETE /notes/1", b""), is(204, ""));
    assert_eq!(ask(&example, "GET /notes/1/digest", b"").0, 404);
}

#[test]
fn json_api_answers_later_from_a_thread_and_from_another_request() {
    let example = start("json_api");
    ask(&example, "POST /notes", b"ab");
    let sum = u64::from(b'a') * 31 + u64::from(b'b');
    let digest = format!("{{\"id\":1,\"text\":\"{sum:x}\"}}\n");
    assert_eq!(ask(&example, "GET /notes/1/digest", b""), is(200, &digest));
    // Nobody can see from outside that a request waits: as long as none does, another note is made.
    let next = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&example, "GET /notes/1/next", b""));
        let deadline = Instant::now() + PATIENCE;
        while !waiting.is_finished() {
            assert!(Instant::now() < deadline);
            ask(&example, "POST /notes", b"next");
        }
        waiting.join().unwrap()
    });
    assert!(next.0 == 200 && next.1.ends_with("\"text\":\"next\"}\n"), "{next:?}");
    assert_eq!(ask(&example, "GET /notes/1/next", b"").0, 204, "no note comes");
}

#[test]
fn sse_clock_ticks_and_says_what_was_missed() {
    let example = start("sse_clock");
    let listen = |last: &str| {
        let mut reader = example.reader();
        let head = format!("GET /events HTTP/1.0\r\n{last}\r\n");
        reader.get_mut().write_all(head.as_bytes()).unwrap();
        while !line(&mut reader).is_empty() {}
        assert_eq!(line(&mut reader), "retry: 1000");
        assert_eq!(line(&mut reader), "");
        reader
    };
    let mut first = listen("");
    assert_eq!(line(&mut first), "event: tick");
    let id: u64 = line(&mut first).strip_prefix("id: ").unwrap().parse().unwrap();
    assert_eq!(line(&mut first), format!("data: {id} ticks, 1 listen"));
    drop(first);
    let mut second = listen(&format!("Last-Event-ID: {}\r\n", id - 1));
    assert_eq!(line(&mut second), "event: missed");
    assert!(line(&mut second).strip_prefix("data: ").unwrap().parse::<u64>().unwrap() >= 1);
    // Whoever is gone is forgotten, once a tick finds out.
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the first listener is never forgotten");
        if line(&mut second).ends_with("ticks, 1 listen") {
            break;
        }
    }
}

#[test]
fn upload_keeps_what_is_whole_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let names = || {
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let example = start_with("upload", &[dir.path().to_str().unwrap(), "20000000"]);
    let large: Vec<u8> = (0..20_000_000u32).map(|n| (n * 7 / 3) as u8).collect();
    assert_eq!(ask(&example, "PUT /files/large", &large), is(201, "{\"size\":20000000}\n"));
    assert!(fs::read(dir.path().join("large")).unwrap() == large, "other bytes than were sent");
    assert_eq!(ask(&example, "POST /files/empty", b""), is(201, "{\"size\":0}\n"));
    assert_eq!(ask(&example, "PUT /files/.hidden", b"x").0, 400);
    assert_eq!(ask(&example, "PUT /files/..%2fup", b"x").0, 404);

    // Over the bound: announced, and found out on the way.
    let mut stream = example.client();
    let head = "PUT /files/toolarge HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut copy = stream.try_clone().unwrap();
    // The server closes before it has everything, behind its answer.
    let sending = std::thread::spawn(move || {
        let chunk = [b"100000\r\n", &[b'x'; 0x10_0000][..], b"\r\n"].concat();
        (0..40).all(|_| copy.write_all(&chunk).is_ok())
    });
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    drop(stream);
    sending.join().unwrap();

    // A client that goes away in the middle.
    let mut stream = example.client();
    stream.write_all(b"PUT /files/half HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n").unwrap();
    stream.write_all(&large[..3_000_000]).unwrap();
    drop(stream);
    let deadline = Instant::now() + PATIENCE;
    while names() != ["empty", "large"] {
        assert!(Instant::now() < deadline, "left behind: {:?}", names());
        std::thread::yield_now();
    }
}
