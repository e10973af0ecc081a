"""Metadata adapters whose share links are broken on purpose, each with the case that catches it."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from adapters.metadata.memory.rows import Tables
from adapters.metadata.memory.shares import MemoryShares
from adapters.metadata.memory.unit_of_work import MemoryMetadata, MemoryUnitOfWork
from application.ports.metadata import UnitOfWork
from domain.access import Action, Share
from tests.contracts.proof import caught_by
from tests.contracts.shares import SharesContract


class Tampered(MemoryMetadata):
    """The metadata in memory, with another repository of share links."""

    Shares: type[MemoryShares] = MemoryShares

    def __init__(self) -> None:
        super().__init__()
        self.shares = self.Shares(Tables(self.rows))

    def begin(self) -> MemoryUnitOfWork:
        tables = Tables(self.rows)
        work = MemoryUnitOfWork(tables, self.now)
        work.shares = self.Shares(tables)
        return work

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self._turn:
            yield self.begin()


class WithoutTurns(Tampered):
    """Units that lock nothing, and do not wait for each other."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        yield self.begin()


# Values


class _Altering(MemoryShares):
    """Stores another link than it is given."""

    def altered(self, share: Share) -> Share:
        raise NotImplementedError

    async def add(self, share: Share) -> None:
        await super().add(self.altered(share))


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class LosesCharactersBeyond16Bits(Tampered):
    """UTF-8 of three bytes only."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, ids="".join(c if c < "\U00010000" else "?" for c in share.ids))


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class CutsLongIds(Tampered):
    """VARCHAR(2048) of bytes that is one short. An upload link that is for more ids than it was made for."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, ids=share.ids[:2047])


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class StripsIds(Tampered):
    """A collation that pads."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, ids=share.ids.rstrip() or " ")


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class NormalizesFilenames(Tampered):
    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, filename=share.filename and unicodedata.normalize("NFC", share.filename))


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class TakesAnEmptyNameForNone(Tampered):
    """A database for which they are the same."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, filename=share.filename or None)


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class RoundsTimes(Tampered):
    """A column of whole seconds."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, expires_at=share.expires_at.replace(microsecond=0))


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class ReturnsLocalTimes(Tampered):
    """Times of the zone of the server: equal, but not in UTC."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, created_at=share.created_at.astimezone(timezone(timedelta(hours=1))))


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class StoresNoPassword(Tampered):
    """A column that no statement writes. Such links are open to all."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, password="")


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class CutsHashes(Tampered):
    """VARCHAR(64)."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, password=share.password[:64])


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class TakesASizeOfNothingForNone(Tampered):
    """A truth value of a number. Such a link takes uploads of any size."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, max_bytes=share.max_bytes or None)


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class StoresNoLimitOfUses(Tampered):
    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, max_uses=None)


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class KnowsDownloadsOnly(Tampered):
    """A column that is older than links for uploads. Blobs below their prefixes could be read."""

    class Shares(_Altering):
        def altered(self, share: Share) -> Share:
            return replace(share, action=Action.READ)


@caught_by(SharesContract.test_a_share_is_found_as_it_was_added)
class HidesExpired(Tampered):
    class Shares(MemoryShares):
        async def find(self, share_id: str) -> Share | None:
            found = await super().find(share_id)
            return None if found is None or found.expires_at <= datetime.now(UTC) else found


@caught_by(SharesContract.test_ids_are_compared_exactly)
class IgnoresCase(Tampered):
    """The collation."""

    class Shares(MemoryShares):
        async def find(self, share_id: str) -> Share | None:
            return await super().find(share_id.lower())


@caught_by(SharesContract.test_ids_are_compared_exactly)
class IgnoresSpacesAtTheEnd(Tampered):
    """The collation again."""

    class Shares(MemoryShares):
        async def use(self, share_id: str) -> bool:
            return await super().use(share_id.rstrip())


# Lists


@caught_by(SharesContract.test_shares_are_listed_in_the_order_of_their_ids)
class ListsTheFirstAgain(Tampered):
    """At or after, in place of after. A list never ends."""

    class Shares(MemoryShares):
        async def after(self, share_id: str, limit: int) -> Sequence[Share]:
            found = await self.find(share_id)
            later = await super().after(share_id, limit)
            return later if found is None or not later else [found, *later][:limit]


@caught_by(SharesContract.test_shares_are_listed_in_the_order_of_their_ids)
class ListsThemAsTheyCame(Tampered):
    class Shares(MemoryShares):
        async def after(self, share_id: str, limit: int) -> Sequence[Share]:
            return [each for each in self._rows.values() if each.id > share_id][:limit]


@caught_by(SharesContract.test_shares_are_listed_in_the_order_of_their_ids)
class IgnoresLimits(Tampered):
    class Shares(MemoryShares):
        async def after(self, share_id: str, limit: int) -> Sequence[Share]:
            return await super().after(share_id, 1000)


@caught_by(SharesContract.test_the_shares_of_a_key_are_listed_without_those_of_others)
class ListsAllAsThoseOfAKey(Tampered):
    class Shares(MemoryShares):
        async def of_key(self, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
            return await self.after(share_id, limit)


@caught_by(SharesContract.test_the_shares_of_a_key_are_listed_without_those_of_others)
class LimitsBeforeItFilters(Tampered):
    class Shares(MemoryShares):
        async def of_key(self, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
            return [each for each in await self.after(share_id, limit) if each.key_id == key_id]


# Uses


class _Counting(MemoryShares):
    """Counts uses with a step for the decision."""

    def is_usable(self, share: Share) -> bool:
        raise NotImplementedError

    async def use(self, share_id: str) -> bool:
        share = await self.find(share_id)
        if share is None or not self.is_usable(share):
            return False
        self._rows.set(share_id, replace(share, uses=share.uses + 1))
        return True


@caught_by(SharesContract.test_a_share_is_used_up_to_its_limit)
class CountsOneTooMany(Tampered):
    """At most, in place of less than."""

    class Shares(_Counting):
        def is_usable(self, share: Share) -> bool:
            return share.max_uses is None or share.uses <= share.max_uses


@caught_by(SharesContract.test_a_share_is_used_up_to_its_limit)
class CountsRefused(Tampered):
    class Shares(MemoryShares):
        async def use(self, share_id: str) -> bool:
            is_used = await super().use(share_id)
            if not is_used and (share := await self.find(share_id)) is not None:
                self._rows.set(share_id, replace(share, uses=share.uses + 1))
            return is_used


@caught_by(SharesContract.test_a_share_is_used_up_to_its_limit)
class CountsUsesOfAll(Tampered):
    """A WHERE that is missing."""

    class Shares(MemoryShares):
        async def use(self, share_id: str) -> bool:
            used = [await super(type(self), self).use(share.id) for share in self._rows.values()]
            return any(used) and await self.find(share_id) is not None


@caught_by(SharesContract.test_a_share_is_used_up_to_its_limit)
class ReturnsNoRefusals(Tampered):
    """A row count that nobody reads."""

    class Shares(MemoryShares):
        async def use(self, share_id: str) -> bool:
            await super().use(share_id)
            return await self.find(share_id) is not None


@caught_by(SharesContract.test_a_unit_uses_a_share_more_than_once)
class ReadsOnlyWhatIsCommitted(Tampered):
    """A second connection for what is read."""

    class Shares(MemoryShares):
        async def use(self, share_id: str) -> bool:
            share = self._rows._committed.get(share_id)
            if share is None or (share.max_uses is not None and share.uses >= share.max_uses):
                return False
            self._rows.set(share_id, replace(share, uses=share.uses + 1))
            return True


@caught_by(SharesContract.test_a_share_without_a_limit_is_used_again_and_again)
class RefusesUnlimited(Tampered):
    """No number is less than NULL."""

    class Shares(_Counting):
        def is_usable(self, share: Share) -> bool:
            return share.max_uses is not None and share.uses < share.max_uses


@caught_by(SharesContract.test_a_share_without_a_limit_is_used_again_and_again)
class TakesNoLimitForOne(Tampered):
    class Shares(_Counting):
        def is_usable(self, share: Share) -> bool:
            return share.uses < (share.max_uses or 1)


class _Pausing(MemoryShares):
    async def use(self, share_id: str) -> bool:
        is_used = await super().use(share_id)
        await asyncio.sleep(0)
        return is_used

    async def remove(self, share_id: str) -> bool:
        is_removed = await super().remove(share_id)
        await asyncio.sleep(0)
        return is_removed

    async def remove_expired(self, now: datetime, limit: int) -> int:
        removed = await super().remove_expired(now, limit)
        await asyncio.sleep(0)
        return removed


@caught_by(SharesContract.test_racing_uses_are_counted_exactly)
class UsesWithoutLocks(WithoutTurns):
    """Look, then write."""

    class Shares(_Pausing): ...


@caught_by(SharesContract.test_a_use_waits_for_the_outcome_of_another_one)
class UsesWithoutWaiting(WithoutTurns):
    """Look, then write, again."""


@caught_by(SharesContract.test_a_use_waits_for_the_outcome_of_another_one)
class CountsAbandonedUses(Tampered):
    """A counter of its own, which no transaction rolls back."""

    class Shares(MemoryShares):
        async def use(self, share_id: str) -> bool:
            is_used = await super().use(share_id)
            self._rows.apply()
            return is_used


@caught_by(SharesContract.test_a_removed_share_is_not_used)
class UsesRevoked(Tampered):
    """Without a limit there is nothing to count, so nobody looks."""

    class Shares(MemoryShares):
        async def use(self, share_id: str) -> bool:
            share = await self.find(share_id)
            return share is None or share.max_uses is None or await super().use(share_id)


@caught_by(SharesContract.test_a_use_waits_for_the_outcome_of_a_removal)
class UsesDuringRemovals(WithoutTurns):
    """A row that is not locked. The link is used after its revocation is confirmed."""


# Removals


@caught_by(SharesContract.test_a_share_is_removed_once)
class RemovesAgain(Tampered):
    class Shares(MemoryShares):
        async def remove(self, share_id: str) -> bool:
            await super().remove(share_id)
            return True


@caught_by(SharesContract.test_a_share_is_removed_once)
class RemovesNothing(Tampered):
    """Links are only marked, and the mark is read by nobody."""

    class Shares(MemoryShares):
        async def remove(self, share_id: str) -> bool:
            return await self.find(share_id) is not None


@caught_by(SharesContract.test_a_share_is_removed_by_one)
class RemovesForEach(WithoutTurns):
    class Shares(_Pausing): ...


@caught_by(SharesContract.test_a_removal_waits_for_the_outcome_of_another_one)
class RemovesWithoutLocks(WithoutTurns):
    """Look, then write."""


@caught_by(SharesContract.test_a_removed_share_does_not_come_back)
class WritesWholeRows(WithoutTurns):
    """A use of a link that is being revoked revives it."""

    class Shares(_Pausing): ...


# Expired ones


class _Removing(MemoryShares):
    """Removes expired links, chosen by another rule."""

    def is_expired(self, share: Share, now: datetime) -> bool:
        raise NotImplementedError

    async def remove_expired(self, now: datetime, limit: int) -> int:
        expired = [share.id for share in self._rows.values() if self.is_expired(share, now)][:limit]
        for share_id in expired:
            self._rows.set(share_id, None)
        return len(expired)


@caught_by(SharesContract.test_only_expired_shares_are_removed)
class KeepsThoseThatExpireNow(Tampered):
    """Before, in place of at or before."""

    class Shares(_Removing):
        def is_expired(self, share: Share, now: datetime) -> bool:
            return share.expires_at < now


@caught_by(SharesContract.test_only_expired_shares_are_removed)
class ComparesWholeSeconds(Tampered):
    class Shares(_Removing):
        def is_expired(self, share: Share, now: datetime) -> bool:
            return share.expires_at.replace(microsecond=0) <= now


@caught_by(SharesContract.test_only_expired_shares_are_removed)
class LooksAtItsOwnClock(Tampered):
    """The time of the database, in place of that of the caller."""

    class Shares(_Removing):
        def is_expired(self, share: Share, now: datetime) -> bool:
            return share.expires_at <= datetime.now(UTC)


@caught_by(SharesContract.test_only_expired_shares_are_removed)
class RemovesOldOnes(Tampered):
    """The wrong column."""

    class Shares(_Removing):
        def is_expired(self, share: Share, now: datetime) -> bool:
            return share.created_at <= now


@caught_by(SharesContract.test_expired_shares_are_removed_up_to_a_limit)
class RemovesAllExpired(Tampered):
    class Shares(MemoryShares):
        async def remove_expired(self, now: datetime, limit: int) -> int:
            return await super().remove_expired(now, 1000)


@caught_by(SharesContract.test_expired_shares_are_removed_up_to_a_limit)
class ReturnsTheLimit(Tampered):
    """A caller that goes on until nothing is removed never ends."""

    class Shares(MemoryShares):
        async def remove_expired(self, now: datetime, limit: int) -> int:
            await super().remove_expired(now, limit)
            return limit


@caught_by(SharesContract.test_expired_shares_are_removed_up_to_a_limit)
class LooksAtTheFirstOnly(Tampered):
    """A limit on the rows that are looked at, in place of those that are removed."""

    class Shares(MemoryShares):
        async def remove_expired(self, now: datetime, limit: int) -> int:
            expired = [share for share in await self.after("", limit) if share.expires_at <= now]
            for share in expired:
                self._rows.set(share.id, None)
            return len(expired)


@caught_by(SharesContract.test_each_expired_share_is_removed_by_one)
class RemovesExpiredForEach(WithoutTurns):
    """Found without a lock, and the number is that of the rows found."""

    class Shares(_Pausing): ...


# Units


@caught_by(SharesContract.test_changes_are_seen_by_others_once_they_are_committed)
class RemovesAtOnce(Tampered):
    """Autocommit."""

    class Shares(MemoryShares):
        async def remove(self, share_id: str) -> bool:
            is_removed = await super().remove(share_id)
            self._rows.apply()
            return is_removed


@caught_by(SharesContract.test_changes_are_seen_by_others_once_they_are_committed)
class RemembersShares(Tampered):
    """A cache that nobody empties."""

    class Shares(MemoryShares):
        def __init__(self, tables: Tables) -> None:
            super().__init__(tables)
            self._found = dict[str, Share | None]()

        async def find(self, share_id: str) -> Share | None:
            with suppress(KeyError):
                return self._found[share_id]
            self._found[share_id] = await super().find(share_id)
            return self._found[share_id]


@caught_by(SharesContract.test_a_unit_that_is_not_committed_changes_nothing)
class AddsAtOnce(Tampered):
    """A second connection."""

    class Shares(MemoryShares):
        async def add(self, share: Share) -> None:
            await super().add(share)
            self._rows.apply()


@caught_by(SharesContract.test_a_unit_that_is_not_committed_changes_nothing)
class ClearsUpAtOnce(Tampered):
    """Expired links are removed in a transaction of its own."""

    class Shares(MemoryShares):
        async def remove_expired(self, now: datetime, limit: int) -> int:
            removed = await super().remove_expired(now, limit)
            self._rows.apply()
            return removed
