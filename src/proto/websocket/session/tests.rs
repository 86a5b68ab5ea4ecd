//! Whole connections in memory, on simulated time: a peer that sends any frames, and what its handler is told.

use std::time::Duration;

use super::*;
use crate::proto::http1::{App, Http, HttpConfig, Reply, Request};
use crate::proto::websocket::checks::{Told, arrivals, frame as wire};
use crate::proto::websocket::frame::{Opcode, Sender as Side};
use crate::proto::websocket::{SendError, Sender, WebSocketConfig, upgrade};
use crate::reactor::buffer::BLOCK;
use crate::reactor::testing::Probe;

const S: Duration = Duration::from_secs(1);
const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// The state of a server: its members, and what was told of all of them, in order.
struct Room {
    config: WebSocketConfig,
    members: Vec<Sender>,
    told: Vec<String>,
    refused: usize,
}

impl App for Room {
    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, cx: &mut Cx<'_, Self>) {
        if request.head.path == b"/last" && reply.take_done::<()>().is_none() {
            // The drain begins before the thread is done.
            cx.handle().stop(S * 60);
            return reply.offload(|| ());
        }
        upgrade(request, reply, &self.config, Member { left: 0 });
    }
}

/// Echoes; texts that begin with a `/` are orders.
struct Member {
    /// Fragments to be sent yet.
    left: usize,
}

impl Member {
    fn stream(&mut self, socket: &mut Socket<'_, '_, Room>) {
        while self.left > 0 && socket.is_clear() {
            self.left -= 1;
            socket.binary_fragment(&[b'f'; 10_000], self.left == 0).unwrap();
        }
    }
}

impl WebSocket<Room> for Member {
    fn on_open(&mut self, room: &mut Room, socket: &mut Socket<'_, '_, Room>) {
        room.told.push(format!("open {}", socket.protocol().unwrap_or("-")));
        room.members.push(socket.sender());
    }

    fn on_text(&mut self, room: &mut Room, socket: &mut Socket<'_, '_, Room>, text: &str) {
        room.told.push(format!("text {}", text.len()));
        match text.split_once(' ').unwrap_or((text, "")) {
            ("/all", text) => {
                for member in &room.members {
                    room.refused += usize::from(member.text(socket.cx(), text).is_err());
                }
            }
            ("/close", reason) => {
                socket.close(CloseCode::NORMAL, reason);
                assert_eq!(socket.text("late"), Err(SendError::Closing));
            }
            ("/ping", _) => socket.ping(b"are you there").unwrap(),
            ("/stream", n) => {
                self.left = n.parse().unwrap();
                self.stream(socket);
            }
            ("/panic", _) => panic!("this member's handler panics, as it should"),
            _ => assert_eq!(socket.text(text), Ok(()), "an echo is never refused"),
        }
    }

    fn on_binary(&mut self, room: &mut Room, socket: &mut Socket<'_, '_, Room>, data: &[u8]) {
        room.told.push(format!("binary {}", data.len()));
        assert_eq!(socket.binary(data), Ok(()), "an echo is never refused");
    }

    fn on_ping(&mut self, room: &mut Room, _: &mut Socket<'_, '_, Room>, payload: &[u8]) {
        room.told.push(format!("ping {}", payload.escape_ascii()));
    }

    fn on_pong(&mut self, room: &mut Room, _: &mut Socket<'_, '_, Room>, payload: &[u8]) {
        room.told.push(format!("pong {}", payload.escape_ascii()));
    }

    fn on_room(&mut self, room: &mut Room, socket: &mut Socket<'_, '_, Room>) {
        room.told.push("room".into());
        self.stream(socket);
    }

    fn on_close(&mut self, room: &mut Room, closed: &Closed<'_>, _: &mut Cx<'_, Room>) {
        room.members.retain(|member| member.id() != closed.report.id);
        let clean = if closed.is_clean() { "clean" } else { "unclean" };
        room.told.push(format!("closed {} {:?} {clean}", closed.code, closed.reason));
    }
}

/// How bytes go to and fro.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Whole,
    Bytewise,
    OneByteTx,
}

struct Talk {
    probe: Probe<Http<Room>>,
    way: Way,
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: tide\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: tide\r\n\
    Connection: upgrade\r\n\r\n";

impl Talk {
    fn new(config: &WebSocketConfig, way: Way) -> Self {
        let config = WebSocketConfig { protocols: vec!["tide".into()], ..config.clone() };
        let room = Room { config, members: vec![], told: vec![], refused: 0 };
        let mut talk = Self { probe: Probe::new(Http::with_config(room, HttpConfig::default())), way };
        talk.join();
        talk
    }

    fn join(&mut self) -> usize {
        let member = self.probe.accept();
        if self.way == Way::OneByteTx {
            self.probe.set_room(1);
        }
        self.say(REQUEST.as_bytes());
        assert_eq!(String::from_utf8_lossy(&self.probe.sent()), ANSWER);
        member
    }

    fn say(&mut self, bytes: &[u8]) -> usize {
        match self.way {
            Way::Bytewise => self.probe.recv_bytewise(bytes),
            Way::Whole | Way::OneByteTx => self.probe.recv(bytes),
        }
    }

    fn text(&mut self, text: &str) {
        let bytes = wire(true, Opcode::Text, KEY, text.as_bytes());
        assert_eq!(self.say(&bytes), bytes.len());
    }

    /// Frames of the server since the last question: all whole, none malformed.
    fn heard(&mut self) -> Vec<Told> {
        let limits = Limits { message_bytes_max: 1 << 23, frame_bytes_max: 1 << 23 };
        let (told, fault) = arrivals(&self.probe.sent(), &[], Side::Server, limits);
        assert_eq!(fault, None);
        told
    }

    fn told(&mut self) -> Vec<String> {
        self.probe.with(|http, _| std::mem::take(&mut http.state().told))
    }

    /// The server has sent its FIN; the peer sends its own. The reason.
    fn ended(&mut self) -> &'static str {
        assert_eq!(self.heard(), [], "something is left");
        assert!(self.probe.finished(), "the server has not finished, {:?}", self.way);
        if self.probe.closed().is_none() {
            self.probe.eof();
        }
        self.probe.closed().unwrap().reason.name()
    }
}

fn each_with(config: &WebSocketConfig, mut script: impl FnMut(&mut Talk)) {
    for way in [Way::Whole, Way::Bytewise, Way::OneByteTx] {
        script(&mut Talk::new(config, way));
    }
}

fn each(script: impl FnMut(&mut Talk)) {
    each_with(&WebSocketConfig::default(), script);
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    wire(true, Opcode::Close, KEY, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

fn said(code: u16, reason: &str) -> Told {
    Told::Close(Some((code, reason.into())))
}

#[test]
fn messages_come_back_and_a_close_is_answered_with_its_own_code() {
    each(|talk| {
        talk.text("high tide");
        talk.say(&wire(false, Opcode::Binary, KEY, &[7; 300]));
        talk.say(&wire(true, Opcode::Ping, KEY, b"hi"));
        talk.say(&wire(true, Opcode::Continuation, KEY, &[8; 300]));
        let both = [[7; 300], [8; 300]].concat();
        let want = vec![Told::Text("high tide".into()), Told::Pong(b"hi".to_vec()), Told::Binary(both)];
        assert_eq!(talk.heard(), want);
        talk.say(&close(4001, "enough"));
        assert_eq!(talk.heard(), [said(4001, "")]);
        assert_eq!(talk.ended(), "finished");
        let want = ["open tide", "text 9", "ping hi", "binary 600", "closed 4001 \"enough\" clean"];
        assert_eq!(talk.told(), want);
    });
}

#[test]
fn a_close_without_a_code_is_answered_without_one() {
    each(|talk| {
        talk.say(&wire(true, Opcode::Close, KEY, b""));
        assert_eq!(talk.heard(), [Told::Close(None)]);
        assert_eq!(talk.ended(), "finished");
        assert_eq!(talk.told()[1..], ["closed 1005 \"\" clean"]);
    });
}

#[test]
fn frames_that_come_with_the_request_are_not_lost() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    talk.probe.accept();
    talk.probe.recv(&[REQUEST.as_bytes(), &wire(true, Opcode::Text, KEY, b"eager")].concat());
    let sent = talk.probe.sent();
    let frames = sent.strip_prefix(ANSWER.as_bytes()).unwrap();
    assert_eq!(frames, wire(true, Opcode::Text, None, b"eager"));
}

#[test]
fn every_violation_is_answered_with_its_close_code_and_ends_the_connection() {
    let masked = |fin, opcode, payload: &[u8]| wire(fin, opcode, KEY, payload);
    let table: Vec<(Vec<u8>, u16, &str)> = vec![
        (vec![0xc1, 0x80, 0, 0, 0, 0], 1002, "http.ws_protocol"),
        (vec![0x83, 0x80, 0, 0, 0, 0], 1002, "http.ws_protocol"),
        (vec![0x81, 0x00], 1002, "http.ws_protocol"),
        (masked(true, Opcode::Continuation, b""), 1002, "http.ws_protocol"),
        (masked(true, Opcode::Close, b"x"), 1002, "http.ws_protocol"),
        (close(1005, ""), 1002, "http.ws_protocol"),
        (close(999, ""), 1002, "http.ws_protocol"),
        (masked(true, Opcode::Close, b"\x03\xe8\xff"), 1007, "http.ws_bad_text"),
        (masked(true, Opcode::Text, b"\xff"), 1007, "http.ws_bad_text"),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0], 1009, "http.ws_too_large"),
    ];
    for (bytes, code, class) in table {
        each(|talk| {
            talk.text("before");
            // What follows is never looked at, and must not cost the peer the code.
            talk.say(&[&bytes[..], &wire(true, Opcode::Text, KEY, b"behind")].concat());
            let heard = talk.heard();
            assert_eq!(heard.len(), 2, "{bytes:x?}: {heard:?}");
            assert!(matches!(&heard[1], Told::Close(Some((said, _))) if *said == code), "{heard:?}");
            assert_eq!(talk.ended(), class, "{bytes:x?}");
            let told = talk.told();
            assert_eq!(told[1..], ["text 6", "closed 1006 \"\" unclean"], "{bytes:x?}");
        });
    }
}

#[test]
fn a_close_of_ours_waits_for_the_peers_and_drops_what_comes_before_it() {
    each(|talk| {
        talk.text("/close enough");
        assert_eq!(talk.heard(), [said(1000, "enough")]);
        talk.text("late");
        talk.say(&wire(true, Opcode::Ping, KEY, b""));
        assert!(!talk.probe.finished() && talk.heard().is_empty());
        talk.say(&close(1000, ""));
        assert_eq!(talk.ended(), "finished");
        assert_eq!(talk.told()[1..], ["text 13", "closed 1000 \"\" clean"]);
    });
}

#[test]
fn a_close_that_is_not_answered_ends_by_its_deadline() {
    each(|talk| {
        talk.text("/close");
        talk.probe.advance(S * 4);
        assert!(!talk.probe.finished());
        talk.probe.advance(S * 2);
        assert_eq!(talk.heard(), [said(1000, "")]);
        assert_eq!(talk.ended(), "http.ws_close_timeout");
        assert_eq!(talk.told()[1..], ["text 6", "closed 1006 \"\" unclean"]);
    });
}

#[test]
fn the_end_of_the_stream_without_a_close_is_told_as_1006() {
    each(|talk| {
        talk.say(&wire(true, Opcode::Text, KEY, b"half")[..5]);
        talk.probe.eof();
        assert_eq!(talk.ended(), "http.ws_no_close");
        assert_eq!(talk.told()[1..], ["closed 1006 \"\" unclean"]);
    });
    each(|talk| {
        talk.text("/close");
        talk.probe.eof();
        assert_eq!(talk.heard(), [said(1000, "")]);
        assert_eq!(talk.ended(), "finished", "it was asked to go");
    });
}

#[test]
fn a_silent_peer_is_pinged_and_closed_with_1011_when_it_stays_silent() {
    each(|talk| {
        talk.probe.advance(S * 29);
        assert_eq!(talk.heard(), []);
        talk.probe.advance(S * 2);
        assert_eq!(talk.heard(), [Told::Ping(vec![])]);
        talk.say(&wire(true, Opcode::Pong, KEY, b""));
        // More than the idle deadline of HTTP, which does not apply.
        for _ in 0..5 {
            talk.probe.advance(S * 31);
            assert_eq!(talk.heard(), [Told::Ping(vec![])]);
            talk.say(&wire(true, Opcode::Pong, KEY, b""));
        }
        talk.probe.advance(S * 31);
        assert_eq!(talk.heard(), [Told::Ping(vec![])]);
        talk.probe.advance(S * 21);
        assert_eq!(talk.heard(), [said(1011, "no pong in time")]);
        assert_eq!(talk.ended(), "http.ws_ping_timeout");
    });
}

#[test]
fn without_pings_the_idle_deadline_of_http_applies() {
    each_with(&WebSocketConfig { ping_interval: None, ..WebSocketConfig::default() }, |talk| {
        talk.text("x");
        talk.heard();
        talk.probe.advance(S * 59);
        assert!(talk.probe.closed().is_none());
        talk.probe.advance(S * 5);
        assert!(talk.heard().is_empty());
        assert_eq!(talk.probe.closed().unwrap().reason.deadline, Some(crate::reactor::Deadline::Idle));
    });
}

#[test]
fn a_frame_that_trickles_is_ended_with_1008() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    let bytes = wire(true, Opcode::Binary, KEY, &[0; 1000]);
    for byte in &bytes[..30] {
        talk.probe.recv(&[*byte]);
        talk.probe.advance(S);
    }
    assert_eq!(talk.heard(), []);
    talk.probe.advance(S * 20);
    assert_eq!(talk.heard(), [said(1008, "a frame came too slowly")]);
    assert_eq!(talk.ended(), "http.ws_frame_timeout");
}

#[test]
fn a_drain_says_1001_and_waits_for_the_answer() {
    each(|talk| {
        talk.probe.reactor().stop(S * 60);
        assert_eq!(talk.heard(), [said(1001, "the server stops")]);
        talk.say(&close(1001, ""));
        assert_eq!(talk.ended(), "finished");
    });
}

#[test]
fn a_handshake_that_was_under_way_when_the_drain_began_is_told_of_it() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    talk.probe.accept();
    talk.probe.recv(REQUEST.replace("GET /", "GET /last").as_bytes());
    let sent = talk.probe.sent();
    let frames = sent.strip_prefix(ANSWER.as_bytes()).unwrap_or_else(|| panic!("{}", sent.escape_ascii()));
    let (told, fault) = arrivals(frames, &[], Side::Server, Limits::default());
    assert_eq!((told, fault), (vec![said(1001, "the server stops")], None));
}

#[test]
fn a_peer_that_does_not_read_is_not_read_either_and_gets_all_of_it_later() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    talk.probe.set_room(1000);
    let message = vec![b'm'; 200_000];
    let bytes = wire(true, Opcode::Binary, KEY, &message);
    let mut taken = 0;
    let mut whole = 0;
    for _ in 0..20 {
        let n = talk.probe.recv(&bytes);
        taken += n;
        if n < bytes.len() {
            break;
        }
        whole += 1;
    }
    assert!(taken < 20 * bytes.len(), "it goes on reading from a peer that does not read");
    assert_eq!(talk.told(), ["open tide", "binary 200000"], "no second message while the first one waits");
    let mut got = talk.heard();
    let rest = bytes.len() - (taken - whole * bytes.len());
    talk.probe.recv(&bytes[bytes.len() - rest..]);
    got.extend(talk.heard());
    assert_eq!(got.len(), whole + 1);
    assert!(got.iter().all(|told| *told == Told::Binary(message.clone())));
}

#[test]
fn a_message_in_fragments_is_made_as_the_peer_reads() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    talk.probe.set_room(1000);
    talk.text("/stream 100");
    let waiting = talk.probe.with(|http, _| http.state().members[0].waiting());
    assert!(waiting <= 10_010, "{waiting} bytes wait: the handler went on without room");
    assert_eq!(talk.heard(), [Told::Binary(vec![b'f'; 1_000_000])]);
    assert!(talk.told().iter().filter(|told| *told == "room").count() > 5);
}

#[test]
fn a_member_speaks_to_all_and_one_that_does_not_read_costs_the_others_nothing() {
    let config = WebSocketConfig { queue_bytes_max: 100_000, ..WebSocketConfig::default() };
    let mut talk = Talk::new(&config, Way::Whole);
    let (quick, slow) = (talk.join(), talk.join());
    talk.probe.select(slow);
    talk.probe.select(0);
    talk.text("/all hello");
    for member in [0, quick, slow] {
        talk.probe.select(member);
        assert_eq!(talk.heard(), [Told::Text("hello".into())]);
    }
    // The slow one reads nothing: of what is said some is kept for it, up to the bound, and the rest refused.
    let text = format!("/all {}", "x".repeat(10_000));
    let mut spoken = 0;
    while talk.probe.with(|http, _| http.state().refused) == 0 {
        talk.probe.select(0);
        talk.text(&text);
        spoken += 1;
        assert_eq!(talk.heard().len(), 1, "the speaker hears itself");
        talk.probe.select(quick);
        assert_eq!(talk.heard().len(), 1);
        assert!(spoken < 10_000, "nothing is ever refused");
    }
    let waiting = talk.probe.with(|http, _| http.state().members[2].waiting());
    assert!(waiting <= 100_000 && waiting > 80_000, "{waiting}");
    talk.probe.select(slow);
    assert_eq!(talk.heard().len(), spoken - 1, "what was not refused arrives, whole");
    talk.probe.select(0);
    talk.text("/all again");
    talk.probe.select(slow);
    assert_eq!(talk.heard(), [Told::Text("again".into())]);
}

#[test]
fn a_member_is_closed_from_a_task_and_one_that_is_gone_cannot_be_sent_to() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    let sender = talk.probe.with(|http, table| {
        http.in_task(table, |room, cx| {
            room.members[0].binary(cx, b"last").unwrap();
            room.members[0].close(cx, CloseCode::RESTART, "soon back");
            room.members[0].clone()
        })
    });
    assert_eq!(talk.heard(), [Told::Binary(b"last".to_vec()), said(1012, "soon back")]);
    talk.probe.advance(S * 6);
    assert_eq!(talk.ended(), "http.ws_close_timeout");
    let send = |talk: &mut Talk| {
        talk.probe.with(|http, table| http.in_task(table, |_, cx| sender.text(cx, "anybody?")))
    };
    assert_eq!(send(&mut talk), Err(SendError::Closing));
}

#[test]
fn a_panic_costs_one_connection() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    let other = talk.join();
    talk.probe.select(0);
    talk.text("/panic");
    assert_eq!(talk.probe.closed().unwrap().reason.name(), "task.panicked");
    talk.probe.select(other);
    talk.text("still here");
    assert_eq!(talk.heard(), [Told::Text("still here".into())]);
    assert_eq!(talk.told(), ["open tide", "open tide", "text 6", "closed 1006 \"\" unclean", "text 10"]);
}

#[test]
fn a_close_behind_a_full_buffer_is_sent_whole() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    talk.probe.set_room(1000);
    let message = "w".repeat(3 * BLOCK);
    talk.text(&message);
    talk.say(&[0x81, 0x00]);
    assert!(talk.probe.closed().is_none(), "what is under way is not cut");
    let heard = talk.heard();
    assert_eq!(heard, [Told::Text(message), said(1002, "a frame is not masked")]);
    assert_eq!(talk.ended(), "http.ws_protocol");
}

#[test]
fn what_is_no_handshake_gets_an_answer_and_keeps_its_connection() {
    let mut talk = Talk::new(&WebSocketConfig::default(), Way::Whole);
    talk.probe.accept();
    talk.probe.recv(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = String::from_utf8(talk.probe.sent()).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 426 upgrade required\r\n"), "{answer}");
    for line in
        ["\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n", "\r\nsec-websocket-version: 13\r\n"]
    {
        assert!(answer.contains(line), "{line:?} in {answer}");
    }
    talk.probe.recv(REQUEST.replace("Host: a", "Host: a\r\nOrigin: https://evil.example").as_bytes());
    let answer = String::from_utf8(talk.probe.sent()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    talk.probe.recv(REQUEST.as_bytes());
    assert_eq!(String::from_utf8(talk.probe.sent()).unwrap(), ANSWER);
}
