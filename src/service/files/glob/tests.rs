use super::super::checks;
use super::*;
use proptest::prelude::*;

fn matches(pattern: &str, name: &str) -> bool {
    Glob::new(pattern).unwrap().matches(name.as_bytes())
}

#[test]
fn each_form_matches_what_the_table_says() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("*.js", &["a.js", "x/y/a.js", ".js"], &["a.jsx", "a.js/b", "ajs"]),
        ("/a.js", &["a.js"], &["x/a.js"]),
        ("*", &["a", "a/b"], &[]),
        ("**", &["a", "a/b"], &[]),
        ("/*", &["a"], &["a/b"]),
        ("x/*", &["x/a", "x/"], &["x", "x/a/b", "y/x/a"]),
        ("x/**", &["x/a", "x/a/b"], &["x", "y/x/a", "xx/a"]),
        ("**/x", &["x", "a/x", "a/b/x"], &["ax", "x/a"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb", "b", "a/b/c"]),
        ("a?c", &["abc", "a\u{e4}c", "a\u{1f600}c"], &["ac", "abbc", "a/c"]),
        ("x/a?c", &["x/abc"], &["x/a/c"]),
        ("[a-c0]", &["a", "c", "0"], &["d", "", "ab"]),
        ("[!a-c]", &["d", "\u{e4}"], &["a", "c", ""]),
        ("[^]]", &["a"], &["]"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[\\]-a]", &["]", "^", "a"], &["b"]),
        ("x[!a]y/z", &["xby/z"], &["x/y/z", "xay/z"]),
        ("{a,b}.{js,css}", &["a.js", "b.css"], &["c.js", "a.", "{a,b}.js"]),
        ("a{,b,c{d,e}}", &["a", "ab", "acd", "ace"], &["ac", "ad"]),
        ("{x/,}a", &["a", "x/a"], &["y/a"]),
        ("{*.js,?}", &["a.js", "b", "x/b"], &["bb"]),
        ("\\*\\{\\[", &["*{["], &["a{["]),
        ("a,b", &["a,b"], &["a"]),
        ("app.*.js", &["app.0ff1ce.js", "x/app.a.b.js"], &["app.js"]),
    ];
    for (pattern, yes, no) in table {
        for name in *yes {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for name in *no {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}

#[test]
fn a_byte_that_is_no_character_counts_as_one_that_no_pattern_names() {
    for (pattern, is_match) in [("a?b", true), ("a*b", true), ("a[!x]b", true), ("a[\u{80}-\u{ff}]b", false)]
    {
        assert_eq!(Glob::new(pattern).unwrap().matches(b"a\xffb"), is_match, "{pattern}");
    }
    assert!(!Glob::new("a?b").unwrap().matches(b"a\xff\xfeb"));
}

#[test]
fn a_bad_pattern_says_what_is_wrong_with_it() {
    let long = "a".repeat(1025);
    let deep = "{".repeat(9) + &"}".repeat(9);
    let table = [
        ("", GlobError::Empty),
        ("/", GlobError::Empty),
        (&long, GlobError::TooLong),
        (&deep, GlobError::TooLong),
        ("[", GlobError::Class),
        ("[]", GlobError::Class),
        ("[!]", GlobError::Class),
        ("[z-a]", GlobError::Class),
        ("[a\\", GlobError::Class),
        ("{a", GlobError::Brace),
        ("a}", GlobError::Brace),
        ("{a,{b}", GlobError::Brace),
        ("a**", GlobError::Stars),
        ("**a", GlobError::Stars),
        ("***", GlobError::Stars),
        ("a/b**/c", GlobError::Stars),
        ("{a,**}", GlobError::Stars),
        ("a\\", GlobError::Escape),
    ];
    for (pattern, want) in table {
        assert_eq!(Glob::new(pattern).err(), Some(want), "{pattern}");
    }
    assert!(Glob::new(&long[1..]).is_ok() && Glob::new(&deep[1..17]).is_ok());
}

#[test]
fn the_worst_pattern_costs_no_more_than_its_length_times_that_of_the_name() {
    let pattern = "{*a,*}".repeat(170);
    let name = "a".repeat(4096);
    // Backtracking would take longer than the universe has been there, so that this is seen to end is the point.
    assert!(!Glob::new(&format!("{pattern}b")).unwrap().matches(name.as_bytes()));
}

proptest! {
    #[test]
    fn any_pattern_and_name_agree_with_the_model(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "a", "b", "/", "*", "**/", "/**", "?", "[ab]", "[!a]", "{a,b}", "{", "}", ",", "{,a*}", "\\", "\\*", "-", "[",
        ]), 0..7),
        name in "[ab*/]{0,8}",
    ) {
        checks::glob_vs_model(&pieces.concat(), name.as_bytes());
    }

    #[test]
    fn any_bytes_are_a_pattern_or_an_error(pattern in any::<String>(), name in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(glob) = Glob::new(&pattern) {
            glob.matches(&name);
        }
    }
}
