//! Bounded queues: what one side puts in the other takes out, in order; a full queue is an answer, or a wait.

use std::any::Any;
use std::collections::VecDeque;
use std::error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::TaskError;
use super::result::Completer;
use super::semaphore::prune;
use crate::reactor::core::Core;
use crate::reactor::handle::{Handle, Remote};
use crate::reactor::handler::Handler;
use crate::reactor::id::TaskId;
use crate::reactor::service::contain;
use crate::reactor::table::Table;

/// A queue of one reactor whose items are `T`, see [`Table::queue`]. A stale one is harmless.
pub struct QueueId<T> {
    slot: u32,
    serial: u32,
    _item: PhantomData<fn(T) -> T>,
}

impl<T> Clone for QueueId<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for QueueId<T> {}

impl<T> fmt::Debug for QueueId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueId({}.{})", self.slot, self.serial)
    }
}

/// Slot and serial of a queue, whatever its items are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) slot: u32,
    pub(super) serial: u32,
}

impl<T> QueueId<T> {
    const fn place(self) -> Place {
        Place { slot: self.slot, serial: self.serial }
    }
}

/// Why an item was not taken; it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError<T> {
    /// The queue is full.
    Full(T),
    /// The queue or its reactor is gone.
    Gone(T),
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::Gone(_) => "the queue is gone",
        })
    }
}

impl<T: fmt::Debug> error::Error for SendError<T> {}

/// Puts items into a queue from any thread; cheaply cloned. [`Table::sender`] makes one.
pub struct Sender<T> {
    handle: Handle,
    queue: QueueId<T>,
    count: Arc<Count>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), queue: self.queue, count: Arc::clone(&self.count) }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.queue).finish()
    }
}

impl<T: Send + 'static> Sender<T> {
    /// Puts an item in, without waiting.
    ///
    /// # Errors
    /// The item, when the queue is full or gone.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        if self.count.is_gone() {
            return Err(SendError::Gone(item));
        }
        if !self.count.take_room() {
            // It may have gone since.
            let gone = self.count.is_gone();
            return Err(if gone { SendError::Gone(item) } else { SendError::Full(item) });
        }
        let sent = Remote::Item { queue: self.queue.place(), item: Box::new(item) };
        match self.handle.offer(sent) {
            Ok(()) => Ok(()),
            Err(Remote::Item { item, .. }) => {
                // Its reactor is gone, and took no notice of the queue.
                self.count.leave();
                let item: Box<dyn Any> = item;
                match item.downcast() {
                    Ok(item) => Err(SendError::Gone(*item)),
                    Err(_) => Ok(()),
                }
            }
            Err(_) => Ok(()),
        }
    }
}

/// How many items a queue has, those on their way from other threads included.
pub(crate) struct Count {
    pub(super) used: AtomicUsize,
    pub(super) capacity: usize,
}

impl Count {
    /// Set in `used` once the queue is gone.
    const GONE: usize = 1 << (usize::BITS - 1);

    fn take_room(&self) -> bool {
        let room = |used: usize| (used < self.capacity).then_some(used + 1);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_ok()
    }

    fn give_room(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
    }

    /// The queue is gone: nobody will ever take out.
    fn leave(&self) {
        self.used.fetch_or(Self::GONE, Ordering::AcqRel);
    }

    fn is_gone(&self) -> bool {
        self.used.load(Ordering::Acquire) & Self::GONE != 0
    }
}

pub(crate) struct Queue {
    pub(super) serial: u32,
    /// In the order of their numbers.
    pub(super) items: VecDeque<(u64, Box<dyn Any>)>,
    next_number: u64,
    pub(super) count: Arc<Count>,
    pub(super) takers: VecDeque<TaskId>,
    /// Tasks that hold an item and wait for room.
    pub(super) putters: VecDeque<TaskId>,
}

impl Queue {
    /// Drops the items, each by itself.
    pub(super) fn discard(self) {
        self.count.leave();
        for (_, item) in self.items {
            if contain(|| drop(item)).is_none() {
                log::error!("task.panicked: an item of a removed queue panicked in its drop");
            }
        }
    }
}

impl Core {
    fn queue(&mut self, at: Place) -> Option<&mut Queue> {
        self.queues.get_mut(at.slot as usize).filter(|q| q.serial == at.serial)
    }

    /// An item for which room was taken: the first who waits has it, else it is kept.
    pub(crate) fn put_item(&mut self, at: Place, item: Box<dyn Any>) {
        let mut next = Some(item);
        // Each item that is taken makes room for the next who waits to put one in.
        while let Some(item) = next.take() {
            let Some(q) = self.queue(at) else { return };
            let number = q.next_number;
            q.next_number += 1;
            match self.give_item(at, number, item) {
                None => next = self.gave_room(at),
                Some(item) => {
                    if let Some(q) = self.queue(at) {
                        q.items.push_back((number, item));
                    }
                }
            }
        }
    }

    /// Gives an item to the first who waits for one; it comes back when nobody does.
    fn give_item(&mut self, at: Place, number: u64, item: Box<dyn Any>) -> Option<Box<dyn Any>> {
        while let Some(taker) = self.queue(at).and_then(|q| q.takers.pop_front()) {
            if self.tasks.waits(taker) {
                self.hand_over(at, taker, number, item);
                return None;
            }
        }
        Some(item)
    }

    /// Gives an item to this taker. Until it has seen it, the item can go back.
    fn hand_over(&mut self, at: Place, taker: TaskId, number: u64, item: Box<dyn Any>) {
        if let Some(wait) = self.tasks.wait_mut(taker) {
            wait.queue = Some((at, number));
        }
        self.settle(taker, 0, Ok(item));
    }

    /// An item that was on its way to a task that is no more: the next has it, or it goes back to its place. It comes
    /// back itself when the queue is gone.
    pub(crate) fn put_back(&mut self, at: Place, number: u64, item: Box<dyn Any>) -> Option<Box<dyn Any>> {
        if self.queue(at).is_none() {
            return Some(item);
        }
        if let Some(item) = self.give_item(at, number, item)
            && let Some(q) = self.queue(at)
        {
            q.count.used.fetch_add(1, Ordering::AcqRel);
            let place = q.items.partition_point(|(n, _)| *n < number);
            q.items.insert(place, (number, item));
        }
        None
    }

    fn take_item(&mut self, at: Place) -> Option<(u64, Box<dyn Any>)> {
        let taken = self.queue(at)?.items.pop_front()?;
        if let Some(next) = self.gave_room(at) {
            self.put_item(at, next);
        }
        Some(taken)
    }

    /// There is room for one more: the item of the first who waits to put one in, with room taken for it.
    fn gave_room(&mut self, at: Place) -> Option<Box<dyn Any>> {
        self.queue(at)?.count.give_room();
        while let Some(putter) = self.queue(at).and_then(|q| q.putters.pop_front()) {
            if !self.tasks.waits(putter) {
                continue;
            }
            let q = self.queue(at)?;
            if !q.count.take_room() {
                // Another thread was faster.
                q.putters.push_front(putter);
                return None;
            }
            let item = self.tasks.wait_mut(putter).and_then(|wait| wait.item.take());
            self.settle(putter, 0, Ok(Box::new(())));
            return item;
        }
        None
    }
}

/// Bounded queues.
impl<H: Handler> Table<'_, H> {
    /// Makes a queue of at most `capacity` items (at least one). It stays until [`Table::remove_queue`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor, SendError};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.with(key, |_, table| {
    ///     let queue = table.queue(1);
    ///     assert_eq!(table.push(queue, "high"), Ok(()));
    ///     assert_eq!(table.push(queue, "tide"), Err(SendError::Full("tide"))); // it comes back
    ///     assert_eq!(table.pop(queue), Some("high"));
    ///     table.take(queue, Some(Duration::from_secs(5)), |_, word, table| {
    ///         assert_eq!(word, Ok("low"));
    ///         table.handle().stop(Duration::ZERO);
    ///     });
    ///     let sender = table.sender(queue).unwrap();
    ///     std::thread::spawn(move || sender.send("low"));
    /// });
    /// # reactor.run().unwrap();
    /// ```
    #[must_use = "a queue stays until it is removed"]
    pub fn queue<T: 'static>(&mut self, capacity: usize) -> QueueId<T> {
        let serial = self.core.tasks.next_serial();
        let count = Arc::new(Count { used: AtomicUsize::new(0), capacity: capacity.max(1) });
        let queue = Queue {
            serial,
            items: VecDeque::new(),
            next_number: 0,
            count,
            takers: VecDeque::new(),
            putters: VecDeque::new(),
        };
        QueueId { slot: self.core.queues.insert(queue) as u32, serial, _item: PhantomData }
    }

    /// Puts an item in.
    ///
    /// # Errors
    /// The item, when the queue is full or gone.
    pub fn push<T: 'static>(&mut self, queue: QueueId<T>, item: T) -> Result<(), SendError<T>> {
        let Some(q) = self.core.queue(queue.place()) else { return Err(SendError::Gone(item)) };
        if !q.count.take_room() {
            return Err(SendError::Full(item));
        }
        self.core.put_item(queue.place(), Box::new(item));
        Ok(())
    }

    /// Waits until there is room, at most for `limit`, and puts the item in: `done` is called exactly once. When it
    /// hears an error, the item was dropped. Items that wait for room go in in the order of their coming.
    pub fn push_later<T: 'static>(
        &mut self,
        queue: QueueId<T>,
        item: T,
        limit: Option<Duration>,
        done: impl FnOnce(&mut H, Result<(), TaskError>, &mut Table<'_, H>) + 'static,
    ) -> TaskId {
        let completer: Completer<()> = self.expect(limit, done);
        let task = completer.task();
        match self.push(queue, item) {
            Ok(()) => {
                self.complete(completer, ());
            }
            Err(SendError::Full(item)) => {
                completer.defuse();
                let core = &mut *self.core;
                let Some(q) = core.queues.get_mut(queue.slot as usize) else { return task };
                if let Some(wait) = core.tasks.wait_mut(task) {
                    wait.item = Some(Box::new(item));
                }
                prune(&mut q.putters, |id| core.tasks.waits(*id));
                q.putters.push_back(task);
            }
            // Dropped, the completer says so.
            Err(SendError::Gone(_)) => {}
        }
        task
    }

    /// Takes the oldest item out, if there is one.
    pub fn pop<T: 'static>(&mut self, queue: QueueId<T>) -> Option<T> {
        self.core.take_item(queue.place())?.1.downcast().ok().map(|item| *item)
    }

    /// Waits for an item, at most for `limit`: `done` is called exactly once, in a later turn, with the item or with
    /// why there is none. First come, first served.
    pub fn take<T: 'static>(
        &mut self,
        queue: QueueId<T>,
        limit: Option<Duration>,
        done: impl FnOnce(&mut H, Result<T, TaskError>, &mut Table<'_, H>) + 'static,
    ) -> TaskId {
        let completer: Completer<T> = self.expect(limit, done);
        let task = completer.task();
        if let Some((number, item)) = self.core.take_item(queue.place()) {
            completer.defuse();
            self.core.hand_over(queue.place(), task, number, item);
            return task;
        }
        let core = &mut *self.core;
        let known = core.queues.get_mut(queue.slot as usize).filter(|q| q.serial == queue.serial);
        if let Some(q) = known {
            completer.defuse();
            prune(&mut q.takers, |id| core.tasks.waits(*id));
            q.takers.push_back(task);
        }
        task
    }

    /// Items in the queue, those on their way from other threads included.
    pub fn queue_len<T: 'static>(&mut self, queue: QueueId<T>) -> usize {
        self.core.queue(queue.place()).map_or(0, |q| q.count.used.load(Ordering::Acquire))
    }

    /// Lets other threads put items in. `None` when the queue is gone. There is an example at [`Table::queue`].
    pub fn sender<T: Send + 'static>(&mut self, queue: QueueId<T>) -> Option<Sender<T>> {
        let handle = self.core.handle.clone();
        let count = Arc::clone(&self.core.queue(queue.place())?.count);
        Some(Sender { handle, queue, count })
    }

    /// Removes a queue with what is in it; whether it still was. Who waits hears [`TaskError::Cancelled`].
    pub fn remove_queue<T: 'static>(&mut self, queue: QueueId<T>) -> bool {
        if self.core.queue(queue.place()).is_none() {
            return false;
        }
        let mut removed = self.core.queues.remove(queue.slot as usize);
        removed.count.leave();
        for task in removed.takers.drain(..).chain(removed.putters.drain(..)) {
            self.core.settle(task, 0, Err(TaskError::Cancelled));
        }
        removed.discard();
        true
    }
}
