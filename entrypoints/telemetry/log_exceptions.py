"""Exceptions in the log, without values from requests.

A message may quote any value: an id, a row, a header. So only messages of types that are known to quote no values from
clients are logged. For other exceptions, the log has the type and the traceback.
"""

import traceback
from collections.abc import Iterator
from types import TracebackType

from domain.errors import BlobError

# BlobError omits ids. The others name files, hosts and identifiers.
QUOTE_NO_VALUES = (BlobError, OSError, TypeError, AttributeError, NameError, ImportError)


def summary(error: BaseException) -> str:
    """Return `error` and its causes in one line."""
    return ", from ".join(map(_line, _causes(error)))


def traceback_text(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """Return the tracebacks of an exception and its causes, the earliest first."""
    return "\n".join(_texts(exc_info[1])).rstrip()


def _causes(error: BaseException) -> list[BaseException]:
    """Return `error` and its chain of causes."""
    found = [error]
    while (cause := _cause(found[-1])) is not None and cause not in found:
        found.append(cause)
    return found


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _texts(error: BaseException) -> Iterator[str]:
    for each in reversed(_causes(error)):
        frames = "".join(traceback.format_tb(each.__traceback__))
        yield f"Traceback (most recent call last):\n{frames}{_line(each)}\n"
        if isinstance(each, BaseExceptionGroup):
            for part in each.exceptions:
                yield from _texts(part)


def _line(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message = str(error) if isinstance(error, QUOTE_NO_VALUES) else ""
    return f"{name}: {message}" if message else name
