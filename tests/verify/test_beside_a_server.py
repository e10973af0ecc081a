"""Verifying while others write, replace and delete: no false fault, and nothing is removed that matters."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.http.server import Server
from tests.verify.command import verify

WRITERS = 16
IDS = 8  # of each writer
SIZES = (0, 10, 1000, 1_500_000)  # the largest in two chunks
RUNS = [
    ["--deep"],
    ["--repair", "--older-than", "0", "--drop-missing"],
    [],
    ["--deep", "--repair", "--older-than", "0", "--drop-missing"],
]


def live(server: Server, writer: int, stop: threading.Event) -> dict[str, bytes]:
    """Put and delete blobs until `stop` is set. Return the blobs that must be there then."""
    turns = random.Random(writer)  # noqa: S311 - nothing is secret about it
    there: dict[str, bytes] = {}
    with server.client() as client:
        while not stop.is_set():
            name = f"{writer}-{turns.randrange(IDS)}"
            if name in there and turns.random() < 0.3:
                assert client.delete(f"/v1/blobs/{name}").status_code == 204
                del there[name]
            else:
                data = bytes([turns.randrange(256)]) * turns.choice(SIZES)
                assert client.put(f"/v1/blobs/{name}", content=data).status_code in (200, 201)
                there[name] = data
    return there


@pytest.mark.timeout(600)
def test_no_false_fault_and_nothing_is_lost(tmp_path: Path) -> None:
    # Objects are deleted at once when they are replaced, while they are looked at.
    with Server(tmp_path, READERS_GRACE="0", REAP_INTERVAL="0.05") as server:
        stop = threading.Event()
        with ThreadPoolExecutor(WRITERS) as threads:
            writers = [threads.submit(live, server, number, stop) for number in range(WRITERS)]
            try:
                outcome = [verify(tmp_path, "--json", *options) for options in RUNS]
            finally:
                stop.set()
            there = {name: data for writer in writers for name, data in writer.result().items()}
        for each in outcome:
            assert (each.code, each.faults, each.errors) == (0, [], "")
        assert sum(each.storages["fs"]["blobs"] for each in outcome) > WRITERS
        with server.client() as client:
            found = {name: get(client, name) for name in there}
        assert found == there
        server.wait_until_left(blobs=len(there))
    last_report = verify(tmp_path, "--json", "--deep")
    assert (last_report.code, last_report.storages["fs"]["objects"]) == (0, len(there))


def get(client: httpx.Client, name: str) -> bytes:
    return client.get(f"/v1/blobs/{name}?alt=media").content
