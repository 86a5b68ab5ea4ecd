//! [`Conversation`]: what a peer says to a handler, the ways in which its bytes are cut, and how answers are shown.

use std::fmt;
use std::ops::Range;

use crate::reactor::testing::Rng;

/// Pieces at each end of a long conversation that are single bytes when it is sent bytewise.
const BYTEWISE_MAX: usize = 1024;
/// What a message shows of one text, in bytes.
const SHOWN_MAX: usize = 160;

/// What one peer says, in steps, before it ends its side.
///
/// Between steps the peer waits for whatever the handler answers; how the bytes of a step are cut is the suite's
/// choice. Bytes that may be pipelined belong in one step. The answer to a conversation has to be finite.
///
/// ```
/// use tidemill::reactor::testing::contract::Conversation;
///
/// let polite = Conversation::new(b"USER me\r\n").then(b"QUIT\r\n").expects(b"331 go on\r\n221 bye\r\n");
/// assert_eq!(polite.to_string(), r#""USER me\r\n" | "QUIT\r\n""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub(super) steps: Vec<Vec<u8>>,
    pub(super) expected: Option<Vec<u8>>,
    pub(super) by_cuts: bool,
    pub(super) waits: bool,
}

impl Conversation {
    /// A peer that says `bytes` and ends its side.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self { steps: vec![bytes.as_ref().to_vec()], expected: None, by_cuts: false, waits: false }
    }

    /// Then waits for the answer, and says `bytes`.
    #[must_use]
    pub fn then(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(bytes.as_ref().to_vec());
        self
    }

    /// The whole answer has to be this, after it was normalised. Without it, the answer to the conversation sent
    /// whole is what all others are compared with.
    #[must_use]
    pub fn expects(mut self, answer: impl AsRef<[u8]>) -> Self {
        self.expected = Some(answer.as_ref().to_vec());
        self
    }

    /// The answer depends on how the bytes were cut, and nothing can be done about it: answers are not compared,
    /// every other rule holds.
    #[must_use]
    pub const fn depends_on_cuts(mut self) -> Self {
        self.by_cuts = true;
        self
    }

    /// The peer ends its side only after the answer: an end that comes with the last byte cancels what is under way,
    /// and may cut the answer short.
    #[must_use]
    pub const fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Bytes of all steps.
    pub(super) fn len(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    /// The first `upto` bytes in pieces.
    pub(super) fn pieces(&self, cuts: Cuts, upto: usize) -> Vec<Piece<'_>> {
        let mut rng = Rng::new(if let Cuts::Random(seed) = cuts { seed } else { 0 });
        let (mut pieces, mut at) = (Vec::new(), 0);
        for step in &self.steps {
            let bytes = &step[..step.len().min(upto.saturating_sub(at))];
            let mut done = 0;
            while done < bytes.len() {
                let edge = done < BYTEWISE_MAX || bytes.len() - done <= BYTEWISE_MAX;
                let n = match cuts {
                    Cuts::Whole => bytes.len(),
                    Cuts::Bytewise if edge => 1,
                    // Over 2 KiB the middle comes in pieces, so that a test does not take minutes.
                    Cuts::Bytewise => 997.min(bytes.len() - done - BYTEWISE_MAX).max(1),
                    Cuts::Random(_) => rng.size(bytes.len().min(256.max(bytes.len() / 16))),
                };
                let range: Range<usize> = done..(done + n).min(bytes.len());
                pieces.push(Piece { begins_step: done == 0, bytes: &bytes[range.clone()] });
                done = range.end;
            }
            at += step.len();
        }
        pieces
    }

    /// The positions at which a peer's end is tried: all of a short conversation, `most` of a long one.
    pub(super) fn positions(&self, most: usize) -> Vec<usize> {
        let len = self.len();
        if len < most {
            return (0..=len).collect();
        }
        let third = most / 3;
        let middle = (1..=third).map(|nth| third + (len - 2 * third) * nth / (third + 1));
        let mut all: Vec<usize> = (0..third).chain(middle).chain(len - third..=len).collect();
        all.dedup();
        all
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, step) in self.steps.iter().enumerate() {
            let bar = if nth > 0 { " | " } else { "" };
            write!(f, "{bar}{}", show(step))?;
        }
        Ok(())
    }
}

/// How the bytes of a conversation are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cuts {
    /// Each step in one piece.
    Whole,
    /// Single bytes.
    Bytewise,
    /// By this seed.
    Random(u64),
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("sent whole"),
            Self::Bytewise => f.write_str("sent byte by byte"),
            Self::Random(seed) => write!(f, "sent in random pieces (SIM_SEED={seed})"),
        }
    }
}

/// Some bytes of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// The peer waits for what is answered before it sends this.
    pub(super) begins_step: bool,
    pub(super) bytes: &'a [u8],
}

/// Drops what follows each `name` up to the next of the bytes `end`, or to the end: for dates and ports in answers.
///
/// It makes a prefix of an answer into a prefix of the whole one, as a normalisation has to.
///
/// ```
/// use tidemill::reactor::testing::contract::mask;
///
/// let answer = b"HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n".to_vec();
/// assert_eq!(mask(answer, b"Date:", b"\r\n"), b"HTTP/1.1 200 OK\r\nDate:\r\n\r\n");
/// ```
#[must_use]
pub fn mask(answer: Vec<u8>, name: &[u8], end: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.len());
    let mut rest = answer.as_slice();
    while let Some(at) = find(rest, name) {
        let (before, after) = rest.split_at(at + name.len());
        out.extend_from_slice(before);
        rest = &after[after.iter().position(|byte| end.contains(byte)).unwrap_or(after.len())..];
    }
    out.extend_from_slice(rest);
    out
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = what.first()?;
    let mut at = 0;
    // By the first byte: without optimisation it is much faster than to compare every window.
    while let Some(skip) = text[at..].iter().position(|byte| byte == first) {
        at += skip;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Bytes for a message: their beginning, quoted.
pub(super) fn show(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_MAX) {
        Some(first) if bytes.len() > SHOWN_MAX => {
            format!("\"{}\"… ({} bytes)", first.escape_ascii(), bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// Says where two answers part, with what stands there.
pub(super) fn difference(what: &str, got: &[u8], against: &str, right: &[u8]) -> String {
    let at = got.iter().zip(right).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(20);
    format!(
        "{what} differs from {against} at byte {at} (of {} and {}): {} and not {}",
        got.len(),
        right.len(),
        show(&got[from..]),
        show(&right[from..])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_conversation_whatever_the_cut() {
        let long = Conversation::new(vec![7; 5000]).then(b"end");
        for cuts in [Cuts::Whole, Cuts::Bytewise, Cuts::Random(3)] {
            for upto in [0, 1, 4999, 5001, long.len()] {
                let pieces = long.pieces(cuts, upto);
                let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
                assert_eq!(bytes, upto, "{cuts}");
                assert!(pieces.iter().all(|piece| !piece.bytes.is_empty()), "{cuts}");
                assert_eq!(
                    pieces.iter().filter(|p| p.begins_step).count(),
                    upto.min(1) + usize::from(upto > 5000)
                );
            }
        }
    }

    #[test]
    fn positions_hold_both_ends_and_no_more_than_asked() {
        assert_eq!(Conversation::new(b"abc").positions(60), [0, 1, 2, 3]);
        let long = Conversation::new(vec![0; 10_000]).positions(60);
        assert!(long.len() <= 62 && long[..3] == [0, 1, 2] && long.ends_with(&[9_999, 10_000]), "{long:?}");
        assert!(long.is_sorted());
    }

    #[test]
    fn a_mask_keeps_prefixes_prefixes() {
        let whole = b"a: 1\nDate: x y z\nb\nDate: q\n".to_vec();
        let masked = mask(whole.clone(), b"Date:", b"\n");
        assert_eq!(masked, b"a: 1\nDate:\nb\nDate:\n");
        for n in 0..whole.len() {
            assert!(masked.starts_with(&mask(whole[..n].to_vec(), b"Date:", b"\n")), "{n}");
        }
    }
}
