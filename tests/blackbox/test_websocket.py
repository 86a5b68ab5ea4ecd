"""`tidemill echo --websocket`: the `websockets` package, frames that the RFC forbids, and a real browser."""
import contextlib
import http.server
import json
import os
import queue
import signal
import socket
import struct
import threading

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.frames import Close
from websockets.sync.client import connect

import wire
from harness import background, wait_until
from test_browser import FLAGS

KEY = b"\x0a\x0b\x0c\x0d"
HANDSHAKE = [
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]  # fmt: skip


@pytest.fixture
def server(start):
    started = start("echo", "--websocket")
    assert started.endpoints[0].kind == "websocket"
    return started


def join(server, **options):
    return connect(server.url().replace("http:", "ws:"), max_size=None, open_timeout=10, close_timeout=10, **options)


def frame(first, payload=b"", masked=True, length=None):
    """One frame; `length` replaces the bytes of the length, its first among them."""
    if length is None:
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size)
    head = bytes([first, length[0] | (0x80 if masked else 0)]) + length[1:]
    return head + KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload)) if masked else head + payload


def raw(server, **options):
    """A socket on which the handshake is done."""
    sock = server.connect(**options)
    sock.sendall(wire.request("/", *HANDSHAKE))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, head
        head += byte
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head, head
    return sock


def frames(data):
    """(first byte, payload) of each frame of a server; a frame that is cut is an error."""
    out = []
    while data:
        size, at = data[1], 2
        assert size < 128, "a server masks"
        if size == 126:
            size, at = struct.unpack(">H", data[2:4])[0], 4
        elif size == 127:
            size, at = struct.unpack(">Q", data[2:10])[0], 10
        assert len(data) >= at + size, "a frame is cut"
        out.append((data[0], data[at : at + size]))
        data = data[at + size :]
    return out


def outcome(sock):
    """All frames up to the server's FIN, and the code of the last one, which is a close."""
    got = frames(wire.read_to_end(sock))
    assert got and got[-1][0] == 0x88, got
    code = struct.unpack(">H", got[-1][1][:2])[0] if got[-1][1] else None
    return got[:-1], code


# The `websockets` package


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_messages_come_back_with_their_type(server, size):
    with join(server) as ws:
        data = os.urandom(size)
        ws.send(data)
        assert ws.recv(timeout=10) == data
        text = "é" * (size // 2)
        ws.send(text)
        assert ws.recv(timeout=10) == text


def test_compression_is_offered_and_left_out(server):
    with join(server, compression="deflate") as ws:
        assert ws.protocol.extensions == []
        ws.send("a" * 1000)
        assert ws.recv(timeout=10) == "a" * 1000


def test_fragments_are_joined(server):
    with join(server) as ws:
        ws.send(["high ", "", "tide"])
        assert ws.recv(timeout=10) == "high tide"
        ws.send([b"a" * 70000, b"b"])
        assert ws.recv(timeout=10) == b"a" * 70000 + b"b"


def test_pings_are_answered(server):
    with join(server) as ws:
        assert ws.ping(b"x" * 125).wait(10)


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 3000, 4999])
def test_a_close_comes_back_with_its_code(server, code):
    with join(server) as ws:
        ws.close(code, "so long")
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
    assert closed.value.rcvd == Close(code, "")
    assert closed.value.sent == Close(code, "so long")


def test_a_message_over_the_limit_is_closed_with_1009(server):
    with join(server) as ws, pytest.raises(ConnectionClosed) as closed:
        ws.send(b"x" * ((1 << 20) + 1))
        ws.recv(timeout=10)
    assert closed.value.rcvd.code == 1009


def test_a_drain_says_1001_and_the_program_ends(server):
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(join(server)) for _ in range(20)]
        server.signal(signal.SIGTERM)
        for ws in members:
            with pytest.raises(ConnectionClosedOK) as closed:
                ws.recv(timeout=10)
            assert closed.value.rcvd.code == 1001
        assert server.wait() == 0


def test_a_thousand_members_at_once(server):
    socks = [raw(server) for _ in range(1000)]
    for number, sock in enumerate(socks):
        sock.sendall(frame(0x81, b"%04d" % number))
    for number, sock in enumerate(socks):
        assert sock.recv(6, socket.MSG_WAITALL) == b"\x81\x04%04d" % number


# What is no handshake


@pytest.mark.parametrize(
    ("method", "drop", "add", "status"),
    [
        ("GET", HANDSHAKE, [], 426),
        ("GET", HANDSHAKE[:1], [], 426),
        ("GET", HANDSHAKE[2:3], ["Sec-WebSocket-Version: 8"], 426),
        ("GET", HANDSHAKE[3:], [], 400),
        ("GET", HANDSHAKE[3:], ["Sec-WebSocket-Key: short"], 400),
        ("POST", [], [], 405),
    ],
)
def test_what_is_no_handshake_is_refused_and_keeps_its_connection(server, method, drop, add, status):
    sock = server.connect()
    reader = wire.Reader(sock)
    for _ in range(2):
        sock.sendall(wire.request("/", *[line for line in HANDSHAKE if line not in drop], *add, method=method))
        answer = reader.answer(method)
        assert answer.status == status
        if status == 426:
            assert answer["Upgrade"] == "websocket" and answer["Sec-WebSocket-Version"] == "13"
            assert answer["Connection"] == "upgrade"


# What the RFC forbids: bytes, the close code, and what was answered before. As in the suite of Autobahn.

SPLIT = "κόσμε".encode()
VIOLATIONS = {
    "rsv1": (frame(0xC1, b"x"), 1002), "rsv2": (frame(0xA1, b"x"), 1002), "rsv3": (frame(0x91, b"x"), 1002),
    "rsv on a ping": (frame(0xC9), 1002), "all rsv": (frame(0xF1, b"x"), 1002),
    **{f"opcode {n}": (frame(0x80 | n), 1002) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping of 126 bytes": (frame(0x89, b"x" * 126), 1002), "a pong of 126 bytes": (frame(0x8A, b"x" * 126), 1002),
    "a fragmented ping": (frame(0x09, b"x"), 1002), "a fragmented pong": (frame(0x0A, b"x"), 1002),
    "a fragmented close": (frame(0x08), 1002),
    "a continuation of nothing": (frame(0x80, b"x"), 1002), "an open continuation of nothing": (frame(0x00, b"x"), 1002),
    "text in text": (frame(0x01, b"a") + frame(0x81, b"b"), 1002), "binary in text": (frame(0x01, b"a") + frame(0x82, b"b"), 1002),
    "no mask": (frame(0x81, b"x", masked=False), 1002), "a ping without a mask": (frame(0x89, masked=False), 1002),
    "a long form of 5": (frame(0x82, length=b"\x7e\x00\x05"), 1002),
    "a longer form of 126": (frame(0x82, length=b"\x7f" + struct.pack(">Q", 126)), 1002),
    "a length of 2^63": (frame(0x82, length=b"\x7f" + struct.pack(">Q", 1 << 63)), 1002),
    "a length of 2^63 - 1": (frame(0x82, length=b"\x7f" + struct.pack(">Q", (1 << 63) - 1)), 1009),
    "a frame over 1 MiB": (frame(0x82, length=b"\x7f" + struct.pack(">Q", (1 << 20) + 1)), 1009),
    "a message over 1 MiB": (frame(0x02, bytes(1 << 19)) + frame(0x00, bytes(1 << 19)) + frame(0x80, b"x"), 1009),
    "a close of one byte": (frame(0x88, b"x"), 1002), "a close of 126 bytes": (frame(0x88, b"\x03\xe8" + b"x" * 124), 1002),
    **{f"close code {n}": (frame(0x88, struct.pack(">H", n)), 1002) for n in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)},
    "a close reason that is no text": (frame(0x88, b"\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"), 1007),
    "a lone ff": (frame(0x81, b"\xff"), 1007), "a surrogate": (frame(0x81, SPLIT + b"\xed\xa0\x80"), 1007),
    "an overlong slash": (frame(0x81, b"\xc0\xaf"), 1007), "beyond unicode": (frame(0x81, b"\xf4\x90\x80\x80"), 1007),
    "text that ends in a character": (frame(0x81, SPLIT[:-1]), 1007),
    "a character that never ends": (frame(0x01, SPLIT[:1]) + frame(0x80, b""), 1007),
    "a fault in an open fragment": (frame(0x01, SPLIT + b"\xf4\x90"), 1007),
}  # fmt: skip


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_the_rfc_forbids_is_closed_with_its_code(server, name):
    data, code = VIOLATIONS[name]
    # Behind it something that must not be answered any more.
    for tail in (b"", frame(0x81, b"late") + frame(0x89)):
        sock = raw(server)
        sock.sendall(frame(0x81, b"early") + data + tail)
        before, told = outcome(sock)
        assert told == code
        assert before == [(0x81, b"early")]


def test_the_fault_is_told_with_the_byte_that_makes_it(server):
    for data, code in VIOLATIONS.values():
        if len(data) > 200:
            continue
        sock = raw(server)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            try:
                sock.send(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break
        assert outcome(sock) == ([], code)


ALLOWED = {
    "byte by byte": [(b"\x81" + bytes([len(SPLIT)]), SPLIT, frame(0x81, SPLIT))],
    "characters cut by fragments": [(b"\x81", SPLIT, b"".join(frame(0 if at else 1, SPLIT[at : at + 1]) for at in range(len(SPLIT))) + frame(0x80))],
    "a ping in a message": [(b"\x8a", b"p", frame(0x01, b"a") + frame(0x89, b"p")), (b"\x81", b"ab", frame(0x80, b"b"))],
    "an unasked pong": [(b"\x81", b"x", frame(0x8A, b"?") + frame(0x81, b"x"))],
    "the last of unicode": [(b"\x81", b"\xf4\x8f\xbf\xbf", frame(0x81, b"\xf4\x8f\xbf\xbf"))],
    "noncharacters": [(b"\x81", b"\xef\xbf\xbe", frame(0x81, b"\xef\xbf\xbe"))],
    "zero": [(b"\x81", b"\0", frame(0x81, b"\0"))],
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_rfc_allows_is_answered(server, name):
    sock = raw(server)
    want = []
    for first, payload, data in ALLOWED[name]:
        want.append((first[0], payload))
        for byte in data:
            sock.send(bytes([byte]))
    sock.sendall(frame(0x88, b"\x03\xe8"))
    assert outcome(sock) == (want, 1000)


# Life and memory


def test_a_client_that_never_reads_costs_bounded_memory(server):
    with join(server) as ws:
        ws.send(b"x" * (1 << 20))
        ws.recv(timeout=10)
    before = server.rss()
    block = frame(0x82, bytes(1 << 20))
    socks = [raw(server) for _ in range(8)]
    for sock in socks:
        sock.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(100):
                sock.sendall(block)
    grown = server.rss() - before
    # A message that comes, one that waits, and the buffers: for each connection.
    assert grown < len(socks) * (3 << 20) + (4 << 20), f"{grown} bytes more"


def test_idle_members_cost_little(server):
    first = [raw(server) for _ in range(50)]
    before = server.rss()
    socks = [raw(server) for _ in range(1000)]
    grown = server.rss() - before
    assert grown < 1000 * 3000, f"{grown} bytes for 1000 idle members"
    assert first[0].fileno() >= 0 and socks


def test_members_that_vanish_leave_nothing(server):
    for number in range(300):
        sock = raw(server)
        if number % 3:
            sock.sendall(frame(0x82, bytes(100_000))[: 1 + number * 300])
        if number % 3 == 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    server.await_fds_at_start()
    wait_until("the server to answer", lambda: outcome_of_hello(server))


def outcome_of_hello(server):
    sock = raw(server)
    sock.sendall(frame(0x81, b"hello") + frame(0x88))
    return outcome(sock) == ([(0x81, b"hello")], None)


# A browser

PAGE = """<!doctype html><meta charset="utf-8"><title>Tidemill</title><script type="module">
const url = new URLSearchParams(location.search).get('at');
const open = () => new Promise((done, fail) => {
  const ws = new WebSocket(url);
  ws.binaryType = 'arraybuffer';
  ws.onopen = () => done(ws);
  ws.onerror = () => fail(new Error('no connection'));
});
const next = ws => new Promise(done => { ws.onmessage = event => done(event.data); });
const ask = (ws, data) => { const answer = next(ws); ws.send(data); return answer; };
const closed = ws => new Promise(done => { ws.onclose = event => done([event.code, event.reason, event.wasClean]); });
const out = {};
try {
  const ws = await open();
  out.extensions = ws.extensions;
  out.text = await ask(ws, 'flut \\u20ac \\ud834\\udd1e');
  out.empty = await ask(ws, '');
  const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
  out.binary = [...new Uint8Array(await ask(ws, bytes))].every((byte, n) => byte === n);
  const large = 'x'.repeat(1 << 20);
  out.large = (await ask(ws, large)) === large;
  out.blob = (await ask(ws, new Blob([new Uint8Array(1 << 20)]))).byteLength;
  const end = closed(ws);
  ws.close(4321, 'done');
  out.close = await end;
  const plain = await open(), plainEnd = closed(plain);
  plain.close();
  out.plain = await plainEnd;
  const big = await open(), bigEnd = closed(big);
  big.send(new Uint8Array((1 << 20) + 1));
  out.big = (await bigEnd)[0];
  const many = await Promise.all([...Array(50).keys()].map(open));
  const answers = await Promise.all(many.map((ws, n) => ask(ws, 'socket ' + n)));
  out.many = answers.every((text, n) => text === 'socket ' + n);
} catch (e) { out.error = String(e); }
await fetch('/told', { method: 'POST', body: JSON.stringify(out) });
</script>"""


class Site(http.server.BaseHTTPRequestHandler):
    """The page, of another origin than the WebSocket, and where it tells what it found."""

    def do_GET(self):
        self.answer(PAGE.encode())

    def do_POST(self):
        self.server.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(b"")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Says nothing."""


@pytest.fixture
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as served:
        served.told = queue.Queue()
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_browser_sends_every_kind_of_message(server, site, tmp_path):
    # Time is the real one here: a browser's virtual time does not wait for WebSockets.
    flags = [flag for flag in FLAGS if not flag.startswith("--virtual-time-budget")]
    url = f"http://127.0.0.1:{site.server_address[1]}/?at={server.url().replace('http:', 'ws:')}"
    with (
        open(tmp_path / "browser.log", "wb") as log,
        background("chromium", *flags, "--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'profile'}", url, stdout=log, stderr=log),
    ):
        try:
            told = site.told.get(timeout=60)
        except queue.Empty:
            pytest.fail((tmp_path / "browser.log").read_text(errors="replace")[-2000:])
    assert told == {
        "extensions": "", "text": "flut € 𝄞", "empty": "", "binary": True, "large": True, "blob": 1 << 20,
        "close": [4321, "", True], "plain": [1005, "", True], "big": 1009, "many": True,
    }  # fmt: skip
