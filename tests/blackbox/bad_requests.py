"""The table of malformed requests: (name, bytes, statuses that may answer).

Each row is one request that no strict server takes. The test sends a good request behind it; answering that one
is request smuggling.
"""

BAD, LENGTH, VERSION, METHOD, CODING = {400}, {400, 413}, {400, 505}, {400, 501}, {400, 501}


def post(*lines, body=b"hello", version=b"1.1", host=b"Host: x"):
    head = [b"POST / HTTP/" + version, host, *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def get(*lines, start=b"GET / HTTP/1.1", host=b"Host: x"):
    return b"\r\n".join([start, *([host] if host is not None else []), *lines]) + b"\r\n\r\n"


def _lengths():
    values = [
        b"", b" ", b"+5", b"-5", b"--5", b"5-", b"0x5", b"0b101", b"5,6", b"5, 5", b"5,", b",5", b"5,,5", b"5 5",
        b"5a", b"a", b"5.0", b"1e3", b"5;", b"5\x0b", b"\x0b5", b"5\0", b"\0005", b"5\x85", b'"5"', b"'5'", b"_5",
        b"1_0", b"NaN", b"5\tx", "٥".encode(), b"5\xa0",
    ]
    for value in values:
        yield f"length {value!r}", post(b"Content-Length: " + value), BAD
    for value in (b"9223372036854775808", b"18446744073709551615", b"18446744073709551616", b"18446744073709551621", b"9" * 40):
        yield f"length {value!r}", post(b"Content-Length: " + value), LENGTH
    five, six, zero = b"Content-Length: 5", b"Content-Length: 6", b"Content-Length: 0"
    yield "two lengths", post(five, six), BAD
    yield "two lengths, the other way round", post(six, five), BAD
    yield "two equal lengths", post(five, five), BAD
    yield "two lengths apart", post(zero, b"X: y", five), BAD
    yield "two lengths, one in lower case", post(five, b"content-length: 0"), BAD
    yield "length folded", post(b"Content-Length:\r\n 5"), BAD
    yield "length continued", post(b"Content-Length: 5\r\n 0"), BAD
    yield "space before the colon of the length", post(b"Content-Length : 5"), BAD
    yield "tab before the colon of the length", post(b"Content-Length\t: 5"), BAD
    yield "NUL in the name of the length", post(b"Content-Length\0: 5"), BAD
    yield "VT before the name of the length", post(b"\x0bContent-Length: 5"), BAD


def _codings():
    chunked, body = b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"
    values = [
        b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity, chunked",
        b"chunked, identity", b"xchunked", b"chunkedx", b"chunk", b"", b"compress", b"deflate", b"br", b"trailers",
        b"chunked chunked", b"chun ked", b'"chunked"', b"'chunked'", b"\x0bchunked", b"chunked\x0b", b"chunked\0",
        b"\x85chunked", b"chunked\x85", b"chun\0ked", b"\xa0chunked", b"chunked;", b"chunked;q=1", b"chunked; a=b",
        b"chunked\x0c", b"[chunked]", b"cow", b"chunked,gzip,chunked", b"\xef\xbb\xbfchunked", b"chunked/1",
    ]
    for value in values:
        yield f"coding {value!r}", post(b"Transfer-Encoding: " + value, body=body), CODING
    yield "two codings", post(chunked, chunked, body=body), CODING
    yield "chunked not last, in two fields", post(chunked, b"Transfer-Encoding: gzip", body=body), CODING
    yield "unknown, then chunked, in two fields", post(b"Transfer-Encoding: cow", chunked, body=body), CODING
    yield "coding in HTTP/1.0", post(chunked, body=body, version=b"1.0"), CODING
    yield "coding and length", post(chunked, b"Content-Length: 5", body=body), BAD
    yield "length and coding", post(b"Content-Length: 5", chunked, body=body), BAD
    yield "length 0 and coding", post(b"Content-Length: 0", chunked, body=body), BAD
    yield "length and identity", post(b"Content-Length: 5", b"Transfer-Encoding: identity"), CODING
    yield "length and unknown coding", post(b"Content-Length: 5", b"Transfer-Encoding: cow"), CODING
    yield "coding folded", post(b"Transfer-Encoding:\r\n chunked", body=body), BAD
    yield "coding continued", post(b"Transfer-Encoding: chunked\r\n ,gzip", body=body), BAD
    yield "space before the colon of the coding", post(b"Transfer-Encoding : chunked", body=body), BAD
    yield "space before the name of the coding", post(b" Transfer-Encoding: chunked", body=body), BAD
    yield "NUL in the name of the coding", post(b"Transfer-Encoding\0: chunked", body=body), BAD
    yield "CR in the name of the coding", post(b"Transfer\rEncoding: chunked", body=body), BAD
    yield "CR after the coding", post(b"Transfer-Encoding: chunked\r", body=body), BAD
    yield "bare LF after the coding", post(b"Transfer-Encoding: chunked\nX: y", body=body), BAD
    yield "coding hidden behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked", body=body), BAD


def _fields():
    lines = {
        "space before the colon": b"X : y", "tab before the colon": b"X\t: y", "space in the name": b"X Y: z",
        "no colon": b"NoColon", "empty name": b": y", "leading space": b" X: y", "leading tab": b"\tX: y",
        "folded": b"X: y\r\n z", "folded by a tab": b"X: y\r\n\tz", "CR in the value": b"X: a\rb",
        "CR at the value's end": b"X: a\r", "NUL in the value": b"X: a\0b", "LF alone": b"X: a\nY: b",
        "DEL in the value": b"X: a\x7fb", "control in the value": b"X: a\x01b", "ESC in the value": b"X: a\x1bb",
        "high byte in the name": b"\x80X: y", "NUL in the name": b"X\0: y", "control in the name": b"X\x01: y",
    }
    for mark in '()<>@,;\\"/[]?={}':
        lines[f"{mark} in the name"] = f"X{mark}: y".encode()
    for name, line in lines.items():
        yield f"field: {name}", get(line), BAD


def _hosts():
    yield "no host", get(host=None), BAD
    yield "two hosts", get(b"Host: y"), BAD
    yield "two equal hosts", get(b"Host: x"), BAD
    yield "two hosts, one in lower case", get(b"host: y"), BAD
    for value in (b"a b", b"a/b", b"a\tb", b"[::1", b"::1]", b"a:port", b"<x>", b'"x"', b"a?b", b"a#b",
                  b"a\\b", b"a@b", b"a\0", b"a:-1", b"a:8:8", b"a\x80", b"[zz]"):
        yield f"host {value!r}", get(host=b"Host: " + value), BAD
    yield "no host, absolute target", get(start=b"GET http://x/ HTTP/1.1", host=None), BAD


def _request_lines():
    for version in (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/9.9", b"HTTP/0.0"):
        yield f"version {version!r}", get(start=b"GET / " + version), VERSION
    for version in (b"HTTP/1", b"HTTP/11", b"HTTP/1.10", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.1x", b"HTTP/1,1", b"HTTP 1.1", b"http/1.1",
                    b"HTTPS/1.1", b"HTP/1.1", b"HTTP/a.b", b"HTTP/-1.1", b"HTTP/1.1 ", b"HTTP/1.1\t", b"HTTP/ 1.1", b"HTTP/1.1\0"):
        yield f"version {version!r}", get(start=b"GET / " + version), VERSION
    for start in (b"get / HTTP/1.1", b"Get / HTTP/1.1", b"gET / HTTP/1.1", b"head / HTTP/1.1"):
        yield f"method in {start!r}", get(start=start), METHOD
    for start in (b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1", b"\tGET / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1",
                  b"GET /a b HTTP/1.1", b"GET\x0b/ HTTP/1.1", b"GET / HTTP/1.1 x", b"GET", b"GET /", b"GET / ", b"GET HTTP/1.1",
                  b"/ HTTP/1.1", b"G@T / HTTP/1.1", b"G{T / HTTP/1.1", b"G(T / HTTP/1.1", b"GET\0 / HTTP/1.1", b"G\x80T / HTTP/1.1",
                  b"GET /\0 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /\x1b HTTP/1.1", b"GET /a\rb HTTP/1.1",
                  b"GET a HTTP/1.1", b"GET * HTTP/1.1", b"\0GET / HTTP/1.1", b":GET / HTTP/1.1", b'"GET" / HTTP/1.1'):
        yield f"line {start!r}", get(start=start), VERSION
    yield "bare LF after the request line", b"GET / HTTP/1.1\nHost: x\r\n\r\n", BAD
    yield "bare LF everywhere", b"GET / HTTP/1.1\nHost: x\n\n", BAD
    yield "bare LF at the head's end", b"GET / HTTP/1.1\r\nHost: x\r\n\n", BAD
    yield "bare CR for line ends", b"GET / HTTP/1.1\rHost: x\r\r", BAD
    yield "LF CR", b"GET / HTTP/1.1\n\rHost: x\n\r\n\r", BAD
    yield "space line before the fields", b"GET / HTTP/1.1\r\n \r\nHost: x\r\n\r\n", BAD


def _other_protocols():
    yield "two leading empty lines", b"\r\n\r\n" + get(), BAD
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", VERSION
    yield "TLS hello", bytes.fromhex("16030100f1010000ed0303") + bytes(range(32)) + b"\r\n\r\n", BAD
    yield "PROXY version 1", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get(), VERSION
    yield "PROXY version 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + get(), BAD
    yield "SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", VERSION
    yield "SMTP", b"EHLO example.org\r\n\r\n", VERSION
    yield "Redis", b"*1\r\n$4\r\nPING\r\n\r\n", VERSION
    yield "NULs", bytes(64) + b"\r\n\r\n", BAD
    yield "all bytes", bytes(range(256)) + b"\r\n\r\n", BAD


def _limits():
    yield "URI of 9 KiB", get(start=b"GET /" + b"a" * 9216 + b" HTTP/1.1"), {414}
    yield "query of 9 KiB", get(start=b"GET /?" + b"a" * 9216 + b" HTTP/1.1"), {414}
    yield "request line without end", b"GET /" + b"a" * 40_000, {414}
    yield "one field of 20 KiB", get(b"X: " + b"a" * 20_000), {431}
    yield "many small fields over 16 KiB", get(*[b"X%d: %s" % (i, b"a" * 400) for i in range(60)]), {431}
    yield "150 fields", get(*[b"X%d: y" % i for i in range(150)]), {431}
    yield "a name without end", get(b"X" * 40_000), {400, 431}
    yield "length over the limit", post(b"Content-Length: 1048577", body=bytes(65536)), {413}
    yield "length far over the limit", post(b"Content-Length: 1000000000000", body=bytes(65536)), {413}
    yield "chunks over the limit", post(b"Transfer-Encoding: chunked", body=b"8000\r\n" + bytes(32768) + b"\r\n" + (
        b"8000\r\n" + bytes(32768) + b"\r\n") * 40 + b"0\r\n\r\n"), {413}
    yield "one chunk over the limit", post(b"Transfer-Encoding: chunked", body=b"100001\r\n" + bytes(0x100001) + b"\r\n0\r\n\r\n"), {413}


def rows():
    """Requests whose head, or whose announced size, is at fault."""
    for family in (_lengths, _codings, _fields, _hosts, _request_lines, _other_protocols, _limits):
        yield from family()


def broken_chunks():
    """(name, bytes): good heads whose chunked bodies break off; what is behind is never a request."""
    sizes = [
        b"0x5", b"0X5", b"5_", b"_5", b"0_5", b"+5", b"-5", b"-0", b" 5", b"\t5", b"5 ", b"5\t", b"G", b"5g", b"", b"\x0b5", b"5\x0b", b"5\0",
        b"5.0", b"5,5", b'"5"', b"FFFFFFFFFFFFFFFF", b"FFFFFFFFFFFFFFFFF", b"10000000000000005", b"7FFFFFFFFFFFFFFF",
        b"FFFFFFFFFFFFFFFB", b"5\r", b"5 5", b"5;a=\x01", b"5;a=\0", b"5;a\rb", b"\xef\xbc\x95",
    ]
    bodies = {f"size {size!r}": size + b"\r\nhello\r\n0\r\n\r\n" for size in sizes}
    bodies |= {
        "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
        "bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
        "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
        "bare CR after the data": b"5\r\nhello\r0\r\n\r\n",
        "nothing after the data": b"5\r\nhello0\r\n\r\n",
        "data longer than the size": b"5\r\nhello!\r\n0\r\n\r\n",
        "bare LF in an extension": b"5;a=b\nhello\r\n0\r\n\r\n",
        "bare LF after the last size": b"0\n\r\n",
        "bare LF at the very end": b"0\r\n\n",
        "bare LFs only": b"0\n\n",
        "extension without end": b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        "trailers without end": b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        "trailer with leading space": b"0\r\n X: y\r\n\r\n",
        "trailer with space before the colon": b"0\r\nX : y\r\n\r\n",
        "trailer without colon": b"0\r\nNoColon\r\n\r\n",
        "trailer with NUL": b"0\r\nX: \0\r\n\r\n",
        "trailer with bare CR": b"0\r\nX: a\rb\r\n\r\n",
        "trailer folded": b"0\r\nX: a\r\n b\r\n\r\n",
    }
    for name, body in bodies.items():
        yield name, post(b"Transfer-Encoding: chunked", body=body)
