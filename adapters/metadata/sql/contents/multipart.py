"""Uploads of several parts in a SQL database."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows import listing
from adapters.metadata.sql.rows.batches import few
from adapters.metadata.sql.rows.checksums import checksums_of, text_of
from adapters.metadata.sql.rows.listing import AFTER_ALL
from adapters.metadata.sql.rows.names import release, release_unshared
from adapters.metadata.sql.rows.resumable import attributes_of, resumable_of
from adapters.metadata.sql.rows.versions import BlobRow
from adapters.sql.database import First, Run
from adapters.sql.statement import Statement
from adapters.sql.tables import (
    MICROSECOND,
    MULTIPART_UPLOADS,
    PARTS,
    UPLOADS,
    DatabaseNow,
    from_now,
    microseconds_of,
    time_of,
)
from application.ports.contents import MultipartReader, MultipartRepository, MultipartUpload, Part
from domain.blob import BlobId, Digest, Location, ObjectKey
from domain.properties import Properties

# An older Drivebay that is still running does not know these properties. They are left out where they are empty.
LATER = ("tags", "expires", "acl")


class SqlMultipart(MultipartRepository, MultipartReader):
    def __init__(self, run: Run, first: First) -> None:
        self._run = run
        self._first = first

    async def find(self, key: ObjectKey) -> MultipartUpload | None:
        return _found(await self._first(_FIND_UNFINISHED, {"upload": key.value}))

    async def between(
        self, start: str, after: ObjectKey | None, stop: str | None, limit: int
    ) -> Sequence[MultipartUpload]:
        return await self._run(_select_between, start, after, stop, limit)

    async def parts(self, key: ObjectKey, after: int, limit: int) -> Sequence[Part]:
        return await self._run(_select_parts, key, after, limit)

    async def find_any(self, key: ObjectKey) -> MultipartUpload | None:
        return _found(await self._first(_FIND, {"upload": key.value}))

    async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
        return await self._run(_insert, upload, lifetime)

    async def lock(self, key: ObjectKey, lifetime: timedelta) -> MultipartUpload | None:
        return await self._run(_lock, key, lifetime)

    async def reserve(self, key: ObjectKey, number: int, location: Location, lease: timedelta) -> Sequence[Location]:
        return await self._run(_reserve, key, number, location, lease)

    async def update(self, upload: MultipartUpload) -> None:
        await self._run(_update, upload.key, {"attributes": _attributes(upload)})

    async def interrupt(self, key: ObjectKey) -> None:
        await self._run(_update, key, {"interruptions": _COLUMNS.interruptions + 1})

    async def end_writers(self, key: ObjectKey) -> Sequence[Location]:
        return await self._run(_end_writers, key)

    async def last_number(self, key: ObjectKey) -> int:
        return (await self._run(_LAST_NUMBER.first, {"upload": key.value})).number or 0

    async def join(self, key: ObjectKey, partial: ObjectKey) -> None:
        await self._run(_join, key, partial)

    async def finish(self, key: ObjectKey, etag: str, lifetime: timedelta) -> None:
        await self._run(_finish, key, etag, lifetime)

    async def in_progress(self, key: ObjectKey) -> frozenset[int]:
        found = await self._run(_IN_PROGRESS.all, {"upload": key.value})
        return frozenset(row.number for row in found)

    async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
        return await self._run(_put_part, key, part)

    async def remove(self, key: ObjectKey) -> bool:
        return await self._run(_remove, key)

    async def discard(self, key: ObjectKey) -> bool:
        return await self._run(_discard, key)

    async def discard_expired(self, limit: int) -> int:
        return await self._run(_discard_expired, limit)


_COLUMNS = MULTIPART_UPLOADS.c
_IN_TIME = _COLUMNS.expires_at > DatabaseNow()
_UNFINISHED = _COLUMNS.etag.is_(None)
_UPLOAD: sa.BindParameter[str] = sa.bindparam("upload")
_NUMBER: sa.BindParameter[int] = sa.bindparam("part_number")
_OF_UPLOAD = _COLUMNS.upload_key == _UPLOAD
_WRITERS = UPLOADS.c.upload_key == _UPLOAD
_PART = sa.and_(PARTS.c.upload_key == _UPLOAD, PARTS.c.number == _NUMBER)
_LATER = DatabaseNow() + sa.bindparam("microseconds", type_=sa.BigInteger)
# Each part that is sent needs these.
_FIND = Statement(sa.select(MULTIPART_UPLOADS).where(_OF_UPLOAD, _IN_TIME))
_FIND_UNFINISHED = Statement(sa.select(MULTIPART_UPLOADS).where(_OF_UPLOAD, _IN_TIME, _UNFINISHED))
_RENEW = Statement(
    sa.update(MULTIPART_UPLOADS).where(_OF_UPLOAD, _IN_TIME, _UNFINISHED).values({_COLUMNS.expires_at: _LATER})
)
_RECEIVE = Statement(
    sa.update(MULTIPART_UPLOADS)
    .where(_OF_UPLOAD)
    .values({_COLUMNS.received: _COLUMNS.received + sa.bindparam("more", type_=sa.BigInteger)})
)
_LAST_NUMBER = Statement(sa.select(sa.func.max(PARTS.c.number).label("number")).where(PARTS.c.upload_key == _UPLOAD))
_IN_PROGRESS = Statement(sa.select(UPLOADS.c.number).where(_WRITERS, UPLOADS.c.expires_at > DatabaseNow()))
_OBJECTS = sa.select(UPLOADS.c.backend, UPLOADS.c.object_key)
_WRITERS_OF_PART = Statement(_OBJECTS.where(_WRITERS, UPLOADS.c.number == _NUMBER).with_for_update())
_ALL_WRITERS = Statement(_OBJECTS.where(_WRITERS).with_for_update())
_ADD_WRITER = Statement(sa.insert(UPLOADS).values({UPLOADS.c.expires_at: _LATER}))
_FIND_PART = Statement(sa.select(PARTS).where(_PART))
_ADD_PART = Statement(sa.insert(PARTS).values({PARTS.c.written_at: DatabaseNow()}))
_REPLACE_PART = Statement(sa.update(PARTS).where(_PART).values({PARTS.c.written_at: DatabaseNow()}))


def _found(row: BlobRow | None) -> MultipartUpload | None:
    return None if row is None else _upload(row)


def _upload(row: BlobRow) -> MultipartUpload:
    attributes = json.loads(row.attributes)
    expires_in, expires_at = attributes["expires_in"], attributes["expires_at"]
    return MultipartUpload(
        ObjectKey(row.upload_key),
        BlobId(row.blob_id) if row.blob_id else None,
        Properties(**attributes["properties"]),
        time_of(row.created_at),
        time_of(row.expires_at),
        attributes["size"],
        row.received,
        None if expires_in is None else expires_in * MICROSECOND,
        None if expires_at is None else time_of(expires_at),
        attributes.get("checksum_algorithm", ""),
        attributes.get("is_composite", False),
        resumable_of(attributes["resumable"]) if "resumable" in attributes else None,
        row.interruptions,
        row.etag or "",
    )


def _attributes(upload: MultipartUpload) -> str:
    expires_in, expires_at = upload.blob_expires_in, upload.blob_expires_at
    properties = {name: getattr(upload.properties, name) for name in Properties.__slots__}
    attributes: dict[str, Any] = {
        "properties": {name: value for name, value in properties.items() if value or name not in LATER},
        "size": upload.size,
        "expires_in": None if expires_in is None else expires_in // MICROSECOND,
        "expires_at": None if expires_at is None else microseconds_of(expires_at),
    }
    if upload.checksum_algorithm:
        attributes |= {"checksum_algorithm": upload.checksum_algorithm, "is_composite": upload.is_composite}
    if upload.resumable is not None:
        attributes["resumable"] = attributes_of(upload.resumable)
    return json.dumps(attributes, default=dict, ensure_ascii=False)


def _select_between(
    connection: Connection, start: str, after: ObjectKey | None, stop: str | None, limit: int
) -> Sequence[MultipartUpload]:
    place = start, after.value if after else ""
    before_stop = _COLUMNS.blob_id < (stop or AFTER_ALL)
    found = listing.after((_COLUMNS.blob_id, _COLUMNS.upload_key), place, limit, before_stop, _IN_TIME, _UNFINISHED)
    return [_upload(row) for row in connection.execute(found)]


def _select_parts(connection: Connection, key: ObjectKey, after: int, limit: int) -> Sequence[Part]:
    found = (
        sa.select(PARTS)
        .where(PARTS.c.upload_key == key.value, PARTS.c.number > after)
        .order_by(PARTS.c.number)
        .limit(limit)
    )
    return [_part(row) for row in connection.execute(found)]


def _part(row: BlobRow) -> Part:
    location = Location(row.backend, ObjectKey(row.object_key))
    checksums = checksums_of(row.checksums, row.object_key)
    written_at = None if row.written_at is None else time_of(row.written_at)
    return Part(row.number, location, row.size, Digest(bytes(row.sha256)), checksums, written_at, bool(row.shared))


def _insert(connection: Connection, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
    values = {
        "upload_key": upload.key.value,
        "blob_id": upload.id.value if upload.id else "",
        "attributes": _attributes(upload),
        "received": 0,
        "created_at": DatabaseNow(),
        "expires_at": from_now(lifetime),
    }
    connection.execute(sa.insert(MULTIPART_UPLOADS).values(values))
    found = connection.execute(sa.select(MULTIPART_UPLOADS).where(_COLUMNS.upload_key == upload.key.value))
    return _upload(found.one())


def _lock(connection: Connection, key: ObjectKey, lifetime: timedelta) -> MultipartUpload | None:
    if _RENEW.count(connection, {"upload": key.value, "microseconds": lifetime // MICROSECOND}) == 0:
        return None
    return _found(_FIND_UNFINISHED.first(connection, {"upload": key.value}))


def _reserve(
    connection: Connection, key: ObjectKey, number: int, location: Location, lease: timedelta
) -> Sequence[Location]:
    former = _end(connection, _WRITERS_OF_PART.all(connection, {"upload": key.value, "part_number": number}))
    values = {
        "object_key": location.key.value,
        "backend": location.backend,
        "upload_key": key.value,
        "number": number,
        "microseconds": lease // MICROSECOND,
    }
    _ADD_WRITER.count(connection, values)
    return former


def _end_writers(connection: Connection, key: ObjectKey) -> Sequence[Location]:
    return _end(connection, _ALL_WRITERS.all(connection, {"upload": key.value}))


def _end(connection: Connection, writers: Sequence[BlobRow]) -> Sequence[Location]:
    ended = [Location(row.backend, ObjectKey(row.object_key)) for row in writers]
    if ended:
        keys = [each.key.value for each in ended]
        connection.execute(sa.delete(UPLOADS).where(UPLOADS.c.object_key.in_(keys)))
    return ended


def _update(connection: Connection, key: ObjectKey, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(MULTIPART_UPLOADS).where(_COLUMNS.upload_key == key.value).values(values))


def _join(connection: Connection, key: ObjectKey, partial: ObjectKey) -> None:
    of_partial = PARTS.c.upload_key == partial.value
    size = int(connection.scalar(sa.select(sa.func.sum(PARTS.c.size)).where(of_partial)) or 0)
    last = _LAST_NUMBER.first(connection, {"upload": key.value}).number or 0
    moved = {"upload_key": key.value, "number": PARTS.c.number + last}
    connection.execute(sa.update(PARTS).where(of_partial).values(moved))
    _RECEIVE.count(connection, {"upload": key.value, "more": size})


def _finish(connection: Connection, key: ObjectKey, etag: str, lifetime: timedelta) -> None:
    connection.execute(sa.delete(PARTS).where(PARTS.c.upload_key == key.value))
    _update(connection, key, {"etag": etag, "expires_at": from_now(lifetime)})


def _put_part(connection: Connection, key: ObjectKey, part: Part) -> Part | None:
    same = {"upload": key.value, "part_number": part.number}
    row = _FIND_PART.first(connection, same)
    former = None if row is None else _part(row)
    values = {
        "backend": part.location.backend,
        "object_key": part.location.key.value,
        "size": part.size,
        "sha256": part.digest.sha256,
        "checksums": text_of(part.checksums, part.location.key),
        "shared": part.is_shared or None,
    }
    if former is None:
        _ADD_PART.count(connection, {**values, "upload_key": key.value, "number": part.number})
    else:
        _REPLACE_PART.count(connection, {**values, **same})
    more = part.size - (former.size if former else 0)
    _RECEIVE.count(connection, {"upload": key.value, "more": more})
    return former


def _remove(connection: Connection, key: ObjectKey) -> bool:
    removed = connection.execute(sa.delete(MULTIPART_UPLOADS).where(_COLUMNS.upload_key == key.value)).rowcount
    connection.execute(sa.delete(PARTS).where(PARTS.c.upload_key == key.value))
    return removed == 1


def _discard(connection: Connection, key: ObjectKey) -> bool:
    if connection.execute(sa.delete(MULTIPART_UPLOADS).where(_COLUMNS.upload_key == key.value)).rowcount == 0:
        return False
    _discard_parts(connection, [key.value])
    return True


def _discard_expired(connection: Connection, limit: int) -> int:
    last = (
        sa.select(PARTS.c.number)
        .where(PARTS.c.upload_key == _COLUMNS.upload_key)
        .order_by(PARTS.c.number.desc())
        .limit(1)
        .scalar_subquery()  # so it has no more parts, and they need not be counted
    )
    expired = (
        sa.select(_COLUMNS.upload_key, last)
        .where(_COLUMNS.expires_at <= DatabaseNow())
        .order_by(_COLUMNS.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    keys = few([(key, number or 0) for key, number in connection.execute(expired)])
    if keys:
        connection.execute(sa.delete(MULTIPART_UPLOADS).where(_COLUMNS.upload_key.in_(keys)))
        _discard_parts(connection, keys)
    return len(keys)


def _discard_parts(connection: Connection, uploads: Sequence[str]) -> None:
    of_uploads = PARTS.c.upload_key.in_(uploads)
    release(connection, release_unshared(connection, PARTS, of_uploads))
    connection.execute(sa.delete(PARTS).where(of_uploads))
