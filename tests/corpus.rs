//! Replays the fuzz corpora and tries the same oracles on generated input, so that plain `cargo test` keeps what
//! fuzzing has found.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../fuzz/checks.rs"]
#[allow(clippy::unwrap_used, reason = "a broken promise panics")]
mod checks;

#[path = "../fuzz/connection.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken promise panics")]
mod connection;
#[path = "../fuzz/others.rs"]
mod others;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tidemill::proto::http1::head::Limits;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        files += 1;
    }
    assert!(files >= 24, "the corpus of {target} is gone");
}

#[test]
fn the_head_corpus_keeps_its_promises() {
    replay("head", checks::head);
}

#[test]
fn the_chunked_corpus_keeps_its_promises() {
    replay("chunked", checks::chunked);
}

#[test]
fn the_connection_corpus_keeps_its_promises() {
    replay("connection", connection::connection);
}

#[test]
fn the_path_corpus_keeps_its_promises() {
    replay("path", others::path);
}

#[test]
fn the_range_corpus_keeps_its_promises() {
    replay("range", others::range);
}

#[test]
fn the_frames_corpus_keeps_its_promises() {
    replay("frames", others::frames);
}

#[test]
fn the_websocket_corpus_keeps_its_promises() {
    replay("websocket", others::websocket);
}

/// Bytes that make heads go wrong, mixed with pieces that make them go on.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b=c HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.0\r\n",
        b"GET ",
        b"HTTP/1.1",
        b"/",
        b"Host: a\r\n",
        b"Host: [::1]:80\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"X: y\r\n",
        b"X : y\r\n",
        b" folded\r\n",
        b"X: \r\n",
        b":\r\n",
        b"X\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b"\x0b",
        b"\x7f",
        b"\x80",
        b":",
        b"A",
        b"#",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 ",
        b"\x16\x03\x01",
        b"http://h:1/",
        b"HTTP/2.0",
        b"HTTP/1.2",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    let known = proptest::sample::select(pieces).prop_map(<[u8]>::to_vec);
    prop_oneof![9 => known, 1 => proptest::collection::vec(any::<u8>(), 1..4)]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let openings: &[&[u8]] = &[b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"PUT /x HTTP/1.0\r\n"];
    let opening = proptest::sample::select(openings);
    (opening, proptest::collection::vec(piece(), 0..12)).prop_map(|(opening, rest)| {
        let mut all = opening.to_vec();
        all.extend(rest.concat());
        all
    })
}

fn chunk_stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"000\r\n",
        b"a;x=y\r\n0123456789\r\n",
        b"1;q=\"a\\\"b\"\r\nz\r\n",
        b"X: y\r\n",
        b"5",
        b"\r\n",
        b"\n",
        b"\r",
        b";",
        b" ",
        b"0x5",
        b"-1",
        b"+1",
        b"1_0",
        b"FFFFFFFFFFFFFFFF",
        b"\0",
        b"=",
        b"\"",
    ];
    let known = proptest::sample::select(pieces).prop_map(<[u8]>::to_vec);
    let piece = prop_oneof![9 => known, 1 => proptest::collection::vec(any::<u8>(), 1..4)];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// Requests that a server keeps its connection for, and some that end it.
fn pipeline() -> impl Strategy<Value = Vec<u8>> {
    let requests: &[&[u8]] = &[
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /n HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: t\r\n\r\n",
        b"POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nskip",
        b"POST /s HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nskip",
        b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"\r\n",
    ];
    let last: &[&[u8]] = &[
        b"",
        b"GET /a HTTP/1.0\r\n\r\n",
        b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890",
        b"POST /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
        b"GET / HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HT",
    ];
    let requests = proptest::collection::vec(proptest::sample::select(requests), 0..6);
    (requests, proptest::sample::select(last)).prop_map(|(all, last)| [&all.concat()[..], last].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_a_pipeline_gives_the_same_answers(
        stream in pipeline(), cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        connection::connection_with(&stream, &cuts);
    }

    #[test]
    fn any_split_of_nearly_good_requests_gives_the_same_answers(
        stream in stream(), cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        connection::connection_with(&stream, &cuts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: ProptestConfig::default().cases.max(1500), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_a_head_keep_the_promises(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        checks::head(&data);
    }

    #[test]
    fn nearly_good_heads_keep_the_promises(data in stream(), steer in any::<u8>()) {
        let mut steered = vec![steer];
        steered.extend(data);
        checks::head(&steered);
    }

    #[test]
    fn any_limits_give_the_same_answer_for_every_cut(
        data in stream(), head_bytes_max in 0u32..120, uri_bytes_max in 0u32..40, fields_max in 0u16..5, step in 2usize..9,
    ) {
        checks::head_with(&data, &Limits { head_bytes_max, uri_bytes_max, fields_max }, step);
    }

    #[test]
    fn any_bytes_as_chunks_keep_the_promises(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        checks::chunked(&data);
    }

    #[test]
    fn nearly_good_chunks_keep_the_promises(data in chunk_stream()) {
        checks::chunked(&data);
    }
}
