//! Request lines: separators, versions, targets, methods, and protocols that are not HTTP/1.

use super::*;

#[test]
fn parts_are_separated_by_one_space_and_ended_by_crlf() {
    refused(
        &fault::BAD_REQUEST_LINE,
        &[
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n",
            b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\n\n",
            b"GET / HTTP/1.1\rHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\rHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n",
            b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET\x0c/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / \r\nHost: a\r\n\r\n",
            b"GET \r\nHost: a\r\n\r\n",
            b"GET\r\nHost: a\r\n\r\n",
            b"/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ],
    );
}

#[test]
fn one_empty_line_before_the_request_is_forgiven() {
    accepted(&[b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    with("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", |head| assert_eq!(head.consumed, 29));
    refused(
        &fault::BAD_REQUEST_LINE,
        &[
            b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn only_1_0_and_1_1_are_served() {
    accepted(&[b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    for version in ["2.0", "1.2", "1.9", "0.9", "3.0", "9.9", "0.0", "0.1"] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
        assert_eq!(verdict(head.as_bytes()), "http.unsupported_version", "{version}");
    }
    for version in [
        "HTTP/1",
        "HTTP/2",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.01",
        "http/1.1",
        "Http/1.1",
    ]
    .into_iter()
    .chain(["HTTP/1,1", "HTTP/-1.1", "HTTP/ 1.1", "HTTP1.1", "HTTPS/1.1", "ICY/1.1", "X", "HTTP/1.x"])
    .chain(["HTTP/A.1", "HTTP\\1.1", "HTTP/1.1x", "HTTP/1.1,"])
    {
        let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(verdict(head.as_bytes()), "http.bad_request_line", "{version}");
    }
}

#[test]
fn a_simple_request_of_http_0_9_is_refused_at_its_line_end() {
    refused(
        &fault::BAD_REQUEST_LINE,
        &[b"GET /\r\n", b"GET /\n", b"GET / \r\n", b"GET\r\n", b"G\n", b"GET /a b\r\n"],
    );
}

#[test]
fn the_version_is_judged_before_the_form_of_the_target() {
    refused(&fault::UNSUPPORTED_VERSION, &[b"GET x HTTP/2.0\r\n", b"GET * HTTP/3.0\r\n"]);
    refused(&fault::BAD_REQUEST_LINE, &[b"GET /\x01 HTTP/2.0\r\n", b"G@T / HTTP/2.0\r\n"]);
}

#[test]
fn target_bytes_are_visible_ascii_without_a_fragment() {
    for byte in 0..=255u8 {
        for at in [0, 20, 70] {
            let mut head = b"GET /".to_vec();
            head.extend(std::iter::repeat_n(b'a', at));
            head.push(byte);
            head.extend(b"bc HTTP/1.1\r\nHost: a\r\n\r\n");
            let want = if byte.is_ascii_graphic() && byte != b'#' { "ok" } else { "http.bad_request_line" };
            assert_eq!(verdict(&head), want, "{byte:#x} at {at}");
        }
    }
    refused(
        &fault::BAD_REQUEST_LINE,
        &[
            b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /#?b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn methods_are_case_sensitive_tokens() {
    let known = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("TRACE", Method::Trace),
        ("PATCH", Method::Patch),
    ];
    let other =
        ["get", "Get", "GETX", "GE", "PROPFIND", "M-SEARCH", "!#$%&'*+-.^_`|~09", "PRI", "PROXYX", "X"];
    for (name, method) in known.into_iter().chain(other.map(|name| (name, Method::Other(name)))) {
        with(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
            assert_eq!(head.method, method);
            assert_eq!(head.method.as_str(), name);
        });
    }
    for byte in (0..=255u8).filter(|&byte| byte != b' ' && !super::super::super::chars::is_token(byte)) {
        for head in [[b'G', byte, b'T'], [byte, b'E', b'T'], [b'G', b'E', byte]] {
            let head = [&head[..], b" / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            let tls = head.starts_with(&[0x16]);
            let want = if tls { &fault::TLS_ON_PLAIN } else { &fault::BAD_REQUEST_LINE };
            assert_eq!(verdict(&head), want.class.name, "{byte:#x}");
        }
    }
}

#[test]
fn origin_form_splits_at_the_first_question_mark() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("//a/..//b", "//a/..//b", None),
        ("/%00%2e%2E%zz", "/%00%2e%2E%zz", None),
        ("/a\\b\"<>^`{|}", "/a\\b\"<>^`{|}", None),
        ("/http://x/", "/http://x/", None),
        ("/*", "/*", None),
    ] {
        with(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
            assert_eq!(head.form, Form::Origin);
            assert_eq!(head.path, path.as_bytes());
            assert_eq!(head.query, query.map(str::as_bytes));
            assert_eq!(head.authority, Some(&b"a"[..]));
        });
    }
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    for (target, authority, path, query) in [
        ("http://b/c", "b", "/c", None),
        ("http://b", "b", "/", None),
        ("http://b?q", "b", "/", Some("q")),
        ("HTTP://b:8/?q", "b:8", "/", Some("q")),
        ("https://[::1]:443/x?y", "[::1]:443", "/x", Some("y")),
        ("http://b:/c", "b:", "/c", None),
    ] {
        for method in ["GET", "OPTIONS", "POST"] {
            with(&format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
                assert_eq!(head.form, Form::Absolute);
                assert_eq!(head.authority, Some(authority.as_bytes()));
                assert_eq!((head.path, head.query), (path.as_bytes(), query.map(str::as_bytes)));
            });
        }
    }
    with("GET http://b/ HTTP/1.0\r\n\r\n", |head| assert_eq!(head.authority, Some(&b"b"[..])));
    with("GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n", |head| assert_eq!(head.authority, Some(&b"b"[..])));
    for target in
        "http:///a http:/a http://:80/a http://u@b/ http://u:p@b/ http://b:x/ http://b:99999/ http:b http:// \
                   ftp://b/ file:///a http//b / http://[::1/ http://b%zz/ http://a\\b/ ://b/ http mailto:a@b"
            .split_whitespace()
            .filter(|target| *target != "/")
    {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(verdict(head.as_bytes()), "http.bad_request_line", "{target}");
    }
    refused(
        &fault::BAD_HOST,
        &[b"GET http://b/ HTTP/1.1\r\n\r\n", b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n"],
    );
}

#[test]
fn authority_form_belongs_to_connect_alone() {
    for target in ["b:443", "[::1]:443", "b.example:1"] {
        with(&format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
            assert_eq!((head.method, head.form), (Method::Connect, Form::Authority));
            assert_eq!((head.authority, head.path), (Some(target.as_bytes()), &b""[..]));
        });
    }
    for line in ["CONNECT /", "CONNECT b", "CONNECT b:", "CONNECT :443", "CONNECT b:0", "CONNECT b:70000"]
        .into_iter()
        .chain([
            "CONNECT http://b:443/",
            "CONNECT *",
            "CONNECT u@b:443",
            "CONNECT b:443/",
            "GET b:443",
            "OPTIONS b:443",
        ])
        .chain(["GET a", "GET ?a", "POST a/b", "GET example.com"])
    {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(verdict(head.as_bytes()), "http.bad_request_line", "{line}");
    }
}

#[test]
fn asterisk_form_belongs_to_options_alone() {
    with("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
        assert_eq!((head.form, head.path, head.query), (Form::Asterisk, &b"*"[..], None));
    });
    for line in ["GET *", "POST *", "options *", "OPTIONS **", "OPTIONS *?a", "HEAD *", "PRI *"] {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(verdict(head.as_bytes()), "http.bad_request_line", "{line}");
    }
}

#[test]
fn other_protocols_are_named() {
    refused(
        &fault::TLS_ON_PLAIN,
        &[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16\x03\x03", b"\x16", b"\x16\n\n"],
    );
    refused(
        &fault::PROXY_LINE,
        &[
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PROXY UNKNOWN\r\n",
            b"PROXY / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\xff\xff\x00\x50",
        ],
    );
    refused(
        &fault::H2_PREFACE,
        &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0", b"PRI * HTTP/2.0\n"],
    );
    refused(
        &fault::BAD_REQUEST_LINE,
        &[b"\x80\x2e\x01", b"\0", b"{}", b"\xff\xf4", b"<xml>", b"\"", b"(", b"\x15\x03"],
    );
    refused(
        &fault::BAD_REQUEST_LINE,
        &[b"SSH-2.0-OpenSSH_9.2\r\n", b"EHLO a\r\n", b"\r\n\r\n\x01", b"\r\n\x16\x03"],
    );
}
