"""Several workers, and several servers on one database: they start at once, and are one service."""

import asyncio
import base64
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends.run import Backends
from tests.contracts.blob_store import pattern
from tests.http.combinations import Combination
from tests.http.server import Server
from tests.http.wire import Connection, get, post


async def use_all(ports: list[int]) -> None:
    """By several clients at once."""
    await asyncio.gather(*(use(ports[client % 3 :] + ports[: client % 3], client) for client in range(4)))


async def use(ports: list[int], client: int) -> None:
    """Store, read, and try to store again, each time on another connection: so, of whichever worker."""
    for number in range(10):
        data = base64.b64encode(pattern(1000 + client)).decode()
        blob = post({"id": f"{client}/{number}", "data": data})
        steps = [(blob, 201), (get(f"/v1/blobs/{client}%2F{number}"), 200), (blob, 409)]
        for turn, (message, wanted) in enumerate(steps):
            async with Connection(ports[turn % len(ports)]) as connection:
                status, body = await connection.ask(message)
            assert status == wanted, body
            assert wanted != 200 or data.encode() in body


@pytest.mark.parametrize(
    "combination",
    [
        Combination("SQLite", "fs").param,
        Combination("PostgreSQL", "database").param,
        Combination("MariaDB", "s3").param,
    ],
)
def test_three_servers_start_at_once_and_are_one(combination: Combination, backends: Backends, tmp_path: Path) -> None:
    with combination.settings(backends) as settings, ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        servers = [Server(tmp_path, None, 0, **settings) for _ in range(3)]
        list(pool.map(stack.enter_context, servers))
        for server in servers:
            server.wait_until_all_serve()
        asyncio.run(use_all([server.port for server in servers]))
        for server in servers:
            assert {line["level"] for line in server.log()} == {"info"}


def test_four_workers_make_one_token_and_delete_what_is_left_over(tmp_path: Path) -> None:
    with Server(tmp_path, AUTH_BEARER_TOKEN="", WORKERS="4", READERS_GRACE="0") as server:
        server.wait_until_all_serve()
        token = (tmp_path / "data" / "token").read_text().strip()
        with server.client(token) as client:
            for _ in range(3):
                for blob_id in "abc":
                    assert client.put(f"/v1/blobs/{blob_id}", content=b"x").status_code in (200, 201)
            assert client.delete("/v1/blobs/c").status_code == 204
        server.wait_until_left(blobs=2)
        assert "error" not in {line["level"] for line in server.log()}
        worker = server.workers()[0]
        os.kill(worker, signal.SIGKILL)
        server.wait_until(lambda: worker not in server.workers() and server.listeners() == 4)
        for _ in range(20):  # of whichever worker
            with server.client(token) as client:
                assert client.get("/v1/blobs/a?alt=media").content == b"x"
