//! What a route is chosen by: hosts and paths, as patterns that are checked when they are configured.
//!
//! Owns the rules of comparing. Paths are compared decoded and normalised, as the file service will open them, so that
//! no spelling of a name (`//a`, `/%61`, `/x/../a`) slips past a rule. Never answers anything.

use std::fmt;

use crate::service::files::path::{PathError, normalise};
use crate::service::files::{Glob, GlobError};

/// Why a pattern of a host or a path is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not begin with `/`.
    Relative,
    /// It holds what no normalised path holds: `//`, `.` or `..` segments, a `\` or a control character.
    NotNormal,
    /// It is no glob.
    Glob(GlobError),
    /// It is no host name or address: letters, digits, `-`, `_` and dots, `[…]` for IPv6, with one `*.` before it if at all.
    Host,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative => f.write_str("a path begins with '/'"),
            Self::NotNormal => f.write_str(
                "no path is compared with '//', '.' or '..', a backslash or a control character in it",
            ),
            Self::Glob(e) => write!(f, "it is no pattern: {e}"),
            Self::Host => {
                f.write_str("write a host such as example.org, *.example.org or [::1], without a port")
            }
        }
    }
}

impl std::error::Error for PatternError {}

/// A request path as rules see it: decoded once, dot segments resolved, double slashes collapsed, and with a slash at
/// the end if it asks for a directory. Not UTF-8 necessarily.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NormalPath(Vec<u8>);

impl NormalPath {
    /// Normalises `raw`, a path as it came in, without its query.
    ///
    /// # Errors
    /// As the file service: 400 for what is malformed, 404 for what names no file.
    pub(super) fn new(raw: &[u8]) -> Result<Self, PathError> {
        let (name, dir) = normalise(raw)?;
        let mut path = Vec::with_capacity(name.len() + 2);
        path.push(b'/');
        path.extend_from_slice(&name);
        if dir && !name.is_empty() {
            path.push(b'/');
        }
        Ok(Self(path))
    }

    /// Begins with `/`.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it asks for a directory.
    pub(super) fn is_dir(&self) -> bool {
        self.0.ends_with(b"/")
    }

    /// The last segment, empty for a directory.
    pub(super) fn last(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }
}

/// Which paths a rule is for.
///
/// ```
/// use tidemill::service::site::PathPattern;
///
/// let api = PathPattern::prefix("/api").unwrap();
/// assert!(api.matches(b"/api") && api.matches(b"/api/users") && !api.matches(b"/apis"));
/// let exact = PathPattern::parse("/old").unwrap();
/// assert!(exact.matches(b"/old") && !exact.matches(b"/old/x"));
/// let below = PathPattern::parse("/old/*").unwrap();
/// assert!(below.matches(b"/old/x/y"));
/// let glob = PathPattern::parse("/img/*.png").unwrap();
/// assert!(glob.matches(b"/img/a.png"));
/// ```
#[derive(Debug, Clone)]
pub struct PathPattern(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Any,
    /// Without a slash at the end; of the root it is empty.
    Prefix(Vec<u8>),
    /// Without a slash at the end, as above.
    Exact(Vec<u8>),
    /// And how many bytes come before its first wildcard segment, and a path that matches.
    Glob(Glob, usize, Option<Vec<u8>>),
}

impl PathPattern {
    /// Every path.
    pub const fn any() -> Self {
        Self(Kind::Any)
    }

    /// `path` and everything beneath it, whole segments only.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn prefix(path: &str) -> Result<Self, PatternError> {
        let path = plain(path)?;
        Ok(Self(if path.is_empty() { Kind::Any } else { Kind::Prefix(path) }))
    }

    /// `path` alone, with and without a slash at its end.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn exact(path: &str) -> Result<Self, PatternError> {
        Ok(Self(Kind::Exact(plain(path)?)))
    }

    /// The paths that match a [`Glob`], which begins with `/`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn glob(glob: &str) -> Result<Self, PatternError> {
        if !glob.starts_with('/') {
            return Err(PatternError::Relative);
        }
        let compiled = Glob::new(glob).map_err(PatternError::Glob)?;
        let special = glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
        let before = glob.get(..special).and_then(|text| text.rfind('/'));
        // Each wildcard as a plain text that it may stand for.
        let sample = glob.replace("**", "x").replace(['*', '?'], "x");
        let sample = compiled.matches(sample.trim_start_matches('/').as_bytes()).then(|| sample.into_bytes());
        Ok(Self(Kind::Glob(compiled, before.map_or(0, |slash| slash + 1), sample)))
    }

    /// As people write it: a path with none of `*?[{\` is meant exactly, one that ends in `/*` or `/**` and has no other
    /// wildcard means everything beneath, and any other is a glob.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let special = |text: &str| text.contains(['*', '?', '[', '{', '\\']);
        if !special(text) {
            return Self::exact(text);
        }
        let beneath = text.strip_suffix("/**").or_else(|| text.strip_suffix("/*"));
        match beneath.filter(|path| !special(path)) {
            Some("") => Ok(Self::any()),
            Some(path) => Self::prefix(path),
            None => Self::glob(text),
        }
    }

    /// Whether `path` is meant: decoded and normalised, beginning with `/`.
    pub fn matches(&self, path: &[u8]) -> bool {
        let bare = path.strip_suffix(b"/").unwrap_or(path);
        match &self.0 {
            Kind::Any => true,
            Kind::Prefix(prefix) => {
                path.strip_prefix(&prefix[..]).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            }
            Kind::Exact(exact) => bare == exact,
            Kind::Glob(glob, ..) => glob.matches(path.strip_prefix(b"/").unwrap_or(path)),
        }
    }

    /// What of a matching `path` lies behind the captured prefix, without a slash before it: behind the prefix itself,
    /// or behind the last `/` before a glob's first wildcard. Nothing for an exact path.
    pub(super) fn rest<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let at = match &self.0 {
            Kind::Any => 1,
            Kind::Prefix(prefix) => prefix.len() + 1,
            Kind::Exact(_) => path.len(),
            Kind::Glob(_, at, _) => *at,
        };
        let rest = path.get(at..).unwrap_or_default();
        rest.strip_prefix(b"/").unwrap_or(rest)
    }

    /// How many bytes of a matching path are its captured prefix, without a slash at its end; `None` for a glob.
    pub(super) fn prefix_len(&self) -> Option<usize> {
        match &self.0 {
            Kind::Any => Some(0),
            Kind::Prefix(prefix) => Some(prefix.len()),
            Kind::Exact(_) | Kind::Glob(..) => None,
        }
    }

    /// A path that matches, to follow where redirects lead when they are configured; `None` for a glob with wildcards.
    pub(super) fn sample(&self) -> Option<Vec<u8>> {
        match &self.0 {
            Kind::Any => Some(b"/".to_vec()),
            Kind::Prefix(path) | Kind::Exact(path) if path.is_empty() => Some(b"/".to_vec()),
            Kind::Prefix(path) | Kind::Exact(path) => Some(path.clone()),
            Kind::Glob(_, _, sample) => sample.clone(),
        }
    }
}

/// A path without wildcards, checked and without a slash at its end.
fn plain(path: &str) -> Result<Vec<u8>, PatternError> {
    let rest = path.strip_prefix('/').ok_or(PatternError::Relative)?;
    let rest = rest.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(rest);
    let bad = |segment: &str| {
        matches!(segment, "" | "." | "..") || segment.contains(|c: char| c.is_control() || c == '\\')
    };
    if !rest.is_empty() && rest.split('/').any(bad) {
        return Err(PatternError::NotNormal);
    }
    Ok(if rest.is_empty() { Vec::new() } else { format!("/{rest}").into_bytes() })
}

/// Which hosts a rule is for. Ports are not compared, nor is case, nor a dot at the end.
///
/// ```
/// use tidemill::service::site::HostPattern;
///
/// let below = HostPattern::new("*.example.org").unwrap();
/// assert!(below.matches(b"www.example.org") && below.matches(b"a.b.Example.ORG.:8080"));
/// assert!(!below.matches(b"example.org"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case, without port and dot at the end; begins with a dot when it stands for names beneath.
    name: Vec<u8>,
}

impl HostPattern {
    /// `example.org`, `*.example.org` (one or more labels before it), `192.0.2.1`, or `[2001:db8::1]`.
    ///
    /// # Errors
    /// [`PatternError::Host`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let (beneath, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let v6: std::net::Ipv6Addr = address.parse().map_err(|_| PatternError::Host)?;
            let name = format!("[{v6}]").into_bytes();
            return if beneath { Err(PatternError::Host) } else { Ok(Self { name }) };
        }
        let label = |label: &str| {
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            !label.is_empty() && label.len() <= 63 && label.bytes().all(good)
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(PatternError::Host);
        }
        Ok(Self { name: if beneath { format!(".{name}") } else { name }.into_bytes() })
    }

    /// Whether `authority` (a host with or without a port) is meant.
    pub fn matches(&self, authority: &[u8]) -> bool {
        let host = host_of(authority);
        if self.name.first() == Some(&b'.') {
            let split = host.len().checked_sub(self.name.len()).filter(|at| *at > 0);
            return split
                .and_then(|at| host.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(&self.name));
        }
        if host.first() == Some(&b'[') {
            return canonical_v6(host).is_some_and(|host| host.as_bytes() == self.name);
        }
        host.eq_ignore_ascii_case(&self.name)
    }

    /// Whether it stands for names beneath.
    pub fn is_wildcard(&self) -> bool {
        self.name.first() == Some(&b'.')
    }

    /// A host that matches.
    pub(super) fn sample(&self) -> Vec<u8> {
        if self.is_wildcard() { [b"x", &self.name[..]].concat() } else { self.name.clone() }
    }
}

/// The host of a valid authority, without port and dot at the end.
fn host_of(authority: &[u8]) -> &[u8] {
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|&b| b == b']').map_or(authority.len(), |at| at + 1),
        _ => authority.iter().position(|&b| b == b':').unwrap_or(authority.len()),
    };
    let host = authority.get(..end).unwrap_or_default();
    host.strip_suffix(b".").unwrap_or(host)
}

fn canonical_v6(host: &[u8]) -> Option<String> {
    let inside = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let address: std::net::Ipv6Addr = std::str::from_utf8(inside).ok()?.parse().ok()?;
    Some(format!("[{address}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prefixes_end_at_segments() {
        let api = PathPattern::prefix("/api/").unwrap();
        for (path, yes) in [
            ("/api", true),
            ("/api/", true),
            ("/api/x", true),
            ("/apis", false),
            ("/", false),
            ("/x/api", false),
        ] {
            assert_eq!(api.matches(path.as_bytes()), yes, "{path}");
        }
        assert_eq!(api.rest(b"/api/x/y"), b"x/y");
        assert_eq!((api.rest(b"/api"), api.rest(b"/api/")), (&b""[..], &b""[..]));
        assert!(PathPattern::prefix("/").unwrap().matches(b"/any/thing"));
        assert_eq!(PathPattern::any().rest(b"/a/b"), b"a/b");
    }

    #[test]
    fn the_rest_of_a_glob_is_what_lies_behind_its_plain_directory() {
        let glob = PathPattern::glob("/img/**/*.png").unwrap();
        assert_eq!(glob.rest(b"/img/a/b.png"), b"a/b.png");
        assert_eq!(PathPattern::glob("/a*").unwrap().rest(b"/ab"), b"ab");
        assert_eq!(PathPattern::glob("/**/x").unwrap().rest(b"/a/x"), b"a/x");
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for bad in ["", "a", "//", "/a//b", "/./a", "/a/..", "/a\\b", "/a\nb"] {
            assert!(PathPattern::prefix(bad).is_err() && PathPattern::exact(bad).is_err(), "{bad}");
        }
        assert!(matches!(PathPattern::parse("/[a"), Err(PatternError::Glob(_))));
        assert!(matches!(PathPattern::parse("*.js"), Err(PatternError::Relative)));
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_last_dot() {
        let plain = HostPattern::new("Example.org").unwrap();
        for host in ["example.org", "EXAMPLE.ORG:80", "example.org.", "example.org.:80", "example.org:"] {
            assert!(plain.matches(host.as_bytes()), "{host}");
        }
        for host in ["", "xexample.org", "www.example.org", "example.org.x", "example.or", "[::1]"] {
            assert!(!plain.matches(host.as_bytes()), "{host}");
        }
        let below = HostPattern::new("*.example.org").unwrap();
        assert!(!below.matches(b".example.org") && !below.matches(b"xexample.org"));
        let v6 = HostPattern::new("[2001:DB8:0::1]").unwrap();
        assert!(v6.matches(b"[2001:db8::1]:80") && !v6.matches(b"[::1]"));
        for bad in ["", "*", "*.", "a..b", "a b", "a:80", "a/b", "[::1", "[x]", "*.[::1]", "a.*.b", "ä.de"] {
            assert!(HostPattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_sample_matches_its_pattern() {
        for text in ["/", "/a", "/a/*", "/**", "/a/*.js", "/a/**/b?"] {
            let pattern = PathPattern::parse(text).unwrap();
            assert!(pattern.matches(&pattern.sample().unwrap()), "{text}");
        }
        for text in ["a", "*.a.b", "[::1]"] {
            let pattern = HostPattern::new(text).unwrap();
            assert!(pattern.matches(&pattern.sample()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_matches_as_a_list_of_segments_does(prefix in "(/[ab]{1,2}){0,3}", path in "(/[ab]{1,2}){0,4}/?") {
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let given = if prefix.is_empty() { "/" } else { &prefix };
            let of = |text: &str| text.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            let (want, have) = (of(&prefix), of(&path));
            let pattern = PathPattern::prefix(given).unwrap();
            prop_assert_eq!(pattern.matches(path.as_bytes()), have.starts_with(&want));
            if have.starts_with(&want) {
                let rest = String::from_utf8(pattern.rest(path.as_bytes()).to_vec()).unwrap();
                prop_assert_eq!(of(&rest), have[want.len()..].to_vec());
            }
        }

        #[test]
        fn what_the_file_service_resolves_is_normal(tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let raw = [b"/", &tail[..]].concat();
            if let Ok(resolved) = crate::service::files::path::resolve(&raw) {
                let normal = NormalPath::new(&raw).unwrap();
                prop_assert_eq!(normal.as_bytes().trim_ascii_start(), normal.as_bytes());
                prop_assert_eq!(normal.is_dir(), resolved.dir);
                let name = normal.as_bytes().strip_prefix(b"/").unwrap();
                prop_assert_eq!(name.strip_suffix(b"/").unwrap_or(name), resolved.rel.as_bytes());
            }
        }
    }
}
