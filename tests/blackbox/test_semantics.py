"""Methods, target forms, connection options, interim answers and early ones, as RFC 9110 and 9112 mean them."""

import re
import socket

import pytest

import wire
from corpus_model import INSIDE, NEXT
from harness import client
from wire import Reader, ask, request

HELLO = ("respond", "--body", "Hello, World!")
GREETING = b"Hello, World!"


def everything(server, raw):
    """All that is said to these bytes until the server closes."""
    sock = server.connect()
    sock.sendall(raw)
    return wire.read_to_end(sock)


def statuses(said):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]


def answers(server, *methods, raw):
    """The answers to requests on one connection, and then the one to NEXT."""
    sock = server.connect()
    sock.sendall(raw + NEXT)
    reader = Reader(sock)
    found = [reader.answer(method) for method in (*methods, "GET")]
    assert reader.rest() == b""
    return found


# Methods


@pytest.mark.parametrize("verb", ["respond", "serve"])
@pytest.mark.parametrize("fields", [(), ("Max-Forwards: 0",), ("Cookie: secret", "Authorization: Basic eA==")])
def test_trace_is_refused_and_reflects_nothing(start, folder, verb, fields):
    server = start(*HELLO) if verb == "respond" else start("serve", folder)
    said = everything(server, request("/", *fields, "X-Probe: reflected", "Connection: close", method="TRACE"))
    assert statuses(said)[0] in (405, 501) and len(statuses(said)) == 1, said
    assert b"reflected" not in said and b"secret" not in said, said


@pytest.mark.parametrize("method", ["get", "Get", "gET", "post", "head", "options"])
def test_methods_in_other_letters_are_others_and_refused(start, method):
    said = everything(start(*HELLO), request(method=method) + NEXT)
    assert statuses(said) == [501], said


@pytest.mark.parametrize("method", ["PROPFIND", "M-SEARCH", "PURGE", "QUERY", "LINK", "A", "A" * 200])
def test_unknown_methods_leave_a_file_server_in_step(start, site, method):
    first, following = answers(start("serve", site), method, raw=request("/", method=method))
    assert first.status in (405, 501) and following.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_body_that_a_file_does_not_want_is_read_past(start, site, method):
    raw = request("/", f"Content-Length: {len(INSIDE)}", method=method, body=INSIDE)
    first, following = answers(start("serve", site), method, raw=raw)
    assert (first.status, following.status) == (405, 404)
    assert "GET" in first["allow"] and "HEAD" in first["allow"]


def test_options_of_the_server_is_answered_and_keeps_the_connection(start, site):
    for server in (start(*HELLO), start("serve", site)):
        first, following = answers(server, "OPTIONS", raw=request("*", method="OPTIONS"))
        assert first.status in (200, 204), first
        assert following.status in (200, 404)


@pytest.mark.parametrize(
    "line, expected",
    [("x:443", 501), ("[::1]:443", 501), ("x", 400), ("x:", 400), ("x:0", 400), ("x:99999", 400), (":443", 400), ("/", 400), ("*", 400), ("http://x/", 400)],
)
def test_connect_has_the_authority_form_and_makes_no_tunnel(start, line, expected):
    said = everything(start(*HELLO), request(line, method="CONNECT") + NEXT)
    assert statuses(said) == [expected] and GREETING not in said, said


# Targets


@pytest.mark.parametrize("target", ["http://other/hello.txt", "HTTP://x/hello.txt", "http://x:80/hello.txt", "/hello.txt", "/hello.txt?query"])
def test_absolute_form_names_the_same_file_whatever_host_says(start, folder, target):
    (folder / "hello.txt").write_text("the file")
    first, following = answers(start("serve", folder), "GET", raw=request(target))
    assert (first.status, first.body, following.status) == (200, b"the file", 404)


@pytest.mark.parametrize("target", ["https://x/hello.txt", "HTTPS://x:443/"])
def test_an_https_target_is_misdirected_where_there_is_no_tls(start, folder, target):
    (folder / "hello.txt").write_text("the file")
    said = everything(start("serve", folder), request(target) + NEXT)
    assert statuses(said) == [421], said


@pytest.mark.parametrize("target", ["ftp://x/", "x:80", "hello.txt", "//", "http:/x", "http:///x", "http://", "file:///etc/passwd", "http://u:p@x/", "*", "?a", "http://x/#f", "../a"])
def test_targets_that_are_no_form_are_refused(start, folder, target):
    expected = [404, 404] if target == "//" else [400]
    said = everything(start("serve", folder), request(target) + NEXT)
    assert statuses(said) == expected, said


def test_the_http_2_preface_is_refused_in_words(start):
    said = everything(start(*HELLO), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + NEXT)
    assert statuses(said) == [505] and b"HTTP/2" in said, said


# Connection and what it names


@pytest.mark.parametrize("value", ["close, keep-alive", "keep-alive, close", "Keep-Alive,CLOSE", "close,close", "x , close"])
def test_close_wins_over_keep_alive(start, value):
    said = everything(start(*HELLO), request("/", f"Connection: {value}") + INSIDE)
    assert statuses(said) == [200] and b"connection: close" in said.lower(), said


def test_close_in_a_second_field_counts(start):
    said = everything(start(*HELLO), request("/", "Connection: keep-alive", "Connection: close") + INSIDE)
    assert statuses(said) == [200], said


@pytest.mark.parametrize("named", ["Host", "Content-Length", "X-Thing", "Cookie", "Transfer-Encoding", "Expect", "TE", "Connection"])
def test_fields_named_by_connection_keep_their_meaning_for_this_server(start, named):
    raw = request("/", f"Connection: {named}", f"Content-Length: {len(INSIDE)}", method="POST", body=INSIDE)
    first, following = answers(start(*HELLO), "POST", raw=raw)
    assert first.status == following.status == 200


@pytest.mark.parametrize("value", ["", ",", "x;y", "@", '"close"', "close;q=1", "clos", "closed", "\xff"])
def test_odd_options_are_ignored(start, value):
    first, following = answers(start(*HELLO), "GET", raw=request("/", f"Connection: {value}".encode("latin-1")))
    assert first.status == following.status == 200


@pytest.mark.parametrize("version, fields, kept", [
    ("1.0", ("Connection: keep-alive",), True), ("1.0", ("Connection: Keep-Alive, x",), True), ("1.0", (), False), ("1.0", ("Connection: x",), False),
    ("1.0", ("Keep-Alive: timeout=5",), False), ("1.0", ("Connection: keep-alive, close",), False), ("1.1", (), True), ("1.1", ("Connection: close",), False),
])  # fmt: skip
def test_persistence_is_as_the_version_says(start, version, fields, kept):
    sock = start(*HELLO).connect()
    sock.sendall(request("/", *fields, version=version))
    reader = Reader(sock)
    first = reader.answer()
    assert first.body == GREETING
    options = ", ".join(first.all("connection")).lower()
    assert ("close" in options) == (not kept)
    if version == "1.0" and kept:
        assert "keep-alive" in options
    if kept:
        sock.sendall(NEXT)
        assert reader.answer().body == GREETING
    assert reader.rest() == b""


def test_http_1_0_never_gets_a_transfer_coding(start, site):
    for server in (start(*HELLO), start("serve", site)):
        for fields in ((), ("TE: trailers, chunked",), ("Connection: keep-alive",)):
            answer = ask(server, "/", *fields, version="1.0")
            assert "transfer-encoding" not in answer and "content-length" in answer, answer


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0", "HTTP/2.0", "a, b, c", "x" * 200])
def test_an_upgrade_that_is_not_supported_is_ignored(start, upgrade):
    fields = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQAAP__")
    first, following = answers(start(*HELLO), "GET", raw=request("/", *fields))
    assert first.status == following.status == 200 and first.informational == []


# Bodies: trailers, expectations, early answers


def test_trailers_change_nothing(start, folder):
    (folder / "hello.txt").write_text("the file")
    trailers = b"Host: evil\r\nContent-Length: 500\r\nTransfer-Encoding: gzip\r\nConnection: close\r\nRange: bytes=0-1\r\nIf-None-Match: *\r\nExpect: x\r\n"
    raw = request("/hello.txt", "Transfer-Encoding: chunked", "Trailer: Host, Range", body=b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
    first, following = answers(start("serve", folder), "GET", raw=raw)
    assert (first.status, first.body, following.status) == (200, b"the file", 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_expect_on_a_request_without_a_body_gets_no_interim_answer(start, method):
    for fields in (("Expect: 100-continue",), ("Expect: 100-continue", "Content-Length: 0")):
        first, following = answers(start(*HELLO), method, raw=request("/", *fields, method=method))
        assert (first.status, first.informational, following.status) == (200, [], 200)


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x", "x", "100-continue;q=1"])
def test_an_unknown_expectation_is_417_and_its_body_is_no_request(start, value):
    said = everything(start(*HELLO), request("/", f"Expect: {value}", f"Content-Length: {len(INSIDE)}", method="POST", body=INSIDE) + NEXT)
    assert statuses(said) == [417], said


def test_curl_waits_for_the_interim_answer_and_reads_the_final_one(start):
    url = start(*HELLO).url("/upload")
    sent = client("curl", "-sS", "-v", "--expect100-timeout", "20", "-H", "Expect: 100-continue", "-d", "hello", "-m", "15", url)
    assert sent.stdout == GREETING and b"< HTTP/1.1 100 " in sent.stderr, sent


def test_curl_options_and_trace_and_head(start, folder):
    (folder / "a").write_text("x" * 100)
    url = start("serve", folder).url("/a")
    code = ("-o", "/dev/null", "-w", "%{http_code}", "-sS", "-m", "10")
    assert client("curl", *code, "-X", "TRACE", url).stdout in (b"405", b"501")
    assert client("curl", *code, "-I", url).stdout == b"200"
    assert client("curl", *code, "--request-target", "*", "-X", "OPTIONS", url).stdout in (b"200", b"204")
    assert client("curl", *code, "--http1.0", url).stdout == b"200"
    assert client("curl", *code, "--http2", url).stdout == b"200", "an offer to upgrade is ignored"


EARLY = {
    "too large": (request("/", "Content-Length: 50000000", method="POST"), {413}),
    "too large, chunked": (request("/", "Transfer-Encoding: chunked", method="POST", body=b"FFFFFF\r\n"), {413}),
    "malformed chunks": (request("/", "Transfer-Encoding: chunked", method="POST", body=b"zz\r\n"), {400}),
    "unknown method": (request("/", "Content-Length: 50000000", method="put"), {501}),
    "expectation": (request("/", "Content-Length: 50000000", "Expect: x", method="PUT"), {417}),
}


@pytest.mark.parametrize("raw, expected", EARLY.values(), ids=EARLY.keys())
def test_an_early_answer_is_read_while_the_body_still_arrives(start, raw, expected):
    early_answer(start(*HELLO), raw, expected)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_method_that_is_not_allowed_is_answered_early_too(start, site, method):
    early_answer(start("serve", site), request("/", "Content-Length: 50000000", method=method), {405, 413})


def early_answer(server, raw, expected):
    """A client that sends eight megabytes more before it reads must not be cut off by a reset."""
    sock = server.connect()
    sock.sendall(raw)
    try:
        for _ in range(128):
            sock.sendall(b"a" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("the connection was reset before the answer was read")
    reader = Reader(sock)
    answer = reader.answer("POST")
    assert answer.status in expected and reader.rest() == b""


def test_curl_reads_an_early_answer_to_a_large_upload(start, site, tmp_path):
    data = tmp_path / "data"
    data.write_bytes(bytes(30 << 20))
    url = start("serve", site).url("/")
    for fields in (("-H", "Expect:"), ("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")):
        sent = client("curl", "-sS", "-m", "20", "-w", "%{http_code}", "-o", "/dev/null", "-T", data, *fields, url)
        assert sent.returncode == 0 and sent.stdout in (b"405", b"413"), (fields, sent)


def test_bytes_behind_a_refusal_are_read_away_and_not_answered_with_a_reset(start):
    server = start(*HELLO)
    sock = server.connect()
    sock.sendall(request("/", "X : y"))
    reader = Reader(sock)
    assert reader.answer().status == 400
    sock.sendall(INSIDE * 100)
    assert reader.rest() == b""
    sock.shutdown(socket.SHUT_WR)
