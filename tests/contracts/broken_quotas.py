"""Metadata adapters whose quotas are broken on purpose, each with the case that catches it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from adapters.metadata.memory.changes import Clock
from adapters.metadata.memory.contents import MemoryTrash
from adapters.metadata.memory.keys import MemoryKeys
from adapters.metadata.memory.rows import Tables
from adapters.metadata.memory.unit_of_work import MemoryUnitOfWork, _Blobs
from application.ports.contents import Trashed
from application.ports.metadata import Published, UnitOfWork
from domain.access import UNLIMITED, AccessKey
from domain.blob import Blob, BlobId, Draft
from domain.errors import BlobError, KeyNotFound, RolledBack, TimedOut
from domain.precondition import Precondition
from tests.contracts import broken_contents
from tests.contracts.proof import caught_by
from tests.contracts.quotas import QuotasContract

DEADLOCK = 0.1  # seconds after which a unit takes a lock for a deadlock


class Tampered(broken_contents.Tampered):
    """The metadata in memory, with other repositories, also of keys."""

    Keys: type[MemoryKeys] = MemoryKeys

    def begin(self) -> MemoryUnitOfWork:
        tables = Tables(self.rows)
        work = MemoryUnitOfWork(tables, self.now)
        work.blobs = self.Blobs(tables, self.now)
        work.trash = self.Trash(tables, self.now)
        work.keys = self.Keys(tables)
        return work


class WithoutTurns(Tampered):
    """Units that lock nothing, and do not wait for each other."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        yield self.begin()


class _Trash(MemoryTrash):
    """A trash with a step for the bytes that are given back."""

    def charged(self, key_id: str, size: int) -> None:
        """Change what is counted."""
        if (key := self._rows.keys.get(key_id)) is not None:
            self._rows.keys.set(key_id, replace(key, stored_bytes=key.stored_bytes + size))

    async def add_only(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
        """Add a version, and give nothing back."""
        before = self._rows.keys.get(blob.owner)
        await super().add(blob, retention, grace)
        if before is not None:
            self._rows.keys.set(blob.owner, before)

    async def move_only(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
        for blob_id in ids:
            if (blob := self._rows.blobs.get(blob_id)) is not None:
                self._rows.blobs.set(blob_id, None)
                await self.add_only(blob, retention, grace)

    def found(self, ids: Sequence[BlobId]) -> list[Blob]:
        return [blob for blob_id in ids if (blob := self._rows.blobs.get(blob_id)) is not None]


# Owners


@caught_by(QuotasContract.test_a_blob_has_the_owner_that_stored_it_last)
class StoresNoOwners(Tampered):
    """A column that no statement writes."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            return await super().put(replace(draft, owner=""), precondition)


@caught_by(QuotasContract.test_a_blob_has_the_owner_that_stored_it_last)
class KeepsTheFirstOwner(Tampered):
    """A replaced row keeps its owner."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            former = self._stored(draft.id)
            return await super().put(replace(draft, owner=former.owner if former else draft.owner), precondition)


@caught_by(QuotasContract.test_a_blob_has_the_owner_that_stored_it_last)
class KeepsTheOwnerForNobody(Tampered):
    """COALESCE, where a column becomes NULL."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            former = self._stored(draft.id)
            owner = draft.owner or (former.owner if former else "")
            return await super().put(replace(draft, owner=owner), precondition)


@caught_by(QuotasContract.test_a_blob_has_the_owner_that_stored_it_last)
class ListsNoOwners(Tampered):
    class Blobs(_Blobs):
        async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
            return [replace(each, owner="") for each in await super().between(start, stop, limit)]


@caught_by(QuotasContract.test_a_blob_keeps_its_owner_when_its_id_changes)
class RenamesToNobody(Tampered):
    class Blobs(_Blobs):
        async def move_between(self, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
            for blob in await self.between(start, stop, len(self._rows.values())):
                self._rows.set(blob.id, replace(blob, owner=""))
            return await super().move_between(start, stop, from_prefix, to_prefix)


@caught_by(QuotasContract.test_a_blob_keeps_its_owner_when_its_properties_change)
class PatchesToNobody(Tampered):
    """Versions that continue another one have no owner, and are given back to nobody."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            return await super().put(replace(draft, owner="") if draft.created_at else draft, precondition)


@caught_by(QuotasContract.test_a_version_that_is_replaced_or_removed_has_its_owner)
class ReplacesVersionsOfNobody(Tampered):
    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            published = await super().put(draft, precondition)
            former = published.former
            return replace(published, former=None if former is None else replace(former, owner=""))


@caught_by(QuotasContract.test_a_version_that_is_replaced_or_removed_has_its_owner)
class ReplacesVersionsOfTheNewOwner(Tampered):
    """The row is read after it was changed."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            published = await super().put(draft, precondition)
            former = published.former
            return replace(published, former=None if former is None else replace(former, owner=draft.owner))


@caught_by(QuotasContract.test_a_version_that_is_replaced_or_removed_has_its_owner)
class RemovesVersionsOfNobody(Tampered):
    """RETURNING, without a column."""

    class Blobs(_Blobs):
        async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            return replace(await super().remove(blob_id, precondition), owner="")


@caught_by(QuotasContract.test_a_version_in_the_trash_has_its_owner)
class MovesVersionsOfNobody(Tampered):
    """A column that is not copied."""

    class Trash(_Trash):
        async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            for blob in self.found(ids):
                self._rows.blobs.set(blob.id, replace(blob, owner=""))
                self.charged(blob.owner, -blob.size)
            await super().move(ids, retention, grace)


@caught_by(QuotasContract.test_a_version_in_the_trash_has_its_owner)
class AddsVersionsOfNobody(Tampered):
    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            self.charged(blob.owner, -blob.size)
            await super().add(replace(blob, owner=""), retention, grace)


# Bytes that are given back


@caught_by(QuotasContract.test_bytes_are_given_back_by_the_trash_only)
class GivesNothingBack(Tampered):
    class Trash(_Trash):
        add = _Trash.add_only


@caught_by(QuotasContract.test_bytes_are_given_back_by_the_trash_only)
class GivesBackForARemoval(Tampered):
    """When the row is deleted, and again when it goes to the trash."""

    class Blobs(_Blobs):
        def __init__(self, tables: Tables, now: Clock) -> None:
            super().__init__(tables, now)
            self._keys = tables.keys

        async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            removed = await super().remove(blob_id, precondition)
            if (key := self._keys.get(removed.owner)) is not None:
                self._keys.set(key.id, replace(key, stored_bytes=key.stored_bytes - removed.size))
            return removed


@caught_by(QuotasContract.test_bytes_are_given_back_by_the_trash_only)
class GivesBackToTheNextOwner(Tampered):
    """The row of the id is read, which has another version by now."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await self.add_only(blob, retention, grace)
            current = self._rows.blobs.get(blob.id) or blob
            self.charged(current.owner, -blob.size)


@caught_by(QuotasContract.test_bytes_are_given_back_by_the_trash_only)
class GivesBackTheNextSize(Tampered):
    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await self.add_only(blob, retention, grace)
            current = self._rows.blobs.get(blob.id) or blob
            self.charged(blob.owner, -current.size)


@caught_by(QuotasContract.test_bytes_are_given_back_by_the_trash_only)
class GivesBackToEachKey(Tampered):
    """A WHERE that is missing."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await self.add_only(blob, retention, grace)
            for key in self._rows.keys.values() if blob.owner else ():
                self.charged(key.id, -blob.size)


@caught_by(QuotasContract.test_versions_in_the_trash_are_not_given_back_again)
class GivesBackWhatIsReleased(Tampered):
    """Once a content is garbage."""

    class Trash(_Trash):
        async def release(self, limit: int) -> int:
            before = {key: row.version.blob for key, row in self._rows.trash.items()}
            released = await super().release(limit)
            for key in before.keys() - dict(self._rows.trash.items()):
                self.charged(before[key].owner, -before[key].size)
            return released


@caught_by(QuotasContract.test_versions_in_the_trash_are_not_given_back_again)
class GivesBackWhatIsPurged(Tampered):
    class Trash(_Trash):
        async def purge(self, key: int, grace: timedelta) -> bool:
            if (found := await self.find(key)) is not None:
                self.charged(found.blob.owner, -found.blob.size)
            return await super().purge(key, grace)


@caught_by(QuotasContract.test_versions_in_the_trash_are_not_given_back_again)
class ChargesWhatIsTaken(Tampered):
    """A version that is restored is charged by the use case too."""

    class Trash(_Trash):
        async def remove(self, key: int) -> Trashed | None:
            found = await super().remove(key)
            if found is not None:
                self.charged(found.blob.owner, found.blob.size)
            return found


@caught_by(QuotasContract.test_versions_in_the_trash_are_not_given_back_again)
class GivesBackASharedContentOnce(Tampered):
    """Copies are charged like other blobs."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            if blob.content.is_shared and any(
                row.version.blob.content.key == blob.content.key for row in self._rows.trash.values()
            ):
                await self.add_only(blob, retention, grace)
            else:
                await super().add(blob, retention, grace)


@caught_by(QuotasContract.test_a_page_of_several_owners_is_given_back)
class MovesWithoutGivingBack(Tampered):
    class Trash(_Trash):
        move = _Trash.move_only


@caught_by(QuotasContract.test_a_page_of_several_owners_is_given_back)
class GivesBackToOneOwnerOfAPage(Tampered):
    class Trash(_Trash):
        async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            owned = [blob for blob in self.found(ids) if blob.owner]
            await self.move_only(ids, retention, grace)
            self.charged(owned[0].owner if owned else "", -sum(blob.size for blob in owned))


@caught_by(QuotasContract.test_a_page_of_several_owners_is_given_back)
class GivesBackOneBlobOfEachOwner(Tampered):
    """An UPDATE with a join changes a row once."""

    class Trash(_Trash):
        async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            owned = {blob.owner: blob.size for blob in self.found(ids)}
            await self.move_only(ids, retention, grace)
            for owner, size in owned.items():
                self.charged(owner, -size)


@caught_by(QuotasContract.test_a_page_of_several_owners_is_given_back)
class GivesBackUpToABlobOfNobody(Tampered):
    class Trash(_Trash):
        async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            owned = self.found(ids)
            await self.move_only(ids, retention, grace)
            for blob in owned:
                if not blob.owner:
                    break
                self.charged(blob.owner, -blob.size)


@caught_by(QuotasContract.test_expired_blobs_count_until_they_are_moved)
class ExpiresWithoutGivingBack(Tampered):
    class Trash(_Trash):
        async def move_expired(self, limit: int, grace: timedelta) -> int:
            counted = dict(self._rows.keys.items())
            moved = await super().move_expired(limit, grace)
            for key_id, key in counted.items():
                self._rows.keys.set(key_id, key)
            return moved


@caught_by(QuotasContract.test_expired_blobs_count_until_they_are_moved)
class GivesBackNothingForExpired(Tampered):
    """A version that was replaced after its end counts for ever."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            if blob.read_at is not None and blob.has_expired:
                await self.add_only(blob, retention, grace)
            else:
                await super().add(blob, retention, grace)


@caught_by(QuotasContract.test_expired_blobs_count_until_they_are_moved)
class GivesBackAllThatHasExpired(Tampered):
    """A LIMIT of one of two statements."""

    class Trash(_Trash):
        async def move_expired(self, limit: int, grace: timedelta) -> int:
            now = self._now()
            expired = [blob for blob in self._rows.blobs.values() if blob.expires_at and blob.expires_at <= now]
            counted = dict(self._rows.keys.items())
            moved = await super().move_expired(limit, grace)
            for key_id, key in counted.items():
                self._rows.keys.set(key_id, key)
            for blob in expired:
                self.charged(blob.owner, -blob.size)
            return moved


@caught_by(QuotasContract.test_blobs_without_bytes_are_charged_and_given_back)
class RefusesEmptyBlobsOfAFullKey(Tampered):
    class Keys(MemoryKeys):
        async def charge(self, key_id: str, size: int) -> bool:
            key = await self.find(key_id)
            is_full = key is not None and key.stored_bytes >= (key.limits.quota_bytes or 0)
            return not is_full and await super().charge(key_id, size)


@caught_by(QuotasContract.test_blobs_without_bytes_are_charged_and_given_back)
class TakesNothingForOne(Tampered):
    """A size that is rounded up to a block."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(blob, retention, grace)
            self.charged(blob.owner, 0 if blob.size else -1)


@caught_by(QuotasContract.test_a_replaced_version_makes_room_in_its_unit)
class GivesBackAfterTheUnit(Tampered):
    """A full key can't replace its blobs."""

    class Keys(MemoryKeys):
        async def charge(self, key_id: str, size: int) -> bool:
            key, committed = await self.find(key_id), self._rows._committed.get(key_id)
            if key is None or committed is None:
                return False
            is_full = committed.stored_bytes + size > (committed.limits.quota_bytes or 0)
            return not is_full and await super().charge(key_id, size)


@caught_by(QuotasContract.test_a_revoked_owner_is_ignored)
class RevivesRevokedOwners(Tampered):
    """An upsert."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(blob, retention, grace)
            if blob.owner and self._rows.keys.get(blob.owner) is None:
                revived = AccessKey(blob.owner, "", frozenset(), (), blob.created_at, limits=UNLIMITED)
                self._rows.keys.set(blob.owner, replace(revived, stored_bytes=-blob.size))


@caught_by(QuotasContract.test_a_revoked_owner_is_ignored)
class MissesRevokedOwners(Tampered):
    """Blobs of a revoked key can't be deleted."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            if blob.owner and self._rows.keys.get(blob.owner) is None:
                raise KeyNotFound
            await super().add(blob, retention, grace)


@caught_by(QuotasContract.test_a_revoked_owner_is_ignored)
class GivesBackUpToARevokedOwner(Tampered):
    class Trash(_Trash):
        async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            owned = sorted(self.found(ids), key=lambda blob: blob.owner)
            await self.move_only(ids, retention, grace)
            for blob in owned:
                if blob.owner and self._rows.keys.get(blob.owner) is None:
                    break
                self.charged(blob.owner, -blob.size)


# Units


@caught_by(QuotasContract.test_a_unit_that_is_not_committed_charges_and_gives_back_nothing)
class GivesBackAtOnce(Tampered):
    """A second connection."""

    class Trash(_Trash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(blob, retention, grace)
            self._rows.keys.apply()


@caught_by(QuotasContract.test_a_unit_that_is_not_committed_charges_and_gives_back_nothing)
class ChargesAtOnce(Tampered):
    class Keys(MemoryKeys):
        async def charge(self, key_id: str, size: int) -> bool:
            is_charged = await super().charge(key_id, size)
            self._rows.apply()
            return is_charged


class _Pausing(MemoryKeys):
    async def charge(self, key_id: str, size: int) -> bool:
        is_charged = await super().charge(key_id, size)
        await asyncio.sleep(0)
        return is_charged


class _PausingTrash(MemoryTrash):
    async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
        await super().add(blob, retention, grace)
        await asyncio.sleep(0)


@caught_by(QuotasContract.test_racing_units_fill_a_quota_to_the_last_blob)
class ChargesWithoutLocks(WithoutTurns):
    """Look, then write."""

    Keys = _Pausing


@caught_by(QuotasContract.test_racing_units_that_charge_and_give_back_stay_exact)
class GivesBackWithoutLocks(WithoutTurns):
    """Look, then write."""

    Trash = _PausingTrash


@caught_by(QuotasContract.test_of_racing_units_that_change_one_blob_each_is_counted_once)
class ReplacesWithoutLocks(WithoutTurns):
    """Two units give the same version back."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            published = await super().put(draft, precondition)
            await asyncio.sleep(0)
            return published


class _Locking(WithoutTurns):
    """Units that lock keys, one after another, and wait for each other until that takes too long."""

    def __init__(self) -> None:
        super().__init__()
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    def deadlock(self) -> BlobError:
        """Return the error of a unit that is in a deadlock."""
        return RolledBack()

    def order(self, owners: Sequence[str]) -> Sequence[str]:
        """Return the order in which a page locks keys."""
        return owners

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        held = list[str]()

        async def lock(key_id: str) -> None:
            if not key_id or key_id in held:
                return
            try:
                await asyncio.wait_for(self._locks[key_id].acquire(), DEADLOCK)
            except TimeoutError:
                raise self.deadlock() from None
            held.append(key_id)

        work = self.begin()
        add, move, charge = work.trash.add, work.trash.move, work.keys.charge

        async def lock_and_add(blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await lock(blob.owner)
            await add(blob, retention, grace)

        async def lock_and_move(ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            owners = [blob.owner for blob_id in ids if (blob := self.rows.blobs.get(blob_id))]
            for owner in self.order(owners):
                await lock(owner)
                await asyncio.sleep(0)
            await move(ids, retention, grace)

        async def lock_and_charge(key_id: str, size: int) -> bool:
            await lock(key_id)
            return await charge(key_id, size)

        for owner, name, changed in (
            (work.trash, "add", lock_and_add),
            (work.trash, "move", lock_and_move),
            (work.keys, "charge", lock_and_charge),
        ):
            setattr(owner, name, changed)
        try:
            yield work
        finally:
            for key_id in held:
                self._locks[key_id].release()


@caught_by(QuotasContract.test_owners_may_replace_each_others_blobs_at_once)
class TakesDeadlocksForFailures(_Locking):
    """An error of the database that is not translated."""

    def deadlock(self) -> BlobError:
        return TimedOut()


@caught_by(QuotasContract.test_pages_of_the_same_owners_are_moved_without_a_deadlock)
class LocksInTheOrderOfTheIds(_Locking):
    """Each page locks the keys in an order of its own."""
