"""Clients of S3: the programs s5cmd and aws, and connections that send presigned requests with little work for them."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.benchmarks.s3_servers import S3Server
from tests.conformance.environments import environment
from tests.http.wire import Connection

CONNECTIONS = 8
VALIDITY = 3600  # seconds
PATIENCE = 300  # seconds, of one program
REGION = "us-east-1"
# Objects of 16 MiB are sent in one request, larger ones in parts of 8 MiB, which is the default.
AWS_CONFIG = "[default]\ns3 =\n  multipart_threshold = 32MB\n"


class Programs:
    """s5cmd and aws, in a folder of their own. Raises RuntimeError if one fails. No request is repeated."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (config := folder / "config").write_text(AWS_CONFIG)
        self._folder = folder
        self._s5cmd = [f"{environment('python') / 's5cmd'}", "--log", "error", "--retry-count", "0"]
        self._aws = [f"{environment('aws') / 'python'}", f"{environment('aws') / 'aws'}", "s3"]
        self._variables = {
            "PATH": os.environ["PATH"],
            "HOME": f"{folder}",
            "AWS_CONFIG_FILE": f"{config}",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def copy(self, client: str, server: S3Server, source: str, target: str) -> float:
        """Copy a folder to a server, or back. `client` is `s5cmd` or `aws`. Return the seconds that it takes."""
        if client == "s5cmd":
            return self.s5cmd(server, "cp", f"{source}/*", f"{target}/")
        return self._run(server, *self._aws, "cp", "--recursive", "--only-show-errors", source, target)

    def s5cmd(self, server: S3Server, *arguments: str) -> float:
        """Return the seconds that a command takes."""
        return self._run(server, *self._s5cmd, *arguments)

    def _run(self, server: S3Server, *command: str) -> float:
        variables = {
            **self._variables,
            "AWS_ACCESS_KEY_ID": server.key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret,
            "AWS_ENDPOINT_URL": server.url,
            "S3_ENDPOINT_URL": server.url,
        }
        started = time.perf_counter()
        ended = subprocess.run(
            command, cwd=self._folder, env=variables, capture_output=True, text=True, timeout=PATIENCE
        )
        taken = time.perf_counter() - started
        if ended.returncode:
            said = (ended.stdout + ended.stderr)[-1000:]
            raise RuntimeError(f"{Path(command[0]).name} failed with {ended.returncode} on {server.name}: {said}")
        return taken


def presigned(server: S3Server, method: str, paths: Iterable[str], body: bytes = b"") -> list[bytes]:
    """Return a request for each path, with a presigned URL as clients make them."""
    signer = S3SigV4QueryAuth(Credentials(server.key_id, server.secret), "s3", REGION, VALIDITY)
    head = f"Host: 127.0.0.1:{server.port}\r\n" + (f"Content-Length: {len(body)}\r\n" if body else "")
    messages = []
    for path in paths:
        request = AWSRequest(method, f"{server.url}{path}")
        signer.add_auth(request)
        target = str(request.url).removeprefix(server.url)
        messages.append(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return messages


async def rate(server: S3Server, messages: Iterable[bytes], seconds: float, size: int = 0) -> float:
    """Return how many requests per second succeed, on as many connections, until the time or the messages end.

    `size`: that of each body. Raises RuntimeError for another response.
    """
    rest = iter(messages)
    started = time.perf_counter()
    answered = await asyncio.gather(*(_ask(server, rest, started + seconds, size) for _ in range(CONNECTIONS)))
    return sum(answered) / (time.perf_counter() - started)


async def _ask(server: S3Server, messages: Iterator[bytes], deadline: float, size: int) -> int:
    answered = 0
    connection: Connection | None = None
    try:
        while time.perf_counter() < deadline and (message := next(messages, None)) is not None:
            if connection is None:
                connection = await Connection(server.port).__aenter__()
            status, body = await connection.ask(message)
            if status != 200 or len(body) != size:
                raise RuntimeError(f"{server.name} responded with {status} and {len(body)} bytes: {body[:500]!r}")
            answered += 1
            if not server.keeps_alive:
                await connection.__aexit__()
                connection = None
    finally:
        if connection is not None:
            await connection.__aexit__()
    return answered
