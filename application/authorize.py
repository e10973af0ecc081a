"""Authorization: a use case refuses callers whose grants do not include its action, so no face exceeds its grant."""

from collections.abc import Callable
from datetime import datetime

from application.clock import utc_now
from domain.access import Action, Grant
from domain.blob import BlobId
from domain.errors import NotGranted


def authorize(grant: Grant, action: Action, blobs: BlobId | str, now: Callable[[], datetime] = utc_now) -> None:
    """Raise FORBIDDEN unless `grant` includes `action` on this blob, or on all blobs whose ids begin with a prefix."""
    ids = blobs.value if isinstance(blobs, BlobId) else blobs
    if not grant.includes(action, ids, now()):
        raise NotGranted(operation=action.value, subject=ids)
