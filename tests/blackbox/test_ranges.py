"""`tidemill serve`: several ranges in one request, multipart/byteranges, and the bounds of both."""
import email.parser
import email.policy
import http.client
import os
import re
import socket

import pytest

from harness import client, wait_until
from tree import LONG_AGO, TEXT
from wire import Reader, ask, request

LARGE = os.urandom(3 << 20)
GAP = 80


@pytest.fixture(params=["/text.txt", "/large.bin"])
def target(request, site):
    """A file that is kept in memory, and one that goes by sendfile."""
    (site / "large.bin").write_bytes(LARGE)
    os.utime(site / "large.bin", (LONG_AGO, LONG_AGO))
    return request.param


def content(target):
    return TEXT if target == "/text.txt" else LARGE


def parts_of(content_type, body):
    """The parts as Python's MIME parser finds them: first byte, size of the whole, media type and bytes of each."""
    assert content_type.startswith("multipart/byteranges; boundary="), content_type
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    assert message.is_multipart() and not message.defects, message.defects
    assert not message.preamble and not message.epilogue
    found = []
    for part in message.iter_parts():
        first, last, total = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", part["content-range"]).groups())
        found.append((first, last + 1, total, part.get_content_type()))
    return found


def slices_of(answer, whole):
    """The slices of `whole` that a multipart answer has, its bytes compared at the places where Content-Range puts them."""
    found = parts_of(answer["content-type"], answer.body)
    boundary = answer["content-type"].split("boundary=")[1].encode()
    rest = b"\r\n" + answer.body
    for first, end, total, _kind in found:
        assert total == len(whole)
        head, rest = rest.split(b"\r\n\r\n", 1)
        assert head.startswith(b"\r\n--" + boundary + b"\r\n")
        assert rest[: end - first] == whole[first:end]
        rest = rest[end - first :]
    assert rest == b"\r\n--" + boundary + b"--\r\n"
    return [(first, end) for first, end, _total, _kind in found]


SEVERAL = [
    ("bytes=0-9,2000-2009", lambda n: [(0, 10), (2000, 2010)]),
    ("bytes=2000-2009,0-9", lambda n: [(2000, 2010), (0, 10)]),
    ("bytes=-10,0-9", lambda n: [(n - 10, n), (0, 10)]),
    ("bytes=0-0,-1", lambda n: [(0, 1), (n - 1, n)]),
    ("bytes=5000-,0-0", lambda n: [(5000, n), (0, 1)]),
    # Overlapping and neighbouring ranges are one part, at the place of the first of them.
    ("bytes=4000-4099,0-9,3950-3999,4050-4200", lambda n: [(3950, 4201), (0, 10)]),
    (f"bytes=0-9,{10 + GAP}-{10 + GAP + 9},{20 + GAP + GAP + 1}-300", lambda n: [(0, 20 + GAP), (20 + GAP + GAP + 1, 301)]),
    # What selects nothing is skipped.
    ("bytes=0-9,99999999-,-0,2000-2009", lambda n: [(0, 10), (2000, 2010)]),
    (" bytes=0-9 ,,\t2000-2009, ", lambda n: [(0, 10), (2000, 2010)]),
    (f"bytes=0-9,3000-{2**64 - 1}", lambda n: [(0, 10), (3000, n)]),
    ("bytes=" + ",".join(f"{at * 500}-{at * 500 + 9}" for at in range(16)), lambda n: [(at * 500, at * 500 + 10) for at in range(16)]),
]


def test_several_ranges_are_the_slices_of_the_file(start, site, target):
    server = start("serve", site)
    sock = server.connect()
    reader, whole = Reader(sock), content(target)
    plain = ask(server, target)
    for value, want in SEVERAL:
        sock.sendall(request(target, f"Range: {value}"))
        answer = reader.answer()
        assert answer.status == 206, value
        assert slices_of(answer, whole) == want(len(whole)), value
        assert "content-range" not in answer
        assert answer["content-length"] == str(len(answer.body)) and len(answer.body) < len(whole)
        assert {kind for *_, kind in parts_of(answer["content-type"], answer.body)} == {plain["content-type"].split(";")[0]}
        for name in ("etag", "last-modified", "accept-ranges"):
            assert answer[name] == plain[name]


def test_several_ranges_that_come_to_one_are_a_plain_206(start, site, target):
    server, whole = start("serve", site), content(target)
    for value, first, end in [
        ("bytes=0-9,10-19", 0, 20), ("bytes=10-19,0-9", 0, 20), ("bytes=0-9,5-30", 0, 31), ("bytes=0-0,99999999-", 0, 1), ("bytes=-0,-5", len(whole) - 5, len(whole)),
        ("bytes=0-9,50-59", 0, 60), ("bytes=" + ",".join(["0-"] * 100), 0, len(whole)),
    ]:  # fmt: skip
        answer = ask(server, target, f"Range: {value}")
        assert (answer.status, answer.body) == (206, whole[first:end]), value
        assert answer["content-range"] == f"bytes {first}-{end - 1}/{len(whole)}"


BOMBS = {
    "1,300 overlapping": "bytes=" + ",".join(f"{n}-" for n in range(1300)),
    "1,300 from the start": "bytes=" + ",".join(f"0-{n}" for n in range(1300)),
    "101 alike": "bytes=" + ",".join(["0-0"] * 101),
    "17 apart": "bytes=" + ",".join(f"{n * 500}-{n * 500}" for n in range(17)),
    "100 tiny and interleaved": "bytes=" + ",".join(f"{(n * 37 % 100) * 100}-{(n * 37 % 100) * 100}" for n in range(100)),
    "one flaw": "bytes=0-0,2000-2000,5-4",
    "another unit within": "bytes=0-0,lines=5-9",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_ranges_is_answered_with_the_file(start, site, target, name):
    answer = ask(start("serve", site), target, f"Range: {BOMBS[name]}")
    assert (answer.status, answer.body) == (200, content(target))


def test_sums_beyond_64_bits_are_one_part(start, site, target):
    server, whole = start("serve", site), content(target)
    most = 2**64 - 1
    for value in (f"bytes=0-{most},1-{most},2-{most}", f"bytes=0-{2**63},1-{2**63}", f"bytes=-{most},-{most}", f"bytes=0-{10**30},0-{10**30}"):
        answer = ask(server, target, f"Range: {value}")
        assert (answer.status, answer["content-range"], answer.body) == (206, f"bytes 0-{len(whole) - 1}/{len(whole)}", whole)


def test_no_choice_of_ranges_makes_an_answer_longer_than_the_file(start, site):
    server = start("serve", site)
    for size in (0, 1, 2, 81, 82, 83, 200, 300, 400, 1000, 2000, 3000):
        content = bytes(n % 251 for n in range(size))
        (site / "short.bin").write_bytes(content)
        for value in ("bytes=0-0,-1", "bytes=0-0,90-90,-1", "bytes=" + ",".join(f"{n * 150}-{n * 150}" for n in range(16))):
            answer = ask(server, "/short.bin", f"Range: {value}")
            assert answer.status in (200, 206, 416), (size, value)
            if answer.status == 200:
                assert answer.body == content
            if answer.status == 206:
                assert len(answer.body) <= size, (size, value)
                if answer["content-type"].startswith("multipart/"):
                    slices_of(answer, content)


def test_ranges_of_which_none_is_there_are_416(start, site, target):
    size = len(content(target))
    answer = ask(start("serve", site), target, f"Range: bytes={size}-,-0,{size + 5}-{size + 9}")
    assert (answer.status, answer["content-range"]) == (416, f"bytes */{size}")


def test_head_ignores_several_ranges(start, site, target):
    answer = ask(start("serve", site), target, "Range: bytes=0-9,2000-2009", method="HEAD")
    assert (answer.status, answer["content-length"]) == (200, str(len(content(target))))
    assert not answer["content-type"].startswith("multipart/")


def test_the_boundary_differs_with_the_ranges_and_stays_with_the_request(start, site, target):
    server = start("serve", site)
    seen = [ask(server, target, f"Range: bytes=0-9,{at}-{at}")["content-type"] for at in (2000, 2001, 2000)]
    assert seen[0] == seen[2] != seen[1]
    boundary = seen[0].split("boundary=")[1].encode()
    assert len(boundary) >= 32 and boundary not in content(target)


def test_pipelined_multipart_answers_come_in_order(start, site, target):
    sock = start("serve", site).connect()
    several = request(target, "Range: bytes=0-9,2000-3999,1000-1009")
    sock.sendall(several * 20 + request("/dir/sub/deep.txt"))
    reader = Reader(sock)
    bodies = {reader.answer().body for _ in range(20)}
    assert len(bodies) == 1
    assert reader.answer().body == b"deep"
    sock.shutdown(socket.SHUT_WR)
    assert reader.rest() == b""


def test_the_last_answer_of_a_connection_may_have_several_parts(start, site, target):
    server = start("serve", site)
    for version, lines in (("1.0", []), ("1.1", ["Connection: close"])):
        sock = server.connect()
        sock.sendall(request(target, "Range: bytes=0-9,2000-2009", *lines, version=version))
        reader = Reader(sock)
        assert slices_of(reader.answer(), content(target)) == [(0, 10), (2000, 2010)]
        assert reader.rest() == b""


def test_a_slow_reader_gets_every_part(start, site):
    (site / "large.bin").write_bytes(LARGE)
    os.utime(site / "large.bin", (LONG_AGO, LONG_AGO))
    sock = start("serve", site).connect(rcvbuf=4096)
    half = len(LARGE) // 2
    sock.sendall(request("/large.bin", f"Range: bytes={half + 1000}-,0-{half},{half + 300}-{half + 500}") + request("/text.txt"))
    reader = Reader(sock)
    assert slices_of(reader.answer(), LARGE) == [(half + 1000, len(LARGE)), (0, half + 1), (half + 300, half + 501)]
    assert reader.answer().body == TEXT


def test_parts_past_four_gibibytes(start, site):
    size, mark = (5 << 30) + 17, b"high tide mark"
    places = [(4 << 30) + 5, 0, size - len(mark)]
    with open(site / "sparse.bin", "wb") as file:
        file.truncate(size)
        for place in places:
            file.seek(place)
            file.write(mark)
    os.utime(site / "sparse.bin", (LONG_AGO, LONG_AGO))
    specs = ",".join(f"{place}-{place + len(mark) - 1}" for place in places)
    answer = ask(start("serve", site), "/sparse.bin", f"Range: bytes={specs}")
    assert answer.status == 206
    found = parts_of(answer["content-type"], answer.body)
    assert [(first, end, total) for first, end, total, _ in found] == [(place, place + len(mark), size) for place in places]
    assert answer.body.count(b"\r\n\r\n" + mark + b"\r\n--") == 3


def test_a_file_cut_short_while_its_parts_are_sent_ends_the_connection_without_filler(start, site):
    path, size, kept = site / "cut.bin", 64 << 20, 24 << 20
    whole = os.urandom(1 << 20) * 64
    path.write_bytes(whole)
    server = start("serve", site, env={"TIDEMILL_LOG": "debug"})
    sock = server.connect(rcvbuf=65536)
    sock.sendall(request("/cut.bin", f"Range: bytes=0-99,1000-{size - 1}") + request("/text.txt"))
    said = sock.recv(1000)
    os.truncate(path, kept)
    try:
        while chunk := sock.recv(1 << 18):
            said += chunk
    except ConnectionResetError:
        pass
    head, _, body = said.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    assert b" 206 " in head and len(body) < length
    parts = body.split(b"\r\n\r\n", 2)
    assert parts[1].startswith(whole[:100] + b"\r\n--")
    assert 0 < len(parts[2]) <= kept - 1000 and parts[2] == whole[1000 : 1000 + len(parts[2])]
    wait_until("file_truncated in the log", lambda: "file_truncated" in server.stderr())


def test_a_client_that_goes_away_within_a_part_frees_everything(start, site):
    (site / "large.bin").write_bytes(LARGE * 8)
    server = start("serve", site)
    for _ in range(50):
        sock = server.connect(rcvbuf=65536)
        sock.sendall(request("/large.bin", "Range: bytes=0-9,1000-20000000"))
        sock.recv(1000)
        sock.close()
    server.await_fds_at_start()
    assert ask(server, "/text.txt").body == TEXT


def test_curl_and_http_client_read_several_ranges(start, site, target):
    server, whole = start("serve", site), content(target)
    fetched = client("curl", "-sS", "-i", "-r", "0-9,2000-2009", server.url(target))
    assert fetched.returncode == 0, fetched.stderr
    head, _, body = fetched.stdout.partition(b"\r\n\r\n")
    kind = re.search(rb"(?im)^content-type: (multipart/.*?)\r?$", head)[1].decode()
    assert [(first, end) for first, end, *_ in parts_of(kind, body)] == [(0, 10), (2000, 2010)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(3):
        connection.request("GET", target, headers={"Range": "bytes=0-9,-10"})
        answer = connection.getresponse()
        found = parts_of(answer.getheader("Content-Type"), answer.read())
        assert [(first, end) for first, end, *_ in found] == [(0, 10), (len(whole) - 10, len(whole))]
    connection.close()
