"""Servers on SQLite that report a failed flush as "nothing was changed", and are killed right after."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.faults.failing_flushes import FLAG
from tests.http.server import Server

SERVE = [sys.executable, "-m", "tests.faults.failing_flushes", "serve"]


def store_small(client: httpx.Client) -> httpx.Response:
    return client.put("/v1/blobs/dir/new", content=b"new")


def store_large(client: httpx.Client) -> httpx.Response:
    return client.put("/v1/blobs/dir/new", content=bytes(100_000))


def delete_prefix(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/delete", json={"prefix": "dir/"})


@pytest.mark.parametrize("change", [store_small, store_large, delete_prefix])
def test_a_refused_change_does_not_happen_after_a_kill(
    tmp_path: Path, change: Callable[[httpx.Client], httpx.Response]
) -> None:
    with Server(tmp_path, SERVE, SMALL_BLOBS="database", REAP_INTERVAL="300") as server, server.client() as client:
        assert client.put("/v1/blobs/dir/old", content=b"old").status_code == 201
        flag = tmp_path / FLAG
        flag.touch()
        refused = change(client)
        assert (refused.status_code, refused.json()["code"], flag.exists()) == (503, "unavailable", False)
        before = blobs(client)
        assert [blob["id"] for blob in before] == ["dir/old"]
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)
        server.wait_until(lambda: server.workers() not in ([], [worker]))
        server.wait_until_it_answers()
        assert blobs(client) == before
        assert change(client).is_success


def blobs(client: httpx.Client) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = client.get("/v1/blobs").json()["blobs"]
    return listed
