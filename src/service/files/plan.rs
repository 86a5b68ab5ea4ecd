//! Which answer a found file gives: a pure decision over its validators, its size and the request's fields.
//!
//! Owns the order: conditions first (RFC 9110 13.2.2), then `If-Range`, then `Range`. Never reads a byte.

use std::ops::Range;

use super::range::{self, Selection};
use super::validator::{Fields, Validators, Verdict};

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// 304, with the validators and no body.
    NotModified,
    /// 416, with [`Plan::content_range`].
    Unsatisfiable {
        /// Size of the whole.
        total: u64,
    },
}

impl Plan {
    /// The value of `Content-Range`, which 206 and 416 carry.
    pub fn content_range(&self) -> Option<String> {
        match *self {
            Self::Partial { start, end, total } => {
                Some(format!("bytes {start}-{}/{total}", end.saturating_sub(1)))
            }
            Self::Unsatisfiable { total } => Some(format!("bytes */{total}")),
            Self::Full { .. } | Self::NotModified => None,
        }
    }

    /// The bytes of the file that a GET is sent; empty for 304 and 416.
    pub fn bytes(&self) -> Range<u64> {
        match *self {
            Self::Full { len } => 0..len,
            Self::Partial { start, end, .. } => start..end,
            Self::NotModified | Self::Unsatisfiable { .. } => 0..0,
        }
    }
}

/// Decides the answer to GET, or with `is_head` to HEAD, for which no range applies (RFC 9110 14.2).
pub fn plan(is_head: bool, size: u64, validators: &Validators, fields: &Fields<'_>) -> Plan {
    if validators.evaluate(fields) == Verdict::Fresh {
        return Plan::NotModified;
    }
    let admits = || fields.if_range.is_none_or(|if_range| validators.admits_range(if_range));
    match fields.range {
        Some(range) if !is_head && admits() => match range::select(range, size) {
            Selection::Whole => Plan::Full { len: size },
            Selection::Part(part) => Plan::Partial { start: part.start, end: part.end, total: size },
            Selection::Unsatisfiable => Plan::Unsatisfiable { total: size },
        },
        _ => Plan::Full { len: size },
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

    #[test]
    fn conditions_come_before_if_range_and_range() {
        let v = validators();
        let tag = v.etag().as_bytes();
        let weak = [b"W/", tag].concat();
        let range = Some(&b"bytes=2-4"[..]);
        let none = Fields::default();
        let table = [
            (none, FULL, FULL),
            (Fields { range, ..none }, PART, FULL),
            (Fields { range, if_range: Some(tag), ..none }, PART, FULL),
            (Fields { range, if_range: Some(DATE), ..none }, PART, FULL),
            (Fields { range, if_range: Some(&weak), ..none }, FULL, FULL),
            (Fields { range, if_range: Some(b"\"x\""), ..none }, FULL, FULL),
            (Fields { range: Some(b"bytes=10-"), if_range: Some(b"\"x\""), ..none }, FULL, FULL),
            (Fields { range: Some(b"bytes=10-"), ..none }, Plan::Unsatisfiable { total: 10 }, FULL),
            (Fields { range: Some(b"bytes=0-1,4-5"), ..none }, FULL, FULL),
            (Fields { range: Some(b"junk"), ..none }, FULL, FULL),
            (Fields { if_range: Some(tag), ..none }, FULL, FULL),
            (Fields { range, if_none_match: Some(tag), ..none }, Plan::NotModified, Plan::NotModified),
            (Fields { range, if_none_match: Some(b"\"x\""), ..none }, PART, FULL),
            (Fields { range, if_modified_since: Some(DATE), ..none }, Plan::NotModified, Plan::NotModified),
        ];
        for (fields, get, head) in table {
            assert_eq!(
                (plan(false, 10, &v, &fields), plan(true, 10, &v, &fields)),
                (get, head),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn content_range_counts_the_last_byte_in() {
        assert_eq!(PART.content_range().unwrap(), "bytes 2-4/10");
        assert_eq!(PART.bytes(), 2..5);
        assert_eq!(Plan::Unsatisfiable { total: 0 }.content_range().unwrap(), "bytes */0");
        assert_eq!((FULL.content_range(), FULL.bytes()), (None, 0..10));
        assert_eq!((Plan::NotModified.content_range(), Plan::NotModified.bytes()), (None, 0..0));
    }
}
