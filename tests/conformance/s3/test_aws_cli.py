"""The aws command line: whole folders up, down and away."""

from functools import partial

from tests.conformance.environments import environment
from tests.conformance.s3 import files
from tests.conformance.s3.endpoint import Client
from tests.contracts.blob_store import pattern


def aws(client: Client, *arguments: str, given: bytes = b"", codes: tuple[int, ...] = (0,)) -> str:
    """The output of `aws s3`."""
    python = str(environment("aws") / "python")
    command = [python, str(environment("aws") / "aws"), "s3", *arguments]
    return client.run(*command, given=given, codes=codes).decode()


def test_files_are_copied_and_moved(client: Client) -> None:
    s3, there = partial(aws, client), f"s3://{client.bucket}"
    wanted = files.make(client.folder / "up")
    s3("mb", there)
    s3("cp", "up/sub/large.bin", f"{there}/a b/large")
    s3("mv", f"{there}/a b/large", f"{there}/moved")
    s3("cp", "-", f"{there}/pipe", given=b"from a pipe")
    assert s3("cp", f"{there}/pipe", "-") == "from a pipe"
    assert client.endpoint.keys(client.bucket) == ["moved", "pipe"]
    s3("mv", f"{there}/moved", "down/sub/large.bin")
    assert files.digests(client.folder / "down") == {"sub/large.bin": wanted["sub/large.bin"]}
    assert client.endpoint.keys(client.bucket) == ["pipe"]


def test_folders_are_kept_alike(client: Client) -> None:
    s3, there = partial(aws, client), f"s3://{client.bucket}"
    wanted = files.make(client.folder / "up")
    s3("mb", there)
    s3("sync", "--no-progress", "up", f"{there}/kept")
    assert s3("sync", "up", f"{there}/kept") == ""
    s3("sync", f"{there}/kept", "down")
    assert files.digests(client.folder / "down") == wanted
    (client.folder / "up" / "small").unlink()
    assert s3("sync", "--delete", "up", f"{there}/kept").startswith("delete: ")
    assert "kept/small" not in client.endpoint.keys(client.bucket)
    listed = s3("ls", "--recursive", there).splitlines()
    assert len(listed) == len(wanted) - 1
    s3("rm", "--recursive", there)
    assert client.endpoint.keys(client.bucket) == []
    s3("rb", there)


def test_a_presigned_url_is_read_without_a_key(client: Client) -> None:
    s3, there = partial(aws, client), f"s3://{client.bucket}"
    # For us-east-1 it signs URLs by the older version 2 otherwise, which Drivebay takes only by a setting.
    (client.folder / ".aws").mkdir()
    (client.folder / ".aws" / "config").write_text("[default]\ns3 =\n  signature_version = s3v4\n")
    s3("mb", there)
    s3("cp", "-", f"{there}/a b", given=b"shared")
    url = s3("presign", f"{there}/a b", "--expires-in", "60").strip()
    assert client.endpoint.fetched(url) == b"shared"


def test_a_file_after_an_empty_one(client: Client) -> None:
    """All requests use one connection, and announce their bodies. Amazon answers 100 for an empty body, too.

    Where the final response comes instead, the botocore of this client does not understand the next response, unless
    the connection was closed: it waits for more of it.
    """
    s3, there = partial(aws, client), f"s3://{client.bucket}"
    (client.folder / ".aws").mkdir()
    (client.folder / ".aws" / "config").write_text("[default]\ns3 =\n  max_concurrent_requests = 1\n")
    (client.folder / "up").mkdir()
    for number, size in enumerate([0, 1000] * 3):
        (client.folder / "up" / str(number)).write_bytes(pattern(size))
    s3("mb", there)
    s3("cp", "--no-progress", "--cli-read-timeout", "10", "--recursive", "up", there)
    s3("cp", "--no-progress", "--recursive", there, "down")
    assert files.digests(client.folder / "down") == files.digests(client.folder / "up")
