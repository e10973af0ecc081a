"""Writers and readers of a few blobs, while their server is killed again and again."""

import asyncio
import hashlib
import math
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field

import httpx

from tests.crash.scenarios import content
from tests.crash.service import Service

WRITERS = 16
READERS = 4
IDS = [f"blob-{number}" for number in range(24)]
LATE = 10  # seconds after its client gave up in which a request may still take effect: a COMMIT on its way, say
PAUSE = 0.05  # seconds, while there is no server
POLLS = 400
ROUNDS = 300


@dataclass(eq=False)
class Attempt:
    """To make a blob have `content`, None being no blob. It takes effect between `began` and `ended`, or never."""

    content: bytes | None
    began: float
    ended: float = math.inf
    acknowledged: bool = False


class Ledger:
    """What may be there: what was acknowledged last, or anything that was attempted since."""

    def __init__(self) -> None:
        nothing = Attempt(None, -math.inf, -math.inf, acknowledged=True)
        self._attempts: dict[str, list[Attempt]] = defaultdict(lambda: [nothing])

    def begin(self, blob_id: str, content: bytes | None) -> Attempt:
        attempt = Attempt(_digest(content), time.monotonic())
        self._attempts[blob_id].append(attempt)
        return attempt

    def withdraw(self, blob_id: str, attempt: Attempt) -> None:
        """It was refused, so it changed nothing."""
        self._attempts[blob_id].remove(attempt)

    def judge(self, blob_id: str, found: bytes | None, began: float) -> list[str]:
        """What is wrong if a reading that began then, and has ended now, has `found` this."""
        digest = _digest(found)
        attempts = self._attempts[blob_id]
        # Who ended before the last of those that were acknowledged before the reading has begun, is overwritten.
        last = max(each.began for each in attempts if each.acknowledged and each.ended < began)
        if any(each.content == digest for each in attempts if each.ended >= last):
            return []
        if found is None or any(each.content == digest for each in attempts):
            return [f"lost: {blob_id} is not what was acknowledged last"]
        return [f"torn: {blob_id} has bytes that nobody stored"]


def _digest(content: bytes | None) -> bytes | None:
    return None if content is None else hashlib.sha256(content).digest()


@dataclass
class Outcome:
    kills: int = 0
    acknowledged: int = 0
    read: int = 0
    wrong: list[str] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(each.startswith(kind) for each in self.wrong)


class Load:
    """On a service whose times are brief. `large` is the size of the largest blobs, in bytes."""

    def __init__(self, service: Service, large: int, seed: int) -> None:
        self.outcome = Outcome()
        self._service = service
        self._large = large
        self._chance = random.Random(seed)  # noqa: S311 - nothing is secret about it
        self._ledger = Ledger()
        self._goes_on = True
        self._written = 0

    async def run(self, kills: int) -> Outcome:
        """So many kills, and then a look at all that is left."""
        under_way = [asyncio.create_task(self._write()) for _ in range(WRITERS)]
        under_way += [asyncio.create_task(self._read()) for _ in range(READERS)]
        try:
            for number in range(1, kills + 1):
                await self._until_something_was_done()
                await (self._service.kill_all() if number % 10 == 0 else self._service.kill_worker())
                self.outcome.kills += 1
        finally:
            self._goes_on = False
            await asyncio.gather(*under_way)
        await self._look_at_all()
        return self.outcome

    async def _until_something_was_done(self) -> None:
        """And a random time has passed. There is no kill before that, however slow the machine is."""
        before = self.outcome.acknowledged
        await asyncio.sleep(self._chance.uniform(0.3, 1.3))
        for _ in range(POLLS):
            if self.outcome.acknowledged >= before + WRITERS:
                return
            await asyncio.sleep(PAUSE)

    async def _write(self) -> None:
        while self._goes_on:
            blob_id = self._chance.choice(IDS)
            if self._chance.random() < 0.15:
                await self._attempt(blob_id, "DELETE", None)
            else:
                self._written += 1
                await self._attempt(blob_id, "PUT", content(f"{blob_id} {self._written}", self._size()))

    def _size(self) -> int:
        """Mostly small, sometimes none, and now and then in several parts."""
        return int(self._chance.choice([0, 1e2, 1e3, 1e4, 1e5, 3e5, self._large * self._chance.random() ** 2]))

    async def _attempt(self, blob_id: str, method: str, content: bytes | None) -> None:
        attempt = self._ledger.begin(blob_id, content)
        answer = await self._service.ask(method, f"/v1/blobs/{blob_id}", content)
        now = time.monotonic()
        if answer is None or answer.is_server_error:
            attempt.ended = now + LATE
            await asyncio.sleep(PAUSE)
        elif answer.is_success:
            attempt.ended, attempt.acknowledged = now, True
            self.outcome.acknowledged += 1
        else:
            self._ledger.withdraw(blob_id, attempt)
            if answer.status_code == httpx.codes.NOT_FOUND:
                self.outcome.wrong += self._ledger.judge(blob_id, None, attempt.began)

    async def _read(self) -> None:
        while self._goes_on:
            if not await self._look_at(self._chance.choice(IDS)):
                await asyncio.sleep(PAUSE)

    async def _look_at(self, blob_id: str) -> bool:
        """Whether it could be read, or is not there."""
        began = time.monotonic()
        answer = await self._service.ask("GET", f"/v1/blobs/{blob_id}?alt=media")
        if answer is None:
            return False
        if answer.status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND):
            found = answer.content if answer.is_success else None
            self.outcome.wrong += self._ledger.judge(blob_id, found, began)
            self.outcome.read += 1
            return True
        if answer.json()["code"] == "integrity":
            self.outcome.wrong.append(f"torn: {blob_id}: {answer.text}")
        return False

    async def _look_at_all(self) -> None:
        self.outcome.wrong += await self._service.come_to_rest(ROUNDS)
        self.outcome.wrong += await self._service.inspection.damage()
        listing = await self._service.ask("GET", "/v1/blobs?limit=1000")
        assert listing is not None
        listed = {blob["id"] for blob in listing.json()["blobs"]}
        for blob_id in IDS:
            answer = await self._service.ask("HEAD", f"/v1/blobs/{blob_id}")
            assert answer is not None
            if answer.is_success != (blob_id in listed):
                self.outcome.wrong.append(f"torn: {blob_id} can be listed and not read, or the other way round")
            if not await self._look_at(blob_id):
                self.outcome.wrong.append(f"torn: {blob_id} can't be read")
