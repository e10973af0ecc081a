"""Share links: created, listed, opened, used and revoked, and the hashes of their passwords."""

import asyncio
import hashlib
import hmac
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from application.access import passwords, shares
from application.access.authenticate import KNOWN_FOR
from application.access.failures import FREE, FREE_OF_ALL, WINDOW, Guesses
from application.access.keys import IssuedKey, NewKey
from application.access.master_key import MasterKey
from application.access.passwords import AT_ONCE, MAX_BYTES, WAITING, Passwords
from application.access.shares import CLEANED, LONGEST, MAX_USES, TOKEN, NewShare, SharedLink, Shares
from application.attempts import Attempt
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.ports.shares import ShareReader
from application.uploads.committer import Committer
from domain.access import EVERYTHING, UNCONDITIONAL, Action, Conditions, Grant, Limits, Share
from domain.blob import BlobId, ObjectKey
from domain.errors import (
    BlobError,
    InvalidExpiry,
    InvalidShare,
    Kind,
    NoMasterKey,
    NotGranted,
    RateLimited,
    ShareLocked,
    ShareNotFound,
)
from entrypoints.config.values import hashed
from tests.attempts import recorded
from tests.unit.test_keys import DAY, MASTER, OTHER_MASTER, SECOND, START, Clock, Replica

SHARED_AT = START.replace(microsecond=0)
MICROSECOND = timedelta(microseconds=1)
ID = BlobId("films/a")
TOKEN_OF_SETTINGS = b"a token"
ALL = frozenset(Action)
PASSWORD = "geheim: ü☺".encode()
KNOWN_HASH = "ApdFWK8NumyY29Er9pEt++7OZiECvcqPQXeIayRc7Ck="  # of "password", with the salt "0123456789abcdef"


@pytest.fixture(autouse=True)
def _quick_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hashes of passwords take no time, except where they are tested."""
    if request.cls is not TestPasswords:
        monkeypatch.setattr(passwords, "COST", 2)


class CountedUnits(UnitOfWorkFactory):
    """Counts the units of work that are begun."""

    def __init__(self, metadata: MemoryMetadata) -> None:
        self._metadata = metadata
        self.count = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        self.count += 1
        async with self._metadata() as work:
            yield work


class CountedReader(ShareReader):
    """Counts the links that are read."""

    def __init__(self, reader: ShareReader) -> None:
        self._reader = reader
        self.found = 0

    async def find(self, share_id: str) -> Share | None:
        self.found += 1
        return await self._reader.find(share_id)

    async def after(self, share_id: str, limit: int) -> Sequence[Share]:
        return await self._reader.after(share_id, limit)

    async def of_key(self, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
        return await self._reader.of_key(key_id, share_id, limit)


class SlowReader(ShareReader):
    """Lets others change a link after it was read."""

    def __init__(self, reader: ShareReader) -> None:
        self._reader = reader

    async def find(self, share_id: str) -> Share | None:
        found = await self._reader.find(share_id)
        await asyncio.sleep(0)
        return found

    async def after(self, share_id: str, limit: int) -> Sequence[Share]:
        return await self._reader.after(share_id, limit)

    async def of_key(self, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
        return await self._reader.of_key(key_id, share_id, limit)


class CountedPasswords(Passwords):
    """Counts the passwords that are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.compared = 0

    async def matches(self, password: bytes, stored: str) -> bool:
        self.compared += 1
        return await super().matches(password, stored)


class Service(Replica):
    """The use cases of one server, with a token of its settings. Servers with the same metadata share their links."""

    def __init__(
        self,
        metadata: MemoryMetadata | None = None,
        clock: Clock | None = None,
        master: MasterKey | None = MASTER,
        token: Grant = EVERYTHING,
    ) -> None:
        tokens: Mapping[bytes, Grant] = {hashed(TOKEN_OF_SETTINGS.decode()): token}
        super().__init__(metadata, clock, master, tokens)
        self.units = CountedUnits(self.metadata)
        self.passwords = CountedPasswords()
        self.links = CountedReader(self.metadata.shares)
        self.shares = Shares(
            Committer(self.units, ObjectKey.random),
            self.links,
            master,
            self.authenticate,
            self.passwords,
            Guesses(self.clock.monotonic),
            self.clock.now,
        )

    def other(self, master: MasterKey | None = MASTER, token: Grant = EVERYTHING) -> "Service":
        """Return another server with the same metadata and time."""
        return Service(self.metadata, self.clock, master, token)

    async def operator(self) -> Grant:
        """Return the grant of the token."""
        grant = await self.authenticate(TOKEN_OF_SETTINGS)
        assert grant is not None
        return grant

    async def key(self, *prefixes: str, actions: frozenset[Action] = ALL, **values: object) -> IssuedKey:
        new = replace(NewKey("ci", actions, prefixes), **values)  # type: ignore[arg-type]
        return await self.keys.create(EVERYTHING, new)

    async def share(self, blobs: BlobId | str = ID, grant: Grant | None = None, **values: Any) -> SharedLink:
        new = replace(NewShare(blobs, DAY), **values)
        return await self.shares.create(grant or await self.operator(), new)

    async def opens(self, link: SharedLink, password: bytes | None = None) -> bool:
        """Return whether a link is opened, and not locked. It is as it was created then."""
        try:
            share, _ = await self.shares.open(link.token, password)
        except (ShareNotFound, ShareLocked):
            return False
        assert replace(share, uses=0) == link.share
        return True

    async def listed(self, grant: Grant, after: str = "", limit: int = 1000) -> list[Share]:
        return [link.share for link in await self.shares.list(grant, after, limit)]

    async def stored(self) -> list[Share]:
        return [*await self.metadata.shares.after("", 10_000)]


class TestCreate:
    async def test_a_link_to_a_blob_is_created(self) -> None:
        service = Service()
        key = await service.key("films/", actions=frozenset({Action.READ}))
        link = await service.share(BlobId("films/☺"), key.key.grant())
        share = link.share
        assert share == Share(share.id, key.key.id, Action.READ, "films/☺", SHARED_AT, SHARED_AT + DAY)
        assert await service.stored() == [share]
        assert TOKEN.fullmatch(link.token)
        assert link.token == f"{share.id}-{MASTER.secret_of_share(share.id)}"
        assert await service.opens(link)

    async def test_all_that_is_given_is_stored(self) -> None:
        service = Service()
        down = await service.share(filename="☺.txt", max_uses=MAX_USES, lifetime=LONGEST, password=PASSWORD)
        up = await service.share("films/", max_bytes=2**63 - 1, max_uses=1, lifetime=SECOND)
        assert (down.share.filename, down.share.max_uses, down.share.max_bytes) == ("☺.txt", MAX_USES, None)
        assert (up.share.filename, up.share.max_uses, up.share.max_bytes) == (None, 1, 2**63 - 1)
        assert (down.share.action, up.share.action) == (Action.READ, Action.WRITE)
        assert (down.share.expires_at, up.share.expires_at) == (SHARED_AT + LONGEST, SHARED_AT + SECOND)
        assert down.share.password.startswith("scrypt$")
        assert up.share.password == ""
        assert {each.uses for each in await service.stored()} == {0}

    async def test_no_two_links_are_alike(self) -> None:
        service = Service()
        links = [await service.share() for _ in range(50)]
        assert len({link.share.id for link in links}) == len({link.token[17:] for link in links}) == 50

    async def test_no_secret_is_stored_or_shown(self) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)
        new = NewShare(ID, DAY, PASSWORD)
        shown = f"{service.metadata.rows} {link} {new}"
        assert link.share.id in shown
        for secret in (link.token, link.token[17:], PASSWORD.decode(), repr(PASSWORD), link.share.password):
            assert secret not in shown

    @pytest.mark.parametrize(
        ("blobs", "needed", "prefixes", "is_granted"),
        [
            (ID, Action.READ, ("films/",), True),
            (ID, Action.READ, ("films/a",), True),
            (ID, Action.READ, ("music/", "films/"), True),
            (ID, Action.READ, ("music/",), False),
            (ID, Action.READ, ("films/a/",), False),
            ("films/a/", Action.WRITE, ("films/",), True),
            ("films/a/", Action.WRITE, ("films/a/",), True),
            ("films/a/", Action.WRITE, ("films/a/b",), False),
            ("film", Action.WRITE, ("films/",), False),
        ],
    )
    async def test_the_action_is_needed_on_the_blobs(
        self, blobs: BlobId | str, needed: Action, prefixes: tuple[str, ...], is_granted: bool
    ) -> None:
        service = Service()
        key = await service.key(*prefixes)
        for actions in (ALL, ALL - {needed}, frozenset({needed})):
            grant = replace(key.key.grant(), actions=actions)
            if is_granted and needed in actions:
                assert await service.opens(await service.share(blobs, grant))
            else:
                with pytest.raises(NotGranted):
                    await service.share(blobs, grant)
        assert len(await service.stored()) == 2 * is_granted

    async def test_no_link_follows_from_a_grant_with_conditions(self) -> None:
        """A signed upload is for one request."""
        service = Service()
        grant = replace(await service.operator(), conditions=Conditions(max_bytes=10))
        for blobs in (ID, "films/"):
            with pytest.raises(NotGranted):
                await service.share(blobs, grant)

    async def test_a_link_does_not_outlive_the_grant(self) -> None:
        service = Service()
        grant = replace(await service.operator(), expires_at=START + timedelta(hours=1))
        assert (await service.share(grant=grant)).share.expires_at == grant.expires_at
        assert (await service.share(grant=grant, lifetime=SECOND)).share.expires_at == SHARED_AT + SECOND
        service.clock.passed = timedelta(hours=1)
        with pytest.raises(NotGranted):
            await service.share(grant=grant)

    @pytest.mark.parametrize(
        ("blobs", "values", "error"),
        [
            ("", {}, InvalidShare),
            (ID, {"lifetime": SECOND - MICROSECOND}, InvalidExpiry),
            (ID, {"lifetime": -DAY}, InvalidExpiry),
            (ID, {"lifetime": LONGEST + MICROSECOND}, InvalidExpiry),
            (ID, {"password": b""}, InvalidShare),
            (ID, {"password": b"p" * (MAX_BYTES + 1)}, InvalidShare),
            (ID, {"max_uses": 0}, InvalidShare),
            (ID, {"max_uses": -1}, InvalidShare),
            (ID, {"max_uses": MAX_USES + 1}, InvalidShare),
            (ID, {"max_bytes": 1}, InvalidShare),
            ("films/", {"max_bytes": -1}, InvalidShare),
            ("films/", {"max_bytes": 2**63}, InvalidShare),
            ("films/", {"filename": "a"}, InvalidShare),
        ],
    )
    async def test_a_link_that_makes_no_sense_is_refused(
        self, blobs: BlobId | str, values: dict[str, Any], error: type[BlobError]
    ) -> None:
        service = Service()
        with pytest.raises(error):
            await service.share(blobs, **values)
        assert await service.stored() == []

    async def test_a_master_key_is_needed(self) -> None:
        service = Service(master=None)
        with pytest.raises(NoMasterKey):
            await service.share(grant=EVERYTHING)
        with pytest.raises(NoMasterKey):
            await service.shares.list(EVERYTHING, "", 10)
        assert await service.stored() == []

    async def test_a_credential_that_has_ended_creates_none(self) -> None:
        service = Service()
        key = await service.key()
        grant = key.key.grant()
        await service.keys.revoke(EVERYTHING, key.key.id)
        with pytest.raises(NoMasterKey):
            await service.share(grant=grant)
        with pytest.raises(NoMasterKey):
            await service.share(grant=EVERYTHING)
        assert await service.stored() == []

    async def test_expired_links_are_removed(self) -> None:
        service = Service()
        expired = [await service.share(lifetime=SECOND) for _ in range(3)]
        valid = await service.share()
        assert len(await service.stored()) == 4
        service.clock.passed = SECOND
        new = await service.share("films/")
        assert {each.id for each in await service.stored()} == {valid.share.id, new.share.id}
        assert not await service.opens(expired[0])

    async def test_many_expired_links_are_removed_by_and_by(self) -> None:
        service = Service()
        for _ in range(CLEANED + 5):
            await service.share(lifetime=SECOND)
        service.clock.passed = SECOND
        for left in (5 + 1, 2, 3):
            await service.share()
            assert len(await service.stored()) == left

    async def test_a_refused_link_removes_nothing(self) -> None:
        service = Service()
        await service.share(lifetime=SECOND)
        service.clock.passed = DAY
        began = service.units.count
        with pytest.raises(InvalidShare):
            await service.share("")
        assert service.units.count == began
        assert len(await service.stored()) == 1

    @pytest.mark.parametrize(("blobs", "purpose"), [(ID, "share_read"), ("films/a", "share_write")])
    async def test_it_is_recorded(self, blobs: BlobId | str, purpose: str) -> None:
        service = Service()
        key = await service.key("films/")
        grant, is_prefix = key.key.grant(), isinstance(blobs, str)
        with recorded() as attempts:
            await service.share(blobs, grant)
            with pytest.raises(NotGranted):
                await service.share(blobs, replace(grant, prefixes=("music/",)))
        assert attempts == [
            Attempt(key.key.id, purpose, "films/a", is_prefix, is_granted) for is_granted in (True, False)
        ]


class TestList:
    async def test_with_admin_all_links_within_the_prefixes_are_listed(self) -> None:
        service = Service()
        down, up, other = [(await service.share(each)).share for each in (ID, "films/b/", "music/")]
        admin = frozenset({Action.LIST, Action.ADMIN})
        for actions, prefixes, included in (
            (ALL, ("",), [down, up, other]),
            (ALL, ("films/",), [down, up]),
            (ALL, ("films/b/", "music/"), [up, other]),
            (ALL, ("films/b/c",), []),
            (ALL, ("films/b",), [up]),
            (admin, ("",), [down, up, other]),
            (ALL - {Action.ADMIN}, ("",), []),
            (ALL - {Action.ADMIN}, ("films/",), []),
        ):
            found = await service.listed(Grant(actions, prefixes, key_id="another"))
            assert found == sorted(included, key=lambda share: share.id)

    async def test_without_admin_its_own_links_are_listed(self) -> None:
        """Not those of the others, which show tokens: with one, a caller could read without the right to."""
        service = Service()
        one, other = [await service.key("films/", actions=ALL - {Action.ADMIN}) for _ in range(2)]
        down, up = [(await service.share(each, one.key.grant())).share for each in (ID, "films/b/")]
        others = [(await service.share(ID, other.key.grant())).share, (await service.share(ID)).share]
        assert await service.listed(one.key.grant()) == sorted([down, up], key=lambda share: share.id)
        for actions in (frozenset({Action.LIST}), ALL - {Action.READ, Action.WRITE, Action.ADMIN}):
            found = await service.listed(replace(one.key.grant(), actions=actions))
            assert found == sorted([down, up], key=lambda share: share.id), "its own, whatever it may do"
        assert await service.listed(replace(one.key.grant(), prefixes=("films/b/",))) == [up]
        assert await service.listed(other.key.grant()) == [others[0]]
        assert len(await service.listed(await service.operator())) == 4

    async def test_a_grant_of_a_link_manages_none(self) -> None:
        service = Service()
        link = await service.share(grant=(await service.key()).key.grant())
        _, grant = await service.shares.open(link.token, None)
        with pytest.raises(NotGranted):
            await service.listed(grant)
        with pytest.raises(NotGranted):
            await service.shares.revoke(grant, link.share.id)
        assert await service.opens(link)

    @pytest.mark.parametrize(
        "grant",
        [
            Grant(ALL - {Action.LIST}),
            replace(EVERYTHING, conditions=Conditions(create_only=True)),
        ],
    )
    async def test_the_action_list_is_needed(self, grant: Grant) -> None:
        service = Service()
        link = await service.share()
        with pytest.raises(NotGranted):
            await service.listed(grant)
        with pytest.raises(NotGranted):
            await service.shares.revoke(grant, link.share.id)
        assert await service.opens(link)

    async def test_links_are_listed_with_their_tokens(self) -> None:
        service = Service()
        links = sorted([await service.share() for _ in range(5)], key=lambda link: link.share.id)
        grant = await service.operator()
        assert await service.shares.list(grant, "", 10) == links
        assert await service.other().shares.list(grant, links[1].share.id, 2) == links[2:4]
        assert await service.shares.list(grant, links[4].share.id, 2) == []
        assert await service.shares.list(grant, "", 0) == []

    async def test_links_that_allow_more_than_the_caller_have_no_tokens(self) -> None:
        service = Service()
        down, up = [await service.share(each) for each in (ID, "films/b/")]
        lists = frozenset({Action.LIST, Action.ADMIN})
        ends = down.share.expires_at
        for actions, expires_at, included in (
            (ALL, None, [down, up]),
            (ALL, ends, [down, up]),
            (ALL, ends - SECOND, []),
            (lists, None, []),
            (lists | {Action.READ}, None, [down]),
            (lists | {Action.WRITE}, None, [up]),
        ):
            found = await service.shares.list(Grant(actions, ("films/",), expires_at, "another"), "", 10)
            assert {link.share.id for link in found} == {down.share.id, up.share.id}
            assert {link.token for link in found if link.token} == {link.token for link in included}

    async def test_own_links_have_their_tokens(self) -> None:
        service = Service()
        grant = (await service.key("films/")).key.grant()
        links = [await service.share(each, grant) for each in (ID, "films/b/")]
        for actions in (ALL, frozenset({Action.LIST})):
            found = await service.shares.list(replace(grant, actions=actions), "", 10)
            assert found == sorted(links, key=lambda link: link.share.id)

    async def test_pages_are_full_also_if_others_are_between(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shares, "PAGE", 3)
        service = Service()
        created = [await service.share(f"{'films' if number % 5 == 0 else 'music'}/") for number in range(40)]
        ids = sorted(link.share.id for link in created if link.share.ids == "films/")
        films = Grant(ALL, ("films/",))
        assert [share.id for share in await service.listed(films)] == ids
        first = await service.listed(films, limit=5)
        assert [share.id for share in first] == ids[:5]
        assert [share.id for share in await service.listed(films, first[-1].id, 5)] == ids[5:]

    async def test_uses_are_listed(self) -> None:
        service = Service()
        link = await service.share(max_uses=3)
        await service.shares.use(link.share)
        assert [share.uses for share in await service.listed(await service.operator())] == [1]


class TestRevoke:
    async def test_a_revoked_link_ends_everywhere_at_once(self) -> None:
        service = Service()
        other = service.other()
        link, stays = await service.share(), await service.share()
        assert await other.opens(link)
        grant = await service.operator()
        await service.shares.revoke(grant, link.share.id)
        assert [await each.opens(link) for each in (service, other)] == [False, False]
        assert await service.stored() == [stays.share]
        with pytest.raises(ShareNotFound):
            await other.shares.revoke(grant, link.share.id)
        with pytest.raises(ShareNotFound):
            await service.shares.revoke(grant, "")

    async def test_a_link_is_revoked_by_one(self) -> None:
        service = Service()
        link, grant = await service.share(), await service.operator()
        slow = replace(service.shares, reader=SlowReader(service.metadata.shares))
        revoking = (slow.revoke(grant, link.share.id) for _ in range(4))
        ended = await asyncio.gather(*revoking, return_exceptions=True)
        assert Counter(map(type, ended)) == {type(None): 1, ShareNotFound: 3}

    async def test_another_ones_link_is_revoked_with_admin(self) -> None:
        service = Service()
        link = await service.share("films/a/")
        with_admin = frozenset({Action.ADMIN, Action.LIST})
        for actions, is_revoked in ((ALL - {Action.ADMIN}, False), (with_admin, True)):
            key = await service.key("films/", actions=actions)
            if is_revoked:
                await service.shares.revoke(key.key.grant(), link.share.id)
            else:
                with pytest.raises(ShareNotFound):
                    await service.shares.revoke(key.key.grant(), link.share.id)
            assert await service.opens(link) != is_revoked

    @pytest.mark.parametrize("blobs", [ID, "films/"])
    async def test_a_link_outside_the_prefixes_is_hidden(self, blobs: BlobId | str) -> None:
        service = Service()
        link = await service.share(blobs)
        for prefix in ("music/", "films/a/"):
            for actions in (ALL, frozenset({Action.LIST})):
                with pytest.raises(ShareNotFound):
                    await service.shares.revoke(Grant(actions, (prefix,)), link.share.id)
        assert await service.opens(link)

    @pytest.mark.parametrize("blobs", [ID, "films/"])
    async def test_an_own_link_needs_only_list(self, blobs: BlobId | str) -> None:
        service = Service()
        key = await service.key("films/")
        link = await service.share(blobs, key.key.grant())
        for actions in (ALL - {Action.LIST}, frozenset[Action]()):
            with pytest.raises(NotGranted):
                await service.shares.revoke(replace(key.key.grant(), actions=actions), link.share.id)
        assert await service.opens(link)
        await service.shares.revoke(replace(key.key.grant(), actions=frozenset({Action.LIST})), link.share.id)
        assert not await service.opens(link)

    @pytest.mark.parametrize("blobs", [ID, "films/a"])
    async def test_it_is_recorded(self, blobs: BlobId | str) -> None:
        service = Service()
        link, operator = await service.share(blobs), await service.operator()
        with recorded() as attempts:
            await service.shares.revoke(operator, link.share.id)
            for share_id in (link.share.id, "none"):
                with pytest.raises(ShareNotFound):
                    await service.shares.revoke(operator, share_id)
        found = Attempt(operator.key_id, "unshare", "films/a", isinstance(blobs, str), is_granted=True)
        missing = replace(found, ids="", is_prefix=False)
        assert attempts == [
            replace(found, subject=link.share.id),
            *(replace(missing, subject=share_id) for share_id in (link.share.id, "none")),
        ]


class TestOpen:
    async def test_a_download_is_granted(self) -> None:
        service = Service()
        limits = Limits(requests_per_second=5, max_blob_bytes=100, quota_bytes=1000)
        key = await service.key("films/", actions=ALL - {Action.ADMIN}, limits=limits)
        link = await service.share(ID, key.key.grant(), filename="a.txt")
        share, grant = await service.shares.open(link.token, None)
        assert share == link.share
        assert grant == Grant(
            frozenset({Action.READ}), ("films/a",), SHARED_AT + DAY, key.key.id, UNCONDITIONAL, limits, share.id
        )

    @pytest.mark.parametrize("max_bytes", [None, 0, 5])
    async def test_an_upload_is_granted_on_conditions(self, max_bytes: int | None) -> None:
        service = Service()
        link = await service.share("films/a/", max_bytes=max_bytes)
        share, grant = await service.shares.open(link.token, None)
        assert share == link.share
        conditions = Conditions(max_bytes=max_bytes, create_only=True)
        key_id = (await service.operator()).key_id
        assert grant == Grant(
            frozenset({Action.WRITE}), ("films/a/",), SHARED_AT + DAY, key_id, conditions, via=share.id
        )

    async def test_a_link_is_of_one_kind(self) -> None:
        service = Service()
        now = service.clock.now()
        for blobs in (ID, "films/a"):
            link = await service.share(blobs)
            _, grant = await service.shares.open(link.token, None)
            allowed = [action for action in Action if grant.includes(action, "films/a", now)]
            assert allowed == [link.share.action]
            assert not grant.includes(link.share.action, "films/", now)

    async def test_a_link_grants_no_other_link(self) -> None:
        service = Service()
        _, grant = await service.shares.open((await service.share("films/")).token, None)
        for blobs in ("films/", "films/a/", ID):
            with pytest.raises(NotGranted):
                await service.share(blobs, grant)

    async def test_a_link_ends_at_its_time(self) -> None:
        service = Service()
        link = await service.share()
        end = link.share.expires_at - START
        for passed, is_valid in ((timedelta(0), True), (end - MICROSECOND, True), (end, False), (2 * end, False)):
            service.clock.passed = passed
            assert await service.opens(link) == is_valid
        assert await service.stored() == [link.share], "it is only removed when another one is created"

    async def test_a_link_ends_with_its_key(self) -> None:
        service = Service()
        other = service.other()
        key = await service.key()
        link, stays = await service.share(grant=key.key.grant()), await service.share()
        assert [await each.opens(link) for each in (service, other)] == [True, True]
        await service.keys.revoke(EVERYTHING, key.key.id)
        assert not await service.opens(link)
        assert await other.opens(link), "another replica still knows the key"
        service.clock.passed = KNOWN_FOR
        assert not await other.opens(link)
        assert await service.opens(stays)

    async def test_a_link_expires_with_its_key(self) -> None:
        service = Service()
        key = await service.key(expires_at=START + timedelta(hours=1))
        link = await service.share(grant=key.key.grant())
        # As if the key had expired earlier than the link.
        async with service.metadata() as work:
            await work.shares.add(replace(link.share, expires_at=START + DAY))
            await work.commit()
        assert link.share.expires_at == key.key.expires_at
        _, grant = await service.shares.open(link.token, None)
        assert grant.expires_at == key.key.expires_at
        service.clock.passed = timedelta(hours=1) - MICROSECOND
        await service.shares.open(link.token, None)
        service.clock.passed = timedelta(hours=1)
        with pytest.raises(ShareNotFound):
            await service.shares.open(link.token, None)

    async def test_a_rotated_key_keeps_its_links(self) -> None:
        service = Service()
        key = await service.key()
        link = await service.share(grant=key.key.grant())
        for _ in range(3):
            await service.keys.rotate(EVERYTHING, key.key.id, timedelta(0))
            assert [await each.opens(link) for each in (service, service.other())] == [True, True]
        assert not await service.accepts(key)

    async def test_a_link_belongs_to_its_master_key(self) -> None:
        service = Service()
        key = await service.key()
        links = [await service.share(), await service.share(grant=key.key.grant())]
        for link in links:
            assert await service.opens(link)
            assert not await service.other(OTHER_MASTER).opens(link)
            assert not await service.other(None).opens(link)
        other = service.other(OTHER_MASTER)
        await other.keys.rotate(EVERYTHING, key.key.id, timedelta(0))
        service.clock.passed = KNOWN_FOR
        assert not await service.opens(links[1]), "the key is of the other master key now"
        # The list of a server with another master key has tokens of its own.
        assert links[0].token not in {link.token for link in await other.shares.list(EVERYTHING, "", 10)}

    async def test_a_link_allows_no_more_than_its_token_does_now(self) -> None:
        """The rights of a token of the settings may have become fewer."""
        service = Service()
        link = await service.share()
        assert not await service.other(token=Grant(ALL - {Action.READ})).opens(link)
        elsewhere = service.other(token=Grant(ALL, ("music/",)))
        _, grant = await elsewhere.shares.open(link.token, None)
        assert not any(grant.includes(action, "films/a", service.clock.now()) for action in Action)
        assert not any(grant.includes(action, "music/a", service.clock.now()) for action in Action)

    async def test_a_token_that_was_removed_ends_its_links(self) -> None:
        service = Service()
        link = await service.share()
        without = Replica(service.metadata, service.clock)
        without_token = replace(service.shares, authenticate=without.authenticate)
        with pytest.raises(ShareNotFound):
            await without_token.open(link.token, None)

    async def test_altered_tokens_are_not_found(self) -> None:
        service = Service()
        link, other = await service.share(), await service.share()
        token = link.token
        altered = {token[:at] + ("3" if token[at] == "2" else "2") + token[at + 1 :] for at in range(len(token))}
        altered |= {
            "",
            "-",
            token[:-1],
            token + "2",
            token + "\n",
            " " + token,
            token.upper(),
            token.replace("-", "_"),
            token.replace("-", ""),
            token[:16],
            token[17:],
            f"{link.share.id}-{other.token[17:]}",
            f"{other.share.id}-{token[17:]}",
            f"{link.share.id}-{MASTER.secret(link.share.id, 1)[:26]}",
            f"{link.share.id}-{OTHER_MASTER.secret_of_share(link.share.id)}",
            f"{'2' * 16}-{MASTER.secret_of_share('2' * 16)}",
            token.replace(token[20], "\u0430"),
        }
        for each in altered:
            with pytest.raises(ShareNotFound):
                await service.shares.open(each, None)
        [unknown] = [each for each in altered if each.startswith("2" * 16)]
        assert service.links.found == 1, f"only the secret of {unknown} is right, and there is no such link"
        assert [await service.opens(each) for each in (link, other)] == [True, True]
        assert service.links.found == 3

    async def test_other_credentials_are_no_links(self) -> None:
        service = Service()
        key = await service.key()
        link = await service.share(grant=key.key.grant())
        made = f"{key.key.id}-{MASTER.secret_of_share(key.key.id)}"
        for token in (key.token, key.secret, f"{key.key.id}-{key.secret[:26]}", made):
            with pytest.raises(ShareNotFound):
                await service.shares.open(token, None)
        for token in (link.token, f"dby_{link.token.replace('-', '_')}", f"dby_{link.share.id}_{link.token[17:] * 2}"):
            assert await service.authenticate(token.encode()) is None

    @pytest.mark.parametrize("password", [PASSWORD, b"p", b"p" * MAX_BYTES, b"\xff\xfe", b" a ", b"a:b"])
    async def test_a_password_opens_it(self, password: bytes) -> None:
        service = Service()
        link = await service.share(password=password)
        share, _ = await service.shares.open(link.token, password)
        assert share == link.share
        wrong = [b"", password + b"p", password[:-1], b" " + password, password + b" "]
        wrong += [password + b"p" * MAX_BYTES, b"p" * (MAX_BYTES + 1), b"p" * 10**6, b"\xff", PASSWORD + b"\n"]
        for each in wrong:
            with pytest.raises(ShareLocked) as caught:
                await service.shares.open(link.token, each)
            assert caught.value.is_wrong
        with pytest.raises(ShareLocked) as caught:
            await service.shares.open(link.token, None)
        assert not caught.value.is_wrong, "nothing was guessed"
        assert caught.value.kind is Kind.SHARE_LOCKED

    async def test_a_link_without_a_password_ignores_one(self) -> None:
        service = Service()
        assert await service.opens(await service.share(), b"any")
        assert service.passwords.compared == 0

    async def test_only_a_valid_link_asks_for_its_password(self) -> None:
        """So nobody learns of a link, or makes the server compute a hash, without its token."""
        service = Service()
        link = await service.share(password=PASSWORD)
        key = await service.key()
        revoked = await service.share(grant=key.key.grant(), password=PASSWORD)
        await service.keys.revoke(EVERYTHING, key.key.id)
        wrong = link.token[:-1] + ("3" if link.token[-1] == "2" else "2")
        for token in (wrong, revoked.token, f"{link.share.id}-{'2' * 26}"):
            for password in (None, PASSWORD, b"wrong"):
                with pytest.raises(ShareNotFound):
                    await service.shares.open(token, password)
        service.clock.passed = DAY
        with pytest.raises(ShareNotFound):
            await service.shares.open(link.token, PASSWORD)
        assert service.passwords.compared == 0


class TestGuesses:
    async def guess(self, service: Service, link: SharedLink, client: str, password: bytes = b"wrong") -> type | None:
        """Return the kind of the refusal, if there is one."""
        try:
            await service.shares.open(link.token, password, client)
        except (ShareLocked, RateLimited) as error:
            return type(error)
        return None

    async def test_a_client_has_a_few_a_minute(self) -> None:
        service = Service()
        link, other = [await service.share(password=PASSWORD) for _ in range(2)]
        for _ in range(FREE):
            assert await self.guess(service, link, "a") is ShareLocked
        service.clock.passed = timedelta(seconds=20)
        compared = service.passwords.compared
        for password in (b"wrong", PASSWORD):
            with pytest.raises(RateLimited) as caught:
                await service.shares.open(link.token, password, "a")
            assert caught.value.retry_after == WINDOW - 20
        assert service.passwords.compared == compared == FREE, "refused before a hash is computed"
        assert await self.guess(service, link, "b", PASSWORD) is None
        assert await self.guess(service, other, "a") is ShareLocked, "another link"
        with pytest.raises(ShareLocked):
            await service.shares.open(link.token, None, "a")
        service.clock.passed = timedelta(seconds=WINDOW)
        assert await self.guess(service, link, "a", PASSWORD) is None

    async def test_all_clients_have_some_a_minute(self) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)
        for number in range(FREE_OF_ALL):
            assert await self.guess(service, link, f"{number // FREE}") is ShareLocked
        assert await self.guess(service, link, "another", PASSWORD) is RateLimited
        assert service.passwords.compared == FREE_OF_ALL
        service.clock.passed = timedelta(seconds=WINDOW)
        assert await self.guess(service, link, "another", PASSWORD) is None

    async def test_the_right_one_is_not_counted(self) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)
        for _ in range(FREE - 1):
            assert await self.guess(service, link, "a") is ShareLocked
        for _ in range(3 * FREE_OF_ALL):
            assert await self.guess(service, link, "a", PASSWORD) is None
        assert [await self.guess(service, link, "a") for _ in range(2)] == [ShareLocked, RateLimited]

    async def test_many_at_once_do_not_get_past_the_limit(self) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)
        guesses = [f"wrong {number}".encode() for number in range(3 * FREE)]
        found = await asyncio.gather(*(self.guess(service, link, "a", each) for each in guesses))
        assert Counter(found) == {ShareLocked: FREE, RateLimited: 2 * FREE}
        assert service.passwords.compared == FREE

    async def test_the_right_one_counts_once_while_it_is_checked(self) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)
        found = await asyncio.gather(*(self.guess(service, link, "a", PASSWORD) for _ in range(3 * FREE)))
        assert found == [None] * (3 * FREE)
        assert service.passwords.compared == 1
        wrong = await asyncio.gather(*(self.guess(service, link, "a") for _ in range(3 * FREE)))
        assert wrong == [ShareLocked] * (3 * FREE)
        assert service.passwords.compared == 2

    async def test_a_client_at_the_limit_joins_no_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or it could guess without a limit while somebody with its address opens the link."""
        service = Service()
        link = await service.share(password=PASSWORD)
        for number in range(FREE - 1):
            assert await self.guess(service, link, "a", f"wrong {number}".encode()) is ShareLocked
        has_begun, may_end = asyncio.Event(), asyncio.Event()

        async def matches(*_: object) -> bool:
            has_begun.set()
            await may_end.wait()
            return True

        monkeypatch.setattr(service.passwords, "matches", matches)
        opening = asyncio.create_task(self.guess(service, link, "a", PASSWORD))
        await has_begun.wait()
        joining = asyncio.create_task(self.guess(service, link, "a", PASSWORD))
        await asyncio.sleep(0)
        may_end.set()
        assert [await opening, await joining] == [None, RateLimited]

    async def test_clients_share_no_check(self) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)
        assert {*await asyncio.gather(*(self.guess(service, link, each) for each in "ab"))} == {ShareLocked}
        assert service.passwords.compared == 2

    async def test_one_that_is_not_checked_is_not_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)

        async def refuse(*_: object) -> bool:
            raise RateLimited

        with monkeypatch.context() as patched:
            patched.setattr(service.passwords, "matches", refuse)
            for _ in range(2 * FREE):
                assert await self.guess(service, link, "a", PASSWORD) is RateLimited
        assert await self.guess(service, link, "a", PASSWORD) is None

    @pytest.mark.parametrize(("password", "refusal"), [(PASSWORD, None), (b"wrong", RateLimited)])
    async def test_one_whose_request_is_cancelled_counts_if_it_is_wrong(
        self, password: bytes, refusal: type | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = Service()
        link = await service.share(password=PASSWORD)
        has_begun, may_end = asyncio.Event(), asyncio.Event()

        async def matches(password: bytes, _: str) -> bool:
            has_begun.set()
            await may_end.wait()
            return password == PASSWORD

        monkeypatch.setattr(service.passwords, "matches", matches)
        for _ in range(FREE):
            has_begun.clear()
            may_end.clear()
            guessing = asyncio.create_task(self.guess(service, link, "a", password))
            await has_begun.wait()
            guessing.cancel()
            may_end.set()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            assert guessing.cancelled()
        assert await self.guess(service, link, "a", PASSWORD) is refusal

    async def test_a_link_without_a_password_has_no_limit(self) -> None:
        service = Service()
        link = await service.share()
        for _ in range(2 * FREE_OF_ALL):
            await service.shares.open(link.token, b"any", "a")


class TestUse:
    async def test_a_link_is_used_up_to_its_limit(self) -> None:
        service = Service()
        link = await service.share(max_uses=2)
        for uses in (1, 2):
            await service.shares.use(link.share)
            assert await service.stored() == [replace(link.share, uses=uses)]
        with pytest.raises(ShareNotFound):
            await service.other().shares.use(link.share)
        assert await service.stored() == [replace(link.share, uses=2)]

    async def test_concurrent_uses_are_counted_exactly(self) -> None:
        service = Service()
        link = await service.share(max_uses=10)
        uses = (each.shares.use(link.share) for each in (service, service.other()) for _ in range(16))
        ended = await asyncio.gather(*uses, return_exceptions=True)
        assert Counter(map(type, ended)) == {type(None): 10, ShareNotFound: 22}

    async def test_without_a_limit_nothing_is_written(self) -> None:
        service = Service()
        link = await service.share()
        began, before = service.units.count, repr(service.metadata.rows)
        await service.shares.use(link.share)
        await service.opens(link)
        assert service.units.count == began
        assert repr(service.metadata.rows) == before

    async def test_looking_at_a_link_counts_nothing(self) -> None:
        service = Service()
        link = await service.share(max_uses=1)
        assert [await service.opens(link) for _ in range(3)] == [True] * 3
        await service.shares.use(link.share)
        assert await service.opens(link), "the use that was counted may still look at it"

    async def test_a_link_that_is_revoked_after_it_was_opened_is_not_used(self) -> None:
        service = Service()
        link = await service.share(max_uses=2)
        share, _ = await service.shares.open(link.token, None)
        await service.shares.revoke(await service.operator(), share.id)
        with pytest.raises(ShareNotFound):
            await service.shares.use(share)
        assert await service.stored() == []


class Gate:
    """Stands for `hashlib.scrypt`: counts the calls that run at the same time, which wait until it is opened."""

    def __init__(self) -> None:
        self.running = self.most = self.calls = 0
        self._lock = threading.Lock()
        self._is_open = threading.Event()

    def __call__(self, password: bytes, **_: object) -> bytes:
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._is_open.wait(20)
        with self._lock:
            self.running -= 1
        return hashlib.sha256(password).digest()

    def open(self) -> None:
        self._is_open.set()

    async def has_begun(self, calls: int) -> None:
        """Wait until so many calls have begun, and then a moment for more of them."""
        for _ in range(2000):
            if self.calls >= calls:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)


class TestPasswords:
    async def test_a_password_matches_its_hash(self) -> None:
        store = Passwords()
        stored = await store.hashed(PASSWORD)
        assert await store.matches(PASSWORD, stored)
        assert not await store.matches(PASSWORD + b"a", stored)
        assert await Passwords().matches(PASSWORD, stored), "it does not depend on the process"

    async def test_each_hash_has_a_salt(self) -> None:
        store = Passwords()
        hashes = [await store.hashed(b"the same") for _ in range(3)]
        assert len({*hashes}) == len({each.split("$")[2] for each in hashes}) == len({*map(_last, hashes)}) == 3
        assert all([await store.matches(b"the same", each) for each in hashes])
        assert not any("the same" in each for each in hashes)
        salted = "$".join([*hashes[0].split("$")[:3], _last(hashes[1])])
        assert not await store.matches(b"the same", salted), "the salt of another one"

    async def test_the_cost_is_in_the_hash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So it can be raised, and hashes that exist stay valid."""
        store = Passwords()
        stored = await store.hashed(PASSWORD)
        assert re.fullmatch(r"scrypt\$16384\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=", stored)
        monkeypatch.setattr(passwords, "COST", 2**10)
        cheap = await store.hashed(PASSWORD)
        assert cheap.startswith("scrypt$1024$")
        assert [await store.matches(PASSWORD, each) for each in (stored, cheap)] == [True, True]
        assert not await store.matches(PASSWORD, stored.replace("16384", "1024"))

    async def test_the_value_never_changes(self) -> None:
        """With other parameters, no link with a password that was ever created could be opened."""
        stored = "scrypt$16384$MDEyMzQ1Njc4OWFiY2RlZg==$" + KNOWN_HASH
        assert await Passwords().matches(b"password", stored)

    async def test_the_comparison_takes_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared = list[tuple[bytes, bytes]]()

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return False

        store = Passwords()
        stored = await store.hashed(PASSWORD)
        monkeypatch.setattr(hmac, "compare_digest", compare)
        assert not await store.matches(PASSWORD, stored), "nothing else decides"
        [(one, other)] = compared
        assert one == other
        assert len(one) == 32

    async def test_a_few_are_hashed_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate = Gate()
        store = Passwords()
        stored = "scrypt$16384$AAAA$AAAA"
        monkeypatch.setattr(hashlib, "scrypt", gate)
        hashing = [asyncio.create_task(store.hashed(b"a")) for _ in range(3)]
        matching = [asyncio.create_task(store.matches(b"a", stored)) for _ in range(3)]
        try:
            await gate.has_begun(AT_ONCE)
            assert gate.running == AT_ONCE == 2
        finally:
            gate.open()
        await asyncio.gather(*hashing, *matching)
        assert (gate.most, gate.calls) == (AT_ONCE, 6)

    async def test_only_some_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate = Gate()
        store = Passwords()
        monkeypatch.setattr(hashlib, "scrypt", gate)
        waiting = [asyncio.create_task(store.hashed(b"a")) for _ in range(AT_ONCE + WAITING)]
        try:
            await gate.has_begun(AT_ONCE)
            for call in (store.hashed(b"a"), store.matches(b"a", "scrypt$16384$AAAA$AAAA")):
                with pytest.raises(RateLimited):
                    await call
            waiting[-1].cancel()
            await asyncio.sleep(0)
            waiting.append(asyncio.create_task(store.hashed(b"a")))
            await asyncio.sleep(0)
            with pytest.raises(RateLimited):
                await store.hashed(b"a")
        finally:
            gate.open()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in ended if not isinstance(each, str)] == [asyncio.CancelledError]
        assert gate.calls == AT_ONCE + WAITING
        assert (await store.hashed(b"a")).startswith("scrypt$")

    async def test_cancelled_requests_do_not_let_more_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A thread can't be cancelled. It runs on, and keeps its place."""
        gate = Gate()
        store = Passwords()
        monkeypatch.setattr(hashlib, "scrypt", gate)
        try:
            for _ in range(4):
                guessing = [asyncio.create_task(store.hashed(b"a")) for _ in range(AT_ONCE)]
                await gate.has_begun(AT_ONCE)
                for each in guessing:
                    each.cancel()
                ended = await asyncio.gather(*guessing, return_exceptions=True)
                assert {type(each) for each in ended} == {asyncio.CancelledError}
            assert gate.running == AT_ONCE
        finally:
            gate.open()
        assert (await store.hashed(b"a")).startswith("scrypt$"), "their places are free again"
        assert gate.most == AT_ONCE

    async def test_a_failure_frees_its_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> bytes:
            raise MemoryError

        store = Passwords()
        with monkeypatch.context() as patched:
            patched.setattr(hashlib, "scrypt", fail)
            for _ in range(2 * AT_ONCE):
                with pytest.raises(MemoryError):
                    await store.hashed(b"a")
        assert await asyncio.wait_for(store.hashed(b"a"), 20)

    async def test_the_event_loop_is_not_blocked(self) -> None:
        store = Passwords()
        hashing = asyncio.create_task(store.hashed(PASSWORD))
        turns = 0
        while not hashing.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert turns > 1


def _last(stored: str) -> str:
    return stored.rpartition("$")[2]
