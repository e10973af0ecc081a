"""Delete a blob, or many."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from application.authorize import authorize
from application.contents.retention import USUAL, Retention
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.repeat import repeated
from application.uploads.committer import Committer
from application.uploads.unknown_commit import WAITS, confirm, resolve
from domain.access import Action, Grant
from domain.blob import Blob, BlobId
from domain.errors import CommitUnknown, NotFound
from domain.precondition import ANY, Precondition

MAX_DELETED = 1000  # blobs


@dataclass(frozen=True, slots=True)
class DeleteBlobs:
    """Delete up to 1,000 blobs in one transaction. Blobs that do not exist are ignored.

    The contents are kept as `retention` says. Raises FORBIDDEN, and what the ports raise: then nothing was deleted.
    """

    commit: Committer
    retention: Retention = USUAL

    async def __call__(self, grant: Grant, ids: Sequence[BlobId]) -> None:
        for blob_id in ids:
            authorize(grant, Action.DELETE, blob_id)
        await self.commit(lambda work: self._delete(work, ids))

    async def _delete(self, work: UnitOfWork, ids: Sequence[BlobId]) -> None:
        found = [blob.id for blob in await work.blobs.lock_each(ids)]
        if found:
            await work.trash.move(found, self.retention.trash, self.retention.grace)


@dataclass(frozen=True, slots=True)
class DeleteBlob:
    """Delete a blob if `precondition` holds. Its content is kept as `retention` says.

    Raises FORBIDDEN, NOT_FOUND, PRECONDITION_FAILED, and what the ports raise.
    """

    units: UnitOfWorkFactory
    retention: Retention = USUAL
    waits: Sequence[float] = WAITS

    async def __call__(self, grant: Grant, blob_id: BlobId, precondition: Precondition = ANY) -> None:
        authorize(grant, Action.DELETE, blob_id)
        await repeated(lambda: self._delete(blob_id, precondition))

    async def _delete(self, blob_id: BlobId, precondition: Precondition) -> None:
        async with self.units() as work:
            try:
                blob = await work.blobs.remove(blob_id, precondition)
            except NotFound:
                await confirm(work)  # an earlier request may have deleted it, which its client takes for done now
                raise
            await self.retention.keep(work, blob)
            try:
                await work.commit()
                return
            except CommitUnknown as error:
                unknown = error
        await resolve(lambda: self._delete_again(blob), unknown, self.waits)

    async def _delete_again(self, blob: Blob) -> None:
        """Delete this version if it is still there. Otherwise make sure that its deletion is durable."""
        async with self.units() as work:
            with suppress(NotFound):
                current = await work.blobs.lock(blob.id, ANY)  # waits for the first commit
                if current.version == blob.version:  # not a newer version
                    await work.blobs.remove(blob.id, ANY)
                    await self.retention.keep(work, current)  # whose bytes may have been moved since
            await confirm(work)
