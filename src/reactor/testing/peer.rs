//! Scripted peers: a client or server that a test plays by hand, byte by byte.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;

use super::kernel::{Id, Kernel};
use super::socket::{Owner, Phase};
use crate::reactor::endpoint::Endpoint;

/// One end of a connection, in a test's hands. It is spared the kernel's faults, but not its buffers and delays.
///
/// Dropping it closes it.
pub struct SimPeer {
    kernel: Rc<RefCell<Kernel>>,
    id: Id,
    eof: bool,
    error: Option<io::Error>,
    closed: bool,
}

/// A listener in a test's hands. Dropping it closes it.
pub struct SimServer {
    kernel: Rc<RefCell<Kernel>>,
    id: Id,
    at: Endpoint,
}

impl SimPeer {
    pub(super) fn new(kernel: &Rc<RefCell<Kernel>>, id: Id) -> Self {
        Self { kernel: Rc::clone(kernel), id, eof: false, error: None, closed: false }
    }

    /// Whether the connection stands, or stood.
    pub fn is_connected(&self) -> bool {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.socks.get(&self.id).is_some_and(|sock| sock.peer.is_some())
    }

    /// Writes as much as the buffer takes, and says how much; 0 also when the connection does not stand. A failure is
    /// kept for [`SimPeer::error`].
    pub fn write(&mut self, from: &[u8]) -> usize {
        let wrote = {
            let kernel = &mut *self.kernel.borrow_mut();
            kernel.advance(Duration::ZERO);
            let wrote = kernel.write_plain(self.id, from, false);
            kernel.advance(Duration::ZERO);
            wrote
        };
        match wrote {
            Ok(n) => n,
            Err(e) => {
                self.note(e);
                0
            }
        }
    }

    /// Everything that has arrived. The end of the stream shows in [`SimPeer::is_eof`].
    pub fn read(&mut self) -> Vec<u8> {
        self.read_up_to(usize::MAX)
    }

    /// At most `most` of the bytes that have arrived.
    pub fn read_up_to(&mut self, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut block = [0; 4096];
        while out.len() < most {
            let want = block.len().min(most - out.len());
            let got = {
                let kernel = &mut *self.kernel.borrow_mut();
                kernel.advance(Duration::ZERO);
                kernel.read_plain(self.id, &mut block[..want], false)
            };
            match got {
                Ok(0) => {
                    self.eof = true;
                    break;
                }
                Ok(n) => out.extend_from_slice(&block[..n]),
                Err(e) => {
                    self.note(e);
                    break;
                }
            }
        }
        out
    }

    fn note(&mut self, e: Errno) {
        if e != Errno::AGAIN {
            self.error = Some(e.into());
        }
    }

    /// Whether a read has met the end of the stream.
    pub fn is_eof(&self) -> bool {
        self.eof
    }

    /// Why a read or write failed, or the connect; the first question takes it.
    pub fn error(&mut self) -> Option<io::Error> {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        let pending = kernel.socks.get_mut(&self.id).and_then(|sock| sock.err.take());
        self.error.take().or(pending.map(io::Error::from))
    }

    /// Whether the connection is over: refused, reset, or ended from both sides.
    pub fn is_finished(&self) -> bool {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.socks.get(&self.id).is_none_or(|s| s.phase == Phase::Closed || (s.shut_recv && s.shut_send))
    }

    /// Bytes that were written here and have not arrived (TCP) or have not been read (Unix).
    pub fn unacknowledged(&self) -> u64 {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.unacknowledged(self.id)
    }

    /// Sends FIN; reading goes on.
    pub fn shutdown_write(&mut self) {
        let sent = self.kernel.borrow_mut().send_fin(self.id);
        if let Err(e) = sent {
            self.note(e);
        }
    }

    /// How many bytes the other side's writes find room for until this one has read them, from now on.
    pub fn set_room(&mut self, n: usize) {
        let kernel = &mut *self.kernel.borrow_mut();
        if let Some(sock) = kernel.socks.get_mut(&self.id) {
            sock.rx.send_max = n.max(1);
            sock.rx.recv_max = n.max(1);
        }
    }

    /// Sends an urgent byte behind what was written: the reader sees PRIORITY, and one of its reads stops there. On a
    /// Unix socket, which has none, a read stops as it does at passed descriptors.
    pub fn write_urgent(&mut self) {
        self.kernel.borrow_mut().mark(self.id);
    }

    /// Closes as `close(2)` does: with RST when bytes were left unread, else with FIN.
    pub fn close(mut self) {
        self.end(false);
    }

    /// Closes with RST.
    pub fn reset(mut self) {
        self.end(true);
    }

    fn end(&mut self, abort: bool) {
        if self.closed {
            return;
        }
        self.closed = true;
        // While a panic unwinds the kernel may be borrowed; then nobody asks it anything any more.
        if let Ok(mut kernel) = self.kernel.try_borrow_mut() {
            kernel.advance(Duration::ZERO);
            kernel.close(self.id, abort);
        }
    }
}

impl Drop for SimPeer {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl SimServer {
    pub(super) fn new(kernel: &Rc<RefCell<Kernel>>, id: Id, at: Endpoint) -> Self {
        Self { kernel: Rc::clone(kernel), id, at }
    }

    /// Where it listens, with the port that it was given where 0 was asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.at
    }

    /// The next connection, if there is one.
    pub fn accept(&self) -> Option<SimPeer> {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        let id = kernel.dequeue(self.id)?;
        kernel.hand_over(id, Owner::Script);
        Some(SimPeer::new(&self.kernel, id))
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        if let Ok(mut kernel) = self.kernel.try_borrow_mut() {
            kernel.close_listener(self.id);
        }
    }
}

impl fmt::Debug for SimPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimPeer").field("id", &self.id).field("eof", &self.eof).finish_non_exhaustive()
    }
}

impl fmt::Debug for SimServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimServer").field("at", &self.at.short()).finish_non_exhaustive()
    }
}
