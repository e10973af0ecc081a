"""Verify blobs: each has its object, of the right size, and with the right SHA-256 in a deep verification.

Nothing is removed here: see drop_missing.py. A blob may be replaced or deleted while its object is verified. So a
defect counts only if the same version is still current afterwards: no object is deleted while a blob names it.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from application.concurrency import for_each
from application.ports.blob_store import BlobStore
from application.ports.metadata import BlobReader
from application.uploads.intake import Intake
from application.verification.report import BackendReport, Defect, Finding
from domain.blob import Blob, Digest, ObjectKey
from domain.errors import BlobError, NotFound

PAGE = 1000
HELD = 10_000  # rows that one run may drop on a storage, because they are held in memory
ANY_SIZE = 2**63


@dataclass(frozen=True, slots=True)
class VerifyBlobs:
    """Verify the object of each blob. `report_on` returns the report on a backend, or None to skip its blobs."""

    blobs: BlobReader
    report_on: Callable[[str], BackendReport | None]
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
        report = self.report_on(blob.location.backend)
        if report is None:
            return
        report.counts.blobs += 1
        report.counts.bytes += blob.size
        report.listener.reached("blobs", blob.location.key)
        if report.store is None or report.counts.unverified:
            return
        finding = await self._verify(report, report.store, blob)
        if finding is None or not await self._is_current(blob):
            return
        if finding.defect is Defect.MISSING:
            report.counts.missing += 1
            if report.repair is not None and report.repair.drop_missing:
                if len(report.held) < HELD:
                    report.held.append(finding)
                    return
                finding = replace(finding, detail=f"{finding.detail} Run this again to drop its row.")
        report.add(finding)

    async def _verify(self, report: BackendReport, store: BlobStore, blob: Blob) -> Finding | None:
        try:
            found = await self._defect(store, blob)
        except BlobError as error:
            return Finding(Defect.UNREADABLE, blob.location, report.record_failure(error), blob)
        report.record_success()
        return found

    async def _defect(self, store: BlobStore, blob: Blob) -> Finding | None:
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
    async with store.read(key) as chunks:
        intake = Intake(chunks, ANY_SIZE)
        async with aclosing(aiter(intake)) as measured:
            async for _ in measured:
                pass
    return intake.size, intake.digest


async def _gone(store: BlobStore, blob: Blob, error: BlobError) -> Finding:
    """Distinguish a missing object from one of which parts are missing: `stat` finds the latter."""
    try:
        await store.stat(blob.location.key)
    except NotFound:
        return Finding(Defect.MISSING, blob.location, "Its object is not there.", blob)
    return _damaged(blob, f"Its object can't be read to its end: {error.detail}")


def _damaged(blob: Blob, detail: str) -> Finding:
    return Finding(Defect.DAMAGED, blob.location, detail, blob)
