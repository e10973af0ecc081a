"""A lock on an address, which excludes other servers.

Workers share their port, and would share it with another server that starts at the same time. So each server binds two
names in Linux's abstract namespace, which the kernel frees with the last process that holds them: one is held by the
parent only, the other by its workers too. There are two names for workers, because those of a parent that was killed
may still hold one.
"""

import errno
import socket
import time
from types import TracebackType
from typing import Any, Self

RETRY = 0.05  # seconds


class PortInUseError(Exception):
    """Another program listens on the port, or another Drivebay is starting on it."""


class PortClaim:
    """A context manager that holds the lock. `address` is the IP address, of IPv4 if the host has any.

    Raises PortInUseError, PermissionError, or OSError or UnicodeError if the host is not this machine's. Waits up to
    `patience` seconds for workers whose parent was killed, because they stop soon.
    """

    def __init__(self, host: str, port: int, patience: float) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._listening = min(found, key=lambda each: each[0] != socket.AF_INET)
        self.address = str(self._listening[4][0])
        self._parents = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._workers = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._take(port, time.monotonic() + patience)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def become_a_worker(self) -> None:
        """Close the parent's name in a forked process."""
        self._parents.close()

    def _take(self, port: int, deadline: float) -> None:
        if not _bind(self._parents, f"\0drivebay {self.address} {port}"):
            raise PortInUseError
        orphans = self._name_workers([f"\0drivebay workers {number} {self.address} {port}" for number in (1, 2)])
        while not self._is_free():
            if not orphans or time.monotonic() > deadline:
                raise PortInUseError
            time.sleep(RETRY)

    def _name_workers(self, names: list[str]) -> bool:
        """Bind the first name that nobody holds. Return whether others hold one."""
        free = [*filter(_is_free_name, names)]
        if free:
            _bind(self._workers, free[0])
        return free != names

    def _is_free(self) -> bool:
        family, kind, protocol, _, where = self._listening
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return _bind(probe, where)

    def _close(self) -> None:
        self._parents.close()
        self._workers.close()


def _is_free_name(name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return _bind(probe, name)


def _bind(unbound: socket.socket, to: tuple[Any, ...] | str) -> bool:
    """Bind the socket. Return False if the name or address is in use."""
    try:
        unbound.bind(to)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
