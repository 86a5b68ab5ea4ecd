//! Points on a reactor's own monotonic clock. Nothing here reads a clock; `sys.rs` does.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: whole nanoseconds since the reactor's clock began.
///
/// Every stamp of one reactor lies on one clock, so differences of stamps sum exactly. Points of different
/// reactors are not comparable, unless both run on one simulated kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(u64);

impl Time {
    /// The beginning of the reactor's clock.
    pub const ZERO: Self = Self(0);

    /// The point `ns` nanoseconds after the clock began.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the clock began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`; 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole milliseconds since the clock began, as the timers count them (wrapping after 49 days).
    pub(crate) const fn ms(self) -> u32 {
        (self.0 / 1_000_000) as u32
    }

    /// The millisecond at which to look whether this point has come, seen from `now`: its own, so that a poll whose
    /// timeout is rounded up to the next finds it past; or, when that has begun already, the next.
    pub(crate) const fn ms_to_look(self, now: Self) -> u32 {
        let early = self.0 > now.0 && self.0 / 1_000_000 == now.0 / 1_000_000;
        self.ms().wrapping_add(early as u32)
    }

    /// The first millisecond that is not before this point.
    pub(crate) const fn ms_ceil(self) -> u32 {
        (self.0.div_ceil(1_000_000)) as u32
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.since(earlier))
    }
}

/// `d` in milliseconds, rounded up and bounded to 12 days, the furthest that a timer can lie ahead.
pub(crate) fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX).min(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_round_up_for_deadlines_and_down_for_now() {
        let t = Time::from_nanos(1_000_001);
        assert_eq!((t.ms(), t.ms_ceil()), (1, 2));
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::MAX), 1 << 30);
    }

    #[test]
    fn differences_never_go_below_zero() {
        assert_eq!(Time::from_nanos(3).since(Time::from_nanos(5)), 0);
        assert_eq!(Time::from_nanos(5) - Time::from_nanos(3), Duration::from_nanos(2));
    }
}
