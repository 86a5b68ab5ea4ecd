//! Request bodies (RFC 9112 sections 6.2, 7.1): where they end, and their content without the chunked coding.
//!
//! The decoders are driven by bytes alone, so that every cut of the input gives the same content and the same
//! fault. They hold no buffer and pass content on as slices of the input. Trailers and chunk extensions are checked,
//! bounded and dropped. They count no content: a limit on the body is the business of whoever takes it.

#[cfg(test)]
mod tests;

use super::chars::{is_token, is_value};
use super::fault::{self, Fault};
use super::head::{FIELDS_MAX, Framing};

/// Bytes of chunk extensions in one body, from each `;` to the end of its line.
pub const CHUNK_EXT_BYTES_MAX: u16 = 4 * 1024;
/// Bytes of the trailer section, line ends included.
pub const TRAILER_BYTES_MAX: u16 = 8 * 1024;
/// Digits of a chunk size, leading zeros included; 16 fit a u64 exactly.
const SIZE_DIGITS_MAX: u8 = 16;

/// What one call of a decoder did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the body: content, and the coding around it. All of the input unless `done`.
    pub consumed: usize,
    /// Whether the body is complete; the next byte begins the next request.
    pub done: bool,
}

/// The decoder that a head's framing asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyDecoder {
    /// Content-Length, or no body (zero).
    Length(Length),
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunked),
}

impl BodyDecoder {
    /// The decoder for `framing`. Without a body it is done at once.
    pub const fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(Length::new(0)),
            Framing::Length(length) => Self::Length(Length::new(length)),
            Framing::Chunked => Self::Chunked(Chunked::new()),
        }
    }

    /// Decodes `input`, which follows the bytes consumed before; `out` gets the content in order, in pieces.
    /// Call it again with what was not consumed and more behind it, until it is done.
    ///
    /// # Errors
    ///
    /// The fault to answer with; every later call gives it again.
    pub fn decode(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) -> Result<Progress, Fault> {
        match self {
            Self::Length(length) => Ok(length.decode(input, out)),
            Self::Chunked(chunked) => chunked.decode(input, &mut out),
        }
    }

    /// Content that is certain to follow: the rest of the body, or of the chunk that is being read. A bound can be
    /// judged by it before the bytes come.
    pub const fn announced(&self) -> u64 {
        match self {
            Self::Length(length) => length.left(),
            Self::Chunked(chunked) => chunked.announced(),
        }
    }

    /// Whether the body is complete.
    pub const fn is_done(&self) -> bool {
        match self {
            Self::Length(length) => length.left() == 0,
            Self::Chunked(chunked) => chunked.is_done(),
        }
    }
}

/// A body of known length (RFC 9112 section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    left: u64,
}

impl Length {
    /// A body of `length` bytes.
    pub const fn new(length: u64) -> Self {
        Self { left: length }
    }

    /// Bytes still to come.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Passes on what belongs to the body; `out` is not called for nothing.
    pub fn decode(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) -> Progress {
        let content = first(input, self.left);
        if !content.is_empty() {
            out(content);
        }
        self.left = self.left.saturating_sub(content.len() as u64);
        Progress { consumed: content.len(), done: self.left == 0 }
    }
}

/// The first `count` bytes of `input`, or all of it.
fn first(input: &[u8], count: u64) -> &[u8] {
    usize::try_from(count).ok().and_then(|count| input.get(..count)).unwrap_or(input)
}

/// The decoder of the chunked coding (RFC 9112 section 7.1), stricter than the RFC asks: no white space but
/// around `;` and `=` of extensions, CRLF only, at most 16 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunked {
    /// In a size: its value so far. In data: the bytes left.
    left: u64,
    /// Bytes of extensions seen in the whole body.
    ext_bytes: u16,
    /// Bytes of trailers seen.
    trailer_bytes: u16,
    /// In a size: its digits. In trailers: their lines.
    count: u8,
    state: State,
}

/// What the next byte may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A digit, and once there is one, `;` or CR.
    Size,
    /// The LF of a size line.
    SizeLf,
    /// After `;`: white space or the name.
    ExtStart,
    /// In the name: `=`, `;`, white space, CR.
    ExtName,
    /// White space after the name: `=` or `;`.
    ExtNameSpace,
    /// After `=`: white space, a quote or a token.
    ExtEquals,
    /// In a token value: `;`, white space, CR.
    ExtToken,
    /// In a quoted value.
    ExtQuoted,
    /// After a backslash in it.
    ExtEscape,
    /// After the closing quote: `;`, white space, CR.
    ExtValueEnd,
    /// White space after a value: `;`.
    ExtValueSpace,
    /// Content.
    Data,
    /// The CR after the content.
    DataCr,
    /// The LF after it.
    DataLf,
    /// The first byte of a trailer line, or the CR of the last one.
    Trailer,
    /// In the name: the colon.
    TrailerName,
    /// In the value: CR.
    TrailerValue,
    /// The LF of a trailer line.
    TrailerLf,
    /// The LF of the empty line.
    LastLf,
    /// The body is complete.
    Done,
    /// The body was malformed.
    Malformed,
    /// The extensions were too large.
    ExtTooLarge,
    /// The trailers were too large.
    TrailersTooLarge,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// A decoder before the first chunk.
    pub const fn new() -> Self {
        Self { left: 0, ext_bytes: 0, trailer_bytes: 0, count: 0, state: State::Size }
    }

    /// Bytes left of the chunk that is being read.
    pub const fn announced(&self) -> u64 {
        if matches!(self.state, State::Data) { self.left } else { 0 }
    }

    /// Whether the last chunk and the trailers are complete.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Decodes `input`; see [`BodyDecoder::decode`]. `out` is never called with nothing.
    ///
    /// # Errors
    ///
    /// [`fault::BAD_CHUNK`], [`fault::CHUNK_EXT_TOO_LARGE`] or [`fault::TRAILERS_TOO_LARGE`]. The content before
    /// the fault has been passed on; it is no complete body.
    pub fn decode(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) -> Result<Progress, Fault> {
        let mut rest = input;
        loop {
            if self.state == State::Data {
                let content = first(rest, self.left);
                if !content.is_empty() {
                    out(content);
                }
                self.left = self.left.saturating_sub(content.len() as u64);
                rest = rest.get(content.len()..).unwrap_or(&[]);
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            }
            if self.state == State::Done {
                return Ok(Progress { consumed: input.len() - rest.len(), done: true });
            }
            self.refused()?;
            let [byte, more @ ..] = rest else {
                return Ok(Progress { consumed: input.len(), done: false });
            };
            self.state = self.step(*byte);
            rest = more;
        }
    }

    /// The fault of a decoder that has refused its input.
    fn refused(&self) -> Result<(), Fault> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "three of twenty-three states")]
        match self.state {
            State::Malformed => Err(fault::BAD_CHUNK),
            State::ExtTooLarge => Err(fault::CHUNK_EXT_TOO_LARGE),
            State::TrailersTooLarge => Err(fault::TRAILERS_TOO_LARGE),
            _ => Ok(()),
        }
    }

    /// Takes one byte that is not content and tells the next state.
    #[inline]
    fn step(&mut self, byte: u8) -> State {
        use State as S;
        match (self.state, byte) {
            (S::Size, _) => self.size(byte),
            (S::SizeLf, b'\n') => self.size_end(),
            (
                S::ExtStart
                | S::ExtName
                | S::ExtNameSpace
                | S::ExtEquals
                | S::ExtToken
                | S::ExtQuoted
                | S::ExtEscape
                | S::ExtValueEnd
                | S::ExtValueSpace,
                _,
            ) => self.extension(byte),
            (S::DataCr, b'\r') => S::DataLf,
            (S::DataLf, b'\n') => {
                self.count = 0;
                S::Size
            }
            (S::Trailer | S::TrailerName | S::TrailerValue | S::TrailerLf | S::LastLf, _) => {
                self.trailer(byte)
            }
            _ => S::Malformed,
        }
    }

    /// `1*HEXDIG`, then an extension or the line end.
    fn size(&mut self, byte: u8) -> State {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if self.count > 0 => return State::SizeLf,
            b';' if self.count > 0 => return self.ext_byte(State::ExtStart),
            _ => return State::Malformed,
        };
        if self.count >= SIZE_DIGITS_MAX {
            return State::Malformed;
        }
        self.count += 1;
        // Sixteen digits are 64 bits, so nothing is shifted out.
        self.left = self.left << 4 | u64::from(digit);
        State::Size
    }

    fn size_end(&mut self) -> State {
        if self.left > 0 {
            return State::Data;
        }
        self.count = 0;
        State::Trailer
    }

    /// Counts one byte of an extension; `next` if they are within their bound.
    fn ext_byte(&mut self, next: State) -> State {
        if self.ext_bytes >= CHUNK_EXT_BYTES_MAX {
            return State::ExtTooLarge;
        }
        self.ext_bytes += 1;
        next
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 section 7.1.1), but no white
    /// space before the first `;`.
    fn extension(&mut self, byte: u8) -> State {
        use State as S;
        let next = match (self.state, byte) {
            (S::ExtName | S::ExtToken | S::ExtValueEnd, b'\r') => return S::SizeLf,
            (S::ExtStart | S::ExtName, _) if is_token(byte) => S::ExtName,
            (S::ExtEquals | S::ExtToken, _) if is_token(byte) => S::ExtToken,
            (S::ExtStart, b' ' | b'\t') => S::ExtStart,
            (S::ExtEquals, b' ' | b'\t') => S::ExtEquals,
            (S::ExtName | S::ExtNameSpace, b' ' | b'\t') => S::ExtNameSpace,
            (S::ExtToken | S::ExtValueEnd | S::ExtValueSpace, b' ' | b'\t') => S::ExtValueSpace,
            (S::ExtName | S::ExtNameSpace, b'=') => S::ExtEquals,
            (S::ExtName | S::ExtNameSpace | S::ExtToken | S::ExtValueEnd | S::ExtValueSpace, b';') => {
                S::ExtStart
            }
            (S::ExtEquals, b'"') => S::ExtQuoted,
            (S::ExtQuoted, b'"') => S::ExtValueEnd,
            (S::ExtQuoted, b'\\') => S::ExtEscape,
            (S::ExtQuoted | S::ExtEscape, _) if is_value(byte) => S::ExtQuoted,
            _ => return S::Malformed,
        };
        self.ext_byte(next)
    }

    /// `*( field-line CRLF ) CRLF` (RFC 9112 section 7.1.2), checked like the fields of a head.
    fn trailer(&mut self, byte: u8) -> State {
        use State as S;
        let next = match (self.state, byte) {
            (S::Trailer, b'\r') => return S::LastLf,
            (S::LastLf, b'\n') => return S::Done,
            (S::Trailer, _) if is_token(byte) => {
                if u16::from(self.count) >= FIELDS_MAX {
                    return S::TrailersTooLarge;
                }
                self.count += 1;
                S::TrailerName
            }
            (S::TrailerName, b':') => S::TrailerValue,
            (S::TrailerName, _) if is_token(byte) => S::TrailerName,
            (S::TrailerValue, b'\r') => S::TrailerLf,
            (S::TrailerValue, _) if is_value(byte) => S::TrailerValue,
            (S::TrailerLf, b'\n') => S::Trailer,
            _ => return S::Malformed,
        };
        if self.trailer_bytes >= TRAILER_BYTES_MAX {
            return S::TrailersTooLarge;
        }
        self.trailer_bytes += 1;
        next
    }
}
