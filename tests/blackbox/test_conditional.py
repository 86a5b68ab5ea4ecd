"""`tidemill serve`: conditional requests (RFC 9110 section 13) on kept files and on large ones, with clients that we did not write."""
import email.utils
import http.client
import os
import time

import pytest

from harness import client
from tree import LONG_AGO, TEXT
from wire import Reader, ask, request

LARGE = bytes(range(256)) * 1024
SAME, EARLIER, LATER = (email.utils.formatdate(LONG_AGO + delta, usegmt=True) for delta in (0, -1, 1))
# The same second as SAME in the two other formats.
OLD_FORMATS = [time.strftime(form, time.gmtime(LONG_AGO)) for form in ("%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y")]
OLD_EARLIER = [time.strftime(form, time.gmtime(LONG_AGO - 1)) for form in ("%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y")]


@pytest.fixture(params=["/text.txt", "/large.bin"])
def target(request, site):
    (site / "large.bin").write_bytes(LARGE)
    os.utime(site / "large.bin", (LONG_AGO, LONG_AGO))
    return request.param


def content(target):
    return TEXT if target == "/text.txt" else LARGE


CASES = [
    # If-Match: strong, lists, any; what is malformed names nothing.
    (["If-Match: {tag}"], 200), (['If-Match: "x", {tag}'], 200), (["If-Match: *"], 200), (['If-Match: "x"', "If-Match: {tag}"], 200),
    (["If-Match: ,, {tag} ,"], 200), (["if-match: {tag}"], 200),
    (["If-Match: W/{tag}"], 412), (['If-Match: "x"'], 412), (["If-Match:"], 412), (["If-Match: {bare}"], 412),
    (["If-Match: {tag}, junk"], 412), (["If-Match: *, {tag}"], 412), (["If-Match: {tag} {tag}"], 412), (["If-Match: *", "If-Match: *"], 412),
    # If-Unmodified-Since: only without If-Match, only a date, only one.
    ([f"If-Unmodified-Since: {SAME}"], 200), ([f"If-Unmodified-Since: {LATER}"], 200), ([f"If-Unmodified-Since: {EARLIER}"], 412),
    *[([f"If-Unmodified-Since: {old}"], 412) for old in OLD_EARLIER],
    ([f"If-Unmodified-Since: {EARLIER}", "If-Match: {tag}"], 200), ([f"If-Unmodified-Since: {LATER}", 'If-Match: "x"'], 412),
    (["If-Unmodified-Since: yesterday"], 200), ([f"If-Unmodified-Since: {EARLIER}"] * 2, 200), ([f"If-Unmodified-Since: {EARLIER}, {EARLIER}"], 200),
    (["If-Unmodified-Since: Wed, 31 Dec 1969 23:59:59 GMT"], 412),
    # If-None-Match: weak, lists, any; what is malformed names nothing.
    (["If-None-Match: {tag}"], 304), (["If-None-Match: W/{tag}"], 304), (["If-None-Match: *"], 304), (['If-None-Match: "x"', "If-None-Match: {tag}"], 304),
    (['If-None-Match: "a,b", {tag}'], 304), (['If-None-Match: "x"'], 200), (["If-None-Match: {bare}"], 200), (["If-None-Match:"], 200),
    (["If-None-Match: {tag}, junk"], 200), (["If-None-Match: {tag}{tag}"], 200), (["If-None-Match: w/{tag}"], 200),
    # If-Modified-Since: only without If-None-Match, only a date, only one.
    ([f"If-Modified-Since: {SAME}"], 304), ([f"If-Modified-Since: {LATER}"], 304), ([f"If-Modified-Since: {EARLIER}"], 200),
    *[([f"If-Modified-Since: {old}"], 304) for old in OLD_FORMATS], *[([f"If-Modified-Since: {old}"], 200) for old in OLD_EARLIER],
    (["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], 200), (["If-Modified-Since: Sun, 31 Feb 2100 00:00:00 GMT"], 200),
    ([f"If-Modified-Since: {SAME}"] * 2, 200), ([f"If-Modified-Since: {SAME}, {SAME}"], 200), ([f"If-Modified-Since: {SAME.lower()}"], 200),
    ([f"If-Modified-Since: {SAME}", 'If-None-Match: "x"'], 200), ([f"If-Modified-Since: {EARLIER}", "If-None-Match: {tag}"], 304),
    # The order of 13.2.2.
    (["If-None-Match: {tag}", 'If-Match: "x"'], 412), (["If-None-Match: {tag}", "If-Match: {tag}"], 304),
    ([f"If-Modified-Since: {SAME}", f"If-Unmodified-Since: {EARLIER}"], 412), ([f"If-Modified-Since: {SAME}", f"If-Unmodified-Since: {SAME}"], 304),
    (["Range: bytes=0-9", 'If-Match: "x"'], 412), (["Range: bytes=0-9", "If-None-Match: {tag}"], 304), (["Range: bytes=0-9", "If-Match: {tag}"], 206),
    (["Range: bytes=99999999-", 'If-Match: "x"'], 412), (["Range: bytes=99999999-", 'If-Range: "x"'], 200), (["Range: bytes=99999999-"], 416),
    # If-Range: the strong tag or the exact date, once.
    (["Range: bytes=0-9", "If-Range: {tag}"], 206), (["Range: bytes=0-9", "If-Range: W/{tag}"], 200), (["Range: bytes=0-9", f"If-Range: {SAME}"], 206),
    *[(["Range: bytes=0-9", f"If-Range: {old}"], 206) for old in OLD_FORMATS],
    (["Range: bytes=0-9", f"If-Range: {LATER}"], 200), (["Range: bytes=0-9", "If-Range: {tag}", "If-Range: {tag}"], 200),
    (["Range: bytes=0-9", "Range: bytes=0-9"], 200), (["If-Range: {tag}"], 200), (["Range: bytes=0-9,2000-2009", "If-Range: {tag}"], 206),
]  # fmt: skip


def test_conditions_are_evaluated_as_the_rfc_orders_them(start, site, target):
    server = start("serve", site)
    tag = ask(server, target)["etag"]
    sock = server.connect()
    reader = Reader(sock)
    for lines, status in CASES:
        lines = [line.format(tag=tag, bare=tag.strip('"')) for line in lines]
        for method in ("GET", "HEAD"):
            # HEAD has no ranges.
            want = 200 if method == "HEAD" and status in (206, 416) else status
            sock.sendall(request(target, *lines, method=method))
            answer = reader.answer(method)
            assert answer.status == want, (method, lines)
            if want in (304, 412):
                assert answer["etag"] == tag and answer["last-modified"] == SAME
            if want == 200 and method == "GET":
                assert answer.body == content(target), lines


def test_412_says_what_is_there_and_sends_nothing_of_it(start, site, target):
    answer = ask(start("serve", site), target, 'If-Match: "x"')
    assert answer.status == 412
    assert answer["content-type"].startswith("text/html") and b"412" in answer.body
    assert "content-range" not in answer and "accept-ranges" not in answer


def test_conditions_count_for_files_alone(start, site):
    server = start("serve", site)
    for fields in (["If-Match: *"], ['If-Match: "x"'], ["If-None-Match: *"]):
        assert ask(server, "/missing", *fields).status == 404
        assert ask(server, "/dir", *fields).status == 301
        assert ask(server, "/text.txt", "Content-Length: 0", *fields, method="PUT").status == 405
        assert ask(server, "*", *fields, method="OPTIONS").status == 204


def test_a_file_just_written_matches_no_strong_condition(start, site):
    (site / "fresh.txt").write_bytes(b"fresh")
    server = start("serve", site)
    tag = ask(server, "/fresh.txt")["etag"]
    assert tag.startswith("W/")
    assert ask(server, "/fresh.txt", f"If-Match: {tag}").status == 412
    assert ask(server, "/fresh.txt", "If-Match: *").status == 200


def test_curl_keeps_its_copy_by_tag_and_by_time(start, site, target, tmp_path):
    server, tags, got = start("serve", site), tmp_path / "tags", tmp_path / "got"
    fetch = ("curl", "-sS", "-o", got, "-w", "%{http_code}", "--etag-save", tags, "--etag-compare", tags)
    tags.write_bytes(b"")
    assert client(*fetch, server.url(target)).stdout == b"200"
    assert got.read_bytes() == content(target)
    assert client(*fetch, server.url(target)).stdout == b"304"
    os.utime(got, (LONG_AGO, LONG_AGO))
    assert client("curl", "-sS", "-o", tmp_path / "no", "-w", "%{http_code}", "-z", got, server.url(target)).stdout == b"304"
    os.utime(got, (LONG_AGO - 5, LONG_AGO - 5))
    assert client("curl", "-sS", "-o", tmp_path / "no", "-w", "%{http_code}", "-z", got, server.url(target)).stdout == b"200"


def test_http_client_reads_every_conditional_answer_on_one_connection(start, site, target):
    server = start("serve", site)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    whole = content(target)
    for fields, status, body in [
        ({}, 200, whole), ({"If-Modified-Since": SAME}, 304, b""), ({"If-Unmodified-Since": EARLIER}, 412, None), ({"Range": "bytes=0-0"}, 206, whole[:1]),
    ]:  # fmt: skip
        connection.request("GET", target, headers=fields)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == status
        assert body is None or said == body
    connection.close()
