"""Large uploads over connections that break again and again, each after a random number of bytes."""

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.benchmarks.transfers import fetch, pieces_of
from tests.contracts.blob_store import MIB
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.proxy import Proxy, Way
from tests.resumable import PROTOCOLS, ResumableProtocol, ResumableUpload

SIZE = int(os.environ.get("CUT_UPLOAD_MIB", "256")) * MIB
MOST = 32 * MIB  # bytes that a connection passes before it breaks
SEED = 20261128
DEADLINE = 600  # seconds


def a_file(folder: Path) -> Path:
    """Make a file of which no two MiB are alike."""
    path = folder / "file"
    with path.open("wb") as file:
        file.writelines(pieces_of(SIZE))
    return path


class Cuts:
    """Breaks the connections of a proxy, each after a random number of bytes to the server."""

    def __init__(self, proxy: Proxy) -> None:
        self.count = 0
        self._proxy = proxy
        self._chance = random.Random(SEED)  # noqa: S311 - nothing is secret about it
        self._arm()

    def _arm(self) -> None:
        self._proxy.after(self._chance.randrange(MOST), Way.TO_SERVER, self._cut)

    def _cut(self) -> None:
        self.count += 1
        self._proxy.cut()
        self._arm()


@pytest.mark.timeout(DEADLINE)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
async def test_an_upload_arrives_and_hardly_a_byte_is_sent_twice(tmp_path: Path, protocol: ResumableProtocol) -> None:
    path = await asyncio.to_thread(a_file, tmp_path)

    async def read(start: int, stop: int) -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(MIB, stop - start))
                start += len(chunk)
                yield chunk

    with Server(tmp_path) as server:
        async with Proxy(server.url) as proxy, httpx.AsyncClient(base_url=proxy.url, timeout=60) as client:
            cuts = Cuts(proxy)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            upload = ResumableUpload(client, protocol, "large", SIZE, read, lambda: SIZE, headers)
            await upload.run()
            sent = proxy.passed[Way.TO_SERVER]
        received = hashlib.sha256()
        fetch(server, "/v1/blobs/large?alt=media", received.update)
        with path.open("rb") as file:
            assert received.digest() == hashlib.file_digest(file, "sha256").digest()
        server.wait_until(lambda: not server.left()["uploads"] and not server.left()["garbage"])
    assert cuts.count > SIZE // MOST // 2
    assert sent <= SIZE * 1.01, f"{sent - SIZE:,} bytes more than the {SIZE:,} of the file were sent, {cuts.count} cuts"
