"""The conditions of signed URLs and share links, compared with what a sender declares about a blob."""

from domain.access import Action, Conditions
from domain.blob import BlobId, Digest
from domain.errors import NotGranted


def require_declared(conditions: Conditions, blob_id: BlobId, content_type: str, digest: Digest | None) -> None:
    """Raise FORBIDDEN if the content type, or the SHA-256, if there is one, is not the one in the conditions."""
    if conditions.content_type not in (None, content_type):
        raise _not_granted(blob_id, f"These credentials are for the Content-Type {conditions.content_type} only.")
    if conditions.digest is not None and digest not in (None, conditions.digest):
        raise _not_granted(blob_id, f"These credentials are for the SHA-256 {conditions.digest.hex} only.")


def _not_granted(blob_id: BlobId, detail: str) -> NotGranted:
    return NotGranted(detail, operation=Action.WRITE.value, subject=blob_id.value)
