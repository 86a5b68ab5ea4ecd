//! Field lines, Host, framing, persistence, expectation.

use super::*;

#[test]
fn a_field_line_is_name_colon_value_crlf() {
    refused(
        &fault::BAD_FIELD,
        &[
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: \n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: y \n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\n",
            b"GET / HTTP/1.1\r\n\n",
            b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r z\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: z\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\0: z\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\xef\xbb\xbfX: z\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nGET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\x0b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\x0b: 5\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\xa0: chunked\r\n\r\n",
        ],
    );
}

#[test]
fn every_byte_of_names_and_values_is_judged() {
    for byte in 0..=255u8 {
        // Short and long, for the scalar and the vector roads of the tokeniser.
        for pad in ["", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            let head =
                [get(&format!("X: {pad}")).trim_end().as_bytes(), &[b'b', byte], b"c\r\n\r\n"].concat();
            let good = byte == b'\t' || byte >= b' ' && byte != 0x7f;
            assert_eq!(verdict(&head), if good { "ok" } else { "http.bad_field" }, "value {byte:#x}");
            if byte != b':' {
                let head = [b"GET / HTTP/1.0\r\nb", pad.as_bytes(), &[byte], b"c: d\r\n\r\n"].concat();
                let good = super::super::super::chars::is_token(byte);
                assert_eq!(verdict(&head), if good { "ok" } else { "http.bad_field" }, "name {byte:#x}");
            }
        }
    }
}

#[test]
fn optional_white_space_is_trimmed() {
    with(&get("A:b\r\nB: \t b c\t \r\nC:\r\nD: \t \r\nE: :\r\n"), |head| {
        let values: Vec<_> = head.fields().map(|(_, value)| value).collect();
        assert_eq!(values, [&b"a"[..], b"b", b"b c", b"", b"", b":"]);
    });
}

#[test]
fn http_1_1_needs_one_valid_host() {
    refused(
        &fault::BAD_HOST,
        &[
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\xe9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost:\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\n\r\n",
            b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        ],
    );
    with("GET / HTTP/1.0\r\n\r\n", |head| assert_eq!(head.authority, None));
    with("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", |head| assert_eq!(head.authority, Some(&b""[..])));
    with("GET / HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n", |head| {
        assert_eq!(head.authority, Some(&b"[::1]:80"[..]))
    });
}

fn framing_faults(version: &str, lines: &[&str]) {
    for line in lines {
        assert_eq!(verdict(post(version, line).as_bytes()), "http.bad_framing", "{version} {line}");
    }
}

#[test]
fn content_length_is_one_decimal_number() {
    let lengths =
        [("0", 0), ("5", 5), ("007", 7), ("18446744073709551615", u64::MAX), ("00000000000000000000001", 1)];
    for (text, length) in lengths {
        for line in [format!("Content-Length: {text}\r\n"), format!("content-LENGTH:\t{text} \t\r\n")] {
            with(&post("1.1", &line), |head| assert_eq!(head.framing, Framing::Length(length)));
            with(&post("1.0", &line), |head| assert_eq!(head.framing, Framing::Length(length)));
        }
    }
    let bad = [
        "+5",
        "-5",
        "-0",
        "0x5",
        "5,5",
        "5, 5",
        "5,6",
        "",
        "5 5",
        "5;",
        "5.0",
        "1e3",
        "18446744073709551616",
    ]
    .into_iter()
    .chain([
        "99999999999999999999999",
        "five",
        "5a",
        "a5",
        "\"5\"",
        "5_0",
        ",5",
        "5,",
        "0b1",
        "\u{665}",
        "5\t5",
    ]);
    for text in bad {
        framing_faults("1.1", &[&format!("Content-Length: {text}\r\n")]);
        framing_faults("1.0", &[&format!("Content-Length: {text}\r\n")]);
    }
    framing_faults(
        "1.1",
        &[
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n",
            "Content-Length: 5\r\nContent-Length:\r\n",
            "Content-Length:\r\nContent-Length: 5\r\n",
            "Content-Length: x\r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\nContent-Length: 0\r\n",
        ],
    );
}

#[test]
fn transfer_encoding_is_chunked_alone_in_http_1_1() {
    for value in ["chunked", "Chunked", "CHUNKED", " \tchunked\t "] {
        let line = format!("Transfer-Encoding:{value}\r\n");
        with(&post("1.1", &line), |head| assert_eq!(head.framing, Framing::Chunked));
        framing_faults("1.0", &[&line]);
    }
    for value in "gzip,chunked|gzip, chunked|identity, chunked|br , deflate,\tchunked|x,CHUNKED".split('|') {
        let line = format!("Transfer-Encoding: {value}\r\n");
        assert_eq!(verdict(post("1.1", &line).as_bytes()), "http.not_implemented", "{line}");
        framing_faults("1.0", &[&line]);
    }
    let two = "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(verdict(post("1.1", two).as_bytes()), "http.not_implemented");
    for value in "|,|chunked,|,chunked|chunked, chunked|chunked,gzip|gzip|identity|xchunked|chunkedx|x chunked|chunked x|\
                  \"chunked\"|'chunked'|chunked;a=b|chunked;|chun ked|chunked:|gzip;q=1, chunked|gzip,,chunked|\
                  gzip, chunked, chunked|(chunked)|chunked\u{b}|\u{e9}|chunked\u{85}|[chunked]|{chunked}|chun\tked|0"
        .split('|')
        .filter(|value| !value.contains('\u{b}'))
    {
        framing_faults("1.1", &[&format!("Transfer-Encoding: {value}\r\n")]);
    }
    framing_faults(
        "1.1",
        &[
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
            "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: identity\r\n",
        ],
    );
    let raw: &[&[u8]] = &[
        b"\x0bchunked",
        b"chunked\x0b",
        b"\0chunked",
        b"chunked\0",
        b"chun\rked",
        b"\x7fchunked",
        b"\x0cchunked",
    ];
    for value in raw {
        let head = [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ", *value, b"\r\n\r\n"].concat();
        assert_eq!(verdict(&head), "http.bad_field", "{}", value.escape_ascii());
    }
    let raw: &[&[u8]] =
        &[b"\x85chunked", b"chunked\x85", b"\xa0chunked", b"\xffchunked", b"\xef\xbb\xbfchunked"];
    for value in raw {
        let head = [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ", *value, b"\r\n\r\n"].concat();
        assert_eq!(verdict(&head), "http.bad_framing", "{}", value.escape_ascii());
    }
}

#[test]
fn length_and_coding_together_are_refused_in_any_order() {
    for coding in ["chunked", "gzip, chunked", "identity", ""] {
        for length in ["5", "0", "x", ""] {
            let (coding, length) =
                (format!("Transfer-Encoding: {coding}\r\n"), format!("Content-Length: {length}\r\n"));
            framing_faults("1.1", &[&format!("{coding}{length}"), &format!("{length}X: y\r\n{coding}")]);
            framing_faults("1.0", &[&format!("{coding}{length}"), &format!("{length}{coding}")]);
        }
    }
}

#[test]
fn framing_is_judged_first_and_expectation_last() {
    refused(
        &fault::BAD_FRAMING,
        &[
            b"POST / HTTP/1.1\r\nContent-Length: x\r\nExpect: y\r\n\r\n",
            b"get / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        ],
    );
    refused(&fault::BAD_HOST, &[b"POST / HTTP/1.1\r\nExpect: y\r\n\r\n"]);
    refused(&fault::BAD_FIELD, &[b"POST / HTTP/1.1\r\nContent-Length: x\r\nX : y\r\n\r\n"]);
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, connection, keep) in [
        ("1.1", "", true),
        ("1.0", "", false),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: x, close\r\n", false),
        ("1.1", "Connection: close,\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection:\r\n", true),
        ("1.1", "Connection: ,,\r\n", true),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: x ,\tKEEP-ALIVE \t\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.0", "Connection: keepalive\r\n", false),
        ("1.0", "Keep-Alive: timeout=5\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        with(&format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"), |head| {
            assert_eq!(head.keep_alive, keep, "{version} {connection}");
        });
    }
}

#[test]
fn expectations_other_than_continue_fail_in_http_1_1() {
    for (version, expect, body, wanted) in [
        ("1.1", "100-continue", "Content-Length: 1\r\n", true),
        ("1.1", "100-Continue", "Transfer-Encoding: chunked\r\n", true),
        ("1.1", "100-continue, 100-continue", "Content-Length: 1\r\n", true),
        ("1.1", "", "Content-Length: 1\r\n", false),
        ("1.1", "100-continue", "Content-Length: 0\r\n", false),
        ("1.1", "100-continue", "", false),
        ("1.0", "100-continue", "Content-Length: 1\r\n", false),
        ("1.0", "magic", "Content-Length: 1\r\n", false),
    ] {
        with(&post(version, &format!("Expect: {expect}\r\n{body}")), |head| {
            assert_eq!(head.expect_continue, wanted, "{version} {expect} {body}");
        });
    }
    for expect in ["magic", "100-continued", "100-continue, magic", "200-ok", "100", "100-continue;a=b"] {
        let head = post("1.1", &format!("Content-Length: 1\r\nExpect: {expect}\r\n"));
        assert_eq!(verdict(head.as_bytes()), "http.expectation_failed", "{expect}");
    }
}

#[test]
fn upgrade_counts_when_connection_names_it() {
    for (version, lines, upgrade) in [
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("1.1", "Upgrade: h2c\r\nConnection: keep-alive, upgrade\r\n", Some("h2c")),
        ("1.1", "Upgrade: websocket\r\n", None),
        ("1.1", "Connection: upgrade\r\n", None),
        ("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n", None),
    ] {
        with(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"), |head| {
            assert_eq!(head.upgrade, upgrade.map(str::as_bytes), "{version} {lines}");
        });
    }
}
