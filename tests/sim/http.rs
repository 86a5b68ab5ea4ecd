//! Requests with the answers that they must get, and a peer that sends them in pieces.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tidemill::proto::http1::head::{Head, Method};
use tidemill::proto::http1::{App, BodyPlan, Cx, HttpConfig, Reply, Request};
use tidemill::reactor::Report;
use tidemill::reactor::testing::{Rng, SimPeer, World};

use super::sim::{Side, patient};

/// Nothing here waits for a deadline.
pub fn unhurried() -> HttpConfig {
    let hour = Duration::from_secs(3600);
    let mut config = HttpConfig::default();
    (config.head_timeout, config.body_timeout, config.body_rate_min) = (hour, hour, 0);
    config.connection = patient();
    config
}

/// `n` bytes in which every place can be told from its neighbours.
pub fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| b'a' + (at % 25) as u8).collect()
}

/// Answers with what it was asked, a digest of the body, and as many bytes more as the path says.
pub struct Digest;

impl App for Digest {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match head.path.get(..2) {
            Some(b"/s") => BodyPlan::Skip,
            Some(b"/r") => BodyPlan::Refuse,
            _ => BodyPlan::Collect(1 << 20),
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        let head = request.head;
        let path = std::str::from_utf8(head.path).unwrap_or_default();
        let more = path.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        assert!(head.method != Method::Delete, "what stands behind a bad request was answered");
        reply.send(200, &[], &answer_body(head.method.as_str(), path, request.body, more));
    }
}

fn answer_body(method: &str, path: &str, body: &[u8], more: usize) -> Vec<u8> {
    let digest = body.iter().fold(1u32, |sum, b| sum.wrapping_mul(31).wrapping_add(u32::from(*b)));
    let mut text = format!("{method} {path} {} {digest:x}\n", body.len()).into_bytes();
    text.extend(pattern(more));
    text
}

/// What a peer sends, and what it must get.
pub struct Script {
    pub bytes: Vec<u8>,
    /// The answers, one after the other, with a date of [`DATE`].
    pub answers: Vec<Vec<u8>>,
    /// The status of the last answer, when the request before it is a bad one; it is not among `answers`.
    pub bad: Option<u16>,
    /// The server closes behind the last answer.
    pub closes: bool,
}

const DATE: &[u8] = b"XXX, XX XXX XXXX XX:XX:XX GMT";

/// Requests that no server may answer as if they were good.
const BAD: &[(&[u8], u16)] = &[
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.7\r\nHost: a\r\n\r\n", 505),
    (b"brew / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400),
    (b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n", 417),
];

impl Script {
    /// Up to `requests` random requests, with bodies and answers of up to `most` bytes beyond the least.
    pub fn random(rng: &mut Rng, requests: usize, most: usize) -> Self {
        let mut script = Self { bytes: Vec::new(), answers: Vec::new(), bad: None, closes: false };
        for _ in 0..rng.between(1, requests) {
            let closes = rng.chance(50);
            script.request(rng, most, closes);
            if closes {
                script.closes = true;
                break;
            }
        }
        if !script.closes && rng.chance(300) {
            let (bytes, status) = BAD[rng.between(0, BAD.len() - 1)];
            script.bytes.extend_from_slice(bytes);
            (script.bad, script.closes) = (Some(status), true);
        }
        if script.bad.is_some() && rng.chance(500) {
            let behind = b"DELETE /behind HTTP/1.1\r\nHost: a\r\n\r\n".repeat(rng.between(1, 20));
            script.bytes.extend(behind);
        }
        script
    }

    fn request(&mut self, rng: &mut Rng, most: usize, closes: bool) {
        let method = ["GET", "HEAD", "POST"][rng.between(0, 2)];
        let plan = ["c", "s", "r"][rng.between(0, 2)];
        let more = if rng.chance(500) { rng.size(most) } else { 0 };
        let path = format!("/{plan}/{more}");
        let old = rng.chance(150);
        let connection = match (closes, old) {
            (true, false) => "Connection: close\r\n",
            (false, true) => "Connection: keep-alive\r\n",
            (true, true) | (false, false) => "",
        };
        let version = if old { "1.0" } else { "1.1" };
        let head = format!("{method} {path} HTTP/{version}\r\nHost: a\r\n{connection}");
        self.bytes.extend(head.bytes());
        let mut body = Vec::new();
        if method == "POST" && rng.chance(800) {
            body = pattern(if rng.chance(800) { rng.size(most) } else { 0 });
            let chunked = !old && rng.chance(500);
            self.body(rng, &body, chunked);
        } else {
            self.bytes.extend(b"\r\n");
        }
        let seen = if plan == "c" { &body[..] } else { b"" };
        let text = answer_body(method, &path, seen, more);
        let said = if closes { "Connection: close\r\n" } else { connection };
        let mut answer = b"HTTP/1.1 200 OK\r\nDate: ".to_vec();
        answer.extend(DATE);
        answer
            .extend(format!("\r\nServer: tidemill\r\nContent-Length: {}\r\n{said}\r\n", text.len()).bytes());
        if method != "HEAD" {
            answer.extend(text);
        }
        self.answers.push(answer);
    }

    fn body(&mut self, rng: &mut Rng, body: &[u8], chunked: bool) {
        if !chunked {
            self.bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            return self.bytes.extend(body);
        }
        self.bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        let mut rest = body;
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(rng.size(rest.len()));
            self.bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            self.bytes.extend(chunk);
            self.bytes.extend(b"\r\n");
            rest = behind;
        }
        self.bytes.extend(b"0\r\n\r\n");
    }

    /// All answers in a row.
    pub fn expected(&self) -> Vec<u8> {
        self.answers.concat()
    }
}

/// `bytes` with each date replaced by [`DATE`].
pub fn undated(bytes: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"\r\nDate: ";
    let mut out = bytes.to_vec();
    for at in 0..out.len() {
        if out[at..].starts_with(NAME) {
            let from = at + NAME.len();
            let to = out.len().min(from + DATE.len());
            out[from..to].copy_from_slice(&DATE[..to - from]);
        }
    }
    out
}

/// A peer that sends a script in random pieces and reads in random pieces.
pub struct Client {
    pub script: Script,
    pub got: Vec<u8>,
    peer: Option<SimPeer>,
    at: usize,
    expected: usize,
    /// It sends its FIN behind the last byte, and not only when it has every answer.
    hasty: bool,
    finished: bool,
    broken: bool,
}

impl Client {
    pub fn new(world: &World, at: &tidemill::reactor::Endpoint, script: Script, hasty: bool) -> Self {
        let peer = world.dial(at).ok();
        let expected = script.expected().len();
        let broken = peer.is_none();
        Self { script, got: Vec::new(), peer, at: 0, expected, hasty, finished: false, broken }
    }

    pub fn is_done(&self) -> bool {
        self.peer.is_none()
    }

    /// Whether it was reset, refused or never connected.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Does something if it can; whether it could.
    pub fn act(&mut self, rng: &mut Rng) -> bool {
        let Some(peer) = &mut self.peer else { return false };
        let (at, got, finished) = (self.at, self.got.len(), self.finished);
        let rest = &self.script.bytes[self.at..];
        if !rest.is_empty() {
            self.at += peer.write(&rest[..rng.size(rest.len())]);
        }
        self.got.extend(peer.read_up_to(rng.size(20_000)));
        let sent = self.at == self.script.bytes.len();
        let all = !self.script.closes && self.got.len() >= self.expected;
        if !self.finished && peer.is_connected() && sent && (self.hasty || all) {
            peer.shutdown_write();
            self.finished = true;
        }
        let failed = peer.error().is_some();
        self.broken |= failed;
        if failed {
            // What came before the failure can still be read.
            self.got.extend(peer.read());
        }
        if failed || peer.is_eof() {
            self.peer = None;
            return true;
        }
        (at, got, finished) != (self.at, self.got.len(), self.finished)
    }
}

/// Runs until all clients are done and the server has no connection left.
pub fn run(world: &World, server: &mut Side, mut act: impl FnMut(&mut Side) -> (bool, bool)) {
    // The clock moves only when nobody can do anything: with a second process no poll moves it by itself.
    let mut idle = Side::new(world);
    for _ in 0..3_000_000 {
        server.turn();
        idle.turn();
        let (moved, done) = act(server);
        if done && server.reactor.connections() == 0 {
            return;
        }
        if !moved && world.is_idle() && !world.step() {
            panic!("nothing can happen any more, and the test is not done");
        }
    }
    panic!("it does not come to an end");
}

/// Each connection ended once, and its ledger adds up.
pub fn check_reports(server: &Side, reports: &Rc<RefCell<Vec<Report>>>) {
    let reports = reports.borrow();
    assert_eq!(reports.len() as u64, server.reactor.stats().closed, "an end was told twice, or not");
    for report in reports.iter() {
        assert_eq!(report.ledger.sum(), report.ledger.total, "{:?}", report.ledger);
        assert_eq!(reports.iter().filter(|other| other.id == report.id).count(), 1, "{:?}", report.id);
    }
}
