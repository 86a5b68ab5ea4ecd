//! How streams, acceptors and their tasks end on the simulated kernel: deadlines, resets, full backlogs, drains.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use sim::{MS, S, Side, patient, tcp, until};
use tidemill::reactor::future;
use tidemill::reactor::testing::World;
use tidemill::reactor::{Accepted, Config, Ctx, Handler, Refuse, Table, TaskError, TaskReport};

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

#[test]
fn who_waits_for_the_close_of_the_last_stream_hears_of_it_before_the_drain_ends() {
    // With one poll a turn, others are in front of it.
    for most in [1024, 1] {
        let world = World::new(1);
        let mut config = Config::default();
        config.turn_tasks_max = most;
        let mut side = Side::with_config(&world, config);
        let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
        let told: Rc<RefCell<Vec<&'static str>>> = Rc::default();
        let to = Rc::clone(&told);
        side.reactor
            .spawn(async move {
                let (mut stream, _) = acceptor.accept().await.unwrap();
                let both = future::race(stream.read(&mut [0]), future::draining()).await;
                assert!(matches!(both, future::Either::Right(_)), "{both:?}");
                drop(both);
                let report = stream.close().await.unwrap();
                assert!(report.reason.class.is_none());
                to.borrow_mut().push("closed");
                // What it does then has its turns too.
                future::yield_now().await;
                to.borrow_mut().push("and said so");
            })
            .detach();
        for _ in 0..3 {
            let to = Rc::clone(&told);
            side.reactor
                .spawn(async move {
                    drop(future::draining().await);
                    for _ in 0..3 {
                        future::yield_now().await;
                    }
                    to.borrow_mut().push("tidied");
                })
                .detach();
        }
        let mut peer = world.dial(&tcp()).unwrap();
        side.settle();
        side.reactor.stop(5 * S);
        let mut stopped = false;
        for _ in 0..1000 {
            stopped |= side.reactor.turn(Some(10 * MS)).unwrap().stopped;
            side.check();
            if stopped {
                break;
            }
            if peer.read().is_empty() && peer.is_eof() {
                peer.shutdown_write();
            }
        }
        assert!(stopped && world.now() < tidemill::reactor::Time::ZERO + S);
        let mut told = told.borrow().clone();
        told.sort_unstable();
        assert_eq!(told, ["and said so", "closed", "tidied", "tidied", "tidied"], "{most} polls a turn");
        assert_eq!(side.reactor.last_drain().unwrap().cancelled_total, 0);
        kept(&side, 0, 0);
    }
}

#[test]
fn a_future_that_always_wakes_itself_ends_with_the_grace() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let clock = world.clone();
    side.reactor
        .spawn(async move {
            loop {
                clock.advance(MS);
                future::yield_now().await;
            }
        })
        .detach();
    side.turn();
    let began = world.now();
    side.reactor.stop(S);
    side.reactor.run().unwrap();
    assert!(world.now() - began >= S && world.now() - began < S + 10 * MS);
    assert!(side.reactor.last_drain().unwrap().is_clean());
    kept(&side, 0, 0);
}

#[test]
fn a_stop_takes_what_the_kernel_has_queued_for_an_acceptor_that_is_full() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
    let taken = Rc::new(Cell::new(0));
    let count = Rc::clone(&taken);
    side.reactor
        .spawn(async move {
            let _hold = future::draining().await;
            while let Ok((mut stream, _)) = acceptor.accept().await {
                stream.write_all(b"bye").await.unwrap();
                count.set(count.get() + 1);
            }
        })
        .detach();
    let mut peers: Vec<_> = (0..300).map(|_| world.dial(&tcp()).unwrap()).collect();
    side.settle();
    assert!(side.reactor.connections() < 300, "it is full");
    side.reactor.stop(5 * S);
    let mut said = [0; 300];
    for _ in 0..1000 {
        if side.reactor.turn(Some(10 * MS)).unwrap().stopped {
            break;
        }
        side.check();
        for (peer, said) in peers.iter_mut().zip(&mut said) {
            *said += peer.read().len();
            if *said == 3 && peer.is_eof() {
                peer.shutdown_write();
            }
        }
    }
    let answered = said.iter().filter(|n| **n == 3).count();
    assert_eq!((taken.get(), answered), (300, 300), "nobody in the queue was reset");
    assert!(!side.reactor.is_stopping());
    kept(&side, 0, 0);
}

#[test]
fn the_end_of_a_future_at_a_drain_is_told_once() {
    struct Teller(Rc<Cell<u32>>);
    impl Handler for Teller {
        type Conn = ();
        fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
            Err(Refuse::silent())
        }
        fn on_data(&mut self, (): &mut (), _: &mut Ctx<'_, Self>) {}
        fn on_task_error(&mut self, report: &TaskReport, _: &mut Table<'_, Self>) {
            assert_eq!(report.class.name, "task.cancelled");
            self.0.set(self.0.get() + 1);
        }
    }
    for awaited in [true, false] {
        let world = World::new(1);
        let mut side = Side::new(&world);
        let told = Rc::new(Cell::new(0));
        let key = side.reactor.add(Teller(Rc::clone(&told)));
        let task = side.reactor.with(key, |_, table| table.spawn(std::future::pending::<()>()));
        side.settle();
        side.reactor.stop(S);
        if awaited {
            let heard = side.reactor.block_on(task).unwrap();
            assert_eq!(heard, Err(TaskError::Cancelled), "who awaits it hears of it");
        } else {
            task.detach();
            side.reactor.run().unwrap();
        }
        assert_eq!(told.get(), u32::from(!awaited), "awaited: {awaited}");
    }
}
