//! Threads for work that must not block the loop.

use super::time::Time;

/// A job.
pub type Job = Box<dyn FnOnce(&dyn Fn() -> Time) + Send>;

/// Names a job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct JobId(pub(crate) u64);

/// Workers.
pub trait Workers {
    /// Submits.
    fn submit(&mut self, job: Job) -> Result<JobId, Job>;
    /// Withdraws.
    fn withdraw(&mut self, id: JobId) -> Option<Job>;
    fn running(&self) -> usize;
    fn shut_down(&mut self) -> Vec<Job>;
    fn reopen(&mut self);
    fn is_over(&self) -> bool;
}

pub(crate) struct Nobody;
impl Workers for Nobody {
    fn submit(&mut self, job: Job) -> Result<JobId, Job> {
        Err(job)
    }
    fn withdraw(&mut self, _: JobId) -> Option<Job> {
        None
    }
    fn running(&self) -> usize {
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
