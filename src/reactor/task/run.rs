//! Running tasks: in each turn what was posted before it, what came from other threads, whose time has come, and a
//! slice of long work. Each run is stamped: the end of one is the start of the next.

use std::any::Any;

use super::discard::Broken;
use super::result::{Outcome, Settled};
use super::store::{Every, Slices, Work};
use super::{Missed, Step, TaskError, TaskRecord, TaskReport};
use crate::reactor::class::Class;
use crate::reactor::close;
use crate::reactor::core::Core;
use crate::reactor::handle::{Remote, RemotePost, Worked};
use crate::reactor::id::TaskId;
use crate::reactor::service::contain;
use crate::reactor::slow::Callback;
use crate::reactor::sys::Sys;
use crate::reactor::time::Time;
use crate::reactor::{NONE, Reactor};

/// Who is run, and since when it is due.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) id: TaskId,
    pub(crate) service: u16,
    pub(crate) name: &'static str,
    pub(crate) due: Time,
}

impl Core {
    /// When the next task or sleeping future is due, in the wheels' milliseconds.
    pub(crate) fn next_task_time(&self) -> Option<u32> {
        let task = self.tasks.next_time();
        #[cfg(feature = "async")]
        if let Some(sleeper) = self.futures.next_time() {
            let earlier = task.is_none_or(|task| sleeper.wrapping_sub(task) as i32 <= 0);
            return if earlier { Some(sleeper) } else { task };
        }
        task
    }
}

#[cfg(not(feature = "async"))]
impl<S: Sys> Reactor<S> {
    /// There are none.
    #[allow(clippy::unused_self, reason = "its twin looks")]
    pub(crate) const fn futures_wait(&self) -> bool {
        false
    }
}

impl<S: Sys> Reactor<S> {
    /// Whether a task can run now, without asking the clock.
    pub(crate) fn tasks_wait(&self) -> bool {
        self.core.tasks.is_busy() || !self.core.remote.is_empty()
    }

    /// Runs the tasks of this turn, at most `turn_tasks_max` of them; the rest is first in the next.
    pub(crate) fn run_tasks(&mut self) {
        let at = self.core.now;
        let due = self.core.tasks.next_time().is_some_and(|t| at.ms().wrapping_sub(t) as i32 >= 0);
        if !due && !self.tasks_wait() {
            return;
        }
        self.refresh_clock();
        let mut left = self.config.turn_tasks_max.max(1);
        // A kind that takes all that a turn has comes last in the next: posts without end must not keep timers waiting.
        let first = std::mem::take(&mut self.core.tasks.first_kind);
        for kind in (0..3).map(|n| (first + n) % 3) {
            match kind {
                0 => self.run_posts(&mut left),
                1 => self.run_remote(&mut left),
                _ => self.run_due(at, &mut left),
            }
            if left == 0 {
                self.core.tasks.first_kind = (kind + 1) % 3;
                break;
            }
        }
        self.run_slices();
        self.tell_broken();
    }

    /// Those whose time had come when the turn began.
    fn run_due(&mut self, at: Time, left: &mut u32) {
        while *left > 0
            && let Some(id) = self.core.tasks.next_due(at)
        {
            *left -= 1;
            if let Some(task) = self.core.tasks.get(id) {
                self.core.account.timer_fired(self.core.now.since(task.due));
            }
            self.run_task(id);
        }
    }

    /// The posts that were there when the turn began.
    fn run_posts(&mut self, left: &mut u32) {
        for _ in 0..std::mem::take(&mut self.core.posts_due) {
            if *left == 0 {
                return;
            }
            let Some(next) = self.core.tasks.next_post() else { return };
            if let Some(id) = next {
                *left -= 1;
                self.run_task(id);
            }
        }
    }

    /// What other threads have entered, in its order.
    fn run_remote(&mut self, left: &mut u32) {
        while *left > 0
            && let Some((at, entry)) = self.core.remote.pop_front()
        {
            self.core.reached += 1;
            match entry {
                Remote::Post(post) => {
                    *left -= 1;
                    self.run_remote_post(post, at);
                }
                Remote::Settle { task, part, outcome, work } => {
                    *left -= 1;
                    if let Some(worked) = work {
                        self.worked(task, &worked);
                    }
                    let outcome: Outcome = outcome.map(|value| value as Box<dyn Any>);
                    // What is dropped because nobody waits for it has a drop of its own that may panic.
                    match contain(|| self.core.settle_part(task, part, outcome, at)) {
                        Some(Settled::Whole) => self.run_task(task),
                        Some(Settled::Part | Settled::Unwanted) => {}
                        None => log::error!("task.panicked: a late result of {task} panicked in its drop"),
                    }
                }
                Remote::Fetched(fetched) => self.core.fetched(&fetched),
                Remote::LetGo(round) => self.core.hooks.let_go(round),
                #[cfg(feature = "async")]
                Remote::Wake(task) => self.core.wake_future(task),
                Remote::Release(semaphore) => self.core.release(semaphore),
                Remote::Item { queue, item } => {
                    if contain(|| self.core.put_item(queue, item)).is_none() {
                        log::error!("task.panicked: an item for a queue that is gone panicked in its drop");
                    }
                }
            }
        }
    }

    fn run_remote_post(&mut self, post: RemotePost, due: Time) {
        let id = TaskId { slot: NONE, serial: self.core.tasks.next_serial() };
        let run = Run { id, service: post.service, name: post.name, due };
        self.process(run, |service, core| (post.run)(service, core));
    }

    /// Runs one task that is due.
    fn run_task(&mut self, id: TaskId) {
        let Some(task) = self.core.tasks.get_mut(id) else { return };
        let run = Run { id, service: task.service, name: task.name, due: task.due };
        match std::mem::replace(&mut task.work, Work::Running { beats: false }) {
            Work::Once(f) => {
                self.core.tasks.remove(id);
                self.process(run, f);
            }
            Work::Wait(mut wait) => {
                // The wheel has let go of a task whose time has come: what tells it is that something is still to come.
                if !wait.is_settled() {
                    wait.time_out();
                }
                let jobs = std::mem::take(&mut wait.jobs);
                self.core.tasks.remove(id);
                self.core.withdraw(jobs);
                self.process(run, |service, core| {
                    #[cfg(feature = "async")]
                    {
                        core.futures.delivered_from = wait.queue;
                    }
                    let (deliver, outcomes) = wait.into_delivery();
                    deliver(service, core, outcomes);
                });
            }
            Work::Every(every) => self.run_tick(run, every),
            Work::Slices(slices) => self.run_slice(run, slices),
            // Polled by nobody but the executor.
            #[cfg(feature = "async")]
            Work::Future(slot) => {
                if let Some(task) = self.core.tasks.get_mut(id) {
                    task.work = Work::Future(slot);
                }
            }
            Work::Running { .. } => {}
        }
    }

    /// The reactor stops: a task is cancelled. Who waits for a result hears it; else the handler does.
    pub(crate) fn abandon_task(&mut self, id: TaskId) {
        let Some(task) = self.core.tasks.get_mut(id) else { return };
        let run = Run { id, service: task.service, name: task.name, due: task.due };
        let now = self.core.now;
        if let Work::Wait(wait) = &mut task.work {
            wait.give_up(TaskError::Cancelled);
            self.core.tasks.unfile(id);
            self.run_task(id);
            return;
        }
        #[cfg(feature = "async")]
        if self.core.is_awaited(id) {
            self.core.cancel_task(id);
            return;
        }
        contain(|| self.core.cancel_task(id));
        let due = run.due.min(now);
        let record = TaskRecord { id, name: run.name, due, delay: now.since(due), processing: 0, ended: now };
        self.tell(run, &close::TASK_CANCELLED, record);
    }

    /// One tick of an `every`, which is then filed for the next.
    fn run_tick(&mut self, run: Run, mut every: Box<Every>) {
        let id = run.id;
        if let Some(task) = self.core.tasks.get_mut(id) {
            task.work = Work::Running { beats: true };
        }
        let went_well = self.process(run, |service, core| (every.run)(service, core)).is_some();
        if !went_well {
            self.core.cancel_task(id);
        }
        let (now, period, missed) = (self.core.now, every.period, every.missed);
        let Some(task) = self.core.tasks.get_mut(id) else {
            self.core.discard(run.into(), Work::Every(every));
            self.refresh_clock();
            return;
        };
        task.work = Work::Every(every);
        if self.core.tasks.is_filed(id) {
            return; // It has moved itself.
        }
        let next = run.due + period;
        if next > now {
            self.core.tasks.file(id, next, now);
        } else if missed == Missed::Skip {
            let beats = now.since(run.due) / period.as_nanos().max(1) as u64;
            let next = run.due + period.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX)) + period;
            self.core.tasks.file(id, next, now);
        } else {
            self.core.tasks.post_due(id, next);
        }
    }

    /// Works off slices in turn, until the time for them is over.
    fn run_slices(&mut self) {
        if self.core.tasks.slices_len() == 0 {
            return;
        }
        let until = self.core.now + self.config.cooperate_slice;
        for _ in 0..self.config.turn_tasks_max.max(1) {
            let Some(next) = self.core.tasks.next_slice() else { return };
            if let Some(id) = next {
                self.run_task(id);
            }
            if self.core.now >= until {
                return;
            }
        }
    }

    fn run_slice(&mut self, run: Run, mut slices: Box<Slices>) {
        let id = run.id;
        let started = self.core.now;
        let step = self.step(run, |service, core| (slices.run)(service, core));
        slices.processing += self.core.now.since(started);
        slices.waited_max = slices.waited_max.max(started.since(run.due));
        let now = self.core.now;
        if let (Some(Some(Step::More)), Some(task)) = (step, self.core.tasks.get_mut(id)) {
            task.due = now;
            task.work = Work::Slices(slices);
            self.core.tasks.slice(id);
            return;
        }
        self.core.cancel_task(id);
        let record = slices.record(run, now);
        if step.is_none() {
            self.tell(run, &close::TASK_PANICKED, record);
        }
        self.record(run, record, slices.waited_max);
        self.core.discard(run.into(), Work::Slices(slices));
        self.refresh_clock();
    }

    /// Runs `f` on its handler, stamped; `None` when it panicked.
    fn step<T>(&mut self, run: Run, f: impl FnOnce(&mut dyn Any, &mut Core) -> T) -> Option<T> {
        let started = self.core.now;
        let service = self.services.get_mut(run.service as usize)?;
        self.core.tasks.current = Some(run.id);
        self.core.account.task_begins(run.name, run.id, run.due, started);
        let outcome = contain(|| f(service.as_any(), &mut self.core));
        self.core.tasks.current = None;
        self.core.now = self.sys.now().max(started);
        self.core.account.task_ends(self.core.now);
        outcome
    }

    /// A whole run: stamped, recorded, and its error told.
    fn process<T>(&mut self, run: Run, f: impl FnOnce(&mut dyn Any, &mut Core) -> T) -> Option<T> {
        let started = self.core.now;
        let outcome = self.step(run, f);
        let ended = self.core.now;
        let due = run.due.min(started);
        let (delay, processing) = (started.since(due), ended.since(started));
        let record = TaskRecord { id: run.id, name: run.name, due, delay, processing, ended };
        if outcome.is_none() {
            self.tell(run, &close::TASK_PANICKED, record);
        }
        self.record(run, record, delay);
        outcome
    }

    /// Work that a thread has done has its own record.
    fn worked(&mut self, id: TaskId, work: &Worked) {
        let Worked { name, queued, began, ended, round } = *work;
        if round == self.core.jobs_round {
            self.core.jobs -= 1;
        }
        let (delay, processing) = (began.since(queued), ended.since(began));
        let record = TaskRecord { id, name, due: queued, delay, processing, ended };
        self.core.account.worked(delay, processing);
        self.keep(record);
    }

    /// Tells of tasks whose captured values panicked when they were dropped.
    fn tell_broken(&mut self) {
        while let Some(broken) = self.core.tasks.broken.pop() {
            let Broken { id, service, name, due } = broken;
            let ended = self.core.now;
            let due = due.min(ended);
            let record = TaskRecord { id, name, due, delay: ended.since(due), processing: 0, ended };
            self.tell(Run { id, service, name, due }, &close::TASK_PANICKED, record);
        }
    }

    /// Keeps a record, for those who want to see each.
    fn keep(&mut self, record: TaskRecord) {
        log::trace!("{record}");
        #[cfg(any(test, feature = "testing"))]
        self.core.tasks.records.iter_mut().for_each(|records| records.push(record));
    }

    /// Keeps a record, and says so when the task was late: it waited that long in one piece.
    fn record(&mut self, run: Run, record: TaskRecord, waited: u64) {
        self.keep(record);
        let late = self.config.task_late.is_some_and(|bound| u128::from(waited) > bound.as_nanos());
        if late {
            self.tell(run, &close::TASK_LATE, record);
        }
    }

    /// Tells a handler of a task's error that nobody else is told.
    pub(crate) fn tell(&mut self, run: Run, class: &'static Class, record: TaskRecord) {
        let report = TaskReport { class, record };
        let Some(service) = self.services.get_mut(run.service as usize) else { return };
        let sample = self.core.account.begin(Callback::TaskError, run.service, None, || self.sys.now());
        let ok = service.task_error(&report, &mut self.core);
        self.core.account.end(sample, || self.sys.now());
        if !ok {
            log::error!("task.panicked: on_task_error panicked when it was told of {report}");
        }
        // The next task is not billed for this.
        self.refresh_clock();
    }
}

impl From<Run> for Broken {
    fn from(Run { id, service, name, due }: Run) -> Self {
        Self { id, service, name, due }
    }
}

impl Slices {
    /// T is all that was not spent in a slice.
    fn record(&self, run: Run, ended: Time) -> TaskRecord {
        let (due, processing) = (self.asked, self.processing);
        let delay = ended.since(due).saturating_sub(processing);
        TaskRecord { id: run.id, name: run.name, due, delay, processing, ended }
    }
}
