"""The S3 interface beside the others: addressing, credentials, rights, conditions, and one content for all."""

import base64
import hashlib
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError

from entrypoints.http.s3.bodies.checksums import checksum_of
from tests import markers
from tests.http.s3_client import code_of, key_pair, refused, s3_client
from tests.http.server import Server

NUMBERS = itertools.count()
MIB = 1024 * 1024
LARGE = os.urandom(5 * MIB)


@pytest.fixture
def s3(server: Server) -> Any:
    return s3_client(server)


@pytest.fixture
def bucket(s3: Any) -> str:
    """The name of a new bucket."""
    name = f"bucket-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def anybody(server: Server) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with server.anybody() as client:
        yield client


def failure(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return refused(raised.value)


def body(response: Any) -> bytes:
    data: bytes = response["Body"].read()
    return data


@pytest.mark.parametrize(
    "key", ["a", "/a", "a//b", "../a", "a/./b", "a b+c", "ü 😀", "%41", "a?b#c&d=e", "a/", "x" * 1024, "*'()!~"]
)
def test_keys_are_kept_to_the_byte_and_are_blobs_of_all_interfaces(
    s3: Any, bucket: str, client: httpx.Client, key: str
) -> None:
    etag = s3.put_object(Bucket=bucket, Key=key, Body=b"bytes", ContentType="text/plain", Metadata={"by": "ada"})[
        "ETag"
    ]
    assert etag == f'"{hashlib.md5(b"bytes", usedforsecurity=False).hexdigest()}"'
    fetched = s3.get_object(Bucket=bucket, Key=key)
    assert (body(fetched), fetched["ETag"], fetched["Metadata"]) == (b"bytes", etag, {"by": "ada"})
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    by_rest = client.get(f"/v1/blobs/{quote(f'{bucket}/{key}', safe='')}?alt=media")
    assert (by_rest.status_code, by_rest.content, by_rest.headers["x-meta-by"]) == (200, b"bytes", "ada")
    assert by_rest.headers["etag"] != etag
    s3.delete_object(Bucket=bucket, Key=key)
    assert failure(s3.get_object, Bucket=bucket, Key=key) == (404, "NoSuchKey")


def test_a_blob_of_another_interface_is_an_object_with_a_tag_that_is_no_md5(
    s3: Any, bucket: str, client: httpx.Client
) -> None:
    client.put(f"/v1/blobs/{bucket}%2Fa", content=b"bytes", headers={"X-Meta-By": "ada"})
    fetched = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (body(fetched), fetched["Metadata"]) == (b"bytes", {"by": "ada"})
    assert fetched["ETag"].strip('"').endswith("-1")
    assert s3.get_object(Bucket=bucket, Key="a", IfMatch=fetched["ETag"])["ETag"] == fetched["ETag"]


def test_a_bucket_of_the_settings_has_the_blobs_with_its_prefix(tmp_path: Path) -> None:
    with Server(tmp_path, S3_API_BUCKETS="films=media/films/, all-blobs=") as server, server.client() as client:
        s3 = s3_client(server)
        client.put("/v1/blobs/media%2Ffilms%2Fa", content=b"film")
        assert body(s3.get_object(Bucket="films", Key="a")) == b"film"
        s3.put_object(Bucket="films", Key="b", Body=b"other")
        assert client.get("/v1/blobs/media%2Ffilms%2Fb?alt=media").content == b"other"
        listed = s3.list_objects_v2(Bucket="all-blobs", Delimiter="/")
        assert [each["Prefix"] for each in listed["CommonPrefixes"]] == ["media/"]
        assert {each["Name"] for each in s3.list_buckets()["Buckets"]} == {"films", "all-blobs"}
        assert failure(s3.delete_bucket, Bucket="films") == (403, "AccessDenied")
        assert failure(s3.head_object, Bucket="other", Key="a") == (404, "404")
        assert failure(s3.list_objects_v2, Bucket="other") == (404, "NoSuchBucket")
        assert client.post("/v1/uploads", json={}).status_code == 201  # of no id, and so of no bucket
        begun = s3.create_multipart_upload(Bucket="all-blobs", Key="k")["UploadId"]
        for more in ({}, {"Delimiter": "/"}, {"Prefix": ""}):
            listed = s3.list_multipart_uploads(Bucket="all-blobs", **more)
            assert [(each["Key"], each["UploadId"]) for each in listed["Uploads"]] == [("k", begun)]


def test_a_server_may_have_no_s3_or_nothing_else(tmp_path: Path) -> None:
    with Server(tmp_path, S3_API="off") as server:
        assert failure(s3_client(server).list_buckets)[0] == 404
    with Server(tmp_path, S3_API="only") as server, server.anybody() as anybody:
        assert anybody.get("/health/live").status_code == 200
        assert code_of(anybody.get("/v1/blobs")) == (403, "AccessDenied")
        assert code_of(anybody.get("/")) == (403, "AccessDenied")


def test_virtual_hosts_name_the_bucket(tmp_path: Path) -> None:
    with Server(tmp_path, S3_API_DOMAIN="s3.localhost") as server, server.anybody() as anybody:
        path_style = s3_client(server)
        path_style.create_bucket(Bucket="films")
        path_style.put_object(Bucket="films", Key="v1/a b", Body=b"film")
        url = path_style.generate_presigned_url("get_object", {"Bucket": "films", "Key": "v1/a b"})
        assert anybody.get(url).content == b"film"
        host = {"Host": f"films.s3.localhost:{server.port}"}
        assert code_of(anybody.get("/v1/a%20b", headers=host)) == (403, "AccessDenied")
        virtual = s3_client(server, url=f"http://s3.localhost:{server.port}", style="virtual")
        signed = urlsplit(virtual.generate_presigned_url("get_object", {"Bucket": "films", "Key": "v1/a b"}))
        assert signed.hostname == "films.s3.localhost"
        path = f"{signed.path}?{signed.query}"
        assert anybody.get(path, headers={"Host": signed.netloc}).content == b"film"
        form = virtual.generate_presigned_post(
            "films", "v1/c d", {"success_action_status": "201"}, [["eq", "$success_action_status", "201"]]
        )
        posted = anybody.post("/", data=form["fields"], files={"file": b"film"}, headers=host)
        assert (posted.status_code, urlsplit(posted.headers["location"]).path) == (201, "/v1/c%20d")


def test_a_request_of_nobody_is_refused_and_looks_like_any_unknown_route(
    anybody: httpx.Client, s3: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"secret")
    assert anybody.get(f"/{bucket}/a").status_code == 404
    assert anybody.put(f"/{bucket}/a", content=b"x").status_code == 404
    assert body(s3.get_object(Bucket=bucket, Key="a")) == b"secret"


def test_everybody_reads_objects_of_a_public_bucket_and_nothing_else(tmp_path: Path) -> None:
    with Server(tmp_path, S3_API_PUBLIC="open-films") as server, server.anybody() as anybody:
        s3 = s3_client(server)
        for name in ("open-films", "films"):
            s3.create_bucket(Bucket=name)
            s3.put_object(Bucket=name, Key="a", Body=b"film")
        assert anybody.get("/open-films/a").content == b"film"
        assert anybody.head("/open-films/a").headers["content-length"] == "4"
        assert code_of(anybody.get("/open-films/b")) == (404, "NoSuchKey")
        assert code_of(anybody.get("/open-films/a?response-content-type=text/html")) == (400, "InvalidRequest")
        assert anybody.put("/open-films/a", content=b"x").status_code == 404
        assert code_of(anybody.get("/open-films/")) == (403, "AccessDenied")
        assert anybody.get("/films/a").status_code == 404


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20261128/s3/aws4_request, SignedHeaders=host, Signature=aa",
        "AWS4-HMAC-SHA256 Credential=a/20261128/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=aa",
        "AWS4-HMAC-SHA256",
        "AWS",
    ],
)
def test_every_other_form_of_credential_is_refused(anybody: httpx.Client, bucket: str, authorization: str) -> None:
    for path in ("/", f"/{bucket}", f"/{bucket}/a"):
        refused = anybody.get(path, headers={"Authorization": authorization})
        assert refused.status_code in (400, 403), refused.text
        assert "<Error>" in refused.text
        assert refused.headers["x-amz-request-id"]


def test_a_wrong_secret_and_an_unknown_key_differ(server: Server, bucket: str) -> None:
    key_id, secret = key_pair(server)
    assert failure(s3_client(server, (key_id, secret[::-1])).list_buckets) == (403, "SignatureDoesNotMatch")
    assert failure(s3_client(server, ("a" * 16, secret)).list_buckets) == (403, "InvalidAccessKeyId")


def test_a_key_does_what_its_rights_allow(server: Server, s3: Any, bucket: str) -> None:
    reader = s3_client(server, key_pair(server, "read", "list", prefixes=[f"{bucket}/films/"]))
    s3.put_object(Bucket=bucket, Key="films/a", Body=b"film")
    s3.put_object(Bucket=bucket, Key="other", Body=b"other")
    assert body(reader.get_object(Bucket=bucket, Key="films/a")) == b"film"
    assert [each["Key"] for each in reader.list_objects_v2(Bucket=bucket)["Contents"]] == ["films/a"]
    assert [each["Name"] for each in reader.list_buckets()["Buckets"]] == [bucket]
    denied = (403, "AccessDenied")
    assert failure(reader.get_object, Bucket=bucket, Key="other") == denied
    assert failure(reader.get_object, Bucket=bucket, Key="no-such") == denied
    assert failure(reader.put_object, Bucket=bucket, Key="films/a", Body=b"x") == denied
    assert failure(reader.delete_object, Bucket=bucket, Key="films/a") == denied
    assert failure(reader.create_bucket, Bucket=f"{bucket}-2") == denied
    assert failure(reader.delete_bucket, Bucket=bucket) == denied
    assert failure(reader.list_objects_v2, Bucket="no-such-bucket") == denied
    source = {"Bucket": bucket, "Key": "other"}
    assert failure(reader.copy_object, Bucket=bucket, Key="films/b", CopySource=source) == denied
    assert failure(reader.create_multipart_upload, Bucket=bucket, Key="films/b") == denied
    deleted = reader.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "films/a"}]})
    assert [each["Code"] for each in deleted["Errors"]] == ["AccessDenied"]
    assert body(s3.get_object(Bucket=bucket, Key="films/a")) == b"film"


def test_a_revoked_key_signs_nothing(server: Server, client: httpx.Client, bucket: str, anybody: httpx.Client) -> None:
    pair = key_pair(server)
    s3 = s3_client(server, pair)
    url = s3.generate_presigned_url("list_objects_v2", {"Bucket": bucket})
    assert anybody.get(url).status_code == 200
    client.delete(f"/v1/keys/{pair[0]}")
    assert failure(s3.list_buckets) == (403, "InvalidAccessKeyId")
    assert code_of(anybody.get(url)) == (403, "InvalidAccessKeyId")


def test_the_limits_of_a_key_hold(server: Server, bucket: str) -> None:
    limits = {"max_blob_bytes": 10, "quota_bytes": 15}
    s3 = s3_client(server, key_pair(server, limits=limits))
    assert failure(s3.put_object, Bucket=bucket, Key="a", Body=bytes(11)) == (400, "EntityTooLarge")
    s3.put_object(Bucket=bucket, Key="a", Body=bytes(10))
    assert failure(s3.put_object, Bucket=bucket, Key="b", Body=bytes(10)) == (403, "QuotaExceeded")
    s3.put_object(Bucket=bucket, Key="a", Body=bytes(3))
    s3.put_object(Bucket=bucket, Key="b", Body=bytes(10))


def test_presigned_urls_fetch_and_store(s3: Any, bucket: str, anybody: httpx.Client) -> None:
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b"})
    assert anybody.put(put, content=b"bytes").status_code == 200
    named = {"ResponseContentDisposition": "attachment", "ResponseContentLanguage": "en"}
    got = anybody.get(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b", **named}))
    assert (got.content, got.headers["content-disposition"]) == (b"bytes", "attachment")
    assert got.headers["content-language"] == "en"
    assert code_of(anybody.get(put)) == (403, "SignatureDoesNotMatch")
    assert code_of(anybody.put(put.replace("a%20b", "c"), content=b"x")) == (403, "SignatureDoesNotMatch")


def test_of_two_that_create_one_wins(server: Server, s3: Any, bucket: str) -> None:
    def create(number: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key="lock", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            assert dict(error.response["Error"])["Condition"] == "If-None-Match"  # noqa: PT017
            return refused(error) != (412, "PreconditionFailed")
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [*pool.map(create, range(8))]
    assert won.count(True) == 1
    assert body(s3.get_object(Bucket=bucket, Key="lock")) == b"%d" % won.index(True)


def test_an_unchanged_object_may_be_kept_as_long_as_before(s3: Any, bucket: str) -> None:
    kept = {"CacheControl": "max-age=60", "Expires": datetime(2030, 1, 1, tzinfo=UTC)}
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"1", **kept)["ETag"]
    for read in (s3.get_object, s3.head_object):
        for wanted, age in (({}, "max-age=60"), ({"ResponseCacheControl": "no-cache"}, "no-cache")):
            whole = read(Bucket=bucket, Key="a", **wanted)["ResponseMetadata"]["HTTPHeaders"]
            with pytest.raises(ClientError) as unchanged:
                read(Bucket=bucket, Key="a", IfNoneMatch=etag, **wanted)
            found = unchanged.value.response["ResponseMetadata"]["HTTPHeaders"]
            assert found["cache-control"] == whole["cache-control"] == age
            assert found["expires"] == whole["expires"] == "Tue, 01 Jan 2030 00:00:00 GMT"


def test_only_the_version_that_is_named_is_replaced(s3: Any, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["ETag"]
    second = s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfMatch=first)["ETag"]
    assert failure(s3.put_object, Bucket=bucket, Key="a", Body=b"3", IfMatch=first) == (412, "PreconditionFailed")
    assert failure(s3.put_object, Bucket=bucket, Key="b", Body=b"3", IfMatch=first) == (404, "NoSuchKey")
    assert failure(s3.delete_object, Bucket=bucket, Key="a", IfMatch=first) == (412, "PreconditionFailed")
    assert failure(s3.get_object, Bucket=bucket, Key="a", IfMatch=first) == (412, "PreconditionFailed")
    assert failure(s3.get_object, Bucket=bucket, Key="a", IfNoneMatch=second) == (304, "304")
    s3.delete_object(Bucket=bucket, Key="a", IfMatch=second)
    assert failure(s3.head_object, Bucket=bucket, Key="a") == (404, "404")


def upload(s3: Any, bucket: str, key: str, *parts: bytes, **arguments: Any) -> tuple[str, list[dict[str, Any]]]:
    """Upload parts, and return the id of the upload, and what completes it."""
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **arguments)["UploadId"]
    named = []
    for number, data in enumerate(parts, 1):
        sent = s3.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=number, Body=data)
        named.append({"PartNumber": number, "ETag": sent["ETag"]})
    return begun, named


def complete(s3: Any, bucket: str, key: str, upload_id: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


def test_a_completion_that_is_repeated_has_the_same_response(s3: Any, bucket: str, client: httpx.Client) -> None:
    upload_id, parts = upload(s3, bucket, "a", LARGE, b"end", ContentType="text/plain", Metadata={"by": "ada"})
    first = complete(s3, bucket, "a", upload_id, parts)
    second = complete(s3, bucket, "a", upload_id, parts)
    assert (first["ETag"], first["Location"]) == (second["ETag"], second["Location"])
    md5s = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in (LARGE, b"end"))
    assert first["ETag"] == f'"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-2"'
    fetched = s3.get_object(Bucket=bucket, Key="a")
    assert (body(fetched), fetched["ContentType"], fetched["Metadata"]) == (LARGE + b"end", "text/plain", {"by": "ada"})
    assert body(s3.get_object(Bucket=bucket, Key="a", PartNumber=2)) == b"end"
    assert client.get(f"/v1/blobs/{bucket}%2Fa?alt=media").content == LARGE + b"end"
    s3.put_object(Bucket=bucket, Key="a", Body=b"another")
    assert failure(complete, s3=s3, bucket=bucket, key="a", upload_id=upload_id, parts=parts) == (404, "NoSuchUpload")


@pytest.mark.parametrize("algorithm", ["", "CRC32", "SHA256"])
def test_a_completion_has_the_checksums_of_the_object_and_its_parts(s3: Any, bucket: str, algorithm: str) -> None:
    chosen = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="a", **chosen)["UploadId"]
    part = {"Bucket": bucket, "Key": "a", "UploadId": upload_id, "PartNumber": 1}
    named = _named(1, s3.upload_part(**part, Body=b"bytes", **chosen))
    by_this, by_others = f"Checksum{algorithm or 'CRC32'}", ["ChecksumCRC32", "ChecksumSHA1", "ChecksumSHA256"]
    by_others.remove(by_this)
    wrong = {"ChecksumCRC32": "AAAAAA==", "ChecksumSHA1": f"{'A' * 27}=", "ChecksumSHA256": f"{'A' * 43}="}
    arguments = {"s3": s3, "bucket": bucket, "key": "a", "upload_id": upload_id}
    for name in by_others:
        other = {name: wrong[name]}
        assert failure(complete, **arguments, parts=[named], **other) == (400, "InvalidRequest")
        assert failure(complete, **arguments, parts=[named], **{name: f"{wrong[name]}-1"}) == (400, "InvalidRequest")
        assert failure(complete, **arguments, parts=[named | other]) == (400, "InvalidPart")
    assert failure(complete, **arguments, parts=[named | {by_this: wrong[by_this]}]) == (400, "InvalidPart")
    own = (400, "BadDigest" if algorithm else "InvalidRequest")
    for value in (wrong[by_this], f"{wrong[by_this]}-1"):
        assert failure(complete, **arguments, parts=[named], **{by_this: value}) == own
    assert failure(s3.head_object, Bucket=bucket, Key="a") == (404, "404")
    composite = checksum_of(algorithm, checksum_of(algorithm, b"bytes")) if algorithm else b""
    right = {by_this: f"{base64.b64encode(composite).decode()}-1"} if algorithm else {}
    assert complete(**arguments, parts=[named], **right).get(by_this, "") == right.get(by_this, "")
    assert body(s3.get_object(Bucket=bucket, Key="a")) == b"bytes"


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
@pytest.mark.parametrize("parts", [[LARGE, b""], [LARGE, LARGE, b""], [LARGE, b"end"], [b"one"], [b""]])
def test_the_parts_of_an_object_are_its_bytes(s3: Any, bucket: str, parts: list[bytes], kind: str) -> None:
    checksum = {"ChecksumAlgorithm": "CRC32", "ChecksumType": kind}
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="a", **checksum)["UploadId"]
    upload = {"Bucket": bucket, "Key": "a", "UploadId": upload_id, "ChecksumAlgorithm": "CRC32"}
    sent = [s3.upload_part(PartNumber=number, Body=part, **upload) for number, part in enumerate(parts, 1)]
    complete(s3, bucket, "a", upload_id, [_named(number, each) for number, each in enumerate(sent, 1)])
    known = [each["ChecksumCRC32"] for each in sent]
    if len([*filter(None, parts)]) < 2 and kind == "COMPOSITE":
        known[0] = ""  # it is in the composite one only
    numbers = range(1, len(parts) + 1)
    read = {"Bucket": bucket, "Key": "a", "ChecksumMode": "ENABLED"}
    fetched = [s3.get_object(PartNumber=number, **read) for number in numbers]
    assert [body(each) for each in fetched] == parts
    for responses in (fetched, [s3.head_object(PartNumber=number, **read) for number in numbers]):
        assert [each["ContentLength"] for each in responses] == [*map(len, parts)]
        assert {each["PartsCount"] for each in responses} == {len(parts)}
        assert [each.get("ChecksumCRC32", "") for each in responses] == known
    assert failure(s3.get_object, PartNumber=len(parts) + 1, **read) == (400, "InvalidPart")
    listed = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert (listed["TotalPartsCount"], listed["IsTruncated"]) == (len(parts), False)
    found = [(each["PartNumber"], each["Size"], each.get("ChecksumCRC32", "")) for each in listed["Parts"]]
    assert found == [*zip(numbers, map(len, parts), known, strict=True)]
    stale = '"00000000000000000000000000000000"'
    assert failure(s3.get_object, PartNumber=len(parts), IfMatch=stale, **read) == (412, "PreconditionFailed")
    tag = fetched[0]["ETag"]
    assert failure(s3.get_object, PartNumber=len(parts), IfNoneMatch=tag, **read)[0] == 304


def test_empty_parts_of_another_interface_are_no_parts_of_the_object(
    s3: Any, bucket: str, client: httpx.Client
) -> None:
    upload = client.post("/v1/uploads", json={}).json()["upload"]
    for number, part in enumerate((b"", b"a", b"", b"b", b""), 1):
        assert client.put(f"/v1/uploads/{upload}/{number}", content=part).is_success
    put = {"id": f"{bucket}/a", "upload": upload}
    assert client.post("/v1/commits", json={"operations": [{"put": put}]}).is_success
    fetched = [s3.get_object(Bucket=bucket, Key="a", PartNumber=number) for number in (1, 2)]
    assert [(body(each), each["PartsCount"]) for each in fetched] == [(b"a", 2), (b"b", 2)]
    assert failure(s3.get_object, Bucket=bucket, Key="a", PartNumber=3) == (400, "InvalidPart")


def test_parts_come_in_any_order_at_once_and_again(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    data = {number: os.urandom(5 * MIB) for number in (1, 2, 3)} | {4: b"end"}

    def send(number: int) -> tuple[int, str]:
        sent = s3.upload_part(Bucket=bucket, Key="a", UploadId=upload_id, PartNumber=number, Body=data[number])
        return number, sent["ETag"]

    s3.upload_part(Bucket=bucket, Key="a", UploadId=upload_id, PartNumber=2, Body=b"to be replaced")
    with ThreadPoolExecutor(4) as pool:
        tags = dict(pool.map(send, (4, 2, 3, 1)))
    listed = s3.list_parts(Bucket=bucket, Key="a", UploadId=upload_id)["Parts"]
    assert [(each["PartNumber"], each["Size"], each["ETag"]) for each in listed] == [
        (number, len(data[number]), tags[number]) for number in (1, 2, 3, 4)
    ]
    parts = [{"PartNumber": number, "ETag": tags[number]} for number in (1, 2, 3, 4)]
    complete(s3, bucket, "a", upload_id, parts)
    assert body(s3.get_object(Bucket=bucket, Key="a")) == b"".join(data[number] for number in (1, 2, 3, 4))


def test_an_upload_that_is_not_as_it_should_be_is_not_completed(s3: Any, bucket: str) -> None:
    upload_id, parts = upload(s3, bucket, "a", b"small", b"end")
    refusals = {
        "EntityTooSmall": parts,
        "InvalidPartOrder": parts[::-1],
        "InvalidPart": [parts[0], parts[1] | {"ETag": parts[0]["ETag"]}],
        "MalformedXML": [],
    }
    for code, named in refusals.items():
        assert failure(complete, s3=s3, bucket=bucket, key="a", upload_id=upload_id, parts=named) == (400, code)
    missing = [parts[0], {"PartNumber": 9, "ETag": parts[1]["ETag"]}]
    refused = failure(complete, s3=s3, bucket=bucket, key="a", upload_id=upload_id, parts=missing)
    assert refused == (400, "InvalidPart")
    assert failure(s3.list_parts, Bucket=bucket, Key="b", UploadId=upload_id) == (404, "NoSuchUpload")
    assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload_id]
    s3.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=upload_id)
    assert failure(s3.list_parts, Bucket=bucket, Key="a", UploadId=upload_id) == (404, "NoSuchUpload")
    assert failure(s3.head_object, Bucket=bucket, Key="a") == (404, "404")


def test_a_completion_takes_the_same_conditions(s3: Any, bucket: str) -> None:
    upload_id, parts = upload(s3, bucket, "a", b"bytes")
    s3.put_object(Bucket=bucket, Key="a", Body=b"there")
    arguments = {"s3": s3, "bucket": bucket, "key": "a", "upload_id": upload_id, "parts": parts}
    assert failure(complete, **arguments, IfNoneMatch="*") == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="a")
    complete(**arguments, IfNoneMatch="*")
    assert body(s3.get_object(Bucket=bucket, Key="a")) == b"bytes"


def test_copies_share_the_bytes_and_may_be_described_again(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a+ü", Body=b"bytes", Metadata={"by": "ada"}, Tagging="x=1")
    source = {"Bucket": bucket, "Key": "a+ü"}
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    s3.copy_object(
        Bucket=bucket,
        Key="c",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"by": "bob"},
        ContentType="a/b",
    )
    s3.copy_object(Bucket=bucket, Key="a+ü", CopySource=source, MetadataDirective="REPLACE", Metadata={"by": "eve"})
    s3.delete_object(Bucket=bucket, Key="b")
    fetched = s3.get_object(Bucket=bucket, Key="c")
    assert (body(fetched), fetched["Metadata"], fetched["ContentType"]) == (b"bytes", {"by": "bob"}, "a/b")
    assert s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"] == [{"Key": "x", "Value": "1"}]
    assert s3.head_object(Bucket=bucket, Key="a+ü")["Metadata"] == {"by": "eve"}
    stale = '"00000000000000000000000000000000"'
    copy = {"Bucket": bucket, "Key": "d", "CopySource": source}
    assert failure(s3.copy_object, **copy, CopySourceIfMatch=stale) == (412, "PreconditionFailed")
    assert failure(s3.copy_object, Bucket=bucket, Key="a+ü", CopySource=source) == (400, "InvalidRequest")


def test_a_copy_has_no_other_checksum_than_its_source(s3: Any, bucket: str, client: httpx.Client) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"bytes", ChecksumAlgorithm="CRC32")
    client.put(f"/v1/blobs/{bucket}%2Fplain", content=b"bytes")
    for source, algorithm in (("a", "SHA256"), ("a", "CRC64NVME"), ("plain", "CRC32")):
        for target in ("b", source):
            copy = {"Bucket": bucket, "Key": target, "CopySource": f"{bucket}/{source}", "MetadataDirective": "REPLACE"}
            assert failure(s3.copy_object, **copy, ChecksumAlgorithm=algorithm) == (501, "NotImplemented")
    assert failure(s3.head_object, Bucket=bucket, Key="b") == (404, "404")
    copied = s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a", ChecksumAlgorithm="CRC32")
    assert copied["CopyObjectResult"]["ChecksumCRC32"]


@pytest.mark.parametrize("target", ["a", "b"])
def test_a_copy_takes_the_same_conditions(s3: Any, bucket: str, target: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"former")["ETag"]
    second = s3.put_object(Bucket=bucket, Key="a", Body=b"bytes")["ETag"]
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    copy = {"Bucket": bucket, "Key": target, "CopySource": {"Bucket": bucket, "Key": "a"}}
    copy |= {"MetadataDirective": "REPLACE", "Metadata": {"by": "ada"}}
    for condition in ({"IfMatch": first}, {"IfNoneMatch": "*"}, {"IfNoneMatch": second}):
        assert failure(s3.copy_object, **copy, **condition) == (412, "PreconditionFailed")
    assert s3.head_object(Bucket=bucket, Key=target)["Metadata"] == {}
    for condition in ({"IfMatch": second}, {"IfMatch": "*"}, {"IfNoneMatch": first}):
        s3.copy_object(**copy, **condition)
    assert s3.head_object(Bucket=bucket, Key=target)["Metadata"] == {"by": "ada"}


def test_a_part_may_be_a_range_of_another_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=LARGE)
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="b", ChecksumAlgorithm="CRC32")["UploadId"]
    arguments = {"Bucket": bucket, "Key": "b", "UploadId": upload_id, "CopySource": {"Bucket": bucket, "Key": "a"}}
    first = s3.upload_part_copy(PartNumber=1, **arguments)["CopyPartResult"]
    second = s3.upload_part_copy(PartNumber=2, CopySourceRange="bytes=1-3", **arguments)["CopyPartResult"]
    too_far = failure(s3.upload_part_copy, PartNumber=3, CopySourceRange=f"bytes=0-{len(LARGE)}", **arguments)
    assert too_far == (416, "InvalidRange")
    parts = [
        {"PartNumber": number, "ETag": each["ETag"], "ChecksumCRC32": each["ChecksumCRC32"]}
        for number, each in ((1, first), (2, second))
    ]
    complete(s3, bucket, "b", upload_id, parts)
    assert body(s3.get_object(Bucket=bucket, Key="b")) == LARGE + LARGE[1:4]


def multipart(s3: Any, bucket: str, key: str, parts: list[bytes], **more: Any) -> None:
    """Store an object in parts."""
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    sent = [
        s3.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=number, Body=part, **more)
        for number, part in enumerate(parts, 1)
    ]
    complete(s3, bucket, key, begun, [_named(number, each) for number, each in enumerate(sent, 1)])


def _named(number: int, part: dict[str, Any]) -> dict[str, Any]:
    """Return what a request to complete says of a part."""
    return {"PartNumber": number, **{name: part[name] for name in part if name == "ETag" or "Checksum" in name}}


def copied(s3: Any, bucket: str, source: str, target: str, ranges: list[str], **more: Any) -> dict[str, Any]:
    """Copy an object in parts, each a range of the source; an empty range is all of it. Return the response."""
    begun = s3.create_multipart_upload(Bucket=bucket, Key=target, **more)["UploadId"]
    arguments = {"Bucket": bucket, "Key": target, "UploadId": begun, "CopySource": f"{bucket}/{source}"}
    parts = []
    for number, each in enumerate(ranges, 1):
        wanted = {"CopySourceRange": f"bytes={each}"} if each else {}
        part = s3.upload_part_copy(PartNumber=number, **arguments, **wanted)["CopyPartResult"]
        parts.append(_named(number, part))
    found: dict[str, Any] = complete(s3, bucket, target, begun, parts)
    return found


def objects_of(folder: Path) -> set[str]:
    """Return the names of all objects of a storage of files, without its markers."""
    database = folder / "data" / "drivebay.db"
    ours = markers.in_file(database)
    found = {path.name for path in (folder / "data" / "blobs").rglob("*") if path.is_file()}
    return found - ours - markers.in_file(database)  # an epoch may be replaced meanwhile


@pytest.mark.parametrize("order", [("source", "target"), ("target", "source")])
def test_a_copy_in_the_parts_of_the_source_copies_no_byte(tmp_path: Path, order: tuple[str, str]) -> None:
    last = b"last"
    ranges = [f"0-{5 * MIB - 1}", f"{5 * MIB}-{5 * MIB + 3}"]
    with Server(tmp_path, READERS_GRACE="0", TRASH_RETENTION="0", REAP_INTERVAL="0.2") as server:
        s3, bucket = s3_client(server), "bucket"
        s3.create_bucket(Bucket=bucket)
        multipart(s3, bucket, "source", [LARGE, last])
        before = objects_of(tmp_path)
        assert len(before) == 2
        made = copied(s3, bucket, "source", "target", ranges)
        assert objects_of(tmp_path) == before
        assert made["ETag"] == s3.head_object(Bucket=bucket, Key="source")["ETag"]
        for number, key in enumerate(order):
            for left in order[number:]:
                assert body(s3.get_object(Bucket=bucket, Key=left)) == LARGE + last
            s3.delete_object(Bucket=bucket, Key=key)
            if number == 0:
                wait_until(lambda: server_trash(tmp_path) == 0)
                assert objects_of(tmp_path) == before
        wait_until(lambda: objects_of(tmp_path) == set())


def server_trash(folder: Path) -> int:
    """Return the number of versions in the trash of a server."""
    with closing(sqlite3.connect(folder / "data" / "drivebay.db")) as database:
        count: int = database.execute("SELECT count(*) FROM trash").fetchone()[0]
    return count


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it does not come to that")


@pytest.mark.parametrize(
    ("of_source", "of_upload", "shares"),
    [
        ({}, {}, True),
        ({"ChecksumAlgorithm": "CRC32"}, {}, True),
        ({"ChecksumAlgorithm": "CRC32"}, {"ChecksumAlgorithm": "CRC32"}, True),
        ({"ChecksumAlgorithm": "CRC32"}, {"ChecksumAlgorithm": "SHA256"}, True),
        ({"ChecksumAlgorithm": "CRC32"}, {"ChecksumAlgorithm": "SHA1"}, False),
        ({"ChecksumAlgorithm": "SHA1"}, {"ChecksumAlgorithm": "SHA256"}, True),
    ],
)
@pytest.mark.parametrize("in_parts", [False, True])
def test_a_copied_part_has_the_checksums_that_its_bytes_have(
    tmp_path: Path, of_source: dict[str, str], of_upload: dict[str, str], shares: bool, in_parts: bool
) -> None:
    """Whether bytes are copied or not."""
    with Server(tmp_path) as server:
        s3, bucket = s3_client(server), "bucket"
        s3.create_bucket(Bucket=bucket)
        if in_parts:
            multipart(s3, bucket, "source", [LARGE, b"last"], **of_source)
        else:
            s3.put_object(Bucket=bucket, Key="source", Body=LARGE, **of_source)
        before = objects_of(tmp_path)
        whole = f"0-{5 * MIB - 1}" if in_parts else ""
        made = copied(s3, bucket, "source", "target", [whole], **of_upload)
        assert len(objects_of(tmp_path) - before) == (0 if shares else 1)
        multipart(s3, bucket, "sent", [LARGE], **of_upload)
        sent, found = (s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED") for key in ("sent", "target"))
        names = {"ETag", *(name for name in sent if name.startswith("Checksum"))}
        assert {name: found.get(name) for name in names} == {name: sent[name] for name in names}
        assert made["ETag"] == sent["ETag"]
        assert body(s3.get_object(Bucket=bucket, Key="target")) == LARGE


def test_a_source_without_an_md5_of_its_bytes_is_copied(s3: Any, bucket: str, client: httpx.Client) -> None:
    """One of another interface, and one that was sent as a single part."""
    client.put(f"/v1/blobs/{bucket}%2Frest", content=LARGE)
    multipart(s3, bucket, "single", [LARGE])
    multipart(s3, bucket, "sent", [LARGE])
    expected = s3.head_object(Bucket=bucket, Key="sent")["ETag"]
    for source in ("rest", "single"):
        assert copied(s3, bucket, source, "target", [""])["ETag"] == expected
        assert body(s3.get_object(Bucket=bucket, Key="target")) == LARGE


def test_a_part_needs_the_right_to_read_its_source(server: Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"bytes")
    writer = s3_client(server, key_pair(server, "write"))
    begun = writer.create_multipart_upload(Bucket=bucket, Key="target")["UploadId"]
    part = {"Bucket": bucket, "Key": "target", "UploadId": begun, "PartNumber": 1, "CopySource": f"{bucket}/source"}
    assert failure(writer.upload_part_copy, **part) == (403, "AccessDenied")
    assert failure(s3.upload_part_copy, **part, CopySourceIfMatch='"other"') == (412, "PreconditionFailed")
    assert failure(s3.upload_part_copy, **part | {"CopySource": f"{bucket}/none"}) == (404, "NoSuchKey")


def test_lists_go_on_where_they_stopped(s3: Any, bucket: str) -> None:
    keys = ["a", "b/1", "b/2", "c d", "é", "z/1"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for size in range(1, 5):
        for operation in ("list_objects", "list_objects_v2", "list_object_versions"):
            found, prefixes = [], []
            pages = s3.get_paginator(operation).paginate(
                Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}
            )
            for page in pages:
                found += [each["Key"] for each in page.get("Contents", []) + page.get("Versions", [])]
                prefixes += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
            assert (found, prefixes) == (["a", "c d", "é"], ["b/", "z/"]), (operation, size)
    assert s3.list_objects_v2(Bucket=bucket, Prefix="\x01")["KeyCount"] == 0
    assert s3.list_objects_v2(Bucket=bucket, Delimiter="\x00")["KeyCount"] == len(keys)
    assert s3.list_objects_v2(Bucket=bucket, StartAfter="c d")["KeyCount"] == 2
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0


def test_a_page_may_end_with_any_delimiter(s3: Any, bucket: str) -> None:
    for key in ("a~1", "a~2", "b~1", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="~", PaginationConfig={"PageSize": 1})
    assert [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])] == ["a~", "b~"]


def test_a_bucket_is_deleted_once_it_is_empty(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert failure(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "no-such"}]})
    assert {each["Key"] for each in deleted["Deleted"]} == {"a", "no-such"}
    upload_id, _ = upload(s3, bucket, "b", b"bytes")
    s3.delete_bucket(Bucket=bucket)
    assert failure(s3.list_parts, Bucket=bucket, Key="b", UploadId=upload_id)[0] == 404
    assert failure(s3.head_bucket, Bucket=bucket) == (404, "404")
    assert failure(s3.put_object, Bucket=bucket, Key="a", Body=b"") == (404, "NoSuchBucket")
    assert failure(s3.delete_bucket, Bucket=bucket) == (404, "NoSuchBucket")


@pytest.mark.parametrize("content", [b"", b"bytes"])
def test_a_blob_without_a_key_is_in_no_bucket(s3: Any, bucket: str, client: httpx.Client, content: bytes) -> None:
    folder = f"/v1/blobs/{bucket}%2F"  # as a new folder of the page
    assert client.put(folder, content=content).status_code == 201
    upload = client.post("/v1/uploads", json={"id": f"{bucket}/"})
    assert upload.status_code == 201
    for lister, entries in (
        (s3.list_objects, "Contents"),
        (s3.list_objects_v2, "Contents"),
        (s3.list_object_versions, "Versions"),
        (s3.list_multipart_uploads, "Uploads"),
    ):
        for more in ({}, {"Prefix": ""}, {"Delimiter": "/"}):
            assert entries not in lister(Bucket=bucket, **more), entries
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["Contents"]] == ["a"]
    assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [begun]
    assert failure(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)
    assert client.get(f"{folder}?alt=media").content == content
    assert client.get(f"/v1/uploads/{upload.json()['upload']}").status_code == 200


def test_a_long_key_of_another_interface_is_no_obstacle(s3: Any, bucket: str, client: httpx.Client) -> None:
    read, deleted, many = named = [letter * 1500 for letter in "abc"]
    for key in named:
        assert client.put(f"/v1/blobs/{bucket}%2F{key}", content=b"bytes").status_code == 201
    upload = client.post("/v1/uploads", json={"id": f"{bucket}/{read}"}).json()["upload"]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == named
    assert body(s3.get_object(Bucket=bucket, Key=read)) == b"bytes"
    assert s3.head_object(Bucket=bucket, Key=read)["ContentLength"] == 5
    s3.put_object_tagging(Bucket=bucket, Key=read, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key=read)["TagSet"] == [{"Key": "a", "Value": "b"}]
    source = {"Bucket": bucket, "Key": read}
    described = {"CopySource": source, "MetadataDirective": "REPLACE", "Metadata": {"by": "ada"}}
    s3.copy_object(Bucket=bucket, Key=read, **described)
    assert s3.head_object(Bucket=bucket, Key=read)["Metadata"] == {"by": "ada"}
    s3.copy_object(Bucket=bucket, Key="short", CopySource=source)
    s3.delete_object(Bucket=bucket, Key=deleted)
    found = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in (read, many, "short")]})
    assert "Errors" not in found
    s3.abort_multipart_upload(Bucket=bucket, Key=read, UploadId=upload)
    s3.delete_bucket(Bucket=bucket)


def test_no_long_key_is_stored(s3: Any, bucket: str, anybody: httpx.Client) -> None:
    refusal = 400, "KeyTooLongError"
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    for key in ("x" * 1025, "ü" * 513, "x" * 2048):
        new = {"Bucket": bucket, "Key": key}
        assert failure(s3.put_object, **new, Body=b"") == refusal
        assert failure(s3.copy_object, **new, CopySource={"Bucket": bucket, "Key": "a"}) == refusal
        assert failure(s3.create_multipart_upload, **new) == refusal
        form = s3.generate_presigned_post(bucket, key)
        assert code_of(anybody.post(form["url"], data=form["fields"], files={"file": b""})) == refusal
    assert failure(s3.get_object, Bucket=bucket, Key="x" * 2048) == refusal, "no id is as long"
    assert failure(s3.get_object, Bucket=bucket, Key="x" * 1025) == (404, "NoSuchKey")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a"]


@pytest.mark.parametrize("name", ["docs", "health", "metrics", "a.-b", "192.168.1.1"])
def test_a_name_that_can_be_no_bucket_is_refused(s3: Any, name: str) -> None:
    assert failure(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


def test_a_header_that_asks_for_what_is_not_done_is_refused(s3: Any, bucket: str) -> None:
    put = {"Bucket": bucket, "Key": "a", "Body": b"x"}
    assert failure(s3.put_object, **put, ServerSideEncryption="AES256") == (501, "NotImplemented")
    assert failure(s3.put_object, **put, StorageClass="GLACIER") == (400, "InvalidStorageClass")
    assert failure(s3.put_object, **put, ACL="public-read") == (400, "AccessControlListNotSupported")
    assert failure(s3.put_object, **put, ObjectLockLegalHoldStatus="ON") == (400, "InvalidRequest")
    assert failure(s3.put_object, **put, Metadata={"a": "x" * 2048}) == (400, "MetadataTooLarge")
    s3.put_object(**put, ACL="private", StorageClass="STANDARD")
    assert failure(s3.put_object, **{**put, "Body": b"y"}, WriteOffsetBytes=1) == (501, "NotImplemented")
    assert body(s3.get_object(Bucket=bucket, Key="a")) == b"x"


def test_annotations_are_none(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"precious")
    named = {"Bucket": bucket, "Key": "a", "AnnotationName": "n"}
    assert failure(s3.put_object_annotation, **named, AnnotationPayload=b"x") == (501, "NotImplemented")
    assert failure(s3.delete_object_annotation, **named) == (501, "NotImplemented")
    assert failure(s3.get_object_annotation, **named) == (404, "NoSuchAnnotation")
    assert "Annotations" not in s3.list_object_annotations(Bucket=bucket, Key="a")
    assert failure(s3.list_object_annotations, Bucket=bucket, Key="b") == (404, "NoSuchKey")
    assert body(s3.get_object(Bucket=bucket, Key="a")) == b"precious"


def test_what_a_request_attempts_is_in_the_audit_trail(tmp_path: Path) -> None:
    with Server(tmp_path, AUDIT_LOG="audit.jsonl", AUDIT_IDS="true") as server:
        pair = key_pair(server)
        s3 = s3_client(server, pair)
        s3.create_bucket(Bucket="films")
        s3.put_object(Bucket="films", Key="a", Body=b"")
        failure(s3_client(server, (pair[0], "wrong")).list_buckets)
        audit = server.folder / "audit.jsonl"
        server.wait_until(lambda: "authenticate" in audit.read_text())
    trail = audit.read_text().splitlines()
    assert any('"create_bucket"' in line and pair[0] in line for line in trail)
    assert any('"write"' in line and '"films/a"' in line and pair[0] in line for line in trail)
    assert any('"authenticate"' in line and "forbidden" in line for line in trail)


def test_a_broken_upload_leaves_nothing(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        s3 = s3_client(server)
        s3.create_bucket(Bucket="films")
        bad = {"Bucket": "films", "Key": "a", "Body": b"bytes"}
        assert failure(s3.put_object, **bad, ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==") == (400, "BadDigest")
        assert failure(s3.put_object, **bad, ChecksumCRC32="AAAAAA==") == (400, "BadDigest")

        def alter(request: Any, **_: Any) -> None:
            request.body = b"BYTES"

        s3.meta.events.register("before-send.s3.PutObject", alter)
        assert failure(s3.put_object, **bad) in ((400, "XAmzContentSHA256Mismatch"), (400, "BadDigest"))
        server.wait_until_left(0)
