"""The trash: versions that were deleted or replaced, and can be restored for a while."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from application.attempts import record
from application.authorize import authorize, authorize_some, authorized_prefixes
from application.blobs.changes.operations import Changed
from application.blobs.list import end_of
from application.contents.retention import USUAL, Retention
from application.ports.contents import Trashed, TrashReader
from application.ports.metadata import UnitOfWork
from application.quota import charge
from application.uploads.committer import Committer
from application.uploads.intake import too_large
from domain.access import Action, Grant
from domain.blob import BlobId
from domain.errors import NotInTrash
from domain.precondition import ANY, CREATE_ONLY


@dataclass(frozen=True, slots=True)
class Trash:
    """List, restore and purge. All methods raise FORBIDDEN, and NOT_IN_TRASH for an unknown key."""

    commit: Committer
    reader: TrashReader
    retention: Retention = USUAL

    async def list(self, grant: Grant, prefix: str, after: tuple[str, int] | None, limit: int) -> Sequence[Trashed]:
        """Return up to `limit` versions whose ids begin with `prefix`, after that id and key, in their order.

        Versions of ids outside the grant are left out.
        """
        found = list[Trashed]()
        for each in authorized_prefixes(grant, Action.LIST, prefix):
            start, key = (each, 0) if after is None or after[0] < each else after
            found += await self.reader.between(start, key, end_of(each), limit - len(found))
            if len(found) == limit:
                break
        return found

    async def restore(self, grant: Grant, key: int, target: BlobId | None, *, may_replace: bool) -> Changed:
        """Make a version current again, under its id or under `target`. It keeps all else, also `created_at`.

        Raises ALREADY_EXISTS if the id is in use, unless it `may_replace`.
        """
        found = await self._find(grant, key, Action.READ, "restore")
        authorize(grant, Action.WRITE, target or found.blob.id)
        limit, owner = grant.limits.max_blob_bytes, grant.owner
        if limit is not None and found.blob.size > limit:
            raise too_large(limit)
        return await self.commit(lambda work: self._restore(work, key, target, owner, may_replace=may_replace))

    async def purge(self, grant: Grant, key: int) -> None:
        """Remove a version from the trash. Its content is reclaimed once open readers had time to finish."""
        await self._find(grant, key, Action.DELETE, "purge")
        if not await self.commit(lambda work: work.trash.purge(key, self.retention.grace)):
            raise NotInTrash

    async def _find(self, grant: Grant, key: int, action: Action, purpose: str) -> Trashed:
        """Return a version. One outside the grant is not found, so that nobody learns of it."""
        authorize_some(grant, action)
        found = await self.reader.find(key)
        if found is None or not found.blob.id.value.startswith(grant.prefixes):
            record(grant, purpose, subject=str(key))
            raise NotInTrash
        record(grant, purpose, found.blob.id.value, subject=str(key))
        return found

    async def _restore(
        self, work: UnitOfWork, key: int, target: BlobId | None, owner: str, *, may_replace: bool
    ) -> Changed:
        found = await work.trash.remove(key)
        if found is None:
            raise NotInTrash
        draft = replace(found.blob.draft(), id=target or found.blob.id, owner=owner)
        published = await work.blobs.put(draft, ANY if may_replace else CREATE_ONLY)
        await self.retention.keep(work, published.former)
        await charge(work, owner, draft.content.size)
        return Changed(published.blob, published.replaced is not None)
