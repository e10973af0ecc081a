"""What an application may still hold of a request that has ended."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from entrypoints.http.ended_requests import EndedRequestMiddleware


class Exchange:
    """The HTTP server's side of a request."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def answered(app: Any, exchange: Exchange) -> None:
    await EndedRequestMiddleware(app)({"type": "http"}, exchange.receive, exchange.send)  # type: ignore[arg-type]


async def test_messages_pass_until_the_end() -> None:
    exchange = Exchange()

    async def echo(_: Any, receive: Any, send: Any) -> None:
        await send(await receive())

    await answered(echo, exchange)
    assert exchange.sent == [await exchange.receive()]


@pytest.mark.usefixtures("uncollected")
async def test_an_error_that_holds_itself_does_not_hold_the_server() -> None:
    async def fail(_: Any, receive: Any, send: Any) -> None:
        try:
            raise ValueError
        except ValueError as error:
            kept = error
            await send(await receive())
            assert kept.__traceback__

    exchange = Exchange()
    held = weakref.ref(exchange)
    await answered(fail, exchange)
    del exchange
    assert held() is None


async def test_nothing_comes_or_goes_afterwards() -> None:
    kept: list[Any] = []

    async def keep(_: Any, receive: Any, send: Any) -> None:
        kept.extend((receive, send))

    exchange = Exchange()
    await answered(keep, exchange)
    receive, send = kept
    await send({"type": "http.response.start"})
    assert exchange.sent == []
    assert (await receive())["type"] == "http.disconnect"
