"""Text and compression around a file that is written. An exception in the `with` block discards the file."""

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self


class TextFile(io.TextIOWrapper):
    """Text that is written to `buffer`, a file that has `discard`."""

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            self.buffer.discard()  # type: ignore[attr-defined]
        self.close()


class CompressedFile:
    """A file of `compress` whose bytes go to `file`, which has `discard`. `close` closes both.

    Most compressors do not close the file that they write to, and none discards it.
    """

    def __init__(self, file: Any, compress: Callable[..., Any]) -> None:
        self._file = file
        self._compressor = compress(file, mode="w")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compressor, name)

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def close(self) -> None:
        """Write what the compressor has left, and close the file. Discards the file if that fails."""
        if self.closed:
            return
        try:
            self._compressor.close()
        except BaseException:
            self.discard()
            raise
        self._file.close()

    def discard(self) -> None:
        """Discard what was written."""
        self._file.discard()
        with suppress(Exception):  # its last bytes have nowhere to go
            self._compressor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            self.discard()
        self.close()
