"""Objects as rows: each object is a series of chunks, numbered from 0, in the database of the metadata.

The chunks are written and deleted in short transactions, a few at a time, so that neither a slow client nor a large
object blocks other writers. All chunks of an object except the last have the same size, so a byte range maps to chunks.
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Database, Transaction
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import CHUNKS, time_of
from adapters.storage.chunking import rechunk
from application.ports.blob_store import ABSENT, TAKEN, BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import AlreadyExists, BlobError, CommitUnknown, NotFound, RolledBack, Unavailable

CHUNK = 512 * 1024
DELETE_AT_ONCE = 64  # chunks
LIST_AT_ONCE = 1000  # keys


@dataclass(frozen=True, slots=True)
class _Extent:
    """The chunks of an object: `last` chunks of `chunk` bytes each, and a last one of `rest` bytes.

    `written_at`: the time of the last one, in microseconds since 1970; None for chunks of early versions.
    """

    chunk: int
    last: int
    rest: int
    written_at: int | None

    @property
    def size(self) -> int:
        return self.chunk * self.last + self.rest

    @property
    def modified_at(self) -> datetime | None:
        return None if self.written_at is None else time_of(self.written_at)


class DatabaseBlobStore(BlobStore):
    """Objects in the table `chunks` of a database. The caller opens and closes the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        size = number = 0
        try:
            async for chunk in rechunk(chunks, CHUNK):
                if not await self._insert(key, number, chunk):
                    raise AlreadyExists(TAKEN)
                number += 1
                size += len(chunk)
        except BaseException as error:
            if number or not isinstance(error, AlreadyExists):
                with suppress(BlobError):  # the reaper deletes what remains
                    await self.delete(key)
            raise
        return Stored(size)

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        extent = await self._extent(key)
        part = None if byte_range is None else byte_range.within(extent.size)
        yield self._read(key, extent, part or ByteRange(0, max(extent.size, 1)))

    async def check(self) -> None:
        """Do nothing: opening the database has checked it."""

    async def stat(self, key: ObjectKey) -> Stored:
        extent = await self._extent(key)
        return Stored(extent.size, extent.modified_at)

    async def delete(self, key: ObjectKey) -> None:
        while True:
            async with self._transaction() as transaction:
                # From the end: `list` finds an object by its chunk 0, also after a delete was interrupted.
                deleted = await transaction.run(_delete_last_chunks, key)
            if deleted < DELETE_AT_ONCE:
                return

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        last = "" if after is None else after.value
        while page := await self._database.read(_select_keys, last):
            for last in page:
                yield ObjectKey(last)

    async def _insert(self, key: ObjectKey, number: int, data: bytes) -> bool:
        async with self._transaction() as transaction:
            return await transaction.run(_insert_chunk, key, number, data)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction, and commit it at the end. Raises UNAVAILABLE if it rolled back or its outcome is unknown.

        Both are harmless: a failed put deletes what it has written, and a delete can be repeated.
        """
        try:
            async with self._database.transaction() as transaction:
                yield transaction
                await transaction.commit()
        except (CommitUnknown, RolledBack) as error:
            raise Unavailable(error.detail) from error

    async def _extent(self, key: ObjectKey) -> _Extent:
        extent = await self._database.read(_select_extent, key)
        if extent is None:
            raise NotFound(ABSENT)
        return extent

    async def _read(self, key: ObjectKey, extent: _Extent, part: ByteRange) -> AsyncIterator[bytes]:
        size = max(extent.chunk, 1)
        for number in range(part.start // size, (part.stop - 1) // size + 1):
            data = await self._database.read(_select_chunk, key, number)
            if data is None:
                raise NotFound("The object was deleted while it was read.")
            begin = number * size
            if chunk := data[max(part.start - begin, 0) : part.stop - begin]:
                yield chunk


def _insert_chunk(connection: Connection, key: ObjectKey, number: int, data: bytes) -> bool:
    return insert_or_ignore(connection, CHUNKS, {"object_key": key.value, "seq": number, "data": data})


def _select_extent(connection: Connection, key: ObjectKey) -> _Extent | None:
    of_key = CHUNKS.c.object_key == key.value
    size = sa.func.length(CHUNKS.c.data)
    first = sa.select(size).where(of_key, CHUNKS.c.seq == 0).scalar_subquery()
    last = (
        sa.select(first.label("chunk"), CHUNKS.c.seq, size.label("rest"), CHUNKS.c.written_at)
        .where(of_key)
        .order_by(CHUNKS.c.seq.desc())
        .limit(1)
    )
    row = connection.execute(last).one_or_none()
    return None if row is None else _Extent(row.chunk, row.seq, row.rest, row.written_at)


def _select_chunk(connection: Connection, key: ObjectKey, number: int) -> bytes | None:
    chunk = sa.select(CHUNKS.c.data).where(CHUNKS.c.object_key == key.value, CHUNKS.c.seq == number)
    data: bytes | None = connection.scalar(chunk)
    return data


def _select_keys(connection: Connection, after: str) -> list[str]:
    keys = sa.select(CHUNKS.c.object_key).where(CHUNKS.c.seq == 0, CHUNKS.c.object_key > after)
    return list(connection.scalars(keys.order_by(CHUNKS.c.object_key).limit(LIST_AT_ONCE)))


def _delete_last_chunks(connection: Connection, key: ObjectKey) -> int:
    of_key = CHUNKS.c.object_key == key.value
    last = connection.scalar(sa.select(sa.func.max(CHUNKS.c.seq)).where(of_key))
    if last is None:
        return 0
    return connection.execute(sa.delete(CHUNKS).where(of_key, CHUNKS.c.seq > last - DELETE_AT_ONCE)).rowcount
