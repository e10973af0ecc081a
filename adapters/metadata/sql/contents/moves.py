"""Moves of objects between storages in a SQL database: pages of names, claims, and switches.

A name is a row of a version, a segment or a part. Whoever adds one has locked another name of the same object, and
copies the object from the row as it is under that lock. So once all names that one statement sees are locked here, and
none of the old object is left, nobody can add one any more.
"""

from collections.abc import Callable, Sequence, Set
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.checksums import own_mark
from adapters.metadata.sql.rows.listing import AFTER_ALL
from adapters.sql.database import Run
from adapters.sql.tables import (
    BLOBS,
    CONTENTS,
    GARBAGE,
    MULTIPART_UPLOADS,
    PARTS,
    SEGMENTS,
    TRASH,
    UPLOADS,
    DatabaseNow,
    from_now,
)
from application.ports.moves import Claim, MovePage, MovePlace, MoveRepository, StoredObject, copy_mark
from domain.blob import Digest, Location, ObjectKey
from domain.errors import RolledBack

NAMES = (BLOBS, TRASH, SEGMENTS, PARTS)
OWNERS = {SEGMENTS: SEGMENTS.c.content_key, PARTS: PARTS.c.upload_key}
ROUNDS = 20  # each lets another unit commit that moves or adds a name at the same moment

Condition = sa.ColumnElement[bool]


class SqlMoves(MoveRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def page(
        self, sources: Set[str], start: str, stop: str | None, after: MovePlace | None, limit: int
    ) -> MovePage:
        return await self._run(_page, sources, start, stop, after or MovePlace(0, ""), limit)

    async def is_named(self, location: Location) -> bool:
        return bool(await self._run(_names, location))

    async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
        return await self._run(_claim, old, new, lease)

    async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
        return await self._run(_switch, old, new, grace)


def _page(
    connection: Connection, sources: Set[str], start: str, stop: str | None, after: MovePlace, limit: int
) -> MovePage:
    table = NAMES[after.table]
    key = table.c.object_key
    window = sa.select(key).where(key > after.key).order_by(key).limit(1).offset(limit - 1)
    last: str | None = connection.scalar(window)
    conditions = [key > after.key, table.c.backend.in_(sorted(sources)), *_is_object(table)]
    if last is not None:
        conditions.append(key <= last)
    conditions += _belongs(table, start, stop)
    columns = (key, table.c.backend, table.c.size, table.c.sha256, table.c.shared)
    objects = dict[str, StoredObject]()
    for row in connection.execute(sa.select(*columns).where(*conditions).order_by(key)):
        location = Location(row.backend, ObjectKey(row.object_key))
        digest = Digest(bytes(row.sha256))
        objects[row.object_key] = StoredObject(location, row.size, digest, table not in OWNERS, bool(row.shared))
    if last is not None:
        following: MovePlace | None = MovePlace(after.table, last)
    else:
        following = MovePlace(after.table + 1, "") if after.table + 1 < len(NAMES) else None
    return MovePage([*objects.values()], following)


def _is_object(table: sa.Table) -> list[Condition]:
    """Return the conditions of rows that name an object, and not a list of segments."""
    return [table.c.segments.is_(None)] if "segments" in table.c else []


def _belongs(table: sa.Table, start: str, stop: str | None) -> list[Condition]:
    """Return the conditions of names that belong to these ids. Without a range, any name does."""
    kept = [TRASH.c.retained_until > DatabaseNow()] if table is TRASH else []
    if not start and stop is None:
        return kept

    def within(column: sa.Column[Any]) -> Condition:
        return sa.and_(column >= start, column < (stop or AFTER_ALL))

    if table is SEGMENTS:
        of_list = [
            sa.exists(sa.select(sa.literal(1)).where(each.c.object_key == SEGMENTS.c.content_key, within(each.c.id)))
            for each in (BLOBS, TRASH)
        ]
        return [sa.or_(*of_list)]
    if table is PARTS:
        of_upload = MULTIPART_UPLOADS.c.upload_key == PARTS.c.upload_key
        return [sa.exists(sa.select(sa.literal(1)).where(of_upload, within(MULTIPART_UPLOADS.c.blob_id)))]
    return [within(table.c.id), *kept]


def _of(table: sa.Table, location: Location) -> list[Condition]:
    """Return the conditions of the rows that name an object."""
    return [table.c.object_key == location.key.value, table.c.backend == location.backend, *_is_object(table)]


def _names(connection: Connection, location: Location) -> Sequence[tuple[sa.Table, str]]:
    """Return the names of an object at one moment: the table of each, and the key of the list or the upload."""
    found = sa.union_all(
        *(
            sa.select(sa.literal(number).label("number"), OWNERS.get(table, table.c.object_key).label("owner")).where(
                *_of(table, location)
            )
            for number, table in enumerate(NAMES)
        )
    )
    return [(NAMES[row.number], row.owner) for row in connection.execute(found)]


def _claim(connection: Connection, old: Location, new: Location, lease: timedelta) -> Claim:
    if not _lock_a_name(connection, old):
        return Claim.BUSY if _names(connection, old) else Claim.GONE
    mark, number = copy_mark(old.key)
    others = sa.select(UPLOADS.c.object_key).where(
        UPLOADS.c.upload_key == mark.value, UPLOADS.c.number == number, UPLOADS.c.expires_at > DatabaseNow()
    )
    if connection.execute(others.limit(1)).first() is not None:
        return Claim.BUSY
    values = {
        "object_key": new.key.value,
        "backend": new.backend,
        "expires_at": from_now(lease),
        "upload_key": mark.value,
        "number": number,
    }
    connection.execute(sa.insert(UPLOADS).values(values))
    return Claim.CLAIMED


def _lock_a_name(connection: Connection, location: Location) -> bool:
    """Lock the first name that is there, which units that claim the same object lock too."""
    for table in NAMES:
        first = sa.select(table.c.object_key).where(*_of(table, location)).order_by(*table.primary_key).limit(1)
        if connection.execute(first.with_for_update()).first() is not None:
            return True
    return False


def _switch(connection: Connection, old: Location, new: Location, grace: timedelta) -> bool:
    lists = set[str]()

    def names() -> Sequence[tuple[sa.Table, str]]:
        return _names(connection, old)

    def switch(found: Sequence[tuple[sa.Table, str]]) -> int:
        # Uploads are locked before blobs, as a publication does.
        uploads = [key for key in _owners(found, PARTS) if _lock_upload(connection, key)]
        versions = _rename(connection, BLOBS, old, new) + _rename(connection, TRASH, old, new)
        # A list is released together with its last version, so none of its segments is while a version is locked.
        locked = [key for key in _owners(found, SEGMENTS) if _lock_a_version(connection, key)]
        lists.update(locked)
        segments = _rename(connection, SEGMENTS, old, new, SEGMENTS.c.content_key.in_(locked))
        return versions + segments + _rename(connection, PARTS, old, new, PARTS.c.upload_key.in_(uploads))

    if not _repeat(names, switch):
        return False
    renamed = sa.update(CONTENTS).where(CONTENTS.c.content_key == old.key.value)
    connection.execute(renamed.values(content_key=new.key.value))
    for key in sorted(lists):
        _label(connection, key)
    garbage = {"object_key": old.key.value, "backend": old.backend, "deletes": 1, "claims": 0}
    connection.execute(sa.insert(GARBAGE).values(garbage | {"due_at": from_now(grace)}))
    return True


def _repeat(
    left: Callable[[], Sequence[tuple[sa.Table, str]]], change: Callable[[Sequence[tuple[sa.Table, str]]], int]
) -> int:
    """Change rows until one statement sees none left. Return the number of changed rows."""
    changed = 0
    for _ in range(ROUNDS):
        if not (found := left()):
            return changed
        changed += change(found)
    raise RolledBack("The names of an object change all the time.")


def _owners(found: Sequence[tuple[sa.Table, str]], table: sa.Table) -> Sequence[str]:
    return sorted({owner for each, owner in found if each is table})


def _lock_upload(connection: Connection, key: str) -> bool:
    locked = sa.select(MULTIPART_UPLOADS.c.upload_key).where(MULTIPART_UPLOADS.c.upload_key == key)
    return connection.execute(locked.with_for_update()).first() is not None


def _lock_a_version(connection: Connection, content: str) -> bool:
    for table in (BLOBS, TRASH):
        first = sa.select(table.c.object_key).where(table.c.object_key == content).order_by(*table.primary_key).limit(1)
        if connection.execute(first.with_for_update()).first() is not None:
            return True
    return False


def _rename(connection: Connection, table: sa.Table, old: Location, new: Location, *conditions: Condition) -> int:
    checksums = sa.func.replace(table.c.checksums, own_mark(old.key), own_mark(new.key))
    values = {"object_key": new.key.value, "backend": new.backend, "checksums": checksums}
    return connection.execute(sa.update(table).where(*_of(table, old), *conditions).values(values)).rowcount


def _label(connection: Connection, content: str) -> None:
    """Let the versions with a list name the backend of its first segment."""
    first = sa.select(SEGMENTS.c.backend).where(SEGMENTS.c.content_key == content).order_by(SEGMENTS.c.start).limit(1)
    backend = connection.scalar(first)

    def others(table: sa.Table) -> Condition:
        return sa.and_(table.c.object_key == content, table.c.backend != backend)

    def left() -> Sequence[tuple[sa.Table, str]]:
        rows = sa.union_all(*(sa.select(table.c.object_key).where(others(table)) for table in (BLOBS, TRASH)))
        return [(BLOBS, key) for key in connection.scalars(rows)]

    def change(_: Sequence[tuple[sa.Table, str]]) -> int:
        updates = (sa.update(table).where(others(table)).values(backend=backend) for table in (BLOBS, TRASH))
        return sum(connection.execute(update).rowcount for update in updates)

    _repeat(left, change)
