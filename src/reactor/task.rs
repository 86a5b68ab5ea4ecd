//! Tasks: work that is scheduled and processed on the loop. What they are, how they end, and their records.
//!
//! A task is a closure on a handler and its [`Table`](super::Table), with an id. It is *posted* (next turn, first in,
//! first out), *filed* for a time (once, or again and again), runs in *slices*, or *waits* for results: of a thread
//! ([`Table::offload`](super::Table::offload)), of whoever holds a [`Completer`], of a semaphore or a queue. Whatever
//! it waits for, it can be cancelled by its id or with its group, and it runs at most once for each time that it is
//! due.
//!
//! The tasks live in the core beside the connections (`store`); the verbs are [`Table`](super::Table)'s (`verbs`, …);
//! `run` runs them. Nothing here starts a thread or takes a lock: what comes from other threads comes through
//! [`Handle`](super::Handle).

use std::error;
use std::fmt;

use super::class::Class;
use super::close;
use super::id::TaskId;
use super::time::Time;

#[cfg(any(test, feature = "testing"))]
mod check;
mod discard;
pub(crate) mod group;
pub(crate) mod queue;
pub(crate) mod result;
pub(crate) mod run;
pub(crate) mod semaphore;
pub(crate) mod store;
mod verbs;

pub use queue::{QueueId, SendError, Sender};
pub use result::Completer;
pub use semaphore::{Permit, SemaphoreId};

/// Why a task has no result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked.
    Panicked,
    /// Its result did not come within its time. A result that comes later is dropped.
    TimedOut,
    /// Nobody will give the result: who should has dropped its [`Completer`], its semaphore or queue was removed, or
    /// the reactor has stopped.
    Cancelled,
    /// A bounded queue is full; nothing was begun.
    Full,
}

impl TaskError {
    /// The class of failure: cause and remedy in words.
    pub const fn class(self) -> &'static Class {
        match self {
            Self::Panicked => &close::TASK_PANICKED,
            Self::TimedOut => &close::TASK_TIMED_OUT,
            Self::Cancelled => &close::TASK_CANCELLED,
            Self::Full => &close::TASK_QUEUE_FULL,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class();
        write!(f, "{}: {} {}", class.name, class.cause, class.remedy)
    }
}

impl error::Error for TaskError {}

/// What [`Table::every`](super::Table::every) does about ticks that the loop was too busy to make in time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Missed {
    /// Leaves them out: the next tick is the first that lies ahead, on the same beat.
    #[default]
    Skip,
    /// Makes up for each of them, one a turn, until the beat is caught up with.
    Burst,
}

/// What a slice of [`Table::cooperate`](super::Table::cooperate) answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// There is more to do.
    More,
    /// The work is done.
    Done,
}

/// Where the time of a task went: record T and P, in nanoseconds. `delay + processing` is exactly the time from
/// `due` to `ended`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TaskRecord {
    /// The task.
    pub id: TaskId,
    /// What it is: the type name of its closure, which says where it was written.
    pub name: &'static str,
    /// When it was due, or queued.
    pub due: Time,
    /// T: from then until it was started, in nanoseconds. For work in slices, all the waiting between them too.
    pub delay: u64,
    /// P: how long it ran, in nanoseconds; for work in slices the sum of them.
    pub processing: u64,
    /// When it ended.
    pub ended: Time,
}

impl TaskRecord {
    /// T + P, in nanoseconds.
    pub const fn total(&self) -> u64 {
        self.delay + self.processing
    }
}

impl fmt::Display for TaskRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, delay, processing, .. } = self;
        write!(f, "{id} {name} task_delay={delay} task_processing={processing}")
    }
}

/// What [`Handler::on_task_error`](super::Handler::on_task_error) is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TaskReport {
    /// `task.late`, `task.panicked` or `task.cancelled`.
    pub class: &'static Class,
    /// The task, and where its time went until now.
    pub record: TaskRecord,
}

impl fmt::Display for TaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.record)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests;
