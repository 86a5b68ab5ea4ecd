//! Echo between two reactors in one world: exact under every benign fault, and never stuck under hostile ones.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::Cell;
use std::rc::Rc;

use sim::{Client, Echo, Hooks, Side, Talk, dial, endpoint, patient, serve, tcp, unix, until, write_all};
use tidemill::reactor::testing::{Faults, Probe, Rng, World, seeds};
use tidemill::reactor::{Config, Ctx, Endpoint};

/// Small budgets, so that they are spent.
fn config(rng: &mut Rng) -> Config {
    let mut config = Config::default();
    if rng.chance(500) {
        config.turn_bytes_max = rng.size(4096);
        config.turn_reads_max = rng.between(1, 4) as u32;
        config.turn_accepts_max = rng.between(1, 3) as u32;
    }
    config
}

/// Runs `n` connections through an echo; how many of them got everything back.
fn echo(seed: u64, at: &Endpoint, faults: Faults, benign: bool) {
    let mut rng = Rng::new(seed);
    // Through one-byte buffers a short text is as good as a long one.
    let most = (faults.buffer_max * 8).clamp(1, 20_000);
    let world = World::with_faults(seed, faults);
    let mut server = Side::with_config(&world, config(&mut rng));
    let mut client = Side::with_config(&world, config(&mut rng));
    let ((mut echo, echoed), (mut talker, talked)) = (Echo::new(), Client::new());
    if benign {
        (echo.limits, talker.limits) = (patient(), patient());
    }
    let (serving, talking) = (server.reactor.add(echo), client.reactor.add(talker));
    server.reactor.listen(serving, at).unwrap();
    let connections = rng.between(1, 5);
    for _ in 0..connections {
        let n = rng.size(most);
        let text = Rc::new(rng.bytes(n));
        let talk = if rng.chance(500) { Talk::new(&text) } else { Talk::waiting(&text) };
        client.reactor.connect(talking, at, talk).unwrap();
    }
    world.drive(|| {
        server.turn();
        client.turn();
        client.reactor.connections() == 0 && server.reactor.connections() == 0
    });
    assert_eq!(talked.closed(), connections);
    assert_eq!(echoed.closed(), echoed.accepted.get());
    if benign {
        assert_eq!(talked.good.get(), connections, "{:?} / {:?}", talked.reasons(), echoed.reasons());
        assert_eq!(echoed.reasons(), vec!["finished"; connections]);
    }
}

#[test]
fn echo_is_exact_under_all_benign_faults() {
    seeds("echo_is_exact_under_all_benign_faults", |seed| {
        let at = [tcp(), unix()][seed as usize % 2].clone();
        echo(seed, &at, Faults::benign().swarm(seed), true);
    });
}

#[test]
fn every_connection_ends_once_under_hostile_faults() {
    seeds("every_connection_ends_once_under_hostile_faults", |seed| {
        let at = [tcp(), unix()][seed as usize % 2].clone();
        echo(seed, &at, Faults::hostile().swarm(seed), false);
    });
}

/// Answers each byte with [`MANY`] of it, as long as there is room.
fn multiplier() -> Hooks {
    Hooks {
        data: Some(Box::new(|ctx| {
            while let Some(byte) = ctx.rx.first().copied() {
                if !ctx.tx.write_whole(&[byte; MANY]) {
                    break;
                }
                ctx.rx.consume(1);
            }
        })),
        ..Hooks::default()
    }
}

const MANY: usize = 1000;

#[test]
fn what_was_left_for_want_of_room_is_offered_again() {
    for (room, bytewise) in [(None, false), (Some(5000), false), (Some(5000), true)] {
        let mut probe = Probe::new(multiplier());
        if let Some(room) = room {
            probe.set_room(room);
        }
        probe.accept();
        let text = Rng::new(1).bytes(400);
        let taken = if bytewise { probe.recv_bytewise(&text) } else { probe.recv(&text) };
        assert_eq!(taken, text.len());
        assert_eq!(probe.sent(), text.iter().flat_map(|b| [*b; MANY]).collect::<Vec<u8>>());
        assert!(probe.closed().is_none());
    }
}

#[test]
fn the_end_of_file_waits_for_what_was_left_for_want_of_room() {
    let mut probe = Probe::new(multiplier());
    probe.accept();
    let text = Rng::new(1).bytes(400);
    probe.recv(&text);
    probe.eof();
    assert_eq!(probe.sent().len(), text.len() * MANY);
    assert!(probe.finished());
    assert_eq!(probe.closed().unwrap().reason.name(), "finished");
}

#[test]
fn a_handler_that_never_answers_gets_every_byte_too() {
    seeds("a_handler_that_never_answers_gets_every_byte_too", |seed| {
        let mut faults = Faults::benign().swarm(seed);
        // Nothing but the arrival itself may tell of the bytes.
        (faults.event_spurious, faults.event_twice) = (0, 0);
        let world = World::with_faults(seed, faults);
        let got: Rc<Cell<usize>> = Rc::default();
        let count = Rc::clone(&got);
        let hooks = Hooks {
            data: Some(Box::new(move |ctx| {
                count.set(count.get() + ctx.rx.len());
                ctx.rx.consume(usize::MAX);
            })),
            ..Hooks::default()
        };
        let at = endpoint(seed);
        let (mut side, book, _) = serve(&world, &at, hooks);
        let mut peer = dial(&mut side, &book, &at);
        for round in 1..=10 {
            write_all(&mut side, &mut peer, &[7; 100]);
            until(&mut side, "every byte is seen", |_| got.get() == round * 100);
        }
    });
}

/// Two ends that both write as much as they can, without asking for the room first.
#[test]
fn two_ends_that_both_send_do_not_wait_for_each_other() {
    let text = Rc::new(Rng::new(1).bytes(1 << 20));
    let sent = Rc::new(Cell::new(0));
    let pump = move |ctx: &mut Ctx<'_, Hooks>| sent.set(sent.get() + ctx.tx.write(&text[sent.get()..]));
    let (world, again, got) = (World::new(1), pump.clone(), Rc::new(Cell::new(0)));
    let (mut server, mut client) = (Side::new(&world), Side::new(&world));
    let count = Rc::clone(&got);
    let ours = Hooks {
        open: Some(Box::new(pump)),
        room: Some(Box::new(again)),
        data: Some(Box::new(move |ctx| {
            count.set(count.get() + ctx.rx.len());
            ctx.rx.consume(usize::MAX);
        })),
        ..Hooks::default()
    };
    let (echo, _) = Echo::new();
    let (serving, talking) = (server.reactor.add(echo), client.reactor.add(ours));
    server.reactor.listen(serving, &tcp()).unwrap();
    client.reactor.connect(talking, &tcp(), Default::default()).unwrap();
    world.drive(|| {
        server.turn();
        client.turn();
        got.get() == 1 << 20
    });
}

#[test]
fn large_texts_go_through_in_good_weather() {
    for at in [tcp(), unix()] {
        let mut faults = Faults::none();
        faults.buffer_max = 0;
        let world = World::with_faults(1, faults);
        let (mut server, mut client) = (Side::new(&world), Side::new(&world));
        let ((echo, _), (talker, talked)) = (Echo::new(), Client::new());
        let (serving, talking) = (server.reactor.add(echo), client.reactor.add(talker));
        server.reactor.listen(serving, &at).unwrap();
        let text = Rc::new(Rng::new(1).bytes(8 << 20));
        client.reactor.connect(talking, &at, Talk::new(&text)).unwrap();
        world.drive(|| {
            server.turn();
            client.turn();
            client.reactor.connections() == 0 && server.reactor.connections() == 0
        });
        assert_eq!(talked.good.get(), 1, "{:?}", talked.reports.borrow());
        // Reads and writes that would block come only after an event.
        assert_eq!(world.wasted_calls(), 0);
    }
}
