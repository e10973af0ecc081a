"""The settings of a folder for blobs."""

from dataclasses import dataclass
from pathlib import Path

from adapters.settings import path, setting


@dataclass(frozen=True, slots=True)
class FilesystemConfig:
    """`base_path`: the folder for the objects, on a local disk. `may_hold_blobs`: whether older blobs may be there.

    `threads`: the number of concurrent calls.
    """

    base_path: Path = setting("FS_BASE_PATH", "LOCAL_STORAGE_PATH", default=Path("data/blobs"), parse=path)
    may_hold_blobs: bool = False
    threads: int = 16
