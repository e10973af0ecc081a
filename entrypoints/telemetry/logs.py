"""Logging: readable lines on a terminal, JSON elsewhere, also for the libraries.

No line contains a blob id, a token or a password: exceptions are logged without the values in their messages, and URLs
without user and password.
"""

import logging
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog

from domain.redaction import without_passwords
from entrypoints.telemetry import log_exceptions
from entrypoints.telemetry.request_lines import REQUEST_ID, TRACE_ID, RequestLine, RequestLines

if TYPE_CHECKING:
    from stamina.instrumentation import RetryDetails

LOG = structlog.get_logger()
REQUEST_LINES = RequestLines()


def _add_ids(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the ids of the request that a line belongs to."""
    for variable in (REQUEST_ID, TRACE_ID):
        if value := variable.get():
            line[variable.name] = value
    return line


SHARED: list[structlog.typing.Processor] = [
    _add_ids,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(stream: TextIO = sys.stderr) -> None:
    """Write all log lines to `stream`: readable if it is a terminal, otherwise one JSON object per line."""
    rendering = _rendering(stream)
    REQUEST_LINES.stream = None if stream.isatty() else stream
    # Drivebay's own lines bypass the standard library's logging, which is slower.
    structlog.configure(
        processors=[*SHARED, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(stream)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED, structlog.stdlib.add_logger_name, _first_line],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[libraries], level=logging.WARNING, force=True)
    # By default, Python writes these to stderr, with their messages.
    threading.excepthook = lambda failed: LOG.error("a thread failed", exc_info=failed.exc_value)
    sys.unraisablehook = lambda failed: LOG.error("an exception was ignored", exc_info=failed.exc_value)


def show_hints(hints: Iterable[str]) -> None:
    """Log hints about settings without effect."""
    for hint in hints:
        LOG.warning("a setting has no effect", hint=hint)


def log_request(line: RequestLine) -> None:
    """Log a request that has ended."""
    if REQUEST_LINES.stream is None:
        LOG.info(line.event, **{name: getattr(line, name) for name in line.__struct_fields__[:6]})
    else:
        REQUEST_LINES.add(line)


def on_retry(details: "RetryDetails") -> None:
    """Log a retry of the retry layer."""
    log_retry(details.caused_by, details.wait_for)


def log_retry(error: Exception, seconds: float) -> None:
    """Log a failed operation that is repeated after `seconds`."""
    LOG.warning("trying again", fault=str(error), seconds=round(seconds, 2))


class _Lines(structlog.WriteLogger):
    """A logger that drops lines which can't be written, so that a full disk does not fail requests."""

    def msg(self, message: str) -> None:
        REQUEST_LINES.write()  # so that lines are in their order
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def _rendering(stream: TextIO) -> list[structlog.typing.Processor]:
    private: list[structlog.typing.Processor] = [
        structlog.processors.ExceptionRenderer(log_exceptions.traceback_text),
        _redact,
    ]
    if stream.isatty():
        # Not structlog's default, which uses rich if it is installed, and that logs the values of all variables.
        return [*private, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [*private, structlog.processors.JSONRenderer(serializer=_json)]


def _redact(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: _redacted(value) for name, value in line.items()}


def _redacted(value: Any) -> Any:
    text = log_exceptions.summary(value) if isinstance(value, BaseException) else value
    return without_passwords(text) if isinstance(text, str) else text


def _first_line(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Remove values from a library's line.

    asyncio and granian append the message of an exception below it, and asyncio the arguments of a callback after `(`.
    """
    line["event"] = line["event"].partition("\n")[0]
    if line["logger"] == "asyncio":
        line["event"] = line["event"].partition("(")[0]
    return line


def _json(line: Any, **_: Any) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()
