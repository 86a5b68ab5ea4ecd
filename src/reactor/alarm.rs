//! [`Alarms`]: a timing wheel for times in nanoseconds, however far ahead, after however long an idleness. Tasks and
//! sleeping futures have one each. It reads no clock and calls nobody.

use std::time::Duration;

use super::time::Time;
use super::timers::Wheel;

/// The furthest that a time is filed ahead of now, and that the wheel's time lags behind; a later one is filed again
/// then. Six days, so that both together stay far below what the wheel can tell from the past.
const AHEAD_MAX: Duration = Duration::from_millis(1 << 29);

pub(crate) struct Alarms {
    wheel: Wheel,
}

impl Alarms {
    pub(crate) const fn new(now: Time) -> Self {
        Self { wheel: Wheel::new(now.ms()) }
    }

    /// Files a key for `due`, or moves it there. O(1).
    pub(crate) fn file(&mut self, key: u32, due: Time, now: Time) {
        let at = due.min(now + AHEAD_MAX);
        if self.wheel.is_empty() && now.ms().wrapping_sub(self.wheel.now()) > 1 << 28 {
            // It takes over the time; else, after weeks without a timer, it would take `at` for the past. But not
            // all of it: a turn whose stamp lies before the wheel's time would find due what is not.
            self.wheel.pop(now.ms().wrapping_sub(1 << 26));
        }
        self.wheel.file(key, at.ms_to_look(now));
    }

    pub(crate) fn cancel(&mut self, key: u32) {
        self.wheel.cancel(key);
    }

    pub(crate) fn is_filed(&self, key: u32) -> bool {
        self.wheel.filed(key).is_some()
    }

    /// How many keys are filed.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) const fn len(&self) -> usize {
        self.wheel.len()
    }

    /// A key at whose time one has to look. It is no longer filed; who finds that its time is still to come files it
    /// again.
    pub(crate) fn pop(&mut self, now: Time) -> Option<u32> {
        self.wheel.pop(now.ms())
    }

    /// When to look next, in the wheel's milliseconds. In any case soon enough for the wheel to keep the time.
    pub(crate) fn next(&self) -> Option<u32> {
        let latest = AHEAD_MAX.as_millis() as u32;
        self.wheel.next().map(|at| {
            let now = self.wheel.now();
            now.wrapping_add(at.wrapping_sub(now).min(latest))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks whenever it is told to, and says when the key's time was found to have come.
    fn rings(alarms: &mut Alarms, due: Time, mut now: Time, rounding: u64) -> Time {
        alarms.file(1, due, now);
        for _ in 0..10_000 {
            let wait = alarms.next().unwrap().wrapping_sub(now.ms()) as i32;
            let ns = (wait.max(0) as u64 * 1_000_000).saturating_sub(now.as_nanos() % 1_000_000);
            now = now + Duration::from_nanos(ns.div_ceil(rounding) * rounding);
            while alarms.pop(now).is_some() {
                if due <= now {
                    return now;
                }
                alarms.file(1, due, now);
            }
        }
        panic!("it never rings");
    }

    #[test]
    fn a_time_is_never_early_and_at_most_a_millisecond_late_whether_polls_round_or_not() {
        for rounding in [1, 1_000_000] {
            for start in [0, 1, 999_999, 5_300_000, 77_777_777] {
                for after in [0, 1, 400_000, 1_000_000, 1_710_000, 99_999_999] {
                    let (now, due) = (Time::from_nanos(start), Time::from_nanos(start + after));
                    let rang = rings(&mut Alarms::new(now), due, now, rounding);
                    assert!(rang >= due, "{start} + {after}: early");
                    assert!(rang.since(due) <= 1_000_000, "{start} + {after}: {} late", rang.since(due));
                }
            }
        }
    }

    #[test]
    fn weeks_without_a_timer_and_times_months_ahead_are_kept() {
        let day = Duration::from_secs(86_400);
        for (idle, ahead) in [(40, 1), (20, 20), (100, 0), (0, 100)] {
            let mut alarms = Alarms::new(Time::ZERO);
            let now = Time::ZERO + day * idle;
            let due = now + day * ahead + Duration::from_millis(5);
            let rang = rings(&mut alarms, due, now, 1);
            assert!(rang >= due && rang.since(due) <= 1_000_000, "{idle} days idle, {ahead} ahead");
        }
    }
}
