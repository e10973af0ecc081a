"""Uploads that their clients resume, by both protocols, while the server is killed again and again."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import httpx

from tests.crash.scenarios import content
from tests.crash.service import Service
from tests.http.wire import TOKEN
from tests.resumable import PROTOCOLS, ResumableUpload

UPLOADS = 16
CHUNK = 50_000  # bytes
ROUNDS = 300
DEADLINE = 180  # seconds, of the uploads between two kills, and after the last one


@dataclass
class ResumableOutcome:
    """`resumed`: requests that failed, after which a client went on. `wrong`: what is lost, torn or left over."""

    kills: int = 0
    blobs: int = 0
    resumed: int = 0
    wrong: list[str] = field(default_factory=list)


class ResumableLoad:
    """On a service whose times are brief. Each upload has about `size` bytes, in requests of random sizes."""

    def __init__(self, service: Service, size: int, seed: int) -> None:
        self.outcome = ResumableOutcome()
        self._service = service
        self._size = size
        self._chance = random.Random(seed)  # noqa: S311 - nothing is secret about it
        self._contents: dict[str, bytes] = {}
        self._sent = 0
        self._has_sent = asyncio.Event()

    async def run(self, kills: int) -> ResumableOutcome:
        """Kill the server so many times, let the uploads end, and look at all that is left."""
        killing = asyncio.Event()
        killing.set()
        async with asyncio.timeout(DEADLINE) as deadline, asyncio.TaskGroup() as group:
            for number in range(UPLOADS):
                group.create_task(self._upload_until(killing, number))
            for number in range(1, kills + 1):
                await self._wait_for_bytes()
                await (self._service.kill_all() if number % 4 == 0 else self._service.kill_worker())
                self.outcome.kills += 1
                deadline.reschedule(asyncio.get_running_loop().time() + DEADLINE)
            killing.clear()
        await self._look_at_all()
        return self.outcome

    async def _wait_for_bytes(self) -> None:
        """Wait until a random number of chunks has been sent: no time passes on a machine that is slow."""
        until = self._sent + self._chance.randint(1, 4 * UPLOADS)
        while self._sent < until:
            self._has_sent.clear()
            await self._has_sent.wait()

    async def _upload_until(self, killing: asyncio.Event, number: int) -> None:
        """Upload one blob after another, as long as there are kills. Every second client uses the other protocol."""
        protocol, count = PROTOCOLS[number % len(PROTOCOLS)], 0
        while killing.is_set():
            blob_id, count = f"upload-{number}-{count}", count + 1
            whole = content(blob_id, self._chance.randrange(self._size))
            self._contents[blob_id] = whole
            headers = {"Authorization": f"Bearer {TOKEN}"}
            http = self._service.client
            upload = ResumableUpload(
                http, protocol, blob_id, len(whole), partial(self._read, whole), self._next, headers
            )
            await upload.run()
            self.outcome.resumed += upload.failures
            self.outcome.blobs += 1

    def _next(self) -> int:
        """Sometimes all that is left, so that a request dies in the middle, and often little."""
        return self._chance.choice([self._size, CHUNK, 3 * CHUNK, 1 + self._chance.randrange(CHUNK)])

    async def _read(self, whole: bytes, start: int, stop: int) -> AsyncIterator[bytes]:
        for at in range(start, stop, CHUNK):
            yield whole[at : min(at + CHUNK, stop)]
            self._sent += 1
            self._has_sent.set()
            await asyncio.sleep(0)  # a kill may happen between two chunks

    async def _look_at_all(self) -> None:
        wrong = self.outcome.wrong
        wrong += await self._service.come_to_rest(ROUNDS)
        wrong += await self._service.inspection.damage()
        for blob_id, whole in self._contents.items():
            found = await self._service.ask("GET", f"/v1/blobs/{blob_id}?alt=media")
            assert found is not None
            if found.status_code != httpx.codes.OK:
                wrong.append(f"lost: {blob_id} was uploaded: {found.status_code} {found.text}")
            elif found.content != whole:
                wrong.append(f"torn: {blob_id} has {len(found.content)} bytes that differ from its {len(whole)}")
