//! Futures beside everything else that a reactor does: work on its threads, closures on its handlers, its semaphores
//! and queues. All of them are the reactor's own, shared with handlers and with other threads.

use std::marker::PhantomData;
use std::time::Duration;

use slab::Slab;

use super::executor::Promise;
use super::local;
use super::state::{SERVICE, ShotId};
use super::streams::Face;
use super::task::{Expected, NotSend, OUTSIDE};
use crate::reactor::core::Core;
use crate::reactor::handler::Handler;
use crate::reactor::id::TaskId;
use crate::reactor::service::{Key, contain};
use crate::reactor::table::Table;
use crate::reactor::task::{Permit, QueueId, SemaphoreId, SendError, TaskError};

use super::state::Leftover;

/// Calls `f` with the verbs of the service of futures.
fn as_table<T>(core: &mut Core, f: impl FnOnce(&mut Table<'_, Face>) -> T) -> T {
    let mut conns = Slab::new();
    f(&mut Table { core, conns: &mut conns, service: SERVICE })
}

/// A task of the reactor that a future waits for; dropping it cancels the task.
struct Waiting {
    tag: u64,
    task: Option<TaskId>,
    _here: NotSend,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            local::give_back(self.tag, Leftover::Task(task));
        }
    }
}

/// Gives what a task of the reactor has come to.
fn deliver<T: 'static>(
    tag: u64,
    shot: ShotId,
) -> impl FnOnce(&mut Face, Result<T, TaskError>, &mut Table<'_, Face>) + 'static {
    let promise = Promise::new(tag, shot);
    move |_, result, table| {
        let outcome = result.map(|value| Box::new(value) as Box<dyn std::any::Any>);
        promise.deliver(table.core, outcome);
    }
}

/// Awaits a task of the reactor that `begin` files.
async fn wait_for<T: 'static>(
    begin: impl FnOnce(&mut Table<'_, Face>, u64, ShotId) -> Result<TaskId, TaskError>,
) -> Result<T, TaskError> {
    let (value, shot) = Expected::<T>::begin().ok_or(TaskError::Cancelled)?;
    let tag = value.tag();
    let begun = local::with(tag, |core| as_table(core, |table| begin(table, tag, shot)));
    let task = begun.unwrap_or(Err(TaskError::Cancelled))?;
    let mut waiting = Waiting { tag, task: Some(task), _here: PhantomData };
    let value = value.await;
    waiting.task = None;
    value
}

/// Does `work` on a thread of the reactor's pool. Dropped while the work waits for a thread, it withdraws it; later,
/// the value is dropped.
///
/// # Errors
/// [`TaskError::Full`] when the queue of work is full, [`TaskError::Panicked`] when the work did, and
/// [`TaskError::Cancelled`] when the reactor stopped, and outside its polls.
pub async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskError> {
    wait_for(|table, tag, shot| table.offload(work, deliver(tag, shot))).await
}

/// Calls `f` on a handler with its table in the next turn, and gives what it returns. Dropped before, it cancels the
/// call.
///
/// # Errors
/// [`TaskError::Panicked`] when `f` did, and [`TaskError::Cancelled`] when the reactor stopped before, when the key is
/// another reactor's, and outside its polls.
pub async fn call<H: Handler, T: 'static>(
    key: Key<H>,
    f: impl FnOnce(&mut H, &mut Table<'_, H>) -> T + 'static,
) -> Result<T, TaskError> {
    wait_for(|table, tag, shot| {
        let promise = Promise::new(tag, shot);
        Ok(table.post_to(key, move |handler, table| {
            // Who awaits the value hears of the panic; the handler needs not.
            let value = contain(|| f(handler, table));
            let outcome = value.map(|v| Box::new(v) as Box<dyn std::any::Any>).ok_or(TaskError::Panicked);
            promise.keep(&mut table.core.futures, outcome);
        }))
    })
    .await
}

/// Calls `f` on a handler with its table in the next turn; nobody waits for it.
///
/// # Panics
/// Outside a poll of a reactor.
#[allow(clippy::expect_used, reason = "called outside a reactor: a programmer's error")]
pub fn post_to<H: Handler>(key: Key<H>, f: impl FnOnce(&mut H, &mut Table<'_, H>) + 'static) -> TaskId {
    local::with_any(|core| as_table(core, |table| table.post_to(key, f))).expect(OUTSIDE)
}

/// Makes a semaphore of this reactor, as [`Table::semaphore`] does.
///
/// # Panics
/// Outside a poll of a reactor.
#[allow(clippy::expect_used, reason = "called outside a reactor: a programmer's error")]
pub fn semaphore(permits: usize) -> SemaphoreId {
    local::with_any(|core| as_table(core, |table| table.semaphore(permits))).expect(OUTSIDE)
}

/// A permit, if one is free and nobody waits for it.
pub fn try_acquire(id: SemaphoreId) -> Option<Permit> {
    local::with_any(|core| as_table(core, |table| table.try_acquire(id))).flatten()
}

/// Waits for a permit, in the order of asking, handlers and futures alike. Dropped, it waits no more.
///
/// # Errors
/// [`TaskError::Cancelled`] when the semaphore is gone, and outside a reactor's polls.
pub async fn acquire(id: SemaphoreId) -> Result<Permit, TaskError> {
    if let Some(permit) = try_acquire(id) {
        return Ok(permit);
    }
    wait_for(|table, tag, shot| Ok(table.acquire(id, None, deliver(tag, shot)))).await
}

/// Makes a queue of this reactor, as [`Table::queue`] does.
///
/// # Panics
/// Outside a poll of a reactor.
#[allow(clippy::expect_used, reason = "called outside a reactor: a programmer's error")]
pub fn queue<T: 'static>(capacity: usize) -> QueueId<T> {
    local::with_any(|core| as_table(core, |table| table.queue(capacity))).expect(OUTSIDE)
}

/// Puts an item into a queue, without waiting.
///
/// # Errors
/// The item, when the queue is full or gone, and outside a reactor's polls.
pub fn try_push<T: 'static>(queue: QueueId<T>, item: T) -> Result<(), SendError<T>> {
    let mut item = Some(item);
    let pushed =
        local::with_any(|core| item.take().map(|item| as_table(core, |table| table.push(queue, item))));
    match (pushed.flatten(), item) {
        (Some(pushed), _) => pushed,
        (None, Some(item)) => Err(SendError::Gone(item)),
        (None, None) => Ok(()),
    }
}

/// Puts an item into a queue, once there is room. Dropped before, the item is not put in.
///
/// # Errors
/// [`TaskError::Cancelled`] when the queue is gone, and outside a reactor's polls; the item is dropped.
pub async fn push<T: 'static>(queue: QueueId<T>, item: T) -> Result<(), TaskError> {
    match try_push(queue, item) {
        Ok(()) => Ok(()),
        Err(SendError::Gone(_)) => Err(TaskError::Cancelled),
        Err(SendError::Full(item)) => {
            wait_for(|table, tag, shot| Ok(table.push_later(queue, item, None, deliver(tag, shot)))).await
        }
    }
}

/// Takes the oldest item out of a queue, once there is one; first come, first served. Dropped before it has given the
/// item, it takes none: one that was on its way to it goes to the next who waits, or back to its place.
///
/// # Errors
/// [`TaskError::Cancelled`] when the queue is gone, and outside a reactor's polls.
pub async fn take<T: 'static>(queue: QueueId<T>) -> Result<T, TaskError> {
    let there = local::with_any(|core| as_table(core, |table| table.pop(queue)));
    if let Some(item) = there.ok_or(TaskError::Cancelled)? {
        return Ok(item);
    }
    wait_for(|table, tag, shot| Ok(table.take(queue, None, deliver(tag, shot)))).await
}

/// The same, for no longer than `limit`.
///
/// # Errors
/// As [`take`], and [`TaskError::TimedOut`]. An item that comes later stays in the queue.
pub async fn take_within<T: 'static>(queue: QueueId<T>, limit: Duration) -> Result<T, TaskError> {
    let there = local::with_any(|core| as_table(core, |table| table.pop(queue)));
    if let Some(item) = there.ok_or(TaskError::Cancelled)? {
        return Ok(item);
    }
    wait_for(|table, tag, shot| Ok(table.take(queue, Some(limit), deliver(tag, shot)))).await
}
