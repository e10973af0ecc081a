"""Metadata adapters whose contents, trash or uploads are broken on purpose, each with the case that catches it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from adapters.metadata.memory.changes import due
from adapters.metadata.memory.contents import MemoryCommits, MemoryContents, MemoryMultipart, MemoryTrash
from adapters.metadata.memory.rows import Claimed, InTrash, Tables
from adapters.metadata.memory.unit_of_work import MemoryMetadata, MemoryUnitOfWork, _Blobs
from application.ports.contents import DigestJob, MultipartUpload, Part, Trashed
from application.ports.metadata import Garbage, Published, UnitOfWork
from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey, Segment
from domain.checksums import Checksums
from domain.errors import InvalidId, RolledBack
from domain.precondition import ANY, CREATE_ONLY, Precondition
from tests.contracts.contents import (
    ChecksumsContract,
    CommitsContract,
    MovableClock,
    MultipartContract,
    SegmentsContract,
    SharingContract,
    TrashContract,
    UnitsContract,
    VersionsContract,
)
from tests.contracts.proof import caught_by

NOW = timedelta(0)
LONG = timedelta(hours=1)


class Tampered(MemoryMetadata):
    """The metadata in memory, with other repositories."""

    Blobs: type[_Blobs] = _Blobs
    Trash: type[MemoryTrash] = MemoryTrash
    Contents: type[MemoryContents] = MemoryContents
    Multipart: type[MemoryMultipart] = MemoryMultipart
    Commits: type[MemoryCommits] = MemoryCommits

    def __init__(self) -> None:
        super().__init__(MovableClock())
        tables = Tables(self.rows)
        self.blobs = self.Blobs(tables, self.now)
        self.trash = self.Trash(tables, self.now)
        self.contents = self.Contents(tables, self.now)
        self.multipart = self.Multipart(tables, self.now)

    def begin(self) -> MemoryUnitOfWork:
        tables = Tables(self.rows)
        work = MemoryUnitOfWork(tables, self.now)
        work.blobs = self.Blobs(tables, self.now)
        work.trash = self.Trash(tables, self.now)
        work.contents = self.Contents(tables, self.now)
        work.multipart = self.Multipart(tables, self.now)
        work.commits = self.Commits(tables, self.now)
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


# Properties and expiry


class _Altering(_Blobs):
    """Stores another version than it returns."""

    def altered(self, blob: Blob, former: Blob | None) -> Blob:
        raise NotImplementedError

    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        published = await super().put(draft, precondition)
        self._rows.set(draft.id, self.altered(published.blob, published.former))
        return published


@caught_by(VersionsContract.test_all_properties_are_kept)
class LosesLanguages(Tampered):
    """A column that no statement writes."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            return replace(blob, properties=replace(blob.properties, content_language=""))


@caught_by(VersionsContract.test_all_properties_are_kept)
class LosesTags(Tampered):
    """A list of the rare properties that lacks one."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            return replace(blob, properties=replace(blob.properties, tags={}))


@caught_by(VersionsContract.test_all_properties_are_kept)
class CutsLongMetadata(Tampered):
    """VARCHAR(1000)."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            metadata = {name: value[:1000] for name, value in blob.properties.metadata.items()}
            return replace(blob, properties=replace(blob.properties, metadata=metadata))


@caught_by(VersionsContract.test_all_properties_are_kept)
class LosesCharactersBeyond16Bits(Tampered):
    """UTF-8 of three bytes only."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            disposition = "".join(c if c < "\U00010000" else "?" for c in blob.properties.content_disposition)
            return replace(blob, properties=replace(blob.properties, content_disposition=disposition))


@caught_by(VersionsContract.test_no_property_of_a_replaced_version_remains)
class KeepsFormerProperties(Tampered):
    """COALESCE, where a column becomes NULL."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            metadata = blob.properties.metadata or (former.properties.metadata if former else {})
            return replace(blob, properties=replace(blob.properties, metadata=metadata))


@caught_by(VersionsContract.test_no_property_of_a_replaced_version_remains)
class KeepsFormerExpiry(Tampered):
    """COALESCE again."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            return replace(blob, expires_at=blob.expires_at or (former.expires_at if former else None))


@caught_by(VersionsContract.test_a_blob_expires_some_time_after_its_publication)
class StoresNoExpiryOfReplacements(Tampered):
    """An expiry that depends on the time of the publication, and is computed for new rows only."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            return blob if former is None else replace(blob, expires_at=None)


@caught_by(VersionsContract.test_a_blob_expires_some_time_after_its_publication)
class CountsFromAnEarlierTime(Tampered):
    """The time to live counts from when the client began."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            if draft.expires_in is not None:
                at = self._now() - timedelta(seconds=1) + draft.expires_in
                draft = replace(draft, expires_in=None, expires_at=at)
            return await super().put(draft, precondition)


@caught_by(VersionsContract.test_a_blob_may_expire_at_once)
class TakesNoTimeForNever(Tampered):
    """A truth value of a duration."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            return await super().put(replace(draft, expires_in=draft.expires_in or None), precondition)


@caught_by(VersionsContract.test_a_blob_expires_at_a_time)
class FindsExpired(Tampered):
    """Blobs are there until maintenance removes them."""

    class Blobs(_Blobs):
        async def find(self, blob_id: BlobId) -> Blob | None:
            return self._stored(blob_id)


@caught_by(VersionsContract.test_an_expired_blob_is_not_found)
class ListsExpired(Tampered):
    class Blobs(_Blobs):
        async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
            return [replace(blob, read_at=None) for blob in self._between(start, stop)][:limit]


@caught_by(VersionsContract.test_an_expired_blob_is_not_found)
class SkipsExpiredAfterTheLimit(Tampered):
    """A filter of the page, in place of the statement."""

    class Blobs(_Blobs):
        async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
            page = self._between(start, stop)[:limit]
            return [replace(blob, read_at=None) for blob in page if not blob.has_expired]


@caught_by(VersionsContract.test_an_expired_blob_is_not_found)
class CountsExpired(Tampered):
    class Blobs(_Blobs):
        async def count(self, start: str, stop: str | None, limit: int) -> int:
            return len(self._between(start, stop)[:limit])


@caught_by(VersionsContract.test_an_expired_blob_is_not_found)
class RemovesExpired(Tampered):
    class Blobs(_Blobs):
        async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            found = self._stored(blob_id)
            if found is None:
                return await super().remove(blob_id, precondition)
            self._rows.set(blob_id, None)
            return found


@caught_by(VersionsContract.test_an_expired_blob_is_not_found)
class HidesExpiredFromVerification(Tampered):
    """Objects of expired blobs would be taken for orphans."""

    class Blobs(_Blobs):
        async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
            found = await super().by_content(after, limit)
            return [blob for blob in found if await self.find(blob.id) is not None]


@caught_by(VersionsContract.test_an_expired_blob_is_replaced_as_if_it_were_absent)
class RefusesIdsOfExpired(Tampered):
    """The unique constraint counts rows."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            precondition.check(draft.id, self._rows.get(draft.id))
            return await super().put(draft, precondition)


@caught_by(VersionsContract.test_an_expired_blob_is_replaced_as_if_it_were_absent)
class ForgetsExpiredContents(Tampered):
    """Nobody deletes the object of the row that was taken."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            published = await super().put(draft, precondition)
            return Published(published.blob, published.replaced)


@caught_by(VersionsContract.test_an_expired_blob_is_replaced_by_one_of_many_creators)
class ReplacesExpiredForEach(WithoutTurns):
    """A look before the write."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            published = await super().put(draft, precondition)
            await asyncio.sleep(0)
            return published


@caught_by(VersionsContract.test_a_version_that_continues_another_keeps_its_time)
class ForgetsCreation(Tampered):
    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            return replace(blob, created_at=blob.current_since, changed_at=None)


@caught_by(VersionsContract.test_a_version_that_continues_another_keeps_its_time)
class ForgetsChanges(Tampered):
    """A version would look as old as the one before."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            return replace(blob, changed_at=None)


@caught_by(VersionsContract.test_a_version_that_continues_another_keeps_its_time)
class KeepsFormerChanges(Tampered):
    """`changed_at` is not set to NULL by new bytes."""

    class Blobs(_Altering):
        def altered(self, blob: Blob, former: Blob | None) -> Blob:
            return replace(blob, changed_at=blob.changed_at or (former.changed_at if former else None))


@caught_by(VersionsContract.test_blobs_are_counted_up_to_a_limit)
class CountsAll(Tampered):
    """COUNT(*) with a LIMIT, which limits the rows of the result: one."""

    class Blobs(_Blobs):
        async def count(self, start: str, stop: str | None, limit: int) -> int:
            return len(self._between(start, stop))


# Locks


@caught_by(VersionsContract.test_a_locked_blob_is_returned)
class LocksAnyVersion(Tampered):
    class Blobs(_Blobs):
        async def lock(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            return await super().lock(blob_id, ANY)


@caught_by(VersionsContract.test_a_locked_blob_is_changed_by_no_other_unit)
class LocksNothing(WithoutTurns):
    """A SELECT that lacks FOR UPDATE."""


@caught_by(VersionsContract.test_blobs_are_locked_in_pages)
class LocksAll(Tampered):
    class Blobs(_Blobs):
        async def lock_between(self, start: str, stop: str | None, limit: int) -> Sequence[BlobId]:
            return await super().lock_between(start, stop, 1000)


@caught_by(VersionsContract.test_each_blob_that_exists_is_locked)
class LocksInTheOrderOfTheCaller(Tampered):
    """Returns them in that order, each as often as it is named."""

    class Blobs(_Blobs):
        async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
            return [blob for blob_id in ids if (blob := await self.find(blob_id)) is not None]


@caught_by(VersionsContract.test_each_blob_that_exists_is_locked)
class LocksExpired(Tampered):
    class Blobs(_Blobs):
        async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
            found = [self._stored(blob_id) for blob_id in sorted({*ids}, key=lambda blob_id: blob_id.value)]
            return [blob for blob in found if blob is not None]


@caught_by(VersionsContract.test_each_blob_that_exists_is_locked)
class LocksByALooseCollation(Tampered):
    class Blobs(_Blobs):
        async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
            return await super().lock_each([BlobId(blob_id.value.strip().lower()) for blob_id in ids])


@caught_by(VersionsContract.test_a_thousand_blobs_are_locked)
class LocksAPage(Tampered):
    """As many as a statement takes, and no more."""

    class Blobs(_Blobs):
        async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
            return (await super().lock_each(ids))[:999]


@caught_by(VersionsContract.test_blobs_are_locked_in_one_order)
class WaitsInACircle(Tampered):
    """Locks rows in the order of the caller. One of the units that wait for each other is rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.locks = defaultdict[BlobId, asyncio.Lock](asyncio.Lock)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        locks, own = self.locks, list[asyncio.Lock]()

        class Blobs(_Blobs):
            async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
                for blob_id in ids:
                    async with asyncio.timeout(0.1):
                        await locks[blob_id].acquire()
                    own.append(locks[blob_id])
                    await asyncio.sleep(0)
                return await super().lock_each(ids)

        work = self.begin()
        work.blobs = Blobs(work._tables, self.now)
        try:
            yield work
        except TimeoutError as error:
            raise RolledBack from error
        finally:
            for lock in own:
                lock.release()


# Moves


class _Moving(_Blobs):
    """Moves blobs one after another."""

    def renamed(self, blob_id: str, from_prefix: str, to_prefix: str) -> str:
        return to_prefix + blob_id.removeprefix(from_prefix)

    async def move_between(self, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
        moved = await self.between(start, stop, 100_000)
        for blob in moved:
            self._rows.set(blob.id, None)
        for blob in moved:
            await self.move(blob, BlobId(self.renamed(blob.id.value, from_prefix, to_prefix)))
        return len(moved)

    async def move(self, blob: Blob, target: BlobId) -> None:
        await self.put(replace(blob.draft(), id=target), CREATE_ONLY)


@caught_by(VersionsContract.test_ids_are_moved)
class SkipsBytesOfAPrefix(Tampered):
    """The length in bytes, with a function that counts characters."""

    class Blobs(_Moving):
        def renamed(self, blob_id: str, from_prefix: str, to_prefix: str) -> str:
            return to_prefix + blob_id[len(from_prefix.encode()) :]


@caught_by(VersionsContract.test_ids_are_moved)
class ReplacesEachOccurrence(Tampered):
    """REPLACE(id, ...)."""

    class Blobs(_Moving):
        def renamed(self, blob_id: str, from_prefix: str, to_prefix: str) -> str:
            return blob_id.replace(from_prefix, to_prefix) if from_prefix else to_prefix + blob_id


@caught_by(VersionsContract.test_ids_are_moved)
class MovesOneByOne(Tampered):
    """A target may be the id of a blob that is moved later."""

    class Blobs(_Moving):
        async def move_between(self, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
            moved = await self.between(start, stop, 100_000)
            for blob in moved:
                self._rows.set(blob.id, None)
                await self.move(blob, BlobId(self.renamed(blob.id.value, from_prefix, to_prefix)))
            return len(moved)


@caught_by(VersionsContract.test_ids_are_moved)
class CreatesMovedAgain(Tampered):
    class Blobs(_Moving):
        async def move(self, blob: Blob, target: BlobId) -> None:
            await self.put(replace(blob.draft(), id=target, created_at=None), CREATE_ONLY)


@caught_by(VersionsContract.test_ids_are_moved)
class LosesExpiryOfMoved(Tampered):
    class Blobs(_Moving):
        async def move(self, blob: Blob, target: BlobId) -> None:
            await self.put(replace(blob.draft(), id=target, expires_at=None), CREATE_ONLY)


@caught_by(VersionsContract.test_a_blob_that_moves_to_the_id_of_a_moved_one_has_another_date)
class DatesMovedAsNew(Tampered):
    class Blobs(_Moving): ...


@caught_by(VersionsContract.test_a_move_of_nothing)
class RefusesLongPrefixes(Tampered):
    """The length of the prefix says nothing about that of the ids."""

    class Blobs(_Blobs):
        async def move_between(self, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
            if len(to_prefix) >= 2048:
                raise InvalidId
            return await super().move_between(start, stop, from_prefix, to_prefix)


@caught_by(VersionsContract.test_two_thousand_blobs_are_moved)
class MovesAPage(Tampered):
    class Blobs(_Blobs):
        async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
            return await super().between(start, stop, limit if limit == 100_000 else min(limit, 1000))


@caught_by(VersionsContract.test_a_move_to_an_id_in_use_changes_nothing)
class OverwritesTargets(Tampered):
    class Blobs(_Moving):
        async def move(self, blob: Blob, target: BlobId) -> None:
            await self.put(replace(blob.draft(), id=target), ANY)


@caught_by(VersionsContract.test_a_move_to_an_id_in_use_changes_nothing)
class MovesBeforeItRefuses(Tampered):
    """The caller may commit what it did before."""

    class Blobs(_Moving): ...


@caught_by(VersionsContract.test_a_move_to_an_invalid_id_changes_nothing)
class MovesBeforeItLooksAtSizes(Tampered):
    class Blobs(_Moving): ...


@caught_by(VersionsContract.test_expired_blobs_at_the_targets_of_a_move_are_found)
class FindsAllThatHaveExpired(Tampered):
    class Blobs(_Blobs):
        async def lock_expired_targets(
            self, start: str, stop: str | None, from_prefix: str, to_prefix: str
        ) -> Sequence[BlobId]:
            return [each.id for each in self._between("", None) if each.has_expired]


@caught_by(VersionsContract.test_expired_blobs_at_the_targets_of_a_move_are_found)
class FindsCurrentTargets(Tampered):
    class Blobs(_Blobs):
        async def lock_expired_targets(
            self, start: str, stop: str | None, from_prefix: str, to_prefix: str
        ) -> Sequence[BlobId]:
            moved = {to_prefix + each.id.value.removeprefix(from_prefix) for each in self._between(start, stop)}
            return [each.id for each in self._between("", None) if each.id.value in moved]


@caught_by(VersionsContract.test_expired_blobs_are_not_moved)
class MovesExpired(Tampered):
    class Blobs(_Moving):
        async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
            if limit == 100_000:
                return self._between(start, stop)
            return await super().between(start, stop, limit)


@caught_by(VersionsContract.test_expired_blobs_are_not_moved)
class TakesIdsOfExpired(Tampered):
    """The contents of the targets are in no row any more."""

    class Blobs(_Moving): ...


@caught_by(VersionsContract.test_of_racing_moves_and_puts_each_blob_has_one_id)
class MovesWithoutLocks(WithoutTurns):
    class Blobs(_Moving):
        async def move(self, blob: Blob, target: BlobId) -> None:
            await super().move(blob, target)
            await asyncio.sleep(0)


# Checksums


class _AlteringChecksums(_Altering):
    """Stores other checksums than those of the version."""

    def checksums(self, blob: Blob, former: Blob | None) -> Checksums | None:
        raise NotImplementedError

    def altered(self, blob: Blob, former: Blob | None) -> Blob:
        return replace(blob, checksums=self.checksums(blob, former))


@caught_by(ChecksumsContract.test_checksums_are_read_as_they_were_put)
class LosesChecksums(Tampered):
    """A column that no statement writes."""

    class Blobs(_AlteringChecksums):
        def checksums(self, blob: Blob, former: Blob | None) -> Checksums | None:
            return None


@caught_by(ChecksumsContract.test_checksums_are_read_as_they_were_put)
class KeepsTheMd5Only(Tampered):
    class Blobs(_AlteringChecksums):
        def checksums(self, blob: Blob, former: Blob | None) -> Checksums | None:
            return blob.checksums and Checksums(blob.checksums.md5, blob.checksums.parts)


@caught_by(ChecksumsContract.test_checksums_are_read_as_they_were_put)
class TakesAllForWhole(Tampered):
    """A checksum of checksums is taken for that of all bytes, so each client sees damage."""

    class Blobs(_AlteringChecksums):
        def checksums(self, blob: Blob, former: Blob | None) -> Checksums | None:
            return blob.checksums and replace(blob.checksums, is_composite=False)


@caught_by(ChecksumsContract.test_no_checksums_of_a_replaced_version_remain)
class KeepsFormerChecksums(Tampered):
    """COALESCE, where a column becomes NULL."""

    class Blobs(_AlteringChecksums):
        def checksums(self, blob: Blob, former: Blob | None) -> Checksums | None:
            return blob.checksums or (former.checksums if former else None)


@caught_by(ChecksumsContract.test_checksums_go_with_a_version)
class TrashesNoChecksums(Tampered):
    """A column that the trash lacks."""

    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(replace(blob, checksums=None), retention, grace)


@caught_by(ChecksumsContract.test_checksums_go_with_a_version)
class MovesNoChecksums(Tampered):
    class Blobs(_Moving):
        async def move(self, blob: Blob, target: BlobId) -> None:
            await self.put(replace(blob.draft(), id=target, checksums=None), CREATE_ONLY)


@caught_by(ChecksumsContract.test_segments_keep_their_checksums)
class LosesChecksumsOfSegments(Tampered):
    class Contents(MemoryContents):
        async def add(self, content: ObjectKey, segments: Sequence[Segment]) -> None:
            await super().add(content, [replace(each, checksums=None) for each in segments])


@caught_by(ChecksumsContract.test_segments_keep_their_checksums)
class LosesChecksumsWithTheDigest(Tampered):
    """Rows that are written again once their digests are known."""

    class Contents(MemoryContents):
        async def set_digest(self, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
            await super().set_digest(content, digest, again_after)
            for blob in self._rows.blobs.values():
                self._rows.blobs.set(blob.id, replace(blob, checksums=None))


@caught_by(ChecksumsContract.test_parts_keep_their_checksums)
class KeepsChecksumsOfTheFirst(Tampered):
    """An UPDATE that lacks a column."""

    class Multipart(MemoryMultipart):
        async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
            former = self._rows.parts.get((key, part.number))
            return await super().put_part(key, replace(part, checksums=former.checksums) if former else part)


@caught_by(ChecksumsContract.test_a_part_has_the_time_at_which_it_was_added)
class KeepsTheTimeOfTheFirst(Tampered):
    """A default, which only an INSERT sets."""

    class Multipart(MemoryMultipart):
        async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
            former = await super().put_part(key, part)
            if former is not None:
                self._rows.parts.set((key, part.number), replace(part, written_at=former.written_at))
            return former


@caught_by(ChecksumsContract.test_a_part_has_the_time_at_which_it_was_added)
class KeepsTheTimeOfTheCaller(Tampered):
    """The clock of the replica."""

    class Multipart(MemoryMultipart):
        async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
            former = await super().put_part(key, part)
            self._rows.parts.set((key, part.number), part)
            return former


# The trash


@caught_by(TrashContract.test_a_version_in_the_trash_is_found_as_it_was)
class ForgetsTimesOfTrash(Tampered):
    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(replace(blob, created_at=blob.current_since, changed_at=None), retention, grace)


@caught_by(TrashContract.test_a_version_in_the_trash_is_found_as_it_was)
class LosesExpiryOfTrash(Tampered):
    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(replace(blob, expires_at=None), retention, grace)


@caught_by(TrashContract.test_versions_in_the_trash_are_listed_by_their_ids_and_keys)
class ListsTrashByKeys(Tampered):
    class Trash(MemoryTrash):
        async def between(self, start: str, after: int, stop: str | None, limit: int) -> Sequence[Trashed]:
            found = await super().between(start, after, stop, 1000)
            return sorted(found, key=lambda each: each.key)[:limit]


@caught_by(TrashContract.test_versions_in_the_trash_are_listed_by_their_ids_and_keys)
class SkipsKeysOfLaterIds(Tampered):
    """`id >= start AND key > after`."""

    class Trash(MemoryTrash):
        async def between(self, start: str, after: int, stop: str | None, limit: int) -> Sequence[Trashed]:
            found = await super().between(start, after, stop, 1000)
            return [each for each in found if each.key > after][:limit]


@caught_by(TrashContract.test_versions_in_the_trash_are_listed_by_their_ids_and_keys)
class SkipsFurtherVersions(Tampered):
    """A cursor that has the id only."""

    class Trash(MemoryTrash):
        async def between(self, start: str, after: int, stop: str | None, limit: int) -> Sequence[Trashed]:
            return await super().between(start, 2**62 if after else 0, stop, limit)


class _Pausing(MemoryTrash):
    """Lets other units have their turn after each change."""

    async def remove(self, key: int) -> Trashed | None:
        found = await super().remove(key)
        await asyncio.sleep(0)
        return found

    async def release(self, limit: int) -> int:
        released = await super().release(limit)
        await asyncio.sleep(0)
        return released

    async def move_expired(self, limit: int, grace: timedelta) -> int:
        moved = await super().move_expired(limit, grace)
        await asyncio.sleep(0)
        return moved


@caught_by(TrashContract.test_a_version_is_taken_by_one)
class RestoresForEach(WithoutTurns):
    """A row count that nobody reads."""

    class Trash(_Pausing): ...


@caught_by(TrashContract.test_a_taken_version_waits_for_the_outcome_of_others)
class RestoresWithoutALock(WithoutTurns):
    """A SELECT that lacks FOR UPDATE."""


@caught_by(TrashContract.test_a_version_can_be_restored_for_its_retention)
class RestoresWhileItIsThere(Tampered):
    """Rows outlive the retention by the grace."""

    class Trash(MemoryTrash):
        def _is_kept(self, row: InTrash) -> bool:
            return True


@caught_by(TrashContract.test_a_version_that_expires_is_not_restored)
class RestoresExpired(Tampered):
    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(blob, retention, grace)
            row = max(self._rows.trash.values(), key=lambda row: row.version.key)
            version = replace(row.version, retained_until=self._now() + retention)
            self._rows.trash.set(version.key, replace(row, version=version))


@caught_by(TrashContract.test_a_content_is_kept_for_the_retention_and_the_grace)
class IgnoresTheGrace(Tampered):
    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(blob, retention, NOW)


@caught_by(TrashContract.test_a_content_is_kept_for_the_retention_and_the_grace)
class IgnoresTheRetention(Tampered):
    class Trash(MemoryTrash):
        async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            await super().move(ids, NOW, grace)


@caught_by(TrashContract.test_a_content_is_not_kept_beyond_the_expiry)
class KeepsExpiredContents(Tampered):
    """The retention of a version that can't be restored any more."""

    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(blob, retention, max(retention, grace))


@caught_by(TrashContract.test_a_content_is_due_once_its_time_has_come)
class AddsGraceToRetention(Tampered):
    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(blob, retention, retention + timedelta(minutes=10))


@caught_by(TrashContract.test_a_purged_version_is_due_after_the_grace)
class PurgesAgain(Tampered):
    class Trash(MemoryTrash):
        async def purge(self, key: int, grace: timedelta) -> bool:
            await super().purge(key, grace)
            return self._rows.trash.get(key) is not None


@caught_by(TrashContract.test_a_purged_version_is_due_after_the_grace)
class PurgesAtOnce(Tampered):
    class Trash(MemoryTrash):
        async def purge(self, key: int, grace: timedelta) -> bool:
            return await super().purge(key, NOW)


@caught_by(TrashContract.test_a_content_is_held_while_it_is_in_the_trash)
class HoldsEverything(Tampered):
    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            await super().hold(content, lease)
            return True


@caught_by(TrashContract.test_each_of_several_contents_is_held)
class HoldsTheFirst(Tampered):
    class Trash(MemoryTrash):
        async def hold_each(self, contents: Sequence[ObjectKey], lease: timedelta) -> bool:
            return await super().hold_each(contents[:1], lease)


@caught_by(TrashContract.test_a_content_is_held_while_it_is_in_the_trash)
class HoldsWhatCanBeRestored(Tampered):
    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            kept = [row for row in self._rows.trash.values() if self._is_kept(row)]
            is_held = any(row.version.blob.content.key == content for row in kept)
            return is_held and await super().hold(content, lease)


@caught_by(TrashContract.test_a_released_content_is_garbage)
class ReleasesAll(Tampered):
    class Trash(MemoryTrash):
        async def release(self, limit: int) -> int:
            return await super().release(1000)


@caught_by(TrashContract.test_a_released_content_is_garbage)
class ReleasesToTheActiveBackend(Tampered):
    class Trash(MemoryTrash):
        async def release(self, limit: int) -> int:
            released = await super().release(limit)
            for row in self._rows.garbage.values():
                where = replace(row.garbage.location, backend="fs")
                self._rows.garbage.set(where.key, replace(row, garbage=Garbage(where)))
            return released


@caught_by(TrashContract.test_contents_are_released_by_one)
class ReleasesForEach(WithoutTurns):
    """A claim that locks nothing."""

    class Trash(_Pausing): ...


@caught_by(TrashContract.test_locked_blobs_are_moved_to_the_trash)
class CopiesToTheTrash(Tampered):
    class Trash(MemoryTrash):
        async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
            for blob_id in ids:
                if (blob := self._rows.blobs.get(blob_id)) is not None:
                    await self.add(blob, retention, grace)


@caught_by(TrashContract.test_a_copy_that_is_moved_to_the_trash_stays_shared)
class ForgetsWhatIsShared(Tampered):
    class Trash(MemoryTrash):
        async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
            await super().add(replace(blob, content=replace(blob.content, is_shared=False)), retention, grace)


@caught_by(TrashContract.test_expired_blobs_are_moved_to_the_trash)
class MovesAllThatExpire(Tampered):
    class Trash(MemoryTrash):
        async def move_expired(self, limit: int, grace: timedelta) -> int:
            expiring = [blob.id for blob in self._rows.blobs.values() if blob.expires_at][:limit]
            await self.move(expiring, NOW, grace)
            return len(expiring)


@caught_by(TrashContract.test_expired_blobs_are_moved_or_replaced_by_one)
class MovesExpiredForEach(WithoutTurns):
    class Trash(_Pausing): ...


# Shared contents


@caught_by(SharingContract.test_a_content_is_shared)
class MarksCopiesOnly(Tampered):
    class Contents(MemoryContents):
        async def share(self, blob: Blob) -> Content:
            shared = await super().share(blob)
            self._rows.blobs.set(blob.id, blob)
            return shared


@caught_by(SharingContract.test_a_content_is_shared)
class MarksSourcesOnly(Tampered):
    class Contents(MemoryContents):
        async def share(self, blob: Blob) -> Content:
            await super().share(blob)
            return replace(blob.content, is_shared=False)


class _Releasing(MemoryTrash):
    """Releases contents in another way."""

    def release_one(self, version: Trashed) -> None:
        raise NotImplementedError

    async def release(self, limit: int) -> int:
        released = due([(row.version, row.due_at) for row in self._rows.trash.values()], self._now(), limit)
        for version in released:
            self._rows.trash.set(version.key, None)
            self.release_one(version)
        return len(released)


@caught_by(SharingContract.test_a_shared_content_is_garbage_after_its_last_version)
class FreesWithTheFirst(Tampered):
    class Trash(_Releasing):
        def release_one(self, version: Trashed) -> None:
            self._rows.reclaim(version.blob.content, self._now())


@caught_by(SharingContract.test_a_shared_content_is_garbage_after_its_last_version)
class NeverFreesShared(Tampered):
    class Trash(_Releasing):
        def release_one(self, version: Trashed) -> None:
            if not version.blob.content.is_shared:
                self._rows.reclaim(version.blob.content, self._now())


@caught_by(SharingContract.test_versions_of_one_content_are_released_together)
class CountsOncePerRelease(Tampered):
    """A set of contents, where each version counts."""

    class Trash(_Releasing):
        async def release(self, limit: int) -> int:
            self._seen = set[ObjectKey]()
            return await super().release(limit)

        def release_one(self, version: Trashed) -> None:
            key = version.blob.content.key
            if key not in self._seen and self._rows.is_last(key):
                self._rows.reclaim(version.blob.content, self._now())
            self._seen.add(key)


@caught_by(SharingContract.test_racing_releases_free_a_shared_content_once)
class CountsWithoutLocks(WithoutTurns):
    """A number that is read, and written back."""

    class Trash(_Pausing): ...


class _PausingContents(MemoryContents):
    async def share(self, blob: Blob) -> Content:
        shared = await super().share(blob)
        await asyncio.sleep(0)
        return shared

    async def claim_digest(self, lease: timedelta) -> DigestJob | None:
        job = await super().claim_digest(lease)
        await asyncio.sleep(0)
        return job


@caught_by(SharingContract.test_a_copy_and_a_delete_of_its_source_happen_one_after_the_other)
class CopiesWithoutALock(WithoutTurns):
    """The source is deleted between the look and the copy."""

    class Contents(_PausingContents): ...


@caught_by(SharingContract.test_a_copy_during_the_release_of_another_version)
class SharesWithoutALock(WithoutTurns):
    """One of two changes of a number is lost."""

    class Contents(_PausingContents): ...

    class Trash(_Pausing): ...


@caught_by(SharingContract.test_of_racing_changes_each_content_is_freed_once_it_is_not_used)
class RestoresUnshared(Tampered):
    class Trash(MemoryTrash):
        async def remove(self, key: int) -> Trashed | None:
            found = await super().remove(key)
            if found is None:
                return None
            content = replace(found.blob.content, is_shared=False)
            return replace(found, blob=replace(found.blob, content=content))


# Segments


@caught_by(SegmentsContract.test_segments_are_read_from_a_position)
class StartsAfterThePosition(Tampered):
    class Contents(MemoryContents):
        async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
            return [each for each in self._rows.segments.get(content) or () if each.start >= position][:limit]


@caught_by(SegmentsContract.test_segments_are_read_from_a_position)
class ReadsTheLastSegmentBeyondTheEnd(Tampered):
    """The greatest start that is not after the position."""

    class Contents(MemoryContents):
        async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
            found = await super().segments(content, position, limit)
            return found or (self._rows.segments.get(content) or ())[-1:]


@caught_by(SegmentsContract.test_ten_thousand_segments_are_read_in_pages)
class ReadsAllSegments(Tampered):
    class Contents(MemoryContents):
        async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
            return await super().segments(content, position, 100_000)


@caught_by(SegmentsContract.test_each_segment_of_a_released_content_is_garbage)
class LeavesSegments(Tampered):
    class Trash(_Releasing):
        def release_one(self, version: Trashed) -> None:
            key = version.blob.content.key
            segments = self._rows.segments.get(key)
            self._rows.reclaim(version.blob.content, self._now())
            self._rows.segments.set(key, segments)


@caught_by(SegmentsContract.test_each_segment_of_a_released_content_is_garbage)
class LeavesDigestJobs(Tampered):
    class Trash(_Releasing):
        def release_one(self, version: Trashed) -> None:
            key = version.blob.content.key
            job = self._rows.digests.get(key)
            self._rows.reclaim(version.blob.content, self._now())
            self._rows.digests.set(key, job)


@caught_by(SegmentsContract.test_each_segment_of_a_released_content_is_garbage)
class FreesTheKeyOfTheList(Tampered):
    class Trash(_Releasing):
        def release_one(self, version: Trashed) -> None:
            location = version.blob.content.location
            self._rows.reclaim(version.blob.content, self._now())
            self._rows.garbage.set(location.key, Claimed(Garbage(location), self._now()))


@caught_by(SegmentsContract.test_an_object_is_named_until_it_was_deleted)
class NamesNoSegments(Tampered):
    """Verification would delete them as orphans."""

    def _locations(self) -> Iterator[Location]:
        segments = {each.location for some in self.rows.segments.values() for each in some}
        return (location for location in super()._locations() if location not in segments)


@caught_by(SegmentsContract.test_an_object_is_named_until_it_was_deleted)
class NamesTrashNoMore(Tampered):
    def _locations(self) -> Iterator[Location]:
        trash = {row.version.blob.location for row in self.rows.trash.values()}
        return (location for location in super()._locations() if location not in trash)


@caught_by(SegmentsContract.test_a_digest_is_computed_by_one_at_a_time)
class ClaimsDigestsForEach(WithoutTurns):
    class Contents(_PausingContents): ...


@caught_by(SegmentsContract.test_a_claim_lasts_for_its_lease)
class ClaimsDigestsForEver(Tampered):
    """A content whose replica died is never computed."""

    class Contents(MemoryContents):
        async def claim_digest(self, lease: timedelta) -> DigestJob | None:
            return await super().claim_digest(10 * LONG)


@caught_by(SegmentsContract.test_the_state_of_a_digest_is_kept)
class ForgetsStates(Tampered):
    class Contents(MemoryContents):
        async def keep_digest(self, job: DigestJob, lease: timedelta) -> bool:
            return await super().keep_digest(replace(job, state=None), lease)


@caught_by(SegmentsContract.test_the_state_of_a_digest_is_kept)
class KeepsStatesOfReleased(Tampered):
    """An upsert."""

    class Contents(MemoryContents):
        async def keep_digest(self, job: DigestJob, lease: timedelta) -> bool:
            self._rows.digests.set(job.content, (job, self._now() + lease))
            return True


@caught_by(SegmentsContract.test_a_digest_is_set_in_each_version)
class SetsDigestsOfBlobsOnly(Tampered):
    class Contents(MemoryContents):
        async def set_digest(self, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
            trash = self._rows.trash.items()
            await super().set_digest(content, digest, again_after)
            for key, row in trash:
                self._rows.trash.set(key, row)


@caught_by(SegmentsContract.test_a_digest_is_set_again_for_versions_that_missed_it)
class EndsDigestJobsAtOnce(Tampered):
    class Contents(MemoryContents):
        async def set_digest(self, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
            await super().set_digest(content, digest, NOW)


@caught_by(SegmentsContract.test_a_digest_is_set_again_for_versions_that_missed_it)
class ForgetsSetDigests(Tampered):
    """A slow replica that has lost its claim keeps its progress."""

    class Contents(MemoryContents):
        async def keep_digest(self, job: DigestJob, lease: timedelta) -> bool:
            self._rows.digests.set(job.content, (job, self._now() + lease))
            return True


@caught_by(SegmentsContract.test_a_digest_of_a_released_content_is_ignored)
class RevivesDigestJobs(Tampered):
    class Contents(MemoryContents):
        async def set_digest(self, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
            self._rows.digests.set(content, (DigestJob(content, digest=digest), self._now() + again_after))


# Uploads of several parts


@caught_by(MultipartContract.test_an_upload_is_found_as_it_was_added)
class LosesDeclaredSizes(Tampered):
    """Zero is taken for no size."""

    class Multipart(MemoryMultipart):
        async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
            return await super().add(replace(upload, size=upload.size or None), lifetime)


@caught_by(MultipartContract.test_an_upload_is_found_as_it_was_added)
class LosesTheAlgorithm(Tampered):
    class Multipart(MemoryMultipart):
        async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
            return await super().add(replace(upload, checksum_algorithm=""), lifetime)


@caught_by(MultipartContract.test_an_upload_is_found_as_it_was_added)
class CutsExpiryToSeconds(Tampered):
    class Multipart(MemoryMultipart):
        async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
            expires_in = upload.blob_expires_in
            if expires_in is not None:
                expires_in = timedelta(seconds=expires_in // timedelta(seconds=1))
            return await super().add(replace(upload, blob_expires_in=expires_in), lifetime)


@caught_by(MultipartContract.test_uploads_are_listed_by_their_ids_and_keys)
class SkipsKeysOfLaterUploads(Tampered):
    """`blob_id >= start AND upload_key > after`."""

    class Multipart(MemoryMultipart):
        async def between(
            self, start: str, after: ObjectKey | None, stop: str | None, limit: int
        ) -> Sequence[MultipartUpload]:
            found = await super().between(start, after, stop, 1000)
            return [each for each in found if after is None or each.key > after][:limit]


@caught_by(MultipartContract.test_uploads_are_listed_by_their_ids_and_keys)
class ListsNoUploadsWithoutAnId(Tampered):
    """NULL is not greater than anything."""

    class Multipart(MemoryMultipart):
        async def between(
            self, start: str, after: ObjectKey | None, stop: str | None, limit: int
        ) -> Sequence[MultipartUpload]:
            found = await super().between(start, after, stop, 1000)
            return [each for each in found if each.id is not None][:limit]


@caught_by(MultipartContract.test_an_expired_upload_is_not_found)
class FindsExpiredUploads(Tampered):
    class Multipart(MemoryMultipart):
        async def find(self, key: ObjectKey) -> MultipartUpload | None:
            return self._rows.multipart.get(key)


@caught_by(MultipartContract.test_a_lock_renews_an_upload)
class NeverRenewsUploads(Tampered):
    class Multipart(MemoryMultipart):
        async def lock(self, key: ObjectKey, lifetime: timedelta) -> MultipartUpload | None:
            return await self.find(key)


@caught_by(MultipartContract.test_a_locked_upload_is_changed_by_no_other_unit)
class LocksNoUploads(WithoutTurns):
    """Each of two units writes its own sum."""


@caught_by(MultipartContract.test_parts_are_listed_by_their_numbers)
class ListsPartsAsTheyCame(Tampered):
    class Multipart(MemoryMultipart):
        def _parts(self, key: ObjectKey) -> list[Part]:
            return [part for (upload, _), part in self._rows.parts.items() if upload == key]


@caught_by(MultipartContract.test_parts_are_listed_by_their_numbers)
class SortsNumbersAsText(Tampered):
    class Multipart(MemoryMultipart):
        def _parts(self, key: ObjectKey) -> list[Part]:
            return sorted(super()._parts(key), key=lambda part: str(part.number))


@caught_by(MultipartContract.test_a_part_replaces_the_one_before)
class CountsReplacedParts(Tampered):
    class Multipart(MemoryMultipart):
        async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
            former = self._rows.parts.get((key, part.number))
            self._rows.parts.set((key, part.number), None)
            await super().put_part(key, part)
            return former


@caught_by(MultipartContract.test_a_part_replaces_the_one_before)
class ForgetsReplacedParts(Tampered):
    """Nobody deletes their objects."""

    class Multipart(MemoryMultipart):
        async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
            await super().put_part(key, part)
            return None


class _PausingMultipart(MemoryMultipart):
    async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
        former = await super().put_part(key, part)
        await asyncio.sleep(0)
        return former

    async def reserve(self, key: ObjectKey, number: int, location: Location, lease: timedelta) -> Sequence[Location]:
        former = await super().reserve(key, number, location, lease)
        await asyncio.sleep(0)
        return former

    async def discard_expired(self, limit: int) -> int:
        discarded = await super().discard_expired(limit)
        await asyncio.sleep(0)
        return discarded


@caught_by(MultipartContract.test_racing_parts_all_count)
class AddsSizesWithoutLocks(WithoutTurns):
    class Multipart(_PausingMultipart): ...


@caught_by(MultipartContract.test_a_part_has_one_writer)
class LetsAllWrite(Tampered):
    """The last writer may be the one that began first."""

    class Multipart(MemoryMultipart):
        async def reserve(
            self, key: ObjectKey, number: int, location: Location, lease: timedelta
        ) -> Sequence[Location]:
            former = [(each, row) for each, row in self._rows.uploads.items() if row.part == (key, number)]
            await super().reserve(key, number, location, lease)
            for each, row in former:
                self._rows.uploads.set(each, row)
            return [row.location for _, row in former]


@caught_by(MultipartContract.test_a_part_has_one_writer)
class EndsWritersOfOtherUploads(Tampered):
    class Multipart(MemoryMultipart):
        async def reserve(
            self, key: ObjectKey, number: int, location: Location, lease: timedelta
        ) -> Sequence[Location]:
            for each, row in self._rows.uploads.items():
                if row.part is not None and row.part[1] == number:
                    self._rows.uploads.set(each, replace(row, part=(key, number)))
            return await super().reserve(key, number, location, lease)


@caught_by(MultipartContract.test_of_racing_writers_of_a_part_one_is_left)
class ReservesWithoutLocks(WithoutTurns):
    class Multipart(_PausingMultipart): ...


@caught_by(MultipartContract.test_parts_are_in_progress_while_they_are_written)
class WaitsForDeadWriters(Tampered):
    class Multipart(MemoryMultipart):
        async def in_progress(self, key: ObjectKey) -> frozenset[int]:
            rows = self._rows.uploads.values()
            return frozenset(row.part[1] for row in rows if row.part and row.part[0] == key)


@caught_by(MultipartContract.test_objects_of_parts_are_named)
class NamesNoParts(Tampered):
    def _locations(self) -> Iterator[Location]:
        parts = {part.location for part in self.rows.parts.values()}
        return (location for location in super()._locations() if location not in parts)


@caught_by(MultipartContract.test_a_removed_upload_leaves_the_objects_of_its_parts)
class DeletesPublishedParts(Tampered):
    class Multipart(MemoryMultipart):
        async def remove(self, key: ObjectKey) -> bool:
            for part in self._parts(key):
                self._rows.garbage.set(part.location.key, Claimed(Garbage(part.location), self._now()))
            return await super().remove(key)


@caught_by(MultipartContract.test_a_removed_upload_leaves_the_objects_of_its_parts)
class LeavesPartsOfRemoved(Tampered):
    class Multipart(MemoryMultipart):
        async def remove(self, key: ObjectKey) -> bool:
            found = self._rows.multipart.get(key) is not None
            self._rows.multipart.set(key, None)
            return found


@caught_by(MultipartContract.test_a_discarded_upload_leaves_garbage)
class LeaksDiscardedParts(Tampered):
    class Multipart(MemoryMultipart):
        async def discard(self, key: ObjectKey) -> bool:
            return await self.remove(key)


@caught_by(MultipartContract.test_expired_uploads_are_discarded)
class DiscardsLiveUploads(Tampered):
    class Multipart(MemoryMultipart):
        async def discard_expired(self, limit: int) -> int:
            keys = [upload.key for upload in self._rows.multipart.values()][:limit]
            for key in keys:
                await self.discard(key)
            return len(keys)


@caught_by(MultipartContract.test_an_upload_ends_once)
class DiscardsForEach(WithoutTurns):
    class Multipart(_PausingMultipart): ...


# Marks of commits


@caught_by(CommitsContract.test_a_mark_is_added_once)
class AddsMarksAgain(Tampered):
    class Commits(MemoryCommits):
        async def add(self, key: ObjectKey) -> bool:
            await super().add(key)
            return True


@caught_by(CommitsContract.test_a_mark_is_added_by_one)
class AddsMarksForEach(WithoutTurns):
    class Commits(MemoryCommits):
        async def add(self, key: ObjectKey) -> bool:
            added = await super().add(key)
            await asyncio.sleep(0)
            return added


@caught_by(CommitsContract.test_a_mark_waits_for_the_outcome_of_others)
class LooksAtCommittedMarksOnly(WithoutTurns):
    """A mark that is about to be committed is taken for one that never will be."""


@caught_by(CommitsContract.test_old_marks_are_removed)
class RemovesYoungMarks(Tampered):
    class Commits(MemoryCommits):
        async def remove_old(self, age: timedelta, limit: int) -> int:
            return await super().remove_old(NOW, limit)


# Units


@caught_by(UnitsContract.test_a_unit_that_is_not_committed_changes_nothing)
class MarksCommitsAtOnce(Tampered):
    """A second connection."""

    class Commits(MemoryCommits):
        async def add(self, key: ObjectKey) -> bool:
            added = await super().add(key)
            self._rows.commits.apply()
            return added


@caught_by(UnitsContract.test_a_unit_that_is_not_committed_changes_nothing)
class SharesAtOnce(Tampered):
    """Autocommit."""

    class Contents(MemoryContents):
        async def share(self, blob: Blob) -> Content:
            shared = await super().share(blob)
            self._rows.shared.apply()
            return shared


@caught_by(UnitsContract.test_each_change_of_a_committed_unit_is_made)
class HoldsNothing(Tampered):
    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            return any(row.version.blob.content.key == content for row in self._rows.trash.values())
