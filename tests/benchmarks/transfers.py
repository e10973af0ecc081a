"""Blobs on their way over a socket, made while they are sent and dropped as they are received: of any size."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from itertools import chain
from typing import Any

import pybase64

from tests.http.server import Server
from tests.http.wire import AUTH, JSON, get, request

MIB = 1024 * 1024
PIECE = os.urandom(3 * MIB // 4)  # 1 MiB in base64
PATIENCE = 300  # seconds: what is large takes long to become durable


def pieces_of(size: int) -> Iterator[bytes]:
    """The bytes of a blob, in pieces of which no two are alike."""
    for start in range(0, size, len(PIECE)):
        yield (start.to_bytes(8, "big") + PIECE[8:])[: size - start]


def in_base64(size: int) -> Iterator[bytes]:
    """The same in base64."""
    return map(pybase64.b64encode, pieces_of(size))


def put(server: Server, blob_id: str, size: int) -> Any:
    """Store a blob of `size` bytes in the raw form, and return what the server says of it."""
    head = request(f"PUT /v1/blobs/{blob_id}", f"{AUTH}Content-Length: {size}\r\n")
    return _store(server, head, pieces_of(size))


def post(server: Server, start: bytes, size: int, end: bytes) -> Any:
    """Store a blob of `size` bytes in the JSON form, its data between `start` and `end`, and return what is said."""
    length = len(start) + (size + 2) // 3 * 4 + len(end)
    head = request("POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {length}\r\n", start)
    return _store(server, head, chain(in_base64(size), [end]))


def fetch(server: Server, path: str, take: Callable[[memoryview], object] = lambda _: None) -> None:
    """Receive a blob, in either form, and give it to `take` piece by piece."""
    room = memoryview(bytearray(MIB))
    with _answer(server, get(path)) as answer:
        while got := answer.readinto(room):
            take(room[:got])
        assert not answer.length, "the answer broke off"


def _store(server: Server, head: bytes, body: Iterable[bytes]) -> Any:
    with _answer(server, head, body) as answer:
        return json.loads(answer.read())


@contextmanager
def _answer(server: Server, head: bytes, body: Iterable[bytes] = ()) -> Iterator[HTTPResponse]:
    with server.connect() as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(head)
        with suppress(ConnectionError):  # a server that has refused the body says why
            for piece in body:
                connection.sendall(piece)
        with HTTPResponse(connection) as answer:
            answer.begin()
            assert answer.status in (200, 201), (answer.read(), server.errors()[-2000:])
            yield answer
