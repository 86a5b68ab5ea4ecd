//! What a protocol author writes and sees: [`Handler`], and the [`Ctx`] of a callback.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;
use std::time::Duration;

use super::buffer::{Input, Output};
use super::class::Class;
use super::close::{self, Report};
use super::endpoint::Endpoint;
use super::id::{ConnId, ListenerId};
use super::limits::Limits;
use super::sys::Peer;
use super::table::Table;
use super::task::TaskReport;

/// A protocol: one value serves all connections of its service.
///
/// The reactor calls `on_*`; the handler calls verbs on [`Ctx`]. A handler never sees readiness, `WouldBlock`, a
/// socket or a clock. For each connection the calls come in this order:
///
/// `on_accept` (inbound only) → `on_open` → any of `on_data`, `on_room`, `on_timer`, `on_deadline`, `on_drain` →
/// at most one `on_eof`, after all bytes → `on_close`, exactly once and last.
///
/// A callback that panics costs its own connection: it is reset with the reason `task.panicked`, and `on_close`
/// still comes once. The handler value itself may then be half-changed; keep its invariants in single statements.
pub trait Handler: Sized + 'static {
    /// The state of one connection. Keep it small: idle connections own nothing else.
    type Conn: 'static;

    /// The bounds of this service's connections; asked once, when the handler is added.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// A peer has connected. [`Refuse`] closes the connection again, with or without a word.
    ///
    /// # Errors
    /// The refusal.
    fn on_accept(&mut self, from: Accepted<'_>) -> Result<Self::Conn, Refuse>;

    /// A peer has connected beyond `connections_max` or `per_client_max`: what it is told before the close.
    fn on_limit(&mut self, from: Accepted<'_>) -> Refuse {
        let _ = from;
        Refuse::silent()
    }

    /// The connection stands, in either direction.
    fn on_open(&mut self, conn: &mut Self::Conn, ctx: &mut Ctx<'_, Self>) {
        let _ = (conn, ctx);
    }

    /// `ctx.rx` has bytes and something changed: new bytes came, room came, or reading was resumed. Bytes that are
    /// not consumed stay; the call comes again when something changes.
    ///
    /// A handler that leaves bytes because it cannot go on *by itself* (it waits for another connection, a timer,
    /// a thread) calls [`Table::pause`], so that neither more bytes nor the end of file come until it resumes.
    /// A write, `reserve` or `take_from` on `ctx.tx` that did not fit counts as such a wait without saying so; merely
    /// looking at `room()` does not.
    fn on_data(&mut self, conn: &mut Self::Conn, ctx: &mut Ctx<'_, Self>);

    /// Bytes went out and at least half of the transmit buffer is free; or a file has been sent whole.
    fn on_room(&mut self, conn: &mut Self::Conn, ctx: &mut Ctx<'_, Self>) {
        let _ = (conn, ctx);
    }

    /// The peer has sent its last byte; `ctx.rx` may hold bytes that were not consumed. The write side stays open
    /// until the handler finishes it, which is what the default does.
    fn on_eof(&mut self, conn: &mut Self::Conn, ctx: &mut Ctx<'_, Self>) {
        let _ = conn;
        ctx.finish();
    }

    /// The timer set by [`Ctx::set_timer`] fired.
    fn on_timer(&mut self, conn: &mut Self::Conn, ctx: &mut Ctx<'_, Self>) {
        let _ = (conn, ctx);
    }

    /// The protocol's deadline set by [`Ctx::set_deadline`] passed. The default closes.
    fn on_deadline(&mut self, conn: &mut Self::Conn, ctx: &mut Ctx<'_, Self>) {
        let _ = conn;
        ctx.close();
    }

    /// The reactor drains: finish what is under way and close. The default closes now (flushing first).
    fn on_drain(&mut self, conn: &mut Self::Conn, ctx: &mut Ctx<'_, Self>) {
        let _ = conn;
        ctx.close_clean();
    }

    /// A task of this service went wrong and nobody waits for its result: it panicked (`task.panicked`), it was
    /// started later than `Config::task_late` allows (`task.late`; it ran all the same), or the reactor stopped before
    /// it could run (`task.cancelled`). The default logs it: panics as errors, the rest for debugging.
    ///
    /// ```
    /// # use tidemill::reactor::{Accepted, Config, Ctx, Handler, Reactor, Refuse, Table, TaskReport};
    /// # use std::time::Duration;
    /// struct App {
    ///     bugs: Vec<String>,
    /// }
    ///
    /// impl Handler for App {
    ///     type Conn = ();
    /// #   fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
    /// #       Ok(())
    /// #   }
    /// #   fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}
    ///     fn on_task_error(&mut self, report: &TaskReport, table: &mut Table<'_, Self>) {
    ///         if report.class.name == "task.panicked" {
    ///             self.bugs.push(report.record.name.to_owned());
    ///             table.handle().stop(Duration::ZERO);
    ///         }
    ///     }
    /// }
    ///
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let app = reactor.add(App { bugs: Vec::new() });
    /// reactor.with(app, |_, table| {
    ///     table.post(|_, _| panic!("a bug"));
    /// });
    /// reactor.run().unwrap(); // the panic was contained
    /// assert_eq!(reactor.with(app, |app, _| app.bugs.len()), 1);
    /// ```
    fn on_task_error(&mut self, report: &TaskReport, table: &mut Table<'_, Self>) {
        let _ = table;
        let level = if report.class == &close::TASK_PANICKED { log::Level::Error } else { log::Level::Debug };
        log::log!(level, "{report}");
    }

    /// The connection is no more: how it ended and where its time went. The table still reaches the others.
    fn on_close(&mut self, conn: Self::Conn, report: &Report, table: &mut Table<'_, Self>) {
        let _ = (conn, report, table);
    }
}

/// A connection at the door.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Accepted<'a> {
    /// The listener that took it.
    pub listener: ListenerId,
    /// Where that listener listens.
    pub at: &'a Endpoint,
    /// Who it is.
    pub peer: Peer,
    /// The turn's time, in seconds since 1970.
    pub unix_time: u64,
}

/// The answer of a handler that does not want a connection.
#[derive(Clone, Debug, Default)]
pub struct Refuse {
    pub(crate) answer: Cow<'static, [u8]>,
    /// The callback that was asked panicked.
    pub(crate) panicked: bool,
}

impl Refuse {
    /// Closes without a word.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Sends `answer` (at most 64 KiB), then closes with lingering so that the peer can read it.
    pub fn with(answer: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { answer: answer.into(), panicked: false }
    }
}

/// A callback's view of its connection: received bytes, room to write, and every verb.
///
/// `rx`, `tx` and the table are separate fields so that bytes of `rx` can be borrowed while `tx` is written.
pub struct Ctx<'a, H: Handler> {
    /// What the peer sent.
    pub rx: Input<'a>,
    /// What goes to the peer.
    pub tx: Output<'a>,
    /// All connections of this service, by id.
    pub table: Table<'a, H>,
    pub(crate) id: ConnId,
}

impl<H: Handler> fmt::Debug for Ctx<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx").field("id", &self.id).field("rx", &self.rx).field("tx", &self.tx).finish()
    }
}

impl<'a, H: Handler> Deref for Ctx<'a, H> {
    type Target = Table<'a, H>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}

impl<H: Handler> DerefMut for Ctx<'_, H> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.table
    }
}

/// The verbs of [`Table`], on the callback's own connection.
impl<H: Handler> Ctx<'_, H> {
    /// This connection.
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// Its peer.
    pub fn peer(&self) -> Peer {
        self.table.peer(self.id).unwrap_or(Peer::Unknown)
    }

    /// Stops reading; see [`Table::pause`].
    pub fn pause(&mut self) {
        self.table.pause(self.id);
    }

    /// Reads again; see [`Table::resume`].
    pub fn resume(&mut self) {
        self.table.resume(self.id);
    }

    /// Nothing more will be written: FIN follows the last byte. The peer may go on sending.
    pub fn finish(&mut self) {
        self.table.finish(self.id);
        self.tx.open = false;
    }

    /// Sends what was written, then FIN, and discards input until the peer's FIN, within bounds.
    pub fn close(&mut self) {
        self.table.close(self.id);
        self.tx.open = false;
    }

    /// As [`Ctx::close`], with the failure that is the reason.
    pub fn close_as(&mut self, class: &'static Class) {
        self.table.close_as(self.id, class);
        self.tx.open = false;
    }

    /// As [`Ctx::close`], but without lingering if nothing unread is left once all is sent. Right after a whole
    /// exchange, when the peer is known to send no more.
    pub fn close_clean(&mut self) {
        self.table.close_clean(self.id);
        self.tx.open = false;
    }

    /// Ends the connection now, with RST; what was written may be lost.
    pub fn abort(&mut self) {
        self.table.abort(self.id);
        self.tx.open = false;
    }

    /// Calls `on_timer` in `after`, instead of any time set before. While the peer waits for us and not we for it,
    /// also call [`Ctx::set_busy`].
    pub fn set_timer(&mut self, after: Duration) {
        self.table.set_timer(self.id, Some(after));
    }

    /// Forgets the timer.
    pub fn cancel_timer(&mut self) {
        self.table.set_timer(self.id, None);
    }

    /// Calls `on_deadline` in `after`, instead of any time set before. For the protocol's own bounds in time.
    pub fn set_deadline(&mut self, after: Duration) {
        self.table.set_deadline(self.id, Some(after));
    }

    /// Forgets the deadline.
    pub fn clear_deadline(&mut self) {
        self.table.set_deadline(self.id, None);
    }

    /// Says whether the peer waits for us, in which case the idle deadline does not apply.
    pub fn set_busy(&mut self, busy: bool) {
        self.table.set_busy(self.id, busy);
    }

    /// Sends `range` of `file` behind what was written. Until it is sent, `tx` has no room; then `on_room` is called.
    /// Exactly the range is sent, or the connection ends with `http.file_truncated`.
    ///
    /// # Errors
    /// The file, when one is on its way already or the write side is closed.
    pub fn send_file(&mut self, file: Arc<File>, range: Range<u64>) -> Result<(), Arc<File>> {
        let sent = self.table.core.send_file(self.id.slot, file, range, self.tx.buf.len());
        self.tx.open &= self.table.core.link(self.id.slot).tx_open();
        sent
    }
}
