//! The rules of the task store, asserted between turns by tests, and the records that they look at. Nothing here runs in a release.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::TaskRecord;
use super::queue::Place;
use super::store::{NONE, Tasks, Work};
use crate::reactor::Reactor;
use crate::reactor::core::Core;
use crate::reactor::id::TaskId;
use crate::reactor::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Keeps the record of each task that ends from now on, each tick of an `every` too, for
    /// [`Reactor::take_task_records`].
    pub fn keep_task_records(&mut self) {
        self.core.tasks.records.get_or_insert_default();
    }

    /// The records that were kept since the last call, in the order of the ends.
    pub fn take_task_records(&mut self) -> Vec<TaskRecord> {
        self.core.tasks.records.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl Tasks {
    /// Asserts that every task can still come to its end, and that lists and counts agree with the tasks:
    ///
    /// - a task for a time is filed or posted, work in slices is queued, who waits unsettled is in no queue, who has
    ///   its result is posted; each in one place only;
    /// - the alarms hold exactly the filed tasks, and none runs;
    /// - the list of a group holds exactly its members, and its length is their number.
    pub(crate) fn check(&self) {
        let (mut posts, mut slices) = (HashMap::new(), HashMap::new());
        for (queue, seen) in [(&self.posts, &mut posts), (&self.slices, &mut slices)] {
            for entry in queue.iter().filter(|e| self.is_fresh(**e)) {
                assert_eq!(seen.insert(entry.id, ()), None, "{} is queued twice", entry.id);
            }
        }
        let mut filed = 0;
        for (slot, task) in &self.slab {
            let Some(id) = self.id_at(slot as u32) else { continue };
            let places = (self.is_filed(id), posts.contains_key(&id), slices.contains_key(&id));
            filed += usize::from(places.0);
            let (kind, right) = match &task.work {
                Work::Once(_) => ("once", matches!(places, (true, false, false) | (false, true, false))),
                Work::Every(_) => ("every", matches!(places, (true, false, false) | (false, true, false))),
                Work::Slices(_) => ("slices", places == (false, false, true)),
                Work::Wait(wait) if wait.is_settled() => ("settled", places == (false, true, false)),
                Work::Wait(_) => ("waiting", matches!(places, (_, false, false))),
                #[cfg(feature = "async")]
                Work::Future(_) => ("future", places == (false, false, false)),
                Work::Running { .. } => ("running", false),
            };
            assert!(right, "{id} {} ({kind}) is (filed, posted, sliced) {places:?}", task.name);
        }
        assert_eq!(filed, self.alarms.len(), "the alarms hold exactly the filed tasks");
        assert_eq!(self.current, None, "nobody runs between turns");
        self.check_groups();
    }

    fn check_groups(&self) {
        let mut listed = 0;
        for (at, group) in &self.groups {
            let (mut prev, mut slot, mut len) = (NONE, group.head, 0);
            while slot != NONE {
                let task = self.slab.get(slot as usize);
                assert!(task.is_some(), "group {at} lists slot {slot}, which is free");
                let Some(task) = task else { break };
                assert_eq!((task.group as usize, task.prev), (at, prev), "slot {slot} in group {at}");
                (prev, slot, len) = (slot, task.next, len + 1);
                assert!(len <= self.slab.len(), "the list of group {at} is a ring");
            }
            assert_eq!(len, group.len as usize, "the length of group {at}");
            listed += len;
        }
        let members = self.slab.iter().filter(|(_, t)| t.group != NONE).count();
        assert_eq!(listed, members, "each member is in its group's list");
    }
}

impl Core {
    /// Asserts the rules of [`Tasks::check`], and those of who waits with others:
    ///
    /// - a semaphore with a free permit has nobody waiting;
    /// - a queue with an item has no taker waiting; one with room has nobody waiting to put something in, and who does
    ///   holds an item; its count is that of its items and of those on their way (no less, where another thread may be
    ///   about to send).
    pub(crate) fn check_tasks(&self) {
        self.tasks.check();
        let waits = |id: &&TaskId| self.tasks.waits(**id);
        for (at, s) in &self.semaphores {
            let waiting = s.waiting.iter().filter(waits).count();
            assert!(s.free == 0 || waiting == 0, "semaphore {at}: {} free, {waiting} waiting", s.free);
        }
        for (at, q) in &self.queues {
            let place = Place { slot: at as u32, serial: q.serial };
            // Whoever sends takes room first: so the items on their way are counted before.
            let alone = Arc::strong_count(&q.count) == 1;
            let coming = self.items_coming(place);
            let used = q.count.used.load(Ordering::Acquire);
            let known = q.items.len() + coming;
            assert!(used >= known, "queue {at} counts {used} of {known} items");
            assert!(!alone || used == known, "queue {at} counts {used}, and has {known} items");
            let takers = q.takers.iter().filter(waits).count();
            assert!(takers == 0 || q.items.is_empty(), "queue {at}: {takers} wait beside {}", q.items.len());
            for putter in q.putters.iter().filter(waits) {
                assert!(used >= q.count.capacity, "queue {at} has room, and {putter} waits for it");
                assert!(self.tasks.holds_item(*putter), "{putter} waits for room without an item");
            }
            assert!(q.items.iter().zip(q.items.iter().skip(1)).all(|(a, b)| a.0 < b.0), "queue {at}: order");
        }
    }

    /// Items for a queue that other threads have sent and the loop has not seen.
    fn items_coming(&self, at: Place) -> usize {
        self.handle.items_for(at) + self.remote.iter().filter(|(_, entry)| entry.is_item_for(at)).count()
    }
}
