//! Looks over a service's shoulder: a [`Witness`] sees each callback before and after the handler does. [`watch`]
//! keeps the reports of a service whose handler keeps none, such as one that is not the test's own.
//!
//! It sits below the handler's type, so that verbs, posts and keys of the handler work as they do without it.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use crate::reactor::buffer::Io;
use crate::reactor::core::Core;
use crate::reactor::handler::Accepted;
use crate::reactor::link::{Call, NONE};
use crate::reactor::service::Service;
use crate::reactor::sys::Sys;
use crate::reactor::{Handler, Key, Reactor, Refuse, Report, TaskReport};

/// What sees the callbacks of one service. A connection is named by the number of its state, which is reused.
pub(super) trait Witness: 'static {
    /// A peer was taken, and its connection has the state `conn`; or `on_accept` panicked.
    fn accepted(&mut self, conn: Result<u32, Panicked>) {
        let _ = conn;
    }

    /// A callback is about to run.
    fn before(&mut self, call: Call, at: Moment) {
        let _ = (call, at);
    }

    /// A callback has run; `ok` is false when it panicked.
    fn after(&mut self, call: Call, at: Moment, ok: bool) {
        let _ = (call, at, ok);
    }

    /// `on_close` has run; `conn` is `None` for a peer that was refused, whose end no handler is told.
    fn closed(&mut self, conn: Option<u32>, report: &Report, ok: bool);

    /// `on_task_error` has run.
    fn task_failed(&mut self, report: &TaskReport, ok: bool) {
        let _ = (report, ok);
    }
}

/// A callback panicked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panicked;

/// Where a connection is when one of its callbacks runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The number of its state.
    pub(super) conn: u32,
    /// Bytes that wait to be read.
    pub(super) rx: usize,
    /// Whether a listener took it.
    pub(super) inbound: bool,
}

impl Witness for Vec<Report> {
    fn closed(&mut self, _: Option<u32>, report: &Report, _: bool) {
        self.push(report.clone());
    }
}

/// Every [`Report`] that the handler of `key` is given from now on, in the order of the ends.
///
/// # Panics
/// When the key is of another reactor.
pub fn watch<S: Sys, H: Handler>(reactor: &mut Reactor<S>, key: Key<H>) -> Rc<RefCell<Vec<Report>>> {
    let reports = Rc::default();
    attach(reactor, key, Rc::clone(&reports));
    reports
}

/// Lets `witness` see the callbacks of `key` from now on.
pub(super) fn attach<S: Sys, H: Handler, W: Witness>(
    reactor: &mut Reactor<S>,
    key: Key<H>,
    witness: Rc<RefCell<W>>,
) {
    let at = usize::from(key.index);
    let inner = reactor.services.remove(at);
    reactor.services.insert(at, Box::new(Spy { inner, witness }));
}

/// A service with somebody who looks on.
struct Spy<W> {
    inner: Box<dyn Service>,
    witness: Rc<RefCell<W>>,
}

impl<W: Witness> Service for Spy<W> {
    fn call(&mut self, call: Call, slot: u32, io: &mut Io, core: &mut Core) -> bool {
        let link = core.link(slot);
        let at = Moment { conn: link.conn, rx: io.rx.len(), inbound: link.listener.slot != NONE };
        self.witness.borrow_mut().before(call, at);
        let ok = self.inner.call(call, slot, io, core);
        self.witness.borrow_mut().after(call, Moment { rx: io.rx.len(), ..at }, ok);
        ok
    }

    fn accept(&mut self, from: Accepted<'_>) -> Result<u32, Refuse> {
        let answer = self.inner.accept(from);
        match &answer {
            Ok(conn) => self.witness.borrow_mut().accepted(Ok(*conn)),
            Err(refuse) if refuse.panicked => self.witness.borrow_mut().accepted(Err(Panicked)),
            Err(_) => {}
        }
        answer
    }

    fn limit(&mut self, from: Accepted<'_>) -> Refuse {
        self.inner.limit(from)
    }

    fn close(&mut self, conn: u32, report: &Report, core: &mut Core) -> bool {
        let ok = self.inner.close(conn, report, core);
        self.witness.borrow_mut().closed((conn != NONE).then_some(conn), report, ok);
        ok
    }

    fn task_error(&mut self, report: &TaskReport, core: &mut Core) -> bool {
        let ok = self.inner.task_error(report, core);
        self.witness.borrow_mut().task_failed(report, ok);
        ok
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self.inner.as_any()
    }
}
