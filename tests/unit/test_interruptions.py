"""A request that ends another one with the same upload lets it take first what has arrived."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable

import pytest

from application.uploads.pieces import DRAIN, QUIET, Interruption
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
async def test_a_client_that_sends_on_is_ended(is_always_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    now, step = loop.time(), QUIET / 2
    monkeypatch.setattr(loop, "time", lambda: now)  # it passes with the chunks, however busy the machine is

    async def endless() -> AsyncIterator[bytes]:
        nonlocal now
        while True:
            now += step
            if not is_always_there:
                await asyncio.sleep(0)
            yield b"x"

    interruption = Interruption()
    interruption.interrupt()
    assert await taken(endless(), interruption) == pytest.approx(DRAIN / step, abs=1)


async def test_a_timeout_of_the_bytes_is_theirs() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError

    chunks, interruption = slow(), Interruption()
    interruption.interrupt()
    assert await interruption.next(chunks) == b"x"
    with pytest.raises(TimeoutError):
        await interruption.next(chunks)
