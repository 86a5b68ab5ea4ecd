//! The HTTP/1.x server as a handler (RFC 9112): request heads in, answers out, in order, on kept connections.
//!
//! It owns framing, persistence, limits and deadlines; an [`App`] (or a [`Service`] beside a state) owns what is
//! answered. Requests are parsed where they lie in the receive buffer. Only a request that has to wait (for its body, a
//! thread, a delay) is copied aside. Parsing stops while an answer is awaited or sent, so that pipelined requests wait
//! in the kernel.

mod app;
mod config;
mod cx;
pub(in crate::proto::http1) mod exchange;
mod raw;
mod receive;
pub mod record;
mod refuse;
mod send;
mod sink;
pub(in crate::proto::http1) mod stream;

pub use app::{App, BodyPlan, Service};
pub use config::HttpConfig;
pub use cx::{Cx, Responder};
pub use exchange::{Exchange, Ticket};
pub use raw::{Raw, RawIo};
pub use sink::{Flow, Sink};
pub use stream::{BodyWriter, Pull, Source, StreamOptions};

use std::collections::VecDeque;
use std::fmt;

use self::app::Direct;
use self::cx::{Command, Shared};
use self::exchange::Outgoing;
use self::record::Log;
use super::encode::DateCache;
use super::fault;
use crate::reactor::buffer::BLOCK;
use crate::reactor::{Accepted, Ctx, Handler, Limits, Refuse, Report, Table};

/// An HTTP server: the handler around a state and who answers with its help. An [`App`] is both.
///
/// ```
/// use tidemill::proto::http1::{App, Cx, Http, Reply, Request};
/// use tidemill::reactor::{Config, Reactor};
///
/// struct Hello;
///
/// impl App for Hello {
///     fn on_request(&mut self, _: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
///         reply.respond("hello");
///     }
/// }
///
/// let mut reactor = Reactor::new(Config::default()).unwrap();
/// let http = reactor.add(Http::new(Hello));
/// reactor.listen(http, &"127.0.0.1:0".parse().unwrap()).unwrap();
/// ```
pub struct Http<S: 'static> {
    state: S,
    service: Box<dyn Service<S>>,
    date: DateCache,
    shared: Shared,
}

impl<S: fmt::Debug> fmt::Debug for Http<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("state", &self.state)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl<A: App> Http<A> {
    /// Serves `app` with the default bounds.
    pub fn new(app: A) -> Self {
        Self::with_config(app, HttpConfig::default())
    }

    /// Serves `app` with bounds of the caller's choice.
    pub fn with_config(app: A, config: HttpConfig) -> Self {
        Self::with_service(app, Box::new(Direct), config)
    }
}

impl<S: 'static> Http<S> {
    /// Serves with `service`, which is given `state` at every call.
    pub fn with_service(state: S, service: Box<dyn Service<S>>, mut config: HttpConfig) -> Self {
        // A head that fills the receive buffer could not be judged.
        config.head.head_bytes_max = config.head.head_bytes_max.min(BLOCK as u32 - 1);
        let shared = Shared { config, log: None, inbox: VecDeque::new() };
        Self { state, service, date: DateCache::new(0), shared }
    }

    /// The same, with `log` told of every request.
    pub fn with_log(mut self, log: Box<dyn Log>) -> Self {
        self.shared.log = Some(log);
        self
    }

    /// The state: the application, if it is its own.
    pub const fn state(&mut self) -> &mut S {
        &mut self.state
    }

    /// Calls `f` as a callback of the server would be, from outside of one: from
    /// [`Reactor::with`](crate::reactor::Reactor::with) or a task of the reactor.
    pub fn in_task<T>(
        &mut self,
        table: &mut Table<'_, Self>,
        f: impl FnOnce(&mut S, &mut Cx<'_, S>) -> T,
    ) -> T {
        let mut cx = Cx { table: table.reborrow(), shared: &mut self.shared, ticket: Ticket::NONE };
        f(&mut self.state, &mut cx)
    }

    /// What callbacks said of their own request, by its ticket.
    fn after(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        // Each of these may lead to more; what one callback can say is bounded by what it does.
        while let Some((ticket, command)) = self.shared.inbox.pop_front() {
            if ticket.id != ctx.id() || ticket.nth != ex.nth {
                continue;
            }
            match command {
                Command::Write(bytes) => self.write_own(ex, ctx, &bytes),
                // Whoever wakes itself at every call must not keep the loop to itself: a turn has its end.
                Command::Wake if ex.take(Command::Wake) => {
                    ctx.table.wake(ctx.id);
                }
                Command::Wake => {}
                said @ (Command::Respond(_) | Command::End) => {
                    if ex.take(said) {
                        self.go_on(ex, ctx);
                    }
                }
            }
        }
    }

    /// Calls the protocol that has taken the connection over; false when there is none.
    fn raw(
        &mut self,
        ex: &mut Exchange<S>,
        ctx: &mut Ctx<'_, Self>,
        f: impl FnOnce(&mut dyn Raw<S>, &mut S, &mut RawIo<'_, S>),
    ) -> bool {
        let ticket = Ticket { id: ctx.id(), nth: ex.nth };
        let Some(job) = &mut ex.job else { return false };
        let Outgoing::Raw(Some(raw), true) = &mut job.outgoing else { return false };
        let cx = Cx { table: ctx.table.reborrow(), shared: &mut self.shared, ticket };
        let mut io = RawIo { rx: ctx.rx.reborrow(), tx: ctx.tx.reborrow(), cx };
        f(&mut **raw, &mut self.state, &mut io);
        let open = io.tx.open;
        ctx.tx.open &= open;
        true
    }
}

impl<S: 'static> Handler for Http<S> {
    type Conn = Exchange<S>;

    fn limits(&self) -> Limits {
        self.shared.config.connection.clone()
    }

    fn on_accept(&mut self, _from: Accepted<'_>) -> Result<Exchange<S>, Refuse> {
        Ok(Exchange::default())
    }

    fn on_limit(&mut self, from: Accepted<'_>) -> Refuse {
        self.date.set(from.unix_time);
        Refuse::with(self.limit_answer())
    }

    fn on_data(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if ex.job.is_none() || !self.raw(ex, ctx, |raw, state, io| raw.on_data(state, io)) {
            self.receive(ex, ctx);
        }
        if !self.shared.inbox.is_empty() {
            self.after(ex, ctx);
        }
    }

    fn on_room(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if !self.raw(ex, ctx, |raw, state, io| raw.on_room(state, io)) {
            self.go_on(ex, ctx);
        }
        self.after(ex, ctx);
    }

    fn on_eof(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        ex.eof = true;
        if !self.raw(ex, ctx, |raw, state, io| raw.on_eof(state, io)) {
            if ex.held().is_some_and(|held| !held.answered) {
                self.refuse(ex, ctx, &fault::BODY_TRUNCATED, false);
            } else if b"\r\n".starts_with(&ctx.rx) {
                // Nothing, or the empty line that some clients send behind a body (RFC 9112 section 2.2).
                ctx.finish();
            } else {
                self.refuse(ex, ctx, &fault::BAD_REQUEST_LINE, false);
            }
        }
        self.after(ex, ctx);
    }

    fn on_timer(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if !self.raw(ex, ctx, |raw, state, io| raw.on_timer(state, io)) {
            self.timer(ex, ctx);
        }
        self.after(ex, ctx);
    }

    fn on_deadline(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if !self.raw(ex, ctx, |raw, state, io| raw.on_deadline(state, io)) {
            self.deadline(ex, ctx);
        }
        self.after(ex, ctx);
    }

    fn on_drain(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if !self.raw(ex, ctx, |raw, state, io| raw.on_drain(state, io)) {
            self.drain(ex, ctx);
        }
        self.after(ex, ctx);
    }

    fn on_close(&mut self, mut ex: Exchange<S>, report: &Report, table: &mut Table<'_, Self>) {
        self.record_end(&mut ex, report, table);
        let ticket = Ticket { id: report.id, nth: ex.nth };
        let Some(job) = ex.job else { return };
        let mut cx = Cx { table: table.reborrow(), shared: &mut self.shared, ticket };
        let job = *job;
        if let Outgoing::Raw(Some(raw), true) = job.outgoing {
            raw.on_close(&mut self.state, report, &mut cx);
        }
        if let Some(sink) = job.held.and_then(|held| held.sink) {
            sink.on_gone(&mut self.state, report.reason.class, &mut cx);
        }
        if let Some(gone) = job.gone {
            gone(&mut self.state, &mut cx);
        }
        self.shared.inbox.clear();
    }
}

#[cfg(test)]
mod tests;
