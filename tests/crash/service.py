"""A server that can be killed and started again, with its client and its inspection."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from application.ownership.ownership import Standing
from tests.crash.failpoints import HEADER
from tests.crash.inspection import Inspection
from tests.crash.server import BRIEF, CONTROL, TO_PLANT
from tests.http.server import Server
from tests.http.wire import TOKEN

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.crash.server", "serve"]
PATIENCE = 60  # seconds for an answer
LONG = timedelta(days=1)
ROUNDS = 10
OWNED_WITHIN = 20  # looks, with a day between them
POLLS = 1000
BUCKET = "crash"  # it has all blobs, by their ids
NO_HEADERS: Mapping[str, str] = {}
CREDENTIAL = ContextVar("credential", default=TOKEN)
"""The token that requests have, until the task sets another one."""


class Service:
    """A server with points. A context.

    Nothing expires by itself, unless times are to be `brief` (in seconds): then the reaper works in the background.
    """

    def __init__(self, folder: Path, settings: dict[str, str], brief: float | None = None) -> None:
        times = {"REAP_INTERVAL": "3600"}
        if brief is not None:
            times = {"REAP_INTERVAL": "0.2", "READERS_GRACE": f"{brief}", BRIEF: f"{brief}"}
        own = {"DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT), "S3_API_BUCKETS": f"{BUCKET}="}
        environment: dict[str, Any] = settings | times | own
        self.server = Server(folder, COMMAND, **environment)
        self._blobs = folder / "data" / "blobs"
        self.inspection = Inspection(environment)
        self._stack = AsyncExitStack()
        self._key: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.server.__enter__)
        self._stack.push_async_callback(self.stop)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # none that a kill has cut
        client = httpx.AsyncClient(
            base_url=self.server.url,
            timeout=PATIENCE,
            limits=limits,
            verify=False,  # noqa: S501 - there is no TLS, and to read the authorities takes long
        )
        self.client = await self._stack.enter_async_context(client)
        await self._stack.enter_async_context(self.inspection)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    # Requests

    async def ask(
        self,
        method: str,
        path: str,
        content: Any = None,
        failpoint: str = "",
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """The answer; None if there was none."""
        all_headers = {"Authorization": f"Bearer {CREDENTIAL.get()}", **(headers or {})}
        if failpoint:
            all_headers[HEADER] = failpoint
        try:
            return await self.client.request(method, path, content=content, json=json, headers=all_headers)
        except httpx.TransportError:
            return None

    async def use_a_key(self, quota_bytes: int) -> None:
        """Let the requests of this task have a key with a quota, which is created the first time."""
        if not self._key:
            CREDENTIAL.set(TOKEN)
            actions = ["read", "list", "write", "delete"]
            body = {"name": "crash", "actions": actions, "limits": {"quota_bytes": quota_bytes}}
            self._key = await self.change("/v1/keys", body)
        CREDENTIAL.set(self._key["token"])

    async def ask_s3(
        self, method: str, path: str, content: bytes = b"", failpoint: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> httpx.Response | None:
        """The answer to a request of a client of S3, which has the key; None if there was none."""
        url = f"{self.server.url}/{BUCKET}/{path}"
        request = AWSRequest(method, url, data=content, headers=dict(headers))
        S3SigV4Auth(Credentials(self._key["key"], self._key["secret"]), "s3", "us-east-1").add_auth(request)
        point = {HEADER: failpoint} if failpoint else {}
        try:
            return await self.client.request(method, url, content=content, headers=dict(request.headers) | point)
        except httpx.TransportError:
            return None

    async def change_by_s3(self, method: str, path: str, content: bytes = b"", **headers: str) -> str:
        """Make a change that must be made, as nothing is in its way. Return the document in the answer."""
        answer = await self.ask_s3(method, path, content, headers={_name(name): headers[name] for name in headers})
        assert answer is not None
        assert answer.is_success, answer.text
        return answer.text

    async def control(self, what: str, failpoint: str = "") -> Any:
        answer = await self.ask("POST", f"{CONTROL}/{what}", failpoint=failpoint)
        assert answer is not None
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The state of the last request with a failpoint, once it is so."""
        for _ in range(POLLS):
            state: dict[str, Any] = await self.control("state")
            if holds(state):
                return state
            await asyncio.sleep(0.02)
        raise AssertionError(f"it does not come to that: {state}")

    async def put(self, blob_id: str, content: bytes, token: str = "") -> None:
        """Store what must be stored, as nothing is in its way; with another token, if one is given."""
        usual = CREDENTIAL.set(token or CREDENTIAL.get())
        try:
            answer = await self.ask("PUT", f"/v1/blobs/{blob_id}", content)
        finally:
            CREDENTIAL.reset(usual)
        assert answer is not None
        assert answer.is_success, answer.text

    async def change(self, path: str, body: Any) -> Any:
        """Make a change that must be made, as nothing is in its way."""
        answer = await self.ask("POST", path, json=body)
        assert answer is not None
        assert answer.is_success, answer.text
        return answer.json()

    async def send_parts(self, upload: str, parts: Sequence[bytes]) -> None:
        for number, part in enumerate(parts, 1):
            answer = await self.ask("PUT", f"/v1/uploads/{upload}/{number}", part)
            assert answer is not None
            assert answer.is_success, answer.text

    def remove_empty_folders(self) -> None:
        """Remove the folders of files that have none. Kill the worker then: it remembers those that it has seen."""
        for shard in self._blobs.glob("*/"):
            with suppress(OSError):  # it has files
                shard.rmdir()

    # Kills

    @property
    def worker(self) -> int:
        [worker] = filter(lives, self.server.workers())
        return worker

    async def kill_worker(self) -> None:
        worker = self.worker
        os.kill(worker, signal.SIGKILL)
        assert await self.has_died(worker)
        await self.until_back()

    async def kill_all(self) -> None:
        worker = self.worker
        for process in (self.server.process.pid, worker):
            os.kill(process, signal.SIGKILL)
        assert await self.has_died(worker)
        await self.start_again()

    async def has_died(self, worker: int) -> bool:
        """Whether it dies, which it may do some time after its last answer."""
        for _ in range(POLLS // 4):
            if not lives(worker):
                return True
            await asyncio.sleep(0.02)
        return False

    async def until_back(self) -> None:
        """Until another worker answers."""
        await asyncio.to_thread(self.server.wait_until_it_answers)

    async def start_again(self) -> None:
        """After the parent was killed."""
        await asyncio.to_thread(self.server.process.wait, PATIENCE)
        await asyncio.to_thread(self.server.__enter__)

    async def plant(self, fault: str) -> None:
        """Let the next worker have a fault, and those after it none."""
        planted = self.server.folder / TO_PLANT
        planted.write_text(fault)
        await self.kill_worker()
        planted.unlink()

    # Rest

    async def own(self) -> None:
        """Let time pass until the server may delete in its storage. Fails if it never may.

        The server does the same in the background, so the two may be in each other's way, as two replicas may.
        """
        said = ""
        for _ in range(OWNED_WITHIN):
            answer = await self.ask("POST", f"{CONTROL}/keep")
            assert answer is not None
            said = answer.text
            if answer.status_code == HTTPStatus.OK and answer.json() == Standing.OURS.value:
                return
            assert answer.status_code in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE), said
            await self.inspection.let_pass(LONG)
        raise AssertionError(f"the storage does not become its own: {said}")

    async def reap(self) -> Any:
        """A round of the reaper, which may work."""
        await self.own()
        await self.control(quote("reap the database"))
        return await self.control("reap")

    async def come_to_rest(self, rounds: int = ROUNDS) -> list[str]:
        """Let a long time pass, and the reaper work, until nothing is left over; return what still is."""
        left: list[str] = []
        for _ in range(rounds):
            left = await self.inspection.left_over()
            if not left:
                break
            await self.inspection.let_pass(LONG)
            reaped = await self.reap()
            assert reaped["faults"] == []
        return left


def _name(keyword: str) -> str:
    return keyword.replace("_", "-")


def lives(process: int) -> bool:
    """Whether it does, and is not only waited for by its parent (proc(5), /proc/pid/stat)."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")
