//! Dropping what tasks have captured. It is the handler's, so its drop may panic; that costs this task alone, and its
//! handler is told. Nothing here decides whether a task is to be dropped.

use super::store::Work;
use crate::reactor::core::Core;
use crate::reactor::id::TaskId;
use crate::reactor::service::contain;
use crate::reactor::time::Time;

/// A task that panicked in the drop of what it had captured.
#[derive(Clone, Copy)]
pub(crate) struct Broken {
    pub(super) id: TaskId,
    pub(super) service: u16,
    pub(super) name: &'static str,
    pub(super) due: Time,
}

impl Core {
    /// Drops the work of a task. The handler may be borrowed at this moment: it is told in the next turn of tasks.
    pub(super) fn discard(&mut self, of: Broken, work: Work) {
        if contain(|| drop(work)).is_none() {
            self.tasks.broken.push(of);
        }
    }

    /// Drops every task, and tells nobody.
    pub(crate) fn discard_tasks(&mut self) {
        let tasks: Vec<_> = self.tasks.ids().collect();
        for id in tasks {
            self.cancel_task(id);
        }
    }

    /// Drops all that waits for a loop that is no more, each by itself: where two drops panic in one unwinding, the
    /// process ends.
    pub(crate) fn discard_all(&mut self) {
        self.discard_tasks();
        for entry in std::mem::take(&mut self.remote) {
            if contain(|| drop(entry)).is_none() {
                log::error!("task.panicked: what another thread had sent panicked in its drop");
            }
        }
        for queue in self.queues.drain() {
            queue.discard();
        }
        for broken in self.tasks.broken.drain(..) {
            log::error!("task.panicked: {} {} panicked in its drop", broken.id, broken.name);
        }
    }
}
