#!/usr/bin/env python3
"""Four flooding echo connections beside a quiet one: how long does the quiet one wait for its 64 bytes?

  benches/quiet_neighbour.py [--seconds 5] [--floods 4]

The server has the first core; the floods share the last one with the probe, which runs with real-time priority (as root;
else its own waits for the core are in the figures, and a note says so). `alone` is the same probe without floods. The
goal is a p99 under 2 ms. TIDEMILL_BIN names the program.
"""
import argparse
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

BINARY = os.environ.get("TIDEMILL_BIN", str(Path(__file__).resolve().parents[1] / "target" / "release" / "tidemill"))
GOAL_MS = 2.0


def flood(port, stop, echoed=None):
    """Sends and reads as fast as it can until told to stop; adds the bytes that came back to `echoed`, if given."""
    with socket.create_connection(("127.0.0.1", port)) as sock:

        def drain():
            while came := len(sock.recv(1 << 18)):
                if echoed is not None:
                    with echoed.get_lock():
                        echoed.value += came

        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        block = bytes(1 << 16)
        while not stop.is_set():
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        reader.join(10)


def probe(port, seconds):
    """Round trips of 64 bytes, every millisecond; sorted milliseconds."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message, waits, end = bytes(64), [], time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            sock.sendall(message)
            left = 64
            while left:
                left -= len(sock.recv(left))
            waits.append(1e3 * (time.perf_counter() - began))
            time.sleep(0.001)
    return sorted(waits)


def hurry():
    """This process before all others on its core; those it starts are ordinary again."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        print("note: no right to real-time priority; the probe's own waits for its core are counted too")


def line(name, waits):
    at = [waits[min(len(waits) - 1, int(len(waits) * share))] for share in (0.5, 0.99, 0.999)]
    print(f"{name:12} {len(waits):6} probes  p50 {at[0]:.3f} ms  p99 {at[1]:.3f} ms  p99.9 {at[2]:.3f} ms  max {waits[-1]:.3f} ms")
    return at[1]


def measure(port, options):
    line("alone", probe(port, options.seconds))
    stop = multiprocessing.Event()
    floods = [multiprocessing.Process(target=flood, args=(port, stop), daemon=True) for _ in range(options.floods)]
    for process in floods:
        process.start()
    p99 = line(f"{options.floods} floods", probe(port, options.seconds))
    stop.set()
    for process in floods:
        process.join(20)
    print(f"goal: p99 under {GOAL_MS:g} ms: {'reached' if p99 < GOAL_MS else 'missed'}")
    return p99 < GOAL_MS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--floods", type=int, default=4)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    server = subprocess.Popen(
        ["taskset", "-c", str(cores[0]), BINARY, "echo", "-q", "--listen", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = int(server.stdout.readline().split()[1].rsplit(":", 1)[1])
        os.sched_setaffinity(0, {cores[-1]})
        hurry()
        return 0 if measure(port, options) else 1
    finally:
        server.terminate()
        server.wait(40)


if __name__ == "__main__":
    sys.exit(main())
