//! Backpressure: room, pauses, the half-read rule, budgets, and output to other connections.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;

use tidemill::reactor::buffer::BLOCK;
use tidemill::reactor::{Config, ConnId};

use crate::support::{Act, Rig, child, client};

#[test]
fn a_paused_connection_reads_nothing_and_a_resumed_one_gets_bytes_before_eof() {
    let mut rig = Rig::new(Act::new().open(|_, ctx| ctx.pause()).data(|conn, ctx| {
        conn.bytes.extend_from_slice(&ctx.rx);
        let n = ctx.rx.len();
        ctx.rx.consume(n);
    }));
    let (mut stream, id) = rig.open();
    rig.turn();
    stream.write_all(b"before the pause ends").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..5 {
        rig.turn();
    }
    rig.reactor.with(rig.key, |_, table| {
        assert_eq!(table.conn(id).unwrap().log, ["open"]);
        assert!(table.resume(id));
    });
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!(e.conn.log, ["open", "data", "eof"]);
        assert_eq!(e.conn.bytes, b"before the pause ends");
    });
}

#[test]
fn bytes_that_a_pausing_handler_left_come_again_on_resume_and_before_eof() {
    let mut rig = Rig::new(
        Act::new()
            .data(|conn, ctx| {
                conn.bytes.push(ctx.rx[0]);
                ctx.rx.consume(1);
                ctx.pause();
                ctx.set_timer(std::time::Duration::from_millis(1));
            })
            .timer(|_, ctx| ctx.resume()),
    );
    rig.with_client(|at| client(at).write_all(b"one by one").unwrap());
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!(e.conn.bytes, b"one by one");
        assert_eq!(*e.conn.log.last().unwrap(), "eof");
        assert_eq!(e.conn.log.iter().filter(|c| **c == "data").count(), 10);
    });
}

#[test]
fn bytes_left_for_want_of_room_come_again_when_there_is_some_and_before_eof() {
    const TIMES: usize = 40;
    // Each byte received becomes many: the answer never fits at once.
    let mut rig = Rig::new(Act::new().data(|_, ctx| {
        while let Some(byte) = ctx.rx.first().copied() {
            if !ctx.tx.write_whole(&[byte; BLOCK / 2]) {
                return;
            }
            ctx.rx.consume(1);
        }
    }));
    let (count, wrong) = rig.with_client(|at| {
        let mut stream = client(at);
        stream.write_all(&[b'm'; TIMES]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        (all.len(), all.iter().filter(|b| **b != b'm').count())
    });
    assert_eq!((count, wrong), (TIMES * BLOCK / 2, 0));
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(*e.conn.log.last().unwrap(), "eof"));
}

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Writes until the kernel takes no more and the reactor does not read any more, but at most 48 MiB.
fn flood(rig: &mut Rig, stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (chunk, mut total, mut quiet) = (vec![b'f'; 1 << 20], 0, 0);
    while quiet < 20 && total < 48 << 20 {
        match (&*stream).write(&chunk) {
            Ok(n) => (total, quiet) = (total + n, 0),
            Err(e) if e.kind() == ErrorKind::WouldBlock => quiet += 1,
            Err(e) => panic!("{e}"),
        }
        rig.turn();
    }
    total
}

#[test]
fn beside_peers_that_never_read_memory_stays_flat_and_the_others_are_served() {
    child("flow::memory_beside_peers_that_never_read");
}

#[test]
#[ignore = "measures its whole process: run as a child by the test above"]
fn memory_beside_peers_that_never_read() {
    let mut rig = Rig::new(Act::new());
    let before = resident();
    let floods: Vec<_> = (0..8).map(|_| rig.open().0).collect();
    let taken: usize = floods.iter().map(|stream| flood(&mut rig, stream)).sum();
    assert!(taken > 8 * BLOCK, "only {taken} bytes were taken");
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more for 8 connections");
    let answer = rig.with_client(|at| {
        let mut stream = client(at);
        stream.write_all(b"me too").unwrap();
        let mut six = [0; 6];
        stream.read_exact(&mut six).map(|()| six)
    });
    assert_eq!(&answer.unwrap(), b"me too");
}

#[test]
fn a_flood_spends_its_budget_and_a_neighbour_is_served_in_the_same_turns() {
    let mut config = Config::default();
    config.turn_bytes_max = 16 * 1024;
    config.turn_reads_max = 1;
    let mut rig = Rig::with_config(
        Act::new().data(|conn, ctx| {
            conn.n += ctx.rx.len() as u64;
            let n = ctx.rx.len();
            ctx.rx.consume(n);
        }),
        config,
    );
    let (mut loud, loud_id) = rig.open();
    let (mut quiet, quiet_id) = rig.open();
    rig.turn();
    loud.set_nonblocking(true).unwrap();
    while loud.write(&[0; 65536]).is_ok() {}
    quiet.write_all(b"!").unwrap();
    let mut n = |id: ConnId| rig.reactor.with(rig.key, |_, table| table.conn(id).unwrap().n);
    assert_eq!((n(loud_id), n(quiet_id)), (0, 0));
    rig.turn();
    let mut n = |id: ConnId| rig.reactor.with(rig.key, |_, table| table.conn(id).unwrap().n);
    assert_eq!(n(quiet_id), 1);
    assert!(n(loud_id) > 0 && n(loud_id) <= BLOCK as u64, "{} bytes in a turn", n(loud_id));
    assert!(rig.reactor.stats().exhausted > 0);
    assert_eq!(rig.reactor.next_wait(), Some(std::time::Duration::ZERO), "the rest follows at once");
}

#[test]
fn a_handler_that_never_rests_stops_nobody_else() {
    let mut rig = Rig::new(Act::new().data(|_, ctx| {
        ctx.pause();
        ctx.resume();
    }));
    let (mut restless, _) = rig.open();
    restless.write_all(b"x").unwrap();
    for _ in 0..3 {
        rig.turn();
    }
    assert!(rig.reactor.stats().exhausted > 0);
    let (_other, id) = rig.open();
    rig.reactor.with(rig.key, |_, table| assert!(table.is_live(id)));
}

#[test]
fn one_connection_writes_to_another_whose_room_is_bounded_too() {
    let ids: Rc<RefCell<Vec<ConnId>>> = Rc::default();
    let (all, to) = (Rc::clone(&ids), Rc::clone(&ids));
    let mut rig =
        Rig::new(Act::new().open(move |_, ctx| all.borrow_mut().push(ctx.id())).data(move |conn, ctx| {
            let me = ctx.id();
            assert!(ctx.table.output(me).is_none(), "its own is ctx.tx");
            for id in to.borrow().iter().filter(|id| **id != me) {
                conn.n += ctx.table.output(*id).unwrap().write(&ctx.rx) as u64;
            }
            let n = ctx.rx.len();
            ctx.rx.consume(n);
        }));
    let (mut speaker, _) = rig.open();
    let (mut hearer, _) = rig.open();
    speaker.write_all(b"hear, hear").unwrap();
    let heard = rig.with_client(move |_| {
        let mut ten = [0; 10];
        hearer.read_exact(&mut ten).map(|()| (ten, hearer))
    });
    let (ten, deaf) = heard.unwrap();
    assert_eq!(&ten, b"hear, hear");
    let sent = flood(&mut rig, &speaker);
    drop(speaker);
    rig.until_ended(1);
    let passed = rig.nth(0, |e| e.conn.n);
    assert!(passed < sent as u64, "{passed} of {sent} bytes found room with a peer that reads nothing");
    drop(deaf);
    rig.until_ended(2);
}

#[test]
fn a_receive_buffer_that_its_handler_can_make_nothing_of_ends_the_connection() {
    let mut rig = Rig::new(Act::new().data(|_, _| {}));
    let stream = rig.client();
    rig.with_client(move |_| {
        let _ = (&stream).write_all(&[0; 4 * BLOCK]);
    });
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.reason(), "limit.rx_full"));
}

#[test]
fn on_room_comes_after_bytes_went_out_and_lets_a_producer_go_on() {
    const TOTAL: u64 = 3 << 20;
    fn produce(conn: &mut crate::support::Conn, ctx: &mut tidemill::reactor::Ctx<'_, Act>) {
        let want = (TOTAL - conn.n).min(1 << 20) as usize;
        conn.n += ctx.tx.write(&vec![9; want]) as u64;
        if conn.n == TOTAL {
            ctx.close_clean();
        }
    }
    let mut rig = Rig::new(Act::new().open(produce).room(produce));
    let stream = rig.client();
    assert_eq!(rig.read_all(stream).unwrap().len() as u64, TOTAL);
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!((e.reason(), e.report.reason.unsent), ("finished", 0)));
}
