"""The rights of a caller."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from domain.text import CONTROL_CHARACTER


class Action(Enum):
    """Everything that a caller may be allowed to do."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LIST = "list"

    __hash__ = object.__hash__  # an enumeration's own is a call of Python for each look into a grant


@dataclass(frozen=True, slots=True)
class Grant:
    """The actions granted to a caller, on blobs whose ids begin with `prefix`, until `expires_at`, in UTC.

    `key_id` names the credential in logs. It is not a secret.
    """

    actions: Set[Action]
    prefix: str = ""
    expires_at: datetime | None = None
    key_id: str = ""

    def __post_init__(self) -> None:
        if CONTROL_CHARACTER.search(self.prefix):
            raise ValueError("a prefix of ids has no control characters")
        if self.expires_at is not None and self.expires_at.tzinfo is not UTC:
            raise ValueError(f"expires_at is in UTC: {self.expires_at!r}")

    def includes(self, action: Action, ids: str, now: datetime) -> bool:
        """Return whether `action` is allowed at the time `now` on a blob with this id, or on all with this prefix."""
        is_valid = self.expires_at is None or now < self.expires_at
        return is_valid and action in self.actions and ids.startswith(self.prefix)


EVERYTHING = Grant(frozenset(Action))
