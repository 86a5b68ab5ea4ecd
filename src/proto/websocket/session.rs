//! One WebSocket connection: what comes is decoded and told, in order; deadlines are kept; the end is a handshake.
//!
//! It joins the pure parts (`decode`, `outbox`, `pulse`) on an upgraded connection and owns what becomes of it.
//! Messages are told only while nothing of ours waits for the peer to read: that is the backpressure.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::close::{CloseCode, CloseFrame};
use super::decode::{Decoder, Event, Limits};
use super::fault::{self, Fault};
use super::frame;
use super::handler::{Closed, WebSocket};
use super::outbox::Outbox;
use super::pulse::{Beat, Bounds, Pulse};
use super::socket::Socket;
use crate::proto::http1::{Cx, Raw, RawIo};
use crate::reactor::class::Class;
use crate::reactor::{Report, Time};

/// What a session is told when it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) queue_bytes_max: usize,
    pub(super) bounds: Bounds,
    pub(super) close_timeout: Duration,
}

/// What the peer's Close frame said.
#[derive(Debug)]
struct Goodbye {
    code: u16,
    reason: Box<str>,
}

/// The protocol on one upgraded connection.
pub(super) struct Session<W> {
    handler: W,
    decoder: Decoder,
    out: Rc<RefCell<Outbox>>,
    protocol: Option<Box<str>>,
    terms: Terms,
    pulse: Pulse,
    /// When the timer is set to fire.
    armed: Option<Time>,
    goodbye: Option<Goodbye>,
    /// The connection ends, with this failure if any, as soon as all that was sent is on its way.
    ending: Option<Option<&'static Class>>,
}

impl<W> fmt::Debug for Session<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("out", &self.out)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

impl<W> Session<W> {
    pub(super) fn new(handler: W, terms: Terms, protocol: Option<&str>) -> Self {
        Self {
            handler,
            decoder: Decoder::new(frame::Sender::Client, terms.limits),
            out: Rc::new(RefCell::new(Outbox::new(terms.queue_bytes_max))),
            protocol: protocol.map(Into::into),
            terms,
            pulse: Pulse::new(terms.bounds, Time::ZERO),
            armed: None,
            goodbye: None,
            ending: None,
        }
    }

    /// Calls the handler.
    fn tell<S: 'static>(
        &mut self,
        state: &mut S,
        io: &mut RawIo<'_, S>,
        f: impl FnOnce(&mut W, &mut S, &mut Socket<'_, '_, S>),
    ) {
        let protocol = self.protocol.as_deref();
        let mut socket = Socket { io, out: &self.out, protocol, close_timeout: self.terms.close_timeout };
        f(&mut self.handler, state, &mut socket);
    }

    /// Decodes and tells what is there, until something of ours has to wait.
    fn receive<S: 'static>(&mut self, state: &mut S, io: &mut RawIo<'_, S>)
    where
        W: WebSocket<S>,
    {
        let mut heard = false;
        while self.ending.is_none() && self.out.borrow_mut().flush(&mut io.tx) {
            let step = self.decoder.decode(io.rx.bytes());
            let (n, event) = match step {
                Ok(step) => step,
                Err(fault) => {
                    self.fail(&fault, io);
                    break;
                }
            };
            io.rx.consume(n);
            heard |= n > 0;
            let Some(event) = event else { break };
            let protocol = self.protocol.as_deref();
            let open = self.out.borrow().closed().is_none();
            let socket =
                &mut Socket { io, out: &self.out, protocol, close_timeout: self.terms.close_timeout };
            match event {
                Event::Close(said) => {
                    self.goodbye = Some(Goodbye {
                        code: said.map_or(1005, |said| said.code.as_u16()),
                        reason: said.map_or("", |said| said.reason).into(),
                    });
                    let CloseFrame { code, .. } =
                        said.unwrap_or(CloseFrame { code: CloseCode::NORMAL, reason: "" });
                    self.out.borrow_mut().close(Some(&mut io.tx), said.map(|_| code), "");
                    self.end(None, io);
                }
                // After our Close nothing but the peer's counts (section 5.5.1).
                _ if !open => {}
                Event::Text(text) => self.handler.on_text(state, socket, text),
                Event::Binary(data) => self.handler.on_binary(state, socket, data),
                Event::Ping(payload) => {
                    self.out.borrow_mut().pong(&mut socket.io.tx, payload);
                    self.handler.on_ping(state, socket, payload);
                }
                Event::Pong(payload) => self.handler.on_pong(state, socket, payload),
            }
        }
        if self.ending.is_some() {
            // Whatever it is, nobody reads it, and the peer must not wait for room to send it.
            io.rx.consume(usize::MAX);
        } else if heard {
            self.pulse.heard(io.now(), self.decoder.arriving());
        }
        self.arm(io);
    }

    /// Something that was put aside may fit now. Whether it did, all of it.
    fn flush<S: 'static>(&mut self, io: &mut RawIo<'_, S>) -> bool {
        self.out.borrow_mut().flush(&mut io.tx)
    }

    /// Tells the peer of its fault and ends the connection (section 7.1.7).
    fn fail<S: 'static>(&mut self, fault: &Fault, io: &mut RawIo<'_, S>) {
        log::debug!("websocket {:?}: {} ({})", io.id(), fault.reason, fault.class);
        self.out.borrow_mut().close(Some(&mut io.tx), Some(fault.code), fault.reason);
        self.end(Some(fault.class), io);
    }

    /// Ends the connection, when all that was sent is on its way.
    fn end<S: 'static>(&mut self, class: Option<&'static Class>, io: &mut RawIo<'_, S>) {
        let class = *self.ending.get_or_insert(class);
        if !self.flush(io) {
            return io.set_deadline(Some(self.terms.close_timeout));
        }
        match class {
            Some(class) => io.close_as(class),
            None => io.close(),
        }
    }

    /// Sets the timer, if it has to fire earlier than it will. One that fires too early is set again.
    fn arm<S: 'static>(&mut self, io: &mut RawIo<'_, S>) {
        if self.ending.is_some() || self.out.borrow().closed().is_some() {
            return;
        }
        let Some(due) = self.pulse.due() else { return };
        if self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            io.set_timer(Some(due - io.now()));
        }
    }
}

impl<S: 'static, W: WebSocket<S>> Raw<S> for Session<W> {
    fn on_open(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        self.pulse = Pulse::new(self.terms.bounds, io.now());
        // Pings find out whether the peer lives; without them the idle deadline of the listener does.
        io.set_busy(self.terms.bounds.ping_interval.is_some());
        self.tell(state, io, |handler, state, socket| handler.on_open(state, socket));
        self.flush(io);
        self.arm(io);
    }

    fn on_data(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        self.receive(state, io);
    }

    fn on_room(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        if let Some(class) = self.ending {
            return self.end(class, io);
        }
        let waited = !self.out.borrow().is_clear();
        if !self.flush(io) {
            return;
        }
        if waited && self.out.borrow().closed().is_none() {
            self.pulse.blocked(io.now());
            self.tell(state, io, |handler, state, socket| handler.on_room(state, socket));
        }
        self.receive(state, io);
    }

    fn on_eof(&mut self, _state: &mut S, io: &mut RawIo<'_, S>) {
        if self.ending.is_some() || self.out.borrow().closed().is_some() {
            // It has not answered our Close, but it has gone, as it was asked to.
            self.end(None, io);
        } else {
            self.end(Some(fault::NO_CLOSE.class), io);
        }
    }

    fn on_timer(&mut self, _state: &mut S, io: &mut RawIo<'_, S>) {
        self.armed = None;
        if self.ending.is_some() || self.out.borrow().closed().is_some() {
            return;
        }
        let now = io.now();
        if !self.flush(io) || !io.tx.is_empty() {
            // A ping would be stuck behind what the peer does not read.
            self.pulse.blocked(now);
        }
        match self.pulse.beat(now) {
            Beat::Rest => {}
            Beat::Ping => {
                // It cannot be refused: nothing waits, else the pulse would have been told that it is blocked.
                let _ = self.out.borrow_mut().ping(Some(&mut io.tx), b"");
            }
            Beat::Fail(fault) => self.fail(&fault, io),
        }
        self.arm(io);
    }

    fn on_deadline(&mut self, _state: &mut S, io: &mut RawIo<'_, S>) {
        // The close handshake took too long: what is still to be sent has had its time.
        io.close_as(self.ending.flatten().unwrap_or(fault::CLOSE_TIMEOUT.class));
    }

    fn on_drain(&mut self, state: &mut S, io: &mut RawIo<'_, S>) {
        if self.ending.is_none() && self.out.borrow().closed().is_none() {
            self.tell(state, io, |handler, state, socket| handler.on_drain(state, socket));
            self.flush(io);
        }
    }

    fn on_close(mut self: Box<Self>, state: &mut S, report: &Report, cx: &mut Cx<'_, S>) {
        let sent = self.out.borrow().closed();
        self.out.borrow_mut().end();
        let (code, reason) = self.goodbye.as_ref().map_or((1006, ""), |said| (said.code, &*said.reason));
        let closed = Closed { code, reason, sent, report };
        self.handler.on_close(state, &closed, cx);
    }
}

#[cfg(test)]
mod tests;
