"""Representations of a file: what lies beside it in other codings, what is compressed on the fly, types and caching."""
import gzip
import os
import random
import socket
import time

import brotli
import pytest
import zstandard

from harness import client, wait_until
from tree import LONG_AGO, SECRET
from wire import Reader, ask, request

PLAIN = b"function plain() { return 'plain text, again and again'; }\n" * 400
DECODERS = {
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "gzip": gzip.decompress,
}


def write(path, content, mtime=LONG_AGO):
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))


@pytest.fixture
def coded(site):
    """The site with app.js in all codings, and page.html in none."""
    write(site / "app.js", PLAIN)
    write(site / "page.html", PLAIN)
    write(site / "app.js.br", brotli.compress(PLAIN))
    write(site / "app.js.zst", zstandard.ZstdCompressor().compress(PLAIN))
    write(site / "app.js.gz", gzip.compress(PLAIN, mtime=0))
    write(site / "photo.png", PLAIN)
    return site


ALL = ("--precompressed", "br,zst,gz")


def coding(answer):
    return answer["content-encoding"] if "content-encoding" in answer else None


def decoded(answer):
    name = coding(answer)
    return DECODERS[name](answer.body) if name else answer.body


# The choice


@pytest.mark.parametrize(
    "accept, want",
    [
        (None, None), ("", None), ("identity", None), ("deflate", None), ("gzip", "gzip"), ("x-gzip", "gzip"), ("GZIP", "gzip"),
        ("br", "br"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "br"), ("gzip, zstd", "zstd"), ("*", "br"),
        ("br;q=0.8, gzip;q=0.9", "gzip"), ("br;q=0.899,gzip;q=0.900", "gzip"), ("br;q=0, *", "zstd"), ("*;q=0", None),
        ("br;q=0, zstd;q=0, gzip;q=0", None), ("gzip;q=0.5, identity", None), ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.001", "gzip"), ("identity;q=0", None), ("gzip, *;q=0", "gzip"), ("gzip;q=2", None),
        ("gzip;q=0.0001", None), ("gzip;q", None), ("gzip;level=9", None), ("br gzip", None), ("\x80", None),
    ],
)  # fmt: skip
def test_the_coding_follows_qualities_and_then_the_servers_order(start, coded, accept, want):
    server = start("serve", coded, *ALL)
    fields = [] if accept is None else [b"Accept-Encoding: " + accept.encode("latin-1")]
    answer = ask(server, "/app.js", *fields)
    assert (answer.status, coding(answer), decoded(answer)) == (200, want, PLAIN)
    assert answer["vary"] == "Accept-Encoding"
    assert answer["content-type"] == "text/javascript; charset=utf-8"
    head = ask(server, "/app.js", *fields, method="HEAD")
    kept = ("content-length", "content-encoding", "etag", "vary", "content-type", "last-modified")
    assert [(k, v) for k, v in head.headers if k in kept] == [(k, v) for k, v in answer.headers if k in kept]


def test_several_lines_make_one_list(start, coded):
    server = start("serve", coded, *ALL)
    assert coding(ask(server, "/app.js", "Accept-Encoding: gzip", "Accept-Encoding: br;q=0.5")) == "gzip"
    assert coding(ask(server, "/app.js", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0")) is None


def test_the_operators_order_decides_and_only_what_is_named_is_looked_for(start, coded):
    gz_first = start("serve", coded, "--precompressed", "gz,br")
    assert coding(ask(gz_first, "/app.js", "Accept-Encoding: br, gzip, zstd")) == "gzip"
    assert coding(ask(gz_first, "/app.js", "Accept-Encoding: zstd")) is None
    off = start("serve", coded)
    answer = ask(off, "/app.js", "Accept-Encoding: br, gzip, zstd")
    assert (coding(answer), "vary" in answer) == (None, False)


def test_curl_takes_what_it_asked_for(start, coded):
    server = start("serve", coded, *ALL, "--gzip")
    for target in ("/app.js", "/page.html"):
        for _ in range(2):
            said = client("curl", "-sS", "--compressed", "-D", "-", "-o", "-", server.url(target))
            head, _, body = said.stdout.partition(b"\r\n\r\n")
            assert b"\r\nContent-Encoding: " in head and body == PLAIN
        assert client("curl", "-sS", server.url(target)).stdout == PLAIN


def test_a_packed_type_never_varies_and_a_sibling_can_be_asked_for_itself(start, coded):
    write(coded / "photo.png.gz", gzip.compress(PLAIN))
    server = start("serve", coded, *ALL, "--gzip")
    answer = ask(server, "/photo.png", "Accept-Encoding: gzip")
    assert (coding(answer), "vary" in answer, answer.body) == (None, False, PLAIN)
    itself = ask(server, "/app.js.gz", "Accept-Encoding: gzip")
    assert (coding(itself), itself["content-type"]) == (None, "application/gzip")


# Conditions and ranges are about the representation that was chosen


@pytest.mark.parametrize("flags", [ALL, ("--gzip",)], ids=["beside", "on the fly"])
def test_each_representation_has_its_own_strong_tag_and_304(start, coded, flags):
    server = start("serve", coded, *flags, "--cache-control", "*.js=max-age=60")
    accepts = ["br", "zstd", "gzip", "identity"] if flags is ALL else ["gzip", "identity"]
    tags = {}
    for accept in accepts:
        answer = ask(server, "/app.js", f"Accept-Encoding: {accept}")
        assert (coding(answer) or "identity", decoded(answer)) == (accept, PLAIN)
        tags[accept] = answer["etag"]
        assert answer["etag"].startswith('"')
    assert len(set(tags.values())) == len(accepts)
    for accept in accepts:
        for other, tag in tags.items():
            answer = ask(server, "/app.js", f"Accept-Encoding: {accept}", f"If-None-Match: {tag}")
            assert answer.status == (304 if other == accept else 200), (accept, other)
            assert (answer["vary"], answer["cache-control"]) == ("Accept-Encoding", "max-age=60")
            assert answer["etag"] == tags[accept]
        several = ask(server, "/app.js", f"Accept-Encoding: {accept}", "If-None-Match: " + ", ".join(tags.values()))
        assert several.status == 304


@pytest.mark.parametrize("flags", [ALL, ("--gzip",)], ids=["beside", "on the fly"])
def test_ranges_are_cut_from_the_representation_that_was_chosen(start, coded, flags):
    server = start("serve", coded, *flags)
    for accept in ("gzip", "identity"):
        line = f"Accept-Encoding: {accept}"
        whole = ask(server, "/app.js", line)
        part = ask(server, "/app.js", line, "Range: bytes=10-29")
        assert (part.status, part.body, coding(part)) == (206, whole.body[10:30], coding(whole))
        assert part["content-range"] == f"bytes 10-29/{len(whole.body)}"
        assert (part["vary"], part["etag"]) == ("Accept-Encoding", whole["etag"])
        same = ask(server, "/app.js", line, "Range: bytes=10-29", f"If-Range: {whole['etag']}")
        assert same.status == 206
        beyond = ask(server, "/app.js", line, f"Range: bytes={len(whole.body)}-")
        assert (beyond.status, beyond["content-range"], beyond["vary"]) == (416, f"bytes */{len(whole.body)}", "Accept-Encoding")
    of_plain = ask(server, "/app.js", "Accept-Encoding: gzip", "Range: bytes=10-29", f"If-Range: {whole['etag']}")
    assert (of_plain.status, coding(of_plain), decoded(of_plain)) == (200, "gzip", PLAIN)


@pytest.mark.parametrize("flags", [ALL, ("--gzip",)], ids=["beside", "on the fly"])
def test_several_ranges_of_a_coded_representation_are_answered_with_the_whole(start, coded, flags):
    server = start("serve", coded, *flags)
    answer = ask(server, "/app.js", "Accept-Encoding: gzip", "Range: bytes=0-1, 120-121")
    assert (answer.status, coding(answer), decoded(answer)) == (200, "gzip", PLAIN)
    plain = ask(server, "/app.js", "Range: bytes=0-1, 900-901")
    assert plain.status == 206 and plain["content-type"].startswith("multipart/byteranges")
    assert plain["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("flags", [ALL, ("--gzip",)], ids=["beside", "on the fly"])
def test_a_precondition_is_about_the_representation_that_was_chosen(start, coded, flags):
    server = start("serve", coded, *flags)
    for accept, other in (("gzip", "identity"), ("identity", "gzip")):
        tag = ask(server, "/app.js", f"Accept-Encoding: {accept}")["etag"]
        assert ask(server, "/app.js", f"Accept-Encoding: {accept}", f"If-Match: {tag}").status == 200
        failed = ask(server, "/app.js", f"Accept-Encoding: {other}", f"If-Match: {tag}")
        assert (failed.status, failed["vary"]) == (412, "Accept-Encoding")
        assert failed["etag"] != tag


# When a file beside another counts


def served(server, target="/page.html"):
    return coding(ask(server, target, "Accept-Encoding: gzip"))


def test_a_sibling_counts_only_when_it_is_no_older_and_has_settled(start, coded):
    server = start("serve", coded, *ALL)
    packed = gzip.compress(PLAIN)
    for mtime, want in [(LONG_AGO, "gzip"), (LONG_AGO + 1, "gzip"), (LONG_AGO - 1, None), (time.time(), None)]:
        write(coded / "page.html.gz", packed, mtime)
        assert served(server) == want, mtime
    os.utime(coded / "page.html.gz", (LONG_AGO, LONG_AGO))
    assert served(server) == "gzip"
    write(coded / "page.html", b"newer", LONG_AGO + 5)
    assert served(server) is None
    (coded / "page.html.gz").unlink()
    assert served(server) is None


def test_a_sibling_that_is_no_file_or_leads_outside_is_none(start, coded):
    server = start("serve", coded, *ALL)
    sibling = coded / "page.html.gz"
    outside = coded.parent / "outside.gz"
    write(outside, gzip.compress(SECRET))
    for make in (
        lambda: os.mkfifo(sibling),
        lambda: sibling.mkdir(),
        lambda: sibling.symlink_to("../outside.gz"),
        lambda: sibling.symlink_to(outside),
        lambda: sibling.symlink_to("page.html.gz"),
    ):
        make()
        answer = ask(server, "/page.html", "Accept-Encoding: gzip")
        assert (answer.status, coding(answer), answer.body) == (200, None, PLAIN)
        sibling.rmdir() if sibling.is_dir() else sibling.unlink()
    sibling.symlink_to("app.js.gz")
    assert served(server) == "gzip"


# On the fly


def test_what_is_compressed_on_the_fly_is_the_same_each_time_and_follows_its_file(start, coded):
    server = start("serve", coded, "--gzip")
    answers = [ask(server, "/page.html", "Accept-Encoding: gzip") for _ in range(3)]
    assert {coding(answer) for answer in answers} == {"gzip"}
    assert len({(answer.body, answer["etag"]) for answer in answers}) == 1
    assert decoded(answers[0]) == PLAIN and len(answers[0].body) < len(PLAIN) / 10
    write(coded / "page.html", PLAIN + b"more", LONG_AGO + 9)
    changed = ask(server, "/page.html", "Accept-Encoding: gzip")
    assert decoded(changed) == PLAIN + b"more" and changed["etag"] != answers[0]["etag"]


def test_a_restart_gives_the_same_bytes_under_the_same_tag(start, coded):
    one, other = (ask(start("serve", coded, "--gzip"), "/page.html", "Accept-Encoding: gzip") for _ in range(2))
    assert (one.body, one["etag"]) == (other.body, other["etag"])


def test_what_does_not_shrink_is_small_large_or_of_another_type_is_sent_as_it_is(start, coded):
    noise = random.Random(1).randbytes(100_000)
    write(coded / "noise.txt", noise)
    write(coded / "small.txt", b"a" * 1023)
    write(coded / "edge.txt", b"a" * 1024)
    write(coded / "large.txt", b"a" * ((8 << 20) + 1))
    server = start("serve", coded, "--gzip")
    for target, has_vary in [("/noise.txt", True), ("/small.txt", False), ("/large.txt", False), ("/photo.png", False)]:
        for _ in range(2):
            answer = ask(server, target, "Accept-Encoding: gzip")
            assert (coding(answer), "vary" in answer) == (None, has_vary), target
            assert answer.body == (coded / target[1:]).read_bytes()
    assert served(server, "/edge.txt") == "gzip"


def test_a_file_written_just_now_is_compressed_but_no_part_of_it(start, coded):
    server = start("serve", coded, "--gzip")
    write(coded / "page.html", PLAIN, time.time())
    whole = ask(server, "/page.html", "Accept-Encoding: gzip")
    assert (decoded(whole), whole["vary"]) == (PLAIN, "Accept-Encoding")
    if coding(whole):
        assert whole["etag"].startswith('W/"')
    part = ask(server, "/page.html", "Accept-Encoding: gzip", "Range: bytes=0-9")
    if (coding(part), part.status) != ("gzip", 206):
        assert (coding(part), part.body) == (None, PLAIN[:10])
    else:
        # The machine was so slow that the file had settled meanwhile.
        assert time.time() - (coded / "page.html").stat().st_mtime > 2


def test_compressing_5_mb_holds_up_nobody(start, coded):
    words = random.Random(2)
    big = b" ".join(words.choice([b"alpha", b"beta", b"gamma", b"%d" % words.randrange(10**6)]) for _ in range(1_000_000))
    assert 5_000_000 < len(big) < 8 << 20
    write(coded / "big.txt", big)
    # What is not yet at rest is compressed for each request anew.
    wait_until("the file to come to rest", lambda: time.time() - (coded / "big.txt").stat().st_ctime > 3.5)
    server = start("serve", coded, "--gzip")
    waiting = server.connect()
    before = server.cpu_seconds()
    waiting.sendall(request("/big.txt", "Accept-Encoding: gzip"))
    neighbour, answers = server.connect(), 0
    reader = Reader(neighbour)
    waiting.setblocking(False)
    while True:
        neighbour.sendall(request("/page.html"))
        assert reader.answer().body == PLAIN
        try:
            waiting.recv(1, socket.MSG_PEEK)
            break
        except BlockingIOError:
            answers += 1
    waiting.settimeout(30)
    answer = Reader(waiting).answer()
    assert answers >= 3, "the neighbour was answered while a thread compressed"
    assert coding(answer) == "gzip" and decoded(answer) == big
    spent = server.cpu_seconds()
    assert ask(server, "/big.txt", "Accept-Encoding: gzip").body == answer.body
    assert ask(server, "/big.txt", "Accept-Encoding: gzip", f"If-None-Match: {answer['etag']}").status == 304
    assert server.cpu_seconds() - spent < max(0.05, (spent - before) / 2), "it was kept"


def test_a_hundred_clients_for_one_large_file_are_all_answered(start, coded):
    write(coded / "big.txt", PLAIN * 100)
    server = start("serve", coded, "--gzip")
    socks = [server.connect(timeout=30) for _ in range(100)]
    for sock in socks:
        sock.sendall(request("/big.txt", "Accept-Encoding: gzip"))
    codings = set()
    for sock in socks:
        answer = Reader(sock).answer()
        assert decoded(answer) == PLAIN * 100 and answer["vary"] == "Accept-Encoding"
        codings.add(coding(answer))
    assert "gzip" in codings


def test_a_client_that_leaves_before_its_answer_holds_up_nothing(start, coded):
    write(coded / "big.txt", PLAIN * 200)
    server = start("serve", coded, "--gzip")
    for _ in range(3):
        sock = server.connect()
        sock.sendall(request("/big.txt", "Accept-Encoding: gzip"))
        sock.close()
    wait_until("the compressed form", lambda: served(server, "/big.txt") == "gzip")


# Types, caching, names, links, index files


def test_types_charset_and_cache_control_are_what_the_flags_say(start, coded):
    (coded / "assets").mkdir()
    write(coded / "assets" / "app.css", b"x")
    write(coded / "notes.md", b"x")
    server = start(
        "serve", coded, "--mime", "md=text/html", "--mime", "js=application/x-own", "--charset", "iso-8859-1",
        "--cache-control", "assets/**=public, max-age=31536000, immutable", "--cache-control", "*.{html,md}=no-cache",
    )  # fmt: skip
    table = {
        "/notes.md": ("text/html; charset=iso-8859-1", "no-cache"),
        "/app.js": ("application/x-own", None),
        "/assets/app.css": ("text/css; charset=iso-8859-1", "public, max-age=31536000, immutable"),
        "/": ("text/html; charset=iso-8859-1", "no-cache"),
        "/dir/": ("text/html; charset=iso-8859-1", "no-cache"),
        "/photo.png": ("image/png", None),
    }
    for target, (kind, cache) in table.items():
        for _ in range(2):
            answer = ask(server, target)
            assert (answer["content-type"], answer.all("cache-control")) == (kind, [cache] if cache else []), target
    assert ask(start("serve", coded, "--charset", "none"), "/").headers.count(("content-type", "text/html")) == 1


def test_hidden_names_are_served_only_when_asked_for(start, coded):
    assert ask(start("serve", coded), "/.hidden").status == 404
    server = start("serve", coded, "--hidden")
    assert [ask(server, t).status for t in ("/.hidden", "/.git/config", "/../secret.txt", "/.%2e/secret.txt")] == [200, 200, 400, 400]


def test_links_are_followed_as_the_flag_says(start, coded):
    (coded / "in").symlink_to("app.js")
    (coded / "out").symlink_to("../secret.txt")
    for flags, want in [((), (200, 403)), (("--symlinks", "none"), (403, 403)), (("--symlinks", "follow"), (200, 200))]:
        server = start("serve", coded, *flags)
        assert (ask(server, "/in").status, ask(server, "/out").status) == want, flags


def test_the_first_index_file_that_is_there_answers(start, coded):
    write(coded / "dir" / "home.htm", b"home")
    server = start("serve", coded, "--index", "home.htm", "--index", "index.html")
    assert (ask(server, "/dir/").body, ask(server, "/").body) == (b"home", b"<h1>home</h1>")
    write(coded / "home.htm", b"new home")
    assert ask(server, "/").body == b"new home"


@pytest.mark.parametrize(
    "flag, value, says",
    [
        ("--precompressed", "deflate", "write br, zst or gz"),
        ("--cache-control", "*.css", "GLOB=VALUE"),
        ("--cache-control", "[=max-age=1", "a '[' needs its ']'"),
        ("--mime", "md=html", "a type such as text/html"),
        ("--charset", "a b", "no name of a charset"),
        ("--symlinks", "some", "possible values"),
        ("--index", "a/b", "no name of an index file"),
    ],
)
def test_a_bad_flag_is_refused_with_a_word_of_help(run, coded, flag, value, says):
    ended = run("serve", coded, flag, value)
    assert ended.returncode == 2 and says in ended.stderr, ended.stderr
