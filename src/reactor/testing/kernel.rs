//! The simulated kernel: its clock, its agenda of things to come, its processes and their edge-triggered polls.
//!
//! An edge puts a registration on its process's ready list, once; a poll takes it off and reports the socket's whole
//! state at that moment. That is what epoll does with EPOLLET, so the sim cannot be kinder than Linux: bytes that are
//! merely still there make no event. What a socket does is in `stream.rs`, how it comes about in `setup.rs`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::faults::Faults;
use super::rng::Rng;
use super::socket::{Owner, Sock, bits, to_ready};
use super::work::Pool;
use crate::reactor::endpoint::{Address, SocketOptions};
use crate::reactor::id::Token;
use crate::reactor::sys::Ready;
use crate::reactor::time::Time;

/// A socket or a listener. Numbers are never used twice.
pub(super) type Id = u64;

/// A process of a [`World`](super::World): one [`SimSys`](super::SimSys) and what it has open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProcessId(pub(super) usize);

/// A call that a simulated kernel can be asked to fail, see [`World::fail_call`](super::World::fail_call).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Call {
    /// [`Sys::poll`](crate::reactor::sys::Sys::poll); it fails as an interrupted one.
    Poll,
    /// `listen`.
    Listen,
    /// `accept`.
    Accept,
    /// `shed`; it sheds nothing.
    Shed,
    /// `connect`.
    Connect,
    /// `adopt`.
    Adopt,
    /// `register`.
    Register,
    /// `connected`.
    Connected,
    /// `read`.
    Read,
    /// `write`.
    Write,
    /// `send_file`.
    SendFile,
    /// `shutdown_write`.
    ShutdownWrite,
    /// `watch`.
    Watch,
    /// `widen`.
    Widen,
    /// `watched_ready`; it fails as an interrupted one.
    WatchedReady,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Action {
    /// The next piece arrives at a socket.
    Deliver(Id),
    /// A connect reaches the listener, for the n-th time.
    Syn(Id, u8),
    /// A connect gives up.
    GiveUp(Id),
    /// An edge without a cause: what a spurious `WouldBlock` owes.
    Edge(Id),
    /// A thread of the n-th pool looks for a job.
    Work(usize),
    /// A job of the n-th pool ends.
    WorkDone(usize, u64),
    /// Something is due then; a poll looks by itself.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Listening {
    pub(super) process: Option<ProcessId>,
    pub(super) address: Address,
    pub(super) options: SocketOptions,
    pub(super) queue: VecDeque<Id>,
}

#[derive(Debug)]
struct Registration {
    token: Token,
    interest: u8,
    /// On the ready list, to be seen from then on.
    due: Option<Time>,
}

#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) limit: Option<u64>,
    /// Descriptors that the program holds beside its sockets.
    pub(super) held: u64,
    pub(super) sockets: usize,
    pub(super) listeners: usize,
    /// Descriptors under watch.
    pub(super) watched: usize,
    /// Sockets that were dropped, not closed.
    pub(super) dropped: usize,
    pub(super) spare: bool,
    pub(super) gone: bool,
    pub(super) woken: Arc<AtomicBool>,
    /// In a poll that waits, until then.
    pub(super) asleep: Option<Option<Time>>,
    registrations: BTreeMap<Id, Registration>,
    ready: VecDeque<Id>,
    /// Events for nobody, to be given by the next poll.
    pub(super) injected: Vec<(Token, Ready)>,
    /// Tokens whose sockets are closed, newest last.
    pub(super) retired: VecDeque<Token>,
}

impl Process {
    /// Whether another descriptor can be had.
    pub(super) fn has_descriptor(&self) -> bool {
        // The poll and the waker are open too.
        let open =
            2 + self.held + (self.sockets + self.listeners + self.watched) as u64 + u64::from(self.spare);
        self.limit.is_none_or(|limit| open < limit)
    }
}

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) now: Time,
    pub(super) clock: Arc<AtomicU64>,
    agenda: BinaryHeap<Reverse<(Time, u64, Action)>>,
    order: u64,
    next_id: Id,
    pub(super) next_port: u16,
    pub(super) socks: BTreeMap<Id, Sock>,
    pub(super) listeners: BTreeMap<Id, Listening>,
    pub(super) processes: Vec<Process>,
    pub(super) pools: Vec<Pool>,
    pub(super) blackholes: Vec<Address>,
    pub(super) adoptable: BTreeMap<RawFd, Id>,
    /// Those of the sockets that processes watch.
    pub(super) watched: BTreeSet<Id>,
    pub(super) calls: BTreeMap<Call, u64>,
    pub(super) calls_total: u64,
    pub(super) fail_at: Option<u64>,
    pub(super) failed: Option<Call>,
    pub(super) stuck: bool,
    pub(super) wasted: u64,
    trace: bool,
}

impl Kernel {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            seed,
            rng: Rng::new(seed),
            faults,
            now: Time::ZERO,
            clock: Arc::default(),
            agenda: BinaryHeap::new(),
            order: 0,
            next_id: 0,
            next_port: 40_000,
            socks: BTreeMap::new(),
            listeners: BTreeMap::new(),
            processes: Vec::new(),
            pools: Vec::new(),
            blackholes: Vec::new(),
            adoptable: BTreeMap::new(),
            watched: BTreeSet::new(),
            calls: BTreeMap::new(),
            calls_total: 0,
            fail_at: None,
            failed: None,
            stuck: false,
            wasted: 0,
            trace: std::env::var_os("SIM_TRACE").is_some(),
        }
    }

    pub(super) fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn new_process(&mut self) -> ProcessId {
        self.processes.push(Process { limit: Some(1024), ..Process::default() });
        ProcessId(self.processes.len() - 1)
    }

    /// Prints one line of the trace.
    pub(super) fn say(&self, line: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>12} {}", self.now.as_nanos(), line());
        }
    }

    /// Every call of a process begins here: time passes, what is due happens. True when the call has to fail.
    pub(super) fn enter(&mut self, call: Call) -> bool {
        let ns = self.rng.below(self.faults.call_ns_max + 1);
        self.advance(Duration::from_nanos(ns));
        self.calls_total += 1;
        *self.calls.entry(call).or_default() += 1;
        if self.fail_at != Some(self.calls_total) {
            return false;
        }
        self.fail_at = None;
        self.failed = Some(call);
        self.say(|| format!("{call:?} is made to fail"));
        true
    }

    // ── Time ──

    /// A random time on the way.
    pub(super) fn delay(&mut self) -> Duration {
        let max = self.faults.delay_max.as_nanos() as u64;
        match self.rng.below(64) {
            _ if max == 0 => Duration::ZERO,
            0 => Duration::from_nanos(max * 10),
            1..16 => Duration::ZERO,
            _ => Duration::from_nanos(self.rng.below(max)),
        }
    }

    pub(super) fn schedule(&mut self, at: Time, action: Action) {
        self.order += 1;
        self.agenda.push(Reverse((at, self.order, action)));
    }

    /// Moves the clock, through everything that is due on the way.
    pub(super) fn advance(&mut self, d: Duration) {
        let target = self.now + d;
        while let Some(Reverse((at, _, action))) = self.agenda.peek().copied() {
            if at > target {
                break;
            }
            self.agenda.pop();
            self.now = self.now.max(at);
            self.act(action);
        }
        self.now = target;
        self.clock.store(target.as_nanos(), Ordering::Release);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Deliver(id) => self.deliver(id),
            Action::Syn(id, n) => self.syn(id, n),
            Action::GiveUp(id) => self.give_up(id),
            Action::Edge(id) => self.edge(id),
            Action::Work(nth) => self.work(nth),
            Action::WorkDone(nth, id) => self.work_done(nth, id),
            Action::Nothing => {}
        }
    }

    pub(super) fn next_at(&self) -> Option<Time> {
        self.agenda.peek().map(|Reverse((at, ..))| *at)
    }

    // ── Edges and polls ──

    pub(super) fn register(&mut self, process: ProcessId, id: Id, token: Token, interest: u8) {
        let registration = Registration { token, interest, due: None };
        let twice = self.processes[process.0].registrations.insert(id, registration);
        assert!(twice.is_none(), "seed {}: {token:?} registers a descriptor twice", self.seed);
        if self.mask(id) & interest != 0 {
            self.edge(id);
        }
    }

    /// Registers a descriptor again, for something else: what it is ready for then is reported.
    pub(super) fn reregister(&mut self, process: ProcessId, id: Id, token: Token, interest: u8) {
        let registered = self.processes[process.0].registrations.get_mut(&id);
        let Some(registration) = registered.filter(|r| r.token == token) else {
            panic!("seed {}: {token:?} is not registered", self.seed);
        };
        registration.interest = interest;
        if self.mask(id) & interest != 0 {
            self.edge(id);
        }
    }

    /// Forgets a registration, as closing its descriptor does.
    pub(super) fn unregister(&mut self, process: ProcessId, id: Id) {
        let stale = self.rng.chance(self.faults.event_stale);
        let p = &mut self.processes[process.0];
        let Some(registration) = p.registrations.remove(&id) else { return };
        p.ready.retain(|other| *other != id);
        if stale {
            p.injected.push((registration.token, ALL));
        }
        if p.retired.len() == 64 {
            p.retired.pop_front();
        }
        p.retired.push_back(registration.token);
    }

    fn owner_of(&self, id: Id) -> Option<ProcessId> {
        if let Some(listener) = self.listeners.get(&id) {
            return listener.process;
        }
        match self.socks.get(&id)?.owner {
            Owner::Process(process) => Some(process),
            Owner::Script | Owner::Queue | Owner::Nobody => None,
        }
    }

    /// Something changed at a socket: if it is registered, the next poll reports it.
    pub(super) fn edge(&mut self, id: Id) {
        let Some(process) = self.owner_of(id) else { return };
        let late = self.rng.chance(self.faults.event_late);
        let due = self.now + if late { self.delay() } else { Duration::ZERO };
        let p = &mut self.processes[process.0];
        let Some(registration) = p.registrations.get_mut(&id) else { return };
        if registration.due.is_none() {
            registration.due = Some(due);
            p.ready.push_back(id);
            if due > self.now {
                self.schedule(due, Action::Nothing);
            }
        }
    }

    /// What a poll would say of a socket or listener.
    pub(super) fn state(&self, id: Id) -> u8 {
        if let Some(listener) = self.listeners.get(&id) {
            return if listener.queue.is_empty() { 0 } else { bits::IN };
        }
        self.socks.get(&id).map_or(0, |sock| sock.mask(self.is_writable(id)))
    }

    /// What a poll says of it, and notes.
    pub(super) fn mask(&mut self, id: Id) -> u8 {
        let writable = self.is_writable(id);
        if let Some(sock) = self.socks.get_mut(&id) {
            // As tcp_poll: who was told that there is no room is told when there is.
            sock.no_space |= !writable;
        }
        self.state(id)
    }

    /// Whether an event of `id` is due or on its way.
    pub(super) fn has_event(&self, process: ProcessId, id: Id) -> bool {
        self.processes[process.0].registrations.get(&id).is_some_and(|r| r.due.is_some())
    }

    /// Whether a poll would have something to report.
    pub(super) fn has_due(&self, process: ProcessId) -> bool {
        let p = &self.processes[process.0];
        let due = |id: &Id| p.registrations.get(id).and_then(|r| r.due).is_some_and(|at| at <= self.now);
        p.woken.load(Ordering::Acquire) || !p.injected.is_empty() || p.ready.iter().any(due)
    }

    /// Takes what is due off the ready list: one poll's events.
    pub(super) fn collect(&mut self, process: ProcessId, out: &mut Vec<(Token, Ready)>) {
        let (now, p) = (self.now, &mut self.processes[process.0]);
        if p.woken.swap(false, Ordering::AcqRel) {
            out.push((Token::Wake, Ready::READABLE));
        }
        out.append(&mut p.injected);
        let mut batch = Vec::new();
        let registrations = &p.registrations;
        p.ready.retain(|id| {
            let due = registrations.get(id).and_then(|r| r.due).is_some_and(|at| at <= now);
            if due {
                batch.push(*id);
            }
            !due
        });
        if self.rng.chance(self.faults.event_shuffle) {
            self.rng.shuffle(&mut batch);
        }
        if batch.len() > 1 && self.rng.chance(self.faults.poll_partial) {
            let keep = self.rng.between(1, batch.len() - 1);
            self.processes[process.0].ready.extend(batch.drain(keep..));
        }
        for id in batch {
            self.report(process, id, out);
        }
        self.report_spurious(process, out);
        self.say(|| format!("poll of {process:?}: {out:?}"));
    }

    fn report(&mut self, process: ProcessId, id: Id, out: &mut Vec<(Token, Ready)>) {
        let mask = self.mask(id);
        let Some(registration) = self.processes[process.0].registrations.get_mut(&id) else { return };
        registration.due = None;
        // epoll asks the socket only now: an edge whose cause is gone makes no event.
        let mask = mask & (registration.interest | bits::ERR | bits::HUP);
        if mask == 0 {
            return;
        }
        out.push((registration.token, to_ready(mask)));
        if let Some(sock) = self.socks.get_mut(&id) {
            sock.may_read |= mask & !bits::OUT != 0;
            sock.may_write |= mask & (bits::OUT | bits::ERR | bits::HUP) != 0;
        }
        if self.rng.chance(self.faults.event_twice) {
            self.edge(id);
        }
    }

    fn report_spurious(&mut self, process: ProcessId, out: &mut Vec<(Token, Ready)>) {
        if !self.rng.chance(self.faults.event_spurious) {
            return;
        }
        let p = &self.processes[process.0];
        let nth = self.rng.below(p.registrations.len() as u64) as usize;
        let Some((id, registration)) = p.registrations.iter().nth(nth) else { return };
        let (id, token) = (*id, registration.token);
        let kinds = [Ready::READABLE, Ready::WRITABLE, Ready::READABLE.or(Ready::WRITABLE)];
        let ready = kinds[self.rng.between(0, 2)];
        match self.socks.get_mut(&id) {
            Some(sock) => {
                sock.may_read |= ready.any(Ready::READABLE);
                sock.may_write |= ready.any(Ready::WRITABLE);
                out.push((token, ready));
            }
            None => out.push((token, Ready::READABLE)),
        }
    }

    // ── Sleeping ──

    /// Whether this is the only process that still runs.
    pub(super) fn is_alone(&self, process: ProcessId) -> bool {
        self.processes.iter().enumerate().all(|(n, p)| n == process.0 || p.gone)
    }

    /// Whether every process waits in its poll and none has a reason to wake up.
    pub(super) fn is_idle(&self) -> bool {
        self.processes.iter().enumerate().all(|(n, p)| {
            let waits = p.asleep.is_some_and(|until| until.is_none_or(|at| at > self.now));
            p.gone || (waits && !self.has_due(ProcessId(n)))
        })
    }

    /// Moves the clock to the next moment at which anything happens, if there is one.
    pub(super) fn step(&mut self) -> bool {
        self.advance(Duration::ZERO);
        if self.jump() {
            return true;
        }
        let sleepers = self.processes.iter().filter(|p| !p.gone).filter_map(|p| p.asleep.flatten());
        let next = sleepers.chain(self.next_at()).filter(|at| *at > self.now).min();
        match next {
            Some(at) => self.advance(at - self.now),
            None => return false,
        }
        true
    }

    /// Perhaps the machine was suspended.
    fn jump(&mut self) -> bool {
        if !self.rng.chance(self.faults.clock_jump) {
            return false;
        }
        let jump = self.rng.below(self.faults.clock_jump_max.as_nanos() as u64 + 1);
        self.say(|| format!("the clock jumps by {jump} ns"));
        self.advance(Duration::from_nanos(jump));
        true
    }

    /// What a poll does that finds nothing and may wait: alone, it sleeps to the next moment; among others it only
    /// notes until when it would.
    pub(super) fn sleep(&mut self, process: ProcessId, max_wait: Option<Duration>) {
        let until = max_wait.map(|d| self.now + d);
        if !self.is_alone(process) {
            self.processes[process.0].asleep = Some(until);
            return;
        }
        if self.jump() {
            return;
        }
        match until.into_iter().chain(self.next_at()).min() {
            Some(at) => self.advance(at - self.now),
            None => self.stuck = true,
        }
    }
}

/// Every bit: what an event for a closed socket says.
pub(super) const ALL: Ready = Ready::READABLE
    .or(Ready::WRITABLE)
    .or(Ready::READ_CLOSED)
    .or(Ready::WRITE_CLOSED)
    .or(Ready::ERROR)
    .or(Ready::PRIORITY);
