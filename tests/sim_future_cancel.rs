//! Futures that are dropped at the worst moment, on the simulated kernel: what they were given and have not seen, what
//! their drops do, and what they leave behind.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use sim::{Hooks, MS, S, Side, patient, tcp, until};
use tidemill::reactor::future::{self, Either, Task};
use tidemill::reactor::testing::{Faults, Rng, SimSys, World, seeds};
use tidemill::reactor::{Config, Reactor};

/// Calls back when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Panics of tests that are meant are not to be counted as broken assertions: they happen on a thread of their own.
fn quietly(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("panics that are meant".into()).spawn(test).unwrap();
    thread.join().unwrap();
}

type Burst = Box<dyn FnMut()>;

/// What a drop does that is meant to panic.
fn burst(count: &Cell<u32>) {
    count.set(count.get() + 1);
    panic!("a panic that is meant");
}

#[test]
fn an_item_that_comes_with_the_bytes_that_win_a_race_stays_in_its_queue() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let key = side.reactor.add(Hooks::default());
    let queue = side.reactor.with(key, |_, table| table.queue::<u32>(4));
    let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
    let won = Rc::new(Cell::new(None));
    let note = Rc::clone(&won);
    let task = side.reactor.spawn(async move {
        let (mut stream, _) = acceptor.accept().await.unwrap();
        let mut buf = [0; 8];
        let first = future::race(stream.read(&mut buf), future::take(queue)).await;
        note.set(Some(matches!(first, Either::Left(Ok(3)))));
        pending::<()>().await;
    });
    let mut peer = world.dial(&tcp()).unwrap();
    side.settle();
    // In one turn both come: the bytes by the poll, the item by the task that waits for it.
    side.reactor.with(key, |_, table| (0..3).for_each(|n| table.push(queue, n).unwrap()));
    peer.write(b"now");
    side.settle();
    assert_eq!(won.get(), Some(true), "the bytes won");
    let left =
        side.reactor.with(key, |_, table| (table.queue_len(queue), [(); 4].map(|()| table.pop(queue))));
    assert_eq!(left, (3, [Some(0), Some(1), Some(2), None]), "in its place");
    drop((task, peer));
    until(&mut side, "closed", |side| side.reactor.connections() == 0);
    assert_eq!(side.reactor.futures_kept(), [0; 5]);
}

#[test]
fn an_item_on_its_way_to_a_task_that_is_dropped_goes_to_the_next_or_back() {
    let mut config = Config::default();
    config.turn_tasks_max = 1;
    let world = World::new(1);
    let mut side = Side::with_config(&world, config);
    let key = side.reactor.add(Hooks::default());
    let queue = side.reactor.with(key, |_, table| table.queue::<Rc<u32>>(4));
    let taker = |side: &mut Side| -> Task<u32> {
        side.reactor.spawn(async move { *future::take(queue).await.unwrap() })
    };
    let first = taker(&mut side);
    side.settle();
    let value = Rc::new(7);
    // One poll a turn, and it is another's: the item is handed over, and nobody sees it yet.
    let deliver = |side: &mut Side| {
        let other = side.reactor.spawn(async {});
        let item = Rc::clone(&value);
        side.reactor.with(key, move |_, table| table.push(queue, item).unwrap());
        side.reactor.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(side.reactor.with(key, |_, table| table.queue_len(queue)), 0, "it is under way");
        other.detach();
    };
    deliver(&mut side);
    drop(first);
    side.settle();
    assert_eq!(side.reactor.with(key, |_, table| table.queue_len(queue)), 1, "it is back");
    assert_eq!(side.reactor.with(key, |_, table| table.pop(queue)).as_deref(), Some(&7));
    // Where somebody waits, it is his.
    let (first, second) = (taker(&mut side), taker(&mut side));
    side.settle();
    deliver(&mut side);
    drop(first);
    let seen = Rc::new(Cell::new(0));
    let note = Rc::clone(&seen);
    side.reactor.spawn(async move { note.set(second.await.unwrap()) }).detach();
    side.settle();
    assert_eq!(seen.get(), 7);
    // And where the queue is gone, it is dropped.
    let first = taker(&mut side);
    side.settle();
    deliver(&mut side);
    assert!(side.reactor.with(key, |_, table| table.remove_queue(queue)));
    assert_eq!(Rc::strong_count(&value), 2);
    drop(first);
    side.settle();
    assert_eq!(Rc::strong_count(&value), 1);
    assert_eq!(side.reactor.futures_kept(), [0; 5]);
}

#[test]
fn no_item_is_lost_or_doubled_whoever_gives_up() {
    seeds("no_item_is_lost_or_doubled_whoever_gives_up", |seed| {
        let mut rng = Rng::new(seed);
        let mut config = Config::default();
        config.turn_tasks_max = 1 + rng.size(6) as u32;
        let world = World::new(seed);
        let mut side = Side::with_config(&world, config);
        let key = side.reactor.add(Hooks::default());
        let queue = side.reactor.with(key, |_, table| table.queue::<u32>(5));
        let seen: Rc<RefCell<Vec<u32>>> = Rc::default();
        let mut tasks: Vec<Task<()>> = Vec::new();
        let mut next = 0;
        for _ in 0..200 {
            match rng.between(0, 6) {
                0 | 1 => {
                    let (seen, patience) = (Rc::clone(&seen), rng.between(0, 3) as u32);
                    tasks.push(side.reactor.spawn(async move {
                        let limit = future::sleep(MS * patience);
                        if let Either::Right(Ok(item)) = future::race(limit, future::take(queue)).await {
                            seen.borrow_mut().push(item);
                        } else if let Ok(item) = future::take_within(queue, MS * patience).await {
                            seen.borrow_mut().push(item);
                        }
                    }));
                }
                2 | 3 => {
                    let pushed = side.reactor.with(key, |_, table| table.push(queue, next).is_ok());
                    next += u32::from(pushed);
                }
                4 if !tasks.is_empty() => drop(tasks.swap_remove(rng.between(0, tasks.len() - 1))),
                _ => world.advance(MS / 2),
            }
            if rng.between(0, 2) > 0 {
                side.reactor.turn(Some(Duration::ZERO)).unwrap();
                side.check();
            }
        }
        drop(tasks);
        side.settle();
        let mut all = seen.borrow().clone();
        while let Some(item) = side.reactor.with(key, |_, table| table.pop(queue)) {
            all.push(item);
        }
        all.sort_unstable();
        assert_eq!(all, (0..next).collect::<Vec<_>>());
        assert_eq!(side.reactor.with(key, |_, table| table.queue_len(queue)), 0);
        assert_eq!(side.reactor.futures_kept(), [0; 5]);
    });
}

#[test]
fn a_stop_drops_every_future_however_many_there_are() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let alive = Rc::new(());
    for _ in 0..40_000 {
        let held = Rc::clone(&alive);
        let inner = Rc::clone(&alive);
        side.reactor
            .spawn(async move {
                let _held = held;
                let _also = future::spawn(async move {
                    let _held = inner;
                    pending::<()>().await;
                });
                future::sleep(S * 100).await;
            })
            .detach();
    }
    side.settle();
    assert_eq!(Rc::strong_count(&alive), 80_001);
    side.reactor.stop(S);
    side.reactor.run().unwrap();
    assert_eq!(Rc::strong_count(&alive), 1, "none outlives the stop");
    assert_eq!(side.reactor.futures_kept(), [0; 5]);
}

#[test]
fn drops_that_make_ever_more_to_be_dropped_do_not_hold_up_a_stop() {
    fn again(clock: World, count: Rc<Cell<u64>>, over: Rc<Cell<bool>>) {
        let held = OnDrop(move || {
            clock.advance(Duration::from_micros(10));
            count.set(count.get() + 1);
            if !over.get() {
                again(clock.clone(), Rc::clone(&count), Rc::clone(&over));
            }
        });
        drop(future::spawn(async move {
            let _held = &held;
            pending::<()>().await;
        }));
    }
    let world = World::new(1);
    let mut side = Side::new(&world);
    let (count, over) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (clock, counted, ended) = (world.clone(), Rc::clone(&count), Rc::clone(&over));
    side.reactor
        .spawn(async move {
            let _first = OnDrop(move || again(clock.clone(), Rc::clone(&counted), Rc::clone(&ended)));
            pending::<()>().await;
        })
        .detach();
    side.settle();
    side.reactor.stop(S);
    side.reactor.run().unwrap();
    assert!(count.get() > 1 << 16);
    over.set(true);
    side.settle();
    assert_eq!(side.reactor.futures_kept(), [0; 5]);
}

#[test]
fn a_drop_of_the_reactor_contains_each_drop_that_panics() {
    quietly(|| {
        let world = World::new(1);
        let mut reactor = Reactor::with_sys(world.sys(), Config::default());
        // A result that is there while its `Task` outlives the reactor: only the last drops reach it.
        let mut held: Vec<Task<OnDrop<Burst>>> = Vec::new();
        let dropped = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let count = Rc::clone(&dropped);
            let value: OnDrop<Burst> = OnDrop(Box::new(move || burst(&count)));
            held.push(reactor.spawn(async move { value }));
        }
        for _ in 0..3 {
            let count = Rc::clone(&dropped);
            reactor
                .spawn(async move {
                    let _held = OnDrop(|| burst(&count));
                    pending::<()>().await;
                })
                .detach();
        }
        reactor.turn(Some(Duration::ZERO)).unwrap();
        let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(reactor)));
        assert!(went.is_ok());
        assert_eq!(dropped.get(), 6);
        drop(held);
        assert_eq!(dropped.get(), 6);
    });
}

#[test]
fn a_reactor_rests_after_a_block_on_that_did_not_come_to_its_end() {
    fn rests(reactor: &mut Reactor<SimSys>) {
        for _ in 0..10 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(reactor.next_wait(), None, "it spins");
    }
    quietly(|| {
        let world = World::new(1);
        let mut reactor = Reactor::with_sys(world.sys(), Config::default());
        // It wakes itself, and panics before the wake is heard.
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            reactor.block_on(async {
                future::spawn(async {}).detach();
                future::yield_now().await;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if future::now().is_some() {
                        panic!("a panic that is meant")
                    }
                    std::task::Poll::<()>::Pending
                })
                .await;
            })
        }));
        assert!(panicked.is_err());
        rests(&mut reactor);
        let value = reactor.block_on(async {
            future::sleep(MS).await;
            1
        });
        assert_eq!(value.unwrap(), 1);
        // A turn that fails.
        let clock = world.clone();
        let mut faults = Faults::none();
        faults.poll_break = 1000;
        let e = reactor.block_on(async move {
            future::yield_now().await;
            clock.set_faults(faults);
            future::yield_now().await;
        });
        assert_eq!(e.unwrap_err().op, "poll");
        world.set_faults(Faults::none());
        rests(&mut reactor);
    });
}

#[test]
fn a_stream_that_is_aborted_outside_a_poll_is_reset() {
    for within in [true, false] {
        let world = World::new(1);
        let mut side = Side::new(&world);
        let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
        let place = Rc::new(RefCell::new(None));
        let to = Rc::clone(&place);
        let task = side.reactor.spawn(async move {
            let (stream, _) = acceptor.accept().await.unwrap();
            if within {
                stream.abort();
            } else {
                *to.borrow_mut() = Some(stream);
            }
        });
        let mut peer = world.dial(&tcp()).unwrap();
        side.settle();
        if let Some(stream) = place.borrow_mut().take() {
            stream.abort();
        }
        until(&mut side, "closed", |side| side.reactor.connections() == 0);
        let e = peer.error().map(|e| e.kind());
        assert_eq!(e, Some(std::io::ErrorKind::ConnectionReset), "within a poll: {within}");
        drop(task);
        side.settle();
        assert_eq!(side.reactor.futures_kept(), [0; 5]);
    }
}

#[test]
fn the_time_that_destructors_take_is_not_the_next_futures() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let (clock, seen) = (world.clone(), Rc::new(Cell::new(None)));
    let note = Rc::clone(&seen);
    // The first ends by itself, the second is dropped by the first: both take their time in their drops.
    let slow = OnDrop({
        let clock = clock.clone();
        move || clock.advance(20 * MS)
    });
    let other = side.reactor.spawn(async move {
        let _slow = slow;
        pending::<()>().await;
    });
    side.settle();
    side.reactor.spawn(async move { drop(other) }).detach();
    side.reactor
        .spawn(async move {
            let now = future::now().unwrap();
            note.set(Some((now, clock.now())));
        })
        .detach();
    side.settle();
    let (stamped, true_time) = seen.get().unwrap();
    assert!(true_time >= tidemill::reactor::Time::ZERO + 20 * MS);
    assert!(true_time - stamped < MS, "stamped {:?} before", true_time - stamped);
}

#[test]
fn a_sleep_of_no_time_lets_the_loop_go_on_and_a_bound_of_none_is_over_at_once() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let turns = Rc::new(Cell::new(0));
    let count = Rc::clone(&turns);
    let endless = side.reactor.spawn(async move {
        loop {
            future::sleep(Duration::ZERO).await;
            count.set(count.get() + 1);
        }
    });
    for n in 0..5 {
        side.reactor.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(turns.get(), n, "one step a turn");
    }
    drop(endless);
    let over = Rc::new(Cell::new(false));
    let note = Rc::clone(&over);
    let bound = side.reactor.spawn(async move {
        note.set(future::timeout(Duration::ZERO, pending::<()>()).await.is_err());
    });
    side.reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(over.get());
    drop(bound);
    side.settle();
}
