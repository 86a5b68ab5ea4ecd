//! Watched descriptors on the simulated kernel: level-triggered whatever the kernel does, ends told once, nothing lost.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use sim::{Echo, MS, Side, until, write_all};
use tidemill::reactor::testing::{Call, Faults, Rng, SimPeer, SimSys, World, seeds};
use tidemill::reactor::{Accepted, Ctx, Handler, Key, Reactor, Ready, Refuse, Source, Table, WatchId};

const R: Ready = Ready::READABLE;
const W: Ready = Ready::WRITABLE;

/// What the callbacks of a test's watches note.
#[derive(Default)]
struct Notes {
    heard: Vec<Ready>,
    bytes: Vec<u8>,
}

impl Handler for Notes {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}
}

impl Notes {
    fn has_heard(&self) -> Vec<Ready> {
        self.heard.clone()
    }
}

/// A reactor with a handler that notes.
fn notes(world: &World) -> (Side, Key<Notes>) {
    let mut side = Side::new(world);
    let key = side.reactor.add(Notes::default());
    (side, key)
}

/// Watches a new descriptor; its other end is the test's.
fn watch(
    side: &mut Side,
    key: Key<Notes>,
    interest: Ready,
    f: impl FnMut(&mut Notes, &mut Source<'_>, &mut Table<'_, Notes>) + 'static,
) -> (WatchId, SimPeer) {
    let (fd, peer) = side.world.descriptor().unwrap();
    (side.reactor.watch(key, fd, interest, f).unwrap(), peer)
}

/// Notes what it hears and reads nothing.
fn listen(notes: &mut Notes, source: &mut Source<'_>, _: &mut Table<'_, Notes>) {
    notes.heard.push(source.ready());
}

/// Reads at most `n` bytes a call, and closes at the end.
fn read_by(n: usize) -> impl FnMut(&mut Notes, &mut Source<'_>, &mut Table<'_, Notes>) {
    move |notes, source, _| {
        notes.heard.push(source.ready());
        let mut block = vec![0; n];
        match source.read(&mut block) {
            Ok(0) => source.close(),
            Ok(n) => notes.bytes.extend_from_slice(&block[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => source.close(),
        }
    }
}

fn heard(side: &mut Side, key: Key<Notes>) -> Vec<Ready> {
    side.settle();
    side.reactor.with(key, |notes, _| std::mem::take(&mut notes.heard))
}

/// What an echo by a watch has on its way.
struct Relay {
    pending: Vec<u8>,
    most: usize,
    eof: bool,
}

impl Relay {
    /// One read or one write a call: what is left must be told again.
    fn step(&mut self, source: &mut Source<'_>) -> std::io::Result<()> {
        if source.ready().any(W) && !self.pending.is_empty() {
            let n = source.write(&self.pending)?;
            self.pending.drain(..n);
        } else if source.ready().any(R) && self.pending.is_empty() {
            let mut block = vec![0; self.most];
            let n = source.read(&mut block)?;
            self.pending.extend_from_slice(&block[..n]);
            self.eof = n == 0;
        } else if source.ready().any(Ready::ERROR.or(Ready::WRITE_CLOSED)) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn run(&mut self, source: &mut Source<'_>) {
        let stepped = self.step(source);
        let blocked = |e: &std::io::Error| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
        if self.eof || stepped.is_err_and(|e| !blocked(&e)) {
            source.close();
        } else {
            source.set_interest(if self.pending.is_empty() { R } else { W });
        }
    }
}

fn relay(most: usize) -> impl FnMut(&mut Notes, &mut Source<'_>, &mut Table<'_, Notes>) {
    let mut relay = Relay { pending: Vec::new(), most, eof: false };
    move |_, source, _| relay.run(source)
}

/// Sends `text` and reads it back while several watches echo; what came back of each, and whether to its end.
fn echo_through_watches(seed: u64, faults: Faults) -> Vec<(Vec<u8>, Vec<u8>)> {
    let world = World::with_faults(seed, faults);
    let mut rng = Rng::new(seed);
    let (mut side, key) = notes(&world);
    let mut ends: Vec<_> = (0..rng.between(1, 3))
        .map(|_| {
            let text_len = rng.between(0, 3000);
            let (text, most) = (rng.bytes(text_len), rng.between(1, 700));
            let (_, peer) = watch(&mut side, key, R, relay(most));
            (peer, text, 0, Vec::new())
        })
        .collect();
    until(&mut side, "every watch has ended", |side| {
        for (peer, text, sent, got) in &mut ends {
            *sent += peer.write(&text[*sent..]);
            got.extend(peer.read());
            if *sent == text.len() || peer.is_finished() {
                peer.shutdown_write();
            }
        }
        side.reactor.watches() == 0
    });
    ends.into_iter()
        .map(|(mut peer, text, _, mut got)| {
            until(&mut side, "the peer has all", |_| {
                got.extend(peer.read());
                peer.is_eof() || peer.is_finished()
            });
            got.extend(peer.read());
            (text, got)
        })
        .collect()
}

#[test]
fn whatever_the_kernel_hides_no_byte_through_a_watch_is_lost() {
    seeds("whatever_the_kernel_hides_no_byte_through_a_watch_is_lost", |seed| {
        for (text, got) in echo_through_watches(seed, Faults::benign().swarm(seed)) {
            assert_eq!(got, text);
        }
    });
}

#[test]
fn a_watch_whose_peer_is_reset_ends_and_gives_no_wrong_byte() {
    let whole = Cell::new(0);
    seeds("a_watch_whose_peer_is_reset_ends_and_gives_no_wrong_byte", |seed| {
        for (text, got) in echo_through_watches(seed, Faults::hostile().swarm(seed)) {
            assert!(text.starts_with(&got), "seed {seed}");
            whole.set(whole.get() + usize::from(text == got));
        }
    });
    assert!(whole.get() > 0 || std::env::var_os("SIM_SEED").is_some(), "no echo ever came back whole");
}

#[test]
fn what_is_left_unread_is_told_once_a_turn_until_it_is_read_and_then_its_end() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let (_, mut peer) = watch(&mut side, key, R, read_by(2));
    write_all(&mut side, &mut peer, b"12345");
    assert_eq!(heard(&mut side, key), [R; 3]);
    let turns = world.calls_of(Call::Poll);
    peer.write(b"678");
    peer.shutdown_write();
    let closed = Ready::READ_CLOSED;
    assert_eq!(heard(&mut side, key), [R.or(closed); 3]);
    assert!(world.calls_of(Call::Poll) - turns >= 3, "more than one call a turn");
    assert_eq!(side.reactor.with(key, |notes, _| notes.bytes.clone()), b"12345678");
    assert_eq!(side.reactor.watches(), 0);
    assert_eq!(world.wasted_calls(), 0);
    assert_eq!(peer.read(), b"");
    assert!(peer.is_eof(), "the descriptor is closed");
}

#[test]
fn bytes_that_nobody_reads_are_told_in_every_turn() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let (id, mut peer) = watch(&mut side, key, R, listen);
    peer.write(b"x");
    for _ in 0..5 {
        side.reactor.turn(Some(Duration::ZERO)).unwrap();
        side.check();
    }
    assert_eq!(side.reactor.next_wait(), Some(Duration::ZERO));
    assert_eq!(side.reactor.with(key, |notes, _| notes.has_heard()), [R; 5]);
    side.reactor.with(key, |_, table| assert!(table.set_interest(id, Ready::NONE)));
    side.settle();
    assert_eq!(side.reactor.next_wait(), None);
}

#[test]
fn an_end_that_is_ignored_is_told_once_and_the_loop_sleeps() {
    let gone = Ready::READ_CLOSED.or(Ready::WRITE_CLOSED);
    for (interest, expected) in [(R, R.or(gone)), (W, W.or(gone)), (R.or(W), R.or(W).or(gone))] {
        let world = World::new(1);
        let (mut side, key) = notes(&world);
        let (id, peer) = watch(&mut side, key, Ready::NONE, listen);
        side.settle();
        peer.close();
        assert_eq!(heard(&mut side, key), [], "nothing is told to no interest");
        side.reactor.with(key, |_, table| table.set_interest(id, interest));
        assert_eq!(heard(&mut side, key), [expected], "{interest:?}");
        assert_eq!(side.reactor.next_wait(), None);
        side.reactor.with(key, |_, table| table.set_interest(id, interest));
        assert_eq!(heard(&mut side, key), [], "an interest that stays the same hears nothing new");
        side.reactor.with(key, |_, table| table.set_interest(id, interest.or(Ready::PRIORITY)));
        assert_eq!(heard(&mut side, key), [expected], "one that gains a kind does");
    }
}

#[test]
fn a_half_close_is_the_readers_to_hear_and_the_writer_goes_on() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let (id, mut peer) = watch(&mut side, key, R, listen);
    peer.shutdown_write();
    assert_eq!(heard(&mut side, key), [R.or(Ready::READ_CLOSED)]);
    side.reactor.with(key, |_, table| table.set_interest(id, W));
    side.reactor.turn(Some(Duration::ZERO)).unwrap();
    side.check();
    assert_eq!(
        side.reactor.with(key, |notes, _| notes.has_heard()),
        [W],
        "room is told, the peer's end is not"
    );
    assert_eq!(side.reactor.next_wait(), Some(Duration::ZERO), "room lasts");
}

#[test]
fn without_an_interest_nothing_is_told_and_what_came_meanwhile_is_told_later() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let (id, mut peer) = watch(&mut side, key, Ready::NONE, read_by(100));
    peer.write(b"early");
    assert_eq!(heard(&mut side, key), []);
    assert_eq!(side.reactor.next_wait(), None);
    side.reactor.with(key, |_, table| assert!(table.set_interest(id, R)));
    assert_eq!(heard(&mut side, key), [R]);
    // Bits that are no interest are none, alone too.
    side.reactor.with(key, |_, table| assert!(table.set_interest(id, Ready::ERROR.or(Ready::READ_CLOSED))));
    peer.write(b"late");
    assert_eq!(heard(&mut side, key), []);
}

#[test]
fn events_of_closed_watches_reach_nobody() {
    seeds("events_of_closed_watches_reach_nobody", |seed| {
        let mut faults = Faults::none();
        (faults.event_stale, faults.event_spurious, faults.event_twice) = (700, 500, 300);
        let world = World::with_faults(seed, faults);
        let (mut side, key) = notes(&world);
        for _ in 0..4 {
            let (_, mut busy) = watch(&mut side, key, R, read_by(10));
            busy.write(b"x");
            heard(&mut side, key);
            busy.shutdown_write();
            heard(&mut side, key);
            assert_eq!(side.reactor.watches(), 0);
            let (quiet, peer) = watch(&mut side, key, R, listen);
            world.replay_stale_events(side.process);
            assert_eq!(heard(&mut side, key), []);
            assert!(side.reactor.unwatch(quiet).is_some());
            assert!(side.reactor.unwatch(quiet).is_none(), "a stale id names nobody");
            side.reactor.with(key, |_, table| {
                assert!(!table.unwatch(quiet) && !table.set_interest(quiet, R));
            });
            drop(peer);
        }
    });
}

#[test]
fn a_watch_that_is_ended_by_another_is_not_called_again() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let ids: Rc<RefCell<Vec<WatchId>>> = Rc::default();
    let peers: Vec<_> = (0..2)
        .map(|_| {
            let others = Rc::clone(&ids);
            let (id, mut peer) = watch(&mut side, key, R, move |notes, source, table| {
                notes.heard.push(source.ready());
                for id in others.borrow().iter() {
                    assert!(table.unwatch(*id), "its own too");
                    assert!(!table.unwatch(*id));
                    assert!(!table.set_interest(*id, W));
                }
                source.set_interest(W);
            });
            ids.borrow_mut().push(id);
            peer.write(b"x");
            peer
        })
        .collect();
    assert_eq!(heard(&mut side, key), [R], "whichever came first has ended both");
    assert_eq!(side.reactor.watches(), 0);
    for mut peer in peers {
        peer.read();
        assert!(peer.is_eof() || peer.error().is_some());
    }
}

#[test]
fn a_descriptor_that_was_given_back_can_be_watched_again_and_has_lost_nothing() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let (id, mut peer) = watch(&mut side, key, R, read_by(1));
    peer.write(b"ab");
    side.reactor.turn(Some(Duration::ZERO)).unwrap();
    let fd = side.reactor.unwatch(id).unwrap();
    side.check();
    peer.write(b"c");
    side.settle();
    side.reactor.watch(key, fd, R, read_by(10)).unwrap();
    side.settle();
    assert_eq!(side.reactor.with(key, |notes, _| notes.bytes.clone()), b"abc");
}

#[test]
fn a_watch_that_is_always_ready_starves_no_connection() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let (_, _peer) = watch(&mut side, key, W, |_, _, _| {});
    let (echo, _) = Echo::new();
    let echo = side.reactor.add(echo);
    let at = sim::tcp();
    side.reactor.listen(echo, &at).unwrap();
    let mut client = world.dial(&at).unwrap();
    client.write(b"still here");
    for _ in 0..5 {
        side.turn();
    }
    assert_eq!(client.read(), b"still here");
}

#[test]
fn a_watch_that_blocks_the_loop_is_named() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let clock = world.clone();
    let (_, mut peer) = watch(&mut side, key, R, move |notes, source, table| {
        clock.advance(300 * MS);
        read_by(10)(notes, source, table);
    });
    peer.write(b"x");
    side.settle();
    let named: Vec<String> = side.reactor.slow().map(ToString::to_string).collect();
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].contains("watch of ") && named[0].contains("Notes"), "{named:?}");
}

/// Panics in the callback, and again when it is dropped.
struct Bomb(Rc<Cell<u32>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        panic!("a panic that is meant");
    }
}

#[test]
fn a_panic_ends_its_own_watch_only() {
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("a panic that is meant") {
            silent(info);
        }
    }));
    let world = World::new(1);
    let sys: SimSys = world.sys();
    let process = sys.id();
    let mut reactor = Reactor::with_sys(sys, Default::default());
    let key = reactor.add(Notes::default());
    let dropped: Rc<Cell<u32>> = Rc::default();
    let bomb = Bomb(Rc::clone(&dropped));
    let (fd, mut bad) = world.descriptor().unwrap();
    reactor
        .watch(key, fd, R, move |notes, _, _| {
            notes.heard.push(Ready::ERROR);
            let _held = &bomb;
            panic!("a panic that is meant");
        })
        .unwrap();
    let (fd, mut good) = world.descriptor().unwrap();
    reactor.watch(key, fd, R, read_by(100)).unwrap();
    for _ in 0..3 {
        bad.write(b"x");
        good.write(b"y");
        reactor.turn(Some(Duration::ZERO)).unwrap();
        reactor.check();
        reactor.check_watches();
    }
    assert_eq!(reactor.with(key, |notes, _| (notes.has_heard(), notes.bytes.clone())).1, b"yyy");
    assert_eq!(
        reactor.with(key, |notes, _| notes.has_heard().iter().filter(|r| **r == Ready::ERROR).count()),
        1
    );
    assert_eq!((dropped.get(), reactor.watches(), world.open_watches(process)), (1, 1, 1));
    bad.read();
    assert!(bad.is_eof() || bad.error().is_some(), "its descriptor is closed");
}

#[test]
fn a_drain_does_not_wait_for_watches_and_they_outlast_it() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let (_, mut peer) = watch(&mut side, key, R, read_by(100));
    side.reactor.handle().stop(Duration::from_secs(60));
    let before = world.now();
    side.reactor.run().unwrap();
    assert!(world.now() - before < MS);
    peer.write(b"after the drain");
    side.settle();
    assert_eq!(side.reactor.with(key, |notes, _| notes.bytes.clone()), b"after the drain");
    let (process, world) = (side.process, side.world.clone());
    let Side { reactor, .. } = side;
    drop(reactor);
    assert_eq!((world.open_watches(process), world.dropped_sockets(process)), (0, 0));
    peer.read();
    assert!(peer.is_eof());
}

#[test]
fn each_call_may_fail_and_nothing_leaks() {
    let mut failed = Vec::new();
    for n in 1.. {
        let world = World::new(n);
        let (mut side, key) = notes(&world);
        let (fd, mut peer) = world.descriptor().unwrap();
        world.fail_call(n);
        if side.reactor.watch(key, fd, R, relay(3)).is_err() {
            assert_eq!(world.failed_call(), Some(Call::Watch));
            assert_eq!(side.reactor.watches(), 0);
            failed.push(Call::Watch);
            side.settle();
            continue;
        }
        peer.write(b"seven!!");
        peer.shutdown_write();
        let mut got = Vec::new();
        until(&mut side, "the watch has ended", |side| {
            got.extend(peer.read());
            side.reactor.watches() == 0
        });
        got.extend(peer.read());
        let Some(call) = world.failed_call() else {
            assert_eq!(got, b"seven!!");
            break;
        };
        assert!(
            matches!(call, Call::Read | Call::Write | Call::Widen) || got == b"seven!!",
            "{call:?} cost bytes"
        );
        failed.push(call);
    }
    for call in [Call::Watch, Call::Widen, Call::WatchedReady, Call::Read, Call::Write, Call::Poll] {
        assert!(failed.contains(&call), "{call:?} was never made to fail");
    }
}

#[test]
fn what_is_no_descriptor_of_the_world_is_refused() {
    let world = World::new(1);
    let (mut side, key) = notes(&world);
    let file = std::fs::File::open("/dev/null").unwrap();
    let e = side.reactor.watch(key, file, R, listen).unwrap_err();
    assert_eq!((e.op, e.class.name), ("watch", "socket.invalid"));
    assert_eq!(side.reactor.watches(), 0);
    side.check();
}
