//! What the core keeps for futures: the spawned ones, results on their way, sleepers, streams and acceptors, and what
//! is to be dropped or woken as soon as the core is back in its place. It polls nobody and wakes nobody.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::local::Signal;
use super::ops::Op;
use crate::reactor::alarm::Alarms;
use crate::reactor::buffer::Buf;
use crate::reactor::class::Class;
use crate::reactor::close::Report;
use crate::reactor::core::Core;
use crate::reactor::id::{ConnId, ListenerId, TaskId};
use crate::reactor::limits::Limits;
use crate::reactor::link::NONE;
use crate::reactor::shutdown::Hold;
use crate::reactor::task::queue::Place;
use crate::reactor::task::run::Run;
use crate::reactor::task::store::Work;
use crate::reactor::task::{TaskError, TaskRecord};
use crate::reactor::time::Time;

/// The service of streams, acceptors and spawned futures: the first of every reactor.
pub(crate) const SERVICE: u16 = 0;

/// A value, or why there is none; its type is known to the two ends.
pub(crate) type Outcome = Result<Box<dyn Any>, TaskError>;

/// A spawned future, whatever it gives.
pub(crate) trait Spawned {
    fn poll_spawned(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Box<dyn Any>>;
}

impl<F: Future<Output: 'static>> Spawned for F {
    fn poll_spawned(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Box<dyn Any>> {
        self.poll(cx).map(|value| Box::new(value) as Box<dyn Any>)
    }
}

/// A future with its waker; together they leave the core while it is polled.
pub(crate) struct Body {
    pub(super) future: Pin<Box<dyn Spawned>>,
    pub(super) waker: Waker,
}

/// A spawned future as the core keeps it. Its id, name and group are in the store of all tasks.
pub(crate) struct Spawn {
    pub(super) id: TaskId,
    /// `None` while it is polled.
    pub(super) body: Option<Body>,
    pub(super) signal: Arc<Signal>,
    /// Where its value is awaited; `None` once it is detached.
    pub(super) result: Option<ShotId>,
}

/// Where one value arrives.
pub(crate) struct Shot {
    serial: u32,
    pub(super) waker: Option<Waker>,
    pub(super) value: Option<Outcome>,
    /// Where the value goes back to when nobody lives to see it.
    origin: Option<Origin>,
}

/// The queue out of which an item came, and its number there.
pub(crate) type Origin = (Place, u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShotId {
    slot: u32,
    serial: u32,
}

pub(crate) struct Sleeper {
    pub(super) due: Time,
    /// `None` once it has fired.
    pub(super) waker: Option<Waker>,
}

/// Which halves of a stream are still held.
pub(crate) mod half {
    pub(crate) const READ: u8 = 1;
    pub(crate) const WRITE: u8 = 2;
    pub(crate) const BOTH: u8 = READ | WRITE;
}

/// One connection of the service of streams.
pub(crate) struct StreamState {
    pub(super) id: ConnId,
    /// What was received and not read. While it holds bytes the connection is paused.
    pub(super) rx: Buf,
    /// The halves that somebody holds.
    pub(super) held: u8,
    pub(super) opened: bool,
    pub(super) eof: bool,
    /// FIN follows once all is sent.
    pub(super) finishing: bool,
    /// Whether `reader` and `writer` wait; they are kept after they were woken, so that waiting again is cheap.
    pub(super) reading: bool,
    pub(super) writing: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// How it ended, once it has.
    pub(super) report: Option<Box<Report>>,
}

#[derive(Default)]
pub(crate) struct DrainWaiter {
    pub(super) waker: Option<Waker>,
    /// There once the reactor drains.
    pub(super) hold: Option<Hold>,
}

pub(crate) struct AcceptorState {
    pub(super) listener: ListenerId,
    /// Streams that nobody has taken yet.
    pub(super) queue: VecDeque<u32>,
    pub(super) waker: Option<Waker>,
    /// Its listener is no more: why.
    pub(super) over: Option<super::accept::AcceptError>,
}

/// What a dropped leaf leaves to be cleared away.
#[derive(Clone, Copy)]
pub(crate) enum Leftover {
    /// These halves of a stream.
    Stream(u32, u8),
    /// These halves of a stream that is to be reset.
    Abort(u32, u8),
    Sleeper(u32),
    Shot(ShotId),
    /// A value that nobody will give any more.
    Broken(ShotId),
    /// A task that nobody awaits any more: it is cancelled.
    Task(TaskId),
    /// A task that goes on without being awaited.
    Detached(TaskId, ShotId),
    Acceptor(u32),
    DrainWaiter(u32),
}

/// What is dropped when the core is back in its place: its drop is somebody's code.
pub(crate) enum Trash {
    Future(Pin<Box<dyn Spawned>>),
    Waker(Waker),
    Value(Box<dyn Any>),
}

/// What the reactor tells the handler of a spawned future.
pub(crate) type Told = (Run, &'static Class, TaskRecord);

pub(crate) struct Futures {
    /// 0 in the spare core.
    pub(super) tag: u64,
    pub(super) tasks: Slab<Spawn>,
    /// Who is polled next; entries whose task is gone are skipped.
    pub(super) ready: VecDeque<TaskId>,
    /// Empty; kept so that collecting allocates nothing.
    pub(super) woken: Vec<TaskId>,
    pub(super) shots: Slab<Shot>,
    pub(super) sleepers: Slab<Sleeper>,
    pub(super) alarms: Alarms,
    pub(super) streams: Slab<StreamState>,
    pub(super) acceptors: Slab<AcceptorState>,
    /// Whose listener is whose; also of one that was closed, since some of its connections may not be open yet.
    pub(super) by_listener: HashMap<ListenerId, u32>,
    /// Who waits for the reactor to be told to stop.
    pub(super) drain_waiters: Slab<DrainWaiter>,
    /// Services of streams by their limits.
    pub(super) services: Vec<(Limits, u16)>,
    /// What only the reactor can do.
    pub(super) ops: Vec<Op>,
    pub(super) trash: Vec<Trash>,
    pub(super) wakes: Vec<Waker>,
    pub(super) told: Vec<Told>,
    /// Out of which queue that was taken which is being delivered to a task now.
    pub(crate) delivered_from: Option<Origin>,
    /// The future that `block_on` runs, and whether it was woken.
    pub(super) main: Option<u32>,
    pub(super) main_woken: bool,
    /// An acceptor has room again.
    pub(super) resume_listeners: bool,
}

impl Futures {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            tag: 0,
            tasks: Slab::new(),
            ready: VecDeque::new(),
            woken: Vec::new(),
            shots: Slab::new(),
            sleepers: Slab::new(),
            alarms: Alarms::new(now),
            streams: Slab::new(),
            acceptors: Slab::new(),
            by_listener: HashMap::new(),
            drain_waiters: Slab::new(),
            services: Vec::new(),
            ops: Vec::new(),
            trash: Vec::new(),
            wakes: Vec::new(),
            told: Vec::new(),
            delivered_from: None,
            main: None,
            main_woken: false,
            resume_listeners: false,
        }
    }

    /// Whether something waits that needs no event, apart from the lists of the thread.
    pub(super) fn is_busy(&self) -> bool {
        !(self.ready.is_empty() && self.ops.is_empty() && self.trash.is_empty() && self.wakes.is_empty())
            || self.main_woken
            || self.resume_listeners
    }

    /// Keeps the waker of `cx` in `place`.
    pub(super) fn register(place: &mut Option<Waker>, cx: &Context<'_>, trash: &mut Vec<Trash>) {
        if place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return;
        }
        if let Some(old) = place.replace(cx.waker().clone()) {
            trash.push(Trash::Waker(old));
        }
    }

    // ── Values on their way ──

    pub(super) fn expect(&mut self, serial: u32) -> ShotId {
        ShotId {
            slot: self.shots.insert(Shot { serial, waker: None, value: None, origin: None }) as u32,
            serial,
        }
    }

    fn shot(&mut self, id: ShotId) -> Option<&mut Shot> {
        self.shots.get_mut(id.slot as usize).filter(|shot| shot.serial == id.serial)
    }

    /// A value has come. Who waits is woken as soon as the core is back in its place.
    pub(super) fn fulfil(&mut self, id: ShotId, value: Outcome) {
        let Some(shot) = self.shot(id) else {
            self.trash.extend(value.ok().map(Trash::Value));
            return;
        };
        let waker = shot.waker.take();
        let old = shot.value.replace(value);
        self.trash.extend(old.and_then(Result::ok).map(Trash::Value));
        self.wakes.extend(waker);
    }

    /// The value, once it has come.
    pub(super) fn poll_shot(&mut self, id: ShotId, cx: &Context<'_>) -> Poll<Outcome> {
        let Some(shot) = self.shots.get_mut(id.slot as usize).filter(|shot| shot.serial == id.serial) else {
            return Poll::Ready(Err(TaskError::Cancelled));
        };
        match shot.value.take() {
            Some(value) => {
                let shot = self.shots.remove(id.slot as usize);
                self.trash.extend(shot.waker.map(Trash::Waker));
                Poll::Ready(value)
            }
            None => {
                Self::register(&mut shot.waker, cx, &mut self.trash);
                Poll::Pending
            }
        }
    }

    // ── Sleepers ──

    /// Files a sleeper for `due`.
    pub(super) fn file(&mut self, slot: u32, due: Time, now: Time) {
        self.alarms.file(slot, due, now);
    }

    /// When the next sleeper is due, in the wheel's milliseconds.
    pub(crate) fn next_time(&self) -> Option<u32> {
        self.alarms.next()
    }

    /// Those whose time has come are woken.
    pub(super) fn expire(&mut self, now: Time, mut lateness: impl FnMut(u64)) {
        while let Some(slot) = self.alarms.pop(now) {
            let Some(sleeper) = self.sleepers.get_mut(slot as usize) else { continue };
            if sleeper.due > now {
                let due = sleeper.due;
                self.file(slot, due, now);
            } else {
                lateness(now.since(sleeper.due));
                self.wakes.extend(sleeper.waker.take());
            }
        }
    }

    pub(super) fn forget_sleeper(&mut self, slot: u32) {
        if let Some(sleeper) = self.sleepers.try_remove(slot as usize) {
            self.alarms.cancel(slot);
            self.trash.extend(sleeper.waker.map(Trash::Waker));
        }
    }
}

impl Core {
    /// What a task of the reactor has come to, for who awaits it. An item of a queue can go back until it was seen.
    pub(super) fn deliver(&mut self, id: ShotId, value: Outcome) {
        let origin = self.futures.delivered_from.take();
        match (self.futures.shot(id), value) {
            (Some(shot), value) => {
                shot.origin = origin;
                self.futures.fulfil(id, value);
            }
            (None, Ok(value)) => self.unseen(value, origin),
            (None, Err(_)) => {}
        }
    }

    /// A value that nobody lives to see: an item goes back into its queue, anything else is dropped.
    fn unseen(&mut self, value: Box<dyn Any>, origin: Option<Origin>) {
        let left = match origin {
            Some((queue, number)) => self.put_back(queue, number, value),
            None => Some(value),
        };
        self.futures.trash.extend(left.map(Trash::Value));
    }

    /// Nobody awaits this value any more.
    fn forget_shot(&mut self, id: ShotId) {
        if self.futures.shot(id).is_none() {
            return;
        }
        let Shot { waker, value, origin, .. } = self.futures.shots.remove(id.slot as usize);
        self.futures.trash.extend(waker.map(Trash::Waker));
        if let Some(Ok(value)) = value {
            self.unseen(value, origin);
        }
    }

    /// Whether `id` is a future whose end somebody hears of by its `Task`.
    pub(crate) fn is_awaited(&self, id: TaskId) -> bool {
        let Some(Work::Future(slot)) = self.tasks.get(id).map(|task| &task.work) else { return false };
        self.futures.tasks.get(*slot as usize).is_some_and(|spawn| spawn.result.is_some())
    }

    /// Spawns a future as a task of `service`; it is polled in the next round of polls.
    pub(super) fn spawn(
        &mut self,
        service: u16,
        name: &'static str,
        future: Pin<Box<dyn Spawned>>,
    ) -> (TaskId, ShotId) {
        let slot = self.futures.tasks.vacant_key();
        let id = self.tasks.insert(service, self.now, name, Work::Future(slot as u32));
        let serial = self.tasks.next_serial();
        let result = self.futures.expect(serial);
        let signal = Signal::new(self, id);
        let body = Body { future, waker: Arc::clone(&signal).into() };
        self.futures.tasks.insert(Spawn { id, body: Some(body), signal, result: Some(result) });
        self.futures.ready.push_back(id);
        (id, result)
    }

    /// A task was woken: it is polled in the next round of polls.
    pub(crate) fn wake_future(&mut self, id: TaskId) {
        if id.slot == NONE {
            self.futures.main_woken |= self.futures.main == Some(id.serial);
        } else if let Some(task) = self.tasks.get_mut(id) {
            task.due = self.now;
            self.futures.ready.push_back(id);
        }
    }

    /// A spawned future was taken out of the store before its end: it is dropped as soon as that is safe, and who
    /// awaits it hears of it.
    pub(crate) fn drop_future(&mut self, slot: u32) {
        let Some(spawn) = self.futures.tasks.try_remove(slot as usize) else { return };
        if let Some(Body { future, waker }) = spawn.body {
            self.futures.trash.push(Trash::Future(future));
            self.futures.trash.push(Trash::Waker(waker));
        }
        if let Some(result) = spawn.result {
            self.futures.fulfil(result, Err(TaskError::Cancelled));
        }
    }

    /// The task goes on, and nobody awaits its value.
    pub(super) fn detach(&mut self, id: TaskId, result: ShotId) {
        if let Some(Work::Future(slot)) = self.tasks.get(id).map(|task| &task.work)
            && let Some(spawn) = self.futures.tasks.get_mut(*slot as usize)
        {
            spawn.result = None;
        }
        self.forget_shot(result);
    }

    /// Clears away what a dropped leaf has left.
    pub(super) fn take_back(&mut self, what: Leftover) {
        match what {
            Leftover::Stream(slot, halves) => self.let_go(slot, halves),
            Leftover::Abort(slot, halves) => self.abort_stream(slot, halves),
            Leftover::Sleeper(slot) => self.futures.forget_sleeper(slot),
            Leftover::Shot(id) => self.forget_shot(id),
            Leftover::Broken(id) => self.futures.fulfil(id, Err(TaskError::Cancelled)),
            Leftover::Task(id) => {
                self.cancel_task(id);
            }
            Leftover::Detached(id, shot) => self.detach(id, shot),
            Leftover::Acceptor(slot) => self.drop_acceptor(slot),
            Leftover::DrainWaiter(slot) => {
                let waiter = self.futures.drain_waiters.try_remove(slot as usize);
                self.futures.trash.extend(waiter.and_then(|waiter| waiter.waker).map(Trash::Waker));
            }
        }
    }

    /// The reactor drains: who waits for that hears it, and holds the drain until it lets go.
    pub(crate) fn tell_draining(&mut self) {
        let waiters: Vec<usize> = self.futures.drain_waiters.iter().map(|(slot, _)| slot).collect();
        for slot in waiters {
            let hold = self.hold();
            let Some(waiter) = self.futures.drain_waiters.get_mut(slot) else { continue };
            waiter.hold = Some(hold);
            let waker = waiter.waker.take();
            self.futures.wakes.extend(waker);
        }
    }
}
