"""Adopt a storage: let this database, and no copy of it, be the one that uses it from now on.

It is for what is done on purpose: a backup that was restored, a copy that is to go on by itself, a storage that was
moved. The former identity is deleted, so another database that used the storage refuses it from then on.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from application.mark_storage import MarkStorage
from application.markers import WITHOUT_MARKERS
from application.ports.metadata import KnownStorage
from application.sample import Sample, sample

ATTEMPTS = 5  # a server of this database may be replacing the epoch at the same time


@dataclass(frozen=True, slots=True)
class Adopted:
    """What came out. `sample`: what was looked at before. `refused`: why nothing was changed, if it was refused."""

    backend: str
    sample: Sample
    was_known: bool
    adopted: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class AdoptStorage:
    """Write new markers, and delete the former identity if it is there.

    Nothing is changed if it is `dry_run`, or if objects of many blobs are missing, unless `even_if_missing`. Raises
    what the ports raise; then nothing was changed, or all but the deletion of the former identity, which a server of
    this database makes up for.
    """

    mark: MarkStorage

    async def __call__(
        self, backend: str, interval: timedelta, *, dry_run: bool = False, even_if_missing: bool = False
    ) -> Adopted:
        store = self.mark.stores.by_name[backend]
        await store.check()
        seen = await sample(self.mark.blobs, backend, store, self.mark.new_key())
        known = await self.mark.known(backend)
        outcome = Adopted(backend, seen, known is not None)
        if seen.is_suspicious and not even_if_missing:
            return replace(outcome, refused=f"{seen.missing} of {seen.looked} sampled objects are missing.")
        if dry_run or backend in WITHOUT_MARKERS:
            return outcome
        for _ in range(ATTEMPTS):
            known = await self.mark.known(backend)
            new = KnownStorage(backend, self.mark.new_key(), self.mark.new_key(), known.interval if known else interval)
            if known is not None:
                new = replace(new, former=known.identity)
            if await self.mark.write(new, known):
                await self._delete_former(new)
                return replace(outcome, adopted=True)
        return replace(outcome, refused="Somebody else was changing its markers all the time. Try again.")

    async def _delete_former(self, new: KnownStorage) -> None:
        if new.former is None:
            return
        await self.mark.stores.by_name[new.backend].delete(new.former)
        async with self.mark.units() as work:
            if await work.storages.replace(new, replace(new, former=None)):
                await work.commit()
