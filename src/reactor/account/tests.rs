use super::*;

const MS: u64 = 1_000_000;

fn at(ns: u64) -> Time {
    Time::from_nanos(ns)
}

fn conn(slot: u32) -> ConnId {
    ConnId { slot, serial: 2 }
}

/// An account with a clock that the test moves; the bound is 100 ms.
struct Loop {
    account: Account,
    now: u64,
    reads: u32,
}

impl Loop {
    fn new() -> Self {
        let mut account = Account::new(Some(Duration::from_millis(100)));
        account.add_service("Chat");
        Self { account, now: 5 * MS, reads: 0 }
    }

    /// A callback that takes `ns`, on connection `slot`.
    fn call(&mut self, slot: u32, ns: u64) {
        let Self { account, now, reads } = self;
        let mut read = |n: u64| {
            *reads += 1;
            at(n)
        };
        let sample = account.begin(Callback::Data, 0, Some(conn(slot)), || read(*now));
        *now += ns;
        account.end(sample, || read(*now));
    }

    /// A turn with `calls` callbacks of 1 µs each and one of `ns` after them.
    fn turn(&mut self, calls: u32, ns: u64) {
        let began = self.now;
        self.account.turn_begins(at(began), calls as usize);
        for slot in 0..calls {
            self.call(slot, 1_000);
        }
        if ns > 0 {
            self.call(99, ns);
        }
        self.account.turn_ends(at(began), at(self.now));
        // Time outside of the reactor is nobody's.
        self.now += 1_000 * MS;
    }

    fn slow(&self) -> Vec<Slow> {
        self.account.slow().cloned().collect()
    }
}

fn data(slot: u32) -> Ran {
    Ran::Callback { callback: Callback::Data, handler: "Chat", conn: Some(conn(slot)) }
}

#[test]
fn a_turn_is_counted_from_its_poll_to_its_end_and_not_what_lies_outside() {
    let mut l = Loop::new();
    l.turn(3, 0);
    l.turn(0, 7_000);
    let stats = l.account.stats();
    assert_eq!((stats.turns, stats.slow), (2, 0));
    assert_eq!((stats.turn_ns.sum(), stats.turn_ns.max()), (10_000, 7_000));
    assert_eq!((stats.run_queue.sum(), stats.run_queue.count()), (3, 2));
}

#[test]
fn one_callback_in_31_is_stamped_whether_turns_are_long_or_short() {
    for calls in [1, 2, 31, 100] {
        let mut l = Loop::new();
        for _ in 0..310 {
            l.turn(calls, 0);
        }
        let callbacks = &l.account.stats().callback_ns;
        assert_eq!((callbacks.count(), l.reads), (u64::from(calls) * 10, calls * 20), "{calls} a turn");
        assert_eq!((callbacks.min(), callbacks.max()), (1_000, 1_000));
    }
}

#[test]
fn samples_do_not_fall_on_the_same_connections_for_ever() {
    let mut account = Account::new(None);
    let mut sampled = [false; 64];
    for _ in 0..31 {
        account.turn_begins(at(0), 64);
        for (slot, hit) in sampled.iter_mut().enumerate() {
            *hit |= account.begin(Callback::Data, 0, Some(conn(slot as u32)), || at(0));
        }
        account.turn_ends(at(0), at(0));
    }
    assert!(sampled.iter().all(|hit| *hit), "{sampled:?}");
}

#[test]
fn a_slow_stretch_names_its_callbacks_and_then_the_culprit_alone() {
    let mut l = Loop::new();
    l.turn(2, 200 * MS);
    let [stretch] = &l.slow()[..] else { panic!("{:?}", l.slow()) };
    assert_eq!((stretch.single, stretch.ns), (false, 200 * MS + 2_000));
    assert_eq!(stretch.ran, [data(0), data(1), data(99)]);
    l.turn(2, 200 * MS);
    let single = &l.slow()[1];
    assert_eq!((single.single, single.ns, &single.ran[..]), (true, 200 * MS, &[data(99)][..]));
    assert_eq!((l.account.stats().slow, l.slow().len()), (2, 2), "the rest of the turn was not slow");
}

#[test]
fn after_a_slow_stretch_ten_turns_are_stamped_singly_and_no_more() {
    let mut l = Loop::new();
    l.turn(0, 200 * MS);
    let reads: Vec<u32> = (0..12)
        .map(|_| {
            let before = l.reads;
            l.turn(5, 0);
            l.reads - before
        })
        .collect();
    assert_eq!(reads, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0, 0]);
    assert_eq!(l.account.stats().callback_ns.count(), 50);
}

#[test]
fn a_sampled_callback_is_named_singly_at_once_and_the_rest_of_its_turn_is_stamped() {
    let mut l = Loop::new();
    l.turn(30, 200 * MS);
    let [single] = &l.slow()[..] else { panic!("{:?}", l.slow()) };
    assert_eq!((single.single, single.ns, &single.ran[..]), (true, 200 * MS, &[data(99)][..]));
    let mut l = Loop::new();
    let began = l.now;
    l.account.turn_begins(at(began), 1);
    (0..30).for_each(|slot| l.call(slot, 0));
    l.call(30, 200 * MS);
    l.call(31, 300 * MS);
    l.account.turn_ends(at(began), at(l.now));
    assert_eq!(
        l.slow().iter().map(|s| (s.single, s.ns / MS)).collect::<Vec<_>>(),
        [(true, 200), (true, 300)]
    );
}

#[test]
fn a_callback_of_just_the_bound_is_not_slow_and_without_a_bound_none_is() {
    let mut l = Loop::new();
    l.turn(0, 100 * MS);
    assert_eq!(l.account.stats().slow, 0);
    l.turn(0, 100 * MS + 1);
    assert_eq!(l.account.stats().slow, 1);
    let mut l = Loop { account: Account::new(None), ..Loop::new() };
    l.turn(0, u64::MAX / 2);
    assert_eq!(l.account.stats().slow, 0);
}

#[test]
fn time_that_goes_by_outside_of_callbacks_blames_none() {
    let mut l = Loop::new();
    let began = l.now;
    l.account.turn_begins(at(began), 0);
    l.account.turn_ends(at(began), at(began + 150 * MS));
    let [stretch] = &l.slow()[..] else { panic!("{:?}", l.slow()) };
    assert_eq!((stretch.single, stretch.ran.len()), (false, 0));
}

#[test]
fn callbacks_outside_of_a_turn_are_not_charged_with_the_time_before_them() {
    let mut l = Loop::new();
    l.turn(0, 1);
    for slot in 0..100 {
        l.call(slot, 10);
    }
    assert_eq!((l.account.stats().slow, l.account.stats().callback_ns.max()), (0, 10));
}

#[test]
fn a_task_closes_the_stretch_before_it_and_a_slow_one_is_named() {
    let mut l = Loop::new();
    let began = l.now;
    l.account.turn_begins(at(began), 1);
    l.call(1, 60 * MS);
    l.account.task_begins("sweep", TaskId { slot: 7, serial: 1 }, at(began), at(l.now));
    l.now += 150 * MS;
    l.account.task_ends(at(l.now));
    l.call(2, 60 * MS);
    l.account.turn_ends(at(began), at(l.now));
    let [task] = &l.slow()[..] else { panic!("{:?}", l.slow()) };
    assert_eq!((task.single, task.ns), (true, 150 * MS));
    assert_eq!(task.ran, [Ran::Task { name: "sweep", id: TaskId { slot: 7, serial: 1 } }]);
    let stats = l.account.stats();
    assert_eq!((stats.task_delay_ns.sum(), stats.task_processing_ns.sum()), (60 * MS, 150 * MS));
}

#[test]
fn only_a_poll_that_ran_into_its_timeout_has_a_delay() {
    let mut account = Account::new(None);
    let wait = Some(Duration::from_nanos(100));
    account.poll_ends(at(10), wait, 1, at(500));
    account.poll_ends(at(10), None, 0, at(500));
    account.poll_ends(at(10), Some(Duration::ZERO), 0, at(500));
    account.poll_ends(at(10), wait, 0, at(60));
    assert!(account.stats().poll_delay_ns.is_empty(), "events, no timeout, no wait, a signal");
    account.poll_ends(at(10), wait, 0, at(140));
    assert_eq!((account.stats().poll_delay_ns.count(), account.stats().poll_delay_ns.max()), (1, 30));
}

#[test]
fn sixteen_slow_records_are_kept_and_the_oldest_go() {
    let mut l = Loop::new();
    for n in 1..=20 {
        l.turn(0, (100 + n) * MS);
    }
    let kept: Vec<u64> = l.slow().iter().map(|s| s.ns / MS).collect();
    assert_eq!(kept, (105..=120).collect::<Vec<_>>());
    assert_eq!(l.account.stats().slow, 20);
}

#[test]
fn one_warning_a_second_which_says_how_many_there_were() {
    let mut warned = Warned::default();
    assert_eq!(warned.may_speak(at(0)), Some(0));
    assert_eq!([1, 999_999_999].map(|ns| warned.may_speak(at(ns))), [None, None]);
    assert_eq!(warned.may_speak(at(1_000_000_000)), Some(2));
    assert_eq!(warned.may_speak(at(2_000_000_000)), Some(0));
}
