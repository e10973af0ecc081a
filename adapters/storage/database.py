"""Objects as rows: each object is a series of chunks, numbered from 0, in the database of the metadata.

The chunks are written and deleted in short transactions, a few at a time, so that neither a slow client nor a large
object blocks other writers. All chunks of an object except the last have the same size, so a byte range maps to chunks.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.concurrency.pipeline import Pipeline
from adapters.sql.database import Database, Transaction
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.statement import Statement
from adapters.sql.tables import CHUNKS, time_of
from adapters.storage.chunking import rechunk
from application.ports.blob_store import ABSENT, TAKEN, BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import AlreadyExists, BlobError, CommitUnknown, NotFound, RolledBack, Unavailable

T = TypeVar("T")

CHUNK = 512 * 1024
READ_AT_ONCE = 2  # chunks; a statement for each would take longer
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
    written_at: int | None = None

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
        written = _Written()
        try:
            async with aclosing(written.until_end(chunks)) as source, aclosing(rechunk(source, CHUNK)) as rechunked:
                await self._insert_all(key, rechunked, written)
        except BaseException as error:
            if written.count or not isinstance(error, AlreadyExists):
                with suppress(BlobError):  # the reaper deletes what remains
                    await self.delete(key)
            raise
        return Stored(written.size)

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        first = None
        if byte_range is None:
            extent, first = await self._found(_select_start, key)
            part = ByteRange(0, max(extent.size, 1))
        else:
            extent = await self._found(_select_extent, key)
            part = byte_range.within(extent.size)
        async with Pipeline[Sequence[bytes]]() as reading:
            yield self._read(key, extent, part, first, reading)

    async def check(self) -> None:
        """Do nothing: opening the database has checked it."""

    async def stat(self, key: ObjectKey) -> Stored:
        extent = await self._found(_select_extent, key)
        return Stored(extent.size, extent.modified_at)

    async def delete(self, key: ObjectKey) -> None:
        remain = True
        while remain:
            async with self._transaction() as transaction:
                # From the end: `list` finds an object by its chunk 0, also after a delete was interrupted.
                remain = await transaction.run(_delete_last_chunks, key)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        last = "" if after is None else after.value
        while page := await self._database.read(_select_keys, last):
            for last in page:
                yield ObjectKey(last)

    async def _insert_all(self, key: ObjectKey, chunks: AsyncIterable[bytes], written: "_Written") -> None:
        """Insert all chunks, some at the same time. The first one alone, because it may belong to another object.

        The commit of the last one makes all of them durable.
        """
        async with Pipeline[None]() as inserting:
            async for chunk in chunks:
                while len(inserting) == self._database.concurrency or (written.is_last and inserting):
                    await inserting.next()
                number = written.count
                if written.is_last:
                    await self._insert(key, number, chunk, is_last=True)
                else:
                    inserting.start(self._insert(key, number, chunk))
                    if number == 0:
                        await inserting.next()
                written.add(chunk)

    async def _insert(self, key: ObjectKey, number: int, data: bytes, *, is_last: bool = False) -> None:
        async with self._transaction(durable=is_last) as transaction:
            if not await transaction.run(_insert_chunk, key, number, data):
                raise AlreadyExists(TAKEN)
            if is_last and number and await transaction.run(_count_chunks, key) != number + 1:
                # The server was restarted.
                raise Unavailable("The database has lost chunks of this object. Store the blob again.")

    @asynccontextmanager
    async def _transaction(self, *, durable: bool = True) -> AsyncIterator[Transaction]:
        """Open a transaction, and commit it at the end. Raises UNAVAILABLE if it rolled back or its outcome is unknown.

        Both are harmless: a failed put deletes what it has written, and a delete can be repeated.
        """
        try:
            async with self._database.transaction(durable=durable) as transaction:
                yield transaction
                await transaction.commit()
        except (CommitUnknown, RolledBack) as error:
            raise Unavailable(error.detail) from error

    async def _found(self, select: Callable[[Connection, ObjectKey], T | None], key: ObjectKey) -> T:
        found = await self._database.read(select, key)
        if found is None:
            raise NotFound(ABSENT)
        return found

    async def _read(
        self, key: ObjectKey, extent: _Extent, part: ByteRange, first: bytes | None, reading: Pipeline[Sequence[bytes]]
    ) -> AsyncIterator[bytes]:
        """Yield a part of an object. Chunks are read while those before are used. `first` is chunk 0, if known."""
        size = max(extent.chunk, 1)
        numbers = range(part.start // size, (part.stop - 1) // size + 1)
        chunks = deque([] if first is None else [first])
        unread = (numbers[at : at + READ_AT_ONCE] for at in range(len(chunks), len(numbers), READ_AT_ONCE))
        for number in numbers:
            if not chunks:
                chunks.extend(await (reading.next() if reading else self._chunks(key, next(unread))))
            for following in islice(unread, self._database.concurrency - 1 - len(reading)):
                reading.start(self._chunks(key, following))
            data, begin = chunks.popleft(), number * size
            if data := data[max(part.start - begin, 0) : part.stop - begin]:
                yield data

    async def _chunks(self, key: ObjectKey, numbers: range) -> Sequence[bytes]:
        """Return the chunks with these numbers, which follow each other. Raises NOT_FOUND if one of them is missing."""
        data = await self._database.read(_select_chunks, key, numbers)
        if len(data) != len(numbers):
            raise NotFound("The object was deleted while it was read.")
        return data


class _Written:
    """The progress of a put: the `count` of chunks, their `size` in bytes, and whether the next one `is_last`."""

    def __init__(self) -> None:
        self.count = self.size = 0
        self.is_last = False

    async def until_end(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """Pass the bytes on. The next chunk is then the last: `rechunk` yields others before it needs more bytes."""
        async for chunk in chunks:
            yield chunk
        self.is_last = True

    def add(self, chunk: bytes) -> None:
        self.count += 1
        self.size += len(chunk)


def _insert_chunk(connection: Connection, key: ObjectKey, number: int, data: bytes) -> bool:
    return insert_or_ignore(connection, CHUNKS, {"object_key": key.value, "seq": number, "data": data})


_KEY = CHUNKS.c.object_key == sa.bindparam("key")
_SIZE = sa.func.length(CHUNKS.c.data)
_LAST = sa.select(CHUNKS.c.seq, _SIZE.label("rest")).where(_KEY).order_by(CHUNKS.c.seq.desc()).limit(1)
_EXTENT = Statement(
    _LAST.add_columns(
        CHUNKS.c.written_at, sa.select(_SIZE).where(_KEY, CHUNKS.c.seq == 0).scalar_subquery().label("chunk")
    )
)
# Without the time: SQLite would read all bytes of the last chunk to find it.
_START = Statement(sa.select(_LAST.subquery("last"), CHUNKS.c.data.label("first")).where(_KEY, CHUNKS.c.seq == 0))
_COUNT = Statement(sa.select(sa.func.count().label("count")).where(_KEY))
_CHUNKS = Statement(
    sa.select(CHUNKS.c.data)
    .where(_KEY, CHUNKS.c.seq.between(sa.bindparam("first"), sa.bindparam("last")))
    .order_by(CHUNKS.c.seq)
)


def _count_chunks(connection: Connection, key: ObjectKey) -> int:
    count: int = _COUNT.first(connection, {"key": key.value}).count
    return count


def _select_extent(connection: Connection, key: ObjectKey) -> _Extent | None:
    row = _EXTENT.first(connection, {"key": key.value})
    return None if row is None else _Extent(row.chunk, row.seq, row.rest, row.written_at)


def _select_start(connection: Connection, key: ObjectKey) -> tuple[_Extent, bytes] | None:
    row = _START.first(connection, {"key": key.value})
    return None if row is None else (_Extent(len(row.first), row.seq, row.rest), row.first)


def _select_chunks(connection: Connection, key: ObjectKey, numbers: range) -> list[bytes]:
    return [row.data for row in _CHUNKS.all(connection, {"key": key.value, "first": numbers[0], "last": numbers[-1]})]


def _select_keys(connection: Connection, after: str) -> list[str]:
    keys = sa.select(CHUNKS.c.object_key).where(CHUNKS.c.seq == 0, CHUNKS.c.object_key > after)
    return list(connection.scalars(keys.order_by(CHUNKS.c.object_key).limit(LIST_AT_ONCE)))


def _delete_last_chunks(connection: Connection, key: ObjectKey) -> bool:
    """Delete chunks, and return whether some may remain. The chunks of a killed put may have gaps."""
    of_key = CHUNKS.c.object_key == key.value
    last: int | None = connection.scalar(sa.select(sa.func.max(CHUNKS.c.seq)).where(of_key))
    if last is None:
        return False
    connection.execute(sa.delete(CHUNKS).where(of_key, CHUNKS.c.seq > last - DELETE_AT_ONCE))
    return last >= DELETE_AT_ONCE
