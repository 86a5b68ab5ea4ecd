//! Semaphores: at most so many at a time, the others wait in the order of their asking.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::TaskError;
use super::result::Completer;
use crate::reactor::core::Core;
use crate::reactor::handle::{Handle, Remote};
use crate::reactor::handler::Handler;
use crate::reactor::id::TaskId;
use crate::reactor::table::Table;

/// A semaphore of one reactor, see [`Table::semaphore`]. A stale one is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SemaphoreId {
    slot: u32,
    serial: u32,
}

/// The right to be one of those whom a semaphore lets through. It is given back by [`Table::release`], or when it is
/// dropped, on whatever thread, a panic included.
#[must_use = "a permit that is dropped is given back"]
pub struct Permit {
    handle: Option<Handle>,
    semaphore: SemaphoreId,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.semaphore).finish()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.enter(Remote::Release(self.semaphore));
        }
    }
}

pub(crate) struct Semaphore {
    serial: u32,
    pub(super) free: usize,
    /// Tasks in the order of their asking; some may have gone since.
    pub(super) waiting: VecDeque<TaskId>,
}

/// Makes room for one more who waits: forgets those that are gone whenever the queue is full, and doubles it when that
/// was not at least half of it. So each costs O(1), and memory follows those that live.
pub(super) fn prune<T>(queue: &mut VecDeque<T>, alive: impl FnMut(&T) -> bool) {
    if queue.len() < queue.capacity() {
        return;
    }
    queue.retain(alive);
    if queue.len() > queue.capacity() / 2 {
        queue.reserve(queue.len().max(16));
    }
}

impl Core {
    fn semaphore(&mut self, id: SemaphoreId) -> Option<&mut Semaphore> {
        self.semaphores.get_mut(id.slot as usize).filter(|s| s.serial == id.serial)
    }

    fn permit(&self, semaphore: SemaphoreId) -> Permit {
        Permit { handle: Some(self.handle.clone()), semaphore }
    }

    /// One permit is free again: the first who waits has it.
    pub(crate) fn release(&mut self, id: SemaphoreId) {
        while let Some(task) = self.semaphore(id).and_then(|s| s.waiting.pop_front()) {
            if self.tasks.get(task).is_none() {
                continue;
            }
            let permit = self.permit(id);
            if self.settle_or_back(task, permit) {
                return;
            }
        }
        if let Some(s) = self.semaphore(id) {
            s.free += 1;
        }
    }

    /// Gives `permit` to a task; when it no longer waits the permit is unmade, and false is said.
    fn settle_or_back(&mut self, task: TaskId, mut permit: Permit) -> bool {
        if !self.tasks.waits(task) {
            permit.handle = None;
            return false;
        }
        self.settle(task, 0, Ok(Box::new(permit)))
    }
}

/// Semaphores.
impl<H: Handler> Table<'_, H> {
    /// Makes a semaphore with so many permits. It stays until [`Table::remove_semaphore`]. There is an example at
    /// [`Table::acquire`].
    #[must_use = "a semaphore stays until it is removed"]
    pub fn semaphore(&mut self, permits: usize) -> SemaphoreId {
        let serial = self.core.tasks.next_serial();
        let semaphore = Semaphore { serial, free: permits, waiting: VecDeque::new() };
        SemaphoreId { slot: self.core.semaphores.insert(semaphore) as u32, serial }
    }

    /// A permit, if one is free and nobody waits for it.
    #[must_use = "a permit that is dropped is given back"]
    pub fn try_acquire(&mut self, id: SemaphoreId) -> Option<Permit> {
        let s = self.core.semaphore(id).filter(|s| s.free > 0)?;
        s.free -= 1;
        Some(self.core.permit(id))
    }

    /// Waits for a permit, at most for `limit`: `done` is called exactly once, in a later turn, with the permit or
    /// with why there is none. First come, first served.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let one = table.semaphore(1);
    ///     let held = table.try_acquire(one).unwrap();
    ///     table.acquire(one, Some(Duration::from_secs(5)), |_, permit, table| {
    ///         assert!(permit.is_ok());
    ///         table.handle().stop(Duration::ZERO);
    ///     });
    ///     table.post(move |_, table| table.release(held)); // or drop it, on whatever thread
    /// });
    /// # reactor.run().unwrap();
    /// ```
    pub fn acquire(
        &mut self,
        id: SemaphoreId,
        limit: Option<Duration>,
        done: impl FnOnce(&mut H, Result<Permit, TaskError>, &mut Table<'_, H>) + 'static,
    ) -> TaskId {
        let completer: Completer<Permit> = self.expect(limit, done);
        if let Some(permit) = self.try_acquire(id) {
            let task = completer.task();
            self.complete(completer, permit);
            return task;
        }
        let Some(s) = self.core.semaphores.get_mut(id.slot as usize).filter(|s| s.serial == id.serial) else {
            // Dropped, the completer says that there will be no permit.
            return completer.task();
        };
        let (task, ..) = completer.defuse();
        let tasks = &self.core.tasks;
        prune(&mut s.waiting, |id| tasks.waits(*id));
        s.waiting.push_back(task);
        task
    }

    /// Gives a permit back on the reactor's own thread, without a lock. Dropping it does the same, with one.
    pub fn release(&mut self, mut permit: Permit) {
        let own = permit.handle.as_ref().is_some_and(|handle| handle.is_same(&self.core.handle));
        if own {
            permit.handle = None;
            self.core.release(permit.semaphore);
        }
        // Another reactor's finds its way by itself.
    }

    /// Permits that are free.
    pub fn permits(&mut self, id: SemaphoreId) -> usize {
        self.core.semaphore(id).map_or(0, |s| s.free)
    }

    /// Removes a semaphore; whether it still was. Who waits hears [`TaskError::Cancelled`]; permits that are out go
    /// nowhere when they are given back.
    pub fn remove_semaphore(&mut self, id: SemaphoreId) -> bool {
        if self.core.semaphore(id).is_none() {
            return false;
        }
        let removed = self.core.semaphores.remove(id.slot as usize);
        for task in removed.waiting {
            self.core.settle(task, 0, Err(TaskError::Cancelled));
        }
        true
    }
}
