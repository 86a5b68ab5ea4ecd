//! What signals do: TERM and INT drain, USR1 reopens the access log, HUP and USR2 are noted. The library's `signals` tells of them in the loop.
//!
//! Beside it stand flags of signal-hook's for the last resort. No thread, no `unsafe`.
//!
//! | signal | loop alive | loop stuck |
//! |---|---|---|
//! | first TERM or INT | drain, exit 0 | noted |
//! | second | what is left is cut, exit 1 | the process ends, exit 1 |
//! | third | the process ends at once, exit 1 | |
//! | USR1 | the access log is opened anew | |
//! | HUP, USR2 | a line in the log | |
//!
//! The last resort runs in the signal handler: it ends the process when a TERM or INT arrives while an earlier one
//! has not been seen by the loop, or after the second one has. Whoever is served notices no difference to the abort
//! that was asked for; only the file of a Unix socket stays behind, which the next start replaces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::flag;
use tidemill::reactor::{Accepted, Ctx, Handle, Handler, Key, Reactor, Refuse};
use tidemill::signals::{self, Signal};

use super::access::Reopen;
use super::failure::{self, Failure};
use super::notify::Notify;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Stop,
    /// Open the access log anew.
    Reopen,
    /// Named here, built in a later version.
    NotBuilt(&'static str),
}

const CAUGHT: [(Signal, &str, Wish); 5] = [
    (Signal::TERM, "TERM", Wish::Stop),
    (Signal::INT, "INT", Wish::Stop),
    (Signal::HUP, "HUP", Wish::NotBuilt("a reload")),
    (Signal::USR1, "USR1", Wish::Reopen),
    (Signal::USR2, "USR2", Wish::NotBuilt("an upgrade of the binary")),
];

/// The handler that hears of signals. It has no connections.
#[derive(Debug)]
pub(crate) struct Signals {
    handle: Handle,
    drain_timeout: Duration,
    notify: Notify,
    access: Option<Reopen>,
    /// A TERM or INT has arrived and the loop has not seen it.
    unseen: Arc<AtomicBool>,
    /// The next TERM or INT ends the process in its signal handler.
    armed: Arc<AtomicBool>,
    stops: u32,
}

/// Keeps the signals that never end the process from ending it before the loop runs. TERM and INT still do.
pub(crate) fn shield() -> Result<(), Failure> {
    let unread = Arc::new(AtomicBool::new(false));
    for (signal, _, wish) in CAUGHT {
        if wish != Wish::Stop {
            flag::register(signal.as_raw(), Arc::clone(&unread))
                .map_err(|e| Failure::system("catch signals", &e))?;
        }
    }
    Ok(())
}

/// Catches the signals for as long as the process lives.
pub(crate) fn install(
    reactor: &mut Reactor,
    drain_timeout: Duration,
    notify: Notify,
    access: Option<Reopen>,
) -> Result<Key<Signals>, Failure> {
    let (unseen, armed) = (Arc::default(), Arc::default());
    let fail = |e| Failure::system("catch signals", &e);
    for (signal, _, _) in CAUGHT.into_iter().filter(|(_, _, wish)| *wish == Wish::Stop) {
        // Actions run in the order of their registration: the loop is told last, when the flag stands that it clears.
        for condition in [&armed, &unseen] {
            let code = i32::from(failure::ABORTED);
            flag::register_conditional_shutdown(signal.as_raw(), code, Arc::clone(condition))
                .map_err(fail)?;
        }
        flag::register(signal.as_raw(), Arc::clone(&unseen)).map_err(fail)?;
    }
    let handle = reactor.handle();
    let key = reactor.add(Signals { handle, drain_timeout, notify, access, unseen, armed, stops: 0 });
    let told = CAUGHT.map(|(signal, ..)| signal);
    signals::on(reactor, key, &told, |signals, signal, _| signals.hear(signal))
        .map_err(|e| fail(e.source))?
        .forever();
    Ok(key)
}

impl Signals {
    /// Whether a second signal cut what was left.
    pub(crate) const fn aborted(&self) -> bool {
        self.stops > 1
    }

    fn hear(&mut self, signal: Signal) {
        let Some((_, name, wish)) = CAUGHT.into_iter().find(|(caught, ..)| *caught == signal) else { return };
        match wish {
            Wish::Stop => self.stop(name),
            Wish::Reopen => match &self.access {
                Some(access) => {
                    log::info!("{name}: reopening the access log");
                    access.ask();
                }
                None => log::info!("{name}: there is no access log to reopen"),
            },
            Wish::NotBuilt(what) => {
                log::warn!("{name}: {what} is not built in this version; going on as before");
            }
        }
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

    fn on_accept(&mut self, _from: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _conn: &mut (), _ctx: &mut Ctx<'_, Self>) {}
}
