//! Stopping in stages: hooks, what they hold, what is cut, and the report.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sim::{Hooks, MS, S, Side, dial, read_all, serve, tcp, until};
use tidemill::reactor::testing::{Faults, Rng, World, seeds};
use tidemill::reactor::{DrainReport, Hold, Key, Missed, Stage, TaskError};

type Notes = Rc<RefCell<Vec<&'static str>>>;

/// Stops the reactor and waits for it.
fn stop(side: &mut Side, grace: Duration) -> DrainReport {
    side.reactor.stop(grace);
    until(side, "it has stopped", |side| !side.reactor.is_stopping());
    side.reactor.last_drain().unwrap().clone()
}

fn note(notes: &Notes, what: &'static str) {
    notes.borrow_mut().push(what);
}

fn hook(side: &mut Side, key: Key<Hooks>, stage: Stage, notes: &Notes, what: &'static str) {
    let notes = Rc::clone(notes);
    side.reactor.at_shutdown(key, stage, move |_, _, _| note(&notes, what));
}

#[test]
fn hooks_run_before_while_and_after_the_connections_end_in_their_order() {
    let world = World::new(1);
    let notes: Notes = Rc::default();
    let (drained, closed) = (Rc::clone(&notes), Rc::clone(&notes));
    let hooks = Hooks {
        drain: Some(Box::new(move |ctx| {
            note(&drained, "drain");
            ctx.close_clean();
        })),
        close: Some(Box::new(move |_, _| note(&closed, "close"))),
        ..Hooks::default()
    };
    let (mut side, book, key) = serve(&world, &tcp(), hooks);
    let _peer = dial(&mut side, &book, &tcp());
    hook(&mut side, key, Stage::After, &notes, "after");
    hook(&mut side, key, Stage::During, &notes, "during");
    hook(&mut side, key, Stage::Before, &notes, "before 1");
    hook(&mut side, key, Stage::Before, &notes, "before 2");
    let report = stop(&mut side, S);
    assert_eq!(*notes.borrow(), ["before 1", "before 2", "during", "drain", "close", "after"]);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.finished, report.aborted_total), (1, 0));
}

#[test]
fn before_the_doors_close_the_reactor_still_serves_for_as_long_as_a_hook_holds() {
    let world = World::new(1);
    let (mut side, book, key) = serve(&world, &tcp(), Hooks::default());
    let held: Rc<RefCell<Option<Hold>>> = Rc::default();
    let keep = Rc::clone(&held);
    side.reactor.at_shutdown(key, Stage::Before, move |_, table, hold| {
        assert!(table.is_stopping() && !table.is_draining());
        *keep.borrow_mut() = Some(hold);
    });
    side.reactor.stop(60 * S);
    side.pass(S);
    let peer = dial(&mut side, &book, &tcp());
    assert!(!side.reactor.with(key, |_, table| table.is_draining()));
    side.pass(S);
    held.borrow_mut().take();
    until(&mut side, "the doors are closed", |side| side.world.open_listeners(side.process) == 0);
    drop(peer);
    until(&mut side, "it has stopped", |side| side.reactor.last_drain().is_some());
    let report = side.reactor.last_drain().unwrap();
    assert!(report.before >= 2_000_000_000, "{report:?}");
    assert_eq!(report.before + report.during + report.after, report.ended.since(report.began));
}

#[test]
fn a_hold_that_nobody_lets_go_ends_with_the_grace_and_is_told() {
    for stage in [Stage::Before, Stage::During, Stage::After] {
        let world = World::new(1);
        let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
        let held: Rc<RefCell<Option<Hold>>> = Rc::default();
        let keep = Rc::clone(&held);
        side.reactor.at_shutdown(key, stage, move |_, _, hold| *keep.borrow_mut() = Some(hold));
        let began = world.now();
        let report = stop(&mut side, 3 * S);
        assert_eq!(report.holds_left, 1, "{stage:?}");
        assert!(!report.is_clean());
        assert!(world.now() - began >= 3 * S && world.now() - began < 4 * S, "{stage:?}");
        // Let go too late, it changes nothing; and the next stop waits for nobody.
        held.borrow_mut().take();
        side.settle();
        assert_eq!(stop(&mut side, 3 * S).holds_left, 0);
    }
}

#[test]
fn a_hook_that_panics_lets_the_others_run_and_holds_nothing() {
    let world = World::new(1);
    let notes: Notes = Rc::default();
    let mut side = Side::new(&world);
    let key = side.reactor.add(Hooks::default());
    side.reactor.at_shutdown(key, Stage::Before, |_, _, _| std::panic::resume_unwind(Box::new("on purpose")));
    hook(&mut side, key, Stage::Before, &notes, "the next");
    let report = stop(&mut side, S);
    assert_eq!(*notes.borrow(), ["the next"]);
    assert!(report.is_clean());
}

#[test]
fn who_does_not_finish_is_named_with_the_reason() {
    let world = World::new(1);
    let hooks = Hooks { drain: Some(Box::new(|_| ())), ..Hooks::default() };
    let (mut side, book, _) = serve(&world, &tcp(), hooks);
    let _stays = dial(&mut side, &book, &tcp());
    let mut leaves = dial(&mut side, &book, &tcp());
    leaves.shutdown_write();
    let _ = read_all(&mut side, &mut leaves);
    let report = stop(&mut side, 2 * S);
    assert_eq!((report.aborted_total, report.aborted.len()), (1, 1), "{report}");
    assert_eq!(report.aborted[0].reason.name(), "tcp.drained");
    assert!(report.during >= 2_000_000_000);
}

#[test]
fn tasks_that_have_not_run_are_cancelled_and_who_waits_hears_it() {
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    let heard: Rc<RefCell<Vec<Result<u32, TaskError>>>> = Rc::default();
    let ran = Rc::new(Cell::new(0));
    let (hear, count) = (Rc::clone(&heard), Rc::clone(&ran));
    let completer = side.reactor.with(key, |_, table| {
        let tick = Rc::clone(&count);
        table.every(100 * MS, Missed::Skip, move |_, _| tick.set(tick.get() + 1));
        table.call_later(60 * S, move |_, _| count.set(1000));
        table.expect(None, move |_, result, table| {
            hear.borrow_mut().push(result);
            // What is begun so late is not begun any more.
            table.call_later(MS, |_, _| panic!("after the end"));
        })
    });
    side.pass(350 * MS);
    assert_eq!(ran.get(), 3);
    let report = stop(&mut side, S);
    assert_eq!(*heard.borrow(), [Err(TaskError::Cancelled)]);
    assert_eq!(report.cancelled_total, 4, "{report:?}");
    assert!(report.cancelled.iter().all(|name| name.contains("sim_shutdown")), "{report:?}");
    drop(completer);
    side.pass(120 * S);
    assert_eq!(ran.get(), 3, "nothing runs after the end");
}

#[test]
fn a_stopped_reactor_runs_again_with_its_timers_and_stops_again() {
    let world = World::new(1);
    let (mut side, book, key) = serve(&world, &tcp(), Hooks::default());
    let notes: Notes = Rc::default();
    for round in ["one", "two", "three"] {
        hook(&mut side, key, Stage::After, &notes, round);
        let late = Rc::clone(&notes);
        side.reactor.with(key, |_, table| table.call_later(5 * MS, move |_, _| note(&late, "timer")));
        side.pass(10 * MS);
        assert!(stop(&mut side, S).is_clean());
        side.reactor.listen(key, &tcp()).unwrap();
        let peer = dial(&mut side, &book, &tcp());
        drop(peer);
        side.settle();
    }
    assert_eq!(*notes.borrow(), ["timer", "one", "timer", "two", "timer", "three"]);
}

#[test]
fn whatever_happens_the_drain_ends_within_its_grace_and_its_parts_sum_up() {
    seeds("shutdown", |seed| {
        let mut rng = Rng::new(seed);
        let world = World::with_faults(seed, Faults::hostile().swarm(seed));
        let stubborn = rng.chance(500);
        let hooks = Hooks {
            drain: stubborn.then(|| Box::new(|_: &mut tidemill::reactor::Ctx<'_, Hooks>| ()) as Box<_>),
            data: Some(Box::new(|ctx| {
                ctx.tx.take_from(&mut ctx.rx);
            })),
            ..Hooks::default()
        };
        let mut side = Side::new(&world);
        let key = side.reactor.add(hooks);
        side.reactor.listen(key, &tcp()).unwrap();
        let mut peers: Vec<_> = (0..rng.between(0, 5)).filter_map(|_| world.dial(&tcp()).ok()).collect();
        for _ in 0..rng.between(0, 20) {
            side.tick(MS);
            peers.iter_mut().for_each(|p| {
                p.write(b"to and fro");
            });
        }
        let holds: Rc<RefCell<Vec<Hold>>> = Rc::default();
        for stage in [Stage::Before, Stage::During, Stage::After] {
            let (keep, stays) = (Rc::clone(&holds), rng.chance(300));
            side.reactor.at_shutdown(key, stage, move |_, _, hold| {
                if stays {
                    keep.borrow_mut().push(hold);
                }
            });
        }
        let began = world.now();
        let grace = Duration::from_millis(rng.below(5000));
        let report = stop(&mut side, grace);
        let jumps = 40 * S; // the clock may jump twice on the way
        assert!(world.now() - began <= grace + S + jumps, "it took {:?}", world.now() - began);
        assert_eq!(report.before + report.during + report.after, report.ended.since(report.began));
        assert_eq!(side.reactor.connections(), 0);
        assert_eq!(report.finished + report.aborted_total, report.finished + report.aborted.len() as u64);
    });
}

#[test]
fn a_second_stop_while_it_stops_does_not_end_the_next_run() {
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    let handle = side.reactor.handle();
    side.reactor.at_shutdown(key, Stage::After, move |_, _, _| handle.stop(S));
    let _ = stop(&mut side, S);
    side.reactor.listen(key, &tcp()).unwrap();
    side.pass(S);
    assert!(!side.reactor.is_stopping());
    assert_eq!(world.open_listeners(side.process), 1);
}

#[test]
fn a_hook_asked_for_too_late_is_dropped_with_this_stop() {
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    side.reactor.at_shutdown(key, Stage::During, |_, table, _| {
        table.at_shutdown(Stage::Before, |_, _, _| panic!("never"));
        table.at_shutdown(Stage::During, |_, _, _| panic!("never"));
    });
    let _ = stop(&mut side, S);
    assert!(stop(&mut side, S).is_clean());
}

#[test]
fn who_tries_again_on_every_cancellation_does_not_outlive_the_stop() {
    fn again(_: &mut Hooks, _: Result<u32, TaskError>, table: &mut tidemill::reactor::Table<'_, Hooks>) {
        // Dropped, the completer is heard of in a later turn; the task itself must not be there by then.
        std::mem::forget(table.expect(None, again));
    }
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    side.reactor.with(key, |_, table| std::mem::forget(table.expect(None, again)));
    let report = stop(&mut side, S);
    assert!(report.cancelled_total >= 2, "{report}");
    assert_eq!(side.reactor.with(key, |_, table| table.tasks()), 0);
}

#[test]
fn posts_of_other_threads_run_before_the_end_and_are_counted_when_there_is_no_time() {
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    let (ran, handle) = (std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)), side.reactor.handle());
    let post = |n: usize| {
        for _ in 0..n {
            let ran = std::sync::Arc::clone(&ran);
            let count = move |_: &mut Hooks, _: &mut tidemill::reactor::Table<'_, Hooks>| {
                ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            };
            handle.post(key, count).unwrap();
        }
    };
    post(5000);
    assert!(stop(&mut side, S).is_clean());
    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 5000);
    post(5000);
    let report = stop(&mut side, Duration::ZERO);
    assert!((1..5000).contains(&report.posts_left) && !report.is_clean(), "{report}");
    side.settle();
    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 10_000, "the next run has them");
}
