//! Every kind of answer of `tidemill::http` under the faults of the simulated kernel: exact bodies or a clean end, no
//! request without an answer, and who goes away is told of once.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "sim/http.rs"]
mod http;
mod sim;

use std::collections::HashMap;
use std::time::Duration;

use http::{check_reports, pattern, run, unhurried};
use sim::{Side, tcp, unix};
use tidemill::http::{
    Answer, BodyWriter, Cx, Flow, Http, HttpConfig, Pull, Reply, Response, Server, Sink, Source,
    StreamOptions, Ticket, sse::Event,
};
use tidemill::reactor::class::Class;
use tidemill::reactor::testing::{Faults, Rng, SimPeer, World, seeds, watch};
use tidemill::reactor::{Config, Endpoint, Key};

const MS: Duration = Duration::from_millis(1);

/// What became of the requests that somebody could leave.
#[derive(Default)]
struct App {
    begun: HashMap<Ticket, u32>,
    gone: HashMap<Ticket, u32>,
    sinks: i64,
    listeners: Vec<Ticket>,
}

impl App {
    fn begin(&mut self, ticket: Ticket) {
        *self.begun.entry(ticket).or_default() += 1;
    }
}

fn gone(ticket: Ticket) -> impl FnOnce(&mut App, &mut Cx<'_, App>) {
    move |app, _| *app.gone.entry(ticket).or_default() += 1
}

/// Gives a pattern in pieces, and sleeps between some of them.
struct Slow {
    bytes: Vec<u8>,
    at: usize,
}

impl Source<App> for Slow {
    fn pull(&mut self, _: &mut App, body: &mut BodyWriter<'_>, cx: &mut Cx<'_, App>) -> Pull {
        let rest = &self.bytes[self.at..];
        let n = body.write(&rest[..rest.len().min(700)]);
        self.at += n;
        if self.at == self.bytes.len() {
            return Pull::End;
        }
        if self.at.is_multiple_of(3) {
            let ticket = cx.ticket();
            cx.call_later(MS, move |_, cx| {
                cx.wake(ticket);
            });
            return Pull::Wait;
        }
        Pull::More
    }
}

/// Counts, and has its client wait now and then.
struct Counter(usize);

impl Sink<App> for Counter {
    fn on_data(&mut self, _: &mut App, bytes: &[u8], cx: &mut Cx<'_, App>) -> Flow {
        self.0 += bytes.len();
        if self.0.is_multiple_of(2) {
            return Flow::Go;
        }
        let ticket = cx.ticket();
        cx.call_later(MS, move |_, cx| {
            cx.wake(ticket);
        });
        Flow::Wait
    }

    fn on_end(self: Box<Self>, app: &mut App, reply: &mut Reply<'_, App>, _: &mut Cx<'_, App>) {
        app.sinks -= 1;
        reply.respond(format!("{} came", self.0));
    }

    fn on_gone(self: Box<Self>, app: &mut App, _: Option<&'static Class>, _: &mut Cx<'_, App>) {
        app.sinks -= 1;
    }
}

/// Writes so many times, a millisecond apart, and ends.
fn say_more(cx: &mut Cx<'_, App>, ticket: Ticket, times: u32) {
    cx.call_later(MS, move |_, cx| {
        if cx.write_whole(ticket, b"more") == Some(false) {
            cx.abort(ticket);
        }
        if times > 1 {
            say_more(cx, ticket, times - 1);
        } else {
            cx.end(ticket);
        }
    });
}

fn server(config: HttpConfig) -> Http<App> {
    Server::new(App::default())
        .config(config)
        .fixed("/fixed", "the same")
        .get("/text/:n", |_, req, _| req.param("n").and_then(|n| Some(pattern(n.parse().ok()?))))
        .get("/later", |app, _, cx| {
            let ticket = cx.ticket();
            app.begin(ticket);
            cx.call_later(5 * MS, move |_, cx| {
                cx.respond(ticket, "late");
            });
            Answer::later().on_gone(gone(ticket))
        })
        .get("/pool", |_, _, _| Answer::offload(|| pattern(5000), |_, bytes, _| bytes))
        .get("/drop", |_, _, cx| {
            let responder = cx.responder(cx.ticket());
            cx.call_later(MS, move |_, _| drop(responder));
            Answer::later()
        })
        .get("/sent", |_, _, cx| {
            let responder = cx.responder(cx.ticket());
            cx.post(move |_, _| {
                responder.send("sent");
            });
            Answer::later()
        })
        .get("/stream", |app, _, cx| {
            let ticket = cx.ticket();
            app.begin(ticket);
            say_more(cx, ticket, 3);
            Answer::stream("some", StreamOptions::default()).on_gone(gone(ticket))
        })
        .get("/pull/:n", |_, req, _| {
            let n = req.param("n").and_then(|n| n.parse().ok()).unwrap_or(0);
            let length = (n % 2 == 0).then_some(n as u64);
            Answer::pull(Response::new(200), length, Box::new(Slow { bytes: pattern(n), at: 0 }))
        })
        .post("/post", |_, req, _| req.body().to_vec())
        .upload("/up", |app, _, _| {
            app.sinks += 1;
            Answer::sink(Counter(0))
        })
        .get("/events", |app, _, cx| {
            let ticket = cx.ticket();
            app.begin(ticket);
            app.listeners.push(ticket);
            cx.send_event(ticket, &Event::new("hello"));
            Answer::events().on_gone(move |app: &mut App, cx| {
                app.listeners.retain(|one| *one != ticket);
                gone(ticket)(app, cx);
            })
        })
        .build()
        .unwrap()
}

/// What a client asks, and what it has to get: status and body.
struct Ask {
    bytes: Vec<u8>,
    status: u16,
    body: Vec<u8>,
}

fn ask(rng: &mut Rng, most: usize) -> Ask {
    let n = rng.size(most);
    let plain = |path: &str, status, body: &[u8]| Ask {
        bytes: format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        status,
        body: body.to_vec(),
    };
    let sends = |path: &str, status, body: Vec<u8>| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n");
        Ask { bytes: [head.as_bytes(), &pattern(n)].concat(), status, body }
    };
    match rng.below(12) {
        0 => plain("/fixed", 200, b"the same"),
        1 => plain(&format!("/text/{n}"), 200, &pattern(n)),
        2 => plain("/later", 200, b"late"),
        3 => plain("/pool", 200, &pattern(5000)),
        4 => plain("/drop", 500, b"500 Internal Server Error\n"),
        5 => plain("/sent", 200, b"sent"),
        6 => plain("/stream", 200, b"somemoremoremore"),
        7 | 8 => plain(&format!("/pull/{n}"), 200, &pattern(n)),
        9 => sends("/post", 200, pattern(n)),
        10 => sends("/up", 200, format!("{n} came").into_bytes()),
        _ => plain("/none", 404, b"404 Not Found\n"),
    }
}

/// Takes an answer off `got`: status, what there is of the body, and whether that is all.
fn take(got: &[u8]) -> Option<(u16, Vec<u8>, Option<usize>)> {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(at) = head.parse(got).unwrap() else {
        return None;
    };
    let value = |name: &str| head.headers.iter().find(|field| field.name == name).map(|field| field.value);
    let status = head.code.unwrap();
    if let Some(length) = value("Content-Length") {
        let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
        let body = &got[at..got.len().min(at + length)];
        return Some((status, body.to_vec(), (body.len() == length).then_some(at + length)));
    }
    assert_eq!(value("Transfer-Encoding"), Some(&b"chunked"[..]));
    let (mut rest, mut body) = (&got[at..], Vec::new());
    loop {
        let Ok(httparse::Status::Complete((n, size))) = httparse::parse_chunk_size(rest) else {
            return Some((status, body, None));
        };
        let size = size as usize;
        body.extend(&rest[n..rest.len().min(n + size)]);
        if rest.len() < n + size + 2 {
            return Some((status, body, None));
        }
        assert_eq!(&rest[n + size..n + size + 2], b"\r\n");
        rest = &rest[n + size + 2..];
        if size == 0 {
            return Some((status, body, Some(got.len() - rest.len())));
        }
    }
}

/// A peer that pipelines its requests, or goes away before it has its answers.
struct Client {
    asks: Vec<Ask>,
    bytes: Vec<u8>,
    at: usize,
    answered: usize,
    got: Vec<u8>,
    peer: Option<SimPeer>,
    /// It goes away, by a reset or not, when so many bytes have come.
    leaves: Option<(usize, bool)>,
    /// The server has deadlines, and may say so instead of answering.
    hurried: bool,
    failed: bool,
}

impl Client {
    fn new(world: &World, at: &Endpoint, rng: &mut Rng, most: usize, hurried: bool) -> Self {
        let mut asks: Vec<Ask> = (0..rng.between(1, 6)).map(|_| ask(rng, most)).collect();
        let mut leaves = (rng.chance(400)).then(|| (rng.size(3 * most), rng.chance(500)));
        if rng.chance(300) {
            let bytes = b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
            asks.push(Ask { bytes, status: 200, body: b"data: hello\n\n".to_vec() });
            leaves = leaves.or(Some((usize::MAX, rng.chance(500))));
        }
        let bytes = asks.iter().flat_map(|ask| ask.bytes.clone()).collect();
        let peer = world.dial(at).ok();
        let failed = peer.is_none();
        Self { asks, bytes, at: 0, answered: 0, got: Vec::new(), peer, leaves, hurried, failed }
    }

    fn act(&mut self, rng: &mut Rng) -> bool {
        let Some(peer) = &mut self.peer else { return false };
        let rest = &self.bytes[self.at..];
        let sent = if rest.is_empty() { 0 } else { peer.write(&rest[..rng.size(rest.len())]) };
        self.at += sent;
        let fresh = peer.read_up_to(rng.size(20_000));
        let moved = sent > 0 || !fresh.is_empty();
        self.got.extend(fresh);
        self.failed |= peer.error().is_some();
        let over = self.failed || peer.is_eof();
        while let Some(ask) = self.asks.get(self.answered) {
            let Some((status, body, end)) = take(&self.got) else { break };
            if self.hurried && matches!(status, 408 | 503) {
                // The last word on this connection, whatever was asked.
                self.failed = true;
                break;
            }
            assert_eq!(status, ask.status, "{}", ask.bytes[..ask.bytes.len().min(40)].escape_ascii());
            let events = ask.bytes.starts_with(b"GET /events");
            assert!(ask.body.starts_with(&body) || events, "other bytes than those of the answer");
            if events && body.len() >= ask.body.len() {
                self.answered += 1;
                break;
            }
            let Some(end) = end else { break };
            assert_eq!(body.len(), ask.body.len(), "an answer is cut and looks whole");
            self.got.drain(..end);
            self.answered += 1;
        }
        let done = self.answered == self.asks.len();
        let leaves = self.leaves.is_some_and(|(bytes, _)| self.got.len() >= bytes || done);
        if over || leaves {
            let peer = self.peer.take();
            if let (Some(peer), Some((_, true)), false) = (peer, self.leaves, over) {
                peer.reset();
            }
            return true;
        }
        if done && peer.is_connected() && !peer.is_finished() {
            peer.shutdown_write();
            return true;
        }
        moved
    }
}

fn serve(seed: u64, faults: Faults, hostile: bool) {
    let mut rng = Rng::new(seed);
    let most = (faults.buffer_max * 8).clamp(50, 20_000);
    let world = World::with_faults(seed, faults);
    let mut config = Config::default();
    if rng.chance(500) {
        config.turn_bytes_max = rng.size(4096);
    }
    let mut side = Side::with_config(&world, config);
    let limits = if hostile { HttpConfig::default() } else { unhurried() };
    let key: Key<Http<App>> = side.reactor.add(server(limits));
    let reports = watch(&mut side.reactor, key);
    let at = [tcp(), unix()][seed as usize % 2].clone();
    side.reactor.listen(key, &at).unwrap();
    let mut clients: Vec<Client> =
        (0..rng.between(1, 4)).map(|_| Client::new(&world, &at, &mut rng, most, hostile)).collect();
    let mut rounds = 0u32;
    run(&world, &mut side, |side| {
        rounds += 1;
        if rounds.is_multiple_of(64) {
            // Who is gone without a word is found out by writing to them.
            side.reactor.with(key, |http, table| {
                http.in_task(table, |app, cx| {
                    for one in app.listeners.clone() {
                        cx.send_event(one, &Event::comment("still here"));
                    }
                });
            });
        }
        let moved = clients.iter_mut().filter_map(|client| client.act(&mut rng).then_some(())).count() > 0;
        (moved, clients.iter().all(|client| client.peer.is_none()))
    });
    check_reports(&side, &reports);
    for client in &clients {
        let left = client.leaves.is_some();
        assert!(hostile || left || client.answered == client.asks.len(), "an answer is missing");
        assert!(hostile || left || !client.failed);
    }
    side.reactor.with(key, |http, _| {
        let app = http.state();
        assert_eq!(app.sinks, 0, "a sink was neither ended nor told");
        assert!(app.listeners.is_empty(), "a listener is never told to be gone");
        for (ticket, times) in &app.gone {
            assert!(*times == 1 && app.begun.contains_key(ticket), "gone {times} times");
        }
    });
}

#[test]
fn every_answer_is_exact_under_all_benign_faults() {
    seeds("every_answer_is_exact_under_all_benign_faults", |seed| {
        serve(seed, Faults::benign().swarm(seed), false);
    });
}

#[test]
fn every_answer_is_exact_as_far_as_it_goes_under_hostile_faults() {
    seeds("every_answer_is_exact_as_far_as_it_goes_under_hostile_faults", |seed| {
        serve(seed, Faults::hostile().swarm(seed), true);
    });
}
