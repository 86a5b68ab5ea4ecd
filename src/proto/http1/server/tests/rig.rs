//! What the server's tests share: an application with a path for every kind of answer, a peer that talks to it in each
//! of three ways, and a strict reader of answers.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::proto::http1::head::Head;
use crate::proto::http1::{App, BodyPlan, Cx, Http, HttpConfig, Prepared, Reply, Request};
use crate::reactor::testing::Probe;

/// One second.
pub(super) const S: Duration = Duration::from_secs(1);

/// `n` bytes in which every place can be told from its neighbours.
pub(super) fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| b'a' + (at % 25) as u8).collect()
}

/// Answers by the first segment of the path; the second is a number of bytes.
pub(super) struct Site {
    prepared: Prepared,
    file: Arc<File>,
    /// Requests that were answered.
    pub(super) asked: usize,
}

/// The file's true size.
pub(super) const FILE: usize = 100_000;

impl Site {
    pub(super) fn new() -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&pattern(FILE)).unwrap();
        let prepared = Prepared::new(200, &[], b"prepared").unwrap();
        Self { prepared, file: Arc::new(file), asked: 0 }
    }
}

fn parts<'a>(head: &Head<'a>) -> (&'a str, usize) {
    let path = std::str::from_utf8(head.path).unwrap();
    let mut parts = path.split('/').skip(1);
    let name = parts.next().unwrap_or_default();
    (name, parts.next().and_then(|n| n.parse().ok()).unwrap_or(0))
}

impl App for Site {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        match parts(head) {
            ("skip", _) => BodyPlan::Skip,
            ("refuse" | "refusebig" | "refusefile", _) => BodyPlan::Refuse,
            ("collect", n) => BodyPlan::Collect(n),
            _ => BodyPlan::Collect(1 << 20),
        }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        self.asked += 1;
        let (name, n) = parts(request.head);
        match name {
            "big" | "refusebig" => reply.send(200, &[], &pattern(n)),
            "fields" => reply.send(200, &[("X", &pattern(n))], b"behind the fields"),
            "status" => reply.send(n as u16, &[], b"text"),
            "none" => {}
            "panic" => panic!("this request's handler panics, as it should"),
            "bad" => reply.send(200, &[("X", b"a\r\nY: b")], b"never"),
            "badname" => reply.send(500, &[("X Y", b"a")], b"never"),
            "twice" => {
                reply.send(200, &[], b"first");
                reply.send(200, &[], b"second");
                reply.prepared(&mut self.prepared);
                reply.status(404);
            }
            "prepared" => reply.prepared(&mut self.prepared),
            "shared" => {
                let length = format!("Content-Length: {n}\r\n");
                reply.shared(200, length.as_bytes(), &pattern(n).into(), 0..n);
            }
            "file" | "refusefile" => {
                let length = format!("Content-Length: {n}\r\n");
                reply.file(200, length.as_bytes(), &self.file, 0..n as u64);
            }
            _ => {
                let head = request.head;
                let target = String::from_utf8_lossy(head.target);
                let text = format!("{} {target} {}", head.method.as_str(), request.body.escape_ascii());
                reply.send(200, &[], text.as_bytes());
            }
        }
    }
}

/// How bytes go to and fro.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Whole,
    Bytewise,
    OneByteTx,
}

/// A connection to an application, by default a [`Site`].
pub(super) struct Talk<A: App = Site> {
    pub(super) probe: Probe<Http<A>>,
    pub(super) way: Way,
    got: Vec<u8>,
    corked: bool,
}

/// Runs `script` in each way, with a server of `config`.
pub(super) fn each_with(config: &HttpConfig, script: impl FnMut(&mut Talk)) {
    each_of(|| Http::with_config(Site::new(), config.clone()), script);
}

/// Runs `script` in each way, with the server that is made.
pub(super) fn each_of<A: App>(make: impl Fn() -> Http<A>, mut script: impl FnMut(&mut Talk<A>)) {
    for way in [Way::Whole, Way::Bytewise, Way::OneByteTx] {
        let mut probe = Probe::new(make());
        probe.accept();
        if way == Way::OneByteTx {
            probe.set_room(1);
        }
        script(&mut Talk { probe, way, got: Vec::new(), corked: false });
    }
}

/// Runs `script` in each way, with the default bounds.
pub(super) fn each(script: impl FnMut(&mut Talk)) {
    each_with(&HttpConfig::default(), script);
}

impl<A: App> Talk<A> {
    /// The peer sends `bytes` and reads what comes meanwhile. How many were taken.
    pub(super) fn say(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let taken = match self.way {
                Way::Bytewise => self.probe.recv_bytewise(rest),
                Way::Whole | Way::OneByteTx => self.probe.recv(rest),
            };
            at += taken;
            let before = self.got.len();
            self.listen();
            if at == bytes.len() || (taken == 0 && self.got.len() == before) {
                return at;
            }
        }
    }

    /// For files: the simulated kernel holds back each piece of the head before a file for a while, as `MSG_MORE` asks.
    pub(super) fn widen(&mut self) {
        if self.way == Way::OneByteTx {
            self.probe.set_room(300);
            self.corked = true;
        }
    }

    fn listen(&mut self) {
        loop {
            let sent = self.probe.sent();
            self.got.extend(&sent);
            if sent.is_empty() || !self.corked {
                return;
            }
            self.probe.advance(S / 4);
        }
    }

    /// What has come since the last question: answers to requests of these methods, whole and nothing else.
    pub(super) fn heard(&mut self, methods: &[&str]) -> Vec<Answer> {
        self.listen();
        read_answers(&std::mem::take(&mut self.got), methods)
    }

    /// The one answer to a GET that has come.
    pub(super) fn one(&mut self) -> Answer {
        self.heard(&["GET"]).remove(0)
    }

    /// The raw bytes that have come.
    pub(super) fn raw(&mut self) -> Vec<u8> {
        self.listen();
        std::mem::take(&mut self.got)
    }

    /// Nothing has come since the last question, and the connection stands.
    pub(super) fn silent(&mut self) {
        assert_eq!(self.raw().escape_ascii().to_string(), "", "{:?}", self.way);
        assert!(!self.probe.finished() && self.probe.closed().is_none());
    }

    /// The server has sent its FIN; the peer sends its own. The reason.
    pub(super) fn ended(&mut self) -> &'static str {
        self.listen();
        assert!(self.probe.finished(), "the server has not finished, {:?}", self.way);
        if self.probe.closed().is_none() {
            self.probe.eof();
        }
        self.probe.closed().expect("both sides have finished").reason.name()
    }

    /// The server has sent its FIN, behind these bytes.
    pub(super) fn until_end(&mut self) -> Vec<u8> {
        let bytes = self.raw();
        assert!(self.probe.finished(), "the server has not finished, {:?}", self.way);
        bytes
    }
}

impl Talk {
    /// The connection still answers.
    pub(super) fn still_answers(&mut self) {
        self.say(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(self.one().text(), "GET /again ", "{:?}", self.way);
    }
}

/// An answer.
#[derive(PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = self.body.get(..60).unwrap_or(&self.body).escape_ascii();
        write!(f, "{} with {} bytes, {body}", self.status, self.body.len())
    }
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(super) fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

/// Reads a chunked body strictly; bytes taken.
fn unchunk(bytes: &[u8], body: &mut Vec<u8>) -> usize {
    let mut at = 0;
    loop {
        let line = bytes[at..].windows(2).position(|w| w == b"\r\n").expect("a size line");
        let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        at += line + 2;
        body.extend_from_slice(&bytes[at..at + size]);
        assert_eq!(&bytes[at + size..at + size + 2], b"\r\n");
        at += size + 2;
        if size == 0 {
            return at;
        }
    }
}

/// Reads `bytes` as answers to `methods`, with interim ones between them. Nothing may be left.
pub(super) fn read_answers(mut bytes: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut methods = methods.iter();
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut fields);
        let shown = bytes.get(..300).unwrap_or(bytes).escape_ascii();
        let Ok(httparse::Status::Complete(n)) = head.parse(bytes) else { panic!("no whole answer: {shown}") };
        let status = head.code.unwrap();
        let fields: Vec<_> = head
            .headers
            .iter()
            .map(|f| (f.name.to_owned(), String::from_utf8_lossy(f.value).into_owned()))
            .collect();
        let mut answer = Answer { status, fields, body: Vec::new() };
        bytes = &bytes[n..];
        if status >= 200 {
            let method = methods.next().unwrap_or_else(|| panic!("one answer too many: {shown}"));
            let bare = *method == "HEAD" || matches!(status, 204 | 304);
            if !bare && answer.field("Transfer-Encoding") == Some("chunked") {
                let n = unchunk(bytes, &mut answer.body);
                bytes = &bytes[n..];
                out.push(answer);
                continue;
            }
            let length = answer.field("Content-Length").map_or(0, |n| n.parse().unwrap());
            let length = if bare { 0 } else { length };
            assert!(bytes.len() >= length, "{} of {length} bytes: {shown}", bytes.len());
            answer.body = bytes[..length].to_vec();
            bytes = &bytes[length..];
        }
        out.push(answer);
    }
    assert_eq!(methods.next(), None, "answers are missing behind {out:?}");
    out
}
