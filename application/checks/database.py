"""Find out whether the database does all that rows need of it, with a probe that is gone afterwards.

The probe is an upload without an object. If the check is killed, a reaper takes it away.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from application.checks.checklist import Checklist, Step, require
from application.ports.metadata import BlobReader, KeySource, UnitOfWorkFactory
from domain.blob import BlobId, Location
from domain.errors import BlobError, NotFound

LEASE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class CheckDatabase:
    """Take one step after the other until one fails. Returns those that were taken. No blob is touched.

    The tables must be the newest.
    """

    units: UnitOfWorkFactory
    blobs: BlobReader
    new_key: KeySource

    async def __call__(self, backend: str) -> Sequence[Step]:
        """`backend`: the name of a storage that has a reaper."""
        steps = Checklist()
        with suppress(BlobError):  # it is in the steps
            await self._probe(steps, Location(backend, self.new_key()))
        return steps.taken

    async def _probe(self, steps: Checklist, location: Location) -> None:
        with steps.taking("read"):
            await self._look_for_what_is_not_there()
        try:
            with steps.taking("write"):
                async with self.units() as work:
                    await work.uploads.add(location, LEASE)
                    await work.commit()
            with steps.taking("change"):
                async with self.units() as work:
                    require(await work.uploads.renew(location.key, LEASE), "A row that was committed is not there.")
                    await work.commit()
            with steps.taking("delete"):
                require(await self._remove(location), "A row that was committed is not there.")
        except BaseException:
            with suppress(BlobError):  # interrupted, too; what is left now is found by the reaper
                await self._remove(location)
            raise

    async def _look_for_what_is_not_there(self) -> None:
        with suppress(NotFound):
            await self.blobs.get(BlobId(self.new_key().value))

    async def _remove(self, location: Location) -> bool:
        async with self.units() as work:
            there = await work.uploads.remove(location.key)
            await work.commit()
            return there
