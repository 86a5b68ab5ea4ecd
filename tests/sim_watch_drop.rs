//! Callbacks of watches whose drops panic, and watches that come and go, on the simulated kernel.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sim::{Hooks, Side};
use tidemill::reactor::testing::World;
use tidemill::reactor::{Config, Reactor, Ready};

struct Bad(Rc<Cell<u32>>);

impl Drop for Bad {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        panic!("a panic that is meant");
    }
}

#[test]
fn a_callback_that_panics_in_its_drop_leaves_no_descriptor_registered() {
    let test = || {
        let world = World::new(1);
        let sys = world.sys();
        let process = sys.id();
        let mut reactor = Reactor::with_sys(sys, Config::default());
        let key = reactor.add(Hooks::default());
        let drops = Rc::new(Cell::new(0));
        let watch = |reactor: &mut Reactor<_>| {
            let bad = Bad(Rc::clone(&drops));
            let (fd, peer) = world.descriptor().unwrap();
            let id = reactor.watch(key, fd, Ready::READABLE, move |_, _, _| {
                let _ = &bad;
            });
            (id.unwrap(), peer)
        };
        let (id, _peer) = watch(&mut reactor);
        let fd = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reactor.unwatch(id)));
        assert!(fd.is_ok_and(|fd| fd.is_some()), "contained, and the descriptor comes back");
        assert_eq!((drops.get(), world.open_watches(process), reactor.watches()), (1, 0, 0));
        // The slot is free for the next.
        let (next, peers) = watch(&mut reactor);
        reactor.check_watches();
        let more: Vec<_> = (0..3).map(|_| watch(&mut reactor)).collect();
        assert!(reactor.unwatch(next).is_some());
        reactor.turn(Some(Duration::ZERO)).unwrap();
        let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(reactor)));
        assert!(went.is_ok(), "each drop is contained by itself");
        assert_eq!((drops.get(), world.open_watches(process)), (5, 0));
        drop((peers, more));
    };
    let thread = std::thread::Builder::new().name("panics that are meant".into()).spawn(test).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_watch_in_the_place_of_one_that_was_queued_hears_only_of_its_own() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let key = side.reactor.add(Hooks::default());
    let calls = Rc::new(Cell::new(0));
    let mut peers = Vec::new();
    for n in 0..50 {
        let (fd, mut peer) = world.descriptor().unwrap();
        let count = Rc::clone(&calls);
        let id = side
            .reactor
            .watch(key, fd, Ready::READABLE, move |_, source, _| {
                count.set(count.get() + 1);
                let _ = source.read(&mut [0; 8]);
            })
            .unwrap();
        // Queues it without any event; the even ones are gone before the turn that would look.
        assert!(side.reactor.with(key, |_, table| table.set_interest(id, Ready::READABLE)));
        if n % 2 == 0 {
            drop(side.reactor.unwatch(id).unwrap());
        } else {
            peer.write(b"tide");
        }
        side.reactor.check_watches();
        peers.push(peer);
    }
    side.settle();
    assert_eq!(calls.get(), 25, "each that stayed was called once");
    assert_eq!(side.reactor.watches(), 25);
}
