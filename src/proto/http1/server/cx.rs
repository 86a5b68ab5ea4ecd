//! What an application may do besides answering the request before it: later answers, pushed bodies, tasks.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::exchange::{Outgoing, Ticket};
use super::record::Log;
use super::stream::BodyWriter;
use super::{Http, HttpConfig};
use crate::proto::http1::response::Response;
use crate::reactor::{Completer, ConnId, Handle, Missed, Peer, Table, TaskError, TaskId, Time};

/// What the server and every [`Cx`] share.
pub(super) struct Shared {
    pub(super) config: HttpConfig,
    pub(super) log: Option<Box<dyn Log>>,
    /// For the connection whose callback is running, which cannot be reached by its id.
    pub(super) inbox: VecDeque<(Ticket, Command)>,
}

impl Shared {
    /// Whether the callback that is running has answered its own request by its ticket.
    pub(super) fn is_answered(&self, ticket: Ticket) -> bool {
        let answers = |(to, said): &(Ticket, Command)| *to == ticket && matches!(said, Command::Respond(_));
        self.inbox.iter().any(answers)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).field("logs", &self.log.is_some()).finish()
    }
}

/// What was said to a request by its ticket.
pub(super) enum Command {
    Respond(Response),
    Write(Vec<u8>),
    End,
    Wake,
}

/// Every other verb of an application: it reaches all connections of its server, and the reactor's tasks.
///
/// ```
/// use std::time::Duration;
/// use tidemill::http::{Answer, Server};
///
/// // Answers after a second, and counts those who have waited.
/// let server = Server::new(0_u32).get("/slow", |_, _, cx| {
///     let ticket = cx.ticket();
///     cx.call_later(Duration::from_secs(1), move |waited, cx| {
///         *waited += u32::from(cx.respond(ticket, "here it is"));
///     });
///     Answer::later()
/// });
/// # server.build().unwrap();
/// ```
pub struct Cx<'a, S: 'static> {
    pub(super) table: Table<'a, Http<S>>,
    pub(super) shared: &'a mut Shared,
    pub(super) ticket: Ticket,
}

impl<S: 'static> fmt::Debug for Cx<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("ticket", &self.ticket).finish()
    }
}

/// Answers and bodies.
impl<S: 'static> Cx<'_, S> {
    /// The request that this call is about, or the connection in a protocol of one's own. In a task: a ticket that
    /// names nothing.
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether a request still waits for its answer, or its answer for its end.
    pub fn is_open(&mut self, ticket: Ticket) -> bool {
        if !self.table.is_live(ticket.id) {
            return false;
        }
        match self.table.conn(ticket.id) {
            Some(ex) => ex.nth == ticket.nth && ex.job.is_some(),
            None => ticket == self.ticket,
        }
    }

    /// Answers a request that was left for [`later`](crate::proto::http1::Reply::later), or whose body is still coming. The first
    /// answer counts; false when there is no such request any more.
    pub fn respond(&mut self, ticket: Ticket, response: impl Into<Response>) -> bool {
        self.tell(ticket, Command::Respond(response.into()))
    }

    /// Writes to a body that is [pushed](crate::proto::http1::Reply::push) into, as much as fits, and says how much that was: with
    /// a peer that reads too slowly it is less, and the rest is the caller's to drop or to keep. `None` when there is
    /// no such body any more.
    pub fn write(&mut self, ticket: Ticket, bytes: &[u8]) -> Option<usize> {
        self.push(ticket, bytes, false)
    }

    /// As [`Cx::write`], but all or nothing: whether it was written.
    pub fn write_whole(&mut self, ticket: Ticket, bytes: &[u8]) -> Option<bool> {
        self.push(ticket, bytes, true).map(|n| n == bytes.len())
    }

    /// Ends a body that is pushed into.
    pub fn end(&mut self, ticket: Ticket) -> bool {
        self.tell(ticket, Command::End)
    }

    /// Asks a [`Source`](super::Source) or [`Sink`](super::Sink) that waits to go on.
    pub fn wake(&mut self, ticket: Ticket) -> bool {
        self.tell(ticket, Command::Wake)
    }

    /// Cuts the connection of a request, with RST.
    pub fn abort(&mut self, ticket: Ticket) -> bool {
        self.is_open(ticket) && self.table.abort(ticket.id)
    }

    /// The right to answer a request from another thread, once. Dropped, it answers 500.
    pub fn responder(&mut self, ticket: Ticket) -> Responder {
        let done =
            move |http: &mut Http<S>, answer: Result<Response, TaskError>, table: &mut Table<'_, _>| {
                http.in_task(table, |_, cx| {
                    let answer = answer.unwrap_or_else(|_| {
                        if cx.is_open(ticket) {
                            log::error!("a responder was dropped without an answer");
                        }
                        Response::from(500)
                    });
                    cx.respond(ticket, answer);
                });
            };
        Responder { ticket, completer: self.table.expect(None, done) }
    }

    fn push(&mut self, ticket: Ticket, bytes: &[u8], whole: bool) -> Option<usize> {
        if !self.table.is_live(ticket.id) {
            return None;
        }
        let Some(ex) = self.table.conn(ticket.id).filter(|ex| ex.nth == ticket.nth) else {
            let own = ticket == self.ticket;
            if own {
                self.shared.inbox.push_back((ticket, Command::Write(bytes.to_vec())));
            }
            return own.then_some(bytes.len());
        };
        let job = ex.job.as_mut()?;
        let waits = job.rest.is_some();
        let Outgoing::Push(push) = &mut job.outgoing else { return None };
        if push.ending {
            return None;
        }
        push.busy = true;
        let mut coding = push.coding;
        let (mut sent, mut n) = (0, 0);
        if !waits && let Some(tx) = self.table.output(ticket.id) {
            let mut body = BodyWriter::new(tx, &mut coding, &mut sent);
            n = if !whole || bytes.len() <= body.room() { body.write(bytes) } else { 0 };
        }
        if let Some(job) = self.table.conn(ticket.id).and_then(|ex| ex.job.as_mut()) {
            if let Some(trace) = &mut job.trace {
                trace.bytes_out += sent;
            }
            if let Outgoing::Push(push) = &mut job.outgoing {
                push.coding = coding;
            }
        }
        Some(n)
    }

    fn tell(&mut self, ticket: Ticket, command: Command) -> bool {
        if !self.table.is_live(ticket.id) {
            return false;
        }
        let Some(ex) = self.table.conn(ticket.id) else {
            let own = ticket == self.ticket;
            if own {
                self.shared.inbox.push_back((ticket, command));
            }
            return own;
        };
        let told = ex.nth == ticket.nth && ex.take(command);
        if told {
            self.table.wake(ticket.id);
        }
        told
    }
}

/// The connection and the server.
impl<'a, S: 'static> Cx<'a, S> {
    /// The last stamp.
    pub fn now(&self) -> Time {
        self.table.now()
    }

    /// The turn's time, in seconds since 1970.
    pub fn unix_time(&self) -> u64 {
        self.table.unix_time()
    }

    /// Whether the server drains.
    pub fn is_draining(&self) -> bool {
        self.table.is_draining()
    }

    /// Who is at the other end of a connection.
    pub fn peer_of(&self, id: ConnId) -> Option<Peer> {
        self.table.peer(id)
    }

    /// For other threads.
    pub fn handle(&self) -> Handle {
        self.table.handle()
    }

    /// The reactor's verbs on every connection of this server.
    pub const fn table(&mut self) -> &mut Table<'a, Http<S>> {
        &mut self.table
    }
}

/// Tasks: each gets the state and a [`Cx`].
impl<S: 'static> Cx<'_, S> {
    /// Calls `f` in the next turn.
    pub fn post(&mut self, f: impl FnOnce(&mut S, &mut Cx<'_, S>) + 'static) -> TaskId {
        self.table.post(move |http, table| http.in_task(table, f))
    }

    /// Calls `f` after a time.
    pub fn call_later(
        &mut self,
        after: Duration,
        f: impl FnOnce(&mut S, &mut Cx<'_, S>) + 'static,
    ) -> TaskId {
        self.table.call_later(after, move |http, table| http.in_task(table, f))
    }

    /// Calls `f` in every period. A beat that was missed is skipped.
    pub fn every(&mut self, period: Duration, mut f: impl FnMut(&mut S, &mut Cx<'_, S>) + 'static) -> TaskId {
        self.table.every(period, Missed::Skip, move |http, table| http.in_task(table, &mut f))
    }

    /// Cancels a task; whether there was one.
    pub fn cancel(&mut self, id: TaskId) -> bool {
        self.table.cancel(id)
    }

    /// Does `work` on a thread of the reactor's pool, then calls `done` with its result.
    ///
    /// # Errors
    /// [`TaskError::Full`]: the pool's queue is full, and `done` is not called.
    pub fn offload<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(&mut S, Result<T, TaskError>, &mut Cx<'_, S>) + 'static,
    ) -> Result<TaskId, TaskError> {
        self.table.offload(work, move |http, result, table| {
            http.in_task(table, |state, cx| done(state, result, cx));
        })
    }
}

/// Answers one request from any thread. Dropped, it answers 500.
///
/// ```
/// use tidemill::http::{Answer, Server};
///
/// let server = Server::new(()).get("/far", |_, _, cx| {
///     let responder = cx.responder(cx.ticket());
///     std::thread::spawn(move || responder.send("from another thread"));
///     Answer::later()
/// });
/// # server.build().unwrap();
/// ```
#[derive(Debug)]
pub struct Responder {
    ticket: Ticket,
    completer: Completer<Response>,
}

impl Responder {
    /// The request.
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Answers. False when the reactor is gone; whether the peer still is, the loop finds out.
    pub fn send(self, response: impl Into<Response>) -> bool {
        self.completer.complete(response.into())
    }
}
