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
