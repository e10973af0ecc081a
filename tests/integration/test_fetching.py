"""What a reader finds when rows and objects do not agree."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.tables import CHUNKS
from adapters.storage.database import CHUNK, DatabaseBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.contents.retention import GRACE
from application.ownership.markers import UnknownStorage
from application.stores import Stores
from domain.access import EVERYTHING
from domain.blob import BlobId, ByteRange, Content, Digest, Draft, Location, ObjectKey
from domain.errors import BlobError, Kind
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.raw_form import RAW
from tests.contracts.blob_store import each
from tests.integration.drive import ID, LONG_AGO, Drive, Time

OLD, NEW = b"0123456789", b"new"


async def another_one(backend: str) -> None:
    raise UnknownStorage(backend)


def tag_of(data: bytes) -> str:
    digest = Digest(hashlib.sha256(data).digest())
    content = Content(Location("memory", ObjectKey.random()), len(data), digest)
    return conditional.etag(Draft(ID, content).published(LONG_AGO))


OLD_TAG, NEW_TAG = tag_of(OLD), tag_of(NEW)


class Interrupted(MemoryBlobStore):
    """Something happens between the reading of the row and the next reading of an object."""

    before_the_next_open: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        if happening := self.before_the_next_open:
            self.before_the_next_open = None
            await happening()
        async with super().read(key, byte_range) as chunks:
            yield chunks


class TestFetchFindsTheTruth:
    async def test_a_reader_that_loses_the_race_against_the_reaper_gets_the_new_version(self, drive: Drive) -> None:
        store = Interrupted()
        raced = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)

        async def replace_and_reap() -> None:
            await raced.put(b"new")
            drive.time.pass_by(GRACE)
            await raced.reap()

        await raced.put(b"old")
        store.before_the_next_open = replace_and_reap
        assert await raced.get() == b"new"

    @pytest.fixture
    def raced(self, drive: Drive) -> Drive:
        """Before the next object is opened, its blob is replaced, and it is reaped."""
        store = Interrupted()
        raced = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)

        async def replace_and_reap() -> None:
            store.before_the_next_open = None
            await raced.put(NEW)
            drive.time.pass_by(GRACE)
            assert (await raced.reap()).deleted == 1

        store.before_the_next_open = replace_and_reap
        return raced

    @pytest.mark.parametrize(
        ("headers", "part"),
        [
            ({}, None),
            ({"range": "bytes=1-"}, ByteRange(1, 3)),
            ({"range": "bytes=-2"}, ByteRange(1, 3)),
            ({"range": "bytes=1-5"}, ByteRange(1, 3)),
            ({"range": "bytes=1-", "if-range": OLD_TAG}, None),
            ({"range": "bytes=1-", "if-range": NEW_TAG}, ByteRange(1, 3)),
        ],
    )
    async def test_the_part_is_one_of_the_version_that_is_served(
        self, raced: Drive, headers: dict[str, str], part: ByteRange | None
    ) -> None:
        await raced.put(OLD)
        async with raced.fetch(EVERYTHING, ID, partial(RAW.part, headers)) as opened:
            assert (opened.byte_range, opened.blob.size) == (part, len(NEW))
            start, stop = (part.start, part.stop) if part else (0, len(NEW))
            assert b"".join([chunk async for chunk in opened]) == NEW[start:stop]

    async def test_the_conditions_are_those_of_the_version_that_is_served(self, raced: Drive) -> None:
        await raced.put(OLD)
        with pytest.raises(HttpProblem, match="which has 3 bytes"):
            await raced.get(choose=partial(RAW.part, {"range": "bytes=5-"}))

    async def test_what_is_known_of_the_version_that_is_served_is_not_sent(self, raced: Drive) -> None:
        await raced.put(OLD)
        with pytest.raises(NotModified):
            await raced.get(choose=partial(RAW.part, {"if-none-match": NEW_TAG}))

    async def test_a_reader_may_lose_the_race_many_times(self, drive: Drive) -> None:
        store = Interrupted()
        raced = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)
        left = iter(range(5))

        async def replace_and_reap() -> None:
            number = next(left, None)
            if number is not None:
                await raced.put(b"%d" % number)
                drive.time.pass_by(GRACE)
                await raced.reap()
                store.before_the_next_open = replace_and_reap

        await raced.put(b"old")
        store.before_the_next_open = replace_and_reap
        assert await raced.get() == b"4"

    async def test_a_row_without_its_object_is_damage_not_absence(self, any_drive: Drive) -> None:
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        with pytest.raises(BlobError, match=r"is gone; it should have 4 bytes") as caught:
            await any_drive.get()
        assert (caught.value.kind, caught.value.subject) == (Kind.INTEGRITY, blob.location.key)

    async def test_on_a_storage_that_is_another_one_absence_is_no_damage(self, any_drive: Drive) -> None:
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        any_drive.fetch = replace(any_drive.fetch, recognise=another_one)
        with pytest.raises(UnknownStorage):
            await any_drive.get()

    @pytest.mark.parametrize(
        ("there", "why"), [(b"", "ends after 0"), (b"her", "ends after 3"), (b"here!", "is longer")]
    )
    async def test_an_object_of_another_size_is_damage(self, any_drive: Drive, there: bytes, why: str) -> None:
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        await any_drive.active.put(blob.location.key, each([there]))
        with pytest.raises(BlobError, match=why) as caught:
            await any_drive.get()
        assert caught.value.kind is Kind.INTEGRITY

    @pytest.mark.parametrize("there", [b"", b"he"])
    async def test_a_range_that_a_shorter_object_lacks_is_damage(self, any_drive: Drive, there: bytes) -> None:
        """A client takes 416 for the end of a blob that it has all of."""
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        await any_drive.active.put(blob.location.key, each([there]))
        with pytest.raises(BlobError, match="ends before byte 2; it should have 4") as caught:
            await any_drive.get(choose=lambda _: ByteRange(2, 4))
        assert caught.value.kind is Kind.INTEGRITY

    @pytest.mark.parametrize("part", [None, ByteRange(CHUNK, CHUNK + 3)])
    async def test_an_object_that_lacks_a_part_is_damage_not_absence(
        self, tmp_path: Path, part: ByteRange | None
    ) -> None:
        database = SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))
        async with SqlMetadata(database) as metadata:
            drive = Drive(metadata, Stores("database", {"database": DatabaseBlobStore(database)}), Time())
            await drive.put(b"x" * (2 * CHUNK + 1))
            async with database.transaction() as transaction:
                await transaction.run(lambda connection: connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.seq == 1)))
                await transaction.commit()
            with pytest.raises(BlobError, match=r"is gone after [\d,]+ bytes; it should have 1,048,577") as caught:
                await drive.get(choose=lambda _: part)
        assert caught.value.kind is Kind.INTEGRITY

    async def test_blobs_are_read_from_where_they_are(self, drive: Drive) -> None:
        await drive.put(b"old")
        both = {"memory": drive.active, "other": MemoryBlobStore()}
        switched = Drive(drive.metadata, Stores("other", both), drive.time)
        await switched.put(b"new", BlobId("new"))
        assert (await switched.get(), await switched.get(BlobId("new"))) == (b"old", b"new")
        alone = Drive(drive.metadata, Stores("other", {"other": both["other"]}), drive.time)
        with pytest.raises(BlobError, match="'memory', which is not configured") as caught:
            await alone.get()
        assert caught.value.kind is Kind.UNAVAILABLE
