//! Work that would block or compute for long: done on a thread of the pool, its result delivered on the loop.

use std::any::Any;
use std::time::Duration;

use super::handle::{Remote, Worked};
use super::handler::Handler;
use super::id::TaskId;
use super::service::contain;
use super::table::Table;
use super::task::store::Work;
use super::task::{Completer, TaskError};
use super::time::Time;

/// Work on threads.
impl<H: Handler> Table<'_, H> {
    /// Does `work` on a thread of the reactor's pool, then calls `done` with its result on the loop, exactly once.
    ///
    /// Work waits in a bounded queue (`Config::workers`) for a thread. While it does, cancelling the task withdraws
    /// it; later, its result is dropped. Work that panics gives [`TaskError::Panicked`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     table.offload(
    ///         || std::fs::metadata("/proc/self").is_ok(), // on a thread
    ///         |_, there, table| {
    ///             assert_eq!(there, Ok(true)); // on the loop
    ///             table.handle().stop(Duration::from_secs(1));
    ///         },
    ///     )
    /// })
    /// .unwrap();
    /// # reactor.run().unwrap();
    /// ```
    ///
    /// # Errors
    /// [`TaskError::Full`]: the queue is full, nothing was begun, and `done` is not called.
    pub fn offload<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(&mut H, Result<T, TaskError>, &mut Table<'_, H>) + 'static,
    ) -> Result<TaskId, TaskError> {
        let completer = self.expect(None, done);
        self.begin(completer, work)
    }

    /// As [`Table::offload`], but `done` hears [`TaskError::TimedOut`] when the result has not come within `limit`. A
    /// thread that has begun goes on to its end all the same: nothing can stop it.
    ///
    /// # Errors
    /// As for [`Table::offload`].
    pub fn offload_within<T: Send + 'static>(
        &mut self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(&mut H, Result<T, TaskError>, &mut Table<'_, H>) + 'static,
    ) -> Result<TaskId, TaskError> {
        let completer = self.expect(Some(limit), done);
        self.begin(completer, work)
    }

    /// Does `work` on a thread and gives its value to `completer`: one part of a [`Table::join`] or [`Table::race`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor, TaskError};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let (_task, parts) = table.join(2, None, |_, squares: Vec<Result<u32, TaskError>>, table| {
    ///         assert_eq!(squares, [Ok(0), Ok(1)]);
    ///         table.handle().stop(Duration::from_secs(1));
    ///     });
    ///     for (n, part) in (0..).zip(parts) {
    ///         // Refused, the completer comes back; dropped, it tells the join.
    ///         let _ = table.offload_into(part, move || n * n);
    ///     }
    /// });
    /// # reactor.run().unwrap();
    /// ```
    ///
    /// # Errors
    /// The completer, when the queue is full, or when it is another reactor's.
    pub fn offload_into<T: Send + 'static>(
        &mut self,
        completer: Completer<T>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(), Completer<T>> {
        if !completer.is_of(&self.core.handle) {
            return Err(completer);
        }
        let (task, part, queued) = (completer.task(), completer.part(), self.core.now);
        let round = self.core.jobs_round;
        let handle = self.core.handle.clone();
        let name = std::any::type_name_of_val(&work);
        let job = Box::new(move |clock: &dyn Fn() -> Time| {
            let began = clock();
            let value = contain(work);
            let worked = Worked { name, queued: queued.min(began), began, ended: clock(), round };
            let outcome = match value {
                Some(value) => Ok(Box::new(value) as Box<dyn Any + Send>),
                None => Err(TaskError::Panicked),
            };
            handle.enter(Remote::Settle { task, part, outcome, work: Some(Box::new(worked)) });
        });
        let job = match self.core.workers.submit(job) {
            Ok(job) => job,
            Err(refused) => {
                // What it has captured is the handler's, and so is what its drop does.
                if contain(|| drop(refused)).is_none() {
                    log::error!("task.panicked: work that was refused panicked in its drop");
                }
                return Err(completer);
            }
        };
        completer.defuse();
        self.core.jobs += 1;
        if let Some(Work::Wait(wait)) = self.core.tasks.get_mut(task).map(|t| &mut t.work) {
            wait.jobs.push(job);
        }
        Ok(())
    }

    fn begin<T: Send + 'static>(
        &mut self,
        completer: Completer<T>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<TaskId, TaskError> {
        let task = completer.task();
        match self.offload_into(completer, work) {
            Ok(()) => Ok(task),
            Err(completer) => {
                completer.defuse();
                self.core.cancel_task(task);
                Err(TaskError::Full)
            }
        }
    }
}
