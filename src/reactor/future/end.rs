//! The end of futures: dropping at once all that was cancelled, when a reactor has stopped or is dropped. It polls
//! nobody, and each drop is contained: where two panic in one unwinding, the process ends.

use std::mem;

use super::executor::do_chores;
use super::local::{self, Batch};
use super::state::{Body, Futures, Trash};
use crate::reactor::Reactor;
use crate::reactor::id::TaskId;
use crate::reactor::service::contain;
use crate::reactor::sys::Sys;
use crate::reactor::time::Time;

/// Rounds of 65,536 drops that may leave as much behind as there was. A drop that always makes another has no end.
const IDLE_ROUNDS_MAX: u32 = 2;

impl Trash {
    /// Drops it. That is somebody's code.
    pub(super) fn let_go(self) {
        let what = match self {
            Self::Future(_) => "a future",
            Self::Waker(_) => "a waker",
            Self::Value(_) => "a value that nobody awaited",
        };
        let done = contain(|| match self {
            Self::Future(future) => drop(future),
            Self::Waker(waker) => drop(waker),
            Self::Value(value) => drop(value),
        });
        if done.is_none() {
            log::error!("task.panicked: {what} panicked when it was dropped");
        }
    }
}

impl Futures {
    /// What is to be woken, dropped or done.
    fn chores(&self) -> usize {
        self.trash.len() + self.wakes.len() + self.ops.len()
    }

    /// All that there is: each drop makes it less, unless it makes something new.
    fn size(&self) -> usize {
        let Self { tasks, shots, sleepers, streams, acceptors, drain_waiters, .. } = self;
        let kept = [tasks.len(), shots.len(), sleepers.len(), streams.len(), acceptors.len()];
        self.chores() + drain_waiters.len() + kept.iter().sum::<usize>()
    }

    /// Drops whatever is left of the futures of a reactor that is no more.
    pub(crate) fn bury(&mut self) {
        let Self { tasks, shots, sleepers, streams, acceptors, drain_waiters, trash, wakes, ops, .. } =
            mem::replace(self, Self::new(Time::ZERO));
        let mut all = trash;
        all.extend(wakes.into_iter().map(Trash::Waker));
        for Body { future, waker } in tasks.into_iter().filter_map(|(_, spawn)| spawn.body) {
            all.extend([Trash::Future(future), Trash::Waker(waker)]);
        }
        for (_, shot) in shots {
            all.extend(shot.waker.map(Trash::Waker));
            all.extend(shot.value.and_then(Result::ok).map(Trash::Value));
        }
        let wakers = sleepers.into_iter().filter_map(|(_, sleeper)| sleeper.waker);
        let wakers = wakers.chain(acceptors.into_iter().filter_map(|(_, acceptor)| acceptor.waker));
        let wakers = wakers.chain(drain_waiters.into_iter().filter_map(|(_, waiter)| waiter.waker));
        let wakers =
            wakers.chain(streams.into_iter().flat_map(|(_, s)| s.reader.into_iter().chain(s.writer)));
        all.extend(wakers.map(Trash::Waker));
        // Nothing but our own.
        drop(ops);
        all.into_iter().for_each(Trash::let_go);
    }
}

impl<S: Sys> Reactor<S> {
    /// Drops every future, and whatever they leave behind: the reactor is about to be dropped.
    pub(crate) fn end_futures(&mut self) {
        // A future that is dropped can spawn others.
        for _ in 0..IDLE_ROUNDS_MAX {
            let ids: Vec<TaskId> = self.core.futures.tasks.iter().map(|(_, spawn)| spawn.id).collect();
            for id in ids {
                self.core.cancel_task(id);
            }
            self.drop_cancelled();
            if self.core.futures.tasks.is_empty() {
                break;
            }
        }
        local::leave(self.core.futures.tag);
    }

    /// Drops at once what was cancelled, without polling anybody, and what that leaves behind.
    pub(crate) fn drop_cancelled(&mut self) {
        let tag = self.core.futures.tag;
        let (mut fewest, mut idle) = (usize::MAX, 0);
        while idle < IDLE_ROUNDS_MAX {
            while let Some(orphan) = local::next_orphan(tag) {
                self.core.take_back(orphan);
            }
            if self.core.futures.chores() == 0 {
                return;
            }
            let spare = self.take_spare();
            let batch = Batch::begin(&mut self.core, spare);
            do_chores(tag);
            self.spare = batch.end();
            self.work_for_futures();
            let left = self.core.futures.size() + local::orphans(tag);
            idle = if left < fewest { 0 } else { idle + 1 };
            fewest = fewest.min(left);
        }
        log::warn!(
            "drops of cancelled futures make ever more to be dropped: the rest waits for the next turn"
        );
    }
}
