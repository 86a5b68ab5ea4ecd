//! The opening handshake of a server (RFC 6455 section 4.2): a request head in, what to answer out.
//!
//! It never answers by itself. Extensions are not looked at: none is spoken, so none is accepted.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use crate::proto::http1::head::{Framing, Head, Method};

/// What section 1.3 puts behind the client's key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Clients that make up 22 characters at random are common: the bits behind the sixteenth byte do not matter.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// From which pages a browser may connect. A browser lets any page connect anywhere, with the cookies of the server
/// that it connects to, and says in `Origin` whose page it was; other clients send none and are always let in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Origins {
    /// Pages of the host (and port) that the request itself is for. The default.
    #[default]
    SameHost,
    /// These, each written as browsers do: `https://example.org`, with a port where it is not the scheme's own.
    Only(Vec<String>),
    /// Any. For services that look at neither cookies nor addresses.
    Any,
}

/// A good request: what goes into the 101.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accept<'p> {
    /// The value of Sec-WebSocket-Accept.
    pub key: String,
    /// The subprotocol that was chosen, for Sec-WebSocket-Protocol.
    pub protocol: Option<&'p str>,
}

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The method is not GET: 405.
    Method,
    /// The request does not ask for a WebSocket: 426.
    NotAsked,
    /// The version is not 13: 426, which names the version.
    Version,
    /// A field of the handshake is malformed, missing or given twice, or the request has a body: 400.
    Malformed,
    /// The page that the browser shows may not connect here: 403.
    Origin,
}

impl Refusal {
    /// The status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::NotAsked | Self::Version => 426,
            Self::Malformed => 400,
            Self::Origin => 403,
        }
    }

    /// The fields of the answer beside those of every answer. With 426 an Upgrade says to what (RFC 9110 section
    /// 15.5.22), and Sec-WebSocket-Version says which (RFC 6455 section 4.4).
    pub const fn fields(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::Method => &[("Allow", b"GET")],
            Self::NotAsked | Self::Version => &[("Upgrade", b"websocket"), ("Sec-WebSocket-Version", b"13")],
            Self::Malformed | Self::Origin => &[],
        }
    }
}

/// Judges a request for a WebSocket. `protocols` are those that the server speaks, the preferred one first; a client
/// that offers none of them is accepted without.
///
/// # Errors
/// The refusal, whose status and fields are to be answered.
pub fn negotiate<'p>(
    head: &Head<'_>,
    origins: &Origins,
    protocols: &'p [String],
) -> Result<Accept<'p>, Refusal> {
    if head.method != Method::Get {
        return Err(Refusal::Method);
    }
    // The head's parser has seen to HTTP/1.1 and to Connection; only then is there an upgrade.
    let asked = head.upgrade.is_some()
        && tokens(head, "upgrade").any(|token| token.eq_ignore_ascii_case(b"websocket"));
    if !asked {
        return Err(Refusal::NotAsked);
    }
    if !one(head, "sec-websocket-version").is_ok_and(|version| version == b"13") {
        return Err(Refusal::Version);
    }
    if head.framing != Framing::None {
        return Err(Refusal::Malformed);
    }
    let key = one(head, "sec-websocket-key")?;
    if !BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(Refusal::Malformed);
    }
    let offered =
        |name: &&String| tokens(head, "sec-websocket-protocol").any(|token| token == name.as_bytes());
    if !tokens(head, "sec-websocket-protocol").all(|token| token.iter().all(u8::is_ascii_graphic)) {
        return Err(Refusal::Malformed);
    }
    // None is spoken, so none is accepted; but what is no list of extensions fails the handshake (section 9.1).
    if !tokens(head, "sec-websocket-extensions").all(is_extension) {
        return Err(Refusal::Malformed);
    }
    if !allows(origins, head) {
        return Err(Refusal::Origin);
    }
    Ok(Accept { key: accept_key(key), protocol: protocols.iter().find(offered).map(String::as_str) })
}

/// The answer to a client's key (section 4.2.2).
///
/// ```
/// use tidemill::proto::websocket::handshake::accept_key;
///
/// assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(GUID);
    BASE64.encode(hash.digest().bytes())
}

/// The value of a field that must be there exactly once.
fn one<'a>(head: &Head<'a>, name: &str) -> Result<&'a [u8], Refusal> {
    let mut all = head.field_all(name);
    match (all.next(), all.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(Refusal::Malformed),
    }
}

/// The members of a list, over all fields of its name (RFC 9110 section 5.6.1).
fn tokens<'a, 'n>(head: &Head<'a>, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    let members = head.field_all(name).flat_map(|value| value.split(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// `token *( ";" token [ "=" ( token / quoted-string ) ] )` (RFC 6455 section 9.1).
fn is_extension(extension: &[u8]) -> bool {
    let token = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b));
    let mut parts = extension.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    parts.next().is_some_and(token)
        && parts.all(|part| match part.iter().position(|&b| b == b'=') {
            None => token(part),
            Some(at) => {
                let (name, value) =
                    (part.get(..at).unwrap_or_default(), part.get(at + 1..).unwrap_or_default());
                let value = value.trim_ascii();
                let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
                token(name.trim_ascii()) && token(value)
            }
        })
}

/// A character of a token (RFC 9110 section 5.6.2).
const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

fn allows(origins: &Origins, head: &Head<'_>) -> bool {
    let mut given = head.field_all("origin");
    let (origin, second) = (given.next(), given.next());
    let Some(origin) = origin else { return true };
    if second.is_some() {
        return *origins == Origins::Any;
    }
    match origins {
        Origins::Any => true,
        Origins::Only(list) => list.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)),
        Origins::SameHost => {
            let Some(authority) = head.authority else { return false };
            [(&b"http://"[..], &b":80"[..]), (b"https://", b":443")].iter().any(|(scheme, port)| {
                let page = origin.strip_prefix(*scheme);
                // A browser leaves the scheme's own port out of both; other programs may name it.
                let bare = |at: &[u8]| at.strip_suffix(*port).unwrap_or(at).to_ascii_lowercase();
                page.is_some_and(|page| bare(page) == bare(authority))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http1::head::{FieldStore, Limits, Progress, Status, parse};

    const GOOD: [&str; 4] = [
        "Connection: keep-alive, Upgrade",
        "Upgrade: WebSocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];

    fn ask(line: &str, fields: &[&str], origins: &Origins) -> Result<(String, Option<String>), Refusal> {
        let protocols = ["chat.v2".to_owned(), "chat".to_owned()];
        let text = format!("{line}\r\nHost: Tide.example:8000\r\n{}\r\n\r\n", fields.join("\r\n"));
        let mut store = FieldStore::new();
        let parsed = parse(text.as_bytes(), &Limits::default(), &mut Progress::default(), &mut store);
        let Ok(Status::Complete(head)) = parsed else { panic!("{text}: {parsed:?}") };
        negotiate(&head, origins, &protocols).map(|a| (a.key, a.protocol.map(str::to_owned)))
    }

    fn get(fields: &[&str]) -> Result<(String, Option<String>), Refusal> {
        ask("GET /chat HTTP/1.1", fields, &Origins::SameHost)
    }

    /// The good fields with one replaced, left out where the new one is empty.
    fn with(at: usize, field: &'static str) -> Vec<&'static str> {
        let mut fields = GOOD.to_vec();
        fields[at] = field;
        fields.retain(|field| !field.is_empty());
        fields
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        assert_eq!(get(&GOOD), Ok(("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(), None)));
    }

    #[test]
    fn each_part_of_the_handshake_is_asked_for() {
        let table = [
            (with(0, ""), Refusal::NotAsked),
            (with(0, "Connection: keep-alive"), Refusal::NotAsked),
            (with(1, ""), Refusal::NotAsked),
            (with(1, "Upgrade: h2c"), Refusal::NotAsked),
            (with(1, "Upgrade: websockets"), Refusal::NotAsked),
            (with(2, ""), Refusal::Version),
            (with(2, "Sec-WebSocket-Version: 8"), Refusal::Version),
            (with(2, "Sec-WebSocket-Version: 13, 8"), Refusal::Version),
            (with(3, ""), Refusal::Malformed),
            (with(3, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"), Refusal::Malformed),
            (with(3, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), Refusal::Malformed),
            (with(3, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==!"), Refusal::Malformed),
        ];
        for (fields, refusal) in table {
            assert_eq!(get(&fields), Err(refusal), "{fields:?}");
        }
        assert_eq!(get(&[&GOOD[..], &GOOD[3..]].concat()), Err(Refusal::Malformed), "two keys");
        assert_eq!(get(&[&GOOD[..], &["Content-Length: 3"]].concat()), Err(Refusal::Malformed), "a body");
        assert_eq!(ask("POST / HTTP/1.1", &GOOD, &Origins::Any), Err(Refusal::Method));
        assert_eq!(ask("GET / HTTP/1.0", &GOOD, &Origins::Any), Err(Refusal::NotAsked));
    }

    #[test]
    fn upgrade_is_a_list_and_the_key_may_have_stray_bits() {
        assert!(get(&with(1, "Upgrade: h2c, websocket")).is_ok());
        assert!(get(&with(3, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==")).is_ok());
    }

    #[test]
    fn the_server_prefers_among_the_subprotocols_that_are_offered() {
        let protocol = |field: &str| get(&[&GOOD[..], &[field]].concat()).map(|(_, protocol)| protocol);
        assert_eq!(protocol("Sec-WebSocket-Protocol: soap, chat, chat.v2"), Ok(Some("chat.v2".into())));
        assert_eq!(protocol("Sec-WebSocket-Protocol: soap,chat"), Ok(Some("chat".into())));
        assert_eq!(protocol("Sec-WebSocket-Protocol: Chat"), Ok(None), "names are exact");
        assert_eq!(protocol("Sec-WebSocket-Protocol: a b"), Err(Refusal::Malformed));
        assert_eq!(
            protocol("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; y=\"1\"; z=2"),
            Ok(None)
        );
        for bad in [";;", "a b", "a;", "a; =1", "a; b=", "a; b=\"c d\""] {
            let asked = protocol(&format!("Sec-WebSocket-Extensions: {bad}"));
            assert_eq!(asked, Err(Refusal::Malformed), "{bad}");
        }
    }

    #[test]
    fn pages_of_other_hosts_are_refused_unless_they_are_wanted() {
        let asked = |origin: &str, origins: &Origins| {
            let field = format!("Origin: {origin}");
            ask("GET / HTTP/1.1", &[&GOOD[..], &[field.as_str()]].concat(), origins).map(|_| ())
        };
        let same = &Origins::SameHost;
        assert_eq!(asked("http://tide.example:8000", same), Ok(()));
        assert_eq!(asked("https://tide.example:8000", same), Ok(()));
        for other in
            ["http://tide.example", "http://tide.example:8001", "https://evil.example", "null", "", "file://"]
        {
            assert_eq!(asked(other, same), Err(Refusal::Origin), "{other}");
            assert_eq!(asked(other, &Origins::Any), Ok(()));
        }
        let only = &Origins::Only(vec!["https://app.example".into()]);
        assert_eq!(asked("https://app.example", only), Ok(()));
        assert_eq!(asked("https://app.example.evil.example", only), Err(Refusal::Origin));
        let twice =
            [&GOOD[..], &["Origin: http://tide.example:8000", "Origin: http://tide.example:8000"]].concat();
        assert_eq!(get(&twice), Err(Refusal::Origin));
    }

    #[test]
    fn every_refusal_can_be_answered() {
        for refusal in
            [Refusal::Method, Refusal::NotAsked, Refusal::Version, Refusal::Malformed, Refusal::Origin]
        {
            let upgrade = refusal.fields().iter().any(|(name, _)| *name == "Upgrade");
            assert_eq!(upgrade, refusal.status() == 426);
        }
    }
}
