"""`drivebay` that fails in the way that a blob's id names: `python -m tests.telemetry.failing serve`.

Each failure has the id in whatever may get into a log. What an id ends with, behind its last `/`, is the failure.
"""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import sqlalchemy as sa

from adapters.metadata.sql.blobs.blobs import SqlBlobs
from application.blobs.fetch import OpenBlob
from domain.blob import BlobId
from domain.errors import Kind, error_class
from entrypoints.cli import main as cli


class DriverError(Exception):
    """An error as that of a database's driver, which quotes the row."""


async def _of_the_domain(kind: Kind, blob_id: BlobId) -> NoReturn:
    try:
        _statement(blob_id)
    except sa.exc.DBAPIError as error:
        raise error_class(kind)("It failed.", operation="read", backend="sqlite", subject=blob_id) from error


def _statement(blob_id: BlobId) -> NoReturn:
    try:
        raise DriverError(f"DETAIL: Key (id)=({blob_id.value}) already exists.")
    except DriverError as error:
        raise sa.exc.IntegrityError("SELECT ...", {"blob_id": blob_id.value}, error) from error


async def _bug(blob_id: BlobId) -> NoReturn:
    blobs: dict[str, Any] = {}
    try:
        blobs[blob_id.value]
    except KeyError:
        raise ValueError(f"no {blob_id.value}") from None
    raise AssertionError


async def _row(blob_id: BlobId) -> NoReturn:
    _statement(blob_id)


async def _group(blob_id: BlobId) -> NoReturn:
    raise ExceptionGroup(f"of {blob_id.value}", [KeyError(blob_id.value), DriverError(blob_id.value)])


async def _task(blob_id: BlobId) -> None:
    task = asyncio.create_task(_bug(blob_id))
    await asyncio.wait([task])
    del task
    gc.collect()


async def _callback(blob_id: BlobId) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    asyncio.get_running_loop().call_soon(fail, blob_id.value)
    await asyncio.sleep(0)


async def _thread(blob_id: BlobId) -> None:
    thread = threading.Thread(target=asyncio.run, args=[_bug(blob_id)])
    thread.start()
    await asyncio.to_thread(thread.join)


async def _finaliser(blob_id: BlobId) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError(blob_id.value)

    Failing()


HALFWAY = "halfway"
BUGS = {
    "bug": _bug,
    "row": _row,
    "group": _group,
    "task": _task,
    "callback": _callback,
    "thread": _thread,
    "finaliser": _finaliser,
}
FAILURES = [*BUGS, *(kind.value for kind in Kind)]


async def _fail(blob_id: BlobId) -> None:
    name = blob_id.value.rpartition("/")[2]
    if name in BUGS:
        await BUGS[name](blob_id)
    elif name in FAILURES:
        await _of_the_domain(Kind(name), blob_id)


def _failing(real: Callable[..., Any]) -> Callable[..., Any]:
    async def method(self: SqlBlobs, about: Any, *args: Any) -> Any:
        await _fail(about if isinstance(about, BlobId) else about.id)
        return await real(self, about, *args)

    return method


async def _no_chunks(opened: OpenBlob) -> AsyncIterator[bytes]:
    yield b""
    raise ValueError(opened.blob.id.value)


if __name__ == "__main__":
    for method in ("find", "put", "remove"):
        setattr(SqlBlobs, method, _failing(getattr(SqlBlobs, method)))
    OpenBlob.__aiter__ = _no_chunks  # type: ignore[assignment]
    cli.main()
