//! Results that come later: a task that waits for one value or several, and [`Completer`], the right to give one.
//!
//! Whoever waits hears exactly once: of the values, or why there is none. A value that comes after the time is over,
//! or after the task was cancelled, is dropped.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::TaskError;
use super::discard::Broken;
use super::queue::Place;
use super::store::Work;
use crate::reactor::core::Core;
use crate::reactor::handle::{Handle, Remote};
use crate::reactor::handler::Handler;
use crate::reactor::id::TaskId;
use crate::reactor::service::{apply, contain};
use crate::reactor::table::Table;
use crate::reactor::time::Time;
use crate::reactor::workers::JobId;

/// A value whose type only the two ends know.
pub(crate) type Outcome = Result<Box<dyn Any>, TaskError>;

/// Runs who waited.
pub(crate) type Deliver = Box<dyn FnOnce(&mut dyn Any, &mut Core, Vec<Outcome>)>;

/// A task that waits for results.
pub(crate) struct Wait {
    /// One for each part; `None` while it has not come.
    parts: Vec<Option<Outcome>>,
    /// Parts that have not come.
    left: usize,
    /// The first value is enough.
    race: bool,
    /// Work on threads that nobody needs once the task is settled.
    pub(crate) jobs: Vec<JobId>,
    /// The queue to which an item goes back that its taker did not live to see, and the item's number there.
    pub(super) queue: Option<(Place, u64)>,
    /// An item that waits for room in a queue.
    pub(super) item: Option<Box<dyn Any>>,
    pub(crate) deliver: Deliver,
}

impl Wait {
    fn new(parts: usize, race: bool, deliver: Deliver) -> Self {
        let none = std::iter::repeat_with(|| None).take(parts).collect();
        Self { parts: none, left: parts, race, jobs: Vec::new(), queue: None, item: None, deliver }
    }

    /// Whether nothing more has to come.
    pub(super) fn is_settled(&self) -> bool {
        let won = || self.parts.iter().any(|p| matches!(p, Some(Ok(_))));
        self.left == 0 || (self.race && won())
    }

    /// Gives up what has not come.
    pub(crate) fn give_up(&mut self, error: TaskError) {
        for part in self.parts.iter_mut().filter(|p| p.is_none()) {
            *part = Some(Err(error));
        }
        self.left = 0;
    }

    /// Its time is over. That is why a race has no winner, whatever its losers said before.
    pub(crate) fn time_out(&mut self) {
        if self.race {
            self.parts.fill_with(|| None);
        }
        self.give_up(TaskError::TimedOut);
    }

    /// What there is to deliver; parts that were not awaited count as cancelled.
    pub(crate) fn into_delivery(mut self) -> (Deliver, Vec<Outcome>) {
        self.give_up(TaskError::Cancelled);
        if let Some(item) = self.item.take()
            && contain(|| drop(item)).is_none()
        {
            log::error!("task.panicked: an item that found no room panicked in its drop");
        }
        (self.deliver, self.parts.into_iter().flatten().collect())
    }
}

/// What became of a part of a result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nobody waits for it.
    Unwanted,
    /// Others are still to come.
    Part,
    /// It was the last that was needed.
    Whole,
}

impl Core {
    /// A part of a task's result has come; its task runs in the next turn if that was all. False when nobody waits
    /// for it any more; then it is dropped.
    pub(crate) fn settle(&mut self, id: TaskId, part: u32, outcome: Outcome) -> bool {
        match self.settle_part(id, part, outcome, self.now) {
            Settled::Unwanted => return false,
            Settled::Part => {}
            Settled::Whole => self.tasks.post(id),
        }
        true
    }

    /// The same for a part that came `at` a time, and who calls it runs the task.
    pub(super) fn settle_part(&mut self, id: TaskId, part: u32, outcome: Outcome, at: Time) -> Settled {
        let Some(task) = self.tasks.get_mut(id) else { return Settled::Unwanted };
        let Work::Wait(wait) = &mut task.work else { return Settled::Unwanted };
        let settled_before = wait.is_settled();
        match wait.parts.get_mut(part as usize) {
            Some(place @ None) if !settled_before => *place = Some(outcome),
            _ => return Settled::Unwanted,
        }
        wait.left -= 1;
        if !wait.is_settled() {
            return Settled::Part;
        }
        task.due = at;
        let jobs = std::mem::take(&mut wait.jobs);
        self.tasks.unfile(id);
        self.withdraw(jobs);
        Settled::Whole
    }

    /// Takes jobs back that no thread has begun.
    pub(crate) fn withdraw(&mut self, jobs: Vec<JobId>) {
        for job in jobs {
            if let Some(job) = self.workers.withdraw(job) {
                self.jobs -= 1;
                if contain(|| drop(job)).is_none() {
                    log::error!("task.panicked: work that was withdrawn panicked in its drop");
                }
            }
        }
    }

    /// Takes a task out for good: it will not run, or not again.
    pub(crate) fn cancel_task(&mut self, id: TaskId) -> bool {
        let Some(mut task) = self.tasks.remove(id) else { return false };
        #[cfg(feature = "async")]
        if let Work::Future(slot) = task.work {
            self.drop_future(slot);
        }
        if let Work::Wait(wait) = &mut task.work {
            self.withdraw(std::mem::take(&mut wait.jobs));
            if let Some((queue, number)) = wait.queue
                && let Some(Some(Ok(item))) = wait.parts.pop()
                && let Some(item) = self.put_back(queue, number, item)
            {
                wait.item = Some(item);
            }
        }
        let of = Broken { id, service: task.service, name: task.name, due: task.due };
        self.discard(of, task.work);
        true
    }
}

/// The right to give a result to the task that waits for it: once, from any thread. Dropped without one, it tells
/// the task that the result is cancelled, so that nobody waits for ever. [`Table::expect`] makes one,
/// [`Table::join`] and [`Table::race`] several.
#[must_use = "a completer that is dropped cancels the result"]
pub struct Completer<T> {
    handle: Option<Handle>,
    task: TaskId,
    part: u32,
    _value: PhantomData<fn(T)>,
}

impl<T> fmt::Debug for Completer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completer").field("task", &self.task).field("part", &self.part).finish()
    }
}

impl<T> Completer<T> {
    fn new(handle: Handle, task: TaskId, part: u32) -> Self {
        Self { handle: Some(handle), task, part, _value: PhantomData }
    }

    /// The task that waits.
    pub const fn task(&self) -> TaskId {
        self.task
    }

    pub(crate) const fn part(&self) -> u32 {
        self.part
    }

    /// Whether the task that waits is the reactor's to which `handle` belongs.
    pub(crate) fn is_of(&self, handle: &Handle) -> bool {
        self.handle.as_ref().is_some_and(|own| own.is_same(handle))
    }

    /// Takes the right away: dropping it then tells nobody.
    pub(crate) fn defuse(mut self) -> (TaskId, u32, Option<Handle>) {
        (self.task, self.part, self.handle.take())
    }
}

impl<T: Send + 'static> Completer<T> {
    /// Gives the value, from any thread. It is delivered in the reactor's next turn, or dropped if the task is over
    /// by then. False when the reactor is gone.
    pub fn complete(self, value: T) -> bool {
        let (task, part, handle) = self.defuse();
        let outcome: Result<Box<dyn Any + Send>, TaskError> = Ok(Box::new(value));
        handle.is_some_and(|h| h.enter(Remote::Settle { task, part, outcome, work: None }))
    }

    /// Tells the task, from any thread, why there is no value. False when the reactor is gone.
    pub fn fail(self, error: TaskError) -> bool {
        let (task, part, handle) = self.defuse();
        handle.is_some_and(|h| h.enter(Remote::Settle { task, part, outcome: Err(error), work: None }))
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let outcome = Err(TaskError::Cancelled);
            handle.enter(Remote::Settle { task: self.task, part: self.part, outcome, work: None });
        }
    }
}

/// The values of a type out of what only the two ends know.
fn typed<T: 'static>(outcome: Outcome) -> Result<T, TaskError> {
    outcome.and_then(|value| value.downcast().map(|v| *v).map_err(|_| TaskError::Cancelled))
}

/// Results that come later.
impl<H: Handler> Table<'_, H> {
    /// Waits for one value, at most for `limit`: `done` is called exactly once, with the value that was given to the
    /// [`Completer`], or with why there is none. Cancelled by its id ([`Completer::task`]) it is not called at all.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor, TaskError};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// let stop = reactor.handle();
    /// let answer = reactor.with(key, |_, table| {
    ///     table.expect(Some(Duration::from_secs(1)), move |_, answer: Result<u32, TaskError>, _| {
    ///         assert_eq!(answer, Ok(42));
    ///         stop.stop(Duration::ZERO);
    ///     })
    /// });
    /// std::thread::spawn(move || answer.complete(42));
    /// reactor.run().unwrap();
    /// ```
    pub fn expect<T: 'static>(
        &mut self,
        limit: Option<Duration>,
        done: impl FnOnce(&mut H, Result<T, TaskError>, &mut Table<'_, H>) + 'static,
    ) -> Completer<T> {
        let name = std::any::type_name_of_val(&done);
        let deliver = move |service: &mut dyn Any, core: &mut Core, mut outcomes: Vec<Outcome>| {
            let outcome = outcomes.pop().unwrap_or(Err(TaskError::Cancelled));
            apply::<H, _>(service, core, |handler, table| done(handler, typed(outcome), table));
        };
        let task = self.wait(Wait::new(1, false, Box::new(deliver)), limit, name);
        Completer::new(self.core.handle.clone(), task, 0)
    }

    /// Waits for `parts` values, at most for `limit`: `done` is called exactly once, with one result for each part,
    /// in their order. Parts that have not come when the limit is over are [`TaskError::TimedOut`]. With no parts it is
    /// called in the next turn.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor, TaskError};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let (_task, parts) = table.join(2, Some(Duration::from_secs(5)), |_, results: Vec<Result<u32, _>>, table| {
    ///         assert_eq!(results, [Ok(1), Err(TaskError::Cancelled)]);
    ///         table.handle().stop(Duration::ZERO);
    ///     });
    ///     let [first, second] = parts.try_into().unwrap();
    ///     std::thread::spawn(move || first.complete(1));
    ///     drop(second); // so that nobody waits for it
    /// });
    /// # reactor.run().unwrap();
    /// ```
    #[must_use = "completers that are dropped cancel the result"]
    pub fn join<T: 'static>(
        &mut self,
        parts: usize,
        limit: Option<Duration>,
        done: impl FnOnce(&mut H, Vec<Result<T, TaskError>>, &mut Table<'_, H>) + 'static,
    ) -> (TaskId, Vec<Completer<T>>) {
        let name = std::any::type_name_of_val(&done);
        let deliver = move |service: &mut dyn Any, core: &mut Core, outcomes: Vec<Outcome>| {
            let results = outcomes.into_iter().map(typed).collect();
            apply::<H, _>(service, core, |handler, table| done(handler, results, table));
        };
        self.wait_parts(Wait::new(parts, false, Box::new(deliver)), limit, name)
    }

    /// Waits for the first of `parts` values, at most for `limit`: `done` is called exactly once, with that value and
    /// the number of its part, or when all have failed with the last part's failure. What comes later is dropped;
    /// work of the losers that no thread has begun is withdrawn. A race of nobody is [`TaskError::Cancelled`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor, TaskError};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let (_task, parts) = table.race(2, None, |_, first: Result<(usize, &str), TaskError>, table| {
    ///         assert_eq!(first, Ok((1, "mirror")));
    ///         table.handle().stop(Duration::ZERO);
    ///     });
    ///     let [origin, mirror] = parts.try_into().unwrap();
    ///     table.complete(mirror, "mirror");
    ///     assert!(!table.complete(origin, "origin")); // too late
    /// });
    /// # reactor.run().unwrap();
    /// ```
    #[must_use = "completers that are dropped cancel the result"]
    pub fn race<T: 'static>(
        &mut self,
        parts: usize,
        limit: Option<Duration>,
        done: impl FnOnce(&mut H, Result<(usize, T), TaskError>, &mut Table<'_, H>) + 'static,
    ) -> (TaskId, Vec<Completer<T>>) {
        let name = std::any::type_name_of_val(&done);
        let deliver = move |service: &mut dyn Any, core: &mut Core, outcomes: Vec<Outcome>| {
            let mut result = Err(TaskError::Cancelled);
            for (n, outcome) in outcomes.into_iter().enumerate() {
                result = typed(outcome).map(|value| (n, value));
                if result.is_ok() {
                    break;
                }
            }
            apply::<H, _>(service, core, |handler, table| done(handler, result, table));
        };
        self.wait_parts(Wait::new(parts, true, Box::new(deliver)), limit, name)
    }

    /// Gives a value on the reactor's own thread: as [`Completer::complete`], without a lock, and the value need not be
    /// `Send`. `done` runs in the next turn. False when nobody waits for it any more, and on another reactor than that of the task,
    /// which then hears [`TaskError::Cancelled`]: between reactors, [`Completer::complete`] is the way. There is an example at [`Table::race`].
    pub fn complete<T: 'static>(&mut self, completer: Completer<T>, value: T) -> bool {
        if !completer.is_of(&self.core.handle) {
            return false;
        }
        let (task, part, _) = completer.defuse();
        self.core.settle(task, part, Ok(Box::new(value)))
    }

    fn wait_parts<T>(
        &mut self,
        wait: Wait,
        limit: Option<Duration>,
        name: &'static str,
    ) -> (TaskId, Vec<Completer<T>>) {
        let parts = wait.parts.len() as u32;
        let task = self.wait(wait, limit, name);
        let handle = &self.core.handle;
        (task, (0..parts).map(|part| Completer::new(handle.clone(), task, part)).collect())
    }

    fn wait(&mut self, wait: Wait, limit: Option<Duration>, name: &'static str) -> TaskId {
        let (now, settled) = (self.core.now, wait.is_settled());
        let task = self.core.tasks.insert(self.service, now, name, Work::Wait(Box::new(wait)));
        match limit {
            _ if settled => self.core.tasks.post(task),
            Some(limit) => self.core.tasks.file(task, now + limit, now),
            None => {}
        }
        task
    }
}
