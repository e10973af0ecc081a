"""What can go wrong: one closed set of kinds, and one exception that carries them."""

from enum import Enum


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
    """The upload took longer than its lease and was given up: see application/reap.py."""
    COMMIT_UNKNOWN = "commit_unknown"
    """The connection was lost while a commit was on its way: it may have happened or not."""


TEMPORARY = frozenset({Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.LEASE_LOST, Kind.COMMIT_UNKNOWN})


class DriveError(Exception):
    """An operation failed in one of the known ways.

    `detail` is for people: it says what is wrong and, where that helps, what to do. `operation`, `backend` and
    `subject` (the id or the object key) say where. The fault underneath, if there is one, is the `__cause__`.
    """

    def __init__(
        self, kind: Kind, detail: str, *, operation: str = "", backend: str = "", subject: object = ""
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.operation = operation
        self.backend = backend
        self.subject = str(subject)

    @property
    def temporary(self) -> bool:
        """Whether the same operation may succeed later, with nothing changed but the time."""
        return self.kind in TEMPORARY

    def __str__(self) -> str:
        where = " ".join(part for part in (self.backend, self.operation, self.subject) if part)
        return f"{self.kind.value}: {self.detail}" + (f" ({where})" if where else "")
