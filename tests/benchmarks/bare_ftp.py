"""curl with all files of a share in one invocation, in which it keeps its connection."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.backends.ftp import FtpServer
from tests.benchmarks.clients import Client

# Of TLS 1.3, some versions of curl can't use a session again, which the servers demand.
OPTIONS = ["--silent", "--show-error", "--fail-early", "--ssl-reqd", "--tls-max", "1.2", "--config", "-"]


class Curl(Client):
    """It uploads a file of `folder`, and keeps nothing of what it downloads."""

    def __init__(self, server: FtpServer, folder: Path) -> None:
        self._address = f"ftp://{server.host}:{server.port}/"
        self._options = [*OPTIONS, "--cacert", server.certificate, "--user", f"{server.user}:{server.password}"]
        self._source = folder / "uploaded"

    async def put(self, names: Sequence[str], data: bytes, at_once: int = 1) -> None:
        if not self._source.exists() or self._source.stat().st_size != len(data):
            self._source.write_bytes(data)
        await self._run_shares(names, f'upload-file = "{self._source}"', at_once)

    async def get(self, names: Sequence[str], at_once: int = 1) -> None:
        await self._run_shares(names, 'output = "/dev/null"', at_once)

    async def delete(self, names: Sequence[str]) -> None:
        deletes = "\n".join(f'quote = "DELE {name}"' for name in names)
        await self._run([""], f'{deletes}\noutput = "/dev/null"')

    async def _run_shares(self, names: Sequence[str], of_each: str, at_once: int) -> None:
        await asyncio.gather(*(self._run(names[number::at_once], of_each) for number in range(at_once)))

    async def _run(self, names: Sequence[str], of_each: str) -> None:
        lines = "\n".join(f'url = "{self._address}{name}"\n{of_each}' for name in names)
        curl = await asyncio.create_subprocess_exec("curl", *self._options, stdin=asyncio.subprocess.PIPE)
        await curl.communicate(lines.encode())
        assert curl.returncode == 0, f"curl has failed with {curl.returncode}"


@asynccontextmanager
async def bare_ftp(server: FtpServer, folder: Path) -> AsyncIterator[Client]:
    yield Curl(server, folder)
