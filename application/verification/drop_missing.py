"""Drop the rows of blobs whose objects are missing, once it is known how many those are.

On a wrong or unmounted disk nearly all are missing, and not one row may go. So all blobs are looked at before the first
row is dropped.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from application.ownership.sample import is_there, too_many
from application.ports.blob_store import BlobStore
from application.ports.metadata import UnitOfWorkFactory
from application.verification.findings import BackendReport, Finding
from domain.blob import Blob
from domain.errors import BlobError, NotFound, PreconditionFailed
from domain.precondition import Precondition


@dataclass(frozen=True, slots=True)
class DropMissing:
    """Drop what a side holds, unless too many are missing. Then nothing else is repaired there either.

    `recognise` raises if the storage is not the one that the database knows, by now.
    """

    units: UnitOfWorkFactory
    recognise: Callable[[str], Awaitable[object]]

    async def __call__(self, side: BackendReport) -> None:
        await self._decide(side)
        while side.repair is not None and side.store is not None and side.held:
            found = await self._drop(side.store, side.held[-1])
            side.held.pop()
            if found is not None:
                side.tell(found)
        side.tell_held()

    async def _decide(self, side: BackendReport) -> None:
        if side.repair is None:
            return
        tally = side.tally
        if tally.unverified:
            side.refuse("Not all of it could be verified.")
        elif too_many(tally.missing, tally.blobs) and not side.repair.even_if_missing:
            side.refuse(
                f"The objects of {tally.missing:,} of {tally.blobs:,} blobs are missing. Is this the right disk, bucket"
                " or folder? If so, and they are lost, add --even-if-missing."
            )
        elif side.held:
            try:
                await self.recognise(tally.backend)
            except BlobError as fault:
                side.give_up(fault)
                side.refuse(fault.detail)

    async def _drop(self, store: BlobStore, finding: Finding) -> Finding | None:
        """Return the finding to report: none if the blob has changed, or its object is there again."""
        assert finding.blob is not None
        try:
            if await is_there(store, finding.blob.location.key):
                return None
        except BlobError:
            return finding
        return replace(finding, repaired=True) if await self._remove(finding.blob) else None

    async def _remove(self, blob: Blob) -> bool:
        """Remove this very version. False if there is another by now, or none."""
        async with self.units() as work:
            try:
                removed = await work.blobs.remove(blob.id, Precondition(etags=frozenset({blob.etag})))
            except (NotFound, PreconditionFailed):
                return False
            if removed.location != blob.location:
                return False  # the same bytes, stored again
            await work.commit()
            return True
