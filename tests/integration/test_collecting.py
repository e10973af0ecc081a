"""Collections: the versions of one moment, whatever becomes of them while they are read."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.tables import CHUNKS
from adapters.storage.database import CHUNK, DatabaseBlobStore
from application.blobs import collect as collecting
from application.blobs.changes.delete import DeleteBlob
from application.blobs.collect import CollectBlobs, Collection, Selection
from application.contents.retention import GRACE
from application.ownership.markers import UnknownStorage
from application.stores import Stores
from domain.access import EVERYTHING, Action, Grant
from domain.blob import BlobId
from domain.errors import IntegrityError, InvalidPrefix, NoSpace, NotFound, NotGranted
from tests.integration.drive import Drive, Time
from tests.integration.renewing import Renewing

OFTEN = 1_000_000  # renewals in a grace: one every millisecond
ALL = Selection(prefixes=[""])


def collector(drive: Drive) -> CollectBlobs:
    return CollectBlobs(drive.metadata.blobs, drive.metadata.contents, drive.stores, drive.metadata)


async def read(collection: Collection) -> list[tuple[str, bytes]]:
    found = []
    async for version in collection.versions():
        async with collection.read(version) as chunks:
            found.append((version.id, b"".join([chunk async for chunk in chunks])))
    return found


async def collected(drive: Drive, selection: Selection, grant: Grant = EVERYTHING) -> list[str]:
    async with collector(drive)(grant, selection) as collection:
        return [blob_id for blob_id, _ in await read(collection)]


async def put(drive: Drive, *ids: str) -> None:
    for each in ids:
        await drive.put(each.encode(), BlobId(each))


async def test_a_selection_has_each_blob_once_in_order(any_drive: Drive) -> None:
    await put(any_drive, "b", "a/2", "a/1", "a", "c/x/1", "c/x", "d")
    ids = [BlobId(each) for each in ("b", "a/1", "b", "a")]
    assert await collected(any_drive, Selection(ids, ["c/", "a/", "c/x/", "none/"])) == [
        *("a", "a/1", "a/2", "b", "c/x", "c/x/1"),
    ]
    assert await collected(any_drive, Selection(prefixes=[""])) == ["a", "a/1", "a/2", "b", "c/x", "c/x/1", "d"]
    with pytest.raises(NotFound) as refused:
        await collected(any_drive, Selection([BlobId("b"), BlobId("z")]))
    assert refused.value.index == 1
    with pytest.raises(NotFound):
        await collected(any_drive, Selection(prefixes=["z"]))
    for ids in ([BlobId("a"), BlobId("a/none")], [BlobId("a"), BlobId("a/none"), BlobId("a/other"), BlobId("a/none")]):
        with pytest.raises(NotFound) as refused:
            await collected(any_drive, Selection(ids, ["a"]))
        assert (refused.value.index, refused.value.subject) == (1, BlobId("a/none")), "the prefix has it, or should"


async def test_more_blobs_than_a_page(any_drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "PAGE", 3)
    monkeypatch.setattr(collecting, "BATCH", 10)
    monkeypatch.setattr(collecting, "IN_MEMORY", 100)
    ids = [f"{number}" for number in range(10)]
    await put(any_drive, *ids)
    noted = list[str]()
    async with collector(any_drive)(EVERYTHING, ALL, lambda each: noted.append(each.id)) as collection:
        assert (noted, collection.count) == (ids, 10)
        assert await read(collection) == [(each, each.encode()) for each in ids]
    with pytest.raises(InvalidPrefix, match="More than 9 blobs"):
        async with replace(collector(any_drive), max_blobs=9)(EVERYTHING, ALL):
            pass


async def test_only_what_is_granted(any_drive: Drive) -> None:
    await put(any_drive, "films/a", "films/b", "music/a", "x")
    grant = Grant(frozenset({Action.READ, Action.LIST}), ("films/", "music/"))
    assert await collected(any_drive, ALL, grant) == ["films/a", "films/b", "music/a"]
    for refused in (Selection(prefixes=["x"]), Selection([BlobId("x")]), Selection([BlobId("x")], [""])):
        with pytest.raises(NotGranted):
            await collected(any_drive, refused, grant)
    assert await collected(any_drive, Selection([BlobId("films/a")]), replace(grant, actions={Action.READ}))
    for action in (Action.READ, Action.LIST):
        with pytest.raises(NotGranted):
            await collected(any_drive, ALL, replace(grant, actions={action}))


async def test_versions_are_those_of_the_start(drive: Drive) -> None:
    """They are replaced and deleted while others are read, for much longer than the grace."""
    renewing = Renewing(drive.metadata)
    ids = [f"{number}" for number in range(5)]
    await put(drive, *ids)
    collect = replace(collector(drive), units=renewing, renewals=OFTEN)
    async with collect(EVERYTHING, ALL) as collection:
        versions = collection.versions()
        first = await anext(versions)
        assert first.id == "0"
        await drive.put(b"new", BlobId("1"))
        await DeleteBlob(drive.metadata)(EVERYTHING, BlobId("3"))
        await put(drive, "00")
        for _ in range(5):
            drive.time.pass_by(GRACE * 2 / 3)
            await renewing.one()
            assert (await drive.reap()).deleted == 0
        rest = []
        async for version in versions:
            async with collection.read(version) as chunks:
                rest.append((version.id, b"".join([chunk async for chunk in chunks])))
    assert rest == [(each, each.encode()) for each in ids[1:]]
    drive.time.pass_by(GRACE)
    assert (await drive.reap()).deleted == 2


async def test_without_a_grace_nothing_is_held(drive: Drive) -> None:
    await put(drive, "a")
    collect = replace(collector(drive), grace=timedelta(0), renewals=OFTEN)
    async with collect(EVERYTHING, ALL) as collection:
        assert await read(collection) == [("a", b"a")]


@pytest.mark.parametrize("damage", ["gone", "shorter", "longer"])
async def test_damaged_bytes_are_an_error(any_drive: Drive, tmp_path: Path, damage: str) -> None:
    await put(any_drive, "a", "b")
    location = (await any_drive.metadata.blobs.get(BlobId("b"))).location
    await any_drive.active.delete(location.key)
    if damage != "gone":
        await any_drive.active.put(location.key, _chunks(b"" if damage == "shorter" else b"bb"))
    async with collector(any_drive)(EVERYTHING, ALL) as collection:
        with pytest.raises(IntegrityError):
            await read(collection)


async def test_on_a_storage_that_is_another_one_absence_is_no_damage(any_drive: Drive) -> None:
    async def another_one(backend: str) -> None:
        raise UnknownStorage(backend)

    await put(any_drive, "a")
    await any_drive.active.delete((await any_drive.metadata.blobs.get(BlobId("a"))).location.key)
    async with replace(collector(any_drive), recognise=another_one)(EVERYTHING, ALL) as collection:
        with pytest.raises(UnknownStorage):
            await read(collection)


async def test_an_object_that_lacks_a_part_is_damaged(tmp_path: Path) -> None:
    database = SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))
    async with SqlMetadata(database) as metadata:
        drive = Drive(metadata, Stores("database", {"database": DatabaseBlobStore(database)}), Time())
        await drive.put(b"x" * (2 * CHUNK + 1))
        async with database.transaction() as transaction:
            await transaction.run(lambda connection: connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.seq == 1)))
            await transaction.commit()
        async with collector(drive)(EVERYTHING, ALL) as collection:
            with pytest.raises(IntegrityError, match="is gone after 524,288 bytes"):
                await read(collection)


async def _chunks(data: bytes):  # type: ignore[no-untyped-def]
    yield data


async def test_a_full_disk_of_temporary_files_is_an_error(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "SpooledTemporaryFile", lambda max_size: open("/dev/full", "w+b", 0))  # noqa: SIM115
    assert isinstance(drive.metadata, MemoryMetadata)
    await put(drive, "a")
    with pytest.raises(NoSpace, match="temporary files"):
        async with collector(drive)(EVERYTHING, ALL):
            pass
