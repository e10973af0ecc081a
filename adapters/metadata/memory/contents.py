"""Contents and the trash in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from adapters.metadata.memory.changes import Clock, due
from adapters.metadata.memory.rows import Claimed, InTrash, Tables, Writing
from application.ports.contents import (
    CommitRepository,
    ContentRepository,
    DigestJob,
    MultipartRepository,
    MultipartUpload,
    Part,
    Trashed,
    TrashRepository,
)
from application.ports.metadata import Garbage
from domain.blob import Blob, BlobId, Content, Digest, Location, ObjectKey, Segment

NOW = timedelta(0)


class MemoryTrash(TrashRepository):
    def __init__(self, rows: Tables, now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def find(self, key: int) -> Trashed | None:
        row = self._rows.trash.get(key)
        return row.version if row is not None and self._is_kept(row) else None

    async def between(self, start: str, after: int, stop: str | None, limit: int) -> Sequence[Trashed]:
        kept = [row.version for row in self._rows.trash.values() if self._is_kept(row)]
        found = [each for each in kept if (start, after) < _place(each) and (not stop or each.blob.id.value < stop)]
        return sorted(found, key=_place)[:limit]

    async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
        now, key = self._now(), next(self._rows.trash_keys)
        until = min(now + retention, blob.expires_at or now + retention)
        version = Trashed(key, replace(blob, read_at=None), now, until)
        self._rows.trash.set(key, InTrash(version, max(until, now + grace)))
        if (owner := self._rows.keys.get(blob.owner)) is not None:
            self._rows.keys.set(owner.id, replace(owner, stored_bytes=owner.stored_bytes - blob.size))

    async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
        for blob_id in ids:
            if (blob := self._rows.blobs.get(blob_id)) is not None:
                self._rows.blobs.set(blob_id, None)
                await self.add(blob, retention, grace)

    async def move_expired(self, limit: int, grace: timedelta) -> int:
        rows = [(blob.id, blob.expires_at) for blob in self._rows.blobs.values() if blob.expires_at]
        expired = due(rows, self._now(), limit)
        await self.move(expired, NOW, grace)
        return len(expired)

    async def remove(self, key: int) -> Trashed | None:
        if (found := await self.find(key)) is not None:
            self._rows.trash.set(key, None)
        return found

    async def purge(self, key: int, grace: timedelta) -> bool:
        if (found := await self.find(key)) is None:
            return False
        now = self._now()
        self._rows.trash.set(key, InTrash(replace(found, retained_until=now), now + grace))
        return True

    async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
        held = [row for row in self._rows.trash.values() if row.version.blob.content.key == content]
        for row in held:
            self._rows.trash.set(row.version.key, replace(row, due_at=max(row.due_at, self._now() + lease)))
        unused = self._rows.garbage.get(content)
        if unused is not None and not unused.claims and unused.due_at > self._now():
            self._rows.garbage.set(content, replace(unused, due_at=max(unused.due_at, self._now() + lease)))
            return True
        return bool(held)

    async def hold_each(self, contents: Sequence[ObjectKey], lease: timedelta) -> bool:
        return any([await self.hold(content, lease) for content in contents])

    async def release(self, limit: int) -> int:
        released = due([(row.version, row.due_at) for row in self._rows.trash.values()], self._now(), limit)
        for version in released:
            self._rows.trash.set(version.key, None)
            if not version.blob.content.is_shared or self._rows.is_last(version.blob.content.key):
                self._rows.reclaim(version.blob.content, self._now())
        return len(released)

    def _is_kept(self, row: InTrash) -> bool:
        return row.version.retained_until > self._now()


def _place(version: Trashed) -> tuple[str, int]:
    return version.blob.id.value, version.key


class MemoryContents(ContentRepository):
    def __init__(self, rows: Tables, now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
        return [each for each in self._rows.segments.get(content) or () if each.stop > position][:limit]

    async def add(self, content: ObjectKey, segments: Sequence[Segment]) -> None:
        self._rows.segments.set(content, tuple(segments))
        self._rows.digests.set(content, (DigestJob(content), self._now()))

    async def share(self, blob: Blob) -> Content:
        key, shared = blob.content.key, replace(blob.content, is_shared=True)
        self._rows.add_name(key)
        stored = self._rows.blobs.get(blob.id)
        assert stored is not None
        self._rows.blobs.set(blob.id, replace(stored, content=shared))
        return shared

    async def share_segment(self, content: ObjectKey, start: int) -> Segment:
        segments = self._rows.segments.get(content) or ()
        number, segment = next((number, each) for number, each in enumerate(segments) if each.start == start)
        shared = replace(segment, is_shared=True)
        self._rows.add_name(segment.location.key)
        self._rows.segments.set(content, (*segments[:number], shared, *segments[number + 1 :]))
        return shared

    async def release(self, objects: Sequence[Location]) -> None:
        for location in objects:
            if self._rows.is_last(location.key):
                self._rows.garbage.set(location.key, Claimed(Garbage(location), self._now()))

    async def claim_digest(self, lease: timedelta) -> DigestJob | None:
        rows = self._rows.digests.values()
        for job in due(rows, self._now(), 1):
            await self.keep_digest(job, lease)
            return job
        return None

    async def keep_digest(self, job: DigestJob, lease: timedelta) -> bool:
        if (row := self._rows.digests.get(job.content)) is None:
            return False
        self._rows.digests.set(job.content, (replace(job, digest=row[0].digest), self._now() + lease))
        return True

    async def set_digest(self, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
        job = DigestJob(content, digest=digest)
        known = self._rows.digests.get(content) is not None and again_after
        self._rows.digests.set(content, (job, self._now() + again_after) if known else None)
        for blob in self._rows.blobs.values():
            if blob.content.key == content:
                self._rows.blobs.set(blob.id, _with_digest(blob, digest))
        for row in self._rows.trash.values():
            if row.version.blob.content.key == content:
                version = replace(row.version, blob=_with_digest(row.version.blob, digest))
                self._rows.trash.set(version.key, replace(row, version=version))


def _with_digest(blob: Blob, digest: Digest) -> Blob:
    return replace(blob, content=replace(blob.content, digest=blob.content.digest or digest))


class MemoryMultipart(MultipartRepository):
    def __init__(self, rows: Tables, now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def find(self, key: ObjectKey) -> MultipartUpload | None:
        upload = await self.find_any(key)
        return None if upload is None or upload.etag else upload

    async def find_any(self, key: ObjectKey) -> MultipartUpload | None:
        upload = self._rows.multipart.get(key)
        return None if upload is None or upload.expires_at <= self._now() else upload

    async def between(
        self, start: str, after: ObjectKey | None, stop: str | None, limit: int
    ) -> Sequence[MultipartUpload]:
        now, first = self._now(), (start, after.value if after else "")
        rows = self._rows.multipart.values()
        found = [each for each in rows if each.expires_at > now and not each.etag and _order(each) > first]
        return sorted((each for each in found if not stop or _order(each)[0] < stop), key=_order)[:limit]

    async def parts(self, key: ObjectKey, after: int, limit: int) -> Sequence[Part]:
        return [part for part in self._parts(key) if part.number > after][:limit]

    async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
        now = self._now()
        added = replace(upload, created_at=now, expires_at=now + lifetime)
        self._rows.multipart.set(upload.key, added)
        return added

    async def lock(self, key: ObjectKey, lifetime: timedelta) -> MultipartUpload | None:
        upload = await self.find(key)
        if upload is None:
            return None
        renewed = replace(upload, expires_at=self._now() + lifetime)
        self._rows.multipart.set(key, renewed)
        return renewed

    async def reserve(self, key: ObjectKey, number: int, location: Location, lease: timedelta) -> Sequence[Location]:
        former = [row.location for row in self._rows.uploads.values() if row.part == (key, number)]
        for each in former:
            self._rows.uploads.set(each.key, None)
        self._rows.uploads.set(location.key, Writing(location, self._now() + lease, (key, number)))
        return former

    async def update(self, upload: MultipartUpload) -> None:
        current = self._rows.multipart.get(upload.key)
        assert current is not None
        self._rows.multipart.set(upload.key, replace(current, size=upload.size, resumable=upload.resumable))

    async def interrupt(self, key: ObjectKey) -> None:
        upload = self._rows.multipart.get(key)
        if upload is not None:
            self._rows.multipart.set(key, replace(upload, interruptions=upload.interruptions + 1))

    async def end_writers(self, key: ObjectKey) -> Sequence[Location]:
        ended = [row.location for row in self._rows.uploads.values() if row.part and row.part[0] == key]
        for each in ended:
            self._rows.uploads.set(each.key, None)
        return ended

    async def last_number(self, key: ObjectKey) -> int:
        return max((part.number for part in self._parts(key)), default=0)

    async def join(self, key: ObjectKey, partial: ObjectKey) -> None:
        last, moved = await self.last_number(key), self._parts(partial)
        for part in moved:
            self._rows.parts.set((partial, part.number), None)
            self._rows.parts.set((key, last + part.number), replace(part, number=last + part.number))
        final = self._rows.multipart.get(key)
        assert final is not None
        self._rows.multipart.set(key, replace(final, received=final.received + sum(part.size for part in moved)))

    async def finish(self, key: ObjectKey, etag: str, lifetime: timedelta) -> None:
        upload = self._rows.multipart.get(key)
        assert upload is not None
        await self.remove(key)
        self._rows.multipart.set(key, replace(upload, etag=etag, expires_at=self._now() + lifetime))

    async def in_progress(self, key: ObjectKey) -> frozenset[int]:
        now = self._now()
        rows = self._rows.uploads.values()
        return frozenset(row.part[1] for row in rows if row.part and row.part[0] == key and row.expires_at > now)

    async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
        former, upload = self._rows.parts.get((key, part.number)), self._rows.multipart.get(key)
        assert upload is not None
        more = part.size - (former.size if former else 0)
        self._rows.multipart.set(key, replace(upload, received=upload.received + more))
        self._rows.parts.set((key, part.number), replace(part, written_at=self._now()))
        return former

    async def remove(self, key: ObjectKey) -> bool:
        found = self._rows.multipart.get(key) is not None
        self._rows.multipart.set(key, None)
        for part in self._parts(key):
            self._rows.parts.set((key, part.number), None)
        return found

    async def discard(self, key: ObjectKey) -> bool:
        parts = self._parts(key)
        if not await self.remove(key):
            return False
        self._rows.release(parts, self._now())
        return True

    async def discard_expired(self, limit: int) -> int:
        rows = [(upload.key, upload.expires_at) for upload in self._rows.multipart.values()]
        expired = due(rows, self._now(), limit)
        for key in expired:
            await self.discard(key)
        return len(expired)

    def _parts(self, key: ObjectKey) -> list[Part]:
        found = [part for (upload, _), part in self._rows.parts.items() if upload == key]
        return sorted(found, key=lambda part: part.number)


def _order(upload: MultipartUpload) -> tuple[str, str]:
    return upload.id.value if upload.id else "", upload.key.value


class MemoryCommits(CommitRepository):
    def __init__(self, rows: Tables, now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def add(self, key: ObjectKey) -> bool:
        if self._rows.commits.get(key) is not None:
            return False
        self._rows.commits.set(key, self._now())
        return True

    async def remove_old(self, age: timedelta, limit: int) -> int:
        old = due([(key, at) for key, at in self._rows.commits.items()], self._now() - age, limit)
        for key in old:
            self._rows.commits.set(key, None)
        return len(old)
