//! Close codes (RFC 6455 section 7.4) and the payload of a Close frame.

use super::fault::{self, Fault};
use super::frame::CONTROL_MAX;

/// A close code that may stand in a Close frame: 1000 to 1003, 1007 to 1014, 3000 to 4999.
///
/// ```
/// use tidemill::proto::websocket::CloseCode;
///
/// assert_eq!(CloseCode::new(1000), Some(CloseCode::NORMAL));
/// assert_eq!(CloseCode::new(4000).map(CloseCode::as_u16), Some(4000)); // an application's own
/// assert_eq!(CloseCode::new(1006), None); // means that there was no Close frame
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: all is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: this kind of data is not accepted, for example binary where text is wanted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: the data do not suit the type of their message, for example text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a policy was violated, when nothing more exact applies.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: the server met something that keeps it from going on.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: try again later.
    pub const TRY_AGAIN: Self = Self(1013);

    /// `code`, if it may be sent.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a Close frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloseFrame<'a> {
    /// Why.
    pub code: CloseCode,
    /// The reason in words; often empty.
    pub reason: &'a str,
}

/// Reads the payload of a Close frame: none, or a code and a reason (section 5.5.1).
///
/// # Errors
/// [`fault::BAD_CLOSE`] for one byte or a code that is not to be sent, [`fault::BAD_TEXT`] for the reason.
pub(super) fn parse(payload: &[u8]) -> Result<Option<CloseFrame<'_>>, Fault> {
    if payload.is_empty() {
        return Ok(None);
    }
    let (code, reason) = payload.split_first_chunk().ok_or(fault::BAD_CLOSE)?;
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(fault::BAD_CLOSE)?;
    let reason = std::str::from_utf8(reason).map_err(|_| fault::BAD_TEXT)?;
    Ok(Some(CloseFrame { code, reason }))
}

/// The payload of a Close frame in `buf`, and its length. A reason that does not fit is cut at a character.
pub(super) fn write(code: CloseCode, reason: &str, buf: &mut [u8; CONTROL_MAX]) -> usize {
    let mut end = reason.len().min(CONTROL_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let bytes = code.0.to_be_bytes().into_iter().chain(reason.bytes().take(end));
    buf.iter_mut().zip(bytes).map(|(to, byte)| *to = byte).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_may_be_sent_are_those_of_the_registry_and_of_applications() {
        let sent: Vec<u16> = (0..=u16::MAX).filter(|code| CloseCode::new(*code).is_some()).collect();
        let want: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(sent, want);
    }

    #[test]
    fn a_payload_is_nothing_or_a_code_and_text() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(fault::BAD_CLOSE));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some(CloseFrame { code: CloseCode::NORMAL, reason: "" })));
        assert_eq!(parse(b"\x03\xe8bye"), Ok(Some(CloseFrame { code: CloseCode::NORMAL, reason: "bye" })));
        assert_eq!(parse(b"\x03\xee"), Err(fault::BAD_CLOSE));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(fault::BAD_TEXT));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut buf = [0; CONTROL_MAX];
        let n = write(CloseCode::NORMAL, &"é".repeat(100), &mut buf);
        assert_eq!(n, 124);
        assert_eq!(parse(&buf[..n]).unwrap().unwrap().reason, "é".repeat(61));
        assert_eq!(write(CloseCode::NORMAL, &"x".repeat(123), &mut buf), 125);
        assert_eq!(write(CloseCode::NORMAL, "", &mut buf), 2);
    }
}
