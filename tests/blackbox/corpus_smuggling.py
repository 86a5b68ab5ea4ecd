"""The catalogue of request smuggling: framing that two parsers read differently, and the advisories that came of it.

Each case hides a request (`INSIDE`) where a lenient parser would find one. Verdicts are written by hand.
"""

from bad_requests import get, post
from corpus_model import INSIDE, bad, good

TE, CL0, CL5 = b"Transfer-Encoding: chunked", b"Content-Length: 0", b"Content-Length: 5"
LAST = b"0\r\n\r\n"
# A chunked body whose content looks like a request, and a length that ends before it.
CHUNKS = b"5\r\nhello\r\n" + LAST


def _disagreeing():
    """Two framings in one request: CL.TE, TE.CL, CL.CL, TE.TE, CL.0, 0.CL."""
    inside = str(len(LAST + INSIDE)).encode()
    both = {
        "CL.TE": (b"Content-Length: " + inside, TE), "TE.CL": (TE, b"Content-Length: 4"), "TE.0": (TE, CL0), "0.TE": (CL0, TE),
        "CL.TE in capitals": (b"CONTENT-LENGTH: " + inside, b"TRANSFER-ENCODING: CHUNKED"),
        "CL.TE apart": (b"Content-Length: " + inside, b"X: y", TE),
    }
    for name, lines in both.items():
        yield bad(name, "cl+te", post(*lines, body=LAST + INSIDE))
    for first, second in ((0, 5), (5, 0), (5, 5), (0, 0), (5, 6), (0, len(INSIDE))):
        lines = [b"Content-Length: %d" % n for n in (first, second)]
        yield bad(f"CL.CL {first}, {second}", "cl twice", post(*lines, body=INSIDE))
        yield bad(f"CL.CL {first}, {second} in one line", "cl twice", post(b"Content-Length: %d, %d" % (first, second), body=INSIDE))
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH"):
        # CL.0: a server that thinks of a method as one without content answers what is inside.
        length = b"Content-Length: %d" % len(INSIDE)
        raw = get(length, start=method + b" / HTTP/1.1") + INSIDE
        yield good(f"CL.0 by {method.decode()}", "cl.0", raw, (method.decode(), "/", INSIDE))
        raw = get(TE, start=method + b" / HTTP/1.1") + b"%x\r\n%s\r\n%s" % (len(INSIDE), INSIDE, LAST)
        yield good(f"TE.0 by {method.decode()}", "cl.0", raw, (method.decode(), "/", INSIDE))
    for target in (b"/", b"/missing", b"/?x", b"/a/../b", b"http://x/", b"/favicon.ico"):
        raw = get(b"Content-Length: %d" % len(INSIDE), start=b"POST " + target + b" HTTP/1.1") + INSIDE
        yield good(f"CL.0 at {target.decode()}", "cl.0", raw, ("POST", target.decode(), INSIDE))
    for names in ((b"Expect: 100-continue",), (b"Connection: Content-Length",), (b"Connection: close, Content-Length",)):
        raw = post(*names, b"Content-Length: %d" % len(INSIDE), body=INSIDE)
        if b"close" in names[0]:
            continue
        # 0.CL: a body behind Expect or named as hop-by-hop is still a body.
        yield good(f"0.CL with {names[0].decode()}", "0.cl", raw, ("POST", "/", INSIDE))
    yield good("TE named by Connection", "0.cl", post(b"Connection: Transfer-Encoding", TE, body=CHUNKS), ("POST", "/", b"hello"))


def _expectations():
    for value in (b"100-continue, 100-continue", b" 100-continue ", b"100-Continue", b",100-continue", b"100-continue,"):
        yield good(f"Expect {value!r}", "expect", post(b"Expect: " + value, CL5), ("POST", "/", b"hello"))
    for value in (b"y 100-continue", b"100-continue x", b"100", b"200-ok", b"100-continue;a=b", b"x", b"100-continue, x", b"100\xadcontinue"):
        yield bad(f"Expect {value!r}", "expect", post(b"Expect: " + value, CL5), 417)
        yield bad(f"Expect {value!r} without a body", "expect", get(b"Expect: " + value), 417)
    yield bad("Expect folded", "expect", post(b"Expect:\r\n 100-continue", CL5))
    yield bad("Expect with space before the colon", "expect", post(b"Expect : 100-continue", CL5))
    yield good("Expect on GET", "expect", get(b"Expect: 100-continue"), "GET")
    yield good("Expect with length 0", "expect", post(b"Expect: 100-continue", CL0, body=b""), "POST")
    yield good("two Expect fields", "expect", post(b"Expect: 100-continue", b"Expect: 100-continue", CL5), ("POST", "/", b"hello"))
    yield bad("Expect and a bad length", "expect", post(b"Expect: 100-continue", b"Content-Length: +5"))
    yield bad("Expect and both framings", "expect", post(b"Expect: 100-continue", CL5, TE))
    yield bad("an unknown Expect and a bad length", "expect", post(b"Expect: x", b"Content-Length: 5,5"))


def _codings():
    """Transfer-Encoding as it is obfuscated so that one of two parsers misses it."""
    marks = [bytes([c]) for c in b"\x00\x01\x08\x0b\x0c\x0e\x1b\x1f\x7f\x80\x85\xa0\xad\xff;:,\"'()/<=>?@[]\\{}#%&*+-.^_`|~$!"]
    taken = ("POST", "/", b"hello")
    for mark in marks:
        for place, value in (("before", mark + b"chunked"), ("behind", b"chunked" + mark), ("inside", b"chun" + mark + b"ked"), ("instead", mark)):
            yield bad(f"coding: {mark!r} {place}", "te", post(b"Transfer-Encoding: " + value, body=CHUNKS), 400, 501)
            yield bad(f"coding: {mark!r} {place}, with length", "te", post(b"Transfer-Encoding: " + value, CL5, body=CHUNKS))
    for value in (b"chunked", b"Chunked", b"CHUNKED", b"cHuNkEd", b"\tchunked", b"  chunked", b"chunked\t", b"chunked  ", b" \t chunked \t "):
        yield good(f"coding: {value!r}", "te", post(b"Transfer-Encoding: " + value, body=CHUNKS), taken)
        yield good(f"coding: {value!r} without a space", "te", post(b"Transfer-Encoding:" + value, body=CHUNKS), taken)
        yield bad(f"coding: {value!r} in HTTP/1.0", "te 1.0", post(b"Transfer-Encoding: " + value, body=CHUNKS, version=b"1.0"))
    for value in (b"identity", b"gzip", b"x", b"deflate", b"chunked-false", b"xchunked", b"chunkedx", b"chunked chunked", b"chunked,chunked",
                  b"chunked, identity", b"identity, chunked, identity", b",chunked", b"chunked,", b",", b",,chunked", b"chunked;q=1",
                  b"chunked ;q=1", b"chunked; ", b"gzip;a=b, chunked", b'"chunked"', b"", b"chunked, , gzip", b"trailers, chunked, x"):
        yield bad(f"coding: {value!r}", "te", post(b"Transfer-Encoding: " + value, body=CHUNKS))
    for value in (b"identity, chunked", b"gzip, chunked", b"gzip,chunked", b"x\t,\tchunked", b"a, b, chunked", b"chunked-false, chunked"):
        yield bad(f"coding: {value!r}", "te", post(b"Transfer-Encoding: " + value, body=CHUNKS), 501)
    names = [b"Transfer_Encoding", b"Transfer Encoding", b"TransferEncoding", b"Transfer-Encoding_", b"X-Transfer-Encoding", b"Transfer--Encoding",
             b"Transfer-Encodin", b"ransfer-Encoding", b"Transfer.Encoding", b"Transfer%2dEncoding", b"HTTP_TRANSFER_ENCODING"]
    for name in names:
        raw = post(name + b": chunked", CL5)
        if b" " in name:
            yield bad(f"coding named {name!r}", "te name", raw)
        else:
            yield good(f"coding named {name!r}", "te name", raw, ("POST", "/", b"hello"))
    for name in (b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"\tTransfer-Encoding", b"\x0bTransfer-Encoding", b"Transfer-Encoding\x0b",
                 b"Transfer-Encoding\0", b"\0Transfer-Encoding", b"Transfer\rEncoding", b"Transfer-Encoding\r", b"\rTransfer-Encoding", b"Transfer-Encoding\x85",
                 b"Transfer\xadEncoding", b"Transfer-Encoding\xa0", b"Trans\x00fer-Encoding", b"Transfer-Encoding:", b"\xef\xbb\xbfTransfer-Encoding",
                 b"Transfer\x0cEncoding", b"Transfer-Encoding\x1c", b"\"Transfer-Encoding\""):
        expected = (400, 501) if name.endswith(b":") else (400,)
        yield bad(f"coding named {name!r}", "te name", post(name + b": chunked", body=CHUNKS), *expected)
        yield bad(f"coding named {name!r}, with length", "te name", post(CL5, name + b": chunked", body=CHUNKS))
    lines = {
        "on the next line": b"Transfer-Encoding:\r\n chunked", "on the next line, by tab": b"Transfer-Encoding:\r\n\tchunked",
        "folded behind": b"Transfer-Encoding: chunked\r\n x", "folded behind another": b"X: y\r\n Transfer-Encoding: chunked",
        "behind a bare LF": b"X: y\nTransfer-Encoding: chunked", "behind a bare CR": b"X: y\rTransfer-Encoding: chunked",
        "behind LF CR": b"X: y\n\rTransfer-Encoding: chunked", "behind CR CR LF": b"X: y\r\r\nTransfer-Encoding: chunked",
        "before CR CR LF": b"Transfer-Encoding: chunked\r\r\nX: y", "before a bare LF": b"Transfer-Encoding: chunked\nX: y",
        "behind NUL LF": b"X: y\0\nTransfer-Encoding: chunked", "in quotes": b'X: "y\r\nTransfer-Encoding: chunked\r\nZ: "',
    }
    for name, line in lines.items():
        raw = post(line, CL5, body=CHUNKS)
        yield bad(f"coding {name}", "te line", raw)
    for first, second in ((b"chunked", b"chunked"), (b"chunked", b"identity"), (b"chunked", b"x"), (b"chunked", b""), (b"x", b"x"), (b"", b"chunked"), (b"chunked", b"chunked-false")):
        yield bad(f"codings {first!r} and {second!r}", "te twice", post(b"Transfer-Encoding: " + first, b"Transfer-Encoding: " + second, body=CHUNKS))
    for first in (b"identity", b"x", b"chunked-false"):
        yield bad(f"codings {first!r} and chunked", "te twice", post(b"Transfer-Encoding: " + first, TE, body=CHUNKS), 501)


def _lengths():
    for value in (b"05", b"005", b"0" * 30 + b"5", b" 5", b"5 ", b"\t5\t"):
        yield good(f"length {value!r}", "cl", post(b"Content-Length: " + value), ("POST", "/", b"hello"))
    for value in (b"+0", b"-0", b"-1", b"0x0", b"0x", b"00x5", b"0o5", b"5_0", b"5e0", b"5.", b".5", b"5;5", b"5:5", b"5/1", b"5%", b"%35", b"&#53;", b"five",
                  b"5\r5", b"5\n5", "５".encode(), "५".encode(), b"\xb2", b"(5)", b"5 # 6", b"5\x1c", b"\x1c5", b"5\x0c", b"5\xa0", b"5\xe2\x80\x89", b"5 0", b"5\t0",
                  b"chunked", b"null", b"Infinity", b"true", b"[5]", b"{5}", b"5L", b"5h", b"'5", b"5\x00\x00", b"0,5", b"5 ,5", b"5, ", b" , 5"):
        yield bad(f"length {value!r}", "cl", post(b"Content-Length: " + value))
        yield bad(f"length {value!r} on GET", "cl", get(b"Content-Length: " + value) + INSIDE)
    for power in (31, 32, 63, 64, 65, 128):
        for off in (-1, 0, 1, 5):
            value = (1 << power) + off
            yield bad(f"length 2^{power}{off:+}", "cl overflow", post(b"Content-Length: %d" % value), 413 if value < 1 << 64 else 400)
    for name in (b"Content-Length ", b" Content-Length", b"\tContent-Length", b"Content-Length\t", b"Content-Length\0", b"Content\rLength", b"Content Length",
                 b"\x0bContent-Length", b"Content-Length\x0b", b"\xef\xbb\xbfContent-Length", b"Content-Length\xa0", b"Content-Length\r"):
        yield bad(f"length named {name!r}", "cl name", post(name + b": %d" % len(INSIDE), body=INSIDE))
    for name in (b"Content_Length", b"ContentLength", b"X-Content-Length", b"Content-Lengths", b"Content--Length"):
        # Another name is another field: there is no body, so what follows is the next request.
        yield good(f"length named {name!r}", "cl name", get(name + b": 5"), "GET")
    for line in (b"Content-Length:\r\n 5", b"Content-Length: 5\r\n 5", b"Content-Length: \r\n\t5", b"X: y\r\n Content-Length: 5", b"X: y\nContent-Length: 5",
                 b"X: y\rContent-Length: 5", b"Content-Length: 5\nX: y", b"Content-Length: 5\r\r\nX: y", b"Content-Length: 5\r"):
        yield bad(f"length in {line!r}", "cl line", post(line))


def _chunk_tricks():
    """Chunked bodies that end elsewhere for a lenient parser: TERM.EXT, EXT.TERM, TERM.SPILL, SPILL.TERM and kin."""
    chunked = lambda body: post(TE, body=body)
    size = b"%x" % len(INSIDE)
    ends = {"LF": b"\n", "CR": b"\r", "CR CR LF": b"\r\r\n", "LF CR": b"\n\r", "LF LF": b"\n\n", "VT LF": b"\x0b\n", "NUL": b"\0", "space LF": b" \n", "CR space LF": b"\r \n",
            "nothing": b"", "X LF": b"X\n", "CR X": b"\rX", "XX": b"XX", "space CR LF": b" \r\n", "tab CR LF": b"\t\r\n", "CR LF space": b"\r\n "}
    for name, end in ends.items():
        if name not in ("CR LF space",):
            yield bad(f"{name} behind a chunk size", "chunk end", chunked(b"5" + end + b"hello\r\n" + LAST))
            yield bad(f"{name} behind an extension (TERM.EXT)", "chunk end", chunked(b"5;a" + end + b"hello\r\n" + LAST))
            yield bad(f"{name} in an extension (EXT.TERM)", "chunk end", chunked(b"5;" + end + size + b"\r\n" + INSIDE + b"\r\n" + LAST))
            yield bad(f"{name} behind a quoted extension", "chunk end", chunked(b'5;a="b"' + end + b"hello\r\n" + LAST))
            yield bad(f"{name} inside a quoted extension", "chunk end", chunked(b'5;a="b' + end + b'c"x\r\nhello\r\n' + LAST))
            yield bad(f"{name} behind the last size", "chunk end", chunked(b"0" + end + b"\r\n"))
        yield bad(f"{name} behind a chunk's data (SPILL)", "chunk end", chunked(b"5\r\nhello" + end + LAST))
        if name not in ("nothing", "CR LF space", "XX"):
            yield bad(f"{name} for the last line end", "chunk end", chunked(b"0\r\n" + end + b"Host: x\r\n\r\n"))
    sizes = [b"0x5", b"+5", b"-5", b" 5", b"5 ", b"\t5", b"5\t", b"5_0", b"0_5", b"5h", b"5L", b"5,5", b"5.0", b"5:5", b"5=5", b"", b"-0", b"+0", b"0x0", b"00x0", b"x5", b"#5",
             b"5\0", b"\0005", b"5 ;a", b"5\t;a", "５".encode(), b"\xb2", b"5;", b"5;;", b"5;;a", b"5;=", b"5;=b", b"5;a=", b"5;a==b", b"5;a=b=c", b"5;a b", b"5;a=b c", b"5;a=b ",
             b"5;a ", b'5;a="b', b'5;a="b"c', b'5;a=b"c"', b'5;"a"=b', b'5;"a"', b"5;a,b", b"5;a;", b"5;a=b;", b"5; ", b"5;\x80", b"5;a=\x80", b"5;a=\x00", b"5;\x0b", b"5;a(b)", b"5;a:b",
             b"5;a/b", b"5;a=[b]", b"5;a={b}", b"5;a@b", b"00000000000000005", b"100000000000000005", b"10000000000000005", b"FFFFFFFFFFFFFFFFF"]
    for value in sizes:
        yield bad(f"chunk size {value!r}", "chunk size", chunked(value + b"\r\nhello\r\n" + LAST))
    for value in (b"FFFFFFFF", b"7FFFFFFF", b"80000000", b"100000000", b"100000005", b"7FFFFFFFFFFFFFFF", b"8000000000000000", b"FFFFFFFFFFFFFFFF", b"FFFFFFFFFFFFFFFB", b"FFFFFFFFFFFFFFED"):
        yield bad(f"chunk size {value!r}", "chunk overflow", chunked(value + b"\r\nhello\r\n" + LAST), 413)
        yield bad(f"chunk size {value!r} behind another", "chunk overflow", chunked(b"5\r\nhello\r\n" + value + b"\r\nhello\r\n" + LAST), 413)
    for value in (b"05", b"0005", b"0000000000000005", b"5;a", b"5;a=b", b'5;a="b"', b"5;a=b;c", b"5; a = b", b"5;a ;b", b'5;a="\\""', b'5;a=""', b'5;a=";x=y"', b"5;a=b ;c=d", b"5;!#$%&'*+-.^_`|~"):
        yield good(f"chunk size {value!r}", "chunk size", chunked(value + b"\r\nhello\r\n" + LAST), ("POST", "/", b"hello"))
    trailers = [b" X: y", b"\tX: y", b"X : y", b"X", b": y", b"X: a\0", b"X: a\rb", b"X: a\nY: b", b"X: a\r\n b", b"X\0: y", b"X: \x7f", b"\x80: y", b"X Y: z", b"\0", b"GET /inside HTTP/1.1"]
    for line in trailers:
        yield bad(f"trailer {line!r}", "trailer", chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"))
    for line in (b"X: y", b"X:", b"Content-Length: 70", b"Transfer-Encoding: chunked", b"Host: evil", b"Content-Length: 5\r\nContent-Length: 6", b"Connection: close", b"Trailer: x", b"X: \xff", b"Expect: x"):
        # Trailers are checked and merged nowhere.
        yield good(f"trailer {line!r}", "trailer", chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"), ("POST", "/", b"hello"))
    yield good("a request inside a chunk", "chunk", chunked(size + b"\r\n" + INSIDE + b"\r\n" + LAST), ("POST", "/", INSIDE))
    yield good("a last chunk inside a chunk", "chunk", chunked(b"5\r\n" + LAST + b"\r\n" + LAST), ("POST", "/", LAST))
    yield good("a request inside a quoted extension", "chunk", chunked(b'5;a="GET /inside HTTP/1.1"\r\nhello\r\n' + LAST), ("POST", "/", b"hello"))
    yield bad("a chunk one byte short", "chunk", chunked(b"4\r\nhello\r\n" + LAST))
    yield bad("a chunk one byte long", "chunk", chunked(b"6\r\nhello\r\n" + LAST))
    yield bad("an empty line behind a chunk", "chunk", chunked(b"5\r\nhello\r\n\r\n" + LAST))
    yield bad("an empty line before the first size", "chunk", chunked(b"\r\n5\r\nhello\r\n" + LAST))


def _advisories():
    """What other servers got wrong. The advisory is the name."""
    two = lambda a, b: post(a, b, body=LAST + INSIDE)
    te = lambda value, *more: post(b"Transfer-Encoding: " + value, *more, body=LAST + INSIDE)
    cl = lambda value: post(b"Content-Length: " + value, body=INSIDE)
    chunked = lambda body: post(TE, body=body)
    table = {
        "CVE-2005-2088 Apache: length beside coding": two(b"Content-Length: 5", TE),
        "CVE-2013-4547 nginx: space and NUL in the target": get(start=b"GET /a \0b HTTP/1.1"),
        "CVE-2015-3183 Apache: lax chunk sizes": chunked(b" 5 \r\nhello\r\n" + LAST),
        "CVE-2016-8743 Apache: white space in the request line": get(start=b"GET\x0b/\x0bHTTP/1.1"),
        "CVE-2017-7656 Jetty: HTTP/0.9": get(start=b"GET /"),
        "CVE-2017-7658 Jetty: two lengths": two(b"Content-Length: 0", b"Content-Length: 5"),
        "CVE-2019-16276 Go: space before the colon": post(b"Transfer-Encoding : chunked", b"Content-Length: 5", body=LAST + INSIDE),
        "CVE-2019-16785 Waitress: bare LF in a head": post(b"X: y\nTransfer-Encoding: chunked", body=LAST + INSIDE),
        "CVE-2019-16789 Waitress: VT before the coding": te(b"\x0bchunked", CL0),
        "CVE-2019-16792 Waitress: two lengths": two(CL0, b"Content-Length: 5"),
        "CVE-2019-16869 Netty: space before the colon": post(b"Transfer-Encoding : chunked", CL0, body=LAST + INSIDE),
        "CVE-2019-18277 HAProxy: VT before the coding": te(b"\x0bchunked", b"Content-Length: 5"),
        "CVE-2019-20444 Netty: a field without a colon": post(b"NoColon", CL0, body=b""),
        "CVE-2019-20445 Netty: length beside coding": two(TE, b"Content-Length: 5"),
        "CVE-2019-15605 node: malformed coding": te(b"chunked\x0b", CL0),
        "CVE-2020-8201 node: CR for a hyphen": post(b"Content\rLength: 5", b"X: y", body=INSIDE),
        "CVE-2020-8287 node: the coding twice": post(TE, b"Transfer-Encoding: chunked-false", body=LAST + INSIDE),
        "CVE-2020-10108 Twisted: two lengths": two(b"Content-Length: 5", CL0),
        "CVE-2020-10109 Twisted: length beside coding": two(b"Content-Length: 5", TE),
        "CVE-2020-25613 WEBrick: coding by a loose pattern": te(b"xchunkedx", b"Content-Length: 5"),
        "CVE-2020-35884 tiny_http: space before the colon": post(b"Transfer-Encoding : chunked", body=LAST + INSIDE),
        "CVE-2021-21299 hyper: the coding in several fields": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow", body=LAST + INSIDE),
        "CVE-2021-22959 llhttp: space before the colon": post(b"Content-Length : 5", body=INSIDE),
        "CVE-2021-22960 llhttp: LF in a chunk extension": chunked(b"5;\nhello\r\n" + LAST),
        "CVE-2021-32715 hyper: plus sign": cl(b"+5"),
        "CVE-2021-33037 Tomcat: identity beside length": post(b"Transfer-Encoding: identity", b"Content-Length: 5", body=INSIDE),
        "CVE-2021-38512 actix-http: length beside coding": two(TE, CL0),
        "CVE-2021-41136 puma: LF ends a field": get(b"X: a\nY: b"),
        "CVE-2022-1705 Go: invalid coding": te(b"\"chunked\"", b"Content-Length: 5"),
        "CVE-2022-22720 Apache: broken body, then a request": chunked(b"Z\r\n" + INSIDE),
        "CVE-2022-24761 Waitress: int() of a size": chunked(b"0x5\r\nhello\r\n" + LAST),
        "CVE-2022-24761 Waitress: int() of a length": cl(b"+5"),
        "CVE-2022-24790 puma: chunked not last": te(b"chunked, identity"),
        "CVE-2022-24801 Twisted: sign in the length": cl(b"-5"),
        "CVE-2022-24801 Twisted: white space in the size": chunked(b"5 \r\nhello\r\n" + LAST),
        "CVE-2022-32213 llhttp: chunked not last": te(b"chunked, x"),
        "CVE-2022-32214 llhttp: LF as a delimiter": get(b"X: y\nContent-Length: 5"),
        "CVE-2022-32215 llhttp: folded coding": post(b"Transfer-Encoding: chunked\r\n , identity", body=LAST + INSIDE),
        "CVE-2022-35256 llhttp: a field not ended by CRLF": get(b"Transfer-Encoding: x\rContent-Length: 5"),
        "CVE-2022-42252 Tomcat: invalid length": cl(b"5x"),
        "CVE-2023-25725 HAProxy: empty field name": post(b": x", b"Content-Length: 5", body=INSIDE),
        "CVE-2023-30589 llhttp: CR without LF": get(b"X: y\rContent-Length: 5"),
        "CVE-2023-40167 Jetty: plus sign": cl(b"+5"),
        "CVE-2023-40175 puma: empty length": cl(b""),
        "CVE-2023-40225 HAProxy: empty length": cl(b" "),
        "CVE-2023-45539 HAProxy: fragment in the target": get(start=b"GET /a#b HTTP/1.1"),
        "CVE-2023-45648 Tomcat: invalid trailer": chunked(b"5\r\nhello\r\n0\r\nX\x00: y\r\n\r\n"),
        "CVE-2023-46846 Squid: lax chunks": chunked(b"5\r\nhello\n" + LAST),
        "CVE-2023-47627 aiohttp: plus sign": cl(b"+5"),
        "CVE-2023-47627 aiohttp: underscores": cl(b"1_0"),
        "CVE-2024-1135 gunicorn: coding not validated": te(b"chunked,identity", b"Content-Length: 5"),
        "CVE-2024-6827 gunicorn: coding ignored": te(b"gzip", b"Content-Length: 5"),
        "CVE-2024-23829 aiohttp: lax separators": get(start=b"GET / HTTP/1.1\x0b"),
        "CVE-2024-27982 node: space before the length": get(b" Content-Length: 5"),
        "CVE-2024-47220 WEBrick: length beside coding": two(b"Content-Length: 5", TE),
        "CVE-2024-52304 aiohttp: line end in an extension": chunked(b"5;a\nb\r\nhello\r\n" + LAST),
        "CVE-2025-22871 Go: bare LF behind a size": chunked(b"5\nhello\r\n" + LAST),
        "CVE-2025-23167 node: CR LF CR X ends a head": b"GET / HTTP/1.1\r\nHost: x\r\n\rX" + INSIDE,
        "CVE-2025-43859 h11: any two bytes behind a chunk": chunked(b"5\r\nhelloXX" + LAST),
        "CVE-2025-53643 aiohttp: trailers not parsed": chunked(b"5\r\nhello\r\n0\r\nGET /inside HTTP/1.1\r\n\r\n"),
        "CVE-2025-55315 Kestrel: line end in an extension": chunked(b"5;\rx\nhello\r\n" + LAST),
        "CVE-2025-58056 Netty: bare LF in an extension": chunked(b"5;a=b\n" + LAST + INSIDE),
        "GHSA-qppv-j76h-2rpx Tornado: int() of a length": cl(b"1_0"),
        "GHSA-753j-mpmx-qq6g Tornado: coding by its last word": te(b"identity chunked"),
        "GHSA-753j-mpmx-qq6g Tornado: plus sign in a size": chunked(b"+5\r\nhello\r\n" + LAST),
    }
    for name, raw in table.items():
        yield bad(name, "advisory", raw)
    yield bad("CVE-2013-2028 nginx: chunk size over 2^63", "advisory", chunked(b"FFFFFFFFFFFFFFED\r\nhello\r\n" + LAST), 413)
    yield bad("CVE-2017-7657 Jetty: chunk size over 2^64", "advisory", chunked(b"10000000000000005\r\nhello\r\n" + LAST))
    yield bad("CVE-2021-32714 hyper: chunk size over 2^64", "advisory", chunked(b"f0000000000000005\r\nhello\r\n" + LAST))
    yield bad("CVE-2019-16786 Waitress: gzip before chunked", "advisory", te(b"gzip, chunked"), 501)
    yield bad("CVE-2024-22019 node: extensions without end", "advisory", chunked(b"5;" + b"a" * 100_000 + b"\r\nhello\r\n" + LAST))
    yield bad("CVE-2023-39326 Go: small chunks with large extensions", "advisory", chunked((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 10 + LAST))
    yield bad("CVE-2024-21647 puma: extensions without bound", "advisory", chunked((b"1;a=b\r\nx\r\n") * 3000 + LAST))
    yield bad("CVE-2023-46589 Tomcat: trailers over the limit", "advisory", chunked(b"0\r\nX: " + b"a" * 10_000 + b"\r\n\r\n"), 431)
    yield good("CVE-2021-40346 HAProxy: a name of 270 bytes", "advisory", get(b"Content-Length0" + b"a" * 255 + b":"), "GET")
    yield good("CVE-2017-7668 Apache: a token list that ends in a comma", "advisory", get(b"Connection: keep-alive,"), "GET")
    yield good("CVE-2025-12642 lighttpd: trailers merged into the fields", "advisory", chunked(b"0\r\nContent-Length: 70\r\nHost: evil\r\n\r\n"), "POST")
    yield good("CVE-2025-58068 Eventlet: trailers read as a request", "advisory", chunked(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"), ("POST", "/", b"hello"))
    yield good("CVE-2019-15606 node: white space behind a value", "advisory", get(b"X: y \t "), "GET")


def cases():
    for family in (_disagreeing, _expectations, _codings, _lengths, _chunk_tricks, _advisories):
        yield from family()
