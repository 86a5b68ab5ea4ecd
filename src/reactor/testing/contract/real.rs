//! The properties on the real kernel: the same conversations over loopback TCP and a Unix socket give the bytes that
//! the simulated kernel gives. It waits on what it observes, until a deadline, and never sleeps for a state.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::process;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::conversation::{Conversation, show};
use super::properties::{Outcome, reference, same};
use super::record::Record;
use super::{Held, Subject, at};
use crate::reactor::endpoint::Address;
use crate::reactor::testing::spy::attach;
use crate::reactor::{Config, Endpoint, Handler, MioSys, Reactor};

/// How long one conversation may take before it counts as one that hangs.
const DEADLINE: Duration = Duration::from_secs(10);
/// What a slow reader reads at a time.
const SLOWLY: usize = 256;

/// How the peer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Tcp,
    Unix,
}

/// [`Property::RealKernel`](super::Property::RealKernel)(super::Property::RealKernel).
pub(super) fn same_answers<H: Handler>(subject: &Subject<H>) -> Held {
    all(subject, false)
}

/// [`Property::RealSlowReader`](super::Property::RealSlowReader)(super::Property::RealSlowReader).
pub(super) fn slow_reader<H: Handler>(subject: &Subject<H>) -> Held {
    all(subject, true)
}

fn all<H: Handler>(subject: &Subject<H>, slow: bool) -> Held {
    subject.each(|said| {
        let right = reference(subject, said)?;
        for way in [Way::Tcp, Way::Unix] {
            let place = || {
                let reader = if slow { ", smallest buffers and a slow reader" } else { "" };
                format!("on the real kernel over {way:?}{reader}")
            };
            let answer = at(Exchange::new(subject, way, slow)?.converse(said, &right), place)?;
            at(same(said, "the answer", &answer, &right), place)?;
        }
        Ok(())
    })
}

/// One connection on the real kernel, both ends in one thread.
struct Exchange<'s, H: Handler> {
    subject: &'s Subject<H>,
    reactor: Reactor<MioSys>,
    record: Rc<RefCell<Record>>,
    peer: Socket,
    answer: Vec<u8>,
    ended: bool,
    slow: bool,
    until: Instant,
}

impl<'s, H: Handler> Exchange<'s, H> {
    fn new(subject: &'s Subject<H>, way: Way, slow: bool) -> Held<Self> {
        let tell = |what: &str, e: &dyn std::fmt::Display| format!("the test cannot {what}: {e}");
        let mut reactor = Reactor::new(Config::default()).map_err(|e| tell("make a reactor", &e))?;
        let key = reactor.add((subject.make)());
        let record = Rc::<RefCell<Record>>::default();
        attach(&mut reactor, key, Rc::clone(&record));
        let mut place = match way {
            Way::Tcp => Endpoint::tcp(([127, 0, 0, 1], 0)),
            Way::Unix => abstract_name(),
        };
        if slow {
            // The kernel raises these to its least.
            place.options.send_buffer = Some(1);
            place.options.recv_buffer = Some(1);
        }
        let listener = reactor.listen(key, &place).map_err(|e| tell("listen", &e))?;
        let at = reactor.local(listener).map(|at| at.address.clone());
        let peer = connect(at.as_ref(), slow).map_err(|e| tell("connect", &e))?;
        Ok(Self {
            subject,
            reactor,
            record,
            peer,
            answer: Vec::new(),
            ended: false,
            slow,
            until: now() + DEADLINE,
        })
    }

    /// The whole conversation, and its answer, normalised.
    fn converse(mut self, said: &Conversation, right: &Outcome) -> Held<Vec<u8>> {
        for (nth, step) in said.steps.iter().enumerate() {
            if nth > 0 {
                self.wait_for(right.marks.get(nth - 1), "a step")?;
            }
            self.say(step)?;
        }
        if said.waits {
            self.wait_for(right.marks.last(), "the last step")?;
        }
        // What the handler has ended already cannot be ended once more.
        let _ = self.peer.shutdown(Shutdown::Write);
        while !self.ended {
            self.go_on("the connection never closes: its peer has ended its side")?;
        }
        let answer = self.subject.normal(&self.answer);
        if self.reactor.connections() > 0 {
            let _ = self.peer.shutdown(Shutdown::Both);
        }
        while self.reactor.connections() > 0 {
            self.go_on("leak: the connection stands after its peer has gone")?;
        }
        let record = self.record.borrow();
        record.verdict()?;
        if record.accepted != record.closed || record.living() > 0 {
            return Err(format!("callback order: {} taken, {} closed", record.accepted, record.closed));
        }
        Ok(answer)
    }

    fn say(&mut self, bytes: &[u8]) -> Held {
        let mut taken = 0;
        while taken < bytes.len() && !self.ended {
            match self.peer.write(&bytes[taken..]) {
                Ok(n) => taken += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::Interrupted => {}
                // The handler has ended the connection: what it said before is all.
                Err(_) => return Ok(()),
            }
            self.go_on("the handler does not read")?;
        }
        Ok(())
    }

    /// Goes on until as much was answered as in the simulation.
    fn wait_for(&mut self, mark: Option<&Vec<u8>>, what: &str) -> Held {
        let Some(mark) = mark else { return Ok(()) };
        while !self.ended && self.subject.normal(&self.answer).len() < mark.len() {
            self.go_on(&format!("{what} is not answered in full"))?;
        }
        Ok(())
    }

    /// One turn, and one read.
    fn go_on(&mut self, otherwise: &str) -> Held {
        self.reactor.turn(Some(Duration::from_millis(1))).map_err(|e| e.to_string())?;
        self.reactor.check();
        self.record.borrow().verdict()?;
        let mut block = [0; 64 * 1024];
        let most = if self.slow { SLOWLY } else { block.len() };
        match self.peer.read(&mut block[..most]) {
            Ok(0) => self.ended = true,
            Ok(n) => self.answer.extend_from_slice(&block[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
        }
        if now() < self.until {
            return Ok(());
        }
        Err(format!("{otherwise}, for {DEADLINE:?}; it was answered {}", show(&self.answer)))
    }
}

fn connect(to: Option<&Address>, slow: bool) -> io::Result<Socket> {
    let socket = match to {
        Some(Address::Tcp(at)) => {
            let socket = Socket::new(Domain::for_address(*at), Type::STREAM, None)?;
            if slow {
                socket.set_recv_buffer_size(1)?;
            }
            socket.connect(&(*at).into())?;
            socket
        }
        // Over a Unix socket only the sender's buffer counts.
        Some(Address::Abstract(name)) => {
            let at = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            Socket::from(UnixStream::connect_addr(&at)?)
        }
        _ => return Err(ErrorKind::AddrNotAvailable.into()),
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A name that nobody else listens at.
fn abstract_name() -> Endpoint {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    Address::Abstract(format!("tidemill-contract-{}-{nth}", process::id()).into_bytes()).into()
}

#[allow(clippy::disallowed_methods, reason = "the real kernel has to be waited for until a deadline")]
fn now() -> Instant {
    Instant::now()
}
