//! Driving one connection: ask the link what it can do, make the call, tell the link how it went, until nothing is
//! left to do or its budget for the turn is spent.

use std::io;

use rustix::io::Errno;

use super::buffer::{BLOCK, Io};
use super::close::{self, By, CloseReason, PhaseName, Report};
use super::id::Token;
use super::ledger::Ledger;
use super::link::flag::*;
use super::link::{Call, Effect, NONE, Op, Outcome, Phase, Step, View};
use super::slow::Callback;
use super::sys::Sys;
use super::{Manner, Reactor};

/// Callbacks and calls that one connection may have in a turn beyond its byte budget: a handler that pauses and
/// resumes for ever must not stop the others.
const STEPS_MAX: u32 = 1024;

/// What a connection may still do in this turn.
struct Budget {
    bytes: usize,
    reads: u32,
    steps: u32,
}

impl Budget {
    /// Takes one step; false when the turn is over for this connection.
    fn take(&mut self, step: Step) -> bool {
        self.steps = self.steps.saturating_sub(1);
        let moves = match step {
            Step::Op(Op::Read | Op::Discard) => {
                if self.reads == 0 {
                    return false;
                }
                self.reads -= 1;
                true
            }
            Step::Op(Op::Write { .. } | Op::SendFile { .. }) => true,
            Step::Op(_) | Step::Call(_) => false,
        };
        self.steps > 0 && !(moves && self.bytes == 0)
    }
}

impl<S: Sys> Reactor<S> {
    pub(crate) fn drive(&mut self, slot: u32) {
        let Some(link) = self.core.links.get_mut(slot as usize) else { return };
        link.clear(QUEUED);
        let mut budget =
            Budget { bytes: self.config.turn_bytes_max, reads: self.config.turn_reads_max, steps: STEPS_MAX };
        let mut io = self.core.take_io(slot);
        self.core.driving = slot;
        self.drop_unread(slot, &mut io);
        loop {
            let v = self.core.view(slot, &io);
            let Some(step) = self.core.link(slot).next(v) else { break };
            if !budget.take(step) {
                self.core.account.stats.exhausted += 1;
                if self.core.link(slot).has(DRAIN_DUE) && self.core.link(slot).is_live() {
                    // A peer that never stops sending would put the drain off for ever.
                    self.call(slot, Call::Drain, &mut io);
                }
                self.core.spent.push(slot);
                self.core.link(slot).set(QUEUED);
                break;
            }
            match step {
                Step::Call(call) => self.call(slot, call, &mut io),
                Step::Op(op) => self.execute(slot, op, v, &mut io, &mut budget),
            }
        }
        self.core.driving = NONE;
        self.core.put_io(slot, io);
        self.core.refile(slot);
    }

    fn call(&mut self, slot: u32, call: Call, io: &mut Io) {
        let link = self.core.link(slot);
        let (service, id) = (link.service, link.id(slot));
        let sample = self.core.account.begin(call.into(), service, Some(id), || self.sys.now());
        let ok =
            self.services.get_mut(service as usize).is_none_or(|s| s.call(call, slot, io, &mut self.core));
        self.core.account.end(sample, || self.sys.now());
        if !ok {
            log::error!("task.panicked: the {call:?} callback of connection {id} panicked");
            self.core.panicked(slot);
        }
        self.drop_unread(slot, io);
        let link = self.core.link(slot);
        let stuck = io.rx.len() == BLOCK && !link.has(PAUSED | STARVED) && !link.has_file();
        if call == Call::Data && link.is_live() && stuck {
            self.core.fail(slot, &close::LIMIT_RX_FULL, None, None);
        }
    }

    /// Once the connection is being closed, nobody reads what had come before: the room is needed to discard what
    /// still comes. It also means that closing at once would answer those bytes with RST.
    fn drop_unread(&mut self, slot: u32, io: &mut Io) {
        let link = self.core.link(slot);
        if !link.is_live() && !io.rx.is_empty() {
            link.clear(CLEAN);
            io.rx.consume(usize::MAX);
        }
    }

    fn execute(&mut self, slot: u32, op: Op, v: View, io: &mut Io, budget: &mut Budget) {
        let outcome = self.make(slot, op, io, budget);
        if let (Op::Write { max, .. }, Outcome::Moved { n, .. }) = (op, &outcome) {
            io.tx.consume((*n).min(max));
        }
        self.advance_file(slot, op, &outcome);
        let now = self.core.now;
        let link = &mut self.core.links[slot as usize];
        let t = &self.core.services[link.service as usize].timeouts;
        let fin_first = matches!(op, Op::ShutdownWrite) && !link.has(EOF_SEEN);
        let effect = link.complete(op, &outcome, v, now, t);
        match effect {
            Effect::None => {}
            Effect::Opened => self.opened(slot),
            Effect::Fail { class, errno, deadline } => self.core.fail(slot, class, errno, deadline),
            Effect::Idle => self.core.idle(slot),
            Effect::Over => {}
        }
        let link = self.core.link(slot);
        if matches!(link.phase, Phase::Teardown(_)) || fin_first {
            self.wind_up(slot, fin_first);
        }
    }

    /// Keeps the records of an ending: who began it, and when it made progress.
    fn wind_up(&mut self, slot: u32, fin_first: bool) {
        let link = self.core.link(slot);
        if fin_first {
            link.set(FIN_FIRST);
        }
        if link.is_done() && link.closing == NONE {
            let by = if link.has(FIN_FIRST) { By::Us } else { By::Peer };
            self.core.begin_close(slot, CloseReason::new(by, PhaseName::Transfer), Manner::Drop);
        }
        self.core.settle_close(slot);
    }

    fn opened(&mut self, slot: u32) {
        let now = self.sys.now();
        self.core.link(slot).open(now);
    }

    /// Makes the system call of `op`.
    fn make(&mut self, slot: u32, op: Op, io: &mut Io, budget: &mut Budget) -> Outcome {
        if op == Op::Connect {
            return self.dial(slot);
        }
        if op == Op::Over {
            return Outcome::Moved { n: 0, asked: 0 };
        }
        let Some(socket) = self.sockets.get(slot as usize).and_then(Option::as_ref) else {
            return Outcome::Failed { class: &close::SOCKET_IO, errno: None };
        };
        let (result, asked) = match op {
            Op::Read | Op::Discard => {
                io.rx.attach(&mut self.core.pool);
                let spare = io.rx.spare();
                let asked = spare.len();
                let result = self.sys.read(socket, spare);
                if let (Op::Read, Ok(n)) = (op, &result) {
                    io.rx.commit(*n);
                }
                (result, asked)
            }
            Op::Write { max, more } => {
                let bytes = io.tx.bytes();
                let bytes = bytes.get(..max).unwrap_or(bytes);
                (self.sys.write(socket, bytes, more), bytes.len())
            }
            Op::SendFile { left } => {
                let side = self.core.links[slot as usize].side as usize;
                let send = &mut self.core.files[side];
                // A head that went before must not cut the last slice of a turn into two.
                let most = self.config.turn_bytes_max;
                let slice = if budget.bytes >= most - most / 16 { most } else { budget.bytes };
                let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(slice);
                let sys = &mut self.sys;
                let max = match send.sendable(wanted, |file, at| sys.file_presence(file, at, wanted)) {
                    0 if self.core.fetch(slot) => return Outcome::Away,
                    // No thread is to be had: this one waits for the disk.
                    0 => wanted,
                    here => here,
                };
                let send = &self.core.files[side];
                (self.sys.send_file(socket, &send.file, send.offset, max), max)
            }
            Op::ShutdownWrite => (self.sys.shutdown_write(socket).map(|()| 0), 0),
            Op::Confirm => match self.sys.connected(socket) {
                Ok(true) => (Ok(0), 0),
                Ok(false) => return Outcome::WouldBlock,
                Err(e) => (Err(e), 0),
            },
            Op::TakeError => (self.sys.take_error(socket).map_or(Ok(0), Err), 0),
            Op::Probe => {
                let unacknowledged = self.sys.unacknowledged(socket).unwrap_or(0);
                (Ok(usize::try_from(unacknowledged).unwrap_or(usize::MAX)), 0)
            }
            Op::Connect | Op::Over => (Ok(0), 0),
        };
        if let (Op::Read | Op::Discard | Op::Write { .. } | Op::SendFile { .. }, Ok(n)) = (op, &result) {
            budget.bytes = budget.bytes.saturating_sub(*n);
        }
        outcome(op, result, asked)
    }

    /// A file's bytes, or bytes before it, have moved.
    fn advance_file(&mut self, slot: u32, op: Op, outcome: &Outcome) {
        let link = &mut self.core.links[slot as usize];
        if !link.has_file() {
            return;
        }
        let send = &mut self.core.files[link.side as usize];
        let Outcome::Moved { n, .. } = *outcome else {
            if matches!((op, outcome), (Op::SendFile { .. }, Outcome::WouldBlock)) {
                send.blocked();
            }
            return;
        };
        if matches!(op, Op::Write { .. }) {
            send.before = send.before.saturating_sub(n);
        } else if matches!(op, Op::SendFile { .. }) {
            send.offset += n as u64;
            send.left = send.left.saturating_sub(n as u64);
            if send.left == 0 {
                self.core.files.remove(link.side as usize);
                link.side = NONE;
            }
        }
    }

    /// Issues an outbound connect.
    fn dial(&mut self, slot: u32) -> Outcome {
        let link = self.core.link(slot);
        let side = std::mem::replace(&mut link.side, NONE);
        let id = link.id(slot);
        let began = self.sys.now();
        let Some(to) = self.core.dials.try_remove(side as usize) else {
            return Outcome::Failed { class: &close::SOCKET_INVALID, errno: None };
        };
        let connected = self.sys.connect(&to);
        let after = self.sys.now();
        let link = self.core.link(slot);
        link.stamps.began = began;
        link.stamps.second = after;
        match connected {
            Ok((socket, _stands)) => {
                // A connection that stands already is confirmed by the event of its registration, as any other.
                if S::short_read_drains(&socket) {
                    link.set(SHORT_DRAINS);
                }
                let registered = self.sys.register(&socket, Token::Conn(id));
                self.place_socket(slot, socket);
                match registered {
                    Ok(()) => Outcome::Moved { n: 0, asked: 0 },
                    Err(e) => failed(&e),
                }
            }
            Err(e) => failed(&e),
        }
    }

    /// Ends a connection that is done: closes its socket, tells its handler once, frees the slot.
    pub(crate) fn reap(&mut self, slot: u32) {
        if !self.core.links.contains(slot as usize) {
            return;
        }
        let before = self.sys.now();
        let reset = self.core.link(slot).has(RESET);
        if let Some(socket) = self.sockets.get_mut(slot as usize).and_then(Option::take) {
            self.sys.close(socket, reset);
        }
        let after = self.sys.now();
        let unsent = self.core.unsent(slot);
        let link = self.core.link(slot);
        let (stamps, outbound, closing) = (link.stamps, link.has(OUTBOUND), link.closing);
        let (service, conn) = (link.service, link.conn);
        let (id, peer, listener) = (link.id(slot), link.peer.unpack(), link.listener);
        let record = &self.core.closings[closing as usize];
        let reason = CloseReason { unsent, ..record.reason };
        let ledger = Ledger::new(&stamps, &record.stamps, outbound, before, after);
        let report =
            Report { id, peer, listener: (listener.slot != NONE).then_some(listener), reason, ledger };
        log::debug!("close {id} peer={peer} {reason} {ledger}");
        self.core.account.stats.closed += 1;
        self.note_end(&report);
        self.core.forget(slot);
        // One that was refused at the door has no state, and no callback.
        let account = &mut self.core.account;
        let sample = conn != NONE && account.begin(Callback::Close, service, Some(id), || self.sys.now());
        let ok =
            self.services.get_mut(service as usize).is_none_or(|s| s.close(conn, &report, &mut self.core));
        self.core.account.end(sample, || self.sys.now());
        if !ok {
            log::error!("task.panicked: the on_close callback of connection {id} panicked");
        }
    }
}

fn failed(e: &io::Error) -> Outcome {
    Outcome::Failed { class: close::class_of(e), errno: e.raw_os_error() }
}

fn outcome(op: Op, result: io::Result<usize>, asked: usize) -> Outcome {
    let e = match result {
        Ok(n) => return Outcome::Moved { n, asked },
        Err(e) => e,
    };
    let is = |errno: Errno| e.raw_os_error() == Some(errno.raw_os_error());
    if e.kind() == io::ErrorKind::WouldBlock {
        Outcome::WouldBlock
    } else if e.kind() == io::ErrorKind::Interrupted {
        Outcome::Interrupted
    } else if matches!(op, Op::SendFile { .. }) && is(Errno::IO) {
        // The file, not the socket, could not be read.
        Outcome::Failed { class: &close::FILE_UNREADABLE, errno: e.raw_os_error() }
    } else {
        failed(&e)
    }
}
