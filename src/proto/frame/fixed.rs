//! Frames of one fixed size, without any framing bytes.
//!
//! Owns that size. Never pads: a payload of another size is an error.

use super::{Codec, Envelope, Frame, FrameError};
use std::num::NonZeroUsize;

/// Frames of exactly so many bytes.
///
/// ```
/// use std::num::NonZeroUsize;
/// use tidemill::proto::frame::{Codec, Fixed, Frame, FrameError};
///
/// const RECORD: NonZeroUsize = NonZeroUsize::new(4).unwrap();
/// let mut codec = Fixed(RECORD);
/// assert_eq!(codec.decode(b"abc")?, None);
/// assert_eq!(codec.decode(b"abcdefgh")?, Some(Frame { payload: b"abcd", consumed: 4 }));
/// assert!(codec.encode_into(b"abc", &mut [0; 4]).is_err());
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(pub NonZeroUsize);

impl Codec for Fixed {
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        let consumed = self.0.get();
        Ok(input.get(..consumed).map(|payload| Frame { payload, consumed }))
    }

    fn envelope(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
        if payload.len() != self.0.get() {
            return Err(FrameError::Unfit { why: "it has not the fixed size" });
        }
        Envelope::new(b"", b"")
    }
}
