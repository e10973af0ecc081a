"""The driver that performs the commands of flows in an event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, TypeVar

import httpx

from entrypoints.client.connections import Connections
from entrypoints.client.flows.commands import (
    END,
    Call,
    Close,
    Command,
    Flow,
    Gather,
    Open,
    Pull,
    Read,
    Reply,
    Sleep,
    Work,
)
from entrypoints.client.transport import OpenStream, arguments, failed, reply_of

T = TypeVar("T")


class AsyncDriver:
    """Runs flows in an event loop."""

    def __init__(self, connections: Connections[httpx.AsyncClient]) -> None:
        self.connections = connections

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to completion, and return its result."""
        advance: Callable[[], Command] = partial(next, flow)
        while True:
            try:
                command = advance()
            except StopIteration as stop:
                result: T = stop.value
                return result
            try:
                advance = partial(flow.send, await self._perform(command))
            except BaseException as error:  # noqa: BLE001 - the flow decides
                advance = partial(flow.throw, error)

    async def _perform(self, command: Command) -> Any:
        match command:
            case Call():
                return await self._call(command)
            case Open(call):
                return await self._open(call)
            case Read(stream):
                return await stream.anext()
            case Close(stream):
                with suppress(httpx.TransportError):
                    await stream.aclose()
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Work(function):
                return await _in_thread(function)
            case Pull(iterator):
                return await self._pull(iterator)
            case Gather():
                return await self._gather(command)
        return None

    async def _call(self, call: Call) -> Reply:
        try:
            response = await self.connections.http.request(**arguments(call, is_async=True))
        except httpx.TransportError as error:
            raise failed(error) from error
        return reply_of(response, response.content)

    async def _open(self, call: Call) -> Reply:
        try:
            http = self.connections.http
            response = await http.send(http.build_request(**arguments(call, is_async=True)), stream=True)
            if response.is_success:
                return reply_of(response, stream=OpenStream(response, response.aiter_raw()))
            try:
                return reply_of(response, await response.aread())
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise failed(error) from error

    async def _pull(self, iterator: Any) -> Any:
        if hasattr(iterator, "__anext__"):
            return await anext(iterator, END)
        return await _in_daemon(partial(next, iterator, END))

    async def _gather(self, gather: Gather) -> list[Any]:
        flows = list(gather.flows)
        results: list[Any] = [None] * len(flows)
        waiting = iter(enumerate(flows))

        async def work() -> None:
            for number, flow in waiting:
                results[number] = await self.run(flow)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(gather.limit, len(flows))):
                    tasks.create_task(work())
        except BaseExceptionGroup as group:
            raise _first(group) from None
        return results


async def _in_thread(function: Callable[[], T]) -> T:
    """Return what a function returns in a thread. A cancellation waits for it: its files are closed next."""
    running = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def _in_daemon(function: Callable[[], T]) -> T:
    """Return what a function returns in a thread. A cancellation does not wait for it: it may wait for a terminal."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not future.done() and error is not None:
            future.set_exception(error)
        elif not future.done():
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        found, failure = None, None
        try:
            found = function()
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found, failure)

    Thread(target=run, daemon=True).start()
    return await future


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
