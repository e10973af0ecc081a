"""Metadata adapters whose buckets are broken on purpose, each with the case that catches it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.metadata.memory.buckets import MemoryBuckets
from adapters.metadata.memory.rows import Tables
from adapters.metadata.memory.unit_of_work import MemoryMetadata, MemoryUnitOfWork
from application.ports.metadata import UnitOfWork
from domain.buckets import DEFAULTS, Bucket
from tests.contracts.buckets import BucketsContract
from tests.contracts.proof import caught_by


class Tampered(MemoryMetadata):
    """The metadata in memory, with another repository of buckets."""

    Buckets: type[MemoryBuckets] = MemoryBuckets

    def __init__(self) -> None:
        super().__init__()
        self.buckets = self.Buckets(Tables(self.rows), self.now)

    def begin(self) -> MemoryUnitOfWork:
        tables = Tables(self.rows)
        work = MemoryUnitOfWork(tables, self.now)
        work.buckets = self.Buckets(tables, self.now)
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


class _Altering(MemoryBuckets):
    """Stores another bucket than it returns."""

    def altered(self, bucket: Bucket) -> Bucket:
        raise NotImplementedError

    async def add(self, bucket: Bucket) -> Bucket | None:
        added = await super().add(bucket)
        if added is not None:
            self._rows.set(bucket.name, self.altered(added))
        return added


# Values


@caught_by(BucketsContract.test_a_bucket_is_found_as_it_was_added)
class CutsLongPrefixes(Tampered):
    """VARCHAR(2048) of bytes that is one short. A bucket that shows more blobs than it was made for."""

    class Buckets(_Altering):
        def altered(self, bucket: Bucket) -> Bucket:
            return replace(bucket, prefix=bucket.prefix[:2047])


@caught_by(BucketsContract.test_a_bucket_is_found_as_it_was_added)
class StripsPrefixes(Tampered):
    class Buckets(_Altering):
        def altered(self, bucket: Bucket) -> Bucket:
            return replace(bucket, prefix=bucket.prefix.strip())


@caught_by(BucketsContract.test_a_bucket_is_found_as_it_was_added)
class StoresNoOwner(Tampered):
    """A column that no statement writes."""

    class Buckets(_Altering):
        def altered(self, bucket: Bucket) -> Bucket:
            return replace(bucket, owner="")


@caught_by(BucketsContract.test_a_bucket_is_found_as_it_was_added)
class RoundsTimes(Tampered):
    """A column of whole seconds."""

    class Buckets(_Altering):
        def altered(self, bucket: Bucket) -> Bucket:
            return replace(bucket, created_at=bucket.created_at.replace(microsecond=0))


@caught_by(BucketsContract.test_a_bucket_is_found_as_it_was_added)
class KeepsTheTimeOfTheCaller(Tampered):
    """The clock of the replica."""

    class Buckets(MemoryBuckets):
        async def add(self, bucket: Bucket) -> Bucket | None:
            self._rows.set(bucket.name, bucket)
            return bucket


@caught_by(BucketsContract.test_names_are_compared_exactly)
class IgnoresCase(Tampered):
    """The collation."""

    class Buckets(MemoryBuckets):
        async def find(self, name: str) -> Bucket | None:
            return await super().find(name.lower())


@caught_by(BucketsContract.test_names_are_compared_exactly)
class IgnoresSpacesAtTheEnd(Tampered):
    """The collation again."""

    class Buckets(MemoryBuckets):
        async def remove(self, name: str) -> bool:
            return await super().remove(name.rstrip())


# Lists


class _Listing(MemoryBuckets):
    """Lists all buckets in another order."""

    def order(self, bucket: Bucket) -> object:
        raise NotImplementedError

    async def list(self, after: str, limit: int) -> Sequence[Bucket]:
        return sorted(await super().list(after, 1000), key=self.order)[:limit]  # type: ignore[arg-type]


@caught_by(BucketsContract.test_buckets_are_listed_in_the_order_of_their_names)
class ListsByTheLocale(Tampered):
    """A collation for which hyphens and dots have no weight."""

    class Buckets(_Listing):
        def order(self, bucket: Bucket) -> object:
            return bucket.name.replace("-", "").replace(".", "")


@caught_by(BucketsContract.test_buckets_are_listed_in_the_order_of_their_names)
class ListsByTime(Tampered):
    class Buckets(_Listing):
        def order(self, bucket: Bucket) -> object:
            return bucket.created_at


@caught_by(BucketsContract.test_buckets_are_listed_in_the_order_of_their_names)
class ListsTheFirstAgain(Tampered):
    """At or after, in place of after. A list never ends."""

    class Buckets(MemoryBuckets):
        async def list(self, after: str, limit: int) -> Sequence[Bucket]:
            found = await self.find(after)
            return [*([found] if found else []), *await super().list(after, limit)][:limit]


# Additions


@caught_by(BucketsContract.test_a_name_is_added_once)
class ReplacesBuckets(Tampered):
    """An upsert. Anybody takes over the bucket of another one."""

    class Buckets(MemoryBuckets):
        async def add(self, bucket: Bucket) -> Bucket | None:
            self._rows.set(bucket.name, None)
            return await super().add(bucket)


@caught_by(BucketsContract.test_a_name_is_added_once)
class ReturnsTheOneThatIsThere(Tampered):
    """Nobody learns that the bucket is that of another one."""

    class Buckets(MemoryBuckets):
        async def add(self, bucket: Bucket) -> Bucket | None:
            return await super().add(bucket) or await self.find(bucket.name)


class _Pausing(MemoryBuckets):
    async def add(self, bucket: Bucket) -> Bucket | None:
        added = await super().add(bucket)
        await asyncio.sleep(0)
        return added

    async def remove(self, name: str) -> bool:
        is_removed = await super().remove(name)
        await asyncio.sleep(0)
        return is_removed


@caught_by(BucketsContract.test_a_bucket_is_added_by_one)
class AddsForEach(WithoutTurns):
    """Look, then write."""

    class Buckets(_Pausing): ...


@caught_by(BucketsContract.test_an_addition_waits_for_the_outcome_of_another_one)
class AddsWithoutWaiting(WithoutTurns):
    """Look, then write, again."""


@caught_by(BucketsContract.test_an_addition_waits_for_the_outcome_of_another_one)
class RemembersNames(Tampered):
    """A lock by name that no rollback frees."""

    class Buckets(MemoryBuckets):
        async def add(self, bucket: Bucket) -> Bucket | None:
            added = await super().add(bucket)
            self._rows.apply()
            return added


# Settings


@caught_by(BucketsContract.test_settings_are_found_as_they_were_set)
class TakesZeroSecondsForNone(Tampered):
    class Buckets(MemoryBuckets):
        async def replace(self, bucket: Bucket) -> bool:
            rules = tuple(replace(rule, max_age=rule.max_age or None) for rule in bucket.settings.cors)
            return await super().replace(replace(bucket, settings=replace(bucket.settings, cors=rules)))


@caught_by(BucketsContract.test_settings_are_found_as_they_were_set)
class AddsWithoutSettings(Tampered):
    """A column that INSERT does not name."""

    class Buckets(_Altering):
        def altered(self, bucket: Bucket) -> Bucket:
            return replace(bucket, settings=DEFAULTS)


@caught_by(BucketsContract.test_settings_are_found_as_they_were_set)
class KeepsSettings(Tampered):
    """An UPDATE of the settings that differ from the defaults. A public bucket stays public."""

    class Buckets(MemoryBuckets):
        async def replace(self, bucket: Bucket) -> bool:
            return bucket.settings == DEFAULTS or await super().replace(bucket)


@caught_by(BucketsContract.test_settings_are_found_as_they_were_set)
class CountsChangedRows(Tampered):
    """MariaDB without FOUND_ROWS."""

    class Buckets(MemoryBuckets):
        async def replace(self, bucket: Bucket) -> bool:
            current = await self.find(bucket.name)
            return await super().replace(bucket) and current is not None and current.settings != bucket.settings


@caught_by(BucketsContract.test_only_the_settings_of_one_bucket_are_replaced)
class ReplacesAll(Tampered):
    """The whole row. A bucket gets the blobs of another prefix."""

    class Buckets(MemoryBuckets):
        async def replace(self, bucket: Bucket) -> bool:
            is_there = await super().replace(bucket)
            if is_there:
                self._rows.set(bucket.name, bucket)
            return is_there


@caught_by(BucketsContract.test_only_the_settings_of_one_bucket_are_replaced)
class ReplacesWhatIsNotThere(Tampered):
    """An upsert again."""

    class Buckets(MemoryBuckets):
        async def replace(self, bucket: Bucket) -> bool:
            self._rows.set(bucket.name, bucket)
            return True


@caught_by(BucketsContract.test_no_change_of_settings_is_lost)
class LocksNothing(WithoutTurns):
    """A SELECT without FOR UPDATE."""


@caught_by(BucketsContract.test_a_lock_waits_for_the_outcome_of_a_removal)
class LocksWithoutWaiting(WithoutTurns):
    """SKIP LOCKED, or a snapshot."""


@caught_by(BucketsContract.test_a_replacement_waits_for_the_outcome_of_a_removal)
class ReplacesWithoutWaiting(WithoutTurns):
    """Look, then write."""


@caught_by(BucketsContract.test_a_unit_that_is_not_committed_changes_nothing)
class ReplacesAtOnce(Tampered):
    """A second connection for settings."""

    class Buckets(MemoryBuckets):
        async def replace(self, bucket: Bucket) -> bool:
            is_there = await super().replace(bucket)
            self._rows.apply()
            return is_there


# Removals


@caught_by(BucketsContract.test_a_bucket_is_removed_once)
class RemovesWithoutLooking(Tampered):
    """True for any name."""

    class Buckets(MemoryBuckets):
        async def remove(self, name: str) -> bool:
            await super().remove(name)
            return True


@caught_by(BucketsContract.test_a_bucket_is_removed_once)
class RemovesNothing(Tampered):
    class Buckets(MemoryBuckets):
        async def remove(self, name: str) -> bool:
            return await self.find(name) is not None


@caught_by(BucketsContract.test_a_bucket_is_removed_by_one)
class RemovesForEach(WithoutTurns):
    class Buckets(_Pausing): ...


@caught_by(BucketsContract.test_a_removal_waits_for_the_outcome_of_another_one)
class RemovesWithoutLocks(WithoutTurns):
    """Look, then write."""


@caught_by(BucketsContract.test_a_removed_name_can_be_added_again)
class MarksRemoved(Tampered):
    """Rows that are only marked. Their names stay in use."""

    class Buckets(MemoryBuckets):
        async def add(self, bucket: Bucket) -> Bucket | None:
            return None if bucket.name in self._rows._changed else await super().add(bucket)


# Units


@caught_by(BucketsContract.test_changes_are_seen_by_others_once_they_are_committed)
class RemovesAtOnce(Tampered):
    """Autocommit."""

    class Buckets(MemoryBuckets):
        async def remove(self, name: str) -> bool:
            is_removed = await super().remove(name)
            self._rows.apply()
            return is_removed


@caught_by(BucketsContract.test_a_unit_that_is_not_committed_changes_nothing)
class AddsAtOnce(Tampered):
    """A second connection."""

    class Buckets(MemoryBuckets):
        async def add(self, bucket: Bucket) -> Bucket | None:
            added = await super().add(bucket)
            self._rows.apply()
            return added


@caught_by(BucketsContract.test_a_bucket_is_found_as_it_was_added)
class TakesAnEmptyPrefixForNone(Tampered):
    """A bucket of all blobs becomes one of those below its name."""

    class Buckets(_Altering):
        def altered(self, bucket: Bucket) -> Bucket:
            return replace(bucket, prefix=bucket.prefix or f"{bucket.name}/")
