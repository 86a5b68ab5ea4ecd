//! The simulated thread pool against the contract of [`Workers`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::reactor::id::Token;
use crate::reactor::limits::WorkersConfig;
use crate::reactor::sys::Sys;
use crate::reactor::testing::{Faults, SimSys, World, seeds};
use crate::reactor::time::Time;
use crate::reactor::workers::{Job, JobId, Workers};

/// A job's number, beginning and end, in the order of the ends.
type Log = Arc<Mutex<Vec<(usize, Time, Time)>>>;

fn config(threads_max: usize, queue_max: usize) -> WorkersConfig {
    WorkersConfig { threads_max: Some(threads_max), queue_max, ..WorkersConfig::default() }
}

fn slow(work_ns_max: u64) -> Faults {
    Faults { work_ns_max, delay_max: Duration::from_micros(5), ..Faults::none() }
}

fn job(n: usize, log: &Log) -> Job {
    let log = Arc::clone(log);
    Box::new(move |now| {
        let (start, end) = (now(), now());
        log.lock().unwrap().push((n, start, end));
    })
}

fn submit(pool: &mut dyn Workers, n: usize, log: &Log) -> JobId {
    pool.submit(job(n, log)).ok().expect("a place in the queue")
}

fn numbers(log: &Log) -> Vec<usize> {
    log.lock().unwrap().iter().map(|(n, ..)| *n).collect()
}

fn refused(result: Result<JobId, Job>) -> Job {
    match result {
        Ok(id) => panic!("{id:?} was taken"),
        Err(job) => job,
    }
}

/// Lets everything happen that can.
fn exhaust(world: &World) {
    while world.step() {}
}

/// Whether a poll without end is woken; then the time is that of the reason.
fn sleep(sys: &mut SimSys, world: &World) -> bool {
    let mut woken = false;
    sys.poll(None, &mut |token, _| woken |= token == Token::Wake).unwrap();
    while !woken && !world.is_stuck() {
        sys.poll(None, &mut |token, _| woken |= token == Token::Wake).unwrap();
    }
    woken
}

/// Forty jobs, submitted in two bursts, some withdrawn: what ran when, and the jobs that were withdrawn.
fn life(seed: u64) -> (Vec<(usize, Time, Time)>, Vec<usize>) {
    let world = World::with_faults(seed, slow(50_000));
    let sys = world.sys();
    let mut pool = sys.workers(config(3, 100));
    let (log, mut withdrawn) = (Log::default(), Vec::new());
    for burst in 0..2 {
        let ids: Vec<JobId> = (0..20).map(|n| submit(&mut *pool, burst * 20 + n, &log)).collect();
        world.advance(Duration::from_micros(60));
        for (n, id) in ids.iter().enumerate().skip(8).step_by(3) {
            if pool.withdraw(*id).is_some() {
                withdrawn.push(burst * 20 + n);
            }
        }
    }
    exhaust(&world);
    assert!(pool.is_over() && pool.queued() == 0 && pool.running() == 0);
    assert_eq!(world.jobs_done(sys.id()), 40 - withdrawn.len() as u64);
    let log = log.lock().unwrap().clone();
    (log, withdrawn)
}

#[test]
fn the_same_seed_runs_the_same_jobs_at_the_same_times() {
    seeds("the_same_seed_runs_the_same_jobs_at_the_same_times", |seed| assert_eq!(life(seed), life(seed)));
    let orders: Vec<Vec<usize>> = (0..20).map(|s| life(s).0.iter().map(|(n, ..)| *n).collect()).collect();
    assert!(orders.iter().any(|order| *order != orders[0]), "another seed, another order");
}

#[test]
fn every_job_runs_once_or_is_withdrawn_and_no_more_run_than_there_are_threads() {
    seeds("every_job_runs_once_or_is_withdrawn_and_no_more_run_than_there_are_threads", |seed| {
        let (ran, withdrawn) = life(seed);
        let mut all: Vec<usize> = ran.iter().map(|(n, ..)| *n).chain(withdrawn.iter().copied()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        assert!(!withdrawn.is_empty());
        let mut starts = ran.clone();
        starts.sort_by_key(|(n, start, _)| (*start, *n));
        assert!(starts.is_sorted_by_key(|(n, ..)| *n), "begun in their order: {starts:?}");
        for (_, start, _) in &ran {
            let beside = ran.iter().filter(|(_, from, to)| from <= start && start < to).count();
            assert!(beside <= 3, "{beside} at {start:?}");
        }
        assert!(ran.iter().all(|(_, start, end)| end.since(*start) <= 50_000));
    });
}

#[test]
fn one_thread_runs_jobs_in_the_order_of_their_submission() {
    let world = World::with_faults(3, slow(1000));
    let mut pool = world.sys().workers(config(1, 100));
    let log = Log::default();
    (0..100).for_each(|n| _ = submit(&mut *pool, n, &log));
    exhaust(&world);
    assert_eq!(numbers(&log), (0..100).collect::<Vec<_>>());
    let log = log.lock().unwrap();
    assert!(log.windows(2).all(|two| two[0].2 <= two[1].1), "one after the other");
}

#[test]
fn a_job_takes_its_time_and_wakes_the_loop_at_its_end() {
    let world = World::with_faults(1, Faults { work_ns_max: 1_000_000, ..Faults::none() });
    let mut sys = world.sys();
    let (mut pool, waker, log) = (sys.workers(config(2, 10)), sys.waker(), Log::default());
    let record = job(7, &log);
    let job: Job = Box::new(move |now| {
        record(now);
        waker.wake();
    });
    assert!(pool.submit(job).is_ok());
    assert_eq!((pool.queued(), pool.running(), pool.threads()), (1, 0, 1), "never within the call");
    world.advance(Duration::ZERO);
    let id = sys.id();
    assert_eq!((pool.queued(), pool.running(), pool.threads()), (0, 1, 1));
    assert_eq!((world.jobs_queued(id), world.jobs_running(id), world.jobs_done(id)), (0, 1, 0));
    assert!(sleep(&mut sys, &world));
    let end = world.now();
    assert_eq!(*log.lock().unwrap(), [(7, Time::ZERO, end)]);
    assert!(end > Time::ZERO && end.as_nanos() <= 1_000_000);
    assert_eq!((pool.running(), pool.threads(), world.jobs_done(id)), (0, 0, 1));
    assert!(!sleep(&mut sys, &world), "nothing else is on the agenda");
}

#[test]
fn a_job_is_withdrawn_until_a_thread_begins_it() {
    let world = World::with_faults(1, Faults { work_ns_max: 1000, ..Faults::none() });
    let mut pool = world.sys().workers(config(1, 10));
    let log = Log::default();
    let ids: Vec<JobId> = (0..3).map(|n| submit(&mut *pool, n, &log)).collect();
    world.advance(Duration::ZERO);
    assert!(pool.withdraw(ids[0]).is_none(), "it runs");
    let back = pool.withdraw(ids[1]).expect("nobody has begun it");
    assert!(pool.withdraw(ids[1]).is_none(), "it is given back once");
    exhaust(&world);
    assert_eq!(numbers(&log), [0, 2]);
    assert!(pool.withdraw(ids[2]).is_none(), "it has run");
    back(&|| Time::ZERO);
    assert_eq!(numbers(&log), [0, 2, 1]);
}

#[test]
fn where_calls_take_time_a_job_can_begin_before_it_is_withdrawn() {
    let world = World::with_faults(1, Faults { call_ns_max: 2000, ..slow(1000) });
    let mut pool = world.sys().workers(config(1, 10));
    let log = Log::default();
    let mut back = 0;
    for n in 0..1000 {
        let id = submit(&mut *pool, n, &log);
        back += usize::from(pool.withdraw(id).is_some());
        exhaust(&world);
    }
    assert_eq!(numbers(&log).len() + back, 1000);
    assert!(back > 100 && back < 900, "{back}");
}

#[test]
fn a_full_queue_and_an_unlucky_moment_give_the_job_back() {
    let world = World::new(1);
    let mut pool = world.sys().workers(config(1, 2));
    let log = Log::default();
    submit(&mut *pool, 0, &log);
    submit(&mut *pool, 1, &log);
    let back = refused(pool.submit(job(2, &log)));
    exhaust(&world);
    assert_eq!(numbers(&log), [0, 1]);
    back(&|| Time::ZERO);
    assert_eq!(numbers(&log), [0, 1, 2], "it was that job");
    world.set_faults(Faults { work_refuse: 1000, ..Faults::none() });
    drop(refused(pool.submit(job(3, &log))));
    world.set_faults(Faults::none());
    submit(&mut *pool, 4, &log);
    exhaust(&world);
    assert_eq!(numbers(&log), [0, 1, 2, 4]);
    for (threads, queue) in [(0, 2), (2, 0)] {
        drop(refused(world.sys().workers(config(threads, queue)).submit(job(5, &log))));
    }
}

#[test]
fn a_panic_costs_one_job_and_not_the_thread() {
    let world = World::with_faults(1, slow(1000));
    let sys = world.sys();
    let (mut pool, log) = (sys.workers(config(1, 10)), Log::default());
    assert!(pool.submit(Box::new(|_| panic!("a job"))).is_ok());
    submit(&mut *pool, 1, &log);
    exhaust(&world);
    assert_eq!((numbers(&log), world.jobs_done(sys.id())), (vec![1], 2));
}

#[test]
fn shutting_down_gives_back_what_is_queued_and_wakes_the_loop_when_it_is_over() {
    let world = World::with_faults(1, Faults { work_ns_max: 1000, ..Faults::none() });
    let mut sys = world.sys();
    let (mut pool, log) = (sys.workers(config(2, 10)), Log::default());
    assert!(pool.shut_down().is_empty() && pool.is_over(), "nobody has used it");
    pool.reopen();
    (0..5).for_each(|n| _ = submit(&mut *pool, n, &log));
    world.advance(Duration::ZERO);
    let back = pool.shut_down();
    assert_eq!((back.len(), pool.queued(), pool.running(), pool.threads()), (3, 0, 2, 2));
    assert!(!pool.is_over() && pool.shut_down().is_empty());
    drop(refused(pool.submit(job(9, &log))));
    assert!(sleep(&mut sys, &world));
    assert!(pool.is_over());
    assert_eq!(numbers(&log).len(), 2);
    back.into_iter().for_each(|job| job(&|| Time::ZERO));
    assert_eq!(numbers(&log)[2..], [2, 3, 4], "in their order");
    pool.reopen();
    submit(&mut *pool, 6, &log);
    exhaust(&world);
    assert_eq!(numbers(&log)[5..], [6]);
}

#[test]
fn a_stuck_job_keeps_its_thread_and_a_world_with_nothing_else_to_do_says_so() {
    let world = World::with_faults(1, Faults { work_stuck: 1000, ..Faults::none() });
    let mut sys = world.sys();
    let (mut pool, log) = (sys.workers(config(2, 10)), Log::default());
    submit(&mut *pool, 0, &log);
    world.advance(Duration::ZERO);
    world.set_faults(Faults::none());
    submit(&mut *pool, 1, &log);
    assert!(!sleep(&mut sys, &world));
    assert_eq!((numbers(&log), pool.running(), pool.is_over()), (vec![1], 1, false));
    assert!(pool.shut_down().is_empty());
    assert!(!sleep(&mut sys, &world), "it is not over");
}

#[test]
fn a_dropped_pool_forgets_what_is_queued_and_lets_what_runs_end() {
    let world = World::with_faults(1, Faults { work_ns_max: 1000, ..Faults::none() });
    let (mut pool, log) = (world.sys().workers(config(2, 10)), Log::default());
    (0..5).for_each(|n| _ = submit(&mut *pool, n, &log));
    world.advance(Duration::ZERO);
    drop(pool);
    exhaust(&world);
    let mut ran = numbers(&log);
    ran.sort_unstable();
    assert_eq!(ran, [0, 1]);
    assert_eq!(Arc::strong_count(&log), 1, "the others are dropped");
}

#[test]
fn pools_of_several_processes_share_the_clock_and_nothing_else() {
    let world = World::with_faults(1, slow(1000));
    let (one, two) = (world.sys(), world.sys());
    let (mut a, mut b) = (one.workers(config(1, 10)), two.workers(config(1, 1)));
    let log = Log::default();
    (0..3).for_each(|n| _ = submit(&mut *a, n, &log));
    submit(&mut *b, 3, &log);
    assert_eq!((world.jobs_queued(one.id()), world.jobs_queued(two.id())), (3, 1));
    assert!(b.shut_down().len() <= 1 && a.queued() == 3);
    exhaust(&world);
    assert_eq!((world.jobs_done(one.id()), world.jobs_done(two.id())), (3, 0));
    assert_eq!(numbers(&log), [0, 1, 2]);
}
