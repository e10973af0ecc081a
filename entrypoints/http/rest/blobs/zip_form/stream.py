"""A zip file as a stream of bytes, made while it is sent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from tempfile import SpooledTemporaryFile
from zlib import crc32

from application.blobs.collect import IN_MEMORY, Collected, Collection
from entrypoints.http.rest.blobs.zip_form.format import Entry, Layout
from entrypoints.http.rest.blobs.zip_form.names import Names

MESSAGE = 64 * 1024  # bytes; small files are sent together
BESIDE = 256 * 1024  # bytes; the CRC-32 of so many is computed beside the event loop


class Entries:
    """The entries for versions, in the order of their ids."""

    def __init__(self, folder: str) -> None:
        self.layout = Layout()
        self._names = Names(folder)

    def add(self, version: Collected) -> Entry:
        """Return the entry for the next version."""
        return self.layout.add(
            self._names.name(version.id, is_empty=not version.size), version.size, version.created_at
        )


async def zip_chunks(collection: Collection, folder: str) -> AsyncGenerator[bytes]:
    """Yield the zip file with a collection. Raises INTEGRITY, and what storages raise, and is incomplete then.

    Takes memory for some chunks. The central directory is kept in a temporary file until the end, of about 150 bytes
    for each entry.
    """
    entries = Entries(folder)
    with SpooledTemporaryFile(max_size=IN_MEMORY) as records:
        async with aclosing(collection.versions()) as versions:
            held = b""
            async for version in versions:
                entry = entries.add(version)
                held += entry.header()
                crc = 0
                async with collection.read(version) as chunks:
                    async for chunk in chunks:
                        crc = await _crc(chunk, crc)
                        if len(held) + len(chunk) < MESSAGE:
                            held += chunk
                            continue
                        if held:
                            yield held
                            held = b""
                        yield chunk
                held += entry.descriptor(crc)
                records.write(entry.record(crc))
                if len(held) >= MESSAGE:
                    yield held
                    held = b""
            yield held
            records.seek(0)
            while some := records.read(MESSAGE):
                yield some
            yield entries.layout.end()


async def _crc(chunk: bytes, before: int) -> int:
    if len(chunk) < BESIDE:
        return crc32(chunk, before)
    return await asyncio.to_thread(crc32, chunk, before)
