//! What must hold of the decoder for all bytes: for tests, and for a fuzzer to call.
//!
//! Each function panics where a promise is broken. They buffer and allocate as they like; nothing that serves calls
//! them.

use super::close::CloseFrame;
use super::decode::{Decoder, Event, Limits};
use super::fault::Fault;
use super::frame::{Header, Opcode, Sender, mask};

/// An event that owns what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A Close frame.
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(data) => Self::Binary(data.to_vec()),
            Event::Ping(data) => Self::Ping(data.to_vec()),
            Event::Pong(data) => Self::Pong(data.to_vec()),
            Event::Close(close) => {
                Self::Close(close.map(|CloseFrame { code, reason }| (code.as_u16(), reason.to_owned())))
            }
        }
    }
}

/// What a stream of bytes came to: its events, and the code of the fault that ended it.
pub type Outcome = (Vec<Told>, Option<u16>);

/// Runs `bytes` through a decoder in arrivals that end at `cuts` (in any order; those beyond the end are ignored), as
/// a server does: with a receive buffer that is consumed from its front.
///
/// # Panics
/// If more is taken than there is, more memory held than the limit allows, or a fault does not stay.
pub fn arrivals(bytes: &[u8], cuts: &[usize], from: Sender, limits: Limits) -> (Vec<Told>, Option<Fault>) {
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|&cut| cut < bytes.len()).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut decoder = Decoder::new(from, limits);
    let (mut events, mut start) = (Vec::new(), 0);
    for end in ends {
        loop {
            let input = &bytes[start..end];
            match decoder.decode(input) {
                Ok((n, event)) => {
                    assert!(n <= input.len(), "takes {n} of {}", input.len());
                    assert!(event.is_none() || n > 0, "an event out of nothing");
                    let more = event.is_some();
                    events.extend(event.map(Told::from));
                    start += n;
                    if !more {
                        break;
                    }
                }
                Err(fault) => {
                    assert_eq!(decoder.decode(input), Err(fault), "a fault stays");
                    assert_eq!(decoder.held(), 0, "a fault frees the message");
                    return (events, Some(fault));
                }
            }
            assert!(decoder.held() <= limits.message_bytes_max, "{} bytes held", decoder.held());
        }
        assert!(end - start < 14 + 125, "{} bytes are left", end - start);
    }
    (events, None)
}

/// The same events and the same fault for `cuts` as in one piece and byte by byte, and agreement with a naive model
/// that has all bytes and joins, copies and checks in the plainest way.
///
/// # Panics
/// If any of these differ.
pub fn any_cut(bytes: &[u8], cuts: &[usize]) {
    for from in [Sender::Client, Sender::Server] {
        for max in [0, 1, 7, 130, 70_000] {
            for frame in [max, 5] {
                let limits = Limits { message_bytes_max: max, frame_bytes_max: frame };
                let whole = arrivals(bytes, &[], from, limits);
                assert_eq!(whole, arrivals(bytes, cuts, from, limits), "cut at {cuts:?}");
                if bytes.len() <= 512 {
                    let each: Vec<usize> = (0..bytes.len()).collect();
                    assert_eq!(whole, arrivals(bytes, &each, from, limits), "byte by byte");
                }
                let ours = (whole.0, whole.1.map(|fault| fault.code.as_u16()));
                assert_eq!(ours, model(bytes, from, limits));
            }
        }
    }
}

/// Frames `payload` in each form, masked and not, in one frame and in two at every place that `cuts` names, and reads
/// it back.
///
/// # Panics
/// If it does not come back as it was.
pub fn round_trip(payload: &[u8], cuts: &[usize]) {
    let limits = Limits::default();
    for (from, key) in [(Sender::Client, Some([0xa5, 0, 0xff, 3])), (Sender::Server, None)] {
        let mut stream = frame(true, Opcode::Binary, key, payload);
        let mut want = vec![Told::Binary(payload.to_vec())];
        for cut in cuts.iter().filter(|cut| **cut <= payload.len()) {
            stream.extend(frame(false, Opcode::Binary, key, &payload[..*cut]));
            stream.extend(frame(true, Opcode::Ping, key, b"between"));
            stream.extend(frame(true, Opcode::Continuation, key, &payload[*cut..]));
            want.push(Told::Ping(b"between".to_vec()));
            want.push(Told::Binary(payload.to_vec()));
        }
        if let Ok(text) = std::str::from_utf8(payload) {
            stream.extend(frame(true, Opcode::Text, key, payload));
            want.push(Told::Text(text.to_owned()));
        }
        assert_eq!(arrivals(&stream, &[], from, limits), (want.clone(), None));
        assert_eq!(arrivals(&stream, cuts, from, limits), (want, None));
    }
}

/// One frame, whole.
pub fn frame(fin: bool, opcode: Opcode, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let header = Header { fin, opcode, mask: key, len: payload.len() as u64 };
    let (bytes, n) = header.encode();
    let mut all = bytes[..n].to_vec();
    all.extend_from_slice(payload);
    mask(&mut all[n..], key.unwrap_or_default(), 0);
    all
}

/// What RFC 6455 says of these bytes, written for reading: one byte after the other, no state but the message.
fn model(bytes: &[u8], from: Sender, limits: Limits) -> Outcome {
    let mut events = Vec::new();
    let code = Model { bytes, at: 0, from, limits }.run(&mut events).err().flatten();
    (events, code)
}

struct Model<'a> {
    bytes: &'a [u8],
    at: usize,
    from: Sender,
    limits: Limits,
}

impl Model<'_> {
    /// The next byte; `None` is the end of what has come.
    fn next(&mut self) -> Result<u8, Option<u16>> {
        let byte = self.bytes.get(self.at).copied().ok_or(None)?;
        self.at += 1;
        Ok(byte)
    }

    fn run(&mut self, events: &mut Vec<Told>) -> Result<(), Option<u16>> {
        let mut message: Option<(bool, Vec<u8>)> = None;
        loop {
            let first = self.next()?;
            let (fin, opcode) = (first >= 0x80, first % 16);
            let known = matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) && (first & 0x70) == 0;
            let in_order = match opcode {
                0 => message.is_some(),
                1 | 2 => message.is_none(),
                _ => fin,
            };
            check(known && in_order, 1002)?;
            let second = self.next()?;
            check((second >= 0x80) == (self.from == Sender::Client), 1002)?;
            check(opcode < 8 || second % 128 <= 125, 1002)?;
            let len = self.length(second % 128)?;
            let mut key = [0; 4];
            if second >= 0x80 {
                for byte in &mut key {
                    *byte = self.next()?;
                }
            }
            let had = message.as_ref().map_or(0, |(_, bytes)| bytes.len()) as u64;
            check(opcode >= 8 || len <= self.limits.frame_bytes_max as u64, 1009)?;
            check(opcode >= 8 || had + len <= self.limits.message_bytes_max as u64, 1009)?;
            if opcode >= 8 {
                let mut payload = Vec::new();
                for n in 0..len as usize {
                    payload.push(self.next()? ^ key[n % 4]);
                }
                if control(opcode, payload, events)? {
                    return Ok(());
                }
                continue;
            }
            let (text, bytes) = message.get_or_insert((opcode == 1, Vec::new()));
            for n in 0..len as usize {
                bytes.push(self.next()? ^ key[n % 4]);
                let bad = std::str::from_utf8(bytes).err().and_then(|e| e.error_len());
                check(!*text || bad.is_none(), 1007)?;
            }
            if fin && let Some((text, bytes)) = message.take() {
                events.push(match text {
                    true => Told::Text(String::from_utf8(bytes).map_err(|_| Some(1007))?),
                    false => Told::Binary(bytes),
                });
            }
        }
    }

    fn length(&mut self, short: u8) -> Result<u64, Option<u16>> {
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => return Ok(u64::from(short)),
        };
        let mut len = 0;
        for _ in 0..wide {
            len = len << 8 | u64::from(self.next()?);
        }
        check(len >= if wide == 2 { 126 } else { 65_536 }, 1002)?;
        check(len < 1 << 63, 1002)?;
        Ok(len)
    }
}

/// A control frame; whether it is the last.
fn control(opcode: u8, payload: Vec<u8>, events: &mut Vec<Told>) -> Result<bool, Option<u16>> {
    match opcode {
        9 => events.push(Told::Ping(payload)),
        10 => events.push(Told::Pong(payload)),
        _ if payload.is_empty() => events.push(Told::Close(None)),
        _ => {
            check(payload.len() >= 2, 1002)?;
            let code = u16::from(payload[0]) * 256 + u16::from(payload[1]);
            let reserved = [1004, 1005, 1006].contains(&code);
            let known = (1000..=1014).contains(&code) || (3000..=4999).contains(&code);
            check(known && !reserved, 1002)?;
            let reason = String::from_utf8(payload[2..].to_vec()).map_err(|_| Some(1007))?;
            events.push(Told::Close(Some((code, reason))));
        }
    }
    Ok(opcode == 8)
}

fn check(good: bool, code: u16) -> Result<(), Option<u16>> {
    if good { Ok(()) } else { Err(Some(code)) }
}
