"""Signatures: short-lived rights to one request, made with a key or a token, and ended with it."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.access.authenticate import Authenticate
from application.authorize import authorize
from application.clock import utc_now
from domain.access import SIGNATURE, Action, Conditions, Grant
from domain.blob import BlobId
from domain.errors import InvalidExpiry, NoMasterKey, NotGranted

LONGEST = timedelta(days=7)
SKEW = timedelta(minutes=5)  # between the clocks of two replicas


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests that end at `expires_at`, with the key `key_id`."""

    key_id: str
    expires_at: datetime
    secret: bytes = field(repr=False)

    def sign(self, message: bytes) -> str:
        """Return the signature: HMAC-SHA256 (RFC 2104) in 64 hexadecimal digits."""
        return hmac.digest(self.secret, message, "sha256").hex()


@dataclass(frozen=True, slots=True)
class Signatures:
    """Sign requests, and authenticate them by their signatures."""

    authenticate: Authenticate
    now: Callable[[], datetime] = utc_now

    async def signer(self, grant: Grant, action: Action, blobs: BlobId | str, lifetime: timedelta) -> Signer:
        """Return a signer for `action` on this blob, or on all blobs whose ids begin with a prefix.

        Its signatures end after `lifetime`, and not later than the grant and the secret that the caller has used.
        Raises FORBIDDEN, INVALID_EXPIRY, and NO_MASTER_KEY.
        """
        authorize(grant, action, blobs, self.now, purpose=f"sign_{action.value}")
        if not timedelta(seconds=1) <= lifetime <= LONGEST:
            raise InvalidExpiry(f"A signature is valid for 1 to {LONGEST.total_seconds():.0f} seconds.")
        ids = blobs.value if isinstance(blobs, BlobId) else blobs
        return await self._signer(grant, action, ids, self.now() + lifetime)

    async def upload_signer(self, grant: Grant) -> Signer | None:
        """Return a signer for the URL of an upload that this caller begins.

        It ends with the grant and the secret that the caller has used, or after `LONGEST`. None if the caller has a key
        or a token, which serves for that URL as well. Raises FORBIDDEN and NO_MASTER_KEY.
        """
        if not grant.via:
            return None
        return await self._signer(grant, Action.WRITE, "".join(grant.prefixes[:1]), self.now() + LONGEST)

    async def _signer(self, grant: Grant, action: Action, ids: str, latest: datetime) -> Signer:
        credential = await self.authenticate.signing(grant.key_id)
        if credential is None:
            raise NoMasterKey
        found = credential.signing_secret_of(grant)
        if found is None:  # since the request was authenticated
            detail = "A rotation of the key has ended the secret of this request. Use the newest one."
            raise NotGranted(detail, operation=action.value, subject=ids)
        secret, until = found
        expires_at = min(latest, grant.expires_at or latest, until or latest)
        return Signer(grant.key_id, expires_at.replace(microsecond=0), secret)

    async def verify(
        self,
        key_id: str,
        message: bytes,
        signature: str,
        expires_at: datetime,
    ) -> Grant | None:
        """Return the grant of the key that signed `message`, until `expires_at`; None if the signature is not valid.

        A signature for longer than `LONGEST` is not valid: some clock is wrong.
        """
        now = self.now()
        if not now < expires_at <= now + LONGEST + SKEW:
            return None
        grant = await self.authenticate.of_signature(key_id, message, signature)
        if grant is None:
            return None
        return replace(grant, expires_at=min(expires_at, grant.expires_at or expires_at), via=SIGNATURE)


def narrowed(grant: Grant, action: Action, prefix: str, conditions: Conditions) -> Grant:
    """Return the grant of a signed request: what it was signed for, as far as the grant of its key includes that."""
    prefixes = (prefix,) if prefix.startswith(grant.prefixes) else ()
    return replace(grant, actions=grant.actions & {action}, prefixes=prefixes, conditions=conditions)
