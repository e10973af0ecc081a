# mypy: disable-error-code="import-not-found"
"""aiotus: uploads, several files that become one, metadata, and an upload resumed by another process."""

import asyncio
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiotus
import aiotus.core
import aiotus.creation
import yarl
from aiohttp import ClientSession

CHUNK = 1024 * 1024
WHOLE, LOCATION = Path("file").read_bytes(), Path("location")
TUS = yarl.URL(os.environ["TUS"])
HEADERS = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
METADATA = {"filename": os.environ["ID"].encode(), "filetype": os.environ["CONTENT_TYPE"].encode(), "color": b"blue"}
ONCE: dict[str, Any] = {"headers": HEADERS, "config": aiotus.RetryConfiguration(retry_attempts=1)}


async def uploaded() -> None:
    """Upload, ask for the metadata, and for what the server supports."""
    location = await aiotus.upload(TUS, io.BytesIO(WHOLE), METADATA, chunksize=CHUNK, **ONCE)
    assert location is not None
    assert await aiotus.metadata(location, **ONCE) == METADATA
    async with ClientSession() as session:
        supported = await aiotus.core.configuration(session, TUS, headers=HEADERS)
        assert await aiotus.core.offset(session, location, headers=HEADERS) == len(WHOLE)
    assert supported.protocol_versions == ["1.0.0"]
    assert {"creation", "concatenation", "expiration", "checksum", "termination"} <= {*supported.protocol_extensions}


async def joined() -> None:
    """Upload the file in five parts, three at a time, and let the server join them."""
    size = len(WHOLE) // 5 + 1
    parts = [io.BytesIO(WHOLE[start : start + size]) for start in range(0, len(WHOLE), size)]
    assert await aiotus.upload_multiple(TUS, parts, METADATA, chunksize=CHUNK, **ONCE) is not None


async def killed() -> None:
    """End in the middle, after the URL was stored."""
    async with ClientSession() as session:
        location = await aiotus.creation.create(session, TUS, io.BytesIO(WHOLE), METADATA, headers=HEADERS)
        await asyncio.to_thread(LOCATION.write_text, str(location))
        beginning = io.BytesIO(WHOLE[: 3 * CHUNK])
        await aiotus.core.upload_buffer(session, location, beginning, chunksize=CHUNK, headers=HEADERS)
    os.kill(os.getpid(), signal.SIGKILL)


async def resumed() -> None:
    """Go on with the upload of a process that has ended."""
    location = yarl.URL(await asyncio.to_thread(LOCATION.read_text))
    async with ClientSession() as session:
        assert await aiotus.core.offset(session, location, headers=HEADERS) == 3 * CHUNK
        await aiotus.core.upload_buffer(session, location, io.BytesIO(WHOLE), chunksize=CHUNK, headers=HEADERS)


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]]())
