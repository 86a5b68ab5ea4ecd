//! Validators and what a request's conditions say about them (RFC 9110 8.8 and 13). Pure.
//!
//! Owns the entity tag, `Last-Modified`, and the order of conditions. Never looks at ranges, except for `If-Range`.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::meta::Meta;

/// Seconds since 1970 at the start of the year 10000, which no HTTP date can express.
const YEAR_10000: u64 = 253_402_300_800;

/// The request's conditional and range fields, raw values without their names. Several lines of one list field
/// (`If-Match`, `If-None-Match`) are joined by commas by the caller; of a field that may come once only, a
/// repetition is passed as `None`, which ignores it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    /// `If-Match`: not evaluated.
    pub if_match: Option<&'a [u8]>,
    /// `If-Unmodified-Since`: not evaluated.
    pub if_unmodified_since: Option<&'a [u8]>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a [u8]>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Range`.
    pub if_range: Option<&'a [u8]>,
    /// `Range`.
    pub range: Option<&'a [u8]>,
}

/// What the conditions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The client's copy is current: 304.
    Fresh,
    /// Answer as if there had been no condition.
    Proceed,
}

/// The validators of one state of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    etag: Box<str>,
    last_modified: Option<u64>,
    is_date_strong: bool,
}

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

    /// The entity tag with its quotes, and with `W/` if weak.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Whether the tag is a strong one.
    pub fn is_strong(&self) -> bool {
        !self.etag.starts_with("W/")
    }

    /// `Last-Modified`, if it can be told, as an IMF-fixdate.
    pub fn last_modified(&self) -> Option<String> {
        self.last_modified.map(|sec| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(sec)))
    }

    /// Evaluates the conditions of a GET or HEAD request in the order of RFC 9110 13.2.2.
    pub fn evaluate(&self, fields: &Fields<'_>) -> Verdict {
        // Steps 1 and 2, If-Match and If-Unmodified-Since, have their place here, before all others; they guard
        // against lost updates, and nothing is updated through this service.
        let fresh = match (fields.if_none_match, fields.if_modified_since) {
            (Some(list), _) => self.is_listed(list),
            (None, Some(date)) => self.is_unmodified_since(date),
            (None, None) => false,
        };
        if fresh { Verdict::Fresh } else { Verdict::Proceed }
    }

    /// Whether `If-Range` lets a range apply: a strong tag equal to ours, or the exact date of a file that has
    /// settled (RFC 9110 13.1.5). Anything else, also what cannot be parsed, asks for the whole file.
    pub fn admits_range(&self, if_range: &[u8]) -> bool {
        if if_range.contains(&b'"') {
            return self.is_strong() && if_range == self.etag.as_bytes();
        }
        self.is_date_strong && self.last_modified.is_some() && parse_date(if_range) == self.last_modified
    }

    /// Whether an `If-None-Match` list names our tag by weak comparison. A malformed list matches up to the flaw.
    fn is_listed(&self, list: &[u8]) -> bool {
        if list.trim_ascii() == b"*" {
            return true;
        }
        let ours = opaque(self.etag.as_bytes());
        let mut rest = list;
        while let Some((tag, after)) = next_tag(rest) {
            if tag == ours {
                return true;
            }
            rest = after;
        }
        false
    }

    fn is_unmodified_since(&self, date: &[u8]) -> bool {
        self.last_modified.zip(parse_date(date)).is_some_and(|(ours, theirs)| ours <= theirs)
    }
}

impl Validators {
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

/// The first entity tag of a list, without `W/` but with its quotes, and what follows. Commas may stand within quotes.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|b| !matches!(b, b',' | b' ' | b'\t'))?;
    let tag = opaque(list.get(start..)?);
    let end = tag.strip_prefix(b"\"")?.iter().position(|&b| b == b'"')?;
    let (tag, after) = tag.split_at_checked(end + 2)?;
    let is_delimited = matches!(after.first(), None | Some(b',' | b' ' | b'\t'));
    is_delimited.then_some((tag, after))
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn parse_date(value: &[u8]) -> Option<u64> {
    let time: SystemTime = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
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

    fn none_match(v: &Validators, list: &str) -> Verdict {
        v.evaluate(&Fields { if_none_match: Some(list.as_bytes()), ..Fields::default() })
    }

    fn modified_since(v: &Validators, date: &[u8]) -> Verdict {
        v.evaluate(&Fields { if_modified_since: Some(date), ..Fields::default() })
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
            assert_eq!(none_match(&v, v.etag()), Verdict::Fresh);
            assert_eq!(v.admits_range(v.etag().as_bytes()), strong);
            assert_eq!(v.admits_range(v.etag().trim_start_matches("W/").as_bytes()), strong);
            assert_eq!(v.admits_range(v.last_modified().unwrap().as_bytes()), strong);
        }
    }

    #[test]
    fn last_modified_is_a_date_that_can_be_told() {
        assert_eq!(old().last_modified().unwrap().as_bytes(), OLD_DATE);
        assert_eq!(Validators::new(&meta(-1), NOW).last_modified(), None);
        assert_eq!(Validators::new(&meta(i64::MAX), u64::MAX).last_modified(), None);
        let ahead = Validators::new(&meta(i64::MAX), NOW);
        assert_eq!(ahead.last_modified().unwrap(), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert!(!ahead.admits_range(b"Tue, 14 Nov 2023 22:13:20 GMT"));
    }

    #[test]
    fn if_none_match_compares_weakly_and_reads_lists() {
        let v = old();
        let ours = v.etag();
        for list in [
            ours.to_owned(),
            format!("W/{ours}"),
            "*".to_owned(),
            " * ".to_owned(),
            format!("\"x\", {ours}"),
            format!("\"a,b\",W/\"\" ,,\t{ours},"),
            format!("{ours}, junk"),
        ] {
            assert_eq!(none_match(&v, &list), Verdict::Fresh, "{list}");
        }
        for list in [
            String::new(),
            "\"x\"".to_owned(),
            ours.trim_matches('"').to_owned(),
            format!("w/{ours}"),
            format!("junk, {ours}"),
            format!("\"x\"{ours}"),
            format!("\"{ours}\""),
            "*, *".to_owned(),
            "\"".to_owned(),
            "W/".to_owned(),
            ours.trim_end_matches('"').to_owned(),
        ] {
            assert_eq!(none_match(&v, &list), Verdict::Proceed, "{list}");
        }
    }

    #[test]
    fn if_modified_since_counts_only_without_if_none_match_and_if_valid() {
        let v = old();
        assert_eq!(modified_since(&v, OLD_DATE), Verdict::Fresh);
        assert_eq!(modified_since(&v, b"Sunday, 06-Nov-94 08:49:37 GMT"), Verdict::Fresh);
        assert_eq!(modified_since(&v, b"Sun Nov  6 08:49:37 1994"), Verdict::Fresh);
        assert_eq!(modified_since(&v, b"Sun, 06 Nov 1994 08:49:38 GMT"), Verdict::Fresh);
        assert_eq!(modified_since(&v, b"Sun, 06 Nov 1994 08:49:36 GMT"), Verdict::Proceed);
        for bad in [&b""[..], b"yesterday", b"784111777", b"Sun, 06 Nov 1994 08:49:37", b"\xff"] {
            assert_eq!(modified_since(&v, bad), Verdict::Proceed);
        }
        let fields =
            Fields { if_none_match: Some(b"\"x\""), if_modified_since: Some(OLD_DATE), ..Fields::default() };
        assert_eq!(v.evaluate(&fields), Verdict::Proceed);
        let undated = Validators::new(&meta(-1), NOW);
        assert_eq!(modified_since(&undated, OLD_DATE), Verdict::Proceed);
    }

    #[test]
    fn if_range_takes_the_strong_tag_or_the_exact_date() {
        let v = old();
        assert!(v.admits_range(v.etag().as_bytes()));
        assert!(v.admits_range(OLD_DATE));
        for other in
            ["\"x\"", "", "*", "Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:49:36 GMT", "W/\"\""]
        {
            assert!(!v.admits_range(other.as_bytes()), "{other}");
        }
        assert!(!v.admits_range(format!("W/{}", v.etag()).as_bytes()));
        assert!(!v.admits_range(format!("{}, \"x\"", v.etag()).as_bytes()));
        assert!(!Validators::new(&meta(-1), NOW).admits_range(b"junk"));
    }
}
