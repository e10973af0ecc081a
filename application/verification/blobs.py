"""Verify blobs: each has its object, of the right size, and, if that is wanted, with the right SHA-256.

Nothing is removed here: see drop_missing.py. A blob may be replaced or deleted while its object is looked at. So what
looks wrong is wrong only if the blob is still there afterwards, in the same version: for as long as a blob names an
object, nobody else touches that.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from application.concurrency import for_each
from application.ports.blob_store import BlobStore
from application.ports.metadata import BlobReader
from application.uploads.intake import Intake
from application.verification.findings import BackendReport, Defect, Finding
from domain.blob import Blob, Digest, ObjectKey
from domain.errors import BlobError, NotFound

PAGE = 1000
HELD = 10_000  # rows that one run may drop on a storage: they are held in memory
ANY_SIZE = 2**63


@dataclass(frozen=True, slots=True)
class VerifyBlobs:
    """Look at the object of each blob, on the side that `side_of` the backend gives; None means not to look."""

    blobs: BlobReader
    side_of: Callable[[str], BackendReport | None]
    deep: bool
    at_once: int

    async def __call__(self) -> None:
        async with aclosing(self._all()) as blobs:
            await for_each(blobs, self._check, self.at_once)

    async def _all(self) -> AsyncGenerator[Blob]:
        after: ObjectKey | None = None
        while page := await self.blobs.by_key(after, PAGE):
            for blob in page:
                yield blob
            after = page[-1].location.key

    async def _check(self, blob: Blob) -> None:
        side = self.side_of(blob.location.backend)
        if side is None:
            return
        side.tally.blobs += 1
        side.tally.bytes += blob.size
        side.watcher.reached("blobs", blob.location.key)
        if side.store is None or side.tally.unverified:
            return
        finding = await self._look(side, side.store, blob)
        if finding is None or not await self._is_current(blob):
            return
        if finding.fault is Defect.MISSING:
            side.tally.missing += 1
            if side.repair is not None and side.repair.drop_missing:
                if len(side.held) < HELD:
                    side.held.append(finding)
                    return
                finding = replace(finding, detail=f"{finding.detail} Run this again to drop its row.")
        side.tell(finding)

    async def _look(self, side: BackendReport, store: BlobStore, blob: Blob) -> Finding | None:
        try:
            wrong = await self._wrong(store, blob)
        except BlobError as fault:
            return Finding(Defect.UNREADABLE, blob.location, side.failed(fault), blob)
        side.worked()
        return wrong

    async def _wrong(self, store: BlobStore, blob: Blob) -> Finding | None:
        key = blob.location.key
        try:
            size, digest = await (_read(store, key) if self.deep else _stat(store, key))
        except NotFound as error:
            return await _gone(store, blob, error)
        if size != blob.size:
            return _damaged(blob, f"Its object has {size:,} bytes, and should have {blob.size:,}.")
        if digest not in (None, blob.digest):
            return _damaged(blob, "Its object has the right size and other bytes: the SHA-256 differs.")
        return None

    async def _is_current(self, blob: Blob) -> bool:
        try:
            return (await self.blobs.get(blob.id)).location == blob.location
        except NotFound:
            return False


async def _stat(store: BlobStore, key: ObjectKey) -> tuple[int, None]:
    return (await store.stat(key)).size, None


async def _read(store: BlobStore, key: ObjectKey) -> tuple[int, Digest]:
    async with store.open(key) as chunks:
        intake = Intake(chunks, ANY_SIZE)
        async with aclosing(aiter(intake)) as measured:
            async for _ in measured:
                pass
    return intake.size, intake.digest


async def _gone(store: BlobStore, blob: Blob, error: BlobError) -> Finding:
    """An object that was not found may still be there in part: then it is none that is missing."""
    try:
        await store.stat(blob.location.key)
    except NotFound:
        return Finding(Defect.MISSING, blob.location, "Its object is not there.", blob)
    return _damaged(blob, f"Its object can't be read to its end: {error.detail}")


def _damaged(blob: Blob, detail: str) -> Finding:
    return Finding(Defect.DAMAGED, blob.location, detail, blob)
