"""httpx, as people use it: streams in both directions, and what it does with a connection that it leaves."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import PATIENCE, Server
from tests.http.wire import TOKEN

DATA = pattern(20 * MIB + 1)
BLOB = "/v1/blobs/httpx"
PATH = f"{BLOB}?alt=media"


@pytest.fixture
async def asking(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE, verify=False) as client:  # noqa: S501
        yield client


async def chunks(size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(DATA), size):
        await asyncio.sleep(0)
        yield DATA[start : start + size]


@pytest.fixture(scope="module")
def stored(client: httpx.Client) -> Iterator[httpx.Response]:
    yield client.put(BLOB, content=DATA)
    client.delete(BLOB)


async def test_a_stream_up_and_down(asking: httpx.AsyncClient) -> None:
    for size in (65_536, 7_654_321):
        path = f"/v1/blobs/httpx%20{size}"
        sent = await asking.put(path, content=chunks(size))
        assert (sent.status_code, sent.json()["sha256"]) == (201, hashlib.sha256(DATA).hexdigest())
        received = hashlib.sha256()
        async with asking.stream("GET", f"{path}?alt=media") as answer:
            async for chunk in answer.aiter_bytes():
                received.update(chunk)
        assert received.digest() == hashlib.sha256(DATA).digest()


async def test_parts_at_once_make_the_whole(asking: httpx.AsyncClient, stored: httpx.Response) -> None:
    part = len(DATA) // 7
    starts = range(0, len(DATA), part)
    headers = [{"Range": f"bytes={start}-{start + part - 1}", "If-Match": stored.headers["etag"]} for start in starts]
    answers = await asyncio.gather(*(asking.get(PATH, headers=each) for each in headers))
    assert {answer.status_code for answer in answers} == {206}
    assert b"".join(answer.content for answer in answers) == DATA


async def test_a_download_that_is_left_and_gone_on_with(asking: httpx.AsyncClient, stored: httpx.Response) -> None:
    received = b""
    async with asking.stream("GET", PATH) as answer:
        async for chunk in answer.aiter_bytes():
            received += chunk
            if len(received) > MIB:
                break
        validator = answer.headers["etag"]
    rest = await asking.get(PATH, headers={"Range": f"bytes={len(received)}-", "If-Range": validator})
    assert rest.status_code == 206
    assert received + rest.content == DATA
    assert (await asking.get(PATH, headers={"If-None-Match": validator})).status_code == 304


async def test_an_upload_that_fails_at_its_source_changes_nothing(
    asking: httpx.AsyncClient, stored: httpx.Response
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        raise OSError("the disk is broken")

    for headers in ({}, {"Content-Length": str(len(DATA))}):
        with pytest.raises(OSError, match="the disk is broken"):
            await asking.put(BLOB, content=failing(), headers=headers)
        assert (await asking.get(PATH)).content == DATA


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Authorization": "Bearer wrong"}, 401), ({"If-None-Match": "*"}, 412), ({"Content-Type": "x"}, 400)],
)
def test_a_refusal_reaches_who_is_still_sending(
    client: httpx.Client, stored: httpx.Response, headers: dict[str, str], status: int
) -> None:
    assert client.put(BLOB, content=DATA, headers=headers).status_code == status
    assert client.get(PATH).content == DATA
