//! The body of a 206 with several parts, `multipart/byteranges` (RFC 9110 14.6): what stands around the bytes. Pure.
//!
//! Owns the boundary, the heads of parts, and the sum of all lengths. Never reads a byte of the parts, and never
//! decides which they are: that is [`range`](super::range)'s.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// What a multipart answer consists of, in order: for each part its head and its bytes, then the end.
///
/// # Examples
///
/// ```
/// use tidemill::service::files::Multipart;
///
/// let multipart = Multipart::new(&[7000..9000, 0..2], 10_000, "text/plain", "\"v7\"").unwrap();
/// let (head, bytes) = &multipart.parts()[0];
/// assert!(head.ends_with("Content-Type: text/plain\r\nContent-Range: bytes 7000-8999/10000\r\n\r\n"));
/// assert_eq!(*bytes, 7000..9000);
/// assert!(multipart.content_type().starts_with("multipart/byteranges; boundary="));
/// let heads: usize = multipart.parts().iter().map(|(head, _)| head.len()).sum();
/// assert_eq!(multipart.content_length(), (heads + 2002 + multipart.end().len()) as u64);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    boundary: String,
    parts: Vec<(String, Range<u64>)>,
    end: String,
    content_length: u64,
}

impl Multipart {
    /// The answer for `parts` of a representation of `total` bytes, with its Content-Type and its entity tag.
    ///
    /// `None` when that would not be shorter than the whole, which is then the better answer: so no choice of ranges
    /// makes an answer longer than the file. `None` as well for parts that are empty or beyond `total`.
    pub fn new(parts: &[Range<u64>], total: u64, content_type: &str, etag: &str) -> Option<Self> {
        let boundary = boundary(parts, total, content_type, etag);
        let mut rendered = Vec::with_capacity(parts.len());
        let mut content_length = 0_u64;
        let mut before = "";
        for part in parts {
            let last = part.end.checked_sub(1).filter(|&last| part.start <= last && last < total)?;
            let head = format!(
                "{before}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {}-{last}/{total}\r\n\r\n",
                part.start
            );
            let bytes = part.end - part.start;
            content_length = content_length.checked_add(head.len() as u64)?.checked_add(bytes)?;
            rendered.push((head, part.clone()));
            before = "\r\n";
        }
        let end = format!("\r\n--{boundary}--\r\n");
        content_length = content_length.checked_add(end.len() as u64).filter(|&len| len < total)?;
        Some(Self { boundary, parts: rendered, end, content_length })
    }

    /// The answer's Content-Type, which names the boundary.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The answer's Content-Length: all heads, all parts, the end.
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// The parts in order: what goes before the bytes of each, and which bytes these are.
    pub fn parts(&self) -> &[(String, Range<u64>)] {
        &self.parts
    }

    /// What goes behind the last part.
    pub fn end(&self) -> &str {
        &self.end
    }

    /// The whole body, of a representation that is in memory; `None` if it has other bytes than `total`.
    pub fn body(&self, whole: &[u8]) -> Option<Vec<u8>> {
        let mut body = Vec::with_capacity(usize::try_from(self.content_length).ok()?);
        for (head, part) in &self.parts {
            let at = |at: u64| usize::try_from(at).ok();
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(whole.get(at(part.start)?..at(part.end)?)?);
        }
        body.extend_from_slice(self.end.as_bytes());
        Some(body)
    }
}

/// A line of 128 bits that no part holds by accident, because they come from the very state that is sent: the tag
/// contains when the file was last changed, to the nanosecond, which nobody can write into a file beforehand. The
/// same request for the same state gets the same bytes.
fn boundary(parts: &[Range<u64>], total: u64, content_type: &str, etag: &str) -> String {
    let half = |which: u8| {
        let mut hasher = DefaultHasher::new();
        (which, parts, total, content_type, etag).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"17a-2710-1\"";

    fn two() -> Multipart {
        Multipart::new(&[9_000..10_000, 0..2], 10_000, "text/plain", TAG).unwrap()
    }

    #[test]
    fn the_body_is_as_the_rfc_shows_it() {
        let whole: Vec<u8> = (0..10_000_u32).map(|at| b'a' + (at % 26) as u8).collect();
        let (multipart, b) = (two(), two().boundary);
        assert_eq!((b.len(), multipart.content_type()), (32, format!("multipart/byteranges; boundary={b}")));
        let body = String::from_utf8(multipart.body(&whole).unwrap()).unwrap();
        let tail = std::str::from_utf8(&whole[9_000..]).unwrap();
        let want = format!(
            "--{b}\r\nContent-Type: text/plain\r\nContent-Range: bytes 9000-9999/10000\r\n\r\n{tail}\r\n\
             --{b}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10000\r\n\r\nab\r\n--{b}--\r\n"
        );
        assert_eq!(body, want);
        assert_eq!(multipart.content_length(), body.len() as u64);
        assert_eq!(multipart.body(&whole[..9_999]), None);
    }

    #[test]
    fn the_boundary_differs_with_all_that_is_sent() {
        let make = |parts: &[Range<u64>], total, kind, tag| {
            Multipart::new(parts, total, kind, tag).unwrap().boundary
        };
        let ours = two().boundary;
        assert_eq!(ours, two().boundary);
        assert_ne!(ours, make(&[9_000..10_000, 0..3], 10_000, "text/plain", TAG));
        assert_ne!(ours, make(&[0..2, 9_000..10_000], 10_000, "text/plain", TAG));
        assert_ne!(ours, make(&[9_000..10_000, 0..2], 10_001, "text/plain", TAG));
        assert_ne!(ours, make(&[9_000..10_000, 0..2], 10_000, "text/html", TAG));
        assert_ne!(ours, make(&[9_000..10_000, 0..2], 10_000, "text/plain", "\"17a-2710-2\""));
        assert_ne!(ours[..16], ours[16..]);
    }

    #[test]
    fn an_answer_as_long_as_the_whole_is_none() {
        let len = two().content_length();
        let at = |gap: u64| Multipart::new(&[1..501, 501 + gap..502 + gap], 502 + gap, "text/plain", TAG);
        // The heads cost what a gap must save; the digits of the numbers are the same for all these sizes.
        let cost = at(400).unwrap().content_length() - 501;
        assert!(at(cost).is_some_and(|m| m.content_length() == 501 + cost));
        assert!(at(cost - 1).is_none());
        assert!(len < 10_000);
    }

    #[test]
    fn parts_that_cannot_be_are_refused() {
        for part in [3..3, Range { start: 5, end: 4 }, 0..0, 9_999..10_001, u64::MAX - 1..u64::MAX] {
            assert_eq!(Multipart::new(&[0..1, part], 10_000, "text/plain", TAG), None);
        }
        assert_eq!(Multipart::new(&[0..u64::MAX - 1, 0..u64::MAX - 1], u64::MAX, "text/plain", TAG), None);
        let huge = Multipart::new(&[0..1, u64::MAX - 1..u64::MAX], u64::MAX, "text/plain", TAG).unwrap();
        assert!(
            huge.parts()[1]
                .0
                .contains("bytes 18446744073709551614-18446744073709551614/18446744073709551615")
        );
        assert_eq!(huge.body(b"short"), None);
    }
}
