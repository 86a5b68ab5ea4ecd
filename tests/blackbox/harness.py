"""Starts the program under test, watches it from outside, and ends it by its pid.

Owns processes, client sockets and every waiting loop. Knows nothing of HTTP: that is wire.py.
"""
import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("TIDEMILL_BIN", ROOT / "target" / "release" / "tidemill")).resolve()
ORDINARY_USER = 65534
DEADLINE = 10.0


def wait_until(what, condition, seconds=DEADLINE):
    """The first true value of `condition()`; an assertion that names `what` once the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.01)


def free_port():
    """A TCP port that was free a moment ago: only for servers that cannot say theirs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_unread(server_port, client_port):
    """Bytes the kernel holds for the server's end of one loopback TCP connection; None before it exists."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, peer, _state, queues = line.split()[1:5]
        if (int(local.split(":")[1], 16), int(peer.split(":")[1], 16)) == (server_port, client_port):
            return int(queues.split(":")[1], 16)
    return None


class Folder:
    """A temporary folder that any user may enter; pytest's own are private to theirs."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="tidemill-"))
        self.path.chmod(0o755)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Endpoint:
    """Where a ready line says that the server listens."""

    def __init__(self, line):
        parts = line.split()
        assert len(parts) == 3 and parts[0] == "listening", f"not a ready line: {line!r}"
        self.text, self.kind = parts[1], parts[2]
        scheme, rest = self.text.split(":", 1)
        if scheme == "unix":
            self.family, self.port = socket.AF_UNIX, None
            self.address = "\0" + rest[1:] if rest.startswith("@") else rest
        else:
            assert scheme == "tcp", f"unknown endpoint: {self.text}"
            host, port = rest.rsplit(":", 1)
            self.family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            self.port = int(port)
            self.address = (host.strip("[]"), self.port)

    def url(self, path="/"):
        return f"http://{self.address[0]}:{self.port}{path}"


class Server:
    """One running program.

    `before` is a command put in front (prlimit, unshare …), which must exec the program so that the pid stays.
    `ready` is how many ready lines to wait for; 0 when stdout is not ours to read.
    """

    def __init__(self, binary, folder, *args, ready=1, before=(), env=None, **popen):
        self.argv = [*map(str, before), str(binary), *map(str, args)]
        self.log = folder / f"stderr-{len(list(folder.glob('stderr-*')))}.log"
        self.clients, self.endpoints, self.ended = [], [], False
        popen.setdefault("stdout", subprocess.PIPE)
        with open(self.log, "wb") as log:
            popen.setdefault("stderr", log)
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1", **(env or {})}, **popen
            )
        self.pid = self.process.pid
        try:
            self._await_ready(ready)
        except BaseException:
            self.kill()
            raise
        self.fds_at_start = self.fds()

    def _await_ready(self, count):
        text, end = b"", time.monotonic() + DEADLINE
        while text.count(b"\n") < count:
            left = end - time.monotonic()
            assert left > 0, f"no ready line in {DEADLINE:g} s from {self.argv}: {text!r}\n{self.stderr()}"
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 4096)
                assert data, f"{self.argv} ended with {self.process.wait()} before it was ready:\n{self.stderr()}"
                text += data
        self.endpoints = [Endpoint(line) for line in text.decode().splitlines()[:count]]

    # What can be seen from outside

    @property
    def port(self):
        return self.endpoints[0].port

    def url(self, path="/"):
        return self.endpoints[0].url(path)

    def stderr(self):
        return self.log.read_text(errors="replace")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        """Resident bytes."""
        return 1024 * int(re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)[1])

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # Clients

    def connect(self, index=0, timeout=DEADLINE, rcvbuf=None):
        """A connected socket; closed at the end of the test if the test did not."""
        end = self.endpoints[index]
        client = socket.socket(end.family, socket.SOCK_STREAM)
        self.clients.append(client)
        client.settimeout(timeout)
        if rcvbuf:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        client.connect(end.address)
        return client

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def await_fds_at_start(self, seconds=DEADLINE):
        try:
            wait_until("", lambda: self.fds() <= self.fds_at_start, seconds)
        except AssertionError:
            open_now = [str(link.readlink()) for link in Path(f"/proc/{self.pid}/fd").iterdir()]
            raise AssertionError(
                f"{len(open_now)} descriptors are open, {self.fds_at_start} were at the start: {open_now}\n{self.stderr()}"
            ) from None

    # The end

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, seconds=DEADLINE):
        """The exit code; the server must end by itself within the time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv} still runs after {seconds:g} s\n{self.stderr()}") from None
        self.ended = True
        return code

    def kill(self):
        """For a test whose point is a death without warning, and for one that failed."""
        self.process.kill()
        self.process.wait()
        self.ended = True

    def finish(self):
        """What every test asserts in the end: no descriptor kept, exit code 0 on TERM, no panic."""
        try:
            self.close_clients()
            if not self.ended:
                code = self.process.poll()
                assert code is None, f"{self.argv} ended by itself with {code}\n{self.stderr()}"
                self.await_fds_at_start()
                self.signal(signal.SIGTERM)
                code = self.wait()
                assert code == 0, f"{self.argv} ended with {code} on TERM\n{self.stderr()}"
            assert "panicked" not in self.stderr(), self.stderr()
        finally:
            if self.process.poll() is None:
                self.kill()
            if self.process.stdout:
                self.process.stdout.close()


@contextlib.contextmanager
def background(*argv, **popen):
    """A client program that runs beside the test and is ended by its pid."""
    process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, **popen)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def client(*argv, seconds=60, **options):
    """Runs a client program to its end and returns what it said."""
    options.setdefault("capture_output", True)
    return subprocess.run([str(a) for a in argv], timeout=seconds, check=False, **options)


def own_network(*command):
    """A command in a network namespace of its own, where every port is free and low ones are privileged."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    setup = "ip link set lo up && echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start && exec \"$@\""
    return ["unshare", *user, "--net", "sh", "-c", setup, "sh", *map(str, command)]


def as_ordinary_user(*command):
    """A command as a user without rights. Only root can become one: that it cannot is a failure, not a skip."""
    assert os.geteuid() == 0, "this test must start as root, to run the server as an ordinary user"
    ids = [f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups", "--inh-caps=-all"]
    return ["setpriv", *ids, "--bounding-set=-all", "--no-new-privs", *map(str, command)]
