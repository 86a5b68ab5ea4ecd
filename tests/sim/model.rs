//! A naive model of tasks: what was asked for, and whether what runs is what must run. Random operations on it are in
//! `ops.rs`.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use tidemill::reactor::testing::{Rng, World};
use tidemill::reactor::{
    Completer, Config, GroupId, Missed, Permit, QueueId, SemaphoreId, Step, Table, TaskError, TaskId, Time,
};

use super::tasks::{MEANT, Token, Worker};

pub const PERMITS: usize = 3;
pub const CAPACITY: usize = 4;

pub type Tab<'a, 'b> = &'a mut Table<'b, Worker>;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Post {
        order: u64,
    },
    Timer {
        due: Time,
    },
    Every {
        due: Time,
        period: Duration,
        missed: Missed,
    },
    Slices {
        left: u32,
    },
    /// Waits for a result; a race or a join by its parts.
    Wait {
        limit: Option<Time>,
    },
    Acquire {
        limit: Option<Time>,
        order: u64,
    },
    Take {
        limit: Option<Time>,
    },
    Put {
        limit: Option<Time>,
        item: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Live,
    Running,
    Done,
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub id: TaskId,
    pub kind: Kind,
    pub state: State,
    /// The turn in which it was made or last moved.
    pub turn: u64,
    /// It has moved itself in its run.
    pub moved: bool,
    pub group: Option<usize>,
}

/// What a completer stands for: task, part, and the value that it may give.
pub struct Open {
    pub task: u64,
    pub value: u64,
    pub completer: Completer<u64>,
}

#[derive(Default)]
pub struct Books {
    pub tasks: BTreeMap<u64, Entry>,
    pub next: u64,
    pub open: Vec<Open>,
    /// Values that were given, by task, and tasks for which a part failed.
    pub given: BTreeSet<(u64, u64)>,
    pub failed: BTreeSet<u64>,
    pub permits: Vec<Permit>,
    /// Items that went in, and those that came out.
    pub items_in: BTreeSet<u64>,
    pub items_out: BTreeSet<u64>,
    /// Items of tasks that were cancelled: they may come out.
    pub items_maybe: BTreeSet<u64>,
    pub posts_made: u64,
    pub last_post: u64,
    pub last_acquired: u64,
    /// Who has panicked, by meaning.
    pub panicked: Vec<TaskId>,
    /// Late tasks and by how much, of those whose time the model knows.
    pub late: Vec<(TaskId, u64)>,
    /// Runs since the turn began, slices aside, and the stamp of the first.
    pub ran: u32,
    pub first: Option<Time>,
}

/// One run of the model.
#[derive(Clone)]
pub struct Model(pub Rc<Inner>);

pub struct Inner {
    pub seed: u64,
    pub rng: RefCell<Rng>,
    pub books: RefCell<Books>,
    pub world: World,
    pub live: Rc<Cell<usize>>,
    pub bad: Rc<RefCell<Vec<u64>>>,
    pub groups: Cell<[Option<GroupId>; 2]>,
    pub semaphore: Cell<Option<SemaphoreId>>,
    pub queue: Cell<Option<QueueId<u64>>>,
    pub config: Config,
    /// Operations that are left.
    pub ops: Cell<u32>,
}

impl Model {
    pub fn below(&self, n: u64) -> u64 {
        self.0.rng.borrow_mut().below(n)
    }

    pub fn chance(&self, per_mille: u16) -> bool {
        self.0.rng.borrow_mut().chance(per_mille)
    }

    pub fn span(&self) -> Duration {
        let reach = 1 << self.below(27);
        Duration::from_nanos(self.below(reach))
    }

    pub fn limit(&self) -> Option<Duration> {
        self.chance(600).then(|| self.span())
    }

    pub fn unbounded(&self) -> bool {
        self.0.config.turn_tasks_max > 1000
    }

    /// A number for a new task, and what it captures.
    pub fn number(&self) -> (u64, Token) {
        let mut books = self.0.books.borrow_mut();
        books.next += 1;
        let n = books.next;
        drop(books);
        let token =
            if self.chance(30) { Token::bad(&self.0.live, n, &self.0.bad) } else { Token::new(&self.0.live) };
        (n, token)
    }

    pub fn note(&self, n: u64, id: TaskId, kind: Kind, table: Tab<'_, '_>) {
        let entry = Entry { id, kind, state: State::Live, turn: table.turn(), moved: false, group: None };
        assert!(self.0.books.borrow_mut().tasks.insert(n, entry).is_none());
        assert!(table.has_task(id));
    }

    // ── What runs ──

    /// A task begins to run: is this its time?
    pub fn begin(&self, n: u64, table: Tab<'_, '_>) {
        let now = table.now();
        let books = &mut *self.0.books.borrow_mut();
        let entry = books.tasks.get_mut(&n).unwrap();
        assert_eq!(entry.state, State::Live, "{n} runs again: {entry:?}");
        assert_eq!(table.current_task(), Some(entry.id));
        let due = match entry.kind {
            Kind::Post { order } => {
                assert!(order > books.last_post, "posts run in their order");
                books.last_post = order;
                assert!(table.turn() > entry.turn, "a post runs in a later turn");
                assert!(!self.unbounded() || table.turn() == entry.turn + 1, "and in the very next");
                None
            }
            Kind::Timer { due } | Kind::Every { due, .. } => {
                assert!(now >= due, "{n} runs at {now:?}, before {due:?}");
                Some(due)
            }
            Kind::Slices { left } => {
                assert!(left > 0, "it was done");
                None
            }
            Kind::Wait { .. } | Kind::Acquire { .. } | Kind::Take { .. } | Kind::Put { .. } => None,
        };
        if let (Some(due), Some(bound)) = (due, self.0.config.task_late)
            && now - due > bound
        {
            books.late.push((entry.id, now.since(due)));
        }
        if !matches!(entry.kind, Kind::Slices { .. }) {
            books.ran += 1;
            books.first.get_or_insert(now);
        }
        (entry.state, entry.moved) = (State::Running, false);
    }

    /// What a task does: other operations, it takes its time, it panics.
    pub fn body(&self, n: u64, table: Tab<'_, '_>) {
        for _ in 0..self.below(3) {
            self.act(table);
        }
        if self.chance(200) {
            self.0.world.advance(Duration::from_nanos(self.below(4_000_000)));
        }
        if self.chance(30) {
            let books = &mut *self.0.books.borrow_mut();
            let entry = books.tasks.get_mut(&n).unwrap();
            if entry.state == State::Running {
                entry.state = State::Done;
            }
            books.panicked.push(entry.id);
            panic!("{MEANT}");
        }
    }

    /// A task that runs once has run.
    pub fn end(&self, n: u64) {
        let mut books = self.0.books.borrow_mut();
        let entry = books.tasks.get_mut(&n).unwrap();
        assert_eq!(entry.state, State::Running, "what runs once cannot be cancelled meanwhile");
        entry.state = State::Done;
    }

    pub fn once(&self, n: u64, table: Tab<'_, '_>) {
        self.begin(n, table);
        self.body(n, table);
        self.end(n);
    }

    pub fn tick(&self, n: u64, table: Tab<'_, '_>) {
        self.begin(n, table);
        self.body(n, table);
        let end = self.0.world.now();
        let books = &mut *self.0.books.borrow_mut();
        let entry = books.tasks.get_mut(&n).unwrap();
        if entry.state != State::Running {
            return;
        }
        entry.state = State::Live;
        if entry.moved {
            return;
        }
        entry.turn = table.turn();
        let Kind::Every { due, period, missed } = &mut entry.kind else { panic!() };
        *due = *due + *period;
        while *missed == Missed::Skip && *due <= end {
            *due = *due + *period;
        }
    }

    pub fn slice(&self, n: u64, table: Tab<'_, '_>) -> Step {
        self.begin(n, table);
        self.body(n, table);
        let books = &mut *self.0.books.borrow_mut();
        let entry = books.tasks.get_mut(&n).unwrap();
        let Kind::Slices { left } = &mut entry.kind else { panic!() };
        *left -= 1;
        let more = *left > 0;
        if entry.state == State::Running {
            entry.state = if more { State::Live } else { State::Done };
        }
        if more { Step::More } else { Step::Done }
    }

    /// Whether there may be such an error now.
    pub fn judge(&self, n: u64, error: TaskError, limit: Option<Time>, table: Tab<'_, '_>) {
        if error == TaskError::TimedOut {
            assert!(limit.is_some_and(|limit| table.now() >= limit), "{n}: its time is not over");
        } else {
            assert_eq!(error, TaskError::Cancelled, "{n}");
            assert!(self.0.books.borrow().failed.contains(&n), "{n}: nobody failed");
        }
    }

    pub fn limit_of(&self, n: u64) -> Option<Time> {
        match self.0.books.borrow().tasks[&n].kind {
            Kind::Wait { limit }
            | Kind::Acquire { limit, .. }
            | Kind::Take { limit }
            | Kind::Put { limit, .. } => limit,
            Kind::Post { .. } | Kind::Timer { .. } | Kind::Every { .. } | Kind::Slices { .. } => {
                panic!("{n} waits for nothing")
            }
        }
    }

    pub fn heard(&self, n: u64, results: &[Result<u64, TaskError>], table: Tab<'_, '_>) {
        self.begin(n, table);
        let limit = self.limit_of(n);
        for result in results {
            match result {
                Ok(v) => assert!(self.0.books.borrow().given.contains(&(n, *v)), "{n}: nobody gave {v}"),
                Err(e) => self.judge(n, *e, limit, table),
            }
        }
        self.body(n, table);
        self.end(n);
    }
}
