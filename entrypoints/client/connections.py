"""Clients of httpx, one in each process."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Connections(Generic[T]):
    """A client of httpx, and another one in each process that is forked.

    Both processes would send their requests through the same sockets otherwise, and each would read responses that are
    for the other one. What a process has inherited is kept and never closed: closing it takes locks that a thread
    which no longer exists may hold, and may end the connections of the other process.
    """

    def __init__(self, make: Callable[..., T], options: Mapping[str, Any]) -> None:
        self._make, self._options = make, options
        self._made: tuple[int, T] = (os.getpid(), make(**options))
        self._inherited: list[T] = []

    @property
    def http(self) -> T:
        """The client of this process. Raises RuntimeError if it can have none."""
        process, http = self._made
        if process == os.getpid():
            return http
        if self._options.get("transport") or self._options.get("mounts"):
            raise RuntimeError("A client with a transport of yours can't be used after a fork. Make a new one.")
        self._inherited.append(http)
        http = self._make(**self._options)
        self._made = (os.getpid(), http)
        return http

    @property
    def to_close(self) -> T | None:
        """The client of this process, if it has made one."""
        process, http = self._made
        return http if process == os.getpid() else None
