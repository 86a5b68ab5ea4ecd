//! Times as people and programs read them, in UTC: `2026-11-22 09:30` and `2026-11-22T09:30:05Z`. Pure.

/// A moment in UTC, by the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    second_of_day: i64,
}

impl Civil {
    /// The moment `unix` seconds after 1970. A time beyond the years 1 to 9999 is the nearest within them.
    pub(super) fn new(unix: i64) -> Self {
        let unix = unix.clamp(-62_135_596_800, 253_402_300_799);
        // Days since the first of March of the year 0: a year ends with its leap day, an era of 400 years repeats.
        let days = unix.div_euclid(86_400) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * shifted + 2) / 5 + 1,
            second_of_day: unix.rem_euclid(86_400),
        }
    }

    /// For people, to the minute.
    pub(super) fn short(&self) -> String {
        let (hour, minute) = (self.second_of_day / 3600, self.second_of_day / 60 % 60);
        format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}", self.year, self.month, self.day)
    }

    /// For programs (RFC 3339), to the second.
    pub(super) fn exact(&self) -> String {
        let s = self.second_of_day;
        let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
        format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", self.year, self.month, self.day)
    }
}
