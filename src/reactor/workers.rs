//! [`Workers`]: threads beside the loop for work that blocks, as the reactor sees them.
//!
//! It owns the contract and no thread: the real pool is in `sys/pool.rs`, the simulated one in `testing/work.rs`.
//! [`Sys::workers`](super::sys::Sys::workers) makes either. The reactor's thread alone calls what is here, nothing
//! here ever blocks it, and it never learns of a job's result from here: a job posts what it has to say.

use super::time::Time;

/// Work for a thread of the pool. The argument reads the reactor's clock, so that a job can stamp its own beginning
/// and end on the clock of all other stamps.
///
/// On a simulated kernel a job runs in one piece at the moment of its end: there the first reading of the clock is when
/// a thread began the job, and every later one is when it ended.
pub type Job = Box<dyn FnOnce(&dyn Fn() -> Time) + Send>;

/// Names a job that a pool has taken. No other job of the same pool ever has the same name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(pub(crate) u64);

/// A bounded pool of threads behind a bounded queue.
///
/// Jobs begin in the order in which they were submitted. Each that was taken either runs once or is given back once, by
/// [`Workers::withdraw`] or [`Workers::shut_down`]; the one exception is dropping the pool. No thread is started before
/// the first job, and never more than `threads_max` live at one time.
///
/// A job that panics takes nothing along: its thread goes on with the next one. A job that never returns keeps its
/// thread for good, also across [`Workers::shut_down`] and [`Workers::reopen`].
pub trait Workers {
    /// Queues a job.
    ///
    /// # Errors
    /// The job itself, untouched: the queue is full, the pool is shut down, or it has no thread and cannot have one.
    fn submit(&mut self, job: Job) -> Result<JobId, Job>;

    /// Takes back a job that no thread has begun: then none ever will. `None` when it runs, has run or was given back.
    fn withdraw(&mut self, id: JobId) -> Option<Job>;

    /// Jobs that no thread has begun.
    fn queued(&self) -> usize;

    /// Jobs that a thread has begun and not yet left. A job still counts for a moment after its last effect.
    fn running(&self) -> usize;

    /// Threads that have not ended, busy or not.
    fn threads(&self) -> usize;

    /// Takes no more jobs, gives back in their order those that no thread has begun, and lets every thread end after
    /// the job that it runs. Called again it does nothing and gives nothing.
    ///
    /// When the last thread has ended, the reactor's poll is woken: who finds [`Workers::is_over`] false can sleep
    /// until then.
    #[must_use = "the jobs given back will never run: whoever waits for them has to be told"]
    fn shut_down(&mut self) -> Vec<Job>;

    /// Takes jobs again after [`Workers::shut_down`], whether or not it is over: a stopped reactor can run again.
    /// Threads that have not ended stay and count towards `threads_max`.
    fn reopen(&mut self);

    /// Whether no thread is left. Those that there were are joined by this call, which therefore waits for what a job
    /// left behind in the thread's own variables (`thread_local!`) to be dropped.
    fn is_over(&self) -> bool;
}

/// No threads at all: every job is refused. For a kernel on which nothing is offloaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWorkers;

impl Workers for NoWorkers {
    fn submit(&mut self, job: Job) -> Result<JobId, Job> {
        Err(job)
    }

    fn withdraw(&mut self, _: JobId) -> Option<Job> {
        None
    }

    fn queued(&self) -> usize {
        0
    }

    fn running(&self) -> usize {
        0
    }

    fn threads(&self) -> usize {
        0
    }

    fn shut_down(&mut self) -> Vec<Job> {
        Vec::new()
    }

    fn reopen(&mut self) {}

    fn is_over(&self) -> bool {
        true
    }
}
