"""Metadata adapters whose keys are broken on purpose, each with the case that catches it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime

from adapters.metadata.memory.keys import MemoryKeys
from adapters.metadata.memory.rows import Tables
from adapters.metadata.memory.unit_of_work import MemoryMetadata, MemoryUnitOfWork
from application.ports.metadata import UnitOfWork
from domain.access import UNLIMITED, AccessKey, Action
from domain.errors import KeyNotFound, RolledBack
from tests.contracts.keys import KeysContract
from tests.contracts.proof import caught_by


class Tampered(MemoryMetadata):
    """The metadata in memory, with another repository of keys."""

    Keys: type[MemoryKeys] = MemoryKeys

    def __init__(self) -> None:
        super().__init__()
        self.keys = self.Keys(Tables(self.rows))

    def begin(self) -> MemoryUnitOfWork:
        tables = Tables(self.rows)
        work = MemoryUnitOfWork(tables, self.now)
        work.keys = self.Keys(tables)
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


class _Altering(MemoryKeys):
    """Stores another key than it is given."""

    def altered(self, key: AccessKey) -> AccessKey:
        raise NotImplementedError

    async def add(self, key: AccessKey) -> None:
        await super().add(self.altered(key))


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class LosesCharactersBeyond16Bits(Tampered):
    """UTF-8 of three bytes only."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, name="".join(c if c < "\U00010000" else "?" for c in key.name))


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class RoundsTimes(Tampered):
    """A column of whole seconds."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, created_at=key.created_at.replace(microsecond=0))


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class TakesTheEpochForNever(Tampered):
    """A truth value of a number."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return key if key.used_at and key.used_at.timestamp() else replace(key, used_at=None)


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class StoresNoExpiry(Tampered):
    """A column that no statement writes. Such keys never expire."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, expires_at=None)


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class StoresNoFormerSecret(Tampered):
    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, former_until=None)


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class KnowsNoAdministrators(Tampered):
    """A list of actions that is older than one of them."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, actions=key.actions - {Action.ADMIN})


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class SplitsPrefixesAtCommas(Tampered):
    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, prefixes=tuple(",".join(key.prefixes).split(",")))


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class StripsPrefixes(Tampered):
    """A key for "a " that is for "a" too: a collation that pads."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, prefixes=tuple(prefix.rstrip() for prefix in key.prefixes))


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class TakesAQuotaOfNothingForNone(Tampered):
    """A truth value of a number again. Such a key stores without an end."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return key if key.limits.quota_bytes else replace(key, limits=UNLIMITED)


@caught_by(KeysContract.test_a_key_is_found_as_it_was_added)
class RoundsRates(Tampered):
    """Whole microseconds between two requests."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            if (rate := key.limits.requests_per_second) is None:
                return key
            return replace(key, limits=replace(key.limits, requests_per_second=1_000_000 / round(1_000_000 / rate)))


@caught_by(KeysContract.test_a_key_may_have_many_long_prefixes)
class CutsLongPrefixes(Tampered):
    """TEXT of 64 KiB."""

    class Keys(_Altering):
        def altered(self, key: AccessKey) -> AccessKey:
            return replace(key, prefixes=key.prefixes[:63])


@caught_by(KeysContract.test_ids_are_compared_exactly)
class IgnoresCase(Tampered):
    """The collation."""

    class Keys(MemoryKeys):
        async def find(self, key_id: str) -> AccessKey | None:
            return await super().find(key_id.lower())


@caught_by(KeysContract.test_ids_are_compared_exactly)
class IgnoresSpacesAtTheEnd(Tampered):
    """The collation again."""

    class Keys(MemoryKeys):
        async def remove(self, key_id: str) -> bool:
            return await super().remove(key_id.rstrip())


# Lists


@caught_by(KeysContract.test_keys_are_listed_in_the_order_of_their_ids)
class ListsTheFirstAgain(Tampered):
    """At or after, in place of after. A list never ends."""

    class Keys(MemoryKeys):
        async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
            found = await self.find(key_id)
            later = await super().after(key_id, limit)
            return later if found is None or not later else [found, *later][:limit]


@caught_by(KeysContract.test_keys_are_listed_in_the_order_of_their_ids)
class ListsThemAsTheyCame(Tampered):
    class Keys(MemoryKeys):
        async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
            return [each for each in self._rows.values() if each.id > key_id][:limit]


@caught_by(KeysContract.test_keys_are_listed_in_the_order_of_their_ids)
class SortsLettersBeforeDigits(Tampered):
    """A collation that both the list and its start obey."""

    class Keys(MemoryKeys):
        async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
            found = [key for key in self._rows.values() if _swapped(key.id) > _swapped(key_id)]
            return sorted(found, key=lambda key: _swapped(key.id))[:limit]


def _swapped(key_id: str) -> list[tuple[bool, str]]:
    return [(c.isdigit(), c) for c in key_id]


@caught_by(KeysContract.test_keys_are_listed_in_the_order_of_their_ids)
class IgnoresLimits(Tampered):
    class Keys(MemoryKeys):
        async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
            return await super().after(key_id, 1000)


# Replacements


@caught_by(KeysContract.test_a_key_is_replaced_by_its_next_generation)
class KeepsTheMasterKey(Tampered):
    """A column that is written only once."""

    class Keys(MemoryKeys):
        async def replace(self, former: AccessKey, new: AccessKey) -> bool:
            return await super().replace(former, replace(new, master=former.master))


@caught_by(KeysContract.test_a_key_is_replaced_by_its_next_generation)
class KeepsTheFormerSecret(Tampered):
    """COALESCE, where a column becomes NULL. The secret of two generations before is valid again."""

    class Keys(MemoryKeys):
        async def replace(self, former: AccessKey, new: AccessKey) -> bool:
            until = new.former_until or former.former_until
            return await super().replace(former, replace(new, former_until=until))


@caught_by(KeysContract.test_a_replaced_key_keeps_its_counts)
class ForgetsUses(Tampered):
    """A key that is in use looks as if nobody needed it, and a full one as if it were empty."""

    class Keys(MemoryKeys):
        async def replace(self, former: AccessKey, new: AccessKey) -> bool:
            is_replaced = await super().replace(former, new)
            if is_replaced:
                self._rows.set(new.id, replace(new, used_at=None, stored_bytes=0))
            return is_replaced


@caught_by(KeysContract.test_a_replaced_key_keeps_its_counts)
class ReplacesUses(Tampered):
    """By the time that was read before, and may be older."""

    class Keys(MemoryKeys):
        async def replace(self, former: AccessKey, new: AccessKey) -> bool:
            is_replaced = await super().replace(former, new)
            if is_replaced:
                self._rows.set(new.id, new)
            return is_replaced


@caught_by(KeysContract.test_only_the_current_generation_is_replaced)
class ReplacesAnyGeneration(Tampered):
    class Keys(MemoryKeys):
        async def replace(self, former: AccessKey, new: AccessKey) -> bool:
            current = await self.find(former.id)
            return current is not None and await super().replace(current, new)


@caught_by(KeysContract.test_only_the_current_generation_is_replaced)
class RevivesRevokedKeys(Tampered):
    """An upsert."""

    class Keys(MemoryKeys):
        async def replace(self, former: AccessKey, new: AccessKey) -> bool:
            if await self.find(former.id) is None:
                await self.add(new)
                return True
            return await super().replace(former, new)


@caught_by(KeysContract.test_only_the_current_generation_is_replaced)
class ReturnsNoRefusals(Tampered):
    """A row count that nobody reads."""

    class Keys(MemoryKeys):
        async def replace(self, former: AccessKey, new: AccessKey) -> bool:
            await super().replace(former, new)
            return True


class _Pausing(MemoryKeys):
    async def replace(self, former: AccessKey, new: AccessKey) -> bool:
        is_replaced = await super().replace(former, new)
        await asyncio.sleep(0)
        return is_replaced

    async def remove(self, key_id: str) -> bool:
        is_removed = await super().remove(key_id)
        await asyncio.sleep(0)
        return is_removed

    async def charge(self, key_id: str, size: int) -> bool:
        is_charged = await super().charge(key_id, size)
        await asyncio.sleep(0)
        return is_charged

    async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
        await super().record_use(key_ids, used_at)
        await asyncio.sleep(0)


@caught_by(KeysContract.test_a_generation_is_replaced_by_one)
class ReplacesForEach(WithoutTurns):
    """Two clients get a secret, and one of the secrets is not valid."""

    class Keys(_Pausing): ...


@caught_by(KeysContract.test_a_replacement_waits_for_the_outcome_of_another_one)
class ReplacesWithoutLocks(WithoutTurns):
    """Look, then write."""


# Removals


@caught_by(KeysContract.test_a_key_is_removed_once)
class RemovesAgain(Tampered):
    class Keys(MemoryKeys):
        async def remove(self, key_id: str) -> bool:
            await super().remove(key_id)
            return True


@caught_by(KeysContract.test_a_key_is_removed_once)
class RemovesNothing(Tampered):
    """Keys are only marked, and the mark is read by nobody."""

    class Keys(MemoryKeys):
        async def remove(self, key_id: str) -> bool:
            return await self.find(key_id) is not None


@caught_by(KeysContract.test_a_key_is_removed_by_one)
class RemovesForEach(WithoutTurns):
    class Keys(_Pausing): ...


@caught_by(KeysContract.test_a_removal_waits_for_the_outcome_of_another_one)
class RemovesWithoutLocks(WithoutTurns):
    """Look, then write."""


@caught_by(KeysContract.test_a_removed_key_does_not_come_back)
class WritesWholeRows(WithoutTurns):
    """A use of a key that is being revoked revives it."""

    class Keys(_Pausing): ...


# Quotas


@caught_by(KeysContract.test_a_key_is_charged_up_to_its_quota)
class ChargesUntilItIsFull(Tampered):
    """Looks at what is stored, and not at the size of the next blob."""

    class Keys(MemoryKeys):
        async def charge(self, key_id: str, size: int) -> bool:
            key = await self.find(key_id)
            if key is None or key.limits.quota_bytes is None or key.stored_bytes >= key.limits.quota_bytes:
                return False
            self._rows.set(key_id, replace(key, stored_bytes=key.stored_bytes + size))
            return True


@caught_by(KeysContract.test_a_key_is_charged_up_to_its_quota)
class TakesNothingForExceeding(Tampered):
    """A row count of a database that does not count rows that stay as they are."""

    class Keys(MemoryKeys):
        async def charge(self, key_id: str, size: int) -> bool:
            return size > 0 and await super().charge(key_id, size)


@caught_by(KeysContract.test_a_key_is_charged_up_to_its_quota)
class ChargesRefused(Tampered):
    class Keys(MemoryKeys):
        async def charge(self, key_id: str, size: int) -> bool:
            is_charged = await super().charge(key_id, size)
            if not is_charged and (key := await self.find(key_id)) is not None:
                self._rows.set(key_id, replace(key, stored_bytes=key.stored_bytes + size))
            return is_charged


@caught_by(KeysContract.test_no_racing_charges_exceed_a_quota)
class ChargesWithoutLocks(WithoutTurns):
    """Look, then write."""

    class Keys(_Pausing): ...


# Uses


@caught_by(KeysContract.test_uses_are_recorded)
class RecordsOneUse(Tampered):
    class Keys(MemoryKeys):
        async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
            await super().record_use(key_ids[:1], used_at)


@caught_by(KeysContract.test_uses_are_recorded)
class RecordsUsesOfAll(Tampered):
    """A WHERE that is missing."""

    class Keys(MemoryKeys):
        async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
            await super().record_use([key.id for key in self._rows.values()], used_at)


@caught_by(KeysContract.test_a_recorded_use_is_never_earlier)
class GoesBackInTime(Tampered):
    class Keys(MemoryKeys):
        async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
            for key_id in key_ids:
                if (key := await self.find(key_id)) is not None:
                    self._rows.set(key_id, replace(key, used_at=used_at))


@caught_by(KeysContract.test_a_recorded_use_is_never_earlier)
class RecordsNoFirstUse(Tampered):
    """NULL is not less than any time."""

    class Keys(MemoryKeys):
        async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
            used = [key_id for key_id in key_ids if (key := await self.find(key_id)) and key.used_at]
            await super().record_use(used, used_at)


@caught_by(KeysContract.test_uses_of_unknown_keys_are_ignored)
class MissesRevokedKeys(Tampered):
    """No use is recorded, because one of the keys was revoked."""

    class Keys(MemoryKeys):
        async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
            if None in [await self.find(key_id) for key_id in key_ids]:
                raise KeyNotFound
            await super().record_use(key_ids, used_at)


@caught_by(KeysContract.test_of_racing_uses_the_last_is_kept)
class RecordsUsesWithoutLocks(WithoutTurns):
    """Look, then write."""

    class Keys(_Pausing): ...


@caught_by(KeysContract.test_units_that_record_the_same_uses_do_not_deadlock)
class LocksInTheOrderOfTheCaller(WithoutTurns):
    def __init__(self) -> None:
        super().__init__()
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    def begin(self) -> MemoryUnitOfWork:
        work = super().begin()
        assert isinstance(work.keys, self.Keys)
        work.keys.locks = self._locks
        return work

    class Keys(MemoryKeys):
        locks: defaultdict[str, asyncio.Lock]

        async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
            held = list[asyncio.Lock]()
            try:
                for key_id in key_ids:
                    await asyncio.wait_for(self.locks[key_id].acquire(), 0.05)
                    held.append(self.locks[key_id])
                    await asyncio.sleep(0)
                await super().record_use(key_ids, used_at)
            except TimeoutError:
                raise RolledBack from None
            finally:
                for lock in held:
                    lock.release()


# Units


@caught_by(KeysContract.test_changes_are_seen_by_others_once_they_are_committed)
class RemovesAtOnce(Tampered):
    """Autocommit."""

    class Keys(MemoryKeys):
        async def remove(self, key_id: str) -> bool:
            is_removed = await super().remove(key_id)
            self._rows.apply()
            return is_removed


@caught_by(KeysContract.test_changes_are_seen_by_others_once_they_are_committed)
class RemembersKeys(Tampered):
    """A cache that nobody empties."""

    class Keys(MemoryKeys):
        def __init__(self, tables: Tables) -> None:
            super().__init__(tables)
            self._found = dict[str, AccessKey | None]()

        async def find(self, key_id: str) -> AccessKey | None:
            with suppress(KeyError):
                return self._found[key_id]
            self._found[key_id] = await super().find(key_id)
            return self._found[key_id]


@caught_by(KeysContract.test_a_unit_that_is_not_committed_changes_nothing)
class AddsAtOnce(Tampered):
    """A second connection."""

    class Keys(MemoryKeys):
        async def add(self, key: AccessKey) -> None:
            await super().add(key)
            self._rows.apply()
