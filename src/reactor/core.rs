//! The reactor's state that is neither generic nor a socket: links, buffers, run queue, timers, and the verbs on
//! them. It makes no system call and reads no clock: verbs change link state and queues only.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use slab::Slab;

use super::account::Account;
use super::buffer::{Io, Pool};
use super::class::Class;
use super::close::{self, By, CloseReason, Deadline, PhaseName};
use super::endpoint::Endpoint;
use super::file::{Fetches, Files};
use super::handle::{Handle, Remote};
use super::id::ConnId;
use super::ledger::{Closing, Stamps};
use super::limits::{Limits, Timeouts};
use super::link::flag::*;
use super::link::{Expired, Input, Link, NONE, Phase, Teardown, View};
use super::shutdown::Hooks;
use super::sys::Peer;
use super::task::queue::Queue;
use super::task::semaphore::Semaphore;
use super::task::store::Tasks;
use super::time::Time;
use super::timers::Wheel;
use super::watch::Watches;
use super::workers::Workers;

/// Why and how a connection is being closed.
pub(crate) struct ClosingRecord {
    pub(crate) reason: CloseReason,
    pub(crate) stamps: Closing,
}

/// What the core knows of a service.
pub(crate) struct ServiceInfo {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) count: u32,
    /// Those of `count` that were refused and still linger, so that their peers can read why.
    pub(crate) refused: u32,
    /// Connections by address; filled only when `per_client_max` is set.
    pub(crate) clients: HashMap<IpAddr, u32>,
}

impl ServiceInfo {
    /// One connection fewer of this client.
    fn leave(&mut self, peer: Peer) {
        if let (Some(_), Peer::Tcp(at)) = (self.limits.per_client_max, peer)
            && let Some(n) = self.clients.get_mut(&at.ip())
        {
            *n -= 1;
            if *n == 0 {
                self.clients.remove(&at.ip());
            }
        }
    }
}

/// How a connection is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Flush, FIN, linger.
    Linger,
    /// Flush, then close at once if nothing is unread, else FIN and linger.
    Clean,
    /// At once; RST.
    Reset,
    /// At once; a plain close.
    Drop,
}

pub(crate) struct Core {
    pub(crate) links: Slab<Link>,
    ios: Slab<Io>,
    pub(crate) pool: Pool,
    pub(crate) queue: VecDeque<u32>,
    /// Connections whose budget is spent: they go on in the next turn.
    pub(crate) spent: Vec<u32>,
    pub(crate) wheel: Wheel,
    pub(crate) reaping: Vec<u32>,
    pub(crate) closings: Slab<ClosingRecord>,
    pub(crate) files: Files,
    pub(crate) fetches: Fetches,
    pub(crate) dials: Slab<Endpoint>,
    pub(crate) services: Vec<ServiceInfo>,
    /// Boxed: it is some 30 KiB, of which a turn touches a few lines.
    pub(crate) account: Box<Account>,
    pub(crate) tasks: Tasks,
    #[cfg(feature = "async")]
    pub(crate) futures: super::future::state::Futures,
    pub(crate) semaphores: Slab<Semaphore>,
    pub(crate) queues: Slab<Queue>,
    /// Posts made before this turn: they run in it.
    pub(crate) posts_due: usize,
    /// What came from other threads and was not worked off.
    pub(crate) remote: VecDeque<(Time, Remote)>,
    /// How many entries of other threads were worked off.
    pub(crate) reached: u64,
    pub(crate) handle: Handle,
    pub(crate) workers: Box<dyn Workers>,
    /// Work on threads whose end was not heard of.
    pub(crate) jobs: usize,
    /// Which round of the pool this is: work of an earlier one, cut off by a stop, does not count.
    pub(crate) jobs_round: u32,
    pub(crate) hooks: Hooks,
    /// The last stamp: the turn's, or within it the end of the last task.
    pub(crate) now: Time,
    /// The turn's stamp.
    pub(crate) turn_began: Time,
    /// The wall clock's second at the turn's stamp.
    pub(crate) unix: u64,
    pub(crate) turn: u64,
    pub(crate) draining: bool,
    /// A drain's grace is over: what is connected now would never end it.
    pub(crate) grace_over: bool,
    /// The connection that is being driven, else [`NONE`]: it need not be queued.
    pub(crate) driving: u32,
    pub(crate) watches: Watches,
    next_serial: u32,
}

impl Core {
    pub(crate) fn new(
        now: Time,
        unix: u64,
        account: Account,
        handle: Handle,
        workers: Box<dyn Workers>,
    ) -> Self {
        Self {
            links: Slab::new(),
            ios: Slab::new(),
            pool: Pool::default(),
            queue: VecDeque::new(),
            spent: Vec::new(),
            wheel: Wheel::new(now.ms()),
            reaping: Vec::new(),
            closings: Slab::new(),
            files: Files::new(),
            fetches: Fetches::default(),
            dials: Slab::new(),
            services: Vec::new(),
            account: Box::new(account),
            tasks: Tasks::new(now),
            #[cfg(feature = "async")]
            futures: super::future::state::Futures::new(now),
            semaphores: Slab::new(),
            queues: Slab::new(),
            posts_due: 0,
            remote: VecDeque::new(),
            reached: 0,
            handle,
            workers,
            jobs: 0,
            jobs_round: 0,
            hooks: Hooks::default(),
            now,
            turn_began: now,
            unix,
            turn: 0,
            draining: false,
            grace_over: false,
            driving: NONE,
            watches: Watches::new(),
            next_serial: 0,
        }
    }

    /// Adds a connection. Serials are even and never repeat within 2^31 connections.
    pub(crate) fn insert(&mut self, service: u16, peer: Peer, stamps: Stamps, open: bool) -> u32 {
        self.next_serial = self.next_serial.wrapping_add(2);
        let slot = self.links.insert(Link::new(service, self.next_serial, peer, stamps, open)) as u32;
        let info = &mut self.services[service as usize];
        info.count += 1;
        if let (Some(_), Peer::Tcp(at)) = (info.limits.per_client_max, peer) {
            *info.clients.entry(at.ip()).or_default() += 1;
        }
        slot
    }

    /// The limit that one more connection of `service` from `peer` would break.
    pub(crate) fn over_limit(&self, service: u16, peer: Peer) -> bool {
        let info = &self.services[service as usize];
        let per_client = match (info.limits.per_client_max, peer) {
            (Some(max), Peer::Tcp(at)) => info.clients.get(&at.ip()).is_some_and(|n| *n >= max),
            _ => false,
        };
        per_client || info.limits.connections_max.is_some_and(|max| info.count - info.refused >= max)
    }

    /// A connection was refused at the door: it no longer counts against the limits.
    pub(crate) fn refused(&mut self, slot: u32) {
        let link = &mut self.links[slot as usize];
        link.set(REFUSED);
        let info = &mut self.services[link.service as usize];
        info.refused += 1;
        info.leave(link.peer.unpack());
    }

    /// Takes the books' note of a connection that is no more.
    pub(crate) fn forget(&mut self, slot: u32) {
        let link = self.links.remove(slot as usize);
        let info = &mut self.services[link.service as usize];
        info.count -= 1;
        if link.has(REFUSED) {
            info.refused -= 1;
        } else {
            info.leave(link.peer.unpack());
        }
        self.wheel.cancel(slot);
        if link.closing != NONE {
            self.closings.remove(link.closing as usize);
        }
        if link.has_file() {
            self.forget_file(link.side);
        } else if link.side != NONE {
            self.dials.remove(link.side as usize);
        }
        if link.io != NONE {
            let mut io = self.ios.remove(link.io as usize);
            io.rx.consume(usize::MAX);
            io.tx.consume(usize::MAX);
            io.rx.settle(&mut self.pool);
            io.tx.settle(&mut self.pool);
        }
    }

    /// The slot of `id`, if that connection still is.
    pub(crate) fn slot(&self, id: ConnId) -> Option<u32> {
        self.links.get(id.slot as usize).is_some_and(|l| l.serial == id.serial).then_some(id.slot)
    }

    pub(crate) fn link(&mut self, slot: u32) -> &mut Link {
        &mut self.links[slot as usize]
    }

    /// Queues a connection to be driven.
    pub(crate) fn enqueue(&mut self, slot: u32) {
        if slot == self.driving {
            return;
        }
        let link = &mut self.links[slot as usize];
        if !link.has(QUEUED) {
            link.set(QUEUED);
            self.queue.push_back(slot);
        }
    }

    /// Moves the buffers out of the core while a connection is driven or called.
    pub(crate) fn take_io(&mut self, slot: u32) -> Io {
        let link = &mut self.links[slot as usize];
        match std::mem::replace(&mut link.io, NONE) {
            NONE => Io::default(),
            io => self.ios.remove(io as usize),
        }
    }

    /// Puts the buffers back; blocks that hold nothing go to the pool.
    pub(crate) fn put_io(&mut self, slot: u32, mut io: Io) {
        io.rx.settle(&mut self.pool);
        io.tx.settle(&mut self.pool);
        if io.rx.holds_block() || io.tx.holds_block() {
            self.links[slot as usize].io = self.ios.insert(io) as u32;
        }
    }

    /// The buffers of a connection that is not being driven.
    pub(crate) fn io(&mut self, slot: u32) -> (&mut Io, &mut Pool) {
        let link = &mut self.links[slot as usize];
        if link.io == NONE {
            link.io = self.ios.insert(Io::default()) as u32;
        }
        (&mut self.ios[link.io as usize], &mut self.pool)
    }

    /// Buffer levels as the link sees them.
    pub(crate) fn view(&self, slot: u32, io: &Io) -> View {
        let link = &self.links[slot as usize];
        let span = link.has_file().then(|| {
            let file = &self.files[link.side as usize];
            (file.before, file.left)
        });
        View { rx: io.rx.len(), tx: io.tx.len(), span }
    }

    /// The view of a connection that is not being driven.
    pub(crate) fn resting_view(&self, slot: u32) -> View {
        match self.links[slot as usize].io {
            NONE => self.view(slot, &Io::default()),
            io => self.view(slot, &self.ios[io as usize]),
        }
    }

    /// Starts to close a connection, or replaces a harmless reason by a failure.
    pub(crate) fn begin_close(&mut self, slot: u32, mut reason: CloseReason, manner: Manner) {
        let now = self.now;
        let link = &mut self.links[slot as usize];
        let fresh = link.closing == NONE;
        if link.is_done() && !fresh {
            return;
        }
        reason.phase = match link.phase {
            Phase::Connect(_) => PhaseName::Connect,
            Phase::Teardown(_) if !fresh => PhaseName::Teardown,
            // Turned away at the door: no handler ever had it.
            _ if link.conn == NONE => PhaseName::Connect,
            Phase::Transfer { .. } | Phase::Teardown(_) => PhaseName::Transfer,
        };
        if fresh {
            let stamps = Closing { wanted: now, flushed: None, lingering: false };
            link.closing = self.closings.insert(ClosingRecord { reason, stamps }) as u32;
        } else {
            let record = &mut self.closings[link.closing as usize];
            if record.reason.class.is_none() && reason.class.is_some() {
                record.reason = reason;
            }
        }
        if matches!(link.phase, Phase::Connect(_)) && link.side != NONE {
            // A connect that was never issued: from here on `side` would name a file.
            self.dials.try_remove(std::mem::replace(&mut link.side, NONE) as usize);
        }
        match manner {
            Manner::Linger => link.input(Input::Close),
            Manner::Clean => {
                link.set(CLEAN);
                link.input(Input::Close);
            }
            Manner::Reset => {
                link.set(RESET);
                link.input(Input::End);
            }
            Manner::Drop => link.input(Input::End),
        }
        if fresh && link.phase == Phase::Teardown(Teardown::Linger) {
            link.begin_linger(now, &self.services[link.service as usize].timeouts);
        }
        self.settle_close(slot);
        self.enqueue(slot);
    }

    /// Stamps the progress of a teardown, and hands a connection that is done to the reaper.
    pub(crate) fn settle_close(&mut self, slot: u32) {
        let now = self.now;
        let link = &mut self.links[slot as usize];
        if link.closing != NONE && !matches!(link.phase, Phase::Teardown(Teardown::Flush)) {
            let record = &mut self.closings[link.closing as usize];
            record.stamps.flushed.get_or_insert(now);
            record.stamps.lingering |= !link.is_done();
        }
        if link.is_done() && !link.has(REAPING) {
            link.set(REAPING);
            self.reaping.push(slot);
        }
    }

    /// A connection failed by the system's word.
    pub(crate) fn fail(&mut self, slot: u32, class: &'static Class, errno: Option<i32>, d: Option<Deadline>) {
        let peers = d.is_none() && class.name.starts_with("tcp.");
        let by = if peers { By::Peer } else { By::Reactor };
        let reason = CloseReason {
            class: Some(class),
            errno,
            deadline: d,
            ..CloseReason::new(by, PhaseName::Transfer)
        };
        let manner = if d.is_some() { Manner::Reset } else { Manner::Drop };
        self.begin_close(slot, reason, manner);
    }

    /// A callback of the connection panicked.
    pub(crate) fn panicked(&mut self, slot: u32) {
        let reason = CloseReason {
            class: Some(&close::TASK_PANICKED),
            ..CloseReason::new(By::Us, PhaseName::Transfer)
        };
        self.begin_close(slot, reason, Manner::Reset);
    }

    /// Files the connection's earliest deadline; a later one than is filed waits until the entry fires.
    pub(crate) fn refile(&mut self, slot: u32) {
        let now = self.now.ms();
        let link = &mut self.links[slot as usize];
        let t = &self.services[link.service as usize].timeouts;
        let anew = link.has(REFILE) || !link.has(FILED);
        link.clear(REFILE);
        let Some(at) = link.deadline(t, now) else {
            if anew && link.has(FILED) {
                link.clear(FILED);
                self.wheel.cancel(slot);
            }
            return;
        };
        if anew || (at.wrapping_sub(link.filed) as i32) < 0 {
            link.set(FILED);
            link.filed = at;
            self.wheel.file(slot, at);
        }
    }

    /// Nothing has moved for the idle time, and nothing of ours is on its way.
    pub(crate) fn idle(&mut self, slot: u32) {
        let reason = CloseReason {
            class: Some(&close::TCP_IDLE),
            deadline: Some(Deadline::Idle),
            ..CloseReason::new(By::Reactor, PhaseName::Transfer)
        };
        self.begin_close(slot, reason, Manner::Clean);
    }

    /// A timer entry fired.
    pub(crate) fn expired(&mut self, slot: u32) {
        let now = self.now.ms();
        let Some(link) = self.links.get_mut(slot as usize) else { return };
        let late = u64::from(now.wrapping_sub(link.filed)) * 1_000_000 + self.now.as_nanos() % 1_000_000;
        self.account.timer_fired(late);
        link.clear(FILED);
        let t = self.services[link.service as usize].timeouts;
        match link.expire(&t, now) {
            Some(Expired::Connect) => {
                self.fail(slot, &close::TCP_TIMED_OUT, None, Some(Deadline::Connect));
            }
            Some(Expired::Idle) => self.idle(slot),
            Some(Expired::File) => self.fail(slot, &close::FILE_LATE, None, Some(Deadline::Stall)),
            Some(Expired::Linger) => {
                link.input(Input::End);
                self.settle_close(slot);
            }
            None if link.has(TIMER_DUE | DEADLINE_DUE | PROBE_DUE) => self.enqueue(slot),
            None => self.refile(slot),
        }
    }

    /// The bytes of a connection that never reached the kernel.
    pub(crate) fn unsent(&self, slot: u32) -> u64 {
        let v = self.resting_view(slot);
        v.tx as u64 + v.span.map_or(0, |(_, left)| left)
    }

    /// How many entries the side tables hold: buffers, closing records, dials and files.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn side_counts(&self) -> (usize, usize, usize) {
        (self.ios.len(), self.closings.len(), self.dials.len() + self.files.len())
    }
}
