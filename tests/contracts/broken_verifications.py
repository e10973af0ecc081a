"""Metadata adapters whose verifications are broken on purpose, each with the case that catches it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta, timezone

from adapters.metadata.memory.rows import Tables
from adapters.metadata.memory.unit_of_work import MemoryMetadata, MemoryUnitOfWork
from adapters.metadata.memory.verifications import MemoryVerifications
from application.ports.metadata import UnitOfWork
from application.ports.verifications import Verification
from domain.errors import Unavailable
from tests.contracts.proof import caught_by
from tests.contracts.verifications import VerificationsContract


class Tampered(MemoryMetadata):
    """The metadata in memory, with another repository of verifications."""

    Verifications: type[MemoryVerifications] = MemoryVerifications

    def __init__(self) -> None:
        super().__init__()
        self.verifications = self.Verifications(Tables(self.rows))

    def begin(self) -> MemoryUnitOfWork:
        tables = Tables(self.rows)
        work = MemoryUnitOfWork(tables, self.now)
        work.verifications = self.Verifications(tables)
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


class _Altering(MemoryVerifications):
    """Stores another verification than it is given."""

    def altered(self, verification: Verification) -> Verification:
        raise NotImplementedError

    async def record(self, verification: Verification) -> None:
        await super().record(self.altered(verification))


@caught_by(VerificationsContract.test_a_verification_is_read_as_it_was_recorded)
class SwapsColumns(Tampered):
    class Verifications(_Altering):
        def altered(self, verification: Verification) -> Verification:
            return replace(verification, missing=verification.damaged, damaged=verification.missing)


@caught_by(VerificationsContract.test_a_verification_is_read_as_it_was_recorded)
class HasNumbersOf32Bits(Tampered):
    class Verifications(_Altering):
        def altered(self, verification: Verification) -> Verification:
            return replace(verification, orphans=min(verification.orphans, 2**31 - 1))


@caught_by(VerificationsContract.test_a_verification_is_read_as_it_was_recorded)
class RoundsTimes(Tampered):
    """A column of whole seconds."""

    class Verifications(_Altering):
        def altered(self, verification: Verification) -> Verification:
            return replace(verification, ended_at=verification.ended_at.replace(microsecond=0))


@caught_by(VerificationsContract.test_a_verification_is_read_as_it_was_recorded)
class ReturnsLocalTimes(Tampered):
    class Verifications(_Altering):
        def altered(self, verification: Verification) -> Verification:
            return replace(verification, begun_at=verification.begun_at.astimezone(timezone(timedelta(hours=1))))


@caught_by(VerificationsContract.test_a_verification_is_read_as_it_was_recorded)
class ReturnsNumbersForTruthValues(Tampered):
    class Verifications(_Altering):
        def altered(self, verification: Verification) -> Verification:
            return replace(verification, deep=int(verification.deep))  # type: ignore[arg-type]


@caught_by(VerificationsContract.test_a_verification_is_read_as_it_was_recorded)
class RefusesTimesThatGoBack(Tampered):
    """A CHECK of the table."""

    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            if verification.ended_at < verification.begun_at:
                raise Unavailable
            await super().record(verification)


@caught_by(VerificationsContract.test_there_is_one_of_each_storage_in_the_order_of_their_names)
class ListsThemAsTheyCame(Tampered):
    class Verifications(MemoryVerifications):
        async def last(self) -> Sequence[Verification]:
            return self._rows.values()


@caught_by(VerificationsContract.test_there_is_one_of_each_storage_in_the_order_of_their_names)
class SortsByTheAlphabet(Tampered):
    """The collation."""

    class Verifications(MemoryVerifications):
        async def last(self) -> Sequence[Verification]:
            return sorted(self._rows.values(), key=lambda each: each.storage.lower())


@caught_by(VerificationsContract.test_a_later_one_replaces_that_of_its_storage)
class KeepsTheFirst(Tampered):
    """INSERT IGNORE."""

    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            if self._rows.get(verification.storage) is None:
                await super().record(verification)


@caught_by(VerificationsContract.test_a_later_one_replaces_that_of_its_storage)
class KeepsTheNewest(Tampered):
    """A condition on the times, which are those of several clocks."""

    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            before = self._rows.get(verification.storage)
            if before is None or before.ended_at <= verification.ended_at:
                await super().record(verification)


@caught_by(VerificationsContract.test_a_later_one_replaces_that_of_its_storage)
class IgnoresCase(Tampered):
    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            for name in [each.storage for each in self._rows.values()]:
                if name.lower() == verification.storage.lower():
                    self._rows.set(name, None)
            await super().record(verification)


@caught_by(VerificationsContract.test_a_unit_records_several)
class RecordsOnceInAUnit(Tampered):
    """Writes that wait for the commit, each in place of the one before."""

    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            self._rows._changed.clear()
            await super().record(verification)


@caught_by(VerificationsContract.test_of_racing_ones_one_is_left)
class FailsInARace(WithoutTurns):
    """An INSERT after a look."""

    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            is_new = self._rows.get(verification.storage) is None
            await asyncio.sleep(0)
            if is_new and verification.storage in self._rows._committed:
                raise Unavailable
            await super().record(verification)


@caught_by(VerificationsContract.test_the_last_commit_counts)
class LocksNothing(WithoutTurns):
    """The first commit counts, or the last, as it happens."""


@caught_by(VerificationsContract.test_changes_are_seen_by_others_once_they_are_committed)
class RecordsAtOnce(Tampered):
    """Autocommit."""

    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            await super().record(verification)
            self._rows.apply()


@caught_by(VerificationsContract.test_a_unit_that_is_not_committed_changes_nothing)
class RecordsInAnotherTransaction(Tampered):
    """A second connection."""

    class Verifications(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            self._rows._committed[verification.storage] = verification
