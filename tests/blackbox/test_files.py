"""`tidemill serve`: real files, their fields, conditions and ranges."""
import email.utils
import os
import socket

import pytest

from harness import client
from tree import LONG_AGO, SECRET, SIZE, TEXT
from wire import Reader, ask, request


def fields_of(answer, *but):
    return {k: v for k, v in answer.headers if k not in ("date", *but)}


# Plain files


@pytest.mark.parametrize(
    "target, body",
    [
        ("/", b"<h1>home</h1>"),
        ("/index.html", b"<h1>home</h1>"),
        ("/dir/", b"<h1>dir</h1>"),
        ("/dir/sub/deep.txt", b"deep"),
        ("/text.txt", TEXT),
        ("/text.txt?query=1", TEXT),
        ("/%74ext.txt", TEXT),
        ("/empty.txt", b""),
        ("/with%20space.txt", b"space"),
        ("/gr%C3%BC%C3%9Fe.txt", b"utf-8"),
        ("/gr%c3%bc%c3%9fe.txt", b"utf-8"),
        ("/per%25cent.txt", b"percent"),
        ("/a+b.txt", b"plus"),
        ("/a%2Bb.txt", b"plus"),
        ("/q%3F.txt", b"question"),
        ("/dir/../text.txt", TEXT),
        ("/dir/./sub/deep.txt", b"deep"),
        ("/.well-known/security.txt", b"contact"),
        ("http://x/text.txt", TEXT),
    ],
)
def test_a_file_is_served_whole(start, site, target, body):
    answer = ask(start("serve", site), target)
    assert (answer.status, answer.body) == (200, body)
    assert answer["content-length"] == str(len(body))


def test_serve_without_a_folder_serves_the_current_one(start, site):
    server = start("serve", cwd=site)
    assert server.endpoints[0].kind == "files"
    assert ask(server, "/text.txt").body == TEXT


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.html", "text/html"), ("a.css", "text/css"), ("a.js", "text/javascript"), ("a.mjs", "text/javascript"),
        ("a.json", "application/json"), ("a.png", "image/png"), ("a.svg", "image/svg+xml"), ("a.jpg", "image/jpeg"),
        ("a.txt", "text/plain"), ("a.wasm", "application/wasm"), ("a.pdf", "application/pdf"), ("a.HTML", "text/html"),
        ("a.woff2", "font/woff2"), ("a.xyz-unknown", "application/octet-stream"), ("noextension", "application/octet-stream"),
    ],
)
def test_the_media_type_follows_the_extension(start, site, name, kind):
    (site / name).write_bytes(b"x")
    assert ask(start("serve", site), f"/{name}")["content-type"].split(";")[0] == kind


@pytest.mark.parametrize("target", ["/missing", "/dir/missing", "/text.txt/", "/text.txt/x", "/missing/"])
def test_what_is_not_there_is_404(start, site, target):
    assert ask(start("serve", site), target).status == 404


def test_a_folder_without_an_index_is_not_listed(start, site):
    assert ask(start("serve", site), "/empty/").status in (403, 404)


@pytest.mark.parametrize(
    "target",
    ["/.hidden", "/.git/config", "/.git/", "/.git", "/dir/.private/x", "/%2ehidden", "/%2Egit/config", "/.well-known/.deeper", "/..."],
)
def test_names_that_begin_with_a_dot_are_404(start, site, target):
    answer = ask(start("serve", site), target)
    assert answer.status == 404 and SECRET not in answer.body


def test_a_method_that_nobody_registered_is_501(start, site):
    assert ask(start("serve", site), "/text.txt", method="FROB").status == 501


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_and_told_what_is_allowed(start, site, method):
    answer = ask(start("serve", site), "/text.txt", "Content-Length: 5", method=method, body=b"hello")
    assert answer.status == 405
    assert {m.strip() for m in answer["allow"].split(",")} >= {"GET", "HEAD"}


def test_the_connection_stays_in_step_after_a_405_with_a_body(start, site):
    sock = start("serve", site).connect()
    sock.sendall(request("/text.txt", "Content-Length: 46", method="POST", body=request("/dir/sub/deep.txt").ljust(46, b"x")))
    said = Reader(sock)
    assert said.answer("POST").status == 405
    sock.shutdown(socket.SHUT_WR)
    assert said.rest() == b"", "the body was taken for a request"


@pytest.mark.parametrize("target", ["/text.txt", "/", "/dir", "/missing", "/empty.txt"])
def test_head_gives_the_fields_of_get(start, site, target):
    server = start("serve", site)
    get, head = ask(server, target), ask(server, target, method="HEAD")
    assert (head.status, head.body) == (get.status, b"")
    assert fields_of(head, "connection") == fields_of(get, "connection")


# Conditions


def test_a_settled_file_has_a_strong_tag_and_its_date(start, site):
    answer = ask(start("serve", site), "/text.txt")
    assert answer["etag"].startswith('"') and answer["etag"].endswith('"')
    assert answer["last-modified"] == email.utils.formatdate(LONG_AGO, usegmt=True)
    assert answer["accept-ranges"] == "bytes"


def conditions(tag):
    same, later, earlier = (email.utils.formatdate(LONG_AGO + d, usegmt=True) for d in (0, 60, -60))
    return [
        ([f"If-None-Match: {tag}"], 304),
        ([f"If-None-Match: W/{tag}"], 304),
        ([f'If-None-Match: "other", {tag}'], 304),
        (['If-None-Match: "other"', f"If-None-Match: {tag}"], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "other"'], 200),
        (['If-None-Match: ""'], 200),
        ([f"If-None-Match: {tag[:-2]}\""], 200),
        ([f"If-Modified-Since: {same}"], 304),
        ([f"If-Modified-Since: {later}"], 304),
        ([f"If-Modified-Since: {earlier}"], 200),
        (["If-Modified-Since: yesterday"], 200),
        ([f"If-Modified-Since: {same}", 'If-None-Match: "other"'], 200),
        ([f"If-Modified-Since: {earlier}", f"If-None-Match: {tag}"], 304),
    ]


@pytest.mark.parametrize("row", range(14))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(start, site, method, row):
    server = start("serve", site)
    tag = ask(server, "/text.txt")["etag"]
    fields, status = conditions(tag)[row]
    answer = ask(server, "/text.txt", *fields, method=method)
    assert answer.status == status, fields
    assert answer["etag"] == tag
    assert answer.body == (TEXT if (status, method) == (200, "GET") else b"")


def test_a_304_leaves_the_connection_in_step(start, site):
    server = start("serve", site)
    tag = ask(server, "/text.txt")["etag"]
    sock = server.connect()
    sock.sendall(request("/text.txt", f"If-None-Match: {tag}") * 3 + request("/dir/sub/deep.txt"))
    reader = Reader(sock)
    assert [reader.answer().status for _ in range(3)] == [304] * 3
    assert reader.answer().body == b"deep"


def test_a_change_within_the_second_is_always_seen(start, site):
    server = start("serve", site)
    path = site / "live.txt"
    seen = None
    for number in range(200):
        path.write_bytes(b"%04d" % number)
        answer = ask(server, "/live.txt", *([f"If-None-Match: {seen}"] if seen else []))
        assert (answer.status, answer.body) == (200, b"%04d" % number)
        tags = answer.all("etag")
        seen = tags[0] if tags else None


def test_a_file_just_written_gets_no_strong_tag(start, site):
    (site / "fresh.txt").write_bytes(b"fresh")
    assert all(tag.startswith("W/") for tag in ask(start("serve", site), "/fresh.txt").all("etag"))


def test_a_small_file_rewritten_with_its_old_times_is_still_seen(start, site):
    server = start("serve", site)
    for content in (b"first", b"other", b"third"):
        (site / "same.txt").write_bytes(content)
        os.utime(site / "same.txt", (LONG_AGO, LONG_AGO))
        assert ask(server, "/same.txt").body == content


# Ranges

RANGES = [
    ("bytes=0-0", 0, 1), ("bytes=0-99", 0, 100), ("bytes=100-199", 100, 200), ("bytes=100-", 100, SIZE), ("bytes=-1", SIZE - 1, SIZE),
    ("bytes=-100", SIZE - 100, SIZE), ("bytes=-99999999", 0, SIZE), ("bytes=0-99999999999", 0, SIZE), (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    (f"bytes=0-{2**64 - 1}", 0, SIZE), (f"bytes=0-{SIZE - 1}", 0, SIZE), ("bytes=5-5", 5, 6), ("Bytes=0-9", 0, 10),
]  # fmt: skip


@pytest.mark.parametrize("value, first, end", RANGES)
def test_a_range_is_the_slice_of_the_file(start, site, value, first, end):
    answer = ask(start("serve", site), "/text.txt", f"Range: {value}")
    assert (answer.status, answer.body) == (206, TEXT[first:end])
    assert answer["content-range"] == f"bytes {first}-{end - 1}/{SIZE}"
    assert answer["content-length"] == str(end - first)


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", "bytes=99999999999-", f"bytes={2**63}-", f"bytes={2**64 - 1}-"])
def test_a_range_outside_the_file_is_416_with_its_size(start, site, value):
    answer = ask(start("serve", site), "/text.txt", f"Range: {value}")
    assert (answer.status, answer["content-range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize(
    "value",
    [
        "bytes=5-4", "bytes=a-b", "bytes=", "bytes", "lines=0-4", "bytes=--1", "bytes=1", "bytes=0x0-5", "bytes=+0-5", "bytes= ", "0-5",
        "bytes=0-1,5-4", "bytes=" + ",".join(f"{n}-" for n in range(1300)),
    ],
)
def test_a_range_that_is_none_gets_the_whole_file(start, site, value):
    answer = ask(start("serve", site), "/text.txt", f"Range: {value}")
    assert (answer.status, answer.body) == (200, TEXT)
    assert "content-range" not in answer


def test_head_ignores_ranges(start, site):
    answer = ask(start("serve", site), "/text.txt", "Range: bytes=0-9", method="HEAD")
    assert (answer.status, answer["content-length"]) == (200, str(SIZE))


def test_any_range_of_an_empty_file_is_416_or_the_whole(start, site):
    server = start("serve", site)
    for value in ("bytes=0-0", "bytes=0-", "bytes=-5"):
        answer = ask(server, "/empty.txt", f"Range: {value}")
        assert answer.status == 416 or (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "condition, status",
    [
        ("{tag}", 206), ("W/{tag}", 200), ('"other"', 200), ("{date}", 206), ("{earlier}", 200), ("{later}", 200), ("nonsense", 200), ("*", 200),
    ],
)
def test_if_range_needs_the_strong_tag_or_the_exact_date(start, site, condition, status):
    server = start("serve", site)
    tag = ask(server, "/text.txt")["etag"]
    date, earlier, later = (email.utils.formatdate(LONG_AGO + d, usegmt=True) for d in (0, -60, 60))
    value = condition.format(tag=tag, date=date, earlier=earlier, later=later)
    answer = ask(server, "/text.txt", "Range: bytes=0-9", f"If-Range: {value}")
    assert (answer.status, answer.body) == ((206, TEXT[:10]) if status == 206 else (200, TEXT))


def test_a_304_comes_before_a_range(start, site):
    server = start("serve", site)
    tag = ask(server, "/text.txt")["etag"]
    assert ask(server, "/text.txt", "Range: bytes=0-9", f"If-None-Match: {tag}").status == 304


def test_ranges_past_four_gibibytes(start, site):
    size, mark = (5 << 30) + 17, b"high tide mark"
    with open(site / "sparse.bin", "wb") as file:
        file.truncate(size)
        file.seek((4 << 30) + 5)
        file.write(mark)
        file.seek(size - len(mark))
        file.write(mark)
    server = start("serve", site)
    head = ask(server, "/sparse.bin", method="HEAD")
    assert head["content-length"] == str(size)
    for value in (f"bytes={(4 << 30) + 5}-{(4 << 30) + 4 + len(mark)}", f"bytes={size - len(mark)}-", f"bytes=-{len(mark)}"):
        answer = ask(server, "/sparse.bin", f"Range: {value}")
        assert (answer.status, answer.body) == (206, mark)
        assert answer["content-range"].endswith(f"/{size}")
    assert ask(server, "/sparse.bin", f"Range: bytes={size}-").status == 416


def test_curl_fetches_ranges_and_resumes(start, site, tmp_path):
    server = start("serve", site)
    assert client("curl", "-sS", "-r", "100-299", server.url("/text.txt")).stdout == TEXT[100:300]
    part = tmp_path / "part.txt"
    part.write_bytes(TEXT[:1234])
    resumed = client("curl", "-sS", "-C", "-", "-o", part, server.url("/text.txt"))
    assert resumed.returncode == 0, resumed.stderr
    assert part.read_bytes() == TEXT
