"""Authorization: a use case refuses callers whose grants do not include its action, so no face exceeds its grant.

A caller who names an id gets FORBIDDEN outside its grant, whether there is such a blob or not. What has a key of its
own (an upload, a version in the trash) is not found outside the grant, as if it did not exist.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

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
) -> None:
    """Raise FORBIDDEN unless `grant` includes `action` on this blob, or on all blobs whose ids begin with a prefix.

    A caller that keeps the conditions of the grant passes them. For all others such a grant includes nothing.
    """
    ids = blobs.value if isinstance(blobs, BlobId) else blobs
    differs = grant.conditions is not conditions and grant.conditions != conditions
    if differs or not grant.includes(action, ids, now()):
        raise NotGranted(operation=action.value, subject=ids)


def authorize_some(grant: Grant, action: Action, now: Callable[[], datetime] = utc_now) -> None:
    """Raise FORBIDDEN unless `grant` includes `action` on some blobs. Which one it concerns is not known yet."""
    if grant.conditions is not UNCONDITIONAL or not grant.allows(action, now()):
        raise NotGranted(operation=action.value, subject="")


def authorized_prefixes(
    grant: Grant, action: Action, prefix: str, now: Callable[[], datetime] = utc_now
) -> Sequence[str]:
    """Return the prefixes of all ids that begin with `prefix` and that `grant` includes. Raises FORBIDDEN if none."""
    found = grant.within(prefix) if grant.allows(action, now()) else ()
    if not found:
        raise NotGranted(operation=action.value, subject=prefix)
    return found
