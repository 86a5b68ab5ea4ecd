//! The simulated kernel's promises: what is sent arrives under every benign fault, an edge follows whatever needs one,
//! and a program that breaks the rules of edge-triggered readiness hangs.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::super::{Call, Faults, Rng, SimListener, SimSocket, SimSys, World, seeds};
use crate::reactor::endpoint::{Address, Endpoint};
use crate::reactor::id::{ConnId, ListenerId, Token};
use crate::reactor::sys::{Ready, Sys};

const LISTENER: Token = Token::Listener(ListenerId { slot: 0, serial: 1 });

/// When a program takes a socket for empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// After a short read, where the kernel allows it.
    AsPromised,
    /// After every short read.
    EveryShortRead,
    /// After any read at all: not edge-triggered.
    OneRead,
    /// As promised, but a bit once cleared by a short write.
    ShortWrites,
}

struct End {
    socket: SimSocket,
    ready: Ready,
    out: Vec<u8>,
    got: Vec<u8>,
    eof: bool,
    shut: bool,
    /// Sends back what it gets.
    echoes: bool,
}

/// The smallest edge-triggered program: it echoes, or sends a fixed text and reads what comes back.
struct Program {
    sys: SimSys,
    trust: Trust,
    listener: Option<SimListener>,
    waiting: bool,
    ends: BTreeMap<u64, End>,
    serial: u32,
}

impl Program {
    fn new(world: &World, trust: Trust) -> Self {
        Self { sys: world.sys(), trust, listener: None, waiting: false, ends: BTreeMap::new(), serial: 0 }
    }

    fn listen(&mut self, at: &Endpoint) -> Endpoint {
        let made = self.sys.listen(at, LISTENER).unwrap();
        self.listener = Some(made.listener);
        made.at
    }

    fn add(&mut self, socket: SimSocket, out: Vec<u8>, echoes: bool) {
        self.serial += 2;
        let token = Token::Conn(ConnId { slot: 0, serial: self.serial });
        self.sys.register(&socket, token).unwrap();
        let ready = Ready::NONE;
        let end = End { socket, ready, out, got: Vec::new(), eof: false, shut: false, echoes };
        self.ends.insert(token.pack(), end);
    }

    fn turn(&mut self) {
        let mut events = Vec::new();
        self.sys.poll(None, &mut |token, ready| events.push((token, ready))).unwrap();
        for (token, ready) in events {
            if token == LISTENER {
                self.waiting = true;
            } else if let Some(end) = self.ends.get_mut(&token.pack()) {
                end.ready = end.ready.or(ready);
            }
        }
        while self.waiting {
            let Some(listener) = &self.listener else { break };
            match self.sys.accept(listener) {
                Ok((socket, _)) => self.add(socket, Vec::new(), true),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.waiting = false,
                Err(_) => {}
            }
        }
        for end in self.ends.values_mut() {
            while read(&mut self.sys, self.trust, end) || write(&mut self.sys, self.trust, end) {}
        }
    }

    fn finished(&self) -> bool {
        !self.ends.is_empty() && self.ends.values().all(|end| end.eof && end.shut)
    }
}

/// Reads once, if the socket may have something; whether it made a difference.
fn read(sys: &mut SimSys, trust: Trust, end: &mut End) -> bool {
    if end.eof || !end.ready.any(Ready::READABLE.or(Ready::READ_CLOSED)) {
        return false;
    }
    let mut block = [0; 512];
    match sys.read(&end.socket, &mut block) {
        Ok(0) => end.eof = true,
        Ok(n) => {
            let into = if end.echoes { &mut end.out } else { &mut end.got };
            into.extend_from_slice(&block[..n]);
            let drained = match trust {
                Trust::AsPromised | Trust::ShortWrites => {
                    SimSys::short_read_drains(&end.socket) && !end.ready.any(Ready::READ_CLOSED)
                }
                Trust::EveryShortRead => true,
                Trust::OneRead => true,
            };
            if drained && (n < block.len() || trust == Trust::OneRead) {
                end.ready = end.ready.without(Ready::READABLE.or(Ready::READ_CLOSED));
            }
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            end.ready = end.ready.without(Ready::READABLE.or(Ready::READ_CLOSED));
        }
        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
        Err(e) => panic!("read: {e}"),
    }
    true
}

/// Writes once, if there is something; whether it made a difference.
fn write(sys: &mut SimSys, trust: Trust, end: &mut End) -> bool {
    if end.shut || !end.ready.any(Ready::WRITABLE) {
        return false;
    }
    if end.out.is_empty() {
        if end.echoes && !end.eof {
            return false;
        }
        sys.shutdown_write(&end.socket).unwrap();
        end.shut = true;
        return true;
    }
    match sys.write(&end.socket, &end.out, false) {
        Ok(n) => {
            if n < end.out.len() && trust == Trust::ShortWrites {
                end.ready = end.ready.without(Ready::WRITABLE);
            }
            end.out.drain(..n);
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => end.ready = end.ready.without(Ready::WRITABLE),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
        Err(e) => panic!("write: {e}"),
    }
    true
}

/// One client and one echo in a world of their own: `Ok` with what came back, `Err` when they hang.
fn echo(seed: u64, at: &Endpoint, faults: Faults, trust: Trust) -> Result<(), String> {
    let most = faults.buffer_max * 16;
    let world = World::with_faults(seed, faults);
    let (mut server, mut client) = (Program::new(&world, trust), Program::new(&world, trust));
    let at = server.listen(at);
    let mut rng = Rng::new(seed);
    // Through one-byte buffers a short text is as good as a long one.
    let n = rng.size(most.min(8_000));
    let text = rng.bytes(n);
    let (socket, _) = client.sys.connect(&at).map_err(|e| e.to_string())?;
    client.add(socket, text.clone(), false);
    let mut rounds = 0;
    while !(server.finished() && client.finished()) {
        server.turn();
        client.turn();
        rounds += 1;
        if (world.is_idle() && !world.step()) || rounds > 500_000 {
            return Err(format!("seed {seed}: hangs after {rounds} rounds"));
        }
    }
    let got: Vec<u8> = client.ends.values().flat_map(|end| end.got.clone()).collect();
    if got == text {
        Ok(())
    } else {
        Err(format!("seed {seed}: {} bytes of {} came back", got.len(), text.len()))
    }
}

fn tcp() -> Endpoint {
    Endpoint::tcp(([127, 0, 0, 1], 7))
}

fn unix() -> Endpoint {
    Endpoint::from(Address::Abstract(b"echo".to_vec()))
}

#[test]
fn what_is_sent_arrives_under_all_benign_faults() {
    seeds("what_is_sent_arrives_under_all_benign_faults", |seed| {
        for at in [tcp(), unix()] {
            echo(seed, &at, Faults::benign(), Trust::AsPromised).unwrap();
            echo(seed, &at, Faults::benign().swarm(seed), Trust::AsPromised).unwrap();
        }
    });
}

#[test]
fn programs_that_break_the_rules_hang() {
    let hangs = |at: &Endpoint, trust| {
        (0..64).filter(|seed| echo(*seed, at, Faults::benign().swarm(*seed), trust).is_err()).count()
    };
    for (name, at, trust) in [
        ("one read per event, TCP", tcp(), Trust::OneRead),
        ("one read per event, Unix", unix(), Trust::OneRead),
        ("short reads trusted on Unix", unix(), Trust::EveryShortRead),
        ("short writes trusted, TCP", tcp(), Trust::ShortWrites),
    ] {
        let n = hangs(&at, trust);
        assert!(n > 3, "{name}: only {n} of 64 seeds hang");
    }
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let run = |seed| {
        let world = World::with_faults(seed, Faults::hostile());
        let mut server = Program::new(&world, Trust::AsPromised);
        let at = server.listen(&tcp());
        let mut peers: Vec<_> = (0..5).map(|_| world.dial(&at).unwrap()).collect();
        for _ in 0..20 {
            for peer in &mut peers {
                peer.write(b"abcdefgh");
            }
            world.advance(Duration::from_micros(300));
        }
        (
            world.now(),
            world.next_event_time(),
            peers.iter_mut().map(|p| p.unacknowledged()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn running_out_of_descriptors_leaves_the_connection_in_the_queue_without_an_edge() {
    let world = World::new(1);
    let mut server = Program::new(&world, Trust::AsPromised);
    let at = server.listen(&tcp());
    let process = server.sys.id();
    let listener = server.listener.take().unwrap();
    let mut peer = world.dial(&at).unwrap();
    let other = world.dial(&at).unwrap();
    let events = |sys: &mut SimSys| {
        let mut n = 0;
        sys.poll(Some(Duration::ZERO), &mut |_, _| n += 1).unwrap();
        n
    };
    assert_eq!(events(&mut server.sys), 1);
    world.set_descriptor_limit(process, Some(4));
    let e = server.sys.accept(&listener).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    assert_eq!(events(&mut server.sys), 0);
    assert!(server.sys.shed(&listener));
    peer.read();
    assert!(peer.is_eof());
    world.set_descriptor_limit(process, Some(5));
    let (socket, _) = server.sys.accept(&listener).unwrap();
    assert_eq!(world.open_sockets(process), 1);
    assert!(server.sys.accept(&listener).is_err());
    server.sys.close(socket, false);
    assert_eq!((world.open_sockets(process), world.dropped_sockets(process)), (0, 0));
    drop(other);
    assert!(!server.sys.shed(&listener));
}

#[test]
fn connects_fail_as_they_do_on_a_real_network() {
    let world = World::new(1);
    let mut sys = world.sys();
    let away = Endpoint::tcp(([192, 0, 2, 1], 80));
    world.drop_connects_to(&away);
    let (socket, stands) = sys.connect(&away).unwrap();
    assert!(!stands);
    world.advance(Duration::from_secs(126));
    assert!(!sys.connected(&socket).unwrap());
    world.advance(Duration::from_secs(2));
    assert_eq!(sys.connected(&socket).unwrap_err().kind(), io::ErrorKind::TimedOut);
    let server = world.serve(&Endpoint { ..tcp() }).unwrap();
    let mut full = Vec::new();
    let mut at = server.endpoint().clone();
    at.options.backlog = 0;
    for _ in 0..4097 {
        full.push(world.dial(&at).unwrap());
    }
    let late = world.dial(&at).unwrap();
    assert!(!late.is_connected());
    assert!(server.accept().is_some());
    world.advance(Duration::from_secs(1));
    assert!(late.is_connected());
}

#[test]
fn a_poll_alone_moves_the_clock_and_a_hang_is_noticed() {
    let world = World::new(1);
    let mut sys = world.sys();
    sys.poll(Some(Duration::from_secs(5)), &mut |_, _| {}).unwrap();
    assert_eq!(world.now().as_nanos(), 5_000_000_000);
    assert!(!world.is_stuck());
    sys.poll(None, &mut |_, _| {}).unwrap();
    assert!(world.is_stuck());
    assert!(!world.is_stuck());
}

#[test]
fn several_processes_sleep_until_the_world_steps() {
    let world = World::new(1);
    let (mut a, mut b) = (world.sys(), world.sys());
    a.poll(Some(Duration::from_secs(5)), &mut |_, _| {}).unwrap();
    assert!(!world.is_idle());
    b.poll(Some(Duration::from_secs(3)), &mut |_, _| {}).unwrap();
    assert!(world.is_idle());
    assert!(world.step());
    assert_eq!(world.now().as_nanos(), 3_000_000_000);
    assert!(!world.is_idle());
    b.poll(None, &mut |_, _| {}).unwrap();
    assert!(world.step());
    a.poll(None, &mut |_, _| {}).unwrap();
    assert!(!world.step());
    drop(b);
    let waker = a.waker();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    let mut woken = false;
    a.poll(None, &mut |token, _| woken |= token == Token::Wake).unwrap();
    assert!(woken);
}

#[test]
fn the_chosen_call_fails_and_no_other() {
    let world = World::new(1);
    let mut sys = world.sys();
    let listener = sys.listen(&tcp(), LISTENER).unwrap();
    let mut peer = world.dial(&listener.at).unwrap();
    world.fail_call(2);
    let (socket, _) = sys.accept(&listener.listener).unwrap();
    assert_eq!(world.failed_call(), None);
    peer.write(b"lost");
    let e = sys.read(&socket, &mut [0; 10]).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(world.failed_call(), Some(Call::Read));
    assert_eq!(sys.read(&socket, &mut [0; 10]).unwrap(), 0);
    assert_eq!(peer.error().map(|e| e.kind()), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(world.calls_of(Call::Read), 2);
    drop(socket);
    assert_eq!(world.dropped_sockets(sys.id()), 1);
}

#[test]
fn events_for_closed_sockets_come_when_they_are_asked_for() {
    let world = World::new(1);
    let mut program = Program::new(&world, Trust::AsPromised);
    let at = program.listen(&tcp());
    let _peer = world.dial(&at).unwrap();
    program.turn();
    let (raw, end) = program.ends.pop_first().unwrap();
    program.sys.close(end.socket, false);
    world.replay_stale_events(program.sys.id());
    let mut seen = Vec::new();
    program.sys.poll(None, &mut |token, _| seen.push(token)).unwrap();
    assert_eq!(seen, [Token::unpack(raw)]);
}

#[test]
fn what_is_held_back_for_more_goes_out_after_200_ms_or_with_the_next_write() {
    let world = World::new(1);
    let server = world.serve(&tcp()).unwrap();
    let mut sys = world.sys();
    let (socket, _) = sys.connect(server.endpoint()).unwrap();
    let mut peer = server.accept().unwrap();
    sys.write(&socket, b"head", true).unwrap();
    assert_eq!(peer.read(), b"");
    sys.write(&socket, b"body", false).unwrap();
    assert_eq!(peer.read(), b"headbody");
    sys.write(&socket, b"forgotten", true).unwrap();
    world.advance(Duration::from_millis(199));
    assert_eq!(peer.read(), b"");
    world.advance(Duration::from_millis(1));
    assert_eq!(peer.read(), b"forgotten");
}

#[test]
fn an_adopted_descriptor_is_a_connection_and_a_strange_one_is_refused() {
    let world = World::new(1);
    let mut sys = world.sys();
    let (fd, mut peer) = world.descriptor().unwrap();
    let socket = sys.adopt(fd).unwrap().socket;
    peer.write(b"inherited");
    let mut block = [0; 20];
    assert_eq!(sys.read(&socket, &mut block).unwrap(), 9);
    assert!(!SimSys::short_read_drains(&socket));
    assert!(sys.adopt(std::fs::File::open("/dev/null").unwrap().into()).is_err());
}
