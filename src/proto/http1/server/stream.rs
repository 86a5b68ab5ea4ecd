//! Bodies of answers that are made while they are sent: the writer that frames them, who is pulled for bytes, and the
//! state of those that are pushed into.
//!
//! A body is chunked, or announced and counted, or ends with its connection (HTTP/1.0). It never decides when to write.

use std::fmt;
use std::time::Duration;

use super::Cx;
use crate::proto::http1::response::Pieces;
use crate::reactor::Output;

/// The most bytes that the chunked coding adds to a write: five digits and two line ends.
const CHUNK_FRAME: usize = 9;
/// The last chunk, without trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::proto::http1) enum Coding {
    /// By Content-Length; so many bytes are left.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// What a [`Source`] says when it returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pull {
    /// There is more: call again when there is room.
    More,
    /// Nothing now: call again after [`Cx::wake`].
    Wait,
    /// The body is complete.
    End,
    /// It cannot be completed: the connection is cut, so that the client can tell.
    Abort,
}

/// The body of an answer, asked for more whenever there is room: backpressure is that it is not asked.
///
/// ```
/// use tidemill::proto::http1::{BodyWriter, Cx, Pull, Source};
///
/// /// Counts in the application's own state.
/// struct Count(u64);
///
/// impl Source<u64> for Count {
///     fn pull(&mut self, total: &mut u64, body: &mut BodyWriter<'_>, _: &mut Cx<'_, u64>) -> Pull {
///         while self.0 > 0 {
///             if !body.write_whole(b"tick\n") {
///                 return Pull::More;
///             }
///             self.0 -= 1;
///             *total += 1;
///         }
///         Pull::End
///     }
/// }
/// ```
pub trait Source<S: 'static>: 'static {
    /// Writes what there is and fits.
    fn pull(&mut self, state: &mut S, body: &mut BodyWriter<'_>, cx: &mut Cx<'_, S>) -> Pull;
}

/// Writes a body into the transmit buffer, framed.
pub struct BodyWriter<'a> {
    tx: Output<'a>,
    coding: &'a mut Coding,
    sent: &'a mut u64,
}

impl fmt::Debug for BodyWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").field("room", &self.room()).finish()
    }
}

impl<'a> BodyWriter<'a> {
    pub(super) fn new(tx: Output<'a>, coding: &'a mut Coding, sent: &'a mut u64) -> Self {
        Self { tx, coding, sent }
    }

    /// Bytes that can be written now. Less than the announced length allows is said to be room.
    pub fn room(&self) -> usize {
        match *self.coding {
            Coding::Chunked => self.tx.room().saturating_sub(CHUNK_FRAME),
            Coding::UntilClose => self.tx.room(),
            Coding::Length(left) => self.tx.room().min(usize::try_from(left).unwrap_or(usize::MAX)),
        }
    }

    /// Writes as much as fits, as one chunk, and says how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room());
        if n < bytes.len() {
            // Marks that room is wanted.
            self.tx.reserve(self.tx.room() + 1);
        }
        if n == 0 {
            return 0;
        }
        let bytes = bytes.get(..n).unwrap_or_default();
        match self.coding {
            Coding::Chunked => {
                let mut line = [0; 10];
                self.tx.write(chunk_line(n, &mut line));
                self.tx.write(bytes);
                self.tx.write(b"\r\n");
            }
            Coding::UntilClose => {
                self.tx.write(bytes);
            }
            Coding::Length(left) => {
                self.tx.write(bytes);
                *left = left.saturating_sub(n as u64);
            }
        }
        *self.sent += n as u64;
        n
    }

    /// Writes all of `bytes` or nothing, and says which.
    #[must_use = "nothing was written when this is false"]
    pub fn write_whole(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.room() {
            self.tx.reserve(self.tx.room() + 1);
            return false;
        }
        self.write(bytes) == bytes.len()
    }

    /// Ends the body; `None` when the end does not fit yet, false when it is not as long as it was announced.
    pub(super) fn end(&mut self) -> Option<bool> {
        match *self.coding {
            Coding::Chunked => self.tx.write_whole(LAST_CHUNK).then_some(true),
            Coding::UntilClose => Some(true),
            Coding::Length(left) => Some(left == 0),
        }
    }
}

/// The size line of a chunk of `n` bytes, at most eight digits.
fn chunk_line(n: usize, line: &mut [u8; 10]) -> &[u8] {
    let mut at = line.len() - 2;
    if let Some(end) = line.get_mut(at..) {
        end.copy_from_slice(b"\r\n");
    }
    let mut rest = n;
    while at > 0 {
        at -= 1;
        let digit = (rest & 15) as u8;
        if let Some(place) = line.get_mut(at) {
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        }
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    line.get(at..).unwrap_or_default()
}

/// The source behind an iterator.
pub(in crate::proto::http1) struct PieceSource {
    pieces: Pieces,
    piece: Vec<u8>,
    at: usize,
}

impl PieceSource {
    pub(in crate::proto::http1) const fn new(pieces: Pieces) -> Self {
        Self { pieces, piece: Vec::new(), at: 0 }
    }
}

impl<S: 'static> Source<S> for PieceSource {
    fn pull(&mut self, _: &mut S, body: &mut BodyWriter<'_>, _: &mut Cx<'_, S>) -> Pull {
        loop {
            let rest = self.piece.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                match self.pieces.next() {
                    Some(piece) => (self.piece, self.at) = (piece, 0),
                    None => return Pull::End,
                }
                continue;
            }
            let n = body.write(rest);
            self.at += n;
            if n == 0 {
                return Pull::More;
            }
        }
    }
}

/// How a pushed body is kept alive, and when it ends.
///
/// ```
/// use std::time::Duration;
/// use tidemill::proto::http1::StreamOptions;
///
/// let mut options = StreamOptions::default();
/// options.keep_alive = Some((Duration::from_secs(20), b"\n"));
/// assert!(!options.ends_on_drain && StreamOptions::EVENTS.ends_on_drain);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Bytes that are written when nothing was for so long, so that a peer which is gone is found and a proxy between
    /// does not lose patience.
    pub keep_alive: Option<(Duration, &'static [u8])>,
    /// Ends the body when the reactor drains, for one that has no end of its own.
    pub ends_on_drain: bool,
}

impl StreamOptions {
    /// For Server-Sent Events: a comment every 15 s, and an end when the server drains; clients connect again.
    pub const EVENTS: Self =
        Self { keep_alive: Some((Duration::from_secs(15), b":\n\n")), ends_on_drain: true };
}

/// A body that is pushed into.
#[derive(Debug)]
pub(in crate::proto::http1) struct Push {
    pub(in crate::proto::http1) coding: Coding,
    pub(in crate::proto::http1) options: StreamOptions,
    /// No more will be written.
    pub(in crate::proto::http1) ending: bool,
    /// Something was written since the last look.
    pub(in crate::proto::http1) busy: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_lines_are_hexadecimal_without_leading_zeros() {
        for n in [1, 9, 10, 15, 16, 255, 4096, 65_535, 0x00ff_ffff] {
            let mut line = [0; 10];
            assert_eq!(chunk_line(n, &mut line), format!("{n:x}\r\n").as_bytes());
        }
    }
}
