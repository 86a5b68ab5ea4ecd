//! The simulated thread pool: jobs run on simulated time, as part of the kernel's agenda.
//!
//! It owns the pools of all processes and their virtual threads. A thread needs a random time to wake up for a job, and
//! a job takes up to [`Faults::work_ns_max`](super::Faults::work_ns_max). Its code runs in one piece at its end, when
//! the kernel is borrowed: it must not ask the world anything, and cannot, since nothing of the world is `Send`. It can
//! post through a `Handle`, whose waker sets a flag only.
//!
//! As with the real pool jobs begin in their order, a thread that is free takes the next one, and a job withdrawn after
//! its beginning still runs. Virtual threads end as soon as they find no job: a pool without work leaves nothing on
//! the agenda, so that a world in which nothing can happen is seen to be one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::kernel::{Action, Kernel, ProcessId};
use crate::reactor::limits::WorkersConfig;
use crate::reactor::service::contain;
use crate::reactor::time::Time;
use crate::reactor::workers::{Job, JobId, Workers};

/// As many on every machine, for the sake of the seeds.
const THREADS_DEFAULT: usize = 4;

/// A pool as the kernel holds it.
pub(super) struct Pool {
    process: ProcessId,
    threads_max: usize,
    queue_max: usize,
    next: u64,
    queue: BTreeMap<u64, Job>,
    /// With the moment of their beginning.
    running: BTreeMap<u64, (Job, Time)>,
    /// Threads that run a job or are about to look for one.
    alive: usize,
    done: u64,
    closed: bool,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("process", &self.process)
            .field("queued", &self.queue.len())
            .field("running", &self.running.len())
            .field("alive", &self.alive)
            .field("done", &self.done)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// What a process's pools do, all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Jobs {
    pub(super) queued: usize,
    pub(super) running: usize,
    pub(super) done: u64,
}

impl Kernel {
    pub(super) fn jobs(&self, process: ProcessId) -> Jobs {
        let pools = self.pools.iter().filter(|pool| pool.process == process);
        pools.fold(Jobs::default(), |sum, pool| Jobs {
            queued: sum.queued + pool.queue.len(),
            running: sum.running + pool.running.len(),
            done: sum.done + pool.done,
        })
    }

    /// A call of the pool takes its time as any other, so that a thread can begin a job before the loop has said
    /// another word. In a world whose calls take none nothing happens within them.
    fn spend_call(&mut self) {
        let ns = self.rng.below(self.faults.call_ns_max + 1);
        if ns > 0 {
            self.advance(Duration::from_nanos(ns));
        }
    }

    fn submit(&mut self, nth: usize, job: Job) -> Result<JobId, Job> {
        self.spend_call();
        let pool = &self.pools[nth];
        let full = pool.closed || pool.threads_max == 0 || pool.queue.len() >= pool.queue_max;
        if full || self.rng.chance(self.faults.work_refuse) {
            self.say(|| format!("pool {nth} refuses a job"));
            return Err(job);
        }
        let pool = &mut self.pools[nth];
        let id = pool.next;
        pool.next += 1;
        pool.queue.insert(id, job);
        let free = pool.alive - pool.running.len();
        if pool.queue.len() > free && pool.alive < pool.threads_max {
            pool.alive += 1;
            self.wake_worker(nth);
        }
        Ok(JobId(id))
    }

    /// A thread will look for a job, after the time that it takes to get a processor.
    fn wake_worker(&mut self, nth: usize) {
        let at = self.now + self.delay();
        self.schedule(at, Action::Work(nth));
    }

    /// A virtual thread looks for a job.
    pub(super) fn work(&mut self, nth: usize) {
        let now = self.now;
        let Some((id, job)) = self.pools[nth].queue.pop_first() else { return self.end_worker(nth) };
        self.pools[nth].running.insert(id, (job, now));
        if self.rng.chance(self.faults.work_stuck) {
            self.say(|| format!("pool {nth} begins job {id}, which never ends"));
            return;
        }
        let ns = self.rng.below(self.faults.work_ns_max.saturating_add(1));
        self.say(|| format!("pool {nth} begins job {id}, of {ns} ns"));
        self.schedule(now + Duration::from_nanos(ns), Action::WorkDone(nth, id));
    }

    /// A job's time is over: all of it happens now.
    pub(super) fn work_done(&mut self, nth: usize, id: u64) {
        let end = self.now;
        if let Some((job, start)) = self.pools[nth].running.remove(&id) {
            self.say(|| format!("pool {nth} ends job {id}"));
            run(job, start, end);
            self.pools[nth].done += 1;
        }
        if self.pools[nth].queue.is_empty() {
            self.end_worker(nth);
        } else {
            self.wake_worker(nth);
        }
    }

    fn end_worker(&mut self, nth: usize) {
        let pool = &mut self.pools[nth];
        pool.alive -= 1;
        if pool.closed && pool.alive == 0 {
            let process = pool.process;
            self.processes[process.0].woken.store(true, Ordering::Release);
        }
    }
}

/// Runs a job that began at `start` and ends at `end`: its first look at the clock is what tells it of its beginning.
fn run(job: Job, start: Time, end: Time) {
    let looked = Cell::new(false);
    let clock = || if looked.replace(true) { end } else { start };
    if contain(move || job(&clock)).is_none() {
        log::error!("task.panicked: an offloaded job panicked on its thread");
    }
}

/// A pool as the reactor holds it.
pub(super) struct SimWorkers {
    kernel: Rc<RefCell<Kernel>>,
    nth: usize,
}

impl SimWorkers {
    pub(super) fn new(kernel: &Rc<RefCell<Kernel>>, process: ProcessId, config: &WorkersConfig) -> Self {
        let pools = &mut kernel.borrow_mut().pools;
        pools.push(Pool {
            process,
            threads_max: config.threads_max.unwrap_or(THREADS_DEFAULT),
            queue_max: config.queue_max,
            next: 0,
            queue: BTreeMap::new(),
            running: BTreeMap::new(),
            alive: 0,
            done: 0,
            closed: false,
        });
        Self { kernel: Rc::clone(kernel), nth: pools.len() - 1 }
    }

    fn look<T>(&self, f: impl FnOnce(&Pool) -> T) -> T {
        f(&self.kernel.borrow().pools[self.nth])
    }

    fn change<T>(&self, f: impl FnOnce(&mut Pool) -> T) -> T {
        f(&mut self.kernel.borrow_mut().pools[self.nth])
    }
}

impl Pool {
    fn close(&mut self) -> BTreeMap<u64, Job> {
        self.closed = true;
        std::mem::take(&mut self.queue)
    }
}

impl Workers for SimWorkers {
    fn submit(&mut self, job: Job) -> Result<JobId, Job> {
        self.kernel.borrow_mut().submit(self.nth, job)
    }

    fn withdraw(&mut self, id: JobId) -> Option<Job> {
        self.kernel.borrow_mut().spend_call();
        self.change(|pool| pool.queue.remove(&id.0))
    }

    fn queued(&self) -> usize {
        self.look(|pool| pool.queue.len())
    }

    fn running(&self) -> usize {
        self.look(|pool| pool.running.len())
    }

    fn threads(&self) -> usize {
        self.look(|pool| pool.alive)
    }

    fn shut_down(&mut self) -> Vec<Job> {
        self.change(Pool::close).into_values().collect()
    }

    fn reopen(&mut self) {
        self.change(|pool| pool.closed = false);
    }

    fn is_over(&self) -> bool {
        self.look(|pool| pool.alive == 0)
    }
}

impl Drop for SimWorkers {
    fn drop(&mut self) {
        // While a panic unwinds the kernel may be borrowed; then nobody runs its jobs any more.
        let queued = self.kernel.try_borrow_mut().map(|mut kernel| kernel.pools[self.nth].close());
        for job in queued.into_iter().flat_map(BTreeMap::into_values) {
            let _ = contain(move || drop(job));
        }
    }
}
