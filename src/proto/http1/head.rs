//! Request heads (RFC 9112 sections 2 to 6): bytes in, a borrowed [`Head`] or a [`Fault`] out.
//!
//! httparse tokenises; the strict rules on top are ours. A head is accepted in one pass and O(1) per field, by
//! `strict`; everything that is not accepted there is judged line by line in `lines`, which also watches heads
//! that arrive in pieces. It never reads a body, never allocates and never answers.
//!
//! **The same result for every cut.** However the bytes arrive, the fault and its status are the same: the first
//! fault in stream order wins, where the opening bytes, a passed limit and a finished line each count at their own
//! position, and what the fields mean together is judged last, at the blank line (framing, Host, Expect).

mod facts;
mod host;
mod lines;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::mem::MaybeUninit;

pub use lines::Progress;

use super::fault::{self, Fault};
use facts::Facts;

/// The most fields that a head can ever have: the size of a [`FieldStore`].
pub const FIELDS_MAX: u16 = 100;

/// Bounds on one head. The defaults are those of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, with its blank line and an empty line before it: 414 or 431 above.
    pub head_bytes_max: u32,
    /// Bytes of the request target, at least 1: 414 above.
    pub uri_bytes_max: u32,
    /// Number of fields, at most [`FIELDS_MAX`]: 431 above.
    pub fields_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes_max: 16 * 1024, uri_bytes_max: 8 * 1024, fields_max: FIELDS_MAX }
    }
}

impl Limits {
    fn fields_max(&self) -> u16 {
        self.fields_max.min(FIELDS_MAX)
    }

    /// At least 1: a target has a byte, and the `*` of an HTTP/2 preface is no long URI.
    fn uri_bytes_max(&self) -> usize {
        self.uri_bytes_max.max(1) as usize
    }
}

/// Room for the fields of one head, on the caller's stack. Making one costs nothing; it is not initialised.
pub struct FieldStore<'a>([MaybeUninit<httparse::Header<'a>>; FIELDS_MAX as usize]);

impl FieldStore<'_> {
    /// An empty store; make one for each call of [`parse`].
    #[inline]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; FIELDS_MAX as usize])
    }
}

impl Default for FieldStore<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FieldStore<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldStore")
    }
}

/// The result of [`parse`] on bytes without a fault.
#[derive(Debug, Clone, Copy)]
pub enum Status<T> {
    /// Nothing is wrong so far; call again with the same bytes and more behind them.
    Partial,
    /// The head is whole.
    Complete(T),
}

/// A request method (RFC 9110 section 9, RFC 5789). Methods are case-sensitive: `get` is [`Method::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
    /// `CONNECT`.
    Connect,
    /// `TRACE`.
    Trace,
    /// `PATCH`.
    Patch,
    /// Any other token; a server that does not know it answers 501.
    Other(&'a str),
}

impl<'a> Method<'a> {
    #[inline]
    fn from_token(token: &'a str) -> Self {
        match token.as_bytes() {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other(token),
        }
    }

    /// The method as it stands in the request line.
    pub const fn as_str(&self) -> &'a str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other(token) => token,
        }
    }
}

/// The version of a request. Every other version is refused with 505.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The form of the request target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `/path?query`.
    Origin,
    /// `http://host/path?query`; its authority replaces Host.
    Absolute,
    /// `host:port`, of CONNECT only.
    Authority,
    /// `*`, of OPTIONS only.
    Asterisk,
}

/// Where the body of the request ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is none: the next byte begins the next request.
    None,
    /// After so many bytes (Content-Length).
    Length(u64),
    /// After the last chunk and the trailers (`Transfer-Encoding: chunked`).
    Chunked,
}

/// A request head, borrowed from the receive buffer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Head<'a> {
    /// Bytes of the buffer that the head took, with an empty line before it; the body begins there.
    pub consumed: usize,
    /// The method.
    pub method: Method<'a>,
    /// The target as received: visible ASCII without `#`.
    pub target: &'a [u8],
    /// The form of the target.
    pub form: Form,
    /// The path, raw: starts with `/`; `*` in asterisk-form, empty in authority-form, `/` for an absolute URI without one.
    pub path: &'a [u8],
    /// What follows the first `?`, raw.
    pub query: Option<&'a [u8]>,
    /// Whom the request is for: the authority of the target if it has one, else Host (RFC 9110 section 7.2).
    /// Its syntax is valid. `None` only in HTTP/1.0; empty only in asterisk-form.
    pub authority: Option<&'a [u8]>,
    /// The version.
    pub version: Version,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client wants the connection kept (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body; never true without a body.
    pub expect_continue: bool,
    /// The value of Upgrade, if Connection asks for it and the version is 1.1 (RFC 9110 section 7.8).
    pub upgrade: Option<&'a [u8]>,
    fields: &'a [httparse::Header<'a>],
}

impl<'a> Head<'a> {
    /// The fields in order, with OWS trimmed from the values.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// The value of the first field of this name, in any case. Empty is `Some(b"")`.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The values of all fields of this name, in any case and in order.
    pub fn field_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}

/// Why `strict` did not accept.
enum Refusal {
    /// Incomplete, or bad in a way that `lines` must name.
    Unsure,
    /// The syntax is good, but the fields contradict each other or the rules.
    Fault(Fault),
}

/// Parses the head at the start of `buf` (RFC 9112).
///
/// `buf` starts at the first byte after the previous request and may hold more than the head. On
/// [`Status::Partial`] keep the bytes and call again when more have come, with the same `progress`: lines that were
/// judged are not looked at again. `progress` is reset when the head is complete.
///
/// # Errors
///
/// The fault to answer with; it is the same for every way of cutting the input. Close the connection afterwards.
#[inline]
pub fn parse<'a>(
    buf: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
    fields: &'a mut FieldStore<'a>,
) -> Result<Status<Head<'a>>, Fault> {
    let window = buf.get(..limits.head_bytes_max as usize).unwrap_or(buf);
    let fresh = *progress == Progress::default();
    // A head that came in pieces is tokenised once, when its blank line is there.
    if !fresh && lines::advance(window, limits, progress)?.is_none() {
        return Ok(Status::Partial);
    }
    match strict(window, limits, fields) {
        Ok(head) => {
            *progress = Progress::default();
            Ok(Status::Complete(head))
        }
        Err(Refusal::Fault(fault)) => Err(fault),
        Err(Refusal::Unsure) if fresh => unsure(window, limits, progress).map(|()| Status::Partial),
        Err(Refusal::Unsure) => Err(disagreement()),
    }
}

/// Names the fault of a head that was not accepted, or takes note of how far it has come.
#[cold]
fn unsure(window: &[u8], limits: &Limits, progress: &mut Progress) -> Result<(), Fault> {
    match lines::advance(window, limits, progress)? {
        None => Ok(()),
        Some(_) => Err(disagreement()),
    }
}

/// The two roads never disagree (fuzzed); if they did, refusing is the safe side.
#[cold]
fn disagreement() -> Fault {
    debug_assert!(false, "the line judge accepts what the tokeniser refuses");
    fault::BAD_FIELD
}

/// Accepts a whole and wholly good head in one pass.
#[inline]
fn strict<'a>(window: &'a [u8], limits: &Limits, store: &'a mut FieldStore<'a>) -> Result<Head<'a>, Refusal> {
    let store = store.0.get_mut(..usize::from(limits.fields_max())).ok_or(Refusal::Unsure)?;
    let mut request = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(consumed)) = request.parse_with_uninit_headers(window, store) else {
        return Err(Refusal::Unsure);
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Unsure);
    };
    let fields: &'a [httparse::Header<'a>] = request.headers;

    // httparse takes LF for CRLF and any number of empty lines. Every line ends right before the next name, so one
    // look at the byte before that LF tells: it is a CR, or the line end was bare. A CR elsewhere httparse refuses.
    let offset = |part: &str| (part.as_ptr() as usize).wrapping_sub(window.as_ptr() as usize);
    let ends_in_crlf = |next: usize| window.get(next.wrapping_sub(2)) == Some(&b'\r');
    let start = offset(method);
    let mut good = start == 0 || (start == 2 && window.starts_with(b"\r\n"));
    let mut facts = Facts::default();
    for field in fields {
        good &= ends_in_crlf(offset(field.name));
        facts.note(field.name.as_bytes(), field.value);
    }
    good &= ends_in_crlf(consumed) && ends_in_crlf(consumed.wrapping_sub(2));

    let method = Method::from_token(method);
    let target = target.as_bytes();
    good &= target.len() <= limits.uri_bytes_max() && method != Method::Other("PROXY");
    let parts = target::split(&method, target).filter(|_| good).ok_or(Refusal::Unsure)?;
    let version = if minor == 1 { Version::Http11 } else { Version::Http10 };
    let verdict = facts.finish(version, parts.form).map_err(Refusal::Fault)?;
    Ok(Head {
        consumed,
        method,
        target,
        form: parts.form,
        path: parts.path,
        query: parts.query,
        authority: parts.authority.or(verdict.host),
        version,
        framing: verdict.framing,
        keep_alive: verdict.keep_alive,
        expect_continue: verdict.expect_continue,
        upgrade: verdict.upgrade,
        fields,
    })
}
