//! A connection's deadlines: which is next, and what is due when one passes. Times are wrapping milliseconds that the
//! caller gives; nothing here reads a clock.

use super::flag::*;
use super::{Effect, Link, Phase, Teardown, View};
use crate::reactor::close::{self, Deadline};
use crate::reactor::limits::Timeouts;
use crate::reactor::time::Time;

/// Why a timer closes a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expired {
    Connect,
    Idle,
    Linger,
    /// The disk has not given what is to be sent.
    File,
}

/// Whether the wrapping millisecond `at` has been reached.
pub(super) fn reached(at: u32, now: u32) -> bool {
    now.wrapping_sub(at) < 1 << 31
}

fn earlier(a: Option<u32>, b: Option<u32>, now: u32) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) if (b.wrapping_sub(now) as i32) < (a.wrapping_sub(now) as i32) => Some(b),
        (None, b) => b,
        (a, _) => a,
    }
}

impl Link {
    /// The earliest deadline of the connection, in wrapping milliseconds.
    pub(crate) fn deadline(&self, t: &Timeouts, now: u32) -> Option<u32> {
        let user = self.has(HAS_USER).then_some(self.user);
        let proto = self.has(HAS_PROTO).then_some(self.proto);
        match self.phase {
            Phase::Connect(_) => t.connect.map(|ms| self.since.wrapping_add(ms)),
            Phase::Transfer { .. } => {
                let stall = self.has(BLOCKED).then(|| self.stall_check(t, now)).flatten();
                let io = stall.or_else(|| self.file_at(t)).or_else(|| self.idle_at(t));
                earlier(earlier(io, user, now), proto, now)
            }
            Phase::Teardown(Teardown::Flush) => self.file_at(t).or_else(|| self.stall_check(t, now)),
            Phase::Teardown(Teardown::Linger) => earlier(Some(self.user), Some(self.proto), now),
            Phase::Teardown(Teardown::Done) => None,
        }
    }

    fn idle_at(&self, t: &Timeouts) -> Option<u32> {
        t.idle.filter(|_| !self.has(PAUSED | BUSY | AWAY)).map(|ms| self.since.wrapping_add(ms))
    }

    /// The file's bytes are being read in: it is not the peer that keeps us waiting, as far as we know.
    pub(super) fn wait_for_file(&mut self, now: Time) -> Effect {
        self.set(AWAY);
        self.clear(BLOCKED | BASELINE | PROBE_DUE | IDLE_PROBE);
        self.wait_anew(now);
        Effect::None
    }

    /// A disk is given as long as a peer.
    fn file_at(&self, t: &Timeouts) -> Option<u32> {
        t.stall.filter(|_| self.has(AWAY)).map(|ms| self.since.wrapping_add(ms))
    }

    /// The next quarter of the stall deadline.
    fn stall_check(&self, t: &Timeouts, now: u32) -> Option<u32> {
        let quarter = (t.stall? / 4).max(1);
        let passed = if reached(self.since, now) { now.wrapping_sub(self.since) / quarter } else { 0 };
        Some(self.since.wrapping_add((passed + 1).saturating_mul(quarter)))
    }

    /// A timer entry fired: sets what is due. `Some` when the connection is to be closed for it.
    pub(crate) fn expire(&mut self, t: &Timeouts, now: u32) -> Option<Expired> {
        match self.phase {
            Phase::Connect(_) => {
                return t
                    .connect
                    .filter(|ms| reached(self.since.wrapping_add(*ms), now))
                    .map(|_| Expired::Connect);
            }
            Phase::Teardown(Teardown::Linger) => {
                let over = reached(self.user, now) || reached(self.proto, now);
                return over.then_some(Expired::Linger);
            }
            Phase::Transfer { .. } | Phase::Teardown(_) => {}
        }
        if self.file_at(t).is_some_and(|at| reached(at, now)) {
            return Some(Expired::File);
        }
        if self.has(BLOCKED) {
            let quarter = t.stall.map_or(u32::MAX, |s| (s / 4).max(1));
            if reached(self.since.wrapping_add(quarter), now) {
                self.set(PROBE_DUE);
            }
        }
        if !self.is_live() {
            return None;
        }
        if self.has(HAS_USER) && reached(self.user, now) {
            self.clear(HAS_USER);
            self.set(TIMER_DUE);
        }
        if self.has(HAS_PROTO) && reached(self.proto, now) {
            self.clear(HAS_PROTO);
            self.set(DEADLINE_DUE);
        }
        let counts = !self.has(BLOCKED) || t.stall.is_none();
        let idle = counts && self.idle_at(t).is_some_and(|at| reached(at, now));
        if !idle || self.has(TIMER_DUE | DEADLINE_DUE) {
            return None;
        }
        if self.stamps.bytes_out == 0 {
            return Some(Expired::Idle);
        }
        // The kernel may still be sending the tail of an answer to a slow reader: it has to be asked.
        self.set(PROBE_DUE | IDLE_PROBE);
        None
    }

    pub(crate) fn set_user(&mut self, at: Option<u32>) {
        self.clear(HAS_USER | TIMER_DUE);
        self.set(REFILE);
        if let Some(at) = at.filter(|_| self.is_live()) {
            self.user = at;
            self.set(HAS_USER);
        }
    }

    pub(crate) fn set_proto(&mut self, at: Option<u32>) {
        self.clear(HAS_PROTO | DEADLINE_DUE);
        self.set(REFILE);
        if let Some(at) = at.filter(|_| self.is_live()) {
            self.proto = at;
            self.set(HAS_PROTO);
        }
    }

    /// The time that the peer is given begins again, unless it has been keeping bytes waiting all along.
    pub(crate) fn wait_anew(&mut self, now: Time) {
        if !self.has(BLOCKED) {
            self.since = now.ms_ceil();
        }
    }

    /// `unacknowledged` bytes are on their way; has the peer taken any since the last probe?
    pub(super) fn probed(&mut self, unacknowledged: usize, v: View, now: Time, t: &Timeouts) -> Effect {
        self.clear(PROBE_DUE);
        let idle = self.has(IDLE_PROBE);
        self.clear(IDLE_PROBE);
        let acked = (self.stamps.bytes_out as u32).wrapping_sub(unacknowledged as u32);
        let same = self.has(BASELINE) && acked == self.acked;
        // Between the entry's firing and this answer another connection's handler may have changed its mind.
        let idle = idle && self.idle_at(t).is_some_and(|at| reached(at, now.ms()));
        if idle && (unacknowledged == 0 || (same && t.stall.is_none())) {
            return Effect::Idle;
        }
        if v.tx == 0 && v.span.is_none() && unacknowledged == 0 {
            // The tail of an answer has arrived: from here on the connection is idle.
            self.clear(BLOCKED | BASELINE);
            self.wait_anew(now);
            return Effect::None;
        }
        // The first answer is where counting starts: what was acknowledged before it is not known.
        if !same {
            self.since = now.ms_ceil();
        }
        if t.stall.is_some() {
            self.set(BLOCKED);
        }
        self.set(BASELINE);
        self.acked = acked;
        match t.stall {
            Some(stall) if reached(self.since.wrapping_add(stall), now.ms()) => {
                Effect::Fail { class: &close::TCP_STALLED, errno: None, deadline: Some(Deadline::Stall) }
            }
            _ => Effect::None,
        }
    }
}
