//! HTTP dates as recipients must read them (RFC 9110 5.6.7): three formats, 64 bits, no clock. Pure.
//!
//! Owns the grammar and the calendar. Never writes a date: that is `httpdate`'s.

const SECONDS_A_DAY: i64 = 86_400;

/// Fifty mean years of the calendar.
const FIFTY_YEARS: i64 = 50 * 31_556_952;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The seconds since 1970, negative before, of an HTTP date in any of its three formats; `None` if it is none.
///
/// A year of two digits is the last year with these digits that is not more than fifty years after `now_unix`
/// (RFC 9110 5.6.7). Letters count as they are written, and a day must exist in its month. The name of the weekday
/// must be one, but not the right one: a date that is ignored for it would take a guard off an update. A leap second
/// is the first second of the next minute.
pub(super) fn parse(value: &[u8], now_unix: u64) -> Option<i64> {
    let comma = value.iter().position(|&b| b == b',');
    let mut rest = Rest(value);
    match comma {
        Some(3) => {
            rest.short_day()?;
            rest.literal(b", ")?;
            let day = rest.digits(2)?;
            rest.literal(b" ")?;
            let month = rest.month()?;
            rest.literal(b" ")?;
            let year = rest.digits(4)?;
            rest.literal(b" ")?;
            let time = rest.time()?;
            rest.literal(b" GMT")?;
            rest.end()?;
            seconds(year, month, day, time)
        }
        Some(_) => {
            rest.name(&DAYS)?;
            rest.literal(b", ")?;
            let day = rest.digits(2)?;
            rest.literal(b"-")?;
            let month = rest.month()?;
            rest.literal(b"-")?;
            let year = rest.digits(2)?;
            rest.literal(b" ")?;
            let time = rest.time()?;
            rest.literal(b" GMT")?;
            rest.end()?;
            recent(year, month, day, time, now_unix)
        }
        None => {
            rest.short_day()?;
            rest.literal(b" ")?;
            let month = rest.month()?;
            rest.literal(b" ")?;
            let day = if rest.literal(b" ").is_some() { rest.digits(1)? } else { rest.digits(2)? };
            rest.literal(b" ")?;
            let time = rest.time()?;
            rest.literal(b" ")?;
            let year = rest.digits(4)?;
            rest.end()?;
            seconds(year, month, day, time)
        }
    }
}

/// What is left of a value.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn literal(&mut self, bytes: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(bytes)?;
        Some(())
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn digits(&mut self, n: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    }

    /// The position of the name that stands here.
    fn name(&mut self, names: &[&str]) -> Option<i64> {
        let at = names.iter().position(|name| self.0.starts_with(name.as_bytes()))?;
        self.literal(names.get(at)?.as_bytes())?;
        i64::try_from(at).ok()
    }

    fn short_day(&mut self) -> Option<()> {
        let day = DAYS.iter().find(|day| day.as_bytes().get(..3) == self.0.get(..3))?;
        self.literal(day.as_bytes().get(..3)?)
    }

    /// The month, from 1.
    fn month(&mut self) -> Option<i64> {
        self.name(&MONTHS).map(|at| at + 1)
    }

    /// The seconds of the day.
    fn time(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.literal(b":")?;
        let minute = self.digits(2)?;
        self.literal(b":")?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some((hour * 60 + minute) * 60 + second)
    }
}

/// Seconds since 1970 of a day that exists.
fn seconds(year: i64, month: i64, day: i64, time: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    // Years that begin in March end with their leap day, if any. 719 468 days lie between the first of March of the
    // year 0 and 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * SECONDS_A_DAY + time)
}

/// As [`seconds`], of the last year that ends in `digits` and is not more than fifty years ahead.
fn recent(digits: i64, month: i64, day: i64, time: i64, now_unix: u64) -> Option<i64> {
    let now = i64::try_from(now_unix).ok()?;
    let latest = now.checked_add(FIFTY_YEARS)?;
    // Nobody's clock is right in the year 10000; up to then the centuries are few.
    let century = (19..=99).rev().find(|century| {
        let first = seconds(century * 100 + digits, month, 1, 0);
        first.is_some_and(|first| first + (day - 1) * SECONDS_A_DAY + time <= latest)
    })?;
    seconds(century * 100 + digits, month, day, time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// November 2026.
    const NOW: u64 = 1_795_000_000;

    #[test]
    fn the_three_formats_tell_the_same_second() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(date.as_bytes(), NOW), Some(784_111_777), "{date}");
        }
        assert_eq!(parse(b"Wed Nov 16 08:49:37 1994", NOW), Some(784_111_777 + 10 * SECONDS_A_DAY));
        assert_eq!(parse(b"Thu, 01 Jan 1970 00:00:00 GMT", NOW), Some(0));
        assert_eq!(parse(b"Wed, 31 Dec 1969 23:59:59 GMT", NOW), Some(-1));
        assert_eq!(parse(b"Fri, 31 Dec 9999 23:59:59 GMT", NOW), Some(253_402_300_799));
        assert_eq!(parse(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW), Some(1_483_228_800));
        assert_eq!(parse(b"Tue, 29 Feb 2000 00:00:00 GMT", NOW), Some(951_782_400));
        assert!(parse(b"Sat, 01 Jan 0000 00:00:00 GMT", NOW).is_some_and(|at| at < -62_000_000_000));
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        let check = |now: u64, digits: u32, year: u32| {
            let short = format!("Sunday, 06-Nov-{digits:02} 08:49:37 GMT");
            let long = format!("Sun, 06 Nov {year} 08:49:37 GMT");
            assert_eq!(parse(short.as_bytes(), now), parse(long.as_bytes(), now), "{short} at {now}");
        };
        for (digits, year) in
            [(94, 1994), (26, 2026), (27, 2027), (76, 2076), (77, 1977), (0, 2000), (99, 1999)]
        {
            check(NOW, digits, year);
        }
        // The same seen from 1994 and from 2080.
        for (digits, year) in [(43, 2043), (45, 1945), (94, 1994)] {
            check(784_111_777, digits, year);
        }
        for (digits, year) in [(5, 2105), (94, 2094), (31, 2031)] {
            check(3_497_000_000, digits, year);
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        let table = [
            "",
            "0",
            "784111777",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 31-Feb-94 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "Sun Nov  6 08:49:37 1994 GMT",
        ];
        for date in table {
            assert_eq!(parse(date.as_bytes(), NOW), None, "{date}");
        }
        assert_eq!(parse(b"Sunday, 06-Nov-94 08:49:37 GMT", u64::MAX), None);
    }

    proptest! {
        #[test]
        fn what_httpdate_writes_is_read_back(at in 0_u64..253_402_300_800) {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at));
            prop_assert_eq!(parse(date.as_bytes(), NOW), i64::try_from(at).ok());
        }

        #[test]
        fn any_bytes_are_survived(
            value in proptest::collection::vec(any::<u8>(), 0..40),
            text in "(Sun|Sunday)(, | )[0-9A-Za-z]{2,3}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2}( GMT)?",
            now: u64,
        ) {
            let _ = parse(&value, now);
            // Whatever the other reader takes for a date of a day that exists is the same one here.
            if let (Some(ours), Ok(theirs)) = (parse(text.as_bytes(), NOW), httpdate::parse_http_date(&text)) {
                let theirs = theirs.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
                prop_assert!((ours - theirs) % SECONDS_A_DAY == 0);
            }
        }
    }
}
