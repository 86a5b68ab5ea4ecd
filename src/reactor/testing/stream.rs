//! What happens on a connection: reads and writes, pieces that arrive, FIN, RST and closing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::io::Errno;

use super::kernel::{Action, Id, Kernel};
use super::socket::{End, Kind, Owner, Phase};
use crate::reactor::sys::Presence;

/// How long a write with MSG_MORE waits for what follows it.
const CORK: Duration = Duration::from_millis(200);

impl Kernel {
    pub(super) fn is_writable(&self, id: Id) -> bool {
        let Some(sock) = self.socks.get(&id) else { return false };
        let pipe = sock.peer.and_then(|peer| self.socks.get(&peer));
        pipe.is_none_or(|peer| peer.rx.send_writable(sock.kind))
    }

    fn peer_of(&self, id: Id) -> Option<Id> {
        self.socks.get(&id).and_then(|sock| sock.peer)
    }

    /// Lets the next piece for socket `id` arrive after `delay`, or earlier if it is already on its way.
    pub(super) fn carry(&mut self, id: Id, delay: Duration) {
        let at = self.now + delay;
        let Some(sock) = self.socks.get_mut(&id) else { return };
        if sock.rx.next_at.is_none_or(|planned| at < planned) {
            sock.rx.next_at = Some(at);
            self.schedule(at, Action::Deliver(id));
        }
    }

    /// An interruption or a spurious `WouldBlock`; the latter owes an edge.
    pub(super) fn disturb(&mut self, id: Id, block: u16) -> Result<(), Errno> {
        if self.rng.chance(self.faults.interrupt) {
            return Err(Errno::INTR);
        }
        if self.rng.chance(block) {
            let at = self.now + self.delay();
            self.schedule(at, Action::Edge(id));
            return Err(Errno::AGAIN);
        }
        Ok(())
    }

    // ── Reading ──

    pub(super) fn read(&mut self, id: Id, into: &mut [u8]) -> Result<usize, Errno> {
        self.disturb(id, self.faults.read_block)?;
        let short = self.rng.chance(self.faults.read_short);
        let result = self.read_plain(id, into, short);
        self.say(|| format!("read {id}, {} wanted: {result:?}", into.len()));
        if let Some(sock) = self.socks.get_mut(&id)
            && result == Err(Errno::AGAIN)
        {
            self.wasted += u64::from(!sock.may_read);
            sock.may_read = false;
        }
        result
    }

    pub(super) fn read_plain(&mut self, id: Id, into: &mut [u8], short: bool) -> Result<usize, Errno> {
        let Some(sock) = self.socks.get_mut(&id) else { return Err(Errno::BADF) };
        if sock.phase == Phase::Connecting {
            return Err(sock.err.take().unwrap_or(Errno::AGAIN));
        }
        let most = into.len().min(sock.rx.readable());
        if most == 0 {
            return if into.is_empty() { Ok(0) } else { sock.read_empty() };
        }
        let kind = sock.kind;
        // A short read on TCP means that the rest is not there yet. Once the FIN is there, so is everything before it.
        let short = short && most > 1 && !(kind == Kind::Tcp && sock.shut_recv);
        let n = if short { self.rng.between(1, most - 1) } else { most };
        if short && kind == Kind::Tcp {
            sock.rx.unarrive(n);
            let delay = self.delay();
            self.carry(id, delay);
        }
        let Some(sock) = self.socks.get_mut(&id) else { return Err(Errno::BADF) };
        let freed = sock.rx.take(&mut into[..n]);
        let peer = sock.peer;
        if sock.rx.reopens(kind) {
            let delay = self.delay();
            self.carry(id, delay);
        }
        if let (Kind::Unix, true, Some(peer)) = (kind, freed, peer) {
            self.announce_room(peer);
        }
        Ok(n)
    }

    /// `sk_write_space`: the sender hears of room. TCP says it once after a full buffer, Unix sockets each time.
    fn announce_room(&mut self, sender: Id) {
        if !self.is_writable(sender) {
            return;
        }
        let Some(sock) = self.socks.get_mut(&sender) else { return };
        if sock.kind == Kind::Unix || sock.no_space {
            sock.no_space = false;
            self.edge(sender);
        }
    }

    // ── Writing ──

    pub(super) fn write(&mut self, id: Id, from: &[u8], more: bool) -> Result<usize, Errno> {
        self.disturb(id, self.faults.write_block)?;
        let short = from.len() > 1 && self.rng.chance(self.faults.write_short);
        let most = if short { self.rng.between(1, from.len() - 1) } else { from.len() };
        let result = self.write_plain(id, &from[..most], more);
        self.say(|| format!("write {id}, {} offered: {result:?}", from.len()));
        if let Some(sock) = self.socks.get_mut(&id)
            && result == Err(Errno::AGAIN)
        {
            self.wasted += u64::from(!sock.may_write);
            sock.may_write = false;
        }
        result
    }

    pub(super) fn write_plain(&mut self, id: Id, from: &[u8], more: bool) -> Result<usize, Errno> {
        let Some(sock) = self.socks.get_mut(&id) else { return Err(Errno::BADF) };
        if let Some(e) = sock.write_refused() {
            return Err(e);
        }
        let (kind, peer) = (sock.kind, sock.peer);
        let Some(pipe) = peer.and_then(|peer| self.socks.get_mut(&peer)).map(|peer| &mut peer.rx) else {
            return Err(Errno::PIPE);
        };
        let n = from.len().min(pipe.send_room(kind));
        pipe.depart(&from[..n]);
        if n < from.len()
            && let Some(sock) = self.socks.get_mut(&id)
        {
            sock.no_space = true;
        }
        if n == 0 && !from.is_empty() {
            return Err(Errno::AGAIN);
        }
        let delay = if more && kind == Kind::Tcp { CORK } else { self.delay() };
        if let Some(peer) = peer {
            self.carry(peer, delay);
        }
        Ok(n)
    }

    /// Any bytes may be on a disk alone, those that were just read in too: memory is short.
    pub(super) fn file_presence(&mut self, _: &File, _: u64, _: usize) -> Presence {
        match self.rng.below(1000) {
            n if n < u64::from(self.faults.file_away) => Presence::Away,
            n if n < 2 * u64::from(self.faults.file_away) => Presence::Unknown,
            _ => Presence::Here,
        }
    }

    pub(super) fn send_file(&mut self, id: Id, file: &File, offset: u64, max: usize) -> io::Result<usize> {
        let mut block = vec![0; max.min(64 * 1024)];
        let n = file.read_at(&mut block, offset)?;
        if n == 0 {
            return Ok(0);
        }
        Ok(self.write(id, &block[..n], false)?)
    }

    /// Sends one byte out of band, behind what was written; a Unix socket's reads only stop there.
    pub(super) fn mark(&mut self, id: Id) {
        let Some(peer) = self.peer_of(id) else { return };
        let Some(pipe) = self.socks.get_mut(&peer).map(|peer| &mut peer.rx) else { return };
        pipe.marks.push_back(pipe.written_total());
        self.edge(peer);
    }

    // ── Arriving ──

    /// The next piece arrives at `id`.
    pub(super) fn deliver(&mut self, id: Id) {
        let Some(sock) = self.socks.get_mut(&id) else { return };
        if sock.rx.next_at.is_none_or(|at| at > self.now) {
            return;
        }
        sock.rx.next_at = None;
        if sock.phase != Phase::Open {
            sock.rx.flight.clear();
            return;
        }
        if sock.owner == Owner::Nobody && !sock.rx.flight.is_empty() {
            return self.deliver_to_nobody(id);
        }
        if self.rng.chance(self.faults.reset) {
            return self.cut(id);
        }
        self.deliver_bytes(id);
        self.deliver_end(id);
    }

    /// Bytes for a closed socket: TCP answers with RST, a Unix socket drops them.
    fn deliver_to_nobody(&mut self, id: Id) {
        let Some(sock) = self.socks.get_mut(&id) else { return };
        sock.rx.flight.clear();
        if sock.kind == Kind::Tcp {
            self.send_rst(id);
        }
    }

    fn deliver_bytes(&mut self, id: Id) {
        let Some(sock) = self.socks.get_mut(&id) else { return };
        let (kind, peer) = (sock.kind, sock.peer);
        let most = sock.rx.flight.len().min(sock.rx.recv_room(kind));
        if most == 0 {
            return;
        }
        let n = if self.rng.chance(self.faults.split) { self.rng.between(1, most) } else { most };
        sock.rx.arrive(n);
        let goes_on = n < most;
        self.say(|| format!("{n} bytes arrive at {id}"));
        self.edge(id);
        if let (Kind::Tcp, Some(peer)) = (kind, peer) {
            self.announce_room(peer);
        }
        if goes_on {
            let delay = self.delay();
            self.carry(id, delay);
        }
    }

    fn deliver_end(&mut self, id: Id) {
        let apart = self.rng.chance(self.faults.split);
        let Some(sock) = self.socks.get_mut(&id) else { return };
        let (end, waits) = (sock.rx.end, sock.rx.next_at.is_some());
        // An RST overtakes what the window holds back; a FIN does not.
        if end == End::Open || waits || (end != End::Rst && !sock.rx.flight.is_empty()) {
            return;
        }
        if apart {
            let delay = self.delay();
            return self.carry(id, delay);
        }
        sock.rx.end = End::Open;
        let kind = sock.kind;
        match end {
            End::Open => return,
            End::Fin => {
                sock.rx.fin_seen = true;
                sock.shut_recv = true;
            }
            End::Gone { reset } => sock.finish(reset.then_some(Errno::CONNRESET)),
            End::Rst => {
                // tcp_reset: after a FIN it is the writer who has to hear of it.
                let err = if sock.rx.fin_seen { Errno::PIPE } else { Errno::CONNRESET };
                sock.finish(Some(err));
            }
        }
        self.say(|| format!("{end:?} arrives at {id}"));
        if end == End::Rst && kind == Kind::Tcp {
            self.drop_unsent(id, 0);
        }
        self.edge(id);
    }

    /// Drops what `id` has sent and has not arrived, but for `keep` bytes.
    fn drop_unsent(&mut self, id: Id, keep: usize) {
        if let Some(peer) = self.peer_of(id).and_then(|peer| self.socks.get_mut(&peer)) {
            peer.rx.flight.truncate(keep);
        }
    }

    // ── Ending ──

    /// FIN behind what was written.
    pub(super) fn send_fin(&mut self, id: Id) -> Result<(), Errno> {
        let Some(sock) = self.socks.get_mut(&id) else { return Err(Errno::BADF) };
        if sock.phase != Phase::Open {
            return Err(Errno::NOTCONN);
        }
        let peer = sock.peer;
        if sock.shut_send {
            return Ok(());
        }
        sock.shut_send = true;
        // A shutdown wakes its own socket too.
        self.edge(id);
        self.end_with(peer, End::Fin);
        Ok(())
    }

    fn end_with(&mut self, peer: Option<Id>, end: End) {
        let Some(sock) = peer.and_then(|peer| self.socks.get_mut(&peer)) else { return };
        if sock.phase == Phase::Open {
            sock.rx.end = end;
            let delay = self.delay();
            if let Some(peer) = peer {
                self.carry(peer, delay);
            }
        }
    }

    /// `id` dies and tells its peer so; a part of what it had sent may still get there first.
    fn send_rst(&mut self, id: Id) {
        let Some(peer) = self.peer_of(id) else { return };
        let unsent = self.socks.get(&peer).map_or(0, |peer| peer.rx.flight.len());
        let keep =
            if self.faults.delay_max.is_zero() { 0 } else { self.rng.below(unsent as u64 + 1) as usize };
        self.drop_unsent(id, keep);
        if let Some(sock) = self.socks.get_mut(&id) {
            sock.finish(None);
        }
        self.end_with(Some(peer), End::Rst);
    }

    /// Something between the two ends resets the connection on both.
    pub(super) fn cut(&mut self, id: Id) {
        let peer = self.peer_of(id);
        for id in [Some(id), peer].into_iter().flatten() {
            let Some(sock) = self.socks.get_mut(&id) else { continue };
            if sock.phase == Phase::Open {
                let err = if sock.rx.fin_seen { Errno::PIPE } else { Errno::CONNRESET };
                sock.finish(Some(err));
                self.say(|| format!("{id} is cut"));
                self.edge(id);
            }
        }
    }

    /// Breaks a connection, and gives the error that the call which found it so has to report.
    pub(super) fn break_now(&mut self, id: Id) -> Errno {
        self.cut(id);
        let Some(sock) = self.socks.get_mut(&id) else { return Errno::BADF };
        if sock.phase == Phase::Connecting {
            sock.finish(Some(Errno::HOSTUNREACH));
        }
        sock.rx.arrived.clear();
        sock.err.take().unwrap_or(Errno::CONNRESET)
    }

    pub(super) fn unacknowledged(&self, id: Id) -> u64 {
        let Some(sock) = self.socks.get(&id) else { return 0 };
        let peer = sock.peer.and_then(|peer| self.socks.get(&peer));
        peer.map_or(0, |peer| peer.rx.charged(sock.kind) as u64)
    }

    /// `close(2)`, with SO_LINGER 0 if `abort`.
    pub(super) fn close(&mut self, id: Id, abort: bool) {
        let Some(sock) = self.socks.get_mut(&id) else {
            panic!("seed {}: socket {id} is closed twice", self.seed);
        };
        let queued = sock.owner == Owner::Queue;
        let owner = std::mem::replace(&mut sock.owner, Owner::Nobody);
        let (kind, open, peer) = (sock.kind, sock.phase == Phase::Open, sock.peer);
        let unread = !sock.rx.arrived.is_empty();
        let flying = !sock.rx.flight.is_empty();
        let has_fin = sock.rx.fin_seen;
        let both_ended =
            has_fin && peer.and_then(|peer| self.socks.get(&peer)).is_some_and(|peer| peer.rx.fin_seen);
        if let Owner::Process(process) = owner {
            self.unregister(process, id);
            if self.watched.remove(&id) {
                self.processes[process.0].watched -= 1;
            } else {
                self.processes[process.0].sockets -= 1;
            }
        }
        self.say(|| format!("close {id}, abort {abort}, unread {unread}"));
        match kind {
            _ if !open => {}
            Kind::Tcp if both_ended => {}
            Kind::Tcp if abort || unread => self.send_rst(id),
            Kind::Tcp => {
                let _ = self.send_fin(id);
            }
            Kind::Unix => self.end_with(peer, End::Gone { reset: unread || flying || queued }),
        }
        self.forget(id);
    }

    /// Removes a pair that nobody holds any more.
    fn forget(&mut self, id: Id) {
        let peer = self.peer_of(id);
        let held = |id: Option<Id>| {
            id.and_then(|id| self.socks.get(&id)).is_some_and(|sock| sock.owner != Owner::Nobody)
        };
        if held(Some(id)) || held(peer) {
            return;
        }
        self.socks.remove(&id);
        if let Some(peer) = peer {
            self.socks.remove(&peer);
        }
    }
}
