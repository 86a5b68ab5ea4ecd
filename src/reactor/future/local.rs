//! Where futures find their reactor: a cell of the thread that holds the core while tasks are polled, and for each
//! reactor of the thread a list of who was woken and of what was dropped outside a poll.
//!
//! It is the only place with thread-local state, and it runs nobody's code while the core is out of its cell.

use std::cell::Cell;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;

use super::state::Leftover;
use crate::reactor::core::Core;
use crate::reactor::handle::{Handle, Remote};
use crate::reactor::id::TaskId;

/// What a reactor of this thread is told by those who cannot reach its core.
struct Home {
    tag: u64,
    woken: Vec<TaskId>,
    orphans: Vec<Leftover>,
}

struct Local {
    /// The core of the reactor whose tasks are polled now; taken by a leaf for the moment in which it needs it.
    core: Cell<Option<Box<Core>>>,
    /// Whose it is; 0 while no task is polled.
    tag: Cell<u64>,
    homes: Cell<Vec<Home>>,
}

thread_local! {
    static LOCAL: Local =
        const { Local { core: Cell::new(None), tag: Cell::new(0), homes: Cell::new(Vec::new()) } };
}

/// The next tag: no two reactors of a process have the same, so that nothing of one is ever taken for the other's.
static TAGS: AtomicU64 = AtomicU64::new(1);

/// Puts the core back into its cell, also when a panic passes.
struct Taken<'a> {
    cell: &'a Cell<Option<Box<Core>>>,
    core: Option<Box<Core>>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            self.cell.set(Some(core));
        }
    }
}

/// The tag of the reactor whose tasks this thread polls now; 0 when it polls none.
pub(super) fn tag() -> u64 {
    LOCAL.try_with(|local| local.tag.get()).unwrap_or(0)
}

/// Calls `f` with the core of the reactor `tag`. `None`, and `f` is not called, where this thread does not poll its
/// tasks right now. `f` runs no code of anybody else: no waker, no drop, no closure.
pub(super) fn with<T>(tag: u64, f: impl FnOnce(&mut Core) -> T) -> Option<T> {
    let found = LOCAL.try_with(|local| {
        if local.tag.get() != tag {
            return None;
        }
        let mut taken = Taken { cell: &local.core, core: local.core.take() };
        taken.core.as_deref_mut().map(f)
    });
    found.ok().flatten()
}

/// The same with whichever reactor is polling.
pub(super) fn with_any<T>(f: impl FnOnce(&mut Core) -> T) -> Option<T> {
    with(tag(), f)
}

/// Gives something back to the reactor `tag`: at once within its polls, else through its list of orphans. When it is
/// gone there is nobody to give it to.
pub(super) fn give_back(tag: u64, what: Leftover) {
    if with(tag, |core| core.take_back(what)).is_none() {
        let _ = at_home(tag, |home| home.orphans.push(what));
    }
}

/// Does `f` to the lists of a reactor of this thread; `None` when it is not one.
fn at_home<T>(tag: u64, f: impl FnOnce(&mut Home) -> T) -> Option<T> {
    let done = LOCAL.try_with(|local| {
        let mut homes = local.homes.take();
        let done = homes.iter_mut().find(|home| home.tag == tag).map(f);
        local.homes.set(homes);
        done
    });
    done.ok().flatten()
}

/// Enters a new reactor of this thread, and gives it its tag.
pub(super) fn enter() -> u64 {
    let tag = TAGS.fetch_add(1, Ordering::Relaxed);
    let _ = LOCAL.try_with(|local| {
        let mut homes = local.homes.take();
        homes.push(Home { tag, woken: Vec::new(), orphans: Vec::new() });
        local.homes.set(homes);
    });
    tag
}

/// A reactor is no more: whoever wakes or gives back finds nobody.
pub(super) fn leave(tag: u64) {
    let _ = LOCAL.try_with(|local| {
        let mut homes = local.homes.take();
        homes.retain(|home| home.tag != tag);
        local.homes.set(homes);
    });
}

/// Whether the lists of a reactor hold anything.
pub(super) fn is_pending(tag: u64) -> bool {
    at_home(tag, |home| !home.woken.is_empty() || !home.orphans.is_empty()).unwrap_or(false)
}

/// Exchanges the list of who was woken for `empty`.
pub(super) fn collect_woken(tag: u64, empty: &mut Vec<TaskId>) {
    let _ = at_home(tag, |home| mem::swap(&mut home.woken, empty));
}

/// The next of what was dropped outside a poll.
pub(super) fn next_orphan(tag: u64) -> Option<Leftover> {
    at_home(tag, |home| home.orphans.pop()).flatten()
}

/// How many wait there.
pub(super) fn orphans(tag: u64) -> usize {
    at_home(tag, |home| home.orphans.len()).unwrap_or(0)
}

/// The core in the cell of the thread, for as long as this lives; then it is back in its reactor, panic or not.
pub(super) struct Batch<'a> {
    home: &'a mut Box<Core>,
    /// What was in the cell before: a reactor can be run within a task of another.
    before: Option<(Option<Box<Core>>, u64)>,
}

impl<'a> Batch<'a> {
    /// Moves the core out of `home`, where `spare` stays for it.
    pub(super) fn begin(home: &'a mut Box<Core>, spare: Box<Core>) -> Self {
        let tag = home.futures.tag;
        let core = mem::replace(home, spare);
        let before = LOCAL.with(|local| (local.core.replace(Some(core)), local.tag.replace(tag)));
        Self { home, before: Some(before) }
    }

    /// Puts the core back, and gives the spare one back.
    pub(super) fn end(mut self) -> Option<Box<Core>> {
        self.restore()
    }

    fn restore(&mut self) -> Option<Box<Core>> {
        let (core, tag) = self.before.take()?;
        let core = LOCAL.with(|local| {
            local.tag.set(tag);
            local.core.replace(core)
        })?;
        Some(mem::replace(self.home, core))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        drop(self.restore());
    }
}

/// Wakes one task, from any thread. It outlives its task and its reactor harmlessly.
pub(super) struct Signal {
    tag: u64,
    task: TaskId,
    handle: Handle,
    /// It was woken and has not been polled since.
    queued: AtomicBool,
}

impl Signal {
    /// Of a task that is about to be polled.
    pub(super) fn new(core: &Core, task: TaskId) -> Arc<Self> {
        let (tag, handle) = (core.futures.tag, core.handle.clone());
        Arc::new(Self { tag, task, handle, queued: AtomicBool::new(true) })
    }

    /// The task is about to be polled: it can be woken anew. What was written before a wake is seen by this poll.
    pub(super) fn clear(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if at_home(self.tag, |home| home.woken.push(self.task)).is_none() {
            self.handle.enter(Remote::Wake(self.task));
        }
    }
}
