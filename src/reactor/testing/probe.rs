//! [`Probe`]: drives one handler in memory, on a reactor in a world without faults.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::peer::{SimPeer, SimServer};
use super::spy::watch;
use super::sys::SimSys;
use super::world::World;
use crate::reactor::{Config, ConnId, Endpoint, Handler, Key, Reactor, Report, Table};

/// After so many turns without an end, a handler counts as one that never rests.
const TURNS_MAX: u32 = 100_000;
/// What [`Probe::sent`] takes at most, so that a handler that never stops does not either.
const SENT_MAX: usize = 64 << 20;

/// A handler under test, with the peers of its connections in the test's hands.
///
/// Everything happens within the call: [`Probe::recv`] returns when the handler has done all it can. Time moves only
/// in [`Probe::advance`]. After each turn the reactor's own rules are checked.
///
/// ```
/// use tidemill::reactor::testing::Probe;
/// use tidemill::reactor::{Accepted, Ctx, Handler, Refuse};
///
/// struct Upper;
/// impl Handler for Upper {
///     type Conn = ();
///     fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
///         Ok(())
///     }
///     fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
///         let n = ctx.tx.write(&ctx.rx.to_ascii_uppercase());
///         ctx.rx.consume(n);
///     }
/// }
///
/// let mut probe = Probe::new(Upper);
/// probe.accept();
/// probe.recv_bytewise(b"shout");
/// assert_eq!(probe.sent(), b"SHOUT");
/// probe.eof();
/// assert_eq!(probe.closed().unwrap().reason.name(), "finished");
/// ```
pub struct Probe<H: Handler> {
    world: World,
    reactor: Reactor<SimSys>,
    key: Key<H>,
    at: Endpoint,
    peers: Vec<End>,
    current: usize,
    room: Option<usize>,
    reports: Rc<RefCell<Vec<Report>>>,
}

struct End {
    peer: Option<SimPeer>,
    id: Option<ConnId>,
}

impl<H: Handler> fmt::Debug for Probe<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("reactor", &self.reactor).finish_non_exhaustive()
    }
}

impl<H: Handler> Probe<H> {
    /// A probe of `handler`, with a listener and no connection yet.
    #[must_use]
    pub fn new(handler: H) -> Self {
        Self::with_config(handler, Config::default())
    }

    /// The same on a reactor with bounds of the test's own.
    #[must_use]
    pub fn with_config(handler: H, config: Config) -> Self {
        let world = World::new(0);
        let mut reactor = Reactor::with_sys(world.sys(), config);
        let key = reactor.add(handler);
        let reports = watch(&mut reactor, key);
        let place = Endpoint::tcp(([127, 0, 0, 1], 0));
        let listener = reactor.listen(key, &place).expect("nothing else listens in this world");
        let at = reactor.local(listener).expect("it was just made").clone();
        Self { world, reactor, key, at, peers: Vec::new(), current: 0, room: None, reports }
    }

    // ── Connections ──

    /// Connects another peer, over TCP, and selects it. Its number is given back.
    pub fn accept(&mut self) -> usize {
        let peer = self.world.dial(&self.at).expect("a connect over TCP has no errors at once");
        self.add(peer)
    }

    /// Lets the handler connect out to a peer of the test's, which is selected. Its number is given back.
    ///
    /// # Panics
    /// When the reactor does not connect.
    pub fn connect(&mut self, conn: H::Conn) -> usize {
        let server: SimServer =
            self.world.serve(&Endpoint::tcp(([127, 0, 0, 1], 0))).expect("the port is free");
        self.reactor.connect(self.key, server.endpoint(), conn).expect("the endpoint is an address");
        self.turn();
        let peer = server.accept().expect("the reactor connects within its turn");
        self.add(peer)
    }

    fn add(&mut self, mut peer: SimPeer) -> usize {
        if let Some(room) = self.room {
            peer.set_room(room);
        }
        let before = self.ids();
        self.peers.push(End { peer: Some(peer), id: None });
        self.current = self.peers.len() - 1;
        self.settle();
        self.peers[self.current].id = self.ids().into_iter().find(|id| !before.contains(id));
        self.current
    }

    fn ids(&mut self) -> Vec<ConnId> {
        self.reactor.with(self.key, |_, table| table.ids().collect())
    }

    /// Selects the connection that the calls below are about.
    pub fn select(&mut self, nth: usize) {
        assert!(nth < self.peers.len(), "there is no connection {nth}");
        self.current = nth;
    }

    /// The selected connection's id; `None` when the handler refused it, or closed it at once.
    pub fn id(&self) -> Option<ConnId> {
        self.peers[self.current].id
    }

    /// How many bytes the kernel takes from the handler's side before the peer has read them, from now on: 1 makes
    /// every write one byte.
    pub fn set_room(&mut self, n: usize) {
        self.room = Some(n);
        for peer in self.peers.iter_mut().filter_map(|end| end.peer.as_mut()) {
            peer.set_room(n);
        }
    }

    // ── What the peer does ──

    /// The peer sends `bytes`, and the handler does what it can with them. How many were taken: fewer when the
    /// handler does not read.
    pub fn recv(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let n = self.peer().write(&bytes[taken..]);
            self.settle();
            if n == 0 {
                break;
            }
            taken += n;
        }
        taken
    }

    /// The same byte by byte.
    pub fn recv_bytewise(&mut self, bytes: &[u8]) -> usize {
        bytes.iter().take_while(|b| self.recv(&[**b]) == 1).count()
    }

    /// Everything that the handler has sent to the peer and that was not taken yet.
    pub fn sent(&mut self) -> Vec<u8> {
        self.sent_up_to(SENT_MAX)
    }

    /// The same, at most `most` bytes: for a handler that sends without end.
    pub fn sent_up_to(&mut self, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < most {
            self.settle();
            let got = self.peer().read_up_to(most - out.len());
            if got.is_empty() {
                break;
            }
            out.extend_from_slice(&got);
        }
        out
    }

    /// The peer sends FIN.
    pub fn eof(&mut self) {
        self.peer().shutdown_write();
        self.settle();
    }

    /// The peer resets the connection.
    pub fn reset(&mut self) {
        if let Some(peer) = self.peers[self.current].peer.take() {
            peer.reset();
        }
        self.settle();
    }

    /// The peer closes the connection, as `close(2)` does.
    pub fn hang_up(&mut self) {
        if let Some(peer) = self.peers[self.current].peer.take() {
            peer.close();
        }
        self.settle();
    }

    fn peer(&mut self) -> &mut SimPeer {
        self.peers[self.current].peer.as_mut().expect("the peer has hung up")
    }

    // ── Time ──

    /// Time passes: each deadline on the way fires at its time.
    pub fn advance(&mut self, d: Duration) {
        let target = self.world.now() + d;
        self.settle();
        while self.world.now() < target {
            self.turn_for(target - self.world.now());
            self.settle();
        }
    }

    fn turn(&mut self) {
        self.turn_for(Duration::ZERO);
    }

    fn turn_for(&mut self, wait: Duration) {
        self.reactor.turn(Some(wait)).expect("the simulated poll does not fail");
        self.reactor.check();
    }

    /// Turns until the reactor has nothing to do at this moment.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.turn();
            let busy = self.reactor.next_wait() == Some(Duration::ZERO);
            if !busy && !self.world.has_events() {
                return;
            }
        }
        panic!("the handler never rests");
    }

    // ── What came of it ──

    /// Whether the peer has read the handler's FIN: nothing follows what [`Probe::sent`] gave.
    pub fn finished(&mut self) -> bool {
        self.peers[self.current].peer.as_ref().is_some_and(SimPeer::is_eof)
    }

    /// How the selected connection ended; `None` while it has not.
    pub fn closed(&self) -> Option<Report> {
        let id = self.id();
        let reports = self.reports.borrow();
        match id {
            Some(id) => reports.iter().find(|report| report.id == id).cloned(),
            None => reports.last().cloned(),
        }
    }

    /// Calls `f` with the handler and its table, and lets the reactor do what follows from it.
    pub fn with<T>(&mut self, f: impl FnOnce(&mut H, &mut Table<'_, H>) -> T) -> T {
        let result = self.reactor.with(self.key, f);
        self.settle();
        result
    }

    /// The reactor, for what this has no word for.
    pub fn reactor(&mut self) -> &mut Reactor<SimSys> {
        &mut self.reactor
    }

    /// The world, for what this has no word for.
    pub fn world(&self) -> &World {
        &self.world
    }
}
