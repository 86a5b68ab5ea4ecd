//! Length prefixes: a binary integer of 1, 2, 4 or 8 bytes, then the payload.
//!
//! Owns the reading and writing of that integer. Never trusts it: a length beyond the limit is an error before
//! anything is reserved or awaited.

use super::{Codec, Envelope, Frame, FrameError};

/// The size of a length prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 1 byte.
    One = 1,
    /// 2 bytes.
    Two = 2,
    /// 4 bytes.
    Four = 4,
    /// 8 bytes.
    Eight = 8,
}

impl Width {
    const fn bytes(self) -> usize {
        self as usize
    }

    /// The greatest integer of this width.
    const fn greatest(self) -> u64 {
        u64::MAX >> (64 - 8 * self as u32)
    }
}

/// Payloads after their length: big endian and not counting itself, unless told otherwise.
///
/// ```
/// use tidemill::proto::frame::{Codec, Frame, FrameError, LengthPrefix, Width};
///
/// let mut codec = LengthPrefix::new(Width::Two, 1_024);
/// assert_eq!(codec.decode(&[0])?, None);
/// assert_eq!(codec.decode(&[0, 2, b'h', b'i', 0])?, Some(Frame { payload: b"hi", consumed: 4 }));
/// assert_eq!(codec.decode(&[4, 1]), Err(FrameError::TooLong { max: 1_024 }));
///
/// let codec = LengthPrefix::new(Width::Four, 1_024).little_endian().counting_itself();
/// let mut out = [0; 6];
/// assert_eq!(codec.encode_into(b"hi", &mut out)?, 6);
/// assert_eq!(out, [6, 0, 0, 0, b'h', b'i']);
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LengthPrefix {
    max: usize,
    width: Width,
    little: bool,
    counts_itself: bool,
}

impl LengthPrefix {
    /// Payloads of at most `max` bytes, or of what the prefix can express if that is less.
    pub const fn new(width: Width, max: usize) -> Self {
        Self { max, width, little: false, counts_itself: false }
    }

    /// The least significant byte first.
    #[must_use]
    pub const fn little_endian(self) -> Self {
        Self { little: true, ..self }
    }

    /// The length includes the prefix.
    #[must_use]
    pub const fn counting_itself(self) -> Self {
        Self { counts_itself: true, ..self }
    }

    /// What the length counts besides the payload.
    const fn extra(&self) -> usize {
        if self.counts_itself { self.width.bytes() } else { 0 }
    }

    /// The greatest payload in bytes.
    fn payload_max(&self) -> usize {
        let expressible = self.width.greatest() - self.extra() as u64;
        usize::try_from(expressible).map_or(self.max, |most| most.min(self.max))
    }
}

impl Codec for LengthPrefix {
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        let width = self.width.bytes();
        let Some(prefix) = input.get(..width) else { return Ok(None) };
        let push = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        let value = if self.little { prefix.iter().rev().fold(0, push) } else { prefix.iter().fold(0, push) };
        let Some(len) = value.checked_sub(self.extra() as u64) else {
            return Err(FrameError::Malformed { at: 0, expected: "length that includes its own size" });
        };
        let max = self.payload_max();
        let end = usize::try_from(len).ok().filter(|&len| len <= max).and_then(|len| width.checked_add(len));
        let consumed = end.ok_or(FrameError::TooLong { max })?;
        Ok(input.get(width..consumed).map(|payload| Frame { payload, consumed }))
    }

    fn envelope(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
        let max = self.payload_max();
        if payload.len() > max {
            return Err(FrameError::TooLong { max });
        }
        let (value, width) = ((payload.len() + self.extra()) as u64, self.width.bytes());
        if self.little {
            Envelope::new(&value.to_le_bytes()[..width], b"")
        } else {
            Envelope::new(&value.to_be_bytes()[size_of::<u64>() - width..], b"")
        }
    }
}
