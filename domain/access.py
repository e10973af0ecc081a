"""The rights of a caller."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
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
    """Manage keys, within the own grant."""

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
class Grant:
    """The actions granted to a caller, on blobs whose ids begin with one of `prefixes`, until `expires_at`, in UTC.

    `key_id` names the credential in logs. It is not a secret. With `conditions`, only whole blobs can be stored, each
    by one request.
    """

    actions: Set[Action]
    prefixes: tuple[str, ...] = ("",)
    expires_at: datetime | None = None
    key_id: str = ""
    conditions: Conditions = UNCONDITIONAL

    def __post_init__(self) -> None:
        if any(CONTROL_CHARACTER.search(prefix) for prefix in self.prefixes):
            raise ValueError("a prefix of ids has no control characters")
        if self.expires_at is not None and self.expires_at.tzinfo is not UTC:
            raise ValueError(f"expires_at is in UTC: {self.expires_at!r}")

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
    derived from the master key with the fingerprint `master`. `used_at`: a coarse time of its last use.
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

    def grant(self) -> Grant:
        """Return the rights of the key."""
        return Grant(self.actions, self.prefixes, self.expires_at, self.id)


EVERYTHING = Grant(frozenset(Action))
