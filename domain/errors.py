"""Errors of blob operations: a closed set of kinds, and a class for each.

BlobError
  NotFound
  AlreadyExists
  PreconditionFailed
  InvalidId
  TooLarge
  SizeMismatch
  DigestMismatch
  RangeNotSatisfiable
  IntegrityError
  NoSpace
  Unavailable
  TimedOut
  LeaseLost
  CommitUnknown
  RolledBack
"""

from enum import Enum
from typing import ClassVar

from domain.redaction import without_passwords


class Kind(Enum):
    """Every way in which an operation on blobs fails. The value is the stable code that users see."""

    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    PRECONDITION_FAILED = "precondition_failed"
    INVALID_ID = "invalid_id"
    TOO_LARGE = "too_large"
    SIZE_MISMATCH = "size_mismatch"
    DIGEST_MISMATCH = "digest_mismatch"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    INTEGRITY = "integrity"
    """What Drivebay promised is not so: a row without its object, an object of another size."""
    NO_SPACE = "no_space"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    LEASE_LOST = "lease_lost"
    """The upload made no progress within its lease and was abandoned: see application/maintenance/reap.py."""
    COMMIT_UNKNOWN = "commit_unknown"
    """The connection was lost while a commit was on its way: it may have happened or not."""
    ROLLED_BACK = "rolled_back"
    """The database undid a transaction that was in the way of another one. It may be run again at once."""


class Reason(Enum):
    """Why a backend can't be used, as far as it says so. Advice follows from it."""

    UNREACHABLE = "unreachable"
    LOGIN = "login"
    """The user, the password or a key is not accepted."""
    DENIED = "denied"
    """The user is known, and lacks a permission."""
    ABSENT = "absent"
    """The bucket, the folder or the database does not exist."""
    UNSUPPORTED = "unsupported"
    """The server lacks a feature."""


TEMPORARY = frozenset({Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.LEASE_LOST, Kind.COMMIT_UNKNOWN, Kind.ROLLED_BACK})


class Loggable:
    """A value that a log may show, because it says nothing about users or their blobs."""

    __slots__ = ()


class BlobError(Exception):
    """An operation failed in one of the known ways.

    `detail` is for people: it says what is wrong and, where that helps, what to do. It never holds a blob id, and the
    passwords of URLs are taken out of it. `operation`, `backend` and `subject` (the blob id or the object key) say
    where, and `reason` says why, if that is known. The text of the error, which goes to the log, names the subject
    only if that is `Loggable`. The fault underneath, if there is one, is the `__cause__`.
    """

    kind: ClassVar[Kind]
    text: ClassVar[str] = ""
    """The detail of errors that have none of their own."""

    def __init__(
        self,
        detail: str = "",
        *,
        operation: str = "",
        backend: str = "",
        subject: object = None,
        reason: Reason | None = None,
    ) -> None:
        self.detail = without_passwords(detail or self.text)
        self.operation = operation
        self.backend = backend
        self.subject = subject
        self.reason = reason
        super().__init__(self.detail)

    def locate(self, backend: str, operation: str, subject: object = None) -> None:
        """Add where it happened, unless the error names that itself."""
        self.backend = self.backend or backend
        self.operation = self.operation or operation
        self.subject = subject if self.subject is None else self.subject

    @property
    def temporary(self) -> bool:
        """Whether the same operation may succeed later, with nothing changed but the time."""
        return self.kind in TEMPORARY

    def __str__(self) -> str:
        subject = str(self.subject) if isinstance(self.subject, Loggable) else ""
        where = " ".join(part for part in (self.backend, self.operation, subject) if part)
        return f"{self.kind.value}: {self.detail}" + (f" ({where})" if where else "")


class NotFound(BlobError):
    kind = Kind.NOT_FOUND
    text = "There is no blob with this id."


class AlreadyExists(BlobError):
    kind = Kind.ALREADY_EXISTS
    text = "A blob with this id exists already. Choose another id, or delete that blob first."


class PreconditionFailed(BlobError):
    kind = Kind.PRECONDITION_FAILED
    text = "The blob has changed (ETag mismatch). Fetch it again before you retry."


class InvalidId(BlobError):
    kind = Kind.INVALID_ID


class TooLarge(BlobError):
    kind = Kind.TOO_LARGE


class SizeMismatch(BlobError):
    kind = Kind.SIZE_MISMATCH


class DigestMismatch(BlobError):
    kind = Kind.DIGEST_MISMATCH


class RangeNotSatisfiable(BlobError):
    kind = Kind.RANGE_NOT_SATISFIABLE


class IntegrityError(BlobError):
    kind = Kind.INTEGRITY


class NoSpace(BlobError):
    kind = Kind.NO_SPACE


class Unavailable(BlobError):
    kind = Kind.UNAVAILABLE


class TimedOut(BlobError):
    kind = Kind.TIMEOUT


class LeaseLost(BlobError):
    kind = Kind.LEASE_LOST
    text = "The upload made no progress for too long and was abandoned. Send it again."


class CommitUnknown(BlobError):
    kind = Kind.COMMIT_UNKNOWN


class RolledBack(BlobError):
    kind = Kind.ROLLED_BACK


_CLASSES = {each.kind: each for each in BlobError.__subclasses__()}


def error_class(kind: Kind) -> type[BlobError]:
    """Return the class of the errors of this kind."""
    return _CLASSES[kind]
