"""Records of interrupted transfers, in files, so that the next run goes on."""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FLAGS = os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
PART, STATE = ".drivebay-part", ".state"
LONGEST = 255 - len(f".{PART}{STATE}")  # bytes of a name, so that file systems take it with what is added
PRIVATE = 0o600  # permissions of a file that will replace another, until it gets the permissions of that one


class UploadJournal:
    """The URL path of an upload in progress, kept in a file until the upload ends.

    The file belongs to one blob on one server: its name is up to the caller. Where it can't be written, as on a
    read-only file system, nothing is kept, and that is not an error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def upload(self, digest: bytes, headers: Mapping[str, str]) -> str | None:
        """Return the path of an upload of these bytes with these properties; None if there is none."""
        record = _read(self._path)
        found = record.get("upload")
        is_same = record.get("sha256") == digest.hex() and record.get("headers") == dict(headers)
        return found if is_same and isinstance(found, str) and found.startswith("/") else None

    def begin(self, upload: str, digest: bytes, headers: Mapping[str, str]) -> None:
        """Keep the path of an upload that was begun."""
        record = {"upload": upload, "sha256": digest.hex(), "headers": dict(headers)}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.write_text(json.dumps(record), encoding="utf-8")

    def end(self) -> None:
        """Forget the upload."""
        with suppress(OSError):
            self._path.unlink()


class PartialFile:
    """A file that is downloaded in blocks, under a temporary name next to its own until it is complete.

    A second file, named `.state`, has the version that is downloaded, and the numbers of the blocks that are written.
    A file that is replaced passes on its permissions and its owner. A link is replaced, not followed.

    `is_compared`: the caller compares all bytes with a digest before it publishes the file. Without that, a block is
    durable before it is noted.
    """

    def __init__(self, target: Path, etag: str, size: int, block: int, *, is_compared: bool = False) -> None:
        self.target = target
        self.path = target.with_name(f".{_shortened(target.name)}{PART}")
        self._state_path = self.path.with_name(f"{self.path.name}{STATE}")
        self.size = size
        self._head = {"etag": etag, "size": size, "block": block}
        self.block_count = -(-size // block)
        self._is_compared = is_compared
        self._descriptor = self._state = -1
        self.written = set[int]()

    def open(self) -> None:
        """Open both files, and read which blocks are there. Those of another version are discarded. Blocks.

        Raises BlockingIOError while another process writes them. After an error, `close` what was opened.
        """
        self._replaced = _file_at(self.target)
        self._descriptor = self._locked()
        self.written = self._kept()
        # Each line is one write at the end, so that threads do not mix theirs.
        flags = FLAGS | os.O_WRONLY | os.O_APPEND | (0 if self.written else os.O_TRUNC)
        self._state = os.open(self._state_path, flags, 0o666)
        if not self.written:
            if not self._is_compared:  # or old notes might outlive a crash, next to a file of the right size
                os.fsync(self._state)
            os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, self.size)
        if not self.written:
            self._note(json.dumps(self._head))

    def _locked(self) -> int:
        """Open the file, and lock it. It may get its final name in between, and is another one then."""
        while True:
            descriptor = os.open(self.path, FLAGS | os.O_RDWR, 0o666 if self._replaced is None else PRIVATE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    if os.path.samestat(self.path.stat(), os.fstat(descriptor)):
                        if self._replaced is not None:  # an earlier run may have begun when there was no file
                            os.fchmod(descriptor, PRIVATE)
                        return descriptor
            except BlockingIOError:
                os.close(descriptor)
                raise BlockingIOError(f"Another process fetches {self.target} just now. Wait for it.") from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _kept(self) -> set[int]:
        try:
            if self.path.stat().st_size != self.size or not self.path.is_file():
                return set()
            head, *lines = self._state_path.read_text(encoding="ascii").splitlines()
            if json.loads(head) != self._head:
                return set()
        except (OSError, ValueError):
            return set()
        # The last line may be torn.
        numbers = {int(line) for line in lines if line.isdigit()}
        return {number for number in numbers if number < self.block_count}

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes. Blocks."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self._descriptor, view, offset)
            offset += count
            view = view[count:]

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes. Blocks."""
        return os.pread(self._descriptor, size, offset)

    def finish_block(self, number: int) -> None:
        """Note that a block is written. Blocks."""
        if not self._is_compared:  # a power cut could keep the note and not the bytes
            self._flush()
        self.written.add(number)
        self._note(str(number))

    def _note(self, line: str) -> None:
        os.write(self._state, f"{line}\n".encode())

    def close(self) -> None:
        """Close the files that are open, and keep them for the next run. May be called more than once."""
        for descriptor in (self._state, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._state = -1

    def publish(self) -> None:
        """Make the bytes durable, and give the file its name. Blocks.

        Raises OSError. If the bytes can't be made durable, both files are discarded.
        """
        if self._replaced is not None:
            for owner in ((-1, self._replaced.st_gid), (self._replaced.st_uid, -1)):
                with suppress(OSError):  # only root may give files away
                    os.fchown(self._descriptor, *owner)
            os.fchmod(self._descriptor, stat.S_IMODE(self._replaced.st_mode) & 0o777)
        self._flush()
        self.path.replace(self.target)
        self._state_path.unlink(missing_ok=True)
        _sync_folder(self.target.parent)

    def _flush(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError:
            # The kernel may have dropped the bytes, and report no error the next time (LWN 752063).
            self.discard()
            raise

    def discard(self) -> None:
        """Delete both files."""
        for path in (self.path, self._state_path):
            path.unlink(missing_ok=True)


def _shortened(name: str) -> str:
    while len(os.fsencode(name)) > LONGEST:
        name = name[:-1]
    return name


def _file_at(path: Path) -> os.stat_result | None:
    """Return the status of the file at a path, None if there is none. Raises OSError if it is no file."""
    try:
        status = path.stat()
    except OSError:  # nothing, or a link that leads nowhere
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{path} is a folder. Name the file to write.")
    if not stat.S_ISREG(status.st_mode) and not path.is_symlink():
        raise FileExistsError(f"{path} is not a file, and is not replaced. Choose another name, or remove it.")
    return status if stat.S_ISREG(status.st_mode) else None


def _sync_folder(path: Path) -> None:
    """Make the names in a folder durable, as far as its file system and its permissions allow."""
    try:
        folder = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except PermissionError:
        return  # its files may be replaced, and not listed
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # as folders of virtual machines report it
            raise
    finally:
        os.close(folder)


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
