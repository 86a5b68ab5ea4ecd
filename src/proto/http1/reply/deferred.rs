//! Answers that take longer than one call: values with any body, deferred answers, streams, sinks, upgrades, and work
//! on threads before the answer.

use super::super::encode::{HeadWriter, Persist};
use super::super::response::{Body, Response};
use super::super::server::exchange::Outgoing;
use super::super::server::stream::{Coding, PieceSource, Push};
use super::super::server::{Cx, Raw, Sink, Source, StreamOptions, Ticket};
use super::Reply;
use super::edits::staged;
use crate::reactor::TaskError;

/// Answers that take longer.
impl<S: 'static> Reply<'_, S> {
    /// Names this request, for answering it later and for the verbs of [`Cx`].
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Sends an answer that was made as a value. One with a mistake in its fields, or with a status under 200, is
    /// logged and sent as a 500.
    pub fn respond(&mut self, response: impl Into<Response>) {
        let mut response = response.into();
        let body = std::mem::take(&mut response.body);
        match body {
            Body::Bytes(bytes) => {
                if self.response_head(&response, Some(bytes.len() as u64)) && self.has_body(response.status())
                {
                    self.given.length = bytes.len() as u64;
                    self.body(&bytes);
                }
            }
            Body::Shared(bytes) => {
                if self.response_head(&response, Some(bytes.len() as u64)) && self.has_body(response.status())
                {
                    self.given.length = bytes.len() as u64;
                    self.body(&bytes);
                }
            }
            Body::File(file, range) => {
                let length = range.end.saturating_sub(range.start);
                let sent = self.response_head(&response, Some(length)) && self.has_body(response.status());
                if sent && length > 0 {
                    self.given.length = length;
                    self.given.file = Some((file, range));
                }
            }
            Body::Pieces(pieces, length) => {
                self.stream(&response, length, |coding| {
                    Outgoing::Pull(coding, Box::new(PieceSource::new(pieces)), false)
                });
            }
        }
    }

    /// Sends the head of `response` and then what `source` gives, whenever there is room. Of a body of `response` only
    /// the length counts, if it is known: then that many bytes are announced.
    pub fn pull(&mut self, response: impl Into<Response>, length: Option<u64>, source: Box<dyn Source<S>>) {
        self.stream(&response.into(), length, |coding| Outgoing::Pull(coding, source, false));
    }

    /// Sends the head of `response`, and then what is written with [`Cx::write`] until [`Cx::end`]; the body of
    /// `response`, which has to be bytes, is the first of it. False when there will be no body, as for HEAD.
    pub fn push(&mut self, response: impl Into<Response>, options: StreamOptions) -> bool {
        let response = response.into();
        let pushes = self.stream(&response, None, |coding| {
            Outgoing::Push(Push { coding, options, ending: false, busy: true })
        });
        if let (true, Body::Bytes(bytes)) = (pushes && !response.body.is_empty(), &response.body) {
            let framed = if self.asked.is_old {
                bytes.to_vec()
            } else {
                [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
            };
            self.given.length = bytes.len() as u64;
            self.body(&framed);
        }
        pushes
    }

    /// Sends an interim answer before the final one, such as `103 Early Hints` (RFC 8297) or `102 Processing`. Whether it
    /// was sent: not to an HTTP/1.0 client, which knows none (RFC 9110 section 15.2), not behind the answer, not with a
    /// bad field or a status other than 102 to 199, and not without room.
    ///
    /// ```
    /// use tidemill::proto::http1::Reply;
    ///
    /// fn page<S: 'static>(reply: &mut Reply<'_, S>) {
    ///     reply.interim(103, &[("Link", b"</style.css>; rel=preload; as=style")]);
    ///     reply.respond("the page itself");
    /// }
    /// ```
    pub fn interim(&mut self, status: u16, fields: &[(&str, &[u8])]) -> bool {
        if self.asked.is_old || self.is_answered() || !(102..200).contains(&status) {
            return false;
        }
        let mut head = HeadWriter::new(self.tx.spare(), status, self.date);
        for (name, value) in fields {
            head.field(name, value);
        }
        let written = head.finish();
        if let Ok(n) = written {
            self.tx.commit(n);
        }
        written.is_ok()
    }

    /// Leaves the answer for later: [`Cx::respond`] or a [`Responder`](super::super::Responder) gives it, by the ticket.
    /// What the client sends meanwhile waits in the kernel. Not answered within `answer_timeout`, it is a 503.
    pub fn later(&mut self) -> Ticket {
        if !self.is_second() {
            self.given.outgoing = Outgoing::Later;
        }
        self.ticket
    }

    /// Calls `gone` if the connection ends before the answer is over. The end of a client that waits for a deferred
    /// answer is noticed when it resets, not when it merely finishes sending: it may still be reading.
    pub fn on_gone(&mut self, gone: impl FnOnce(&mut S, &mut Cx<'_, S>) + 'static) {
        self.given.rare().gone = Some(Box::new(gone));
    }

    /// Has `sink` take the body of the request as it comes, and answer behind it. For requests whose
    /// [`BodyPlan`](super::super::BodyPlan) is to stream; others, and those without a body, are ended at once.
    pub fn sink(&mut self, sink: Box<dyn Sink<S>>) {
        if !self.is_second() {
            self.given.rare().sink = Some(sink);
        }
    }

    /// Ends HTTP on this connection: 101 with these fields, `Upgrade` among them, and `raw` has the bytes from then on
    /// (RFC 9110 section 7.8). A client that did not ask for it gets a 500, and it is logged.
    pub fn upgrade(&mut self, fields: &[(&str, &[u8])], raw: Box<dyn Raw<S>>) {
        if !self.asked.upgrades && !self.is_answered() {
            log::error!("an upgrade was given that the client did not ask for");
            return self.status(500);
        }
        let head = self.head_as(101, Persist::Upgrade, |head| {
            for (name, value) in fields {
                head.field(name, value);
            }
        });
        if head {
            self.given.outgoing = Outgoing::Raw(Some(raw), false);
        }
    }

    /// Has `work` done on a thread of the reactor's pool; then the application is asked again, with the same request,
    /// and [`Reply::take_done`] gives what came of it. At most eight times a request.
    pub fn offload<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) {
        if !self.is_second() {
            let stage = self.stage();
            self.given.rare().work = Some(Box::new(move || staged(stage, Box::new(work()))));
        }
    }

    /// What the last offload of this request came to, if its type is `T`. An error says that the pool's queue was full
    /// or that the work panicked, whatever its type. `None` when nothing was asked of a thread, or it was taken.
    pub fn take_done<T: Send + 'static>(&mut self) -> Option<Result<T, TaskError>> {
        match self.given.rare.as_mut()?.done.take()? {
            Ok(value) => match value.downcast::<T>() {
                Ok(value) => Some(Ok(*value)),
                Err(other) => {
                    self.given.rare().done = Some(Ok(other));
                    None
                }
            },
            Err(error) => Some(Err(error)),
        }
    }

    fn response_head(&mut self, response: &Response, length: Option<u64>) -> bool {
        let write = |head: &mut HeadWriter<'_>, lines: &[u8]| {
            if let Some(kind) = response.typed {
                head.field("Content-Type", kind.as_bytes());
            }
            head.lines(lines);
            match length {
                Some(length) => head.content_length(length),
                None => head,
            };
        };
        match response.lines() {
            Ok(lines) => self.head(response.status(), |head| write(head, lines)),
            Err(e) => {
                log::error!("an answer with status {} could not be written: {e}", response.status());
                self.send(500, &[], b"500 Internal Server Error\n");
                false
            }
        }
    }

    /// Writes the head of a body that is made while it is sent; whether there will be a body.
    fn stream(
        &mut self,
        response: &Response,
        length: Option<u64>,
        body: impl FnOnce(Coding) -> Outgoing<S>,
    ) -> bool {
        let coding = match length {
            Some(length) => Coding::Length(length),
            None if self.asked.is_old => Coding::UntilClose,
            None => Coding::Chunked,
        };
        if coding == Coding::UntilClose && !self.is_answered() && self.has_body(response.status()) {
            self.given.keep = false;
        }
        let sent = match (response.lines(), coding) {
            (Ok(lines), Coding::Chunked) => self.head(response.status(), |head| {
                if let Some(kind) = response.typed {
                    head.field("Content-Type", kind.as_bytes());
                }
                head.lines(lines).chunked();
            }),
            _ => self.response_head(response, length),
        };
        let has_body = sent && self.has_body(response.status());
        if has_body {
            self.given.outgoing = body(coding);
        }
        has_body
    }
}
