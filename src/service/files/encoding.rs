//! Content codings and what `Accept-Encoding` says of them (RFC 9110 8.4.1 and 12.5.3). Pure, and allocates nothing.
//!
//! Owns the grammar of the field and the order in which codings are tried for it. Never looks whether a coding of a
//! file is there, and never encodes.

/// A content coding that a file can be sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// Brotli (RFC 7932): `br`, in files that end in `.br`.
    Brotli,
    /// Zstandard (RFC 8878): `zstd`, in files that end in `.zst`.
    Zstd,
    /// gzip (RFC 1952): `gzip`, in files that end in `.gz`. A client may call it `x-gzip`.
    Gzip,
}

/// How many codings there are.
pub(super) const CODINGS: usize = 3;

impl Coding {
    /// All of them, the one that saves most first: the server's order where a client has none.
    pub const ALL: [Self; CODINGS] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the name of a file in this coding ends in, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Brotli => 0,
            Self::Zstd => 1,
            Self::Gzip => 2,
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        let called = |coding: &Self| name.eq_ignore_ascii_case(coding.name().as_bytes());
        let is_old_gzip = name.eq_ignore_ascii_case(b"x-gzip");
        Self::ALL.into_iter().find(called).or(is_old_gzip.then_some(Self::Gzip))
    }
}

/// What a client says of each coding.
///
/// ```
/// use tidemill::service::files::{AcceptEncoding, Coding};
///
/// let accept = AcceptEncoding::parse([&b"gzip, br;q=0.8"[..]]);
/// let order: Vec<Coding> = accept.preferred(&[Coding::Brotli, Coding::Gzip]).collect();
/// assert_eq!(order, [Coding::Gzip, Coding::Brotli]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptEncoding {
    codings: [Option<u16>; CODINGS],
    identity: Option<u16>,
    others: Option<u16>,
}

impl AcceptEncoding {
    /// Reads the values of all `Accept-Encoding` lines of a request, in their order.
    ///
    /// Without a line, with an empty list, and when anything in any line is malformed, only the plain bytes are
    /// preferred: who cannot write the field may not be able to decode either. Of a coding that is named twice, the
    /// lower quality counts, so that a refusal is never undone.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut accept = Self::default();
        for value in values {
            for element in value.split(|&b| b == b',').map(trim).filter(|element| !element.is_empty()) {
                let Some((name, quality)) = element_of(element) else { return Self::default() };
                let place = if name == b"*" {
                    &mut accept.others
                } else if name.eq_ignore_ascii_case(b"identity") {
                    &mut accept.identity
                } else {
                    match Coding::from_name(name).and_then(|coding| accept.codings.get_mut(coding.index())) {
                        Some(place) => place,
                        None => continue,
                    }
                };
                *place = Some(place.map_or(quality, |before| before.min(quality)));
            }
        }
        accept
    }

    /// Whether nothing but the plain bytes is acceptable, so that there is no need to look for anything else.
    pub fn is_plain(&self) -> bool {
        Coding::ALL.into_iter().all(|coding| self.quality(coding) == 0)
    }

    /// The quality of `coding` in thousandths, 0 when it is refused or not mentioned.
    pub fn quality(&self, coding: Coding) -> u16 {
        let own = self.codings.get(coding.index()).copied().flatten();
        own.or(self.others).unwrap_or(0)
    }

    /// Those of `offered` that this client would rather have than the plain bytes, best first; of two that it likes
    /// alike, the one that is offered first.
    ///
    /// At equal quality a coding is better than none. `identity` that is not mentioned, not even by `*`, is acceptable
    /// and liked less than whatever is named. When it is refused (`identity;q=0`) and nothing that is offered is
    /// acceptable, the list is empty all the same and the plain bytes are sent, as RFC 9110 12.4.1 allows: a field
    /// such as `gzip, *;q=0` is sent with every request, by clients that do take files which no coding exists of,
    /// and a 406 would help none of them.
    pub fn preferred(&self, offered: &[Coding]) -> impl Iterator<Item = Coding> + use<> {
        let identity = self.identity.or(self.others).unwrap_or(0);
        let mut order: [Option<(u16, Coding)>; CODINGS] = [None; CODINGS];
        let mut len = 0;
        for &coding in offered {
            let quality = self.quality(coding);
            let is_known = order.iter().flatten().any(|&(_, known)| known == coding);
            if quality == 0 || quality < identity || is_known {
                continue;
            }
            let kept = order.get(..len).unwrap_or_default();
            let at = kept.iter().flatten().position(|&(other, _)| other < quality).unwrap_or(len);
            if let Some(tail) = order.get_mut(at..) {
                tail.rotate_right(1);
                if let Some(first) = tail.first_mut() {
                    *first = Some((quality, coding));
                }
                len += 1;
            }
        }
        order.into_iter().flatten().map(|(_, coding)| coding)
    }
}

/// `codings [ OWS ";" OWS "q=" qvalue ]`.
fn element_of(element: &[u8]) -> Option<(&[u8], u16)> {
    let (name, quality) = match element.iter().position(|&b| b == b';') {
        None => (element, 1000),
        Some(at) => {
            let (name, weight) = element.split_at_checked(at)?;
            let weight = trim(weight.get(1..)?);
            let value = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="))?;
            (trim(name), quality(value)?)
        }
    };
    (!name.is_empty() && name.iter().all(|&b| is_tchar(b))).then_some((name, quality))
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`, in thousandths.
fn quality(value: &[u8]) -> Option<u16> {
    let (whole, rest) = value.split_first()?;
    let digits = match rest.split_first() {
        None => rest,
        Some((b'.', digits)) if digits.len() <= 3 => digits,
        Some(_) => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        thousandths = thousandths * 10 + u16::from(digit.checked_sub(b'0').filter(|&digit| digit <= 9)?);
    }
    match (whole, thousandths) {
        (b'0', part) => Some(part),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

/// `tchar` of RFC 9110 5.6.2.
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::checks;
    use super::*;
    use proptest::prelude::*;

    fn order(value: &str) -> String {
        let accept = AcceptEncoding::parse([value.as_bytes()]);
        let names: Vec<&str> = accept.preferred(&Coding::ALL).map(Coding::name).collect();
        assert!(names.is_empty() || !accept.is_plain());
        names.join(" ")
    }

    #[test]
    fn quality_decides_first_and_the_servers_order_then() {
        let table = [
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip", "gzip"),
            ("GZip;Q=0.5", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip;q=1.0, br;q=0.999", "gzip br"),
            ("br;q=0.1,zstd;q=0.2,gzip;q=0.3", "gzip zstd br"),
            ("gzip ; q=0.001", "gzip"),
            ("gzip\t;\tq=1.", "gzip"),
            (", ,gzip,,", "gzip"),
            ("*", "br zstd gzip"),
            ("*;q=0.5, gzip;q=0", "br zstd"),
            ("gzip;q=0.5, *", "br zstd"),
            ("gzip;q=0.4, identity;q=0.5, br;q=0.5", "br"),
            ("gzip, identity", "gzip"),
            ("gzip, *;q=0", "gzip"),
            ("identity;q=0, gzip;q=0.001", "gzip"),
        ];
        for (value, want) in table {
            assert_eq!(order(value), want, "{value}");
        }
    }

    #[test]
    fn who_asks_for_nothing_refuses_all_or_writes_nonsense_gets_the_plain_bytes() {
        let nothing =
            ["", " ", ",", "identity", "deflate", "compress, exi", "gzip;q=0", "gzip;q=0.000, br;q=0."];
        let refused = ["*;q=0", "identity;q=0", "gzip;q=0, *", "gzip, gzip;q=0", "identity;q=0, *;q=0"];
        let malformed = [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0000",
            "gzip;q=-1",
            "gzip;q=.5",
            "gzip;q=",
            "gzip;q",
            "gzip;",
            "gzip;q =1",
            "gzip;q= 1",
            "gzip;q=1;x=y",
            "gzip;x=1",
            "gzip;q=0,5",
            "gzip;q=1e3",
            "gz ip",
            "gzip br",
            ";q=1",
            "\"gzip\"",
            "gzip, br;q=x",
            "gzip, \u{e9}",
            "gzip;q=00.5",
            "gzip;q=10",
            "gzip\u{0}",
        ];
        for value in nothing.iter().chain(&malformed) {
            assert_eq!(order(value), "", "{value}");
        }
        for value in refused.iter().filter(|value| **value != "gzip;q=0, *") {
            assert_eq!(order(value), "", "{value}");
        }
        assert_eq!(order("gzip;q=0, *"), "br zstd");
        assert!(AcceptEncoding::parse([]).is_plain() && AcceptEncoding::parse([&b"identity"[..]]).is_plain());
    }

    #[test]
    fn lines_make_one_list_and_a_flaw_in_one_spoils_all() {
        let names = |lines: &[&[u8]]| {
            let accept = AcceptEncoding::parse(lines.iter().copied());
            accept.preferred(&[Coding::Gzip, Coding::Brotli]).map(Coding::name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[b"gzip", b"br"]), ["gzip", "br"]);
        assert_eq!(names(&[b"gzip", b"br", b"gzip;q=0"]), ["br"]);
        assert_eq!(names(&[b"gzip", b"br;;"]), [""; 0]);
    }

    #[test]
    fn only_what_is_offered_is_preferred_and_each_once() {
        let accept = AcceptEncoding::parse([&b"*"[..]]);
        assert_eq!(accept.preferred(&[]).count(), 0);
        let twice = [Coding::Zstd, Coding::Gzip, Coding::Zstd, Coding::Brotli, Coding::Gzip];
        let order: Vec<_> = accept.preferred(&twice).collect();
        assert_eq!(order, [Coding::Zstd, Coding::Gzip, Coding::Brotli]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_the_model_reads_them(value in proptest::collection::vec(any::<u8>(), 0..48)) {
            checks::accept_encoding_vs_model(&value);
        }

        #[test]
        fn and_so_are_pieces_of_the_grammar(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "gzip", "br", "zstd", "x-gzip", "identity", "*", ";q=", ";", "q", ",", ", ", " ", "\t", "0", "1", ".", "0.5",
            "0.125", "1.000", "1.0001", ";q=0", ";q=0.9", "deflate", "\n",
        ]), 0..24)) {
            checks::accept_encoding_vs_model(pieces.concat().as_bytes());
        }
    }
}
