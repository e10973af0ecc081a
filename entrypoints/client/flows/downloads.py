"""Downloads: a stream that goes on after a failure, and files that are fetched in blocks concurrently.

The ETag of the first response is the condition of all others, so that all bytes are of one version.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock

from entrypoints.client.errors import (
    BlobChanged,
    ConnectionFailed,
    DigestMismatch,
    DrivebayError,
    PreconditionFailed,
    RangeNotSatisfiable,
)
from entrypoints.client.flows.blobs import head, path_of
from entrypoints.client.flows.commands import Call, Close, Flow, Gather, Read, Reply, Work, sha256
from entrypoints.client.flows.journal import PartialFile
from entrypoints.client.flows.pipes import Pipe, is_pipe
from entrypoints.client.flows.retrying import Attempts, Retries, is_temporary, open_stream
from entrypoints.client.models import BlobMeta, Progress

BLOCK = 8 << 20  # bytes of a file that are fetched by one request
AT_ONCE = 4  # requests for a file


class Download:
    """The bytes of a blob, or of a range of it, in chunks. `meta` and `size` are known once it is open.

    A whole blob is compared with its SHA-256, if the server has computed that: see `BlobMeta.sha256`.
    """

    meta: BlobMeta

    def __init__(
        self, retries: Retries, blob_id: str, start: int = 0, stop: int | None = None, *, if_match: str | None = None
    ) -> None:
        if start < 0 or (stop is not None and stop < start):
            raise ValueError(f"There is no range from {start} to {stop}.")
        self._path = f"{path_of(blob_id)}?alt=media"
        self._id = blob_id
        self._start, self._position, self._stop = start, start, stop
        self._is_empty = stop == start
        self._if_match, self._is_pinned = if_match, False
        self._attempts = Attempts(retries)
        self._stream: object = None
        self._hash = hashlib.sha256() if start == 0 else None

    @property
    def size(self) -> int:
        """The number of bytes that are there to be read."""
        stop = self.meta.size if self._stop is None else min(self._stop, self.meta.size)
        return max(stop - self._start, 0)

    def open(self) -> Flow["Download"]:
        """Send the first request."""
        while True:
            try:
                yield from self._request()
                return self
            except DrivebayError as error:
                if not is_temporary(error):
                    raise
                yield from self._attempts.wait(error)

    def _request(self) -> Flow[None]:
        headers = dict[str, str]()
        if self._position or self._stop is not None:
            # An empty range can't be asked for: its byte is not read.
            last = "" if self._stop is None else str(max(self._stop - 1, self._position))
            headers["range"] = f"bytes={self._position}-{last}"
        if self._if_match is not None:
            headers["if-match"] = self._if_match
        try:
            reply: Reply = yield from open_stream(Call("GET", self._path, headers))
        except PreconditionFailed as error:
            if self._is_pinned:
                raise _changed() from None
            raise error
        try:
            meta = BlobMeta.from_headers(self._id, reply.headers)
        except DrivebayError:
            yield Close(reply.stream)
            raise
        if "range" in headers and reply.status != 206:
            yield Close(reply.stream)
            raise DrivebayError("The server sent the whole blob in place of a range. Does a proxy remove Range?")
        if self._if_match not in (None, "*") and not (meta.etag and meta.etag in self._if_match):
            yield Close(reply.stream)
            raise DrivebayError("The response is of another version than was asked for. Does a proxy mix up responses?")
        self.meta, self._stream = meta, reply.stream
        self._if_match, self._is_pinned = meta.etag, True

    def chunk(self) -> Flow[bytes]:
        """Return the next bytes; none at the end. Raises BlobChanged, and DigestMismatch after the last byte."""
        end = self._start + self.size
        while self._position < end and not self._is_empty:
            try:
                if self._stream is None:
                    yield from self._request()
                data: bytes = yield Read(self._stream)
                if not data:
                    raise ConnectionFailed("The response ended too early.")
            except DrivebayError as error:
                yield from self.close()
                if not is_temporary(error):
                    raise
                yield from self._attempts.wait(error)
            else:
                self._attempts.moved()
                self._position += len(data)
                if self._hash:
                    self._hash.update(data)
                return data
        yield from self.close()
        self._verify()
        return b""

    def _verify(self) -> None:
        wanted = self.meta.sha256
        if self._hash and wanted and self._position == self.meta.size and self._hash.hexdigest() != wanted:
            raise DigestMismatch("The bytes that arrived do not have the SHA-256 of the blob. Fetch it again.")

    def read(self) -> Flow[bytes]:
        """Return all of it."""
        chunks = list[bytes]()
        while data := (yield from self.chunk()):
            chunks.append(data)
        return b"".join(chunks)

    def close(self) -> Flow[None]:
        """Close the connection, if bytes are left. May be called more than once."""
        stream, self._stream = self._stream, None
        if stream is not None:
            yield Close(stream)


def read_range(retries: Retries, blob_id: str, start: int, stop: int, if_match: str | None = None) -> Flow[bytes]:
    """Return the bytes from `start` to `stop`, fewer if the blob ends before. Raises RangeNotSatisfiable."""
    if stop == start:
        return b""
    download = Download(retries, blob_id, start, stop, if_match=if_match)
    try:
        yield from download.open()
        return (yield from download.read())
    finally:
        yield from download.close()


def read_ranges(
    retries: Retries, blob_id: str, ranges: Sequence[tuple[int, int]], if_match: str | None = None
) -> Flow[list[bytes]]:
    """Return several ranges of one version."""
    if not ranges:
        return []
    if if_match is None:
        if_match = (yield from head(retries, blob_id)).etag
    flows = [read_range(retries, blob_id, start, stop, if_match) for start, stop in ranges]
    try:
        found: list[bytes] = yield Gather(flows, AT_ONCE)
    except PreconditionFailed:
        raise _changed() from None
    return found


def download(
    retries: Retries,
    blob_id: str,
    target: Path,
    *,
    known: BlobMeta | None = None,
    progress: Progress | None = None,
    parallel: int = AT_ONCE,
    follow_symlinks: bool = True,
    check: Callable[[], None] | None = None,
) -> Flow[BlobMeta]:
    """Fetch a blob into a file, which appears when it is complete and verified. What is there already is kept.

    `known`: the description of the version to fetch. `follow_symlinks`: write into the file, the pipe or the device
    that the target is a link to. Without it a link is replaced by a file, and nothing else than a file is written to.
    `check`: called right before the file appears, which it does not if this raises an exception.
    """
    meta = known or (yield from head(retries, blob_id))
    if follow_symlinks:
        if (yield Work(partial(is_pipe, target))):
            yield from _pour(retries, meta, target, progress)
            return meta
        if (yield Work(target.is_symlink)):
            target = yield Work(target.resolve)
    for _ in range(2):
        file = PartialFile(target, meta.etag, meta.size, BLOCK, is_compared=bool(meta.sha256))
        try:
            yield Work(file.open)
            is_resumed = bool(file.written)
            yield from _fetch(retries, meta, file, progress, parallel)
            if not meta.sha256 or (yield from sha256(file)).hex() == meta.sha256:
                if check:
                    yield Work(check)
                yield Work(file.publish)
                return meta
            yield Work(file.discard)
        finally:
            file.close()
        if not is_resumed:  # a machine that lost its power may have kept the state and not the bytes
            break
    raise DigestMismatch("The bytes that arrived do not have the SHA-256 of the blob. Fetch it again.")


def _pour(retries: Retries, meta: BlobMeta, target: Path, progress: Progress | None) -> Flow[None]:
    """Write a blob into a pipe or a device, from its start to its end."""
    count, source, pipe = _Count(progress, meta.size), Download(retries, meta.id, if_match=meta.etag), Pipe(target)
    try:
        yield from pipe.open()
        yield from source.open()
        while data := (yield from source.chunk()):
            yield from pipe.write(data)
            count.add(len(data))
    except PreconditionFailed:
        raise _changed() from None
    finally:
        pipe.close()
        yield from source.close()


def _fetch(retries: Retries, meta: BlobMeta, file: PartialFile, progress: Progress | None, parallel: int) -> Flow[None]:
    count = _Count(progress, meta.size, sum(_size(file, number) for number in file.written))
    missing = [number for number in range(file.block_count) if number not in file.written]
    try:
        yield Gather([_fetch_block(retries, meta, file, number, count) for number in missing], parallel)
    except (PreconditionFailed, RangeNotSatisfiable):
        yield Work(file.discard)
        raise _changed() from None
    except DigestMismatch:
        yield Work(file.discard)
        raise


def _size(file: PartialFile, number: int) -> int:
    return min(BLOCK, file.size - number * BLOCK)


def _fetch_block(retries: Retries, meta: BlobMeta, file: PartialFile, number: int, count: "_Count") -> Flow[None]:
    position = number * BLOCK
    is_all = file.block_count == 1
    stop = None if is_all else position + _size(file, number)
    block = Download(retries, meta.id, position, stop, if_match=meta.etag)
    try:
        yield from block.open()
        while data := (yield from block.chunk()):
            yield Work(partial(file.write, position, data))
            position += len(data)
            count.add(len(data))
    finally:
        yield from block.close()
    yield Work(partial(file.finish_block, number))


class _Count:
    def __init__(self, progress: Progress | None, total: int, done: int = 0) -> None:
        self._progress, self._total, self._done = progress, total, done
        self._lock = Lock()  # blocks are fetched in threads
        self.add(0)

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._progress:
                self._progress(self._done, self._total)


def _changed() -> BlobChanged:
    return BlobChanged("The blob was replaced while it was read. Read it again from the start.", status=412)
