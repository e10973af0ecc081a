"""Uploads of several parts in a SQL database."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql import listing
from adapters.metadata.sql.checksums import checksums_of, text_of
from adapters.metadata.sql.listing import AFTER_ALL
from adapters.metadata.sql.versions import BlobRow
from adapters.sql.database import Run
from adapters.sql.tables import (
    GARBAGE,
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
    def __init__(self, run: Run) -> None:
        self._run = run

    async def find(self, key: ObjectKey) -> MultipartUpload | None:
        return await self._run(_select, key)

    async def between(
        self, start: str, after: ObjectKey | None, stop: str | None, limit: int
    ) -> Sequence[MultipartUpload]:
        return await self._run(_select_between, start, after, stop, limit)

    async def parts(self, key: ObjectKey, after: int, limit: int) -> Sequence[Part]:
        return await self._run(_select_parts, key, after, limit)

    async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
        return await self._run(_insert, upload, lifetime)

    async def lock(self, key: ObjectKey, lifetime: timedelta) -> MultipartUpload | None:
        return await self._run(_lock, key, lifetime)

    async def reserve(self, key: ObjectKey, number: int, location: Location, lease: timedelta) -> Sequence[Location]:
        return await self._run(_reserve, key, number, location, lease)

    async def in_progress(self, key: ObjectKey) -> frozenset[int]:
        return await self._run(_in_progress, key)

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
    return json.dumps(attributes, default=dict, ensure_ascii=False)


def _select(connection: Connection, key: ObjectKey) -> MultipartUpload | None:
    found = sa.select(MULTIPART_UPLOADS).where(_COLUMNS.upload_key == key.value, _IN_TIME)
    row = connection.execute(found).one_or_none()
    return None if row is None else _upload(row)


def _select_between(
    connection: Connection, start: str, after: ObjectKey | None, stop: str | None, limit: int
) -> Sequence[MultipartUpload]:
    place = start, after.value if after else ""
    before_stop = _COLUMNS.blob_id < (stop or AFTER_ALL)
    found = listing.after((_COLUMNS.blob_id, _COLUMNS.upload_key), place, limit, before_stop, _IN_TIME)
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
    return Part(row.number, location, row.size, Digest(bytes(row.sha256)), checksums, written_at)


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
    renewed = sa.update(MULTIPART_UPLOADS).where(_COLUMNS.upload_key == key.value, _IN_TIME)
    if connection.execute(renewed.values(expires_at=from_now(lifetime))).rowcount == 0:
        return None
    return _select(connection, key)


def _reserve(
    connection: Connection, key: ObjectKey, number: int, location: Location, lease: timedelta
) -> Sequence[Location]:
    of_part = (UPLOADS.c.upload_key == key.value, UPLOADS.c.number == number)
    rows = connection.execute(sa.select(UPLOADS.c.backend, UPLOADS.c.object_key).where(*of_part).with_for_update())
    former = [Location(row.backend, ObjectKey(row.object_key)) for row in rows]
    if former:
        keys = [each.key.value for each in former]
        connection.execute(sa.delete(UPLOADS).where(UPLOADS.c.object_key.in_(keys)))
    values = {
        "object_key": location.key.value,
        "backend": location.backend,
        "expires_at": from_now(lease),
        "upload_key": key.value,
        "number": number,
    }
    connection.execute(sa.insert(UPLOADS).values(values))
    return former


def _in_progress(connection: Connection, key: ObjectKey) -> frozenset[int]:
    found = sa.select(UPLOADS.c.number).where(UPLOADS.c.upload_key == key.value, UPLOADS.c.expires_at > DatabaseNow())
    return frozenset(connection.scalars(found))


def _put_part(connection: Connection, key: ObjectKey, part: Part) -> Part | None:
    of_part = (PARTS.c.upload_key == key.value, PARTS.c.number == part.number)
    row = connection.execute(sa.select(PARTS).where(*of_part)).one_or_none()
    former = None if row is None else _part(row)
    values = {
        "backend": part.location.backend,
        "object_key": part.location.key.value,
        "size": part.size,
        "sha256": part.digest.sha256,
        "checksums": text_of(part.checksums, part.location.key),
        "written_at": DatabaseNow(),
    }
    if former is None:
        connection.execute(sa.insert(PARTS).values(values | {"upload_key": key.value, "number": part.number}))
    else:
        connection.execute(sa.update(PARTS).where(*of_part).values(values))
    more = part.size - (former.size if former else 0)
    received = sa.update(MULTIPART_UPLOADS).where(_COLUMNS.upload_key == key.value)
    connection.execute(received.values({"received": _COLUMNS.received + more}))
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
    expired = (
        sa.select(_COLUMNS.upload_key)
        .where(_COLUMNS.expires_at <= DatabaseNow())
        .order_by(_COLUMNS.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    keys = connection.scalars(expired).all()
    if keys:
        connection.execute(sa.delete(MULTIPART_UPLOADS).where(_COLUMNS.upload_key.in_(keys)))
        _discard_parts(connection, keys)
    return len(keys)


def _discard_parts(connection: Connection, uploads: Sequence[str]) -> None:
    of_uploads = PARTS.c.upload_key.in_(uploads)
    columns = ["object_key", "backend", "due_at", "deletes", "claims"]
    objects = sa.select(PARTS.c.object_key, PARTS.c.backend, DatabaseNow(), sa.literal(1), sa.literal(0))
    connection.execute(sa.insert(GARBAGE).from_select(columns, objects.where(of_uploads)))
    connection.execute(sa.delete(PARTS).where(of_uploads))
