//! What a handler sends with: [`Socket`] on its own connection, during a call; [`Sender`] on any, at any time.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::close::CloseCode;
use super::frame::Opcode;
use super::outbox::{Outbox, SendError};
use crate::proto::http1::{Cx, RawIo};
use crate::reactor::{ConnId, Peer, Time};

/// The connection of the call that is running.
///
/// Each verb sends whole or not at all. What the transmit buffer does not hold is kept, up to `queue_bytes_max`; while
/// any of it is kept, no more messages of this peer are told, so a handler that answers each message with one of any
/// size is never refused.
pub struct Socket<'s, 'a, S: 'static> {
    pub(super) io: &'s mut RawIo<'a, S>,
    pub(super) out: &'s Rc<RefCell<Outbox>>,
    pub(super) protocol: Option<&'s str>,
    pub(super) close_timeout: Duration,
}

impl<S: 'static> fmt::Debug for Socket<'_, '_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("io", &self.io)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl<'a, S: 'static> Socket<'_, 'a, S> {
    /// Sends a text message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn text(&mut self, text: &str) -> Result<(), SendError> {
        self.out.borrow_mut().data(Some(&mut self.io.tx), Opcode::Text, text.as_bytes(), None)
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn binary(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.out.borrow_mut().data(Some(&mut self.io.tx), Opcode::Binary, data, None)
    }

    /// Sends the next fragment of a text message, which ends with the `last`. For messages that are made while they
    /// are sent: go on while [`Socket::is_clear`], and again in `on_room`.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn text_fragment(&mut self, text: &str, last: bool) -> Result<(), SendError> {
        self.out.borrow_mut().data(Some(&mut self.io.tx), Opcode::Text, text.as_bytes(), Some(last))
    }

    /// As [`Socket::text_fragment`], of a binary message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn binary_fragment(&mut self, data: &[u8], last: bool) -> Result<(), SendError> {
        self.out.borrow_mut().data(Some(&mut self.io.tx), Opcode::Binary, data, Some(last))
    }

    /// Sends a ping of at most 125 bytes. Those that find out whether the peer lives are sent without asking.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.out.borrow_mut().ping(Some(&mut self.io.tx), payload)
    }

    /// Begins the close handshake: nothing more can be sent, no more messages are told, and the connection ends when
    /// the peer has answered, or after `close_timeout`. A reason is at most 123 bytes; a longer one is cut. The second
    /// call does nothing.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if self.out.borrow_mut().close(Some(&mut self.io.tx), Some(code), reason) {
            self.io.set_timer(None);
            self.io.set_deadline(Some(self.close_timeout));
        }
    }

    /// Whether all that was sent has found room in the transmit buffer, so that something of any size can be sent.
    pub fn is_clear(&self) -> bool {
        self.out.borrow().is_clear()
    }

    /// Whether a Close frame was sent.
    pub fn is_closing(&self) -> bool {
        self.out.borrow().closed().is_some()
    }

    /// For sending to this connection from the calls of others, and from tasks.
    pub fn sender(&self) -> Sender {
        Sender { id: self.id(), out: Rc::clone(self.out), close_timeout: self.close_timeout }
    }

    /// The subprotocol that was agreed on in the handshake.
    pub const fn protocol(&self) -> Option<&str> {
        self.protocol
    }

    /// This connection.
    pub const fn id(&self) -> ConnId {
        self.io.id()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.io.peer()
    }

    /// The last stamp.
    pub fn now(&self) -> Time {
        self.io.now()
    }

    /// Other connections, tasks and answers.
    pub const fn cx(&mut self) -> &mut Cx<'a, S> {
        &mut self.io.cx
    }
}

/// Sends to one connection from anywhere on its reactor: keep one for each member of a room, and drop it in
/// `on_close`. Cheap to clone. It stays on its thread; others come in by a
/// [`Handle`](crate::reactor::Handle).
#[derive(Clone, Debug)]
pub struct Sender {
    id: ConnId,
    out: Rc<RefCell<Outbox>>,
    close_timeout: Duration,
}

impl Sender {
    /// The connection.
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent. [`SendError::Full`] tells of a member who reads too slowly: leave the message
    /// out, or close.
    pub fn text<S: 'static>(&self, cx: &mut Cx<'_, S>, text: &str) -> Result<(), SendError> {
        self.send(cx, Opcode::Text, text.as_bytes())
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As [`Sender::text`].
    pub fn binary<S: 'static>(&self, cx: &mut Cx<'_, S>, data: &[u8]) -> Result<(), SendError> {
        self.send(cx, Opcode::Binary, data)
    }

    /// As [`Socket::close`].
    pub fn close<S: 'static>(&self, cx: &mut Cx<'_, S>, code: CloseCode, reason: &str) {
        let closed = {
            let mut tx = cx.table().output(self.id);
            self.out.borrow_mut().close(tx.as_mut(), Some(code), reason)
        };
        if closed {
            cx.table().set_timer(self.id, None);
            cx.table().set_deadline(self.id, Some(self.close_timeout));
        }
    }

    /// Bytes that wait because the peer does not read, beyond the transmit buffer.
    pub fn waiting(&self) -> usize {
        self.out.borrow().waiting()
    }

    fn send<S: 'static>(&self, cx: &mut Cx<'_, S>, kind: Opcode, payload: &[u8]) -> Result<(), SendError> {
        if !cx.table().is_live(self.id) {
            return Err(SendError::Closing);
        }
        let mut tx = cx.table().output(self.id);
        self.out.borrow_mut().data(tx.as_mut(), kind, payload, None)
    }
}
