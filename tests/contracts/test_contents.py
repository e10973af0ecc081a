"""Metadata adapters under the contract of contents, and what only databases promise about it."""

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql import references
from adapters.metadata.sql.blobs import blobs, prefixes, trash
from adapters.metadata.sql.contents import contents, multipart
from adapters.metadata.sql.rows import batches, listing
from adapters.metadata.sql.rows.versions import COLUMNS
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.statement import Statement
from adapters.sql.tables import (
    BLOBS,
    DIGESTS,
    METADATA,
    MULTIPART_UPLOADS,
    PARTS,
    SEGMENTS,
    TRASH,
    DatabaseNow,
    time_of,
)
from application.ports.metadata import DATABASE
from domain.blob import BlobId, Digest, Location, ObjectKey
from tests import many_blobs
from tests.contracts import test_metadata
from tests.contracts.contents import (
    FUTURE,
    PAST,
    SOME,
    SOON,
    ContentsContract,
    MovableClock,
    add_segmented,
    all_ids,
    begin,
    delete,
    expiring,
    garbage,
    lock,
    move,
    names_of,
    part,
    put_all,
    put_part,
    segmented,
    segments_of,
    upload_to,
    with_checksums,
)
from tests.contracts.metadata import LONG, NOW, Metadata, add_object, blob, in_a_unit, placed, put, release
from tests.contracts.resumable import ResumableContract

Function = Callable[..., Any]
ROWS = 5000
WIDE = [chr(code) for code in range(0x10000, 0x110000)]  # characters of four bytes each
BATCH = 50


def key_of(number: int) -> ObjectKey:
    """Return the key of a row of `many_blobs`."""
    return ObjectKey(f"{number:032x}")


class TestMemory(ContentsContract, ResumableContract):
    @pytest.fixture
    def metadata(self) -> Metadata:
        return MemoryMetadata(MovableClock())

    async def wait_until(self, metadata: Metadata, time: datetime) -> None:
        assert isinstance(metadata, MemoryMetadata)
        assert isinstance(metadata.now, MovableClock)
        metadata.now.move_to(time)

    now = test_metadata.TestMemory.now
    rows = test_metadata.TestMemory.rows


class DatabaseContract(ContentsContract, ResumableContract):
    """A subclass has fixtures for a `database`, not entered, and one that `may_have_tables`, but without rows."""

    tables: Database
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows

    async def now(self, metadata: Metadata) -> datetime:
        return time_of(await self.tables.read(_now))

    analyze: Sequence[str]
    explain: str
    scans: str  # a pattern: so a plan shows that a whole table or index is read

    async def test_an_expired_blob_is_not_read_with_its_bytes(self, metadata: Metadata) -> None:
        assert isinstance(metadata, SqlMetadata)
        key = ObjectKey.random()
        assert await add_object(metadata, key, b"small")
        version = expiring(placed(blob(size=5), Location(DATABASE, key)), PAST)
        await put(metadata, version)
        assert await metadata.find_with_bytes(version.id) is None

    async def test_a_blob_that_expires_during_a_move_is_moved(
        self, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise it would stay where it was put aside, under an id that nobody can read."""

        def rename(*args: Any) -> int:
            moved = original(*args)
            time.sleep(SOON.total_seconds())
            return moved

        original = prefixes._rename
        at = await self.now(metadata) + SOON
        await put_all(metadata, [expiring(blob("a/1"), at), blob("a/2")])
        monkeypatch.setattr(prefixes, "_rename", rename)
        moved = await move(metadata, "a/", "a/b/")
        assert sorted(each.id.value for each in await metadata.blobs.by_content(None, 10)) == (
            ["a/b/1", "a/b/2"] if moved == 2 else ["a/1", "a/b/2"]
        )

    async def test_a_blob_that_is_stored_during_a_move_gets_no_invalid_id(
        self, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prefixes, "_check_sizes", lambda *_: None)
        longest, shortest = "a/" + "é" * 1023, "a/"
        await put_all(metadata, [blob(longest), blob("a/2")])
        assert await move(metadata, "a/", "a/b/") == 1
        assert await move(metadata, "a/b/", "b/c/") == 1
        await put_all(metadata, [blob(shortest)])
        assert await move(metadata, "a/", "") == 1
        assert await all_ids(metadata) == [shortest, "b/c/2", "é" * 1023]

    async def test_checksums_of_other_bytes_are_ignored(self, metadata: Metadata) -> None:
        """An older Drivebay that is still running replaces bytes, and leaves columns that it does not know."""
        version, added = with_checksums(blob(), SOME), await begin(metadata, upload_to())
        segments = [replace(each, checksums=SOME) for each in segments_of([1])]
        await put(metadata, version)
        await put_part(metadata, added.key, replace(part(1), checksums=SOME))
        await add_segmented(metadata, segmented("segmented", segments), segments)

        def replace_bytes(connection: Connection) -> None:
            for table in (BLOBS, PARTS, SEGMENTS):
                connection.execute(sa.update(table).values(object_key=ObjectKey.random().value))

        async with self.tables.transaction() as transaction:
            await transaction.run(replace_bytes)
            await transaction.commit()
        assert (await metadata.blobs.get(version.id)).checksums is None
        [found] = await metadata.multipart.parts(added.key, 0, 10)
        assert found.checksums is None
        listed = await metadata.blobs.between("", None, 10)
        assert [each.checksums for each in listed] == [None, None]

    async def test_a_unit_releases_contents_of_a_few_segments(
        self, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A unit that takes longer than a statement may would be rolled back, and so would be the next one."""
        monkeypatch.setattr(batches, "MOST", 3)
        lists = [segments_of([1, 2]), segments_of([1] * 5), segments_of([3, 4])]
        for number, segments in enumerate(lists):
            await add_segmented(metadata, segmented(f"{number}", segments), segments)
            await delete(metadata, BlobId(f"{number}"))
        assert [await release(metadata, 100) for _ in range(4)] == [1, 1, 1, 0]
        assert await garbage(metadata) == sorted(key for segments in lists for key in names_of(segments))

    async def test_a_unit_discards_expired_uploads_of_a_few_parts(
        self, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batches, "MOST", 3)
        uploads = {(await begin(metadata, upload_to())).key: [part(1), part(2)] for _ in range(3)}
        for key, parts in uploads.items():
            for each in parts:
                await put_part(metadata, key, each)
            await lock(metadata, key, NOW)

        async def discard_expired() -> int:
            return await in_a_unit(metadata, lambda work: work.multipart.discard_expired(100))

        assert [await discard_expired() for _ in range(4)] == [1, 1, 1, 0]
        assert await garbage(metadata) == sorted(each.location.key for parts in uploads.values() for each in parts)

    async def test_the_longest_ids_fit_into_each_index(self, metadata: Metadata) -> None:
        """Ids that can't be compressed: some databases limit the size of a row of an index."""
        generator = random.Random(5)  # noqa: S311
        ids = sorted("".join(generator.choices(WIDE, k=512)) for _ in range(200))
        assert {len(each.encode()) for each in ids} == {2048}
        await put_all(metadata, [expiring(blob(each), FUTURE) for each in ids])
        uploads = [await begin(metadata, upload_to(each)) for each in ids]
        for each in ids[::2]:
            await delete(metadata, BlobId(each), LONG)
        assert await all_ids(metadata) == ids[1::2]
        assert [each.blob.id.value for each in await metadata.trash.between("", 0, None, 1000)] == ids[::2]
        assert [each.key for each in await metadata.multipart.between("", None, None, 1000)] == [
            each.key for each in uploads
        ]
        assert len(await metadata.blobs.by_content(None, 1000)) == 100
        assert await metadata.blobs.count(ids[0], None, 1000) == 100

    async def test_statements_read_no_more_rows_than_they_need(self, database: Database) -> None:
        ids = [BlobId(f"05/{number}") for number in range(5, ROWS, 20)]

        def plans(connection: Connection) -> dict[str, list[str]]:
            _fill(connection)
            for statement in self.analyze:
                connection.execute(sa.text(statement))
            return {name: self._plans(connection, *call) for name, call in calls.items()}

        calls: dict[str, tuple[Any, ...]] = {
            "between": (listing.between, "05/", "06", BATCH),
            "rolled up": (listing.rolled_up, "", None, BATCH, "", "/"),
            "by content": (blobs._select_by_content, None, BATCH),
            "by content, after": (blobs._select_by_content, (key_of(ROWS // 2), "x"), BATCH),
            "trash": (trash._select_between, "05/", 0, "06", BATCH),
            "trash, after": (trash._select_between, ids[3].value, ROWS // 2, "06", BATCH),
            "segment": (_execute, contents._AT_POSITION, {"content": key_of(7).value, "position": 234}),
            "segments": (contents._select_following, key_of(7), 230, BATCH),
            "uploads": (multipart._select_between, "05/", None, "06", BATCH),
            "uploads, after": (multipart._select_between, ids[3].value, key_of(3), "06", BATCH),
            "parts": (multipart._select_parts, key_of(7), 5, BATCH),
            "named": (references.named, "fs", [key_of(number) for number in range(100)]),
            "count": (prefixes.count, "05/", "06", BATCH),
            "lock between": (blobs._lock_between, "05/", "06", BATCH),
            "lock each": (blobs._lock_each, ids[:BATCH]),
            "claim digest": (contents._claim_digest, LONG),
            "set digest": (contents._set_digest, key_of(8), Digest(bytes(32)), LONG),
            "release": (trash._release, BATCH),
            "discard": (multipart._discard, key_of(1)),
            "discard expired": (multipart._discard_expired, BATCH),
            "move expired": (trash._move_expired, BATCH, NOW),
            "move to the trash": (trash._move, [each.value for each in ids[:BATCH]], LONG, NOW),
            "expired targets": (prefixes.lock_expired_targets, "06/29", "06/3", "06/29", "06/49"),
            "move": (prefixes.move, "06/1", "06/2", "06/1", "x/"),
            "move within": (prefixes.move, "07/1", "07/2", "07/1", "07/1x"),
        }
        async with database, database.transaction() as transaction:
            for name, found in (await transaction.run(plans)).items():
                for plan in found:
                    assert not re.search(self.scans, plan), f"{name}:\n{plan}"

    def _plans(self, connection: Connection, function: Function, *args: object) -> list[str]:
        statements: list[tuple[str, Any]] = []

        def note(_: Connection, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
            if not many:
                statements.append((statement, parameters))

        sa.event.listen(connection, "before_cursor_execute", note)
        assert function(connection, *args) not in (0, [], False), "it finds nothing"
        sa.event.remove(connection, "before_cursor_execute", note)
        explained = []
        for statement, values in statements:
            rows = connection.exec_driver_sql(f"{self.explain} {statement}", values)
            explained.append("\n".join([statement, *("  " + " ".join(map(str, row)) for row in rows)]))
        return explained


def _execute(connection: Connection, statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
    return connection.execute(statement._statement, values).all()


def _now(connection: Connection) -> int:
    return connection.scalars(sa.select(DatabaseNow())).one()


def _fill(connection: Connection) -> None:
    """Add rows to all tables of contents, a few of which are due."""
    numbers = range(ROWS)
    many_blobs.insert(connection, numbers, lambda number: f"{number % 20:02}/{number}")
    later = DatabaseNow() + 10**9
    connection.execute(sa.update(BLOBS).where(BLOBS.c.size % 10 == 5).values(expires_at=later))
    expired = sa.update(BLOBS).where(BLOBS.c.size >= ROWS - 2 * BATCH)
    connection.execute(expired.values(expires_at=BLOBS.c.size))
    is_due = BLOBS.c.size % 20 == 1
    rows = sa.select(*(BLOBS.c[name] for name in COLUMNS), DatabaseNow(), later, sa.case((is_due, 1), else_=later))
    connection.execute(
        sa.insert(TRASH).from_select(
            [*COLUMNS, "deleted_at", "retained_until", "due_at"], rows.where(BLOBS.c.size < ROWS - 2 * BATCH)
        )
    )
    connection.execute(sa.update(TRASH).where(TRASH.c.size % 40 == 1).values(segments=100, composite=bytes(32)))
    place = {"backend": "fs", "size": 10, "sha256": bytes(32)}
    segments = [
        place | {"content_key": key_of(number // 100).value, "start": number % 100 * 10, "object_key": f"a{number:031}"}
        for number in numbers
    ]
    connection.execute(sa.insert(SEGMENTS), segments)
    parts = [
        place | {"upload_key": key_of(number // 100).value, "number": number % 100, "object_key": f"b{number:031}"}
        for number in numbers
    ]
    connection.execute(sa.insert(PARTS), parts)
    now = _now(connection)
    attributes = multipart._attributes(upload_to())
    uploads = [
        {
            "upload_key": key_of(number).value,
            "blob_id": f"{number % 20:02}/{number}",
            "attributes": attributes,
            "received": 0,
            "created_at": now,
            "expires_at": now + (10**9 if number % 50 else -1),
        }
        for number in numbers
    ]
    connection.execute(sa.insert(MULTIPART_UPLOADS), uploads)
    digests = [{"content_key": key_of(number).value, "due_at": now + number * 10**9} for number in numbers]
    connection.execute(sa.insert(DIGESTS), digests)


class TestSqlite(DatabaseContract):
    analyze = ("ANALYZE",)
    explain = "EXPLAIN QUERY PLAN"
    scans = r"SCAN (?!anon_|seeks|CONSTANT)"

    database = test_metadata.TestSqlite.database
    may_have_tables = test_metadata.TestSqlite.may_have_tables


@pytest.mark.docker
class TestPostgresql(DatabaseContract):
    analyze = ("ANALYZE",)
    explain = "EXPLAIN"
    scans = r"Seq Scan on (?!(uploads|unused_objects|storages)\b)"  # which are empty

    database = test_metadata.TestPostgresql.database
    may_have_tables = test_metadata.TestPostgresql.may_have_tables
    expect_none_open = test_metadata.TestPostgresql.expect_none_open


@pytest.mark.docker
class TestMariadb(DatabaseContract):
    analyze = (f"ANALYZE TABLE {', '.join(table.name for table in METADATA.sorted_tables)}",)
    explain = "EXPLAIN"
    scans = r"[a-z] (ALL|index) (?!condition)|[a-z] (range|ref) .*filesort"  # not of a table like <derived2>

    database = test_metadata.TestMariadb.database
    may_have_tables = test_metadata.TestMariadb.may_have_tables
    expect_none_open = test_metadata.TestMariadb.expect_none_open
