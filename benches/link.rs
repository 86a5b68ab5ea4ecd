//! What a turn costs beyond its system calls: the reactor on a kernel whose calls do nothing.
//!
//! `cargo bench --bench link`; the items are connections with an event, so a figure is the cost of one read, dispatch
//! through the erased service, callback and write, with ledger, deadlines, budget and buffers.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use tidemill::reactor::id::Token;
use tidemill::reactor::sys::{
    Adopted, Clock, Listening, Presence, Ready, SetupError, SetupParts, Sys, Waker,
};
use tidemill::reactor::workers::{NoWorkers, Workers};
use tidemill::reactor::{
    Accepted, Config, Ctx, Endpoint, Handler, Peer, Reactor, Refuse, Time, WorkersConfig,
};

fn main() {
    divan::main();
}

/// Every connection is readable in every turn, with the same bytes; what is written goes nowhere.
struct Null {
    ns: u64,
    waiting: usize,
    bytes: usize,
    listener: Option<Token>,
    tokens: Vec<Token>,
    quiet: bool,
}

impl Sys for Null {
    type Socket = ();
    type Listener = ();
    type Watched = OwnedFd;

    fn now(&mut self) -> Time {
        self.ns += 1000;
        Time::from_nanos(self.ns)
    }

    fn clock(&self) -> Clock {
        Clock::new(|| Time::ZERO)
    }

    fn unix_time(&mut self) -> Duration {
        Duration::ZERO
    }

    fn poll(&mut self, _: Option<Duration>, mark: &mut dyn FnMut(Token, Ready)) -> io::Result<()> {
        if self.waiting > 0 {
            self.listener.into_iter().for_each(|token| mark(token, Ready::READABLE));
        } else if !self.quiet {
            self.tokens.iter().for_each(|token| mark(*token, Ready::READABLE.or(Ready::WRITABLE)));
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::new(|| {})
    }

    fn workers(&self, _: WorkersConfig) -> Box<dyn Workers> {
        Box::new(NoWorkers)
    }

    fn listen(&mut self, at: &Endpoint, token: Token) -> Result<Listening<()>, SetupError> {
        self.listener = Some(token);
        Ok(Listening { listener: (), at: at.clone(), parts: SetupParts::default() })
    }

    fn accept(&mut self, (): &()) -> io::Result<((), Peer)> {
        self.waiting = self.waiting.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        Ok(((), Peer::Unknown))
    }

    fn shed(&mut self, (): &()) -> bool {
        false
    }

    fn close_listener(&mut self, (): ()) {}

    fn connect(&mut self, _: &Endpoint) -> io::Result<((), bool)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn adopt(&mut self, _: OwnedFd) -> io::Result<Adopted<()>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn register(&mut self, (): &(), token: Token) -> io::Result<()> {
        self.tokens.push(token);
        Ok(())
    }

    fn connected(&mut self, (): &()) -> io::Result<bool> {
        Ok(true)
    }

    fn take_error(&mut self, (): &()) -> Option<io::Error> {
        None
    }

    fn read(&mut self, (): &(), into: &mut [u8]) -> io::Result<usize> {
        Ok(self.bytes.min(into.len()))
    }

    fn write(&mut self, (): &(), from: &[u8], _: bool) -> io::Result<usize> {
        Ok(from.len())
    }

    fn file_presence(&mut self, _: &File, _: u64, _: usize) -> Presence {
        Presence::Here
    }

    fn send_file(&mut self, (): &(), _: &File, _: u64, max: usize) -> io::Result<usize> {
        Ok(max)
    }

    fn shutdown_write(&mut self, (): &()) -> io::Result<()> {
        Ok(())
    }

    fn unacknowledged(&mut self, (): &()) -> Option<u64> {
        None
    }

    fn short_read_drains((): &()) -> bool {
        true
    }

    fn close(&mut self, (): (), _: bool) {}

    fn watch(&mut self, fd: OwnedFd, _: Token, _: Ready) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn widen(&mut self, _: &OwnedFd, _: Token, _: Ready) -> io::Result<()> {
        Ok(())
    }

    fn watched_ready(&mut self, _: &OwnedFd, _: Ready) -> io::Result<Ready> {
        Ok(Ready::NONE)
    }

    fn watched_read(&mut self, _: &OwnedFd, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn watched_write(&mut self, _: &OwnedFd, from: &[u8]) -> io::Result<usize> {
        Ok(from.len())
    }

    fn release(&mut self, watched: OwnedFd) -> OwnedFd {
        watched
    }

    fn descriptor_limit(&self) -> Option<u64> {
        None
    }
}

/// Answers with what came, or with nothing.
struct Act {
    answers: bool,
}

impl Handler for Act {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), ctx: &mut Ctx<'_, Self>) {
        if self.answers {
            ctx.tx.take_from(&mut ctx.rx);
        } else {
            ctx.rx.consume(usize::MAX);
        }
    }
}

/// A reactor with `connections`, each of which has been driven once.
fn reactor(connections: usize, answers: bool, quiet: bool) -> Reactor<Null> {
    let sys = Null { ns: 1, waiting: connections, bytes: 64, listener: None, tokens: Vec::new(), quiet };
    let mut reactor = Reactor::with_sys(sys, Config::default());
    let key = reactor.add(Act { answers });
    let at = Endpoint::tcp(([127, 0, 0, 1], 1));
    reactor.listen(key, &at).unwrap_or_else(|e| panic!("{e}"));
    while reactor.connections() < connections {
        turn(&mut reactor);
    }
    turn(&mut reactor);
    reactor
}

fn turn(reactor: &mut Reactor<Null>) {
    reactor.turn(Some(Duration::ZERO)).unwrap_or_else(|e| panic!("{e}"));
}

#[divan::bench(args = [1, 64, 1000])]
fn read_dispatch_write(bencher: Bencher<'_, '_>, connections: usize) {
    let mut reactor = reactor(connections, true, false);
    bencher.counter(ItemsCount::new(connections)).bench_local(|| turn(&mut reactor));
}

#[divan::bench(args = [1, 64, 1000])]
fn read_dispatch(bencher: Bencher<'_, '_>, connections: usize) {
    let mut reactor = reactor(connections, false, false);
    bencher.counter(ItemsCount::new(connections)).bench_local(|| turn(&mut reactor));
}

/// A turn without an event must not cost more when many connections are idle.
#[divan::bench(args = [1, 1000, 10_000])]
fn turn_beside_idle_connections(bencher: Bencher<'_, '_>, connections: usize) {
    let mut reactor = reactor(connections, false, true);
    bencher.bench_local(|| turn(&mut reactor));
}

#[divan::bench]
fn post_and_run(bencher: Bencher<'_, '_>) {
    let mut reactor = reactor(1, false, true);
    let key = reactor.add(Act { answers: false });
    bencher.bench_local(|| {
        reactor.with(key, |_, table| table.post(|act, _| act.answers = true));
        turn(&mut reactor);
    });
}
