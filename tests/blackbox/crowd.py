"""Many connections at once on one thread: each sends its bytes in pieces and reads until the server ends it.

It knows no HTTP. What a peer sees is kept apart: a FIN, a reset, or nothing until the time is over.
"""

import errno
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

PATIENCE = 20.0


@dataclass
class Talk:
    """One connection: what it sends, whether it sends its FIN behind that, and what came of it."""

    pieces: list
    fin: bool = False
    said: bytearray = field(default_factory=bytearray)
    # "eof", "reset" or "hang"; "refused" if it never came to be.
    end: str = ""
    began: float = 0.0
    seconds: float = 0.0
    at: int = 0
    offset: int = 0
    is_sent: bool = False


def talk_all(address, talks, at_once=150, patience=PATIENCE):
    """Runs all of them, so many at a time; each has its `end` behind it."""
    waiting, live, poll = deque(talks), {}, select.epoll()
    try:
        while waiting or live:
            while waiting and len(live) < at_once:
                _open(address, waiting.popleft(), live, poll)
            events = poll.poll(1.0)
            for fd, event in events:
                if fd in live:
                    _serve(fd, event, live, poll)
            if len(events) < at_once // 2:
                _expire(live, poll, patience)
    finally:
        for fd in list(live):
            _close(fd, live, poll, "hang")
        poll.close()
    return talks


def _open(address, talk, live, poll):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    talk.began = time.monotonic()
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        talk.end = "refused"
        return
    live[sock.fileno()] = (sock, talk)
    poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)


def _serve(fd, event, live, poll):
    sock, talk = live[fd]
    try:
        if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            data = sock.recv(1 << 18)
            talk.said += data
            if not data:
                return _close(fd, live, poll, "eof")
        if event & select.EPOLLOUT and not talk.is_sent:
            _send(sock, talk)
            if talk.is_sent:
                poll.modify(fd, select.EPOLLIN)
    except BlockingIOError:
        pass
    except (ConnectionResetError, BrokenPipeError):
        _close(fd, live, poll, "reset")


def _send(sock, talk):
    """One piece, or what the kernel takes of it: the next goes out in the next round, behind a read."""
    if talk.at < len(talk.pieces):
        piece = memoryview(talk.pieces[talk.at])[talk.offset :]
        talk.offset += sock.send(piece) if len(piece) else 0
        if talk.offset == len(talk.pieces[talk.at]):
            talk.at, talk.offset = talk.at + 1, 0
    if talk.at == len(talk.pieces):
        talk.is_sent = True
        if talk.fin:
            sock.shutdown(socket.SHUT_WR)


def _expire(live, poll, patience):
    now = time.monotonic()
    for fd in [fd for fd, (_, talk) in live.items() if now - talk.began > patience]:
        _close(fd, live, poll, "hang")


def _close(fd, live, poll, end):
    sock, talk = live.pop(fd)
    talk.end, talk.seconds = end, time.monotonic() - talk.began
    poll.unregister(fd)
    sock.close()
