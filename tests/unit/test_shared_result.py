"""One result, shared by all callers."""

import asyncio

import pytest

from entrypoints.shared_result import SharedResult

LONG = 10**6  # seconds: longer than any test


class Made:
    """Results that are numbered, and made when `allowed`. Each result that is an error is raised."""

    def __init__(self, *errors: Exception) -> None:
        self.count = 0
        self.allowed = asyncio.Event()
        self._errors = list(errors)

    async def __call__(self) -> int:
        self.count += 1
        count = self.count
        await self.allowed.wait()
        if self._errors:
            raise self._errors.pop()
        return count


async def test_concurrent_callers_share_one_result() -> None:
    made = Made()
    shared = SharedResult(made, LONG)
    asking = [asyncio.create_task(shared.get()) for _ in range(5)]
    await asyncio.sleep(0)
    made.allowed.set()
    assert await asyncio.gather(*asking) == [1] * 5
    assert await shared.get() == 1


async def test_a_stale_result_is_made_again() -> None:
    made = Made()
    made.allowed.set()
    shared = SharedResult(made, fresh=-1)
    assert [await shared.get() for _ in range(3)] == [1, 2, 3]


async def test_a_stale_result_is_not_made_twice_at_once() -> None:
    made = Made()
    shared = SharedResult(made, fresh=-1)
    asking = [asyncio.create_task(shared.get()) for _ in range(5)]
    await asyncio.sleep(0)
    made.allowed.set()
    assert await asyncio.gather(*asking) == [1] * 5


async def test_a_cancelled_caller_does_not_cancel_the_result_of_the_others() -> None:
    made = Made()
    shared = SharedResult(made, LONG)
    cancelled, other = (asyncio.create_task(shared.get()) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    made.allowed.set()
    assert await other == await shared.get() == 1


async def test_an_error_is_not_kept() -> None:
    made = Made(ValueError("once"))
    made.allowed.set()
    shared = SharedResult(made, LONG)
    with pytest.raises(ValueError, match="once"):
        await shared.get()
    assert await shared.get() == 2
