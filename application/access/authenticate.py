"""Authentication: from a credential to its grant."""

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from application.access.master_key import MasterKey
from application.clock import utc_now
from application.ports.keys import KeyReader
from application.ports.metadata import UnitOfWorkFactory
from domain.access import AccessKey, Grant

KNOWN_FOR = timedelta(seconds=5)
"""For how long a replica uses what it has read of a key: a revoked key is refused everywhere after this time."""
CAPACITY = 10_000  # keys
USE_INTERVAL = timedelta(minutes=10)
TOKEN = re.compile(rb"dby_([a-z2-7]{16})_([a-z2-7]{52})")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key, its grant and its valid secrets, each with the time at which it ends, if it does."""

    grant: Grant
    secrets: tuple[tuple[bytes, datetime | None], ...] = field(repr=False)
    fresh_until: float  # by the monotonic clock
    is_use_due: bool

    def accepts(self, secret: bytes, now: datetime) -> bool:
        """Return whether this is a valid secret. The comparisons take the same time for each."""
        found = False
        for each, until in self.secrets:
            is_equal = hmac.compare_digest(each, secret)
            found = found or (is_equal and (until is None or now < until))
        return found


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
        self._known: dict[str, KnownKey] = {}
        self._reads: dict[str, asyncio.Task[KnownKey | None]] = {}
        self.used = set[str]()
        """Keys whose use is to be recorded."""

    async def get(self, key_id: str) -> KnownKey | None:
        """Return a key, as it was at most `KNOWN_FOR` ago; None if there is none, or it was made elsewhere."""
        known = self._known.get(key_id)
        if known is not None and self._clock() < known.fresh_until:
            return known
        # Shared by concurrent requests, and not cancelled with one of them.
        read = self._reads.get(key_id)
        if read is None:
            read = self._reads[key_id] = asyncio.create_task(self._read(key_id))
            read.add_done_callback(lambda _: self._reads.pop(key_id, None))
        return await asyncio.shield(read)

    def forget(self, key_id: str) -> None:
        """Read this key again before it is used."""
        self._known.pop(key_id, None)
        self._reads.pop(key_id, None)

    async def _read(self, key_id: str) -> KnownKey | None:
        began = self._clock()
        key = await self._reader.find(key_id) if self._master else None
        if key is None or self._master is None or key.master != self._master.fingerprint:
            self._known.pop(key_id, None)
            return None
        known = self._known_key(key, self._master, began)
        self._known.pop(key_id, None)  # the order is that of the reads
        while len(self._known) >= CAPACITY:
            self._known.pop(next(iter(self._known)))
        self._known[key_id] = known
        return known

    def _known_key(self, key: AccessKey, master: MasterKey, began: float) -> KnownKey:
        secrets: list[tuple[bytes, datetime | None]] = [(master.secret(key.id, key.generation).encode(), None)]
        if key.former_until is not None:
            secrets.append((master.secret(key.id, key.generation - 1).encode(), key.former_until))
        is_use_due = key.used_at is None or self._now() - key.used_at > USE_INTERVAL
        return KnownKey(key.grant(), tuple(secrets), began + KNOWN_FOR.total_seconds(), is_use_due)


class Authenticate:
    """Return the grant of a bearer token, or None if it is not valid.

    `tokens`: grants by the SHA-256 of tokens that were set. Every comparison of a secret takes constant time.
    """

    def __init__(self, tokens: Mapping[bytes, Grant], keys: KnownKeys, now: Callable[[], datetime] = utc_now) -> None:
        self._tokens = dict(tokens)
        self._keys = keys
        self._now = now

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
        now = self._now()
        if known is None or not known.accepts(secret, now):
            return None
        if known.grant.expires_at is not None and known.grant.expires_at <= now:
            return None
        if known.is_use_due:
            self._keys.used.add(key_id)
        return known.grant


@dataclass(frozen=True, slots=True)
class RecordUse:
    """Record which keys were used, coarsely: at most once in ten minutes each."""

    keys: KnownKeys
    units: UnitOfWorkFactory
    now: Callable[[], datetime] = utc_now

    async def __call__(self) -> None:
        used = sorted(self.keys.used)
        self.keys.used.clear()
        if used:
            async with self.units() as work:
                await work.keys.record_use(used, self.now())
                await work.commit()
