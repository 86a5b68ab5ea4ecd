"""Parsers that we did not write agree with ours: on what is a request, on where it ends, and on every answer.

Where they do not, the table says why; an entry that explains nothing any more fails too.
"""

import http.client
import io

import h11
import pytest

import corpus
import oracles
from corpus_model import judge
from crowd import talk_all

# (who, whether it takes or refuses what we do not, at fault for us or for it): why that is right.
EXPLAINED = {
    ("h11", "takes", "bare LF"): "h11 takes LF for CRLF (RFC 9112 2.2 lets it); proxies disagree on it, so we do not",
    ("h11", "takes", "folding"): "h11 joins folded lines; RFC 9112 5.2 lets a server refuse them, and they hide fields",
    ("h11", "takes", "field value"): "h11 forbids NUL, CR and LF alone; other controls are no field-vchar",
    ("h11", "takes", "chunk extension"): "h11 skips to the line's end without judging what an extension holds",
    ("h11", "takes", "chunk size"): "h11 takes 20 digits, and white space behind a size, which no grammar has",
    ("h11", "takes", "coding in HTTP/1.0"): "h11 decodes chunks of an HTTP/1.0 request; RFC 9112 6.1 calls its framing faulty",
    ("h11", "takes", "expectation"): "judging Expect is the business of a server, h11 is a parser",
    ("h11", "takes", "host"): "h11 looks at a Host's bytes, not at its syntax",
    ("h11", "takes", "length"): "h11 joins equal lengths in one line, as RFC 9110 8.6 lets it; 400 is the other choice",
    ("h11", "takes", "two lengths"): "h11 joins equal lengths, as RFC 9110 8.6 lets it; 400 is the other choice",
    ("h11", "takes", "length and coding"): "h11 lets the coding override, as RFC 9112 6.3 lets it; 400 is the safer choice",
    ("h11", "takes", "limit"): "limits are a server's own",
    ("h11", "takes", "method"): "methods that are served are a server's choice",
    ("h11", "takes", "opening"): "h11 does not keep HTTP/1.0 connections: it never sees what is behind",
    ("h11", "takes", "request line"): "h11 does not keep HTTP/1.0 connections: it never sees what is behind",
    ("h11", "takes", "target"): "h11 looks at a target's bytes, not at its form",
    ("h11", "takes", "version"): "h11 takes any digits for a version and leaves them to the server",
    ("h11", "refuses", ""): "h11 does not keep HTTP/1.0 connections: it closes where we go on",
    ("h11", "refuses", "no request line received"): "h11 does not forgive the empty line of RFC 9112 2.2",
    ("h11", "refuses", "bad Content-Length"): "h11 takes 20 digits of a length, leading zeros included",
    ("h11", "refuses", "conflicting Content-Length headers"): "h11 judges trailers as fields; we merge none, so none can conflict",
    ("h11", "refuses", "Only Transfer-Encoding: chunked is supported"): "h11 judges trailers as fields; we merge none",
    ("llhttp", "takes", "bare LF"): "llhttp ends an HTTP/0.9 request line at a LF, and reads no fields behind it",
    ("llhttp", "takes", "chunk extension"): "llhttp does not ask for names and values of extensions",
    ("llhttp", "takes", "chunk size"): "llhttp takes any number of leading zeros; we take 16 digits",
    ("llhttp", "takes", "coding"): "llhttp looks at the last coding and does not judge the others",
    ("llhttp", "takes", "coding in HTTP/1.0"): "llhttp decodes chunks of an HTTP/1.0 request; RFC 9112 6.1 calls its framing faulty",
    ("llhttp", "takes", "expectation"): "judging Expect is the business of node's server",
    ("llhttp", "takes", "host"): "llhttp does not know Host; node's server looks whether there is one",
    ("llhttp", "takes", "no host"): "llhttp does not know Host; node's server looks whether there is one",
    ("llhttp", "takes", "two hosts"): "llhttp does not know Host; node's server takes the first",
    ("llhttp", "takes", "limit"): "limits are a server's own",
    ("llhttp", "takes", "method"): "methods that are served are a server's choice",
    ("llhttp", "takes", "opening"): "llhttp skips any number of CR and LF before a request; we forgive one empty line",
    ("llhttp", "takes", "request line"): "llhttp takes several spaces, and request lines of HTTP/0.9",
    ("llhttp", "takes", "target"): "llhttp takes a fragment, and any method with * or an authority",
    ("llhttp", "takes", "unknown coding"): "llhttp gives the body with the unknown coding still on; we would have to decode it",
    ("llhttp", "takes", "version"): "llhttp takes HTTP/0.9 and 2.0 request lines and leaves them to the server",
    ("llhttp", "refuses", ""): "an upgrade that was asked for ends llhttp's work; we may go on in HTTP/1.1",
    ("llhttp", "refuses", "HPE_CLOSED_CONNECTION"): "llhttp judges trailers as fields; we merge none",
    ("llhttp", "refuses", "HPE_INVALID_CONTENT_LENGTH"): "llhttp takes no HTAB behind a length, and judges trailers as fields",
    ("llhttp", "refuses", "HPE_INVALID_TRANSFER_ENCODING"): "llhttp takes no HTAB behind a coding, and judges trailers as fields",
    ("llhttp", "refuses", "HPE_INVALID_METHOD"): "llhttp knows a list of methods; unknown ones go to our application",
    ("llhttp", "refuses", "HPE_STRICT"): "llhttp takes no white space in extensions, which RFC 9112 7.1.1 says to parse",
}


@pytest.fixture(scope="module")
def cases(request):
    quick = request.config.getoption("--quick")
    return [case for case in corpus.everything(quick) if len(case.sent) < 20_000]


def disagreement(who, ours, theirs):
    """The key of the table; None where both read the same requests and both refuse or neither does."""
    shared = min(len(theirs.taken), len(ours.taken))
    if theirs.taken[:shared] != ours.taken[:shared]:
        return (who, "reads other bytes", "")
    if len(theirs.taken) < len(ours.taken):
        return (who, "refuses", theirs.why)
    if len(theirs.taken) > len(ours.taken) or (ours.end == "refused" and not theirs.refused):
        return (who, "takes", ours.why)
    return None


@pytest.mark.parametrize("who", ["h11", "llhttp"])
def test_other_parsers_take_and_refuse_the_same_and_see_the_same_bodies(cases, who):
    """test_corpus.py shows that the program does what `judge` says; here `judge` meets its oracles."""
    data = [case.sent for case in cases]
    readings = [oracles.by_h11(raw) for raw in data] if who == "h11" else oracles.by_llhttp(data)
    assert len(readings) == len(cases)
    found = {}
    for case, theirs in zip(cases, readings):
        key = disagreement(who, judge(case.sent), theirs)
        if key:
            found.setdefault(key, []).append(case.name[:200])
    unexplained = {key: names[:3] for key, names in found.items() if key not in EXPLAINED}
    assert not unexplained, unexplained
    if len(cases) > 20_000:
        stale = [key for key in EXPLAINED if key[0] == who and key not in found]
        assert not stale, f"these explain nothing: {stale}"


def read_by_h11(said, methods):
    """(status, length of the body) of each answer, and what is left."""
    found = []
    while said:
        judge_ = h11.Connection(h11.CLIENT)
        judge_.send(h11.Request(method=methods[len(found)] if len(found) < len(methods) else "GET", target="/", headers=[("Host", "x")]))
        judge_.send(h11.EndOfMessage())
        judge_.receive_data(said)
        status, size = None, 0
        while True:
            event = judge_.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                size += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.InformationalResponse), f"{event!r} in {said[:300]!r}"
        found.append((status, size))
        said = judge_.trailing_data[0]
    return found


class Canned:
    """A socket for http.client with these bytes in it."""

    def __init__(self, stream):
        self.stream = stream

    def makefile(self, _mode):
        return self.stream


def read_by_http_client(said, methods):
    found, stream = [], io.BytesIO(said)
    # A response closes what it has read from; the next one is behind it.
    stream.close = lambda: None
    while stream.tell() < len(said):
        answer = http.client.HTTPResponse(Canned(stream), method=methods[len(found)] if len(found) < len(methods) else "GET")
        answer.begin()
        found.append((answer.status, len(answer.read())))
    return found


def test_other_clients_read_every_answer_to_the_corpus_alike(start, cases):
    server = start("respond", "--body", "Hello, World!")
    chosen = cases[::3] + [case for case in cases if case.group.startswith(("expect", "RFC 9110"))]
    talks = talk_all(server.endpoints[0].address, [corpus.talk(case) for case in chosen])
    read = 0
    for case, talk in zip(chosen, talks):
        said, methods = bytes(talk.said), [method for method, _, _ in case.verdict.taken]
        if case.verdict.end != "closed" and case.raw.rsplit(b"\r\n\r\n", 1)[-1].startswith(b"HEAD ") or b"HEAD" in case.raw:
            # What refuses a HEAD has no body, and its method is known to nobody who has not parsed the request.
            methods.append("HEAD")
            if said and not said.endswith((b"\r\n\r\n", b"Hello, World!")):
                methods.pop()
        ours = [(status, len(body)) for status, _, body in corpus.answers(said, methods)]
        assert read_by_h11(said, methods) == ours, (case.name, said[:500])
        assert read_by_http_client(said, methods) == ours, (case.name, said[:500])
        read += len(ours)
    assert read > len(chosen)
