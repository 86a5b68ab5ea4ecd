//! Polling: who was woken before this round of polls is polled in it, at most `turn_tasks_max` of them, stamped one by
//! one; who is woken meanwhile is polled in the next turn. Nothing here knows what a future does.

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::local::{self, Batch, Signal};
use super::spare;
use super::state::{Body, Futures, Leftover, Spawn, Trash};
use super::streams::Streams;
use crate::reactor::core::Core;
use crate::reactor::id::TaskId;
use crate::reactor::limits::Limits;
use crate::reactor::service::contain;
use crate::reactor::sys::Sys;
use crate::reactor::task::run::Run;
use crate::reactor::task::store::Work;
use crate::reactor::task::{TaskError, TaskRecord};
use crate::reactor::time::Time;
use crate::reactor::{Error, NONE, Reactor, close};

/// A future that is out of the core, to be polled.
struct Job {
    run: Run,
    slot: u32,
    body: Body,
}

impl Core {
    /// The next future that was woken; entries of those that are gone cost nothing but their place.
    fn next_future(&mut self, left: &mut usize) -> Option<Job> {
        while *left > 0 {
            *left -= 1;
            let id = self.futures.ready.pop_front()?;
            let Some(task) = self.tasks.get(id) else { continue };
            let Work::Future(slot) = task.work else { continue };
            let run = Run { id, service: task.service, name: task.name, due: task.due };
            let Some(spawn) = self.futures.tasks.get_mut(slot as usize) else { continue };
            let Some(body) = spawn.body.take() else { continue };
            spawn.signal.clear();
            self.tasks.current = Some(id);
            self.account.task_begins(run.name, id, run.due, self.now);
            return Some(Job { run, slot, body });
        }
        None
    }

    /// A future was polled. Whether anything is to be woken or dropped now.
    fn polled(
        &mut self,
        job: Job,
        outcome: Option<Poll<Box<dyn std::any::Any>>>,
        ended: Time,
        late: u64,
    ) -> bool {
        let Job { run, slot, body } = job;
        let started = self.now;
        let ended = ended.max(started);
        self.now = ended;
        self.account.task_ends(ended);
        self.tasks.current = None;
        let due = run.due.min(started);
        let (delay, processing) = (started.since(due), ended.since(started));
        let record = TaskRecord { id: run.id, name: run.name, due, delay, processing, ended };
        log::trace!("{record}");
        if delay > late {
            self.futures.told.push((run, &close::TASK_LATE, record));
        }
        let is_alive = self.tasks.get(run.id).is_some();
        match outcome {
            Some(Poll::Pending) if is_alive => {
                if let Some(spawn) = self.futures.tasks.get_mut(slot as usize) {
                    spawn.body = Some(body);
                }
                return !(self.futures.trash.is_empty() && self.futures.wakes.is_empty());
            }
            Some(Poll::Ready(value)) if is_alive => self.end_future(run, slot, Ok(value), record),
            None if is_alive => self.end_future(run, slot, Err(TaskError::Panicked), record),
            // It was cancelled while it ran; who awaits it has heard so.
            Some(Poll::Ready(value)) => self.futures.trash.push(Trash::Value(value)),
            None => self.futures.told.push((run, &close::TASK_PANICKED, record)),
            Some(Poll::Pending) => {}
        }
        self.futures.trash.push(Trash::Future(body.future));
        self.futures.trash.push(Trash::Waker(body.waker));
        true
    }

    /// A future has come to its end by itself. Its value goes to who awaits it; a panic that nobody awaits is told.
    fn end_future(&mut self, run: Run, slot: u32, value: super::state::Outcome, record: TaskRecord) {
        self.tasks.remove(run.id);
        let spawn = self.futures.tasks.try_remove(slot as usize);
        match (spawn.and_then(|spawn: Spawn| spawn.result), value) {
            (Some(result), value) => self.futures.fulfil(result, value),
            (None, Ok(value)) => self.futures.trash.push(Trash::Value(value)),
            (None, Err(_)) => self.futures.told.push((run, &close::TASK_PANICKED, record)),
        }
    }
}

/// Something that is somebody's to run or to drop.
enum Chore {
    Wake(Waker),
    Drop(Trash),
}

fn next_chore(tag: u64) -> Option<Chore> {
    local::with(tag, |core| {
        let wake = core.futures.wakes.pop().map(Chore::Wake);
        wake.or_else(|| core.futures.trash.pop().map(Chore::Drop))
    })
    .flatten()
}

/// Wakes and drops what waits for it, while the core is in the cell. What a drop leaves behind is dropped too, but
/// only so much: a drop that makes more of its kind goes on in the next turn.
pub(super) fn do_chores(tag: u64) {
    for _ in 0..1 << 16 {
        let Some(chore) = next_chore(tag) else { return };
        match chore {
            Chore::Wake(waker) => {
                if contain(|| waker.wake()).is_none() {
                    log::error!("task.panicked: a waker panicked");
                }
            }
            Chore::Drop(trash) => trash.let_go(),
        }
    }
}

/// The time that chores took is nobody's: who is polled next begins after it.
fn restamp(tag: u64, now: Time) {
    local::with(tag, |core| core.now = core.now.max(now));
}

impl<S: Sys> Reactor<S> {
    /// Makes this reactor known to its thread, and the service of streams its first.
    pub(crate) fn begin_futures(&mut self) {
        self.core.futures.tag = local::enter();
        self.add_streams(Limits::default());
    }

    /// A service of streams with these limits.
    pub(super) fn add_streams(&mut self, limits: Limits) -> u16 {
        let index = self.add_service(limits.clone(), "futures", |index| Box::new(Streams::new(index)));
        self.core.futures.services.push((limits, index));
        index
    }

    /// Whether a future can be polled, or something be done for one, without any event.
    pub(crate) fn futures_wait(&self) -> bool {
        self.core.futures.is_busy() || local::is_pending(self.core.futures.tag)
    }

    /// Polls the futures that were woken until now.
    pub(crate) fn run_futures(&mut self) {
        let due = |at: u32| self.core.now.ms().wrapping_sub(at) as i32 >= 0;
        if !self.core.futures.next_time().is_some_and(due) && !self.futures_wait() {
            return;
        }
        self.refresh_clock();
        self.collect_futures();
        self.poll_futures();
        self.work_for_futures();
    }

    /// Takes in what came through the lists of the thread, and whose time has come.
    fn collect_futures(&mut self) {
        let core = &mut *self.core;
        let tag = core.futures.tag;
        core.futures.expire(core.now, |late| core.account.timer_fired(late));
        while let Some(waker) = core.futures.wakes.pop() {
            if contain(|| waker.wake()).is_none() {
                log::error!("task.panicked: a waker panicked");
            }
        }
        let mut woken = mem::take(&mut core.futures.woken);
        local::collect_woken(tag, &mut woken);
        for id in woken.drain(..) {
            core.wake_future(id);
        }
        core.futures.woken = woken;
        while let Some(orphan) = local::next_orphan(tag) {
            core.take_back(orphan);
        }
    }

    fn poll_futures(&mut self) {
        let most = self.config.turn_tasks_max.max(1) as usize;
        let mut left = self.core.futures.ready.len().min(most);
        let clean = self.core.futures.trash.is_empty() && self.core.futures.wakes.is_empty();
        if left == 0 && clean {
            return;
        }
        let late =
            self.config.task_late.map_or(u64::MAX, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        let tag = self.core.futures.tag;
        let spare = self.take_spare();
        let batch = Batch::begin(&mut self.core, spare);
        if !clean {
            do_chores(tag);
            restamp(tag, self.sys.now());
        }
        while let Some(mut job) = local::with(tag, |core| core.next_future(&mut left)).flatten() {
            let Body { future, waker } = &mut job.body;
            let outcome = contain(|| future.as_mut().poll_spawned(&mut Context::from_waker(waker)));
            let ended = self.sys.now();
            if local::with(tag, |core| core.polled(job, outcome, ended, late)).unwrap_or(false) {
                do_chores(tag);
                restamp(tag, self.sys.now());
            }
        }
        self.spare = batch.end();
    }

    /// A core to stand in for the real one while that is out. It is never looked at.
    pub(super) fn take_spare(&mut self) -> Box<Core> {
        self.spare.take().unwrap_or_else(|| spare::core(self.handle.clone()))
    }

    /// Does what futures asked for and only the reactor can do.
    pub(super) fn work_for_futures(&mut self) {
        for op in mem::take(&mut self.core.futures.ops) {
            self.do_for_futures(op);
        }
        if mem::take(&mut self.core.futures.resume_listeners) {
            self.resume_listeners();
        }
        for (run, class, record) in mem::take(&mut self.core.futures.told) {
            self.tell(run, class, record);
        }
    }

    /// Runs the reactor until `future` is done, and gives its value. The future may borrow what is around it, and is
    /// polled between turns: what it awaits in a loop, a spawned task gets at less cost.
    ///
    /// # Errors
    /// When the poll fails, and with `task.cancelled` when the reactor was stopped and has drained before the future
    /// was done. It is dropped then.
    ///
    /// # Panics
    /// When the future does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidemill::reactor::{Reactor, future};
    ///
    /// let mut reactor = Reactor::new(Default::default()).unwrap();
    /// let sum = reactor.block_on(async {
    ///     let twenty = future::spawn(async {
    ///         future::sleep(Duration::from_millis(1)).await;
    ///         20
    ///     });
    ///     twenty.await.unwrap() + 22
    /// });
    /// assert_eq!(sum.unwrap(), 42);
    /// ```
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, Error> {
        let mut future = pin!(future);
        let serial = self.core.tasks.next_serial();
        let signal = Signal::new(&self.core, TaskId { slot: NONE, serial });
        let waker = Waker::from(Arc::clone(&signal));
        let main = Main::begin(self, serial);
        let reactor = &mut *main.0;
        let mut stopped = false;
        loop {
            reactor.refresh_clock();
            reactor.collect_futures();
            if mem::take(&mut reactor.core.futures.main_woken) {
                signal.clear();
                let tag = reactor.core.futures.tag;
                let spare = reactor.take_spare();
                let batch = Batch::begin(&mut reactor.core, spare);
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                do_chores(tag);
                reactor.spare = batch.end();
                reactor.work_for_futures();
                if let Poll::Ready(value) = polled {
                    return Ok(value);
                }
            }
            if stopped {
                let source = std::io::Error::other(TaskError::Cancelled);
                let class = &close::TASK_CANCELLED;
                return Err(Error { op: "run a future to its end", endpoint: None, class, source });
            }
            stopped = reactor.turn(None)?.stopped;
        }
    }
}

/// A reactor that runs a future of its caller's, until this is dropped: at the future's end, when a turn fails, and
/// when a panic passes. Whoever runs it afterwards must not wait for the poll of a future that is gone.
struct Main<'a, S: Sys>(&'a mut Reactor<S>);

impl<'a, S: Sys> Main<'a, S> {
    fn begin(reactor: &'a mut Reactor<S>, serial: u32) -> Self {
        reactor.core.futures.main = Some(serial);
        reactor.core.futures.main_woken = true;
        Self(reactor)
    }
}

impl<S: Sys> Drop for Main<'_, S> {
    fn drop(&mut self) {
        self.0.core.futures.main = None;
        self.0.core.futures.main_woken = false;
    }
}

/// For those who give a value and may be dropped before they could: who awaits it hears that it is cancelled.
pub(super) struct Promise {
    tag: u64,
    shot: Option<super::state::ShotId>,
}

impl Promise {
    pub(super) const fn new(tag: u64, shot: super::state::ShotId) -> Self {
        Self { tag, shot: Some(shot) }
    }

    /// Gives the value.
    pub(super) fn keep(mut self, futures: &mut Futures, value: super::state::Outcome) {
        if let Some(shot) = self.shot.take() {
            futures.fulfil(shot, value);
        }
    }
}

impl Promise {
    /// Gives what a task of the reactor has come to.
    pub(super) fn deliver(mut self, core: &mut Core, outcome: super::state::Outcome) {
        if let Some(shot) = self.shot.take() {
            core.deliver(shot, outcome);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(shot) = self.shot.take() {
            local::give_back(self.tag, Leftover::Broken(shot));
        }
    }
}
