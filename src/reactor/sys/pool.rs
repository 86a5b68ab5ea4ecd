//! The real thread pool: the only threads and the only waiting lock of the reactor, behind [`Workers`].
//!
//! It owns a queue, the threads that empty it, and nothing else: it knows neither what a job does nor where its result
//! goes. One lock guards the queue; it is held for a few instructions and never while foreign code runs, jobs' drops
//! included.
//!
//! Threads inherit the signal mask of the thread that submits. Blocking all signals in them would need `unsafe`; a
//! program that wants its handlers to run on the loop's thread only blocks them before it submits its first job.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Waker, monotonic};
use crate::reactor::limits::WorkersConfig;
use crate::reactor::service::contain;
use crate::reactor::time::Time;
use crate::reactor::workers::{Job, JobId, Workers};

/// How much nicer than the loop a thread of the pool is: about a third of its share when both want the same core.
const NICE: i32 = 5;

/// The stack of a thread, in bytes: Rust's usual size, whatever the environment says.
const STACK: usize = 2 << 20;

/// How many threads a pool may have where its configuration leaves it to the machine: as many as run at once. A single
/// processor gets two, since a job mostly waits; no machine gets more than 16, since each costs a stack.
fn threads_default() -> usize {
    thread::available_parallelism().map_or(2, usize::from).clamp(2, 16)
}

/// Threads that run jobs for one reactor. Dropping it gives up the queued jobs and lets the threads end by themselves
/// after what they run: a drop never waits.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads_max: usize,
    queue_max: usize,
    next: u64,
    stack: usize,
    /// The last attempt to start a thread failed and has been logged.
    starved: bool,
    /// Each with the number in its name.
    handles: Mutex<Vec<(usize, JoinHandle<()>)>>,
}

/// What the threads see.
struct Shared {
    state: Mutex<State>,
    /// A job was queued, or the pool was shut down.
    work: Condvar,
    waker: Waker,
    began: Instant,
    idle: Duration,
}

/// The queue and the counts of threads. Wherever the lock is free, a queued job has a thread that will take it: threads
/// end only while the queue is empty, and `submit` takes its job back when it finds none alive.
#[derive(Default)]
struct State {
    queue: BTreeMap<u64, Job>,
    /// Threads that have not ended. Those about to start count, so `alive - running` is how many are free.
    alive: usize,
    running: usize,
    closed: bool,
}

impl Pool {
    /// A pool without threads. `began` is the zero of the clock that jobs read; `waker` wakes the reactor when a pool
    /// that was shut down is over.
    pub(super) fn new(config: &WorkersConfig, began: Instant, waker: Waker) -> Self {
        let shared =
            Shared { state: Mutex::default(), work: Condvar::new(), waker, began, idle: config.idle };
        Self {
            shared: Arc::new(shared),
            threads_max: config.threads_max.unwrap_or_else(threads_default),
            queue_max: config.queue_max,
            next: 0,
            stack: STACK,
            starved: false,
            handles: Mutex::default(),
        }
    }

    /// Starts a thread, which has already been counted.
    fn spawn(&mut self) -> io::Result<()> {
        let handles = self.handles.get_mut().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|(_, thread)| !thread.is_finished());
        let number = (1..).find(|n| handles.iter().all(|(taken, _)| taken != n)).unwrap_or_default();
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name(format!("tidemill-work-{number}"))
            .stack_size(self.stack)
            .spawn(move || {
                // Work that computes must not take the loop's time slice from it where cores are few. On Linux this is
                // of the thread alone; where it is refused, nothing is lost but that.
                let _ = rustix::process::nice(NICE);
                shared.work();
            })?;
        handles.push((number, thread));
        Ok(())
    }

    /// A thread could not be started. Gives `id` back when no other is there to run it.
    fn spawn_failed(&mut self, id: u64, why: &io::Error) -> Option<Job> {
        let mut state = self.shared.lock();
        state.alive -= 1;
        let (alive, job) = (state.alive, if state.alive == 0 { state.queue.remove(&id) } else { None });
        drop(state);
        if !std::mem::replace(&mut self.starved, true) {
            log::warn!("a thread for offloaded work cannot be started beside {alive} others: {why}");
        }
        job
    }
}

impl Workers for Pool {
    fn submit(&mut self, job: Job) -> Result<JobId, Job> {
        let id = self.next;
        let mut state = self.shared.lock();
        if state.closed || self.threads_max == 0 || state.queue.len() >= self.queue_max {
            drop(state);
            return Err(job);
        }
        state.queue.insert(id, job);
        let spawn = state.queue.len() > state.alive - state.running && state.alive < self.threads_max;
        state.alive += usize::from(spawn);
        drop(state);
        self.next += 1;
        if spawn {
            // The job is queued first, so that a new thread finds it however short its patience is; and the lock is
            // free meanwhile, because starting a thread takes longer than many a job.
            match self.spawn() {
                Ok(()) => self.starved = false,
                Err(why) => {
                    if let Some(job) = self.spawn_failed(id, &why) {
                        return Err(job);
                    }
                }
            }
        }
        self.shared.work.notify_one();
        Ok(JobId(id))
    }

    fn withdraw(&mut self, id: JobId) -> Option<Job> {
        self.shared.lock().queue.remove(&id.0)
    }

    fn queued(&self) -> usize {
        self.shared.lock().queue.len()
    }

    fn running(&self) -> usize {
        self.shared.lock().running
    }

    fn threads(&self) -> usize {
        self.shared.lock().alive
    }

    fn shut_down(&mut self) -> Vec<Job> {
        let mut state = self.shared.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.work.notify_all();
        queue.into_values().collect()
    }

    fn reopen(&mut self) {
        self.shared.lock().closed = false;
    }

    fn is_over(&self) -> bool {
        if self.shared.lock().alive > 0 {
            return false;
        }
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, thread) in handles.drain(..) {
            // The thread has nothing left to do but to return, and it cannot have panicked: jobs are contained.
            let _ = thread.join();
        }
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Dropping the handles detaches the threads. Even one that is finished is not joined here: what a job left in
        // the thread's variables is dropped after that, and may take its time.
        let queued = self.shut_down();
        for job in queued {
            // The job's captures are foreign: a panic of one must not keep the others, nor end the program when this
            // drop is part of an unwinding.
            let _ = contain(move || drop(job));
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queued, running, threads) = (self.queued(), self.running(), self.threads());
        f.debug_struct("Pool")
            .field("queued", &queued)
            .field("running", &running)
            .field("threads", &threads)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way, so the state of a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        Time::ZERO + monotonic().duration_since(self.began)
    }

    /// The life of a thread: jobs, until there is none for the idle time or the pool is shut down.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((_, job)) = state.queue.pop_first() {
                state.running += 1;
                drop(state);
                self.run(job);
                state = self.lock();
                state.running -= 1;
                continue;
            }
            if state.closed {
                break;
            }
            let nothing = |state: &mut State| state.queue.is_empty() && !state.closed;
            let waited = self.work.wait_timeout_while(state, self.idle, nothing);
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() {
                break;
            }
        }
        state.alive -= 1;
        let over = state.closed && state.alive == 0;
        drop(state);
        if over {
            self.waker.wake();
        }
    }

    /// Runs one job. The thread outlives whatever it does.
    fn run(&self, job: Job) {
        if contain(move || job(&|| self.now())).is_none() {
            // The logger is foreign code too.
            let _ = contain(|| log::error!("task.panicked: an offloaded job panicked on its thread"));
        }
    }
}

#[cfg(test)]
mod tests;
