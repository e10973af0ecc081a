"""Keys: their rights, their secrets, what replicas know of them, and signatures."""

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path

import pytest

import application.access
from adapters.metadata.memory.keys import MemoryKeys
from adapters.metadata.memory.unit_of_work import MemoryMetadata
from application.access.authenticate import KNOWN_FOR, TOKEN, USE_INTERVAL, Authenticate, KnownKeys, RecordUse
from application.access.keys import MAX_NAME, MAX_OVERLAP, MAX_PREFIXES, IssuedKey, Keys, NewKey
from application.access.master_key import MasterKey, signing_secret
from application.access.sign import LONGEST, SKEW, Signatures, Signer, narrowed
from application.attempts import Attempt
from application.ports.keys import KeyReader
from application.uploads.committer import Committer
from domain.access import EVERYTHING, UNCONDITIONAL, AccessKey, Action, Conditions, Grant, Limits
from domain.blob import BlobId, ObjectKey
from domain.errors import BlobError, InvalidExpiry, InvalidKey, KeyNotFound, Kind, NoMasterKey, NotGranted, RolledBack
from entrypoints.config.values import hashed
from tests.attempts import recorded

START = datetime(2124, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)  # later than today: some grants are checked by that
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
MASTER, OTHER_MASTER = MasterKey(b"0123456789abcdef" * 2), MasterKey(b"0123456789abcdef" * 3)
READ, WRITE = frozenset({Action.READ}), frozenset({Action.WRITE})
FILMS = Grant(frozenset(Action), ("films/",))
MESSAGE = b"a message"
ID = BlobId("films/a")


class Clock:
    """The time of day and a monotonic time, which only the test moves."""

    def __init__(self) -> None:
        self.passed = timedelta(0)

    def now(self) -> datetime:
        return START + self.passed

    def monotonic(self) -> float:
        return 1000 + self.passed.total_seconds()


class CountingReader(KeyReader):
    """Counts the keys that are read, and delays them while it is closed."""

    def __init__(self, reader: KeyReader) -> None:
        self.reader = reader
        self.reads = 0
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def find(self, key_id: str) -> AccessKey | None:
        self.reads += 1
        found = await self.reader.find(key_id)
        await self.is_open.wait()
        return found

    async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
        return await self.reader.after(key_id, limit)

    async def has_begun(self, reads: int) -> None:
        """Wait until so many reads have begun."""
        for _ in range(10):
            await asyncio.sleep(0)
        assert self.reads == reads


class Replica:
    """The use cases of one server. Servers with the same metadata share their keys."""

    def __init__(
        self,
        metadata: MemoryMetadata | None = None,
        clock: Clock | None = None,
        master: MasterKey | None = MASTER,
        tokens: Mapping[bytes, Grant] | None = None,
    ) -> None:
        self.metadata = metadata or MemoryMetadata()
        self.clock = clock or Clock()
        self.reader = CountingReader(self.metadata.keys)
        self.known = KnownKeys(self.reader, master, self.clock.monotonic, self.clock.now)
        committer = Committer(self.metadata, ObjectKey.random)
        self.keys = Keys(committer, self.metadata.keys, master, self.known.forget, self.clock.now)
        self.authenticate = Authenticate(tokens or {}, self.known, master, self.clock.now)
        self.signatures = Signatures(self.authenticate, self.clock.now)
        self.record_use = RecordUse(self.known, self.metadata, self.clock.now)

    def another(self, master: MasterKey | None = MASTER) -> "Replica":
        return Replica(self.metadata, self.clock, master)

    async def create(self, prefixes: Sequence[str] = (), **values: object) -> IssuedKey:
        new = replace(NewKey("ci", READ, tuple(prefixes)), **values)  # type: ignore[arg-type]
        return await self.keys.create(EVERYTHING, new)

    async def accepts(self, issued: IssuedKey) -> bool:
        """Return whether the token of a key is accepted. It has the rights of the key then."""
        grant = await self.authenticate(issued.token.encode())
        assert grant in (None, issued.key.grant())
        return grant is not None

    async def all(self) -> list[AccessKey]:
        return [*await self.metadata.keys.after("", 1000)]


class TestMasterKey:
    def test_a_secret_belongs_to_one_generation_of_one_key(self) -> None:
        secrets = [
            master.secret(key_id, generation)
            for master in (MASTER, OTHER_MASTER)
            for key_id in ("a" * 16, "b" * 16, "a" * 15, "a" * 15 + "1")
            for generation in (1, 2, 11)
        ]
        assert len({*secrets}) == len(secrets)
        assert all(re.fullmatch("[a-z2-7]{52}", secret) for secret in secrets)
        assert secrets[0] == MasterKey(MASTER.value).secret("a" * 16, 1)

    def test_the_values_never_change(self) -> None:
        """With other ones, no key that was ever created would be valid."""
        key_id = "ab2cd3ef4gh5ij6k"
        assert MASTER.secret(key_id, 1) == "4ty54za2a64yd4ei6jc2h32vyc75wwqzp7wkh6prr6w7nrelmkka"
        assert (
            signing_secret(MASTER.secret(key_id, 1)).hex()
            == "3d8dd85999bca70087badb139fbe1cf20aced69f1885cc046816682e82f7ed27"
        )
        assert MASTER.token_id(hashed("token")) == "6ltxt5qf36ysrgr3"
        assert (
            MASTER.signing_secret_of_token(key_id).hex()
            == "0c5540495b422d9612cf204e80a48240305e2b1d931ac166fca2d4b83bb06f7c"
        )
        assert MASTER.fingerprint == "f315480fe28f0bb7"

    def test_values_for_different_purposes_differ(self) -> None:
        key_id, digest = "a" * 16, b"a" * 32
        values = [
            signing_secret(MASTER.secret(key_id, 1)),
            MASTER.signing_secret_of_token(key_id),
            MASTER.signing_secret_of_token(MASTER.token_id(digest)),
            MASTER.secret(key_id, 1).encode(),
            MASTER.token_id(digest).encode(),
        ]
        assert len({*values}) == len(values)
        assert re.fullmatch("[a-z2-7]{16}", MASTER.token_id(digest))

    def test_the_fingerprint_identifies_it(self) -> None:
        assert MASTER.fingerprint == MasterKey(MASTER.value).fingerprint != OTHER_MASTER.fingerprint
        assert re.fullmatch("[0-9a-f]{16}", MASTER.fingerprint)

    def test_it_is_in_no_representation(self) -> None:
        assert repr(MASTER) == "MasterKey()"

    def test_it_has_32_bytes(self) -> None:
        with pytest.raises(ValueError, match="at least 32 bytes"):
            MasterKey(bytes(31))


class TestCreate:
    async def test_a_key_is_created(self) -> None:
        replica = Replica()
        issued = await replica.create(["films/", "music/☺"], name="ci ☺", actions=frozenset(Action))
        key = issued.key
        assert key == AccessKey(
            key.id,
            "ci ☺",
            frozenset(Action),
            ("films/", "music/☺"),
            START.replace(microsecond=0),
            master=MASTER.fingerprint,
        )
        assert await replica.all() == [key]
        assert issued.secret == MASTER.secret(key.id, 1)
        assert TOKEN.fullmatch(issued.token.encode())
        assert issued.token == f"dby_{key.id}_{issued.secret}"
        assert await replica.accepts(issued)

    async def test_no_two_keys_are_alike(self) -> None:
        replica = Replica()
        issued = [await replica.create() for _ in range(50)]
        assert len({each.key.id for each in issued}) == len({each.secret for each in issued}) == 50

    async def test_no_secret_is_stored_or_shown(self) -> None:
        replica = Replica()
        issued = await replica.create()
        await replica.accepts(issued)
        shown = f"{replica.metadata.rows} {issued} {await replica.known.get(issued.key.id)}"
        assert issued.key.id in shown
        for secret in (issued.secret, issued.token, repr(signing_secret(issued.secret))):
            assert secret not in shown

    async def test_without_prefixes_it_is_for_all_blobs(self) -> None:
        issued = await Replica().create()
        assert issued.key.prefixes == ("",)
        assert issued.key.grant().includes(Action.READ, "anything", START)

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            *(({"name": name}, "has a name of 1 to 100") for name in ("", " ", "x" * (MAX_NAME + 1), "a\n", "\x7f")),
            ({"actions": frozenset()}, "needs at least one of the actions read, write, delete, list, admin"),
            ({"prefixes": ("",)}, "leave the prefixes out"),
            ({"prefixes": ("films/", "")}, "leave the prefixes out"),
            ({"prefixes": ("a\x00",)}, r"can't begin an id.*control character U\+0000"),
            ({"prefixes": ("a", "b\udcff")}, "surrogate"),
            ({"prefixes": ("é" * 1024 + "a",)}, "2,049 bytes"),
            ({"prefixes": tuple(f"{number}/" for number in range(MAX_PREFIXES + 1))}, "up to 100 prefixes"),
            ({"limits": Limits(1), "actions": frozenset({Action.ADMIN})}, "with the action admin has no limits"),
            *(({"limits": Limits(rate)}, "requests per second") for rate in (0, -1, 0.0009, 1_000_001, nan, inf)),
            *(({"limits": Limits(None, size)}, "63 bits") for size in (-1, 2**63)),
            *(({"limits": Limits(None, None, size)}, "63 bits") for size in (-1, 2**63)),
        ],
    )
    async def test_what_is_not_a_key(self, wrong: Mapping[str, object], why: str) -> None:
        replica = Replica()
        with pytest.raises(InvalidKey, match=why):
            await replica.create(**wrong)  # type: ignore[arg-type]
        assert await replica.all() == []

    async def test_the_largest_key(self) -> None:
        replica = Replica()
        prefixes = tuple(f"{number:02}" + "é" * 511 for number in range(MAX_PREFIXES))
        limits = Limits(1_000_000, 2**63 - 1, 2**63 - 1)
        issued = await replica.create(prefixes, name="☺" * MAX_NAME, limits=limits)
        assert await replica.all() == [issued.key]
        assert (issued.key.limits, issued.key.grant().limits) == (limits, limits)

    async def test_a_time_in_the_past(self) -> None:
        replica = Replica()
        for earlier in (1000 * SECOND, MICROSECOND, timedelta(0)):
            with pytest.raises(InvalidExpiry):
                await replica.create(expires_at=START - earlier)
        assert await replica.all() == []
        assert (await replica.create(expires_at=START + SECOND)).key.expires_at == START + SECOND

    async def test_without_a_master_key_none_is_issued(self) -> None:
        replica = Replica()
        issued = await replica.create()
        without = replica.another(master=None)
        with pytest.raises(NoMasterKey):
            await without.create()
        with pytest.raises(NoMasterKey):
            await without.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        assert not await without.accepts(issued)
        assert without.reader.reads == 0
        assert await without.keys.list(EVERYTHING, "", 10) == [issued.key]
        assert await without.keys.find(EVERYTHING, issued.key.id) == issued.key
        await without.keys.revoke(EVERYTHING, issued.key.id)
        assert await replica.all() == []


Call = Callable[[Keys, Grant, str], Awaitable[object]]
NEW = NewKey("ci", READ, ("films/a",))
CALLS: dict[str, Call] = {
    "create": lambda keys, grant, _: keys.create(grant, NEW),
    "list": lambda keys, grant, _: keys.list(grant, "", 10),
    "find": lambda keys, grant, key_id: keys.find(grant, key_id),
    "revoke": lambda keys, grant, key_id: keys.revoke(grant, key_id),
    "rotate": lambda keys, grant, key_id: keys.rotate(grant, key_id, MINUTE),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class TestRights:
    def test_there_is_a_case_for_each_method(self) -> None:
        assert {name for name, each in vars(Keys).items() if callable(each) and name[0] != "_"} - {
            "forget",
            "now",
        } == CALLS.keys()

    @each_call
    async def test_a_grant_without_admin(self, call: Call) -> None:
        replica = Replica()
        key = (await replica.create(["films/a"])).key
        for grant in (
            Grant(set(Action) - {Action.ADMIN}),
            Grant(frozenset(Action), expires_at=datetime.now(UTC)),
            Grant(frozenset(Action), conditions=Conditions(create_only=True)),
        ):
            with pytest.raises(NotGranted):
                await call(replica.keys, grant, key.id)
        assert await replica.all() == [key]
        await call(replica.keys, Grant(frozenset(Action), ("music/", "films/")), key.id)

    @pytest.mark.parametrize("prefixes", [(), ("music/",), ("films/", "music/"), ("films",), ("a", "films/a")])
    async def test_a_key_outside_the_grant_is_not_created(self, prefixes: Sequence[str]) -> None:
        replica = Replica()
        with pytest.raises(NotGranted):
            await replica.keys.create(FILMS, NewKey("ci", READ, tuple(prefixes)))
        assert await replica.all() == []

    @pytest.mark.parametrize("prefixes", [("films/",), ("films/a", "films/b/☺")])
    async def test_a_key_within_the_grant_is_created(self, prefixes: Sequence[str]) -> None:
        replica = Replica()
        issued = await replica.keys.create(FILMS, NewKey("ci", READ, tuple(prefixes)))
        assert await replica.keys.list(FILMS, "", 10) == [issued.key]
        assert await replica.keys.find(FILMS, issued.key.id) == issued.key
        rotated = await replica.keys.rotate(FILMS, issued.key.id, MINUTE)
        assert rotated.key.generation == 2
        await replica.keys.revoke(FILMS, issued.key.id)
        assert await replica.all() == []

    async def test_a_key_may_have_all_prefixes_of_its_creator(self) -> None:
        grant = Grant(frozenset(Action), ("films/", "music/"))
        issued = await Replica().keys.create(grant, NewKey("ci", frozenset(Action), ("music/", "films/")))
        assert issued.key.prefixes == ("music/", "films/")

    @pytest.mark.parametrize("prefixes", [(), ("music/",), ("films/", "music/"), ("films",)])
    async def test_a_key_outside_the_grant_does_not_seem_to_exist(self, prefixes: Sequence[str]) -> None:
        replica = Replica()
        key = (await replica.create(prefixes)).key
        assert await replica.keys.list(FILMS, "", 10) == []
        for name in ("find", "revoke", "rotate"):
            for key_id in (key.id, "a" * 16):
                with pytest.raises(KeyNotFound) as caught:
                    await CALLS[name](replica.keys, FILMS, key_id)
                assert (caught.value.detail, caught.value.subject) == (KeyNotFound.text, None)
        assert await replica.all() == [key]

    @pytest.mark.parametrize("missing", [action for action in Action if action is not Action.ADMIN])
    async def test_a_key_with_more_actions_than_its_creator(self, missing: Action) -> None:
        replica = Replica()
        grant = Grant(set(Action) - {missing}, ("films/",))
        with pytest.raises(NotGranted) as caught:
            await replica.keys.create(grant, NewKey("ci", frozenset({Action.ADMIN, missing}), ("films/",)))
        assert (caught.value.operation, caught.value.subject) == (missing.value, "films/")
        assert await replica.all() == []
        stronger = (await replica.create(["films/"], actions=frozenset({missing}))).key
        with pytest.raises(NotGranted):
            await replica.keys.rotate(grant, stronger.id, MINUTE)
        assert await replica.all() == [stronger]
        await replica.keys.create(grant, NewKey("ci", frozenset(grant.actions), ("films/",)))

    async def test_a_key_that_outlives_its_creator(self) -> None:
        replica, end = Replica(), START + DAY
        grant = replace(FILMS, expires_at=end)
        lasting = (await replica.create(["films/"])).key
        for later in (None, end + MICROSECOND):
            with pytest.raises(NotGranted, match="Your own key expires before this one would"):
                await replica.keys.create(grant, NewKey("ci", READ, ("films/",), later))
        with pytest.raises(NotGranted):
            await replica.keys.rotate(grant, lasting.id, MINUTE)
        assert await replica.all() == [lasting]
        for earlier in (end, end - SECOND):
            await replica.keys.create(grant, NewKey("ci", READ, ("films/",), earlier))

    async def test_a_list_goes_on_over_keys_outside_the_grant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("application.access.keys.PAGE", 3)
        replica = Replica()
        made = [(await replica.create([] if number % 5 else ["films/"])).key for number in range(40)]
        own = sorted(key.id for key in made if key.prefixes == ("films/",))
        for limit in (1, 3, 7, 100):
            for grant, expected in ((FILMS, own), (EVERYTHING, sorted(key.id for key in made))):
                listed = list[str]()
                while page := await replica.keys.list(grant, listed[-1] if listed else "", limit):
                    assert len(page) <= limit
                    listed += [key.id for key in page]
                assert listed == expected


async def test_changes_of_keys_and_signatures_are_recorded() -> None:
    replica = Replica(tokens={hashed("token"): EVERYTHING})
    grant = await replica.authenticate(b"token")
    assert grant is not None
    weak = replace(grant, actions=READ | {Action.ADMIN})
    key_id = grant.key_id
    with recorded() as attempts:
        issued = await replica.keys.create(grant, NewKey("ci", READ | WRITE, ("films/",)))
        subject = issued.key.id
        with pytest.raises(NotGranted):
            await replica.keys.rotate(weak, subject, MINUTE)
        await replica.keys.rotate(grant, subject, MINUTE)
        await replica.keys.list(grant, "", 10)
        await replica.keys.find(grant, subject)
        await replica.keys.revoke(grant, subject)
        with pytest.raises(KeyNotFound):
            await replica.keys.find(grant, subject)
        for action in (Action.READ, Action.WRITE, Action.DELETE):
            await replica.signatures.signer(grant, action, ID, MINUTE)
    of_key = Attempt(key_id, "show_key", "", is_prefix=False, is_granted=True, subject=subject)
    assert attempts == [
        Attempt(key_id, "create_key", "films/", is_prefix=True, is_granted=True),
        replace(of_key, action="rotate_key"),
        Attempt(key_id, "issue_key", "films/", is_prefix=True, is_granted=False),
        replace(of_key, action="rotate_key"),
        Attempt(key_id, "list_keys", "", is_prefix=False, is_granted=True),
        of_key,
        replace(of_key, action="revoke_key"),
        of_key,
        *(
            Attempt(key_id, f"sign_{action}", ID.value, is_prefix=False, is_granted=True)
            for action in ("read", "write", "delete")
        ),
    ]


class TestRevoke:
    async def test_a_key_is_revoked_once(self) -> None:
        replica = Replica()
        issued, other = await replica.create(), await replica.create()
        await replica.keys.revoke(EVERYTHING, issued.key.id)
        for call in ("find", "revoke", "rotate"):
            with pytest.raises(KeyNotFound):
                await CALLS[call](replica.keys, EVERYTHING, issued.key.id)
        assert (await replica.accepts(issued), await replica.accepts(other)) == (False, True)

    async def test_of_several_who_revoke_it_one_succeeds(self) -> None:
        replica = Replica()
        key_id = (await replica.create()).key.id
        ended = await asyncio.gather(
            *(replica.keys.revoke(EVERYTHING, key_id) for _ in range(5)), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in ended) == ["KeyNotFound"] * 4 + ["NoneType"]


class TestRotate:
    async def test_a_key_gets_another_secret(self) -> None:
        replica = Replica()
        issued = await replica.create(["films/"], expires_at=START + DAY)
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        assert rotated.key == replace(issued.key, generation=2, former_until=START + MINUTE)
        assert rotated.secret == MASTER.secret(issued.key.id, 2) != issued.secret
        assert await replica.all() == [rotated.key]

    async def test_the_former_secret_is_valid_for_a_while(self) -> None:
        replica = Replica()
        issued = await replica.create()
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        for passed, is_valid in ((timedelta(0), True), (MINUTE - MICROSECOND, True), (MINUTE, False), (DAY, False)):
            replica.clock.passed = passed
            assert [await replica.accepts(each) for each in (issued, rotated)] == [is_valid, True]

    async def test_the_former_secret_ends_even_while_the_key_is_known(self) -> None:
        replica = Replica()
        issued = await replica.create()
        await replica.keys.rotate(EVERYTHING, issued.key.id, 2 * SECOND)
        assert await replica.accepts(issued)
        replica.clock.passed = 2 * SECOND
        assert not await replica.accepts(issued)

    async def test_without_an_overlap_the_former_secret_ends_at_once(self) -> None:
        replica = Replica()
        issued = await replica.create()
        assert await replica.accepts(issued)
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, timedelta(0))
        assert [await replica.accepts(each) for each in (issued, rotated)] == [False, True]

    async def test_two_rotations_end_the_first_secret(self) -> None:
        replica = Replica()
        first = await replica.create()
        second = await replica.keys.rotate(EVERYTHING, first.key.id, DAY)
        third = await replica.keys.rotate(EVERYTHING, first.key.id, MINUTE)
        assert [await replica.accepts(each) for each in (first, second, third)] == [False, True, True]

    async def test_the_new_secret_is_valid_at_once_on_every_replica(self) -> None:
        replica = Replica()
        other = replica.another()
        issued = await replica.create()
        assert await other.accepts(issued)
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        assert [await other.accepts(each) for each in (rotated, issued)] == [True, True]

    @pytest.mark.parametrize("overlap", [-MICROSECOND, MAX_OVERLAP + MICROSECOND, timedelta.max])
    async def test_an_overlap_that_is_too_long(self, overlap: timedelta) -> None:
        replica = Replica()
        issued = await replica.create()
        with pytest.raises(InvalidKey, match="0 to 604800 seconds"):
            await replica.keys.rotate(EVERYTHING, issued.key.id, overlap)
        assert await replica.all() == [issued.key]

    async def test_the_longest_overlap(self) -> None:
        replica = Replica()
        issued = await replica.create()
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, MAX_OVERLAP)
        assert rotated.key.former_until == START + MAX_OVERLAP

    async def test_each_of_several_rotations_is_made(self) -> None:
        replica = Replica()
        key_id = (await replica.create()).key.id
        rotated = await asyncio.gather(*(replica.keys.rotate(EVERYTHING, key_id, MINUTE) for _ in range(3)))
        assert sorted(each.key.generation for each in rotated) == [2, 3, 4]
        by_generation = sorted(rotated, key=lambda each: each.key.generation)
        assert [await replica.accepts(each) for each in by_generation] == [False, True, True]

    async def test_a_rotation_that_another_one_overtook_is_repeated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        replica = Replica()
        issued = await replica.create()
        outcomes = [False, False]

        async def overtaken(keys: MemoryKeys, former: AccessKey, new: AccessKey) -> bool:
            return outcomes.pop() if outcomes else await original(keys, former, new)

        original = MemoryKeys.replace
        monkeypatch.setattr(MemoryKeys, "replace", overtaken)
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        assert (rotated.key.generation, outcomes) == (2, [])
        outcomes += [False] * 100
        with pytest.raises(RolledBack, match="rotated or revoked by another request"):
            await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)

    async def test_a_key_of_another_master_key_gets_a_secret_of_this_one(self) -> None:
        replica = Replica()
        issued = await replica.create()
        other = replica.another(OTHER_MASTER)
        assert not await other.accepts(issued)
        rotated = await other.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        assert (rotated.key.master, rotated.key.former_until) == (OTHER_MASTER.fingerprint, None)
        assert [await other.accepts(each) for each in (issued, rotated)] == [False, True]
        replica.clock.passed = KNOWN_FOR
        assert [await replica.accepts(each) for each in (issued, rotated)] == [False, False]


class TestKnownKeys:
    async def test_a_key_is_known_for_a_while(self) -> None:
        replica = Replica()
        issued = await replica.create()
        for passed, reads in ((0 * SECOND, 1), (KNOWN_FOR - MICROSECOND, 1), (KNOWN_FOR, 2), (KNOWN_FOR, 2)):
            replica.clock.passed = passed
            assert await replica.accepts(issued)
            assert replica.reader.reads == reads

    async def test_a_key_is_known_from_the_begin_of_its_reading(self) -> None:
        replica = Replica()
        key_id = (await replica.create()).key.id
        replica.reader.is_open.clear()
        reading = asyncio.create_task(replica.known.get(key_id))
        await replica.reader.has_begun(1)
        replica.clock.passed = KNOWN_FOR
        replica.reader.is_open.set()
        assert await reading is not None
        await replica.known.get(key_id)
        assert replica.reader.reads == 2

    async def test_other_replicas_refuse_a_revoked_key_after_a_while(self) -> None:
        replica = Replica()
        other = replica.another()
        issued = await replica.create()
        assert [await each.accepts(issued) for each in (replica, other)] == [True, True]
        await replica.keys.revoke(EVERYTHING, issued.key.id)
        for passed, accepted in ((0 * SECOND, True), (KNOWN_FOR - MICROSECOND, True), (KNOWN_FOR, False)):
            replica.clock.passed = passed
            assert [await each.accepts(issued) for each in (replica, other)] == [False, accepted]
        assert KNOWN_FOR == 5 * SECOND, "the commands and the interface name it"

    async def test_a_forgotten_key_is_read_again(self) -> None:
        replica = Replica()
        issued = await replica.create()
        other = replica.another()
        assert await other.accepts(issued)
        await replica.keys.revoke(EVERYTHING, issued.key.id)
        other.known.forget("a" * 16)
        assert await other.accepts(issued)
        other.known.forget(issued.key.id)
        assert not await other.accepts(issued)

    async def test_a_key_that_is_revoked_while_it_is_read(self) -> None:
        replica = Replica()
        issued = await replica.create()
        replica.reader.is_open.clear()
        reading = asyncio.create_task(replica.accepts(issued))
        await replica.reader.has_begun(1)
        await replica.keys.revoke(EVERYTHING, issued.key.id)
        replica.reader.is_open.set()
        assert await reading, "it was valid when the request began"
        assert not await replica.accepts(issued)

    async def test_a_reading_that_ends_late_does_not_end_the_sharing_of_the_next(self) -> None:
        replica = Replica()
        key_id = (await replica.create()).key.id
        first_gate, second_gate = asyncio.Event(), asyncio.Event()
        replica.reader.is_open = first_gate
        first = asyncio.create_task(replica.known.get(key_id))
        await replica.reader.has_begun(1)
        replica.known.forget(key_id)
        replica.reader.is_open = second_gate
        second = asyncio.create_task(replica.known.get(key_id))
        await replica.reader.has_begun(2)
        first_gate.set()
        assert await first is not None
        await asyncio.sleep(0)
        third = asyncio.create_task(replica.known.get(key_id))
        await asyncio.sleep(0)
        second_gate.set()
        assert [await second, await third].count(None) == 0
        assert replica.reader.reads == 2

    async def test_concurrent_requests_share_a_reading(self) -> None:
        replica = Replica()
        issued = await replica.create()
        replica.reader.is_open.clear()
        requests = [asyncio.create_task(replica.accepts(issued)) for _ in range(10)]
        await replica.reader.has_begun(1)
        requests[0].cancel()
        await asyncio.sleep(0)
        replica.reader.is_open.set()
        ended = await asyncio.gather(*requests, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError)
        assert (ended[1:], replica.reader.reads) == ([True] * 9, 1)

    async def test_an_error_of_a_reading_is_not_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        replica = Replica()
        issued = await replica.create()

        async def fail(_: str) -> AccessKey | None:
            raise BlobErrorOfTheTest

        with monkeypatch.context() as patched:
            patched.setattr(replica.reader, "find", fail)
            ended = await asyncio.gather(*(replica.accepts(issued) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in ended] == [BlobErrorOfTheTest] * 3
        assert await replica.accepts(issued)

    async def test_unknown_ids_are_not_remembered(self) -> None:
        replica = Replica()
        key = AccessKey("a" * 16, "ci", READ, ("",), START, master=MASTER.fingerprint)
        assert [await replica.known.get(key.id) for _ in range(3)] == [None] * 3
        assert replica.reader.reads == 3
        async with replica.metadata() as work:
            await work.keys.add(key)
            await work.commit()
        assert await replica.known.get(key.id) is not None

    async def test_as_many_are_known_as_there_is_space_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("application.access.authenticate.CAPACITY", 3)
        replica = Replica()
        ids = [(await replica.create()).key.id for _ in range(5)]

        async def reads_of(key_id: str) -> int:
            before = replica.reader.reads
            assert await replica.known.get(key_id) is not None
            return replica.reader.reads - before

        assert [await reads_of(key_id) for key_id in ids] == [1] * 5
        assert [await reads_of(key_id) for key_id in reversed(ids)] == [0, 0, 0, 1, 1]
        replica.clock.passed = KNOWN_FOR
        assert [await reads_of(key_id) for key_id in (*ids[:3], *ids[:3])] == [1, 1, 1, 0, 0, 0]
        await replica.known.get(ids[2], await replica.known.get(ids[2]))
        assert [await reads_of(key_id) for key_id in ids[:3]] == [0, 0, 0], "a key has one place"


class BlobErrorOfTheTest(BlobError):
    kind = Kind.UNAVAILABLE


class TestAuthenticate:
    async def test_tokens_of_the_settings(self) -> None:
        grants = {hashed("one"): EVERYTHING, hashed("two"): Grant(READ, ("films/",))}
        replica = Replica(tokens=grants)
        for token, grant in (("one", EVERYTHING), ("two", Grant(READ, ("films/",)))):
            found = await replica.authenticate(token.encode())
            assert found == replace(grant, key_id=MASTER.token_id(hashed(token)))
        assert await Replica(master=None, tokens=grants).authenticate(b"two") == Grant(READ, ("films/",))
        for wrong in (b"", b"on", b"one ", b"ONE", hashed("one"), hashed("one").hex().encode()):
            assert await replica.authenticate(wrong) is None
        assert replica.reader.reads == 0

    async def test_a_token_of_the_settings_may_look_like_a_key(self) -> None:
        token = f"dby_{'a' * 16}_{'b' * 52}"
        replica = Replica(tokens={hashed(token): EVERYTHING})
        assert await replica.authenticate(token.encode()) is not None
        assert replica.reader.reads == 0

    async def test_a_wrong_secret(self) -> None:
        replica = Replica()
        issued, other = await replica.create(), await replica.create()
        key_id, secret = issued.key.id, issued.secret
        for wrong in (
            other.secret,
            secret[:-1] + ("a" if secret[-1] != "a" else "b"),
            ("a" if secret[0] != "a" else "b") + secret[1:],
            secret[::-1],
            MASTER.secret(key_id, 0),
            MASTER.secret(key_id, 2),
            OTHER_MASTER.secret(key_id, 1),
        ):
            assert await replica.authenticate(f"dby_{key_id}_{wrong}".encode()) is None
        assert await replica.authenticate(f"dby_{'a' * 16}_{secret}".encode()) is None
        assert replica.known.used == set()
        assert await replica.accepts(issued)

    async def test_a_malformed_token(self) -> None:
        replica = Replica()
        issued = await replica.create()
        token, key_id, secret = issued.token.encode(), issued.key.id, issued.secret
        for wrong in (
            *(token[:size] for size in (0, 3, 4, 20, 21, len(token) - 1)),
            *(token + more for more in (b"a", b"=", b" ", b"\n", b"\0", b"\xff")),
            *(before + token for before in (b" ", b"Bearer ", b"a")),
            token.upper(),
            token.replace(b"dby_", b"DBY_"),
            token.replace(b"_", b"-"),
            f"dby_{key_id}{secret}".encode(),
            f"dby_{key_id}_{secret[:-1]}é".encode(),
            f"{key_id}_{secret}".encode(),
            secret.encode(),
            f"dby__{secret}".encode(),
            f"dby_{key_id[:-1]}1_{secret}".encode(),
        ):
            assert await replica.authenticate(wrong) is None, wrong
        assert replica.reader.reads == 0

    async def test_an_expired_key(self) -> None:
        replica = Replica()
        issued = await replica.create(expires_at=START + 2 * SECOND)
        for passed, is_valid in ((0 * SECOND, True), (2 * SECOND - MICROSECOND, True), (2 * SECOND, False)):
            replica.clock.passed = passed
            assert await replica.accepts(issued) == is_valid
        assert replica.reader.reads == 1
        assert await replica.keys.find(EVERYTHING, issued.key.id) == issued.key

    async def test_a_key_of_another_master_key(self) -> None:
        replica = Replica()
        issued = await replica.create()
        other = replica.another(OTHER_MASTER)
        assert not await other.accepts(issued)
        assert await other.known.get(issued.key.id) is None
        assert await replica.another().accepts(issued)


class TestUses:
    async def test_the_use_of_a_key_is_recorded(self) -> None:
        replica = Replica()
        issued, unused = await replica.create(), await replica.create()
        await replica.record_use()
        await replica.accepts(issued)
        replica.clock.passed = MINUTE
        await replica.record_use()
        assert (await replica.keys.find(EVERYTHING, issued.key.id)).used_at == START + MINUTE
        assert (await replica.keys.find(EVERYTHING, unused.key.id)).used_at is None

    async def test_a_use_is_recorded_once_in_ten_minutes(self) -> None:
        """A key that is used each second, on a server that records every half minute."""
        replica, recorded = Replica(), list[datetime | None]()
        issued = await replica.create()
        for second in range(25 * 60):
            replica.clock.passed = second * SECOND
            assert await replica.accepts(issued)
            if second % 30 == 29:
                await replica.record_use()
                await replica.accepts(issued)
                used_at = (await replica.keys.find(EVERYTHING, issued.key.id)).used_at
                assert used_at is not None
                assert replica.clock.now() - used_at <= USE_INTERVAL + MINUTE
                if used_at not in recorded:
                    recorded.append(used_at)
        assert len(recorded) == 3

    async def test_a_use_that_was_recorded_by_another_replica(self) -> None:
        replica = Replica()
        other = replica.another()
        issued = await replica.create()
        await other.accepts(issued)
        await other.record_use()
        await replica.accepts(issued)
        assert replica.known.used == set()

    async def test_a_record_that_fails_is_made_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        replica = Replica()
        issued = await replica.create()
        await replica.accepts(issued)

        def fail() -> None:
            raise BlobErrorOfTheTest

        failing = replace(replica.record_use, units=fail)  # type: ignore[arg-type]
        with pytest.raises(BlobErrorOfTheTest):
            await failing()
        await replica.record_use()
        assert (await replica.keys.find(EVERYTHING, issued.key.id)).used_at == START

    async def test_the_use_of_a_revoked_key_is_ignored(self) -> None:
        replica = Replica()
        issued, other = await replica.create(), await replica.create()
        assert [await replica.accepts(each) for each in (issued, other)] == [True, True]
        await replica.keys.revoke(EVERYTHING, issued.key.id)
        await replica.record_use()
        assert [key.used_at for key in await replica.all()] == [START]


class TestSignatures:
    async def test_a_signed_request_has_the_grant_of_its_key(self) -> None:
        replica = Replica()
        issued = await replica.create(["films/"])
        signer = await replica.signatures.signer(issued.key.grant(), Action.READ, ID, MINUTE)
        assert (signer.key_id, signer.expires_at) == (issued.key.id, (START + MINUTE).replace(microsecond=0))
        assert "secret" not in repr(signer)
        signature = signer.sign(MESSAGE)
        assert re.fullmatch("[0-9a-f]{64}", signature)
        other = replica.another()
        for each in (replica, other):
            found = await each.signatures.verify(signer.key_id, MESSAGE, signature, signer.expires_at)
            assert found == replace(issued.key.grant(), expires_at=signer.expires_at, via="signature")
            assert each.known.used == {issued.key.id}

    async def test_a_token_of_the_settings_signs(self) -> None:
        replica = Replica(tokens={hashed("token"): EVERYTHING})
        grant = await replica.authenticate(b"token")
        assert grant is not None
        signer = await replica.signatures.signer(grant, Action.DELETE, "films/", LONGEST)
        verified = await replica.signatures.verify(signer.key_id, MESSAGE, signer.sign(MESSAGE), signer.expires_at)
        assert verified == replace(grant, expires_at=signer.expires_at, via="signature")
        for other in (
            Replica(),
            Replica(tokens={hashed("another"): EVERYTHING}),
            Replica(master=OTHER_MASTER, tokens={hashed("token"): EVERYTHING}),
        ):
            found = await other.signatures.verify(signer.key_id, MESSAGE, signer.sign(MESSAGE), signer.expires_at)
            assert found is None, "the token was removed, or the master key replaced"
        assert replica.known.used == set()

    async def test_without_a_master_key_nothing_is_signed(self) -> None:
        replica = Replica(master=None, tokens={hashed("token"): EVERYTHING})
        grant = await replica.authenticate(b"token")
        assert grant == EVERYTHING
        with pytest.raises(NoMasterKey):
            await replica.signatures.signer(grant, Action.READ, ID, MINUTE)

    @pytest.mark.parametrize(
        ("action", "blobs"),
        [
            (Action.WRITE, ID),
            (Action.DELETE, "films/"),
            (Action.READ, BlobId("music/a")),
            (Action.READ, BlobId("films")),
            (Action.READ, "film"),
            (Action.READ, ""),
        ],
    )
    async def test_a_signature_is_not_stronger_than_its_key(self, action: Action, blobs: BlobId | str) -> None:
        replica = Replica()
        issued = await replica.create(["films/"])
        with pytest.raises(NotGranted):
            await replica.signatures.signer(issued.key.grant(), action, blobs, MINUTE)
        await replica.signatures.signer(issued.key.grant(), Action.READ, "films/", MINUTE)

    @pytest.mark.parametrize("lifetime", [-DAY, timedelta(0), SECOND - MICROSECOND, LONGEST + MICROSECOND])
    async def test_a_lifetime_that_is_too_short_or_too_long(self, lifetime: timedelta) -> None:
        replica = Replica()
        issued = await replica.create()
        with pytest.raises(InvalidExpiry, match="1 to 604800 seconds"):
            await replica.signatures.signer(issued.key.grant(), Action.READ, ID, lifetime)

    @pytest.mark.parametrize("lifetime", [SECOND, LONGEST])
    async def test_a_signature_ends_in_time(self, lifetime: timedelta) -> None:
        replica = Replica()
        issued = await replica.create()
        signer = await replica.signatures.signer(issued.key.grant(), Action.READ, ID, lifetime)
        end = signer.expires_at - START
        for passed, is_valid in ((timedelta(0), True), (end - MICROSECOND, True), (end, False), (end + DAY, False)):
            replica.clock.passed = passed
            assert (await verified(replica, signer) is not None) == is_valid

    @pytest.mark.parametrize(("ahead", "is_valid"), [(LONGEST + SKEW, True), (LONGEST + SKEW + MICROSECOND, False)])
    async def test_a_signature_of_the_far_future(self, ahead: timedelta, is_valid: bool) -> None:
        replica = Replica()
        issued = await replica.create()
        signer = Signer(issued.key.id, START + ahead, signing_secret(issued.secret))
        assert (await verified(replica, signer) is not None) == is_valid

    async def test_what_was_not_signed(self) -> None:
        replica = Replica()
        issued, other = await replica.create(), await replica.create()
        signer = await replica.signatures.signer(issued.key.grant(), Action.READ, ID, MINUTE)
        signature, until = signer.sign(MESSAGE), signer.expires_at
        verify = replica.signatures.verify
        changed = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        for key_id, message, wrong in (
            (signer.key_id, MESSAGE + b" ", signature),
            (signer.key_id, b"", signature),
            (signer.key_id, MESSAGE, changed),
            (signer.key_id, MESSAGE, signature.upper()),
            (signer.key_id, MESSAGE, signature[:-1]),
            (signer.key_id, MESSAGE, ""),
            (other.key.id, MESSAGE, signature),
            ("a" * 16, MESSAGE, signature),
            ("", MESSAGE, signature),
        ):
            assert await verify(key_id, message, wrong, until) is None
        assert replica.known.used == set()
        assert await verify(signer.key_id, MESSAGE, signature, until) is not None

    async def test_the_bearer_secret_does_not_sign(self) -> None:
        replica = Replica()
        issued = await replica.create()
        signer = Signer(issued.key.id, START + MINUTE, issued.secret.encode())
        assert await verified(replica, signer) is None

    async def test_a_signature_ends_with_its_key(self) -> None:
        replica = Replica()
        issued = await replica.create()
        signer = await replica.signatures.signer(issued.key.grant(), Action.READ, ID, DAY)
        other = replica.another()
        assert [await verified(each, signer) is not None for each in (replica, other)] == [True, True]
        await replica.keys.revoke(EVERYTHING, issued.key.id)
        assert [await verified(each, signer) is not None for each in (replica, other)] == [False, True]
        replica.clock.passed = KNOWN_FOR
        assert [await verified(each, signer) is not None for each in (replica, other)] == [False, False]

    async def test_a_signature_does_not_outlive_its_key(self) -> None:
        replica, end = Replica(), START + MINUTE
        issued = await replica.create(expires_at=end)
        signer = await replica.signatures.signer(issued.key.grant(), Action.READ, ID, DAY)
        assert signer.expires_at == end.replace(microsecond=0)
        longer = Signer(issued.key.id, START + DAY, signing_secret(issued.secret))
        found = await verified(replica, longer)
        assert found is not None
        assert found.expires_at == end
        replica.clock.passed = MINUTE
        assert await verified(replica, longer) is None

    async def test_a_signature_of_a_former_secret(self) -> None:
        replica = Replica()
        other = replica.another()
        issued = await replica.create()
        old = await replica.signatures.signer(issued.key.grant(), Action.READ, ID, DAY)
        assert await verified(other, old) is not None
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        new = await replica.signatures.signer(rotated.key.grant(), Action.READ, ID, DAY)
        assert old.sign(MESSAGE) != new.sign(MESSAGE)
        assert [await verified(other, each) is not None for each in (new, old)] == [True, True]
        replica.clock.passed = MINUTE
        assert [await verified(other, each) is not None for each in (new, old)] == [True, False]

    @pytest.mark.parametrize(
        ("action", "prefix", "is_granted"),
        [
            (Action.READ, "films/a", True),
            (Action.READ, "films/", True),
            (Action.WRITE, "films/a", False),
            (Action.READ, "films", False),
            (Action.READ, "", False),
            (Action.READ, "music/a", False),
        ],
    )
    def test_a_narrowed_grant(self, action: Action, prefix: str, is_granted: bool) -> None:
        grant = Grant(READ | {Action.LIST}, ("music/b", "films/"), START, "key")
        conditions = Conditions(max_bytes=1)
        found = narrowed(grant, action, prefix, conditions)
        assert (found.expires_at, found.key_id, found.conditions) == (START, "key", conditions)
        assert narrowed(grant, action, prefix, UNCONDITIONAL).conditions is UNCONDITIONAL
        assert found.includes(action, prefix, START - SECOND) == is_granted
        for other in {*Action} - {action}:
            assert not found.includes(other, prefix, START - SECOND)
        assert not found.includes(action, prefix[:-1], START - SECOND)
        assert not found.includes(action, prefix, START)


async def verified(replica: Replica, signer: Signer) -> Grant | None:
    return await replica.signatures.verify(signer.key_id, MESSAGE, signer.sign(MESSAGE), signer.expires_at)


SECRET_NAME = re.compile("secret|signature|token|digest", re.IGNORECASE)
UNSAFE = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)


def unsafe_comparisons(source: str) -> Iterator[str]:
    """Yield the comparisons of secrets whose duration depends on the secret."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(operator, UNSAFE) for operator in node.ops):
            names = [getattr(each, "id", None) or getattr(each, "attr", None) for each in ast.walk(node)]
            if any(SECRET_NAME.search(name) for name in names if name):
                yield ast.unparse(node)
        if isinstance(node, ast.Match) and SECRET_NAME.search(ast.unparse(node.subject)):
            yield ast.unparse(node.subject)


MODULES = sorted(Path(application.access.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_each_comparison_of_a_secret_takes_constant_time(module: Path) -> None:
    assert [*unsafe_comparisons(module.read_text())] == []


def test_secrets_of_keys_are_compared_in_constant_time() -> None:
    [source] = [module.read_text() for module in MODULES if module.stem == "authenticate"]
    assert source.count("hmac.compare_digest(") == 3


@pytest.mark.parametrize(
    "planted",
    [
        "secret == each",
        "each != self.secret",
        "token in self._tokens",
        "key.secret(1) == each",
        "hmac.digest(a, b, 'sha256').hex() == each",
        "a < b == signature[1:]",
        "x = [each for each in found if each.signing_secret not in known]",
        "match token:\n    case b'a': pass",
    ],
)
def test_an_unsafe_comparison_is_found(planted: str) -> None:
    assert [*unsafe_comparisons(planted)]


@pytest.mark.parametrize(
    "safe", ["secret is None", "hmac.compare_digest(secret, each)", "key.id == each", "len(a) < 3"]
)
def test_a_safe_comparison_is_not_reported(safe: str) -> None:
    assert [*unsafe_comparisons(safe)] == []
