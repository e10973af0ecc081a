"""The attempts of a request, for an audit trail: every authorization, granted or refused."""

from contextvars import ContextVar
from dataclasses import dataclass

from domain.access import Action


@dataclass(frozen=True, slots=True)
class Attempt:
    """An action with a key, on one blob, or on all blobs whose ids begin with `ids`."""

    key_id: str
    action: Action
    ids: str
    is_prefix: bool
    is_granted: bool


ATTEMPTS: ContextVar[list[Attempt] | None] = ContextVar("attempts", default=None)
"""The attempts of the current request; None if nobody wants to know."""
