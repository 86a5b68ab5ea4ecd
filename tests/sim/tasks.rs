//! What the tests of tasks share: a handler that keeps what it is told, and a reactor whose rules are asserted after
//! every turn.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidemill::reactor::testing::{SimSys, World};
use tidemill::reactor::{
    Accepted, Config, Ctx, Handler, Key, Limits, Reactor, Refuse, Table, TaskId, TaskReport, Time,
};

/// What a panic says that a test has ordered.
pub const MEANT: &str = "a panic that is meant";

thread_local! {
    static UNMEANT: Cell<u32> = const { Cell::new(0) };
}

/// The reactor contains what handlers throw, and with it their assertions: count those.
pub fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.to_string().contains(MEANT) {
                UNMEANT.set(UNMEANT.get() + 1);
                print(info);
            }
        }));
    });
    UNMEANT.set(0);
}

pub fn assert_no_panic() {
    assert_eq!(UNMEANT.get(), 0, "an assertion in a callback failed");
}

pub type OnData = Box<dyn FnMut(&mut Worker, &mut Table<'_, Worker>)>;

/// A handler whose tasks are the test's. Its connections swallow what comes.
#[derive(Default)]
pub struct Worker {
    pub reports: Vec<TaskReport>,
    pub notes: Vec<String>,
    pub on_data: Option<OnData>,
}

impl Worker {
    pub fn note(&mut self, text: impl ToString) {
        self.notes.push(text.to_string());
    }

    /// The ids of those that were told as `class`.
    pub fn told(&self, class: &str) -> Vec<TaskId> {
        self.reports.iter().filter(|r| r.class.name == class).map(|r| r.record.id).collect()
    }
}

impl Handler for Worker {
    type Conn = ();

    fn limits(&self) -> Limits {
        super::patient()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.rx.consume(usize::MAX);
        ctx.post(|worker, table| {
            if let Some(mut f) = worker.on_data.take() {
                f(worker, table);
                worker.on_data = Some(f);
            }
        });
    }

    fn on_task_error(&mut self, report: &TaskReport, _: &mut Table<'_, Self>) {
        let r = &report.record;
        assert_eq!(r.delay + r.processing, r.ended.since(r.due), "{r:?}");
        self.reports.push(*report);
    }
}

/// A reactor with one [`Worker`] in a world of its own.
pub struct Bench {
    pub world: World,
    pub reactor: Reactor<SimSys>,
    pub key: Key<Worker>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with_config(World::new(1), Config::default())
    }

    pub fn with_config(world: World, config: Config) -> Self {
        count_panics();
        let mut reactor = Reactor::with_sys(world.sys(), config);
        let key = reactor.add(Worker::default());
        Self { world, reactor, key }
    }

    pub fn with<T>(&mut self, f: impl FnOnce(&mut Worker, &mut Table<'_, Worker>) -> T) -> T {
        let out = self.reactor.with(self.key, f);
        self.check();
        out
    }

    pub fn check(&mut self) {
        assert_no_panic();
        self.reactor.check();
    }

    /// One turn that waits as long as it takes.
    pub fn turn(&mut self) {
        self.reactor.turn(None).unwrap();
        self.check();
    }

    /// One turn that does not wait.
    pub fn poke(&mut self) {
        self.reactor.turn(Some(Duration::ZERO)).unwrap();
        self.check();
    }

    /// Lets `d` pass, with everything on the way at its time.
    pub fn pass(&mut self, d: Duration) {
        let end = self.world.now() + d;
        self.rest();
        while self.world.now() < end {
            let left = end - self.world.now();
            self.reactor.turn(Some(left)).unwrap();
            self.check();
        }
        self.rest();
    }

    /// Turns until nothing is left to do at this moment.
    pub fn rest(&mut self) {
        for _ in 0..1_000_000 {
            self.poke();
            if self.reactor.next_wait() != Some(Duration::ZERO) {
                return;
            }
        }
        panic!("the reactor never rests");
    }

    pub fn notes(&mut self) -> Vec<String> {
        self.with(|worker, _| std::mem::take(&mut worker.notes))
    }

    pub fn now(&self) -> Time {
        self.world.now()
    }

    pub fn told(&mut self, class: &str) -> Vec<TaskId> {
        self.with(|worker, _| worker.told(class))
    }
}

/// Counts how many of its clones live; some panic when they are dropped.
pub struct Token {
    live: Rc<Cell<usize>>,
    drops: Option<(u64, Rc<RefCell<Vec<u64>>>)>,
}

impl Token {
    pub fn new(live: &Rc<Cell<usize>>) -> Self {
        live.set(live.get() + 1);
        Self { live: Rc::clone(live), drops: None }
    }

    /// One that panics when it is dropped, and then leaves its number in `told`.
    pub fn bad(live: &Rc<Cell<usize>>, number: u64, told: &Rc<RefCell<Vec<u64>>>) -> Self {
        let mut token = Self::new(live);
        token.drops = Some((number, Rc::clone(told)));
        token
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.live.set(self.live.get() - 1);
        if let Some((number, told)) = &self.drops
            && !std::thread::panicking()
        {
            told.borrow_mut().push(*number);
            panic!("{MEANT}, in a drop");
        }
    }
}
