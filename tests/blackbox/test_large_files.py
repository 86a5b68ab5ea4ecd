"""`tidemill serve`: large files, and files that change while they are sent."""
import hashlib
import os
import socket
import time

import pytest

from harness import client, wait_until
from tree import TEXT
from wire import Reader, ask, request


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
    server = start("serve", site)
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
    sock = start("serve", site).connect()
    sock.sendall(b"".join(map(request, contents)) + request("/text.txt"))
    reader = Reader(sock)
    for name, content in contents.items():
        assert reader.answer().body == content, name
    assert reader.answer().body == TEXT


@pytest.mark.parametrize("change", ["removed", "replaced", "grown"])
def test_a_file_that_changes_while_it_is_sent_is_sent_as_it_was_opened(start, site, change):
    path, size = site / "moving.bin", 64 << 20
    digest = large(path, 64)
    sock = start("serve", site).connect(rcvbuf=65536)
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
    server = start("serve", site, env={"TIDEMILL_LOG": "debug"})
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
    server = start("serve", site)
    for _ in range(50):
        sock = server.connect(rcvbuf=65536)
        sock.sendall(request("/large.bin"))
        sock.recv(1000)
        sock.close()
    server.await_fds_at_start()
    assert ask(server, "/text.txt").body == TEXT


def test_a_half_closed_client_still_gets_its_file(start, site):
    digest = large(site / "large.bin", 32)
    sock = start("serve", site).connect(rcvbuf=65536)
    sock.sendall(request("/large.bin"))
    sock.shutdown(socket.SHUT_WR)
    reader = Reader(sock)
    assert hashlib.sha256(reader.answer().body).hexdigest() == digest
    assert reader.rest() == b""


def test_a_slow_reader_does_not_hold_up_the_others(start, site):
    large(site / "large.bin", 32)
    server = start("serve", site)
    stuck = [server.connect(rcvbuf=4096) for _ in range(20)]
    for sock in stuck:
        sock.sendall(request("/large.bin"))
    began = time.monotonic()
    for _ in range(100):
        assert ask(server, "/text.txt").status == 200
    assert time.monotonic() - began < 5
    assert all(sock.recv(15) == b"HTTP/1.1 200 OK" for sock in stuck)
