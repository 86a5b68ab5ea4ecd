//! The service behind streams: its callbacks move bytes between the connections and what the core keeps of each
//! stream, and wake who waits. It never blocks a connection for a future: what nobody reads pauses it.

use std::any::Any;
use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Poll};

use slab::Slab;

use super::state::{Futures, StreamState, Trash, half};
use crate::reactor::buffer::{Buf, Io};
use crate::reactor::close::{self, By, CloseReason, PhaseName, Report};
use crate::reactor::core::{Core, Manner};
use crate::reactor::handler::{Accepted, Ctx, Handler, Refuse};
use crate::reactor::id::ConnId;
use crate::reactor::link::flag::*;
use crate::reactor::link::{Call, Input};
use crate::reactor::service::{Bound, Service, contain, due};
use crate::reactor::task::TaskReport;

/// The state of a connection that was accepted and not yet opened: it has none.
const UNBORN: u32 = u32::MAX - 1;

/// A handler for the tasks that futures file; it has no connections of its own.
pub(crate) struct Face;

impl Handler for Face {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Ctx<'_, Self>) {}
}

/// A service of streams. The states of its connections are in the core, where futures reach them.
pub(crate) struct Streams {
    face: Bound<Face>,
}

impl Streams {
    pub(super) fn new(index: u16) -> Self {
        Self { face: Bound { handler: Face, conns: Slab::new(), index } }
    }
}

/// A new state of a stream.
pub(super) fn born(id: ConnId, opened: bool) -> StreamState {
    StreamState {
        id,
        rx: Buf::default(),
        held: half::BOTH,
        opened,
        eof: false,
        finishing: false,
        reading: false,
        writing: false,
        reader: None,
        writer: None,
        report: None,
    }
}

impl StreamState {
    /// Wakes who reads, if anybody waits to. Within a callback only: there no core is in the thread's cell.
    fn wake_reader(&mut self) {
        if mem::take(&mut self.reading)
            && let Some(waker) = &self.reader
        {
            waker.wake_by_ref();
        }
    }

    fn wake_writer(&mut self) {
        if mem::take(&mut self.writing)
            && let Some(waker) = &self.writer
        {
            waker.wake_by_ref();
        }
    }
}

impl Core {
    /// A connection was accepted and stands: it goes to the acceptor of its listener.
    fn admit_stream(&mut self, slot: u32) {
        let link = self.link(slot);
        let (id, listener) = (link.id(slot), link.listener);
        let Futures { acceptors, by_listener, streams, .. } = &mut self.futures;
        let acceptor = by_listener.get(&listener).and_then(|index| acceptors.get_mut(*index as usize));
        let Some(acceptor) = acceptor else {
            // Nobody accepts any more.
            let reason = CloseReason::new(By::Us, PhaseName::Transfer);
            self.begin_close(slot, reason, Manner::Drop);
            return;
        };
        let index = streams.insert(born(id, true)) as u32;
        self.links[slot as usize].conn = index;
        acceptor.queue.push_back(index);
        // Somebody's code, which may panic: last.
        if let Some(waker) = acceptor.waker.take() {
            waker.wake();
        }
    }

    /// Bytes have come: they change hands, and the connection pauses until they are read.
    fn receive(&mut self, slot: u32, index: u32, io: &mut Io) {
        let Some(stream) = self.futures.streams.get_mut(index as usize) else { return };
        if stream.held & half::READ == 0 {
            // Nobody will read; the writing half goes on. The kernel's window closes.
            self.links[slot as usize].set(PAUSED);
            return;
        }
        if stream.rx.is_empty() {
            mem::swap(&mut stream.rx, &mut io.rx);
        }
        if !stream.reading {
            // It may wait for long: not in a whole block.
            stream.rx.settle(&mut self.pool);
        }
        stream.wake_reader();
        self.links[slot as usize].set(PAUSED);
    }

    /// Bytes went out: who waits for room may go on, and a FIN that waits for the last byte follows it.
    fn sent(&mut self, slot: u32, index: u32, io: &Io) {
        let Some(stream) = self.futures.streams.get_mut(index as usize) else { return };
        stream.wake_writer();
        if stream.finishing && io.tx.is_empty() {
            self.links[slot as usize].input(Input::Finish);
        }
    }

    /// The connection of a stream is no more.
    fn ended(&mut self, index: u32, report: &Report) {
        let Some(stream) = self.futures.streams.get_mut(index as usize) else { return };
        if stream.held == 0 {
            self.forget_stream(index);
            return;
        }
        stream.report = Some(Box::new(report.clone()));
        stream.wake_reader();
        stream.wake_writer();
    }

    fn forget_stream(&mut self, index: u32) {
        let Some(mut stream) = self.futures.streams.try_remove(index as usize) else { return };
        stream.rx.consume(usize::MAX);
        stream.rx.settle(&mut self.pool);
        let wakers = stream.reader.take().into_iter().chain(stream.writer.take());
        self.futures.trash.extend(wakers.map(Trash::Waker));
    }

    /// Halves of a stream were dropped: without a writing one FIN follows what was written, and without either the
    /// connection is closed as any other.
    pub(super) fn let_go(&mut self, index: u32, halves: u8) {
        self.let_go_as(index, halves, None);
    }

    /// The same, and a connection that is closed thereby is reset.
    pub(super) fn abort_stream(&mut self, index: u32, halves: u8) {
        let reason =
            CloseReason { class: Some(&close::TCP_ABORTED), ..CloseReason::new(By::Us, PhaseName::Transfer) };
        self.let_go_as(index, halves, Some((reason, Manner::Reset)));
    }

    fn let_go_as(&mut self, index: u32, halves: u8, manner: Option<(CloseReason, Manner)>) {
        let Some(stream) = self.futures.streams.get_mut(index as usize) else { return };
        stream.held &= !halves;
        let (held, over) = (stream.held, stream.report.is_some());
        if held & half::WRITE == 0 && held != 0 {
            self.finish_stream(index);
        }
        if held != 0 {
            return;
        }
        if over {
            self.forget_stream(index);
        } else {
            self.close_stream(index, manner);
        }
    }

    /// Closes a stream: what was written is sent, then FIN, then the peer's is awaited. With a `manner` of the caller's
    /// otherwise.
    pub(super) fn close_stream(&mut self, index: u32, manner: Option<(CloseReason, Manner)>) {
        let Some(stream) = self.futures.streams.get(index as usize) else { return };
        let Some(slot) = self.slot(stream.id) else { return };
        if self.links[slot as usize].is_live() {
            let ours = (CloseReason::new(By::Us, PhaseName::Transfer), Manner::Linger);
            let (reason, manner) = manner.unwrap_or(ours);
            self.begin_close(slot, reason, manner);
        }
    }

    /// FIN follows the last byte that was written.
    pub(super) fn finish_stream(&mut self, index: u32) {
        let Some(stream) = self.futures.streams.get_mut(index as usize) else { return };
        stream.finishing = true;
        let id = stream.id;
        let Some(slot) = self.slot(id) else { return };
        if self.links[slot as usize].is_live() && self.resting_view(slot).tx == 0 {
            self.link(slot).input(Input::Finish);
            self.enqueue(slot);
        }
    }

    /// Whether a stream has something to read: bytes (true), or its end (false).
    pub(super) fn poll_received(&mut self, index: u32, cx: &Context<'_>) -> Poll<std::io::Result<bool>> {
        let Futures { streams, trash, .. } = &mut self.futures;
        let Some(stream) = streams.get_mut(index as usize) else { return Poll::Ready(Ok(false)) };
        if !stream.rx.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if stream.eof {
            return Poll::Ready(Ok(false));
        }
        if let Some(report) = &stream.report {
            return Poll::Ready(Err(super::error::broken(report, false)));
        }
        Futures::register(&mut stream.reader, cx, trash);
        stream.reading = true;
        let id = stream.id;
        let Some(slot) = self.slot(id) else { return Poll::Pending };
        let now = self.now;
        let link = self.link(slot);
        if link.has(PAUSED) {
            link.clear(PAUSED);
            link.set(DATA_DUE);
            link.wait_anew(now);
            self.enqueue(slot);
        }
        Poll::Pending
    }

    /// The slot of a stream to which bytes can be written, if there is room. Who waits is woken when half is free.
    pub(super) fn poll_room(
        &mut self,
        index: u32,
        need: usize,
        cx: &Context<'_>,
    ) -> Poll<std::io::Result<u32>> {
        let Futures { streams, trash, .. } = &mut self.futures;
        let Some(stream) = streams.get_mut(index as usize) else {
            return Poll::Ready(Err(super::error::finished()));
        };
        if let Some(report) = &stream.report {
            return Poll::Ready(Err(super::error::broken(report, true)));
        }
        if stream.finishing {
            return Poll::Ready(Err(super::error::finished()));
        }
        Futures::register(&mut stream.writer, cx, trash);
        stream.writing = true;
        let id = stream.id;
        let Some(slot) = self.slot(id) else { return Poll::Pending };
        let link = &self.links[slot as usize];
        if !link.is_live() {
            // Its end is on the way to us.
            return Poll::Pending;
        }
        if !link.tx_open() {
            return Poll::Ready(Err(super::error::finished()));
        }
        let (io, pool) = self.io(slot);
        io.tx.attach(pool);
        if io.tx.room() < need {
            return Poll::Pending;
        }
        if let Some(stream) = self.futures.streams.get_mut(index as usize) {
            stream.writing = false;
        }
        self.enqueue(slot);
        Poll::Ready(Ok(slot))
    }

    /// Whether all that was written has been handed to the kernel.
    pub(super) fn poll_flushed(&mut self, index: u32, cx: &Context<'_>) -> Poll<std::io::Result<()>> {
        let Futures { streams, trash, .. } = &mut self.futures;
        let Some(stream) = streams.get_mut(index as usize) else { return Poll::Ready(Ok(())) };
        if let Some(report) = &stream.report {
            let lost = report.reason.class.is_some() || report.reason.unsent > 0;
            return Poll::Ready(if lost { Err(super::error::broken(report, true)) } else { Ok(()) });
        }
        Futures::register(&mut stream.writer, cx, trash);
        stream.writing = true;
        let id = stream.id;
        let Some(slot) = self.slot(id) else { return Poll::Pending };
        if self.resting_view(slot).tx == 0 && self.links[slot as usize].is_live() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl Service for Streams {
    fn call(&mut self, call: Call, slot: u32, io: &mut Io, core: &mut Core) -> bool {
        let link = core.link(slot);
        let index = link.conn;
        link.clear(due(call));
        // A waker is somebody's code.
        let done = contain(|| match call {
            Call::Open if index == UNBORN => core.admit_stream(slot),
            Call::Open => {
                if let Some(stream) = core.futures.streams.get_mut(index as usize) {
                    stream.opened = true;
                    stream.wake_writer();
                }
            }
            Call::Data => core.receive(slot, index, io),
            Call::Room => core.sent(slot, index, io),
            Call::Eof => {
                if let Some(stream) = core.futures.streams.get_mut(index as usize) {
                    stream.eof = true;
                    stream.wake_reader();
                }
            }
            // Streams set neither, and who serves them hears of a drain by its own future.
            Call::Timer | Call::Deadline | Call::Drain => {}
        });
        done.is_some()
    }

    fn accept(&mut self, _: Accepted<'_>) -> Result<u32, Refuse> {
        Ok(UNBORN)
    }

    fn limit(&mut self, _: Accepted<'_>) -> Refuse {
        Refuse::silent()
    }

    fn close(&mut self, conn: u32, report: &Report, core: &mut Core) -> bool {
        contain(|| core.ended(conn, report)).is_some()
    }

    fn task_error(&mut self, report: &TaskReport, core: &mut Core) -> bool {
        self.face.task_error(report, core)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        &mut self.face
    }
}

/// Streams that were accepted and that nobody takes any more.
impl Core {
    pub(super) fn drop_queued(&mut self, queue: VecDeque<u32>) {
        for index in queue {
            self.let_go(index, half::BOTH);
        }
    }
}
