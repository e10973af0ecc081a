"""Early write-back: the disk writes the first bytes of a file while more of them come, so that its sync is short."""

import ctypes
import sys

SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h

if sys.platform == "linux":
    _sync_file_range = ctypes.CDLL(None).sync_file_range
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def start_write_back(file: int, start: int, stop: int) -> None:
    """Start to write a range of a file to the disk. Does nothing where the system can't.

    Nothing is durable before fsync, which also reports the errors of this writing: this function reports none.
    """
    if sys.platform == "linux":
        _sync_file_range(file, start, stop - start, SYNC_FILE_RANGE_WRITE)
