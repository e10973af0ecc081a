"""The block of public access to a bucket, and what else answers those who have no right to one."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.http.s3_client import code_of, key_pair, refused, s3_client
from tests.http.server import Server

NUMBERS = itertools.count()
DENIED = (403, "AccessDenied")
OPENING = ("public-read", "public-read-write", "authenticated-read")
NONE = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with access control lists."""
    with Server(tmp_path_factory.mktemp("server"), S3_API_ACLS="true", S3_API="only") as server:
        yield server


@pytest.fixture(scope="module")
def pair(open_server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return _pair(open_server)


def _pair(server: Server, *prefixes: str) -> tuple[str, str]:
    """Return a key of a server that has no other interface than that for S3."""
    rest = Server(server.folder)
    with rest:
        return key_pair(rest, **({"prefixes": [*prefixes]} if prefixes else {}))


@pytest.fixture(scope="module")
def s3(open_server: Server, pair: tuple[str, str]) -> Any:
    return s3_client(open_server, pair)


@pytest.fixture(scope="module")
def stranger(open_server: Server) -> Any:
    """A client with a valid key that has no right to any of the buckets here."""
    return s3_client(open_server, _pair(open_server, "elsewhere/"))


@pytest.fixture
def anybody(open_server: Server) -> Iterator[httpx.Client]:
    with open_server.anybody() as client:
        yield client


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"blocked-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name)
    return name


def failure(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return refused(raised.value)


def block(s3: Any, bucket: str, **parts: bool) -> None:
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=parts)


def sending(s3: Any, body: bytes) -> Callable[..., Any]:
    """Return a function that puts a block with another body than that of botocore."""

    def change(params: dict[str, Any], **_: Any) -> None:
        params["body"] = body
        params["headers"] = {name: value for name, value in params["headers"].items() if "checksum" not in name.lower()}

    def send(bucket: str) -> None:
        name = "before-call.s3.PutPublicAccessBlock"
        s3.meta.events.register(name, change)
        try:
            block(s3, bucket, BlockPublicAcls=True)
        finally:
            s3.meta.events.unregister(name, change)

    return send


def shown(s3: Any, bucket: str) -> dict[str, bool]:
    found: dict[str, bool] = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    return found


def test_a_block_is_kept_as_a_whole(s3: Any, bucket: str) -> None:
    missing = (404, "NoSuchPublicAccessBlockConfiguration")
    assert failure(s3.get_public_access_block, Bucket=bucket) == missing
    block(s3, bucket, BlockPublicAcls=True, RestrictPublicBuckets=True)
    assert shown(s3, bucket) == {**NONE, "BlockPublicAcls": True, "RestrictPublicBuckets": True}
    block(s3, bucket, IgnorePublicAcls=True, BlockPublicPolicy=True)
    assert shown(s3, bucket) == {**NONE, "IgnorePublicAcls": True, "BlockPublicPolicy": True}
    block(s3, bucket, **NONE)
    assert shown(s3, bucket) == NONE
    for _ in range(2):
        assert s3.delete_public_access_block(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert failure(s3.get_public_access_block, Bucket=bucket) == missing
    for body in (
        b"",
        b"<PublicAccessBlockConfiguration><BlockPublicAcls>x</BlockPublicAcls></PublicAccessBlockConfiguration>",
    ):
        assert failure(sending(s3, body), bucket=bucket)[0] == 400, body
    assert failure(s3.get_public_access_block, Bucket="no-such-bucket") == (404, "NoSuchBucket")


@pytest.mark.parametrize("acl", OPENING)
def test_no_list_opens_what_is_blocked(s3: Any, bucket: str, anybody: httpx.Client, acl: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"data")
    block(s3, bucket, BlockPublicAcls=True)
    assert failure(s3.put_bucket_acl, Bucket=bucket, ACL=acl) == DENIED
    assert failure(s3.put_object_acl, Bucket=bucket, Key="a", ACL=acl) == DENIED
    assert failure(s3.put_object, Bucket=bucket, Key="b", Body=b"data", ACL=acl) == DENIED
    source = {"Bucket": bucket, "Key": "a"}
    assert failure(s3.copy_object, Bucket=bucket, Key="b", CopySource=source, ACL=acl) == DENIED
    assert failure(s3.create_multipart_upload, Bucket=bucket, Key="b", ACL=acl) == DENIED
    post = s3.generate_presigned_post(bucket, "b", Fields={"acl": acl}, Conditions=[{"acl": acl}])
    assert code_of(anybody.post(post["url"], data=post["fields"], files={"file": b"x"})) == DENIED
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    for private in ("private", "bucket-owner-read"):
        s3.put_object_acl(Bucket=bucket, Key="a", ACL=private)
        s3.put_object(Bucket=bucket, Key="b", Body=b"data", ACL=private)
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_object_acl(Bucket=bucket, Key="a", ACL=acl)


def test_lists_that_are_ignored_give_no_right(s3: Any, bucket: str, stranger: Any, anybody: httpx.Client) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    s3.put_object(Bucket=bucket, Key="a", Body=b"data", ACL="public-read")
    assert anybody.get(f"/{bucket}/a").content == b"data"
    assert stranger.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    block(s3, bucket, IgnorePublicAcls=True)
    for path in (f"/{bucket}/a", f"/{bucket}"):
        assert code_of(anybody.get(path)) == DENIED
    assert code_of(anybody.put(f"/{bucket}/b", content=b"")) == DENIED
    assert failure(stranger.list_objects_v2, Bucket=bucket) == DENIED
    assert failure(stranger.get_object, Bucket=bucket, Key="a") == DENIED
    assert failure(stranger.put_object, Bucket=bucket, Key="b", Body=b"") == DENIED
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"data"
    block(s3, bucket, BlockPublicAcls=True)  # those that are there count again
    assert anybody.get(f"/{bucket}/a").content == b"data"


@pytest.mark.parametrize("name", ["all-blobs", "some-blobs"])
def test_a_block_holds_under_every_name_of_the_objects(tmp_path: Path, name: str) -> None:
    with (
        Server(tmp_path, S3_API_ACLS="true", S3_API_BUCKETS="all-blobs=, some-blobs=shu") as server,
        server.anybody() as anybody,
    ):
        s3 = s3_client(server)
        s3.create_bucket(Bucket="shut")
        s3.put_object(Bucket="shut", Key="a", Body=b"open", ACL="public-read")
        key = "shut/a" if name == "all-blobs" else "t/a"
        assert anybody.get(f"/{name}/{key}").content == b"open"
        block(s3, "shut", BlockPublicAcls=True)
        other = {"Bucket": name, "Key": f"{key}2"}
        s3.put_object(**other, Body=b"data")
        assert failure(s3.put_object_acl, **other, ACL="public-read") == DENIED
        assert failure(s3.put_object, **other, Body=b"data", ACL="public-read") == DENIED
        source = {"Bucket": "shut", "Key": "a"}
        assert failure(s3.copy_object, **other, CopySource=source, ACL="public-read") == DENIED
        assert failure(s3.create_multipart_upload, **other, ACL="public-read") == DENIED
        post = s3.generate_presigned_post(
            name, f"{key}2", Fields={"acl": "public-read"}, Conditions=[["starts-with", "$acl", ""]]
        )
        assert code_of(anybody.post(post["url"], data=post["fields"], files={"file": b"x"})) == DENIED
        assert anybody.get(f"/{name}/{key}").content == b"open"
        block(s3, "shut", IgnorePublicAcls=True)
        stranger = s3_client(server, key_pair(server, prefixes=["elsewhere/"]))
        assert code_of(anybody.get(f"/{name}/{key}")) == DENIED
        assert anybody.head(f"/{name}/{key}").status_code == 403
        assert failure(stranger.get_object, Bucket=name, Key=key) == DENIED
        s3.delete_public_access_block(Bucket="shut")
        assert stranger.get_object(Bucket=name, Key=key)["Body"].read() == b"open"


def test_a_stranger_changes_no_block(s3: Any, bucket: str, stranger: Any, anybody: httpx.Client) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    block(s3, bucket, BlockPublicAcls=True)
    assert failure(stranger.delete_public_access_block, Bucket=bucket) == DENIED
    assert failure(block, s3=stranger, bucket=bucket) == DENIED
    assert code_of(anybody.delete(f"/{bucket}?publicAccessBlock")) == DENIED
    assert shown(s3, bucket)["BlockPublicAcls"]


def test_requests_without_a_credential_list_no_buckets(s3: Any, bucket: str, anybody: httpx.Client) -> None:
    response = anybody.get("/")
    assert response.status_code == 200
    assert "<Name>" not in response.text
    assert bucket in {each["Name"] for each in s3.list_buckets()["Buckets"]}


def test_the_name_of_a_bucket_of_others_is_taken(s3: Any, bucket: str, stranger: Any) -> None:
    assert failure(stranger.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")
    assert failure(stranger.create_bucket, Bucket=f"{bucket}-x") == DENIED


def test_without_lists_the_names_of_buckets_are_a_secret(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        s3_client(server).create_bucket(Bucket="films")
        stranger = s3_client(server, key_pair(server, prefixes=["elsewhere/"]))
        assert failure(stranger.create_bucket, Bucket="films") == DENIED
        assert failure(stranger.create_bucket, Bucket="songs") == DENIED


def test_no_bucket_has_object_locks(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"data")
    until = {"Mode": "GOVERNANCE", "RetainUntilDate": "2030-01-01T00:00:00Z"}
    refusal, a = (400, "InvalidRequest"), {"Bucket": bucket, "Key": "a"}
    assert failure(s3.get_object_retention, **a) == refusal
    assert failure(s3.put_object_retention, **a, Retention=until) == refusal
    assert failure(s3.get_object_legal_hold, **a) == refusal
    assert failure(s3.put_object_legal_hold, **a, LegalHold={"Status": "ON"}) == refusal
    lock = {"ObjectLockEnabled": "Enabled"}
    state = (409, "InvalidBucketState")
    assert failure(s3.put_object_lock_configuration, Bucket=bucket, ObjectLockConfiguration=lock) == state
    assert failure(s3.get_object_retention, Bucket="no-such-bucket", Key="a") == (404, "NoSuchBucket")


def test_all_replicas_heed_a_change_at_once(open_server: Server, s3: Any, bucket: str, anybody: httpx.Client) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"data", ACL="public-read")
    with Server(open_server.folder, S3_API_ACLS="true", S3_API="only") as other:
        for _ in range(3):
            for acl, listed in (("public-read", 200), ("private", 403)):
                s3.put_bucket_acl(Bucket=bucket, ACL=acl)
                assert httpx.get(f"{other.url}/{bucket}").status_code == listed
            assert httpx.get(f"{other.url}/{bucket}/a").status_code == 200
            block(s3, bucket, IgnorePublicAcls=True)
            assert httpx.get(f"{other.url}/{bucket}/a").status_code == 403
            s3.delete_public_access_block(Bucket=bucket)


def test_all_replicas_keep_shut_what_is_blocked(open_server: Server, s3: Any, pair: tuple[str, str]) -> None:
    with Server(open_server.folder, S3_API_ACLS="true", S3_API="only") as other:
        elsewhere = s3_client(other, pair)
        for number in range(3):
            name = f"shut-{number}"
            elsewhere.create_bucket(Bucket=name)
            elsewhere.put_object(Bucket=name, Key="a", Body=b"data")
            block(s3, name, BlockPublicAcls=True)
            assert failure(elsewhere.put_object, Bucket=name, Key="b", Body=b"data", ACL="public-read") == DENIED
