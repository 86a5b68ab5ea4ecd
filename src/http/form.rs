//! `application/x-www-form-urlencoded` (WHATWG URL section 5): queries and the bodies of plain HTML forms. Pure.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode;

/// The pairs of a query or of a form's body, decoded, in order. Nothing is an error: a `%` that begins no escape
/// stands for itself, and what is no UTF-8 has its bad parts replaced.
///
/// ```
/// let pairs: Vec<_> = tidemill::http::form(b"tide=high+water&at=12%3A30&&empty").collect();
/// assert_eq!(pairs[0], ("tide".into(), "high water".into()));
/// assert_eq!(pairs[1], ("at".into(), "12:30".into()));
/// assert_eq!(pairs[2], ("empty".into(), "".into()));
/// ```
pub const fn form(bytes: &[u8]) -> Form<'_> {
    Form { rest: Some(bytes) }
}

/// The iterator of [`form`].
#[derive(Clone, Debug)]
pub struct Form<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Form<'a> {
    /// The value of the first pair of this name.
    ///
    /// ```
    /// assert_eq!(tidemill::http::form(b"a=1&b=2").value("b").as_deref(), Some("2"));
    /// ```
    pub fn value(self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = self;
        pairs.find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Form<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest?;
            let end = memchr(b'&', rest);
            self.rest = end.and_then(|at| rest.get(at + 1..));
            let pair = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            if pair.is_empty() {
                continue;
            }
            let equals = memchr(b'=', pair);
            let name = pair.get(..equals.unwrap_or(pair.len())).unwrap_or_default();
            let value = equals.and_then(|at| pair.get(at + 1..)).unwrap_or_default();
            return Some((decode(name), decode(value)));
        }
    }
}

/// A name or value: `+` is a space, escapes are bytes, bytes are UTF-8.
fn decode(raw: &[u8]) -> Cow<'_, str> {
    if memchr(b'+', raw).is_none() {
        return percent_decode(raw).decode_utf8_lossy();
    }
    let spaced: Vec<u8> = raw.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_decode(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
        form(bytes).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    #[test]
    fn the_corners_are_as_the_standard_says() {
        type Pairs = &'static [(&'static str, &'static str)];
        let table: &[(&[u8], Pairs)] = &[
            (b"", &[]),
            (b"&&", &[]),
            (b"a", &[("a", "")]),
            (b"=b", &[("", "b")]),
            (b"=", &[("", "")]),
            (b"a=b=c", &[("a", "b=c")]),
            (b"a+b=%2B", &[("a b", "+")]),
            (b"a=%zz%4", &[("a", "%zz%4")]),
            (b"a=%ff", &[("a", "\u{fffd}")]),
            (b"a=1&a=2", &[("a", "1"), ("a", "2")]),
        ];
        for (bytes, want) in table {
            let want: Vec<_> = want.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            assert_eq!(pairs(bytes), want, "{}", bytes.escape_ascii());
        }
        assert_eq!(form(b"a=1&a=2").value("a").as_deref(), Some("1"));
        assert_eq!(form(b"a=1").value("b"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(given in proptest::collection::vec((".*", ".*"), 0..6)) {
            let encode = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
            let given: Vec<_> = given.into_iter().filter(|(n, v)| !(n.is_empty() && v.is_empty())).collect();
            let text: Vec<_> = given.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
            prop_assert_eq!(pairs(text.join("&").as_bytes()), given);
        }

        #[test]
        fn any_bytes_give_as_many_pairs_as_there_are_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let pieces = bytes.split(|&b| b == b'&').filter(|piece| !piece.is_empty()).count();
            prop_assert_eq!(form(&bytes).count(), pieces);
        }
    }
}
