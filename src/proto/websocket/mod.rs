//! WebSocket (RFC 6455): the frame codec, the opening handshake, and the handler on an upgraded HTTP connection.
//!
//! `frame`, `decode` and `handshake` are pure: bytes in, values out, no socket and no clock. No extension is spoken:
//! an offer of permessage-deflate is answered by leaving it out, after which a compressed frame is a fault (1002).

pub mod checks;
mod close;
mod decode;
pub mod fault;
pub mod frame;
pub mod handshake;
#[cfg(test)]
mod tests;

pub use close::{CloseCode, CloseFrame};
pub use decode::{Decoder, Event, Limits};
