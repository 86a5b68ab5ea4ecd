//! One connection's state machine: Connect → Transfer → Teardown. Pure: it makes no call and reads no clock; it is
//! told what happened ([`Link::mark`], [`Link::complete`], [`Link::expire`]) and asked what can be done now
//! ([`Link::next`]). Runnability is computed, never signalled.

mod clock;
mod peer;
mod phase;

pub(crate) use clock::Expired;
pub(crate) use peer::PackedPeer;
pub(crate) use phase::{Connect, Input, Phase, Rx, Teardown, Tx};

use phase::transition;

use super::buffer::BLOCK;
use super::class::Class;
use super::close::{self, Deadline};
use super::id::{ConnId, ListenerId};
use super::ledger::Stamps;
use super::limits::Timeouts;
use super::sys::{Peer, Ready};
use super::time::Time;

/// A system call that the connection is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Connect,
    /// Ask whether the connect succeeded.
    Confirm,
    Read,
    /// Read and drop.
    Discard,
    /// Write the first `max` bytes of tx; `more` when a file follows.
    Write {
        max: usize,
        more: bool,
    },
    SendFile {
        left: u64,
    },
    ShutdownWrite,
    /// Ask for the pending error.
    TakeError,
    /// Ask how much the peer has acknowledged.
    Probe,
    /// No call: both directions have ended.
    Over,
}

/// A callback that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Open,
    Data,
    Room,
    Eof,
    Timer,
    Deadline,
    Drain,
}

/// What the connection can do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Op(Op),
    Call(Call),
}

/// How an [`Op`] went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// `n` bytes of `asked` moved (or the call simply succeeded).
    Moved {
        n: usize,
        asked: usize,
    },
    WouldBlock,
    /// Its file's bytes are not in memory.
    Away,
    Interrupted,
    Failed {
        class: &'static Class,
        errno: Option<i32>,
    },
}

/// What the core has to do after an [`Op`] beyond going on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    None,
    /// The connection now stands.
    Opened,
    /// It ends by failure.
    Fail {
        class: &'static Class,
        errno: Option<i32>,
        deadline: Option<Deadline>,
    },
    /// It is idle: nothing moved, and nothing of ours is on its way.
    Idle,
    /// It has reached `Done` in good order.
    Over,
}

/// The levels of a connection's buffers, as the state machine sees them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    pub(crate) rx: usize,
    pub(crate) tx: usize,
    /// A file on its way: bytes of tx before it, and bytes of it left.
    pub(crate) span: Option<(usize, u64)>,
}

/// Flag bits of [`Link::flags`].
pub(crate) mod flag {
    pub(crate) const QUEUED: u32 = 1;
    pub(crate) const OUTBOUND: u32 = 1 << 1;
    /// A short read means that the socket is empty (TCP on epoll, until a FIN or urgent data is seen).
    pub(crate) const SHORT_DRAINS: u32 = 1 << 2;
    pub(crate) const PAUSED: u32 = 1 << 3;
    /// The handler waits for room.
    pub(crate) const STARVED: u32 = 1 << 4;
    pub(crate) const OPEN_DUE: u32 = 1 << 5;
    /// rx has bytes and something changed.
    pub(crate) const DATA_DUE: u32 = 1 << 6;
    pub(crate) const ROOM_DUE: u32 = 1 << 7;
    pub(crate) const EOF_DUE: u32 = 1 << 8;
    pub(crate) const TIMER_DUE: u32 = 1 << 9;
    pub(crate) const DEADLINE_DUE: u32 = 1 << 10;
    pub(crate) const DRAIN_DUE: u32 = 1 << 11;
    pub(crate) const PROBE_DUE: u32 = 1 << 12;
    /// The last write would have blocked and nothing moved since.
    pub(crate) const BLOCKED: u32 = 1 << 13;
    /// `acked` holds what was acknowledged at the last probe.
    pub(crate) const BASELINE: u32 = 1 << 14;
    /// The peer's FIN was read.
    pub(crate) const EOF_SEEN: u32 = 1 << 15;
    /// Close without lingering if the socket is empty once flushed.
    pub(crate) const CLEAN: u32 = 1 << 16;
    /// A user timer, a protocol deadline, a filed timer entry exist.
    pub(crate) const HAS_USER: u32 = 1 << 17;
    pub(crate) const HAS_PROTO: u32 = 1 << 18;
    pub(crate) const FILED: u32 = 1 << 19;
    /// Close with RST.
    pub(crate) const RESET: u32 = 1 << 20;
    /// In the list of connections to be reaped.
    pub(crate) const REAPING: u32 = 1 << 21;
    /// The idle deadline does not apply: the peer waits for us.
    pub(crate) const BUSY: u32 = 1 << 22;
    /// Our FIN went out before the peer's came.
    pub(crate) const FIN_FIRST: u32 = 1 << 23;
    /// The probe that is due asks whether an idle connection still has an answer's tail on its way.
    pub(crate) const IDLE_PROBE: u32 = 1 << 25;
    /// A deadline was taken away: the filed entry may be too early, and would wake the loop for nothing.
    pub(crate) const REFILE: u32 = 1 << 26;
    /// Refused at the door: its handler never had it, and it takes nobody's place.
    pub(crate) const REFUSED: u32 = 1 << 24;
    /// The next bytes of its file are being read in.
    pub(crate) const AWAY: u32 = 1 << 27;
}
use flag::*;

/// No entry in a side table.
pub(crate) const NONE: u32 = u32::MAX;

/// One connection, without its socket and its handler's state.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stamps: Stamps,
    pub(crate) serial: u32,
    pub(crate) flags: u32,
    /// Index of the connection's state in its service.
    pub(crate) conn: u32,
    /// Index of its buffers while bytes are in flight, else [`NONE`].
    pub(crate) io: u32,
    /// Index of its dial (Connect) or file (later), else [`NONE`].
    pub(crate) side: u32,
    /// Index of its closing record, else [`NONE`].
    pub(crate) closing: u32,
    /// User timer; in Linger the end of the peer's silence. Milliseconds, like all below.
    user: u32,
    /// Protocol deadline; in Linger its end.
    proto: u32,
    /// Since when the connection waits for its peer: the connect, the last byte, the last acknowledgement while bytes
    /// wait for one, or the end of a pause.
    since: u32,
    /// Bytes acknowledged at the last probe, in the low 32 bits.
    acked: u32,
    /// When its timer entry fires.
    pub(crate) filed: u32,
    pub(crate) listener: ListenerId,
    pub(crate) peer: PackedPeer,
    pub(crate) service: u16,
    pub(crate) phase: Phase,
    ready: Ready,
}

impl Link {
    /// A connection of `service`, in its first phase. `open` when it already stands.
    pub(crate) fn new(service: u16, serial: u32, peer: Peer, stamps: Stamps, open: bool) -> Self {
        let phase =
            if open { Phase::Transfer { rx: Rx::Open, tx: Tx::Open } } else { Phase::Connect(Connect::Dial) };
        Self {
            stamps,
            serial,
            flags: if open { OPEN_DUE } else { OUTBOUND },
            conn: NONE,
            io: NONE,
            side: NONE,
            closing: NONE,
            user: 0,
            proto: 0,
            since: stamps.began.ms_ceil(),
            acked: 0,
            filed: 0,
            listener: ListenerId { slot: NONE, serial: 0 },
            peer: peer.into(),
            service,
            phase,
            ready: Ready::NONE,
        }
    }

    pub(crate) fn id(&self, slot: u32) -> ConnId {
        ConnId { slot, serial: self.serial }
    }

    pub(crate) fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    pub(crate) fn set(&mut self, flags: u32) {
        self.flags |= flags;
    }

    pub(crate) fn clear(&mut self, flags: u32) {
        self.flags &= !flags;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Teardown(Teardown::Done)
    }

    /// Whether its handler may still be called (before `on_close`).
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Teardown(_))
    }

    /// Whether the handler may write.
    pub(crate) fn tx_open(&self) -> bool {
        let open = match self.phase {
            Phase::Connect(_) => true,
            Phase::Transfer { tx, .. } => tx == Tx::Open,
            Phase::Teardown(_) => false,
        };
        open && !self.has_file()
    }

    /// Whether a file is on its way.
    pub(crate) fn has_file(&self) -> bool {
        self.side != NONE && !matches!(self.phase, Phase::Connect(_))
    }

    /// The connection stands since `at`.
    pub(crate) fn open(&mut self, at: Time) {
        self.stamps.third = at;
        self.stamps.open(at);
        self.wait_anew(at);
    }

    /// One direction does not exist: the connection is born with it ended.
    pub(crate) fn restrict(&mut self, reads: bool, writes: bool) {
        let rx = if reads { Rx::Open } else { Rx::Eof };
        let tx = if writes { Tx::Open } else { Tx::Shut };
        self.phase = Phase::Transfer { rx, tx };
        if !reads {
            self.set(EOF_SEEN);
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.phase = transition(self.phase, input);
    }

    /// The kernel reported readiness.
    pub(crate) fn mark(&mut self, ready: Ready) {
        let broken = ready.any(Ready::ERROR.or(Ready::WRITE_CLOSED));
        if ready.any(Ready::READ_CLOSED.or(Ready::PRIORITY)) || broken {
            self.clear(SHORT_DRAINS);
        }
        let mut bits = ready;
        if broken {
            bits = bits.or(Ready::READABLE).or(Ready::WRITABLE);
        }
        if ready.any(Ready::READ_CLOSED) {
            bits = bits.or(Ready::READABLE);
        }
        self.ready = self.ready.or(bits);
    }

    /// What the connection can do now; `None` when it waits for readiness or a deadline.
    pub(crate) fn next(&self, v: View) -> Option<Step> {
        match self.phase {
            Phase::Connect(Connect::Dial) => Some(Step::Op(Op::Connect)),
            Phase::Connect(Connect::Pending) => {
                self.ready.any(Ready::WRITABLE).then_some(Step::Op(Op::Confirm))
            }
            Phase::Transfer { rx, tx } => self.next_transfer(rx, tx, v),
            Phase::Teardown(Teardown::Flush) => self.next_flush(v),
            Phase::Teardown(Teardown::Linger) => {
                self.ready.any(Ready::READABLE).then_some(Step::Op(Op::Discard))
            }
            Phase::Teardown(Teardown::Done) => None,
        }
    }

    fn next_transfer(&self, rx: Rx, tx: Tx, v: View) -> Option<Step> {
        let due = |flag, call| self.has(flag).then_some(Step::Call(call));
        if self.has(OPEN_DUE | TIMER_DUE | DEADLINE_DUE) {
            return due(OPEN_DUE, Call::Open)
                .or_else(|| due(TIMER_DUE, Call::Timer))
                .or_else(|| due(DEADLINE_DUE, Call::Deadline));
        }
        if let Some(op) = self.next_write(v) {
            return Some(op);
        }
        // Before reading: a peer that floods and never reads must be found too.
        if self.has(PROBE_DUE) {
            return Some(Step::Op(Op::Probe));
        }
        if self.has(ROOM_DUE) && tx == Tx::Open && v.span.is_none() {
            return Some(Step::Call(Call::Room));
        }
        let held = self.has(PAUSED | STARVED);
        if self.has(DATA_DUE) && v.rx > 0 && !held {
            return Some(Step::Call(Call::Data));
        }
        if self.can_read(rx, v) {
            return Some(Step::Op(Op::Read));
        }
        if self.has(EOF_DUE) && !held {
            return Some(Step::Call(Call::Eof));
        }
        if tx == Tx::Shut && rx == Rx::Eof && !self.has(EOF_DUE) {
            return Some(Step::Op(Op::Over));
        }
        if tx == Tx::Finishing && v.tx == 0 && v.span.is_none() {
            return Some(Step::Op(if rx == Rx::Eof { Op::Over } else { Op::ShutdownWrite }));
        }
        if self.ready.any(Ready::ERROR) && !self.ready.any(Ready::READABLE) | held | (rx == Rx::Eof) {
            return Some(Step::Op(Op::TakeError));
        }
        due(DRAIN_DUE, Call::Drain)
    }

    fn can_read(&self, rx: Rx, v: View) -> bool {
        rx == Rx::Open
            && self.ready.any(Ready::READABLE)
            && v.rx < BLOCK
            && !self.has(PAUSED)
            && !(self.has(STARVED) && v.rx > 0)
    }

    fn next_write(&self, v: View) -> Option<Step> {
        if !self.ready.any(Ready::WRITABLE) || (self.has(AWAY) && matches!(v.span, Some((0, _)))) {
            return None;
        }
        match v.span {
            Some((0, left)) => Some(Step::Op(Op::SendFile { left })),
            Some((before, _)) => Some(Step::Op(Op::Write { max: before, more: true })),
            None if v.tx > 0 => Some(Step::Op(Op::Write { max: v.tx, more: false })),
            None => None,
        }
    }

    fn next_flush(&self, v: View) -> Option<Step> {
        if let Some(op) = self.next_write(v) {
            return Some(op);
        }
        if v.tx == 0 && v.span.is_none() {
            let clean = self.has(CLEAN) && !self.ready.any(Ready::READABLE);
            let over = clean || self.has(EOF_SEEN);
            return Some(Step::Op(if over { Op::Over } else { Op::ShutdownWrite }));
        }
        self.has(PROBE_DUE).then_some(Step::Op(Op::Probe))
    }

    /// An [`Op`] was made. `v` is the view from before it.
    pub(crate) fn complete(&mut self, op: Op, out: &Outcome, v: View, now: Time, t: &Timeouts) -> Effect {
        match (out, op) {
            (Outcome::Interrupted, _) => Effect::None,
            (Outcome::WouldBlock, _) => self.would_block(op, now),
            (Outcome::Away, _) => self.wait_for_file(now),
            (Outcome::Failed { .. }, Op::Discard) => {
                self.input(Input::End);
                Effect::Over
            }
            // The peer can be gone before our FIN: everything was sent, so the end is as good as with it.
            (Outcome::Failed { class, errno }, _) => Effect::Fail { class, errno: *errno, deadline: None },
            (Outcome::Moved { n, asked }, op) => self.moved(op, *n, *asked, v, now, t),
        }
    }

    fn would_block(&mut self, op: Op, now: Time) -> Effect {
        match op {
            Op::Read | Op::Discard => self.ready = self.ready.without(Ready::READABLE),
            Op::Write { .. } | Op::SendFile { .. } => {
                self.ready = self.ready.without(Ready::WRITABLE);
                self.wait_anew(now);
                self.set(BLOCKED);
            }
            Op::Confirm => self.ready = self.ready.without(Ready::WRITABLE),
            Op::Connect | Op::ShutdownWrite | Op::TakeError | Op::Probe | Op::Over => {}
        }
        Effect::None
    }

    fn moved(&mut self, op: Op, n: usize, asked: usize, v: View, now: Time, t: &Timeouts) -> Effect {
        match op {
            Op::Connect => self.input(Input::Issued),
            Op::Confirm => {
                self.input(Input::Established);
                self.set(OPEN_DUE);
                self.wait_anew(now);
                return Effect::Opened;
            }
            Op::Read if n == 0 => {
                self.set(EOF_DUE | EOF_SEEN);
                self.input(Input::Eof);
            }
            Op::Read => {
                self.stamps.bytes_in += n as u64;
                self.stamps.moved(now);
                self.set(DATA_DUE);
                self.drained(n, asked);
                self.wait_anew(now);
            }
            Op::Discard if n == 0 => {
                self.input(Input::Eof);
                return Effect::Over;
            }
            Op::Discard => {
                self.user = now.ms().wrapping_add(t.linger_silence);
                self.drained(n, asked);
            }
            Op::Write { .. } => self.wrote(n, v.tx - n, v.rx, now),
            Op::SendFile { .. } if n == 0 => {
                return Effect::Fail { class: &close::FILE_TRUNCATED, errno: None, deadline: None };
            }
            Op::SendFile { left } => {
                let rest = if left > n as u64 { BLOCK } else { v.tx };
                self.wrote(n, rest, v.rx, now);
            }
            Op::ShutdownWrite => {
                self.input(Input::FinSent);
                self.begin_linger(now, t);
                return if self.is_done() { Effect::Over } else { Effect::None };
            }
            Op::TakeError => self.ready = self.ready.without(Ready::ERROR),
            Op::Probe => return self.probed(n, v, now, t),
            Op::Over => {
                self.input(if self.is_live() { Input::FinSent } else { Input::Flushed });
                return Effect::Over;
            }
        }
        Effect::None
    }

    /// The linger deadlines begin. They matter in Linger only, where the handler's own are void; in Transfer with our
    /// FIN sent they must not replace those.
    pub(crate) fn begin_linger(&mut self, now: Time, t: &Timeouts) {
        if self.phase == Phase::Teardown(Teardown::Linger) {
            self.user = now.ms().wrapping_add(t.linger_silence);
            self.proto = now.ms().wrapping_add(t.linger);
        }
    }

    fn drained(&mut self, n: usize, asked: usize) {
        if n < asked && self.has(SHORT_DRAINS) {
            self.ready = self.ready.without(Ready::READABLE);
        }
    }

    /// `n` bytes went out and `rest` wait; the handler hears of room once half the buffer is free.
    fn wrote(&mut self, n: usize, rest: usize, rx: usize, now: Time) {
        self.stamps.bytes_out += n as u64;
        if self.is_live() {
            self.stamps.moved(now);
        }
        self.clear(BLOCKED | BASELINE | PROBE_DUE | IDLE_PROBE);
        self.wait_anew(now);
        if rest <= BLOCK / 2 {
            self.clear(STARVED);
            self.set(ROOM_DUE | if rx > 0 { DATA_DUE } else { 0 });
        }
    }
}

#[cfg(test)]
mod tests;
