"""The driver that performs the commands of flows by blocking calls."""

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from threading import Event
from time import sleep
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


class StoppedError(BaseException):
    """Another flow of the same group has failed."""


class Driver:
    """Runs flows with blocking calls. It may be used by several threads."""

    def __init__(self, connections: Connections[httpx.Client]) -> None:
        self.connections = connections

    def run(self, flow: Flow[T], stopped: Event | None = None) -> T:
        """Run a flow to completion, and return its result."""
        advance: Callable[[], Command] = partial(next, flow)
        while True:
            try:
                command = advance()
            except StopIteration as stop:
                result: T = stop.value
                return result
            try:
                if stopped is not None and stopped.is_set() and not isinstance(command, Close):
                    raise StoppedError
                advance = partial(flow.send, self._perform(command))
            except BaseException as error:  # noqa: BLE001 - the flow decides
                advance = partial(flow.throw, error)

    def _perform(self, command: Command) -> Any:
        match command:
            case Call():
                return self._call(command)
            case Open(call):
                return self._open(call)
            case Read(stream):
                return stream.next()
            case Close(stream):
                with suppress(httpx.TransportError):
                    stream.close()
            case Sleep(seconds):
                sleep(seconds)
            case Work(function):
                return function()
            case Pull(iterator):
                return next(iterator, END)
            case Gather():
                return self._gather(command)
        return None

    def _call(self, call: Call) -> Reply:
        try:
            response = self.connections.http.request(**arguments(call, is_async=False))
        except httpx.TransportError as error:
            raise failed(error) from error
        return reply_of(response, response.content)

    def _open(self, call: Call) -> Reply:
        try:
            http = self.connections.http
            response = http.send(http.build_request(**arguments(call, is_async=False)), stream=True)
            if response.is_success:
                return reply_of(response, stream=OpenStream(response, response.iter_raw()))
            try:
                return reply_of(response, response.read())
            finally:
                response.close()
        except httpx.TransportError as error:
            raise failed(error) from error

    def _gather(self, gather: Gather) -> list[Any]:
        stopped = Event()
        with ThreadPoolExecutor(gather.limit, "drivebay") as threads:
            futures = [threads.submit(self.run, flow, stopped) for flow in gather.flows]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                if not all(future.done() and not future.cancelled() and not future.exception() for future in futures):
                    stopped.set()
                    threads.shutdown(wait=True, cancel_futures=True)
        errors = [future.exception() for future in futures if not future.cancelled()]
        for error in errors:
            if error is not None and not isinstance(error, StoppedError):
                raise error
        return [future.result() for future in futures]
