//! `Range: bytes=…` against a size (RFC 9110 14.1.2, 14.2): pure, checked, 64 bits wide.
//!
//! Owns the grammar and the arithmetic of one field value, and the bounds of what a peer can ask for in it. Never
//! decides whether a range applies at all (method, `If-Range`, conditionals): that is [`plan`](super::plan)'s, its
//! only caller.

use std::ops::Range;

/// Ranges in one field; with more of them it is ignored.
pub const SPECS_MAX: usize = 100;

/// Parts of one answer; with more of them the whole is sent.
pub const PARTS_MAX: usize = 16;

/// Ranges with at most this many bytes between them become one part: another part's head would cost as much
/// (RFC 9110 15.3.7.2).
pub const GAP_MAX: u64 = 80;

/// What a `Range` value asks of a representation of a given size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Ignore the field and send the whole: another unit, a malformed value, or too many ranges.
    Whole,
    /// Send these bytes: never empty, `end` exclusive and at most the size.
    Part(Range<u64>),
    /// Send these, two to [`PARTS_MAX`] of them, in this order: each as above, and no two of them overlap or lie
    /// within [`GAP_MAX`] of each other, so that all of them together are shorter than the whole.
    Parts(Vec<Range<u64>>),
    /// No byte is selected: 416 with the size.
    Unsatisfiable,
}

/// Judges the field value `value` for a representation of `size` bytes.
///
/// Units are case-insensitive; blanks and empty elements around ranges are allowed, as in every list (RFC 9110
/// 5.6.1). Numbers past `u64::MAX` count as `u64::MAX`. A suffix of an empty representation is the whole of it:
/// RFC 9110 calls it satisfiable, and no `Content-Range` can express it.
///
/// Of several ranges those that select nothing are skipped. Overlapping and neighbouring ones become one, which takes
/// the place of the first of them, so that parts come in the order in which they were asked for and no byte is sent
/// twice. One flaw makes the whole field malformed; more than [`SPECS_MAX`] ranges, or more than [`PARTS_MAX`] parts,
/// are answered with the whole, which RFC 9110 14.2 permits.
pub fn select(value: &[u8], size: u64) -> Selection {
    let Some(set) = strip_unit(value) else { return Selection::Whole };
    let mut specs = set.split(|&b| b == b',').map(trim).filter(|spec| !spec.is_empty());
    let Some(first) = specs.next() else { return Selection::Whole };
    // Nearly every request asks for one range, which needs no list.
    let Some(second) = specs.next() else { return resolve(first, size).unwrap_or(Selection::Whole) };
    let mut asked = Vec::new();
    for (nth, spec) in [first, second].into_iter().chain(specs).enumerate() {
        if nth >= SPECS_MAX {
            return Selection::Whole;
        }
        match resolve(spec, size) {
            Some(Selection::Part(part)) => asked.push((nth, part)),
            Some(Selection::Unsatisfiable) => {}
            Some(Selection::Whole | Selection::Parts(_)) | None => return Selection::Whole,
        }
    }
    coalesce(asked)
}

/// The parts that ranges with their places in the field come to.
fn coalesce(mut asked: Vec<(usize, Range<u64>)>) -> Selection {
    asked.sort_unstable_by_key(|(_, range)| range.start);
    let mut parts: Vec<(usize, Range<u64>)> = Vec::new();
    for (nth, range) in asked {
        match parts.last_mut() {
            Some((place, last)) if range.start <= last.end.saturating_add(GAP_MAX) => {
                last.end = last.end.max(range.end);
                *place = nth.min(*place);
            }
            _ => parts.push((nth, range)),
        }
    }
    if parts.len() > PARTS_MAX {
        return Selection::Whole;
    }
    parts.sort_unstable_by_key(|(place, _)| *place);
    let mut parts: Vec<Range<u64>> = parts.into_iter().map(|(_, range)| range).collect();
    match parts.len() {
        0 => Selection::Unsatisfiable,
        1 => parts.pop().map_or(Selection::Unsatisfiable, Selection::Part),
        _ => Selection::Parts(parts),
    }
}

/// One range: a part, nothing, or the whole of an empty representation; `None` if it is malformed.
fn resolve(spec: &[u8], size: u64) -> Option<Selection> {
    let dash = spec.iter().position(|&b| b == b'-')?;
    let (first, rest) = spec.split_at(dash);
    let last = rest.strip_prefix(b"-").unwrap_or_default();
    match (number(first), number(last)) {
        (Digits::Number(first), Digits::Number(last)) if first > last => None,
        (Digits::Number(first), Digits::Number(last)) => Some(from(first, last.saturating_add(1).min(size))),
        (Digits::Number(first), Digits::None) => Some(from(first, size)),
        (Digits::None, Digits::Number(0)) => Some(Selection::Unsatisfiable),
        (Digits::None, Digits::Number(_)) if size == 0 => Some(Selection::Whole),
        (Digits::None, Digits::Number(suffix)) => Some(from(size.saturating_sub(suffix), size)),
        (Digits::None, Digits::None) | (Digits::Bad, _) | (_, Digits::Bad) => None,
    }
}

fn from(start: u64, end: u64) -> Selection {
    if start < end { Selection::Part(start..end) } else { Selection::Unsatisfiable }
}

fn strip_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// The bytes without blanks around them.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
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
    fn malformed_and_foreign_ranges_select_the_whole() {
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
            "bytes=0-1,x",
            "x,bytes=0-1",
            "bytes=0-1,bytes=4-5",
            "bytes=0-1,5-4",
            "bytes=0-1 4-5",
            "bytes=1-2;",
            "none",
        ];
        for value in table {
            assert_eq!(select(value.as_bytes(), 10), Selection::Whole, "{value}");
        }
        assert_eq!(select(b"bytes=-5", 0), Selection::Whole);
        assert_eq!(select(b"bytes=0-0,-5", 0), Selection::Whole);
    }

    #[test]
    fn several_ranges_keep_their_order_and_neighbours_become_one() {
        let table: &[(&str, &[Range<u64>])] = &[
            ("bytes=0-1,1000-1001", &[0..2, 1000..1002]),
            ("bytes=1000-1001,0-1", &[1000..1002, 0..2]),
            ("bytes=-1,0-0,5000-", &[5000..10_000, 0..1]),
            ("bytes=0-0,-1,400-500", &[0..1, 9_999..10_000, 400..501]),
            ("bytes=0-0,20000-,400-500,-0", &[0..1, 400..501]),
            // A gap of 80 bytes is closed, one of 81 is not.
            ("bytes=0-9,90-99,181-190", &[0..100, 181..191]),
            // The third joins the first two, and takes the place of the first.
            ("bytes=500-599,0-9,300-450,650-700,100-499", &[100..701, 0..10]),
            ("bytes= ,0-1 ,,\t1000-1001,", &[0..2, 1000..1002]),
            ("bytes=9999-9999,0-0,18446744073709551615-,0-0", &[9_999..10_000, 0..1]),
        ];
        for (value, want) in table {
            assert_eq!(select(value.as_bytes(), 10_000), Selection::Parts(want.to_vec()), "{value}");
        }
    }

    #[test]
    fn several_ranges_that_come_to_one_or_none_are_no_list() {
        for (value, want) in [
            ("bytes=0-1,2-3", 0..4),
            ("bytes=5-9,0-3", 0..10),
            ("bytes=-1,-0", 9_999..10_000),
            ("bytes=0-,0-,0-", 0..10_000),
            ("bytes=9000-,20000-", 9_000..10_000),
        ] {
            assert_eq!(select(value.as_bytes(), 10_000), Selection::Part(want), "{value}");
        }
        assert_eq!(select(b"bytes=10000-,-0,99999999999999999999-", 10_000), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=0-0,5-9", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn at_most_a_hundred_ranges_and_sixteen_parts_are_served() {
        let spread = |n: u64| {
            let specs: Vec<String> = (0..n).map(|at| format!("{0}-{0}", at * 1000)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(
            matches!(select(spread(16).as_bytes(), GIB), Selection::Parts(parts) if parts.len() == PARTS_MAX)
        );
        assert_eq!(select(spread(17).as_bytes(), GIB), Selection::Whole);
        let same = |n| format!("bytes={}", vec!["0-0"; n].join(","));
        assert_eq!(select(same(100).as_bytes(), GIB), Selection::Part(0..1));
        assert_eq!(select(same(101).as_bytes(), GIB), Selection::Whole);
        assert_eq!(select(same(1300).as_bytes(), GIB), Selection::Whole);
    }

    #[test]
    fn sums_beyond_64_bits_are_never_made() {
        let most = u64::MAX;
        let huge = format!("bytes=0-{0},1-{0},2-{0},{1}-{0}", most - 1, most / 2);
        assert_eq!(select(huge.as_bytes(), most), Selection::Part(0..most));
        let apart = format!("bytes={}-,0-{}", most / 2 + 200, most / 2);
        assert_eq!(
            select(apart.as_bytes(), most),
            Selection::Parts(vec![most / 2 + 200..most, 0..most / 2 + 1])
        );
        assert_eq!(
            select(b"bytes=18446744073709551614-,0-0", most),
            Selection::Parts(vec![most - 1..most, 0..1])
        );
    }

    proptest! {
        #[test]
        fn the_parts_are_the_slices_that_a_naive_model_cuts(
            specs in proptest::collection::vec("[0-9]{0,4}-[0-9]{0,4}", 1..24),
            size: u8,
        ) {
            checks::range_vs_model(&[&[size], format!("bytes={}", specs.join(",")).as_bytes()].concat());
        }

        #[test]
        fn ranges_that_rise_agree_with_the_model(
            starts in proptest::collection::vec((0_u16..4096, 0_u16..200), 1..40),
            size: u8,
        ) {
            let specs: Vec<_> = starts.iter().map(|(at, len)| format!("{at}-{}", at + len)).collect();
            checks::range_vs_model(&[&[size], format!("bytes={}", specs.join(", ")).as_bytes()].concat());
        }

        #[test]
        fn any_value_agrees_with_the_model(size: u8, value in "(bytes=)?[ ,0-9=-]{0,24}") {
            checks::range_vs_model(&[&[size], value.as_bytes()].concat());
        }

        #[test]
        fn conditions_agree_with_the_model(
            size: u8,
            lines in proptest::collection::vec(proptest::sample::select(checks::LINES.to_vec()), 0..6),
        ) {
            checks::range_vs_model(&[&[size], lines.join("\n").as_bytes()].concat());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40), size: u64) {
            checks::range_vs_model(&bytes);
            let value = [b"bytes=", &bytes[..]].concat();
            for value in [&bytes, &value] {
                if let Selection::Part(part) = select(value, size) {
                    prop_assert!(part.start < part.end && part.end <= size);
                }
            }
        }

        #[test]
        fn parts_of_any_size_are_apart_and_within_it(
            specs in proptest::collection::vec((any::<u64>(), any::<u64>()), 2..30),
            size: u64,
        ) {
            let specs: Vec<_> = specs.iter().map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))).collect();
            if let Selection::Parts(mut parts) = select(format!("bytes={}", specs.join(",")).as_bytes(), size) {
                prop_assert!((2..=PARTS_MAX).contains(&parts.len()));
                parts.sort_by_key(|part| part.start);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                prop_assert!(parts.windows(2).all(|two| two[1].start - two[0].end > GAP_MAX));
            }
        }
    }
}
