//! WebSocket (RFC 6455): the frame codec, the opening handshake, and the handler on an upgraded HTTP connection.
//!
//! `frame`, `decode` and `handshake` are pure: bytes in, values out, no socket and no clock. No extension is spoken:
//! an offer of permessage-deflate is answered by leaving it out, after which a compressed frame is a fault (1002).
//!
//! An application calls [`upgrade`] in `on_request` and gives it a [`WebSocket`]; that is all.

pub mod checks;
mod close;
mod decode;
mod echo;
pub mod fault;
pub mod frame;
mod handler;
pub mod handshake;
mod outbox;
mod pulse;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod upgrade;

pub use close::{CloseCode, CloseFrame};
pub use decode::{Decoder, Event, Limits};
pub use echo::Echo;
pub use handler::{Closed, WebSocket};
pub use handshake::Origins;
pub use outbox::SendError;
pub use socket::{Sender, Socket};
pub use upgrade::{WebSocketConfig, upgrade};
