//! `Range: bytes=…` against a size (RFC 9110 14.1.2, 14.2): pure, checked, 64 bits wide.
//!
//! Owns the grammar and the arithmetic of one field value. Never decides whether a range applies at all (method,
//! `If-Range`, conditionals): that is [`plan`](super::plan)'s, its only caller.

use std::ops::Range;

/// What a `Range` value asks of a representation of a given size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Ignore the field and send the whole: another unit, a malformed value, or several ranges.
    Whole,
    /// Send these bytes: never empty, `end` exclusive and at most the size.
    Part(Range<u64>),
    /// No byte is selected: 416 with the size.
    Unsatisfiable,
}

/// Judges the field value `value` for a representation of `size` bytes.
///
/// Units are case-insensitive; blanks and empty elements around the one range are allowed, as in every list
/// (RFC 9110 5.6.1). Numbers past `u64::MAX` count as `u64::MAX`. Several ranges are answered with the whole
/// representation, which RFC 9110 14.2 permits. A suffix of an empty representation is the whole of it: RFC 9110
/// calls it satisfiable, and no `Content-Range` can express it.
pub fn select(value: &[u8], size: u64) -> Selection {
    let Some(set) = strip_unit(value) else { return Selection::Whole };
    let mut specs = set.split(|&b| b == b',').map(trim).filter(|spec| !spec.is_empty());
    let (Some(spec), None) = (specs.next(), specs.next()) else { return Selection::Whole };
    let Some(dash) = spec.iter().position(|&b| b == b'-') else { return Selection::Whole };
    let (first, rest) = spec.split_at(dash);
    let last = rest.strip_prefix(b"-").unwrap_or_default();
    match (number(first), number(last)) {
        (Digits::Number(first), Digits::Number(last)) if first > last => Selection::Whole,
        (Digits::Number(first), Digits::Number(last)) => from(first, last.saturating_add(1).min(size)),
        (Digits::Number(first), Digits::None) => from(first, size),
        (Digits::None, Digits::Number(0)) => Selection::Unsatisfiable,
        (Digits::None, Digits::Number(_)) if size == 0 => Selection::Whole,
        (Digits::None, Digits::Number(suffix)) => from(size.saturating_sub(suffix), size),
        (Digits::None, Digits::None) | (Digits::Bad, _) | (_, Digits::Bad) => Selection::Whole,
    }
}

fn from(start: u64, end: u64) -> Selection {
    if start < end { Selection::Part(start..end) } else { Selection::Unsatisfiable }
}

fn strip_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

enum Digits {
    None,
    Number(u64),
    Bad,
}

fn number(digits: &[u8]) -> Digits {
    if digits.is_empty() {
        return Digits::None;
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Digits::Bad;
    }
    let push = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Digits::Number(digits.iter().fold(0, push))
}

#[cfg(test)]
mod tests {
    use super::super::checks;
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn one_range_is_cut_to_the_size() {
        let table: &[(&str, u64, Range<u64>)] = &[
            ("bytes=0-0", 10, 0..1),
            ("bytes=0-9", 10, 0..10),
            ("bytes=0-", 10, 0..10),
            ("bytes=9-", 10, 9..10),
            ("bytes=2-100", 10, 2..10),
            ("bytes=-3", 10, 7..10),
            ("bytes=-10", 10, 0..10),
            ("bytes=-11", 10, 0..10),
            ("bytes=-99999999999999999999999", 10, 0..10),
            ("bytes=3-18446744073709551615", 10, 3..10),
            ("bytes=3-18446744073709551616", 10, 3..10),
            ("bytes=3-99999999999999999999999999", 10, 3..10),
            ("bytes=000-004", 10, 0..5),
            ("BYTES=1-2", 10, 1..3),
            ("bytes= 1-2\t", 10, 1..3),
            ("bytes=,1-2, ,", 10, 1..3),
            ("bytes=4294967296-4294967299", 5 * GIB, 4 * GIB..4 * GIB + 4),
            ("bytes=-1", u64::MAX, u64::MAX - 1..u64::MAX),
        ];
        for (value, size, want) in table {
            assert_eq!(select(value.as_bytes(), *size), Selection::Part(want.clone()), "{value} of {size}");
        }
    }

    #[test]
    fn ranges_past_the_end_and_empty_suffixes_are_unsatisfiable() {
        let table = [
            ("bytes=10-", 10),
            ("bytes=10-20", 10),
            ("bytes=18446744073709551615-", u64::MAX),
            ("bytes=99999999999999999999-", 10),
            ("bytes=-0", 10),
            ("bytes=-0", 0),
            ("bytes=0-", 0),
            ("bytes=0-0", 0),
        ];
        for (value, size) in table {
            assert_eq!(select(value.as_bytes(), size), Selection::Unsatisfiable, "{value} of {size}");
        }
    }

    #[test]
    fn malformed_foreign_and_several_ranges_select_the_whole() {
        let table = [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1 -2",
            "bytes=1- 2",
            "bytes =1-2",
            "lines=1-2",
            "1-2",
            "bytes:1-2",
            "bytes=0-1,2-3",
            "bytes=0-1,x",
            "bytes=-1,-0",
            "bytes=1-2;",
            "none",
        ];
        for value in table {
            assert_eq!(select(value.as_bytes(), 10), Selection::Whole, "{value}");
        }
        assert_eq!(select(b"bytes=-5", 0), Selection::Whole);
        let many = format!("bytes={}", "0-,".repeat(1300));
        assert_eq!(select(many.as_bytes(), 10), Selection::Whole);
    }

    proptest! {
        #[test]
        fn the_part_is_the_slice_that_a_naive_model_cuts(
            spec in "[0-9]{0,3}-[0-9]{0,3}",
            size in 0_u8..=255,
        ) {
            checks::range_vs_model(&[&[size], format!("bytes={spec}").as_bytes()].concat());
        }

        #[test]
        fn any_value_agrees_with_the_model(size: u8, value in "(bytes=)?[ ,0-9=-]{0,24}") {
            checks::range_vs_model(&[&[size], value.as_bytes()].concat());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40), size: u64) {
            checks::range_vs_model(&bytes);
            if let Selection::Part(part) = select(&bytes, size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}
