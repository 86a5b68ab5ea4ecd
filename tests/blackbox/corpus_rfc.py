"""Every MUST and SHOULD of RFC 9112 and RFC 9110 that binds an origin server, and what shows that it is kept.

A requirement is proved by cases, by a named test elsewhere, or it does not apply and says why. Those of caching
(RFC 9111), of clients, of user agents and of intermediaries alone are not listed.
"""

from dataclasses import dataclass

from bad_requests import get, post
from corpus_model import INSIDE, bad, good

TE, LAST = b"Transfer-Encoding: chunked", b"0\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n" + LAST
HELLO = ("POST", "/", b"hello")


@dataclass(frozen=True)
class Requirement:
    """One sentence of an RFC, in our words."""

    section: str
    level: str
    text: str
    cases: tuple = ()
    # "file::name" of a test.
    tests: tuple = ()
    not_applicable: str = ""


def must(section, text, *cases, tests=(), why=""):
    return _requirement("MUST", section, text, cases, tests, why)


def should(section, text, *cases, tests=(), why=""):
    return _requirement("SHOULD", section, text, cases, tests, why)


def _requirement(level, section, text, cases, tests, why):
    tests = (tests,) if isinstance(tests, str) else tests
    made = [make(f"RFC {section}: {text}{f' ({n})' if n else ''}", f"RFC {section}") for n, make in enumerate(cases)]
    return Requirement(section, level, text, tuple(made), tests, why)


def takes(raw, *requests):
    return lambda name, group: good(name, group, raw, *requests)


def refuses(raw, *statuses, taken=()):
    return lambda name, group: bad(name, group, raw, *statuses, taken=taken)


def start(line, *lines):
    return get(*lines, start=line)


HTTP, SEM, FILES, LIMITS = "test_http.py::", "test_semantics.py::", "test_files.py::", "test_limits.py::"
WHY_PROXY = "binds a proxy or gateway; this is an origin server"
WHY_CODING = "no transfer coding but chunked is implemented, and none is ever applied twice"

MESSAGE = [
    must("9112 2.2", "a message is parsed as octets of a superset of US-ASCII", takes(get(b"X: \xff\x80\xe2\x82\xac"), "GET")),
    must("9112 2.2", "CR without LF is invalid or replaced by SP", refuses(get(b"X: a\rb")), refuses(start(b"GET /\r HTTP/1.1")), refuses(get(b"X\r: y")), refuses(post(TE, body=b"5\r" + CHUNKS))),
    must("9112 2.2", "white space between start-line and first field is rejected or ignored", refuses(b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"), refuses(b"GET / HTTP/1.1\r\n \r\nHost: x\r\n\r\n"), refuses(b"GET / HTTP/1.1\r\n\tX: y\r\nHost: x\r\n\r\n")),
    should("9112 2.2", "at least one empty line before a request is ignored", takes(b"\r\n" + get(), "GET"), takes(get() + b"\r\n" + get(), "GET", "GET")),
    must("9112 2.2", "what is no HTTP message is answered 400 and closed", refuses(b"hello\r\n\r\n"), refuses(b"\x16\x03\x01\x02\x00\x01\r\n"), refuses(b"SSH-2.0-x\r\n\r\n"), refuses(b"GET\r\n\r\n")),
    must("9112 2.2", "no extra CRLF is sent around an answer", tests=HTTP + "test_pipelined_requests_are_answered_in_order"),
    must("9112 2.3", "the version is HTTP, slash, digit, dot, digit, in capitals", refuses(start(b"GET / http/1.1")), refuses(start(b"GET / HTTP/1.1.1")), refuses(start(b"GET / HTTP/01.1")), refuses(start(b"GET / HTTP/1"))),
    must("9112 2.3", "an answer is of a version that the server conforms to, also to HTTP/1.0", takes(get(b"Connection: keep-alive", start=b"GET / HTTP/1.0", host=None), "GET")),
    should("9112 2.3", "another major version is answered 505", refuses(start(b"GET / HTTP/2.0"), 505), refuses(start(b"GET / HTTP/0.9"), 505), refuses(start(b"GET / HTTP/3.0"), 505)),
]
REQUEST_LINE = [
    should("9112 3", "at least 8000 bytes of request line are taken", takes(start(b"GET /" + b"a" * 7980 + b" HTTP/1.1"), ("GET", "/" + "a" * 7980, b""))),
    must("9112 3", "the parts are parted by single SP, or leniently by white space", refuses(start(b"GET  / HTTP/1.1")), refuses(start(b"GET\t/ HTTP/1.1")), refuses(start(b"GET /  HTTP/1.1")), refuses(start(b"GET / HTTP/1.1 "))),
    should("9112 3", "an invalid request line is answered 400", refuses(start(b"GET /a b HTTP/1.1")), refuses(start(b"GET")), refuses(start(b"GET /")), refuses(start(b" GET / HTTP/1.1"))),
    should("9112 3", "a method that is too long for any known is answered 501", refuses(start(b"g" * 3000 + b" / HTTP/1.1"), 501)),
    must("9112 3", "a target that is too long is answered 414", refuses(start(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414)),
    should("9112 3.2", "a target with white space is not repaired", refuses(start(b"GET /a b c HTTP/1.1")), refuses(start(b"GET /a\tb HTTP/1.1"))),
    must("9112 3.2", "no Host in HTTP/1.1 is answered 400", refuses(get(host=None)), refuses(start(b"GET http://x/ HTTP/1.1").replace(b"Host: x\r\n", b""))),
    must("9112 3.2", "more than one Host line is answered 400", refuses(get(b"Host: x")), refuses(get(b"Host: y")), refuses(get(b"hOST: y", start=b"GET / HTTP/1.0"))),
    must("9112 3.2", "an invalid Host is answered 400", refuses(get(host=b"Host: a b")), refuses(get(host=b"Host: a/b")), refuses(get(host=b"Host: u@h")), refuses(get(host=b"Host: x, y")), refuses(get(host=b"Host:"))),
    must("9112 3.2.1", "origin-form is taken, an empty path as /", takes(start(b"GET /a?b HTTP/1.1"), ("GET", "/a?b", b"")), refuses(start(b"GET a HTTP/1.1")), refuses(start(b"GET ?a HTTP/1.1"))),
    must("9112 3.2.2", "absolute-form is taken, though no proxy asked", takes(start(b"GET http://x/a HTTP/1.1"), ("GET", "http://x/a", b"")), takes(start(b"GET HTTP://x HTTP/1.1"), ("GET", "HTTP://x", b"")), takes(start(b"OPTIONS http://x HTTP/1.1"), ("OPTIONS", "http://x", b""))),
    must("9112 3.2.2", "Host is ignored beside absolute-form, the target's authority counts", takes(start(b"GET http://y/ HTTP/1.1"), ("GET", "http://y/", b"")), tests="src/proto/http1/head/tests/line.rs::the_authority_of_an_absolute_target_replaces_host"),
    must("9112 3.2.3", "authority-form is for CONNECT alone", refuses(start(b"GET x:80 HTTP/1.1")), refuses(start(b"CONNECT / HTTP/1.1")), refuses(start(b"CONNECT x HTTP/1.1")), refuses(start(b"CONNECT x:80 HTTP/1.1"), 501)),
    must("9112 3.2.4", "asterisk-form is for OPTIONS alone", takes(start(b"OPTIONS * HTTP/1.1"), ("OPTIONS", "*", b"")), refuses(start(b"GET * HTTP/1.1")), refuses(start(b"OPTIONS ** HTTP/1.1"))),
    must("9112 3.3", "a fragment is no part of a target", refuses(start(b"GET /a#b HTTP/1.1")), refuses(start(b"GET http://x/#b HTTP/1.1"))),
]
FIELDS = [
    must("9112 5.1", "space between name and colon is answered 400", refuses(get(b"X : y")), refuses(get(b"X\t: y")), refuses(post(b"Content-Length : 5")), refuses(get(host=b"Host : x"))),
    must("9112 5.1", "white space around a value is no part of it", takes(post(b"Content-Length: \t 5 \t "), HELLO), takes(get(host=b"Host:x"), "GET")),
    must("9112 5.2", "obs-fold is answered 400 or replaced by SP", refuses(get(b"X: y\r\n z")), refuses(get(b"X: y\r\n\tz")), refuses(get(b"X:\r\n y")), refuses(get(host=b"Host:\r\n x")), refuses(get(host=b"Host: x\r\n y"))),
    should("9110 5.5", "field values with CR, LF or NUL are rejected", refuses(get(b"X: a\0b")), refuses(get(b"X: \0")), refuses(get(b"X: a\nb"))),
    must("9110 5.1", "names are tokens and compare without case", refuses(get(b"X@Y: z")), refuses(get(b"(X): z")), takes(post(b"cONTENT-lENGTH: 5"), HELLO)),
    must("9110 5.1", "unknown fields are ignored", takes(get(b"Never-Heard-Of: y"), "GET")),
    must("9110 5.3", "a repeated singleton field is not combined", refuses(post(b"Content-Length: 5", b"Content-Length: 5"))),
    must("9110 5.4", "over-long fields are answered 4xx, never dropped", refuses(get(b"X: " + b"a" * 20_000), 431), refuses(get(*[b"X%d: y" % n for n in range(120)]), 431)),
    must("9110 5.6.1", "empty list members are ignored, a reasonable number of them", takes(get(b"Connection: ,,keep-alive,, ,"), "GET"), takes(post(b"Expect: ,100-continue,", b"Content-Length: 5"), HELLO)),
    must("9110 5.6.3", "bad white space is parsed and removed", takes(post(TE, body=b"5; a = b\r\nhello\r\n" + LAST), HELLO)),
    must("9110 5.6.7", "all three forms of a date are parsed", tests=FILES + "test_conditions"),
    must("9110 5.6.7", "a date is sent as IMF-fixdate", tests=HTTP + "test_date_is_now_and_server_has_no_version"),
]
BODIES = [
    must("9112 6.1", "chunked is implemented", takes(post(TE, body=CHUNKS), HELLO), takes(post(TE, body=LAST), "POST"), takes(post(b"transfer-encoding:CHUNKED", body=CHUNKS), HELLO)),
    must("9112 6.1", "chunked is applied once", refuses(post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS))),
    should("9112 6.1", "an unknown coding is answered 501", refuses(post(b"Transfer-Encoding: cow, chunked", body=CHUNKS), 501)),
    must("9112 6.1", "Transfer-Encoding in HTTP/1.0 is faulty framing, and the connection closes", refuses(post(TE, body=CHUNKS, version=b"1.0"))),
    must("9112 6.1", "Transfer-Encoding overrides Content-Length or both are rejected; either way it closes", refuses(post(TE, b"Content-Length: 5", body=CHUNKS)), refuses(post(b"Content-Length: 5", TE, body=CHUNKS))),
    must("9112 6.1", "no Transfer-Encoding in a 1xx, 204 or an answer to HTTP/1.0", tests=(HTTP + "test_a_status_without_content_never_has_a_body", SEM + "test_http_1_0_never_gets_a_transfer_coding")),
    must("9112 6.2", "a valid length announces the body", takes(post(b"Content-Length: 5"), HELLO), takes(post(b"Content-Length: 0", body=b""), "POST")),
    must("9112 6.3", "the final coding is chunked, or the answer is 400 and a close", refuses(post(b"Transfer-Encoding: chunked, gzip", body=CHUNKS)), refuses(post(b"Transfer-Encoding: gzip", body=CHUNKS))),
    must("9112 6.3", "an invalid length is an unrecoverable error: 400 and close", refuses(post(b"Content-Length: x")), refuses(post(b"Content-Length: -5")), refuses(post(b"Content-Length: 5, 6"))),
    must("9112 6.3", "without framing there is no body", takes(get(start=b"POST / HTTP/1.1") + get(), "POST", "GET"), refuses(get(start=b"POST / HTTP/1.1") + b"hello", 501, taken=[("POST", "/", b"")])),
    should("9112 6.3", "a method that cannot have a body is judged by its framing all the same", takes(get(b"Content-Length: %d" % len(INSIDE)) + INSIDE, ("GET", "/", INSIDE))),
    must("9112 7.1", "chunk sizes are hexadecimal, and too large ones are handled", refuses(post(TE, body=b"g\r\n")), refuses(post(TE, body=b"FFFFFFFFFFFFFFFF\r\n"), 413), refuses(post(TE, body=b"10000000000000000\r\n"))),
    must("9112 7.1.1", "unknown chunk extensions are ignored", takes(post(TE, body=b'5;a;b=c;d="e"\r\nhello\r\n0;f\r\n\r\n'), HELLO)),
    should("9112 7.1.1", "the length of chunk extensions is bounded, with a 4xx", refuses(post(TE, body=b"5;" + b"a" * 9000 + b"\r\nhello\r\n" + LAST))),
    must("9110 6.5.1", "trailers are merged only where their definition permits; we merge none", takes(post(TE, body=b"5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: y\r\nTransfer-Encoding: x\r\n\r\n"), HELLO)),
    must("9112 7.4", "TE is not needed to send chunked, and unknown TE values are ignored", takes(get(b"TE: trailers, cow;q=0.5", b"Connection: TE"), "GET")),
    must("9112 7.2", "transfer codings compress and gzip", why=WHY_CODING),
    must("9112 8", "an incomplete request is answered with an error before the close", tests=HTTP + "test_a_chunked_body_cut_by_our_fin_is_no_whole_request"),
]
CONNECTIONS = [
    must("9112 9.3", "close ends the connection behind its answer", takes(get(b"Connection: x, y"), "GET"), tests=HTTP + "test_close_is_honoured_and_nothing_behind_it_is_answered"),
    must("9112 9.3", "HTTP/1.1 persists by default, HTTP/1.0 by keep-alive alone", takes(get() * 3, "GET", "GET", "GET"), tests=HTTP + "test_http_1_0_is_kept_when_it_asks_and_told_so"),
    must("9112 9.3", "the whole body is read, or the connection closed", takes(post(b"Content-Length: %d" % len(INSIDE), body=INSIDE), ("POST", "/", INSIDE)), tests=SEM + "test_an_early_answer_is_read_while_the_body_still_arrives"),
    must("9112 9.3.2", "pipelined requests are answered in order", tests=HTTP + "test_pipelined_requests_are_answered_in_order"),
    should("9112 9.5", "an idle connection is closed by a FIN", tests=LIMITS + "test_an_idle_connection_is_closed_in_time"),
    must("9112 9.6", "close is sent with the last answer", tests=HTTP + "test_close_is_honoured_and_nothing_behind_it_is_answered"),
    must("9112 9.6", "no request behind close is processed", tests=HTTP + "test_close_is_honoured_and_nothing_behind_it_is_answered"),
    must("9112 9.6", "the end lingers, so that the last answer is not lost to a reset", tests=HTTP + "test_the_answer_is_seen_by_a_client_that_goes_on_sending"),
    must("9110 7.6.1", "Connection's options are no fields to be acted on without knowing them", takes(get(b"Connection: Host, X", b"X: y"), "GET"), takes(post(b"Connection: Content-Length", b"Content-Length: 5"), HELLO)),
    must("9110 7.6.2", "Max-Forwards is ignored but for OPTIONS and TRACE of a proxy", takes(get(b"Max-Forwards: 0"), "GET")),
    must("9110 7.8", "Upgrade is ignored in HTTP/1.0 and without Connection: upgrade", takes(get(b"Upgrade: websocket"), "GET"), takes(get(b"Upgrade: h2c", b"Connection: upgrade, keep-alive", start=b"GET / HTTP/1.0"), "GET")),
    must("9110 7.8", "a server does not switch to what was not asked for, and may ignore Upgrade", takes(get(b"Upgrade: h2c", b"Connection: upgrade"), "GET"), tests=SEM + "test_an_upgrade_that_is_not_supported_is_ignored"),
    must("9110 7.3", "Via, forwarding, loops and transformations", why=WHY_PROXY),
    must("9110 7.4", "a misdirected request is rejected", why="without virtual hosts every host is served; with them the routes decide"),
]
METHODS = [
    must("9110 9.1", "GET and HEAD are supported; methods are case-sensitive", takes(get() + get(start=b"HEAD / HTTP/1.1"), "GET", "HEAD"), refuses(start(b"get / HTTP/1.1"), 501), refuses(start(b"Head / HTTP/1.1"), 501)),
    should("9110 9.1", "an unknown method is answered 501, one not allowed 405", tests=FILES + "test_other_methods_are_405_and_told_what_is_allowed"),
    must("9110 9.3.2", "an answer to HEAD has no body", takes(get(start=b"HEAD / HTTP/1.1") * 2, "HEAD", "HEAD"), tests=HTTP + "test_head_gives_the_fields_of_get_and_no_body"),
    must("9110 9.3.6", "CONNECT without a port is answered 400; one that is not supported 501", refuses(start(b"CONNECT x HTTP/1.1")), refuses(start(b"CONNECT x: HTTP/1.1")), refuses(start(b"CONNECT x:0 HTTP/1.1")), refuses(start(b"CONNECT x:443 HTTP/1.1"), 501)),
    must("9110 9.3.7", "OPTIONS * is about the server", takes(start(b"OPTIONS * HTTP/1.1"), ("OPTIONS", "*", b""))),
    must("9110 9.3.8", "TRACE is not supported: it would reflect credentials", refuses(start(b"TRACE / HTTP/1.1"), 501, 405), refuses(start(b"TRACE / HTTP/1.1", b"Max-Forwards: 0"), 501, 405)),
    must("9110 15.5.6", "a 405 has Allow", tests=FILES + "test_other_methods_are_405_and_told_what_is_allowed"),
]
EXPECT = [
    must("9110 10.1.1", "an unknown expectation may be answered 417", refuses(post(b"Expect: tea", b"Content-Length: 5"), 417)),
    must("9110 10.1.1", "100-continue in HTTP/1.0 is ignored", tests=HTTP + "test_expect_100_continue_in_http_1_0_is_ignored"),
    must("9110 10.1.1", "100 comes before the body is asked for, and a final answer after it", takes(post(b"Expect: 100-continue", b"Content-Length: 5"), HELLO), tests=HTTP + "test_expect_100_continue_comes_before_the_body_is_sent"),
    must("9110 10.1.1", "no 100 is sent when the final answer closes instead", tests=HTTP + "test_no_100_continue_before_a_413"),
    must("9110 10.1.1", "no 100 without a body", tests=SEM + "test_expect_on_a_request_without_a_body_gets_no_interim_answer"),
    must("9110 15.2", "no 1xx goes to HTTP/1.0", tests=HTTP + "test_expect_100_continue_in_http_1_0_is_ignored"),
]
ANSWERS = [
    must("9110 6.6.1", "Date is sent with each 2xx, 3xx and 4xx by a server with a clock", tests=HTTP + "test_date_is_now_and_server_has_no_version"),
    must("9110 8.6", "no Content-Length in 1xx and 204", tests=HTTP + "test_a_status_without_content_never_has_a_body"),
    must("9110 8.6", "Content-Length of HEAD is that of GET", tests=HTTP + "test_head_gives_the_fields_of_get_and_no_body"),
    should("9110 10.2.4", "Server does not tell versions", tests=HTTP + "test_date_is_now_and_server_has_no_version"),
    must("9110 13.2.2", "preconditions are judged in the RFC's order", tests=FILES + "test_conditions"),
    must("9110 14.2", "Range is ignored for methods other than GET", tests=FILES + "test_head_ignores_ranges"),
    must("9110 15.5.14", "413 may close the connection", refuses(post(b"Content-Length: 9999999", body=bytes(100)), 413)),
    must("9110 15.5.15", "414 for long targets", refuses(start(b"HEAD /" + b"a" * 9000 + b" HTTP/1.1"), 414)),
    must("9110 15.4.5", "304 has no body", tests=HTTP + "test_a_status_without_content_never_has_a_body"),
    must("9110 11", "authentication schemes", why="tested with the feature itself, in the service's own tests"),
]
REQUIREMENTS = [*MESSAGE, *REQUEST_LINE, *FIELDS, *BODIES, *CONNECTIONS, *METHODS, *EXPECT, *ANSWERS]


def cases():
    for requirement in REQUIREMENTS:
        yield from requirement.cases
