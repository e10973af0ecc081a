"""HTTP/1.1 as it is on the wire: requests written by hand, and answers with a Content-Length.

For what a client library would tidy up, and for load that costs the client little.
"""

import asyncio
import json
from typing import Any, Self

TOKEN = "token-of-the-tests"
AUTH = f"Authorization: Bearer {TOKEN}\r\n"
JSON = "Content-Type: application/json\r\n"


def request(line: str, headers: str = AUTH, body: bytes = b"") -> bytes:
    """A request from its first line, as in `GET /`, its headers and its body."""
    return f"{line} HTTP/1.1\r\nHost: test\r\n{headers}\r\n".encode("latin-1") + body


def get(path: str) -> bytes:
    return request(f"GET {path}")


def post(blob: dict[str, str]) -> bytes:
    """A request that stores `blob`, in the JSON form."""
    body = json.dumps(blob).encode()
    return request("POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {len(body)}\r\n", body)


class Connection:
    """A connection on which one request after another is asked. A context."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, message: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        self._writer.write(message)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
        return int(head.split()[1]), await self._reader.readexactly(int(length or b"0"))


async def ask(port: int, message: bytes) -> tuple[int, Any]:
    """The status and the JSON of the answer, on a connection of its own."""
    async with Connection(port) as connection:
        status, body = await connection.ask(message)
        return status, json.loads(body)
