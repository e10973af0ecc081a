"""The audit trail: a line of JSON for each action of each request, in a stream of its own."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import structlog

from application.attempts import AUTHENTICATE, Attempt
from entrypoints.telemetry.request_lines import REQUEST_ID, pieces

LOG = structlog.get_logger()
STDOUT = "stdout"


class AuditLine(msgspec.Struct, omit_defaults=True):
    """An action, and its outcome: `ok`, `forbidden`, `failed`, or `aborted` if the client left.

    `id` or `prefix` say which blobs it concerned, if the operator wants ids; `subject` which key, link or upload.
    `via`: the share link that was used, or `signature`. `status` is that of the whole request. `client`: the address of
    a client that failed to authenticate.
    """

    action: str
    outcome: str
    key: str = ""
    id: str | None = None
    prefix: str | None = None
    status: int = 0
    client: str | None = None
    subject: str = ""
    via: str = ""
    time: datetime = msgspec.field(default_factory=partial(datetime.now, UTC))
    request_id: str = msgspec.field(default_factory=REQUEST_ID.get)


class AuditLog:
    """Writes the lines of each request together, when it ends, to the standard output or to a file.

    Several processes may write to one file. A file that was renamed is made again. If lines can't be written, they are
    lost, and that is logged.
    """

    def __init__(self, target: str, *, with_ids: bool) -> None:
        self._path = None if target == STDOUT else Path(target)
        self._with_ids = with_ids
        self._encoder = msgspec.json.Encoder()
        self._descriptor = sys.stdout.fileno() if self._path is None else -1
        self._inode = (0, 0)
        self._is_failing = False
        self._is_torn = False  # the last line, because the disk took only a part of it

    def open(self) -> None:
        """Open the file, and make it if it is not there. Raises OSError."""
        if self._path is not None:
            self._reopen(self._path)

    def close(self) -> None:
        """Close the file."""
        if self._path is not None and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def record(self, attempts: Sequence[Attempt], status: int, client: str) -> None:
        """Record a request that has ended. Without attempts, only a failed authentication is worth a line."""
        # An id that is authorized before and after its bytes is one action.
        lines = [self._line(attempt, status, client) for attempt in dict.fromkeys(attempts)]
        if not lines and status == 401:
            lines = [AuditLine(AUTHENTICATE, "forbidden", status=status, client=client)]
        if lines:
            self._write(self._encoder.encode_lines(lines))

    def _line(self, attempt: Attempt, status: int, client: str) -> AuditLine:
        outcome = "forbidden" if not attempt.is_granted else _outcome(status)
        line = AuditLine(
            attempt.action, outcome, attempt.key_id, status=status, subject=attempt.subject, via=attempt.via
        )
        if attempt.action == AUTHENTICATE:
            line.client = client
        if self._with_ids and attempt.is_prefix:
            line.prefix = attempt.ids
        elif self._with_ids and attempt.ids:
            line.id = attempt.ids
        return line

    def _write(self, text: bytes) -> None:
        try:
            if self._path is not None and self._inode != _inode(self._path):
                self._reopen(self._path)
            # Each in one write, so that lines of several processes do not mix: all lines of a request in a file, and
            # as many as a pipe takes. Only a full disk needs more.
            text = b"\n" + text if self._is_torn else text
            for rest in pieces(text) if self._path is None else (text,):
                self._write_all(rest)
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                self._is_failing = True
                LOG.error("the audit log can't be written, and lines are lost", fault=error.strerror)

    def _write_all(self, text: bytes) -> None:
        while text:
            text = text[os.write(self._descriptor, text) :]
            self._is_torn = bool(text)

    def _reopen(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.close()
        self._descriptor = descriptor
        # Not that of the path, which may be another file by now.
        self._inode = _inode(descriptor)
        self._is_torn = False


def _inode(file: Path | int) -> tuple[int, int]:
    with suppress(FileNotFoundError):
        found = os.stat(file)
        return found.st_dev, found.st_ino
    return 0, 0


def _outcome(status: int) -> str:
    if status == 0:
        return "aborted"
    return "ok" if status < 400 else "failed"
