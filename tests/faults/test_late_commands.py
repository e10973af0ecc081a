"""Commands of a failed attempt that reach the storage after another attempt has stored the blob."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.part_sizes import PART
from domain.access import EVERYTHING
from domain.blob import BlobId
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from tests.backends import ceph, ftp
from tests.backends.ftp import FEW_PORTS, FtpServer
from tests.backends.run import Backends
from tests.contracts.blob_store import chunked, pattern
from tests.contracts.leftovers import no_task_left
from tests.faults.databases import DEADLINE
from tests.integration.drive import new_blob
from tests.proxy import Proxy, Way

ID = BlobId("acknowledged")
DATA = pattern(100_000)


@pytest.fixture(scope="module")
def server(backends: Backends) -> Iterator[FtpServer]:
    """A server without TLS, so that a proxy can find commands in the dialogue."""
    containers = backends.containers()
    try:
        yield ftp.start(containers, "vsftpd", tls="none", ports=FEW_PORTS, elsewhere=True)
    finally:
        containers.stop()


@asynccontextmanager
async def drive_behind_proxies(server: FtpServer, folder: Path) -> AsyncIterator[tuple[Proxy, Proxy, Container]]:
    """One proxy for the dialogue, one for the data, and Drivebay behind both."""
    url = f"ftp://{server.host}:{server.port}"
    async with no_task_left(), Proxy(url) as control, Proxy(url, server.elsewhere) as data:
        given = ftp.settings(server) | {"FTP_PORT": f"{control.port}", "FTP_TLS": "false"}
        async with drive(given, folder) as container:
            yield control, data, container


@asynccontextmanager
async def drive(given: Mapping[str, str], folder: Path) -> AsyncIterator[Container]:
    container = Container(settings=load({**given, "DATA_DIR": str(folder)}, Path("no such file")))
    async with lifecycle.opened(container):
        yield container


async def fetch(container: Container) -> bytes:
    async with container.fetch_blob()(EVERYTHING, ID) as opened:
        return b"".join([chunk async for chunk in opened])


@pytest.mark.docker
@pytest.mark.parametrize("late", ["STOR", "DELE"])
async def test_a_late_command_of_a_failed_attempt_leaves_the_blob_whole(
    server: FtpServer, tmp_path: Path, late: str
) -> None:
    async with drive_behind_proxies(server, tmp_path) as (control, data, container):
        if late == "DELE":  # an attempt fails in its transfer, and cleans up
            cut = data.after(0, Way.TO_SERVER, data.cut)
        severed = control.sever(f"{late} ".encode())
        async with asyncio.timeout(DEADLINE):
            await container.store_blob()(EVERYTHING, new_blob(ID, chunked(DATA)))
            assert late == "STOR" or cut.is_set()
            await severed.deliver()
            assert await fetch(container) == DATA


LARGE = random.Random(1).randbytes(2 * PART + 1)  # noqa: S311 - nothing is secret about it; no part occurs twice


@pytest.mark.docker
@pytest.mark.parametrize(
    ("data", "late"),
    [
        (LARGE[:100_000], LARGE[99_990:100_000]),
        (LARGE, LARGE[PART - 10 : PART]),
        (LARGE, b"</CompleteMultipartUpload>"),
    ],
    ids=["an object", "a part", "the end of an upload"],
)
async def test_a_late_request_to_s3_leaves_the_blob_whole(
    s3_bucket: S3Config, tmp_path: Path, data: bytes, late: bytes
) -> None:
    """S3's client repeats a request under the same key, which is harmless: see application/README.md."""
    async with no_task_left(), Proxy(s3_bucket.endpoint) as proxy:
        given = ceph.settings(replace(s3_bucket, endpoint=proxy.url))
        async with drive(given, tmp_path) as container:
            severed = proxy.sever(late)
            async with asyncio.timeout(DEADLINE):
                await container.store_blob()(EVERYTHING, new_blob(ID, chunked(data)))
                await severed.deliver()
                assert await fetch(container) == data
