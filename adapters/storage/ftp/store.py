"""Objects as files on an FTP server, with TLS or without, over aioftp.

A file is written under its final name, in one transfer, or, if its sender pauses, in several that append (APPE). It is
known to be whole once the server has confirmed each transfer (226) and its size. FTP has no command for an exclusive
create, nor for a sync. A check that the file is absent replaces the first, which suffices for keys that are used once.
The durability of a confirmed file is up to the server.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

from adapters.concurrency.shield import run_to_completion
from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.connection import FtpConnection
from adapters.storage.ftp.pool import FtpPool
from adapters.storage.ftp.stretches import Stretches
from application.ports.blob_store import ABSENT, TAKEN, BlobStore, Stored
from application.ports.observer import UNOBSERVED, Observer
from domain.blob import OBJECT_KEY, ByteRange, ObjectKey
from domain.errors import AlreadyExists, BlobError, NotFound, Unavailable

SHARD = re.compile(r"[0-9a-f]{2}")  # 256 folders
# An empty folder next to them, because some servers list a denied folder as an empty one.
MARKER = "drivebay"

# Access is denied if an object is neither available nor absent, twice: another server may make it, or its folder,
# between the commands of one look.
LOOKS = 2


class FtpBlobStore(BlobStore):
    """Objects as files. Enter the context before use. `check` creates the base folder, and tests a transfer."""

    def __init__(self, config: FtpConfig, backend: str = "ftp", observer: Observer = UNOBSERVED) -> None:
        self._pool = FtpPool(config, backend, observer)
        self._shards: set[str] = set()  # known to exist

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._pool.__aexit__(*exc)

    async def check(self) -> None:
        async with self._pool.connection(make_base=True) as ftp:
            await ftp.make_folder(MARKER)
            await self._folders(ftp)

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        """Write an object. An empty chunk ends a transfer: until further bytes arrive, no connection is held."""
        stretches, written = Stretches(chunks), _Written()
        await stretches.begin()
        try:
            while not written.has_begun or await stretches.begin():
                async with self._pool.connection() as ftp:
                    await self._write_stretch(ftp, key, stretches, written)
        except BaseException:
            if written.needs_cleanup:
                with suppress(BlobError):  # the reaper deletes what remains
                    await run_to_completion(self.delete(key))
            raise
        return Stored(written.size)

    async def _write_stretch(
        self, ftp: FtpConnection, key: ObjectKey, stretches: Stretches, written: "_Written"
    ) -> None:
        if not written.has_begun:
            await self._prepare(ftp, key)
            written.has_begun = written.needs_cleanup = True
        try:
            written.size = await self._write(ftp, key, stretches, written.size)
        except BaseException:
            written.needs_cleanup = not await run_to_completion(_clean_up(ftp, key))
            raise

    async def _prepare(self, ftp: FtpConnection, key: ObjectKey) -> None:
        if await ftp.size(_path(key)) is not None:
            raise AlreadyExists(TAKEN)
        if _shard(key) not in self._shards:
            await ftp.make_folder(_shard(key))
            self._shards.add(_shard(key))

    async def _write(self, ftp: FtpConnection, key: ObjectKey, stretches: Stretches, before: int) -> int:
        """Write a stretch after `before` bytes, and return the new size.

        A server that does not append gets all later uploads in one stretch.
        """
        stretch = stretches.stretch(may_pause=ftp.features.appends)
        try:
            size = before + await ftp.store(_path(key), stretch, append=before > 0)
        except BlobError:
            self._shards.discard(_shard(key))  # it may have been removed
            ftp.features.appends &= not (before and ftp.is_rejected)
            raise
        kept = await ftp.size(_path(key))
        if kept != size:
            # rclone without a cache replaces a file instead.
            ftp.features.appends &= not (before and kept is not None and kept < size)
            raise Unavailable(f"The server keeps {kept} bytes of the {size} it took.")
        return size

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._pool.connection() as ftp, AsyncExitStack() as stack:
            size = await self._size(ftp, key)
            part = byte_range.within(size) if byte_range is not None else None
            start, stop = (part.start, part.stop) if part is not None else (0, size)
            try:
                chunks = await stack.enter_async_context(ftp.retrieve(_path(key), start))
            except BlobError:
                if ftp.in_step:
                    await self._size(ftp, key)  # raises NotFound if it was deleted since
                raise
            yield self._read(chunks, stop - start, whole=stop == size)

    async def _read(self, chunks: AsyncIterator[bytes], length: int, *, whole: bool) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            if length:
                yield chunk[:length]
            length -= len(chunk)
            if length <= 0 and not whole:
                return
            if length < 0:
                break
        if length:
            raise Unavailable("The server sent more or fewer bytes than the size of the file.")

    async def stat(self, key: ObjectKey) -> Stored:
        async with self._pool.connection() as ftp:
            size = await self._size(ftp, key)
            return Stored(size, await ftp.modified_at(_path(key)))

    async def delete(self, key: ObjectKey) -> None:
        async with self._pool.connection() as ftp:
            for _ in range(LOOKS):
                if await ftp.delete(_path(key)) or await self._is_absent(ftp, key):
                    return
        raise _denied()

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        start = "" if after is None else after.value
        async with self._pool.connection() as ftp:
            shards = sorted(filter(SHARD.fullmatch, await self._folders(ftp)))
        for shard in shards:
            if shard >= start[:2]:
                async with self._pool.connection() as ftp:
                    names = sorted(filter(OBJECT_KEY.fullmatch, await ftp.names(shard)))
                    if not names and not await ftp.is_accessible(shard):
                        raise _denied()
                for name in names:
                    if name > start:
                        yield ObjectKey(name)

    async def _folders(self, ftp: FtpConnection) -> Sequence[str]:
        names = await ftp.names()
        if MARKER not in names:
            raise _denied()
        return names

    async def _size(self, ftp: FtpConnection, key: ObjectKey) -> int:
        for _ in range(LOOKS):
            size = await ftp.size(_path(key))
            if size is not None:
                return size
            if await self._is_absent(ftp, key):
                raise NotFound(ABSENT)
        raise _denied()

    async def _is_absent(self, ftp: FtpConnection, key: ObjectKey) -> bool:
        """Whether an unavailable object is absent. Raises UNAVAILABLE if the server denies access."""
        if await ftp.is_accessible(_shard(key)):
            return await ftp.is_absent(_shard(key), key.value)
        return _shard(key) not in await self._folders(ftp)


@dataclass(slots=True)
class _Written:
    """The progress of a put. `needs_cleanup`: whether the file must be removed if the put fails."""

    size: int = 0
    has_begun: bool = False
    needs_cleanup: bool = False


async def _clean_up(ftp: FtpConnection, key: ObjectKey) -> bool:
    """Remove the file of a failed put on its own connection, and return whether that worked.

    Only there the last reply proves that the server has stopped writing.
    """
    with suppress(BlobError):
        await ftp.settle()
        return await ftp.delete(_path(key)) or await ftp.size(_path(key)) is None
    return False


def _denied() -> BlobError:
    return Unavailable("The FTP server denies access. Let this user read, write, list and delete there.")


def _shard(key: ObjectKey) -> str:
    return key.value[:2]


def _path(key: ObjectKey) -> str:
    return f"{_shard(key)}/{key.value}"
