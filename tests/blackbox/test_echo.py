"""`tidemill echo` over TCP and Unix sockets: exact, bounded, and hard to upset."""
import os
import signal
import socket
import stat
import struct
import threading
import time

import pytest

import harness
import wire
from harness import client, wait_until

RESET = struct.pack("ii", 1, 0)


def places(folder):
    return {"tcp": "127.0.0.1:0", "unix": f"unix:{folder}/echo.sock", "abstract": f"unix:@tidemill-{os.getpid()}"}


def exchange(sock, data):
    """Sends while it reads, so that neither side's buffers can fill for good."""

    def send():
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    got = wire.read_to_end(sock)
    sender.join()
    return got


@pytest.mark.parametrize("place", ["tcp", "unix", "abstract"])
def test_eight_mebibytes_then_our_fin_come_back_whole(start, folder, place):
    server = start("echo", listen=[places(folder)[place]])
    assert server.endpoints[0].kind == "echo"
    data = os.urandom(8 << 20)
    assert exchange(server.connect(), data) == data


@pytest.mark.parametrize("place", ["tcp", "unix", "abstract"])
def test_byte_by_byte(start, folder, place):
    server = start("echo", listen=[places(folder)[place]])
    sock = server.connect()
    for value in range(256):
        sock.sendall(bytes([value]))
        assert sock.recv(16) == bytes([value])


def test_one_program_serves_several_endpoints(start, folder):
    server = start("echo", listen=["127.0.0.1:0", "[::1]:0", f"unix:{folder}/e.sock"])
    for index in range(3):
        assert exchange(server.connect(index), b"tide") == b"tide"


def test_a_client_that_never_reads_costs_no_memory(start):
    server = start("echo")
    assert exchange(server.connect(), bytes(1 << 20)) == bytes(1 << 20)
    before, block, stuck = server.rss(), bytes(1 << 16), 0
    socks = [server.connect() for _ in range(32)]
    for sock in socks:
        sock.setblocking(False)
    quiet_since = time.monotonic()
    end = quiet_since + 20
    while time.monotonic() - quiet_since < 1:
        assert time.monotonic() < end, "the server goes on reading from clients that never read"
        for sock in socks:
            try:
                stuck += sock.send(block)
                quiet_since = time.monotonic()
            except BlockingIOError:
                continue
    assert stuck > 32 << 16, "the sockets took nothing: the test would prove nothing"
    grown = server.rss() - before
    assert grown < 32 * (160 << 10) + (2 << 20), f"{grown} bytes more for 32 connections that never read"


def test_a_thousand_connections_at_once(start):
    server = start("echo")
    socks = [server.connect() for _ in range(1000)]
    for number, sock in enumerate(socks):
        sock.sendall(b"%04d" % number)
    for number, sock in enumerate(socks):
        assert sock.recv(4, socket.MSG_WAITALL) == b"%04d" % number
    server.close_clients()
    server.await_fds_at_start()


def test_a_storm_of_resets_leaves_nothing_behind(start):
    server = start("echo")
    for number in range(1000):
        sock = server.connect()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if number % 3:
            sock.sendall(bytes(number))
        if number % 3 == 2:
            sock.recv(1)
        sock.close()
    server.await_fds_at_start()
    assert exchange(server.connect(), b"still here") == b"still here"


def test_socat_gets_its_bytes_back(start, folder):
    server = start("echo", listen=["127.0.0.1:0", f"unix:{folder}/e.sock"])
    data = os.urandom(1 << 20)
    for place in (f"TCP:127.0.0.1:{server.port}", f"UNIX-CONNECT:{folder}/e.sock"):
        assert client("socat", "-t", "20", "-", place, input=data).stdout == data


def test_netcat_gets_its_bytes_back(start):
    server = start("echo")
    data = os.urandom(1 << 20)
    assert client("nc", "-N", "127.0.0.1", server.port, input=data).stdout == data


def test_the_mode_of_a_unix_socket_is_the_one_asked_for(start, folder):
    start("echo", listen=[f"unix:{folder}/private.sock,mode=600"])
    assert stat.S_IMODE((folder / "private.sock").stat().st_mode) == 0o600


def test_a_stale_unix_socket_is_replaced(start, folder):
    path = folder / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = start("echo", listen=[f"unix:{path}"])
    assert exchange(server.connect(), b"new") == b"new"


def test_a_live_unix_socket_is_refused_and_left_alone(start, run, folder):
    server = start("echo", listen=[f"unix:{folder}/live.sock"])
    second = run("echo", "--listen", f"unix:{folder}/live.sock")
    assert second.returncode == 69, second
    assert "live.sock" in second.stderr and "in use" in second.stderr, second.stderr
    assert exchange(server.connect(), b"mine") == b"mine"


def test_a_file_in_the_place_of_a_unix_socket_is_left_alone(run, folder):
    (folder / "notes.txt").write_text("precious")
    refused = run("echo", "--listen", f"unix:{folder}/notes.txt")
    assert refused.returncode in (69, 73), refused
    assert "notes.txt" in refused.stderr
    assert (folder / "notes.txt").read_text() == "precious"


def test_a_unix_socket_is_unlinked_on_exit(start, folder):
    server = start("echo", listen=[f"unix:{folder}/gone.sock"])
    assert (folder / "gone.sock").is_socket()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not (folder / "gone.sock").exists()


def test_a_start_at_once_after_kill_nine(start, folder):
    port = harness.free_port()
    for _ in range(3):
        server = start("echo", listen=[f"127.0.0.1:{port}", f"unix:{folder}/again.sock"])
        sock = server.connect()
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        server.kill()
        assert wire.eof_within(sock, 5)
    server = start("echo", listen=[f"127.0.0.1:{port}", f"unix:{folder}/again.sock"])
    assert exchange(server.connect(1), b"back") == b"back"


def test_the_answer_after_half_close_is_whole_for_a_slow_reader(start):
    server = start("echo")
    sock = server.connect(rcvbuf=4096)
    data = os.urandom(300_000)
    sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
    sender.start()
    wait_until("the server to have read some", lambda: harness.port_unread(server.port, sock.getsockname()[1]) is not None)
    got = wire.read_to_end(sock)
    sender.join()
    assert got == data
