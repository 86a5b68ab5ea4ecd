//! Echo over WebSockets: every message comes back, of its type. For tests of clients, and of this crate.

use super::handler::WebSocket;
use super::handshake::Origins;
use super::socket::Socket;
use super::upgrade::{WebSocketConfig, upgrade};
use crate::proto::http1::head::Head;
use crate::proto::http1::{App, BodyPlan, Cx, Reply, Request};

/// An HTTP application whose every path is a WebSocket that echoes. Pages of any origin may connect: nothing here is
/// anybody's secret. A request that is no handshake gets 426.
#[derive(Clone, Debug)]
pub struct Echo {
    config: WebSocketConfig,
}

impl Echo {
    /// With the default bounds.
    pub fn new() -> Self {
        Self::with_config(WebSocketConfig { origins: Origins::Any, ..WebSocketConfig::default() })
    }

    /// With bounds of the caller's choice.
    pub const fn with_config(config: WebSocketConfig) -> Self {
        Self { config }
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self::new()
    }
}

impl App for Echo {
    fn body_plan(&mut self, _head: &Head<'_>) -> BodyPlan {
        BodyPlan::Refuse
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _cx: &mut Cx<'_, Self>) {
        upgrade(request, reply, &self.config, Mirror);
    }
}

/// One connection that echoes.
#[derive(Debug)]
struct Mirror;

impl<S: 'static> WebSocket<S> for Mirror {
    fn on_text(&mut self, _state: &mut S, socket: &mut Socket<'_, '_, S>, text: &str) {
        // A message is told only when nothing waits, and then one of any size is taken.
        let _ = socket.text(text);
    }

    fn on_binary(&mut self, _state: &mut S, socket: &mut Socket<'_, '_, S>, data: &[u8]) {
        let _ = socket.binary(data);
    }
}
