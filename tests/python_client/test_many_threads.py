"""A client that more threads use than httpx would keep connections for."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.http.server import PATIENCE
from tests.python_client.conftest import Clients

AT_ONCE = 60
ROUNDS = 5


class Counting(ThreadingHTTPServer):
    """Responds when `AT_ONCE` requests have arrived, and counts the connections that it has accepted."""

    request_queue_size = AT_ONCE

    def __init__(self) -> None:
        self.accepted = 0
        self.arrived = threading.Barrier(AT_ONCE, timeout=PATIENCE)
        super().__init__(("127.0.0.1", 0), Responding)

    def get_request(self) -> tuple[socket.socket, Any]:
        self.accepted += 1
        return super().get_request()


class Responding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def do_DELETE(self) -> None:
        self.server.arrived.wait()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def counting() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def test_all_connections_are_kept(clients: Clients, counting: Counting) -> None:
    """One that is closed because there are many may be one that a thread has just begun to use.

    A round that pauses for longer than connections are kept proves nothing, so there are several.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE))
    new = []
    async with clients(f"http://127.0.0.1:{counting.server_port}") as client:
        for _ in range(ROUNDS):
            before = counting.accepted
            await asyncio.gather(*(client.delete(f"{number}") for number in range(AT_ONCE)))
            new.append(counting.accepted - before)
    assert new[0] == AT_ONCE
    assert 0 in new[1:], new
