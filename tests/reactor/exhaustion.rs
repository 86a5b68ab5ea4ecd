//! Out of descriptors: the reactor sheds, pauses, sleeps, and goes on after closes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidemill::reactor::Config;

use crate::support::{Act, Rig, child, client, logged};

const FILES: u64 = 64;

/// Takes every descriptor that is left.
fn take_all() -> Vec<OwnedFd> {
    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok().map(OwnedFd::from)).collect()
}

#[test]
fn out_of_descriptors_it_neither_spins_nor_stalls() {
    child("exhaustion::without_descriptors");
}

#[test]
#[ignore = "lowers the limits of its whole process: run as a child by the test above"]
fn without_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: limit.maximum }).unwrap();
    let mut config = Config::default();
    config.connections_gate = Some(10_000);
    config.accept_pause = Duration::from_millis(50);
    let mut rig = Rig::with_config(Act::new(), config);
    let (mut served, _) = rig.open();
    // These wait in the kernel's queue: their own ends are open, ours are not.
    let waiting: Vec<_> = (0..4).map(|_| rig.client()).collect();
    let mut hoard = take_all();
    assert!(hoard.len() > 20, "nothing was left to take");

    rig.until("the first is shed", |rig| rig.reactor.stats().shed >= 1);
    assert_eq!(rig.reactor.connections(), 1);
    let (mut turns, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_millis(400) {
        rig.reactor.turn(Some(Duration::from_secs(1))).unwrap();
        turns += 1;
    }
    assert!(turns < 40, "{turns} turns in 400 ms: it spins");
    assert!(logged("socket.fd_exhausted").len() <= 2, "one line a second: {:?}", logged("fd_exhausted"));

    served.write_all(b"ok").unwrap();
    rig.turn();
    rig.turn();
    served.read_exact(&mut [0; 2]).unwrap();
    drop(waiting);
    let shed = rig.reactor.stats().shed;
    assert!((1..=4).contains(&shed), "{shed} were shed");

    // With descriptors free again it goes on by its own timer, without an event.
    let late = rig.client_despite(&mut hoard);
    rig.until("the late one is served", |rig| rig.ids().len() == 2);
    goes_on_after_a_close(&mut rig, served, late, hoard);
}

/// A close frees a descriptor: the next in the queue gets it before the pause is over.
fn goes_on_after_a_close(rig: &mut Rig, first: TcpStream, second: TcpStream, mut hoard: Vec<OwnedFd>) {
    let third = rig.client_despite(&mut hoard);
    rig.until("the third is served or shed", |rig| rig.ids().len() == 3 || rig.reactor.stats().pauses > 0);
    drop((first, second, third));
    hoard.clear();
    rig.until("all are gone", |rig| rig.reactor.connections() == 0);
    let answer = rig.with_client(|at| {
        let mut stream = client(at);
        stream.write_all(b"back")?;
        let mut four = [0; 4];
        stream.read_exact(&mut four).map(|()| four)
    });
    assert_eq!(&answer.unwrap(), b"back");
}

impl Rig {
    /// A client in a process that has no descriptor left: two of the hoard's are given up, for both its ends.
    fn client_despite(&self, hoard: &mut Vec<OwnedFd>) -> TcpStream {
        hoard.truncate(hoard.len() - 2);
        self.client()
    }
}

#[test]
fn a_shed_peer_sees_its_end_instead_of_silence() {
    child("exhaustion::shed_peer");
}

#[test]
#[ignore = "lowers the limits of its whole process: run as a child by the test above"]
fn shed_peer() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: limit.maximum }).unwrap();
    let mut config = Config::default();
    config.connections_gate = Some(10_000);
    let mut rig = Rig::with_config(Act::new(), config);
    let mut stream = rig.client();
    let _hoard = take_all();
    rig.until("it is shed", |rig| rig.reactor.stats().shed == 1);
    let end = stream.read(&mut [0]).map_err(|e| e.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    assert_eq!((rig.ended(), rig.reactor.connections()), (0, 0));
}
