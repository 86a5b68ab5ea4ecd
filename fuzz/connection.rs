//! A whole connection: any bytes, cut anywhere, through the HTTP server in memory. The oracle of the fuzz target
//! `connection`, of `tests/corpus.rs` and of its properties.

use tidemill::proto::http1::head::{Head, Method};
use tidemill::proto::http1::{App, BodyPlan, Cx, Http, HttpConfig, Reply, Request};
use tidemill::reactor::testing::Probe;

/// Answers with what it was asked; the first letter of the path chooses what becomes of the body, and how.
struct Mirror;

impl App for Mirror {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match head.path.get(1) {
            Some(b's') => BodyPlan::Skip,
            Some(b'r') => BodyPlan::Refuse,
            Some(b'c') => BodyPlan::Collect(10),
            _ => BodyPlan::Collect(1000),
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        let head = request.head;
        let text = [head.method.as_str().as_bytes(), b" ", head.target, b" ", request.body].concat();
        match head.path.get(1) {
            Some(b'b') => {
                reply.send(200, &[("X-Large", &[b'x'; 5000])], &[&text[..], &[b'y'; 70_000]].concat())
            }
            Some(b'n') => {}
            Some(b'e') => reply.status(204),
            _ => reply.send(if head.method == Method::Delete { 404 } else { 200 }, &[], &text),
        }
    }
}

/// What came of one way of sending: the bytes that were answered, without interim answers, and how it ended.
fn talk<'a>(pieces: impl Iterator<Item = &'a [u8]>, room: Option<usize>) -> (Vec<u8>, String) {
    let mut config = HttpConfig::default();
    config.body_bytes_max = 100;
    let mut probe = Probe::new(Http::with_config(Mirror, config));
    probe.accept();
    if let Some(room) = room {
        probe.set_room(room);
    }
    let mut out = Vec::new();
    for mut piece in pieces {
        loop {
            let taken = probe.recv(piece);
            piece = &piece[taken..];
            let sent = probe.sent();
            out.extend_from_slice(&sent);
            if piece.is_empty() || (taken == 0 && sent.is_empty()) {
                break;
            }
        }
    }
    if probe.closed().is_none() {
        probe.eof();
    }
    out.extend(probe.sent());
    let report = probe.closed().expect("both sides have ended");
    assert_eq!(report.ledger.sum(), report.ledger.total);
    (without_interim(out), report.reason.name().to_owned())
}

/// Whether `100 Continue` comes depends on what has arrived by then, and so on the cuts.
fn without_interim(bytes: Vec<u8>) -> Vec<u8> {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    while let Some((first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(CONTINUE) {
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    out
}

/// The same answers and the same reason whole, in the given pieces, byte by byte and through a narrow transport; and
/// the answers are well-formed.
pub(crate) fn connection_with(stream: &[u8], cuts: &[usize]) {
    let whole = talk([stream].into_iter(), None);
    well_formed(&whole.0);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.extend([0, stream.len()]);
    ends.sort_unstable();
    let pieces = ends.windows(2).map(|pair| &stream[pair[0]..pair[1]]).filter(|piece| !piece.is_empty());
    assert_eq!(shown(&whole), shown(&talk(pieces, Some(4000))), "cut at {ends:?}");
    if stream.len() <= 600 {
        assert_eq!(shown(&whole), shown(&talk(stream.chunks(1), None)), "byte by byte");
    }
}

/// The first byte says how many cut positions follow, of two bytes each; the rest is the stream.
pub(crate) fn connection(data: &[u8]) {
    let Some((&count, data)) = data.split_first() else { return };
    let (cuts, stream) = data.split_at(data.len().min(2 * usize::from(count % 8)));
    let cuts: Vec<usize> =
        cuts.chunks_exact(2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]]))).collect();
    connection_with(stream, &cuts);
}

fn shown((bytes, reason): &(Vec<u8>, String)) -> (String, usize, &str) {
    let short = bytes.get(..2000).unwrap_or(bytes).escape_ascii().to_string();
    let sum = bytes.iter().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(usize::from(*b)));
    (short, sum, reason)
}

/// Whole heads that httparse takes, with bodies as long as they say or, as an answer to HEAD, none.
fn well_formed(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(n)) = head.parse(bytes) else {
            panic!("no answer: {}", bytes.escape_ascii())
        };
        let length = head.headers.iter().find(|field| field.name == "Content-Length");
        let length = length.map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse().unwrap());
        bytes = &bytes[n..];
        // An answer to HEAD is followed by the next answer, or by nothing.
        if !bytes.is_empty() && !bytes.starts_with(b"HTTP/1.1 ") {
            bytes = bytes.get(length..).expect("the body is cut");
        }
    }
}
