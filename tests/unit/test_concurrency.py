"""Calls that are shared by concurrent callers."""

import asyncio
from typing import Any

import pytest

from application.concurrency import SharedCalls


class Calls:
    """Calls that wait until they may end."""

    def __init__(self) -> None:
        self.begun = list[str]()
        self.may_end = asyncio.Event()

    async def call(self, key: str) -> str:
        self.begun.append(key)
        await self.may_end.wait()
        if key == "bad":
            raise ValueError(key)
        return key


async def waiting(shared: SharedCalls[str, str], calls: Calls, *keys: str) -> list["asyncio.Task[str]"]:
    """Return callers that wait for the calls with these keys."""
    callers = [asyncio.create_task(shared(key, lambda key=key: calls.call(key))) for key in keys]  # type: ignore[misc]
    for _ in range(2):  # the callers, then the calls
        await asyncio.sleep(0)
    return callers


async def test_callers_share_a_call_and_the_next_one_makes_another() -> None:
    shared, calls = SharedCalls[str, str](), Calls()
    callers = await waiting(shared, calls, "a", "a", "b")
    assert calls.begun == ["a", "b"]
    calls.may_end.set()
    assert await asyncio.gather(*callers) == ["a", "a", "b"]
    await asyncio.gather(*await waiting(shared, calls, "a"))
    assert calls.begun == ["a", "b", "a"]


async def test_callers_share_an_error() -> None:
    shared, calls = SharedCalls[str, str](), Calls()
    callers = await waiting(shared, calls, "bad", "bad")
    calls.may_end.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(error) for error in errors] == [ValueError, ValueError]
    assert calls.begun == ["bad"]


@pytest.mark.parametrize("key", ["a", "bad"])
async def test_a_call_goes_on_without_its_callers(key: str) -> None:
    shared, calls, logged = SharedCalls[str, str](), Calls(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    for caller in await waiting(shared, calls, key, key):
        caller.cancel()
    [late] = await waiting(shared, calls, key)
    calls.may_end.set()
    await asyncio.wait([late])
    assert calls.begun == [key]
    assert (late.exception() is None) == (key == "a")
    assert logged == []
