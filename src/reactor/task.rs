//! Work for a handler from outside its callbacks: posts of the same thread, and [`Handle`] for any thread.
//!
//! Posts run in the turn after the one in which they were made, in their order; those of one thread keep it.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::core::Core;
use super::handler::Handler;
use super::service::{Bound, Key};
use super::sys::Waker;
use super::table::Table;

/// A post, bound to the type of its handler.
pub(crate) type Run = Box<dyn FnOnce(&mut dyn Any, &mut Core)>;

pub(crate) struct Post {
    pub(crate) service: u16,
    pub(crate) run: Run,
}

/// As [`Run`], from another thread.
type RemoteRun = Box<dyn FnOnce(&mut dyn Any, &mut Core) + Send>;

struct RemotePost {
    service: u16,
    run: RemoteRun,
}

/// Makes a post out of a closure on a handler.
pub(crate) fn bind<H: Handler>(f: impl FnOnce(&mut H, &mut Table<'_, H>) + 'static) -> Run {
    Box::new(move |service, core| apply(service, core, f))
}

fn apply<H: Handler>(service: &mut dyn Any, core: &mut Core, f: impl FnOnce(&mut H, &mut Table<'_, H>)) {
    if let Some(bound) = service.downcast_mut::<Bound<H>>() {
        let (handler, mut table) = bound.table(core);
        f(handler, &mut table);
    }
}

#[derive(Default)]
struct Queue {
    posts: Vec<RemotePost>,
    stop: Option<Duration>,
    gone: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something is in the queue and the reactor has been woken for it.
    pending: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reaches a reactor from any thread, cheaply cloned. It outlives its reactor harmlessly.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    waker: Waker,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("pending", &self.shared.pending).finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { shared: Arc::default(), waker }
    }

    /// Calls `f` on the reactor's thread in its next turn. Posts of one thread keep their order. False, and `f` is
    /// dropped, when the reactor is gone.
    pub fn post<H: Handler>(
        &self,
        key: Key<H>,
        f: impl FnOnce(&mut H, &mut Table<'_, H>) + Send + 'static,
    ) -> bool {
        let run = Box::new(move |service: &mut dyn Any, core: &mut Core| apply(service, core, f));
        self.enter(|queue| queue.posts.push(RemotePost { service: key.index, run }))
    }

    /// Makes the reactor's current or next `turn` return.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Drains the reactor: listeners close, connections finish, and `run` returns when all are gone or `grace` has
    /// passed, when the rest is reset. Called again, it can shorten the grace; `Duration::ZERO` aborts.
    pub fn stop(&self, grace: Duration) {
        self.enter(|queue| queue.stop = Some(queue.stop.map_or(grace, |g| g.min(grace))));
    }

    fn enter(&self, f: impl FnOnce(&mut Queue)) -> bool {
        let mut queue = self.shared.lock();
        if queue.gone {
            return false;
        }
        f(&mut queue);
        drop(queue);
        if !self.shared.pending.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
        true
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.shared.pending.load(Ordering::Acquire)
    }

    /// Takes what other threads have entered; answers with a wish to stop.
    pub(crate) fn collect(&self, core: &mut Core) -> Option<Duration> {
        if !self.shared.pending.swap(false, Ordering::AcqRel) {
            return None;
        }
        let (posts, stop) = {
            let mut queue = self.shared.lock();
            (std::mem::take(&mut queue.posts), queue.stop.take())
        };
        core.posts.extend(posts.into_iter().map(|p| Post { service: p.service, run: p.run }));
        stop
    }

    /// The reactor is no more: later posts are refused, waiting ones dropped.
    pub(crate) fn leave(&self) {
        let dropped = {
            let mut queue = self.shared.lock();
            queue.gone = true;
            std::mem::take(&mut queue.posts)
        };
        drop(dropped);
    }
}
