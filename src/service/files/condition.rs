//! Conditional requests (RFC 9110 section 13): which fields there are, in which order they count, what they say. Pure.
//!
//! Owns the preconditions of a request and entity tags in lists. Never looks into a `Range`: it only says whether one
//! applies. Whoever has a resource of its own evaluates its requests here as the file service does.

use std::borrow::Cow;

use super::date;
use super::range::trim;
use super::validator::Validators;
use crate::proto::http1::head::Method;

/// A request's conditional and range fields, raw values without their names.
///
/// # Examples
///
/// ```
/// use tidemill::proto::http1::head::Method;
/// use tidemill::service::files::{Fields, Validators, Verdict, evaluate};
///
/// // Two lines as `Head::fields` gives them, and the turn's time in seconds since 1970.
/// let lines = [("Host", &b"a"[..]), ("If-None-Match", &b"\"v6\", \"v7\""[..])];
/// let fields = Fields::from_lines(lines, 1_795_000_000);
///
/// let current = Validators::with("\"v7\"", None).unwrap();
/// assert_eq!(evaluate(&Method::Get, &fields, Some(&current)), Verdict::NotModified);
/// assert_eq!(evaluate(&Method::Put, &fields, Some(&current)), Verdict::PreconditionFailed);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    /// `If-Match`: all its lines, joined by commas.
    pub if_match: Option<Cow<'a, [u8]>>,
    /// `If-Unmodified-Since`, if it is there once.
    pub if_unmodified_since: Option<&'a [u8]>,
    /// `If-None-Match`: all its lines, joined by commas.
    pub if_none_match: Option<Cow<'a, [u8]>>,
    /// `If-Modified-Since`, if it is there once.
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Range`.
    pub if_range: Option<&'a [u8]>,
    /// `Range`, if it is there once and `If-Range` at most once.
    pub range: Option<&'a [u8]>,
    /// The time, in seconds since 1970, from which a year of two digits is understood.
    pub now_unix: u64,
}

impl<'a> Fields<'a> {
    /// Picks the fields out of a head's lines, which are names in any case and values without blanks around them.
    /// `now_unix` is the turn's time in seconds since 1970.
    ///
    /// Entity tags may come in several lines, which are joined in order. A field that may come once and comes twice
    /// is no valid date or range set any more, and is left out (RFC 9110 13.1.3, 13.1.4); of two `If-Range` no one
    /// knows which holds, so that the range is left out.
    pub fn from_lines(lines: impl IntoIterator<Item = (&'a str, &'a [u8])>, now_unix: u64) -> Self {
        let mut fields = Self { now_unix, ..Self::default() };
        let (mut range, mut if_range, mut modified, mut unmodified) = (0_u32, 0_u32, 0_u32, 0_u32);
        for (name, value) in lines {
            // Most requests have none of these: the length and the first letter tell in one comparison.
            match (name.len(), name.as_bytes().first().map(u8::to_ascii_lowercase)) {
                (5, Some(b'r')) if name.eq_ignore_ascii_case("range") => {
                    once(&mut fields.range, &mut range, value);
                }
                (8, Some(b'i')) if name.eq_ignore_ascii_case("if-range") => {
                    once(&mut fields.if_range, &mut if_range, value);
                }
                (8, Some(b'i')) if name.eq_ignore_ascii_case("if-match") => join(&mut fields.if_match, value),
                (13, Some(b'i')) if name.eq_ignore_ascii_case("if-none-match") => {
                    join(&mut fields.if_none_match, value);
                }
                (17, Some(b'i')) if name.eq_ignore_ascii_case("if-modified-since") => {
                    once(&mut fields.if_modified_since, &mut modified, value);
                }
                (19, Some(b'i')) if name.eq_ignore_ascii_case("if-unmodified-since") => {
                    once(&mut fields.if_unmodified_since, &mut unmodified, value);
                }
                _ => {}
            }
        }
        if if_range > 1 {
            fields.range = None;
        }
        fields
    }
}

/// Keeps the value of a field that is there once.
fn once<'a>(field: &mut Option<&'a [u8]>, seen: &mut u32, value: &'a [u8]) {
    *seen = seen.saturating_add(1);
    *field = (*seen == 1).then_some(value);
}

/// Adds a line to a list.
fn join<'a>(list: &mut Option<Cow<'a, [u8]>>, value: &'a [u8]) {
    match list {
        None => *list = Some(Cow::Borrowed(value)),
        Some(list) => {
            let list = list.to_mut();
            list.push(b',');
            list.extend_from_slice(value);
        }
    }
}

/// What the conditions of a request say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict<'a> {
    /// The client relies on a state that is not the current one: 412, and nothing is done.
    PreconditionFailed,
    /// The client's copy is current: 304, with the fields that RFC 9110 15.4.5 lists.
    NotModified,
    /// Do as if there had been no condition.
    Proceed {
        /// The value of `Range`, if it applies to a 200: the method is GET and `If-Range`, if any, holds.
        range: Option<&'a [u8]>,
    },
}

impl Verdict<'_> {
    /// The status to be answered with in place of the method's own, if it is one.
    ///
    /// ```
    /// use tidemill::service::files::Verdict;
    ///
    /// assert_eq!(Verdict::PreconditionFailed.status(), Some(412));
    /// assert_eq!(Verdict::Proceed { range: None }.status(), None);
    /// ```
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::PreconditionFailed => Some(412),
            Self::NotModified => Some(304),
            Self::Proceed { .. } => None,
        }
    }
}

/// Evaluates a request's conditions in the order of RFC 9110 13.2.2 against the `current` representation; `None` is a
/// resource that has none, as before the PUT that makes it.
///
/// To be called when the answer would else be a 2xx, and immediately before the method is carried out (13.2.1).
/// CONNECT, OPTIONS and TRACE select no representation and have no conditions.
///
/// What is malformed counts as the safer of its meanings: a list of tags with a flaw matches nothing in `If-Match`, in
/// `If-None-Match` it matches nothing for GET and HEAD and everything for methods that change state. A date that is
/// none is ignored, as the RFC says.
///
/// # Examples
///
/// A PUT that must not overwrite, and one that must not revive what was deleted:
///
/// ```
/// use tidemill::proto::http1::head::Method;
/// use tidemill::service::files::{Fields, Validators, Verdict, evaluate};
///
/// let create = Fields::from_lines([("If-None-Match", &b"*"[..])], 0);
/// let update = Fields::from_lines([("If-Match", &b"*"[..])], 0);
/// let current = Validators::with("\"v1\"", None).unwrap();
///
/// assert_eq!(evaluate(&Method::Put, &create, None), Verdict::Proceed { range: None });
/// assert_eq!(evaluate(&Method::Put, &create, Some(&current)), Verdict::PreconditionFailed);
/// assert_eq!(evaluate(&Method::Put, &update, None), Verdict::PreconditionFailed);
/// ```
pub fn evaluate<'a>(method: &Method<'_>, fields: &Fields<'a>, current: Option<&Validators>) -> Verdict<'a> {
    let is_read = matches!(method, Method::Get | Method::Head);
    if matches!(method, Method::Connect | Method::Options | Method::Trace) {
        return Verdict::Proceed { range: None };
    }
    let date = |value: Option<&[u8]>| date::parse(value?, fields.now_unix);
    let modified = current.and_then(Validators::modified).and_then(|sec| i64::try_from(sec).ok());
    // Steps 1 and 2.
    if let Some(list) = &fields.if_match {
        let named = named(list, |tag| current.is_some_and(|ours| ours.matches_strongly(tag)));
        let holds = match named {
            Named::Any => current.is_some(),
            Named::Ours => true,
            Named::Others | Named::Malformed => false,
        };
        if !holds {
            return Verdict::PreconditionFailed;
        }
    } else if modified.zip(date(fields.if_unmodified_since)).is_some_and(|(ours, theirs)| ours > theirs) {
        return Verdict::PreconditionFailed;
    }
    // Steps 3 and 4.
    if let Some(list) = &fields.if_none_match {
        let named = named(list, |tag| current.is_some_and(|ours| ours.matches_weakly(tag)));
        let holds = match named {
            Named::Any => current.is_none(),
            Named::Ours => false,
            Named::Others => true,
            Named::Malformed => is_read,
        };
        if !holds {
            return if is_read { Verdict::NotModified } else { Verdict::PreconditionFailed };
        }
    } else if is_read
        && modified.zip(date(fields.if_modified_since)).is_some_and(|(ours, theirs)| ours <= theirs)
    {
        return Verdict::NotModified;
    }
    // Step 5. GET is the one method that RFC 9110 14.2 defines ranges for.
    let admits =
        |ours: &Validators| fields.if_range.is_none_or(|value| ours.admits_range(value, fields.now_unix));
    let applies = *method == Method::Get && current.is_some_and(admits);
    Verdict::Proceed { range: fields.range.filter(|_| applies) }
}

/// What a list of entity tags names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// `*`.
    Any,
    /// Our tag is one of them.
    Ours,
    /// No tag, or others.
    Others,
    /// It is no list of entity tags, wherever the flaw is.
    Malformed,
}

/// Reads `*` or a list of entity tags, in which empty elements are allowed (RFC 9110 5.6.1).
fn named(list: &[u8], is_ours: impl Fn(&[u8]) -> bool) -> Named {
    if trim(list) == b"*" {
        return Named::Any;
    }
    let (mut rest, mut found) = (list, Named::Others);
    loop {
        let Some(start) = rest.iter().position(|b| !matches!(b, b',' | b' ' | b'\t')) else { return found };
        rest = rest.get(start..).unwrap_or_default();
        let Some(len) = tag_len(rest) else { return Named::Malformed };
        let (tag, behind) = rest.split_at_checked(len).unwrap_or((rest, b""));
        let next = trim(behind);
        if !next.is_empty() && !next.starts_with(b",") {
            return Named::Malformed;
        }
        if is_ours(tag) {
            found = Named::Ours;
        }
        rest = next;
    }
}

/// Length of the entity tag that `bytes` begins with, its `W/` and quotes included (RFC 9110 8.8.3).
pub(super) fn tag_len(bytes: &[u8]) -> Option<usize> {
    let quoted = opaque(bytes).strip_prefix(b"\"")?;
    let len = quoted.iter().position(|&b| !matches!(b, 0x21 | 0x23..=0x7e | 0x80..=0xff))?;
    // What is not a character of a tag must be the closing quote.
    (quoted.get(len) == Some(&b'"')).then(|| bytes.len() - quoted.len() + len + 1)
}

/// A tag without its `W/`.
pub(super) fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests;
