//! Tasks for a time: never early, on the beat, once for each time that they are due; long work in slices; panics.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sim::tasks::{Bench, MEANT, Token};
use sim::{MS, S, tcp};
use tidemill::reactor::testing::{Faults, Rng, World, seeds};
use tidemill::reactor::{Config, Missed, Step, TaskId, Time};

const DAY: Duration = Duration::from_secs(86_400);

fn config(set: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    set(&mut config);
    config
}

#[test]
fn a_timer_runs_once_never_early_and_within_a_millisecond_of_a_free_loop() {
    seeds("a_timer_runs_once_never_early_and_within_a_millisecond_of_a_free_loop", |seed| {
        let mut rng = Rng::new(seed);
        let mut bench = Bench::with_config(World::new(seed), Config::default());
        let ran: Rc<RefCell<Vec<u64>>> = Rc::default();
        bench.world.advance(Duration::from_nanos(rng.below(3_000_000)));
        let count = rng.between(1, 40) as u64;
        for n in 0..count {
            let reach = 1 << rng.below(33);
            let (after, ran) = (Duration::from_nanos(rng.below(reach)), Rc::clone(&ran));
            bench.world.advance(Duration::from_nanos(rng.below(1000)));
            bench.with(|_, table| {
                let due = table.now() + after;
                table.call_later(after, move |_, table| {
                    let late = table.now() - due;
                    assert!(table.now() >= due, "{} is before {due:?}", table.now().as_nanos());
                    assert!(late < MS, "{late:?} late");
                    ran.borrow_mut().push(n);
                });
            });
        }
        bench.pass(20 * S);
        let mut ran = ran.borrow().clone();
        ran.sort_unstable();
        assert_eq!(ran, (0..count).collect::<Vec<_>>());
        assert_eq!(bench.reactor.next_wait(), None, "nothing is left that could wake it");
    });
}

#[test]
fn a_timer_far_away_comes_in_its_time_through_weeks_of_idleness() {
    for (idle, after) in [(0, 1), (0, 30), (26, 1), (49, 13), (60, 60), (25, 25), (3000, 100)] {
        let mut bench = Bench::new();
        // No turn sees the time pass, as in a poll that sleeps.
        bench.world.advance(DAY * idle);
        let due = bench.with(|_, table| {
            let due = table.now() + DAY * after;
            table.call_later(DAY * after, |worker, table| worker.note(table.now().as_nanos()));
            due
        });
        let mut turns = 0;
        while bench.now() < due {
            bench.turn();
            turns += 1;
        }
        bench.rest();
        let ran: Vec<u64> = bench.notes().iter().map(|n| n.parse().unwrap()).collect();
        assert_eq!(ran, [due.as_nanos()], "after {idle} idle days, {after} ahead");
        assert!(turns <= after / 6 + 2, "{turns} turns for {after} days");
    }
}

#[test]
fn timers_that_always_reach_further_than_the_last_do_not_outrun_the_wheel() {
    let mut bench = Bench::new();
    // One is always filed and none ever comes, so that nothing but the store itself keeps the wheel's time.
    let mut last = bench.with(|_, table| table.call_later(DAY * 12, |_, _| panic!("it was cancelled")));
    for _ in 0..20 {
        let until = bench.now() + DAY * 5;
        while bench.now() < until {
            let left = until - bench.now();
            bench.reactor.turn(Some(left)).unwrap();
            bench.check();
        }
        let next = bench.with(|_, table| table.call_later(DAY * 12, |_, _| panic!("it was cancelled")));
        bench.with(|_, table| assert!(table.cancel(last)));
        last = next;
    }
    bench.with(|_, table| table.reset(last, S));
    bench.with(|_, table| table.call_later(MS, |worker, _| worker.note("soon")));
    bench.pass(2 * MS);
    assert_eq!(bench.notes(), ["soon"]);
}

#[test]
fn ticks_do_not_drift_over_a_thousand_of_them() {
    for (period, busy) in [(10 * MS, Duration::ZERO), (10 * MS, 3 * MS), (Duration::from_micros(2300), MS)] {
        for missed in [Missed::Skip, Missed::Burst] {
            let mut bench = Bench::new();
            let world = bench.world.clone();
            let began = bench.with(|_, table| {
                table.every(period, missed, move |worker, table| {
                    worker.note(table.now().as_nanos());
                    world.advance(busy);
                });
                table.now()
            });
            bench.pass(period * 1000 + 2 * MS);
            let ticks: Vec<u64> = bench.notes().iter().map(|n| n.parse().unwrap()).collect();
            assert!(ticks.len() >= 1000, "{} ticks", ticks.len());
            for (n, tick) in ticks.iter().enumerate() {
                let due = (began + period * (n as u32 + 1)).as_nanos();
                let late = tick.checked_sub(due).expect("never early");
                assert!(late < 1_000_000, "tick {n} is {late} ns late: {period:?} {busy:?} {missed:?}");
            }
        }
    }
}

/// The beats, counted in periods of 10 ms, whose ticks ran within 200 ms, when the tick of beat 2 takes `busy`.
fn beats(missed: Missed, busy: Duration) -> (Vec<u64>, Vec<u64>) {
    let mut bench = Bench::new();
    let world = bench.world.clone();
    let id: Rc<Cell<Option<TaskId>>> = Rc::default();
    let mine = Rc::clone(&id);
    let (mut n, period) = (0, 10 * MS);
    let began = bench.with(|_, table| {
        id.set(Some(table.every(period, missed, move |worker, table| {
            let due = table.task_due(mine.get().unwrap()).unwrap();
            worker.note(format!("{} {}", due.as_nanos(), table.turn()));
            n += 1;
            if n == 2 {
                world.advance(busy);
            }
        })));
        table.now()
    });
    bench.pass(200 * MS);
    let notes = bench.notes();
    let pairs = notes.iter().map(|n| n.split_once(' ').unwrap());
    pairs
        .map(|(due, turn)| {
            let since = due.parse::<u64>().unwrap() - began.as_nanos();
            assert_eq!(since % 10_000_000, 0, "off the beat");
            (since / 10_000_000, turn.parse::<u64>().unwrap())
        })
        .unzip()
}

#[test]
fn missed_ticks_are_skipped_or_made_up_for_one_a_turn_on_the_same_beat() {
    let (skip, _) = beats(Missed::Skip, 47 * MS);
    assert_eq!(skip[..5], [1, 2, 7, 8, 9], "the busy tick reached from 20 to 67 ms");
    let (skip, _) = beats(Missed::Skip, 40 * MS);
    assert_eq!(skip[..4], [1, 2, 7, 8], "a beat that has just come is missed");
    let (burst, turns) = beats(Missed::Burst, 47 * MS);
    assert_eq!(burst, (1..=20).collect::<Vec<_>>(), "each of them");
    assert!(turns.windows(2).all(|w| w[0] < w[1]), "one a turn: {turns:?}");
    for missed in [Missed::Skip, Missed::Burst] {
        assert_eq!(beats(missed, Duration::ZERO).0, (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn a_tick_that_always_takes_longer_than_its_period_leaves_the_loop_alive() {
    for missed in [Missed::Skip, Missed::Burst] {
        let mut bench = Bench::new();
        let world = bench.world.clone();
        bench.with(|_, table| {
            table.every(10 * MS, missed, move |_, _| world.advance(25 * MS));
            table.call_later(95 * MS, |worker, _| worker.note("beside"));
        });
        for _ in 0..20 {
            bench.turn();
        }
        assert_eq!(bench.notes(), ["beside"], "{missed:?}");
    }
}

#[test]
fn a_task_can_cancel_and_move_itself_from_its_own_run() {
    let mut bench = Bench::new();
    let began = bench.with(|_, table| {
        let mut n = 0;
        table.every(10 * MS, Missed::Burst, move |worker, table| {
            let me = table.current_task().unwrap();
            worker.note(table.now().as_nanos() / 1_000_000);
            n += 1;
            match n {
                2 => assert!(table.reset(me, 25 * MS)),
                4 => {
                    assert!(table.cancel(me));
                    assert!(!table.cancel(me) && !table.reset(me, MS) && !table.has_task(me));
                }
                _ => {}
            }
        });
        table.call_later(5 * MS, |worker, table| {
            let me = table.current_task().unwrap();
            assert!(!table.cancel(me) && !table.reset(me, MS), "it runs once, and does so now");
            worker.note("once");
        });
        let mut left = 3;
        table.cooperate(move |worker, table| {
            left -= 1;
            worker.note(format!("slice {left}"));
            let me = table.current_task().unwrap();
            assert!(!table.reset(me, MS));
            if left == 1 {
                assert!(table.cancel(me));
            }
            Step::More
        });
        table.now()
    });
    assert_eq!(began, Time::ZERO);
    bench.pass(S);
    assert_eq!(bench.notes(), ["slice 2", "slice 1", "once", "10", "20", "45", "55"]);
    bench.with(|_, table| assert_eq!(table.tasks(), 0));
}

#[test]
fn a_moved_task_runs_at_its_new_time_only_and_a_moved_beat_goes_on_from_there() {
    let mut bench = Bench::new();
    let (a, b, c) = bench.with(|_, table| {
        let at = |name: &'static str| {
            move |worker: &mut sim::tasks::Worker, table: &mut tidemill::reactor::Table<'_, _>| {
                worker.note(format!("{name} {}", table.now().as_nanos() / 1_000_000));
            }
        };
        let a = table.call_later(10 * MS, at("a"));
        let b = table.call_later(10 * MS, at("b"));
        let c = table.every(10 * MS, Missed::Skip, at("c"));
        (a, b, c)
    });
    bench.pass(5 * MS);
    bench.with(|_, table| {
        assert!(table.reset(a, 20 * MS) && table.reset(b, 2 * MS) && table.reset(c, 30 * MS));
        assert_eq!(table.task_due(c), Some(Time::from_nanos(35_000_000)));
    });
    bench.pass(55 * MS);
    assert_eq!(bench.notes(), ["b 7", "a 25", "c 35", "c 45", "c 55"]);
    bench.with(|_, table| assert!(!table.reset(a, MS) && !table.cancel(b) && table.cancel(c)));
    // A tick that is being made up for is posted: moved, it must not come twice.
    let world = bench.world.clone();
    let mut first = true;
    let d = bench.with(|_, table| {
        table.every(10 * MS, Missed::Burst, move |worker, table| {
            worker.note(format!("d {}", table.now().as_nanos() / 1_000_000));
            if std::mem::take(&mut first) {
                world.advance(50 * MS);
            }
        })
    });
    bench.turn();
    assert_eq!(bench.notes(), ["d 70"]);
    bench.with(|_, table| assert!(table.reset(d, 100 * MS)));
    bench.pass(125 * MS);
    assert_eq!(bench.notes(), ["d 220", "d 230", "d 240"]);
}

#[test]
fn a_hundred_thousand_due_timers_let_an_echo_through_and_run_a_bounded_number_a_turn() {
    const TIMERS: usize = 100_000;
    let mut bench = Bench::with_config(World::new(1), config(|c| c.turn_tasks_max = 500));
    let (echo, book) = sim::Echo::new();
    let echo = bench.reactor.add(echo);
    bench.reactor.listen(echo, &tcp()).unwrap();
    let mut peer = bench.world.dial(&tcp()).unwrap();
    let ran: Rc<Cell<usize>> = Rc::default();
    bench.with(|_, table| {
        for _ in 0..TIMERS {
            let ran = Rc::clone(&ran);
            table.call_later(MS, move |_, _| ran.set(ran.get() + 1));
        }
    });
    bench.world.advance(2 * MS);
    let mut turns = 0;
    while ran.get() < TIMERS {
        let before = ran.get();
        if turns >= 2 {
            peer.write(b"alive?");
        }
        bench.reactor.turn(None).unwrap();
        assert!(ran.get() - before <= 500, "{} in one turn", ran.get() - before);
        if turns >= 2 {
            assert_eq!(peer.read(), b"alive?", "in turn {turns}");
        }
        turns += 1;
    }
    assert_eq!((turns, book.opened.get()), (TIMERS / 500, 1));
    bench.check();
}

#[test]
fn posts_without_end_keep_neither_timers_nor_other_threads_waiting() {
    fn flood(_: &mut sim::tasks::Worker, table: &mut tidemill::reactor::Table<'_, sim::tasks::Worker>) {
        table.post(flood);
    }
    let mut bench = Bench::with_config(World::new(1), config(|c| c.turn_tasks_max = 10));
    let handle = bench.reactor.handle();
    bench.with(|_, table| {
        for _ in 0..50 {
            table.post(flood);
        }
        table.every(10 * MS, Missed::Burst, |worker, _| worker.note("tick"));
    });
    // Some come while earlier ones still wait for their turn.
    let post = |bench: &Bench, n: u32| handle.post(bench.key, move |worker, _| worker.note(n)).unwrap();
    (0..25).for_each(|n| post(&bench, n));
    for n in 25..55 {
        post(&bench, n);
        bench.poke();
        bench.world.advance(10 * MS);
    }
    (0..20).for_each(|_| bench.poke());
    let notes = bench.notes();
    let posts: Vec<_> = notes.iter().filter(|n| *n != "tick").cloned().collect();
    assert_eq!(posts, (0..55).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(notes.len() - posts.len() >= 4, "{notes:?}");
}

#[test]
fn work_in_slices_shares_its_time_and_each_has_its_turn() {
    let mut bench = Bench::with_config(World::new(1), config(|c| c.cooperate_slice = 5 * MS));
    for name in ["a", "b"] {
        let (world, mut left) = (bench.world.clone(), 10);
        bench.with(|_, table| {
            table.cooperate(move |worker, _| {
                worker.note(name);
                world.advance(MS);
                left -= 1;
                if left == 0 { Step::Done } else { Step::More }
            })
        });
    }
    bench.poke();
    assert_eq!(bench.notes(), ["a", "b", "a", "b", "a"], "five milliseconds of one each");
    bench.poke();
    assert_eq!(bench.notes(), ["b", "a", "b", "a", "b"], "and it goes on where it was");
    bench.rest();
    assert_eq!(bench.notes().len(), 10);
    bench.with(|_, table| assert_eq!(table.tasks(), 0));
}

#[test]
fn panics_of_closures_and_of_their_drops_cost_one_task_and_are_told() {
    let mut bench = Bench::new();
    let (live, dropped) = (Rc::<Cell<usize>>::default(), Rc::<RefCell<Vec<u64>>>::default());
    let bad = || Token::bad(&live, 0, &dropped);
    let mut ids: Vec<TaskId> = bench.with(|_, table| {
        let (t1, t2, t3, t4, t5) = (bad(), bad(), bad(), bad(), bad());
        vec![
            table.post(|_, _| panic!("{MEANT}")),
            table.post(move |_, _| drop(t1)),
            table.call_later(MS, |_, _| panic!("{MEANT}")),
            table.every(MS, Missed::Skip, |_, _| panic!("{MEANT}")),
            table.every(MS, Missed::Skip, move |_, table| {
                let _ = &t2;
                let me = table.current_task().unwrap();
                table.cancel(me);
            }),
            table.cooperate(|_, _| panic!("{MEANT}")),
            table.cooperate(move |_, _| {
                let _ = &t3;
                Step::Done
            }),
            {
                let id = table.call_later(S, move |_, _| drop(t4));
                assert!(table.cancel(id), "the caller goes on");
                id
            },
            {
                let group = table.group();
                let id = table.call_later(S, move |_, _| drop(t5));
                table.join_group(group, id);
                let beside = table.call_later(S, |_, _| {});
                table.join_group(group, beside);
                assert_eq!(table.remove_group(group), 2);
                id
            },
            table.expect::<()>(Some(MS), |_, _, _| panic!("{MEANT}")).task(),
        ]
    });
    bench.with(|_, table| {
        table.every(10 * MS, Missed::Skip, |worker, _| worker.note("alive"));
    });
    bench.pass(20 * MS);
    assert_eq!(bench.notes(), ["alive", "alive"]);
    let mut told = bench.told("task.panicked");
    told.sort_unstable();
    ids.sort_unstable();
    assert_eq!(told, ids, "each once");
    bench.with(|_, table| {
        assert_eq!(table.tasks(), 1);
        assert!(ids.iter().all(|id| !table.has_task(*id)));
    });
    assert_eq!((live.get(), dropped.borrow().len()), (0, 5));
    // What is left when the reactor goes may panic, all of it, and harms nobody.
    let (t1, t2, t3) = (bad(), bad(), bad());
    bench.with(|_, table| {
        table.post(move |_, _| drop(t1));
        table.call_later(S, move |_, _| drop(t2));
        let queue = table.queue(2);
        table.push(queue, t3).unwrap_or_else(|_| panic!("it is empty"));
    });
    drop(bench);
    assert_eq!((live.get(), dropped.borrow().len()), (0, 8));
}

#[test]
fn a_late_task_is_told_and_runs_all_the_same() {
    let mut bench = Bench::with_config(World::new(1), config(|c| c.task_late = Some(100 * MS)));
    let world = bench.world.clone();
    let (late, _) = bench.with(|_, table| {
        let late = table.call_later(10 * MS, |worker, _| worker.note("late"));
        (late, table.call_later(100 * MS, |worker, _| worker.note("in time")))
    });
    world.advance(111 * MS);
    bench.poke();
    assert_eq!(bench.notes(), ["late", "in time"]);
    assert_eq!(bench.told("task.late"), [late]);
    bench.with(|worker, _| {
        let record = worker.reports[0].record;
        assert_eq!((record.delay, record.processing, record.due.as_nanos()), (101_000_000, 0, 10_000_000));
        assert!(record.name.contains("a_late_task_is_told"), "{}", record.name);
    });
}

#[test]
fn the_parts_of_a_hundred_thousand_records_sum_to_their_totals() {
    let faults = Faults::hostile();
    let mut bench = Bench::with_config(World::with_faults(7, faults), config(|c| c.task_late = None));
    bench.reactor.keep_task_records();
    let mut rng = Rng::new(7);
    let mut made = 0_usize;
    let mut records = Vec::new();
    while made < 100_000 {
        for _ in 0..1000 {
            let (world, busy) = (bench.world.clone(), Duration::from_nanos(rng.below(2000)));
            let after = Duration::from_nanos(rng.below(50_000_000));
            bench.reactor.with(bench.key, |_, table| match rng.below(4) {
                0 => table.post(move |_, _| world.advance(busy)),
                1 => table.call_later(after, move |_, _| world.advance(busy)),
                2 => table.expect::<()>(Some(after), move |_, _, _| world.advance(busy)).task(),
                _ => {
                    let mut left = 3;
                    table.cooperate(move |_, _| {
                        world.advance(busy);
                        left -= 1;
                        if left > 0 { Step::More } else { Step::Done }
                    })
                }
            });
            made += 1;
        }
        bench.poke();
        records.append(&mut bench.reactor.take_task_records());
    }
    while bench.reactor.with(bench.key, |_, table| table.tasks()) > 0 {
        bench.turn();
    }
    records.append(&mut bench.reactor.take_task_records());
    assert_eq!(records.len(), made, "one record for each task");
    for r in &records {
        assert_eq!(r.delay + r.processing, r.ended.since(r.due), "{r:?}");
        assert_eq!(r.total(), r.ended.since(r.due));
    }
    assert!(records.iter().any(|r| r.delay > 0 && r.processing > 0));
}
