"""Check that the database reads and writes, with a probe that is removed afterwards.

The probe is an upload without an object. If the check is killed, a reaper removes it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from application.checks.checklist import Checklist, Step, require
from application.ports.metadata import BlobReader, KeySource
from application.uploads.lifecycle import Uploads
from domain.blob import BlobId, Location
from domain.errors import BlobError

MISSING = "A row that was committed is not there."


@dataclass(frozen=True, slots=True)
class CheckDatabase:
    """Take one step after the other until one fails, and return the steps taken. No blob is touched.

    The tables must have their newest form.
    """

    uploads: Uploads
    blobs: BlobReader
    new_key: KeySource

    async def __call__(self, backend: str, *, write: bool = True) -> Sequence[Step]:
        """Check with an upload to `backend`, a storage that has a reaper. Without `write`, only read."""
        steps = Checklist()
        with suppress(BlobError):  # the steps have it
            with steps.taking("read"):
                await self.blobs.find(BlobId(self.new_key().value))  # there is no such blob
            if write:
                await self._probe(steps, Location(backend, self.new_key()))
        return steps.taken

    async def _probe(self, steps: Checklist, location: Location) -> None:
        try:
            with steps.taking("write"):
                await self.uploads.begin(location)
            with steps.taking("change"):
                require(await self.uploads.renew(location), MISSING)
            with steps.taking("delete"):
                require(await self.uploads.release(location), MISSING)
        except BaseException:
            with suppress(BlobError):  # otherwise the lease expires
                await self.uploads.release(location)
            raise
