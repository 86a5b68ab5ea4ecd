//! Access logs: a [`Record`] becomes one line of text, in a [`Format`] of the operator's choice.
//!
//! Owns formats, escapes and bounds. It is pure: who writes lines to where is not its business, and it reads no clock.
//!
//! **One record is one line** of at most [`LINE_BYTES_MAX`] bytes, whatever a peer sent: a value's bytes outside
//! printable ASCII, its quotes and its backslashes are written as `\xHH`, in JSON by that format's own escapes. Long
//! values are clipped and end in `...` then. What is missing is `-`, in JSON `null`.
//!
//! | format | a line |
//! |---|---|
//! | `common` | `REMOTE - - [TIME] "REQUEST" STATUS BYTES_OUT`, the Common Log Format |
//! | `combined` | the same with `"REFERER" "USER_AGENT"` behind it, as nginx and Apache have it |
//! | `json` | an object with all values of the table below; times are in nanoseconds |
//! | any other text | a template with names of the table in braces; `{{` and `}}` are braces |
//!
//! | name | value |
//! |---|---|
//! | `time`, `time_common`, `unix_time` | when it was logged, in UTC: `2026-11-22T22:09:59Z`, `22/Nov/2026:22:09:59 +0000`, seconds since 1970 (the latter two not in JSON) |
//! | `remote`, `remote_port` | the client's address and port; `unix` for a Unix socket |
//! | `conn`, `nth` | the connection's id as other log lines have it, and the number of the request on it, from 1 |
//! | `request` | method, target and protocol with spaces between (not in JSON) |
//! | `method`, `host`, `target`, `protocol` | parts of the request; `host` is the authority it is for |
//! | `path`, `query` | parts of the target, raw (not in JSON) |
//! | `user` | who logged in, as the client says it; `-` where the answer is 401 |
//! | `referer`, `user_agent`, `header:NAME` | fields of the request (the last one not in JSON) |
//! | `status` | of the answer; `000`, in JSON `null`, when none was sent |
//! | `bytes_in`, `bytes_out` | lengths of the bodies, without framing |
//! | `request_line`, `request_headers`, `request_body` | times: the parts of receiving the request |
//! | `to_status_line`, `response_headers`, `response_body` | times: the parts of answering it |
//! | `duration` | their exact sum; in JSON it is named `duration_ns` |
//! | `end` | two letters, see [`End`](crate::proto::http1::End): who ended it, and in which phase; `--` when all went well |
//! | `class` | the failure's class, such as `http.head_timeout` |
//!
//! In a template a time is in nanoseconds unless `_us`, `_ms` or `_s` (with six decimals) stands behind its name.
//!
//! ```
//! use tidemill::service::access::Format;
//!
//! let format: Format = "{remote} \"{method} {target}\" {status} {end} {duration_us}".parse()?;
//! let wrong = "{remote} {stauts}".parse::<Format>().unwrap_err();
//! assert_eq!(wrong.to_string(), "no value is named 'stauts' (did you mean 'status'?)");
//! # Ok::<(), tidemill::service::access::FormatError>(())
//! ```

mod clock;
mod json;
mod line;
mod template;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::str::FromStr;

pub use self::line::LINE_BYTES_MAX;
pub use self::template::FormatError;

use self::clock::Clock;
use self::line::Line;
use self::template::{Field, Part, Piece, Unit};
use crate::proto::http1::Record;
use crate::proto::http1::head::{Head, Version};
use crate::reactor::Peer;

/// The most bytes of a target in a line.
const TARGET_MAX: usize = 4096;
/// The most bytes of a header field in a line.
const HEADER_MAX: usize = 1024;
/// The most bytes of a host: a name has at most 253.
const HOST_MAX: usize = 272;
/// The most bytes of a user's name.
const USER_MAX: usize = 256;
/// The most bytes of a method.
const METHOD_MAX: usize = 64;

const COMMON: &str = "{remote} - {user} [{time_common}] \"{request}\" {status} {bytes_out}";
const COMBINED: &str =
    "{remote} - {user} [{time_common}] \"{request}\" {status} {bytes_out} \"{referer}\" \"{user_agent}\"";

/// What a line looks like. Read from `common`, `combined`, `json` or a template; the module's page has the names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format(Kind);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Pieces(Vec<Piece>),
    Json,
}

impl FromStr for Format {
    type Err = FormatError;

    /// # Errors
    /// A sentence about what is wrong with a template: a name that means nothing, a brace alone, a control character.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let template = match text {
            "json" => return Ok(Self(Kind::Json)),
            "common" => COMMON,
            "combined" => COMBINED,
            own => own,
        };
        template::parse(template).map(|pieces| Self(Kind::Pieces(pieces)))
    }
}

/// Writes records as lines of one format.
#[derive(Clone, Debug)]
pub struct Formatter {
    format: Format,
    clock: Clock,
}

impl Formatter {
    /// A formatter of `format`.
    pub fn new(format: Format) -> Self {
        Self { format, clock: Clock::new(0) }
    }

    /// Appends the line of `record` to `out`, with its line break: at most [`LINE_BYTES_MAX`] bytes. Allocates nothing
    /// when `out` has as much capacity to spare.
    pub fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.clock.set(record.unix_time);
        let mut line = Line::new(out);
        match &self.format.0 {
            Kind::Json => json::write(record, &self.clock, &mut line),
            Kind::Pieces(pieces) => {
                for piece in pieces {
                    write_piece(piece, record, &self.clock, &mut line);
                }
            }
        }
        line.finish();
    }
}

#[inline]
fn write_piece(piece: &Piece, record: &Record<'_>, clock: &Clock, line: &mut Line<'_>) {
    match piece {
        Piece::Literal(text) => line.raw(text),
        Piece::Field(field) => write_field(*field, record, clock, line),
        Piece::Header(name) => value(record.head.and_then(|head| head.field(name)), HEADER_MAX, line),
        Piece::Time(part, unit) => match (time(record, *part), unit) {
            (None, _) => line.raw(b"-"),
            (Some(ns), Unit::Ns) => line.number(ns),
            (Some(ns), Unit::Us) => line.number(ns / 1_000),
            (Some(ns), Unit::Ms) => line.number(ns / 1_000_000),
            (Some(ns), Unit::S) => line.seconds(ns),
        },
    }
}

fn write_field(field: Field, record: &Record<'_>, clock: &Clock, line: &mut Line<'_>) {
    let head = record.head;
    match field {
        Field::Time => line.raw(clock.iso()),
        Field::TimeCommon => line.raw(clock.common()),
        Field::UnixTime => line.number(record.unix_time),
        Field::Remote => remote(record.peer, line),
        Field::RemotePort => match record.peer {
            Peer::Tcp(at) => line.number(u64::from(at.port())),
            Peer::Unix | Peer::Unknown => line.raw(b"-"),
        },
        Field::User => user(record, |user| value(user, USER_MAX, line)),
        Field::Conn => line.display(record.conn),
        Field::Nth => line.number(u64::from(record.nth)),
        Field::Request => request(head, line),
        Field::Method => value(head.map(|head| head.method.as_str().as_bytes()), METHOD_MAX, line),
        Field::Host => value(head.and_then(|head| head.authority), HOST_MAX, line),
        Field::Target => value(head.map(|head| head.target), TARGET_MAX, line),
        Field::Path => value(head.map(|head| head.path), TARGET_MAX, line),
        Field::Query => value(head.and_then(|head| head.query), TARGET_MAX, line),
        Field::Protocol => value(head.map(protocol), METHOD_MAX, line),
        Field::Status => line.status(record.status),
        Field::BytesIn => line.number(record.bytes_in),
        Field::BytesOut => line.number(record.bytes_out),
        Field::Referer => value(head.and_then(|head| head.field("Referer")), HEADER_MAX, line),
        Field::UserAgent => value(head.and_then(|head| head.field("User-Agent")), HEADER_MAX, line),
        Field::End => line.text(&record.end.code(), METHOD_MAX),
        Field::Class => value(record.class.map(|class| class.name.as_bytes()), METHOD_MAX, line),
    }
}

/// Method, target and protocol, or `-` for a request that never was whole.
fn request(head: Option<&Head<'_>>, line: &mut Line<'_>) {
    let Some(head) = head else { return line.raw(b"-") };
    line.text(head.method.as_str().as_bytes(), METHOD_MAX);
    line.raw(b" ");
    line.text(head.target, TARGET_MAX);
    line.raw(b" ");
    line.raw(protocol(head));
}

/// The name in the request's credentials (RFC 7617), never its password. It is one word in a line: a blank in it is shown as
/// `_`. What was refused is nobody's name.
fn user<T>(record: &Record<'_>, f: impl FnOnce(Option<&[u8]>) -> T) -> T {
    let given = record.head.filter(|_| record.status != 401).and_then(|head| head.field("Authorization"));
    let coded = given.and_then(|value| {
        let (scheme, coded) = value.split_at_checked(6)?;
        scheme.eq_ignore_ascii_case(b"basic ").then_some(coded.trim_ascii())
    });
    let mut room = [0; 512];
    let decoded = coded.and_then(|coded| BASE64_STANDARD.decode_slice(coded, &mut room).ok());
    let Some(end) = decoded.and_then(|n| room.get(..n)?.iter().position(|&b| b == b':')) else {
        return f(None);
    };
    for byte in room.iter_mut().take(end).filter(|byte| **byte == b' ') {
        *byte = b'_';
    }
    f(room.get(..end))
}

/// A peer's value, escaped; `-` when there is none or it is empty.
fn value(bytes: Option<&[u8]>, max: usize, line: &mut Line<'_>) {
    match bytes {
        Some(bytes) if !bytes.is_empty() => line.text(bytes, max),
        _ => line.raw(b"-"),
    }
}

const fn protocol(head: &Head<'_>) -> &'static [u8] {
    match head.version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
    }
}

/// The client's address without its port: IPv4 also where it came over a socket of both kinds.
fn remote(peer: Peer, line: &mut Line<'_>) {
    match peer {
        Peer::Tcp(at) => match at.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => {
                for (n, octet) in ip.octets().into_iter().enumerate() {
                    if n > 0 {
                        line.raw(b".");
                    }
                    line.number(u64::from(octet));
                }
            }
            std::net::IpAddr::V6(ip) => line.display(ip),
        },
        Peer::Unix => line.raw(b"unix"),
        Peer::Unknown => line.raw(b"-"),
    }
}

/// A time in nanoseconds; of the duration, the sum of what there was.
fn time(record: &Record<'_>, part: Part) -> Option<u64> {
    match part {
        Part::Request(n) => record.request.get(n).copied().flatten(),
        Part::Response(n) => record.response.get(n).copied().flatten(),
        Part::Duration => {
            record.request.iter().chain(&record.response).flatten().copied().reduce(u64::saturating_add)
        }
    }
}
