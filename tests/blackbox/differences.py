"""What this server and three others make of the corpus, as the table of docs/differences.md.

A row is a kind of fault, in the words of the reference (corpus_model.py); its cells say what each server does.
"""

import re
from collections import Counter

import corpus
import corpus_generated
from corpus_model import judge
from crowd import talk_all

OURS = "tidemill"
REFUSALS = frozenset((400, 408, 411, 413, 414, 417, 431, 501, 505))
NAMES = ("index.html", "inside", "next")
# A server that has said nothing for so long waits for more.
PATIENCE = 2.0

# Kind of fault: why we do as we do where another server does not. Rows without disagreement need none.
WHY = {
    "bare LF": "RFC 9112 2.2 lets a server take a lone LF for a line end. Two parsers in a row that disagree on it see different requests, so it is refused.",
    "behind a chunk": "What follows a chunk's data is CRLF and nothing else; a server that skips two bytes of any kind is read differently by its proxy.",
    "chunk extension": "Nobody needs what the grammar of RFC 9112 7.1.1 does not have, and TERM.EXT and EXT.TERM attacks live from it.",
    "chunk size": "A size is hexadecimal digits, at most 16. White space, signs and prefixes are how sizes are read differently.",
    "coding": "RFC 9112 6.3: when chunked is not the last coding, the end of a request is not known: 400 and close.",
    "coding in HTTP/1.0": "RFC 9112 6.1 calls such framing faulty even when it can be decoded.",
    "expectation": "RFC 9110 10.1.1 offers 417 for an expectation that is not met. To ignore it would be to claim that it is.",
    "field name": "A field that is ignored here may be a Content-Length elsewhere: a name that is no token is refused, not skipped.",
    "field value": "Control bytes are in no value's grammar (RFC 9110 5.5), and end up in logs and other servers.",
    "folding": "RFC 9112 5.2 offers 400 or a join by spaces; a join changes what the next server sees.",
    "host": "RFC 9112 3.2: an invalid Host is answered 400; what it names may become a redirect or a cache key.",
    "length": "Content-Length is digits (RFC 9110 8.6). A list of equal values may be joined or refused; a list is a sign of two parsers.",
    "length and coding": "RFC 9112 6.3 lets the coding override or lets both be refused; refusing leaves nothing to disagree on.",
    "limit": "Bounds are each server's own: 16 KiB of head, 8 KiB of target, 100 fields, 1 MiB of body, 4 KiB of chunk extensions, 8 KiB of trailers.",
    "method": "Unknown methods in capitals reach the application (405 for a file); others, CONNECT and TRACE are answered 501.",
    "no host": "RFC 9112 3.2: an HTTP/1.1 request without Host is answered 400.",
    "opening": "One empty line before a request is forgiven (RFC 9112 2.2); more, or any other byte, is not HTTP.",
    "request line": "RFC 9112 3 lets a server be lenient with white space, and advises against it; nothing is repaired here.",
    "target": "RFC 9112 3.2 has four forms, and none has a fragment or another scheme. A target is not repaired.",
    "two hosts": "RFC 9112 3.2: more than one Host is answered 400.",
    "two lengths": "Equal or not, two lengths are two opinions: 400.",
    "unknown coding": "RFC 9112 6.1: 501 for a coding that is not understood.",
    "version": "RFC 9110 15.6.6: 505 for a version that is not spoken, HTTP/1.2 and above included, as they do not exist.",
    "good": "Each of these is a well-formed HTTP request. As a file server ours answers 501 to methods that it does not know, and 400 to a target whose percent triplets are broken; others also refuse rare but valid hosts, fields, bodies of GET and white space.",
    "starved": "The bytes end inside a body; only the client's end decides.",
}


def cases():
    """All written cases and every byte in every place: those that can be told by their kind."""
    return [*corpus.written(), *corpus_generated.every_byte()]


def plant(folder):
    """Files by whose content an answer tells which request it is for."""
    for name in NAMES:
        (folder / name).write_text(f"<this is {name}>")
    folder.chmod(0o755)


def kind(case):
    """The row of a case."""
    verdict = judge(case.sent)
    return verdict.why or ("good" if verdict.end in ("closed", "open") else verdict.end)


def outcome(case, talk):
    """What a server did with a case, in a word or two."""
    said, verdict = bytes(talk.said), judge(case.sent)
    statuses = [int(s) for s in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", said) if not s.startswith(b"1")]
    inside = sum(request[1] == "/inside" for request in verdict.taken)
    follows = sum(request[1] == "/next" and request[0] == "GET" for request in verdict.taken)
    if said.count(b"<this is inside>") > inside:
        return "answers what was hidden"
    refused = next((status for status in statuses if status in REFUSALS), None)
    if refused:
        behind = said.rpartition(b"HTTP/1.1 %d " % refused)[2]
        return f"{refused}, then goes on" if b"<this is next>" in behind and not follows else str(refused)
    if said.startswith(b"<"):
        return "takes as HTTP/0.9"
    if statuses:
        follows_on = b"<this is next>" in said or (verdict.end == "closed" and not verdict.is_next_answered)
        return "takes" if follows_on else "answers, then closes" if talk.end in ("eof", "reset") else "answers, then waits"
    return "closes" if talk.end in ("eof", "reset") else "waits"


def watch(address, chosen, patience=PATIENCE):
    """Each case's outcome at the server there, in the order of the cases."""
    talks = talk_all(address, [corpus.talk(case) for case in chosen], at_once=400, patience=patience)
    return [outcome(case, talk) for case, talk in zip(chosen, talks)]


def cell(outcomes):
    """What most do first; how many of each where they are not all alike."""
    counts = Counter(outcomes).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{what} ×{n}" for what, n in counts)


def rows(chosen, found):
    """(kind, number of cases, {server: cell}, whether one server takes what another does not) for each kind."""
    kinds = [kind(case) for case in chosen]
    for name in sorted(set(kinds)):
        at = [n for n, k in enumerate(kinds) if k == name]
        differ = any(len({outcomes[n] == "takes" for outcomes in found.values()}) > 1 for n in at)
        yield name, len(at), {server: cell([outcomes[n] for n in at]) for server, outcomes in found.items()}, differ


def page(chosen, found, versions):
    """The text of docs/differences.md."""
    servers = list(found)
    lines = [
        "# What other servers make of bad requests",
        "",
        f"Written by `tests/differences`: {len(chosen)} raw requests, each with a good request behind it, sent to this server and to",
        f"{', '.join(versions)}, as Debian ships them, each serving a folder of three files.",
        "`tests/blackbox/test_differential.py` holds the first column of answers to the program.",
        "",
        "A status is a refusal behind which nothing is answered. *Takes*: answered as a request, and the one behind it too. *Answers, then",
        "closes*: the first was answered (a file server says 405 before it reads a body) and nothing behind it. *Answers what was",
        "hidden*: a request inside of another's body or head was answered, which is request smuggling if a proxy in front thinks",
        f"otherwise. *Waits*: nothing more is said for {PATIENCE:g} s. *Closes*: ended without a word.",
        "",
        f"| fault | cases | {' | '.join(servers)} |",
        f"|---|---|{'---|' * len(servers)}",
    ]
    table = list(rows(chosen, found))
    lines += [f"| {name} | {count} | {' | '.join(cells[server] for server in servers)} |" for name, count, cells, _ in table]
    lines += ["", "## Why ours", ""]
    lines += [f"- **{name}**: {WHY[name]}" for name, _, _, differ in table if differ]
    lines += ["", "## Advisories and catalogues, one by one", "", "Cases of the catalogue on which the servers differ.", "", f"| case | {' | '.join(servers)} |", f"|---|{'---|' * len(servers)}"]
    for n, case in enumerate(chosen):
        if not case.group.startswith(("advisory", "cl+te", "cl twice", "te twice", "te line", "cl line")):
            continue
        cells = [found[server][n] for server in servers]
        if len(set(cells)) > 1:
            lines.append(f"| {case.name.replace('|', '&#124;')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
