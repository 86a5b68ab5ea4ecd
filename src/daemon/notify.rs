//! The service manager's notification socket (sd_notify(3)): `READY=1`, `STOPPING=1`.
//!
//! Without `NOTIFY_SOCKET` it does nothing, and it never fails: what goes wrong is a debug line.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where to send states, if anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notify {
    to: Option<Vec<u8>>,
}

impl Notify {
    /// As the environment says.
    pub(crate) fn from_environment() -> Self {
        Self { to: std::env::var_os("NOTIFY_SOCKET").map(OsStringExt::into_vec).filter(|to| !to.is_empty()) }
    }

    /// Sends a state. Never blocks.
    pub(crate) fn send(&self, state: &str) {
        let Some(to) = &self.to else { return };
        if let Err(e) = send(to, state.as_bytes()) {
            log::debug!("{state} could not be sent to NOTIFY_SOCKET '{}': {e}", to.escape_ascii());
        }
    }
}

fn send(to: &[u8], state: &[u8]) -> io::Result<()> {
    let address = match to.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(to))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> Vec<u8> {
        let mut buf = [0; 64];
        let n = socket.recv(&mut buf).unwrap();
        buf[..n].to_vec()
    }

    #[test]
    fn a_state_arrives_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Notify { to: Some(path.into_os_string().into_vec()) }.send("READY=1");
        assert_eq!(received(&socket), b"READY=1");

        let name = format!("tidemill-notify-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notify { to: Some(format!("@{name}").into_bytes()) }.send("STOPPING=1");
        assert_eq!(received(&socket), b"STOPPING=1");
    }

    #[test]
    fn nowhere_to_send_is_no_failure() {
        Notify::default().send("READY=1");
        Notify { to: Some(b"/nonexistent/notify".to_vec()) }.send("READY=1");
    }
}
