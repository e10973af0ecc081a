"""`drivebay` in processes forked from one that has imported it: a start takes a fifth of the processor time.

`python -m tests.http.forking` is that process. It reads requests from its standard input, a socket, until this is
closed. For each it forks a process that runs the command line, as it is or changed by a module of the tests. A pipe of
the request gets two lines: the process id, and how the process ended.

New SQLite databases get copied tables in these processes: see tests/migrated.py.

A process ends without the finalization of the interpreter: to free all objects, it would copy all pages that it shares
with its parent, which takes more time than most commands. What it prints, its exit handlers and its exit code stay.
"""

import atexit
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

import msgspec

ROOT = Path(__file__).parents[2]
LONGEST = 64 * 1024  # bytes of a request
# Imported by commands only when they need it. Not prometheus_client, which reads the environment at its import.
IMPORTED = [
    "adapters.sql.servers.mariadb",
    "adapters.sql.servers.postgresql",
    "adapters.storage.database",
    "adapters.storage.filesystem.store",
    "adapters.storage.ftp.store",
    "adapters.storage.s3.store",
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "encodings.idna",
    "entrypoints.server.supervisor",
    "importlib.resources.readers",
    "multiprocessing.popen_fork",
]
WARM_UP = {"AUTH_BEARER_TOKEN": "warm-up", "STORAGE": "memory", "METRICS": "false"}
"""Settings of an application whose creation imports the rest, and fills the caches of the framework."""


class Request(msgspec.Struct):
    module: str
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    umask: int


class Forked:
    """A process that runs `drivebay` with these arguments. Has what the tests use of subprocess.Popen.

    `module`: run instead of the command line, which it calls.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        module: str = "",
    ) -> None:
        self._arguments = arguments
        self.returncode: int | None = None
        umask = os.umask(0o022)
        os.umask(umask)
        request = msgspec.json.encode(Request(module, list(arguments), str(cwd), dict(env), umask))
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


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> "subprocess.CompletedProcess[str]":
    """Run `drivebay` to its end, which has no input. Raises subprocess.TimeoutExpired after `timeout` seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Forked(arguments, cwd, env, out, err)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, out.read().decode(), err.read().decode())


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


class _Processes:
    """Processes that run, each with the pipe that gets its end."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[int, int]] = {}  # process id and pipe, by the descriptor of the process

    def add(self, process: int, status: int) -> int:
        """Add a process, and write its id into the pipe. Return a descriptor that is readable once it has ended."""
        descriptor = os.pidfd_open(process)
        self._running[descriptor] = process, status
        _write(status, process)
        return descriptor

    def reap(self, descriptor: int) -> None:
        """Write how a process ended into its pipe."""
        process, status = self._running.pop(descriptor)
        os.close(descriptor)
        _write(status, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        os.close(status)


def serve_forks() -> None:
    """Fork for each request, until there are no more."""
    requests = socket.socket(fileno=os.dup(0))
    processes = _Processes()
    ready = select.poll()
    ready.register(requests, select.POLLIN)
    while True:
        for descriptor, _ in ready.poll():
            if descriptor != requests.fileno():
                ready.unregister(descriptor)
                processes.reap(descriptor)
                continue
            request, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 3)
            if not request:
                return
            status, out, err = descriptors
            process = os.fork()
            if process == 0:
                _run(msgspec.json.decode(request, type=Request), out, err)
            os.close(out)
            os.close(err)
            ready.register(processes.add(process, status), select.POLLIN)


def _write(pipe: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the test has ended, and does not ask
        os.write(pipe, f"{number}\n".encode())


def _run(request: Request, out: int, err: int) -> NoReturn:
    """Run the command line, as its program does, and exit."""
    code: object = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, descriptor in enumerate((nothing, out, err)):
            os.dup2(descriptor, number)
        os.closerange(3, 1 + max(int(name) for name in os.listdir("/proc/self/fd")))  # those of the parent
        os.chdir(request.cwd)
        os.umask(request.umask)
        os.environ.clear()
        os.environ.update(request.env)
        sys.argv = ["drivebay", *request.arguments]
        if request.module:
            runpy.run_module(request.module, run_name="__main__", alter_sys=True)
        else:
            sys.modules["entrypoints.cli.main"].main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - printed, as by the interpreter
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # which waits for threads
        atexit._run_exitfuncs()
        sys.stdout.flush()
    finally:
        os._exit(code if isinstance(code, int) else int(code is not None))


def _warm_up() -> None:
    for name in ("entrypoints.cli.main", *IMPORTED):
        importlib.import_module(name)
    from entrypoints.config.loading import load_all
    from entrypoints.http.app import create_asgi
    from tests import migrated

    migrated.install()
    migrated.statements()
    create_asgi(load_all(WARM_UP).settings)
    assert threading.active_count() == 1, "a fork would copy only one thread"
    assert "prometheus_client" not in sys.modules


if __name__ == "__main__":
    _warm_up()
    gc.collect()
    gc.freeze()
    serve_forks()
