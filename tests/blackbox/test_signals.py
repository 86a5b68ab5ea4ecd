"""TERM and INT drain, a second one aborts, nothing else ends the program; and broken output never does."""
import os
import signal
import socket
import subprocess
import time

import pytest

import harness
import wire
from harness import background, client, port_unread, wait_until
from wire import Reader, ask, request

LARGE = 80_000_000
FAST = 2.0


@pytest.fixture
def site(folder):
    with open(folder / "large.bin", "wb") as file:
        file.writelines(os.urandom(1_000_000) for _ in range(LARGE // 1_000_000))
    (folder / "small.txt").write_bytes(b"small")
    return folder


def refused(server):
    with socket.socket() as probe:
        return probe.connect_ex(server.endpoints[0].address) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("verb", [["echo"], ["respond", "--body", "x"], ["serve"]])
def test_connections_without_a_whole_request_do_not_hold_up_the_end(start, folder, verb, number):
    server = start(*verb, cwd=folder)
    silent, half = server.connect(), server.connect()
    if verb != ["echo"]:
        kept = server.connect()
        kept.sendall(request())
        Reader(kept).answer()
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
    began = time.monotonic()
    server.signal(number)
    assert server.wait() == 0
    assert time.monotonic() - began < FAST
    for sock in (silent, half):
        assert wire.eof_within(sock, 1)
    assert refused(server)


def test_echo_sends_back_what_it_has_before_it_ends(start):
    server = start("echo")
    sock = server.connect()
    sock.sendall(b"before")
    assert sock.recv(6, socket.MSG_WAITALL) == b"before"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert wire.eof_within(sock, 1)


def test_a_download_under_way_completes_and_new_connects_are_refused_at_once(start, site, tmp_path):
    server, got = start("serve", site), tmp_path / "got.bin"
    with background("curl", "-sS", "--limit-rate", "20M", "-o", got, server.url("/large.bin")) as curl:
        wait_until("the download to be under way", lambda: got.exists() and got.stat().st_size > 5_000_000)
        server.signal(signal.SIGTERM)
        wait_until("new connects to be refused", lambda: refused(server), 1)
        assert server.process.poll() is None and curl.poll() is None
        assert curl.wait(30) == 0
        assert server.wait() == 0
    assert got.read_bytes() == (site / "large.bin").read_bytes()


def test_an_answer_given_while_draining_says_close(start):
    server = start("respond", "--delay", "1s", "--body", "late")
    sock = server.connect()
    sock.sendall(request())
    wait_until("the request to be read", lambda: port_unread(server.port, sock.getsockname()[1]) == 0)
    server.signal(signal.SIGTERM)
    reader = Reader(sock)
    answer = reader.answer()
    assert (answer.status, answer.body, answer["connection"]) == (200, b"late", "close")
    assert reader.rest() == b""
    assert server.wait() == 0


def stuck_download(server):
    sock = server.connect(rcvbuf=4096)
    sock.sendall(request("/large.bin"))
    assert sock.recv(100)
    return sock


def test_a_second_signal_aborts(start, site):
    server = start("serve", site)
    stuck_download(server)
    server.signal(signal.SIGTERM)
    wait_until("the drain to begin", lambda: refused(server))
    assert server.process.poll() is None
    server.signal(signal.SIGTERM)
    assert server.wait(FAST) in (0, 1)


def test_the_drain_ends_at_its_deadline(start, site):
    server = start("serve", site, "--drain-timeout", "1s")
    stuck_download(server)
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait(5) == 0
    assert 0.8 <= time.monotonic() - began < 3


@pytest.mark.parametrize("name", ["HUP", "USR1", "USR2"])
def test_other_signals_are_named_in_the_log_and_end_nothing(start, name):
    server = start("respond", "--body", "x")
    for _ in range(3):
        server.signal(getattr(signal, f"SIG{name}"))
    wait_until(f"{name} in the log", lambda: name in server.stderr().upper())
    assert ask(server).status == 200


def test_a_peer_that_vanishes_while_we_write_ends_nothing(start, site):
    server = start("serve", site)
    for _ in range(20):
        sock = stuck_download(server)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    server.await_fds_at_start()
    assert ask(server, "/small.txt").body == b"small"


def test_stopped_and_continued_it_serves_on(start):
    server = start("respond", "--body", "x")
    server.signal(signal.SIGSTOP)
    socks = [server.connect() for _ in range(20)]
    for sock in socks:
        sock.sendall(request())
    server.signal(signal.SIGCONT)
    for sock in socks:
        assert Reader(sock).answer().body == b"x"


# Output that cannot be written


def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


BROKEN = {"closed pipe": closed_pipe, "full disk": lambda: os.open("/dev/full", os.O_WRONLY)}


def serves_echo(server, port):
    """Bytes come back alone: a log line that strays into a socket would be seen."""

    def answered():
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return False
            sock.settimeout(5)
            sock.sendall(b"tide")
            sock.shutdown(socket.SHUT_WR)
            return wire.read_to_end(sock) == b"tide"

    wait_until("an echo", answered)
    for _ in range(100):
        assert answered()
    server.fds_at_start = server.fds()
    assert server.process.poll() is None


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_it_serves_though_its_output_is_broken(start, kind, stream):
    port, broken = harness.free_port(), BROKEN[kind]()
    try:
        server = start("echo", "-vv", listen=[f"127.0.0.1:{port}"], ready=0, **{stream: broken})
    finally:
        os.close(broken)
    serves_echo(server, port)


@pytest.mark.parametrize("closing", ["1>&-", "2>&-", "<&-", "<&- 1>&- 2>&-"])
def test_it_serves_though_its_standard_streams_are_closed(start, closing):
    port = harness.free_port()
    before = ["sh", "-c", f'exec "$@" {closing}', "sh"]
    server = start("echo", "-vv", listen=[f"127.0.0.1:{port}"], ready=0, before=before)
    serves_echo(server, port)


def test_a_log_nobody_reads_never_blocks(start):
    reading, writing = os.pipe()
    try:
        server = start("echo", "-vv", stderr=writing)
        for _ in range(2000):
            sock = server.connect()
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            sock.close()
    finally:
        os.close(writing)
        os.close(reading)


def test_ready_lines_reach_a_pipe_at_once_and_alone(binary):
    argv = [binary, "echo", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "-vv"]
    with background(*argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        lines = [process.stdout.readline() for _ in range(2)]
        assert all(line.startswith(b"listening tcp:127.0.0.1:") and line.endswith(b" echo\n") for line in lines)
        process.terminate()
        assert process.stdout.read() == b""
        assert process.wait(10) == 0


def test_standard_error_is_left_as_it_was_found(start):
    """O_NONBLOCK is a property of the open file, which a shell or another program shares."""
    reading, writing = os.pipe()
    try:
        start("echo", stderr=writing)
        assert os.get_blocking(writing)
    finally:
        os.close(writing)
        os.close(reading)


def test_curl_sees_no_reset_when_the_end_comes_between_its_requests(start):
    server = start("respond", "--body", "x")
    assert client("curl", "-sS", server.url()).stdout == b"x"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert client("curl", "-sS", server.url()).returncode == 7
