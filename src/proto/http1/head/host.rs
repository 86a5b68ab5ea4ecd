//! `uri-host [":" port]` (RFC 9110 section 4.2, RFC 3986 section 3.2.2): of Host, of absolute-form and of CONNECT.
//! It judges syntax only; which hosts are served is the server's business.

use std::net::Ipv6Addr;

use super::super::chars::is_host;

/// What a valid authority holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority {
    /// Whether the host part is empty.
    pub(super) empty: bool,
    /// The port, if one is written; `host:` has none.
    pub(super) port: Option<u16>,
}

/// Parses `uri-host [":" port]`. No userinfo, no IPvFuture, no zone; a port is at most 65535.
#[inline]
pub(super) fn parse(bytes: &[u8]) -> Option<Authority> {
    let end = match bytes.first() {
        Some(b'[') => ip_literal(bytes)?,
        _ => name_end(bytes)?,
    };
    let port = match bytes.get(end..)? {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port(digits)?),
        _ => return None,
    };
    Some(Authority { empty: end == 0, port })
}

/// The end of a `reg-name` (which covers IPv4): the first byte that is neither of it nor a percent triplet.
fn name_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| !is_host(byte)).unwrap_or(bytes.len() - at);
        match bytes.get(at..)? {
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => at += 3,
            _ => return Some(at),
        }
    }
}

/// The end of `"[" IPv6address "]"`.
fn ip_literal(bytes: &[u8]) -> Option<usize> {
    let close = bytes.iter().position(|&byte| byte == b']')?;
    let inside = std::str::from_utf8(bytes.get(1..close)?).ok()?;
    inside.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

fn port(digits: &[u8]) -> Option<u16> {
    let mut value = 0u16;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u16::from(digit - b'0'))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn valid_authorities_are_accepted() {
        let good = "a b.c B-9 a_b a~b 127.0.0.1 999.1.1.1 localhost: localhost:80 h:0 h:65535 h:00080 [::1] [::1]:8080 \
                    [::ffff:1.2.3.4] [2001:db8::1]: %41b a%2db xn--bcher-kva.example a!$&'()*+,;= : :80";
        for host in good.split_whitespace() {
            assert!(parse(host.as_bytes()).is_some(), "{host}");
        }
        assert!(parse(b"").is_some_and(|a| a.empty && a.port.is_none()));
        assert!(parse(b":80").is_some_and(|a| a.empty && a.port == Some(80)));
        assert_eq!(parse(b"h:0443").and_then(|a| a.port), Some(443));
    }

    #[test]
    fn other_authorities_are_refused() {
        let bad = "a/b a@b u:p@h a:b a:80:90 h:65536 h:-1 h:+1 h:8080808080 [ [] [::1 [::1]x [::1]:x [1.2.3.4] [v1.x] \
                   [fe80::1%eth0] [::1]] % %4 %zz a%4 a\\b a\"b a<b a?b a#b a^b a{b a|b ::1 h:\u{ff18}0 \u{e9} a`b [[::1]]";
        for host in bad.split_whitespace() {
            assert!(parse(host.as_bytes()).is_none(), "{host}");
        }
        for host in
            [&b"a b"[..], b"a\tb", b"a\0b", b"a\x7f", b"a\x80", b" a", b"a ", b"a, b", b"h: 80", b"\xff"]
        {
            assert!(parse(host).is_none(), "{host:?}");
        }
    }
}
