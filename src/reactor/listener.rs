//! Listeners: readiness kept, a budget of accepts a turn, the capacity gate, and the pause when descriptors run out.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::endpoint::Endpoint;
use super::handler::{Accepted, Refuse};
use super::id::{ListenerId, Token};
use super::ledger::Stamps;
use super::link::flag::*;
use super::slow::Callback;
use super::sys::{Peer, SetupParts, Sys};
use super::time::Time;
use super::{Manner, Reactor, close};

/// A listener of a reactor.
pub(crate) struct Listener<S: Sys> {
    pub(crate) socket: S::Listener,
    pub(crate) at: Endpoint,
    pub(crate) parts: SetupParts,
    pub(crate) service: u16,
    pub(crate) serial: u32,
    /// The kernel said that connections wait; cleared only by `WouldBlock`.
    pub(crate) ready: bool,
    /// An event of it came in this turn's poll.
    pub(crate) event: bool,
    /// It waits for a connection to close: the capacity gate was reached.
    pub(crate) gated: bool,
    /// Since when connections may have waited, for the ledger. `None` until the next event or turn tells.
    pub(crate) ready_since: Option<Time>,
    /// Paused until then, or until a connection closes.
    pub(crate) paused_until: Option<Time>,
}

/// Accepts that may fail in a row before the listener pauses.
const FAILURES_MAX: u32 = 64;

/// Connections that a listener takes from its queue at most when it is closed: more than the kernel lets it hold.
const QUEUED_MAX: u32 = 1 << 16;

impl<S: Sys> Listener<S> {
    fn may_accept(&self) -> bool {
        self.ready && !self.gated && self.paused_until.is_none()
    }
}

/// What an accept error means.
#[derive(PartialEq, Eq, Debug)]
enum AcceptError {
    Empty,
    /// About one connection only: go on with the next.
    Transient,
    Exhausted,
    Broken,
}

/// Errors that `accept(2)` passes on from the new connection are that connection's; see "Error handling" there.
fn classify(e: &io::Error) -> AcceptError {
    match e.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN) => AcceptError::Empty,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => AcceptError::Exhausted,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => AcceptError::Broken,
        _ if e.kind() == io::ErrorKind::WouldBlock => AcceptError::Empty,
        _ => AcceptError::Transient,
    }
}

impl<S: Sys> Reactor<S> {
    /// Whether a listener could accept now.
    pub(crate) fn accepts_wait(&self) -> bool {
        self.listeners.iter().any(|(_, l)| l.may_accept())
    }

    /// The earliest end of a pause.
    pub(crate) fn next_resume(&self) -> Option<Time> {
        self.listeners.iter().filter(|(_, l)| l.ready).filter_map(|(_, l)| l.paused_until).min()
    }

    /// Accepts on every ready listener, at most its budget. `usize`: connections taken.
    pub(crate) fn accept_all(&mut self, budget: u32) -> usize {
        let mut taken = 0;
        for at in 0..self.listener_slots.len() {
            let slot = self.listener_slots[at];
            if let Some(l) = self.listeners.get_mut(slot) {
                if l.paused_until.is_some_and(|until| until <= self.core.now) {
                    l.paused_until = None;
                }
                if l.may_accept() {
                    taken += self.accept_some(slot, budget);
                }
            }
        }
        taken
    }

    fn accept_some(&mut self, slot: usize, budget: u32) -> usize {
        let (mut taken, mut failures) = (0, 0);
        #[cfg(feature = "async")]
        if let Some(l) = self.listeners.get_mut(slot)
            && self.core.is_full(ListenerId { slot: slot as u32, serial: l.serial })
        {
            // Its acceptor goes on, and so do we, when a future takes one.
            (l.gated, l.ready_since) = (true, None);
            return 0;
        }
        for _ in 0..budget {
            if self.core.links.len() >= self.gate as usize {
                // Only a close can help, and every close resumes: no timer.
                if let Some(l) = self.listeners.get_mut(slot) {
                    l.gated = true;
                }
                self.note_pause(slot, "the capacity gate was reached");
                break;
            }
            let Some(listener) = self.listeners.get_mut(slot) else { break };
            match self.sys.accept(&listener.socket) {
                Ok((socket, peer)) => {
                    taken += 1;
                    self.admit(slot, socket, peer);
                }
                Err(e) => match classify(&e) {
                    AcceptError::Empty => {
                        listener.ready = false;
                        break;
                    }
                    AcceptError::Transient => failures += 1,
                    AcceptError::Exhausted => {
                        let shed = self.sys.shed(&listener.socket);
                        self.core.account.stats.shed += u64::from(shed);
                        self.pause_listener(slot, "socket.fd_exhausted: no descriptor is left");
                        break;
                    }
                    AcceptError::Broken => {
                        log::error!("listener {} is broken and was closed: {e}", listener.at);
                        self.remove_listener(slot);
                        break;
                    }
                },
            }
        }
        if failures > 0 && taken == 0 && failures >= budget.min(FAILURES_MAX) {
            // Something, such as a security module, refuses them all: not at full speed.
            self.pause_listener(slot, "every accept fails");
        }
        if let Some(l) = self.listeners.get_mut(slot) {
            // Who is accepted later may have come later.
            l.ready_since = None;
        }
        taken
    }

    /// Stops accepting until a connection closes or the pause is over. The readiness is kept: on an edge-triggered
    /// poll no event will tell of it again.
    fn pause_listener(&mut self, slot: usize, why: &str) {
        let until = self.core.now + self.config.accept_pause;
        if let Some(l) = self.listeners.get_mut(slot) {
            l.paused_until = Some(until);
        }
        self.note_pause(slot, why);
    }

    /// Counts a pause, and logs at most one a second.
    fn note_pause(&mut self, slot: usize, why: &str) {
        let now = self.core.now;
        if let Some(l) = self.listeners.get(slot) {
            self.core.account.stats.pauses += 1;
            if now.since(self.last_pause_log) >= 1_000_000_000 || self.last_pause_log == Time::ZERO {
                self.last_pause_log = now;
                log::warn!(
                    "listener {} pauses: {why} ({} connections, {} pauses so far)",
                    l.at,
                    self.core.links.len(),
                    self.core.account.stats.pauses
                );
            }
        }
    }

    /// A connection closed: paused listeners may go on.
    pub(crate) fn resume_listeners(&mut self) {
        for (_, l) in &mut self.listeners {
            l.paused_until = None;
            l.gated = false;
        }
    }

    fn admit(&mut self, slot: usize, socket: S::Socket, peer: Peer) {
        let Some(l) = self.listeners.get(slot) else { return };
        let (service, serial) = (l.service, l.serial);
        let since = l.ready_since.unwrap_or(self.core.now);
        let accepted = self.sys.now();
        let over = self.core.over_limit(service, peer);
        let mut stamps = Stamps::begin(since.min(accepted));
        stamps.second = accepted;
        let conn = self.core.insert(service, peer, stamps, true);
        let id = self.core.link(conn).id(conn);
        let drains = S::short_read_drains(&socket);
        let registered = self.sys.register(&socket, Token::Conn(id));
        self.place_socket(conn, socket);
        let third = self.sys.now();
        let link = self.core.link(conn);
        link.listener = ListenerId { slot: slot as u32, serial };
        link.open(third);
        if drains {
            link.set(SHORT_DRAINS);
        }
        if let Err(e) = registered {
            log::warn!("connection from {peer} could not be registered: {e}");
            self.core.fail(conn, close::class_of(&e), e.raw_os_error(), None);
            return;
        }
        let Some(l) = self.listeners.get(slot) else { return };
        let from = Accepted {
            listener: ListenerId { slot: slot as u32, serial },
            at: &l.at,
            peer,
            unix_time: self.core.unix,
        };
        let Some(handler) = self.services.get_mut(service as usize) else { return };
        let callback = if over { Callback::Limit } else { Callback::Accept };
        let sample = self.core.account.begin(callback, service, Some(id), || self.sys.now());
        let taken = if over { Err(handler.limit(from)) } else { handler.accept(from) };
        self.core.account.end(sample, || self.sys.now());
        match taken {
            Ok(index) => {
                self.core.link(conn).conn = index;
                self.core.enqueue(conn);
            }
            Err(refuse) => {
                self.core.account.stats.limited += u64::from(over);
                self.refuse(conn, &refuse, over);
            }
        }
    }

    /// Sends the refusal, if it has words, and closes. The handler never had the connection.
    fn refuse(&mut self, conn: u32, refuse: &Refuse, limit: bool) {
        use super::close::{By, CloseReason, PhaseName};
        let class = limit.then_some(&close::TCP_REFUSED_HERE);
        let reason = CloseReason { class, ..CloseReason::new(By::Us, PhaseName::Connect) };
        self.core.link(conn).clear(OPEN_DUE);
        self.core.refused(conn);
        if refuse.panicked {
            self.core.panicked(conn);
            return;
        }
        if refuse.answer.is_empty() {
            self.core.begin_close(conn, reason, Manner::Drop);
            return;
        }
        let (io, pool) = self.core.io(conn);
        io.tx.attach(pool);
        let spare = io.tx.spare();
        let n = refuse.answer.len().min(spare.len());
        spare[..n].copy_from_slice(&refuse.answer[..n]);
        io.tx.commit(n);
        self.core.begin_close(conn, reason, Manner::Linger);
    }

    /// Draining: what the kernel has queued is accepted, then every listener is closed.
    pub(crate) fn close_listeners(&mut self) {
        for (_, l) in &mut self.listeners {
            // A connection can be queued without an event having been seen yet.
            l.ready = true;
            l.paused_until = None;
            l.gated = false;
            l.ready_since = Some(self.core.now);
        }
        self.accept_all(QUEUED_MAX);
        for slot in std::mem::take(&mut self.listener_slots) {
            self.remove_listener(slot);
        }
    }

    pub(crate) fn remove_listener(&mut self, slot: usize) {
        self.listener_slots.retain(|s| *s != slot);
        if let Some(l) = self.listeners.try_remove(slot) {
            #[cfg(feature = "async")]
            self.core.listener_gone(ListenerId { slot: slot as u32, serial: l.serial });
            self.sys.close_listener(l.socket);
        }
    }

    /// How long the loop may sleep for its listeners' sake.
    pub(crate) fn resume_wait(&self) -> Option<Duration> {
        self.next_resume().map(|at| at - self.core.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_told_apart() {
        let of = |e: Errno| classify(&io::Error::from(e));
        assert_eq!(of(Errno::AGAIN), AcceptError::Empty);
        for e in [Errno::CONNABORTED, Errno::PROTO, Errno::INTR, Errno::PERM, Errno::NETDOWN, Errno::TIMEDOUT]
        {
            assert_eq!(of(e), AcceptError::Transient, "{e:?}");
        }
        for e in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(of(e), AcceptError::Exhausted, "{e:?}");
        }
        assert_eq!(of(Errno::BADF), AcceptError::Broken);
    }
}
