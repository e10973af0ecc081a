"""The port to a tree of files: a folder, a bucket, or a folder on an FTP server."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.blob import Digest, ObjectKey
from domain.properties import Properties

TEMPORARY = ".drivebay-part"
"""The end of the names of files that are being written. No tree lists them, and none takes such a path."""


class TreeError(Exception):
    """An error of one file. The text is for people. Errors of the whole tree are BlobErrors."""


class InvalidPath(TreeError):
    """The path can't be the name of a file in a tree."""


class PathConflict(TreeError):
    """A file is in the way of a folder, or a folder in the way of a file."""


class FileExists(TreeError):
    """There is a file at this path already."""


class FileGone(TreeError):
    """There is no file at this path any more."""


class FileChanged(TreeError):
    """The file is not, or not to its end, the one that was listed."""


class FileDenied(TreeError):
    """The file can't be read or written by this user."""


class NotLinkable(TreeError):
    """The file can't share its bytes with an object. Copy it."""


def require_valid(path: str) -> None:
    """Raise InvalidPath unless each segment of a path is a name: not empty, and not `.` or `..`.

    One slash at the end is allowed: such a path is a folder.
    """
    for name in path.removesuffix("/").split("/"):
        if not name:
            raise InvalidPath("The path begins with a slash, or has an empty segment.")
        if name in (".", ".."):
            raise InvalidPath(f"The path has the segment {name!r}, which is not a name.")
        if name.endswith(TEMPORARY):
            raise InvalidPath(f"Names that end with {TEMPORARY} are for files that are not complete.")


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file, as it is listed or found. `path`: from the root of the tree, with slashes. `size` is in bytes.

    `modified_at`: the time of its last write in UTC, with the tree's resolution, if the tree knows it. `etag`: a text
    that changes with the bytes, if the tree has one. `digest`: the SHA-256 that was recorded when it was written, if
    the tree keeps it; only `find` and `read` return it.
    """

    path: str
    size: int
    modified_at: datetime | None = None
    etag: str = ""
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class UnusableEntry:
    """An entry that can't be read as a file, and why. `path` is for people."""

    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class FileProperties:
    """Everything about a file but its bytes. A tree keeps as much of it as it can.

    `properties`: None if the tree keeps no such things.
    """

    modified_at: datetime | None = None
    digest: Digest | None = None
    properties: Properties | None = None


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An opened file, and its bytes in chunks that are never empty, to be iterated once."""

    about: FileProperties
    chunks: AsyncIterator[bytes] = field(compare=False)


class FileTree(Protocol):
    """Files below one root, in constant memory. Nothing outside of the root is ever written.

    `resolution`: of the times that the tree keeps. `find` and `write` raise InvalidPath for a path that is not valid
    (`require_valid`). Every method raises a TreeError if only this file is concerned, and UNAVAILABLE, TIMEOUT or
    NO_SPACE if the tree can't be used now.
    """

    resolution: timedelta

    @abstractmethod
    async def check(self, *, create: bool = False) -> None:
        """Check that the tree can be read, and `create` its root if that is missing. Raises UNAVAILABLE."""

    @abstractmethod
    def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        """Yield each file once, in any order, a few at a time, and entries that can't be read as files.

        The caller may take as long as it wants between two of them. Files that are added or deleted during the listing
        may be included or not.
        """

    @abstractmethod
    async def find(self, path: str) -> TreeFile | None:
        """Return the file at a path; None if there is none, or a folder."""

    @abstractmethod
    def read(self, file: TreeFile) -> AbstractAsyncContextManager[OpenedFile]:
        """Read a file that was listed or found.

        Entering raises FileGone, and FileChanged if it is not the same any more. The iteration raises FileChanged at
        its end if the file was changed while it was read, as far as the tree shows it.
        """

    @abstractmethod
    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        """Write a file, and the folders above it, and return it.

        It appears at its path whole, once all chunks have come, or not at all: if anything fails, the source of the
        chunks and a cancellation included, the path is as it was. On return, the file and its path are durable, as far
        as the tree can make them. A kill leaves at most a file with a temporary name, which the next write to the same
        path replaces, unless writes to it had failed before the kill. A tree that can't replace a file in one step
        gives the old one such a name for a moment. A kill then leaves it there, until the path is replaced again.
        Raises FileExists if there is a file, unless `replace`, and PathConflict. A path that ends with a slash is a
        folder, without bytes.
        """


Linker = Callable[[TreeFile, ObjectKey], AbstractAsyncContextManager[None]]
"""Makes a file of a tree the object under a new key, by sharing its bytes: a context.

Entering raises NotLinkable, and leaves nothing then. Leaving it raises FileChanged if the file was changed inside.
"""
