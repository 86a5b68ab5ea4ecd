//! Response heads (RFC 9110, RFC 9112): written into the caller's slice, whole or not at all.
//!
//! It owns the fields that decide where an answer ends and what becomes of the connection: Content-Length,
//! Connection, Transfer-Encoding, Date and Server cannot be given as plain fields. What a caller gives is checked,
//! so that no value can start a line of its own. No formatting machinery; only [`Template::new`] allocates.
//! It never writes a body by itself and never reads a clock: the date comes in as [`DateCache`].

mod date;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use date::{DATE_LEN, DateCache, UNIX_SECOND_MAX};
pub(crate) use date::{MONTHS, civil, two};
pub use status::reason;

use super::chars::{all_token, is_value};

/// The interim answer to `Expect: 100-continue` (RFC 9110 section 15.2.1), complete as it stands.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What the answer says about the connection (RFC 9112 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Persist {
    /// Nothing: it is kept, as HTTP/1.1 does by default.
    Default,
    /// `Connection: keep-alive`, for an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// `Connection: close`.
    Close,
    /// `Connection: upgrade`, with 101; the caller adds the Upgrade field.
    Upgrade,
}

/// Why a head could not be written. Nothing of it is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// The slice is too short.
    NoRoom,
    /// The status is not in `100..=999`.
    BadStatus,
    /// A field name is no token.
    BadName,
    /// A field value holds a control byte (CR, LF and NUL among them).
    BadValue,
    /// The field is written by the encoder itself: use its own method.
    Reserved,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "no room for the response head",
            Self::BadStatus => "the status is not in 100..=999",
            Self::BadName => "a field name is not a token",
            Self::BadValue => "a field value holds a control byte",
            Self::Reserved => "the field is written by the encoder itself",
        })
    }
}

impl std::error::Error for EncodeError {}

/// Whether an answer of this status to a request other than HEAD has a body (RFC 9110 section 6.4.1): not 1xx, 204,
/// 205 and 304. Of these only 205 has a Content-Length, of zero; without it, it would end with the connection.
pub const fn has_body(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 205 | 304)
}

/// Writes one response head. The first failure sticks and [`HeadWriter::finish`] tells it.
///
/// ```
/// use tidemill::proto::http1::encode::{DateCache, HeadWriter, Persist};
///
/// let mut buf = [0; 256];
/// let mut head = HeadWriter::new(&mut buf, 200, &DateCache::new(784_111_777));
/// head.field("Content-Type", b"text/plain").content_length(13).persist(Persist::Default);
/// let len = head.finish().unwrap();
/// assert_eq!(
///     std::str::from_utf8(&buf[..len]).unwrap(),
///     "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: tidemill\r\n\
///      Content-Type: text/plain\r\nContent-Length: 13\r\n\r\n",
/// );
/// ```
#[derive(Debug)]
pub struct HeadWriter<'b> {
    buf: &'b mut [u8],
    len: usize,
    date_at: usize,
    status: u16,
    error: Option<EncodeError>,
}

impl<'b> HeadWriter<'b> {
    /// Begins a head in `buf`: the status line, Date and Server. The version is always 1.1 (RFC 9110 section 2.5).
    /// A 1xx answer gets no Date and no Server.
    #[inline]
    pub fn new(buf: &'b mut [u8], status: u16, date: &DateCache) -> Self {
        let mut head = Self { buf, len: 0, date_at: 0, status, error: None };
        if !(100..=999).contains(&status) {
            head.error = Some(EncodeError::BadStatus);
            return head;
        }
        head.put(b"HTTP/1.1 ");
        head.number(u64::from(status));
        head.put(b" ");
        head.put(reason(status).as_bytes());
        if status < 200 {
            head.put(b"\r\n");
            return head;
        }
        head.put(b"\r\nDate: ");
        head.date_at = head.len;
        head.put(date.text());
        head.put(b"\r\nServer: tidemill\r\n");
        head
    }

    /// Adds a field. The name must be a token, the value free of control bytes but HTAB.
    #[inline]
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        if !all_token(name.as_bytes()) {
            return self.fail(EncodeError::BadName);
        }
        if !value.iter().all(|&byte| is_value(byte)) {
            return self.fail(EncodeError::BadValue);
        }
        if is_reserved(name.as_bytes()) {
            return self.fail(EncodeError::Reserved);
        }
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value);
        self.put(b"\r\n");
        self
    }

    /// One rendered line, with its CRLF.
    ///
    /// # Errors
    /// As [`HeadWriter::field`] and [`HeadWriter::finish`] together.
    pub(crate) fn line(name: &str, value: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut line = vec![0; name.len() + value.len() + 4];
        let mut writer = HeadWriter { buf: &mut line, len: 0, date_at: 0, status: 200, error: None };
        writer.field(name, value);
        match writer.error {
            None => Ok(line),
            Some(error) => Err(error),
        }
    }

    /// Adds `Transfer-Encoding: chunked`, instead of a Content-Length. 1xx, 204, 205 and 304 get none.
    pub fn chunked(&mut self) -> &mut Self {
        match self.status {
            205 => self.content_length(0),
            status if has_body(status) => {
                self.put(b"Transfer-Encoding: chunked\r\n");
                self
            }
            _ => self,
        }
    }

    /// Begins a head without Date and Server, for callers that give their own.
    fn bare(buf: &'b mut [u8], status: u16) -> Self {
        let mut head = Self { buf, len: 0, date_at: 0, status, error: None };
        if !(200..=999).contains(&status) {
            head.error = Some(EncodeError::BadStatus);
        }
        head.put(b"HTTP/1.1 ");
        head.number(u64::from(status));
        head.put(b" ");
        head.put(reason(status).as_bytes());
        head.put(b"\r\n");
        head
    }

    /// Adds whole lines that were rendered and checked before, each with its CRLF.
    #[inline]
    pub(crate) fn lines(&mut self, lines: &[u8]) -> &mut Self {
        self.put(lines);
        self
    }

    /// Adds a field whose value is a decimal number.
    pub fn field_number(&mut self, name: &str, value: u64) -> &mut Self {
        let mut digits = [0; 20];
        self.field(name, decimal(value, &mut digits))
    }

    /// Adds `Content-Length`, for HEAD too. 1xx, 204 and 304 get none (RFC 9110 section 8.6), 205 always zero.
    /// For a 2xx answer to CONNECT do not call it.
    #[inline]
    pub fn content_length(&mut self, length: u64) -> &mut Self {
        let length = match self.status {
            100..=199 | 204 | 304 => return self,
            205 => 0,
            _ => length,
        };
        self.put(b"Content-Length: ");
        self.number(length);
        self.put(b"\r\n");
        self
    }

    /// Adds the Connection field, if there is anything to say.
    #[inline]
    pub fn persist(&mut self, persist: Persist) -> &mut Self {
        match persist {
            Persist::Default => {}
            Persist::KeepAlive => self.put(b"Connection: keep-alive\r\n"),
            Persist::Close => self.put(b"Connection: close\r\n"),
            Persist::Upgrade => self.put(b"Connection: upgrade\r\n"),
        }
        self
    }

    /// Ends the head with its blank line and tells its length.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong; what stands in the slice then is not to be sent.
    #[inline]
    pub fn finish(mut self) -> Result<usize, EncodeError> {
        self.put(b"\r\n");
        match self.error {
            None => Ok(self.len),
            Some(error) => Err(error),
        }
    }

    /// Adds a field that is otherwise the encoder's own.
    fn own(&mut self, name: &str, value: &[u8]) {
        if !value.iter().all(|&byte| is_value(byte)) {
            self.fail(EncodeError::BadValue);
        }
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value);
        self.put(b"\r\n");
    }

    #[cold]
    fn fail(&mut self, error: EncodeError) -> &mut Self {
        self.error = self.error.or(Some(error));
        self
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let room = self.buf.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
        match room {
            Some(room) if self.error.is_none() => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => {
                self.fail(EncodeError::NoRoom);
            }
        }
    }

    #[inline]
    fn number(&mut self, value: u64) {
        let mut digits = [0; 20];
        self.put(decimal(value, &mut digits));
    }
}

/// The fields that only the encoder writes.
fn is_reserved(name: &[u8]) -> bool {
    let reserved: &[u8] = match name.len() {
        4 => b"date",
        6 => b"server",
        10 => b"connection",
        14 => b"content-length",
        17 => b"transfer-encoding",
        _ => return false,
    };
    name.eq_ignore_ascii_case(reserved)
}

/// `value` in decimal, in the last bytes of `digits`; 20 digits hold every u64.
fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        start -= 1;
        if value == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or(&[])
}

/// A whole answer made once and sent often: a head and perhaps a small body, where only the Date changes.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Arc<[u8]>,
    date_at: usize,
    head_len: usize,
    second: u64,
}

impl Template {
    /// Builds an answer: `fields`, Content-Length of `body` and `persist`, then `body`. A `Date` or `Server` among
    /// the fields replaces the server's own.
    ///
    /// # Errors
    ///
    /// As [`HeadWriter`]; [`EncodeError::BadStatus`] also for a 1xx status, which has no Date.
    pub fn new(
        status: u16,
        fields: &[(&str, &[u8])],
        persist: Persist,
        body: &[u8],
    ) -> Result<Self, EncodeError> {
        if status < 200 {
            return Err(EncodeError::BadStatus);
        }
        let names: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut bytes = vec![0; names + 256];
        let mut head = HeadWriter::bare(&mut bytes, status);
        let given = |own: &str| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(own));
        match given("date") {
            Some((_, value)) => head.own("Date", value),
            None => {
                head.put(b"Date: ");
                head.date_at = head.len;
                head.put(DateCache::new(0).text());
                head.put(b"\r\n");
            }
        }
        head.own("Server", given("server").map_or(b"tidemill", |(_, value)| value));
        for (name, value) in fields {
            if !name.eq_ignore_ascii_case("date") && !name.eq_ignore_ascii_case("server") {
                head.field(name, value);
            }
        }
        head.content_length(body.len() as u64).persist(persist);
        let date_at = head.date_at;
        let head_len = head.finish()?;
        bytes.truncate(head_len);
        if has_body(status) {
            bytes.extend_from_slice(body);
        }
        Ok(Self { bytes: bytes.into(), date_at, head_len, second: 0 })
    }

    /// The answer with the given date: ready to be copied out, or held while it is sent to a slow reader. The date is
    /// patched only when the second changed.
    #[inline]
    pub fn bytes(&mut self, date: &DateCache) -> &Arc<[u8]> {
        if self.second != date.second() && self.date_at != 0 {
            // Copied only if a slow reader still holds the last second's.
            let bytes = Arc::make_mut(&mut self.bytes);
            let place = bytes.get_mut(self.date_at..).and_then(|rest| rest.first_chunk_mut());
            if let Some(place) = place {
                *place = *date.text();
                self.second = date.second();
            }
        }
        &self.bytes
    }

    /// The length of the head, with which [`Template::bytes`] begins: the answer to HEAD.
    pub const fn head_len(&self) -> usize {
        self.head_len
    }
}
