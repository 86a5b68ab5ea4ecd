//! Receive and transmit buffers: bounded, contiguous, on blocks that a pool lends and takes back.
//!
//! A connection owns a block only while bytes are in flight. Bytes that have to wait, such as the first part of a
//! request head, move to the smallest block that holds them. Handlers see [`Input`] and [`Output`], never a block.

use std::fmt;
use std::io;
use std::mem;
use std::ops::Deref;

/// The most bytes that a connection buffers in each direction.
pub const BLOCK: usize = 64 * 1024;

/// The sizes of blocks, ascending.
const CLASSES: [usize; 4] = [1 << 10, 4 << 10, 16 << 10, BLOCK];

/// Free blocks kept for reuse, in bytes for each class; more are given back to the allocator.
const KEEP: usize = 4 << 20;

/// Lends blocks and keeps those that come back.
#[derive(Default)]
pub(crate) struct Pool {
    free: [Vec<Box<[u8]>>; CLASSES.len()],
}

impl Pool {
    fn class(len: usize) -> usize {
        CLASSES.iter().position(|c| *c >= len).unwrap_or(CLASSES.len() - 1)
    }

    /// A block of at least `len` bytes, at most [`BLOCK`]. Its content is arbitrary.
    fn take(&mut self, len: usize) -> Box<[u8]> {
        let class = Self::class(len);
        self.free[class].pop().unwrap_or_else(|| vec![0; CLASSES[class]].into_boxed_slice())
    }

    fn give(&mut self, block: Box<[u8]>) {
        let class = Self::class(block.len());
        let list = &mut self.free[class];
        if list.len() < KEEP / CLASSES[class] {
            list.push(block);
        }
    }
}

/// A queue of bytes in one block: `block[start..end]`.
#[derive(Default)]
pub(crate) struct Buf {
    block: Box<[u8]>,
    start: u32,
    end: u32,
}

impl Buf {
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.block.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Bytes that can still be added before the bound.
    pub(crate) fn room(&self) -> usize {
        BLOCK - self.len()
    }

    /// Drops the first `n` bytes (all, if there are fewer).
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n.min(self.len()) as u32;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Keeps only the first `n` bytes.
    pub(crate) fn truncate(&mut self, n: usize) {
        self.end = self.start + n.min(self.len()) as u32;
    }

    /// Makes sure that the block is a whole one, so that [`Buf::spare`] is all the room there is.
    pub(crate) fn attach(&mut self, pool: &mut Pool) {
        if self.block.len() == BLOCK {
            return;
        }
        let mut block = pool.take(BLOCK);
        let len = self.len();
        block[..len].copy_from_slice(self.bytes());
        let old = mem::replace(&mut self.block, block);
        (self.start, self.end) = (0, len as u32);
        if !old.is_empty() {
            pool.give(old);
        }
    }

    /// The free part of the block, after moving the bytes to its front where that gains room.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.block.copy_within(self.start as usize..self.end as usize, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.block.get_mut(self.end as usize..).unwrap_or_default()
    }

    /// Says that the first `n` bytes of [`Buf::spare`] were filled.
    pub(crate) fn commit(&mut self, n: usize) {
        self.end = (self.end + n as u32).min(self.block.len() as u32);
    }

    /// Appends as much of `bytes` as the block holds.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        if self.block.len() - (self.end as usize) < bytes.len() {
            self.spare();
        }
        let n = bytes.len().min(self.block.len() - self.end as usize);
        if let (Some(to), Some(from)) = (self.block.get_mut(self.end as usize..), bytes.get(..n)) {
            to[..n].copy_from_slice(from);
        }
        self.end += n as u32;
        n
    }

    /// Gives the block back when empty; else moves the bytes to the smallest block that holds them.
    pub(crate) fn settle(&mut self, pool: &mut Pool) {
        if self.block.is_empty() {
            return;
        }
        if self.is_empty() {
            pool.give(mem::take(&mut self.block));
            (self.start, self.end) = (0, 0);
        } else if CLASSES[Pool::class(self.len())] < self.block.len() {
            let mut block = pool.take(self.len());
            let len = self.len();
            block[..len].copy_from_slice(self.bytes());
            pool.give(mem::replace(&mut self.block, block));
            (self.start, self.end) = (0, len as u32);
        }
    }

    /// Whether a block is held.
    pub(crate) fn holds_block(&self) -> bool {
        !self.block.is_empty()
    }
}

/// The two buffers of a connection, and what the last callback did with them.
#[derive(Default)]
pub(crate) struct Io {
    pub(crate) rx: Buf,
    pub(crate) tx: Buf,
    /// A handler wanted to write more than fitted.
    pub(crate) starved: bool,
}

/// Received bytes, in order, as one slice. The handler consumes what it has understood; the rest stays and is there
/// again, with what has come since, at the next call.
pub struct Input<'a> {
    pub(crate) buf: &'a mut Buf,
}

impl Input<'_> {
    /// The same bytes for a shorter time, to be handed on by value: for handlers that pass callbacks on to others.
    pub fn reborrow(&mut self) -> Input<'_> {
        Input { buf: self.buf }
    }

    /// Drops the first `n` bytes (all, if there are fewer).
    pub fn consume(&mut self, n: usize) {
        self.buf.consume(n);
    }

    /// All bytes that are there.
    pub fn bytes(&self) -> &[u8] {
        self.buf.bytes()
    }
}

impl Deref for Input<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buf.bytes()
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} bytes)", self.buf.len())
    }
}

/// Bytes on their way to the peer, at most [`BLOCK`]. A write that does not fit whole marks the connection as waiting
/// for room: `on_room` is called when there is some, then `on_data` again if bytes were left unread.
pub struct Output<'a> {
    pub(crate) buf: &'a mut Buf,
    pub(crate) starved: &'a mut bool,
    /// False while a file is sent or after `finish`: then there is no room.
    pub(crate) open: bool,
}

impl Output<'_> {
    /// The same buffer for a shorter time, to be handed on by value: for handlers that pass callbacks on to others.
    pub fn reborrow(&mut self) -> Output<'_> {
        Output { buf: self.buf, starved: self.starved, open: self.open }
    }

    /// Bytes that can be written now.
    pub fn room(&self) -> usize {
        if self.open { self.buf.room() } else { 0 }
    }

    /// Bytes that wait to be sent.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Whether `n` bytes fit; if not, the connection waits for room. `n` over [`BLOCK`] never fits.
    pub fn reserve(&mut self, n: usize) -> bool {
        let fits = n <= self.room();
        *self.starved |= !fits;
        fits
    }

    /// Writes as much as fits, and says how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if !self.open {
            *self.starved |= !bytes.is_empty();
            return 0;
        }
        let n = self.buf.push(bytes);
        *self.starved |= n < bytes.len();
        n
    }

    /// Writes all of `bytes` or nothing, and says which.
    #[must_use = "nothing was written when this is false; on_room follows"]
    pub fn write_whole(&mut self, bytes: &[u8]) -> bool {
        self.reserve(bytes.len()) && self.write(bytes) == bytes.len()
    }

    /// Moves as much of `rx` as fits, without copying where a whole block can change hands.
    pub fn take_from(&mut self, rx: &mut Input<'_>) -> usize {
        if self.open && self.buf.is_empty() {
            mem::swap(self.buf, rx.buf);
            return self.buf.len();
        }
        let n = self.write(rx.buf.bytes());
        rx.consume(n);
        n
    }

    /// The free part of the buffer, to be filled in place; [`Output::commit`] says how much was.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.open { self.buf.spare() } else { &mut [] }
    }

    /// Says that the first `n` bytes of [`Output::spare`] were filled.
    pub fn commit(&mut self, n: usize) {
        if self.open {
            self.buf.commit(n);
        }
    }

    /// Takes back what was written last, keeping the first `len` bytes. Bytes already sent stay sent.
    pub fn truncate(&mut self, len: usize) {
        if self.open {
            self.buf.truncate(len);
        }
    }
}

impl io::Write for Output<'_> {
    /// # Errors
    /// `WouldBlock` when there is no room at all.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Output::write(self, bytes) {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Output<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.write_whole(s.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({} bytes, open: {})", self.buf.len(), self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_keeps_its_order_over_moves_and_blocks() {
        let mut pool = Pool::default();
        let mut buf = Buf::default();
        let (mut wrote, mut read) = (0u8, 0u8);
        for round in 0..2000usize {
            buf.attach(&mut pool);
            for _ in 0..round % 300 {
                if buf.push(&[wrote]) == 1 {
                    wrote = wrote.wrapping_add(1);
                }
            }
            let n = buf.len() * (round % 7) / 6;
            for b in &buf.bytes()[..n] {
                assert_eq!(*b, read);
                read = read.wrapping_add(1);
            }
            buf.consume(n);
            if round % 3 == 0 {
                buf.settle(&mut pool);
                assert_eq!(buf.holds_block(), !buf.is_empty());
            }
        }
    }

    #[test]
    fn waiting_bytes_move_to_the_smallest_block() {
        let mut pool = Pool::default();
        for (len, block) in
            [(1, 1 << 10), (1024, 1 << 10), (1025, 4 << 10), (5000, 16 << 10), (20_000, BLOCK)]
        {
            let mut buf = Buf::default();
            buf.attach(&mut pool);
            assert_eq!(buf.push(&vec![7; len]), len);
            buf.settle(&mut pool);
            assert_eq!((buf.block.len(), buf.bytes()), (block, vec![7; len].as_slice()));
        }
    }

    #[test]
    fn output_is_bounded_and_remembers_that_it_was_too_small() {
        let mut pool = Pool::default();
        let (mut buf, mut starved) = (Buf::default(), false);
        buf.attach(&mut pool);
        let mut tx = Output { buf: &mut buf, starved: &mut starved, open: true };
        assert_eq!(tx.write(&vec![1; BLOCK]), BLOCK);
        assert!(!*tx.starved);
        assert_eq!((tx.write(b"x"), tx.room()), (0, 0));
        assert!(*tx.starved);
    }

    #[test]
    fn a_closed_output_takes_nothing() {
        let (mut buf, mut starved) = (Buf::default(), false);
        let mut tx = Output { buf: &mut buf, starved: &mut starved, open: false };
        assert_eq!((tx.write(b"x"), tx.room(), tx.spare().len()), (0, 0, 0));
        assert!(!tx.write_whole(b"x"));
    }
}
