"""Buckets as trees of files, on S3 servers whose lists do not go on."""

import asyncio

import pytest

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.part_sizes import PART
from adapters.trees.bucket import BucketTree
from application.ports.file_tree import FileProperties, TreeFile
from domain.errors import Unavailable
from tests.contracts.blob_store import chunked, pattern
from tests.faults.fake_s3 import ID, FakeS3, Reply, Request

LARGE = pattern(PART + 1)


def page(*keys: str, truncated: bool) -> Reply:
    """Return a page of a list of objects."""
    found = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag>"
        "<LastModified>2023-10-27T10:00:00.000Z</LastModified></Contents>"
        for key in keys
    )
    return Reply(200, ID, f"<R><Name>b</Name>{found}<IsTruncated>{str(truncated).lower()}</IsTruncated></R>")


async def listed(server: FakeS3) -> list[str]:
    config = S3Config("b", "r", "a", "s", server.url, path_style=True, attempts=1)
    async with BucketTree(config) as tree:
        return [entry.path async for entry in tree.list() if isinstance(entry, TreeFile)]


@pytest.mark.parametrize("keys", [("a", "b"), ()], ids=["the same page", "an empty page"])
async def test_a_list_that_does_not_move_forward_is_refused(keys: tuple[str, ...]) -> None:
    async with FakeS3({"ListObjects": page(*keys, truncated=True)}) as server:
        with pytest.raises(Unavailable, match="never ends"):
            async with asyncio.timeout(10):
                await listed(server)
        assert len(server.operations) <= 2


async def test_a_list_of_several_pages() -> None:
    def reply(request: Request) -> Reply:
        return {"": page("a", "b", truncated=True), "b": page("c", truncated=False)}[
            request.query.get("start-after", [""])[0]
        ]

    async with FakeS3({"ListObjects": reply}) as server:
        assert await listed(server) == ["a", "b", "c"]


async def test_a_completion_may_take_longer_than_other_responses() -> None:
    completing, may_end = asyncio.Event(), asyncio.Event()

    def complete(_: Request) -> Reply:
        completing.set()
        return Reply(200, ID, "<R><Bucket>b</Bucket><Key>a</Key><ETag>e</ETag></R>", held=may_end)

    async with FakeS3({"CompleteMultipartUpload": complete}, size=len(LARGE)) as server:
        config = S3Config("b", "r", "a", "s", server.url, path_style=True, read_timeout=0.5, request_timeout=0.5)
        async with BucketTree(config) as tree:
            writing = asyncio.create_task(tree.write("a", chunked(LARGE), FileProperties()))
            await completing.wait()
            await asyncio.sleep(1.2)  # longer than both deadlines
            may_end.set()
            assert (await writing).size == len(LARGE)
        assert server.operations.count("CompleteMultipartUpload") == 1
