"""The whole corpus, and what a server's bytes say about one of its cases."""

import random
import re

import corpus_generated
import corpus_rfc
import corpus_smuggling
from crowd import Talk

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def written():
    """Cases with hand-written verdicts."""
    yield from corpus_rfc.cases()
    yield from corpus_smuggling.cases()
    yield from corpus_generated.classic()


def generated(mutations):
    yield from corpus_generated.every_byte()
    yield from corpus_generated.prefixes()
    yield from corpus_generated.mutations(mutations)


def everything(quick=False):
    """All cases but the bombs, each once; a quick run leaves out most of those that were made."""
    cases = [*written(), *generated(500 if quick else 12_000)]
    return cases[:: 4 if quick else 1]


def bytewise(raw):
    return [raw[at : at + 1] for at in range(len(raw))]


def cut(raw, seed):
    """`raw` in two to six pieces."""
    rng = random.Random(seed)
    ends = sorted({0, len(raw), *(rng.randrange(len(raw) + 1) for _ in range(rng.randint(1, 5)))})
    return [raw[a:b] for a, b in zip(ends, ends[1:])]


def talk(case, pieces=None):
    """The connection of a case. Our FIN is sent only where the server must wait for more."""
    return Talk(pieces or [case.sent], fin=case.verdict.end in ("open", "starved"))


def answers(said, methods):
    """(status, fields, body) of each answer in `said`; None where the bytes are no whole answers.

    `methods` are those of the requests that were taken; what refuses has no body behind HEAD only.
    """
    found, at, methods = [], 0, list(methods)
    while at < len(said):
        if said.startswith(INTERIM, at):
            at += len(INTERIM)
            continue
        end = said.find(b"\r\n\r\n", at)
        status = re.match(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*\r\n", said[at : at + 80])
        if end < 0 or not status:
            return None
        fields = said[at + status.end() : end + 2].lower()
        length = re.search(rb"(?:^|\n)content-length: ([0-9]+)\r\n", fields)
        at = end + 4
        method = methods.pop(0) if methods else None
        # Behind the last taken request there is only what refuses; it is whole, or bare because it answers HEAD.
        bare = method == "HEAD" or (method is None and at == len(said))
        size = 0 if bare or not length else int(length[1])
        if at + size > len(said):
            return None
        found.append((int(status[1]), fields, bytes(said[at : at + size])))
        at += size
    return found


def complaint(case, talk, body_of=None):
    """What is wrong with how the server took a case, as a sentence; None if nothing is.

    `body_of` gives the body of the answer to a request that was taken, if the server is known to say it.
    """
    verdict = case.verdict
    # Who announced its last request (or speaks HTTP/1.0) and goes on sending is met by a closed socket.
    beyond = talk.end == "reset" and verdict.end == "closed" and not verdict.is_next_answered and len(talk.pieces) > 1
    if talk.end != "eof" and not beyond:
        return f"ended by {talk.end} after {talk.seconds:.1f} s"
    found = answers(bytes(talk.said), [method for method, _, _ in verdict.taken])
    if found is None:
        return "not whole answers"
    taken, behind = found[: len(verdict.taken)], found[len(verdict.taken) :]
    for request, (status, _, body) in zip(verdict.taken, taken):
        if status != 200:
            return f"{request[:2]} was answered {status}"
        if body_of and request[0] != "HEAD" and body != body_of(request):
            return f"{request[0]} {request[1]} was seen as {body[:200]!r}"
    if len(taken) < len(verdict.taken) and not beyond:
        return f"{len(taken)} of {len(verdict.taken)} requests were answered"
    if verdict.end == "refused" and len(behind) != 1:
        return f"{len(behind)} answers where one had to refuse"
    if verdict.end in ("closed", "open") and behind:
        return "answers behind the last one"
    if len(behind) > 1:
        return "more than one refusal"
    for status, fields, _ in behind:
        if status not in verdict.statuses:
            return f"refused with {status}, not {sorted(verdict.statuses)}"
        if b"connection: close\r\n" not in fields:
            return "a refusal that does not say that it closes"
    return None
