"""A crowd of clients, in a process of its own: those that say nothing, and those that are slower than they may be.

`python -m tests.benchmarks.crowd PORT` does what each line says that it reads, and prints a line when that is done.
"""

import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tests.http.wire import AUTH, JSON, get, request

IDLE = 500  # of which half make a request when they come
SENDERS = 25  # of a body
READERS = 25  # of the blob `large`
HEADS = 10
LENGTH = "Content-Length: 100000\r\n"
PUT = request("PUT /v1/blobs/slow", AUTH + LENGTH)
POST = request("POST /v1/blobs", AUTH + JSON + LENGTH, b'{"id":"slow","data":"')
HEAD = b"GET / HTTP/1.1\r\nX-Slow: "
READ = get("/v1/blobs/large?alt=media")
ROOM = 4096  # bytes that a reader takes ahead


class Crowd:
    """Each method is a command that it may get."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._idle: list[socket.socket] = []
        self._senders: list[socket.socket] = []
        self._readers: list[socket.socket] = []

    def come_slow(self) -> str:
        for first in [*([PUT, POST] * SENDERS)[:SENDERS], *[HEAD] * HEADS]:
            self._senders.append(self._connect(first))
        for _ in range(READERS):
            self._readers.append(self._connect(READ, ROOM))
        return "here"

    def come_idle(self) -> str:
        self._idle = [self._connect() for _ in range(IDLE)]
        return _ask(self._idle[::2])

    def ask(self) -> str:
        """Let all make a request that are idle."""
        return _ask(self._idle)

    def go(self) -> str:
        for connection in (*self._idle, *self._senders, *self._readers):
            connection.close()
        self._idle, self._senders, self._readers = [], [], []
        return "gone"

    def answers(self) -> str:
        """What those were answered that send."""
        return _count(_answer(sender) for sender in self._senders)

    def a_byte_each(self) -> None:
        """Those that have an answer send no more: it would be lost."""
        _, able, _ = select.select([], self._senders, [], 0)
        answered, _, _ = select.select(self._senders, [], [], 0)
        for sender in {*able} - {*answered}:
            sender.send(b"a")
        for reader in select.select(self._readers, [], [], 0)[0]:
            try:
                reader.recv(1)
            except ConnectionError:
                self._readers.remove(reader)

    def _connect(self, first: bytes = b"", room: int = 0) -> socket.socket:
        connection = socket.socket()
        if room:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        connection.settimeout(10)
        connection.connect(self._address)
        connection.sendall(first)
        return connection


def _ask(connections: list[socket.socket]) -> str:
    """What they are answered: `200x500`, say."""
    for connection in connections:
        connection.sendall(get("/v1/blobs/0?alt=media"))
    return _count(_answer(connection) for connection in connections)


def _answer(connection: socket.socket) -> str:
    """A status; or `closed`, as it was without one, or `open`."""
    try:
        return connection.recv(65_536).decode("latin-1")[9:12] or "closed"
    except ConnectionError:
        return "closed"
    except TimeoutError:
        return "open"


def _count(answers: Iterable[str]) -> str:
    return " ".join(f"{answer}x{count}" for answer, count in sorted(Counter(answers).items()))


def main() -> None:
    crowd = Crowd(int(sys.argv[1]))
    due = time.monotonic()
    while True:
        if select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
            line = sys.stdin.readline()
            if not line:
                return
            print(getattr(crowd, line.strip())(), flush=True)
        if time.monotonic() >= due:
            crowd.a_byte_each()
            due = time.monotonic() + 1


if __name__ == "__main__":
    main()
