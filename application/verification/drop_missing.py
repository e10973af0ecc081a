"""Drop the rows of blobs whose objects are missing, once all of them are counted.

On a wrong or unmounted disk nearly all objects are missing, and no row may be dropped. So all blobs are verified before
the first row is dropped.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from application.contents.retention import GRACE
from application.ownership.sample import is_there, too_many
from application.ports.blob_store import BlobStore
from application.ports.metadata import UnitOfWorkFactory
from application.verification.report import BackendReport, Finding
from domain.blob import Blob
from domain.errors import BlobError, NotFound, PreconditionFailed
from domain.precondition import Precondition


@dataclass(frozen=True, slots=True)
class DropMissing:
    """Drop the rows of the findings that a report holds. If too many are missing, forbid any repair instead.

    `recognise` raises if the storage is no longer the one that the database knows.
    """

    units: UnitOfWorkFactory
    recognise: Callable[[str], Awaitable[object]]

    async def __call__(self, report: BackendReport) -> None:
        await self._decide(report)
        while report.repair is not None and report.store is not None and report.held:
            found = await self._drop(report.store, report.held[-1])
            report.held.pop()
            if found is not None:
                report.add(found)
        report.add_held()

    async def _decide(self, report: BackendReport) -> None:
        if report.repair is None:
            return
        counts = report.counts
        if counts.unverified:
            report.forbid_repair("Not all of it could be verified.")
        elif too_many(counts.missing, counts.blobs) and not report.repair.even_if_missing:
            report.forbid_repair(
                f"The objects of {counts.missing:,} of {counts.blobs:,} blobs are missing. Is this the right disk,"
                " bucket or folder? If so, and they are lost, add --even-if-missing."
            )
        elif report.held:
            try:
                await self.recognise(counts.backend)
            except BlobError as error:
                report.stop(error)
                report.forbid_repair(error.detail)

    async def _drop(self, store: BlobStore, finding: Finding) -> Finding | None:
        """Return the finding to report, or None if the blob has changed or its object is back."""
        assert finding.blob is not None
        try:
            if await is_there(store, finding.location.key):
                return None
        except BlobError:
            return finding
        return replace(finding, repaired=True) if await self._remove(finding.blob) else None

    async def _remove(self, blob: Blob) -> bool:
        """Remove this version. Return False if another one is current, or none."""
        async with self.units() as work:
            try:
                removed = await work.blobs.remove(blob.id, Precondition(etags=frozenset({blob.etag})))
            except (NotFound, PreconditionFailed):
                return False
            if removed.content.key != blob.content.key:
                return False  # the same bytes, stored again
            await work.trash.add(removed, timedelta(0), GRACE)  # the rest of its content is reclaimed
            await work.commit()
            return True
