//! Work on threads, from the verb to the pool and back, on simulated time.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sim::{Hooks, MS, S, Side, until};
use tidemill::reactor::testing::{Faults, Rng, World, seeds};
use tidemill::reactor::{Config, TaskError};

type Results = Rc<RefCell<Vec<(usize, Result<usize, TaskError>)>>>;

fn config(threads: usize, queue: usize) -> Config {
    let mut config = Config::default();
    config.workers.threads_max = Some(threads);
    config.workers.queue_max = queue;
    config
}

#[test]
fn each_work_comes_back_once_or_is_refused_or_cancelled_whatever_the_weather() {
    seeds("each_work_comes_back_once_or_is_refused_or_cancelled_whatever_the_weather", |seed| {
        let world = World::with_faults(seed, Faults::hostile().swarm(seed));
        let mut rng = Rng::new(seed);
        let mut side = Side::with_config(&world, config(rng.between(1, 4), rng.between(1, 20)));
        let key = side.reactor.add(Hooks::default());
        let (results, ran) = (Results::default(), Arc::new(AtomicUsize::new(0)));
        let (mut taken, mut cancelled) = (Vec::new(), Vec::new());
        for n in 0..60 {
            let (results, ran) = (Rc::clone(&results), Arc::clone(&ran));
            let begun = side.reactor.with(key, |_, table| {
                let work = move || {
                    ran.fetch_add(1, Ordering::Relaxed);
                    n * n
                };
                table.offload(work, move |_, result, _| results.borrow_mut().push((n, result)))
            });
            match begun {
                Ok(task) => taken.push((n, task)),
                Err(error) => assert_eq!(error, TaskError::Full),
            }
            if rng.chance(300)
                && let Some((n, task)) = taken.last().copied()
                && side.reactor.with(key, |_, table| table.cancel(task))
            {
                cancelled.push(n);
            }
            if rng.chance(400) {
                side.pass(Duration::from_micros(rng.below(300)));
            }
        }
        let wanted = taken.len() - cancelled.len();
        until(&mut side, "all results are there", |_| results.borrow().len() >= wanted);
        side.reactor.stop(S);
        until(&mut side, "it has stopped", |side| !side.reactor.is_stopping());
        assert_eq!(side.reactor.last_drain().unwrap().threads_left, 0);
        let mut results = results.borrow().clone();
        results.sort_by_key(|(n, _)| *n);
        let expected: Vec<_> = taken.iter().map(|(n, _)| *n).filter(|n| !cancelled.contains(n)).collect();
        assert_eq!(results, expected.iter().map(|n| (*n, Ok(n * n))).collect::<Vec<_>>());
        let ran = ran.load(Ordering::Relaxed);
        assert!((wanted..=taken.len()).contains(&ran), "{ran}: what was cancelled may have begun");
        assert_eq!(world.jobs_done(side.process), ran as u64);
        assert_eq!((world.jobs_queued(side.process), world.jobs_running(side.process)), (0, 0));
    });
}

#[test]
fn work_that_never_ends_times_out_and_is_left_behind_when_the_grace_is_over() {
    let world = World::with_faults(1, Faults::none());
    let mut faults = Faults::none();
    faults.work_stuck = 1000;
    world.set_faults(faults);
    let mut side = Side::with_config(&world, config(1, 10));
    let key = side.reactor.add(Hooks::default());
    let results = Results::default();
    let offload = |side: &mut Side, n| {
        let results = Rc::clone(&results);
        side.reactor
            .with(key, |_, table| {
                table.offload_within(
                    50 * MS,
                    move || n,
                    move |_, result, _| results.borrow_mut().push((n, result)),
                )
            })
            .unwrap();
    };
    offload(&mut side, 0);
    side.pass(MS);
    assert_eq!(world.jobs_running(side.process), 1);
    offload(&mut side, 1);
    until(&mut side, "both are given up", |_| results.borrow().len() == 2);
    assert_eq!(*results.borrow(), [(0, Err(TaskError::TimedOut)), (1, Err(TaskError::TimedOut))]);
    assert_eq!(world.jobs_queued(side.process), 0, "what had not begun is withdrawn");
    let began = world.now();
    side.reactor.stop(2 * S);
    until(&mut side, "it has stopped", |side| !side.reactor.is_stopping());
    assert_eq!(side.reactor.last_drain().unwrap().threads_left, 1);
    assert!(world.now() - began >= 2 * S);
    // Its one thread is still taken when the reactor runs again: work waits, and hears that it does.
    offload(&mut side, 2);
    until(&mut side, "it is given up", |_| results.borrow().len() == 3);
    assert_eq!(results.borrow()[2], (2, Err(TaskError::TimedOut)));
}

#[test]
fn a_stopped_reactor_that_runs_again_has_its_threads_again() {
    let world = World::new(1);
    let mut side = Side::with_config(&world, config(2, 10));
    let key = side.reactor.add(Hooks::default());
    for n in 0..3 {
        let results = Results::default();
        let heard = Rc::clone(&results);
        side.reactor
            .with(key, |_, table| {
                table.offload(move || n, move |_, result, _| heard.borrow_mut().push((n, result)))
            })
            .unwrap();
        until(&mut side, "the result is there", |_| !results.borrow().is_empty());
        assert_eq!(*results.borrow(), [(n, Ok(n))]);
        side.reactor.stop(S);
        until(&mut side, "it has stopped", |side| !side.reactor.is_stopping());
    }
}

#[test]
fn work_that_a_stop_cut_off_does_not_count_in_the_next_run() {
    let mut faults = Faults::none();
    faults.work_ns_max = 4_000_000_000;
    for seed in 0..50 {
        let world = World::with_faults(seed, faults.clone());
        let mut side = Side::with_config(&world, config(2, 10));
        let key = side.reactor.add(Hooks::default());
        let heard: Rc<RefCell<Vec<Result<u32, TaskError>>>> = Rc::default();
        let offload = |side: &mut Side| {
            let heard = Rc::clone(&heard);
            let begun = side.reactor.with(key, |_, table| {
                table.offload(|| 7, move |_, result, _| heard.borrow_mut().push(result))
            });
            begun.unwrap();
        };
        offload(&mut side);
        side.pass(MS);
        side.reactor.stop(MS);
        until(&mut side, "it has stopped", |side| !side.reactor.is_stopping());
        // The first may still be at work, and come back in the middle of the second.
        offload(&mut side);
        side.reactor.stop(60 * S);
        until(&mut side, "it has stopped", |side| !side.reactor.is_stopping());
        assert_eq!(heard.borrow()[1], Ok(7), "seed {seed}: the stop waits for this run's work");
        assert!(side.reactor.last_drain().unwrap().is_clean());
    }
}

#[test]
fn the_times_of_work_on_threads_are_kept() {
    let mut faults = Faults::none();
    faults.work_ns_max = 50_000_000;
    let world = World::with_faults(3, faults);
    let mut side = Side::with_config(&world, config(1, 10));
    let key = side.reactor.add(Hooks::default());
    for _ in 0..3 {
        side.reactor.with(key, |_, table| table.offload(|| (), |_, _, _| ())).unwrap();
    }
    until(&mut side, "all are done", |side| side.reactor.stats().offload_processing_ns.count() == 3);
    let stats = side.reactor.stats();
    assert!(stats.offload_delay_ns.max() > 0, "the second waited for the first");
    assert!(stats.offload_processing_ns.max() <= 50_000_000);
}
