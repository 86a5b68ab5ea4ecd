//! A whole connection: any bytes, cut anywhere, through the HTTP server in memory. The oracle of the fuzz target
//! `connection`, of `tests/corpus.rs` and of its properties.

use std::time::Duration;

use tidemill::proto::http1::body::Chunked;
use tidemill::proto::http1::head::{Head, Method};
use tidemill::proto::http1::{
    App, BodyPlan, Cx, Flow, Http, HttpConfig, Raw, RawIo, Reply, Request, Response, Sink, StreamOptions,
};
use tidemill::reactor::testing::Probe;

/// Answers with what it was asked; the first letter of the path chooses what becomes of the body, and how and when
/// it is answered.
struct Mirror;

impl App for Mirror {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match head.path.get(1) {
            Some(b's') => BodyPlan::Skip,
            Some(b'r') => BodyPlan::Refuse,
            Some(b'c') => BodyPlan::Collect(10),
            Some(b'k') => BodyPlan::Stream(20),
            _ => BodyPlan::Collect(1000),
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, cx: &mut Cx<'_, Self>) {
        let head = request.head;
        let text = [head.method.as_str().as_bytes(), b" ", head.target, b" ", request.body].concat();
        match head.path.get(1) {
            Some(b'b') => {
                reply.send(200, &[("X-Large", &[b'x'; 5000])], &[&text[..], &[b'y'; 70_000]].concat())
            }
            Some(b'n') => {}
            Some(b'e') => reply.status(204),
            Some(b'g') => reply.respond(Response::pieces(vec![text; 300])),
            Some(b'k') => reply.sink(Box::new(Collector(text))),
            Some(b'l') => {
                let ticket = reply.later();
                cx.post(move |_, cx| {
                    cx.respond(ticket, Response::bytes(text));
                });
            }
            Some(b't') => {
                let ticket = reply.later();
                cx.call_later(Duration::from_millis(70), move |_, cx| {
                    cx.respond(ticket, Response::bytes(text));
                });
            }
            Some(b'o') => match reply.take_done::<Vec<u8>>() {
                Some(done) => reply.send(200, &[], &done.unwrap_or_default()),
                None => reply.offload(move || text),
            },
            Some(b'p') => {
                let ticket = reply.ticket();
                if reply.push(Response::bytes(text), StreamOptions::default()) {
                    cx.post(move |_, cx| {
                        cx.end(ticket);
                    });
                }
            }
            Some(b'u') if head.upgrade.is_some() => {
                reply.upgrade(&[("Upgrade", b"mirror")], Box::new(RawMirror))
            }
            _ => reply.send(if head.method == Method::Delete { 404 } else { 200 }, &[], &text),
        }
    }
}

/// Collects a body that is streamed to it, and now and then asks for a pause.
struct Collector(Vec<u8>);

impl Sink<Mirror> for Collector {
    fn on_data(&mut self, _: &mut Mirror, bytes: &[u8], cx: &mut Cx<'_, Mirror>) -> Flow {
        assert!(!bytes.is_empty());
        self.0.extend_from_slice(bytes);
        if bytes[0].is_multiple_of(2) {
            return Flow::Go;
        }
        let ticket = cx.ticket();
        cx.post(move |_, cx| {
            cx.wake(ticket);
        });
        Flow::Wait
    }

    fn on_end(self: Box<Self>, _: &mut Mirror, reply: &mut Reply<'_, Mirror>, _: &mut Cx<'_, Mirror>) {
        reply.send(200, &[], &self.0);
    }
}

/// What an upgrade leads to.
struct RawMirror;

impl Raw<Mirror> for RawMirror {
    fn on_data(&mut self, _: &mut Mirror, io: &mut RawIo<'_, Mirror>) {
        io.tx.take_from(&mut io.rx);
    }
}

/// A moment that lets what is late happen, and no deadline pass: there are at most [`MOMENTS`] of them.
const MOMENT: Duration = Duration::from_millis(25);
const MOMENTS: usize = 200;

/// What came of one way of sending: the answers in normal form, and how it ended.
fn talk<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    room: Option<usize>,
    stall: Duration,
) -> (Vec<u8>, String) {
    let mut config = HttpConfig::default();
    config.body_bytes_max = 100;
    let mut probe = Probe::new(Http::with_config(Mirror, config));
    probe.accept();
    if let Some(room) = room {
        probe.set_room(room);
    }
    let (mut out, mut moments) = (Vec::new(), MOMENTS);
    for mut piece in pieces {
        loop {
            let taken = probe.recv(piece);
            piece = &piece[taken..];
            let sent = probe.sent();
            out.extend_from_slice(&sent);
            if piece.is_empty() || probe.closed().is_some() {
                break;
            }
            if taken == 0 && sent.is_empty() {
                // It reads no further: an answer is late, or there will be none.
                if moments == 0 {
                    break;
                }
                moments -= 1;
                probe.advance(MOMENT);
            }
        }
        if !stall.is_zero() {
            probe.advance(stall);
            out.extend(probe.sent());
        }
    }
    if probe.closed().is_none() {
        probe.eof();
    }
    out.extend(probe.sent());
    while probe.closed().is_none() && moments > 0 {
        moments -= 1;
        probe.advance(MOMENT);
        out.extend(probe.sent());
    }
    let report = probe.closed().expect("both sides have ended");
    assert_eq!(report.ledger.sum(), report.ledger.total);
    (normal(&without_interim(out)), report.reason.name().to_owned())
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

/// The same answers and the same reason whole, in the given pieces, in those with a pause behind each, byte by byte and
/// through a narrow transport; and the answers are well-formed.
pub(crate) fn connection_with(stream: &[u8], cuts: &[usize], stall: Duration) {
    let whole = talk([stream].into_iter(), None, Duration::ZERO);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.extend([0, stream.len()]);
    ends.sort_unstable();
    let pieces = || ends.windows(2).map(|pair| &stream[pair[0]..pair[1]]).filter(|piece| !piece.is_empty());
    let cut = talk(pieces(), Some(4000), Duration::ZERO);
    assert_eq!(shown(&whole), shown(&cut), "cut at {ends:?}");
    if !stall.is_zero() {
        assert_eq!(
            shown(&whole),
            shown(&talk(pieces(), None, stall)),
            "cut at {ends:?} with pauses of {stall:?}"
        );
    }
    if stream.len() <= 600 {
        let bytewise = talk(stream.chunks(1), None, Duration::ZERO);
        assert_eq!(shown(&whole), shown(&bytewise), "byte by byte");
    }
}

/// The first byte says how many cut positions follow, of two bytes each, and how long a pause is; the rest is the stream.
pub(crate) fn connection(data: &[u8]) {
    let Some((&count, data)) = data.split_first() else { return };
    let (cuts, stream) = data.split_at(data.len().min(2 * usize::from(count % 8)));
    let cuts: Vec<usize> =
        cuts.chunks_exact(2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]]))).collect();
    // Eight pauses of the longest, one second, stay within the deadline of a head.
    connection_with(stream, &cuts, Duration::from_millis(u64::from(count / 8) * 32));
}

fn shown((bytes, reason): &(Vec<u8>, String)) -> (String, usize, &str) {
    let short = bytes.get(..2000).unwrap_or(bytes).escape_ascii().to_string();
    let sum = bytes.iter().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(usize::from(*b)));
    (short, sum, reason)
}

/// Whole heads that httparse takes, without their dates, with bodies as long as they say or, as an answer to HEAD, none;
/// chunked bodies as their content, whose chunks depend on the room that there was. Behind a 101 come raw bytes.
fn normal(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(n)) = head.parse(bytes) else {
            panic!("no answer: {}", bytes.escape_ascii())
        };
        out.extend(format!("{:?}\n", head.code).bytes());
        for field in head.headers.iter().filter(|field| field.name != "Date") {
            out.extend(format!("{}: {}\n", field.name, field.value.escape_ascii()).bytes());
        }
        let value =
            |name: &str| head.headers.iter().find(|field| field.name == name).map(|field| field.value);
        let (length, chunked) = (value("Content-Length"), value("Transfer-Encoding") == Some(b"chunked"));
        let closes = value("Connection") == Some(b"close");
        let is_raw = head.code == Some(101) || (closes && !chunked && length.is_none());
        bytes = &bytes[n..];
        if is_raw {
            out.extend_from_slice(bytes);
            break;
        }
        // An answer to HEAD is followed by the next answer, or by nothing.
        if bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 ") {
            continue;
        }
        let size = if chunked {
            let progress = Chunked::new().decode(bytes, |content| out.extend_from_slice(content));
            let progress = progress.expect("our own chunks are good");
            assert!(progress.done, "the body is cut");
            progress.consumed
        } else {
            let length = length.map_or(0, |value| std::str::from_utf8(value).unwrap().parse().unwrap());
            out.extend_from_slice(bytes.get(..length).expect("the body is cut"));
            length
        };
        bytes = &bytes[size..];
    }
    out
}
