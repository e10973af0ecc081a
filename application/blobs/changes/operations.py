"""Operations on blobs, each a part of a commit: put, delete, copy, move and patch. None of them touches bytes."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from application.authorize import authorize
from application.blobs.multipart.parts import FEW_PARTS
from application.blobs.multipart.take import take_upload
from application.contents.expiry import NEVER, Expiry, require_unexpired
from application.contents.retention import USUAL, Retention
from application.ports.contents import Part
from application.ports.metadata import UnitOfWork
from application.quota import charge
from application.uploads.intake import too_large
from domain.access import UNLIMITED, Action, Grant
from domain.blob import Blob, BlobId, Digest, Draft, ObjectKey
from domain.checksums import Checksums
from domain.errors import InvalidParts, SameId
from domain.precondition import ANY, CREATE_ONLY, Precondition
from domain.properties import Properties


@dataclass(frozen=True, slots=True)
class Changed:
    """The outcome of an operation: the `blob` that is current now, None after a delete; whether it `replaced` one."""

    blob: Blob | None
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for all operations: how long removed blobs are kept, and the size and the usual expiry of new ones.

    `owner`: the key whose quota counts new blobs, if there is one. `max_copied`: the size of the largest copy.
    """

    retention: Retention = USUAL
    max_bytes: int | None = None
    default_expiry: Expiry = NEVER
    owner: str = ""
    max_copied: int | None = None

    def of(self, grant: Grant) -> "Rules":
        """Return the rules for a caller."""
        if grant.limits is UNLIMITED:
            return self
        max_bytes = None if self.max_bytes is None else grant.max_bytes(self.max_bytes)
        return replace(self, max_bytes=max_bytes, owner=grant.owner, max_copied=grant.limits.max_blob_bytes)


class Operation(Protocol):
    """An operation that changes the blobs `changes`, and reads those in `reads`."""

    @property
    @abstractmethod
    def changes(self) -> Sequence[BlobId]: ...

    @property
    def reads(self) -> Sequence[BlobId]:
        return ()

    @property
    def changes_many(self) -> bool:
        """Whether the operation changes many rows, as far as it knows."""
        return False

    @abstractmethod
    def authorize(self, grant: Grant) -> None:
        """Raise FORBIDDEN unless `grant` includes the operation, and errors of the operation's own values."""

    @abstractmethod
    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        """Make the change in a unit. Raises NOT_FOUND, ALREADY_EXISTS and PRECONDITION_FAILED."""


class Verified(NamedTuple):
    """The SHA-256 of the bytes of several parts, and the composite digest of these parts."""

    digest: Digest
    composite: Digest


@dataclass(frozen=True, slots=True)
class Put(Operation):
    """Publish a finished upload under `id`, with all of its parts in the order of their numbers, or with `parts` only.

    `checksums` is called with the parts. It returns the checksums of the blob, or raises an error of its own if a part
    is not as the caller expects. Raises UPLOAD_NOT_FOUND, INVALID_PARTS, INVALID_EXPIRY if the blob would have ended by
    now, and PART_IN_PROGRESS if one of the parts is still being written, unless `ends_writers`. A resumable upload is
    kept as finished for the time `keep_for`, which its publication sets: without that, it raises INVALID_PARTS, because
    its own conditions would not count. `verified`: the SHA-256, if it is known already, which counts if the parts are
    still the same. `has_many_parts`: there are more than FEW_PARTS, which is known without it if `parts` are named.
    """

    id: BlobId
    upload: ObjectKey
    parts: Sequence[int] | None = None
    precondition: Precondition = ANY
    checksums: Callable[[Sequence[Part]], Checksums] | None = None
    ends_writers: bool = False
    keep_for: timedelta | None = None
    verified: Verified | None = None
    has_many_parts: bool = False

    @property
    def changes(self) -> Sequence[BlobId]:
        return (self.id,)

    @property
    def changes_many(self) -> bool:
        return self.has_many_parts or len(self.parts or ()) > FEW_PARTS

    def authorize(self, grant: Grant) -> None:
        authorize(grant, Action.WRITE, self.id)

    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        upload, content, checksums = await take_upload(
            work,
            self.upload,
            self.parts,
            rules.max_bytes,
            checksums=self.checksums,
            ends_writers=self.ends_writers,
            keeps_row=self.keep_for is not None,
        )
        if upload.id not in (None, self.id):
            raise InvalidParts("The upload was begun for another id. Use that one, or begin an upload without an id.")
        expires_at, expires_in = upload.blob_expires_at, upload.blob_expires_in
        if expires_at is None and expires_in is None:
            expires_at, expires_in = rules.default_expiry.at, rules.default_expiry.after
        draft = Draft(
            self.id,
            content,
            upload.properties,
            expires_at=expires_at,
            expires_in=expires_in,
            owner=rules.owner,
            checksums=checksums,
        )
        changed = await _put(work, draft, self.precondition, rules)
        if changed.blob is not None:
            require_unexpired(changed.blob)
        await charge(work, rules.owner, content.size)
        if self.verified is not None and content.composite == self.verified.composite:
            await work.contents.set_digest(content.key, self.verified.digest, timedelta(0))
        if self.keep_for is not None and changed.blob is not None:
            await work.multipart.finish(self.upload, changed.blob.etag, self.keep_for)
        return changed


@dataclass(frozen=True, slots=True)
class Delete(Operation):
    """Delete a blob. It stays in the trash for a while."""

    id: BlobId
    precondition: Precondition = ANY

    @property
    def changes(self) -> Sequence[BlobId]:
        return (self.id,)

    def authorize(self, grant: Grant) -> None:
        authorize(grant, Action.DELETE, self.id)

    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        await rules.retention.keep(work, await work.blobs.remove(self.id, self.precondition))
        return Changed(None)


@dataclass(frozen=True, slots=True)
class Copy(Operation):
    """Let `target` have the content, the properties and the expiry of `source`, if that meets the `precondition`.

    Both share the content from then on. Only a copy that may `replace` takes an id that is in use, if the blob there
    meets the `target_precondition`. `properties` replaces those of the source. Raises SAME_ID.
    """

    source: BlobId
    target: BlobId
    replace: bool = False
    precondition: Precondition = ANY
    target_precondition: Precondition = ANY
    properties: Properties | None = None

    @property
    def changes(self) -> Sequence[BlobId]:
        return (self.target,)

    @property
    def reads(self) -> Sequence[BlobId]:
        return (self.source,)

    def authorize(self, grant: Grant) -> None:
        authorize(grant, Action.READ, self.source)
        authorize(grant, Action.WRITE, self.target)
        if self.source == self.target:
            raise SameId(subject=self.target)

    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        source = await work.blobs.lock(self.source, self.precondition)
        if rules.max_copied is not None and source.size > rules.max_copied:
            raise too_large(rules.max_copied)
        content = await work.contents.share(source)
        draft = replace(_copied(source), id=self.target, content=content, created_at=None, owner=rules.owner)
        if self.properties is not None:
            draft = replace(draft, properties=self.properties)
        changed = await _put(work, draft, self.target_precondition if self.replace else CREATE_ONLY, rules)
        await charge(work, rules.owner, content.size)
        return changed


@dataclass(frozen=True, slots=True)
class Move(Operation):
    """Give the blob `source` the id `target`, if it meets the `precondition`. It keeps all else, also `created_at`.

    Only a move that may `replace` takes an id that is in use. Raises SAME_ID.
    """

    source: BlobId
    target: BlobId
    replace: bool = False
    precondition: Precondition = ANY

    @property
    def changes(self) -> Sequence[BlobId]:
        return (self.source, self.target)

    def authorize(self, grant: Grant) -> None:
        authorize(grant, Action.READ, self.source)
        authorize(grant, Action.DELETE, self.source)
        authorize(grant, Action.WRITE, self.target)
        if self.source == self.target:
            raise SameId(subject=self.target)

    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        source = await work.blobs.remove(self.source, self.precondition)
        draft = replace(_copied(source), id=self.target)
        return await _put(work, draft, ANY if self.replace else CREATE_ONLY, rules)


@dataclass(frozen=True, slots=True)
class Patch(Operation):
    """Change properties and expiry of a blob, and leave its bytes as they are.

    `properties`: new values by the names of `Properties`. `metadata`: values by name that are set, or None to remove
    one; it is None to keep all, and applies after `properties`. `expiry` is None to keep it.
    """

    id: BlobId
    properties: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str | None] | None = None
    clear_metadata: bool = False
    expiry: Expiry | None = None
    precondition: Precondition = ANY

    @property
    def changes(self) -> Sequence[BlobId]:
        return (self.id,)

    def authorize(self, grant: Grant) -> None:
        authorize(grant, Action.READ, self.id)  # the outcome has all properties
        authorize(grant, Action.WRITE, self.id)
        if self.expiry is not None:
            self.expiry.require_future()

    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        current = await work.blobs.lock(self.id, self.precondition)
        draft = replace(current.draft(), properties=self._patched(current.properties))
        if self.expiry is not None:
            draft = replace(draft, expires_at=self.expiry.at, expires_in=self.expiry.after)
        published = await work.blobs.put(draft, ANY)
        if self.expiry is not None:
            require_unexpired(published.blob)
        return Changed(published.blob, replaced=True)

    def _patched(self, properties: Properties) -> Properties:
        metadata = {} if self.clear_metadata else dict(properties.metadata)
        for name, value in (self.metadata or {}).items():
            if value is None:
                metadata.pop(name, None)
            else:
                metadata[name] = value
        return replace(properties, **self.properties, metadata=metadata)


def _copied(source: Blob) -> Draft:
    """Return a draft for another id, which is not the outcome of the upload that made the source."""
    draft = source.draft()
    return draft if draft.checksums is None else replace(draft, checksums=replace(draft.checksums, upload=""))


async def _put(work: UnitOfWork, draft: Draft, precondition: Precondition, rules: Rules) -> Changed:
    published = await work.blobs.put(draft, precondition)
    await rules.retention.keep(work, published.former)
    return Changed(published.blob, published.replaced is not None)
