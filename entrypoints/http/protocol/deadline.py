"""A deadline for one wait."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, awaited: Awaitable[T]) -> T:
    """Return the result. Raises TimeoutError after `seconds`, and then cancels what it awaits.

    Does what `asyncio.timeout` does, in fewer steps: each chunk of each body passes here.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled_before = task.cancelling()
    has_passed = False

    def cancel() -> None:
        nonlocal has_passed
        has_passed = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, cancel)
    try:
        return await awaited
    except asyncio.CancelledError:
        if has_passed and task.cancelling() - 1 <= cancelled_before:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        if has_passed:
            task.uncancel()
