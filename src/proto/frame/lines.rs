//! Lines: a payload up to LF, CRLF or either.
//!
//! Owns the search for the line's end and the memory of how far it went. Never looks at text encodings.

use super::{Codec, Envelope, Frame, FrameError};

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// LF; a CR before it belongs to the payload.
    Lf,
    /// CR LF; a CR or LF alone belongs to the payload.
    CrLf,
    /// LF or CR LF when reading, CR LF when writing. What people and their tools send.
    Either,
}

/// Lines of at most a given length.
///
/// ```
/// use tidemill::proto::frame::{Codec, Ending, Frame, FrameError, Lines};
///
/// let mut lines = Lines::new(Ending::Either, 5);
/// assert_eq!(lines.decode(b"hel")?, None);
/// assert_eq!(lines.decode(b"hello\r\nyou")?, Some(Frame { payload: b"hello", consumed: 7 }));
/// assert_eq!(lines.decode(b"you\n")?, Some(Frame { payload: b"you", consumed: 4 }));
/// assert_eq!(lines.decode(b"goodbye"), Err(FrameError::TooLong { max: 5 }));
///
/// let mut out = [0; 16];
/// let size = lines.encode_into(b"hello", &mut out)?;
/// assert_eq!(&out[..size], b"hello\r\n");
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    max: usize,
    /// So many bytes of the present line hold no end: a long line is not searched from its start each time.
    searched: usize,
    ending: Ending,
}

impl Lines {
    /// Lines with at most `max` bytes before their end.
    pub const fn new(ending: Ending, max: usize) -> Self {
        Self { max, searched: 0, ending }
    }

    /// The length of the line that an LF at `lf` ends, if it does.
    fn ended_by(&self, input: &[u8], lf: usize) -> Option<usize> {
        let cr = lf.checked_sub(1).filter(|&before| input[before] == b'\r');
        match self.ending {
            Ending::Lf => Some(lf),
            Ending::CrLf => cr,
            Ending::Either => cr.or(Some(lf)),
        }
    }

    /// Whether a line that has not ended within `input` can only be too long.
    fn overruns(&self, input: &[u8]) -> bool {
        match input.get(self.max..) {
            None | Some([]) => false,
            // The last byte that fits may be followed by CR LF, of which only the CR has come.
            Some([b'\r']) => self.ending == Ending::Lf,
            Some(_) => true,
        }
    }
}

impl Codec for Lines {
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        let too_long = FrameError::TooLong { max: self.max };
        // The end of the longest line is within these; what comes later is not searched for it.
        let window = &input[..input.len().min(self.max.saturating_add(2))];
        let mut from = if self.searched <= window.len() { self.searched } else { 0 };
        while let Some(offset) = find_lf(&window[from..]) {
            let lf = from + offset;
            if let Some(end) = self.ended_by(window, lf) {
                if end > self.max {
                    return Err(too_long);
                }
                self.searched = 0;
                return Ok(Some(Frame { payload: &input[..end], consumed: lf + 1 }));
            }
            from = lf + 1;
        }
        if self.overruns(input) {
            return Err(too_long);
        }
        self.searched = window.len();
        Ok(None)
    }

    fn envelope(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
        if payload.len() > self.max {
            return Err(FrameError::TooLong { max: self.max });
        }
        let mut from = 0;
        while let Some(offset) = find_lf(&payload[from..]) {
            if self.ended_by(payload, from + offset).is_some() {
                return Err(FrameError::Unfit { why: "it contains the end of a line" });
            }
            from += offset + 1;
        }
        match self.ending {
            Ending::Lf => Envelope::new(b"", b"\n"),
            Ending::CrLf | Ending::Either => Envelope::new(b"", b"\r\n"),
        }
    }
}

/// The first LF. Blocks without one are passed over with a test that compiles to vector instructions.
fn find_lf(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_lf = |&byte: &u8| byte == b'\n';
    let clear = bytes
        .chunks_exact(BLOCK)
        .take_while(|block| !block.iter().fold(false, |found, byte| found | is_lf(byte)))
        .count();
    let from = clear * BLOCK;
    bytes[from..].iter().position(is_lf).map(|offset| from + offset)
}
