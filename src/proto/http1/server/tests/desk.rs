//! An application whose answers take longer: what the tests of deferred answers, streams, sinks and upgrades talk to.

use std::time::Duration;

use super::rig::{S, Talk, each_of, pattern};
use crate::proto::http1::head::Head;
use crate::proto::http1::{
    App, BodyPlan, BodyWriter, Cx, Flow, Http, HttpConfig, Pull, Raw, RawIo, Reply, Request, Responder,
    Response, Sink, Source, StreamOptions, Ticket,
};
use crate::reactor::Report;
use crate::reactor::class::Class;

/// Answers by path.
#[derive(Default)]
pub(super) struct Desk {
    /// Everything that is told by callbacks.
    pub(super) heard: Vec<String>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) responders: Vec<Responder>,
    /// Requests asked, counting those that are asked again.
    pub(super) asked: usize,
    /// Bytes that sinks have taken.
    pub(super) taken: Vec<u8>,
}

/// Runs a script in each way.
pub(super) fn each(script: impl FnMut(&mut Talk<Desk>)) {
    each_of(|| Http::new(Desk::default()), script);
}

/// With a config.
pub(super) fn each_with(config: &HttpConfig, script: impl FnMut(&mut Talk<Desk>)) {
    each_of(|| Http::with_config(Desk::default(), config.clone()), script);
}

impl Talk<Desk> {
    pub(super) fn get(&mut self, path: &str) {
        self.say(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }

    pub(super) fn desk<T>(&mut self, f: impl FnOnce(&mut Desk, &mut Cx<'_, Desk>) -> T) -> T {
        let done = self.probe.with(|http, table| http.in_task(table, f));
        self.probe.advance(Duration::ZERO);
        done
    }

    pub(super) fn heard_by_desk(&mut self) -> Vec<String> {
        self.desk(|desk, _| std::mem::take(&mut desk.heard))
    }
}

impl App for Desk {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match head.path {
            b"/early" | b"/sink" | b"/park" | b"/auth" | b"/sinklater" => BodyPlan::Stream(1 << 20),
            b"/small" => BodyPlan::Stream(10),
            b"/unread" | b"/unreadlater" => BodyPlan::Refuse,
            _ => BodyPlan::Collect(1 << 20),
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, cx: &mut Cx<'_, Self>) {
        self.asked += 1;
        let path = std::str::from_utf8(request.head.path).unwrap();
        match path {
            "/timer" => {
                let ticket = reply.later();
                cx.call_later(S, move |_, cx| {
                    cx.respond(ticket, "late");
                });
            }
            "/now" => {
                let ticket = reply.later();
                assert!(cx.respond(ticket, "at once"));
            }
            "/responder" => {
                let ticket = reply.later();
                self.responders.push(cx.responder(ticket));
                reply.on_gone(|desk: &mut Self, _| desk.heard.push("gone".into()));
            }
            "/later" | "/unreadlater" => {
                self.tickets.push(reply.later());
                reply.on_gone(|desk: &mut Self, _| desk.heard.push("gone".into()));
            }
            "/work" | "/worktwice" => self.work(path, request, reply),
            "/loop" => reply.offload(|| ()),
            "/workpanic" => match reply.take_done::<()>() {
                None => reply.offload(|| panic!("work that panics, as it should")),
                Some(result) => reply.respond(format!("{result:?}")),
            },
            "/pieces" => reply.respond(Response::pieces((0..3000).map(|n| format!("{n},").into_bytes()))),
            "/pull" => reply.pull(Response::new(200), None, Box::new(Count { left: 20_000, waits: false })),
            "/length" => reply.pull(Response::new(200), Some(50), Box::new(Count { left: 10, waits: false })),
            "/short" => reply.pull(Response::new(200), Some(51), Box::new(Count { left: 10, waits: false })),
            "/endless" => {
                reply.pull(Response::new(200), Some(50), Box::new(Count { left: 1 << 40, waits: false }))
            }
            "/wait" => {
                self.tickets.push(reply.ticket());
                reply.pull(Response::new(200), None, Box::new(Count { left: 2, waits: true }));
            }
            "/abort" => reply.pull(Response::new(200), None, Box::new(Broken)),
            "/push" | "/events" => self.push(path, reply, cx),
            "/upgrade" => reply.upgrade(&[("Upgrade", b"mirror")], Box::new(Mirror)),
            "/sink" | "/park" | "/early" | "/small" | "/sinklater" => {
                self.tickets.push(reply.ticket());
                let mode = path.to_owned();
                reply.sink(Box::new(Taker { mode, left: 0 }));
            }
            "/auth" => match reply.take_done::<bool>() {
                None => reply.offload(|| true),
                Some(result) => {
                    assert_eq!(result, Ok(true));
                    reply.sink(Box::new(Taker { mode: path.to_owned(), left: 0 }));
                }
            },
            "/hints" => {
                let sent = reply.interim(103, &[("Link", b"</a>")]);
                assert!(
                    !reply.interim(200, &[])
                        && !reply.interim(101, &[])
                        && !reply.interim(103, &[("A B", b"")])
                );
                reply.respond(format!("{sent}"));
                assert!(!reply.interim(103, &[]));
            }
            "/big" => reply.respond(Response::bytes(pattern(200_000))),
            _ => {
                let text = format!("{path} {}", request.body.escape_ascii());
                reply.send(200, &[], text.as_bytes());
            }
        }
    }
}

impl Desk {
    fn work(&mut self, path: &str, request: &Request<'_>, reply: &mut Reply<'_, Self>) {
        let body = request.body.to_vec();
        match reply.take_done::<String>() {
            None => match reply.take_done::<u32>() {
                None if path == "/worktwice" => reply.offload(|| 7_u32),
                first => reply.offload(move || format!("{first:?} {}", body.escape_ascii())),
            },
            Some(Ok(text)) => reply.respond(format!("{text} {}", request.body.escape_ascii())),
            Some(Err(e)) => reply.respond((503, format!("{e:?}"))),
        }
    }

    fn push(&mut self, path: &str, reply: &mut Reply<'_, Self>, cx: &mut Cx<'_, Self>) {
        let ticket = reply.ticket();
        self.tickets.push(ticket);
        let options = if path == "/events" { StreamOptions::EVENTS } else { StreamOptions::default() };
        if reply.push(Response::bytes(&b"first,"[..]), options) {
            assert_eq!(cx.write(ticket, b"second,"), Some(7));
        }
        reply.on_gone(|desk: &mut Self, _| desk.heard.push("gone".into()));
    }
}

/// Five bytes at a time.
struct Count {
    left: u64,
    waits: bool,
}

impl Source<Desk> for Count {
    fn pull(&mut self, _: &mut Desk, body: &mut BodyWriter<'_>, _: &mut Cx<'_, Desk>) -> Pull {
        while self.left > 0 {
            if !body.write_whole(b"abcd\n") {
                return Pull::More;
            }
            self.left -= 1;
            if self.waits {
                return Pull::Wait;
            }
        }
        Pull::End
    }
}

struct Broken;

impl Source<Desk> for Broken {
    fn pull(&mut self, _: &mut Desk, body: &mut BodyWriter<'_>, _: &mut Cx<'_, Desk>) -> Pull {
        body.write(b"half of it");
        Pull::Abort
    }
}

struct Mirror;

impl Raw<Desk> for Mirror {
    fn on_open(&mut self, desk: &mut Desk, io: &mut RawIo<'_, Desk>) {
        desk.heard.push("open".into());
        io.tx.write(b"hello ");
    }

    fn on_data(&mut self, _: &mut Desk, io: &mut RawIo<'_, Desk>) {
        io.tx.take_from(&mut io.rx);
    }

    fn on_close(self: Box<Self>, desk: &mut Desk, report: &Report, _: &mut Cx<'_, Desk>) {
        desk.heard.push(format!("closed {}", report.reason.name()));
    }
}

struct Taker {
    mode: String,
    left: usize,
}

impl Sink<Desk> for Taker {
    fn on_data(&mut self, desk: &mut Desk, bytes: &[u8], cx: &mut Cx<'_, Desk>) -> Flow {
        desk.taken.extend_from_slice(bytes);
        self.left += bytes.len();
        match self.mode.as_str() {
            "/early" if self.left >= 3 => {
                cx.respond(cx.ticket(), (403, "enough"));
            }
            "/park" => return Flow::Wait,
            _ => {}
        }
        Flow::Go
    }

    fn on_end(self: Box<Self>, desk: &mut Desk, reply: &mut Reply<'_, Desk>, _: &mut Cx<'_, Desk>) {
        desk.heard.push("end".into());
        if self.mode == "/sinklater" {
            desk.tickets.push(reply.later());
            return;
        }
        reply.respond(format!("took {}", self.left));
    }

    fn on_gone(self: Box<Self>, desk: &mut Desk, class: Option<&'static Class>, _: &mut Cx<'_, Desk>) {
        desk.heard.push(format!("sink gone {}", class.map_or("-", |c| c.name)));
    }
}
