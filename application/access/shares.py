"""Share links: URLs for people, to one blob, or for uploads below a prefix."""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.access.authenticate import Authenticate
from application.access.failures import Guesses
from application.access.master_key import MasterKey, random_id
from application.access.passwords import MAX_BYTES, Passwords
from application.access.sign import narrowed
from application.attempts import record
from application.authorize import authorize, authorize_some
from application.clock import utc_now
from application.concurrency import SharedCalls
from application.ports.metadata import UnitOfWork
from application.ports.shares import ShareReader
from application.uploads.committer import Committer
from domain.access import UNCONDITIONAL, Action, Conditions, Grant, Share
from domain.blob import BlobId
from domain.errors import InvalidExpiry, InvalidShare, NoMasterKey, ShareLocked, ShareNotFound

LONGEST = timedelta(days=366)
MAX_USES = 2**31 - 1
CLEANED = 100  # expired links that are removed when another one is created
PAGE = 1000
TOKEN = re.compile(r"([a-z2-7]{16})-([a-z2-7]{26})")


@dataclass(frozen=True, slots=True)
class NewShare:
    """A link to create: to a blob, by its id, or for uploads below a prefix. Limits are None for none.

    `max_bytes`: of each upload. `filename`: of a download.
    """

    blobs: BlobId | str
    lifetime: timedelta
    password: bytes | None = field(default=None, repr=False)
    max_uses: int | None = None
    filename: str | None = None
    max_bytes: int | None = None

    @property
    def action(self) -> Action:
        return Action.READ if isinstance(self.blobs, BlobId) else Action.WRITE


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A link, and the token in its URL, from which nobody but a server can tell whether it is valid.

    The token is empty for a caller whom it would let do more than its own rights do, or for longer.
    """

    share: Share
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shares:
    """Create, list, revoke and open share links.

    A link allows no more than the key that created it, and ends with it. Callers see and revoke their own, and with
    the right `admin` all within their prefixes. All methods for callers raise FORBIDDEN.
    """

    commit: Committer
    reader: ShareReader
    master: MasterKey | None
    authenticate: Authenticate
    passwords: Passwords
    guesses: Guesses = field(default_factory=Guesses)
    now: Callable[[], datetime] = utc_now
    checks: SharedCalls[tuple[str, str, bytes], bool] = field(default_factory=SharedCalls)

    async def create(self, grant: Grant, new: NewShare) -> SharedLink:
        """Create a link. Raises INVALID_SHARE, INVALID_EXPIRY and NO_MASTER_KEY."""
        ids = new.blobs.value if isinstance(new.blobs, BlobId) else new.blobs
        authorize(grant, new.action, new.blobs, self.now, purpose=f"share_{new.action.value}")
        _check(new)
        if self.master is None or await self.authenticate.signing(grant.key_id) is None:
            raise NoMasterKey
        now = self.now().replace(microsecond=0)
        share = Share(
            random_id(),
            grant.key_id,
            new.action,
            ids,
            now,
            now + new.lifetime if grant.expires_at is None else min(now + new.lifetime, grant.expires_at),
            "" if new.password is None else await self.passwords.hashed(new.password),
            new.max_uses,
            0,
            new.filename,
            new.max_bytes,
        )
        await self.commit(lambda work: self._add(work, share))
        return self._link(share, self.master)

    async def list(self, grant: Grant, after: str, limit: int) -> Sequence[SharedLink]:
        """Return up to `limit` links with ids after this one, in the order of their ids. Raises NO_MASTER_KEY.

        A link of another key has its token only if the caller has the rights of the link, for as long as it is valid,
        because a token can be used by anybody.
        """
        authorize_some(grant, Action.LIST)
        record(grant, "list_shares")
        if self.master is None:
            raise NoMasterKey
        found = list[Share]()
        while len(found) < limit and (page := await self._page(grant, after)):
            found += [share for share in page if self._is_visible(grant, share)]
            after = page[-1].id
        linked = [self._link(share, self.master) for share in found[:limit]]
        return [each if self._may_use(grant, each.share) else replace(each, token="") for each in linked]

    async def _page(self, grant: Grant, after: str) -> Sequence[Share]:
        if grant.allows(Action.ADMIN, self.now()):
            return await self.reader.after(after, PAGE)
        return await self.reader.of_key(grant.key_id, after, PAGE)

    async def revoke(self, grant: Grant, share_id: str) -> None:
        """Revoke a link, everywhere at once. Raises SHARE_NOT_FOUND."""
        authorize_some(grant, Action.LIST)
        share = await self.reader.find(share_id)
        if share is None or not self._is_visible(grant, share):
            record(grant, "unshare", subject=share_id)
            raise ShareNotFound
        record(grant, "unshare", share.ids, is_prefix=share.action is Action.WRITE, subject=share_id)
        if not await self.commit(lambda work: work.shares.remove(share_id)):
            raise ShareNotFound

    async def open(self, token: str, password: bytes | None, client: str = "") -> tuple[Share, Grant]:
        """Return the link with this token, and what it allows.

        `client`: the address of the caller. Raises SHARE_NOT_FOUND, SHARE_LOCKED, and RATE_LIMITED after too many wrong
        passwords.
        """
        parts = TOKEN.fullmatch(token)
        # Before the database is asked.
        if parts is None or self.master is None or not _is_secret(self.master, parts[1], parts[2]):
            raise ShareNotFound
        share = await self.reader.find(parts[1])
        if share is None or share.expires_at <= self.now():
            raise ShareNotFound
        credential = await self.authenticate.signing(share.key_id)
        if credential is None or not credential.grant.allows(share.action, self.now()):
            raise ShareNotFound
        await self._unlock(share, password, client)
        conditions = UNCONDITIONAL
        if share.action is Action.WRITE:
            conditions = Conditions(max_bytes=share.max_bytes, create_only=True)
        grant = narrowed(credential.grant, share.action, share.ids, conditions)
        ends = min(share.expires_at, grant.expires_at or share.expires_at)
        return share, replace(grant, expires_at=ends, via=share.id, generation=0)

    async def _unlock(self, share: Share, password: bytes | None, client: str) -> None:
        if not share.password:
            return
        error = ShareLocked()
        error.takes_uploads = share.action is Action.WRITE
        if password is None:
            raise error
        self.guesses.check(share.id, client)  # before it joins a check, whose result would be one guess more
        # Downloads of many ranges at once send the same password. Each would count until it is checked.
        key = share.id, client, hashlib.sha256(password).digest()
        if not await self.checks(key, lambda: self._matches(share, password, client)):
            error.is_wrong = True
            raise error

    async def _matches(self, share: Share, password: bytes, client: str) -> bool:
        """Return whether this is the password of a link. Unless it is a wrong one, it counts only until then."""
        self.guesses.begin(share.id, client)
        is_wrong = False
        try:
            is_wrong = not await self.passwords.matches(password, share.password)
        finally:
            if not is_wrong:
                self.guesses.take_back(share.id, client)
        return not is_wrong

    async def find_for_uploads(self, share_id: str, key_id: str) -> Share | None:
        """Return a link of this key that takes uploads, unless it was revoked or has expired. It may be used up."""
        share = await self.reader.find(share_id)
        is_valid = share is not None and share.action is Action.WRITE and share.key_id == key_id
        return share if share is not None and is_valid and self.now() < share.expires_at else None

    async def use(self, share: Share) -> None:
        """Count a use, before it begins. Raises SHARE_NOT_FOUND if none is left. Unlimited links are not counted."""
        if share.max_uses is not None and not await self.commit(lambda work: work.shares.use(share.id)):
            raise ShareNotFound

    def _is_visible(self, grant: Grant, share: Share) -> bool:
        """Return whether a caller manages this link: its own, or with `admin` all within its prefixes."""
        is_own = share.key_id == grant.key_id
        return share.ids.startswith(grant.prefixes) and (is_own or grant.allows(Action.ADMIN, self.now()))

    def _may_use(self, grant: Grant, share: Share) -> bool:
        """Return whether a link allows its reader nothing new: it is its own, or within its rights and their time."""
        has_rights = grant.includes(share.action, share.ids, self.now())
        ends_before = grant.expires_at is not None and grant.expires_at < share.expires_at
        return share.key_id == grant.key_id or (has_rights and not ends_before)

    def _link(self, share: Share, master: MasterKey) -> SharedLink:
        return SharedLink(share, f"{share.id}-{master.secret_of_share(share.id)}")

    async def _add(self, work: UnitOfWork, share: Share) -> None:
        await work.shares.remove_expired(self.now(), CLEANED)
        await work.shares.add(share)


def _is_secret(master: MasterKey, share_id: str, secret: str) -> bool:
    return hmac.compare_digest(master.secret_of_share(share_id), secret)


def _check(new: NewShare) -> None:
    if not timedelta(seconds=1) <= new.lifetime <= LONGEST:
        raise InvalidExpiry(f"A link is valid for 1 second to {LONGEST.days} days.")
    if new.blobs == "":
        raise InvalidShare("The empty prefix stands for all ids. Choose a longer one.")
    if new.password is not None and not 0 < len(new.password) <= MAX_BYTES:
        raise InvalidShare(f"A password has 1 to {MAX_BYTES:,} bytes.")
    if new.max_uses is not None and not 0 < new.max_uses <= MAX_USES:
        raise InvalidShare(f"A link can be used 1 to {MAX_USES:,} times.")
    if new.max_bytes is not None and not 0 <= new.max_bytes < 2**63:
        raise InvalidShare("The size of uploads is a number of bytes that fits into 63 bits.")
    if new.action is Action.WRITE and new.filename is not None:
        raise InvalidShare("filename is for links to a blob.")
    if new.action is Action.READ and new.max_bytes is not None:
        raise InvalidShare("max_bytes is for links that take uploads.")
