"""What the Python peers share: the delays of the timers, the one-second job, and how a result is printed."""
import hashlib
import json
import sys
import time

MILLION = 1_000_000
FIRES = 200_000
THREADS = 4
RESETS_A_TURN = 1_000
SLICE_S = 50e-6
JOB_S = 1.0
# A phase is repeated until it has taken this long, so that a short one is not a matter of luck.
PHASE_S = 0.5
REPEATS_MAX = 40


def scrambled(n):
    """The same fixed sequence in every peer: neither sorted nor random."""
    return (((i * 2_654_435_761) & 0xFFFFFFFF) >> 8 for i in range(n))


def far_delays(n):
    """Seconds, spread over ten minutes, none of them due within a minute."""
    return [(60_000 + x % 600_000) / 1e3 for x in scrambled(n)]


def near_delays(n):
    """Seconds, spread over 50 ms."""
    return [(1 + x % 50) / 1e3 for x in scrambled(n)]


def report(row, n, seconds):
    print(json.dumps({"row": row, "n": n, "seconds": seconds}), flush=True)


class Phases:
    """Adds up what each phase of several repeats has cost, and says when it is enough."""

    def __init__(self, *rows):
        self.sums = {row: [0, 0.0] for row in rows}
        self.repeats = 0

    def add(self, row, n, seconds):
        self.sums[row][0] += n
        self.sums[row][1] += seconds

    def more(self, scale):
        """Whether to go round again. The first round is the warm-up: its figures are forgotten."""
        self.repeats += 1
        if self.repeats == 2:
            self.sums = {row: [0, 0.0] for row in self.sums}
        least = min(seconds for _, seconds in self.sums.values())
        return self.repeats <= 2 or (least < PHASE_S * scale and self.repeats <= REPEATS_MAX)

    def print(self):
        for row, (n, seconds) in self.sums.items():
            report(row, n, seconds)


def check(whole, what):
    """Ends the program when a result is wrong: a peer that loses work must not be timed."""
    if not whole:
        sys.exit(f"wrong result: {what}")


def spin(seconds):
    """Work of this length that holds the interpreter; how long it was."""
    began = now = time.perf_counter()
    while now - began < seconds:
        now = time.perf_counter()
    return now - began


def hash_for(seconds):
    """Work of this length in C, which lets other threads of the interpreter run."""
    began, block = time.perf_counter(), bytes(1 << 20)
    while (now := time.perf_counter()) - began < seconds:
        hashlib.sha256(block).digest()
    return now - began


def job_done(steps, seconds):
    """What the control connection is told."""
    return (json.dumps({"steps": steps, "worked": seconds}) + "\n").encode()
