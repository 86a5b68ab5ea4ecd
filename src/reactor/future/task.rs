//! [`Task`]: the right to a spawned future's value, and to its end.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::local;
use super::state::{Leftover, Outcome, SERVICE, ShotId};
use crate::reactor::Reactor;
use crate::reactor::core::Core;
use crate::reactor::handler::Handler;
use crate::reactor::id::TaskId;
use crate::reactor::sys::Sys;
use crate::reactor::table::Table;
use crate::reactor::task::TaskError;

/// Binds a type to the thread of its reactor.
pub(super) type NotSend = PhantomData<*const ()>;

/// Why a leaf that has no value for "not here" panics.
pub(super) const OUTSIDE: &str = "a future of a reactor was polled where that reactor does not poll its tasks: spawn it there, or use block_on";

/// One value that is on its way; dropping it forgets the value.
pub(super) struct Expected<T> {
    tag: u64,
    id: Option<ShotId>,
    _value: PhantomData<fn() -> T>,
    _here: NotSend,
}

impl<T> Expected<T> {
    pub(super) const fn new(tag: u64, id: ShotId) -> Self {
        Self { tag, id: Some(id), _value: PhantomData, _here: PhantomData }
    }

    /// A value that is to come; `None` outside a poll.
    pub(super) fn begin() -> Option<(Self, ShotId)> {
        let (tag, id) = local::with_any(|core| {
            let serial = core.tasks.next_serial();
            (core.futures.tag, core.futures.expect(serial))
        })?;
        Some((Self::new(tag, id), id))
    }

    pub(super) const fn tag(&self) -> u64 {
        self.tag
    }
}

impl<T: 'static> Future for Expected<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(id) = self.id else { return Poll::Ready(Err(TaskError::Cancelled)) };
        let polled: Option<Poll<Outcome>> = local::with(self.tag, |core| core.futures.poll_shot(id, cx));
        let Some(polled) = polled else { return Poll::Ready(Err(TaskError::Cancelled)) };
        polled.map(|outcome| {
            self.id = None;
            let value: Box<dyn Any> = outcome?;
            value.downcast().map(|value| *value).map_err(|_| TaskError::Cancelled)
        })
    }
}

impl<T> Drop for Expected<T> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            local::give_back(self.tag, Leftover::Shot(id));
        }
    }
}

/// A spawned future. Awaited, it gives the future's value, or why there is none: it panicked
/// ([`TaskError::Panicked`]), or was cancelled ([`TaskError::Cancelled`], also where it is awaited outside its
/// reactor). Dropped, it cancels the future: at the next await its locals are dropped. [`Task::detach`] lets it go on.
#[must_use = "a task that is dropped is cancelled; detach it to let it run"]
pub struct Task<T> {
    id: TaskId,
    /// Dropped after the task is cancelled.
    value: Expected<T>,
    detached: bool,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.id).finish()
    }
}

impl<T: 'static> Task<T> {
    /// Spawns `future` for `service`.
    pub(super) fn spawn<F: Future<Output = T> + 'static>(core: &mut Core, service: u16, future: F) -> Self {
        let (id, shot) = core.spawn(service, std::any::type_name::<F>(), Box::pin(future));
        Self { id, value: Expected::new(core.futures.tag, shot), detached: false }
    }
}

impl<T> Task<T> {
    /// Its id: for groups, for [`Table::cancel`], for logs.
    pub const fn id(&self) -> TaskId {
        self.id
    }

    /// Lets the future run to its end with nobody awaiting it. A panic is then told to the handler that spawned it
    /// ([`Handler::on_task_error`]), else logged.
    pub fn detach(mut self) {
        self.detached = true;
        let id = self.id;
        if let Some(shot) = self.value.id.take() {
            local::give_back(self.value.tag, Leftover::Detached(id, shot));
        }
    }

    /// Cancels the future: it is dropped where it awaits. The same as dropping the task, in a word.
    pub fn cancel(self) {
        drop(self);
    }
}

impl<T: 'static> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.value).poll(cx)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        // Without a value on its way the task is over.
        if !self.detached && self.value.id.is_some() {
            local::give_back(self.value.tag, Leftover::Task(self.id));
        }
    }
}

/// Spawns a future from within another one, on the same reactor. It is polled for the first time in the next turn.
///
/// # Panics
/// Outside a poll of a reactor.
#[allow(clippy::expect_used, reason = "there is no reactor to spawn it on: a programmer's error")]
pub fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
    // Outside a poll the closure is not called, and the future is dropped here.
    let mut future = Some(future);
    let spawned = local::with_any(|core| future.take().map(|f| Task::spawn(core, SERVICE, f)));
    spawned.flatten().expect(OUTSIDE)
}

impl<S: Sys> Reactor<S> {
    /// Runs a future on this reactor: single-threaded, without any other runtime, with no need to be `Send`.
    pub fn spawn<F: Future<Output: 'static> + 'static>(&mut self, future: F) -> Task<F::Output> {
        self.refresh_clock();
        Task::spawn(&mut self.core, SERVICE, future)
    }
}

impl<H: Handler> Table<'_, H> {
    /// Runs a future beside the handlers. If it panics and nobody awaits it, this handler is told.
    pub fn spawn<F: Future<Output: 'static> + 'static>(&mut self, future: F) -> Task<F::Output> {
        Task::spawn(self.core, self.service, future)
    }
}
