//! Groups: tasks that are cancelled together. A group is a list through its tasks, so joining and leaving are O(1).

use super::store::{NONE, Tasks};
use crate::reactor::handler::Handler;
use crate::reactor::id::{GroupId, TaskId};
use crate::reactor::table::Table;

pub(crate) struct Group {
    serial: u32,
    pub(super) head: u32,
    pub(super) len: u32,
}

impl Tasks {
    fn group(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(id.slot as usize).filter(|g| g.serial == id.serial)
    }

    pub(super) fn new_group(&mut self) -> GroupId {
        let serial = self.next_serial();
        GroupId { slot: self.groups.insert(Group { serial, head: NONE, len: 0 }) as u32, serial }
    }

    /// Puts a task into a group, out of any other.
    pub(super) fn join_group(&mut self, group: GroupId, task: TaskId) -> bool {
        if self.get(task).is_none() || self.group(group).is_none() {
            return false;
        }
        self.leave_group(task.slot);
        let Some(g) = self.group(group) else { return false };
        let head = std::mem::replace(&mut g.head, task.slot);
        g.len += 1;
        if let Some(next) = self.slab.get_mut(head as usize) {
            next.prev = task.slot;
        }
        let member = &mut self.slab[task.slot as usize];
        (member.group, member.prev, member.next) = (group.slot, NONE, head);
        true
    }

    /// Takes the task in `slot` out of its group, if it is in one.
    pub(super) fn leave_group(&mut self, slot: u32) {
        let Some(task) = self.slab.get_mut(slot as usize) else { return };
        let (group, prev, next) = (task.group, task.prev, task.next);
        if group == NONE {
            return;
        }
        (task.group, task.prev, task.next) = (NONE, NONE, NONE);
        if let Some(next) = self.slab.get_mut(next as usize) {
            next.prev = prev;
        }
        if let Some(prev) = self.slab.get_mut(prev as usize) {
            prev.next = next;
        }
        if let Some(g) = self.groups.get_mut(group as usize) {
            g.len -= 1;
            if g.head == slot {
                g.head = next;
            }
        }
    }

    /// How many tasks are in the group.
    pub(super) fn group_len(&mut self, group: GroupId) -> usize {
        self.group(group).map_or(0, |g| g.len as usize)
    }

    /// A task of the group.
    fn member(&mut self, group: GroupId) -> Option<TaskId> {
        let head = self.group(group)?.head;
        self.id_at(head)
    }
}

/// Groups of tasks. A handler keeps the group of a connection in its `Conn` and cancels it in `on_close`.
impl<H: Handler> Table<'_, H> {
    /// Makes an empty group. It stays, empty or not, until [`Table::remove_group`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let group = table.group();
    ///     for seconds in 1..=3 {
    ///         let task = table.call_later(Duration::from_secs(seconds), |_, _| unreachable!());
    ///         table.join_group(group, task);
    ///     }
    ///     assert_eq!(table.group_len(group), 3);
    ///     assert_eq!(table.remove_group(group), 3); // in `on_close`, say
    ///     assert_eq!(table.tasks(), 0);
    /// });
    /// ```
    #[must_use = "a group stays until it is removed"]
    pub fn group(&mut self) -> GroupId {
        self.core.tasks.new_group()
    }

    /// Puts a task into a group; a task is in one at most. False when one of them is gone.
    pub fn join_group(&mut self, group: GroupId, task: TaskId) -> bool {
        self.core.tasks.join_group(group, task)
    }

    /// How many tasks of the group may still run.
    pub fn group_len(&mut self, group: GroupId) -> usize {
        self.core.tasks.group_len(group)
    }

    /// Cancels every task of the group, as [`Table::cancel`] does; how many. A task of it that runs right now ends
    /// with this run. The group can be used again.
    pub fn cancel_group(&mut self, group: GroupId) -> usize {
        let mut cancelled = 0;
        while let Some(task) = self.core.tasks.member(group) {
            self.core.cancel_task(task);
            cancelled += 1;
        }
        cancelled
    }

    /// Cancels every task of the group and forgets the group; how many tasks.
    pub fn remove_group(&mut self, group: GroupId) -> usize {
        let cancelled = self.cancel_group(group);
        if self.core.tasks.group(group).is_some() {
            self.core.tasks.groups.remove(group.slot as usize);
        }
        cancelled
    }
}
