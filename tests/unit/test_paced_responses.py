"""Bodies in chunks, with the pace of clients."""

import asyncio
from typing import Any

import pytest

from entrypoints.http.middleware.base.exchange import Exchange
from entrypoints.http.middleware.base.paced_responses import CHUNK, SHORT
from entrypoints.http.protocol.client_pace import Pace

START = {"type": "http.response.start", "status": 200, "headers": []}


async def sent(body: bytes, method: str = "GET", pace: Pace | None = None, send: Any = None) -> list[dict[str, Any]]:
    """The messages for a body that an application gives at once."""
    messages: list[dict[str, Any]] = []

    async def keep(message: Any) -> None:
        messages.append(message)
        if send is not None:
            await send(message)

    scope: Any = {"type": "http", "method": method, "path": "/", "headers": []}
    exchange = Exchange(scope, never, keep, [], pace or Pace())
    await exchange.send(dict(START))  # type: ignore[arg-type]
    await exchange.send({"type": "http.response.body", "body": body, "more_body": False})
    return messages


async def never() -> Any:
    raise AssertionError("the request was read")


@pytest.mark.parametrize("size", [SHORT + 1, SHORT + CHUNK - 1, SHORT + CHUNK, SHORT + CHUNK + 1, 5 * SHORT + 5])
async def test_the_bytes_are_the_same_in_small_chunks(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    start, *chunks = await sent(body)
    assert start == START
    assert b"".join(chunk["body"] for chunk in chunks) == body
    assert all(len(chunk["body"]) <= CHUNK for chunk in chunks)
    assert [chunk["more_body"] for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


@pytest.mark.parametrize("size", [0, 1, SHORT])
async def test_a_short_body_stays_in_one_piece(size: int) -> None:
    assert len(await sent(b"x" * size)) == 2


async def test_a_response_without_a_body_stays_as_it_is() -> None:
    assert len(await sent(b"x" * 3 * SHORT, "HEAD")) == 2


async def test_nothing_more_is_sent_to_a_client_that_stalls() -> None:
    async def stall(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    assert len(await sent(b"x" * 3 * SHORT, pace=Pace(timeout=0.01), send=stall)) == 2
