"""The port to whoever watches the backends at work: metrics, traces."""

from abc import abstractmethod
from typing import NamedTuple, Protocol


class Operation(NamedTuple):
    """An operation on a backend that has ended.

    `backend` is a storage (fs, s3, ...) or a database (sqlite, postgresql, ...). It `began` at a time of
    `time.perf_counter`, and took the backend `seconds`: the time that a sender or a reader took does not count.
    `fault` is the kind of error that it failed with, "bug" if it is none of the known ones; empty if it did not fail,
    or not for the backend's sake. `outcome` is a transaction's: committed, rolled_back or failed.
    """

    backend: str
    name: str
    began: float
    seconds: float
    fault: str = ""
    outcome: str = ""


class Observer(Protocol):
    """Is told of what happens. It returns at once, and never fails. All that it is told has names of few values."""

    @abstractmethod
    def ended(self, operation: Operation) -> None:
        """An operation has ended, well or not."""

    @abstractmethod
    def retried(self, backend: str, operation: str) -> None:
        """What failed on a storage is tried once more."""

    @abstractmethod
    def streams(self, backend: str, change: int) -> None:
        """So many more objects are being written to a storage, or read, than before."""

    @abstractmethod
    def connections(self, backend: str, change: int) -> None:
        """So many more connections to a backend are in use than before."""

    @abstractmethod
    def reaped(self, backend: str, deleted: int, faults: int) -> None:
        """So many objects were deleted by the reaper, and so many it could not delete."""

    @abstractmethod
    def withheld(self, backend: str) -> None:
        """Nothing may be deleted in a storage now: it is another one, or another database deletes there."""


class Unobserved(Observer):
    """Nobody watches."""

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
