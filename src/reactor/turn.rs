//! One turn of the loop, in its fixed order, and the steps of a drain. See the parent's text for the order.

use std::time::Duration;

use super::id::Token;
use super::link::flag::*;
use super::sys::Sys;
use super::time::Time;
use super::{Error, Reactor, Turn};

impl<S: Sys> Reactor<S> {
    /// One turn; waits for events at most `max_wait` (`None`: as long as it takes).
    ///
    /// # Errors
    /// When the poll fails: the reactor cannot go on.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> Result<Turn, Error> {
        if !self.is_busy() && max_wait != Some(Duration::ZERO) {
            // Time has passed outside of the reactor: what is left until a deadline counts from now.
            self.refresh_clock();
        }
        self.next_turn(max_wait)
    }

    /// A turn right after another, whose last stamp is the time until which this one knows of its deadlines; so a loop
    /// reads the clock twice a turn, after the poll and at the end.
    pub(super) fn next_turn(&mut self, max_wait: Option<Duration>) -> Result<Turn, Error> {
        let wait = self.wait(max_wait);
        let asked = self.core.now;
        let events = self.poll(wait)?;
        let began = self.core.turn_began;
        self.core.account.poll_ends(asked, wait, events, began);
        self.core.account.turn_begins(began, self.core.queue.len());
        let stop = self.handle.collect(&mut self.core.remote);
        self.core.posts_due = self.core.tasks.posts_len();
        let mut turn = Turn { events, ..Turn::default() };
        self.run_queue();
        turn.accepted = self.accept_all(self.config.turn_accepts_max);
        self.run_watches();
        self.run_tasks();
        #[cfg(feature = "async")]
        self.run_futures();
        if let Some(grace) = stop {
            self.stop(grace);
        }
        self.run_deadlines();
        self.run_queue();
        turn.closed = self.reap_all();
        self.reap_watches();
        for at in 0..self.core.spent.len() {
            let slot = self.core.spent[at];
            // It may have been ended by another since.
            if self.core.links.get(slot as usize).is_some_and(|l| l.has(QUEUED)) {
                self.core.queue.push_back(slot);
            }
        }
        self.core.spent.clear();
        turn.stopped = self.go_on_draining();
        self.refresh_clock();
        self.core.account.turn_ends(began, self.core.now);
        Ok(turn)
    }

    /// Whether work waits that needs no event.
    fn is_busy(&self) -> bool {
        !self.core.queue.is_empty()
            || self.tasks_wait()
            || self.futures_wait()
            || !self.core.reaping.is_empty()
            || self.core.watches.is_busy()
            || self.accepts_wait()
            || self.handle.is_pending()
    }

    pub(super) fn wait(&self, max_wait: Option<Duration>) -> Option<Duration> {
        if self.is_busy() {
            return Some(Duration::ZERO);
        }
        let now = self.core.now;
        let until = |at: u32| {
            let ahead = (at.wrapping_sub(now.ms()) as i32).max(0) as u64 * 1_000_000;
            Duration::from_nanos(ahead.saturating_sub(now.as_nanos() % 1_000_000))
        };
        let timer = self.core.wheel.next().map(until);
        let task = self.core.next_task_time().map(until);
        [max_wait, timer, task, self.resume_wait(), self.drain_wait()].into_iter().flatten().min()
    }

    fn poll(&mut self, wait: Option<Duration>) -> Result<usize, Error> {
        let (core, listeners) = (&mut self.core, &mut self.listeners);
        let mut events = 0;
        let before = core.now;
        self.sys
            .poll(wait, &mut |token, ready| {
                events += 1;
                match token {
                    Token::Conn(id) => {
                        if let Some(slot) = core.slot(id) {
                            core.link(slot).mark(ready);
                            core.enqueue(slot);
                        }
                    }
                    Token::Listener(id) => {
                        let known = listeners.get_mut(id.slot as usize).filter(|l| l.serial == id.serial);
                        if let Some(l) = known {
                            l.ready = true;
                            l.event = true;
                        }
                    }
                    Token::Watch(id) => core.watches.mark(id),
                    Token::Wake => {}
                }
            })
            .map_err(|e| Error::new("poll", None, e))?;
        self.core.now = self.sys.now().max(before);
        let now = self.core.now;
        self.core.turn_began = now;
        if now.as_nanos() / 1_000_000_000 != before.as_nanos() / 1_000_000_000 {
            // Once a second, in case the wall clock was set.
            self.unix_at_zero = self.sys.unix_time().saturating_sub(now - Time::ZERO);
        }
        self.core.unix = (self.unix_at_zero + (now - Time::ZERO)).as_secs();
        self.core.turn += 1;
        for (_, l) in &mut self.listeners {
            if std::mem::take(&mut l.event) {
                l.ready_since.get_or_insert(now);
            }
        }
        Ok(events)
    }

    /// Drives the connections that are queued at entry.
    fn run_queue(&mut self) {
        for _ in 0..self.core.queue.len() {
            let Some(slot) = self.core.queue.pop_front() else { break };
            self.drive(slot);
        }
    }

    fn run_deadlines(&mut self) {
        let mut due = std::mem::take(&mut self.scratch);
        self.core.wheel.expire(self.core.now.ms(), &mut due);
        for slot in due.drain(..) {
            self.core.expired(slot);
        }
        self.scratch = due;
    }

    pub(super) fn reap_all(&mut self) -> usize {
        let mut ended = 0;
        // Closing one connection can end another; those too, but only so many that a turn ends.
        let most = self.core.reaping.len().max(64) * 4;
        while ended < self.core.reaping.len().min(most) {
            let slot = self.core.reaping[ended];
            self.reap(slot);
            ended += 1;
        }
        self.core.reaping.drain(..ended);
        if ended > 0 {
            self.resume_listeners();
        }
        ended
    }
}
