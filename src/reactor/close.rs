//! How connections end, and how a reactor fails: reasons, deadlines, limits, and the classes of the socket family.

use std::error;
use std::fmt;
use std::io;

use super::class::Class;
use super::id::{ConnId, ListenerId};
use super::ledger::Ledger;
use super::sys::Peer;

/// Who ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Both sides finished, or the handler closed.
    Us,
    /// The peer, or the network between.
    Peer,
    /// A deadline or bound of the reactor.
    Reactor,
}

/// The phase that a connection was in when its end was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PhaseName {
    /// Not yet open.
    Connect,
    /// Open.
    Transfer,
    /// Already closing.
    Teardown,
}

/// The deadlines of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Deadline {
    /// The connect took too long.
    Connect,
    /// No bytes for too long.
    Idle,
    /// The peer acknowledged nothing for too long.
    Stall,
    /// The protocol's own deadline, such as that of a request head.
    Protocol,
    /// The grace of a drain.
    Drain,
}

/// How one connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CloseReason {
    /// Who ended it.
    pub by: By,
    /// When.
    pub phase: PhaseName,
    /// The failure, when it was one.
    pub class: Option<&'static Class>,
    /// The system's error number, when it gave one.
    pub errno: Option<i32>,
    /// The deadline that fired, when one did.
    pub deadline: Option<Deadline>,
    /// Bytes that were written and never handed to the kernel.
    pub unsent: u64,
}

impl CloseReason {
    pub(crate) const fn new(by: By, phase: PhaseName) -> Self {
        Self { by, phase, class: None, errno: None, deadline: None, unsent: 0 }
    }

    /// `finished` when all went well, else the failure's class.
    pub fn name(&self) -> &'static str {
        self.class.map_or("finished", |c| c.name)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by={:?} phase={:?}", self.name(), self.by, self.phase)?;
        if let Some(errno) = self.errno {
            write!(f, " errno={errno}")?;
        }
        if let Some(deadline) = self.deadline {
            write!(f, " deadline={deadline:?}")?;
        }
        if self.unsent > 0 {
            write!(f, " unsent={}", self.unsent)?;
        }
        Ok(())
    }
}

/// What `on_close` is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The connection that was.
    pub id: ConnId,
    /// Its peer.
    pub peer: Peer,
    /// The listener that took it; `None` for outbound and adopted ones.
    pub listener: Option<ListenerId>,
    /// How it ended.
    pub reason: CloseReason,
    /// Where its time went.
    pub ledger: Ledger,
}

/// The reactor, or one of its listeners, cannot do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Error {
    /// The call or step that failed: `poll`, `bind`, `listen` …
    pub op: &'static str,
    /// On which endpoint, when there was one.
    pub endpoint: Option<String>,
    /// The class of failure.
    pub class: &'static Class,
    /// What the system said.
    pub source: io::Error,
}

impl Error {
    pub(crate) fn new(op: &'static str, endpoint: Option<String>, source: io::Error) -> Self {
        Self { op, endpoint, class: class_of(&source), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Some(at) => write!(f, "cannot {} {at}: {}", self.op, self.source),
            None => write!(f, "cannot {}: {}", self.op, self.source),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}

macro_rules! classes {
    ($($id:ident $name:literal $retry:literal $cause:literal $remedy:literal;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $cause)]
        pub static $id: Class = Class::new($name, $cause, $remedy, $retry);)*

        /// Every class of the reactor.
        pub static CLASSES: &[&Class] = &[$(&$id),*];
    };
}

classes! {
    TCP_REFUSED "tcp.refused" true "Nothing listens at that address." "Start the server, or check address and port.";
    TCP_RESET "tcp.reset" true "The peer reset the connection." "Look at the peer's log for why it gave up; a retry may do.";
    TCP_TIMED_OUT "tcp.timed_out" true "The peer did not answer within the connect deadline or the kernel's own." "Check routes and firewalls between the two, or allow more time.";
    TCP_UNREACHABLE "tcp.unreachable" true "No route leads to that address." "Check the address, the interface and the routing table.";
    TCP_PEER_VANISHED "tcp.peer_vanished" true "The peer closed while bytes were on their way to it." "Nothing to do here; the client went away early.";
    TCP_STALLED "tcp.stalled" true "The peer acknowledged nothing while bytes waited for it." "The client stopped reading; raise stall_timeout if it is only slow.";
    TCP_IDLE "tcp.idle" true "No byte moved within the idle deadline." "Raise idle_timeout, or send keep-alives.";
    TCP_ABORTED "tcp.aborted" true "The connection was aborted on this side." "See the handler's log for why.";
    TCP_DRAINED "tcp.drained" true "The server was told to stop and its drain deadline passed." "Connect again to the server's successor, or raise drain_timeout.";
    TCP_REFUSED_HERE "tcp.limit" true "The server is at a limit of connections that its operator set." "Try again later, or raise connections_max or per_client_max.";
    SOCKET_IO "socket.io" false "The system reported an error on the socket." "See the error number.";
    SOCKET_FD_EXHAUSTED "socket.fd_exhausted" true "The process or the system has no descriptor left." "Raise the limit (ulimit -n, LimitNOFILE) or close connections.";
    SOCKET_NO_MEMORY "socket.no_memory" true "The system has no memory for the socket." "Free memory or lower the socket buffers.";
    SOCKET_BACKLOG_FULL "socket.backlog_full" true "The accept queue of the Unix socket is full." "Try again; its server may be overloaded or its backlog small.";
    SOCKET_ADDRESS_IN_USE "socket.address_in_use" true "Another socket holds that address." "Stop its holder, or choose another port.";
    SOCKET_ADDRESS_UNAVAILABLE "socket.address_unavailable" false "No interface of this machine has that address." "Use an address that 'ip addr' shows, or 0.0.0.0 or [::] for all.";
    SOCKET_PERMISSION "socket.permission" false "The system does not permit this to the user that runs it." "Use a port from 1024, grant CAP_NET_BIND_SERVICE, or change the directory's permissions.";
    SOCKET_FAMILY_UNSUPPORTED "socket.family_unsupported" false "The system lacks this address family." "Use IPv4, or enable IPv6.";
    SOCKET_NOT_FOUND "socket.not_found" false "The name or the directory of the socket does not exist." "Check the spelling; make the directory first.";
    SOCKET_INVALID "socket.invalid" false "The system does not accept this address or option." "Check the endpoint and its options.";
    LIMIT_RX_FULL "limit.rx_full" false "The receive buffer is full and its handler can make nothing of it." "The peer sends a unit larger than the protocol's bound.";
    TASK_PANICKED "task.panicked" false "A callback panicked; its connection or task was ended." "This is a bug in the handler: see the panic message.";
    TASK_LATE "task.late" true "The loop was too busy to start a task in time." "Find the callback that holds the loop, and move its work to offload or cooperate.";
    TASK_TIMED_OUT "task.timed_out" true "A result did not come within its time." "Allow more time, or find out why it takes so long.";
    TASK_CANCELLED "task.cancelled" true "A task was cancelled before it could end." "Nothing to do if that was meant; else see who stopped the reactor or dropped the completer.";
    TASK_QUEUE_FULL "task.queue_full" true "A bounded queue of work is full." "Try again later, do less, or raise the queue's bound.";
    FILE_TRUNCATED "http.file_truncated" true "The file became shorter while it was sent." "Replace files by renaming, not by rewriting them in place.";
    FILE_LATE "file.late" true "The disk did not give the file's bytes within the stall deadline." "Look at the disk or the file server; raise stall_timeout if it is only slow.";
    FILE_UNREADABLE "file.unreadable" false "The file could not be read while it was sent." "Check the disk and the file's permissions.";
}

/// The class of a system error on a socket.
pub(crate) fn class_of(e: &io::Error) -> &'static Class {
    use rustix::io::Errno as E;
    let Some(errno) = e.raw_os_error() else {
        let missing = e.kind() == io::ErrorKind::NotFound;
        let invalid = e.kind() == io::ErrorKind::InvalidInput;
        return if missing {
            &SOCKET_NOT_FOUND
        } else if invalid {
            &SOCKET_INVALID
        } else {
            &SOCKET_IO
        };
    };
    match E::from_raw_os_error(errno) {
        E::CONNREFUSED => &TCP_REFUSED,
        E::CONNRESET | E::CONNABORTED => &TCP_RESET,
        E::PIPE | E::NOTCONN => &TCP_PEER_VANISHED,
        E::TIMEDOUT => &TCP_TIMED_OUT,
        E::HOSTUNREACH | E::NETUNREACH | E::NETDOWN | E::HOSTDOWN => &TCP_UNREACHABLE,
        E::AGAIN => &SOCKET_BACKLOG_FULL,
        E::MFILE | E::NFILE => &SOCKET_FD_EXHAUSTED,
        E::NOMEM | E::NOBUFS => &SOCKET_NO_MEMORY,
        E::ADDRINUSE | E::EXIST => &SOCKET_ADDRESS_IN_USE,
        E::ADDRNOTAVAIL => &SOCKET_ADDRESS_UNAVAILABLE,
        E::ACCESS | E::PERM | E::ROFS => &SOCKET_PERMISSION,
        E::AFNOSUPPORT => &SOCKET_FAMILY_UNSUPPORTED,
        E::NOENT | E::NOTDIR => &SOCKET_NOT_FOUND,
        E::INVAL | E::BADF | E::NOTSOCK | E::NAMETOOLONG | E::ISDIR => &SOCKET_INVALID,
        _ => &SOCKET_IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_named_once_and_says_what_to_do() {
        let mut names: Vec<_> = CLASSES.iter().map(|c| c.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CLASSES.len());
        for c in CLASSES {
            assert!(c.name.contains('.') && c.cause.ends_with('.') && c.remedy.ends_with('.'), "{c}");
        }
    }
}
