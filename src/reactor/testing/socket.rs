//! One end of a simulated connection: its receive side, its flags, and what epoll would say about it.
//!
//! Pure state. Who else must hear of a change, and when, is the kernel's business (`stream.rs`). Names in comments are
//! those of Linux (`net/ipv4/tcp.c`, `net/unix/af_unix.c`), whose behaviour this follows.

use std::collections::VecDeque;

use rustix::io::Errno;

use super::kernel::{Id, ProcessId};
use crate::reactor::endpoint::Endpoint;
use crate::reactor::sys::{Peer, Ready};
use crate::reactor::time::Time;

/// The bits of epoll.
pub(super) mod bits {
    pub(in crate::reactor::testing) const IN: u8 = 1;
    pub(in crate::reactor::testing) const OUT: u8 = 2;
    pub(in crate::reactor::testing) const RDHUP: u8 = 4;
    pub(in crate::reactor::testing) const HUP: u8 = 8;
    pub(in crate::reactor::testing) const ERR: u8 = 16;
    pub(in crate::reactor::testing) const PRI: u8 = 32;
}

/// What mio makes of epoll's bits.
pub(super) fn to_ready(mask: u8) -> Ready {
    use bits::{ERR, HUP, IN, OUT, PRI, RDHUP};
    let all = |m: u8| mask & m == m;
    Ready::when(mask & (IN | PRI) != 0, Ready::READABLE)
        .or(Ready::when(all(OUT), Ready::WRITABLE))
        .or(Ready::when(all(HUP) || all(IN | RDHUP), Ready::READ_CLOSED))
        .or(Ready::when(all(HUP) || all(OUT | ERR) || mask == ERR, Ready::WRITE_CLOSED))
        .or(Ready::when(all(ERR), Ready::ERROR))
        .or(Ready::when(all(PRI), Ready::PRIORITY))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Tcp,
    Unix,
}

/// Who holds the descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Process(ProcessId),
    /// A scripted peer of a test.
    Script,
    /// It waits in an accept queue, or to be adopted.
    Queue,
    /// It was closed; what it has sent is still on its way.
    Nobody,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Connecting,
    Open,
    /// `TCP_CLOSE`: failed, reset, or both FINs exchanged.
    Closed,
}

/// What comes behind the bytes of a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Open,
    Fin,
    /// The other end of a Unix pair was closed; `reset` when it had unread bytes.
    Gone {
        reset: bool,
    },
    Rst,
}

/// The bytes on their way to one socket.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Written by the peer and not yet arrived.
    pub(super) flight: VecDeque<u8>,
    /// In the receive queue.
    pub(super) arrived: VecDeque<u8>,
    /// The sender's buffer.
    pub(super) send_max: usize,
    /// The receiver's buffer.
    pub(super) recv_max: usize,
    pub(super) end: End,
    pub(super) fin_seen: bool,
    /// When the next piece arrives.
    pub(super) next_at: Option<Time>,
    /// Positions in the stream behind which an urgent byte lies, or at which a Unix read stops.
    pub(super) marks: VecDeque<u64>,
    pub(super) read_total: u64,
    /// Where each write ended that is not read to its end. A Unix socket's memory is freed write by write.
    chunks: VecDeque<u64>,
    /// The position up to which it is freed.
    freed_total: u64,
}

impl Pipe {
    pub(super) fn new(send_max: usize, recv_max: usize) -> Self {
        Self {
            flight: VecDeque::new(),
            arrived: VecDeque::new(),
            send_max,
            recv_max,
            end: End::Open,
            fin_seen: false,
            next_at: None,
            marks: VecDeque::new(),
            read_total: 0,
            chunks: VecDeque::new(),
            freed_total: 0,
        }
    }

    /// Bytes of one write set out.
    pub(super) fn depart(&mut self, bytes: &[u8]) {
        self.flight.extend(bytes);
        self.chunks.push_back(self.written_total());
    }

    /// The position behind everything that was written.
    pub(super) fn written_total(&self) -> u64 {
        self.read_total + (self.arrived.len() + self.flight.len()) as u64
    }

    /// What the sender's buffer holds: for TCP until it has arrived, for Unix sockets until it is read.
    pub(super) fn charged(&self, kind: Kind) -> usize {
        match kind {
            Kind::Tcp => self.flight.len(),
            Kind::Unix => (self.written_total() - self.freed_total) as usize,
        }
    }

    pub(super) fn send_room(&self, kind: Kind) -> usize {
        self.send_max.saturating_sub(self.charged(kind))
    }

    /// Whether epoll calls the sender writable: `sk_stream_is_writeable` and `unix_writable`.
    pub(super) fn send_writable(&self, kind: Kind) -> bool {
        let (used, room) = (self.charged(kind), self.send_room(kind));
        match kind {
            Kind::Tcp => room > 0 && room >= used / 2,
            Kind::Unix => used * 4 <= self.send_max,
        }
    }

    /// How much may arrive now. A Unix socket's bytes are charged to the sender alone.
    pub(super) fn recv_room(&self, kind: Kind) -> usize {
        match kind {
            Kind::Tcp => self.recv_max.saturating_sub(self.arrived.len()),
            Kind::Unix => usize::MAX,
        }
    }

    /// Whether a sender that found the window closed hears that it is open: not for every byte (RFC 1122, 4.2.3.3).
    pub(super) fn reopens(&self, kind: Kind) -> bool {
        let stalled = !self.flight.is_empty() && self.next_at.is_none();
        stalled && self.recv_room(kind) >= self.recv_max.div_ceil(2)
    }

    /// Moves `n` bytes from the way into the receive queue.
    pub(super) fn arrive(&mut self, n: usize) {
        self.arrived.extend(self.flight.drain(..n));
    }

    /// Sends all but the first `keep` bytes of the receive queue back on their way.
    pub(super) fn unarrive(&mut self, keep: usize) {
        let mut back = self.arrived.split_off(keep);
        back.append(&mut self.flight);
        self.flight = back;
    }

    /// How many bytes one read may take: up to the next mark, and past one that it stands on.
    pub(super) fn readable(&mut self) -> usize {
        while self.marks.front() == Some(&self.read_total) {
            self.marks.pop_front();
        }
        let to_mark = self.marks.front().map_or(u64::MAX, |m| m - self.read_total);
        self.arrived.len().min(usize::try_from(to_mark).unwrap_or(usize::MAX))
    }

    /// Fills `into` from the receive queue. Whether that freed any of the sender's memory.
    pub(super) fn take(&mut self, into: &mut [u8]) -> bool {
        let n = into.len();
        for (to, from) in into.iter_mut().zip(self.arrived.drain(..n)) {
            *to = from;
        }
        self.read_total += n as u64;
        let before = self.freed_total;
        while let Some(end) = self.chunks.front().copied().filter(|end| *end <= self.read_total) {
            self.freed_total = end;
            self.chunks.pop_front();
        }
        self.freed_total > before
    }

    /// Whether an urgent byte has arrived that no read has passed.
    fn urgent(&self) -> bool {
        self.marks.front().is_some_and(|m| *m <= self.read_total + self.arrived.len() as u64)
    }
}

/// A socket in the simulated kernel.
#[derive(Debug)]
pub(super) struct Sock {
    pub(super) kind: Kind,
    pub(super) owner: Owner,
    pub(super) phase: Phase,
    /// The other end, once there is one.
    pub(super) peer: Option<Id>,
    /// The other end's address.
    pub(super) name: Peer,
    /// Where a connect goes.
    pub(super) target: Option<Endpoint>,
    /// `sk_err`.
    pub(super) err: Option<Errno>,
    /// `RCV_SHUTDOWN`.
    pub(super) shut_recv: bool,
    /// `SEND_SHUTDOWN`.
    pub(super) shut_send: bool,
    /// `SOCK_NOSPACE`: a write has found no room, so that room must be announced.
    pub(super) no_space: bool,
    pub(super) rx: Pipe,
    /// An event since the last `WouldBlock`, so that another read is no waste.
    pub(super) may_read: bool,
    pub(super) may_write: bool,
}

impl Sock {
    pub(super) fn new(kind: Kind, owner: Owner, rx: Pipe) -> Self {
        Self {
            kind,
            owner,
            phase: Phase::Connecting,
            peer: None,
            name: match kind {
                Kind::Tcp => Peer::Unknown,
                Kind::Unix => Peer::Unix,
            },
            target: None,
            err: None,
            shut_recv: false,
            shut_send: false,
            no_space: false,
            rx,
            may_read: true,
            may_write: true,
        }
    }

    /// `tcp_poll` and `unix_poll`; `writable` is what the other end's pipe says.
    pub(super) fn mask(&self, writable: bool) -> u8 {
        use bits::{ERR, HUP, IN, OUT, PRI, RDHUP};
        let on = |yes: bool, m: u8| if yes { m } else { 0 };
        let err = on(self.err.is_some(), ERR);
        if self.phase == Phase::Connecting {
            return err;
        }
        let out = match self.kind {
            Kind::Tcp => self.shut_send || writable,
            Kind::Unix => writable,
        };
        let closed = self.phase == Phase::Closed;
        err | on(closed || (self.shut_recv && self.shut_send), HUP)
            | on(self.shut_recv, IN | RDHUP)
            | on(!self.rx.arrived.is_empty(), IN)
            | on(self.kind == Kind::Tcp && self.rx.urgent(), PRI)
            | on(out, OUT)
    }

    /// What a read says that finds no bytes: `tcp_recvmsg_locked`, `unix_stream_read_generic`.
    pub(super) fn read_empty(&mut self) -> Result<usize, Errno> {
        if self.kind == Kind::Tcp && self.rx.fin_seen {
            return Ok(0);
        }
        if let Some(e) = self.err.take() {
            return Err(e);
        }
        if self.shut_recv { Ok(0) } else { Err(Errno::AGAIN) }
    }

    /// What a write says before it looks for room: `tcp_sendmsg_locked`, `unix_stream_sendmsg`.
    pub(super) fn write_refused(&mut self) -> Option<Errno> {
        match self.kind {
            _ if self.phase == Phase::Connecting => Some(self.err.take().unwrap_or(Errno::AGAIN)),
            Kind::Tcp if self.err.is_some() || self.shut_send => Some(self.err.take().unwrap_or(Errno::PIPE)),
            Kind::Unix if self.shut_send => Some(Errno::PIPE),
            Kind::Tcp | Kind::Unix => self.err.take(),
        }
    }

    /// The socket is finished: nothing goes in or out any more.
    pub(super) fn finish(&mut self, err: Option<Errno>) {
        self.phase = Phase::Closed;
        self.err = err;
        self.shut_recv = true;
        self.shut_send = true;
        self.no_space = false;
        self.rx.flight.clear();
        self.rx.next_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_stops_at_a_mark_and_goes_on_behind_it() {
        let mut pipe = Pipe::new(100, 100);
        pipe.depart(b"abcdef");
        pipe.arrive(6);
        pipe.marks.push_back(3);
        assert!(pipe.urgent());
        assert_eq!(pipe.readable(), 3);
        pipe.take(&mut [0; 3]);
        assert_eq!(pipe.readable(), 3);
        assert!(!pipe.urgent());
    }

    #[test]
    fn bytes_sent_back_on_their_way_keep_their_order() {
        let mut pipe = Pipe::new(100, 100);
        pipe.depart(b"abcdef");
        pipe.arrive(4);
        pipe.unarrive(1);
        pipe.arrive(5);
        assert_eq!(pipe.arrived, b"abcdef");
    }

    #[test]
    fn a_small_unix_buffer_is_writable_only_when_it_is_empty() {
        let mut pipe = Pipe::new(3, 3);
        assert!(pipe.send_writable(Kind::Unix));
        pipe.depart(b"x");
        assert!(!pipe.send_writable(Kind::Unix));
        assert!(pipe.send_writable(Kind::Tcp));
        assert_eq!(pipe.send_room(Kind::Unix), 2);
    }
}
