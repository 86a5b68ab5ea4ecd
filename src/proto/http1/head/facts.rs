//! What the fields of one head mean for its connection: framing, persistence, expectation, host, upgrade.
//!
//! Each field is noted once, in order; `finish` then judges them together, framing first, so that the verdict
//! depends on the fields alone. Their syntax has been checked before; nothing here looks at line ends.

use super::super::chars::{all_token, trim};
use super::super::fault::{self, Fault};
use super::{Form, Framing, Version, host};

/// The verdict over all fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict<'a> {
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expect_continue: bool,
    pub(super) host: Option<&'a [u8]>,
    pub(super) upgrade: Option<&'a [u8]>,
}

/// The notes taken of one head.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    host: Option<&'a [u8]>,
    host_bad: bool,
    length: Option<u64>,
    length_bad: bool,
    coding: Coding,
    close: bool,
    keep_alive: bool,
    asks_upgrade: bool,
    expects_continue: bool,
    expects_other: bool,
    upgrade: Option<&'a [u8]>,
}

/// What Transfer-Encoding said so far, over all its fields.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// There was no such field.
    #[default]
    None,
    /// Unknown codings, `chunked` not yet.
    Unknown,
    /// `chunked` alone.
    Chunked,
    /// Unknown codings and `chunked` as the last.
    UnknownChunked,
    /// Malformed, `chunked` twice, or something after it.
    Bad,
}

impl<'a> Facts<'a> {
    /// Takes note of one field.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let Some(&first) = name.first() else { return };
        match (name.len(), first | 0x20) {
            (4, b'h') if name.eq_ignore_ascii_case(b"host") => {
                self.host_bad |= self.host.is_some();
                self.host = Some(value);
            }
            (6, b'e') if name.eq_ignore_ascii_case(b"expect") => self.note_expect(value),
            (7, b'u') if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = Some(value),
            (10, b'c') if name.eq_ignore_ascii_case(b"connection") => self.note_connection(value),
            (14, b'c') if name.eq_ignore_ascii_case(b"content-length") => {
                self.length_bad |= self.length.is_some();
                self.length = decimal(value);
                self.length_bad |= self.length.is_none();
            }
            (17, b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => self.note_coding(value),
            _ => {}
        }
    }

    /// `Connection = #connection-option` (RFC 9110 section 7.6.1); options that mean nothing here are ignored.
    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(trim) {
            match option.len() {
                5 => self.close |= option.eq_ignore_ascii_case(b"close"),
                7 => self.asks_upgrade |= option.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
    }

    /// `Expect = #expectation` (RFC 9110 section 10.1.1).
    fn note_expect(&mut self, value: &[u8]) {
        for expectation in value.split(|&byte| byte == b',').map(trim) {
            if expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expects_continue = true;
            } else if !expectation.is_empty() {
                self.expects_other = true;
            }
        }
    }

    /// `Transfer-Encoding = #transfer-coding` (RFC 9112 section 6.1), without empty members and parameters.
    fn note_coding(&mut self, value: &[u8]) {
        for coding in value.split(|&byte| byte == b',').map(trim) {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.coding = match (self.coding, chunked) {
                (Coding::None, true) => Coding::Chunked,
                (Coding::Unknown, true) => Coding::UnknownChunked,
                (Coding::None | Coding::Unknown, false) if all_token(coding) => Coding::Unknown,
                _ => Coding::Bad,
            };
        }
    }

    /// Judges what was noted: framing, then Host, then Expect.
    #[inline]
    pub(super) fn finish(&self, version: Version, form: Form) -> Result<Verdict<'a>, Fault> {
        let framing = self.framing(version)?;
        self.judge_host(version, form)?;
        let modern = matches!(version, Version::Http11);
        // RFC 9110 section 10.1.1: an HTTP/1.0 request cannot expect anything.
        if modern && self.expects_other {
            return Err(fault::EXPECTATION_FAILED);
        }
        let body = !matches!(framing, Framing::None | Framing::Length(0));
        Ok(Verdict {
            framing,
            keep_alive: !self.close && (modern || self.keep_alive),
            expect_continue: modern && body && self.expects_continue,
            host: self.host,
            // RFC 9110 section 7.8: Upgrade counts only when Connection names it, and never in HTTP/1.0.
            upgrade: if modern && self.asks_upgrade { self.upgrade } else { None },
        })
    }

    /// RFC 9112 section 6.3. Whatever is not plain has no known end and is refused.
    fn framing(&self, version: Version) -> Result<Framing, Fault> {
        if self.length_bad {
            return Err(fault::BAD_FRAMING);
        }
        match (self.coding, self.length, version) {
            (Coding::None, None, _) => Ok(Framing::None),
            (Coding::None, Some(length), _) => Ok(Framing::Length(length)),
            (Coding::Chunked, None, Version::Http11) => Ok(Framing::Chunked),
            (Coding::UnknownChunked, None, Version::Http11) => Err(fault::NOT_IMPLEMENTED),
            _ => Err(fault::BAD_FRAMING),
        }
    }

    /// RFC 9112 section 3.2. An empty Host is right only where the target does not need it.
    fn judge_host(&self, version: Version, form: Form) -> Result<(), Fault> {
        let good = match self.host {
            None => matches!(version, Version::Http10),
            Some([]) => !matches!(form, Form::Origin),
            Some(value) => host::parse(value).is_some_and(|authority| !authority.empty),
        };
        if good && !self.host_bad { Ok(()) } else { Err(fault::BAD_HOST) }
    }
}

/// `1*DIGIT` as a u64 (RFC 9110 section 8.6).
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
