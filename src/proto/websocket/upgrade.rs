//! From an HTTP request to a WebSocket: the configuration, and [`upgrade`], which answers 101 or refuses.

use std::time::Duration;

use super::decode::Limits;
use super::handler::WebSocket;
use super::handshake::{Origins, negotiate};
use super::pulse::Bounds;
use super::session::{Session, Terms};
use crate::proto::http1::{Reply, Request};

/// Bounds of WebSocket connections, and whom to accept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebSocketConfig {
    /// Of what the peer sends: messages and frames of 1 MiB by default.
    pub limits: Limits,
    /// Bytes sent that may wait behind the transmit buffer for a peer that does not read; one message of any size may
    /// always. Default 1 MiB.
    pub queue_bytes_max: usize,
    /// A peer that was silent for so long is pinged. `None`: never; then the idle deadline of the HTTP server applies,
    /// which does not while there are pings. Default 30 s.
    pub ping_interval: Option<Duration>,
    /// A peer that is silent for so long after a ping is given up, with 1011. It has to read what was sent before the
    /// ping in this time too. Default 20 s.
    pub pong_timeout: Duration,
    /// From our Close frame to the peer's. Default 5 s.
    pub close_timeout: Duration,
    /// From a frame's beginning to its end, beyond what `frame_rate_min` allows: 1008 after it. Default 30 s.
    pub frame_timeout: Duration,
    /// The least average rate of a frame, in bytes a second; 0 switches the deadline off. Default 1 KiB/s.
    pub frame_rate_min: u32,
    /// The subprotocols that are spoken, the preferred one first.
    pub protocols: Vec<String>,
    /// From which pages browsers may connect. Default: those of the same host.
    pub origins: Origins,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            queue_bytes_max: 1 << 20,
            ping_interval: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(30),
            frame_rate_min: 1024,
            protocols: Vec::new(),
            origins: Origins::SameHost,
        }
    }
}

impl WebSocketConfig {
    fn terms(&self) -> Terms {
        Terms {
            limits: self.limits,
            queue_bytes_max: self.queue_bytes_max,
            bounds: Bounds {
                ping_interval: self.ping_interval,
                pong_timeout: self.pong_timeout,
                frame_timeout: self.frame_timeout,
                frame_rate_min: self.frame_rate_min,
            },
            close_timeout: self.close_timeout,
        }
    }
}

/// Answers a request with 101 and gives its connection to `socket`, or refuses it with the status of its
/// [`Refusal`](super::handshake::Refusal) (400, 403, 405, 426). Whether it was accepted; the request is answered
/// either way.
///
/// ```
/// use tidemill::proto::http1::{App, Cx, Reply, Request};
/// use tidemill::proto::websocket::{Socket, WebSocket, WebSocketConfig, upgrade};
///
/// struct Site {
///     config: WebSocketConfig,
/// }
///
/// impl App for Site {
///     fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
///         match request.head.path {
///             b"/live" => {
///                 upgrade(request, reply, &self.config, Mirror);
///             }
///             _ => reply.status(404),
///         }
///     }
/// }
///
/// struct Mirror;
///
/// impl WebSocket<Site> for Mirror {
///     fn on_text(&mut self, _: &mut Site, socket: &mut Socket<'_, '_, Site>, text: &str) {
///         let _ = socket.text(text);
///     }
/// }
/// ```
pub fn upgrade<S: 'static>(
    request: &Request<'_>,
    reply: &mut Reply<'_, S>,
    config: &WebSocketConfig,
    socket: impl WebSocket<S>,
) -> bool {
    match negotiate(request.head, &config.origins, &config.protocols) {
        Ok(accept) => {
            let session = Session::new(socket, config.terms(), accept.protocol);
            let mut fields =
                vec![("Upgrade", &b"websocket"[..]), ("Sec-WebSocket-Accept", accept.key.as_bytes())];
            fields.extend(accept.protocol.map(|name| ("Sec-WebSocket-Protocol", name.as_bytes())));
            reply.upgrade(&fields, Box::new(session));
            true
        }
        Err(refusal) => {
            if refusal.status() == 426 {
                // Whoever sends Upgrade has to name it here too (RFC 9110 section 7.8).
                reply.add_lines(b"Connection: upgrade\r\n");
            }
            reply.status_with(refusal.status(), refusal.fields());
            false
        }
    }
}
