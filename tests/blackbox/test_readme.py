"""The console sessions of README.md and docs/, run as they are printed.

Convention: each ```console block runs by itself in an empty folder and a network namespace of its own (so that the
default ports are free), with the release program on PATH. A line that begins with `$ ` is a command; one that ends
with ` &` is a server: the next command waits for its ready lines, and it is ended by its pid. A line without `$ ` is
output that the command above must show, where `…` stands for anything and a blank for any
white space. Blocks marked ```sh are not run.
"""
import os
import re
import subprocess

import pytest

from harness import ROOT, own_network

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Waits for the ready line of the server just started. A subshell's output goes to a file of its own.
SERVER = """{command} >"$out/{number}" 2>"$out/{number}.err" & servers="$servers $!"
until grep -q '^listening ' "$out/{number}"; do kill -0 $! || {{ cat "$out/{number}.err" >&2; exit 99; }}; done
"""
# A script that fails or is timed out leaves no server behind.
BEGIN = """set -u
servers=""
trap 'kill -KILL $servers 2>/dev/null' EXIT
trap 'exit 96' TERM
"""
END = 'for pid in $servers; do kill "$pid" && wait "$pid" || { echo "server $pid ended with $?" >&2; exit 98; }; done; servers=""\n'


def blocks():
    for document in DOCUMENTS:
        for number, block in enumerate(re.findall(r"^```console\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL), 1):
            yield pytest.param(block, id=f"{document.name}-{number}")


def script_of(block):
    """A shell script for the block, and the output lines that it must show."""
    script, shown = BEGIN, []
    for number, line in enumerate(block.splitlines()):
        if line.startswith("$ ") and line.endswith(" &"):
            script += SERVER.format(command=line[2:-2], number=number)
        elif line.startswith("$ "):
            script += f"{line[2:]} || {{ echo 'failed: line {number + 1}' >&2; exit 97; }}\n"
        elif line.strip():
            shown.append(line)
    return script + END, shown


@pytest.mark.parametrize("block", list(blocks()))
def test_the_commands_of_a_document_do_what_it_says(binary, folder, tmp_path, block):
    script, shown = script_of(block)
    (folder / "run").mkdir()
    path = f"{binary.parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "HOME": str(folder), "out": str(tmp_path), "NO_COLOR": "1"}
    argv = own_network("timeout", "--kill-after=5", "60", "bash", "-c", script)
    done = subprocess.run(argv, cwd=folder / "run", env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    servers = "".join(file.read_text() for file in sorted(tmp_path.iterdir()))
    for line in shown:
        pattern = r"\s+".join(map(re.escape, line.split())).replace("…", ".*")
        assert re.search(pattern, servers + done.stdout), f"{line!r} is not in:\n{servers}{done.stdout}"


def test_the_first_document_has_sessions_to_run():
    assert len([block for block in blocks() if block.id.startswith("README")]) >= 3
