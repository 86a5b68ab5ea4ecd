//! Wire formats and the handlers that speak them: slices in, slices out, and never a socket.

pub mod echo;
pub mod frame;
#[cfg(feature = "http")]
pub mod http1;
#[cfg(feature = "http")]
pub mod websocket;
