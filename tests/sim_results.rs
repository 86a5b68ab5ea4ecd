//! Results that come later, and who waits with others: exactly once, in order, nothing lost by a cancellation.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sim::tasks::{Bench, Token, Worker};
use sim::{MS, S};
use tidemill::reactor::testing::World;
use tidemill::reactor::{
    Completer, Config, Permit, PostError, QueueId, SemaphoreId, SendError, Table, TaskError, TaskId,
};

/// Waits for a number, and notes what comes under `name`.
fn wait(table: &mut Table<'_, Worker>, name: &'static str, limit: Option<Duration>) -> Completer<u32> {
    table.expect(limit, move |worker, result: Result<u32, TaskError>, table| {
        let at = table.now().as_nanos() / 1_000_000;
        worker.note(format!("{name} {} at {at}", told(result)));
    })
}

fn told<T: ToString>(result: Result<T, TaskError>) -> String {
    result.map_or_else(|e| format!("{e:?}"), |value| value.to_string())
}

#[test]
fn a_result_comes_once_with_its_value_or_with_why_there_is_none() {
    let mut bench = Bench::new();
    let made = bench.with(|_, table| {
        ["local", "remote", "failed", "dropped", "timed out", "cancelled"]
            .map(|name| wait(table, name, (name == "timed out").then_some(5 * MS)))
    });
    bench.pass(3 * MS);
    assert_eq!(bench.notes(), [""; 0], "nobody has answered");
    let [local, remote, failed, dropped, timed_out, cancelled] = made;
    bench.with(|_, table| {
        assert!(table.complete(local, 1));
        assert!(table.cancel(cancelled.task()) && !table.cancel(cancelled.task()));
        assert!(!table.complete(cancelled, 7), "nobody waits any more");
    });
    assert!(remote.complete(2) && failed.fail(TaskError::Panicked));
    drop(dropped);
    bench.pass(5 * MS);
    assert!(timed_out.complete(3), "the reactor is there, but the time was over");
    bench.pass(5 * MS);
    let notes = bench.notes();
    let want = ["local 1 at 3", "remote 2 at 3", "failed Panicked at 3", "dropped Cancelled at 3"];
    assert_eq!(notes, [&want[..], &["timed out TimedOut at 5"]].concat());
    bench.with(|_, table| assert_eq!(table.tasks(), 0));
    let late = bench.with(|_, table| wait(table, "late", None));
    drop(bench);
    assert!(!late.complete(9), "the reactor is gone");
}

/// What is delivered when a result and the end of its time come in the same instant, given in this way.
fn at_the_limit(give: impl Fn(&mut Bench, Completer<u32>)) -> Vec<String> {
    let mut bench = Bench::new();
    let completer = bench.with(|_, table| wait(table, "w", Some(5 * MS)));
    bench.world.advance(5 * MS);
    give(&mut bench, completer);
    bench.pass(20 * MS);
    bench.with(|_, table| assert_eq!(table.tasks(), 0));
    bench.notes()
}

#[test]
fn a_result_in_the_very_instant_of_the_limit_wins_or_loses_and_never_both() {
    let local = |bench: &mut Bench, completer| {
        bench.with(|_, table| assert!(table.complete(completer, 1)));
    };
    assert_eq!(at_the_limit(local), ["w 1 at 5"], "it was given before the loop saw the time");
    assert_eq!(at_the_limit(|_, completer| assert!(completer.complete(1))), ["w 1 at 5"]);
    assert_eq!(at_the_limit(|_, completer| drop(completer)), ["w Cancelled at 5"]);
    let after = |bench: &mut Bench, completer| {
        bench.poke();
        bench.with(|_, table| assert!(!table.complete(completer, 1)));
    };
    assert_eq!(at_the_limit(after), ["w TimedOut at 5"]);
    let after = |bench: &mut Bench, completer: Completer<u32>| {
        bench.poke();
        assert!(completer.complete(1));
    };
    assert_eq!(at_the_limit(after), ["w TimedOut at 5"]);
    // A timer of the same instant, filed before the limit and after it, gives the value.
    for before in [true, false] {
        let mut bench = Bench::new();
        let slot: Rc<Cell<Option<Completer<u32>>>> = Rc::default();
        bench.with(|_, table| {
            let mine = Rc::clone(&slot);
            let give = move |worker: &mut Worker, table: &mut Table<'_, Worker>| {
                let wanted = table.complete(mine.take().unwrap(), 1);
                worker.note(wanted);
            };
            if before {
                table.call_later(5 * MS, give);
                slot.set(Some(wait(table, "w", Some(5 * MS))));
            } else {
                slot.set(Some(wait(table, "w", Some(5 * MS))));
                table.call_later(5 * MS, give);
            }
        });
        bench.pass(20 * MS);
        let want = if before { ["true", "w 1 at 5"] } else { ["w TimedOut at 5", "false"] };
        assert_eq!(bench.notes(), want);
    }
}

#[test]
fn the_limit_of_a_result_can_be_moved_until_it_has_come() {
    let mut bench = Bench::new();
    let (a, b, c) =
        bench.with(|_, t| (wait(t, "a", Some(5 * MS)), wait(t, "b", Some(5 * MS)), wait(t, "c", None)));
    bench.with(|_, table| {
        assert!(table.reset(a.task(), 9 * MS));
        assert!(!table.reset(c.task(), 9 * MS), "it has none");
        let task = b.task();
        assert!(table.complete(b, 1) && !table.reset(task, S), "it is on its way");
    });
    bench.pass(20 * MS);
    assert_eq!(bench.notes(), ["b 1 at 0", "a TimedOut at 9"]);
}

#[test]
fn a_join_has_a_result_for_each_part_in_their_order() {
    let mut bench = Bench::new();
    let join = |bench: &mut Bench, parts, limit| {
        bench.with(|_, table| {
            table.join(parts, limit, |worker, results: Vec<Result<u32, TaskError>>, _| {
                let all: Vec<String> = results.into_iter().map(told).collect();
                worker.note(all.join(" "));
            })
        })
    };
    let (_, none) = join(&mut bench, 0, Some(S));
    assert!(none.is_empty());
    bench.rest();
    assert_eq!(bench.notes(), [""], "with no parts in the next turn");
    let (_, mut parts) = join(&mut bench, 4, None);
    let (d, c, b, a) =
        (parts.pop().unwrap(), parts.pop().unwrap(), parts.pop().unwrap(), parts.pop().unwrap());
    assert!(c.complete(3));
    bench.rest();
    bench.with(|_, table| assert!(table.complete(a, 1)));
    drop(b);
    bench.rest();
    assert!(bench.notes().is_empty());
    assert!(d.complete(4));
    bench.rest();
    assert_eq!(bench.notes(), ["1 Cancelled 3 4"]);
    let (_, mut parts) = join(&mut bench, 3, Some(5 * MS));
    bench.with(|_, table| assert!(table.complete(parts.remove(1), 2)));
    bench.pass(10 * MS);
    assert_eq!(bench.notes(), ["TimedOut 2 TimedOut"]);
    let (id, parts) = join(&mut bench, 2, None);
    bench.with(|_, table| assert!(table.cancel(id)));
    drop(parts);
    bench.rest();
    assert!(bench.notes().is_empty());
}

#[test]
fn a_race_has_the_first_value_and_its_losers_are_not_heard() {
    let mut bench = Bench::new();
    let race = |bench: &mut Bench, parts, limit| {
        bench.with(|_, table| {
            table.race(parts, limit, |worker, result: Result<(usize, u32), TaskError>, _| {
                worker.note(told(result.map(|(n, value)| format!("{n}:{value}"))));
            })
        })
    };
    let (_, mut parts) = race(&mut bench, 3, Some(S));
    drop(parts.remove(0));
    bench.with(|_, table| {
        assert!(table.complete(parts.remove(1), 30));
        assert!(!table.complete(parts.remove(0), 20));
    });
    bench.pass(2 * S);
    assert_eq!(bench.notes(), ["2:30"]);
    let (_, parts) = race(&mut bench, 3, Some(S));
    drop(parts);
    bench.pass(2 * S);
    assert_eq!(bench.notes(), ["Cancelled"], "all failed");
    let (_, mut parts) = race(&mut bench, 2, Some(S));
    drop(parts.pop());
    bench.pass(2 * S);
    assert_eq!(bench.notes(), ["TimedOut"], "one failed, the other did not come in time");
    race(&mut bench, 0, None);
    bench.rest();
    assert_eq!(bench.notes(), ["Cancelled"]);
}

/// Asks for a permit; it is kept in `held` and noted.
fn acquire(
    table: &mut Table<'_, Worker>,
    s: SemaphoreId,
    n: usize,
    limit: Option<Duration>,
    held: &Rc<Cell<Vec<Permit>>>,
) -> TaskId {
    let held = Rc::clone(held);
    table.acquire(s, limit, move |worker, result, _| {
        worker.note(format!("{n} {}", told(result.as_ref().map(|_| "has it").map_err(|e| *e))));
        let mut all = held.take();
        all.extend(result.ok());
        held.set(all);
    })
}

#[test]
fn a_semaphore_lets_so_many_through_in_the_order_of_asking_and_loses_no_permit() {
    let mut bench = Bench::new();
    let held: Rc<Cell<Vec<Permit>>> = Rc::default();
    let (s, ids) = bench.with(|_, table| {
        let s = table.semaphore(2);
        let limit = |n| (n == 3).then_some(5 * MS);
        (s, (0..7).map(|n| acquire(table, s, n, limit(n), &held)).collect::<Vec<_>>())
    });
    bench.with(|_, table| {
        assert_eq!(table.permits(s), 0);
        assert!(table.try_acquire(s).is_none());
        // The first has its permit but has not heard of it; the fifth only waits.
        assert!(table.cancel(ids[0]) && table.cancel(ids[4]));
    });
    bench.rest();
    assert_eq!(bench.notes(), ["1 has it", "2 has it"], "the permit of the cancelled went on");
    bench.pass(6 * MS);
    assert_eq!(bench.notes(), ["3 TimedOut"]);
    let mut permits = held.take();
    bench.with(|_, table| table.release(permits.pop().unwrap()));
    drop(permits);
    bench.rest();
    assert_eq!(bench.notes(), ["5 has it", "6 has it"]);
    held.take();
    bench.rest();
    bench.with(|_, table| {
        assert_eq!(table.permits(s), 2);
        let one = table.try_acquire(s).unwrap();
        acquire(table, s, 8, None, &held);
        acquire(table, s, 9, None, &held);
        assert!(table.remove_semaphore(s) && !table.remove_semaphore(s));
        table.release(one);
        acquire(table, s, 10, None, &held);
    });
    bench.rest();
    assert_eq!(bench.notes(), ["8 has it", "9 Cancelled", "10 Cancelled"]);
}

fn take(table: &mut Table<'_, Worker>, q: QueueId<u32>, name: u32, limit: Option<Duration>) -> TaskId {
    table.take(q, limit, move |worker, result, _| worker.note(format!("{name} takes {}", told(result))))
}

fn put(table: &mut Table<'_, Worker>, q: QueueId<u32>, item: u32, limit: Option<Duration>) -> TaskId {
    table.push_later(q, item, limit, move |worker, result, _| {
        worker.note(format!("{item} {}", told(result.map(|()| "is in"))));
    })
}

#[test]
fn a_queue_keeps_its_order_its_bound_and_its_items() {
    let mut bench = Bench::new();
    let q = bench.with(|_, table| table.queue::<u32>(2));
    bench.with(|_, table| {
        assert_eq!((table.push(q, 1), table.push(q, 2)), (Ok(()), Ok(())));
        assert_eq!(table.push(q, 3), Err(SendError::Full(3)));
        put(table, q, 3, None);
        let timed = put(table, q, 4, Some(5 * MS));
        let cancelled = put(table, q, 5, None);
        put(table, q, 6, None);
        assert!(table.cancel(cancelled) && table.has_task(timed));
    });
    bench.pass(6 * MS);
    assert_eq!(bench.notes(), ["4 TimedOut"]);
    bench.with(|_, table| {
        assert_eq!((table.pop(q), table.queue_len(q)), (Some(1), 2), "the next is in");
        assert_eq!(
            (table.pop(q), table.pop(q), table.pop(q), table.pop(q)),
            (Some(2), Some(3), Some(6), None)
        );
    });
    bench.rest();
    assert_eq!(bench.notes(), ["3 is in", "6 is in"]);
    bench.with(|_, table| {
        for name in 0..4 {
            take(table, q, name, (name == 1).then_some(5 * MS));
        }
    });
    bench.pass(6 * MS);
    bench.with(|_, table| {
        // Given at once to those who wait: there is room for more than the bound.
        assert!((10..15).all(|item| table.push(q, item).is_ok()));
        assert_eq!(table.queue_len(q), 2);
    });
    bench.rest();
    assert_eq!(bench.notes(), ["1 takes TimedOut", "0 takes 10", "2 takes 11", "3 takes 12"]);
    bench.with(|_, table| {
        assert!(table.remove_queue(q) && !table.remove_queue(q));
        assert_eq!((table.push(q, 1), table.pop(q)), (Err(SendError::Gone(1)), None));
        take(table, q, 9, None);
        put(table, q, 9, None);
    });
    bench.rest();
    assert_eq!(bench.notes(), ["9 takes Cancelled", "9 Cancelled"]);
}

#[test]
fn items_of_takers_that_were_cancelled_go_back_to_their_places() {
    let mut bench = Bench::new();
    let q = bench.with(|_, table| table.queue::<u32>(8));
    bench.with(|_, table| {
        let takers: Vec<_> = (0..4).map(|name| take(table, q, name, None)).collect();
        (1..=6).for_each(|item| table.push(q, item).unwrap());
        // They have their items and have not heard of it.
        let group = table.group();
        [0, 2, 1].iter().for_each(|n| assert!(table.join_group(group, takers[*n])));
        assert_eq!(table.cancel_group(group), 3);
        assert_eq!(table.queue_len(q), 5);
        assert_eq!([1, 2, 3, 5, 6].map(Some), std::array::from_fn(|_| table.pop(q)));
        let (first, _) = (take(table, q, 7, None), take(table, q, 8, None));
        table.push(q, 70).unwrap();
        assert!(table.cancel(first), "its item is for the next who waits");
    });
    bench.rest();
    assert_eq!(bench.notes(), ["3 takes 4", "8 takes 70"]);
    bench.with(|_, table| assert_eq!(table.queue_len(q), 0));
}

#[test]
fn an_item_that_was_not_put_in_is_dropped_with_its_task() {
    let mut bench = Bench::new();
    let live: Rc<Cell<usize>> = Rc::default();
    let (q, cancelled) = bench.with(|_, table| {
        let q = table.queue(1);
        assert!(table.push(q, Token::new(&live)).is_ok());
        table.push_later(q, Token::new(&live), Some(MS), |worker, result, _| {
            worker.note(told(result.map(|()| 0)))
        });
        (q, table.push_later(q, Token::new(&live), None, |_, _, _| {}))
    });
    assert_eq!(live.get(), 3);
    bench.with(|_, table| table.cancel(cancelled));
    assert_eq!(live.get(), 2);
    bench.pass(2 * MS);
    assert_eq!((bench.notes().concat(), live.get()), ("TimedOut".to_owned(), 1));
    bench.with(|_, table| table.pop(q));
    assert_eq!(live.get(), 0);
}

#[test]
fn a_hundred_thousand_who_wait_on_both_sides_are_served_without_recursion() {
    const MANY: u32 = 100_000;
    let mut bench = Bench::new();
    let q = bench.with(|_, table| table.queue::<u32>(1));
    let sender = bench.with(|_, table| table.sender(q).unwrap());
    // Its room is taken while it is on its way: so takers and putters wait at the same time.
    sender.send(MANY).unwrap();
    bench.with(|_, table| {
        for n in 0..MANY {
            table.take(q, None, |worker, result, _| worker.note(told(result)));
            table.push_later(q, n, None, |_, result, _| assert!(result.is_ok()));
        }
    });
    while bench.reactor.with(bench.key, |_, table| table.tasks()) > 0 {
        bench.reactor.turn(None).unwrap();
    }
    let notes = bench.notes();
    assert_eq!((notes.len(), &notes[..2]), (MANY as usize, &[MANY.to_string(), "0".to_owned()][..]));
    assert_eq!(bench.with(|_, table| table.pop(q)), Some(MANY - 1));
}

#[test]
fn items_of_other_threads_count_at_once_and_come_in_order() {
    let mut bench = Bench::new();
    let (q, sender) = bench.with(|_, table| {
        let q = table.queue::<u32>(3);
        (q, table.sender(q).unwrap())
    });
    let other = sender.clone();
    let thread = std::thread::spawn(move || (0..5).map(|n| other.send(n)).collect::<Vec<_>>());
    let sent = thread.join().unwrap();
    assert_eq!(sent, [Ok(()), Ok(()), Ok(()), Err(SendError::Full(3)), Err(SendError::Full(4))]);
    bench.with(|_, table| {
        assert_eq!((table.queue_len(q), table.pop(q)), (3, None), "they are on their way");
        assert_eq!(table.push(q, 9), Err(SendError::Full(9)));
        take(table, q, 0, None);
    });
    bench.rest();
    assert_eq!(bench.notes(), ["0 takes 0"]);
    sender.send(5).unwrap();
    bench.rest();
    bench.with(|_, table| assert_eq!([table.pop(q), table.pop(q), table.pop(q)], [1, 2, 5].map(Some)));
    bench.with(|_, table| table.remove_queue(q));
    assert_eq!(sender.send(6), Err(SendError::Gone(6)));
    let sender = bench.with(|_, table| {
        let q = table.queue::<u32>(3);
        table.sender(q).unwrap()
    });
    drop(bench);
    assert_eq!(sender.send(7), Err(SendError::Gone(7)));
}

#[test]
fn a_group_is_cancelled_together_and_again_from_within() {
    let mut bench = Bench::new();
    let (group, other) = bench.with(|_, table| (table.group(), table.group()));
    bench.with(|_, table| {
        let ids: Vec<_> = (1..=5).map(|n| table.call_later(n * MS, |worker, _| worker.note("ran"))).collect();
        ids.iter().for_each(|id| assert!(table.join_group(group, *id)));
        assert!(table.join_group(other, ids[2]), "a task is in one group at most");
        assert!(table.join_group(group, ids[0]), "joining again changes nothing");
        assert_eq!((table.group_len(group), table.group_len(other)), (4, 1));
        table.cancel(ids[4]);
        assert!(!table.join_group(group, ids[4]));
        assert_eq!(table.group_len(group), 3);
    });
    bench.pass(MS);
    bench.with(|_, table| assert_eq!(table.group_len(group), 2));
    let within = bench.with(|_, table| {
        table.every(MS, Default::default(), move |worker, table| {
            worker.note(table.cancel_group(group));
            assert_eq!(table.group_len(group), 0);
        })
    });
    bench.with(|_, table| table.join_group(group, within));
    bench.pass(20 * MS);
    assert_eq!(bench.notes(), ["ran", "ran", "2", "ran"]);
    bench.with(|_, table| {
        let id = table.post(|worker, _| worker.note("again"));
        assert!(table.join_group(group, id), "it can be used again");
        assert_eq!((table.remove_group(other), table.remove_group(other)), (0, 0));
        assert!(!table.join_group(other, id));
    });
    bench.rest();
    assert_eq!(bench.notes(), ["again"]);
}

#[test]
fn a_full_queue_of_posts_is_an_answer_and_never_blocks_the_loops_own_thread() {
    let mut config = Config::default();
    config.posts_max = 3;
    let mut bench = Bench::with_config(World::new(1), config);
    let (handle, key) = (bench.reactor.handle(), bench.key);
    // On the thread that made the reactor, before its first turn.
    for n in 0..3 {
        handle.post(key, move |worker, _| worker.note(n)).unwrap();
    }
    assert_eq!(handle.post(key, |_, _| {}), Err(PostError::Full));
    assert_eq!(handle.post_wait(key, |_, _| {}), Err(PostError::Full));
    bench.rest();
    assert_eq!(bench.notes(), ["0", "1", "2"]);
    let filler = handle.clone();
    bench.with(|_, table| {
        table.post(move |worker, _| {
            for _ in 0..4 {
                worker.note(format!("{:?}", filler.post_wait(key, |_, _| {})));
            }
        })
    });
    bench.rest();
    assert_eq!(bench.notes(), ["Ok(())", "Ok(())", "Ok(())", "Err(Full)"]);
}
