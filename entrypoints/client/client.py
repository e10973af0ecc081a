"""The client with blocking calls."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx

from entrypoints.client import transport
from entrypoints.client.connections import Connections
from entrypoints.client.driver import Driver
from entrypoints.client.flows import blobs, downloads, parts, uploads
from entrypoints.client.flows.commands import Flow
from entrypoints.client.flows.journal import UploadJournal
from entrypoints.client.flows.retrying import Retries
from entrypoints.client.keywords import DEFAULT_TIMEOUT, Put, Readable, ShareLink, Sign, spans
from entrypoints.client.models import BlobMeta, ListResult, Progress, PutResult, Share, SignedUrl

T = TypeVar("T")
Bytes = bytes | bytearray | memoryview
Data = Bytes | PathLike[str] | Readable | Iterable[bytes]
Chunks = list[bytes]
Blobs = list[BlobMeta | None]


class GetResult:
    """A blob, or a range of it, that is being fetched. Iterate over it, or `read` it. A context.

    A broken connection is replaced, and the same version goes on. At the end, the SHA-256 is compared.
    """

    def __init__(self, driver: Driver, download: downloads.Download) -> None:
        self._driver, self._download = driver, download

    @property
    def meta(self) -> BlobMeta:
        """The blob that is read."""
        return self._download.meta

    @property
    def size(self) -> int:
        """The number of bytes that are returned in all."""
        return self._download.size

    def __iter__(self) -> Iterator[bytes]:
        try:
            while data := self._driver.run(self._download.chunk()):
                yield data
        finally:
            self.close()

    def read(self) -> bytes:
        """Return all bytes that are left."""
        return b"".join(self)

    def close(self) -> None:
        """End it. The bytes that are left are not fetched."""
        self._driver.run(self._download.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Client:
    """A Drivebay server. May be used by several threads, and in processes that are forked. A context.

    `timeout`: seconds to wait for a connection, or for bytes to move. `options` go to httpx.Client: `verify`, `proxy`,
    `transport`, ... All methods raise DrivebayError, and ValueError for arguments that can't be sent.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
        **options: Any,
    ) -> None:
        self.url = url.rstrip("/")
        self._retries = retries
        self._driver = Driver(Connections(httpx.Client, transport.options(url, token, timeout, options)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        if http := self._driver.connections.to_close:
            http.close()

    def _run(self, flow: Flow[T]) -> T:
        return self._driver.run(flow)

    def put(
        self,
        id: str,  # noqa: A002
        data: Data,
        *,
        progress: Progress | None = None,
        journal: PathLike[str] | None = None,
        **options: Unpack[Put],
    ) -> PutResult:
        """Store bytes, the file at a path, or what an open file or an iterator yields, and replace what is there.

        What has 8 MiB or more is resumed where a connection breaks. `journal`: a file that keeps the state of the
        upload of a file until it is complete, so that another process can go on. If it can't be written, nothing is
        kept.
        """
        if hasattr(data, "__aiter__"):
            raise TypeError("An asynchronous iterator needs AsyncClient.")
        kept = None if journal is None else UploadJournal(Path(journal))
        return self._run(uploads.put(self._retries, id, data, uploads.PutOptions(**options), progress, kept))

    def get(
        self,
        id: str,  # noqa: A002
        *,
        start: int = 0,
        end: int | None = None,
        if_match: str | None = None,
    ) -> GetResult:
        """Begin to fetch a blob, or the bytes from `start` to `end`. `if_match`: the ETag of the version to fetch."""
        download = downloads.Download(self._retries, id, start, end, if_match=if_match)
        return GetResult(self._driver, self._run(download.open()))

    def get_range(
        self,
        id: str,  # noqa: A002
        *,
        start: int,
        end: int | None = None,
        length: int | None = None,
        if_match: str | None = None,
    ) -> bytes:
        """Return the bytes from `start` to `end`, or `length` bytes."""
        [(first, last)] = spans([start], end if end is None else [end], length if length is None else [length])
        return self._run(downloads.read_range(self._retries, id, first, last, if_match))

    def get_ranges(
        self,
        id: str,  # noqa: A002
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
        if_match: str | None = None,
    ) -> Chunks:
        """Return several ranges of the same version, fetched concurrently."""
        return self._run(downloads.read_ranges(self._retries, id, spans(starts, ends, lengths), if_match))

    def download(
        self,
        id: str,  # noqa: A002
        path: PathLike[str],
        *,
        known: BlobMeta | None = None,
        progress: Progress | None = None,
        parallel: int = downloads.AT_ONCE,
        follow_symlinks: bool = True,
        check: Callable[[], None] | None = None,
    ) -> BlobMeta:
        """Fetch a blob into a file, in blocks, `parallel` at once. The file appears when it is complete and verified.

        Until then its bytes are in a hidden file next to it. A download that failed goes on there, as long as the blob
        is the same version. `known`: its description, if you have it from a list. The permissions of a file that is
        replaced are kept. Bytes for a pipe or a device are written into it as they come. `follow_symlinks`: write to
        what a link points to; otherwise the link is replaced, and only files are. `check`: called right before
        the file appears, which it does not if this raises an exception.
        """
        flow = downloads.download(
            self._retries,
            id,
            Path(path),
            known=known,
            progress=progress,
            parallel=parallel,
            follow_symlinks=follow_symlinks,
            check=check,
        )
        return self._run(flow)

    def head(self, id: str) -> BlobMeta:  # noqa: A002
        """Return the description of a blob."""
        return self._run(blobs.head(self._retries, id))

    def list(self, prefix: str = "", *, metadata: bool = False, page_size: int = blobs.PAGE) -> Iterator[BlobMeta]:
        """Yield the blobs whose ids begin with `prefix`, in the order of the ids' bytes.

        `metadata`: with the properties that few blobs have. `page_size`: how many a request asks for, up to 1,000.
        """
        cursor = None
        while True:
            found, cursor = self._run(blobs.page(self._retries, prefix, cursor, metadata=metadata, limit=page_size))
            yield from found.blobs
            if cursor is None:
                return

    def sees_all(self, prefix: str = "") -> bool:
        """Return whether lists have all blobs with this prefix: a list leaves out blobs that the token may not see."""
        return self._run(blobs.sees_all(self._retries, prefix))

    def list_with_delimiter(self, prefix: str = "", delimiter: str = "/", *, metadata: bool = False) -> ListResult:
        """Return the blobs directly below `prefix`, and the prefixes up to the next `delimiter`."""
        return self._run(blobs.list_with_delimiter(self._retries, prefix, delimiter, metadata=metadata))

    def copy(self, source: str, target: str, *, overwrite: bool = True, if_match: str | None = None) -> BlobMeta:
        """Copy a blob of any size at once. `if_match`: the ETag of the source."""
        flow = blobs.transfer(self._retries, "copy", source, target, overwrite=overwrite, if_match=if_match)
        return self._run(flow)

    def rename(self, source: str, target: str, *, overwrite: bool = True, if_match: str | None = None) -> BlobMeta:
        """Give a blob another id. `if_match`: the ETag of the source."""
        flow = blobs.transfer(self._retries, "move", source, target, overwrite=overwrite, if_match=if_match)
        return self._run(flow)

    def rename_prefix(self, source: str, target: str, *, dry_run: bool = False) -> int:
        """Replace a prefix of up to 100,000 ids at once. Return their number. `dry_run` only counts."""
        body = {"from_prefix": source, "to_prefix": target, "dry_run": dry_run}
        return self._run(blobs.by_prefix(self._retries, "move", body))

    def delete(self, id: str, *, if_match: str | None = None) -> None:  # noqa: A002
        """Delete a blob. `if_match`: the ETag of the version to delete."""
        self._run(blobs.delete(self._retries, id, if_match))

    def delete_prefix(self, prefix: str, *, dry_run: bool = False) -> int:
        """Delete up to 100,000 blobs whose ids begin with `prefix`. Return their number. `dry_run` only counts.

        If a response is lost, the request is repeated: the number is then that of the last one, often 0.
        """
        return self._run(blobs.by_prefix(self._retries, "delete", {"prefix": prefix, "dry_run": dry_run}))

    def commit(self, operations: Sequence[Mapping[str, Any]]) -> Blobs:
        """Do up to 1,000 operations, all or nothing: see POST /v1/commits. Return the blobs that are current now."""
        return self._run(blobs.commit(self._retries, operations))

    def begin_upload(self, id: str | None = None, *, content_type: str | None = None) -> str:  # noqa: A002
        """Begin an upload of parts, and return its key. A `commit` with `put` publishes it."""
        return self._run(parts.begin(self._retries, id, content_type=content_type))

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """Store a part, from 1 to 10,000, in any order. It is durable then. A part of the same number is replaced."""
        self._run(parts.put_part(self._retries, upload, number, data))

    def discard_upload(self, upload: str) -> None:
        """Discard an upload and its parts."""
        self._run(parts.discard(self._retries, upload))

    def sign(self, method: str, id: str | None = None, **options: Unpack[Sign]) -> SignedUrl:  # noqa: A002
        """Return a URL for one request that needs no other credential. `expires_in`: seconds, 3600 by default."""
        return self._run(blobs.sign(self._retries, blobs.given(method=method, id=id, **options)))

    def share(self, id: str | None = None, **options: Unpack[ShareLink]) -> Share:  # noqa: A002
        """Create a link for people, to a blob, or for uploads below `prefix`. `expires_in`: seconds, or else a week."""
        return self._run(blobs.share(self._retries, blobs.given(id=id, **options)))

    def revoke_share(self, share: str) -> None:
        """End a link."""
        self._run(blobs.revoke_share(self._retries, share))
