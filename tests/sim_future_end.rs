//! How streams, acceptors and their tasks end on the simulated kernel: deadlines, resets, full backlogs, drains.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use sim::{MS, S, Side, patient, tcp, until};
use tidemill::reactor::future;
use tidemill::reactor::testing::World;

/// What is kept once everything is over, but for so many futures and acceptors.
fn kept(side: &Side, futures: usize, acceptors: usize) {
    assert_eq!(side.reactor.futures_kept(), [futures, 0, 0, 0, acceptors]);
}

#[test]
fn deadlines_are_errors_of_who_waits() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut limits = patient();
    (limits.idle_timeout, limits.connect_timeout, limits.stall_timeout) = (Some(S), Some(2 * S), Some(4 * S));
    let mut acceptor = side.reactor.acceptor_with(&tcp(), limits.clone()).unwrap();
    let errors: Rc<RefCell<Vec<(io::ErrorKind, &'static str)>>> = Rc::default();
    let note = |errors: &Rc<RefCell<Vec<_>>>, e: io::Error| {
        let class = future::StreamError::of(&e).and_then(|e| e.class()).map_or("none", |c| c.name);
        errors.borrow_mut().push((e.kind(), class));
    };
    let (first, second) = (Rc::clone(&errors), Rc::clone(&errors));
    side.reactor
        .spawn(async move {
            let (mut stream, _) = acceptor.accept().await.unwrap();
            note(&first, stream.read(&mut [0]).await.unwrap_err());
            note(&first, stream.read(&mut [0]).await.unwrap_err());
            let (mut stream, _) = acceptor.accept().await.unwrap();
            note(&first, stream.write_all(&[0; 1_000_000]).await.unwrap_err());
        })
        .detach();
    let _idle = world.dial(&tcp()).unwrap();
    side.pass(2 * S);
    assert_eq!(*errors.borrow(), [(io::ErrorKind::TimedOut, "tcp.idle"); 2]);
    let _stalled = world.dial(&tcp()).unwrap();
    side.pass(7 * S);
    assert_eq!(errors.borrow()[2..], [(io::ErrorKind::TimedOut, "tcp.stalled")]);
    let nobody = tidemill::reactor::Endpoint::tcp(([127, 0, 0, 1], 99));
    let (refused, dropped) = (nobody.clone(), "127.0.0.1:98".parse().unwrap());
    world.drop_connects_to(&dropped);
    side.reactor
        .spawn(async move {
            note(&second, future::connect(&refused).await.unwrap_err());
            note(&second, future::connect_with(&dropped, limits).await.unwrap_err());
            let name = "localhost:1".parse().unwrap();
            note(&second, future::connect(&name).await.unwrap_err());
        })
        .detach();
    side.pass(4 * S);
    let want = [
        (io::ErrorKind::ConnectionRefused, "tcp.refused"),
        (io::ErrorKind::TimedOut, "tcp.timed_out"),
        (io::ErrorKind::InvalidInput, "none"),
    ];
    assert_eq!(errors.borrow()[3..], want);
    kept(&side, 0, 0);
}

#[test]
fn bytes_that_came_before_a_reset_are_read_before_it_is_told() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut acceptor = side.reactor.acceptor(&tcp()).unwrap();
    let (go, got) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(Vec::new())));
    let (wait, to) = (Rc::clone(&go), Rc::clone(&got));
    side.reactor
        .spawn(async move {
            let (mut stream, _) = acceptor.accept().await.unwrap();
            while !wait.get() {
                future::sleep(MS).await;
            }
            let mut buf = [0; 3];
            let kind = loop {
                match stream.read(&mut buf).await {
                    Ok(n) => to.borrow_mut().extend_from_slice(&buf[..n]),
                    Err(e) => break e.kind(),
                }
            };
            assert_eq!(kind, io::ErrorKind::ConnectionReset);
            to.borrow_mut().push(0);
        })
        .detach();
    let mut peer = world.dial(&tcp()).unwrap();
    peer.write(b"last words");
    side.pass(10 * MS);
    peer.reset();
    side.pass(10 * MS);
    assert_eq!(side.reactor.connections(), 0);
    go.set(true);
    until(&mut side, "all was read", |_| got.borrow().last() == Some(&0));
    assert_eq!(*got.borrow(), b"last words\0");
    kept(&side, 0, 0);
}

#[test]
fn an_acceptor_that_nobody_asks_lets_the_rest_wait_in_the_kernel() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
    let (go, count) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let (wait, taken) = (Rc::clone(&go), Rc::clone(&count));
    let task = side.reactor.spawn(async move {
        while !wait.get() {
            future::sleep(MS).await;
        }
        let mut all = Vec::new();
        while let Ok((stream, _)) = acceptor.accept().await {
            all.push(stream);
            taken.set(all.len());
        }
    });
    let peers: Vec<_> = (0..300).map(|_| world.dial(&tcp()).unwrap()).collect();
    side.pass(20 * MS);
    assert!((128..300).contains(&side.reactor.connections()), "{}", side.reactor.connections());
    let turns = world.calls();
    side.pass(5 * MS);
    assert!(world.calls() - turns < 50, "it spins");
    go.set(true);
    until(&mut side, "all were taken", |_| count.get() == 300);
    drop((task, peers));
    until(&mut side, "closed", |side| side.reactor.connections() == 0);
    assert_eq!(world.open_listeners(side.process), 0);
    kept(&side, 0, 0);
}

#[test]
fn a_drain_is_told_to_acceptors_and_tasks_and_ends_them() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
    let told: Rc<RefCell<Vec<&'static str>>> = Rc::default();
    let (a, b, c) = (Rc::clone(&told), Rc::clone(&told), Rc::clone(&told));
    side.reactor
        .spawn(async move {
            let mut served = 0;
            let why = loop {
                match acceptor.accept().await {
                    Ok((mut stream, _)) => {
                        served += 1;
                        let c = Rc::clone(&c);
                        future::spawn(async move {
                            // Idle, until the drain asks it to finish.
                            let mut buf = [0; 10];
                            let quit = future::race(stream.read(&mut buf), future::draining()).await;
                            let future::Either::Right(_hold) = quit else { panic!("{quit:?}") };
                            stream.write_all(b"bye").await.unwrap();
                            stream.finish().await.unwrap();
                            c.borrow_mut().push("finished");
                        })
                        .detach();
                    }
                    Err(why) => break why,
                }
            };
            assert_eq!((why, served), (future::AcceptError::Draining, 2));
            a.borrow_mut().push("acceptor");
        })
        .detach();
    struct Gone(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.borrow_mut().push("cancelled");
        }
    }
    side.reactor
        .spawn(async move {
            let _gone = Gone(b);
            std::future::pending::<()>().await;
        })
        .detach();
    let mut peer = world.dial(&tcp()).unwrap();
    side.settle();
    // This one is still in the kernel's queue when the drain begins.
    let mut queued = world.dial(&tcp()).unwrap();
    side.reactor.handle().stop(5 * S);
    let mut stopped = false;
    for _ in 0..1000 {
        stopped |= side.reactor.turn(Some(10 * MS)).unwrap().stopped;
        side.check();
        if stopped {
            break;
        }
        for peer in [&mut peer, &mut queued] {
            if peer.read() == b"bye" {
                peer.shutdown_write();
            }
        }
    }
    assert!(stopped && world.now() < tidemill::reactor::Time::ZERO + S);
    let mut told = told.borrow().clone();
    told.sort_unstable();
    assert_eq!(told, ["acceptor", "cancelled", "finished", "finished"]);
    side.settle();
    kept(&side, 0, 0);
}

#[test]
fn a_drain_resets_at_the_end_of_its_grace_what_futures_hold() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
    let seen: Rc<Cell<Option<&'static str>>> = Rc::default();
    let to = Rc::clone(&seen);
    side.reactor
        .spawn(async move {
            let (mut stream, _) = acceptor.accept().await.unwrap();
            let e = stream.read(&mut [0]).await.unwrap_err();
            to.set(future::StreamError::of(&e).and_then(|e| e.class()).map(|c| c.name));
        })
        .detach();
    let _peer = world.dial(&tcp()).unwrap();
    side.settle();
    side.reactor.stop(S);
    while !side.reactor.turn(None).unwrap().stopped {
        side.check();
    }
    assert!(world.now() - Default::default() >= S);
    side.settle();
    assert_eq!(seen.get(), None, "its task was cancelled with the end of the drain");
    kept(&side, 0, 0);
    assert_eq!(side.reactor.connections(), 0);
}
