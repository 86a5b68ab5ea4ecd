//! What a request path may hold before it is matched, and how its segments are decoded. Pure; paths are bytes.
//!
//! | in the path | answer |
//! |---|---|
//! | a bad escape, an encoded control byte (NUL among them), a segment that is `.` or `..`, encoded or not | 400 |
//! | `%2f`, unless encoded slashes are wanted | 404: a parameter that is used as a name must not climb |
//! | `//` | an empty segment, which no parameter matches: nothing is collapsed |
//! | a trailing `/` | an empty last segment: `/a` and `/a/` are two paths |
//!
//! The path is cut at its slashes first and each segment is decoded after that, once.

use std::borrow::Cow;

use memchr::{memchr, memmem};
use percent_encoding::percent_decode;

/// Judges a path by the table at the head of this file: the status to refuse it with.
pub(super) fn judge(path: &[u8], encoded_slashes: bool) -> Result<(), u16> {
    // Most paths hold neither, which is found out without cutting them.
    if memchr(b'%', path).is_none() && memmem::find(path, b"/.").is_none() {
        return Ok(());
    }
    let mut found = Ok(());
    for segment in path.split(|&b| b == b'/') {
        let mut bytes = segment.iter();
        let mut decoded = 0usize;
        let mut dots = 0usize;
        while let Some(&byte) = bytes.next() {
            let value = match byte {
                b'%' => {
                    let value = escape(bytes.next(), bytes.next()).ok_or(400u16)?;
                    if value == b'/' && !encoded_slashes {
                        found = Err(404);
                    }
                    value
                }
                plain => plain,
            };
            if value < 0x20 || value == 0x7f {
                return Err(400);
            }
            decoded += 1;
            dots += usize::from(value == b'.');
        }
        if dots == decoded && (1..=2).contains(&dots) {
            return Err(400);
        }
    }
    found
}

fn escape(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// A segment, or a tail of several, with its escapes resolved.
pub(super) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(raw).into()
}

/// Whether a raw segment is `name` when it is decoded, and if not which way they are ordered.
pub(super) fn compare(name: &[u8], segment: &[u8]) -> std::cmp::Ordering {
    if memchr(b'%', segment).is_none() {
        return name.cmp(segment);
    }
    name.iter().copied().cmp(percent_decode(segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_be_taken_for_another_path_is_refused() {
        for bad in [
            "/.",
            "/..",
            "/a/../b",
            "/a/%2e",
            "/%2E%2e/b",
            "/a/.%2e",
            "/%",
            "/%4",
            "/%zz",
            "/%00",
            "/a%0db",
            "/%7f",
        ] {
            assert_eq!(judge(bad.as_bytes(), false), Err(400), "{bad}");
            assert_eq!(judge(bad.as_bytes(), true), Err(400), "{bad}");
        }
        for slash in ["/a%2fb", "/%2F", "/..%2f..%2fetc"] {
            assert_eq!(judge(slash.as_bytes(), false), Err(404), "{slash}");
            assert_eq!(judge(slash.as_bytes(), true), Ok(()), "{slash}");
        }
        for good in [
            "/",
            "/a",
            "/a//b/",
            "/.well-known/x",
            "/...",
            "/a.b",
            "/%C3%A4",
            "/%25",
            "/a%20b",
            "/%ff",
            "/%2e%2e%2e",
        ] {
            assert_eq!(judge(good.as_bytes(), false), Ok(()), "{good}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_decodes_to_segments_that_climb_nowhere(pieces in proptest::collection::vec(
            proptest::sample::select(vec!["/", ".", "%2e", "%2F", "%", "%00", "a", "%41", "%c3", "%a4", "%0a"]), 0..12)) {
            let path = format!("/{}", pieces.concat());
            let naive = || {
                let mut slash = false;
                for segment in path.split('/') {
                    let mut at = 0;
                    let raw = segment.as_bytes();
                    while at < raw.len() {
                        if raw[at] == b'%' {
                            let digits = segment.get(at + 1..at + 3).ok_or(400u16)?;
                            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                                return Err(400);
                            }
                            at += 2;
                        }
                        at += 1;
                    }
                    let text = decode(raw);
                    if matches!(&*text, b"." | b"..") || text.iter().any(|b| *b < 0x20 || *b == 0x7f) {
                        return Err(400);
                    }
                    slash |= text.contains(&b'/');
                }
                if slash { Err(404) } else { Ok(()) }
            };
            prop_assert_eq!(judge(path.as_bytes(), false), naive());
        }
    }
}
