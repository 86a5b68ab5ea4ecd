"""The peers, how each is started and checked, and the quiet connection beside floods and jobs. Owns every process that
it starts and ends it by its id; prints nothing.
"""
import contextlib
import json
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = Path(os.environ.get("MEASURE_BUILD", ROOT / "target" / "tasks")).resolve()
MEASURE = Path(os.environ.get("TIDEMILL_MEASURE", ROOT.parent / "shared" / "measure"))
OURS = os.environ.get("TASKS_OURS", str(BUILD / "bin" / "tasks_ours"))

sys.path.insert(0, str(HERE.parent))
import quiet_neighbour  # noqa: E402

PYTHON = str(BUILD / "venv" / "bin" / "python")
ASYNCIO = [PYTHON, str(HERE / "peers" / "asyncio_peer.py")]
PEERS = {
    "tidemill": [OURS],
    "asyncio": ASYNCIO,
    "uvloop": [*ASYNCIO, "--uvloop"],
    "twisted": [PYTHON, str(HERE / "peers" / "twisted_peer.py")],
    "libevent": [str(BUILD / "bin" / "libevent_peer")],
    "tokio": [str(BUILD / "bin" / "tokio_peer")],
}
# The echo programs. tokio has nothing but futures: its one loop stands beside both of ours.
ECHOES = {peer: ["echo"] for peer in PEERS}
ECHOES |= {peer: ["echo", "echo-futures"] for peer in ("asyncio", "uvloop")}
ECHOES["tidemill"] = ["echo", "echo-futures", "echo-copy"]
ECHOES["tokio"] = ["echo", "echo-futures", "echo-readiness"]
# How the one-second job is run, beside `cooperate` and `offload`, which all have.
EXTRA_JOBS = {
    "asyncio": ["offload-native"],
    "uvloop": ["offload-native"],
    "twisted": ["offload-native"],
    "libevent": ["cooperate-active"],
}
JOB_S = 1.0
# The job has this much left when the last probe begins.
PROBE_S = 0.9


class Wrong(Exception):
    """A program did not start, or gave a wrong result."""


# The first core is the server's, the last the load's.
CORES = sorted(os.sched_getaffinity(0))


def pinned(where):
    return ["taskset", "-c", ",".join(map(str, where))]


def results(peer, verb, scale, where):
    """Runs a sub-command that measures itself: its JSON lines."""
    argv = [*pinned(where), *PEERS[peer], verb, str(scale)]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode:
        raise Wrong(f"{peer} {verb}: {ended.stderr.strip()[-200:] or ended.returncode}")
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def free_port():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(peer, words, where):
    """A server that accepts; its port, and its control port when it runs jobs."""
    port, control = free_port(), free_port()
    ports = [str(port), str(control)] if words[0] == "quiet-job" else [str(port)]
    process = subprocess.Popen(
        [*pinned(where), *PEERS[peer], *words, *ports],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until_accepting(process, port)
        yield port, control
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def until_accepting(process, port):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None:
                raise Wrong(f"did not start: {process.stderr.read().strip()[-200:]}") from None
            time.sleep(0.02)
    raise Wrong("did not start in 10 s")


def check_echo(port):
    """Every byte comes back, in order: small messages one by one, then a megabyte in uneven pieces."""
    source = random.Random(port)
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        for size in (1, 64, 4096):
            whole(sock, [source.randbytes(size)])
        whole(sock, [source.randbytes(source.randint(1, 60_000)) for _ in range(40)])


def whole(sock, pieces):
    want = b"".join(pieces)

    def send():
        for piece in pieces:
            sock.sendall(piece)

    sender = threading.Thread(target=send)
    sender.start()
    got = bytearray()
    while len(got) < len(want):
        piece = sock.recv(1 << 16)
        if not piece:
            break
        got += piece
    sender.join()
    if got != want:
        raise Wrong("echoed bytes differ")


@contextlib.contextmanager
def in_a_hurry():
    """This process before all others on the last core, so that its own waits for a core are not in the figures."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[-1]})
    quiet_neighbour.hurry()
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, before)


def figures(waits):
    """p50, p99 and max in microseconds."""
    waits = sorted(waits)
    at = [waits[min(len(waits) - 1, int(len(waits) * share))] for share in (0.5, 0.99)]
    return {"n": len(waits), "p50": 1e3 * at[0], "p99": 1e3 * at[1], "max": 1e3 * waits[-1]}


def alone(peer, verb, seconds):
    with server(peer, [verb], CORES[:1]) as (port, _), in_a_hurry():
        check_echo(port)
        quiet_neighbour.probe(port, 0.2)
        return figures(quiet_neighbour.probe(port, seconds))


def beside_floods(peer, verb, seconds, floods=4):
    with server(peer, [verb], CORES[:1]) as (port, _), in_a_hurry():
        check_echo(port)
        stop, echoed = multiprocessing.Event(), multiprocessing.Value("Q", 0)
        args = (port, stop, echoed)
        senders = [multiprocessing.Process(target=quiet_neighbour.flood, args=args, daemon=True) for _ in range(floods)]
        for sender in senders:
            sender.start()
        try:
            quiet_neighbour.probe(port, 0.5)
            before, began = echoed.value, time.monotonic()
            found = figures(quiet_neighbour.probe(port, seconds))
            return found | {"floods": (echoed.value - before) / 1e6 / (time.monotonic() - began)}
        finally:
            stop.set()
            for sender in senders:
                sender.join(10)
                if sender.is_alive():
                    sender.kill()
                    sender.join()


def beside_jobs(peer, manner, seconds):
    """One job after the other, each probed while it runs. A job on a thread may use every core, since that is what
    threads are for; one in slices has the loop's."""
    where = CORES[:1] if manner.startswith("cooperate") else CORES
    waits, jobs = [], max(1, round(seconds / JOB_S))
    with server(peer, ["quiet-job", manner], where) as (port, control), in_a_hurry():
        check_echo(port)
        quiet_neighbour.probe(port, 0.2)
        for _ in range(jobs):
            waits += beside_job(port, control, manner)
    return figures(waits)


def beside_job(port, control, manner):
    with socket.create_connection(("127.0.0.1", control), 10) as line:
        waits = quiet_neighbour.probe(port, PROBE_S)
        told = json.loads(line.makefile().readline() or "{}")
    # A job is counted by the time that it worked, so one that worked for its second outlasted the probes.
    in_slices = manner.startswith("cooperate")
    if told.get("worked", 0) < JOB_S - 1e-6 or (told["steps"] > 1_000) != in_slices:
        raise Wrong(f"the job was not done: {told}")
    return waits
