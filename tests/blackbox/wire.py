"""HTTP as bytes on a socket, with h11 as the judge of what a well-formed answer is."""

from dataclasses import dataclass, field

import h11


@dataclass
class Answer:
    """One whole answer, with the informational ones that came before it."""

    status: int
    version: str
    headers: list
    body: bytes = b""
    informational: list = field(default_factory=list)

    def __getitem__(self, name):
        """The value of a field that must be there once."""
        values = self.all(name)
        assert len(values) == 1, f"{name} is there {len(values)} times in {self.headers}"
        return values[0]

    def __contains__(self, name):
        return bool(self.all(name))

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]


class Reader:
    """Reads answers one behind the other from one connection."""

    def __init__(self, sock):
        self.sock, self.left = sock, b""

    def answer(self, method="GET"):
        """The next answer; h11 raises for one that is malformed or cut."""
        judge = h11.Connection(h11.CLIENT)
        judge.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        judge.send(h11.EndOfMessage())
        if self.left:
            judge.receive_data(self.left)
        answer, informational = None, []
        while True:
            event = judge.next_event()
            if event is h11.NEED_DATA:
                judge.receive_data(self.sock.recv(65536))
            elif isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                headers = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in event.headers]
                answer = Answer(event.status_code, event.http_version.decode(), headers, b"", informational)
                chunks = []
            elif isinstance(event, h11.Data):
                chunks.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                answer.body = b"".join(chunks)
                self.left = judge.trailing_data[0]
                return answer
            else:
                raise AssertionError(f"no answer but {event!r}")

    def rest(self):
        """Everything up to the server's FIN. A reset is an error: the answer must be seen."""
        return self.left + read_to_end(self.sock)


def read_to_end(sock):
    chunks = []
    while chunk := sock.recv(1 << 18):
        chunks.append(chunk)
    return b"".join(chunks)


def request(target="/", *fields, method="GET", version="1.1", host="x", body=b""):
    """One request head, and body; `fields` are whole lines."""
    target = target if isinstance(target, bytes) else target.encode()
    lines = [method.encode() + b" " + target + b" HTTP/" + version.encode()]
    lines += [b"Host: " + host.encode()] if host else []
    lines += [line if isinstance(line, bytes) else line.encode() for line in fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def ask(server, target="/", *fields, **options):
    """One request on a connection of its own."""
    sock = server.connect()
    try:
        sock.sendall(request(target, *fields, **options))
        return Reader(sock).answer(options.get("method", "GET"))
    finally:
        sock.close()


def eof_within(sock, seconds):
    """True when the server ends the connection, with FIN or reset, within the time and says nothing more."""
    sock.settimeout(seconds)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
