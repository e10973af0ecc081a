"""Uploads that a client resumes: bytes are appended at an offset, and kept as far as they arrived.

An upload is one row. Each request appends objects of a bounded size. One is acknowledged once it is durable and
recorded, in a transaction that compares the offset. So two requests, also to two replicas, never lose, repeat or mix
bytes. There are no locks: a request that asks for the offset, or appends, first ends the one before it, whose client
may be gone without the server's knowledge. What that one has received is recorded before.

The upload is published once all bytes are there, in a transaction of its own. If that did not happen, because the
server was killed, the next request does it. The row is kept for a while then, for clients whose response was lost.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from application.authorize import authorize, authorize_some
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Verified
from application.blobs.multipart.parts import check_offset
from application.blobs.multipart.uploads import (
    MultipartUploads,
    NewPart,
    NewUpload,
    Turn,
    expire_upload,
    renewed,
)
from application.blobs.resumable.finish import FinishUploads, Progress
from application.concurrency import SharedCalls
from application.conditions import require_declared
from application.ports.contents import MultipartUpload, Part, Resumable
from application.ports.metadata import UnitOfWork
from application.quota import check_quota
from application.renewals import Renewals
from application.uploads.intake import too_large
from application.uploads.lifecycle import discard_object
from application.uploads.pieces import Interruption, Pieces, Writers
from domain.access import UNCONDITIONAL, Action, Grant
from domain.blob import BlobId, ObjectKey
from domain.errors import InconsistentLength, Interrupted, InvalidParts, LeaseLost, OffsetMismatch, UploadNotFound

PIECE_BYTES = 64 * 1024 * 1024
PATIENCE = 5.0  # seconds that a request has to record what it has received, once another one has ended it
POLL = 0.05  # seconds
WATCH = 1.0  # seconds: how often a request that appends looks whether another replica has ended it


@dataclass(frozen=True, slots=True)
class NewBytes:
    """Bytes to append at `offset`. `length`: that of all bytes of the upload, if the request declares it.

    `size`: of these bytes, if it is known. `is_last`: the upload is complete with them, else once it has its length.
    `is_whole`: all of these bytes are kept, or none, because only their end shows that they are right.
    """

    offset: int
    chunks: AsyncIterable[bytes]
    size: int | None = None
    length: int | None = None
    is_last: bool = False
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class ResumableUploads:
    """Begin, resume, inspect and discard uploads whose bytes are appended.

    Objects have about `piece_bytes`, and two of them are written at once. So a server that is killed loses at most
    twice that much of a request. All methods raise FORBIDDEN, and UPLOAD_NOT_FOUND for an upload that has expired.
    """

    multipart: MultipartUploads
    commit: CommitOperations
    piece_bytes: int = PIECE_BYTES
    patience: float = PATIENCE
    watch: float = WATCH
    monotonic: Callable[[], float] = time.monotonic
    writers: Writers = field(default_factory=Writers)
    checks: SharedCalls[ObjectKey, Verified] = field(default_factory=SharedCalls)

    @property
    def finish(self) -> FinishUploads:
        return FinishUploads(self.multipart, self.commit, self.checks)

    async def begin(self, grant: Grant, new: NewUpload, partials: Sequence[ObjectKey] = ()) -> Progress:
        """Begin an upload, and finish it if there are no bytes to wait for.

        Without an id, it gets its key as the id, below a prefix of the grant. `partials`: the uploads that are joined
        to this one once they are complete. A request that is repeated, also while the first one is served, gets the
        upload that the first one has begun. Raises INVALID_EXPIRY, TOO_LARGE, QUOTA_EXCEEDED, INVALID_PARTS, and errors
        of the precondition if it does not hold now. Only the end decides.
        """
        if len({*partials}) < len(partials):
            raise InvalidParts("A partial upload is named twice. Each is joined once.")
        wanted = new.id
        if before := await self._joined_before(grant, wanted, partials):
            return await self.finish(grant, before)
        key = self.multipart.new_key()
        resumable = replace(new.resumable or Resumable(), partials=tuple(partials))
        new = replace(new, resumable=resumable)
        if not resumable.is_partial and new.id is None:
            authorize_some(grant, Action.WRITE)
            new = replace(new, id=BlobId(f"{grant.prefixes[0]}{key}"))
        if grant.conditions is not UNCONDITIONAL:
            grant, new = _under(grant, new)
        try:
            upload = await self.multipart.begin(grant, new, key, partial(self._check, grant, key, new))
        except (InvalidParts, UploadNotFound):
            before = await self._joined_before(grant, wanted, partials)  # perhaps begun since this request looked
            if before is None:
                raise
            upload = before
        return await self.finish(grant, upload)

    async def _joined_before(
        self, grant: Grant, wanted: BlobId | None, keys: Sequence[ObjectKey]
    ) -> MultipartUpload | None:
        """Return the final upload that was begun with these partial ones, if the id that a client wants is its id."""
        partials = [await self.multipart.find_any(grant, key) for key in keys]
        finals = {each.resumable.final if each.resumable else None for each in partials}
        final = finals.pop() if len(finals) == 1 else None
        found = None if final is None else await self.multipart.reader.find_any(final)
        if found is None or found.resumable is None or found.resumable.partials != tuple(keys):
            return None
        return await self.multipart.find_any(grant, found.key) if wanted in (None, found.id) else None

    async def progress(self, grant: Grant, key: ObjectKey) -> Progress:
        """Return the offset, which the next request may use: the writer has ended. Finish a complete upload.

        An upload that is not finished expires later, as after any other request.
        """
        upload = await self.multipart.find_any(grant, key)
        if upload.resumable is None or upload.etag:
            return await self.finish(grant, upload)
        await self._end_writers(key)  # or it ended by itself, after the upload was read
        await renewed(self.multipart.uploads, self.multipart.lifetime, [key])
        return await self.finish(grant, await self.multipart.find_any(grant, key))

    async def append(self, grant: Grant, key: ObjectKey, new: NewBytes) -> Progress:
        """Append bytes, and finish the upload if it is complete. The bytes that arrived are kept if they break off.

        Raises OFFSET_MISMATCH, INCONSISTENT_LENGTH, TOO_LARGE, INTERRUPTED if another request goes on with the upload,
        INVALID_PARTS for a final upload, what the bytes raise, and what publishing raises. An upload whose parts are
        sent by number keeps its other writers, and raises INVALID_PARTS for the last bytes.
        """
        upload, grant = await self.multipart.find_any(grant, key), grant.begun()
        if upload.resumable is not None and upload.resumable.partials:
            raise InvalidParts("This upload is joined from others. Append to those.", subject=key)
        if upload.resumable is not None and not upload.etag:
            ended = await self._end_writers(key)
            if ended or upload.received != new.offset:  # it may have ended by itself, after the upload was read
                upload = await self.multipart.find_any(grant, key)
        if upload.etag:
            await _check_repeated(upload, new)
            return await self.finish(grant, upload)
        if upload.resumable is None and new.is_last:
            raise InvalidParts("This upload is published by a commit, not by its last bytes.", subject=key)
        check_offset(upload, new.offset)
        with self.writers.writing(key) as interruption:
            pieces = Pieces(new.chunks, interruption, self.piece_bytes, is_whole=new.is_whole)
            try:
                limit = await self._limit(grant, upload, new)
                async with self._watching(upload, interruption):
                    await self._append_pieces(grant, upload, pieces, new.offset, limit)
                upload = await self.multipart.find_any(grant, key)
                if new.is_last and not upload.etag and upload.size != new.offset + pieces.size:
                    upload = await self._set_size(key, new.offset + pieces.size)
            except LeaseLost as error:
                await self.multipart.find_any(grant, key)  # it may have been discarded
                raise Interrupted(subject=key) from error
            except UploadNotFound:
                upload = await self.multipart.find_any(grant, key)
                if not upload.etag:
                    raise
                # Another request has finished it since it was read.
                await _check_repeated(upload, new, has_bytes=pieces.has_bytes)
        return await self.finish(grant, upload)

    async def discard(self, grant: Grant, key: ObjectKey) -> None:
        """Discard an upload with its bytes. One that has finished is forgotten, and its blob stays."""
        await self.multipart.find_any(grant, key)
        self.writers.interrupt(key)

        async def discard(work: UnitOfWork) -> bool:
            await _discard_writers(key, work)
            return await expire_upload(work, key) or await work.multipart.discard(key)

        if not await self.multipart.uploads.commit(discard):
            raise UploadNotFound(subject=key)

    async def _end_writers(self, key: ObjectKey) -> bool:
        """End the requests that are appending, in all replicas. Return whether there were any.

        What they have received is recorded before, unless that takes too long.
        """
        until = self.monotonic() + self.patience
        writers = self.writers.interrupt(key)
        for writer in writers:
            with suppress(TimeoutError):
                await asyncio.wait_for(writer.ended.wait(), self.patience)
        uploads, is_interrupted = self.multipart.uploads, False
        while await self.multipart.reader.in_progress(key):
            if self.monotonic() > until:
                await uploads.commit(partial(_discard_writers, key))
                return True
            if not is_interrupted:
                await uploads.commit(lambda work: work.multipart.interrupt(key))
                is_interrupted = True
            await asyncio.sleep(POLL)
        return is_interrupted or bool(writers)

    @asynccontextmanager
    async def _watching(self, upload: MultipartUpload, interruption: Interruption) -> AsyncIterator[None]:
        """Interrupt the body when another replica asks for that, or has discarded the upload."""

        async def look() -> None:
            current = await self.multipart.reader.find(upload.key)
            if current is None or current.interruptions != upload.interruptions:
                interruption.interrupt()

        async with Renewals(look, timedelta(seconds=self.watch)) as renewals:
            renewals.start()
            yield

    async def _append_pieces(
        self, grant: Grant, upload: MultipartUpload, pieces: Pieces, offset: int, limit: int
    ) -> None:
        """Append each piece while the one before becomes durable. A piece that fails ends those after it."""
        writing: list[asyncio.Task[Part]] = []
        turn: Turn | None = None
        try:
            while await pieces.begin():
                if writing and writing[0].done():
                    await writing[0]  # it may have failed before there was another one
                turn = Turn(turn)
                new, at = NewPart(pieces.piece()), offset + pieces.size
                writing.append(asyncio.create_task(self.multipart.append_to(grant, upload, at, new, limit, turn)))
                writing[-1].add_done_callback(partial(_end, pieces, pieces.ended))
                await pieces.ended.wait()
                if len(writing) > 1:
                    await writing.pop(0)
                    turn.former = None
                if writing[0].done():
                    await writing[0]
            for each in writing:
                await each
        finally:
            for each in writing:
                each.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
        if pieces.error is not None:
            raise pieces.error

    async def _limit(self, grant: Grant, upload: MultipartUpload, new: NewBytes) -> int:
        """Return how many bytes the upload may have, and record its length if it is new."""
        limit = grant.max_bytes(self.multipart.max_bytes)
        if upload.resumable is not None and upload.resumable.max_bytes is not None:
            limit = min(limit, upload.resumable.max_bytes)
        of_content = new.offset + new.size if new.is_last and new.size is not None else None
        lengths = {each for each in (upload.size, new.length, of_content) if each is not None}
        if len(lengths) > 1 or (lengths and min(lengths) < new.offset):
            raise InconsistentLength(subject=upload.key)
        for length in lengths:
            if length > limit:
                raise too_large(limit)
            if upload.size is None:
                await self._set_size(upload.key, length)
            limit = length
        if new.offset + (new.size or 0) > limit:
            raise too_large(limit)
        return limit

    async def _set_size(self, key: ObjectKey, size: int) -> MultipartUpload:
        """Record the length of an upload, so that bytes beyond it are refused from now on."""

        async def update(work: UnitOfWork) -> MultipartUpload:
            current = await work.multipart.lock(key, self.multipart.lifetime)
            if current is None:
                raise UploadNotFound(subject=key)
            if current.size not in (None, size):
                raise InconsistentLength(subject=key)
            if current.received > size:
                detail = f"Another request has appended bytes: the upload has {current.received:,}. Go on from there."
                raise OffsetMismatch(detail, subject=key)
            current = replace(current, size=size)
            await work.multipart.update(current)
            return current

        return await self.multipart.uploads.commit(update)

    async def _check(self, grant: Grant, key: ObjectKey, new: NewUpload, work: UnitOfWork) -> None:
        """Refuse an upload early that could not be published now, and let its partials belong to it."""
        assert new.resumable is not None
        if new.id is not None and not new.resumable.is_partial:
            new.resumable.precondition.check(new.id, await work.blobs.find(new.id))
        if grant.owner:
            await check_quota(work, grant.owner, new.size or 0)
        for each in sorted(new.resumable.partials):
            joined = await work.multipart.lock(each, self.multipart.lifetime)
            if joined is None:
                raise UploadNotFound(subject=each)
            if joined.resumable is None or not joined.resumable.is_partial:
                raise InvalidParts("Only partial uploads can be joined.", subject=each)
            final = joined.resumable.final
            if final is not None and await work.multipart.find(final) is not None:
                text = "A partial upload is already part of another final upload. Discard that one, or upload it again."
                raise InvalidParts(text, subject=each)
            await work.multipart.update(replace(joined, resumable=replace(joined.resumable, final=key)))


async def _check_repeated(upload: MultipartUpload, new: NewBytes, *, has_bytes: bool = False) -> None:
    """Raise an error unless a request to a finished upload appends nothing, at its end.

    `has_bytes`: some have come already.
    """
    check_offset(upload, new.offset)
    if has_bytes or new.size or (new.size is None and not await _is_empty(new.chunks)):
        raise too_large(upload.received)


async def _is_empty(chunks: AsyncIterable[bytes]) -> bool:
    async for chunk in chunks:
        if chunk:
            return False
    return True


def _end(pieces: Pieces, ended: asyncio.Event, writing: "asyncio.Task[Part]") -> None:
    """Do not wait for more bytes of a piece that has failed, nor of the next one."""
    ended.set()
    if not writing.cancelled() and writing.exception() is not None:
        pieces.ended.set()


async def _discard_writers(key: ObjectKey, work: UnitOfWork) -> None:
    for location in await work.multipart.end_writers(key):
        await discard_object(work, location)


def _under(grant: Grant, new: NewUpload) -> tuple[Grant, NewUpload]:
    """Return an upload that is published only if the conditions of the grant hold, and a grant without them."""
    conditions, resumable = grant.conditions, new.resumable
    assert new.id is not None
    assert resumable is not None
    authorize(grant, Action.WRITE, new.id, conditions=conditions)
    require_declared(conditions, new.id, new.properties.content_type, resumable.digest)
    if conditions.max_bytes is not None and (new.size or 0) > conditions.max_bytes:
        raise too_large(conditions.max_bytes)
    if conditions.create_only:
        resumable = replace(resumable, precondition=replace(resumable.precondition, new=True))
    kept = replace(resumable, digest=conditions.digest or resumable.digest, max_bytes=conditions.max_bytes)
    return replace(grant, conditions=UNCONDITIONAL), replace(new, resumable=kept)
