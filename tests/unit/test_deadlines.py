"""A deadline for one wait, against the promises of `asyncio.timeout`."""

import asyncio

import pytest

from entrypoints.http.protocol.deadline import within

LONG = 60.0


def cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def stuck(cleaned: list[str], *, fails: bool = False) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cleaned.append("up")
        if fails:
            raise LookupError


async def test_a_result_in_time_is_returned() -> None:
    assert await within(LONG, asyncio.sleep(0, "result")) == "result"


async def test_an_error_in_time_is_raised() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await within(LONG, fail())


async def test_a_wait_beyond_it_is_cancelled() -> None:
    cleaned: list[str] = []
    with pytest.raises(TimeoutError):
        await within(0.001, stuck(cleaned))
    assert (cleaned, cancellations()) == (["up"], 0)


async def test_an_error_of_the_cancelled_wait_is_raised() -> None:
    with pytest.raises(LookupError):
        await within(0.001, stuck([], fails=True))
    assert cancellations() == 0


@pytest.mark.parametrize("seconds", [LONG, 0.001])
async def test_a_cancellation_from_outside_stays_one(seconds: float) -> None:
    """Also if the deadline passes at the same moment."""
    cleaned: list[str] = []
    waiting = asyncio.create_task(within(seconds, stuck(cleaned)))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(seconds if seconds < LONG else 0, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cleaned == ["up"]


async def test_one_within_another() -> None:
    with pytest.raises(TimeoutError):
        await within(0.001, within(LONG, stuck([])))
    assert cancellations() == 0
