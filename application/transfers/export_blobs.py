"""Export blobs: each becomes a file of a tree, whose path is the id without a prefix.

A file appears whole, under its name, once its bytes were compared with the size and the SHA-256 of the blob. An export
that was killed is continued by the same call: a file that has the size of its blob, and the time or the SHA-256 that
was recorded with it, is not written again. Others of the same size are read, and compared by their SHA-256.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.blobs.fetch import FetchBlob, OpenBlob
from application.blobs.list import ListBlobs
from application.maintenance.rate import Rate
from application.ports.file_times import EPOCH, MODIFIED_AT, time_in_text
from application.ports.file_tree import (
    FileExists,
    FileProperties,
    FileTree,
    InvalidPath,
    PathConflict,
    TreeFile,
    require_valid,
)
from application.transfers.import_files import SOURCE_ETAG
from application.transfers.report import (
    Existing,
    Problem,
    TransferListener,
    TransferOptions,
    TransferReport,
    Unheard,
)
from application.transfers.run import Gone, Run, digest_of
from application.uploads.intake import Intake
from application.uploads.retry import ONCE, Retry
from domain.access import EVERYTHING
from domain.blob import Blob
from domain.errors import DigestMismatch, NotFound, SizeMismatch

PAGE = 500  # rows


@dataclass(frozen=True, slots=True)
class ExportBlobs:
    """Export the blobs whose ids begin with the prefix to a tree, and return the counts."""

    list: ListBlobs
    fetch: FetchBlob
    retry: Retry = ONCE
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def __call__(
        self,
        tree: FileTree,
        options: TransferOptions,
        listener: TransferListener | None = None,
        rate: Rate | None = None,
    ) -> TransferReport:
        rate = rate or Rate(None)

        def path_of(blob: Blob) -> str:
            return blob.id.value.removeprefix(options.prefix)

        run = Run[Blob](options, listener or Unheard(), rate, path_of, self.retry, self.sleep)
        return await run(self._blobs(run), _Export(self, tree, run, rate))

    async def _blobs(self, run: Run[Blob]) -> AsyncGenerator[Blob]:
        """Yield the blobs that take part in the order of their ids, but none below the path of another."""
        above = list[str]()  # paths with which the current one begins: few, as the ids are in order
        start = ""
        while True:
            page = await self.list(EVERYTHING, run.options.prefix, "", PAGE, start)
            for blob in page.blobs:
                path = run.path_of(blob)
                if not path or not run.options.takes(path):
                    continue
                above = [each for each in above if path.startswith(each)]
                if files := [each for each in above if path.startswith(f"{each}/")]:
                    detail = f"The blob with the path {files[0]} becomes a file, so it can't be a folder too."
                    run.find(Problem.CONFLICT, path, detail)
                    continue
                if _is_valid(path):
                    above.append(path)
                yield blob
            if page.following is None:
                return
            start = page.following


@dataclass(frozen=True, slots=True)
class _Export:
    """The export of one blob."""

    cases: ExportBlobs
    tree: FileTree
    run: Run[Blob]
    rate: Rate
    unverified: set[str] = field(default_factory=set)
    """Paths that an attempt has written, and not read back yet."""

    async def __call__(self, blob: Blob) -> None:
        path = self.run.path_of(blob)
        require_valid(path)
        if path.endswith("/") and blob.size:
            raise PathConflict("The id ends with a slash, so it is a folder, which has no bytes.")
        found = await self.tree.find(path)
        if found is not None and await self._is_same(found, blob):
            self.unverified.discard(path)
            self.run.report.unchanged += 1
            return
        if found is not None and path in self.unverified and self.run.options.existing is not Existing.REPLACE:
            raise _damaged()
        if found is not None and self.run.options.existing is Existing.SKIP:
            self.run.report.kept += 1
            return
        if found is not None and self.run.options.existing is Existing.FAIL:
            raise FileExists("Another file has this path. Use --existing skip or --existing replace.")
        if not self.run.options.dry_run:
            blob = await self._write(blob, path, replace=found is not None)
        self.run.count(blob.size)

    async def _is_same(self, file: TreeFile, blob: Blob) -> bool:
        """Return whether a file has the bytes of a blob, by what was recorded with it or by its SHA-256."""
        digest = blob.content.digest
        if file.size != blob.size:
            return False
        if file.path.endswith("/"):
            return True  # a folder has no bytes to read
        if not (self.run.options.checksum or self.run.options.verify):  # the mark is written before a file is read back
            if file.digest is not None:
                return file.digest == digest
            if self._has_time_of(file, blob):
                return True
        return await self._digest_of(file) == (digest or await self._digest_of_bytes(blob))

    def _has_time_of(self, file: TreeFile, blob: Blob) -> bool:
        if file.modified_at is None:
            return False
        resolution = self.tree.resolution
        return _cut(file.modified_at, resolution) == _cut(modified_at_of(blob), resolution)

    async def _digest_of(self, file: TreeFile) -> object:
        async with self.tree.read(file) as opened, aclosing(self.rate.limited(opened.chunks)) as chunks:
            return await digest_of(chunks)

    async def _digest_of_bytes(self, blob: Blob) -> object:
        """Return the SHA-256 of a blob in parts, before it is computed in the background."""
        async with self._opened(blob) as opened, aclosing(self.rate.limited(opened)) as chunks:
            return await digest_of(chunks)

    async def _write(self, blob: Blob, path: str, *, replace: bool) -> Blob:
        """Write the file of a blob, and return the version that was written."""
        async with self._opened(blob) as opened:
            blob = opened.blob
            intake = Intake(self.rate.limited(opened), blob.size, blob.size, blob.content.digest)
            async with aclosing(aiter(intake)) as chunks:
                if self.run.options.verify:
                    self.unverified.add(path)
                written = await self.tree.write(path, chunks, _about(blob), replace=replace)
        if written.size != blob.size:
            raise SizeMismatch(f"The tree keeps {written.size:,} bytes of the {blob.size:,} that it received.")
        if self.run.options.verify and not path.endswith("/") and await self._digest_of(written) != intake.digest:
            raise _damaged()
        self.unverified.discard(path)
        return blob

    @asynccontextmanager
    async def _opened(self, blob: Blob) -> AsyncIterator[OpenBlob]:
        async with AsyncExitStack() as stack:
            try:
                opened = await stack.enter_async_context(self.cases.fetch(EVERYTHING, blob.id))
            except NotFound as error:  # only of the blob: what the tree lacks is a finding
                raise Gone from error
            yield opened


def _damaged() -> DigestMismatch:
    return DigestMismatch("The file has other bytes than the blob. Check the disk, then use --existing replace.")


def _is_valid(path: str) -> bool:
    try:
        require_valid(path)
    except InvalidPath:
        return False
    return True


def modified_at_of(blob: Blob) -> datetime:
    """Return the time for the file of a blob: that of the file it was, or else the time when it was stored."""
    return time_in_text(blob.properties.metadata.get(MODIFIED_AT, "")) or blob.created_at


def _about(blob: Blob) -> FileProperties:
    ours = (SOURCE_ETAG, MODIFIED_AT)
    metadata = {name: text for name, text in blob.properties.metadata.items() if name not in ours}
    properties = replace(blob.properties, metadata=metadata)
    return FileProperties(modified_at_of(blob), blob.content.digest, properties)


def _cut(time: datetime, resolution: timedelta) -> datetime:
    return time - (time - EPOCH) % resolution
