"""aria2c, which fetches the parts of a file at the same time."""

import hashlib

import pytest

from tests.clients.shell import Shell
from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server

DATA = pattern(20 * MIB + 1)


@pytest.mark.docker
class TestAria2c:
    def test_a_blob_in_parts_at_once(self, shell: Shell, server: Server) -> None:
        with server.client() as client:
            client.put("/v1/blobs/parts", content=DATA)
        done = shell.run(
            'aria2c --no-conf --header="$AUTH" --header="X-Request-ID: aria2c" -x4 -s4 --min-split-size=1M'
            f' --checksum=sha-256={hashlib.sha256(DATA).hexdigest()} --out=parts "$BLOBS/parts?alt=media"'
        )
        assert done.code == 0, done.output
        assert shell.has("parts", DATA)
        statuses = [line["status"] for line in server.log() if line.get("request_id") == "aria2c"]
        assert statuses.count(206) >= 3
        assert set(statuses) <= {200, 206}

    def test_and_goes_on_with_one(self, shell: Shell, server: Server) -> None:
        with server.client() as client:
            client.put("/v1/blobs/half", content=DATA)
        shell.write("half", DATA[: len(DATA) // 2])
        command = 'aria2c --no-conf --header="$AUTH" --continue=true --out=half "$BLOBS/half?alt=media"'
        done = shell.run(f"{command} --checksum=sha-256={hashlib.sha256(DATA).hexdigest()}")
        assert done.code == 0, done.output
        assert shell.has("half", DATA)
