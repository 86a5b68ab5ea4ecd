//! What follows a `101 Switching Protocols`: the bytes of the connection, for a protocol of the application's own.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::Cx;
use crate::reactor::class::Class;
use crate::reactor::{ConnId, Input, Output, Peer, Report, Time};

/// A protocol on an upgraded connection. The calls are those of [`Handler`](crate::reactor::Handler), in its order.
///
/// ```
/// use tidemill::proto::http1::{Raw, RawIo};
///
/// /// Echoes bytes.
/// struct Mirror;
///
/// impl<S: 'static> Raw<S> for Mirror {
///     fn on_data(&mut self, _: &mut S, io: &mut RawIo<'_, S>) {
///         io.tx.take_from(&mut io.rx);
///     }
/// }
/// ```
pub trait Raw<S: 'static>: 'static {
    /// The 101 is written; bytes may be.
    fn on_open(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        let _ = (state, io);
    }

    /// `io.rx` has bytes and something changed.
    fn on_data(&mut self, state: &mut S, io: &mut RawIo<'_, S>);

    /// `io.tx` has room again.
    fn on_room(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        let _ = (state, io);
    }

    /// The peer has sent its last byte. The default finishes.
    fn on_eof(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        let _ = state;
        io.finish();
    }

    /// The timer fired.
    fn on_timer(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        let _ = (state, io);
    }

    /// The deadline passed. The default closes.
    fn on_deadline(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        let _ = state;
        io.close();
    }

    /// The reactor drains. The default closes.
    fn on_drain(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        let _ = state;
        io.close();
    }

    /// The connection is no more.
    fn on_close(self: Box<Self>, state: &mut S, report: &Report, cx: &mut Cx<'_, S>) {
        let _ = (state, report, cx);
    }
}

/// A callback's view of an upgraded connection.
pub struct RawIo<'a, S: 'static> {
    /// What the peer sent.
    pub rx: Input<'a>,
    /// What goes to the peer.
    pub tx: Output<'a>,
    /// The other connections, tasks and answers.
    pub cx: Cx<'a, S>,
}

impl<S: 'static> fmt::Debug for RawIo<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawIo").field("rx", &self.rx).field("tx", &self.tx).finish()
    }
}

impl<'a, S: 'static> Deref for RawIo<'a, S> {
    type Target = Cx<'a, S>;

    fn deref(&self) -> &Self::Target {
        &self.cx
    }
}

impl<S: 'static> DerefMut for RawIo<'_, S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cx
    }
}

impl<S: 'static> RawIo<'_, S> {
    /// This connection.
    pub const fn id(&self) -> ConnId {
        self.cx.ticket().id
    }

    /// The last stamp.
    pub fn now(&self) -> Time {
        self.cx.table.now()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.cx.table.peer(self.id()).unwrap_or(Peer::Unknown)
    }

    /// Nothing more will be written: FIN follows the last byte.
    pub fn finish(&mut self) {
        self.cx.table.finish(self.id());
        self.tx.open = false;
    }

    /// Sends what was written, then FIN, and discards input until the peer's FIN, within bounds.
    pub fn close(&mut self) {
        self.cx.table.close(self.id());
        self.tx.open = false;
    }

    /// As [`RawIo::close`], with the failure that is the reason.
    pub fn close_as(&mut self, class: &'static Class) {
        self.cx.table.close_as(self.id(), class);
        self.tx.open = false;
    }

    /// Ends the connection now, with RST.
    pub fn abort(&mut self) {
        self.cx.table.abort(self.id());
        self.tx.open = false;
    }

    /// Stops reading, and holds back `on_data` and `on_eof`.
    pub fn pause(&mut self) {
        self.cx.table.pause(self.id());
    }

    /// Reads again; `on_data` comes first for bytes that were left.
    pub fn resume(&mut self) {
        self.cx.table.resume(self.id());
    }

    /// Calls `on_timer` in `after`, instead of any time set before; `None` forgets it.
    pub fn set_timer(&mut self, after: Option<Duration>) {
        self.cx.table.set_timer(self.id(), after);
    }

    /// Calls `on_deadline` in `after`, instead of any time set before; `None` forgets it.
    pub fn set_deadline(&mut self, after: Option<Duration>) {
        self.cx.table.set_deadline(self.id(), after);
    }

    /// Says whether the idle deadline does not apply.
    pub fn set_busy(&mut self, busy: bool) {
        self.cx.table.set_busy(self.id(), busy);
    }
}
