//! Where redirects and rewrites lead: templates that are checked when they are configured and cannot go wrong later.
//!
//! Owns the safety of `Location`. What a template makes is either a path that begins with exactly one `/`, or begins
//! with the very scheme and authority that were configured; it holds visible ASCII only. Everything of the request is
//! normalised and encoded anew before it is put in. Pure.

use std::fmt;

use super::pattern::{NormalPath, PathPattern};
use crate::service::files::{encode_path, encode_query};

/// Why a target is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// It begins neither with one `/` nor with `http://` or `https://`, or names another host by `//`.
    Form,
    /// The host of an absolute target is missing, holds a variable, a user or something else that no host holds, or is
    /// not ended before a variable.
    Authority,
    /// A byte that no URL holds as it stands: encode it as `%XX`.
    Byte(char),
    /// A `%` without two hexadecimal digits.
    Escape,
    /// A `$` before something other than `path`, `query`, `rest` or `$`.
    Variable(String),
    /// A variable behind `#`.
    Fragment,
    /// A rewrite leads to a path of this server: no host, no fragment; its query stays as it came.
    NotLocal,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("a target begins with one '/', or with http:// or https://"),
            Self::Authority => f.write_str(
                "the host of an absolute target is written out, without user and variables, and ends before the first '/'",
            ),
            Self::Byte(c) => write!(f, "no URL holds {c:?} as it stands: write it as %XX"),
            Self::Escape => f.write_str("a '%' is followed by two hexadecimal digits"),
            Self::Variable(name) => {
                write!(f, "there is no ${name}: write $path, $query, $rest, or $$ for a dollar sign")
            }
            Self::Fragment => f.write_str("no variable stands behind '#'"),
            Self::NotLocal => {
                f.write_str("a rewrite leads to a path of this server, without host, '?' and '#'")
            }
        }
    }
}

impl std::error::Error for TargetError {}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The request's path, which begins with `/`.
    Path,
    /// What lies behind the captured prefix, without a `/` before it.
    Rest,
    /// The request's query with `?` before it, or `&` when there is one already; nothing if it has none.
    Query,
}

/// A checked target, such as `/new/$rest$query` or `https://example.org$path`.
///
/// | in a target | becomes |
/// |---|---|
/// | `$path` | the request's path, normalised and encoded anew |
/// | `$rest` | what of the path lies behind the captured prefix of the rule, without a `/` before it |
/// | `$query` | `?` and the request's query, or nothing; `&` instead of `?` when the target has one |
/// | `$$` | `$` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    parts: Vec<Part>,
}

impl Target {
    /// Reads and checks `text`.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn new(text: &str) -> Result<Self, TargetError> {
        let parts = split(text)?;
        check_bytes(&parts)?;
        match parts.first() {
            Some(Part::Path) => {}
            Some(Part::Text(first)) if first.starts_with('/') => {
                if first.starts_with("//") {
                    return Err(TargetError::Form);
                }
            }
            Some(Part::Text(first)) => check_authority(first, parts.get(1))?,
            _ => return Err(TargetError::Form),
        }
        Ok(Self { parts })
    }

    /// As [`Target::new`], for a rewrite.
    ///
    /// # Errors
    /// [`TargetError`]; also when it names a host or has a query.
    pub fn local(text: &str) -> Result<Self, TargetError> {
        let made = Self::new(text)?;
        let query = made.parts.iter().any(|part| match part {
            Part::Text(text) => text.contains(['?', '#']),
            Part::Query => true,
            Part::Path | Part::Rest => false,
        });
        if made.is_absolute() || query { Err(TargetError::NotLocal) } else { Ok(made) }
    }

    /// Whether it names a host.
    pub fn is_absolute(&self) -> bool {
        !matches!(self.parts.first(), Some(Part::Path))
            && !matches!(self.parts.first(), Some(Part::Text(t)) if t.starts_with('/'))
    }

    /// The target for a request of `path`, which `of` matches.
    pub(super) fn expand(&self, of: &PathPattern, path: &NormalPath, query: Option<&[u8]>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                // A slash that is there already is not doubled: `//` at the beginning would name a host.
                Part::Path => {
                    let path = path.as_bytes();
                    let path =
                        if out.ends_with('/') { path.strip_prefix(b"/").unwrap_or(path) } else { path };
                    out.extend(encode_path(path));
                }
                Part::Rest => out.extend(encode_path(of.rest(path.as_bytes()))),
                Part::Query => {
                    if let Some(query) = query {
                        out.push(if out.contains('?') { '&' } else { '?' });
                        out.extend(encode_query(query));
                    }
                }
            }
        }
        if out.starts_with("//") {
            // What stood between two slashes was empty: the second would name a host (RFC 3986 section 4.2).
            let from = out.bytes().take_while(|&byte| byte == b'/').count() - 1;
            out.drain(..from);
        }
        out
    }
}

fn split(text: &str) -> Result<Vec<Part>, TargetError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let part = match name {
            "path" => Part::Path,
            "rest" => Part::Rest,
            "query" => Part::Query,
            other => return Err(TargetError::Variable(other.to_owned())),
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(part);
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

fn check_bytes(parts: &[Part]) -> Result<(), TargetError> {
    let mut fragment = false;
    for part in parts {
        let Part::Text(text) = part else {
            if fragment {
                return Err(TargetError::Fragment);
            }
            continue;
        };
        fragment |= text.contains('#');
        let bad = |c: &char| {
            !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
        };
        if let Some(bad) = text.chars().find(bad) {
            return Err(TargetError::Byte(bad));
        }
        let mut escapes = text.split('%');
        escapes.next();
        if escapes.any(
            |after| !matches!(after.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
        ) {
            return Err(TargetError::Escape);
        }
    }
    Ok(())
}

/// `first` begins with a scheme and an authority; `next` is what follows it.
fn check_authority(first: &str, next: Option<&Part>) -> Result<(), TargetError> {
    let rest =
        first.strip_prefix("http://").or_else(|| first.strip_prefix("https://")).ok_or(TargetError::Form)?;
    let end = rest.find(['/', '?', '#']);
    let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let (host, port) = match authority
        .rfind(':')
        .filter(|at| !authority.get(*at..).is_some_and(|t| t.contains(']')))
    {
        Some(at) => (authority.get(..at).unwrap_or_default(), authority.get(at + 1..).unwrap_or_default()),
        None => (authority, "80"),
    };
    let good_port =
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    let good_host = super::pattern::HostPattern::new(host).is_ok_and(|host| !host.is_wildcard());
    // The path begins with a slash and the query with a question mark, which end the host; nothing else does.
    let ended = end.is_some() || matches!(next, None | Some(Part::Path | Part::Query));
    if good_port && good_host && ended { Ok(()) } else { Err(TargetError::Authority) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(target: &str, of: &str, path: &[u8], query: Option<&[u8]>) -> String {
        let of = PathPattern::parse(of).unwrap();
        Target::new(target).unwrap().expand(&of, &NormalPath::new(path).unwrap(), query)
    }

    #[test]
    fn variables_are_filled_in_and_encoded() {
        for (target, of, path, query, want) in [
            ("/new", "/old", &b"/old"[..], None, "/new"),
            ("/new/$rest$query", "/old/*", b"/old/a%20b/c", Some(&b"x=1"[..]), "/new/a%20b/c?x=1"),
            ("/new/$rest", "/old/*", b"/old", None, "/new/"),
            ("$path$query", "/**", b"/a/./b", Some(b"q"), "/a/b?q"),
            ("/$path", "/**", b"//evil.example/x", None, "/evil.example/x"),
            ("/$rest/evil.example", "/go/*", b"/go/", None, "/evil.example"),
            ("/$rest//x", "/go/*", b"/go", None, "/x"),
            ("/x$path", "/**", b"/a/", None, "/x/a/"),
            ("https://example.org$path$query", "/**", b"/a", Some(b"b"), "https://example.org/a?b"),
            ("https://example.org:8443/$rest", "/**", b"//evil", None, "https://example.org:8443/evil"),
            ("/f?x=1$query", "/**", b"/a", Some(b"y=2"), "/f?x=1&y=2"),
            ("/f?p=$rest", "/**", b"/a&b=c", None, "/f?p=a%26b%3Dc"),
            ("/$$1#top", "/**", b"/a", None, "/$1#top"),
            ("/%20", "/**", b"/a", None, "/%20"),
        ] {
            assert_eq!(to(target, of, path, query), want, "{target}");
        }
    }

    #[test]
    fn targets_that_could_lead_astray_are_refused() {
        use TargetError as E;
        for (text, error) in [
            ("", E::Form),
            ("new", E::Form),
            ("//host/x", E::Form),
            ("$rest", E::Form),
            ("$query", E::Form),
            ("ftp://a/", E::Form),
            ("javascript:alert(1)", E::Form),
            ("https:$path", E::Form),
            ("https://", E::Authority),
            ("https://$path", E::Authority),
            ("https://example.org$rest", E::Authority),
            ("https://user@example.org/", E::Authority),
            ("https://*.example.org/", E::Authority),
            ("https://example.org:0/", E::Authority),
            ("https://example.org:port/", E::Authority),
            ("https://example.org:$path", E::Authority),
            ("/\\host", E::Byte('\\')),
            ("/a b", E::Byte(' ')),
            ("/a\r\nSet-Cookie: x", E::Byte('\r')),
            ("/ä", E::Byte('ä')),
            ("/%zz", E::Escape),
            ("/%4", E::Escape),
            ("/$host", E::Variable("host".into())),
            ("/$", E::Variable(String::new())),
            ("/#$path", E::Fragment),
        ] {
            assert_eq!(Target::new(text), Err(error), "{text}");
        }
        for text in ["https://a/", "/a?b", "/a$query", "/a#b", "/$path$query"] {
            assert_eq!(Target::local(text), Err(TargetError::NotLocal), "{text}");
        }
        assert!(Target::local("/a/$rest").is_ok() && Target::local("$path").is_ok());
    }

    proptest! {
        #[test]
        fn any_target_text_is_safe_or_refused(
            text in "(/|https://a|http://b.c/)?[/a$.:@?#%]{0,4}(\\$path|\\$rest|\\$query)?[/a.]{0,3}(\\$path|\\$rest|\\$query)?",
            tail in proptest::collection::vec(any::<u8>(), 0..30), query in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let raw = [b"/", &tail[..]].concat();
            if let (Ok(target), Ok(path)) = (Target::new(&text), NormalPath::new(&raw)) {
                super::super::checks::location_is_safe(&text, &target.expand(&PathPattern::any(), &path, Some(&query)));
            }
        }
    }
}
