//! [`DrainReport`]: who finished, who was cut and why, and how long each stage took.

use std::fmt;
use std::time::Duration;

#[allow(unused_imports, reason = "for the links of the documentation")]
use crate::reactor::Stage;
use crate::reactor::close::{self, Report};
use crate::reactor::time::Time;

/// How many of those that did not finish a [`DrainReport`] names.
const NAMED_MAX: usize = 64;

/// How a drain went, as [`Reactor::last_drain`](super::Reactor::last_drain) tells. Times are nanoseconds;
/// `before + during + after` is exactly `ended - began`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrainReport {
    /// When the reactor was told to stop.
    pub began: Time,
    /// When nothing was left.
    pub ended: Time,
    /// The hooks of [`Stage::Before`] and what they held.
    pub before: u64,
    /// From the closing of the listeners until no connection and no work on threads was left.
    pub during: u64,
    /// The hooks of [`Stage::After`], what they held, and the end of the threads.
    pub after: u64,
    /// Connections that ended well meanwhile.
    pub finished: u64,
    /// Connections that did not, with the reason of each; the first 64.
    pub aborted: Vec<Report>,
    /// How many did not, named or not.
    pub aborted_total: u64,
    /// Tasks that the stop has cancelled before they ran, or ran again (an `every`): the names of the first 64.
    pub cancelled: Vec<&'static str>,
    /// How many were.
    pub cancelled_total: u64,
    /// Holds that were not let go within the grace.
    pub holds_left: usize,
    /// Threads whose work was not done within the grace. They go on to its end, and nobody hears of it.
    pub threads_left: usize,
    /// Posts of other threads that were not reached within the grace. They run if the reactor runs again.
    pub posts_left: usize,
}

impl DrainReport {
    pub(super) const fn new(began: Time) -> Self {
        Self {
            began,
            ended: began,
            before: 0,
            during: 0,
            after: 0,
            finished: 0,
            aborted: Vec::new(),
            aborted_total: 0,
            cancelled: Vec::new(),
            cancelled_total: 0,
            holds_left: 0,
            threads_left: 0,
            posts_left: 0,
        }
    }

    /// Whether everybody finished within the grace. Tasks that were cancelled do not count.
    pub const fn is_clean(&self) -> bool {
        self.aborted_total == 0 && self.holds_left == 0 && self.threads_left == 0 && self.posts_left == 0
    }

    pub(super) fn note(&mut self, report: &Report) {
        if report.reason.class.is_none_or(|class| class == &close::TCP_IDLE) {
            self.finished += 1;
            return;
        }
        self.aborted_total += 1;
        if self.aborted.len() < NAMED_MAX {
            self.aborted.push(report.clone());
        }
    }
}

impl DrainReport {
    /// A task was cancelled before it had run.
    pub(super) fn note_cancelled(&mut self, name: &'static str) {
        self.cancelled_total += 1;
        if self.cancelled.len() < NAMED_MAX {
            self.cancelled.push(name);
        }
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finished, aborted_total, cancelled_total, .. } = self;
        let took = Duration::from_nanos(self.ended.since(self.began));
        write!(f, "drained in {took:?}: {finished} finished, {aborted_total} aborted")?;
        let parts = [
            (*cancelled_total as usize, "task", "cancelled"),
            (self.holds_left, "hook", "held too long"),
            (self.threads_left, "thread", "still at work"),
            (self.posts_left, "post", "not reached"),
        ];
        for (n, what, how) in parts {
            match n {
                0 => {}
                1 => write!(f, ", 1 {what} {how}")?,
                _ => write!(f, ", {n} {what}s {how}")?,
            }
        }
        Ok(())
    }
}
