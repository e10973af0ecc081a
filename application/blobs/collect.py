"""Collect many blobs: their versions of one moment, to be read one after another."""

import asyncio
import json
import os
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import NamedTuple, Self

from application.authorize import authorize, authorized_prefixes
from application.blobs.hold import RENEWALS
from application.blobs.list import end_of
from application.contents.retention import GRACE
from application.contents.segments import SegmentRows, read_segments
from application.ports.contents import ContentReader
from application.ports.metadata import BlobReader, UnitOfWorkFactory
from application.renewals import Renewals
from application.stores import Stores, any_storage
from domain.access import Action, Grant
from domain.blob import NEXT, Blob, BlobId, Content, Digest, Location, ObjectKey
from domain.errors import BlobError, IntegrityError, InvalidPrefix, NoSpace, NotFound

MAX_BLOBS = 1_000_000
PAGE = 500  # rows in memory
IN_MEMORY = 1024 * 1024  # bytes of rows; more of them are in a temporary file
KEY_LENGTH = 32
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
BATCH = 32 * 1024  # bytes of rows in memory, about a hundred


@dataclass(frozen=True, slots=True)
class Selection:
    """Blobs with these ids, and all blobs whose ids begin with one of the prefixes. Each blob counts once."""

    ids: Sequence[BlobId] = ()
    prefixes: Sequence[str] = ()


class Collected(NamedTuple):
    """A version that was collected. `created_at` is in seconds since 1970."""

    id: str
    key: str
    backend: str
    size: int
    segments: int
    created_at: int
    digests: tuple[str, str]
    """The SHA-256 of the bytes and the composite one, in hexadecimal digits, each empty if there is none."""

    @classmethod
    def of(cls, blob: Blob) -> Self:
        """Return the version that a blob has now."""
        content = blob.content
        digests = [each.hex if each else "" for each in (content.digest, content.composite)]
        return cls(
            blob.id.value,
            content.key.value,
            content.location.backend,
            content.size,
            content.segments,
            int(blob.created_at.timestamp()),
            (digests[0], digests[1]),
        )

    def content(self) -> Content:
        """Return the content."""
        location = Location(self.backend, ObjectKey(self.key))
        whole, composite = (Digest(bytes.fromhex(each)) if each else None for each in self.digests)
        return Content(location, self.size, whole, self.segments, composite)


Note = Callable[[Collected], object]


@dataclass(frozen=True, slots=True)
class CollectBlobs:
    """Collect the current versions of a selection, up to 1,000,000, in the order of their ids' bytes: a context.

    `note` is called with each version before the context is entered. From then on the versions are fixed. Those that
    are replaced or deleted later are read all the same: within each `grace`, the contents that are still to be read are
    held. Versions are read in pages of 500, each at a moment. Blobs outside the grant are left out of a prefix.

    Takes memory for a page. Rows are kept in a temporary file, of about 250 bytes each. Raises FORBIDDEN, NOT_FOUND for
    an id (with its `index`) or if there is no blob at all, INVALID_PREFIX if there are too many, and NO_SPACE for the
    temporary file. `recognise`: as in FetchBlob.
    """

    blobs: BlobReader
    contents: ContentReader
    stores: Stores
    units: UnitOfWorkFactory
    grace: timedelta = GRACE
    renewals: int = RENEWALS
    max_blobs: int = MAX_BLOBS
    recognise: Callable[[str], Awaitable[object]] = any_storage

    def __call__(self, grant: Grant, selection: Selection, note: Note = lambda _: None) -> "Collection":
        return Collection(self, grant, selection, note)


class Collection(AbstractAsyncContextManager["Collection"]):
    """Versions that were collected. `count` is their number."""

    def __init__(self, collect: CollectBlobs, grant: Grant, selection: Selection, note: Note) -> None:
        self._collect = collect
        self._grant = grant
        self._selection = selection
        self._note = note
        self._renewals = Renewals(self._hold, collect.grace / collect.renewals)
        self._object: ObjectKey | None = None  # of the segment that is read
        self._missing = {each.value: index for index, each in reversed([*enumerate(selection.ids)])}
        self._next = 0  # the position of the first row that may have to be read yet
        self.count = 0

    async def __aenter__(self) -> Self:
        ranges = _ranges(self._grant, self._selection)
        self._rows = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed in __aexit__
        if self._collect.grace:
            self._renewals.start()
        try:
            for start, stop in ranges:
                await self._add(start, stop)
            if self._missing:  # of ids within a prefix
                raise self._not_found(min(self._missing, key=self._missing.__getitem__))
            if not self.count:
                raise NotFound("There is no blob whose id begins with this prefix.")
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._renewals.stop()
        self._rows.close()

    async def _add(self, start: str, stop: str | None) -> None:
        is_one = stop == start + NEXT
        while page := await self._collect.blobs.between(start, stop, 1 if is_one else PAGE):
            self.count += len(page)
            if self.count > self._collect.max_blobs:
                most = f"{self._collect.max_blobs:,}"
                raise InvalidPrefix(f"More than {most} blobs are selected. Use longer prefixes, one after another.")
            self._append(page)
            if is_one or len(page) < PAGE:
                return
            start = page[-1].id.value + NEXT
        if is_one:
            raise self._not_found(start)

    def _not_found(self, blob_id: str) -> NotFound:
        error = NotFound(subject=BlobId(blob_id))
        error.index = self._missing[blob_id]
        return error

    def _append(self, page: Iterable[Blob]) -> None:
        lines = list[bytes]()
        for blob in page:
            collected = Collected.of(blob)
            self._missing.pop(collected.id, None)
            self._note(collected)
            lines.append(_line(collected))
        try:
            self._rows.seek(0, os.SEEK_END)
            self._rows.write(b"".join(lines))
            self._rows.flush()
        except OSError as error:
            detail = "There is no space for temporary files, which a selection of so many blobs needs."
            raise NoSpace(f"{detail} ({error.strerror})") from error

    async def versions(self) -> AsyncGenerator[Collected]:
        """Yield the versions, once. Each may be read before the next one is asked for."""
        while lines := self._lines(self._next):
            for line in lines:
                yield _collected(line)
                self._next += len(line)
            await asyncio.sleep(0)  # empty blobs take time, and wait for nothing

    def _lines(self, position: int) -> Sequence[bytes]:
        """Return some rows from a position on. They are in the cache of the operating system."""
        self._rows.seek(position)
        return self._rows.readlines(BATCH)

    async def _hold(self) -> None:
        position = self._next
        while lines := self._lines(position):
            keys = [ObjectKey(line[:KEY_LENGTH].decode()) for line in lines]
            async with self._collect.units() as work:
                if await work.trash.hold_each(keys, self._collect.grace):
                    await work.commit()
            position += sum(map(len, lines))
        if self._object is not None:
            async with self._collect.units() as work:
                if await work.trash.hold(self._object, self._collect.grace):
                    await work.commit()

    def _reading(self, key: ObjectKey) -> None:
        self._object = key

    @asynccontextmanager
    async def read(self, collected: Collected) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a version, all its bytes or none. Raises INTEGRITY if the stored bytes are missing or damaged.

        The iteration raises it too, before it ends with too few or too many bytes.
        """
        if not collected.size:
            yield _nothing()
            return
        content, stores = collected.content(), self._collect.stores
        reading: AbstractAsyncContextManager[AsyncIterator[bytes]]
        if content.segments:
            # A row that is older may name an object that is deleted before the next renewal: see FetchBlob.
            max_age = (self._collect.grace / self._collect.renewals).total_seconds()
            rows = SegmentRows(self._collect.contents, content, max_age, self._reading)
            reading = read_segments(stores, rows, None)
        else:
            reading = stores.holding(content.location).read(content.key)
        try:
            chunks = await reading.__aenter__()
        except NotFound as error:
            await self._collect.recognise(content.location.backend)
            raise _damaged(content, "is gone") from error
        try:
            async with aclosing(_checked(chunks, content)) as checked:
                yield checked
        finally:
            await reading.__aexit__(None, None, None)


def _ranges(grant: Grant, selection: Selection) -> Sequence[tuple[str, str | None]]:
    """Return disjoint ranges of ids, in order. Raises FORBIDDEN."""
    prefixes = list[str]()
    for prefix in sorted(selection.prefixes):
        if not (prefixes and prefix.startswith(prefixes[-1])):
            prefixes.append(prefix)
    ranges = dict[str, str | None]()
    for prefix in prefixes:
        authorized_prefixes(grant, Action.READ, prefix)
        ranges |= {each: end_of(each) for each in authorized_prefixes(grant, Action.LIST, prefix)}
    listed = sorted(ranges)  # none is a prefix of another, so only the one before an id can be one of it
    for blob_id in selection.ids:
        authorize(grant, Action.READ, blob_id)
        index = bisect_right(listed, blob_id.value)
        if not (index and blob_id.value.startswith(listed[index - 1])):
            ranges[blob_id.value] = blob_id.value + NEXT
    return sorted(ranges.items())


def _line(collected: Collected) -> bytes:
    """Return a row as a line: the key of the content, which is read on its own, and all else."""
    return f"{collected.key}{_ENCODE(collected)}\n".encode()


def _collected(line: bytes) -> Collected:
    return Collected(*json.loads(line[KEY_LENGTH:]))


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


async def _checked(chunks: AsyncIterator[bytes], content: Content) -> AsyncGenerator[bytes]:
    size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > content.size:
                raise _damaged(content, "is longer")
            yield chunk
    except NotFound as error:
        raise _damaged(content, f"is gone after {size:,} bytes") from error
    if size < content.size:
        raise _damaged(content, f"ends after {size:,} bytes")


def _damaged(content: Content, problem: str) -> BlobError:
    detail = f"The stored object of a blob {problem}; it should have {content.size:,} bytes. Tell the operator."
    return IntegrityError(detail, backend=content.location.backend, subject=content.key)
