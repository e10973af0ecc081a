"""Import files: each file of a tree becomes a blob.

A blob records the time of its file, and the ETag if the tree has one. So an import that was killed is continued by the
same call: a file whose size and mark are those of the blob with its id is not read again. A file without such a mark is
compared by its SHA-256. Each blob is published in one transaction, once all its bytes have come and the file was seen
not to have changed, so a kill leaves at most uploads whose leases expire.
"""

import asyncio
import mimetypes
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from application.blobs.fetch import FetchBlob
from application.blobs.store import IdentifiedBytes, NewBlob, StoreBlob
from application.maintenance.rate import Rate
from application.ports.file_times import MODIFIED_AT, time_as_text
from application.ports.file_tree import (
    FileGone,
    FileProperties,
    FileTree,
    Linker,
    NotLinkable,
    TreeFile,
    UnusableEntry,
)
from application.ports.metadata import BlobReader
from application.transfers.report import (
    Existing,
    Problem,
    TransferListener,
    TransferOptions,
    TransferReport,
    Unheard,
)
from application.transfers.run import Gone, Run, digest_of
from application.uploads.retry import ONCE, Retry
from domain.access import EVERYTHING
from domain.blob import Blob, BlobId
from domain.errors import AlreadyExists, DigestMismatch, PreconditionFailed
from domain.precondition import CREATE_ONLY, Precondition
from domain.properties import DEFAULT_CONTENT_TYPE, Properties

SOURCE_ETAG = "source-etag"
"""The name of the metadata that records the ETag of a file."""
LOOKS = 3  # at a blob that others change between a look and the publication
BINARY = (DEFAULT_CONTENT_TYPE, "binary/octet-stream", "")


@dataclass(frozen=True, slots=True)
class ImportFiles:
    """Import the files of a tree, and return the counts. `link`: tried first for each file, if given."""

    blobs: BlobReader
    store: StoreBlob
    fetch: FetchBlob
    retry: Retry = ONCE
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def __call__(
        self,
        tree: FileTree,
        options: TransferOptions,
        listener: TransferListener | None = None,
        rate: Rate | None = None,
        link: Linker | None = None,
    ) -> TransferReport:
        rate = rate or Rate(None)
        run = Run[TreeFile](options, listener or Unheard(), rate, lambda file: file.path, self.retry, self.sleep)
        return await run(_files(tree, run), _Import(self, tree, run, rate, link))


async def _files(tree: FileTree, run: Run[TreeFile]) -> AsyncGenerator[TreeFile]:
    """Yield the files that take part. Entries that are none are findings."""
    async for found in tree.list():
        if not run.options.takes(found.path):
            continue
        if isinstance(found, UnusableEntry):
            run.find(Problem.UNREADABLE, found.path, found.detail)
        else:
            yield found


@dataclass(frozen=True, slots=True)
class _Import:
    """The import of one file."""

    cases: ImportFiles
    tree: FileTree
    run: Run[TreeFile]
    rate: Rate
    link: Linker | None

    async def __call__(self, file: TreeFile) -> None:
        try:
            await self._import(file)
        except FileGone as error:
            raise Gone from error

    async def _import(self, file: TreeFile) -> None:
        blob_id = BlobId(self.run.options.prefix + file.path)
        for look in range(LOOKS):
            current = await self.cases.blobs.find(blob_id)
            if current is not None and await self._is_same(file, current):
                if self.run.options.verify:  # an attempt or a run before this one may have ended before it did
                    await self._read_back(current)
                self.run.report.unchanged += 1
                return
            if current is not None and self.run.options.existing is Existing.SKIP:
                self.run.report.kept += 1
                return
            if current is not None and self.run.options.existing is Existing.FAIL:
                raise AlreadyExists("Another blob has this id. Use --existing skip or --existing replace.")
            if not self.run.options.dry_run:
                try:
                    await self._store(file, blob_id, current)
                except (AlreadyExists, PreconditionFailed):
                    if look == LOOKS - 1:
                        raise
                    continue
            self.run.count(file.size)
            return

    async def _is_same(self, file: TreeFile, blob: Blob) -> bool:
        """Return whether a blob has the bytes of a file, by their marks or their digests."""
        if blob.size != file.size:
            return False
        if not self.run.options.checksum and _has_mark(blob, file):
            return True
        if blob.content.digest is None:
            return False
        async with self.tree.read(file) as opened, aclosing(self.rate.limited(opened.chunks)) as chunks:
            return await digest_of(chunks) == blob.content.digest

    async def _store(self, file: TreeFile, blob_id: BlobId, current: Blob | None) -> None:
        precondition = CREATE_ONLY if current is None else Precondition(etags=frozenset({current.etag}))
        stored = await self._linked(file, blob_id, precondition) if self.link else None
        stored = stored or await self._copied(file, blob_id, precondition)
        if self.run.options.verify:
            await self._read_back(stored)

    async def _read_back(self, stored: Blob) -> None:
        """Raise DigestMismatch if the bytes of a blob differ from its SHA-256."""
        async with self.cases.fetch(EVERYTHING, stored.id) as opened:
            expected = stored.content.digest
            if opened.blob.etag != stored.etag or expected is None:  # another version by now, or one in parts
                return
            if await digest_of(opened) != expected:
                raise DigestMismatch("The storage returns other bytes than it got. Run drivebay verify --deep.")

    async def _copied(self, file: TreeFile, blob_id: BlobId, precondition: Precondition) -> Blob:
        async with self.tree.read(file) as opened, aclosing(self.rate.limited(opened.chunks)) as chunks:
            properties = _properties_of(file, opened.about)
            source = IdentifiedBytes(blob_id, chunks)
            new = NewBlob(source, properties, precondition, size=file.size, digest=opened.about.digest)
            return (await self.cases.store(EVERYTHING, new)).blob

    async def _linked(self, file: TreeFile, blob_id: BlobId, precondition: Precondition) -> Blob | None:
        """Store a blob that shares its bytes with the file; None if that can't be done."""
        assert self.link is not None
        properties = _properties_of(file, FileProperties(file.modified_at))
        new = NewBlob(IdentifiedBytes(blob_id, _no_bytes()), properties, precondition, size=file.size)
        link = self.link
        try:
            return (await self.cases.store.publish(EVERYTHING, new, lambda key: link(file, key))).blob
        except NotLinkable:
            return None


async def _no_bytes() -> AsyncGenerator[bytes]:
    for chunk in tuple[bytes, ...]():
        yield chunk


def _has_mark(blob: Blob, file: TreeFile) -> bool:
    metadata = blob.properties.metadata
    if file.etag:
        return metadata.get(SOURCE_ETAG) == file.etag
    return file.modified_at is not None and metadata.get(MODIFIED_AT) == time_as_text(file.modified_at)


def _properties_of(file: TreeFile, about: FileProperties) -> Properties:
    kept = about.properties or Properties()
    content_type = content_type_of(file.path) if kept.content_type in BINARY else kept.content_type
    metadata = dict(kept.metadata)
    if about.modified_at is not None:
        metadata[MODIFIED_AT] = time_as_text(about.modified_at)
    if file.etag:
        metadata[SOURCE_ETAG] = file.etag
    return replace(kept, content_type=content_type, metadata=metadata)


def content_type_of(path: str) -> str:
    """Return the media type that the name of a file says. A compressed file is only bytes."""
    kind, encoding = mimetypes.guess_type(path.rpartition("/")[2], strict=False)
    return kind if kind and encoding is None else DEFAULT_CONTENT_TYPE
