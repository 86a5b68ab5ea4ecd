//! The Date field's text (RFC 9110 section 5.6.7), rendered when the second changes and not again.

/// Bytes of an IMF-fixdate.
pub const DATE_LEN: usize = 29;

/// The last second that an IMF-fixdate can show: the end of the year 9999. Later ones are shown as this one.
pub const UNIX_SECOND_MAX: u64 = 253_402_300_799;

/// The months as logs and header fields name them.
pub(crate) const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The rendered date of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateCache {
    second: u64,
    text: [u8; DATE_LEN],
}

impl DateCache {
    /// Renders `second`, counted from the Unix epoch.
    pub fn new(second: u64) -> Self {
        Self { second, text: render(second) }
    }

    /// Moves on to `second`; renders only if it is another one.
    #[inline]
    pub fn set(&mut self, second: u64) {
        if self.second != second {
            *self = Self::new(second);
        }
    }

    /// The second that is shown.
    #[inline]
    pub const fn second(&self) -> u64 {
        self.second
    }

    /// The text, for example `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[inline]
    pub const fn text(&self) -> &[u8; DATE_LEN] {
        &self.text
    }
}

fn render(second: u64) -> [u8; DATE_LEN] {
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    let second = second.min(UNIX_SECOND_MAX);
    let (days, of_day) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days);
    let [d1, d2, d3] = **DAYS.get((days % 7) as usize).unwrap_or(&b"Thu");
    let [m1, m2, m3] = **MONTHS.get((month as usize).wrapping_sub(1)).unwrap_or(&b"Jan");
    let [year_1, year_2] = two(year / 100);
    let [year_3, year_4] = two(year % 100);
    let [day_1, day_2] = two(day);
    let [hour_1, hour_2] = two(of_day / 3_600);
    let [minute_1, minute_2] = two(of_day / 60 % 60);
    let [second_1, second_2] = two(of_day % 60);
    [
        d1, d2, d3, b',', b' ', day_1, day_2, b' ', m1, m2, m3, b' ', year_1, year_2, year_3, year_4, b' ',
        hour_1, hour_2, b':', minute_1, minute_2, b':', second_1, second_2, b' ', b'G', b'M', b'T',
    ]
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01. Years are counted from March, so that the
/// leap day is the last of its year, in eras of 400 years (146,097 days).
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The last two decimal digits of `value`.
pub(crate) const fn two(value: u64) -> [u8; 2] {
    [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]
}
