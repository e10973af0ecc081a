"""Delete and move all blobs with a prefix, in one transaction each."""

from dataclasses import dataclass

from application.authorize import authorize
from application.blobs.list import end_of
from application.contents.retention import USUAL, Retention
from application.ports.metadata import BlobReader, UnitOfWork
from application.uploads.committer import Committer
from domain.access import Action, Grant
from domain.blob import NEXT
from domain.errors import InvalidPrefix, SameId

MAX_BLOBS = 100_000
PAGE = 500


@dataclass(frozen=True, slots=True)
class DeletePrefix:
    """Delete all blobs whose ids begin with `prefix`, up to 100,000, and return their number. All or none.

    They stay in the trash for a while. Blobs that are stored during the call may stay. The empty prefix needs
    `all_blobs`. A `dry_run` only counts. Raises FORBIDDEN, and INVALID_PREFIX if there are more blobs.
    """

    commit: Committer
    blobs: BlobReader
    retention: Retention = USUAL

    async def __call__(self, grant: Grant, prefix: str, *, all_blobs: bool = False, dry_run: bool = False) -> int:
        authorize(grant, Action.DELETE, prefix)
        count = await _count(self.blobs, prefix, all_blobs=all_blobs)
        if dry_run:
            return count
        # Also if there are none: an earlier request may have changed them, which is durable with this commit.
        return await self.commit(lambda work: self._delete(work, prefix))

    async def _delete(self, work: UnitOfWork, prefix: str) -> int:
        """Delete page by page, and look again for blobs that were moved to ids that had been passed."""
        count, before = 0, -1
        while count != before:
            start, before = prefix, count
            while ids := await work.blobs.lock_between(start, end_of(prefix), PAGE):
                await work.trash.move(ids, self.retention.trash, self.retention.grace)
                count += len(ids)
                if count > MAX_BLOBS:
                    raise _too_many()
                start = ids[-1].value + NEXT
        return count


@dataclass(frozen=True, slots=True)
class MovePrefix:
    """Replace `source` by `target` in all ids that begin with it, up to 100,000, and return their number. All or none.

    Raises FORBIDDEN, INVALID_PREFIX as DeletePrefix does, SAME_ID, INVALID_ID, and ALREADY_EXISTS if an id is in use.
    """

    commit: Committer
    blobs: BlobReader
    retention: Retention = USUAL

    async def __call__(
        self, grant: Grant, source: str, target: str, *, all_blobs: bool = False, dry_run: bool = False
    ) -> int:
        authorize(grant, Action.READ, source)
        authorize(grant, Action.DELETE, source)
        authorize(grant, Action.WRITE, target)
        if source == target:
            raise SameId("Both prefixes are the same. Choose another target.")
        count = await _count(self.blobs, source, all_blobs=all_blobs)
        if dry_run:
            return count
        # Also if there are none: an earlier request may have changed them, which is durable with this commit.
        return await self.commit(lambda work: self._move(work, source, target))

    async def _move(self, work: UnitOfWork, source: str, target: str) -> int:
        moved = (source, end_of(source), source, target)
        if expired := await work.blobs.lock_expired_targets(*moved):
            await work.trash.move(expired, self.retention.trash, self.retention.grace)
        return await work.blobs.move_between(*moved)


async def _count(blobs: BlobReader, prefix: str, *, all_blobs: bool) -> int:
    if not prefix and not all_blobs:
        raise InvalidPrefix
    count = await blobs.count(prefix, end_of(prefix), MAX_BLOBS + 1)
    if count > MAX_BLOBS:
        raise _too_many()
    return count


def _too_many() -> InvalidPrefix:
    return InvalidPrefix(f"More than {MAX_BLOBS:,} blobs have this prefix. Use longer prefixes, one after another.")
