//! [`Stream`]: a connection whose two directions are read and written by futures, and its two halves.
//!
//! Bytes that have come lie in a block that nobody copies before they are read; bytes that are written go into the
//! connection's transmit buffer, and from there to the kernel in the same turn. Nothing here makes a system call.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::task::{Context, Poll};

use super::error::{broken, outside};
use super::local;
use super::state::{Futures, Leftover, half};
use super::task::NotSend;
use crate::reactor::buffer::{BLOCK, Buf};
use crate::reactor::close::Report;
use crate::reactor::id::ConnId;
use crate::reactor::sys::Peer;

/// One or both halves of a stream's state in the core.
pub(super) struct End {
    pub(super) tag: u64,
    pub(super) index: u32,
    pub(super) id: ConnId,
    pub(super) peer: Peer,
    /// The halves that this holds.
    halves: u8,
    /// Bytes that were lent out by `fill_buf`.
    pub(super) lent: Buf,
    _here: NotSend,
}

impl End {
    /// The whole of the stream `index`, which stands with `peer`.
    pub(super) fn new(tag: u64, index: u32, id: ConnId, peer: Peer) -> Self {
        Self { tag, index, id, peer, halves: half::BOTH, lent: Buf::default(), _here: PhantomData }
    }

    /// Gives some of its halves away, what was lent out among them.
    fn give(&mut self, halves: u8) -> Self {
        let (tag, index, id, peer) = (self.tag, self.index, self.id, self.peer);
        let given = self.halves & halves;
        self.halves &= !halves;
        let lent = if halves & half::READ != 0 { mem::take(&mut self.lent) } else { Buf::default() };
        Self { tag, index, id, peer, halves: given, lent, _here: PhantomData }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.lent.is_empty() {
            let n = copy(&self.lent, into);
            self.consume(n);
            return Poll::Ready(Ok(n));
        }
        let index = self.index;
        let polled = local::with(self.tag, |core| {
            let polled = core.poll_received(index, cx);
            if let (Poll::Ready(Ok(true)), Some(stream)) =
                (&polled, core.futures.streams.get_mut(index as usize))
            {
                let n = copy(&stream.rx, into);
                stream.rx.consume(n);
                stream.rx.settle(&mut core.pool);
                return Poll::Ready(Ok(n));
            }
            polled.map(|polled| polled.map(|_| 0))
        });
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    }

    /// Moves what has come to where it can be lent; `Ok` with nothing there is the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let (index, lent) = (self.index, &mut self.lent);
        let polled = local::with(self.tag, |core| {
            let polled = core.poll_received(index, cx);
            if let (Poll::Ready(Ok(true)), Some(stream)) =
                (&polled, core.futures.streams.get_mut(index as usize))
            {
                mem::swap(&mut stream.rx, lent);
            }
            polled.map(|polled| polled.map(drop))
        });
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    }

    /// The first `n` bytes that were lent are done with; the last gives the block back.
    pub(super) fn consume(&mut self, n: usize) {
        self.lent.consume(n);
        if self.lent.is_empty() && self.lent.holds_block() {
            let mut lent = mem::take(&mut self.lent);
            // Outside a poll the block goes to the allocator.
            local::with(self.tag, |core| lent.settle(&mut core.pool));
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if from.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let index = self.index;
        let polled = local::with(self.tag, |core| {
            core.poll_room(index, 1, cx).map_ok(|slot| core.io(slot).0.tx.push(from))
        });
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    }

    /// Waits until `need` bytes fit.
    fn poll_room(&mut self, cx: &mut Context<'_>, need: usize) -> Poll<io::Result<()>> {
        let index = self.index;
        if need > BLOCK {
            let what = "more room than a stream's buffer has";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        let polled = local::with(self.tag, |core| core.poll_room(index, need, cx).map_ok(drop));
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    }

    fn write_whole(&mut self, from: &[u8]) -> io::Result<bool> {
        let index = self.index;
        let wrote = local::with(self.tag, |core| {
            let Some(stream) = core.futures.streams.get(index as usize) else { return Ok(false) };
            if let Some(report) = &stream.report {
                return Err(broken(report, true));
            }
            let open = core.slot(stream.id).filter(|slot| core.links[*slot as usize].tx_open());
            let Some(slot) = open.filter(|_| !stream.finishing) else { return Err(super::error::finished()) };
            let (io, pool) = core.io(slot);
            io.tx.attach(pool);
            let fits = io.tx.room() >= from.len();
            if fits {
                io.tx.push(from);
            }
            core.enqueue(slot);
            Ok(fits)
        });
        wrote.unwrap_or_else(|| Err(outside()))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let index = self.index;
        let polled = local::with(self.tag, |core| core.poll_flushed(index, cx));
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    }

    /// All is sent, then FIN.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let index = self.index;
        let polled = local::with(self.tag, |core| {
            core.finish_stream(index);
            core.poll_flushed(index, cx)
        });
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Report>> {
        let index = self.index;
        let polled = local::with(self.tag, |core| {
            let Futures { streams, trash, .. } = &mut core.futures;
            let Some(stream) = streams.get_mut(index as usize) else { return Poll::Ready(Err(outside())) };
            if let Some(report) = &stream.report {
                return Poll::Ready(Ok(Report::clone(report)));
            }
            Futures::register(&mut stream.reader, cx, trash);
            stream.reading = true;
            Poll::Pending
        });
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    }

    async fn read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < into.len() {
            let rest = into.get_mut(done..).unwrap_or_default();
            let n = poll_fn(|cx| self.poll_read(cx, rest)).await?;
            if n == 0 {
                let what = "the stream ended before all that was asked for had come";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            done += n;
        }
        Ok(())
    }

    async fn write_all(&mut self, mut from: &[u8]) -> io::Result<()> {
        while !from.is_empty() {
            let n = poll_fn(|cx| self.poll_write(cx, from)).await?;
            from = from.get(n..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.halves != 0 {
            local::give_back(self.tag, Leftover::Stream(self.index, self.halves));
        }
    }
}

/// As much as `into` takes of what lies in `from`.
fn copy(from: &Buf, into: &mut [u8]) -> usize {
    let bytes = from.bytes();
    let n = bytes.len().min(into.len());
    if let (Some(to), Some(bytes)) = (into.get_mut(..n), bytes.get(..n)) {
        to.copy_from_slice(bytes);
    }
    n
}

/// A connection that futures read and write. It implements the `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of
/// `futures-io` beside its own methods.
///
/// - While nobody reads, the connection reads one block ahead and then pauses: the kernel's window closes.
/// - A write waits only for room in the transmit buffer (64 KiB). What was written in a turn is sent in it.
/// - The bounds and deadlines of its [`Limits`](crate::reactor::Limits) apply, and come as errors of the read or write
///   that waits; [`StreamError`](super::StreamError) has the reason.
/// - Dropped, it is closed as a handler closes: what was written is sent, then FIN, then input is discarded until the
///   peer's FIN, within bounds.
///
/// It belongs to its reactor's thread, and works within futures that this reactor polls.
pub struct Stream {
    pub(super) end: End,
}

/// The reading half of a [`Stream`].
pub struct ReadHalf {
    pub(super) end: End,
}

/// The writing half of a [`Stream`]. Dropped, it finishes: FIN follows the last byte.
pub struct WriteHalf {
    pub(super) end: End,
}

/// What all three have.
macro_rules! common {
    ($($name:ident)*) => { $(
        impl $name {
            /// The connection.
            pub const fn id(&self) -> ConnId {
                self.end.id
            }

            /// Who is at the other end.
            pub const fn peer(&self) -> Peer {
                self.end.peer
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("id", &self.end.id).field("peer", &self.end.peer).finish()
            }
        }
    )* };
}
common!(Stream ReadHalf WriteHalf);

macro_rules! reading {
    ($($name:ident)*) => { $(
        /// Reading.
        impl $name {
            /// Reads what has come, at least one byte; 0 at the end of the stream, and when `into` has no room.
            ///
            /// # Errors
            /// How the connection ended, when it did not end with the peer's FIN. Bytes that had come before are read
            /// first.
            pub async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                poll_fn(|cx| self.end.poll_read(cx, into)).await
            }

            /// Reads until `into` is full.
            ///
            /// # Errors
            /// As [`Self::read`], and `UnexpectedEof` when the stream ends before.
            pub async fn read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
                self.end.read_exact(into).await
            }

            /// What has come, where it lies, at least one byte; nothing at the end of the stream. [`Self::consume`] says
            /// how much of it is done with.
            ///
            /// # Errors
            /// As [`Self::read`].
            pub async fn fill_buf(&mut self) -> io::Result<&[u8]> {
                poll_fn(|cx| self.end.poll_fill(cx)).await?;
                Ok(self.end.lent.bytes())
            }

            /// The first `n` bytes of [`Self::fill_buf`] are done with.
            pub fn consume(&mut self, n: usize) {
                self.end.consume(n);
            }
        }
    )* };
}
reading!(Stream ReadHalf);

macro_rules! writing {
    ($($name:ident)*) => { $(
        /// Writing.
        impl $name {
            /// Writes as much as fits into the transmit buffer, at least one byte.
            ///
            /// # Errors
            /// How the connection ended; `BrokenPipe` after [`Self::finish`].
            pub async fn write(&mut self, from: &[u8]) -> io::Result<usize> {
                poll_fn(|cx| self.end.poll_write(cx, from)).await
            }

            /// Writes all of `from`. Cancelled, it may have written a part.
            ///
            /// # Errors
            /// As [`Self::write`].
            pub async fn write_all(&mut self, from: &[u8]) -> io::Result<()> {
                self.end.write_all(from).await
            }

            /// Writes all of `from` or nothing, at once, and says which. For who must not wait for a slow peer.
            ///
            /// # Errors
            /// As [`Self::write`].
            pub fn write_whole(&mut self, from: &[u8]) -> io::Result<bool> {
                self.end.write_whole(from)
            }

            /// Waits until `n` bytes (at most 64 KiB) fit.
            ///
            /// # Errors
            /// As [`Self::write`].
            pub async fn room(&mut self, n: usize) -> io::Result<()> {
                poll_fn(|cx| self.end.poll_room(cx, n)).await
            }

            /// As [`Self::room`], for futures that are written by hand.
            ///
            /// # Errors
            /// As [`Self::write`].
            pub fn poll_room(&mut self, cx: &mut Context<'_>, n: usize) -> Poll<io::Result<()>> {
                self.end.poll_room(cx, n)
            }

            /// Waits until all that was written is with the kernel.
            ///
            /// # Errors
            /// As [`Self::write`].
            pub async fn flush(&mut self) -> io::Result<()> {
                poll_fn(|cx| self.end.poll_flush(cx)).await
            }

            /// Nothing more is written: FIN follows the last byte, and is waited for. Reading goes on.
            ///
            /// # Errors
            /// As [`Self::write`].
            pub async fn finish(&mut self) -> io::Result<()> {
                poll_fn(|cx| self.end.poll_finish(cx)).await
            }
        }
    )* };
}
writing!(Stream WriteHalf);

impl ReadHalf {
    /// The stream whose halves these are.
    ///
    /// # Errors
    /// Both, when they are of different streams.
    pub fn reunite(mut self, mut other: WriteHalf) -> Result<Stream, Box<(Self, WriteHalf)>> {
        if (self.end.tag, self.end.id) != (other.end.tag, other.end.id) {
            return Err(Box::new((self, other)));
        }
        self.end.halves |= mem::take(&mut other.end.halves);
        Ok(Stream { end: self.end.give(half::BOTH) })
    }
}

impl Stream {
    /// The two directions apart, for two tasks or for a [`join`](super::join). With both halves dropped, the stream is.
    pub fn split(mut self) -> (ReadHalf, WriteHalf) {
        let write = WriteHalf { end: self.end.give(half::WRITE) };
        (ReadHalf { end: self.end.give(half::READ) }, write)
    }

    /// Closes, as dropping does, and waits for the end: when the peer's FIN has come, or lingering for it is over. The
    /// report says how it went and where the time went.
    ///
    /// # Errors
    /// Only outside the reactor's polls.
    pub async fn close(mut self) -> io::Result<Report> {
        let index = self.end.index;
        local::with(self.end.tag, |core| core.close_stream(index, None));
        poll_fn(|cx| self.end.poll_report(cx)).await
    }

    /// Ends the connection with RST; what was written may be lost. At once within the reactor's polls, elsewhere when
    /// it polls next.
    pub fn abort(mut self) {
        let halves = mem::take(&mut self.end.halves);
        local::give_back(self.end.tag, Leftover::Abort(self.end.index, halves));
    }
}
