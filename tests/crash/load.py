"""Writers and readers of a few blobs, while their server is killed again and again."""

import asyncio
import hashlib
import math
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.crash.scenarios import content
from tests.crash.service import CREDENTIAL, Service
from tests.http.wire import TOKEN

WRITERS = 16
READERS = 4
IDS = [f"blob-{number}" for number in range(24)]
LATE = 10  # seconds after its client gave up in which a request may still take effect: a COMMIT on its way, say
PAUSE = 0.05  # seconds, while there is no server
POLLS = 400
ROUNDS = 300
MOST_PARTS = 3
QUOTA = 3_000_000  # bytes: of the key that half of the writers have, enough for some of the blobs


@dataclass(eq=False)
class Attempt:
    """To make a blob have `content`, None being no blob. It takes effect between `began` and `ended`, or never.

    All attempts of its `group` take effect together.
    """

    content: bytes | None
    began: float
    ended: float = math.inf
    acknowledged: bool = False
    group: "list[Attempt]" = field(default_factory=list)

    def happened(self, ended: float) -> None:
        """Note that it has taken effect, with all of its group."""
        for each in self.group or [self]:
            each.ended, each.acknowledged = min(each.ended, ended), True


class Ledger:
    """What may be there: what was acknowledged last, or anything that was attempted since."""

    def __init__(self) -> None:
        nothing = Attempt(None, -math.inf, -math.inf, acknowledged=True)
        self._attempts: dict[str, list[Attempt]] = defaultdict(lambda: [nothing])

    def begin(self, blob_id: str, content: bytes | None) -> Attempt:
        return self.begin_together({blob_id: content})[blob_id]

    def begin_together(self, contents: Mapping[str, bytes | None]) -> dict[str, Attempt]:
        """Begin to change several blobs in one transaction."""
        began, group = time.monotonic(), list[Attempt]()
        attempts = {blob_id: Attempt(_digest(content), began, group=group) for blob_id, content in contents.items()}
        group += attempts.values()
        for blob_id, attempt in attempts.items():
            self._attempts[blob_id].append(attempt)
        return attempts

    def withdraw(self, blob_id: str, attempt: Attempt) -> None:
        """It was refused, so it changed nothing."""
        self._attempts[blob_id].remove(attempt)

    def judge(self, blob_id: str, found: bytes | None, began: float) -> list[str]:
        """What is wrong if a reading that began then, and has ended now, has `found` this."""
        digest = _digest(found)
        attempts = self._attempts[blob_id]
        # Who ended before the last of those that were acknowledged before the reading has begun, is overwritten.
        last = max(each.began for each in attempts if each.acknowledged and each.ended < began)
        found_in = [each for each in attempts if each.content == digest]
        if any(each.ended >= last for each in found_in):
            if found is not None and len(found_in) == 1:
                found_in[0].happened(time.monotonic())  # so the others of its group have, too
            return []
        if found is None or found_in:
            return [f"lost: {blob_id} is not what was acknowledged last"]
        return [f"torn: {blob_id} has bytes that nobody stored"]


def _digest(content: bytes | None) -> bytes | None:
    return None if content is None else hashlib.sha256(content).digest()


def _is_refused(answer: httpx.Response) -> bool:
    """Whether nothing was changed because of the quota."""
    return answer.status_code == httpx.codes.INSUFFICIENT_STORAGE and answer.json()["code"] == "quota_exceeded"


def _parts(whole: bytes, count: int) -> list[bytes]:
    """Return up to `count` parts of about the same size, at least one."""
    size = len(whole) // count + 1
    return [whole[start : start + size] for start in range(0, len(whole), size)] or [whole]


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
        await self._service.use_a_key(QUOTA)
        CREDENTIAL.set(TOKEN)
        under_way = [asyncio.create_task(self._write(has_key=number % 2 == 1)) for number in range(WRITERS)]
        under_way += [asyncio.create_task(self._read()) for _ in range(READERS)]
        try:
            for number in range(1, kills + 1):
                await self._until_something_was_done()
                await (self._service.kill_all() if number % 10 == 0 else self._service.kill_worker())
                self.outcome.kills += 1
                self.outcome.wrong += await self._service.inspection.miscounted()
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

    async def _write(self, *, has_key: bool) -> None:
        if has_key:
            await self._service.use_a_key(QUOTA)
        while self._goes_on:
            first, second = self._chance.sample(IDS, 2)
            chance = self._chance.random()
            if chance < 0.15:
                await self._attempt({first: None}, "DELETE", f"/v1/blobs/{first}")
            elif chance < 0.55:
                content = self._content(first)
                await self._attempt({first: content}, "PUT", f"/v1/blobs/{first}", content)
            elif chance < 0.75:
                await self._transfer(first, second, "move" if chance < 0.65 else "copy")
            else:
                await self._publish([first] if chance < 0.85 else [first, second])

    def _content(self, blob_id: str) -> bytes:
        self._written += 1
        return content(f"{blob_id} {self._written}", self._size())

    def _size(self) -> int:
        """Mostly small, sometimes none, and now and then in several parts."""
        return int(self._chance.choice([0, 1e2, 1e3, 1e4, 1e5, 3e5, self._large * self._chance.random() ** 2]))

    async def _transfer(self, source: str, target: str, verb: str) -> None:
        """Copy or move the version that is there now, and no other."""
        answer = await self._service.ask("GET", f"/v1/blobs/{source}?alt=media")
        if answer is None or not answer.is_success:
            await asyncio.sleep(PAUSE)
            return
        contents: dict[str, bytes | None] = {target: answer.content}
        if verb == "move":
            contents[source] = None
        body = {"from": source, "to": target, "replace": True, "if_match": [answer.headers["ETag"]]}
        await self._attempt(contents, "POST", f"/v1/{verb}", json=body)

    async def _publish(self, blob_ids: Sequence[str]) -> None:
        """Send the blobs in parts, and publish them together."""
        contents = {blob_id: self._content(blob_id) for blob_id in blob_ids}
        operations = []
        for blob_id, whole in contents.items():
            begun = await self._service.ask("POST", "/v1/uploads", json={})
            if begun is None or not begun.is_success:
                await asyncio.sleep(PAUSE)
                return
            upload: str = begun.json()["upload"]
            for number, part in enumerate(_parts(whole, self._chance.randint(1, MOST_PARTS)), 1):
                sent = await self._service.ask("PUT", f"/v1/uploads/{upload}/{number}", part)
                if sent is None or not sent.is_success:
                    await asyncio.sleep(PAUSE)
                    return
            operations.append({"put": {"id": blob_id, "upload": upload}})
        await self._attempt(contents, "POST", "/v1/commits", json={"operations": operations})

    async def _attempt(
        self,
        contents: Mapping[str, bytes | None],
        method: str,
        path: str,
        content: bytes | None = None,
        json: Any = None,
    ) -> None:
        """Change blobs to have these contents, all together."""
        attempts = self._ledger.begin_together(contents)
        answer = await self._service.ask(method, path, content, json=json)
        now = time.monotonic()
        if answer is None or (answer.is_server_error and not _is_refused(answer)):
            for attempt in attempts.values():
                attempt.ended = min(attempt.ended, now + LATE)
            await asyncio.sleep(PAUSE)
        elif answer.is_success:
            for attempt in attempts.values():
                attempt.happened(now)
            self.outcome.acknowledged += 1
        else:
            for blob_id, attempt in attempts.items():
                self._ledger.withdraw(blob_id, attempt)
                if answer.status_code == httpx.codes.NOT_FOUND and method == "DELETE":
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
