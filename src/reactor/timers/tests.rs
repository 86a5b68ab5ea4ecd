use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn drain(wheel: &mut Wheel, now: u32) -> Vec<u32> {
    let mut out = Vec::new();
    wheel.expire(now, &mut out);
    out
}

#[test]
fn keys_come_in_the_order_of_their_times_and_equal_ones_as_filed() {
    let mut wheel = Wheel::new(5);
    for (key, at) in [(3, 5_000), (1, 70), (4, 5_000), (2, 400_000), (0, 6), (5, 5_000)] {
        wheel.file(key, at);
    }
    assert_eq!(drain(&mut wheel, 1_000_000), [0, 1, 3, 4, 5, 2]);
    assert!(wheel.is_empty());
    assert_eq!(wheel.now(), 1_000_000);
}

#[test]
fn a_time_that_has_come_is_due_at_once() {
    let mut wheel = Wheel::new(100);
    wheel.file(0, 100);
    wheel.file(1, 99);
    wheel.file(2, 100u32.wrapping_add(AHEAD_MAX).wrapping_add(1));
    assert_eq!(wheel.next(), Some(100));
    assert_eq!(wheel.filed(1), Some(99));
    assert_eq!(drain(&mut wheel, 100), [0, 1, 2]);
    assert_eq!(wheel.next(), None);
}

#[test]
fn the_farthest_time_ahead_is_kept_from_any_start_across_the_wrap() {
    for start in [0, 1, 63, 64, 1 << 30, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX] {
        let mut wheel = Wheel::new(start);
        let at = start.wrapping_add(AHEAD_MAX);
        wheel.file(9, at);
        assert_eq!(wheel.next(), Some(at));
        assert_eq!(wheel.pop(at.wrapping_sub(1)), None);
        assert_eq!(wheel.next(), Some(at));
        assert_eq!(wheel.pop(at), Some(9));
        wheel.file(9, at.wrapping_add(AHEAD_MAX));
        assert_eq!(wheel.pop(at.wrapping_add(AHEAD_MAX)), Some(9), "in one jump from {at}");
    }
}

#[test]
fn a_clock_that_goes_back_moves_nothing() {
    let mut wheel = Wheel::new(1_000);
    wheel.file(0, 1_010);
    assert_eq!(wheel.pop(990), None);
    assert_eq!(wheel.now(), 1_000);
    assert_eq!(wheel.pop(1_010), Some(0));
}

#[test]
fn an_empty_wheel_takes_over_any_time() {
    let mut wheel = Wheel::new(0);
    assert_eq!(wheel.pop(3_000_000_000), None);
    assert_eq!(wheel.now(), 3_000_000_000);
    wheel.file(0, 3_000_000_001);
    assert_eq!(wheel.next(), Some(3_000_000_001));
}

#[test]
fn a_cancelled_minimum_costs_one_spurious_wake_at_most() {
    let mut wheel = Wheel::new(0);
    wheel.file(0, 5_000);
    wheel.file(1, 5_050);
    assert!(wheel.cancel(0));
    assert!(!wheel.cancel(0));
    assert!(!wheel.cancel(77));
    let early = wheel.next().unwrap();
    assert!(early <= 5_050);
    assert_eq!(wheel.pop(early), None);
    assert_eq!(wheel.next(), Some(5_050));
}

#[test]
fn a_key_moved_alone_in_its_slot_leaves_no_spurious_wake() {
    let mut wheel = Wheel::new(0);
    wheel.file(0, 10_000);
    for at in (10_001..200_000).step_by(7) {
        wheel.file(0, at);
        assert_eq!((wheel.next(), wheel.len()), (Some(at), 1));
    }
}

#[test]
fn a_key_may_be_filed_again_from_between_two_pops() {
    let mut wheel = Wheel::new(0);
    wheel.file(0, 10);
    wheel.file(1, 20);
    let mut seen = Vec::new();
    while let Some(key) = wheel.pop(1_000) {
        seen.push(key);
        if key == 0 && seen.len() < 2 {
            wheel.file(0, 15);
        }
    }
    assert_eq!(seen, [0, 0, 1]);
}

#[test]
fn nothing_is_allocated_for_keys_that_were_reserved() {
    let mut wheel = Wheel::new(0);
    wheel.reserve(1_000);
    let room = wheel.nodes.capacity();
    for round in 0..50 {
        for key in 0..1_000 {
            wheel.file(key, round * 977 + key * key);
        }
        drain(&mut wheel, round * 977);
    }
    assert_eq!(wheel.nodes.capacity(), room);
}

/// The same by a sorted set, on an unbounded clock.
#[derive(Default)]
struct Model {
    now: u64,
    by_key: BTreeMap<u32, u64>,
    by_time: BTreeSet<(u64, u32)>,
}

impl Model {
    fn file(&mut self, key: u32, at: u64) {
        self.cancel(key);
        self.by_key.insert(key, at);
        self.by_time.insert((at, key));
    }

    fn cancel(&mut self, key: u32) -> bool {
        self.by_key.remove(&key).is_some_and(|at| self.by_time.remove(&(at, key)))
    }

    fn next(&self) -> Option<u64> {
        self.by_time.first().map(|&(at, _)| at.max(self.now))
    }

    fn expire(&mut self, now: u64) -> Vec<(u64, u32)> {
        self.now = now;
        let later = self.by_time.split_off(&(now + 1, 0));
        let due = std::mem::replace(&mut self.by_time, later);
        for (_, key) in &due {
            self.by_key.remove(key);
        }
        due.into_iter().collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    File(u32, u64),
    Past(u32, u64),
    Cancel(u32),
    Advance(u64),
    ToNext,
}

/// Distances of every magnitude, the powers of 64 and the bound among them.
fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..70u64,
        (0..32u32, 0..3u64).prop_map(|(bit, off)| ((1u64 << bit) + off).saturating_sub(1).min(1 << 31)),
        (0..32u32).prop_flat_map(|bit| 0..=(1u64 << bit)),
    ]
}

fn step(cancels: bool) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..24u32, distance()).prop_map(|(key, ahead)| Step::File(key, ahead)),
        1 => (0..24u32, 0..1_000u64).prop_map(|(key, ago)| Step::Past(key, ago)),
        2 => (0..24u32).prop_map(move |key| if cancels { Step::Cancel(key) } else { Step::ToNext }),
        3 => distance().prop_map(Step::Advance),
        3 => Just(Step::ToNext),
    ]
}

/// The links, bitmaps and minima agree with each other and with the wheel's time.
fn check_structure(wheel: &Wheel) {
    let mut seen = 0;
    for (slot, &head) in wheel.heads.iter().enumerate() {
        let bit = wheel.occupied[slot / SLOTS] >> (slot % SLOTS) & 1;
        assert_eq!(bit == 1, head != NONE);
        let mut key = head;
        while key != NONE {
            let node = wheel.nodes[key as usize];
            assert_eq!(node.slot as usize, slot);
            assert_eq!(wheel.nodes[node.next as usize].prev, key);
            assert_eq!(wheel.slot_of(node.at) as usize, slot, "no key is left in a slot that was passed");
            assert!(wheel.earliest[slot] <= node.at);
            seen += 1;
            key = if node.next == head { NONE } else { node.next };
        }
    }
    assert_eq!(seen, wheel.len());
}

fn agrees(start: u64, steps: Vec<Step>, exact: bool) {
    let mut wheel = Wheel::new(start as u32);
    let mut model = Model { now: start, ..Model::default() };
    for step in steps {
        let mut to = None;
        match step {
            // Without cancels a filed key is left where it is: moving the minimum away is a cancel, too.
            Step::File(key, _) | Step::Past(key, _) if exact && model.by_key.contains_key(&key) => {}
            Step::File(key, ahead) => {
                wheel.file(key, (model.now + ahead) as u32);
                model.file(key, model.now + ahead);
            }
            Step::Past(key, ago) => {
                let at = model.now - ago;
                wheel.file(key, at as u32);
                model.file(key, at);
            }
            Step::Cancel(key) => assert_eq!(wheel.cancel(key), model.cancel(key)),
            Step::Advance(by) => to = Some(model.now + by),
            Step::ToNext => {
                to = wheel.next().map(|at| model.now + u64::from(at.wrapping_sub(model.now as u32)));
            }
        }
        if let Some(now) = to {
            let due = model.expire(now);
            let times: BTreeMap<u32, u64> = due.iter().map(|&(at, key)| (key, at)).collect();
            let mut got = drain(&mut wheel, now as u32);
            got.sort_unstable();
            assert_eq!(got, times.keys().copied().collect::<Vec<_>>(), "due at {now}");
        }
        check_structure(&wheel);
        for key in 0..24 {
            assert_eq!(wheel.filed(key), model.by_key.get(&key).map(|&at| at as u32));
        }
        match (wheel.next(), model.next()) {
            (Some(next), Some(truth)) => {
                let next = model.now + u64::from(next.wrapping_sub(model.now as u32));
                assert!(next <= truth, "sleeps past {truth} until {next}");
                assert!(!exact || next == truth, "{next} is not {truth}");
            }
            (next, truth) => assert!(next.is_none() && truth.is_none()),
        }
    }
}

/// Starts at 1,000 at least, so that the past can be named; most start shortly before a wrap.
fn start() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1_000u64), (1..5_000u64).prop_map(|off| (1 << 32) - off), 1_000..(1u64 << 32)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn without_cancels_it_is_the_sorted_map_to_the_millisecond(
        start in start(), steps in prop::collection::vec(step(false), 0..80)
    ) {
        agrees(start, steps, true);
    }

    #[test]
    fn with_moves_and_cancels_it_expires_what_the_sorted_map_does(
        start in start(), steps in prop::collection::vec(step(true), 0..80)
    ) {
        agrees(start, steps, false);
    }

    #[test]
    fn future_keys_come_in_the_order_of_time(
        start in start(), ahead in prop::collection::vec(distance(), 1..60), jump in distance()
    ) {
        let mut wheel = Wheel::new(start as u32);
        for (key, ahead) in ahead.iter().enumerate() {
            wheel.file(key as u32, (start + ahead) as u32);
        }
        let mut want: Vec<u32> = (0..ahead.len() as u32).filter(|&key| ahead[key as usize] <= jump).collect();
        want.sort_by_key(|&key| ahead[key as usize]);
        prop_assert_eq!(drain(&mut wheel, (start + jump) as u32), want);
    }
}
