//! What the session's tests share: a server whose members obey orders, and a peer that talks to it in each of three ways.

use std::time::Duration;

use super::super::*;
use crate::proto::http1::{App, Http, HttpConfig, Reply, Request};
use crate::proto::websocket::checks::{Told, arrivals, frame as wire};
use crate::proto::websocket::frame::{Opcode, Sender as Side};
use crate::proto::websocket::{SendError, Sender, WebSocketConfig, upgrade};
use crate::reactor::testing::Probe;

pub(super) const S: Duration = Duration::from_secs(1);
pub(super) const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// The state of a server: its members, and what was told of all of them, in order.
pub(super) struct Room {
    pub(super) config: WebSocketConfig,
    pub(super) members: Vec<Sender>,
    pub(super) told: Vec<String>,
    pub(super) refused: usize,
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
pub(super) struct Member {
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
pub(super) enum Way {
    Whole,
    Bytewise,
    OneByteTx,
}

pub(super) struct Talk {
    pub(super) probe: Probe<Http<Room>>,
    pub(super) way: Way,
}

pub(super) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: tide\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

pub(super) const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: tide\r\n\
    Connection: upgrade\r\n\r\n";

impl Talk {
    pub(super) fn new(config: &WebSocketConfig, way: Way) -> Self {
        let config = WebSocketConfig { protocols: vec!["tide".into()], ..config.clone() };
        let room = Room { config, members: vec![], told: vec![], refused: 0 };
        let mut talk = Self { probe: Probe::new(Http::with_config(room, HttpConfig::default())), way };
        talk.join();
        talk
    }

    pub(super) fn join(&mut self) -> usize {
        let member = self.probe.accept();
        if self.way == Way::OneByteTx {
            self.probe.set_room(1);
        }
        self.say(REQUEST.as_bytes());
        assert_eq!(String::from_utf8_lossy(&self.probe.sent()), ANSWER);
        member
    }

    pub(super) fn say(&mut self, bytes: &[u8]) -> usize {
        match self.way {
            Way::Bytewise => self.probe.recv_bytewise(bytes),
            Way::Whole | Way::OneByteTx => self.probe.recv(bytes),
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        let bytes = wire(true, Opcode::Text, KEY, text.as_bytes());
        assert_eq!(self.say(&bytes), bytes.len());
    }

    /// Frames of the server since the last question: all whole, none malformed.
    pub(super) fn heard(&mut self) -> Vec<Told> {
        let limits = Limits { message_bytes_max: 1 << 23, frame_bytes_max: 1 << 23 };
        let (told, fault) = arrivals(&self.probe.sent(), &[], Side::Server, limits);
        assert_eq!(fault, None);
        told
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        self.probe.with(|http, _| std::mem::take(&mut http.state().told))
    }

    /// The server has sent its FIN; the peer sends its own. The reason.
    pub(super) fn ended(&mut self) -> &'static str {
        assert_eq!(self.heard(), [], "something is left");
        assert!(self.probe.finished(), "the server has not finished, {:?}", self.way);
        if self.probe.closed().is_none() {
            self.probe.eof();
        }
        self.probe.closed().unwrap().reason.name()
    }
}

pub(super) fn each_with(config: &WebSocketConfig, mut script: impl FnMut(&mut Talk)) {
    for way in [Way::Whole, Way::Bytewise, Way::OneByteTx] {
        script(&mut Talk::new(config, way));
    }
}

pub(super) fn each(script: impl FnMut(&mut Talk)) {
    each_with(&WebSocketConfig::default(), script);
}

pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    wire(true, Opcode::Close, KEY, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

pub(super) fn said(code: u16, reason: &str) -> Told {
    Told::Close(Some((code, reason.into())))
}
