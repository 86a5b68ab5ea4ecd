//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112): pure parsers and encoder, and the server handler on them.
//!
//! `head`, `body` and `encode` own the wire format: bytes in, values out, no socket, no clock, no allocation.
//! Every way a peer can break the rules is a [`fault::Fault`], which names the answer and the class.

pub mod body;
mod chars;
pub mod encode;
pub mod fault;
pub mod head;
mod reply;
mod response;
pub mod server;
pub mod sse;

pub(crate) use reply::Caught;
pub(crate) use reply::Part;
pub use reply::{Prepared, Reply, Request};
pub use response::{Body, Pieces, Response};
pub use server::record::{End, Log, Phase, Record, Who};
pub use server::{
    App, BodyPlan, BodyWriter, Cx, Flow, Http, HttpConfig, Pull, Raw, RawIo, Responder, Service, Sink,
    Source, StreamOptions, Ticket,
};
