"""The zip format (PKWARE's APPNOTE.TXT 6.3.10), for files that are stored as they are.

The size of a file is known before its bytes, and its CRC-32 after them, in a data descriptor. Numbers that need more
than 32 bits are in the fields of Zip64. The modification time is in UTC, with that of Info-ZIP in an extra field.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

MAX_32, MAX_16 = 0xFFFFFFFF, 0xFFFF
UTF_8, DESCRIPTOR = 0x0800, 0x0008  # flags
PLAIN, ZIP64 = 20, 45  # versions of the format
UNIX = 3 << 8
FILE_MODE, FOLDER_MODE = 0o100644 << 16, (0o40755 << 16) | 0x10
REMEMBERED = 128  # times; many blobs are stored in one second
EARLIEST, LATEST = 315_532_800, 4_354_819_198  # 1980-01-01 00:00:00, and 2107-12-31 23:59:58
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_TIME = struct.Struct("<2HBi")
_DESCRIPTOR = struct.Struct("<4s3I")
_DESCRIPTOR_64 = struct.Struct("<4sI2Q")
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_UNKNOWN_SIZES = struct.pack("<2H2Q", 1, 16, 0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of `size` bytes, or a folder, whose name ends with a slash.

    `modified`: the time in seconds since 1970. `offset`: the position of its header.
    """

    name: bytes
    size: int
    modified: int
    offset: int

    @property
    def is_large(self) -> bool:
        return self.size >= MAX_32

    @property
    def length(self) -> int:
        """The length of the header, the bytes and the descriptor."""
        length = _LOCAL.size + len(self.name) + len(self._time) + self.size
        if self.is_large:
            return length + len(_UNKNOWN_SIZES) + _DESCRIPTOR_64.size
        return length + _DESCRIPTOR.size if self.size else length

    @property
    def record_length(self) -> int:
        """The length of the record."""
        large = 2 * self.is_large + (self.offset >= MAX_32)
        return _CENTRAL.size + len(self.name) + len(self._time) + (4 + 8 * large if large else 0)

    @property
    def _time(self) -> bytes:
        """An extra field with the time, which is empty for times that it can't have."""
        return _TIME.pack(0x5455, 5, 1, self.modified) if -(2**31) <= self.modified < 2**31 else b""

    @property
    def _flags(self) -> int:
        return UTF_8 | DESCRIPTOR if self.size else UTF_8

    @property
    def _version(self) -> int:
        return ZIP64 if self.is_large or self.offset >= MAX_32 else PLAIN

    def header(self) -> bytes:
        """Return what comes before the bytes."""
        extra = self._time + (_UNKNOWN_SIZES if self.is_large else b"")
        size = MAX_32 if self.is_large else 0
        numbers = (self._version, self._flags, 0, *_dos_time(self.modified), 0, size, size, len(self.name), len(extra))
        return _LOCAL.pack(b"PK\3\4", *numbers) + self.name + extra

    def descriptor(self, crc: int) -> bytes:
        """Return what comes after the bytes; nothing if there are none."""
        if not self.size:
            return b""
        return (_DESCRIPTOR_64 if self.is_large else _DESCRIPTOR).pack(b"PK\7\x08", crc, self.size, self.size)

    def record(self, crc: int) -> bytes:
        """Return the record in the central directory."""
        large = [self.size] * 2 if self.is_large else []
        large += [self.offset] if self.offset >= MAX_32 else []
        extra = self._time
        if large:
            extra += struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large)
        size, offset = min(self.size, MAX_32), min(self.offset, MAX_32)
        mode = FOLDER_MODE if self.name.endswith(b"/") else FILE_MODE
        version = self._version
        lengths = (len(self.name), len(extra), 0, 0, 0)
        numbers = (UNIX | version, version, self._flags, 0, *_dos_time(self.modified), crc, size, size, *lengths)
        return _CENTRAL.pack(b"PK\1\2", *numbers, mode, offset) + self.name + extra


class Layout:
    """The positions of entries in a zip file, and its length, all known before the bytes of any."""

    def __init__(self) -> None:
        self.count = 0
        self.position = 0
        """The position after the entries so far: that of the next one, or of the central directory."""
        self.directory = 0
        """The length of the records so far."""

    def add(self, name: str, size: int, modified: int) -> Entry:
        """Return the next entry."""
        entry = Entry(name.encode(), size, modified, self.position)
        self.count += 1
        self.position += entry.length
        self.directory += entry.record_length
        return entry

    @property
    def length(self) -> int:
        """The length of the whole file, in bytes."""
        return self.position + self.directory + len(self.end())

    def end(self) -> bytes:
        """Return what comes after the records."""
        count, size, start = self.count, self.directory, self.position
        end = _END.pack(b"PK\5\6", 0, 0, *[min(count, MAX_16)] * 2, min(size, MAX_32), min(start, MAX_32), 0)
        if count < MAX_16 and size < MAX_32 and start < MAX_32:
            return end
        numbers = (44, UNIX | ZIP64, ZIP64, 0, 0, count, count, size, start)
        return _END_64.pack(b"PK\6\6", *numbers) + _LOCATOR.pack(b"PK\6\7", 0, start + size, 1) + end


@lru_cache(maxsize=REMEMBERED)
def _dos_time(seconds: int) -> tuple[int, int]:
    """Return the time and the day, with a resolution of two seconds."""
    utc = datetime.fromtimestamp(min(max(seconds, EARLIEST), LATEST), UTC)
    return utc.hour << 11 | utc.minute << 5 | utc.second // 2, (utc.year - 1980) << 9 | utc.month << 5 | utc.day
