//! The bounds of an HTTP server.

use std::time::Duration;

use crate::proto::http1::head;
use crate::reactor::Limits;

/// Bounds of an HTTP server.
///
/// ```
/// use std::time::Duration;
/// use tidemill::http::{HttpConfig, Server};
///
/// let mut config = HttpConfig::default();
/// config.body_bytes_max = 64 << 10;
/// config.answer_timeout = Some(Duration::from_secs(5));
/// let server = Server::new(()).config(config).fixed("/", "hello").build().unwrap();
/// # drop(server);
/// ```
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
    /// How long a deferred answer may take before 503 is given instead; `None` for ever. Default 60 s.
    pub answer_timeout: Option<Duration>,
    /// Whether targets of scheme `https` are answered, as behind a gateway that ends TLS and is trusted; else they are 421
    /// (RFC 9110 section 7.4). Default false.
    pub https_targets: bool,
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
            answer_timeout: Some(Duration::from_secs(60)),
            https_targets: false,
            delay: None,
            connection: Limits { idle_timeout: Some(Duration::from_secs(60)), ..Limits::default() },
        }
    }
}
