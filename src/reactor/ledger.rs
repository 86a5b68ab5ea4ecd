//! The phase ledger: consecutive stamps of one clock, so that the parts of a connection sum exactly to its total.
//!
//! The sum is `total = T + D + idle + F`. A part that begins and ends within one turn is an observed 0; a phase that
//! never happened is `None` and counts as absent.

use std::fmt;

use super::time::Time;

/// The stamps of a connection until it is to be closed; idle connections carry these, so they are few.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    /// Listener ready, or connect issued.
    pub(crate) began: Time,
    /// Accepted, or connect in progress.
    pub(crate) second: Time,
    /// Registered, or writable.
    pub(crate) third: Time,
    /// `on_open` was due; `None` is stored as [`Time::ZERO`] since nothing opens at 0.
    pub(crate) opened: Time,
    /// The last turn in which bytes moved, or `opened`.
    pub(crate) last: Time,
    /// Longest interval that ended with a move, in ns.
    pub(crate) longest: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Turns in which bytes moved.
    pub(crate) turns: u32,
}

impl Stamps {
    pub(crate) fn begin(at: Time) -> Self {
        Self {
            began: at,
            second: at,
            third: at,
            opened: Time::ZERO,
            last: at,
            longest: 0,
            bytes_in: 0,
            bytes_out: 0,
            turns: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened != Time::ZERO
    }

    pub(crate) fn open(&mut self, at: Time) {
        let at = at.max(self.third).max(Time::from_nanos(1));
        self.opened = at;
        self.last = at;
    }

    /// Bytes moved in the turn that is stamped `now`.
    pub(crate) fn moved(&mut self, now: Time) {
        if now > self.last || self.turns == 0 {
            self.turns += 1;
            self.longest = self.longest.max(now.since(self.last));
            self.last = self.last.max(now);
        }
    }
}

/// The stamps of a teardown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    pub(crate) wanted: Time,
    /// Transmit buffer empty.
    pub(crate) flushed: Option<Time>,
    /// FIN sent: what follows is lingering.
    pub(crate) lingering: bool,
}

/// T: how a connection came to be. Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectParts {
    /// The peer connected to a listener.
    Inbound {
        /// Listener ready → accepted.
        accept: u64,
        /// Accepted → registered.
        register: Option<u64>,
        /// Registered → open.
        open: Option<u64>,
    },
    /// We connected.
    Outbound {
        /// Connect issued → in progress.
        connect_syscall: u64,
        /// In progress → writable.
        handshake: Option<u64>,
        /// Writable → open.
        open: Option<u64>,
    },
}

impl ConnectParts {
    /// The parts' sum.
    pub fn total(&self) -> u64 {
        match *self {
            Self::Inbound { accept: a, register: b, open: c }
            | Self::Outbound { connect_syscall: a, handshake: b, open: c } => {
                a + b.unwrap_or(0) + c.unwrap_or(0)
            }
        }
    }
}

/// D: the turns in which bytes moved. Nanoseconds and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferParts {
    /// Turns in which bytes moved.
    pub count: u32,
    /// From open to the last turn in which bytes moved.
    pub sum: u64,
    /// The longest interval between two such turns (or open and the first).
    pub max: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes handed to the kernel.
    pub bytes_out: u64,
    /// From the last byte to the wish to close.
    pub idle: u64,
}

/// F: how a connection ended. Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TeardownParts {
    /// Close wanted → transmit buffer empty (or given up).
    pub flush: u64,
    /// FIN sent → the peer's FIN, its reset or our deadline.
    pub linger: Option<u64>,
    /// Deregistered and closed.
    pub close: u64,
}

impl TeardownParts {
    /// The parts' sum.
    pub fn total(&self) -> u64 {
        self.flush + self.linger.unwrap_or(0) + self.close
    }
}

/// The whole record of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// When it began, on the reactor's clock.
    pub began: Time,
    /// T.
    pub connect: ConnectParts,
    /// D; `None` when the connection never opened.
    pub transfer: Option<TransferParts>,
    /// F.
    pub teardown: TeardownParts,
    /// From the beginning to the close, measured by itself.
    pub total: u64,
}

impl Ledger {
    /// The record from its stamps; `before` and `after` enclose the close.
    pub(crate) fn new(s: &Stamps, c: &Closing, outbound: bool, before: Time, after: Time) -> Self {
        // Each stamp is at least the one before it, whatever turn's stamp it was taken from.
        let second = s.second.max(s.began);
        let third = s.third.max(second);
        let opened = s.opened.max(third);
        let last = if s.is_open() { s.last.max(opened) } else { third };
        let wanted = c.wanted.max(last);
        let flushed = c.flushed.unwrap_or(before).clamp(wanted, before.max(wanted));
        let closing = if c.lingering { before.max(flushed) } else { flushed };
        let after = after.max(closing);
        // A connection that never opened has no D: the time until the close was wanted belongs to the step it was in.
        let reached = |at: Time| (at > s.began).then_some(at);
        let (a, b, o) = if s.is_open() {
            (second.since(s.began), Some(third.since(second)), Some(opened.since(third)))
        } else if reached(third).is_some_and(|t| t > second) {
            (second.since(s.began), Some(third.since(second)), Some(wanted.since(third)))
        } else if reached(second).is_some() {
            (second.since(s.began), Some(wanted.since(second)), None)
        } else {
            (wanted.since(s.began), None, None)
        };
        let connect = if outbound {
            ConnectParts::Outbound { connect_syscall: a, handshake: b, open: o }
        } else {
            ConnectParts::Inbound { accept: a, register: b, open: o }
        };
        let transfer = s.is_open().then(|| TransferParts {
            count: s.turns,
            sum: last.since(opened),
            max: s.longest,
            bytes_in: s.bytes_in,
            bytes_out: s.bytes_out,
            idle: wanted.since(last),
        });
        let teardown = TeardownParts {
            flush: flushed.since(wanted),
            linger: c.lingering.then(|| closing.since(flushed)),
            close: after.since(closing),
        };
        Self { began: s.began, connect, transfer, teardown, total: after.since(s.began) }
    }

    /// The sum of all parts, in nanoseconds. Equal to `total`, always.
    pub fn sum(&self) -> u64 {
        let transfer = self.transfer.map_or(0, |d| d.sum + d.idle);
        self.connect.total() + transfer + self.teardown.total()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: u64| ns / 1000;
        write!(f, "total={}us connect={}us", us(self.total), us(self.connect.total()))?;
        if let Some(d) = &self.transfer {
            write!(
                f,
                " transfer={}us turns={} in={} out={} idle={}us",
                us(d.sum),
                d.count,
                d.bytes_in,
                d.bytes_out,
                us(d.idle)
            )?;
        }
        write!(f, " flush={}us", us(self.teardown.flush))?;
        if let Some(ns) = self.teardown.linger {
            write!(f, " linger={}us", us(ns))?;
        }
        write!(f, " close={}us", us(self.teardown.close))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_sum_to_the_total_whatever_the_stamps() {
        let mut seed = 9u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..100_000 {
            let t = |ns: u64| Time::from_nanos(1000 + ns);
            let mut s = Stamps::begin(t(next(50)));
            s.second = t(next(100));
            s.third = t(next(150));
            if next(4) > 0 {
                s.open(t(next(200)));
                for _ in 0..next(4) {
                    s.moved(t(next(400)));
                }
            }
            let c = Closing {
                wanted: t(next(500)),
                flushed: (next(2) == 0).then(|| t(next(600))),
                lingering: next(2) == 0,
            };
            let ledger = Ledger::new(&s, &c, next(2) == 0, t(next(700)), t(next(800)));
            assert_eq!(ledger.sum(), ledger.total, "{s:?} {c:?}");
        }
    }
}
