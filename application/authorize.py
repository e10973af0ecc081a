"""Authorization: a use case refuses callers whose grants do not include its action, so no face exceeds its grant.

A caller who names an id gets FORBIDDEN outside its grant, whether there is such a blob or not. What has a key of its
own (an upload, a version in the trash, a key, a share link) is not found outside the grant, as if it did not exist.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from application.attempts import record
from application.clock import utc_now
from domain.access import UNCONDITIONAL, Action, Conditions, Grant
from domain.blob import BlobId
from domain.errors import NotGranted


def authorize(
    grant: Grant,
    action: Action,
    blobs: BlobId | str,
    now: Callable[[], datetime] = utc_now,
    *,
    conditions: Conditions = UNCONDITIONAL,
    purpose: str = "",
) -> None:
    """Raise FORBIDDEN unless `grant` includes `action` on this blob, or on all blobs whose ids begin with a prefix.

    A caller that keeps the conditions of the grant passes them. For all others such a grant includes nothing.
    `purpose` is recorded in place of the action, if it is something else.
    """
    ids = blobs.value if isinstance(blobs, BlobId) else blobs
    differs = grant.conditions is not conditions and grant.conditions != conditions
    is_granted = not differs and grant.includes(action, ids, now())
    _decide(grant, action, ids, is_prefix=ids is blobs, is_granted=is_granted, purpose=purpose)


def authorize_some(grant: Grant, action: Action, now: Callable[[], datetime] = utc_now) -> None:
    """Raise FORBIDDEN unless `grant` includes `action` on some blobs.

    Which one it concerns is not known yet. So a granted attempt is recorded later, by the caller.
    """
    if grant.conditions is not UNCONDITIONAL or not grant.allows(action, now()):
        _decide(grant, action, "", is_prefix=True, is_granted=False)


def authorized_prefixes(
    grant: Grant, action: Action, prefix: str, now: Callable[[], datetime] = utc_now
) -> Sequence[str]:
    """Return the prefixes of all ids that begin with `prefix` and that `grant` includes. Raises FORBIDDEN if none."""
    found = grant.within(prefix) if grant.conditions is UNCONDITIONAL and grant.allows(action, now()) else ()
    _decide(grant, action, prefix, is_prefix=True, is_granted=bool(found))
    return found


def _decide(grant: Grant, action: Action, ids: str, *, is_prefix: bool, is_granted: bool, purpose: str = "") -> None:
    record(grant, purpose or action.value, ids, is_prefix=is_prefix, is_granted=is_granted)
    if not is_granted:
        raise NotGranted(operation=action.value, subject=ids)
