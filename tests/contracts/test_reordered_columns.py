"""The metadata in SQL reads rows by the names of their columns: SELECTs with reordered columns return the same."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from application.ports.metadata import Backlog, Garbage
from tests.contracts.buckets import bucket
from tests.contracts.contents import SOME, begin, part, put_part, upload_to
from tests.contracts.metadata import LONG, NOW, blob, know, location, put, remove, storage


def reordered(_: sa.Connection, statement: Any, *parameters: Any) -> Any:
    """The statement with its columns in reverse, and another one before them."""
    if isinstance(statement, sa.Select) and len(statement.selected_columns) > 1:
        columns = reversed([*statement.selected_columns])
        statement = statement.with_only_columns(sa.literal("new").label("new"), *columns)
    return statement, *parameters[:2]


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[SqlMetadata]:
    async with SqlMetadata(SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))) as metadata:
        yield metadata


@pytest.fixture(autouse=True)
def reordered_columns(metadata: SqlMetadata) -> Iterator[None]:
    event.listen(sa.Engine, "before_execute", reordered, retval=True)
    yield
    event.remove(sa.Engine, "before_execute", reordered)


async def test_blobs(metadata: SqlMetadata) -> None:
    one, two = blob("a/1", size=1), blob("b", size=2, content_type="image/png")
    await put(metadata, one)
    await put(metadata, blob("b"))
    await put(metadata, two)
    assert await metadata.blobs.find(two.id) == two
    assert await metadata.blobs.between("", None, 9) == [one, two]
    assert await metadata.blobs.rolled_up("", None, 9, "", "/") == ["a/", two]
    in_order = sorted([one, two], key=lambda each: each.location.key)
    assert await metadata.blobs.by_content(None, 9) == in_order
    assert await remove(metadata, one.id) == one


async def test_uploads_and_garbage(metadata: SqlMetadata) -> None:
    upload, garbage = location("fs"), Garbage(location("s3"), deletes=3)
    async with metadata() as work:
        await work.uploads.add(upload, NOW)
        await work.garbage.add(garbage, NOW - LONG)
        await work.commit()
    on_fs, on_s3 = await metadata.backlog()
    assert on_fs == Backlog("fs", uploads=1, garbage=0, due=0, overdue=timedelta(0))
    assert (on_s3.uploads, on_s3.garbage, on_s3.due, on_s3.overdue >= LONG) == (0, 1, 1, True)
    async with metadata() as work:
        assert await work.uploads.remove_expired("fs", 9) == [upload]
        assert await work.garbage.claim("s3", 9, LONG) == [garbage]


async def test_buckets(metadata: SqlMetadata) -> None:
    async with metadata() as work:
        added = await work.buckets.add(bucket())
        await work.commit()
    assert added == await metadata.buckets.find(bucket().name)
    assert await metadata.buckets.list("", 9) == [added]


async def test_parts(metadata: SqlMetadata) -> None:
    upload = await begin(metadata, upload_to())
    await put_part(metadata, upload.key, replace(part(1), checksums=SOME))
    [found] = await metadata.multipart.parts(upload.key, 0, 9)
    assert (found, found.checksums) == (replace(part(1), location=found.location), SOME)


async def test_storages(metadata: SqlMetadata) -> None:
    await know(metadata, known := storage())
    assert await metadata.known_storage(known.backend) == known
