"""Renewals in the background, and what becomes of their errors."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from application.renewals import Renewals
from domain.errors import Unavailable


async def renewed(errors: Iterable[Exception]) -> list[Any]:
    """Wait until a renewal succeeds after these errors. Return what reached the event loop's exception handler."""
    left, succeeded, reported = [*errors], asyncio.Event(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    async def renew() -> None:
        if left:
            raise left.pop(0)
        succeeded.set()

    async with Renewals(renew, timedelta(milliseconds=1)) as renewals:
        renewals.start()
        await asyncio.wait_for(succeeded.wait(), 10)
    return reported


async def test_renewals_go_on_after_an_error_of_the_database() -> None:
    assert await renewed([Unavailable(), Unavailable()]) == []


@pytest.mark.parametrize("error", [ValueError("a bug"), TimeoutError()])
async def test_renewals_go_on_after_any_other_error_and_it_is_reported(error: Exception) -> None:
    assert await renewed([error, Unavailable()]) == [error]
