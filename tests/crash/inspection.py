"""The tables and the storage of a server, inspected and changed past it, and a clock that can be put forward."""

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
import stamina
from sqlalchemy import Connection

from adapters.sql.database import Database
from adapters.sql.tables import (
    BLOBS,
    CHUNKS,
    COMMITS,
    CONTENTS,
    DIGESTS,
    GARBAGE,
    KEYS,
    MULTIPART_UPLOADS,
    PARTS,
    SEGMENTS,
    STORAGES,
    TRASH,
    UPLOADS,
    DatabaseNow,
)
from application.ports.blob_store import BlobStore
from application.ports.metadata import DATABASE, Garbage
from domain.blob import Location, ObjectKey
from domain.errors import BlobError
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from tests import markers
from tests.backends import ceph
from tests.contracts.blob_store import each, keys
from tests.crash.keys import FOLDERS, in_few_folders, in_one_folder

CONTENT_TABLES = (TRASH, CONTENTS, SEGMENTS, DIGESTS, MULTIPART_UPLOADS, PARTS, COMMITS)


class Inspection:
    """The database and the storage of a server with this environment, whose tables are there. A context."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._settings = load(environment, Path("no such file"))
        self._container = Container(settings=self._settings)
        self._database: Database = self._container.database()
        self._new_key = in_few_folders()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(lifecycle.entered(self._container))
        if self._settings.storage != "memory":
            await markers.wait_until_all_are_there(self._container)
        await self._store.check()
        if self._settings.storage == "ftp":
            await self._make_folders()
        if self._settings.storage == "s3":
            self._s3 = await self._stack.enter_async_context(ceph.client(self._settings.backends["s3"]))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _make_folders(self) -> None:
        """Make the folders of all keys. Then no request finds one missing, and each passes the same points."""
        for key in [*(self._new_key() for _ in range(FOLDERS)), in_one_folder()]:
            await self._store.put(key, each([b"for a while"]))
            await self._store.delete(key)

    async def let_pass(self, time: timedelta) -> None:
        """Let leases, graces, claims and epochs have begun so much earlier."""
        earlier = time // timedelta(microseconds=1)

        def update(connection: Connection) -> None:
            connection.execute(sa.update(UPLOADS).values(expires_at=UPLOADS.c.expires_at - earlier))
            connection.execute(sa.update(GARBAGE).values(due_at=GARBAGE.c.due_at - earlier))
            connection.execute(sa.update(BLOBS).values(expires_at=BLOBS.c.expires_at - earlier))
            times = (TRASH.c.deleted_at, TRASH.c.retained_until, TRASH.c.due_at)
            connection.execute(sa.update(TRASH).values({time: time - earlier for time in times}))
            for time in (MULTIPART_UPLOADS.c.expires_at, COMMITS.c.committed_at, DIGESTS.c.due_at):
                connection.execute(sa.update(time.table).values({time: time - earlier}))
            epochs = sa.update(STORAGES).where(STORAGES.c.backend == self._settings.storage)
            connection.execute(epochs.values(advanced_at=STORAGES.c.advanced_at - earlier))

        # MariaDB may break the tie of a change to all rows and one to some by giving the former up.
        async for attempt in stamina.retry_context(on=BlobError, attempts=10, wait_initial=0.1):
            with attempt:
                async with self._database.transaction() as transaction:
                    await transaction.run(update)
                    await transaction.commit()

    async def leave_work_for_the_reaper(self) -> None:
        """An upload whose writer died, and a piece of garbage, each with its object."""
        uploaded, replaced = (Location(self._settings.storage, self._new_key()) for _ in range(2))
        async with self._container.metadata()() as work:
            await work.uploads.add(uploaded, timedelta(0))
            await work.garbage.add(Garbage(replaced), timedelta(0))
            await work.commit()
        for location in (uploaded, replaced):
            await self._store.put(location.key, each([b"for nothing"]))

    async def forget_the_storage(self) -> None:
        """As if it had never been marked."""
        forget = sa.delete(STORAGES).where(STORAGES.c.backend == self._settings.storage)
        for key in await self._database.read(markers.in_tables):
            await self._store.delete(ObjectKey(key))
        async with self._database.transaction() as transaction:
            await transaction.run(lambda connection: connection.execute(forget))
            await transaction.commit()

    async def advance(self) -> None:
        """Let the epoch have been replaced just now."""

        def update(connection: Connection) -> None:
            connection.execute(sa.update(STORAGES).values(advanced_at=DatabaseNow()))

        async with self._database.transaction() as transaction:
            await transaction.run(update)
            await transaction.commit()

    async def clear(self) -> None:
        """Take everything away but the markers."""
        ours = await self._database.read(markers.in_tables)
        for key in await keys(self._store):
            if key.value not in ours:
                await self._store.delete(key)
        async with self._database.transaction() as transaction:
            for table in (BLOBS, UPLOADS, GARBAGE, CHUNKS, *CONTENT_TABLES):
                await transaction.run(_delete_all, table)
            await transaction.run(lambda connection: connection.execute(sa.update(KEYS).values(stored_bytes=0)))
            await transaction.commit()

    async def miscounted(self) -> list[str]:
        """Keys whose bytes stored are not those of their blobs. Changes may be in progress."""
        return await self._database.read(_wrong_quotas)

    async def damage(self) -> list[str]:
        """Objects that are gone, though a version, a segment or a part names them, and counts that are wrong."""
        gone = list[str]()
        for storage in self._storages:
            rows: set[str] = set()
            for table in (BLOBS, TRASH, SEGMENTS, PARTS):
                rows |= await self._keys(table, storage)
            objects = await self._objects(storage)
            gone += [f"torn: an object that is in use is gone: {key}" for key in rows if key not in objects]
        return gone + await self._database.read(_wrong_contents) + await self.miscounted()

    async def left_over(self) -> list[str]:
        """All on the storage that is neither a blob's row, nor a blob's object, nor a marker.

        The markers of the other storages are kept in the background all the time.
        """
        storage = await self._container.metadata().known_storage(self._settings.storage)
        unfinished = [key for key in (storage.next, storage.former) if key] if storage else []
        rows = [
            *(f"left: an upload {key}" for key in await self._keys(UPLOADS)),
            *(f"left: garbage {key}" for key in await self._keys(GARBAGE)),
            *(f"left: a part {key}" for key in await self._keys(PARTS)),
            *await self._database.read(_left_of_contents),
            *(f"left: a marker that does not apply {key}" for key in unfinished),
            *(await self._left_in_the_database() if self._settings.storage != DATABASE else ()),
        ]
        if rows:
            return rows  # they name what else there is, and to list a storage may take long
        blobs = await self._keys(BLOBS) | await self._keys(SEGMENTS)
        objects = await self._objects(self._settings.storage)
        named = {str(key) for key in storage.keys} if storage else set()
        return [
            *(f"lost: the marker {key}" for key in named - objects),
            *(f"left: an object that no blob names {key}" for key in objects - blobs - named),
            *(f"left: an open upload in parts {key}" for key in await self._open_uploads()),
        ]

    async def _left_in_the_database(self) -> list[str]:
        """All of the storage in the database of the rows, from which blobs are moved to the other one."""
        return [
            f"left: {key} in {table.name}, in the database"
            for table in (BLOBS, SEGMENTS, UPLOADS, GARBAGE, PARTS, CHUNKS)
            for key in await self._keys(table, DATABASE)
        ]

    @property
    def _storages(self) -> set[str]:
        return {self._settings.storage, DATABASE}

    @property
    def _store(self) -> BlobStore:
        stores = self._container.stores()
        return stores.by_name[stores.active]

    async def _keys(self, table: sa.Table, storage: str = "") -> set[str]:
        def select(connection: Connection) -> set[str]:
            there = sa.select(table.c.object_key).distinct()
            if "segments" in table.c:  # then the key is that of a list
                there = there.where(table.c.segments.is_(None))
            if "backend" in table.c:
                there = there.where(table.c.backend == (storage or self._settings.storage))
            return set(connection.scalars(there))

        return await self._database.read(select)

    async def _objects(self, storage: str) -> set[str]:
        """The names of all that the storage holds, also of what is no object."""
        match storage:
            case "fs":
                return {path.name for path in self._settings.backends["fs"].base_path.rglob("*") if path.is_file()}
            case "database":
                return await self._keys(CHUNKS)
            case "s3":
                pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._settings.backends["s3"].bucket)
                return {found["Key"] async for page in pages for found in page.get("Contents", [])}
            case _:
                return {key.value for key in await keys(self._store)}

    async def _open_uploads(self) -> list[str]:
        if self._settings.storage != "s3":
            return []
        listing: Any = await self._s3.list_multipart_uploads(Bucket=self._settings.backends["s3"].bucket)
        return [upload["Key"] for upload in listing.get("Uploads", [])]


def _delete_all(connection: Connection, table: sa.Table) -> None:
    connection.execute(sa.delete(table))


def _left_of_contents(connection: Connection) -> list[str]:
    """Rows of contents that have no name, and rows of the trash, of uploads and of old commits."""
    in_use = set(_names(connection))
    keys = {table: set(connection.scalars(sa.select(column))) for table, column in _CONTENT_KEYS.items()}
    return [
        *(f"left: {table} {key}" for table in keys for key in keys[table] if key not in in_use),
        *(f"left: a version in the trash {key}" for key in connection.scalars(sa.select(TRASH.c.key))),
        *(f"left: an upload of parts {key}" for key in connection.scalars(sa.select(MULTIPART_UPLOADS.c.upload_key))),
    ]


def _wrong_contents(connection: Connection) -> list[str]:
    """Counts that are not the numbers of the names, and contents whose segments have gaps."""
    names = _names(connection)
    counts: dict[str, int] = {row.content_key: row.versions for row in connection.execute(sa.select(CONTENTS))}
    sizes = sa.select(SEGMENTS.c.content_key, sa.func.sum(SEGMENTS.c.size).label("size"))
    sums = {row.content_key: int(row.size) for row in connection.execute(sizes.group_by(SEGMENTS.c.content_key))}
    wrong = []
    for key, rows in names.items():
        if counts.get(key, 1) != len(rows) or any(bool(row.shared) != (key in counts) for row in rows):
            wrong.append(f"torn: {len(rows)} rows name {key}, and {counts.get(key)} are counted")
        if rows[0].segments and sums.get(key) != rows[0].size:
            wrong.append(f"torn: the segments of {key} have {sums.get(key)} bytes, and the blob {rows[0].size}")
    return wrong


def _wrong_quotas(connection: Connection) -> list[str]:
    """Counts that are not the sizes of the blobs of a key: in one statement, which sees one moment."""
    sizes = sa.select(sa.func.sum(BLOBS.c.size)).where(BLOBS.c.owner == KEYS.c.id).scalar_subquery()
    rows = connection.execute(sa.select(KEYS.c.id, KEYS.c.stored_bytes, sizes.label("size")))
    return [
        f"torn: stored_bytes of the key {row.id} is {row.stored_bytes}, and its blobs have {int(row.size or 0)}"
        for row in rows
        if row.stored_bytes != int(row.size or 0)
    ]


def _names(connection: Connection) -> dict[str, list[Any]]:
    """Return the rows that name a content or an object, by its key: of blobs, the trash, segments and parts."""
    found: dict[str, list[Any]] = {}
    for table in (BLOBS, TRASH, SEGMENTS, PARTS):
        segments = table.c.segments if "segments" in table.c else sa.literal(0).label("segments")
        for row in connection.execute(sa.select(table.c.object_key, table.c.size, segments, table.c.shared)):
            found.setdefault(row.object_key, []).append(row)
    return found


_CONTENT_KEYS = {table.name: table.c.content_key for table in (CONTENTS, SEGMENTS, DIGESTS)}
