//! The file service under every fault of the simulated kernel, while its files are cut, replaced and grown: exact bytes,
//! or the reason `http.file_truncated`.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "sim/http.rs"]
mod http;
mod sim;

use std::fs;
use std::ops::Range;
use std::path::Path;

use http::{check_reports, pattern, run, unhurried};
use sim::{Side, tcp, unix};
use tidemill::proto::http1::Http;
use tidemill::reactor::testing::{Faults, Rng, SimPeer, World, seeds, watch};
use tidemill::reactor::{Config, Endpoint};
use tidemill::service::files::{FileApp, Files, Limits, Multipart, Root};

/// What happens to the large file while it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    None,
    Cut(u64),
    Replace,
    Grow,
    Remove,
}

/// One request with the answer that it must get.
struct Ask {
    request: String,
    bare: bool,
    status: u16,
    body: Vec<u8>,
}

fn ask(method: &str, path: &str, fields: &str, status: u16, body: &[u8]) -> Ask {
    let request = format!("{method} /{path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    Ask { request, bare: method == "HEAD" || status == 304, status, body: body.to_vec() }
}

/// A request for several ranges, whose parts stand apart, with its answer: the whole when that is shorter.
fn ask_parts(path: &str, parts: &[Range<usize>], tag: &str, whole: &[u8]) -> Ask {
    let specs: Vec<_> = parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
    let parts: Vec<_> = parts.iter().map(|part| part.start as u64..part.end as u64).collect();
    let fields = format!("Range: bytes={}\r\n", specs.join(", "));
    match Multipart::new(&parts, whole.len() as u64, "application/octet-stream", tag) {
        Some(multipart) => ask("GET", path, &fields, 206, &multipart.body(whole).unwrap()),
        None => ask("GET", path, &fields, 200, whole),
    }
}

/// A peer that asks for tags first, then for everything else, and reads in random pieces.
struct Reader {
    peer: Option<SimPeer>,
    asks: Vec<Ask>,
    /// Bytes to be sent.
    out: Vec<u8>,
    /// Bytes of answers that are not complete.
    got: Vec<u8>,
    answered: usize,
    tags: Vec<String>,
    finished: bool,
    failed: bool,
    /// The pool may be full.
    refusing: bool,
}

impl Reader {
    fn new(world: &World, at: &Endpoint, asks: Vec<Ask>) -> Self {
        let out = asks.iter().flat_map(|ask| ask.request.bytes()).collect();
        let peer = world.dial(at).ok();
        let failed = peer.is_none();
        let (got, tags) = (Vec::new(), Vec::new());
        Self { peer, asks, out, got, answered: 0, tags, finished: false, failed, refusing: false }
    }

    fn then(&mut self, asks: Vec<Ask>) {
        self.out.extend(asks.iter().flat_map(|ask| ask.request.bytes()));
        self.asks.extend(asks);
    }

    fn act(&mut self, rng: &mut Rng) -> bool {
        let Some(peer) = &mut self.peer else { return false };
        let wrote = if self.out.is_empty() { 0 } else { peer.write(&self.out[..rng.size(self.out.len())]) };
        self.out.drain(..wrote);
        let got = peer.read_up_to(4000 + rng.size(20_000));
        let (failed, eof) = (peer.error().is_some(), peer.is_eof());
        let fresh = !got.is_empty() || failed;
        self.got.extend(got);
        if failed {
            self.got.extend(peer.read());
        }
        self.failed |= failed;
        if failed || eof {
            self.peer = None;
        }
        while fresh && self.take() {}
        wrote > 0 || fresh || eof
    }

    fn finish(&mut self) {
        if let Some(peer) = self.peer.as_mut().filter(|_| !self.finished) {
            peer.shutdown_write();
            self.finished = true;
        }
    }

    /// Takes an answer off what has come, if it is whole. What is there of it must be right in any case.
    fn take(&mut self) -> bool {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(n)) = head.parse(&self.got) else { return false };
        let Some(ask) = self.asks.get(self.answered) else { panic!("an answer without a request") };
        // Whether a name is missing is for a thread to say, and the weather may leave none.
        let refused = self.refusing && ask.status == 404 && head.code == Some(503);
        assert!(refused || head.code == Some(ask.status), "{:?} to {}", head.code, ask.request);
        let value = |name: &str| {
            let field = head.headers.iter().find(|field| field.name == name);
            field.map(|field| String::from_utf8(field.value.to_vec()).unwrap())
        };
        let length = value("Content-Length").map_or(0, |n| n.parse().unwrap());
        let body = self.got.get(n..).unwrap_or_default();
        let there = body.get(..length.min(body.len())).unwrap_or_default();
        if ask.bare {
            assert!(ask.status == 304 || length == ask.body.len(), "to {}", ask.request);
            self.tags.extend(value("ETag"));
        } else {
            if ask.status < 300 {
                assert_eq!(length, ask.body.len(), "to {}", ask.request);
                assert!(ask.body.starts_with(there), "other bytes than the file's to {}", ask.request);
            }
            if there.len() < length {
                return false;
            }
        }
        let end = n + if ask.bare { 0 } else { length };
        self.got.drain(..end);
        self.answered += 1;
        true
    }
}

/// The requests that follow once the tags are known.
fn requests(rng: &mut Rng, small: &[u8], large: &[u8], tags: &[String]) -> Vec<Ask> {
    let n = large.len();
    let (from, to) = (rng.between(0, n / 2), rng.between(n / 2, n - 1));
    let range = format!("Range: bytes={from}-{to}\r\n");
    let mut asks = vec![
        ask("GET", "small", "", 200, small),
        ask("GET", "small", &format!("If-None-Match: {}\r\n", tags[0]), 304, b""),
        ask("GET", "small", "Range: bytes=-1\r\n", 206, &small[small.len() - 1..]),
        ask("HEAD", "small", "", 200, small),
        ask("GET", "large", &range, 206, &large[from..=to]),
        ask("GET", "large", &format!("{range}If-Range: \"x\"\r\n"), 200, large),
        ask("GET", "large", &format!("{range}If-Range: {}\r\n", tags[1]), 206, &large[from..=to]),
        ask("GET", "large", &format!("Range: bytes={n}-\r\n"), 416, b""),
        ask("GET", "large", &format!("If-None-Match: \"x\", {}\r\n", tags[1]), 304, b""),
        ask("GET", "large", "If-Match: \"x\"\r\n", 412, b""),
        ask_parts("large", &[n / 2..n, 0..n / 4], &tags[1], large),
        ask_parts("large", &[to - 10..n, 0..1, 200..201, n / 4..n / 4 + 300], &tags[1], large),
        if small.len() > 100 {
            ask_parts("small", &[small.len() - 1..small.len(), 0..1], &tags[0], small)
        } else {
            ask("GET", "small", "Range: bytes=-1, 0-\r\n", 206, small)
        },
        ask("GET", "none", "", 404, b""),
        ask("POST", "small", "Content-Length: 0\r\n", 405, b""),
    ];
    rng.shuffle(&mut asks);
    asks.truncate(rng.between(0, 6));
    asks.push(match rng.below(2) {
        0 => ask("GET", "large", "", 200, large),
        _ => ask_parts("large", &[n / 2..n, 0..n / 4], &tags[1], large),
    });
    asks
}

fn apply(change: Change, dir: &Path) {
    let large = dir.join("large");
    match change {
        Change::None => {}
        Change::Cut(to) => fs::File::options().write(true).open(large).unwrap().set_len(to).unwrap(),
        Change::Replace => {
            fs::write(dir.join("new"), b"replaced").unwrap();
            fs::rename(dir.join("new"), large).unwrap();
        }
        Change::Grow => {
            let mut grown = fs::read(&large).unwrap();
            let more = fs::File::options().append(true).open(large).unwrap();
            grown.truncate(100);
            std::io::Write::write_all(&mut &more, &grown).unwrap();
        }
        Change::Remove => fs::remove_file(large).unwrap(),
    }
}

fn faults(seed: u64, hostile: bool) -> Faults {
    let all = if hostile { Faults::hostile() } else { Faults::benign() };
    all.swarm(seed)
}

fn serve(seed: u64, hostile: bool) {
    let mut rng = Rng::new(seed);
    let (small, large) = (pattern(rng.size(1000)), pattern(rng.between(17_000, 60_000)));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small"), &small).unwrap();
    fs::write(dir.path().join("large"), &large).unwrap();
    let change = match rng.below(5) {
        0 => Change::None,
        1 => Change::Cut(rng.below(large.len() as u64)),
        2 => Change::Replace,
        3 => Change::Grow,
        _ => Change::Remove,
    };
    let world = World::with_faults(seed, faults(seed, hostile));
    let mut config = Config::default();
    config.turn_bytes_max = 2000 + rng.size(1 << 18);
    let mut server = Side::with_config(&world, config);
    let limits = Limits { small_max: 1000, ..Limits::default() };
    let app = FileApp::new(Files::new(Root::open(dir.path()).unwrap(), limits));
    let key = server.reactor.add(Http::with_config(app, unhurried()));
    let reports = watch(&mut server.reactor, key);
    let mut at = [tcp(), unix()][seed as usize % 2].clone();
    // Files are large: through buffers of one byte they would take for ever.
    let room = Some(1000 + rng.size(30_000) as u32);
    (at.options.send_buffer, at.options.recv_buffer) = (room, room);
    server.reactor.listen(key, &at).unwrap();
    let tags = vec![ask("HEAD", "small", "", 200, &small), ask("HEAD", "large", "", 200, &large)];
    let mut reader = Reader::new(&world, &at, tags);
    reader.refusing = hostile;
    let (mut asked, mut changed) = (false, false);
    let change_at = rng.between(200, large.len());
    run(&world, &mut server, |_| {
        let mut moved = reader.act(&mut rng);
        if reader.answered == 2 && !asked {
            asked = true;
            let asks = requests(&mut rng, &small, &large, &reader.tags);
            reader.then(asks);
            moved = true;
        }
        let last = asked && reader.answered + 1 == reader.asks.len();
        if last && !changed && reader.got.len() >= change_at {
            changed = true;
            apply(change, dir.path());
        }
        if asked && reader.answered == reader.asks.len() {
            reader.finish();
        }
        (moved, reader.peer.is_none())
    });
    check_reports(&server, &reports);
    let reasons: Vec<_> = reports.borrow().iter().map(|report| report.reason.name()).collect();
    let all = asked && reader.answered == reader.asks.len();
    if !hostile {
        let cut = matches!(change, Change::Cut(_)) && changed;
        assert!(all || cut, "{change:?}, {} of {}, {reasons:?}", reader.answered, reader.asks.len());
        let expected = if all { "finished" } else { "http.file_truncated" };
        assert_eq!(reasons, [expected], "{change:?}");
        assert!(all || reader.answered + 1 == reader.asks.len());
    }
}

/// Parts of a file that is not kept in memory, through buffers of a few bytes.
fn serve_tiny(seed: u64) {
    let mut rng = Rng::new(seed);
    let content = pattern(rng.between(900, 1500));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tiny"), &content).unwrap();
    let world = World::with_faults(seed, faults(seed, false));
    let mut server = Side::with_config(&world, Config::default());
    let limits = Limits { small_max: 0, ..Limits::default() };
    let app = FileApp::new(Files::new(Root::open(dir.path()).unwrap(), limits));
    let key = server.reactor.add(Http::with_config(app, unhurried()));
    let reports = watch(&mut server.reactor, key);
    let mut at = [tcp(), unix()][seed as usize % 2].clone();
    let room = Some(1 + rng.size(7) as u32);
    (at.options.send_buffer, at.options.recv_buffer) = (room, room);
    server.reactor.listen(key, &at).unwrap();
    let mut reader = Reader::new(&world, &at, vec![ask("HEAD", "tiny", "", 200, &content)]);
    run(&world, &mut server, |_| {
        let mut moved = reader.act(&mut rng);
        if reader.answered == 1 && reader.asks.len() == 1 {
            let tag = reader.tags[0].clone();
            let parts = [ask_parts("tiny", &[400..401, 0..2, 600..700], &tag, &content)];
            let one = ask("GET", "tiny", "Range: bytes=0-0\r\n", 206, &content[..1]);
            reader.then(parts.into_iter().chain([one]).collect());
            moved = true;
        }
        if reader.answered == 3 {
            reader.finish();
        }
        (moved, reader.peer.is_none())
    });
    check_reports(&server, &reports);
    assert_eq!(reader.answered, 3);
}

#[test]
fn parts_are_exact_through_buffers_of_a_few_bytes() {
    seeds("parts_are_exact_through_buffers_of_a_few_bytes", serve_tiny);
}

#[test]
fn files_are_exact_or_cut_and_said_to_be_under_all_benign_faults() {
    seeds("files_are_exact_or_cut_and_said_to_be_under_all_benign_faults", |seed| serve(seed, false));
}

#[test]
fn files_are_exact_as_far_as_they_go_under_hostile_faults() {
    seeds("files_are_exact_as_far_as_they_go_under_hostile_faults", |seed| serve(seed, true));
}
