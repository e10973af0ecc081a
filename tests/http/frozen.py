"""`drivebay serve` whose workers freeze at a request, and are soon found out: `python -m tests.http.frozen serve`.

Processes start by default as they do in Python 3.14.
"""

import multiprocessing.context
import time
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.cli import main as cli
from entrypoints.http.app import create_asgi
from entrypoints.server import heartbeat

SECONDS = 6  # without a heartbeat


def application(*given: Any, **more: Any) -> ASGIApp:
    return _freezing(create_asgi(*given, **more))


def _freezing(app: ASGIApp) -> ASGIApp:
    async def freeze(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/freeze":
            time.sleep(3600)  # noqa: ASYNC251 - that is the point
        await app(scope, receive, send)

    return freeze


if __name__ == "__main__":
    heartbeat.STALLED_AFTER = SECONDS
    forkserver = vars(multiprocessing.context)["_concrete_contexts"]["forkserver"]
    vars(vars(multiprocessing.context)["_default_context"])["_default_context"] = forkserver
    vars(cli)["create_asgi"] = application
    cli.main()
