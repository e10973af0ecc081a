"""Small clients of resumable uploads, by tus 1.0 and by the IETF draft, that go on after any failure."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

import httpx

PAUSE = 0.05  # seconds, after a failure
ATTEMPTS = 500  # one after another without success: a server that is killed often fails more in all
PERMANENT = {400, 401, 403, 404, 405, 410, 411, 413, 415, 422}
Head = tuple[str, str, dict[str, str]]


class ResumableProtocol(Protocol):
    """The requests of a protocol: each a method, a URL, and headers without those of the credential."""

    name: str

    def creation(self, blob_id: str, size: int) -> Head:
        """Create an upload without bytes. The response has the URL of the upload in `Location`."""

    def offset(self, url: str) -> Head:
        """Ask for `Upload-Offset`."""

    def append(self, url: str, offset: int, *, is_last: bool) -> Head:
        """Append the bytes of the body. `is_last`: the upload is complete with them."""


class Tus:
    """tus 1.0."""

    name = "tus"
    _version: ClassVar = {"Tus-Resumable": "1.0.0"}

    def creation(self, blob_id: str, size: int) -> Head:
        metadata = f"filename {b64encode(blob_id.encode()).decode()}"
        length = {"Upload-Length": str(size), "Content-Length": "0"}
        return "POST", "/v1/tus", {**self._version, **length, "Upload-Metadata": metadata}

    def offset(self, url: str) -> Head:
        return "HEAD", url, self._version

    def append(self, url: str, offset: int, *, is_last: bool) -> Head:
        kind = {"Content-Type": "application/offset+octet-stream"}
        return "PATCH", url, {**self._version, **kind, "Upload-Offset": str(offset)}


class Draft:
    """draft-ietf-httpbis-resumable-upload, interop version 8."""

    name = "draft"
    _version: ClassVar = {"Upload-Draft-Interop-Version": "8"}

    def creation(self, blob_id: str, size: int) -> Head:
        length = {"Upload-Length": str(size), "Content-Length": "0"}
        return "PUT", f"/v1/blobs/{quote(blob_id, safe='')}", {**self._version, **length, "Upload-Complete": "?0"}

    def offset(self, url: str) -> Head:
        return "HEAD", url, self._version

    def append(self, url: str, offset: int, *, is_last: bool) -> Head:
        kind = {"Content-Type": "application/partial-upload", "Upload-Complete": f"?{is_last:d}"}
        return "PATCH", url, {**self._version, **kind, "Upload-Offset": str(offset)}


PROTOCOLS: list[ResumableProtocol] = [Tus(), Draft()]


@dataclass
class ResumableUpload:
    """A blob that is uploaded, whatever happens to the connections and to the server.

    `read(start, stop)` returns chunks of the blob. `next_size` returns how many bytes the next request has at most.
    `acknowledged` and `sent` are the highest offsets that the server has named, and that a request has begun to send.
    """

    http: httpx.AsyncClient
    protocol: ResumableProtocol
    blob_id: str
    size: int
    read: Callable[[int, int], AsyncIterator[bytes]]
    next_size: Callable[[], int]
    headers: dict[str, str] = field(default_factory=dict)
    acknowledged: int = 0
    sent: int = 0
    failures: int = 0

    async def run(self) -> None:
        """Upload to completion. Fails if the server forgets bytes that it has acknowledged, or claims others."""
        url = await self._create()
        offset, fruitless = 0, 0
        while offset < self.size:
            before = offset
            stop = min(offset + self.next_size(), self.size)
            self.sent = max(self.sent, stop)
            head = self.protocol.append(url, offset, is_last=stop == self.size)
            response = await self._ask(*head, content=self.read(offset, stop), size=stop - offset)
            if response is None:
                offset = self._checked(await self._insist(*self.protocol.offset(url)))
            else:
                offset = self._checked(response)
            fruitless = 0 if offset > before else fruitless + 1
            assert fruitless < ATTEMPTS, f"{offset} of {self.size} bytes are there, and no more come"
        # A server that was killed just after the last byte publishes the blob with the next request.
        assert self._checked(await self._insist(*self.protocol.offset(url))) == self.size

    async def _create(self) -> str:
        created = await self._insist(*self.protocol.creation(self.blob_id, self.size))
        return str(httpx.URL(created.headers["Location"]).raw_path.decode())

    def _checked(self, response: httpx.Response) -> int:
        offset = int(response.headers["Upload-Offset"])
        assert offset >= self.acknowledged, f"{self.acknowledged} bytes were acknowledged, and {offset} are there"
        assert offset <= self.sent, f"{self.sent} bytes were sent, and {offset} are there"
        self.acknowledged = offset
        return offset

    async def _insist(self, *head: Any) -> httpx.Response:
        for _ in range(ATTEMPTS):
            if (response := await self._ask(*head)) is not None:
                return response
        raise AssertionError(f"{head[:2]} failed {ATTEMPTS} times")

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], content: Any = None, size: int = 0
    ) -> httpx.Response | None:
        """Return a successful response; None if there was none, or if the server asks for another attempt."""
        headers = self.headers | headers | ({"Content-Length": str(size)} if size else {})
        try:
            response = await self.http.request(method, url, headers=headers, content=content)
        except httpx.TransportError:
            response = None
        if response is not None and response.is_success:
            return response
        if response is not None:
            assert response.status_code not in PERMANENT, (method, url, response.status_code, response.text)
        self.failures += 1
        await asyncio.sleep(PAUSE)
        return None
