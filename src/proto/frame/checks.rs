//! What must hold of every codec for all bytes: for tests, and for a fuzzer to call.
//!
//! Each function panics where the contract of [`Codec`] is broken. They buffer and allocate as they like; nothing
//! that serves calls them.

use super::{Codec, Ending, Fixed, Frame, FrameError, LengthPrefix, Lines, Netstring, Width};
use std::num::NonZeroUsize;

/// What a stream of bytes came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Payload and size of each frame.
    frames: Vec<(Vec<u8>, usize)>,
    error: Option<FrameError>,
}

/// Runs `bytes`, cut into arrivals at the positions `cuts` (in any order, those beyond the end are ignored),
/// through each codec of this crate, and compares with the same bytes in one piece.
///
/// # Panics
/// If the frames or the error differ, or anything else in [`Codec`]'s contract is broken.
pub fn any_cut(bytes: &[u8], cuts: &[usize]) {
    each(|codec| {
        let whole = arrivals(&mut *codec(), bytes, &[]);
        let cut = arrivals(&mut *codec(), bytes, cuts);
        assert_eq!(whole, cut, "cut at {cuts:?}");
    });
}

/// Wraps `payload` with each codec of this crate that can hold it, and unwraps it again from the whole frame and
/// from every part of it.
///
/// # Panics
/// If it does not come back as it was, or anything else in [`Codec`]'s contract is broken.
pub fn round_trip(payload: &[u8]) {
    each(|codec| there_and_back(codec, payload));
}

/// Calls `check` with a maker of each codec, in each of its forms and with limits that short inputs reach.
fn each(mut check: impl FnMut(&dyn Fn() -> Box<dyn Codec>)) {
    for max in [0, 1, 2, 3, 7, 40, 300, usize::MAX] {
        for ending in [Ending::Lf, Ending::CrLf, Ending::Either] {
            check(&|| Box::new(Lines::new(ending, max)));
        }
        check(&|| Box::new(Netstring::new(max)));
        for width in [Width::One, Width::Two, Width::Four, Width::Eight] {
            let plain = LengthPrefix::new(width, max);
            check(&|| Box::new(plain));
            check(&|| Box::new(plain.little_endian()));
            check(&|| Box::new(plain.counting_itself()));
            check(&|| Box::new(plain.little_endian().counting_itself()));
        }
        if let Some(size) = NonZeroUsize::new(max) {
            check(&|| Box::new(Fixed(size)));
        }
    }
}

/// Feeds a codec as a reactor does: a receive buffer that grows by each arrival and is consumed from its front.
fn arrivals(codec: &mut dyn Codec, bytes: &[u8], cuts: &[usize]) -> Outcome {
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|&cut| cut < bytes.len()).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut outcome = Outcome { frames: Vec::new(), error: None };
    let mut start = 0;
    for end in ends {
        loop {
            let input = &bytes[start..end];
            match codec.decode(input) {
                Ok(Some(frame)) => {
                    check_frame(input, &frame);
                    outcome.frames.push((frame.payload.to_vec(), frame.consumed));
                    start += frame.consumed;
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(codec.decode(input), Err(error), "the same bytes give the same error");
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
    }
    outcome
}

/// The frame took something, not more than there was, and its payload lies within what it took.
fn check_frame(input: &[u8], frame: &Frame<'_>) {
    assert!((1..=input.len()).contains(&frame.consumed), "takes {} of {}", frame.consumed, input.len());
    let taken = input[..frame.consumed].as_ptr_range();
    let payload = frame.payload.as_ptr_range();
    assert!(taken.start <= payload.start && payload.end <= taken.end, "borrowed from the frame");
}

fn there_and_back(codec: &dyn Fn() -> Box<dyn Codec>, payload: &[u8]) {
    let mut encoded = b"before".to_vec();
    let size = match codec().encode(payload, &mut encoded) {
        Ok(size) => size,
        Err(error) => {
            assert!(matches!(error, FrameError::TooLong { .. } | FrameError::Unfit { .. }), "{error}");
            assert_eq!(encoded, b"before");
            assert_eq!(codec().encode_into(payload, &mut [0; 512]), Err(error));
            assert_eq!(codec().encoded_len(payload), Err(error));
            return;
        }
    };
    assert_eq!(encoded.len(), 6 + size);
    let encoded = &encoded[6..];
    assert_eq!(codec().encoded_len(payload), Ok(size));
    let mut exact = vec![0; size];
    assert_eq!(codec().encode_into(payload, &mut exact), Ok(size));
    assert_eq!(exact, encoded);
    let short = &mut exact[1..];
    assert_eq!(codec().encode_into(payload, short), Err(FrameError::NoRoom { needed: size }));

    let mut decoder = codec();
    for part in 0..size {
        assert_eq!(decoder.decode(&encoded[..part]), Ok(None), "{part} of {size} bytes");
    }
    assert_eq!(decoder.decode(encoded), Ok(Some(Frame { payload, consumed: size })));
    let mut more = encoded.to_vec();
    more.extend_from_slice(encoded);
    assert_eq!(codec().decode(&more), Ok(Some(Frame { payload, consumed: size })));
}
