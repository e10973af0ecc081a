"""Folders that clients copy to a server and back, and what was found in them."""

import hashlib
from pathlib import Path

from tests.contracts.blob_store import MIB, pattern

# In one request and in parts, empty, below folders, and with names that are encoded on the way.
SIZES = {"empty": 0, "small": 1000, "sub/large.bin": 17 * MIB + 1, "sub/sub/a b+c.txt": 70_000, "sub/ü%20&.txt": 1}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make(folder: Path) -> dict[str, str]:
    """Make the files of SIZES. Returns their digests by their names."""
    for name, size in SIZES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pattern(size))
    return digests(folder)


def digests(folder: Path) -> dict[str, str]:
    """The digests of all files, by their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in files}
