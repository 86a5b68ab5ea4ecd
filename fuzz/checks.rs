//! What must hold for any bytes at all: the oracles of the fuzz targets, of `tests/corpus.rs` and of its properties.
//!
//! Included by path, so that they use the public interface only. A broken promise panics.

use tidemill::proto::http1::body::{BodyDecoder, Chunked};
use tidemill::proto::http1::fault::Fault;
use tidemill::proto::http1::head::{
    FieldStore, Form, Framing, Head, Limits, Progress, Status, Version, parse,
};

/// A head as a comparable value.
fn show(head: &Head<'_>) -> String {
    format!("{head:?}")
}

/// What `parse` says about the prefixes of `data` given by `cuts`, in one connection: the first verdict, or `None`.
fn in_cuts(data: &[u8], limits: &Limits, cuts: impl Iterator<Item = usize>) -> Option<Result<String, Fault>> {
    let mut progress = Progress::default();
    for cut in cuts {
        let mut store = FieldStore::new();
        match parse(&data[..cut], limits, &mut progress, &mut store) {
            Ok(Status::Partial) => {}
            Ok(Status::Complete(head)) => {
                assert_eq!(progress, Progress::default());
                return Some(Ok(show(&head)));
            }
            Err(fault) => return Some(Err(fault)),
        }
    }
    None
}

/// The first byte steers limits and steps, the rest is the stream.
pub(crate) fn head(data: &[u8]) {
    let Some((&steer, data)) = data.split_first() else { return };
    let limits = match steer & 3 {
        0 => Limits { head_bytes_max: 96, uri_bytes_max: 24, fields_max: 4 },
        1 => Limits { head_bytes_max: 200, uri_bytes_max: 100, fields_max: 2 },
        _ => Limits::default(),
    };
    head_with(data, &limits, usize::from(steer >> 2));
}

/// The same verdict for the whole input, for each byte by itself, for steps of `step` and for every fresh prefix.
pub(crate) fn head_with(data: &[u8], limits: &Limits, step: usize) {
    let whole = in_cuts(data, limits, [data.len()].into_iter());
    assert_eq!(whole, in_cuts(data, limits, 0..=data.len()), "byte by byte");
    let step = step.max(2);
    let steps = (0..=data.len()).step_by(step).chain([data.len()]);
    assert_eq!(whole, in_cuts(data, limits, steps), "in steps of {step}");
    let mut first = None;
    if data.len() <= 2048 {
        for end in 0..=data.len() {
            let verdict = in_cuts(data, limits, [end].into_iter());
            assert!(
                first.is_none() || first == verdict,
                "a verdict changed at {end}: {first:?}, {verdict:?}"
            );
            first = verdict;
        }
        assert_eq!(whole, first);
    }
    let mut store = FieldStore::new();
    if let Ok(Status::Complete(found)) = parse(data, limits, &mut Progress::default(), &mut store) {
        sane(&found, data, limits);
    }
}

/// What every accepted head promises.
fn sane(head: &Head<'_>, data: &[u8], limits: &Limits) {
    let bytes = &data[..head.consumed];
    assert!(head.consumed <= limits.head_bytes_max as usize && bytes.ends_with(b"\r\n\r\n"));
    assert!(head.target.len() <= limits.uri_bytes_max.max(1) as usize && !head.target.is_empty());
    assert!(head.target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
    assert!(head.fields().len() <= usize::from(limits.fields_max));
    for (at, byte) in bytes.iter().enumerate() {
        assert!(*byte != 0 && (*byte >= b' ' && *byte != 0x7f || b"\t\r\n".contains(byte)));
        assert!(*byte != b'\n' || bytes[at - 1] == b'\r', "bare LF at {at}");
        assert!(*byte != b'\r' || bytes[at + 1] == b'\n', "bare CR at {at}");
    }
    let count = |name: &str| head.field_all(name).count();
    assert!(count("host") <= 1 && count("content-length") <= 1 && count("transfer-encoding") <= 1);
    assert!(head.version == Version::Http10 || count("host") == 1);
    let codings = count("transfer-encoding");
    match head.framing {
        Framing::None => assert!(codings == 0 && count("content-length") == 0),
        Framing::Length(length) => {
            let value = std::str::from_utf8(head.field("content-length").unwrap()).unwrap();
            assert!(codings == 0 && value.parse() == Ok(length) && !value.starts_with('+'));
        }
        Framing::Chunked => assert!(codings == 1 && count("content-length") == 0),
    }
    match head.form {
        Form::Origin | Form::Absolute => assert!(head.path.starts_with(b"/")),
        Form::Authority => assert!(head.path.is_empty() && head.authority == Some(head.target)),
        Form::Asterisk => assert!(head.path == b"*"),
    }
    let mut theirs = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut theirs);
    assert_eq!(request.parse(data), Ok(httparse::Status::Complete(head.consumed)));
    assert_eq!(
        (request.method, request.path),
        (Some(head.method.as_str()), std::str::from_utf8(head.target).ok())
    );
    assert!(request.headers.iter().map(|field| (field.name, field.value)).eq(head.fields()));
}

/// What a decoder makes of pieces of `data`: content, and where the body ended, or the fault.
fn decode(data: &[u8], mut decoder: BodyDecoder, step: usize) -> (Vec<u8>, Result<Option<usize>, Fault>) {
    let mut content = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let end = data.len().min(at + step);
        match decoder.decode(&data[at..end], |bytes| {
            assert!(!bytes.is_empty());
            content.extend_from_slice(bytes);
        }) {
            Ok(progress) => {
                assert!(progress.done || progress.consumed == end - at);
                assert_eq!(progress.done, decoder.is_done());
                at += progress.consumed;
                if progress.done {
                    return (content, Ok(Some(at)));
                }
            }
            Err(fault) => {
                assert_eq!(decoder.decode(b"0\r\n\r\n", |_| ()), Err(fault), "a fault stays");
                return (content, Err(fault));
            }
        }
    }
    (content, Ok(None))
}

/// The same content, end and fault for every step; agreement with a plain decoder that knows the whole input.
pub(crate) fn chunked(data: &[u8]) {
    let (content, end) = decode(data, BodyDecoder::Chunked(Chunked::new()), data.len().max(1));
    for step in [1, 2, 3, 7] {
        let cut = decode(data, BodyDecoder::Chunked(Chunked::new()), step);
        assert_eq!((&content, &end), (&cut.0, &cut.1), "in steps of {step}");
    }
    assert!(content.len() <= data.len());
    if let Ok(Some(end)) = end {
        assert_eq!(plain(&data[..end]), Some(content));
    }
}

/// A naive model for complete bodies: split off lines, trust nothing but their lengths.
fn plain(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let size = line_of(&mut data)?;
        let digits = size.split(|byte| *byte == b';').next()?;
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        content.extend_from_slice(data.get(..size)?);
        data = data.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let trailer = line_of(&mut data)?;
        if trailer.is_empty() {
            return data.is_empty().then_some(content);
        }
        let colon = trailer.iter().position(|byte| *byte == b':')?;
        if colon == 0 || trailer[..colon].iter().any(u8::is_ascii_whitespace) {
            return None;
        }
    }
}

/// Splits off one line that ends in CRLF and holds no other line end.
fn line_of<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = data.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = data.split_at(end);
    *data = &rest[2..];
    (!line.iter().any(|byte| b"\r\n\0".contains(byte))).then_some(line)
}
