"""Access logs of the real program: what is in a line, rotation under load, and files that take nothing."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import harness
import wire
from harness import background, client, wait_until
from wire import Reader, ask, request

COMBINED = re.compile(
    r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] '
    r'"(?P<request>(?:[^"\\]|\\x[0-9A-F]{2})*)" (?P<status>\d{3}) (?P<bytes>\d+) '
    r'"(?P<referer>(?:[^"\\]|\\x[0-9A-F]{2})*)" "(?P<agent>(?:[^"\\]|\\x[0-9A-F]{2})*)"'
)


@pytest.fixture
def path(folder):
    return folder / "access.log"


def lines_of(path):
    text = path.read_text()
    assert not text or text.endswith("\n"), f"the last line is cut: {text[-200:]!r}"
    return text.splitlines()


def await_lines(path, count):
    wait_until(f"{count} lines in {path}", lambda: path.exists() and path.read_text().count("\n") >= count)
    lines = lines_of(path)
    assert len(lines) == count, lines
    return lines


def sums(record):
    parts = ["request_line", "request_headers", "request_body", "to_status_line", "response_headers", "response_body"]
    return sum(record[part] or 0 for part in parts) == record["duration_ns"]


def test_curl_is_in_the_combined_log(start, folder, path):
    (folder / "a.txt").write_bytes(b"x" * 1234)
    server = start("serve", folder, "--access-log", path)
    client("curl", "-s", "-A", 'quo"te\\ \u00fc', "-e", "http://x/", server.url("/a.txt?q=%22"))
    client("curl", "-s", "-I", server.url("/a.txt"))
    client("curl", "-s", server.url("/missing"))
    found = [COMBINED.fullmatch(line) for line in await_lines(path, 3)]
    assert all(found), path.read_text()
    assert [(m["request"], m["status"]) for m in found] == [
        ("GET /a.txt?q=%22 HTTP/1.1", "200"),
        ("HEAD /a.txt HTTP/1.1", "200"),
        ("GET /missing HTTP/1.1", "404"),
    ]
    assert [int(m["bytes"]) for m in found[:2]] == [1234, 0]
    assert (found[0]["referer"], found[0]["agent"]) == ("http://x/", r"quo\x22te\x5C \xC3\xBC")
    assert found[1]["agent"].startswith("curl/")


def test_json_has_the_parts_of_each_request(start, path):
    server = start("respond", "--body", "hello", "--delay", "100ms", "--access-log", path, "--access-log-format", "json")
    sock = server.connect()
    reader = Reader(sock)
    for n in range(2):
        sock.sendall(request(f"/{n}", "User-Agent: gr\u00fc\u00dfe", "Content-Length: 3", method="POST", body=b"abc"))
        assert reader.answer("POST").body == b"hello"
    records = [json.loads(line) for line in await_lines(path, 2)]
    assert [r["nth"] for r in records] == [1, 2]
    assert records[0]["conn"] == records[1]["conn"]
    for n, r in enumerate(records):
        assert (r["method"], r["target"], r["protocol"], r["host"]) == ("POST", f"/{n}", "HTTP/1.1", "x")
        assert (r["status"], r["bytes_in"], r["bytes_out"], r["end"], r["class"]) == (200, 3, 5, "--", None)
        assert (r["remote"], r["user_agent"], r["referer"]) == ("127.0.0.1", "gr\u00fc\u00dfe", None)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r["time"])
        assert sums(r), r
        assert 100_000_000 <= r["duration_ns"] < 5_000_000_000


def test_a_template_is_obeyed_and_a_wrong_one_told(start, run, path):
    template = "{method} {target} {header:X-Id} {end} {duration_us}"
    server = start("respond", "--access-log", path, env={"TIDEMILL_ACCESS_LOG_FORMAT": template})
    ask(server, "/t", "X-Id: 7 8")
    assert re.fullmatch(r"GET /t 7 8 -- \d+", await_lines(path, 1)[0])
    done = run("serve", "--access-log", "-", "--access-log-format", "{stats}")
    assert done.returncode == 2
    assert "did you mean 'status'?" in done.stderr and done.stdout == ""


def test_ends_have_their_codes(start, path):
    server = start(
        "respond", "--delay", "300ms", "--head-timeout", "200ms", "--body-timeout", "200ms",
        "--access-log", path, "--access-log-format", "{status} {end} {class}",
    )  # fmt: skip

    slow = start("respond", "--delay", "1m", "--access-log", path, "--access-log-format", "{status} {end} {class}")

    def one(data, server=server, leave=False):
        before = len(lines_of(path)) if path.exists() else 0
        sock = server.connect()
        sock.sendall(data)
        if leave:
            wait_until("the request to be read", lambda: harness.port_unread(server.port, sock.getsockname()[1]) == 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        else:
            wire.read_to_end(sock)
            sock.close()
        return await_lines(path, before + 1)[-1]

    close = "Connection: close"
    assert one(request("/", close)) == "200 -- -"
    assert one(b"GET / HTTP/1.1\r\nHost") == "408 TR http.head_timeout"
    assert one(request("/", "Content-Length: 9", method="POST", body=b"123")) == "408 TB http.body_timeout"
    assert one(request("/", "Content-Length: 99999999", method="POST")) == "413 LR http.body_too_large"
    assert one(b"BAD\x01 / HTTP/1.1\r\n\r\n").startswith("400 LR http.")
    assert one(request(), slow, leave=True).startswith("000 CW ")


def count_requests(said):
    return int(re.search(r"(\d+) requests in", said)[1])


def test_rotation_under_load_loses_no_record(start, folder, path):
    server = start("respond", "--body", "x", "--access-log", path)
    with background("wrk", "-t1", "-c32", "-d4s", server.url("/w"), stdout=subprocess.PIPE, text=True) as wrk:
        for n in range(1, 6):
            wait_until("lines", lambda: path.exists() and path.stat().st_size > 100_000)
            path.rename(folder / f"access.log.{n}")
            server.signal(signal.SIGUSR1)
            wait_until("the new file", path.exists)
        said = wrk.communicate(timeout=30)[0]
    assert "Socket errors" not in said, said
    server.await_fds_at_start()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    files = [path, *folder.glob("access.log.*")]
    assert len(files) == 6
    total = 0
    for file in files:
        lines = lines_of(file)
        assert lines and all(COMBINED.fullmatch(line) for line in lines)
        total += len(lines)
    # wrk ends in the middle of its requests: one a connection can have been answered and not been counted.
    assert 0 <= total - count_requests(said) <= 32, (total, said)
    assert "dropped" not in server.stderr()
    assert server.stderr().count("access log: reopened") == 5


def test_a_failed_reopen_keeps_the_old_file(start, folder, path):
    server = start("respond", "--access-log", path)
    ask(server, "/1")
    await_lines(path, 1)
    path.rename(folder / "old")
    path.mkdir()
    server.signal(signal.SIGUSR1)
    wait_until("the failure", lambda: "cannot reopen" in server.stderr())
    ask(server, "/2")
    await_lines(folder / "old", 2)


def load(server, seconds=2):
    said = client("wrk", "-t1", "-c32", f"-d{seconds}s", server.url("/w"), text=True).stdout
    assert "Socket errors" not in said and "Non-2xx" not in said, said
    return count_requests(said)


def stops_fast(server, limit=1.5):
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - began < limit


def dropped(server):
    return [int(n) for n in re.findall(r"access log: (\d+) records dropped", server.stderr())]


def test_a_fifo_without_a_reader_holds_up_nothing(start, path):
    os.mkfifo(path)
    server = start("respond", "--body", "x", "--access-log", path)
    total = load(server, 3)
    stops_fast(server)
    lost = dropped(server)
    assert lost and len(lost) <= 6, "told more than once a second"
    assert sum(lost) <= total + 32


def test_a_full_disk_drops_and_says_so(start):
    server = start("respond", "--body", "x", "--access-log", "/dev/full")
    total = load(server)
    stops_fast(server)
    assert 0 <= sum(dropped(server)) - total <= 32, server.stderr()
    assert "No space left on device" in server.stderr()


def test_standard_output_has_the_ready_lines_first(binary):
    argv = [binary, "respond", "--listen", "127.0.0.1:0", "--access-log", "-", "--access-log-format", "{target} {status}"]
    with background(*argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        at = harness.Endpoint(process.stdout.readline().decode())
        assert client("curl", "-s", at.url("/out")).returncode == 0
        process.terminate()
        assert process.stdout.read() == b"/out 200\n"
        assert process.wait(10) == 0


@pytest.mark.parametrize("kind", ["closed", "stuck"])
def test_standard_output_that_takes_nothing_holds_up_nothing(start, kind):
    reading, writing = os.pipe()
    if kind == "closed":
        os.close(reading)
    port = harness.free_port()
    server = start("respond", "--access-log", "-", listen=[f"127.0.0.1:{port}"], ready=0, stdout=writing)
    os.close(writing)
    url = f"http://127.0.0.1:{port}/"
    wait_until("an answer", lambda: client("curl", "-s", url).returncode == 0)
    said = client("wrk", "-t1", "-c8", "-d1s", url, text=True).stdout
    assert count_requests(said) > 100 and "Socket errors" not in said
    server.fds_at_start = server.fds()
    stops_fast(server)
    assert sum(dropped(server)) > 0
    if kind == "stuck":
        os.close(reading)


def test_the_end_writes_what_waits(start, path):
    server = start("respond", "--access-log", path, "--access-log-format", "{target}")
    for n in range(20):
        ask(server, f"/{n}")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert lines_of(path) == [f"/{n}" for n in range(20)]


def test_without_a_log_usr1_says_so(start):
    server = start("respond")
    server.signal(signal.SIGUSR1)
    wait_until("a line", lambda: "no access log to reopen" in server.stderr())
    assert ask(server).status == 200
