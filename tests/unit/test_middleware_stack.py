"""The middleware in one pass: its order, and who sees what."""

from typing import Any

import pytest

from entrypoints.http.middleware.base.exchange import Exchange, Header, Responder
from entrypoints.http.middleware.base.stack import Middleware, MiddlewareStack
from entrypoints.http.protocol.client_pace import Pace
from tests.asgi import exchange, scope


class Recorded(Middleware):
    """Middleware that records the calls of its hooks, and may respond itself, or fail."""

    def __init__(self, name: str, calls: list[str], *, responds: bool = False, fails: bool = False) -> None:
        self._name = name
        self._calls = calls
        self._responds = responds
        self._fails = fails

    def on_request(self, exchange: Exchange) -> Responder | None:
        self._calls.append(f"{self._name} request")
        if self._fails:
            raise LookupError
        return respond if self._responds else None

    def on_response(self, exchange: Exchange, headers: list[Header]) -> None:
        headers.append((self._name.encode(), b""))

    def on_end(self, exchange: Exchange) -> None:
        self._calls.append(f"{self._name} end {exchange.status}")

    async def on_early_response(self, exchange: Exchange) -> None:
        self._calls.append(f"{self._name} early")


async def respond(exchange: Exchange) -> None:
    await exchange.send({"type": "http.response.start", "status": 204, "headers": []})
    await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})


async def read_and_respond(exchange: Exchange) -> None:
    await exchange.receive()
    await respond(exchange)


async def break_off(exchange: Exchange) -> None:
    await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
    raise ConnectionError


async def fail(_: Exchange) -> None:
    raise ConnectionError


async def other(*_: Any) -> None:
    raise AssertionError("it is HTTP")


def stack(router: Responder, *middleware: Middleware) -> Any:
    return MiddlewareStack(router, other, middleware, Pace())


async def test_requests_pass_in_order_and_responses_in_reverse() -> None:
    calls: list[str] = []
    app = stack(read_and_respond, Recorded("a", calls), Recorded("b", calls))
    _, headers, _ = await exchange(app, "GET", "/")
    assert list(headers) == ["b", "a"]
    assert calls == ["a request", "b request", "b end 204", "a end 204"]


async def test_a_responder_is_seen_by_the_middleware_outside_of_it_only() -> None:
    calls: list[str] = []
    app = stack(fail, Recorded("a", calls), Recorded("b", calls, responds=True), Recorded("c", calls))
    _, headers, _ = await exchange(app, "GET", "/")
    assert list(headers) == ["a"]
    assert calls[:2] == ["a request", "b request"]


async def test_a_body_that_is_not_read_is_taken_care_of_after_the_end() -> None:
    calls: list[str] = []
    await exchange(stack(respond, Recorded("a", calls)), "PUT", "/")
    assert calls == ["a request", "a end 204", "a early"]


@pytest.mark.parametrize(("router", "status"), [(break_off, 200), (fail, 0)])
async def test_an_error_is_raised_only_before_the_response(router: Responder, status: int) -> None:
    """Later the server could not send another response."""
    calls: list[str] = []
    raised = False
    try:
        await stack(router, Recorded("a", calls))(scope("GET", "/", b"", {}), None, keep)
    except ConnectionError:
        raised = True
    assert raised == (status == 0)
    assert calls == ["a request", f"a end {status}"]


async def test_the_bytes_of_bodies_are_counted() -> None:
    seen: list[Exchange] = []

    async def echo(exchange: Exchange) -> None:
        seen.append(exchange)
        await exchange.receive()
        await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
        await exchange.send({"type": "http.response.body", "body": b"four", "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b"five5", "more_body": False})

    await exchange(stack(echo), "PUT", "/", body=b"six666")
    assert [(each.bytes_in, each.bytes_out, each.is_complete) for each in seen] == [(6, 9, True)]


@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        ({"content-length": "6"}, True),
        ({"content-length": "7"}, False),
        ({"content-length": "6", "transfer-encoding": "chunked"}, False),  # the length does not count
        ({}, False),
    ],
)
async def test_a_body_ends_with_its_length(headers: dict[str, str], *, ends: bool) -> None:
    """The server says so only in a further message."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"six", "more_body": True}

    request: Any = scope("PUT", "/", b"", headers)
    seen = Exchange(request, receive, keep, [], Pace())
    messages: list[Any] = [await seen.receive(), await seen.receive()]
    assert [message["more_body"] for message in messages] == [True, not ends]
    assert seen.is_read == ends


async def test_what_is_not_http_passes_by() -> None:
    with pytest.raises(AssertionError, match="it is HTTP"):
        await stack(respond, Recorded("a", [], fails=True))({"type": "lifespan"}, None, None)


async def keep(_: Any) -> None:
    """Take a message."""
