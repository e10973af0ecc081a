"""The threads for calls that block."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from adapters.concurrency.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    with Threads("test", 2) as threads:
        yield threads


async def test_a_result_and_an_error_come_back(threads: Threads) -> None:
    assert await threads.run(divmod, 17, 5) == (3, 2)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 17, 0)


async def test_calls_run_beside_each_other_and_off_the_loop(threads: Threads) -> None:
    barrier = threading.Barrier(2, timeout=10)
    await asyncio.gather(threads.run(barrier.wait), threads.run(barrier.wait))


async def test_a_cancelled_caller_waits_for_its_call(threads: Threads) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert go_on.wait(10)
        ended.set()

    caller = asyncio.create_task(threads.run(call))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_a_call_that_was_cancelled_before_it_began_does_not_begin(threads: Threads) -> None:
    go_on = threading.Event()
    busy = [asyncio.create_task(threads.run(go_on.wait, 10)) for _ in range(2)]
    ran: list[int] = []
    waiting = asyncio.create_task(threads.run(ran.append, 1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.gather(*busy)
    assert ran == []


async def test_leaving_lets_the_calls_end() -> None:
    ran: list[int] = []
    with Threads("test", 1) as threads:
        calls = [asyncio.create_task(threads.run(ran.append, number)) for number in range(100)]
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert ran == list(range(100))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]


async def test_what_was_left_is_entered_again() -> None:
    threads = Threads("test", 2)
    for _ in range(2):
        with threads:
            assert await threads.run(lambda: "done") == "done"


async def test_a_started_call_ends_with_another_one_in_the_loop(threads: Threads) -> None:
    ran: list[str] = []
    ended = asyncio.Event()

    def end() -> None:
        ran.append(threading.current_thread().name)
        ended.set()

    threads.start(lambda: ran.append(threading.current_thread().name), end)
    await ended.wait()
    assert ran == ["test-1", threading.current_thread().name]


def test_a_call_starts_only_if_threads_are_idle() -> None:
    go_on = threading.Event()
    with Threads("test", 4) as threads:
        started = [threads.start_if_idle(go_on.wait) for _ in range(4)]  # type: ignore[arg-type]  # its result is dropped
        go_on.set()
    assert started == [True, True, True, False]
