use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::store::{Tasks, Work};
use crate::reactor::id::{GroupId, TaskId};
use crate::reactor::time::Time;

/// Where the model has a task.
#[derive(Clone, Copy, PartialEq, Debug)]
enum At {
    Posted(u64),
    Filed(u64),
}

#[derive(Clone, Debug)]
enum Op {
    Post,
    File(u64),
    /// Moves the n-th task, wherever it is.
    Move(usize, u64),
    /// Posts the n-th task, as a tick that is made up for.
    PostDue(usize),
    Remove(usize),
    Join(usize, usize),
    Leave(usize),
    /// Takes at most so many posts.
    Posts(usize),
    /// Time passes; at most so many of the due are taken.
    Pass(u64, usize),
}

/// Nanoseconds of every magnitude up to 36 days.
fn span() -> impl Strategy<Value = u64> {
    (0..52_u32).prop_flat_map(|bit| 0..=(1_u64 << bit))
}

fn op() -> impl Strategy<Value = Op> {
    let nth = || 0..64_usize;
    prop_oneof![
        3 => Just(Op::Post),
        4 => span().prop_map(Op::File),
        3 => (nth(), span()).prop_map(|(n, ns)| Op::Move(n, ns)),
        1 => nth().prop_map(Op::PostDue),
        2 => nth().prop_map(Op::Remove),
        2 => (nth(), 0..2_usize).prop_map(|(n, g)| Op::Join(n, g)),
        1 => nth().prop_map(Op::Leave),
        2 => (0..6_usize).prop_map(Op::Posts),
        4 => (span(), 1..40_usize).prop_map(|(ns, most)| Op::Pass(ns, most)),
    ]
}

#[derive(Default)]
struct Model {
    tasks: BTreeMap<TaskId, (At, Option<usize>)>,
    order: u64,
    gone: Vec<TaskId>,
}

impl Model {
    fn nth(&self, n: usize) -> Option<TaskId> {
        let len = self.tasks.len().max(1);
        self.tasks.keys().nth(n % len).copied()
    }

    fn posted(&mut self, id: TaskId) {
        self.order += 1;
        let at = At::Posted(self.order);
        self.tasks.entry(id).or_insert((at, None)).0 = at;
    }

    fn first_post(&self) -> Option<TaskId> {
        let posts = self.tasks.iter().filter_map(|(id, (at, _))| match at {
            At::Posted(order) => Some((order, id)),
            At::Filed(_) => None,
        });
        posts.min().map(|(_, id)| *id)
    }

    /// Those whose time has come `late` nanoseconds ago or earlier.
    fn due(&self, now: Time, late: u64) -> Vec<TaskId> {
        let due = |at: &At| matches!(at, At::Filed(ns) if ns + late <= now.as_nanos());
        self.tasks.iter().filter(|(_, (at, _))| due(at)).map(|(id, _)| *id).collect()
    }

    fn remove(&mut self, id: TaskId) {
        assert!(self.tasks.remove(&id).is_some());
        self.gone.push(id);
    }
}

fn insert(tasks: &mut Tasks, due: Time) -> TaskId {
    tasks.insert(0, due, "", Work::Once(Box::new(|_, _| {})))
}

fn apply(tasks: &mut Tasks, model: &mut Model, groups: [GroupId; 2], now: &mut Time, op: Op) {
    let at = |now: &Time, ns: u64| *now + Duration::from_nanos(ns);
    match op {
        Op::Post => {
            let id = insert(tasks, *now);
            tasks.post(id);
            model.posted(id);
        }
        Op::File(ns) => {
            let due = at(now, ns);
            let id = insert(tasks, due);
            tasks.file(id, due, *now);
            model.tasks.insert(id, (At::Filed(due.as_nanos()), None));
        }
        Op::Move(n, ns) => {
            let Some(id) = model.nth(n) else { return };
            let due = at(now, ns);
            tasks.file(id, due, *now);
            model.tasks.get_mut(&id).unwrap().0 = At::Filed(due.as_nanos());
        }
        Op::PostDue(n) => {
            let Some(id) = model.nth(n) else { return };
            tasks.unfile(id);
            tasks.post_due(id, *now);
            model.posted(id);
        }
        Op::Remove(n) => {
            let Some(id) = model.nth(n) else { return };
            assert!(tasks.remove(id).is_some() && tasks.remove(id).is_none());
            model.remove(id);
        }
        Op::Join(n, g) => {
            let Some(id) = model.nth(n) else { return };
            assert!(tasks.join_group(groups[g], id));
            model.tasks.get_mut(&id).unwrap().1 = Some(g);
        }
        Op::Leave(n) => {
            let Some(id) = model.nth(n) else { return };
            tasks.leave_group(id.slot);
            model.tasks.get_mut(&id).unwrap().1 = None;
        }
        Op::Posts(most) => take_posts(tasks, model, most),
        Op::Pass(ns, most) => {
            // A loop does not sleep past the next time, but it may be late.
            let wait = tasks.next_time().map(|at| (at.wrapping_sub(now.ms()) as i32).max(0) as u64);
            let most_ns = wait.map_or(u64::MAX, |ms| (ms + 3_600_000) * 1_000_000);
            *now = at(now, ns.min(most_ns));
            take_due(tasks, model, *now, most);
        }
    }
}

fn take_posts(tasks: &mut Tasks, model: &mut Model, most: usize) {
    for _ in 0..most {
        let next = std::iter::from_fn(|| tasks.next_post()).flatten().next();
        assert_eq!(next, model.first_post(), "first in, first out, and no stale entry");
        let Some(id) = next else { return };
        tasks.remove(id);
        model.remove(id);
    }
}

fn take_due(tasks: &mut Tasks, model: &mut Model, now: Time, most: usize) {
    // Who has to wait for the next millisecond is at most one late.
    let (may, must) = (model.due(now, 0), model.due(now, 1_000_000));
    let mut taken = Vec::new();
    while taken.len() < most
        && let Some(id) = tasks.next_due(now)
    {
        taken.push(id);
        tasks.remove(id);
        model.remove(id);
    }
    assert!(taken.iter().all(|id| may.contains(id)), "one was not due");
    let left = must.iter().filter(|id| !taken.contains(id)).count();
    assert!(left == 0 || taken.len() == most, "{left} of {} did not come", must.len());
    if left > 0 {
        let waits = tasks.next_time().unwrap();
        assert!(now.ms().wrapping_sub(waits) as i32 >= 0, "some are due still");
    }
}

/// The loop may sleep until the next time, and not past it.
fn sleeps_in_time(tasks: &Tasks, model: &Model, now: Time) {
    let filed = model.tasks.values().filter_map(|(at, _)| match at {
        At::Filed(ns) => Some(*ns),
        At::Posted(_) => None,
    });
    let Some(first) = filed.min() else {
        assert_eq!(tasks.next_time(), None);
        return;
    };
    let ahead = tasks.next_time().unwrap().wrapping_sub(now.ms()) as i32;
    let first_ms = Time::from_nanos(first).as_nanos().div_ceil(1_000_000) as i64;
    assert!(i64::from(ahead) <= (first_ms - (now.as_nanos() / 1_000_000) as i64).max(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_store_gives_each_task_once_in_its_order_and_at_its_time(
        start in prop_oneof![Just(0_u64), span()], ops in prop::collection::vec(op(), 0..120)
    ) {
        let mut now = Time::from_nanos(start);
        let mut tasks = Tasks::new(now);
        let groups = [tasks.new_group(), tasks.new_group()];
        let mut model = Model::default();
        for op in ops {
            apply(&mut tasks, &mut model, groups, &mut now, op);
            tasks.check();
            sleeps_in_time(&tasks, &model, now);
            prop_assert_eq!(tasks.len(), model.tasks.len());
            for (g, group) in groups.iter().enumerate() {
                let members = model.tasks.values().filter(|(_, of)| *of == Some(g)).count();
                prop_assert_eq!(tasks.group_len(*group), members);
            }
            for (id, (at, _)) in &model.tasks {
                prop_assert_eq!(tasks.is_filed(*id), matches!(at, At::Filed(_)));
            }
            prop_assert!(model.gone.iter().all(|id| tasks.get(*id).is_none()), "an id names one task for ever");
        }
        // Everything comes in the end.
        take_posts(&mut tasks, &mut model, usize::MAX);
        while let Some(at) = tasks.next_time() {
            let ahead = (at.wrapping_sub(now.ms()) as i32).max(0) as u64;
            now = Time::from_nanos((now.as_nanos() / 1_000_000 + ahead) * 1_000_000);
            take_due(&mut tasks, &mut model, now, usize::MAX);
        }
        prop_assert!(model.tasks.is_empty() && tasks.len() == 0);
    }
}
