"""The servers of S3 that are compared, each on a free port of 127.0.0.1 with an empty bucket."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.peers import servers
from tests.benchmarks.peers.servers import running
from tests.conformance.environments import environment
from tests.http.server import DRIVEBAY, Server, free_port
from tests.http.wire import TOKEN

BUCKET = "bench"
ALL_CORES = "Drivebay, a worker for each core"
ACTIONS = "read,write,delete,list"
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class S3Server:
    """The address of a server, and a pair of keys. `keeps_alive`: whether it takes more than one request a connection.

    `server` is Drivebay's process, None for the others.
    """

    name: str
    port: int
    key_id: str = KEY_ID
    secret: str = field(default=SECRET, repr=False)
    keeps_alive: bool = True
    server: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def drivebay(folder: Path) -> Iterator[S3Server]:
    """Drivebay on SQLite and files in a new folder, with its default settings, for S3 only: with one worker."""
    with _drivebay("Drivebay", folder) as server:
        yield server


@contextmanager
def drivebay_on_all_cores(folder: Path) -> Iterator[S3Server]:
    """The same with a worker for each core: the others use all cores too."""
    with _drivebay(ALL_CORES, folder, len(os.sched_getaffinity(0))) as server:
        yield server


@contextmanager
def _drivebay(name: str, folder: Path, workers: int = 1) -> Iterator[S3Server]:
    with servers.drivebay(folder, S3_API="only", WORKERS=f"{workers}") as server:
        server.wait_until_all_serve()
        created = subprocess.run(
            [DRIVEBAY, "keys", "create", "--name", "bench", "--allow", ACTIONS, "--json"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "AUTH_BEARER_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            check=True,
        )
        pair = json.loads(created.stdout)
        yield S3Server(name, server.port, pair["key"], pair["secret"], server=server)


@contextmanager
def rclone(folder: Path) -> Iterator[S3Server]:
    """`rclone serve s3` for a new folder. It requires signatures, as Drivebay does."""
    folder.mkdir()
    with servers.rclone("s3", folder, "--auth-key", f"{KEY_ID},{SECRET}") as url:
        yield S3Server("rclone serve s3", int(url.rpartition(":")[2]))


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """moto's server. It verifies no signature, and ends each connection after one response."""
    folder.mkdir()
    port, programs = free_port(), environment("moto")
    command = [f"{programs / 'python'}", f"{programs / 'moto_server'}", "--host", "127.0.0.1", "--port", f"{port}"]
    with running(command, port, TMPDIR=f"{folder}"):  # it writes objects that are large there
        yield S3Server("moto", port, keeps_alive=False)
