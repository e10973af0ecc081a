"""Moves of objects between storages in memory."""

from collections.abc import Iterator, Set
from dataclasses import replace
from datetime import timedelta

from adapters.metadata.memory.changes import Clock
from adapters.metadata.memory.rows import Claimed, Tables, Writing
from application.ports.metadata import Garbage
from application.ports.moves import Claim, MovePage, MovePlace, MoveRepository, StoredObject, copy_mark
from domain.blob import Blob, Content, Location, ObjectKey


class MemoryMoves(MoveRepository):
    def __init__(self, rows: Tables, now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def page(
        self, sources: Set[str], start: str, stop: str | None, after: MovePlace | None, limit: int
    ) -> MovePage:
        last = after.key if after else ""
        names = sorted((each for each in self._names() if each[1].location.key.value > last), key=_key)
        window = names[:limit]
        following = window[-1][1].location.key.value if len(names) > limit else None
        # The names of an object are on one page.
        found = {
            each.location.key: each
            for blob_id, each in names
            if each.location.backend in sources
            and start <= blob_id
            and (stop is None or blob_id < stop)
            and (following is None or each.location.key.value <= following)
        }
        return MovePage([*found.values()], None if following is None else MovePlace(0, following))

    async def is_named(self, location: Location) -> bool:
        return any(each.location == location for _, each in self._names(restorable=False))

    async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
        if not await self.is_named(old):
            return Claim.GONE
        mark, now = copy_mark(old.key), self._now()
        if any(row.part == mark and row.expires_at > now for row in self._rows.uploads.values()):
            return Claim.BUSY
        self._rows.uploads.set(new.key, Writing(new, now + lease, mark))
        return Claim.CLAIMED

    async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
        if not await self.is_named(old):
            return False
        for blob in self._rows.blobs.values():
            self._rows.blobs.set(blob.id, _switched(blob, old, new))
        for row in self._rows.trash.values():
            version = replace(row.version, blob=_switched(row.version.blob, old, new))
            self._rows.trash.set(version.key, replace(row, version=version))
        for key, part in self._rows.parts.items():
            if part.location == old:
                self._rows.parts.set(key, replace(part, location=new))
        for content, segments in self._rows.segments.items():
            moved = tuple(replace(each, location=new) if each.location == old else each for each in segments)
            self._rows.segments.set(content, moved)
            self._label(content, moved[0].location.backend)
        self._rows.shared.set(new.key, self._rows.shared.get(old.key))
        self._rows.shared.set(old.key, None)
        self._rows.garbage.set(old.key, Claimed(Garbage(old), self._now() + grace))
        return True

    def _label(self, content: ObjectKey, backend: str) -> None:
        """Let the versions with a list name the backend of its first segment."""
        for blob in self._rows.blobs.values():
            if blob.content.key == content:
                self._rows.blobs.set(blob.id, _at(blob, Location(backend, content)))
        for row in self._rows.trash.values():
            if row.version.blob.content.key == content:
                version = replace(row.version, blob=_at(row.version.blob, Location(backend, content)))
                self._rows.trash.set(version.key, replace(row, version=version))

    def _names(self, *, restorable: bool = True) -> Iterator[tuple[str, StoredObject]]:
        """Yield the names of objects, each with the id that it belongs to."""
        now, ids = self._now(), dict[ObjectKey, list[str]]()
        versions = [*self._rows.blobs.values()]
        versions += [row.version.blob for row in self._rows.trash.values()]
        for blob in versions:
            ids.setdefault(blob.content.key, []).append(blob.id.value)
        for blob in self._rows.blobs.values():
            yield from _named_by(blob.id.value, blob.content)
        for row in self._rows.trash.values():
            if not restorable or row.version.retained_until > now:
                yield from _named_by(row.version.blob.id.value, row.version.blob.content)
        for content, segments in self._rows.segments.items():
            for each in segments:
                for blob_id in ids.get(content, [""]):
                    yield blob_id, StoredObject(each.location, each.size, each.digest, False, each.is_shared)
        for (upload, _), part in self._rows.parts.items():
            found = self._rows.multipart.get(upload)
            blob_id = found.id.value if found is not None and found.id is not None else ""
            yield blob_id, StoredObject(part.location, part.size, part.digest, False, part.is_shared)


def _key(name: tuple[str, StoredObject]) -> str:
    return name[1].location.key.value


def _named_by(blob_id: str, content: Content) -> Iterator[tuple[str, StoredObject]]:
    if not content.segments:
        assert content.digest is not None
        yield blob_id, StoredObject(content.location, content.size, content.digest, True, content.is_shared)


def _switched(blob: Blob, old: Location, new: Location) -> Blob:
    return _at(blob, new) if blob.content.location == old and not blob.content.segments else blob


def _at(blob: Blob, location: Location) -> Blob:
    return replace(blob, content=replace(blob.content, location=location))
