"""s5cmd: many objects at once."""

from functools import partial

from tests.conformance.environments import environment
from tests.conformance.s3 import files
from tests.conformance.s3.endpoint import Client
from tests.contracts.blob_store import pattern


def s5cmd(client: Client, *arguments: str, given: bytes = b"") -> bytes:
    program = str(environment("python") / "s5cmd")
    return client.run(program, "--endpoint-url", client.endpoint.url, "--retry-count", "0", *arguments, given=given)


def test_folders_are_copied_and_deleted(client: Client) -> None:
    run, there = partial(s5cmd, client), f"s3://{client.bucket}"
    wanted = files.make(client.folder / "up")
    run("mb", there)
    run("cp", "--part-size", "5", "--concurrency", "4", "up/", f"{there}/kept/")
    run("cp", "--part-size", "5", f"{there}/kept/*", "down/")
    assert files.digests(client.folder / "down") == wanted
    assert run("sync", "up/", f"{there}/kept/") == b""
    run("cp", f"{there}/kept/*", f"{there}/copy/")
    run("mv", f"{there}/copy/small", f"{there}/moved")
    assert files.digest(run("cat", f"{there}/moved")) == wanted["small"]
    assert len(run("ls", f"{there}/kept/*").splitlines()) == len(wanted)
    run("rm", f"{there}/*")
    assert client.endpoint.keys(client.bucket) == []
    run("rb", there)


def test_a_pipe_is_stored(client: Client, bucket: str) -> None:
    given = pattern(12_000_000)
    s5cmd(client, "pipe", "--part-size", "5", f"s3://{bucket}/pipe", given=given)
    assert files.digest(s5cmd(client, "cat", f"s3://{bucket}/pipe")) == files.digest(given)
