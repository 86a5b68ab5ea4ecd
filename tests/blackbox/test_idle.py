"""An idle server makes no system call at all."""
import re
import subprocess
import time

import pytest

from harness import background, wait_until
from wire import Reader, request


@pytest.mark.parametrize("verb", [["echo"], ["respond", "--body", "x"]])
def test_a_thousand_idle_connections_cost_no_system_call(start, tmp_path, quick, verb):
    server = start(*verb)
    socks = [server.connect() for _ in range(1000)]
    for sock in socks:
        if verb == ["echo"]:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        else:
            sock.sendall(request())
            assert Reader(sock).answer().status == 200
    trace, notes = tmp_path / "trace", tmp_path / "strace-stderr"
    seconds = 3 if quick else 10
    with open(notes, "wb") as errors:
        argv = ["strace", "-f", "-ttt", "-o", trace, "-p", server.pid]
        with background(*argv, stderr=errors, stdout=subprocess.DEVNULL) as strace:
            wait_until("strace to be attached", lambda: "attached" in notes.read_text() or strace.poll() is not None)
            assert strace.poll() is None, notes.read_text()
            # To attach is to interrupt: the wait that was under way returns once and is taken up again.
            begin = time.time() + 0.5
            time.sleep(0.5 + seconds)  # a stretch of time is what is measured here
            end = time.time()
            calls = [line for line in trace.read_text().splitlines() if begin <= float(re.search(r"\d+\.\d+", line)[0]) <= end]
            strace.terminate()
            strace.wait(10)
    assert calls == [], "\n".join(calls)
    socks[500].sendall(b"y" if verb == ["echo"] else request())
    assert socks[500].recv(1)


def test_the_trace_would_show_a_call(start, tmp_path):
    """The test above proves something only if strace can see this process at all."""
    server = start("echo")
    sock = server.connect()
    trace, notes = tmp_path / "trace", tmp_path / "strace-stderr"
    with open(notes, "wb") as errors, background("strace", "-f", "-ttt", "-o", trace, "-p", server.pid, stderr=errors) as strace:
        wait_until("strace to be attached", lambda: "attached" in notes.read_text())
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        wait_until("the calls to be traced", lambda: "epoll_" in trace.read_text())
        strace.terminate()
        strace.wait(10)
