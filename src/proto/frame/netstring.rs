//! Netstrings: `5:hello,` (D. J. Bernstein, <https://cr.yp.to/proto/netstrings.txt>).
//!
//! Owns the strict reading of the decimal length. Never accepts a second spelling of the same frame.

use super::{Codec, Envelope, Frame, FrameError};

/// The digits of the greatest length that there is, 2^64 - 1.
const DIGITS_MAX: usize = 20;

/// Netstrings with at most a given payload. Strict: no leading zeros, no sign, no blanks, no more digits than the
/// limit has.
///
/// ```
/// use tidemill::proto::frame::{Codec, Frame, FrameError, Netstring};
///
/// let mut codec = Netstring::new(9_999);
/// assert_eq!(codec.decode(b"5:hel")?, None);
/// assert_eq!(codec.decode(b"5:hello,0:,")?, Some(Frame { payload: b"hello", consumed: 8 }));
/// assert_eq!(codec.decode(b"10000"), Err(FrameError::TooLong { max: 9_999 })); // before its payload has come
/// assert!(codec.decode(b"05:hello,").is_err());
///
/// let mut out = Vec::new();
/// codec.encode(b"", &mut out)?;
/// assert_eq!(out, b"0:,");
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Netstring {
    max: usize,
}

impl Netstring {
    /// Netstrings with at most `max` bytes of payload.
    pub const fn new(max: usize) -> Self {
        Self { max }
    }

    /// The payload's length and the index of its first byte, once the colon has come.
    fn head(&self, input: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let mut len = 0usize;
        for (at, &byte) in input.iter().enumerate() {
            match byte {
                b'0'..=b'9' if at == 1 && input[0] == b'0' => {
                    return Err(FrameError::Malformed { at, expected: "colon" });
                }
                b'0'..=b'9' => {
                    len = len
                        .checked_mul(10)
                        .and_then(|tens| tens.checked_add(usize::from(byte - b'0')))
                        .filter(|&len| len <= self.max)
                        .ok_or(FrameError::TooLong { max: self.max })?;
                }
                b':' if at > 0 => return Ok(Some((len, at + 1))),
                _ => {
                    let expected = if at == 0 { "digit" } else { "digit or colon" };
                    return Err(FrameError::Malformed { at, expected });
                }
            }
        }
        Ok(None)
    }
}

impl Codec for Netstring {
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        let Some((len, start)) = self.head(input)? else { return Ok(None) };
        let end = start.checked_add(len).ok_or(FrameError::TooLong { max: self.max })?;
        match input.get(end) {
            None => Ok(None),
            Some(b',') => Ok(Some(Frame { payload: &input[start..end], consumed: end + 1 })),
            Some(_) => Err(FrameError::Malformed { at: end, expected: "comma" }),
        }
    }

    fn envelope(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
        if payload.len() > self.max {
            return Err(FrameError::TooLong { max: self.max });
        }
        let mut head = [b':'; DIGITS_MAX + 1];
        let mut first = DIGITS_MAX;
        let mut left = payload.len();
        loop {
            first -= 1;
            head[first] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                return Envelope::new(&head[first..], b",");
            }
        }
    }
}
