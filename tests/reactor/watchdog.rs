//! Slow callbacks on the real kernel, where they really block: named once they have returned, and by the watchdog while
//! they run.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tidemill::reactor::{Config, Reactor};

use crate::support::{Act, PATIENCE, Rig, child, logged};

/// Waits until `done`, without giving the reactor a turn; whether it came.
fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    true
}

#[test]
fn a_callback_that_blocks_is_named_while_it_blocks() {
    let act = Act::new().eof(|_, ctx| {
        let line = format!("WARN loop.blocked: on_eof of reactor::support::Act, connection {}, ", ctx.id());
        let told = wait_for(|| logged(&line).len() >= 2);
        ctx.tx.write(if told { b"told" } else { b"dumb" });
        ctx.finish();
    });
    let mut rig = Rig::new(act);
    rig.reactor.watch_for_blocking(Duration::from_millis(20)).unwrap();
    let client = rig.client();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rig.read_all(client).unwrap(), b"told", "it is said twice while the callback runs");
    rig.until("it is counted", |rig| rig.reactor.stats().blocked > 0);
    assert_eq!(rig.reactor.stats().blocked, 1, "one occurrence, however often it was told");
}

#[test]
fn a_task_that_blocks_is_named_while_it_blocks() {
    let mut rig = Rig::new(Act::new());
    rig.reactor.watch_for_blocking(Duration::from_millis(20)).unwrap();
    rig.reactor.with(rig.key, |_, table| {
        table.post(|act, _| {
            let line = "WARN loop.blocked: task reactor::watchdog::a_task_that_blocks_is_named";
            if wait_for(|| !logged(line).is_empty()) {
                act.notes.push("told".to_owned());
            }
        })
    });
    rig.until("it is counted", |rig| rig.reactor.stats().blocked == 1);
    assert_eq!(rig.reactor.with(rig.key, |act, _| act.notes.clone()), ["told"]);
}

#[test]
fn a_slow_callback_is_in_the_log_and_in_the_records_without_a_watchdog() {
    let mut config = Config::default();
    config.slow_callback = Some(Duration::from_millis(5));
    let act = Act::new().open(|_, ctx| ctx.set_deadline(Duration::from_millis(1))).deadline(|_, ctx| {
        let began = Instant::now();
        wait_for(|| began.elapsed() > Duration::from_millis(10));
        ctx.set_deadline(Duration::from_millis(1));
    });
    let mut rig = Rig::with_config(act, config);
    let _client = rig.client();
    rig.until("it is named with its own time", |rig| {
        let mut slow = rig.reactor.slow().filter(|slow| slow.single && slow.ns >= 10_000_000);
        slow.any(|slow| slow.to_string().starts_with("on_deadline of reactor::support::Act, connection "))
    });
    assert!(rig.reactor.stats().slow >= 2, "the stretch came first");
    let lines = logged("WARN loop.slow: on_deadline of reactor::support::Act, connection ");
    assert!(!lines.is_empty());
}

#[test]
fn no_time_at_all_is_no_threshold() {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let error = reactor.watch_for_blocking(Duration::ZERO).unwrap_err();
    assert!(error.to_string().starts_with("cannot start the watchdog: "), "{error}");
}

/// The watchdogs among the threads of this process.
fn watchdogs() -> Vec<PathBuf> {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let is_watchdog = |path: &PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == "tidemill-watch")
    };
    threads.filter(is_watchdog).collect()
}

/// How often a thread has gone to sleep.
fn sleeps(thread: &Path) -> u64 {
    let status = fs::read_to_string(thread.join("status")).unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    count.trim().parse().unwrap()
}

#[test]
fn the_watchdog_sleeps_beside_an_idle_loop_and_wakes_for_its_next_callback() {
    child("watchdog::alone::an_idle_watchdog");
}

mod alone {
    use super::*;

    #[test]
    #[ignore = "counts the threads of its process"]
    fn an_idle_watchdog() {
        let threshold = Duration::from_millis(100);
        let mut rig = Rig::new(Act::new().data(|_, ctx| {
            if ctx.rx.contains(&b'!') {
                wait_for(|| !logged("loop.blocked: on_data of reactor::support::Act, ").is_empty());
            }
            ctx.tx.take_from(&mut ctx.rx);
        }));
        rig.reactor.watch_for_blocking(Duration::from_secs(3600)).unwrap();
        rig.reactor.watch_for_blocking(threshold).unwrap();
        let (mut client, _) = rig.open();
        client.set_nonblocking(true).unwrap();
        let busy_until = Instant::now() + 4 * threshold;
        while Instant::now() < busy_until {
            let _ = client.write(b"quick");
            rig.turn();
            let _ = client.read(&mut [0; 64]);
        }
        assert_eq!(rig.reactor.stats().blocked, 0, "many quick callbacks are none that blocks");
        let [watchdog] = &watchdogs()[..] else { panic!("a second watchdog replaces the first") };
        // Turns without a callback are no reason to wake up.
        let (mut before, mut since) = (sleeps(watchdog), Instant::now());
        rig.until("the watchdog sleeps for ten looks", |_| {
            if sleeps(watchdog) != before {
                (before, since) = (sleeps(watchdog), Instant::now());
            }
            since.elapsed() >= 5 * threshold
        });
        assert_eq!(client.write(b"!").unwrap(), 1);
        rig.until("the callback that blocks is found", |rig| rig.reactor.stats().blocked == 1);
        assert!(sleeps(watchdog) > before);
        drop(rig);
        assert!(watchdogs().is_empty(), "it ends with its reactor");
    }
}
