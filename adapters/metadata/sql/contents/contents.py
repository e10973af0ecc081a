"""Contents in a SQL database: their segments, what is shared, and digests to be computed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.checksums import checksums_of, text_of
from adapters.metadata.sql.rows.names import add_name, release
from adapters.metadata.sql.rows.versions import BlobRow
from adapters.sql.database import First, Run
from adapters.sql.statement import Statement
from adapters.sql.tables import BLOBS, DIGESTS, SEGMENTS, TRASH, DatabaseNow, from_now
from application.ports.contents import ContentReader, ContentRepository, DigestJob
from domain.blob import Blob, Content, Digest, Location, ObjectKey, Segment


class SqlContents(ContentRepository, ContentReader):
    def __init__(self, run: Run, first: First) -> None:
        self._run = run
        self._first = first

    async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
        row = await self._first(_AT_POSITION, {"content": content.value, "position": position})
        if row is None or position >= (segment := _segment(row)).stop:
            return []
        # A range is mostly in one segment, and its row is read as quickly as that of the blob.
        more = await self._run(_select_following, content, segment.start, limit - 1) if limit > 1 else ()
        return [segment, *more]

    async def add(self, content: ObjectKey, segments: Sequence[Segment]) -> None:
        await self._run(_insert_segments, content, segments)

    async def share(self, blob: Blob) -> Content:
        return await self._run(_share, blob)

    async def share_segment(self, content: ObjectKey, start: int) -> Segment:
        return await self._run(_share_segment, content, start)

    async def release(self, objects: Sequence[Location]) -> None:
        await self._run(release, [(each.key.value, each.backend) for each in objects])

    async def claim_digest(self, lease: timedelta) -> DigestJob | None:
        return await self._run(_claim_digest, lease)

    async def keep_digest(self, job: DigestJob, lease: timedelta) -> bool:
        return await self._run(_keep_digest, job, lease)

    async def set_digest(self, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
        await self._run(_set_digest, content, digest, again_after)


_AT_POSITION = Statement(
    sa.select(SEGMENTS)
    .where(
        SEGMENTS.c.content_key == sa.bindparam("content"),
        SEGMENTS.c.start <= sa.bindparam("position", type_=sa.BigInteger),
    )
    .order_by(SEGMENTS.c.start.desc())
    .limit(sa.literal_column("1"))
)


def _select_following(connection: Connection, content: ObjectKey, start: int, limit: int) -> Sequence[Segment]:
    of_content = sa.and_(SEGMENTS.c.content_key == content.value, SEGMENTS.c.start > start)
    found = sa.select(SEGMENTS).where(of_content).order_by(SEGMENTS.c.start).limit(limit)
    return [_segment(row) for row in connection.execute(found)]


def _segment(row: BlobRow) -> Segment:
    location = Location(row.backend, ObjectKey(row.object_key))
    checksums = checksums_of(row.checksums, row.object_key)
    return Segment(location, row.start, row.size, Digest(bytes(row.sha256)), checksums, bool(row.shared))


def _insert_segments(connection: Connection, content: ObjectKey, segments: Sequence[Segment]) -> None:
    rows = [
        {
            "content_key": content.value,
            "start": segment.start,
            "backend": segment.location.backend,
            "object_key": segment.location.key.value,
            "size": segment.size,
            "sha256": segment.digest.sha256,
            "checksums": text_of(segment.checksums, segment.location.key),
            "shared": segment.is_shared or None,
        }
        for segment in segments
    ]
    connection.execute(sa.insert(SEGMENTS), rows)
    connection.execute(sa.insert(DIGESTS).values(content_key=content.value, due_at=DatabaseNow(), hashed=0))


def _share(connection: Connection, blob: Blob) -> Content:
    add_name(connection, blob.content.key.value, is_shared=blob.content.is_shared)
    if not blob.content.is_shared:
        connection.execute(sa.update(BLOBS).where(BLOBS.c.id == blob.id.value).values(shared=True))
    return replace(blob.content, is_shared=True)


def _share_segment(connection: Connection, content: ObjectKey, start: int) -> Segment:
    of_segment = (SEGMENTS.c.content_key == content.value, SEGMENTS.c.start == start)
    # Versions that share the list are locked by different units, so the segment is locked too.
    segment = _segment(connection.execute(sa.select(SEGMENTS).where(*of_segment).with_for_update()).one())
    add_name(connection, segment.location.key.value, is_shared=segment.is_shared)
    if not segment.is_shared:
        connection.execute(sa.update(SEGMENTS).where(*of_segment).values(shared=True))
    return replace(segment, is_shared=True)


def _claim_digest(connection: Connection, lease: timedelta) -> DigestJob | None:
    due = (
        sa.select(DIGESTS)
        .where(DIGESTS.c.due_at <= DatabaseNow())
        .order_by(DIGESTS.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(due).one_or_none()
    if row is None:
        return None
    state = None if row.state is None else bytes(row.state)
    digest = None if row.sha256 is None else Digest(bytes(row.sha256))
    job = DigestJob(ObjectKey(row.content_key), row.hashed, state, digest)
    _keep_digest(connection, job, lease)
    return job


def _keep_digest(connection: Connection, job: DigestJob, lease: timedelta) -> bool:
    kept = sa.update(DIGESTS).where(DIGESTS.c.content_key == job.content.value)
    values = {"due_at": from_now(lease), "hashed": job.hashed, "state": job.state}
    return connection.execute(kept.values(values)).rowcount == 1


def _set_digest(connection: Connection, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
    of_content = DIGESTS.c.content_key == content.value
    if again_after:
        values = {"sha256": digest.sha256, "due_at": from_now(again_after)}
        connection.execute(sa.update(DIGESTS).where(of_content).values(values))
    else:
        connection.execute(sa.delete(DIGESTS).where(of_content))
    for table in (BLOBS, TRASH):
        unknown = sa.and_(table.c.object_key == content.value, table.c.sha256.is_(None))
        connection.execute(sa.update(table).where(unknown).values(sha256=digest.sha256))
