//! One frame on the wire (RFC 6455 section 5.2): its header, read and written, and the mask.
//!
//! It knows nothing of messages but whether one is open, and never looks at a payload beyond its mask.

use super::fault::{self, Fault};

/// The longest payload of a control frame (section 5.5).
pub const CONTROL_MAX: usize = 125;
/// The longest header: two bytes, eight of length, four of mask.
pub const HEADER_MAX: usize = 14;

/// Which side sent the bytes that are read: clients must mask, servers must not (section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// A client; what a server reads.
    Client,
    /// A server; what a client reads.
    Server,
}

/// What a frame is (section 5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// 0: the next part of a message.
    Continuation,
    /// 1: a text message, or its first part.
    Text,
    /// 2: a binary message, or its first part.
    Binary,
    /// 8: the last frame of its direction.
    Close,
    /// 9: asks for a pong.
    Ping,
    /// 10: answers a ping, or comes unasked.
    Pong,
}

impl Opcode {
    /// Whether it is Close, Ping or Pong.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// The header of one frame.
///
/// ```
/// use tidemill::proto::websocket::frame::{Header, Opcode, Sender};
///
/// let header = Header { fin: true, opcode: Opcode::Text, mask: None, len: 5 };
/// let (bytes, n) = header.encode();
/// assert_eq!(bytes[..n], [0x81, 5]);
/// assert_eq!(Header::parse(&bytes[..n], Sender::Server, false), Ok(Some((header, 2))));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The key that its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub len: u64,
}

impl Header {
    /// Reads the header at the start of `bytes`, and says how long it is; `None` when more bytes are needed. `open`
    /// says whether a fragmented message is under way.
    ///
    /// # Errors
    /// The first rule that is broken, in the order of the bytes, as soon as the byte that breaks it is there: so the
    /// fault is the same for every cut.
    pub fn parse(bytes: &[u8], from: Sender, open: bool) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(fault::RESERVED_BITS);
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(fault::BAD_OPCODE)?;
        let fin = first & 0x80 != 0;
        match opcode {
            Opcode::Continuation if !open => return Err(fault::NO_MESSAGE),
            Opcode::Text | Opcode::Binary if open => return Err(fault::INTERLEAVED),
            Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => return Err(fault::FRAGMENTED_CONTROL),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {}
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let masked = second & 0x80 != 0;
        match from {
            Sender::Client if !masked => return Err(fault::NOT_MASKED),
            Sender::Server if masked => return Err(fault::MASKED),
            Sender::Client | Sender::Server => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX {
            return Err(fault::LONG_CONTROL);
        }
        let rest = bytes.get(2..).unwrap_or_default();
        let (len, wide) = match short {
            126 => match rest.first_chunk() {
                Some(len) => (u64::from(u16::from_be_bytes(*len)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(len) => (u64::from_be_bytes(*len), 8),
                None => return Ok(None),
            },
            _ => (u64::from(short), 0),
        };
        let least = [0, 126, 1 << 16];
        if least.get(wide.min(4) / 2).is_some_and(|least| len < *least) || len > i64::MAX as u64 {
            return Err(fault::BAD_LENGTH);
        }
        if !masked {
            return Ok(Some((Self { fin, opcode, mask: None, len }, 2 + wide)));
        }
        let Some(key) = rest.get(wide..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        Ok(Some((Self { fin, opcode, mask: Some(*key), len }, 2 + wide + 4)))
    }

    /// The bytes of the header, with the length in its shortest form, and how many there are.
    pub fn encode(&self) -> ([u8; HEADER_MAX], usize) {
        let mut bytes = [0; HEADER_MAX];
        let first = if self.fin { 0x80 } else { 0 } | self.opcode.bits();
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let wide = self.len.to_be_bytes();
        let (short, len) = match self.len {
            0..=125 => (self.len as u8, &[][..]),
            126..=0xffff => (126, wide.get(6..).unwrap_or_default()),
            _ => (127, &wide[..]),
        };
        let head = [first, masked | short];
        let all = head.iter().chain(len).chain(self.mask.iter().flatten());
        let n = bytes.iter_mut().zip(all).map(|(to, from)| *to = *from).count();
        (bytes, n)
    }
}

/// Masks or unmasks `payload` in place, eight bytes at a time (section 5.3). `phase` is the number of payload bytes
/// that came before it in its frame.
///
/// ```
/// let mut payload = *b"Hello";
/// tidemill::proto::websocket::frame::mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]); // RFC 6455 section 5.7
/// ```
pub fn mask(payload: &mut [u8], mut key: [u8; 4], phase: u64) {
    key.rotate_left((phase % 4) as usize);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_broken_rule_counts_and_counts_at_once() {
        let client = |bytes: &[u8], open| Header::parse(bytes, Sender::Client, open);
        let mut table: Vec<(Vec<u8>, bool, Fault)> = vec![
            (vec![0xc1], false, fault::RESERVED_BITS),
            (vec![0xa1], false, fault::RESERVED_BITS),
            (vec![0x91], false, fault::RESERVED_BITS),
            (vec![0x80], false, fault::NO_MESSAGE),
            (vec![0x00], false, fault::NO_MESSAGE),
            (vec![0x81], true, fault::INTERLEAVED),
            (vec![0x02], true, fault::INTERLEAVED),
            (vec![0x08], true, fault::FRAGMENTED_CONTROL),
            (vec![0x09], false, fault::FRAGMENTED_CONTROL),
            (vec![0x0a], false, fault::FRAGMENTED_CONTROL),
            (vec![0x81, 0x05], false, fault::NOT_MASKED),
            (vec![0x89, 0xfe], false, fault::LONG_CONTROL),
            (vec![0x88, 0xff], false, fault::LONG_CONTROL),
            (vec![0x82, 0xfe, 0, 125], false, fault::BAD_LENGTH),
            (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], false, fault::BAD_LENGTH),
            (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], false, fault::BAD_LENGTH),
        ];
        for opcode in (3..=7).chain(11..=15) {
            table.push((vec![0x80 | opcode], false, fault::BAD_OPCODE));
        }
        for (bytes, open, fault) in table {
            let (last, before) = bytes.split_last().unwrap();
            assert_eq!(client(before, open), Ok(None), "{bytes:x?} without {last:x}");
            assert_eq!(client(&bytes, open), Err(fault), "{bytes:x?}");
        }
        assert_eq!(Header::parse(&[0x81, 0x80], Sender::Server, false), Err(fault::MASKED));
    }

    #[test]
    fn lengths_are_written_in_their_shortest_form_and_read_back() {
        for (len, size) in [
            (0u64, 2),
            (125, 2),
            (126, 4),
            (65_535, 4),
            (65_536, 10),
            (u64::from(u32::MAX) + 1, 10),
            (i64::MAX as u64, 10),
        ] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let header = Header { fin: true, opcode: Opcode::Binary, mask, len };
                let (bytes, n) = header.encode();
                assert_eq!(n, size + if mask.is_some() { 4 } else { 0 });
                let from = if mask.is_some() { Sender::Client } else { Sender::Server };
                for part in 0..n {
                    assert_eq!(Header::parse(&bytes[..part], from, false), Ok(None));
                }
                assert_eq!(Header::parse(&bytes, from, false), Ok(Some((header, n))));
            }
        }
    }

    #[test]
    fn the_mask_is_the_same_for_every_cut_and_alignment() {
        let plain: Vec<u8> = (0..100).collect();
        let key = [0xde, 0xad, 0xbe, 0xef];
        let naive: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
        for cut in 0..=plain.len() {
            let mut bytes = plain.clone();
            let (a, b) = bytes.split_at_mut(cut);
            mask(a, key, 0);
            mask(b, key, cut as u64);
            assert_eq!(bytes, naive, "cut at {cut}");
        }
    }
}
