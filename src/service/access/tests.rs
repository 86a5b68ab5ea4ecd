//! Lines of every format, and what no peer can do to them.

use std::net::SocketAddr;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::proto::http1::head::{self, FieldStore, Limits, Progress, Status};
use crate::proto::http1::{End, fault};
use crate::reactor::ConnId;

const GET: &[u8] = b"GET /a/b?c=d HTTP/1.1\r\nHost: example.org\r\nReferer: http://x/\r\nUser-Agent: curl/8\r\nX-Id: 7\r\n\r\n";

/// 22 November 2026.
const THEN: u64 = 1_795_385_399;

fn record<'a>(head: Option<&'a Head<'a>>) -> Record<'a> {
    Record {
        head,
        conn: ConnId { slot: 3, serial: 9 },
        peer: Peer::Tcp(SocketAddr::from(([192, 0, 2, 255], 4711))),
        unix_time: THEN,
        nth: 2,
        status: 200,
        bytes_in: 5,
        bytes_out: 12_345,
        request: [Some(0), Some(1_500), None],
        response: [Some(2_000_000), Some(0), Some(3_000_499)],
        end: End::DONE,
        class: None,
    }
}

/// The head of `bytes`, if they are one.
fn with_head<T>(bytes: &[u8], f: impl FnOnce(&Head<'_>) -> T) -> Option<T> {
    let mut store = FieldStore::new();
    match head::parse(bytes, &Limits::default(), &mut Progress::default(), &mut store) {
        Ok(Status::Complete(head)) => Some(f(&head)),
        _ => None,
    }
}

fn line(format: &str, record: &Record<'_>) -> String {
    let mut out = b"before\n".to_vec();
    Formatter::new(format.parse().unwrap()).write(record, &mut out);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_prefix("before\n").unwrap().strip_suffix('\n').unwrap();
    assert!(line.len() < LINE_BYTES_MAX && !line.contains('\n'), "{line}");
    line.to_owned()
}

/// The line of a request with this head.
fn line_of(format: &str, bytes: &[u8]) -> String {
    with_head(bytes, |head| line(format, &record(Some(head)))).expect("a good head")
}

/// The line without a head.
fn line_without(format: &str, change: impl FnOnce(&mut Record<'_>)) -> String {
    let mut record = record(None);
    change(&mut record);
    line(format, &record)
}

#[test]
fn a_user_is_named_as_one_word_and_never_with_a_password_or_when_refused() {
    let asks =
        |credentials: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {credentials}\r\n\r\n");
    for (credentials, shown) in [
        ("Basic YW5uYTpzZWNyZXQ=", "anna"),
        ("basic YW5uYSBiOng=", "anna_b"),
        ("Basic ImEKYjp4", "\\x22a\\x0Ab"),
        ("Basic YW5uYQ==", "-"),
        ("Basic Ong=", "-"),
        ("Basic !", "-"),
        ("Bearer YW5uYTp4", "-"),
        ("Basic", "-"),
    ] {
        assert_eq!(line_of("{user}", asks(credentials).as_bytes()), shown, "{credentials}");
    }
    let anna = asks("Basic YW5uYTpzZWNyZXQ=");
    assert!(line_of("combined", anna.as_bytes()).contains(" - anna ["));
    assert!(line_of("json", anna.as_bytes()).contains(r#","user":"anna","#));
    let refused = with_head(anna.as_bytes(), |head| {
        let mut record = record(Some(head));
        record.status = 401;
        line("{user}", &record)
    });
    assert_eq!(refused.expect("a good head"), "-");
}

#[test]
fn common_and_combined_are_what_every_tool_reads() {
    let common = r#"192.0.2.255 - - [22/Nov/2026:22:09:59 +0000] "GET /a/b?c=d HTTP/1.1" 200 12345"#;
    assert_eq!(line_of("common", GET), common);
    assert_eq!(line_of("combined", GET), format!("{common} \"http://x/\" \"curl/8\""));
    let bare = r#"192.0.2.255 - - [22/Nov/2026:22:09:59 +0000] "-" 400 0 "-" "-""#;
    assert_eq!(line_without("combined", |r| (r.status, r.bytes_out) = (400, 0)), bare);
    assert!(
        line_of("combined", b"GET / HTTP/1.0\r\nReferer:\r\n\r\n")
            .ends_with(r#""GET / HTTP/1.0" 200 12345 "-" "-""#)
    );
}

#[test]
fn json_has_every_key_in_every_record() {
    assert_eq!(
        line_of("json", GET),
        r#"{"time":"2026-11-22T22:09:59Z","remote":"192.0.2.255","remote_port":4711,"user":null,"conn":"3.9","nth":2,"host":"example.org","method":"GET","target":"/a/b?c=d","protocol":"HTTP/1.1","status":200,"bytes_in":5,"bytes_out":12345,"referer":"http://x/","user_agent":"curl/8","request_line":0,"request_headers":1500,"request_body":null,"to_status_line":2000000,"response_headers":0,"response_body":3000499,"duration_ns":5001999,"end":"--","class":null}"#
    );
    let bare = line_without("json", |r| {
        (r.status, r.peer, r.request, r.response) = (0, Peer::Unknown, [None; 3], [None; 3]);
        r.class = Some(fault::HEAD_TIMEOUT.class);
    });
    assert_eq!(
        bare,
        r#"{"time":"2026-11-22T22:09:59Z","remote":null,"remote_port":null,"user":null,"conn":"3.9","nth":2,"host":null,"method":null,"target":null,"protocol":null,"status":null,"bytes_in":5,"bytes_out":12345,"referer":null,"user_agent":null,"request_line":null,"request_headers":null,"request_body":null,"to_status_line":null,"response_headers":null,"response_body":null,"duration_ns":null,"end":"--","class":"http.head_timeout"}"#
    );
    let keys = |text: &str| {
        let Value::Object(object) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        object.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys(&line_of("json", GET)), keys(&bare));
}

#[test]
fn a_template_has_every_value() {
    for (template, expected) in [
        ("{remote}:{remote_port} {conn}/{nth}", "192.0.2.255:4711 3.9/2"),
        ("{time} {time_common} {unix_time}", "2026-11-22T22:09:59Z 22/Nov/2026:22:09:59 +0000 1795385399"),
        ("{method}|{target}|{path}|{query}|{protocol}|{host}", "GET|/a/b?c=d|/a/b|c=d|HTTP/1.1|example.org"),
        ("{request} {{{status}}} {bytes_in}+{bytes_out}", "GET /a/b?c=d HTTP/1.1 {200} 5+12345"),
        ("{referer} {user_agent} {header:x-id} {header:None}", "http://x/ curl/8 7 -"),
        ("{request_line},{request_headers},{request_body}", "0,1500,-"),
        ("{to_status_line_us},{response_headers_ns},{response_body_ms}", "2000,0,3"),
        (
            "{duration} {duration_ns} {duration_us} {duration_ms} {duration_s}",
            "5001999 5001999 5001 5 0.005001",
        ),
        ("{end}\t{class}", "--\t-"),
    ] {
        assert_eq!(line_of(template, GET), expected);
    }
    let all = "{request}{method}{host}{target}{path}{query}{protocol}{referer}{user_agent}{header:x}{class}";
    assert_eq!(line_without(all, |_| ()), "-----------");
}

#[test]
fn addresses_of_all_kinds_are_shown() {
    for (peer, shown) in [
        (Peer::Tcp("[2001:db8::1]:80".parse().unwrap()), "2001:db8::1 80"),
        (Peer::Tcp("[::ffff:10.0.0.255]:1".parse().unwrap()), "10.0.0.255 1"),
        (Peer::Unix, "unix -"),
        (Peer::Unknown, "- -"),
    ] {
        assert_eq!(line_without("{remote} {remote_port}", |r| r.peer = peer), shown);
    }
    assert!(line_without("json", |r| r.peer = Peer::Unix).contains(r#""remote":"unix","remote_port":null"#));
}

#[test]
fn what_a_peer_sends_ends_no_value_and_no_line() {
    let evil = b"GET /%0d%0a\"x\\ HTTP/1.1\r\nHost: a\r\nReferer: \" 200 1 \"\r\nUser-Agent: a\tb\xff\xc3\xbc\r\n\r\n";
    let Some(combined) = with_head(evil, |head| line("combined", &record(Some(head)))) else {
        panic!("the parser takes quotes in a target")
    };
    assert!(
        combined
            .ends_with(r#""GET /%0d%0a\x22x\x5C HTTP/1.1" 200 12345 "\x22 200 1 \x22" "a\x09b\xFF\xC3\xBC""#),
        "{combined}"
    );
    let json: Value = serde_json::from_str(&line_of("json", evil)).unwrap();
    assert_eq!(json["referer"], "\" 200 1 \"");
    assert_eq!(json["user_agent"], "a\tb\\xFFü");
}

#[test]
fn the_longest_record_is_a_whole_one() {
    let head = |filler: &str| {
        let long = filler.repeat(2000);
        format!(
            "GET /{} HTTP/1.1\r\nHost: {}\r\nReferer: {long}\r\nUser-Agent: {long}\r\n\r\n",
            "%".repeat(8000),
            "h".repeat(255)
        )
    };
    for filler in ["x", "\"", "a\t", "\u{80}", "\u{7ff}"] {
        let head = head(filler);
        let json = line_of("json", head.as_bytes());
        let Value::Object(json) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
        assert!(json["target"].as_str().unwrap().ends_with("..."));
        assert!(json["user_agent"].as_str().unwrap().ends_with("..."));
        assert!(json["host"].as_str().unwrap().ends_with('h'));
        assert!(line_of("combined", head.as_bytes()).ends_with("...\""));
        // More than fits into a line at all.
        let all = line_of(&"{target}|{referer}".repeat(10), head.as_bytes());
        assert_eq!(all.len(), LINE_BYTES_MAX - 1);
    }
    let most = |r: &mut Record<'_>| {
        (r.nth, r.status, r.bytes_in, r.bytes_out) = (u32::MAX, u16::MAX, u64::MAX, u64::MAX);
        (r.request, r.response) = ([Some(u64::MAX); 3], [Some(u64::MAX); 3]);
        r.peer = Peer::Tcp(SocketAddr::from(([0xffff; 8], u16::MAX)));
        r.conn = ConnId { slot: u32::MAX, serial: u32::MAX };
    };
    let bare = line_without("json", most).len();
    assert!(bare + TARGET_MAX + 2 * HEADER_MAX + HOST_MAX + METHOD_MAX < LINE_BYTES_MAX, "{bare}");
    assert!(line_without("{duration}", most).ends_with(&u64::MAX.to_string()));
}

/// Reads back what [`Line::text`](super::line::Line) writes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first == b'\\' {
            assert_eq!(rest[0], b'x');
            out.push(u8::from_str_radix(std::str::from_utf8(&rest[1..3]).unwrap(), 16).unwrap());
            rest = &rest[3..];
        } else {
            out.push(first);
        }
    }
    out
}

proptest! {
    #[test]
    fn every_request_is_one_line_and_reads_back_as_it_was(
        target in proptest::collection::vec(any::<u8>(), 0..60),
        agent in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = b"GET /".to_vec();
        bytes.extend(&target);
        bytes.extend(b" HTTP/1.1\r\nHost: a\r\nUser-Agent: ");
        bytes.extend(&agent);
        bytes.extend(b"\r\n\r\n");
        with_head(&bytes, |head| {
            let record = record(Some(head));
            let value = head.field("User-Agent").unwrap();
            let logged = line("{target}\t{user_agent}", &record);
            assert!(logged.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)));
            let (target, agent) = logged.split_once('\t').unwrap();
            assert_eq!(unescaped(target), head.target);
            assert!(unescaped(agent) == value || (value.is_empty() && agent == "-"));
            let json: Value = serde_json::from_str(&line("json", &record)).unwrap();
            assert_eq!(json["target"].as_str().unwrap().as_bytes(), head.target);
            if let Ok(value) = std::str::from_utf8(value) {
                assert_eq!(&json["user_agent"], value);
            }
        });
    }

    #[test]
    fn any_text_in_a_field_is_the_same_in_json(agent in "[^\\x00-\\x08\\x0a-\\x1f\\x7f]{0,80}") {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n");
        let json: Value = serde_json::from_str(&line_of("json", bytes.as_bytes())).unwrap();
        prop_assert_eq!(json["user_agent"].as_str().unwrap(), agent.trim_matches([' ', '\t']));
    }

    #[test]
    fn times_add_up(parts in proptest::array::uniform6(proptest::option::of(0..u64::MAX / 6))) {
        let text = line_without("json", |r| {
            (r.request, r.response) = ([parts[0], parts[1], parts[2]], [parts[3], parts[4], parts[5]]);
        });
        let json: Value = serde_json::from_str(&text).unwrap();
        let names = ["request_line", "request_headers", "request_body", "to_status_line", "response_headers", "response_body"];
        for (name, part) in names.iter().zip(parts) {
            prop_assert_eq!(json[*name].as_u64(), part);
        }
        let sum: Option<u64> = parts.iter().flatten().copied().reduce(|a, b| a + b);
        prop_assert_eq!(json["duration_ns"].as_u64(), sum);
    }
}
