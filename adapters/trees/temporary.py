"""The names of files that are being written."""

import hashlib

from application.ports.file_tree import TEMPORARY


def temporary_path(path: str) -> str:
    """Return the path, in the same folder, of what is written before it gets its own.

    It depends on the path only, so that the next write replaces what a killed one has left.
    """
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}.{hashlib.sha256(path.encode()).hexdigest()[:32]}{TEMPORARY}"
