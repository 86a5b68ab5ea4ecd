//! Every verb on every connection, by id. Verbs change link state and queues only, never make a system call, and do
//! nothing (and say so) on an id whose connection is gone.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::account::Stats;
use super::buffer::Output;
use super::class::Class;
use super::close::{self, By, CloseReason, PhaseName};
use super::core::{Core, Manner};
use super::endpoint::{Address, Endpoint};
use super::handler::Handler;
use super::id::ConnId;
use super::ledger::Stamps;
use super::link::flag::*;
use super::link::{Input, NONE, Phase};
use super::service::Conns;
use super::sys::Peer;
use super::time::{Time, millis};

/// The connections of a reactor, as a handler of type `H` may touch them.
pub struct Table<'a, H: Handler> {
    pub(crate) core: &'a mut Core,
    pub(crate) conns: &'a mut Conns<H>,
    pub(crate) service: u16,
}

impl<H: Handler> fmt::Debug for Table<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<H: Handler> Table<'_, H> {
    /// The same table for a shorter time, to be handed on by value.
    pub fn reborrow(&mut self) -> Table<'_, H> {
        Table { core: self.core, conns: self.conns, service: self.service }
    }

    /// The last stamp: when the turn began, or when the last task before this one ended. The clock is not read.
    pub fn now(&self) -> Time {
        self.core.now
    }

    /// The wall clock at the turn's stamp, in whole seconds since 1970.
    pub fn unix_time(&self) -> u64 {
        self.core.unix
    }

    /// The number of this turn; equal numbers mean the same turn.
    pub fn turn(&self) -> u64 {
        self.core.turn
    }

    /// Whether the reactor drains: what is answered now is the last answer of its connection.
    pub fn is_draining(&self) -> bool {
        self.core.draining
    }

    /// What the reactor has counted, up to the last turn.
    pub fn stats(&self) -> &Stats {
        self.core.account.stats()
    }

    /// Connections of this service.
    pub fn len(&self) -> usize {
        self.core.services[self.service as usize].count as usize
    }

    /// Whether this service has no connections.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The open connections of this service, in no order.
    pub fn ids(&self) -> impl Iterator<Item = ConnId> + '_ {
        let service = self.service;
        let open = self.core.links.iter().filter(move |(_, l)| l.service == service && l.is_live());
        open.map(|(slot, l)| l.id(slot as u32))
    }

    /// Whether the connection still is and is not closing.
    pub fn is_live(&self, id: ConnId) -> bool {
        self.core.slot(id).is_some_and(|s| self.core.links[s as usize].is_live())
    }

    /// Who is at the other end.
    pub fn peer(&self, id: ConnId) -> Option<Peer> {
        self.core.slot(id).map(|s| self.core.links[s as usize].peer.unpack())
    }

    /// Bytes received from a connection, and bytes handed to the kernel for it.
    pub fn traffic(&self, id: ConnId) -> Option<(u64, u64)> {
        let stamps = &self.core.links[self.core.slot(id)? as usize].stamps;
        Some((stamps.bytes_in, stamps.bytes_out))
    }

    /// The state of another connection of this service. `None` for the one whose callback is running.
    pub fn conn(&mut self, id: ConnId) -> Option<&mut H::Conn> {
        let link = &self.core.links[self.core.slot(id)? as usize];
        if link.service != self.service || link.conn == NONE {
            return None;
        }
        self.conns.get_mut(link.conn as usize)?.as_mut()
    }

    /// The transmit buffer of another connection, any service's. `None` for the one whose callback is running (it
    /// has `ctx.tx`), and for those that are gone or closing.
    pub fn output(&mut self, id: ConnId) -> Option<Output<'_>> {
        let slot = self.core.slot(id).filter(|s| *s != self.core.driving)?;
        if !self.core.links[slot as usize].is_live() {
            return None;
        }
        self.core.enqueue(slot);
        let open = self.core.links[slot as usize].tx_open();
        let (io, pool) = self.core.io(slot);
        io.tx.attach(pool);
        Some(Output { buf: &mut io.tx, starved: &mut io.starved, open })
    }

    /// Stops reading, and holds back `on_data` and `on_eof`, until [`Table::resume`]. The kernel's window closes by
    /// itself when its buffer is full. The idle deadline does not apply meanwhile: a handler that pauses has another
    /// reason to wait, and sees to its end.
    pub fn pause(&mut self, id: ConnId) -> bool {
        self.update(id, |core, slot| core.link(slot).set(PAUSED))
    }

    /// Reads again; `on_data` comes first for bytes that were left, then `on_eof`.
    pub fn resume(&mut self, id: ConnId) -> bool {
        self.update(id, |core, slot| {
            if core.link(slot).has(PAUSED) {
                core.link(slot).clear(PAUSED);
                core.link(slot).set(DATA_DUE);
                let now = core.now;
                core.link(slot).wait_anew(now);
                core.enqueue(slot);
            }
        })
    }

    /// Calls `on_room` soon, though nothing was sent: in this turn, or in the next if the connection has had its share.
    /// For whoever has something for a connection that it cannot write by itself. While a file is on its way, or
    /// after the write side has ended, nobody is called.
    pub fn wake(&mut self, id: ConnId) -> bool {
        self.update(id, |core, slot| {
            if core.link(slot).is_live() {
                core.link(slot).set(ROOM_DUE);
                core.enqueue(slot);
            }
        })
    }

    /// Ends the write side once all is sent: FIN follows. The peer may go on sending.
    pub fn finish(&mut self, id: ConnId) -> bool {
        self.update(id, |core, slot| {
            if matches!(core.link(slot).phase, Phase::Connect(_)) {
                core.begin_close(slot, CloseReason::new(By::Us, PhaseName::Connect), Manner::Drop);
            } else {
                core.link(slot).input(Input::Finish);
                core.enqueue(slot);
            }
        })
    }

    /// Sends what was written, then FIN, then discards input until the peer's FIN, within the linger bounds.
    pub fn close(&mut self, id: ConnId) -> bool {
        self.close_with(id, None, Manner::Linger)
    }

    /// As [`Table::close`], naming the failure that is the reason.
    pub fn close_as(&mut self, id: ConnId, class: &'static Class) -> bool {
        self.close_with(id, Some(class), Manner::Linger)
    }

    /// As [`Table::close`], without lingering if nothing unread is left once all is sent.
    pub fn close_clean(&mut self, id: ConnId) -> bool {
        self.close_with(id, None, Manner::Clean)
    }

    /// Ends the connection now, with RST.
    pub fn abort(&mut self, id: ConnId) -> bool {
        self.close_with(id, Some(&close::TCP_ABORTED), Manner::Reset)
    }

    /// Calls `on_timer` in `after`; `None` forgets the timer.
    pub fn set_timer(&mut self, id: ConnId, after: Option<Duration>) -> bool {
        let at = after.map(|d| self.at(d));
        self.update(id, |core, slot| {
            core.link(slot).set_user(at);
            core.enqueue(slot);
        })
    }

    /// Calls `on_deadline` in `after`; `None` forgets the deadline.
    pub fn set_deadline(&mut self, id: ConnId, after: Option<Duration>) -> bool {
        let at = after.map(|d| self.at(d));
        self.update(id, |core, slot| {
            core.link(slot).set_proto(at);
            core.enqueue(slot);
        })
    }

    /// Says whether the peer waits for us, in which case the idle deadline does not apply.
    pub fn set_busy(&mut self, id: ConnId, busy: bool) -> bool {
        self.update(id, |core, slot| {
            let now = core.now;
            let link = core.link(slot);
            if busy {
                link.set(BUSY)
            } else {
                link.clear(BUSY)
            }
            link.wait_anew(now);
            core.enqueue(slot);
        })
    }

    /// Sends `range` of `file` to another connection, behind what is in its buffer; see
    /// [`Ctx::send_file`](super::Ctx::send_file).
    ///
    /// # Errors
    /// The file, when it cannot be sent there now.
    pub fn send_file(&mut self, id: ConnId, file: Arc<File>, range: Range<u64>) -> Result<(), Arc<File>> {
        match self.core.slot(id).filter(|s| *s != self.core.driving) {
            Some(slot) => {
                let tx_len = self.core.resting_view(slot).tx;
                self.core.send_file(slot, file, range, tx_len)
            }
            None => Err(file),
        }
    }

    /// Connects out; `on_open` or `on_close` tells how it went. The endpoint is an address, not a name.
    ///
    /// # Errors
    /// The connection's state, when the endpoint is a name or a descriptor, or when the grace of a drain is over:
    /// a handler that connects again in `on_close` must not hold the drain for ever.
    pub fn connect(&mut self, to: &Endpoint, conn: H::Conn) -> Result<ConnId, H::Conn> {
        if self.core.grace_over || matches!(to.address, Address::TcpName(..) | Address::Fd(_)) {
            return Err(conn);
        }
        let index = self.conns.insert(Some(conn)) as u32;
        Ok(dial(self.core, self.service, index, to))
    }

    fn at(&self, after: Duration) -> u32 {
        self.core.now.ms_ceil().wrapping_add(millis(after))
    }

    fn close_with(&mut self, id: ConnId, class: Option<&'static Class>, manner: Manner) -> bool {
        self.update(id, |core, slot| {
            let reason = CloseReason { class, ..CloseReason::new(By::Us, PhaseName::Transfer) };
            core.begin_close(slot, reason, manner);
        })
    }

    /// Does `f` to a connection that still is; whether it was.
    fn update(&mut self, id: ConnId, f: impl FnOnce(&mut Core, u32)) -> bool {
        let live = self.core.slot(id).filter(|s| !self.core.links[*s as usize].is_done());
        if let Some(slot) = live {
            f(self.core, slot);
        }
        live.is_some()
    }
}

/// Enters an outbound connection; the connect itself is made when it is driven.
pub(crate) fn dial(core: &mut Core, service: u16, conn: u32, to: &Endpoint) -> ConnId {
    let slot = core.insert(service, Peer::Unknown, Stamps::begin(core.now), false);
    let side = core.dials.insert(to.clone()) as u32;
    let link = core.link(slot);
    link.side = side;
    link.conn = conn;
    if let Address::Tcp(at) = to.address {
        link.peer = Peer::Tcp(at).into();
    } else {
        link.peer = Peer::Unix.into();
    }
    let id = link.id(slot);
    core.enqueue(slot);
    id
}

/// The states of a service's connections. A slot is `None` while its callback runs.
pub(crate) type ConnSlab<C> = Slab<Option<C>>;
