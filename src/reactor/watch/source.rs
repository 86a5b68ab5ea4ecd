//! [`Source`]: a watched descriptor in the hands of its callback, whatever the kernel. What the callback wishes is
//! carried out when it has returned, by the parent.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::ENDS;
use crate::reactor::id::WatchId;
use crate::reactor::sys::{Ready, Sys};

/// The descriptor's side of a [`Source`], whatever the kernel.
pub(super) trait Descriptor {
    fn fd(&self) -> BorrowedFd<'_>;
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, from: &[u8]) -> io::Result<usize>;
}

pub(super) struct Open<'a, S: Sys> {
    pub(super) sys: &'a mut S,
    pub(super) watched: &'a S::Watched,
}

impl<S: Sys> Descriptor for Open<'_, S> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.sys.watched_read(self.watched, into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.sys.watched_write(self.watched, from)
    }
}

/// A watched descriptor in the hands of its callback.
pub struct Source<'a> {
    id: WatchId,
    ready: Ready,
    interest: Ready,
    io: &'a mut dyn Descriptor,
    /// Ends that this call cannot have learned of: what it tried decided nothing, or found something before them.
    pub(super) again: Ready,
    pub(super) closed: bool,
    pub(super) wish: Option<Ready>,
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("id", &self.id).field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl<'a> Source<'a> {
    pub(super) const fn new(id: WatchId, ready: Ready, interest: Ready, io: &'a mut dyn Descriptor) -> Self {
        Self { id, ready, interest, io, again: Ready::NONE, closed: false, wish: None }
    }
}

impl Source<'_> {
    /// The watch.
    pub const fn id(&self) -> WatchId {
        self.id
    }

    /// What the kernel said just before this call: of READABLE, WRITABLE and PRIORITY those that the interest names,
    /// and ends.
    ///
    /// READABLE means that a read has something to say: bytes, or the end of them (it stands beside READ_CLOSED then).
    /// ERROR stands for a pending error, which the next read or write fetches, or for a pipe that nobody reads.
    pub const fn ready(&self) -> Ready {
        self.ready
    }

    /// What the watch wanted to hear of when this call began.
    pub const fn interest(&self) -> Ready {
        self.interest
    }

    /// The descriptor, for system calls of your own. On the simulator it is a stand-in that only [`Source::read`] and
    /// [`Source::write`] understand.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.io.fd()
    }

    /// One `read(2)` into `into`; 0 at the end. How many bytes of it were filled.
    ///
    /// # Errors
    /// Those of `read(2)`: `WouldBlock` and `Interrupted` among them. Both decide nothing: the callback comes again as
    /// long as the descriptor is ready, or at its end.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let result = self.io.read(into);
        match &result {
            // Bytes before the end that the kernel could not count: there may be more.
            Ok(1..) => self.again = self.again.or(Ready::READ_CLOSED),
            Ok(0) => {}
            Err(e) => self.undecided(e, Ready::READ_CLOSED),
        }
        result
    }

    /// One `write(2)` from `from`. How many bytes were taken.
    ///
    /// # Errors
    /// Those of `write(2)`, as for [`Source::read`].
    pub fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let result = self.io.write(from);
        if let Err(e) = &result {
            self.undecided(e, Ready::WRITE_CLOSED);
        }
        result
    }

    /// An attempt that was interrupted, or would have waited, has not met the `end` that it could have met.
    fn undecided(&mut self, e: &io::Error, end: Ready) {
        if e.kind() == io::ErrorKind::Interrupted {
            self.again = ENDS;
        } else if e.kind() == io::ErrorKind::WouldBlock {
            // An error can pend beside it, on a socket's error queue, and would be told for ever.
            self.again = self.again.or(end);
        }
    }

    /// Wants to hear of `interest` when this call has returned; see [`Table::set_interest`](crate::reactor::Table::set_interest).
    pub const fn set_interest(&mut self, interest: Ready) {
        self.wish = Some(interest);
    }

    /// Ends the watch when this call has returned: its descriptor is closed at the end of the turn.
    pub const fn close(&mut self) {
        self.closed = true;
    }
}
