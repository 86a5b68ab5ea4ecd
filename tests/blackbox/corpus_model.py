"""What a case of the corpus is, and a reference server of a hundred plain lines that says what must come of any bytes.

The reference knows the whole input, reads it once from the left and was written from the RFCs, not from the program.
Hand-written tables carry verdicts of their own, which must agree with it; generated cases get theirs from it.
"""

import re
from dataclasses import dataclass, field

BODY_MAX, HEAD_MAX, URI_MAX, FIELDS_MAX, EXT_MAX, TRAILERS_MAX = 1 << 20, 16 * 1024, 8 * 1024, 100, 4096, 8192
# What stands behind every case. Answered behind something bad, it is a request that was smuggled.
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
TAKEN_NEXT = ("GET", "/next", b"")
INSIDE = b"GET /inside HTTP/1.1\r\nHost: x\r\n\r\n"

TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN = re.compile(TCHAR + rb"+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
VISIBLE = re.compile(rb"[\x21\x22\x24-\x7e]+")
REG_NAME = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
ONE_EXT = rb";[ \t]*" + TCHAR + rb"+(?:[ \t]*=[ \t]*(?:" + TCHAR + rb"+|" + QUOTED + rb"))?"
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:" + ONE_EXT + rb"(?:[ \t]*" + ONE_EXT + rb")*)?)")


@dataclass(frozen=True)
class Verdict:
    """What a strict server makes of a connection's bytes."""

    # (method, target, body) of each request that is answered.
    taken: tuple
    # "closed" by the server behind the last answer, "open" and idle, "refused", or "starved": more must come.
    end: str
    # Statuses that refuse; if starved, those that may answer our FIN.
    statuses: frozenset = frozenset()
    # What the reference found at fault, in a word or two.
    why: str = field(default="", compare=False)

    @property
    def is_next_answered(self):
        return bool(self.taken) and self.taken[-1] == TAKEN_NEXT


@dataclass(frozen=True)
class Case:
    """Raw bytes, and what must come of them with NEXT behind."""

    name: str
    group: str
    raw: bytes
    verdict: Verdict

    @property
    def sent(self):
        return self.raw + NEXT


class Refusal(Exception):
    """The connection is answered with this status and closed."""

    def __init__(self, why, status=400):
        super().__init__(why, status)
        self.why, self.statuses = why, frozenset((status,))


class Starved(Exception):
    """The bytes end inside of a request."""


def good(name, group, raw, *requests):
    """A case whose requests are all taken, and the next one too. A request is a method, or (method, target, body)."""
    taken = [(r, "/", b"") if isinstance(r, str) else r for r in requests]
    return Case(name, group, raw, Verdict((*taken, TAKEN_NEXT), "closed"))


def bad(name, group, raw, *statuses, taken=()):
    """A case that is refused, behind the requests in `taken`."""
    return Case(name, group, raw, Verdict(tuple(taken), "refused", frozenset(statuses or (400,))))


def judged(name, group, raw):
    """A case with the reference's verdict."""
    return Case(name, group, raw, judge(raw + NEXT))


def judge(data):
    """What a strict server makes of `data`."""
    taken, at = [], 0
    try:
        while True:
            if data[at : at + 2] == b"\r\n" or data[at:] == b"\r":
                at += 2
            if at >= len(data):
                return Verdict(tuple(taken), "open")
            request, keep, at = _request(data, at)
            taken.append(request)
            if not keep:
                return Verdict(tuple(taken), "closed")
    except Refusal as refusal:
        return Verdict(tuple(taken), "refused", refusal.statuses, refusal.why)
    except Starved:
        return Verdict(tuple(taken), "starved", frozenset((400, 408, 413, 431)))


def _request(data, at):
    began = at
    if not TOKEN.match(data, at):
        raise Refusal("opening")
    line, at = _head_line(data, at, began)
    method, target, version = _start(line)
    fields = []
    while True:
        line, at = _head_line(data, at, began)
        if not line:
            break
        if len(fields) == FIELDS_MAX:
            raise Refusal("limit", 431)
        fields.append(_field(line))
    framing = _framing(fields, version)
    _host(fields, version, method, target)
    expects = [e.lower() for e in _list(fields, b"expect") if e]
    if version == b"HTTP/1.1" and any(e != b"100-continue" for e in expects):
        raise Refusal("expectation", 417)
    if method in (b"CONNECT", b"TRACE") or re.search(rb"[^A-Z-]", method):
        raise Refusal("method", 501)
    body, at = _body(data, at, framing)
    options = [o.lower() for o in _list(fields, b"connection")]
    keep = b"close" not in options and (version == b"HTTP/1.1" or b"keep-alive" in options)
    return (method.decode(), target.decode(), body), keep, at


def _head_line(data, at, began):
    """One line without its CRLF; an over-long head is told apart by where it passed the limit."""
    window = data[: began + HEAD_MAX]
    end = window.find(b"\n", at)
    first = at == began
    if end < 0:
        parts = window[at:].split(b" ")
        if first and len(parts) >= 2 and len(parts[1]) > URI_MAX:
            raise Refusal("limit", 414)
        if len(data) >= began + HEAD_MAX:
            raise Refusal("limit", 414 if first else 431)
        raise Starved
    line = data[at : end + 1]
    if first and len(line.split(b" ")) >= 2 and len(line.split(b" ")[1].rstrip(b"\r\n")) > URI_MAX:
        raise Refusal("limit", 414)
    if not line.endswith(b"\r\n"):
        raise Refusal("bare LF")
    return line[:-2], end + 1


def _start(line):
    if line.startswith(b"PRI * HTTP/2."):
        raise Refusal("version", 505)
    parts = line.split(b" ")
    if len(parts) != 3 or not TOKEN.fullmatch(parts[0]) or parts[0] == b"PROXY" or not parts[1]:
        raise Refusal("request line")
    method, target, version = parts
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        if VERSION.fullmatch(version) and re.fullmatch(rb"[\x21-\x7e]+", target):
            raise Refusal("version", 505)
        raise Refusal("request line")
    if not VISIBLE.fullmatch(target):
        raise Refusal("target")
    if method == b"CONNECT":
        host, colon, port = target.rpartition(b":")
        if not (colon and host and port.isdigit() and 0 < int(port) < 65536 and _authority(target)):
            raise Refusal("target")
    elif not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        absolute = re.fullmatch(rb"https?://([^/?]+)(?:[/?].*)?", target, re.IGNORECASE)
        if not absolute or not _authority(absolute[1]) or absolute[1].startswith(b":"):
            raise Refusal("target")
    return method, target, version


def _field(line):
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        raise Refusal("folding")
    if not colon or not TOKEN.fullmatch(name):
        raise Refusal("field name")
    if not VALUE.fullmatch(value):
        raise Refusal("field value")
    return name.lower(), value.strip(b" \t")


def _list(fields, name):
    """The members of a list field, over all its lines."""
    return [m.strip(b" \t") for key, value in fields if key == name for m in value.split(b",")]


def _framing(fields, version):
    """None, a length, or "chunked" (RFC 9112 section 6.3)."""
    lengths = [v for k, v in fields if k == b"content-length"]
    codings = [c.lower() for c in _list(fields, b"transfer-encoding")]
    if lengths and codings:
        raise Refusal("length and coding")
    if len(lengths) > 1:
        raise Refusal("two lengths")
    if lengths:
        digits = re.fullmatch(rb"0*([0-9]{1,20})", lengths[0])
        if not digits or int(digits[1]) >= 1 << 64:
            raise Refusal("length")
        return int(digits[1])
    if not codings:
        return None
    if codings == [b"chunked"] and version == b"HTTP/1.1":
        return "chunked"
    if version == b"HTTP/1.0":
        raise Refusal("coding in HTTP/1.0")
    tokens = all(TOKEN.fullmatch(c) for c in codings)
    if tokens and codings[-1] == b"chunked" and codings.count(b"chunked") == 1:
        raise Refusal("unknown coding", 501)
    raise Refusal("coding")


def _host(fields, version, method, target):
    hosts = [v for k, v in fields if k == b"host"]
    if not hosts and version == b"HTTP/1.0":
        return
    if len(hosts) != 1:
        raise Refusal("two hosts" if hosts else "no host")
    if hosts[0] == b"":
        if target.startswith(b"/"):
            raise Refusal("host")
    elif not _authority(hosts[0]) or hosts[0].startswith(b":"):
        raise Refusal("host")


def _authority(value):
    """uri-host [":" port], without userinfo, IPvFuture and zones."""
    if value.startswith(b"["):
        literal, bracket, rest = value[1:].partition(b"]")
        if not bracket or not _ipv6(literal):
            return False
    else:
        name = REG_NAME.match(value)[0]
        rest = value[len(name) :]
    if not re.fullmatch(rb"(?::[0-9]*)?", rest):
        return False
    return rest in (b"", b":") or int(rest[1:]) < 65536


def _ipv6(literal):
    import ipaddress

    try:
        return b"%" not in literal and bool(ipaddress.IPv6Address(literal.decode("ascii")))
    except (ValueError, UnicodeDecodeError):
        return False


def _body(data, at, framing):
    if framing is None:
        return b"", at
    if framing == "chunked":
        return _chunked(data, at)
    if framing > BODY_MAX:
        raise Refusal("limit", 413)
    if len(data) - at < framing:
        raise Starved
    return data[at : at + framing], at + framing


def _body_line(data, at):
    end = data.find(b"\n", at)
    if end < 0:
        raise Starved
    if data[end - 1 : end] != b"\r" or end == at:
        raise Refusal("bare LF")
    return data[at : end - 1], end + 1


def _chunked(data, at):
    content, ext = b"", 0
    while True:
        line, at = _body_line(data, at)
        size = CHUNK_SIZE.fullmatch(line)
        if not size:
            raise Refusal("chunk extension" if re.match(rb"[0-9A-Fa-f]{1,16};", line) else "chunk size")
        ext += len(size[2])
        if ext > EXT_MAX:
            raise Refusal("limit")
        length = int(size[1], 16)
        if length == 0:
            break
        if len(content) + length > BODY_MAX:
            raise Refusal("limit", 413)
        if len(data) - at < length:
            raise Starved
        content += data[at : at + length]
        at += length
        behind = data[at : at + 2]
        if behind != b"\r\n"[: len(behind)]:
            raise Refusal("behind a chunk")
        if len(behind) < 2:
            raise Starved
        at += 2
    began, count = at, 0
    while True:
        line, at = _body_line(data, at)
        if not line:
            return content, at
        count += 1
        if count > FIELDS_MAX or at - began > TRAILERS_MAX:
            raise Refusal("limit", 431)
        _field(line)
