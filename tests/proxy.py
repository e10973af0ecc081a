"""A TCP proxy between clients and a server, to make the connection fail just when a test wants it.

It listens on 127.0.0.1, in the event loop of the test. All that is done to it is done to all connections through it.
"""

import asyncio
import socket
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Protocol, Self
from urllib.parse import urlsplit

from adapters.storage.ftp.control import abort

AT_ONCE = 64 * 1024  # bytes
TICK = 0.02  # seconds between the pieces of a slow connection
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Way(Enum):
    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


class Proxy:
    """In front of the server at `server`, a URL with host and port. A context; `url` is the one to use in its place.

    What is done at a moment of the traffic is one of `cut`, `stall`, `corrupt` and `go_down`, or any other function
    without arguments. It is done once, and the event that is returned is set then.

    `ports`: those to listen on, and the server's behind them, where a port of one's own and that of the URL won't do.
    """

    def __init__(self, server: str, ports: Mapping[int, int] | None = None) -> None:
        self._server = urlsplit(server)
        self._held: list[socket.socket] = []
        # Held all the time, so that the ports are ours while nobody listens on them.
        self.ports = {self._hold(port): behind for port, behind in (ports or {0: self._server.port or 0}).items()}
        self.port = next(iter(self.ports))
        self.rate: int | None = None
        """Bytes a second, each way and on each connection; None for no bound."""
        self._listeners: list[asyncio.Server] = []
        self._flowing = {way: asyncio.Event() for way in Way}
        self._corrupting: set[Way] = set()
        self._traps: list[_Trap] = []
        self._connections: set[_Connection] = set()
        self.accepted = 0
        """How many connections there have been."""
        self.passed = dict.fromkeys(Way, 0)
        """How many bytes have passed."""
        self.requests = 0
        """How many times a client has sent bytes after the server's response to the bytes before."""

    def _hold(self, port: int) -> int:
        name = socket.socket()
        self._held.append(name)
        name.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        name.bind(("127.0.0.1", port))
        bound: int = name.getsockname()[1]
        return bound

    @property
    def url(self) -> str:
        user, at, _ = self._server.netloc.rpartition("@")
        return self._server._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    @property
    def connected(self) -> int:
        """How many connections there are now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self.go_on()
        await self.come_back()
        return self

    async def __aexit__(self, *exc: object) -> None:
        ending = [connection.task for connection in self._connections]
        self.go_down()
        await asyncio.gather(*ending, return_exceptions=True)
        for name in self._held:
            name.close()

    def go_down(self) -> None:
        """Cut all connections, and refuse new ones."""
        while self._listeners:
            self._listeners.pop().close()
        self.cut()

    async def come_back(self) -> None:
        """Accept connections again."""
        if not self._listeners:
            for port in self.ports:
                begin = partial(self._begin, port)
                self._listeners.append(await asyncio.start_server(begin, "127.0.0.1", port, reuse_port=True))

    def cut(self) -> None:
        """Cut all connections, on both sides. What is under way in them is lost."""
        for connection in self._connections:
            connection.end()

    def lead_to(self, port: int) -> None:
        """Connect to another port of the server from now on. Connections that exist stay where they are."""
        self.ports[self.port] = port

    def stall(self, *ways: Way) -> None:
        """Let nothing through any more, these ways or any. New connections are accepted, and hear nothing."""
        for way in ways or Way:
            self._flowing[way].clear()

    def corrupt(self, way: Way) -> None:
        """Flip a bit of the next byte this way."""
        self._corrupting.add(way)

    def go_on(self) -> None:
        """Let through what was held back, the end of connections that were closed meanwhile included."""
        for flowing in self._flowing.values():
            flowing.set()

    def after(self, count: int, way: Way, do: Callable[[], None]) -> asyncio.Event:
        """When `count` more bytes have passed this way, and before the next one does."""
        return self._set(_After(do, way, count))

    def before(self, pattern: bytes, do: Callable[[], None]) -> asyncio.Event:
        """When `pattern` (of up to 100 bytes) is sent to the server, and before it gets there."""
        return self._set(_Before(do, pattern))

    def answering(self, pattern: bytes, do: Callable[[], None]) -> asyncio.Event:
        """When the server answers to `pattern`, and before any of the answer gets back."""
        return self._set(_Answering(do, pattern))

    def sever(self, pattern: bytes) -> "Severed":
        """Reset the client's side of the first connection that sends `pattern`, before the server gets it.

        The server's side stays open, so that `pattern` can be delivered late.
        """
        severed = Severed(lambda: severed.reset_client(), pattern)
        self._traps.append(severed)
        return severed

    def _set(self, trap: "_Trap") -> asyncio.Event:
        self._traps.append(trap)
        return trap.sprung

    def _begin(self, port: int, *client: *Streams) -> None:
        self.accepted += 1
        if self.rate is not None:
            _keep_little(client[1])
        connection = _Connection(client[1])
        self._connections.add(connection)
        connection.task = asyncio.create_task(self._serve(connection, port, client))
        connection.task.add_done_callback(lambda _: self._connections.discard(connection))

    async def _serve(self, connection: "_Connection", port: int, client: Streams) -> None:
        try:
            await self._flowing[Way.TO_SERVER].wait()
            server = await asyncio.open_connection(self._server.hostname, self.ports[port])
            connection.writers.append(server[1])
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(connection, Way.TO_SERVER, client[0], server[1]))
                both.create_task(self._pump(connection, Way.TO_CLIENT, server[0], client[1]))
        except* OSError:
            pass  # one side is gone, so the other one has to go
        finally:
            connection.abort()
            await asyncio.sleep(0)  # the transports close now

    async def _pump(
        self, connection: "_Connection", way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(AT_ONCE):
            while data:
                trap, count = self._sprung(connection, way, data)
                await self._send(connection, way, sink, data[:count])
                connection.passed[way] = (connection.passed[way] + data[:count])[-100:]
                data = data[count:]
                if trap:
                    self._traps.remove(trap)
                    trap.sprung.set()
                    trap.do()
        await self._flowing[way].wait()
        sink.write_eof()

    def _sprung(self, connection: "_Connection", way: Way, data: bytes) -> tuple["_Trap | None", int]:
        """The trap that `data` springs, if there is one, and how many of the bytes pass before it does."""
        for trap in self._traps:
            if (count := trap.springs(connection, way, data)) is not None:
                return trap, count
        return None, len(data)

    async def _send(self, connection: "_Connection", way: Way, sink: asyncio.StreamWriter, data: bytes) -> None:
        if connection.is_severed and way is Way.TO_CLIENT:
            connection.answered.set()
            return
        if data and way is Way.TO_SERVER:
            await connection.open_to_server.wait()
            self.requests += connection.last is not way
        connection.last = way
        while data:
            size = len(data) if self.rate is None else max(int(self.rate * TICK), 1)
            await self._flowing[way].wait()
            if way in self._corrupting:
                self._corrupting.remove(way)
                data = bytes([data[0] ^ 1]) + data[1:]
            sink.write(data[:size])
            await sink.drain()
            self.passed[way] += len(data[:size])
            data = data[size:]
            if self.rate is not None:
                await asyncio.sleep(size / self.rate)


def _keep_little(client: asyncio.StreamWriter) -> None:
    """Let bytes wait where they come from, as on a slow connection, and not in the buffers of the proxy's system."""
    client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, AT_ONCE)


class _Connection:
    """A client's connection, and the one to the server that was made for it."""

    task: "asyncio.Task[None]"

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.passed = dict.fromkeys(Way, b"")  # the last of it
        self.last = Way.TO_CLIENT
        """The way of the last bytes."""
        self.is_severed = False
        self.open_to_server = asyncio.Event()
        self.open_to_server.set()
        self.answered = asyncio.Event()
        """Set when the server has said something to a client that is gone."""

    def end(self) -> None:
        self.abort()
        self.task.cancel()

    def abort(self) -> None:
        for writer in self.writers:
            abort(writer.transport)


@dataclass(eq=False)
class _Trap(Protocol):
    do: Callable[[], None]
    sprung: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @abstractmethod
    def springs(self, connection: _Connection, way: Way, data: bytes) -> int | None:
        """How many bytes of `data` are to pass before it does; None if it does not. Asked once for each piece."""


@dataclass(eq=False)
class _After(_Trap):
    way: Way
    left: int

    def springs(self, connection: _Connection, way: Way, data: bytes) -> int | None:
        if way is not self.way:
            return None
        if len(data) > self.left:
            return self.left
        self.left -= len(data)
        return None


@dataclass(eq=False)
class _Before(_Trap):
    pattern: bytes

    def springs(self, connection: _Connection, way: Way, data: bytes) -> int | None:
        if way is not Way.TO_SERVER:
            return None
        passed = connection.passed[way]
        found = (passed + data).find(self.pattern, max(len(passed) - len(self.pattern) + 1, 0))
        return None if found < 0 else max(found - len(passed), 0)


@dataclass(eq=False)
class Severed(_Before):
    """A connection whose client is gone, while its last words are still on their way to the server."""

    connection: _Connection | None = None

    def springs(self, connection: _Connection, way: Way, data: bytes) -> int | None:
        if (count := super().springs(connection, way, data)) is not None:
            self.connection = connection
        return count

    def reset_client(self) -> None:
        assert self.connection is not None
        self.connection.is_severed = True
        self.connection.open_to_server.clear()
        self.connection.writers[0].transport.abort()

    async def deliver(self) -> None:
        """Send the server what was kept from it, and wait for its answer."""
        assert self.connection is not None, "nothing was kept"
        self.connection.open_to_server.set()
        await self.connection.answered.wait()


@dataclass(eq=False)
class _Answering(_Before):
    asked: _Connection | None = None

    def springs(self, connection: _Connection, way: Way, data: bytes) -> int | None:
        if super().springs(connection, way, data) is not None:
            self.asked = connection
        return 0 if way is Way.TO_CLIENT and connection is self.asked else None
