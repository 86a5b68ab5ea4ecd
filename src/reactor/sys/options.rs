//! Socket options: set from an endpoint in one place, for listeners and for outbound connections.

use std::io;

use rustix::fs::Mode;
use socket2::{Domain, Socket, TcpKeepalive};

use crate::reactor::endpoint::SocketOptions;

/// Whether `close(2)` would wait, even on a non-blocking socket.
pub(super) fn waits_at_close(o: &SocketOptions) -> bool {
    o.linger.is_some_and(|d| !d.is_zero())
}

/// Sets what has to be set before `bind` or `connect`.
pub(super) fn before_bind(
    socket: &Socket,
    domain: Domain,
    o: &SocketOptions,
    listens: bool,
) -> io::Result<()> {
    if domain == Domain::UNIX {
        if let (Some(mode), true) = (o.mode, listens) {
            // The kernel creates the file with this mode less the umask: never wider than asked, at no moment.
            rustix::fs::fchmod(socket, Mode::from_bits_truncate(mode))?;
        }
    } else {
        if listens {
            socket.set_reuse_address(o.reuse_address)?;
        }
        if domain == Domain::IPV6 {
            socket.set_only_v6(o.v6only)?;
        }
    }
    if o.reuse_port {
        socket.set_reuse_port(true)?;
    }
    of_connections(socket, domain, o)
}

/// Sets what concerns connections; those that a listener accepts inherit it.
pub(super) fn of_connections(socket: &Socket, domain: Domain, o: &SocketOptions) -> io::Result<()> {
    if domain != Domain::UNIX {
        socket.set_tcp_nodelay(o.nodelay)?;
        if let Some(k) = o.keepalive {
            let times = TcpKeepalive::new().with_time(k.idle).with_interval(k.interval).with_retries(k.count);
            socket.set_tcp_keepalive(&times)?;
        }
        if o.user_timeout.is_some() {
            socket.set_tcp_user_timeout(o.user_timeout)?;
        }
    }
    if o.linger.is_some() {
        socket.set_linger(o.linger)?;
    }
    if let Some(bytes) = o.send_buffer {
        socket.set_send_buffer_size(bytes as usize)?;
    }
    if let Some(bytes) = o.recv_buffer {
        socket.set_recv_buffer_size(bytes as usize)?;
    }
    Ok(())
}
