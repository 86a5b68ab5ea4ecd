//! The sending half of one connection: frames straight into the transmit buffer, and what does not fit behind it.
//!
//! It keeps frames whole and in order, whoever sends them: the connection's own handler, or another one's through a
//! [`Sender`](super::Sender). It makes no decision about the connection.

use std::collections::VecDeque;
use std::fmt;

use super::close::{self, CloseCode};
use super::frame::{CONTROL_MAX, HEADER_MAX, Header, Opcode};
use crate::reactor::Output;

/// Why something was not sent. Nothing of it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendError {
    /// What waits for the peer to read is over its bound; `on_room` tells when it has gone.
    Full,
    /// A Close frame was sent, or the connection is gone.
    Closing,
    /// A message is being sent in fragments, and this is not the next of them.
    Unfinished,
    /// A ping's payload is over 125 bytes.
    TooLong,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too much waits for the peer to read",
            Self::Closing => "the connection is closing or gone",
            Self::Unfinished => "a message in fragments is not at its end",
            Self::TooLong => "the payload is too long for a control frame",
        })
    }
}

impl std::error::Error for SendError {}

/// Frames on their way to the peer.
#[derive(Debug)]
pub(super) struct Outbox {
    /// What did not fit the transmit buffer.
    rest: VecDeque<u8>,
    max: usize,
    /// What the fragments that were sent began as, until their last.
    part: Option<Opcode>,
    closed: Option<CloseCode>,
    /// The connection is no more.
    gone: bool,
}

impl Outbox {
    /// Keeps at most `max` bytes waiting, or one frame of any size.
    pub(super) const fn new(max: usize) -> Self {
        Self { rest: VecDeque::new(), max, part: None, closed: None, gone: false }
    }

    /// Whether all that was sent stands in the transmit buffer or beyond.
    pub(super) fn is_clear(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes that wait behind the transmit buffer.
    pub(super) fn waiting(&self) -> usize {
        self.rest.len()
    }

    /// The code of the Close frame that was sent.
    pub(super) const fn closed(&self) -> Option<CloseCode> {
        self.closed
    }

    /// Nothing can be sent any more.
    pub(super) fn end(&mut self) {
        self.gone = true;
        self.rest = VecDeque::new();
    }

    /// Sends a message, or one fragment of it. `tx` is `None` when the transmit buffer cannot be reached now.
    pub(super) fn data(
        &mut self,
        tx: Option<&mut Output<'_>>,
        kind: Opcode,
        payload: &[u8],
        fragment: Option<bool>,
    ) -> Result<(), SendError> {
        self.may_send(payload.len())?;
        let opcode = match (self.part, fragment) {
            (None, _) => kind,
            (Some(begun), Some(_)) if begun == kind => Opcode::Continuation,
            (Some(_), _) => return Err(SendError::Unfinished),
        };
        let fin = fragment.unwrap_or(true);
        self.part = (!fin).then_some(kind);
        self.frame(tx, fin, opcode, payload);
        Ok(())
    }

    /// Sends a ping; it may come between fragments.
    pub(super) fn ping(&mut self, tx: Option<&mut Output<'_>>, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > CONTROL_MAX {
            return Err(SendError::TooLong);
        }
        self.may_send(payload.len())?;
        self.frame(tx, true, Opcode::Ping, payload);
        Ok(())
    }

    /// Answers a ping. Without a bound of its own: nothing is read while anything waits, so one pong waits at most.
    pub(super) fn pong(&mut self, tx: &mut Output<'_>, payload: &[u8]) {
        if self.closed.is_none() && !self.gone {
            self.frame(Some(tx), true, Opcode::Pong, payload);
        }
    }

    /// Sends the Close frame, once; `None` sends one without a code. Whether it is the first.
    pub(super) fn close(
        &mut self,
        tx: Option<&mut Output<'_>>,
        code: Option<CloseCode>,
        reason: &str,
    ) -> bool {
        if self.closed.is_some() || self.gone {
            return false;
        }
        self.closed = Some(code.unwrap_or(CloseCode::NORMAL));
        let mut payload = [0; CONTROL_MAX];
        let n = code.map_or(0, |code| close::write(code, reason, &mut payload));
        self.frame(tx, true, Opcode::Close, payload.get(..n).unwrap_or_default());
        true
    }

    /// Moves what waits into the transmit buffer; whether nothing waits any more.
    pub(super) fn flush(&mut self, tx: &mut Output<'_>) -> bool {
        while !self.rest.is_empty() {
            let (first, _) = self.rest.as_slices();
            let (len, n) = (first.len(), tx.write(first));
            self.rest.drain(..n);
            if n < len {
                return false;
            }
        }
        // An empty queue keeps no memory.
        self.rest = VecDeque::new();
        true
    }

    fn may_send(&self, len: usize) -> Result<(), SendError> {
        if self.closed.is_some() || self.gone {
            return Err(SendError::Closing);
        }
        let more = self.waiting().saturating_add(len).saturating_add(HEADER_MAX);
        if !self.is_clear() && more > self.max { Err(SendError::Full) } else { Ok(()) }
    }

    fn frame(&mut self, tx: Option<&mut Output<'_>>, fin: bool, opcode: Opcode, payload: &[u8]) {
        let (header, n) = Header { fin, opcode, mask: None, len: payload.len() as u64 }.encode();
        let parts = [header.get(..n).unwrap_or_default(), payload];
        let mut tx = tx.filter(|_| self.rest.is_empty());
        for part in parts {
            let sent = match &mut tx {
                Some(tx) if self.rest.is_empty() => tx.write(part),
                _ => 0,
            };
            self.rest.extend(part.get(sent..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::websocket::checks::{Told, arrivals};
    use crate::proto::websocket::frame::Sender;
    use crate::proto::websocket::{Limits, fault::Fault};
    use crate::reactor::buffer::{BLOCK, Buf, Pool};

    /// A transmit buffer whose peer reads when it is told to.
    struct Wire {
        buf: Buf,
        starved: bool,
        read: Vec<u8>,
    }

    impl Wire {
        fn new() -> Self {
            let mut buf = Buf::default();
            buf.attach(&mut Pool::default());
            Self { buf, starved: false, read: Vec::new() }
        }

        fn tx(&mut self) -> Output<'_> {
            Output { buf: &mut self.buf, starved: &mut self.starved, open: true }
        }

        fn read(&mut self, n: usize) {
            let n = n.min(self.buf.len());
            self.read.extend_from_slice(&self.buf.bytes()[..n]);
            self.buf.consume(n);
        }

        fn told(&self) -> (Vec<Told>, Option<Fault>) {
            let limits = Limits { message_bytes_max: 1 << 22, frame_bytes_max: 1 << 22 };
            arrivals(&self.read, &[], Sender::Server, limits)
        }
    }

    #[test]
    fn a_message_of_many_buffers_goes_out_as_the_peer_reads() {
        let (mut wire, mut out) = (Wire::new(), Outbox::new(1000));
        let message = vec![7; 1 << 20];
        assert_eq!(out.data(Some(&mut wire.tx()), Opcode::Binary, &message, None), Ok(()));
        assert_eq!(out.waiting(), message.len() + 10 - BLOCK);
        assert_eq!(out.data(Some(&mut wire.tx()), Opcode::Binary, b"x", None), Err(SendError::Full));
        while !out.flush(&mut wire.tx()) {
            wire.read(10_000);
        }
        assert!(wire.starved, "the reactor was told that there was no room");
        assert_eq!(out.data(Some(&mut wire.tx()), Opcode::Text, b"x", None), Ok(()));
        while !out.flush(&mut wire.tx()) || !wire.buf.is_empty() {
            wire.read(10_000);
        }
        assert_eq!(wire.told(), (vec![Told::Binary(message), Told::Text("x".into())], None));
    }

    #[test]
    fn what_others_send_never_cuts_a_frame() {
        let (mut wire, mut out) = (Wire::new(), Outbox::new(100_000));
        let message = vec![b'a'; BLOCK + 5000];
        assert_eq!(out.data(Some(&mut wire.tx()), Opcode::Text, &message, None), Ok(()));
        wire.read(30_000);
        // There is room in the buffer now, but the first message is not in it whole.
        assert_eq!(out.data(Some(&mut wire.tx()), Opcode::Text, b"second", None), Ok(()));
        assert_eq!(out.data(None, Opcode::Text, b"third", None), Ok(()));
        assert!(out.flush(&mut wire.tx()));
        wire.read(usize::MAX);
        let texts = [String::from_utf8(message).unwrap(), "second".into(), "third".into()];
        assert_eq!(wire.told(), (texts.into_iter().map(Told::Text).collect(), None));
    }

    #[test]
    fn what_waits_is_bounded_to_the_byte() {
        let mut out = Outbox::new(1000);
        assert_eq!(out.data(None, Opcode::Binary, &[0; 5000], None), Ok(()), "one frame of any size");
        let mut out = Outbox::new(1000);
        assert_eq!(out.data(None, Opcode::Binary, &[0; 500], None), Ok(()));
        let left = 1000 - out.waiting() - HEADER_MAX;
        assert_eq!(out.data(None, Opcode::Binary, &vec![0; left + 1], None), Err(SendError::Full));
        assert_eq!(out.data(None, Opcode::Binary, &vec![0; left], None), Ok(()));
        assert_eq!(out.ping(None, b""), Err(SendError::Full));
    }

    #[test]
    fn fragments_are_one_message_between_which_only_control_frames_come() {
        let (mut wire, mut out) = (Wire::new(), Outbox::new(1000));
        let mut tx = wire.tx();
        assert_eq!(out.data(Some(&mut tx), Opcode::Text, b"a", Some(false)), Ok(()));
        assert_eq!(out.data(Some(&mut tx), Opcode::Text, b"x", None), Err(SendError::Unfinished));
        assert_eq!(out.data(Some(&mut tx), Opcode::Binary, b"x", Some(false)), Err(SendError::Unfinished));
        assert_eq!(out.ping(Some(&mut tx), b"!"), Ok(()));
        out.pong(&mut tx, b"?");
        assert_eq!(out.data(Some(&mut tx), Opcode::Text, b"", Some(false)), Ok(()));
        assert_eq!(out.data(Some(&mut tx), Opcode::Text, b"b", Some(true)), Ok(()));
        assert_eq!(out.data(Some(&mut tx), Opcode::Binary, b"c", None), Ok(()));
        wire.read(usize::MAX);
        let (ping, pong) = (Told::Ping(b"!".to_vec()), Told::Pong(b"?".to_vec()));
        let want = vec![ping, pong, Told::Text("ab".into()), Told::Binary(b"c".to_vec())];
        assert_eq!(wire.told(), (want, None));
    }

    #[test]
    fn nothing_is_sent_behind_a_close() {
        let (mut wire, mut out) = (Wire::new(), Outbox::new(1000));
        let mut tx = wire.tx();
        assert_eq!(out.ping(Some(&mut tx), &[0; 126]), Err(SendError::TooLong));
        assert!(out.close(Some(&mut tx), Some(CloseCode::GOING_AWAY), "bye"));
        assert!(!out.close(Some(&mut tx), Some(CloseCode::NORMAL), ""));
        assert_eq!(out.data(Some(&mut tx), Opcode::Text, b"x", None), Err(SendError::Closing));
        assert_eq!(out.ping(Some(&mut tx), b""), Err(SendError::Closing));
        out.pong(&mut tx, b"");
        assert_eq!(out.closed(), Some(CloseCode::GOING_AWAY));
        wire.read(usize::MAX);
        assert_eq!(wire.told(), (vec![Told::Close(Some((1001, "bye".into())))], None));
    }
}
