"""Uploads of several parts: each part is an object that is durable and recorded before it is acknowledged.

Parts may arrive in any order and concurrently, and be replaced. No blob names them until the upload is published, in
one transaction and without copying a byte: its parts become the segments of the blob's content. An upload is discarded
`lifetime` after the last request to it, or the last bytes of a part.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from application.attempts import record
from application.authorize import authorize, authorize_some, authorized_prefixes
from application.blobs.list import end_of
from application.blobs.multipart.parts import (
    LIFETIME,
    MAX_APPENDED,
    MAX_PARTS,
    PAGE,
    check_number,
    check_offset,
    check_takes_parts,
    discard_parts,
    put_part,
)
from application.contents.expiry import NEVER, Expiry
from application.ports.contents import MultipartReader, MultipartUpload, Part, Resumable
from application.ports.metadata import KeySource, UnitOfWork
from application.renewals import Renewals
from application.uploads.intake import Intake, too_large
from application.uploads.lifecycle import Change, Uploads, WrittenObject, discard_object, lease_lost
from domain.access import Action, Grant
from domain.blob import BlobId, Digest, Location, ObjectKey
from domain.checksums import Checksums
from domain.errors import BlobError, InvalidParts, UploadNotFound
from domain.properties import Properties


@dataclass(frozen=True, slots=True)
class NewUpload:
    """An upload to begin. `id` is None if the blob gets it later. `size`: that of the blob in bytes, if it is known.

    `checksum_algorithm`, `is_composite`: of the blob, as in `Checksums`.
    """

    id: BlobId | None = None
    properties: Properties = field(default_factory=Properties)
    expiry: Expiry = NEVER
    size: int | None = None
    checksum_algorithm: str = ""
    is_composite: bool = False
    resumable: Resumable | None = None


@dataclass(frozen=True, slots=True)
class NewPart:
    """The bytes of a part, and their size and digest, if the sender declared them.

    `checksums`: returns further checksums to keep, once the bytes have ended. `ends_others`: other writers of the same
    part are ended, so that the last one that begins wins; otherwise the last one that ends does.
    """

    chunks: AsyncIterable[bytes]
    size: int | None = None
    digest: Digest | None = None
    checksums: Callable[[], Checksums] | None = None
    ends_others: bool = True


@dataclass(slots=True)
class Turn:
    """The place of a part in a request that appends several, each while the `former` one becomes durable.

    `number`: that of the part, once it is reserved.
    """

    former: "Turn | None" = None
    number: int = 0
    recorded: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class MultipartUploads:
    """Begin, write, inspect and discard uploads. See application/blobs/changes/operations.py for their publication.

    All methods raise FORBIDDEN, and UPLOAD_NOT_FOUND for an upload that has ended or expired.
    """

    uploads: Uploads
    reader: MultipartReader
    new_key: KeySource
    max_bytes: int
    lifetime: timedelta = LIFETIME

    async def begin(
        self, grant: Grant, new: NewUpload, key: ObjectKey | None = None, check: Change[None] | None = None
    ) -> MultipartUpload:
        """Begin an upload, with a new key by default, unless `check` raises in the same unit.

        Raises INVALID_EXPIRY, and TOO_LARGE if its declared size is too large.
        """
        if new.id is None:
            authorize_some(grant, Action.WRITE)
            record(grant, Action.WRITE.value)
        else:
            authorize(grant, Action.WRITE, new.id)
        new.expiry.require_future()
        max_bytes = grant.max_bytes(self.max_bytes)
        if (new.size or 0) > max_bytes:
            raise too_large(max_bytes)
        unset = datetime.fromtimestamp(0, UTC)
        upload = MultipartUpload(
            key or self.new_key(),
            new.id,
            new.properties,
            unset,
            unset,
            new.size,
            blob_expires_in=new.expiry.after,
            blob_expires_at=new.expiry.at,
            checksum_algorithm=new.checksum_algorithm,
            is_composite=new.is_composite,
            resumable=new.resumable,
        )

        async def add(work: UnitOfWork) -> MultipartUpload:
            if check is not None:
                await check(work)
            return await work.multipart.add(upload, self.lifetime)

        return await self.uploads.commit(add)

    async def find(self, grant: Grant, key: ObjectKey) -> MultipartUpload:
        """Return an upload. One to an id outside the grant is not found, and one without an id is for all writers."""
        return self._authorized(grant, key, await self.reader.find(key))

    async def find_any(self, grant: Grant, key: ObjectKey) -> MultipartUpload:
        """Return an upload, or one that has become a blob, under the rules of `find`."""
        return self._authorized(grant, key, await self.reader.find_any(key))

    def _authorized(self, grant: Grant, key: ObjectKey, upload: MultipartUpload | None) -> MultipartUpload:
        authorize_some(grant, Action.WRITE)
        if upload is None or (upload.id is not None and not upload.id.value.startswith(grant.prefixes)):
            record(grant, Action.WRITE.value, subject=key.value)
            raise UploadNotFound(subject=key)
        record(grant, Action.WRITE.value, "" if upload.id is None else upload.id.value, subject=key.value)
        return upload

    async def parts(self, grant: Grant, key: ObjectKey, after: int = 0, limit: int = MAX_PARTS) -> Sequence[Part]:
        """Return up to `limit` parts with numbers after `after`, in their order."""
        await self.find(grant, key)
        return await self.reader.parts(key, after, limit)

    async def list(
        self, grant: Grant, prefix: str, after: tuple[str, ObjectKey] | None, limit: int
    ) -> Sequence[MultipartUpload]:
        """Return up to `limit` uploads in progress to ids that begin with `prefix`, after that id and key.

        Uploads to ids outside the grant are left out.
        """
        found = list[MultipartUpload]()
        for each in authorized_prefixes(grant, Action.LIST, prefix):
            start, key = (each, None) if after is None or after[0] < each else after
            found += await self.reader.between(start, key, end_of(each), limit - len(found))
            if len(found) == limit:
                break
        return found

    async def discard(self, grant: Grant, key: ObjectKey) -> None:
        """Discard an upload with its parts. Parts that are being written are refused when they end."""
        await self.find(grant, key)
        if not await self.uploads.commit(lambda work: expire_upload(work, key)):
            raise UploadNotFound(subject=key)

    async def write(self, grant: Grant, key: ObjectKey, number: int, new: NewPart) -> Part:
        """Write a part, and return it once it is durable and recorded. A part of the same number is replaced.

        Of several writers of one number, the last one that begins wins, and the others get LEASE_LOST, unless the part
        says otherwise. Raises INVALID_PARTS for a number that is not 1 to 10,000 and for a resumable upload, TOO_LARGE,
        SIZE_MISMATCH and DIGEST_MISMATCH.
        """
        check_number(number)
        check_takes_parts(await self.find(grant, key))
        return await self._write(key, number, new, grant.max_bytes(self.max_bytes))

    async def append(self, grant: Grant, key: ObjectKey, offset: int, new: NewPart) -> MultipartUpload:
        """Write the next part, whose bytes start at `offset`: the size of all parts before it.

        Raises what `write` raises, and OFFSET_MISMATCH for bytes that leave a gap or overlap.
        """
        upload, grant = await self.find(grant, key), grant.begun()
        check_takes_parts(upload)
        check_offset(upload, offset)
        await self.append_to(grant, upload, offset, new, grant.max_bytes(self.max_bytes))
        return await self.find(grant, key)

    async def append_to(
        self, grant: Grant, upload: MultipartUpload, offset: int, new: NewPart, max_bytes: int, turn: Turn | None = None
    ) -> Part:
        """Do as `append` does, also for a resumable upload. The caller has read it. It may have `max_bytes` in all.

        With a `turn`, the part before may still become durable. This one is recorded after that, if it is.
        """
        self._authorized(grant, upload.key, upload)
        return await self._write(upload.key, None, new, max_bytes, offset, turn)

    async def _write(
        self,
        key: ObjectKey,
        number: int | None,
        new: NewPart,
        max_bytes: int,
        offset: int | None = None,
        turn: Turn | None = None,
    ) -> Part:
        location, turn = Location(self.uploads.stores.active, self.new_key()), turn or Turn()
        if turn.former is not None:
            number = turn.former.number + 1
        expected = offset if turn.former is None else None  # the record of the part before has yet to change it
        reserve = partial(self._reserve, key, number, location, expected, ends_others=new.ends_others)
        number = turn.number = await self.uploads.commit(reserve)
        async with self.uploads.discarded_on_error(location):
            intake = Intake(new.chunks, max_bytes - (offset or 0), new.size, new.digest)
            async with kept_alive(self.uploads, self.lifetime, key, location):
                written = await self.uploads.append(location, intake)
                if turn.former is not None:
                    async with Renewals(partial(self.uploads.renew, location), self.uploads.lease / 3) as renewals:
                        renewals.start()
                        await turn.former.recorded.wait()
            checksums = new.checksums() if new.checksums else None
            part = Part(number, location, written.size, written.digest, checksums)
            record_part = partial(self._record, key, part, offset, max_bytes)
            await self.uploads.publish([location], record_part, partial(self._is_recorded, key, written))
            turn.recorded.set()
            return part

    async def _reserve(
        self,
        key: ObjectKey,
        number: int | None,
        location: Location,
        offset: int | None,
        work: UnitOfWork,
        *,
        ends_others: bool,
    ) -> int:
        """Reserve a part, and return its number: by default, that of the next one."""
        upload = await work.multipart.lock(key, self.lifetime)
        if upload is None:
            raise UploadNotFound(subject=key)
        if offset is not None:
            check_offset(upload, offset)
        if number is None:
            number = await work.multipart.last_number(key) + 1
        if number > MAX_APPENDED:
            detail = f"The upload has {MAX_APPENDED:,} parts, and takes no further one. Send larger parts."
            raise InvalidParts(detail, subject=key)
        if not ends_others:
            await work.uploads.add(location, self.uploads.lease)
            return number
        for former in await work.multipart.reserve(key, number, location, self.uploads.lease):
            await discard_object(work, former)
        return number

    async def _record(self, key: ObjectKey, part: Part, offset: int | None, max_bytes: int, work: UnitOfWork) -> Part:
        upload = await work.multipart.lock(key, self.lifetime)
        if upload is None:
            raise UploadNotFound(subject=key)
        if offset is not None:
            check_offset(upload, offset)
        former = await put_part(work, upload, part, max_bytes)
        if former is not None:
            await discard_parts(work, [former])
        return part

    async def _is_recorded(self, key: ObjectKey, written: WrittenObject, work: UnitOfWork) -> bool:
        last = 0
        while page := await work.multipart.parts(key, last, PAGE):
            if any(part.location == written.location for part in page):
                return True
            last = page[-1].number
        return False


async def expire_upload(work: UnitOfWork, key: ObjectKey) -> bool:
    """Let an upload in progress end now, and return whether there is one. The reaper discards it.

    That takes a while if it has many parts.
    """
    if await work.multipart.lock(key, LIFETIME) is None:
        return False
    await work.multipart.lock(key, timedelta(0))
    return True


async def renewed(uploads: Uploads, lifetime: timedelta, keys: Iterable[ObjectKey]) -> Sequence[MultipartUpload]:
    """Let uploads in progress expire `lifetime` from now, and return them, in the order of their keys.

    If that fails, the list is empty: the next request may do it. With READ_ONLY, none does.
    """
    ordered = sorted(keys)  # so that no two units wait for each other

    async def renew(work: UnitOfWork) -> Sequence[MultipartUpload]:
        found = [await work.multipart.lock(key, lifetime) for key in ordered]
        return [each for each in found if each is not None]

    try:
        return await uploads.commit(renew)
    except BlobError:
        return []


@asynccontextmanager
async def kept_alive(
    uploads: Uploads, lifetime: timedelta, key: ObjectKey, writing: Location | None = None
) -> AsyncIterator[None]:
    """Let an upload not expire while the body runs, unless the writer of the object `writing` has been ended."""

    async def renew(work: UnitOfWork) -> None:
        await work.multipart.lock(key, lifetime)
        if writing is not None and not await work.uploads.renew(writing.key, uploads.lease):
            raise lease_lost(writing)  # and nothing is renewed

    async with Renewals(lambda: uploads.commit(renew), lifetime / 3) as renewals:
        renewals.start()
        yield
