//! Validators: the entity tag and `Last-Modified` of one state of a representation (RFC 9110 8.8). Pure.
//!
//! Owns what is told of a state and how a client's validator is compared with it. Never looks at a request: which
//! conditions there are and in which order they count is [`condition`](super::condition)'s.

use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::condition::{opaque, tag_len};
use super::date;
use super::meta::Meta;

/// Seconds since 1970 at the start of the year 10000, which no HTTP date can express.
const YEAR_10000: u64 = 253_402_300_800;

/// The validators of one state of a file, or of any other resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    etag: Box<str>,
    last_modified: Option<u64>,
    is_date_strong: bool,
}

/// A text that is no entity tag; see [`Validators::with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadTag;

impl fmt::Display for BadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an entity tag: visible characters in double quotes, with or without W/ before them")
    }
}

impl std::error::Error for BadTag {}

impl Validators {
    /// The validators of a file in state `meta`, answered at `now_unix` (seconds since 1970).
    ///
    /// The tag is `"mtime-size-mark"` in hexadecimal: nanoseconds, bytes, and a mix of device, inode and change
    /// time, so that a rewrite that puts the old mtime back differs too and no inode number is told to strangers.
    /// While the file [settles](Meta::is_settled) the tag is weak. A time ahead of the clock is told as `now_unix`
    /// (RFC 9110 8.8.2.1), one that no HTTP date can express not at all.
    pub fn new(meta: &Meta, now_unix: u64) -> Self {
        let is_settled = meta.is_settled(now_unix);
        let mtime = u64::try_from(meta.mtime.sec).ok();
        let last_modified = mtime.map(|sec| sec.min(now_unix)).filter(|&sec| sec < YEAR_10000);
        Self {
            etag: tag(meta, is_settled).into_boxed_str(),
            last_modified,
            is_date_strong: is_settled && last_modified == mtime,
        }
    }

    /// The validators of a resource of one's own: its entity tag as it is sent, with quotes and with `W/` if it is
    /// weak, or the empty text for none; and when it was last modified, in seconds since 1970, or `None`.
    ///
    /// The date counts as a weak validator, because a second can see two states of a resource: it answers
    /// `If-Modified-Since` and `If-Unmodified-Since`, but never lets a range apply. A date that no HTTP date can
    /// express is as none.
    ///
    /// # Errors
    /// [`BadTag`] for what RFC 9110 8.8.3 does not call an entity tag.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidemill::service::files::Validators;
    ///
    /// let current = Validators::with("\"v7\"", Some(784_111_777))?;
    /// assert_eq!(current.etag(), "\"v7\"");
    /// assert_eq!(current.last_modified().as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    /// assert!(Validators::with("v7", None).is_err());
    /// # Ok::<(), tidemill::service::files::BadTag>(())
    /// ```
    pub fn with(etag: &str, last_modified: Option<u64>) -> Result<Self, BadTag> {
        if !etag.is_empty() && (tag_len(etag.as_bytes()) != Some(etag.len()) || !etag.is_ascii()) {
            return Err(BadTag);
        }
        let last_modified = last_modified.filter(|&sec| sec < YEAR_10000);
        Ok(Self { etag: etag.into(), last_modified, is_date_strong: false })
    }

    /// A weak tag of a number, and no date.
    pub(super) fn weak(mark: u64) -> Self {
        Self { etag: format!("W/\"{mark:016x}\"").into(), last_modified: None, is_date_strong: false }
    }

    /// The entity tag with its quotes, and with `W/` if weak; empty if there is none.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Whether there is a tag, and a strong one.
    pub fn is_strong(&self) -> bool {
        self.etag.starts_with('"')
    }

    /// `Last-Modified`, if it can be told, as an IMF-fixdate.
    pub fn last_modified(&self) -> Option<String> {
        self.last_modified.map(|sec| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(sec)))
    }

    /// `Last-Modified` in seconds since 1970.
    pub(super) fn modified(&self) -> Option<u64> {
        self.last_modified
    }

    /// Whether `tag` is ours and both are strong (RFC 9110 8.8.3.2).
    pub(super) fn matches_strongly(&self, tag: &[u8]) -> bool {
        self.is_strong() && tag == self.etag.as_bytes()
    }

    /// Whether `tag` is ours but for `W/` (RFC 9110 8.8.3.2).
    pub(super) fn matches_weakly(&self, tag: &[u8]) -> bool {
        !self.etag.is_empty() && opaque(tag) == opaque(self.etag.as_bytes())
    }

    /// Whether `If-Range` lets a range apply: a strong tag equal to ours, or the exact date of a file that has
    /// settled (RFC 9110 13.1.5). Anything else, also what cannot be parsed, asks for the whole. `now_unix` is for
    /// years of two digits.
    pub fn admits_range(&self, if_range: &[u8], now_unix: u64) -> bool {
        if if_range.contains(&b'"') {
            return self.matches_strongly(if_range);
        }
        let ours = self.last_modified.and_then(|sec| i64::try_from(sec).ok());
        self.is_date_strong && ours.is_some() && date::parse(if_range, now_unix) == ours
    }
}

impl Validators {
    /// The same of one of several representations, which may share their date: then it says nothing about the bytes of
    /// either, and no range can rest on it (RFC 9110 8.8.2.2).
    pub(super) fn of_many(self) -> Self {
        Self { is_date_strong: false, ..self }
    }

    /// Those of another representation of the same state, whose tag has `mark` within its quotes at the end. The mark
    /// holds no quote. As long as the bytes follow from the state and the mark, the tag is as strong as it was.
    pub(super) fn marked(&self, mark: &str) -> Self {
        let open = self.etag.strip_suffix('"').unwrap_or(&self.etag);
        Self { etag: format!("{open}{mark}\"").into(), ..self.clone() }
    }
}

fn tag(meta: &Meta, is_settled: bool) -> String {
    let stamp = |sec: i64, nsec: u32| i128::from(sec) * 1_000_000_000 + i128::from(nsec);
    // Widths differ between files, so the hyphens are part of what makes two tags unequal. The low 64 bits of the
    // nanoseconds repeat after 584 years.
    let low = |value: i128| value.to_le_bytes().first_chunk().map_or(0, |low| u64::from_le_bytes(*low));
    let mtime = low(stamp(meta.mtime.sec, meta.mtime.nsec));
    let ctime = low(stamp(meta.ctime.sec, meta.ctime.nsec));
    let mark = mix(meta.ino ^ mix(ctime ^ mix(meta.dev)));
    let mut tag = String::with_capacity(56);
    if !is_settled {
        tag.push_str("W/");
    }
    // Writing to a String cannot fail.
    let _ = write!(tag, "\"{mtime:x}-{:x}-{mark:x}\"", meta.size);
    tag
}

/// A bijection of 64 bits that spreads every input bit (the finaliser of SplitMix64).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::meta::Stamp;
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const OLD: i64 = 784_111_777;
    const OLD_DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn meta(mtime: i64) -> Meta {
        Meta {
            size: 4096,
            mtime: Stamp { sec: mtime, nsec: 5 },
            ctime: Stamp { sec: OLD, nsec: 6 },
            dev: 7,
            ino: 8,
        }
    }

    fn old() -> Validators {
        Validators::new(&meta(OLD), NOW)
    }

    #[test]
    fn each_part_of_a_files_state_shows_in_its_tag() {
        let base = meta(OLD);
        let at = |sec, nsec| Stamp { sec, nsec };
        let others = [
            Meta { size: 4097, ..base },
            Meta { dev: 8, ..base },
            Meta { ino: 9, ..base },
            Meta { mtime: at(OLD, 6), ..base },
            Meta { mtime: at(OLD + 1, 5), ..base },
            Meta { ctime: at(OLD, 7), ..base },
            Meta { mtime: at(-1, 999_999_999), ..base },
        ];
        for other in others {
            assert_ne!(Validators::new(&other, NOW).etag(), old().etag(), "{other:?}");
        }
        assert!(old().is_strong() && old().etag().starts_with('"') && old().etag().ends_with('"'));
    }

    #[test]
    fn a_file_written_just_now_has_a_weak_tag() {
        let now = i64::try_from(NOW).unwrap();
        for (mtime, strong) in [(now - 3, true), (now - 2, false), (now, false), (now + 1, false)] {
            let v = Validators::new(&meta(mtime), NOW);
            assert_eq!(v.is_strong(), strong);
            assert_eq!(v.etag().starts_with("W/\""), !strong);
            assert!(v.matches_weakly(v.etag().as_bytes()));
            assert_eq!(v.matches_strongly(v.etag().as_bytes()), strong);
            assert_eq!(v.admits_range(v.etag().as_bytes(), NOW), strong);
            assert_eq!(v.admits_range(v.etag().trim_start_matches("W/").as_bytes(), NOW), strong);
            assert_eq!(v.admits_range(v.last_modified().unwrap().as_bytes(), NOW), strong);
        }
    }

    #[test]
    fn last_modified_is_a_date_that_can_be_told() {
        assert_eq!(old().last_modified().unwrap().as_bytes(), OLD_DATE);
        assert_eq!(Validators::new(&meta(-1), NOW).last_modified(), None);
        assert_eq!(Validators::new(&meta(i64::MAX), u64::MAX).last_modified(), None);
        let ahead = Validators::new(&meta(i64::MAX), NOW);
        assert_eq!(ahead.last_modified().unwrap(), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert!(!ahead.admits_range(b"Tue, 14 Nov 2023 22:13:20 GMT", NOW));
    }

    #[test]
    fn if_range_takes_the_strong_tag_or_the_exact_date() {
        let v = old();
        assert!(v.admits_range(v.etag().as_bytes(), NOW));
        assert!(v.admits_range(OLD_DATE, NOW));
        for other in
            ["\"x\"", "", "*", "Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:49:36 GMT", "W/\"\""]
        {
            assert!(!v.admits_range(other.as_bytes(), NOW), "{other}");
        }
        assert!(!v.admits_range(format!("W/{}", v.etag()).as_bytes(), NOW));
        assert!(!v.admits_range(format!("{}, \"x\"", v.etag()).as_bytes(), NOW));
        assert!(!Validators::new(&meta(-1), NOW).admits_range(b"junk", NOW));
    }

    #[test]
    fn a_resource_of_ones_own_has_the_tag_and_date_that_it_is_given() {
        for tag in ["\"\"", "\"v7\"", "W/\"v7\"", "\"a,b\"", "\"W/\""] {
            assert_eq!(Validators::with(tag, None).unwrap().etag(), tag);
        }
        for bad in [
            "v7",
            "\"",
            "\"v7",
            "v7\"",
            "w/\"v7\"",
            "W/",
            "\"a b\"",
            "\"a\" ",
            "\"a\"\"b\"",
            "\"a\r\n\"",
            "\"\u{fc}\"",
        ] {
            assert_eq!(Validators::with(bad, None), Err(BadTag), "{bad}");
        }
        let none = Validators::with("", None).unwrap();
        assert!(!none.is_strong() && !none.matches_weakly(b"") && !none.matches_strongly(b""));
        assert_eq!((none.etag(), none.last_modified()), ("", None));
        let dated = Validators::with("", Some(784_111_777)).unwrap();
        assert_eq!(dated.last_modified().unwrap().as_bytes(), OLD_DATE);
        assert!(!dated.admits_range(OLD_DATE, NOW) && !dated.admits_range(b"", NOW));
        assert_eq!(Validators::with("", Some(u64::MAX)).unwrap().last_modified(), None);
    }
}
