//! Bounds on connections: of a service, of a client address, and the reactor's gate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use tidemill::reactor::{Config, Endpoint, Refuse};

use crate::support::{Act, Rig, client};

fn limited(set: impl FnOnce(&mut tidemill::reactor::Limits)) -> Act {
    Act::new().limits(set).limit(|_| Refuse::with(&b"full\n"[..]))
}

/// Whether a new client is served; the one that is, stays.
fn try_client(rig: &mut Rig) -> Option<TcpStream> {
    rig.with_client(|at| {
        let mut stream = client(at);
        stream.write_all(b"tide").unwrap();
        let mut answer = Vec::new();
        let mut four = [0; 4];
        stream.read_exact(&mut four).unwrap();
        if four == *b"full" {
            stream.read_to_end(&mut answer).unwrap();
            return None;
        }
        assert_eq!(&four, b"tide");
        Some(stream)
    })
}

#[test]
fn beyond_connections_max_a_peer_is_told_and_a_close_makes_room() {
    let mut rig = Rig::new(limited(|l| l.connections_max = Some(2)));
    let first = try_client(&mut rig).unwrap();
    let _second = try_client(&mut rig).unwrap();
    assert!(try_client(&mut rig).is_none());
    assert_eq!((rig.reactor.stats().limited, rig.ended()), (1, 0), "a refused peer has no on_close");
    drop(first);
    rig.until_ended(1);
    assert!(try_client(&mut rig).is_some());
}

#[test]
fn a_refused_peer_that_does_not_leave_takes_nobodys_place() {
    let mut rig = Rig::new(limited(|l| l.connections_max = Some(1)));
    let first = try_client(&mut rig).unwrap();
    let mut lingers = rig.client();
    lingers.write_all(b"x").unwrap();
    rig.until("the refusal", |rig| rig.reactor.stats().limited == 1);
    drop(first);
    rig.until_ended(1);
    assert!(try_client(&mut rig).is_some(), "the refused one lingers and must not count");
}

#[test]
fn per_client_max_counts_each_address_by_itself() {
    let mut rig = Rig::new(limited(|l| l.per_client_max = Some(1)));
    let mine = try_client(&mut rig).unwrap();
    assert!(try_client(&mut rig).is_none());
    let other = rig.with_client(|at| {
        let from = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        from.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
        from.connect(&at.into()).unwrap();
        let mut stream = TcpStream::from(from);
        stream.write_all(b"tide").unwrap();
        let mut four = [0; 4];
        stream.read_exact(&mut four).map(|()| four)
    });
    assert_eq!(&other.unwrap(), b"tide");
    drop(mine);
    rig.until("my place is free", |rig| rig.ended() >= 2);
    assert!(try_client(&mut rig).is_some());
}

#[test]
fn unix_peers_have_no_address_to_be_counted_by() {
    let mut rig = Rig::new(limited(|l| l.per_client_max = Some(1)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    rig.reactor.listen(rig.key, &Endpoint::unix(&path)).unwrap();
    let clients: Vec<_> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
    rig.until("all three", |rig| rig.ids().len() == 3);
    assert_eq!((clients.len(), rig.reactor.stats().limited), (3, 0));
}

#[test]
fn at_the_gate_the_rest_waits_in_the_kernel_and_a_close_lets_the_next_in() {
    let mut config = Config::default();
    config.connections_gate = Some(2);
    config.accept_pause = std::time::Duration::from_secs(60);
    let mut rig = Rig::with_config(Act::new(), config);
    let mut clients: Vec<_> = (0..5).map(|_| rig.client()).collect();
    rig.until("the pause", |rig| rig.reactor.stats().pauses == 1);
    assert_eq!(rig.reactor.connections(), 2);
    let wait = rig.reactor.next_wait().unwrap();
    assert!(wait > std::time::Duration::from_secs(30), "it sleeps instead of spinning: {wait:?}");
    for ended in 1..=3 {
        drop(clients.remove(0));
        rig.until_ended(ended);
        rig.until("the next", |rig| rig.ids().len() == 2);
    }
    clients[1].write_all(b"last").unwrap();
    let mut last = clients.remove(1);
    let answer = rig.with_client(move |_| {
        let mut four = [0; 4];
        last.read_exact(&mut four).map(|()| four)
    });
    assert_eq!(&answer.unwrap(), b"last");
}

#[test]
fn at_the_gate_no_timer_wakes_the_loop_and_a_close_lets_the_next_in() {
    let mut config = Config::default();
    config.connections_gate = Some(1);
    let mut rig = Rig::with_config(Act::new(), config);
    let [first, _second] = [rig.client(), rig.client()];
    rig.until("the pause", |rig| rig.reactor.stats().pauses == 1);
    assert_eq!(rig.reactor.connections(), 1);
    let idle = rig.reactor.next_wait().is_none_or(|wait| wait > std::time::Duration::from_secs(60));
    assert!(idle, "nothing but a close can help");
    drop(first);
    rig.until_ended(1);
    rig.until("the second", |rig| rig.reactor.connections() == 1);
}

#[test]
fn a_turn_accepts_no_more_than_its_budget_and_the_next_goes_on() {
    let mut config = Config::default();
    config.turn_accepts_max = 3;
    let mut rig = Rig::with_config(Act::new(), config);
    let clients: Vec<_> = (0..10).map(|_| rig.client()).collect();
    let mut seen = Vec::new();
    rig.until("all of them", |rig| {
        seen.push(rig.reactor.connections());
        rig.reactor.connections() == clients.len()
    });
    assert!(seen.windows(2).all(|w| w[1] - w[0] <= 3), "{seen:?}");
}
