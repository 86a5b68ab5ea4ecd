//! The judge of head lines: finds the fault of a bad head, and watches a head that arrives in pieces.
//!
//! It goes line by line and says the same for every way of cutting the bytes, because each verdict depends only
//! on a prefix of the stream: the opening bytes at once, a limit when it is passed, a line when its LF is there,
//! and the first of these in stream order wins. `head::strict` is the fast road; this one is taken only when that
//! one did not accept, so it is simple rather than fast. It never looks at what fields mean.

use memchr::{memchr, memchr2};

use super::super::chars::{all_token, is_token, is_value};
use super::super::fault::{self, Fault};
use super::{Limits, Method, target};

/// How far a partial head has been judged; kept per connection between calls of [`super::parse`].
///
/// It is valid for the same head only: start with the default, and go back to it for the next head
/// (`parse` does so itself when it returns a complete one). A wrong one costs a wrong answer, never safety.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where the first line that has not been judged begins.
    line: u32,
    /// Bytes searched for a line end.
    seen: u32,
    /// Lines judged; the first is the request line.
    lines: u16,
}

impl Progress {
    /// Whether the request line is whole.
    pub(in crate::proto::http1) const fn has_line(self) -> bool {
        self.lines > 0
    }
}

/// Signature of the PROXY protocol version 2, as far as needed to tell it from two empty lines.
const PROXY_V2: &[u8] = b"\r\n\r\n\0";

/// Judges the lines that became complete. `Some(n)`: the head ends at `n` and its syntax is good; `None`: more bytes
/// are needed. `window` is cut at `head_bytes_max`.
pub(super) fn advance(
    window: &[u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Option<usize>, Fault> {
    if progress.lines == 0 {
        match opening(window)? {
            None => return unfinished(window, limits, progress),
            Some(start) => {
                progress.line = progress.line.max(start);
                progress.seen = progress.seen.max(start);
            }
        }
    }
    while let Some(found) = memchr(b'\n', window.get(progress.seen as usize..).unwrap_or(&[])) {
        let end = progress.seen as usize + found + 1;
        let line = window.get(progress.line as usize..end).unwrap_or(&[]);
        progress.line = end as u32;
        progress.seen = end as u32;
        if progress.lines == 0 {
            request_line(line, limits)?;
        } else if line == b"\r\n" {
            return Ok(Some(end));
        } else if progress.lines > limits.fields_max() {
            return Err(fault::TOO_MANY_FIELDS);
        } else {
            field_line(line)?;
        }
        progress.lines = progress.lines.saturating_add(1);
    }
    progress.seen = window.len() as u32;
    unfinished(window, limits, progress)
}

/// The limits that a head without its next line end has passed for certain.
fn unfinished(window: &[u8], limits: &Limits, progress: &Progress) -> Result<Option<usize>, Fault> {
    let full = window.len() >= limits.head_bytes_max as usize;
    if progress.lines > 0 {
        return if full { Err(fault::HEAD_TOO_LARGE) } else { Ok(None) };
    }
    let line = window.get(progress.line as usize..).unwrap_or(&[]);
    if full || target_over(line, limits) { Err(fault::URI_TOO_LONG) } else { Ok(None) }
}

/// Where the request line starts; `None` if it has no byte yet. Refuses at once what cannot be HTTP/1.
fn opening(window: &[u8]) -> Result<Option<u32>, Fault> {
    if window.starts_with(PROXY_V2) {
        return Err(fault::PROXY_LINE);
    }
    // Also the empty window, a lone CR, and one empty line (RFC 9112 section 2.2) with nothing behind it.
    if PROXY_V2.starts_with(window) {
        return Ok(None);
    }
    let (start, line) = match window {
        [b'\r', b'\n', line @ ..] => (2, line),
        line => (0, line),
    };
    match line {
        [0x16, ..] if start == 0 => Err(fault::TLS_ON_PLAIN),
        [first, ..] if !is_token(*first) => Err(fault::BAD_REQUEST_LINE),
        line if line.starts_with(b"PROXY ") => Err(fault::PROXY_LINE),
        line if line.starts_with(b"PRI * HTTP/2.") => Err(fault::H2_PREFACE),
        _ => Ok(Some(start)),
    }
}

/// Whether the target of `line`, which may be unfinished, is longer than the limit.
fn target_over(line: &[u8], limits: &Limits) -> bool {
    let max = limits.uri_bytes_max();
    let Some(space) = memchr2(b' ', b'\n', line) else { return false };
    let Some(rest) = line.get(space + 1..) else { return false };
    rest.get(..=max).is_some_and(|head| memchr2(b' ', b'\n', head).is_none())
}

/// `method SP request-target SP HTTP-version CRLF` (RFC 9112 section 3), in this order: length, syntax, version, form.
fn request_line(line: &[u8], limits: &Limits) -> Result<(), Fault> {
    if target_over(line, limits) {
        return Err(fault::URI_TOO_LONG);
    }
    let line = line.strip_suffix(b"\r\n").ok_or(fault::BAD_REQUEST_LINE)?;
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(uri), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(fault::BAD_REQUEST_LINE);
    };
    if !all_token(method) || uri.is_empty() || !uri.iter().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault::BAD_REQUEST_LINE);
    }
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => {}
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(fault::UNSUPPORTED_VERSION);
        }
        _ => return Err(fault::BAD_REQUEST_LINE),
    }
    let method = std::str::from_utf8(method).map_err(|_| fault::BAD_REQUEST_LINE)?;
    target::split(&Method::from_token(method), uri).map(|_| ()).ok_or(fault::BAD_REQUEST_LINE)
}

/// `field-name ":" OWS field-value OWS CRLF` (RFC 9112 section 5).
fn field_line(line: &[u8]) -> Result<(), Fault> {
    let line = line.strip_suffix(b"\r\n").ok_or(fault::BAD_FIELD)?;
    let colon = memchr(b':', line).ok_or(fault::BAD_FIELD)?;
    let (name, value) = line.split_at_checked(colon).ok_or(fault::BAD_FIELD)?;
    if all_token(name) && value.iter().all(|&byte| is_value(byte)) { Ok(()) } else { Err(fault::BAD_FIELD) }
}
