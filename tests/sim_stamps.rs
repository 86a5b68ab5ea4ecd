//! Whose time is whose: what a task is billed for, and from when it counts as waiting.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::sync::mpsc;

use sim::MS;
use sim::tasks::{Bench, count_panics};
use tidemill::reactor::testing::World;
use tidemill::reactor::{Config, Step};

fn bench(late_ms: u32) -> Bench {
    let mut config = Config::default();
    config.task_late = Some(MS * late_ms);
    let mut bench = Bench::with_config(World::new(1), config);
    bench.reactor.keep_task_records();
    bench
}

#[test]
fn a_post_of_another_thread_waits_from_the_moment_in_which_it_was_made() {
    let mut bench = bench(100);
    let (world, handle, key) = (bench.world.clone(), bench.reactor.handle(), bench.key);
    let (blocks, go) = mpsc::channel();
    let other = std::thread::spawn(move || {
        go.recv().unwrap();
        handle.post(key, |worker, _| worker.note("posted")).unwrap();
    });
    let mut other = Some(other);
    bench.with(|_, table| {
        table.post(move |_, _| {
            // In the midst of a callback that blocks the loop for 300 ms.
            world.advance(100 * MS);
            blocks.send(()).unwrap();
            other.take().unwrap().join().unwrap();
            world.advance(200 * MS);
        })
    });
    bench.rest();
    assert_eq!(bench.notes(), ["posted"]);
    let records = bench.reactor.take_task_records();
    let posted = records.last().unwrap();
    assert_eq!((posted.delay, posted.processing), (200_000_000, 0), "{records:?}");
    assert_eq!(bench.told("task.late").len(), 1);
}

#[test]
fn a_task_is_not_billed_for_what_is_done_about_the_one_before() {
    struct Slow(World);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.advance(50 * MS);
        }
    }
    count_panics();
    let mut bench = bench(1000);
    let world = bench.world.clone();
    bench.with(|_, table| {
        let slow = Slow(world.clone());
        let mut left = 1;
        table.cooperate(move |_, _| {
            let _keep = &slow;
            left -= 1;
            if left > 0 { Step::More } else { Step::Done }
        });
        table.cooperate(|_, _| Step::Done);
    });
    bench.rest();
    let records = bench.reactor.take_task_records();
    let parts: Vec<_> = records.iter().map(|r| (r.delay, r.processing)).collect();
    assert_eq!(parts, [(0, 0), (50_000_000, 0)], "{records:?}");
}

#[test]
fn long_work_in_slices_is_not_late_for_being_long() {
    let mut bench = bench(100);
    let world = bench.world.clone();
    bench.with(|_, table| {
        for _ in 0..2 {
            let (world, mut left) = (world.clone(), 100);
            table.cooperate(move |_, _| {
                world.advance(10 * MS);
                left -= 1;
                if left > 0 { Step::More } else { Step::Done }
            });
        }
    });
    bench.rest();
    let records = bench.reactor.take_task_records();
    assert!(records.iter().all(|r| r.delay >= 900_000_000 && r.processing == 1_000_000_000), "{records:?}");
    assert_eq!(bench.told("task.late"), []);
}
