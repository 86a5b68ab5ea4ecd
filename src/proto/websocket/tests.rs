//! The decoder against its naive model and against the RFC's examples.

use proptest::prelude::*;

use super::checks::{Told, any_cut, arrivals, frame, round_trip};
use super::frame::{Opcode, Sender};
use super::{Decoder, Limits, fault};

const KEY: Option<[u8; 4]> = Some([9, 8, 7, 6]);

fn read(bytes: &[u8]) -> (Vec<Told>, Option<fault::Fault>) {
    arrivals(bytes, &[], Sender::Client, Limits::default())
}

/// Frames that are good, frames that are nearly good, and noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        Just(Opcode::Continuation),
        Just(Opcode::Text),
        Just(Opcode::Binary),
        Just(Opcode::Close),
        Just(Opcode::Ping),
        Just(Opcode::Pong)
    ];
    let payload = prop_oneof![
        4 => "[a-zé€𝄞]{0,6}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..9),
        1 => Just(vec![b'x'; 126]),
        1 => (1000u16..1016).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let framed =
        (any::<bool>(), opcode, any::<[u8; 4]>(), payload).prop_map(|(fin, opcode, key, payload)| {
            frame(fin || opcode.is_control(), opcode, Some(key), &payload)
        });
    prop_oneof![12 => framed, 1 => proptest::collection::vec(any::<u8>(), 1..4)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_any_frames_gives_the_same_events_as_a_naive_model(
        pieces in proptest::collection::vec(piece(), 0..8), cuts in proptest::collection::vec(0usize..400, 0..8),
    ) {
        any_cut(&pieces.concat(), &cuts);
    }

    #[test]
    fn any_bytes_give_the_same_events_as_a_naive_model(
        bytes in proptest::collection::vec(any::<u8>(), 0..60), cuts in proptest::collection::vec(0usize..60, 0..4),
    ) {
        any_cut(&bytes, &cuts);
    }

    #[test]
    fn what_is_framed_comes_back(
        payload in proptest::collection::vec(any::<u8>(), 0..400), cuts in proptest::collection::vec(0usize..400, 0..4),
    ) {
        round_trip(&payload, &cuts);
    }

    #[test]
    fn text_comes_back_from_any_fragments(text in "\\PC{0,40}", cuts in proptest::collection::vec(0usize..160, 0..4)) {
        round_trip(text.as_bytes(), &cuts);
    }
}

#[test]
fn the_sizes_at_which_the_length_grows_come_back() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20] {
        round_trip(&vec![b'u'; len], &[0, len / 2, len]);
    }
}

#[test]
fn control_frames_come_between_the_fragments_of_a_message() {
    let stream = [
        frame(false, Opcode::Text, KEY, "€ u".as_bytes()),
        frame(true, Opcode::Ping, KEY, b"1"),
        frame(false, Opcode::Continuation, KEY, b""),
        frame(true, Opcode::Pong, KEY, b""),
        frame(true, Opcode::Continuation, KEY, b"ro"),
    ];
    let want = vec![Told::Ping(b"1".to_vec()), Told::Pong(vec![]), Told::Text("€ uro".into())];
    assert_eq!(read(&stream.concat()), (want, None));
}

#[test]
fn bad_text_is_told_with_the_byte_that_makes_it_bad() {
    for bad in [&b"\xff"[..], b"\xc0", b"\xed\xa0", b"\xf4\x90", b"\xe2\x28", b"ok\xf5"] {
        let mut decoder = Decoder::new(Sender::Client, Limits::default());
        let whole = frame(false, Opcode::Text, KEY, &[bad, b"and much more"].concat());
        let end = 6 + bad.len();
        assert_eq!(decoder.decode(&whole[..end - 1]), Ok((end - 1, None)), "{bad:x?}");
        assert_eq!(decoder.decode(&whole[end - 1..end]), Err(fault::BAD_TEXT), "{bad:x?}");
    }
}

#[test]
fn a_character_may_be_cut_by_fragments_but_not_by_the_end() {
    let euro = "€".as_bytes();
    let (a, b) =
        (frame(false, Opcode::Text, KEY, &euro[..1]), frame(true, Opcode::Continuation, KEY, &euro[1..]));
    assert_eq!(read(&[a.clone(), b].concat()), (vec![Told::Text("€".into())], None));
    let b = frame(true, Opcode::Continuation, KEY, &euro[1..2]);
    assert_eq!(read(&[a, b].concat()), (vec![], Some(fault::BAD_TEXT)));
}

#[test]
fn nothing_behind_a_close_is_an_event() {
    let close = frame(true, Opcode::Close, KEY, b"\x03\xe8done");
    let stream = [close, frame(true, Opcode::Text, KEY, b"late"), vec![0xff; 400]].concat();
    assert_eq!(read(&stream), (vec![Told::Close(Some((1000, "done".into())))], None));
}

#[test]
fn a_limit_is_met_exactly_and_passed_by_one() {
    let limits = Limits { message_bytes_max: 10, frame_bytes_max: 6 };
    let read = |stream: &[Vec<u8>]| arrivals(&stream.concat(), &[], Sender::Client, limits);
    let part = |fin, opcode, n| frame(fin, opcode, KEY, &vec![b'x'; n]);
    let good = [part(false, Opcode::Binary, 6), part(true, Opcode::Continuation, 4)];
    assert_eq!(read(&good), (vec![Told::Binary(vec![b'x'; 10])], None));
    let long = [part(false, Opcode::Binary, 6), part(true, Opcode::Continuation, 5)];
    assert_eq!(read(&long), (vec![], Some(fault::MESSAGE_TOO_LARGE)));
    assert_eq!(read(&[part(true, Opcode::Binary, 7)]), (vec![], Some(fault::FRAME_TOO_LARGE)));
}

#[test]
fn an_announced_length_takes_no_memory_before_its_bytes() {
    let mut decoder = Decoder::new(Sender::Client, Limits::default());
    let header = [0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4];
    assert_eq!(decoder.decode(&header), Ok((14, None)));
    assert_eq!(decoder.held(), 0);
    for _ in 0..100 {
        assert_eq!(decoder.decode(&[0; 10]), Ok((10, None)));
    }
    assert!((1000..=2000).contains(&decoder.held()), "{}", decoder.held());
    assert_eq!(decoder.arriving(), Some((1, 1000)));
}

#[test]
fn a_large_message_is_given_back_and_a_small_one_is_kept_for_the_next() {
    let mut decoder = Decoder::new(Sender::Client, Limits::default());
    for (len, held) in [(100, true), (100_000, false)] {
        let stream = frame(true, Opcode::Binary, KEY, &vec![0; len]);
        assert!(decoder.decode(&stream).unwrap().1.is_some());
        assert_eq!(decoder.decode(&[]), Ok((0, None)));
        assert_eq!(decoder.held() > 0, held);
    }
}
