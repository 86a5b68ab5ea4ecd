//! An answer as a value: status, fields and body, made anywhere and sent once.
//!
//! It owns what it says and knows nothing of the connection that it will be sent on: how its body is framed and what
//! becomes of the connection is decided when it is sent. Fields are checked when they are added; the first mistake
//! sticks, and such an answer is sent as a 500 and logged.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::encode::{EncodeError, HeadWriter};

/// Bytes of a body, piece by piece.
pub type Pieces = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// The body of a [`Response`].
pub enum Body {
    /// Bytes of its own or of the program.
    Bytes(Cow<'static, [u8]>),
    /// Bytes that others share.
    Shared(Arc<[u8]>),
    /// A part of a file: exactly this range is sent, or the connection ends with `http.file_truncated`.
    File(Arc<File>, Range<u64>),
    /// What an iterator gives, asked for more whenever there is room. With a length it is announced: an iterator
    /// that gives fewer bytes ends the connection, and no more are asked for. Without one the body is chunked.
    Pieces(Pieces, Option<u64>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Bytes(Cow::Borrowed(b""))
    }
}

impl Body {
    /// Its length in bytes, when that is known before it is sent.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Shared(bytes) => Some(bytes.len() as u64),
            Self::File(_, range) => Some(range.end.saturating_sub(range.start)),
            Self::Pieces(_, length) => *length,
        }
    }

    /// Whether it is known to be empty.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            Some(n) => write!(f, "Body({n} bytes)"),
            None => f.write_str("Body(pieces)"),
        }
    }
}

/// An answer.
///
/// ```
/// use tidemill::proto::http1::Response;
///
/// let made = Response::new(201).field("Location", "/things/7").text("made\n");
/// let table = Response::pieces((0..1000).map(|n| format!("{n}\n").into_bytes()));
/// let plain: Response = "hello".into();
/// assert_eq!((made.status(), table.status(), plain.status()), (201, 200, 200));
/// ```
#[derive(Debug, Default)]
pub struct Response {
    status: u16,
    /// Rendered and checked.
    lines: Vec<u8>,
    error: Option<EncodeError>,
    pub(super) typed: Option<&'static str>,
    pub(super) body: Body,
}

impl Response {
    /// An empty answer.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// 200 with bytes, and no Content-Type.
    pub fn bytes(body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self::new(200).body(Body::Bytes(body.into()))
    }

    /// 200 with a part of a file, and no Content-Type.
    pub fn file(file: Arc<File>, range: Range<u64>) -> Self {
        Self::new(200).body(Body::File(file, range))
    }

    /// 200 with what an iterator gives, chunked, and no Content-Type. It is asked for more when there is room.
    pub fn pieces(pieces: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Self {
        Self::new(200).body(Body::Pieces(Box::new(pieces.into_iter()), None))
    }

    /// 200 with JSON text, which is not checked.
    pub fn json(text: impl Into<String>) -> Self {
        let mut response = Self::bytes(text.into().into_bytes());
        response.typed = Some("application/json");
        response
    }

    /// 200 with HTML.
    pub fn html(text: impl Into<String>) -> Self {
        let mut response = Self::bytes(text.into().into_bytes());
        response.typed = Some("text/html; charset=utf-8");
        response
    }

    /// A redirect (RFC 9110 section 15.4). A `location` that could begin another line makes it a 500.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).field("Location", location)
    }

    /// The same with this status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with a text body, as `text/plain; charset=utf-8`.
    pub fn text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        let body = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        self.body = Body::Bytes(body);
        self.typed = Some("text/plain; charset=utf-8");
        self
    }

    /// The same with this body.
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The same with one field more; a Content-Type replaces that of the body. Date, Server, Connection,
    /// Content-Length and Transfer-Encoding are the server's own: naming one is a mistake, as is a bad name or value.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if name.eq_ignore_ascii_case("content-type") {
            self.typed = None;
        }
        match HeadWriter::line(name, value.as_ref()) {
            Ok(line) => self.lines.extend_from_slice(&line),
            Err(e) => self.error = self.error.or(Some(e)),
        }
        self
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The rendered fields.
    ///
    /// # Errors
    /// The first mistake that was made with a field.
    pub(super) fn lines(&self) -> Result<&[u8], EncodeError> {
        self.error.map_or(Ok(&self.lines), Err)
    }
}

impl From<&'static str> for Response {
    fn from(text: &'static str) -> Self {
        Self::new(200).text(text)
    }
}

impl From<String> for Response {
    fn from(text: String) -> Self {
        Self::new(200).text(text)
    }
}

impl From<&'static [u8]> for Response {
    fn from(bytes: &'static [u8]) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Vec<u8>> for Response {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

impl From<u16> for Response {
    /// A short text that names the status.
    fn from(status: u16) -> Self {
        Self::new(status).text(format!("{status} {}\n", super::encode::reason(status)))
    }
}

impl<T: Into<Self>> From<(u16, T)> for Response {
    fn from((status, body): (u16, T)) -> Self {
        body.into().with_status(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_sticks_and_the_servers_own_fields_are_mistakes() {
        for (name, value) in
            [("X Y", "a"), ("X", "a\r\nY: b"), ("Content-Length", "1"), ("connection", "close")]
        {
            let response = Response::new(200).field(name, value).field("X-Good", "1");
            assert!(response.lines().is_err(), "{name}");
        }
        assert_eq!(Response::new(200).field("X", "1").field("Y", "2").lines().unwrap(), b"X: 1\r\nY: 2\r\n");
    }

    #[test]
    fn a_content_type_replaces_that_of_the_body_and_lengths_are_known() {
        let response = Response::new(200).text("a").field("Content-Type", "text/css");
        assert_eq!((response.typed, response.body.len()), (None, Some(1)));
        assert_eq!(Response::pieces([vec![1]]).body.len(), None);
        assert!(Response::from((404, "")).body.is_empty());
        assert_eq!(Response::from(404).status(), 404);
    }
}
