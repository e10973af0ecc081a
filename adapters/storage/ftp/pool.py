"""A pool of FTP connections. Each serves one operation at a time, and few servers allow many."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.connection import FtpConnection
from adapters.storage.ftp.features import FtpFeatures
from application.ports.observer import UNOBSERVED, Observer
from domain.errors import BlobError, TimedOut

PATIENCE = 2  # seconds for the reply to NOOP
TOO_MANY = "Too many transfers to the FTP server are in progress. Try again later."


class FtpPool:
    """At most `config.connections` connections, or as many as the server allows. Enter the context before use."""

    def __init__(self, config: FtpConfig, backend: str, observer: Observer = UNOBSERVED) -> None:
        self._observer = observer
        self._config = config
        self._backend = backend
        self._turns = asyncio.Semaphore(config.connections)
        self._features = FtpFeatures(config.passive)
        self._idle: list[FtpConnection] = []  # the one used last is at the end, and is used first
        self._count = 0  # of connections that are open
        self._allowed = 0  # as many as were open when the server refused one more ...
        self._refusal: BlobError | None = None
        self._refused_until = 0.0  # ... and for how long that is taken as its limit
        self._change = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._context = await asyncio.to_thread(self._config.tls_context)
        return self

    async def __aexit__(self, *exc: object) -> None:
        while self._idle:
            self._drop(self._idle.pop())
        await asyncio.sleep(0)  # the transports close now

    @asynccontextmanager
    async def connection(self, *, make_base: bool = False) -> AsyncIterator[FtpConnection]:
        """Hold a working connection. It returns to the pool if it is `in_step` afterwards.

        `make_base`: whether to create the base folder if it is missing.
        Raises TIMEOUT if all are in use for too long, and errors of the login.
        """
        try:
            async with asyncio.timeout(self._config.timeout):
                await self._turns.acquire()
        except TimeoutError:
            raise TimedOut(TOO_MANY) from None
        try:
            connection = await self._take(make_base=make_base)
            self._observer.connections(self._backend, +1)
            try:
                yield connection
            finally:
                self._observer.connections(self._backend, -1)
                self._release(connection)
        finally:
            self._turns.release()

    async def _take(self, *, make_base: bool) -> FtpConnection:
        deadline = time.monotonic() + self._config.timeout
        while True:
            if self._idle:
                connection = self._idle.pop()
                if await self._works(connection):
                    return connection
            elif self._may_connect():
                if connected := await self._connect(make_base=make_base):
                    return connected
            elif not self._count and self._refusal is not None:
                raise type(self._refusal)(self._refusal.detail) from self._refusal
            elif time.monotonic() >= deadline:
                raise TimedOut(TOO_MANY)
            else:
                await self._wait(deadline)

    async def _works(self, connection: FtpConnection) -> bool:
        """Whether an idle connection works. Drops it if not."""
        works = False
        now = time.monotonic()
        try:
            if now - connection.opened_at < self._config.max_age:
                if now - connection.used_at > self._config.max_idle:
                    async with asyncio.timeout(PATIENCE):
                        await connection.ask("NOOP", "200")
                works = True
        except (BlobError, TimeoutError):
            pass  # the connection is lost
        finally:
            if not works:
                self._drop(connection)
        return works

    def _may_connect(self) -> bool:
        if self._refusal is None or self._count < self._allowed:
            return True
        if time.monotonic() < self._refused_until:
            return False
        # One task tries, and the others wait for the outcome.
        self._refused_until = time.monotonic() + self._config.back_off
        return True

    async def _connect(self, *, make_base: bool) -> FtpConnection | None:
        """Return a new connection, or None if the server rejects one more."""
        connection = FtpConnection(self._config, self._context, self._features)
        self._count += 1
        try:
            await connection.open(make_base=make_base)
        except BaseException as error:
            self._drop(connection)
            if not connection.refused or not isinstance(error, BlobError):
                raise
            self._allowed = self._count
            self._refusal = error
            self._refused_until = time.monotonic() + self._config.back_off
            if not self._count:
                raise  # no connection to wait for
            return None
        self._refused_until = 0
        self._change.set()
        return connection

    async def _wait(self, deadline: float) -> None:
        """Wait until a connection is released or dropped, or another may be tried."""
        self._change.clear()
        wait = min(deadline, self._refused_until) - time.monotonic()
        try:
            async with asyncio.timeout(wait):
                await self._change.wait()
        except TimeoutError:
            pass

    def _release(self, connection: FtpConnection) -> None:
        if connection.in_step:
            self._idle.append(connection)
            self._change.set()
        else:
            self._drop(connection)

    def _drop(self, connection: FtpConnection) -> None:
        connection.disconnect()
        self._count -= 1
        self._change.set()
