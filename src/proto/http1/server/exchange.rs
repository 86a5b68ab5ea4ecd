//! The state of one connection, and of the request that is under way on it.
//!
//! A connection that waits, and one that is answered at once, owns nothing but an [`Exchange`]. What takes longer (a
//! body, a deferred answer, a stream, an upgrade) has a [`Job`] on the heap for as long as it lasts.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;

use super::raw::Raw;
use super::record::Times;
use super::sink::Sink;
use super::stream::{Coding, Push, Source};
use super::{Cx, HttpConfig};
use crate::proto::http1::body::BodyDecoder;
use crate::proto::http1::encode::Persist;
use crate::proto::http1::head::{Framing, Head, Progress, Version};
use crate::proto::http1::reply::{Part, Rest, is_head};
use crate::proto::http1::response::Response;
use crate::reactor::{ConnId, TaskError, TaskId, Time};

/// Names one request of one connection: the right to answer it later. It is `Copy`, and one that is over does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket {
    /// The connection.
    pub id: ConnId,
    pub(super) nth: u32,
}

/// What a thread made for a request.
pub(in crate::proto::http1) type Done = Result<Box<dyn Any + Send>, TaskError>;
/// Work for a thread.
pub(in crate::proto::http1) type Work = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;
/// Told when the peer of an unfinished answer is gone.
pub(in crate::proto::http1) type Gone<S> = Box<dyn FnOnce(&mut S, &mut Cx<'_, S>)>;

/// The state of one connection.
pub struct Exchange<S: 'static> {
    pub(super) progress: Progress,
    /// Requests begun; the number of the one under way.
    pub(super) nth: u32,
    /// The head's deadline is set: its first byte has come, at `began`.
    pub(super) timed: bool,
    /// Its request line is whole, since `line`.
    pub(super) lined: bool,
    /// The connection ends after the answer that is being sent.
    pub(super) closing: bool,
    /// More is known to come from the peer, which nobody will read: the end has to wait for it.
    pub(super) lingers: bool,
    /// A file is being sent.
    pub(super) sending: bool,
    /// The client has sent its last byte.
    pub(super) eof: bool,
    pub(super) began: Time,
    /// When the request line was whole.
    pub(super) line: Time,
    pub(super) job: Option<Box<Job<S>>>,
}

impl<S> Default for Exchange<S> {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            nth: 0,
            timed: false,
            lined: false,
            closing: false,
            lingers: false,
            sending: false,
            eof: false,
            began: Time::ZERO,
            line: Time::ZERO,
            job: None,
        }
    }
}

impl<S> fmt::Debug for Exchange<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("nth", &self.nth)
            .field("closing", &self.closing)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

impl<S> Exchange<S> {
    /// Whether an answer is awaited or under way, so that the next request has to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.sending || self.job.as_ref().is_some_and(|job| job.is_busy())
    }

    /// The body that is being received, if there is one.
    pub(super) fn held(&mut self) -> Option<&mut Held<S>> {
        self.job.as_mut()?.held.as_mut()
    }

    pub(super) fn job(&mut self) -> &mut Job<S> {
        self.job.get_or_insert_default()
    }
}

/// A request that is not over in one call.
pub(super) struct Job<S: 'static> {
    pub(super) asked: Asked,
    /// The request, when it has to wait, with its body.
    pub(super) held: Option<Held<S>>,
    /// What is left of what was written and did not fit.
    pub(super) rest: Option<Rest>,
    pub(super) outgoing: Outgoing<S>,
    pub(super) gone: Option<Gone<S>>,
    /// What a thread made; the application is asked again with it.
    pub(super) done: Option<Done>,
    /// How often a thread was asked.
    pub(super) rounds: u8,
    /// The answer's deadline is set.
    pub(super) limited: bool,
    /// The work on a thread, to be withdrawn if the connection ends.
    pub(super) task: Option<TaskId>,
    /// For the log.
    pub(super) trace: Option<Box<Trace>>,
}

impl<S> Default for Job<S> {
    fn default() -> Self {
        Self {
            asked: Asked::default(),
            held: None,
            rest: None,
            outgoing: Outgoing::Idle,
            gone: None,
            done: None,
            rounds: 0,
            limited: false,
            task: None,
            trace: None,
        }
    }
}

impl<S> Job<S> {
    pub(super) fn is_busy(&self) -> bool {
        self.rest.is_some() || !matches!(self.outgoing, Outgoing::Idle)
    }

    /// Bytes of the answer that have not been written yet.
    pub(super) fn left(&self) -> u64 {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.bytes().len() as u64);
        let Outgoing::Parts(parts) = &self.outgoing else { return rest };
        parts.iter().map(Part::len).fold(rest, u64::saturating_add)
    }

    /// Whether a sink takes the body.
    pub(super) fn has_sink(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.sink.is_some())
    }
}

impl<S> fmt::Debug for Job<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({}, held: {})", self.outgoing.name(), self.held.is_some())
    }
}

/// What has to happen before the answer is over, beside the bytes that wait to be sent.
pub(in crate::proto::http1) enum Outgoing<S: 'static> {
    /// Nothing.
    Idle,
    /// Work on a thread, after which the application is asked again.
    Working,
    /// That work is done.
    Worked,
    /// The application will answer.
    Later,
    /// It has answered; the answer is not written yet.
    Given(Box<Response>),
    /// Pieces of memory and files.
    Parts(VecDeque<Part>),
    /// Who is pulled for the body, and whether it waits until it is woken.
    Pull(Coding, Box<dyn Source<S>>, bool),
    /// A body that is pushed into.
    Push(Push),
    /// The bytes belong to another protocol, which has been told so, or not yet.
    Raw(Option<Box<dyn Raw<S>>>, bool),
}

impl<S> Outgoing<S> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Worked => "worked",
            Self::Later => "later",
            Self::Given(_) => "given",
            Self::Parts(_) => "parts",
            Self::Pull(..) => "pull",
            Self::Push(_) => "push",
            Self::Raw(..) => "raw",
        }
    }
}

/// What an answer has to know of its request.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proto::http1) struct Asked {
    /// The client wants the connection kept.
    pub(in crate::proto::http1) keep_alive: bool,
    pub(in crate::proto::http1) is_old: bool,
    pub(in crate::proto::http1) head_only: bool,
    /// It asked for an upgrade.
    pub(in crate::proto::http1) upgrades: bool,
}

impl Asked {
    pub(super) fn of(head: &Head<'_>) -> Self {
        Self {
            keep_alive: head.keep_alive,
            is_old: head.version == Version::Http10,
            head_only: is_head(&head.method),
            upgrades: head.upgrade.is_some(),
        }
    }

    /// What the answer says about the connection.
    pub(in crate::proto::http1) const fn persist(self, keep: bool) -> Persist {
        match (keep, self.is_old) {
            (false, _) => Persist::Close,
            (true, true) => Persist::KeepAlive,
            (true, false) => Persist::Default,
        }
    }
}

/// A request that has to wait, copied out of the receive buffer.
pub(super) struct Held<S: 'static> {
    pub(super) head: Box<[u8]>,
    pub(super) decoder: BodyDecoder,
    pub(super) body: Vec<u8>,
    pub(super) collect: bool,
    pub(super) sink: Option<Box<dyn Sink<S>>>,
    /// A sink may be given for it.
    pub(super) streams: bool,
    /// The sink wants no more for now.
    pub(super) parked: bool,
    /// It wants more again.
    pub(super) woken: bool,
    /// The answer is out already: the rest of the body is only skipped.
    pub(super) answered: bool,
    /// The client waits for 100 before it sends the body.
    pub(super) expects: bool,
    pub(super) received: u64,
    pub(super) max: u64,
    pub(super) began: Time,
}

impl<S> Held<S> {
    /// `head` is copied if it is needed again.
    pub(super) fn new(head: &[u8], framing: Framing, max: u64, now: Time) -> Self {
        Self {
            head: head.into(),
            decoder: BodyDecoder::new(framing),
            body: Vec::new(),
            collect: false,
            sink: None,
            streams: false,
            parked: false,
            woken: false,
            answered: false,
            expects: false,
            received: 0,
            max,
            began: now,
        }
    }

    /// How long the next byte may take: the time without progress, and the least average rate.
    pub(super) fn wait(&self, config: &HttpConfig, now: Time) -> std::time::Duration {
        use std::time::Duration;
        let by_rate = match config.body_rate_min {
            0 => Duration::MAX,
            rate => {
                let earned = Duration::from_millis(self.received.saturating_mul(1000) / u64::from(rate));
                config.body_timeout.saturating_add(earned).saturating_sub(now - self.began)
            }
        };
        by_rate.min(config.body_timeout)
    }
}

/// What the log will be told of a request that is under way.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Copied when the request is gone from the buffer.
    pub(super) head: Box<[u8]>,
    pub(super) times: Times,
    pub(super) status: u16,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}
