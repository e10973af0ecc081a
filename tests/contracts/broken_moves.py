"""Metadata adapters that move objects wrongly on purpose, each with the case that catches it."""

import asyncio
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import timedelta

from adapters.metadata.memory.contents import MemoryContents, MemoryTrash
from adapters.metadata.memory.moves import MemoryMoves
from adapters.metadata.memory.rows import Claimed, Writing
from adapters.metadata.memory.unit_of_work import MemoryUnitOfWork
from application.ports.metadata import Garbage
from application.ports.moves import Claim, MovePage, MovePlace, StoredObject, copy_mark
from domain.blob import Location, ObjectKey, Segment
from tests.contracts.broken_contents import Tampered as TamperedContents
from tests.contracts.moves import FROM, MovesContract
from tests.contracts.proof import caught_by


class Tampered(TamperedContents):
    """The metadata in memory, with other moves."""

    Moves: type[MemoryMoves] = MemoryMoves

    def __init__(self) -> None:
        super().__init__()
        self.moves = self.Moves(self.begin()._tables, self.now)

    def begin(self) -> MemoryUnitOfWork:
        work = super().begin()
        work.moves = self.Moves(work._tables, self.now)
        return work


class WithoutTurns(Tampered):
    """Units that lock nothing, and do not wait for each other."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = _NoLock()


class _NoLock(asyncio.Lock):
    async def acquire(self) -> bool:  # type: ignore[override]
        return True

    def release(self) -> None:
        pass


@caught_by(MovesContract.test_every_object_is_listed_where_it_is)
class ListsOnePage(Tampered):
    class Moves(MemoryMoves):
        async def page(
            self, sources: Set[str], start: str, stop: str | None, after: MovePlace | None, limit: int
        ) -> MovePage:
            found = await super().page(sources, start, stop, after, limit)
            return replace(found, next=None)


@caught_by(MovesContract.test_every_object_is_listed_where_it_is)
class ListsWhatIsElsewhere(Tampered):
    class Moves(MemoryMoves):
        async def page(
            self, sources: Set[str], start: str, stop: str | None, after: MovePlace | None, limit: int
        ) -> MovePage:
            return await super().page({*sources, "s3"}, start, stop, after, limit)


@caught_by(MovesContract.test_a_page_has_an_object_once)
class ListsEachName(Tampered):
    class Moves(MemoryMoves):
        async def page(
            self, sources: Set[str], start: str, stop: str | None, after: MovePlace | None, limit: int
        ) -> MovePage:
            found = await super().page(sources, start, stop, after, limit)
            return replace(found, objects=[*found.objects, *found.objects])


@caught_by(MovesContract.test_versions_that_cannot_be_restored_are_not_listed)
class ListsAllOfTheTrash(Tampered):
    class Moves(MemoryMoves):
        def _names(self, *, restorable: bool = True) -> Iterator[tuple[str, StoredObject]]:
            return super()._names(restorable=False)


@caught_by(MovesContract.test_a_range_of_ids_limits_the_list)
class IgnoresTheEndOfTheRange(Tampered):
    class Moves(MemoryMoves):
        async def page(
            self, sources: Set[str], start: str, stop: str | None, after: MovePlace | None, limit: int
        ) -> MovePage:
            return await super().page(sources, start, None, after, limit)


@caught_by(MovesContract.test_an_object_is_claimed_once)
class ClaimsWithoutALook(Tampered):
    class Moves(MemoryMoves):
        async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
            if not await self.is_named(old):
                return Claim.GONE
            self._rows.uploads.set(new.key, Writing(new, self._now() + lease, copy_mark(old.key)))
            return Claim.CLAIMED


@caught_by(MovesContract.test_an_object_is_claimed_once)
class ReservesNothing(Tampered):
    """A crash would leave the copy for good."""

    class Moves(MemoryMoves):
        async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
            outcome = await super().claim(old, new, lease)
            self._rows.uploads.set(new.key, None)
            return outcome


@caught_by(MovesContract.test_a_claim_expires)
class ClaimsForEver(Tampered):
    class Moves(MemoryMoves):
        async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
            others = [row for row in self._rows.uploads.values() if row.part == copy_mark(old.key)]
            return Claim.BUSY if others else await super().claim(old, new, lease)


@caught_by(MovesContract.test_what_nothing_names_is_not_claimed)
class ClaimsWhatIsGone(Tampered):
    class Moves(MemoryMoves):
        async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
            self._rows.uploads.set(new.key, Writing(new, self._now() + lease, copy_mark(old.key)))
            return Claim.CLAIMED


@caught_by(MovesContract.test_of_racing_claims_one_succeeds)
class ClaimsWithoutALock(WithoutTurns):
    class Moves(MemoryMoves):
        async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
            outcome = await super().claim(old, new, lease)
            await asyncio.sleep(0)
            return outcome


@caught_by(MovesContract.test_a_switch_changes_the_place_and_nothing_else)
class ForgetsTheTrash(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            kept = dict(self._rows.trash.items())
            switched = await super().switch(old, new, grace)
            for key, row in kept.items():
                self._rows.trash.set(key, row)
            return switched


@caught_by(MovesContract.test_a_switch_changes_the_place_and_nothing_else)
class StoresAnotherVersion(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            switched = await super().switch(old, new, grace)
            for blob in self._rows.blobs.values():
                self._rows.blobs.set(blob.id, replace(blob, changed_at=self._now()))
            return switched


@caught_by(MovesContract.test_checksums_stay)
class LosesChecksums(Tampered):
    """Their text names the key of the object."""

    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            switched = await super().switch(old, new, grace)
            for blob in self._rows.blobs.values():
                if blob.location == new:
                    self._rows.blobs.set(blob.id, replace(blob, checksums=None))
            return switched


@caught_by(MovesContract.test_the_old_object_is_garbage_after_a_grace)
class DeletesUnderReaders(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            return await super().switch(old, new, timedelta(0))


@caught_by(MovesContract.test_the_old_object_is_garbage_after_a_grace)
class LeaksTheOldObject(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            switched = await super().switch(old, new, grace)
            self._rows.garbage.set(old.key, None)
            return switched


@caught_by(MovesContract.test_an_old_object_is_held_while_it_is_read)
class HoldsTheTrashOnly(Tampered):
    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            unused = self._rows.garbage.get(content)
            held = await super().hold(content, lease)
            self._rows.garbage.set(content, unused)
            return held


@caught_by(MovesContract.test_several_old_objects_are_held_while_they_are_read)
class HoldsSeveralInTheTrashOnly(Tampered):
    class Trash(MemoryTrash):
        async def hold_each(self, contents: Sequence[ObjectKey], lease: timedelta) -> bool:
            unused = [self._rows.garbage.get(content) for content in contents]
            held = await super().hold_each(contents, lease)
            for content, row in zip(contents, unused, strict=True):
                self._rows.garbage.set(content, row)
            return held


@caught_by(MovesContract.test_all_names_of_an_object_switch_together)
class SwitchesVersionsOnly(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            parts, segments = dict(self._rows.parts.items()), dict(self._rows.segments.items())
            switched = await super().switch(old, new, grace)
            for key, part in parts.items():
                self._rows.parts.set(key, part)
            for content, rows in segments.items():
                self._rows.segments.set(content, rows)
            return switched


@caught_by(MovesContract.test_the_count_of_names_goes_along)
class ForgetsTheCount(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            switched = await super().switch(old, new, grace)
            self._rows.shared.set(new.key, None)
            return switched


@caught_by(MovesContract.test_nothing_is_switched_that_has_another_name)
class SwitchesWithoutCompare(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            if not await super().switch(old, new, grace):
                self._rows.garbage.set(old.key, Claimed(Garbage(old), self._now() + grace))
            return True


@caught_by(MovesContract.test_a_list_has_the_backend_of_its_first_segment)
class KeepsTheBackendOfLists(Tampered):
    class Moves(MemoryMoves):
        def _label(self, content: ObjectKey, backend: str) -> None:
            super()._label(content, FROM)


class _Pausing(MemoryMoves):
    """Lets other units have their turn between what is read and what is written."""

    async def is_named(self, location: Location) -> bool:
        found = await super().is_named(location)
        await asyncio.sleep(0)
        return found


@caught_by(MovesContract.test_of_racing_switches_one_succeeds)
class SwitchesWithoutALock(WithoutTurns):
    class Moves(_Pausing): ...


@caught_by(MovesContract.test_a_released_segment_is_not_switched)
class SwitchesWhatIsReleased(WithoutTurns):
    class Moves(_Pausing): ...


@caught_by(MovesContract.test_of_racing_changes_all_follow_the_object)
class SwitchesTheNamesThatItSaw(WithoutTurns):
    """A copy that is made now still names the old object."""

    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            switched = await super().switch(old, new, grace)
            await asyncio.sleep(0)
            return switched


@caught_by(MovesContract.test_a_segment_is_shared_where_it_is_now)
class SharesTheSegmentThatItSaw(WithoutTurns):
    class Contents(MemoryContents):
        seen: Sequence[Segment] = ()

        async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
            self.seen = await super().segments(content, position, limit)
            return self.seen

        async def share_segment(self, content: ObjectKey, start: int) -> Segment:
            return replace(await super().share_segment(content, start), location=self.seen[0].location)


@caught_by(MovesContract.test_a_blob_that_was_replaced_meanwhile_is_not_switched)
class SwitchesByTheBlobsId(Tampered):
    class Moves(MemoryMoves):
        async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
            for blob in self._rows.blobs.values():
                self._rows.blobs.set(blob.id, replace(blob, content=replace(blob.content, location=new)))
            return True
