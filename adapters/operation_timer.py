"""A timer for backend operations."""

from collections.abc import AsyncIterable, AsyncIterator
from time import perf_counter
from types import TracebackType
from typing import Self, TypeVar

from application.ports.observer import Observer, Operation
from domain.errors import BlobError, Kind

T = TypeVar("T")

# The other kinds are refusals by a healthy backend.
FAILURES = frozenset({Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.NO_SPACE, Kind.COMMIT_UNKNOWN, Kind.INTEGRITY})


class OperationTimer:
    """A timer for one operation: a context manager that can be entered repeatedly and counts time and errors inside.

    Adds the backend, the operation and `subject` (the object key) to each BlobError that is raised inside.
    Not a generator, because every request uses it.
    """

    __slots__ = (
        "_backend",
        "_began",
        "_error",
        "_name",
        "_observer",
        "_seconds",
        "_since",
        "_source_error",
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
        self._error = ""
        self._source_error: BaseException | None = None

    def __enter__(self) -> Self:
        self._since = perf_counter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._seconds += perf_counter() - self._since
        if error is not None and error is not self._source_error:
            self._error = error_label(error)
            if isinstance(error, BlobError):
                error.locate(self._backend, self._name, self._subject)

    def end(self) -> None:
        """Report the operation to the observer. Call this once, outside the context."""
        self._source_error = None  # avoids a reference cycle through the frames of its traceback
        self._observer.ended(
            Operation(self._backend, self._name, self._began, self._seconds, self._error, self.outcome)
        )

    def untimed(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Return an iterator of the chunks of a source. Time spent waiting for the source does not count."""
        return _Untimed(self, aiter(chunks))

    def leave_out(self, since: float) -> None:
        """Do not count the time since `since`."""
        self._seconds -= perf_counter() - since

    def blame_source(self, error: BaseException) -> None:
        """Do not count an error, which is not the backend's."""
        self._source_error = error

    async def timed(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """Yield the backend's items. Time that the consumer spends on each does not count."""
        while True:
            with self:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item


class _Untimed(AsyncIterator[bytes]):
    """The chunks of a source, without the time spent waiting for them. Not a generator: every request uses it."""

    def __init__(self, timer: OperationTimer, source: AsyncIterator[bytes]) -> None:
        self._timer = timer
        self._source = source

    async def __anext__(self) -> bytes:
        stopped = perf_counter()
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self._timer.blame_source(error)
            raise
        finally:
            self._timer.leave_out(stopped)


class WholeOperationTimer(OperationTimer):
    """A timer to enter once, which reports the operation on exit."""

    __slots__ = ()

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self.end()


def error_label(error: BaseException) -> str:
    """Return the label of an error that counts against the backend; empty for a refusal or a cancellation."""
    if isinstance(error, BlobError):
        return error.kind.value if error.kind in FAILURES else ""
    return "bug" if isinstance(error, Exception) else ""
