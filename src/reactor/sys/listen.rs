//! Making a listener on Linux: socket, options, bind, listen, register, each timed; and what becomes of a Unix socket's
//! file, before and after.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use mio::Interest;
use socket2::{Domain, Socket};

use super::address::{self, domain_of, new_socket};
use super::fd;
use super::linux::MioSys;
use super::options::{before_bind, of_connections, waits_at_close};
use super::{Listening, SetupError, SetupParts, Sys};
use crate::reactor::endpoint::{Address, Endpoint};
use crate::reactor::id::Token;
use crate::reactor::time::Time;

/// A listening socket of [`MioSys`].
#[derive(Debug)]
pub struct MioListener {
    pub(super) socket: Socket,
    pub(super) domain: Domain,
    /// What it accepts inherits an SO_LINGER with a time.
    pub(super) lingers: bool,
    /// The socket's file with its device and inode: it is unlinked only while it is still this one.
    file: Option<(PathBuf, u64, u64)>,
}

impl AsFd for MioListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for MioListener {
    fn drop(&mut self) {
        if let Some((path, dev, ino)) = self.file.take()
            && rustix::fs::lstat(&path).is_ok_and(|s| (s.st_dev, s.st_ino) == (dev, ino))
        {
            let _ = rustix::fs::unlink(&path);
        }
    }
}

impl MioSys {
    /// Resolves and tries each address in turn; the first error is told when none will do.
    pub(super) fn make_listener(
        &mut self,
        at: &Endpoint,
        token: Token,
    ) -> Result<Listening<MioListener>, SetupError> {
        let start = self.now();
        let places = at.resolve().map_err(|source| SetupError { step: "resolve", source })?;
        let parts = SetupParts { resolve: self.now().since(start), ..SetupParts::default() };
        let mut failed = None;
        for place in &places {
            match self.listen_at(place, token, parts) {
                Ok(listening) => return Ok(listening),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        Err(failed.unwrap_or(SetupError { step: "resolve", source: io::ErrorKind::NotFound.into() }))
    }

    fn listen_at(
        &mut self,
        at: &Endpoint,
        token: Token,
        parts: SetupParts,
    ) -> Result<Listening<MioListener>, SetupError> {
        let mut steps = Steps { parts, last: self.now() };
        let step = |step| move |source: io::Error| SetupError { step, source };
        if let Address::Fd(fd) = at.address {
            let socket = Socket::from(fd::inherited_listener(fd).map_err(step("socket"))?);
            socket.set_nonblocking(true).map_err(step("socket"))?;
            steps.parts.socket = steps.lap(self);
            let domain = socket.domain().map_err(step("socket"))?;
            of_connections(&socket, domain, &at.options).map_err(step("options"))?;
            // The process that made it may have set SO_LINGER, which what it accepts inherits.
            let lingers = socket.linger().is_ok_and(|l| l.is_some_and(|d| !d.is_zero()));
            return self.register_listener(
                MioListener { socket, domain, lingers, file: None },
                at,
                token,
                steps,
            );
        }
        let (domain, protocol) = domain_of(&at.address);
        let socket = new_socket(domain, protocol).map_err(step("socket"))?;
        steps.parts.socket = steps.lap(self);
        before_bind(&socket, domain, &at.options, true).map_err(step("options"))?;
        steps.parts.options = steps.lap(self);
        let file = address::bind(&socket, &at.address).map_err(step("bind"))?;
        let listener = MioListener { socket, domain, lingers: waits_at_close(&at.options), file };
        if let (Some((path, ..)), Some(mode)) = (&listener.file, at.options.mode) {
            rustix::fs::chmod(path, rustix::fs::Mode::from_bits_truncate(mode))
                .map_err(|e| step("bind")(e.into()))?;
        }
        steps.parts.bind = steps.lap(self);
        let backlog = i32::try_from(at.options.backlog).unwrap_or(i32::MAX);
        listener.socket.listen(backlog).map_err(step("listen"))?;
        steps.parts.listen = steps.lap(self);
        self.register_listener(listener, at, token, steps)
    }

    fn register_listener(
        &mut self,
        listener: MioListener,
        at: &Endpoint,
        token: Token,
        mut steps: Steps,
    ) -> Result<Listening<MioListener>, SetupError> {
        self.keep_spare();
        self.add(listener.socket.as_raw_fd(), token, Interest::READABLE)
            .map_err(|source| SetupError { step: "register", source })?;
        let bound = listener.socket.local_addr().ok().and_then(|a| a.as_socket());
        let address = match (&at.address, bound) {
            (Address::Tcp(_) | Address::Fd(_), Some(bound)) => Address::Tcp(bound),
            (other, _) => other.clone(),
        };
        steps.parts.register = steps.lap(self);
        let at = Endpoint { address, options: at.options.clone() };
        Ok(Listening { listener, at, parts: steps.parts })
    }
}

/// Consecutive stamps while a listener is made, so that its parts sum to the total.
struct Steps {
    parts: SetupParts,
    last: Time,
}

impl Steps {
    fn lap(&mut self, sys: &mut MioSys) -> u64 {
        let now = sys.now();
        let ns = now.since(self.last);
        self.last = now;
        ns
    }
}
