"""Errors of blob operations: a closed set of kinds, and a class for each.

BlobError
  NotFound
  AlreadyExists
  PreconditionFailed
  InvalidId
  InvalidMetadata
  InvalidExpiry
  InvalidPrefix
  InvalidParts
  InvalidCommit
  SameId
  UploadNotFound
  OffsetMismatch
  InconsistentLength
  PartInProgress
  Interrupted
  NotInTrash
  InvalidKey
  KeyNotFound
  NoMasterKey
  InvalidShare
  ShareNotFound
  ShareLocked
  InvalidBucketName
  BucketNotFound
  BucketExists
  BucketNotEmpty
  QuotaExceeded
  RateLimited
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
  ReadOnly
  NotGranted
"""

from enum import Enum
from typing import ClassVar

from domain.redaction import without_passwords


class Kind(Enum):
    """The kinds of errors of blob operations. The value is the stable code that users see."""

    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    PRECONDITION_FAILED = "precondition_failed"
    INVALID_ID = "invalid_id"
    INVALID_METADATA = "invalid_metadata"
    INVALID_EXPIRY = "invalid_expiry"
    INVALID_PREFIX = "invalid_prefix"
    INVALID_PARTS = "invalid_parts"
    """The parts of an upload do not make a blob: some are missing, unknown or repeated."""
    INVALID_COMMIT = "invalid_commit"
    SAME_ID = "same_id"
    UPLOAD_NOT_FOUND = "upload_not_found"
    OFFSET_MISMATCH = "offset_mismatch"
    INCONSISTENT_LENGTH = "inconsistent_length"
    PART_IN_PROGRESS = "part_in_progress"
    INTERRUPTED = "interrupted"
    """Another request goes on with a resumable upload, and has ended this one: see blobs/resumable/uploads.py."""
    NOT_IN_TRASH = "not_in_trash"
    INVALID_KEY = "invalid_key"
    KEY_NOT_FOUND = "key_not_found"
    NO_MASTER_KEY = "no_master_key"
    INVALID_SHARE = "invalid_share"
    SHARE_NOT_FOUND = "share_not_found"
    SHARE_LOCKED = "share_locked"
    INVALID_BUCKET_NAME = "invalid_bucket_name"
    BUCKET_NOT_FOUND = "bucket_not_found"
    BUCKET_EXISTS = "bucket_exists"
    BUCKET_NOT_EMPTY = "bucket_not_empty"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    SIZE_MISMATCH = "size_mismatch"
    DIGEST_MISMATCH = "digest_mismatch"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    INTEGRITY = "integrity"
    """A promise of Drivebay is broken: an object is missing, or has another size than its row says."""
    NO_SPACE = "no_space"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    LEASE_LOST = "lease_lost"
    """The upload has ended: it paused for longer than its lease, or another writer replaced its part."""
    COMMIT_UNKNOWN = "commit_unknown"
    """The connection was lost during a commit, which may have happened or not."""
    ROLLED_BACK = "rolled_back"
    """The database rolled a transaction back for the sake of another one. It may be run again at once."""
    READ_ONLY = "read_only"
    """Nothing is changed for now: by a setting, or because the rows are being moved to another database."""
    FORBIDDEN = "forbidden"
    """The caller's grant does not include the action."""


class Reason(Enum):
    """Reasons for which a backend can't be used, if it names one. Advice depends on them."""

    UNREACHABLE = "unreachable"
    LOGIN = "login"
    """The backend rejects the user, the password or a key."""
    DENIED = "denied"
    """The user lacks a permission."""
    ABSENT = "absent"
    """The bucket, the folder or the database does not exist."""
    UNSUPPORTED = "unsupported"
    """The server lacks a feature."""


TEMPORARY = frozenset(
    {Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.LEASE_LOST, Kind.COMMIT_UNKNOWN, Kind.ROLLED_BACK, Kind.READ_ONLY}
)


class Loggable:
    """A value that may be logged, because it reveals nothing about users or their blobs."""

    __slots__ = ()


class BlobError(Exception):
    """An error of a blob operation. Each subclass has a kind.

    `detail` is a text for people: the problem and, where useful, its solution. It never holds a blob id, and passwords
    in URLs are removed from it. `operation`, `backend` and `subject` (the blob id or the object key) locate the error;
    `reason` is set if it is known. `index` is the number, from 0, of the failed operation of a commit, or of the
    missing id of a zip. `str` is the text for the log, with the subject only if that is `Loggable`. An underlying error
    is the `__cause__`.
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
        self.index: int | None = None
        super().__init__(self.detail)

    def locate(self, backend: str, operation: str, subject: object = None) -> None:
        """Set the backend, the operation and the subject, unless the error has them already."""
        self.backend = self.backend or backend
        self.operation = self.operation or operation
        self.subject = subject if self.subject is None else self.subject

    @property
    def temporary(self) -> bool:
        """Whether the same operation may succeed later without any change."""
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


class InvalidMetadata(BlobError):
    kind = Kind.INVALID_METADATA


class InvalidExpiry(BlobError):
    kind = Kind.INVALID_EXPIRY
    text = "The time of expiry is in the past. Choose a later one."


class InvalidPrefix(BlobError):
    kind = Kind.INVALID_PREFIX
    text = "The empty prefix stands for all blobs. If you mean that, add all: true."


class InvalidParts(BlobError):
    kind = Kind.INVALID_PARTS


class InvalidCommit(BlobError):
    kind = Kind.INVALID_COMMIT


class SameId(BlobError):
    kind = Kind.SAME_ID
    text = "Source and target are the same blob. Choose another target."


class UploadNotFound(BlobError):
    kind = Kind.UPLOAD_NOT_FOUND
    text = "There is no such upload. It was completed or discarded, or has expired. Begin another one."


class OffsetMismatch(BlobError):
    kind = Kind.OFFSET_MISMATCH


class InconsistentLength(BlobError):
    kind = Kind.INCONSISTENT_LENGTH
    text = "The length differs from the one that was declared for this upload before. It can't be changed."


class PartInProgress(BlobError):
    kind = Kind.PART_IN_PROGRESS
    text = "A part of this upload is still being written. Wait for it, or send it again."


class Interrupted(BlobError):
    kind = Kind.INTERRUPTED
    text = "Another request goes on with this upload. Ask for its offset before you send more."


class NotInTrash(BlobError):
    kind = Kind.NOT_IN_TRASH
    text = "This version is not in the trash, or is no longer kept there."


class InvalidKey(BlobError):
    kind = Kind.INVALID_KEY


class KeyNotFound(BlobError):
    kind = Kind.KEY_NOT_FOUND
    text = "There is no such key, or it was revoked."


class NoMasterKey(BlobError):
    kind = Kind.NO_MASTER_KEY
    text = "This server has no keys. Its operator has to set MASTER_KEY, to the same secret on all replicas."


class InvalidShare(BlobError):
    kind = Kind.INVALID_SHARE


class ShareNotFound(BlobError):
    kind = Kind.SHARE_NOT_FOUND
    text = "There is no such link. It has expired, was revoked, or was used as often as it may be."


class ShareLocked(BlobError):
    """A link needs a password. `is_wrong`: the one that was given is another. `takes_uploads`: the kind of the link."""

    kind = Kind.SHARE_LOCKED
    text = "This link has a password. Send it by HTTP Basic authentication, with any user name."
    is_wrong = False
    takes_uploads = False


class InvalidBucketName(BlobError):
    kind = Kind.INVALID_BUCKET_NAME


class BucketNotFound(BlobError):
    kind = Kind.BUCKET_NOT_FOUND
    text = "There is no such bucket. Create it first."


class BucketExists(BlobError):
    """`is_own`: the caller has created it."""

    kind = Kind.BUCKET_EXISTS
    text = "There is a bucket with this name already. Choose another name."
    is_own = False


class BucketNotEmpty(BlobError):
    kind = Kind.BUCKET_NOT_EMPTY
    text = "The bucket is not empty. Delete its objects, and end its uploads, first."


class QuotaExceeded(BlobError):
    kind = Kind.QUOTA_EXCEEDED
    text = "The blob does not fit into the quota of this key. Delete blobs that the key has stored, or use another key."


class RateLimited(BlobError):
    """`retry_after`: the seconds after which the next request is admitted."""

    kind = Kind.RATE_LIMITED
    text = "Too many requests with this key. Send fewer in a second."
    retry_after = 1.0


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
    text = "The upload made no progress for too long, or another request replaced its part. Send it again."


class CommitUnknown(BlobError):
    kind = Kind.COMMIT_UNKNOWN


class RolledBack(BlobError):
    kind = Kind.ROLLED_BACK


class ReadOnly(BlobError):
    kind = Kind.READ_ONLY
    text = "Blobs can only be read now: the server is read-only. Nothing was changed. Try again later."


class NotGranted(BlobError):
    """The grant lacks the action `operation` on the blob, or on all blobs with the prefix, `subject`."""

    kind = Kind.FORBIDDEN
    text = "The credentials do not allow this action on these ids. Use credentials that do."


_CLASSES = {each.kind: each for each in BlobError.__subclasses__()}


def error_class(kind: Kind) -> type[BlobError]:
    """Return the class of the errors of this kind."""
    return _CLASSES[kind]
