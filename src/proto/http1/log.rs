//! The seam of access logs: what is told of each request when its answer is over. It never formats.

use super::head::Head;
use crate::reactor::{Class, ConnId, Peer};

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End(pub(crate) [u8; 2]);

impl End {
    /// All went well.
    pub const DONE: Self = Self(*b"--");

    /// The two letters.
    pub const fn code(self) -> [u8; 2] {
        self.0
    }
}

/// Told of each request when its answer is over (or its connection ended); for access logs.
pub trait Log: 'static {
    /// One request is over.
    fn record(&mut self, record: &Record<'_>);
}

/// One request; times in nanoseconds, `None` for a phase that never happened.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// `None`: it was malformed or never whole.
    pub head: Option<&'a Head<'a>>,
    /// The connection.
    pub conn: ConnId,
    /// Its peer.
    pub peer: Peer,
    /// Seconds since the epoch.
    pub unix_time: u64,
    /// Request number on its connection, from 1.
    pub nth: u32,
    /// 0: none was sent.
    pub status: u16,
    /// Of the request's body.
    pub bytes_in: u64,
    /// Of the answer's body.
    pub bytes_out: u64,
    /// Line, headers, body.
    pub request: [Option<u64>; 3],
    /// To the status line, headers, body.
    pub response: [Option<u64>; 3],
    /// Who ended it, in which phase.
    pub end: End,
    /// The failure, if it was one.
    pub class: Option<&'static Class>,
}
