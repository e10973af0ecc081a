"""Commands that flows yield, and their results."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from entrypoints.client.errors import DrivebayError, error_of
from entrypoints.client.flows.sources import Source

T = TypeVar("T")
Flow = Generator["Command", Any, T]
CHUNK = 1 << 20  # bytes that are read and written at once


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of a source from `start` to `stop`, as a body. `sent` is called with the number of each chunk."""

    source: Source
    start: int
    stop: int
    sent: Callable[[int], object] = lambda count: None


@dataclass(frozen=True, slots=True)
class Call:
    """A request. Its result is a `Reply`. Raises ConnectionFailed. `timeout`: in seconds, the client's by default."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Span = b""
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A request whose body is read by `Read`. Its result is a `Reply`: with a `stream`, or with an error's content."""

    call: Call


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of a stream; none at its end. Raises ConnectionFailed, also if it ends too early."""

    stream: Any


@dataclass(frozen=True, slots=True)
class Close:
    """Close a stream. What was not read of it is discarded."""

    stream: Any


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Run a function that blocks: it reads files, or hashes. Its result is what the function returns."""

    function: Callable[[], Any]


END = object()  # of an iterator of the caller, which may yield anything, also None


@dataclass(frozen=True, slots=True)
class Pull:
    """The next chunk of an iterator of the caller, synchronous or not. `END` at its end."""

    iterator: Any


@dataclass(frozen=True, slots=True)
class Gather:
    """Run flows concurrently, up to `limit` at once. Its result has theirs, in order.

    After an error of one the others end, and it is raised.
    """

    flows: Sequence[Flow[Any]] | Iterable[Flow[Any]]
    limit: int


Command = Call | Open | Read | Close | Sleep | Work | Pull | Gather


@dataclass(frozen=True, slots=True)
class Reply:
    """A response. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    stream: Any = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def error(self) -> DrivebayError:
        """Return the error that this response describes."""
        return error_of(self.status, self.headers, self.content)


HASHED_AT_ONCE = 32 << 20  # bytes, between which a flow can be stopped


def sha256(source: Source) -> Flow[bytes]:
    """Return the SHA-256 of a source."""
    found, offset = hashlib.sha256(), 0
    while offset < source.size:
        stop = min(offset + HASHED_AT_ONCE, source.size)
        yield Work(partial(_update, found.update, source, offset, stop))
        offset = stop
    return found.digest()


def _update(update: Callable[[bytes], object], source: Source, offset: int, stop: int) -> None:
    while offset < stop:
        chunk = source.read_at(offset, min(CHUNK, stop - offset))
        if not chunk:
            return
        update(chunk)
        offset += len(chunk)
