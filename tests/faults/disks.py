"""A recording layer between the files of a storage and the operating system, which can also make calls fail."""

import os
from pathlib import Path
from typing import Any

import pytest


class RecordingOs:
    """The module `os`, as the filesystem adapter sees it. `calls`: the changes, as `fsync 0ab/0ab4...`."""

    def __init__(self, base: Path) -> None:
        self.calls: list[str] = []
        self._base = base
        self._open: dict[int, str] = {}
        self._failing: dict[str, int] = {}

    @classmethod
    def between(cls, base: Path, monkeypatch: pytest.MonkeyPatch) -> "RecordingOs":
        recording = cls(base)
        for module in ("files", "store"):
            monkeypatch.setattr(f"adapters.storage.filesystem.{module}.os", recording)
        return recording

    def fail(self, call: str, number: int) -> None:
        """Let the next such call fail with this errno, once."""
        self._failing[call] = number

    def take(self) -> list[str]:
        """What was called since the last time."""
        calls, self.calls = self.calls, []
        return calls

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._record("create", path)
        descriptor = os.open(path, flags, mode)
        self._open[descriptor] = str(path)
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        self._record("write", self._open[descriptor])
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._record("fsync", self._open.get(descriptor, "?"))
        os.fsync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        self._record("fdatasync", self._open[descriptor])
        os.fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)  # also if it then fails, as on Linux
        path = self._open.pop(descriptor)
        if not os.path.isdir(path):
            self._record("close", path)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        self._record("mkdir", path)
        os.mkdir(path, mode)

    def unlink(self, path: str) -> None:
        self._record("unlink", path)
        os.unlink(path)

    def rmdir(self, path: str) -> None:
        self._record("rmdir", path)
        os.rmdir(path)

    def _record(self, call: str, path: str) -> None:
        said = f"{call} {os.path.relpath(path, self._base)}"
        self.calls.append(said)
        if number := self._failing.pop(said, 0):
            raise OSError(number, os.strerror(number))
