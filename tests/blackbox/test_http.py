"""HTTP/1.x as a peer sees it: framing, order, limits, and answers that are really seen."""
import email.utils
import http.client
import socket
import time

import pytest

import bad_requests
import wire
from harness import client
from wire import Reader, ask, request

SMUGGLED = request("/smuggled")
HELLO = ("respond", "--body", "Hello, World!")


def everything(server, data):
    """All that the server says to these bytes until it closes; a reset is an error."""
    sock = server.connect()
    sock.sendall(data)
    return wire.read_to_end(sock)


# Requests that a strict server refuses


def named(rows):
    return [pytest.param(*row[1:], id=row[0].encode("ascii", "backslashreplace").decode()) for row in rows]


@pytest.mark.parametrize("raw, statuses", named(bad_requests.rows()))
def test_a_bad_request_is_refused_and_nothing_behind_it_is_answered(start, raw, statuses):
    said = everything(start(*HELLO), raw + SMUGGLED)
    assert said.count(b"HTTP/1.1 ") == 1, said
    assert int(said.split()[1]) in statuses, said
    assert b"Hello, World!" not in said
    assert b"connection: close" in said.lower(), said


@pytest.mark.parametrize("raw", named(bad_requests.broken_chunks()))
def test_nothing_behind_a_broken_chunked_body_is_answered(start, raw):
    said = everything(start(*HELLO), raw + SMUGGLED)
    assert said.count(b"HTTP/1.1 ") <= 1, said
    assert not said or int(said.split()[1]) in (200, 400, 413, 431), said


@pytest.mark.parametrize("raw, statuses", named(bad_requests.rows()))
def test_a_bad_request_by_small_pieces_is_refused_alike(start, raw, statuses):
    server = start(*HELLO)
    sock = server.connect()
    step = max(1, len(raw) // 64)
    try:
        for at in range(0, len(raw), step):
            sock.sendall(raw[at : at + step])
        sock.sendall(SMUGGLED)
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("the server reset the connection instead of lingering")
    said = wire.read_to_end(sock)
    assert said.count(b"HTTP/1.1 ") == 1, said
    assert int(said.split()[1]) in statuses, said


@pytest.mark.parametrize("target", ["/", "/missing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_framing_is_judged_before_method_and_path(start, folder, method, target):
    said = everything(start("serve", folder), request(target, "Content-Length: +5", method=method, body=b"hello") + SMUGGLED)
    assert said.startswith(b"HTTP/1.1 400 ") and said.count(b"HTTP/1.1 ") == 1, said


def test_a_bad_request_behind_good_ones_does_not_hide_their_answers(start):
    said = everything(start(*HELLO), request() + request() + request("/", "X : y") + SMUGGLED)
    assert said.count(b"HTTP/1.1 200 ") == 2 and said.count(b"HTTP/1.1 400 ") == 1 and said.count(b"HTTP/1.1 ") == 3, said


@pytest.mark.parametrize(
    "raw, status",
    [
        pytest.param(request("/" + "a" * 9000), 414, id="414"),
        pytest.param(request("/", "X: " + "a" * 20_000), 431, id="431"),
        pytest.param(request("/", "Content-Length: 4000000", method="POST"), 413, id="413"),
        pytest.param(request("/", "X : y"), 400, id="400"),
        pytest.param(request("/", "Transfer-Encoding: gzip, chunked", method="POST"), 501, id="501"),
    ],
)
def test_the_answer_is_seen_by_a_client_that_goes_on_sending(start, raw, status):
    sock = start(*HELLO).connect()
    sock.sendall(raw)
    try:
        for _ in range(60):
            sock.sendall(bytes(65536))
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("reset while the answer was on its way")
    reader = Reader(sock)
    assert reader.answer("POST").status == status
    assert reader.rest() == b""


# Good requests, and all their legal shapes


GOOD = {
    "plain": (request(), "GET"),
    "old": (request(version="1.0", host=""), "GET"),
    "leading empty line": (b"\r\n" + request(), "GET"),
    "absolute form": (request("http://x/path"), "GET"),
    "asterisk": (request("*", method="OPTIONS"), "OPTIONS"),
    "no space after the colon": (request("/", "X:y"), "GET"),
    "tabs round a value": (request("/", "X:\t y \t"), "GET"),
    "empty value": (request("/", "X:"), "GET"),
    "bytes over 127 in a value": (request("/", b"X: \xff\x80"), "GET"),
    "host with port": (request(host="x:8080"), "GET"),
    "host as IPv6": (request(host="[::1]:80"), "GET"),
    "host as IPv4": (request(host="127.0.0.1"), "GET"),
    "host spelled in capitals": (request("/", "HOST: x", host=""), "GET"),
    "99 fields": (request("/", *[f"X{i}: y" for i in range(98)]), "GET"),
    "8 KiB of URI": (request("/" + "a" * 8000), "GET"),
    "12 KiB of head": (request("/", "X: " + "a" * 12_000), "GET"),
    "length 0": (request("/", "Content-Length: 0", method="POST"), "POST"),
    "length with zeros": (request("/", "Content-Length: 0005", method="POST", body=b"hello"), "POST"),
    "body": (request("/", "Content-Length: 5", method="POST", body=b"hello"), "POST"),
    "body of 1 MiB": (request("/", "Content-Length: 1048576", method="POST", body=bytes(1 << 20)), "POST"),
    "GET with a body": (request("/", "Content-Length: 5", body=b"hello"), "GET"),
    "chunked": (request("/", "Transfer-Encoding: chunked", method="POST", body=b"5\r\nhello\r\n0\r\n\r\n"), "POST"),
    "Chunked": (request("/", "transfer-encoding: Chunked", method="POST", body=b"5\r\nhello\r\n0\r\n\r\n"), "POST"),
    "chunk sizes with zeros and capitals": (
        request("/", "Transfer-Encoding: chunked", method="POST", body=b"00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n"),
        "POST",
    ),
    "chunk extensions": (
        request("/", "Transfer-Encoding: chunked", method="PUT", body=b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'),
        "PUT",
    ),
    "trailers": (
        request("/", "Transfer-Encoding: chunked", method="PUT", body=b"5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n"),
        "PUT",
    ),
    "empty chunked body": (request("/", "Transfer-Encoding: chunked", method="PUT", body=b"0\r\n\r\n"), "PUT"),
    "unknown method": (request(method="FROB"), "FROB"),
    "delete": (request(method="DELETE"), "DELETE"),
}


@pytest.mark.parametrize("pace", ["whole", "bytewise"])
@pytest.mark.parametrize("raw, method", GOOD.values(), ids=GOOD.keys())
def test_a_good_request_is_answered_and_the_next_one_too(start, raw, method, pace):
    sock = start(*HELLO).connect()
    if pace == "whole":
        sock.sendall(raw)
    else:
        step = max(1, len(raw) // 2000)
        for at in range(0, len(raw), step):
            sock.sendall(raw[at : at + step])
    reader = Reader(sock)
    answer = reader.answer(method)
    assert (answer.status, answer.body) == (200, b"Hello, World!")
    if raw.split(b"\r\n")[0].endswith(b"1.0"):
        assert reader.rest() == b""
        return
    sock.sendall(request())
    assert reader.answer().status == 200


def test_every_cut_of_a_pipeline_gives_the_same_answers(start):
    raw = request() + request("/", "Transfer-Encoding: chunked", method="POST", body=b"2\r\nhi\r\n0\r\n\r\n") + request(method="HEAD")
    server = start(*HELLO)
    for cut in range(1, len(raw)):
        sock = server.connect()
        sock.sendall(raw[:cut])
        sock.sendall(raw[cut:])
        reader = Reader(sock)
        answers = [reader.answer(method) for method in ("GET", "POST", "HEAD")]
        assert [a.status for a in answers] == [200] * 3, cut
        assert [a.body for a in answers] == [b"Hello, World!", b"Hello, World!", b""], cut
        sock.close()


def test_keep_alive_has_no_limit_of_its_own(start):
    connection = http.client.HTTPConnection(*start(*HELLO).endpoints[0].address)
    connection.connect()
    first = connection.sock.getsockname()
    for _ in range(2000):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Hello, World!"
    assert connection.sock.getsockname() == first
    connection.close()


def test_pipelined_requests_are_answered_in_order(start, folder):
    for number in range(100):
        (folder / f"{number}.txt").write_text(f"file {number}")
    sock = start("serve", folder).connect()
    sock.sendall(b"".join(request(f"/{number}.txt") for number in range(100)))
    reader = Reader(sock)
    assert [reader.answer().body for _ in range(100)] == [b"file %d" % number for number in range(100)]


def test_thousands_of_pipelined_requests_from_a_client_that_reads_late(start):
    sock = start(*HELLO).connect()
    sock.settimeout(30)
    sock.sendall(request() * 2000)
    reader = Reader(sock)
    for _ in range(2000):
        assert reader.answer().status == 200


def test_pipelined_requests_before_our_fin_are_all_answered(start):
    sock = start(*HELLO).connect()
    sock.sendall(request() * 5)
    sock.shutdown(socket.SHUT_WR)
    reader = Reader(sock)
    assert [reader.answer().status for _ in range(5)] == [200] * 5
    assert reader.rest() == b""


def test_close_is_honoured_and_nothing_behind_it_is_answered(start):
    said = everything(start(*HELLO), request("/", "Connection: close") + SMUGGLED)
    assert said.count(b"HTTP/1.1 ") == 1 and b"connection: close" in said.lower(), said


@pytest.mark.parametrize("value", ["Close", "x, close", "close, x", "CLOSE"])
def test_close_is_found_in_any_spelling_and_list(start, value):
    assert everything(start(*HELLO), request("/", f"Connection: {value}")).endswith(b"Hello, World!")


def test_http_1_0_is_kept_when_it_asks_and_told_so(start):
    sock = start(*HELLO).connect()
    reader = Reader(sock)
    for _ in range(3):
        sock.sendall(request("/", "Connection: keep-alive", version="1.0", host=""))
        answer = reader.answer()
        assert answer.status == 200 and answer["connection"].lower() == "keep-alive"
    sock.sendall(request(version="1.0", host=""))
    assert reader.answer().status == 200
    assert reader.rest() == b""


def test_head_gives_the_fields_of_get_and_no_body(start):
    server = start(*HELLO)
    get, head = ask(server), ask(server, method="HEAD")
    assert head.body == b"" and head["content-length"] == "13"
    assert {k for k, _ in get.headers} == {k for k, _ in head.headers}


def test_expect_100_continue_comes_before_the_body_is_sent(start):
    sock = start(*HELLO).connect()
    sock.sendall(request("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
    reader = Reader(sock)
    assert sock.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"hello" + request())
    assert [reader.answer("POST").status, reader.answer().status] == [200, 200]


def test_expect_100_continue_in_http_1_0_is_ignored(start):
    raw = request("/", "Expect: 100-continue", "Content-Length: 5", method="POST", version="1.0", body=b"hello")
    assert not everything(start(*HELLO), raw).startswith(b"HTTP/1.1 100")


def test_no_100_continue_before_a_413(start):
    said = everything(start(*HELLO), request("/", "Expect: 100-continue", "Content-Length: 9999999", method="POST"))
    assert said.startswith(b"HTTP/1.1 413 "), said


@pytest.mark.parametrize("body", [b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"", b"5"])
def test_a_chunked_body_cut_by_our_fin_is_no_whole_request(start, body):
    sock = start(*HELLO).connect()
    sock.sendall(request("/", "Transfer-Encoding: chunked", method="POST", body=body))
    sock.shutdown(socket.SHUT_WR)
    said = wire.read_to_end(sock)
    assert b" 200 " not in said, said


def test_a_head_cut_by_our_fin_is_closed(start):
    sock = start(*HELLO).connect()
    sock.sendall(request()[:-2])
    sock.shutdown(socket.SHUT_WR)
    assert b" 200 " not in wire.read_to_end(sock)


def test_date_is_now_and_server_has_no_version(start):
    answer = ask(start(*HELLO))
    stamp = email.utils.parsedate_to_datetime(answer["date"]).timestamp()
    assert answer["date"].endswith(" GMT") and abs(stamp - time.time()) < 3
    assert answer["server"] == "tidemill"


def test_date_goes_on_while_the_connection_is_kept(start):
    sock = start(*HELLO).connect()
    reader, dates, end = Reader(sock), set(), time.monotonic() + 5
    while len(dates) < 2 and time.monotonic() < end:
        sock.sendall(request())
        dates.add(reader.answer()["date"])
    assert len(dates) == 2


# respond's own options


def test_respond_says_exactly_what_it_was_told(start):
    server = start("respond", "--status", "418", "--header", "X-Tide: high", "--header", "Server: other", "--body", "short and stout")
    for method, target in (("GET", "/"), ("POST", "/a/b?c"), ("DELETE", "/x")):
        answer = ask(server, target, method=method)
        assert (answer.status, answer.body) == (418, b"short and stout")
        assert (answer["x-tide"], answer["server"], answer["content-length"]) == ("high", "other", "15")


def test_respond_without_a_body_says_length_zero(start):
    answer = ask(start("respond"))
    assert (answer.status, answer.body, answer["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_content_never_has_a_body(start, status):
    sock = start("respond", "--status", status, "--body", "never seen").connect()
    sock.sendall(request() * 2)
    reader = Reader(sock)
    assert [reader.answer().status for _ in range(2)] == [status] * 2


def test_respond_waits_for_its_delay_without_holding_others_up(start):
    server = start("respond", "--delay", "400ms", "--body", "late")
    socks, began = [server.connect() for _ in range(50)], time.monotonic()
    for sock in socks:
        sock.sendall(request() * 2)
    for sock in socks:
        assert Reader(sock).answer().body == b"late"
    assert 0.39 <= time.monotonic() - began < 3


# Deadlines


@pytest.mark.parametrize("first", [b"G", b"GET / HTTP/1.1\r\nX: "])
def test_trickled_bytes_do_not_extend_the_head_deadline(start, first):
    sock = start(*HELLO, "--head-timeout", "1s").connect(timeout=0.1)
    sock.sendall(first)
    began, said = time.monotonic(), b""
    while time.monotonic() - began < 5:
        try:
            sock.send(b"a")
            chunk = sock.recv(4096)
        except TimeoutError:
            continue
        said += chunk
        if not chunk:
            break
    assert 0.9 <= time.monotonic() - began < 3
    assert said.startswith(b"HTTP/1.1 408 "), said


def test_a_body_that_stops_is_answered_408(start):
    sock = start(*HELLO, "--body-timeout", "1s").connect()
    sock.sendall(request("/", "Content-Length: 10", method="POST", body=b"1"))
    reader = Reader(sock)
    assert reader.answer("POST").status == 408
    assert reader.rest() == b""


def test_a_head_in_time_is_not_hurried(start):
    sock = start(*HELLO, "--head-timeout", "5s", "--idle-timeout", "5s").connect()
    for byte in request():
        sock.sendall(bytes([byte]))
    assert Reader(sock).answer().status == 200


# Other people's clients


def test_curl_is_content(start):
    server = start(*HELLO)
    assert client("curl", "-sS", server.url()).stdout == b"Hello, World!"
    many = client("curl", "-sS", "-v", *[server.url(f"/{n}") for n in range(10)])
    assert many.stdout == b"Hello, World!" * 10
    assert many.stderr.count(b"Re-using existing") + many.stderr.count(b"Reusing existing") == 9, many.stderr


def test_curl_sends_a_body_with_expect(start):
    data = bytes(1 << 20)
    sent = client("curl", "-sS", "-v", "-H", "Expect: 100-continue", "--data-binary", "@-", start(*HELLO).url(), input=data)
    assert sent.stdout == b"Hello, World!" and b"100 Continue" in sent.stderr, sent.stderr


def test_curl_sends_chunks(start):
    sent = client("curl", "-sS", "-H", "Transfer-Encoding: chunked", "--data-binary", "@-", start(*HELLO).url(), input=bytes(300_000))
    assert sent.stdout == b"Hello, World!", sent.stderr


def test_http_over_a_unix_socket(start, folder):
    start(*HELLO, listen=[f"unix:{folder}/web.sock"])
    assert client("curl", "-sS", "--unix-socket", f"{folder}/web.sock", "http://x/").stdout == b"Hello, World!"
