"""Five load generators that we did not write, and not one failed request. docs/load-testing.md tells more."""
import json
import re

import pytest

from harness import client

SMALL = b"x" * 1000
PATHS = {"respond": "/", "serve": "/small.txt"}


@pytest.fixture(params=["respond", "serve"])
def url(request, start, folder):
    (folder / "small.txt").write_bytes(SMALL)
    args = ["respond", "--body", "Hello, World!"] if request.param == "respond" else ["serve", folder]
    server = start(*args)
    yield server.url(PATHS[request.param])
    server.await_fds_at_start()


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return int(found[1])


def load(*argv):
    done = client(*argv, text=True)
    assert done.returncode == 0, done
    return done.stdout + done.stderr


@pytest.mark.parametrize("fields", [[], ["-H", "Connection: close"]], ids=["kept", "closed"])
def test_wrk(url, fields):
    said = load("wrk", "-t1", "-c64", "-d2s", *fields, url)
    assert number(r"(\d+) requests in", said) > 100
    assert "Socket errors" not in said and "Non-2xx" not in said, said


@pytest.mark.parametrize("flags", [["-k"], []], ids=["kept", "closed"])
def test_ab(url, flags):
    said = load("ab", *flags, "-q", "-c", "32", "-n", "5000", url)
    assert number(r"Complete requests:\s+(\d+)", said) == 5000
    assert number(r"Failed requests:\s+(\d+)", said) == 0
    assert "Non-2xx" not in said, said
    if flags:
        assert number(r"Keep-Alive requests:\s+(\d+)", said) == 5000, "HTTP/1.0 keep-alive was not kept"


@pytest.mark.parametrize("depth", [1, 16])
def test_h2load(url, depth):
    said = load("h2load", "--h1", "-n", "20000", "-c", "32", "-m", depth, url)
    counts = r"requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout"
    assert re.search(counts, said), said
    assert re.search(r"status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx", said), said


@pytest.mark.slow
def test_hey(url):
    said = load("hey", "-z", "2s", "-c", "32", url)
    assert number(r"\[200\]\s+(\d+) responses", said) > 100
    assert said.count(" responses") == 1 and "Error distribution" not in said, said


@pytest.mark.slow
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_siege(url, connection, folder):
    (folder / "siege.conf").write_text(
        f"verbose = false\nlogging = false\nshow-logfile = false\nprotocol = HTTP/1.1\nconnection = {connection}\nparser = false\nlimit = 64\n"
    )
    argv = ["siege", "-R", folder / "siege.conf", "-b", "-j", "-c", "16", "-r", "200", url]
    done = client(*argv, text=True, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"})
    said = json.loads(done.stdout[done.stdout.index("{") :])
    assert (said["transactions"], said["failed_transactions"]) == (3200, 0), done
