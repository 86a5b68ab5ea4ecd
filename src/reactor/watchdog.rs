//! The watchdog: a thread that looks at what the loop is calling, and says so while it blocks. Opt-in, and the only
//! part of the accounting that knows threads; it never touches the loop, and the loop never waits for it but at its
//! end.
//!
//! The loop publishes each callback as two words between two changes of a sequence number: odd while a callback runs,
//! even between callbacks. The thread looks twice per threshold; the same odd number for as long as the threshold is
//! a callback that blocks.
//!
//! An idle machine is left alone: after some looks at a loop that made no turn the thread parks, and the first
//! callback of a later turn unparks it. Both sides store, then fence, then load what the other stored, so that one of
//! them sees the other.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::id::{ConnId, TaskId};
use super::slow::{Callback, Ran};
use super::sys::{self, Sys};
use super::{Error, Reactor};

/// Looks at a loop that does nothing before the thread parks. Waking it again is a system call of the loop's, so that
/// it should not happen at every pause between two requests.
const QUIET_LOOKS: u32 = 8;

/// The shortest time between two looks.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// In `what`: a task. Callbacks have their numbers there.
const TASK: u64 = 0xff;

impl<S: Sys> Reactor<S> {
    /// Starts a thread that warns of a callback, task or timer which has been running for `threshold`, *while* it
    /// runs: with its name, and again whenever the time has doubled. [`Stats::blocked`](super::Stats::blocked) counts
    /// them. For finding what makes a loop hang; a callback that is merely slow is named without it, once it has
    /// returned ([`Config::slow_callback`](super::Config::slow_callback)).
    ///
    /// The warning comes when the callback has run for one to one and a half times `threshold`. Each callback costs
    /// some nanoseconds more; the thread wakes twice per `threshold` while the loop works and not at all while it is
    /// idle. It ends with the reactor, or when this is called again. It goes by the machine's clock, on a simulated
    /// kernel too.
    ///
    /// # Errors
    /// When `threshold` is zero, and when the system gives no thread.
    pub fn watch_for_blocking(&mut self, threshold: Duration) -> Result<(), Error> {
        let fail = |e| Error::new("start the watchdog", None, e);
        if threshold.is_zero() {
            return Err(fail(io::ErrorKind::InvalidInput.into()));
        }
        self.core.account.watch(threshold).map_err(fail)
    }
}

/// What the loop and the thread share.
#[derive(Debug, Default)]
struct Shared {
    /// Odd while a callback runs; every callback has its own.
    seq: AtomicU64,
    /// Callback number or [`TASK`], and above it the index of the handler's or task's name.
    what: AtomicU64,
    /// The connection or the task; all ones: neither.
    who: AtomicU64,
    /// Odd from the first callback of a turn to its end.
    turn: AtomicU64,
    /// The thread sleeps until it is woken.
    parked: AtomicBool,
    stop: AtomicBool,
    blocked: AtomicU64,
    /// Locked by the loop when a name is new, and by the thread when it warns.
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    services: Vec<&'static str>,
    tasks: Vec<&'static str>,
}

impl Shared {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs under the sequence number `seq`; `None` when it has ended meanwhile.
    fn current(&self, seq: u64) -> Option<Ran> {
        let (what, who) = (self.what.load(Ordering::Relaxed), self.who.load(Ordering::Relaxed));
        // The words were read before this number is: if it is still the same, they belong to it.
        fence(Ordering::Acquire);
        if self.seq.load(Ordering::Relaxed) != seq {
            return None;
        }
        let names = self.names();
        let name = |of: &[&'static str]| of.get((what >> 8) as usize).copied().unwrap_or("?");
        let number = what & 0xff;
        let (slot, serial) = (who as u32, (who >> 32) as u32);
        Some(match Callback::ALL.get(number as usize) {
            Some(&callback) => {
                let conn = (who != u64::MAX).then_some(ConnId { slot, serial });
                Ran::Callback { callback, handler: name(&names.services), conn }
            }
            None => Ran::Task { name: name(&names.tasks), id: TaskId { slot, serial } },
        })
    }
}

/// The loop's side. Dropping it ends the thread and waits for that.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// As in [`Shared`], whose only writer this is.
    seq: u64,
    turn: u64,
    /// As in [`Names`], to be searched without the lock.
    tasks: Vec<&'static str>,
    last_task: usize,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Watch {
    /// Starts the thread. `blocked`: where its count goes on.
    pub(super) fn start(threshold: Duration, blocked: u64, services: &[&'static str]) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            blocked: AtomicU64::new(blocked),
            names: Mutex::new(Names { services: services.to_vec(), tasks: Vec::new() }),
            ..Shared::default()
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("tidemill-watch".to_owned());
        let thread = thread.spawn(move || look_until_stopped(&theirs, threshold))?;
        Ok(Self { shared, thread: Some(thread), seq: 0, turn: 0, tasks: Vec::new(), last_task: 0 })
    }

    pub(super) fn add_service(&mut self, handler: &'static str) {
        self.shared.names().services.push(handler);
    }

    /// Occurrences so far.
    pub(super) fn blocked(&self) -> u64 {
        self.shared.blocked.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn callback_begins(&mut self, callback: Callback, service: u16, conn: Option<ConnId>) {
        self.publish(u64::from(service) << 8 | callback as u64, conn.map_or(u64::MAX, ConnId::as_u64));
    }

    pub(super) fn task_begins(&mut self, name: &'static str, id: TaskId) {
        let index = self.task_name(name);
        self.publish((index as u64) << 8 | TASK, id.as_u64());
    }

    /// The callback or task has returned.
    #[inline]
    pub(super) fn ends(&mut self) {
        self.seq = (self.seq | 1) + 1;
        self.shared.seq.store(self.seq, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn turn_ends(&mut self) {
        if self.turn % 2 == 1 {
            self.turn += 1;
            self.shared.turn.store(self.turn, Ordering::Relaxed);
        }
    }

    #[inline]
    fn publish(&mut self, what: u64, who: u64) {
        // The even number of the last end must be seen before the words change.
        fence(Ordering::Release);
        self.shared.what.store(what, Ordering::Relaxed);
        self.shared.who.store(who, Ordering::Relaxed);
        self.seq = (self.seq + 1) | 1;
        self.shared.seq.store(self.seq, Ordering::Release);
        if self.turn.is_multiple_of(2) {
            self.turn += 1;
            self.wake();
        }
    }

    /// The first callback of a turn: the thread must look again if it parked.
    fn wake(&mut self) {
        self.shared.turn.store(self.turn, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.shared.parked.load(Ordering::Relaxed)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }

    /// The index of a task's name, which is given one when it is new.
    fn task_name(&mut self, name: &'static str) -> usize {
        if self.tasks.get(self.last_task) != Some(&name) {
            self.last_task = self.tasks.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.tasks.push(name);
                self.shared.names().tasks.push(name);
                self.tasks.len() - 1
            });
        }
        self.last_task
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It can only have panicked in the program's own logger, which is not for us to pass on.
            let _ = thread.join();
        }
    }
}

/// The thread's work.
fn look_until_stopped(shared: &Shared, threshold: Duration) {
    let period = (threshold / 2).max(LOOK_MIN);
    let (mut since, mut seen, mut next_warning) = (sys::monotonic(), 0, threshold);
    let (mut last_turn, mut quiet) = (0, 0);
    while !shared.stop.load(Ordering::Acquire) {
        let seq = shared.seq.load(Ordering::Acquire);
        if seq != seen {
            (since, seen, next_warning) = (sys::monotonic(), seq, threshold);
        } else if seq % 2 == 1 {
            let for_now = sys::monotonic().duration_since(since);
            if for_now >= next_warning {
                warn(shared, seq, for_now, next_warning == threshold);
                // The looks come at irregular times; what is past is not said again.
                while next_warning <= for_now {
                    next_warning = next_warning.saturating_mul(2);
                }
            }
        }
        let turn = shared.turn.load(Ordering::Relaxed);
        quiet = if turn == last_turn && turn.is_multiple_of(2) { quiet + 1 } else { 0 };
        last_turn = turn;
        if quiet > QUIET_LOOKS {
            park(shared, turn);
            quiet = 0;
        } else {
            thread::park_timeout(period);
        }
    }
}

/// Sleeps until the loop works again. Returns early at will, as parking does.
fn park(shared: &Shared, turn: u64) {
    shared.parked.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if shared.turn.load(Ordering::Relaxed) == turn && !shared.stop.load(Ordering::Acquire) {
        thread::park();
    }
    shared.parked.store(false, Ordering::Relaxed);
}

fn warn(shared: &Shared, seq: u64, ran_for: Duration, first: bool) {
    let Some(ran) = shared.current(seq) else { return };
    if first {
        shared.blocked.fetch_add(1, Ordering::Relaxed);
    }
    log::warn!("loop.blocked: {ran}, has been running for {} ms and blocks the loop", ran_for.as_millis());
}
