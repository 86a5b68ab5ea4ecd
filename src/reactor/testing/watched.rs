//! Watched descriptors in the simulated kernel: those of [`World::descriptor`](super::World::descriptor), whose bytes a
//! callback reads and writes itself. And the rule that no watch sleeps through its readiness.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;

use super::kernel::{Id, Kernel, ProcessId};
use super::socket::{Owner, bits};
use super::sys::SimSys;
use crate::reactor::Reactor;
use crate::reactor::id::Token;
use crate::reactor::sys::Ready;

/// A watched descriptor of [`SimSys`]. Dropping it closes it, as dropping a descriptor does, and is counted.
pub struct SimWatched {
    kernel: Rc<RefCell<Kernel>>,
    pub(super) id: Id,
    process: ProcessId,
    /// What [`World::descriptor`](super::World::descriptor) has given for it; `None` once it is closed or given back.
    stand_in: Option<OwnedFd>,
}

impl SimWatched {
    pub(super) fn new(
        kernel: &Rc<RefCell<Kernel>>,
        process: ProcessId,
        fd: OwnedFd,
        token: Token,
        interest: Ready,
    ) -> io::Result<Self> {
        let id = kernel.borrow_mut().watch(process, fd.as_raw_fd(), token, interest)?;
        Ok(Self { kernel: Rc::clone(kernel), id, process, stand_in: Some(fd) })
    }

    pub(super) fn release(mut self) -> OwnedFd {
        let fd = self.stand_in.take().expect("it is open");
        self.kernel.borrow_mut().release(self.process, self.id, fd.as_raw_fd());
        fd
    }

    pub(super) fn close(mut self) {
        self.stand_in = None;
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.close(self.id, false);
    }
}

impl AsFd for SimWatched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stand_in.as_ref().expect("it is open").as_fd()
    }
}

impl Drop for SimWatched {
    fn drop(&mut self) {
        if self.stand_in.is_none() {
            return;
        }
        // While a panic unwinds the kernel may be borrowed; then nobody asks it anything any more.
        if let Ok(mut kernel) = self.kernel.try_borrow_mut() {
            kernel.processes[self.process.0].dropped += 1;
            kernel.close(self.id, false);
        }
    }
}

impl fmt::Debug for SimWatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimWatched").field(&self.id).finish()
    }
}

/// What mio registers for `interest`, and urgent data always.
pub(super) fn interest_bits(interest: Ready) -> u8 {
    let when = |kind, bits| if interest.any(kind) { bits } else { 0 };
    bits::PRI | when(Ready::READABLE, bits::IN | bits::RDHUP) | when(Ready::WRITABLE, bits::OUT)
}

impl Kernel {
    fn watch(&mut self, process: ProcessId, fd: RawFd, token: Token, interest: Ready) -> Result<Id, Errno> {
        // Whatever is no descriptor of this world counts as a file.
        let id = self.adoptable.remove(&fd).ok_or(Errno::INVAL)?;
        self.hand_over(id, Owner::Process(process));
        let p = &mut self.processes[process.0];
        p.sockets -= 1;
        p.watched += 1;
        self.watched.insert(id);
        self.register(process, id, token, interest_bits(interest));
        Ok(id)
    }

    /// The descriptor is its user's again, who can have it adopted or watched.
    fn release(&mut self, process: ProcessId, id: Id, fd: RawFd) {
        self.unregister(process, id);
        self.watched.remove(&id);
        self.processes[process.0].watched -= 1;
        self.adoptable.insert(fd, id);
        if let Some(sock) = self.socks.get_mut(&id) {
            sock.owner = Owner::Queue;
        }
    }

    /// `poll(2)` on one descriptor, without waiting.
    pub(super) fn watched_ready(&mut self, id: Id, interest: Ready) -> Result<Ready, Errno> {
        if self.rng.chance(self.faults.interrupt) {
            return Err(Errno::INTR);
        }
        let mask = self.mask(id);
        let ready = self.of_interest(id, mask, interest);
        self.say(|| format!("{id} is asked for {interest:?}: {ready:?}"));
        if let Some(sock) = self.socks.get_mut(&id) {
            sock.may_read |= ready.any(Ready::READABLE.or(Ready::READ_CLOSED));
            sock.may_write |= ready.any(Ready::WRITABLE.or(Ready::ERROR));
        }
        Ok(ready)
    }

    fn of_interest(&self, id: Id, mask: u8, interest: Ready) -> Ready {
        let reads = interest.any(Ready::READABLE);
        let has = |bit| mask & bit != 0;
        let ended = has(bits::HUP) || (has(bits::RDHUP) && reads);
        let left = self.socks.get(&id).is_some_and(|sock| !sock.rx.arrived.is_empty());
        let asked = Ready::when(has(bits::IN) && (!ended || left), Ready::READABLE)
            .or(Ready::when(has(bits::OUT), Ready::WRITABLE))
            .or(Ready::when(has(bits::PRI), Ready::PRIORITY));
        asked
            .and(interest)
            .or(Ready::when(ended, Ready::READ_CLOSED))
            .or(Ready::when(has(bits::HUP), Ready::WRITE_CLOSED))
            .or(Ready::when(has(bits::ERR), Ready::ERROR))
    }
}

impl Reactor<SimSys> {
    /// Asserts that no watch sleeps through readiness: one whose descriptor has something to tell is queued, or an event
    /// is on its way to it. [`Reactor::check`] cannot know the latter.
    ///
    /// # Panics
    /// When one does.
    pub fn check_watches(&self) {
        for (slot, interest, is_news) in self.core.watches.sleeping() {
            let watched = self.watched[slot as usize].as_ref().expect("a watch has its descriptor");
            let kernel = watched.kernel.borrow();
            let ready = kernel.of_interest(watched.id, kernel.state(watched.id), interest);
            let event = kernel.has_event(watched.process, watched.id);
            assert!(event || !is_news(ready), "watch {slot} sleeps while {ready:?}, wants {interest:?}");
        }
    }
}
