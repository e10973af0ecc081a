"""Rights on single uploads, for clients that begin one by a signed URL or a share link, and have no token."""

from dataclasses import dataclass, replace
from datetime import datetime

from application.access.shares import Shares
from application.access.sign import Signatures, Signer
from application.ports.contents import MultipartReader
from domain.access import UNCONDITIONAL, Action, Grant, Share
from domain.blob import ObjectKey


@dataclass(frozen=True, slots=True)
class UploadRights:
    """Signs the URLs of uploads, and returns what a request with such a signature may do.

    A signature is for one upload. It ends at its time, with its key, and with the share link that it is from.
    """

    signatures: Signatures
    shares: Shares
    uploads: MultipartReader

    async def signer(self, grant: Grant) -> Signer | None:
        """Return a signer for the URL of an upload that this caller begins; None if it needs no signature."""
        return await self.signatures.upload_signer(grant)

    async def verify(
        self, upload: ObjectKey, share_id: str, key_id: str, message: bytes, signature: str, expires_at: datetime
    ) -> tuple[Grant, Share | None] | None:
        """Return the right to write the blob of this upload, as far as the key still has it; None if not valid.

        With a `share_id`, the link is returned, too.
        """
        grant = await self.signatures.verify(key_id, message, signature, expires_at)
        if grant is None:
            return None
        share = await self.shares.find_for_uploads(share_id, key_id) if share_id else None
        if share_id and share is None:
            return None
        found = await self.uploads.find_any(upload)
        ids = "" if found is None or found.id is None else found.id.value
        prefixes = (ids,) if ids and ids.startswith(grant.prefixes) else ()
        via = share_id or grant.via
        return replace(grant, actions=grant.actions & {Action.WRITE}, prefixes=prefixes, via=via), share


def after_begin(grant: Grant) -> Grant:
    """Return the grant for an upload that was begun with it: the upload itself has the conditions now."""
    return replace(grant, conditions=UNCONDITIONAL).begun()
