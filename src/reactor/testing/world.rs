//! [`World`]: a simulated network with its own clock, in which reactors run and tests play their peers.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use super::faults::Faults;
use super::kernel::{ALL, Call, Kernel, ProcessId};
use super::peer::{SimPeer, SimServer};
use super::socket::Owner;
use super::sys::SimSys;
use crate::reactor::endpoint::Endpoint;
use crate::reactor::time::Time;

/// After so many rounds a run counts as endless.
const ROUNDS_MAX: u64 = 2_000_000;

/// A simulated network: cheap to clone, every clone is the same world.
///
/// Nothing in it sleeps, and the same seed gives the same run. With **one** process, its poll moves the clock to the
/// next moment at which anything happens. With **several**, a poll that finds nothing returns at once and notes how long
/// it would have slept; [`World::drive`] or [`World::step`] then moves the clock for all.
#[derive(Clone)]
pub struct World {
    kernel: Rc<RefCell<Kernel>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed()).field("now", &self.now()).finish_non_exhaustive()
    }
}

impl World {
    /// A world without faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_faults(seed, Faults::none())
    }

    /// A world in which `faults` happen.
    #[must_use]
    pub fn with_faults(seed: u64, faults: Faults) -> Self {
        Self { kernel: Rc::new(RefCell::new(Kernel::new(seed, faults))) }
    }

    /// The seed that this world was made from.
    pub fn seed(&self) -> u64 {
        self.kernel.borrow().seed
    }

    /// Other faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.kernel.borrow_mut().faults = faults;
    }

    /// A new process: a kernel for one reactor, with a poll of its own and 1024 descriptors.
    #[must_use]
    pub fn sys(&self) -> SimSys {
        SimSys::new(&self.kernel)
    }

    // ── Time ──

    /// The clock that all processes share.
    pub fn now(&self) -> Time {
        self.kernel.borrow().now
    }

    /// Moves the clock by `d`, through everything that is due on the way.
    pub fn advance(&self, d: Duration) {
        self.kernel.borrow_mut().advance(d);
    }

    /// When the network next does something by itself: a delivery, a late event, a connect that times out.
    pub fn next_event_time(&self) -> Option<Time> {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.next_at()
    }

    /// Moves the clock to the next moment at which anything happens: something of the network's, or the end of a poll
    /// that waits. False when there is none.
    pub fn step(&self) -> bool {
        self.kernel.borrow_mut().step()
    }

    /// Whether every process waits in its poll, and none has an event or a deadline that is due.
    pub fn is_idle(&self) -> bool {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.is_idle()
    }

    /// Whether a poll of any process would find an event now.
    pub fn has_events(&self) -> bool {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        (0..kernel.processes.len()).any(|n| kernel.has_due(ProcessId(n)))
    }

    /// Whether a process has waited without end in a world where nothing could happen any more: a hang. Asking
    /// clears it.
    pub fn is_stuck(&self) -> bool {
        std::mem::take(&mut self.kernel.borrow_mut().stuck)
    }

    /// Calls `round` until it says that it is done, and moves the clock whenever all processes wait.
    ///
    /// A round is one turn of each reactor, `turn(None)` so that the world knows what each waits for, and whatever
    /// scripted peers do.
    ///
    /// # Panics
    /// When nothing can happen any more, and when the run takes millions of rounds.
    pub fn drive(&self, mut round: impl FnMut() -> bool) {
        for _ in 0..ROUNDS_MAX {
            if round() {
                return;
            }
            if self.is_stuck() || (self.is_idle() && !self.step()) {
                panic!("seed {}: nothing can happen any more, and the test is not done", self.seed());
            }
        }
        panic!("seed {}: still not done after {ROUNDS_MAX} rounds", self.seed());
    }

    // ── Peers that are no reactor ──

    /// Connects a scripted peer. Over TCP the connection may stand only later; what is written before is refused.
    ///
    /// # Errors
    /// Those of `connect(2)` that come at once, such as a Unix socket's refusal.
    pub fn dial(&self, to: &Endpoint) -> io::Result<SimPeer> {
        let kernel = &mut *self.kernel.borrow_mut();
        let (id, _) = kernel.connect(Owner::Script, to)?;
        kernel.advance(Duration::ZERO);
        Ok(SimPeer::new(&self.kernel, id))
    }

    /// A scripted listener, for a reactor that connects.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub fn serve(&self, at: &Endpoint) -> io::Result<SimServer> {
        let (id, address) = self.kernel.borrow_mut().listen(None, at)?;
        Ok(SimServer::new(&self.kernel, id, Endpoint { address, options: at.options.clone() }))
    }

    /// A descriptor that [`Reactor::adopt`](crate::reactor::Reactor::adopt) and
    /// [`Reactor::watch`](crate::reactor::Reactor::watch) take in this world, and its other end.
    ///
    /// # Errors
    /// When `/dev/null`, which stands in for it, cannot be opened.
    pub fn descriptor(&self) -> io::Result<(OwnedFd, SimPeer)> {
        let fd = OwnedFd::from(File::open("/dev/null")?);
        let kernel = &mut *self.kernel.borrow_mut();
        let (script, other) = kernel.pair();
        kernel.adoptable.insert(fd.as_raw_fd(), other);
        Ok((fd, SimPeer::new(&self.kernel, script)))
    }

    /// Lets every later connect to `to` go unanswered until it times out.
    pub fn drop_connects_to(&self, to: &Endpoint) {
        self.kernel.borrow_mut().blackholes.push(to.address.clone());
    }

    /// Gives the process, at its next poll, an event with every bit for each token whose socket it has closed: no
    /// connection that has since taken such a slot may notice.
    pub fn replay_stale_events(&self, process: ProcessId) {
        let p = &mut self.kernel.borrow_mut().processes[process.0];
        let retired: Vec<_> = p.retired.iter().map(|token| (*token, ALL)).collect();
        p.injected.extend(retired);
    }

    // ── Descriptors ──

    /// How many descriptors the process may have; `None`: no limit.
    pub fn set_descriptor_limit(&self, process: ProcessId, limit: Option<u64>) {
        self.kernel.borrow_mut().processes[process.0].limit = limit;
    }

    /// How many descriptors the process holds that the reactor does not know of.
    pub fn hold_descriptors(&self, process: ProcessId, n: u64) {
        self.kernel.borrow_mut().processes[process.0].held = n;
    }

    /// The process's open stream sockets.
    pub fn open_sockets(&self, process: ProcessId) -> usize {
        self.kernel.borrow().processes[process.0].sockets
    }

    /// The process's open listeners.
    pub fn open_listeners(&self, process: ProcessId) -> usize {
        self.kernel.borrow().processes[process.0].listeners
    }

    /// The descriptors that the process watches.
    pub fn open_watches(&self, process: ProcessId) -> usize {
        self.kernel.borrow().processes[process.0].watched
    }

    /// Sockets that the process dropped without [`Sys::close`](crate::reactor::sys::Sys::close).
    pub fn dropped_sockets(&self, process: ProcessId) -> usize {
        self.kernel.borrow().processes[process.0].dropped
    }

    // ── Jobs ──

    /// Jobs that the process has offloaded and no thread has begun.
    pub fn jobs_queued(&self, process: ProcessId) -> usize {
        self.kernel.borrow().jobs(process).queued
    }

    /// Jobs of the process that a thread has begun and not ended.
    pub fn jobs_running(&self, process: ProcessId) -> usize {
        self.kernel.borrow().jobs(process).running
    }

    /// How many jobs of the process have ended, whether or not by a panic.
    pub fn jobs_done(&self, process: ProcessId) -> u64 {
        self.kernel.borrow().jobs(process).done
    }

    // ── Calls ──

    /// How many calls all processes have made that could have failed.
    pub fn calls(&self) -> u64 {
        self.kernel.borrow().calls_total
    }

    /// How many of one kind.
    pub fn calls_of(&self, call: Call) -> u64 {
        self.kernel.borrow().calls.get(&call).copied().unwrap_or(0)
    }

    /// Reads and writes that said `WouldBlock` though no event had come since the last one that did. In a world
    /// without faults a reactor needs none.
    pub fn wasted_calls(&self) -> u64 {
        self.kernel.borrow().wasted
    }

    /// Makes the `n`-th call from now fail (1 is the next one), as such a call can: a read or write breaks its
    /// connection, an accept finds no descriptor, a poll is interrupted. 0 takes the wish back.
    pub fn fail_call(&self, n: u64) {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.fail_at = (n > 0).then_some(kernel.calls_total + n);
    }

    /// The call that [`World::fail_call`] made fail last, once it has.
    pub fn failed_call(&self) -> Option<Call> {
        self.kernel.borrow().failed
    }
}
