"""Adopt a storage: from now on this database uses it, and no copy of the database does.

For a deliberate change: a restored backup, a copy that becomes independent, a storage that was moved. The identities of
all other databases are deleted, so any other that used the storage refuses it afterwards.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta

from application.concurrency import for_each
from application.ownership.mark import MarkStorage
from application.ownership.markers import EPOCH, WITHOUT_MARKERS, is_identity, write_marker
from application.ownership.sample import Sample, is_there, sample
from application.ports.blob_store import BlobStore
from application.ports.metadata import KnownStorage, NamedReader
from domain.blob import Location, ObjectKey

ATTEMPTS = 5  # a server of this database may be replacing the epoch at the same time
AT_ONCE = 8
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Adopted:
    """The result of an adoption. `sample`: of the objects before it. `refused`: why nothing was changed, if so.

    `others`: the identities of other databases that were found.
    """

    backend: str
    sample: Sample
    was_known: bool
    others: list[ObjectKey] = field(default_factory=list)
    adopted: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class AdoptStorage:
    """Write new markers, and delete the identities found.

    If its own identity is gone, another database may have adopted the storage. Then all objects are examined that this
    database does not know. Nothing is changed in a `dry_run`, if nothing can be written, or if the objects of many
    blobs are missing, unless `even_if_missing`. If the ports raise, call it again.
    """

    mark: MarkStorage
    named: NamedReader

    async def __call__(
        self, backend: str, interval: timedelta, *, dry_run: bool = False, even_if_missing: bool = False
    ) -> Adopted:
        store = self.mark.uploads.stores.by_name[backend]
        await store.check()
        seen = await sample(self.mark.blobs, self.mark.contents, backend, store, self.mark.new_key())
        known = await self.mark.known(backend)
        outcome = Adopted(backend, seen, known is not None)
        if seen.is_suspicious and not even_if_missing:
            return replace(outcome, refused=f"{seen.missing} of {seen.looked} sampled objects are missing.")
        if backend in WITHOUT_MARKERS:
            return outcome
        if known is None or not await is_there(store, known.identity):
            outcome = replace(outcome, others=await self._others(backend, store))
        return outcome if dry_run else await self._adopt(outcome, store, interval)

    async def _adopt(self, outcome: Adopted, store: BlobStore, interval: timedelta) -> Adopted:
        if outcome.others:
            await self._require_writes(outcome.backend, store)
        for key in outcome.others:  # before the new markers are written, so a second attempt finds them too
            await store.delete(key)
        for _ in range(ATTEMPTS):
            known = await self.mark.known(outcome.backend)
            new = KnownStorage(outcome.backend, self.mark.new_key(), self.mark.new_key(), interval)
            if known is not None:
                new = replace(new, interval=known.interval, former=known.identity)
            if await self.mark.write(new, known):
                await self._delete_former(new)
                return replace(outcome, adopted=True)
        return replace(outcome, refused="Its markers were changed again and again. Try again.")

    async def _require_writes(self, backend: str, store: BlobStore) -> None:
        """Raise an error if the database or the storage takes no writes: then the markers of others have to stay."""
        location, uploads = Location(backend, self.mark.new_key()), self.mark.uploads
        await uploads.begin(location)
        async with uploads.discarded_on_error(location):
            await write_marker(store, location.key, EPOCH, self.mark.now())
            await store.delete(location.key)
        await uploads.release(location)

    async def _delete_former(self, new: KnownStorage) -> None:
        if new.former is None:
            return
        await self.mark.uploads.stores.by_name[new.backend].delete(new.former)
        async with self.mark.uploads.units() as work:
            if await work.storages.replace(new, replace(new, former=None)):
                await work.commit()

    async def _others(self, backend: str, store: BlobStore) -> list[ObjectKey]:
        found: list[ObjectKey] = []

        async def look(key: ObjectKey) -> None:
            if await is_identity(store, key):
                found.append(key)

        async with aclosing(self._unnamed(backend, store)) as keys:
            await for_each(keys, look, AT_ONCE)
        return found

    async def _unnamed(self, backend: str, store: BlobStore) -> AsyncGenerator[ObjectKey]:
        page: list[ObjectKey] = []
        async for key in store.list():
            page.append(key)
            if len(page) == PAGE:
                for unnamed in await self._of(backend, page):
                    yield unnamed
                page = []
        for unnamed in await self._of(backend, page):
            yield unnamed

    async def _of(self, backend: str, page: list[ObjectKey]) -> list[ObjectKey]:
        named = await self.named(backend, page)
        return [key for key in page if key not in named]
