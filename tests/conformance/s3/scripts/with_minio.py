# mypy: disable-error-code="import-not-found"
"""MinIO's library for Python."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from shared import ACCESS_KEY, BUCKET, CERTIFICATE, ENDPOINT, MIB, ODD_KEYS, SECRET_KEY, blob, file, request, run, same

SIZE = 11 * MIB + 1
address = urlsplit(ENDPOINT)
client = Minio(
    endpoint=address.netloc,
    access_key=ACCESS_KEY,
    secret_key=SECRET_KEY,
    secure=address.scheme == "https",
    http_client=urllib3.PoolManager(ca_certs=CERTIFICATE, retries=False),
)


def stored(key: str) -> bytes:
    response = client.get_object(bucket_name=BUCKET, object_name=key)
    try:
        content: bytes = response.data
        return content
    finally:
        response.close()
        response.release_conn()


def refused(bucket: str) -> str:
    """The code of the error that a read of an absent object comes to."""
    try:
        client.get_object(bucket_name=bucket, object_name="none")
    except S3Error as error:
        return str(error.code)
    return "none"


def transfers() -> None:
    """Files in parts, streams of unknown length, and parts of objects."""
    assert not client.bucket_exists(bucket_name=BUCKET)
    client.make_bucket(bucket_name=BUCKET)
    assert client.bucket_exists(bucket_name=BUCKET)
    assert BUCKET in [bucket.name for bucket in client.list_buckets()]
    where = {"bucket_name": BUCKET, "object_name": "large"}
    client.fput_object(**where, file_path=str(file("up", SIZE)), part_size=5 * MIB, num_parallel_uploads=3)
    assert client.stat_object(**where).size == SIZE
    client.fget_object(**where, file_path="down")
    assert same(Path("down").read_bytes(), SIZE)
    stream = io.BytesIO(blob(6 * MIB))
    client.put_object(bucket_name=BUCKET, object_name="stream", data=stream, length=-1, part_size=5 * MIB)
    assert same(stored("stream"), 6 * MIB)
    client.put_object(bucket_name=BUCKET, object_name="empty", data=io.BytesIO(b""), length=0)
    assert stored("empty") == b""
    part = client.get_object(**where, offset=5 * MIB - 5, length=10)
    assert part.data == blob(SIZE)[5 * MIB - 5 : 5 * MIB + 5]
    part.release_conn()


def copies() -> None:
    """Copies, and an object that is made of others."""
    client.make_bucket(bucket_name=BUCKET)
    client.put_object(bucket_name=BUCKET, object_name="a ü", data=io.BytesIO(blob(5 * MIB)), length=5 * MIB)
    client.put_object(bucket_name=BUCKET, object_name="b", data=io.BytesIO(blob(100)), length=100)
    client.copy_object(bucket_name=BUCKET, object_name="copy", source=CopySource(BUCKET, "a ü"))
    assert same(stored("copy"), 5 * MIB)
    client.copy_object(
        bucket_name=BUCKET,
        object_name="copy",
        source=CopySource(BUCKET, "b"),
        metadata_directive=REPLACE,
        metadata={"camera": "Bolex"},
    )
    assert client.stat_object(bucket_name=BUCKET, object_name="copy").metadata["x-amz-meta-camera"] == "Bolex"
    sources = [ComposeSource(BUCKET, "a ü"), ComposeSource(BUCKET, "b")]
    client.compose_object(bucket_name=BUCKET, object_name="both", sources=sources)
    assert stored("both") == blob(5 * MIB) + blob(100)


def names() -> None:
    """Odd keys, listed in order, and deleted together."""
    client.make_bucket(bucket_name=BUCKET)
    allowed = [name for name in ODD_KEYS if not {".", ".."} & set(name.split("/"))]  # refused by the client
    for name in allowed:
        client.put_object(
            bucket_name=BUCKET, object_name=name, data=io.BytesIO(name.encode()), length=len(name.encode())
        )
        assert stored(name) == name.encode()
    for version in (True, False):
        listed = client.list_objects(bucket_name=BUCKET, recursive=True, use_api_v1=version)
        assert [found.object_name for found in listed] == sorted(allowed, key=str.encode)
    folders = [found.object_name for found in client.list_objects(bucket_name=BUCKET) if found.is_dir]
    assert folders == ["a/", "folder/", "ä/"]
    objects = [DeleteObject(name) for name in allowed]
    assert list(client.remove_objects(bucket_name=BUCKET, delete_object_list=objects)) == []
    client.remove_bucket(bucket_name=BUCKET)


def presigned() -> None:
    """URLs, and a form, that need no key."""
    client.make_bucket(bucket_name=BUCKET)
    where = {"bucket_name": BUCKET, "object_name": "a b/ü"}
    assert request("PUT", client.presigned_put_object(**where), blob(3000))[0] == 200
    status, body = request("GET", client.presigned_get_object(**where, expires=timedelta(minutes=1)))
    assert status == 200
    assert same(body, 3000)
    form()


def form() -> None:
    """An upload by a form of a browser."""
    from minio.datatypes import PostPolicy

    policy = PostPolicy(BUCKET, datetime.now(UTC) + timedelta(minutes=1))
    policy.add_starts_with_condition("key", "forms/")
    policy.add_content_length_range_condition(1, 10_000)
    fields = {**client.presigned_post_policy(policy), "key": "forms/a"}
    encoded, content_type = urllib3.encode_multipart_formdata({**fields, "file": ("a", blob(2000), "text/plain")})
    status, body = request("POST", f"{ENDPOINT}/{BUCKET}", encoded, **{"Content-Type": content_type})
    assert status in (200, 204), body
    assert same(stored("forms/a"), 2000)


def tags() -> None:
    """Tags of an object."""
    client.make_bucket(bucket_name=BUCKET)
    where = {"bucket_name": BUCKET, "object_name": "a"}
    client.put_object(**where, data=io.BytesIO(b"a"), length=1)
    wanted = Tags.new_object_tags()
    wanted["reel"] = "1 ü"
    client.set_object_tags(**where, tags=wanted)
    assert client.get_object_tags(**where) == wanted
    client.delete_object_tags(**where)
    assert client.get_object_tags(**where) is None


def refusals() -> None:
    """Errors that programs look for."""
    client.make_bucket(bucket_name=BUCKET)
    for bucket, wanted in ((BUCKET, "NoSuchKey"), (f"{BUCKET}-none", "NoSuchBucket")):
        assert refused(bucket) == wanted


if __name__ == "__main__":
    run(globals())
