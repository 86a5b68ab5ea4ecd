//! [`Clock`]: a second as logs show it, in UTC, rendered when the second changes and not again.

use crate::proto::http1::encode::{MONTHS, UNIX_SECOND_MAX, civil, two};

/// The rendered times of one second.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    second: u64,
    common: [u8; 26],
    iso: [u8; 20],
}

impl Clock {
    pub(super) fn new(second: u64) -> Self {
        let (common, iso) = render(second);
        Self { second, common, iso }
    }

    /// Moves on to `second`, counted from the Unix epoch.
    #[inline]
    pub(super) fn set(&mut self, second: u64) {
        if self.second != second {
            *self = Self::new(second);
        }
    }

    /// As the Common Log Format has it: `22/Nov/2026:22:09:59 +0000`.
    pub(super) const fn common(&self) -> &[u8] {
        &self.common
    }

    /// ISO 8601: `2026-11-22T22:09:59Z`.
    pub(super) const fn iso(&self) -> &[u8] {
        &self.iso
    }
}

fn render(second: u64) -> ([u8; 26], [u8; 20]) {
    let second = second.min(UNIX_SECOND_MAX);
    let (year, month, day) = civil(second / 86_400);
    let of_day = second % 86_400;
    let [m1, m2, m3] = **MONTHS.get((month as usize).wrapping_sub(1)).unwrap_or(&b"Jan");
    let ([c1, c2], [y1, y2], [o1, o2], [d1, d2]) = (two(year / 100), two(year), two(month), two(day));
    let ([h1, h2], [i1, i2], [s1, s2]) = (two(of_day / 3_600), two(of_day / 60 % 60), two(of_day % 60));
    let common = [
        d1, d2, b'/', m1, m2, m3, b'/', c1, c2, y1, y2, b':', h1, h2, b':', i1, i2, b':', s1, s2, b' ', b'+',
        b'0', b'0', b'0', b'0',
    ];
    let iso = [c1, c2, y1, y2, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'Z'];
    (common, iso)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn shown(second: u64) -> (String, String) {
        let clock = Clock::new(second);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(clock.common()), text(clock.iso()))
    }

    #[test]
    fn seconds_are_shown_as_dates() {
        for (second, common, iso) in [
            (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00Z"),
            (951_827_696, "29/Feb/2000:12:34:56 +0000", "2000-02-29T12:34:56Z"),
            (1_795_385_399, "22/Nov/2026:22:09:59 +0000", "2026-11-22T22:09:59Z"),
            (UNIX_SECOND_MAX, "31/Dec/9999:23:59:59 +0000", "9999-12-31T23:59:59Z"),
            (u64::MAX, "31/Dec/9999:23:59:59 +0000", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(shown(second), (common.to_owned(), iso.to_owned()));
        }
    }

    #[test]
    fn a_clock_moves_to_any_second() {
        let mut clock = Clock::new(5);
        for second in [6, 5, 0, 1_000_000_000, 5] {
            clock.set(second);
            assert_eq!(clock.iso(), Clock::new(second).iso());
        }
    }

    proptest! {
        #[test]
        fn every_second_agrees_with_httpdate(second in 0..=UNIX_SECOND_MAX) {
            let (common, iso) = shown(second);
            // `Sun, 06 Nov 1994 08:49:37 GMT`
            let theirs = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            let part = |from: usize, to: usize| theirs[from..to].to_owned();
            let (day, month, year, time) = (part(5, 7), part(8, 11), part(12, 16), part(17, 25));
            prop_assert_eq!(common, format!("{day}/{month}/{year}:{time} +0000"));
            let at = MONTHS.iter().position(|m| m[..] == *month.as_bytes()).unwrap() + 1;
            prop_assert_eq!(iso, format!("{year}-{at:02}-{day}T{time}Z"));
        }
    }
}
