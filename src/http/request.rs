//! A request as a route sees it: the parts that handlers ask for by name, decoded when they are asked for.

use std::borrow::Cow;

use super::form::{Form, form};
use super::path;
use super::tree::Spans;
use crate::proto::http1;
use crate::proto::http1::head::{Head, Method};
use crate::reactor::Peer;

/// A request that a route has been found for. It is borrowed from the receive buffer and lives during the call; what is
/// needed later has to be copied.
///
/// ```
/// use tidemill::http::{Request, Response, Server};
///
/// fn greet(_: &mut (), req: &Request<'_>, _: &mut tidemill::http::Cx<'_, ()>) -> Option<String> {
///     let name = req.param("name")?;
///     let mark = if req.query("loud").is_some() { "!" } else { "." };
///     Some(format!("hello {name}{mark}"))
/// }
///
/// let http = Server::new(()).get("/hello/:name", greet).build()?;
/// # Ok::<(), tidemill::http::RouteError>(())
/// ```
#[derive(Debug)]
pub struct Request<'a> {
    raw: &'a http1::Request<'a>,
    names: &'a [Box<str>],
    spans: Spans,
}

impl<'a> Request<'a> {
    pub(super) const fn new(raw: &'a http1::Request<'a>, names: &'a [Box<str>], spans: Spans) -> Self {
        Self { raw, names, spans }
    }

    /// The method. A route for GET also gets HEAD: answer as for GET, and the body is left out.
    pub const fn method(&self) -> Method<'a> {
        self.raw.head.method
    }

    /// The path, as it came: not decoded.
    pub fn path(&self) -> &'a str {
        // The parser has let visible ASCII pass and nothing else.
        std::str::from_utf8(self.raw.head.path).unwrap_or_default()
    }

    /// A parameter of the route's pattern, decoded; `None` when the pattern has none of this name or the value is no
    /// UTF-8. That of a tail holds the slashes.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        match self.param_bytes(name)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    /// The same as bytes, for names that need not be UTF-8.
    pub fn param_bytes(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let nth = self.names.iter().position(|other| **other == *name)?;
        self.nth_raw(nth).map(path::decode)
    }

    /// How many parameters the pattern has.
    pub(super) const fn names_len(&self) -> usize {
        self.names.len()
    }

    /// The parameter with this number, not decoded.
    pub(super) fn nth_raw(&self, nth: usize) -> Option<&'a [u8]> {
        self.spans.of(self.raw.head.path, nth)
    }

    /// The first value of this name in the query, decoded as a form is.
    pub fn query(&self, name: &str) -> Option<Cow<'a, str>> {
        self.queries().value(name)
    }

    /// All pairs of the query.
    pub fn queries(&self) -> Form<'a> {
        form(self.raw.head.query.unwrap_or_default())
    }

    /// The first field of this name, in any case, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// The same as bytes.
    pub fn header_bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.raw.head.field(name)
    }

    /// The host and port that the request is for, as the client wrote them.
    pub fn host(&self) -> Option<&'a str> {
        std::str::from_utf8(self.raw.head.authority?).ok()
    }

    /// Who asks.
    pub const fn remote(&self) -> Peer {
        self.raw.peer
    }

    /// The body; empty for routes that take none or stream it.
    pub const fn body(&self) -> &'a [u8] {
        self.raw.body
    }

    /// The body, if it is UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.raw.body).ok()
    }

    /// The pairs of a body that is a form.
    pub const fn form(&self) -> Form<'a> {
        form(self.raw.body)
    }

    /// The id of the last event that a client of Server-Sent Events has seen, when it connects again.
    pub fn last_event_id(&self) -> Option<&'a str> {
        self.header("Last-Event-ID")
    }

    /// The turn's time, in seconds since 1970.
    pub const fn unix_time(&self) -> u64 {
        self.raw.unix_time
    }

    /// The head, with everything that the client said.
    pub const fn head(&self) -> &'a Head<'a> {
        self.raw.head
    }

    /// The request as the server has it.
    pub const fn raw(&self) -> &'a http1::Request<'a> {
        self.raw
    }
}
