//! The daemon around the services: one reactor, its listeners, signals, log and start-up failures.
//!
//! Owns what happens before the first and after the last turn. It knows nothing of flags ([`cli`](crate::cli) does)
//! and nothing of protocols beyond their bounds. No threads but those that write the two logs.

pub(crate) mod access;
pub(crate) mod bounds;
pub(crate) mod failure;
mod holder;
pub(crate) mod log;
mod notify;
mod signals;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use tidemill::proto::http1::Http;
use tidemill::reactor::sys::raise_fd_limit;
use tidemill::reactor::{Config, Endpoint, Handler, Reactor};
use tidemill::service::files::{FileApp, Files, Limits, Root};

use self::access::AccessLog;
use self::failure::Failure;
use self::notify::Notify;
use self::signals::Signals;

/// Threads for work that blocks, most of which waits for a disk. They are started on demand.
const THREADS_MAX: usize = 16;

/// A program that serves until it is told to stop.
#[derive(Debug)]
pub(crate) struct Daemon {
    reactor: Reactor,
    drain_timeout: Duration,
    /// Where it listens and what is served there, in the order of the command line.
    ready: Vec<(Endpoint, &'static str)>,
    access: Option<AccessLog>,
}

impl Daemon {
    /// A daemon without services. Raises the limit of descriptors first: the reactor's gate follows from it.
    ///
    /// # Errors
    /// When the system gives no poll.
    pub(crate) fn new(drain_timeout: Duration) -> Result<Self, Failure> {
        signals::shield()?;
        raise_fd_limit();
        let mut config = Config::default();
        config.workers.threads_max = Some(THREADS_MAX);
        let reactor = Reactor::new(config).map_err(|e| Failure::reactor(&e, None))?;
        Ok(Self { reactor, drain_timeout, ready: Vec::new(), access: None })
    }

    /// The files beneath `dir` as an HTTP application, with listings of directories that have no index if `lists`.
    ///
    /// # Errors
    /// `dir` is missing, no directory, or out of reach.
    pub(crate) fn files(dir: &Path, lists: bool) -> Result<FileApp, Failure> {
        let root = Root::open(dir).map_err(|e| Failure::root(dir, &e))?;
        // The root is held by a descriptor that needs no permission on the directory itself; to serve from it does.
        std::fs::metadata(dir.join(".")).map_err(|e| Failure::root(dir, &e))?;
        // A large file that is kept open holds its disk space after it was removed, and a descriptor, for as long as
        // nobody asks for it again. To open it anew costs three system calls beside those that send it.
        let limits = Limits { descriptors_max: 0, ..Limits::default() };
        Ok(FileApp::new(Files::new(root, limits).list(lists)))
    }

    /// Takes on the access log of the HTTP services that are added from now on. Signals reach it, and it ends after the
    /// last connection.
    pub(crate) fn log_access(&mut self, log: Option<AccessLog>) {
        self.access = log;
    }

    /// Adds a service and listens for it. `kind` is the last word of its ready lines.
    ///
    /// # Errors
    /// The first listener that cannot be had; those made before are closed with the daemon.
    pub(crate) fn serve<H: Handler>(
        &mut self,
        handler: H,
        kind: &'static str,
        at: &[Endpoint],
    ) -> Result<(), Failure> {
        let key = self.reactor.add(handler);
        for endpoint in at {
            let id = self
                .reactor
                .listen(key, endpoint)
                .map_err(|e| Failure::reactor(&e, holder::find(&e, endpoint)))?;
            let local = self.reactor.local(id).unwrap_or(endpoint).clone();
            self.ready.push((local, kind));
        }
        Ok(())
    }

    /// As [`Daemon::serve`], with the access log if there is one.
    pub(crate) fn serve_http<S: 'static>(
        &mut self,
        http: Http<S>,
        kind: &'static str,
        at: &[Endpoint],
    ) -> Result<(), Failure> {
        let http = match &self.access {
            Some(log) => http.with_log(log.front()),
            None => http,
        };
        self.serve(http, kind, at)
    }

    /// Says that it is ready and serves until a signal stops it. The exit code.
    ///
    /// # Errors
    /// Signals cannot be caught, or the poll fails.
    pub(crate) fn run(mut self) -> Result<u8, Failure> {
        let notify = Notify::from_environment();
        let reopen = self.access.as_ref().map(AccessLog::reopen);
        let signals = signals::install(&mut self.reactor, self.drain_timeout, notify.clone(), reopen)?;
        self.announce(&notify);
        self.reactor.run().map_err(|e| Failure::reactor(&e, None))?;
        let aborted = self.reactor.with(signals, |signals: &mut Signals, _| signals.aborted());
        if let Some(drain) = self.reactor.last_drain() {
            ::log::info!("{drain}");
            for report in &drain.aborted {
                ::log::info!("aborted {} peer={} {}", report.id, report.peer, report.reason);
            }
        }
        ::log::info!("stopped after {} connections", self.reactor.stats().closed);
        // What is left of connections may still have something to say.
        drop(self.reactor);
        drop(self.access);
        Ok(if aborted { failure::ABORTED } else { 0 })
    }

    fn announce(&self, notify: &Notify) {
        let mut lines = String::new();
        for (at, kind) in &self.ready {
            ::log::info!("serving {kind} on {at}");
            lines.push_str(&format!("listening {at} {kind}\n"));
        }
        write_all(io::stdout(), lines.as_bytes());
        notify.send("READY=1");
    }
}

/// Writes all of `bytes` if that is possible, and does nothing more if it is not: a closed pipe or a full disk is
/// no error of ours. By write(2), for `print!` panics and keeps a buffer.
pub(crate) fn write_all(to: impl AsFd, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(&to, rest) {
            Ok(0) => return,
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
