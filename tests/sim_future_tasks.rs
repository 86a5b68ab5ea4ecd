//! Spawned futures on simulated time: values, panics, cancelling, timers, wakers from anywhere, and who goes first.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sim::{Hooks, MS, S, Side, serve, tcp, until};
use tidemill::reactor::future::{self, Either, Task};
use tidemill::reactor::testing::{Rng, World, seeds};
use tidemill::reactor::{Accepted, Ctx, Handler, Missed, Refuse, Table, TaskError, TaskReport, Time};

fn side() -> Side {
    Side::new(&World::new(1))
}

fn nothing_kept(side: &Side) {
    assert_eq!(side.reactor.futures_kept(), [0; 5]);
}

/// Runs a future to its end, with the rules asserted after every turn.
fn run<T: 'static>(side: &mut Side, future: impl Future<Output = T> + 'static) -> T {
    let place: Rc<RefCell<Option<T>>> = Rc::default();
    let to = Rc::clone(&place);
    side.reactor
        .spawn(async move {
            let value = future.await;
            *to.borrow_mut() = Some(value);
        })
        .detach();
    until(side, "the future is done", |_| place.borrow().is_some());
    place.borrow_mut().take().unwrap()
}

/// Counts its drops.
struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Panics of tests that are meant are not to be counted as broken assertions: they happen on a thread of their own.
fn quietly(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("panics that are meant".into()).spawn(test).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_value_reaches_who_awaits_it_whenever_that_is() {
    let mut side = side();
    let got = run(&mut side, async {
        let soon = future::spawn(async { 1 });
        let late = future::spawn(async {
            future::sleep(S).await;
            2
        });
        let both = (late.await, soon.await);
        assert_eq!(both, (Ok(2), Ok(1)));
        let many = (0..100).map(|n| future::spawn(async move { n }));
        let many = future::join_all(many.collect::<Vec<_>>()).await;
        many.into_iter().map(Result::unwrap).sum::<i32>()
    });
    assert_eq!(got, 4950);
    nothing_kept(&side);
}

#[test]
fn a_task_that_is_dropped_or_cancelled_drops_what_it_has() {
    let mut side = side();
    let drops: Rc<Cell<u32>> = Rc::default();
    let task = |drops: &Rc<Cell<u32>>| {
        let held = Dropped(Rc::clone(drops));
        async move {
            let _held = held;
            pending::<()>().await;
        }
    };
    let (a, b) = (side.reactor.spawn(task(&drops)), side.reactor.spawn(task(&drops)));
    side.settle();
    drop(a);
    b.cancel();
    side.settle();
    assert_eq!(drops.get(), 2);
    let inner = task(&drops);
    run(&mut side, async move {
        let inner = future::spawn(inner);
        future::yield_now().await;
        drop(inner);
    });
    side.settle();
    assert_eq!(drops.get(), 3);
    // By its id, through a handler's table; who awaits it hears so.
    let key = side.reactor.add(Hooks::default());
    let last = side.reactor.spawn(task(&drops));
    let id = last.id();
    let told = Rc::new(Cell::new(None));
    let to = Rc::clone(&told);
    side.reactor.spawn(async move { to.set(Some(last.await)) }).detach();
    side.settle();
    assert!(side.reactor.with(key, |_, table| table.cancel(id)));
    side.settle();
    assert_eq!((drops.get(), told.get()), (4, Some(Err(TaskError::Cancelled))));
    // With its group.
    let grouped = task(&drops);
    let alive = side.reactor.with(key, |_, table| {
        let task = table.spawn(grouped);
        let group = table.group();
        assert!(table.join_group(group, task.id()));
        task.detach();
        group
    });
    side.settle();
    assert_eq!(side.reactor.with(key, |_, table| table.remove_group(alive)), 1);
    side.settle();
    assert_eq!(drops.get(), 5);
    nothing_kept(&side);
}

#[test]
fn a_long_chain_of_tasks_falls_without_recursion() {
    fn chain(left: u32, drops: Rc<Cell<u32>>) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let _held = Dropped(Rc::clone(&drops));
            if left > 0 {
                let _ = future::spawn(chain(left - 1, drops)).await;
            } else {
                pending::<()>().await;
            }
        })
    }
    let mut side = side();
    let drops: Rc<Cell<u32>> = Rc::default();
    let task = side.reactor.spawn(chain(5000, Rc::clone(&drops)));
    for _ in 0..5010 {
        side.reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    side.check();
    drop(task);
    side.settle();
    assert_eq!(drops.get(), 5001);
    nothing_kept(&side);
}

/// Keeps what it is told of tasks.
struct Teller(Rc<RefCell<Vec<String>>>);

impl Handler for Teller {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Ctx<'_, Self>) {}

    fn on_task_error(&mut self, report: &TaskReport, _: &mut Table<'_, Self>) {
        self.0.borrow_mut().push(report.class.name.to_owned());
    }
}

#[test]
fn a_panic_costs_its_task_and_is_told_to_who_awaits_it_or_to_its_handler() {
    quietly(|| {
        let world = World::new(1);
        let mut reactor = tidemill::reactor::Reactor::with_sys(world.sys(), Default::default());
        let told: Rc<RefCell<Vec<String>>> = Rc::default();
        let key = reactor.add(Teller(Rc::clone(&told)));
        let mut awaited = reactor.block_on(async {
            let bad: Task<()> = future::spawn(async { panic!("a panic that is meant") });
            let good = future::spawn(async { 7 });
            (bad.await, good.await)
        });
        assert_eq!(awaited.as_mut().unwrap(), &(Err(TaskError::Panicked), Ok(7)));
        reactor.with(key, |_, table| {
            table.spawn(async { panic!("a panic that is meant") }).detach();
            table.spawn(async { future::sleep(MS).await }).detach();
        });
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a panic that is meant, in a drop");
            }
        }
        // A drop that panics, of a cancelled future, of a value that nobody awaits, of a payload.
        let held = Bomb;
        let cancelled = reactor.spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        drop(cancelled);
        reactor.spawn(async { Bomb }).detach();
        reactor.spawn(async { std::panic::panic_any(Bomb) }).detach();
        for _ in 0..20 {
            reactor.turn(Some(MS)).unwrap();
            reactor.check();
        }
        assert_eq!(*told.borrow(), ["task.panicked"]);
        assert_eq!(reactor.futures_kept(), [0; 5]);
    });
}

#[test]
fn sleeps_end_at_their_time_and_cancelled_ones_leave_nothing() {
    seeds("sleeps_end_at_their_time_and_cancelled_ones_leave_nothing", |seed| {
        let mut rng = Rng::new(seed);
        let world = World::new(seed);
        let mut side = Side::new(&world);
        let done = Rc::new(Cell::new(0));
        let mut cancelled = Vec::new();
        for _ in 0..50 {
            let (for_ms, keep) = (rng.between(0, 5000) as u64, rng.chance(500));
            let (done, clock) = (Rc::clone(&done), world.clone());
            let task = side.reactor.spawn(async move {
                let began = future::now().unwrap();
                future::sleep(Duration::from_millis(for_ms)).await;
                let took = clock.now() - began;
                assert!(took >= Duration::from_millis(for_ms), "{took:?} of {for_ms}");
                assert!(took <= Duration::from_millis(for_ms + 2), "{took:?} of {for_ms}");
                done.set(done.get() + 1);
            });
            if keep { task.detach() } else { cancelled.push(task) }
        }
        side.settle();
        let kept = 50 - cancelled.len();
        drop(cancelled);
        side.pass(6 * S);
        assert!(done.get() >= kept && done.get() <= 50);
        nothing_kept(&side);
        assert_eq!(side.reactor.next_wait(), None, "nothing wakes an idle loop");
    });
}

#[test]
fn a_result_that_is_there_wins_over_its_timeout() {
    let mut side = side();
    let got = run(&mut side, async {
        let at = future::now().unwrap() + S;
        // Both become ready in the same turn.
        let tie = future::timeout(S, async {
            future::sleep_until(at).await;
            1
        });
        let late = future::timeout(S, pending::<i32>());
        let early = future::timeout(S, async { 3 });
        (tie.await, late.await, early.await)
    });
    assert_eq!(got, (Ok(1), Err(TaskError::TimedOut), Ok(3)));
    let got = run(&mut side, future::race(pending::<i32>(), future::sleep(MS)));
    assert_eq!(got, Either::Right(()));
    nothing_kept(&side);
}

#[test]
fn a_beat_does_not_drift_and_misses_what_it_was_told_to_miss() {
    for (missed, want) in [(Missed::Skip, 9), (Missed::Burst, 10)] {
        let world = World::new(1);
        let mut side = Side::new(&world);
        let clock = world.clone();
        let ticks = run(&mut side, async move {
            let began = future::now().unwrap();
            let mut beat = future::interval(10 * MS, Missed::Skip);
            for n in 1..=1000 {
                let due = beat.tick().await;
                assert_eq!(due, began + 10 * MS * n, "tick {n}");
            }
            let began = future::now().unwrap();
            let mut beat = future::interval(10 * MS, missed);
            beat.tick().await;
            clock.advance(21 * MS);
            let mut ticks = 1;
            while beat.tick().await < began + 100 * MS {
                ticks += 1;
            }
            ticks
        });
        // Two beats passed while it was busy: the first is made up for late either way.
        assert_eq!(ticks, want - 1, "{missed:?}");
    }
}

#[test]
fn who_is_woken_by_a_future_waits_for_the_next_turn() {
    let mut side = side();
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    side.reactor
        .spawn(async move {
            loop {
                count.set(count.get() + 1);
                future::yield_now().await;
            }
        })
        .detach();
    for turn in 1..=100 {
        side.turn();
        assert_eq!(polls.get(), turn);
    }
}

#[test]
fn a_future_without_end_and_posts_without_end_let_each_other_run() {
    fn forever(_: &mut Hooks, table: &mut Table<'_, Hooks>) {
        table.post(forever);
    }
    let world = World::new(1);
    let hooks = Hooks {
        data: Some(Box::new(|ctx| {
            ctx.tx.take_from(&mut ctx.rx);
        })),
        ..Hooks::default()
    };
    let (mut side, _, key) = serve(&world, &tcp(), hooks);
    let polls = Rc::new(Cell::new(0));
    for _ in 0..10 {
        let count = Rc::clone(&polls);
        side.reactor
            .spawn(async move {
                loop {
                    count.set(count.get() + 1);
                    future::yield_now().await;
                }
            })
            .detach();
        side.reactor.with(key, |_, table| table.post(forever));
    }
    let mut peer = world.dial(&tcp()).unwrap();
    for n in 0..50u8 {
        peer.write(&[n]);
        for _ in 0..3 {
            side.turn();
        }
        assert_eq!(peer.read(), [n]);
    }
    assert!(polls.get() >= 10 * 150);
}

#[test]
fn a_waker_works_from_other_threads_and_outlives_task_and_reactor() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let (give, wakers) = mpsc::channel::<Waker>();
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    let task = side.reactor.spawn(poll_fn(move |cx: &mut Context<'_>| {
        count.set(count.get() + 1);
        give.send(cx.waker().clone()).unwrap();
        Poll::<()>::Pending
    }));
    side.settle();
    let waker = wakers.recv().unwrap();
    for n in 2..20 {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let waker = waker.clone();
                std::thread::spawn(move || (0..100).for_each(|_| waker.wake_by_ref()))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        side.settle();
        assert!(polls.get() >= n, "woken from elsewhere");
    }
    let before = polls.get();
    for _ in 0..1000 {
        waker.wake_by_ref();
    }
    side.settle();
    assert_eq!(polls.get(), before + 1, "many wakes, one poll");
    drop(task);
    side.settle();
    waker.wake_by_ref();
    side.settle();
    nothing_kept(&side);
    drop(side);
    waker.wake_by_ref();
    std::thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn leaves_outside_their_reactor_say_so() {
    let mut cx = Context::from_waker(Waker::noop());
    let at = tcp();
    let mut connect = pin!(future::connect(&at));
    assert!(matches!(connect.as_mut().poll(&mut cx), Poll::Ready(Err(_))));
    let mut work = pin!(future::offload(|| 1));
    assert_eq!(work.as_mut().poll(&mut cx), Poll::Ready(Err(TaskError::Cancelled)));
    assert_eq!(future::now(), None);
    let mut side = side();
    let task = side.reactor.spawn(async { 1 });
    let mut task = pin!(task);
    assert_eq!(task.as_mut().poll(&mut cx), Poll::Ready(Err(TaskError::Cancelled)));
    quietly(|| {
        let slept = std::panic::catch_unwind(|| {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = pin!(future::sleep(MS)).poll(&mut cx);
        });
        assert!(slept.is_err());
        assert!(std::panic::catch_unwind(|| future::spawn(async {}).detach()).is_err());
    });
}

#[test]
fn a_reactor_runs_within_a_task_of_another() {
    let world = World::new(1);
    let (mut outer, inner) = (Side::new(&world), Side::new(&world));
    let got = run(&mut outer, async move {
        let mut inner = inner;
        let began = future::now().unwrap();
        let mine = future::spawn(async { 1 });
        let theirs = inner.reactor.block_on(async {
            let theirs = future::spawn(async { 2 });
            // The task of the outer reactor is not to be awaited here, and says so.
            let here = theirs.await.unwrap();
            here + 1
        });
        inner.check();
        drop(inner);
        future::sleep(MS).await;
        assert!(future::now().unwrap() > began);
        (theirs.unwrap(), mine.await)
    });
    assert_eq!(got, (3, Ok(1)));
    nothing_kept(&outer);
}

#[test]
fn block_on_borrows_what_is_around_it_and_ends_with_the_reactor() {
    let world = World::new(1);
    let mut reactor = tidemill::reactor::Reactor::with_sys(world.sys(), Default::default());
    let mut log = Vec::new();
    let value = reactor.block_on(async {
        log.push("before");
        future::sleep(S).await;
        log.push("after");
        log.len()
    });
    assert_eq!(value.unwrap(), 2);
    assert!(world.now() - Time::ZERO >= S);
    reactor.handle().stop(S);
    let e = reactor.block_on(pending::<()>()).unwrap_err();
    assert_eq!(e.class.name, "task.cancelled");
    reactor.handle().stop(S);
    let told = reactor.block_on(future::draining());
    assert!(told.is_ok(), "who waits for the stop hears of it first");
}

#[test]
fn handlers_and_futures_share_queues_semaphores_and_calls() {
    let mut side = side();
    let key = side.reactor.add(Hooks::default());
    let queue = side.reactor.with(key, |_, table| table.queue::<u32>(2));
    let gate = side.reactor.with(key, |_, table| table.semaphore(1));
    let seen: Rc<RefCell<Vec<u32>>> = Rc::default();
    let to = Rc::clone(&seen);
    let taker = side.reactor.spawn(async move {
        while let Ok(n) = future::take(queue).await {
            to.borrow_mut().push(n);
            future::sleep(MS).await;
        }
    });
    let got = run(&mut side, async move {
        for n in 0..50 {
            future::push(queue, n).await.unwrap();
        }
        let permit = future::acquire(gate).await.unwrap();
        assert!(future::try_acquire(gate).is_none());
        let waits = future::spawn(async move { future::acquire(gate).await.is_ok() });
        let gives_up = future::timeout(MS, future::acquire(gate)).await;
        assert_eq!(gives_up.err(), Some(TaskError::TimedOut));
        drop(permit);
        assert_eq!(waits.await, Ok(true));
        let held = future::call(key, move |_, table| table.permits(gate)).await;
        let again = future::acquire(gate).await.is_ok();
        (held, again)
    });
    assert!(got.1);
    assert_eq!(got.0, Ok(1), "the second permit has come back");
    until(&mut side, "all were taken", |_| seen.borrow().len() == 50);
    assert_eq!(*seen.borrow(), (0..50).collect::<Vec<_>>());
    side.reactor.with(key, |_, table| table.remove_queue(queue));
    side.settle();
    drop(taker);
    side.settle();
    nothing_kept(&side);
}
