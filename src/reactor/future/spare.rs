//! What stands in the core's place while that is out: a core that nobody ever looks at, with nobody to work for it.

use crate::reactor::account::Account;
use crate::reactor::core::Core;
use crate::reactor::handle::Handle;
use crate::reactor::time::Time;
use crate::reactor::workers::{Job, JobId, Workers};

pub(super) fn core(handle: Handle) -> Box<Core> {
    Box::new(Core::new(Time::ZERO, 0, Account::new(None), handle, Box::new(Nobody)))
}

/// Takes no work.
struct Nobody;

impl Workers for Nobody {
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
