//! Framing codecs over caller buffers: where one message ends and the next begins.
//!
//! Owns the trait [`Codec`], its vocabulary ([`Frame`], [`Envelope`], [`FrameError`]) and four codecs: [`Lines`],
//! [`Netstring`], [`LengthPrefix`] and [`Fixed`]. It never copies a payload on the way in, never consumes bytes,
//! never buffers and never does I/O: a handler gives it the bytes that it has received, works on the frame that is
//! borrowed from them, and consumes [`Frame::consumed`] bytes itself. Handlers call it from `on_data`; on the way
//! out they write into whatever they have, a slice, a `Vec` or a bounded transmit buffer.
//!
//! ```
//! use tidemill::proto::frame::{Codec, FrameError, Netstring, frames};
//!
//! let mut codec = Netstring::new(1_000);
//! let received = b"5:hello,5:wor"; // one frame and a part of the next
//! let mut list = frames(&mut codec, received);
//! let words: Vec<&[u8]> = list.by_ref().collect::<Result<_, FrameError>>()?;
//! assert_eq!(words, [b"hello"]);
//! assert_eq!(list.consumed(), 8); // consume these; the rest stays until more has come
//!
//! let mut reply = Vec::new();
//! codec.encode(b"hi", &mut reply)?;
//! assert_eq!(reply, b"2:hi,");
//! # Ok::<(), FrameError>(())
//! ```

use std::fmt;

#[cfg(any(test, feature = "testing"))]
pub mod checks;
mod fixed;
mod lines;
mod netstring;
mod prefix;

pub use fixed::Fixed;
pub use lines::{Ending, Lines};
pub use netstring::Netstring;
pub use prefix::{LengthPrefix, Width};

/// Finds frames in received bytes and wraps payloads into frames.
///
/// A codec belongs to one direction of one connection, because it may remember how far it has looked. All of ours
/// are `Copy` and at most 24 bytes, so keep one in the handler's `Conn`.
///
/// # Writing your own
/// ```
/// use tidemill::proto::frame::{Codec, Envelope, Frame, FrameError};
///
/// /// Payloads between STX and ETX.
/// struct Framed;
///
/// impl Codec for Framed {
///     fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
///         match input.first() {
///             None => return Ok(None),
///             Some(2) => {}
///             Some(_) => return Err(FrameError::Malformed { at: 0, expected: "STX" }),
///         }
///         match input.iter().position(|&byte| byte == 3) {
///             Some(end) => Ok(Some(Frame { payload: &input[1..end], consumed: end + 1 })),
///             None if input.len() > 100 => Err(FrameError::TooLong { max: 99 }),
///             None => Ok(None),
///         }
///     }
///
///     fn envelope(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
///         if payload.contains(&3) {
///             return Err(FrameError::Unfit { why: "it contains ETX" });
///         }
///         Envelope::new(&[2], &[3])
///     }
/// }
/// assert_eq!(Framed.decode(b"\x02hi\x03")?, Some(Frame { payload: b"hi", consumed: 4 }));
/// # Ok::<(), FrameError>(())
/// ```
pub trait Codec {
    /// Looks for a whole frame at the beginning of `input`.
    ///
    /// `input` holds all bytes since the end of the last frame. `Ok(None)` means that the frame is not complete:
    /// call again when more has come, with the same bytes and the new ones. At the end of the stream, bytes that
    /// are still without a frame are a frame cut short. After `Some`, go on behind [`Frame::consumed`]
    /// bytes, which is at least one. What comes out does not depend on how the bytes were cut on their way.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] as soon as the frame is certain to exceed the limit, and [`FrameError::Malformed`].
    /// Nothing is consumed then, and the same bytes give the same error: there is no way to find the next frame
    /// behind it except the caller's own.
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError>;

    /// What goes before and behind `payload` to make a frame of it.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] and [`FrameError::Unfit`] if no frame can hold this payload.
    fn envelope(&self, payload: &[u8]) -> Result<Envelope, FrameError>;

    /// The size of `payload`'s frame in bytes.
    ///
    /// # Errors
    /// Those of [`Codec::envelope`].
    fn encoded_len(&self, payload: &[u8]) -> Result<usize, FrameError> {
        let envelope = self.envelope(payload)?;
        // A payload ends below isize::MAX, and an envelope is small: no overflow.
        Ok(envelope.head().len() + payload.len() + envelope.tail().len())
    }

    /// Writes `payload`'s frame to the beginning of `out` and answers its size in bytes. Allocates nothing.
    ///
    /// # Errors
    /// Those of [`Codec::envelope`], and [`FrameError::NoRoom`]; `out` is unchanged then.
    fn encode_into(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let envelope = self.envelope(payload)?;
        let (head, tail) = (envelope.head(), envelope.tail());
        let body_end = head.len() + payload.len();
        let needed = body_end + tail.len();
        let out = out.get_mut(..needed).ok_or(FrameError::NoRoom { needed })?;
        out[..head.len()].copy_from_slice(head);
        out[head.len()..body_end].copy_from_slice(payload);
        out[body_end..].copy_from_slice(tail);
        Ok(needed)
    }

    /// Appends `payload`'s frame to `out` and answers its size in bytes.
    ///
    /// # Errors
    /// Those of [`Codec::envelope`]; `out` is unchanged then.
    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<usize, FrameError> {
        let envelope = self.envelope(payload)?;
        let parts = [envelope.head(), payload, envelope.tail()];
        let needed = parts.iter().map(|part| part.len()).sum();
        out.reserve(needed);
        for part in parts {
            out.extend_from_slice(part);
        }
        Ok(needed)
    }
}

/// One frame, borrowed from the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message without its framing.
    pub payload: &'a [u8],
    /// How many bytes of the input it took, framing included; never 0.
    pub consumed: usize,
}

/// What goes before and behind a payload: at most [`Envelope::BYTES_MAX`] bytes, kept inline.
///
/// A bounded transmit buffer is written in three steps, `head`, payload, `tail`, once
/// [`Codec::encoded_len`] is known to fit.
#[derive(Clone, Copy)]
pub struct Envelope {
    bytes: [u8; Self::BYTES_MAX],
    head: u8,
    end: u8,
}

impl Envelope {
    /// The most that head and tail can have together.
    pub const BYTES_MAX: usize = 46;

    /// An envelope of these two parts; either may be empty.
    ///
    /// # Errors
    /// [`FrameError::Unfit`] if they exceed [`Envelope::BYTES_MAX`] together.
    pub fn new(head: &[u8], tail: &[u8]) -> Result<Self, FrameError> {
        let end = head.len() + tail.len();
        if end > Self::BYTES_MAX {
            return Err(FrameError::Unfit { why: "its envelope is too large" });
        }
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[..head.len()].copy_from_slice(head);
        bytes[head.len()..end].copy_from_slice(tail);
        Ok(Self { bytes, head: head.len() as u8, end: end as u8 })
    }

    /// The bytes before the payload.
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.head.into()]
    }

    /// The bytes behind the payload.
    pub fn tail(&self) -> &[u8] {
        &self.bytes[self.head.into()..self.end.into()]
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("head", &self.head()).field("tail", &self.tail()).finish()
    }
}

/// Why bytes are no frame, or a payload cannot become one. "Not complete yet" is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload has more bytes than the limit.
    TooLong {
        /// The limit, in bytes of payload.
        max: usize,
    },
    /// The bytes break the format.
    Malformed {
        /// Where, in bytes from the beginning of the frame.
        at: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// This payload has no frame in this format.
    Unfit {
        /// What is in the way.
        why: &'static str,
    },
    /// The caller's slice is too short for the frame.
    NoRoom {
        /// The size of the frame, in bytes.
        needed: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "the frame is longer than {max} bytes"),
            Self::Malformed { at, expected } => write!(f, "the frame has no {expected} at byte {at}"),
            Self::Unfit { why } => write!(f, "the payload cannot be framed: {why}"),
            Self::NoRoom { needed } => write!(f, "the frame needs room for {needed} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Iterates over the payloads of all whole frames in `input`; see [`Frames::consumed`] for what to consume then.
pub fn frames<'c, 'a, C: Codec + ?Sized>(codec: &'c mut C, input: &'a [u8]) -> Frames<'c, 'a, C> {
    Frames { codec, input, consumed: 0, ended: false }
}

/// The iterator of [`frames`]. It ends before an incomplete frame, and after an error.
#[derive(Debug)]
pub struct Frames<'c, 'a, C: ?Sized> {
    codec: &'c mut C,
    input: &'a [u8],
    consumed: usize,
    ended: bool,
}

impl<C: ?Sized> Frames<'_, '_, C> {
    /// How many bytes of the input the frames given so far took.
    pub const fn consumed(&self) -> usize {
        self.consumed
    }
}

impl<'a, C: Codec + ?Sized> Iterator for Frames<'_, 'a, C> {
    type Item = Result<&'a [u8], FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let rest = self.input.get(self.consumed..)?;
        match self.codec.decode(rest) {
            Ok(Some(frame)) => {
                debug_assert!((1..=rest.len()).contains(&frame.consumed), "a frame takes what it was given");
                // A foreign codec that takes nothing would be asked for ever.
                self.ended = frame.consumed == 0;
                self.consumed += frame.consumed.min(rest.len());
                Some(Ok(frame.payload))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl<C: Codec + ?Sized> std::iter::FusedIterator for Frames<'_, '_, C> {}

#[cfg(test)]
mod tests;
