"""The attempts of a request, for an audit trail: every authorization, granted or refused."""

from contextvars import ContextVar
from dataclasses import dataclass

from domain.access import Grant


@dataclass(frozen=True, slots=True)
class Attempt:
    """An action with a key, on one blob, on all blobs whose ids begin with `ids`, or on a key or a link, `subject`.

    `via`: the share link that was used, or `signature`; empty for the key itself.
    """

    key_id: str
    action: str
    ids: str
    is_prefix: bool
    is_granted: bool
    subject: str = ""
    via: str = ""


AUTHENTICATE = "authenticate"
"""The action of a caller who could not show who it is."""

ATTEMPTS: ContextVar[list[Attempt] | None] = ContextVar("attempts", default=None)
"""The attempts of the current request; None if nobody wants to know."""


def record(
    grant: Grant, action: str, ids: str = "", *, is_prefix: bool = False, is_granted: bool = True, subject: str = ""
) -> None:
    """Record an attempt, if there is an audit trail."""
    attempts = ATTEMPTS.get()
    if attempts is not None:
        attempts.append(Attempt(grant.key_id, action, ids, is_prefix, is_granted, subject, grant.via))
