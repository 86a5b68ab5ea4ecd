//! What may go wrong in a simulated world, and how often.

use std::time::Duration;

use super::rng::Rng;

/// How often each fault happens, in cases of a thousand, and how far it goes.
///
/// [`Faults::none`] is a kernel in perfect weather. [`Faults::benign`] is everything that a correct reactor hides from
/// its handlers: no byte may be lost and no connection may end. [`Faults::hostile`] adds what ends connections.
/// [`Faults::swarm`] is a random selection, which finds more than all faults at once: some bugs need one fault
/// without another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// A read gives less than it could. On TCP the rest counts as not yet arrived and makes an edge when it does;
    /// on Unix sockets it stays, without an edge.
    pub read_short: u16,
    /// A write takes less than it could.
    pub write_short: u16,
    /// A read or accept says `WouldBlock` though it could go on; an edge follows.
    pub read_block: u16,
    /// A write says `WouldBlock` though it could go on; an edge follows.
    pub write_block: u16,
    /// A read, write or accept is interrupted.
    pub interrupt: u16,
    /// A poll is interrupted: it gives no events, and those that are due stay.
    pub poll_interrupt: u16,
    /// A poll gives an event that nothing has caused.
    pub event_spurious: u16,
    /// An event comes late.
    pub event_late: u16,
    /// An event comes a second time.
    pub event_twice: u16,
    /// The events of a poll come in another order.
    pub event_shuffle: u16,
    /// After a socket was closed an event for its token comes nevertheless.
    pub event_stale: u16,
    /// A poll gives only some of the events that are due.
    pub poll_partial: u16,
    /// Bytes that were written together arrive in pieces.
    pub split: u16,
    /// The longest usual time on the way; one in 64 takes ten times as long. Zero: everything arrives at once.
    pub delay_max: Duration,
    /// Each buffer has a random size up to this many bytes; 0: 64 KiB.
    pub buffer_max: usize,
    /// Each call takes up to this many nanoseconds.
    pub call_ns_max: u64,
    /// A connect over TCP succeeds within the call.
    pub connect_at_once: u16,
    /// A delivery finds the connection reset on both ends.
    pub reset: u16,
    /// An accept takes a connection from the queue and says ECONNABORTED.
    pub accept_abort: u16,
    /// An accept says EMFILE or ENFILE and leaves the connection in the queue.
    pub accept_exhaust: u16,
    /// A connect is refused though somebody listens.
    pub connect_refuse: u16,
    /// A connect is never answered: it times out after 127 s.
    pub connect_drop: u16,
    /// The clock jumps during a poll, as after a suspend.
    pub clock_jump: u16,
    /// How far it jumps at most.
    pub clock_jump_max: Duration,
    /// Each offloaded job takes up to this many nanoseconds.
    pub work_ns_max: u64,
    /// A job is refused though the queue has room.
    pub work_refuse: u16,
    /// An offloaded job never ends, and keeps its thread. Neither [`Faults::benign`] nor [`Faults::hostile`] does this:
    /// who waits for the job without a deadline waits for ever.
    pub work_stuck: u16,
    /// Bytes of a file are not in memory when they are to be sent; and as often again the kernel cannot tell.
    pub file_away: u16,
    /// A poll fails for good: its reactor cannot go on. Neither [`Faults::benign`] nor [`Faults::hostile`] does this.
    pub poll_break: u16,
}

impl Faults {
    /// No faults: everything happens at once, whole and in order.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            read_short: 0,
            write_short: 0,
            read_block: 0,
            write_block: 0,
            interrupt: 0,
            poll_interrupt: 0,
            event_spurious: 0,
            event_late: 0,
            event_twice: 0,
            event_shuffle: 0,
            event_stale: 0,
            poll_partial: 0,
            split: 0,
            delay_max: Duration::ZERO,
            buffer_max: 0,
            call_ns_max: 0,
            connect_at_once: 0,
            reset: 0,
            accept_abort: 0,
            accept_exhaust: 0,
            connect_refuse: 0,
            connect_drop: 0,
            clock_jump: 0,
            clock_jump_max: Duration::ZERO,
            work_ns_max: 0,
            work_refuse: 0,
            work_stuck: 0,
            file_away: 0,
            poll_break: 0,
        }
    }

    /// Everything that must not be noticed: each byte arrives in the end, and no connection fails.
    #[must_use]
    pub const fn benign() -> Self {
        Self {
            read_short: 200,
            write_short: 200,
            read_block: 50,
            write_block: 50,
            interrupt: 50,
            poll_interrupt: 50,
            event_spurious: 100,
            event_late: 100,
            event_twice: 50,
            event_shuffle: 300,
            event_stale: 200,
            poll_partial: 100,
            split: 300,
            delay_max: Duration::from_micros(500),
            buffer_max: 4096,
            call_ns_max: 2000,
            connect_at_once: 200,
            work_ns_max: 200_000,
            file_away: 150,
            ..Self::none()
        }
    }

    /// The benign faults, and those that end connections and move the clock.
    #[must_use]
    pub const fn hostile() -> Self {
        Self {
            reset: 5,
            accept_abort: 30,
            accept_exhaust: 30,
            connect_refuse: 30,
            connect_drop: 20,
            clock_jump: 2,
            clock_jump_max: Duration::from_secs(20),
            work_refuse: 30,
            ..Self::benign()
        }
    }

    /// The same with each kind of fault left out in half of the seeds, and with buffers from one byte up.
    #[must_use]
    pub fn swarm(mut self, seed: u64) -> Self {
        let mut rng = Rng::new(seed.rotate_left(32) ^ 0x5EED);
        let rates = [
            &mut self.read_short,
            &mut self.write_short,
            &mut self.read_block,
            &mut self.write_block,
            &mut self.interrupt,
            &mut self.poll_interrupt,
            &mut self.event_spurious,
            &mut self.event_late,
            &mut self.event_twice,
            &mut self.event_shuffle,
            &mut self.event_stale,
            &mut self.poll_partial,
            &mut self.split,
            &mut self.connect_at_once,
            &mut self.reset,
            &mut self.accept_abort,
            &mut self.accept_exhaust,
            &mut self.connect_refuse,
            &mut self.connect_drop,
            &mut self.clock_jump,
        ];
        for rate in rates {
            if rng.chance(500) {
                *rate = 0;
            }
        }
        if rng.chance(250) {
            self.delay_max = Duration::ZERO;
        }
        if self.buffer_max > 0 {
            self.buffer_max = rng.size(self.buffer_max);
        }
        if rng.chance(500) {
            self.work_refuse = 0;
        }
        if rng.chance(250) {
            self.work_ns_max = 0;
        }
        if rng.chance(500) {
            self.file_away = 0;
        }
        self
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}
