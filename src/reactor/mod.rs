//! The reactor: one poll, one slab of connection state machines, handlers that never see readiness.
//!
//! A program makes a [`Reactor`], adds a [`Handler`] for each protocol, tells it where to [`listen`](Reactor::listen)
//! or [`connect`](Reactor::connect), and calls [`run`](Reactor::run), or [`turn`](Reactor::turn) from a loop of its
//! own.
//!
//! One turn, in this order: poll and read the clock once; **mark** what the kernel said; **run** the queue: each
//! connection does what it can, within its budget; accept; call what is watched and ready; run tasks and expired
//! deadlines, and drive once more what these queued; **reap** the ended. No user code runs while events are marked.
//!
//! ```
//! use tidemill::reactor::{Accepted, Ctx, Handler, Reactor, Refuse};
//!
//! struct Echo;
//! impl Handler for Echo {
//!     type Conn = ();
//!     fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
//!         Ok(())
//!     }
//!     fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
//!         ctx.tx.take_from(&mut ctx.rx);
//!     }
//! }
//!
//! # fn main() -> Result<(), tidemill::reactor::Error> {
//! let mut reactor = Reactor::new(Default::default())?;
//! let echo = reactor.add(Echo);
//! let listener = reactor.listen(echo, &"127.0.0.1:0".parse().unwrap())?;
//! println!("listening on {}", reactor.local(listener).unwrap());
//! # reactor.handle().stop(std::time::Duration::ZERO);
//! reactor.run()
//! # }
//! ```

use std::any::{Any, type_name};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use slab::Slab;

pub mod account;
mod alarm;
pub mod buffer;
#[cfg(any(test, feature = "testing"))]
mod check;
pub mod class;
pub mod close;
mod core;
mod drive;
pub mod endpoint;
mod file;
#[cfg(feature = "async")]
pub mod future;
mod handle;
mod handler;
pub mod histogram;
pub mod id;
pub mod ledger;
mod limits;
mod link;
mod listener;
mod offload;
mod service;
mod shutdown;
mod slow;
pub mod sys;
mod table;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod timers;
mod turn;
mod watch;
mod watchdog;
pub mod workers;

use self::account::Account;
use self::core::{Core, Manner, ServiceInfo};
use self::id::Token;
use self::ledger::Stamps;
use self::link::NONE;
use self::listener::Listener;
use self::service::{Bound, Service};
use self::shutdown::Drain;
use self::sys::{Adopted, SetupParts, Sys};

pub use self::account::Stats;
pub use self::buffer::{Input, Output};
pub use self::class::Class;
pub use self::close::{By, CloseReason, Deadline, Error, PhaseName, Report};
pub use self::endpoint::{Address, Endpoint, EndpointError, Keepalive, SocketOptions};
pub use self::handle::{Handle, PostError};
pub use self::handler::{Accepted, Ctx, Handler, Refuse};
pub use self::histogram::Histogram;
pub use self::id::{ConnId, GroupId, ListenerId, TaskId, WatchId};
pub use self::limits::{Config, Limits, WorkersConfig};
pub use self::service::Key;
pub use self::shutdown::{DrainReport, Hold, Stage};
pub use self::slow::{Callback, Ran, Slow};
pub use self::sys::{MioSys, Peer, Ready};
pub use self::table::Table;
pub use self::task::{
    Completer, Missed, Permit, QueueId, SemaphoreId, SendError, Sender, Step, TaskError, TaskRecord,
    TaskReport,
};
pub use self::time::Time;
pub use self::watch::Source;

#[cfg(feature = "signals")]
pub(crate) use self::service::contain;

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Events that the kernel delivered.
    pub events: usize,
    /// Connections accepted.
    pub accepted: usize,
    /// Connections that ended.
    pub closed: usize,
    /// Whether a drain has come to its end: `run` returns.
    pub stopped: bool,
}

/// One event loop with its services. Several can live in one process, one thread each.
///
/// A reactor that is dropped closes its sockets without calling `on_close`; drain it with [`Reactor::stop`] and
/// [`Reactor::run`] first where handlers must hear of every end.
pub struct Reactor<S: Sys = MioSys> {
    sys: S,
    /// Boxed: it changes its place while futures are polled.
    core: Box<Core>,
    /// Stands in for the core meanwhile.
    #[cfg(feature = "async")]
    spare: Option<Box<Core>>,
    config: Config,
    services: Vec<Box<dyn Service>>,
    /// By the slot of their links.
    sockets: Vec<Option<S::Socket>>,
    /// By the slot of their watches.
    watched: Vec<Option<S::Watched>>,
    listeners: Slab<Listener<S>>,
    /// The listeners' slots, in the order of their making.
    listener_slots: Vec<usize>,
    next_listener_serial: u32,
    handle: Handle,
    /// What the wall clock said when the reactor's clock began.
    unix_at_zero: Duration,
    gate: u32,
    last_pause_log: Time,
    drain: Option<Drain>,
    last_drain: Option<DrainReport>,
    /// Kept between turns so that a turn allocates nothing.
    scratch: Vec<u32>,
}

impl<S: Sys> std::fmt::Debug for Reactor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reactor")
            .field("connections", &self.core.links.len())
            .field("listeners", &self.listeners.len())
            .field("stats", self.stats())
            .finish_non_exhaustive()
    }
}

impl Reactor<MioSys> {
    /// A reactor on the real kernel.
    ///
    /// # Errors
    /// When the system gives no poll.
    pub fn new(config: Config) -> Result<Self, Error> {
        let sys = MioSys::new().map_err(|e| Error::new("make a poll", None, e))?;
        Ok(Self::with_sys(sys, config))
    }
}

impl AsFd for Reactor<MioSys> {
    /// The poll's descriptor: readable when a turn has events. For nesting in another loop, which must also call
    /// [`Reactor::turn`] when [`Reactor::next_wait`] has passed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sys.as_fd()
    }
}

impl AsRawFd for Reactor<MioSys> {
    fn as_raw_fd(&self) -> RawFd {
        self.sys.as_raw_fd()
    }
}

impl<S: Sys> Reactor<S> {
    /// A reactor on the kernel that is given.
    pub fn with_sys(mut sys: S, config: Config) -> Self {
        let (now, unix) = (sys.now(), sys.unix_time());
        let unix_at_zero = unix.saturating_sub(now - Time::ZERO);
        let handle = Handle::new(sys.waker(), sys.clock(), config.posts_max);
        let workers = sys.workers(config.workers.clone());
        let account = Account::new(config.slow_callback);
        let gate = config.connections_gate.unwrap_or_else(|| {
            let limit = sys.descriptor_limit().unwrap_or(u64::MAX);
            let reserve = (limit / 8).max(16);
            u32::try_from(limit.saturating_sub(reserve).max(1)).unwrap_or(u32::MAX)
        });
        #[cfg_attr(not(feature = "async"), allow(unused_mut, reason = "futures add a service"))]
        let mut reactor = Self {
            sys,
            core: Box::new(Core::new(now, unix.as_secs(), account, handle.clone(), workers)),
            #[cfg(feature = "async")]
            spare: None,
            unix_at_zero,
            config,
            services: Vec::new(),
            sockets: Vec::new(),
            watched: Vec::new(),
            listeners: Slab::new(),
            listener_slots: Vec::new(),
            next_listener_serial: 1,
            handle,
            gate,
            last_pause_log: Time::ZERO,
            drain: None,
            last_drain: None,
            scratch: Vec::new(),
        };
        #[cfg(feature = "async")]
        reactor.begin_futures();
        reactor
    }

    /// Adds a service. Its bounds are [`Handler::limits`].
    pub fn add<H: Handler>(&mut self, handler: H) -> Key<H> {
        let limits = handler.limits();
        let bound = |index| -> Box<dyn Service> { Box::new(Bound { handler, conns: Slab::new(), index }) };
        let index = self.add_service(limits, type_name::<H>(), bound);
        Key::new(index, self.handle.reactor())
    }

    fn add_service(
        &mut self,
        limits: Limits,
        name: &'static str,
        make: impl FnOnce(u16) -> Box<dyn Service>,
    ) -> u16 {
        let index = self.services.len() as u16;
        let timeouts = (&limits).into();
        self.core.account.add_service(name);
        self.core.services.push(ServiceInfo {
            timeouts,
            limits,
            count: 0,
            refused: 0,
            clients: Default::default(),
        });
        self.services.push(make(index));
        index
    }

    /// Listens for connections of a service. A name is resolved first, which blocks.
    ///
    /// # Errors
    /// The step that failed, with its class.
    pub fn listen<H: Handler>(&mut self, key: Key<H>, at: &Endpoint) -> Result<ListenerId, Error> {
        let serial = self.next_listener_serial;
        let id = ListenerId { slot: self.listeners.vacant_key() as u32, serial };
        let made = self
            .sys
            .listen(at, Token::Listener(id))
            .map_err(|e| Error::new(e.step, Some(at.short()), e.source))?;
        self.next_listener_serial = serial.wrapping_add(2);
        log::debug!("listener {} made in {} ns: {:?}", made.at, made.parts.total(), made.parts);
        let slot = self.listeners.insert(Listener {
            socket: made.listener,
            at: made.at,
            parts: made.parts,
            service: self.own(key),
            serial,
            ready: false,
            event: false,
            gated: false,
            ready_since: None,
            paused_until: None,
        });
        self.listener_slots.push(slot);
        Ok(id)
    }

    /// Stops listening. Whether the listener still was.
    pub fn unlisten(&mut self, id: ListenerId) -> bool {
        let known = self.listeners.get(id.slot as usize).is_some_and(|l| l.serial == id.serial);
        if known {
            self.remove_listener(id.slot as usize);
        }
        known
    }

    /// Where a listener listens, with the port that the kernel chose.
    pub fn local(&self, id: ListenerId) -> Option<&Endpoint> {
        self.listeners.get(id.slot as usize).filter(|l| l.serial == id.serial).map(|l| &l.at)
    }

    /// What the making of a listener cost, step by step.
    pub fn setup(&self, id: ListenerId) -> Option<SetupParts> {
        self.listeners.get(id.slot as usize).filter(|l| l.serial == id.serial).map(|l| l.parts)
    }

    /// Connects out. How it went comes as `on_open` or `on_close`.
    ///
    /// # Errors
    /// When the endpoint is a name ([`Endpoint::resolve`] makes addresses of it) or a descriptor.
    pub fn connect<H: Handler>(
        &mut self,
        key: Key<H>,
        to: &Endpoint,
        conn: H::Conn,
    ) -> Result<ConnId, Error> {
        self.with(key, |_, table| table.connect(to, conn).ok()).ok_or_else(|| {
            Error::new("connect to", Some(to.short()), std::io::ErrorKind::InvalidInput.into())
        })
    }

    /// Takes over a connected socket, a pipe's end or a terminal as a connection of a service. For descriptors of other
    /// kinds, and for reading by yourself, see [`Reactor::watch`].
    ///
    /// # Errors
    /// When it cannot be polled or registered.
    pub fn adopt<H: Handler>(&mut self, key: Key<H>, fd: OwnedFd, conn: H::Conn) -> Result<ConnId, Error> {
        let fail = |e| Error::new("adopt", None, e);
        let Adopted { socket, peer, reads, writes } = self.sys.adopt(fd).map_err(fail)?;
        let index = self.with(key, |_, table| table.conns.insert(Some(conn)) as u32);
        let slot = self.core.insert(key.index, peer, Stamps::begin(self.core.now), true);
        let id = self.core.link(slot).id(slot);
        if let Err(e) = self.sys.register(&socket, Token::Conn(id)) {
            self.core.forget(slot);
            self.sys.close(socket, false);
            self.with(key, |_, table| table.conns.remove(index as usize));
            return Err(fail(e));
        }
        self.place_socket(slot, socket);
        let now = self.sys.now();
        let link = self.core.link(slot);
        link.conn = index;
        link.open(now);
        link.restrict(reads, writes);
        self.core.enqueue(slot);
        Ok(id)
    }

    fn refresh_clock(&mut self) {
        self.core.now = self.core.now.max(self.sys.now());
    }

    /// The index of a service of this reactor.
    fn own<H>(&self, key: Key<H>) -> u16 {
        assert_eq!(key.reactor, self.handle.reactor(), "the key belongs to another reactor");
        key.index
    }

    /// Calls `f` with a handler and its table, between turns.
    ///
    /// # Panics
    /// When the key is of another reactor.
    #[allow(clippy::expect_used, reason = "a key of another reactor is a programmer's error")]
    pub fn with<H: Handler, T>(&mut self, key: Key<H>, f: impl FnOnce(&mut H, &mut Table<'_, H>) -> T) -> T {
        let index = self.own(key);
        // What is filed from here counts from now, not from the last turn.
        self.refresh_clock();
        let service: &mut dyn Any = self
            .services
            .get_mut(index as usize)
            .map(|s| s.as_any())
            .expect("the key belongs to another reactor");
        let bound = service.downcast_mut::<Bound<H>>().expect("the key belongs to another reactor");
        let (handler, mut table) = bound.table(&mut self.core);
        f(handler, &mut table)
    }

    /// Reaches this reactor from other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What was counted since the reactor was made. Always on; some thirty nanoseconds a turn.
    pub fn stats(&self) -> &Stats {
        self.core.account.stats()
    }

    /// The last 16 callbacks and stretches of callbacks that took longer than [`Config::slow_callback`], the oldest
    /// first. At first the stretch is known in which a slow callback lies; if it is slow again within the next ten
    /// turns, it is named alone and with its own time.
    pub fn slow(&self) -> impl Iterator<Item = &Slow> {
        self.core.account.slow()
    }

    /// Connections of all services.
    pub fn connections(&self) -> usize {
        self.core.links.len()
    }

    /// How long the loop may sleep: zero when work waits, `None` when only an event can bring some. For embedders
    /// that wait on [`AsFd`] themselves.
    pub fn next_wait(&mut self) -> Option<Duration> {
        self.refresh_clock();
        self.wait(None)
    }

    /// Turns until [`Handle::stop`] has drained the reactor. It can be run again afterwards.
    ///
    /// # Errors
    /// Those of [`Reactor::turn`].
    pub fn run(&mut self) -> Result<(), Error> {
        let mut turn = self.turn(None)?;
        while !turn.stopped {
            turn = self.next_turn(None)?;
        }
        Ok(())
    }

    fn place_socket(&mut self, slot: u32, socket: S::Socket) {
        let at = slot as usize;
        if self.sockets.len() <= at {
            self.sockets.resize_with(at + 1, || None);
        }
        self.sockets[at] = Some(socket);
    }
}

impl<S: Sys> Drop for Reactor<S> {
    fn drop(&mut self) {
        #[cfg(feature = "async")]
        self.end_futures();
        self.handle.leave();
        self.core.discard_all();
        self.forget_hooks();
        #[cfg(feature = "async")]
        self.core.futures.bury();
        self.drop_watches();
        for slot in std::mem::take(&mut self.listener_slots) {
            self.remove_listener(slot);
        }
        for socket in self.sockets.drain(..).flatten() {
            self.sys.close(socket, false);
        }
        for watched in self.watched.drain(..).flatten() {
            self.sys.close_watched(watched);
        }
    }
}
