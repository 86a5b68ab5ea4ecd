//! How several handlers share one reactor: each is boxed once and called through a small erased interface.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::buffer::{Input, Io, Output};
use super::close::Report;
use super::core::Core;
use super::handler::{Accepted, Ctx, Handler, Refuse};
use super::link::flag::*;
use super::link::{Call, NONE};
use super::table::{ConnSlab, Table};
use super::task::TaskReport;

/// The states of the connections of `H`.
pub(crate) type Conns<H> = ConnSlab<<H as Handler>::Conn>;

/// Names a handler that was added to a reactor. `Copy` and `Send` whatever the handler is.
pub struct Key<H> {
    pub(crate) index: u16,
    /// The reactor that gave it: those of others name other handlers by the same index.
    pub(crate) reactor: u32,
    _handler: PhantomData<fn() -> H>,
}

impl<H> Key<H> {
    pub(crate) const fn new(index: u16, reactor: u32) -> Self {
        Self { index, reactor, _handler: PhantomData }
    }
}

impl<H> Clone for Key<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Key<H> {}

impl<H> fmt::Debug for Key<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.index)
    }
}

/// The flag of a link that asks for this callback.
pub(crate) const fn due(call: Call) -> u32 {
    match call {
        Call::Open => OPEN_DUE,
        Call::Data => DATA_DUE,
        Call::Room => ROOM_DUE,
        Call::Eof => EOF_DUE,
        Call::Timer => TIMER_DUE,
        Call::Deadline => DEADLINE_DUE,
        Call::Drain => DRAIN_DUE,
    }
}

/// A service as the reactor calls it, whatever its handler.
pub(crate) trait Service {
    /// Makes a callback; whether it returned without a panic.
    fn call(&mut self, call: Call, slot: u32, io: &mut Io, core: &mut Core) -> bool;
    /// Asks for the state of a new connection.
    fn accept(&mut self, from: Accepted<'_>) -> Result<u32, Refuse>;
    fn limit(&mut self, from: Accepted<'_>) -> Refuse;
    /// `on_close`; whether it returned without a panic.
    fn close(&mut self, conn: u32, report: &Report, core: &mut Core) -> bool;
    /// `on_task_error`; whether it returned without a panic.
    fn task_error(&mut self, report: &TaskReport, core: &mut Core) -> bool;
    fn as_any(&mut self) -> &mut dyn Any;
}

/// A handler with the states of its connections.
pub(crate) struct Bound<H: Handler> {
    pub(crate) handler: H,
    pub(crate) conns: Conns<H>,
    pub(crate) index: u16,
}

impl<H: Handler> Bound<H> {
    pub(crate) fn table<'a>(&'a mut self, core: &'a mut Core) -> (&'a mut H, Table<'a, H>) {
        (&mut self.handler, Table { core, conns: &mut self.conns, service: self.index })
    }
}

/// Calls `f` with the handler behind an erased service; `None` when it is another's.
pub(crate) fn apply<H: Handler, T>(
    service: &mut dyn Any,
    core: &mut Core,
    f: impl FnOnce(&mut H, &mut Table<'_, H>) -> T,
) -> Option<T> {
    let (handler, mut table) = service.downcast_mut::<Bound<H>>()?.table(core);
    Some(f(handler, &mut table))
}

/// Runs a callback; `None` when it panicked. The payload of a panic is the handler's own value, whose drop may panic
/// too; what that throws is not dropped at all.
pub(crate) fn contain<T>(f: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}

impl<H: Handler> Service for Bound<H> {
    fn call(&mut self, call: Call, slot: u32, io: &mut Io, core: &mut Core) -> bool {
        let link = core.link(slot);
        link.clear(due(call));
        let (id, index, open) = (link.id(slot), link.conn as usize, link.tx_open());
        let Some(mut conn) = self.conns.get_mut(index).and_then(Option::take) else { return true };
        io.tx.attach(&mut core.pool);
        io.starved = false;
        // The state, the buffers and the core live outside the closure: a panic leaves them whole.
        let (conn_ref, Self { handler, conns, index: service }) = (&mut conn, &mut *self);
        let ok = contain(|| {
            let mut ctx = Ctx {
                rx: Input { buf: &mut io.rx },
                tx: Output { buf: &mut io.tx, starved: &mut io.starved, open },
                table: Table { core: &mut *core, conns, service: *service },
                id,
            };
            match call {
                Call::Open => handler.on_open(conn_ref, &mut ctx),
                Call::Data => handler.on_data(conn_ref, &mut ctx),
                Call::Room => handler.on_room(conn_ref, &mut ctx),
                Call::Eof => handler.on_eof(conn_ref, &mut ctx),
                Call::Timer => handler.on_timer(conn_ref, &mut ctx),
                Call::Deadline => handler.on_deadline(conn_ref, &mut ctx),
                Call::Drain => handler.on_drain(conn_ref, &mut ctx),
            }
        });
        if let Some(place) = self.conns.get_mut(index) {
            *place = Some(conn);
        }
        // Bytes were left for want of room. A handler that wants room for bytes of its own does not stop reading: its
        // peer may be doing the same. And room comes when something is sent; where nothing waits to be sent there is
        // nothing to wait for.
        let link = core.link(slot);
        let left = call == Call::Data && !io.rx.is_empty();
        if io.starved && left && (link.has_file() || (link.tx_open() && !io.tx.is_empty())) {
            link.set(STARVED);
        }
        ok.is_some()
    }

    fn accept(&mut self, from: Accepted<'_>) -> Result<u32, Refuse> {
        match contain(|| self.handler.on_accept(from)) {
            Some(Ok(conn)) => Ok(self.conns.insert(Some(conn)) as u32),
            Some(Err(refuse)) => Err(refuse),
            None => {
                log::error!("task.panicked: on_accept panicked; the connection was refused");
                Err(Refuse { panicked: true, ..Refuse::silent() })
            }
        }
    }

    fn limit(&mut self, from: Accepted<'_>) -> Refuse {
        contain(|| self.handler.on_limit(from)).unwrap_or_else(|| {
            log::error!("task.panicked: on_limit panicked; the connection was refused without a word");
            Refuse::silent()
        })
    }

    fn close(&mut self, conn: u32, report: &Report, core: &mut Core) -> bool {
        if conn == NONE {
            return true;
        }
        let Some(conn) = self.conns.try_remove(conn as usize).flatten() else { return true };
        let (handler, mut table) = self.table(core);
        contain(|| handler.on_close(conn, report, &mut table)).is_some()
    }

    fn task_error(&mut self, report: &TaskReport, core: &mut Core) -> bool {
        let (handler, mut table) = self.table(core);
        contain(|| handler.on_task_error(report, &mut table)).is_some()
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
