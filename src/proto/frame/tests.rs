use super::*;
use proptest::prelude::*;
use std::num::NonZeroUsize;

fn ok(payload: &[u8], consumed: usize) -> Result<Option<Frame<'_>>, FrameError> {
    Ok(Some(Frame { payload, consumed }))
}

fn too_long(max: usize) -> Result<Option<Frame<'static>>, FrameError> {
    Err(FrameError::TooLong { max })
}

fn malformed(at: usize, expected: &'static str) -> Result<Option<Frame<'static>>, FrameError> {
    Err(FrameError::Malformed { at, expected })
}

#[test]
fn lines_end_where_their_option_says() {
    let decode = |ending, input| Lines::new(ending, 10).decode(input);
    assert_eq!(decode(Ending::Lf, b"a\r\nb"), ok(b"a\r", 3));
    assert_eq!(decode(Ending::CrLf, b"a\r\nb"), ok(b"a", 3));
    assert_eq!(decode(Ending::Either, b"a\r\nb"), ok(b"a", 3));
    assert_eq!(decode(Ending::CrLf, b"a\nb\rc\r\r\n"), ok(b"a\nb\rc\r", 8));
    assert_eq!(decode(Ending::Either, b"a\nb"), ok(b"a", 2));
    assert_eq!(decode(Ending::Either, b"a\r\r\n"), ok(b"a\r", 4));
    assert_eq!(decode(Ending::Either, b"\n"), ok(b"", 1));
    assert_eq!(decode(Ending::Either, b"\r\n"), ok(b"", 2));
    assert_eq!(decode(Ending::CrLf, b"\n"), Ok(None));
    assert_eq!(decode(Ending::Either, b"\r"), Ok(None));
}

#[test]
fn a_line_may_have_its_limit_and_not_one_byte_more() {
    for ending in [Ending::Lf, Ending::CrLf, Ending::Either] {
        let decode = |input| Lines::new(ending, 3).decode(input);
        assert_eq!(decode(b"abc"), Ok(None));
        assert_eq!(decode(b"abcd"), too_long(3));
        assert_eq!(decode(b"abcd\n"), too_long(3));
        assert_eq!(decode(b"abcd\r\n"), too_long(3));
    }
    assert_eq!(Lines::new(Ending::Lf, 3).decode(b"abc\n"), ok(b"abc", 4));
    assert_eq!(Lines::new(Ending::Lf, 3).decode(b"abc\r"), too_long(3));
    assert_eq!(Lines::new(Ending::CrLf, 3).decode(b"abc\r"), Ok(None));
    assert_eq!(Lines::new(Ending::CrLf, 3).decode(b"abc\r\n"), ok(b"abc", 5));
    assert_eq!(Lines::new(Ending::CrLf, 3).decode(b"abc\rx"), too_long(3));
    assert_eq!(Lines::new(Ending::Either, 3).decode(b"abc\r\n"), ok(b"abc", 5));
    assert_eq!(Lines::new(Ending::Either, 0).decode(b"\r\n"), ok(b"", 2));
    assert_eq!(Lines::new(Ending::Either, 0).decode(b"x"), too_long(0));
}

#[test]
fn a_long_partial_line_is_not_searched_from_its_start_again() {
    // What was searched is overwritten with LF: a decoder that looked again would find it.
    let mut lines = Lines::new(Ending::Either, 1_000_000);
    let mut received = vec![b'x'; 100_000];
    assert_eq!(lines.decode(&received), Ok(None));
    received[5_000] = b'\n';
    received.extend_from_slice(b"yz\n");
    assert_eq!(lines.decode(&received).map(|frame| frame.map(|frame| frame.consumed)), Ok(Some(100_003)));
    // The next line starts afresh, and a shorter input is another line.
    assert_eq!(lines.decode(&received).map(|frame| frame.map(|frame| frame.consumed)), Ok(Some(5_001)));
    assert_eq!(lines.decode(b"abcdef"), Ok(None));
    assert_eq!(lines.decode(b"ab\n"), ok(b"ab", 3));
}

#[test]
fn the_end_of_a_line_is_found_at_every_distance() {
    for len in 0..200 {
        let mut line = vec![b'x'; len];
        line.extend_from_slice(b"\r\nmore\n");
        assert_eq!(Lines::new(Ending::Either, 200).decode(&line), ok(&line[..len], len + 2));
    }
}

#[test]
fn a_line_cannot_hold_its_own_end() {
    let fits = |ending, payload| Lines::new(ending, 10).encoded_len(payload).is_ok();
    assert!(!fits(Ending::Lf, b"a\nb"));
    assert!(!fits(Ending::Either, b"a\nb"));
    assert!(!fits(Ending::CrLf, b"a\n\r\nb"));
    assert!(fits(Ending::CrLf, b"a\nb\r"));
    assert!(fits(Ending::Lf, b"a\r"));
}

#[test]
fn netstrings_have_one_spelling() {
    let decode = |input| Netstring::new(1_000).decode(input);
    assert_eq!(decode(b"12:hello world!,"), ok(b"hello world!", 16));
    assert_eq!(decode(b"0:,"), ok(b"", 3));
    assert_eq!(decode(b"00:,"), malformed(1, "colon"));
    assert_eq!(decode(b"01:a,"), malformed(1, "colon"));
    assert_eq!(decode(b":,"), malformed(0, "digit"));
    assert_eq!(decode(b"+1:a,"), malformed(0, "digit"));
    assert_eq!(decode(b" 1:a,"), malformed(0, "digit"));
    assert_eq!(decode(b"1 :a,"), malformed(1, "digit or colon"));
    assert_eq!(decode(b"1:ab,"), malformed(3, "comma"));
    assert_eq!(decode(b"1:a\n"), malformed(3, "comma"));
    assert_eq!(decode(b""), Ok(None));
    assert_eq!(decode(b"1:a"), Ok(None));
}

#[test]
fn a_netstring_is_refused_by_its_length_before_its_payload_comes() {
    assert_eq!(Netstring::new(12).decode(b"12:"), Ok(None));
    assert_eq!(Netstring::new(12).decode(b"13"), too_long(12));
    assert_eq!(Netstring::new(usize::MAX).decode(b"18446744073709551616"), too_long(usize::MAX));
    assert_eq!(Netstring::new(usize::MAX).decode(b"18446744073709551615:"), too_long(usize::MAX));
    assert_eq!(Netstring::new(0).decode(b"0:,"), ok(b"", 3));
    assert_eq!(Netstring::new(0).decode(b"1"), too_long(0));
}

#[test]
fn length_prefixes_are_read_in_every_form() {
    let two = LengthPrefix::new(Width::Two, 300);
    assert_eq!({ two }.decode(&[0, 1, 7, 9]), ok(&[7], 3));
    assert_eq!(two.little_endian().decode(&[1, 0, 7, 9]), ok(&[7], 3));
    assert_eq!(two.counting_itself().decode(&[0, 3, 7, 9]), ok(&[7], 3));
    assert_eq!(two.counting_itself().decode(&[0, 2]), ok(&[], 2));
    assert_eq!(two.counting_itself().decode(&[0, 1]), malformed(0, "length that includes its own size"));
    assert_eq!({ two }.decode(&[1, 44]), Ok(None));
    assert_eq!({ two }.decode(&[1, 45]), too_long(300));
    assert_eq!(two.counting_itself().decode(&[1, 46]), Ok(None));
    assert_eq!(two.counting_itself().decode(&[1, 47]), too_long(300));
    let eight = LengthPrefix::new(Width::Eight, usize::MAX);
    assert_eq!({ eight }.decode(&[255; 8]), too_long(usize::MAX));
    assert_eq!(eight.little_endian().decode(&[1, 0, 0, 0, 0, 0, 0, 0, 5]), ok(&[5], 9));
}

#[test]
fn a_prefix_bounds_the_payload_if_the_limit_does_not() {
    let one = LengthPrefix::new(Width::One, 1_000);
    assert_eq!(one.encoded_len(&[0; 255]), Ok(256));
    assert_eq!(one.encoded_len(&[0; 256]), Err(FrameError::TooLong { max: 255 }));
    let one = one.counting_itself();
    assert_eq!(one.encoded_len(&[0; 254]), Ok(255));
    assert_eq!(one.encoded_len(&[0; 255]), Err(FrameError::TooLong { max: 254 }));
}

#[test]
fn the_iterator_ends_before_a_partial_frame_and_after_an_error() {
    let mut lines = Lines::new(Ending::Lf, 3);
    let mut list = frames(&mut lines, b"a\nbc\nd");
    assert_eq!(list.by_ref().flatten().collect::<Vec<_>>(), [b"a".as_slice(), b"bc"]);
    assert_eq!((list.next(), list.consumed()), (None, 5));

    let mut list = frames(&mut lines, b"a\nbcde\nd\n");
    assert_eq!(list.next(), Some(Ok(b"a".as_slice())));
    assert_eq!(list.next(), Some(Err(FrameError::TooLong { max: 3 })));
    assert_eq!((list.next(), list.consumed()), (None, 2), "the line that is too long is kept");
}

#[test]
fn an_envelope_is_bounded() {
    assert!(Envelope::new(&[0; 40], &[0; 6]).is_ok());
    assert!(Envelope::new(&[0; 40], &[0; 7]).is_err());
}

#[test]
fn codecs_are_small_enough_for_a_connection() {
    assert!(size_of::<Lines>() <= 24 && size_of::<LengthPrefix>() <= 24 && size_of::<Netstring>() <= 24);
    assert_eq!(size_of::<Fixed>(), size_of::<NonZeroUsize>());
}

/// Bytes that look like frames more often than chance would have it.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            b"\n".as_slice(), b"\r\n", b"\r", b"0:,", b"1:a,", b"5:hello,", b"12:", b"00", b"7:a", b"\0\x01x",
            b"\0\0\0\x02ab", b"\x02\0\0\0ab", b"\0\0\0\0\0\0\0\x01z", b"\x09\0\0\0\0\0\0\0z", b"\0",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::collection::vec(prop::sample::select(b"ab\r\n01:,".to_vec()), 0..50),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(wire in wire(), cuts in prop::collection::vec(0..100usize, 0..20)) {
        checks::any_cut(&wire, &cuts);
        checks::any_cut(&wire, &(0..wire.len()).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_encoded_is_decoded(payload in prop_oneof![wire(), prop::collection::vec(any::<u8>(), 0..310)]) {
        checks::round_trip(&payload);
    }
}
