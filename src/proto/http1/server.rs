//! The HTTP/1.x server as a handler (RFC 9112): request heads in, answers out, in order, on kept connections.
//!
//! It owns framing, persistence, limits and deadlines; an [`App`] owns what is answered. Requests are parsed where
//! they lie in the receive buffer. Only a request that has to wait (for its body, or by a delay) is copied aside.
//! Parsing stops while an answer is being sent, so that pipelined requests wait in the kernel.

mod config;

pub use config::{App, BodyPlan, HttpConfig};

use std::time::Duration;

use super::body::BodyDecoder;
use super::encode::{CONTINUE, DateCache, HeadWriter, Persist, reason};
use super::fault::{self, Fault};
use super::head::{self, FieldStore, Framing, Head, Method, Progress, Status, Version};
use super::reply::{Outcome, Reply, Request, Rest, is_head};
use crate::reactor::buffer::BLOCK;
use crate::reactor::{Accepted, Ctx, Handler, Limits, Refuse, Time};

/// Room that an answer's head may count on.
const HEAD_ROOM: usize = 2048;

/// An HTTP server: the handler around an application.
#[derive(Debug)]
pub struct Http<A> {
    app: A,
    config: HttpConfig,
    date: DateCache,
}

impl<A: App> Http<A> {
    /// Serves `app` with the default bounds.
    pub fn new(app: A) -> Self {
        Self::with_config(app, HttpConfig::default())
    }

    /// Serves `app` with bounds of the caller's choice.
    pub fn with_config(app: A, mut config: HttpConfig) -> Self {
        // A head that fills the receive buffer could not be judged.
        config.head.head_bytes_max = config.head.head_bytes_max.min(BLOCK as u32 - 1);
        Self { app, config, date: DateCache::new(0) }
    }

    /// The application.
    pub const fn app(&mut self) -> &mut A {
        &mut self.app
    }
}

/// A request that has to wait, copied out of the receive buffer.
struct Held {
    head: Box<[u8]>,
    decoder: BodyDecoder,
    body: Vec<u8>,
    collect: bool,
    /// The answer is out already: the rest of the body is only skipped.
    answered: bool,
    received: u64,
    max: u64,
    began: Time,
}

/// The state of one connection.
#[derive(Default)]
pub struct Exchange {
    progress: Progress,
    /// The head's deadline is set.
    timed: bool,
    /// The connection ends after the answer that is being sent.
    closing: bool,
    /// More is known to come from the peer, which nobody will read: the end has to wait for it.
    lingers: bool,
    /// A file is being sent.
    sending: bool,
    held: Option<Box<Held>>,
    rest: Option<Box<Rest>>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("closing", &self.closing)
            .field("held", &self.held.is_some())
            .finish()
    }
}

/// Whether the next request can be looked at.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Wait,
}

impl<A: App> Http<A> {
    /// Looks at the next request in the buffer.
    fn next_request(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) -> Next {
        if ctx.rx.is_empty() || !ctx.tx.reserve(HEAD_ROOM) {
            return Next::Wait;
        }
        let mut store = FieldStore::new();
        let head = match head::parse(ctx.rx.bytes(), &self.config.head, &mut ex.progress, &mut store) {
            Ok(Status::Complete(head)) => head,
            Ok(Status::Partial) => {
                // An empty line behind the last request (RFC 9112 section 2.2) is no beginning of the next.
                if !ex.timed && !b"\r\n".starts_with(ctx.rx.bytes()) {
                    ex.timed = true;
                    ctx.set_deadline(self.config.head_timeout);
                }
                return Next::Wait;
            }
            Err(fault) => {
                let head_only = ctx.rx.starts_with(b"HEAD ");
                self.refuse(ctx, &fault, head_only);
                return Next::Wait;
            }
        };
        if ex.timed {
            ex.timed = false;
            ctx.table.set_deadline(ctx.id, None);
        }
        if !serves(&head.method) {
            let head_only = is_head(&head.method);
            self.refuse(ctx, &fault::NOT_IMPLEMENTED, head_only);
            return Next::Wait;
        }
        if head.framing != Framing::None || self.config.delay.is_some() {
            return self.begin_body(ex, ctx);
        }
        let (consumed, goes_on) = (head.consumed, head.keep_alive);
        let (outcome, keep) = self.answer(&head, &[], true, &mut ctx.tx, &ctx.table, ctx.id);
        ctx.rx.consume(consumed);
        // A client that did not ask for the end may have sent more by the time it reads of it.
        ex.lingers |= goes_on && !keep;
        settle(ex, ctx, outcome, keep)
    }

    /// Has the application answer. Whether the connection is kept.
    #[inline]
    fn answer(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        whole: bool,
        tx: &mut crate::reactor::Output<'_>,
        table: &crate::reactor::Table<'_, Self>,
        id: crate::reactor::ConnId,
    ) -> (Outcome, bool) {
        let unix_time = table.unix_time();
        if self.date.second() != unix_time {
            self.date.set(unix_time);
        }
        let keep = whole && head.keep_alive && !table.is_draining();
        let persist = match (keep, head.version) {
            (false, _) => Persist::Close,
            (true, Version::Http10) => Persist::KeepAlive,
            (true, Version::Http11) => Persist::Default,
        };
        let peer = table.peer(id).unwrap_or(crate::reactor::Peer::Unknown);
        let request = Request { head, body, peer, turn: table.turn(), unix_time };
        let head_only = is_head(&head.method);
        let mut reply = Reply { tx, date: &self.date, persist, head_only, outcome: Outcome::None };
        self.app.on_request(&request, &mut reply);
        if matches!(reply.outcome, Outcome::None) {
            reply.status(500);
        }
        (reply.outcome, keep)
    }

    /// A request with a body, or with a delay: it is copied aside unless its body is there already.
    #[cold]
    fn begin_body(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) -> Next {
        let mut store = FieldStore::new();
        let mut fresh = Progress::default();
        let Ok(Status::Complete(head)) =
            head::parse(ctx.rx.bytes(), &self.config.head, &mut fresh, &mut store)
        else {
            return Next::Wait;
        };
        let has_body = head.framing != Framing::None;
        let plan = if has_body { self.app.body_plan(&head) } else { BodyPlan::Skip };
        let max = match plan {
            BodyPlan::Collect(max) => max as u64,
            BodyPlan::Skip | BodyPlan::Refuse => self.config.body_bytes_max,
        };
        let too_large = matches!(head.framing, Framing::Length(n) if n > max);
        let (consumed, expects, framing) = (head.consumed, head.expect_continue, head.framing);
        let mut answered = false;
        if plan == BodyPlan::Refuse {
            // A client that waits for 100 may send the body or not: what follows could be either.
            let whole = !too_large && !expects;
            let (outcome, keep) = self.answer(&head, &[], whole, &mut ctx.tx, &ctx.table, ctx.id);
            if !whole || !keep {
                ctx.rx.consume(consumed);
                settle_lingering(ex, ctx, outcome);
                return Next::Wait;
            }
            answered = true;
            let _ = settle(ex, ctx, outcome, true);
        } else if too_large {
            let head_only = is_head(&head.method);
            self.refuse(ctx, &fault::BODY_TOO_LARGE, head_only);
            return Next::Wait;
        }
        let mut held = Held {
            head: ctx.rx.get(..consumed).unwrap_or_default().into(),
            decoder: BodyDecoder::new(framing),
            body: Vec::new(),
            collect: matches!(plan, BodyPlan::Collect(_)),
            answered,
            received: 0,
            max,
            began: ctx.now(),
        };
        ctx.rx.consume(consumed);
        if expects && !answered && ctx.rx.is_empty() {
            ctx.tx.write(CONTINUE);
        }
        if answered {
            held.head = Box::default();
        }
        ex.held = Some(Box::new(held));
        self.body_data(ex, ctx)
    }

    /// Bytes of a body have come, or none are needed.
    #[cold]
    fn body_data(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) -> Next {
        if ex.rest.is_some() || ex.sending {
            return Next::Wait;
        }
        let Some(held) = &mut ex.held else { return Next::Go };
        let held = &mut **held;
        let (collect, max, answered) = (held.collect, held.max, held.answered);
        let (body, received) = (&mut held.body, &mut held.received);
        let decoded = held.decoder.decode(ctx.rx.bytes(), |bytes| {
            *received += bytes.len() as u64;
            if collect && *received <= max {
                body.extend_from_slice(bytes);
            }
        });
        let progress = match decoded {
            Ok(_) if received.saturating_add(held.decoder.announced()) > max => Err(fault::BODY_TOO_LARGE),
            // What passed the bound came before what is malformed: the same answer for every cut.
            Err(_) if *received > max => Err(fault::BODY_TOO_LARGE),
            other => other,
        };
        match progress {
            Err(fault) if answered => {
                ex.held = None;
                ctx.close_as(fault.class);
                Next::Wait
            }
            Err(fault) => {
                let head_only = held.head.starts_with(b"HEAD ");
                ex.held = None;
                self.refuse(ctx, &fault, head_only);
                Next::Wait
            }
            Ok(progress) if !progress.done => {
                let wait = self.body_wait(held.began, held.received, ctx.now());
                ctx.rx.consume(progress.consumed);
                ctx.set_deadline(wait);
                Next::Wait
            }
            Ok(progress) => {
                ctx.rx.consume(progress.consumed);
                ctx.clear_deadline();
                self.body_done(ex, ctx)
            }
        }
    }

    /// How long the next byte of a body may take: the time without progress, and the least average rate.
    fn body_wait(&self, began: Time, received: u64, now: Time) -> Duration {
        let by_rate = match self.config.body_rate_min {
            0 => Duration::MAX,
            rate => {
                let earned = Duration::from_millis(received.saturating_mul(1000) / u64::from(rate));
                self.config.body_timeout.saturating_add(earned).saturating_sub(now - began)
            }
        };
        by_rate.min(self.config.body_timeout)
    }

    fn body_done(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) -> Next {
        if ex.held.as_ref().is_some_and(|held| held.answered) {
            ex.held = None;
            return Next::Go;
        }
        if let Some(delay) = self.config.delay {
            ctx.pause();
            ctx.set_timer(delay);
            return Next::Wait;
        }
        self.answer_held(ex, ctx)
    }

    /// Answers the request that was held; it is whole now.
    fn answer_held(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) -> Next {
        let Some(held) = ex.held.take() else { return Next::Go };
        let (mut store, mut fresh) = (FieldStore::new(), Progress::default());
        let Ok(Status::Complete(head)) = head::parse(&held.head, &self.config.head, &mut fresh, &mut store)
        else {
            ctx.abort();
            return Next::Wait;
        };
        let (outcome, keep) = self.answer(&head, &held.body, true, &mut ctx.tx, &ctx.table, ctx.id);
        ex.lingers |= head.keep_alive && !keep;
        settle(ex, ctx, outcome, keep)
    }

    /// Answers a fault, if there is room, and closes: where the next request would begin is not known.
    #[cold]
    fn refuse(&mut self, ctx: &mut Ctx<'_, Self>, fault: &Fault, head_only: bool) {
        self.date.set(ctx.unix_time());
        let text = format!(
            "{} {}\n{}: {}\n{}\n",
            fault.status,
            reason(fault.status),
            fault.class.name,
            fault.class.cause,
            fault.class.remedy
        );
        let mut head = HeadWriter::new(ctx.tx.spare(), fault.status, &self.date);
        head.field("Content-Type", b"text/plain; charset=utf-8").content_length(text.len() as u64);
        head.persist(Persist::Close);
        if let Ok(n) = head.finish() {
            ctx.tx.commit(n);
            if !head_only {
                ctx.tx.write(text.as_bytes());
            }
        }
        ctx.close_as(fault.class);
    }

    fn limit_answer(&mut self) -> Vec<u8> {
        const TEXT: &[u8] =
            b"503 Service Unavailable\ntcp.limit: the server is at its limit of connections.\n";
        let mut bytes = vec![0; 512];
        let mut head = HeadWriter::new(&mut bytes, 503, &self.date);
        head.field("Content-Type", b"text/plain; charset=utf-8").field("Retry-After", b"1");
        head.content_length(TEXT.len() as u64).persist(Persist::Close);
        let n = head.finish().unwrap_or(0);
        bytes.truncate(n);
        bytes.extend_from_slice(TEXT);
        bytes
    }
}

/// The outcome of an answer becomes the state of the connection.
#[inline]
fn settle<A: App>(ex: &mut Exchange, ctx: &mut Ctx<'_, Http<A>>, outcome: Outcome, keep: bool) -> Next {
    match outcome {
        Outcome::Sent | Outcome::None if keep => Next::Go,
        Outcome::Sent | Outcome::None => {
            if ex.lingers {
                ctx.close();
            } else {
                ctx.close_clean();
            }
            Next::Wait
        }
        Outcome::Rest(rest) => {
            ex.rest = Some(Box::new(rest));
            ex.closing = !keep;
            ctx.pause();
            Next::Wait
        }
        Outcome::File(file, range) => {
            ex.sending = true;
            ex.closing = !keep;
            ctx.pause();
            if ctx.send_file(file, range).is_err() {
                ctx.abort();
            }
            Next::Wait
        }
    }
}

/// As [`settle`], for an answer behind which unread bytes may come: always closed, always lingering.
fn settle_lingering<A: App>(ex: &mut Exchange, ctx: &mut Ctx<'_, Http<A>>, outcome: Outcome) {
    if matches!(outcome, Outcome::Sent | Outcome::None) {
        ctx.close();
    } else {
        ex.lingers = true;
        let _ = settle(ex, ctx, outcome, false);
    }
}

/// Methods that an origin server can serve: CONNECT asks for a tunnel, TRACE shows scripts what their browser hides
/// (RFC 9110 section 9.3.8), and nobody has registered a name in other than capital letters (section 9.1).
fn serves(method: &Method<'_>) -> bool {
    match method {
        Method::Connect | Method::Trace => false,
        Method::Other(name) => name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'),
        Method::Get | Method::Head | Method::Post | Method::Put => true,
        Method::Delete | Method::Options | Method::Patch => true,
    }
}

impl<A: App> Handler for Http<A> {
    type Conn = Exchange;

    fn limits(&self) -> Limits {
        self.config.connection.clone()
    }

    fn on_accept(&mut self, _from: Accepted<'_>) -> Result<Exchange, Refuse> {
        Ok(Exchange::default())
    }

    fn on_limit(&mut self, from: Accepted<'_>) -> Refuse {
        self.date.set(from.unix_time);
        Refuse::with(self.limit_answer())
    }

    fn on_data(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) {
        if ex.held.is_some() && self.body_data(ex, ctx) == Next::Wait {
            return;
        }
        while self.next_request(ex, ctx) == Next::Go {}
    }

    fn on_room(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) {
        if let Some(rest) = &mut ex.rest {
            let n = ctx.tx.write(rest.bytes());
            rest.advance(n);
            if !rest.bytes().is_empty() {
                return;
            }
            ex.rest = None;
        } else if !std::mem::take(&mut ex.sending) {
            return;
        }
        if !ex.closing {
            if let Some(held) = &mut ex.held {
                // While the answer went out nothing was read: the body's time begins now.
                held.began = ctx.now();
                ctx.set_deadline(self.config.body_timeout);
            }
            ctx.resume();
        } else if ex.lingers || ex.held.is_some() {
            ctx.close();
        } else {
            ctx.close_clean();
        }
    }

    fn on_eof(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) {
        if ex.held.as_ref().is_some_and(|held| !held.answered) {
            self.refuse(ctx, &fault::BODY_TRUNCATED, false);
        } else if b"\r\n".starts_with(&ctx.rx) {
            // Nothing, or the empty line that some clients send behind a body (RFC 9112 section 2.2).
            ctx.finish();
        } else {
            self.refuse(ctx, &fault::BAD_REQUEST_LINE, false);
        }
    }

    fn on_timer(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) {
        ctx.resume();
        if self.answer_held(ex, ctx) == Next::Go {
            while self.next_request(ex, ctx) == Next::Go {}
        }
    }

    fn on_deadline(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) {
        match &ex.held {
            Some(held) if held.answered => ctx.close_as(fault::BODY_TIMEOUT.class),
            Some(_) => self.refuse(ctx, &fault::BODY_TIMEOUT, false),
            None => self.refuse(ctx, &fault::HEAD_TIMEOUT, false),
        }
    }

    fn on_drain(&mut self, ex: &mut Exchange, ctx: &mut Ctx<'_, Self>) {
        let delayed = ex.held.as_ref().is_some_and(|held| held.decoder.is_done() && !held.answered);
        let waits = !ctx.rx.is_empty() && !ctx.tx.is_empty() && !ex.timed && ex.held.is_none();
        if ex.rest.is_some() || ex.sending {
            ex.closing = true;
        } else if !delayed && !waits {
            // What is there of a request is not whole: nobody will read more of it. But more of it is known to come,
            // and answered with a reset it would cost the peer the answers that are still on their way, if any.
            let half = !ctx.rx.is_empty() || ex.held.is_some();
            let answered = ctx.table.traffic(ctx.id).is_some_and(|(_, sent)| sent > 0);
            let n = ctx.rx.len();
            ctx.rx.consume(n);
            if (half && answered) || !ctx.tx.is_empty() {
                ctx.close();
            } else {
                ctx.close_clean();
            }
        }
    }
}

#[cfg(test)]
mod tests;
