"""The names of files that are being written."""

import hashlib

from application.ports.file_tree import TEMPORARY


def temporary_path(path: str, failures: int = 0) -> str:
    """Return the path, in the same folder, of what is written before it gets its own.

    It depends on the path only, so that the next write replaces what a killed one has left. After `failures` in the
    same process it is another one.
    """
    return _hidden(path, f".{failures}" if failures else "")


def aside_path(path: str) -> str:
    """Return the path, in the same folder, of the old file while another one takes its place."""
    return _hidden(path, ".old")


def _hidden(path: str, kind: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}.{hashlib.sha256(path.encode()).hexdigest()[:32]}{kind}{TEMPORARY}"
