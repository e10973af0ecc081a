"""The I/O of the adapters with points around it: system calls, SQL statements, requests to S3, commands of FTP.

All is done from outside, in the process of a test's server: the module `os` as two modules see it, the events of
SQLAlchemy and of botocore, and the methods of the dialogue with an FTP server.
"""

import os
import re
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from adapters.concurrency.threads import Threads
from adapters.sql import statement
from adapters.sql.sqlite.writer import Writer
from adapters.storage.filesystem import files, folders
from adapters.storage.filesystem import store as filesystem
from tests.crash.failpoints import PASSAGE, point, point_that_blocks, step, step_that_blocks

TABLE = re.compile(r"\b(?:INTO|FROM|UPDATE)\s+(\w+)")


def instrument() -> None:
    """Put the points in, for all that this process and its children will ever do."""
    _keep_context_in_threads()
    for module, name in ((files, "os"), (filesystem, "os")):
        setattr(module, name, _Os())
    for moment in ("before", "after"):
        event.listen(sa.Engine, f"{moment}_cursor_execute", _statement(moment))
    _instrument_statements()
    event.listen(sa.Engine, "commit", lambda _: point_that_blocks("sql.COMMIT:before"))
    _instrument_s3()
    _instrument_ftp()


def _keep_context_in_threads() -> None:
    """Let a point in a thread know the request that it belongs to."""
    run, name = Threads.run, "run"

    async def run_in_context(threads: Threads, function: Callable[..., Any], *args: Any) -> Any:
        return await run(threads, copy_context().run, function, *args)

    setattr(Threads, name, run_in_context)
    for name in ("start", "start_if_idle"):
        setattr(Threads, name, _in_context(getattr(Threads, name)))


def _in_context(start: Callable[..., Any]) -> Callable[..., Any]:
    def start_in_context(threads: Threads, function: Callable[[], None], *args: Any) -> Any:
        return start(threads, partial(copy_context().run, function), *args)

    return start_in_context


class _Os:
    """The module `os`. Files, the folders they lie in, and the folder of these are distinguished by name."""

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}
        self._made = ("", 0)  # the folders that were made last, without the digit that differs, and how many

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        kind = _kind(os.fspath(path), flags)
        with step_that_blocks(f"fs.open({kind})"):
            descriptor = os.open(path, flags, mode)
            self._kinds[descriptor] = kind
        return descriptor

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a folder. It has a point, and so has the first of its neighbours, but not how many of them are new."""
        last, count = self._made
        self._made = path[:-1], count + 1 if path[:-1] == last else 1
        if self._made[1] > 2:
            os.mkdir(path, mode)
            return
        with step_that_blocks("fs.mkdir(shard)" if self._made[1] == 1 else "fs.mkdir(neighbour)"):
            os.mkdir(path, mode)

    def unlink(self, path: str) -> None:
        with step_that_blocks("fs.unlink(file)"):
            os.unlink(path)

    def write(self, descriptor: int, data: bytes) -> int:
        with step_that_blocks("fs.write(file)"):
            return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        with step_that_blocks(f"fs.fsync({self._kinds.get(descriptor, 'file')})"):
            os.fsync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        with step_that_blocks("fs.fdatasync(file)"):
            os.fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        with step_that_blocks(f"fs.close({self._kinds.pop(descriptor, 'file')})"):
            os.close(descriptor)


def _kind(path: str, flags: int) -> str:
    if not flags & os.O_DIRECTORY:
        return "file"
    return "shard" if folders.SHARD.fullmatch(os.path.basename(path)) else "base"


def _statement(moment: str) -> Callable[..., None]:
    def at_statement(connection: Any, cursor: Any, text: str, *more: Any) -> None:
        point_that_blocks(f"{_name_of(text)}:{moment}")

    return at_statement


def _name_of(text: str) -> str:
    verb, table = text.split(maxsplit=1)[0], TABLE.search(text)
    return f"sql.{verb}({table[1]})" if table else f"sql.{verb}"


def _instrument_statements() -> None:
    """Put points around the statements that SQLAlchemy does not execute."""
    execute, run, name = statement.execute, Writer.execute, "execute"

    def instrumented(connection: Any, compiled: statement.Compiled, values: Any) -> Any:
        with step_that_blocks(_name_of(compiled.text)):
            return execute(connection, compiled, values)

    def bounded(writer: Writer, text: str) -> None:
        if text not in ("BEGIN IMMEDIATE", "COMMIT"):
            run(writer, text)
            return
        with step_that_blocks(_name_of(text)):
            run(writer, text)

    setattr(statement, name, instrumented)
    setattr(Writer, name, bounded)


def _instrument_s3() -> None:
    from adapters.storage.s3 import session as s3

    name = "new_session"
    make = getattr(s3, name)

    async def before_send(event_name: str, **_: Any) -> None:
        await point(f"s3.{event_name.rpartition('.')[2]}:before")

    async def received(event_name: str, **_: Any) -> None:
        await point(f"s3.{event_name.rpartition('.')[2]}:after")

    def instrumented() -> Any:
        session = make()
        session.register("before-send.s3", before_send)
        session.register("response-received.s3", received)
        return session

    setattr(s3, name, instrumented)


def _instrument_ftp() -> None:
    from adapters.storage.ftp.connection import FtpConnection

    def stepping(method: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
        async def instrumented(*args: Any, **more: Any) -> Any:
            async with step(name):
                return await method(*args, **more)

        return instrumented

    steps = {"_connect_for_data": "connect", "_shake_hands": "handshake", "_send": "send", "parse_response": "answer"}
    for method, label in steps.items():
        setattr(FtpConnection, method, stepping(getattr(FtpConnection, method), f"ftp.{label}"))
    _instrument_login()
    say, name = FtpConnection.command, "command"

    async def command(ftp: FtpConnection, line: str, *args: Any, **more: Any) -> Any:
        verb = line.split()[0]
        if verb == "NOOP":  # it depends on how long the connection was idle
            return await say(ftp, line, *args, **more)
        async with step(f"ftp.{verb}"):
            return await say(ftp, line, *args, **more)

    setattr(FtpConnection, name, command)


def _instrument_login() -> None:
    """Let a request pass the points of one login. How many more it needs depends on the idle connections it finds."""
    from adapters.storage.ftp.connection import FtpConnection

    log_in, name = FtpConnection.open, "open"

    async def instrumented(ftp: FtpConnection, **more: Any) -> FtpConnection:
        passage, first = PASSAGE.get(), "ftp.login:before"
        if passage is None or first not in passage.passed:
            await point(first)
            return await log_in(ftp, **more)
        passing = PASSAGE.set(None)
        try:
            return await log_in(ftp, **more)
        finally:
            PASSAGE.reset(passing)

    setattr(FtpConnection, name, instrumented)
