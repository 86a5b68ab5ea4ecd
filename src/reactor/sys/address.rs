//! Addresses as sockets know them: which domain, how a Unix path is bound, when its file is stale.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::net::SocketAddrAny;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::reactor::endpoint::Address;

/// Binds to an address. The file of a Unix socket that nobody listens on any more is replaced; the path of the new one
/// is told with its device and inode.
pub(super) fn bind(socket: &Socket, at: &Address) -> io::Result<Option<(PathBuf, u64, u64)>> {
    match at {
        Address::Tcp(addr) => socket.bind(&(*addr).into()).map(|()| None),
        Address::Abstract(name) => socket.bind(&abstract_addr(name)?).map(|()| None),
        Address::Unix(path) => {
            let addr = SockAddr::unix(path)?;
            match socket.bind(&addr) {
                Err(e) if e.kind() == io::ErrorKind::AddrInUse && is_stale(path, &addr)? => {
                    rustix::fs::unlink(path)?;
                    socket.bind(&addr)?;
                }
                other => other?,
            }
            let s = rustix::fs::lstat(path)?;
            Ok(Some((path.clone(), s.st_dev, s.st_ino)))
        }
        Address::TcpName(..) | Address::Fd(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

pub(super) fn domain_of(at: &Address) -> (Domain, Option<Protocol>) {
    match at {
        Address::Tcp(SocketAddr::V4(_)) => (Domain::IPV4, Some(Protocol::TCP)),
        Address::Tcp(SocketAddr::V6(_)) => (Domain::IPV6, Some(Protocol::TCP)),
        Address::TcpName(..) | Address::Unix(_) | Address::Abstract(_) | Address::Fd(_) => {
            (Domain::UNIX, None)
        }
    }
}

pub(super) fn new_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    // Close-on-exec and non-blocking from birth: no window in which a fork could inherit it.
    Socket::new(domain, Type::STREAM.nonblocking().cloexec(), protocol)
}

pub(super) fn abstract_addr(name: &[u8]) -> io::Result<SockAddr> {
    let mut path = vec![0];
    path.extend_from_slice(name);
    SockAddr::unix(std::ffi::OsStr::from_bytes(&path))
}

/// Whether the path is a Unix socket that nobody listens on any more.
fn is_stale(path: &std::path::Path, addr: &SockAddr) -> io::Result<bool> {
    let found = rustix::fs::lstat(path)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Ok(false);
    }
    let probe = new_socket(Domain::UNIX, None)?;
    Ok(probe.connect(addr).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused))
}

pub(super) fn to_std(at: SocketAddrAny) -> Option<SocketAddr> {
    if let Ok(v4) = SocketAddrV4::try_from(at.clone()) {
        return Some(v4.into());
    }
    SocketAddrV6::try_from(at).ok().map(SocketAddr::from)
}
