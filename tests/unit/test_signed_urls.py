"""Signed URLs: 100,000 altered ones, none of which is accepted."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from application.access.authenticate import Authenticate, KnownKeys
from application.access.keys import Keys, NewKey
from application.access.master_key import MasterKey
from application.access.passwords import Passwords
from application.access.rates import RequestRates
from application.access.sessions import Sessions
from application.access.shares import Shares
from application.access.sign import LONGEST, SKEW, Signatures
from application.access.upload_rights import UploadRights
from application.uploads.committer import Committer
from domain.access import EVERYTHING, Action, Conditions, Grant
from domain.blob import BlobId, ObjectKey
from domain.errors import InvalidId, NotGranted
from entrypoints.http.middleware.routes.authentication import AuthenticationMiddleware
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.signed_urls import NAME, parameters_of, unsigned_url
from tests.asgi import Unslowed

ALTERED = 100_000
METHODS = ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"]


class Door:
    """The authentication, with a key in memory, and a clock that the test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        metadata, master = MemoryMetadata(), MasterKey(b"m" * 32)
        known = KnownKeys(metadata.keys, master, now=self.now)
        self.metadata = metadata
        self.keys = Keys(Committer(metadata, ObjectKey.random), metadata.keys, master, known.forget, self.now)
        authenticate = Authenticate({}, known, master, self.now)
        self.signatures = Signatures(authenticate, self.now)
        committer = Committer(metadata, ObjectKey.random)
        self.shares = Shares(committer, metadata.shares, master, authenticate, Passwords(), now=self.now)
        self.rights = UploadRights(self.signatures, self.shares, metadata.multipart)
        sessions = Sessions(authenticate, metadata.keys, self.now)
        parts = (authenticate, self.signatures, self.rights, sessions, RequestRates(), Unslowed())
        self._middleware = AuthenticationMiddleware(lambda *_: None, *parts)  # type: ignore[arg-type]

    def now(self) -> datetime:
        return self.time

    async def key(self, *actions: Action, prefixes: tuple[str, ...] = (), lifetime: timedelta | None = None) -> Grant:
        ends = None if lifetime is None else self.time + lifetime
        issued = await self.keys.create(EVERYTHING, NewKey("test", frozenset(actions), prefixes, ends))
        return issued.key.grant()

    async def url(
        self,
        grant: Grant,
        method: str,
        blobs: BlobId | str,
        lifetime: timedelta = timedelta(hours=1),
        conditions: Conditions = Conditions(),  # noqa: B008 - it is frozen
    ) -> tuple[str, bytes, bytes]:
        """Return method, path and query of a signed URL."""
        actions = {"GET": Action.READ, "HEAD": Action.READ, "PUT": Action.WRITE, "DELETE": Action.DELETE}
        signer = await self.signatures.signer(grant, actions[method], blobs, lifetime)
        parameters = {"alt": "media"} if method == "GET" else parameters_of(conditions)
        unsigned = unsigned_url(method, blobs, parameters, signer.key_id, signer.expires_at)
        path, _, query = unsigned.signed(signer.sign(unsigned.message)).partition("?")
        return method, path.encode(), query.encode()

    async def grant(self, method: str, path: bytes, query: bytes, *headers: tuple[bytes, bytes]) -> Grant | None:
        """Return the grant of a request; None if it is refused."""
        scope: Any = {"method": method, "raw_path": path, "query_string": query, "headers": [*headers]}
        try:
            await self._middleware.enter(scope)
        except (HttpProblem, InvalidId):
            return None
        granted: Grant = scope["auth"]
        return granted


@pytest.fixture
def door() -> Door:
    return Door()


def altered(chance: random.Random, request: tuple[str, bytes, bytes]) -> tuple[str, bytes, bytes]:
    """Change a byte, remove or insert some, move, repeat or drop a parameter, or use another method."""
    method, path, query = request
    kind = chance.randrange(8)
    if kind == 0:
        return chance.choice([each for each in METHODS if each != method]), path, query
    if kind == 1:
        return method, _changed(chance, path), query
    if kind == 2:
        parts = query.split(b"&")
        chance.shuffle(parts)
        return method, path, b"&".join(parts)
    if kind == 3:
        parts = query.split(b"&")
        parts.insert(chance.randrange(len(parts) + 1), chance.choice([*parts, b"alt=json", b"create_only=false", b""]))
        return method, path, b"&".join(parts)
    if kind == 4:
        parts = query.split(b"&")
        del parts[chance.randrange(len(parts))]
        return method, path, b"&".join(parts)
    if kind == 5:
        return method, path, query.replace(b"expires=", b"expires=1" if chance.random() < 0.5 else b"expires=0")
    return method, path, _changed(chance, query)


def _changed(chance: random.Random, text: bytes) -> bytes:
    position = chance.randrange(len(text))
    replaced = chance.choice([b"", bytes([chance.randrange(33, 127)]), b"%%%02X" % text[position]])
    return text[:position] + replaced + text[position + 1 :]


async def test_no_altered_url_is_accepted(door: Door) -> None:
    grant = await door.key(*Action, lifetime=timedelta(days=90))
    conditions = Conditions(1000, "text/plain", None, create_only=True)
    signed = [
        await door.url(grant, "GET", BlobId("films/a b.mp4")),
        await door.url(grant, "DELETE", BlobId("films/ü")),
        await door.url(grant, "PUT", BlobId("films/a"), conditions=conditions),
        await door.url(grant, "PUT", "films/", conditions=conditions),
    ]
    for request in signed:
        assert await door.grant(*request) is not None
    chance = random.Random(17)  # noqa: S311 - of a test
    tried = 0
    while tried < ALTERED:
        request = chance.choice(signed)
        other = altered(chance, request)
        if other == request:
            continue
        tried += 1
        granted = await door.grant(*other)
        # A URL for a prefix takes other paths below it: that is its purpose.
        is_below = request == signed[3] and other[1].startswith(b"/v1/blobs/films%2F") and other[::2] == request[::2]
        assert granted is None or is_below, other


async def test_it_grants_what_it_was_signed_for(door: Door) -> None:
    grant = await door.key(Action.READ, Action.WRITE, prefixes=("films/",))
    read = await door.grant(*await door.url(grant, "GET", BlobId("films/a")))
    assert read is not None
    assert (read.actions, read.prefixes, read.key_id) == ({Action.READ}, ("films/a",), grant.key_id)
    assert read.expires_at == door.time + timedelta(hours=1)
    conditions = Conditions(5, "text/plain", None, create_only=True)
    method, path, query = await door.url(grant, "PUT", "films/in/", conditions=conditions)
    below = await door.grant(method, path.replace(NAME.encode(), b"b"), query)
    assert below is not None
    assert (below.actions, below.prefixes, below.conditions) == ({Action.WRITE}, ("films/in/",), conditions)
    assert await door.grant(method, b"/v1/blobs/films%2Fa", query) is None


async def test_it_ends_at_its_time_and_with_its_key(door: Door) -> None:
    grant = await door.key(Action.READ, lifetime=timedelta(days=2))
    request = await door.url(grant, "GET", BlobId("a"))
    door.time += timedelta(minutes=59, seconds=59)
    assert await door.grant(*request) is not None
    door.time += timedelta(seconds=1)
    assert await door.grant(*request) is None
    longest = await door.url(grant, "GET", BlobId("a"), LONGEST)
    assert (await door.grant(*longest) or EVERYTHING).expires_at == datetime(2026, 1, 3, tzinfo=UTC)
    await door.keys.revoke(EVERYTHING, grant.key_id)
    assert await door.grant(*longest) is None


async def test_a_rotated_key_still_vouches_for_the_overlap(door: Door) -> None:
    grant = await door.key(Action.READ)
    request = await door.url(grant, "GET", BlobId("a"), timedelta(days=1))
    await door.keys.rotate(EVERYTHING, grant.key_id, timedelta(hours=1))
    assert await door.grant(*request) is not None
    assert await door.grant(*await door.url(grant, "GET", BlobId("a"))) is not None
    door.time += timedelta(hours=1)
    assert await door.grant(*request) is None


async def test_a_former_secret_gets_no_url_that_outlives_it(door: Door) -> None:
    issued = await door.keys.create(EVERYTHING, NewKey("test", frozenset({Action.READ})))
    rotated = await door.keys.rotate(EVERYTHING, issued.key.id, timedelta(hours=1))
    former, newest = [await door.signatures.authenticate(each.token.encode()) for each in (issued, rotated)]
    assert former is not None
    assert newest is not None
    assert former.expires_at is newest.expires_at is None, "other rights do not end with the secret"
    signer = await door.signatures.signer(former, Action.READ, BlobId("a"), LONGEST)
    assert signer.expires_at == door.time + timedelta(hours=1)
    short, long = [await door.url(grant, "GET", BlobId("a"), LONGEST) for grant in (former, newest)]
    door.time += timedelta(minutes=59)
    assert [await door.grant(*each) is not None for each in (short, long)] == [True, True]
    await door.keys.rotate(EVERYTHING, issued.key.id, timedelta(hours=1))
    assert [await door.grant(*each) is not None for each in (short, long)] == [False, True], "it ends sooner with it"
    door.time += timedelta(hours=1)
    assert await door.grant(*long) is None


async def test_a_secret_that_ends_during_a_request_signs_nothing(door: Door) -> None:
    grant = await door.key(Action.READ)
    await door.keys.rotate(EVERYTHING, grant.key_id, timedelta(hours=1))
    signer = await door.signatures.signer(grant, Action.READ, BlobId("a"), LONGEST)
    assert signer.expires_at == door.time + timedelta(hours=1)
    await door.keys.rotate(EVERYTHING, grant.key_id, timedelta(hours=1))
    with pytest.raises(NotGranted):
        await door.signatures.signer(grant, Action.READ, BlobId("a"), LONGEST)


async def test_a_clock_that_is_behind_accepts_nothing_beyond_seven_days(door: Door) -> None:
    grant = await door.key(Action.READ)
    request = await door.url(grant, "GET", BlobId("a"), LONGEST)
    door.time -= SKEW
    assert await door.grant(*request) is not None
    door.time -= timedelta(seconds=1)
    assert await door.grant(*request) is None


async def test_it_is_not_stronger_than_its_key_is_now(door: Door) -> None:
    """Anybody who has the secret of a key could sign for what the key does not allow."""
    stronger = await door.key(Action.READ, prefixes=("films/",))
    forged = Grant(frozenset(Action), key_id=stronger.key_id)
    request = await door.url(forged, "DELETE", BlobId("music/a"))
    granted = await door.grant(*request)
    assert granted is not None
    assert (granted.actions, granted.prefixes) == (set(), ())
