"""rclone: folders copied, compared and moved, on the server where it can."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.conformance.s3 import files
from tests.conformance.s3.endpoint import Client
from tests.contracts.blob_store import pattern

PROGRAM = str(Path(sys.executable).parent / "rclone")
ONCE = ["--retries", "1", "--low-level-retries", "1"]
PARTS = ["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", "--s3-copy-cutoff", "5M"]


def rclone(client: Client, *arguments: str, given: bytes = b"") -> bytes:
    """The output of a command, for which `s3:` is the server."""
    client.variables |= {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_REGION": "us-east-1",
        "RCLONE_CONFIG_S3_ENDPOINT": client.endpoint.url,
    }
    return client.run(PROGRAM, *ONCE, *PARTS, *arguments, given=given)


def test_folders_are_copied_and_compared(client: Client) -> None:
    run, there = partial(rclone, client), f"s3:{client.bucket}"
    wanted = files.make(client.folder / "up")
    run("mkdir", there)
    run("copy", "up", f"{there}/kept")
    run("check", "up", f"{there}/kept")
    run("check", "--download", "up", f"{there}/kept")
    run("copy", f"{there}/kept", "down")
    assert files.digests(client.folder / "down") == wanted
    (client.folder / "up" / "small").unlink()
    run("sync", "up", f"{there}/kept")
    assert sorted(client.endpoint.keys(client.bucket)) == sorted(f"kept/{name}" for name in wanted if name != "small")
    listed = json.loads(run("lsjson", "--recursive", "--files-only", f"{there}/kept"))
    assert {each["Path"]: each["Size"] for each in listed} == {
        name: size for name, size in files.SIZES.items() if name != "small"
    }
    # It keeps the times of files, to the nanosecond, in metadata.
    found = {each["Path"]: each["ModTime"] for each in listed}
    run("touch", "--no-create", "--timestamp", "2001-02-03T04:05:06", f"{there}/kept/empty")
    [touched] = json.loads(run("lsjson", f"{there}/kept/empty"))
    assert touched["ModTime"].startswith("2001-02-03T04:05:06")
    assert touched["ModTime"] != found["empty"]
    run("purge", there)
    assert run("lsf", "s3:").count(client.bucket.encode()) == 0


def test_objects_are_moved_on_the_server(client: Client) -> None:
    run, there = partial(rclone, client), f"s3:{client.bucket}"
    wanted = files.make(client.folder / "up")
    run("copy", "up", f"{there}/kept")
    run("move", f"{there}/kept", f"{there}/moved ü")
    run("copy", f"{there}/moved ü", "down")
    assert files.digests(client.folder / "down") == wanted
    assert {key.partition("/")[0] for key in client.endpoint.keys(client.bucket)} == {"moved ü"}
    run("moveto", f"{there}/moved ü/small", f"{there}/alone")
    assert files.digest(run("cat", f"{there}/alone")) == wanted["small"]


@pytest.mark.parametrize("size", [11, 12_000_000])
def test_a_pipe_is_stored(client: Client, size: int) -> None:
    run, there = partial(rclone, client), f"s3:{client.bucket}"
    given = pattern(size)
    run("mkdir", there)
    run("rcat", f"{there}/pipe", given=given)
    assert files.digest(run("cat", f"{there}/pipe")) == files.digest(given)


def test_uploads_that_were_not_completed_are_removed(client: Client, bucket: str) -> None:
    client.endpoint.s3.create_multipart_upload(Bucket=bucket, Key="left")
    run = partial(rclone, client)
    listed = json.loads(run("backend", "list-multipart-uploads", f"s3:{bucket}"))
    assert [each["Key"] for each in listed[bucket]] == ["left"]
    run("backend", "cleanup", "-o", "max-age=0s", f"s3:{bucket}")
    assert client.endpoint.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    run("cleanup", f"s3:{bucket}")
