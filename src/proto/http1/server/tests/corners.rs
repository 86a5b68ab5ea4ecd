//! What an application may do that few do: sinks without a body, that wake themselves or ask a thread, odd sources, late upgrades.

use std::time::Duration;

use super::rig::{S, Talk, Way, each_of, pattern};
use crate::proto::http1::head::Head;
use crate::proto::http1::{
    App, BodyPlan, BodyWriter, Cx, Flow, Http, HttpConfig, Pull, Raw, RawIo, Reply, Request, Response, Sink,
    Source,
};

/// Answers by path.
#[derive(Default)]
struct Odd {
    taken: Vec<u8>,
    ready: bool,
}

fn each(script: impl FnMut(&mut Talk<Odd>)) {
    each_of(|| Http::new(Odd::default()), script);
}

impl App for Odd {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match head.path {
            b"/collected" => BodyPlan::Collect(100),
            b"/refused" => BodyPlan::Refuse,
            _ => BodyPlan::Stream(1 << 20),
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, cx: &mut Cx<'_, Self>) {
        match request.head.path {
            b"/sink" | b"/collected" => reply.sink(Box::new(Waker)),
            b"/store" => match reply.take_done::<usize>() {
                None => reply.sink(Box::new(Store)),
                Some(stored) => reply.respond(format!("stored {stored:?}")),
            },
            b"/early" => reply.sink(Box::new(Early)),
            b"/again" => reply.sink(Box::new(Store)),
            b"/asked" => match reply.take_done::<()>() {
                None => reply.offload(|| ()),
                Some(_) => reply.sink(Box::new(Waker)),
            },
            b"/steps" => reply.pull(Response::new(200), Some(200_000), Box::new(Steps(200))),
            b"/restless" => {
                cx.post(|odd, _| odd.ready = true);
                reply.pull(Response::new(200), None, Box::new(Restless(0)));
            }
            b"/nothing" => reply.respond(Response::pieces([b"text".to_vec()]).with_status(204)),
            b"/upgrade" => match reply.take_done::<()>() {
                None => reply.offload(|| ()),
                Some(_) => reply.upgrade(&[("Upgrade", b"patient")], Box::new(Patient)),
            },
            b"/big" => reply.respond(Response::bytes(pattern(200_000))),
            _ => reply.status(200),
        }
    }
}

/// Wakes itself at every piece.
struct Waker;

impl Sink<Odd> for Waker {
    fn on_data(&mut self, odd: &mut Odd, bytes: &[u8], cx: &mut Cx<'_, Odd>) -> Flow {
        odd.taken.extend_from_slice(bytes);
        cx.wake(cx.ticket());
        Flow::Go
    }

    fn on_end(self: Box<Self>, odd: &mut Odd, reply: &mut Reply<'_, Odd>, _: &mut Cx<'_, Odd>) {
        reply.respond(format!("took {}", odd.taken.len()));
    }
}

/// Answers at the first piece.
struct Early;

impl Sink<Odd> for Early {
    fn on_data(&mut self, _: &mut Odd, _: &[u8], cx: &mut Cx<'_, Odd>) -> Flow {
        cx.respond(cx.ticket(), (403, "enough"));
        Flow::Go
    }

    fn on_end(self: Box<Self>, _: &mut Odd, reply: &mut Reply<'_, Odd>, _: &mut Cx<'_, Odd>) {
        reply.status(200);
    }
}

/// Has a thread work when the body is whole.
struct Store;

impl Sink<Odd> for Store {
    fn on_data(&mut self, odd: &mut Odd, bytes: &[u8], _: &mut Cx<'_, Odd>) -> Flow {
        odd.taken.extend_from_slice(bytes);
        Flow::Go
    }

    fn on_end(self: Box<Self>, odd: &mut Odd, reply: &mut Reply<'_, Odd>, _: &mut Cx<'_, Odd>) {
        let taken = odd.taken.len();
        reply.offload(move || taken);
    }
}

/// A thousand bytes at each call.
struct Steps(usize);

impl Source<Odd> for Steps {
    fn pull(&mut self, _: &mut Odd, body: &mut BodyWriter<'_>, _: &mut Cx<'_, Odd>) -> Pull {
        if self.0 == 0 {
            return Pull::End;
        }
        if body.room() >= 1000 {
            body.write(&pattern(1000));
            self.0 -= 1;
        }
        Pull::More
    }
}

/// Wakes itself until a task has done its part, or it has lost patience.
struct Restless(u32);

impl Source<Odd> for Restless {
    fn pull(&mut self, odd: &mut Odd, body: &mut BodyWriter<'_>, cx: &mut Cx<'_, Odd>) -> Pull {
        self.0 += 1;
        if odd.ready || self.0 > 50_000 {
            body.write(if odd.ready { b"ready" } else { b"never" });
            return Pull::End;
        }
        cx.wake(cx.ticket());
        Pull::Wait
    }
}

/// Stays until it is told that the server drains.
struct Patient;

impl Raw<Odd> for Patient {
    fn on_data(&mut self, _: &mut Odd, _: &mut RawIo<'_, Odd>) {}

    fn on_drain(&mut self, _: &mut Odd, io: &mut RawIo<'_, Odd>) {
        io.close();
    }
}

#[test]
fn a_sink_for_a_request_without_a_body_is_ended_at_once() {
    for ask in [
        &b"GET /sink HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /asked HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"GET /asked HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /collected HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        each(|talk| {
            talk.say(ask);
            talk.probe.advance(S / 10);
            let answers = talk.heard(&["GET"]);
            assert_eq!(answers[0].text(), "took 0", "{}", ask.escape_ascii());
        });
    }
}

#[test]
fn a_sink_may_ask_a_thread_at_its_end_and_the_application_answers() {
    for ask in [
        &b"POST /store HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"[..],
        b"POST /store HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        each(|talk| {
            talk.say(ask);
            talk.probe.advance(S / 10);
            let answer = talk.one();
            assert_eq!((answer.text(), answer.closes()), ("stored Ok(3)", false));
        });
    }
    each(|talk| {
        talk.say(b"POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        talk.probe.advance(S / 10);
        assert_eq!(talk.one().status, 500, "asked for a thread without end");
    });
    each(|talk| {
        talk.say(b"GET /store HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.advance(S / 10);
        assert_eq!(talk.one().text(), "stored Ok(0)");
        talk.say(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.advance(S / 10);
        assert_eq!(talk.one().status, 500, "asked for a thread without end");
    });
}

#[test]
fn an_early_answer_counts_though_the_rest_is_malformed_or_too_large() {
    for body in [&b"3\r\nabcX"[..], b"1\r\na\r\nfffffff\r\n", b"3\r\nabc\r\nzz"] {
        each(|talk| {
            let head = b"POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            talk.say(&[head, body].concat());
            let answer = talk.one();
            assert_eq!((answer.status, answer.closes()), (403, true), "{}", body.escape_ascii());
            assert_eq!(talk.ended(), "finished");
        });
    }
}

#[test]
fn a_sink_that_wakes_itself_loses_nothing() {
    each(|talk| {
        talk.say(b"POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        talk.probe.advance(S / 10);
        assert_eq!(talk.one().text(), "took 5");
    });
}

#[test]
fn a_source_that_gives_one_item_a_call_is_asked_until_it_ends() {
    each(|talk| {
        talk.say(b"GET /steps HTTP/1.1\r\nHost: a\r\n\r\n");
        for _ in 0..400 {
            talk.probe.advance(Duration::from_millis(10));
        }
        assert_eq!(talk.one().body.len(), 200_000);
    });
}

#[test]
fn a_source_that_wakes_itself_leaves_the_loop_to_others() {
    each(|talk| {
        talk.say(b"GET /restless HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.probe.advance(S / 10);
        assert_eq!(talk.one().text(), "ready");
    });
}

#[test]
fn a_source_goes_on_when_a_slow_reader_makes_room() {
    let mut probe = crate::reactor::testing::Probe::new(Http::new(Odd::default()));
    probe.accept();
    probe.set_room(0);
    probe.recv(b"GET /steps HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut got = 0;
    for _ in 0..4000 {
        probe.set_room(700);
        got += probe.sent().len();
        probe.advance(Duration::from_millis(10));
    }
    assert!(got > 200_000, "{got}");
}

#[test]
fn an_answer_that_has_no_body_says_nothing_of_one() {
    each(|talk| {
        talk.say(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = talk.one();
        assert_eq!((answer.field("transfer-encoding"), answer.field("content-length")), (None, None));
    });
}

#[test]
fn an_upgrade_in_a_drain_is_told_of_it() {
    let config = HttpConfig { delay: Some(S), ..HttpConfig::default() };
    each_of(
        || Http::with_config(Odd::default(), config.clone()),
        |talk| {
            talk.say(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: patient\r\n\r\n");
            talk.probe.reactor().handle().stop(20 * S);
            talk.probe.advance(2 * S);
            assert!(talk.until_end().starts_with(b"HTTP/1.1 101 "));
        },
    );
}

#[test]
fn pipelined_requests_before_a_fin_are_all_answered() {
    each(|talk| {
        if talk.way != Way::Whole {
            return;
        }
        talk.probe.set_room(0);
        let asks = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1500);
        let mut at = talk.probe.recv(&asks);
        while at < asks.len() {
            talk.probe.set_room(1000);
            let n = talk.probe.recv(&asks[at..]);
            at += n;
            talk.probe.advance(Duration::from_millis(1));
            let _ = n;
        }
        talk.probe.eof();
        for _ in 0..4000 {
            talk.probe.set_room(1000);
            talk.probe.advance(Duration::from_millis(1));
        }
        let bytes = talk.raw();
        let n = bytes.windows(12).filter(|w| *w == b"HTTP/1.1 200").count();
        assert_eq!(n, 1500);
    });
}

#[test]
fn an_early_answer_is_the_only_one_when_the_body_is_cut() {
    each(|talk| {
        talk.say(b"POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5");
        assert_eq!(talk.one().status, 200);
        talk.probe.eof();
        talk.probe.advance(S / 10);
        assert_eq!(talk.raw(), b"");
        assert!(talk.probe.closed().is_some());
    });
}
