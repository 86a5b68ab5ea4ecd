//! [`Handle`]: what other threads hold of a reactor, and the queue through which they reach it. The one place in the
//! core that takes a lock; the loop takes it once a turn, and only when something has been entered.

use std::any::Any;
use std::collections::VecDeque;
use std::error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::core::Core;
use super::file::Fetched;
use super::handler::Handler;
use super::id::TaskId;
use super::service::{Key, apply, contain};
use super::shutdown::Hooks;
use super::sys::{Clock, Waker};
use super::table::Table;
use super::task::queue::Place;
use super::task::{SemaphoreId, TaskError};
use super::time::Time;

/// A closure of another thread on a handler.
type RemoteRun = Box<dyn FnOnce(&mut dyn Any, &mut Core) + Send>;

/// What comes from other threads.
pub(crate) enum Remote {
    Post(RemotePost),
    /// A part of a task's result, and how the work for it went.
    Settle {
        task: TaskId,
        part: u32,
        outcome: Result<Box<dyn Any + Send>, TaskError>,
        work: Option<Box<Worked>>,
    },
    /// A thread has read a file's bytes in.
    Fetched(Fetched),
    /// A hook of the shutdown is done.
    LetGo(u64),
    /// A future was woken.
    #[cfg(feature = "async")]
    Wake(TaskId),
    /// A permit of a semaphore is given back.
    Release(SemaphoreId),
    /// An item for a queue, for which room was taken.
    Item {
        queue: Place,
        item: Box<dyn Any + Send>,
    },
}

#[cfg(any(test, feature = "testing"))]
impl Remote {
    /// Whether this is an item for a queue.
    pub(crate) fn is_item_for(&self, at: Place) -> bool {
        matches!(self, Self::Item { queue, .. } if *queue == at)
    }
}

pub(crate) struct RemotePost {
    pub(crate) service: u16,
    pub(crate) name: &'static str,
    pub(crate) run: RemoteRun,
}

/// Work that a thread has done.
#[derive(Clone, Copy)]
pub(crate) struct Worked {
    pub(crate) name: &'static str,
    pub(crate) queued: Time,
    pub(crate) began: Time,
    pub(crate) ended: Time,
    /// The round of the pool in which it was begun.
    pub(crate) round: u32,
}

/// Why a post was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PostError {
    /// `Config::posts_max` posts wait already: the loop is behind.
    Full,
    /// The reactor is gone.
    Gone,
    /// The key is of another reactor.
    Foreign,
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the reactor's queue of posts is full",
            Self::Gone => "the reactor is gone",
            Self::Foreign => "the key is of another reactor",
        })
    }
}

impl error::Error for PostError {}

#[derive(Default)]
struct Queue {
    /// Each with the time of its entering.
    entries: VecDeque<(Time, Remote)>,
    /// How many of them are posts.
    posts: usize,
    /// How many entries there have ever been.
    entered: u64,
    /// Threads that wait for room.
    waiting: usize,
    stop: Option<Duration>,
    gone: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    room: Condvar,
    posts_max: usize,
    /// Something is in the queue and the reactor has been woken for it.
    pending: AtomicBool,
    /// The reactor's own thread: the one that made it, for it cannot be sent to another.
    home: ThreadId,
    waker: Waker,
    clock: Clock,
    /// Which reactor it is, among all of the process.
    reactor: u32,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        if !self.pending.load(Ordering::Acquire) && !self.pending.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

/// Reaches a reactor from any thread, cheaply cloned. It outlives its reactor harmlessly.
/// [`Reactor::handle`](super::Reactor::handle) makes one, [`Table::handle`] too.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("pending", &self.shared.pending).finish_non_exhaustive()
    }
}

/// What other threads hold.
impl<H: Handler> Table<'_, H> {
    /// Reaches this reactor from other threads, and stops it; the same as [`Reactor::handle`](super::Reactor::handle).
    pub fn handle(&self) -> Handle {
        self.core.handle.clone()
    }
}

/// The next reactor's number.
static REACTORS: AtomicU32 = AtomicU32::new(0);

fn remote<H: Handler, F>(key: Key<H>, f: F) -> RemotePost
where
    F: FnOnce(&mut H, &mut Table<'_, H>) + Send + 'static,
{
    let run: RemoteRun = Box::new(move |service, core| {
        apply(service, core, f);
    });
    RemotePost { service: key.index, name: std::any::type_name::<F>(), run }
}

impl Handle {
    pub(crate) fn new(waker: Waker, clock: Clock, posts_max: usize) -> Self {
        let (queue, room, pending) = Default::default();
        let (home, posts_max) = (thread::current().id(), posts_max.max(1));
        let reactor = REACTORS.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::new(Shared { queue, room, posts_max, pending, home, waker, clock, reactor }) }
    }

    /// Which reactor this is, among all of the process.
    pub(crate) fn reactor(&self) -> u32 {
        self.shared.reactor
    }

    /// Calls `f` on the reactor's thread in its next turn. Posts of one thread keep their order. Never blocks.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// let handle = reactor.handle();
    /// std::thread::spawn(move || {
    ///     handle.post(key, |_echo, table| {
    ///         assert!(table.is_empty());
    ///         table.handle().stop(Duration::ZERO);
    ///     })
    /// });
    /// # reactor.run().unwrap();
    /// ```
    ///
    /// # Errors
    /// When `Config::posts_max` posts wait already, the reactor is gone, or the key is of another one. `f` is dropped
    /// then.
    pub fn post<H: Handler>(
        &self,
        key: Key<H>,
        f: impl FnOnce(&mut H, &mut Table<'_, H>) + Send + 'static,
    ) -> Result<(), PostError> {
        self.enter_post(key.reactor, remote(key, f), false)
    }

    /// As [`Handle::post`], but waits for room while the queue is full: for threads that produce faster than the loop
    /// consumes. On the reactor's own thread it does not wait, and says that the queue is full. Dropping
    /// the reactor ends the wait; a reactor that is kept and not turned makes no room, and the wait does not end.
    ///
    /// # Errors
    /// When the reactor is gone, or the key is of another one; on the reactor's own thread also when the queue is
    /// full. `f` is dropped then.
    pub fn post_wait<H: Handler>(
        &self,
        key: Key<H>,
        f: impl FnOnce(&mut H, &mut Table<'_, H>) + Send + 'static,
    ) -> Result<(), PostError> {
        self.enter_post(key.reactor, remote(key, f), true)
    }

    /// Makes the reactor's current or next `turn` return.
    pub fn wake(&self) {
        self.shared.waker.wake();
    }

    /// Drains the reactor: listeners close, connections finish, and `run` returns when all are gone or `grace` has
    /// passed, when the rest is reset; [`Table::at_shutdown`] has the stages. Called again, it can shorten the grace;
    /// `Duration::ZERO` aborts.
    pub fn stop(&self, grace: Duration) {
        let mut queue = self.shared.lock();
        queue.stop = Some(queue.stop.map_or(grace, |g| g.min(grace)));
        drop(queue);
        self.shared.notify();
    }

    fn enter_post(&self, reactor: u32, post: RemotePost, wait: bool) -> Result<(), PostError> {
        if reactor != self.shared.reactor {
            return Err(PostError::Foreign);
        }
        let now = self.shared.clock.now();
        let mut queue = self.shared.lock();
        while !queue.gone && queue.posts >= self.shared.posts_max {
            if !wait || self.shared.home == thread::current().id() {
                return Err(PostError::Full);
            }
            queue.waiting += 1;
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
        }
        if queue.gone {
            return Err(PostError::Gone);
        }
        queue.posts += 1;
        queue.entered += 1;
        queue.entries.push_back((now, Remote::Post(post)));
        drop(queue);
        self.shared.notify();
        Ok(())
    }

    /// Enters what is bounded elsewhere; whether the reactor still is.
    pub(crate) fn enter(&self, entry: Remote) -> bool {
        self.offer(entry).is_ok()
    }

    /// The same; the entry comes back when the reactor is gone.
    pub(crate) fn offer(&self, entry: Remote) -> Result<(), Remote> {
        let now = self.shared.clock.now();
        let mut queue = self.shared.lock();
        if queue.gone {
            drop(queue);
            return Err(entry);
        }
        queue.entered += 1;
        queue.entries.push_back((now, entry));
        drop(queue);
        self.shared.notify();
        Ok(())
    }

    /// Whether both reach the same reactor.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.shared.pending.load(Ordering::Acquire)
    }

    /// Takes what other threads have entered into `batch`, once that is empty; answers with a wish to stop.
    pub(crate) fn collect(&self, batch: &mut VecDeque<(Time, Remote)>) -> Option<Duration> {
        if !self.shared.pending.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut queue = self.shared.lock();
        if batch.is_empty() {
            std::mem::swap(&mut queue.entries, batch);
            queue.posts = 0;
            if queue.waiting > 0 {
                self.shared.room.notify_all();
            }
        } else if !queue.entries.is_empty() {
            self.shared.pending.store(true, Ordering::Release);
        }
        queue.stop.take()
    }

    /// Forgets a wish to stop that came while the reactor stopped, and says how many posts wait.
    pub(crate) fn forget_stop(&self) -> usize {
        let mut queue = self.shared.lock();
        queue.stop = None;
        queue.posts
    }

    /// How many items for a queue were entered and not collected.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn items_for(&self, at: Place) -> usize {
        self.shared.lock().entries.iter().filter(|(_, entry)| entry.is_item_for(at)).count()
    }

    /// Takes holds of a shutdown that were let go, so that nobody waits for the next turn to hear of them.
    /// How many.
    pub(crate) fn collect_let_go(&self, hooks: &mut Hooks) -> u64 {
        let mut queue = self.shared.lock();
        let before = queue.entries.len();
        queue.entries.retain(|(_, entry)| match entry {
            Remote::LetGo(round) => {
                hooks.let_go(*round);
                false
            }
            Remote::Post(_) | Remote::Settle { .. } | Remote::Fetched(_) => true,
            Remote::Release(_) | Remote::Item { .. } => true,
            #[cfg(feature = "async")]
            Remote::Wake(_) => true,
        });
        (before - queue.entries.len()) as u64
    }

    /// How many entries there have ever been.
    pub(crate) fn entered(&self) -> u64 {
        self.shared.lock().entered
    }

    /// The reactor is no more: later posts are refused, waiting ones dropped.
    pub(crate) fn leave(&self) {
        let dropped = {
            let mut queue = self.shared.lock();
            queue.gone = true;
            self.shared.room.notify_all();
            std::mem::take(&mut queue.entries)
        };
        for entry in dropped {
            if contain(|| drop(entry)).is_none() {
                log::error!("task.panicked: a post that nobody will run panicked in its drop");
            }
        }
    }
}
