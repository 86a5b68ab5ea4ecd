//! WebSockets over real sockets, with a client that we did not write (tungstenite).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use tidemill::proto::http1::{App, Cx, Http, HttpConfig, Reply, Request};
use tidemill::proto::websocket::{
    Closed, Echo, Origins, Sender, Socket, WebSocket as Protocol, WebSocketConfig, upgrade,
};
use tidemill::reactor::{Config, Endpoint, Handle, Handler, Reactor};
use tungstenite::client::IntoClientRequest;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::{Message, WebSocket, client};

const PATIENCE: Duration = Duration::from_secs(20);

/// A reactor on a thread of its own; stopped, and its end awaited, when it is dropped.
struct Server {
    at: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start<H: Handler>(make: impl FnOnce() -> H + Send + 'static) -> Self {
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut reactor = Reactor::new(Config::default()).unwrap();
            let key = reactor.add(make());
            let listener = reactor.listen(key, &Endpoint::tcp(([127, 0, 0, 1], 0))).unwrap();
            let at = reactor.local(listener).unwrap().to_string();
            ready.send((at, reactor.handle())).unwrap();
            reactor.run().unwrap();
        });
        let (at, handle) = started.recv().unwrap();
        let at = at.strip_prefix("tcp:").unwrap().parse().unwrap();
        Self { at, handle, thread: Some(thread) }
    }

    fn echo() -> Self {
        Self::start(|| Http::with_config(Echo::new(), HttpConfig::default()))
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn join(&self, path: &str) -> WebSocket<TcpStream> {
        client(format!("ws://{}{path}", self.at), self.stream()).unwrap().0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.stop(PATIENCE);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// What the server's Close frame says, and that the stream ends behind it.
fn closed(socket: &mut WebSocket<TcpStream>) -> (u16, String) {
    loop {
        match socket.read().expect("a close frame before the end") {
            Message::Close(said) => {
                let said = said.expect("a code");
                match socket.read() {
                    Err(
                        Error::ConnectionClosed
                        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                    ) => {}
                    other => panic!("not the end: {other:?}"),
                }
                return (said.code.into(), said.reason.to_string());
            }
            Message::Text(_)
            | Message::Binary(_)
            | Message::Ping(_)
            | Message::Pong(_)
            | Message::Frame(_) => {}
        }
    }
}

#[test]
fn messages_of_every_size_come_back_as_they_were() {
    let server = Server::echo();
    let mut socket = server.join("/");
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20] {
        let data: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        socket.send(Message::binary(data.clone())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::binary(data));
        let text = "é".repeat(len / 2);
        socket.send(Message::text(text.clone())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(text));
    }
}

#[test]
fn fragments_with_pings_between_are_one_message() {
    let server = Server::echo();
    let mut socket = server.join("/");
    let euro = "€".as_bytes();
    let parts = [
        Frame::message(euro[..1].to_vec(), OpCode::Data(Data::Text), false),
        Frame::ping("between"),
        Frame::message(euro[1..].to_vec(), OpCode::Data(Data::Continue), false),
        Frame::message("", OpCode::Data(Data::Continue), true),
    ];
    for part in parts {
        socket.send(Message::Frame(part)).unwrap();
    }
    assert_eq!(socket.read().unwrap(), Message::Pong("between".into()));
    assert_eq!(socket.read().unwrap(), Message::text("€"));
}

#[test]
fn a_close_is_answered_and_the_server_ends_the_stream() {
    let server = Server::echo();
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut socket = server.join("/");
        socket.close(Some(CloseFrame { code: code.into(), reason: "done".into() })).unwrap();
        assert_eq!(closed(&mut socket).0, code);
    }
}

#[test]
fn what_the_rfc_forbids_is_closed_with_its_code() {
    let server = Server::echo();
    let frame = |payload: &[u8], opcode, fin| Frame::message(payload.to_vec(), opcode, fin);
    let mut reserved = frame(b"x", OpCode::Data(Data::Text), true);
    reserved.header_mut().rsv1 = true;
    let table = [
        (reserved, 1002),
        (frame(b"x", OpCode::Data(Data::Continue), true), 1002),
        (frame(b"\xff", OpCode::Data(Data::Text), true), 1007),
        (frame(&vec![0; (1 << 20) + 1], OpCode::Data(Data::Binary), true), 1009),
    ];
    for (frame, code) in table {
        let mut socket = server.join("/");
        // A frame over the limit is refused by its header: the rest of it may find nobody who reads.
        let _ = socket.send(Message::Frame(frame));
        assert_eq!(closed(&mut socket).0, code);
    }
}

#[test]
fn a_thousand_messages_are_sent_before_the_first_answer_is_read() {
    let server = Server::echo();
    let mut socket = server.join("/");
    // Less than what the kernel's buffers and ours hold, in messages that cross every border of a buffer.
    for at in 0..1000u32 {
        socket.send(Message::binary(vec![at as u8; 150 + (at % 7) as usize])).unwrap();
    }
    for at in 0..1000u32 {
        assert_eq!(socket.read().unwrap(), Message::binary(vec![at as u8; 150 + (at % 7) as usize]));
    }
}

#[test]
fn a_client_that_sends_all_before_it_reads_gets_all() {
    let server = Server::echo();
    let socket = server.join("/");
    let writer = socket.get_ref().try_clone().unwrap();
    let mut reader = socket;
    let role = tungstenite::protocol::Role::Client;
    let mut writer = WebSocket::from_raw_socket(writer, role, None);
    let message = vec![7; 1 << 20];
    let sent = message.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..40 {
            writer.send(Message::binary(sent.clone())).unwrap();
        }
    });
    for _ in 0..40 {
        assert!(reader.read().unwrap() == Message::binary(message.clone()));
    }
    thread.join().unwrap();
}

/// A room whose members hear each other, and a server that pings at once.
struct Room {
    config: WebSocketConfig,
    members: Vec<Sender>,
}

impl App for Room {
    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        upgrade(request, reply, &self.config, Member);
    }
}

struct Member;

impl Protocol<Room> for Member {
    fn on_open(&mut self, room: &mut Room, socket: &mut Socket<'_, '_, Room>) {
        room.members.push(socket.sender());
        socket.text(&format!("welcome {}", socket.protocol().unwrap_or("-"))).unwrap();
    }

    fn on_text(&mut self, room: &mut Room, socket: &mut Socket<'_, '_, Room>, text: &str) {
        for member in &room.members {
            member.text(socket.cx(), text).unwrap();
        }
    }

    fn on_close(&mut self, room: &mut Room, closed: &Closed<'_>, _: &mut Cx<'_, Room>) {
        room.members.retain(|member| member.id() != closed.report.id);
    }
}

fn room(set: impl FnOnce(&mut WebSocketConfig) + Send + 'static) -> Server {
    Server::start(|| {
        let mut config = WebSocketConfig::default();
        set(&mut config);
        Http::with_config(Room { config, members: Vec::new() }, HttpConfig::default())
    })
}

#[test]
fn fifty_members_hear_each_other_in_order() {
    let server = room(|_| {});
    let mut members: Vec<_> = (0..50).map(|_| server.join("/")).collect();
    for member in &mut members {
        assert_eq!(member.read().unwrap(), Message::text("welcome -"));
    }
    for speaker in 0..50 {
        members[speaker].send(Message::text(format!("I am {speaker}"))).unwrap();
        for member in &mut members {
            assert_eq!(member.read().unwrap(), Message::text(format!("I am {speaker}")));
        }
    }
}

#[test]
fn a_client_that_answers_pings_stays_and_one_that_does_not_is_closed_with_1011() {
    let server = room(|config| {
        config.ping_interval = Some(Duration::from_millis(50));
        config.pong_timeout = Duration::from_millis(300);
    });
    let mut good = server.join("/");
    let mut pings = 0;
    good.read().unwrap();
    while pings < 20 {
        // tungstenite answers a ping with its next read or write.
        match good.read().unwrap() {
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    let mut silent = server.join("/");
    silent.read().unwrap();
    // Its bytes are read past it: the ping comes, and nobody answers.
    let mut all = Vec::new();
    std::io::Read::read_to_end(silent.get_mut(), &mut all).unwrap();
    let close = all.windows(4).any(|part| part[0] == 0x88 && part[2..] == 1011u16.to_be_bytes());
    assert!(close, "{all:x?}");
}

#[test]
fn subprotocols_and_origins_are_negotiated() {
    let server = room(|config| {
        config.protocols = vec!["tide.v2".into(), "tide".into()];
        config.origins = Origins::Only(vec!["https://good.example".into()]);
    });
    let ask = |origin: &'static str| {
        let mut request = format!("ws://{}/", server.at).into_client_request().unwrap();
        request.headers_mut().insert("Origin", HeaderValue::from_static(origin));
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("tide, other"));
        client(request, server.stream())
    };
    let (mut socket, answer) = ask("https://good.example").unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "tide");
    assert_eq!(socket.read().unwrap(), Message::text("welcome tide"));
    match ask("https://evil.example") {
        Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => assert_eq!(answer.status(), 403),
        other => panic!("{:?}", other.map(|_| "accepted")),
    }
}

#[test]
fn a_drain_says_goodbye_to_everybody() {
    let server = Server::echo();
    let mut sockets: Vec<_> = (0..10).map(|_| server.join("/")).collect();
    server.handle.stop(PATIENCE);
    for socket in &mut sockets {
        assert_eq!(closed(socket), (1001, "the server stops".into()));
    }
}
