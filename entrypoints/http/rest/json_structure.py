"""Bounds on what a JSON text holds, checked as it comes."""

from entrypoints.http.protocol.problems import HttpProblem


class JsonStructure:
    """Bounds on the objects and commas of a JSON text in chunks, cut anywhere. Those in strings do not count.

    A decoder builds all that a text holds before it checks the length of a list, and takes many times the size of the
    text for it. A text that is not JSON is counted up to its first error, where a decoder stops, too.
    """

    def __init__(self, max_objects: int, max_commas: int, detail: str) -> None:
        self._objects = max_objects
        self._commas = max_commas
        self._detail = detail
        self._quotes = 0
        self._escape = b""  # a backslash at the end of the last chunk

    def feed(self, chunk: bytes) -> None:
        """Count what is in the chunk. Raises HttpProblem 413."""
        text = (self._escape + chunk).replace(rb"\\", b"")
        self._escape = b"\\" if text.endswith(b"\\") else b""
        pieces = text.replace(rb"\"", b"").split(b'"')
        outside = b"".join(pieces[self._quotes % 2 :: 2])
        self._quotes += len(pieces) - 1
        self._objects -= outside.count(b"{")
        self._commas -= outside.count(b",")
        if self._objects < 0 or self._commas < 0:
            raise HttpProblem("too_large", self._detail)
