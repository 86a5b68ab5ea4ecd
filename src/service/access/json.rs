//! The format `json`: one object a line, always the same keys in the same order.

use super::clock::Clock;
use super::line::Line;
use super::template::{PARTS, Part};
use super::{HEADER_MAX, HOST_MAX, METHOD_MAX, TARGET_MAX, USER_MAX, protocol, remote, time, user};
use crate::proto::http1::Record;
use crate::reactor::Peer;

/// Writes the object. The bounds of its strings leave room for all keys and braces in a line.
pub(super) fn write(record: &Record<'_>, clock: &Clock, line: &mut Line<'_>) {
    line.raw(b"{\"time\":\"");
    line.raw(clock.iso());
    line.raw(b"\",\"remote\":");
    match record.peer {
        Peer::Unknown => line.raw(b"null"),
        Peer::Tcp(_) | Peer::Unix => {
            line.raw(b"\"");
            remote(record.peer, line);
            line.raw(b"\"");
        }
    }
    let port = match record.peer {
        Peer::Tcp(at) => Some(u64::from(at.port())),
        Peer::Unix | Peer::Unknown => None,
    };
    number(",\"remote_port\":", port, line);
    user(record, |user| string(",\"user\":", user, USER_MAX, line));
    line.raw(b",\"conn\":\"");
    line.display(record.conn);
    line.raw(b"\"");
    number(",\"nth\":", Some(u64::from(record.nth)), line);
    let head = record.head;
    string(",\"host\":", head.and_then(|head| head.authority), HOST_MAX, line);
    string(",\"method\":", head.map(|head| head.method.as_str().as_bytes()), METHOD_MAX, line);
    string(",\"target\":", head.map(|head| head.target), TARGET_MAX, line);
    string(",\"protocol\":", head.map(protocol), METHOD_MAX, line);
    number(",\"status\":", Some(u64::from(record.status)).filter(|status| *status != 0), line);
    number(",\"bytes_in\":", Some(record.bytes_in), line);
    number(",\"bytes_out\":", Some(record.bytes_out), line);
    string(",\"referer\":", head.and_then(|head| head.field("Referer")), HEADER_MAX, line);
    string(",\"user_agent\":", head.and_then(|head| head.field("User-Agent")), HEADER_MAX, line);
    for (name, part) in PARTS {
        line.raw(b",\"");
        line.raw(name.as_bytes());
        let end = if part == Part::Duration { "_ns\":" } else { "\":" };
        number(end, time(record, part), line);
    }
    string(",\"end\":", Some(&record.end.code()), METHOD_MAX, line);
    string(",\"class\":", record.class.map(|class| class.name.as_bytes()), METHOD_MAX, line);
    line.raw(b"}");
}

fn number(key: &str, value: Option<u64>, line: &mut Line<'_>) {
    line.raw(key.as_bytes());
    match value {
        Some(value) => line.number(value),
        None => line.raw(b"null"),
    }
}

fn string(key: &str, value: Option<&[u8]>, max: usize, line: &mut Line<'_>) {
    line.raw(key.as_bytes());
    match value {
        Some(value) => line.string(value, max),
        None => line.raw(b"null"),
    }
}
