"""Sessions of browsers: a signed text that serves in place of a token for some hours, and ends with it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from application.access.authenticate import Authenticate
from application.access.sign import SKEW, Signer
from application.attempts import record
from application.clock import utc_now
from application.ports.keys import KeyReader
from domain.access import AccessKey, Grant
from domain.errors import NoMasterKey

LIFETIME = timedelta(hours=12)
_FORM = re.compile(r"([a-z2-7]{16})\.([0-9]{1,11}+)\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Session:
    """The rights of a token until `expires_at`. `text` is a credential: the session itself."""

    grant: Grant
    expires_at: datetime
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Begin sessions with tokens, and authenticate requests by them. Nothing is stored.

    A session names the key, or the token of the settings, and its own end. It is signed with a secret that is derived
    from that of the token. So it ends on each replica as soon as the token does: when the key is revoked or expires,
    when a rotation ends the secret, or when the settings no longer have the token.
    """

    authenticate: Authenticate
    keys: KeyReader
    now: Callable[[], datetime] = utc_now

    async def begin(self, token: bytes) -> Session | None:
        """Return a session with the rights of this token; None if the token is not valid. Raises NO_MASTER_KEY."""
        grant = await self.authenticate(token)
        if grant is None:
            return None
        credential = await self.authenticate.signing(grant.key_id)
        if credential is None:
            raise NoMasterKey
        found = credential.signing_secret_of(grant)
        if found is None:
            return None
        ends = self.now() + LIFETIME
        if grant.expires_at is not None:
            ends = min(ends, grant.expires_at)
        signer = Signer(grant.key_id, ends.replace(microsecond=0), found[0])
        record(grant, "sign_in")
        end = int(signer.expires_at.timestamp())
        text = f"{signer.key_id}.{end}.{signer.sign(_message(signer.key_id, end))}"
        return Session(grant, signer.expires_at, text)

    async def open(self, text: str) -> Session | None:
        """Return the session with this text; None if it is not valid, or has ended."""
        parts = _FORM.fullmatch(text)
        if parts is None:
            return None
        end = datetime.fromtimestamp(int(parts[2]), UTC)
        now = self.now()
        if not now < end <= now + LIFETIME + SKEW:
            return None
        grant = await self.authenticate.of_signature(parts[1], _message(parts[1], int(parts[2])), parts[3])
        return None if grant is None else Session(grant, end, text)

    def has_ended(self, text: str) -> bool:
        """Return whether this has the form of a session that has come to its end, whoever signed it."""
        parts = _FORM.fullmatch(text)
        return parts is not None and datetime.fromtimestamp(int(parts[2]), UTC) <= self.now()

    async def key_of(self, grant: Grant) -> AccessKey | None:
        """Return the key of a caller; None if it has a token of the settings."""
        return await self.keys.find(grant.key_id)


def _message(key_id: str, end: int) -> bytes:
    # Signed URLs begin with another word.
    return f"drivebay-session-1\n{key_id}\n{end}".encode()
