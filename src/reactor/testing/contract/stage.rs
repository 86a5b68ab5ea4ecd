//! [`Stage`]: one handler on one reactor in one simulated world, with the rules of every run held after each turn.
//! [`Client`] plays a peer. Nothing here compares answers.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::conversation::{Conversation, Cuts};
use super::record::Record;
use super::{Held, Subject};
use crate::reactor::testing::spy::attach;
use crate::reactor::testing::{Faults, ProcessId, SimPeer, SimSys, World};
use crate::reactor::{Config, Endpoint, Handler, Key, Reactor};

/// After so many turns in which no peer was given a byte, a handler counts as one that never rests.
const TURNS_MAX: u32 = 20_000;
/// An answer of so many bytes counts as one without end.
const ANSWER_MAX: usize = 16 << 20;
/// A peer with room for one byte takes so many of them leisurely, and then as fast as they come.
const LEISURELY_MAX: usize = 64;
/// How long such a byte takes it.
const LEISURE: Duration = Duration::from_millis(5);
/// A peer with room for one byte takes so many of them singly; then its room grows, so that a test ends.
const SINGLY_MAX: usize = 4096;

/// A peer of the handler.
pub(super) struct Client {
    peer: Option<SimPeer>,
    pub(super) answer: Vec<u8>,
    pub(super) sent: usize,
    /// Bytes that it takes at a time; 0: it reads nothing.
    pub(super) appetite: usize,
    /// Answers the handler's FIN with its own.
    pub(super) polite: bool,
    fin: bool,
    single: bool,
}

impl Client {
    /// Writes what the kernel takes of `bytes`.
    pub(super) fn offer(&mut self, bytes: &[u8]) -> usize {
        let n = self.peer.as_mut().map_or(0, |peer| peer.write(bytes));
        self.sent += n;
        n
    }

    /// Takes kernel room for one byte only.
    pub(super) fn narrow(&mut self) {
        self.single = true;
        self.appetite = self.appetite.min(1);
        self.room(1);
    }

    /// How many bytes its kernel takes before it reads.
    pub(super) fn room(&mut self, bytes: usize) {
        if let Some(peer) = &mut self.peer {
            peer.set_room(bytes);
        }
    }

    /// Reads what has come; how many bytes.
    pub(super) fn take(&mut self) -> usize {
        let (appetite, polite) = (self.appetite, self.polite);
        let Some(peer) = self.peer.as_mut().filter(|_| appetite > 0) else { return 0 };
        let got = peer.read_up_to(appetite);
        self.answer.extend_from_slice(&got);
        let ended = peer.is_eof();
        if ended && polite {
            self.finish();
        }
        if self.single && self.answer.len() > SINGLY_MAX {
            self.single = false;
            self.appetite = usize::MAX;
            self.room(64 * 1024);
        }
        got.len()
    }

    /// How long it does nothing behind the byte that it has just read.
    fn leisure(&self) -> Duration {
        if self.single && self.answer.len() <= LEISURELY_MAX { LEISURE } else { Duration::ZERO }
    }

    /// Sends FIN, once.
    pub(super) fn finish(&mut self) {
        if let (false, Some(peer)) = (self.fin, &mut self.peer) {
            self.fin = true;
            peer.shutdown_write();
        }
    }

    /// Whether it has read the handler's FIN.
    pub(super) fn is_eof(&self) -> bool {
        self.peer.as_ref().is_some_and(SimPeer::is_eof)
    }

    /// Whether nothing can be sent any more: it was refused or reset, it has ended its side, or it is gone.
    pub(super) fn is_over(&self) -> bool {
        self.fin || self.peer.as_ref().is_none_or(SimPeer::is_finished)
    }

    /// Closes, as `close(2)` does.
    pub(super) fn hang_up(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.close();
        }
    }

    pub(super) fn reset(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.reset();
        }
    }
}

/// A handler on stage.
pub(super) struct Stage<'s, H: Handler> {
    pub(super) subject: &'s Subject<H>,
    pub(super) world: World,
    reactor: Reactor<SimSys>,
    key: Key<H>,
    at: Endpoint,
    process: ProcessId,
    pub(super) record: Rc<RefCell<Record>>,
    /// A drain has come to its end.
    pub(super) stopped: bool,
}

impl<'s, H: Handler> Stage<'s, H> {
    /// A handler in the world of `seed`. All sockets have buffers of `buffer` bytes, or of random sizes.
    pub(super) fn new(subject: &'s Subject<H>, seed: u64, faults: Faults, buffer: Option<u32>) -> Self {
        let world = World::with_faults(seed, faults);
        let sys = world.sys();
        let process = sys.id();
        let mut reactor = Reactor::with_sys(sys, Config::default());
        let key = reactor.add((subject.make)());
        let record = Rc::<RefCell<Record>>::default();
        attach(&mut reactor, key, Rc::clone(&record));
        let mut place = Endpoint::tcp(([127, 0, 0, 1], 0));
        (place.options.send_buffer, place.options.recv_buffer) = (buffer, buffer);
        let listener = reactor.listen(key, &place).expect("nothing else listens in this world");
        let at = reactor.local(listener).expect("it was just made").clone();
        Self { subject, world, reactor, key, at, process, record, stopped: false }
    }

    /// The same in a world without faults.
    pub(super) fn plain(subject: &'s Subject<H>) -> Self {
        Self::new(subject, 0, Faults::none(), None)
    }

    /// A new peer, whose connect is under way.
    pub(super) fn dial(&mut self) -> Client {
        let peer = self.world.dial(&self.at).expect("a connect over TCP has no errors at once");
        Client {
            peer: Some(peer),
            answer: Vec::new(),
            sent: 0,
            appetite: usize::MAX,
            polite: true,
            fin: false,
            single: false,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.reactor.connections()
    }

    /// Tasks that have still to run, where they count.
    fn tasks(&self) -> usize {
        if self.subject.rules.keeps_tasks { 0 } else { self.reactor.core.tasks.len() }
    }

    /// Starts a drain.
    pub(super) fn stop(&mut self, grace: Duration) {
        self.reactor.stop(grace);
    }

    // ── Turns ──

    /// One turn, and the rules that hold after it.
    pub(super) fn turn(&mut self) -> Held {
        let reactor = &mut self.reactor;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let turn = reactor.turn(Some(Duration::ZERO)).expect("the simulated poll does not fail");
            reactor.check();
            turn.stopped
        }));
        match outcome {
            Ok(stopped) => self.stopped |= stopped,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                return Err(format!("the reactor's rules: {text}"));
            }
        }
        self.record.borrow().verdict()
    }

    /// Turns until nothing happens any more at this moment, while the clients read and the network delivers. Whether
    /// a client was given anything.
    pub(super) fn settle(&mut self, clients: &mut [Client]) -> Held<bool> {
        let (mut moved, mut turns) = (false, 0);
        while turns < TURNS_MAX {
            turns += 1;
            self.turn()?;
            let mut read = 0;
            for client in &mut *clients {
                let n = client.take();
                read += n;
                if n > 0 {
                    self.world.advance(client.leisure());
                }
                if client.answer.len() > ANSWER_MAX {
                    return Err(format!("the answer has no end: {} bytes and more", client.answer.len()));
                }
            }
            if read > 0 {
                (moved, turns) = (true, 0);
                continue;
            }
            if self.reactor.next_wait() == Some(Duration::ZERO) || self.world.has_events() {
                continue;
            }
            match self.world.next_event_time() {
                Some(at) => self.world.advance(at - self.world.now()),
                None => return Ok(moved),
            }
        }
        Err(format!(
            "the handler never rests: after {TURNS_MAX} turns in which no byte was sent it still has work"
        ))
    }

    /// Lets timers fire until `done`, for at most `patience`. Whether it was done.
    pub(super) fn wait(
        &mut self,
        clients: &mut [Client],
        patience: Duration,
        done: impl Fn(&Self, &[Client]) -> bool,
    ) -> Held<bool> {
        let until = self.world.now() + patience;
        loop {
            self.settle(clients)?;
            if done(self, clients) {
                return Ok(true);
            }
            let left = until - self.world.now();
            match self.reactor.next_wait() {
                Some(next) if next <= left && !left.is_zero() => {
                    self.world.advance(next.max(Duration::from_micros(1)));
                }
                // What is due later, or never, is not waited for; but the time passes.
                _ => {
                    self.world.advance(left);
                    self.settle(clients)?;
                    return Ok(done(self, clients));
                }
            }
        }
    }

    /// Lets timers fire while they are due within the handler's patience: what a peer does that waits for an answer.
    pub(super) fn rest(&mut self, clients: &mut [Client]) -> Held {
        let until = self.world.now() + self.subject.rules.patience;
        loop {
            self.settle(clients)?;
            let left = until - self.world.now();
            match self.reactor.next_wait() {
                Some(next) if next <= left && !left.is_zero() => {
                    self.world.advance(next.max(Duration::from_micros(1)));
                }
                _ => return Ok(()),
            }
        }
    }

    /// The peer says `bytes`, reading the while. False when not all were taken: the handler does not read, or the
    /// connection has ended.
    pub(super) fn say(&mut self, client: &mut Client, bytes: &[u8]) -> Held<bool> {
        let mut taken = 0;
        loop {
            let n = client.offer(&bytes[taken..]);
            taken += n;
            let moved = self.settle(std::slice::from_mut(client))?;
            if taken == bytes.len() {
                return Ok(true);
            }
            if n == 0 && !moved {
                return Ok(false);
            }
        }
    }

    /// The peer says `bytes`, and waits for answers as long as one comes within the handler's patience.
    pub(super) fn exhaust(&mut self, client: &mut Client, bytes: &[u8]) -> Held {
        let from = client.sent;
        loop {
            let before = (client.sent, client.answer.len());
            self.say(client, &bytes[before.0 - from..])?;
            self.rest(std::slice::from_mut(client))?;
            if before == (client.sent, client.answer.len()) {
                return Ok(());
            }
        }
    }

    /// The peer says the first `upto` bytes of a conversation, and with `fin` ends its side in the same breath as the
    /// last byte. How much had been answered after each step.
    pub(super) fn converse(
        &mut self,
        client: &mut Client,
        said: &Conversation,
        cuts: Cuts,
        upto: usize,
        fin: bool,
    ) -> Held<Vec<usize>> {
        let mut marks = Vec::new();
        let pieces = said.pieces(cuts, upto);
        for (nth, piece) in pieces.iter().enumerate() {
            if piece.begins_step && nth > 0 {
                self.rest(std::slice::from_mut(client))?;
                marks.push(client.answer.len());
            }
            let last = nth + 1 == pieces.len();
            if last && fin {
                let n = client.offer(piece.bytes);
                if n == piece.bytes.len() {
                    client.finish();
                }
                self.settle(std::slice::from_mut(client))?;
                self.say(client, &piece.bytes[n..])?;
            } else if !self.say(client, piece.bytes)? {
                break;
            }
        }
        if fin {
            client.finish();
        }
        self.rest(std::slice::from_mut(client))?;
        marks.push(client.answer.len());
        Ok(marks)
    }

    // ── Ends ──

    /// Every peer hangs up; nothing may be left.
    pub(super) fn leave(mut self, clients: &mut [Client]) -> Held {
        for client in &mut *clients {
            client.hang_up();
        }
        let most = self.subject.every_deadline();
        let gone = |stage: &Self, _: &[Client]| stage.connections() == 0 && stage.tasks() == 0;
        if !self.wait(clients, most, gone)? {
            let left = match (self.connections(), self.tasks()) {
                (0, n) => format!("{n} tasks are left (if that is right, set Rules::keeps_tasks)"),
                (n, _) => format!("{n} connections stand"),
            };
            return Err(format!("leak: {left} {most:?} after all peers have gone"));
        }
        self.nothing_is_left()
    }

    fn nothing_is_left(&mut self) -> Held {
        let conns = self.reactor.with(self.key, |_, table| table.conns.len());
        let (buffers, closings, sides) = self.reactor.core.side_counts();
        let record = self.record.borrow();
        let left = [
            ("sockets of the kernel", self.world.open_sockets(self.process)),
            ("sockets of the reactor", self.reactor.sockets_held()),
            ("sockets that were dropped and not closed", self.world.dropped_sockets(self.process)),
            ("states of connections", conns),
            ("connections without their on_close", record.living()),
            ("pairs of buffers", buffers),
            ("closing records", closings),
            ("files and connects under way", sides),
            ("deadlines", usize::from(self.reactor.core.wheel.next().is_some())),
        ];
        match left.into_iter().find(|(_, n)| *n > 0) {
            Some((what, n)) => Err(format!("leak: {n} {what} are left when all peers are gone")),
            None if record.accepted != record.closed => Err(format!(
                "callback order: {} connections were taken and {} had an on_close",
                record.accepted, record.closed
            )),
            None => Ok(()),
        }
    }
}
