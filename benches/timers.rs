//! What a deadline costs: the timing wheel beside a binary heap with lazy deletion, and tasks through a handler's table,
//! a million timers each.
//!
//! `cargo bench --bench timers`; the items are timers, so a figure is the cost of one set and cancel, or one set
//! and fire.

use divan::{Bencher, counter::ItemsCount};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Duration;
use tidemill::reactor::timers::Wheel;
use tidemill::reactor::{Accepted, Config, Ctx, Handler, Key, Reactor, Refuse, TaskId};

const MILLION: u32 = 1_000_000;

fn main() {
    divan::main();
}

/// Times spread over ten minutes, by a fixed multiplicative sequence.
fn at(key: u32) -> u32 {
    1 + (key.wrapping_mul(2_654_435_761) >> 8) % 600_000
}

/// The usual alternative: a heap whose stale entries are dropped when they surface.
#[derive(Default)]
struct Lazy {
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    filed: Vec<Option<u32>>,
}

impl Lazy {
    fn file(&mut self, key: u32, at: u32) {
        if self.filed.len() <= key as usize {
            self.filed.resize(key as usize + 1, None);
        }
        self.filed[key as usize] = Some(at);
        self.heap.push(Reverse((at, key)));
    }

    fn cancel(&mut self, key: u32) {
        self.filed[key as usize] = None;
    }

    fn pop(&mut self, now: u32) -> Option<u32> {
        while let Some(&Reverse((at, key))) = self.heap.peek() {
            if at > now {
                return None;
            }
            self.heap.pop();
            if self.filed[key as usize] == Some(at) {
                self.filed[key as usize] = None;
                return Some(key);
            }
        }
        None
    }
}

#[divan::bench(sample_count = 20)]
fn wheel_set_and_cancelled(bencher: Bencher<'_, '_>) {
    let mut wheel = Wheel::new(0);
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for key in 0..MILLION {
            wheel.file(key, at(key));
        }
        for key in 0..MILLION {
            black_box(wheel.cancel(key));
        }
    });
}

#[divan::bench(sample_count = 20)]
fn heap_set_and_cancelled(bencher: Bencher<'_, '_>) {
    let mut lazy = Lazy::default();
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for key in 0..MILLION {
            lazy.file(key, at(key));
        }
        for key in 0..MILLION {
            lazy.cancel(key);
        }
        // What was cancelled must still surface, or the heap grows for ever.
        black_box(lazy.pop(u32::MAX));
    });
}

#[divan::bench(sample_count = 20)]
fn wheel_set_and_fired(bencher: Bencher<'_, '_>) {
    let mut wheel = Wheel::new(0);
    let mut base = 0u32;
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for key in 0..MILLION {
            wheel.file(key, base.wrapping_add(at(key)));
        }
        for _ in 0..600 {
            base = base.wrapping_add(1_001);
            while let Some(key) = wheel.pop(base) {
                black_box(key);
            }
        }
    });
}

#[divan::bench(sample_count = 20)]
fn heap_set_and_fired(bencher: Bencher<'_, '_>) {
    let mut lazy = Lazy::default();
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for key in 0..MILLION {
            lazy.file(key, at(key));
        }
        for tick in 1..=600 {
            while let Some(key) = lazy.pop(tick * 1_001) {
                black_box(key);
            }
        }
    });
}

/// The favourable case for the heap: stale entries never surface within the measure, and memory is given back.
#[divan::bench(sample_count = 20)]
fn heap_set_and_cancelled_then_cleared(bencher: Bencher<'_, '_>) {
    let mut lazy = Lazy::default();
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for key in 0..MILLION {
            lazy.file(key, at(key));
        }
        for key in 0..MILLION {
            lazy.cancel(key);
        }
        lazy.heap.clear();
    });
}

/// One timeout for all, as a server has it: filed in the order in which they come due.
#[divan::bench(sample_count = 20)]
fn wheel_set_and_fired_in_order(bencher: Bencher<'_, '_>) {
    let mut wheel = Wheel::new(0);
    let mut base = 0u32;
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for key in 0..MILLION {
            wheel.file(key, base.wrapping_add(30_000 + key / 100));
        }
        base = base.wrapping_add(30_000);
        for _ in 0..10_000 {
            while let Some(key) = wheel.pop(base) {
                black_box(key);
            }
            base = base.wrapping_add(1);
        }
    });
}

/// The same by the heap.
#[divan::bench(sample_count = 20)]
fn heap_set_and_fired_in_order(bencher: Bencher<'_, '_>) {
    let mut lazy = Lazy::default();
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for key in 0..MILLION {
            lazy.file(key, 30_000 + key / 100);
        }
        for now in 30_000..40_000 {
            while let Some(key) = lazy.pop(now) {
                black_box(key);
            }
        }
    });
}

/// A connection's idle deadline pushed back by each request, on ten thousand connections.
#[divan::bench(sample_count = 20)]
fn wheel_moved(bencher: Bencher<'_, '_>) {
    let mut wheel = Wheel::new(0);
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        for turn in 0..MILLION {
            wheel.file(turn % 10_000, turn / 100 + 30_000);
        }
        for key in 0..10_000 {
            wheel.cancel(key);
        }
    });
}

/// A handler that counts what runs.
#[derive(Default)]
struct Count(u64);

impl Handler for Count {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Ctx<'_, Self>) {}
}

fn reactor() -> (Reactor, Key<Count>) {
    let mut reactor = Reactor::new(Config::default()).unwrap_or_else(|e| panic!("{e}"));
    let key = reactor.add(Count::default());
    (reactor, key)
}

/// Turns until no task is left; each of the million has run.
fn run_all(reactor: &mut Reactor, key: Key<Count>) {
    while reactor.with(key, |_, table| table.tasks()) > 0 {
        reactor.turn(None).unwrap_or_else(|e| panic!("{e}"));
    }
    let ran = reactor.with(key, |count, _| std::mem::take(&mut count.0));
    assert_eq!(ran, u64::from(MILLION));
}

/// What a timer captures in these: one allocation each.
fn captured(n: u32) -> impl FnOnce(&mut Count, &mut tidemill::reactor::Table<'_, Count>) + 'static {
    move |count, _| count.0 += u64::from(black_box(n).min(1))
}

#[divan::bench(sample_count = 20)]
fn task_set_and_cancelled(bencher: Bencher<'_, '_>) {
    let (mut reactor, key) = reactor();
    let mut ids: Vec<TaskId> = Vec::with_capacity(MILLION as usize);
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        reactor.with(key, |_, table| {
            ids.extend((0..MILLION).map(|n| {
                table.call_later(Duration::from_millis(u64::from(at(n)) + 60_000), captured(n + 1))
            }));
            for id in ids.drain(..) {
                black_box(table.cancel(id));
            }
        });
    });
}

#[divan::bench(sample_count = 20)]
fn task_reset(bencher: Bencher<'_, '_>) {
    let (mut reactor, key) = reactor();
    let hour = Duration::from_secs(3600);
    let ids: Vec<TaskId> =
        reactor.with(key, |_, table| (0..10_000).map(|n| table.call_later(hour, captured(n + 1))).collect());
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        reactor.with(key, |_, table| {
            for n in 0..MILLION {
                let after = hour + Duration::from_millis(u64::from(at(n)));
                black_box(table.reset(ids[n as usize % 10_000], after));
            }
        });
    });
}

/// All due at once: with their stamps and records, 1,024 a turn.
#[divan::bench(sample_count = 20)]
fn task_set_and_fired(bencher: Bencher<'_, '_>) {
    let (mut reactor, key) = reactor();
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        reactor.with(key, |_, table| {
            for n in 0..MILLION {
                table.call_later(Duration::ZERO, captured(n + 1));
            }
        });
        run_all(&mut reactor, key);
    });
}

#[divan::bench(sample_count = 20)]
fn task_posted_and_run(bencher: Bencher<'_, '_>) {
    let (mut reactor, key) = reactor();
    bencher.counter(ItemsCount::new(MILLION)).bench_local(|| {
        reactor.with(key, |_, table| {
            for n in 0..MILLION {
                table.post(captured(n + 1));
            }
        });
        run_all(&mut reactor, key);
    });
}
