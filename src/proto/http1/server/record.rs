//! What becomes of each request, for logs: its status, its bytes, where its time went, and how it ended.
//!
//! Nothing is kept when nobody listens. All times are differences of turn stamps in nanoseconds, so that the parts of
//! a request and of its answer add up exactly to the time between its first byte and the answer's last.

use crate::proto::http1::head::Head;
use crate::reactor::class::Class;
use crate::reactor::{By, CloseReason, ConnId, Deadline, Peer, Time, close};

/// Is told of every request when its answer is over, or its connection has ended.
///
/// ```
/// use tidemill::http::{Log, Record, Server};
///
/// struct Slow;
///
/// impl Log for Slow {
///     fn record(&mut self, record: &Record<'_>) {
///         let code = record.end.code();
///         if record.total() > 100_000_000 {
///             log::info!("{} ended {} after {} ns", record.status, code.escape_ascii(), record.total());
///         }
///     }
/// }
///
/// let server = Server::new(()).fixed("/", "hello").log(Box::new(Slow)).build().unwrap();
/// # drop(server);
/// ```
pub trait Log: 'static {
    /// One request. Called on the loop: take what you need and return.
    fn record(&mut self, record: &Record<'_>);
}

/// One request and its answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// The head; `None` when it was malformed or never whole.
    pub head: Option<&'a Head<'a>>,
    /// Its connection.
    pub conn: ConnId,
    /// Who asked.
    pub peer: Peer,
    /// When the answer was over, in seconds since 1970.
    pub unix_time: u64,
    /// The number of the request on its connection, from 1.
    pub nth: u32,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// Bytes of the request's body, without its coding.
    pub bytes_in: u64,
    /// Bytes of the answer's body, without its coding.
    pub bytes_out: u64,
    /// The request: its line, its fields, its body, in nanoseconds. A body that was answered before it came is `None`.
    pub request: [Option<u64>; 3],
    /// The answer: until its status line, its fields, its body, in nanoseconds.
    pub response: [Option<u64>; 3],
    /// Who ended it, in which phase.
    pub end: End,
    /// The failure, when it was one.
    pub class: Option<&'static Class>,
}

impl Record<'_> {
    /// The sum of all parts, in nanoseconds.
    pub fn total(&self) -> u64 {
        self.request.iter().chain(&self.response).flatten().fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// Who ended an exchange, and in which phase: two letters in logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Who.
    pub who: Who,
    /// When.
    pub phase: Phase,
}

/// Who ended an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Who {
    /// Nobody: it came to its end.
    Done = b'-',
    /// The client, or the network between.
    Client = b'C',
    /// A deadline.
    Timeout = b'T',
    /// A bound, or a fault in what the client sent.
    Limit = b'L',
    /// The server: a panic, an abort, a file that was cut.
    Server = b'S',
    /// The drain of the server.
    Drain = b'D',
}

/// The phase in which an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// It was over.
    Done = b'-',
    /// The request's head was coming.
    RequestHead = b'R',
    /// Its body was coming.
    RequestBody = b'B',
    /// The answer was waited for.
    Waiting = b'W',
    /// The answer's head was being sent.
    ResponseHead = b'H',
    /// The answer's body was being sent.
    ResponseBody = b'D',
}

impl End {
    /// It came to its end.
    pub const DONE: Self = Self { who: Who::Done, phase: Phase::Done };

    /// The two letters.
    pub const fn code(self) -> [u8; 2] {
        [self.who as u8, self.phase as u8]
    }

    /// Who is to blame for the end of a connection.
    pub(super) fn who(reason: &CloseReason) -> Who {
        let ours = [&close::FILE_TRUNCATED, &close::FILE_UNREADABLE, &close::TASK_PANICKED];
        if reason.class.is_some_and(|class| ours.contains(&class)) {
            return Who::Server;
        }
        match (reason.by, reason.deadline) {
            (_, Some(Deadline::Drain)) => Who::Drain,
            (_, Some(_)) => Who::Timeout,
            (By::Peer, None) => Who::Client,
            (By::Us, None) => Who::Server,
            (By::Reactor, None) => Who::Limit,
        }
    }

    /// Who is to blame for a fault that is answered with this status.
    pub(super) const fn of_fault(status: u16, truncated: bool) -> Who {
        match status {
            408 | 503 => Who::Timeout,
            _ if truncated => Who::Client,
            _ => Who::Limit,
        }
    }
}

/// The stamps of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) began: Time,
    /// The request line was whole.
    pub(super) line: Time,
    /// The head was whole.
    pub(super) head: Time,
    /// The body was whole, if there was one.
    pub(super) body: Option<Time>,
    /// The answer's head was written.
    pub(super) answered: Option<Time>,
}

impl Times {
    /// The parts of the request, and those of an answer that ended at `end`, with a body or without.
    pub(super) fn parts(&self, end: Time, has_body: bool) -> ([Option<u64>; 3], [Option<u64>; 3]) {
        let line = Some(self.line.since(self.began));
        let fields = Some(self.head.since(self.line));
        // An answer that came first leaves no time to the body.
        let body = self.body.filter(|body| self.answered.is_none_or(|answered| *body <= answered));
        let begun = body.unwrap_or(self.head);
        let request = [line, fields, body.map(|body| body.since(self.head))];
        let Some(answered) = self.answered else {
            return (request, [Some(end.since(begun)), None, None]);
        };
        let rest = end.since(answered);
        // The head goes out in one piece with whatever follows it: a body, if there is one, has its time.
        let (head, body) = if has_body { (0, Some(rest)) } else { (rest, None) };
        (request, [Some(answered.since(begun)), Some(head), body])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    #[test]
    fn parts_add_up_to_the_time_between_first_and_last_byte() {
        let times =
            Times { began: at(10), line: at(11), head: at(13), body: Some(at(17)), answered: Some(at(25)) };
        let early = Times { answered: Some(at(15)), ..times };
        let never = Times { answered: None, ..times };
        let bare = Times { body: None, ..times };
        for times in [times, early, never, bare] {
            for has_body in [false, true] {
                let (request, response) = times.parts(at(60), has_body);
                let sum: u64 = request.iter().chain(&response).flatten().sum();
                assert_eq!(sum, 50, "{times:?}");
            }
        }
        assert_eq!(times.parts(at(60), true), ([Some(1), Some(2), Some(4)], [Some(8), Some(0), Some(35)]));
        assert_eq!(early.parts(at(60), true).0, [Some(1), Some(2), None]);
    }

    #[test]
    fn codes_are_two_letters() {
        assert_eq!(&End::DONE.code(), b"--");
        assert_eq!(&End { who: Who::Client, phase: Phase::ResponseBody }.code(), b"CD");
    }
}
