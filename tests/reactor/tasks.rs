//! Tasks on the real kernel and the real clock: posts of threads in numbers, timers that are never early.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidemill::reactor::{
    Accepted, Config, Ctx, Handler, Key, PostError, Reactor, Refuse, SendError, TaskError,
};

use crate::support::PATIENCE;

const MS: Duration = Duration::from_millis(1);

/// How many posts of each thread have come, and whether each came after the one before it.
#[derive(Default)]
struct Tally {
    next: [u32; 4],
    disordered: u32,
}

impl Handler for Tally {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Ctx<'_, Self>) {}
}

fn reactor(posts_max: usize) -> (Reactor, Key<Tally>) {
    let mut config = Config::default();
    config.posts_max = posts_max;
    let mut reactor = Reactor::new(config).unwrap();
    let key = reactor.add(Tally::default());
    (reactor, key)
}

/// Posts of four threads, `each` of them by each.
fn posts(each: u32, posts_max: usize) {
    let (mut reactor, key) = reactor(posts_max);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = reactor.handle();
            thread::spawn(move || {
                for n in 0..each {
                    let posted = handle.post_wait(key, move |tally, _| {
                        tally.disordered += u32::from(tally.next[thread] != n);
                        tally.next[thread] = n + 1;
                    });
                    posted.unwrap();
                }
            })
        })
        .collect();
    let deadline = Instant::now() + 6 * PATIENCE;
    while reactor.with(key, |tally, _| tally.next != [each; 4]) {
        assert!(Instant::now() < deadline, "came: {:?}", reactor.with(key, |tally, _| tally.next));
        reactor.turn(Some(5 * MS)).unwrap();
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(reactor.with(key, |tally, _| tally.disordered), 0);
}

#[test]
fn a_million_posts_of_each_of_four_threads_arrive_in_the_order_of_each() {
    posts(1_000_000, 1 << 16);
}

#[test]
fn threads_that_are_faster_than_the_loop_wait_for_room() {
    posts(5_000, 3);
}

/// Whether the kernel says that a thread of this process sleeps.
fn sleeps(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

#[test]
fn a_thread_that_waits_for_room_is_let_go_when_the_reactor_goes() {
    let (reactor, key) = reactor(1);
    let (handle, other) = (reactor.handle(), Arc::new(AtomicI32::new(0)));
    handle.post(key, |_, _| {}).unwrap();
    assert_eq!(handle.post(key, |_, _| {}), Err(PostError::Full));
    let told = Arc::clone(&other);
    let thread = thread::spawn(move || {
        told.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Release);
        handle.post_wait(key, |_, _| {})
    });
    let deadline = Instant::now() + PATIENCE;
    while !sleeps(other.load(Ordering::Acquire)) {
        assert!(Instant::now() < deadline, "it does not wait");
        thread::yield_now();
    }
    assert!(!thread.is_finished());
    drop(reactor);
    assert_eq!(thread.join().unwrap(), Err(PostError::Gone));
}

#[test]
fn timers_are_never_early_and_seldom_more_than_a_millisecond_late() {
    let (mut reactor, key) = reactor(1);
    let fired = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    for n in 0..200_u32 {
        let (after, fired, set) = (MS * 5 + n * Duration::from_micros(731), fired.clone(), Instant::now());
        reactor.with(key, |_, table| {
            table.call_later(after, move |_, _| {
                let took = set.elapsed();
                assert!(took >= after, "{took:?} is less than {after:?}");
                fired.borrow_mut().push(took - after);
            })
        });
    }
    let deadline = Instant::now() + PATIENCE;
    while reactor.with(key, |_, table| table.tasks()) > 0 {
        assert!(Instant::now() < deadline, "{} of 200 have run", fired.borrow().len());
        reactor.turn(None).unwrap();
    }
    let mut late = fired.borrow().clone();
    assert_eq!(late.len(), 200, "a timer that was early did not come to its end");
    late.sort_unstable();
    // For the reader; a busy machine must not fail a test.
    println!("late: median {:?}, most {:?}", late[100], late[199]);
}

#[test]
fn an_idle_reactor_sleeps_until_its_far_timer_without_a_wake_up() {
    let (mut reactor, key) = reactor(1);
    let hour = Duration::from_secs(3600);
    let never = reactor.with(key, |_, table| {
        let never = table.call_later(hour, |_, _| {});
        for n in 1..1000 {
            let soon = table.call_later(n * MS / 10, |_, _| {});
            table.cancel(soon);
        }
        never
    });
    // The time of a timer that was cancelled may bring one look.
    let began = Instant::now();
    let mut turns = 0;
    while began.elapsed() < 300 * MS {
        let left = (300 * MS).saturating_sub(began.elapsed());
        reactor.turn(Some(left)).unwrap();
        turns += 1;
    }
    assert!(turns <= 4, "{turns} turns");
    let wait = reactor.next_wait().unwrap();
    assert!(wait > hour - 2 * PATIENCE && wait <= hour, "{wait:?}");
    reactor.with(key, |_, table| assert!(table.cancel(never)));
    assert_eq!(reactor.next_wait(), None);
}

#[test]
fn a_sender_hears_that_its_reactor_is_gone_however_full_its_queue_was() {
    for fill in [0, 1, 3] {
        let (mut reactor, key) = reactor(1);
        let sender = reactor.with(key, |_, table| {
            let queue = table.queue::<u32>(3);
            table.sender(queue).unwrap()
        });
        for n in 0..fill {
            sender.send(n).unwrap();
        }
        drop(reactor);
        for n in 0..10 {
            assert_eq!(sender.send(n), Err(SendError::Gone(n)), "{fill} were in it");
        }
    }
}

#[test]
fn a_race_of_many_losers_takes_no_longer_than_a_join_of_them() {
    // With a look at all parts for each part this would take minutes.
    const PARTS: usize = 200_000;
    let (mut reactor, key) = reactor(1);
    let parts = reactor.with(key, |_, table| {
        let (_task, parts) = table.race::<u32>(PARTS, None, |tally, result, _| {
            assert_eq!(result, Err(TaskError::Cancelled));
            tally.disordered += 1;
        });
        parts
    });
    drop(parts);
    let deadline = Instant::now() + PATIENCE;
    while reactor.with(key, |tally, _| tally.disordered) == 0 {
        assert!(Instant::now() < deadline, "the race is still not over");
        reactor.turn(Some(MS)).unwrap();
    }
}
