"""`tidemill serve`: no path, link or redirect leads out of the root."""
import os
import socket
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness import ORDINARY_USER
from tree import SECRET, TEXT
from wire import ask


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
    answer = ask(start("serve", site), target)
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
    answer = ask(start("serve", site), target)
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
    answer = ask(start("serve", site), target)
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
    answer = ask(start("serve", site), target)
    assert answer.status in (403, 404), answer
    assert SECRET not in answer.body


def test_relative_links_inside_the_root_are_followed(start, site):
    (site / "alias.txt").symlink_to("text.txt")
    (site / "dir" / "up.txt").symlink_to("../text.txt")
    (site / "there").symlink_to("dir/sub")
    (site / "chain").symlink_to("alias.txt")
    server = start("serve", site)
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
        server = start("serve", site)
        began = time.monotonic()
        for name in names:
            for method in ("GET", "HEAD"):
                assert ask(server, f"/{name}", method=method).status == 404, name
    assert time.monotonic() - began < 2
    assert ask(server, "/text.txt").body == TEXT


def test_a_root_that_is_replaced_while_it_is_served_stays_the_one_that_was_opened(start, site):
    server = start("serve", site)
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
    server = start("serve", site, user=ORDINARY_USER, group=ORDINARY_USER, extra_groups=[])
    assert f"Uid:\t{ORDINARY_USER}\t" in Path(f"/proc/{server.pid}/status").read_text()
    for target in ("/locked.txt", "/locked/x.txt"):
        answer = ask(server, target)
        assert answer.status == 403 and SECRET not in answer.body, target
    assert ask(server, "/text.txt").body == TEXT


def test_an_error_page_escapes_what_it_quotes(start, site):
    answer = ask(start("serve", site), "/%3Cscript%3Ealert(1)%3C/script%3E")
    assert answer.status == 404 and b"<script" not in answer.body
