"""Store a blob: begin an upload, append the bytes, publish.

The transaction that publishes is the only commit point. Before it, readers see nothing of the new version; after it,
the version is whole and durable. A crash at any moment leaves at most an upload whose lease expires.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from application.authorize import authorize, authorize_some
from application.conditions import require_declared
from application.contents.expiry import NEVER, Expiry, require_unexpired
from application.contents.retention import USUAL, Retention
from application.ports.metadata import DATABASE, KeySource, Published, UnitOfWork
from application.quota import charge, check_quota
from application.renewals import Renewals
from application.uploads.intake import Intake
from application.uploads.lifecycle import Change, Uploads, WrittenObject
from application.uploads.replay import KEPT, ReplayableBody
from application.uploads.retry import ONCE, Retry
from application.uploads.small_blobs import SmallBlobs
from domain.access import UNCONDITIONAL, UNLIMITED, Action, Conditions, Grant
from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey
from domain.checksums import Checksums
from domain.errors import Unavailable
from domain.precondition import ANY, Precondition
from domain.properties import Properties


class BlobSource(Protocol):
    """The bytes of a new blob, to be iterated once, and its id, which may arrive before or after them."""

    @property
    def id(self) -> BlobId | None:
        """The blob's id. None until it has arrived, at the latest with the end of the bytes."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class IdentifiedBytes:
    """A source whose id is known before its bytes."""

    id: BlobId
    chunks: AsyncIterable[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.chunks)


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to store. `size` in bytes and `digest` are declared by the sender, if at all.

    `max_bytes`: a limit below that of the service. `owner`: the key whose quota counts the blob, if there is one.
    `checksums`: returns further checksums to keep, once the bytes have ended.
    """

    source: BlobSource
    properties: Properties = field(default_factory=Properties)
    precondition: Precondition = ANY
    size: int | None = None
    digest: Digest | None = None
    expiry: Expiry = NEVER
    max_bytes: int | None = None
    owner: str = ""
    checksums: Callable[[], Checksums] | None = None


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that was stored, and whether it `replaced` another version."""

    blob: Blob
    replaced: bool


@dataclass(frozen=True, slots=True)
class StoreBlob:
    """Store bytes under an id, and return the blob once it is durable and visible.

    `small`: the place for the bytes of small blobs, if the storage is not. `default_expiry`: that of blobs whose sender
    chooses none.

    A write to a storage that is UNAVAILABLE is repeated as `retry` says, while the body is short enough to be kept. If
    anything fails, a cancellation included, the version before it is still there. Raises what `Uploads` and the source
    raise, FORBIDDEN, INVALID_EXPIRY, the precondition's errors, QUOTA_EXCEEDED, TOO_LARGE beyond `max_bytes`,
    SIZE_MISMATCH and DIGEST_MISMATCH.
    """

    uploads: Uploads
    new_key: KeySource
    max_bytes: int
    retention: Retention = USUAL
    retry: Retry = ONCE
    small: SmallBlobs | None = None
    default_expiry: Expiry = NEVER

    async def __call__(self, grant: Grant, new: NewBlob) -> StoredBlob:
        # Before a byte is read. The id may come after the bytes.
        if new.source.id is None:
            authorize_some(grant, Action.WRITE)
        else:
            authorize(grant, Action.WRITE, new.source.id, conditions=grant.conditions)
            new = _under(grant.conditions, new)
        new = self._limited(new, grant)
        grant = grant.begun()
        new.expiry.require_future()
        body = ReplayableBody(new.source, KEPT if self.retry.attempts > 1 else 0)
        if self.small and (new.size or 0) <= self.small.max_bytes and await body.fits(self.small.max_bytes):
            return await self._store_small(self.small, grant, new, body)
        written = await self._append_with_retries(new, body)
        async with self.uploads.discarded_on_error(written.location):
            return await self._publish(_id_of(new, grant), written, new)

    async def publish(
        self, grant: Grant, new: NewBlob, place: Callable[[ObjectKey], AbstractAsyncContextManager[None]]
    ) -> StoredBlob:
        """Store a blob whose bytes become an object without passing through here, such as by a link.

        `place` is called with the key of the object: entering the context puts the object there, durably, and leaving
        it raises if the object was changed inside. Its bytes are read from the storage, and compared with the declared
        size and digest. The source of `new` only has the id. Raises what `place` raises, and what storing does.
        """
        blob_id = new.source.id
        assert blob_id is not None
        authorize(grant, Action.WRITE, blob_id)
        new = self._limited(new, grant)
        new.expiry.require_future()
        location = Location(self.uploads.stores.active, self.new_key())
        await self.uploads.begin(location, check=partial(_check, new))
        async with self.uploads.discarded_on_error(location):
            async with Renewals(partial(self.uploads.renew, location), self.uploads.lease / 3) as renewals:
                renewals.start()
                async with place(location.key):
                    written = await self._read_back(location, new)
            return await self._publish(blob_id, written, new)

    async def _read_back(self, location: Location, new: NewBlob) -> WrittenObject:
        async with self.uploads.stores.holding(location).read(location.key) as stored:
            intake = Intake(stored, self._limit(new), new.size, new.digest)
            async for _ in intake:
                pass
        return WrittenObject(location, intake.size, intake.digest)

    async def _store_small(self, small: SmallBlobs, grant: Grant, new: NewBlob, body: ReplayableBody) -> StoredBlob:
        async with aclosing(body.replay()) as replayed:
            intake = Intake(replayed, self._limit(new), new.size, new.digest)
            data = b"".join([chunk async for chunk in intake])
        written = WrittenObject(Location(DATABASE, self.new_key()), intake.size, intake.digest)
        put, is_current = self._publishing(_id_of(new, grant), written, new)
        return _stored(await small.publish(written.location.key, data, put, is_current))

    async def _append_with_retries(self, new: NewBlob, body: ReplayableBody) -> WrittenObject:
        """Begin and append until an attempt succeeds, each time under a new key.

        Requests of a failed attempt, those of its clean-up included, may reach the storage at any time later. They
        never concern the key of another attempt.
        """
        waits = self.retry.waits()
        while True:
            location = Location(self.uploads.stores.active, self.new_key())
            # An early refusal saves the sender its bytes. Only publishing decides.
            is_free = new.precondition == ANY and not new.owner
            await self.uploads.begin(location, check=None if is_free else partial(_check, new))
            try:
                async with self.uploads.discarded_on_error(location):
                    return await self._append(location, new, body)
            except Unavailable as error:
                wait = next(waits, None)
                if wait is None or not body.can_replay:
                    raise
                self.retry.report(location.backend, error, wait)
            await asyncio.sleep(wait)

    async def _append(self, location: Location, new: NewBlob, body: ReplayableBody) -> WrittenObject:
        async with aclosing(body.replay()) as replayed:
            return await self.uploads.append(location, Intake(replayed, self._limit(new), new.size, new.digest))

    async def _publish(self, blob_id: BlobId, written: WrittenObject, new: NewBlob) -> StoredBlob:
        put, is_current = self._publishing(blob_id, written, new)
        return _stored(await self.uploads.publish([written.location], put, is_current))

    def _limited(self, new: NewBlob, grant: Grant) -> NewBlob:
        """Return a blob that is stored within the limits of the grant."""
        if grant.limits is UNLIMITED:
            return new
        return replace(new, max_bytes=grant.max_bytes(self._limit(new)), owner=grant.owner)

    def _limit(self, new: NewBlob) -> int:
        return self.max_bytes if new.max_bytes is None else min(self.max_bytes, new.max_bytes)

    def _publishing(
        self, blob_id: BlobId, written: WrittenObject, new: NewBlob
    ) -> tuple[Change[Published], Change[bool]]:
        """Return the change that publishes the object, and the one that finds out whether it was published."""
        content = Content(written.location, written.size, written.digest)
        expiry = new.expiry if new.expiry != NEVER else self.default_expiry
        draft = Draft(
            blob_id,
            content,
            new.properties,
            expires_at=expiry.at,
            expires_in=expiry.after,
            owner=new.owner,
            checksums=new.checksums() if new.checksums else None,
        )
        return partial(self._put, draft, new.precondition), partial(_is_current, draft)

    async def _put(self, draft: Draft, precondition: Precondition, work: UnitOfWork) -> Published:
        published = await work.blobs.put(draft, precondition)
        require_unexpired(published.blob)
        await self.retention.keep(work, published.former)
        await charge(work, draft.owner, draft.content.size)
        return published


def _id_of(new: NewBlob, grant: Grant) -> BlobId:
    """Return the id, now that the bytes have ended. Raises FORBIDDEN if it is not granted."""
    blob_id = new.source.id
    assert blob_id is not None, "the source has ended without an id"
    authorize(grant, Action.WRITE, blob_id, conditions=grant.conditions)
    return blob_id


def _under(conditions: Conditions, new: NewBlob) -> NewBlob:
    """Return a blob that is stored only if the conditions hold. Raises FORBIDDEN."""
    if conditions is UNCONDITIONAL:
        return new
    assert new.source.id is not None
    require_declared(conditions, new.source.id, new.properties.content_type, new.digest)
    precondition = replace(new.precondition, new=True) if conditions.create_only else new.precondition
    digest = conditions.digest or new.digest
    return replace(new, digest=digest, precondition=precondition, max_bytes=conditions.max_bytes)


def _stored(published: Published) -> StoredBlob:
    return StoredBlob(published.blob, published.replaced is not None)


async def _check(new: NewBlob, work: UnitOfWork) -> None:
    if new.source.id is not None:
        new.precondition.check(new.source.id, await work.blobs.find(new.source.id))
    if new.owner:
        await check_quota(work, new.owner, new.size or 0)


async def _is_current(draft: Draft, work: UnitOfWork) -> bool:
    current = await work.blobs.find(draft.id)
    return current is not None and current.content.key == draft.content.key
