"""An ASGI application without a server around it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from application.access.failures import FailedAuthentications


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[None]:
    """Start the application as an ASGI server does, and shut it down at the end."""
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "state": {}}, to_app.get, from_app.put))

    async def step(name: str) -> None:
        await to_app.put({"type": f"lifespan.{name}"})
        reply = await from_app.get()
        assert reply["type"] == f"lifespan.{name}.complete", reply

    await step("startup")
    try:
        yield
    finally:
        await step("shutdown")
        await running


def scope(method: str, path: str, query: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


class Unslowed(FailedAuthentications):
    """Failures to authenticate that are not slowed."""

    async def add(self, client: str) -> None:
        pass


async def exchange(
    app: Any, method: str, path: str, *, query: bytes = b"", headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Send a request to the application. Returns status, headers and body of the response."""
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": body}])

    async def receive() -> Any:
        if (message := next(messages, None)) is None:
            await asyncio.Event().wait()  # the client stays
        return message

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope(method, path, query, headers or {}), receive, send)
    start, *bodies = sent
    received = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], received, b"".join(message.get("body", b"") for message in bodies)
