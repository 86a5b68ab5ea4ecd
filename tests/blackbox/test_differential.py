"""The corpus against nginx, lighttpd and Apache, side by side; docs/differences.md tells what came of it."""

import re
from collections import Counter

import pytest

import differences
import harness
import peers
from differences import OURS

PAGE = harness.ROOT / "docs" / "differences.md"


@pytest.fixture(scope="module")
def root():
    folder = harness.Folder()
    differences.plant(folder.path)
    yield folder.path
    folder.remove()


@pytest.fixture(scope="module")
def chosen():
    return differences.cases()


@pytest.fixture(scope="module")
def ours(binary, root, chosen, tmp_path_factory):
    server = harness.Server(binary, tmp_path_factory.mktemp("ours"), "serve", root, "--listen", "127.0.0.1:0")
    found = differences.watch(server.endpoints[0].address, chosen)
    server.finish()
    return found


def written():
    """{kind: (number of cases, our cell)} of the table in the page."""
    found = {}
    for line in PAGE.read_text().partition("\n## ")[0].splitlines():
        row = re.fullmatch(r"\| ([^|]+) \| ([0-9]+) \| ([^|]+) \|.*", line)
        if row:
            found[row[1]] = (int(row[2]), row[3])
    return found


def test_the_page_says_what_this_program_does(ours, chosen):
    now = {name: (count, cells[OURS]) for name, count, cells, _ in differences.rows(chosen, {OURS: ours})}
    assert written() == now, "run tests/differences"


def test_this_program_answers_nothing_that_was_hidden_and_keeps_nobody_waiting(ours, chosen):
    wrong = [(case.name, what) for case, what in zip(chosen, ours) if what in ("answers what was hidden", "waits", "answers, then waits", "takes as HTTP/0.9") or "goes on" in what]
    assert not wrong, wrong[:20]


@pytest.mark.parametrize("name", peers.PEERS)
def test_each_disagreement_with_another_server_is_explained(ours, chosen, root, name):
    if name in peers.missing():
        pytest.skip(f"{name} is not installed: `tests/run tools` installs it")
    with peers.running(name, root) as address:
        theirs = differences.watch(address, chosen)
    # A server that refused everything, or was never reached, would explain nothing.
    assert Counter(theirs)["takes"] > 1000, Counter(theirs)
    table = list(differences.rows(chosen, {OURS: ours, name: theirs}))
    unexplained = [row for row in table if row[3] and row[0] not in differences.WHY]
    assert not unexplained, unexplained
    page = PAGE.read_text()
    missing = [kind for kind, _, _, differ in table if differ and f"- **{kind}**: " not in page]
    assert not missing, f"run tests/differences: {missing}"
