//! A kernel with a log: what each call gives, and which readiness each poll reports.
//!
//! A script holds both ends of its connections in one process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use crate::reactor::endpoint::{Address, Endpoint};
use crate::reactor::id::{ConnId, ListenerId, Token};
use crate::reactor::sys::{Ready, Sys};

/// Long enough for loopback, which delivers within the sender's call.
const QUIET: Duration = Duration::from_millis(15);

/// A kernel, a log, and the names that the log uses for tokens.
pub(super) struct Rig<S: Sys> {
    pub(super) sys: S,
    pub(super) log: String,
    family: &'static str,
    pub(super) names: BTreeMap<u64, &'static str>,
    serial: u32,
}

/// Both ends of a connection, registered as `c` and `s`.
pub(super) struct Pair<S: Sys> {
    pub(super) listener: S::Listener,
    pub(super) at: Endpoint,
    pub(super) client: S::Socket,
    pub(super) server: S::Socket,
}

impl<S: Sys> Rig<S> {
    pub(super) fn new(sys: S, family: &'static str) -> Self {
        Self { sys, log: String::new(), family, names: BTreeMap::new(), serial: 0 }
    }

    pub(super) fn note(&mut self, what: &str, result: impl std::fmt::Debug) {
        let _ = writeln!(self.log, "{what}: {result:?}");
    }

    pub(super) fn token(&mut self, name: &'static str, listener: bool) -> Token {
        self.serial += 2;
        let token = if listener {
            Token::Listener(ListenerId { slot: 0, serial: self.serial + 1 })
        } else {
            Token::Conn(ConnId { slot: 0, serial: self.serial })
        };
        self.names.insert(token.pack(), name);
        token
    }

    pub(super) fn place(&self, nth: u32) -> Endpoint {
        match self.family {
            "tcp" => Endpoint::tcp(([127, 0, 0, 1], 0)),
            _ => {
                let name = format!("tidemill-differential-{}-{nth}-{}", std::process::id(), unique());
                Endpoint::from(Address::Abstract(name.into_bytes()))
            }
        }
    }

    pub(super) fn listen(&mut self) -> (S::Listener, Endpoint) {
        let token = self.token("l", true);
        let made = self.sys.listen(&self.place(0), token).unwrap();
        (made.listener, made.at)
    }

    pub(super) fn pair(&mut self) -> Pair<S> {
        self.pair_with(|_| {})
    }

    pub(super) fn pair_with(&mut self, options: impl FnOnce(&mut Endpoint)) -> Pair<S> {
        let token = self.token("l", true);
        let mut at = self.place(0);
        options(&mut at);
        let made = self.sys.listen(&at, token).unwrap();
        let (listener, at) = (made.listener, made.at);
        let (client, _) = self.sys.connect(&at).unwrap();
        let token = self.token("c", false);
        self.sys.register(&client, token).unwrap();
        self.events("connected");
        let (server, _) = self.sys.accept(&listener).unwrap();
        let token = self.token("s", false);
        self.sys.register(&server, token).unwrap();
        self.events("accepted");
        Pair { listener, at, client, server }
    }

    /// Notes which readiness is reported until nothing more comes.
    pub(super) fn events(&mut self, when: &str) {
        let mut seen: BTreeMap<u64, Ready> = BTreeMap::new();
        loop {
            let before = seen.len();
            let mut more = false;
            self.sys
                .poll(Some(QUIET), &mut |token, ready| {
                    let known = seen.entry(token.pack()).or_default();
                    *known = known.or(ready);
                    more = true;
                })
                .unwrap();
            if !more && seen.len() == before {
                break;
            }
        }
        let named: BTreeMap<&str, Ready> =
            seen.iter().map(|(raw, ready)| (self.names[raw], *ready)).collect();
        self.note(when, named);
    }

    pub(super) fn read(&mut self, what: &str, socket: &S::Socket, n: usize) {
        let mut block = vec![0; n];
        let result =
            self.sys.read(socket, &mut block).map(|n| String::from_utf8_lossy(&block[..n]).into_owned());
        self.note(what, result.map_err(kind));
    }

    pub(super) fn write(&mut self, what: &str, socket: &S::Socket, from: &[u8]) {
        let result = self.sys.write(socket, from, false).map_err(kind);
        self.note(what, result);
    }

    /// Writes until there is no room.
    pub(super) fn fill(&mut self, socket: &S::Socket) -> usize {
        let (block, mut sum) = ([7; 4096], 0);
        loop {
            match self.sys.write(socket, &block, false) {
                Ok(n) => sum += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    // The peer may still be taking what the kernel has.
                    let mut quiet = true;
                    self.sys.poll(Some(QUIET), &mut |_, ready| quiet &= !ready.any(Ready::WRITABLE)).unwrap();
                    if quiet {
                        return sum;
                    }
                }
                Err(e) => panic!("fill: {e}"),
            }
        }
    }

    /// Reads until nothing more comes, and notes what `name` heard meanwhile.
    pub(super) fn drain_until_quiet(&mut self, socket: &S::Socket, name: &str) {
        let (mut heard, mut quiet) = (Ready::NONE, false);
        while !quiet {
            quiet = self.drain(socket) == 0;
            self.sys
                .poll(Some(QUIET), &mut |token, ready| {
                    if self.names[&token.pack()] == name {
                        heard = heard.or(ready);
                    }
                })
                .unwrap();
        }
        self.note("heard while the other side reads", heard);
    }

    /// Reads until there is nothing.
    pub(super) fn drain(&mut self, socket: &S::Socket) -> usize {
        let (mut block, mut sum) = ([0; 4096], 0);
        loop {
            match self.sys.read(socket, &mut block) {
                Ok(0) => return sum,
                Ok(n) => sum += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return sum,
                Err(e) => panic!("drain: {e}"),
            }
        }
    }
}

pub(super) fn kind(e: io::Error) -> String {
    e.raw_os_error().map_or_else(|| e.to_string(), |n| rustix::io::Errno::from_raw_os_error(n).to_string())
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
