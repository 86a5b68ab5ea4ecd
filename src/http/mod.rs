//! HTTP for programs that embed it: routes over a state, answers now or later, bodies in either direction as streams.
//!
//! [`Server`] makes the handler; a reactor runs it, beside any other. It owns routing and what routes return; the
//! protocol itself is [`crate::proto::http1`], whose names an embedder needs are here too. The guide is `docs/http.md`.
//! It starts no thread, opens no socket and reads no clock.
//!
//! ```
//! let http = tidemill::http::Server::new(()).get("/", |_, _, _| "Hello, World!").build()?;
//! # Ok::<(), tidemill::http::RouteError>(())
//! ```

mod answer;
mod files;
mod form;
mod path;
mod request;
mod router;
mod server;
mod tree;

pub use crate::proto::http1::head::{self, Head, Method};
pub use crate::proto::http1::server::record::{End, Log, Record};
pub use crate::proto::http1::{
    Body, BodyWriter, Cx, Flow, Http, HttpConfig, Pieces, Prepared, Pull, Raw, RawIo, Reply, Responder,
    Response, Sink, Source, StreamOptions, Ticket, fault, sse,
};
pub use crate::service::files::{Files, Limits as FileLimits, Root};
pub use answer::Answer;
pub use form::{Form, form};
pub use request::Request;
pub use server::{RouteError, Server};

#[cfg(test)]
mod tests {
    #[test]
    fn the_guide_lists_every_fault_with_its_status() {
        let guide = include_str!("../../docs/http.md");
        let rows = guide.lines().filter(|line| line.contains("| `http.")).count();
        assert_eq!(rows, super::fault::ALL.len());
        for fault in super::fault::ALL {
            let row = format!("| {} | `{}` |", fault.status, fault.class.name);
            assert!(guide.contains(&row), "{row}");
        }
    }
}
