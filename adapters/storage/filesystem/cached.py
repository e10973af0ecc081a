"""Reads of small files from the kernel's cache, which take microseconds and never wait for a disk.

They are for the event loop: a trip to a thread takes ten times as long. Linux only (openat2(2), preadv2(2)).
"""

import ctypes
import errno
import os

from domain.blob import ByteRange

LARGEST = 64 * 1024  # bytes; to copy more would keep other requests waiting
OPENAT2 = 437  # the number of the system call, on all architectures
AT_FDCWD = -100
RESOLVE_CACHED = 0x20
RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
IMPOSSIBLE = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}  # EPERM: a container's filter of system calls


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class CachedFiles:
    """Reads files in the kernel's cache. Stops trying where the kernel or the file system can't do that."""

    def __init__(self) -> None:
        self._works = RWF_NOWAIT != 0
        if self._works:
            # PyDLL keeps the interpreter lock: the call does not block, and to get the lock again may take longer.
            self._call = ctypes.PyDLL(None, use_errno=True).syscall
            self._call.restype = ctypes.c_long
            self._call.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
            self._how = _How(os.O_RDONLY | os.O_CLOEXEC, 0, RESOLVE_CACHED)

    def read(self, path: str, byte_range: ByteRange | None) -> bytes | None:
        """Return the bytes of the file, or of a range of it. Raises RANGE_NOT_SATISFIABLE.

        None if they are too many, not in the cache, or can't be read: then read the file in a thread.
        """
        if not self._works:
            return None
        try:
            return self._read(path, byte_range)
        except OSError as error:
            self._works = error.errno not in IMPOSSIBLE
            return None

    def _read(self, path: str, byte_range: ByteRange | None) -> bytes | None:
        file = self._open(path)
        try:
            start, stop = 0, os.fstat(file).st_size
            if byte_range is not None:
                found = byte_range.within(stop)
                start, stop = found.start, found.stop
            if stop - start > LARGEST:
                return None
            buffer = bytearray(stop - start)
            count = os.preadv(file, [buffer], start, RWF_NOWAIT)
            return bytes(buffer) if count == len(buffer) else None
        finally:
            os.close(file)

    def _open(self, path: str) -> int:
        """Open the file. Raises OSError with EAGAIN if its names are not in the cache."""
        file: int = self._call(OPENAT2, AT_FDCWD, path.encode(), ctypes.byref(self._how), ctypes.sizeof(self._how))
        if file < 0:
            raise OSError(ctypes.get_errno(), "openat2")
        return file
