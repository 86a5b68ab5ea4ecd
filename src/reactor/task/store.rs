//! The tasks of a reactor: who is where, and which is next. No clock, no system call; it runs nobody.
//!
//! A task has a slot as long as it may run. `posts` and `slices` are queues of entries that go stale when a task is
//! cancelled or moved (each enqueueing has a ticket of its own); the alarms hold those that wait for a time, under
//! their slot.

use std::any::Any;
use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

#[cfg(any(test, feature = "testing"))]
use super::TaskRecord;
use super::discard::Broken;
use super::group::Group;
use super::result::Wait;
use super::{Missed, Step};
use crate::reactor::alarm::Alarms;
use crate::reactor::core::Core;
use crate::reactor::id::TaskId;
use crate::reactor::time::Time;

/// The end of a list of slots.
pub(crate) const NONE: u32 = u32::MAX;

pub(crate) type Once = Box<dyn FnOnce(&mut dyn Any, &mut Core)>;
pub(crate) type Again = Box<dyn FnMut(&mut dyn Any, &mut Core)>;
pub(crate) type Slice = Box<dyn FnMut(&mut dyn Any, &mut Core) -> Option<Step>>;

/// What a task does when its time has come.
pub(crate) enum Work {
    Once(Once),
    Every(Box<Every>),
    Slices(Box<Slices>),
    /// It waits for results, perhaps not for longer than the time for which it is filed.
    Wait(Box<Wait>),
    /// A spawned future, by its place among them.
    #[cfg(feature = "async")]
    Future(u32),
    /// It runs now: its work is with who runs it. `beats` when it runs again and again.
    Running {
        beats: bool,
    },
}

/// Work that is done again and again.
pub(crate) struct Every {
    pub(crate) period: Duration,
    pub(crate) missed: Missed,
    pub(crate) run: Again,
}

/// Work that is done in slices.
pub(crate) struct Slices {
    /// When it was asked for, and how long its slices took until now.
    pub(crate) asked: Time,
    pub(crate) processing: u64,
    /// The longest wait before one of them, in nanoseconds.
    pub(crate) waited_max: u64,
    pub(crate) run: Slice,
}

pub(crate) struct Task {
    serial: u32,
    /// Of its last entry in a queue.
    ticket: u32,
    pub(crate) service: u16,
    /// When it is due, or was queued: T counts from here.
    pub(crate) due: Time,
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    pub(super) group: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
}

/// A place in a queue.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: TaskId,
    ticket: u32,
}

pub(crate) struct Tasks {
    pub(super) slab: Slab<Task>,
    next_serial: u32,
    pub(super) posts: VecDeque<Entry>,
    pub(super) slices: VecDeque<Entry>,
    pub(super) alarms: Alarms,
    pub(super) groups: Slab<Group>,
    /// The task that runs now.
    pub(crate) current: Option<TaskId>,
    /// Tasks whose captured values panicked when they were dropped, until their handler is told.
    pub(super) broken: Vec<Broken>,
    /// Which kind of tasks runs first in the next turn.
    pub(super) first_kind: u32,
    /// The records of tasks that ended, where a test wants them.
    #[cfg(any(test, feature = "testing"))]
    pub(super) records: Option<Vec<TaskRecord>>,
}

impl Tasks {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            slab: Slab::new(),
            next_serial: 0,
            posts: VecDeque::new(),
            slices: VecDeque::new(),
            alarms: Alarms::new(now),
            groups: Slab::new(),
            current: None,
            broken: Vec::new(),
            first_kind: 0,
            #[cfg(any(test, feature = "testing"))]
            records: None,
        }
    }

    // ── Tasks ──

    /// A number that no other task of this reactor has, within 2^32 of them.
    pub(crate) fn next_serial(&mut self) -> u32 {
        self.next_serial = self.next_serial.wrapping_add(1);
        self.next_serial
    }

    pub(crate) fn insert(&mut self, service: u16, due: Time, name: &'static str, work: Work) -> TaskId {
        let serial = self.next_serial();
        let task = Task { serial, ticket: 0, service, due, name, work, group: NONE, prev: NONE, next: NONE };
        TaskId { slot: self.slab.insert(task) as u32, serial }
    }

    pub(crate) fn get(&self, id: TaskId) -> Option<&Task> {
        self.slab.get(id.slot as usize).filter(|t| t.serial == id.serial)
    }

    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.slab.get_mut(id.slot as usize).filter(|t| t.serial == id.serial)
    }

    /// Takes a task out: of the slab, its group and the alarms. Its places in queues go stale.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.get(id)?;
        self.alarms.cancel(id.slot);
        self.leave_group(id.slot);
        Some(self.slab.remove(id.slot as usize))
    }

    /// Whether a task still waits for a result.
    pub(crate) fn waits(&self, id: TaskId) -> bool {
        self.get(id).is_some_and(|t| matches!(&t.work, Work::Wait(wait) if !wait.is_settled()))
    }

    /// What a task waits with, if it waits.
    pub(super) fn wait_mut(&mut self, id: TaskId) -> Option<&mut Wait> {
        match self.get_mut(id).map(|t| &mut t.work) {
            Some(Work::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Whether a task waits for room for an item that it holds.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn holds_item(&self, id: TaskId) -> bool {
        self.get(id).is_some_and(|t| matches!(&t.work, Work::Wait(wait) if wait.item.is_some()))
    }

    /// Whether a task has its result, and has not yet run with it.
    pub(crate) fn is_settled(&self, id: TaskId) -> bool {
        self.get(id).is_some_and(|t| matches!(&t.work, Work::Wait(wait) if wait.is_settled()))
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// The task in `slot`.
    pub(super) fn id_at(&self, slot: u32) -> Option<TaskId> {
        self.slab.get(slot as usize).map(|t| TaskId { slot, serial: t.serial })
    }

    /// Every task.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.slab.iter().map(|(slot, t)| TaskId { slot: slot as u32, serial: t.serial })
    }

    // ── Queues ──

    fn ticket(&mut self, id: TaskId) -> Option<Entry> {
        let task = self.get_mut(id)?;
        task.ticket = task.ticket.wrapping_add(1);
        Some(Entry { id, ticket: task.ticket })
    }

    pub(super) fn is_fresh(&self, entry: Entry) -> bool {
        self.get(entry.id).is_some_and(|t| t.ticket == entry.ticket)
    }

    /// Puts a task at the end of the posts.
    pub(crate) fn post(&mut self, id: TaskId) {
        if let Some(entry) = self.ticket(id) {
            self.posts.push_back(entry);
        }
    }

    /// The same, for a time that has passed.
    pub(crate) fn post_due(&mut self, id: TaskId, due: Time) {
        if let Some(task) = self.get_mut(id) {
            task.due = due;
        }
        self.post(id);
    }

    /// Puts a task at the end of those that work in slices.
    pub(crate) fn slice(&mut self, id: TaskId) {
        if let Some(entry) = self.ticket(id) {
            self.slices.push_back(entry);
        }
    }

    /// How many entries the queue of posts has, stale ones too.
    pub(crate) fn posts_len(&self) -> usize {
        self.posts.len()
    }

    pub(crate) fn slices_len(&self) -> usize {
        self.slices.len()
    }

    /// The next post; `Some(None)` for an entry that went stale.
    pub(crate) fn next_post(&mut self) -> Option<Option<TaskId>> {
        let entry = self.posts.pop_front()?;
        Some(self.is_fresh(entry).then_some(entry.id))
    }

    pub(crate) fn next_slice(&mut self) -> Option<Option<TaskId>> {
        let entry = self.slices.pop_front()?;
        Some(self.is_fresh(entry).then_some(entry.id))
    }

    // ── Times ──

    /// Files a task for `due`, or moves it there. O(1).
    pub(crate) fn file(&mut self, id: TaskId, due: Time, now: Time) {
        if let Some(task) = self.get_mut(id) {
            task.due = due;
            task.ticket = task.ticket.wrapping_add(1);
            self.alarms.file(id.slot, due, now);
        }
    }

    pub(crate) fn unfile(&mut self, id: TaskId) {
        if self.get(id).is_some() {
            self.alarms.cancel(id.slot);
        }
    }

    pub(crate) fn is_filed(&self, id: TaskId) -> bool {
        self.get(id).is_some() && self.alarms.is_filed(id.slot)
    }

    /// The next task whose time has come at `now`.
    pub(crate) fn next_due(&mut self, now: Time) -> Option<TaskId> {
        while let Some(slot) = self.alarms.pop(now) {
            let Some(task) = self.slab.get(slot as usize) else { continue };
            let id = TaskId { slot, serial: task.serial };
            if task.due <= now {
                return Some(id);
            }
            // It lay beyond what the wheel can hold, or comes later in this millisecond.
            let due = task.due;
            self.file(id, due, now);
        }
        None
    }

    /// When to look for the next time, in the wheel's milliseconds.
    pub(crate) fn next_time(&self) -> Option<u32> {
        self.alarms.next()
    }

    /// Whether a task can run without any event.
    pub(crate) fn is_busy(&self) -> bool {
        !self.posts.is_empty() || !self.slices.is_empty() || !self.broken.is_empty()
    }
}
