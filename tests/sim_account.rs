//! The loop's accounting in the simulator, where a slow callback is one that moves the world's clock.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sim::{Hooks, MS, Side, dial, serve, tcp, until};
use tidemill::reactor::testing::{SimPeer, World};
use tidemill::reactor::{Callback, Config, Ran, Reactor, Slow};

/// An echo on which `b` blocks the loop for 200 ms, with `peers` connections that have been opened.
fn rig(world: &World, peers: usize) -> (Side, Vec<SimPeer>) {
    let clock = world.clone();
    let hooks = Hooks {
        data: Some(Box::new(move |ctx| {
            if ctx.rx.contains(&b'b') {
                clock.advance(200 * MS);
            }
            ctx.tx.take_from(&mut ctx.rx);
        })),
        ..Hooks::default()
    };
    let at = tcp();
    let (mut side, book, _) = serve(world, &at, hooks);
    let peers = (0..peers).map(|_| dial(&mut side, &book, &at)).collect();
    (side, peers)
}

/// Sends each peer's word, waits until all can be read in one turn, and for the answers.
fn send(side: &mut Side, peers: &mut [SimPeer], words: &[&[u8]]) {
    peers.iter_mut().zip(words).for_each(|(peer, word)| assert_eq!(peer.write(word), word.len()));
    side.world.advance(10 * MS);
    for (peer, word) in peers.iter_mut().zip(words) {
        let mut got = Vec::new();
        until(side, "the answer", |_| {
            got.extend(peer.read());
            got.len() == word.len()
        });
        assert_eq!(&got, word);
    }
}

fn slow(side: &Side) -> Vec<Slow> {
    side.reactor.slow().cloned().collect()
}

/// The connection of a record that names one callback.
fn named(slow: &Slow) -> String {
    let [ran @ Ran::Callback { callback: Callback::Data, handler, .. }] = &slow.ran[..] else {
        panic!("{slow}")
    };
    assert!(handler.ends_with("::Hooks"), "{handler}");
    ran.to_string()
}

#[test]
fn a_callback_that_blocks_is_named_in_its_stretch_and_then_alone() {
    let world = World::new(1);
    let (mut side, mut peers) = rig(&world, 3);
    assert_eq!(side.reactor.stats().slow, 0);
    let words: [&[u8]; 3] = [b"a", b"b", b"c"];
    send(&mut side, &mut peers, &words);
    let found = slow(&side);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!found[0].single && found[0].ns >= 200_000_000);
    let is_data = |ran: &&Ran| matches!(ran, Ran::Callback { callback: Callback::Data, .. });
    let suspects = found[0].ran.iter().filter(is_data).count();
    assert_eq!(suspects, 3, "all three are suspects: {}", found[0]);
    send(&mut side, &mut peers, &words);
    let found = slow(&side);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].single);
    assert_eq!(found[1].ns, 200_000_000, "its own time, to the nanosecond");
    let culprit = named(&found[1]);
    assert!(found[0].ran.iter().any(|ran| ran.to_string() == culprit), "{culprit}");
    let stats = side.reactor.stats();
    assert_eq!((stats.slow, stats.callback_ns.max()), (2, 200_000_000));
    assert!(stats.turn_ns.max() >= 200_000_000);
}

#[test]
fn a_bound_of_none_names_nobody() {
    let world = World::new(1);
    let mut config = Config::default();
    config.slow_callback = None;
    let mut reactor = Reactor::with_sys(world.sys(), config);
    let clock = world.clone();
    let mut open = false;
    let hooks = Hooks {
        open: Some(Box::new(move |_| {
            clock.advance(10_000 * MS);
            assert!(!std::mem::replace(&mut open, true));
        })),
        ..Hooks::default()
    };
    let book = Rc::clone(&hooks.book);
    let key = reactor.add(hooks);
    let at = tcp();
    reactor.listen(key, &at).unwrap();
    let _peer = world.dial(&at).unwrap();
    while book.opened.get() == 0 {
        reactor.turn(Some(MS)).unwrap();
    }
    assert_eq!((reactor.stats().slow, reactor.slow().count()), (0, 0));
    assert!(reactor.stats().turn_ns.max() >= 10_000_000_000);
}

#[test]
fn time_outside_of_the_reactor_is_not_its_own_and_makes_no_timer_late() {
    let world = World::new(1);
    let fired = Rc::new(Cell::new(None));
    let (note, clock) = (Rc::clone(&fired), world.clone());
    let hooks = Hooks {
        open: Some(Box::new(|ctx| {
            ctx.set_timer(500 * MS);
        })),
        timer: Some(Box::new(move |_| note.set(Some(clock.now())))),
        ..Hooks::default()
    };
    let at = tcp();
    let (mut side, book, _) = serve(&world, &at, hooks);
    let _peer = dial(&mut side, &book, &at);
    let opened = world.now();
    // The embedder's own work.
    world.advance(300 * MS);
    while fired.get().is_none() {
        side.reactor.turn(Some(Duration::from_secs(5))).unwrap();
    }
    let after = fired.get().unwrap() - opened;
    assert!(after <= 502 * MS, "the timer of 500 ms fired after {after:?}");
    let stats = side.reactor.stats();
    assert_eq!(stats.slow, 0);
    assert!(stats.turn_ns.max() < 1_000_000, "{stats:?}");
    assert!(!stats.timer_lateness_ns.is_empty() && stats.timer_lateness_ns.max() <= 2_000_000, "{stats:?}");
    assert!(!stats.poll_delay_ns.is_empty(), "the poll that waited for the timer ran into its timeout");
    assert!(stats.poll_delay_ns.max() <= 1_000_000, "{stats:?}");
}

#[test]
fn a_timer_that_waits_behind_a_slow_callback_is_counted_as_late() {
    let world = World::new(1);
    let clock = world.clone();
    let hooks = Hooks {
        open: Some(Box::new(|ctx| {
            ctx.set_timer(50 * MS);
        })),
        data: Some(Box::new(move |ctx| {
            clock.advance(350 * MS);
            ctx.rx.consume(usize::MAX);
        })),
        ..Hooks::default()
    };
    let at = tcp();
    let (mut side, book, _) = serve(&world, &at, hooks);
    let mut peer = dial(&mut side, &book, &at);
    peer.write(b"x");
    side.pass(400 * MS);
    let late = side.reactor.stats().timer_lateness_ns.max();
    assert!((290_000_000..=350_000_000).contains(&late), "{late} ns late");
}

#[test]
fn handlers_read_the_same_counts() {
    let world = World::new(1);
    let seen = Rc::new(Cell::new(0));
    let note = Rc::clone(&seen);
    let hooks = Hooks { data: Some(Box::new(move |ctx| note.set(ctx.stats().turns))), ..Hooks::default() };
    let at = tcp();
    let (mut side, book, _) = serve(&world, &at, hooks);
    let mut peer = dial(&mut side, &book, &at);
    peer.write(b"x");
    until(&mut side, "the bytes came", |_| seen.get() > 0);
    assert!(seen.get() > 0 && seen.get() <= side.reactor.stats().turns);
    let stats = side.reactor.stats();
    assert_eq!(stats.turn_ns.count(), stats.turns);
    assert!(stats.run_queue.max() >= 1);
}

#[test]
fn a_task_that_blocks_is_named_at_once_and_late_timers_are_counted() {
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    let clock = world.clone();
    let (posted, timer) = side.reactor.with(key, |_, table| {
        let posted = table.post(move |_, _| clock.advance(300 * MS));
        (posted, table.call_later(100 * MS, |_, _| {}))
    });
    side.pass(400 * MS);
    let found = slow(&side);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].single, found[0].ns), (true, 300_000_000));
    let [Ran::Task { name, id, .. }] = &found[0].ran[..] else { panic!("{}", found[0]) };
    assert!(*id == posted && *id != timer && name.contains("a_task_that_blocks"), "{}", found[0]);
    let stats = side.reactor.stats();
    assert_eq!((stats.task_processing_ns.count(), stats.task_processing_ns.max()), (2, 300_000_000));
    assert!((199_000_000..=200_000_000).contains(&stats.timer_lateness_ns.max()), "{stats:?}");
    assert_eq!(stats.task_delay_ns.max(), stats.timer_lateness_ns.max());
}
