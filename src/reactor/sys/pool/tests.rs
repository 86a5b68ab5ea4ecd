use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::ThreadId;

use super::*;
use crate::reactor::sys::{MioSys, Sys};

/// Nothing here takes a tenth of it.
const DEADLINE: Duration = Duration::from_secs(20);
const FOR_GOOD: Duration = Duration::from_secs(3600);

fn config(threads_max: usize, queue_max: usize) -> WorkersConfig {
    WorkersConfig { threads_max: Some(threads_max), queue_max, idle: FOR_GOOD }
}

/// A pool, and what hears of the reactor being woken.
fn pool_of(config: &WorkersConfig) -> (Pool, Receiver<()>) {
    let (woken, wakes) = mpsc::channel();
    let waker = Waker::new(move || {
        let _ = woken.send(());
    });
    (Pool::new(config, monotonic(), waker), wakes)
}

fn pool(threads_max: usize, queue_max: usize) -> Pool {
    pool_of(&config(threads_max, queue_max)).0
}

/// Looks again and again until `reached`.
fn until(what: &str, reached: impl Fn() -> bool) {
    let end = monotonic() + DEADLINE;
    while !reached() {
        assert!(monotonic() < end, "never: {what}");
        thread::park_timeout(Duration::from_micros(200));
    }
}

fn submit(pool: &mut Pool, job: impl FnOnce() + Send + 'static) -> JobId {
    pool.submit(Box::new(move |_| job())).ok().expect("a place in the queue")
}

/// Gives the pool a job that runs until what is returned is used or dropped, and waits until it runs.
fn block(pool: &mut Pool) -> Sender<()> {
    let before = pool.running();
    let (release, released) = mpsc::channel::<()>();
    submit(pool, move || {
        let _ = released.recv();
    });
    until("the blocking job runs", || pool.running() > before);
    release
}

/// Waits until `n` jobs have said something, and gives that.
fn take<T>(from: &Receiver<T>, n: usize) -> Vec<T> {
    (0..n).map(|_| from.recv_timeout(DEADLINE).expect("the job runs")).collect()
}

/// Runs a job on this thread, as nobody else will.
fn call(job: Job) {
    job(&|| Time::ZERO);
}

trait Refused {
    fn unwrap_err_job(self) -> Job;
}

impl Refused for Result<JobId, Job> {
    fn unwrap_err_job(self) -> Job {
        match self {
            Ok(id) => panic!("{id:?} was taken"),
            Err(job) => job,
        }
    }
}

#[test]
fn one_thread_runs_jobs_in_the_order_of_their_submission() {
    let mut pool = pool(1, 5000);
    let (said, heard) = mpsc::channel();
    for n in 0..5000 {
        let said = said.clone();
        submit(&mut pool, move || said.send(n).unwrap());
    }
    assert_eq!(take(&heard, 5000), (0..5000).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_gives_the_job_back_untouched() {
    let mut pool = pool(1, 3);
    let release = block(&mut pool);
    let (said, heard) = mpsc::channel();
    for n in 0..3 {
        let said = said.clone();
        submit(&mut pool, move || said.send(n).unwrap());
    }
    let more = said.clone();
    let refused = pool.submit(Box::new(move |_| more.send(99).unwrap())).unwrap_err_job();
    assert_eq!((pool.queued(), pool.running(), pool.threads()), (3, 1, 1));
    assert!(heard.try_recv().is_err(), "nothing ran");
    call(refused);
    assert_eq!(take(&heard, 1), [99]);
    drop(release);
    assert_eq!(take(&heard, 3), [0, 1, 2]);
    until("there is room again", || pool.queued() == 0);
    submit(&mut pool, move || said.send(4).unwrap());
    assert_eq!(take(&heard, 1), [4]);
}

#[test]
fn a_bound_of_zero_refuses_every_job_and_starts_no_thread() {
    for (threads, queue) in [(0, 10), (10, 0), (0, 0)] {
        let mut pool = pool(threads, queue);
        drop(pool.submit(Box::new(|_| {})).unwrap_err_job());
        assert_eq!((pool.queued(), pool.threads()), (0, 0));
        assert!(pool.is_over());
    }
}

#[test]
fn a_job_withdrawn_before_its_start_never_runs() {
    let mut pool = pool(1, 10);
    let release = block(&mut pool);
    let (said, heard) = mpsc::channel();
    let ids: Vec<JobId> = (0..3)
        .map(|n| {
            let said = said.clone();
            submit(&mut pool, move || said.send(n).unwrap())
        })
        .collect();
    let job = pool.withdraw(ids[1]).expect("nobody has begun it");
    assert_eq!(pool.queued(), 2);
    assert!(pool.withdraw(ids[1]).is_none(), "it is given back once");
    drop(release);
    assert_eq!(take(&heard, 2), [0, 2]);
    until("all is done", || pool.running() == 0);
    assert!(heard.try_recv().is_err());
    call(job);
    assert_eq!(take(&heard, 1), [1], "it was that job");
}

#[test]
fn a_job_that_runs_or_has_run_is_not_withdrawn() {
    let mut pool = pool(1, 10);
    let (release, released) = mpsc::channel::<()>();
    let (said, heard) = mpsc::channel();
    let id = submit(&mut pool, move || {
        said.send("begun").unwrap();
        released.recv().unwrap();
        said.send("ended").unwrap();
    });
    assert_eq!(take(&heard, 1), ["begun"]);
    assert!(pool.withdraw(id).is_none());
    release.send(()).unwrap();
    assert_eq!(take(&heard, 1), ["ended"]);
    until("the thread has left it", || pool.running() == 0);
    assert!(pool.withdraw(id).is_none());
    assert!(pool.withdraw(JobId(u64::MAX)).is_none(), "nobody's name");
}

#[test]
fn each_job_runs_once_or_is_withdrawn_once_however_close_the_race() {
    let mut pool = pool(4, 1024);
    let ran = Arc::new(AtomicUsize::new(0));
    let (mut withdrawn, mut submitted) = (0, 0);
    for _ in 0..20_000 {
        let counter = Arc::clone(&ran);
        let job = Box::new(move |_: &dyn Fn() -> Time| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let Ok(id) = pool.submit(job) else { continue };
        submitted += 1;
        withdrawn += usize::from(submitted % 3 != 0 && pool.withdraw(id).is_some());
    }
    until("the pool is empty", || pool.queued() == 0 && pool.running() == 0);
    assert_eq!(ran.load(Ordering::Relaxed) + withdrawn, submitted);
    assert!(withdrawn > 0);
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("and its payload, too");
    }
}

#[test]
fn a_panic_costs_one_job_and_not_the_thread() {
    let mut pool = pool(1, 10);
    let (said, heard) = mpsc::channel::<ThreadId>();
    let name = |said: &Sender<ThreadId>| {
        let said = said.clone();
        move || said.send(thread::current().id()).unwrap()
    };
    submit(&mut pool, name(&said));
    submit(&mut pool, || panic!("a job"));
    submit(&mut pool, || std::panic::panic_any(Bomb));
    let captured = Bomb;
    submit(&mut pool, move || drop(captured));
    submit(&mut pool, name(&said));
    let threads = take(&heard, 2);
    assert_eq!(threads[0], threads[1]);
    until("none counts as running", || pool.running() == 0);
    assert_eq!(pool.threads(), 1);
}

#[test]
fn threads_are_started_for_jobs_that_find_none_free_and_never_more_than_allowed() {
    let mut pool = pool(3, 50);
    assert_eq!(pool.threads(), 0, "none before the first job");
    let (said, heard) = mpsc::channel::<ThreadId>();
    for _ in 0..20 {
        let said = said.clone();
        submit(&mut pool, move || said.send(thread::current().id()).unwrap());
        take(&heard, 1);
        until("the thread is free", || pool.running() == 0);
        assert_eq!(pool.threads(), 1, "a free thread is enough");
    }
    let releases: Vec<_> = (1..=3)
        .map(|n| {
            let release = block(&mut pool);
            assert_eq!(pool.threads(), n);
            release
        })
        .collect();
    for _ in 0..50 {
        let said = said.clone();
        submit(&mut pool, move || said.send(thread::current().id()).unwrap());
    }
    assert_eq!((pool.queued(), pool.running(), pool.threads()), (50, 3, 3));
    drop(releases);
    let threads: BTreeSet<String> = take(&heard, 50).iter().map(|id| format!("{id:?}")).collect();
    assert!(threads.len() <= 3 && pool.threads() == 3);
}

#[test]
fn threads_bear_the_lowest_free_number() {
    let (mut pool, _wakes) = pool_of(&WorkersConfig { idle: Duration::ZERO, ..config(2, 10) });
    let (said, heard) = mpsc::channel();
    for _ in 0..3 {
        let said = said.clone();
        submit(&mut pool, move || said.send(thread::current().name().map(str::to_owned)).unwrap());
        assert_eq!(take(&heard, 1), [Some("tidemill-work-1".to_owned())]);
        until("it ends", || {
            let handles = pool.handles.lock().unwrap();
            handles.iter().all(|(_, thread)| thread.is_finished())
        });
    }
}

#[test]
fn a_thread_without_work_ends_after_the_idle_time_and_the_next_job_gets_a_new_one() {
    let idle = Duration::from_millis(30);
    let (mut pool, wakes) = pool_of(&WorkersConfig { idle, ..config(4, 10) });
    for _ in 0..2 {
        let (said, heard) = mpsc::channel();
        let releases: Vec<_> = (0..4).map(|_| block(&mut pool)).collect();
        submit(&mut pool, move || said.send(monotonic()).unwrap());
        drop(releases);
        let last = take(&heard, 1)[0];
        until("all four have ended", || pool.threads() == 0);
        assert!(monotonic().duration_since(last) >= idle, "not before their time");
        assert!(pool.is_over());
    }
    assert!(wakes.try_recv().is_err(), "that is no reason to wake the loop");
}

#[test]
fn no_patience_at_all_loses_no_job() {
    let (mut pool, _wakes) = pool_of(&WorkersConfig { idle: Duration::ZERO, ..config(2, 10) });
    for n in 0..500 {
        let (said, heard) = mpsc::channel();
        submit(&mut pool, move || said.send(n).unwrap());
        assert_eq!(take(&heard, 1), [n]);
    }
    until("no thread stays", || pool.threads() == 0);
}

#[test]
fn shutting_down_gives_back_what_is_queued_and_ends_after_what_runs() {
    let (mut pool, wakes) = pool_of(&config(2, 10));
    let releases = [block(&mut pool), block(&mut pool)];
    let (said, heard) = mpsc::channel();
    let ids: Vec<JobId> = (0..3)
        .map(|n| {
            let said = said.clone();
            submit(&mut pool, move || said.send(n).unwrap())
        })
        .collect();
    let back = pool.shut_down();
    assert_eq!((back.len(), pool.queued(), pool.running()), (3, 0, 2));
    assert!(pool.withdraw(ids[0]).is_none(), "it is given back once");
    assert!(pool.shut_down().is_empty());
    drop(pool.submit(Box::new(|_| {})).unwrap_err_job());
    back.into_iter().for_each(call);
    assert_eq!(take(&heard, 3), [0, 1, 2], "in their order");
    let [one, two] = releases;
    drop(one);
    until("one has ended", || pool.threads() == 1);
    assert!(!pool.is_over());
    assert!(wakes.try_recv().is_err());
    drop(two);
    take(&wakes, 1);
    assert!(pool.is_over(), "the loop is woken when it is so");
    assert_eq!(pool.handles.lock().unwrap().len(), 0, "joined");
}

#[test]
fn threads_that_wait_for_work_end_at_once_when_the_pool_is_shut_down() {
    let (mut pool, wakes) = pool_of(&config(3, 10));
    let releases: Vec<_> = (0..3).map(|_| block(&mut pool)).collect();
    drop(releases);
    until("all are free", || pool.running() == 0);
    assert_eq!(pool.threads(), 3);
    assert!(pool.shut_down().is_empty());
    take(&wakes, 1);
    assert!(pool.is_over());
    assert!(wakes.try_recv().is_err(), "woken once");
}

#[test]
fn a_pool_that_nobody_used_is_over_and_wakes_nobody() {
    let (mut pool, wakes) = pool_of(&config(3, 10));
    assert!(pool.shut_down().is_empty() && pool.is_over());
    assert!(wakes.try_recv().is_err());
}

#[test]
fn a_reopened_pool_goes_on_beside_what_still_runs() {
    let (mut pool, wakes) = pool_of(&config(2, 10));
    let stuck = block(&mut pool);
    assert!(pool.shut_down().is_empty());
    pool.reopen();
    let (said, heard) = mpsc::channel();
    for n in 0..10 {
        let said = said.clone();
        submit(&mut pool, move || said.send(n).unwrap());
    }
    assert_eq!(take(&heard, 10), (0..10).collect::<Vec<_>>(), "one thread is left for them");
    assert_eq!(pool.threads(), 2);
    drop(stuck);
    assert!(pool.shut_down().is_empty());
    take(&wakes, 1);
    assert!(pool.is_over());
    pool.reopen();
    submit(&mut pool, move || said.send(11).unwrap());
    assert_eq!(take(&heard, 1), [11]);
}

#[test]
fn no_job_is_lost_between_shutting_down_and_reopening() {
    let (mut pool, _wakes) = pool_of(&config(3, 64));
    let ran = Arc::new(AtomicUsize::new(0));
    let (mut submitted, mut back) = (0, 0);
    for round in 0..2000 {
        for _ in 0..round % 40 {
            let ran = Arc::clone(&ran);
            submit(&mut pool, move || {
                ran.fetch_add(1, Ordering::Relaxed);
            });
            submitted += 1;
        }
        back += pool.shut_down().len();
        pool.reopen();
    }
    until("the pool is empty", || pool.queued() == 0 && pool.running() == 0);
    assert_eq!(ran.load(Ordering::Relaxed) + back, submitted);
    assert!(pool.threads() <= 3);
}

#[test]
fn dropping_a_pool_whose_job_is_stuck_does_not_hang() {
    let (mut pool, wakes) = pool_of(&config(1, 10));
    let (release, released) = mpsc::channel::<()>();
    let (said, heard) = mpsc::channel();
    let queued = said.clone();
    submit(&mut pool, move || {
        said.send("begun").unwrap();
        released.recv().unwrap();
        said.send("ended").unwrap();
    });
    assert_eq!(take(&heard, 1), ["begun"]);
    submit(&mut pool, move || queued.send("never").unwrap());
    let bomb = Bomb;
    submit(&mut pool, move || drop(bomb));
    let (gone, went) = mpsc::channel();
    thread::spawn(move || {
        drop(pool);
        gone.send(()).unwrap();
    });
    take(&went, 1);
    release.send(()).unwrap();
    assert_eq!(take(&heard, 1), ["ended"], "what ran came to its end");
    take(&wakes, 1);
    assert_eq!(
        heard.recv_timeout(DEADLINE),
        Err(mpsc::RecvTimeoutError::Disconnected),
        "the rest was dropped"
    );
}

#[test]
fn a_hundred_thousand_jobs_go_through_four_threads() {
    const JOBS: usize = 100_000;
    let mut pool = pool(4, 1024);
    let (said, heard) = mpsc::channel();
    let mut refused = 0_u64;
    for n in 0..JOBS {
        let said = said.clone();
        let mut job: Job = Box::new(move |_| said.send(n).unwrap());
        let end = monotonic() + DEADLINE;
        while let Err(back) = pool.submit(job) {
            assert!(monotonic() < end, "the queue stays full");
            job = back;
            refused += 1;
            thread::yield_now();
        }
        assert!(pool.queued() <= 1024 && pool.threads() <= 4);
    }
    let mut ran = take(&heard, JOBS);
    ran.sort_unstable();
    assert!(ran.iter().enumerate().all(|(at, n)| at == *n), "each once; {refused} times the queue was full");
}

/// As when the system has no room for another thread: no address space holds such a stack.
const IMPOSSIBLE: usize = 1 << 60;

#[test]
fn without_a_thread_a_job_is_refused_and_with_one_it_waits_for_it() {
    let mut pool = pool(2, 10);
    pool.stack = IMPOSSIBLE;
    let (said, heard) = mpsc::channel();
    let say = |n: u32| {
        let said = said.clone();
        Box::new(move |_: &dyn Fn() -> Time| said.send(n).unwrap())
    };
    let refused = pool.submit(say(0)).unwrap_err_job();
    assert_eq!((pool.queued(), pool.threads(), pool.is_over()), (0, 0, true));
    call(refused);
    assert_eq!(take(&heard, 1), [0]);
    pool.stack = STACK;
    let release = block(&mut pool);
    pool.stack = IMPOSSIBLE;
    assert!(pool.submit(say(1)).is_ok(), "the one thread will come to it");
    assert_eq!((pool.queued(), pool.threads()), (1, 1));
    drop(release);
    assert_eq!(take(&heard, 1), [1]);
}

#[test]
fn jobs_read_the_clock_of_their_reactor() {
    let mut sys = MioSys::new().unwrap();
    let mut workers = sys.workers(config(1, 10));
    let (said, heard) = mpsc::channel();
    let before = sys.now();
    let job: Job = Box::new(move |now| said.send([now(), now()]).unwrap());
    assert!(workers.submit(job).is_ok());
    let stamps = take(&heard, 1)[0];
    let after = sys.now();
    assert!(
        before <= stamps[0] && stamps[0] <= stamps[1] && stamps[1] <= after,
        "{before:?} {stamps:?} {after:?}"
    );
}

#[test]
fn the_poll_is_woken_when_the_threads_have_ended() {
    let mut sys = MioSys::new().unwrap();
    let mut workers = sys.workers(config(2, 10));
    let (release, released) = mpsc::channel::<()>();
    let job: Job = Box::new(move |_| {
        let _ = released.recv();
    });
    assert!(workers.submit(job).is_ok());
    until("it runs", || workers.running() == 1);
    assert!(workers.shut_down().is_empty());
    let mut woken = false;
    sys.poll(Some(Duration::ZERO), &mut |_, _| woken = true).unwrap();
    assert!(!woken && !workers.is_over());
    drop(release);
    let end = monotonic() + DEADLINE;
    while !woken && monotonic() < end {
        sys.poll(Some(DEADLINE), &mut |_, _| woken = true).unwrap();
    }
    assert!(woken && workers.is_over());
}
