//! From a request path to a name beneath the root: pure, one decoding, no file system.
//!
//! Owns the rules of what may be asked for. Never touches the disk, never decodes UTF-8 (names are bytes, so an
//! overlong `.` or `/` is an ordinary byte string) and never decodes twice. Called by [`Files`](super::Files).
//!
//! The rules, in the order in which they are judged:
//!
//! | in the path | answer |
//! |---|---|
//! | no leading `/`, a bare `#` or `?`, a bad escape, NUL, a control byte (bare or encoded) | 400 |
//! | `%2f`, `\` (bare or `%5c`) | 404: no name holds a slash, and some clients take `\` for one |
//! | `.` and `..`, encoded or not | resolved lexically after decoding (RFC 3986 5.2.4); above the root: 400 |
//! | `//` | collapsed, like nginx and Apache do |
//! | after that, a segment that begins with `.` | 404, except `.well-known` as the first segment |

use std::ffi::{CStr, CString};

/// Why a request path names nothing beneath any root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// The path is malformed, or climbs above the root: 400.
    BadRequest,
    /// The path is well formed, but no file is ever served under it: 404.
    NotFound,
}

/// A normalised name beneath the root: segments joined by one `/`, none of them empty, `.` or `..`, without a
/// leading or trailing slash and without NUL. Empty means the root itself. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RelPath(CString);

impl RelPath {
    /// The name's bytes, without the terminating NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name as the kernel takes it: `.` for the root itself.
    pub fn as_c_str(&self) -> &CStr {
        if self.0.is_empty() { c"." } else { &self.0 }
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this; `None` for the root, which has none.
    pub fn parent(&self) -> Option<RelPath> {
        if self.is_root() {
            return None;
        }
        let name = self.as_bytes();
        let end = name.iter().rposition(|&b| b == b'/').unwrap_or(0);
        CString::new(name.get(..end)?).ok().map(RelPath)
    }

    /// The name of `file` in this directory; `None` unless `file` is one ordinary segment (not empty, `.` or
    /// `..`, no slash, no NUL). A leading dot is allowed: the operator names index files, not the peer.
    pub fn join(&self, file: &[u8]) -> Option<RelPath> {
        if matches!(file, b"" | b"." | b"..") || file.contains(&b'/') {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.as_bytes().len() + 1 + file.len() + 1);
        bytes.extend_from_slice(self.as_bytes());
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(file);
        CString::new(bytes).ok().map(RelPath)
    }
}

/// A request path after decoding and normalising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name beneath the root.
    pub rel: RelPath,
    /// Whether the path asks for a directory: it ended in `/`, or in a `.` or `..` segment.
    pub dir: bool,
}

/// Resolves `target`, the path of a request target as it came in (everything before `?`).
///
/// # Errors
/// [`PathError`], by the table at the head of this module.
pub fn resolve(target: &[u8]) -> Result<Resolved, PathError> {
    let rest = target.strip_prefix(b"/").ok_or(PathError::BadRequest)?;
    let mut out = Vec::with_capacity(rest.len() + 1);
    let mut dir = true;
    for segment in rest.split(|&b| b == b'/') {
        let parent = out.len();
        if parent != 0 {
            out.push(b'/');
        }
        let start = out.len();
        decode(segment, &mut out)?;
        match out.get(start..).unwrap_or_default() {
            b"" | b"." => {
                out.truncate(parent);
                dir = true;
            }
            b".." => {
                out.truncate(parent);
                if out.is_empty() {
                    return Err(PathError::BadRequest);
                }
                let up = out.iter().rposition(|&b| b == b'/').unwrap_or(0);
                out.truncate(up);
                dir = true;
            }
            _ => dir = false,
        }
    }
    if is_hidden(&out) {
        return Err(PathError::NotFound);
    }
    let rel = CString::new(out).map_err(|_| PathError::BadRequest)?;
    Ok(Resolved { rel: RelPath(rel), dir })
}

/// Appends one segment to `out`, its escapes decoded once.
fn decode(segment: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let mut bytes = segment.iter().copied();
    while let Some(byte) = bytes.next() {
        let (value, escaped) = match byte {
            b'%' => (escape(bytes.next(), bytes.next())?, true),
            plain => (plain, false),
        };
        match value {
            0..=0x1f | 0x7f => return Err(PathError::BadRequest),
            b'#' | b'?' if !escaped => return Err(PathError::BadRequest),
            b'/' | b'\\' => return Err(PathError::NotFound),
            _ => out.push(value),
        }
    }
    Ok(())
}

fn escape(high: Option<u8>, low: Option<u8>) -> Result<u8, PathError> {
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
    let value = digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low);
    value.and_then(|value| u8::try_from(value).ok()).ok_or(PathError::BadRequest)
}

/// Whether a segment of the normalised path begins with a dot, `.well-known` in the first place excepted
/// (RFC 8615).
fn is_hidden(path: &[u8]) -> bool {
    let dotted =
        |(at, segment): (usize, &[u8])| segment.first() == Some(&b'.') && (at, segment) != WELL_KNOWN;
    path.split(|&b| b == b'/').enumerate().any(dotted)
}

const WELL_KNOWN: (usize, &[u8]) = (0, b".well-known");

#[cfg(test)]
mod tests {
    use super::super::checks;
    use super::*;
    use proptest::prelude::*;

    fn rel(target: &[u8]) -> Result<(Vec<u8>, bool), PathError> {
        resolve(target).map(|r| (r.rel.as_bytes().to_vec(), r.dir))
    }

    #[test]
    fn ordinary_paths_keep_their_names() {
        let table: &[(&[u8], &[u8], bool)] = &[
            (b"/", b"", true),
            (b"/a", b"a", false),
            (b"/a/", b"a", true),
            (b"/a/b.txt", b"a/b.txt", false),
            (b"/with%20space", b"with space", false),
            (b"/raw space", b"raw space", false),
            (b"/100%25", b"100%", false),
            (b"/%2525", b"%25", false),
            (b"/%23%3F", b"#?", false),
            (b"/%C3%A4", b"\xc3\xa4", false),
            (b"/\xc3\xa4", b"\xc3\xa4", false),
            (b"/%ff", b"\xff", false),
            (b"/a%3bb;c=d", b"a;b;c=d", false),
            (b"/a..b/c..", b"a..b/c..", false),
            (b"/.well-known/acme-challenge/x", b".well-known/acme-challenge/x", false),
            (b"/.well-known", b".well-known", false),
            (b"/%2ewell-known/x", b".well-known/x", false),
        ];
        for (target, want, dir) in table {
            assert_eq!(rel(target), Ok((want.to_vec(), *dir)), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn dot_segments_and_double_slashes_are_normalised_after_decoding() {
        let table: &[(&[u8], &[u8], bool)] = &[
            (b"/a/./b", b"a/b", false),
            (b"/a/%2e/b", b"a/b", false),
            (b"/a/../b", b"b", false),
            (b"/a/%2e%2E/b", b"b", false),
            (b"/a/.%2e/b", b"b", false),
            (b"/a/b/..", b"a", true),
            (b"/a/b/.", b"a/b", true),
            (b"/a/..", b"", true),
            (b"/.", b"", true),
            (b"//a", b"a", false),
            (b"///", b"", true),
            (b"/a//b///", b"a/b", true),
            (b"//host/..", b"", true),
            (b"/.git/../x", b"x", false),
        ];
        for (target, want, dir) in table {
            assert_eq!(rel(target), Ok((want.to_vec(), *dir)), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn malformed_and_climbing_paths_are_bad_requests() {
        let table: &[&[u8]] = &[
            b"",
            b"*",
            b"a",
            b"http://x/",
            b"/..",
            b"/../etc",
            b"/a/../../b",
            b"/%2e%2e/x",
            b"/.%2e/",
            b"//../x",
            b"/a%00",
            b"/%00",
            b"/a\0b",
            b"/%",
            b"/%4",
            b"/%zz",
            b"/%4/",
            b"/%+1",
            b"/a%0d%0ab",
            b"/a\rb",
            b"/%7f",
            b"/a#b",
            b"/a?b",
            b"/%1f",
        ];
        for target in table {
            assert_eq!(rel(target), Err(PathError::BadRequest), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn slashes_in_names_backslashes_and_dot_names_are_not_found() {
        let table: &[&[u8]] = &[
            b"/a%2fb",
            b"/..%2f..%2fetc",
            b"/%2F",
            b"/a\\b",
            b"/..\\..\\x",
            b"/a%5Cb",
            b"/.git/config",
            b"/a/.env",
            b"/%2egit",
            b"/...",
            b"/.well-known/.hidden",
            b"/.well-known/../.git",
            b"/a/.well-known/x",
            b"/.well-knownx",
            b"/.htaccess/",
        ];
        for target in table {
            assert_eq!(rel(target), Err(PathError::NotFound), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn overlong_encodings_stay_bytes() {
        assert_eq!(rel(b"/%c0%ae%c0%ae/x"), Ok((b"\xc0\xae\xc0\xae/x".to_vec(), false)));
        assert_eq!(rel(b"/a%c0%afb"), Ok((b"a\xc0\xafb".to_vec(), false)));
        assert_eq!(rel(b"/%252e%252e/x"), Ok((b"%2e%2e/x".to_vec(), false)));
    }

    #[test]
    fn join_takes_one_ordinary_segment_only() {
        let root = resolve(b"/").unwrap().rel;
        assert_eq!(root.as_c_str(), c".");
        assert_eq!(root.join(b"index.html").unwrap().as_bytes(), b"index.html");
        assert_eq!(resolve(b"/a/").unwrap().rel.join(b"i").unwrap().as_bytes(), b"a/i");
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
            assert_eq!(root.join(bad), None);
        }
    }

    proptest! {
        #[test]
        fn a_resolved_path_never_leaves_the_root(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            checks::target_to_path(&[b"/", &tail[..]].concat());
        }

        #[test]
        fn nor_does_one_built_from_hostile_pieces(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "/", "..", ".", "%2e", "%2E%2e", "%2f", "\\", "%5c", "%00", "%", "a", ".a", "%c0%ae", ".well-known", "%25",
        ]), 0..16)) {
            checks::target_to_path(format!("/{}", pieces.concat()).as_bytes());
        }
    }
}
