"""Keys: named credentials with limited rights."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.access.master_key import MasterKey, random_id
from application.attempts import record
from application.authorize import authorize, authorize_some
from application.clock import utc_now
from application.ports.keys import KeyReader
from application.ports.metadata import UnitOfWork
from application.uploads.committer import Committer
from domain.access import UNLIMITED, AccessKey, Action, Grant, Limits
from domain.blob import BlobId
from domain.errors import InvalidExpiry, InvalidId, InvalidKey, KeyNotFound, NoMasterKey, NotGranted, RolledBack

KEY_ID = re.compile("[a-z2-7]{16}")
MAX_NAME = 100  # characters
MAX_PREFIXES = 100
MAX_OVERLAP = timedelta(days=7)
LEAST_RATE, HIGHEST_RATE = 0.001, 1_000_000  # requests per second
MAX_SIZE = 2**63 - 1  # bytes
PAGE = 1000


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to create. `prefixes` is empty for all blobs."""

    name: str
    actions: frozenset[Action]
    prefixes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    limits: Limits = UNLIMITED


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which is shown once."""

    key: AccessKey
    secret: str = field(repr=False)

    @property
    def token(self) -> str:
        """The bearer token."""
        return f"dby_{self.key.id}_{self.secret}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Create, list, show, revoke and rotate keys, for callers with the right `admin`.

    A caller sees only keys whose prefixes are all within its own, and issues none that may do more than itself. All
    methods raise FORBIDDEN; methods with an id raise KEY_NOT_FOUND.
    """

    commit: Committer
    reader: KeyReader
    master: MasterKey | None
    forget: Callable[[str], None] = lambda _: None
    now: Callable[[], datetime] = utc_now

    async def create(self, grant: Grant, new: NewKey) -> IssuedKey:
        """Create a key, valid at once. Raises INVALID_KEY, INVALID_EXPIRY, and NO_MASTER_KEY."""
        authorize_some(grant, Action.ADMIN)
        _check_form(new)
        _check_limits(new)
        for prefix in new.prefixes or ("",):
            authorize(grant, Action.ADMIN, prefix, purpose="create_key")
        master = self._master()
        now = self.now()
        if new.expires_at is not None and new.expires_at <= now:
            raise InvalidExpiry
        prefixes = new.prefixes or ("",)
        key = AccessKey(
            random_id(),
            new.name,
            new.actions,
            prefixes,
            now.replace(microsecond=0),
            new.expires_at,
            master=master.fingerprint,
            limits=new.limits,
        )
        _check_rights(grant, key)
        await self.commit(lambda work: work.keys.add(key))
        return IssuedKey(key, master.secret(key.id, key.generation))

    async def list(self, grant: Grant, after: str, limit: int) -> Sequence[AccessKey]:
        """Return up to `limit` keys with ids after this one, in the order of their ids."""
        authorize_some(grant, Action.ADMIN)
        record(grant, "list_keys")
        found = list[AccessKey]()
        while len(found) < limit and (page := await self.reader.after(after, PAGE)):
            found += [key for key in page if _is_visible(grant, key)]
            after = page[-1].id
        return found[:limit]

    async def find(self, grant: Grant, key_id: str) -> AccessKey:
        """Return a key. One outside the grant is not found."""
        return await self._find(grant, key_id, "show_key")

    async def _find(self, grant: Grant, key_id: str, purpose: str) -> AccessKey:
        authorize_some(grant, Action.ADMIN)
        record(grant, purpose, subject=key_id)
        key = await self.reader.find(key_id) if KEY_ID.fullmatch(key_id) else None
        if key is None or not _is_visible(grant, key):
            raise KeyNotFound
        return key

    async def revoke(self, grant: Grant, key_id: str) -> None:
        """Revoke a key, and all that was signed with it. Other replicas may accept it for `KNOWN_FOR` longer."""
        await self._find(grant, key_id, "revoke_key")
        is_removed = await self.commit(lambda work: work.keys.remove(key_id))
        self.forget(key_id)
        if not is_removed:
            raise KeyNotFound

    async def rotate(self, grant: Grant, key_id: str, overlap: timedelta) -> IssuedKey:
        """Give a key a new secret. The former one stays valid for `overlap`, and the one before that ends now.

        Raises INVALID_KEY and NO_MASTER_KEY.
        """
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise InvalidKey(f"The former secret can stay valid for 0 to {MAX_OVERLAP.total_seconds():.0f} seconds.")
        _check_rights(grant, await self._find(grant, key_id, "rotate_key"))
        master = self._master()
        key = await self.commit(lambda work: self._rotate(work, key_id, master, overlap))
        self.forget(key_id)
        return IssuedKey(key, master.secret(key_id, key.generation))

    async def _rotate(self, work: UnitOfWork, key_id: str, master: MasterKey, overlap: timedelta) -> AccessKey:
        former = await work.keys.find(key_id)
        if former is None:
            raise KeyNotFound
        # A secret of another master key is not known here.
        until = self.now() + overlap if former.master == master.fingerprint else None
        new = replace(former, generation=former.generation + 1, former_until=until, master=master.fingerprint)
        if not await work.keys.replace(former, new):
            raise RolledBack("The key was rotated or revoked by another request. Look at it again.")
        return new

    def _master(self) -> MasterKey:
        if self.master is None:
            raise NoMasterKey
        return self.master


def _check_form(new: NewKey) -> None:
    if not new.name.strip() or len(new.name) > MAX_NAME or not new.name.isprintable():
        raise InvalidKey(f"A key has a name of 1 to {MAX_NAME} printable characters.")
    if not new.actions:
        allowed = ", ".join(action.value for action in Action)
        raise InvalidKey(f"A key needs at least one of the actions {allowed}.")
    if len(new.prefixes) > MAX_PREFIXES:
        raise InvalidKey(f"A key has up to {MAX_PREFIXES} prefixes. Use shorter ones, or several keys.")
    if "" in new.prefixes:
        raise InvalidKey("The empty prefix stands for all blobs. If you mean that, leave the prefixes out.")
    for prefix in new.prefixes:
        try:
            BlobId(prefix)
        except InvalidId as error:
            raise InvalidKey(f"A prefix can't begin an id. {error.detail}") from None


def _check_limits(new: NewKey) -> None:
    limits = new.limits
    if limits == UNLIMITED:
        return
    if Action.ADMIN in new.actions:
        raise InvalidKey("A key with the action admin has no limits: the keys that it creates would have none.")
    rate, sizes = limits.requests_per_second, (limits.max_blob_bytes, limits.quota_bytes)
    if rate is not None and not LEAST_RATE <= rate <= HIGHEST_RATE:
        raise InvalidKey(f"A key may send {LEAST_RATE} to {HIGHEST_RATE:,} requests per second.")
    if any(size is not None and not 0 <= size <= MAX_SIZE for size in sizes):
        raise InvalidKey("Sizes of limits are numbers of bytes that fit into 63 bits.")


def _is_visible(grant: Grant, key: AccessKey) -> bool:
    return all(prefix.startswith(grant.prefixes) for prefix in key.prefixes)


def _check_rights(grant: Grant, key: AccessKey) -> None:
    """Raise FORBIDDEN if the key may do more than the caller, or for longer."""
    for action in Action:
        if action in key.actions and action not in grant.actions:
            raise _not_granted(grant, key, action)
    if grant.expires_at is not None and (key.expires_at is None or key.expires_at > grant.expires_at):
        detail = "Your own key expires before this one would. Choose an earlier time."
        raise _not_granted(grant, key, Action.ADMIN, detail)


def _not_granted(grant: Grant, key: AccessKey, action: Action, detail: str = "") -> NotGranted:
    record(grant, "issue_key", key.prefixes[0], is_prefix=True, is_granted=False)
    return NotGranted(detail, operation=action.value, subject=key.prefixes[0])
