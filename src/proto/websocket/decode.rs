//! Bytes to events (RFC 6455 sections 5.4 to 5.6): frames joined to messages, text checked as it comes.
//!
//! It holds at most one message, which grows with the bytes that are there and never with a length that is announced.
//! It answers nothing and knows no time.

use super::close::{self, CloseFrame};
use super::fault::{self, Fault};
use super::frame::{self, CONTROL_MAX, Header, Opcode, Sender};

/// A message buffer of up to so many bytes is kept between messages; a larger one is given back.
const KEEP: usize = 4096;

/// Bounds of what a peer may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a message, all its frames together: 1009 above. Default 1 MiB.
    pub message_bytes_max: usize,
    /// Bytes of the payload of one frame: 1009 above. Default 1 MiB.
    pub frame_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 1 << 20, frame_bytes_max: 1 << 20 }
    }
}

/// Something whole that the peer has sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// A Close frame: the last event. What follows it is dropped.
    Close(Option<CloseFrame<'a>>),
}

/// A data frame whose payload is arriving.
#[derive(Clone, Copy, Debug)]
struct Open {
    fin: bool,
    mask: Option<[u8; 4]>,
    /// Payload bytes that have come.
    phase: u64,
    /// And those that have not.
    left: u64,
}

/// Which event is due; what it borrows is added last.
enum Due {
    Message,
    Control(Opcode, usize),
}

/// The receiving half of a connection.
///
/// ```
/// use tidemill::proto::websocket::{Decoder, Event, Limits, frame::Sender};
///
/// let mut decoder = Decoder::new(Sender::Client, Limits::default());
/// let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]; // RFC 6455 section 5.7
/// assert_eq!(decoder.decode(&bytes[..8]), Ok((8, None)));
/// assert_eq!(decoder.decode(&bytes[8..]), Ok((3, Some(Event::Text("Hello")))));
/// ```
#[derive(Debug)]
pub struct Decoder {
    from: Sender,
    limits: Limits,
    /// The message so far, unmasked.
    message: Vec<u8>,
    /// Bytes of a text message that are known to be UTF-8.
    checked: usize,
    /// Text or Binary, while a message is under way.
    kind: Option<Opcode>,
    frame: Option<Open>,
    /// Data frames that have begun.
    frames: u64,
    /// The message was given out and goes at the next call.
    given: bool,
    control: [u8; CONTROL_MAX],
    fault: Option<Fault>,
    closed: bool,
}

impl Decoder {
    /// Reads what `from` sends, within `limits`.
    pub const fn new(from: Sender, limits: Limits) -> Self {
        Self {
            from,
            limits,
            message: Vec::new(),
            checked: 0,
            kind: None,
            frame: None,
            frames: 0,
            given: false,
            control: [0; CONTROL_MAX],
            fault: None,
            closed: false,
        }
    }

    /// Takes bytes from the front of `input` up to the next event, and says how many. Without an event, what was not
    /// taken (less than a header, or than a control frame) is to be given again with more behind it.
    ///
    /// # Errors
    /// The rule that the peer has broken. It is the same for every cut of the same bytes, comes with the byte that
    /// breaks it, and stays.
    pub fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Event<'_>>), Fault> {
        if self.closed {
            return Ok((input.len(), None));
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if std::mem::take(&mut self.given) {
            self.clear();
        }
        let mut at = 0usize;
        let due = loop {
            let before = at;
            match self.advance(input, &mut at) {
                Ok(Some(due)) => break due,
                Ok(None) if before < at && at < input.len() => {}
                Ok(None) => return Ok((at, None)),
                Err(fault) => return Err(self.fail(fault)),
            }
        };
        match self.event(due) {
            Ok(event) => Ok((at, Some(event))),
            Err(fault) => Err(fault),
        }
    }

    /// The data frame that has begun and not ended: its number, and how many bytes of it have come.
    pub(super) fn arriving(&self) -> Option<(u64, u64)> {
        self.frame.map(|frame| (self.frames, frame.phase))
    }

    /// Bytes of memory that the message takes.
    pub fn held(&self) -> usize {
        self.message.capacity()
    }

    /// One header, or the payload that is there. `Ok(None)` after something was taken means: look again.
    fn advance(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Due>, Fault> {
        let rest = input.get(*at..).unwrap_or_default();
        if let Some(frame) = self.frame {
            let n = rest.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
            *at += n;
            return self.payload(frame, rest.get(..n).unwrap_or_default());
        }
        let Some((header, size)) = Header::parse(rest, self.from, self.kind.is_some())? else {
            return Ok(None);
        };
        if header.opcode.is_control() {
            // At most 125 bytes, which stay in the caller's buffer until they are whole.
            let len = header.len as usize;
            let Some(payload) = rest.get(size..size + len) else { return Ok(None) };
            let Some(room) = self.control.get_mut(..len) else { return Err(fault::LONG_CONTROL) };
            room.copy_from_slice(payload);
            frame::mask(room, header.mask.unwrap_or_default(), 0);
            *at += size + len;
            return Ok(Some(Due::Control(header.opcode, len)));
        }
        if header.len > self.limits.frame_bytes_max as u64 {
            return Err(fault::FRAME_TOO_LARGE);
        }
        if header.len > self.limits.message_bytes_max.saturating_sub(self.message.len()) as u64 {
            return Err(fault::MESSAGE_TOO_LARGE);
        }
        *at += size;
        if header.opcode != Opcode::Continuation {
            self.kind = Some(header.opcode);
        }
        let frame = Open { fin: header.fin, mask: header.mask, phase: 0, left: header.len };
        self.frame = Some(frame);
        self.frames = self.frames.saturating_add(1);
        if header.len == 0 { self.payload(frame, &[]) } else { Ok(None) }
    }

    /// Payload of the open frame, at most what is left of it.
    fn payload(&mut self, mut frame: Open, bytes: &[u8]) -> Result<Option<Due>, Fault> {
        let start = self.message.len();
        self.grow(bytes.len(), frame.left);
        self.message.extend_from_slice(bytes);
        if let Some(key) = frame.mask {
            frame::mask(self.message.get_mut(start..).unwrap_or_default(), key, frame.phase);
        }
        frame.phase = frame.phase.saturating_add(bytes.len() as u64);
        frame.left = frame.left.saturating_sub(bytes.len() as u64);
        let whole = frame.left == 0 && frame.fin;
        self.frame = Some(frame).filter(|frame| frame.left > 0);
        if self.kind == Some(Opcode::Text) {
            self.check_text(whole)?;
        }
        Ok(whole.then_some(Due::Message))
    }

    /// Room for `n` bytes more: doubled, so that a message in small pieces is not copied for each, but not beyond
    /// what can still come.
    fn grow(&mut self, n: usize, left: u64) {
        let need = self.message.len().saturating_add(n);
        if need > self.message.capacity() {
            let fin = self.frame.is_some_and(|frame| frame.fin);
            let end = self.message.len().saturating_add(usize::try_from(left).unwrap_or(usize::MAX));
            let bound = if fin { end } else { self.limits.message_bytes_max };
            let room = self.message.capacity().saturating_mul(2).min(bound).max(need);
            self.message.reserve_exact(room - self.message.len());
        }
    }

    /// Checks what has come since the last check. A character that is cut at the end may still become whole.
    fn check_text(&mut self, whole: bool) -> Result<(), Fault> {
        match std::str::from_utf8(self.message.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = self.message.len(),
            Err(e) if whole || e.error_len().is_some() => return Err(fault::BAD_TEXT),
            Err(e) => self.checked += e.valid_up_to(),
        }
        Ok(())
    }

    fn event(&mut self, due: Due) -> Result<Event<'_>, Fault> {
        match due {
            Due::Control(opcode, len) => {
                let payload = self.control.get(..len).unwrap_or_default();
                match opcode {
                    Opcode::Ping => Ok(Event::Ping(payload)),
                    Opcode::Close => match close::parse(payload) {
                        Ok(close) => {
                            self.closed = true;
                            // Nothing more of a message will come.
                            self.message = Vec::new();
                            Ok(Event::Close(close))
                        }
                        Err(fault) => {
                            self.fault = Some(fault);
                            self.message = Vec::new();
                            Err(fault)
                        }
                    },
                    Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                        Ok(Event::Pong(payload))
                    }
                }
            }
            Due::Message => {
                self.given = true;
                if self.kind == Some(Opcode::Binary) {
                    return Ok(Event::Binary(&self.message));
                }
                // It was checked in pieces; this is the same check in one, for the type.
                std::str::from_utf8(&self.message).map(Event::Text).map_err(|_| fault::BAD_TEXT)
            }
        }
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.fault = Some(fault);
        self.message = Vec::new();
        fault
    }

    fn clear(&mut self) {
        self.kind = None;
        self.checked = 0;
        if self.message.capacity() > KEEP {
            self.message = Vec::new();
        } else {
            self.message.clear();
        }
    }
}
