"""Verify blobs: each has its objects, of the right sizes, and with the right SHA-256 in a deep verification.

Nothing is removed here: see drop_missing.py. A blob may be replaced or deleted while its object is verified. So a
defect counts only if the same version is still current afterwards: no object is deleted while a blob names it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from application.concurrency import for_each
from application.contents.segments import SegmentRows, segments_of
from application.ports.blob_store import BlobStore
from application.ports.contents import ContentReader
from application.ports.metadata import BlobReader
from application.uploads.intake import Intake
from application.verification.report import BackendReport, Defect, Finding
from domain.blob import Blob, Digest, Location, ObjectKey, Segment
from domain.errors import BlobError, NotFound

PAGE = 1000
HELD = 10_000  # rows that one run may drop on a storage, because they are held in memory
ANY_SIZE = 2**63


@dataclass(frozen=True, slots=True)
class VerifyBlobs:
    """Verify the objects of each blob. `report_on` returns the report on a backend, or None to skip its blobs."""

    blobs: BlobReader
    contents: ContentReader
    report_on: Callable[[str], BackendReport | None]
    deep: bool
    at_once: int
    _shared: dict[ObjectKey, "asyncio.Future[Finding | None]"] = field(default_factory=dict)

    async def __call__(self) -> None:
        async with aclosing(self._all()) as blobs:
            await for_each(blobs, self._check, self.at_once)

    async def _all(self) -> AsyncGenerator[Blob]:
        after: tuple[ObjectKey, str] | None = None
        while page := await self.blobs.by_content(after, PAGE):
            for blob in page:
                yield blob
            after = page[-1].content.key, page[-1].id.value

    async def _check(self, blob: Blob) -> None:
        report = self.report_on(blob.location.backend)
        if report is None:
            return
        report.counts.blobs += 1
        report.counts.bytes += blob.size
        report.listener.reached("blobs", blob.content.key)
        finding = await self._verify_once(blob)
        if finding is None or not await self._is_current(blob):
            return
        report = self.report_on(finding.location.backend) or report
        if finding.defect is Defect.MISSING:
            report.counts.missing += 1
            if report.repair is not None and report.repair.drop_missing:
                if len(report.held) < HELD:
                    report.held.append(finding)
                    return
                finding = replace(finding, detail=f"{finding.detail} Run this again to drop its row.")
        report.add(finding)

    async def _verify_once(self, blob: Blob) -> Finding | None:
        """Verify the content of a blob; if others share it, for all of them. They follow each other."""
        if not blob.content.is_shared:
            return await self._verify(blob)
        key = blob.content.key
        if key not in self._shared:
            while len(self._shared) >= 2 * self.at_once:
                self._shared.pop(next(iter(self._shared)))
            self._shared[key] = asyncio.ensure_future(self._verify(blob))
        finding = await self._shared[key]
        return None if finding is None else replace(finding, blob=blob)

    async def _verify(self, blob: Blob) -> Finding | None:
        """Return the first defect of the blob's objects."""
        try:
            async with aclosing(segments_of(blob.content, self.contents)) as segments:
                async for segment in segments:
                    if finding := await self._verify_segment(blob, segment):
                        return finding
        except NotFound as error:
            return _damaged(blob, blob.location, error.detail)
        return None

    async def _verify_segment(self, blob: Blob, segment: Segment) -> Finding | None:
        """Verify the object of a segment; if it is moved to another storage meanwhile, the one that is there then."""
        while True:
            report = self.report_on(segment.location.backend)
            if report is None or report.store is None or report.counts.unverified:
                return None
            finding = await self._verify_object(report, report.store, blob, segment)
            if finding is None or not blob.content.segments:
                return finding
            moved = await SegmentRows(self.contents, blob.content).moved(segment)
            if moved is None:
                return finding
            segment = moved

    async def _verify_object(
        self, report: BackendReport, store: BlobStore, blob: Blob, segment: Segment
    ) -> Finding | None:
        try:
            found = await self._defect(store, blob, segment)
        except BlobError as error:
            return Finding(Defect.UNREADABLE, segment.location, report.record_failure(error), blob)
        report.record_success()
        return found

    async def _defect(self, store: BlobStore, blob: Blob, segment: Segment) -> Finding | None:
        location = segment.location
        try:
            size, digest = await (_read(store, location.key) if self.deep else _stat(store, location.key))
        except NotFound as error:
            return await _gone(store, blob, location, error)
        if size != segment.size:
            detail = f"Its object has {size:,} bytes, and should have {segment.size:,}."
            return _damaged(blob, location, detail)
        if digest not in (None, segment.digest):
            return _damaged(blob, location, "Its object has the right size and other bytes: the SHA-256 differs.")
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


async def _gone(store: BlobStore, blob: Blob, location: Location, error: BlobError) -> Finding:
    """Distinguish a missing object from one of which parts are missing: `stat` finds the latter."""
    try:
        await store.stat(location.key)
    except NotFound:
        return Finding(Defect.MISSING, location, "Its object is not there.", blob)
    return _damaged(blob, location, f"Its object can't be read to its end: {error.detail}")


def _damaged(blob: Blob, location: Location, detail: str) -> Finding:
    return Finding(Defect.DAMAGED, location, detail, blob)
