"""The rights of a caller."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum

from domain.blob import Digest
from domain.text import CONTROL_CHARACTER


class Action(Enum):
    """Everything that a caller may be allowed to do."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LIST = "list"
    ADMIN = "admin"
    """Manage keys and share links, within the caller's own grant."""

    __hash__ = object.__hash__  # an enumeration's own is a call of Python for each look into a grant


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions on the blobs that a caller may store. `max_bytes` is None for the limit of the service."""

    max_bytes: int | None = None
    content_type: str | None = None
    digest: Digest | None = None
    create_only: bool = False


UNCONDITIONAL = Conditions()


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a key; None is no limit. `quota_bytes`: the size of all current blobs that it has stored.

    `requests_per_second` is that of each process of a server.
    """

    requests_per_second: float | None = None
    max_blob_bytes: int | None = None
    quota_bytes: int | None = None


UNLIMITED = Limits()
SIGNATURE = "signature"
"""The `via` of a grant by a signature, of a URL or of S3."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The actions granted to a caller, on blobs whose ids begin with one of `prefixes`, until `expires_at`, in UTC.

    `key_id` names the credential in logs. It is not a secret. With `conditions`, blobs can only be stored, each by one
    request, or by an upload that keeps the conditions. `via`: the share link that was used, or `SIGNATURE`; empty for
    the key itself. `generation`: that of the key's secret that was used; 0 if none was.
    """

    actions: Set[Action]
    prefixes: tuple[str, ...] = ("",)
    expires_at: datetime | None = None
    key_id: str = ""
    conditions: Conditions = UNCONDITIONAL
    limits: Limits = UNLIMITED
    via: str = ""
    generation: int = 0

    def __post_init__(self) -> None:
        if any(CONTROL_CHARACTER.search(prefix) for prefix in self.prefixes):
            raise ValueError("a prefix of ids has no control characters")
        if self.expires_at is not None and self.expires_at.tzinfo is not UTC:
            raise ValueError(f"expires_at is in UTC: {self.expires_at!r}")

    @property
    def owner(self) -> str:
        """The key whose quota counts what the caller stores; empty if there is none."""
        return "" if self.limits.quota_bytes is None else self.key_id

    def max_bytes(self, limit: int) -> int:
        """Return the size of the largest blob that the caller may store, where `limit` is that of the service."""
        return limit if self.limits.max_blob_bytes is None else min(limit, self.limits.max_blob_bytes)

    def begun(self) -> "Grant":
        """Return the grant for the rest of a request that has begun: its expiry applies to the start only."""
        return self if self.expires_at is None else replace(self, expires_at=None)

    def allows(self, action: Action, now: datetime) -> bool:
        """Return whether `action` is allowed at the time `now` on some blobs."""
        return action in self.actions and (self.expires_at is None or now < self.expires_at)

    def includes(self, action: Action, ids: str, now: datetime) -> bool:
        """Return whether `action` is allowed at the time `now` on a blob with this id, or on all with this prefix."""
        return ids.startswith(self.prefixes) and self.allows(action, now)

    def within(self, prefix: str) -> Sequence[str]:
        """Return the prefixes of all granted ids that begin with `prefix`, in order. None of them includes another."""
        if prefix.startswith(self.prefixes):
            return [prefix]
        found = list[str]()
        for each in sorted(self.prefixes):
            if each.startswith(prefix) and not (found and each.startswith(found[-1])):
                found.append(each)
        return found


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A named credential. Times are in UTC. `prefixes` has the empty one if it is for all blobs.

    Its secret is that of its `generation`. The one before it is valid until `former_until`, if that is set. Both are
    derived from the master key with the fingerprint `master`. `used_at`: a coarse time of its last use. `stored_bytes`
    counts against its quota, if it has one.
    """

    id: str
    name: str
    actions: frozenset[Action]
    prefixes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    generation: int = 1
    former_until: datetime | None = None
    used_at: datetime | None = None
    master: str = ""
    limits: Limits = UNLIMITED
    stored_bytes: int = 0

    def grant(self) -> Grant:
        """Return the rights of the key with its newest secret."""
        return Grant(
            self.actions, self.prefixes, self.expires_at, self.id, limits=self.limits, generation=self.generation
        )


@dataclass(frozen=True, slots=True)
class Share:
    """A link for people: to read the blob with the id `ids`, or to write blobs below the prefix `ids`.

    Times are in UTC. The key `key_id` has created it. `password` is a hash, or empty. `uses` is counted if there is a
    limit, `max_uses`. `filename` is for downloads, `max_bytes` for uploads.
    """

    id: str
    key_id: str
    action: Action
    ids: str
    created_at: datetime
    expires_at: datetime
    password: str = field(default="", repr=False)
    max_uses: int | None = None
    uses: int = 0
    filename: str | None = None
    max_bytes: int | None = None


EVERYTHING = Grant(frozenset(Action))
NOBODY = Grant(frozenset(), ())
"""The grant of a caller without a valid credential."""
