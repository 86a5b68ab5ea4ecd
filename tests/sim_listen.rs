//! Listeners at their limits, connects that fail, events for the wrong connection, and the budget of a turn.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sim::{Client, Echo, Hooks, MS, S, Side, Talk, dial, endpoint, patient, serve, tcp, unix, until};
use tidemill::reactor::buffer::BLOCK;
use tidemill::reactor::testing::{Call, Faults, SimPeer, World, seeds};
use tidemill::reactor::{Config, Deadline, Endpoint, Limits, PhaseName};

/// Waits until an echo has answered or turned away every peer; how many it answered.
fn serve_everyone(side: &mut Side, mut peers: Vec<SimPeer>) -> usize {
    let mut answered = 0;
    until(side, "everyone is served", |_| {
        peers.retain_mut(|peer| {
            peer.write(b"x");
            let served = !peer.read().is_empty();
            answered += usize::from(served);
            !served && !peer.is_eof() && peer.error().is_none()
        });
        peers.is_empty()
    });
    answered
}

fn echo_with(world: &World, at: &Endpoint, config: Config) -> Side {
    let mut side = Side::with_config(world, config);
    let (mut echo, _) = Echo::new();
    echo.limits = patient();
    let key = side.reactor.add(echo);
    side.reactor.listen(key, at).unwrap();
    side
}

#[test]
fn a_listener_at_its_gate_goes_on_when_connections_close() {
    seeds("a_listener_at_its_gate_goes_on_when_connections_close", |seed| {
        let world = World::with_faults(seed, Faults::benign().swarm(seed));
        let mut config = Config::default();
        config.connections_gate = Some(2);
        let at = endpoint(seed);
        let mut side = echo_with(&world, &at, config);
        let peers: Vec<_> = (0..9).map(|_| world.dial(&at).unwrap()).collect();
        for _ in 0..50 {
            side.tick(MS);
            assert!(side.reactor.connections() <= 2);
        }
        assert_eq!(serve_everyone(&mut side, peers), 9);
        until(&mut side, "all are gone", |side| side.reactor.connections() == 0);
        assert!(side.reactor.stats().pauses > 0);
        assert_eq!(side.reactor.stats().shed, 0, "the gate is there so that nobody is shed");
    });
}

#[test]
fn a_gate_that_opens_by_itself_is_noticed_without_an_event() {
    let world = World::new(1);
    let mut config = Config::default();
    config.connections_gate = Some(1);
    let mut side = echo_with(&world, &tcp(), config);
    let first = world.dial(&tcp()).unwrap();
    side.settle();
    let mut second = world.dial(&tcp()).unwrap();
    second.write(b"x");
    side.pass(S);
    assert_eq!(second.read(), b"");
    first.close();
    side.settle();
    assert_eq!(second.read(), b"x");
}

#[test]
fn running_out_of_descriptors_makes_no_listener_deaf() {
    seeds("running_out_of_descriptors_makes_no_listener_deaf", |seed| {
        let world = World::with_faults(seed, Faults::benign().swarm(seed));
        let at = endpoint(seed);
        let mut side = echo_with(&world, &at, Config::default());
        // Poll, waker, listener and spare; then what the program holds itself.
        world.set_descriptor_limit(side.process, Some(20));
        world.hold_descriptors(side.process, 16);
        let early: Vec<_> = (0..4).map(|_| world.dial(&at).unwrap()).collect();
        side.pass(250 * MS);
        assert_eq!(side.reactor.connections(), 0);
        assert!(side.reactor.stats().shed > 0, "the spare descriptor sheds one");
        let polls = world.calls_of(Call::Poll);
        side.pass(S);
        let woken = world.calls_of(Call::Poll) - polls;
        assert!(woken < 400, "it spins: {woken} polls in a second");
        // What is still in the queue makes no further event, and nothing closes either.
        world.hold_descriptors(side.process, 0);
        let late = world.dial(&at).unwrap();
        assert_eq!(serve_everyone(&mut side, vec![late]), 1);
        serve_everyone(&mut side, early);
    });
}

#[test]
fn who_waits_in_the_queue_is_served_after_descriptors_come_back() {
    for at in [tcp(), unix()] {
        let world = World::new(1);
        let mut side = echo_with(&world, &at, Config::default());
        world.set_descriptor_limit(side.process, Some(20));
        world.hold_descriptors(side.process, 16);
        let mut peers: Vec<_> = (0..3).map(|_| world.dial(&at).unwrap()).collect();
        side.settle();
        assert_eq!(side.reactor.stats().shed, 1);
        world.hold_descriptors(side.process, 0);
        peers.remove(0);
        for peer in &mut peers {
            peer.write(b"x");
        }
        // No event comes and no connection closes: only the timed pause is left.
        side.pass(150 * MS);
        assert!(peers.iter_mut().all(|peer| peer.read() == b"x"), "the listener is deaf");
    }
}

#[test]
fn accept_errors_cost_their_connection_only() {
    seeds("accept_errors_cost_their_connection_only", |seed| {
        let mut faults = Faults::benign().swarm(seed);
        (faults.accept_abort, faults.accept_exhaust) = (200, 200);
        let world = World::with_faults(seed, faults);
        let mut side = echo_with(&world, &tcp(), Config::default());
        let peers: Vec<_> = (0..10).map(|_| world.dial(&tcp()).unwrap()).collect();
        serve_everyone(&mut side, peers);
    });
}

#[test]
fn failed_connects_are_told_once_with_their_reason() {
    let away = Endpoint::tcp(([192, 0, 2, 1], 80));
    let nobody = Endpoint::tcp(([127, 0, 0, 1], 9));
    let cases = [
        (&nobody, Some(10 * S), "tcp.refused", None, Duration::ZERO),
        (&away, Some(10 * S), "tcp.timed_out", Some(Deadline::Connect), 10 * S),
        (&away, None, "tcp.timed_out", None, 127 * S),
        (&unix(), None, "tcp.refused", None, Duration::ZERO),
    ];
    for (to, timeout, name, deadline, after) in cases {
        let world = World::new(1);
        world.drop_connects_to(&away);
        let mut side = Side::new(&world);
        let (mut client, book) = Client::new();
        client.limits = patient();
        client.limits.connect_timeout = timeout;
        let key = side.reactor.add(client);
        side.reactor.connect(key, to, Talk::new(&Rc::default())).unwrap();
        until(&mut side, "the end of the connect", |side| {
            side.pass(100 * MS);
            book.closed() == 1
        });
        let report = book.reports.borrow()[0].clone();
        assert_eq!((report.reason.name(), report.reason.deadline), (name, deadline), "{to}");
        assert_eq!((report.reason.phase, book.opened.get()), (PhaseName::Connect, 0));
        let total = Duration::from_nanos(report.ledger.total);
        assert!(total >= after && total <= after + 5 * MS, "{to}: {total:?}");
        assert_eq!(report.ledger.transfer, None);
        assert_eq!(side.reactor.connections(), 0);
    }
}

#[test]
fn an_event_for_a_closed_connection_does_not_touch_its_successor() {
    for at in [tcp(), unix()] {
        let world = World::new(1);
        let (mut side, book, _) = serve(&world, &at, Hooks::default());
        for round in 1..20 {
            let old = dial(&mut side, &book, &at);
            old.reset();
            until(&mut side, "closed", |_| book.closed() == round);
            let new = dial(&mut side, &book, &at);
            side.settle();
            // Its slot is the old one's; whoever takes the event for its own reads or writes in vain.
            let (wasted, turns) = (world.wasted_calls(), world.calls_of(Call::Read));
            world.replay_stale_events(side.process);
            side.settle();
            assert_eq!(world.wasted_calls(), wasted, "a stale event was believed");
            assert_eq!(world.calls_of(Call::Read), turns);
            assert_eq!(side.reactor.connections(), round);
            std::mem::forget(new);
        }
    }
}

#[test]
fn a_connect_from_on_close_takes_the_slot_and_lives() {
    seeds("a_connect_from_on_close_takes_the_slot_and_lives", |seed| {
        let mut faults = Faults::hostile().swarm(seed);
        faults.clock_jump = 0;
        let world = World::with_faults(seed, faults);
        let at = endpoint(seed);
        let mut side = echo_with(&world, &at, Config::default());
        let left = Rc::new(Cell::new(20));
        let ends: Rc<RefCell<BTreeMap<u64, usize>>> = Rc::default();
        let (again, note, to) = (Rc::clone(&left), Rc::clone(&ends), at.clone());
        let hooks = Hooks {
            open: Some(Box::new(|ctx| {
                ctx.tx.write(b"ping");
            })),
            data: Some(Box::new(|ctx| if ctx.rx.len() % 2 == 0 { ctx.abort() } else { ctx.close() })),
            close: Some(Box::new(move |report, table| {
                *note.borrow_mut().entry(report.id.as_u64()).or_default() += 1;
                if again.get() > 0 {
                    again.set(again.get() - 1);
                    assert!(table.connect(&to, Default::default()).is_ok());
                }
            })),
            ..Hooks::default()
        };
        let key = side.reactor.add(hooks);
        for _ in 0..3 {
            side.reactor.connect(key, &at, Default::default()).unwrap();
        }
        until(&mut side, "all have ended", |side| {
            side.pass(20 * MS);
            side.reactor.with(key, |_, table| table.is_empty())
        });
        assert_eq!(ends.borrow().len(), 23);
        assert!(ends.borrow().values().all(|n| *n == 1), "on_close comes exactly once");
    });
}

#[test]
fn one_connection_moves_no_more_than_its_budget_in_a_turn() {
    for (bytes, reads) in [(1000, 100), (1_000_000, 2)] {
        let world = World::new(1);
        let mut config = Config::default();
        (config.turn_bytes_max, config.turn_reads_max) = (bytes, reads);
        let moved: Rc<RefCell<BTreeMap<u64, usize>>> = Rc::default();
        let note = Rc::clone(&moved);
        let hooks = Hooks {
            data: Some(Box::new(move |ctx| {
                *note.borrow_mut().entry(ctx.turn()).or_default() += ctx.rx.len();
                ctx.rx.consume(usize::MAX);
            })),
            ..Hooks::default()
        };
        let mut side = Side::with_config(&world, config);
        let key = side.reactor.add(hooks);
        let mut at = tcp();
        (at.options.recv_buffer, at.options.send_buffer) = (Some(400_000), Some(400_000));
        side.reactor.listen(key, &at).unwrap();
        let mut peer = world.dial(&at).unwrap();
        let (mut sent, mut turns) = (0, 0);
        while sent < 5_000_000 {
            sent += peer.write(&[7; 500_000]);
            side.reactor.turn(Some(Duration::ZERO)).unwrap();
            side.check();
            turns += 1;
        }
        // A read that begins within the budget may end beyond it, by no more than a buffer.
        let most = moved.borrow().values().copied().max().unwrap();
        let bound = (bytes + BLOCK).min(BLOCK * reads as usize);
        assert!(most <= bound, "{most} bytes in one turn, {bound} allowed");
        assert!(turns > 10);
    }
}

#[test]
fn nothing_wakes_an_idle_reactor() {
    let world = World::new(1);
    let mut limits = Limits::default();
    (limits.idle_timeout, limits.stall_timeout) = (Some(1000 * S), Some(30 * S));
    let (mut side, book, _) = serve(&world, &tcp(), Hooks { limits, ..Hooks::default() });
    let mut peers = Vec::new();
    for _ in 0..1000 {
        peers.push(world.dial(&tcp()).unwrap());
    }
    world.set_descriptor_limit(side.process, Some(4096));
    side.settle();
    // The gate is an eighth below the limit of 1024 that the reactor was made with.
    assert_eq!(book.opened.get(), 896);
    drop(peers.split_off(800));
    side.pass(S);
    let polls = world.calls_of(Call::Poll);
    side.reactor.turn(None).unwrap();
    assert_eq!(world.calls_of(Call::Poll), polls + 1);
    assert!(world.now() - Default::default() >= 999 * S, "woken at {:?}", world.now());
}
