//! Which answer a found file gives: a pure decision over its validators, its size and the request's fields.
//!
//! Owns the order: conditions first (RFC 9110 13.2.2), then `If-Range`, then `Range`. Never reads a byte.

use std::ops::Range;

use super::condition::{Fields, Verdict, evaluate};
use super::range::{self, Selection};
use super::validator::Validators;
use crate::proto::http1::head::Method;

/// How to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// 200 with all `len` bytes; to HEAD the same head without them.
    Full {
        /// `Content-Length`.
        len: u64,
    },
    /// 206 with the bytes from `start` up to, not including, `end`.
    Partial {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Size of the whole.
        total: u64,
    },
    /// 206 with several parts, two to [`PARTS_MAX`](range::PARTS_MAX), in this order: see
    /// [`Multipart`](super::Multipart).
    Parts {
        /// The bytes of each part, `end` exclusive; no two overlap.
        parts: Vec<Range<u64>>,
        /// Size of the whole.
        total: u64,
    },
    /// 304, with the validators and no body.
    NotModified,
    /// 412, with the validators: they describe the selected representation whatever the status is (RFC 9110 8.8),
    /// and tell the client what it has to reckon with.
    PreconditionFailed,
    /// 416, with [`Plan::content_range`].
    Unsatisfiable {
        /// Size of the whole.
        total: u64,
    },
}

impl Plan {
    /// The value of `Content-Range`, which 416 and a 206 of one part carry; several parts carry one each.
    pub fn content_range(&self) -> Option<String> {
        match *self {
            Self::Partial { start, end, total } => {
                Some(format!("bytes {start}-{}/{total}", end.saturating_sub(1)))
            }
            Self::Unsatisfiable { total } => Some(format!("bytes */{total}")),
            Self::Full { .. } | Self::Parts { .. } | Self::NotModified | Self::PreconditionFailed => None,
        }
    }

    /// The bytes of the file that a GET is sent in one piece; empty for several parts, 304, 412 and 416.
    pub fn bytes(&self) -> Range<u64> {
        match *self {
            Self::Full { len } => 0..len,
            Self::Partial { start, end, .. } => start..end,
            Self::Parts { .. }
            | Self::NotModified
            | Self::PreconditionFailed
            | Self::Unsatisfiable { .. } => 0..0,
        }
    }
}

/// Decides the answer to GET, or with `is_head` to HEAD, for which no range applies (RFC 9110 14.2).
pub fn plan(is_head: bool, size: u64, validators: &Validators, fields: &Fields<'_>) -> Plan {
    let method = if is_head { Method::Head } else { Method::Get };
    let range = match evaluate(&method, fields, Some(validators)) {
        Verdict::PreconditionFailed => return Plan::PreconditionFailed,
        Verdict::NotModified => return Plan::NotModified,
        Verdict::Proceed { range } => range,
    };
    match range.map_or(Selection::Whole, |range| range::select(range, size)) {
        Selection::Whole => Plan::Full { len: size },
        Selection::Part(part) => Plan::Partial { start: part.start, end: part.end, total: size },
        Selection::Parts(parts) => Plan::Parts { parts, total: size },
        Selection::Unsatisfiable => Plan::Unsatisfiable { total: size },
    }
}

#[cfg(test)]
mod tests {
    use super::super::meta::{Meta, Stamp};
    use super::*;

    fn validators() -> Validators {
        let at = Stamp { sec: 1000, nsec: 0 };
        Validators::new(&Meta { size: 10, mtime: at, ctime: at, dev: 1, ino: 1 }, 2000)
    }

    const DATE: &[u8] = b"Thu, 01 Jan 1970 00:16:40 GMT";
    const PART: Plan = Plan::Partial { start: 2, end: 5, total: 10 };
    const FULL: Plan = Plan::Full { len: 10 };
    const FAILED: Plan = Plan::PreconditionFailed;

    #[test]
    fn conditions_come_before_if_range_and_range() {
        let v = validators();
        let tag = v.etag().as_bytes();
        let other = &b"\"x\""[..];
        let weak = [b"W/", tag].concat();
        let range = Some(&b"bytes=2-4"[..]);
        let none = Fields { now_unix: 2000, ..Fields::default() };
        let table = [
            (none.clone(), FULL, FULL),
            (Fields { range, ..none.clone() }, PART, FULL),
            (Fields { range, if_range: Some(tag), ..none.clone() }, PART, FULL),
            (Fields { range, if_range: Some(DATE), ..none.clone() }, PART, FULL),
            (Fields { range, if_range: Some(&weak), ..none.clone() }, FULL, FULL),
            (Fields { range, if_range: Some(b"\"x\""), ..none.clone() }, FULL, FULL),
            (Fields { range: Some(b"bytes=10-"), if_range: Some(b"\"x\""), ..none.clone() }, FULL, FULL),
            (Fields { range: Some(b"bytes=10-"), ..none.clone() }, Plan::Unsatisfiable { total: 10 }, FULL),
            (Fields { range: Some(b"bytes=2-2,3-4"), ..none.clone() }, PART, FULL),
            (Fields { range, if_match: Some(other.into()), ..none.clone() }, FAILED, FAILED),
            (Fields { range, if_match: Some(tag.into()), ..none.clone() }, PART, FULL),
            (Fields { range, if_unmodified_since: Some(DATE), ..none.clone() }, PART, FULL),
            (Fields { range: Some(b"junk"), ..none.clone() }, FULL, FULL),
            (Fields { if_range: Some(tag), ..none.clone() }, FULL, FULL),
            (
                Fields { range, if_none_match: Some(tag.into()), ..none.clone() },
                Plan::NotModified,
                Plan::NotModified,
            ),
            (Fields { range, if_none_match: Some(other.into()), ..none.clone() }, PART, FULL),
            (
                Fields { range, if_modified_since: Some(DATE), ..none.clone() },
                Plan::NotModified,
                Plan::NotModified,
            ),
        ];
        for (fields, get, head) in table {
            assert_eq!(
                (plan(false, 10, &v, &fields), plan(true, 10, &v, &fields)),
                (get, head),
                "{fields:?}"
            );
        }
        let several = Fields { range: Some(b"bytes=500-,0-1"), ..none };
        let parts = Plan::Parts { parts: vec![500..1000, 0..2], total: 1000 };
        assert_eq!(plan(false, 1000, &v, &several), parts);
        assert_eq!(plan(true, 1000, &v, &several), Plan::Full { len: 1000 });
        assert_eq!((parts.content_range(), parts.bytes()), (None, 0..0));
    }

    #[test]
    fn content_range_counts_the_last_byte_in() {
        assert_eq!(PART.content_range().unwrap(), "bytes 2-4/10");
        assert_eq!(PART.bytes(), 2..5);
        assert_eq!(Plan::Unsatisfiable { total: 0 }.content_range().unwrap(), "bytes */0");
        assert_eq!((FULL.content_range(), FULL.bytes()), (None, 0..10));
        assert_eq!((FAILED.content_range(), FAILED.bytes()), (None, 0..0));
        assert_eq!((Plan::NotModified.content_range(), Plan::NotModified.bytes()), (None, 0..0));
    }
}
