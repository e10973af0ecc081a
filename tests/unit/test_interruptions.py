"""A request that ends another one with the same upload lets it take first what has arrived."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable

import pytest

from application.uploads.pieces import DRAIN, Interruption
from domain.errors import LeaseLost


async def arriving(chunks: Iterable[bytes], *, hangs: bool = True) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk
    if hangs:
        await asyncio.Event().wait()


async def taken(chunks: AsyncIterator[bytes], interruption: Interruption) -> int:
    """Take chunks until the interruption ends them."""
    for count in itertools.count():
        try:
            assert await interruption.next(chunks) is not None
        except LeaseLost:
            return count
    raise AssertionError


async def test_chunks_that_have_arrived_are_taken() -> None:
    interruption = Interruption()
    interruption.interrupt()
    assert await taken(arriving([b"x"] * 1000), interruption) == 1000


async def test_a_wait_ends() -> None:
    interruption = Interruption()
    waiting = asyncio.create_task(taken(arriving([b"x"] * 3), interruption))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    interruption.interrupt()
    interruption.interrupt()
    assert await waiting == 3


async def test_the_end_is_the_end() -> None:
    interruption = Interruption()
    interruption.interrupt()
    chunks = arriving([b"x"], hangs=False)
    assert [await interruption.next(chunks) for _ in range(2)] == [b"x", None]


@pytest.mark.parametrize("is_always_there", [True, False])
async def test_a_client_that_sends_on_is_ended(is_always_there: bool) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    interruption, loop = Interruption(), asyncio.get_running_loop()
    interruption.interrupt()
    start = loop.time()
    await taken(endless() if is_always_there else arriving(itertools.repeat(b"x")), interruption)
    assert loop.time() - start >= DRAIN * 0.9


async def test_a_timeout_of_the_bytes_is_theirs() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError

    chunks, interruption = slow(), Interruption()
    interruption.interrupt()
    assert await interruption.next(chunks) == b"x"
    with pytest.raises(TimeoutError):
        await interruption.next(chunks)
