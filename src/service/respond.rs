//! Fixed answers: one for every path and method (`tidemill respond`), and the welcome of the embedded default.

use crate::proto::http1::encode::EncodeError;
use crate::proto::http1::head::Method;
use crate::proto::http1::{App, Cx, Prepared, Reply, Request};

/// Answers every request alike.
#[derive(Debug)]
pub struct Respond {
    answer: Prepared,
}

impl Respond {
    /// Answers with `status`, `fields` and exactly `body`. The Content-Type is text/plain unless a field says
    /// otherwise; a field replaces a default of its name.
    ///
    /// # Errors
    /// A bad status, name or value, or a field that only the server may write.
    pub fn new(status: u16, fields: &[(&str, &[u8])], body: &[u8]) -> Result<Self, EncodeError> {
        let mut all: Vec<(&str, &[u8])> = Vec::with_capacity(fields.len() + 1);
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            all.push(("Content-Type", b"text/plain; charset=utf-8"));
        }
        all.extend_from_slice(fields);
        Ok(Self { answer: Prepared::new(status, &all, body)? })
    }
}

impl App for Respond {
    fn on_request(&mut self, _request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        reply.prepared(&mut self.answer);
    }
}

const WELCOME: &str = include_str!("welcome.html");

/// The embedded default: a page at `/`, a line of text at `/hello`.
#[derive(Debug)]
pub struct Welcome {
    page: Prepared,
    hello: Prepared,
}

impl Welcome {
    /// The two answers.
    ///
    /// # Errors
    /// None that could happen: the answers are constants.
    pub fn new() -> Result<Self, EncodeError> {
        Ok(Self {
            page: Prepared::new(
                200,
                &[("Content-Type", b"text/html; charset=utf-8"), ("Cache-Control", b"no-cache")],
                WELCOME.as_bytes(),
            )?,
            hello: Prepared::new(200, &[("Content-Type", b"text/plain; charset=utf-8")], b"Hello, World!\n")?,
        })
    }
}

impl App for Welcome {
    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        match (request.head.method, request.head.path) {
            (Method::Get | Method::Head, b"/") => reply.prepared(&mut self.page),
            (Method::Get | Method::Head, b"/hello") => reply.prepared(&mut self.hello),
            (_, b"/" | b"/hello") => reply.status_with(405, &[("Allow", b"GET, HEAD")]),
            _ => reply.status(404),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_writes_framing_fields() {
        for name in ["Content-Length", "transfer-encoding", "Connection"] {
            assert!(Respond::new(200, &[(name, b"1")], b"").is_err(), "{name}");
        }
        assert!(Respond::new(200, &[("Server", b"x"), ("Date", b"y"), ("X-A", b"z")], b"").is_ok());
        assert!(Respond::new(99, &[], b"").is_err());
        assert!(Respond::new(200, &[("X", b"a\r\nb: c")], b"").is_err());
    }
}
