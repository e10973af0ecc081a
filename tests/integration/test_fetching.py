"""What a reader finds when rows and objects do not agree."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.storage.memory import MemoryBlobStore
from application.store_blob import GRACE
from application.stores import Stores
from domain.blob import BlobId, ByteRange, ObjectKey
from domain.errors import DriveError, Kind
from tests.contracts.blob_store import each
from tests.integration.drive import Drive


class Interrupted(MemoryBlobStore):
    """Something happens between the reading of the row and the next reading of an object."""

    before_the_next_open: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        if happening := self.before_the_next_open:
            self.before_the_next_open = None
            await happening()
        async with super().open(key, byte_range) as chunks:
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

    async def test_a_row_without_its_object_is_damage_not_absence(self, any_drive: Drive) -> None:
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        with pytest.raises(DriveError, match=r"is gone; it should have 4 bytes") as caught:
            await any_drive.get()
        assert (caught.value.kind, caught.value.subject) == (Kind.INTEGRITY, blob.location.key)

    @pytest.mark.parametrize(
        ("there", "why"), [(b"", "ends after 0"), (b"her", "ends after 3"), (b"here!", "is longer")]
    )
    async def test_an_object_of_another_size_is_damage(self, any_drive: Drive, there: bytes, why: str) -> None:
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        await any_drive.active.put(blob.location.key, each([there]))
        with pytest.raises(DriveError, match=why) as caught:
            await any_drive.get()
        assert caught.value.kind is Kind.INTEGRITY

    async def test_blobs_are_read_from_where_they_are(self, drive: Drive) -> None:
        await drive.put(b"old")
        both = {"memory": drive.active, "other": MemoryBlobStore()}
        switched = Drive(drive.metadata, Stores("other", both), drive.time)
        await switched.put(b"new", BlobId("new"))
        assert (await switched.get(), await switched.get(BlobId("new"))) == (b"old", b"new")
        alone = Drive(drive.metadata, Stores("other", {"other": both["other"]}), drive.time)
        with pytest.raises(DriveError, match="'memory', which is not configured") as caught:
            await alone.get()
        assert caught.value.kind is Kind.UNAVAILABLE
