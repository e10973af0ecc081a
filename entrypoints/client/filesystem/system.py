"""`drivebay://` for fsspec, and so for pandas, pyarrow, Dask, DuckDB and others.

    options = {"endpoint_url": "http://localhost:8000", "token": "..."}
    pandas.read_parquet("drivebay://tables/a.parquet", storage_options=options)

Paths are ids. There are no folders: a prefix that ends with a slash is one as long as blobs are below it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr, noop_file
from fsspec.core import get_compression
from fsspec.utils import tokenize

from entrypoints.client.client import Client
from entrypoints.client.errors import AlreadyExists, NotFound, RangeNotSatisfiable
from entrypoints.client.filesystem.files import DrivebayFile, OneCommit
from entrypoints.client.filesystem.moves import PATTERN, planned
from entrypoints.client.filesystem.wrappers import CompressedFile, TextFile
from entrypoints.client.models import BlobMeta, Progress

PART = 8 << 20  # bytes of a file that are sent at once


class DrivebayFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """Blobs as files. `endpoint_url`, `token`: DRIVEBAY_URL and DRIVEBAY_TOKEN by default."""

    protocol = "drivebay"
    root_marker = ""
    transaction_type = OneCommit

    def __init__(
        self,
        endpoint_url: str | None = None,
        token: str | None = None,
        client_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        url = endpoint_url or os.environ.get("DRIVEBAY_URL")
        if not url:
            raise ValueError(
                "No server is configured. Pass endpoint_url and token, or set DRIVEBAY_URL and DRIVEBAY_TOKEN."
            )
        self.client = Client(url, token or os.environ.get("DRIVEBAY_TOKEN"), **client_options or {})

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return os.fspath(path).removeprefix("drivebay://").strip("/")

    @property
    def fsid(self) -> str:
        return f"drivebay_{tokenize(self.client.url)}"

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
        path = self._strip_protocol(path)
        found = self.client.list_with_delimiter(f"{path}/" if path else "")
        infos = [_file(meta) for meta in found.blobs if not meta.id.endswith("/")]
        infos += [_folder(prefix.rstrip("/")) for prefix in found.prefixes]
        if not infos and path:
            infos = [_file(self._head(path))]
        return sorted(infos, key=_name) if detail else sorted(map(_name, infos))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if not path:
            return _folder("")
        try:
            return _file(self._head(path))
        except FileNotFoundError:
            if next(self.client.list(f"{path}/", page_size=1), None) is None:
                raise
            return _folder(path)

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether a blob or a folder is there. Raises the error of a request that does not say so."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def _head(self, path: str) -> BlobMeta:
        with _named(path):
            return self.client.head(path)

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = self._strip_protocol(path)
        prefix = f"{path}/" if path else ""
        found, folders = dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()
        for meta in self.client.list(prefix):
            parts = meta.id.removeprefix(prefix).split("/")
            for depth in range(1, min(len(parts), (maxdepth or len(parts)) + 1)):
                name = prefix + "/".join(parts[:depth])
                folders.setdefault(name, _folder(name))
            if parts[-1] and (maxdepth is None or len(parts) <= maxdepth):
                found[meta.id] = _file(meta)
        if withdirs:
            found = {**folders, **found}
            if path and folders | found:
                found[path] = _folder(path)
        if not found and path:
            info = self.info(path) if self.exists(path) else None
            found = {path: info} if info and info["type"] == "file" else {}
        found = dict(sorted(found.items()))
        return found if detail else list(found)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path, etag = self._strip_protocol(path), None
        with _named(path):
            if (start or 0) < 0 or (end or 0) < 0:
                meta = self.client.head(path)
                size, etag = meta.size, meta.etag
                start = max(size + start, 0) if start is not None and start < 0 else start
                end = max(size + end, 0) if end is not None and end < 0 else end
            if end is not None and end <= (start or 0):
                return b""
            try:
                with self.client.get(path, start=start or 0, end=end, if_match=etag) as found:
                    return found.read()
            except RangeNotSatisfiable:  # files have no bytes after their end, either
                return b""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        path = self._strip_protocol(path)
        if self._intrans:
            with self.open(path, "xb" if mode == "create" else "wb", **options) as file:
                file.write(value)
            return
        with _named(path):
            self.client.put(path, bytes(value), create_only=mode == "create")

    def put_file(
        self, lpath: str, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **options: Any
    ) -> None:
        rpath = self._strip_protocol(rpath)
        if Path(lpath).is_dir():
            return
        callback.set_size(Path(lpath).stat().st_size)
        if self._intrans:
            opened = self.open(rpath, "xb" if mode == "create" else "wb", **options)
            with opened as file, Path(lpath).open("rb") as local:
                while data := local.read(PART):
                    callback.relative_update(file.write(data))
            return
        with _named(rpath):
            progress = _progress(callback)
            self.client.put(rpath, Path(lpath), create_only=mode == "create", progress=progress)

    def get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **options: Any
    ) -> None:
        rpath = self._strip_protocol(rpath)
        if outfile is not None or not isinstance(lpath, str | os.PathLike):
            super().get_file(rpath, lpath, callback=callback, outfile=outfile, **options)
            return
        target = Path(lpath)
        try:
            known = self._head(rpath)
        except FileNotFoundError:
            if not self.isdir(rpath):
                raise
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        callback.set_size(known.size)
        self.client.download(rpath, target, known=known, progress=_progress(callback))

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a blob of any size at once."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if path1 == path2:
            return
        try:
            self.client.copy(path1, path2)
        except NotFound as error:
            if not self.isdir(path1):
                raise FileNotFoundError(path1) from error

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **options: Any) -> None:
        """Move a blob, or with `recursive` all below a path, at once for any size.

        Blobs of a pattern, a list or a `maxdepth` are moved one by one to where `copy` would put them. Blobs that
        appear during the call stay. Raises ValueError, and moves nothing, if two of them would get the same id, or one
        the id of another.
        """
        path1, path2 = _text(path1), _text(path2)
        is_one = isinstance(path1, str) and isinstance(path2, str) and not PATTERN & set(path1)
        if not is_one or (recursive and maxdepth is not None):
            for source, target in planned(self, path1, path2, recursive=recursive, maxdepth=maxdepth):
                with _named(source):
                    self.mv_file(source, target)
            return
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        is_folder = self.isdir(source) and not self.isfile(source)
        if path2.endswith("/") or (self.isdir(target) and not path1.endswith("/")):
            target = f"{target}/{source.rpartition('/')[2]}".lstrip("/")
        with _named(source):
            if not is_folder:
                self.mv_file(source, target)
            elif recursive:
                self.client.rename_prefix(f"{source}/", f"{target}/")
            else:
                raise IsADirectoryError(f"{source} is a folder. Add recursive=True.")

    def mv_file(self, path1: str, path2: str, **_: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if path1 != path2:
            self.client.rename(path1, path2)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete blobs; with `recursive` all below a path, at once. Raises FileNotFoundError if nothing is there."""
        path = _text(path)
        if isinstance(path, str) and recursive and maxdepth is None and not PATTERN & set(path):
            self._rm_below(self._strip_protocol(path))
            return
        named = set() if recursive else set(self._strip_protocol([path] if isinstance(path, str) else list(path)))
        for each in self.expand_path(path, recursive=recursive, maxdepth=maxdepth):
            if each in named:
                self.rm_file(each)
            else:
                with suppress(NotFound):  # folders are among them
                    self.client.delete(each)

    def _rm_below(self, path: str) -> None:
        if not path:
            raise ValueError("The root has all blobs. Delete its folders by name.")
        # Counted first: a repeated request does not count what the first one deleted.
        count = self.client.delete_prefix(f"{path}/", dry_run=True)
        if count:
            self.client.delete_prefix(f"{path}/")
        try:
            self.client.delete(path)
        except NotFound:
            if not count:
                raise FileNotFoundError(path) from None

    def rm_file(self, path: str) -> None:
        path = self._strip_protocol(path)
        try:
            self.client.delete(path)
        except NotFound:
            if not self.isdir(path):
                raise FileNotFoundError(path) from None

    _rm = rm_file

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Do nothing: a folder is there as soon as a blob is below it."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: a folder is there as soon as a blob is below it."""

    def rmdir(self, path: str) -> None:
        """Do nothing, or raise OSError if blobs are below the path."""
        if self.isdir(path):
            raise OSError(f"{path} is not empty. Use rm with recursive=True.")

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Store an empty blob. Without `truncate`, what is there stays as it is."""
        if truncate:
            self.pipe_file(path, b"")
        elif not self.isdir(path):
            with suppress(FileExistsError):
                self.pipe_file(path, b"", mode="create")

    def checksum(self, path: str) -> int:
        """Return the SHA-256 of a blob, or else a number made of its ETag, as an integer. Nothing is read."""
        info = self.info(path)
        return int(info.get("sha256") or tokenize(info.get("ETag")), 16)

    def ukey(self, path: str) -> str:
        """Return the ETag, which changes with the blob."""
        return str(self.info(path)["ETag"])

    def created(self, path: str) -> datetime:
        found: datetime = self.info(path)["created"]
        return found

    modified = created

    def sign(self, path: str, expiration: int = 3600, **_: Any) -> str:
        """Return a URL with which anybody can fetch the blob, for `expiration` seconds."""
        return self.client.sign("GET", self._strip_protocol(path), expires_in=expiration).url

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """Open a blob as a file, as `open` of fsspec does.

        What is written appears when the file is closed; and not at all if the `with` block ends by an exception, in
        text mode and with `compression` too.
        """
        if "r" in mode:
            return super().open(path, mode, block_size, cache_options, compression, **options)
        compress = compr[get_compression(self._strip_protocol(path), compression)]
        text = {name: options.pop(name) for name in ("encoding", "errors", "newline") if name in options}
        binary = mode if "b" in mode else mode.replace("t", "") + "b"
        file = super().open(path, binary, block_size, cache_options, **options)
        try:
            if compress is not noop_file:
                file = CompressedFile(file, compress)
            return file if "b" in mode else TextFile(file, **text)
        except BaseException:  # such as an unknown encoding
            file.discard()
            raise

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> "DrivebayFile":
        options = {name: value for name, value in options.items() if value is not None}
        return DrivebayFile(self, path, mode, block_size or PART, **options)


def _file(meta: BlobMeta) -> dict[str, Any]:
    known = {"sha256": meta.sha256} if meta.sha256 else {}
    time = meta.created_at or meta.modified_at
    return {
        "name": meta.id,
        "size": meta.size,
        "type": "file",
        "ETag": meta.etag,
        "created": time,
        "mtime": time,
        "content_type": meta.content_type,
        **known,
    }


def _folder(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _name(info: dict[str, Any]) -> str:
    name: str = info["name"]
    return name


def _text(path: Any) -> Any:
    """Return a path as text, and lists as they are."""
    return os.fspath(path) if isinstance(path, os.PathLike) else path


def _progress(callback: Any) -> Progress:
    return lambda done, total: callback.absolute_update(done)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Raise the errors of files with the name of the file, as Python's own functions do."""
    try:
        yield
    except NotFound as error:
        raise FileNotFoundError(path) from error
    except AlreadyExists as error:
        raise FileExistsError(path) from error
