#!/usr/bin/env python3
"""Tasks on the loop: Tidemill beside asyncio, uvloop, Twisted, libevent and tokio, in one run.

  benches/tasks/run.py [timers] [posts] [echo] [quiet]      all four by default
      [--rounds 3] [--secs 5] [--scale 1] [--peers asyncio,tokio] [--syscalls] [--json FILE]

Run setup.sh first; README.md says what each row means. The peers take turns, A B C A B C, and a ratio is the median of
the ratios of the same round: the peer's cost over ours, so above 1 means that ours is ahead.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cases
from cases import CORES, ECHOES, EXTRA_JOBS, MEASURE, PEERS, Wrong

OURS = "tidemill"
TIMERS = ("set", "cancel", "fire", "reset")
# What the floods got: no cost, so nothing to compare by.
FLOODS = "floods, MB/s"
# Within this of equal, or within both spreads, nobody is ahead.
MARGIN = 0.03


class Section:
    """The figures of one part of the run: rows (who) by columns (what), one figure a round."""

    def __init__(self, title, columns, unit, digits=1):
        self.title, self.columns, self.unit, self.digits = title, columns, unit, digits
        self.rows, self.notes = {}, []

    def add(self, row, column, value):
        self.rows.setdefault(row, {}).setdefault(column, []).append(value)

    def base(self, row, column):
        """What a row is compared with: ours of the same manner where we have it, else ours by handler."""
        for name in (OURS + row[len(row.split()[0]) :], OURS):
            if column in self.rows.get(name, {}):
                return self.rows[name][column]
        return None

    def ratio(self, row, column):
        ours, theirs = self.base(row, column) if column != FLOODS else None, self.rows[row][column]
        pairs = list(zip(theirs, ours)) if ours and not row.startswith(OURS) else []
        return statistics.median(a / b for a, b in pairs) if pairs else None

    def cell(self, row, column):
        values = self.rows[row].get(column)
        if not values:
            return "–"
        ratio = self.ratio(row, column)
        times = f" ({ratio:.2f}×)" if ratio else ""
        return f"{statistics.median(values):.{self.digits}f}{times} ±{100 * spread(values):.0f}%"

    def behind(self):
        """Where a peer is ahead of ours by more than the noise."""
        for row in self.rows:
            for column in self.columns:
                ratio = self.ratio(row, column) if column in self.rows[row] else None
                if ratio is None or ratio >= 1 - MARGIN:
                    continue
                noise = spread(self.rows[row][column]) + spread(self.base(row, column))
                within = " (within the spread)" if ratio > 1 - noise else ""
                yield f"{self.title}, {column}: {row} {ratio:.2f}×{within}"

    def print(self):
        print(f"\n### {self.title}\n\n{self.unit}\n")
        print("| | " + " | ".join(self.columns) + " |\n|---|" + "--:|" * len(self.columns))
        for row in self.rows:
            print(f"| {row} | " + " | ".join(self.cell(row, column) for column in self.columns) + " |")
        for note in dict.fromkeys(self.notes):
            print(f"- {note}")
        sys.stdout.flush()


def spread(values):
    """Half of the range over the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0


def self_measured(section, verb, where, a):
    """`timers` and `posts`: a process a round, which times itself and prints JSON lines."""
    for _ in range(a.rounds):
        for peer in a.peers:
            try:
                found = cases.results(peer, verb, a.scale, where)
            except (Wrong, OSError, subprocess.TimeoutExpired) as e:
                section.notes.append(f"{peer} left out: {e}")
                continue
            for line in found:
                row, _, variant = line["row"].partition(":")
                name = f"{peer} {variant}".strip()
                section.add(name, row, 1e9 * line["seconds"] / line["n"])
    section.print()
    return [section]


def timers(a):
    unit = "Nanoseconds a timer (1,000 / ns = million a second), on one core."
    return self_measured(Section("Timers", TIMERS, unit), "timers", CORES[:1], a)


def posts(a):
    unit = "Nanoseconds a post from four threads (1,000 / ns = million a second), on all cores."
    return self_measured(Section("Posts", ("post",), unit), "posts", CORES, a)


def echo_programs(peers):
    """(row, sub-command) of every echo server."""
    for peer in peers:
        for verb in ECHOES[peer]:
            yield f"{peer} {verb[5:]}".strip(), verb


def echo(a):
    """The measuring tools' scenarios s9 and s9bulk, with all of ours as candidates."""
    section = Section("Echo", ("64 B × 64", "64 KiB × 16"), "CPU µs of the server a message.", digits=2)
    programs = {}
    for name, verb in echo_programs(a.peers):
        try:
            with cases.server(name.split()[0], [verb], CORES[:1]) as (port, _):
                cases.check_echo(port)
            programs[name.replace(" ", "-")] = [*PEERS[name.split()[0]], verb, "{port}"]
        except (Wrong, OSError) as e:
            section.notes.append(f"{name} left out: {e}")
    for scenario, column in zip(("s9", "s9bulk"), section.columns):
        try:
            results = measured(scenario, programs, a)
        except subprocess.CalledProcessError as e:
            section.notes.append(f"{column} left out: {e}")
            continue
        for name, found in results.items():
            name = name.replace("-", " ")
            for line in found["rounds"]:
                section.add(name, column, line["us"])
                if line["errors"]:
                    section.notes.append(f"{name}, {column}: {line['errors']}")
            if found["rounds"] and found["syscalls"]:
                section.notes.append(f"{name}, {column}: {found['syscalls'][0]:.2f} system calls a message")
            busy = [line["util"] for line in found["rounds"]]
            if busy and statistics.median(busy) < 0.9:
                section.notes.append(f"{name}, {column}: the server was busy {statistics.median(busy):.2f} of the time")
    section.print()
    return [section]


def measured(scenario, programs, a):
    """What the measuring tools' run.py says of these programs, by name."""
    with tempfile.TemporaryDirectory(prefix="tasks-") as folder:
        out = Path(folder) / "out.json"
        argv = [sys.executable, str(MEASURE / "run.py"), scenario, "--peers", "floor_echo", "--rounds", str(a.rounds)]
        argv += ["--secs", str(a.secs), "--json", str(out), *(["--syscalls"] if a.syscalls else [])]
        for name, words in programs.items():
            argv += ["--candidate", f"{name}={shlex.join(words)}"]
        subprocess.run(
            argv, env={**os.environ, "MEASURE_BUILD": str(cases.BUILD)}, stdout=subprocess.DEVNULL, check=True
        )
        return json.loads(out.read_text())[scenario]


def quiet_cases(a):
    """(section, row, how to measure it) for one round."""
    for name, verb in echo_programs(a.peers):
        peer = name.split()[0]
        yield "alone", name, lambda peer=peer, verb=verb: cases.alone(peer, verb, a.secs / 2)
        yield "beside four floods", name, lambda peer=peer, verb=verb: cases.beside_floods(peer, verb, a.secs)
    for peer in a.peers:
        for manner in ("cooperate", "offload", *EXTRA_JOBS.get(peer, ())):
            kind, _, extra = manner.partition("-")
            title = {"cooperate": "beside a job in slices", "offload": "beside a job on a thread"}[kind]
            name = f"{peer} {extra}".strip()
            yield title, name, lambda peer=peer, manner=manner: cases.beside_jobs(peer, manner, a.secs)


def quiet(a):
    """Latency of 64 bytes every millisecond."""
    sections = {}
    for _ in range(a.rounds):
        for title, name, measure in quiet_cases(a):
            unit = "Microseconds of a 64-byte echo every millisecond; max is the median of the rounds' worst."
            columns = ("p50", "p99", "max", *((FLOODS,) if "floods" in title else ()))
            section = sections.setdefault(title, Section(f"Quiet connection {title}", columns, unit, digits=0))
            try:
                found = measure()
            except (Wrong, OSError) as e:
                section.notes.append(f"{name} left out: {e}")
                continue
            for column in section.columns:
                section.add(name, column, found["floods" if column == FLOODS else column])
    for section in sections.values():
        section.print()
    return list(sections.values())


def verdict(sections):
    print("\n### Where ours is not ahead\n")
    # The floor is no peer, and the worst single probe of a run is the machine's.
    found = [line for s in sections for line in s.behind() if "floor_" not in line and ", max:" not in line]
    for line in found or ["nowhere"]:
        print(f"- {line}")


PARTS = {"timers": timers, "posts": posts, "echo": echo, "quiet": quiet}


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", metavar="PART", help="timers, posts, echo, quiet")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=int, default=5, help="of each measurement of echo and of the quiet connection")
    parser.add_argument("--scale", type=float, default=1.0, help="of the counts of timers and posts; below 1 for a trial")
    parser.add_argument("--peers", default=",".join(PEERS), help="ours is always there")
    parser.add_argument("--syscalls", action="store_true", help="counts them in runs of their own (needs perf)")
    parser.add_argument("--json", help="where to write every figure of every round")
    a = parser.parse_args()
    a.peers = [peer for peer in PEERS if peer == OURS or peer in a.peers.split(",")]
    a.part = a.part or list(PARTS)
    if unknown := set(a.part) - set(PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    return a


def main():
    a = options()
    if not (MEASURE / "run.py").exists():
        return f"no measuring tools at {MEASURE}: set TIDEMILL_MEASURE to the folder that holds run.py"
    missing = [peer for peer in a.peers if not os.access(PEERS[peer][0], os.X_OK)]
    if missing or not (cases.BUILD / "bin" / "load").exists():
        return f"run setup.sh first (missing: {', '.join(missing) or 'load'})"
    sections = []
    for part in a.part:
        sections += PARTS[part](a)
        if a.json:
            told = {s.title: {"rows": s.rows, "notes": s.notes} for s in sections}
            Path(a.json).write_text(json.dumps(told, indent=1))
    verdict(sections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
