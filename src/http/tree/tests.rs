//! The tree against what its documentation says, and against a model that tries every pattern.

use proptest::prelude::*;

use super::*;

fn tree(patterns: &[&str]) -> Tree {
    let mut tree = Tree::default();
    for (at, pattern) in patterns.iter().enumerate() {
        assert_eq!(tree.insert(&Pattern::parse(pattern).unwrap(), at), at, "{pattern}");
    }
    tree
}

/// The pattern that a path finds, and its parameters.
fn found<'p>(patterns: &[&'p str], path: &'p str) -> Option<(&'p str, Vec<&'p str>)> {
    let (at, spans) = tree(patterns).find(path.as_bytes())?;
    let text = |nth| spans.of(path.as_bytes(), nth).map(|raw| std::str::from_utf8(raw).unwrap());
    Some((patterns[at], (0..PARAMS_MAX).map_while(text).collect()))
}

#[test]
fn a_fixed_segment_comes_before_a_parameter_and_a_parameter_before_a_tail() {
    let all = ["/*all", "/:one", "/a", "/a/:x", "/a/b", "/:one/b/c", "/a/*rest", "/"];
    for (path, pattern, params) in [
        ("/", "/", vec![]),
        ("/a", "/a", vec![]),
        ("/z", "/:one", vec!["z"]),
        ("/a/b", "/a/b", vec![]),
        ("/a/z", "/a/:x", vec!["z"]),
        ("/a/", "/a/*rest", vec![""]),
        ("/a/y/z", "/a/*rest", vec!["y/z"]),
        ("/a/b/c", "/a/*rest", vec!["b/c"]),
        ("/z/b/c", "/:one/b/c", vec!["z"]),
        ("/z/b", "/*all", vec!["z/b"]),
        ("/z/", "/*all", vec!["z/"]),
        ("//", "/*all", vec!["/"]),
    ] {
        assert_eq!(found(&all, path), Some((pattern, params)), "{path}");
    }
}

#[test]
fn a_choice_that_leads_nowhere_is_taken_back_with_its_parameters() {
    let all = ["/a/:x/c", "/:y/:z/d", "/:y/*rest"];
    assert_eq!(found(&all, "/a/b/d"), Some(("/:y/:z/d", vec!["a", "b"])));
    assert_eq!(found(&all, "/a/b/e"), Some(("/:y/*rest", vec!["a", "b/e"])));
    assert_eq!(found(&all, "/a/b/c"), Some(("/a/:x/c", vec!["b"])));
}

#[test]
fn a_trailing_slash_is_another_path_and_an_empty_segment_no_parameter() {
    let all = ["/a", "/b/", "/c/:id"];
    for (path, pattern) in [("/a/", None), ("/b", None), ("/b/", Some("/b/")), ("/c/", None), ("/c//", None)]
    {
        assert_eq!(found(&all, path).map(|(pattern, _)| pattern), pattern, "{path}");
    }
    assert_eq!(tree(&all).find(b"*"), None);
    assert_eq!(tree(&all).find(b""), None);
}

#[test]
fn fixed_segments_match_decoded() {
    let all = ["/caf\u{e9}/x", "/100%"];
    assert_eq!(found(&all, "/caf%C3%A9/%78").map(|(pattern, _)| pattern), Some("/caf\u{e9}/x"));
    assert_eq!(found(&all, "/100%25").map(|(pattern, _)| pattern), Some("/100%"));
}

#[test]
fn patterns_that_can_never_match_are_mistakes() {
    let long = "/x".repeat(65);
    let wide: String = (0..9).map(|n| format!("/:p{n}")).collect();
    for bad in [
        "", "a", "a/b", "//", "/a//b", "/:", "/*", "/:a/:a", "/*a/b", "/a?b", "/a#b", "/..", "/a/./b", &long,
        &wide,
    ] {
        assert!(Pattern::parse(bad).is_err(), "{bad}");
    }
    let bounds = ["/x".repeat(64), (0..8).map(|n| format!("/:p{n}")).collect()];
    assert!(bounds.iter().all(|good| Pattern::parse(good).is_ok()));
}

#[test]
fn the_same_pattern_names_the_same_resource_whatever_its_parameters_are_called() {
    let mut tree = Tree::default();
    let mut insert = |pattern: &str, new| tree.insert(&Pattern::parse(pattern).unwrap(), new);
    assert_eq!(
        (insert("/a/:x", 1), insert("/a/:y", 2), insert("/b/*t", 3), insert("/b/*u", 4)),
        (1, 1, 3, 3)
    );
}

/// All patterns that match, by the definition, with what makes one more specific than another at its first difference.
fn model(patterns: &[Pattern], path: &str) -> Option<usize> {
    let given: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let rank = |pattern: &Pattern| -> Option<Vec<u8>> {
        let mut ranks = Vec::new();
        for (at, segment) in pattern.segments.iter().enumerate() {
            match (segment, given.get(at)?) {
                (Segment::Tail, _) => {
                    ranks.push(2);
                    return Some(ranks);
                }
                (Segment::Fixed(name), text) if **name == *text.as_bytes() => ranks.push(0),
                (Segment::Param, text) if !text.is_empty() => ranks.push(1),
                (Segment::Fixed(_) | Segment::Param, _) => return None,
            }
        }
        (pattern.segments.len() == given.len()).then_some(ranks)
    };
    let ranked = patterns.iter().enumerate().filter_map(|(at, pattern)| Some((rank(pattern)?, at)));
    ranked.min().map(|(_, at)| at)
}

proptest! {
    #[test]
    fn the_walk_agrees_with_trying_every_pattern(
        patterns in proptest::collection::vec("(/(a|b|:x|:y)){0,4}(/|/\\*t|/c)", 1..12),
        paths in proptest::collection::vec("(/(a|b|c|d|)){1,6}", 1..8),
    ) {
        let mut tree = Tree::default();
        let mut kept: Vec<Pattern> = Vec::new();
        for text in &patterns {
            let Ok(pattern) = Pattern::parse(text) else { continue };
            if tree.insert(&pattern, kept.len()) == kept.len() {
                kept.push(pattern);
            }
        }
        for path in &paths {
            let got = tree.find(path.as_bytes());
            prop_assert_eq!(got.map(|(at, _)| at), model(&kept, path), "{} in {:?}", path, patterns);
            if let Some((at, spans)) = got {
                prop_assert!(spans.len == kept[at].names.len());
            }
        }
    }

    #[test]
    fn any_bytes_survive(path in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = tree(&["/", "/:a", "/a/:b", "/:a/b/*c"]).find(&path);
    }
}
