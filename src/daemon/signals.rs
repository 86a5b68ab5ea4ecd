//! Signals as bytes on a socket of the reactor: TERM and INT drain, HUP, USR1 and USR2 are noted.
//!
//! The signal handlers are signal-hook's own, which set flags and write one byte; everything else happens in the
//! loop. No thread, no `unsafe`.
//!
//! | signal | loop alive | loop stuck |
//! |---|---|---|
//! | first TERM or INT | drain, exit 0 | noted |
//! | second | what is left is cut, exit 1 | the process ends, exit 1 |
//! | third | the process ends at once, exit 1 | |
//! | HUP, USR1, USR2 | a line in the log | |
//!
//! The last resort runs in the signal handler: it ends the process when a TERM or INT arrives while an earlier one
//! has not been seen by the loop, or after the second one has. Whoever is served notices no difference to the abort
//! that was asked for; only the file of a Unix socket stays behind, which the next start replaces.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::{flag, low_level::pipe};
use tidemill::reactor::{Accepted, Ctx, Handle, Handler, Key, Limits, Reactor, Refuse};

use super::failure::{self, Failure};
use super::notify::Notify;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Stop,
    /// Named here, built in a later version.
    NotBuilt(&'static str),
}

const CAUGHT: [(i32, &str, Wish); 5] = [
    (SIGTERM, "TERM", Wish::Stop),
    (SIGINT, "INT", Wish::Stop),
    (SIGHUP, "HUP", Wish::NotBuilt("a reload")),
    (SIGUSR1, "USR1", Wish::NotBuilt("reopening the log")),
    (SIGUSR2, "USR2", Wish::NotBuilt("an upgrade of the binary")),
];

/// The handler at the reading end of the signals' socket.
#[derive(Debug)]
pub(crate) struct Signals {
    handle: Handle,
    drain_timeout: Duration,
    notify: Notify,
    /// Set in the signal handlers, one for each of [`CAUGHT`].
    arrived: [Arc<AtomicBool>; CAUGHT.len()],
    /// A TERM or INT has arrived and the loop has not seen it.
    unseen: Arc<AtomicBool>,
    /// The next TERM or INT ends the process in its signal handler.
    armed: Arc<AtomicBool>,
    stops: u32,
}

/// Keeps the signals that never end the process from ending it before the loop runs. TERM and INT still do.
pub(crate) fn shield() -> Result<(), Failure> {
    let unread = Arc::new(AtomicBool::new(false));
    for (number, _, wish) in CAUGHT {
        if wish != Wish::Stop {
            flag::register(number, Arc::clone(&unread)).map_err(|e| Failure::system("catch signals", &e))?;
        }
    }
    Ok(())
}

/// Catches the signals and adopts their socket.
pub(crate) fn install(
    reactor: &mut Reactor,
    drain_timeout: Duration,
    notify: Notify,
) -> Result<Key<Signals>, Failure> {
    let signals = Signals {
        handle: reactor.handle(),
        drain_timeout,
        notify,
        arrived: Default::default(),
        unseen: Arc::default(),
        armed: Arc::default(),
        stops: 0,
    };
    let fail = |e| Failure::system("catch signals", &e);
    let (reading, writing) = UnixStream::pair().map_err(fail)?;
    for ((number, _, wish), arrived) in CAUGHT.into_iter().zip(&signals.arrived) {
        // Actions run in the order of their registration: the flag stands before the byte that tells of it.
        if wish == Wish::Stop {
            for condition in [&signals.armed, &signals.unseen] {
                let code = i32::from(failure::ABORTED);
                flag::register_conditional_shutdown(number, code, Arc::clone(condition)).map_err(fail)?;
            }
            flag::register(number, Arc::clone(&signals.unseen)).map_err(fail)?;
        }
        flag::register(number, Arc::clone(arrived)).map_err(fail)?;
        pipe::register(number, writing.try_clone().map_err(fail)?).map_err(fail)?;
    }
    let key = reactor.add(signals);
    reactor.adopt(key, reading.into(), ()).map_err(|e| Failure::reactor(&e, None))?;
    Ok(key)
}

impl Signals {
    /// Whether a second signal cut what was left.
    pub(crate) const fn aborted(&self) -> bool {
        self.stops > 1
    }

    fn stop(&mut self, name: &str) {
        self.unseen.store(false, Ordering::SeqCst);
        self.stops += 1;
        if self.stops == 1 {
            log::info!("{name}: draining for at most {:?}; a second TERM or INT aborts", self.drain_timeout);
            self.notify.send("STOPPING=1");
            self.handle.stop(self.drain_timeout);
        } else {
            self.armed.store(true, Ordering::SeqCst);
            log::warn!("{name} again: aborting");
            self.handle.stop(Duration::ZERO);
        }
    }
}

impl Handler for Signals {
    type Conn = ();

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.idle_timeout = None;
        limits.stall_timeout = None;
        limits.hold_drain = false;
        limits
    }

    fn on_accept(&mut self, _from: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _conn: &mut (), ctx: &mut Ctx<'_, Self>) {
        let n = ctx.rx.len();
        ctx.rx.consume(n);
        for (at, (_, name, wish)) in CAUGHT.into_iter().enumerate() {
            if !self.arrived[at].swap(false, Ordering::SeqCst) {
                continue;
            }
            match wish {
                Wish::Stop => self.stop(name),
                Wish::NotBuilt(what) => {
                    log::warn!("{name}: {what} is not built in this version; going on as before");
                }
            }
        }
    }
}
