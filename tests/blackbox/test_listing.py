"""`tidemill serve --listing`: what a browser and a program get of a directory, names chosen by somebody hostile included."""
import base64
import hashlib
import html.parser
import json
import os
import re
import urllib.parse

import pytest

from harness import client, wait_until
from wire import ask

NAMES = [
    b"plain.txt", b"with space.txt", b'quo"te.txt', b"quo'te.txt", b"<script>alert(1)<", b"a&amp;b", b"hash#frag", b"quest?ion",
    b"per%cent", b"plus+plus", b"semi;colon", "gr\u00fc\u00dfe".encode(), "\U0001f30a wave".encode(), "\u202egnp.exe".encode(),
    b"\xff\xfe latin", b"javascript:alert(1)", b"file2", b"file10", b"-rf", b"~user", "\u2028".encode(),
]  # fmt: skip
NEVER = [b"new\nline", b"back\\slash", b".hidden", b"tab\there"]


class Page(html.parser.HTMLParser):
    """Links in the table, all tags, and the style sheet."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.links, self.tags, self.style, self.crumbs, self.sorts = [], set(), "", [], []
        self.where, self.href = None, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs), attrs
        attrs = dict(attrs)
        if tag in ("nav", "thead", "tbody", "style"):
            self.where = tag
        if tag == "a":
            self.href, self.text = attrs["href"], ""
            {"nav": self.crumbs, "thead": self.sorts}.get(self.where, []).append(self.href)
        if tag == "bdi":
            self.text = ""

    def handle_data(self, data):
        if self.where == "style":
            self.style += data
        if self.href is not None:
            self.text += data

    def handle_endtag(self, tag):
        if tag in ("nav", "thead", "tbody", "style"):
            self.where = None
        if tag == "bdi" and self.where == "tbody":
            self.links.append((self.href, self.text))


@pytest.fixture
def tree(folder):
    site = folder / "site"
    odd = site / "odd"
    (odd / "folder").mkdir(parents=True)
    (odd / ".git").mkdir()
    for n, name in enumerate(NAMES + NEVER):
        path = os.path.join(os.fsencode(odd), name)
        with open(path, "wb") as file:
            file.write(b"x" * n)
        os.utime(path, (10**9 + n * 86400,) * 2)
    (folder / "secret").write_bytes(b"secret")
    os.symlink("../../secret", odd / "leak")
    os.symlink("plain.txt", odd / "link")
    os.mkfifo(odd / "fifo")
    (site / "index.html").write_bytes(b"home")
    return site


def test_every_name_is_shown_linked_and_leads_to_its_file(start, tree):
    server = start("serve", "--listing", tree)
    answer = ask(server, "/odd/")
    assert answer.status == 200 and answer["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.body.decode())
    shown = {text for _, text in page.links}
    assert shown == {n.decode(errors="replace") for n in NAMES} | {"folder/", "link"}
    for href, text in page.links:
        name = urllib.parse.unquote_to_bytes(href)
        target = os.path.join(os.fsencode(tree / "odd"), name)
        got = ask(server, "/odd/" + href)
        assert got.status == 200, text
        if not href.endswith("/"):
            assert got.body == open(target, "rb").read(), text
    assert "script" not in page.tags and page.tags <= {
        "html", "head", "meta", "title", "style", "body", "main", "nav", "h1", "a", "span", "p", "table", "thead", "tr", "th", "tbody",
        "td", "bdi", "time",
    }  # fmt: skip
    assert page.crumbs == ["/", "/odd/"]


def test_the_policy_allows_the_page_its_own_style_and_nothing_else(start, tree):
    answer = ask(start("serve", "--listing", tree), "/odd/")
    style = Page(answer.body.decode()).style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer["content-security-policy"]
    assert answer["content-security-policy"].startswith("default-src 'none'")
    assert answer["x-content-type-options"] == "nosniff"
    assert answer["cache-control"] == "no-cache"


def test_json_tells_the_same_to_programs(start, tree):
    server = start("serve", "--listing", tree)
    done = client("curl", "-sS", "-H", "Accept: application/json", server.url("/odd/"))
    by_accept = json.loads(done.stdout)
    assert by_accept == json.loads(ask(server, "/odd/?format=json").body)
    assert by_accept["path"] == "/odd/" and by_accept["truncated"] is False
    entries = {urllib.parse.unquote_to_bytes(e["href"]): e for e in by_accept["entries"]}
    assert set(entries) == {*NAMES, b"folder/", b"link"}
    for n, name in enumerate(NAMES):
        entry = entries[name]
        assert (entry["type"], entry["size"], entry["name"]) == ("file", n, name.decode(errors="replace"))
    assert entries[b"plain.txt"]["mtime"] == "2001-09-09T01:46:40Z"
    assert entries[b"folder/"]["type"] == "directory"


def test_it_is_sorted_as_asked_with_directories_first(start, tree):
    server = start("serve", "--listing", tree)

    def order(query, key):
        entries = json.loads(ask(server, f"/odd/?format=json&{query}").body)["entries"]
        assert entries[0]["type"] == "directory"
        return [e[key] for e in entries if e["type"] == "file" and e["href"] != "link"]

    sizes = order("sort=size", "size")
    assert sizes == sorted(sizes) and len(set(sizes)) > 5
    assert order("sort=size&order=desc", "size") == sizes[::-1]
    times = order("sort=time&order=desc", "mtime")
    assert times == sorted(times, reverse=True)
    names = order("sort=name", "name")
    assert names.index("file2") < names.index("file10")
    page = Page(ask(server, "/odd/?sort=size&order=asc").body.decode())
    assert page.sorts == ["?sort=name&order=asc", "?sort=size&order=desc", "?sort=time&order=asc"]


def test_conditions_head_and_redirects(start, tree):
    server = start("serve", "--listing", tree)
    first = ask(server, "/odd/")
    assert re.fullmatch(r'W/"[0-9a-f]{16}"', first["etag"])
    got = client("curl", "-sS", "-i", "-H", f"If-None-Match: {first['etag']}", server.url("/odd/")).stdout
    assert got.startswith(b"HTTP/1.1 304") and got.endswith(b"\r\n\r\n")
    head = client("curl", "-sS", "-I", server.url("/odd/")).stdout.decode().lower()
    assert f"content-length: {len(first.body)}" in head
    (tree / "odd" / "new").write_bytes(b"")
    got = client("curl", "-sS", "-i", "-H", f"If-None-Match: {first['etag']}", server.url("/odd/")).stdout
    assert got.startswith(b"HTTP/1.1 200")
    assert ask(server, "/odd").status == 301
    assert ask(server, "/").body == b"home"
    assert ask(server, "/odd/none/").status == 404
    assert ask(server, "/odd/.git/").status == 404
    assert ask(server, "/odd/folder/").status == 200


def test_without_the_flag_there_is_no_listing(start, tree):
    server = start("serve", tree)
    assert ask(server, "/odd/").status == 404
    assert ask(server, "/odd/?format=json").status == 404


def test_ten_thousand_entries_are_listed_whole_and_their_memory_is_given_back(start, folder):
    many = folder / "site" / "many"
    many.mkdir(parents=True)
    for n in range(10_000):
        (many / f"file-{n:05}.txt").touch()
    server = start("serve", "--listing", folder / "site")
    assert len(json.loads(ask(server, "/many/?format=json").body)["entries"]) == 10_000
    for _ in range(5):
        page = Page(ask(server, "/many/").body.decode())
        assert len(page.links) == 10_000
    before = server.rss()
    for _ in range(20):
        assert ask(server, "/many/").status == 200
    wait_until("memory to be flat", lambda: server.rss() - before < 16 << 20)
