"""Conditions on the current version of a blob, under which it may be changed (RFC 9110, section 13)."""

from dataclasses import dataclass
from datetime import datetime

from domain.blob import Blob, BlobId
from domain.errors import AlreadyExists, PreconditionFailed

EXISTS = "A blob with this id exists already. Choose another id, or replace that blob without this condition."


@dataclass(frozen=True, slots=True)
class Precondition:
    """Conditions that must all hold. `new`: the id is not in use. `absent`, `present`: there is no such blob, or one.

    `etags`: the current version has one of them, if set. `not_etags`: it has none of these. Each version has two tags,
    because S3 clients know another one (`Blob.s3_etag`) than all others do, and both kinds change the same blobs.
    `unmodified_since`: a current version exists and has been current since then, if set. A deleted blob was changed
    after any date that a client can know.
    """

    new: bool = False
    absent: bool = False
    present: bool = False
    etags: frozenset[str] | None = None
    not_etags: frozenset[str] = frozenset()
    unmodified_since: datetime | None = None

    @property
    def allows_absent(self) -> bool:
        """Whether the conditions hold if there is no such blob."""
        return not self.present and self.etags is None and self.unmodified_since is None

    def check(self, blob_id: BlobId, current: Blob | None) -> None:
        """Raise PRECONDITION_FAILED, or ALREADY_EXISTS for `new`, unless the `current` version meets the conditions."""
        if self.new and current is not None:
            raise AlreadyExists(subject=blob_id)
        if self.absent and current is not None:
            raise PreconditionFailed(EXISTS, subject=blob_id)
        if not self._holds(current):
            raise PreconditionFailed(subject=blob_id)

    def _holds(self, current: Blob | None) -> bool:
        """Return whether all conditions but `new` and `absent` hold."""
        if current is None:
            return self.allows_absent
        if self.unmodified_since is not None and current.unchanged_since > self.unmodified_since:
            return False
        if self.etags is None and not self.not_etags:
            return True
        tags = {current.etag, current.s3_etag}
        return (self.etags is None or not tags.isdisjoint(self.etags)) and tags.isdisjoint(self.not_etags)


ANY = Precondition()
CREATE_ONLY = Precondition(new=True)
