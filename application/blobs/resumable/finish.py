"""Finish a resumable upload: publish its bytes under its id, once all are there."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Changed, Operation, Put, Rules, Verified
from application.blobs.multipart.parts import FEW_PARTS, MAX_APPENDED, PAGE
from application.blobs.multipart.take import composite_of
from application.blobs.multipart.uploads import MultipartUploads, NewPart, kept_alive, renewed
from application.concurrency import SharedCalls
from application.ports.contents import MultipartUpload, Part, Resumable
from application.ports.metadata import UnitOfWork
from domain.access import Grant
from domain.blob import Blob, BlobId, Digest, Location, ObjectKey
from domain.errors import (
    BlobError,
    DigestMismatch,
    IntegrityError,
    InvalidParts,
    LeaseLost,
    NotFound,
    ReadOnly,
    UploadNotFound,
)

# What a request may meet once another one has published the upload, and so removed its parts.
OVERTAKEN = (UploadNotFound, NotFound, DigestMismatch, LeaseLost)


@dataclass(frozen=True, slots=True)
class Progress:
    """An upload, with its offset as `upload.received`, and the outcome if this request has published it."""

    upload: MultipartUpload
    changed: Changed | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the upload has become a blob."""
        return bool(self.upload.etag)

    @property
    def blob(self) -> Blob | None:
        """The blob, if this request has published it."""
        return self.changed.blob if self.changed else None


def is_complete(upload: MultipartUpload) -> bool:
    """Return whether an upload has all of its bytes, as far as its length is known."""
    return upload.size == upload.received


@dataclass(frozen=True, slots=True)
class Join(Operation):
    """Publish a final upload, with the bytes of its partial ones in their order. Each of these is finished, too.

    Raises UPLOAD_NOT_FOUND, INVALID_PARTS for one that is not complete or if all have more parts than one upload may
    have, and the precondition's errors.
    """

    put: Put
    partials: Sequence[ObjectKey]
    lifetime: timedelta

    @property
    def changes(self) -> Sequence[BlobId]:
        return self.put.changes

    @property
    def changes_many(self) -> bool:
        return self.put.changes_many

    def authorize(self, grant: Grant) -> None:
        self.put.authorize(grant)

    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        for key in sorted([self.put.upload, *self.partials]):  # always in the same order, so that no two units wait
            upload = await work.multipart.lock(key, self.lifetime)
            if upload is None:
                raise UploadNotFound(subject=key)
            if key != self.put.upload and not is_complete(upload):
                raise InvalidParts("A partial upload is not complete.", subject=key)
        count = sum([await work.multipart.last_number(key) for key in self.partials])
        if count > MAX_APPENDED:  # a transaction of more rows would keep others waiting
            detail = f"The partial uploads have {count:,} parts, more than {MAX_APPENDED:,}. Send larger parts."
            raise InvalidParts(detail, subject=self.put.upload)
        for key in self.partials:
            await work.multipart.join(self.put.upload, key)
        changed = await self.put.apply(work, rules)
        assert changed.blob is not None
        for key in self.partials:
            await work.multipart.finish(key, changed.blob.etag, self.lifetime)
        return changed


@dataclass(frozen=True, slots=True)
class FinishUploads:
    """Finishes uploads that are complete, and keeps them for clients whose response was lost.

    Raises FORBIDDEN, UPLOAD_NOT_FOUND, errors of the precondition, DIGEST_MISMATCH, INVALID_EXPIRY, QUOTA_EXCEEDED,
    TOO_LARGE, INVALID_PARTS and INTEGRITY.
    """

    multipart: MultipartUploads
    commit: CommitOperations
    checks: SharedCalls[ObjectKey, Verified]

    async def __call__(self, grant: Grant, upload: MultipartUpload) -> Progress:
        """Finish an upload if it is complete. Return one that another request has finished once that is durable."""
        if upload.etag:
            return await self._finished(upload)
        if upload.resumable is None:
            return Progress(upload)
        try:
            return await self._finish(grant, upload, upload.resumable)
        except OVERTAKEN:
            found = await self.multipart.find_any(grant, upload.key)
            if not found.etag:  # also if its partial ones have become another's
                raise
            return await self._finished(found)

    async def _finished(self, upload: MultipartUpload) -> Progress:
        with suppress(ReadOnly):  # a server that changes nothing reports what it finds
            await self.commit.commit_one.confirm()
        return Progress(upload)

    async def _finish(self, grant: Grant, upload: MultipartUpload, resumable: Resumable) -> Progress:
        if resumable.partials:
            return await self._join(grant, upload, resumable.partials)
        if resumable.is_partial:
            return Progress(await self._after_partial(grant, upload, resumable.final))
        if not is_complete(upload):
            return Progress(upload)
        is_large = await self._require_part(grant, upload)
        verified = None if resumable.digest is None else await self._check_digest(upload, resumable.digest)
        return await self._publish(grant, upload, lambda put: replace(put, verified=verified, has_many_parts=is_large))

    async def _after_partial(self, grant: Grant, partial: MultipartUpload, final: ObjectKey | None) -> MultipartUpload:
        """Finish the upload that a partial one belongs to. Errors are for the requests that ask for that one."""
        if final is not None:
            with suppress(BlobError):
                await self(grant, await self._current(final))
        return await self._current(partial.key)

    async def _join(self, grant: Grant, upload: MultipartUpload, keys: Sequence[ObjectKey]) -> Progress:
        partials = [await self._current(key) for key in keys]
        sizes = [each.size for each in partials if each.size is not None]
        size = sum(sizes) if len(sizes) == len(partials) else None
        upload = replace(upload, received=sum(each.received for each in partials), size=size)
        if not all(map(is_complete, partials)):
            return Progress(replace(upload, expires_at=await self._keep(upload, partials)))
        if not upload.received:
            await self._require_part(grant, upload)
        is_large, lifetime = await self._have_many_parts(keys), self.multipart.lifetime
        finished = await self._publish(
            grant, upload, lambda put: Join(replace(put, has_many_parts=is_large), keys, lifetime)
        )
        return replace(finished, upload=replace(finished.upload, received=upload.received, size=size))

    async def _keep(self, upload: MultipartUpload, partials: Sequence[MultipartUpload]) -> datetime:
        """Renew a final upload, and its partial ones, which may be complete and get no requests of their own.

        Return when the upload expires. There may be many partial ones, so each is renewed only now and then.
        """
        uploads, lifetime = self.multipart.uploads, self.multipart.lifetime
        for final in await renewed(uploads, lifetime, [upload.key]):
            due = final.expires_at - lifetime / 10
            if old := [each.key for each in partials if each.expires_at < due]:
                await renewed(uploads, lifetime, old)
            return final.expires_at
        return upload.expires_at

    async def _publish(self, grant: Grant, upload: MultipartUpload, operation: Callable[[Put], Operation]) -> Progress:
        assert upload.id is not None
        assert upload.resumable is not None
        put = Put(upload.id, upload.key, precondition=upload.resumable.precondition, keep_for=self.multipart.lifetime)
        changed = await self.commit.one(grant, operation(put))
        return Progress(await self._current(upload.key), changed)

    async def _current(self, key: ObjectKey) -> MultipartUpload:
        upload = await self.multipart.reader.find_any(key)
        if upload is None:
            raise UploadNotFound(subject=key)
        return upload

    async def _require_part(self, grant: Grant, upload: MultipartUpload) -> bool:
        """Let an upload without bytes have an empty object. Return whether it has more than FEW_PARTS."""
        parts = await self.multipart.reader.parts(upload.key, 0, FEW_PARTS + 1)
        if not parts:
            await self.multipart.append_to(grant, upload, upload.received, NewPart(_nothing()), upload.received)
        return len(parts) > FEW_PARTS

    async def _have_many_parts(self, keys: Sequence[ObjectKey]) -> bool:
        """Return whether one of the uploads has more than its share of FEW_PARTS, as one has if all have more."""
        for key in keys:
            if await self.multipart.reader.parts(key, FEW_PARTS // len(keys), 1):
                return True
        return False

    async def _check_digest(self, upload: MultipartUpload, digest: Digest) -> Verified:
        """Raise DIGEST_MISMATCH unless the bytes have this digest. Several parts are read again, and take long.

        So clients give up, and ask again: all requests share one check. The client is not blamed for an object that was
        damaged later: that is INTEGRITY.
        """
        parts = await self.multipart.reader.parts(upload.key, 0, 2)
        only = len(parts) == 1
        if only:
            found = Verified(parts[0].digest, composite_of([]))
        else:
            found = await self.checks(upload.key, partial(self._digest, upload.key))
        if found.digest != digest:
            text = f"The bytes that arrived have the SHA-256 {found.digest.hex}, not the one declared."
            raise DigestMismatch(f"{text} Upload them again.", subject=upload.key)
        return found

    async def _digest(self, key: ObjectKey) -> Verified:
        whole, last = hashlib.sha256(), 0
        digests = list[Digest]()
        async with kept_alive(self.multipart.uploads, self.multipart.lifetime, key):
            while page := await self.multipart.reader.parts(key, last, PAGE):
                for part in page:
                    whole = await self._hash(key, part, whole)
                digests += [part.digest for part in page if part.size]
                last = page[-1].number
        return Verified(Digest(whole.digest()), composite_of(digests))

    async def _hash(self, key: ObjectKey, part: Part, before: "hashlib._Hash") -> "hashlib._Hash":
        """Return the hash of the bytes `before` with the bytes of a part. Raises INTEGRITY if the part is damaged."""
        while True:
            location = part.location
            whole, hashed, size = before.copy(), hashlib.sha256(), 0
            try:
                async with self.multipart.uploads.stores.holding(location).read(location.key) as chunks:
                    async for chunk in chunks:
                        size += len(chunk)
                        await asyncio.to_thread(_update, chunk, whole, hashed)
            except NotFound:  # moved to another storage, and deleted here, since its row was read?
                again = await self.multipart.reader.parts(key, part.number - 1, 1)
                if not again or again[0].number != part.number:
                    raise
                if again[0].location == location:
                    raise _damaged(location) from None
                part = again[0]
                continue
            if (size, hashed.digest()) != (part.size, part.digest.sha256):
                raise _damaged(location)
            return whole


def _update(chunk: bytes, *hashes: "hashlib._Hash") -> None:
    for each in hashes:
        each.update(chunk)


def _damaged(location: Location) -> BlobError:
    detail = "The bytes of a part are not the ones that arrived, or are gone. Run `drivebay verify --deep`."
    return IntegrityError(detail, backend=location.backend, subject=location.key)


async def _nothing() -> AsyncGenerator[bytes]:
    yield b""
