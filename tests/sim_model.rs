//! Random work with tasks, on a kernel in which everything goes wrong, against a naive model: each task runs exactly
//! as often as it must, when it must, and is never heard of again.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sim::model::{CAPACITY, Inner, Kind, Model, PERMITS, State};
use sim::tasks::Bench;
use sim::{MS, tcp};
use tidemill::reactor::testing::{Faults, Rng, World, seeds};
use tidemill::reactor::{Config, TaskId, Time};

fn ms(at: Time) -> u64 {
    at.as_nanos() / 1_000_000
}

fn ms_ceil(at: Time) -> u64 {
    at.as_nanos().div_ceil(1_000_000)
}

struct Run {
    model: Model,
    bench: Bench,
    faults: Faults,
    /// When the turn before the last began.
    before: Time,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let faults = Faults::hostile().swarm(seed);
        let world = World::with_faults(seed, faults.clone());
        let mut config = Config::default();
        config.task_late = Some(20 * MS);
        if seed.is_multiple_of(3) {
            config.turn_tasks_max = rng.between(1, 6) as u32;
        }
        let mut bench = Bench::with_config(world.clone(), config.clone());
        let model = Model(Rc::new(Inner {
            seed,
            rng: RefCell::new(rng),
            books: Default::default(),
            world,
            live: Rc::new(Cell::new(0)),
            bad: Rc::default(),
            groups: Cell::new(bench.with(|_, table| [0; 2].map(|_| Some(table.group())))),
            semaphore: Cell::new(Some(bench.with(|_, table| table.semaphore(PERMITS)))),
            queue: Cell::new(Some(bench.with(|_, table| table.queue(CAPACITY)))),
            config,
            ops: Cell::new(300),
        }));
        let me = model.clone();
        bench.with(|worker, _| worker.on_data = Some(Box::new(move |_, table| me.act(table))));
        bench.reactor.listen(bench.key, &tcp()).unwrap();
        Self { model, bench, faults, before: Time::ZERO }
    }

    /// The earliest millisecond for which the model knows of something.
    fn earliest(&self) -> Option<u64> {
        let books = self.model.0.books.borrow();
        let live = books.tasks.values().filter(|e| e.state == State::Live);
        let dues = live.filter_map(|e| match e.kind {
            Kind::Timer { due } | Kind::Every { due, .. } => Some(ms_ceil(due)),
            Kind::Post { .. }
            | Kind::Slices { .. }
            | Kind::Wait { .. }
            | Kind::Acquire { .. }
            | Kind::Take { .. }
            | Kind::Put { .. } => None,
        });
        dues.min()
    }

    fn turn(&mut self, most: Option<Duration>) {
        let (began, earliest) = (self.bench.now(), self.earliest());
        {
            let books = &mut *self.model.0.books.borrow_mut();
            (books.ran, books.first) = (0, None);
        }
        self.bench.reactor.turn(most).unwrap();
        self.bench.check();
        let turn = self.bench.reactor.with(self.bench.key, |_, table| table.turn());
        let books = self.model.0.books.borrow();
        assert!(books.ran <= self.model.0.config.turn_tasks_max, "{} in one turn", books.ran);
        if let (Some(first), Some(earliest), 0) = (books.first, earliest, self.faults.clock_jump) {
            let latest = began.max(Time::from_nanos(earliest * 1_000_000)) + MS / 10;
            assert!(first <= latest, "it slept until {first:?}, and something was due at {earliest} ms");
        }
        if self.model.unbounded() {
            for (n, e) in books.tasks.iter().filter(|(_, e)| e.state == State::Live) {
                let late = match e.kind {
                    Kind::Timer { due } | Kind::Every { due, .. } => {
                        e.turn < turn && ms_ceil(due) <= ms(began)
                    }
                    Kind::Wait { limit: Some(limit) }
                    | Kind::Acquire { limit: Some(limit), .. }
                    | Kind::Take { limit: Some(limit) }
                    | Kind::Put { limit: Some(limit), .. } => {
                        // One that was settled in the last turn is heard in this.
                        e.turn + 1 < turn && ms_ceil(limit) <= ms(self.before)
                    }
                    Kind::Post { .. } => e.turn < turn,
                    Kind::Wait { .. }
                    | Kind::Acquire { .. }
                    | Kind::Take { .. }
                    | Kind::Put { .. }
                    | Kind::Slices { .. } => false,
                };
                assert!(!late, "{n} was due and did not run: {e:?}, turn {turn}, {began:?}");
            }
        }
        self.before = began;
    }

    fn work(&mut self) {
        let mut peer = None;
        let mut rounds = 0;
        while self.model.0.ops.get() > 0 && rounds < 2000 {
            rounds += 1;
            if self.model.chance(400) {
                let (count, me) = (self.model.below(4), self.model.clone());
                self.bench.with(|_, table| (0..count).for_each(|_| me.act(table)));
            }
            if self.model.chance(100) {
                peer = self.bench.world.dial(&tcp()).ok();
            } else if self.model.chance(300) {
                peer.iter_mut().for_each(|p| {
                    p.write(b"x");
                });
            }
            let most = (self.model.chance(500)).then(|| self.model.span());
            self.turn(most);
        }
        drop(peer);
    }

    /// Ends what would go on for ever, and lets the rest come to its end.
    fn finish(&mut self) {
        self.model.0.ops.set(0);
        for _ in 0..100_000 {
            let model = self.model.clone();
            let endless = |kind: &Kind| {
                matches!(
                    kind,
                    Kind::Every { .. } | Kind::Take { limit: None } | Kind::Put { limit: None, .. }
                )
            };
            let (cancelled, given_up) = {
                let books = &mut *model.0.books.borrow_mut();
                let live = books.tasks.iter().filter(|(_, e)| e.state == State::Live && endless(&e.kind));
                let cancelled: Vec<_> = live.map(|(n, e)| (*n, e.id)).collect();
                books.failed.extend(books.open.iter().map(|o| o.task));
                (cancelled, (std::mem::take(&mut books.permits), std::mem::take(&mut books.open)))
            };
            drop(given_up);
            self.bench.with(|_, table| {
                for (n, id) in cancelled {
                    assert!(table.cancel(id));
                    model.cancelled(n);
                }
            });
            if self.bench.with(|_, table| table.tasks()) == 0 {
                return;
            }
            self.turn(None);
        }
        panic!(
            "tasks are left: {:?}",
            self.model.0.books.borrow().tasks.values().find(|e| e.state == State::Live)
        );
    }

    fn verify(mut self) {
        self.bench.rest();
        let (model, queue) = (self.model.clone(), self.model.0.queue.get().unwrap());
        self.bench.with(|_, table| {
            while let Some(item) = table.pop(queue) {
                model.out(item);
            }
            assert_eq!(table.queue_len(queue), 0);
            assert_eq!(table.permits(model.0.semaphore.get().unwrap()), PERMITS);
            for group in model.0.groups.get().into_iter().flatten() {
                assert_eq!(table.group_len(group), 0);
            }
        });
        let books = self.model.0.books.borrow();
        for (n, e) in &books.tasks {
            assert!(matches!(e.state, State::Done | State::Cancelled), "{n} is left: {e:?}");
        }
        let lost: Vec<_> = books.items_in.difference(&books.items_out).collect();
        assert!(lost.is_empty(), "items were lost: {lost:?}");
        assert_eq!(self.model.0.live.get(), 0, "what tasks captured was dropped with them");
        let id_of = |n: &u64| books.tasks[n].id;
        let mut panicked: Vec<TaskId> = books.panicked.clone();
        panicked.extend(self.model.0.bad.borrow().iter().map(id_of));
        let mut late = books.late.clone();
        let timed: Vec<TaskId> = books
            .tasks
            .values()
            .filter(|e| matches!(e.kind, Kind::Timer { .. } | Kind::Every { .. }))
            .map(|e| e.id)
            .collect();
        let (mut told, mut told_late) = self.bench.reactor.with(self.bench.key, |worker, _| {
            let late = worker.reports.iter().filter(|r| r.class.name == "task.late");
            let late = late.filter(|r| timed.contains(&r.record.id));
            (worker.told("task.panicked"), late.map(|r| (r.record.id, r.record.delay)).collect::<Vec<_>>())
        });
        panicked.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, panicked, "each panic was told once");
        late.sort_unstable();
        told_late.sort_unstable();
        assert_eq!(told_late, late, "each late task was told once, with its delay");
    }
}

#[test]
fn tasks_run_as_the_model_says_whatever_the_kernel_does() {
    seeds("tasks_run_as_the_model_says_whatever_the_kernel_does", |seed| {
        let mut run = Run::new(seed);
        run.work();
        run.finish();
        run.verify();
    });
}
