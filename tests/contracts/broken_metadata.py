"""Metadata adapters that are broken on purpose, each in one way, with the case that catches it."""

import asyncio
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from adapters.metadata.memory.changes import Changes, due
from adapters.metadata.memory.contents import MemoryTrash
from adapters.metadata.memory.rows import Claimed, Tables
from adapters.metadata.memory.unit_of_work import (
    MemoryMetadata,
    MemoryUnitOfWork,
    _Blobs,
    _Garbage,
    _Objects,
    _Storages,
    _Uploads,
)
from application.ports.metadata import Backlog, Garbage, KnownStorage, Published, UnitOfWork, common_prefix
from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey
from domain.errors import BlobError, NotFound, Unavailable
from domain.precondition import Precondition
from domain.properties import Properties
from tests.contracts.metadata import MetadataContract
from tests.contracts.proof import caught_by


class Tampered(MemoryMetadata):
    """The metadata in memory, with repositories of another make."""

    Blobs: type[_Blobs] = _Blobs
    Uploads: type[_Uploads] = _Uploads
    GarbageRows: type[_Garbage] = _Garbage
    Storages: type[_Storages] = _Storages
    Objects: type[_Objects] = _Objects
    Trash: type[MemoryTrash] = MemoryTrash

    def __init__(self) -> None:
        super().__init__()
        self.blobs = self.Blobs(Tables(self.rows), self.now)

    def begin(self) -> MemoryUnitOfWork:
        tables = Tables(self.rows)
        work = MemoryUnitOfWork(tables, self.now)
        work.blobs = self.Blobs(tables, self.now)
        work.uploads = self.Uploads(tables, self.now)
        work.garbage = self.GarbageRows(tables, self.now)
        work.storages = self.Storages(tables, self.now)
        work.objects = self.Objects(tables)
        work.trash = self.Trash(tables, self.now)
        return work

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self._turn:
            yield self.begin()


# Ids


class _Mangling(_Blobs):
    """Looks blobs up by something made of their ids."""

    def mangled(self, blob_id: str) -> str:
        raise NotImplementedError

    async def find(self, blob_id: BlobId) -> Blob | None:
        return await super().find(BlobId(self.mangled(blob_id.value)))

    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        key = BlobId(self.mangled(draft.id.value))
        current = self._rows.get(key)
        precondition.check(draft.id, current)
        blob = draft.published(self._now(), current)
        self._rows.set(key, blob)
        return Published(blob, current)


@caught_by(MetadataContract.test_ids_are_compared_by_their_bytes)
class FoldsCase(Tampered):
    """A collation that ignores case, as databases have by default."""

    class Blobs(_Mangling):
        def mangled(self, blob_id: str) -> str:
            return blob_id.lower()


@caught_by(MetadataContract.test_ids_are_compared_by_their_bytes)
class IgnoresTrailingSpaces(Tampered):
    """CHAR, or a collation that pads: "a" and "a " are one id."""

    class Blobs(_Mangling):
        def mangled(self, blob_id: str) -> str:
            return blob_id.rstrip(" ") or " "


@caught_by(MetadataContract.test_ids_are_compared_by_their_bytes)
class Normalises(Tampered):
    """Unicode's composed and decomposed letters are one."""

    class Blobs(_Mangling):
        def mangled(self, blob_id: str) -> str:
            return unicodedata.normalize("NFC", blob_id)


@caught_by(MetadataContract.test_ids_are_compared_by_their_bytes)
class CutsLongIds(Tampered):
    """VARCHAR(255), and a database that cuts in silence."""

    class Blobs(_Mangling):
        def mangled(self, blob_id: str) -> str:
            return blob_id[:255]


# Values


def _of_type(blob: Blob, content_type: str) -> Blob:
    return replace(blob, properties=replace(blob.properties, content_type=content_type))


class _Altering(_Blobs):
    """Stores something else than it was given."""

    def altered(self, blob: Blob) -> Blob:
        raise NotImplementedError

    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        published = await super().put(draft, precondition)
        self._rows.set(draft.id, self.altered(published.blob))
        return published


@caught_by(MetadataContract.test_a_blob_has_the_time_of_the_database)
class KeepsLocalTime(Tampered):
    """A time without its zone goes in, and is read in another."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return replace(blob, created_at=blob.created_at.replace(hour=(blob.created_at.hour + 1) % 24))


@caught_by(MetadataContract.test_a_blob_has_the_time_of_the_database)
class CutsMicroseconds(Tampered):
    """A column of whole seconds."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return replace(blob, created_at=blob.created_at.replace(microsecond=0))


@caught_by(MetadataContract.test_each_value_is_kept_exactly)
class HasSizesOf32Bits(Tampered):
    """INTEGER."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return replace(blob, content=replace(blob.content, size=blob.size % 2**32))


@caught_by(MetadataContract.test_each_value_is_kept_exactly)
class HasSizesThatFloat(Tampered):
    """On its way through JSON a number is a double."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return replace(blob, content=replace(blob.content, size=int(float(blob.size))))


@caught_by(MetadataContract.test_each_value_is_kept_exactly)
class CutsContentTypes(Tampered):
    """VARCHAR(255) again."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return _of_type(blob, blob.properties.content_type[:255])


@caught_by(MetadataContract.test_a_blob_is_read_as_it_was_put)
class KeepsTheMediaTypeAlone(Tampered):
    """The parameters of a content type are lost."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return _of_type(blob, blob.properties.content_type.split(";")[0])


@caught_by(MetadataContract.test_a_blob_is_read_as_it_was_put)
class LosesTheContentEncoding(Tampered):
    """A column that is written nowhere."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return replace(blob, properties=replace(blob.properties, content_encoding=""))


@caught_by(MetadataContract.test_no_value_of_a_replaced_version_remains)
class KeepsTheContentEncodingOfTheOldVersion(Tampered):
    """An UPDATE that leaves a column out."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            if old := self._rows.get(draft.id):
                kept = replace(draft.properties, content_encoding=old.properties.content_encoding)
                draft = replace(draft, properties=kept)
            return await super().put(draft, precondition)


# Times


@caught_by(MetadataContract.test_a_blob_has_the_time_of_the_database)
class HasTheTimeOfTheReplica(Tampered):
    """Each replica has a clock of its own, and some are wrong."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            published = await super().put(draft, precondition)
            blob = replace(published.blob, created_at=self._now() - timedelta(seconds=5))
            self._rows.set(draft.id, blob)
            return replace(published, blob=blob)


@caught_by(MetadataContract.test_a_blob_that_is_read_has_the_time_of_the_reading)
class DoesNotSayWhenItWasRead(Tampered):
    """Nobody knows whether the second of a version is over."""

    class Blobs(_Blobs):
        async def find(self, blob_id: BlobId) -> Blob | None:
            found = await super().find(blob_id)
            return found and replace(found, read_at=None)


@caught_by(MetadataContract.test_each_version_is_later_than_the_one_before)
class BelievesTheClock(Tampered):
    """A clock that goes in steps, or back, makes two versions of one time."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            published = await super().put(draft, precondition)
            self._rows.set(draft.id, blob := draft.published(datetime(2023, 10, 27, tzinfo=UTC)))
            return replace(published, blob=blob)


@caught_by(MetadataContract.test_a_version_that_shares_its_second_is_known_to)
class TakesEachForSole(Tampered):
    """The time differs, and the date in a header does not."""

    class Blobs(_Altering):
        def altered(self, blob: Blob) -> Blob:
            return replace(blob, sole=True)


@caught_by(MetadataContract.test_a_version_unmodified_since_a_date_is_replaced_and_no_other)
class IgnoresDates(Tampered):
    """Dates are for readers, it was thought."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            return await super().put(draft, replace(precondition, unmodified_since=None))


@caught_by(MetadataContract.test_a_version_unmodified_since_a_date_is_removed_and_no_other)
class IgnoresDatesOfDeletions(Tampered):
    """Dates are for PUT, it was thought."""

    class Blobs(_Blobs):
        async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            return await super().remove(blob_id, replace(precondition, unmodified_since=None))


# Lists


class _Listing(_Blobs):
    def key(self, blob_id: str) -> str:
        return blob_id

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        rows = sorted(self._rows.values(), key=lambda blob: self.key(blob.id.value))
        found = [blob for blob in rows if start <= blob.id.value and (stop is None or blob.id.value < stop)]
        return found[:limit]


@caught_by(MetadataContract.test_blobs_are_listed_by_the_bytes_of_their_ids)
class SortsAsPeopleDo(Tampered):
    """A language's own order."""

    class Blobs(_Listing):
        def key(self, blob_id: str) -> str:
            return blob_id.casefold()


@caught_by(MetadataContract.test_blobs_are_listed_by_the_bytes_of_their_ids)
class SortsByUtf16(Tampered):
    """As languages do whose characters have two bytes."""

    class Blobs(_Listing):
        def key(self, blob_id: str) -> str:
            return blob_id.encode("utf-16-be").decode("latin-1")


@caught_by(MetadataContract.test_blobs_are_listed_by_the_bytes_of_their_ids)
class ListsTheStop(Tampered):
    """BETWEEN ... AND ... takes both ends in."""

    class Blobs(_Blobs):
        async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
            return await super().between(start, None if stop is None else f"{stop}\x01", limit)


@caught_by(MetadataContract.test_blobs_with_one_common_prefix_are_rolled_up)
class TakesAnotherForTheLastCharacter(Tampered):
    """What comes behind a common prefix is sought behind its U+FFFF, and there are more characters."""

    class Blobs(_Blobs):
        async def rolled_up(
            self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
        ) -> Sequence[Blob | str]:
            found: list[Blob | str] = []
            for blob in await self.between(start, stop, 10_000):
                common = common_prefix(blob.id.value, prefix, delimiter)
                if blob.id.value >= start:
                    found.append(common or blob)
                    start = blob.id.value if common is None else f"{common}\uffff\uffff"
            return found[:limit]


@caught_by(MetadataContract.test_a_page_of_common_prefixes_may_be_long)
class GivesRecursionUp(Tampered):
    """After a thousand steps, as a server may whose settings do not forbid it."""

    class Blobs(_Blobs):
        async def rolled_up(
            self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
        ) -> Sequence[Blob | str]:
            return await super().rolled_up(start, stop, min(limit, 1000), prefix, delimiter)


def _by_content(blob: Blob) -> tuple[ObjectKey, str]:
    return blob.content.key, blob.id.value


@caught_by(MetadataContract.test_blobs_are_listed_by_the_keys_of_their_contents)
class ListsTheCursorAgain(Tampered):
    """ "From" is taken for "behind"."""

    class Blobs(_Blobs):
        async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
            found = [blob for blob in self._rows.values() if after is None or _by_content(blob) >= after]
            return sorted(found, key=_by_content)[:limit]


@caught_by(MetadataContract.test_blobs_are_listed_by_the_keys_of_their_contents)
class SortsWithinThePage(Tampered):
    """LIMIT in the subquery, ORDER BY around it."""

    class Blobs(_Blobs):
        async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
            found = [blob for blob in self._rows.values() if after is None or _by_content(blob) > after]
            return sorted(found[:limit], key=_by_content)


@caught_by(MetadataContract.test_blobs_with_one_content_are_listed_by_their_ids)
class ListsContentsOnce(Tampered):
    """The key is taken for unique: of several blobs with one content, a page may end between them."""

    class Blobs(_Blobs):
        async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
            found = [blob for blob in self._rows.values() if after is None or blob.content.key > after[0]]
            return sorted(found, key=_by_content)[:limit]


# Names of objects


@caught_by(MetadataContract.test_an_object_is_named_by_a_blob_an_upload_or_garbage)
class ForgetsThatGarbageIsNamed(Tampered):
    """What waits for its deletion is nobody's, it was thought."""

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        return await super().named(backend, keys) - self.rows.garbage.keys()


@caught_by(MetadataContract.test_an_object_is_named_by_a_blob_an_upload_or_garbage)
class ForgetsThatTheTrashIsNamed(Tampered):
    """Verification would delete the objects of versions that can be restored."""

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        return await super().named(backend, keys) - {row.version.blob.content.key for row in self.rows.trash.values()}


@caught_by(MetadataContract.test_an_object_is_named_by_a_blob_an_upload_or_garbage)
class NamesTheKeysOfOthers(Tampered):
    """A key is taken for a name on any backend."""

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        return {key for name in ("fs", "s3") for key in await super(NamesTheKeysOfOthers, self).named(name, keys)}


@caught_by(MetadataContract.test_an_object_that_moves_on_is_named_at_every_moment)
class LooksInFourSteps(Tampered):
    """Blobs, uploads, trash, garbage: what moves on behind its back is seen in none of them."""

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        rows = self.rows
        blobs = {blob.location.key for blob in rows.blobs.values()}
        named = await super().named(backend, keys) & blobs
        for in_table in (
            lambda: rows.uploads.keys(),
            lambda: {row.version.blob.location.key for row in rows.trash.values()},
            lambda: rows.garbage.keys(),
        ):
            await asyncio.sleep(0)
            named |= in_table() & {*keys}
        return named


# Removal


@caught_by(MetadataContract.test_a_blob_that_is_removed_is_gone)
class RemovesByPrefix(Tampered):
    """DELETE ... WHERE id LIKE 'a%'."""

    class Blobs(_Blobs):
        async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            removed = await super().remove(blob_id, precondition)
            for blob in self._rows.values():
                if blob.id.value.startswith(blob_id.value):
                    self._rows.set(blob.id, None)
            return removed


@caught_by(MetadataContract.test_nothing_can_be_removed_where_nothing_is)
class DoesNotSayWhatItCouldNotRemove(Tampered):
    """A fault without a name: nobody knows what was not there."""

    class Blobs(_Blobs):
        async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            if self._rows.get(blob_id) is None:
                raise NotFound("No rows.")
            return await super().remove(blob_id, precondition)


@caught_by(MetadataContract.test_a_named_version_is_removed_and_no_other)
class RemovesAnyVersion(Tampered):
    """If-Match is for PUT, it was thought."""

    class Blobs(_Blobs):
        async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
            return await super().remove(blob_id, Precondition())


# Absence and preconditions


@caught_by(MetadataContract.test_what_is_not_there_is_named)
class DoesNotNameWhatIsNotThere(Tampered):
    """ "No row was found", and nobody knows which."""

    class Blobs(_Blobs):
        async def get(self, blob_id: BlobId) -> Blob:
            try:
                return await super().get(blob_id)
            except BlobError as error:
                raise type(error)(error.detail) from None


@caught_by(MetadataContract.test_a_blob_that_may_be_absent_is_looked_for)
class RaisesWhereNothingIsFound(Tampered):
    """A caller that asks whether there is a blob gets an error if there is none."""

    class Blobs(_Blobs):
        async def find(self, blob_id: BlobId) -> Blob | None:
            if (found := await super().find(blob_id)) is None:
                raise NotFound(subject=blob_id)
            return found


@caught_by(MetadataContract.test_create_only_refuses_what_exists)
class UpsertsAlways(Tampered):
    """Create only is taken for a wish."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            return await super().put(draft, replace(precondition, new=False))


@caught_by(MetadataContract.test_a_named_version_is_replaced_and_no_other)
class TakesNoVersionForAny(Tampered):
    """`if etags`, where `if etags is not None` should be."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            return await super().put(draft, replace(precondition, etags=precondition.etags or None))


# Units


@caught_by(MetadataContract.test_a_unit_that_is_committed_changes_all)
class ForgetsToCommitUploads(Tampered):
    """One of the repositories is not part of the transaction."""

    class Work(MemoryUnitOfWork):
        async def commit(self) -> None:
            for changes in (self._tables.blobs, self._tables.garbage, self._tables.trash):
                changes.apply()

    def begin(self) -> MemoryUnitOfWork:
        return self.Work(Tables(self.rows), self.now)


@caught_by(MetadataContract.test_a_unit_sees_its_own_changes)
class ReadsWhatIsCommittedAlone(Tampered):
    """Writes wait for the commit, and reads go past them."""

    class Blobs(_Blobs):
        async def find(self, blob_id: BlobId) -> Blob | None:
            found = self._rows._committed.get(blob_id)
            return found and replace(found, read_at=self._now())


@caught_by(MetadataContract.test_units_at_once_happen_each_by_itself)
class SharesOneTransaction(Tampered):
    """One connection for all: whoever commits first commits what others have not."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = self.begin()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        yield self.shared


@caught_by(MetadataContract.test_readers_see_whole_versions_while_they_are_replaced)
class ReadsInTwoSteps(Tampered):
    """Two queries for one version: a replace fits in between."""

    class Blobs(_Blobs):
        async def find(self, blob_id: BlobId) -> Blob | None:
            first = await super().find(blob_id)
            await asyncio.sleep(0)
            second = await super().find(blob_id)
            return first and second and replace(first, properties=second.properties)


@caught_by(MetadataContract.test_a_unit_that_is_not_committed_changes_nothing)
class CommitsOnExit(Tampered):
    """A unit that reaches its end is committed."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with super().__call__() as work:
            yield work
            await work.commit()


@caught_by(MetadataContract.test_a_unit_that_is_not_committed_changes_nothing)
class ForgetsToRollBackGarbage(Tampered):
    """One of the repositories has a transaction of its own."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self._turn:
            work = self.begin()
            try:
                yield work
            finally:
                work._tables.garbage.apply()


@caught_by(MetadataContract.test_a_unit_that_is_not_committed_changes_nothing)
class RollsBackForExceptionsAlone(Tampered):
    """`except Exception` does not see a cancellation: what was done goes with the connection's next commit."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with super().__call__() as work:
            try:
                yield work
            except asyncio.CancelledError:
                await work.commit()
                raise


@caught_by(MetadataContract.test_a_cancellation_does_not_split_a_commit)
class SplitsItsCommit(Tampered):
    """Each row by itself, and whoever leaves in between leaves a half."""

    class Work(MemoryUnitOfWork):
        async def commit(self) -> None:
            blobs = self._tables.blobs
            for blob_id, blob in [*blobs._changed.items()]:
                one = Changes(blobs._committed)
                one.set(blob_id, blob)
                one.apply()
                await asyncio.sleep(0)
            await super().commit()

    def begin(self) -> MemoryUnitOfWork:
        return self.Work(Tables(self.rows), self.now)


@caught_by(MetadataContract.test_what_is_not_committed_is_seen_by_nobody_else)
class ShowsWhatIsNotCommitted(Tampered):
    """READ UNCOMMITTED, or readers on the writer's connection."""

    def begin(self) -> MemoryUnitOfWork:
        work = super().begin()
        self.blobs = work.blobs
        return work


@caught_by(MetadataContract.test_what_is_not_committed_is_seen_by_nobody_else)
class CachesReads(Tampered):
    """What was once read is read again."""

    class Blobs(_Blobs):
        async def find(self, blob_id: BlobId) -> Blob | None:
            self.read: dict[BlobId, Blob | None] = getattr(self, "read", {})
            if blob_id not in self.read:
                self.read[blob_id] = await super().find(blob_id)
            return self.read[blob_id]


@caught_by(MetadataContract.test_a_unit_is_usable_after_a_refusal)
class IsSpoiltByARefusal(Tampered):
    """After an error PostgreSQL takes no more statements in the transaction."""

    class Blobs(_Blobs):
        spoilt = False

        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            if self.spoilt:
                raise Unavailable("current transaction is aborted")
            self.spoilt = True
            published = await super().put(draft, precondition)
            self.spoilt = False
            return published


class _LookingFirst(_Blobs):
    """Looks, and writes later: others may have their turn in between."""

    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        published = await super().put(draft, precondition)
        await asyncio.sleep(0)
        return published

    async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        removed = await super().remove(blob_id, precondition)
        await asyncio.sleep(0)
        return removed


class _WithoutTurns(Tampered):
    Blobs = _LookingFirst

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        yield self.begin()


@caught_by(MetadataContract.test_one_of_many_creators_wins)
class ChecksThenInserts(_WithoutTurns):
    """Look whether it is there, then insert: two look before either inserts."""


@caught_by(MetadataContract.test_one_of_many_replacers_of_a_version_wins)
class ChecksThenReplaces(_WithoutTurns):
    """Look which version it is, then replace it: the same for If-Match."""


@caught_by(MetadataContract.test_one_of_many_replacers_since_a_date_wins)
class ChecksDatesThenReplaces(_WithoutTurns):
    """The same for If-Unmodified-Since."""


@caught_by(MetadataContract.test_of_racing_writers_each_but_the_last_is_replaced_once)
class ReplacesTheSameTwice(_WithoutTurns):
    """Two writers are given one old version, and the version of one of them is given to nobody."""


@caught_by(MetadataContract.test_a_blob_is_removed_by_one)
class RemovesTheSameTwice(_WithoutTurns):
    """Each that looked before the first commit hears that it was the one."""


@caught_by(MetadataContract.test_of_racing_writers_and_removers_each_version_goes_one_way)
class RemovesWhatIsReplaced(_WithoutTurns):
    """One version is given to who replaces it, and to who removes it."""


@caught_by(MetadataContract.test_units_at_once_all_happen)
class WritesBackTheWholeTable(_WithoutTurns):
    """A file of JSON, read at the start of a unit and written at its end: the last one wins."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        rows = self.rows.blobs
        before = dict(rows)
        work = self.begin()
        yield work
        rows.clear()
        rows.update(before | {blob.id: blob for blob in work._tables.blobs._changed.values() if blob})


@caught_by(MetadataContract.test_a_put_returns_what_it_replaces)
class LosesWhatWasReplaced(Tampered):
    """An upsert that does not say what was there: the old object is never deleted."""

    class Blobs(_Blobs):
        async def put(self, draft: Draft, precondition: Precondition) -> Published:
            return replace(await super().put(draft, precondition), former=None)


# Uploads


@caught_by(MetadataContract.test_an_upload_is_removed_by_one)
class HasNoFence(Tampered):
    """A delete that does not count its rows."""

    class Uploads(_Uploads):
        async def remove(self, key: ObjectKey) -> bool:
            await super().remove(key)
            return True


@caught_by(MetadataContract.test_an_upload_that_was_removed_stays_removed)
class RevivesUploads(Tampered):
    """A renewal by upsert."""

    class Uploads(_Uploads):
        async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
            there = await super().renew(key, lease)
            await self.add(Location("fs", key), lease)
            return there


@caught_by(MetadataContract.test_an_upload_expires_with_its_lease)
class ExpiresTheLiving(Tampered):
    """Leases are compared with the wrong clock."""

    class Uploads(_Uploads):
        async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
            there = [row.location for row in self._rows.values()][:limit]
            for location in there:
                await self.remove(location.key)
            return there


@caught_by(MetadataContract.test_uploads_to_other_backends_are_left_alone)
class GivesUpUploadsToAnywhere(Tampered):
    """Whichever backend they go to."""

    class Uploads(_Uploads):
        async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
            return [*await super().remove_expired("s3", limit), *await super().remove_expired(backend, limit)]


@caught_by(MetadataContract.test_an_upload_expires_for_one)
class ExpiresForEverybody(Tampered):
    """A SELECT without FOR UPDATE: each reaper is given the same."""

    class Uploads(_Uploads):
        async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
            rows = [(row.location, row.expires_at) for row in self._rows.values()]
            return due([row for row in rows if row[0].backend == backend], self._now(), limit)


@caught_by(MetadataContract.test_the_oldest_uploads_expire_first)
class StarvesTheOldest(Tampered):
    """The order is the wrong way round."""

    class Uploads(_Uploads):
        async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
            expired = (await super().remove_expired(backend, 1000))[::-1]
            for location in expired[limit:]:
                await self.add(location, timedelta(0))
            return expired[:limit]


@caught_by(MetadataContract.test_an_expired_upload_goes_to_its_writer_or_to_the_reaper)
class GivesAnUploadToBoth(_WithoutTurns):
    """The writer looks for its upload, and the reaper is taking it."""

    class Uploads(_Uploads):
        async def remove(self, key: ObjectKey) -> bool:
            there = await super().remove(key)
            await asyncio.sleep(0)
            return there


@caught_by(MetadataContract.test_a_lease_can_be_renewed_and_shortened)
class OnlyLengthensLeases(Tampered):
    """The later of two ends counts."""

    class Uploads(_Uploads):
        async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
            row = self._rows.get(key)
            return (row is not None and row.expires_at > self._now() + lease) or await super().renew(key, lease)


# Garbage


@caught_by(MetadataContract.test_of_racing_publications_each_object_is_in_one_place)
class KeepsOneObjectOfGarbage(Tampered):
    """A table with the wrong key: what comes takes the place of what was there."""

    class GarbageRows(_Garbage):
        async def add(self, garbage: Garbage, after: timedelta) -> None:
            for other in self._rows.values():
                self._rows.set(other.garbage.location.key, None)
            await super().add(garbage, after)


@caught_by(MetadataContract.test_claimed_garbage_comes_back_when_the_claim_is_over)
class ForgetsWhatIsClaimed(Tampered):
    """Whoever claims may die before the delete."""

    class GarbageRows(_Garbage):
        async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
            claimed = await super().claim(backend, limit, lease)
            for garbage in claimed:
                self._rows.set(garbage.location.key, None)
            return claimed


@caught_by(MetadataContract.test_the_oldest_garbage_is_claimed_first)
class ClaimsMoreThanItIsAskedFor(Tampered):
    """No limit."""

    class GarbageRows(_Garbage):
        async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
            return await super().claim(backend, 1000, lease)


@caught_by(MetadataContract.test_garbage_is_claimed_by_one)
class ClaimsTwice(Tampered):
    """A claim without a lease."""

    class GarbageRows(_Garbage):
        async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
            return await super().claim(backend, limit, timedelta(0))


@caught_by(MetadataContract.test_garbage_of_other_backends_is_left_alone)
class ClaimsForOthers(Tampered):
    """Whichever backend it is on."""

    class GarbageRows(_Garbage):
        async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
            return [*await super().claim("s3", limit, lease), *await super().claim(backend, limit, lease)]


@caught_by(MetadataContract.test_garbage_is_claimed_when_it_is_due)
class IsDueAtOnce(Tampered):
    """No grace for readers that hold the key."""

    class GarbageRows(_Garbage):
        async def add(self, garbage: Garbage, after: timedelta) -> None:
            await super().add(garbage, timedelta(0))


@caught_by(MetadataContract.test_many_objects_become_garbage_at_once)
class LeavesAloneWhatIsThere(Tampered):
    """An object whose key was used again keeps the time at which it was due."""

    class GarbageRows(_Garbage):
        async def add_each(self, garbage: Sequence[Garbage], after: timedelta) -> None:
            await super().add_each([each for each in garbage if self._rows.get(each.location.key) is None], after)


@caught_by(MetadataContract.test_each_further_claim_lasts_twice_as_long_up_to_a_bound)
class TriesForeverAtTheSamePace(Tampered):
    """A backend that is down is asked for all its garbage, over and over."""

    class GarbageRows(_Garbage):
        async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
            claimed = await super().claim(backend, limit, lease)
            for garbage in claimed:
                self._rows.set(garbage.location.key, Claimed(garbage, self._now() + lease))
            return claimed


@caught_by(MetadataContract.test_each_further_claim_lasts_twice_as_long_up_to_a_bound)
class DoublesWithoutABound(Tampered):
    """After a long outage, garbage would be kept for years."""

    class GarbageRows(_Garbage):
        async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
            claims = {row.garbage: row.claims for row in self._rows.values()}
            claimed = await super().claim(backend, limit, lease)
            for garbage in claimed:
                until = self._now() + lease * 2 ** claims[garbage]
                self._rows.set(garbage.location.key, Claimed(garbage, until, claims[garbage] + 1))
            return claimed


@caught_by(MetadataContract.test_a_delete_that_is_left_is_claimed_as_if_for_the_first_time)
class HoldsClaimsAgainstTheNextDelete(Tampered):
    """The second delete waits for what the first one had to wait for."""

    class GarbageRows(_Garbage):
        async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
            claims = {row.garbage.location: row.claims for row in self._rows.values()}
            await super().deleted(garbage, again_after)
            for row in self._rows.values():
                where = row.garbage.location
                self._rows.set(where.key, replace(row, claims=claims[where]))


@caught_by(MetadataContract.test_garbage_that_nobody_tried_to_delete_is_due_as_if_it_was_never_claimed)
class HoldsClaimsAgainstTheUntried(Tampered):
    """Objects wait longer and longer because of others."""

    class GarbageRows(_Garbage):
        async def unclaim(self, garbage: Sequence[Garbage]) -> None:
            for each in garbage:
                if row := self._rows.get(each.location.key):
                    self._rows.set(each.location.key, replace(row, due_at=self._now()))


@caught_by(MetadataContract.test_deleted_garbage_can_not_be_unclaimed)
class BringsDeletedGarbageBack(Tampered):
    """The second delete is due at once, before a late write has landed."""

    class GarbageRows(_Garbage):
        async def unclaim(self, garbage: Sequence[Garbage]) -> None:
            for each in garbage:
                self._rows.set(each.location.key, Claimed(each, self._now()))


@caught_by(MetadataContract.test_the_backlog_is_counted_for_each_backend)
class CountsWhatIsDueAlone(Tampered):
    """What waits for its grace to end takes up space too."""

    async def backlog(self) -> Sequence[Backlog]:
        return [replace(each, garbage=each.due) for each in await super().backlog()]


@caught_by(MetadataContract.test_the_backlog_is_counted_for_each_backend)
class DoesNotCountTheTrash(Tampered):
    """The objects of removed versions take up space until they are deleted."""

    async def backlog(self) -> Sequence[Backlog]:
        trash = Counter(row.version.blob.location.backend for row in self.rows.trash.values())
        return [replace(each, garbage=each.garbage - trash[each.backend]) for each in await super().backlog()]


@caught_by(MetadataContract.test_garbage_is_forgotten_after_its_last_delete)
class ForgetsAfterTheFirstDelete(Tampered):
    """A slow write that lands after the first delete stays for good."""

    class GarbageRows(_Garbage):
        async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
            await super().deleted([Garbage(each.location) for each in garbage], again_after)


@caught_by(MetadataContract.test_garbage_may_become_garbage_again)
class KeepsTheFirstGarbage(Tampered):
    """An object that is written again, under the key of one that waits for its last delete, is deleted once."""

    class GarbageRows(_Garbage):
        async def add(self, garbage: Garbage, after: timedelta) -> None:
            if self._rows.get(garbage.location.key) is None:
                await super().add(garbage, after)


@caught_by(MetadataContract.test_the_second_delete_waits)
class DeletesTwiceAtOnce(Tampered):
    """The second delete is due with the first, and catches no write that is slower than both."""

    class GarbageRows(_Garbage):
        async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
            await super().deleted(garbage, timedelta(0))


# The trash


@caught_by(MetadataContract.test_a_content_that_is_held_is_due_later)
class DoesNotHold(Tampered):
    """The grace is long enough for everybody, it was thought."""

    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            return content in {row.version.blob.content.key for row in self._rows.trash.values()}


@caught_by(MetadataContract.test_a_hold_never_lets_a_content_be_due_sooner)
class ShortensTheGrace(Tampered):
    """The last hold counts, and not the longest."""

    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            held = await super().hold(content, lease)
            for row in self._rows.trash.values():
                if row.version.blob.content.key == content:
                    self._rows.trash.set(row.version.key, replace(row, due_at=self._now() + lease))
            return held


@caught_by(MetadataContract.test_what_is_not_in_the_trash_is_not_held)
class MakesTrashOfWhatIsHeld(Tampered):
    """A hold by upsert: the object of a blob would be deleted."""

    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            if not await super().hold(content, lease):
                held = Content(Location("fs", content), 0, Digest(bytes(32)))
                await self.add(Blob(BlobId("held"), held, Properties(), self._now()), lease, lease)
            return True


@caught_by(MetadataContract.test_what_is_released_cannot_be_held)
class HoldsWhatIsBeingDeleted(Tampered):
    """The reader hears that it may go on, and the reaper deletes."""

    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            return await super().hold(content, lease) or self._rows.garbage.get(content) is not None


@caught_by(MetadataContract.test_a_content_is_held_or_released)
class HoldsWhatIsReleasedMeanwhile(_WithoutTurns):
    """The reader looks at the row, and the reaper is releasing it."""

    class Trash(MemoryTrash):
        async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
            held = await super().hold(content, lease)
            await asyncio.sleep(0)
            return held


# Storages


@caught_by(MetadataContract.test_the_markers_of_a_storage_are_named)
class ForgetsThatMarkersAreNamed(Tampered):
    """Verification takes the markers for orphans, and its repair removes them."""

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        return await super().named(backend, keys) - {
            key for known, _ in self.rows.storages.values() for key in (known.next, known.former) if key is not None
        }


@caught_by(MetadataContract.test_a_storage_is_known_as_it_was_added)
class KeepsIntervalsInSeconds(Tampered):
    """A column of whole seconds again."""

    class Storages(_Storages):
        async def add(self, known: KnownStorage) -> bool:
            return await super().add(replace(known, interval=timedelta(seconds=known.interval // timedelta(seconds=1))))


@caught_by(MetadataContract.test_a_storage_is_added_by_one)
class MarksAStorageTwice(Tampered):
    """An upsert: the replica that starts last writes over what the others have seen."""

    class Storages(_Storages):
        async def add(self, known: KnownStorage) -> bool:
            self._rows.set(known.backend, (known, self._now()))
            return True


@caught_by(MetadataContract.test_a_storage_is_replaced_only_where_all_its_markers_apply)
class ComparesTheEpochOnly(Tampered):
    """A replica that has not seen what another one has begun takes it back."""

    class Storages(_Storages):
        async def replace(self, known: KnownStorage, new: KnownStorage) -> bool:
            row = self._rows.get(known.backend)
            if row is None or row[0].epoch != known.epoch:
                return False
            self._rows.set(known.backend, (new, row[1]))
            return True


@caught_by(MetadataContract.test_markers_are_replaced_by_one)
class DoesNotCountTheRows(Tampered):
    """An update that finds nothing changes nothing, and is taken for a success."""

    class Storages(_Storages):
        async def replace(self, known: KnownStorage, new: KnownStorage) -> bool:
            await super().replace(known, new)
            return True

        async def replace_if_due(self, known: KnownStorage, new: KnownStorage) -> bool:
            await super().replace_if_due(known, new)
            return True


@caught_by(MetadataContract.test_an_epoch_is_due_once_an_interval)
class DoesNotNoteTheTurn(Tampered):
    """Each replica replaces the epoch, again and again."""

    class Storages(_Storages):
        async def replace_if_due(self, known: KnownStorage, new: KnownStorage) -> bool:
            return await self.replace(known, new)


# Small objects


@caught_by(MetadataContract.test_a_small_object_is_read_as_it_was_added)
class EndsObjectsAtAZero(Tampered):
    """Bytes kept as text of C."""

    class Objects(_Objects):
        async def add(self, key: ObjectKey, data: bytes) -> bool:
            return await super().add(key, data.partition(b"\0")[0])


@caught_by(MetadataContract.test_a_small_object_is_never_changed)
class ReplacesObjects(Tampered):
    """An upsert, where an insert should be."""

    class Objects(_Objects):
        async def add(self, key: ObjectKey, data: bytes) -> bool:
            is_new = self._objects.get(key) is None
            self._objects.set(key, data)
            return is_new


@caught_by(MetadataContract.test_a_small_object_appears_with_its_commit)
class WritesObjectsAtOnce(Tampered):
    """The store is written to outside the transaction."""

    class Objects(_Objects):
        async def add(self, key: ObjectKey, data: bytes) -> bool:
            added = await super().add(key, data)
            self._objects.apply()
            return added


class _AddsObjectsByTheSide(Tampered):
    """Units that take no turns."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        yield self.begin()


@caught_by(MetadataContract.test_a_small_object_is_awaited_by_who_adds_it_too)
class LooksAtCommittedObjectsOnly(_AddsObjectsByTheSide):
    """A select before the insert, which does not wait for a row that is not committed."""


@caught_by(MetadataContract.test_a_small_object_is_added_by_one)
class AddsObjectsForEach(_AddsObjectsByTheSide):
    """A select before the insert: several units look before one of them inserts."""

    class Objects(_Objects):
        async def add(self, key: ObjectKey, data: bytes) -> bool:
            added = await super().add(key, data)
            await asyncio.sleep(0)
            return added
