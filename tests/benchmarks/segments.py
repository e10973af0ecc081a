"""Ranges of a blob of 1 TiB in 10,000 segments, and of one in a single object, by turns; and the move to new tables.

Both blobs are sparse files, so no disk needs to hold them.
"""

import os
import random
import time
from datetime import timedelta
from pathlib import Path
from statistics import median

import sqlalchemy as sa
import uvloop
from sqlalchemy import Connection

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql import migrations
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.tables import BLOBS
from domain.blob import BlobId, Content, Digest, Draft, Location, ObjectKey, Segment
from domain.precondition import ANY
from tests.benchmarks.figures import Figures
from tests.http.server import Server
from tests.http.wire import AUTH, request
from tests.http.wire import Connection as HttpConnection

COUNT = 10_000
SIZE = 2**40 // COUNT  # bytes of a segment
WHOLE = SIZE * COUNT
READ = 64 * 1024  # bytes of a range
ROUNDS = 301
ALLOWED = 2.0
ROWS = 1_000_000
MINUTE = 60.0
OLD = "0007"
FILL = f"""
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})
    INSERT INTO blobs (id, backend, object_key, size, sha256, content_type, created_at, sole)
    SELECT 'films/' || printf('%08d', n) || '.mp4', 'fs', lower(hex(randomblob(16))), n, randomblob(32),
        'video/mp4', 1700000000000000 + n, 1
    FROM numbers
"""  # noqa: S608 - a constant
DIGEST = Digest(bytes(32))
ENDED = timedelta(0)


def measure(folder: Path, figures: Figures) -> None:
    """Print the time of a range, as a ratio to that of the single object, and the time of a migration."""
    server = Server(folder, MAX_BLOB_BYTES=str(2 * WHOLE), DATABASE_URL=f"sqlite:///{folder}/rows.db")
    with server:
        uvloop.run(_fill(folder))
        uvloop.run(_compare(server.port, figures))
    _migrate(folder / "old.db", figures)


async def _fill(folder: Path) -> None:
    blobs = folder / "data" / "blobs"

    def sparse(size: int) -> Location:
        key = ObjectKey.random()
        path = blobs / key.value[:3] / key.value
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.truncate(path, size)
        return Location("fs", key)

    segments = [Segment(sparse(SIZE), number * SIZE, SIZE, DIGEST) for number in range(COUNT)]
    parted = Content(Location("fs", ObjectKey.random()), WHOLE, None, COUNT, DIGEST)
    async with SqlMetadata(SqliteDatabase(SqliteConfig(folder / "rows.db"))) as metadata, metadata() as work:
        await work.contents.add(parted.key, segments)
        await work.contents.set_digest(parted.key, DIGEST, again_after=ENDED)
        await work.blobs.put(Draft(BlobId("parted"), parted), ANY)
        await work.blobs.put(Draft(BlobId("whole"), Content(sparse(WHOLE), WHOLE, DIGEST)), ANY)
        await work.commit()


async def _compare(port: int, figures: Figures) -> None:
    times: dict[str, list[float]] = {"parted": [], "whole": []}
    chance = random.Random(1)  # noqa: S311
    async with HttpConnection(port) as connection:
        for number in range(ROUNDS):
            start = chance.randrange(WHOLE - READ)
            for blob in times if number % 2 else reversed(times):
                asked = request(f"GET /v1/blobs/{blob}?alt=media", f"{AUTH}Range: bytes={start}-{start + READ - 1}\r\n")
                began = time.perf_counter()
                status, body = await connection.ask(asked)
                times[blob].append((time.perf_counter() - began) * 1000)
                assert (status, len(body)) == (206, READ), body[:500]
    parted, whole = median(times["parted"]), median(times["whole"])
    what = f"range of 64 KiB of 1 TiB in 10,000 segments: {parted:.2f} ms, in one object {whole:.2f} ms, ratio"
    figures.at_most(what, parted / whole, ALLOWED)


def _migrate(file: Path, figures: Figures) -> None:
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        migrations.upgrade(connection, OLD)
        connection.exec_driver_sql(FILL)
    began = time.perf_counter()
    with engine.begin() as connection:
        migrations.upgrade(connection)
    figures.seconds("migration of 1,000,000 blobs on SQLite", time.perf_counter() - began, MINUTE)
    with engine.begin() as connection:
        assert _count(connection) == ROWS


def _count(connection: Connection) -> int:
    found = sa.select(sa.func.count()).where(BLOBS.c.segments.is_(None))
    return connection.scalars(found).one()
