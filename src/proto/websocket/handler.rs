//! What a WebSocket author writes: [`WebSocket`], and what its end is told ([`Closed`]).

use super::close::CloseCode;
use super::socket::Socket;
use crate::proto::http1::Cx;
use crate::reactor::Report;

/// A protocol over messages, one value for each connection; `S` is the state of the HTTP server.
///
/// The calls come in this order: `on_open` → any of `on_text`, `on_binary`, `on_ping`, `on_pong`, `on_room` and
/// `on_drain` → `on_close`, exactly once and last. Pings are answered, the peer's silence is found out, and the close
/// handshake is done without its help.
///
/// ```
/// use tidemill::proto::websocket::{Socket, WebSocket};
///
/// /// Answers each text in capital letters.
/// struct Loud;
///
/// impl<S: 'static> WebSocket<S> for Loud {
///     fn on_text(&mut self, _: &mut S, socket: &mut Socket<'_, '_, S>, text: &str) {
///         let _ = socket.text(&text.to_uppercase());
///     }
/// }
/// ```
pub trait WebSocket<S: 'static>: 'static {
    /// The handshake is done; messages may be sent. Here is where to take a [`Sender`](super::Sender).
    fn on_open(&mut self, state: &mut S, socket: &mut Socket<'_, '_, S>) {
        let _ = (state, socket);
    }

    /// A whole text message. The default closes with 1003.
    fn on_text(&mut self, state: &mut S, socket: &mut Socket<'_, '_, S>, text: &str) {
        let _ = (state, text);
        socket.close(CloseCode::UNSUPPORTED, "text is not accepted");
    }

    /// A whole binary message. The default closes with 1003.
    fn on_binary(&mut self, state: &mut S, socket: &mut Socket<'_, '_, S>, data: &[u8]) {
        let _ = (state, data);
        socket.close(CloseCode::UNSUPPORTED, "binary data are not accepted");
    }

    /// A ping, which has been answered.
    fn on_ping(&mut self, state: &mut S, socket: &mut Socket<'_, '_, S>, payload: &[u8]) {
        let _ = (state, socket, payload);
    }

    /// A pong, asked for or not.
    fn on_pong(&mut self, state: &mut S, socket: &mut Socket<'_, '_, S>, payload: &[u8]) {
        let _ = (state, socket, payload);
    }

    /// All that had to wait for the peer to read is in the transmit buffer now.
    fn on_room(&mut self, state: &mut S, socket: &mut Socket<'_, '_, S>) {
        let _ = (state, socket);
    }

    /// The reactor drains. The default closes with 1001; a handler that says something first closes itself.
    fn on_drain(&mut self, state: &mut S, socket: &mut Socket<'_, '_, S>) {
        let _ = state;
        socket.close(CloseCode::GOING_AWAY, "the server stops");
    }

    /// The connection is no more.
    fn on_close(&mut self, state: &mut S, closed: &Closed<'_>, cx: &mut Cx<'_, S>) {
        let _ = (state, closed, cx);
    }
}

/// How a WebSocket ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Closed<'a> {
    /// The code of the peer's Close frame; 1005 when it had none, 1006 when there was no Close frame (RFC 6455
    /// section 7.1.5).
    pub code: u16,
    /// The reason in the peer's Close frame; often empty.
    pub reason: &'a str,
    /// The code of our own Close frame, or of our answer to the peer's.
    pub sent: Option<CloseCode>,
    /// How the connection ended, and where its time went.
    pub report: &'a Report,
}

impl Closed<'_> {
    /// Whether both sides have said goodbye, so that nothing was lost (section 7.1.4).
    pub const fn is_clean(&self) -> bool {
        self.code != 1006 && self.sent.is_some()
    }
}
