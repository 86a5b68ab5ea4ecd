//! Requests: their heads, and their bodies, skipped, collected or handed to a sink.

use super::super::fault;
use super::super::head::{self, FieldStore, Form, Framing, Head, Method, Progress, Status};
use super::super::reply::{Given, Reply, Request, is_head};
use super::exchange::{Asked, Done, Exchange, Held, Outgoing, Ticket};
use super::record::Times;
use super::{BodyPlan, Cx, Flow, Http};
use crate::proto::http1::encode::CONTINUE;
use crate::reactor::{ConnId, Ctx, Output, Peer, Table};

/// Room that an answer's head may count on.
const HEAD_ROOM: usize = 2048;

/// Whether the next request can be looked at.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Wait,
}

impl<S: 'static> Http<S> {
    /// Takes what there is: the body that is under way, then one request after the other.
    #[inline]
    pub(super) fn receive(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if ex.job.is_some() && self.body_data(ex, ctx) == Next::Wait {
            return;
        }
        while self.next_request(ex, ctx) == Next::Go {}
    }

    /// Looks at the next request in the buffer.
    fn next_request(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) -> Next {
        if ctx.rx.is_empty() || !ctx.tx.reserve(HEAD_ROOM) {
            return Next::Wait;
        }
        let mut store = FieldStore::new();
        let config = &self.shared.config;
        let head = match head::parse(ctx.rx.bytes(), &config.head, &mut ex.progress, &mut store) {
            Ok(Status::Complete(head)) => head,
            Ok(Status::Partial) => {
                self.partial(ex, ctx);
                return Next::Wait;
            }
            Err(fault) => {
                let head_only = ctx.rx.starts_with(b"HEAD ");
                self.refuse(ex, ctx, &fault, head_only);
                return Next::Wait;
            }
        };
        if ex.timed {
            ex.timed = false;
            ctx.table.set_deadline(ctx.id, None);
        } else {
            ex.began = ctx.table.now();
        }
        if !std::mem::take(&mut ex.lined) {
            ex.line = ctx.table.now();
        }
        if let Some(fault) = self.declines(&head) {
            let head_only = is_head(&head.method);
            self.refuse(ex, ctx, fault, head_only);
            return Next::Wait;
        }
        ex.nth = ex.nth.wrapping_add(1);
        if head.framing != Framing::None || self.shared.config.delay.is_some() {
            return self.begin_body(ex, ctx);
        }
        let asked = Asked::of(&head);
        let now = ctx.table.now();
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        let mut given =
            self.ask(&head, Some(&[]), true, None, ctx.tx.reborrow(), ctx.table.reborrow(), ticket);
        if given.has_sink() {
            given = self.end_sink(asked, given, ctx.tx.reborrow(), ctx.table.reborrow(), ticket);
        }
        // A client that did not ask for the end may have sent more by the time it reads of it.
        ex.lingers |= asked.keep_alive && !given.keep;
        let consumed = head.consumed;
        if given.is_whole() && self.shared.log.is_none() {
            ctx.rx.consume(consumed);
            return self.settle_whole(ex, ctx, given.keep);
        }
        let times = Times { began: ex.began, line: ex.line, head: now, body: None, answered: None };
        if given.is_whole() {
            let (status, length) = (given.status, given.length);
            self.record_now(ex.nth, Some(&head), times, (status, 0, length), &ctx.table, ctx.id);
            ctx.rx.consume(consumed);
            return self.settle_whole(ex, ctx, given.keep);
        }
        let bytes = ctx.rx.get(..consumed).unwrap_or_default();
        if given.has_work() {
            ex.job().held = Some(Held::new(bytes, Framing::None, 0, now));
        }
        if self.shared.log.is_some() {
            ex.job().trace =
                Some(Box::new(super::exchange::Trace { head: bytes.into(), times, ..Default::default() }));
        }
        ctx.rx.consume(consumed);
        self.settle(ex, ctx, asked, given)
    }

    /// Why a good head is not answered by anybody: what it asks for cannot be had here.
    #[inline]
    fn declines(&self, head: &Head<'_>) -> Option<&'static fault::Fault> {
        if !serves(&head.method) {
            return Some(&fault::NOT_IMPLEMENTED);
        }
        let secured = self.shared.config.https_targets;
        (head.form == Form::Absolute && !secured && is_https(head.target)).then_some(&fault::MISDIRECTED)
    }

    /// A head has begun: its time runs.
    fn partial(&self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        // An empty line behind the last request (RFC 9112 section 2.2) is no beginning of the next.
        if !ex.timed && !b"\r\n".starts_with(ctx.rx.bytes()) {
            ex.timed = true;
            ex.began = ctx.now();
            ctx.set_deadline(self.shared.config.head_timeout);
        }
        if !ex.lined && ex.progress.has_line() {
            (ex.lined, ex.line) = (true, ctx.now());
        }
    }

    /// Has the application answer; without a body if it has not been read.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the parts of a callback, which are borrowed singly")]
    pub(super) fn ask(
        &mut self,
        head: &Head<'_>,
        body: Option<&[u8]>,
        whole: bool,
        done: Option<Done>,
        tx: Output<'_>,
        table: Table<'_, Self>,
        ticket: Ticket,
    ) -> Given<S> {
        let peer = table.peer(ticket.id).unwrap_or(Peer::Unknown);
        let mut asked = Asked::of(head);
        // What has not been read yet would be taken for the other protocol's.
        asked.upgrades &= body.is_some();
        let body = body.unwrap_or_default();
        let request = Request { head, body, peer, turn: table.turn(), unix_time: table.unix_time() };
        self.with_reply(asked, whole, done, tx, table, ticket, |service, state, reply, cx| {
            service.on_request(state, &request, reply, cx);
        })
    }

    /// Has `f` answer; nothing said is a 500.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the parts of a callback, which are borrowed singly")]
    pub(super) fn with_reply(
        &mut self,
        asked: Asked,
        whole: bool,
        done: Option<Done>,
        tx: Output<'_>,
        table: Table<'_, Self>,
        ticket: Ticket,
        f: impl FnOnce(&mut dyn super::Service<S>, &mut S, &mut Reply<'_, S>, &mut Cx<'_, S>),
    ) -> Given<S> {
        let unix_time = table.unix_time();
        if self.date.second() != unix_time {
            self.date.set(unix_time);
        }
        let keep = whole && asked.keep_alive && !table.is_draining();
        let mut reply = Reply { tx, date: &self.date, asked, ticket, given: Given::new(keep, done) };
        let mut cx = Cx { table, shared: &mut self.shared, ticket };
        f(&mut *self.service, &mut self.state, &mut reply, &mut cx);
        if !reply.is_answered() {
            reply.status(500);
        }
        reply.given
    }

    /// A request with a body, or with a delay: it is copied aside.
    #[cold]
    fn begin_body(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) -> Next {
        let mut store = FieldStore::new();
        let mut fresh = Progress::default();
        let Ok(Status::Complete(head)) =
            head::parse(ctx.rx.bytes(), &self.shared.config.head, &mut fresh, &mut store)
        else {
            return Next::Wait;
        };
        let has_body = head.framing != Framing::None;
        let plan = if has_body { self.service.body_plan(&mut self.state, &head) } else { BodyPlan::Skip };
        let max = match plan {
            BodyPlan::Collect(max) => max as u64,
            BodyPlan::Stream(max) => max,
            BodyPlan::Skip | BodyPlan::Refuse => self.shared.config.body_bytes_max,
        };
        let too_large = matches!(head.framing, Framing::Length(n) if n > max);
        let asked = Asked::of(&head);
        let at_once = matches!(plan, BodyPlan::Refuse | BodyPlan::Stream(_));
        if too_large && plan != BodyPlan::Refuse {
            // The log counts a request that is refused at its head by itself.
            ex.nth = ex.nth.wrapping_sub(1);
            self.refuse(ex, ctx, &fault::BODY_TOO_LARGE, asked.head_only);
            return Next::Wait;
        }
        let (consumed, expects) = (head.consumed, head.expect_continue);
        let now = ctx.table.now();
        let mut held = Held::new(ctx.rx.get(..consumed).unwrap_or_default(), head.framing, max, now);
        held.collect = matches!(plan, BodyPlan::Collect(_));
        held.expects = expects;
        let streams = matches!(plan, BodyPlan::Stream(_));
        held.streams = streams;
        let job = ex.job();
        (job.asked, job.held) = (asked, Some(held));
        if self.shared.log.is_some() {
            let bytes = ctx.rx.get(..consumed).unwrap_or_default();
            let times = Times { began: ex.began, line: ex.line, head: now, body: None, answered: None };
            let trace = super::exchange::Trace { head: bytes.into(), times, ..Default::default() };
            ex.job().trace = Some(Box::new(trace));
        }
        ctx.rx.consume(consumed);
        if !at_once {
            say_continue(ctx, expects);
            return self.body_data(ex, ctx);
        }
        self.ask_at_head(ex, ctx, None, streams)
    }

    /// Asks for the answer of a request whose body has not been read.
    pub(super) fn ask_at_head(
        &mut self,
        ex: &mut Exchange<S>,
        ctx: &mut Ctx<'_, Self>,
        done: Option<Done>,
        streams: bool,
    ) -> Next {
        let Some(held) = ex.held() else { return Next::Go };
        let bytes = std::mem::take(&mut held.head);
        // A client that waits for 100 may send the body or not: what follows could be either.
        let too_large = held.decoder.announced() > held.max;
        let whole = !too_large && !held.expects;
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        let (mut store, mut fresh) = (FieldStore::new(), Progress::default());
        let Ok(Status::Complete(head)) =
            head::parse(&bytes, &self.shared.config.head, &mut fresh, &mut store)
        else {
            ctx.abort();
            return Next::Wait;
        };
        let asked = Asked::of(&head);
        let mut given = self.ask(&head, None, whole, done, ctx.tx.reborrow(), ctx.table.reborrow(), ticket);
        let Some(held) = ex.held() else { return Next::Go };
        held.head = bytes;
        if let Some(sink) = given.take_sink() {
            if streams {
                held.sink = Some(sink);
                held.began = ctx.table.now();
                say_continue(ctx, held.expects);
                ex.job().gone = given.take_gone();
                return self.body_data(ex, ctx);
            }
            log::error!("a sink was given for a request whose body is not streamed");
            given = self.plain_status(asked, whole, 500, ctx, ticket);
        }
        if !given.has_work()
            && !matches!(given.outgoing, Outgoing::Later)
            && let Some(held) = ex.held()
        {
            held.answered = true;
        }
        if !whole || !given.keep {
            ex.lingers = true;
            given.keep = false;
        }
        self.settle(ex, ctx, asked, given)
    }

    /// Bytes of a body have come, or none are needed.
    #[cold]
    pub(super) fn body_data(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) -> Next {
        if ex.is_busy() {
            return Next::Wait;
        }
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        let Some(job) = &mut ex.job else { return Next::Go };
        let Some(held) = &mut job.held else {
            ex.job = None;
            return Next::Go;
        };
        if held.parked {
            return Next::Wait;
        }
        let before = held.received;
        let decoded = self.decode(held, ctx, ticket);
        let now = ctx.now();
        if let Some(trace) = &mut job.trace {
            trace.bytes_in += held.received - before;
        }
        match decoded {
            // Its sink has answered in this very call: what it was given counts, however the bytes came.
            Err(_) if held.sink.is_some() && self.shared.is_answered(ticket) => {
                ctx.rx.consume(usize::MAX);
                Next::Wait
            }
            Err(fault) if held.answered => {
                ex.job = None;
                ctx.close_as(fault.class);
                Next::Wait
            }
            Err(fault) => {
                let head_only = held.head.starts_with(b"HEAD ");
                self.refuse(ex, ctx, &fault, head_only);
                Next::Wait
            }
            Ok(progress) if !progress.done => {
                ctx.rx.consume(progress.consumed);
                if held.parked {
                    ctx.clear_deadline();
                    ctx.pause();
                } else {
                    let wait = held.wait(&self.shared.config, now);
                    ctx.set_deadline(wait);
                }
                Next::Wait
            }
            Ok(progress) => {
                if let Some(trace) = job.trace.as_mut().filter(|_| !held.answered) {
                    trace.times.body = Some(now);
                }
                ctx.rx.consume(progress.consumed);
                ctx.clear_deadline();
                self.body_done(ex, ctx)
            }
        }
    }

    /// Decodes what is there and passes it on, judged by its bound.
    fn decode(
        &mut self,
        held: &mut Held<S>,
        ctx: &mut Ctx<'_, Self>,
        ticket: Ticket,
    ) -> Result<super::super::body::Progress, fault::Fault> {
        let (collect, max) = (held.collect, held.max);
        let (body, received, sink) = (&mut held.body, &mut held.received, &mut held.sink);
        let (state, shared, parked) = (&mut self.state, &mut self.shared, &mut held.parked);
        let table = &mut ctx.table;
        let decoded = held.decoder.decode(ctx.rx.bytes(), |bytes| {
            *received += bytes.len() as u64;
            if *received > max {
            } else if collect {
                body.extend_from_slice(bytes);
            } else if let Some(sink) = sink.as_mut().filter(|_| !shared.is_answered(ticket)) {
                let mut cx = Cx { table: table.reborrow(), shared, ticket };
                *parked |= sink.on_data(state, bytes, &mut cx) == Flow::Wait;
            }
        });
        match decoded {
            Ok(_) if held.received.saturating_add(held.decoder.announced()) > max => {
                Err(fault::BODY_TOO_LARGE)
            }
            // What passed the bound came before what is malformed: the same answer for every cut.
            Err(_) if held.received > max => Err(fault::BODY_TOO_LARGE),
            other => other,
        }
    }

    fn body_done(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) -> Next {
        if ex.held().is_some_and(|held| held.answered) {
            ex.job = None;
            return Next::Go;
        }
        // The sink has answered early by its ticket, or is about to be asked.
        if self.shared.is_answered(Ticket { id: ctx.id, nth: ex.nth }) && ex.job().has_sink() {
            return Next::Wait;
        }
        if let Some(delay) = self.shared.config.delay {
            ctx.pause();
            ctx.set_timer(delay);
            return Next::Wait;
        }
        self.answer_held(ex, ctx, None)
    }

    /// Answers the request that was held; it is whole now.
    pub(super) fn answer_held(
        &mut self,
        ex: &mut Exchange<S>,
        ctx: &mut Ctx<'_, Self>,
        done: Option<Done>,
    ) -> Next {
        let Some(mut held) = ex.job.as_mut().and_then(|job| job.held.take()) else { return Next::Go };
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        let (mut store, mut fresh) = (FieldStore::new(), Progress::default());
        let Ok(Status::Complete(head)) =
            head::parse(&held.head, &self.shared.config.head, &mut fresh, &mut store)
        else {
            ctx.abort();
            return Next::Wait;
        };
        let asked = Asked::of(&head);
        let mut given = if let Some(sink) = held.sink.take() {
            let (tx, table) = (ctx.tx.reborrow(), ctx.table.reborrow());
            self.with_reply(asked, true, None, tx, table, ticket, |_, state, reply, cx| {
                sink.on_end(state, reply, cx);
            })
        } else {
            self.ask(&head, Some(&held.body), true, done, ctx.tx.reborrow(), ctx.table.reborrow(), ticket)
        };
        if given.has_sink() {
            given = self.end_sink(asked, given, ctx.tx.reborrow(), ctx.table.reborrow(), ticket);
        }
        ex.lingers |= asked.keep_alive && !given.keep;
        if given.has_work() {
            ex.job().held = Some(held);
        }
        self.settle(ex, ctx, asked, given)
    }

    /// A sink was given for a body that is over, or is none: it is ended at once.
    #[cold]
    fn end_sink(
        &mut self,
        asked: Asked,
        mut given: Given<S>,
        mut tx: Output<'_>,
        mut table: Table<'_, Self>,
        ticket: Ticket,
    ) -> Given<S> {
        let (sink, gone) = (given.take_sink(), given.take_gone());
        let (now, then) = (tx.reborrow(), table.reborrow());
        let mut given = self.with_reply(asked, true, None, now, then, ticket, |_, state, reply, cx| {
            if let Some(sink) = sink {
                sink.on_end(state, reply, cx);
            }
        });
        if given.has_sink() {
            log::error!("a sink answered with a sink");
            given = self.with_reply(asked, true, None, tx, table, ticket, |_, _, reply, _| reply.status(500));
        }
        if let Some(gone) = gone {
            given.rare().gone.get_or_insert(gone);
        }
        given
    }

    /// A bare status, where the application's own answer cannot be used.
    pub(super) fn plain_status(
        &mut self,
        asked: Asked,
        whole: bool,
        status: u16,
        ctx: &mut Ctx<'_, Self>,
        ticket: Ticket,
    ) -> Given<S> {
        let (tx, table) = (ctx.tx.reborrow(), ctx.table.reborrow());
        self.with_reply(asked, whole, None, tx, table, ticket, |_, _, reply, _| reply.status(status))
    }
}

/// Tells a client that waits for it to send its body, unless it has begun (RFC 9110 section 10.1.1), or there is no room.
fn say_continue<S: 'static>(ctx: &mut Ctx<'_, Http<S>>, expects: bool) {
    if expects && ctx.rx.is_empty() && ctx.tx.room() >= CONTINUE.len() {
        ctx.tx.write(CONTINUE);
    }
}

fn is_https(target: &[u8]) -> bool {
    target.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https:"))
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

/// A ticket that names no request.
impl Ticket {
    pub(super) const NONE: Self = Self { id: ConnId { slot: u32::MAX, serial: 0 }, nth: 0 };
}
