"""`tidemill serve`: real files, whole, in parts, while they change, and nothing outside the root."""
import email.utils
import hashlib
import os
import socket
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness import ORDINARY_USER, client, wait_until
from wire import Reader, ask, request

SECRET = b"the secret outside the root"
LONG_AGO = 1_600_000_000
TEXT = bytes(range(256)) * 40
SIZE = len(TEXT)


@pytest.fixture
def site(folder):
    """A root with everything in it that can be asked for, beside things that must never be served."""
    root = folder / "site"
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "site-sibling").mkdir()
    (folder / "site-sibling" / "secret.txt").write_bytes(SECRET)
    for name in ("", "dir", "dir/sub", "empty", ".well-known", ".git", "dir/.private", "evil.example", "sp ace"):
        (root / name).mkdir()
    files = {
        "index.html": b"<h1>home</h1>",
        "dir/index.html": b"<h1>dir</h1>",
        "evil.example/index.html": b"<h1>evil</h1>",
        "sp ace/index.html": b"<h1>space</h1>",
        "dir/sub/deep.txt": b"deep",
        "text.txt": TEXT,
        "empty.txt": b"",
        "with space.txt": b"space",
        "gr\u00fc\u00dfe.txt": b"utf-8",
        "per%cent.txt": b"percent",
        "a+b.txt": b"plus",
        "q?.txt": b"question",
        "back\\slash.txt": b"backslash",
        ".hidden": SECRET,
        ".git/config": SECRET,
        "dir/.private/x": SECRET,
        ".well-known/security.txt": b"contact",
        ".well-known/.deeper": SECRET,
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
        os.utime(root / name, (LONG_AGO, LONG_AGO))
    return root


def served(start, site, *flags, **options):
    return start("serve", site, *flags, **options)


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
    answer = ask(served(start, site), target)
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
    assert ask(served(start, site), f"/{name}")["content-type"].split(";")[0] == kind


@pytest.mark.parametrize("target", ["/missing", "/dir/missing", "/text.txt/", "/text.txt/x", "/missing/"])
def test_what_is_not_there_is_404(start, site, target):
    assert ask(served(start, site), target).status == 404


def test_a_folder_without_an_index_is_not_listed(start, site):
    assert ask(served(start, site), "/empty/").status in (403, 404)


@pytest.mark.parametrize(
    "target",
    ["/.hidden", "/.git/config", "/.git/", "/.git", "/dir/.private/x", "/%2ehidden", "/%2Egit/config", "/.well-known/.deeper", "/..."],
)
def test_names_that_begin_with_a_dot_are_404(start, site, target):
    answer = ask(served(start, site), target)
    assert answer.status == 404 and SECRET not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "FROB"])
def test_other_methods_are_405_and_told_what_is_allowed(start, site, method):
    answer = ask(served(start, site), "/text.txt", "Content-Length: 5", method=method, body=b"hello")
    assert answer.status == 405
    assert {m.strip() for m in answer["allow"].split(",")} >= {"GET", "HEAD"}


def test_the_connection_stays_in_step_after_a_405_with_a_body(start, site):
    sock = served(start, site).connect()
    sock.sendall(request("/text.txt", "Content-Length: 46", method="POST", body=request("/dir/sub/deep.txt").ljust(46, b"x")))
    said = Reader(sock)
    assert said.answer("POST").status == 405
    sock.shutdown(socket.SHUT_WR)
    assert said.rest() == b"", "the body was taken for a request"


@pytest.mark.parametrize("target", ["/text.txt", "/", "/dir", "/missing", "/empty.txt"])
def test_head_gives_the_fields_of_get(start, site, target):
    server = served(start, site)
    get, head = ask(server, target), ask(server, target, method="HEAD")
    assert (head.status, head.body) == (get.status, b"")
    assert fields_of(head, "connection") == fields_of(get, "connection")


# Redirects


@pytest.mark.parametrize(
    "target, location",
    [
        ("/dir", "/dir/"),
        ("/dir?a=b&c=%20d", "/dir/?a=b&c=%20d"),
        ("/dir/sub/../../dir", "/dir/"),
        ("/sp%20ace", "/sp%20ace/"),
        ("http://elsewhere.example/dir", "/dir/"),
    ],
)
def test_a_folder_without_its_slash_is_redirected_by_path_only(start, site, target, location):
    answer = ask(served(start, site), target)
    assert (answer.status, answer["location"]) == (301, location)


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example", "///evil.example", "//evil.example/..", "//evil.example/%2e%2e", "/%2fevil.example", "/%2Fevil.example/",
        "/\\evil.example", "/%5cevil.example", "/./evil.example", "/.//evil.example", "/dir/..//evil.example", "/evil.example",
        "/dir%0d%0aX-Injected:%20y", "/dir?%0d%0aX-Injected:%20y", "/dir?\\\\evil.example", "//evil.example?x", "//x@evil.example",
    ],
)
def test_no_redirect_leads_to_another_host(start, site, target):
    answer = ask(served(start, site), target)
    assert "x-injected" not in answer
    for location in answer.all("location"):
        assert location.startswith("/") and not location.startswith(("//", "/\\")), location
        assert urlsplit(location).netloc == ""


# Nothing outside the root


def traversals():
    ups = ["..", "%2e%2e", "%2E%2e", ".%2e", "%2e.", "%252e%252e", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "..%00", "%00..", "..;", "%u002e%u002e"]
    slashes = ["/", "%2f", "%2F", "\\", "%5c", "%252f", "//", "/./", "%c0%af", "%00/"]
    for up in ups:
        for slash in slashes:
            yield f"/{up}{slash}secret.txt"
            yield f"/dir/{up}{slash}{up}{slash}secret.txt"
    yield from (
        "/../site-sibling/secret.txt", "/%2e%2e/site-sibling/secret.txt", "/..%2fsite-sibling%2fsecret.txt", "-sibling/secret.txt",
        "/../../../../../../etc/passwd", "//etc/passwd", "/%2fetc%2fpasswd", "/etc/passwd", "/text.txt%00.html", "/%00", "/text.txt%00",
        "/%2e%2e", "/..", "/../", "/dir/../..", "/%", "/%2", "/%zz", "/%g0text.txt", "/text%2etxt%", "/dir\\..\\..\\secret.txt", "/C:/secret",
    )  # fmt: skip


@pytest.mark.parametrize("target", sorted(set(traversals())))
def test_nothing_outside_the_root_is_served(start, site, target):
    answer = ask(served(start, site), target)
    assert answer.status in (400, 404) or (answer.status, answer.body) == (200, b"<h1>home</h1>"), answer


def links(site):
    outside = site.parent / "secret.txt"
    made = {
        "absolute": outside, "relative": "../secret.txt", "up": "..", "root": "/", "device": "/dev/zero", "self": "self",
        "one": "two", "two": "one", "proc": "/proc/self/root", "dangling": "nowhere", "twice": "relative", "sibling": "../site-sibling",
        "absolute-inside": site / "text.txt",
    }
    for name, target in made.items():
        (site / name).symlink_to(target)
    return made


@pytest.mark.parametrize(
    "target",
    [
        "/absolute", "/relative", "/up/secret.txt", "/up", "/up/", "/root/etc/passwd", "/root", "/device", "/self", "/self/x", "/one",
        "/proc/etc/passwd", "/dangling", "/twice", "/sibling/secret.txt", "/sibling", "/absolute-inside", "/up/site/text.txt",
    ],
)
def test_links_that_leave_the_root_or_lead_nowhere_are_not_followed(start, site, target):
    links(site)
    answer = ask(served(start, site), target)
    assert answer.status in (403, 404), answer
    assert SECRET not in answer.body


def test_relative_links_inside_the_root_are_followed(start, site):
    (site / "alias.txt").symlink_to("text.txt")
    (site / "dir" / "up.txt").symlink_to("../text.txt")
    (site / "there").symlink_to("dir/sub")
    (site / "chain").symlink_to("alias.txt")
    server = served(start, site)
    for target in ("/alias.txt", "/dir/up.txt", "/chain"):
        assert ask(server, target).body == TEXT, target
    assert ask(server, "/there/deep.txt").body == b"deep"


def test_a_fifo_a_device_and_a_socket_are_404_at_once(start, site):
    os.mkfifo(site / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site / "socket"))
        names = ["fifo", "socket"]
        if os.geteuid() == 0:
            os.mknod(site / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
            names.append("device")
        server = served(start, site)
        began = time.monotonic()
        for name in names:
            for method in ("GET", "HEAD"):
                assert ask(server, f"/{name}", method=method).status == 404, name
    assert time.monotonic() - began < 2
    assert ask(server, "/text.txt").body == TEXT


def test_a_root_that_is_replaced_while_it_is_served_stays_the_one_that_was_opened(start, site):
    server = served(start, site)
    site.rename(site.parent / "moved")
    site.symlink_to(site.parent)
    assert ask(server, "/secret.txt").status == 404
    assert ask(server, "/text.txt").body == TEXT


def test_what_may_not_be_read_is_403(start, site):
    assert os.geteuid() == 0, "this test must start as root, to run the server as an ordinary user"
    (site / "locked.txt").write_bytes(SECRET)
    (site / "locked.txt").chmod(0)
    (site / "locked").mkdir()
    (site / "locked" / "x.txt").write_bytes(SECRET)
    (site / "locked").chmod(0o700)
    server = served(start, site, user=ORDINARY_USER, group=ORDINARY_USER, extra_groups=[])
    assert f"Uid:\t{ORDINARY_USER}\t" in Path(f"/proc/{server.pid}/status").read_text()
    for target in ("/locked.txt", "/locked/x.txt"):
        answer = ask(server, target)
        assert answer.status == 403 and SECRET not in answer.body, target
    assert ask(server, "/text.txt").body == TEXT


def test_an_error_page_escapes_what_it_quotes(start, site):
    answer = ask(served(start, site), "/%3Cscript%3Ealert(1)%3C/script%3E")
    assert answer.status == 404 and b"<script" not in answer.body


# Conditions


def test_a_settled_file_has_a_strong_tag_and_its_date(start, site):
    answer = ask(served(start, site), "/text.txt")
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
    server = served(start, site)
    tag = ask(server, "/text.txt")["etag"]
    fields, status = conditions(tag)[row]
    answer = ask(server, "/text.txt", *fields, method=method)
    assert answer.status == status, fields
    assert answer["etag"] == tag
    assert answer.body == (TEXT if (status, method) == (200, "GET") else b"")


def test_a_304_leaves_the_connection_in_step(start, site):
    server = served(start, site)
    tag = ask(server, "/text.txt")["etag"]
    sock = server.connect()
    sock.sendall(request("/text.txt", f"If-None-Match: {tag}") * 3 + request("/dir/sub/deep.txt"))
    reader = Reader(sock)
    assert [reader.answer().status for _ in range(3)] == [304] * 3
    assert reader.answer().body == b"deep"


def test_a_change_within_the_second_is_always_seen(start, site):
    server = served(start, site)
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
    assert all(tag.startswith("W/") for tag in ask(served(start, site), "/fresh.txt").all("etag"))


def test_a_small_file_rewritten_with_its_old_times_is_still_seen(start, site):
    server = served(start, site)
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
    answer = ask(served(start, site), "/text.txt", f"Range: {value}")
    assert (answer.status, answer.body) == (206, TEXT[first:end])
    assert answer["content-range"] == f"bytes {first}-{end - 1}/{SIZE}"
    assert answer["content-length"] == str(end - first)


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", "bytes=99999999999-", f"bytes={2**63}-", f"bytes={2**64 - 1}-"])
def test_a_range_outside_the_file_is_416_with_its_size(start, site, value):
    answer = ask(served(start, site), "/text.txt", f"Range: {value}")
    assert (answer.status, answer["content-range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize(
    "value",
    [
        "bytes=5-4", "bytes=a-b", "bytes=", "bytes", "lines=0-4", "bytes=--1", "bytes=1", "bytes=0x0-5", "bytes=+0-5", "bytes= ", "0-5",
        "bytes=0-1,5-9", "bytes=" + ",".join(f"{n}-" for n in range(1300)),
    ],
)
def test_a_range_that_is_none_or_several_gets_the_whole_file(start, site, value):
    answer = ask(served(start, site), "/text.txt", f"Range: {value}")
    assert (answer.status, answer.body) == (200, TEXT)
    assert "content-range" not in answer


def test_head_ignores_ranges_or_answers_as_get_does(start, site):
    answer = ask(served(start, site), "/text.txt", "Range: bytes=0-9", method="HEAD")
    assert (answer.status, answer["content-length"]) in ((200, str(SIZE)), (206, "10"))


def test_any_range_of_an_empty_file_is_416_or_the_whole(start, site):
    server = served(start, site)
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
    server = served(start, site)
    tag = ask(server, "/text.txt")["etag"]
    date, earlier, later = (email.utils.formatdate(LONG_AGO + d, usegmt=True) for d in (0, -60, 60))
    value = condition.format(tag=tag, date=date, earlier=earlier, later=later)
    answer = ask(server, "/text.txt", "Range: bytes=0-9", f"If-Range: {value}")
    assert (answer.status, answer.body) == ((206, TEXT[:10]) if status == 206 else (200, TEXT))


def test_a_304_comes_before_a_range(start, site):
    server = served(start, site)
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
    server = served(start, site)
    head = ask(server, "/sparse.bin", method="HEAD")
    assert head["content-length"] == str(size)
    for value in (f"bytes={(4 << 30) + 5}-{(4 << 30) + 4 + len(mark)}", f"bytes={size - len(mark)}-", f"bytes=-{len(mark)}"):
        answer = ask(server, "/sparse.bin", f"Range: {value}")
        assert (answer.status, answer.body) == (206, mark)
        assert answer["content-range"].endswith(f"/{size}")
    assert ask(server, "/sparse.bin", f"Range: bytes={size}-").status == 416


def test_curl_fetches_ranges_and_resumes(start, site, tmp_path):
    server = served(start, site)
    assert client("curl", "-sS", "-r", "100-299", server.url("/text.txt")).stdout == TEXT[100:300]
    part = tmp_path / "part.txt"
    part.write_bytes(TEXT[:1234])
    resumed = client("curl", "-sS", "-C", "-", "-o", part, server.url("/text.txt"))
    assert resumed.returncode == 0, resumed.stderr
    assert part.read_bytes() == TEXT


# Large files, and files that change while they are sent


def large(path, mebibytes):
    """Random content, and its hash."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(mebibytes):
            block = os.urandom(1 << 20)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def test_two_hundred_megabytes_arrive_unchanged(start, site, tmp_path):
    digest = large(site / "large.bin", 200)
    server = served(start, site)
    before = server.rss()
    fetched = client("curl", "-sS", "-o", tmp_path / "got.bin", server.url("/large.bin"))
    assert fetched.returncode == 0, fetched.stderr
    with open(tmp_path / "got.bin", "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    assert server.rss() - before < 8 << 20


def test_pipelined_large_files_come_in_order(start, site):
    contents = {f"/{size}.bin": os.urandom(size) for size in (65535, 65536, 65537, 262144, 262145, 3_000_000)}
    for name, content in contents.items():
        (site / name[1:]).write_bytes(content)
    sock = served(start, site).connect()
    sock.sendall(b"".join(map(request, contents)) + request("/text.txt"))
    reader = Reader(sock)
    for name, content in contents.items():
        assert reader.answer().body == content, name
    assert reader.answer().body == TEXT


@pytest.mark.parametrize("change", ["removed", "replaced", "grown"])
def test_a_file_that_changes_while_it_is_sent_is_sent_as_it_was_opened(start, site, change):
    path, size = site / "moving.bin", 64 << 20
    digest = large(path, 64)
    sock = served(start, site).connect(rcvbuf=65536)
    sock.sendall(request("/moving.bin"))
    first = sock.recv(1000)
    if change == "removed":
        path.unlink()
    elif change == "replaced":
        (site / "new.bin").write_bytes(bytes(size))
        (site / "new.bin").rename(path)
    else:
        with open(path, "ab") as file:
            file.write(b"surplus" * 100_000)
    sock.sendall(request("/text.txt"))
    reader = Reader(sock)
    reader.left = first
    answer = reader.answer()
    assert answer["content-length"] == str(size)
    assert hashlib.sha256(answer.body).hexdigest() == digest
    assert reader.answer().body == TEXT


def test_a_file_cut_short_while_it_is_sent_ends_the_connection_without_filler(start, site):
    path, kept = site / "cut.bin", 24 << 20
    large(path, 64)
    whole = path.read_bytes()
    server = served(start, site, env={"TIDEMILL_LOG": "debug"})
    sock = server.connect(rcvbuf=65536)
    sock.sendall(request("/cut.bin"))
    said = sock.recv(1000)
    os.truncate(path, kept)
    try:
        while chunk := sock.recv(1 << 18):
            said += chunk
    except ConnectionResetError:
        pass
    head, _, body = said.partition(b"\r\n\r\n")
    assert f"content-length: {len(whole)}".encode() in head.lower()
    assert 0 < len(body) <= kept
    assert body == whole[: len(body)]
    wait_until("file_truncated in the log", lambda: "file_truncated" in server.stderr())


def test_a_client_that_goes_away_in_the_middle_frees_everything(start, site):
    large(site / "large.bin", 32)
    server = served(start, site)
    for _ in range(50):
        sock = server.connect(rcvbuf=65536)
        sock.sendall(request("/large.bin"))
        sock.recv(1000)
        sock.close()
    server.await_fds_at_start()
    assert ask(server, "/text.txt").body == TEXT


def test_a_half_closed_client_still_gets_its_file(start, site):
    digest = large(site / "large.bin", 32)
    sock = served(start, site).connect(rcvbuf=65536)
    sock.sendall(request("/large.bin"))
    sock.shutdown(socket.SHUT_WR)
    reader = Reader(sock)
    assert hashlib.sha256(reader.answer().body).hexdigest() == digest
    assert reader.rest() == b""


def test_a_slow_reader_does_not_hold_up_the_others(start, site):
    large(site / "large.bin", 32)
    server = served(start, site)
    stuck = [server.connect(rcvbuf=4096) for _ in range(20)]
    for sock in stuck:
        sock.sendall(request("/large.bin"))
    began = time.monotonic()
    for _ in range(100):
        assert ask(server, "/text.txt").status == 200
    assert time.monotonic() - began < 5
    assert all(sock.recv(15) == b"HTTP/1.1 200 OK" for sock in stuck)
