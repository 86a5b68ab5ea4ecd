//! Whether the peer still lives: when to ping it, when to give it up. It owns no timer and reads no clock.

use std::time::Duration;

use super::fault::{self, Fault};
use crate::reactor::Time;

/// The bounds in time of a connection that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    pub(super) ping_interval: Option<Duration>,
    pub(super) pong_timeout: Duration,
    pub(super) frame_timeout: Duration,
    pub(super) frame_rate_min: u32,
}

/// A frame of which not all has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Arriving {
    ordinal: u64,
    began: Time,
    bytes: u64,
}

/// What the passing of time asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beat {
    /// Nothing yet.
    Rest,
    /// A ping is due. It counts as sent.
    Ping,
    /// The peer is given up.
    Fail(Fault),
}

/// What was heard of the peer, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    bounds: Bounds,
    heard: Time,
    pinged: Option<Time>,
    arriving: Option<Arriving>,
}

impl Pulse {
    pub(super) const fn new(bounds: Bounds, now: Time) -> Self {
        Self { bounds, heard: now, pinged: None, arriving: None }
    }

    /// Bytes came. Whatever they are, whoever sent them lives; `arriving` names the frame that is not whole and how
    /// much of it there is.
    pub(super) fn heard(&mut self, now: Time, arriving: Option<(u64, u64)>) {
        self.heard = now;
        self.pinged = None;
        self.arriving = arriving.map(|(ordinal, bytes)| {
            let same = self.arriving.filter(|frame| frame.ordinal == ordinal);
            Arriving { ordinal, began: same.map_or(now, |frame| frame.began), bytes }
        });
    }

    /// Nothing was read, because the peer does not read: whether it lives is the stall deadline's affair. Its time
    /// begins anew.
    pub(super) fn blocked(&mut self, now: Time) {
        self.heard = now;
        self.pinged = None;
        if let Some(frame) = &mut self.arriving {
            frame.began = now;
        }
    }

    /// What is due at `now`.
    pub(super) fn beat(&mut self, now: Time) -> Beat {
        if self.frame_due().is_some_and(|due| due <= now) {
            return Beat::Fail(fault::FRAME_TIMEOUT);
        }
        match (self.pinged, self.ping_due()) {
            (Some(_), Some(due)) if due <= now => Beat::Fail(fault::PING_TIMEOUT),
            (None, Some(due)) if due <= now => {
                self.pinged = Some(now);
                Beat::Ping
            }
            _ => Beat::Rest,
        }
    }

    /// When to ask again, if nothing is heard until then.
    pub(super) fn due(&self) -> Option<Time> {
        match (self.frame_due(), self.ping_due()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// When the next ping or the pong to the last one is due.
    fn ping_due(&self) -> Option<Time> {
        let interval = self.bounds.ping_interval?;
        Some(match self.pinged {
            Some(at) => at + self.bounds.pong_timeout,
            None => self.heard + interval,
        })
    }

    /// When the frame that is arriving has to be whole: what came of it has earned it time.
    fn frame_due(&self) -> Option<Time> {
        let frame = self.arriving?;
        let earned = match self.bounds.frame_rate_min {
            0 => return None,
            rate => Duration::from_millis(frame.bytes.saturating_mul(1000) / u64::from(rate)),
        };
        Some(frame.began + self.bounds.frame_timeout.saturating_add(earned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> Pulse {
        let bounds = Bounds {
            ping_interval: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(20),
            frame_timeout: Duration::from_secs(25),
            frame_rate_min: 1000,
        };
        Pulse::new(bounds, at(0))
    }

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_silent_peer_is_pinged_and_given_up_when_it_stays_silent() {
        let mut pulse = pulse();
        assert_eq!((pulse.due(), pulse.beat(at(29))), (Some(at(30)), Beat::Rest));
        assert_eq!((pulse.beat(at(30)), pulse.due()), (Beat::Ping, Some(at(50))));
        assert_eq!(pulse.beat(at(49)), Beat::Rest);
        assert_eq!(pulse.beat(at(50)), Beat::Fail(fault::PING_TIMEOUT));
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let mut pulse = pulse();
        assert_eq!(pulse.beat(at(30)), Beat::Ping);
        pulse.heard(at(49), None);
        assert_eq!((pulse.due(), pulse.beat(at(50))), (Some(at(79)), Beat::Rest));
        assert_eq!(pulse.beat(at(80)), Beat::Ping);
    }

    #[test]
    fn a_frame_that_trickles_is_given_up_and_one_that_flows_is_not() {
        let mut pulse = pulse();
        for second in 0..25 {
            pulse.heard(at(second), Some((1, second)));
            assert_eq!(pulse.beat(at(second)), Beat::Rest);
        }
        assert_eq!(pulse.beat(at(26)), Beat::Fail(fault::FRAME_TIMEOUT));
        for second in 0..500 {
            pulse.heard(at(100 + second), Some((2, second * 1000)));
            assert_eq!(pulse.beat(at(100 + second)), Beat::Rest, "{second}");
        }
        for second in 0..500 {
            pulse.heard(at(1000 + second), Some((3 + second, 1)));
            assert_eq!(pulse.beat(at(1000 + second)), Beat::Rest, "a new frame each second");
        }
    }

    #[test]
    fn a_peer_that_is_not_read_is_not_blamed_for_silence() {
        let mut pulse = pulse();
        pulse.heard(at(0), Some((1, 0)));
        assert_eq!(pulse.beat(at(24)), Beat::Rest);
        pulse.blocked(at(24));
        assert_eq!((pulse.beat(at(48)), pulse.due()), (Beat::Rest, Some(at(49))));
    }

    #[test]
    fn without_pings_and_rates_nothing_is_ever_due() {
        let bounds = Bounds { ping_interval: None, frame_rate_min: 0, ..pulse().bounds };
        let mut pulse = Pulse::new(bounds, at(0));
        pulse.heard(at(1), Some((1, 1)));
        assert_eq!((pulse.due(), pulse.beat(at(100_000))), (None, Beat::Rest));
    }
}
