//! [`Account`]: what the loop spent its time on, counted all the time. It is told when turns and callbacks begin and
//! end, and reads no clock: the time is a parameter, and a closure where it is only sometimes needed.
//!
//! Tasks are stamped one by one. Connection callbacks are too many for that: each is noted in a ring, which costs a
//! store, and every 31st is a *sample*, stamped before and after. Everything between two stamps is a *stretch*; the
//! end of the turn closes the last one. A stretch over the bound is *slow*: what ran in it is named, and for the next
//! ten turns every callback is stamped singly, so that the culprit, if it does it again, is named with its own time.

use std::collections::VecDeque;
use std::time::Duration;

use super::histogram::Histogram;
use super::id::{ConnId, TaskId};
use super::slow::{Callback, Ran, Slow};
use super::time::Time;
use super::watchdog::Watch;

/// Every how many callbacks one is stamped: a prime, because connections that are served in the same order in each
/// turn would otherwise be sampled by a pattern, the same few for ever.
const SAMPLE_EVERY: u32 = 31;

/// Callbacks that are noted between two stamps; samples keep it from running over.
const RING: usize = 32;

/// Turns after a slow stretch in which every callback is stamped.
const SINGLE_TURNS: u32 = 10;

/// Slow records that are kept.
const SLOW_KEPT: usize = 16;

/// Time between two warnings, in nanoseconds.
const WARN_EVERY: u64 = 1_000_000_000;

/// What a reactor counted since it was made. Histograms with `_ns` are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that ended.
    pub closed: u64,
    /// Connections accepted and dropped because no descriptor was left.
    pub shed: u64,
    /// Times that a listener paused at the gate or for want of descriptors.
    pub pauses: u64,
    /// Connections refused at `connections_max` or `per_client_max`.
    pub limited: u64,
    /// Times that a connection spent its budget of a turn.
    pub exhausted: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Callbacks and stretches that took longer than [`Config::slow_callback`](super::Config).
    pub slow: u64,
    /// Callbacks that the watchdog saw blocking; see
    /// [`Reactor::watch_for_blocking`](super::Reactor::watch_for_blocking). As of the last turn's end.
    pub blocked: u64,
    /// From the return of the poll to the end of the turn.
    pub turn_ns: Histogram,
    /// How much later than asked a poll returned that ended by its timeout. Timeouts are whole milliseconds for the
    /// kernel, and mio rounds them up: up to 1 ms is normal.
    pub poll_delay_ns: Histogram,
    /// Connections that were queued when a turn began to run them.
    pub run_queue: Histogram,
    /// From the time of a timer to when it fired: a connection's deadlines and timers (whole milliseconds, rounded
    /// up: up to 1 ms is theirs), and tasks that were filed for a time.
    pub timer_lateness_ns: Histogram,
    /// From the time at which a task was due to its start; for work in slices, of each slice.
    pub task_delay_ns: Histogram,
    /// How long a task ran; for work in slices, each slice.
    pub task_processing_ns: Histogram,
    /// Work on threads: from its queueing to its start.
    pub offload_delay_ns: Histogram,
    /// Work on threads: how long it took.
    pub offload_processing_ns: Histogram,
    /// How long connection callbacks took: of every 31st, and of all in the ten turns after a slow stretch.
    pub callback_ns: Histogram,
}

/// A callback since the last stamp.
#[derive(Clone, Copy, Debug)]
struct Note {
    service: u16,
    callback: Callback,
    conn: Option<ConnId>,
}

/// A warning that was written, or would have been.
#[derive(Clone, Copy, Debug, Default)]
struct Warned {
    at: Option<Time>,
    unsaid: u64,
}

impl Warned {
    /// Whether a line may be written now, and how many were not since the last.
    fn may_speak(&mut self, now: Time) -> Option<u64> {
        if self.at.is_some_and(|at| now.since(at) < WARN_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// The accounting of one loop. A [`Reactor`](super::Reactor) has one and feeds it; `reactor.stats()` and
/// `reactor.slow()` read it. It is public for those who want the same of a loop of their own.
#[derive(Debug)]
pub struct Account {
    pub(crate) stats: Stats,
    ring: [Note; RING],
    noted: usize,
    /// Callbacks until the next sample; 1: the next is one.
    until_sample: u32,
    /// Turns, this one included, in which every callback is a sample.
    single_turns: u32,
    /// The last stamp, where the stretch began.
    last: Time,
    in_turn: bool,
    /// The bound, in nanoseconds.
    slow_ns: u64,
    recent: VecDeque<Slow>,
    /// The handlers' types, by service.
    services: Vec<&'static str>,
    task: Option<Ran>,
    /// Apart, so that the line about a stretch never hides the one that names the culprit.
    warned: [Warned; 2],
    watch: Option<Watch>,
}

impl Account {
    /// Nothing yet. `slow`: the bound over which a callback or a stretch is slow; `None`: none is.
    pub fn new(slow: Option<Duration>) -> Self {
        Self {
            stats: Stats::default(),
            ring: [Note { service: 0, callback: Callback::Accept, conn: None }; RING],
            noted: 0,
            until_sample: SAMPLE_EVERY,
            single_turns: 0,
            last: Time::ZERO,
            in_turn: false,
            slow_ns: slow.map_or(u64::MAX, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
            recent: VecDeque::new(),
            services: Vec::new(),
            task: None,
            warned: [Warned::default(); 2],
            watch: None,
        }
    }

    /// What was counted.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The last 16 slow records, the oldest first.
    pub fn slow(&self) -> impl DoubleEndedIterator<Item = &Slow> + ExactSizeIterator {
        self.recent.iter()
    }

    /// The next service has this handler.
    pub fn add_service(&mut self, handler: &'static str) {
        self.services.push(handler);
        if let Some(watch) = &mut self.watch {
            watch.add_service(handler);
        }
    }

    /// Starts the watchdog; a previous one ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn watch(&mut self, threshold: Duration) -> std::io::Result<()> {
        self.watch = None;
        self.watch = Some(Watch::start(threshold, self.stats.blocked, &self.services)?);
        Ok(())
    }

    /// A poll that began at `asked` and could last `wait` has returned at `now`, with that many events.
    pub fn poll_ends(&mut self, asked: Time, wait: Option<Duration>, events: usize, now: Time) {
        let Some(wait) = wait.filter(|d| events == 0 && !d.is_zero()) else { return };
        let due = asked + wait;
        // Interrupted polls end before.
        if now >= due {
            self.stats.poll_delay_ns.record(now.since(due));
        }
    }

    /// A turn begins, with that many connections to run.
    #[inline]
    pub fn turn_begins(&mut self, now: Time, queued: usize) {
        self.stats.turns += 1;
        self.stats.run_queue.record(queued as u64);
        self.noted = 0;
        self.last = now;
        self.in_turn = true;
    }

    /// The turn that began at `began` ends.
    #[inline]
    pub fn turn_ends(&mut self, began: Time, now: Time) {
        self.stats.turn_ns.record(now.since(began));
        self.stretch_ends(now);
        self.in_turn = false;
        if self.single_turns > 0 {
            self.single_turns -= 1;
            if self.single_turns == 0 {
                self.until_sample = SAMPLE_EVERY;
            }
        }
        if let Some(watch) = &mut self.watch {
            watch.turn_ends();
            self.stats.blocked = watch.blocked();
        }
    }

    /// A callback begins, of a connection or of none; the answer is for [`Account::end`]. The clock is read for samples only.
    #[inline]
    pub fn begin(
        &mut self,
        callback: Callback,
        service: u16,
        conn: Option<ConnId>,
        clock: impl FnOnce() -> Time,
    ) -> bool {
        self.until_sample -= 1;
        let sample = self.until_sample == 0;
        if sample {
            self.stretch_ends(clock());
            self.until_sample = if self.single_turns > 0 { 1 } else { SAMPLE_EVERY };
        }
        if let Some(place) = self.ring.get_mut(self.noted) {
            *place = Note { service, callback, conn };
            self.noted += 1;
        }
        if let Some(watch) = &mut self.watch {
            watch.callback_begins(callback, service, conn);
        }
        sample
    }

    /// The callback has returned. `sample`: what [`Account::begin`] answered.
    #[inline]
    pub fn end(&mut self, sample: bool, clock: impl FnOnce() -> Time) {
        if let Some(watch) = &mut self.watch {
            watch.ends();
        }
        if sample {
            self.sample_ends(clock());
        }
    }

    /// A task begins that could have run since `due`.
    pub fn task_begins(&mut self, name: &'static str, id: TaskId, due: Time, now: Time) {
        self.stretch_ends(now);
        self.stats.task_delay_ns.record(now.since(due));
        self.task = Some(Ran::Task { name, id });
        if let Some(watch) = &mut self.watch {
            watch.task_begins(name, id);
        }
    }

    /// The task that began last has returned.
    pub fn task_ends(&mut self, now: Time) {
        if let Some(watch) = &mut self.watch {
            watch.ends();
        }
        let ns = now.since(self.last);
        self.stats.task_processing_ns.record(ns);
        let task = self.task.take();
        self.stamp(now);
        if ns > self.slow_ns {
            self.note_slow(Slow { at: now, ns, single: true, ran: task.into_iter().collect() });
        }
    }

    /// Work that a thread has done is back.
    pub fn worked(&mut self, delay: u64, processing: u64) {
        self.stats.offload_delay_ns.record(delay);
        self.stats.offload_processing_ns.record(processing);
    }

    /// A timer fired that many nanoseconds late.
    #[inline]
    pub fn timer_fired(&mut self, late: u64) {
        self.stats.timer_lateness_ns.record(late);
    }

    /// A new stretch begins.
    fn stamp(&mut self, now: Time) {
        self.last = now;
        self.noted = 0;
    }

    fn stretch_ends(&mut self, now: Time) {
        let ns = now.since(self.last);
        // Outside of turns only samples mean anything: before them lies time that is not the reactor's.
        if ns > self.slow_ns && self.in_turn {
            self.note_slow(Slow { at: now, ns, single: false, ran: self.ran() });
        }
        self.stamp(now);
    }

    fn sample_ends(&mut self, now: Time) {
        let ns = now.since(self.last);
        self.stats.callback_ns.record(ns);
        if ns > self.slow_ns {
            self.note_slow(Slow { at: now, ns, single: true, ran: self.ran() });
        }
        self.stamp(now);
    }

    /// The callbacks since the last stamp.
    fn ran(&self) -> Vec<Ran> {
        let notes = self.ring.iter().take(self.noted);
        let handler = |service: u16| self.services.get(usize::from(service)).copied().unwrap_or("?");
        let name =
            |n: &Note| Ran::Callback { callback: n.callback, handler: handler(n.service), conn: n.conn };
        notes.map(name).collect()
    }

    #[cold]
    fn note_slow(&mut self, slow: Slow) {
        self.stats.slow += 1;
        // This turn's rest, and ten more.
        self.single_turns = SINGLE_TURNS + u32::from(self.in_turn);
        self.until_sample = 1;
        if let Some(unsaid) = self.warned[usize::from(slow.single)].may_speak(slow.at) {
            match unsaid {
                0 => log::warn!("loop.slow: {slow}"),
                _ => log::warn!("loop.slow: {slow} (and {unsaid} more since the last such line)"),
            }
        }
        if self.recent.len() == SLOW_KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(slow);
    }
}

#[cfg(test)]
mod tests;
