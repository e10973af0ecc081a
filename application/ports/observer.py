"""The port for observing the backends: metrics, traces."""

from abc import abstractmethod
from typing import NamedTuple, Protocol


class Operation(NamedTuple):
    """An operation on a backend that has ended.

    `backend` is a storage (fs, s3, ...) or a database (sqlite, postgresql, ...). `began` is a time of
    `time.perf_counter`. `seconds` is the time that the backend took, without that of a sender or a reader. `fault` is
    the kind of its error, or "bug" for an unknown one; empty if the backend has not failed. `outcome` is that of a
    transaction: committed, rolled_back or failed.
    """

    backend: str
    name: str
    began: float
    seconds: float
    fault: str = ""
    outcome: str = ""


class Observer(Protocol):
    """An observer of the backends. Its methods return at once and never fail. All names have few values."""

    @abstractmethod
    def ended(self, operation: Operation) -> None:
        """Record an operation that has ended, with or without an error."""

    @abstractmethod
    def retried(self, backend: str, operation: str) -> None:
        """Record another attempt at a failed operation on a storage."""

    @abstractmethod
    def streams(self, backend: str, change: int) -> None:
        """Record a `change` in the number of objects that are being written to or read from a storage."""

    @abstractmethod
    def connections(self, backend: str, change: int) -> None:
        """Record a `change` in the number of connections in use."""

    @abstractmethod
    def reaped(self, backend: str, deleted: int, faults: int) -> None:
        """Record the objects that the reaper has deleted, and those that it could not delete (`faults`)."""

    @abstractmethod
    def withheld(self, backend: str) -> None:
        """Record that nothing may be deleted in a storage: it is the wrong one, or another database owns it."""


class Unobserved(Observer):
    """An observer that ignores everything."""

    def ended(self, operation: Operation) -> None:
        pass

    def retried(self, backend: str, operation: str) -> None:
        pass

    def streams(self, backend: str, change: int) -> None:
        pass

    def connections(self, backend: str, change: int) -> None:
        pass

    def reaped(self, backend: str, deleted: int, faults: int) -> None:
        pass

    def withheld(self, backend: str) -> None:
        pass


UNOBSERVED = Unobserved()
