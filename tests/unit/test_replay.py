"""Bodies that are read more than once."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from application.uploads.replay import KEPT, ReplayableBody
from tests.contracts.blob_store import Fault, chunked, pattern


async def take(body: ReplayableBody, least: int | None = None) -> bytes:
    """Return the chunks of a replay that have at least so many bytes, or all of them."""
    taken = b""
    async with aclosing(body.replay()) as replayed:
        async for chunk in replayed:
            taken += chunk
            if least is not None and len(taken) >= least:
                break
    return taken


@pytest.mark.parametrize("size", [0, 1, KEPT])
async def test_a_short_body_is_replayed_whole(size: int) -> None:
    body = ReplayableBody(chunked(pattern(size), 1000))
    for _ in range(3):
        assert await take(body) == pattern(size)
        assert body.can_replay


async def test_a_body_of_which_too_much_was_taken_is_not() -> None:
    body = ReplayableBody(chunked(pattern(KEPT + 1), 1000))
    assert await take(body) == pattern(KEPT + 1)
    assert not body.can_replay


async def test_a_long_body_is_replayed_while_little_was_taken() -> None:
    data = pattern(3 * KEPT)
    body = ReplayableBody(chunked(data, 1000))
    for least, taken in ((1000, 1000), (3000, 3000), (2000, 3000)):  # what is kept comes in one chunk
        assert await take(body, least) == data[:taken]
        assert body.can_replay
    assert await take(body) == data


async def test_nothing_is_kept_where_nothing_is_repeated() -> None:
    body = ReplayableBody(chunked(b"x"), limit=0)
    assert await take(body) == b"x"
    assert not body.can_replay


async def test_a_source_that_fails_is_not_asked_again() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise Fault

    body = ReplayableBody(failing())
    with pytest.raises(Fault):
        await take(body)
    assert not body.can_replay
