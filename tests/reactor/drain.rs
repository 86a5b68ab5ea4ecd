//! Draining: what is queued is accepted, new connects are refused, the idle go, the busy finish, the rest is reset.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tidemill::reactor::{By, Deadline};

use crate::support::{Act, Conn, PATIENCE, Rig, client};

#[test]
fn idle_connections_are_closed_at_once_and_new_connects_are_refused() {
    let mut rig = Rig::new(Act::new());
    let idle: Vec<_> = (0..3).map(|_| rig.open().0).collect();
    let handle = rig.reactor.handle();
    handle.stop(PATIENCE);
    rig.until("the drain begins", |rig| rig.reactor.with(rig.key, |_, table| table.is_draining()));
    assert_eq!(TcpStream::connect(rig.at).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    rig.until_ended(3);
    for stream in idle {
        assert_eq!(rig.read_all(stream).unwrap(), b"", "a FIN, not a reset");
    }
    rig.nth(0, |e| {
        assert_eq!((e.reason(), e.report.reason.by), ("finished", By::Us));
        assert!(e.report.ledger.total < 5_000_000_000, "{}", e.report.ledger);
    });
}

#[test]
fn what_the_kernel_has_queued_is_accepted_and_what_it_has_sent_is_seen_first() {
    let mut rig = Rig::new(Act::new());
    let mut queued = rig.client();
    queued.write_all(b"just in time").unwrap();
    rig.reactor.stop(PATIENCE);
    rig.reactor.run().unwrap();
    let mut echo = String::new();
    queued.read_to_string(&mut echo).unwrap();
    assert_eq!(echo, "just in time");
    rig.nth(0, |e| assert_eq!(e.conn.log, ["open", "data", "room", "drain"]));
}

/// A download that takes a few rounds, and goes on while draining.
fn busy() -> Act {
    fn produce(conn: &mut Conn, ctx: &mut tidemill::reactor::Ctx<'_, Act>) {
        let want = ((8 << 20) - conn.n).min(64 * 1024) as usize;
        conn.n += ctx.tx.write(&vec![2; want]) as u64;
        if conn.n == 8 << 20 {
            ctx.close_clean();
        }
    }
    Act::new().open(produce).room(produce).drain(|_, _| {})
}

#[test]
fn a_busy_connection_finishes_and_then_the_drain_is_over() {
    let mut rig = Rig::new(busy());
    let (stream, _) = rig.open();
    let handle = rig.reactor.handle();
    let reader = std::thread::spawn(move || {
        let (mut stream, mut all) = (stream, Vec::new());
        stream.read_exact(&mut [0; 1000]).unwrap();
        handle.stop(PATIENCE);
        stream.read_to_end(&mut all).map(|_| all.len() + 1000)
    });
    rig.reactor.run().unwrap();
    assert_eq!((rig.ended(), rig.reactor.connections()), (1, 0));
    rig.nth(0, |e| {
        assert_eq!((e.reason(), e.report.reason.unsent), ("finished", 0));
        assert!(e.conn.log.contains(&"drain"));
    });
    assert_eq!(reader.join().unwrap().unwrap(), 8 << 20);
}

#[test]
fn after_the_grace_the_rest_is_reset_and_run_returns() {
    let mut rig = Rig::new(Act::new().drain(|_, _| {}));
    let (mut stubborn, _) = rig.open();
    rig.reactor.stop(Duration::from_millis(40));
    rig.reactor.run().unwrap();
    assert_eq!(rig.ended(), 1);
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!((r.name(), r.deadline, r.by), ("tcp.drained", Some(Deadline::Drain), By::Reactor));
    });
    assert_eq!(stubborn.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_second_stop_can_shorten_the_grace_and_never_extends_it() {
    let mut rig = Rig::new(Act::new().drain(|_, _| {}));
    let (_stubborn, _) = rig.open();
    rig.reactor.stop(PATIENCE);
    rig.turn();
    rig.reactor.handle().stop(2 * PATIENCE);
    rig.turn();
    let wait = rig.reactor.next_wait().unwrap();
    assert!(wait <= PATIENCE, "{wait:?}");
    rig.reactor.handle().stop(Duration::ZERO);
    rig.reactor.run().unwrap();
    assert_eq!(rig.ended(), 1);
}

#[test]
fn helpers_that_hold_no_drain_are_left_alone_and_still_work() {
    let mut rig = Rig::new(Act::new());
    let helper = rig.reactor.add(Act::new().limits(|l| l.hold_drain = false));
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    rig.reactor.adopt(helper, ours.into(), Conn::default()).unwrap();
    let (_idle, _) = rig.open();
    rig.reactor.stop(PATIENCE);
    rig.reactor.run().unwrap();
    assert_eq!((rig.ended(), rig.reactor.connections()), (1, 1));
    theirs.write_all(b"?").unwrap();
    rig.turn();
    rig.turn();
    theirs.read_exact(&mut [0]).unwrap();
    rig.reactor.with(helper, |act, _| assert!(act.ended.is_empty()));
}

#[test]
fn a_connect_that_does_not_stand_is_given_up_when_the_grace_ends() {
    let mut rig = Rig::new(Act::new());
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&deaf, 0).unwrap();
    let at = deaf.local_addr().unwrap();
    let _held: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&at, Duration::from_millis(200)).ok())
            .take(8)
            .collect();
    rig.reactor.connect(rig.key, &at.into(), Conn::default()).unwrap();
    rig.turn();
    rig.reactor.stop(Duration::from_millis(100));
    rig.reactor.run().unwrap();
    rig.nth(0, |e| assert_eq!((e.reason(), e.conn.log.len()), ("tcp.drained", 0)));
}

#[test]
fn a_handler_that_connects_again_in_on_close_cannot_hold_a_drain_for_ever() {
    let mut rig = Rig::new(Act::new());
    let at = rig.at;
    let out = rig.reactor.add(Act::new().close(move |_, _, table| {
        let _ = table.connect(&at.into(), Conn::default());
    }));
    rig.reactor.connect(out, &at.into(), Conn::default()).unwrap();
    rig.turn();
    rig.reactor.stop(Duration::from_millis(50));
    let deadline = std::time::Instant::now() + PATIENCE;
    while !rig.reactor.turn(Some(Duration::from_millis(5))).unwrap().stopped {
        assert!(std::time::Instant::now() < deadline, "the drain never ends");
    }
    assert_eq!(rig.reactor.connections(), 0);
    let again = rig.reactor.connect(out, &at.into(), Conn::default());
    assert!(again.is_ok(), "the next run may connect");
}

#[test]
fn a_peer_that_floods_does_not_hold_the_drain_longer_than_its_grace() {
    let mut rig = Rig::new(Act::new().data(|_, ctx| {
        let n = ctx.rx.len();
        ctx.rx.consume(n);
    }));
    let at = rig.at;
    let flood = std::thread::spawn(move || {
        let mut stream = client(at);
        while stream.write_all(&[0; 65536]).is_ok() {}
    });
    rig.until("bytes flow", |rig| {
        let id = rig.ids().first().copied();
        id.is_some_and(|id| rig.reactor.with(rig.key, |_, t| t.conn(id).unwrap().log.len() > 2))
    });
    rig.reactor.stop(PATIENCE / 4);
    rig.reactor.run().unwrap();
    flood.join().unwrap();
    assert_eq!((rig.ended(), rig.reactor.connections()), (1, 0));
}
