//! What an application sees of a request and how it answers: [`Request`], [`Reply`], and answers made once and sent
//! often ([`Prepared`]). An answer is written straight into the transmit buffer; what does not fit is kept aside.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::encode::{DateCache, EncodeError, HeadWriter, Persist, Template, has_body, reason};
use super::head::{Head, Method};
use crate::reactor::{Output, Peer};

/// A request whose body, if it was wanted, has arrived.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The head.
    pub head: &'a Head<'a>,
    /// The body, when [`BodyPlan::Collect`](super::server::BodyPlan) asked for it; else empty.
    pub body: &'a [u8],
    /// Who asks.
    pub peer: Peer,
    /// The reactor's turn.
    pub turn: u64,
    /// The turn's time, in seconds since 1970.
    pub unix_time: u64,
}

/// The rest of an answer that did not fit the transmit buffer.
pub(super) enum Rest {
    Owned(Vec<u8>, usize),
    Shared(Arc<[u8]>, Range<usize>),
}

impl Rest {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes, at) => bytes.get(*at..).unwrap_or_default(),
            Self::Shared(bytes, range) => bytes.get(range.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn advance(&mut self, n: usize) {
        match self {
            Self::Owned(_, at) => *at += n,
            Self::Shared(_, range) => range.start += n,
        }
    }
}

/// How far an answer has come when the application returns.
pub(super) enum Outcome {
    /// Nothing was answered.
    None,
    /// It stands whole in the transmit buffer.
    Sent,
    /// Its rest has to follow.
    Rest(Rest),
    /// A file has to follow.
    File(Arc<File>, Range<u64>),
}

/// Answers one request, once: the first answer counts. A request that is not answered at all gets a 500.
pub struct Reply<'a, 'tx> {
    pub(super) tx: &'a mut Output<'tx>,
    pub(super) date: &'a DateCache,
    pub(super) persist: Persist,
    pub(super) head_only: bool,
    pub(super) outcome: Outcome,
}

impl fmt::Debug for Reply<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("persist", &self.persist).field("head_only", &self.head_only).finish()
    }
}

/// An answer made once and sent often, in each form of the Connection field.
#[derive(Clone, Debug)]
pub struct Prepared {
    keep: Template,
    keep_10: Template,
    close: Template,
}

impl Prepared {
    /// An answer with `fields`, the Content-Length of `body`, and `body`. A `Date` or `Server` among the fields
    /// replaces the server's own.
    ///
    /// # Errors
    /// A status under 200, a bad name or value, or a field that only the server may write (Connection,
    /// Content-Length, Transfer-Encoding).
    pub fn new(status: u16, fields: &[(&str, &[u8])], body: &[u8]) -> Result<Self, EncodeError> {
        Ok(Self {
            keep: Template::new(status, fields, Persist::Default, body)?,
            keep_10: Template::new(status, fields, Persist::KeepAlive, body)?,
            close: Template::new(status, fields, Persist::Close, body)?,
        })
    }
}

impl Reply<'_, '_> {
    /// Sends a prepared answer.
    #[inline]
    pub fn prepared(&mut self, answer: &mut Prepared) {
        if self.is_answered() {
            return;
        }
        let template = match self.persist {
            Persist::Default | Persist::Upgrade => &mut answer.keep,
            Persist::KeepAlive => &mut answer.keep_10,
            Persist::Close => &mut answer.close,
        };
        let head_len = template.head_len();
        let bytes = template.bytes(self.date);
        let len = if self.head_only { head_len } else { bytes.len() };
        let n = self.tx.write(bytes.get(..len).unwrap_or(bytes));
        self.outcome =
            if n == len { Outcome::Sent } else { Outcome::Rest(Rest::Shared(Arc::clone(bytes), n..len)) };
    }

    /// Whether an answer was given before: it counts, and what comes after it is dropped.
    fn is_answered(&self) -> bool {
        let answered = !matches!(self.outcome, Outcome::None);
        if answered {
            log::error!("a request was answered twice; the second answer was dropped");
        }
        answered
    }

    /// Sends `status`, `fields` and `body`. Bad fields, and a status under 200, are answered with 500 instead;
    /// [`HeadWriter`] tells which fields are the server's own.
    pub fn send(&mut self, status: u16, fields: &[(&str, &[u8])], body: &[u8]) {
        let write = |head: &mut HeadWriter<'_>| {
            for (name, value) in fields {
                head.field(name, value);
            }
            head.content_length(body.len() as u64);
        };
        if self.head(status, write) && !self.head_only && has_body(status) {
            self.body(body);
        }
    }

    /// Sends a short text page that names the status.
    pub fn status(&mut self, status: u16) {
        self.status_with(status, &[]);
    }

    /// As [`Reply::status`], with further fields.
    pub fn status_with(&mut self, status: u16, fields: &[(&str, &[u8])]) {
        let text = format!("{status} {}\n", reason(status));
        let mut all: Vec<(&str, &[u8])> = vec![("Content-Type", b"text/plain; charset=utf-8")];
        all.extend_from_slice(fields);
        self.send(status, &all, text.as_bytes());
    }

    /// Sends an answer whose fields are rendered lines, Content-Length among them, and whose body is shared.
    pub(crate) fn shared(&mut self, status: u16, lines: &[u8], body: &Arc<[u8]>, range: Range<usize>) {
        if !self.head(status, |head| {
            head.lines(lines);
        }) || self.head_only
        {
            return;
        }
        let bytes = body.get(range.clone()).unwrap_or_default();
        if !matches!(self.outcome, Outcome::Sent) {
            return self.body(bytes);
        }
        let n = self.tx.write(bytes);
        if n < bytes.len() {
            let rest = range.start + n..range.end;
            self.outcome = Outcome::Rest(Rest::Shared(Arc::clone(body), rest));
        }
    }

    /// Sends an answer that is a head alone, whose fields are rendered lines.
    pub(crate) fn file_head(&mut self, status: u16, lines: &[u8]) {
        self.head(status, |head| {
            head.lines(lines);
        });
    }

    /// Sends an answer whose fields are rendered lines, Content-Length among them, and whose body is of a file.
    pub(crate) fn file(&mut self, status: u16, lines: &[u8], file: &Arc<File>, range: Range<u64>) {
        let head = self.head(status, |head| {
            head.lines(lines);
        });
        if head && !self.head_only && !range.is_empty() {
            // The server has room for a head before it asks, and a file's is a short one.
            debug_assert!(matches!(self.outcome, Outcome::Sent));
            self.outcome = Outcome::File(Arc::clone(file), range);
        }
    }

    /// Writes a head; false when it could not be, and a 500 was written instead, or when it is a second one.
    fn head(&mut self, status: u16, fill: impl Fn(&mut HeadWriter<'_>)) -> bool {
        if self.is_answered() {
            return false;
        }
        let mut big = Vec::new();
        let mut done = write_head(self.tx.spare(), status, self.date, self.persist, &fill);
        if done == Err(EncodeError::NoRoom) {
            big.resize(crate::reactor::buffer::BLOCK, 0);
            done = write_head(&mut big, status, self.date, self.persist, &fill);
        }
        match done {
            Ok(n) if big.is_empty() => {
                self.tx.commit(n);
                self.outcome = Outcome::Sent;
                true
            }
            Ok(n) => {
                big.truncate(n);
                self.body(&big);
                true
            }
            Err(e) => {
                log::error!("an answer with status {status} could not be written: {e}");
                if status != 500 {
                    self.send(500, &[], b"500 Internal Server Error\n");
                }
                false
            }
        }
    }

    /// Writes bytes behind those that were written; what does not fit is kept, in order.
    fn body(&mut self, bytes: &[u8]) {
        if let Outcome::Rest(Rest::Owned(rest, _)) = &mut self.outcome {
            return rest.extend_from_slice(bytes);
        }
        let n = self.tx.write(bytes);
        self.outcome = if n == bytes.len() {
            Outcome::Sent
        } else {
            Outcome::Rest(Rest::Owned(bytes.get(n..).unwrap_or_default().to_vec(), 0))
        };
    }
}

fn write_head(
    buf: &mut [u8],
    status: u16,
    date: &DateCache,
    persist: Persist,
    fill: &impl Fn(&mut HeadWriter<'_>),
) -> Result<usize, EncodeError> {
    // An interim answer is none: its client would wait for the other.
    if status < 200 {
        return Err(EncodeError::BadStatus);
    }
    let mut head = HeadWriter::new(buf, status, date);
    fill(&mut head);
    head.persist(persist);
    head.finish()
}

/// Whether the answer to this method is a head alone.
pub(super) fn is_head(method: &Method<'_>) -> bool {
    *method == Method::Head
}
