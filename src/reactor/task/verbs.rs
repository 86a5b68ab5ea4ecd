//! The verbs on tasks: post, call later, call again and again, work in slices; cancel and move.

use std::time::Duration;

use super::store::{Every, Once, Slices, Task, Work};
use super::{Missed, Step};
use crate::reactor::handler::Handler;
use crate::reactor::id::TaskId;
use crate::reactor::service::{Key, apply};
use crate::reactor::table::Table;
use crate::reactor::time::Time;

/// A closure on a handler, for whoever has the handler's service.
fn once<H: Handler>(f: impl FnOnce(&mut H, &mut Table<'_, H>) + 'static) -> Once {
    Box::new(move |service, core| {
        apply(service, core, f);
    })
}

/// Tasks: work for this service, or another, outside the callbacks of connections.
impl<H: Handler> Table<'_, H> {
    /// Calls `f` in the next turn, in the order of posting.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     table.post(|_echo, table| table.handle().stop(Duration::ZERO)); // in the next turn, with `&mut` of the handler
    /// });
    /// # reactor.run().unwrap();
    /// ```
    pub fn post(&mut self, f: impl FnOnce(&mut H, &mut Table<'_, H>) + 'static) -> TaskId {
        self.push_post(Key::new(self.service, self.core.handle.reactor()), f)
    }

    /// Calls `f` on another service in the next turn; otherwise as [`Table::post`].
    pub fn post_to<O: Handler>(
        &mut self,
        key: Key<O>,
        f: impl FnOnce(&mut O, &mut Table<'_, O>) + 'static,
    ) -> TaskId {
        self.push_post(key, f)
    }

    fn push_post<O: Handler, F>(&mut self, key: Key<O>, f: F) -> TaskId
    where
        F: FnOnce(&mut O, &mut Table<'_, O>) + 'static,
    {
        assert_eq!(key.reactor, self.core.handle.reactor(), "the key belongs to another reactor");
        let name = std::any::type_name::<F>();
        let work = Work::Once(once(f));
        let id = self.core.tasks.insert(key.index, self.core.now, name, work);
        self.core.tasks.post(id);
        id
    }

    /// Calls `f` once, `after` from now ([`Table::now`], the last stamp): never early, and about a millisecond late where
    /// the loop is free.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let began = table.now();
    ///     table.call_later(Duration::from_millis(3), move |_, table| {
    ///         assert!(table.now() - began >= Duration::from_millis(3));
    ///         table.handle().stop(Duration::ZERO);
    ///     });
    /// });
    /// # reactor.run().unwrap();
    /// ```
    pub fn call_later(
        &mut self,
        after: Duration,
        f: impl FnOnce(&mut H, &mut Table<'_, H>) + 'static,
    ) -> TaskId {
        self.call_at(self.core.now + after, f)
    }

    /// Calls `f` once at a point in time; within a millisecond, and never in this call, if it has passed. Otherwise as
    /// [`Table::call_later`].
    pub fn call_at(&mut self, at: Time, f: impl FnOnce(&mut H, &mut Table<'_, H>) + 'static) -> TaskId {
        let name = std::any::type_name_of_val(&f);
        let work = Work::Once(once(f));
        self.file(at, name, work)
    }

    /// Calls `f` every `period` (at least a millisecond), for the first time one period from now, until it is
    /// cancelled; by `f` itself with [`Table::current_task`]. Ticks keep to the beat: they do not drift by what the
    /// calls take. `missed` says what becomes of ticks that the loop was too busy for. If `f` panics, it is not called
    /// again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Missed, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let mut left = 3;
    ///     table.every(Duration::from_millis(1), Missed::Skip, move |_, table| {
    ///         left -= 1;
    ///         if left == 0 {
    ///             table.cancel(table.current_task().unwrap());
    ///             table.handle().stop(Duration::ZERO);
    ///         }
    ///     });
    /// });
    /// # reactor.run().unwrap();
    /// ```
    pub fn every(
        &mut self,
        period: Duration,
        missed: Missed,
        mut f: impl FnMut(&mut H, &mut Table<'_, H>) + 'static,
    ) -> TaskId {
        let name = std::any::type_name_of_val(&f);
        let period = period.max(Duration::from_millis(1));
        let every = Every {
            period,
            missed,
            run: Box::new(move |service, core| {
                apply::<H, _>(service, core, |handler, table| f(handler, table));
            }),
        };
        self.file(self.core.now + period, name, Work::Every(Box::new(every)))
    }

    /// Does long work in slices: calls `f` again and again until it is [`Step::Done`], for `Config::cooperate_slice`
    /// (50 µs) a turn, shared by all who work so, and lets the loop go on in between. Each call should take less
    /// than that. Work that cannot be cut belongs to [`Table::offload`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor, Step};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let mut lines = (0..100).collect::<Vec<u32>>();
    ///     table.cooperate(move |_, table| match lines.pop() {
    ///         Some(_line) => Step::More, // work on it
    ///         None => {
    ///             table.handle().stop(Duration::ZERO);
    ///             Step::Done
    ///         }
    ///     });
    /// });
    /// # reactor.run().unwrap();
    /// ```
    pub fn cooperate(&mut self, mut f: impl FnMut(&mut H, &mut Table<'_, H>) -> Step + 'static) -> TaskId {
        let name = std::any::type_name_of_val(&f);
        let now = self.core.now;
        let work = Work::Slices(Box::new(Slices {
            asked: now,
            processing: 0,
            waited_max: 0,
            run: Box::new(move |service, core| {
                apply::<H, _>(service, core, |handler, table| f(handler, table))
            }),
        }));
        let id = self.core.tasks.insert(self.service, now, name, work);
        self.core.tasks.slice(id);
        id
    }

    fn file(&mut self, at: Time, name: &'static str, work: Work) -> TaskId {
        let now = self.core.now;
        let id = self.core.tasks.insert(self.service, at, name, work);
        self.core.tasks.file(id, at, now);
        id
    }

    /// Cancels a task: it will not run, or not again, and what it has captured is dropped. Work on a thread is
    /// withdrawn if no thread has begun it. O(1). False when the task is over, or runs once and does so right now.
    pub fn cancel(&mut self, id: TaskId) -> bool {
        self.core.cancel_task(id)
    }

    /// Moves the time of a task that is filed for one, or the limit of one that waits for a result, to `after` from
    /// now. An `every` keeps its period and takes the new time for its beat. O(1). False for any other task.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let alarm = table.call_later(Duration::from_secs(60), |_, table| table.handle().stop(Duration::ZERO));
    ///     assert!(table.reset(alarm, Duration::from_millis(1)));
    ///     let other = table.post(|_, _| unreachable!());
    ///     assert!(!table.reset(other, Duration::ZERO)); // it is filed for no time
    ///     assert!(table.cancel(other) && !table.has_task(other));
    /// });
    /// # reactor.run().unwrap();
    /// ```
    pub fn reset(&mut self, id: TaskId, after: Duration) -> bool {
        let now = self.core.now;
        let beats = |t: &Task| matches!(t.work, Work::Every(_) | Work::Running { beats: true });
        let beats = self.core.tasks.get(id).is_some_and(beats);
        let filed = beats || self.core.tasks.is_filed(id);
        if filed {
            self.core.tasks.file(id, now + after, now);
        }
        filed
    }

    /// Whether a task may still run, or run again.
    pub fn has_task(&self, id: TaskId) -> bool {
        self.core.tasks.get(id).is_some()
    }

    /// When a task is due: the time for which it is filed, else when it was queued.
    pub fn task_due(&self, id: TaskId) -> Option<Time> {
        self.core.tasks.get(id).map(|t| t.due)
    }

    /// The task that runs now; `None` in a callback of a connection.
    pub fn current_task(&self) -> Option<TaskId> {
        self.core.tasks.current
    }

    /// Tasks of all services that may still run.
    pub fn tasks(&self) -> usize {
        self.core.tasks.len()
    }
}
