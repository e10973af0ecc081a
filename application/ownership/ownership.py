"""Ownership: which database deletes in a storage, if a copy of the database may be running.

Databases that are copies of each other name the same markers. So the one that deletes replaces the epoch regularly: it
writes a new epoch, names it in its row, and deletes the previous one. A copy that is started next to it names an epoch
that is missing, now or soon. The copy serves blobs and deletes nothing.

- A process deletes only while the epoch that its database names exists, and only after it has watched that epoch for
  several intervals or has seen its own database replace it. A running database has replaced it by then.
- Several copies may watch an epoch that nobody replaces. The first one writes a claim under a key that is derived from
  the epoch, so only one of them succeeds.
- A crash leaves an epoch that is being written (`next`), or one that is no longer valid (`former`). The row names both.
  Any process that finds the former deletes it, because a copy might consider it valid.
"""

import time
from collections.abc import Awaitable, Callable, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from application.ownership.mark import MarkStorage
from application.ownership.markers import (
    CLAIM,
    EPOCH,
    WITHOUT_MARKERS,
    UnknownStorage,
    claim_key,
    encoded,
    read_marker,
    write_marker,
)
from application.ownership.sample import is_there
from application.ports.blob_store import BlobStore
from application.ports.metadata import KnownStorage
from application.uploads.lifecycle import discard_object
from domain.blob import Location, ObjectKey
from domain.errors import AlreadyExists, NotFound, Unavailable

# A living database replaces the epoch once an interval. It may be late, and a replica may die just when it is its turn.
INTERVALS = 3
LOOKS = 4  # the row may change between two looks, but not each time


class Standing(Enum):
    """The right of this database to delete in a storage."""

    OURS = "ours"
    WATCHING = "watching"
    """Unknown yet: another database may use the storage."""
    TAKEN = "taken"
    """Another database deletes there: this one is a copy, or was restored."""


@dataclass(slots=True)
class _Watch:
    """The `epoch` and the number of claims, unchanged `since` a time of the monotonic clock."""

    epoch: ObjectKey
    since: float
    claims: int = 0
    ours: bool = False


class Ownership:
    """Recognition and ownership of the storages. One object per process.

    `created`: epochs that were written at this start, so no copy can name them.
    """

    def __init__(
        self,
        mark: MarkStorage,
        interval: timedelta | None = None,
        created: Set[ObjectKey] = frozenset(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mark = mark
        self._interval = interval
        self._monotonic = monotonic
        self._watches: dict[str, _Watch] = {}
        self.created = created

    async def recognise(self, backend: str) -> KnownStorage | None:
        """Return the markers of the storage, or None if it has none yet. Raises UnknownStorage if it is another one."""
        known = await self._known(backend)
        for _ in range(LOOKS):
            if known is None or await self._has(backend, known.identity):
                return known
            before, known = known, await self._known(backend)
            if known is not None and known.identity == before.identity:
                break
        raise UnknownStorage(backend)

    async def open(self, backend: str) -> None:
        """Recognise the storage, or mark it if it is not known. Raises UnknownStorage, or what the storage raises."""
        known = await self.recognise(backend)  # before the check, which makes a folder that is missing
        await self._store(backend).check()
        if known is None and backend not in WITHOUT_MARKERS:
            await self._mark_now(backend)

    async def may_delete(self, backend: str) -> bool:
        """Return whether garbage may be deleted there now. Raises UnknownStorage."""
        return await self.standing(backend) is Standing.OURS

    async def standing(self, backend: str) -> Standing:
        """Look at the markers. Raises UnknownStorage."""
        if backend in WITHOUT_MARKERS:
            return Standing.OURS
        for _ in range(LOOKS):
            known = await self.recognise(backend)
            if known is None:
                return Standing.WATCHING
            if await self._has(backend, known.epoch):
                return Standing.OURS if self._watch(known).ours else Standing.WATCHING
            again = await self._known(backend)
            if again is not None and again.epoch == known.epoch:
                break
        self._watches.pop(backend, None)
        return Standing.TAKEN

    async def require(self, backend: str) -> None:
        """Raise UnknownStorage if the storage is another one, and UNAVAILABLE if another database deletes there."""
        if await self.standing(backend) is Standing.TAKEN:
            raise Unavailable(taken(backend), backend=backend)

    async def keep(self, backend: str) -> Standing:
        """Mark an unknown storage, and replace its epoch if that is due. Call this several times per interval.

        Raises UnknownStorage, or what the storage raises.
        """
        standing = await self.standing(backend)
        known = await self._known(backend)
        if backend in WITHOUT_MARKERS or standing is Standing.TAKEN:
            return standing
        if known is None:
            await self.open(backend)
            return await self.standing(backend)
        known = await self._remove_former(known)
        if standing is Standing.OURS:
            await self._advance(known)
        elif await self._has_watched_enough(known):
            await self._take_over(known)
        return await self.standing(backend)

    async def pause(self, backend: str) -> timedelta:
        """Return the time to wait before the next call to `keep`."""
        known = await self._known(backend)
        intervals = [each for each in (self._interval, known.interval if known else None) if each is not None]
        return min(intervals) / 3

    async def acquire(self, backend: str, wait: Callable[[timedelta], Awaitable[None]]) -> None:
        """Wait until this database may delete there. Raises UnknownStorage, or UNAVAILABLE if it may not.

        `wait` receives the time until the next look.
        """
        while (standing := await self.keep(backend)) is not Standing.OURS:
            if standing is Standing.TAKEN:
                raise Unavailable(taken(backend), backend=backend)
            await wait(await self.pause(backend))

    # Queries

    async def _known(self, backend: str) -> KnownStorage | None:
        return None if backend in WITHOUT_MARKERS else await self._mark.known(backend)

    def _store(self, backend: str) -> BlobStore:
        return self._mark.uploads.stores.by_name[backend]

    async def _has(self, backend: str, key: ObjectKey) -> bool:
        return await is_there(self._store(backend), key)

    def _watch(self, known: KnownStorage) -> _Watch:
        """Return the watch over a storage whose epoch exists."""
        watch = self._watches.get(known.backend)
        if watch is None:
            watch = _Watch(known.epoch, self._monotonic(), ours=known.epoch in self.created)
            self._watches[known.backend] = watch
        elif watch.epoch != known.epoch:
            watch.epoch = known.epoch
            watch.ours = True  # because this database has replaced it
        return watch

    async def _has_watched_enough(self, known: KnownStorage) -> bool:
        watch = self._watch(known)
        claims = await self._claims(known)
        if claims != watch.claims:
            watch.claims, watch.since = claims, self._monotonic()
        return self._monotonic() - watch.since >= INTERVALS * known.interval.total_seconds()

    async def _claims(self, known: KnownStorage) -> int:
        claims = 0
        while await self._has(known.backend, claim_key(known.epoch, claims)):
            claims += 1
        return claims

    # Changes

    async def _mark_now(self, backend: str) -> None:
        interval = self._interval
        if interval is None:
            raise Unavailable(not_marked(backend), backend=backend)
        known, is_ours = await self._mark(backend, interval)
        if is_ours:
            self.created = self.created | {known.epoch}

    async def _advance(self, known: KnownStorage) -> None:
        """Replace the epoch if it is due, and if no other replica does."""
        begun = await self._begin(known)
        if begun is not None:
            await self._write(begun)
            await self._finish(begun)

    async def _take_over(self, known: KnownStorage) -> None:
        """Replace an epoch that nobody has replaced for several intervals, unless another database is quicker."""
        begun = await self._begin(known)
        if begun is None:
            return
        claim = Location(known.backend, claim_key(known.epoch, self._watch(known).claims))
        if not await self._claim(claim, begun):
            return
        await self._write(begun)
        if await self._has(known.backend, known.epoch):
            await self._finish(begun)
        await self._withdraw(claim)

    async def _begin(self, known: KnownStorage) -> KnownStorage | None:
        """Name the key of the next epoch. Return None if it is not due, or if another replica was first."""
        begun = replace(known, next=self._mark.new_key(), interval=self._interval or known.interval)
        async with self._mark.uploads.units() as work:
            if not await work.storages.replace_if_due(known, begun):
                return None
            if known.next is not None:
                await discard_object(work, Location(known.backend, known.next))
            await work.commit()
            return begun

    async def _write(self, begun: KnownStorage) -> None:
        assert begun.next is not None
        await write_marker(self._store(begun.backend), begun.next, EPOCH, self._now())

    async def _finish(self, begun: KnownStorage) -> None:
        assert begun.next is not None
        finished = replace(begun, epoch=begun.next, next=None, former=begun.epoch)
        async with self._mark.uploads.units() as work:
            if not await work.storages.replace(begun, finished):
                return
            await work.commit()
        await self._remove_former(finished)

    async def _remove_former(self, known: KnownStorage) -> KnownStorage:
        """Delete the former marker. A copy may do so too, because its row names a successor."""
        if known.former is None:
            return known
        await self._store(known.backend).delete(known.former)
        await self.recognise(known.backend)  # on a disk that has just vanished, nothing was deleted
        removed = replace(known, former=None)
        async with self._mark.uploads.units() as work:
            if await work.storages.replace(known, removed):
                await work.commit()
        return removed

    async def _claim(self, claim: Location, begun: KnownStorage) -> bool:
        """Write the claim to succeed an epoch. Return whether the claim there is ours."""
        if not await self._mark.uploads.renew(claim):  # an earlier attempt that was killed has begun it
            await self._mark.uploads.begin(claim)
        store, at = self._store(claim.backend), self._now()
        more = {"next": str(begun.next)}
        with suppress(AlreadyExists):
            await write_marker(store, claim.key, CLAIM, at, **more)
        with suppress(NotFound):  # whoever wrote it has withdrawn it since
            return await read_marker(store, claim.key) == encoded(CLAIM, claim.key, at, **more)
        return False

    async def _withdraw(self, claim: Location) -> None:
        await self._store(claim.backend).delete(claim.key)
        await self._mark.uploads.release(claim)

    def _now(self) -> datetime:
        return self._mark.now()


def taken(backend: str) -> str:
    """Return the text for an operator whose database does not own the storage."""
    return (
        f"Another database deletes in the storage {backend}: this one is a copy, or was restored from a backup. It"
        f" serves blobs, and deletes nothing. If this is the one to go on with, run drivebay adopt --storage {backend}."
    )


def not_marked(backend: str) -> str:
    """Return the text for an operator whose database has never opened the storage."""
    return f"The database does not know the storage {backend} yet. Start the server once."
