//! The contract suite on the handlers that need HTTP: the server with a small application, files, and fixed answers.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tidemill::proto::http1::head::Head;
use tidemill::proto::http1::{App, BodyPlan, Cx, Http, HttpConfig, Reply, Request};
use tidemill::reactor::testing::contract;
use tidemill::reactor::testing::contract::{Conversation, mask};
use tidemill::service::files::{FileApp, Files, Limits, Root};
use tidemill::service::respond::{Respond, Welcome};

/// What differs from run to run in an answer.
fn undated(answer: Vec<u8>) -> Vec<u8> {
    mask(answer, b"Date:", b"\r\n")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

// ── The server ──

/// Answers with the method, the path and the body.
struct Mirror;

impl App for Mirror {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match head.path {
            b"/skip" => BodyPlan::Skip,
            b"/refuse" => BodyPlan::Refuse,
            _ => BodyPlan::Collect(1000),
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        let mut body = request.head.path.to_vec();
        body.push(b' ');
        body.extend_from_slice(request.body);
        reply.send(200, &[("Content-Type", b"text/plain")], &body);
    }
}

fn conversations() -> Vec<Conversation> {
    vec![
        Conversation::new(GET),
        Conversation::new(format!("{GET}{GET}{LAST}")),
        Conversation::new(GET).then(GET).then(LAST),
        Conversation::new("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Conversation::new(format!(
            "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world{GET}"
        )),
        Conversation::new(format!(
            "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n{GET}"
        )),
        Conversation::new(format!("POST /skip HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde{GET}")),
        Conversation::new(format!("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde{GET}")),
        Conversation::new("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\nabc"),
        Conversation::new("GET / HTTP/1.0\r\n\r\n"),
        Conversation::new("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Conversation::new("\x16\x03\x01 this is TLS\r\n\r\n"),
        Conversation::new(""),
    ]
}

contract!(server, make = || Http::new(Mirror), conversations = conversations(), normalize = undated);

contract!(
    server_with_a_delay,
    make = || {
        let mut config = HttpConfig::default();
        config.delay = Some(Duration::from_millis(30));
        Http::with_config(Mirror, config)
    },
    conversations = [Conversation::new(format!("{GET}{GET}")), Conversation::new(GET).then(LAST)],
    normalize = undated
);

// ── Fixed answers ──

contract!(
    respond,
    make = || Http::new(Respond::new(200, &[("X-Answer", b"42")], b"the tide\n").unwrap()),
    conversations = [Conversation::new(GET), Conversation::new(format!("{GET}{LAST}"))],
    normalize = undated
);

contract!(
    welcome,
    make = || Http::new(Welcome::new().unwrap()),
    conversations = [
        Conversation::new(GET),
        Conversation::new("GET /hello HTTP/1.1\r\nHost: a\r\n\r\nPUT /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
    normalize = undated
);

// ── Files ──

/// Writes a file that has not been touched for years, so that its validators do not depend on the clock.
fn write(root: &Path, name: &str, bytes: &[u8]) {
    fs::write(root.join(name), bytes).unwrap();
    let file = File::options().append(true).open(root.join(name)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
}

fn folder() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "small.txt", b"a small file\n");
    let large: Vec<u8> = (0..40_000_u32).map(|i| (i % 251) as u8).collect();
    write(root.path(), "large.bin", &large);
    fs::create_dir(root.path().join("sub")).unwrap();
    root
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

contract!(
    files,
    make = {
        let root = folder();
        move || Http::new(FileApp::new(Files::new(Root::open(root.path()).unwrap(), Limits::default())))
    },
    conversations = [
        Conversation::new(get("/small.txt", "") + &get("/missing", "") + &get("/sub", "")),
        Conversation::new(get("/large.bin", "") + &get("/small.txt", "Connection: close\r\n")),
        Conversation::new(get("/large.bin", "Range: bytes=100-30000\r\n"))
            .then(get("/small.txt", "Range: bytes=-5\r\n")),
        Conversation::new(get("/../etc/passwd", "") + "DELETE /small.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
    normalize = undated
);
