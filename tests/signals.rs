//! Signals that this process sends to itself, as events of its reactors. One test at a time: signals are the process's.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a test's deadlines are read from the clock")]

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Signal as Raw, getpid, kill_process};
use tidemill::reactor::{Accepted, Config, Ctx, Handler, Key, Reactor, Refuse};
use tidemill::signals::{self, Signal, Signals};

/// No wait lasts longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Ears {
    heard: Vec<Signal>,
}

impl Handler for Ears {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}
}

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn raise(signal: Signal) {
    kill_process(getpid(), Raw::from_named_raw(signal.as_raw()).unwrap()).unwrap();
}

/// As [`raise`], to this thread: it has run its handler when this returns.
fn raise_here(signal: Signal) {
    signal_hook::low_level::raise(signal.as_raw()).unwrap();
}

/// A reactor that hears of `signals`.
fn ears(signals: &[Signal]) -> (Reactor, Key<Ears>, Signals) {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let key = reactor.add(Ears::default());
    let guard = signals::on(&mut reactor, key, signals, |ears, signal, _| ears.heard.push(signal)).unwrap();
    (reactor, key, guard)
}

fn turn(reactor: &mut Reactor) {
    reactor.turn(Some(Duration::from_millis(5))).unwrap();
    #[cfg(feature = "testing")]
    reactor.check();
}

fn until(reactor: &mut Reactor, what: &str, mut done: impl FnMut(&mut Reactor) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(reactor) {
        assert!(Instant::now() < deadline, "never came: {what}");
        turn(reactor);
    }
}

fn heard(reactor: &mut Reactor, key: Key<Ears>) -> Vec<Signal> {
    reactor.with(key, |ears, _| ears.heard.clone())
}

/// Turns until the loop sleeps, for a while, with nothing told.
fn until_quiet(reactor: &mut Reactor) {
    until(reactor, "quiet", |reactor| {
        let turn = reactor.turn(Some(Duration::from_millis(30))).unwrap();
        turn.events == 0 && reactor.next_wait().is_none()
    });
}

#[test]
fn a_signal_is_told_in_the_loop_and_wakes_it() {
    let _alone = alone();
    let (mut reactor, key, _guard) = ears(&[Signal::USR1, Signal::HUP]);
    until_quiet(&mut reactor);
    assert_eq!(heard(&mut reactor, key), []);
    let thread = std::thread::spawn(|| raise(Signal::USR1));
    while heard(&mut reactor, key).is_empty() {
        reactor.turn(Some(PATIENCE)).unwrap();
    }
    thread.join().unwrap();
    raise(Signal::HUP);
    until(&mut reactor, "HUP", |reactor| heard(reactor, key).len() == 2);
    assert_eq!(heard(&mut reactor, key), [Signal::USR1, Signal::HUP]);
    until_quiet(&mut reactor);
    assert_eq!(heard(&mut reactor, key).len(), 2);
}

#[test]
fn a_burst_of_one_kind_is_told_at_least_once_and_other_kinds_beside_it() {
    let _alone = alone();
    let (mut reactor, key, _guard) = ears(&[Signal::USR2, Signal::USR1, Signal::USR2]);
    for _ in 0..1000 {
        raise_here(Signal::USR1);
    }
    raise_here(Signal::USR2);
    until_quiet(&mut reactor);
    assert_eq!(heard(&mut reactor, key), [Signal::USR2, Signal::USR1], "once each, in the order of the list");
    // More bytes than a socket holds must not hide what comes later.
    for _ in 0..10_000 {
        raise_here(Signal::USR1);
    }
    until_quiet(&mut reactor);
    raise_here(Signal::USR2);
    until_quiet(&mut reactor);
    assert_eq!(heard(&mut reactor, key)[2..], [Signal::USR1, Signal::USR2]);
}

#[test]
fn several_reactors_hear_of_the_same_signal_and_each_guard_ends_its_own() {
    let _alone = alone();
    let (mut one, key_one, guard) = ears(&[Signal::USR1]);
    let (mut two, key_two, _guard) = ears(&[Signal::USR1]);
    raise(Signal::USR1);
    until(&mut one, "the first hears", |reactor| heard(reactor, key_one).len() == 1);
    until(&mut two, "the second hears", |reactor| heard(reactor, key_two).len() == 1);
    raise(Signal::USR1);
    assert_eq!(one.watches(), 1);
    drop(guard);
    until(&mut one, "the watch ends by itself", |reactor| reactor.watches() == 0);
    raise(Signal::USR1);
    until(&mut two, "the second hears", |reactor| heard(reactor, key_two).len() >= 2);
    until_quiet(&mut one);
    assert_eq!(
        heard(&mut one, key_one).len(),
        1,
        "what waited when the guard was dropped is not told either"
    );
}

#[test]
fn a_reactor_that_is_gone_does_not_disturb_its_guard() {
    let _alone = alone();
    let (reactor, _, guard) = ears(&[Signal::USR1]);
    drop(reactor);
    raise(Signal::USR1);
    drop(guard);
    let (mut reactor, key, guard) = ears(&[Signal::USR1]);
    guard.forever();
    raise(Signal::USR1);
    until(&mut reactor, "the new one hears", |reactor| heard(reactor, key).len() == 1);
}

#[test]
fn a_panic_does_not_make_the_program_deaf() {
    let _alone = alone();
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let key = reactor.add(Ears::default());
    let _guard = signals::on(&mut reactor, key, &[Signal::HUP, Signal::USR2], |ears, signal, _| {
        assert_ne!(signal, Signal::HUP, "a panic that is meant");
        ears.heard.push(signal);
    })
    .unwrap();
    for n in 1..3 {
        raise(Signal::HUP);
        raise(Signal::USR2);
        until(&mut reactor, "USR2", |reactor| heard(reactor, key).len() == n);
        until_quiet(&mut reactor);
    }
    assert_eq!(reactor.watches(), 1);
}

#[test]
fn what_cannot_be_caught_is_an_error_and_leaves_nothing_behind() {
    let _alone = alone();
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let key = reactor.add(Ears::default());
    for raw in [9, 19, 11, 4, 8, 0, -1, 1000] {
        let signal = Signal::from_raw(raw);
        let e = signals::on(&mut reactor, key, &[Signal::USR1, signal], |_, _, _| {}).unwrap_err();
        assert_eq!(e.source.kind(), std::io::ErrorKind::InvalidInput, "{signal}: {e}");
        assert_eq!(e.op, "catch signals");
    }
    assert!(signals::on(&mut reactor, key, &[], |_, _, _| {}).is_err());
    assert_eq!(reactor.watches(), 0);
    let e = signals::on(&mut reactor, key, &[Signal::from_raw(9)], |_, _, _| {}).unwrap_err();
    assert!(e.to_string().contains("SIGKILL cannot be caught"), "{e}");
    assert_eq!(format!("{} {:?}", Signal::from_raw(500), Signal::TERM), "signal 500 SIGTERM");
}

#[test]
fn a_drain_by_term_ends_the_loop() {
    let _alone = alone();
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let key = reactor.add(Ears::default());
    let handle = reactor.handle();
    let _guard = signals::on(&mut reactor, key, &[Signal::TERM], move |ears, signal, _| {
        ears.heard.push(signal);
        handle.stop(PATIENCE);
    })
    .unwrap();
    raise(Signal::TERM);
    reactor.run().unwrap();
    assert_eq!(heard(&mut reactor, key), [Signal::TERM]);
}

/// Runs in a process of its own, for the test below.
#[test]
#[ignore = "ends its process"]
fn without_on_nothing_is_caught() {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let key = reactor.add(Ears::default());
    assert!(signals::on(&mut reactor, key, &[Signal::from_raw(9), Signal::TERM], |_, _, _| {}).is_err());
    raise(Signal::TERM);
    until(&mut reactor, "an end", |_| false);
}

#[test]
fn the_library_installs_no_handler_by_itself() {
    use std::os::unix::process::ExitStatusExt;
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without_on_nothing_is_caught", "--ignored", "--test-threads=1"])
        .output()
        .unwrap()
        .status;
    assert_eq!(status.signal(), Some(15), "TERM ends it: {status}");
}
