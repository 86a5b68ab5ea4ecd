//! The real kernel: Linux's sockets on a `mio::Poll`. Listeners are made in `listen`.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, SockAddr};

use super::address::{abstract_addr, domain_of, new_socket, to_std};
use super::ahead;
use super::fd;
use super::listen::MioListener;
use super::options::{before_bind, waits_at_close};
use super::pool::Pool;
use super::{Adopted, Clock, Listening, Peer, Presence, Ready, SetupError, Sys, Waker};
use super::{monotonic, since_1970};
use crate::reactor::endpoint::{Address, Endpoint};
use crate::reactor::id::Token;
use crate::reactor::limits::WorkersConfig;
use crate::reactor::time::Time;
use crate::reactor::workers::Workers;

/// How many events one poll takes: enough that a busy turn shares one `epoll_wait` among all its connections.
const EVENTS: usize = 1024;

/// Linux through mio, socket2 and rustix.
pub struct MioSys {
    poll: Poll,
    events: Events,
    waker: Arc<mio::Waker>,
    began: Instant,
    spare: Option<OwnedFd>,
}

/// A socket of [`MioSys`].
#[derive(Debug)]
pub struct MioSocket {
    fd: OwnedFd,
    kind: Kind,
    /// SO_LINGER is set to a time: closing would wait for it, non-blocking or not.
    lingers: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Tcp,
    Unix,
    /// An adopted socket: duplicates of its descriptor may exist, so closing alone would not deregister it.
    AdoptedSocket,
    /// An adopted pipe or terminal: `read` and `write`, no socket calls.
    AdoptedPipe,
}

impl fmt::Debug for MioSys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MioSys").field("poll", &self.poll.as_raw_fd()).finish_non_exhaustive()
    }
}

impl MioSys {
    /// A new poll and its clock.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)` and `eventfd(2)`.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(Token::Wake.pack() as usize))?);
        Ok(Self { poll, events: Events::with_capacity(EVENTS), waker, began: monotonic(), spare: None })
    }

    pub(super) fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd), mio::Token(token.pack() as usize), interest)
    }

    pub(super) fn keep_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = rustix::io::fcntl_dupfd_cloexec(self.poll_fd(), 0).ok();
        }
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        fd::of_poll(&self.poll)
    }
}

impl AsRawFd for MioSys {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl AsFd for MioSys {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll_fd()
    }
}

impl AsFd for MioSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Sys for MioSys {
    type Socket = MioSocket;
    type Listener = MioListener;
    type Watched = OwnedFd;

    fn now(&mut self) -> Time {
        Time::ZERO + monotonic().duration_since(self.began)
    }

    fn clock(&self) -> Clock {
        let began = self.began;
        Clock::new(move || Time::ZERO + monotonic().duration_since(began))
    }

    fn unix_time(&mut self) -> Duration {
        since_1970()
    }

    fn poll(&mut self, max_wait: Option<Duration>, mark: &mut dyn FnMut(Token, Ready)) -> io::Result<()> {
        match self.poll.poll(&mut self.events, max_wait) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let ready = Ready::when(event.is_readable(), Ready::READABLE)
                .or(Ready::when(event.is_writable(), Ready::WRITABLE))
                .or(Ready::when(event.is_read_closed(), Ready::READ_CLOSED))
                .or(Ready::when(event.is_write_closed(), Ready::WRITE_CLOSED))
                .or(Ready::when(event.is_error(), Ready::ERROR))
                .or(Ready::when(event.is_priority(), Ready::PRIORITY));
            mark(Token::unpack(event.token().0 as u64), ready);
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let waker = Arc::clone(&self.waker);
        Waker::new(move || {
            // An eventfd write fails only when its counter is full, and then a wake-up is pending anyway.
            let _ = waker.wake();
        })
    }

    fn workers(&self, config: WorkersConfig) -> Box<dyn Workers> {
        Box::new(Pool::new(&config, self.began, self.waker()))
    }

    fn listen(&mut self, at: &Endpoint, token: Token) -> Result<Listening<MioListener>, SetupError> {
        self.make_listener(at, token)
    }

    fn accept(&mut self, listener: &MioListener) -> io::Result<(MioSocket, Peer)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        if listener.domain == Domain::UNIX {
            let fd = rustix::net::accept_with(&listener.socket, flags)?;
            return Ok((MioSocket { fd, kind: Kind::Unix, lingers: listener.lingers }, Peer::Unix));
        }
        let (fd, from) = rustix::net::acceptfrom_with(&listener.socket, flags)?;
        let peer = from.and_then(to_std).map_or(Peer::Unknown, Peer::Tcp);
        Ok((MioSocket { fd, kind: Kind::Tcp, lingers: listener.lingers }, peer))
    }

    fn shed(&mut self, listener: &MioListener) -> bool {
        drop(self.spare.take());
        let shed = rustix::net::accept_with(&listener.socket, SocketFlags::CLOEXEC).is_ok();
        self.keep_spare();
        shed
    }

    fn close_listener(&mut self, listener: MioListener) {
        // An inherited descriptor has duplicates in other processes, so closing it would not deregister it.
        let _ = self.poll.registry().deregister(&mut SourceFd(&listener.socket.as_raw_fd()));
        drop(listener);
    }

    fn connect(&mut self, to: &Endpoint) -> io::Result<(MioSocket, bool)> {
        let (domain, protocol) = domain_of(&to.address);
        let address = match &to.address {
            Address::Tcp(at) => SockAddr::from(*at),
            Address::Unix(path) => SockAddr::unix(path)?,
            Address::Abstract(name) => abstract_addr(name)?,
            Address::TcpName(..) | Address::Fd(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = new_socket(domain, protocol)?;
        before_bind(&socket, domain, &to.options, false)?;
        let stands = match socket.connect(&address) {
            Ok(()) => true,
            Err(e) if e.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => false,
            // An interrupted connect goes on by itself.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => false,
            Err(e) => return Err(e),
        };
        let kind = if domain == Domain::UNIX { Kind::Unix } else { Kind::Tcp };
        Ok((MioSocket { fd: socket.into(), kind, lingers: waits_at_close(&to.options) }, stands))
    }

    fn adopt(&mut self, fd: OwnedFd) -> io::Result<Adopted<MioSocket>> {
        let kind = match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::Socket if rustix::net::sockopt::socket_type(&fd)? == SocketType::STREAM => {
                Kind::AdoptedSocket
            }
            FileType::Socket => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is no stream"));
            }
            FileType::RegularFile | FileType::Directory => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file cannot be polled"));
            }
            FileType::Symlink
            | FileType::Fifo
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Kind::AdoptedPipe,
        };
        rustix::io::ioctl_fionbio(&fd, true)?;
        let peer = match rustix::net::getpeername(&fd) {
            Ok(Some(at)) => to_std(at).map_or(Peer::Unix, Peer::Tcp),
            Ok(None) | Err(_) => Peer::Unknown,
        };
        let mode = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE;
        let lingers = rustix::net::sockopt::socket_linger(&fd).is_ok_and(|l| l.is_some_and(|d| !d.is_zero()));
        Ok(Adopted {
            socket: MioSocket { fd, kind, lingers },
            peer,
            reads: mode != OFlags::WRONLY,
            writes: mode != OFlags::RDONLY,
        })
    }

    fn register(&mut self, socket: &MioSocket, token: Token) -> io::Result<()> {
        self.add(socket.fd.as_raw_fd(), token, to_poll(Ready::READABLE.or(Ready::WRITABLE)))
    }

    fn connected(&mut self, socket: &MioSocket) -> io::Result<bool> {
        if let Some(e) = self.take_error(socket) {
            return Err(e);
        }
        match rustix::net::getpeername(&socket.fd) {
            Ok(_) => Ok(true),
            Err(Errno::NOTCONN) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn take_error(&mut self, socket: &MioSocket) -> Option<io::Error> {
        if socket.kind == Kind::AdoptedPipe {
            // A pipe has no pending error; what epoll calls one is that nobody reads any more.
            return Some(Errno::PIPE.into());
        }
        match rustix::net::sockopt::socket_error(&socket.fd) {
            Ok(Err(e)) => Some(e.into()),
            Ok(Ok(())) | Err(_) => None,
        }
    }

    fn read(&mut self, socket: &MioSocket, into: &mut [u8]) -> io::Result<usize> {
        match socket.kind {
            Kind::AdoptedPipe => Ok(rustix::io::read(&socket.fd, into)?),
            Kind::Tcp | Kind::Unix | Kind::AdoptedSocket => {
                let (copied, _) = rustix::net::recv(&socket.fd, into, RecvFlags::empty())?;
                Ok(copied)
            }
        }
    }

    fn write(&mut self, socket: &MioSocket, from: &[u8], more: bool) -> io::Result<usize> {
        if socket.kind == Kind::AdoptedPipe {
            return Ok(rustix::io::write(&socket.fd, from)?);
        }
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        Ok(rustix::net::send(&socket.fd, from, flags)?)
    }

    fn file_presence(&mut self, file: &File, offset: u64, len: usize) -> Presence {
        ahead::presence(file, offset, len)
    }

    fn send_file(&mut self, socket: &MioSocket, file: &File, offset: u64, max: usize) -> io::Result<usize> {
        let mut offset = offset;
        Ok(rustix::fs::sendfile(&socket.fd, file, Some(&mut offset), max)?)
    }

    fn shutdown_write(&mut self, socket: &MioSocket) -> io::Result<()> {
        if socket.kind == Kind::AdoptedPipe {
            return Ok(());
        }
        Ok(rustix::net::shutdown(&socket.fd, rustix::net::Shutdown::Write)?)
    }

    fn unacknowledged(&mut self, socket: &MioSocket) -> Option<u64> {
        fd::unacknowledged(&socket.fd)
    }

    fn short_read_drains(socket: &MioSocket) -> bool {
        socket.kind == Kind::Tcp
    }

    fn close(&mut self, socket: MioSocket, abort: bool) {
        if matches!(socket.kind, Kind::AdoptedSocket | Kind::AdoptedPipe) {
            let _ = self.poll.registry().deregister(&mut SourceFd(&socket.fd.as_raw_fd()));
        }
        if abort && socket.kind != Kind::AdoptedPipe {
            let _ = rustix::net::sockopt::set_socket_linger(&socket.fd, Some(Duration::ZERO));
        } else if socket.lingers {
            // Bytes are on their way and are sent behind the close; to wait for them here would stop the loop.
            let _ = rustix::net::sockopt::set_socket_linger(&socket.fd, None);
        }
        if socket.kind == Kind::AdoptedSocket {
            // A duplicate elsewhere would keep the connection open: its end must not depend on the last close.
            let how = if abort { rustix::net::Shutdown::Both } else { rustix::net::Shutdown::Write };
            let _ = rustix::net::shutdown(&socket.fd, how);
        }
        drop(socket);
    }

    fn watch(&mut self, fd: OwnedFd, token: Token, interest: Ready) -> io::Result<OwnedFd> {
        match self.add(fd.as_raw_fd(), token, to_poll(interest)) {
            // epoll_ctl(2): "the target file fd does not support epoll".
            Err(e) if e.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the descriptor cannot be polled: it is a regular file, a directory or a device that is always ready",
            )),
            added => added.map(|()| fd),
        }
    }

    fn widen(&mut self, watched: &OwnedFd, token: Token, interest: Ready) -> io::Result<()> {
        let token = mio::Token(token.pack() as usize);
        self.poll.registry().reregister(&mut SourceFd(&watched.as_raw_fd()), token, to_poll(interest))
    }

    fn watched_ready(&mut self, watched: &OwnedFd, interest: Ready) -> io::Result<Ready> {
        let reads = interest.any(Ready::READABLE);
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN | PollFlags::RDHUP, reads);
        wanted.set(PollFlags::OUT, interest.any(Ready::WRITABLE));
        wanted.set(PollFlags::PRI, interest.any(Ready::PRIORITY));
        let mut asked = [PollFd::new(watched, wanted)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut asked, Some(&at_once))?;
        let found = asked[0].revents();
        let has = |flags| found.intersects(flags);
        let ended = has(PollFlags::HUP | PollFlags::RDHUP);
        // At its end a socket stays readable for ever, so only the count of bytes tells whether any are left. A kind
        // that cannot count them has none to be counted.
        let bytes =
            has(PollFlags::IN) && (!ended || rustix::io::ioctl_fionread(watched).is_ok_and(|n| n > 0));
        Ok(Ready::when(bytes, Ready::READABLE)
            .or(Ready::when(has(PollFlags::OUT), Ready::WRITABLE))
            .or(Ready::when(has(PollFlags::PRI), Ready::PRIORITY))
            .or(Ready::when(ended, Ready::READ_CLOSED))
            .or(Ready::when(has(PollFlags::HUP), Ready::WRITE_CLOSED))
            .or(Ready::when(has(PollFlags::ERR | PollFlags::NVAL), Ready::ERROR)))
    }

    fn watched_read(&mut self, watched: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(watched, into)?)
    }

    fn watched_write(&mut self, watched: &OwnedFd, from: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(watched, from)?)
    }

    fn release(&mut self, watched: OwnedFd) -> OwnedFd {
        // Duplicates may exist, in other processes too, so closing it would not deregister it.
        let _ = self.poll.registry().deregister(&mut SourceFd(&watched.as_raw_fd()));
        watched
    }

    fn descriptor_limit(&self) -> Option<u64> {
        getrlimit(Resource::Nofile).current
    }
}

/// What to register for; urgent data always, which costs nothing where there is none.
fn to_poll(interest: Ready) -> Interest {
    let with = |to: Interest, kind, add| if interest.any(kind) { to.add(add) } else { to };
    let reads = with(Interest::PRIORITY, Ready::READABLE, Interest::READABLE);
    with(reads, Ready::WRITABLE, Interest::WRITABLE)
}

/// Raises the soft limit of descriptors to the hard one, and says what it is then. For programs: a library
/// should leave its process as it found it.
pub fn raise_fd_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok()
    {
        return limit.maximum;
    }
    limit.current
}
