# mypy: disable-error-code="import-not-found"
"""boto3, and its transfer manager."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from shared import ACCESS_KEY, BUCKET, MIB, ODD_KEYS, SECRET_KEY, blob, file, request, run, same

SIZE = 17 * MIB + 1
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
WRITERS = 8

s3 = boto3.client("s3")


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    """The code of the error that an operation comes to."""
    try:
        call(**arguments)
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    return "none"


def stored(key: str) -> bytes:
    content: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return content


def keys(**arguments: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, **arguments)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def transfers() -> None:
    """Files in parts, by several threads, up and down."""
    s3.create_bucket(Bucket=BUCKET)
    s3.upload_file(str(file("up", SIZE)), BUCKET, "large", Config=PARTS)
    s3.upload_file(str(file("small", 1000)), BUCKET, "small", Config=PARTS)
    s3.upload_fileobj(io.BytesIO(b""), BUCKET, "empty")
    head = s3.head_object(Bucket=BUCKET, Key="large")
    assert head["ContentLength"] == SIZE
    assert head["ETag"].endswith('-4"')
    for key, size in (("large", SIZE), ("small", 1000), ("empty", 0)):
        s3.download_file(BUCKET, key, "down", Config=PARTS)
        assert same(Path("down").read_bytes(), size), key
    assert s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def presigned() -> None:
    """URLs that need no key: they read, write, expire, and can't be altered."""
    s3.create_bucket(Bucket=BUCKET)
    signer = boto3.client("s3", config=Config(signature_version="s3v4"))
    where = {"Bucket": BUCKET, "Key": "a b+c/ü"}
    put = signer.generate_presigned_url("put_object", where, ExpiresIn=60)
    assert request("PUT", put, blob(3000))[0] == 200
    get = signer.generate_presigned_url("get_object", where, ExpiresIn=60)
    status, body = request("GET", get)
    assert status == 200
    assert same(body, 3000)
    status, body = request("GET", get, Range="bytes=10-19")
    assert (status, body) == (206, blob(3000)[10:20])
    named = signer.generate_presigned_url("get_object", {**where, "ResponseContentType": "text/x-odd"})
    assert request("GET", named)[0] == 200
    assert request("PUT", get, b"")[0] == 403
    assert request("GET", get.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))[0] == 403
    brief = signer.generate_presigned_url("get_object", where, ExpiresIn=1)
    time.sleep(2.1)
    assert request("GET", brief)[0] == 403


def copies() -> None:
    """Copies in one request and in parts, with the metadata of the source and with others."""
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="small ü", Body=blob(1000), ContentType="text/plain", Metadata={"kept": "yes"})
    s3.upload_file(str(file("up", SIZE)), BUCKET, "large", Config=PARTS)
    small, large = {"Bucket": BUCKET, "Key": "small ü"}, {"Bucket": BUCKET, "Key": "large"}
    s3.copy_object(Bucket=BUCKET, Key="copied", CopySource=small)
    head = s3.head_object(Bucket=BUCKET, Key="copied")
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"kept": "yes"})
    s3.copy_object(Bucket=BUCKET, Key="copied", CopySource=small, MetadataDirective="REPLACE", Metadata={"other": "1"})
    assert s3.head_object(Bucket=BUCKET, Key="copied")["Metadata"] == {"other": "1"}
    s3.copy(large, BUCKET, "copied large", Config=PARTS)
    assert s3.head_object(Bucket=BUCKET, Key="copied large")["ETag"].endswith('-4"')
    assert same(stored("copied"), 1000)
    assert same(stored("copied large"), SIZE)
    assert refused(s3.copy_object, Bucket=BUCKET, Key="x", CopySource=f"{BUCKET}/none") == "404 NoSuchKey"
    etag = s3.head_object(Bucket=BUCKET, Key="small ü")["ETag"]
    arguments = {"Bucket": BUCKET, "Key": "conditional", "CopySource": small}
    assert refused(s3.copy_object, **arguments, CopySourceIfNoneMatch=etag) == "412 PreconditionFailed"
    s3.copy_object(**arguments, CopySourceIfMatch=etag)


def deletes() -> None:
    """Several objects in one request, those that are not there as well, and the bucket when it is empty."""
    s3.create_bucket(Bucket=BUCKET)
    names = [*ODD_KEYS, "last"]
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=name, Body=name.encode())
    assert refused(s3.delete_bucket, Bucket=BUCKET) == "409 BucketNotEmpty"
    objects = [{"Key": name} for name in [*ODD_KEYS, "none"]]
    deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})
    assert sorted(each["Key"] for each in deleted["Deleted"]) == sorted([*ODD_KEYS, "none"])
    assert keys() == ["last"]
    assert "Deleted" not in s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "last"}], "Quiet": True})
    s3.delete_bucket(Bucket=BUCKET)
    assert refused(s3.head_bucket, Bucket=BUCKET) == "404 404"


def conditions() -> None:
    """Writes that create or replace what the client knows, and reads of what has changed."""
    s3.create_bucket(Bucket=BUCKET)
    at = {"Bucket": BUCKET, "Key": "a"}
    first = s3.put_object(**at, Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, **at, Body=b"2", IfNoneMatch="*") == "412 PreconditionFailed"
    second = s3.put_object(**at, Body=b"3", IfMatch=first)["ETag"]
    assert refused(s3.put_object, **at, Body=b"4", IfMatch=first) == "412 PreconditionFailed"
    assert refused(s3.put_object, Bucket=BUCKET, Key="none", Body=b"5", IfMatch=first) == "404 NoSuchKey"
    assert refused(s3.get_object, **at, IfNoneMatch=second) == "304 304"
    assert refused(s3.get_object, **at, IfMatch=first) == "412 PreconditionFailed"
    upload = s3.create_multipart_upload(**at)["UploadId"]
    part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"6")["ETag"]
    whole = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    complete = {**at, "UploadId": upload, "MultipartUpload": whole}
    assert refused(s3.complete_multipart_upload, **complete, IfNoneMatch="*") == "412 PreconditionFailed"
    assert stored("a") == b"3"
    s3.complete_multipart_upload(**complete, IfMatch=second)
    assert stored("a") == b"6"


def names() -> None:
    """Keys with characters that are encoded on the way: they come back as they were, in the order of their bytes."""
    s3.create_bucket(Bucket=BUCKET)
    for name in ODD_KEYS:
        s3.put_object(Bucket=BUCKET, Key=name, Body=name.encode())
    assert keys() == sorted(ODD_KEYS, key=str.encode)
    for name in ODD_KEYS:
        assert stored(name) == name.encode()
        assert keys(Prefix=name)[0] == name
    folders = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")["CommonPrefixes"]
    assert [folder["Prefix"] for folder in folders] == ["a/", "folder/", "ä/"]
    old = s3.list_objects(Bucket=BUCKET, MaxKeys=3)
    assert [found["Key"] for found in old["Contents"]] == sorted(ODD_KEYS, key=str.encode)[:3]


def pages() -> None:
    """Long lists, in pages of both versions of the operation, and of prefixes."""
    s3.create_bucket(Bucket=BUCKET)
    wanted = [f"{folder}/{number:02}" for folder in "abc" for number in range(10)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode()), wanted))
    for version in ("list_objects", "list_objects_v2"):
        listed = s3.get_paginator(version).paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 7})
        assert [found["Key"] for page in listed for found in page["Contents"]] == wanted, version
        folders = s3.get_paginator(version).paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 1})
        assert [each["Prefix"] for page in folders for each in page["CommonPrefixes"]] == ["a/", "b/", "c/"], version
    assert keys(StartAfter="c/04") == wanted[-5:]
    assert keys(Prefix="b/0") == wanted[10:20]


def properties() -> None:
    """Properties that are stored with an object, ranges of it, and its tags."""
    s3.create_bucket(Bucket=BUCKET)
    given = {
        "ContentType": "video/mp4",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a.mp4"',
        "ContentLanguage": "de",
        "ContentEncoding": "identity",
        "Metadata": {"camera": "Bolex H16", "empty": ""},
    }
    s3.put_object(Bucket=BUCKET, Key="film", Body=blob(5000), **given)
    head = s3.head_object(Bucket=BUCKET, Key="film")
    assert {name: head.get(name) for name in given} == given
    for asked, wanted in (("bytes=0-9", slice(10)), ("bytes=4990-", slice(4990, None)), ("bytes=-7", slice(-7, None))):
        part = s3.get_object(Bucket=BUCKET, Key="film", Range=asked)
        assert part["Body"].read() == blob(5000)[wanted]
        assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert refused(s3.get_object, Bucket=BUCKET, Key="film", Range="bytes=5000-") == "416 InvalidRange"
    s3.put_object_tagging(Bucket=BUCKET, Key="film", Tagging={"TagSet": [{"Key": "reel", "Value": "1"}]})
    assert s3.get_object_tagging(Bucket=BUCKET, Key="film")["TagSet"] == [{"Key": "reel", "Value": "1"}]
    attributes = s3.get_object_attributes(Bucket=BUCKET, Key="film", ObjectAttributes=["ETag", "ObjectSize"])
    assert (f'"{attributes["ETag"]}"', attributes["ObjectSize"]) == (head["ETag"], 5000)


def checksums() -> None:
    """Checksums that the client computes, the server verifies and returns, and the client verifies again."""
    s3.create_bucket(Bucket=BUCKET)
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        put = s3.put_object(Bucket=BUCKET, Key=algorithm, Body=blob(9000), ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=BUCKET, Key=algorithm, ChecksumMode="ENABLED")
        assert same(got["Body"].read(), 9000)
        assert put[f"Checksum{algorithm}"] == got[f"Checksum{algorithm}"], algorithm
        parts = {"ChecksumAlgorithm": algorithm}
        s3.upload_file(str(file("up", SIZE)), BUCKET, f"{algorithm} in parts", ExtraArgs=parts, Config=PARTS)
        s3.download_file(BUCKET, f"{algorithm} in parts", "down", Config=PARTS)
        assert same(Path("down").read_bytes(), SIZE), algorithm
    wrong = {"Bucket": BUCKET, "Key": "wrong", "Body": b"other", "ChecksumCRC32": "AAAAAA=="}
    assert refused(s3.put_object, **wrong) == "400 BadDigest"
    assert refused(s3.head_object, Bucket=BUCKET, Key="wrong") == "404 404"


def refusals() -> None:
    """Errors with the codes that programs look for."""
    s3.create_bucket(Bucket=BUCKET)
    assert refused(s3.get_object, Bucket=BUCKET, Key="none") == "404 NoSuchKey"
    assert refused(s3.get_object, Bucket=f"{BUCKET}-none", Key="none") == "404 NoSuchBucket"
    assert refused(s3.list_objects_v2, Bucket=f"{BUCKET}-none") == "404 NoSuchBucket"
    forger = boto3.client("s3", aws_access_key_id=ACCESS_KEY, aws_secret_access_key="no secret of the server")
    assert refused(forger.list_buckets) == "403 SignatureDoesNotMatch"
    stranger = boto3.client("s3", aws_access_key_id="NOBODY", aws_secret_access_key=SECRET_KEY)
    assert refused(stranger.list_buckets) == "403 InvalidAccessKeyId"
    absent = {"Bucket": BUCKET, "Key": "a", "UploadId": "none"}
    assert refused(s3.abort_multipart_upload, **absent) == "404 NoSuchUpload"


def lock() -> None:
    """The lock of OpenTofu: an object that its creator holds, and deletes. Of many writers, one holds it at a time."""
    s3.create_bucket(Bucket=BUCKET)
    at = {"Bucket": BUCKET, "Key": "state.tflock"}

    def take(writer: int) -> str:
        return refused(clients[writer].put_object, **at, Body=str(writer).encode(), IfNoneMatch="*")

    clients = [boto3.client("s3") for _ in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as threads:
        for _ in range(10):
            came = list(threads.map(take, range(WRITERS)))
            assert came.count("none") == 1, came
            assert set(came) <= {"none", "412 PreconditionFailed", "409 ConditionalRequestConflict"}, came
            assert stored("state.tflock") == str(came.index("none")).encode()
            s3.delete_object(**at)


def short() -> None:
    """A little of each, for one more storage."""
    transfers()
    at = {"Bucket": BUCKET, "Key": "small"}
    s3.copy({"Bucket": BUCKET, "Key": "large"}, BUCKET, "copy", Config=PARTS)
    assert same(stored("copy"), SIZE)
    assert refused(s3.put_object, **at, Body=b"", IfNoneMatch="*") == "412 PreconditionFailed"
    part = s3.get_object(Bucket=BUCKET, Key="copy", Range=f"bytes={6 * MIB}-{6 * MIB + 9}")["Body"].read()
    assert part == blob(SIZE)[6 * MIB : 6 * MIB + 10]
    assert keys() == ["copy", "empty", "large", "small"]
    objects = [{"Key": key} for key in keys()]
    assert len(s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})["Deleted"]) == 4
    s3.delete_bucket(Bucket=BUCKET)


if __name__ == "__main__":
    run(globals())
