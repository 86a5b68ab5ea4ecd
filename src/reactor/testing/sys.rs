//! [`SimSys`]: the simulated kernel behind the trait that the reactor calls.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use super::kernel::{Call, Id, Kernel, ProcessId};
use super::socket::{Kind, Owner, bits};
use super::watched::{SimWatched, interest_bits};
use super::work::SimWorkers;
use crate::reactor::Reactor;
use crate::reactor::endpoint::{Address, Endpoint};
use crate::reactor::id::Token;
use crate::reactor::limits::WorkersConfig;
use crate::reactor::sys::{
    Adopted, Clock, Listening, Peer, Presence, Ready, SetupError, SetupParts, Sys, Waker,
};
use crate::reactor::time::Time;
use crate::reactor::workers::Workers;

/// When the simulated worlds begin, in seconds since 1970.
const UNIX_EPOCH_OF_WORLDS: u64 = 1_700_000_000;

/// One process of a [`World`](super::World): a kernel for one reactor.
pub struct SimSys {
    kernel: Rc<RefCell<Kernel>>,
    process: ProcessId,
}

/// A socket of [`SimSys`]. Dropping it closes it, as dropping a descriptor does, and is counted.
pub struct SimSocket {
    kernel: Rc<RefCell<Kernel>>,
    id: Id,
    kind: Kind,
    open: bool,
}

/// A listening socket of [`SimSys`].
pub struct SimListener {
    kernel: Rc<RefCell<Kernel>>,
    id: Id,
    open: bool,
}

impl SimSys {
    pub(super) fn new(kernel: &Rc<RefCell<Kernel>>) -> Self {
        let process = kernel.borrow_mut().new_process();
        Self { kernel: Rc::clone(kernel), process }
    }

    /// This process, for the world's questions about it.
    pub fn id(&self) -> ProcessId {
        self.process
    }

    fn socket(&self, id: Id) -> SimSocket {
        let kind = self.kernel.borrow().socks.get(&id).map_or(Kind::Unix, |sock| sock.kind);
        SimSocket { kernel: Rc::clone(&self.kernel), id, kind, open: true }
    }

    /// Begins a call; `Err` when it has to fail, with what it has to say.
    fn enter(&self, call: Call, errnos: &[Errno]) -> Result<(), Errno> {
        let mut kernel = self.kernel.borrow_mut();
        if !kernel.enter(call) {
            return Ok(());
        }
        let nth = kernel.rng.between(0, errnos.len() - 1);
        Err(errnos[nth])
    }

    /// Begins a call on a connection; when it has to fail, the connection breaks.
    fn enter_on(&self, call: Call, socket: &SimSocket) -> Result<(), Errno> {
        self.enter_at(call, socket.id)
    }

    fn enter_at(&self, call: Call, id: Id) -> Result<(), Errno> {
        let mut kernel = self.kernel.borrow_mut();
        if kernel.enter(call) { Err(kernel.break_now(id)) } else { Ok(()) }
    }
}

impl Sys for SimSys {
    type Socket = SimSocket;
    type Listener = SimListener;
    type Watched = SimWatched;

    fn now(&mut self) -> Time {
        self.kernel.borrow().now
    }

    fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.kernel.borrow().clock);
        Clock::new(move || Time::from_nanos(clock.load(Ordering::Acquire)))
    }

    fn unix_time(&mut self) -> Duration {
        Duration::from_secs(UNIX_EPOCH_OF_WORLDS) + Duration::from_nanos(self.kernel.borrow().now.as_nanos())
    }

    fn poll(&mut self, max_wait: Option<Duration>, mark: &mut dyn FnMut(Token, Ready)) -> io::Result<()> {
        let mut events = Vec::new();
        {
            let kernel = &mut *self.kernel.borrow_mut();
            let interrupted = kernel.enter(Call::Poll);
            kernel.processes[self.process.0].asleep = None;
            if kernel.rng.chance(kernel.faults.poll_break) {
                return Err(Errno::BADF.into());
            }
            if interrupted || kernel.rng.chance(kernel.faults.poll_interrupt) {
                return Ok(());
            }
            kernel.collect(self.process, &mut events);
            if events.is_empty() && max_wait != Some(Duration::ZERO) {
                kernel.sleep(self.process, max_wait);
                if kernel.is_alone(self.process) {
                    kernel.collect(self.process, &mut events);
                }
            }
        }
        for (token, ready) in events {
            mark(token, ready);
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let woken = Arc::clone(&self.kernel.borrow().processes[self.process.0].woken);
        Waker::new(move || woken.store(true, Ordering::Release))
    }

    fn workers(&self, config: WorkersConfig) -> Box<dyn Workers> {
        Box::new(SimWorkers::new(&self.kernel, self.process, &config))
    }

    fn listen(&mut self, at: &Endpoint, token: Token) -> Result<Listening<SimListener>, SetupError> {
        let began = self.now();
        let step = |step| move |e: Errno| SetupError { step, source: e.into() };
        self.enter(Call::Listen, &[Errno::ADDRINUSE, Errno::ACCESS, Errno::NOBUFS]).map_err(step("bind"))?;
        let place = match &at.address {
            Address::TcpName(name, port) if name == "localhost" => Endpoint {
                address: Address::Tcp(([127, 0, 0, 1], *port).into()),
                options: at.options.clone(),
            },
            Address::TcpName(..) => return Err(step("resolve")(Errno::NOENT)),
            Address::Tcp(_) | Address::Unix(_) | Address::Abstract(_) | Address::Fd(_) => at.clone(),
        };
        let mut kernel = self.kernel.borrow_mut();
        let (id, address) = kernel
            .listen(Some(self.process), &place)
            .map_err(|e| step(if e == Errno::ADDRINUSE { "bind" } else { "socket" })(e))?;
        kernel.register(self.process, id, token, bits::IN);
        let parts = SetupParts { bind: kernel.now.since(began), ..SetupParts::default() };
        drop(kernel);
        let listener = SimListener { kernel: Rc::clone(&self.kernel), id, open: true };
        Ok(Listening { listener, at: Endpoint { address, options: at.options.clone() }, parts })
    }

    fn accept(&mut self, listener: &SimListener) -> io::Result<(SimSocket, Peer)> {
        self.enter(Call::Accept, &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM])?;
        let (id, peer) = self.kernel.borrow_mut().accept(self.process, listener.id)?;
        Ok((self.socket(id), peer))
    }

    fn shed(&mut self, listener: &SimListener) -> bool {
        let kernel = &mut *self.kernel.borrow_mut();
        !kernel.enter(Call::Shed) && kernel.shed(self.process, listener.id)
    }

    fn close_listener(&mut self, mut listener: SimListener) {
        listener.open = false;
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.close_listener(listener.id);
    }

    fn connect(&mut self, to: &Endpoint) -> io::Result<(SimSocket, bool)> {
        self.enter(Call::Connect, &[Errno::MFILE, Errno::NETUNREACH, Errno::ADDRNOTAVAIL])?;
        let (id, stands) = self.kernel.borrow_mut().connect(Owner::Process(self.process), to)?;
        Ok((self.socket(id), stands))
    }

    fn adopt(&mut self, fd: OwnedFd) -> io::Result<Adopted<SimSocket>> {
        self.enter(Call::Adopt, &[Errno::BADF])?;
        let kernel = &mut *self.kernel.borrow_mut();
        let id = kernel.adoptable.remove(&fd.as_raw_fd()).ok_or(Errno::INVAL)?;
        let peer = kernel.hand_over(id, Owner::Process(self.process));
        let socket = SimSocket { kernel: Rc::clone(&self.kernel), id, kind: Kind::Unix, open: true };
        Ok(Adopted { socket, peer, reads: true, writes: true })
    }

    fn register(&mut self, socket: &SimSocket, token: Token) -> io::Result<()> {
        self.enter(Call::Register, &[Errno::NOSPC, Errno::NOMEM])?;
        let interest = bits::IN | bits::OUT | bits::RDHUP | bits::PRI;
        self.kernel.borrow_mut().register(self.process, socket.id, token, interest);
        Ok(())
    }

    fn connected(&mut self, socket: &SimSocket) -> io::Result<bool> {
        self.enter_on(Call::Connected, socket)?;
        Ok(self.kernel.borrow_mut().connected(socket.id)?)
    }

    fn take_error(&mut self, socket: &SimSocket) -> Option<io::Error> {
        self.kernel.borrow_mut().socks.get_mut(&socket.id)?.err.take().map(io::Error::from)
    }

    fn read(&mut self, socket: &SimSocket, into: &mut [u8]) -> io::Result<usize> {
        self.enter_on(Call::Read, socket)?;
        Ok(self.kernel.borrow_mut().read(socket.id, into)?)
    }

    fn write(&mut self, socket: &SimSocket, from: &[u8], more: bool) -> io::Result<usize> {
        self.enter_on(Call::Write, socket)?;
        Ok(self.kernel.borrow_mut().write(socket.id, from, more)?)
    }

    fn file_presence(&mut self, file: &File, offset: u64, len: usize) -> Presence {
        self.kernel.borrow_mut().file_presence(file, offset, len)
    }

    fn send_file(&mut self, socket: &SimSocket, file: &File, offset: u64, max: usize) -> io::Result<usize> {
        self.enter_on(Call::SendFile, socket)?;
        self.kernel.borrow_mut().send_file(socket.id, file, offset, max)
    }

    fn shutdown_write(&mut self, socket: &SimSocket) -> io::Result<()> {
        self.enter_on(Call::ShutdownWrite, socket)?;
        Ok(self.kernel.borrow_mut().send_fin(socket.id)?)
    }

    fn unacknowledged(&mut self, socket: &SimSocket) -> Option<u64> {
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        Some(kernel.unacknowledged(socket.id))
    }

    fn short_read_drains(socket: &SimSocket) -> bool {
        socket.kind == Kind::Tcp
    }

    fn close(&mut self, mut socket: SimSocket, abort: bool) {
        socket.open = false;
        let kernel = &mut *self.kernel.borrow_mut();
        kernel.advance(Duration::ZERO);
        kernel.close(socket.id, abort);
    }

    fn watch(&mut self, fd: OwnedFd, token: Token, interest: Ready) -> io::Result<SimWatched> {
        self.enter(Call::Watch, &[Errno::NOSPC, Errno::NOMEM])?;
        SimWatched::new(&self.kernel, self.process, fd, token, interest)
    }

    fn widen(&mut self, watched: &SimWatched, token: Token, interest: Ready) -> io::Result<()> {
        self.enter(Call::Widen, &[Errno::NOMEM])?;
        self.kernel.borrow_mut().reregister(self.process, watched.id, token, interest_bits(interest));
        Ok(())
    }

    fn watched_ready(&mut self, watched: &SimWatched, interest: Ready) -> io::Result<Ready> {
        self.enter(Call::WatchedReady, &[Errno::INTR])?;
        Ok(self.kernel.borrow_mut().watched_ready(watched.id, interest)?)
    }

    fn watched_read(&mut self, watched: &SimWatched, into: &mut [u8]) -> io::Result<usize> {
        self.enter_at(Call::Read, watched.id)?;
        Ok(self.kernel.borrow_mut().read(watched.id, into)?)
    }

    fn watched_write(&mut self, watched: &SimWatched, from: &[u8]) -> io::Result<usize> {
        self.enter_at(Call::Write, watched.id)?;
        Ok(self.kernel.borrow_mut().write(watched.id, from, false)?)
    }

    fn release(&mut self, watched: SimWatched) -> OwnedFd {
        watched.release()
    }

    fn close_watched(&mut self, watched: SimWatched) {
        watched.close();
    }

    fn descriptor_limit(&self) -> Option<u64> {
        self.kernel.borrow().processes[self.process.0].limit
    }
}

impl Drop for SimSys {
    fn drop(&mut self) {
        // While a panic unwinds the kernel may be borrowed; then nobody asks it anything any more.
        if let Ok(mut kernel) = self.kernel.try_borrow_mut() {
            kernel.processes[self.process.0].gone = true;
        }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        if let Ok(mut kernel) = self.kernel.try_borrow_mut() {
            if let Some(Owner::Process(process)) = kernel.socks.get(&self.id).map(|sock| sock.owner) {
                kernel.processes[process.0].dropped += 1;
            }
            kernel.close(self.id, false);
        }
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        if let Ok(mut kernel) = self.kernel.try_borrow_mut() {
            kernel.close_listener(self.id);
        }
    }
}

impl fmt::Debug for SimSys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimSys").field(&self.process.0).finish()
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimSocket").field(&self.id).finish()
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimListener").field(&self.id).finish()
    }
}

impl Reactor<SimSys> {
    /// How many sockets the reactor holds, to be compared with what the kernel says it has open.
    pub fn sockets_held(&self) -> usize {
        self.sockets.iter().flatten().count()
    }
}

#[cfg(test)]
impl super::World {
    /// An urgent byte from a socket of a process, which `Sys` has no call for.
    pub(super) fn mark_for_test(&self, socket: &SimSocket) {
        socket.kernel.borrow_mut().mark(socket.id);
    }
}
