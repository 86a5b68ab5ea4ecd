"""The corpus of bad and odd requests against the release program: each case, in one piece and in many."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import corpus
import corpus_generated
import corpus_rfc
import harness
from corpus_model import NEXT, judge
from crowd import Talk, talk_all
from wire import ask

HELLO = ("respond", "--body", "Hello, World!")
BLACKBOX = Path(__file__).parent


def mirrored(request):
    """What the example `mirror` answers."""
    method, target, body = request
    return f"{method} {target}\n".encode() + body


def hello(_request):
    return b"Hello, World!"


@pytest.fixture(scope="session")
def mirror(many_descriptors, tmp_path_factory):
    """The example `mirror`, which says what the server made of each request; built beside the program, less optimised."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", harness.ROOT / "target")) / "release-tests"
    fast = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}
    build = ["cargo", "build", "--quiet", "--locked", "--release", "--example", "mirror", "--target-dir", str(target)]
    subprocess.run(build, cwd=harness.ROOT, env={**os.environ, **fast}, check=True)
    server = harness.Server(target / "release" / "examples" / "mirror", tmp_path_factory.mktemp("mirror"), "127.0.0.1:0")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def cases(request):
    return corpus.everything(quick=request.config.getoption("--quick"))


def run(server, cases, pieces=lambda case: None, body_of=None):
    """Has every case talk to the server; fails with the first complaints, and counts them all."""
    talks = [corpus.talk(case, pieces(case)) for case in cases]
    talk_all(server.endpoints[0].address, talks)
    complaints = []
    for case, talk in zip(cases, talks):
        wrong = corpus.complaint(case, talk, body_of)
        if wrong:
            complaints.append(f"[{case.group}] {case.name[:150]}\n    {wrong}\n    sent {case.raw[:300]!r}\n    said {bytes(talk.said[:300])!r}")
    assert not complaints, f"{len(complaints)} of {len(cases)} cases:\n" + "\n".join(complaints[:12])
    return talks


def test_the_hand_written_verdicts_and_the_reference_agree():
    wrong = []
    for case in (*corpus.written(), *corpus_generated.bombs()):
        found, said = judge(case.sent), case.verdict
        if (found.taken, found.end) != (said.taken, said.end) or (said.end == "refused" and not found.statuses <= said.statuses):
            wrong.append(f"{case.name}: {said.end} {sorted(said.statuses)} by hand, {found.end} {sorted(found.statuses)} by the reference")
    assert not wrong, "\n".join(wrong)


def test_cases_have_names_of_their_own_and_are_thousands():
    names = [case.name for case in (*corpus.written(), *corpus.generated(5000), *corpus_generated.bombs())]
    assert len(names) == len(set(names)) and len(names) > 20_000


@pytest.mark.parametrize("requirement", corpus_rfc.REQUIREMENTS, ids=lambda r: f"{r.section} {r.text}"[:80])
def test_every_requirement_of_the_rfcs_has_a_proof(requirement):
    assert requirement.cases or requirement.tests or requirement.not_applicable, "nothing shows that this is kept"
    for name in requirement.tests:
        file, _, test = name.partition("::")
        path = harness.ROOT / file if file.startswith("src/") else BLACKBOX / file
        assert test and re.search(rf"\b(?:def|fn) {test}\(", path.read_text()), f"there is no {name}"


def test_every_case_gets_its_verdict(start, cases):
    run(start(*HELLO), cases, body_of=hello)


def test_every_case_is_read_as_these_very_requests_and_bodies(mirror, cases):
    run(mirror, cases, body_of=mirrored)


def test_every_case_cut_at_random_places_gets_its_verdict(start, cases):
    run(start(*HELLO), cases, pieces=lambda case: corpus.cut(case.sent, case.name))


def test_cases_cut_at_random_places_are_read_as_the_same_bodies(mirror, cases):
    run(mirror, cases[::2], pieces=lambda case: corpus.cut(case.sent, "2" + case.name), body_of=mirrored)


def test_a_sample_sent_byte_by_byte_gets_its_verdict(mirror, cases):
    sample = [case for case in cases[::23] if len(case.sent) < 400]
    assert len(sample) > 200
    run(mirror, sample, pieces=lambda case: corpus.bytewise(case.sent), body_of=mirrored)


def test_resource_bombs_get_their_verdicts_and_no_memory(start, mirror):
    bombs = list(corpus_generated.bombs())
    run(mirror, bombs, body_of=mirrored)
    server = start(*HELLO)
    run(server, bombs)
    before = server.rss()
    for seed in range(3):
        run(server, bombs, pieces=lambda case: corpus.cut(case.sent, f"{seed}{case.name}"))
    # A leak of one head a case would be over this by far.
    assert server.rss() - before < 8 << 20, f"{before} bytes became {server.rss()}"


def test_nothing_smuggled_reaches_a_file_server(start, folder, cases):
    """GET of /inside and /next exist as files: their content tells which of the requests were read as such."""
    for name in ("index.html", "inside", "next"):
        (folder / name).write_text(f"this is {name}")
    server = start("serve", folder)
    talks = talk_all(server.endpoints[0].address, [corpus.talk(case) for case in cases])
    wrong = []
    for case, talk in zip(cases, talks):
        inside = sum(request[:2] == ("GET", "/inside") for request in case.verdict.taken)
        following = sum(request[:2] == ("GET", "/next") for request in case.verdict.taken)
        said = bytes(talk.said)
        if talk.end != "eof" or said.count(b"this is inside") > inside or said.count(b"this is next") > following:
            wrong.append(f"{talk.end}: {case.name[:200]}: {said[:300]!r}")
    assert not wrong, f"{len(wrong)} cases:\n" + "\n".join(wrong[:12])


def test_after_all_of_it_nothing_is_kept_and_a_request_is_answered(start, cases):
    server = start(*HELLO)
    run(server, cases[::4])
    server.await_fds_at_start()
    before = server.rss()
    for _ in range(2):
        run(server, cases[::4])
    server.await_fds_at_start()
    assert server.rss() - before < 4 << 20, f"{before} bytes became {server.rss()}"
    assert ask(server).body == b"Hello, World!"


def test_clients_that_leave_in_the_midst_of_any_case_cost_nothing(start, cases):
    """Each case is cut short by our FIN; nothing whole was asked behind the cut, and nothing more is answered."""
    server = start(*HELLO)
    chosen = [case for case in cases[::7] if case.verdict.is_next_answered]
    talks = [Talk([case.sent[: len(case.raw) + len(NEXT) - 3]], fin=True) for case in chosen]
    talk_all(server.endpoints[0].address, talks)
    for case, talk in zip(chosen, talks):
        answered = bytes(talk.said).count(b"HTTP/1.1 200 ")
        assert talk.end == "eof" and answered < len(case.verdict.taken), (case.name, bytes(talk.said[:500]))
    assert ask(server).status == 200
