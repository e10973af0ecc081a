"""Authentication: from a credential to its grant."""

import asyncio
import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from application.access.master_key import MasterKey, signing_secret
from application.clock import utc_now
from application.ports.keys import KeyReader
from application.ports.metadata import UnitOfWorkFactory
from domain.access import AccessKey, Grant

KNOWN_FOR = timedelta(seconds=5)
"""For how long a replica uses what it has read of a key: a revoked key is refused everywhere after this time."""
CAPACITY = 10_000  # keys
USE_INTERVAL = timedelta(minutes=10)
TOKEN = re.compile(rb"dby_([a-z2-7]{16})_([a-z2-7]{52})")


Secrets = tuple[tuple[bytes, datetime | None], ...]
"""Valid secrets, the newest first, each with the time at which it ends, if it does."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or a token: its grant, its secrets, and the secrets that sign requests.

    It is `fresh_until` a time of the monotonic clock. `is_use_due`: its use is to be recorded.
    """

    grant: Grant
    secrets: Secrets = field(default=(), repr=False)
    signing_secrets: Secrets = field(default=(), repr=False)
    fresh_until: float = math.inf
    is_use_due: bool = False

    def of_secret(self, secret: bytes, now: datetime) -> Grant | None:
        """Return the grant of this secret; None if it is not valid. The comparisons take the same time for each."""
        return self._of(self.secrets, lambda each: hmac.compare_digest(each, secret), now)

    def of_signature(self, message: bytes, signature: str, now: datetime) -> Grant | None:
        """Return the grant of the secret that has signed `message`; None if no valid one has."""
        return self._of(
            self.signing_secrets,
            lambda each: hmac.compare_digest(hmac.digest(each, message, "sha256").hex(), signature),
            now,
        )

    def of_proof(self, is_proven: Callable[[bytes], bool], now: datetime) -> Grant | None:
        """Return the grant of the secret for which `is_proven` is true; None if it is for no valid one."""
        return self._of(self.secrets, is_proven, now)

    def _of(self, secrets: Secrets, is_used: Callable[[bytes], bool], now: datetime) -> Grant | None:
        found = None
        for age, (each, until) in enumerate(secrets):
            if (until is None or now < until) and is_used(each):
                found = self.grant if age == 0 else replace(self.grant, generation=self.grant.generation - age)
        return found

    def signing_secret_of(self, grant: Grant) -> tuple[bytes, datetime | None] | None:
        """Return the secret that signs for a caller, and the time at which it ends, if it does.

        It is the secret that the caller has used, because a newer one would outlive it, or the newest if none was used.
        None if a rotation has ended it.
        """
        age = self.grant.generation - grant.generation if grant.generation else 0
        return self.signing_secrets[age] if 0 <= age < len(self.signing_secrets) else None


class KnownKeys:
    """Keys that were read in the last `KNOWN_FOR`, so that most requests need no look into the database.

    A key that is not known yet is looked up at once. Nothing is remembered of ids that no key has.
    """

    def __init__(
        self,
        reader: KeyReader,
        master: MasterKey | None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._reader = reader
        self._master = master
        self._clock = clock
        self._now = now
        self._known: dict[str, Credential] = {}
        self._reads: dict[str, asyncio.Task[Credential | None]] = {}
        self.used = set[str]()
        """Keys whose use is to be recorded."""

    async def get(self, key_id: str, refused_by: Credential | None = None) -> Credential | None:
        """Return a key, as it was at most `KNOWN_FOR` ago; None if there is none, or it was made elsewhere.

        `refused_by`: a result of this method that has refused a secret. The key is read again, because another replica
        may have rotated it.
        """
        known = self._known.get(key_id)
        if known is not None and known is not refused_by and self._clock() < known.fresh_until:
            return known
        # Shared by concurrent requests, and not cancelled with one of them.
        read = self._reads.get(key_id)
        if read is None:
            read = self._reads[key_id] = asyncio.create_task(self._read(key_id))
            read.add_done_callback(partial(self._end, key_id))
        return await asyncio.shield(read)

    def forget(self, key_id: str) -> None:
        """Read this key again before it is used."""
        self._known.pop(key_id, None)
        self._reads.pop(key_id, None)

    def _end(self, key_id: str, read: "asyncio.Task[Credential | None]") -> None:
        if self._reads.get(key_id) is read:
            del self._reads[key_id]

    async def _read(self, key_id: str) -> Credential | None:
        began = self._clock()
        key = await self._reader.find(key_id) if self._master else None
        if key is None or self._master is None or key.master != self._master.fingerprint:
            self._known.pop(key_id, None)
            return None
        known = self._credential(key, self._master, began)
        if self._reads.get(key_id) is not asyncio.current_task():
            return known  # the key was forgotten during the read, so this may be too old for others
        self._known.pop(key_id, None)  # the order is that of the reads
        while len(self._known) >= CAPACITY:
            self._known.pop(next(iter(self._known)))
        self._known[key_id] = known
        return known

    def _credential(self, key: AccessKey, master: MasterKey, began: float) -> Credential:
        generations: list[tuple[int, datetime | None]] = [(key.generation, None)]
        if key.former_until is not None:
            generations.append((key.generation - 1, key.former_until))
        secrets = [(master.secret(key.id, generation), until) for generation, until in generations]
        return Credential(
            key.grant(),
            tuple((secret.encode(), until) for secret, until in secrets),
            tuple((signing_secret(secret), until) for secret, until in secrets),
            began + KNOWN_FOR.total_seconds(),
            key.used_at is None or self._now() - key.used_at > USE_INTERVAL,
        )


class Authenticate:
    """Return the grant of a bearer token, or None if it is not valid.

    `tokens`: grants by the SHA-256 of tokens that were set. Every comparison of a secret takes constant time. With a
    master key, tokens have ids, and can sign requests.
    """

    def __init__(
        self,
        tokens: Mapping[bytes, Grant],
        keys: KnownKeys,
        master: MasterKey | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._tokens = dict(tokens)
        self._keys = keys
        self._now = now
        self._signing = dict[str, Credential]()
        if master is not None:
            for digest, grant in tokens.items():
                token_id = master.token_id(digest)
                self._tokens[digest] = replace(grant, key_id=token_id)
                secret = master.signing_secret_of_token(token_id)
                self._signing[token_id] = Credential(self._tokens[digest], signing_secrets=((secret, None),))

    async def __call__(self, token: bytes) -> Grant | None:
        digest = hashlib.sha256(token).digest()
        found = None
        for each, grant in self._tokens.items():
            if hmac.compare_digest(digest, each):
                found = grant
        if found is None and (parts := TOKEN.fullmatch(token)):
            found = await self._of_key(parts[1].decode(), parts[2])
        return found

    async def _of_key(self, key_id: str, secret: bytes) -> Grant | None:
        known = await self._keys.get(key_id)
        if known is not None and not known.of_secret(secret, self._now()):
            known = await self._keys.get(key_id, known)
        now = self._now()
        grant = None if known is None else known.of_secret(secret, now)
        if known is None or grant is None:
            return None
        if grant.expires_at is not None and grant.expires_at <= now:
            return None
        self.record(known)
        return grant

    async def signed(self, key_id: str, has_signed: Callable[[bytes], bool]) -> Grant | None:
        """Return the grant of a key, if `has_signed` is true for one of its valid secrets; otherwise None."""
        known = await self._keys.get(key_id)
        grant = None if known is None else known.of_proof(has_signed, self._now())
        if known is not None and grant is None:
            known = await self._keys.get(key_id, known)
            grant = None if known is None else known.of_proof(has_signed, self._now())
        if known is None or grant is None:
            return None
        if grant.expires_at is not None and grant.expires_at <= self._now():
            return None
        self.record(known)
        return grant

    async def is_known(self, key_id: str) -> bool:
        """Return whether there is a key with this id."""
        return await self._keys.get(key_id) is not None

    async def signing(self, key_id: str, refused_by: Credential | None = None) -> Credential | None:
        """Return the token or the key with this id; None if there is none. For `refused_by` see `KnownKeys.get`."""
        return self._signing.get(key_id) or await self._keys.get(key_id, refused_by)

    async def of_signature(self, key_id: str, message: bytes, signature: str) -> Grant | None:
        """Return the grant of the token or the key that has signed `message`; None if one of them is not valid."""
        now = self._now()
        credential = await self.signing(key_id)
        if credential is not None and not credential.of_signature(message, signature, now):
            credential = await self.signing(key_id, credential)
        grant = None if credential is None else credential.of_signature(message, signature, now)
        if credential is None or grant is None:
            return None
        if grant.expires_at is not None and grant.expires_at <= now:
            return None
        self.record(credential)
        return grant

    def record(self, credential: Credential) -> None:
        """Note that a credential was used."""
        if credential.is_use_due:
            self._keys.used.add(credential.grant.key_id)


@dataclass(frozen=True, slots=True)
class RecordUse:
    """Record which keys were used, coarsely: at most once in ten minutes each."""

    keys: KnownKeys
    units: UnitOfWorkFactory
    now: Callable[[], datetime] = utc_now

    async def __call__(self) -> None:
        used = sorted(self.keys.used)
        if not used:
            return
        async with self.units() as work:
            await work.keys.record_use(used, self.now())
            await work.commit()
        self.keys.used.difference_update(used)
        for key_id in used:
            self.keys.forget(key_id)  # its use is not due any more
