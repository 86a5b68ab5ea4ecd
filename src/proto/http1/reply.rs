//! What an application sees of a request and how it answers: [`Request`], [`Reply`], and answers made once and sent
//! often ([`Prepared`]). An answer is written straight into the transmit buffer; what does not fit is kept aside.

mod deferred;
mod edits;

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::encode::{DateCache, EncodeError, HeadWriter, Persist, Template, has_body, reason};
use super::head::{Head, Method};
use super::response::{Body, Response};
use super::server::exchange::{Asked, Done, Gone, Outgoing, Work};
use super::server::{Sink, Ticket};
use crate::reactor::{Output, Peer};

pub(crate) use edits::Caught;
use edits::Edits;

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

/// A piece of a body.
#[derive(Debug)]
#[allow(dead_code, reason = "for the services above")]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    File(Arc<File>, Range<u64>),
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, range) => range.end.saturating_sub(range.start),
        }
    }
}

/// Answers one request, once: the first answer counts. A request that is not answered at all gets a 500.
///
/// ```
/// use tidemill::proto::http1::{App, Cx, Reply, Request, Response};
///
/// struct Tides;
///
/// impl App for Tides {
///     fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
///         match request.head.path {
///             b"/" => reply.send(200, &[("Content-Type", b"text/plain")], b"high"),
///             b"/table" => reply.respond(Response::pieces((0..24).map(|hour| format!("{hour}\n").into_bytes()))),
///             _ => reply.status(404),
///         }
///     }
/// }
/// ```
pub struct Reply<'a, S: 'static> {
    pub(super) tx: Output<'a>,
    pub(super) date: &'a DateCache,
    pub(super) asked: Asked,
    pub(super) ticket: Ticket,
    pub(super) given: Given<S>,
}

/// How far an answer has come when the application returns.
pub(super) struct Given<S: 'static> {
    /// Of the answer that was written; 0 when none was.
    pub(super) status: u16,
    /// Bytes of its body, as far as they are known.
    pub(super) length: u64,
    /// The connection may be kept.
    pub(super) keep: bool,
    pub(super) rest: Option<Rest>,
    pub(super) file: Option<(Arc<File>, Range<u64>)>,
    pub(super) outgoing: Outgoing<S>,
    /// What few answers have.
    pub(super) rare: Option<Box<Rare<S>>>,
}

/// Parts of an answer that few have, apart so that the others are not longer by them.
pub(super) struct Rare<S: 'static> {
    pub(super) sink: Option<Box<dyn Sink<S>>>,
    pub(super) work: Option<Work>,
    pub(super) gone: Option<Gone<S>>,
    /// What a thread made, if the application was asked again.
    pub(super) done: Option<Done>,
    /// Lines that go into the answer's head, whatever it is.
    pub(super) extra: Vec<u8>,
    /// What is to be done to the answer on its way.
    pub(super) edits: Option<Box<Edits>>,
}

impl<S> Default for Rare<S> {
    fn default() -> Self {
        Self { sink: None, work: None, gone: None, done: None, extra: Vec::new(), edits: None }
    }
}

impl<S> Given<S> {
    #[inline]
    pub(super) fn new(keep: bool, done: Option<Done>) -> Self {
        let rare = done.map(|done| Box::new(Rare { done: Some(done), ..Rare::default() }));
        Self { status: 0, length: 0, keep, rest: None, file: None, outgoing: Outgoing::Idle, rare }
    }

    /// Its rare parts, to be added to.
    pub(super) fn rare(&mut self) -> &mut Rare<S> {
        self.rare.get_or_insert_default()
    }

    pub(super) fn has_sink(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.sink.is_some())
    }

    pub(super) fn has_work(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.work.is_some())
    }

    pub(super) fn take_sink(&mut self) -> Option<Box<dyn Sink<S>>> {
        self.rare.as_mut()?.sink.take()
    }

    pub(super) fn take_work(&mut self) -> Option<Work> {
        self.rare.as_mut()?.work.take()
    }

    pub(super) fn take_gone(&mut self) -> Option<Gone<S>> {
        self.rare.as_mut()?.gone.take()
    }

    /// Whether the answer stands whole in the transmit buffer.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_none()
            && self.file.is_none()
            && matches!(self.outgoing, Outgoing::Idle)
            && (self.rare.is_none() || !(self.has_sink() || self.has_work()))
    }

    /// Whether the application has said anything.
    #[inline]
    pub(super) fn is_said(&self) -> bool {
        self.status != 0 || matches!(self.outgoing, Outgoing::Later) || self.has_sink() || self.has_work()
    }
}

impl<S> fmt::Debug for Reply<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("asked", &self.asked).field("status", &self.given.status).finish()
    }
}

/// An answer made once and sent often, in each form of the Connection field.
#[derive(Clone, Debug)]
pub struct Prepared {
    status: u16,
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
            status,
            keep: Template::new(status, fields, Persist::Default, body)?,
            keep_10: Template::new(status, fields, Persist::KeepAlive, body)?,
            close: Template::new(status, fields, Persist::Close, body)?,
        })
    }
}

impl Prepared {
    /// An answer that was made as a value, whose body is bytes.
    ///
    /// ```
    /// use tidemill::proto::http1::{Prepared, Response};
    ///
    /// let prepared = Prepared::of(&Response::from("hello").field("X-Tide", "high"))?;
    /// # Ok::<(), tidemill::proto::http1::encode::EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Prepared::new`]; [`EncodeError::BadValue`] for a body that is no bytes.
    pub fn of(response: &Response) -> Result<Self, EncodeError> {
        let body: &[u8] = match &response.body {
            Body::Bytes(bytes) => bytes,
            Body::Shared(bytes) => bytes,
            Body::File(..) | Body::Pieces(..) => return Err(EncodeError::BadValue),
        };
        let text = std::str::from_utf8(response.lines()?).unwrap_or_default();
        let mut fields: Vec<(&str, &[u8])> = Vec::new();
        fields.extend(response.typed.map(|kind| ("Content-Type", kind.as_bytes())));
        let lines = text.split_terminator("\r\n").filter_map(|line| line.split_once(": "));
        fields.extend(lines.map(|(name, value)| (name, value.as_bytes())));
        Self::new(response.status(), &fields, body)
    }
}

/// Answers that are whole.
impl<S: 'static> Reply<'_, S> {
    /// Sends a prepared answer.
    #[inline]
    pub fn prepared(&mut self, answer: &mut Prepared) {
        if self.is_second() {
            return;
        }
        let template = match self.persist() {
            Persist::Default | Persist::Upgrade => &mut answer.keep,
            Persist::KeepAlive => &mut answer.keep_10,
            Persist::Close => &mut answer.close,
        };
        let head_len = template.head_len();
        let bytes = template.bytes(self.date);
        let len = if self.asked.head_only { head_len } else { bytes.len() };
        self.given.status = answer.status;
        self.given.length = (len - head_len) as u64;
        let extra = self.given.rare.as_mut().map(|rare| std::mem::take(&mut rare.extra)).unwrap_or_default();
        if !extra.is_empty() {
            let bytes = Arc::clone(bytes);
            let (head, body) = bytes.get(..len).unwrap_or(&bytes).split_at(head_len);
            let open = head.strip_suffix(b"\r\n").unwrap_or(head);
            let head = [open, &extra, b"\r\n"].concat();
            self.body(&head);
            return self.body(body);
        }
        let n = self.tx.write(bytes.get(..len).unwrap_or(bytes));
        if n < len {
            self.given.rest = Some(Rest::Shared(Arc::clone(bytes), n..len));
        }
    }

    /// Whether the request has been answered, or somebody has taken it upon themselves to answer it.
    pub fn is_answered(&self) -> bool {
        self.given.is_said()
    }

    /// Whether an answer was given before: it counts, and what comes after it is dropped.
    pub(super) fn is_second(&self) -> bool {
        let answered = self.is_answered();
        if answered {
            log::error!("a request was answered twice; the second answer was dropped");
        }
        answered
    }

    /// Sends `status`, `fields` and `body`. Bad fields, and a status under 200, are answered with 500 instead;
    /// [`HeadWriter`] tells which fields are the server's own.
    pub fn send(&mut self, status: u16, fields: &[(&str, &[u8])], body: &[u8]) {
        if self.keeps_back(status, fields, body) {
            return;
        }
        let write = |head: &mut HeadWriter<'_>| {
            for (name, value) in fields {
                head.field(name, value);
            }
            head.content_length(body.len() as u64);
        };
        if self.head(status, write) && self.has_body(status) {
            self.given.length = body.len() as u64;
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

    /// Ends the connection behind the answer, which says so. To be called before it.
    pub const fn close_after(&mut self) {
        self.given.keep = false;
    }

    /// Adds rendered and checked lines to the head of whatever answer is given.
    #[allow(dead_code, reason = "for the services above")]
    pub(crate) fn add_lines(&mut self, lines: &[u8]) {
        self.given.rare().extra.extend_from_slice(lines);
    }

    /// Sends an answer whose fields are rendered lines, Content-Length among them, and whose body is shared.
    pub(crate) fn shared(&mut self, status: u16, lines: &[u8], body: &Arc<[u8]>, range: Range<usize>) {
        let head = self.head(status, |head| {
            head.lines(lines);
        });
        if !head || !self.has_body(status) {
            return;
        }
        let bytes = body.get(range.clone()).unwrap_or_default();
        self.given.length = bytes.len() as u64;
        if self.given.rest.is_some() {
            return self.body(bytes);
        }
        let n = self.tx.write(bytes);
        if n < bytes.len() {
            let rest = range.start + n..range.end;
            self.given.rest = Some(Rest::Shared(Arc::clone(body), rest));
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
        if head && self.has_body(status) && !range.is_empty() {
            self.given.length = range.end - range.start;
            self.given.file = Some((Arc::clone(file), range));
        }
    }

    /// Sends an answer whose fields are rendered lines, Content-Length among them, and whose body is made of pieces.
    pub(crate) fn parts(&mut self, status: u16, lines: &[u8], parts: Vec<Part>) {
        let head = self.head(status, |head| {
            head.lines(lines);
        });
        if head && self.has_body(status) && !parts.is_empty() {
            self.given.length = parts.iter().map(Part::len).fold(0, u64::saturating_add);
            self.given.outgoing = Outgoing::Parts(parts.into());
        }
    }

    pub(super) const fn has_body(&self, status: u16) -> bool {
        !self.asked.head_only && has_body(status)
    }

    pub(super) const fn persist(&self) -> Persist {
        self.asked.persist(self.given.keep)
    }

    /// Writes a head; false when it could not be, and a 500 was written instead, or when it is a second one.
    pub(super) fn head(&mut self, status: u16, fill: impl Fn(&mut HeadWriter<'_>)) -> bool {
        self.head_as(status, self.persist(), fill)
    }

    /// As [`Reply::head`], with what is said about the connection.
    fn head_as(&mut self, status: u16, persist: Persist, fill: impl Fn(&mut HeadWriter<'_>)) -> bool {
        if self.is_second() {
            return false;
        }
        let mut big = Vec::new();
        let rare = self.given.rare.as_deref();
        let extra = rare.map_or(&b""[..], |rare| &rare.extra);
        let edits = rare.and_then(|rare| rare.edits.as_deref());
        let fill = |head: &mut HeadWriter<'_>| {
            fill(head);
            if let Some(edits) = edits {
                edits.apply(head);
            }
            head.lines(extra);
        };
        let mut done = write_head(self.tx.spare(), status, self.date, persist, &fill);
        if done == Err(EncodeError::NoRoom) {
            big.resize(crate::reactor::buffer::BLOCK, 0);
            done = write_head(&mut big, status, self.date, persist, &fill);
        }
        match done {
            Ok(n) => {
                self.given.status = status;
                if big.is_empty() {
                    self.tx.commit(n);
                } else {
                    big.truncate(n);
                    self.body(&big);
                }
                true
            }
            Err(e) => {
                log::error!("an answer with status {status} could not be written: {e}");
                if status != 500 {
                    self.given.rare().extra.clear();
                    self.send(500, &[], b"500 Internal Server Error\n");
                }
                false
            }
        }
    }

    /// Writes bytes behind those that were written; what does not fit is kept, in order.
    pub(super) fn body(&mut self, bytes: &[u8]) {
        if let Some(Rest::Owned(rest, _)) = &mut self.given.rest {
            return rest.extend_from_slice(bytes);
        }
        let n = self.tx.write(bytes);
        if n < bytes.len() {
            self.given.rest = Some(Rest::Owned(bytes.get(n..).unwrap_or_default().to_vec(), 0));
        }
    }
}

fn write_head(
    buf: &mut [u8],
    status: u16,
    date: &DateCache,
    persist: Persist,
    fill: &impl Fn(&mut HeadWriter<'_>),
) -> Result<usize, EncodeError> {
    // An interim answer is none: its client would wait for the other. An upgrade is the end of HTTP on its connection.
    if status < 200 && persist != Persist::Upgrade {
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
