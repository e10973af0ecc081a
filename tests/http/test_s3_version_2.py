"""Clients that sign by version 2: botocore, by its own choice for URLs and forms in us-east-1."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.http.s3_client import code_of, key_pair, refused, s3_client, session
from tests.http.server import PATIENCE, UNVERIFIED, Server

NUMBERS = itertools.count()
DENIED = (403, "AccessDenied")


@pytest.fixture(scope="module")
def old_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes version 2."""
    folder = tmp_path_factory.mktemp("server")
    with Server(folder, S3_API_SIGNATURE_V2="true", S3_API_DOMAIN="s3.localhost") as server:
        yield server


@pytest.fixture(scope="module")
def pair(old_server: Server) -> tuple[str, str]:
    return key_pair(old_server)


def client_of(server: Server, pair: tuple[str, str], url: str = "", **config: Any) -> Any:
    """Return a client with the version of signatures that botocore chooses, or that of `config`."""
    return session().create_client(
        "s3",
        endpoint_url=url or server.url,
        aws_access_key_id=pair[0],
        aws_secret_access_key=pair[1],
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@pytest.fixture(scope="module")
def s3(old_server: Server, pair: tuple[str, str]) -> Any:
    """A client that signs all by version 2."""
    return client_of(old_server, pair, signature_version="s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"old-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def anybody() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=PATIENCE, verify=UNVERIFIED) as client:
        yield client


def test_a_client_stores_lists_reads_and_deletes(s3: Any, bucket: str) -> None:
    for key in ("a b", "c/ü", "d&acl?e+f"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"data", ContentType="text/plain", Metadata={"by": "Ada"})
        stored = s3.get_object(Bucket=bucket, Key=key)
        assert (stored["Body"].read(), stored["ContentType"], stored["Metadata"]) == (
            b"data",
            "text/plain",
            {"by": "Ada"},
        )
    listed = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="")
    assert [each["Key"] for each in listed["Contents"]] == ["a b", "d&acl?e+f"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "parts"})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"part"
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "parts"}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 3


def test_urls_and_forms_are_signed_by_version_2_unless_one_asks_for_another(
    old_server: Server, pair: tuple[str, str], bucket: str, anybody: httpx.Client
) -> None:
    s3 = client_of(old_server, pair)
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b", "ContentType": "text/plain"})
    assert "AWSAccessKeyId=" in url
    assert code_of(anybody.put(url, content=b"data")) == (403, "SignatureDoesNotMatch")
    assert anybody.put(url, content=b"data", headers={"content-type": "text/plain"}).status_code == 200
    disposition = 'attachment; filename="a+b&c.txt"'
    shown = {"Bucket": bucket, "Key": "a b", "ResponseContentDisposition": disposition}
    response = anybody.get(s3.generate_presigned_url("get_object", shown), headers={"range": "bytes=1-2"})
    assert (response.status_code, response.content) == (206, b"at")
    assert response.headers["content-disposition"] == disposition
    post = s3.generate_presigned_post(bucket, "form/${filename}", Conditions=[["content-length-range", 1, 3]])
    assert "AWSAccessKeyId" in post["fields"]
    send = {"data": post["fields"], "files": {"file": ("x.txt", b"abc")}}
    assert anybody.post(post["url"], **send).status_code == 204
    send["files"] = {"file": ("y.txt", b"abcd")}
    assert code_of(anybody.post(post["url"], **send)) == (400, "EntityTooLarge")
    changed = post["fields"] | {"signature": post["fields"]["signature"].swapcase()}
    assert code_of(anybody.post(post["url"], data=changed, files=send["files"])) == (403, "SignatureDoesNotMatch")
    assert s3.get_object(Bucket=bucket, Key="form/x.txt")["Body"].read() == b"abc"


def test_hosts_with_the_bucket(old_server: Server, pair: tuple[str, str], bucket: str, anybody: httpx.Client) -> None:
    url = f"http://s3.localhost:{old_server.port}"
    s3 = client_of(old_server, pair, url, signature_version="s3", s3={"addressing_style": "virtual"})
    signed = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a/b"})
    assert signed.startswith(f"http://{bucket}.s3.localhost")
    address = signed.replace(f"{bucket}.s3.localhost", "127.0.0.1")
    host = f"{bucket}.s3.localhost"
    assert anybody.put(address, content=b"data", headers={"host": host}).status_code == 200
    # The signature covers the bucket.
    other = anybody.put(address, content=b"data", headers={"host": f"x{host}"})
    assert code_of(other) == (403, "SignatureDoesNotMatch")


def test_a_url_gives_nothing_else(s3: Any, bucket: str, anybody: httpx.Client) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"data")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})
    assert anybody.get(url).content == b"data"
    assert code_of(anybody.put(url, content=b"x")) == (403, "SignatureDoesNotMatch")
    assert anybody.get(url.replace("/a?", "/b?")).status_code == 403
    assert code_of(anybody.get(f"{url}&attributes")) == DENIED
    assert code_of(anybody.get(f"{url}&acl")) == (403, "SignatureDoesNotMatch")
    assert code_of(anybody.get(url, headers={"x-amz-meta-a": "1"})) == (403, "SignatureDoesNotMatch")
    assert code_of(anybody.get(url, headers={"authorization": "AWS a:b"})) == DENIED
    late = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"}, ExpiresIn=-1)
    assert code_of(anybody.get(late)) == DENIED
    lists = s3.generate_presigned_url("list_objects_v2", {"Bucket": bucket, "Prefix": "a"})
    assert code_of(anybody.get(lists)) == DENIED


def test_a_url_for_a_part_stores_no_object(s3: Any, bucket: str, anybody: httpx.Client) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    part = {"Bucket": bucket, "Key": "a", "UploadId": upload, "PartNumber": 1}
    url = s3.generate_presigned_url("upload_part", part)
    joined = url.replace(f"uploadId={upload}&partNumber=1", f"partNumber=1%26uploadId%3D{upload}")
    assert joined != url
    assert code_of(anybody.put(joined, content=b"data")) == DENIED
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert anybody.put(url, content=b"data").status_code == 200


def test_a_key_has_its_own_rights_only(old_server: Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"data")
    reader = client_of(old_server, key_pair(old_server, "read", prefixes=[f"{bucket}/"]), signature_version="s3")
    assert reader.get_object(Bucket=bucket, Key="a")["Body"].read() == b"data"
    with pytest.raises(ClientError) as raised:
        reader.put_object(Bucket=bucket, Key="b", Body=b"")
    assert refused(raised.value) == DENIED
    unknown = client_of(old_server, ("a" * 16, "b"), signature_version="s3")
    with pytest.raises(ClientError) as raised:
        unknown.get_object(Bucket=bucket, Key="a")
    assert refused(raised.value) == (403, "InvalidAccessKeyId")


def test_all_of_it_is_refused_unless_the_operator_takes_it(tmp_path: Path, anybody: httpx.Client) -> None:
    with Server(tmp_path) as server:
        pair = key_pair(server)
        s3_client(server, pair).create_bucket(Bucket="films")
        old = client_of(server, pair, signature_version="s3")
        with pytest.raises(ClientError) as raised:
            old.put_object(Bucket="films", Key="a", Body=b"")
        assert refused(raised.value) == DENIED
        url = old.generate_presigned_url("put_object", {"Bucket": "films", "Key": "a"})
        assert code_of(anybody.put(url, content=b"")) == DENIED
        post = old.generate_presigned_post("films", "a")
        assert code_of(anybody.post(post["url"], data=post["fields"], files={"file": b"x"})) == DENIED
