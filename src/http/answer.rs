//! What a route returns: an answer, now or later, whole or in pieces, or what becomes of the request instead.

use std::fmt;

use crate::proto::http1::{Cx, Raw, Reply, Response, Sink, Source, StreamOptions};
use crate::reactor::TaskError;

/// What becomes of a request. Everything that makes a [`Response`] makes an answer: texts, bytes, statuses, pairs of
/// status and body; `None` is a 404, and of a `Result` either side is an answer.
///
/// ```
/// use std::time::Duration;
/// use tidemill::http::{Answer, Response, Server};
///
/// let http = Server::new(0u64)
///     .get("/text", |_, _, _| "plain text")
///     .get("/made", |hits, _, _| format!("{hits} hits"))
///     .get("/none", |_, _, _| None::<&str>)
///     .get("/both", |hits, _, _| if *hits > 0 { Ok("some") } else { Err(503) })
///     .get("/json", |_, _, _| Response::json(r#"{"ok":true}"#).field("Cache-Control", "no-store"))
///     .get("/later", |_, _, cx| {
///         let ticket = cx.ticket();
///         cx.call_later(Duration::from_millis(20), move |hits, cx| {
///             *hits += 1;
///             cx.respond(ticket, "late");
///         });
///         Answer::later()
///     })
///     .build()?;
/// # Ok::<(), tidemill::http::RouteError>(())
/// ```
pub struct Answer<S: 'static> {
    kind: Kind<S>,
    gone: Option<Gone<S>>,
}

type Gone<S> = Box<dyn FnOnce(&mut S, &mut Cx<'_, S>)>;
type Direct<S> = Box<dyn FnOnce(&mut S, &mut Reply<'_, S>, &mut Cx<'_, S>)>;

enum Kind<S: 'static> {
    Now(Response),
    Later,
    Stream(Response, StreamOptions),
    Pull(Response, Option<u64>, Box<dyn Source<S>>),
    Sink(Box<dyn Sink<S>>),
    Upgrade(Vec<(String, Vec<u8>)>, Box<dyn Raw<S>>),
    Direct(Direct<S>),
}

impl<S: 'static> fmt::Debug for Answer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Now(response) => return f.debug_tuple("Now").field(response).finish(),
            Kind::Later => "Later",
            Kind::Stream(..) => "Stream",
            Kind::Pull(..) => "Pull",
            Kind::Sink(_) => "Sink",
            Kind::Upgrade(..) => "Upgrade",
            Kind::Direct(_) => "Direct",
        })
    }
}

impl<S: 'static> Answer<S> {
    const fn of(kind: Kind<S>) -> Self {
        Self { kind, gone: None }
    }

    /// The answer comes later: by [`Cx::respond`] with the [`Cx::ticket`] of this call, from a timer or any other
    /// callback, or by a [`Responder`](super::Responder) from another thread. What the client sends meanwhile waits.
    /// Not given within [`HttpConfig::answer_timeout`](super::HttpConfig), it is a 503.
    ///
    /// ```
    /// # use tidemill::http::{Answer, Server};
    /// let http = Server::new(()).get("/slow", |_, _, cx| {
    ///     let responder = cx.responder(cx.ticket());
    ///     std::thread::spawn(move || responder.send("from another thread"));
    ///     Answer::later()
    /// });
    /// ```
    pub const fn later() -> Self {
        Self::of(Kind::Later)
    }

    /// Has `work` done on a thread of the reactor's pool, and answers with what `done` makes of its result. A full
    /// queue is answered with 503 and `Retry-After`, a panic with 500; then `done` is not called. Nor is it when the
    /// peer is gone before.
    ///
    /// ```
    /// # use tidemill::http::{Answer, Server};
    /// let http = Server::new(0u64).get("/sum", |_, _, _| {
    ///     Answer::offload(|| (1..=1_000_000u64).sum::<u64>(), |hits, sum, _| {
    ///         *hits += 1;
    ///         format!("{sum}\n")
    ///     })
    /// });
    /// ```
    pub fn offload<T: Send + 'static, R: Into<Response>>(
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(&mut S, T, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        Self::direct(move |_, reply, cx| {
            let ticket = reply.ticket();
            let begun = cx.offload(work, move |state, result, cx| {
                if cx.is_open(ticket) {
                    let response = match result {
                        Ok(value) => done(state, value, cx).into(),
                        Err(error) => failed(error),
                    };
                    cx.respond(ticket, response);
                }
            });
            match begun {
                Ok(_) => {
                    reply.later();
                }
                Err(error) => reply.respond(failed(error)),
            }
        })
    }

    /// The head of `response` and its bytes, then what is written with [`Cx::write`] until [`Cx::end`].
    ///
    /// ```
    /// # use tidemill::http::{Answer, Response, Server, StreamOptions};
    /// let http = Server::new(()).get("/log", |_, _, cx| {
    ///     let ticket = cx.ticket();
    ///     cx.post(move |_, cx| {
    ///         cx.write(ticket, b"behind the first line\n");
    ///         cx.end(ticket);
    ///     });
    ///     Answer::stream("the first line\n", StreamOptions::default())
    /// });
    /// ```
    pub fn stream(response: impl Into<Response>, options: StreamOptions) -> Self {
        Self::of(Kind::Stream(response.into(), options))
    }

    /// Server-Sent Events: send them with [`Cx::send_event`]. A comment keeps the connection alive every 15 s, and a
    /// drain ends it; clients connect again by themselves.
    ///
    /// ```
    /// # use tidemill::http::{Answer, Server, Ticket};
    /// let http = Server::new(Vec::<Ticket>::new()).get("/events", |listeners, _, cx| {
    ///     let ticket = cx.ticket();
    ///     listeners.push(ticket);
    ///     Answer::events().on_gone(move |listeners: &mut Vec<Ticket>, _| listeners.retain(|one| *one != ticket))
    /// });
    /// ```
    pub fn events() -> Self {
        let head = Response::new(200)
            .field("Content-Type", "text/event-stream")
            .field("Cache-Control", "no-store")
            .field("X-Accel-Buffering", "no");
        Self::stream(head, StreamOptions::EVENTS)
    }

    /// The head of `response`, then what `source` gives whenever there is room. With a `length` it is announced, and a
    /// source that ends before it cuts the connection.
    ///
    /// ```
    /// # use tidemill::http::{Answer, BodyWriter, Cx, Pull, Response, Server, Source};
    /// struct Zeros(usize);
    ///
    /// impl Source<()> for Zeros {
    ///     fn pull(&mut self, _: &mut (), body: &mut BodyWriter<'_>, _: &mut Cx<'_, ()>) -> Pull {
    ///         let n = self.0.min(1000);
    ///         self.0 -= body.write(&[0; 1000][..n]);
    ///         if self.0 == 0 { Pull::End } else { Pull::More }
    ///     }
    /// }
    ///
    /// let http = Server::new(())
    ///     .get("/zeros", |_, _, _| Answer::pull(Response::new(200), Some(1 << 30), Box::new(Zeros(1 << 30))));
    /// ```
    pub fn pull(response: impl Into<Response>, length: Option<u64>, source: Box<dyn Source<S>>) -> Self {
        Self::of(Kind::Pull(response.into(), length, source))
    }

    /// `sink` takes the body as it comes, and answers behind it. For routes made with
    /// [`Server::upload`](super::Server::upload).
    ///
    /// ```
    /// # use tidemill::http::{Answer, Cx, Flow, Reply, Server, Sink};
    /// struct Count(u64);
    ///
    /// impl Sink<()> for Count {
    ///     fn on_data(&mut self, _: &mut (), bytes: &[u8], _: &mut Cx<'_, ()>) -> Flow {
    ///         self.0 += bytes.len() as u64;
    ///         Flow::Go
    ///     }
    ///     fn on_end(self: Box<Self>, _: &mut (), reply: &mut Reply<'_, ()>, _: &mut Cx<'_, ()>) {
    ///         reply.respond(format!("{} bytes\n", self.0));
    ///     }
    /// }
    ///
    /// let http = Server::new(()).upload("/count", |_, _, _| Answer::sink(Count(0)));
    /// ```
    pub fn sink(sink: impl Sink<S>) -> Self {
        Self::of(Kind::Sink(Box::new(sink)))
    }

    /// 101 with these fields, `Upgrade` among them, and `raw` has the bytes of the connection from then on. A client
    /// that did not ask for an upgrade gets a 500, so look at [`Head::upgrade`](crate::proto::http1::head::Head) first.
    ///
    /// ```
    /// # use tidemill::http::{Answer, RawIo, Raw, Server};
    /// struct Mirror;
    ///
    /// impl Raw<()> for Mirror {
    ///     fn on_data(&mut self, _: &mut (), io: &mut RawIo<'_, ()>) {
    ///         io.tx.take_from(&mut io.rx);
    ///     }
    /// }
    ///
    /// let http = Server::new(()).get("/mirror", |_, req, _| match req.head().upgrade {
    ///     Some(b"mirror") => Answer::upgrade(&[("Upgrade", "mirror")], Mirror),
    ///     _ => Answer::from((426, "speak mirror\n")),
    /// });
    /// ```
    pub fn upgrade(fields: &[(&str, &str)], raw: impl Raw<S>) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Self::of(Kind::Upgrade(fields.collect(), Box::new(raw)))
    }

    /// Whatever `f` says to the [`Reply`] itself; nothing said is a 500.
    ///
    /// ```
    /// # use tidemill::http::{Answer, Server};
    /// let http = Server::new(()).get("/last", |_, _, _| {
    ///     Answer::direct(|_, reply, _| {
    ///         reply.close_after();
    ///         reply.respond("the connection ends behind this\n");
    ///     })
    /// });
    /// ```
    pub fn direct(f: impl FnOnce(&mut S, &mut Reply<'_, S>, &mut Cx<'_, S>) + 'static) -> Self {
        Self::of(Kind::Direct(Box::new(f)))
    }

    /// The same, with `gone` called if the connection ends before the answer is over: exactly once then, and never
    /// otherwise. A client that only finishes sending is not gone: it may still be reading.
    pub fn on_gone(mut self, gone: impl FnOnce(&mut S, &mut Cx<'_, S>) + 'static) -> Self {
        self.gone = Some(Box::new(gone));
        self
    }

    /// Says it to the request.
    pub(super) fn give(self, state: &mut S, reply: &mut Reply<'_, S>, cx: &mut Cx<'_, S>) {
        if let Some(gone) = self.gone {
            reply.on_gone(gone);
        }
        match self.kind {
            Kind::Now(response) => reply.respond(response),
            Kind::Later => {
                reply.later();
            }
            Kind::Stream(response, options) => {
                reply.push(response, options);
            }
            Kind::Pull(response, length, source) => reply.pull(response, length, source),
            Kind::Sink(sink) => reply.sink(sink),
            Kind::Upgrade(fields, raw) => {
                let fields: Vec<(&str, &[u8])> =
                    fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                reply.upgrade(&fields, raw);
            }
            Kind::Direct(f) => f(state, reply, cx),
        }
    }
}

/// The answer to work that came to nothing.
fn failed(error: TaskError) -> Response {
    match error {
        TaskError::Full => Response::from(503).field("Retry-After", "1"),
        TaskError::Panicked | TaskError::TimedOut | TaskError::Cancelled => Response::from(500),
    }
}

macro_rules! responses {
    ($($kind:ty),+ $(,)?) => {
        $(impl<S: 'static> From<$kind> for Answer<S> {
            fn from(value: $kind) -> Self {
                Self::of(Kind::Now(Response::from(value)))
            }
        })+
    };
}

responses!(Response, &'static str, String, &'static [u8], Vec<u8>, u16);

impl<S: 'static, T: Into<Response>> From<(u16, T)> for Answer<S> {
    fn from(value: (u16, T)) -> Self {
        Self::of(Kind::Now(value.into()))
    }
}

impl<S: 'static, T: Into<Self>> From<Option<T>> for Answer<S> {
    /// `None` is a 404.
    fn from(value: Option<T>) -> Self {
        value.map_or_else(|| Self::from(404), Into::into)
    }
}

impl<S: 'static, T: Into<Self>, E: Into<Self>> From<Result<T, E>> for Answer<S> {
    fn from(value: Result<T, E>) -> Self {
        value.map_or_else(Into::into, Into::into)
    }
}

impl<S: 'static> From<std::io::Error> for Answer<S> {
    /// What is not there is a 404, anything else is logged and a 500: the client learns nothing of it.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Self::from(404);
        }
        log::error!("a request failed: {error}");
        Self::from(500)
    }
}

impl<S: 'static> From<Box<dyn std::error::Error>> for Answer<S> {
    /// Logged, and a 500: the client learns nothing of it.
    fn from(error: Box<dyn std::error::Error>) -> Self {
        log::error!("a request failed: {error}");
        Self::from(500)
    }
}
