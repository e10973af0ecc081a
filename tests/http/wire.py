"""HTTP/1.1 as it is on the wire: requests written by hand, and answers with a Content-Length.

For what a client library would tidy up, and for load that costs the client little.
"""

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

TOKEN = "token-of-the-tests"
AUTH = f"Authorization: Bearer {TOKEN}\r\n"
JSON = "Content-Type: application/json\r\n"


def request(line: str, headers: str = AUTH, body: bytes = b"") -> bytes:
    """A request from its first line, as in `GET /`, its headers and its body."""
    return f"{line} HTTP/1.1\r\nHost: test\r\n{headers}\r\n".encode("latin-1") + body


def put(path: str, body: bytes, headers: str = "") -> bytes:
    return request(f"PUT {path}", f"{AUTH}{headers}Content-Length: {len(body)}\r\n", body)


def get(path: str) -> bytes:
    return request(f"GET {path}")


def post(blob: dict[str, str]) -> bytes:
    """A request that stores `blob`, in the JSON form."""
    body = json.dumps(blob).encode()
    return request("POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {len(body)}\r\n", body)


@dataclass(frozen=True)
class Answer:
    """An answer as it came. The names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


def answer(stream: BinaryIO, method: str = "GET") -> Answer:
    """The next answer on a connection."""
    status = int(stream.readline().split()[1])
    lines = iter(lambda: stream.readline().decode("latin-1").rstrip("\r\n"), "")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    has_body = method != "HEAD" and status not in (100, 204, 304)
    return Answer(status, headers, stream.read(int(headers["content-length"])) if has_body else b"")


def ask_once(connection: socket.socket, message: bytes) -> Answer:
    """The first answer to what is sent."""
    connection.sendall(message)
    with connection.makefile("rb") as stream:
        return answer(stream, message.split()[0].decode())


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
