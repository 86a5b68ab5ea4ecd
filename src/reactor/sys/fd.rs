//! The only `unsafe` of the crate: three things that no safe call offers, each with its reason.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// The poll's descriptor, for which mio has only the raw number.
pub(super) fn of_poll(poll: &mio::Poll) -> BorrowedFd<'_> {
    // SAFETY: the descriptor belongs to `poll` and stays open as long as the borrow of it.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}

/// Bytes that were written to a socket and not yet acknowledged.
pub(super) fn unacknowledged(socket: impl AsFd) -> Option<u64> {
    const SIOCOUTQ: Opcode = 0x5411;
    // SAFETY: on a socket, SIOCOUTQ writes one int (tcp(7), unix(7)); elsewhere it is TIOCOUTQ, which does too, or an
    // error.
    let bytes = unsafe { ioctl(socket.as_fd(), Getter::<SIOCOUTQ, core::ffi::c_int>::new()) };
    bytes.ok().and_then(|n| u64::try_from(n).ok())
}

/// A listening socket that this process inherited under the number `fd`.
///
/// # Errors
/// The number is not open, was not inherited, or is no listening socket.
pub(super) fn inherited_listener(fd: RawFd) -> io::Result<OwnedFd> {
    let problem = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
    if fd < 0 {
        return Err(problem("a descriptor is not negative"));
    }
    // SAFETY: the number is only asked for its flags; a closed one answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    if rustix::io::fcntl_getfd(borrowed)?.contains(FdFlags::CLOEXEC) {
        // No exec leaves such a descriptor open: this process made it, and something here owns it.
        return Err(problem("the descriptor was not inherited"));
    }
    if !rustix::net::sockopt::socket_acceptconn(borrowed)? {
        return Err(problem("the descriptor is no listening socket"));
    }
    // SAFETY: the descriptor is open and was inherited, so nothing in this process owns it but who named it here; and
    // close-on-exec, set below, keeps it from being taken twice.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&owned, FdFlags::CLOEXEC)?;
    Ok(owned)
}
