"""A real server: `drivebay serve` in a process of its own, on a socket, in a folder of its own."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote

import httpx

from tests import markers
from tests.http.described import is_described
from tests.http.forking import Forked
from tests.http.wire import TOKEN, get

DRIVEBAY = str(Path(sys.executable).parent / "drivebay")
UVICORN = [sys.executable, "-m", "uvicorn", "--factory", "entrypoints.http.app:from_environment", "--port", "{port}"]
OTHER_TOKEN = "another-token"
PATIENCE = 40  # seconds
LISTEN = "0A"
UNVERIFIED = httpx.create_ssl_context(verify=False)
"""Takes any certificate. Without it, each client would read the authorities, which takes longer than most tests."""
SELDOM: dict[str, Any] = {"REAP_INTERVAL": "10"}
"""For a server that many tests share, some of which wait for its reaper for PATIENCE. It keeps the markers of its
storages as seldom: every 2 seconds, that takes 7% of a processor all the time, and a run has dozens of such servers."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server with `settings` as its environment, and nothing else of ours but the path. A context: running inside.

    It is `drivebay serve`, or `command`. Both are forked from a process that has imported it, unless `command` is
    anything but a module of the tests: then it is run as a program.
    """

    def __init__(self, folder: Path, command: list[str] | None = None, exit_code: int = 0, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._exit_code = exit_code
        self._command = command
        self._environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "AUTH_BEARER_TOKEN": f"{TOKEN},{OTHER_TOKEN}",
            "REAP_INTERVAL": "0.1",
            **settings,
        }

    def __enter__(self) -> Self:
        with self._log("out") as out, self._log("err") as err:
            self.process = self._start(out, err)
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            assert self.stop() == self._exit_code, self.errors()

    def _start(self, out: IO[bytes], err: IO[bytes]) -> "Forked | subprocess.Popen[bytes]":
        where: dict[str, Any] = {"cwd": self.folder, "env": self._environment, "stdout": out, "stderr": err}
        if self._command is None:
            return Forked(["serve"], **where)
        if self._command[:2] == [sys.executable, "-m"] and self._command[2].startswith("tests."):
            return Forked(self._command[3:], **where, module=self._command[2])
        command = [part.format(port=self.port) for part in self._command]
        return subprocess.Popen(command, **where, start_new_session=True)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def client(self, token: str = TOKEN) -> httpx.Client:
        """One that takes no answer which the document does not describe."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
            limits=httpx.Limits(max_keepalive_connections=None),  # as `entrypoints.client.transport` says
            event_hooks={"response": [is_described]},
            verify=UNVERIFIED,
        )

    def anybody(self) -> httpx.Client:
        """A client without a token, which takes every response."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE, verify=UNVERIFIED)

    def connect(self) -> socket.socket:
        """A connection for requests that are written by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def output(self) -> str:
        return (self.folder / f"out-{self.port}").read_text()

    def errors(self) -> str:
        return (self.folder / f"err-{self.port}").read_text()

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log. What is being written just now has no end yet, and is left out."""
        return [json.loads(line) for line in self.errors().splitlines(keepends=True) if line.endswith("\n")]

    def logged(self, request_id: str) -> dict[str, Any]:
        """The line of a request, whose end is waited for. Fails if it came to a fault."""
        self.wait_until(lambda: bool(self._lines_of(request_id, "request")))
        assert {line["level"] for line in self._lines_of(request_id)} == {"info"}
        [line] = self._lines_of(request_id, "request")
        return line

    def _lines_of(self, request_id: str, *events: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log() if line.get("request_id") == request_id]
        return [line for line in lines if not events or line["event"] in events]

    def left(self) -> dict[str, int]:
        """How many files, blobs, uploads and pieces of garbage there are, without the markers of the storage.

        Versions in the trash count as garbage. Objects that were deleted, and will be once more for what could land
        late, don't count.
        """
        not_yet = "WHERE due_at < (unixepoch() + 1800) * 1000000"
        before = markers.in_file(path := self.folder / "data" / "drivebay.db")
        files = {each.name for each in (self.folder / "data" / "blobs").rglob("*") if each.is_file()}
        with sqlite3.connect(path) as database:
            rows = {
                table: {key for (key,) in database.execute(f"SELECT object_key FROM {table} {where}")}  # noqa: S608 - our own names
                for table, where in (("blobs", ""), ("uploads", ""), ("unused_objects", not_yet), ("trash", ""))
            }
            rows["garbage"] = rows.pop("unused_objects") | rows.pop("trash")
        database.close()
        ours = before | markers.in_file(path)  # an epoch may be replaced meanwhile
        return {name: len(keys - ours) for name, keys in {"files": files, **rows}.items()}

    def wait_until_left(self, blobs: int) -> None:
        """Wait until `blobs` blobs are there, and nothing else."""
        wanted = {"files": blobs, "blobs": blobs, "uploads": 0, "garbage": 0}
        try:
            self.wait_until(lambda: self.left() == wanted)
        except AssertionError:
            assert self.left() == wanted

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait for what happens in the server, and can only be asked for."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, self.errors()[-2000:]
            time.sleep(0.02)

    def listeners(self) -> int:
        """How many sockets listen on the port: one for each worker that serves."""
        return sum(state == LISTEN for state, _ in self._sockets())

    def _sockets(self) -> set[tuple[str, str]]:
        """States and inodes of the sockets at the port (proc(5), /proc/net/tcp).

        A set: while other connections come and go, the kernel shows some sockets twice.
        """
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {(row[3], row[9]) for row in rows if row[1].endswith(f":{self.port:04X}")}

    def wait_until_all_serve(self) -> None:
        """Wait for all workers: one is enough to answer."""
        self.wait_until(lambda: self.listeners() == int(self._environment.get("WORKERS", "1")))

    def connections(self) -> int:
        """How many connections the server has not closed. One that is closed may have bytes yet, but is no file."""
        return sum(state != LISTEN and inode != "0" for state, inode in self._sockets())

    def workers(self) -> list[int]:
        """The process ids of those that serve."""
        parent = self.process.pid
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def wait_until_closed(self, folder: Path) -> None:
        """Wait until no worker has a file in `folder` open."""
        self.wait_until(lambda: not any(path.startswith(f"{folder}/") for path in self._open_files()))

    def _open_files(self) -> list[str]:
        return [_target(entry) for pid in self.workers() for entry in Path(f"/proc/{pid}/fd").iterdir()]

    def _log(self, name: str) -> IO[bytes]:
        return (self.folder / f"{name}-{self.port}").open("ab")

    def wait_until_it_answers(self) -> None:
        """Wait until a request is answered. Fails if the server ends instead."""
        self.wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.errors()
        try:
            with self.connect() as connection:
                connection.sendall(get("/health/live"))
                return connection.recv(100).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # closed since it was listed
        return ""


def blob_target(blob_id: str) -> dict[str, Any]:
    """What makes httpx send an id's path as it is: it would take `..` and the like out of it."""
    return {"target": b"/v1/blobs/" + quote(blob_id, safe="").encode()}
