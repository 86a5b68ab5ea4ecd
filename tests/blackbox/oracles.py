"""Other people's parsers as readers of a case: what each takes for requests, and whether it refuses."""

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import h11

LLHTTP = Path(__file__).with_name("llhttp.js")


@dataclass(frozen=True)
class Reading:
    """What a parser makes of a connection's bytes, as corpus_model.Verdict says it of ours."""

    taken: tuple
    refused: bool
    why: str = ""


def by_h11(data):
    """h11 as a server that answers everything."""
    connection, taken, body, request = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024), [], b"", None
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                taken.append((request.method.decode("latin-1"), request.target.decode("latin-1"), body))
                if request.method == b"CONNECT":
                    return Reading(tuple(taken), False)
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    return Reading(tuple(taken), False)
                connection.start_next_cycle()
            else:
                return Reading(tuple(taken), False)
    except h11.RemoteProtocolError as error:
        return Reading(tuple(taken), True, str(error))


def by_llhttp(many):
    """node's llhttp, strict; one process for all of them."""
    lines = b"\n".join(base64.b64encode(data) for data in many) + b"\n"
    found = subprocess.run(["node", str(LLHTTP)], input=lines, capture_output=True, check=True, timeout=120)
    readings = []
    for line in found.stdout.splitlines():
        said = json.loads(line)
        taken = tuple((method, target, base64.b64decode(body)) for method, target, body in said["requests"])
        # Bytes behind `Connection: close` and a switch of protocols are no fault of the request.
        refused = said["error"] not in (None, "HPE_CLOSED_CONNECTION", "HPE_PAUSED_UPGRADE")
        readings.append(Reading(taken, refused, said["error"] or ""))
    return readings
