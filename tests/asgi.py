"""An ASGI application without a server around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[None]:
    """Start the application as an ASGI server does, and shut it down at the end."""
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "state": {}}, to_app.get, from_app.put))
    try:
        for step in ("startup", "shutdown"):
            await to_app.put({"type": f"lifespan.{step}"})
            reply = await from_app.get()
            assert reply["type"] == f"lifespan.{step}.complete", reply
            if step == "startup":
                yield
    finally:
        await running


async def exchange(
    app: Any, method: str, path: str, *, query: bytes = b"", headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Send a request to the application. Returns status, headers and body of the response."""
    sent: list[Any] = []
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *bodies = sent
    received = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], received, b"".join(message.get("body", b"") for message in bodies)
