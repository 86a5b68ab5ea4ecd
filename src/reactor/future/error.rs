//! How the end of a connection looks to who reads and writes it: an [`io::Error`] with the reason inside.

use std::error;
use std::fmt;
use std::io;

use crate::reactor::class::Class;
use crate::reactor::close::{self, CloseReason, Report};

/// Why a stream gives no more bytes or takes none: the source of the [`io::Error`]s of a stream.
///
/// ```
/// use tidemill::reactor::future::StreamError;
///
/// let e = std::io::Error::other("not a stream's");
/// assert!(StreamError::of(&e).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StreamError {
    /// How the connection ended.
    pub reason: CloseReason,
}

impl StreamError {
    /// The reason within an error that a stream gave.
    pub fn of(e: &io::Error) -> Option<&Self> {
        e.get_ref()?.downcast_ref()
    }

    /// The class of the failure; `None` when the connection had ended in good order.
    pub const fn class(&self) -> Option<&'static Class> {
        self.reason.class
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.class {
            Some(class) => write!(f, "{}: {}", self.reason, class.cause),
            None => write!(f, "the connection has ended: {}", self.reason),
        }
    }
}

impl error::Error for StreamError {}

fn kind(reason: &CloseReason, writing: bool) -> io::ErrorKind {
    use io::ErrorKind as Kind;
    let Some(class) = reason.class else {
        return if writing { Kind::BrokenPipe } else { Kind::NotConnected };
    };
    let kinds = [
        (&close::TCP_RESET, Kind::ConnectionReset),
        (&close::TCP_REFUSED, Kind::ConnectionRefused),
        (&close::TCP_TIMED_OUT, Kind::TimedOut),
        (&close::TCP_IDLE, Kind::TimedOut),
        (&close::TCP_STALLED, Kind::TimedOut),
        (&close::TCP_UNREACHABLE, Kind::HostUnreachable),
        (&close::TCP_PEER_VANISHED, if writing { Kind::BrokenPipe } else { Kind::ConnectionReset }),
        (&close::TCP_ABORTED, Kind::ConnectionAborted),
        (&close::TCP_DRAINED, Kind::ConnectionAborted),
        (&close::SOCKET_NOT_FOUND, Kind::NotFound),
        (&close::SOCKET_PERMISSION, Kind::PermissionDenied),
        (&close::SOCKET_INVALID, Kind::InvalidInput),
        (&close::SOCKET_ADDRESS_UNAVAILABLE, Kind::AddrNotAvailable),
    ];
    kinds.iter().find(|(of, _)| **of == *class).map_or(Kind::Other, |(_, kind)| *kind)
}

/// The connection has ended.
pub(super) fn broken(report: &Report, writing: bool) -> io::Error {
    let reason = report.reason;
    io::Error::new(kind(&reason, writing), StreamError { reason })
}

/// Our side was finished before.
pub(super) fn finished() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this side of the stream was finished")
}

/// The stream is used where its reactor does not poll.
pub(super) fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, super::task::OUTSIDE)
}
