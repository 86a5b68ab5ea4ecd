use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_795_000_000;
const DATE: u64 = 784_111_777;
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const GO: Verdict<'static> = Verdict::Proceed { range: None };
const FAILED: Verdict<'static> = Verdict::PreconditionFailed;
const FRESH: Verdict<'static> = Verdict::NotModified;

fn strong() -> Validators {
    Validators::with("\"v\"", Some(DATE)).unwrap()
}

/// What the lines say of `current`, for a method each.
fn verdicts<'a>(lines: &[(&'a str, &'a str)], current: Option<&Validators>) -> [Verdict<'a>; 3] {
    let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
    let fields = Fields::from_lines(lines, NOW);
    [Method::Get, Method::Head, Method::Put].map(|method| evaluate(&method, &fields, current))
}

#[test]
fn if_match_needs_one_of_our_strong_tags() {
    let weak = Validators::with("W/\"v\"", Some(DATE)).unwrap();
    let untagged = Validators::with("", Some(DATE)).unwrap();
    for list in
        ["\"v\"", "\"x\", \"v\"", "*", " * ", ",, \"v\" ,\t", "\"a,b\",\"v\",W/\"v\"", "\"x\",\t\"v\""]
    {
        assert_eq!(verdicts(&[("If-Match", list)], Some(&strong())), [GO; 3], "{list}");
    }
    for list in [
        "",
        ",",
        "\"x\"",
        "W/\"v\"",
        "v",
        "\"V\"",
        "\"v",
        "\"v\" \"x\"",
        "\"v\"\"x\"",
        "\"v\", junk",
        "junk, \"v\"",
        "*, \"v\"",
        "\"v\", *",
        "**",
        "\"v \"",
        "w/\"v\"",
    ] {
        assert_eq!(verdicts(&[("If-Match", list)], Some(&strong())), [FAILED; 3], "{list}");
    }
    for weak in [weak, untagged] {
        assert_eq!(verdicts(&[("If-Match", "*")], Some(&weak)), [GO; 3]);
        assert_eq!(verdicts(&[("If-Match", "\"v\"")], Some(&weak)), [FAILED; 3]);
        assert_eq!(verdicts(&[("If-Match", "W/\"v\"")], Some(&weak)), [FAILED; 3]);
    }
    assert_eq!(verdicts(&[("If-Match", "*")], None), [FAILED; 3]);
    assert_eq!(verdicts(&[("If-Match", "\"v\"")], None), [FAILED; 3]);
}

#[test]
fn if_unmodified_since_counts_without_if_match_and_if_it_is_a_date() {
    let verdict = |lines: &[_]| verdicts(lines, Some(&strong()));
    for (date, want) in
        [(SAME, GO), (LATER, GO), (EARLIER, FAILED), ("Wed, 31 Dec 1969 23:59:59 GMT", FAILED)]
    {
        assert_eq!(verdict(&[("If-Unmodified-Since", date)]), [want; 3], "{date}");
    }
    for date in ["Sunday, 06-Nov-94 08:49:36 GMT", "Sun Nov  6 08:49:36 1994"] {
        assert_eq!(verdict(&[("If-Unmodified-Since", date)]), [FAILED; 3], "{date}");
    }
    for date in ["", "yesterday", "784111776", "Sun, 06 Nov 1994 08:49:36 GMT, Sun, 06 Nov 1994 08:49:36 GMT"]
    {
        assert_eq!(verdict(&[("If-Unmodified-Since", date)]), [GO; 3], "{date}");
    }
    assert_eq!(verdict(&[("If-Unmodified-Since", EARLIER), ("If-Match", "\"v\"")]), [GO; 3]);
    assert_eq!(verdict(&[("If-Unmodified-Since", LATER), ("If-Match", "\"x\"")]), [FAILED; 3]);
    assert_eq!(verdict(&[("If-Unmodified-Since", EARLIER), ("If-Unmodified-Since", EARLIER)]), [GO; 3]);
    let undated = Validators::with("\"v\"", None).unwrap();
    assert_eq!(verdicts(&[("If-Unmodified-Since", EARLIER)], Some(&undated)), [GO; 3]);
    assert_eq!(verdicts(&[("If-Unmodified-Since", EARLIER)], None), [GO; 3]);
}

#[test]
fn if_none_match_compares_weakly_and_fails_for_what_changes_state() {
    let weak = Validators::with("W/\"v\"", Some(DATE)).unwrap();
    for current in [strong(), weak] {
        for list in ["\"v\"", "W/\"v\"", "*", "\"x\", \"v\"", "\"a,b\",W/\"\" ,,\t\"v\","] {
            assert_eq!(
                verdicts(&[("If-None-Match", list)], Some(&current)),
                [FRESH, FRESH, FAILED],
                "{list}"
            );
        }
        for list in ["", ",", "\"x\"", "\"\"", "\"V\"", "W/\"x\""] {
            assert_eq!(verdicts(&[("If-None-Match", list)], Some(&current)), [GO; 3], "{list}");
        }
        // A flaw: the whole is sent, and nothing is overwritten.
        for list in
            ["v", "\"v", "\"v\", junk", "junk, \"v\"", "\"v\"\"x\"", "*, *", "w/\"v\"", "W/", "\"v\" \"x\""]
        {
            assert_eq!(verdicts(&[("If-None-Match", list)], Some(&current)), [GO, GO, FAILED], "{list}");
        }
    }
    assert_eq!(verdicts(&[("If-None-Match", "*")], None), [GO; 3]);
    assert_eq!(verdicts(&[("If-None-Match", "\"v\"")], None), [GO; 3]);
    let untagged = Validators::with("", None).unwrap();
    assert_eq!(verdicts(&[("If-None-Match", "\"\"")], Some(&untagged)), [GO; 3]);
}

#[test]
fn if_modified_since_counts_for_reads_alone_and_without_if_none_match() {
    let verdict = |lines: &[_]| verdicts(lines, Some(&strong()));
    for (date, want) in [(SAME, FRESH), (LATER, FRESH), (EARLIER, GO), ("yesterday", GO), ("", GO)] {
        assert_eq!(verdict(&[("If-Modified-Since", date)]), [want, want, GO], "{date}");
    }
    for date in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(verdict(&[("If-Modified-Since", date)]), [FRESH, FRESH, GO], "{date}");
    }
    // 76 is 2076 until 2126, and 77 was 1977.
    assert_eq!(verdict(&[("If-Modified-Since", "Sunday, 06-Nov-76 08:49:37 GMT")])[0], FRESH);
    assert_eq!(verdict(&[("If-Modified-Since", "Sunday, 06-Nov-77 08:49:37 GMT")])[0], GO);
    for other in ["\"x\"", "junk", ""] {
        assert_eq!(verdict(&[("If-Modified-Since", SAME), ("If-None-Match", other)])[0], GO, "{other}");
    }
    assert_eq!(verdict(&[("If-Modified-Since", EARLIER), ("If-None-Match", "\"v\"")])[0], FRESH);
    assert_eq!(verdict(&[("If-Modified-Since", SAME), ("If-Modified-Since", SAME)])[0], GO);
    let undated = Validators::with("\"v\"", None).unwrap();
    assert_eq!(verdicts(&[("If-Modified-Since", SAME)], Some(&undated))[0], GO);
    assert_eq!(verdicts(&[("If-Modified-Since", SAME)], None)[0], GO);
}

#[test]
fn the_first_group_of_conditions_comes_before_the_second() {
    let verdict = |lines: &[_]| verdicts(lines, Some(&strong()));
    assert_eq!(verdict(&[("If-None-Match", "\"v\""), ("If-Match", "\"x\"")]), [FAILED; 3]);
    assert_eq!(verdict(&[("If-None-Match", "\"v\""), ("If-Match", "\"v\"")]), [FRESH, FRESH, FAILED]);
    assert_eq!(verdict(&[("If-Modified-Since", SAME), ("If-Unmodified-Since", EARLIER)]), [FAILED; 3]);
    assert_eq!(verdict(&[("If-Modified-Since", SAME), ("If-Unmodified-Since", SAME)]), [FRESH, FRESH, GO]);
    assert_eq!(verdict(&[("Range", "r"), ("If-Match", "\"x\"")]), [FAILED; 3]);
    assert_eq!(verdict(&[("Range", "r"), ("If-None-Match", "\"v\"")]), [FRESH, FRESH, FAILED]);
}

#[test]
fn a_range_applies_to_get_and_if_if_range_holds() {
    let on = Verdict::Proceed { range: Some(b"r") };
    let verdict = |lines: &[_]| verdicts(lines, Some(&strong()));
    assert_eq!(verdict(&[("Range", "r")]), [on, GO, GO]);
    assert_eq!(verdict(&[("rAnGe", "r"), ("if-range", "\"v\"")]), [on, GO, GO]);
    for other in ["\"x\"", "W/\"v\"", "*", "", "\"v\", \"x\"", "v", SAME] {
        assert_eq!(verdict(&[("Range", "r"), ("If-Range", other)]), [GO; 3], "{other}");
    }
    assert_eq!(verdict(&[("Range", "r"), ("Range", "r")]), [GO; 3]);
    assert_eq!(verdict(&[("Range", "r"), ("If-Range", "\"v\""), ("If-Range", "\"v\"")]), [GO; 3]);
    assert_eq!(verdict(&[("Range", "r"), ("If-None-Match", "\"x\"")]), [on, GO, GO]);
    assert_eq!(verdicts(&[("Range", "r")], None), [GO; 3]);
}

#[test]
fn lists_in_several_lines_are_one_list() {
    let verdict = |lines: &[_]| verdicts(lines, Some(&strong()));
    assert_eq!(verdict(&[("If-Match", "\"x\""), ("Host", "a"), ("IF-MATCH", "\"v\"")]), [GO; 3]);
    assert_eq!(verdict(&[("If-Match", "\"v\""), ("If-Match", "junk")]), [FAILED; 3]);
    assert_eq!(verdict(&[("If-Match", "*"), ("If-Match", "*")]), [FAILED; 3]);
    assert_eq!(verdict(&[("If-None-Match", "\"x\""), ("If-None-Match", "\"v\"")])[0], FRESH);
    // A comma may stand within a tag, so that these two lines are one tag (RFC 9110 5.3).
    assert_eq!(verdict(&[("If-None-Match", "\"v"), ("If-None-Match", "v\"")])[0], GO);
    let quoted = Validators::with("\"v,v\"", None).unwrap();
    assert_eq!(verdicts(&[("If-None-Match", "\"v"), ("If-None-Match", "v\"")], Some(&quoted))[0], FRESH);
}

#[test]
fn methods_without_a_representation_have_no_conditions() {
    let lines = [("If-Match", &b"\"x\""[..]), ("If-None-Match", b"*"), ("Range", b"r")];
    let fields = Fields::from_lines(lines, NOW);
    for method in [Method::Connect, Method::Options, Method::Trace] {
        assert_eq!(evaluate(&method, &fields, Some(&strong())), GO, "{method:?}");
    }
    for method in [Method::Post, Method::Delete, Method::Patch, Method::Other("LOCK")] {
        assert_eq!(evaluate(&method, &fields, Some(&strong())), FAILED, "{method:?}");
    }
}

#[test]
fn verdicts_have_their_status() {
    assert_eq!([GO, FAILED, FRESH].map(|v| v.status()), [None, Some(412), Some(304)]);
}

proptest! {
    #[test]
    fn a_list_names_what_its_elements_name(
        tags in proptest::collection::vec("(W/)?\"[a-c,]{0,2}\"", 0..5),
        gaps in proptest::collection::vec("[ \t]{0,2},[ ,\t]{0,2}", 6),
        ours in "\"[a-c,]{0,2}\"",
    ) {
        let mut list = String::new();
        for (tag, gap) in tags.iter().zip(&gaps) {
            list.push_str(tag);
            list.push_str(gap);
        }
        let current = Validators::with(&ours, None).unwrap();
        let found = tags.iter().any(|tag| tag.trim_start_matches("W/") == ours);
        let exact = tags.contains(&ours);
        prop_assert_eq!(verdicts(&[("If-None-Match", &list)], Some(&current))[0], if found { FRESH } else { GO });
        prop_assert_eq!(verdicts(&[("If-Match", &list)], Some(&current))[0], if exact { GO } else { FAILED });
    }

    #[test]
    fn any_bytes_are_survived(
        name in proptest::sample::select(vec!["If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"]),
        value in proptest::collection::vec(any::<u8>(), 0..30),
        text in "[W/\"v, *]{0,12}",
        now: u64,
    ) {
        for value in [&value[..], text.as_bytes()] {
            let fields = Fields::from_lines([(name, value), ("Range", b"r")], now);
            let got = evaluate(&Method::Get, &fields, Some(&strong()));
            prop_assert!(name != "If-Match" || got != FRESH);
            prop_assert!(name != "If-Range" || got.status().is_none());
        }
    }
}
