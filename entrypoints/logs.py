"""Log lines: for people on a terminal, JSON elsewhere. The libraries' lines come in the same form."""

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog

if TYPE_CHECKING:
    from stamina.instrumentation import RetryDetails

LOG = structlog.get_logger()

SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(stream: TextIO = sys.stderr) -> None:
    """Send all log lines to `stream`: readable if it is a terminal, one JSON object a line if not."""
    rendering = _rendering(stream)
    # Ours go straight there, and spare the way through the standard library's logging.
    structlog.configure(
        processors=[*SHARED, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(stream)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[libraries], level=logging.WARNING, force=True)


def tell_of_retry(details: "RetryDetails") -> None:
    """That an operation on a storage failed, and is tried once more."""
    LOG.warning("trying again", fault=str(details.caused_by), seconds=round(details.wait_for, 2))


class _Lines(structlog.WriteLogger):
    """Writes lines, and lets them go if they can't be written: a full disk must not cost the answer too."""

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def _rendering(stream: TextIO) -> list[structlog.typing.Processor]:
    if stream.isatty():
        return [structlog.dev.ConsoleRenderer()]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]


def _json(line: Any, **_: Any) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()
