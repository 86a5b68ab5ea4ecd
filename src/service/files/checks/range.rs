//! Conditions and ranges against a model that decides byte by byte and line by line what RFC 9110 13.2.2 and 14.2 say.

use super::super::condition::{Fields, Verdict, evaluate};
use super::super::meta::{Meta, Stamp};
use super::super::multipart::Multipart;
use super::super::plan::{Plan, plan};
use super::super::range::{GAP_MAX, PARTS_MAX, SPECS_MAX};
use super::super::{date, validator::Validators};
use crate::proto::http1::head::Method;

const NOW: u64 = 1_795_000_000;
const DATE: u64 = 784_111_777;
const KIND: &str = "text/plain";

/// Lines for [`range_vs_model`] that meet its resource.
pub const LINES: &[&str] = &[
    "bytes=0-3",
    "bytes=-7",
    "bytes=300-,0-0,-1",
    "bytes=9999-",
    "bytes=0-0,200-300,500-600,900-",
    "GET",
    "HEAD",
    "PUT",
    "OPTIONS",
    "If-Match: *",
    "If-Match: \"@\"",
    "If-Match: W/\"@\"",
    "If-Match: \"x\", \"@\"",
    "if-match: \"x\"",
    "If-Match: \"@",
    "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT",
    "If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT",
    "If-None-Match: *",
    "If-None-Match: \"@\"",
    "If-None-Match: \"a,b\", W/\"@\"",
    "If-None-Match: \"x\"",
    "If-None-Match: \"@\" junk",
    "If-Modified-Since: Sun Nov  6 08:49:37 1994",
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT",
    "If-Modified-Since: never",
    "If-Range: \"@\"",
    "If-Range: W/\"@\"",
    "If-Range: \"x\"",
    "If-Range: Sun, 06 Nov 1994 08:49:37 GMT",
    "If-Range: Sun, 06 Nov 1994 08:49:38 GMT",
];

/// The answer, with the bytes that are sent and where they begin.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Failed,
    NotModified,
    Whole,
    Unsatisfiable,
    Parts(Vec<(usize, Vec<u8>)>),
}

/// The first byte says a size and which validators there are. Then come lines, cut at LF: a method, `name: value`, in
/// which `@` is the current tag without its quotes, or else a value of `Range`. What is answered is what the model
/// says, and the bytes of the parts, taken out of their multipart body, are those of the representation.
///
/// # Panics
/// When the two disagree.
pub fn range_vs_model(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    // Small sizes are themselves; the others reach to 4 KiB, so that sixteen parts and more find room.
    let size = if first < 128 { usize::from(first) } else { (usize::from(first) - 127) * 32 };
    let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    let current = validators(first);
    let tag = current.etag().trim_start_matches("W/").trim_matches('"').as_bytes();
    let (mut method, mut lines) = (Method::Get, Vec::new());
    for line in text.split(|&b| b == b'\n') {
        match line {
            b"GET" => method = Method::Get,
            b"HEAD" => method = Method::Head,
            b"PUT" => method = Method::Put,
            b"OPTIONS" => method = Method::Options,
            _ => lines.push(field(line, tag)),
        }
    }
    let fields = Fields::from_lines(lines.iter().map(|(name, value)| (&**name, &**value)), NOW);
    let got = answer(&method, &fields, &current, &body);
    let want = model(&method, &lines, &current, first, &body);
    assert_eq!(got, want, "{size} bytes, {current:?}, {}", text.escape_ascii());
}

fn validators(first: u8) -> Validators {
    let at = Stamp { sec: DATE as i64, nsec: 1 };
    let meta = Meta { size: u64::from(first), mtime: at, ctime: at, dev: 1, ino: 1 };
    let made = |etag| Validators::with(etag, Some(DATE)).unwrap_or_else(|_| Validators::new(&meta, NOW));
    match first % 3 {
        0 => made("\"v\""),
        1 => made("W/\"v\""),
        _ => Validators::new(&meta, NOW),
    }
}

/// A line as a field, its value without blanks around it, as the parser of heads gives it.
fn field(line: &[u8], tag: &[u8]) -> (String, Vec<u8>) {
    let Some(colon) = line.iter().position(|&b| b == b':') else {
        return ("Range".to_owned(), line.to_vec());
    };
    let (name, value) = line.split_at(colon);
    let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
    let with_tag = value.split(|&b| b == b'@').collect::<Vec<_>>().join(tag);
    (String::from_utf8_lossy(name).into_owned(), with_tag)
}

fn answer(method: &Method<'_>, fields: &Fields<'_>, current: &Validators, body: &[u8]) -> Answer {
    let size = body.len() as u64;
    if !matches!(method, Method::Get | Method::Head) {
        return match evaluate(method, fields, Some(current)) {
            Verdict::PreconditionFailed => Answer::Failed,
            Verdict::NotModified => Answer::NotModified,
            Verdict::Proceed { range } => {
                assert_eq!(range, None, "a range of {method:?}");
                Answer::Whole
            }
        };
    }
    match plan(*method == Method::Head, size, current, fields) {
        Plan::Full { len } => {
            assert_eq!(len, size);
            Answer::Whole
        }
        Plan::Partial { start, end, total } => {
            assert_eq!(total, size);
            Answer::Parts(vec![(start as usize, body[start as usize..end as usize].to_vec())])
        }
        Plan::Parts { parts, total } => match Multipart::new(&parts, total, KIND, current.etag()) {
            None => Answer::Whole,
            Some(multipart) => {
                let sent = multipart.body(body).unwrap_or_default();
                assert_eq!(sent.len() as u64, multipart.content_length());
                assert!(sent.len() < body.len(), "longer than the whole");
                Answer::Parts(take_apart(&sent, &multipart.content_type(), body.len()))
            }
        },
        Plan::NotModified => Answer::NotModified,
        Plan::PreconditionFailed => Answer::Failed,
        Plan::Unsatisfiable { total } => {
            assert_eq!(total, size);
            Answer::Unsatisfiable
        }
    }
}

/// The parts of a multipart body as a client finds them: by the boundary alone.
fn take_apart(sent: &[u8], content_type: &str, total: usize) -> Vec<(usize, Vec<u8>)> {
    let (_, boundary) = content_type.split_once("boundary=").unwrap_or_default();
    // The delimiter of RFC 2046 begins with a line end, which the first one of a body lacks.
    let all = [b"\r\n", sent].concat();
    let delimiter = format!("\r\n--{boundary}");
    let mut pieces = Vec::new();
    let mut rest = &all[..];
    while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter.as_bytes()) {
        pieces.push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n", "the end");
    assert_eq!(pieces.remove(0), b"", "a preamble");
    let take = |piece: &[u8]| {
        let blank = piece.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, bytes) = piece.split_at(blank.map_or(0, |at| at + 4));
        let head = String::from_utf8_lossy(head);
        let prefix = format!("\r\nContent-Type: {KIND}\r\nContent-Range: bytes ");
        let range = head.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("\r\n\r\n"));
        let (range, whole) = range.and_then(|range| range.split_once('/')).unwrap_or_default();
        let (first, last) = range.split_once('-').unwrap_or_default();
        let number = |text: &str| text.parse::<usize>().unwrap_or(usize::MAX);
        assert_eq!((number(whole), number(last)), (total, number(first) + bytes.len() - 1), "{head}");
        (number(first), bytes.to_vec())
    };
    pieces.into_iter().map(take).collect()
}

/// 13.2.2, step by step.
fn model(
    method: &Method<'_>,
    lines: &[(String, Vec<u8>)],
    current: &Validators,
    first: u8,
    body: &[u8],
) -> Answer {
    let values = |name: &str| -> Vec<&[u8]> {
        lines.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..]).collect()
    };
    let only = |name: &str| if let [value] = values(name)[..] { Some(value) } else { None };
    let since = |name: &str| only(name).and_then(|value| date::parse(value, NOW));
    let ours = current.etag();
    let naked = ours.trim_start_matches("W/");
    let reads = matches!(method, Method::Get | Method::Head);
    if *method == Method::Options {
        return Answer::Whole;
    }
    let list = values("if-match");
    if !list.is_empty() {
        let list = list.join(&b","[..]);
        let names_us =
            |tags: Vec<Vec<u8>>| !ours.starts_with("W/") && tags.iter().any(|tag| tag == ours.as_bytes());
        if !is_star(&list) && !tags(&list).is_some_and(names_us) {
            return Answer::Failed;
        }
    } else if since("if-unmodified-since").is_some_and(|date| date < DATE as i64) {
        return Answer::Failed;
    }
    let list = values("if-none-match");
    if !list.is_empty() {
        let list = list.join(&b","[..]);
        let same = |tag: &Vec<u8>| tag == naked.as_bytes() || *tag == format!("W/{naked}").as_bytes();
        let hit = is_star(&list) || tags(&list).map_or(!reads, |tags| tags.iter().any(same));
        if hit {
            return if reads { Answer::NotModified } else { Answer::Failed };
        }
    } else if reads && since("if-modified-since").is_some_and(|date| date >= DATE as i64) {
        return Answer::NotModified;
    }
    let admits = match values("if-range")[..] {
        [] => true,
        [value] if value.contains(&b'"') => value == ours.as_bytes() && !ours.starts_with("W/"),
        // Only the validators of a file have a strong date.
        [value] => first % 3 == 2 && date::parse(value, NOW) == Some(DATE as i64),
        _ => false,
    };
    match only("range") {
        Some(value) if *method == Method::Get && admits => cut(value, body, current.etag()),
        _ => Answer::Whole,
    }
}

fn is_star(list: &[u8]) -> bool {
    list.iter().filter(|b| !matches!(b, b' ' | b'\t')).eq(b"*")
}

/// The tags of a list, by a state for each byte; `None` if it is none.
fn tags(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    #[derive(Clone, Copy)]
    enum At {
        Between,
        Weak,
        Slash,
        Inside,
        Behind,
    }
    let (mut at, mut all) = (At::Between, Vec::<Vec<u8>>::new());
    for &byte in list {
        at = match (at, byte) {
            (At::Between, b',' | b' ' | b'\t') => At::Between,
            (At::Between, b'W' | b'"') => {
                all.push(Vec::new());
                if byte == b'W' { At::Weak } else { At::Inside }
            }
            (At::Weak, b'/') => At::Slash,
            (At::Slash, b'"') => At::Inside,
            (At::Inside, b'"') => At::Behind,
            (At::Inside, 0x21..=0x7e | 0x80..) => At::Inside,
            (At::Behind, b' ' | b'\t') => At::Behind,
            (At::Behind, b',') => At::Between,
            _ => return None,
        };
        if matches!(at, At::Weak | At::Slash | At::Inside) || (matches!(at, At::Behind) && byte == b'"') {
            all.last_mut()?.push(byte);
        }
    }
    matches!(at, At::Between | At::Behind).then_some(all)
}

/// Decides for each byte of `body` whether it is asked for.
fn cut(value: &[u8], body: &[u8], etag: &str) -> Answer {
    let text = String::from_utf8_lossy(value);
    let Some((unit, set)) = text.split_once('=') else { return Answer::Whole };
    let specs: Vec<&str> =
        set.split(',').map(|s| s.trim_matches([' ', '\t'])).filter(|s| !s.is_empty()).collect();
    if !unit.eq_ignore_ascii_case("bytes") || specs.is_empty() || specs.len() > SPECS_MAX {
        return Answer::Whole;
    }
    // For each byte the first range that asks for it.
    let mut asked: Vec<Option<usize>> = vec![None; body.len()];
    for (nth, spec) in specs.iter().enumerate() {
        let Some(wants) = wants(spec, body.len() as u128) else { return Answer::Whole };
        for (at, byte) in asked.iter_mut().enumerate() {
            if byte.is_none() && wants(at as u128) {
                *byte = Some(nth);
            }
        }
    }
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (at, nth) in asked.iter().enumerate().filter_map(|(at, nth)| Some((at, (*nth)?))) {
        match runs.last_mut() {
            Some((place, _, end)) if at - *end <= GAP_MAX as usize => {
                *end = at + 1;
                *place = nth.min(*place);
            }
            _ => runs.push((nth, at, at + 1)),
        }
    }
    runs.sort_unstable();
    let parts: Vec<_> = runs.iter().map(|&(_, start, end)| (start, body[start..end].to_vec())).collect();
    let ranges: Vec<_> = runs.iter().map(|&(_, start, end)| start as u64..end as u64).collect();
    let is_long = || Multipart::new(&ranges, body.len() as u64, KIND, etag).is_none();
    match parts.len() {
        0 => Answer::Unsatisfiable,
        1 => Answer::Parts(parts),
        n if n > PARTS_MAX || is_long() => Answer::Whole,
        _ => Answer::Parts(parts),
    }
}

type Wants = Box<dyn Fn(u128) -> bool>;

/// Which positions of `len` a range asks for; `None` if it is malformed, or has no answer but the whole.
fn wants(spec: &str, len: u128) -> Option<Wants> {
    let (first, last) = spec.split_once('-')?;
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return None;
    }
    let number = |s: &str| s.parse::<u128>().unwrap_or(u128::MAX).min(u128::from(u64::MAX));
    let (from, to) = (number(first), number(last));
    match (first.is_empty(), last.is_empty()) {
        (true, _) if len == 0 && to > 0 => None,
        (true, _) => Some(Box::new(move |at| at + to >= len)),
        (_, true) => Some(Box::new(move |at| at >= from)),
        _ if from > to => None,
        _ => Some(Box::new(move |at| from <= at && at <= to)),
    }
}
