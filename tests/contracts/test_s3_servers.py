"""The S3 store on real servers that lack features."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.features import EMPTY_UPLOAD_LISTS
from adapters.storage.s3.part_sizes import PART
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import Stored
from application.ports.features import MissingFeature
from domain.blob import ByteRange, ObjectKey
from domain.errors import Kind
from tests.contracts.blob_store import chunked, keys, pattern, read, refused
from tests.contracts.test_ftp_servers import listens
from tests.faults.databases import DEADLINE
from tests.http.server import free_port

RCLONE = Path(sys.executable).with_name("rclone")


async def test_rclone(tmp_path: Path) -> None:
    """It knows no condition. Its list of open uploads is 404 before the first one, and lacks IsTruncated after it."""
    (tmp_path / "b").mkdir()
    found: list[MissingFeature] = []
    async with rclone(tmp_path) as config, S3BlobStore(config, report=found.append) as store:
        await store.check()
        for data in (b"", b"small", pattern(2 * PART + 5)):
            key = ObjectKey.random()
            assert await store.put(key, chunked(data)) == Stored(len(data))
            assert await keys(store) == [key]
            assert await read(store, key) == data
            if data:
                assert await read(store, key, ByteRange(1, 3)) == data[1:3]
            await store.delete(key)
            with refused(Kind.NOT_FOUND):
                await store.stat(key)
        assert await keys(store) == []
    assert found == [EMPTY_UPLOAD_LISTS]


@asynccontextmanager
async def rclone(folder: Path) -> AsyncIterator[S3Config]:
    """`rclone serve s3` for a folder, whose folder `b` is a bucket."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        *(RCLONE, "serve", "s3", folder, "--config", "/dev/null", "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", "key-of-the-tests,secret-of-the-tests"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            while not await listens(port):
                assert server.returncode is None, "rclone has ended"
                await asyncio.sleep(0.02)  # nothing says that it listens
        yield S3Config("b", "us-east-1", "key-of-the-tests", "secret-of-the-tests", f"http://127.0.0.1:{port}", True)
    finally:
        server.kill()
        await server.wait()
