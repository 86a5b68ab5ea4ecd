//! Watches: any descriptor that can be polled, with a callback on a handler. For what is no stream of bytes: an eventfd,
//! a timerfd, a child's pidfd, a descriptor whose reading is its user's own affair.
//!
//! Owns which watches there are, what each wants to hear of and has heard of its ends. It reads nothing by itself, and
//! an event never calls anybody: it queues its watch, and the kernel is asked before the callback, so that stale and
//! spurious events end here, and after it, so that what was left is told again in the next turn.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use slab::Slab;

use super::core::Core;
use super::id::{Token, WatchId};
use super::service::{Bound, contain};
use super::slow::Callback;
use super::sys::{Ready, Sys};
use super::{Error, Handler, Key, Reactor, Table};

mod source;

use source::Open;
pub use source::Source;

/// What an interest can name.
const KINDS: Ready = Ready::READABLE.or(Ready::WRITABLE).or(Ready::PRIORITY);

/// What is told to any interest, and once, because it stays.
const ENDS: Ready = Ready::READ_CLOSED.or(Ready::WRITE_CLOSED).or(Ready::ERROR);

/// A watch's callback, bound to the type of its handler.
type Call = Box<dyn FnMut(&mut dyn Any, &mut Core, &mut Source<'_>)>;

struct Watch {
    serial: u32,
    service: u16,
    interest: Ready,
    /// The kinds that its descriptor is registered for: all that it ever wanted to hear of. To be registered for more
    /// would wake the loop for nothing, as an eventfd that is read becomes writable; to be registered for less again
    /// would cost a system call for each change of the interest.
    registered: Ready,
    /// Ends that the callback has heard of and that have lasted since.
    told: Ready,
    /// It is in the queue.
    queued: bool,
    /// It is to be closed when the turn reaps, and no longer called.
    ended: bool,
    /// `None` while it runs.
    call: Option<Call>,
}

impl Watch {
    /// Notes what the kernel says; whether the callback has to hear of it.
    fn learn(&mut self, ready: Ready) -> bool {
        // An end that went away is news when it comes back: a FIFO can have another writer.
        self.told = self.told.and(ends(ready));
        is_news(ready, self.told)
    }
}

/// Whether there is something to be told beside the ends that were.
fn is_news(ready: Ready, told: Ready) -> bool {
    !level(ready).is_none() || !ends(ready).without(told).is_none()
}

/// What lasts until somebody acts on it, and is told as long as it does. Writing that can only fail is an end.
fn level(ready: Ready) -> Ready {
    let writes = Ready::when(!ready.any(Ready::ERROR.or(Ready::WRITE_CLOSED)), Ready::WRITABLE);
    ready.and(Ready::READABLE.or(Ready::PRIORITY).or(writes))
}

/// The ends that are reached: a stream's only when no bytes are left before it.
fn ends(ready: Ready) -> Ready {
    ready.and(ENDS).without(Ready::when(ready.any(Ready::READABLE), Ready::READ_CLOSED))
}

/// The watches of a reactor, without their descriptors.
pub(crate) struct Watches {
    entries: Slab<Watch>,
    /// Those whose descriptor the kernel is to be asked about; entries of those that are gone are skipped.
    queue: VecDeque<WatchId>,
    /// Those that ended, until the turn reaps.
    reaping: Vec<u32>,
    next_serial: u32,
}

impl Watches {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), queue: VecDeque::new(), reaping: Vec::new(), next_serial: 1 }
    }

    /// Whether work waits that needs no event.
    pub(crate) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.reaping.is_empty()
    }

    /// An event came.
    pub(crate) fn mark(&mut self, id: WatchId) {
        if self.find(id).is_some_and(|w| !w.interest.is_none()) {
            self.enqueue(id.slot);
        }
    }

    /// The watch `id`, if it has not ended.
    fn find(&mut self, id: WatchId) -> Option<&mut Watch> {
        self.entries.get_mut(id.slot as usize).filter(|w| w.serial == id.serial && !w.ended)
    }

    fn enqueue(&mut self, slot: u32) {
        if let Some(watch) = self.entries.get_mut(slot as usize).filter(|w| !w.queued) {
            watch.queued = true;
            self.queue.push_back(WatchId { slot, serial: watch.serial });
        }
    }

    fn set_interest(&mut self, id: WatchId, interest: Ready) -> bool {
        let Some(watch) = self.find(id) else { return false };
        let interest = interest.and(KINDS);
        if !interest.without(watch.interest).is_none() {
            // Whoever begins to read or write has to hear of an end that was told to another purpose.
            watch.told = Ready::NONE;
        }
        watch.interest = interest;
        if !interest.is_none() {
            // Edges of what nobody wanted to hear of are gone.
            self.enqueue(id.slot);
        }
        true
    }

    fn end(&mut self, id: WatchId) -> bool {
        let Some(watch) = self.find(id) else { return false };
        watch.ended = true;
        self.reaping.push(id.slot);
        true
    }

    fn remove(&mut self, slot: u32) -> Option<Watch> {
        self.entries.try_remove(slot as usize)
    }

    /// The next that is queued; `Some(None)` for an entry whose watch is gone.
    fn next(&mut self) -> Option<Option<u32>> {
        let id = self.queue.pop_front()?;
        let watch = self.entries.get_mut(id.slot as usize).filter(|w| w.serial == id.serial);
        Some(watch.map(|watch| {
            watch.queued = false;
            id.slot
        }))
    }

    /// Asserts that the queue and the list of the ended hold exactly what the entries say.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self, is_open: impl Fn(u32) -> bool) {
        for (slot, watch) in &self.entries {
            let slot = slot as u32;
            assert!(is_open(slot), "watch {slot} has no descriptor");
            assert!(watch.call.is_some(), "watch {slot} has lost its callback");
            assert!(watch.interest.without(KINDS).is_none(), "watch {slot} wants what cannot be wanted");
            let registered = watch.interest.without(watch.registered).is_none();
            assert!(
                registered || watch.queued || watch.ended,
                "watch {slot} is not registered for its interest"
            );
            assert!(watch.told.without(ENDS).is_none(), "watch {slot} was told what is no end");
            let id = WatchId { slot, serial: watch.serial };
            let queued = self.queue.iter().filter(|other| **other == id).count();
            assert_eq!(queued, usize::from(watch.queued), "watch {slot} in the queue");
            let ended = self.reaping.iter().filter(|other| **other == slot).count();
            assert_eq!(ended, usize::from(watch.ended), "watch {slot} ended");
        }
        let known = |slot: &u32| self.entries.contains(*slot as usize);
        assert!(self.reaping.iter().all(known), "a watch that is gone is listed");
    }

    /// The watches that would sleep through readiness: slot, and whether the kernel's word would make a callback.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn sleeping(&self) -> impl Iterator<Item = (u32, Ready, impl Fn(Ready) -> bool)> {
        let asleep = self.entries.iter().filter(|(_, w)| !w.queued && !w.ended && !w.interest.is_none());
        asleep.map(|(slot, w)| {
            let told = w.told;
            (slot as u32, w.interest, move |ready| is_news(ready, told))
        })
    }
}

impl<S: Sys> Reactor<S> {
    /// Watches a descriptor of any kind that can be polled: calls `f` with the handler whenever it is ready for
    /// `interest` (READABLE, WRITABLE, PRIORITY, or several). The descriptor's flags are not touched.
    ///
    /// **Level-triggered.** The callback comes once a turn, as long as the descriptor is ready: it need not read to the
    /// end, and what it leaves is told again. A callback that neither acts on what it is told, nor closes, nor changes
    /// the interest is thus called in every turn, as with `poll(2)`. A pidfd, for one, stays readable for ever.
    ///
    /// **Ends.** Hang-ups and errors are told to every interest but an empty one, for which no callback comes at all.
    /// They stay and cannot be acted on, so they are told **once**, READ_CLOSED only after the last byte; then the watch
    /// sleeps until something else happens, an end goes away and comes again, or the interest gains a kind. To be
    /// writable on a descriptor with an error or without a reader is no readiness but such an end. Kinds that cannot
    /// count their bytes (FIONREAD) are read to the end by [`Source::read`].
    ///
    /// **Blocking descriptors** can be watched: the kernel is asked immediately before each call, so one read after
    /// READABLE does not wait, unless another process reads from the same end.
    ///
    /// A panic in `f` is contained, logged as `task.panicked`, and ends this watch. A drain does not wait for watches.
    /// They last until they are closed or the reactor is dropped.
    ///
    /// # Errors
    /// When it cannot be polled (a regular file) or is watched already. The descriptor is closed then.
    ///
    /// # Panics
    /// When the key is of another reactor.
    pub fn watch<H: Handler>(
        &mut self,
        key: Key<H>,
        fd: impl Into<OwnedFd>,
        interest: Ready,
        mut f: impl FnMut(&mut H, &mut Source<'_>, &mut Table<'_, H>) + 'static,
    ) -> Result<WatchId, Error> {
        self.with(key, |_, _| {});
        let call: Call = Box::new(move |service, core, source| {
            if let Some(bound) = service.downcast_mut::<Bound<H>>() {
                let (handler, mut table) = bound.table(core);
                f(handler, source, &mut table);
            }
        });
        let watches = &mut self.core.watches;
        let id = WatchId { slot: watches.entries.vacant_key() as u32, serial: watches.next_serial };
        let interest = interest.and(KINDS);
        let watched = self
            .sys
            .watch(fd.into(), Token::Watch(id), interest)
            .map_err(|e| Error::new("watch", None, e))?;
        watches.next_serial = id.serial.wrapping_add(2);
        watches.entries.insert(Watch {
            serial: id.serial,
            service: key.index,
            interest,
            registered: interest,
            told: Ready::NONE,
            queued: false,
            ended: false,
            call: Some(call),
        });
        let at = id.slot as usize;
        if self.watched.len() <= at {
            self.watched.resize_with(at + 1, || None);
        }
        self.watched[at] = Some(watched);
        Ok(id)
    }

    /// Ends a watch and gives its descriptor back. `None` when it had ended.
    pub fn unwatch(&mut self, id: WatchId) -> Option<OwnedFd> {
        self.core.watches.find(id)?;
        let watch = self.core.watches.remove(id.slot)?;
        let watched = self.watched.get_mut(id.slot as usize).and_then(Option::take);
        // Before the callback is dropped: the slot is free, and nothing of the old watch may be left in it.
        let fd = watched.map(|watched| self.sys.release(watched));
        drop_watch(id, watch);
        fd
    }

    /// Drops every callback, since the reactor is dropped.
    pub(crate) fn drop_watches(&mut self) {
        for (slot, watch) in std::mem::take(&mut self.core.watches.entries) {
            drop_watch(WatchId { slot: slot as u32, serial: watch.serial }, watch);
        }
    }

    /// How many descriptors are watched.
    pub fn watches(&self) -> usize {
        self.core.watches.entries.len()
    }

    /// Calls those that are queued at entry and ready, each once.
    pub(crate) fn run_watches(&mut self) {
        for _ in 0..self.core.watches.queue.len() {
            match self.core.watches.next() {
                Some(Some(slot)) => self.run_watch(slot),
                Some(None) => {}
                None => break,
            }
        }
    }

    fn run_watch(&mut self, slot: u32) {
        let Some(ready) = self.ask(slot) else { return };
        let Some(watch) = self.core.watches.entries.get_mut(slot as usize) else { return };
        let (id, interest) = (WatchId { slot, serial: watch.serial }, watch.interest);
        let service = watch.service;
        let (Some(mut call), Some(watched)) = (watch.call.take(), self.watched[slot as usize].as_ref())
        else {
            return;
        };
        watch.told = watch.told.or(ends(ready));
        let sample = self.core.account.begin(Callback::Watch, service, None, || self.sys.now());
        let at_end = Ready::when(ready.any(Ready::READ_CLOSED), Ready::READABLE);
        let ready = ready.or(at_end.and(interest));
        let mut open = Open { sys: &mut self.sys, watched };
        let mut source = Source::new(id, ready, interest, &mut open);
        // The callback and the core live outside the closure: a panic leaves them whole.
        let (services, core) = (&mut self.services, &mut self.core);
        let ok = contain(|| {
            if let Some(service) = services.get_mut(service as usize) {
                call(service.as_any(), core, &mut source);
            }
        });
        let (again, closed, wish) = (source.again, source.closed, source.wish);
        self.core.account.end(sample, || self.sys.now());
        if let Some(watch) = self.core.watches.entries.get_mut(slot as usize) {
            watch.call = Some(call);
            watch.told = watch.told.without(again);
        }
        if ok.is_none() {
            log::error!("task.panicked: the callback of watch {id} panicked; it was ended");
        }
        if let Some(interest) = wish {
            self.core.watches.set_interest(id, interest);
        }
        if closed || ok.is_none() {
            self.core.watches.end(id);
        }
        if self.ask(slot).is_some() {
            self.core.watches.enqueue(slot);
        }
    }

    /// What the descriptor is ready for, if its callback has to hear of it.
    fn ask(&mut self, slot: u32) -> Option<Ready> {
        let watch = self.core.watches.entries.get_mut(slot as usize)?;
        let watched = self.watched.get(slot as usize)?.as_ref()?;
        if watch.ended || watch.interest.is_none() {
            return None;
        }
        let mut widened = Ok(());
        if !watch.interest.without(watch.registered).is_none() {
            let all = watch.registered.or(watch.interest);
            let token = Token::Watch(WatchId { slot, serial: watch.serial });
            // Before the kernel is asked: what comes in between makes an event.
            widened = self.sys.widen(watched, token, all);
            if widened.is_ok() {
                watch.registered = all;
            }
        }
        let ready = match widened.and_then(|()| self.sys.watched_ready(watched, watch.interest)) {
            Ok(ready) => ready,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                self.core.watches.enqueue(slot);
                return None;
            }
            Err(e) => {
                log::debug!("watch {} cannot be polled: {e}", WatchId { slot, serial: watch.serial });
                Ready::ERROR
            }
        };
        watch.learn(ready).then_some(ready)
    }

    /// Closes the descriptors of those that ended.
    pub(crate) fn reap_watches(&mut self) {
        for slot in std::mem::take(&mut self.core.watches.reaping) {
            if let Some(watched) = self.watched.get_mut(slot as usize).and_then(Option::take) {
                self.sys.close_watched(watched);
            }
            let Some(watch) = self.core.watches.remove(slot) else { continue };
            drop_watch(WatchId { slot, serial: watch.serial }, watch);
        }
    }
}

/// What a callback holds is the embedder's, and so is what its drop does.
fn drop_watch(id: WatchId, watch: Watch) {
    if contain(move || drop(watch)).is_none() {
        log::error!("task.panicked: the callback of watch {id} panicked when it was dropped");
    }
}

impl<H: Handler> Table<'_, H> {
    /// Ends a watch, of any service: its callback does not come again, and its descriptor is closed at the end of the
    /// turn. Whether it had not ended before.
    pub fn unwatch(&mut self, id: WatchId) -> bool {
        self.core.watches.end(id)
    }

    /// From now on a watch, of any service, hears of `interest`: READABLE, WRITABLE, PRIORITY, several of them, or
    /// nothing at all. What its descriptor is ready for already is told in the next turn at the latest. Whether it has
    /// not ended.
    pub fn set_interest(&mut self, id: WatchId, interest: Ready) -> bool {
        self.core.watches.set_interest(id, interest)
    }
}
