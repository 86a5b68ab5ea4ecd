//! What an HTTP server is told: its application and its bounds.

use std::time::Duration;

use crate::proto::http1::head::{self, Head};
use crate::proto::http1::reply::{Reply, Request};
use crate::reactor::Limits;

/// What to do with the body of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyPlan {
    /// Read it and drop it, up to the configured bound; then answer.
    Skip,
    /// Collect up to so many bytes; then answer.
    Collect(usize),
    /// Answer at once, without it.
    Refuse,
}

/// An application: answers requests.
pub trait App: Sized + 'static {
    /// What to do with the body of this request; asked once, when its head is whole and it has a body.
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        let _ = head;
        BodyPlan::Skip
    }

    /// Answers a request. Called in the order of the requests of a connection, one at a time.
    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, '_>);
}

/// Bounds of an HTTP server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Of a request head.
    pub head: head::Limits,
    /// From a head's first byte to its last, however the bytes come. Default 10 s.
    pub head_timeout: Duration,
    /// A request body may make no progress for so long. Default 30 s.
    pub body_timeout: Duration,
    /// The least average rate of a request body, in bytes a second, beyond `body_timeout`. Default 1 KiB/s.
    pub body_rate_min: u32,
    /// The largest body of a request whose application asks for none. Default 1 MiB.
    pub body_bytes_max: u64,
    /// Wait before each answer. For tests of clients. Default none.
    pub delay: Option<Duration>,
    /// Of the connections. The idle deadline is 60 s by default, also before a connection's first byte.
    pub connection: Limits,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            head: head::Limits::default(),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_rate_min: 1024,
            body_bytes_max: 1 << 20,
            delay: None,
            connection: Limits { idle_timeout: Some(Duration::from_secs(60)), ..Limits::default() },
        }
    }
}
