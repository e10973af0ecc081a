"""`drivebay` in processes forked from one that has imported it: a start takes a fifth of the processor time.

`python -m tests.http.forking` is that process. It reads requests from its standard input, a socket, until this is
closed. For each it forks a waiter, and this forks the process that runs the command line. A pipe of the request gets
two lines from the waiter: the process id, and how the process ended.
"""

import atexit
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

import msgspec

ROOT = Path(__file__).parents[2]
LONGEST = 64 * 1024  # bytes of a request
# What commands import only when they need it.
IMPORTED = [
    "adapters.sql.mariadb",
    "adapters.sql.postgresql",
    "adapters.storage.ftp.store",
    "adapters.storage.s3.store",
    "alembic.command",
    "entrypoints.server.supervisor",
]


class Request(msgspec.Struct):
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    umask: int


class Forked:
    """A process that runs `drivebay` with these arguments. Has what the tests use of subprocess.Popen."""

    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]
    ) -> None:
        self._arguments = arguments
        self.returncode: int | None = None
        umask = os.umask(0o022)
        os.umask(umask)
        request = msgspec.json.encode(Request(list(arguments), str(cwd), dict(env), umask))
        reader, writer = os.pipe()
        self._lines = os.fdopen(reader)
        try:
            socket.send_fds(_parent(), [request], [writer, stdout.fileno(), stderr.fileno()])
        finally:
            os.close(writer)
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        ended = self._ended_within(timeout)
        if ended is None:
            raise subprocess.TimeoutExpired(list(self._arguments), timeout or 0)
        return ended

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._lines], [], [], seconds)[0]:
            with self._lines as lines:
                self.returncode = int(lines.readline())
        return self.returncode


@cache
def _parent() -> socket.socket:
    """Start the process that forks, once. It ends when this one does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.http.forking"]
    with its:
        parent = subprocess.Popen(
            command, stdin=its.fileno(), cwd=ROOT, env={"PATH": os.environ["PATH"]}, start_new_session=True
        )
    atexit.register(_close, ours, parent)
    return ours


def _close(requests: socket.socket, parent: "subprocess.Popen[bytes]") -> None:
    requests.close()
    parent.wait()


def serve_forks() -> None:
    """Fork for each request, until there are no more. Returns in the processes that were forked, too."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the waiters
    with socket.socket(fileno=os.dup(0)) as requests:
        while True:
            request, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 3)
            if not request:
                return
            if os.fork() == 0:
                break  # which closes the socket
            for descriptor in descriptors:
                os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _wait_or_run(msgspec.json.decode(request, type=Request), *descriptors)


def _wait_or_run(request: Request, status: int, out: int, err: int) -> None:
    process = os.fork()
    if process == 0:
        os.close(status)
        _run(request, out, err)
    os.closerange(0, status)  # nothing that somebody waits for the end of
    os.closerange(status + 1, err + 1)
    os.write(status, f"{process}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.write(status, f"{code}\n".encode())
    os._exit(0)


def _run(request: Request, out: int, err: int) -> None:
    """Run the command line, as its program does, and exit."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, descriptor in enumerate((nothing, out, err)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request.cwd)
    os.umask(request.umask)
    os.environ.clear()
    os.environ.update(request.env)
    sys.argv = ["drivebay", *request.arguments]
    sys.exit(sys.modules["entrypoints.cli.main"].main())


if __name__ == "__main__":
    for name in ("entrypoints.cli.main", *IMPORTED):
        importlib.import_module(name)
    gc.freeze()
    serve_forks()
