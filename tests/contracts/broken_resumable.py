"""Metadata adapters whose resumable uploads are broken on purpose, each with the case that catches it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from adapters.metadata.memory.contents import MemoryMultipart
from application.ports.contents import MultipartUpload, Resumable
from domain.blob import Location, ObjectKey
from domain.precondition import ANY
from tests.contracts.broken_contents import Tampered, WithoutTurns
from tests.contracts.proof import caught_by
from tests.contracts.resumable import ResumableContract


@caught_by(ResumableContract.test_it_is_found_as_it_was_added)
class LosesPreconditions(Tampered):
    class Multipart(MemoryMultipart):
        async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
            kept = replace(upload.resumable, precondition=ANY) if upload.resumable else None
            return await super().add(replace(upload, resumable=kept), lifetime)


@caught_by(ResumableContract.test_it_is_found_as_it_was_added)
class TakesNoLimitForZero(Tampered):
    """A truth value of a number."""

    class Multipart(MemoryMultipart):
        async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
            kept = replace(upload.resumable, max_bytes=upload.resumable.max_bytes or None) if upload.resumable else None
            return await super().add(replace(upload, resumable=kept), lifetime)


@caught_by(ResumableContract.test_it_is_found_as_it_was_added)
class MakesAllUploadsResumable(Tampered):
    class Multipart(MemoryMultipart):
        async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
            return await super().add(replace(upload, resumable=upload.resumable or Resumable()), lifetime)


@caught_by(ResumableContract.test_its_size_may_come_later)
class WritesTheWholeRow(Tampered):
    """The row as it was read, with what others have changed since."""

    class Multipart(MemoryMultipart):
        async def update(self, upload: MultipartUpload) -> None:
            self._rows.multipart.set(upload.key, upload)


@caught_by(ResumableContract.test_interruptions_are_counted)
class CountsOneInterruption(Tampered):
    """A flag."""

    class Multipart(MemoryMultipart):
        async def interrupt(self, key: ObjectKey) -> None:
            upload = self._rows.multipart.get(key)
            if upload is not None:
                self._rows.multipart.set(key, replace(upload, interruptions=1))


@caught_by(ResumableContract.test_all_writers_of_an_upload_are_ended)
class EndsWritersOfAllUploads(Tampered):
    class Multipart(MemoryMultipart):
        async def end_writers(self, key: ObjectKey) -> Sequence[Location]:
            ended = [row.location for row in self._rows.uploads.values() if row.part]
            for each in ended:
                self._rows.uploads.set(each.key, None)
            return ended


@caught_by(ResumableContract.test_all_writers_of_an_upload_are_ended)
class EndsOneWriter(Tampered):
    class Multipart(MemoryMultipart):
        async def end_writers(self, key: ObjectKey) -> Sequence[Location]:
            ended = [row.location for row in self._rows.uploads.values() if row.part and row.part[0] == key][:1]
            for each in ended:
                self._rows.uploads.set(each.key, None)
            return ended


@caught_by(ResumableContract.test_the_last_number_of_a_part)
class CountsParts(Tampered):
    class Multipart(MemoryMultipart):
        async def last_number(self, key: ObjectKey) -> int:
            return len(self._parts(key))


@caught_by(ResumableContract.test_the_last_number_of_a_part)
class OrdersNumbersAsText(Tampered):
    class Multipart(MemoryMultipart):
        async def last_number(self, key: ObjectKey) -> int:
            return int(max((str(part.number) for part in self._parts(key)), default="0"))


@caught_by(ResumableContract.test_the_parts_of_another_upload_are_appended)
class JoinsWithoutTheBytes(Tampered):
    """The size of the final upload is left as it was."""

    class Multipart(MemoryMultipart):
        async def join(self, key: ObjectKey, partial: ObjectKey) -> None:
            before = self._rows.multipart.get(key)
            await super().join(key, partial)
            self._rows.multipart.set(key, before)


@caught_by(ResumableContract.test_the_parts_of_another_upload_are_appended)
class KeepsThePartsOfPartials(Tampered):
    """Two uploads have one object."""

    class Multipart(MemoryMultipart):
        async def join(self, key: ObjectKey, partial: ObjectKey) -> None:
            parts = self._parts(partial)
            await super().join(key, partial)
            for part in parts:
                self._rows.parts.set((partial, part.number), part)


@caught_by(ResumableContract.test_a_finished_upload_is_found_as_such_only)
class ListsFinished(Tampered):
    class Multipart(MemoryMultipart):
        async def find(self, key: ObjectKey) -> MultipartUpload | None:
            return await self.find_any(key)


@caught_by(ResumableContract.test_a_finished_upload_is_found_as_such_only)
class MakesItsPartsGarbage(Tampered):
    """The blob names them now."""

    class Multipart(MemoryMultipart):
        async def finish(self, key: ObjectKey, etag: str, lifetime: timedelta) -> None:
            upload = self._rows.multipart.get(key)
            assert upload is not None
            await self.discard(key)
            self._rows.multipart.set(key, replace(upload, etag=etag, expires_at=self._now() + lifetime))


@caught_by(ResumableContract.test_a_finished_upload_is_forgotten)
class KeepsFinishedForEver(Tampered):
    class Multipart(MemoryMultipart):
        async def discard_expired(self, limit: int) -> int:
            keys = [
                key for key, each in self._rows.multipart.items() if not each.etag and each.expires_at <= self._now()
            ]
            for key in keys:
                await self.discard(key)
            return len(keys)


@caught_by(ResumableContract.test_it_is_finished_by_one)
class FinishesTwice(WithoutTurns):
    pass


@caught_by(ResumableContract.test_a_change_that_is_not_committed_is_not_made)
class InterruptsAtOnce(Tampered):
    """A statement on another connection."""

    class Multipart(MemoryMultipart):
        async def interrupt(self, key: ObjectKey) -> None:
            await super().interrupt(key)
            upload = self._rows.multipart.get(key)
            if upload is not None:
                self._rows.multipart._committed[key] = upload
