"""URLs of uploads, signed by the server for clients without a token."""

import random
from datetime import timedelta

import pytest

from adapters.storage.memory import MemoryBlobStore
from application.access.shares import NewShare
from application.access.sign import LONGEST
from application.blobs.multipart.uploads import MultipartUploads, NewUpload
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING, Action, Grant
from domain.blob import BlobId, ObjectKey
from entrypoints.http.protocol.urls.upload_urls import METHODS, location
from tests.unit.test_signed_urls import Door, altered

ALTERED = 3000
Request = tuple[str, bytes, bytes]


class UploadDoor(Door):
    """The authentication, and uploads in memory."""

    async def begin(self, blob_id: str = "films/a") -> str:
        """Begin an upload, and return its path."""
        stores = Stores("memory", {"memory": MemoryBlobStore()})
        uploads = MultipartUploads(Uploads(self.metadata, stores), self.metadata.multipart, ObjectKey.random, 100)
        return f"/v1/uploads/{(await uploads.begin(EVERYTHING, NewUpload(BlobId(blob_id)))).key}"

    async def signed(self, grant: Grant, blob_id: str = "films/a") -> Request:
        """Return a request to an upload that was begun with a grant."""
        url = location(await self.begin(blob_id), grant, await self.rights.signer(grant))
        path, _, query = url.partition("?")
        return "PATCH", path.encode(), query.encode()

    async def by_link(self, grant: Grant) -> tuple[str, Grant]:
        """Create a link for uploads, and return its id, and what it allows."""
        link = await self.shares.create(grant, NewShare("films/", timedelta(days=30)))
        _, opened = await self.shares.open(link.token, None)
        return link.share.id, opened


@pytest.fixture
def door() -> UploadDoor:
    return UploadDoor()


async def by_signature(door: UploadDoor, lifetime: timedelta = timedelta(hours=1)) -> Grant:
    """Return the grant of a request by a signed URL of a key for `films/`."""
    key = await door.key(Action.WRITE, Action.READ, Action.DELETE, prefixes=("films/",), lifetime=timedelta(days=90))
    granted = await door.grant(*await door.url(key, "PUT", BlobId("films/a"), lifetime))
    assert granted is not None
    return granted


async def test_no_altered_url_is_accepted(door: UploadDoor) -> None:
    grant = await by_signature(door)
    _, opened = await door.by_link(await door.key(Action.WRITE, prefixes=("films/",)))
    signed = [await door.signed(grant), await door.signed(grant), await door.signed(opened)]
    for _, path, query in signed:
        for method in METHODS:
            assert await door.grant(method, path, query) is not None
    chance = random.Random(18)  # noqa: S311 - of a test
    for _ in range(ALTERED):
        request = chance.choice(signed)
        method, path, query = altered(chance, request)
        if chance.random() < 0.1:  # the query of another upload
            query = chance.choice(signed)[2]
        if (path, query) != request[1:]:
            assert await door.grant(method, path, query) is None, (method, path, query)
        elif method not in METHODS:
            assert await door.grant(method, path, query) is None, method


async def test_it_grants_to_write_the_blob_of_the_upload_only(door: UploadDoor) -> None:
    granted = await door.grant(*await door.signed(await by_signature(door)))
    assert granted is not None
    assert (granted.actions, granted.prefixes, granted.via) == ({Action.WRITE}, ("films/a",), "signature")
    share_id, opened = await door.by_link(await door.key(Action.WRITE, prefixes=("films/",)))
    by_link = await door.grant(*await door.signed(opened, "films/in"))
    assert by_link is not None
    assert (by_link.actions, by_link.prefixes, by_link.via) == ({Action.WRITE}, ("films/in",), share_id)


async def test_it_is_not_stronger_than_its_key_is_now(door: UploadDoor) -> None:
    granted = await door.grant(*await door.signed(await by_signature(door), "music/a"))
    assert granted is not None
    assert granted.prefixes == ()
    reader = await door.key(Action.READ)
    forged = Grant(frozenset(Action), key_id=reader.key_id, via="signature")
    granted = await door.grant(*await door.signed(forged))
    assert granted is not None
    assert granted.actions == set()


async def test_a_key_or_a_token_needs_no_signature(door: UploadDoor) -> None:
    key = await door.key(Action.WRITE)
    path = await door.begin()
    assert location(path, key, await door.rights.signer(key)) == path


async def test_it_ends_with_what_it_is_from(door: UploadDoor) -> None:
    grant = await by_signature(door)
    request = await door.signed(grant)
    door.time += timedelta(minutes=59, seconds=59)
    assert await door.grant(*request) is not None
    door.time += timedelta(seconds=1)
    assert await door.grant(*request) is None
    other = await door.signed(await by_signature(door, LONGEST))
    assert await door.grant(*other) is not None
    share_id, opened = await door.by_link(key := await door.key(Action.WRITE))
    first, second = await door.signed(opened), await door.signed(opened)
    assert (await door.grant(*first) or EVERYTHING).expires_at == door.time + LONGEST
    await door.shares.revoke(EVERYTHING, share_id)
    assert await door.grant(*first) is None
    share_id, opened = await door.by_link(key)
    second = await door.signed(opened)
    assert await door.grant(*second) is not None
    await door.keys.revoke(EVERYTHING, key.key_id)
    assert await door.grant(*second) is None


async def test_it_ends_with_the_secret_that_it_is_from(door: UploadDoor) -> None:
    """Also if it is begun after the rotation, by a URL of the former secret."""
    key = await door.key(Action.WRITE, prefixes=("films/",))
    url = await door.url(key, "PUT", BlobId("films/a"), LONGEST)
    await door.keys.rotate(EVERYTHING, key.key_id, timedelta(hours=1))
    granted = await door.grant(*url)
    assert granted is not None
    former = await door.signed(granted)
    _, opened = await door.by_link(key)
    by_link = await door.signed(opened)
    door.time += timedelta(minutes=59)
    assert [await door.grant(*each) is not None for each in (former, by_link)] == [True, True]
    door.time += timedelta(minutes=1)
    assert [await door.grant(*each) is not None for each in (former, by_link)] == [False, True]


async def test_a_link_of_another_key_or_for_downloads_vouches_for_nothing(door: UploadDoor) -> None:
    key, other = await door.key(Action.WRITE, Action.READ), await door.key(Action.WRITE)
    foreign, _ = await door.by_link(other)
    download = (await door.shares.create(key, NewShare(BlobId("films/a"), timedelta(days=1)))).share.id
    own, _ = await door.by_link(key)
    for share_id, is_accepted in ((own, True), (foreign, False), (download, False), ("a" * 16, False)):
        claimed = Grant({Action.WRITE}, key_id=key.key_id, via=share_id)
        assert (await door.grant(*await door.signed(claimed)) is not None) == is_accepted


async def test_a_token_next_to_it_is_refused(door: UploadDoor) -> None:
    request = await door.signed(await by_signature(door))
    assert await door.grant(*request, (b"authorization", b"Bearer a")) is None
