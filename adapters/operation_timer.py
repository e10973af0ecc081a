"""A timer for operations of backends."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from time import perf_counter
from types import TracebackType
from typing import Self, TypeVar

from application.ports.observer import Observer, Operation
from domain.errors import BlobError, Kind

T = TypeVar("T")

# With the other kinds a backend refuses what it is asked, and is well.
FAULTS = frozenset({Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.NO_SPACE, Kind.COMMIT_UNKNOWN, Kind.INTEGRITY})


class OperationTimer:
    """One operation. A context, which may be entered several times: inside, time and errors are the backend's.

    Adds backend, operation and `subject` (the object key) to each BlobError of the backend, so adapters need not.
    No generators here: each request passes here.
    """

    __slots__ = (
        "_backend",
        "_began",
        "_fault",
        "_name",
        "_observer",
        "_of_others",
        "_seconds",
        "_since",
        "_subject",
        "outcome",
    )

    def __init__(self, observer: Observer, backend: str, name: str, subject: object = None) -> None:
        self.outcome = ""
        self._observer = observer
        self._backend = backend
        self._name = name
        self._subject = subject
        self._began = self._since = perf_counter()
        self._seconds = 0.0
        self._fault = ""
        self._of_others: BaseException | None = None

    def __enter__(self) -> Self:
        self._since = perf_counter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._seconds += perf_counter() - self._since
        if error is not None and error is not self._of_others:
            self._fault = fault(error)
            if isinstance(error, BlobError):
                error.locate(self._backend, self._name, self._subject)

    def end(self) -> None:
        """Report the operation to the observer. Call it once, outside of the context."""
        self._of_others = None  # or the error, which holds the frames it passed, would hold itself
        self._observer.ended(
            Operation(self._backend, self._name, self._began, self._seconds, self._fault, self.outcome)
        )

    async def sent(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """The chunks that a sender sends to the backend. Time spent waiting for the sender does not count."""
        source = aiter(chunks)
        while True:
            stopped = perf_counter()
            try:
                chunk = await anext(source)
            except StopAsyncIteration:
                return
            except BaseException as error:
                self._of_others = error
                raise
            finally:
                self._seconds -= perf_counter() - stopped
            yield chunk

    async def taken(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The chunks that a reader takes from the backend. Time that the reader spends on each does not count."""
        while True:
            with self:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item


class WholeOperationTimer(OperationTimer):
    """A timer of a single context, which reports the operation at its end."""

    __slots__ = ()

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self.end()


def fault(error: BaseException) -> str:
    """The error that counts against the backend: none for a refusal or a cancellation."""
    if isinstance(error, BlobError):
        return error.kind.value if error.kind in FAULTS else ""
    return "bug" if isinstance(error, Exception) else ""
