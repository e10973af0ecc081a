"""`drivebay serve` with points put around its parts: `python -m tests.crash.server serve`.

Its control is at /failpoints. A round of the reaper is made by a request, so that it has points like any other; the
reaper in the background goes on all the same.
"""

import itertools
import os
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from dependency_injector import providers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from application.maintenance.move import MoveObjects
from application.maintenance.move_report import MoveOptions
from application.maintenance.reap import Reap
from application.ownership import ownership
from application.ownership.markers import claim_key
from application.ownership.ownership import Ownership
from application.ports.metadata import DATABASE
from domain.errors import BlobError
from entrypoints.cli import main as cli
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.http.app import create_asgi
from entrypoints.server import worker_slot
from tests.crash import instrumented_io
from tests.crash.failpoints import HEADER, PASSAGE, Passage, point
from tests.crash.instrumented import InstrumentedUnits, instrumented_stores
from tests.crash.keys import in_few_folders, in_one_folder, moved_to_it
from tests.crash.planted import IN_THE_PARENT_TOO, PLANTED

CONTROL = "/failpoints"
PIECE = 256 * 1024  # bytes
MOVE, MOVE_AWAY = "move/", "move-away/"
FOLLOWS_A_SPACE = "!"
# In the folder of the server: the name of the fault to plant when the next worker starts.
TO_PLANT = Path("planted")
# In its environment: how many seconds leases and claims last. Without it they last as long as in production, and an
# upload renews its lease with each chunk.
BRIEF = "BRIEF"


def app_with_points(given: Settings, **more: Any) -> ASGIApp:
    containers: list[Container] = []

    def configure(container: Container) -> None:
        container.metadata.override(providers.Object(InstrumentedUnits(container.metadata())))
        container.stores.override(providers.Object(instrumented_stores(container.stores())))
        container.move_objects.add_kwargs(new_key=providers.Object(in_one_folder))
        if given.storage == "ftp":
            container.new_key.override(providers.Object(in_few_folders()))
            vars(ownership)["claim_key"] = lambda *of_claim: moved_to_it(claim_key(*of_claim))
        _set_times(container)
        if TO_PLANT.exists():
            PLANTED[TO_PLANT.read_text()](container)
        containers.append(container)

    app = create_asgi(given, configure, **more)
    [container] = containers
    return WithPoints(app, container.reap(), container.ownership(), container.move_objects(), given.storage)


def _set_times(container: Container) -> None:
    # By the clock of the watch over an epoch, an hour passes with each look.
    container.ownership.add_kwargs(monotonic=itertools.count(step=3600).__next__)
    if BRIEF in os.environ:
        brief = timedelta(seconds=float(os.environ[BRIEF]))
        container.uploads.add_kwargs(lease=brief)
        container.reap.add_kwargs(claim=brief, again=brief)
    else:
        hours = itertools.count(step=3600)
        container.uploads.add_kwargs(monotonic=hours.__next__)


class WithPoints:
    """ASGI middleware: arms the point that a request's header names, and obeys the control."""

    def __init__(self, app: ASGIApp, reap: Reap, ownership: Ownership, move: MoveObjects, storage: str) -> None:
        self._app = app
        self._reap = reap
        self._ownership = ownership
        self._move = move
        self._storage = storage
        self._last = Passage()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        header = dict(scope["headers"]).get(HEADER.lower().encode())
        if header is None:
            await self._pass_on(scope, receive, send)
            return
        passage = self._last = Passage.from_header(header.decode())
        passing = PASSAGE.set(passage)
        try:
            await self._pass_on(scope, _Pieces(receive), _instrumented_send(send))
        finally:
            PASSAGE.reset(passing)
            passage.ended = True

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(CONTROL):
            try:
                await _answer(send, await self._control(scope["path"].removeprefix(f"{CONTROL}/")))
            except Exception as error:  # noqa: BLE001 - the test shows it
                status = (
                    HTTPStatus.SERVICE_UNAVAILABLE
                    if isinstance(error, BlobError) and error.temporary
                    else HTTPStatus.INTERNAL_SERVER_ERROR
                )
                await _answer(send, repr(error), status)
        else:
            await self._app(scope, receive, send)

    async def _control(self, what: str) -> Any:
        match what:
            case "reap":
                reaped = await self._reap(self._storage)
                return {"deleted": reaped.deleted, "faults": [str(fault) for fault in reaped.errors]}
            case "reap the database":
                await self._reap(DATABASE)
            case "keep":
                return (await self._ownership.keep(self._storage)).value
            case "forget":
                self._last = Passage()
            case "state":
                last = self._last
                return {
                    "passed": last.passed,
                    "put_keys": last.put_keys,
                    "reached": last.reached,
                    "ended": last.ended,
                }
            case "release":
                self._last.released.set()
            case _ if what.startswith(MOVE):
                return await self._move_between(DATABASE, self._storage, what.removeprefix(MOVE))
            case _ if what.startswith(MOVE_AWAY):
                return await self._move_between(self._storage, DATABASE, what.removeprefix(MOVE_AWAY))
        return None

    async def _move_between(self, source: str, target: str, name: str) -> Any:
        """Move the blob with this id, and those whose ids go on with a space."""
        options = MoveOptions(
            frozenset({source}), target, name, name + FOLLOWS_A_SPACE, at_once=1, passes=2, waits=False
        )
        report = await self._move(options)
        return {"objects": report.objects, "is_done": report.is_done and not report.found, "stopped": report.stopped}


class _Pieces:
    """A body in pieces of one size, however it came, so that it passes the same points each time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gathered = b""
        self._ended = False
        self._handed_out = False

    async def __call__(self) -> Any:
        while len(self._gathered) < PIECE and not self._ended:
            message: Any = await self._receive()
            if message["type"] != "http.request":
                return message
            self._gathered += message.get("body", b"")
            self._ended = not message.get("more_body", False)
        if self._handed_out:
            return await self._receive()
        piece, self._gathered = self._gathered[:PIECE], self._gathered[PIECE:]
        self._handed_out = self._ended and not self._gathered
        return {"type": "http.request", "body": piece, "more_body": not self._handed_out}


def _instrumented_send(send: Send) -> Send:
    async def instrumented(message: Message) -> None:
        if message["type"] == "http.response.start":
            await point("answer:before")
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await point("answer:after")

    return instrumented


async def _answer(send: Send, body: Any, status: int = HTTPStatus.OK) -> None:
    start: Any = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
    await send(start)
    await send({"type": "http.response.body", "body": msgspec.json.encode(body), "more_body": False})


def main() -> None:
    instrumented_io.instrument()
    if TO_PLANT.exists() and (fault := TO_PLANT.read_text()) in IN_THE_PARENT_TOO:
        PLANTED[fault](Container())
    vars(cli)["create_asgi"] = app_with_points
    worker_slot.FIRST_PAUSE = worker_slot.LONGEST_PAUSE = 0  # workers are killed here all the time
    cli.main()


if __name__ == "__main__":
    main()
