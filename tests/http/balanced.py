"""Clients before several servers, as a proxy is: where nobody takes the connection, they go to the next server."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.http.wire import get, put

PATIENCE = 40  # seconds
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Balanced:
    """Half of them ask one request after another on their connections. Nothing that was sent is sent again."""

    ports: list[int]
    answers: Counter[int] = field(default_factory=Counter)
    """How many there were, by status."""
    failed: list[str] = field(default_factory=list)
    is_over: bool = False

    async def load(self, clients: int, while_: Callable[[], None]) -> None:
        """Ask all the time, as so many clients, until `while_` has come to its end in a thread."""
        asking = [asyncio.create_task(self._client(number)) for number in range(clients)]
        try:
            await asyncio.to_thread(while_)
        finally:
            self.is_over = True
            await asyncio.gather(*asking)

    def goes_on(self) -> Callable[[], bool]:
        """Return a function that says whether there were some answers since now."""
        enough = self.answers.total() + 50
        return lambda: self.answers.total() >= enough

    async def _client(self, number: int) -> None:
        messages = itertools.cycle([put(f"/v1/blobs/{number}", b"x" * 5000), get(f"/v1/blobs/{number}?alt=media")])
        turns = itertools.cycle(self.ports[number % 2 :] + self.ports[: number % 2])
        kept: Streams | None = None
        while not self.is_over:
            streams, is_new = kept or await self._connect(turns), kept is None
            kept = None
            try:
                async with asyncio.timeout(PATIENCE):
                    if await self._ask(streams, next(messages)) and number // 2 % 2:
                        kept = streams
            except (OSError, EOFError, TimeoutError) as fault:
                self.failed.append(f"{'new' if is_new else 'kept'}: {fault!r}")
            if kept is None:
                streams[1].close()
        if kept is not None:
            kept[1].close()

    async def _connect(self, turns: "itertools.cycle[int]") -> Streams:
        for _ in range(20):
            try:
                return await asyncio.open_connection("127.0.0.1", next(turns))
            except ConnectionRefusedError:
                continue
        raise AssertionError("nobody listens")

    async def _ask(self, streams: Streams, message: bytes) -> bool:
        """Whether the connection may be used again."""
        reader, writer = streams
        writer.write(message)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        self.answers[int(head.split()[1])] += 1
        return b"connection: close" not in head
