//! Signals as events of a reactor: a callback on a handler, in the loop, never in a signal handler.
//!
//! Opt-in: nothing is caught that was not asked for by [`on`]. It owns the way from a signal to its callback: a flag a
//! signal and a byte on a socket pair that the reactor watches, both set by signal-hook's handlers. It starts no thread,
//! and what a program does about a signal is not its business.
//!
//! ```
//! use std::time::Duration;
//! use tidemill::reactor::{Accepted, Config, Ctx, Handler, Reactor, Refuse};
//! use tidemill::signals::{self, Signal};
//!
//! struct App {
//!     reloads: u32,
//! }
//!
//! impl Handler for App {
//!     type Conn = ();
//!     fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
//!         Ok(())
//!     }
//!     fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
//!         ctx.tx.take_from(&mut ctx.rx);
//!     }
//! }
//!
//! # fn main() -> Result<(), tidemill::reactor::Error> {
//! let mut reactor = Reactor::new(Config::default())?;
//! let app = reactor.add(App { reloads: 0 });
//! let handle = reactor.handle();
//! let _signals = signals::on(&mut reactor, app, &[Signal::TERM, Signal::HUP], move |app, signal, _| {
//!     match signal {
//!         Signal::HUP => app.reloads += 1,
//!         _ => handle.stop(Duration::from_secs(10)),
//!     }
//! })?;
//! # rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
//! # rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
//! reactor.run()?;
//! # assert_eq!(reactor.with(app, |app, _| app.reloads), 1);
//! # Ok(())
//! # }
//! ```

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{self, FORBIDDEN};
use signal_hook::low_level::{self, pipe};

use crate::reactor::{Error, Handler, Key, Reactor, Ready, Source, Table, WatchId, contain};

/// A signal, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(c_int);

impl Signal {
    /// Asks to end; what `kill` and service managers send.
    pub const TERM: Self = Self(consts::SIGTERM);
    /// Asks to end, from the keyboard.
    pub const INT: Self = Self(consts::SIGINT);
    /// Asks to end with a core dump, from the keyboard.
    pub const QUIT: Self = Self(consts::SIGQUIT);
    /// The terminal is gone; to daemons: reload.
    pub const HUP: Self = Self(consts::SIGHUP);
    /// For the program to define.
    pub const USR1: Self = Self(consts::SIGUSR1);
    /// For the program to define.
    pub const USR2: Self = Self(consts::SIGUSR2);
    /// A child has changed its state. A pidfd of each child, watched, says more.
    pub const CHLD: Self = Self(consts::SIGCHLD);
    /// The terminal has another size.
    pub const WINCH: Self = Self(consts::SIGWINCH);
    /// Goes on after a stop.
    pub const CONT: Self = Self(consts::SIGCONT);
    /// A timer of `alarm(2)` is over.
    pub const ALRM: Self = Self(consts::SIGALRM);

    /// The signal with this number, real-time signals included. Whether it exists shows when it is caught.
    pub const fn from_raw(number: c_int) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> c_int {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Set in the signal handlers.
type Flags = Vec<(Signal, Arc<AtomicBool>)>;

/// Signals that a callback hears of; dropped, it hears of them no more, and its watch ends by itself.
///
/// **A signal that was caught once keeps being caught:** the process's handler stays installed and does nothing more,
/// since whoever else catches the signal uses it too. So TERM does not end the program again after this is dropped.
#[must_use = "dropped, it ends the catching of its signals; `forever` keeps it"]
#[derive(Debug)]
pub struct Signals {
    ids: Vec<SigId>,
    flags: Flags,
    watch: WatchId,
    /// A duplicate of the reading end. When the reactor is gone first, the handlers' bytes go nowhere, but not into a
    /// closed socket, which would raise SIGPIPE.
    _reading: UnixStream,
}

impl Signals {
    /// The watch behind it, which [`Reactor::watches`] counts.
    pub const fn watch(&self) -> WatchId {
        self.watch
    }

    /// Catches the signals as long as the process lives.
    pub fn forever(self) {
        std::mem::forget(self);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            // With the last of them the writing end closes, by which the watch knows.
            low_level::unregister(id);
        }
        for (_, flag) in &self.flags {
            flag.store(false, Ordering::SeqCst);
        }
    }
}

/// Calls `f` with the handler, in the loop, for each of `signals` that the process gets from now on.
///
/// - Signals of the same kind that come before the loop looks are told **once**. Of several kinds that wait, the order
///   is that of `signals`, not of their coming.
/// - Several reactors of a process, and several callbacks of one, may catch the same signal: each hears of it. So does
///   whoever else uses signal-hook; handlers that were installed before are called too.
/// - A panic in `f` is contained and logged as `task.panicked`; the next signal is told all the same, so that a reload
///   that fails does not leave the program deaf to TERM.
/// - Which thread the kernel picks does not matter. A child that was forked without exec hears nothing.
///
/// # Errors
/// `InvalidInput` for no signals, one that cannot be caught (KILL, STOP) or must not be (SEGV, ILL, FPE), and for numbers
/// that are none; the system's, when it has no descriptors left. No signal is caught then, except that those named before
/// the one that failed have lost their default action.
///
/// # Panics
/// When the key is of another reactor.
pub fn on<H: Handler>(
    reactor: &mut Reactor,
    key: Key<H>,
    signals: &[Signal],
    mut f: impl FnMut(&mut H, Signal, &mut Table<'_, H>) + 'static,
) -> Result<Signals, Error> {
    let fail = |e| Error::new("catch signals", None, e);
    admit(signals).map_err(fail)?;
    let (reading, writing) = UnixStream::pair().map_err(fail)?;
    reading.set_nonblocking(true).map_err(fail)?;
    let twin = reading.try_clone().map_err(fail)?;
    let mut flags = Flags::new();
    for signal in signals {
        if !flags.iter().any(|(known, _)| known == signal) {
            flags.push((*signal, Arc::default()));
        }
    }
    let heard = flags.clone();
    let watch = reactor.watch(key, reading, Ready::READABLE, move |handler, source, table| {
        empty(source);
        for (signal, flag) in &heard {
            if flag.swap(false, Ordering::SeqCst) && contain(|| f(handler, *signal, table)).is_none() {
                log::error!("task.panicked: the callback of {signal} panicked");
            }
        }
    })?;
    let mut guard = Signals { ids: Vec::new(), flags, watch, _reading: twin };
    if let Err(e) = guard.catch(&writing) {
        drop(reactor.unwatch(watch));
        return Err(fail(e));
    }
    Ok(guard)
}

impl Signals {
    /// Actions run in the order of their registration: the flag stands before the byte that tells of it.
    fn catch(&mut self, writing: &UnixStream) -> io::Result<()> {
        for (signal, flag) in &self.flags {
            self.ids.push(signal_hook::flag::register(signal.0, Arc::clone(flag))?);
            self.ids.push(pipe::register(signal.0, writing.try_clone()?)?);
        }
        Ok(())
    }
}

/// Refuses what signal-hook would panic at, and what makes no sense.
fn admit(signals: &[Signal]) -> io::Result<()> {
    let refuse = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if signals.is_empty() {
        return refuse("no signal is named".to_owned());
    }
    match signals.iter().find(|signal| FORBIDDEN.contains(&signal.0)) {
        Some(signal) => refuse(format!("{signal} cannot be caught")),
        None => Ok(()),
    }
}

/// Takes the bytes off the socket; at its end, when the guard is gone, closes it. What is left beyond one block is told
/// again.
fn empty(source: &mut Source<'_>) {
    let mut block = [0; 256];
    // An interruption is told again, and no other error can be met on a socket pair.
    if let Ok(0) = source.read(&mut block) {
        source.close();
    }
}
