//! Whole-input checks of the pure parts, for property tests and fuzz targets: each takes any bytes and panics when
//! a rule is broken. Never part of a release build: only under `test` or feature `testing`.

mod range;

pub use range::{LINES, range_vs_model};

use super::encoding::{AcceptEncoding, Coding};
use super::glob::Glob;
use super::path::{self, PathError};
use super::redirect;

/// Any bytes as a request path: what resolves never leaves the root, and its redirect is safe and leads back to it.
///
/// # Panics
/// When a rule is broken.
pub fn target_to_path(target: &[u8]) {
    let Ok(resolved) = path::resolve(target) else { return };
    let name = resolved.rel.as_bytes();
    assert!(!name.contains(&0) && !name.contains(&b'\\'), "forbidden byte");
    assert!(name.iter().all(|b| !b.is_ascii_control()), "control byte");
    if !name.is_empty() {
        for (at, segment) in name.split(|&b| b == b'/').enumerate() {
            assert!(!segment.is_empty() && segment != b"." && segment != b"..", "segment that is no name");
            assert!(!segment.starts_with(b".") || (at == 0 && segment == b".well-known"), "hidden segment");
        }
    }
    assert!(!resolved.rel.is_root() || resolved.dir, "the root is a directory");
    let location = redirect::location(&resolved.rel, Some(target));
    assert!(location.starts_with('/') && !location.starts_with("//"), "open redirect");
    assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "unclean Location");
    let path = location.split('?').next().unwrap_or_default();
    let back = path::resolve(path.as_bytes());
    assert!(back.as_ref().is_ok_and(|b| b.dir && b.rel == resolved.rel), "the redirect leads elsewhere");
    let again = path::resolve(redirect::canonical(&resolved).as_bytes());
    assert!(
        again != Err(PathError::BadRequest) && again.is_ok_and(|a| a == resolved),
        "canonical form differs"
    );
}

/// Any bytes as an `Accept-Encoding` value: the codings that are preferred are those of a naive reading.
///
/// # Panics
/// When the two disagree.
pub fn accept_encoding_vs_model(value: &[u8]) {
    let accept = AcceptEncoding::parse([value]);
    let got: Vec<&str> = accept.preferred(&Coding::ALL).map(Coding::name).collect();
    let text: String = value.iter().map(|&byte| char::from(byte)).collect();
    let want = preferred_model(&text).unwrap_or_default();
    assert_eq!(got, want, "{}", value.escape_ascii());
    let again = AcceptEncoding::parse(value.split(|&b| b == b','));
    assert_eq!(again, accept, "a list in several lines is the same list");
}

fn preferred_model(text: &str) -> Option<Vec<&'static str>> {
    let mut named: Vec<(String, u32)> = Vec::new();
    for element in text.split(',').map(|s| s.trim_matches([' ', '\t'])).filter(|s| !s.is_empty()) {
        let (name, weight) = element.split_once(';').unwrap_or((element, "q=1"));
        let weight = weight.trim_matches([' ', '\t']).to_ascii_lowercase();
        let number = weight.strip_prefix("q=")?;
        let shape: String = number.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if !["0", "0.", "0.0", "0.00", "0.000"].contains(&shape.as_str()) {
            return None;
        }
        let thousandths = (number.parse::<f64>().ok()? * 1000.0).round() as u32;
        let name = name.trim_matches([' ', '\t']).to_ascii_lowercase();
        let is_token = |c: char| c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c);
        if thousandths > 1000 || name.is_empty() || !name.chars().all(is_token) {
            return None;
        }
        named.push((if name == "x-gzip" { "gzip".to_owned() } else { name }, thousandths));
    }
    let lowest = |name: &str| named.iter().filter(|(n, _)| n == name).map(|&(_, q)| q).min();
    let quality = |name: &str| lowest(name).or_else(|| lowest("*")).unwrap_or(0);
    let mut left: Vec<&str> = ["br", "zstd", "gzip"].into_iter().collect();
    left.retain(|name| quality(name) > 0 && quality(name) >= quality("identity"));
    left.sort_by_key(|name| std::cmp::Reverse(quality(name)));
    Some(left)
}

/// A pattern and a name: they match when a naive backtracking matcher says so. Keep both short, for that one is slow.
///
/// # Panics
/// When the two disagree.
pub fn glob_vs_model(pattern: &str, name: &[u8]) {
    let Ok(glob) = Glob::new(pattern) else { return };
    let last = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let compared = if pattern.contains('/') { name } else { last };
    let chars: Vec<char> = mark_deep(pattern.strip_prefix('/').unwrap_or(pattern));
    let want = glob_model(&chars, &String::from_utf8_lossy(compared).chars().collect::<Vec<_>>());
    assert_eq!(glob.matches(name), want, "{pattern} {}", name.escape_ascii());
}

/// Stands for `**`, so that two stars which only meet when an alternative is put in are not taken for it.
const DEEP: char = '\u{f8ff}';

fn mark_deep(pattern: &str) -> Vec<char> {
    let mut out = Vec::new();
    let (mut chars, mut in_class) = (pattern.chars().peekable(), 0_u32);
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend([Some(c), chars.next()].into_iter().flatten()),
            '[' if in_class == 0 => {
                in_class = 1;
                out.push(c);
                out.extend(chars.next_if(|c| matches!(c, '!' | '^')));
                out.extend(chars.next_if_eq(&']'));
            }
            ']' => {
                in_class = 0;
                out.push(c);
            }
            '*' if in_class == 0 && chars.next_if_eq(&'*').is_some() => out.push(DEEP),
            other => out.push(other),
        }
    }
    out
}

fn glob_model(pattern: &[char], name: &[char]) -> bool {
    let Some((&c, rest)) = pattern.split_first() else { return name.is_empty() };
    let tail = |name: &[char], is_ok: &dyn Fn(char) -> bool| {
        name.split_first().is_some_and(|(&c, name)| is_ok(c) && glob_model(rest, name))
    };
    match c {
        DEEP if rest.is_empty() => !name.is_empty(),
        DEEP => {
            let cuts = name.iter().enumerate().filter(|&(_, &c)| c == '/').map(|(at, _)| at + 1);
            std::iter::once(0).chain(cuts).any(|at| glob_model(&rest[1..], &name[at..]))
        }
        '*' => (0..=name.len()).any(|n| !name[..n].contains(&'/') && glob_model(rest, &name[n..])),
        '?' => tail(name, &|c| c != '/'),
        '\\' => name.first() == rest.first() && glob_model(&rest[1..], &name[1..]),
        '[' => {
            let (class, len) = class_model(rest);
            name.first().is_some_and(|&c| c != '/' && class(c)) && glob_model(&rest[len..], &name[1..])
        }
        '{' => {
            let (choices, len) = choices_model(rest);
            choices.iter().any(|choice| glob_model(&[choice, &rest[len..]].concat(), name))
        }
        other => tail(name, &|c| c == other),
    }
}

/// The class after a `[`, and its length with the `]`.
fn class_model(pattern: &[char]) -> (Box<dyn Fn(char) -> bool>, usize) {
    let is_negated = matches!(pattern.first(), Some('!' | '^'));
    let (mut at, mut members) = (usize::from(is_negated), Vec::new());
    let take = |at: &mut usize| {
        *at += usize::from(pattern[*at] == '\\');
        *at += 1;
        pattern[*at - 1]
    };
    while members.is_empty() || pattern[at] != ']' {
        let low = take(&mut at);
        let is_range = pattern[at] == '-' && pattern.get(at + 1).is_some_and(|&c| c != ']');
        at += usize::from(is_range);
        members.push(low..=if is_range { take(&mut at) } else { low });
    }
    (Box::new(move |c| members.iter().any(|m| m.contains(&c)) != is_negated), at + 1)
}

/// The alternatives after a `{`, and their length with the `}`.
fn choices_model(pattern: &[char]) -> (Vec<Vec<char>>, usize) {
    let (mut choices, mut depth, mut at) = (vec![Vec::new()], 0_u32, 0);
    loop {
        let c = pattern[at];
        let len = match c {
            '\\' => 2,
            '[' => 1 + class_model(&pattern[at + 1..]).1,
            _ => 1,
        };
        match c {
            '}' if depth == 0 => return (choices, at + 1),
            ',' if depth == 0 => choices.push(Vec::new()),
            _ => {
                depth = depth + u32::from(c == '{') - u32::from(c == '}');
                if let Some(choice) = choices.last_mut() {
                    choice.extend(&pattern[at..at + len]);
                }
            }
        }
        at += len;
    }
}
