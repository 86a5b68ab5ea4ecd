"""Cases that are made and not written: every byte in every kind of place, mutations of good requests, resource bombs.

Everything is deterministic. Verdicts come from the reference in corpus_model.py, but for the bombs, which know theirs.
"""

import random

from bad_requests import broken_chunks, get, post, rows
from corpus_model import INSIDE, NEXT, Case, Verdict, bad, good, judge, judged

TE = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


def _places():
    """(name, what one byte makes of a request): each place where the grammar has a class of bytes."""
    chunked = lambda body: post(TE, body=body)
    hello = b"\r\nhello\r\n" + LAST
    yield "before the request", lambda b: b + get()
    yield "first of the method", lambda b: get(start=b + b"ET / HTTP/1.1")
    yield "inside the method", lambda b: get(start=b"G" + b + b"T / HTTP/1.1")
    yield "behind the method", lambda b: get(start=b"GET" + b + b" / HTTP/1.1")
    yield "for the first space", lambda b: get(start=b"GET" + b + b"/ HTTP/1.1")
    yield "first of the target", lambda b: get(start=b"GET " + b + b"a HTTP/1.1")
    yield "inside the target", lambda b: get(start=b"GET /a" + b + b"c HTTP/1.1")
    yield "last of the target", lambda b: get(start=b"GET /a" + b + b" HTTP/1.1")
    yield "inside the query", lambda b: get(start=b"GET /a?b" + b + b"c HTTP/1.1")
    yield "inside the authority", lambda b: get(start=b"GET http://a" + b + b"c/ HTTP/1.1")
    yield "for the second space", lambda b: get(start=b"GET /" + b + b"HTTP/1.1")
    yield "first of the version", lambda b: get(start=b"GET / " + b + b"TTP/1.1")
    yield "for the slash of the version", lambda b: get(start=b"GET / HTTP" + b + b"1.1")
    yield "major version", lambda b: get(start=b"GET / HTTP/" + b + b".1")
    yield "for the dot of the version", lambda b: get(start=b"GET / HTTP/1" + b + b"1")
    yield "minor version", lambda b: get(start=b"GET / HTTP/1." + b)
    yield "behind the version", lambda b: get(start=b"GET / HTTP/1.1" + b)
    yield "for the CR of the request line", lambda b: b"GET / HTTP/1.1" + b + b"\nHost: x\r\n\r\n"
    yield "for the LF of the request line", lambda b: b"GET / HTTP/1.1\r" + b + b"Host: x\r\n\r\n"
    yield "first of a name", lambda b: get(b + b"X: y")
    yield "inside a name", lambda b: get(b"X" + b + b"Y: z")
    yield "last of a name", lambda b: get(b"X" + b + b": y")
    yield "for the colon", lambda b: get(b"X" + b + b"y")
    yield "behind the colon", lambda b: get(b"X:" + b + b"y")
    yield "inside a value", lambda b: get(b"X: y" + b + b"z")
    yield "last of a value", lambda b: get(b"X: y" + b)
    yield "for a CR in the head", lambda b: b"GET / HTTP/1.1\r\nHost: x\r\nX: y" + b + b"\nY: z\r\n\r\n"
    yield "for an LF in the head", lambda b: b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r" + b + b"Y: z\r\n\r\n"
    yield "for the last CR of the head", lambda b: b"GET / HTTP/1.1\r\nHost: x\r\n" + b + b"\n"
    yield "for the last LF of the head", lambda b: b"GET / HTTP/1.1\r\nHost: x\r\n\r" + b
    yield "first of the host", lambda b: get(host=b"Host: " + b + b"a")
    yield "inside the host", lambda b: get(host=b"Host: a" + b + b"c")
    yield "last of the host", lambda b: get(host=b"Host: a" + b)
    yield "inside the port", lambda b: get(host=b"Host: a:8" + b + b"0")
    yield "inside an IPv6 host", lambda b: get(host=b"Host: [:" + b + b":1]")
    yield "before the length", lambda b: _length(b + b"5")
    yield "inside the length", lambda b: _length(b"1" + b + b"0")
    yield "behind the length", lambda b: _length(b"5" + b)
    yield "before the coding", lambda b: post(b"Transfer-Encoding: " + b + b"chunked", body=b"5" + hello)
    yield "inside the coding", lambda b: post(b"Transfer-Encoding: chu" + b + b"nked", body=b"5" + hello)
    yield "behind the coding", lambda b: post(b"Transfer-Encoding: chunked" + b, body=b"5" + hello)
    yield "in the coding's name", lambda b: post(b"Transfer" + b + b"Encoding: chunked", b"Content-Length: 5")
    yield "in the length's name", lambda b: get(b"Content" + b + b"Length: 33") + INSIDE
    yield "before a chunk size", lambda b: chunked(_chunk(b + b"5"))
    yield "behind a chunk size", lambda b: chunked(_chunk(b"5" + b))
    yield "for the CR behind a size", lambda b: chunked(b"5" + b + b"\nhello\r\n" + LAST)
    yield "for the LF behind a size", lambda b: chunked(b"5\r" + b + b"hello\r\n" + LAST)
    yield "first of an extension", lambda b: chunked(b"5;" + b + b"a" + hello)
    yield "last of an extension", lambda b: chunked(b"5;a" + b + hello)
    yield "first of an extension's value", lambda b: chunked(b"5;a=" + b + hello)
    yield "inside a quoted extension", lambda b: chunked(b'5;a="x' + b + b'y"' + hello)
    yield "escaped in a quoted extension", lambda b: chunked(b'5;a="x\\' + b + b'y"' + hello)
    yield "behind a quoted extension", lambda b: chunked(b'5;a="x"' + b + hello)
    yield "for the CR behind the data", lambda b: chunked(b"5\r\nhello" + b + b"\n" + LAST)
    yield "for the LF behind the data", lambda b: chunked(b"5\r\nhello\r" + b + LAST)
    yield "behind the last size", lambda b: chunked(b"0" + b + b"\r\n\r\n")
    yield "first of a trailer", lambda b: chunked(b"5\r\nhello\r\n0\r\n" + b + b"X: y\r\n\r\n")
    yield "last of a trailer's name", lambda b: chunked(b"5\r\nhello\r\n0\r\nX" + b + b": y\r\n\r\n")
    yield "inside a trailer's value", lambda b: chunked(b"5\r\nhello\r\n0\r\nX: y" + b + b"z\r\n\r\n")
    yield "for the last CR of a chunked body", lambda b: chunked(b"5\r\nhello\r\n0\r\n" + b + b"\n")
    yield "for the last LF of a chunked body", lambda b: chunked(b"5\r\nhello\r\n0\r\n\r" + b)
    yield "inside the expectation", lambda b: post(b"Expect: 100" + b + b"continue", b"Content-Length: 5")
    yield "in the connection's options", lambda b: get(b"Connection: close" + b + b"x")


def _length(value):
    """A request of this length's value, with a body that fits it if it is a number."""
    number = value.strip(b" \t")
    return post(b"Content-Length: " + value, body=b"a" * int(number) if number.isdigit() else b"hello")


def _chunk(size):
    try:
        length = int(size, 16) if size.isalnum() else 5
    except ValueError:
        length = 5
    return size + b"\r\n" + b"a" * length + b"\r\n" + LAST


def every_byte():
    for place, make in _places():
        for byte in range(256):
            yield judged(f"byte 0x{byte:02x} {place}", f"byte {place}", make(bytes([byte])))


GOOD = [
    get(), get(b"X: y", b"Y:\tz "), get(start=b"HEAD /a?b=c HTTP/1.1"), get(start=b"GET http://x:80/a HTTP/1.1"), get(start=b"OPTIONS * HTTP/1.1"),
    get(b"Connection: keep-alive", start=b"GET / HTTP/1.0", host=None), post(b"Content-Length: 5"), post(b"content-length:0005", b"Accept: */*"),
    post(TE, body=b"5\r\nhello\r\n" + LAST), post(TE, body=b'5;a="b;c";d\r\nhello\r\n1;e\r\nx\r\n0\r\nX: y\r\n\r\n'),
    post(b"Expect: 100-continue", b"Content-Length: 5"), post(b"Content-Length: %d" % len(INSIDE), body=INSIDE) + get() + post(TE, body=LAST),
    b"\r\n" + get(host=b"Host: [::1]:80") + get(b"Connection: close"),
]  # fmt: skip
SPECIAL = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x85", b"\xa0", b":", b",", b";", b"=", b'"', b"0", b"5", b"f", b"/", b"-", b"_", b"\x7f", b"\xff", b"\r\n ", b"\r\n\r\n"]


def mutations(count):
    """So many different good requests that were cut, doubled, swapped and injected into, one to three times."""
    rng, seen, made = random.Random(4), set(GOOD), 0
    while made < count:
        raw = rng.choice(GOOD)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            at, kind = rng.randrange(len(raw)), rng.randrange(6)
            end = min(len(raw), at + rng.choice((1, 1, 2, 5, 20)))
            if kind == 0:
                raw = raw[:at] + raw[end:]
            elif kind == 1:
                raw = raw[:end] + raw[at:]
            elif kind == 2:
                raw = raw[:at] + rng.choice(SPECIAL) + raw[at:]
            elif kind == 3:
                raw = raw[:at] + rng.choice(SPECIAL) + raw[at + 1 :]
            elif kind == 4:
                raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
            else:
                other = rng.choice(GOOD)
                raw = raw[:at] + other[rng.randrange(len(other)) :]
            if not raw:
                break
        if raw and raw not in seen:
            seen.add(raw)
            made += 1
            yield judged(f"mutation {made}: {raw!r}", "mutation", raw)


def prefixes():
    """Good requests that stop: what is behind a cut is read as the rest of it."""
    for number, raw in enumerate(GOOD):
        for end in range(1, len(raw)):
            yield judged(f"first {end} bytes of good request {number}", "prefix", raw[:end])


def classic():
    """The rows that the other tests send one by one."""
    for name, raw, statuses in rows():
        verdict = judge(raw + NEXT)
        yield Case(f"classic: {name}", "classic", raw, Verdict(verdict.taken, verdict.end, frozenset(statuses)))
    for name, raw in broken_chunks():
        yield judged(f"classic: chunked, {name}", "classic", raw)


def bombs():
    """Each bound, hit from both sides; and what costs a lenient server its memory or its time."""
    chunked = lambda body: post(TE, body=body)
    numbered = lambda n: [b"X%d: y" % i for i in range(n)]
    yield good("bomb: 100 fields", "bomb", get(*numbered(99)), "GET")
    yield bad("bomb: 101 fields", "bomb", get(*numbered(100)), 431)
    yield bad("bomb: 10,000 fields", "bomb", get(*numbered(10_000)), 431)
    yield good("bomb: a target of 8 KiB", "bomb", get(start=b"GET /" + b"a" * 8191 + b" HTTP/1.1"), ("GET", "/" + "a" * 8191, b""))
    yield bad("bomb: a target of 8 KiB and 1", "bomb", get(start=b"GET /" + b"a" * 8192 + b" HTTP/1.1"), 414)
    yield bad("bomb: a target of 1 MiB", "bomb", get(start=b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1"), 414)
    yield bad("bomb: a method of 1 MiB", "bomb", get(start=b"A" * (1 << 20) + b" / HTTP/1.1"), 414)
    yield bad("bomb: a name of 1 MiB", "bomb", get(b"A" * (1 << 20) + b": y"), 431)
    yield bad("bomb: a value of 1 MiB", "bomb", get(b"X: " + b"a" * (1 << 20)), 431)
    yield bad("bomb: a value of spaces", "bomb", get(b"X:" + b" " * (1 << 20)), 431)
    room = 16 * 1024 - len(get(b"X: "))
    yield good("bomb: a head of 16 KiB", "bomb", get(b"X: " + b"a" * room), "GET")
    yield bad("bomb: a head of 16 KiB and 1", "bomb", get(b"X: " + b"a" * (room + 1)), 431)
    yield bad("bomb: empty lines", "bomb", b"\r\n" * 100_000)
    yield good("bomb: a list of 5,000 commas", "bomb", get(b"Connection: " + b"," * 5000), "GET")
    yield bad("bomb: 5,000 expectations", "bomb", get(b"Expect: " + b"a," * 5000), 417)
    yield bad("bomb: 5,000 codings", "bomb", post(b"Transfer-Encoding: " + b"a," * 5000 + b"chunked", body=LAST), 501)
    yield bad("bomb: a length of 10,000 digits", "bomb", post(b"Content-Length: " + b"9" * 10_000))
    yield good("bomb: a length of 10,000 zeros and a 5", "bomb", post(b"Content-Length: " + b"0" * 10_000 + b"5"), ("POST", "/", b"hello"))
    one = b"1\r\nx\r\n"
    yield good("bomb: 100,000 chunks of a byte", "bomb", chunked(one * 100_000 + LAST), ("POST", "/", b"x" * 100_000))
    yield good("bomb: a chunked body of 1 MiB", "bomb", chunked(b"100000\r\n" + b"a" * (1 << 20) + b"\r\n" + LAST), ("POST", "/", b"a" * (1 << 20)))
    yield bad("bomb: a chunked body of 1 MiB and 1", "bomb", chunked(b"100000\r\n" + b"a" * (1 << 20) + b"\r\n1\r\nx\r\n" + LAST), 413)
    yield good("bomb: a body of 1 MiB", "bomb", post(b"Content-Length: 1048576", body=b"a" * (1 << 20)), ("POST", "/", b"a" * (1 << 20)))
    yield bad("bomb: a body of 1 MiB and 1", "bomb", post(b"Content-Length: 1048577", body=b"a" * ((1 << 20) + 1)), 413)
    yield good("bomb: extensions of 4 KiB", "bomb", chunked(b"5;" + b"a" * 4095 + b"\r\nhello\r\n" + LAST), ("POST", "/", b"hello"))
    yield bad("bomb: extensions of 4 KiB and 1", "bomb", chunked(b"5;" + b"a" * 4096 + b"\r\nhello\r\n" + LAST))
    yield bad("bomb: extensions without end", "bomb", chunked(b"5;" + b"a" * (1 << 20)))
    yield bad("bomb: an extension on each of many chunks", "bomb", chunked(b"1;a\r\nx\r\n" * 50_000 + LAST))
    yield good("bomb: 100 trailers", "bomb", chunked(b"0\r\n" + b"X: y\r\n" * 100 + b"\r\n"), "POST")
    yield bad("bomb: 101 trailers", "bomb", chunked(b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n"), 431)
    yield good("bomb: trailers of 8 KiB", "bomb", chunked(b"0\r\nX: " + b"a" * (8192 - 5) + b"\r\n\r\n"), "POST")
    yield bad("bomb: trailers of 8 KiB and 1", "bomb", chunked(b"0\r\nX: " + b"a" * (8192 - 4) + b"\r\n\r\n"), 431)
    yield bad("bomb: a trailer without end", "bomb", chunked(b"0\r\nX: " + b"a" * (1 << 20)), 431)
    yield good("bomb: zeros before a chunk size", "bomb", chunked(b"0" * 15 + b"5\r\nhello\r\n" + LAST), ("POST", "/", b"hello"))
    yield bad("bomb: a million zeros before a chunk size", "bomb", chunked(b"0" * 1_000_000 + b"5\r\nhello\r\n" + LAST))
    yield good("bomb: 10,000 pipelined requests", "bomb", get() * 10_000, *["GET"] * 10_000)
    yield good("bomb: 3,000 pipelined chunked bodies", "bomb", chunked(b"5\r\nhello\r\n" + LAST) * 3000, *[("POST", "/", b"hello")] * 3000)
    yield bad("bomb: 5,000 good requests before a bad one", "bomb", get() * 5000 + get(b"X : y"), taken=[("GET", "/", b"")] * 5000)
    yield good("bomb: empty lines between 2,000 requests", "bomb", (b"\r\n" + get()) * 2000, *["GET"] * 2000)
