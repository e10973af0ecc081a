"""Buckets: the prefixes of ids that clients of S3 know by a name."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from application.attempts import record
from application.authorize import authorize
from application.blobs.list import end_of
from application.ports.buckets import BucketReader
from application.ports.metadata import UnitOfWork
from application.uploads.committer import Committer
from domain.access import Action, Grant
from domain.acls import opened_by_bucket
from domain.blob import NEXT
from domain.buckets import DEFAULTS, Bucket, BucketSettings, check_bucket_name
from domain.errors import BucketExists, BucketNotEmpty, BucketNotFound, InvalidBucketName, NotGranted

KNOWN_FOR = 2.0
"""Seconds for which a replica uses a bucket that it has read. For that long, a deleted bucket may seem to exist."""
CAPACITY = 10_000  # buckets
PAGE = 1000
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Create, find, list, change and delete buckets.

    A created bucket holds the blobs whose ids begin with its name and a slash, and go on. `mapped`: the prefixes of
    buckets that always exist, by name. A caller without a right to any blob of a bucket gets FORBIDDEN, whether the
    bucket exists or not.

    A blob that is stored while its bucket is deleted stays: it is in the bucket again once that was created again.
    """

    commit: Committer
    reader: BucketReader
    mapped: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[Bucket, float]] = field(default_factory=dict)

    async def create(self, grant: Grant, name: str, settings: BucketSettings = DEFAULTS) -> Bucket:
        """Create a bucket. Raises INVALID_BUCKET_NAME, and BUCKET_EXISTS."""
        check_bucket_name(name)
        authorize(grant, Action.WRITE, self.prefix(name), purpose="create_bucket")
        self._authorize_opening(grant, name, settings)
        bucket = Bucket(name, self.prefix(name), grant.key_id, _LONG_AGO, settings)
        added = None if name in self.mapped else await self.commit(lambda work: work.buckets.add(bucket))
        if added is None:
            raise await self._exists(grant, name)
        return self._remember(added)

    async def _exists(self, grant: Grant, name: str) -> BucketExists:
        error = BucketExists()
        former = await self.reader.find(name)
        error.is_own = name in self.mapped or former is None or former.owner == grant.key_id
        return error

    async def delete(self, grant: Grant, name: str) -> None:
        """Delete a bucket without blobs, and discard the uploads to it. Raises BUCKET_NOT_FOUND, BUCKET_NOT_EMPTY.

        A blob whose id is only the prefix is not in the bucket, and stays; so does an upload to that id.
        """
        authorize(grant, Action.DELETE, self.prefix(name), purpose="delete_bucket")
        self._require_created(name, Action.DELETE)
        await self.commit(lambda work: self._delete(work, name))
        self._known.pop(name, None)

    async def _delete(self, work: UnitOfWork, name: str) -> None:
        if not await work.buckets.remove(name):
            raise BucketNotFound
        start, stop = self.prefix(name) + NEXT, end_of(self.prefix(name))
        if await work.blobs.between(start, stop, 1):
            raise BucketNotEmpty
        while uploads := await work.multipart.between(start, None, stop, PAGE):
            for upload in uploads:
                await work.multipart.lock(upload.key, timedelta(0))  # it expires, and the reaper discards it

    async def change(self, grant: Grant, name: str, change: Callable[[BucketSettings], BucketSettings]) -> Bucket:
        """Replace the settings of a bucket by what `change` returns for them. Raises BUCKET_NOT_FOUND.

        No concurrent change is lost. `change` may be called again. Needs the right to store all blobs of the bucket,
        and each other right that a new access control list gives to others.
        """
        self.authorize_change(grant, name)
        self._known.pop(name, None)
        return self._remember(await self.commit(lambda work: self._change(work, grant, name, change)))

    async def _change(
        self, work: UnitOfWork, grant: Grant, name: str, change: Callable[[BucketSettings], BucketSettings]
    ) -> Bucket:
        current = await work.buckets.lock(name)
        if current is None:
            raise BucketNotFound
        changed = replace(current, settings=change(current.settings))
        if changed.settings.acl != current.settings.acl:
            self._authorize_opening(grant, name, changed.settings)
        await work.buckets.replace(changed)
        return changed

    def _authorize_opening(self, grant: Grant, name: str, settings: BucketSettings) -> None:
        """Raise FORBIDDEN if the access control list gives rights to others that the caller does not have."""
        for action in sorted(opened_by_bucket(settings.acl, has_key=True), key=lambda each: each.value):
            authorize(grant, action, self.prefix(name), purpose="open_bucket")

    def _require_created(self, name: str, action: Action) -> None:
        if name not in self.mapped and not _is_bucket_name(name):
            raise BucketNotFound
        if name in self.mapped:
            detail = "The settings of the server say that there is this bucket. Only its operator can change it."
            raise NotGranted(detail, operation=action.value, subject=self.prefix(name))

    def authorize_change(self, grant: Grant, name: str) -> None:
        """Raise FORBIDDEN if the caller may not change a bucket, or BUCKET_NOT_FOUND if no bucket has such a name."""
        authorize(grant, Action.WRITE, self.prefix(name), purpose="change_bucket")
        self._require_created(name, Action.WRITE)

    async def find(self, grant: Grant, name: str) -> Bucket:
        """Return a bucket as it is now. Raises BUCKET_NOT_FOUND."""
        self._known.pop(name, None)
        return await self.known(grant, name)

    async def known(self, grant: Grant, name: str) -> Bucket:
        """Return a bucket as it was at most `KNOWN_FOR` seconds ago. Raises BUCKET_NOT_FOUND."""
        if not grant.within(self.prefix(name)):
            record(grant, "find_bucket", self.prefix(name), is_prefix=True, is_granted=False)
            raise NotGranted(operation=Action.LIST.value, subject=self.prefix(name))
        bucket = await self.look_up(name)
        if bucket is None:
            raise BucketNotFound
        return bucket

    async def look_up(self, name: str, *, as_it_is_now: bool = False) -> Bucket | None:
        """Return a bucket, or None, without a check of rights. `as_it_is_now`: read it again."""
        found = None if as_it_is_now and name not in self.mapped else self.remembered(name)
        if found is None and _is_bucket_name(name):
            found = await self.reader.find(name)
            if found is not None:
                self._remember(found)
        return found

    async def with_block(self, bucket: Bucket, ids: str) -> Bucket:
        """Return a bucket with the block of public access that applies to the blobs in it whose ids begin with `ids`.

        A mapped bucket has no block. If a created bucket holds the same blobs, its block applies to them.
        """
        if bucket.name not in self.mapped:
            return bucket
        name, slash, _ = ids.partition("/")
        created = await self.reader.find(name) if slash and _is_bucket_name(name) else None
        if created is None:
            return bucket
        return replace(bucket, settings=replace(DEFAULTS, blocked=created.settings.blocked))

    def remembered(self, name: str) -> Bucket | None:
        """Return a bucket that was used in the last `KNOWN_FOR` seconds, or None."""
        if name in self.mapped:
            return Bucket(name, self.mapped[name], "", _LONG_AGO)
        found = self._known.get(name)
        return found[0] if found is not None and self.clock() < found[1] else None

    async def list(self, grant: Grant, prefix: str, after: str, limit: int) -> Sequence[Bucket]:
        """Return up to `limit` buckets with names that begin with `prefix`, after `after`, in the order of their names.

        Buckets in which the caller may see no blob are left out.
        """
        record(grant, "list_buckets")
        if not grant.prefixes:
            return []
        mapped = [Bucket(name, ids, "", _LONG_AGO) for name, ids in self.mapped.items() if name > after]
        created = list[Bucket]()
        place: str | None = max(after, prefix[:-1])
        while place is not None and len(created) < limit:
            page = await self.reader.list(place, PAGE)
            place = page[-1].name if len(page) == PAGE else None
            created += [each for each in page if each.name not in self.mapped and _is_seen(each, grant, prefix)]
        found = [*(each for each in mapped if _is_seen(each, grant, prefix)), *created]
        return sorted(found, key=lambda each: each.name)[:limit]

    def prefix(self, name: str) -> str:
        """Return the prefix of the ids in a bucket, whether there is one or not."""
        return self.mapped.get(name, f"{name}/")

    def _remember(self, bucket: Bucket) -> Bucket:
        self._known.pop(bucket.name, None)
        while len(self._known) >= CAPACITY:
            self._known.pop(next(iter(self._known)))
        self._known[bucket.name] = bucket, self.clock() + KNOWN_FOR
        return bucket


def _is_seen(bucket: Bucket, grant: Grant, prefix: str) -> bool:
    return bucket.name.startswith(prefix) and bool(grant.within(bucket.prefix))


def _is_bucket_name(name: str) -> bool:
    try:
        check_bucket_name(name)
    except InvalidBucketName:
        return False
    return True
