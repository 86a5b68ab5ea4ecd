//! The kernel as a parameter: the system calls that a reactor makes, and no others.
//!
//! [`MioSys`] is the real kernel; `testing::Sim` is a seeded one. Nothing else in the reactor names a socket type,
//! `mio::net`, `socket2` or a clock. Implementations keep these promises, which the reactor builds on:
//!
//! - Sockets are non-blocking. A call that cannot go on answers `WouldBlock`, and when it can go on again, an event
//!   is delivered for it (edge-triggered: only after a `WouldBlock`, or after a short read where
//!   [`Sys::short_read_drains`] says so). Events may be spurious, repeated and in any order.
//! - [`Sys::register`] delivers the readiness that exists at that moment as an event.
//! - Watched descriptors are not necessarily non-blocking; events come for them as for sockets, and
//!   [`Sys::watched_ready`] is the truth of the moment.
//! - No call on a socket raises SIGPIPE. (A write to an adopted pipe or to a watched descriptor does, where the program
//!   has not ignored it; Rust's runtime has.)

use std::fmt;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::endpoint::Endpoint;
use super::id::Token;
use super::limits::WorkersConfig;
use super::time::Time;
use super::workers::Workers;

mod address;
mod ahead;
mod fd;
mod linux;
mod listen;
mod options;
mod pool;

pub use ahead::Presence;
pub(crate) use ahead::read_ahead;
pub use linux::{MioSocket, MioSys, raise_fd_limit};
pub use listen::MioListener;

/// The monotonic clock: this and the next are where clocks are read, and nothing else is.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(super) fn monotonic() -> Instant {
    Instant::now()
}

/// The wall clock, as the time since 1970; zero before.
#[allow(clippy::disallowed_methods, reason = "the one place")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Kernel readiness, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A read can make progress.
    pub const READABLE: Self = Self(1);
    /// A write can make progress.
    pub const WRITABLE: Self = Self(2);
    /// The peer has shut its writing side.
    pub const READ_CLOSED: Self = Self(4);
    /// Nothing that is written now can arrive.
    pub const WRITE_CLOSED: Self = Self(8);
    /// An error is pending on the socket.
    pub const ERROR: Self = Self(16);
    /// Urgent data was seen.
    pub const PRIORITY: Self = Self(32);

    /// The bits of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits of `self` that `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The bits that both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether no bit is set.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether any bit of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// `other` when `yes`, else nothing.
    pub(crate) const fn when(yes: bool, other: Self) -> Self {
        if yes { other } else { Self::NONE }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READABLE, 'r'),
            (Self::WRITABLE, 'w'),
            (Self::READ_CLOSED, 'R'),
            (Self::WRITE_CLOSED, 'W'),
            (Self::ERROR, 'e'),
            (Self::PRIORITY, 'p'),
        ];
        for (bit, name) in names {
            if self.any(bit) {
                write!(f, "{name}")?;
            }
        }
        Ok(())
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A process on this machine, over a Unix socket.
    Unix,
    /// An adopted descriptor whose peer has no address.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => at.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("-"),
        }
    }
}

/// How long the steps of making a listener took, in nanoseconds (records S and B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetupParts {
    /// `socket()`.
    pub socket: u64,
    /// Setting options.
    pub options: u64,
    /// Name resolution; 0 for numbers.
    pub resolve: u64,
    /// `bind()`, with the probe of a Unix socket that already exists.
    pub bind: u64,
    /// `listen()`.
    pub listen: u64,
    /// Registration with the poll.
    pub register: u64,
}

impl SetupParts {
    /// The parts' sum, in nanoseconds.
    pub const fn total(&self) -> u64 {
        self.socket + self.options + self.resolve + self.bind + self.listen + self.register
    }
}

/// A new listener, with what the kernel chose.
#[derive(Debug)]
pub struct Listening<L> {
    /// The listener.
    pub listener: L,
    /// Its address, with the port that the kernel chose where 0 was asked for.
    pub at: Endpoint,
    /// What its making cost.
    pub parts: SetupParts,
}

/// A descriptor that was taken over.
#[derive(Debug)]
pub struct Adopted<S> {
    /// It.
    pub socket: S,
    /// Who is at the other end.
    pub peer: Peer,
    /// It can be read from: not the writing end of a pipe.
    pub reads: bool,
    /// It can be written to: not the reading end of a pipe.
    pub writes: bool,
}

/// The step of a set-up call that failed, with the system's error.
#[derive(Debug)]
pub struct SetupError {
    /// `socket`, `options`, `resolve`, `bind`, `listen` or `register`.
    pub step: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// Wakes a reactor that sleeps in its poll, from any thread.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `f`; `f` must make the next (or the current) poll return.
    pub fn new(f: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// Wakes the reactor.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Reads a reactor's clock, from any thread.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// A clock that `f` reads.
    pub fn new(f: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// The time now.
    pub fn now(&self) -> Time {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The system calls of a reactor. See the module's text for what implementations promise.
pub trait Sys: 'static {
    /// A stream socket or an adopted descriptor.
    type Socket: 'static;
    /// A listening socket.
    type Listener: 'static;
    /// A descriptor of any pollable kind, whose bytes are its user's affair.
    type Watched: AsFd + 'static;

    /// The monotonic clock.
    fn now(&mut self) -> Time;

    /// The monotonic clock, for other threads: what they hand over is stamped when they do.
    fn clock(&self) -> Clock;

    /// The wall clock, as the time since 1970.
    fn unix_time(&mut self) -> Duration;

    /// Waits for events, at most `max_wait` (`None`: without end), and hands each to `mark`.
    ///
    /// # Errors
    /// Those after which the reactor cannot go on; an interrupted wait is no error but no events.
    fn poll(&mut self, max_wait: Option<Duration>, mark: &mut dyn FnMut(Token, Ready)) -> io::Result<()>;

    /// A waker for this reactor's poll; its event has [`Token::Wake`].
    fn waker(&self) -> Waker;

    /// A pool of threads for work that blocks, whose jobs read this reactor's clock. It starts none before its first
    /// job, and wakes this reactor's poll when it was shut down and its last thread has ended.
    fn workers(&self, config: WorkersConfig) -> Box<dyn Workers>;

    /// Makes, binds and registers a listening socket.
    ///
    /// # Errors
    /// The failing step and the system's error.
    fn listen(&mut self, at: &Endpoint, token: Token) -> Result<Listening<Self::Listener>, SetupError>;

    /// Takes the next connection from the queue.
    ///
    /// # Errors
    /// `WouldBlock` when the queue is empty, and those of `accept(2)`.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Socket, Peer)>;

    /// Out of descriptors: gives up the spare one, accepts a connection, closes it at once and takes the spare
    /// one back. Whether a connection was shed.
    fn shed(&mut self, listener: &Self::Listener) -> bool;

    /// Closes a listener, and removes the file of a Unix socket if it is still its own.
    fn close_listener(&mut self, listener: Self::Listener);

    /// Begins to connect; `true` when the connection already stands. The endpoint is resolved.
    ///
    /// # Errors
    /// Those of `socket(2)`, `setsockopt(2)` and `connect(2)`.
    fn connect(&mut self, to: &Endpoint) -> io::Result<(Self::Socket, bool)>;

    /// Takes over a descriptor. A regular file cannot be polled and is refused.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    fn adopt(&mut self, fd: OwnedFd) -> io::Result<Adopted<Self::Socket>>;

    /// Registers a socket for reading, writing and urgent data, once and for all.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    fn register(&mut self, socket: &Self::Socket, token: Token) -> io::Result<()>;

    /// Whether a connect that was begun has succeeded.
    ///
    /// # Errors
    /// The pending error of the socket: why the connect failed.
    fn connected(&mut self, socket: &Self::Socket) -> io::Result<bool>;

    /// The pending error of the socket, which is thereby cleared.
    fn take_error(&mut self, socket: &Self::Socket) -> Option<io::Error>;

    /// Reads into `into`; 0 at the end of the stream.
    ///
    /// # Errors
    /// Those of `read(2)`.
    fn read(&mut self, socket: &Self::Socket, into: &mut [u8]) -> io::Result<usize>;

    /// Writes from `from`; `more` tells that further bytes follow at once.
    ///
    /// # Errors
    /// Those of `send(2)`.
    fn write(&mut self, socket: &Self::Socket, from: &[u8], more: bool) -> io::Result<usize>;

    /// Where the `len` bytes of `file` from `offset` are, asked without waiting: a hint, for pages come and go.
    fn file_presence(&mut self, file: &File, offset: u64, len: usize) -> Presence;

    /// Sends up to `max` bytes of `file` from `offset`, waiting for the disk where they are not in memory; 0 when the file ends there.
    ///
    /// # Errors
    /// Those of `sendfile(2)`.
    fn send_file(&mut self, socket: &Self::Socket, file: &File, offset: u64, max: usize)
    -> io::Result<usize>;

    /// Sends FIN.
    ///
    /// # Errors
    /// Those of `shutdown(2)`.
    fn shutdown_write(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Bytes that were written and that the peer has not acknowledged; `None` where the kernel cannot tell.
    fn unacknowledged(&mut self, socket: &Self::Socket) -> Option<u64>;

    /// Whether a read that fills its buffer only partly has emptied the socket, so that new bytes make an event.
    /// True for TCP on epoll only: urgent data, passed descriptors and foreign kinds leave bytes behind.
    fn short_read_drains(socket: &Self::Socket) -> bool;

    /// Closes a socket; `abort` sends RST instead of what is queued.
    fn close(&mut self, socket: Self::Socket, abort: bool);

    /// Takes over a descriptor of any pollable kind and registers it for the kinds READABLE and WRITABLE in `interest`,
    /// and for urgent data, hang-ups and errors. Its flags are left as they are.
    ///
    /// # Errors
    /// `InvalidInput` for what cannot be polled, such as a regular file, and those of `epoll_ctl(2)`.
    fn watch(&mut self, fd: OwnedFd, token: Token, interest: Ready) -> io::Result<Self::Watched>;

    /// Registers a watched descriptor for more kinds: those of `interest` from now on, and what it is ready for then.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    fn widen(&mut self, watched: &Self::Watched, token: Token, interest: Ready) -> io::Result<()>;

    /// What a watched descriptor is ready for at this moment, of the kinds READABLE, WRITABLE and PRIORITY in
    /// `interest`; and its ends:
    ///
    /// - READ_CLOSED when nothing more can come, WRITE_CLOSED when nothing can go out, ERROR when one is pending;
    ///   a peer's half-close counts only with READABLE in `interest`, hang-ups and errors always do;
    /// - READABLE beside READ_CLOSED means that bytes are left before the end.
    ///
    /// # Errors
    /// Those of `poll(2)`.
    fn watched_ready(&mut self, watched: &Self::Watched, interest: Ready) -> io::Result<Ready>;

    /// Reads into `into`; it waits only if the descriptor is a blocking one that is not ready.
    ///
    /// # Errors
    /// Those of `read(2)`.
    fn watched_read(&mut self, watched: &Self::Watched, into: &mut [u8]) -> io::Result<usize>;

    /// Writes from `from`; as [`Sys::watched_read`].
    ///
    /// # Errors
    /// Those of `write(2)`.
    fn watched_write(&mut self, watched: &Self::Watched, from: &[u8]) -> io::Result<usize>;

    /// Gives a watched descriptor back, no longer registered.
    fn release(&mut self, watched: Self::Watched) -> OwnedFd;

    /// Closes a watched descriptor.
    fn close_watched(&mut self, watched: Self::Watched) {
        drop(self.release(watched));
    }

    /// How many descriptors this process may have, where there is a limit.
    fn descriptor_limit(&self) -> Option<u64>;
}

#[cfg(test)]
mod tests;
