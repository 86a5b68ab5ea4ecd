//! Tables of chunked bodies: RFC 9112 section 7.1 and the smuggling catalogues, in every cut.

use proptest::prelude::*;

use super::*;

/// Content and where the body ended, or the class of the fault; the same for every step.
fn decoded(input: &[u8]) -> Result<(Vec<u8>, Option<usize>), &'static str> {
    let whole = in_steps(input, input.len().max(1));
    for step in [1, 2, 3, 5] {
        assert_eq!(whole, in_steps(input, step), "in steps of {step}: {}", input.escape_ascii());
    }
    for cut in 0..input.len().min(600) {
        let mut decoder = Chunked::new();
        let first = decoder.decode(&input[..cut], |_| ());
        if let Ok(Progress { done: false, consumed }) = first {
            assert_eq!(consumed, cut);
            let second = decoder.decode(&input[cut..], |_| ());
            let end = second.map(|progress| progress.done.then_some(cut + progress.consumed));
            assert_eq!(end.map_err(|fault| fault.class.name), whole.clone().map(|(_, end)| end));
        }
    }
    whole
}

fn in_steps(input: &[u8], step: usize) -> Result<(Vec<u8>, Option<usize>), &'static str> {
    let mut decoder = Chunked::new();
    let (mut content, mut at) = (Vec::new(), 0);
    for piece in input.chunks(step) {
        let progress = decoder
            .decode(piece, |bytes| content.extend_from_slice(bytes))
            .map_err(|fault| fault.class.name)?;
        at += progress.consumed;
        if progress.done {
            return Ok((content, Some(at)));
        }
    }
    Ok((content, None))
}

fn good(input: &[u8], content: &[u8]) {
    assert_eq!(decoded(input), Ok((content.to_vec(), Some(input.len()))), "{}", input.escape_ascii());
    // Nothing behind the end is touched.
    let more = [input, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(decoded(&more), Ok((content.to_vec(), Some(input.len()))));
    // Every proper prefix waits for more.
    for end in 0..input.len() {
        assert!(matches!(in_steps(&input[..end], 64), Ok((_, None))), "{end} of {}", input.escape_ascii());
    }
}

fn bad(inputs: &[&[u8]]) {
    for input in inputs {
        assert_eq!(decoded(input), Err("http.bad_chunk"), "{}", input.escape_ascii());
    }
}

#[test]
fn good_bodies_give_their_content() {
    good(b"0\r\n\r\n", b"");
    good(b"000\r\n\r\n", b"");
    good(b"0000000000000000\r\n\r\n", b"");
    good(b"5\r\nhello\r\n0\r\n\r\n", b"hello");
    good(b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello");
    good(b"3\r\na\r\n\r\n1\r\n\n\r\n0\r\n\r\n", b"a\r\n\n");
    good(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789");
    good(b"1F\r\n0123456789012345678901234567890\r\n0\r\n\r\n", b"0123456789012345678901234567890");
    good(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n");
}

#[test]
fn sizes_are_bare_hexadecimal() {
    bad(&[
        b"0x5\r\nhello\r\n",
        b"0X5\r\nhello\r\n",
        b"x5\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"-0\r\n\r\n",
        b"5_0\r\n",
        b"_5\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"\t5\r\n",
        b"5\t\r\n",
        b"5 5\r\n",
        b"\r\nhello",
        b"\n",
        b"g\r\n",
        b"5g\r\n",
        b"5h\r\n",
        b"5.\r\n",
        b"5,5\r\n",
        b"\"5\"\r\n",
        b"\0",
        b"5\0\r\n",
        b"5\x0b\r\n",
        b"\xef\xbb\xbf5\r\n",
        b"5\x85\r\n",
        b"\xb2\r\n",
        b"5:\r\n",
        b";a\r\n",
        b"\r\n",
        b"/\r\n",
        b"@\r\n",
        b"`\r\n",
        b"00000000000000005\r\n",
        b"10000000000000000\r\n",
        b"fffffffffffffffff\r\n",
        b"00000000000000000\r\n",
    ]);
    assert_eq!(decoded(b"ffffffffffffffff\r\nhello"), Ok((b"hello".to_vec(), None)));
    assert_eq!(decoded(b"8000000000000000\r\nhello"), Ok((b"hello".to_vec(), None)));
}

#[test]
fn line_ends_are_crlf_and_data_has_its_size() {
    bad(&[
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\rhello",
        b"5\r\rhello",
        b"5\r\r\nhello",
        b"5\r\nhello\r0\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello \r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\n\r\nhello\r\n",
        b"0\r\n\rX",
        b"0\r\n\r\r\n",
        b"0\rX\n",
    ]);
}

#[test]
fn extensions_follow_their_grammar() {
    for ext in [
        ";a",
        ";a=b",
        ";a=\"b\"",
        ";a=\"\"",
        ";a;b",
        ";a=b;c=d",
        ";a=\"b;c=d\";e",
        ";a=\"\\\"\"",
        ";a=\"\\\\\"",
        "; a",
        ";\ta=b",
        ";a = b",
        ";a= \"b c\" ; d",
        ";a ;b",
        ";a=b ;c",
        ";a=\"\u{e9}\t!\"",
        ";!#$%&'*+-.^_`|~=1",
    ] {
        good(format!("5{ext}\r\nhello\r\n0{ext}\r\n\r\n").as_bytes(), b"hello");
    }
    for ext in [
        ";",
        ";;",
        ";a;",
        ";=b",
        ";a=",
        ";a=;",
        ";a==b",
        ";a=\"",
        ";a=\"b",
        ";a=\"b\"c",
        ";a=\"b\" c",
        ";a b",
        ";a=b c",
        " ;a",
        "\t;a",
        ";a ",
        ";a=b ",
        ";a=\"b\" ",
        "; ",
        ";a= ",
        ";a=\"\0\"",
        ";a=\"\u{1}\"",
        ";a=\"\u{7f}\"",
        ";a=\"\\\u{1}\"",
        ";a\0",
        ";a=b\0",
        ";\u{e9}",
        ";a=\u{e9}",
        ";a,b",
        ";a=(b)",
        ";a=\"\r\"",
        ";a=\"\n\"",
        ";a\n",
        ";a=b\n",
        ";a=\"b\"\n",
        ";a=\"\\\r\n\"",
        ";a\r",
        ";a=b\rc",
        ";\r",
    ] {
        bad(&[format!("5{ext}\r\nhello\r\n0\r\n\r\n").as_bytes()]);
    }
    bad(&[b"5;a\nhello\r\n", b"5;a=\"b\r\n\"\r\nhello\r\n", b"5;a\r\n\r\nhello"]);
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let max = usize::from(CHUNK_EXT_BYTES_MAX);
    let one = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(len - 1));
    assert!(in_steps(one(max).as_bytes(), 4096).is_ok());
    assert_eq!(decoded(one(max + 1).as_bytes()), Err("http.chunk_ext_too_large"));
    let many = |count: usize| format!("{}0\r\n\r\n", "1;a\r\nx\r\n".repeat(count));
    assert!(in_steps(many(max / 2).as_bytes(), 4096).is_ok());
    assert_eq!(decoded(many(max / 2 + 1).as_bytes()), Err("http.chunk_ext_too_large"));
    let endless = format!("1;a=\"{}", "b".repeat(100_000));
    assert_eq!(in_steps(endless.as_bytes(), 1000), Err("http.chunk_ext_too_large"));
}

#[test]
fn trailers_are_checked_like_fields_and_dropped() {
    for trailers in [
        "A: b\r\n",
        "A:b\r\nC: d\r\n",
        "A:\r\n",
        "A: \t\r\n",
        "A: \u{e9}\tb\r\n",
        "Content-Length: 5\r\n",
        "a!: :\r\n",
    ] {
        good(format!("1\r\nx\r\n0\r\n{trailers}\r\n").as_bytes(), b"x");
    }
    for trailers in [
        "A : b\r\n",
        "A\t: b\r\n",
        " A: b\r\n",
        "\tA: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        ": b\r\n",
        "A\r\n",
        "A b\r\n",
        "A: b\n",
        "A: b\rc\r\n",
        "A: b\r\r\n",
        "A: \0\r\n",
        "A\0: b\r\n",
        "A: \u{7f}\r\n",
        "A: \u{1}\r\n",
        "\u{e9}: b\r\n",
        "\n",
        "A(: b\r\n",
        "A: b\r\n\n",
        "\0",
        "A\"B: c\r\n",
        "GET / HTTP/1.1\r\n",
        "\rA: b\r\n",
    ] {
        bad(&[format!("1\r\nx\r\n0\r\n{trailers}\r\n").as_bytes()]);
    }
}

#[test]
fn trailers_are_bounded_in_bytes_and_fields() {
    let fields = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    good(fields(100).as_bytes(), b"");
    assert_eq!(decoded(fields(101).as_bytes()), Err("http.trailers_too_large"));
    assert_eq!(decoded(fields(10_000).as_bytes()), Err("http.trailers_too_large"));
    let value = |len: usize| format!("0\r\nA:{}\r\n\r\n", "b".repeat(len - 4));
    assert!(
        in_steps(value(usize::from(TRAILER_BYTES_MAX)).as_bytes(), 4096).is_ok_and(|(_, end)| end.is_some())
    );
    let over = value(usize::from(TRAILER_BYTES_MAX) + 1);
    assert_eq!(decoded(over.as_bytes()), Err("http.trailers_too_large"));
    assert_eq!(decoded(value(9000).as_bytes()), Err("http.trailers_too_large"));
    let endless = format!("0\r\nA: {}", "b".repeat(100_000));
    assert_eq!(in_steps(endless.as_bytes(), 1000), Err("http.trailers_too_large"));
}

#[test]
fn a_decoder_stays_done_and_stays_refused() {
    let mut decoder = Chunked::new();
    assert_eq!(decoder.decode(b"0\r\n\r\nx", |_| ()), Ok(Progress { consumed: 5, done: true }));
    assert_eq!(decoder.decode(b"0\r\n", |_| ()), Ok(Progress { consumed: 0, done: true }));
    assert!(decoder.is_done());
    let mut decoder = Chunked::new();
    assert_eq!(decoder.decode(b"x", |_| ()), Err(fault::BAD_CHUNK));
    assert_eq!(decoder.decode(b"0\r\n\r\n", |_| ()), Err(fault::BAD_CHUNK));
    assert_eq!(decoder.decode(b"", |_| ()), Err(fault::BAD_CHUNK));
    assert!(!decoder.is_done());
}

#[test]
fn a_length_counts_down_to_the_next_request() {
    let mut content = Vec::new();
    let mut decoder = BodyDecoder::new(Framing::Length(5));
    assert!(!decoder.is_done());
    for (input, consumed, done) in
        [(&b"he"[..], 2, false), (b"", 0, false), (b"lloGET", 3, true), (b"GET", 0, true)]
    {
        let progress = decoder.decode(input, |bytes| content.extend_from_slice(bytes));
        assert_eq!(progress, Ok(Progress { consumed, done }));
        assert_eq!(decoder.is_done(), done);
    }
    assert_eq!(content, b"hello");
    let mut huge = Length::new(u64::MAX);
    assert_eq!(huge.decode(b"abc", |_| ()), Progress { consumed: 3, done: false });
    assert_eq!(huge.left(), u64::MAX - 3);
}

#[test]
fn no_body_is_done_at_once() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut decoder = BodyDecoder::new(framing);
        assert!(decoder.is_done());
        let progress = decoder.decode(b"GET", |_| panic!("there is no content"));
        assert_eq!(progress, Ok(Progress { consumed: 0, done: true }));
    }
    assert!(!BodyDecoder::new(Framing::Chunked).is_done());
}

#[test]
fn decoders_are_small() {
    assert!(size_of::<Chunked>() <= 16);
    assert!(size_of::<BodyDecoder>() <= 24);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decode_of_encode_is_the_content(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
        upper in any::<bool>(), zeros in 0usize..6, ext in any::<bool>(), trailer in any::<bool>(),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            let size = if upper { format!("{:X}", chunk.len()) } else { format!("{:x}", chunk.len()) };
            wire.extend(format!("{}{size}{}\r\n", "0".repeat(zeros), if ext { ";a=\"b\"" } else { "" }).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(format!("0\r\n{}\r\n", if trailer { "A: b\r\n" } else { "" }).bytes());
        prop_assert_eq!(decoded(&wire), Ok((chunks.concat(), Some(wire.len()))));
    }
}
