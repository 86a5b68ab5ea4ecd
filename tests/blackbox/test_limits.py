"""Bounds that hold: descriptors, connections, deadlines."""
import os
import signal
import socket
import time

import pytest

import wire
from harness import wait_until
from wire import Reader, ask, request


@pytest.mark.parametrize("verb", [["echo"], ["respond", "--body", "x"]])
def test_out_of_descriptors_it_neither_spins_nor_goes_deaf(start, verb):
    server = start(*verb, before=["prlimit", "--nofile=64:64"])
    socks = [server.connect() for _ in range(200)]
    first, ask_it, answer = socks[0], *((b"tide", b"tide") if verb == ["echo"] else (request(), b"HTTP"))
    first.sendall(ask_it)
    assert first.recv(4, socket.MSG_WAITALL) == answer, "a connection accepted in time is served all the while"
    before = server.cpu_seconds()
    time.sleep(2)  # a stretch of time is what is measured here
    assert server.cpu_seconds() - before < 0.3, "it spins"
    assert server.fds() <= 64
    for sock in socks[:190]:
        sock.close()
    for sock in socks[190:]:
        sock.sendall(ask_it)
        assert sock.recv(4, socket.MSG_WAITALL) == answer, "one that waited in the backlog is served in the end"
    late = server.connect()
    late.sendall(ask_it)
    assert late.recv(4, socket.MSG_WAITALL) == answer


def test_files_are_served_at_the_connection_gate(start, folder):
    content = os.urandom(300_000)
    (folder / "file.bin").write_bytes(content)
    server = start("serve", folder, before=["prlimit", "--nofile=64:64"])
    held = [server.connect() for _ in range(60)]
    held[0].sendall(request("/file.bin"))
    assert Reader(held[0]).answer().body == content


def test_the_soft_descriptor_limit_is_raised(start):
    server = start("echo", before=["prlimit", "--nofile=32:4096"])
    socks = [server.connect() for _ in range(200)]
    for sock in socks:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"


def test_a_reader_that_stalls_is_cut_off(start, folder):
    with open(folder / "large.bin", "wb") as file:
        file.truncate(64 << 20)
    server = start("serve", folder, "--stall-timeout", "1s")
    socks = [server.connect(rcvbuf=4096) for _ in range(10)]
    for sock in socks:
        sock.sendall(request("/large.bin"))
        assert sock.recv(4) == b"HTTP"
    began = time.monotonic()
    server.await_fds_at_start(8)
    assert time.monotonic() - began > 0.5


def test_an_echo_client_that_never_reads_is_cut_off(start):
    server = start("echo", "--stall-timeout", "1s")
    sock = server.connect()
    sock.setblocking(False)

    def gone():
        try:
            sock.send(bytes(65536))
        except BlockingIOError:
            return server.fds() <= server.fds_at_start
        except (ConnectionResetError, BrokenPipeError):
            return True
        return False

    wait_until("the stalled connection to be ended", gone)


def test_a_slow_reader_that_gets_on_is_left_alone(start, folder):
    (folder / "file.bin").write_bytes(bytes(20 << 20))
    sock = start("serve", folder, "--stall-timeout", "1s").connect(rcvbuf=16384)
    sock.sendall(request("/file.bin"))
    began = time.monotonic()
    while time.monotonic() - began < 4:
        assert sock.recv(20_000)
        time.sleep(0.1)  # the pace of this reader


@pytest.mark.parametrize("verb", [["echo"], ["respond", "--body", "x"]])
@pytest.mark.parametrize("silent", [True, False])
def test_an_idle_connection_is_closed_in_time(start, verb, silent):
    server = start(*verb, "--idle-timeout", "700ms")
    sock = server.connect()
    if not silent:
        sock.sendall(b"tide" if verb == ["echo"] else request())
        assert sock.recv(4, socket.MSG_WAITALL) in (b"tide", b"HTTP")
        if verb != ["echo"]:
            sock.recv(65536)
    began = time.monotonic()
    assert wire.eof_within(sock, 4)
    assert 0.5 < time.monotonic() - began < 3


def test_a_connection_in_use_is_not_idle(start):
    sock = start("respond", "--body", "x", "--idle-timeout", "1s").connect()
    reader, began = Reader(sock), time.monotonic()
    while time.monotonic() - began < 2.5:
        sock.sendall(request())
        assert reader.answer().status == 200
        time.sleep(0.2)  # the pace of this client


@pytest.mark.parametrize("flag", ["--connections-max", "--per-client-max"])
def test_over_a_limit_of_connections_http_is_told_to_come_back(start, flag):
    server = start("respond", "--body", "x", flag, "4")
    held = [server.connect() for _ in range(4)]
    for sock in held:
        sock.sendall(request())
        assert Reader(sock).answer().status == 200
    refused = ask(server)
    assert refused.status == 503 and int(refused["retry-after"]) >= 0
    assert refused["connection"] == "close"
    held[0].sendall(request())
    assert Reader(held[0]).answer().status == 200
    held[1].close()
    wait_until("room after a close", lambda: ask(server).status == 200)


@pytest.mark.parametrize("flag", ["--connections-max", "--per-client-max"])
def test_over_a_limit_of_connections_echo_closes(start, flag):
    server = start("echo", flag, "2")
    held = [server.connect() for _ in range(2)]
    for sock in held:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    assert wire.eof_within(server.connect(), 5)
    for sock in held:
        sock.sendall(b"y")
        assert sock.recv(1) == b"y"


def test_one_client_at_its_limit_does_not_shut_out_another(start):
    server = start("respond", "--body", "x", "--per-client-max", "1")
    server.connect().sendall(b"GET")
    wait_until("the limit to be met", lambda: ask(server).status == 503)
    with socket.create_connection(server.endpoints[0].address, 5, source_address=("127.0.0.2", 0)) as other:
        other.sendall(request())
        assert Reader(other).answer().status == 200


def test_the_body_limit_does_not_depend_on_the_pace(start):
    server = start("respond", "--body", "x")
    sock = server.connect()
    sock.sendall(request("/", "Transfer-Encoding: chunked", method="POST"))
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    for _ in range(80):
        sock.sendall(chunk)
    reader = Reader(sock)
    assert reader.answer("POST").status == 413
    assert reader.rest() == b""


@pytest.mark.slow
def test_a_soak_neither_grows_nor_leaks(start, folder):
    (folder / "file.bin").write_bytes(os.urandom(200_000))
    server = start("serve", folder)

    def wave(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            socks = [server.connect() for _ in range(50)]
            for number, sock in enumerate(socks):
                sock.sendall(request("/file.bin" if number % 3 else "/missing", *(["Connection: close"] if number % 2 else [])))
            for sock in socks[:40]:
                Reader(sock).answer()
            server.close_clients()
        server.await_fds_at_start()
        return server.rss()

    early = wave(8)
    late = wave(24)
    assert late - early < 1 << 20, f"grew by {late - early} bytes"


def test_a_stopped_server_recovers_from_a_full_backlog(start):
    server = start("respond", "--body", "x", listen=["127.0.0.1:0,backlog=8"])
    server.signal(signal.SIGSTOP)
    waiting = []
    for _ in range(30):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(server.endpoints[0].address)
        waiting.append(sock)
    server.signal(signal.SIGCONT)
    wait_until("an answer", lambda: ask(server).status == 200)
    for sock in waiting:
        sock.close()
